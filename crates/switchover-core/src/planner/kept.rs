//! What is kept as it is where source and target are of one kind: declared types, triggers, settings.
//!
//! An object whose text is kept must find on the target what it names; one that would not is left out
//! with a line. Absent: expressions, indexes and views, which the dialect renders.

use super::Draft;
use crate::census::ColumnCensus;
use crate::codec::Codec;
use crate::connector::{Choice, Dialect};
use crate::expr::Affinity;
use crate::judge;
use crate::plan::{Fate, LogicalType, PlanOptions, TablePlan, TriggerPlan, ViewPlan};
use crate::schema::{Catalog, Column, Table, View};
use std::collections::BTreeSet;

/// A column between two stores of one kind.
pub(super) fn as_declared(column: &Column) -> Choice {
    Choice {
        r#type: LogicalType::Declared,
        codec: Codec::Any { affinity: column.affinity },
        why: "as declared".into(),
    }
}

/// The same of a column that nothing is said of. Read from several tables, it has the first one's declaration, which need not keep
/// what the others hold as it is.
pub(super) fn choice(table: &str, column: &Column, census: &ColumnCensus, options: &PlanOptions) -> Choice {
    let several = options.mapping.tables.get(table).is_some_and(|map| map.from.len() > 1);
    if !several || judge::keeps(column.affinity, census) {
        return as_declared(column);
    }
    Choice {
        r#type: LogicalType::Any,
        codec: Codec::Any { affinity: Affinity::Blob },
        why: format!(
            "no type: as {}, which the first of its tables declares, it would change values of the others",
            column.declared
        ),
    }
}

/// Triggers that are kept; every other has a line.
pub(super) fn triggers(
    catalog: &Catalog,
    tables: &[TablePlan],
    views: &[ViewPlan],
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) -> Vec<TriggerPlan> {
    let is_left = |view: &&View| views.iter().all(|planned| planned.source != view.name);
    let left: Vec<&str> = catalog.views.iter().filter(is_left).map(|view| view.name.as_str()).collect();
    let mut triggers = Vec::new();
    for trigger in &catalog.triggers {
        let name = format!("{} on {}", trigger.name, trigger.table);
        let translated = if options.existing.is_some() {
            Err("the tables are the target's own, and so are their triggers".into())
        } else if let Some(why) = names_other_ids(&trigger.text, catalog)
            .or_else(|| names_what_stays(&trigger.text, catalog))
            .or_else(|| fills_what_has_fewer_columns(&trigger.text, catalog))
            .or_else(|| names_a_view_that_is_left(&trigger.text, &left))
            .filter(|_| draft.native)
        {
            Err(why)
        } else {
            dialect.translate_trigger(trigger, tables)
        };
        match translated {
            Ok(sql) => {
                draft.outcome("trigger", name, Fate::Moved, "made after the rows, so that it did not fire");
                triggers.push(TriggerPlan { name: trigger.name.clone(), sql });
            }
            Err(why) => draft.outcome("trigger", name, Fate::LeftOut, why),
        }
    }
    triggers
}

/// Views that name one which is left out go with it.
pub(super) fn views_of_views(made: &mut [(&View, Result<String, String>)]) {
    loop {
        let left: Vec<&str> =
            made.iter().filter(|(_, sql)| sql.is_err()).map(|(view, _)| view.name.as_str()).collect();
        let found =
            made.iter().enumerate().filter(|(_, (_, sql))| sql.is_ok()).find_map(|(at, (view, _))| {
                names_a_view_that_is_left(&view.text, &left).map(|why| (at, why))
            });
        match found {
            Some((at, why)) => made[at].1 = Err(why),
            None => return,
        }
    }
}

fn names_a_view_that_is_left(text: &str, left: &[&str]) -> Option<String> {
    let found = left.iter().find(|name| names(text, name))?;
    Some(format!("it names {found}, a view that is left out"))
}

/// Why an object whose text is kept would not work on the target: it names a table or a column that is not there, or
/// is another thing there. A name in a comment or a literal counts too: rather a line too many.
pub(super) fn names_what_stays(text: &str, catalog: &Catalog) -> Option<String> {
    let found = |name: &str| names(text, name);
    let left = catalog.skipped.iter().filter(|skipped| skipped.kind == "table").map(|skipped| &skipped.name);
    let left = left.map(|name| (name, "is not moved"));
    let plain = catalog.tables.iter().filter(|table| table.virtual_module.is_some());
    let plain = plain.map(|table| (&table.name, "is a plain table on the target"));
    let table = left.chain(plain).find(|(name, _)| found(name));
    table.map(|(name, why)| format!("it names {name}, which {why}")).or_else(|| {
        let (table, column) = dropped(catalog).find(|(table, column)| {
            found(column) && showing(table, catalog).iter().any(|name| found(name))
        })?;
        Some(format!("it names {column}, and the mapping drops that column of {table}"))
    })
}

/// Columns that are dropped, each behind the name of its table.
fn dropped(catalog: &Catalog) -> impl Iterator<Item = (&str, &str)> {
    let lines = catalog.skipped.iter().filter(|skipped| skipped.kind == "column");
    lines.filter_map(|skipped| {
        let of =
            |table: &&Table| skipped.name.strip_prefix(&table.name).is_some_and(|rest| rest.starts_with('.'));
        let table = catalog.tables.iter().find(of)?;
        Some((table.name.as_str(), &skipped.name[table.name.len() + 1..]))
    })
}

/// A table, and the views by which its columns are seen.
fn showing<'c>(table: &'c str, catalog: &'c Catalog) -> BTreeSet<&'c str> {
    let mut known = BTreeSet::from([table]);
    loop {
        let more: Vec<&str> = (catalog.views.iter())
            .filter(|view| !known.contains(view.name.as_str()))
            .filter(|view| known.iter().any(|name| names(&view.text, name)))
            .map(|view| view.name.as_str())
            .collect();
        if more.is_empty() {
            return known;
        }
        known.extend(more);
    }
}

/// Why a trigger would fail where it gives a row all values of a table, one of whose columns is dropped.
fn fills_what_has_fewer_columns(text: &str, catalog: &Catalog) -> Option<String> {
    let quote = |c: char| c.is_whitespace() || matches!(c, '"' | '`' | '\'' | '[' | ']');
    let text = text.to_lowercase();
    let fills = |table: &str| {
        let name = table.to_lowercase();
        text.match_indices(&name).any(|(at, _)| {
            let into = text[..at].trim_end_matches(quote).ends_with("into");
            let rest = &text[at + name.len()..];
            into && (rest.starts_with(quote) && !rest.trim_start_matches(quote).starts_with('('))
        })
    };
    let (table, column) = dropped(catalog).find(|(table, _)| fills(table))?;
    Some(format!("it fills {table} without naming columns, and the mapping drops {column}"))
}

/// Why an object whose text reads ids would mean other rows on the target: there they are UUIDs.
pub(super) fn names_other_ids(text: &str, catalog: &Catalog) -> Option<String> {
    let with_ids = |table: &&Table| table.columns.iter().any(|column| column.ids.is_some());
    let found = catalog.tables.iter().filter(with_ids).find(|table| names(text, &table.name));
    found.map(|table| {
        format!("it names {}, whose ids are UUIDs on the target: write it for those", table.name)
    })
}

/// Whether a word of a text is that name.
fn names(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    text.match_indices(&name).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        !text[..at].ends_with(word) && !text[at + name.len()..].starts_with(word)
    })
}

/// Settings of the source that are carried over, each with a line.
pub(super) fn settings(catalog: &Catalog, dialect: &dyn Dialect, draft: &mut Draft) {
    if !draft.native {
        return;
    }
    for name in dialect.settings_kept() {
        match catalog.store.settings.get(*name) {
            Some(value) if value != "0" => draft.outcome("setting", *name, Fate::Moved, value.clone()),
            _ => {}
        }
    }
}
