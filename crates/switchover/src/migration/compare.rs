//! Comparing the stores: at the end of a run, and any time again.
//!
//! Absent: how a table is compared, which is `verify`.

use super::Migration;
use crate::clock;
use crate::evidence::Content;
use crate::journal::{self, Header, Journal, State, Summary};
use crate::progress::{Event, Phase};
use crate::report::{PhaseTime, Report, TableReport};
use crate::sight::Sight;
use crate::verify::{self, Mending, Verify};
use std::sync::Arc;
use std::time::Instant;
use switchover_core::connector::{Claim, Snapshot};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// How often tables are compared again that differed and, looked at row by row, did no more: a store answered wrongly for a moment, as
/// a node does that was away, or somebody writes to it.
const LOOKS_AGAIN: u32 = 2;

/// Who has the target while it is repaired, for whoever meets that.
const REPAIR: &str = "of `verify --repair`";

fn differing(tables: &[TableReport]) -> u64 {
    tables.iter().map(|table| table.differences_total).sum()
}

/// Rows that the target is to hold: the source's but those that are left out, and those that stay.
fn target_rows(plan: &Plan) -> u64 {
    let out =
        plan.tables.iter().flat_map(|table| &table.orphans).filter(|row| row.columns.is_empty()).count();
    let staying = plan.tables.iter().flat_map(|table| &table.standing).map(|standing| standing.rows_staying);
    plan.source.rows.saturating_sub(out as u64) + staying.sum::<u64>()
}

/// What a comparison of stores at rest goes by.
pub(super) struct ToVerify {
    pub(super) plan: Arc<Plan>,
    /// The source's read point.
    pub(super) snapshot: Arc<dyn Snapshot>,
    /// What the source holds there, where the plan was made at it.
    pub(super) content: Option<Arc<Content>>,
    /// Why that may not be the current data.
    pub(super) stale: Option<String>,
}

impl Migration {
    /// Compares, and mends while the claim holds, until nothing is left or nothing is mended any more.
    pub(super) async fn mended(
        &self,
        plan: &Arc<Plan>,
        snapshot: &Arc<dyn Snapshot>,
        content: Option<Arc<Content>>,
        mending: Mending,
        claim: Option<&dyn Claim>,
    ) -> Result<Vec<TableReport>> {
        let mut tables = self.compare(plan, snapshot, content, mending, claim).await?;
        let (mut left, mut looks) = (u64::MAX, LOOKS_AGAIN);
        loop {
            // A pass mends a bounded number of rows, and the last one only looks.
            let differ = if mending == Mending::Nothing { 0 } else { differing(&tables) };
            let passed = tables.iter().any(verify::is_passed) && looks > 0;
            if differ == 0 && !passed {
                return Ok(tables);
            }
            looks -= u32::from(passed);
            let fewer = differ < left;
            let next = if fewer { mending } else { Mending::Nothing };
            tables = self.compare(plan, snapshot, None, next, claim).await?;
            if !fewer {
                return Ok(tables);
            }
            if differ > 0 {
                left = differ;
            }
        }
    }

    async fn compare(
        &self,
        plan: &Arc<Plan>,
        snapshot: &Arc<dyn Snapshot>,
        content: Option<Arc<Content>>,
        mending: Mending,
        claim: Option<&dyn Claim>,
    ) -> Result<Vec<TableReport>> {
        let begun = Instant::now();
        self.progress.event(Event::PhaseStarted {
            phase: Phase::Verify,
            rows: target_rows(plan),
            bytes: plan.source.bytes,
        });
        let verify = self.verifier(plan, snapshot, content, self.jobs(), mending);
        let mut reports = Vec::with_capacity(plan.tables.len());
        let mut mends = Vec::new();
        for index in 0..plan.tables.len() {
            let (report, mend) = self.again(async || verify.table(index).await).await?;
            reports.push(report);
            mends.extend(mend);
        }
        if !mends.is_empty() {
            // The comparison may have taken long enough for another run to have begun.
            if let Some(claim) = claim {
                claim.check().await?;
            }
            let mend = async || self.target.repair(plan, &mends).await;
            // In a transaction whose COMMIT was not answered all may be done, and the same rows would be inserted again: twice
            // where there is no key. Whoever repairs again compares first. Elsewhere a write repeated is the same write.
            match self.target.transactional() {
                true => mend().await?,
                false => self.again(mend).await?,
            }
        }
        self.progress
            .event(Event::PhaseFinished { phase: Phase::Verify, seconds: begun.elapsed().as_secs_f64() });
        Ok(reports)
    }

    pub(super) fn verifier(
        &self,
        plan: &Arc<Plan>,
        snapshot: &Arc<dyn Snapshot>,
        content: Option<Arc<Content>>,
        parts: usize,
        mending: Mending,
    ) -> Verify {
        Verify {
            plan: Arc::clone(plan),
            snapshot: Arc::clone(snapshot),
            target: Arc::clone(&self.target),
            progress: Arc::clone(&self.progress),
            shutdown: self.shutdown.clone(),
            parts,
            mending,
            content,
        }
    }

    /// Compares every field of every row, any time again. The plan is the given one, or that of the
    /// newest run between these stores, or one made now. With `repair`, rows that differ are mended and
    /// compared once more; nobody else is at work on the target meanwhile.
    ///
    /// # Errors
    /// When a store cannot be read to its end: the answer is then "unproven", never "same". With `repair` `Refused` where a live run that
    /// is not over has the tables, and `Busy` while a run is at work on the target.
    pub async fn verify(&self, given: Option<Plan>, repair: bool) -> Result<Report> {
        let (started, started_at) = (Instant::now(), clock::now());
        self.distinct()?;
        let schema = given.as_ref().map_or(&self.settings.plan.schema, |plan| &plan.options.schema).clone();
        // Before the read point: what a run writes behind that is no difference, and what it takes back is not to come again.
        let claim = match repair {
            true => Some(self.claim_to_repair(&schema).await?),
            false => None,
        };
        let ToVerify { plan, snapshot, content, stale } = self.plan_to_verify(given).await?;
        if let Some(why) = stale.as_ref().filter(|_| repair) {
            // The target may be the store that owns the data.
            return Err(Error::new(Kind::Refused, "repair the target")
                .store(self.target.label())
                .detail(why.clone())
                .hint(super::OWNER_INSTEAD));
        }
        if repair && let Some(run) = self.again(async || self.target.live_run(&plan).await).await? {
            return Err(self.left_to_its_engine(&run));
        }
        let mending = if repair { Mending::All } else { Mending::Nothing };
        let tables = self.mended(&plan, &snapshot, content, mending, claim.as_deref()).await?;
        let audit = self.target.audit(&plan).await?;
        let mut report = self.report("verify", None, tables, Some(audit), None, &plan);
        report.reasons.extend(stale);
        report.started_at = started_at;
        report.seconds = started.elapsed().as_secs_f64();
        report.phases = vec![PhaseTime { phase: Phase::Verify, seconds: report.seconds }];
        Ok(report)
    }

    /// Takes the target for a repair.
    async fn claim_to_repair(&self, schema: &str) -> Result<Box<dyn Claim>> {
        // An engine that is at work has the target. What is to be done then is said by who knows the run.
        for run in journal::list(&self.settings.state_dir)? {
            let Header { source, target, live, .. } = &run.header;
            let ours = *source == self.source.label() && *target == self.target.label();
            if *live
                && ours
                && run.goes_on()
                && run.has_begun()
                && Journal::read_plan(&self.settings.state_dir, &run.header.run)?.options.schema == schema
            {
                return Err(self.left_to_its_engine(&run.header.run));
            }
        }
        self.claim_again(schema, REPAIR).await
    }

    /// That a live run's tables are not repaired. What was written there since the repair's read point would be undone, and its engine,
    /// whose position is behind that, would never write it again.
    fn left_to_its_engine(&self, run: &str) -> Error {
        Error::new(Kind::Refused, "repair the target")
            .store(self.target.label())
            .detail(format!("the live run {run} is not over: only its engine writes to these tables"))
            .hint("`switchover verify --live` has the engine compare all rows while it follows; `switchover resume` starts one")
    }

    pub(super) async fn plan_to_verify(&self, given: Option<Plan>) -> Result<ToVerify> {
        let found = match given {
            Some(plan) => Some(plan),
            None => self.newest_plan()?,
        };
        let sight = self.sight(found.as_ref().map_or(&self.settings.plan, |plan| &plan.options)).await?;
        let (plan, content) = match found {
            Some(plan) => (plan, None),
            None => self.plan_of_now(&sight).await.map(|(plan, content)| (plan, Some(content)))?,
        };
        Ok(ToVerify {
            plan: Arc::new(plan),
            snapshot: sight.snapshot,
            content: content.map(Arc::new),
            stale: super::not_the_owner(&sight.catalog),
        })
    }

    /// A plan for stores of which no run is on record. Into tables that are there it leaves out what does not
    /// match: the comparison would then say "same" of what it never looked at.
    async fn plan_of_now(&self, sight: &Sight) -> Result<(Plan, Content)> {
        let (plan, content) = self.look(sight).plan(&self.settings.plan).await?;
        match plan.refusals.first().filter(|_| plan.options.existing.is_some()) {
            None => Ok((plan, content)),
            Some(refusal) => Err(Error::new(Kind::Refused, "verify")
                .store(self.target.label())
                .table(refusal.table.clone())
                .column(refusal.column.clone())
                .detail(format!("no run is on record, and a plan of now would be refused: {}", refusal.why))
                .hint("name the run's plan with --plan, or the folder of its journal with --state-dir")),
        }
    }

    /// The plan by which stores are compared where none is given: that of their newest run into the same schema, if there is one.
    ///
    /// # Errors
    /// `NotFound` where every such run was rolled back: what is missing then is missing on purpose. Into tables that are there the
    /// answer is `None`, for those may be compared all the same.
    pub fn newest_plan(&self) -> Result<Option<Plan>> {
        let runs = journal::list(&self.settings.state_dir)?;
        let ours = |run: &&Summary| {
            run.header.source == self.source.label() && run.header.target == self.target.label()
        };
        let mut taken_back = None;
        for run in runs.iter().rev().filter(ours) {
            let plan = Journal::read_plan(&self.settings.state_dir, &run.header.run)?;
            if plan.options.schema != self.settings.plan.schema {
                continue;
            }
            match run.entries.last().map(|entry| entry.state) {
                Some(State::RolledBack) => taken_back = taken_back.or(Some(&run.header.run)),
                Some(_) => return Ok(Some(plan)),
                None => {}
            }
        }
        match taken_back.filter(|_| self.settings.plan.existing.is_none()) {
            None => Ok(None),
            Some(run) => Err(Error::new(Kind::NotFound, "find the run that moved the data")
                .store(self.target.label())
                .detail(format!("{run} was rolled back: the target holds nothing of it"))
                .hint("`switchover migrate` moves the data; --plan FILE goes by a plan of your own")),
        }
    }
}
