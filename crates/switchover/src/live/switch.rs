//! Changing the owner: cutover, and rollback as its mirror.
//!
//! | step | a crash before the next one leads to |
//! |---|---|
//! | the reverse log is made | nothing: it logs nothing yet |
//! | the decision row says `pending` | it is withdrawn |
//! | the owner is fenced | it is withdrawn, then the fence is opened |
//! | the follower takes what is left of the log, and it is read back | the same |
//! | the decision row names the new owner | the new owner stays the owner: what is left is done again |
//! | the new owner is opened, the application is told | the same |
//!
//! Invariants: the fence is opened only when nobody can decide any more (I3): either the proposal is
//! withdrawn, or this process, which alone may decide, never asked for the decision. A decision whose answer was
//! lost is asked for until it is known, whatever the budget says: nothing is opened meanwhile. An owner that cannot be opened again is
//! owed: nothing is followed before it is open (`held`).

use super::engine::{Engine, Owing};
use super::follow;
use super::held::still_shut;
use super::link::Link;
use super::requests::not_ready;
use super::status::{LivePhase, LiveStatus, SwitchOptions, SwitchReport, Verification};
use crate::clock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use switchover_core::live::{Fenced, Ownership, Side};
use switchover_core::{Error, Kind, Remedy, Result, failpoint};
use tokio::time::Instant;

/// Entries that may be left in the log when a switch begins: what is taken in a fraction of the write budget.
const LAG_ENTRIES_MAX: u64 = 5_000;

/// How long to wait before a decision is asked for again whose answer was lost.
const ASK_AGAIN: Duration = Duration::from_millis(50);

impl Engine {
    /// Whether the owner could change now.
    pub(super) fn ready(&self, link: &Link) -> Result<()> {
        if link.from == Side::Source {
            if self.pace.limits().paused {
                return Err(not_ready("the run is paused").hint("`switchover resume` goes on"));
            }
            match &self.verified {
                Verification::Same { .. } => {}
                Verification::Different { why } => {
                    return Err(not_ready("the stores are not equal").detail(why.clone()));
                }
                Verification::Unproven | Verification::Running { .. } => {
                    let late = self.parts.target.unsettled().as_secs();
                    let why = "it is not proven yet that the stores are equal";
                    return Err(not_ready(&match late {
                        0 => why.to_owned(),
                        _ => format!(
                            "{why}: what an engine had under way may be carried out for {late} s more, and all rows are compared behind that"
                        ),
                    }));
                }
            }
        }
        let status = self.status.borrow();
        // A reverse window that is paused says so, and can be ended all the same.
        if !status.held.is_empty() && !status.paused {
            return Err(not_ready("the run is held").detail(status.held.clone()));
        }
        match status.lag_entries {
            None => Err(not_ready("it is not known yet how far the follower is behind")),
            Some(behind) if behind > LAG_ENTRIES_MAX => Err(not_ready("the follower is too far behind")
                .detail(format!("{behind} changes are not taken yet"))),
            Some(_) => Ok(()),
        }
    }

    /// Makes the follower the owner. Gives as well what is owed behind that: what keeps the other store from following, where something does.
    ///
    /// `because` says why, where nobody asked for it.
    pub(super) async fn switch(
        &mut self,
        link: &mut Link,
        options: SwitchOptions,
        because: Option<String>,
    ) -> Result<(SwitchReport, Option<Error>)> {
        let begun = Instant::now();
        let phase = self.status.borrow().phase;
        let to = link.from.other();
        if to == Side::Target {
            self.as_left().await?;
            let captured = self.again(async || self.parts.target.capture(&[], &[]).await).await?;
            // The way back begins here, before anybody can write to the target. A writer at the source that keeps it from being
            // noted there would keep the fence from being made, too.
            match self.link(Side::Target).begin_anew(&captured.from, options.write_budget).await {
                Err(error) if error.kind() == Kind::Busy => {
                    // Either somebody holds a lock, or another process has the run.
                    self.again(async || self.parts.claim.check().await).await?;
                    return Err(out_of_budget(link, &options, false).because(error));
                }
                begun => begun?,
            }
        }
        failpoint::hit("switch-captured");
        let was = self.unproposed().await?;
        self.as_recorded(was).await?;
        if was.owner != link.from {
            return Err(self.contested(was, was));
        }
        let proposed = was.proposed();
        self.parts.announce.may_change(&proposed).await?;
        self.parts.announce.before(&proposed.decided()).await?;
        self.tell(|status| status.phase = LivePhase::Switching);
        // The status in the run's folder says so before anything is decided: a request that is made from now on is not held to the owner
        // of before (`LiveStatus::known_owner`). Where no store makes this wait, nothing else would let it be written.
        tokio::task::yield_now().await;
        let switched = self.propose_and_decide(link, was, proposed, options, begun).await;
        match switched {
            Ok(report) => {
                let report = SwitchReport { because, ..report };
                self.note(format!(
                    "the {} owns the data now: writes were unavailable for {:.0} ms",
                    report.to, report.unavailable_ms
                ));
                let told = report.clone();
                self.tell(|status| {
                    status.switched = Some(told);
                    status.alarm.clear();
                    status.guards.clear();
                });
                if let Err(error) = self.parts.announce.changed(&report).await {
                    self.note(error.to_string());
                }
                let owed = self.settle_decided(proposed.decided()).await?;
                Ok((self.with_owed(report, owed.as_ref()), owed))
            }
            Err(error) => {
                self.tell(|status| status.phase = phase);
                if error.kind() == Kind::Different {
                    // Another process may have the run, and have written what was not expected there.
                    self.surely_ours().await?;
                }
                if link.unread || error.kind() == Kind::Different {
                    self.in_doubt(link.from, &error).await;
                }
                if error.kind() == Kind::Different {
                    self.announce_difference().await;
                }
                // What was under way when the time was over may have been taken. Where it cannot be asked now, the next batch finds it out.
                let _ = link.locate().await;
                Err(match self.owing {
                    Some(Owing::Owner) => still_shut(link.from, error),
                    _ => self.if_lost(link.from, error),
                })
            }
        }
    }

    /// With what keeps the application from being told, and the other store from following.
    pub(super) fn with_owed(&self, report: SwitchReport, owed: Option<&Error>) -> SwitchReport {
        let untold = Some(self.status.borrow().untold.clone()).filter(|why| !why.is_empty());
        let next = match self.stays {
            true => "it is tried again every few seconds",
            false => "no engine is left that tries it again: `switchover resume` takes the run up",
        };
        let owed = owed.map(|error| format!("{error}; {}; {next}", error.what_to_do()));
        SwitchReport { untold, owed, ..report }
    }

    /// The decision row without a proposal. One that is there is an earlier one of this process, withdrawn in vain
    /// or arrived late: nobody will decide it.
    async fn unproposed(&mut self) -> Result<Ownership> {
        loop {
            let was = self.ownership().await?;
            if !was.pending {
                return Ok(was);
            }
            self.again(async || self.parts.target.decide(&was, &was.withdrawn(), &[]).await).await?;
        }
    }

    async fn propose_and_decide(
        &mut self,
        link: &mut Link,
        was: Ownership,
        proposed: Ownership,
        options: SwitchOptions,
        begun: Instant,
    ) -> Result<SwitchReport> {
        // A proposal whose answer was lost is withdrawn like any other.
        match self.parts.target.decide(&was, &proposed, &[]).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(Error::new(Kind::Busy, "change the owner")
                    .store(self.parts.target.label())
                    .detail("another process is changing the owner")
                    .hint("let it end; `switchover status` shows the run"));
            }
            // Nobody was told of it: whether there is a proposal or not, what was told before stays true.
            Err(error) => return Err(self.open_again(link, proposed, error).await),
        }
        failpoint::hit("switch-proposed");
        // Writers that ask where to write wait from here on, and meet no fence. Where they cannot be told that, they could not be told
        // who the new owner is either.
        if let Err(error) = self.try_to_tell(proposed).await {
            return Err(self.give_up(link, proposed, error).await);
        }
        let fence_begun = Instant::now();
        let deadline = fence_begun + options.write_budget;
        let fence_up = AtomicBool::new(false);
        let draining = self.fence_and_drain(link, options.write_budget, &fence_up);
        let drained = tokio::time::timeout_at(deadline, draining).await;
        let (fenced, drained) = match drained {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Err(self.give_up(link, proposed, error).await),
            Err(_) => {
                let error = out_of_budget(link, &options, fence_up.load(Ordering::Relaxed));
                return Err(self.give_up(link, proposed, error).await);
            }
        };
        failpoint::hit("switch-drained");
        let decided = proposed.decided();
        // Until it is known what came of it, nobody can write.
        self.owing = Some(Owing::Owner);
        if let Err(error) = self.decide(link, proposed, decided, fenced, options).await {
            if error.kind() == Kind::Ambiguous {
                // The engine ends: nobody may open anything.
                self.owing = None;
            }
            return Err(error);
        }
        let unavailable = fence_begun.elapsed();
        failpoint::hit("switch-decided");
        Ok(SwitchReport {
            to: decided.owner,
            epoch: decided.epoch,
            at: clock::now(),
            unavailable_ms: unavailable.as_secs_f64() * 1e3,
            total_ms: begun.elapsed().as_secs_f64() * 1e3,
            drained,
            because: None,
            untold: None,
            owed: None,
        })
    }

    /// Stops the owner's writers, and takes all that they wrote.
    async fn fence_and_drain(
        &mut self,
        link: &mut Link,
        patience: Duration,
        up: &AtomicBool,
    ) -> Result<(Fenced, u64)> {
        let fenced = link.feed.fence(patience).await?;
        up.store(true, Ordering::Relaxed);
        failpoint::hit("switch-fenced");
        let mut drained = 0;
        loop {
            let step = link.step(None, true).await?;
            drained += step.changes.entries;
            self.took(&step).await;
            // Nothing else meets one that was set back where nothing is left to take.
            if step.changes.complete && link.stands().await? {
                break;
            }
            follow::as_left(link)?;
        }
        if link.from == Side::Source {
            self.as_compared().await?;
        } else {
            // Nobody wrote to the new owner meanwhile.
            self.again(async || link.into.look().await).await?;
            // Rows that came and went again are in no batch, and their numbers were given.
            self.again(async || link.into.number(&fenced.numbering).await).await?;
            failpoint::hit("switch-numbered");
        }
        Ok((fenced, drained))
    }

    /// Whether the owner could change now, by a look at the stores.
    pub(super) async fn ready_now(&mut self, link: &Link) -> Result<()> {
        self.ready(link)?;
        match link.from {
            Side::Source => self.as_left().await,
            Side::Target => Ok(()),
        }
    }

    /// Whether nobody but the engine had a hand in what keeps the stores equal since they were compared.
    async fn as_left(&mut self) -> Result<()> {
        if !self.is_target_guarded().await? {
            return Err(not_ready("the target's gate was open, and all rows are compared again"));
        }
        self.as_compared().await
    }

    /// Whether the stores were compared as they are defined.
    async fn as_compared(&mut self) -> Result<()> {
        match self.redefined_since().await? {
            None => Ok(()),
            Some(side) => {
                let why = format!("the {side}'s definitions were changed, and all rows are compared again");
                Err(not_ready(&why))
            }
        }
    }

    /// The one compare-and-set. Only this process may try it, so what the row says is what came of it.
    async fn decide(
        &mut self,
        link: &mut Link,
        proposed: Ownership,
        decided: Ownership,
        mut fenced: Fenced,
        options: SwitchOptions,
    ) -> Result<()> {
        loop {
            let asked = self.parts.target.decide(&proposed, &decided, &fenced.numbering).await;
            failpoint::hit("switch-asked");
            let error = match asked {
                Ok(true) => return Ok(()),
                Ok(false) => None,
                Err(error) => Some(error),
            };
            // From here on only the row itself says what happened.
            let found = self.found().await?;
            match error {
                _ if found == decided => return Ok(()),
                // It was never made, and can be tried again: the fence is still up.
                Some(error) if found == proposed && error.kind().remedy() == Remedy::Retry => {
                    // What broke the connection may have put an older state there, with the proposal and without the fence, or without
                    // what was taken last: all between the two is done once more.
                    let up = AtomicBool::new(true);
                    match self.fence_and_drain(link, options.write_budget, &up).await {
                        Ok((again, _)) => fenced = again,
                        Err(error) => return self.take_back_proposal(link, proposed, error).await,
                    }
                }
                Some(error) if found == proposed => {
                    return self.take_back_proposal(link, proposed, error).await;
                }
                _ => return Err(self.contested(found, proposed)),
            }
        }
    }

    /// The decision row, however long it takes to be told.
    async fn found(&mut self) -> Result<Ownership> {
        loop {
            match self.parts.target.ownership().await {
                Ok(found) => {
                    self.tell(LiveStatus::go_on);
                    return Ok(found);
                }
                Err(error) if error.kind().remedy() == Remedy::Retry => {
                    self.tell(|status| {
                        status.hold(format!("it is not known yet whether the owner changed: {error}"));
                    });
                    if self.parts.shutdown.is_requested() {
                        return Err(Error::new(Kind::Ambiguous, "change the owner")
                            .store(self.parts.target.label())
                            .detail("it is not known whether the decision was made; nothing was opened")
                            .hint("`switchover resume` asks again as soon as the store can be reached")
                            .because(error));
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn contested(&self, found: Ownership, expected: Ownership) -> Error {
        Error::new(Kind::Ambiguous, "change the owner")
            .store(self.parts.target.label())
            .detail(format!(
                "the decision row says epoch {} where {} was expected: another process changed it",
                found.epoch, expected.epoch
            ))
            .hint("stop all engines of this run but one, and resume it")
    }

    /// Gives a switch up whose decision was asked for and refused: it may still be on its way, so the proposal goes
    /// first, and the owner is opened only behind it.
    async fn take_back_proposal(&mut self, link: &Link, proposed: Ownership, error: Error) -> Result<()> {
        let withdrawn = proposed.withdrawn();
        loop {
            let asked = self.parts.target.decide(&proposed, &withdrawn, &[]).await;
            let found = self.found().await?;
            if found == withdrawn {
                break;
            }
            if found == proposed.decided() {
                return Ok(());
            }
            match asked {
                Err(again) if found == proposed && again.kind().remedy() == Remedy::Retry => {}
                Err(other) if found == proposed => return Err(other),
                _ => return Err(self.contested(found, proposed)),
            }
        }
        self.owing = None;
        let error = self.reopen(link, error).await;
        self.announce(withdrawn).await;
        Err(error)
    }

    /// Gives a switch up whose decision was never asked for; gives the reason back.
    async fn give_up(&mut self, link: &Link, proposed: Ownership, error: Error) -> Error {
        let error = self.open_again(link, proposed, error).await;
        self.announce(proposed.withdrawn()).await;
        error
    }

    /// The same, for a proposal of which the application was not told.
    async fn open_again(&mut self, link: &Link, proposed: Ownership, error: Error) -> Error {
        let withdrawn = proposed.withdrawn();
        match link.from {
            // This process alone may decide, and it did not ask for it: the source may be written again even
            // while the row cannot be reached. Whoever takes the run up withdraws the proposal first.
            Side::Source => {
                let error = self.reopen(link, error).await;
                self.withdraw(proposed, withdrawn).await;
                error
            }
            // A fence that was given up may still be on its way to the server: it looks at the row, and finds no
            // proposal any more.
            Side::Target => {
                self.withdraw(proposed, withdrawn).await;
                self.reopen(link, error).await
            }
        }
    }

    /// Lets the owner's writers in again; gives the reason back, and says so when that failed: then it is tried until it is done.
    async fn reopen(&mut self, link: &Link, error: Error) -> Error {
        let opened = self.insist(async || link.feed.unfence().await).await;
        failpoint::hit("switch-unfenced");
        match opened {
            Ok(()) => error,
            Err(closed) => {
                self.owing = Some(Owing::Owner);
                let detail = format!("{}; nor could the owner be opened again: {closed}", error.why());
                let hint = closed.what_to_do();
                error.detail(detail).hint(format!(
                    "{hint}; it is tried again every few seconds, and by `switchover resume` where no engine runs"
                ))
            }
        }
    }

    async fn withdraw(&mut self, proposed: Ownership, withdrawn: Ownership) {
        let row = self.again(async || self.parts.target.decide(&proposed, &withdrawn, &[]).await).await;
        failpoint::hit("switch-withdrawn");
        if let Err(unknown) = row {
            self.note(format!("the proposal could not be withdrawn yet: {unknown}"));
        }
    }
}

/// The write budget is over before the owner could change, with the owner's fence up or not yet.
fn out_of_budget(link: &Link, options: &SwitchOptions, fence_up: bool) -> Error {
    let budget = options.write_budget.as_millis();
    let (why, hint) = match fence_up {
        true => (
            "what was left to do took longer than",
            "wait until there are fewer changes, or allow more with --write-budget",
        ),
        false => (
            "transactions that write there did not end within",
            "find who keeps one open (on PostgreSQL pg_stat_activity and pg_prepared_xacts tell), or allow more with \
             --write-budget",
        ),
    };
    Error::new(Kind::Exhausted, "change the owner")
        .store(link.feed.label())
        .detail(format!("{why} the write budget of {budget} ms"))
        .hint(hint)
}
