//! What is done around the load: the order of tables, and which keys and indexes are dropped for it.
//!
//! Invariants: a primary key is dropped only where the table has no row, by which rows are found, and nothing rests on it; nor is
//! an index that a foreign key that stays rests on. What is dropped is named with the target's own definition. Absent: the statements, which are the connector's.

use super::super::Draft;
use crate::existing::{
    self, ExistingOptions, OnConflict, Rebuilt, RebuiltKind, Rule, RuleKind, StandingKey, TargetForeignKey,
    TargetIndex, TargetSchema, TargetTable,
};
use crate::plan::{Fate, ForeignKeyPlan, TablePlan};
use std::collections::BTreeSet;

/// Foreign keys whose two tables are loaded, in the plan's words.
pub(super) fn relations(
    plans: &mut [TablePlan],
    schema: &TargetSchema,
    asked: &ExistingOptions,
    draft: &mut Draft,
) {
    let loaded: BTreeSet<String> = plans.iter().map(|plan| plan.target.clone()).collect();
    let edges: Vec<(String, String)> = schema
        .tables
        .iter()
        .filter(|table| loaded.contains(&table.name))
        .flat_map(|table| {
            table.foreign_keys.iter().filter_map(|key| Some((table.name.clone(), key.parent.clone()?)))
        })
        .filter(|(_, parent)| loaded.contains(parent))
        .collect();
    for at in 0..plans.len() {
        let Some(own) = schema.table(&plans[at].target) else { continue };
        let mut keys = Vec::new();
        for key in &own.foreign_keys {
            let Some(parent) = key.parent.as_ref().filter(|parent| loaded.contains(*parent)) else {
                let rule = Rule {
                    name: key.name.clone(),
                    definition: key.definition.clone(),
                    columns: key.columns.clone(),
                    kind: RuleKind::Parent,
                };
                let enforced = !key.definition.ends_with("NOT ENFORCED");
                plans[at].standing.get_or_insert_default().rules.extend(enforced.then_some(rule));
                continue;
            };
            // A live run's keys are no part of the load, whatever leads where.
            let cyclic = !asked.live && reaches(&edges, parent, &own.name);
            if cyclic && !own.owned {
                let why = format!(
                    "its foreign key {} leads back to the table itself, so that no order of loading satisfies it, and the role may not drop it for the load",
                    key.name
                );
                draft.refuse(&plans[at].source, "", why, "connect as the tables' owner");
            }
            if asked.live {
                let key = StandingKey { table: own.name.clone(), key: key.clone() };
                plans[at].standing.get_or_insert_default().references.push(key);
            } else if (cyclic || asked.rebuild) && own.owned {
                draft.outcome(
                    "foreign key",
                    format!("{} of {}", key.name, own.name),
                    Fate::Moved,
                    "dropped for the load and made again after it, as it was",
                );
                let rebuilt = rebuilt_key(own, key);
                plans[at].standing.get_or_insert_default().rebuilt.push(rebuilt);
            }
            let has = |plan: &TablePlan, names: &[String]| {
                names.iter().all(|name| plan.columns.iter().any(|column| column.target == *name))
            };
            let parent_plan = plans.iter().find(|plan| plan.target == *parent);
            let mapped = has(&plans[at], &key.columns)
                && parent_plan.is_some_and(|plan| has(plan, &key.parent_columns));
            if mapped && !key.definition.ends_with("NOT VALID") {
                keys.push(ForeignKeyPlan {
                    name: key.name.clone(),
                    columns: key.columns.clone(),
                    parent: parent.clone(),
                    parent_columns: key.parent_columns.clone(),
                    on_delete: "NO ACTION".into(),
                    on_update: "NO ACTION".into(),
                    deferrable: false,
                    initially_deferred: false,
                    // Counted by the engine, which looks at the rows.
                    orphans: 0,
                    reference: false,
                });
            }
        }
        plans[at].foreign_keys = keys;
    }
}

fn rebuilt_key(own: &TargetTable, key: &TargetForeignKey) -> Rebuilt {
    Rebuilt {
        table: own.name.clone(),
        kind: RebuiltKind::ForeignKey,
        name: key.name.clone(),
        definition: key.definition.clone(),
        comment: key.comment.clone(),
        at_once: own.partitioned,
    }
}

/// Whether one table's foreign keys lead to another, over any number of steps.
fn reaches(edges: &[(String, String)], from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(table) = next.pop() {
        if table == to {
            return true;
        }
        for (_, parent) in edges.iter().filter(|(child, _)| child == table) {
            if seen.insert(parent) {
                next.push(parent);
            }
        }
    }
    false
}

/// Parents before children; within a cycle, whose keys are dropped, as the source lists them.
pub(in super::super) fn parents_first(mut plans: Vec<TablePlan>) -> Vec<TablePlan> {
    let mut sorted: Vec<TablePlan> = Vec::with_capacity(plans.len());
    while !plans.is_empty() {
        let waits = |plan: &TablePlan| {
            plan.foreign_keys.iter().any(|key| {
                let dropped = plan
                    .standing
                    .iter()
                    .flat_map(|standing| &standing.rebuilt)
                    .any(|rebuilt| rebuilt.name == key.name);
                !dropped && key.parent != plan.target && plans.iter().any(|other| other.target == key.parent)
            })
        };
        let at = plans.iter().position(|plan| !waits(plan)).unwrap_or(0);
        sorted.push(plans.remove(at));
    }
    sorted
}

/// What else is dropped for the load, and what only a rollback may have to drop for a moment.
pub(super) fn surroundings(plans: &mut [TablePlan], schema: &TargetSchema, asked: &ExistingOptions) {
    if asked.live {
        beside_children(plans, schema);
    } else {
        held(plans, schema, asked);
    }
    indexes(plans, schema, asked);
}

/// Keys of children that are not in the plan: an action of theirs, and a check that does not wait, would meet rows that go
/// and come again.
fn beside_children(plans: &mut [TablePlan], schema: &TargetSchema) {
    let loaded: BTreeSet<String> = plans.iter().map(|plan| plan.target.clone()).collect();
    for child in schema.tables.iter().filter(|table| !loaded.contains(&table.name)) {
        for key in &child.foreign_keys {
            let Some(plan) = plans.iter_mut().find(|plan| key.parent.as_ref() == Some(&plan.target)) else {
                continue;
            };
            let key = StandingKey { table: child.name.clone(), key: key.clone() };
            plan.standing.get_or_insert_default().references.push(key);
        }
    }
}

/// Keys that a replaced row would meet, and those that only a rollback may have to drop for a moment.
fn held(plans: &mut [TablePlan], schema: &TargetSchema, asked: &ExistingOptions) {
    let loaded: BTreeSet<String> = plans.iter().map(|plan| plan.target.clone()).collect();
    let seeded: BTreeSet<String> = plans
        .iter()
        .filter(|plan| plan.standing.as_ref().is_some_and(|standing| standing.rows_before > 0))
        .map(|plan| plan.target.clone())
        .collect();
    let mut dropped: BTreeSet<(String, String)> = plans
        .iter()
        .flat_map(|plan| plan.standing.iter().flat_map(|standing| &standing.rebuilt))
        .map(|rebuilt| (rebuilt.table.clone(), rebuilt.name.clone()))
        .collect();
    for child in schema.tables.iter().filter(|table| table.owned) {
        for key in &child.foreign_keys {
            let Some(parent) = &key.parent else { continue };
            // A replaced row goes before the other comes: no action of a key may fire between.
            let replaced = asked.on_conflict == OnConflict::Replace && seeded.contains(parent);
            let touches = loaded.contains(parent) || loaded.contains(&child.name);
            if !touches || dropped.contains(&(child.name.clone(), key.name.clone())) {
                continue;
            }
            let home = if loaded.contains(&child.name) { &child.name } else { parent };
            let Some(plan) = plans.iter_mut().find(|plan| plan.target == *home) else { continue };
            let standing = plan.standing.get_or_insert_default();
            if replaced {
                standing.rebuilt.push(rebuilt_key(child, key));
                dropped.insert((child.name.clone(), key.name.clone()));
            } else {
                standing.held.push(rebuilt_key(child, key));
            }
        }
    }
}

/// Indexes and unique constraints that are made again behind the load. A live run's copy reads its chunks at different
/// moments, so that a value may be there twice until the changes since are taken: nothing may be unique meanwhile but the
/// key by which rows are found.
fn indexes(plans: &mut [TablePlan], schema: &TargetSchema, asked: &ExistingOptions) {
    if !asked.rebuild && !asked.live {
        return;
    }
    let dropped: BTreeSet<(String, String)> = plans
        .iter()
        .flat_map(|plan| &plan.standing)
        .flat_map(|standing| {
            let keys = standing.references.iter().map(|key| (key.table.clone(), key.key.name.clone()));
            keys.chain(standing.rebuilt.iter().map(|rebuilt| (rebuilt.table.clone(), rebuilt.name.clone())))
        })
        .collect();
    for plan in plans.iter_mut() {
        let Some(own) = schema.table(&plan.target).filter(|own| own.owned) else { continue };
        // Rows that are there are found by their keys while the others come.
        let referred = |index: &existing::TargetIndex| {
            let names = |key: &TargetForeignKey| {
                key.parent.as_ref() == Some(&own.name)
                    && key.parent_columns.iter().collect::<BTreeSet<_>>() == index.unique.iter().collect()
            };
            let by = |table: &TargetTable| {
                table
                    .foreign_keys
                    .iter()
                    .any(|key| names(key) && !dropped.contains(&(table.name.clone(), key.name.clone())))
            };
            !index.unique.is_empty() && schema.tables.iter().any(by)
        };
        let standing = plan.standing.get_or_insert_default();
        // A live copy finds its rows by the key from the first chunk on.
        let primary = own.primary_index.as_ref().filter(|_| own.rows == 0 && !asked.live);
        for index in primary.iter().filter(|index| index.rebuildable && !referred(index)) {
            standing.rebuilt.push(Rebuilt {
                table: own.name.clone(),
                kind: RebuiltKind::PrimaryKey,
                name: index.name.clone(),
                definition: index.definition.clone(),
                comment: index.comment.clone(),
                at_once: false,
            });
        }
        let wanted = |index: &TargetIndex| asked.rebuild || is_unique(index);
        for index in own.indexes.iter().filter(|index| wanted(index) && index.rebuildable && !referred(index))
        {
            standing.rebuilt.push(Rebuilt {
                table: own.name.clone(),
                kind: if index.constraint { RebuiltKind::Constraint } else { RebuiltKind::Index },
                name: index.name.clone(),
                definition: index.definition.clone(),
                comment: index.comment.clone(),
                at_once: false,
            });
        }
    }
}

/// Whether an index keeps two rows from holding the same, whatever they are compared by.
pub(super) fn is_unique(index: &TargetIndex) -> bool {
    index.constraint || index.definition.starts_with("CREATE UNIQUE")
}
