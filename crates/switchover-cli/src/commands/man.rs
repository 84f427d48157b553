//! `man`: the manual, made from the same definitions as `--help`.

use crate::args::Cli;
use crate::render::output;
use clap::CommandFactory;
use std::path::Path;
use switchover_core::{Error, Kind, Result};

/// Prints the main page, or writes one page a verb into a folder.
pub(crate) fn run(dir: Option<&Path>) -> Result<u8> {
    let failed = |error: std::io::Error| Error::new(Kind::Io, "write the manual").because(error);
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(failed)?;
            clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
            output::data(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(0)
}
