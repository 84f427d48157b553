//! The phases of a claimed run, from the tables to the report, and what becomes of a run that fails.
//!
//! A fresh run and a resumed one come here alike: every phase asks the target what is there already.
//! The backup runs beside the copy; verification comes last.

use super::Migration;
use crate::build;
use crate::copy::{self, Copy};
use crate::evidence::{Content, planned_table};
use crate::journal::{self, Journal, State};
use crate::progress::{Event, Phase};
use crate::report::{BackupNote, PhaseTime, Report, TableReport, Verdict};
use crate::settings::OnFailure;
use crate::shutdown;
use crate::verify::Mending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use switchover_core::chunk::Checkpoint;
use switchover_core::connector::{BackupRecord, BuildStage, Claim, ReadRequest, Snapshot};
use switchover_core::failpoint;
use switchover_core::judge::Judge;
use switchover_core::plan::Plan;
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Result};

/// Crashes of the server within one copy after which it goes on by itself.
const CRASHES_MAX: usize = 10;

/// Seconds by phase, gathered from tasks that run side by side.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Vec<PhaseTime>>);

impl Clock {
    pub(super) fn add(&self, phase: Phase, since: Instant) {
        if let Ok(mut times) = self.0.lock() {
            let seconds = since.elapsed().as_secs_f64();
            match times.iter_mut().find(|time| time.phase == phase) {
                Some(time) => time.seconds += seconds,
                None => times.push(PhaseTime { phase, seconds }),
            }
        }
    }

    pub(super) fn times(&self) -> Vec<PhaseTime> {
        let mut times = self.0.lock().map(|times| times.clone()).unwrap_or_default();
        times.sort_by_key(|time| time.phase);
        times
    }
}

/// A backup on its way.
pub(super) struct BackupTask {
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
pub(super) struct Run {
    pub(super) journal: Journal,
    pub(super) plan: Arc<Plan>,
    pub(super) snapshot: Arc<dyn Snapshot>,
    pub(super) content: Option<Arc<Content>>,
    pub(super) clock: Arc<Clock>,
    pub(super) started: Instant,
    pub(super) started_at: String,
    pub(super) claim: Box<dyn Claim>,
}

impl Migration {
    /// Everything after the plan. `fresh` is false when the run may have written before.
    pub(super) async fn carry_out(&self, run: Run, fresh: bool) -> Result<Report> {
        let (report, state) = match self.phases(&run, fresh).await {
            Ok(settled) => settled,
            Err(error) => return self.failed(&run, error).await,
        };
        // The verdict stands: a report or a journal that cannot be written takes nothing back.
        let kept = self.keep_report(&run, &report);
        run.journal.reach(state, &report.reasons.join("; "))?;
        kept?;
        Ok(report)
    }

    pub(super) async fn phases(&self, run: &Run, fresh: bool) -> Result<(Report, State)> {
        let mut backup = match run.journal.header().backup {
            true => Some(self.begin_backup(run)?),
            false => None,
        };
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
        self.build(run).await?;
        failpoint::hit("after-build");
        // Last, so that what is proven is what the user gets: no statement runs after it that touches a row.
        let (mut tables, ()) =
            tokio::try_join!(self.verify_tables(run), self.steps(run, build::STATISTICS, 1))?;
        for (table, seconds) in tables.iter_mut().zip(copy_seconds) {
            table.copy_seconds = seconds;
        }
        let begun = Instant::now();
        let validation = self.validate(run, &mut tables).await?;
        if validation.is_some() {
            run.clock.add(Phase::Verify, begun);
        }
        self.again(async || run.claim.check().await).await?;
        let audit = self.again(async || self.target.audit(&run.plan).await).await?;
        let backup = match backup {
            Some(backup) => Some(backup.done().await?),
            None => None,
        };
        let mut report = self.report("migrate", Some(run), tables, Some(audit), backup, run.plan.as_ref());
        report.validation = validation;
        failpoint::hit("before-done");
        let state = self.settle(run, &mut report).await?;
        Ok((report, state))
    }

    /// The state that a verdict leads to. A copy that was found different is a failure like any other: it
    /// is taken back unless it is to be kept; the report keeps what differed.
    pub(super) async fn settle(&self, run: &Run, report: &mut Report) -> Result<State> {
        match (report.verdict, on_failure(run)?) {
            (Verdict::Same, _) => {
                let name = &run.journal.header().run;
                self.again(async || self.target.publish(&run.plan, name).await).await?;
                Ok(State::Done)
            }
            (Verdict::Different | Verdict::Unproven, OnFailure::Keep) => Ok(State::Different),
            (Verdict::Different | Verdict::Unproven, OnFailure::Rollback) => {
                self.take_back(&run.plan.options.schema, &run.journal.header().run).await?;
                report.reasons.push("what the run wrote was taken back (--on-failure keep leaves it)".into());
                Ok(State::RolledBack)
            }
        }
    }

    /// Backs the source up beside the copy, since the source is only read. Whoever drops the task gives
    /// the backup up, and what was written of it is removed.
    pub(super) fn begin_backup(&self, run: &Run) -> Result<BackupTask> {
        let folder = self.settings.backups();
        journal::make_folder(&folder)?;
        let (migration, name) = (self.clone(), run.journal.header().run.clone());
        let (clock, progress, bytes) =
            (Arc::clone(&run.clock), Arc::clone(&self.progress), run.plan.source.store.size_bytes);
        let task = tokio::spawn(async move {
            let begun = Instant::now();
            progress.event(Event::PhaseStarted { phase: Phase::Backup, rows: 0, bytes });
            let made = migration.back_up(&folder, &name).await?;
            clock.add(Phase::Backup, begun);
            progress
                .event(Event::PhaseFinished { phase: Phase::Backup, seconds: begun.elapsed().as_secs_f64() });
            Ok(BackupNote { path: made.path.display().to_string(), bytes: made.bytes, blake3: made.blake3 })
        });
        Ok(BackupTask { task, note: None })
    }

    /// Backs the source up, until it is asked to stop: a dump of a database takes as long as its copy.
    pub(crate) async fn back_up(&self, folder: &Path, name: &str) -> Result<BackupRecord> {
        tokio::select! {
            made = self.source.backup(folder, name) => made,
            () = self.shutdown.requested() => Err(shutdown::asked("back the source up")),
        }
    }

    pub(super) async fn copy(&self, run: &Run, fresh: bool) -> Result<Vec<f64>> {
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
        let streams = self.streams();
        let copy = Arc::new(Copy {
            plan: Arc::clone(plan),
            run: name.clone(),
            snapshot: Arc::clone(&run.snapshot),
            target: Arc::clone(&self.target),
            progress: Arc::clone(&self.progress),
            shutdown: self.shutdown.clone(),
            streams,
            chunk_rows: self.settings.rows_max(),
            chunk_time: ReadRequest::ANY_TIME,
            retries: self.settings.retries,
            judges: plan.tables.iter().map(Judge::new).collect(),
            written: None,
            chunk_bytes: self.settings.chunk_bytes.unwrap_or_else(|| {
                copy::chunk_bytes(self.settings.memory_limit_bytes, streams, self.target.chunk_copies())
            }),
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
    pub(super) async fn same_rows(&self, run: &Run, done: &[Checkpoint]) -> Result<()> {
        let mut rows = Rows::default();
        for checkpoint in done {
            let table = &run.plan.tables[checkpoint.table];
            let request = ReadRequest {
                table: planned_table(table),
                range: checkpoint.range.clone(),
                budget_bytes: usize::MAX,
                // One more tells as much as a million that came behind the last chunk.
                rows_max: usize::try_from(checkpoint.rows).unwrap_or(usize::MAX).saturating_add(1),
                time_max: ReadRequest::ANY_TIME,
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

    pub(super) async fn build(&self, run: &Run) -> Result<()> {
        let begun = Instant::now();
        self.steps(run, build::STRUCTURE, self.jobs()).await?;
        run.clock.add(Phase::Build, begun);
        run.journal.reach(State::Built, "")
    }

    async fn steps(&self, run: &Run, stages: &[BuildStage], jobs: usize) -> Result<()> {
        let work = build::Work {
            plan: &run.plan,
            run: &run.journal.header().run,
            target: &self.target,
            progress: &self.progress,
            shutdown: &self.shutdown,
            retries: self.settings.retries,
            jobs: jobs.min(self.target.streams_max()).max(1),
        };
        work.run(stages).await
    }

    pub(super) async fn verify_tables(&self, run: &Run) -> Result<Vec<TableReport>> {
        let begun = Instant::now();
        let mending = if self.target.may_lose() { Mending::Missing } else { Mending::Nothing };
        let reports =
            self.mended(&run.plan, &run.snapshot, run.content.clone(), mending, Some(&*run.claim)).await?;
        run.clock.add(Phase::Verify, begun);
        Ok(reports)
    }

    /// A failed run: take back what it wrote, unless it was asked to stop or to keep.
    pub(super) async fn failed(&self, run: &Run, error: Error) -> Result<Report> {
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
            // What changed stays changed: the run cannot go on, and its error says so.
            let goes_on = match error.kind() {
                Kind::Changed => "",
                _ => "`switchover resume` goes on, `switchover rollback` takes it back",
            };
            let hint = [error.what_to_do(), goes_on];
            let hint: Vec<&str> = hint.into_iter().filter(|part| !part.is_empty()).collect();
            let hint = hint.join("; ");
            Err(error.hint(hint))
        };
        if error.kind() == Kind::Interrupted {
            return keep(error, State::Interrupted);
        }
        // A source that changed is a refusal to go on: what was copied before stays until it is rolled back.
        let refused = matches!(error.kind(), Kind::Busy | Kind::Changed);
        // Where the journal cannot be read, it may have been done.
        if refused || on_failure(run).unwrap_or(OnFailure::Keep) == OnFailure::Keep {
            return keep(error, State::Failed);
        }
        let schema = &run.plan.options.schema;
        // A target that was asked again and again for what the run wanted is out of reach: once more is enough.
        let taken_back = match error.kind() {
            Kind::Unavailable => self.target.discard(schema, name).await,
            _ => self.take_back(schema, name).await,
        };
        match taken_back {
            Ok(_) => {
                let error = record(error, State::RolledBack);
                self.progress.event(Event::Note { text: "what the run wrote was taken back".into() });
                Err(error)
            }
            // The target is out of reach: what was written is still there, and the journal says so.
            Err(kept) => {
                let why = [error.why(), &format!("what it wrote could not be taken back: {}", kept.why())]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("; ");
                keep(error.detail(why), State::Failed)
            }
        }
    }

    pub(super) fn keep_report(&self, run: &Run, report: &Report) -> Result<()> {
        let json = serde_json::to_vec_pretty(report)
            .map_err(|error| Error::new(Kind::Internal, "write the report").because(error))?;
        failpoint::hit("report-before");
        journal::write_whole(&run.journal.folder().join("report.json"), &json)?;
        failpoint::hit("report-after");
        Ok(())
    }
}

/// What is to become of the run if it fails now. One that was done may hold what the application wrote since, and is taken back by a
/// rollback alone, which asks.
fn on_failure(run: &Run) -> Result<OnFailure> {
    let was_done = run.journal.states()?.contains(&State::Done);
    Ok(if was_done { OnFailure::Keep } else { run.journal.header().on_failure })
}
