//! What a caller can ask of the engine. The command line and library users fill the same structs.

use std::path::PathBuf;
use switchover_core::limits::MEMORY_BYTES_DEFAULT;
use switchover_core::plan::PlanOptions;

/// What to do when a run fails after it began to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Remove exactly what the run made.
    #[default]
    Rollback,
    /// Leave it, to be resumed.
    Keep,
}

/// Everything that steers a migration, besides the two stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the plan is made from.
    pub plan: PlanOptions,
    /// Folder of the journal, the backups and the reports.
    pub state_dir: PathBuf,
    /// Whether the source is backed up first.
    pub backup: bool,
    /// What to do on failure.
    pub on_failure: OnFailure,
    /// Streams into the target; `None` takes one a core, at most [`JOBS_MAX_DEFAULT`].
    pub jobs: Option<usize>,
    /// Resident bytes of the whole process.
    pub memory_limit_bytes: u64,
    /// Bytes of a chunk; `None` follows from the memory limit. Tests make them small, so that little data is
    /// many chunks.
    pub chunk_bytes: Option<usize>,
}

impl Settings {
    /// Streams into the target.
    pub fn streams(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.jobs.unwrap_or(cores.min(JOBS_MAX_DEFAULT)).max(1)
    }

    /// Where backups go.
    pub fn backups(&self) -> PathBuf {
        self.state_dir.join("backups")
    }
}

/// Streams without `--jobs`: more only wait for the target's log in every measurement made.
pub const JOBS_MAX_DEFAULT: usize = 4;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            plan: PlanOptions {
                schema: "public".into(),
                names: Default::default(),
                policy: Default::default(),
                mapping: Default::default(),
                tables: Vec::new(),
                exclude: Vec::new(),
                existing: None,
            },
            state_dir: PathBuf::from(".switchover"),
            backup: true,
            on_failure: OnFailure::default(),
            jobs: None,
            memory_limit_bytes: MEMORY_BYTES_DEFAULT,
            chunk_bytes: None,
        }
    }
}
