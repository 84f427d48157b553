//! What the engine tells, shown three ways: bars, lines, JSON.
//!
//! Invariants: every call returns at once (one lock, one write); no thread sleeps to redraw; what
//! cannot be written is dropped. [`Screen`] is the one owner of standard error while a run lasts:
//! notes, warnings and log lines go through it, so that they never tear a bar.

mod bars;
mod json;
mod lines;
mod log_file;
mod meter;

use super::error::{Style, render};
use super::layout::{WIDTH, shown, wrap};
use super::output;
use crate::config::{ProgressMode, scrub};
use bars::Bars;
pub(crate) use log_file::LogFile;
use std::io::{IsTerminal, Write, stderr};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use switchover::progress::{Event, Progress};
use switchover_core::Error;

/// Standard error and how it is used.
#[derive(Clone)]
pub(crate) struct Screen {
    look: Arc<Look>,
    file: Option<LogFile>,
}

enum Look {
    Bars(Bars),
    Lines(Mutex<lines::Lines>),
    Json,
    Silent,
}

impl Screen {
    /// The screen for a mode: bars want a terminal.
    pub(crate) fn new(mode: ProgressMode) -> Screen {
        let look = match mode {
            ProgressMode::Auto if stderr().is_terminal() => Look::Bars(Bars::on_terminal()),
            ProgressMode::Auto => Look::Lines(Mutex::new(lines::Lines::default())),
            ProgressMode::Json => Look::Json,
            ProgressMode::None => Look::Silent,
        };
        Screen { look: Arc::new(look), file: None }
    }

    /// The same, which says everything in a file as well.
    pub(crate) fn logging_to(self, file: Option<LogFile>) -> Screen {
        Screen { file, ..self }
    }

    /// The file in which everything is said as well.
    pub(crate) fn file(&self) -> Option<&LogFile> {
        self.file.as_ref()
    }

    fn keep(&self, label: &str, text: &str) {
        if let Some(file) = &self.file {
            file.say(label, text);
        }
    }

    /// What standard output says at the end, for the file.
    pub(crate) fn answer(&self, text: &str) {
        self.keep("", text);
    }

    /// Whether standard error is for machines.
    pub(crate) fn is_json(&self) -> bool {
        matches!(*self.look, Look::Json)
    }

    /// Something that a person should know in every mode.
    pub(crate) fn warn(&self, text: &str) {
        let text = scrub(text);
        self.keep("warning: ", &text);
        match &*self.look {
            Look::Json => output::note(&json::line(&Event::Note { text })),
            Look::Bars(bars) => bars.print(&paragraph("warning: ", &text)),
            Look::Lines(_) | Look::Silent => output::note(&paragraph("warning: ", &text)),
        }
    }

    /// The error that ends the program.
    pub(crate) fn error(&self, error: &Error) {
        let style = match &*self.look {
            Look::Json => Style::Json,
            _ if stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() => Style::Terminal,
            _ => Style::Plain,
        };
        self.end();
        self.keep("", render(error, Style::Plain).trim_end());
        output::note(render(error, style).trim_end());
    }

    /// Takes the bars away.
    pub(crate) fn end(&self) {
        if let Look::Bars(bars) = &*self.look {
            bars.clear();
        }
    }
}

/// Text behind a label, wrapped, its further lines two blanks in.
fn paragraph(label: &str, text: &str) -> String {
    wrap(&format!("{label}{}", shown(text)), WIDTH - 2).join("\n  ")
}

impl Progress for Screen {
    fn event(&self, event: Event) {
        if let Some(file) = &self.file {
            file.event(&event);
        }
        match &*self.look {
            Look::Bars(bars) => bars.event(&event),
            Look::Lines(lines) => {
                // A panic elsewhere must not silence progress: the state is only numbers.
                let mut lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Some(line) = lines.event(&event, Instant::now()) {
                    output::note(&line);
                }
            }
            Look::Json => output::note(&json::line(&event)),
            Look::Silent => {}
        }
    }
}

/// Log lines on the screen: whole lines, above the bars.
#[derive(Clone)]
pub(crate) struct LogWriter(pub(crate) Screen);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &*self.0.look {
            Look::Bars(bars) => bars.print(&scrub(String::from_utf8_lossy(bytes).trim_end())),
            _ => output::note(scrub(String::from_utf8_lossy(bytes).trim_end()).as_str()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
