//! What a caller can ask of the engine. The command line and library users fill the same structs.

use std::path::PathBuf;
use std::time::Duration;
use switchover_core::connector::ReadRequest;
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
    /// Whether that was asked for this time: a run that is resumed goes by it then, and otherwise by what it began with.
    pub on_failure_chosen: bool,
    /// Streams into the target; `None` takes one a core, at most [`JOBS_MAX_DEFAULT`].
    pub jobs: Option<usize>,
    /// Resident bytes of the whole process.
    pub memory_limit_bytes: u64,
    /// Whether a plan refuses a value that the limit does not do for: somebody chose the limit. Otherwise it says so.
    pub memory_limit_chosen: bool,
    /// Bytes of a chunk; `None` follows from the memory limit. Tests make them small, so that little data is
    /// many chunks.
    pub chunk_bytes: Option<usize>,
    /// Rows of a chunk at most, however few bytes they are, so that no request to the target has more; `None`
    /// bounds bytes alone.
    pub chunk_rows: Option<usize>,
    /// What is tried again, and when.
    pub retries: Retries,
    /// Rows of each table that are looked up by their keys after all rows were compared; 0 looks none up.
    pub validation_rows: u64,
}

/// What becomes of work that failed for a while only: a lost connection, a server that starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first.
    pub tries_max: usize,
    /// The first wait; each further one is twice as long, up to the longest or this one, whichever is longer.
    pub wait_min: Duration,
    /// The longest.
    pub wait_max: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Retries { tries_max: TRIES_MAX_DEFAULT, wait_min: WAIT_MIN_DEFAULT, wait_max: WAIT_MAX }
    }
}

impl Retries {
    /// The same for about as long, with no wait longer than this: for who must see what comes back soon.
    pub(crate) fn within(self, wait_max: Duration) -> Retries {
        let waits = |first: Duration, last: Duration| {
            std::iter::successors(Some(first), move |wait| Some((*wait * 2).min(last.max(first))))
        };
        let whole: Duration = waits(self.wait_min, self.wait_max).take(self.tries_max).sum();
        let wait_min = self.wait_min.min(wait_max);
        let mut left = whole;
        let tries_max = waits(wait_min, wait_max)
            .take_while(|wait| {
                let more = !left.is_zero();
                left = left.saturating_sub(*wait);
                more
            })
            .count();
        Retries { tries_max, wait_min, wait_max }
    }
}

/// The first wait: a server that restarts on the same machine takes about this long.
pub const WAIT_MIN_DEFAULT: Duration = Duration::from_millis(200);

/// The longest single wait, unless the first is longer, or another is asked for.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// Tries after the first. With the waits above they span about a minute, the time of a fail-over.
pub const TRIES_MAX_DEFAULT: usize = 10;

impl Settings {
    /// Streams into the target.
    pub fn streams(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.jobs.unwrap_or(cores.min(JOBS_MAX_DEFAULT)).max(1)
    }

    /// Rows of a chunk at most.
    pub fn rows_max(&self) -> usize {
        self.chunk_rows.unwrap_or(ReadRequest::ANY_ROWS).max(1)
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
            on_failure_chosen: false,
            jobs: None,
            memory_limit_bytes: MEMORY_BYTES_DEFAULT,
            memory_limit_chosen: false,
            chunk_bytes: None,
            chunk_rows: None,
            retries: Retries::default(),
            validation_rows: 0,
        }
    }
}
