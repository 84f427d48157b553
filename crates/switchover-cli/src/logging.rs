//! Log lines on standard error: warnings, with `-v` what happens, with `-vv` everything of ours. The file of
//! `--log-file` has at least what `-v` says.
//!
//! `SWITCHOVER_LOG` holds a filter as tracing-subscriber reads it, and wins over `-v`. With
//! `--progress json` the lines on standard error are JSON too.

use crate::config::Resolved;
use crate::render::progress::{LogWriter, Screen};
use switchover_core::{Error, Kind, Result};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// Begins to log.
pub(crate) fn begin(resolved: &Resolved, screen: &Screen) -> Result<()> {
    let named = resolved.environment.get("SWITCHOVER_LOG")?;
    let filter = |verbosity: u8| {
        let by_verbosity = match verbosity {
            0 => "warn",
            1 => "warn,switchover=info,switchover_core=info,switchover_connectors=info",
            _ => "info,switchover=trace,switchover_core=trace,switchover_connectors=trace",
        };
        EnvFilter::try_new(named.as_deref().unwrap_or(by_verbosity)).map_err(|error| {
            Error::new(Kind::Config, "read the log filter").store("variable SWITCHOVER_LOG").because(error)
        })
    };
    let writer = LogWriter(screen.clone());
    let layer = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let layer = if screen.is_json() { layer.json().boxed() } else { layer.compact().boxed() };
    let mut layers = vec![layer.with_filter(filter(resolved.verbosity)?).boxed()];
    if let Some(file) = screen.file().cloned() {
        // The file's lines have their times already.
        let layer = fmt::layer().with_ansi(false).without_time().compact().with_writer(move || file.clone());
        layers.push(layer.with_filter(filter(resolved.verbosity.max(1))?).boxed());
    }
    let begun = tracing_subscriber::registry().with(layers).try_init();
    begun.map_err(|error| Error::new(Kind::Internal, "begin to log").because(error))
}
