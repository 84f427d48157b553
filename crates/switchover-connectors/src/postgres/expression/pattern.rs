//! LIKE and GLOB.
//!
//! SQLite's LIKE folds ASCII letters in both the text and the pattern, so the same LIKE over both in
//! lower case (under "C", which folds ASCII only) matches the same texts. This holds unless the
//! application sets `PRAGMA case_sensitive_like`, which is no part of the schema. GLOB is
//! case-sensitive; without brackets it is a LIKE, with simple ones a regular expression. Only
//! constant patterns are translated.

use switchover_core::expr::Expr;

use super::value::Value;
use crate::postgres::quote;

fn subject<'a>(x: &'a Value, operator: &str) -> Result<&'a str, String> {
    if x.is_text() { Ok(&x.text) } else { Err(format!("{operator} on {} is not translated", x.describe())) }
}

/// `x LIKE pattern ESCAPE c`.
pub(super) fn like(x: &Value, pattern: &Expr, escape: Option<&Expr>, not: bool) -> Result<Value, String> {
    let text = subject(x, "LIKE")?;
    let Expr::Text(pattern) = pattern else {
        return Err("LIKE with a pattern that is no constant text is not translated".to_owned());
    };
    let escape = match escape {
        None => None,
        Some(Expr::Text(c)) => {
            let mut chars = c.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) if !c.is_ascii_alphanumeric() && c != '%' && c != '_' => Some(c),
                _ => return Err("LIKE with an ESCAPE that is a letter, % or _ is not translated".to_owned()),
            }
        }
        Some(_) => return Err("LIKE with an ESCAPE that is no constant is not translated".to_owned()),
    };
    if let Some(c) = escape
        && ends_escaping(pattern, c)
    {
        return Err("LIKE with a pattern that ends in its ESCAPE is not translated".to_owned());
    }
    let folds = pattern.bytes().any(|b| b.is_ascii_alphabetic());
    let text = if folds { format!("lower({text} COLLATE \"C\")") } else { format!("{text} COLLATE \"C\"") };
    let escape = escape.map(String::from).unwrap_or_default();
    Ok(Value::bool(format!(
        "({text} {}LIKE {} ESCAPE {})",
        if not { "NOT " } else { "" },
        quote::literal(&pattern.to_ascii_lowercase()),
        quote::literal(&escape)
    )))
}

fn ends_escaping(pattern: &str, escape: char) -> bool {
    let mut escaped = false;
    for c in pattern.chars() {
        escaped = !escaped && c == escape;
    }
    escaped
}

/// `x GLOB pattern`.
pub(super) fn glob(x: &Value, pattern: &Expr, not: bool) -> Result<Value, String> {
    let text = subject(x, "GLOB")?;
    let Expr::Text(pattern) = pattern else {
        return Err("GLOB with a pattern that is no constant text is not translated".to_owned());
    };
    let not_word = if not { "NOT " } else { "" };
    if !pattern.contains('[') {
        let mut like = String::with_capacity(pattern.len() + 4);
        for c in pattern.chars() {
            match c {
                '*' => like.push('%'),
                '?' => like.push('_'),
                '%' | '_' | '!' => like.extend(['!', c]),
                other => like.push(other),
            }
        }
        return Ok(Value::bool(format!(
            "({text} COLLATE \"C\" {not_word}LIKE {} ESCAPE '!')",
            quote::literal(&like)
        )));
    }
    let regex = regex(pattern)
        .ok_or_else(|| format!("the GLOB pattern {pattern} holds a set that is not translated"))?;
    let operator = if not { "!~" } else { "~" };
    Ok(Value::bool(format!("({text} COLLATE \"C\" {operator} {})", quote::literal(&regex))))
}

/// The regular expression of a GLOB pattern. Sets of ASCII letters, digits, ranges of these, and a
/// few signs without a meaning of their own are taken; a set of anything else is not.
fn regex(pattern: &str) -> Option<String> {
    let mut out = "^".to_owned();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => set(&mut chars, &mut out)?,
            c if c.is_ascii_alphanumeric() || !c.is_ascii() || matches!(c, ' ' | '_') => out.push(c),
            c if c.is_ascii_punctuation() => out.extend(['\\', c]),
            _ => return None,
        }
    }
    out.push('$');
    Some(out)
}

fn set(chars: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    let (body, rest) = chars.as_str().split_once(']')?;
    *chars = rest.chars();
    let inner = body.strip_prefix('^').unwrap_or(body);
    let items: Vec<char> = inner.chars().collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ' ' | ',' | '@' | '/' | '+');
    let mut at = 0;
    while let Some(&low) = items.get(at) {
        match (items.get(at + 1), items.get(at + 2)) {
            (Some('-'), Some(&high)) => {
                let alike = [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase]
                    .iter()
                    .any(|kind| [low, high].iter().all(|c| u8::try_from(*c).is_ok_and(|b| kind(&b))));
                if !alike || low > high {
                    return None;
                }
                at += 3;
            }
            _ if plain(low) => at += 1,
            _ => return None,
        }
    }
    if items.is_empty() {
        return None;
    }
    out.push('[');
    out.push_str(body);
    out.push(']');
    Some(())
}
