//! Small readers for connection texts: percent-encoding, query strings, near matches.
//!
//! Invariant: no function here returns the text it was given inside an error, because a connection
//! text may hold a password anywhere its writer forgot to encode a character.
//! Absent: any knowledge of one store's parameters, which is the store's own `config`.

/// A name closer than this (Jaro-Winkler, 0 to 1) is offered as "did you mean"; below it, a hint misleads.
const NEAR_MATCH_MIN: f64 = 0.8;

/// A parameter name longer than this is not shown: no store has one, so it is probably not a name.
const SHOWN_NAME_CHARS_MAX: usize = 40;

/// Why a text could not be decoded; never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A `%` that two hexadecimal digits do not follow.
    Percent,
    /// Decoded bytes that are not UTF-8.
    NotUtf8,
    /// A decoded NUL.
    Nul,
    /// A query part without `=`.
    NoEquals,
}

impl Malformed {
    /// The sentence for the error's detail.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Malformed::Percent => "a '%' is not followed by two hexadecimal digits (write a real '%' as %25)",
            Malformed::NotUtf8 => "its percent-encoded bytes are not UTF-8",
            Malformed::Nul => "it holds an encoded NUL (%00)",
            Malformed::NoEquals => "a parameter after '?' has no '='",
        }
    }
}

/// Decodes `%XX`. With `plus_is_space`, `+` is a blank, as HTML forms (and SQLAlchemy's queries) have it.
pub(crate) fn percent_decode(text: &str, plus_is_space: bool) -> Result<String, Malformed> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_digit).ok_or(Malformed::Percent)?;
                let low = bytes.next().and_then(hex_digit).ok_or(Malformed::Percent)?;
                match high * 16 + low {
                    0 => return Err(Malformed::Nul),
                    decoded => out.push(decoded),
                }
            }
            b'+' if plus_is_space => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).map_err(|_| Malformed::NotUtf8)
}

/// Splits `a=1&b=2` and decodes names and values. Empty parts are skipped.
pub(crate) fn query_pairs(query: &str, plus_is_space: bool) -> Result<Vec<(String, String)>, Malformed> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or(Malformed::NoEquals)?;
            Ok((percent_decode(name, plus_is_space)?, percent_decode(value, plus_is_space)?))
        })
        .collect()
}

/// Encodes what is not unreserved in RFC 3986, so that the result can stand in any part of a URL.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The known name most like `given`, if one is like it.
pub(crate) fn near_match<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, name), name))
        .filter(|(likeness, _)| *likeness >= NEAR_MATCH_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name)
}

/// A parameter's name fit for a message: only if it looks like a name, for it may be part of a password.
pub(crate) fn shown_name(name: &str) -> Option<&str> {
    let fits = !name.is_empty()
        && name.len() <= SHOWN_NAME_CHARS_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    fits.then_some(name)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// A path as the URL of a file has it: what would end the path, and what begins an escape, is escaped.
pub(crate) fn path_encode(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_round_trip_and_rejections() {
        for text in ["", "a b", "p@ss:w/or?d#%", "ключ", "+"] {
            assert_eq!(percent_decode(&percent_encode(text), false).as_deref(), Ok(text));
        }
        assert_eq!(percent_decode("a+b", true).as_deref(), Ok("a b"));
        assert_eq!(percent_decode("a+b", false).as_deref(), Ok("a+b"));
        for (text, why) in [
            ("%", Malformed::Percent),
            ("%4", Malformed::Percent),
            ("%zz", Malformed::Percent),
            ("%00", Malformed::Nul),
            ("%ff", Malformed::NotUtf8),
        ] {
            assert_eq!(percent_decode(text, false), Err(why), "{text}");
        }
    }

    #[test]
    fn near_matches() {
        let known = ["sslmode", "sslrootcert", "connect_timeout", "host"];
        for (given, want) in [
            ("ssl_mode", Some("sslmode")),
            ("SSLMODE", Some("sslmode")),
            ("timeout_connect", None),
            ("connecttimeout", Some("connect_timeout")),
            ("zzz", None),
        ] {
            assert_eq!(near_match(given, known), want, "{given}");
        }
        assert_eq!(shown_name("ss@host"), None);
    }
}
