//! SQLite's expressions as PostgreSQL text, only where both say the same for every row.
//!
//! The renderer is typed: it knows what each part is, refuses what SQLite would coerce, and answers
//! either a text that means exactly the same or a sentence that names the construct that does not.
//! A refusal is no failure: the plan lists it and leaves the constraint out.
//!
//! What is assumed of the scope, and must hold of the plan that gives it:
//! - a column's [`Ty`] is the type that every cell of it has, not what its declaration says; the
//!   source's text is UTF-8, whose BINARY order is that of PostgreSQL's "C" collation;
//! - text columns of the target have a deterministic collation, under which equal is bytewise equal;
//! - values that PostgreSQL alone can hold (NaN, a number with more digits than a double) do not count.
//!
//! Decided here, with the reasons:
//! - Integer arithmetic: SQLite continues in floating point beyond 64 bits, PostgreSQL stops with an
//!   error. A sum, difference or product of columns is therefore translated only directly beside a
//!   comparison with a number within ±2^53: rendered in `numeric` it never stops, and what SQLite
//!   rounds lies far beyond the number. Elsewhere the bounds of the operands must prove that
//!   nothing overflows. Floating point arithmetic is refused: PostgreSQL stops where SQLite has Inf.
//! - Order of texts is compared under `COLLATE "C"`; equality needs none. NOCASE folds ASCII only,
//!   and so does `lower(x COLLATE "C")`.
//! - Dates, times, uuids and JSON are text or numbers in SQLite, and their order and equality are
//!   those of the text. Only IS NULL is the same for them, and `json_valid`.
//! - A boolean in SQLite is the integer 0 or 1; beside anything but 0 and 1 it becomes an integer.

mod call;
mod compare;
mod constant;
mod default;
mod index;
mod node;
mod pattern;
#[cfg(test)]
mod tests;
mod value;
mod view;

use switchover_core::expr::{Affinity, Expr};

pub use default::render_default;
pub use index::render_index_part;
pub use view::render_view;

/// What a column of the target holds, and with it what every cell of the source's column held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    /// boolean; the cells are the integers 0 and 1. Cells that are text ('true') make it [`Ty::Other`].
    Bool,
    /// smallint, integer or bigint; the cells are integers.
    Int,
    /// double precision; the cells are integers or reals.
    Float,
    /// numeric; the cells are integers or reals.
    Numeric,
    /// text or varchar; the cells are text.
    Text {
        /// The source's column has the collation NOCASE; otherwise BINARY.
        nocase: bool,
    },
    /// bytea; the cells are blobs.
    Bytes,
    /// uuid.
    Uuid,
    /// date.
    Date,
    /// time.
    Time,
    /// timestamp without time zone.
    Timestamp,
    /// timestamp with time zone.
    TimestampTz,
    /// json or jsonb; the cells are text that is valid JSON.
    Json,
    /// Any other type, or one whose cells are stored otherwise than above.
    Other,
}

/// A column of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnRef {
    /// Its identifier, quoted (and qualified, where that is needed).
    pub quoted: String,
    /// What it holds.
    pub ty: Ty,
    /// The affinity of the source's column.
    pub affinity: Affinity,
}

/// The columns that an expression may name.
pub trait Scope {
    /// The target's column for a column of the source, named as the catalog spells it; `None` if
    /// there is none. `table` is set in a view alone.
    fn column(&self, table: Option<&str>, name: &str) -> Option<ColumnRef>;
}

impl<F: Fn(&str) -> Option<ColumnRef>> Scope for F {
    fn column(&self, table: Option<&str>, name: &str) -> Option<ColumnRef> {
        if table.is_some() { None } else { self(name) }
    }
}

/// A translated expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// PostgreSQL text, in parentheses unless it is a single term.
    pub text: String,
    /// Its type; `None` for a bare NULL.
    pub ty: Option<Ty>,
}

/// Renders an expression as a value.
///
/// # Errors
/// With a sentence that names the construct that PostgreSQL would read otherwise.
pub fn render(expr: &Expr, scope: &dyn Scope) -> Result<Rendered, String> {
    let value = node::Renderer { scope }.value(expr)?;
    Ok(Rendered { text: value.text, ty: value.ty })
}

/// Renders the condition of a CHECK: false refuses the row, true and NULL take it, in both stores.
///
/// # Errors
/// As [`render`]; also if the condition is no boolean and no number.
pub fn render_check(expr: &Expr, scope: &dyn Scope) -> Result<String, String> {
    node::Renderer { scope }.truth(expr)
}

/// Renders the WHERE of a partial index: only true takes the row, in both stores.
///
/// # Errors
/// As [`render_check`].
pub fn render_predicate(expr: &Expr, scope: &dyn Scope) -> Result<String, String> {
    node::Renderer { scope }.truth(expr)
}

/// Renders the expression of a generated column of the type `ty`.
///
/// # Errors
/// As [`render`]; also if the expression has another type than the column.
pub fn render_generated(expr: &Expr, ty: Ty, scope: &dyn Scope) -> Result<String, String> {
    let value = node::Renderer { scope }.value(expr)?;
    match (value.ty, ty) {
        (None, _) => Ok(value.text),
        (Some(Ty::Text { .. }), Ty::Text { .. }) => Ok(value.text),
        (Some(have), want) if have == want => Ok(value.text),
        (Some(Ty::Bool), Ty::Int) => Ok(format!("({})::int", value.text)),
        (Some(have), want) => Err(format!("the expression is {have} and its column is {want}")),
    }
}

impl std::fmt::Display for Ty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Float => "a floating point number",
            Self::Numeric => "a numeric",
            Self::Text { .. } => "text",
            Self::Bytes => "bytes",
            Self::Uuid => "a uuid",
            Self::Date => "a date",
            Self::Time => "a time",
            Self::Timestamp | Self::TimestampTz => "a timestamp",
            Self::Json => "JSON",
            Self::Other => "of a type of the target's own",
        })
    }
}
