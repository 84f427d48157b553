//! `completions`: a script for a shell, on standard output.

use crate::args::Cli;
use crate::render::output;
use clap::CommandFactory;
use switchover_core::Result;

/// Prints the script.
pub(crate) fn run(shell: clap_complete::Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "switchover", &mut script);
    output::data(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
