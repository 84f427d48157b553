//! What a target holds already, and what it does not allow: found before anything is written.

use super::Draft;
use crate::connector::{Dialect, TargetState};
use crate::live::Side;
use crate::plan::{PlanOptions, TablePlan};

/// Objects of a target that a message names.
const SHOWN_MAX: usize = 5;

/// What to do about a right that the role lacks.
pub const MISSING_RIGHT: &str = "have the owner of the database change that, or name another target";

/// What to do about the records of a run.
const EARLIER: &str = "`switchover status` shows that run, with the --state-dir where it began: `resume` goes on with it, `rollback` takes it back, `cleanup` accepts it";

/// Why nothing can be made in a place that holds something, and what to do about it. What an earlier run made is never
/// to be removed by hand: its records tell how to go on or back.
pub fn occupied(target: &TargetState, dialect: &dyn Dialect, schema: &str) -> Option<(String, String)> {
    if target.objects.is_empty() {
        return None;
    }
    let (place, todo) = dialect.place(schema);
    if let Some(run) = target.runs.first() {
        let why = format!("{place} is not empty: it holds what the run {run} made");
        if let Some(owner) = target.owner {
            let why = format!("{why}, a live one; the {owner} owns the data");
            return Some((why, live_hint(owner).to_owned()));
        }
        return Some((why, format!("{EARLIER}; or {todo}")));
    }
    let shown: Vec<&str> = target.objects.iter().take(SHOWN_MAX).map(String::as_str).collect();
    let more = target.objects.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some((format!("{place} is not empty: it holds {}{more}", shown.join(", ")), todo.to_owned()))
}

/// What to do about a live run that is not over. Its tables may hold the only data: nobody is told to empty them.
fn live_hint(owner: Side) -> &'static str {
    match owner {
        Side::Source => {
            "go on with that run where it was begun (`switchover status` there, --state-dir names the folder); if that folder is \
             lost, `switchover rollback --run NAME --from SOURCE --to TARGET` takes the run back by what the stores say"
        }
        Side::Target => {
            "remove nothing here: it may be in no other store. Go on with that run where it was begun (`switchover status` there, \
             --state-dir names the folder); if that folder is lost, restore it: only its plan can bring the source up to date"
        }
    }
}

/// Everything about the target as it is found that keeps these tables from it.
pub(super) fn faults(
    target: &TargetState,
    tables: &[TablePlan],
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) {
    if let Some(why) = dialect.schema_fault(&options.schema) {
        draft.refuse("", "", why, "name another schema with --schema");
    }
    if options.existing.is_some() {
        if !target.schema_exists {
            let why = format!("the target has no schema \"{}\"", options.schema);
            draft.refuse("", "", why, "run the application's migrations first");
        } else if let Some(run) = target.runs.first().filter(|_| !dialect.runs_share()) {
            let why = format!("the schema \"{}\" holds the records of the run {run}", options.schema);
            draft.refuse("", "", why, target.owner.map_or(EARLIER, live_hint));
        }
    } else if let Some((why, hint)) = occupied(target, dialect, &options.schema) {
        draft.refuse("", "", why, hint);
    }
    let others = |table: &&TablePlan| {
        options.existing.is_none() && target.taken.contains(&dialect.folded(&table.target))
    };
    for table in tables.iter().filter(others) {
        let why = format!("the target has \"{}\" already, and the run did not make it", table.target);
        let mut hint =
            "give the table another name in the mapping (`to`), fill what is there with --into existing, or remove it, unless it is an extension's"
                .to_owned();
        if !target.runs.is_empty() {
            let runs = target.runs.join(", ");
            hint = format!(
                "where the run {runs} made it, `resume` goes on with it, `rollback` takes it back and `cleanup` accepts it, in that run's state folder \
                 (a live run whose folder is lost is taken back by `rollback --run NAME --from SOURCE --to TARGET`); otherwise {hint}"
            );
        }
        draft.refuse(&table.source, "", why, hint);
    }
    for right in &target.missing_rights {
        draft.refuse("", "", right, MISSING_RIGHT);
    }
}
