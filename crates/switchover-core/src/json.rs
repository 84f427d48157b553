//! JSON by value: whether `jsonb` can hold a text without loss, and one canonical form in which two
//! texts are equal exactly when their values are.
//!
//! What `jsonb` would lose or refuse is an [`Unfit`] with its reason: `\u0000`, lone surrogates,
//! duplicate keys (it keeps the last), numbers outside `numeric`, nesting beyond the reader's limit.
//! The canonical form sorts keys by bytes and writes numbers as [`crate::decimal`] does.

use crate::tagged;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Why `jsonb` cannot hold a text as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit(pub String);

/// The most digits PostgreSQL's `numeric` holds before the decimal point (its documentation, 8.1.2).
const NUMERIC_INTEGER_DIGITS_MAX: u64 = 131_072;
/// The most digits it holds behind it.
const NUMERIC_SCALE_MAX: u64 = 16_383;
/// A `jsonb` string, array or object ends at 2^28 - 1 bytes (`JENTRY_OFFLENMASK`).
const JSONB_BYTES_MAX: usize = (1 << 28) - 1;
/// Levels of nesting that are read, as in `serde_json`'s own reader.
const DEPTH_MAX: usize = 127;
/// What may stand around a value (RFC 8259, 2).
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Appends the canonical form of a JSON text; of one that has none, something or nothing.
pub fn canonical(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    if text.len() > JSONB_BYTES_MAX {
        return Err(Unfit(format!("{} bytes; jsonb ends at {JSONB_BYTES_MAX}", text.len())));
    }
    // What encloses others is read once: its parts are looked at as they are met.
    let start = out.len();
    if let Some(text) = crate::value::utf8(text) {
        let text = text.trim_matches(SPACE);
        if text.starts_with(['{', '[']) && node(text, 0, out).is_ok() {
            return Ok(());
        }
    }
    out.truncate(start);
    let raw: &RawValue =
        serde_json::from_slice(text).map_err(|error| Unfit(format!("not valid JSON: {error}")))?;
    node(raw.get(), 0, out)
}

/// Appends a JSON text without the white space between its parts ([`without_space`]), after a look at it. What a
/// dump could not hold so is refused.
pub fn compact(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    let raw: &RawValue =
        serde_json::from_slice(text).map_err(|error| Unfit(format!("not valid JSON: {error}")))?;
    let start = out.len();
    let unfit = match without_space(raw.get().as_bytes(), out) {
        depth if depth > DEPTH_MAX => format!("nested deeper than {DEPTH_MAX} levels"),
        _ if tagged::is_tagged(&out[start..]) => {
            "an object that a dump would read as a blob or a number".to_owned()
        }
        _ => return Ok(()),
    };
    out.truncate(start);
    Err(Unfit(unfit))
}

/// That a text is JSON, for a column that keeps it as the text that it is: keys may occur twice there, and any escape may stand.
pub fn check(text: &[u8]) -> Result<(), Unfit> {
    let raw: &RawValue =
        serde_json::from_slice(text).map_err(|error| Unfit(format!("not valid JSON: {error}")))?;
    match without_space(raw.get().as_bytes(), &mut Vec::new()) {
        depth if depth > DEPTH_MAX => Err(Unfit(format!("nested deeper than {DEPTH_MAX} levels"))),
        _ => Ok(()),
    }
}

/// Appends what is known to be JSON without the white space between its parts. All else stays, byte for byte:
/// digits, escapes, the order of keys, keys that occur twice. Gives how deep it is nested.
pub fn without_space(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let (mut at, mut depth, mut deepest) = (0, 0usize, 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let special =
            |byte: &u8| matches!(byte, b'"' | b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'[' | b']' | b'}');
        let run = rest.iter().position(special).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        at += run;
        match bytes.get(at) {
            Some(b'"') => {
                let end = string_end(&bytes[at..]);
                out.extend_from_slice(&bytes[at..at + end]);
                at += end;
            }
            Some(bracket @ (b'{' | b'[' | b'}' | b']')) => {
                depth = if matches!(bracket, b'{' | b'[') { depth + 1 } else { depth.saturating_sub(1) };
                deepest = deepest.max(depth);
                out.push(*bracket);
                at += 1;
            }
            // White space, or the end.
            _ => at += 1,
        }
    }
    deepest
}

fn string_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// The form of a value: an object or an array, or what is known to be JSON.
fn node(text: &str, depth: usize, out: &mut Vec<u8>) -> Result<(), Unfit> {
    if depth > DEPTH_MAX {
        return Err(Unfit(format!("nested deeper than {DEPTH_MAX} levels")));
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let Entries(mut entries) = read(text)?;
            entries.sort_by(|a, b| a.0.0.cmp(&b.0.0));
            if let Some(pair) = entries.windows(2).find(|pair| pair[0].0.0 == pair[1].0.0) {
                return Err(Unfit(format!("the key {:?} occurs twice; jsonb keeps the last", pair[0].0.0)));
            }
            out.push(b'{');
            for (key, value) in &entries {
                string(&key.0, out)?;
                node(value.get(), depth + 1, out)?;
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let Items(items) = read(text)?;
            out.push(b'[');
            for item in &items {
                node(item.get(), depth + 1, out)?;
            }
            out.push(b']');
        }
        // Without an escape its bytes are the value's.
        Some(b'"') if memchr::memchr(b'\\', text.as_bytes()).is_none() => {
            string(&text[1..text.len() - 1], out)?;
        }
        Some(b'"') => {
            let Text(value) = read(text)?;
            string(&value, out)?;
        }
        Some(b't' | b'f' | b'n') => out.extend_from_slice(text.as_bytes()),
        _ => number(text, out)?,
    }
    out.push(b',');
    Ok(())
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Unfit> {
    serde_json::from_str(text).map_err(|error| Unfit(format!("not valid JSON for jsonb: {error}")))
}

fn string(value: &str, out: &mut Vec<u8>) -> Result<(), Unfit> {
    if value.contains('\0') {
        return Err(Unfit("a string holds \\u0000, which jsonb refuses".into()));
    }
    crate::decimal::write_integer(value.len(), out);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    Ok(())
}

fn number(text: &str, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let start = out.len();
    let plain =
        text.len() as u64 <= NUMERIC_SCALE_MAX && memchr::memchr2(b'e', b'E', text.as_bytes()).is_none();
    let fits = crate::decimal::parse(text.as_bytes(), out)
        // Without an exponent it has no more digits than bytes.
        && (plain || crate::decimal::parts(&out[start..])
            .is_some_and(|parts| parts.integer_digits() <= NUMERIC_INTEGER_DIGITS_MAX)
        && written_scale(text).is_some_and(|scale| scale <= NUMERIC_SCALE_MAX));
    if !fits {
        return Err(Unfit(format!("the number {text} is outside the range of numeric")));
    }
    Ok(())
}

/// Digits behind the point as written: `numeric` keeps trailing zeros, and refuses too many of them.
fn written_scale(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i64);
    Some(u64::try_from(fraction.checked_sub(exponent)?).unwrap_or(0))
}

/// A string; where no escape is in it, the text's own bytes.
struct Text<'a>(Cow<'a, str>);
struct Entries<'a>(Vec<(Text<'a>, &'a RawValue)>);
struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Read)
    }
}

impl From<Unfit> for String {
    fn from(unfit: Unfit) -> String {
        unfit.0
    }
}

impl de::StdError for Unfit {}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Result<Vec<u8>, Unfit> {
        let mut out = Vec::new();
        canonical(text.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn equal_values_have_one_form() {
        for [a, b] in [
            [r#"{"b":1, "a":[1.0,2e2]}"#, r#"{"a":[1,200],"b":1.00}"#],
            [r#""é""#, r#""\u00e9""#],
            [r#""😀""#, r#""\ud83d\ude00""#],
            [" null ", "null"],
            ["\r\n\t [ ] ", "[]"],
            [r#"{"\u0061":"\n","b":[]}"#, "{\"b\":[ ],\"a\":\"\\u000a\"}"],
        ] {
            assert_eq!(form(a), form(b));
            assert!(form(a).is_ok());
        }
        for [a, b] in [
            ["[1,2]", "[12]"],
            [r#"["a","b"]"#, r#"["ab"]"#],
            ["1", r#""1""#],
            ["{}", "[]"],
            ["[[]]", "[[],[]]"],
        ] {
            assert_ne!(form(a), form(b), "{a} {b}");
        }
    }

    #[test]
    fn white_space_between_parts_goes_and_nothing_else() {
        for (raw, want) in [
            ("{ \"a b\" : [1.0, 2e5,\n\t\"x \\\" y\" ] }", r#"{"a b":[1.0,2e5,"x \" y"]}"#),
            ("\" x \"", "\" x \""),
            (" 12.50 ", "12.50"),
            ("[ [ ] , { } ]", "[[],{}]"),
        ] {
            let mut out = Vec::new();
            compact(raw.as_bytes(), &mut out).expect("JSON");
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(compact(nested(DEPTH_MAX).as_bytes(), &mut Vec::new()).is_ok());
        assert!(compact(nested(DEPTH_MAX + 1).as_bytes(), &mut Vec::new()).is_err());
    }

    #[test]
    fn what_jsonb_would_lose_is_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#""\u0000""#,
            r#""\ud800""#,
            "1e200000",
            "1e-20000",
            "1e9223372036854775807",
            "10e9223372036854775807",
            "1e-9223372036854775808",
            "{",
            "",
            "NaN",
            "{'a':1}",
            "{\u{c}}",
            "[1]\u{c}",
            "\u{a0}[1]",
            "[1] 2",
            "[1,]",
            "[01]",
            "[+1]",
            "{\"a\":1",
            r#"{"a\u0000":1}"#,
        ] {
            assert!(form(bad).is_err(), "{bad}");
        }
        assert!(form("1e400").is_ok());
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(form(&deep).is_err());
    }
}
