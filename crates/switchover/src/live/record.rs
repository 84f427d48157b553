//! The record of a run: each change of the owner, with its times, and why where nobody asked for it.
//!
//! Invariants: a line is written whole and durably, or not at all; the record decides nothing, the stores do.
//! Absent: what is under way, which is the status.

use super::status::SwitchReport;
use crate::journal;
use std::path::Path;
use switchover_core::{Error, Kind, Result};

/// The record's name in the run's folder: one JSON object a line.
const RECORD: &str = "owners.jsonl";

/// All changes of the owner, the oldest first.
///
/// # Errors
/// When the record cannot be read, or is damaged.
pub(super) fn all(folder: &Path) -> Result<Vec<SwitchReport>> {
    let path = folder.join(RECORD);
    let fail = || Error::new(Kind::Io, "read the record of owners").store(path.display().to_string());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail().because(error)),
    };
    text.lines().map(|line| serde_json::from_str(line).map_err(|cause| fail().because(cause))).collect()
}

/// Adds one.
pub(super) fn add(folder: &Path, report: &SwitchReport) -> Result<()> {
    let mut reports = all(folder)?;
    reports.push(report.clone());
    let mut text = Vec::new();
    for report in &reports {
        serde_json::to_writer(&mut text, report)
            .map_err(|error| Error::new(Kind::Internal, "keep the record of owners").because(error))?;
        text.push(b'\n');
    }
    // There are some dozens in the longest run, so the whole is written again.
    journal::write_whole(&folder.join(RECORD), &text)
}
