//! Taking back a live run whose folder is lost, by what the stores say of it.
//!
//! Only while the source owns the data: then nothing is in the target that is not in the source, and what the run made is written down in
//! the stores. Absent: a run whose target owns the data. Its plan is lost with the folder, and without it nobody can bring the source
//! up to date.

use super::run::live_options;
use crate::migration::Migration;
use crate::sight::Sight;
use std::sync::Arc;
use switchover_core::live::{LiveRun, Side};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "take back a run whose folder is lost";

/// The attempt of whoever only removes: behind that of any engine.
const LAST_ATTEMPT: i64 = i64::MAX;

impl Migration {
    /// Takes back the run of this whole name, which no journal knows. No engine may be at work on it.
    ///
    /// # Errors
    /// `NotFound` when the target holds nothing of that run; `Refused` when the target owns the data; `Busy` while an engine has the run;
    /// `Config` when what it wrote is not where the target's URL leads.
    pub async fn take_back_lost(&self, run: &str) -> Result<()> {
        self.distinct()?;
        let schema = &self.settings.plan.schema;
        let _claim = self.target.claim(schema, run).await?;
        self.is_the_sources(run).await?;
        // What is to be removed stands in the stores' own records; only where to look for them is asked for.
        let sight = Sight::of(self.source.passing().await?, &self.settings.plan).await?;
        let (plan, _) = self.planned_as(&sight, &live_options(&self.settings.plan)).await?;
        let live = LiveRun { run: run.to_owned(), plan: Arc::new(plan), attempt: LAST_ATTEMPT };
        self.source.live(&live)?.leave().await?;
        self.take_back(schema, run).await?;
        Ok(())
    }

    /// Whether [`Migration::take_back_lost`] would take that run back, as the target is now. Takes no lock, and changes nothing.
    ///
    /// # Errors
    /// As there, but for the engine, which only a lock would meet.
    pub async fn foresee_take_back_lost(&self, run: &str) -> Result<()> {
        self.distinct()?;
        self.is_the_sources(run).await
    }

    /// That the target holds a live run of this name whose source owns the data.
    async fn is_the_sources(&self, run: &str) -> Result<()> {
        match self.target.owner_of(&self.settings.plan.schema, run).await? {
            Some(Side::Source) => Ok(()),
            Some(Side::Target) => Err(Error::new(Kind::Refused, OPERATION)
                .store(self.target.label())
                .detail("the target owns the data: what was written there since may be in no other store")
                .hint("restore the run's folder: only its plan can bring the source up to date")),
            None => Err(Error::new(Kind::NotFound, OPERATION)
                .store(self.target.label())
                .detail(format!("it holds no records of a live run {run}"))
                .hint(
                    "give a live run's whole name, which `switchover start --dry-run` says, and the schema that it is in; a run that \
                     was no live one is taken back with its folder alone (--state-dir)",
                )),
        }
    }
}
