//! `resume`: goes on with a run of the journal. Its stores are those of the run unless others are named;
//! passwords come from the environment or a password file, since the journal holds none.

use super::{Context, keep};
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

/// What `--detach` comes to where the run is no live one: nothing drives that but the verb, which ends with it.
pub(super) fn not_in_the_background() -> Error {
    Error::new(Kind::Config, "resume in the background")
        .detail("it is no live run: its `resume` ends by itself, and its exit code says what came of it")
        .hint("leave --detach out; nothing was done yet")
}

async fn engine(context: &Context, run: Option<&str>) -> Result<Report> {
    context.migration_of(run)?.resume(run).await
}
