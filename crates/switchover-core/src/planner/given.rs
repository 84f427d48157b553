//! What is wrong with a plan that was given back, perhaps edited: names, keys and sizes that no target takes.
//!
//! A plan that this program made holds none of these, but an editor can: a name that the server would cut in
//! silence, two relations of one name, a key over a column that is not there. Found here, they are refusals
//! before anything is written; found by the server, they would be a failed run.
//! Absent: what a type holds, which the census decides, and SQL fragments, which only the server reads.

use super::{Draft, RESERVED_PREFIX, constraints, layout, reference};
use crate::census::TableCensus;
use crate::codec::Codec;
use crate::connector::{Choice, Dialect, Named};
use crate::plan::{ColumnPlan, Fate, ForeignKeyPlan, KeyPlan, Outcome, Plan, Refusal, TablePlan};
use crate::schema::{Catalog, Table};
use std::collections::{BTreeMap, BTreeSet};

const HINT: &str = "the plan was edited: change the name or the key there, or plan again";

/// Everything that is wrong; empty for a plan as this program makes it.
pub fn faults(plan: &Plan, census: &BTreeMap<String, TableCensus>, dialect: &dyn Dialect) -> Vec<Refusal> {
    let mut draft = Draft::default();
    if plan.tables.is_empty() {
        draft.refuse(
            "",
            "",
            "the plan has no table",
            "a run that moves nothing would be \"the same\": plan again",
        );
    }
    for table in &plan.tables {
        names(table, dialect, &mut draft);
        keys(table, &plan.tables, dialect, &mut draft);
        layout::check(table, census.get(&table.source), dialect, &mut draft);
        codecs(table, dialect, &mut draft);
    }
    for view in &plan.views {
        name("view", &view.source, &view.name, dialect, &mut draft);
        relation(&view.source, &view.name, dialect, &mut draft);
    }
    draft.refusals
}

/// A store of few types has codecs of its own for some of them, which say what it cannot hold; by another, a value would fail when it is
/// written.
fn codecs(table: &TablePlan, dialect: &dyn Dialect, draft: &mut Draft) {
    for column in &table.columns {
        let given = Choice { r#type: column.r#type, codec: column.codec.clone(), why: String::new() };
        let own = dialect.adapt(given, &column.census);
        if !matches!(column.codec, Codec::Native(_)) && own.codec != column.codec {
            draft.refuse(
                &table.source,
                &column.source,
                format!("its codec is not the one that the target has for the type {}", column.r#type),
                "the plan was edited: take the type and the codec from a new plan, or name another type in the mapping",
            );
        }
    }
}

/// Lines for what a given plan leaves behind: nothing is dropped without one, and nothing is said to be moved that the
/// plan no longer has.
pub fn leavings(plan: &mut Plan, catalog: &Catalog) {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for table in &catalog.tables {
        let planned = plan.tables.iter().find(|planned| planned.source == table.name);
        let has =
            |name: &String| planned.is_some_and(|planned| planned.columns.iter().any(|c| c.source == *name));
        match planned {
            None => lines.push(("table", table.name.clone())),
            Some(_) => {
                let missing = table.columns.iter().map(|column| &column.name).filter(|name| !has(name));
                lines.extend(missing.map(|name| ("column", format!("{}.{name}", table.name))));
            }
        }
        // Tables that are there have keys and indexes of their own.
        if plan.options.existing.is_none() {
            lines.extend(
                objects(table, planned, plan)
                    .into_iter()
                    .filter(|(kind, name)| said_to_be_there(plan, kind, name)),
            );
        }
    }
    let views = catalog.views.iter().map(|view| ("view", view.name.clone()));
    let views = views.filter(|(_, name)| plan.views.iter().all(|view| view.source != *name));
    let triggers = catalog.triggers.iter().map(|trigger| ("trigger", trigger.name.clone()));
    let triggers = triggers.filter(|(_, name)| plan.triggers.iter().all(|trigger| trigger.name != *name));
    lines.extend(views.chain(triggers).filter(|(kind, name)| said_to_be_there(plan, kind, name)));
    for (kind, name) in lines {
        plan.outcomes.retain(|outcome| !(outcome.kind == kind && outcome.name == name));
        plan.outcomes.push(Outcome {
            kind: kind.into(),
            name,
            fate: Fate::LeftOut,
            why: "the given plan does not take it".into(),
        });
    }
}

fn said_to_be_there(plan: &Plan, kind: &str, name: &str) -> bool {
    // A generated column that changed became a plain one, which is no object of its own.
    let there = |fate: Fate| match kind {
        "generated column" => fate == Fate::Moved,
        _ => fate != Fate::LeftOut,
    };
    let line = |outcome: &Outcome| outcome.kind == kind && outcome.name == name && there(outcome.fate);
    plan.outcomes.iter().any(line)
}

/// A source table's objects that the plan does not have, by the kind and name of their lines.
fn objects(table: &Table, planned: Option<&TablePlan>, plan: &Plan) -> Vec<(&'static str, String)> {
    let own = &table.name;
    let column =
        |name: &String| planned.and_then(|planned| planned.columns.iter().find(|c| c.source == *name));
    let targets = |names: &mut dyn Iterator<Item = &String>| -> Option<Vec<String>> {
        names.map(|name| column(name).map(|column| column.target.clone())).collect()
    };
    let mut gone: Vec<(&'static str, String)> = Vec::new();
    let mut line = |kind, name: String, there: bool| {
        if !there {
            gone.push((kind, name));
        }
    };
    let there = |holds: &dyn Fn(&TablePlan) -> bool| planned.is_some_and(holds);
    line("primary key", own.clone(), there(&|planned| planned.primary_key.is_some()));
    for unique in &table.uniques {
        let columns = targets(&mut unique.columns.iter().map(|(name, _)| name));
        let found =
            there(&|planned| planned.uniques.iter().any(|key| Some(&key.columns) == columns.as_ref()));
        let names: Vec<&str> = unique.columns.iter().map(|(name, _)| name.as_str()).collect();
        line("unique", format!("{own}({})", names.join(", ")), found);
    }
    for index in &table.indexes {
        let found = there(&|planned| planned.indexes.iter().any(|planned| planned.source == index.name));
        line("index", format!("{} on {own}", index.name), found);
    }
    for check in &table.checks {
        let name = format!("{own}: {}", check.text);
        // The line says as what it was to be made.
        let made = plan.outcomes.iter().find(|outcome| outcome.kind == "check" && outcome.name == name);
        let found = there(&|planned| {
            planned.checks.iter().any(|check| made.is_some_and(|made| made.why == check.sql))
        });
        line("check", name, found);
    }
    for key in &table.foreign_keys {
        let columns = targets(&mut key.columns.iter());
        let found =
            there(&|planned| planned.foreign_keys.iter().any(|key| Some(&key.columns) == columns.as_ref()));
        line("foreign key", format!("{own}({}) → {}", key.columns.join(", "), key.parent), found);
    }
    for source in &table.columns {
        let name = format!("{own}.{}", source.name);
        let found = column(&source.name);
        line("identity", name.clone(), found.is_some_and(|column| column.identity_next.is_some()));
        let default = |column: &ColumnPlan| column.default.is_some() || column.identity_next.is_some();
        line("default", name.clone(), found.is_some_and(default));
        line(
            "generated column",
            name,
            found.is_some_and(|column| column.generated.is_some() || source.generated.is_none()),
        );
    }
    gone
}

/// A name that the target would refuse, or take as another.
fn name(kind: &str, table: &str, name: &str, dialect: &dyn Dialect, draft: &mut Draft) {
    let max = dialect.identifier_bytes_max();
    let why = if name.is_empty() {
        format!("the {kind}'s name on the target is empty")
    } else if name.contains('\0') {
        format!("the {kind}'s name on the target holds a NUL character")
    } else if name.len() > max {
        format!("the {kind}'s name \"{name}\" has {} bytes; the target's names end at {max}", name.len())
    } else if name.starts_with(RESERVED_PREFIX) {
        format!("names that begin with {RESERVED_PREFIX} are kept for the tool's own records")
    } else {
        return;
    };
    draft.refuse(table, "", why, HINT);
}

/// Tables, indexes, sequences and views share one set of names.
fn relation(table: &str, name: &str, dialect: &dyn Dialect, draft: &mut Draft) {
    if !draft.relations.insert(dialect.folded(name)) {
        draft.refuse(table, "", format!("two relations of the target are named \"{name}\""), HINT);
    }
}

fn names(table: &TablePlan, dialect: &dyn Dialect, draft: &mut Draft) {
    let source = &table.source;
    name("table", source, &table.target, dialect, draft);
    relation(source, &table.target, dialect, draft);
    // What is there has the target's own names.
    let fault = |what, name: &str| dialect.name_fault(what, name).filter(|_| table.standing.is_none());
    if let Some(why) = fault(Named::Table, &table.target) {
        draft.refuse(source, "", why, HINT);
    }
    if dialect.is_reserved_name(&table.target) {
        let why = format!("the target keeps names like \"{}\" for itself", table.target);
        draft.refuse(source, "", why, HINT);
    }
    for column in &table.columns {
        name("column", source, &column.target, dialect, draft);
        if let Some(why) = fault(Named::Column, &column.target) {
            draft.refuse(source, &column.source, why, HINT);
        }
        if dialect.is_system_column(&column.target) {
            let why = format!("every table of the target has a column named \"{}\"", column.target);
            draft.refuse(source, &column.source, why, HINT);
        }
        if let Some(sequence) = &column.identity_sequence {
            name("sequence", source, sequence, dialect, draft);
            relation(source, sequence, dialect, draft);
        }
    }
    let mut properties: BTreeSet<String> =
        table.columns.iter().map(|column| dialect.folded(&column.target)).collect();
    for key in table.foreign_keys.iter().filter(|key| key.reference) {
        if let Err(why) = reference::named(&key.name, dialect, &mut properties) {
            draft.refuse(source, &key.columns.join(", "), why, HINT);
        }
    }
    // Where constraints need no names, they are no relations either.
    let named = |name: &&String| dialect.names_constraints() || !name.is_empty();
    let keys = table.primary_key.iter().chain(&table.uniques).map(|key| &key.name).filter(named);
    let of_indexes = keys.clone().filter(|_| dialect.names_constraints());
    let mut constraints = BTreeSet::new();
    for key in of_indexes.chain(table.indexes.iter().map(|index| &index.name)) {
        name("index", source, key, dialect, draft);
        relation(source, key, dialect, draft);
    }
    let others = table.checks.iter().map(|check| &check.name);
    let others = others.chain(table.foreign_keys.iter().map(|key| &key.name)).filter(named);
    for constraint in keys.chain(others) {
        name("constraint", source, constraint, dialect, draft);
        if dialect.names_constraints() && !constraints.insert(constraint) {
            draft.refuse(source, "", format!("two constraints are named \"{constraint}\""), HINT);
        }
    }
}

fn keys(table: &TablePlan, tables: &[TablePlan], dialect: &dyn Dialect, draft: &mut Draft) {
    let has = |table: &TablePlan, name: &String| table.columns.iter().any(|column| column.target == *name);
    for key in table.primary_key.iter().chain(&table.uniques) {
        if key.columns.is_empty() {
            draft.refuse(&table.source, "", "a key of it has no columns", HINT);
        } else if let Some(column) = key.columns.iter().find(|column| !has(table, column)) {
            let why = format!("a key of it names the column \"{column}\", which the table does not have");
            draft.refuse(&table.source, "", why, HINT);
        } else if let Some(why) = constraints::key_too_long(table, key, dialect) {
            draft.refuse(&table.source, &key.columns.join(", "), why, "shorten the values, or drop the key");
        }
    }
    for key in &table.foreign_keys {
        let parent = tables.iter().find(|parent| parent.target == key.parent);
        let own = key.columns.iter().all(|column| has(table, column));
        if !own || !parent.is_some_and(|parent| refers_to_key(key, parent)) {
            let why = format!("the foreign key \"{}\" refers to no key of the plan's tables", key.name);
            draft.refuse(&table.source, &key.columns.join(", "), why, HINT);
        }
    }
}

/// Whether the parent has a key of just the columns that are referred to.
fn refers_to_key(key: &ForeignKeyPlan, parent: &TablePlan) -> bool {
    let sorted = |columns: &[String]| columns.iter().cloned().collect::<BTreeSet<_>>();
    let of_key = |candidate: &KeyPlan| sorted(&candidate.columns) == sorted(&key.parent_columns);
    let by_index = parent.indexes.iter().any(|index| {
        // An index's parts are SQL: whether they are these columns, the server says.
        index.unique && index.predicate.is_none() && index.parts.len() == key.parent_columns.len()
    });
    key.columns.len() == key.parent_columns.len()
        && (parent.primary_key.iter().chain(&parent.uniques).any(of_key) || by_index)
}
