//! Foreign keys that become references of a store of objects: the object of the row points at its parent's.
//!
//! The foreign key stays as a property; the reference stands beside it and says nothing of its own, so it is
//! made of the key whenever the object is written, and compared with it whenever the object is read. In a plan for
//! such a store the foreign keys of a table are its references, by name.
//! Invariant: what a reference points at is told by the key's value alone, so it is refused where that value is not the
//! parent's whole primary key, in the same form. Absent: how an object's id is made, which is the connector's.

use super::constraints::foreign_key;
use super::object::at;
use super::{Draft, Evidence};
use crate::codec::Codec;
use crate::connector::{Dialect, Named};
use crate::native::Native;
use crate::plan::{ColumnPlan, Fate, ForeignKeyPlan, LogicalType, PlanOptions, TablePlan};
use crate::schema::Table;
use std::collections::BTreeSet;

const HINT: &str = "leave `reference` out: the foreign key itself is kept as a property";

/// Takes up the references that the mapping asks for, and puts parents before their children.
pub(super) fn add(
    evidence: &Evidence<'_>,
    plans: &mut Vec<TablePlan>,
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) {
    for at in 0..plans.len() {
        let Some(table) = evidence.catalog.tables.iter().find(|table| table.name == plans[at].source) else {
            continue;
        };
        let keys = of_table(table, &plans[at], plans, dialect, options, draft);
        plans[at].foreign_keys = keys;
    }
    if plans.iter().any(|plan| !plan.foreign_keys.is_empty()) {
        *plans = super::existing::parents_first(std::mem::take(plans));
        cycles(plans, options, draft);
    }
}

/// Refuses references that lead to tables that come later: objects of one of the two would be written twice.
fn cycles(plans: &[TablePlan], options: &PlanOptions, draft: &mut Draft) {
    for (place, plan) in plans.iter().enumerate() {
        for key in &plan.foreign_keys {
            let later = plans[place + 1..].iter().find(|parent| parent.target == key.parent);
            let column = plan.columns.iter().find(|column| key.columns.contains(&column.target));
            let (Some(later), Some(column)) = (later, column) else { continue };
            let key = at(&options.mapping, &plan.source, &["column", &column.source, "reference"]);
            let why = format!(
                "{key}: {} refers to {} too, so none of the two can come first",
                later.source, plan.source
            );
            let hint = "leave one of the two references out: its foreign key is kept as a property";
            draft.refuse(&plan.source, &column.source, why, hint);
        }
    }
}

fn of_table(
    table: &Table,
    plan: &TablePlan,
    plans: &[TablePlan],
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) -> Vec<ForeignKeyPlan> {
    let mut taken: BTreeSet<String> =
        plan.columns.iter().map(|column| dialect.folded(&column.target)).collect();
    let mut keys = Vec::new();
    for column in &plan.columns {
        let map = options.mapping.column(&plan.source, &column.source);
        let Some(name) = map.and_then(|map| map.reference.clone()) else { continue };
        let found = match named(&name, dialect, &mut taken) {
            Ok(()) => parent_of(table, column, plan, plans),
            Err(why) => Err(why),
        };
        match found {
            Ok((parent, parent_columns)) => {
                let label = format!("{}({}) → {}", table.name, column.source, parent.source);
                draft.outcomes.retain(|line| !(line.kind == "foreign key" && line.name == label));
                draft.outcome("reference", label, Fate::Moved, format!("{name} of {}", parent.target));
                keys.push(ForeignKeyPlan {
                    name,
                    columns: vec![column.target.clone()],
                    parent: parent.target.clone(),
                    parent_columns,
                    on_delete: "NO ACTION".into(),
                    on_update: "NO ACTION".into(),
                    deferrable: false,
                    initially_deferred: false,
                    // Counted by the engine, which looks at the rows.
                    orphans: 0,
                    reference: true,
                });
            }
            Err(why) => {
                let key = at(&options.mapping, &plan.source, &["column", &column.source, "reference"]);
                draft.refuse(&plan.source, &column.source, format!("{key}: {why}"), HINT);
            }
        }
    }
    keys
}

/// Whether a reference can bear that name, beside the properties and the others.
pub(super) fn named(name: &str, dialect: &dyn Dialect, taken: &mut BTreeSet<String>) -> Result<(), String> {
    let max = dialect.identifier_bytes_max();
    if name.is_empty() {
        return Err("the reference has no name".into());
    }
    if name.len() > max {
        return Err(format!("\"{name}\" has {} bytes; a name ends at {max}", name.len()));
    }
    if let Some(fault) = dialect.name_fault(Named::Column, name) {
        return Err(fault);
    }
    match taken.insert(dialect.folded(name)) {
        true => Ok(()),
        false => {
            Err(format!("\"{name}\" is a property of the same objects: a reference has a name of its own"))
        }
    }
}

/// The parent that a column leads to, and its key; else why it leads to none.
fn parent_of<'a>(
    table: &Table,
    column: &ColumnPlan,
    plan: &TablePlan,
    plans: &'a [TablePlan],
) -> Result<(&'a TablePlan, Vec<String>), String> {
    let mut keys = table.foreign_keys.iter().filter(|key| key.columns.contains(&column.source));
    let key = keys.next().ok_or_else(|| {
        "the column is no foreign key; one that the source does not declare stands in [[table.NAME.foreign_key]]"
            .to_owned()
    })?;
    if keys.next().is_some() {
        return Err(
            "the column is part of several foreign keys, and does not say which parent is meant".into()
        );
    }
    if key.columns.len() > 1 {
        return Err(format!("the foreign key is of several columns ({})", key.columns.join(", ")));
    }
    let (parent, _, parent_columns) = foreign_key(key, plan, plans, false)?;
    let parent = plans
        .iter()
        .find(|candidate| candidate.target == parent)
        .ok_or_else(|| format!("its parent {} is not moved", key.parent))?;
    let own_key = parent.primary_key.as_ref().filter(|own| own.columns == parent_columns);
    let field = parent.columns.iter().find(|candidate| parent_columns.contains(&candidate.target));
    let (Some(_), Some(field)) = (own_key, field) else {
        return Err(format!(
            "{} is not the primary key of {}, of which its objects' ids are made",
            parent_columns.join(", "),
            parent.source
        ));
    };
    if !alike(column, field) {
        return Err(format!(
            "it is of type {}, and {}.{} of type {}: give both one type in the mapping",
            column.r#type, parent.source, field.source, field.r#type
        ));
    }
    Ok((parent, parent_columns))
}

/// Whether equal values of the source have one text in both columns, of which ids are made.
fn alike(child: &ColumnPlan, parent: &ColumnPlan) -> bool {
    // Integers of which some are too large are the texts of their digits.
    let digits = |column: &ColumnPlan| {
        column.r#type == LogicalType::Int8 || matches!(column.codec, Codec::Native(Native::Digits))
    };
    child.r#type == parent.r#type || digits(child) && digits(parent)
}
