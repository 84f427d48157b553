//! Ending a reverse window whose source cannot be brought up to date any more: its disk died, or what fed it was removed.
//!
//! Nothing is decided here that a person did not ask for: the source is then out of date for good, and stays as it is, fenced where it
//! was. Invariants: the target owns the data and keeps every row; the source is not even opened. Absent: `finish`, which first brings
//! the source up to date.

use super::announce::{Announce, say_ended};
use super::finished::{self, Ended, GAVE_UP};
use super::record;
use super::run::{Reopened, Surroundings, lost_target, put_down};
use super::set_back::{SetBack, on_record};
use super::tell::not_told;
use crate::journal::{Journal, State};
use crate::migration::Migration;
use crate::reserve;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use switchover_core::connector::Claim;
use switchover_core::live::{LiveRun, Side};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

impl Migration {
    /// Ends the reverse window of a run without its source. No engine may be at work on it. Gives the path of the run's report.
    ///
    /// # Errors
    /// `Refused` when the source owns the data, or a change of the owner is not decided; `Busy` while an engine has the run;
    /// `NotFound` without such a run.
    pub async fn abandon_source(
        &self,
        run: Option<&str>,
        surroundings: &dyn Surroundings,
    ) -> Result<PathBuf> {
        let Reopened { journal, plan, claim, told } = self.reopen(run).await?;
        let ended = self.abandon(&journal, plan, claim, surroundings).await;
        if ended.is_err() && journal.state().is_ok_and(State::can_resume) {
            // Who owns the data is in it, which verbs are held to.
            put_down(journal.folder(), told.as_ref());
        }
        ended
    }

    async fn abandon(
        &self,
        journal: &Journal,
        plan: Plan,
        claim: Box<dyn Claim>,
        surroundings: &dyn Surroundings,
    ) -> Result<PathBuf> {
        let begun = Instant::now();
        let announce = surroundings.announce(journal.header(), journal.folder())?;
        let (run, schema) = (journal.header().run.clone(), plan.options.schema.clone());
        let found = self.again(async || self.target.inspect(&schema).await).await?;
        let plan = Arc::new(plan);
        let live = LiveRun { run: run.clone(), plan: Arc::clone(&plan), attempt: 0 };
        if !self.target.live(&live)?.can_own() {
            return Err(refused(self.target.label())
                .detail(
                    "it never owns the data: the source is the application's store, and holds the only data",
                )
                .hint("`switchover finish` ends the run"));
        }
        let (some, all) = self.remaining(&plan, &found).await?;
        if found.runs.contains(&run) {
            self.leave_target(&plan, &run, &*announce).await?;
            self.again(async || self.target.forget(&schema, &run).await).await?;
        } else if some < all || !is_ending(journal)? {
            // It was killed behind its last removal only if that was begun, and all that it moved is there.
            return Err(refused(self.target.label())
                .detail(format!(
                    "it holds no records of the run, and {some} tables of the names of its {all}: this is not a run that was being finished. Another \
                     store, or another state of it, stands there, and the source may hold the only data"
                ))
                .hint(lost_target()));
        }
        drop(claim);
        reserve::remove(journal.folder());
        say_ended(&*announce, Side::Target, &*self.progress).await;
        // The run is over whatever becomes of its report.
        let kept = finished::keep(journal, &plan, Ended::TargetAlone, begun.elapsed().as_secs_f64());
        journal.reach(State::CleanedUp, GAVE_UP)?;
        kept
    }

    async fn leave_target(&self, plan: &Arc<Plan>, run: &str, announce: &dyn Announce) -> Result<()> {
        self.again(async || self.target.prepare(plan, run).await).await?;
        let live = LiveRun { run: run.to_owned(), plan: Arc::clone(plan), attempt: self.target.attempt() };
        let target = self.target.live(&live)?;
        if !self.again(async || target.left().await).await? {
            let ownership = self.again(async || target.ownership().await).await?;
            if let Some(back) = SetBack::of(ownership, announce.last_change().await?)
                && (ownership.owner == Side::Source || back.is_a_follower())
            {
                return Err(back.error(self.target.label()));
            }
            if ownership.owner != Side::Target || ownership.pending {
                return Err(refused(self.target.label())
                    .detail(
                        "the source owns the data: without it nothing of what is written there would be left",
                    )
                    .hint("`switchover rollback` takes the run back"));
            }
            // By the record it is known who owned the data once the target's own is gone.
            on_record(announce, ownership).await?;
            // Nobody is to read at a source that is given up.
            let told = announce.told(&ownership, false, "").await;
            told.map_err(|error| not_told(ownership.owner, &error.to_string()))?;
            announce.ending(true).await?;
            let left = self.again(async || target.leave().await).await;
            if left.is_err() && matches!(target.left().await, Ok(false)) {
                // It came to nothing. Where that cannot be kept, whoever takes the run up keeps it.
                let _ = announce.ending(false).await;
            }
            left?;
        }
        Ok(())
    }
}

/// Whether the run was being finished when its target's records went, with the target as the owner.
fn is_ending(journal: &Journal) -> Result<bool> {
    let owner = record::all(journal.folder())?.last().map(|last| last.to);
    Ok(record::is_ending(journal.folder())? && owner == Some(Side::Target))
}

fn refused(target: String) -> Error {
    Error::new(Kind::Refused, "end the run without its source").store(target)
}
