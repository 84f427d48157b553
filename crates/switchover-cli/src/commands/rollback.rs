//! `rollback`: takes back exactly what a run made on the target, or with `--dry-run` says what that would be.

use super::Context;
use crate::args::Switch;
use crate::render::{output, report};
use switchover::Foreseen;
use switchover_core::{Error, Kind, Result};

/// Says whether there was anything to take back.
pub(crate) async fn run(
    context: &Context,
    run: Option<&str>,
    discard_target_changes: bool,
    dry_run: bool,
) -> Result<u8> {
    if dry_run {
        let foreseen = engine_foresee(context, run, discard_target_changes).await?;
        context.screen.end();
        output::data(&report::foreseen(&foreseen))?;
        return Ok(0);
    }
    let there = engine(context, run, discard_target_changes).await?;
    context.screen.end();
    output::data(if there { "rolled back\n" } else { "nothing of the run was there\n" })?;
    Ok(0)
}

/// That nothing was asked for which only a change of the owner knows.
pub(super) fn without_a_switch(switch: &Switch) -> Result<()> {
    let option = match (&switch.write_budget, switch.when_ready) {
        (Some(_), _) => "--write-budget",
        (None, true) => "--when-ready",
        (None, false) => return Ok(()),
    };
    Err(Error::new(Kind::Config, "roll the run back")
        .detail(format!("{option} is about a change of the owner, and the run is no live one"))
        .hint(format!("leave {option} out; nothing was done yet")))
}

async fn engine(context: &Context, run: Option<&str>, discard_target_changes: bool) -> Result<bool> {
    context.migration_of(run)?.rollback(run, discard_target_changes).await
}

async fn engine_foresee(
    context: &Context,
    run: Option<&str>,
    discard_target_changes: bool,
) -> Result<Foreseen> {
    context.migration_of(run)?.foresee_rollback(run, discard_target_changes).await
}
