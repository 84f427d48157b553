//! `resume`: goes on with a run of the journal. Its stores are those of the run unless others are named;
//! passwords come from the environment or a password file, since the journal holds none.

use super::{Context, keep};
use crate::args::ResumeArgs;
use std::path::Path;
use switchover::report::Report;
use switchover_core::{Error, Kind, Result};

/// The newest run, or the one whose name begins so.
pub(crate) async fn run(context: &Context, run: Option<&str>, archive: Option<&Path>) -> Result<u8> {
    let kept =
        archive.map(|folder| keep::prepare(context, &context.stores_of(run)?.0, folder)).transpose()?;
    let report = engine(context, run).await?;
    let code = context.finish(&report)?;
    if let (Some(kept), Some(folder)) = (&kept, archive) {
        keep::dump(context, kept, folder, &report).await?;
    }
    Ok(code)
}

/// That nothing was asked for which runs of this kind do not have.
pub(super) fn only_what_it_knows(args: &ResumeArgs, live: bool) -> Result<()> {
    let of_a_live_run = "the run is a live one, whose report is made by `switchover finish`";
    let asked = match live {
        true => [
            ("--report", args.report.is_some(), of_a_live_run),
            ("--archive", args.archive.dir.is_some(), "the run is a live one, and its source no dump"),
            (
                "--validation-sample",
                args.validation.validation_sample.is_some(),
                "the run is a live one: `switchover verify --live` compares all rows while it follows",
            ),
            (
                "--on-failure",
                args.on_failure.is_some(),
                "the run is a live one: it holds, and takes nothing back",
            ),
        ]
        .into_iter()
        .find(|(_, given, _)| *given),
        false => [
            (
                "--detach",
                args.detach,
                "it is no live run: its `resume` ends by itself, and its exit code says what came of it",
            ),
            ("--route", args.route.is_some(), "it is no live run: no program is told who owns the data"),
        ]
        .into_iter()
        .find(|(_, given, _)| *given),
    };
    match asked {
        None => Ok(()),
        Some((option, _, why)) => Err(Error::new(Kind::Config, "resume the run")
            .detail(why)
            .hint(format!("leave {option} out; nothing was done yet"))),
    }
}

async fn engine(context: &Context, run: Option<&str>) -> Result<Report> {
    context.migration_of(run)?.resume(run).await
}
