//! Identifiers and literals as PostgreSQL's grammar takes them: the only place that quotes for
//! PostgreSQL.
//!
//! Every identifier is quoted, so that no case folding, keyword or space inside a name matters.
//! Names are not shortened here: the plan has already refused or mapped what exceeds 63 bytes.
//! PostgreSQL's protocol ends a statement at a NUL, so the driver refuses text that holds one: a
//! NUL that is passed in stays in the text and fails there, and is never dropped in silence.
//! Values belong in parameters or COPY; [`literal`] is for DDL, which takes none.

/// The identifier in double quotes, with quotes doubled.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An object of a schema.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// The text as a string literal. Text with a backslash is written as `E'…'` with the backslash
/// doubled, which reads the same whatever `standard_conforming_strings` says.
#[must_use]
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// The bytes as a bytea literal.
#[must_use]
pub fn bytes(value: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(value.len() * 2 + 13);
    out.push_str("'\\x");
    for byte in value {
        // Writing into a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out.push_str("'::bytea");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_and_backslashes_marked() {
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(ident("Select"), "\"Select\"");
        assert_eq!(qualified("public", "t"), "\"public\".\"t\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(literal(""), "''");
        assert_eq!(bytes(&[0, 255]), "'\\x00ff'::bytea");
        assert_eq!(bytes(&[]), "'\\x'::bytea");
    }
}
