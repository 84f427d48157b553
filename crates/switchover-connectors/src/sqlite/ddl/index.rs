//! CREATE INDEX.

use sqlite3_parser::ast::{SortOrder, Stmt};
use switchover_core::expr::Expr;

use super::convert::{self, Names};
use super::name::plain;
use super::table::{column_name, uncollated};

/// An index as its CREATE INDEX says it. The index of a PRIMARY KEY or UNIQUE constraint has no text.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexDdl {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// UNIQUE.
    pub unique: bool,
    /// What it sorts by, in order.
    pub parts: Vec<IndexPart>,
    /// WHERE: the rows that it holds.
    pub predicate: Option<Expr>,
}

/// One column or expression of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexPart {
    /// The column or expression, without its COLLATE.
    pub expr: Expr,
    /// The collation that the index names, in upper case; otherwise a column's own holds.
    pub collation: Option<String>,
    /// DESC.
    pub desc: bool,
}

/// Parses a CREATE INDEX on a table with these columns.
///
/// # Errors
/// With the reason, if the text is no CREATE INDEX in SQLite's grammar.
pub fn parse_index(sql: &str, columns: &[String]) -> Result<IndexDdl, String> {
    super::with_statement(sql, |statement| match statement {
        Stmt::CreateIndex { unique, idx_name, tbl_name, columns: parts, where_clause, .. } => {
            let table = plain(tbl_name);
            let names = Names::of_table(&table, columns);
            let parts = parts
                .iter()
                .map(|part| {
                    let (expr, collation) = uncollated(&part.expr);
                    // As in a key, a string literal that is the whole part names a column.
                    let column = column_name(expr)
                        .and_then(|name| columns.iter().find(|c| c.eq_ignore_ascii_case(&name)));
                    IndexPart {
                        expr: column.map_or_else(|| convert::expr(expr, &names), |c| Expr::Column(c.clone())),
                        collation,
                        desc: part.order == Some(SortOrder::Desc),
                    }
                })
                .collect();
            Ok(IndexDdl {
                name: plain(&idx_name.name),
                unique: *unique,
                parts,
                predicate: where_clause.as_ref().map(|clause| convert::expr(clause, &names)),
                table,
            })
        }
        _ => Err("it is no CREATE INDEX".to_owned()),
    })
}

/// The parts and the predicate of an index as they are written, without a collation and an order.
///
/// # Errors
/// As [`parse_index`].
pub fn index_texts(sql: &str) -> Result<(Vec<String>, Option<String>), String> {
    super::with_statement(sql, |statement| match statement {
        Stmt::CreateIndex { columns, where_clause, .. } => {
            let parts = columns.iter().map(|part| uncollated(&part.expr).0.to_string().trim().to_owned());
            let predicate = where_clause.as_ref().map(|clause| clause.to_string().trim().to_owned());
            Ok((parts.collect(), predicate))
        }
        _ => Err("it is no CREATE INDEX".to_owned()),
    })
}
