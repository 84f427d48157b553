//! Ending a reverse window whose source cannot be brought up to date any more: its disk died, or what fed it was removed.
//!
//! Nothing is decided here that a person did not ask for: the source is then out of date for good, and stays as it is, fenced where it
//! was. Invariants: the target owns the data and keeps every row, and the source is not even opened; or the target only serves reads, and the
//! source cannot be reached. Absent: `finish`, which first brings the follower up to date.

use super::announce::{Announce, say_ended};
use super::engine::End;
use super::finished::{self, Ended, GAVE_UP, GAVE_UP_READS};
use super::gone;
use super::record;
use super::run::{Reopened, Surroundings, put_down};
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
    /// `Refused` when the source owns the data, and of a target that only serves reads when the source can be reached; `Busy` while an engine has the run;
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
        let owns = self.target.live(&live)?.can_own();
        let reached = async || Ok::<bool, Error>(self.source.live(&live)?.has_records().await.is_ok());
        if !owns && reached().await.unwrap_or(false) {
            // It is the application's store, and would bear the run's log for good.
            return Err(refused(self.target.label())
                .detail("it never owns the data, and the source, which is the application's store, can be reached")
                .hint("`switchover finish` ends the run"));
        }
        if found.runs.contains(&run) {
            match owns {
                true => self.leave_target(&plan, &run, &*announce).await?,
                false => self.leave_readers(&plan, &run, &*announce).await?,
            }
            self.again(async || self.target.forget(&schema, &run).await).await?;
        } else if let (some, all) = self.remaining(&plan, &found).await?
            && (owns && some == 0 && found.objects.is_empty()
                || record::ended(journal.folder())? != Some(End::Finished))
        {
            // It was killed behind its last removal only if that was begun, and then the tables are there. What became of them since is the
            // application's affair, but that nothing is left at all.
            return Err(refused(self.target.label())
                .detail(format!(
                    "it holds no records of the run, and {some} tables of the names of its {all}: this is not a run that was being finished. Another \
                     store, or another state of it, stands there, and the source may hold the only data"
                ))
                .hint(gone::way_out(journal.folder())));
        }
        drop(claim);
        reserve::remove(journal.folder());
        say_ended(&*announce, Side::Target, &*self.progress).await;
        // The run is over whatever becomes of its report.
        let (how, detail) = match owns {
            true => (Ended::TargetAlone, GAVE_UP),
            false => (Ended::ReadsAlone, GAVE_UP_READS),
        };
        let kept = finished::keep(journal, &plan, how, begun.elapsed().as_secs_f64());
        journal.reach(State::CleanedUp, detail)?;
        kept
    }

    /// Leaves a target that only serves reads: what it holds is all that there is now.
    async fn leave_readers(&self, plan: &Arc<Plan>, run: &str, announce: &dyn Announce) -> Result<()> {
        self.again(async || self.target.prepare(plan, run).await).await?;
        let live = LiveRun { run: run.to_owned(), plan: Arc::clone(plan), attempt: self.target.attempt() };
        let target = self.target.live(&live)?;
        announce.ending(true).await?;
        self.again(async || target.leave().await).await
    }

    async fn leave_target(&self, plan: &Arc<Plan>, run: &str, announce: &dyn Announce) -> Result<()> {
        self.again(async || self.target.prepare(plan, run).await).await?;
        let live = LiveRun { run: run.to_owned(), plan: Arc::clone(plan), attempt: self.target.attempt() };
        let target = self.target.live(&live)?;
        if !self.again(async || target.left().await).await? {
            let mut ownership = self.again(async || target.ownership().await).await?;
            if let Some(back) = SetBack::of(ownership, announce.last_change().await?)
                && (ownership.owner == Side::Source || back.is_a_follower())
            {
                return Err(back.error(self.target.label()));
            }
            if ownership.pending && ownership.owner == Side::Target {
                // A rollback that was never decided. This process alone could decide it: it holds the run.
                let withdrawn = ownership.withdrawn();
                self.again(async || target.decide(&ownership, &withdrawn, &[]).await).await?;
                // What an earlier one asked for may have come first: what the row says counts.
                ownership = self.again(async || target.ownership().await).await?;
            }
            if ownership.owner == Side::Target && !ownership.pending {
                // Whoever withdrew it, this process or one that was killed.
                self.again(async || target.unfence().await).await?;
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

fn refused(target: String) -> Error {
    Error::new(Kind::Refused, "end the run without its source").store(target)
}
