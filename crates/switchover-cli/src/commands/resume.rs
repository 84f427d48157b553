//! `resume`: goes on with a run of the journal. Its stores are those of the run unless others are named;
//! passwords come from the environment or a password file, since the journal holds none.

use super::Context;
use switchover::report::Report;
use switchover_core::Result;

/// The newest run, or the one whose name begins so.
pub(crate) async fn run(context: &Context, run: Option<&str>) -> Result<u8> {
    context.finish(&engine(context, run).await?)
}

async fn engine(context: &Context, run: Option<&str>) -> Result<Report> {
    context.migration_of(run)?.resume(run).await
}
