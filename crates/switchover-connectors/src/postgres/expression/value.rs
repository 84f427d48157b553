//! What the renderer knows of a part that it has rendered.

use switchover_core::expr::Affinity;

use super::{ColumnRef, Ty};
use crate::postgres::quote;

/// Integers up to here are exact as doubles, and doubles beyond it are all integers.
pub(super) const EXACT_INT_MAX: i128 = 1 << 53;

/// The range of a 64-bit integer.
pub(super) const INT64: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);

/// A collation of SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coll {
    /// Bytes.
    Binary,
    /// Bytes, ASCII letters folded.
    Nocase,
    /// Bytes, trailing spaces ignored.
    Rtrim,
}

impl Coll {
    /// The collation of a name in upper case.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        match name {
            "BINARY" => Ok(Self::Binary),
            "NOCASE" => Ok(Self::Nocase),
            "RTRIM" => Ok(Self::Rtrim),
            other => Err(format!("the collation {other} means what the application registers for it")),
        }
    }

    /// The text that compares bytewise as the value compares under this collation. A constant is
    /// folded here: PostgreSQL plans the expression of a generated column before it has resolved
    /// collations, and refuses a function of a constant alone.
    pub(super) fn key(self, value: &Value) -> String {
        match (self, &value.constant) {
            (Self::Binary, _) => value.text.clone(),
            (Self::Nocase, Some(Constant::Text(s))) => quote::literal(&s.to_ascii_lowercase()),
            (Self::Rtrim, Some(Constant::Text(s))) => quote::literal(s.trim_end_matches(' ')),
            (Self::Nocase, _) => format!("lower({} COLLATE \"C\")", value.text),
            (Self::Rtrim, _) => format!("rtrim({}, ' ')", value.text),
        }
    }
}

/// A constant, where the renderer looks into it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    /// An integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// A text.
    Text(String),
}

/// A rendered part.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// PostgreSQL text, a single term.
    pub(super) text: String,
    /// Its type; `None` for NULL.
    pub(super) ty: Option<Ty>,
    /// What SQLite applies to the other side of a comparison; `None` for most expressions.
    pub(super) affinity: Option<Affinity>,
    /// An explicit COLLATE.
    pub(super) explicit: Option<Coll>,
    /// The collation of a column.
    pub(super) implicit: Option<Coll>,
    /// The constant that it is.
    pub(super) constant: Option<Constant>,
    /// The least and greatest integer that it can be.
    pub(super) bounds: (i128, i128),
    /// The text is `numeric` and may exceed 64 bits; see the module's decisions.
    pub(super) wide: bool,
}

impl Value {
    /// An expression without affinity, collation or constant.
    pub(super) fn of(text: String, ty: Ty) -> Self {
        Self {
            text,
            ty: Some(ty),
            affinity: None,
            explicit: None,
            implicit: None,
            constant: None,
            bounds: if ty == Ty::Bool { (0, 1) } else { INT64 },
            wide: false,
        }
    }

    /// A boolean.
    pub(super) fn bool(text: String) -> Self {
        Self::of(text, Ty::Bool)
    }

    /// Text.
    pub(super) fn text(text: String) -> Self {
        Self::of(text, Ty::Text { nocase: false })
    }

    /// An integer within bounds.
    pub(super) fn int(text: String, bounds: (i128, i128)) -> Self {
        Self { bounds, ..Self::of(text, Ty::Int) }
    }

    /// NULL.
    pub(super) fn null() -> Self {
        Self { ty: None, ..Self::of("NULL".to_owned(), Ty::Other) }
    }

    /// A column, if its cells are what its type says and mean the same in both stores.
    pub(super) fn column(column: ColumnRef) -> Result<Self, String> {
        let ColumnRef { quoted, ty, affinity } = column;
        let stored_as_text = affinity == Affinity::Text;
        match ty {
            Ty::Bool | Ty::Float | Ty::Numeric if stored_as_text => {
                return Err(format!("the column {quoted} holds text in SQLite and {ty} in PostgreSQL"));
            }
            Ty::Int if stored_as_text || affinity == Affinity::Real => {
                return Err(format!(
                    "the column {quoted} holds no integers in SQLite and does in PostgreSQL"
                ));
            }
            Ty::Bool | Ty::Int | Ty::Float | Ty::Numeric | Ty::Text { .. } | Ty::Bytes => {}
            Ty::Uuid | Ty::Date | Ty::Time | Ty::Timestamp | Ty::TimestampTz | Ty::Json | Ty::Other => {
                return Err(format!("the column {quoted} is {ty} in PostgreSQL and another value in SQLite"));
            }
        }
        let implicit = match ty {
            Ty::Text { nocase: true } => Some(Coll::Nocase),
            Ty::Text { nocase: false } => Some(Coll::Binary),
            _ => None,
        };
        Ok(Self { affinity: Some(affinity), implicit, ..Self::of(quoted, ty) })
    }

    /// True for text of either collation.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.ty, Some(Ty::Text { .. }))
    }

    /// True if it is an integer, and no wider than 64 bits.
    pub(super) fn is_int(&self) -> bool {
        self.ty == Some(Ty::Int) && !self.wide
    }

    /// True if every value is an integer that a double holds.
    pub(super) fn is_small(&self) -> bool {
        -EXACT_INT_MAX <= self.bounds.0 && self.bounds.1 <= EXACT_INT_MAX && !self.wide
    }

    /// The type, for a message.
    pub(super) fn describe(&self) -> String {
        self.ty.map_or_else(|| "NULL".to_owned(), |ty| ty.to_string())
    }

    /// The text as bigint, so that no operand's own width matters.
    pub(super) fn int8(&self) -> String {
        if self.ty == Some(Ty::Bool) {
            format!("({})::int::int8", self.text)
        } else {
            format!("({})::int8", self.text)
        }
    }
}
