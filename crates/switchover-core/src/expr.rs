//! A neutral expression: what a CHECK, a default, a generated column, an index or a view's
//! predicate says, free of any store's syntax.
//!
//! A connector parses its dialect into this tree, another renders it into its own. Anything that
//! a connector does not understand exactly becomes [`Expr::Opaque`] with the reason, which no
//! renderer translates: it is listed in the plan, never approximated.

use serde::{Deserialize, Serialize};

/// An expression of the source's dialect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// NULL.
    Null,
    /// An integer literal.
    Int(i64),
    /// A floating point literal.
    Float(f64),
    /// A string literal.
    Text(String),
    /// A blob literal.
    Blob(Vec<u8>),
    /// A boolean literal (TRUE or FALSE; the number 1 or 0 in SQLite).
    Bool(bool),
    /// A column of the table that the expression belongs to.
    Column(String),
    /// A column of one of a view's tables: the name that the table has in the view, the column.
    Qualified(String, String),
    /// The present time as a keyword.
    Now(NowKind),
    /// A prefix operator.
    Unary(UnaryOp, Box<Expr>),
    /// An infix operator.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `IS NULL`, or with `true` `IS NOT NULL`.
    IsNull(Box<Expr>, bool),
    /// `IN (…)`, or with `true` `NOT IN (…)`.
    In(Box<Expr>, Vec<Expr>, bool),
    /// `BETWEEN low AND high`, or with `true` `NOT BETWEEN`.
    Between(Box<Expr>, Box<Expr>, Box<Expr>, bool),
    /// `LIKE pattern [ESCAPE c]` as SQLite means it (ASCII letters match in either case).
    Like(Box<Expr>, Box<Expr>, Option<Box<Expr>>, bool),
    /// `GLOB pattern`.
    Glob(Box<Expr>, Box<Expr>, bool),
    /// `CASE [operand] WHEN … THEN … ELSE … END`.
    Case(Option<Box<Expr>>, Vec<(Expr, Expr)>, Option<Box<Expr>>),
    /// `CAST(x AS type)`, the type as declared.
    Cast(Box<Expr>, String),
    /// A function call, the name in lower case.
    Call(String, Vec<Expr>),
    /// `x COLLATE name`, the name in upper case.
    Collate(Box<Expr>, String),
    /// Something that is not understood exactly, as written, with the reason.
    Opaque(String, String),
}

/// Functions that give NULL where an argument is NULL (sqlite.org/lang_corefunc.html, json1.html).
const NULL_IN_NULL_OUT: [&str; 14] = [
    "abs",
    "hex",
    "instr",
    "json_valid",
    "length",
    "lower",
    "ltrim",
    "octet_length",
    "replace",
    "round",
    "rtrim",
    "substr",
    "trim",
    "upper",
];

impl Expr {
    /// The columns whose NULL may make a condition false that their values make true. Where NULL in means NULL out, as in all
    /// comparisons, computations and most functions, NULL in the place of a value makes it unknown at most.
    pub fn tells_null(&self) -> Vec<String> {
        let mut named = Vec::new();
        self.visit(&mut |part| {
            let tells = match part {
                Expr::IsNull(..) | Expr::Case(..) => true,
                Expr::Binary(op, ..) => matches!(op, BinaryOp::Is | BinaryOp::IsNot),
                Expr::Call(name, _) => !NULL_IN_NULL_OUT.contains(&name.as_str()),
                _ => false,
            };
            if tells {
                part.visit(&mut |inner| match inner {
                    Expr::Column(name) | Expr::Qualified(_, name) => named.push(name.clone()),
                    _ => {}
                });
            }
        });
        named
    }

    /// Calls for it and for each part of it.
    pub fn visit(&self, seen: &mut dyn FnMut(&Expr)) {
        seen(self);
        match self {
            Expr::Column(_)
            | Expr::Qualified(..)
            | Expr::Null
            | Expr::Int(_)
            | Expr::Float(_)
            | Expr::Text(_)
            | Expr::Blob(_)
            | Expr::Bool(_)
            | Expr::Now(_)
            | Expr::Opaque(..) => {}
            Expr::Unary(_, a) | Expr::IsNull(a, _) | Expr::Cast(a, _) | Expr::Collate(a, _) => a.visit(seen),
            Expr::Binary(_, a, b) | Expr::Glob(a, b, _) => [a, b].into_iter().for_each(|e| e.visit(seen)),
            Expr::In(a, list, _) => std::iter::once(&**a).chain(list).for_each(|e| e.visit(seen)),
            Expr::Between(a, b, c, _) => [a, b, c].into_iter().for_each(|e| e.visit(seen)),
            Expr::Like(a, b, escape, _) => {
                [a, b].into_iter().chain(escape).for_each(|e| e.visit(seen));
            }
            Expr::Case(operand, arms, otherwise) => {
                operand.iter().chain(otherwise).for_each(|e| e.visit(seen));
                arms.iter().for_each(|(when, then)| {
                    when.visit(seen);
                    then.visit(seen);
                });
            }
            Expr::Call(_, arguments) => arguments.iter().for_each(|e| e.visit(seen)),
        }
    }

    /// Appends the columns that it names, each as often as it does.
    pub fn columns(&self, out: &mut Vec<String>) {
        self.visit(&mut |part| match part {
            Expr::Column(name) | Expr::Qualified(_, name) => out.push(name.clone()),
            _ => {}
        });
    }
}

/// The present, as SQL keywords name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NowKind {
    /// CURRENT_TIMESTAMP.
    Timestamp,
    /// CURRENT_DATE.
    Date,
    /// CURRENT_TIME.
    Time,
}

/// A prefix operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnaryOp {
    /// `-x`
    Minus,
    /// `+x`
    Plus,
    /// `NOT x`
    Not,
    /// `~x`
    BitNot,
}

/// An infix operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryOp {
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `=` and `==`
    Eq,
    /// `<>` and `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `IS` (null-safe equality)
    Is,
    /// `IS NOT`
    IsNot,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Rem,
    /// `||`
    Concat,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `<<`
    Shl,
    /// `>>`
    Shr,
    /// `->`
    JsonGet,
    /// `->>`
    JsonGetText,
}

/// How SQLite converts a value that meets a column of a declared type, on the way into the column
/// and into a comparison with it. A renderer needs it to know that `code = '10'` compares text with
/// text only where the column does not turn '10' into the number 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Affinity {
    /// Numbers become text.
    Text,
    /// Text that looks like a number becomes one; a real with an integral value becomes an integer.
    Numeric,
    /// As [`Affinity::Numeric`]; they differ only in a CAST.
    Integer,
    /// As [`Affinity::Numeric`], and integers become reals.
    Real,
    /// Nothing is converted: BLOB, or no declared type, or ANY in a STRICT table.
    Blob,
}

impl Affinity {
    /// The affinity of a declared type outside STRICT tables: SQLite's five substring rules, in
    /// their order.
    #[must_use]
    pub fn of_declared(declared: &str) -> Self {
        let upper = declared.to_ascii_uppercase();
        let has = |part: &str| upper.contains(part);
        if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if upper.trim().is_empty() || has("BLOB") {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// True where text that looks like a number is turned into the number.
    #[must_use]
    pub fn is_numeric(self) -> bool {
        match self {
            Self::Numeric | Self::Integer | Self::Real => true,
            Self::Text | Self::Blob => false,
        }
    }
}
