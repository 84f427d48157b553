//! A target that was set back: a backup, or a replica that lacks the last writes, stands in its place. Its decision row is then of an
//! earlier change of the owner than the last one on record.
//!
//! Invariants: while it is so, nothing is opened, and nothing is taken in either direction, for nobody but a person knows what is gone.
//! The row's epoch only grows: whoever gives up what the target alone had decides above all that anybody was told of. Absent: a target
//! that was set back behind its last change of the owner, which the positions of the logs tell, or nobody.

use super::announce::Announce;
use super::engine::{End, Engine, Owing};
use super::held::still_shut;
use super::requests::{answer, copy_of, refuse};
use super::status::{Answer, LivePhase, Request, SwitchOptions, SwitchReport, Verification};
use crate::clock;
use crate::migration::Migration;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::connector::Position;
use switchover_core::live::{Changes, LiveRun, Ownership, Side};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result, failpoint};
use tokio::time::Instant;

/// How long it is held before it is looked again whether the target is back.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long writers are waited for at a target that has just been decided to own nothing.
const LAST_WRITERS: Duration = Duration::from_secs(10);

/// Engines of which a target that was set back may know nothing at most: some dozens drive the longest run.
const ENGINES_MAX: u32 = 256;

/// What the decision row comes to.
pub(super) enum Row {
    /// It says this.
    Is(Ownership),
    /// It was of a target that was set back, and is not any more: all that follows from it is to be done again.
    Became,
    /// The run was to end meanwhile.
    Over(End),
}

/// A target that was set back.
pub(super) struct SetBack {
    /// What its decision row says.
    found: Ownership,
    /// The last change of the owner on record.
    change: SwitchReport,
    /// The largest epoch of which anybody was told.
    told: u64,
}

impl SetBack {
    /// What there is to compare; none where the row says what is on record, or is later: a change is decided before it is recorded.
    pub(super) fn of(found: Ownership, known: Option<(SwitchReport, u64)>) -> Option<SetBack> {
        let (change, told) = known?;
        let earlier = found.epoch < change.epoch;
        let another = found.epoch == change.epoch && found.owner != change.to;
        (earlier || another).then_some(SetBack { found, change, told })
    }

    /// What it is, and the ways out, which people read in the status of a run that is held.
    pub(super) fn error(&self, target: String) -> Error {
        let SetBack { found, change, .. } = self;
        let (to, at) = (change.to, &change.at);
        let gone = match to {
            Side::Target => "what only the target had is not there",
            Side::Source => "it is not what follows the source",
        };
        let has = match to {
            Side::Target => "makes the source the owner again, which has all that was fed back to it",
            Side::Source => "has the source stay the owner, and all rows copied again",
        };
        Error::new(Kind::Refused, "go on with the run")
            .store(target)
            .detail(format!(
                "the target was set back: its decision row says epoch {} (owner {}), and since {at} epoch {} (owner {to}) is on record. It is \
                 as it was before that change, as where a backup or a replica was put in its place: {gone}, and nothing is opened. Put the \
                 newest state of the target back, and the run goes on by itself, or with `switchover resume`; or, where what the \
                 target alone has may be lost, `switchover rollback --discard-target-changes` {has}",
                found.epoch, found.owner, change.epoch
            ))
            .hint("put the newest state of the target back; or `switchover rollback --discard-target-changes`")
    }

    /// Whether the source owned the data when the target was set back: what is written there is nowhere else.
    pub(super) fn is_a_follower(&self) -> bool {
        self.change.to == Side::Source
    }

    /// The change to the source by which it is given up, above all epochs that were told.
    fn proposed(&self) -> Ownership {
        Ownership { owner: Side::Target, pending: true, epoch: self.told.max(self.change.epoch) + 1 }
    }
}

/// Has the last change of the owner on record, where the engine that made it ended before it could say so: by the record alone a target
/// that is set back to before it is known.
pub(super) async fn on_record(announce: &dyn Announce, found: Ownership) -> Result<()> {
    // A record that cannot be read says nothing; `status` tells of it.
    let Ok(known) = announce.last_change().await else { return Ok(()) };
    if known.map_or(Side::Source, |(last, _)| last.to) == found.owner {
        return Ok(());
    }
    let report = SwitchReport {
        to: found.owner,
        epoch: found.epoch,
        at: clock::now(),
        unavailable_ms: 0.0,
        total_ms: 0.0,
        drained: 0,
        because: Some("the engine that changed the owner ended before it could say so".into()),
        untold: None,
        owed: None,
    };
    announce.changed(&report).await
}

impl Migration {
    /// A target that was set back counts engines from where it was then, and the source has met later ones: this one is counted again
    /// until it comes behind them. Whoever comes here has the run's claim, so none of those is at work.
    pub(super) async fn come_behind(&self, plan: &Arc<Plan>, run: &str) -> Result<()> {
        let live = || LiveRun { run: run.to_owned(), plan: Arc::clone(plan), attempt: self.target.attempt() };
        // What cannot be asked now is met by the engine.
        if !self.source.live(&live())?.has_records().await.unwrap_or(false) {
            return Ok(());
        }
        for _ in 0..ENGINES_MAX {
            match self.source.live(&live())?.enter().await {
                // Without a cause: nobody's lock, but a later engine that was there.
                Err(error) if error.kind() == Kind::Busy && std::error::Error::source(&error).is_none() => {
                    self.target.prepare(plan, run).await?;
                }
                _ => break,
            }
        }
        Ok(())
    }
}

impl Engine {
    /// How the target was set back, if this is its decision row and it was.
    async fn set_back(&self, found: Ownership) -> Option<SetBack> {
        // A record that cannot be read says nothing; `status` tells of it.
        let known = self.parts.announce.last_change().await.ok().flatten();
        SetBack::of(found, known)
    }

    /// That the decision row is not of a target that was set back.
    pub(super) async fn as_recorded(&self, found: Ownership) -> Result<()> {
        match self.set_back(found).await {
            Some(back) => Err(back.error(self.parts.target.label())),
            None => Ok(()),
        }
    }

    /// Has the last change of the owner on record. One that cannot be kept is told.
    pub(super) async fn on_record(&self, found: Ownership) {
        if let Err(error) = on_record(&*self.parts.announce, found).await {
            self.note(error.to_string());
        }
    }

    /// Whether the target was set back. Where it cannot be asked now, the next look tells.
    pub(super) async fn is_set_back(&self) -> bool {
        match self.parts.announce.last_change().await {
            Ok(Some(known)) => match self.parts.target.ownership().await {
                Ok(found) => SetBack::of(found, Some(known)).is_some(),
                Err(_) => false,
            },
            _ => false,
        }
    }

    /// The decision row. While it is of a target that was set back, the run is held.
    pub(super) async fn row(&mut self) -> Result<Row> {
        let (mut held, mut shut): (Option<SetBack>, bool) = (None, false);
        loop {
            let mut back = match self.ownership().await {
                Ok(found) => match self.set_back(found).await {
                    Some(back) => back,
                    None if held.is_none() => return Ok(Row::Is(found)),
                    None => {
                        self.goes_on();
                        return Ok(Row::Became);
                    }
                },
                // Its server goes down, and its file away, where another state of it is put there.
                Err(error) => match held.take() {
                    Some(back) if error.kind() != Kind::Interrupted => back,
                    _ => return Err(error),
                },
            };
            shut = shut || self.shut(&mut back).await;
            if self.owing == Some(Owing::Owner) && back.is_a_follower() {
                self.open_source().await;
            }
            if let Some(end) = self.hold_back(&back).await? {
                return Ok(Row::Over(end));
            }
            held = Some(back);
        }
    }

    /// Shuts a target that follows and was set back to a state in which it owned the data: it takes writes, and so does the source. Whether
    /// that is done; the next look tries again.
    async fn shut(&self, back: &mut SetBack) -> bool {
        if back.change.to == Side::Target || back.found.owner == Side::Source {
            return true;
        }
        let target = &self.parts.target;
        // Nobody is to be let in by it: it says that it is changing.
        if !back.found.pending {
            let proposed = back.found.proposed();
            if !matches!(target.decide(&back.found, &proposed, &[]).await, Ok(true)) {
                return false;
            }
            back.found = proposed;
        }
        target.fence(LAST_WRITERS).await.is_ok()
    }

    /// Opens a source that owns the data, and that a target which could not be given up left shut.
    async fn open_source(&mut self) {
        if self.parts.source.unfence().await.is_ok() {
            self.owing = None;
        }
    }

    /// Holds for a while, or until somebody gives up what the target alone had.
    async fn hold_back(&mut self, back: &SetBack) -> Result<Option<End>> {
        let error = match self.owing {
            Some(Owing::Owner) => still_shut(back.change.to, back.error(self.parts.target.label())),
            _ => back.error(self.parts.target.label()),
        };
        let why = error.to_string();
        let begins = self.status.borrow().held != why;
        if begins {
            self.note(format!("held: {why}"));
        }
        if !matches!(self.verified, Verification::Different { .. }) {
            // What was equal is not there any more.
            self.unproven();
        }
        self.tell(|status| status.hold(why.clone()));
        if begins && back.is_a_follower() {
            // Nor is anybody to read there.
            let last_told = Ownership { owner: back.change.to, pending: false, epoch: back.told };
            self.announce(last_told).await;
        }
        let (stop, due) = (self.parts.shutdown.clone(), Instant::now() + LOOK_AGAIN);
        loop {
            let command = tokio::select! {
                biased;
                () = stop.requested() => return Ok(Some(End::Stopped)),
                () = tokio::time::sleep_until(due) => return Ok(None),
                Some(command) = self.commands.recv() => command,
            };
            let options = match &command.request {
                Request::Rollback(options) if options.accept_difference => *options,
                Request::Stop => {
                    answer(command, Ok(Answer::Ended));
                    return Ok(Some(End::Stopped));
                }
                Request::Cutover(_) | Request::Rollback(_) | Request::Finish { .. } | Request::Verify => {
                    refuse(command, copy_of(&error));
                    continue;
                }
                Request::Pause | Request::Resume | Request::Throttle { .. } => {
                    drop(self.simple(command));
                    continue;
                }
            };
            if options.dry_run {
                let could = self.parts.announce.may_change(&back.proposed()).await;
                answer(command, could.map(|()| Answer::Ready));
                continue;
            }
            let given_up = self.give_up_target(back, options).await;
            answer(command, given_up.map(Answer::Switched));
            // What came of it is in the row.
            return Ok(None);
        }
    }

    /// Makes the source the owner, and gives up what the target alone had.
    async fn give_up_target(&mut self, back: &SetBack, options: SwitchOptions) -> Result<SwitchReport> {
        let begun = Instant::now();
        let decided = back.proposed().decided();
        self.parts.announce.may_change(&back.proposed()).await?;
        self.parts.announce.before(&decided).await?;
        let phase = self.status.borrow().phase;
        self.tell(|status| status.phase = LivePhase::Switching);
        // As with any change of the owner: the status says so before anything is decided.
        tokio::task::yield_now().await;
        if let Err(error) = self.decide_for_source(back, decided, options.write_budget).await {
            self.tell(|status| status.phase = phase);
            if back.is_a_follower() {
                // It owned the data before. Where it cannot be opened now, it is tried at each look.
                self.owing = Some(Owing::Owner);
                self.open_source().await;
            }
            return Err(match error.kind() {
                // The state that stands there may know only engines before this one.
                Kind::Busy => error.hint("stop the engine of this run (Ctrl-C, or `kill`), and ask again"),
                _ => error,
            });
        }
        failpoint::hit("live-given-up");
        let total_ms = begun.elapsed().as_secs_f64() * 1e3;
        let report = SwitchReport {
            to: decided.owner,
            epoch: decided.epoch,
            at: clock::now(),
            unavailable_ms: total_ms,
            total_ms,
            drained: 0,
            because: Some(format!(
                "the target was set back to epoch {}, and what it alone had was given up",
                back.found.epoch
            )),
            untold: None,
            owed: None,
        };
        self.note("the source owns the data now: what only the target had is given up".into());
        let told = report.clone();
        self.tell(|status| {
            status.switched = Some(told);
            status.phase = LivePhase::CatchingUp;
            status.alarm.clear();
            status.guards.clear();
        });
        if let Err(error) = self.parts.announce.changed(&report).await {
            self.note(error.to_string());
        }
        // Whoever asks for the row next settles it again, and meets what is owed.
        let owed = self.settle_decided(decided).await?;
        Ok(self.with_owed(report, owed.as_ref()))
    }

    /// The decision, and all before it that a later engine could not make up for: the source is to know nothing of the log of a state
    /// that is gone, whose positions the log to come reaches again, and the target is to be copied anew.
    async fn decide_for_source(&self, back: &SetBack, decided: Ownership, patience: Duration) -> Result<()> {
        let tables: Vec<usize> = (0..self.parts.plan.tables.len()).collect();
        // Its fence is up already where the target was the owner; its position moves behind one only.
        self.again(async || self.parts.source.fence(patience).await).await?;
        let captured = self.again(async || self.parts.target.capture(&tables, &[]).await).await?;
        if let Some(before) = self.again(async || self.parts.source.applied().await).await? {
            self.again(async || self.begin_anew(&captured.from, &before).await).await?;
        }
        failpoint::hit("live-position-given-up");
        self.prove(None).await;
        let owned = back.found.owner == Side::Target;
        if !owned {
            self.again(async || self.parts.target.restart(&tables).await).await?;
        }
        self.again(async || match self.parts.target.decide(&back.found, &decided, &[]).await {
            Ok(true) => Ok(()),
            Ok(false) if self.parts.target.ownership().await? == decided => Ok(()),
            Ok(false) => Err(self.taken_over()),
            Err(error) => Err(error),
        })
        .await?;
        if owned {
            // Whoever began before the decision may write there still; what was written goes with the rest.
            self.insist(async || self.parts.target.fence(LAST_WRITERS).await.map(drop)).await?;
            self.insist(async || self.parts.target.restart(&tables).await).await?;
        }
        self.tell(|status| status.recopied += tables.len() as u64);
        Ok(())
    }

    /// Has the source stand at the beginning of another log.
    async fn begin_anew(&self, from: &Position, before: &Position) -> Result<()> {
        if from == before {
            return Ok(());
        }
        let moved = self.parts.source.apply(&Changes::none(from.clone()), Some(before)).await;
        match (moved, self.parts.source.applied().await) {
            // The answer may be lost and the work done.
            (Err(_), Ok(Some(found))) if found == *from => Ok(()),
            (moved, _) => moved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(to: Side, epoch: u64) -> Option<(SwitchReport, u64)> {
        let at = String::new();
        let (unavailable_ms, total_ms) = (0.0, 0.0);
        let (because, untold, owed) = (None, None, None);
        let report =
            SwitchReport { to, epoch, at, unavailable_ms, total_ms, drained: 0, because, untold, owed };
        Some((report, epoch + 4))
    }

    #[test]
    fn a_row_that_is_before_the_record_was_set_back_and_one_behind_it_was_not() {
        let row = |owner, epoch| Ownership { owner, pending: false, epoch };
        assert!(SetBack::of(Ownership::FIRST, None).is_none());
        assert!(SetBack::of(row(Side::Target, 3), change(Side::Target, 3)).is_none());
        // Given up since, or decided and not recorded yet.
        assert!(SetBack::of(row(Side::Target, 5), change(Side::Target, 3)).is_none());
        assert!(SetBack::of(row(Side::Source, 5), change(Side::Target, 3)).is_none());
        assert!(SetBack::of(row(Side::Source, 3), change(Side::Target, 3)).is_some());
        let back = SetBack::of(Ownership::FIRST, change(Side::Target, 3));
        // Above what was told, and not only above what is on record.
        assert_eq!(back.map(|back| back.proposed().decided()), Some(row(Side::Source, 9)));
    }
}
