//! What a mapping asks for that a live run cannot do, said before anything is written.
//!
//! A live run has to find each row by its key on both sides, and to bring rows back. So a column that only the target has must
//! follow from its own row alone, for nothing else says that it changed; and one that only the source has must be able to stay behind,
//! for no rule of the source may depend on what the target does not know.

use super::super::quote::ident;
use super::View;
use super::obstacles::refusal;
use rusqlite::Connection;
use switchover_core::codec::Codec;
use switchover_core::expr::Expr;
use switchover_core::mapping::{Mapping, TableMap};
use switchover_core::plan::{IndexPlan, Plan, Refusal, TablePlan};
use switchover_core::schema::{Column, Table};

/// What may be done instead.
const OR_MIGRATE: &str = "take it out of the mapping, or use `switchover migrate`";

/// What a table's mapping asks for that a live run cannot do: the column, the word, and why.
pub(super) fn asked<'a>(
    map: &'a TableMap,
    table: Option<&TablePlan>,
    returns: bool,
) -> Vec<(&'a str, &'static str, &'static str)> {
    let mut asked = Vec::new();
    if !map.from.is_empty() {
        asked.push((
            "",
            "from",
            "a change is logged for the table that it is made in, and that is not the plan's table",
        ));
    }
    if !map.primary_key.is_empty() {
        asked.push((
            "",
            "primary_key",
            "nothing in the source keeps these columns unique, or finds rows by them",
        ));
    }
    if returns && (map.filter.is_some() || map.parts.values().any(|part| part.filter.is_some())) {
        let why = "a row that is changed on the target so that the filter leaves it out would be lost on its way back";
        asked.push(("", "where", why));
    }
    let in_key = |column: &str| {
        table.is_some_and(|table| table.key_fields().iter().any(|at| table.columns[*at].source == column))
    };
    let added = |name: &str| {
        let columns = table.into_iter().flat_map(|table| &table.columns);
        columns.filter(|column| column.added).any(|column| column.source == name)
    };
    for (column, _) in map.columns.iter().filter(|(_, map)| map.value.is_some()) {
        let why = match () {
            () if in_key(column) => {
                "the log has the key as the table holds it, and rows are found by it on both sides"
            }
            () if returns && !added(column) => {
                "nothing computes the source's values from those that are changed on the target"
            }
            () => continue,
        };
        asked.push((column, "value", why));
    }
    asked
}

/// Columns that the mapping drops and that cannot stay behind.
pub(super) fn dropped(table: &Table, view: &View<'_>, plan: &Plan) -> Vec<Refusal> {
    let map = &plan.options.mapping;
    let is_left = |name: &str| map.column(view.name, name).is_some_and(|map| map.drop);
    let names = |expr: &Expr| {
        let mut names = Vec::new();
        expr.columns(&mut names);
        names
    };
    let mut found = Vec::new();
    for column in table.columns.iter().filter(|column| is_left(&column.name)) {
        // The source computes it from what comes back: nothing of it stays behind but its rules.
        let computed = column.generated.is_some();
        let mut refuse = |why: String, hint: &str| {
            let why = format!("the mapping's `drop`: {why}");
            found.push(refusal(view.name, &column.name, why, hint));
        };
        let is_it = |name: &String| name.eq_ignore_ascii_case(&column.name);
        if view.key.is_empty() && !computed {
            let why = "the table has no primary key, so a row that comes back is not known for the one whose value was left";
            refuse(why.into(), "give the table a primary key, keep the column, or use `switchover migrate`");
        }
        if column.not_null && column.default.is_none() && !computed {
            let why = "it refuses NULL and has no default: a row that is inserted on the target could not come back";
            refuse(
                why.into(),
                "give it a default on the source, keep the column, or use `switchover migrate`",
            );
        }
        let by_constraint = table
            .uniques
            .iter()
            .map(|unique| unique.columns.iter().map(|(name, _)| name.clone()).collect::<Vec<String>>());
        let by_index = table.indexes.iter().filter(|index| index.unique).map(|index| {
            let parts = index.parts.iter().flat_map(|part| names(&part.expr));
            parts.chain(index.predicate.iter().flat_map(names)).collect()
        });
        for unique in by_constraint.chain(by_index).filter(|unique| unique.iter().any(is_it)) {
            // Each row keeps its own value, and new ones have NULL.
            if unique.len() > 1 || column.default.is_some() || computed {
                let why = format!(
                    "({}) is unique on the source, and the target, which does not have it all, takes rows that are not",
                    unique.join(", ")
                );
                refuse(
                    why,
                    "drop that index or constraint on the source, keep the column, or use `switchover migrate`",
                );
            }
        }
        for check in &table.checks {
            let named = names(&check.expr);
            let unclear = matches!(check.expr, Expr::Opaque(..)) && check.text.contains(&column.name);
            let alone = named.iter().any(is_it) && named.iter().all(is_it);
            if alone && !computed && !takes_its_default(table, column, &check.text) {
                let why = format!(
                    "the source's CHECK ({}) refuses what it has in a row that is inserted on the target, its default or NULL",
                    check.text
                );
                refuse(
                    why,
                    "give it a default that the CHECK takes, drop the CHECK on the source, keep the column, or use `switchover migrate`",
                );
            }
            if unclear || named.iter().any(is_it) && (computed || !alone) {
                let why = format!(
                    "the source's CHECK ({}) holds it against other columns, and the target takes rows that it refuses",
                    check.text
                );
                refuse(why, "drop the CHECK on the source, keep the column, or use `switchover migrate`");
            }
        }
        for key in table.foreign_keys.iter().filter(|key| key.columns.iter().any(is_it)) {
            if plan.tables.iter().any(|table| table.source.eq_ignore_ascii_case(&key.parent)) {
                let why = format!(
                    "it refers to {}: on the target a parent may go that it still refers to",
                    key.parent
                );
                refuse(
                    why,
                    "drop the foreign key on the source, keep the column, or use `switchover migrate`",
                );
            }
        }
    }
    found
}

/// Whether a CHECK over a column alone takes what the column has where nothing is said.
fn takes_its_default(table: &Table, column: &Column, check: &str) -> bool {
    // In parentheses, which an expression needs and the catalog leaves out.
    let default =
        column.default.as_ref().map_or(String::new(), |default| format!(" DEFAULT ({}\n)", default.text));
    // What is stored of a default depends on the kind of table, and what equals it on the collation.
    let collation = ident(&column.collation);
    let strict = if table.strict { " STRICT" } else { "" };
    let table = format!(
        "CREATE TABLE t ({} {}{default} COLLATE {collation}, CHECK ({check}\n)){strict}",
        ident(&column.name),
        column.declared
    );
    Connection::open_in_memory()
        .and_then(|connection| connection.execute_batch(&format!("{table}; INSERT INTO t DEFAULT VALUES")))
        .is_ok()
}

/// What is unique on the source alone: the target takes rows of which the source can hold one. Of tables that the application's
/// migrations made, the target says in its own words what is unique; what comes back is looked at there (`aside`).
pub(super) fn unshared(table: &Table, view: &View<'_>, plan: &Plan) -> Vec<Refusal> {
    if plan.options.existing.is_some() {
        return Vec::new();
    }
    let target = |name: &String| {
        let column = view.plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name));
        column.map(|column| column.target.clone())
    };
    let is_kept = |names: &[(String, String)]| {
        let columns: Option<Vec<String>> = names.iter().map(|(name, _)| target(name)).collect();
        let Some(columns) = columns else { return false };
        let mut keys = view.plan.uniques.iter().chain(&view.plan.primary_key);
        // Equality under a collation is an index over expressions, in the order of the columns.
        let is_index = |index: &IndexPlan| {
            let parts = index.parts.iter().zip(&columns);
            index.unique
                && index.parts.len() == columns.len()
                && parts.into_iter().all(|(part, name)| part.contains(name.as_str()))
        };
        keys.any(|key| key.columns == columns) || view.plan.indexes.iter().any(is_index)
    };
    let constraints = table.uniques.iter().filter(|unique| !is_kept(&unique.columns)).map(|unique| {
        let names: Vec<&str> = unique.columns.iter().map(|(name, _)| name.as_str()).collect();
        format!("UNIQUE ({})", names.join(", "))
    });
    let own = &view.plan.indexes;
    let indexes = table
        .indexes
        .iter()
        .filter(|index| index.unique && !own.iter().any(|there| there.unique && there.source == index.name));
    let indexes = indexes.map(|index| format!("the unique index {}", index.name));
    constraints
        .chain(indexes)
        .map(|rule| {
            let why = format!(
                "{rule} of the source is not made on the target, which so takes rows of which the source can hold one only"
            );
            let hint = "drop it on the source, or write it so that the target can have it (the plan says why it is left out); or use `switchover migrate`";
            refusal(view.name, "", why, hint)
        })
        .collect()
}

/// Columns that are new, and whose values do not follow from their own row alone.
pub(super) fn added(table: &Table, view: &View<'_>, mapping: &Mapping) -> Vec<Refusal> {
    let mut found = Vec::new();
    for column in view.plan.columns.iter().filter(|column| column.added) {
        let Some(value) = mapping.column(view.name, &column.source).and_then(|map| map.value.as_deref())
        else {
            continue;
        };
        let seen = &column.census;
        let unseen = seen.integers + seen.reals + seen.texts + seen.blobs + seen.typed == 0;
        let typed = mapping.column(view.name, &column.source).is_some_and(|map| map.r#type.is_some());
        if unseen && !typed && matches!(column.codec, Codec::Text { .. }) {
            let why = "no row gives it a value yet, so nothing tells its type";
            let hint = format!("say it in the mapping: {} = {{ type = \"…\", value = … }}", column.source);
            found.push(refusal(view.name, &column.source, why, &hint));
        }
        if let Err(why) = follows_from_its_row(table, value) {
            let why = format!(
                "the mapping's `value` must follow from the row's own columns alone, for no change of anything else is seen: {why}"
            );
            found.push(refusal(view.name, &column.source, why, OR_MIGRATE));
        }
    }
    found
}

/// Whether SQLite takes an expression for a computed column, which it lets be nothing else (its documentation of generated columns).
fn follows_from_its_row(table: &Table, value: &str) -> Result<(), String> {
    let columns: String = table.columns.iter().map(|column| format!("{}, ", ident(&column.name))).collect();
    let taken = |name: &String| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let own = (0..).map(|number| format!("c{number}")).find(|name| !taken(name)).unwrap_or_default();
    let first = table.columns.first().map(|column| ident(&column.name)).unwrap_or_default();
    let tried = Connection::open_in_memory().and_then(|connection| {
        connection
            .execute_batch(&format!("CREATE TABLE t ({columns}{} AS ({value}\n) STORED)", ident(&own)))?;
        // What depends on the time is known only when it is computed.
        connection.execute_batch(&format!("INSERT INTO t ({first}) VALUES (NULL)"))
    });
    tried.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::inspect;

    fn table() -> Table {
        let connection = Connection::open_in_memory().expect("a store");
        connection
            .execute_batch("CREATE TABLE a (id INTEGER PRIMARY KEY, \"c0\" TEXT, n INT)")
            .expect("a table");
        let catalog = inspect::catalog(&connection, std::path::Path::new("memory")).expect("a catalog");
        catalog.table("a").expect("the table").clone()
    }

    #[test]
    fn a_check_is_tried_as_the_table_has_it() {
        let connection = Connection::open_in_memory().expect("a store");
        connection
            .execute_batch(
                "CREATE TABLE a (id INTEGER PRIMARY KEY, theme TEXT COLLATE NOCASE DEFAULT 'Dark' CHECK (theme IN ('dark', 'light')),
                    plain TEXT DEFAULT 'Dark' CHECK (plain IN ('dark', 'light')), n INTEGER DEFAULT 1 CHECK (n > 0),
                    computed TEXT DEFAULT (upper('a')) CHECK (computed = 'A'));
                 CREATE TABLE b (id INTEGER PRIMARY KEY, d ANY DEFAULT '1' CHECK (typeof(d) = 'text')) STRICT;
                 CREATE TABLE c (id INTEGER PRIMARY KEY, d NUMERIC DEFAULT '1' CHECK (typeof(d) = 'text'))",
            )
            .expect("tables");
        let catalog = inspect::catalog(&connection, std::path::Path::new("memory")).expect("a catalog");
        let taken = |table: &str, column: usize| {
            let table = catalog.table(table).expect("the table");
            takes_its_default(table, &table.columns[column], &table.checks[column - 1].text)
        };
        assert_eq!([taken("a", 1), taken("a", 2), taken("a", 3), taken("a", 4)], [true, false, true, true]);
        assert_eq!([taken("b", 1), taken("c", 1)], [true, false]);
    }

    #[test]
    fn a_value_of_its_own_row_is_one_and_no_other() {
        for value in [
            "'free'",
            "NULL",
            "n + 1",
            "lower(c0) || '!' -- said",
            "CASE WHEN n > 1 THEN 'a' END",
            "date(c0)",
        ] {
            assert_eq!(follows_from_its_row(&table(), value), Ok(()), "{value}");
        }
        for value in
            ["random()", "(SELECT max(n) FROM a)", "CURRENT_TIMESTAMP", "date('now')", "count(*)", "b"]
        {
            assert!(follows_from_its_row(&table(), value).is_err(), "{value}");
        }
    }
}
