//! Plans for collections of objects that are there already: planned as new ones would be, and held against those.
//!
//! Invariants: a property takes exactly what a new one of the same column would hold, or is a refusal, and all refusals are
//! named at once; nothing of a collection's own definition is changed. Absent: which objects are there, which the engine reads.

use super::super::Draft;
use crate::codec::Codec;
use crate::connector::Objects;
use crate::existing::{ExistingOptions, Standing, TargetSchema, TargetTable};
use crate::native::Native;
use crate::plan::{Fate, LogicalType, Plan, TablePlan};

/// What the vector without a name is called in a plan for a collection that is there, where no property can be called so.
pub const UNNAMED_VECTOR: &str = "vector";

const HINT: &str = "name the property with `to` in the mapping, give the column the property's type with `type`, or leave it behind with `drop = true`";

/// Refuses what is asked for of tables with rules and types of their own, and means nothing here.
pub(in super::super) fn no_such(asked: &ExistingOptions, draft: &mut Draft) {
    let given = [
        ("--rebuild", asked.rebuild),
        ("--naive-times", asked.utc),
        ("--epoch", asked.epoch.is_some()),
        ("--fractions", asked.cut_fractions),
    ];
    for (option, _) in given.into_iter().filter(|(_, given)| *given) {
        let why = format!(
            "{option} means nothing for collections of objects: a column becomes what it would in a new one"
        );
        draft.refuse(
            "",
            "",
            why,
            format!("leave {option} out; `type` in the mapping says what a column becomes"),
        );
    }
}

/// Holds planned tables against the collections that are there.
pub(in super::super) fn hold(
    plans: &mut [TablePlan],
    schema: &TargetSchema,
    objects: &dyn Objects,
    draft: &mut Draft,
) {
    for plan in plans {
        let Some(own) = schema.table(&plan.target) else {
            let why = format!("the target has no collection {}", plan.target);
            let hint = "name the collection with `to` in the mapping, leave the table with --exclude, or leave --into existing out";
            draft.refuse(&plan.source, "", why, hint);
            continue;
        };
        for obstacle in &own.obstacles {
            draft.refuse(&plan.source, "", obstacle, "leave the table with --exclude");
        }
        vectors(plan, own);
        properties(plan, own, objects, draft);
        for index in std::mem::take(&mut plan.indexes) {
            let label = format!("{} on {}", index.source, plan.source);
            draft.outcomes.retain(|line| !(line.kind == "index" && line.name == label));
            draft.outcome("index", label, Fate::LeftOut, "a collection that is there keeps its own indexes");
        }
        draft.outcomes.retain(|line| !(line.kind == "table" && line.name == plan.source));
        let why = format!("{} rows into the target's own collection {}", plan.rows, own.name);
        draft.outcome("table", &plan.source, Fate::Changed, why);
        plan.standing =
            Some(Standing { rows_before: own.rows, rows_staying: own.rows, ..Standing::default() });
    }
}

/// Where each side has one vector, they are the same one, whatever it is called.
fn vectors(plan: &mut TablePlan, own: &TargetTable) {
    let there: Vec<&str> = own
        .columns
        .iter()
        .filter(|column| column.type_name == LogicalType::Vector.to_string())
        .map(|column| &*column.name)
        .collect();
    let mut planned: Vec<_> =
        plan.columns.iter_mut().filter(|column| column.r#type == LogicalType::Vector).collect();
    if let ([one], [name]) = (planned.as_mut_slice(), there.as_slice()) {
        one.target = (*name).to_owned();
    }
}

fn properties(plan: &TablePlan, own: &TargetTable, objects: &dyn Objects, draft: &mut Draft) {
    let find = |name: &str| own.columns.iter().find(|column| column.name == name);
    for column in &plan.columns {
        if matches!(column.codec, Codec::Native(Native::Nested { .. })) {
            let why = "nested objects go into new collections only: their properties are not compared with those that are there";
            draft.refuse(&plan.source, &column.source, why, "leave `nested` out, or --into existing");
            continue;
        }
        let wanted = objects.type_name(column.r#type);
        let why = match find(&column.target) {
            None => format!("the collection {} has no property \"{}\"", own.name, column.target),
            Some(found) if found.type_name != wanted => format!(
                "the property \"{}\" of {} is {}, and the column's values are {wanted} ({})",
                found.name, own.name, found.type_name, column.why
            ),
            Some(_) => continue,
        };
        draft.refuse(&plan.source, &column.source, why, HINT);
    }
    for key in &plan.foreign_keys {
        let why = match find(&key.name) {
            None => format!("the collection {} has no reference \"{}\"", own.name, key.name),
            Some(found) if found.type_name != key.parent => {
                format!(
                    "\"{}\" of {} is {}, and no reference to {} alone",
                    key.name, own.name, found.type_name, key.parent
                )
            }
            Some(_) => continue,
        };
        draft.refuse(
            &plan.source,
            &key.columns.join(", "),
            why,
            "leave `reference` out, or name the collection's own",
        );
    }
    let planned = |name: &str| {
        plan.columns.iter().any(|column| column.target == name)
            || plan.foreign_keys.iter().any(|key| key.name == name)
    };
    for column in own.columns.iter().filter(|column| !planned(&column.name)) {
        let name = format!("{}.{}", own.name, column.name);
        let why = match column.type_name == LogicalType::Vector.to_string() {
            true => "the server's own where a module of it makes vectors; else the run's objects have none",
            false => "only on the target: the run's objects have none",
        };
        draft.outcome("target column", name, Fate::LeftOut, why);
    }
}

/// Looks again at a plan that was made earlier, and perhaps edited.
pub fn recheck(plan: &mut Plan, schema: &TargetSchema, objects: &dyn Objects) {
    let mut draft = Draft::default();
    if plan.target_schema.as_deref() != Some(&schema.fingerprint()) {
        draft.refuse("", "", "the target's definitions changed since the plan was made", "plan again");
    }
    hold(&mut plan.tables, schema, objects, &mut draft);
    plan.outcomes.retain(|line| !matches!(line.kind.as_str(), "rows on the target" | "target column"));
    let own =
        |kind: &str, name: &str| draft.outcomes.iter().any(|line| line.kind == kind && line.name == name);
    plan.outcomes.retain(|line| !own(&line.kind, &line.name));
    plan.outcomes.append(&mut draft.outcomes);
    plan.refusals.append(&mut draft.refusals);
}
