//! The look at some rows: alone (`verify --sample`), or after all were compared (`--validation-sample`); and what
//! the report may say of it.

use super::Migration;
use super::compare::ToVerify;
use super::run::Run;
use crate::clock;
use crate::progress::{Event, Phase};
use crate::report::{PhaseTime, Report, SampleProof, TableReport, Validation, Verdict};
use crate::verify::sample::{Sample, bad_rate_max};
use crate::verify::{Aside, Mending};
use std::sync::Arc;
use std::time::Instant;
use switchover_core::Result;
use switchover_core::connector::Snapshot;
use switchover_core::plan::Plan;

impl Migration {
    /// Compares some rows of each table: a quick look, whose report says what it proves. A table without
    /// a key is unproven. See [`Sample`].
    ///
    /// # Errors
    /// As [`Migration::verify`].
    pub async fn verify_sample(&self, given: Option<Plan>, sample: Sample) -> Result<Report> {
        let (started, started_at) = (Instant::now(), clock::now());
        self.distinct()?;
        let ToVerify { plan, snapshot, stale, .. } = self.plan_to_verify(given).await?;
        let mut tables = self.sampled(&plan, &snapshot, sample).await?;
        let audit = self.target.audit(&plan).await?;
        for (index, table) in tables.iter_mut().enumerate() {
            let aside = Aside::of(&*self.target, &plan, index).await?;
            (table.quarantined, table.quarantined_rows) = (aside.listed, aside.rows);
            table.target_rows = audit.rows.get(index).copied().unwrap_or(0);
            let standing = plan.tables[index].standing.as_ref().filter(|_| self.target.shows_what_stays());
            let staying = standing.map_or(0, |standing| standing.rows_staying);
            let expected = table.source_rows.saturating_sub(table.quarantined_rows) + staying;
            if table.target_rows != expected {
                table.verdict = Verdict::Different;
                table.differences_total = table.differences_total.max(expected.abs_diff(table.target_rows));
                table.reason =
                    format!("the target should hold {expected} rows, and holds {}", table.target_rows);
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let shares: Vec<(u64, u64)> =
            tables.iter().map(|table| (table.sampled.unwrap_or(0), table.source_rows)).collect();
        let mut report = self.report("verify", None, tables, Some(audit), None, &plan);
        report.reasons.extend(stale);
        report.sample = Some(SampleProof {
            rows: shares.iter().map(|(compared, _)| compared).sum(),
            of: shares.iter().map(|(_, of)| of).sum(),
            bad_rate_max: bad_rate_max(&shares),
            rows_per_table: sample.rows,
            seed: sample.seed,
        });
        report.started_at = started_at;
        report.seconds = seconds;
        report.phases = vec![PhaseTime { phase: Phase::Verify, seconds }];
        Ok(report)
    }

    /// Looks some rows of each table up on the target.
    async fn sampled(
        &self,
        plan: &Arc<Plan>,
        snapshot: &Arc<dyn Snapshot>,
        sample: Sample,
    ) -> Result<Vec<TableReport>> {
        let begun = Instant::now();
        let rows = plan.tables.iter().map(|table| table.rows.min(sample.rows)).sum();
        self.progress.event(Event::PhaseStarted { phase: Phase::Verify, rows, bytes: 0 });
        let verify = self.verifier(plan, snapshot, None, 1, Mending::Nothing);
        let mut tables = Vec::with_capacity(plan.tables.len());
        for index in 0..plan.tables.len() {
            tables.push(self.again(async || verify.sample(index, sample).await).await?);
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.progress.event(Event::PhaseFinished { phase: Phase::Verify, seconds });
        Ok(tables)
    }

    /// After all rows were compared as a list: looks some of them up by their keys, as the application will. What
    /// differs there counts like any difference; a table without a key was compared, and is not looked at again.
    pub(super) async fn validate(&self, run: &Run, tables: &mut [TableReport]) -> Result<Option<Validation>> {
        if self.settings.validation_rows == 0 {
            return Ok(None);
        }
        let sample = Sample::of(self.settings.validation_rows);
        let looked = self.sampled(&run.plan, &run.snapshot, sample).await?;
        let mut found = Validation {
            rows: 0,
            differing: 0,
            rows_per_table: sample.rows,
            seed: sample.seed,
            not_looked_up: Vec::new(),
        };
        for (table, look) in tables.iter_mut().zip(looked) {
            match look.verdict {
                Verdict::Unproven => found.not_looked_up.push(format!("{}: {}", look.source, look.reason)),
                Verdict::Different if table.verdict == Verdict::Same => {
                    table.verdict = Verdict::Different;
                    table.reason = format!(
                        "all rows were equal when they were listed, and {} of {} differ when they are looked up by key",
                        look.differences_total,
                        look.sampled.unwrap_or(0)
                    );
                    table.differences = look.differences;
                    table.differences_total = look.differences_total;
                }
                Verdict::Different | Verdict::Same => {}
            }
            found.rows += look.sampled.unwrap_or(0);
            found.differing += look.differences_total;
        }
        Ok(Some(found))
    }
}
