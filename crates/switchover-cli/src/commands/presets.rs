//! `presets`: what is shipped, and the text of one of them.

use crate::config::preset::{PRESETS, find};
use crate::render::output;
use std::fmt::Write;
use switchover_core::Result;

/// Columns that a line of the list has.
const WIDTH: usize = 80;

/// Lists them, or prints the TOML of one.
pub(crate) fn run(show: Option<&str>) -> Result<u8> {
    match show {
        Some(name) => output::data(find(name, "presets show")?.text)?,
        None => output::data(&list())?,
    }
    Ok(0)
}

fn list() -> String {
    let mut text = String::new();
    for preset in PRESETS {
        let mut line = String::from(" ");
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", preset.name);
        for word in preset.about().split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(text, "{line}");
                line = String::from(" ");
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(text, "{line}");
    }
    text
}
