//! A run whose records are gone from the target: how it ended, and what there is to do where it did not.
//!
//! Invariants: the run's folder tells, where anything of it was kept: behind the last removal the tables are the application's, and are asked
//! only where it does not. Nobody is sent to move away what may be the only data. Absent: ending a run.

use super::engine::End;
use super::record;
use crate::migration::Migration;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::connector::TargetState;
use switchover_core::live::LiveRun;
use switchover_core::plan::{Plan, TablePlan};

impl Migration {
    /// How a run ended that was there and has no records on the target any more: it was killed before its journal said so.
    pub(super) async fn over(&self, plan: &Plan, run: &str, folder: &Path) -> Result<Option<End>> {
        let found = self.again(async || self.target.inspect(&plan.options.schema).await).await?;
        let live = LiveRun { run: run.to_owned(), plan: Arc::new(plan.clone()), attempt: 0 };
        // A target that somebody emptied is another matter: the source still captures then.
        let begun = async || self.source.live(&live)?.has_records().await;
        if found.runs.iter().any(|own| own == run) || self.again(begun).await? {
            return Ok(None);
        }
        if !self.target.live(&live)?.can_own() {
            // What stands there may be another tenant's.
            let finished = record::ending(folder)? == Some(true);
            return Ok(Some(if finished { End::Finished } else { End::TakenBack }));
        }
        // The tables may be others by now: they are asked only where the folder does not tell.
        if let Some(end) = record::ended(folder)? {
            return Ok(Some(end));
        }
        Ok(match self.remaining(plan, &found).await? {
            (0, _) => Some(End::TakenBack),
            (some, all) if some == all => Some(End::Finished),
            // Neither of the two leaves a part.
            _ => None,
        })
    }

    /// How many of the plan's tables hold what the run left on a target without its records, and how many there are. Tables that
    /// the application's migrations made always stand: what tells is whether one holds more or fewer rows than before.
    pub(super) async fn remaining(&self, plan: &Plan, found: &TargetState) -> Result<(usize, usize)> {
        if plan.options.existing.is_none() {
            return Ok(standing(plan, found));
        }
        let schema = self.again(async || self.target.tables(&plan.options.schema).await).await?;
        let as_before = |table: &TablePlan| {
            let before = table.standing.as_ref().map_or(0, |standing| standing.rows_before);
            schema.table(&table.target).is_some_and(|own| own.rows == before)
        };
        let all = plan.tables.len();
        Ok((if plan.tables.iter().all(as_before) { 0 } else { all }, all))
    }
}

/// How many of the plan's tables the target holds, and how many there are.
fn standing(plan: &Plan, found: &TargetState) -> (usize, usize) {
    let names: BTreeSet<&str> =
        found.objects.iter().filter_map(|object| Some(object.split_once(' ')?.1)).collect();
    let some = plan.tables.iter().filter(|table| names.contains(table.target.as_str())).count();
    (some, plan.tables.len())
}

/// What can be done where the target holds the records of a run no more, and something else stands there.
pub(super) fn way_out(folder: &Path) -> &'static str {
    match record::ended(folder) {
        Ok(Some(End::Finished)) => LEFT,
        _ => LOST,
    }
}

const LOST: &str = "put the state back there that has the run's records, and the run goes on; where there is none, stop the run's engine, and move away or drop \
                    what stands there: then `switchover rollback --discard-target-changes` has the source own the data; where there was no cutover yet, \
                    `switchover rollback` takes the run back";

/// The target held every row, and what stands there may be the only data.
const LEFT: &str = "the run was being finished, and the target held every row: where its newest state stands there, `switchover finish \
                    --abandon-source` ends the run; else put that back first";
