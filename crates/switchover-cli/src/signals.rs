//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the program at once.
//!
//! Ending at once is safe: chunks and checkpoints commit together, so `resume` loses nothing. It is
//! only slower than a clean stop, which lets the chunk in hand finish.

use crate::render::progress::Screen;
use switchover::shutdown::Shutdown;
use switchover_core::{Error, Kind, Result};
use tokio::signal::unix::{SignalKind, signal};

/// What shells report for a program that Ctrl-C (signal 2) or SIGTERM (15) ended.
const EXIT_CTRL_C: i32 = 128 + 2;
const EXIT_TERMINATED: i32 = 128 + 15;

/// What is said at the first signal, where a run may be at work.
pub(crate) const STOPPING: &str = "stopping after the work in hand; `switchover resume` goes on with a run that \
    has begun to copy (once more stops at once, and loses nothing either)";

/// Listens until the program ends; says `stopping` at the first signal.
pub(crate) fn listen(shutdown: &Shutdown, screen: &Screen, stopping: Option<&'static str>) -> Result<()> {
    let failed = |error: std::io::Error| Error::new(Kind::Io, "listen for signals").because(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (shutdown, screen) = (shutdown.clone(), screen.clone());
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => EXIT_CTRL_C,
                _ = terminate.recv() => EXIT_TERMINATED,
            };
            if !shutdown.request() {
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
