//! The driver of one live run, from wherever the stores are.
//!
//! Nothing that it must know is kept in the process: who owns the data, how far each side is, what was copied and
//! which steps are done are asked of the stores (I8). A process that is killed anywhere is followed by another that
//! runs the same code.
//!
//! | found | done |
//! |---|---|
//! | the target without the run's gate | the run was being finished: the rest of it is removed |
//! | the target as it was before the last change of the owner | nothing: the run is held (`set_back`) |
//! | a proposal that was never decided | it is withdrawn, then the owner's fence is opened |
//! | the source owns the data | capture, copy what no checkpoint covers, steps not yet done, follow |
//! | the target owns the data | the source stays fenced, changes go back to it |
//!
//! Absent: plans, journals and files, which are the caller's; what a switch does, which is `switch`.

use super::announce::{Announce, Watch, say_ended};
use super::held::{MAKE_ROOM, Noted, nobody_writes};
use super::link::{BATCH_ENTRIES, BATCH_ENTRIES_MAX, Link};
use super::pace::{Pace, Work};
use super::pass::Pass;
use super::set_back::Row;
use super::status::{Command, LivePhase, LiveStatus, SwitchOptions, Verification};
use crate::progress::{Event, Phase, Progress};
use crate::settings::Retries;
use crate::shutdown::Shutdown;
use crate::{build, clock, retry};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::connector::{Claim, Snapshot, Source, Target};
use switchover_core::live::{LiveStage, LiveStore, LiveTarget, Ownership, Side};
use switchover_core::plan::Plan;
use switchover_core::{Kind, Remedy, Result, failpoint};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often a table may lose its capture before the run waits for a person: what removes it does so for a reason.
const LOSSES_MAX: u32 = 8;

/// What an engine works with.
pub struct Parts {
    /// The run.
    pub run: String,
    /// The plan, made for live work.
    pub plan: Arc<Plan>,
    /// The source's side.
    pub source: Arc<dyn LiveStore>,
    /// The target's side.
    pub target: Arc<dyn LiveTarget>,
    /// The target as the copy writes it.
    pub store: Arc<dyn Target>,
    /// The source as the copy reads it.
    pub rows: Arc<dyn Source>,
    /// The hold on the target.
    pub claim: Box<dyn Claim>,
    /// What the application is told.
    pub announce: Arc<dyn Announce>,
    /// What may ask for a rollback by itself.
    pub watch: Arc<dyn Watch>,
    /// Streams into the target.
    pub streams: usize,
    /// Bytes of a chunk.
    pub chunk_bytes: usize,
    /// Rows of a chunk at most.
    pub chunk_rows: usize,
    /// What is tried again, and when.
    pub retries: Retries,
    /// Who is told what happens.
    pub progress: Arc<dyn Progress>,
    /// A request to stop.
    pub shutdown: Shutdown,
}

/// How an engine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was asked to stop: the run can be resumed.
    Stopped,
    /// The run was taken back.
    TakenBack,
    /// The run is finished: the store that owns the data is the application's alone.
    Finished,
}

/// What a stage of the run leads to.
pub(super) enum Turn {
    /// Ask the stores again who owns the data.
    Again,
    /// It is over.
    Over(End),
}

/// What a decision has left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owing {
    /// The new owner is not open yet: nobody can write anywhere.
    Owner,
    /// The owner is open, and the other store does not follow yet.
    Follower,
}

/// A run that is finished in both stores, and of which nobody was told yet.
pub(super) struct Finished {
    /// When that began.
    pub(super) begun: Instant,
    /// Who asked for it, where somebody did.
    pub(super) command: Option<Command>,
}

/// The driver.
pub struct Engine {
    pub(super) parts: Parts,
    pub(super) pace: Pace,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) status: watch::Sender<LiveStatus>,
    pub(super) verified: Verification,
    pub(super) pass: Option<Pass>,
    /// The source as it is read while it owns the data. Not before: a target that owns the data does not wait for it.
    pub(super) snapshot: Option<Arc<dyn Snapshot>>,
    /// Whether what a pass finds is mended: the stores were never equal yet, or what is under way may undo it.
    pub(super) mending: bool,
    /// Passes one behind the other that mended something.
    pub(super) mended_passes: u32,
    /// When the next pass begins by itself.
    pub(super) pass_due: Option<Instant>,
    /// A switch, or a finish, that waits until it can be done.
    pub(super) waiting: Option<(SwitchOptions, Command)>,
    /// When this process last changed the owner, and the application was told.
    pub(super) turned: Option<Instant>,
    /// Whether a process before this one, which stays, changed the owner, and ended with nothing following it.
    pub(super) owed_before: bool,
    /// What is still to be done behind the last decision of this process, if anything is.
    pub(super) owing: Option<Owing>,
    /// Whether all was done that follows from who owns the data.
    pub(super) settled: bool,
    /// Whether this process drives the run on behind a request.
    pub(super) stays: bool,
    /// How the run was finished, once it was.
    pub(super) finished: Option<Finished>,
    losses: u32,
    /// Whether this process followed an owner: from then on it waits for a store that cannot be reached.
    pub(super) followed: bool,
    /// Whether the log itself could not be read on.
    pub(super) torn: bool,
    /// Whether others changed the source's definitions since the stores were known to be equal.
    pub(super) source_redefined: bool,
    /// Whether all tables are to be copied again.
    pub(super) anew: bool,
    /// Tables whose changes cannot be taken, because these need more later ones than a batch holds.
    pub(super) stuck: Vec<usize>,
    /// Those that were copied again for that since the target was last followed.
    pub(super) unstuck: BTreeSet<usize>,
    /// Whether the target's constraints refused what was copied again, too.
    pub(super) refused: bool,
    pub(super) equal_at: Instant,
    pub(super) pressed_at: Option<Instant>,
    /// What the source and the target said of changes of their definitions when the comparison of all rows began.
    pub(super) redefined: [u64; 2],
    /// The proof of what the decision declared, beside the reverse window.
    pub(super) proving: Option<JoinHandle<Result<()>>>,
    /// When it is asked for again.
    pub(super) prove_due: Option<Instant>,
    /// When the application is told again who owns the data, and how long was waited for that; none when it knows.
    pub(super) untold: Option<(Instant, Duration)>,
    /// Of which decision row the application was told last, or was tried to be; none in the beginning.
    pub(super) announced: Option<Ownership>,
}

impl Engine {
    /// A driver, the place for requests to it, and what it tells.
    pub fn new(mut parts: Parts) -> (Engine, mpsc::Sender<Command>, watch::Receiver<LiveStatus>) {
        // One request is carried out at a time; a second waits in the channel, a third waits to send.
        let (sender, commands) = mpsc::channel(1);
        let status = LiveStatus::entering(&parts.run, parts.plan.source.rows, parts.plan.source.bytes);
        let (status, told) = watch::channel(status);
        parts.progress = Arc::new(Noted { inner: parts.progress, status: status.clone() });
        let engine = Engine {
            parts,
            pace: Pace::default(),
            commands,
            status,
            verified: Verification::Unproven,
            pass: None,
            snapshot: None,
            mending: false,
            mended_passes: 0,
            pass_due: None,
            waiting: None,
            turned: None,
            owed_before: false,
            owing: None,
            settled: false,
            stays: true,
            finished: None,
            losses: 0,
            followed: false,
            torn: false,
            source_redefined: false,
            anew: false,
            stuck: Vec::new(),
            unstuck: BTreeSet::new(),
            refused: false,
            equal_at: Instant::now(),
            pressed_at: None,
            redefined: [0; 2],
            proving: None,
            prove_due: None,
            untold: None,
            announced: None,
        };
        (engine, sender, told)
    }

    /// Drives the run until it is over or asked to stop.
    ///
    /// # Errors
    /// Whatever stops the run for good before it follows; afterwards it holds and tries again.
    pub async fn run(&mut self) -> Result<End> {
        let ended = match self.drive().await {
            // Wherever it waited when it was asked to.
            Err(error) if error.kind() == Kind::Interrupted && self.parts.shutdown.is_requested() => {
                Ok(End::Stopped)
            }
            ended => ended,
        };
        if matches!(ended, Ok(End::Stopped))
            && let Err(error) = self.parts.target.rest().await
        {
            // Then the next one waits a while longer than it would have to.
            self.note(format!("{error}"));
        }
        let shut = self.owing == Some(Owing::Owner);
        if shut && matches!(ended, Ok(End::Stopped)) {
            let owner = self.status.borrow().ownership.owner;
            self.note(format!("{}; `switchover resume` opens it as soon as it can be", nobody_writes(owner)));
        }
        self.tell(|status| {
            status.phase = LivePhase::Ended;
            if !shut {
                status.go_on();
            }
            if let Err(error) = &ended {
                status.hold(error.to_string());
            }
        });
        ended
    }

    async fn drive(&mut self) -> Result<End> {
        if self.again(async || self.parts.target.left().await).await? {
            self.note("the run was being finished: what is left of it is removed".into());
            if let Some(Turn::Over(end)) = self.remove(Instant::now(), None).await? {
                return Ok(end);
            }
        }
        self.no_end().await;
        let mut entered = match self.enter().await {
            Ok(Some(end)) => return Ok(end),
            Ok(None) => true,
            Err(error) => match self.outlast_asking(error, false).await? {
                Some(end) => return Ok(end),
                None => false,
            },
        };
        loop {
            let row = match entered {
                true => self.row().await,
                false => self.enter().await.map(|end| end.map_or(Row::Became, Row::Over)),
            };
            let ownership = match row {
                Ok(Row::Is(found)) => found,
                Ok(Row::Over(end)) => return Ok(end),
                // Behind a target that was set back all is done again, once; then the row is read.
                Ok(Row::Became) => {
                    entered = !entered;
                    continue;
                }
                Err(error) => match self.outlast_asking(error, entered).await? {
                    Some(end) => return Ok(end),
                    None => continue,
                },
            };
            let turn = match ownership.owner {
                Side::Source => self.forward().await,
                Side::Target => self.reverse().await,
            };
            match turn {
                Ok(Turn::Again) => {}
                Ok(Turn::Over(end)) => return Ok(end),
                Err(error) if error.kind() == Kind::Interrupted && self.parts.shutdown.is_requested() => {
                    return Err(error);
                }
                Err(error) if self.owing.is_some() => {
                    entered = false;
                    if let Some(end) = self.stand_owing(error).await? {
                        return Ok(end);
                    }
                }
                // Whatever it met, that is why; who asks for the row holds.
                Err(_) if self.is_set_back().await => {}
                // Copied again, its tables need no other half; what was taken of the others stays.
                Err(error) if !self.stuck.is_empty() => self.note(error.to_string()),
                // Nor do they fit without the others: what the application writes next may mend that.
                Err(error) if error.kind() == Kind::Rejected && !self.unstuck.is_empty() => {
                    self.refused = true;
                    if let Some(end) = self.stand(error, ownership.owner).await? {
                        return Ok(end);
                    }
                }
                // The capture is in doubt: it is made again, and the tables that lost it are copied again (I6).
                Err(error) if error.kind() == Kind::Changed => {
                    self.torn = true;
                    if self.losses < LOSSES_MAX {
                        self.losses += 1;
                        self.note(format!("{error}; making the capture again"));
                    } else if let Some(end) = self.stand(error, ownership.owner).await? {
                        return Ok(end);
                    }
                }
                Err(error) => {
                    if let Some(end) = self.outlast(error).await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Takes the run over, and finishes or withdraws what an earlier process left half done. Gives how it ended, if it did before that.
    async fn enter(&mut self) -> Result<Option<End>> {
        self.tell(|status| status.phase = LivePhase::Entering);
        let mut ownership = loop {
            self.again(async || self.parts.target.enter().await).await?;
            failpoint::hit("live-entered-target");
            if let Err(error) = self.again(async || self.parts.source.enter().await).await {
                self.open_without_source().await;
                return Err(error);
            }
            failpoint::hit("live-entered-source");
            match self.row().await? {
                Row::Is(found) => break found,
                // Another state of the target stands there now.
                Row::Became => {}
                Row::Over(end) => return Ok(Some(end)),
            }
        };
        if ownership.pending {
            ownership = self.withdrawn(ownership).await?;
        }
        failpoint::hit("live-withdrawn");
        self.on_record(ownership).await;
        self.settle_owner(ownership).await?;
        Ok(None)
    }

    /// Takes back a proposal that an earlier process made. First the decision row, so that nobody can decide any more, then the fence.
    pub(super) async fn withdrawn(&self, proposed: Ownership) -> Result<Ownership> {
        let withdrawn = proposed.withdrawn();
        self.again(async || match self.parts.target.decide(&proposed, &withdrawn, &[]).await {
            Ok(true) => Ok(()),
            Ok(false) if self.parts.target.ownership().await? == withdrawn => Ok(()),
            Ok(false) => Err(self.taken_over()),
            Err(error) => Err(error),
        })
        .await?;
        self.note("a change of the owner was under way and never decided: it is withdrawn".into());
        Ok(withdrawn)
    }

    /// Everything that follows from who owns the data, done again. The application is told as soon as the owner is open: what is left
    /// to do at the follower may have to wait until the application has gone from there.
    pub(super) async fn settle_owner(&mut self, ownership: Ownership) -> Result<()> {
        match ownership.owner {
            Side::Source => {
                self.insist(async || self.parts.source.unfence().await).await?;
                // Whichever process decided it.
                self.owing = Some(Owing::Follower);
                failpoint::hit("live-source-open");
                self.tell_owner(ownership).await;
                if ownership.epoch > Ownership::FIRST.epoch {
                    self.insist(async || self.parts.target.follow().await).await?;
                }
            }
            Side::Target => {
                self.still_shut(ownership).await;
                // Its fence was up before the target could be the owner: what keeps it from being made again is nothing to wait for.
                let fenced = self.parts.source.fence(MADE_AGAIN).await;
                self.insist(async || self.parts.target.unfence().await).await?;
                self.owing = self.owing.map(|_| Owing::Follower);
                self.tell_owner(ownership).await;
                if fenced.is_err() {
                    match self.insist(async || self.parts.source.fence(NO_WRITERS).await.map(drop)).await {
                        // The reverse window holds until it is back, as it was.
                        Err(error)
                            if matches!(error.kind(), Kind::NotFound | Kind::Changed | Kind::Rejected) =>
                        {
                            self.note(error.to_string());
                        }
                        fenced => fenced?,
                    }
                }
            }
        }
        (self.owing, self.settled) = (None, true);
        if let Err(error) = self.parts.announce.settled().await {
            self.note(error.to_string());
        }
        failpoint::hit("live-owner-settled");
        Ok(())
    }

    pub(super) async fn tell_owner(&mut self, ownership: Ownership) {
        self.tell(|status| status.ownership = ownership);
        self.announce(ownership).await;
    }

    pub(super) async fn ownership(&self) -> Result<Ownership> {
        self.again(async || self.parts.target.ownership().await).await
    }

    /// The source owns the data: bring the target up to it, and follow.
    pub(super) async fn forward(&mut self) -> Result<Turn> {
        self.unproven();
        (self.pass, self.pass_due) = (None, None);
        (self.mending, self.mended_passes) = (self.parts.target.may_lose(), 0);
        let (sent, whole) = self.send_back().await?;
        let captured = self.insist(async || self.parts.source.capture(&sent, &whole).await).await?;
        failpoint::hit("live-captured");
        // An older state of it may be one in which the target owned the data: nobody could write anywhere.
        self.insist(async || self.parts.source.unfence().await).await?;
        self.goes_on();
        let mut link = self.link(Side::Source);
        link.begin(&captured.from, NO_WRITERS).await?;
        link.resume().await?;
        if let Some(turn) = self.copy_all(&link).await? {
            return Ok(turn);
        }
        self.tell(|status| status.phase = LivePhase::CatchingUp);
        link.entries = BATCH_ENTRIES_MAX / 8;
        // One phase, whose steps alone take its time.
        let steps =
            self.parts.target.steps().iter().filter(|(stage, _)| *stage != LiveStage::Last).count() as u64;
        let (phase, mut took) = (Phase::Build, Duration::ZERO);
        self.parts.progress.event(Event::PhaseStarted { phase, rows: steps, bytes: 0 });
        for stage in [LiveStage::Keys, LiveStage::Uniques, LiveStage::References] {
            let begun = Instant::now();
            match self.steps(stage).await {
                // The copy may have met a row at two places.
                Err(error) if stage == LiveStage::Keys && error.kind() == Kind::Rejected => {
                    self.note("dropping rows that moved while they were copied, and came twice".into());
                    self.insist(async || self.parts.target.drop_repeats().await).await?;
                    failpoint::hit("live-repeats-dropped");
                    self.steps(stage).await?;
                }
                done => done?,
            }
            took += begun.elapsed();
            if let Some(turn) = self.catch_up(&mut link).await? {
                return Ok(turn);
            }
        }
        self.parts.progress.event(Event::PhaseFinished { phase, seconds: took.as_secs_f64() });
        self.steps(LiveStage::Last).await?;
        link.entries = BATCH_ENTRIES;
        self.pressed_at = None;
        let now = self.definitions().await?;
        let before = std::mem::replace(&mut self.redefined, now);
        if now[0] != before[0] {
            // Since it was followed last, or entered: an older state of it may stand there, in which the target owned the data.
            self.source_redefined = true;
            self.insist(async || self.parts.source.unfence().await).await?;
        }
        self.pass = Some(Pass::default());
        self.unstuck.clear();
        self.refused = false;
        self.tell(|status| status.phase = LivePhase::Following);
        self.follow(link).await
    }

    /// The source as the copy reads it.
    pub(super) async fn snapshot(&mut self) -> Result<Arc<dyn Snapshot>> {
        if let Some(snapshot) = &self.snapshot {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = self.again(async || self.parts.rows.passing().await).await?;
        self.snapshot = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// The target owns the data: bring the source up to it, so that there is a way back.
    async fn reverse(&mut self) -> Result<Turn> {
        let mut link = self.link(Side::Target);
        self.pace.at_work(Work::Following);
        if let Err(error) = self.begin_reverse(&mut link).await {
            if error.kind() == Kind::Busy {
                // Either somebody holds a lock, or another process has the run.
                self.still_ours().await?;
            }
            let ends = matches!(error.kind(), Kind::Ambiguous | Kind::Interrupted);
            if ends || error.kind().remedy() == Remedy::Retry {
                return Err(error);
            }
            // The first reading meets it again, and holds: an engine that ended would tell nobody what there is to do. Where the
            // source cannot be asked how far it is either, that reading asks again.
            let _ = link.locate().await;
        }
        let epoch = self.status.borrow().ownership.epoch;
        self.know_difference(epoch).await;
        self.announce_difference().await;
        self.begin_proof();
        self.tell(|status| status.phase = LivePhase::Reverse);
        self.follow(link).await
    }

    /// Takes note of how the source of this epoch is known to differ, whichever process found it.
    pub(super) async fn know_difference(&mut self, epoch: u64) {
        let known = self.parts.announce.known_difference(epoch).await;
        if let Some(why) = known.unwrap_or_else(|unknown| Some(unknown.to_string())) {
            let verified = Verification::Different { why };
            self.verified = verified.clone();
            self.tell(|status| status.verification = verified);
        }
    }

    /// Makes sure of the reverse log, and has it forget what the source has.
    async fn begin_reverse(&self, link: &mut Link) -> Result<()> {
        // Where the capture is in doubt, what was missed cannot be copied under the application's feet:
        // reading changes fails, and the run holds with that error.
        if !self.again(async || self.parts.target.doubts().await).await?.is_empty() {
            return link.locate().await;
        }
        self.again(async || self.parts.target.capture(&[], &[]).await).await?;
        link.resume().await
    }

    pub(super) fn link(&self, from: Side) -> Link {
        let (source, target) =
            (Arc::clone(&self.parts.source), Arc::clone(&self.parts.target) as Arc<dyn LiveStore>);
        let (feed, into) = match from {
            Side::Source => (source, target),
            Side::Target => (target, source),
        };
        Link {
            plan: Arc::clone(&self.parts.plan),
            feed,
            into,
            from,
            position: None,
            entries: BATCH_ENTRIES,
            tried: Vec::new(),
            astray: false,
            unread: false,
            owing: false,
            ahead: None,
            stuck: Vec::new(),
            progress: Arc::clone(&self.parts.progress),
            shutdown: self.parts.shutdown.clone(),
            retries: self.parts.retries,
        }
    }

    /// Takes everything back that the run made; the source owns the data.
    pub(super) async fn take_back(&mut self) -> Result<End> {
        // Where somebody's lock keeps the tables there for long, they are not what they were all the same.
        self.unproven();
        // A finish may have been begun that could not go on.
        self.parts.announce.ending(false).await?;
        // Before anything is removed, so that nobody is sent to tables that are gone.
        say_ended(&*self.parts.announce, Side::Source, &*self.parts.progress).await;
        self.insist_with(MAKE_ROOM, async || self.parts.source.leave().await).await?;
        failpoint::hit("live-source-left");
        let schema = &self.parts.plan.options.schema;
        self.insist(async || self.parts.store.discard(schema, &self.parts.run).await).await?;
        failpoint::hit("live-target-discarded");
        Ok(End::TakenBack)
    }

    pub(super) async fn steps(&mut self, stage: LiveStage) -> Result<()> {
        let steps = self.parts.target.steps();
        let steps: Vec<_> = steps.into_iter().filter(|(at, _)| *at == stage).map(|(_, step)| step).collect();
        let parts = &self.parts;
        let work = build::Work {
            plan: &parts.plan,
            run: &parts.run,
            target: &parts.store,
            progress: &parts.progress,
            shutdown: &parts.shutdown,
            retries: parts.retries,
            jobs: parts.streams.min(parts.store.streams_max()).max(1),
        };
        work.carry_out(steps, stage != LiveStage::Last).await?;
        failpoint::hit("live-steps");
        Ok(())
    }

    pub(super) async fn again<T>(&self, work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        retry::again(self.parts.retries, &*self.parts.progress, &self.parts.shutdown, work).await
    }

    /// What was proven before counts no more, and nobody is to read it.
    pub(super) fn unproven(&mut self) {
        self.verified = Verification::Unproven;
        self.tell(|status| status.verification = Verification::Unproven);
    }

    pub(super) fn note(&self, text: String) {
        self.parts.progress.event(Event::Note { text });
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut LiveStatus)) {
        self.status.send_modify(|status| {
            status.at = clock::now();
            status.waiting = self.waiting.is_some();
            change(status);
        });
    }
}

/// How long writers are waited for where there are none: at a target that follows, and at a source that was fenced.
pub(super) const NO_WRITERS: Duration = Duration::from_secs(10);

/// The same where the application waits to be told, and the fence is up: as long as it takes anybody to notice.
const MADE_AGAIN: Duration = Duration::from_secs(1);

pub(super) fn names(plan: &Plan, tables: &[usize]) -> String {
    let names: Vec<&str> = tables.iter().map(|table| plan.tables[*table].source.as_str()).collect();
    names.join(", ")
}
