//! SQLite's DDL text, as `sqlite_schema.sql` keeps it, read into plain structures.
//!
//! The text is parsed with SQLite's own grammar (the crate `sqlite3-parser`), never by pattern.
//! Expressions become [`switchover_core::expr::Expr`]; what is not understood exactly becomes
//! [`Expr::Opaque`] with the reason, inside the tree where it stands, and no renderer translates it.
//!
//! Absent on purpose: names are resolved against the columns of one table and nothing else;
//! rowid aliases, affinities and implied indexes are the inspection's business, which asks SQLite's
//! pragmas; triggers are not parsed.

mod convert;
mod index;
mod name;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub use index::{IndexDdl, IndexPart, index_texts, parse_index};
pub use table::{
    CheckDdl, ColumnDdl, FkDdl, GeneratedDdl, KeyColumn, KeyDdl, NotNullDdl, TableDdl, generated_texts,
    parse_table,
};
pub use view::parse_view;

use sqlite3_parser::ast::{Cmd, CreateTableBody, Stmt};
use sqlite3_parser::lexer::sql::Parser;
use sqlite3_parser::{Bump, FallibleIterator as _};
use switchover_core::expr::Expr;

use convert::Names;

/// Longest DDL text that is parsed: SQLite's own default limit on a statement (SQLITE_MAX_SQL_LENGTH).
const SQL_BYTES_MAX: usize = 1_000_000_000;

/// Parses an expression that stands in a table with these columns.
///
/// An identifier that matches a column becomes that column, spelled as in `columns`; a double-quoted
/// one that matches none is a string literal, as SQLite reads it.
#[must_use]
pub fn parse_expression(text: &str, columns: &[String]) -> Expr {
    parse_with(text, &Names::of_columns(columns))
}

/// Parses the text of a column's default, as `PRAGMA table_xinfo` gives it in `dflt_value`.
///
/// No column is in scope there, and SQLite reads a bare word (`DEFAULT active`) as a string.
#[must_use]
pub fn parse_default(text: &str) -> Expr {
    parse_with(text, &Names::of_default())
}

fn parse_with(text: &str, names: &Names<'_>) -> Expr {
    // A CHECK constraint is the place in DDL that takes any expression. The line break ends a
    // comment that the text may close with.
    let sql = format!("CREATE TABLE t(c CHECK(({text}\n)))");
    let parsed = with_statement(&sql, |statement| match statement {
        Stmt::CreateTable {
            body: CreateTableBody::ColumnsAndConstraints { columns, constraints, .. },
            ..
        } => {
            if constraints.is_some() || columns.len() != 1 {
                return Err("it is not one expression".to_owned());
            }
            match columns.first().map(|column| column.constraints) {
                Some([one]) => match &one.constraint {
                    sqlite3_parser::ast::ColumnConstraint::Check(expr) => Ok(convert::expr(expr, names)),
                    _ => Err("it is not one expression".to_owned()),
                },
                Some(_) | None => Err("it is not one expression".to_owned()),
            }
        }
        _ => Err("it is not one expression".to_owned()),
    });
    parsed.unwrap_or_else(|reason| Expr::Opaque(text.to_owned(), reason))
}

/// Parses one statement and hands its tree to `read`; the tree lives no longer than the call.
fn with_statement<T>(sql: &str, read: impl FnOnce(&Stmt<'_>) -> Result<T, String>) -> Result<T, String> {
    if sql.len() > SQL_BYTES_MAX {
        return Err("the statement is longer than SQLite takes".to_owned());
    }
    if sql.contains('\0') {
        return Err("the statement holds a NUL character".to_owned());
    }
    let arena = Bump::new();
    let mut parser = Parser::new(&arena, sql.as_bytes());
    let command = parser
        .next()
        .map_err(|error| format!("SQLite's grammar does not accept it: {error}"))?
        .ok_or_else(|| "it holds no statement".to_owned())?;
    let value = match &command {
        Cmd::Stmt(statement) => read(statement)?,
        Cmd::Explain(_) | Cmd::ExplainQueryPlan(_) => return Err("it is an EXPLAIN".to_owned()),
    };
    match parser.next() {
        Ok(None) => Ok(value),
        Ok(Some(_)) | Err(_) => Err("more than one statement stands in the text".to_owned()),
    }
}
