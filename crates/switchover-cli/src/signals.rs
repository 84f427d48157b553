//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the program at once. SIGHUP, which says that the terminal is
//! gone, asks for a clean stop too, and no more than that: the shell and the kernel may both send one.
//!
//! Ending at once is safe: chunks and checkpoints commit together, so `resume` loses nothing. It is
//! only slower than a clean stop, which lets the chunk in hand finish.

use crate::render::progress::Screen;
use std::io::ErrorKind;
use switchover::shutdown::Shutdown;
use switchover_core::{Error, Kind, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What shells report for a program that Ctrl-C (signal 2) or SIGTERM (15) ended.
const EXIT_CTRL_C: i32 = 128 + 2;
const EXIT_TERMINATED: i32 = 128 + 15;

/// What a stop means for a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A run may be at work, which `resume` goes on with; where none is, nothing was written.
    Run,
    /// It is done again, and goes on.
    Again,
    /// It is done again, from its beginning.
    Anew,
}

impl Stop {
    /// What is said at the first signal.
    pub(crate) fn said(self) -> &'static str {
        match self {
            Stop::Run => {
                "stopping after the work in hand; `switchover resume` goes on with a run that has begun to copy (once more \
                 stops at once, and loses nothing either)"
            }
            Stop::Again => {
                "stopping after the work in hand; the same command goes on (once more stops at once, and loses nothing either)"
            }
            Stop::Anew => "stopping after the work in hand (once more stops at once)",
        }
    }

    /// What to do after it, where the error itself does not know.
    pub(crate) fn advise(self, error: Error) -> Error {
        if error.kind() != Kind::Interrupted || !error.what_to_do().is_empty() {
            return error;
        }
        error.hint(match self {
            Stop::Run => "the same command begins anew; where `switchover status` shows the run, `switchover resume` goes on",
            Stop::Again => "the same command goes on from there",
            Stop::Anew => "the same command begins anew",
        })
    }
}

/// Listens until the program ends; says `stopping` at the first signal.
pub(crate) fn listen(shutdown: &Shutdown, screen: &Screen, stopping: Option<&'static str>) -> Result<()> {
    let failed = |error: std::io::Error| Error::new(Kind::Io, "listen for signals").because(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = hangup().map_err(failed)?;
    let (shutdown, screen) = (shutdown.clone(), screen.clone());
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => Some(EXIT_CTRL_C),
                _ = terminate.recv() => Some(EXIT_TERMINATED),
                () = hung_up(&mut hangup) => None,
            };
            if !shutdown.request() {
                let Some(code) = code else { continue };
                screen.end();
                std::process::exit(code);
            }
            if let Some(text) = stopping {
                screen.warn(text);
            }
        }
    });
    Ok(())
}

/// Where the kernel says, in hexadecimal, which signals this process was told to ignore (proc(5)).
const STATUS: &str = "/proc/self/status";
const IGNORED: &str = "SigIgn:";

/// SIGHUP, unless whoever started the program has it ignored, as `nohup` does: to listen would undo that. Where that cannot
/// be known, nothing listens, and a hangup ends the program like a kill.
fn hangup() -> std::io::Result<Option<Signal>> {
    let status = match std::fs::read_to_string(STATUS) {
        Ok(status) => status,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match ignores_hangup(&status) {
        Some(false) => signal(SignalKind::hangup()).map(Some),
        Some(true) | None => Ok(None),
    }
}

/// Whether SIGHUP, the first bit, is among the ignored signals; `None` when the text does not say.
fn ignores_hangup(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix(IGNORED))?;
    u64::from_str_radix(mask.trim(), 16).ok().map(|mask| mask & 1 == 1)
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}
