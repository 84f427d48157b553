//! `cleanup`: removes what a finished run no longer needs. Asks first, since rollback is gone with it.

use super::Context;
use crate::render::output;
use std::io::{BufRead, IsTerminal, stdin};
use switchover_core::{Error, Kind, Result};

/// Asks on a terminal; elsewhere `--yes` must be given.
pub(crate) async fn run(context: &Context, run: Option<&str>, yes: bool) -> Result<u8> {
    if !yes && !agreed()? {
        output::note("nothing was removed");
        return Ok(1);
    }
    let removed = engine(context, run).await?;
    output::data(&removed.iter().map(|what| format!("removed {what}\n")).collect::<String>())?;
    Ok(0)
}

fn agreed() -> Result<bool> {
    let error = || Error::new(Kind::Config, "ask whether to clean up");
    if !stdin().is_terminal() {
        return Err(error().detail("standard input is no terminal").hint("give --yes"));
    }
    output::note("After cleanup this run cannot be rolled back. Go on? [y/N]");
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).map_err(|cause| error().because(cause))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn engine(context: &Context, run: Option<&str>) -> Result<Vec<String>> {
    let run = context.migration_of(run)?.cleanup(run).await?;
    Ok(vec![format!("the records of run {run} from the target; its data stays")])
}
