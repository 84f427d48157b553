//! Expressions that the user wrote: each must be one expression, over one table, that gives the same
//! value whenever it is asked.
//!
//! The text is trusted as SQL to read the source with, which is opened read-only; what is checked
//! here is that it is what it is taken for. It is read as tokens, because a bracket or a comment left
//! open would swallow what stands behind it, and then prepared by SQLite in a place that takes a
//! single expression and no aggregate. A double-quoted name that is no column is an error there,
//! not a text. Invariant: nothing is evaluated.
//!
//! A date function whose text is `now` only in the data is not found here; the copy and the
//! verification read such a value at two times, and the verification then says that it differs.

use super::error::classify;
use super::quote::qualified;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::path::Path;
use switchover_core::relation::{Cell, CellFrom, Fragment, Part};
use switchover_core::{Error, Result};

/// Functions and keywords that give another value each time.
const UNREPEATABLE: [&str; 9] = [
    "random",
    "randomblob",
    "changes",
    "total_changes",
    "last_insert_rowid",
    "current_date",
    "current_time",
    "current_timestamp",
    "load_extension",
];

/// Functions that mean the present when they are told so, or told nothing, with the arguments that
/// stand before the time.
const TIMES: [(&str, usize); 7] = [
    ("date", 0),
    ("time", 0),
    ("datetime", 0),
    ("julianday", 0),
    ("unixepoch", 0),
    ("strftime", 1),
    ("timediff", 0),
];

/// Words that make a time depend on the machine.
const MOVING: [&str; 3] = ["now", "localtime", "utc"];

/// Checks all expressions of a part.
pub(super) fn check(connection: &Connection, path: &Path, part: &Part, columns: &[String]) -> Result<()> {
    for fragment in part.fragments() {
        let tokens = tokens(&fragment.text).map_err(|why| not_one(fragment, &why))?;
        one_expression(&tokens).map_err(|why| not_one(fragment, &why))?;
        repeatable(&tokens).map_err(|why| {
            fragment.error(why).hint(
                "what is read must be the same at every look, or it cannot be verified; write a constant",
            )
        })?;
        prepares(connection, path, part, fragment, &tokens, columns)?;
    }
    Ok(())
}

/// A column of the mapping's own that an expression which SQLite does not take names: none can wait for
/// another, so no two can wait for each other.
fn names_computed(tokens: &[Token<'_>], part: &Part, columns: &[String]) -> Option<String> {
    let computed = |name: &str| {
        let made =
            |cell: &Cell| matches!(cell.from, CellFrom::Computed(_)) && cell.name.eq_ignore_ascii_case(name);
        part.cells.iter().any(made) && !columns.iter().any(|column| column.eq_ignore_ascii_case(name))
    };
    tokens.iter().enumerate().find_map(|(at, token)| match token {
        // A name before a bracket is a function's, and one behind a point another table's.
        Token::Word(word) if computed(word) => {
            let called = tokens.get(at + 1) == Some(&Token::Other('('));
            let qualified = at > 0 && tokens[at - 1] == Token::Other('.');
            (!called && !qualified).then(|| (*word).to_owned())
        }
        _ => None,
    })
}

fn not_one(fragment: &Fragment, why: &str) -> Error {
    fragment.error(format!("it is not one expression: {why}")).hint(
        "write what could stand behind SELECT or WHERE, such as \"deleted_at IS NULL\" or \"first || ' ' || last\"",
    )
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(String),
    Other(char),
}

fn tokens(text: &str) -> std::result::Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
        let taken = match first {
            c if c.is_whitespace() => c.len_utf8(),
            '\'' | '"' | '`' => {
                let end = closing(rest, first).ok_or_else(|| format!("a {first} is not closed"))?;
                let inner = &rest[1..end - 1];
                // A quoted word is a name, but SQLite may take it for a text.
                tokens.push(Token::Text(inner.replace(&format!("{first}{first}"), &first.to_string())));
                end
            }
            '[' => {
                let end = rest.find(']').ok_or("a [ is not closed")?;
                tokens.push(Token::Text(rest[1..end].to_owned()));
                end + 1
            }
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").ok_or("a comment is not closed")? + 2,
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(&rest[..end]));
                end
            }
            c => {
                tokens.push(Token::Other(c));
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Ok(tokens)
}

/// The byte behind the quote that closes the one at the start; a doubled one is part of the text.
pub(super) fn closing(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text[at..].find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

fn one_expression(tokens: &[Token<'_>]) -> std::result::Result<(), String> {
    if tokens.is_empty() {
        return Err("it is empty".into());
    }
    let mut depth = 0_usize;
    for token in tokens {
        match token {
            Token::Other('(') => depth += 1,
            Token::Other(')') => depth = depth.checked_sub(1).ok_or("a ) closes nothing")?,
            Token::Other(';') => return Err("a ; ends a statement".into()),
            Token::Other('\0') => return Err("it holds a NUL character".into()),
            Token::Other(mark @ ('?' | '@' | ':')) => {
                return Err(format!("{mark} is a parameter, and none is given"));
            }
            Token::Other(',') if depth == 0 => return Err("a comma parts two expressions".into()),
            _ => {}
        }
    }
    if depth > 0 { Err("a ( is not closed".into()) } else { Ok(()) }
}

fn repeatable(tokens: &[Token<'_>]) -> std::result::Result<(), String> {
    for (at, token) in tokens.iter().enumerate() {
        let name = match token {
            Token::Word(word) => (*word).to_ascii_lowercase(),
            Token::Text(name) => name.to_ascii_lowercase(),
            Token::Other(_) => continue,
        };
        let called = tokens.get(at + 1) == Some(&Token::Other('('));
        let keyword = matches!(token, Token::Word(_)) && name.starts_with("current_");
        if (called || keyword) && UNREPEATABLE.contains(&name.as_str()) {
            return Err(format!("{name} gives another value each time"));
        }
        let Some((_, before)) = TIMES.iter().find(|(time, _)| called && *time == name) else { continue };
        let arguments = arguments(&tokens[at + 2..]);
        if arguments.len() <= *before {
            return Err(format!("{name} without a time means the present"));
        }
        let moving = arguments.iter().flat_map(|argument| argument.iter()).find_map(|token| match token {
            Token::Text(text) => MOVING.into_iter().find(|word| text.trim().eq_ignore_ascii_case(word)),
            Token::Word(_) | Token::Other(_) => None,
        });
        if let Some(word) = moving {
            return Err(format!("{name} with '{word}' gives another value at another time or place"));
        }
    }
    Ok(())
}

/// The arguments of a call whose bracket has just been opened.
fn arguments<'a, 't>(tokens: &'a [Token<'t>]) -> Vec<&'a [Token<'t>]> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Other('(') => depth += 1,
            Token::Other(')') if depth == 0 => {
                if at > start {
                    found.push(&tokens[start..at]);
                }
                return found;
            }
            Token::Other(')') => depth -= 1,
            Token::Other(',') if depth == 0 => {
                found.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// Lets SQLite prepare it where it takes one expression and no aggregate.
fn prepares(
    connection: &Connection,
    path: &Path,
    part: &Part,
    fragment: &Fragment,
    tokens: &[Token<'_>],
    columns: &[String],
) -> Result<()> {
    let fail = |error| classify(error, "prepare an expression of the mapping", path);
    let sql =
        format!("SELECT 1 FROM {} WHERE ({}\n) IS NOT NULL", qualified("main", &part.table), fragment.text);
    match is_taken(connection, &sql).map_err(fail)? {
        Ok(()) => Ok(()),
        Err(rusqlite::Error::SqlInputError { msg, .. }) => {
            let why = match names_computed(tokens, part, columns) {
                Some(name) => format!("it uses '{name}', which the mapping computes itself"),
                None => format!("SQLite does not take it over the table '{}': {msg}", part.table),
            };
            let hint = format!("an expression sees the source's own columns: {}", columns.join(", "));
            Err(fragment.error(why).hint(hint))
        }
        Err(error) => Err(fail(error)),
    }
}

/// Whether SQLite prepares a query where a quoted name that is no column does not become a text; the inner error says why it does not.
pub(super) fn is_taken(connection: &Connection, sql: &str) -> rusqlite::Result<rusqlite::Result<()>> {
    let before = connection.db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    let prepared = connection.prepare(sql).map(drop);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, before)?;
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]
    use super::*;
    use switchover_core::schema::Locator;

    fn verdict(text: &str) -> String {
        let source = Connection::open_in_memory().expect("in memory");
        source
            .execute_batch("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, \"it's\" BLOB)")
            .expect("a table");
        let fragment = Fragment { text: text.into(), key: "k".into(), place: String::new() };
        let cells = vec![Cell { name: "x".into(), from: CellFrom::Computed(fragment) }];
        let part = Part { table: "t".into(), locator: Locator::RowId("a".into()), filter: None, cells };
        match check(&source, Path::new("x"), &part, &["a".into(), "b".into()]) {
            Ok(()) => "taken".into(),
            Err(error) => error.why().split_once("\": ").map_or("", |(_, why)| why).to_owned(),
        }
    }

    #[test]
    fn one_repeatable_expression_is_taken() {
        for text in [
            "a + 1",
            "b || ' -- ; ' || \"it's\"",
            "a -- a comment",
            "(SELECT max(o.a) FROM t o WHERE o.b = t.b)",
            "datetime(b)",
            "strftime('%Y', b)",
            "coalesce(b, 'now')",
            "CASE a WHEN 1 THEN 'x''y' ELSE [b] END",
            "b IN ('a', 'b') /* , */",
            "json_extract(b, '$.a:b')",
        ] {
            assert_eq!(verdict(text), "taken", "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (text, why) in [
            ("", "it is empty"),
            ("-- nothing", "it is empty"),
            ("a; DELETE FROM t", "a ; ends a statement"),
            ("a) OR (1", "a ) closes nothing"),
            ("(a", "a ( is not closed"),
            ("'a", "a ' is not closed"),
            ("a /* b", "a comment is not closed"),
            ("a, b", "a comma parts two expressions"),
            ("a = ?", "a parameter"),
            ("random()", "another value each time"),
            ("\"random\" ()", "another value each time"),
            ("CURRENT_TIMESTAMP", "another value each time"),
            ("datetime('now', '-1 day')", "datetime with 'now'"),
            ("date(b, 'LocalTime')", "date with 'localtime'"),
            ("unixepoch()", "without a time"),
            ("strftime('%s')", "without a time"),
            ("c + 1", "no such column: c"),
            ("\"c\"", "no such column"),
            ("count(*)", "misuse of aggregate"),
            ("row_number() OVER ()", "misuse of window function"),
            ("a AS c", "syntax error"),
            ("nosuch(a)", "no such function"),
            ("DELETE FROM t", "syntax error"),
        ] {
            assert!(verdict(text).contains(why), "{text}: {}", verdict(text));
        }
    }
}
