//! Identifiers and literals as SQLite's grammar takes them: the only place that quotes for SQLite.
//!
//! Every identifier is quoted, so that no keyword, space or quote inside a name matters. A NUL
//! cannot occur in an SQLite identifier; one that is passed in stays in the text, SQLite stops
//! reading there, and the unclosed quote makes the statement a syntax error, never another statement.
//! Values belong in bound parameters; [`literal`] is for DDL, where SQLite takes none.

/// The identifier in double quotes, with quotes doubled.
///
/// A quoted name that matches no column is a string literal to SQLite, so a statement built with a
/// name that the catalog does not hold reads as a constant: take names from the catalog only.
#[must_use]
pub fn ident(name: &str) -> String {
    wrap(name, '"')
}

/// A table of a schema (`main`, `temp`, or an attached name).
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// The text as a string literal, with quotes doubled. A backslash has no meaning to SQLite.
#[must_use]
pub fn literal(text: &str) -> String {
    wrap(text, '\'')
}

fn wrap(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        if c == quote {
            out.push(quote);
        }
        out.push(c);
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_come_back_as_they_were() {
        let db = rusqlite::Connection::open_in_memory().expect("in memory");
        for odd in ["a", "select", "two words", "a\"b", "it's", "[x]", "`", "\\", "é", ""] {
            let sql = format!("SELECT {} AS {}", literal(odd), ident(odd));
            let mut statement = db.prepare(&sql).expect(&sql);
            assert_eq!(statement.column_name(0).expect("one column"), odd);
            let value: String = statement.query_row([], |row| row.get(0)).expect(&sql);
            assert_eq!(value, odd);
        }
        assert_eq!(qualified("main", "a\"b"), "\"main\".\"a\"\"b\"");
    }

    #[test]
    fn a_nul_makes_an_error_and_no_other_statement() {
        let db = rusqlite::Connection::open_in_memory().expect("in memory");
        assert!(db.prepare(&format!("SELECT {}", literal("a\0b"))).is_err());
    }
}
