//! Asking before something is removed that cannot come back: on a terminal; elsewhere `--yes` must be given.

use crate::render::layout::{WIDTH, wrap};
use crate::render::output;
use std::io::{BufRead, IsTerminal, stdin};
use switchover_core::{Error, Kind, Result};

/// Says what is taken away, and asks. What is not agreed to is not done.
///
/// # Errors
/// `Config` where nobody can be asked.
pub(crate) fn agreed(operation: &str, taken: &str) -> Result<bool> {
    let error = || Error::new(Kind::Config, operation);
    if !stdin().is_terminal() {
        let detail = format!("{taken} Standard input is no terminal, so nobody can be asked");
        return Err(error().detail(detail).hint("give --yes"));
    }
    output::note(&wrap(&format!("{taken} Go on? [y/N]"), WIDTH).join("\n"));
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).map_err(|cause| error().because(cause))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
