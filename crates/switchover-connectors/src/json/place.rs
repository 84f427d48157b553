//! Places in a JSON text, and the errors that name them.
//!
//! A place is a line and a column, both from 1, the column counted in bytes, and a JSON path with list
//! positions from 0, as tools for JSON paths have it: `line 3, column 14, $.users[2]`.

use std::fmt;
use switchover_core::{Error, Kind};

/// What is being done when a place matters.
pub(super) const OPERATION: &str = "read the JSON source";

/// A line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Place {
    /// The place of what stands `offset` bytes behind this one in `text`, which begins here.
    pub(super) fn behind(self, text: &[u8], offset: usize) -> Place {
        let before = &text[..offset.min(text.len())];
        match memchr::memrchr(b'\n', before) {
            None => Place { line: self.line, column: self.column + before.len() as u64 },
            Some(last) => Place {
                line: self.line + memchr::memchr_iter(b'\n', before).count() as u64,
                column: (before.len() - last) as u64,
            },
        }
    }

    /// The place that a parser of the text which begins here calls `line` and `column`.
    pub(super) fn relative(self, line: usize, column: usize) -> Place {
        match line {
            0 | 1 => Place { line: self.line, column: self.column + (column as u64).saturating_sub(1) },
            _ => Place { line: self.line + line as u64 - 1, column: (column as u64).max(1) },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A member's name behind a path.
pub(super) fn member(path: &str, name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("{path}.{name}")
    } else {
        format!("{path}[{name:?}]")
    }
}

/// A text that is no JSON, or none of the shape that a dump has.
pub(super) fn malformed(place: Place, path: &str, why: impl fmt::Display) -> Error {
    Error::new(Kind::Corrupt, OPERATION)
        .detail(format!("{place}, {path}: {why}"))
        .hint("mend the file at that place, or have it written again; nothing was changed on the target")
}

/// A text that is JSON, and says something that cannot be carried over.
pub(super) fn refused(place: Place, path: &str, why: impl fmt::Display, hint: &str) -> Error {
    Error::new(Kind::Refused, OPERATION).detail(format!("{place}, {path}: {why}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_from_one() {
        let here = Place { line: 3, column: 5 };
        assert_eq!(here.behind(b"{\"a\":\n 1}", 2), Place { line: 3, column: 7 });
        assert_eq!(here.behind(b"{\"a\":\n 1}", 7), Place { line: 4, column: 2 });
        assert_eq!(here.relative(1, 1), here);
        assert_eq!(here.relative(2, 4), Place { line: 4, column: 4 });
        assert_eq!(member("$", "users"), "$.users");
        assert_eq!(member("$.users", "a \"b"), r#"$.users["a \"b"]"#);
    }
}
