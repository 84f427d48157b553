//! The parts of an index.
//!
//! A BINARY text column is indexed plainly, under the column's own collation: uniqueness is bytewise
//! under every deterministic collation, and an index under another collation than the column's would
//! serve neither `=` nor ORDER BY of the application. A NOCASE part becomes an index on
//! `lower(x COLLATE "C")`, which enforces the same uniqueness; an RTRIM part one on `rtrim(x, ' ')`.
//!
//! DESC is kept. NULLS FIRST and LAST are left to PostgreSQL's default (NULL is greatest there, least
//! in SQLite): uniqueness does not depend on it, in both stores NULLs differ from one another, and an
//! index with another order of NULLs would not serve the application's plain ORDER BY.

use switchover_core::expr::Expr;

use super::node::Renderer;
use super::value::{Coll, Value};
use super::{Scope, Ty};

/// Renders one part of an index: a column or an expression, the collation that the index names (in
/// upper case), and its direction.
///
/// # Errors
/// With the reason, if the expression is not translated, is a constant, or has a type whose order or
/// equality PostgreSQL has otherwise.
pub fn render_index_part(
    expr: &Expr,
    collation: Option<&str>,
    desc: bool,
    scope: &dyn Scope,
) -> Result<String, String> {
    let named = collation.map(Coll::named).transpose()?;
    let part = match expr {
        Expr::Column(name) => column_part(name, named, scope)?,
        Expr::Null | Expr::Int(_) | Expr::Float(_) | Expr::Text(_) | Expr::Blob(_) | Expr::Bool(_) => {
            return Err("an index on a constant is not translated".to_owned());
        }
        other => {
            let value = Renderer { scope }.value(other)?;
            match value.ty {
                Some(Ty::Text { .. }) => {
                    format!("({})", named.or(value.implicit).unwrap_or(Coll::Binary).key(&value))
                }
                Some(_) => format!("({})", value.text),
                None => return Err("an index on a constant is not translated".to_owned()),
            }
        }
    };
    Ok(if desc { format!("{part} DESC") } else { part })
}

fn column_part(name: &str, named: Option<Coll>, scope: &dyn Scope) -> Result<String, String> {
    let column =
        scope.column(None, name).ok_or_else(|| format!("the column {name} is not in the target's table"))?;
    match column.ty {
        Ty::Text { nocase } => {
            let own = if nocase { Coll::Nocase } else { Coll::Binary };
            Ok(match named.unwrap_or(own) {
                Coll::Binary => column.quoted,
                folded => format!("({})", folded.key(&Value::column(column)?)),
            })
        }
        // Of these, each value in PostgreSQL stands for one value of the source.
        Ty::Bool | Ty::Int | Ty::Float | Ty::Numeric | Ty::Bytes => Ok(column.quoted),
        Ty::Uuid | Ty::Date | Ty::Time | Ty::Timestamp | Ty::TimestampTz => Ok(column.quoted),
        Ty::Json => Err(format!("{} is JSON, which no btree index orders as text", column.quoted)),
        Ty::Other => Err(format!("{} has a type of the target's own", column.quoted)),
    }
}
