//! Generated columns: which the target computes by itself, and of which it keeps the values.
//!
//! A column that another is computed from is translated before it, and the target's expression of the one stands in
//! that of the other where the target's language cannot name it. Absent: values in quarantine, from which
//! nothing can be computed; the engine, which looks at the rows, makes such columns plain.

use super::scope;
use crate::connector::Dialect;
use crate::plan::ColumnPlan;
use crate::schema::{ForeignKey, Table};
use std::collections::BTreeMap;

/// The target's expression of each generated column, or why it keeps its values instead.
pub(super) fn expressions(
    table: &Table,
    columns: &[ColumnPlan],
    dialect: &dyn Dialect,
    native: bool,
) -> BTreeMap<usize, Result<String, String>> {
    let mut scope = scope(table, columns);
    let mut found = BTreeMap::new();
    let generated = |at: usize| table.columns[at].generated.as_ref();
    let mut open: Vec<usize> = (0..table.columns.len()).filter(|at| generated(*at).is_some()).collect();
    while !open.is_empty() {
        // No store lets a column be computed from itself: one of them needs none of the others.
        let next = open.iter().position(|at| !needs(table, *at, &open)).unwrap_or(0);
        let at = open.remove(next);
        let Some(generated) = generated(at) else { continue };
        let kept = table.foreign_keys.iter().filter(|_| !native).find_map(|key| writes(key, table, at));
        let translated = match kept {
            Some(why) => Err(why),
            None => dialect
                .translate_generated(generated, columns[at].r#type, &scope)
                .map_err(|why| format!("its expression does not translate: {why}")),
        };
        scope[at].computed = translated.as_ref().ok().cloned();
        found.insert(at, translated);
    }
    found
}

/// Whether a generated column names another of these.
fn needs(table: &Table, at: usize, others: &[usize]) -> bool {
    let mut names = Vec::new();
    if let Some(generated) = &table.columns[at].generated {
        generated.expr.columns(&mut names);
    }
    let named =
        |other: &usize| names.iter().any(|name| name.eq_ignore_ascii_case(&table.columns[*other].name));
    others.iter().any(|other| *other != at && named(other))
}

/// Why a target computes no column that a foreign key would write: the standard forbids such a key.
fn writes(key: &ForeignKey, table: &Table, at: usize) -> Option<String> {
    let name = &table.columns[at].name;
    let acts =
        [("DELETE", &key.on_delete), ("UPDATE", &key.on_update)].into_iter().find(|(event, action)| {
            matches!(action.as_str(), "SET NULL" | "SET DEFAULT")
                || *event == "UPDATE" && *action == "CASCADE"
        });
    let (event, action) = acts.filter(|_| key.columns.iter().any(|own| own.eq_ignore_ascii_case(name)))?;
    Some(format!("the foreign key to {} writes it ON {event} {action}", key.parent))
}
