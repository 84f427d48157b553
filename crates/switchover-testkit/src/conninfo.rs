//! PostgreSQL's key=value connection strings: written and read.
//!
//! Invariant: `parse(write(pairs)) == pairs` for any text.
//! Absent on purpose: the URL form; the kit only writes that one.

use crate::{Error, Result};

/// The pairs as one string, quoted where needed.
pub(crate) fn write(pairs: &[(&str, &str)]) -> String {
    let written: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", quote(value))).collect();
    written.join(" ")
}

/// A value, quoted only where it must be.
fn quote(value: &str) -> String {
    let plain = !value.is_empty() && value.chars().all(|c| !c.is_whitespace() && c != '\'' && c != '\\');
    if plain {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The pairs of a string.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let bad = |detail: &str| Error::new("not a key=value connection string", format!("{detail} in `{text}`"));
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(|| bad("no `=`"))?;
        let (value, after) =
            parse_value(after.trim_start()).ok_or_else(|| bad("a quote that does not end"))?;
        pairs.push((key.trim().to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// One value and what follows it.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Some((value, &text[at..])),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    //! The round trip.

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let pairs =
            [("host", "/tmp/a b"), ("password", r"it's a \ trap"), ("dbname", ""), ("user", "postgres")];
        let read = parse(&write(&pairs)).expect("what we wrote");
        let read: Vec<(&str, &str)> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read, pairs);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(parse("host").is_err());
        assert!(parse("host='x").is_err());
    }
}
