//! From what the tables and the target say to one report with one verdict.

use super::Migration;
use super::run::Run;
use crate::clock;
use crate::report::{BackupNote, REPORT_FORMAT, Report, TableReport, Verdict};
use switchover_core::connector::Audit;
use switchover_core::plan::Plan;

impl Migration {
    pub(super) fn report(
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
            validation: None,
            phases: run.map(|run| run.clock.times()).unwrap_or_default(),
            seconds: run.map_or(0.0, |run| run.started.elapsed().as_secs_f64()),
            resident_bytes_max: clock::resident_bytes_max(),
            backup,
            tables,
            audit,
            outcomes: plan.outcomes.clone(),
            refusals: plan.refusals.clone(),
            live: None,
        }
    }
}
