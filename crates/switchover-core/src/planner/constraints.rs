//! Keys, unique constraints, indexes, foreign keys and checks of a plan.
//!
//! Names of indexes and constraints are the target's own affair: one that is taken gets a number and
//! a line. What cannot be kept exactly is left out with its reason; a key that cannot be kept is a
//! refusal, because rows are found by it.

use super::{Draft, Evidence, length, scope};
use crate::codec::Codec;
use crate::connector::{Dialect, ScopeColumn};
use crate::expr::Expr;
use crate::mapping::IndexMethod;
use crate::names;
use crate::plan::{
    CheckPlan, ColumnPlan, Fate, ForeignKeyPlan, IndexPlan, KeyForm, KeyPlan, PlanOptions, TablePlan,
};
use crate::schema::{ForeignKey, Index, IndexPart, Locator, PrimaryKey, Table};
use std::collections::BTreeSet;

/// Adds them to all tables.
pub(super) fn add(
    evidence: &Evidence<'_>,
    plans: &mut [TablePlan],
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) {
    let tables = &evidence.catalog.tables;
    if let Some(why) = dialect.keeps_no_rules() {
        for (table, plan) in tables.iter().zip(plans.iter_mut()) {
            without_rules(table, plan, why, draft);
            let scope = scope(table, &plan.columns);
            for index in &table.indexes {
                add_index(table, plan, index, dialect, options, &scope, draft);
            }
            special_indexes(plan, dialect, options, draft);
        }
        return;
    }
    for (table, plan) in tables.iter().zip(plans.iter_mut()) {
        primary_key(table, plan, dialect, draft);
        let scope = scope(table, &plan.columns);
        folded_key(table, plan, dialect, options, &scope, draft);
        uniques(table, plan, dialect, options, &scope, draft);
        for index in &table.indexes {
            add_index(table, plan, index, dialect, options, &scope, draft);
        }
        special_indexes(plan, dialect, options, draft);
        checks(table, plan, dialect, &scope, draft);
    }
    for at in 0..plans.len() {
        let keys = foreign_keys(&tables[at], &plans[at], plans, dialect, draft);
        plans[at].foreign_keys = keys;
    }
}

/// A table whose target knows no rules: its primary key tells rows apart when both sides are compared, and
/// every other rule is listed. Indexes are none of them, where the target has such.
fn without_rules(table: &Table, plan: &mut TablePlan, why: &str, draft: &mut Draft) {
    let name = &table.name;
    if let Some(key) = &table.primary_key {
        match target_columns(plan, &key.columns) {
            Some(columns) => {
                plan.primary_key = Some(KeyPlan::plain(String::new(), columns));
            }
            None => {
                draft.refuse(name, "", "the primary key names an unknown column", "check the source's schema")
            }
        }
        draft.outcome("primary key", name, Fate::LeftOut, why);
    }
    for unique in &table.uniques {
        let columns: Vec<&str> = unique.columns.iter().map(|(name, _)| name.as_str()).collect();
        draft.outcome("unique", format!("{name}({})", columns.join(", ")), Fate::LeftOut, why);
    }
    for key in &table.foreign_keys {
        let label = format!("{name}({}) → {}", key.columns.join(", "), key.parent);
        draft.outcome("foreign key", label, Fate::LeftOut, why);
    }
    for check in &table.checks {
        draft.outcome("check", format!("{name}: {}", check.text), Fate::LeftOut, why);
    }
    for column in table.columns.iter().filter(|column| column.not_null) {
        draft.outcome("not null", format!("{name}.{}", column.name), Fate::LeftOut, why);
    }
}

fn target_columns(plan: &TablePlan, names: &[String]) -> Option<Vec<String>> {
    let find = |name: &String| plan.columns.iter().find(|c| c.source == *name).map(|c| c.target.clone());
    names.iter().map(find).collect()
}

/// An index entry's header (`IndexTupleData`).
const ENTRY_HEADER_BYTES: u64 = 8;

/// Bytes of the largest entry that the columns can make: each value has a length of four bytes before it
/// where it is long, and the whole is padded to eight.
fn entry_bytes(plan: &TablePlan, names: &[String]) -> u64 {
    entry_of(plan.columns.iter().filter(|column| names.contains(&column.source)).map(column_bytes))
}

fn column_bytes(column: &ColumnPlan) -> u64 {
    column.census.text_bytes_max.max(column.census.blob_bytes_max)
}

fn entry_of(values: impl Iterator<Item = u64>) -> u64 {
    let width = |bytes: u64| bytes.max(4).saturating_add(4);
    let bytes = values.map(width).fold(ENTRY_HEADER_BYTES, u64::saturating_add);
    bytes.checked_next_multiple_of(8).unwrap_or(u64::MAX)
}

/// Why a key of these columns of the target is too long for an index, if it is.
pub(super) fn key_too_long(plan: &TablePlan, key: &KeyPlan, dialect: &dyn Dialect) -> Option<String> {
    let columns = plan.columns.iter().filter(|column| key.columns.contains(&column.target));
    let what = beyond_index(key.columns.len(), entry_of(columns.map(column_bytes)), dialect)?;
    Some(format!("the key \"{}\" has {what}", key.name))
}

/// What of an entry of so many columns and bytes the target's indexes do not take.
fn beyond_index(columns: usize, bytes: u64, dialect: &dyn Dialect) -> Option<String> {
    if let Some(max) = dialect.index_columns_max().filter(|max| columns > *max) {
        return Some(format!("{columns} columns; an index of the target has at most {max}"));
    }
    let max = dialect.index_entry_bytes_max().filter(|max| bytes > *max)?;
    Some(format!("values of up to {bytes} bytes; an index entry ends at {max}"))
}

/// The same, of these columns of the source.
fn too_long(plan: &TablePlan, names: &[String], dialect: &dyn Dialect) -> Option<String> {
    beyond_index(names.len(), entry_bytes(plan, names), dialect)
}

/// The name of a constraint that is an index: its own, or one made where the target needs it.
fn key_name(
    own: Option<&String>,
    dialect: &dyn Dialect,
    draft: &mut Draft,
    made: impl FnOnce() -> String,
) -> String {
    match (own, dialect.names_constraints()) {
        (own, true) => draft.relation(&own.cloned().unwrap_or_else(made), dialect),
        (own, false) => own.cloned().unwrap_or_default(),
    }
}

fn primary_key(table: &Table, plan: &mut TablePlan, dialect: &dyn Dialect, draft: &mut Draft) {
    let Some(key) = &table.primary_key else {
        draft.outcome("primary key", &table.name, Fate::LeftOut, "the table has none");
        return;
    };
    let Some(columns) = target_columns(plan, &key.columns) else {
        draft.refuse(&table.name, "", "the primary key names an unknown column", "check the source's schema");
        return;
    };
    if let Some(what) = too_long(plan, &key.columns, dialect) {
        draft.refuse(
            &table.name,
            &key.columns.join(", "),
            format!("the primary key has {what}"),
            "shorten the keys, or leave the table with --exclude",
        );
    }
    let name = key_name(key.name.as_ref(), dialect, draft, || format!("{}_pkey", plan.target));
    draft.outcome("primary key", &table.name, Fate::Moved, columns.join(", "));
    let integer = |name: &String| {
        table.column(name).is_some_and(|column| column.declared.eq_ignore_ascii_case("INTEGER"))
    };
    // Of a table with rowids, such a key is no name of the row's number only when it is written DESC.
    let without_rowid = matches!(table.locator, Locator::Key(_));
    let descending =
        draft.native && !key.assigned && !without_rowid && key.columns.len() == 1 && integer(&key.columns[0]);
    let named: Vec<(String, String)> =
        key.columns.iter().map(|name| (name.clone(), key_collation(table, key, name))).collect();
    let forms = match descending {
        false => forms(table, plan, &named, &key.descending, draft),
        true => Vec::new(),
    };
    plan.primary_key = Some(KeyPlan { name, columns, descending, forms });
}

/// By what a key compares a column of it.
fn key_collation(table: &Table, key: &PrimaryKey, name: &String) -> String {
    let own = || table.column(name).map_or_else(|| "BINARY".to_owned(), |column| column.collation.clone());
    key.collated.iter().find(|(column, _)| column == name).map_or_else(own, |(_, named)| named.clone())
}

/// How the target's key holds columns that the source's holds otherwise than ascending and by their own collation:
/// alike where the two are of one kind, else with a line.
fn forms(
    table: &Table,
    plan: &TablePlan,
    columns: &[(String, String)],
    descending: &[String],
    draft: &mut Draft,
) -> Vec<KeyForm> {
    let mut forms = Vec::new();
    for (name, named) in columns {
        let descends = descending.contains(name);
        if descends && !draft.native {
            let label = format!("{}({name} DESC)", table.name);
            let why = "the index of the target's key is in ascending order, and read in both";
            draft.outcome("key order", label, Fate::LeftOut, why);
            continue;
        }
        let differs = table.column(name).is_some_and(|column| column.collation != *named);
        // A collation of the application's own has a line: see `folded_key` and `uniques`.
        let collation = Some(named.clone()).filter(|_| draft.native && differs && is_built_in(named));
        let target = plan.columns.iter().find(|column| column.source == *name);
        if let Some(target) = target.filter(|_| draft.native && (descends || collation.is_some())) {
            forms.push(KeyForm { column: target.target.clone(), collation, descending: descends });
        }
    }
    forms
}

/// Whether every SQLite has the collation.
fn is_built_in(collation: &str) -> bool {
    matches!(collation, "BINARY" | "NOCASE" | "RTRIM")
}

/// A primary key that holds two texts for one (NOCASE, RTRIM) is also unique that way.
fn folded_key(
    table: &Table,
    plan: &mut TablePlan,
    dialect: &dyn Dialect,
    options: &PlanOptions,
    scope: &[ScopeColumn],
    draft: &mut Draft,
) {
    let Some(key) = &table.primary_key else { return };
    let collation = |name: &String| {
        table.column(name).map_or_else(|| "BINARY".to_owned(), |column| column.collation.clone())
    };
    if draft.native
        || plan.primary_key.is_none()
        || key.columns.iter().all(|name| collation(name) == "BINARY")
    {
        return;
    }
    let part = |name: &String| IndexPart {
        expr: Expr::Column(name.clone()),
        collation: collation(name),
        descending: false,
    };
    let index = Index {
        name: format!("{}_{}_key", plan.target, key.columns.join("_")),
        unique: true,
        parts: key.columns.iter().map(part).collect(),
        predicate: None,
        text: format!("the primary key of {}", table.name),
    };
    add_index(table, plan, &index, dialect, options, scope, draft);
}

fn uniques(
    table: &Table,
    plan: &mut TablePlan,
    dialect: &dyn Dialect,
    options: &PlanOptions,
    scope: &[ScopeColumn],
    draft: &mut Draft,
) {
    for unique in &table.uniques {
        let names: Vec<String> = unique.columns.iter().map(|(name, _)| name.clone()).collect();
        let label = format!("{}({})", table.name, names.join(", "));
        let wanted = || format!("{}_{}_key", plan.target, names.join("_"));
        // A constraint of the same kind of store compares by any collation that it has.
        let plain = |(name, collation): &(String, String)| match draft.native {
            true => {
                is_built_in(collation)
                    || table.column(name).is_some_and(|column| column.collation == *collation)
            }
            false => collation == "BINARY",
        };
        let of_key = |key: &PrimaryKey| {
            let own = key.columns.iter().map(|name| (name.clone(), key_collation(table, key, name)));
            !key.collated.is_empty() && own.eq(unique.columns.iter().cloned())
        };
        if draft.native && unique.columns.iter().all(plain) && table.primary_key.as_ref().is_some_and(of_key)
        {
            // The key itself says it there.
            continue;
        }
        if unique.columns.iter().all(plain) {
            let Some(columns) = target_columns(plan, &names) else {
                draft.outcome("unique", label, Fate::LeftOut, "it names a column that is not moved");
                continue;
            };
            if let Some(what) = too_long(plan, &names, dialect) {
                draft.refuse(
                    &table.name,
                    &names.join(", "),
                    format!("a unique constraint has {what}"),
                    "shorten the values, or drop the constraint on the source",
                );
            }
            let name = key_name(unique.name.as_ref(), dialect, draft, wanted);
            draft.outcome("unique", label, Fate::Moved, name.clone());
            let forms = forms(table, plan, &unique.columns, &unique.descending, draft);
            plan.uniques.push(KeyPlan { name, columns, descending: false, forms });
            continue;
        }
        // Equality under another collation is an index over an expression.
        let index = Index {
            name: unique.name.clone().unwrap_or_else(wanted),
            unique: true,
            parts: unique
                .columns
                .iter()
                .map(|(name, collation)| IndexPart {
                    expr: Expr::Column(name.clone()),
                    collation: collation.clone(),
                    descending: unique.descending.contains(name),
                })
                .collect(),
            predicate: None,
            text: label,
        };
        add_index(table, plan, &index, dialect, options, scope, draft);
    }
}

/// The columns as an index sees them that only finds equal values: of ids that became UUIDs it says the same,
/// since no two ids became one.
fn by_equality(index: &Index, plan: &TablePlan, scope: &[ScopeColumn]) -> Vec<ScopeColumn> {
    let plain = |part: &IndexPart| matches!(part.expr, Expr::Column(_)) && part.collation == "BINARY";
    let equality = index.predicate.is_none() && index.parts.iter().all(plain);
    let ids = |plan: &ColumnPlan| matches!(plan.codec, Codec::Uuid5 { .. });
    let pairs = scope.iter().zip(&plan.columns);
    pairs
        .map(|(column, plan)| ScopeColumn { exact: column.exact || equality && ids(plan), ..column.clone() })
        .collect()
}

fn add_index(
    table: &Table,
    plan: &mut TablePlan,
    index: &Index,
    dialect: &dyn Dialect,
    options: &PlanOptions,
    scope: &[ScopeColumn],
    draft: &mut Draft,
) {
    let label = format!("{} on {}", index.name, table.name);
    let bytes = entry_of(index.parts.iter().map(|part| length::longest(plan, &part.expr)));
    if let Some(why) = beyond_index(index.parts.len(), bytes, dialect) {
        let mut plain: Vec<String> = Vec::new();
        index.parts.iter().for_each(|part| part.expr.columns(&mut plain));
        plain.dedup();
        if index.unique {
            draft.refuse(
                &table.name,
                &plain.join(", "),
                format!("the unique index {} has {why}", index.name),
                "shorten the values, or drop the index on the source",
            );
        } else {
            draft.outcome("index", label, Fate::LeftOut, why);
        }
        return;
    }
    match dialect.translate_index(index, &by_equality(index, plan, scope)) {
        Ok((parts, predicate)) => {
            let wanted = options.names.apply(&index.name, dialect.identifier_bytes_max());
            let name = draft.relation(&wanted, dialect);
            let fate = if name == index.name { Fate::Moved } else { Fate::Changed };
            let predicate_text = predicate.as_ref().map(|sql| format!(" WHERE {sql}")).unwrap_or_default();
            draft.outcome("index", label, fate, format!("\"{name}\" ({}){predicate_text}", parts.join(", ")));
            plan.indexes.push(IndexPlan {
                source: index.name.clone(),
                name,
                unique: index.unique,
                method: IndexMethod::Btree,
                parts,
                predicate,
                cost: String::new(),
            });
        }
        Err(why) => {
            draft.outcome(if index.unique { "unique index" } else { "index" }, label, Fate::LeftOut, why)
        }
    }
}

/// The name of a constraint that is no index: its own, or one made where the target needs it.
fn constraint_name(
    own: Option<&String>,
    dialect: &dyn Dialect,
    taken: &mut BTreeSet<String>,
    made: impl FnOnce() -> String,
) -> String {
    match (own, dialect.names_constraints()) {
        (own, true) => {
            names::unique(&own.cloned().unwrap_or_else(made), taken, dialect.identifier_bytes_max())
        }
        (own, false) => own.cloned().unwrap_or_default(),
    }
}

/// Indexes of what is within values, which no source has: the mapping declares them.
fn special_indexes(plan: &mut TablePlan, dialect: &dyn Dialect, options: &PlanOptions, draft: &mut Draft) {
    let map = options.mapping.table(&plan.source);
    let special = map.iter().flat_map(|map| map.indexes.iter().flatten()).filter(|index| index.is_special());
    for index in special {
        let label = format!("{} on {}", index.name_on(&plan.source), plan.source);
        let found: Vec<&ColumnPlan> = index
            .columns
            .iter()
            .filter_map(|name| plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name)))
            .collect();
        match dialect.special_index(index, &found) {
            Ok(parts) => {
                let wanted = index.name_on(&plan.target);
                let name = draft.relation(&wanted, dialect);
                draft.outcome("index", label, Fate::Moved, format!("\"{name}\" (gin: {})", parts.join(", ")));
                let method = IndexMethod::Gin;
                let (unique, predicate) = (false, None);
                let source = index.name_on(&plan.source);
                plan.indexes.push(IndexPlan {
                    source,
                    name,
                    unique,
                    method,
                    parts,
                    predicate,
                    cost: String::new(),
                });
            }
            Err(why) => draft.outcome("index", label, Fate::LeftOut, why),
        }
    }
}

fn checks(
    table: &Table,
    plan: &mut TablePlan,
    dialect: &dyn Dialect,
    scope: &[ScopeColumn],
    draft: &mut Draft,
) {
    // The names of a table's constraints are one set, whatever they are.
    let mut taken: BTreeSet<String> =
        plan.primary_key.iter().chain(&plan.uniques).map(|key| key.name.clone()).collect();
    for check in &table.checks {
        let label = format!("{}: {}", table.name, check.text);
        match dialect.translate_check(&check.expr, scope) {
            Ok(sql) => {
                let made = || format!("{}_check", plan.target);
                let name = constraint_name(check.name.as_ref(), dialect, &mut taken, made);
                draft.outcome("check", label, Fate::Moved, sql.clone());
                plan.checks.push(CheckPlan { name, sql });
                let named = check.expr.tells_null();
                for column in &mut plan.columns {
                    column.whole_row |= named.iter().any(|name| name.eq_ignore_ascii_case(&column.source));
                }
            }
            Err(why) => draft.outcome("check", label, Fate::LeftOut, why),
        }
    }
}

fn foreign_keys(
    table: &Table,
    plan: &TablePlan,
    plans: &[TablePlan],
    dialect: &dyn Dialect,
    draft: &mut Draft,
) -> Vec<ForeignKeyPlan> {
    let keys = plan.primary_key.iter().chain(&plan.uniques).map(|key| key.name.clone());
    let mut taken: BTreeSet<String> = plan.checks.iter().map(|c| c.name.clone()).chain(keys).collect();
    let mut keys = Vec::new();
    for key in &table.foreign_keys {
        let label = format!("{}({}) → {}", table.name, key.columns.join(", "), key.parent);
        match foreign_key(key, plan, plans, draft.native) {
            Ok((parent, columns, parent_columns)) => {
                let made = || format!("{}_{}_fkey", plan.target, columns.join("_"));
                let name = constraint_name(key.name.as_ref(), dialect, &mut taken, made);
                draft.outcome("foreign key", label, Fate::Moved, name.clone());
                keys.push(ForeignKeyPlan {
                    name,
                    columns,
                    parent,
                    parent_columns,
                    on_delete: key.on_delete.clone(),
                    on_update: key.on_update.clone(),
                    deferrable: key.deferrable,
                    initially_deferred: key.initially_deferred,
                    // Counted by the engine, which looks at the rows.
                    orphans: 0,
                    reference: false,
                });
            }
            Err(why) => draft.outcome("foreign key", label, Fate::LeftOut, why),
        }
    }
    keys
}

type Resolved = (String, Vec<String>, Vec<String>);

/// The parent, and both sides' columns, where every child finds its parent on the target by equal values.
pub(super) fn foreign_key(
    key: &ForeignKey,
    plan: &TablePlan,
    plans: &[TablePlan],
    native: bool,
) -> Result<Resolved, String> {
    let Some(parent) = plans.iter().find(|candidate| candidate.source == key.parent) else {
        return Err(format!("its parent {} is not moved", key.parent));
    };
    if key.columns.len() != key.parent_columns.len() {
        return Err(format!("it names {} columns for {}", key.columns.len(), key.parent_columns.len()));
    }
    let columns = target_columns(plan, &key.columns).ok_or("it names an unknown column")?;
    let parent_columns = target_columns(parent, &key.parent_columns)
        .ok_or_else(|| format!("it names an unknown column of {}", key.parent))?;
    let folded = |name: &&String| {
        !native && parent.columns.iter().any(|column| column.target == **name && column.collation != "BINARY")
    };
    if let Some(name) = parent_columns.iter().find(folded) {
        let collation = parent.columns.iter().find(|column| column.target == *name).map(|c| &c.collation[..]);
        return Err(format!(
            "{name} compares by {} on the source and by bytes on the target, where a child would need its exact text",
            collation.unwrap_or_default()
        ));
    }
    let is_key = |candidate: &KeyPlan| {
        candidate.columns.len() == parent_columns.len()
            && parent_columns.iter().all(|c| candidate.columns.contains(c))
    };
    if !parent.primary_key.iter().chain(&parent.uniques).any(is_key) {
        let quoted: Vec<String> =
            parent_columns.iter().map(|c| format!("\"{}\"", c.replace('"', "\"\""))).collect();
        let by_index = parent.indexes.iter().any(|index| {
            index.unique
                && index.predicate.is_none()
                && index.parts.len() == quoted.len()
                && quoted.iter().all(|column| index.parts.contains(column))
        });
        if !by_index {
            return Err(format!("no unique key of {} covers {}", key.parent, key.parent_columns.join(", ")));
        }
    }
    let form = |plan: &TablePlan, name: &String| {
        let column = plan.columns.iter().find(|c| c.target == *name)?;
        Some((comparable(column.r#type), matches!(column.codec, Codec::TextEscaped { .. })))
    };
    for (child, own) in columns.iter().zip(&parent_columns) {
        if form(plan, child) != form(parent, own) {
            return Err(format!("{child} and {own} have types that the target does not compare"));
        }
    }
    Ok((parent.target.clone(), columns, parent_columns))
}

/// Types of one family compare with each other on the target.
fn comparable(ty: crate::plan::LogicalType) -> u8 {
    use crate::plan::LogicalType::{
        Any, Array, Bool, Bytea, Char, Cidr, Date, Declared, Float4, Float8, Inet, Int2, Int4, Int8,
        Interval, Json, Jsonb, Macaddr, Numeric, Text, TextArray, Time, Timestamp, TimestampTz, Uuid,
        Varchar, Vector,
    };
    match ty {
        Bool => 0,
        Int2 | Int4 | Int8 => 1,
        Float4 | Float8 => 2,
        Numeric(_) => 3,
        Text | Varchar(_) | Char(_) => 4,
        Bytea => 5,
        Uuid => 6,
        Date => 7,
        Timestamp => 8,
        TimestampTz => 9,
        Jsonb => 10,
        Json => 11,
        Time => 12,
        TextArray | Array(crate::plan::Element::Varchar(_)) => 13,
        Array(crate::plan::Element::Int2) => 16,
        Array(crate::plan::Element::Int4) => 17,
        Array(crate::plan::Element::Int8) => 18,
        Inet => 19,
        Cidr => 20,
        Macaddr => 21,
        Interval => 22,
        Array(crate::plan::Element::Bool) => 23,
        Array(crate::plan::Element::Float8) => 24,
        Array(crate::plan::Element::Numeric(_)) => 25,
        Array(crate::plan::Element::Uuid) => 26,
        Array(crate::plan::Element::Timestamp) => 27,
        Array(crate::plan::Element::TimestampTz) => 28,
        // Values of every class compare with each other.
        Declared | Any => 14,
        Vector => 15,
    }
}
