//! `cleanup`: removes what a finished run no longer needs. Asks first, since rollback is gone with it.

use super::{Context, agree};
use crate::render::output;
use switchover_core::Result;

/// What is gone with it.
const TAKEN: &str =
    "After cleanup this run cannot be rolled back, and the target no longer holds what went to quarantine.";

/// Asks first, unless told not to.
pub(crate) async fn run(context: &Context, run: Option<&str>, yes: bool) -> Result<u8> {
    if !yes && !agree::agreed("clean up", TAKEN)? {
        output::note("nothing was removed");
        return Ok(1);
    }
    let removed = engine(context, run).await?;
    output::data(&removed.iter().map(|what| format!("removed {what}\n")).collect::<String>())?;
    Ok(0)
}

async fn engine(context: &Context, run: Option<&str>) -> Result<Vec<String>> {
    let run = context.migration_of(run)?.cleanup(run).await?;
    Ok(vec![format!("the records of run {run} from the target, its quarantine among them; its data stays")])
}
