//! Statements that make a target's schema: tables before the copy, everything else after it.
//!
//! Foreign keys belong to SQLite's CREATE TABLE and cannot be added later; they are not enforced while rows are
//! copied, and checked by `audit`. Primary keys and unique constraints belong there too, and come after the rows all
//! the same (`late_keys`), as indexes do; triggers are last, so that they do not fire. A step and its record commit
//! together.

use super::connect::{self, Commits};
use super::ddl;
use super::dialect::{SETTINGS_KEPT, is_query};
use super::error::classify;
use super::late_keys;
use super::ledger;
use super::quote::{ident, literal, qualified};
use std::path::Path;
use switchover_core::Result;
use switchover_core::codec::Codec;
use switchover_core::connector::{BuildStage, BuildStep};
use switchover_core::expr::Affinity;
use switchover_core::failpoint;
use switchover_core::plan::{ColumnPlan, ForeignKeyPlan, KeyPlan, LogicalType, Plan, TablePlan, ViewPlan};

/// A declared type as a statement takes it: as it is where the grammar reads it so, else as one quoted name,
/// which means the same.
fn declared(text: &str) -> String {
    let reads = |parsed: &ddl::TableDdl| {
        let plain = |column: &ddl::ColumnDdl| {
            column.declared_type.split_whitespace().eq(text.split_whitespace())
                && column.collation.is_none()
                && column.not_null.is_none()
                && column.default.is_none()
                && column.generated.is_none()
        };
        parsed.columns.len() == 1
            && parsed.columns.iter().all(plain)
            && parsed.primary_key.is_none()
            && parsed.uniques.is_empty()
            && parsed.checks.is_empty()
            && parsed.foreign_keys.is_empty()
    };
    if text.is_empty() {
        return String::new();
    }
    match ddl::parse_table(&format!("CREATE TABLE t(c {text})")) {
        Ok(parsed) if reads(&parsed) => text.to_owned(),
        _ => ident(text),
    }
}

fn type_name(column: &ColumnPlan) -> String {
    match column.r#type {
        LogicalType::Declared => declared(&column.declared),
        LogicalType::Int8 => "INTEGER".into(),
        LogicalType::Float8 => "REAL".into(),
        LogicalType::Text => "TEXT".into(),
        LogicalType::Varchar(chars) => format!("VARCHAR({chars})"),
        LogicalType::Bytea => "BLOB".into(),
        // Names by which a later run the other way finds the same types; see `SqliteDialect::choose`.
        LogicalType::Bool => "BOOLEAN".into(),
        LogicalType::Numeric(None) => "NUMERIC".into(),
        LogicalType::Numeric(Some((precision, scale))) => format!("NUMERIC({precision},{scale})"),
        LogicalType::Uuid => "UUID".into(),
        LogicalType::Date => "DATE".into(),
        LogicalType::Timestamp => "TIMESTAMP".into(),
        LogicalType::TimestampTz => "TIMESTAMPTZ".into(),
        LogicalType::Jsonb => match column.codec {
            // Its affinity is that of text, so that a number's digits stay what they are.
            Codec::Any { affinity: Affinity::Text } => "JSON TEXT".into(),
            _ => "JSON".into(),
        },
        // A column without a type holds everything as it is; the dialect takes none of the others.
        LogicalType::Any
        | LogicalType::Int2
        | LogicalType::Int4
        | LogicalType::Float4
        | LogicalType::Char(_)
        | LogicalType::Json
        | LogicalType::Time
        | LogicalType::TextArray
        | LogicalType::Array(_)
        | LogicalType::Inet
        | LogicalType::Cidr
        | LogicalType::Macaddr
        | LogicalType::Interval
        | LogicalType::Vector => String::new(),
    }
}

/// Whether the column, the table's key, is a name of the row's own number.
fn is_rowid(table: &TablePlan, key: &KeyPlan, column: &ColumnPlan) -> bool {
    let integer = match column.r#type {
        LogicalType::Declared => column.declared.eq_ignore_ascii_case("INTEGER"),
        ty => ty == LogicalType::Int8,
    };
    integer && !key.descending && table.clauses.iter().all(|clause| clause != "WITHOUT ROWID")
}

/// When the keys come that need indexes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// With the table.
    Now,
    /// After its rows; but for those of a table without rowids, which is its key's tree itself.
    Later,
}

impl Keys {
    fn are_there(self, table: &TablePlan) -> bool {
        self == Keys::Now || table.clauses.iter().any(|clause| clause == "WITHOUT ROWID")
    }
}

fn column(table: &TablePlan, column: &ColumnPlan, keys: Keys) -> String {
    let mut sql = ident(&column.target);
    let ty = type_name(column);
    if !ty.is_empty() {
        sql.push_str(&format!(" {ty}"));
    }
    let own = inline_key(table).filter(|key| key.columns[0] == column.target);
    // The row's own number needs no index.
    let own = own.filter(|key| keys.are_there(table) || is_rowid(table, key, column));
    if let Some(key) = own {
        sql.push_str(&format!("{} PRIMARY KEY", constraint(&key.name)));
        if key.descending {
            // SQLite's own quirk: so written, it is no name of the row's number, as it was none on the source.
            sql.push_str(" DESC");
        }
        if column.identity_next.is_some() && is_rowid(table, key, column) {
            sql.push_str(" AUTOINCREMENT");
        }
    }
    if column.not_null {
        sql.push_str(" NOT NULL");
    }
    if let Some(expression) = &column.generated {
        let kept = if column.generated_virtual { "VIRTUAL" } else { "STORED" };
        sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) {kept}"));
    } else if let Some(default) = &column.default {
        sql.push_str(&format!(" DEFAULT {default}"));
    }
    if matches!(column.collation.as_str(), "NOCASE" | "RTRIM") {
        sql.push_str(&format!(" COLLATE {}", column.collation));
    }
    sql
}

/// A key of one column is written at the column, where no more is to be said of it.
fn inline_key(table: &TablePlan) -> Option<&KeyPlan> {
    table.primary_key.as_ref().filter(|key| key.columns.len() == 1 && key.forms.is_empty())
}

fn constraint(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" CONSTRAINT {}", ident(name)) }
}

/// The columns of a key, as its index holds them.
fn key_parts(key: &KeyPlan) -> String {
    let part = |name: &String| {
        let form = key.forms.iter().find(|form| form.column == *name);
        let collation = form.and_then(|form| form.collation.as_ref());
        let collation = collation.map(|name| format!(" COLLATE {}", ident(name))).unwrap_or_default();
        let order = if form.is_some_and(|form| form.descending) { " DESC" } else { "" };
        format!("{}{collation}{order}", ident(name))
    };
    key.columns.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ")
}

/// The whole table.
pub(super) fn create_table(table: &TablePlan, keys: Keys) -> String {
    let mut parts: Vec<String> = table.columns.iter().map(|plan| column(table, plan, keys)).collect();
    let mut add = |name: &str, rest: String| {
        parts.push(format!("{} {rest}", constraint(name)).trim_start().to_owned());
    };
    let there = keys.are_there(table);
    if inline_key(table).is_none()
        && let Some(key) = table.primary_key.as_ref().filter(|_| there)
    {
        add(&key.name, format!("PRIMARY KEY ({})", key_parts(key)));
    }
    for unique in table.uniques.iter().filter(|_| there) {
        add(&unique.name, format!("UNIQUE ({})", key_parts(unique)));
    }
    for check in &table.checks {
        add(&check.name, format!("CHECK ({})", check.sql));
    }
    for key in &table.foreign_keys {
        add(&key.name, foreign_key(key));
    }
    let clauses =
        if table.clauses.is_empty() { String::new() } else { format!(" {}", table.clauses.join(", ")) };
    format!("CREATE TABLE {} (\n  {}\n){clauses}", qualified("main", &table.target), parts.join(",\n  "))
}

fn foreign_key(key: &ForeignKeyPlan) -> String {
    format!(
        "FOREIGN KEY ({}) REFERENCES {} ({}){}",
        list(&key.columns),
        ident(&key.parent),
        list(&key.parent_columns),
        key.clauses()
    )
}

fn view(view: &ViewPlan) -> String {
    // A view that names its columns has them before the AS: see `SqliteDialect::translate_view`.
    let word = if is_query(&view.sql) { "AS " } else { "" };
    format!("CREATE VIEW {} {word}{}", qualified("main", &view.name), view.sql)
}

/// What the identity of a step ends with that adds a table's keys.
const KEYS: &str = "keys";

/// All steps after the copy.
pub(super) fn build_steps(plan: &Plan) -> Vec<BuildStep> {
    let mut steps = Vec::new();
    for (at, table) in plan.tables.iter().enumerate() {
        if late_keys::has(table) {
            steps.push(BuildStep {
                id: format!("{at}:{KEYS}"),
                table: Some(at),
                stage: BuildStage::Keys,
                what: format!("keys of {}", table.source),
                // Several statements that `late_keys` makes as it goes.
                sql: String::new(),
            });
        }
        for index in &table.indexes {
            let unique = if index.unique { "UNIQUE " } else { "" };
            let predicate = index.predicate.as_ref().map(|sql| format!(" WHERE {sql}")).unwrap_or_default();
            steps.push(BuildStep {
                id: format!("{at}:index {}", index.name),
                table: Some(at),
                stage: BuildStage::Indexes,
                what: format!("index {}", index.name),
                sql: format!(
                    "CREATE {unique}INDEX {} ON {} ({}){predicate}",
                    qualified("main", &index.name),
                    ident(&table.target),
                    index.parts.join(", ")
                ),
            });
        }
        if let Some(next) = table.columns.iter().find_map(|column| column.identity_next) {
            let name = literal(&table.target);
            let last = next - 1;
            steps.push(BuildStep {
                id: format!("{at}:sequence"),
                table: Some(at),
                stage: BuildStage::Finish,
                what: format!("sequence of {}", table.source),
                sql: format!(
                    "DELETE FROM sqlite_sequence WHERE name = {name};
                     INSERT INTO sqlite_sequence (name, seq) SELECT {name}, {last} WHERE {last} > 0"
                ),
            });
        }
    }
    // Views depend on no rows, and triggers may be on views: so views come a stage before.
    steps.extend(plan.views.iter().map(|plan| BuildStep {
        id: format!("view {}", plan.name),
        table: None,
        stage: BuildStage::Indexes,
        what: format!("view {}", plan.name),
        sql: view(plan),
    }));
    steps.extend(plan.triggers.iter().map(|trigger| BuildStep {
        id: format!("trigger {}", trigger.name),
        table: None,
        stage: BuildStage::Finish,
        what: format!("trigger {}", trigger.name),
        sql: trigger.sql.clone(),
    }));
    // Another kind of store has settings of these names by chance only.
    let kept = SETTINGS_KEPT.iter().filter(|_| plan.source.store.kind == "sqlite");
    steps.extend(kept.filter_map(|name| {
        let value: i64 = plan.source.store.settings.get(*name)?.parse().ok()?;
        (value != 0).then(|| BuildStep {
            id: format!("setting {name}"),
            table: None,
            stage: BuildStage::Finish,
            what: format!("setting {name}"),
            sql: format!("PRAGMA main.{} = {value}", ident(name)),
        })
    }));
    steps
}

/// Carries one step out, with its record, unless it was before.
pub(super) fn build(path: &Path, plan: &Plan, run: &str, step: &BuildStep) -> Result<()> {
    let operation = format!("make the {}", step.what);
    let fail = |error| {
        let failed = classify(error, &operation, path);
        match step.table.and_then(|at| plan.tables.get(at)) {
            Some(table) => failed.table(table.source.clone()),
            None => failed,
        }
    };
    let mut connection = connect::open(path, Commits::Durable)?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(fail)?;
    let sql = format!("INSERT INTO {} (run, step) VALUES (?1, ?2) ON CONFLICT DO NOTHING", ledger::STEP);
    let keys = step.table.filter(|at| step.id == format!("{at}:{KEYS}")).and_then(|at| plan.tables.get(at));
    if transaction.execute(&sql, (run, &step.id)).map_err(fail)? == 1 {
        let setting = step.id.strip_prefix("setting ");
        let was = setting.map(|name| ledger::setting(&transaction, name)).transpose().map_err(fail)?;
        match keys {
            Some(table) => late_keys::add(&transaction, table).map_err(fail)?,
            None => transaction.execute_batch(&step.sql).map_err(fail)?,
        }
        if let Some((name, was)) = setting.zip(was) {
            ledger::record_setting(&transaction, run, name, was).map_err(fail)?;
        }
        for kind in ["view", "trigger"] {
            if let Some(name) = step.id.strip_prefix(kind).and_then(|rest| rest.strip_prefix(' ')) {
                ledger::record_object(&transaction, run, kind, name).map_err(fail)?;
            }
        }
    }
    failpoint::hit("build-before-commit");
    transaction.commit().map_err(fail)?;
    failpoint::hit("build-after-commit");
    match keys {
        Some(table) => {
            drop(connection);
            late_keys::check(path, table, &operation)
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_types_are_quoted_and_mean_the_same() {
        for (text, sql) in [
            ("", ""),
            ("INTEGER", "INTEGER"),
            ("VARCHAR(10)", "VARCHAR(10)"),
            ("UNSIGNED BIG INT", "UNSIGNED BIG INT"),
            ("DECIMAL(10, 5)", "\"DECIMAL(10, 5)\""),
            ("x; DROP TABLE t", "\"x; DROP TABLE t\""),
            ("INT NOT NULL", "\"INT NOT NULL\""),
            ("INT PRIMARY KEY", "\"INT PRIMARY KEY\""),
            ("a\"b", "\"a\"\"b\""),
        ] {
            // With or without quotes: what counts is what SQLite makes of it.
            let written = declared(text);
            if !text.contains(", ") {
                assert_eq!(written, sql, "{text}");
            }
            let db = rusqlite::Connection::open_in_memory().expect("memory");
            db.execute_batch(&format!("CREATE TABLE t(c {written})")).expect(text);
            let found: String = db
                .query_row("SELECT type FROM pragma_table_xinfo('t')", [], |row| row.get(0))
                .expect("its type");
            assert_eq!(found, text);
        }
    }
}
