//! How a name was written, and what it says without its quotes.
//!
//! SQLite takes four kinds of quotes around a name, and the kind decides what a name that matches
//! nothing means: only a double-quoted one falls back to a string literal.

use sqlite3_parser::ast::{Id, Name};

/// The quotes around a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// None.
    Bare,
    /// `"x"`
    Double,
    /// `'x'`, `` `x` `` or `[x]`
    Other,
}

/// The text of a name or of a string literal without its quotes, and the kind of quotes.
pub(super) fn unquote(raw: &str) -> (String, Quoting) {
    let inner = |close: char| raw.get(1..).and_then(|rest| rest.strip_suffix(close));
    let doubled = |quote: char| {
        inner(quote).map(|text| {
            let mut twice = String::with_capacity(2);
            twice.push(quote);
            twice.push(quote);
            text.replace(&twice, &quote.to_string())
        })
    };
    let read = match raw.chars().next() {
        Some('"') => doubled('"').map(|text| (text, Quoting::Double)),
        Some('\'') => doubled('\'').map(|text| (text, Quoting::Other)),
        Some('`') => doubled('`').map(|text| (text, Quoting::Other)),
        Some('[') => inner(']').map(|text| (text.to_owned(), Quoting::Other)),
        Some(_) | None => None,
    };
    read.unwrap_or_else(|| (raw.to_owned(), Quoting::Bare))
}

/// The text of a name.
pub(super) fn plain(name: &Name<'_>) -> String {
    unquote(name.0).0
}

/// The text of an identifier.
pub(super) fn plain_id(id: &Id<'_>) -> String {
    unquote(id.0).0
}

/// The name of a collation, as SQLite compares it.
pub(super) fn collation(raw: &str) -> String {
    unquote(raw).0.to_ascii_uppercase()
}
