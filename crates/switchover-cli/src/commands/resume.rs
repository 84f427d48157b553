//! `resume`: goes on with a run of the journal. Its stores are those of the run unless others are named;
//! passwords come from the environment or a password file, since the journal holds none.

use super::{Context, keep};
use std::path::Path;
use switchover::report::Report;
use switchover_core::Result;

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

async fn engine(context: &Context, run: Option<&str>) -> Result<Report> {
    context.migration_of(run)?.resume(run).await
}
