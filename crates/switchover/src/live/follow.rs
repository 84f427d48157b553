//! Following the owner: one batch, one observation, what was asked for, and again; and waiting for a person where
//! something needs one.

use super::engine::{Engine, NO_WRITERS, Turn, names};
use super::link::{BATCH_ENTRIES, BATCH_ENTRIES_BEHIND, Forgot, Link, Step};
use super::pass::{Mending, Pass};
use super::record::Proof;
use super::requests::not_ready;
use super::status::{LiveStatus, SwitchOptions, Verification};
use super::trespass::with_remedy;
use crate::clock;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::live::{Seen, Side};
use switchover_core::{Error, Kind, Remedy, Result};
use tokio::time::Instant;

/// How long a follower that is up to date waits before it looks again: a twelfth of the lag that is promised.
const IDLE: Duration = Duration::from_millis(20);

/// How long a run that is held waits before it tries again.
const HELD: Duration = Duration::from_secs(5);

/// How often a run that is paused looks at what waits: as often as its status is read by people.
pub(super) const RESTING: Duration = Duration::from_secs(1);

/// What a reverse window says that is paused.
const PAUSED_REVERSE: &str =
    "paused: nothing is fed back to the source, and the target's log grows; `switchover resume` goes on";

/// How long the proof waits before it is asked for again: each time that it meets a lock of the application's, the application's
/// statements may wait behind it for a tenth of a second, so for a fiftieth of the time at most.
const PROVE_AGAIN: Duration = Duration::from_secs(5);

/// How long it waits for the next pass while a request of nobody's may still be carried out.
const PASS_AGAIN: Duration = Duration::from_secs(1);

/// Passes one behind the other that mend something: more, and somebody else writes there, or the store keeps nothing.
const MENDED_PASSES_MAX: u32 = 16;

/// How often the bearing of the stores is looked at, whether the follower is there, and whether a target that owns the data is open: for
/// so long nobody may be able to write.
pub(super) const PRESSURE_EVERY: Duration = Duration::from_secs(1);

/// How much the newest batch counts in the rate that is shown: half of it after seven batches.
const RATE_WEIGHT: f64 = 0.1;

/// That the follower was not found where nobody led it.
pub(super) fn as_left(link: &Link) -> Result<()> {
    match link.astray {
        false => Ok(()),
        true => Err(not_ready("the store that follows was set back, and what it has is found out again")
            .store(link.into.label())
            .hint("`switchover status` shows what comes of it; then ask again")),
    }
}

impl Engine {
    /// Follows the owner until the owner changes or the run ends.
    pub(super) async fn follow(&mut self, mut link: Link) -> Result<Turn> {
        self.followed = true;
        loop {
            match self.turn(&mut link).await {
                Ok(None) => {}
                Ok(Some(turn)) => return Ok(turn),
                // Behind a change of the owner there is nothing to follow by this link.
                Err(error)
                    if self.owing.is_some()
                        || matches!(error.kind(), Kind::Interrupted | Kind::Ambiguous) =>
                {
                    return Err(error);
                }
                // Whatever it met, that is why; who asks for the row holds.
                Err(_) if self.is_set_back().await => return Ok(Turn::Again),
                // Another process may have the run, and have written what was not expected there.
                Err(error) if error.kind() == Kind::Different => {
                    self.surely_ours().await?;
                    self.hold(&mut link, error).await?;
                }
                // Either somebody holds a lock, or another process has the run.
                Err(error) if error.kind() == Kind::Busy => {
                    self.still_ours().await?;
                    self.hold(&mut link, error).await?;
                }
                // In the reverse window nothing can be copied anew; forward, the capture is made again.
                Err(error) if error.kind() == Kind::Changed && link.from == Side::Source => {
                    return Err(error);
                }
                Err(error) if self.sends_back(&mut link, &error) => return Err(error),
                Err(error) => self.hold(&mut link, error).await?,
            }
        }
    }

    /// Something needs a person. Nothing is lost meanwhile: the owner's log keeps every change.
    pub(super) async fn hold(&mut self, link: &mut Link, error: Error) -> Result<()> {
        if link.from == Side::Target && error.kind() == Kind::Changed {
            // What changed the capture may have shut the target, too. Where it cannot be asked now, the next turn does.
            let _ = self.keep_open().await;
        }
        let error = match link.from {
            Side::Target => self.with_way_out(error).await,
            Side::Source => error,
        };
        let held = with_remedy(link.from, &error);
        self.note(format!("held: {held}"));
        self.tell(|status| status.hold(held));
        let differed = matches!(self.verified, Verification::Different { .. });
        self.in_doubt(link.from, &error).await;
        if !differed {
            self.announce_difference().await;
        }
        if link.from == Side::Target && error.kind() == Kind::Different {
            // Whatever was written to the follower, nothing more is to be. Where that fails, the next turn meets it again.
            let _ = self.parts.source.fence(NO_WRITERS).await;
        }
        let looks = link.from == Side::Target && error.kind().remedy() != Remedy::Retry;
        self.stand_still(looks).await;
        // Where it cannot be asked now, the next turn says so, and holds again.
        let _ = link.locate().await;
        Ok(())
    }

    /// Waits before what holds the run is tried again, no longer than until the target is set back. With `looks`, the target is kept open
    /// meanwhile: who finds its fence on waits no longer than elsewhere.
    async fn stand_still(&mut self, looks: bool) {
        let (stop, until) = (self.parts.shutdown.clone(), Instant::now() + HELD);
        loop {
            let next = until.min(Instant::now() + PRESSURE_EVERY);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next) => {}
                () = stop.requested() => return,
            }
            if next >= until || self.is_set_back().await {
                return;
            }
            if looks {
                self.open_once().await;
            }
        }
    }

    /// What was taken last may not have been read back, or differs: the proof begins anew, where there can be one.
    pub(super) async fn in_doubt(&mut self, from: Side, error: &Error) {
        let differs = matches!(self.verified, Verification::Different { .. });
        (self.verified, self.pass) = match (error.kind(), from) {
            (Kind::Different, _) => (Verification::Different { why: error.to_string() }, None),
            (_, Side::Source) => (Verification::Unproven, Some(Pass::default())),
            // What differs stays so: nothing is compared again in the reverse window.
            (_, Side::Target) if differs => (self.verified.clone(), None),
            (_, Side::Target) => (Verification::Unproven, None),
        };
        let verified = self.verified.clone();
        self.tell(|status| status.verification = verified);
        if error.kind() == Kind::Different && from == Side::Target {
            let epoch = self.status.borrow().ownership.epoch;
            if let Err(unkept) = self.parts.announce.differs(epoch, &error.to_string()).await {
                self.note(format!(
                    "{unkept}; a later engine of the run will not know that the source differs"
                ));
            }
        }
    }

    /// One batch, one observation, and what was asked for.
    pub(super) async fn turn(&mut self, link: &mut Link) -> Result<Option<Turn>> {
        self.parts.shutdown.check("follow the owner")?;
        self.announce_again().await;
        if self.is_to_look() && self.is_set_back().await {
            return Ok(Some(Turn::Again));
        }
        if let Some(turn) = self.obey(link).await? {
            return Ok(Some(turn));
        }
        if self.is_to_look() {
            if link.from == Side::Target {
                self.keep_open().await?;
            }
            // One that is gone, or was set back, would be met by the next change alone.
            self.again(async || link.into.look().await).await?;
            link.stands().await?;
        }
        if link.astray {
            // Whoever has taken the run over led it there.
            self.still_ours().await?;
            return Ok(Some(self.astray(link)));
        }
        if self.pace.limits().paused {
            return self.rest(link).await;
        }
        // A limit may hold it back for hours: what is asked for, and the guards, do not wait for that.
        let (pace, stop) = (self.pace.clone(), self.parts.shutdown.clone());
        tokio::select! {
            biased;
            waited = pace.wait() => waited?,
            () = stop.requested() => return Ok(None),
            Some(command) = self.commands.recv() => return self.carry_out(link, command).await,
            () = tokio::time::sleep(RESTING) => return self.guarded(link).await,
        }
        self.look_again(link);
        // What is compared counts at the log's end only.
        let is_near = self.status.borrow().lag_entries.is_none_or(|behind| behind < BATCH_ENTRIES_BEHIND);
        let compared = self.pass.as_ref().filter(|_| is_near && self.pace.decision().compares);
        let beside = compared.and_then(|pass| pass.next(&self.parts.plan));
        let mut step = link.step(beside.as_ref(), true).await?;
        self.took(&step).await;
        link.entries =
            if step.changes.behind >= BATCH_ENTRIES { BATCH_ENTRIES_BEHIND } else { BATCH_ENTRIES };
        let busy = step.changes.entries > 0;
        if step.changes.complete
            && let Some(seen) = step.changes.beside.take()
        {
            self.observe(seen).await?;
        }
        self.tell(LiveStatus::go_on);
        self.proven().await?;
        self.press(link).await?;
        if let Some(turn) = self.guarded(link).await? {
            return Ok(Some(turn));
        }
        if busy || self.pass.is_some() {
            return Ok(None);
        }
        self.idle(link, IDLE).await
    }

    /// Takes nothing: what waits grows, and so does the time since the stores were equal.
    async fn rest(&mut self, link: &mut Link) -> Result<Option<Turn>> {
        self.press(link).await?;
        let lag = self.equal_at.elapsed().as_secs_f64();
        self.tell(|status| {
            if link.from == Side::Target {
                status.hold(PAUSED_REVERSE.to_owned());
            }
            // What was taken is forgotten by the log: all that is there waits.
            status.lag_entries = Some(status.pressure.log_entries);
            status.lag_s = Some(lag);
        });
        if let Some(turn) = self.guarded(link).await? {
            return Ok(Some(turn));
        }
        self.idle(link, RESTING).await
    }

    /// Has the guards of the reverse window look, and goes back where they say so.
    async fn guarded(&mut self, link: &mut Link) -> Result<Option<Turn>> {
        if link.from == Side::Source {
            return Ok(None);
        }
        let status = self.status.borrow().clone();
        let why = self.parts.watch.look(&status).await;
        let said = self.parts.watch.said().await;
        if said != status.guards {
            // A window has ended: what was demanded in one before counts no more, unless it is demanded again, or another guard's is.
            let demands = why.is_some() || self.parts.watch.demands().await;
            self.tell(|status| {
                status.guards = said;
                if !demands {
                    status.alarm.clear();
                }
            });
        }
        let Some(why) = why else { return Ok(None) };
        if let Verification::Different { why: differs } = &self.verified {
            // What was acknowledged may be in the target alone: a person has to say which store is right.
            let alarm =
                format!("{why}; it does not go back by itself, for the source is known to differ: {differs}");
            if self.status.borrow().alarm != alarm {
                self.note(alarm.clone());
            }
            self.tell(|status| status.alarm = alarm);
            return Ok(None);
        }
        let not_yet = match self.ready(link) {
            Ok(()) => self.may_change().await.err().map(|untold| untold.to_string()),
            Err(not_yet) => Some(not_yet.why().to_owned()),
        };
        if let Some(not_yet) = not_yet {
            // The next window asks again.
            let alarm = format!("{why}; it cannot go back now: {not_yet}");
            self.note(alarm.clone());
            self.tell(|status| status.alarm = alarm);
            return Ok(None);
        }
        self.note(format!("going back by itself: {why}"));
        match self.switch(link, SwitchOptions::default(), Some(why.clone())).await {
            Ok((_, owed)) => owed.map_or(Ok(Some(Turn::Again)), Err),
            Err(error) => {
                // It is tried again with a later window. Until then `held` comes and goes, and nobody would be called.
                if error.kind() != Kind::Interrupted {
                    let alarm = format!("{why}; it could not go back: {error}");
                    self.tell(|status| status.alarm = alarm);
                }
                let detail = format!("{}; it was going back by itself, because {why}", error.why());
                Err(error.detail(detail))
            }
        }
    }

    /// Waits for a request or the next look.
    pub(super) async fn idle(&mut self, link: &mut Link, wait: Duration) -> Result<Option<Turn>> {
        let stop = self.parts.shutdown.clone();
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => Ok(None),
            () = stop.requested() => Ok(None),
            Some(command) = self.commands.recv() => self.carry_out(link, command).await,
        }
    }

    /// The follower is not where it was left: all that this process knows of it is asked of the stores again.
    pub(super) fn astray(&self, link: &Link) -> Turn {
        self.note(format!(
            "{} was set back: it is not where it was left; what it has is found out again",
            link.into.label()
        ));
        Turn::Again
    }

    pub(super) async fn observe(&mut self, seen: Seen) -> Result<()> {
        let Some(mut pass) = self.pass.take() else { return Ok(()) };
        let parts = &self.parts;
        let mending = || {
            let (snapshot, shutdown) = (self.snapshot.as_ref(), &parts.shutdown);
            snapshot.filter(|_| self.mending).map(|snapshot| Mending { snapshot, shutdown })
        };
        let observed = self
            .again(async || pass.observe(&parts.plan, &*parts.store, &*parts.target, &seen, mending()).await)
            .await;
        let (rows, table) = (pass.rows, pass.at(&self.parts.plan).map(|table| table.source.clone()));
        self.verified = match (observed, table) {
            (Ok(()), Some(table)) => Verification::Running { rows, table },
            (Ok(()), None) if !pass.is_proof() || !self.parts.target.unsettled().is_zero() => {
                self.once_more(&pass)
            }
            (Ok(()), None) => {
                (self.mending, self.source_redefined) = (false, false);
                let at = clock::now();
                self.prove(Some(&Proof { at: at.clone(), tables: pass.tables.clone(), differs: None })).await;
                Verification::Same { rows, at }
            }
            // What changed its definitions may have put an older state of it there, whose log knows nothing of what it took away.
            (Err(error), _) if error.kind() == Kind::Different && self.source_redefined => {
                (self.anew, self.source_redefined) = (true, false);
                return Err(Error::new(Kind::Changed, "compare the stores while they are written")
                    .store(self.parts.source.label())
                    .detail(format!(
                        "its definitions were changed since the stores were equal, or an older state of it was put in its place, and now they differ: {error}"
                    ))
                    .hint("all tables are copied again"));
            }
            (Err(error), _) if error.kind() == Kind::Different => {
                let why = error.to_string();
                let differs = Some(why.clone());
                self.prove(Some(&Proof { at: clock::now(), tables: pass.tables.clone(), differs })).await;
                Verification::Different { why }
            }
            (Err(error), _) => return Err(error),
        };
        if matches!(self.verified, Verification::Running { .. }) && self.pass_due.is_none() {
            self.pass = Some(pass);
        }
        // Before the status: whoever reads the verdict there finds the route as it says.
        if matches!(self.verified, Verification::Same { .. }) {
            let ownership = self.announced();
            self.announce(ownership).await;
        }
        self.announce_difference().await;
        let verified = self.verified.clone();
        self.tell(|status| status.verification = verified);
        Ok(())
    }

    /// Keeps what a comparison of all rows came to.
    pub(super) async fn prove(&self, proof: Option<&Proof>) {
        if let Err(unkept) = self.parts.announce.proven(proof).await {
            self.note(format!("{unkept}; the report of the run will not know what the comparison came to"));
        }
    }

    /// What a pass says that mended something, or during which a request of nobody's could still be carried out: that
    /// another follows.
    fn once_more(&mut self, pass: &Pass) -> Verification {
        self.mended_passes = if pass.mended > 0 { self.mended_passes + 1 } else { 0 };
        if self.mended_passes > MENDED_PASSES_MAX {
            let why = format!(
                "{} rows were not as they should be once more, after {MENDED_PASSES_MAX} passes wrote such rows again",
                pass.mended
            );
            return Verification::Different { why };
        }
        if pass.mended > 0 {
            self.note(format!(
                "{} rows of the target were not as they should be: they were written again, or removed where the source has none",
                pass.mended
            ));
        }
        let pause = if pass.mended > 0 { Duration::ZERO } else { PASS_AGAIN };
        self.pass_due = Some(Instant::now() + pause);
        let table = self.parts.plan.tables.first().map(|table| table.source.clone());
        Verification::Running { rows: pass.rows, table: table.unwrap_or_default() }
    }

    /// Begins a pass that is due; and where a request of nobody's may undo what was proven, it is proven no more.
    pub(super) fn look_again(&mut self, link: &Link) {
        if link.from == Side::Target {
            return;
        }
        let settled = self.parts.target.unsettled().is_zero();
        if !settled && matches!(self.verified, Verification::Same { .. }) {
            self.note(
                "the answer to a request was lost, which may be carried out later: comparing again".into(),
            );
            self.mending = true;
            self.unproven();
            self.pass_due = Some(Instant::now());
        }
        if self.pass.is_none() && self.pass_due.is_some_and(|due| due <= Instant::now()) {
            self.pass_due = None;
            self.pass = Some(Pass::default());
        }
        if let Some(pass) = &mut self.pass {
            pass.settled.get_or_insert(settled);
        }
    }

    /// Proves the target's keys beside the reverse window.
    pub(super) fn begin_proof(&mut self) {
        let target = Arc::clone(&self.parts.target);
        self.proving = Some(tokio::spawn(async move { target.prove().await }));
        self.prove_due = None;
    }

    /// Takes note of how the proof ended that runs beside the reverse window, and begins one that is due again.
    async fn proven(&mut self) -> Result<()> {
        if self.prove_due.is_some_and(|due| due <= Instant::now()) {
            self.begin_proof();
        }
        let Some(proving) = self.proving.take_if(|proving| proving.is_finished()) else { return Ok(()) };
        let proven =
            proving.await.map_err(|cause| Error::new(Kind::Internal, "prove the keys").because(cause))?;
        match proven {
            // What it had to prove is no more.
            Err(_) if self.status.borrow().ownership.owner != Side::Target => Ok(()),
            // The application's own transactions go first.
            Err(error) if error.kind() == Kind::Busy || error.kind().remedy() == Remedy::Retry => {
                if error.kind() == Kind::Busy {
                    // Either somebody holds a lock, or another process has the run.
                    self.parts.claim.check().await?;
                }
                self.prove_due = Some(Instant::now() + PROVE_AGAIN);
                Ok(())
            }
            proven => proven,
        }
    }

    /// Counts what a step did.
    pub(super) async fn took(&mut self, step: &Step) {
        if step.in_part {
            // What was found equal before is not any more, and who compares anew finds what never comes.
            self.unproven();
            self.pass = Some(Pass::default());
            // Where nothing changes such a row later, the comparison writes it again.
            self.mending = true;
        }
        match step.forgot {
            Some(Forgot::Done(took)) => self.pace.wrote(took),
            Some(Forgot::Busy(took)) => self.pace.met_busy(took),
            None => {}
        }
        self.pace.left(step.changes.behind);
        self.pace.read(step.read);
        self.pace.took(step.rows).await;
        if step.changes.complete {
            self.equal_at = Instant::now();
            // Who reads by the route holds it against the route's.
            let epoch = self.announced().epoch;
            self.parts.announce.equal(epoch, step.read_at, step.changes.entries > 0).await;
        }
        let lag = self.equal_at.elapsed().as_secs_f64();
        let (slowed, read_ms_max) = (self.pace.decision().slowed, self.pace.read_ms_max());
        self.tell(|status| {
            (status.slowed, status.read_ms_max) = (slowed, read_ms_max);
            status.rows_taken += step.rows;
            status.lag_entries = Some(step.changes.behind);
            status.lag_s = Some(lag);
            if step.rows > 0 {
                let now = step.rows as f64 / step.took.as_secs_f64().max(1e-6);
                let before = if status.rows_per_s > 0.0 { status.rows_per_s } else { now };
                status.rows_per_s = before + (now - before) * RATE_WEIGHT;
            }
            status.switch_s = Some(step.changes.behind as f64 / status.rows_per_s.max(1.0));
        });
    }

    /// Whether the target's gate is as the run left it: whoever took it away may have written there, so all rows
    /// are compared again where it is not.
    pub(super) async fn is_target_guarded(&mut self) -> Result<bool> {
        let open = self.again(async || self.parts.target.doubts().await).await?;
        if open.is_empty() {
            return Ok(true);
        }
        self.note(format!(
            "the gate of these tables was open, and somebody may have written to the target; all rows are compared again: {}",
            names(&self.parts.plan, &open)
        ));
        self.again(async || self.parts.target.capture(&open, &[]).await).await?;
        self.unproven();
        self.pass = Some(Pass::default());
        Ok(false)
    }

    /// What the source and the target say of changes of their definitions.
    pub(super) async fn definitions(&self) -> Result<[u64; 2]> {
        let source = self.again(async || self.parts.source.redefined().await).await?;
        let target = self.again(async || self.parts.target.redefined().await).await?;
        Ok([source, target])
    }

    /// The store whose definitions are not what they were when the comparison began. Whoever changed them may have written rows while
    /// there was no trigger, so all rows are compared again then.
    pub(super) async fn redefined_since(&mut self) -> Result<Option<Side>> {
        let now = self.definitions().await?;
        if now == self.redefined {
            return Ok(None);
        }
        let side = if now[0] == self.redefined[0] { Side::Target } else { Side::Source };
        self.source_redefined |= side == Side::Source;
        self.note(format!("the {side}'s definitions were changed; all rows are compared again"));
        self.redefined = now;
        self.unproven();
        self.pass = Some(Pass::default());
        Ok(Some(side))
    }

    /// Looks at what the owner bears, and whether the target is as the run left it, now and then.
    pub(super) async fn press(&mut self, link: &Link) -> Result<()> {
        if link.from == Side::Source && self.is_to_look() {
            self.is_target_guarded().await?;
            if self.redefined_since().await? == Some(Side::Source) {
                // An older state of it may be one in which the target owned the data: nobody could write anywhere.
                self.insist(async || self.parts.source.unfence().await).await?;
            }
        }
        self.bear(link).await
    }

    pub(super) fn is_to_look(&self) -> bool {
        self.pressed_at.is_none_or(|at| at.elapsed() >= PRESSURE_EVERY)
    }

    /// Looks at what the owner bears, now and then.
    pub(super) async fn bear(&mut self, link: &Link) -> Result<()> {
        if self.is_to_look() {
            self.pressed_at = Some(Instant::now());
            let pressure = self.again(async || link.feed.pressure().await).await?;
            self.pace.looked(pressure.wal_bytes);
            self.tell(|status| status.pressure = pressure);
        }
        Ok(())
    }
}
