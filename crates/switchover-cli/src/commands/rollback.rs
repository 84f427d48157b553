//! `rollback`: takes back exactly what a run made on the target.

use super::Context;
use crate::render::output;
use switchover_core::Result;

/// Says whether there was anything to take back.
pub(crate) async fn run(context: &Context, run: Option<&str>, discard_target_changes: bool) -> Result<u8> {
    let there = engine(context, run, discard_target_changes).await?;
    context.screen.end();
    output::data(if there { "rolled back\n" } else { "nothing of the run was there\n" })?;
    Ok(0)
}

async fn engine(context: &Context, run: Option<&str>, discard_target_changes: bool) -> Result<bool> {
    context.migration_of(run)?.rollback(run, discard_target_changes).await
}
