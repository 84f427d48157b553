//! Standard output, which is data, and standard error, which is everything else.
//!
//! Invariants: a reader that goes away (`| head`) is no failure; standard error that cannot be
//! written is never a reason to stop.

use std::io::{ErrorKind, Write};
use switchover_core::{Error, Kind, Result};

/// Writes data.
pub(crate) fn data(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Io, "write to standard output").because(error))
        }
        _ => Ok(()),
    }
}

/// Writes a line for people.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
