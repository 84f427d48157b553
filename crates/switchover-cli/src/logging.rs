//! Log lines on standard error: warnings, with `-v` what happens, with `-vv` everything of ours.
//!
//! `SWITCHOVER_LOG` holds a filter as tracing-subscriber reads it, and wins over `-v`. With
//! `--progress json` the lines are JSON too.

use crate::config::Resolved;
use crate::render::progress::{LogWriter, Screen};
use switchover_core::{Error, Kind, Result};
use tracing_subscriber::EnvFilter;

/// Begins to log.
pub(crate) fn begin(resolved: &Resolved, screen: &Screen) -> Result<()> {
    let by_verbosity = match resolved.verbosity {
        0 => "warn",
        1 => "warn,switchover=info,switchover_core=info,switchover_connectors=info",
        _ => "info,switchover=trace,switchover_core=trace,switchover_connectors=trace",
    };
    let named = resolved.environment.get("SWITCHOVER_LOG")?;
    let filter = EnvFilter::try_new(named.as_deref().unwrap_or(by_verbosity)).map_err(|error| {
        Error::new(Kind::Config, "read the log filter").store("variable SWITCHOVER_LOG").because(error)
    })?;
    let writer = LogWriter(screen.clone());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let builder = builder.with_writer(move || writer.clone());
    let begun = if screen.is_json() { builder.json().try_init() } else { builder.compact().try_init() };
    begun.map_err(|error| Error::new(Kind::Internal, "begin to log").because(error))
}
