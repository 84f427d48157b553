//! What others do, in the reverse window, to the triggers of a target that owns the data: a fence that is switched on, so that it takes no
//! writes; a capture that is switched off, so that the source cannot be brought up to date.
//!
//! Invariants: a fence is taken down only while no change of the owner is under way, and by the decision row (I3); a capture that was in
//! doubt is never taken for whole (I6). Absent: both while the source owns the data, where the target's tables are compared or copied again.

use super::engine::{Engine, names};
use switchover_core::live::{Ownership, Side};
use switchover_core::{Error, Kind, Result};

/// How the alarm begins that says that the target takes no writes.
const SHUT: &str = "somebody switched the target's fence on: it owns the data, and takes no writes";

/// How a run ends without its source.
const ALONE: &str = "`switchover finish --abandon-source` ends the run with the target alone";

/// Why the run is held; of a source that differs, or that others may have written to, with what there is to do: the owner does not
/// change before a person has said which store is right.
pub(super) fn with_remedy(owner: Side, error: &Error) -> String {
    match (owner, error.kind()) {
        (Side::Target, Kind::Different) => format!("{error}; {}", error.what_to_do()),
        _ => error.to_string(),
    }
}

impl Engine {
    /// Whether the source was shut as it was left while nobody looked. Its fence is made again either way: who took it away is known
    /// from here on only.
    pub(super) async fn still_shut(&mut self, ownership: Ownership) {
        if let Err(error) = self.parts.source.look().await
            && error.kind() == Kind::Different
        {
            self.note(error.to_string());
            self.tell(|status| status.ownership = ownership);
            self.in_doubt(Side::Target, &error).await;
        }
    }

    /// Has the target take writes where somebody switched its fence on. Behind others' locks it is tried again at the next look.
    pub(super) async fn keep_open(&mut self) -> Result<()> {
        let opened = self.again(async || self.parts.target.reopen().await).await;
        self.opened(opened).await
    }

    /// The same while the run is held: tried once, for whoever tries again says in the status what for, and not why the run is held. What
    /// fails is met by the next turn.
    pub(super) async fn open_once(&mut self) {
        let opened = self.parts.target.reopen().await;
        let _ = self.opened(opened).await;
    }

    async fn opened(&mut self, opened: Result<Vec<usize>>) -> Result<()> {
        match opened {
            Ok(opened) => {
                if !opened.is_empty() {
                    let tables = names(&self.parts.plan, &opened);
                    self.note(format!(
                        "{SHUT}; it was switched off again, for the target owns the data: {tables}"
                    ));
                }
                if self.status.borrow().alarm.starts_with(SHUT) {
                    self.tell(|status| status.alarm.clear());
                }
                Ok(())
            }
            Err(error) if error.kind() == Kind::Busy => {
                // Either somebody holds a lock, or another process has the run.
                self.parts.claim.check().await?;
                let alarm = format!("{SHUT}; it cannot be switched off yet: {}", error.why());
                if self.status.borrow().alarm != alarm {
                    self.note(alarm.clone());
                }
                self.tell(|status| status.alarm = alarm);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// An error of the reverse window, or of a run whose target only serves reads, which says how to get out where the source may be lost for
    /// good: whoever knows that it is not mends what it says.
    pub(super) fn if_lost(&self, owner: Side, error: Error) -> Error {
        let may_be = [Kind::NotFound, Kind::Io, Kind::Corrupt, Kind::Permission].contains(&error.kind())
            && self.parts.source.is_about(&error);
        let has = match (self.parts.target.can_own(), owner) {
            (true, Side::Source) => return error,
            (true, Side::Target) => "every row",
            (false, _) => "what had been taken",
        };
        if !may_be || error.why().contains(ALONE) {
            return error;
        }
        let why = format!(
            "{}; where the source is lost for good, stop the engine, and {ALONE}, which has {has}",
            error.why()
        );
        error.detail(why)
    }

    /// An error of the reverse window, which says how to get out where nothing but a person's decision helps.
    pub(super) async fn with_way_out(&self, error: Error) -> Error {
        let owner = self.status.borrow().ownership.owner;
        let error = self.if_lost(owner, error);
        let in_doubt = error.kind() == Kind::Changed
            && self.parts.target.doubts().await.is_ok_and(|tables| !tables.is_empty());
        if !in_doubt {
            return error;
        }
        let open = if self.status.borrow().alarm.starts_with(SHUT) { "" } else { " and takes writes" };
        let why = format!(
            "{}. The target owns the data{open}, but unless that is undone (a trigger cannot be), the source does not get \
             what is written there, and there is no way back: stop the engine, and `switchover finish --abandon-source` ends the run",
            error.why()
        );
        error.detail(why).hint(format!(
            "stop the engine, and {ALONE}; the source then lacks what was written to the target since"
        ))
    }
}
