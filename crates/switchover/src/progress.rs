//! What the engine tells while it works. The engine says what happened; how it looks is the
//! observer's business. Events are cheap and come at most once a chunk.

use serde::Serialize;

/// The phases of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading catalog and census, deciding.
    Plan,
    /// Copying the source's file aside, and checking the copy.
    Backup,
    /// Making the target's schema.
    Schema,
    /// Copying rows.
    Copy,
    /// Making indexes, keys and constraints.
    Build,
    /// Comparing every field of every row.
    Verify,
    /// Taking back what the run made.
    Rollback,
}

impl Phase {
    /// The phase as people read it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Plan => "plan",
            Phase::Backup => "backup",
            Phase::Schema => "schema",
            Phase::Copy => "copy",
            Phase::Build => "indexes and keys",
            Phase::Verify => "verify",
            Phase::Rollback => "rollback",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A phase began; amounts are what it will work through, 0 where unknown.
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// Rows, or steps for phases without rows.
        rows: u64,
        /// Bytes.
        bytes: u64,
    },
    /// A table began within a phase.
    TableStarted {
        /// In which phase.
        phase: Phase,
        /// The table's name on the source.
        table: String,
        /// Rows expected.
        rows: u64,
        /// Bytes expected.
        bytes: u64,
    },
    /// Work was done.
    Advanced {
        /// In which phase.
        phase: Phase,
        /// The table's name on the source; empty for work on no table.
        table: String,
        /// Rows more.
        rows: u64,
        /// Bytes more.
        bytes: u64,
    },
    /// A table ended within a phase.
    TableFinished {
        /// In which phase.
        phase: Phase,
        /// The table's name on the source.
        table: String,
    },
    /// A phase ended well.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// How long it took.
        seconds: f64,
    },
    /// Work failed in a way that may pass, and waits before it is tried again.
    TryingAgain {
        /// What failed and why, and how long it waits.
        text: String,
    },
    /// What was tried again has succeeded.
    WentOn,
    /// Something a person should know.
    Note {
        /// What.
        text: String,
    },
}

/// Is told what happens. Calls come from several threads and must return at once.
pub trait Progress: Send + Sync {
    /// One event.
    fn event(&self, event: Event);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}
