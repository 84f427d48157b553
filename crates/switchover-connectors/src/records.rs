//! What the records of a run look like on every target: the forms of a ledger's texts.
//!
//! Absent: the tables themselves, which each connector makes in its own language.

use serde::{Deserialize, Serialize};
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::Quarantined;
use switchover_core::value::OwnedValue;
use switchover_core::{Error, Kind, Result};

/// A key range's end as the ledger writes it.
pub(crate) fn key_text(key: &Option<LocatorValue>) -> Result<String> {
    match key {
        None => Ok(String::new()),
        Some(cells) => serde_json::to_string(cells)
            .map_err(|error| Error::new(Kind::Internal, "write a checkpoint's key").because(error)),
    }
}

/// The way back of [`key_text`].
pub(crate) fn parse_key(text: &str) -> Result<Option<LocatorValue>> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(unreadable)
}

/// A record that makes no sense.
pub(crate) fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Corrupt, "read the run's records on the target")
        .detail("a record was not written by this version")
        .hint("take the run back with --discard-target-changes, and begin again")
        .because(error)
}

/// A value in quarantine, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) table: String,
    locator: LocatorValue,
    column: String,
    value: OwnedValue,
    whole_row: bool,
    why: String,
}

impl Entry {
    pub(crate) fn of(table: &str, entry: &Quarantined) -> Entry {
        Entry {
            table: table.to_owned(),
            locator: entry.locator.clone(),
            column: entry.column.clone(),
            value: entry.value.clone(),
            whole_row: entry.whole_row,
            why: entry.why.clone(),
        }
    }

    pub(crate) fn quarantined(self) -> Quarantined {
        let Entry { locator, column, value, whole_row, why, .. } = self;
        Quarantined { locator, column, value, whole_row, why }
    }
}
