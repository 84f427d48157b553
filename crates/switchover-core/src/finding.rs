//! What an examination of a store found: the vocabulary of `doctor`.
//!
//! Who knows a store says what matters about it; whoever shows it adds nothing. An examination writes
//! nothing, and an obstacle to it is a finding too: it never ends the examination of the other store.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// A migration works, and something about it will be slower, riskier or surprising.
    Warning,
    /// A migration would fail or be refused.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What was looked at, in two or three words.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do; empty when there is nothing to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub todo: String,
}

impl Finding {
    /// All is well.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, what: what.into(), found: found.into(), todo: String::new() }
    }

    /// Something to know, and what to do about it.
    pub fn warning(what: impl Into<String>, found: impl Into<String>, todo: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, what: what.into(), found: found.into(), todo: todo.into() }
    }

    /// Something that stops a migration, and what to do about it.
    pub fn fault(what: impl Into<String>, found: impl Into<String>, todo: impl Into<String>) -> Finding {
        Finding { level: Level::Fault, what: what.into(), found: found.into(), todo: todo.into() }
    }

    /// An examination that could not be made.
    pub fn of_error(what: impl Into<String>, error: &Error) -> Finding {
        Finding::fault(what, error.to_string(), error.what_to_do())
    }
}

/// What a migration would ask of a store, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Streams into the target.
    pub jobs: usize,
    /// Where the source's backup would go; `None` when none is made.
    pub backup_folder: Option<PathBuf>,
    /// Bytes that the target would take; `None` when the source is not known.
    pub target_bytes: Option<u64>,
    /// Whether the target's own tables are to be filled.
    pub existing: bool,
    /// The source's tables that are to be moved; `None` when that is not known, and it may be any.
    pub tables: Option<Vec<String>>,
}

/// Bytes as people read them, in powers of ten.
pub fn shown_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
