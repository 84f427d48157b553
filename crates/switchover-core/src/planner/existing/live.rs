//! What keeps tables that are there from a live run: said with the plan, before anything is written.
//!
//! A live run removes a changed row and puts it in again, and brings rows back to the source. So nothing of the target's may
//! act on such a row, what is taken down for it must come back as it was, and rows must be found by one key on both sides.
//!
//! Absent: what only the target's server can tell, which the connector says beside this; rows that are there, which the engine reads.

use super::super::Draft;
use super::around::is_unique;
use crate::existing::{Holds, TargetSchema, TargetTable};
use crate::plan::TablePlan;
use crate::schema::{Catalog, Table};

const OFFLINE: &str = "stop the application, and use `switchover migrate`";

/// Refuses what a live run cannot do with these tables.
pub(super) fn refuse(plans: &[TablePlan], catalog: &Catalog, schema: &TargetSchema, draft: &mut Draft) {
    for plan in plans {
        let Some(own) = schema.table(&plan.target) else { continue };
        let mut refuse =
            |column: &str, why: String, hint: &str| draft.refuse(&plan.source, column, why, hint);
        if own.partitioned {
            let why = format!(
                "\"{}\" is divided into partitions, whose keys cannot wait for their proof",
                own.name
            );
            refuse("", why, OFFLINE);
        }
        if !own.owned {
            let why = format!(
                "the role does not own \"{}\": a live run puts triggers on it, and takes its keys down while it copies",
                own.name
            );
            refuse("", why, "connect as the tables' owner");
        }
        for index in own.indexes.iter().filter(|index| is_unique(index) && !index.rebuildable) {
            let why = format!(
                "{} cannot be taken down and come back as it was (it excludes rows, or has a tablespace, a clustering or other settings of its own), and a copy that reads its chunks at different moments may meet it",
                index.name
            );
            refuse("", why, OFFLINE);
        }
        for key in plan.standing.iter().flat_map(|standing| &standing.references) {
            let child = schema.table(&key.table);
            if !key.key.is_proven() {
                let why = format!(
                    "the foreign key {} of \"{}\" is not proven by the target ({})",
                    key.key.name, key.table, key.key.definition
                );
                refuse("", why, "validate it, or drop it, before the run");
            }
            if child.is_none_or(|child| !child.owned || child.partitioned) && key.table != own.name {
                let why = format!(
                    "the foreign key {} of \"{}\", a table that is not moved, acts on rows or checks them at once while they go and come again, and the role cannot change it",
                    key.key.name, key.table
                );
                refuse("", why, "connect as the tables' owner");
            }
        }
        for sequence in own.columns.iter().filter(|column| moved(plan, &column.name)) {
            if sequence.sequence.as_ref().is_some_and(|sequence| sequence.step <= 0) {
                let why =
                    "its sequence counts down, which a change of the owner does not carry on".to_owned();
                refuse(&sequence.name, why, OFFLINE);
            }
        }
        keys(plan, own, &mut refuse);
        if let Some(table) = catalog.table(&plan.source) {
            computed(plan, table, &mut refuse);
        }
    }
}

fn moved(plan: &TablePlan, target: &str) -> bool {
    plan.columns.iter().any(|column| column.target == target)
}

/// Rows are found by comparing the key with what the log says of it.
fn keys(plan: &TablePlan, own: &TargetTable, refuse: &mut impl FnMut(&str, String, &str)) {
    for field in plan.key_fields() {
        let column = &plan.columns[field];
        let Some(found) = own.columns.iter().find(|found| found.name == column.target) else { continue };
        let labels = matches!(found.holds, Holds::Labels(_));
        if labels || found.type_name.ends_with("citext") {
            let why = format!(
                "it is part of the primary key, and the target's {} is not compared as the source compares it",
                found.type_name
            );
            refuse(&column.source, why, OFFLINE);
        }
    }
}

/// What one side computes and the other stores can only go one way.
fn computed(plan: &TablePlan, table: &Table, refuse: &mut impl FnMut(&str, String, &str)) {
    for column in &plan.columns {
        let Some(source) = table.columns.iter().find(|source| source.name == column.source) else { continue };
        let why = match (source.generated.is_some(), column.generated.is_some()) {
            (false, true) => {
                "the target computes it and the source stores it: what the source holds could not be written on the way back"
            }
            (true, false) => {
                "the source computes it and the target stores it: a value that is changed on the target could not be written on the way back"
            }
            _ => continue,
        };
        refuse(&column.source, why.to_owned(), OFFLINE);
    }
}
