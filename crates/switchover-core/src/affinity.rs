//! What a column's affinity does to a value that is stored in it: SQLite's rules, so that a plan knows
//! beforehand which values would not come back as they were.
//!
//! A value that one version of SQLite has stored under an affinity is never changed by the same affinity and version
//! again. What comes from elsewhere (a virtual table, another store) may be, and so may a text with a NUL: up to
//! 3.40 at least it is no number, in 3.54 what stands before the NUL counts (both were tried). Absent: STRICT tables, which
//! refuse instead of changing, and therefore loudly.

use crate::expr::Affinity;
use crate::value::Value;

/// Integers below this magnitude are what an integral real becomes: 2^63.
pub(crate) const INTEGER_BOUND: f64 = 9_223_372_036_854_775_808.0;

impl Affinity {
    /// How a column of this affinity would change the value; `None` when it holds it as it is.
    #[inline]
    #[must_use]
    pub fn changes(self, value: Value<'_>) -> Option<&'static str> {
        match (self, value) {
            (_, Value::Float(f)) if f.is_nan() => Some("no number (NaN), which SQLite keeps as NULL"),
            (Affinity::Text, Value::Int(_) | Value::Float(_)) => {
                Some("a number, which a column of text affinity turns into text")
            }
            (Affinity::Real, Value::Int(_)) => Some("an integer, which a column of reals turns into a real"),
            (Affinity::Real, Value::Float(f)) if is_negative_zero(f) => {
                Some("the negative zero, which a column of reals turns into 0.0")
            }
            (Affinity::Integer | Affinity::Numeric, Value::Float(f)) if is_integral(f) => {
                Some("a real without a fraction, which a column of numbers turns into an integer")
            }
            (Affinity::Integer | Affinity::Numeric | Affinity::Real, Value::Text(text))
                if is_number(text) =>
            {
                Some("a text that looks like a number, which a column of numbers turns into one")
            }
            _ => None,
        }
    }
}

/// Whether the bits are those of -0.0.
#[inline]
pub(crate) fn is_negative_zero(f: f64) -> bool {
    f.to_bits() == (-0.0f64).to_bits()
}

/// Whether a column of numbers would keep the real as an integer.
#[inline]
pub(crate) fn is_integral(f: f64) -> bool {
    f.abs() < INTEGER_BOUND && f.trunc() == f
}

/// Whether the text is a well-formed number to SQLite: blanks around it, a sign, digits with at most
/// one point, an exponent. Hexadecimal is none. What stands behind a NUL does not count.
#[inline]
pub(crate) fn is_number(text: &[u8]) -> bool {
    let blank = |byte: &u8| matches!(byte, b' ' | 0x09..=0x0d);
    let text = memchr::memchr(0, text).map_or(text, |end| &text[..end]);
    let Some(start) = text.iter().position(|byte| !blank(byte)) else { return false };
    // Most texts end here.
    if !matches!(text[start], b'0'..=b'9' | b'+' | b'-' | b'.') {
        return false;
    }
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    let mut rest = &text[start..end];
    if let [b'+' | b'-', after @ ..] = rest {
        rest = after;
    }
    let digits = |rest: &mut &[u8]| {
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *rest = &rest[count..];
        count
    };
    let mut count = digits(&mut rest);
    if let [b'.', after @ ..] = rest {
        rest = after;
        count += digits(&mut rest);
    }
    if count == 0 {
        return false;
    }
    if let [b'e' | b'E', after @ ..] = rest {
        rest = after;
        if let [b'+' | b'-', after @ ..] = rest {
            rest = after;
        }
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_texts() {
        for yes in
            ["1", " 12 ", "+.5", "5.", "-1e10", "\t3.25E-2\n", "007", "1\0", " 1 \0x", "1e5\0z", ".5\0."]
        {
            assert!(is_number(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            " ",
            ".",
            "1e",
            "0x10",
            "1 2",
            "12abc",
            "2009-01-01",
            "+",
            "1.2.3",
            "inf",
            "\x001",
            "1e\0",
            "1x\0",
            "-\0",
        ] {
            assert!(!is_number(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn what_would_change_is_named() {
        use Affinity::{Blob, Integer, Numeric, Real, Text};
        for (affinity, value) in [
            (Text, Value::Int(1)),
            (Real, Value::Int(1)),
            (Real, Value::Float(-0.0)),
            (Integer, Value::Float(2.0)),
            (Numeric, Value::Float(-0.0)),
            (Numeric, Value::Text(b"1e3")),
        ] {
            assert!(affinity.changes(value).is_some(), "{affinity:?} {value:?}");
        }
        for (affinity, value) in [
            (Text, Value::Text(b"1")),
            (Text, Value::Bytes(b"1")),
            (Real, Value::Float(0.0)),
            (Integer, Value::Float(1e300)),
            (Integer, Value::Float(0.5)),
            (Numeric, Value::Text(b"12abc")),
            (Blob, Value::Text(b"1")),
            (Blob, Value::Float(-0.0)),
        ] {
            assert!(affinity.changes(value).is_none(), "{affinity:?} {value:?}");
        }
    }
}
