//! What a live run tells about itself, and what it can be asked for.

use crate::clock;
use crate::watch::Window;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use switchover_core::Error;
use switchover_core::live::{Ownership, Pressure, Side};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Where a live run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LivePhase {
    /// Taking the run up: looking at both stores.
    Entering,
    /// Copying all rows.
    Copying,
    /// Taking the changes since, and making indexes and keys.
    CatchingUp,
    /// The target follows the source.
    Following,
    /// The owner is about to change.
    Switching,
    /// The target owns the data, the source follows: the reverse window.
    Reverse,
    /// The run is over.
    Ended,
}

impl LivePhase {
    /// The phase as people read it.
    pub fn name(self) -> &'static str {
        match self {
            LivePhase::Entering => "taking the run up",
            LivePhase::Copying => "copying",
            LivePhase::CatchingUp => "catching up",
            LivePhase::Following => "following",
            LivePhase::Switching => "changing the owner",
            LivePhase::Reverse => "reverse window",
            LivePhase::Ended => "ended",
        }
    }
}

/// What the live verification says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verification {
    /// Not begun.
    #[default]
    Unproven,
    /// Under way.
    Running {
        /// Rows compared so far.
        rows: u64,
        /// The table it is at.
        table: String,
    },
    /// Every row was equal at a read point of its own, and every change since was read back.
    Same {
        /// Rows compared.
        rows: u64,
        /// When the last one was.
        at: String,
    },
    /// Not equal.
    Different {
        /// Where, and how.
        why: String,
    },
}

/// What the run does less for, because the owner labours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its write-ahead log is large, and grows.
    Wal,
    /// The engine's own writes meet other writers' locks.
    Busy,
    /// A commit takes longer than `commit_ms_max`.
    Commit,
    /// More changes come than are taken.
    Log,
}

/// Why the run is held back at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slowed {
    /// What it is.
    pub cause: Cause,
    /// How long it waits behind each read because of it; none where only rows are not compared.
    pub wait_ms: u64,
    /// What was measured, for people.
    pub why: String,
}

/// A change of the owner that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwitchReport {
    /// The new owner.
    pub to: Side,
    /// The epoch that began.
    pub epoch: u64,
    /// When it was decided.
    pub at: String,
    /// From the beginning of the fence to the decision: how long no store took writes.
    pub unavailable_ms: f64,
    /// From the request to the decision.
    pub total_ms: f64,
    /// Entries of the log that were taken while the fence was up.
    pub drained: u64,
    /// Why, when nobody asked for it: what a guard measured; or what was given up with it: a target that was set back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What kept the application from being told, where something did: it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<String>,
    /// What keeps the other store from following, where something does, and who tries it again. The change is carried out all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<String>,
}

/// What a guard said in its last window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardSaid {
    /// The guard.
    pub guard: String,
    /// What it said.
    pub window: Window,
}

/// For how long an engine may write no status before it is taken for old. One at work writes every 200 ms, one that is held every few
/// seconds; a single step, such as an index of a large table, may take longer.
const SILENT_MAX: Duration = Duration::from_secs(30);

/// What a live run tells about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveStatus {
    /// The run.
    pub run: String,
    /// When this was so.
    pub at: String,
    /// The process that drives it.
    pub pid: u32,
    /// Where it is.
    pub phase: LivePhase,
    /// Who owns the data.
    pub ownership: Ownership,
    /// Rows that the plan counted.
    pub rows_planned: u64,
    /// Bytes of payload that the plan counted.
    #[serde(default)]
    pub bytes_planned: u64,
    /// Rows whose copy the target has durably, whichever process made it; a process that begins in the reverse window does not ask.
    pub rows_copied: u64,
    /// Their bytes of payload.
    #[serde(default)]
    pub bytes_copied: u64,
    /// Seconds until all planned rows are copied: an estimate, from the rate of the last chunks. Unknown before there were some,
    /// and while the run is paused or held; none when nothing is being copied.
    #[serde(default)]
    pub copy_left_s: Option<f64>,
    /// Changed rows taken by this process, in either direction.
    pub rows_taken: u64,
    /// Entries of the log that wait, as last read; unknown before they were read, and while the run is held.
    pub lag_entries: Option<u64>,
    /// How long ago the follower was equal to the owner, in seconds; unknown likewise.
    pub lag_s: Option<f64>,
    /// Changed rows that were taken a second, while there were any.
    pub rows_per_s: f64,
    /// How long it would take at that rate to take what waits: about the time of a change of the owner.
    /// Unknown likewise.
    pub switch_s: Option<f64>,
    /// What the verification says.
    pub verification: Verification,
    /// What the store that owns the data bears.
    pub pressure: Pressure,
    /// The longest read of the owner by this process, in milliseconds: for so long it kept the write-ahead log from being folded back.
    #[serde(default)]
    pub read_ms_max: f64,
    /// What holds the run back at the moment; empty when nothing does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slowed: Vec<Slowed>,
    /// Whether it was asked to pause.
    pub paused: bool,
    /// Whether a change of the owner was asked for that waits until it can be made.
    #[serde(default)]
    pub waiting: bool,
    /// Why it does not go on at the moment; empty when it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held: String,
    /// Since when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<String>,
    /// What a guard demands that cannot be done yet, and why it cannot; empty when there is nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alarm: String,
    /// Why the application does not know yet who owns the data; empty when it was told. It is tried again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub untold: String,
    /// What the guards of the reverse window said last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardSaid>,
    /// Tables that were sent back to copy because their capture was in doubt, or too many of their changes need each other.
    pub recopied: u64,
    /// How often all rows were compared again by request, the one under way included.
    #[serde(default)]
    pub compared: u64,
    /// The last change of the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched: Option<SwitchReport>,
}

impl LiveStatus {
    /// How many seconds ago this was so, where that is longer than an engine at work is silent.
    pub fn silent_s(&self) -> Option<f64> {
        clock::seconds_since(&self.at).filter(|seconds| *seconds > SILENT_MAX.as_secs_f64())
    }

    /// Who owns the data, where this tells it: not while the run is taken up or the owner changes, nor of an engine that failed, which
    /// may not have asked before it did.
    pub fn known_owner(&self) -> Option<Ownership> {
        let known = match self.phase {
            LivePhase::Entering | LivePhase::Switching => false,
            LivePhase::Ended => self.held.is_empty(),
            LivePhase::Copying | LivePhase::CatchingUp | LivePhase::Following | LivePhase::Reverse => true,
        };
        known.then_some(self.ownership)
    }

    /// Of a run that this process has just begun to drive: nothing is known of it yet.
    pub(super) fn entering(run: &str, rows_planned: u64, bytes_planned: u64) -> LiveStatus {
        LiveStatus {
            run: run.to_owned(),
            at: clock::now(),
            pid: std::process::id(),
            phase: LivePhase::Entering,
            ownership: Ownership::FIRST,
            rows_planned,
            bytes_planned,
            rows_copied: 0,
            bytes_copied: 0,
            copy_left_s: None,
            rows_taken: 0,
            lag_entries: None,
            lag_s: None,
            rows_per_s: 0.0,
            switch_s: None,
            verification: Verification::Unproven,
            pressure: Pressure::default(),
            read_ms_max: 0.0,
            slowed: Vec::new(),
            paused: false,
            waiting: false,
            held: String::new(),
            held_since: None,
            alarm: String::new(),
            untold: String::new(),
            guards: Vec::new(),
            recopied: 0,
            compared: 0,
            switched: None,
        }
    }

    /// Of a run that this process takes up from the one that told this.
    pub(super) fn taken_up(told: &LiveStatus) -> LiveStatus {
        let mut status = LiveStatus::entering(&told.run, told.rows_planned, told.bytes_planned);
        status.keep(told);
        status
    }

    /// What an earlier process told that is the best that is known until the stores were asked: who owns the data, and how much is
    /// copied. Not how far the follower is behind, nor whether it is equal.
    pub(super) fn keep(&mut self, told: &LiveStatus) {
        self.ownership = told.ownership;
        (self.rows_copied, self.bytes_copied) = (told.rows_copied, told.bytes_copied);
    }
}

/// How a cutover is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchOptions {
    /// How long no store may take writes; it is given up when that is over.
    pub write_budget: Duration,
    /// Look at everything that must hold, and change nothing.
    pub dry_run: bool,
    /// Wait until it can be done, instead of refusing.
    pub when_ready: bool,
    /// Go back to a source that is known to differ: what it lacks is then lost, or in the target alone.
    #[serde(default)]
    pub accept_difference: bool,
    /// Who owned the data when it was asked for, as far as that was known to who asked: it is refused where the owner changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Ownership>,
}

/// The write budget that nobody set: long enough for a busy log, shorter than a client's patience.
pub const WRITE_BUDGET_DEFAULT: Duration = Duration::from_secs(3);

impl Default for SwitchOptions {
    fn default() -> Self {
        SwitchOptions {
            write_budget: WRITE_BUDGET_DEFAULT,
            dry_run: false,
            when_ready: false,
            accept_difference: false,
            seen: None,
        }
    }
}

/// What a live run can be asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Take no more rows; the log grows meanwhile.
    Pause,
    /// Go on.
    Resume,
    /// Other limits.
    Throttle {
        /// Rows a second, copied or taken; none is no limit.
        rows_per_s: Option<u64>,
        /// How long a commit on the source may take before the engine slows down; none is no limit.
        commit_ms_max: Option<u64>,
    },
    /// Compare all rows again.
    Verify,
    /// Make the target the owner.
    Cutover(SwitchOptions),
    /// Make the source the owner again; before a cutover, take the run back.
    Rollback(SwitchOptions),
    /// End the reverse window for good; a target that never owns the data is followed no more.
    Finish {
        /// As in [`SwitchOptions::when_ready`].
        #[serde(default)]
        when_ready: bool,
        /// As in [`SwitchOptions::seen`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Ownership>,
    },
    /// End this process; the run can be resumed.
    Stop,
}

impl Request {
    /// The same, meant for the owner that there was when it was asked for; for any where that is not known.
    #[must_use]
    pub fn meant_for(self, seen: Option<Ownership>) -> Request {
        match self {
            Request::Cutover(options) => Request::Cutover(SwitchOptions { seen, ..options }),
            Request::Rollback(options) => Request::Rollback(SwitchOptions { seen, ..options }),
            Request::Finish { when_ready, .. } => Request::Finish { when_ready, seen },
            other => other,
        }
    }

    /// The owner that it is meant for, where it is for one.
    pub(super) fn seen(&self) -> Option<Ownership> {
        match self {
            Request::Cutover(options) | Request::Rollback(options) => options.seen,
            Request::Finish { seen, .. } => *seen,
            _ => None,
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is so now.
    Done,
    /// The owner changed.
    Switched(SwitchReport),
    /// All rows are being compared again.
    Comparing {
        /// Which comparison of this engine that was asked for: [`LiveStatus::compared`] says the same from then on.
        number: u64,
    },
    /// Reads go to the target, which does not own the data.
    Reads {
        /// So many of a hundred.
        percent: u8,
    },
    /// It could be done now: what a dry run says.
    Ready,
    /// What the run made was taken back, or this process ends: nothing is left to drive.
    Ended,
    /// The run is finished.
    Finished {
        /// Where its report is, as Markdown; the same as JSON lies beside it.
        report: String,
    },
}

/// A request on its way, with the place for its answer.
#[derive(Debug)]
pub struct Command {
    /// What is asked.
    pub request: Request,
    /// When it arrived. What arrived before the owner changed means the other owner.
    pub asked: Instant,
    /// Who waits for the answer.
    pub reply: oneshot::Sender<Result<Answer, Error>>,
}
