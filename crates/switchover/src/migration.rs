//! The runner: it alone sequences the phases.
//!
//! plan → backup → schema → copy → indexes and keys → verify → report. The backup runs beside the
//! copy, because the source is only read; verification comes last, so that what is proven is what the
//! user gets. A fresh run and a resumed one are the same function: every phase asks
//! the target what is there already.

mod compare;
mod outcome;
mod run;
mod sample;
mod undo;

pub use undo::Foreseen;

use self::run::{Clock, Run};
use crate::evidence::{Content, Look};
use crate::journal::{self, Header, Journal, State, Summary};
use crate::progress::{Event, Phase, Progress, Silent};
use crate::report::Report;
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::sight::Sight;
use crate::{clock, retry};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use switchover_core::connector::{Claim, Source, Target};
use switchover_core::failpoint;
use switchover_core::finding::shown_bytes;
use switchover_core::plan::{Plan, PlanOptions, Refusal};
use switchover_core::schema::Catalog;
use switchover_core::{Error, Kind, Result};

/// A migration between two stores: plan it, carry it out, go on with it, verify it, take it back.
#[derive(Clone)]
pub struct Migration {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) settings: Settings,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) shutdown: Shutdown,
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

    /// With other settings. The time of a plan that is made by them, where their mapping asks for it, is now.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Migration {
        self.settings = settings;
        let mapping = std::mem::take(&mut self.settings.plan.mapping);
        self.settings.plan.mapping = mapping.at(&clock::now());
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

    /// Readers side by side.
    fn jobs(&self) -> usize {
        self.settings.streams()
    }

    /// Streams into the target, and steps after the copy, side by side.
    pub(crate) fn streams(&self) -> usize {
        let best = self.settings.jobs.is_none().then(|| self.target.streams_best()).flatten();
        best.unwrap_or_else(|| self.jobs()).min(self.target.streams_max()).max(1)
    }

    /// That the two stores are two. A store compared with itself would be the same, and moved into itself lost.
    pub(crate) fn distinct(&self) -> Result<()> {
        match (self.source.identity(), self.target.identity()) {
            (Some(source), Some(target)) if source == target => {
                Err(Error::new(Kind::Config, "tell the stores apart")
                    .store(self.target.label())
                    .detail(format!("it is the source itself ({})", self.source.label()))
                    .hint("name another store with --to"))
            }
            _ => Ok(()),
        }
    }

    /// Does again what failed for a while only.
    pub(crate) async fn again<T>(&self, work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        retry::again(self.settings.retries, &*self.progress, &self.shutdown, work).await
    }

    /// The hold on a target that the run has reached before: what fails now for a while only may pass.
    pub(crate) async fn claim_again(&self, schema: &str, run: &str) -> Result<Box<dyn Claim>> {
        self.again(async || self.target.claim(schema, run).await).await
    }

    /// Takes back what a run wrote, again where it fails for a while only; gives whether there was something.
    pub(crate) async fn take_back(&self, schema: &str, run: &str) -> Result<bool> {
        // One that failed may have taken back everything before it did.
        let mut begun = false;
        self.again(async || {
            let before = std::mem::replace(&mut begun, true);
            Ok(self.target.discard(schema, run).await? || before)
        })
        .await
    }

    fn look<'a>(&'a self, sight: &'a Sight) -> Look<'a> {
        Look {
            snapshot: &sight.snapshot,
            catalog: &sight.catalog,
            plain: &sight.plain,
            target: &*self.target,
            progress: &*self.progress,
            shutdown: &self.shutdown,
        }
    }

    /// One read point of the source, as the options' mapping shows it.
    async fn sight(&self, options: &PlanOptions) -> Result<Sight> {
        Sight::of(self.source.snapshot().await?, options).await
    }

    /// Says everything that will happen. Reads both stores, writes nothing.
    ///
    /// # Errors
    /// When a store cannot be read. What the target cannot hold is no error here: the plan lists it.
    pub async fn plan(&self) -> Result<Plan> {
        self.distinct()?;
        let sight = self.sight(&self.settings.plan).await?;
        Ok(self.planned(&sight, None).await?.0)
    }

    /// The plan given, checked against the stores as they are, or one made now; with the disks' room.
    pub(crate) async fn planned(&self, sight: &Sight, given: Option<Plan>) -> Result<(Plan, Content)> {
        let (mut plan, content) = match given {
            Some(plan) => self.with_room(self.look(sight).recheck(plan).await?),
            None => self.planned_as(sight, &self.settings.plan).await?,
        };
        if let Some(why) = not_the_owner(&sight.catalog) {
            // Before all others: what they say concerns data that is not the current.
            plan.refusals.insert(
                0,
                Refusal {
                    table: String::new(),
                    key: String::new(),
                    column: String::new(),
                    value: String::new(),
                    why,
                    hint: OWNER_INSTEAD.into(),
                },
            );
        }
        Ok((plan, content))
    }

    /// A plan with these options, made now, with the disks' room.
    pub(crate) async fn planned_as(&self, sight: &Sight, options: &PlanOptions) -> Result<(Plan, Content)> {
        Ok(self.with_room(self.look(sight).plan(options).await?))
    }

    fn with_room(&self, (mut plan, content): (Plan, Content)) -> (Plan, Content) {
        if self.settings.backup {
            plan.disk.backup_needed_bytes = plan.source.store.size_bytes;
            plan.disk.backup_free_bytes = self.source.backup_room(&self.settings.backups());
        } else {
            plan.disk.backup_needed_bytes = 0;
            plan.disk.backup_free_bytes = None;
        }
        if plan.tables.is_empty() {
            plan.refusals.push(Refusal {
                table: String::new(),
                key: String::new(),
                column: String::new(),
                value: String::new(),
                why: "the source holds no table to be moved".into(),
                hint: "check that --from names the store that you mean, and --from-schema its schema".into(),
            });
        }
        plan.memory = crate::copy::beyond(&plan, self.settings.memory_limit_bytes);
        if let Some(memory) = plan.memory.as_ref().filter(|_| self.settings.memory_limit_chosen) {
            plan.refusals.push(Refusal {
                table: memory.table.clone(),
                key: String::new(),
                column: memory.column.clone(),
                value: String::new(),
                why: format!(
                    "it holds a value of {}, which is held whole and may take up to {} of memory; the limit is {}",
                    shown_bytes(memory.value_bytes),
                    shown_bytes(memory.needed_bytes),
                    shown_bytes(memory.limit_bytes)
                ),
                hint: format!(
                    "raise --memory-limit to {}MB, or leave the row out by a `where` of the mapping, or the column by `drop`",
                    memory.needed_bytes.div_ceil(1_000_000)
                ),
            });
        }
        (plan, content)
    }

    /// Checks a plan that was made earlier against the stores as they are now.
    ///
    /// # Errors
    /// `Changed` when the source is not what it was; `Config` when an edit contradicts itself.
    pub async fn recheck(&self, plan: Plan) -> Result<Plan> {
        self.distinct()?;
        let sight = self.sight(&plan.options).await?;
        Ok(self.planned(&sight, Some(plan)).await?.0)
    }

    /// Migrates, by a plan given or made now, and verifies. The report's verdict is the outcome.
    ///
    /// # Errors
    /// `Refused` with the first reason when the target cannot hold everything; whatever else stops the
    /// run. What the run wrote is then taken back, unless the settings say otherwise.
    pub async fn migrate(&self, given: Option<Plan>) -> Result<Report> {
        let (started, started_at, clock) = (Instant::now(), clock::now(), Arc::new(Clock::default()));
        self.distinct()?;
        let sight = self.sight(given.as_ref().map_or(&self.settings.plan, |plan| &plan.options)).await?;
        let run = run_id();
        // Before the plan, so that a second run is told of the first, not of the tables that this one made.
        let schema = given.as_ref().map_or(&self.settings.plan.schema, |plan| &plan.options.schema);
        let claim = self.target.claim(schema, &run).await?;
        failpoint::hit("after-claim");
        let (plan, content) = self.planned(&sight, given).await?;
        clock.add(Phase::Plan, started);
        if let Some(first) = plan.refusals.first() {
            let error = refused(first, plan.refusals.len(), DRY_RUN);
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
            live: false,
        };
        let journal = Journal::create(&self.settings.state_dir, header, &plan)?;
        failpoint::hit("after-planned");
        self.carry_out(
            Run {
                journal,
                plan: Arc::new(plan),
                snapshot: sight.snapshot,
                content: Some(Arc::new(content)),
                clock,
                started,
                started_at,
                claim,
            },
            true,
        )
        .await
    }

    /// Before anything is written: a backup that fills the disk would hurt the application, whose file
    /// may lie on the same one. What the target needs is an estimate, so it only warns.
    pub(crate) fn check_room(&self, plan: &Plan) -> Result<()> {
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
        if let Some(memory) = &plan.memory {
            self.progress.event(Event::Note {
                text: format!(
                    "the process may take up to {} of memory: {}.{} holds a value of {}, and a value is held whole",
                    shown_bytes(memory.needed_bytes),
                    memory.table,
                    memory.column,
                    shown_bytes(memory.value_bytes)
                ),
            });
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
        let chosen = self.settings.on_failure_chosen.then_some(self.settings.on_failure);
        let journal = Journal::open(&self.settings.state_dir, run)?.on_failure(chosen);
        let state = journal.state()?;
        at_rest(journal.header(), "go on with the run")?;
        if !state.can_resume() {
            return Err(Error::new(Kind::NotFound, "go on with the run")
                .store(journal.header().run.clone())
                .detail(if state == State::RolledBack {
                    "it was rolled back"
                } else {
                    "it is done and verified"
                })
                .hint("`switchover verify` compares the stores again; `switchover migrate` begins anew"));
        }
        self.same_stores(journal.header()).await?;
        let plan = Arc::new(journal.plan()?);
        let claim = self.claim_again(&plan.options.schema, &journal.header().run).await?;
        let snapshot = self.source.snapshot().await?;
        let catalog = snapshot.catalog().await?;
        let changed = if catalog.schema_hash != plan.source.schema_hash {
            Some("schema")
        } else {
            (catalog.store.content != plan.source.store.content).then_some("content")
        };
        if let Some(what) = changed {
            return Err(Error::new(Kind::Changed, "go on with the run")
                .store(self.source.label())
                .detail(format!("the source's {what} changed since the plan was made"))
                .hint("roll the run back with `switchover rollback`, and migrate again"));
        }
        if let Some(why) = not_the_owner(&catalog) {
            return Err(Error::new(Kind::Refused, "go on with the run")
                .store(self.source.label())
                .detail(why)
                .hint(OWNER_INSTEAD));
        }
        let snapshot = Sight::of(snapshot, &plan.options).await?.snapshot;
        let clock = Arc::new(Clock::default());
        self.carry_out(
            Run { journal, plan, snapshot, content: None, clock, started, started_at, claim },
            false,
        )
        .await
    }

    /// That these are the run's stores: by their labels; or the target by the run's records, where it may be the same one
    /// reached in another way.
    pub(crate) async fn same_stores(&self, header: &Header) -> Result<()> {
        let (source, target) = (self.source.label(), self.target.label());
        let other = |what: String, hint: &str| {
            Err(Error::new(Kind::Config, "go on with the run")
                .store(header.run.clone())
                .detail(what)
                .hint(hint))
        };
        let named = "name the stores of the run, or another run with --run";
        if header.source != source {
            return other(format!("its source is {}, not {source}", header.source), named);
        }
        if header.target == target {
            return Ok(());
        }
        let why = format!("its target is {}, not {target}", header.target);
        if !self.target.may_be(&header.target) {
            return other(why, named);
        }
        let schema = Journal::read_plan(&self.settings.state_dir, &header.run)?.options.schema;
        let found = self.again(async || self.target.inspect(&schema).await).await?;
        match found.runs.contains(&header.run) {
            true => Ok(()),
            false => other(format!("{why}, which holds no records of the run"), named),
        }
    }
}

/// Why what a source holds may not be the current data: it takes no writes, for another store owns them.
pub(crate) fn not_the_owner(catalog: &Catalog) -> Option<String> {
    let run = catalog.store.fenced_by.as_ref()?;
    Some(format!(
        "{} takes no writes: the live run {run} has handed its data over to another store, or is about to, and what was written there may \
         be missing here",
        catalog.store.label
    ))
}

/// What to do about that.
const OWNER_INSTEAD: &str = "move the data from the store that owns it: `switchover status` of that run says which one; `switchover rollback` makes this \
     one the owner again. Where that run is over and gave this store up, drop the triggers and tables in it that begin with _switchover_";

/// That a run is none of those that the live engine drives.
pub(crate) fn at_rest(header: &Header, operation: &str) -> Result<()> {
    match header.live {
        false => Ok(()),
        true => Err(Error::new(Kind::Config, operation)
            .store(header.run.clone())
            .detail("it is a live run, which has verbs of its own")
            .hint(
                "`switchover finish` ends it where the target owns the data, `switchover rollback` goes back",
            )),
    }
}

/// All runs of a journal, oldest first.
///
/// # Errors
/// When the journal cannot be read.
pub fn status(state_dir: &Path) -> Result<Vec<Summary>> {
    journal::list(state_dir)
}

/// What lists the refusals of a plan, of a verb that has it.
pub(crate) const DRY_RUN: &str = "`--dry-run`";

/// The error of a plan that holds refusals, which names the first of them; `lists` is what lists all.
pub fn refusal(plan: &Plan, lists: &str) -> Option<Error> {
    plan.refusals.first().map(|first| refused(first, plan.refusals.len(), lists))
}

pub(crate) fn refused(first: &Refusal, count: usize, lists: &str) -> Error {
    let mut error = Error::new(Kind::Refused, "migrate")
        .table(first.table.clone())
        .key(first.key.clone())
        .column(first.column.clone())
        .hint(first.hint.clone());
    let value = if first.value.is_empty() { String::new() } else { format!("{}: ", first.value) };
    let more = if count > 1 {
        format!(" (and {} more refusals; {lists} lists all)", count - 1)
    } else {
        String::new()
    };
    error = error.detail(format!("{value}{}{more}", first.why));
    error
}

/// A run's identity: its time, so that runs sort (two may begin within a second, as a killed one and the next),
/// and a few random digits, so that two never meet.
pub(crate) fn run_id() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{}", clock::stamp(), &random[..6])
}
