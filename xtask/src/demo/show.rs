//! What the demo shows while time passes: one line, in place on a terminal, once a second elsewhere.
//!
//! Invariants: 80 columns; no colour; nothing but plain lines where standard output is no terminal.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use crate::Result;

/// How often the line is written where lines stay.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The line.
pub(super) struct Line {
    in_place: bool,
    last: Option<Instant>,
}

impl Line {
    pub(super) fn new() -> Line {
        Line { in_place: stdout().is_terminal(), last: None }
    }

    /// Shows how it is now.
    pub(super) fn now(&mut self, text: &str) -> Result {
        let text: String = text.chars().take(79).collect();
        if self.in_place {
            print!("\r{text:<79}");
        } else if self.last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            println!("{text}");
        } else {
            return Ok(());
        }
        self.last = Some(Instant::now());
        Ok(stdout().flush()?)
    }

    /// Leaves the line as it is, and goes on below it.
    pub(super) fn end(&mut self) {
        if self.in_place && self.last.is_some() {
            println!();
        }
        self.last = None;
    }
}
