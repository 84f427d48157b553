//! A live run from its plan to its end: what the engine needs is made, and what it tells is kept.
//!
//! plan → obstacles → backup → schema → engine. A run that is taken up again goes straight to the engine, which asks the
//! stores where they are.

use super::alarm;
use super::announce::{Announce, Watch, say_ended};
use super::control;
use super::engine::{End, Engine, Parts};
use super::finished::{self, Ended};
use super::follow::PRESSURE_EVERY;
use super::gone;
use super::record;
use super::requests::{answer, copy_of};
use super::status::{Answer, Command, LiveStatus, Request};
use crate::journal::{self, Header, Journal, State};
use crate::migration::Migration;
use crate::progress::{Event, Phase, Progress};
use crate::report::BackupNote;
use crate::settings::OnFailure;
use crate::{clock, copy, reserve};
use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchover_core::codec::Codec;
use switchover_core::connector::Claim;
use switchover_core::existing::ExistingOptions;
use switchover_core::live::{LiveRun, Ownership, Side};
use switchover_core::plan::{Plan, PlanOptions, Refusal};
use switchover_core::schema::Locator;
use switchover_core::{Error, Kind, Result, failpoint};
use tokio::sync::{mpsc, watch};

/// The status as other processes read it, in the run's folder.
const STATUS: &str = "live.json";

/// How often the status is written at most: as often as a person looks.
const STATUS_EVERY: Duration = Duration::from_millis(200);

/// How often a reserve of which something was given back is made whole again, where there is room: who frees some looks no sooner.
const RESERVE_EVERY: Duration = Duration::from_secs(5);

/// Bytes of a chunk at most: it is read in some ten milliseconds, for which the application's checkpoints cannot
/// fold the source's log back. Beside chunks of 8 MiB the slowest commits take longer, and the copy is no faster.
const CHUNK_BYTES_MAX: usize = 2 << 20;

/// The owner that a rollback means which is asked for once more behind one that left something to do.
const OF_TARGET: Ownership = Ownership { owner: Side::Target, pending: false, epoch: 0 };

/// What a live run does outside the stores. Made when the run is known.
pub trait Surroundings: Send + Sync {
    /// Whether a run may begin, asked before anything is changed: it would take nothing of another one's.
    fn may_begin(&self) -> Result<()> {
        Ok(())
    }
    /// Who tells the application which store is the owner.
    fn announce(&self, header: &Header, folder: &Path) -> Result<Arc<dyn Announce>>;
    /// Who watches it in the reverse window.
    fn watch(&self, header: &Header) -> Result<Arc<dyn Watch>>;
    /// Whether the run's folder stays when the run is over, and with it what is told of it by name.
    fn is_kept(&self) -> bool {
        true
    }
}

/// A run that this process has taken up.
pub(super) struct Reopened {
    pub(super) journal: Journal,
    pub(super) plan: Plan,
    pub(super) claim: Box<dyn Claim>,
    /// What its status said before.
    pub(super) told: Option<LiveStatus>,
}

/// Has the status of a run say again what it said before this process took the run up: nothing came of that.
pub(super) fn put_down(folder: &Path, told: Option<&LiveStatus>) {
    if let Some(told) = told {
        // One that cannot be written stops nothing.
        let _ = write_status(folder, told);
    }
}

impl Surroundings for super::announce::Nobody {
    fn announce(&self, _: &Header, _: &Path) -> Result<Arc<dyn Announce>> {
        Ok(Arc::new(*self))
    }

    fn watch(&self, _: &Header) -> Result<Arc<dyn Watch>> {
        Ok(Arc::new(*self))
    }
}

/// What is asked for, as a live run plans it.
pub(super) fn live_options(asked: &PlanOptions) -> PlanOptions {
    let existing = asked.existing.clone().map(|existing| ExistingOptions { live: true, ..existing });
    PlanOptions { existing, ..asked.clone() }
}

/// Values for which there is no way back, so that a reverse window could not carry them.
fn back_again(plan: &Plan) -> Vec<Refusal> {
    let columns =
        plan.tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
    // What the source does not have is not carried back.
    let one_way = columns.filter(|(_, column)| !column.added).filter(|(_, column)| match &column.codec {
        Codec::Uuid5 { .. } => true,
        Codec::Native(native) => !native.comes_back(),
        _ => false,
    });
    one_way
        .map(|(table, column)| Refusal {
            table: table.source.clone(),
            column: column.source.clone(),
            key: String::new(),
            value: String::new(),
            why: "its values cannot be carried back to the source, which a live run must be able to do"
                .into(),
            hint: "move it without that mapping, or stop the application and use `switchover migrate`".into(),
        })
        .collect()
}

/// The plan as the copy of a live run reads: in the order of the keys, or by place where the target takes rows in any
/// order, which is the order in which they lie (docs/decisions/0023).
fn in_order(plan: &mut Plan, any: bool) {
    for table in &mut plan.tables {
        if any && matches!(table.locator, Locator::RowId(_)) {
            continue;
        }
        if let Some(locator) = table.key_locator() {
            table.locator = locator;
        }
    }
}

impl Migration {
    /// Begins a live run and drives it until it is over or asked to stop.
    ///
    /// # Errors
    /// `Refused` with the first reason when the stores or the plan do not allow it; whatever stops the run.
    pub async fn start(&self, surroundings: &dyn Surroundings) -> Result<End> {
        self.distinct()?;
        let run = crate::migration::run_id();
        let claim = self.target.claim(&self.settings.plan.schema, &run).await?;
        let plan = self.live_plan_of(&run).await?;
        if let Some(first) = plan.refusals.first() {
            let error = crate::migration::refused(first, plan.refusals.len(), crate::migration::DRY_RUN);
            return Err(if first.table.is_empty() { error.store(self.target.label()) } else { error });
        }
        self.check_room(&plan)?;
        surroundings.may_begin()?;
        let header = Header {
            run,
            started_at: clock::now(),
            source: self.source.label(),
            target: self.target.label(),
            on_failure: OnFailure::Keep,
            backup: self.settings.backup,
            live: true,
        };
        let journal = Journal::create(&self.settings.state_dir, header, &plan)?;
        failpoint::hit("after-planned");
        self.live(journal, plan, claim, surroundings, None).await.map(|(end, _)| end)
    }

    /// Goes on with a live run: the one named, or the newest.
    ///
    /// # Errors
    /// `NotFound` without such a run; whatever stops it.
    pub async fn take_up(&self, run: Option<&str>, surroundings: &dyn Surroundings) -> Result<End> {
        let Reopened { journal, plan, claim, .. } = self.reopen(run).await?;
        self.live(journal, plan, claim, surroundings, None).await.map(|(end, _)| end)
    }

    /// Takes a live run up for one request, and puts it down again.
    ///
    /// # Errors
    /// As [`Migration::take_up`]; what came of the request.
    pub async fn take_up_for(
        &self,
        run: Option<&str>,
        surroundings: &dyn Surroundings,
        request: Request,
    ) -> Result<Answer> {
        let Reopened { journal, plan, claim, told } = self.reopen(run).await?;
        let answered = self.of_readers(&journal, &plan, surroundings, &request).await;
        if !matches!(answered, Ok(None)) {
            put_down(journal.folder(), told.as_ref());
        }
        if let Some(answer) = answered? {
            return Ok(answer);
        }
        let folder = journal.folder().to_owned();
        // A record that cannot be read says nothing; `status` tells of it.
        let repeats = matches!(request, Request::Rollback(_)) && record::is_owed(&folder).unwrap_or(false);
        let request = match repeats {
            // It is the same wish as before, of whoever was told that something is left to do.
            true => request.meant_for(Some(OF_TARGET)),
            false => request,
        };
        let (end, answer) = self.live(journal, plan, claim, surroundings, Some(request.clone())).await?;
        answer.unwrap_or_else(|| fulfilled(&request, end, None))
    }

    /// Keeps that nothing is owed to somebody who asks again. Where that cannot be, the change of the owner stands all the same.
    fn nothing_owed(&self, folder: &Path) {
        if let Err(error) = reserve::with(folder, || record::keep_owed(folder, None)) {
            self.progress.event(Event::Note { text: error.to_string() });
        }
    }

    /// What becomes of a request for readers of a target that never owns the data, by a process that drives the run for no longer than
    /// that; `None` for any other request. They can go back as they are, and are not sent to what nobody follows.
    async fn of_readers(
        &self,
        journal: &Journal,
        plan: &Plan,
        surroundings: &dyn Surroundings,
        request: &Request,
    ) -> Result<Option<Answer>> {
        let live = LiveRun { run: journal.header().run.clone(), plan: Arc::new(plan.clone()), attempt: 0 };
        let target = self.target.live(&live)?;
        match request {
            Request::Cutover(_) if !target.can_own() => Err(Error::new(Kind::Refused, "change the owner")
                .store(self.target.label())
                .detail("no engine is at work on the run, so it would get older with each write, and its readers would not know")
                .hint("`switchover resume --detach` has one follow the source; then ask again")),
            Request::Rollback(options) if !target.can_own() => {
                // One that was being finished is finished.
                if self.again(async || target.left().await).await? {
                    return Ok(None);
                }
                let announce = surroundings.announce(journal.header(), journal.folder())?;
                let leads = self.again(async || target.has_readers().await).await?;
                if !leads && announce.reads_at_target().await? == 0 {
                    return Ok(None);
                }
                if options.dry_run {
                    return Ok(Some(Answer::Ready));
                }
                self.again(async || target.readers(false).await).await?;
                announce.move_reads(0).await?;
                Ok(Some(Answer::Reads { percent: 0 }))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn reopen(&self, run: Option<&str>) -> Result<Reopened> {
        let journal = Journal::open(&self.settings.state_dir, run)?;
        let state = journal.state()?;
        if !journal.header().live || !state.can_resume() {
            let detail = match journal.header().live {
                true => format!("the live run is over: {}", state.name()),
                false => "it is no live run".into(),
            };
            return Err(Error::new(Kind::NotFound, "go on with the run")
                .store(journal.header().run.clone())
                .detail(detail)
                .hint("`switchover status` shows the runs; --run names another one"));
        }
        self.same_stores(journal.header()).await?;
        let told = self.takes_up(journal.folder());
        let plan = journal.plan()?;
        let claim = self
            .again(async || {
                let claimed = self.target.claim(&plan.options.schema, &journal.header().run).await;
                if let (Err(error), Some(told)) = (&claimed, &told) {
                    // It may be tried for a minute: whoever looks is told what for. A status that cannot be written stops nothing.
                    let mut waits = LiveStatus::taken_up(told);
                    waits.hold(error.to_string());
                    let _ = write_status(journal.folder(), &waits);
                }
                claimed
            })
            .await;
        if claim.is_err() {
            put_down(journal.folder(), told.as_ref());
        }
        Ok(Reopened { claim: claim?, journal, plan, told })
    }

    /// Has the status say that this process takes the run up, before it waits for anything: what an earlier one told is not so any more.
    /// Gives that. A status that cannot be written stops nothing.
    fn takes_up(&self, folder: &Path) -> Option<LiveStatus> {
        let told = read_status(folder).ok().flatten()?;
        if let Err(error) = reserve::with(folder, || write_status(folder, &LiveStatus::taken_up(&told))) {
            self.progress.event(Event::Note { text: error.to_string() });
        }
        Some(told)
    }

    /// The plan of a live run, with all that [`Migration::start`] would refuse. Reads only.
    ///
    /// # Errors
    /// When a store cannot be read.
    pub async fn live_plan(&self) -> Result<Plan> {
        self.distinct()?;
        self.live_plan_of(&crate::migration::run_id()).await
    }

    async fn live_plan_of(&self, run: &str) -> Result<Plan> {
        let sight = crate::sight::Sight::of(self.source.passing().await?, &self.settings.plan).await?;
        let (mut plan, _) = self.planned_as(&sight, &live_options(&self.settings.plan)).await?;
        let live = LiveRun { run: run.to_owned(), plan: Arc::new(plan.clone()), attempt: 0 };
        in_order(&mut plan, self.target.live(&live)?.takes_any_order());
        plan.refusals.extend(self.obstacles(&plan, run).await?);
        Ok(plan)
    }

    async fn obstacles(&self, plan: &Plan, run: &str) -> Result<Vec<Refusal>> {
        let live = LiveRun { run: run.to_owned(), plan: Arc::new(plan.clone()), attempt: 0 };
        let target = self.target.live(&live)?;
        // A target that never owns the data feeds nothing back.
        let returns = target.can_own();
        let mut found = if returns { back_again(plan) } else { Vec::new() };
        found.extend(self.source.live(&live)?.obstacles(returns).await?);
        found.extend(target.obstacles(returns).await?);
        Ok(found)
    }

    /// Everything behind the plan; also when the run did some of it before.
    async fn live(
        &self,
        journal: Journal,
        plan: Plan,
        claim: Box<dyn Claim>,
        surroundings: &dyn Surroundings,
        request: Option<Request>,
    ) -> Result<(End, Option<Result<Answer>>)> {
        let header = journal.header().clone();
        if header.backup && !journal.has_been(State::Prepared)? {
            // Before anything is written to the source, so that the backup is the source as it was.
            let folder = self.settings.backups();
            journal::make_folder(&folder)?;
            let begun = Instant::now();
            let bytes = plan.source.store.size_bytes;
            self.progress.event(Event::PhaseStarted { phase: Phase::Backup, rows: 0, bytes });
            let made = self.again(async || self.back_up(&folder, &header.run).await).await?;
            let path = made.path.display().to_string();
            let note = BackupNote { path, bytes: made.bytes, blake3: made.blake3 };
            record::keep_backup(journal.folder(), &note)?;
            let seconds = begun.elapsed().as_secs_f64();
            self.progress.event(Event::PhaseFinished { phase: Phase::Backup, seconds });
        }
        let announce = surroundings.announce(&header, journal.folder())?;
        if journal.has_been(State::Prepared)?
            && let Some(end) = self.over(&plan, &header.run, journal.folder()).await?
        {
            let report = self.ended(&journal, &Arc::new(plan), end, Duration::ZERO, &*announce).await?;
            self.say_report(surroundings, report.as_deref());
            return Ok((end, request.map(|request| fulfilled(&request, end, report.as_deref()))));
        }
        let begun = journal.has_been(State::Prepared)?;
        let prepared = self.again(async || self.target.prepare(&plan, &header.run).await).await;
        prepared.map_err(|error| match error.kind() {
            // The stores of a run cannot be named anew.
            Kind::Refused if begun => error.hint(gone::way_out(journal.folder())),
            _ => error,
        })?;
        failpoint::hit("after-prepare");
        journal.reach(State::Prepared, "")?;
        let plan = Arc::new(plan);
        self.come_behind(&plan, &header.run).await?;
        let run =
            LiveRun { run: header.run.clone(), plan: Arc::clone(&plan), attempt: self.target.attempt() };
        let streams = self.streams();
        let parts = Parts {
            run: header.run.clone(),
            plan: Arc::clone(&plan),
            source: self.source.live(&run)?,
            target: self.target.live(&run)?,
            store: Arc::clone(&self.target),
            rows: Arc::clone(&self.source),
            claim,
            announce: Arc::clone(&announce),
            watch: surroundings.watch(&header)?,
            streams,
            chunk_bytes: self.settings.chunk_bytes.unwrap_or_else(|| {
                let copies = self.target.chunk_copies();
                copy::chunk_bytes(self.settings.memory_limit_bytes, streams, copies).min(CHUNK_BYTES_MAX)
            }),
            chunk_rows: self.settings.rows_max(),
            // A target that comes back may be another state of it, and take writes.
            retries: self.settings.retries.within(PRESSURE_EVERY),
            progress: Arc::clone(&self.progress),
            shutdown: self.shutdown.clone(),
        };
        let (mut engine, commands, told) = Engine::new(parts);
        engine.stays = request.is_none();
        engine.owed_before = engine.stays && record::is_owed(journal.folder()).unwrap_or(false);
        if let Ok(Some(earlier)) = read_status(journal.folder()) {
            engine.status.send_modify(|status| status.keep(&earlier));
        }
        if let Err(error) = reserve::keep(journal.folder()) {
            let text = format!("{error}; while the disk is full, the owner may not be able to change");
            self.progress.event(Event::Note { text });
        }
        let server = control::serve(journal.folder(), commands.clone())?;
        let alarm = alarm::watch(told.clone(), Arc::clone(&announce), Arc::clone(&self.progress));
        let alarm = tokio::spawn(alarm);
        let asked = request.clone().map(|request| tokio::spawn(ask_and_stop(commands, request)));
        let ended = {
            let running = engine.run();
            let writing = keep_status(journal.folder(), told.clone(), &*self.progress);
            let mut running = std::pin::pin!(running);
            tokio::select! {
                // What was told is written before the engine goes on.
                biased;
                () = writing => running.await,
                ended = &mut running => ended,
            }
        };
        alarm.abort();
        let last = told.borrow().clone();
        let folder = journal.folder();
        if let Err(error) = reserve::with(folder, || write_status(folder, &last)) {
            self.progress.event(Event::Note { text: error.to_string() });
        }
        if engine.stays {
            // Who takes the run up sees what is owed.
            self.nothing_owed(folder);
        }
        let finished = engine.finished.take();
        let report = match &ended {
            Ok(end) => {
                let took = finished.as_ref().map_or(Duration::ZERO, |finished| finished.begun.elapsed());
                self.ended(&journal, &plan, *end, took, &*announce).await
            }
            Err(error) => journal.reach(State::Failed, &error.to_string()).map(|()| None),
        };
        // Behind the journal: who reads the answer finds the run as it says.
        if let Some(command) = finished.and_then(|finished| finished.command) {
            let answered = report.as_ref().map(|path| over(path.as_deref())).map_err(copy_of);
            answer(command, answered);
        }
        // A request that it did not come to is answered by its end.
        drop(engine);
        server.close().await;
        let answer = match asked {
            Some(asked) => asked.await.ok().flatten(),
            None => None,
        };
        let (end, report) = (ended?, report?);
        self.say_report(surroundings, report.as_deref());
        // It may have come to its end before it came to the request.
        Ok((end, answer.or_else(|| request.map(|request| fulfilled(&request, end, report.as_deref())))))
    }

    /// Tells and records how a run ended; of one that was finished, with its report, whose path it gives.
    async fn ended(
        &self,
        journal: &Journal,
        plan: &Arc<Plan>,
        end: End,
        took: Duration,
        announce: &dyn Announce,
    ) -> Result<Option<PathBuf>> {
        if end != End::Stopped {
            // The owner changes no more, and what is still to be written has its room.
            reserve::remove(journal.folder());
        }
        if end != End::Finished {
            if end == End::TakenBack {
                say_ended(announce, Side::Source, &*self.progress).await;
            }
            return journal.reach(state_of(end), "").map(|()| None);
        }
        let live = LiveRun { run: journal.header().run.clone(), plan: Arc::clone(plan), attempt: 0 };
        let (how, owner) = match self.target.live(&live)?.can_own() {
            true => (Ended::Both, Side::Target),
            false => (Ended::Reads, Side::Source),
        };
        // Before the journal, behind which nobody comes here again.
        say_ended(announce, owner, &*self.progress).await;
        // The run is over whatever becomes of its report.
        let kept = finished::keep(journal, plan, how, took.as_secs_f64());
        journal.reach(state_of(end), "")?;
        kept.map(Some)
    }

    fn say_report(&self, surroundings: &dyn Surroundings, report: Option<&Path>) {
        if let Some(path) = report.filter(|_| surroundings.is_kept()) {
            self.progress.event(Event::Note { text: format!("the report is {}", path.display()) });
        }
    }
}

/// The state of a run that ended so.
fn state_of(end: End) -> State {
    match end {
        End::Finished => State::CleanedUp,
        End::TakenBack => State::RolledBack,
        End::Stopped => State::Interrupted,
    }
}

/// The answer of a run that is over.
fn over(report: Option<&Path>) -> Answer {
    report.map_or(Answer::Ended, |path| Answer::Finished { report: path.display().to_string() })
}

/// What a request comes to that nobody carried out before the run ended so.
fn fulfilled(request: &Request, end: End, report: Option<&Path>) -> Result<Answer> {
    match (request, end) {
        (Request::Finish { .. }, End::Finished) | (Request::Rollback(_), End::TakenBack) => Ok(over(report)),
        (_, End::Stopped) => {
            Err(Error::new(Kind::Interrupted, "carry the request out").detail("the run was stopped before"))
        }
        _ => Err(Error::new(Kind::NotFound, "carry the request out")
            .detail(format!("the live run is over: {}", state_of(end).name()))
            .hint("`switchover status` shows the runs")),
    }
}

/// Asks for one thing, and then for the engine's end. `None` when the engine ended before it answered.
async fn ask_and_stop(commands: mpsc::Sender<Command>, request: Request) -> Option<Result<Answer>> {
    let answer = control::put(&commands, request).await;
    // One that is over has stopped already.
    let _ = control::put(&commands, Request::Stop).await;
    answer
}

/// Writes what the engine tells, until it ends. The stores are what counts: a status that cannot be written stops nothing, is
/// said once, and is tried again with the next. Only what it says of a change of the owner takes of the reserve, and once.
async fn keep_status(folder: &Path, mut told: watch::Receiver<LiveStatus>, progress: &dyn Progress) {
    let (mut failing, mut before) = (false, None::<LiveStatus>);
    let mut reserve_due = Instant::now() + RESERVE_EVERY;
    loop {
        let written = told.borrow_and_update().clone();
        let failed = match before.as_ref().is_none_or(|before| is_owed(before, &written)) {
            true => reserve::with(folder, || write_status(folder, &written)),
            false => write_status(folder, &written),
        }
        .err();
        if failed.is_none() && Instant::now() >= reserve_due {
            // Where there is no room yet, there may be later; that there was none was said.
            let _ = reserve::keep(folder);
            reserve_due = Instant::now() + RESERVE_EVERY;
        }
        if let Some(error) = failed.as_ref().filter(|_| !failing) {
            progress.event(Event::Note { text: error.to_string() });
        }
        failing = failed.is_some();
        let due = tokio::time::Instant::now() + STATUS_EVERY;
        // What people wait for is written at once, the rest when it is due.
        let turned = |status: &LiveStatus| {
            status.phase != written.phase
                || status.ownership != written.ownership
                || status.switched != written.switched
                || status.held.is_empty() != written.held.is_empty()
                || discriminant(&status.verification) != discriminant(&written.verification)
        };
        let turned = tokio::time::timeout_at(due, told.wait_for(turned)).await.map(|found| found.is_ok());
        if turned == Ok(false) || told.has_changed().is_err() {
            return;
        }
        before = Some(written);
    }
}

/// Whether a status says of the owner, or of what a guard demands in vain, what the one before did not.
fn is_owed(before: &LiveStatus, now: &LiveStatus) -> bool {
    before.phase != now.phase
        || before.ownership != now.ownership
        || before.switched != now.switched
        || before.alarm.is_empty() != now.alarm.is_empty()
}

/// Replaces the status, whole or not at all. It need not survive a power cut, behind which it may be torn: the stores know better.
fn write_status(folder: &Path, status: &LiveStatus) -> Result<()> {
    let path = folder.join(STATUS);
    let fail = |cause: std::io::Error| journal::file_error("write the status", &path, &cause);
    let json = serde_json::to_vec_pretty(status)
        .map_err(|error| Error::new(Kind::Internal, "write the status").because(error))?;
    let partial = path.with_extension("partial");
    std::fs::write(&partial, json).and_then(|()| std::fs::rename(&partial, &path)).map_err(fail)
}

/// What a live run last told; `None` before it told anything.
///
/// # Errors
/// `NotFound` without such a run; when the status cannot be read.
pub fn status(state_dir: &Path, run: Option<&str>) -> Result<Option<LiveStatus>> {
    let folder = journal::folder_of(state_dir, run)?;
    let Some(mut status) = read_status(&folder)? else { return Ok(None) };
    if status.switched.is_none() {
        // An earlier process carried it out.
        status.switched = record::all(&folder)?.pop();
    }
    Ok(Some(status))
}

fn read_status(folder: &Path) -> Result<Option<LiveStatus>> {
    let path = folder.join(STATUS);
    let fail = || Error::new(Kind::Io, "read the status").store(path.display().to_string());
    match std::fs::read(&path) {
        Ok(text) => match serde_json::from_slice(&text) {
            // What a power cut left of it says nothing: the next engine writes it anew.
            Err(cause) if cause.is_eof() || cause.is_syntax() => Ok(None),
            read => read.map(Some).map_err(|cause| fail().because(cause)),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail().because(error)),
    }
}
