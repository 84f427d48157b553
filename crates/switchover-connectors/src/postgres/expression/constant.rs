//! Literals.

use super::Ty;
use super::value::{Constant, Value};
use crate::postgres::quote;

/// An integer literal.
pub(super) fn int(n: i64) -> Value {
    let text = if n == i64::MIN {
        // The literal without its sign would be a numeric.
        format!("'{n}'::int8")
    } else if n < 0 {
        format!("({n})")
    } else {
        n.to_string()
    };
    let bound = i128::from(n);
    Value { constant: Some(Constant::Int(n)), ..Value::int(text, (bound, bound)) }
}

/// A floating point literal. The shortest decimal that reads back as the double is what Rust prints,
/// and PostgreSQL reads it as the same double.
pub(super) fn float(f: f64) -> Value {
    let text = if f == f64::INFINITY {
        "'Infinity'::float8".to_owned()
    } else if f == f64::NEG_INFINITY {
        "'-Infinity'::float8".to_owned()
    } else {
        format!("'{f:?}'::float8")
    };
    Value { constant: Some(Constant::Float(f)), ..Value::of(text, Ty::Float) }
}

/// A string literal.
pub(super) fn text(s: &str) -> Value {
    Value { constant: Some(Constant::Text(s.to_owned())), ..Value::text(quote::literal(s)) }
}

/// A floating point literal as a numeric, to compare with integers: `None` for an infinity.
///
/// Below 2^53 the shortest decimal lies on the same side of every integer as the double does;
/// from there on the double is an integer and is written in full.
pub(super) fn exact_numeric(f: f64) -> Option<String> {
    if !f.is_finite() {
        return None;
    }
    let digits = if f.abs() >= 9_007_199_254_740_992.0 { format!("{f:.0}") } else { format!("{f}") };
    Some(format!("({digits})::numeric"))
}

/// True if SQLite's numeric affinity may turn the text into a number.
pub(super) fn looks_numeric(text: &str) -> bool {
    text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}').parse::<f64>().is_ok()
}
