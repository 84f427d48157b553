//! The runner: it alone sequences the phases.
//!
//! plan → backup → schema → copy → indexes and keys → verify → report. The backup runs beside the
//! copy, because the source is only read; verification runs beside the building of indexes, because
//! it reads rows as they lie. A fresh run and a resumed one are the same function: every phase asks
//! the target what is there already.

mod sample;

use crate::copy::{self, Copy};
use crate::evidence::{Content, Look, planned_table};
use crate::journal::{self, Header, Journal, State, Summary};
use crate::progress::{Event, Phase, Progress, Silent};
use crate::report::{BackupNote, PhaseTime, REPORT_FORMAT, Report, TableReport, Verdict};
use crate::settings::{OnFailure, Settings};
use crate::shutdown::Shutdown;
use crate::verify::Verify;
use crate::{build, clock, retry};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use switchover_core::chunk::Checkpoint;
use switchover_core::connector::{Audit, Claim, ReadRequest, Snapshot, Source, Target};
use switchover_core::failpoint;
use switchover_core::finding::shown_bytes;
use switchover_core::judge::Judge;
use switchover_core::plan::{Plan, Refusal};
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Result};

/// Crashes of the server within one copy after which it goes on by itself.
const CRASHES_MAX: usize = 10;

/// A migration between two stores: plan it, carry it out, go on with it, verify it, take it back.
#[derive(Clone)]
pub struct Migration {
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
    settings: Settings,
    progress: Arc<dyn Progress>,
    shutdown: Shutdown,
}

/// Seconds by phase, gathered from tasks that run side by side.
#[derive(Debug, Default)]
struct Clock(Mutex<Vec<PhaseTime>>);

impl Clock {
    fn add(&self, phase: Phase, since: Instant) {
        if let Ok(mut times) = self.0.lock() {
            times.push(PhaseTime { phase, seconds: since.elapsed().as_secs_f64() });
        }
    }

    fn times(&self) -> Vec<PhaseTime> {
        let mut times = self.0.lock().map(|times| times.clone()).unwrap_or_default();
        times.sort_by_key(|time| time.phase);
        times
    }
}

/// A backup on its way.
struct BackupTask {
    task: tokio::task::JoinHandle<Result<BackupNote>>,
    note: Option<BackupNote>,
}

impl BackupTask {
    async fn done(mut self) -> Result<BackupNote> {
        match self.note.take() {
            Some(note) => Ok(note),
            None => (&mut self.task)
                .await
                .map_err(|e| Error::new(Kind::Internal, "back the source up").because(e))?,
        }
    }

    /// The error of a backup that failed already: a run without its backup need not go on.
    async fn check(backup: &mut Option<BackupTask>) -> Result<()> {
        if let Some(mut ended) = backup.take_if(|backup| backup.note.is_none() && backup.task.is_finished()) {
            let result = (&mut ended.task).await;
            ended.note =
                Some(result.map_err(|e| Error::new(Kind::Internal, "back the source up").because(e))??);
            *backup = Some(ended);
        }
        Ok(())
    }
}

impl Drop for BackupTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a run is made of, once it is claimed.
struct Run {
    journal: Journal,
    plan: Arc<Plan>,
    snapshot: Arc<dyn Snapshot>,
    content: Option<Arc<Content>>,
    clock: Arc<Clock>,
    started: Instant,
    started_at: String,
    claim: Box<dyn Claim>,
}

impl Migration {
    /// A migration with default settings, which tells nobody what it does.
    pub fn new(source: Arc<dyn Source>, target: Arc<dyn Target>) -> Migration {
        Migration {
            source,
            target,
            settings: Settings::default(),
            progress: Arc::new(Silent),
            shutdown: Shutdown::default(),
        }
    }

    /// With other settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Migration {
        self.settings = settings;
        self
    }

    /// With somebody who is told what happens.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Migration {
        self.progress = progress;
        self
    }

    /// With a request to stop that the caller holds.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Migration {
        self.shutdown = shutdown;
        self
    }

    fn jobs(&self) -> usize {
        self.settings.streams()
    }

    /// Does again what failed for a while only.
    async fn again<T>(&self, work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        retry::again(&*self.progress, &self.shutdown, work).await
    }

    fn look<'a>(&'a self, snapshot: &'a Arc<dyn Snapshot>) -> Look<'a> {
        Look { snapshot, target: &*self.target, progress: &*self.progress, shutdown: &self.shutdown }
    }

    /// Says everything that will happen. Reads both stores, writes nothing.
    ///
    /// # Errors
    /// When a store cannot be read. What the target cannot hold is no error here: the plan lists it.
    pub async fn plan(&self) -> Result<Plan> {
        let snapshot = self.source.snapshot().await?;
        Ok(self.planned(&snapshot, None).await?.0)
    }

    /// The plan given, checked against the stores as they are, or one made now; with the disks' room.
    async fn planned(&self, snapshot: &Arc<dyn Snapshot>, given: Option<Plan>) -> Result<(Plan, Content)> {
        let (mut plan, content) = match given {
            Some(plan) => self.look(snapshot).recheck(plan).await?,
            None => self.look(snapshot).plan(&self.settings.plan).await?,
        };
        if self.settings.backup {
            plan.disk.backup_needed_bytes = plan.source.store.size_bytes;
            plan.disk.backup_free_bytes = self.source.backup_room(&self.settings.backups());
        } else {
            plan.disk.backup_needed_bytes = 0;
            plan.disk.backup_free_bytes = None;
        }
        Ok((plan, content))
    }

    /// Checks a plan that was made earlier against the stores as they are now.
    ///
    /// # Errors
    /// `Changed` when the source is not what it was; `Config` when an edit contradicts itself.
    pub async fn recheck(&self, plan: Plan) -> Result<Plan> {
        let snapshot = self.source.snapshot().await?;
        Ok(self.planned(&snapshot, Some(plan)).await?.0)
    }

    /// Migrates, by a plan given or made now, and verifies. The report's verdict is the outcome.
    ///
    /// # Errors
    /// `Refused` with the first reason when the target cannot hold everything; whatever else stops the
    /// run. What the run wrote is then taken back, unless the settings say otherwise.
    pub async fn migrate(&self, given: Option<Plan>) -> Result<Report> {
        let (started, started_at, clock) = (Instant::now(), clock::now(), Arc::new(Clock::default()));
        let snapshot = self.source.snapshot().await?;
        let run = run_id();
        // Before the plan, so that a second run is told of the first, not of the tables that this one made.
        let schema = given.as_ref().map_or(&self.settings.plan.schema, |plan| &plan.options.schema);
        let claim = self.target.claim(schema, &run).await?;
        let backup = match self.settings.backup {
            true => Some(self.begin_backup(&snapshot, &run, &clock).await?),
            false => None,
        };
        let (plan, content) = self.planned(&snapshot, given).await?;
        clock.add(Phase::Plan, started);
        if let Some(first) = plan.refusals.first() {
            let error = refused(first, plan.refusals.len());
            return Err(if first.table.is_empty() { error.store(self.target.label()) } else { error });
        }
        self.check_room(&plan)?;
        let header = Header {
            run,
            started_at: started_at.clone(),
            source: self.source.label(),
            target: self.target.label(),
            on_failure: self.settings.on_failure,
            backup: self.settings.backup,
        };
        let journal = Journal::create(&self.settings.state_dir, header, &plan)?;
        failpoint::hit("after-planned");
        self.carry_out(
            Run {
                journal,
                plan: Arc::new(plan),
                snapshot,
                content: Some(Arc::new(content)),
                clock,
                started,
                started_at,
                claim,
            },
            true,
            backup,
        )
        .await
    }

    /// Before anything is written: a backup that fills the disk would hurt the application, whose file
    /// may lie on the same one. What the target needs is an estimate, so it only warns.
    fn check_room(&self, plan: &Plan) -> Result<()> {
        let disk = &plan.disk;
        self.check_backup_room(disk.backup_needed_bytes, disk.backup_free_bytes)?;
        match disk.target_free_bytes {
            Some(free) if free < disk.target_needed_bytes => self.progress.event(Event::Note {
                text: format!(
                    "the target will take about {}, and its disk has {} free",
                    shown_bytes(disk.target_needed_bytes),
                    shown_bytes(free)
                ),
            }),
            _ => {}
        }
        Ok(())
    }

    fn check_backup_room(&self, needed: u64, free: Option<u64>) -> Result<()> {
        match free {
            Some(free) if free < needed => Err(Error::new(Kind::Exhausted, "migrate")
                .store(self.settings.backups().display().to_string())
                .detail(format!(
                    "the backup needs {}, and {} are free there",
                    shown_bytes(needed),
                    shown_bytes(free)
                ))
                .hint("free space there, name another folder with --state-dir, or use --no-backup")),
            _ => Ok(()),
        }
    }

    /// Goes on with a run that was stopped: the one named, or the newest.
    ///
    /// # Errors
    /// `NotFound` without such a run, `Changed` when the source is not what it was.
    pub async fn resume(&self, run: Option<&str>) -> Result<Report> {
        let (started, started_at) = (Instant::now(), clock::now());
        let journal = Journal::open(&self.settings.state_dir, run)?;
        let state = journal.state()?;
        if !state.can_resume() {
            return Err(Error::new(Kind::NotFound, "go on with the run")
                .store(journal.header().run.clone())
                .detail(if state == State::Done { "it is done and verified" } else { "it was rolled back" })
                .hint("`switchover verify` compares the stores again; `switchover migrate` begins anew"));
        }
        self.same_stores(&journal)?;
        let plan = Arc::new(journal.plan()?);
        let claim = self.target.claim(&plan.options.schema, &journal.header().run).await?;
        let snapshot = self.source.snapshot().await?;
        if snapshot.catalog().await?.schema_hash != plan.source.schema_hash {
            return Err(Error::new(Kind::Changed, "go on with the run")
                .store(self.source.label())
                .detail("the source's schema changed since the plan was made")
                .hint("roll the run back with `switchover rollback`, and migrate again"));
        }
        let clock = Arc::new(Clock::default());
        let backup = match journal.header().backup {
            true => Some(self.begin_backup(&snapshot, &journal.header().run, &clock).await?),
            false => None,
        };
        self.carry_out(
            Run { journal, plan, snapshot, content: None, clock, started, started_at, claim },
            false,
            backup,
        )
        .await
    }

    fn same_stores(&self, journal: &Journal) -> Result<()> {
        let header = journal.header();
        for (then, now, side) in
            [(&header.source, self.source.label(), "source"), (&header.target, self.target.label(), "target")]
        {
            if *then != now {
                return Err(Error::new(Kind::Config, "go on with the run")
                    .store(header.run.clone())
                    .detail(format!("its {side} is {then}, not {now}"))
                    .hint("name the stores of the run, or another run with --run"));
            }
        }
        Ok(())
    }

    /// Everything after the plan. `fresh` is false when the run may have written before.
    async fn carry_out(&self, run: Run, fresh: bool, backup: Option<BackupTask>) -> Result<Report> {
        match self.phases(&run, fresh, backup).await {
            Ok(report) => Ok(report),
            Err(error) => self.failed(&run, error).await,
        }
    }

    async fn phases(&self, run: &Run, fresh: bool, mut backup: Option<BackupTask>) -> Result<Report> {
        BackupTask::check(&mut backup).await?;
        let begun = Instant::now();
        self.progress.event(Event::PhaseStarted {
            phase: Phase::Schema,
            rows: run.plan.tables.len() as u64,
            bytes: 0,
        });
        let name = &run.journal.header().run;
        self.again(async || self.target.prepare(&run.plan, name).await).await?;
        failpoint::hit("after-prepare");
        run.journal.reach(State::Prepared, "")?;
        run.clock.add(Phase::Schema, begun);
        self.progress
            .event(Event::PhaseFinished { phase: Phase::Schema, seconds: begun.elapsed().as_secs_f64() });
        let copy_seconds = self.copy(run, fresh).await?;
        BackupTask::check(&mut backup).await?;
        failpoint::hit("after-copy");
        run.journal.reach(State::Copied, "")?;
        let (built, verified) = tokio::join!(self.build(run), self.verify_tables(run, self.jobs()));
        built?;
        failpoint::hit("after-build");
        let mut tables = verified?;
        for (table, seconds) in tables.iter_mut().zip(copy_seconds) {
            table.copy_seconds = seconds;
        }
        self.again(async || run.claim.check().await).await?;
        let audit = self.again(async || self.target.audit(&run.plan).await).await?;
        let backup = match backup {
            Some(backup) => Some(backup.done().await?),
            None => None,
        };
        let mut report = self.report("migrate", Some(run), tables, Some(audit), backup, run.plan.as_ref());
        failpoint::hit("before-done");
        let state = self.settle(run, &mut report).await?;
        self.keep_report(run, &report)?;
        run.journal.reach(state, &report.reasons.join("; "))?;
        Ok(report)
    }

    /// The state that a verdict leads to. A copy that was found different is a failure like any other: it
    /// is taken back unless it is to be kept; the report keeps what differed.
    async fn settle(&self, run: &Run, report: &mut Report) -> Result<State> {
        match (report.verdict, run.journal.header().on_failure) {
            (Verdict::Same, _) => Ok(State::Done),
            (Verdict::Different | Verdict::Unproven, OnFailure::Keep) => Ok(State::Different),
            (Verdict::Different | Verdict::Unproven, OnFailure::Rollback) => {
                self.target.discard(&run.plan.options.schema, &run.journal.header().run).await?;
                report.reasons.push("what the run wrote was taken back (--on-failure keep leaves it)".into());
                Ok(State::RolledBack)
            }
        }
    }

    /// Backs the source up beside everything else, since the source is only read. Whoever drops the task
    /// gives the backup up, and what was written of it is removed: so does a plan with refusals.
    async fn begin_backup(
        &self,
        snapshot: &Arc<dyn Snapshot>,
        run: &str,
        clock: &Arc<Clock>,
    ) -> Result<BackupTask> {
        let folder = self.settings.backups();
        let bytes = snapshot.catalog().await?.store.size_bytes;
        self.check_backup_room(bytes, self.source.backup_room(&folder))?;
        journal::make_folder(&folder)?;
        let (source, name) = (Arc::clone(&self.source), run.to_owned());
        let (clock, progress) = (Arc::clone(clock), Arc::clone(&self.progress));
        let task = tokio::spawn(async move {
            let begun = Instant::now();
            progress.event(Event::PhaseStarted { phase: Phase::Backup, rows: 0, bytes });
            let made = source.backup(&folder, &name).await?;
            clock.add(Phase::Backup, begun);
            progress
                .event(Event::PhaseFinished { phase: Phase::Backup, seconds: begun.elapsed().as_secs_f64() });
            Ok(BackupNote { path: made.path.display().to_string(), bytes: made.bytes, blake3: made.blake3 })
        });
        Ok(BackupTask { task, note: None })
    }

    async fn copy(&self, run: &Run, fresh: bool) -> Result<Vec<f64>> {
        let begun = Instant::now();
        let plan = &run.plan;
        self.progress.event(Event::PhaseStarted {
            phase: Phase::Copy,
            rows: plan.source.rows,
            bytes: plan.source.bytes,
        });
        let name = &run.journal.header().run;
        let checkpoints = async || self.target.checkpoints(plan, name).await;
        let mut done = if fresh { Vec::new() } else { self.again(checkpoints).await? };
        self.same_rows(run, &done).await?;
        let streams = self.jobs();
        let copy = Arc::new(Copy {
            plan: Arc::clone(plan),
            run: name.clone(),
            snapshot: Arc::clone(&run.snapshot),
            target: Arc::clone(&self.target),
            progress: Arc::clone(&self.progress),
            shutdown: self.shutdown.clone(),
            streams,
            judges: plan.tables.iter().map(Judge::new).collect(),
            chunk_bytes: self
                .settings
                .chunk_bytes
                .unwrap_or_else(|| copy::chunk_bytes(self.settings.memory_limit_bytes, streams)),
        });
        let mut seconds = vec![0.0; plan.tables.len()];
        for pass in 0.. {
            let took = Arc::clone(&copy).run(&done).await?;
            seconds.iter_mut().zip(took).for_each(|(sum, pass)| *sum += pass);
            // A server that crashed meanwhile may have lost chunks that it had acknowledged, and their
            // checkpoints with them: what counts is what it holds after a commit that reached its disk.
            done = self.again(checkpoints).await?;
            if copy::is_whole(plan, &done) {
                break;
            }
            if pass == CRASHES_MAX {
                return Err(Error::new(Kind::Exhausted, "copy rows")
                    .store(self.target.label())
                    .detail("the server crashed again and again, and lost rows each time")
                    .hint("see the server's log; the run can be resumed"));
            }
            self.progress
                .event(Event::Note { text: "the server lost rows in a crash: copying them again".into() });
        }
        // The lock went with its connection if the server was restarted.
        self.again(async || run.claim.check().await).await?;
        run.clock.add(Phase::Copy, begun);
        self.progress
            .event(Event::PhaseFinished { phase: Phase::Copy, seconds: begun.elapsed().as_secs_f64() });
        Ok(seconds)
    }

    /// Chunks that were copied by an earlier attempt must still be what the source holds, or the target
    /// would be a mixture of two states.
    async fn same_rows(&self, run: &Run, done: &[Checkpoint]) -> Result<()> {
        let mut rows = Rows::default();
        for checkpoint in done {
            let table = &run.plan.tables[checkpoint.table];
            let request = ReadRequest {
                table: planned_table(table),
                range: checkpoint.range.clone(),
                budget_bytes: usize::MAX,
            };
            let batch = run.snapshot.read(request, rows).await?;
            let same =
                batch.rows.len() as u64 == checkpoint.rows && batch.rows.digest() == checkpoint.digest.0;
            if !same {
                return Err(Error::new(Kind::Changed, "go on with the run")
                    .store(self.source.label())
                    .table(table.source.clone())
                    .detail("rows that were copied before have changed on the source since")
                    .hint("roll the run back with `switchover rollback`, and migrate again"));
            }
            rows = batch.rows;
        }
        Ok(())
    }

    async fn build(&self, run: &Run) -> Result<()> {
        let begun = Instant::now();
        let name = &run.journal.header().run;
        build::run(&run.plan, name, &self.target, &self.progress, &self.shutdown, self.jobs()).await?;
        run.clock.add(Phase::Build, begun);
        run.journal.reach(State::Built, "")
    }

    async fn verify_tables(&self, run: &Run, parts: usize) -> Result<Vec<TableReport>> {
        let begun = Instant::now();
        let reports = self.compare(&run.plan, &run.snapshot, run.content.clone(), parts, false).await?;
        run.clock.add(Phase::Verify, begun);
        Ok(reports)
    }

    async fn compare(
        &self,
        plan: &Arc<Plan>,
        snapshot: &Arc<dyn Snapshot>,
        content: Option<Arc<Content>>,
        parts: usize,
        repair: bool,
    ) -> Result<Vec<TableReport>> {
        let begun = Instant::now();
        self.progress.event(Event::PhaseStarted {
            phase: Phase::Verify,
            rows: plan.source.rows,
            bytes: plan.source.bytes,
        });
        let verify = self.verifier(plan, snapshot, content, parts, repair);
        let mut reports = Vec::with_capacity(plan.tables.len());
        let mut mends = Vec::new();
        for index in 0..plan.tables.len() {
            let (report, mend) = self.again(async || verify.table(index).await).await?;
            reports.push(report);
            mends.extend(mend);
        }
        if !mends.is_empty() {
            self.target.repair(plan, &mends).await?;
        }
        self.progress
            .event(Event::PhaseFinished { phase: Phase::Verify, seconds: begun.elapsed().as_secs_f64() });
        Ok(reports)
    }

    fn verifier(
        &self,
        plan: &Arc<Plan>,
        snapshot: &Arc<dyn Snapshot>,
        content: Option<Arc<Content>>,
        parts: usize,
        repair: bool,
    ) -> Verify {
        Verify {
            plan: Arc::clone(plan),
            snapshot: Arc::clone(snapshot),
            target: Arc::clone(&self.target),
            progress: Arc::clone(&self.progress),
            shutdown: self.shutdown.clone(),
            parts,
            repair,
            content,
        }
    }

    /// Compares every field of every row, any time again. The plan is the given one, or that of the
    /// newest run between these stores, or one made now. With `repair`, rows that differ are mended and
    /// compared once more.
    ///
    /// # Errors
    /// When a store cannot be read to its end: the answer is then "unproven", never "same".
    pub async fn verify(&self, given: Option<Plan>, repair: bool) -> Result<Report> {
        let (started, started_at) = (Instant::now(), clock::now());
        let snapshot = self.source.snapshot().await?;
        let plan = self.plan_to_verify(&snapshot, given).await?;
        let mut tables = self.compare(&plan, &snapshot, None, self.jobs(), repair).await?;
        let differing = |tables: &[TableReport]| -> u64 { tables.iter().map(|t| t.differences_total).sum() };
        let mut left = u64::MAX;
        // A pass mends a bounded number of rows, and the last one only looks.
        while repair && differing(&tables) > 0 {
            let fewer = differing(&tables) < left;
            left = differing(&tables);
            tables = self.compare(&plan, &snapshot, None, self.jobs(), fewer).await?;
            if !fewer {
                break;
            }
        }
        let audit = self.target.audit(&plan).await?;
        let mut report = self.report("verify", None, tables, Some(audit), None, &plan);
        report.started_at = started_at;
        report.seconds = started.elapsed().as_secs_f64();
        report.phases = vec![PhaseTime { phase: Phase::Verify, seconds: report.seconds }];
        Ok(report)
    }

    async fn plan_to_verify(&self, snapshot: &Arc<dyn Snapshot>, given: Option<Plan>) -> Result<Arc<Plan>> {
        Ok(Arc::new(match given {
            Some(plan) => plan,
            None => match self.newest_plan()? {
                Some(plan) => plan,
                None => self.look(snapshot).plan(&self.settings.plan).await?.0,
            },
        }))
    }

    fn newest_plan(&self) -> Result<Option<Plan>> {
        let runs = journal::list(&self.settings.state_dir)?;
        let ours = |run: &&Summary| {
            run.header.source == self.source.label()
                && run.header.target == self.target.label()
                && run.entries.last().is_some_and(|entry| entry.state != State::RolledBack)
        };
        match runs.iter().rev().find(ours) {
            Some(run) => {
                let plan = Journal::read_plan(&self.settings.state_dir, &run.header.run)?;
                Ok((plan.options.schema == self.settings.plan.schema).then_some(plan))
            }
            None => Ok(None),
        }
    }

    /// Takes back exactly what a run made. A run that was done is only taken back while the target still
    /// holds what was moved, or with `discard_changes`: what the application wrote there since would be lost.
    ///
    /// # Errors
    /// `Different` when the target has changed since; `Rejected` when others' objects depend on the run's.
    pub async fn rollback(&self, run: Option<&str>, discard_changes: bool) -> Result<bool> {
        let begun = Instant::now();
        let journal = Journal::open(&self.settings.state_dir, run)?;
        self.same_stores(&journal)?;
        let plan = journal.plan()?;
        let header = journal.header().clone();
        let _claim = self.target.claim(&plan.options.schema, &header.run).await?;
        if journal.state()? == State::Done && !discard_changes {
            self.unchanged(&plan).await?;
        }
        self.progress.event(Event::PhaseStarted { phase: Phase::Rollback, rows: 0, bytes: 0 });
        let done = self.target.discard(&plan.options.schema, &header.run).await?;
        failpoint::hit("after-discard");
        journal.reach(State::RolledBack, "")?;
        self.progress
            .event(Event::PhaseFinished { phase: Phase::Rollback, seconds: begun.elapsed().as_secs_f64() });
        Ok(done)
    }

    async fn unchanged(&self, plan: &Plan) -> Result<()> {
        let snapshot = self.source.snapshot().await?;
        let tables = self.compare(&Arc::new(plan.clone()), &snapshot, None, self.jobs(), false).await?;
        match tables.iter().find(|table| table.verdict != Verdict::Same) {
            None => Ok(()),
            Some(table) => Err(Error::new(Kind::Different, "roll the run back")
                .store(self.target.label())
                .table(table.source.clone())
                .detail(format!(
                    "the stores differ now in {} rows: what was written since the migration would be lost",
                    table.differences_total
                ))
                .hint("--discard-target-changes takes the run back all the same")),
        }
    }

    /// Removes a finished run's own records from the target and leaves the data. There is no rollback after it.
    ///
    /// # Errors
    /// `Refused` while the run is not done.
    pub async fn cleanup(&self, run: Option<&str>) -> Result<String> {
        let journal = Journal::open(&self.settings.state_dir, run)?;
        self.same_stores(&journal)?;
        let plan = journal.plan()?;
        let run = journal.header().run.clone();
        if journal.state()? != State::Done {
            return Err(Error::new(Kind::Refused, "clean up after the run")
                .store(run)
                .detail("it is not done")
                .hint("resume it, or roll it back"));
        }
        let _claim = self.target.claim(&plan.options.schema, &run).await?;
        self.target.forget(&plan.options.schema).await?;
        Ok(run)
    }

    /// A failed run: take back what it wrote, unless it was asked to stop or to keep.
    async fn failed(&self, run: &Run, error: Error) -> Result<Report> {
        let name = &run.journal.header().run;
        // An error that the journal cannot take must not hide the one that it is about.
        let record = |error: Error, state| match run.journal.reach(state, &error.to_string()) {
            Ok(()) => error,
            Err(lost) => {
                let detail = format!("{}; nor could the journal be written: {}", error.why(), lost.why());
                error.detail(detail)
            }
        };
        let keep = |error: Error, state| {
            let error = record(error, state);
            let hint =
                [error.what_to_do(), "`switchover resume` goes on, `switchover rollback` takes it back"];
            let hint: Vec<&str> = hint.into_iter().filter(|part| !part.is_empty()).collect();
            let hint = hint.join("; ");
            Err(error.hint(hint))
        };
        if error.kind() == Kind::Interrupted {
            return keep(error, State::Interrupted);
        }
        // A source that changed is a refusal to go on: what was copied before stays until it is rolled back.
        let refused = matches!(error.kind(), Kind::Busy | Kind::Changed);
        if run.journal.header().on_failure == OnFailure::Keep || refused {
            return keep(error, State::Failed);
        }
        match self.target.discard(&run.plan.options.schema, name).await {
            Ok(_) => {
                let error = record(error, State::RolledBack);
                self.progress.event(Event::Note { text: "what the run wrote was taken back".into() });
                Err(error)
            }
            // The target is out of reach: what was written is still there, and the journal says so.
            Err(_) => keep(error, State::Failed),
        }
    }

    fn keep_report(&self, run: &Run, report: &Report) -> Result<()> {
        let json = serde_json::to_vec_pretty(report)
            .map_err(|error| Error::new(Kind::Internal, "write the report").because(error))?;
        failpoint::hit("report-before");
        journal::write_whole(&run.journal.folder().join("report.json"), &json)?;
        failpoint::hit("report-after");
        Ok(())
    }

    fn report(
        &self,
        operation: &str,
        run: Option<&Run>,
        tables: Vec<TableReport>,
        audit: Option<Audit>,
        backup: Option<BackupNote>,
        plan: &Plan,
    ) -> Report {
        // What is unproven is said apart: it is no difference, and no proof either.
        let why = |verdict| {
            tables.iter().filter(move |table| table.verdict == verdict).map(|table| match &*table.reason {
                "" if table.differences_total == 1 => format!("{}: 1 row differs", table.source),
                "" => format!("{}: {} rows differ", table.source, table.differences_total),
                reason => format!("{}: {reason}", table.source),
            })
        };
        let unproven: Vec<String> = why(Verdict::Unproven).collect();
        let mut reasons: Vec<String> = why(Verdict::Different).collect();
        let audit_rows = audit.iter().flat_map(|audit| audit.rows.iter());
        for (table, counted) in tables.iter().zip(audit_rows) {
            if table.target_rows != *counted {
                reasons.push(format!(
                    "{}: {} rows were read and the target counts {counted}",
                    table.source, table.target_rows
                ));
            }
        }
        reasons.extend(audit.iter().flat_map(|audit| audit.faults.iter().cloned()));
        let verdict = match (reasons.is_empty(), unproven.is_empty()) {
            (false, _) => Verdict::Different,
            (true, false) => Verdict::Unproven,
            (true, true) => Verdict::Same,
        };
        reasons.extend(unproven);
        Report {
            format: REPORT_FORMAT,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            operation: operation.to_owned(),
            run: run.map(|run| run.journal.header().run.clone()).unwrap_or_default(),
            started_at: run.map(|run| run.started_at.clone()).unwrap_or_default(),
            finished_at: clock::now(),
            source: self.source.label(),
            target: self.target.label(),
            verdict,
            reasons,
            sample: None,
            phases: run.map(|run| run.clock.times()).unwrap_or_default(),
            seconds: run.map_or(0.0, |run| run.started.elapsed().as_secs_f64()),
            resident_bytes_max: clock::resident_bytes_max(),
            backup,
            tables,
            audit,
            outcomes: plan.outcomes.clone(),
            refusals: plan.refusals.clone(),
        }
    }
}

/// All runs of a journal, oldest first.
///
/// # Errors
/// When the journal cannot be read.
pub fn status(state_dir: &Path) -> Result<Vec<Summary>> {
    journal::list(state_dir)
}

fn refused(first: &Refusal, count: usize) -> Error {
    let mut error = Error::new(Kind::Refused, "migrate")
        .table(first.table.clone())
        .key(first.key.clone())
        .column(first.column.clone())
        .hint(first.hint.clone());
    let value = if first.value.is_empty() { String::new() } else { format!("{}: ", first.value) };
    let more = if count > 1 {
        format!(" (and {} more refusals; `switchover plan` lists all)", count - 1)
    } else {
        String::new()
    };
    error = error.detail(format!("{value}{}{more}", first.why));
    error
}

/// A run's identity: its time, so that runs sort (two may begin within a second, as a killed one and the next),
/// and a few random digits, so that two never meet.
fn run_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{}", clock::stamp(), &random[..6])
}
