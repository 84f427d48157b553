//! What SQLite can say of a source's schema: the planner's view of this connector as a target. Pure.
//!
//! From another SQLite file everything is kept as it is declared; expressions, views and triggers go
//! through `expression`, or stay as they are written where no name changes. From other stores a type is
//! chosen so that the column's affinity changes no value that the census saw; where none is, the column
//! gets no type, and holds everything as it is.

use super::expression::{self, Scope, render};
use super::quote::{ident, qualified};
use std::collections::BTreeSet;
use switchover_core::census::{ColumnCensus, Interest};
use switchover_core::codec::Codec;
use switchover_core::connector::{Choice, Dialect, ScopeColumn};
use switchover_core::expr::{Affinity, Expr};
use switchover_core::judge;
use switchover_core::plan::{LogicalType, TablePlan};
use switchover_core::reverse;
use switchover_core::schema::{Column, Generated, Index, StoreInfo, Trigger, View};

/// Columns of a table, as SQLite is built by default (`SQLITE_MAX_COLUMN`).
const COLUMNS_MAX: usize = 2000;

/// SQLite limits no name; one longer than this is a mistake somewhere.
const IDENTIFIER_BYTES_MAX: usize = 1 << 16;

/// PRAGMAs by which an application tells its own files and their versions.
pub(super) const SETTINGS_KEPT: [&str; 2] = ["application_id", "user_version"];

/// SQLite's dialect.
#[derive(Debug, Clone, Default)]
pub(super) struct SqliteDialect {
    /// The functions that this SQLite has; empty where that could not be asked.
    functions: BTreeSet<String>,
}

impl SqliteDialect {
    /// The dialect of the SQLite in this program.
    pub(super) fn new() -> SqliteDialect {
        let functions = || -> rusqlite::Result<BTreeSet<String>> {
            let connection = rusqlite::Connection::open_in_memory()?;
            let mut statement =
                connection.prepare("SELECT DISTINCT lower(name) FROM pragma_function_list")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        // Without the list an unknown function is met later, by the statement that makes the table.
        SqliteDialect { functions: functions().unwrap_or_default() }
    }

    fn in_table<T>(
        &self,
        scope: &[ScopeColumn],
        work: impl FnOnce(&Scope<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let column = |table: Option<&str>, name: &str| {
            let found = scope.iter().find(|column| column.source.eq_ignore_ascii_case(name))?;
            (table.is_none() && found.exact).then(|| ident(&found.target))
        };
        // What another store's language says, SQLite's may say otherwise, or not at all.
        let kept = scope.iter().all(|column| column.source == column.target && column.kind.is_none());
        work(&Scope { column: &column, kept, functions: &self.functions })
    }
}

/// Whether every table and column is called on the target what it is called on the source.
fn names_kept(tables: &[TablePlan]) -> bool {
    let columns = |table: &TablePlan| table.columns.iter().all(|column| column.source == column.target);
    tables.iter().all(|table| table.source == table.target && columns(table))
}

/// Whether a view's text begins with its query, and so wants an AS before it.
pub(super) fn is_query(text: &str) -> bool {
    let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["SELECT", "WITH", "VALUES"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// What follows the name in `CREATE VIEW name …`, as `sqlite_schema` keeps it.
fn after_view_name(text: &str) -> Option<&str> {
    let words = ["CREATE", "VIEW"];
    let mut rest = text;
    for word in words {
        rest = rest.trim_start();
        let head = rest.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word))?;
        rest = &rest[head.len()..];
    }
    rest = rest.trim_start();
    let first = rest.chars().next()?;
    let close = match first {
        '"' | '`' | '\'' => first,
        '[' => ']',
        _ => {
            // A comment may follow it at once.
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '(' | '/' | '-'))?;
            return Some(rest[end..].trim_start());
        }
    };
    let mut at = 1;
    loop {
        at += rest[at..].find(close)? + 1;
        // A doubled quote is a part of the name.
        if close != ']' && rest[at..].starts_with(close) {
            at += 1;
            continue;
        }
        return Some(rest[at..].trim_start());
    }
}

fn choice(r#type: LogicalType, codec: Codec, why: impl Into<String>) -> Choice {
    Choice { r#type, codec, why: why.into() }
}

fn any(r#type: LogicalType, affinity: Affinity, why: impl Into<String>) -> Choice {
    choice(r#type, Codec::Any { affinity }, why)
}

/// A column whose store sees to it what every value is.
fn choose_typed(kind: LogicalType, column: &Column, census: &ColumnCensus) -> Choice {
    match kind {
        LogicalType::Numeric(_) if census.decimals_long > 0 => choice(
            LogicalType::Text,
            reverse::decimal_text(),
            format!(
                "{} values have more digits than a number of SQLite holds, or are none (NaN, infinity): all are text",
                census.decimals_long
            ),
        ),
        LogicalType::Jsonb if census.texts_numeric > 0 => any(
            kind,
            Affinity::Text,
            "JSON, of which some values are numbers: text keeps them as they are written",
        ),
        LogicalType::Jsonb => any(kind, Affinity::Numeric, format!("the text of {}", column.declared)),
        LogicalType::Varchar(_) => any(kind, Affinity::Text, format!("declared {}", column.declared)),
        _ => match reverse::of_kind(kind) {
            None if matches!(kind, LogicalType::Text) && !column.declared.starts_with("text") => {
                any(kind, Affinity::Text, format!("the text of {}", column.declared))
            }
            None => choose(column, census),
            Some(codec) => {
                let why = match kind {
                    LogicalType::Bool => "0 and 1",
                    LogicalType::Numeric(_) => {
                        "integers and doubles hold all values exactly; compared by value"
                    }
                    LogicalType::Uuid => "the UUIDs as text",
                    LogicalType::TimestampTz => "the instants as text in UTC",
                    _ => "the times as text",
                };
                choice(kind, codec, format!("declared {}: {why}", column.declared))
            }
        },
    }
}

/// The type as it is declared, where its affinity keeps all values: a later run from here finds the same type.
fn kept(column: &Column, census: &ColumnCensus) -> Option<Choice> {
    if Interest::of_declared(&column.declared) == Interest::Json && census.texts == census.present() {
        // A JSON text that is a number would become one, unless the column's type speaks of text too.
        let affinity = if census.texts_numeric > 0 { Affinity::Text } else { Affinity::Numeric };
        return Some(any(LogicalType::Jsonb, affinity, "declared JSON, and kept as the text that it is"));
    }
    let declared = !column.declared.trim().is_empty();
    (declared && judge::keeps(column.affinity, census))
        .then(|| any(LogicalType::Declared, column.affinity, "as declared, which changes none of the values"))
}

/// A column of a source of another kind.
fn choose(column: &Column, census: &ColumnCensus) -> Choice {
    if column.kind.is_none()
        && let Some(kept) = kept(column, census)
    {
        return kept;
    }
    let untyped = |why: &str| any(LogicalType::Any, Affinity::Blob, why);
    match census.classes().as_slice() {
        [] => {
            let why = "no values yet: the declared type decides";
            match column.affinity {
                Affinity::Integer => any(LogicalType::Int8, Affinity::Integer, why),
                Affinity::Real => choice(LogicalType::Float8, Codec::Float, why),
                Affinity::Text => any(LogicalType::Text, Affinity::Text, why),
                Affinity::Blob if !column.declared.trim().is_empty() => {
                    any(LogicalType::Bytea, Affinity::Blob, why)
                }
                Affinity::Blob | Affinity::Numeric => untyped("no values yet, and no type that decides"),
            }
        }
        [("integer", _)] => any(LogicalType::Int8, Affinity::Integer, "all values are integers"),
        [("text", _)] => any(LogicalType::Text, Affinity::Text, "all values are text"),
        [("blob", _)] => any(LogicalType::Bytea, Affinity::Blob, "all values are blobs"),
        [("real", _)] if census.reals_negative_zero == 0 => {
            any(LogicalType::Float8, Affinity::Real, "all values are reals")
        }
        [("integer", _), ("real", _)]
            if census.reals_negative_zero == 0 && census.integers_beyond_float == 0 =>
        {
            choice(
                LogicalType::Float8,
                Codec::Float,
                "integers and reals: reals hold all of them; compared by value",
            )
        }
        _ => untyped("values that no one type holds as they are: the column has none"),
    }
}

impl Dialect for SqliteDialect {
    fn identifier_bytes_max(&self) -> usize {
        IDENTIFIER_BYTES_MAX
    }

    fn columns_max(&self) -> usize {
        COLUMNS_MAX
    }

    fn speaks(&self, source: &StoreInfo) -> bool {
        source.kind == "sqlite"
    }

    fn takes(&self, logical: LogicalType, codec: &Codec) -> bool {
        use LogicalType::{Any, Bytea, Declared, Float8, Int8, Jsonb, Text, Varchar};
        match codec {
            Codec::Reverse { .. } => true,
            Codec::Any { .. } if logical == Jsonb => true,
            Codec::Uuid5 { text: true, .. } => logical == Text,
            Codec::Uuid5 { text: false, .. } => false,
            Codec::Any { .. }
            | Codec::Int
            | Codec::Float
            | Codec::Text { .. }
            | Codec::TextEscaped { .. }
            | Codec::TextBytes
            | Codec::Bytes => matches!(logical, Declared | Any | Int8 | Float8 | Text | Varchar(_) | Bytea),
            _ => false,
        }
    }

    fn place(&self, _: &str) -> (String, &'static str) {
        ("the target's file".to_owned(), "name a new file: an existing one is left as it is")
    }

    fn folded(&self, name: &str) -> String {
        name.to_ascii_lowercase()
    }

    fn is_reserved_name(&self, name: &str) -> bool {
        name.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("sqlite_"))
    }

    fn names_constraints(&self) -> bool {
        false
    }

    fn settings_kept(&self) -> &'static [&'static str] {
        &SETTINGS_KEPT
    }

    fn choose(&self, column: &Column, census: &ColumnCensus) -> Choice {
        match column.kind {
            Some(kind) => choose_typed(kind, column, census),
            None => choose(column, census),
        }
    }

    fn translate_default(&self, column: &Column, _: LogicalType) -> Result<String, String> {
        let default = column.default.as_ref().ok_or("there is none")?;
        // No column is in scope, so no name in it can have changed.
        let kept = column.kind.is_none();
        let scope = Scope { column: &|_, _| None, kept, functions: &self.functions };
        let sql = render(&default.expr, &scope)?;
        Ok(match &default.expr {
            // The expression knows no negative zero, because only a column without a type keeps one.
            Expr::Float(0.0) if kept && default.text.trim_start().starts_with('-') => "-0.0".into(),
            Expr::Null | Expr::Int(_) | Expr::Float(_) | Expr::Text(_) | Expr::Blob(_) | Expr::Now(_) => sql,
            _ => format!("({sql})"),
        })
    }

    fn translate_generated(
        &self,
        generated: &Generated,
        _: LogicalType,
        scope: &[ScopeColumn],
    ) -> Result<String, String> {
        self.in_table(scope, |scope| render(&generated.expr, scope))
    }

    fn translate_check(&self, check: &Expr, scope: &[ScopeColumn]) -> Result<String, String> {
        self.in_table(scope, |scope| render(check, scope))
    }

    fn translate_index(
        &self,
        index: &Index,
        columns: &[ScopeColumn],
    ) -> Result<(Vec<String>, Option<String>), String> {
        self.in_table(columns, |scope| {
            let own = |name: &str| columns.iter().find(|column| column.source.eq_ignore_ascii_case(name));
            let part = |part: &switchover_core::schema::IndexPart| {
                let mut sql = render(&part.expr, scope)?;
                let default = match &part.expr {
                    Expr::Column(name) => own(name).map_or("BINARY", |column| column.collation.as_str()),
                    _ => {
                        sql = format!("({sql})");
                        "BINARY"
                    }
                };
                let named = expression::collation(&part.collation)?;
                if named != default {
                    sql.push_str(&format!(" COLLATE {named}"));
                }
                sql.push_str(if part.descending { " DESC" } else { "" });
                Ok(sql)
            };
            let parts: Result<Vec<String>, String> = index.parts.iter().map(part).collect();
            let predicate = index.predicate.as_ref().map(|expr| render(expr, scope)).transpose()?;
            Ok((parts?, predicate))
        })
    }

    fn translate_view(&self, view: &View, tables: &[TablePlan], _: &str) -> Result<String, String> {
        let kept = names_kept(tables);
        if kept {
            let rest = after_view_name(&view.text).ok_or("its text is not understood")?;
            let behind_as = rest.get(..2).filter(|head| head.eq_ignore_ascii_case("as"));
            let query = behind_as.map(|head| rest[head.len()..].trim_start()).filter(|query| is_query(query));
            // It names its columns first, or says something in a comment: `steps` takes both as they are.
            return Ok(query.unwrap_or(rest).to_owned());
        }
        let query = view.query.as_ref().map_err(String::clone)?;
        let planned = |name: &str| tables.iter().find(|table| table.source.eq_ignore_ascii_case(name));
        let column = |alias: Option<&str>, name: &str| {
            let alias = alias?;
            let part = query.tables.iter().find(|part| part.alias == alias)?;
            let plan = planned(&part.table)?;
            let column = plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(name))?;
            Some(format!("{}.{}", ident(alias), ident(&column.target)))
        };
        let scope = Scope { column: &column, kept, functions: &self.functions };
        expression::view(query, &scope, &|name| planned(name).map(|table| qualified("main", &table.target)))
    }

    fn translate_trigger(&self, trigger: &Trigger, tables: &[TablePlan]) -> Result<String, String> {
        if names_kept(tables) {
            return Ok(trigger.text.clone());
        }
        Err("names change, and a trigger's program is kept only as it is written".into())
    }
}
