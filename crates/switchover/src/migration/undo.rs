//! Taking a run back, and accepting it for good.

use super::compare::Mending;
use super::{Migration, at_rest};
use crate::journal::{Journal, State};
use crate::progress::{Event, Phase};
use crate::report::Verdict;
use std::sync::Arc;
use std::time::Instant;
use switchover_core::failpoint;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

impl Migration {
    /// Takes back exactly what a run made. A run that was done is only taken back while the target still
    /// holds what was moved, or with `discard_changes`: what the application wrote there since would be lost.
    ///
    /// # Errors
    /// `Refused` once a cleanup has begun; `Different` when the target has changed since; `Rejected` when others' objects depend on the run's.
    pub async fn rollback(&self, run: Option<&str>, discard_changes: bool) -> Result<bool> {
        let begun = Instant::now();
        let journal = Journal::open(&self.settings.state_dir, run)?;
        self.same_stores(&journal)?;
        at_rest(&journal, "roll the run back")?;
        let state = journal.state()?;
        if matches!(state, State::CleaningUp | State::CleanedUp) {
            let (begun, ends) = match state {
                State::CleaningUp => ("is being", "`switchover cleanup` ends that; "),
                _ => ("was", ""),
            };
            return Err(Error::new(Kind::Refused, "roll the run back")
                .store(journal.header().run.clone())
                .detail(format!(
                    "it {begun} accepted by `switchover cleanup`: the target no longer says what the run made"
                ))
                .hint(format!("{ends}drop the tables by hand, or restore the backup")));
        }
        let plan = journal.plan()?;
        let header = journal.header().clone();
        let schema = &plan.options.schema;
        let _claim = self.claim_again(schema, &header.run).await?;
        // A rollback that was killed may have taken everything back already: there is nothing to compare then.
        let there = self.again(async || self.target.inspect(schema).await).await?.runs.contains(&header.run);
        // And where it took back a part, that is what would be compared; what was there before it was.
        let half = state == State::RollingBack && !self.target.transactional();
        if there && !half && !discard_changes && journal.has_been(State::Done)? {
            self.unchanged(&plan).await?;
        }
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

    pub(super) async fn unchanged(&self, plan: &Plan) -> Result<()> {
        let snapshot = self.sight(&plan.options).await?.snapshot;
        let tables = self.mended(&Arc::new(plan.clone()), &snapshot, None, Mending::Nothing).await?;
        match tables.iter().find(|table| table.verdict != Verdict::Same) {
            None => self.definitions_unchanged(plan).await,
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
        self.same_stores(&journal)?;
        at_rest(&journal, "clean up after the run")?;
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
