//! Taking a run back, and accepting it for good.

use super::{Migration, at_rest};
use crate::journal::{self, Header, Journal, State, Summary};
use crate::progress::{Event, Phase};
use crate::report::Verdict;
use crate::verify::Mending;
use std::sync::Arc;
use std::time::Instant;
use switchover_core::connector::Remains;
use switchover_core::failpoint;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// What a rollback would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// The run.
    pub run: String,
    /// The target, without secrets.
    pub target: String,
    /// Whether the target holds anything of the run.
    pub there: bool,
    /// The tables that the run made or filled, as the target calls them.
    pub tables: Vec<String>,
    /// Whether they were there before it.
    pub filled: bool,
}

impl Migration {
    /// Takes back exactly what a run made. A run that was done is only taken back while the target still
    /// holds what was moved, or with `discard_changes`: what the application wrote there since would be lost.
    ///
    /// # Errors
    /// `Refused` once a cleanup has begun; `Different` when the target has changed since; `Rejected` when others' objects depend on the run's.
    pub async fn rollback(&self, run: Option<&str>, discard_changes: bool) -> Result<bool> {
        let begun = Instant::now();
        let journal = Journal::open(&self.settings.state_dir, run)?;
        let header = journal.header().clone();
        self.same_stores(&header).await?;
        at_rest(&header, "roll the run back")?;
        let states = journal.states()?;
        not_accepted(&header, &states)?;
        let plan = journal.plan()?;
        let schema = &plan.options.schema;
        let _claim = self.claim_again(schema, &header.run).await?;
        self.still_as_moved(&header, &plan, &states, discard_changes).await?;
        // From here on the run is no longer done, whatever the journal said before.
        journal.reach(State::RollingBack, "")?;
        self.progress.event(Event::PhaseStarted { phase: Phase::Rollback, rows: 0, bytes: 0 });
        let done = self.take_back(schema, &header.run).await?;
        failpoint::hit("after-discard");
        journal.reach(State::RolledBack, "")?;
        self.progress
            .event(Event::PhaseFinished { phase: Phase::Rollback, seconds: begun.elapsed().as_secs_f64() });
        Ok(done)
    }

    /// What [`Migration::rollback`] would do now. Takes no lock of the run or the target, and changes nothing.
    ///
    /// # Errors
    /// As the rollback's, and `Busy` while a process works on the run.
    pub async fn foresee_rollback(&self, run: Option<&str>, discard_changes: bool) -> Result<Foreseen> {
        let Summary { header, entries, active } = journal::look(&self.settings.state_dir, run)?;
        self.same_stores(&header).await?;
        at_rest(&header, "roll the run back")?;
        if active {
            return Err(journal::taken(&header.run));
        }
        let states: Vec<State> = entries.iter().map(|entry| entry.state).collect();
        not_accepted(&header, &states)?;
        let plan = Journal::read_plan(&self.settings.state_dir, &header.run)?;
        let there = self.still_as_moved(&header, &plan, &states, discard_changes).await?;
        Ok(Foreseen {
            run: header.run,
            target: self.target.label(),
            there,
            tables: plan.tables.iter().map(|table| table.target.clone()).collect(),
            filled: plan.options.existing.is_some(),
        })
    }

    /// That a rollback would lose nothing which was written since, unless it may; gives whether anything of the run is there.
    async fn still_as_moved(
        &self,
        header: &Header,
        plan: &Plan,
        states: &[State],
        discard_changes: bool,
    ) -> Result<bool> {
        // A rollback that was killed may have taken everything back already: there is nothing to compare then.
        let remains =
            self.again(async || self.target.remains(&plan.options.schema, &header.run).await).await?;
        let there = remains != Remains::Nothing;
        // And where it took back a part, that is what would be compared; before that, all was. One that was stopped before it took
        // anything back proves nothing: the application may have written since.
        let half = states.last() == Some(&State::RollingBack) && remains == Remains::Part;
        if there && !half && !discard_changes && states.contains(&State::Done) {
            self.unchanged(plan).await?;
        }
        Ok(there)
    }

    pub(super) async fn unchanged(&self, plan: &Plan) -> Result<()> {
        let snapshot = self.sight(&plan.options).await?.snapshot;
        let tables = self.mended(&Arc::new(plan.clone()), &snapshot, None, Mending::Nothing, None).await?;
        match tables.iter().find(|table| table.verdict != Verdict::Same) {
            None => self.definitions_unchanged(plan).await,
            Some(table) if table.verdict == Verdict::Unproven => Err(Error::new(Kind::Ambiguous, "roll the run back")
                .store(self.target.label())
                .table(table.source.clone())
                .detail(format!("whether it was changed since the migration is not proven: {}", table.reason))
                .hint("try again when nobody writes to the stores; --discard-target-changes takes the run back all the same")),
            Some(table) => Err(Error::new(Kind::Different, "roll the run back")
                .store(self.target.label())
                .table(table.source.clone())
                .detail(format!(
                    "the stores differ now in {}: what was written since the migration would be lost",
                    match table.differences_total {
                        1 => "1 row".to_owned(),
                        count => format!("{count} rows"),
                    }
                ))
                .hint("--discard-target-changes takes the run back all the same")),
        }
    }

    /// Rows and definitions that were there before the run are the application's, and so is what it added since to what the
    /// run made: both would be undone in silence.
    async fn definitions_unchanged(&self, plan: &Plan) -> Result<()> {
        let mut faults = Vec::new();
        if plan.options.existing.is_some() {
            faults = self.target.audit(plan).await?.faults;
        }
        faults.extend(self.target.touched(plan).await?);
        match faults.first() {
            None => Ok(()),
            Some(fault) => Err(Error::new(Kind::Different, "roll the run back")
                .store(self.target.label())
                .detail(format!("{fault}: what was changed since the migration would be lost"))
                .hint("--discard-target-changes takes the run back all the same")),
        }
    }

    /// Removes a finished run's own records from the target and leaves the data. There is no rollback after it.
    ///
    /// # Errors
    /// `Refused` while the run is not done.
    pub async fn cleanup(&self, run: Option<&str>) -> Result<String> {
        let journal = Journal::open(&self.settings.state_dir, run)?;
        self.same_stores(journal.header()).await?;
        at_rest(journal.header(), "clean up after the run")?;
        let plan = journal.plan()?;
        let run = journal.header().run.clone();
        // Cleaned up already: what a killed cleanup left is removed.
        let state = journal.state()?;
        if !matches!(state, State::Done | State::CleaningUp | State::CleanedUp) {
            return Err(Error::new(Kind::Refused, "clean up after the run")
                .store(run)
                .detail("it is not done")
                .hint("resume it, or roll it back"));
        }
        let schema = &plan.options.schema;
        let _claim = self.claim_again(schema, &run).await?;
        if state == State::Done {
            // What is left of its records from here on may not be what a rollback goes by.
            journal.reach(State::CleaningUp, "")?;
        }
        self.again(async || self.target.forget(schema, &run).await).await?;
        failpoint::hit("after-forget");
        journal.reach(State::CleanedUp, "")?;
        Ok(run)
    }
}

/// That the run was not accepted: what a cleanup removes is what a rollback goes by.
fn not_accepted(header: &Header, states: &[State]) -> Result<()> {
    let (begun, ends) = match states.last() {
        Some(State::CleaningUp) => ("is being", "`switchover cleanup` ends that; "),
        Some(State::CleanedUp) => ("was", ""),
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Refused, "roll the run back")
        .store(header.run.clone())
        .detail(format!(
            "it {begun} accepted by `switchover cleanup`: the target no longer says what the run made"
        ))
        .hint(format!("{ends}drop the tables by hand, or restore the backup")))
}
