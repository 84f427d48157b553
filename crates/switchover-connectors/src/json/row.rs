//! One row: its keys and the texts of its values, and what a value's text becomes in a cell.
//!
//! `serde_json` reads the row, strictly; each value is kept as the text that it is, because a number's digits and an
//! object's order are lost in anything else.
//!
//! Invariants: nothing is coerced: [`cell`] gives a value only for a text of the kind that the column has; a string
//! with a lone surrogate becomes WTF-8 bytes, which no target takes for UTF-8, so the policies for such text decide.

use super::kind::Kind;
use super::place::{Place, malformed, member, refused};
use super::walk::reason;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use switchover_core::json::without_space;
use switchover_core::tagged;
use switchover_core::value::{Rows, Value, utf8};
use switchover_core::{Error, Result};

/// How the key of a tagged object begins.
const TAG: &[u8] = b"\"$switchover.";

/// Where a row stands, for messages.
pub(super) struct At<'a> {
    pub(super) place: Place,
    pub(super) path: &'a str,
}

/// A row's bytes as text.
pub(super) fn text<'t>(bytes: &'t [u8], at: &At<'_>) -> Result<&'t str> {
    if let Some(text) = utf8(bytes) {
        return Ok(text);
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let place = at.place.behind(bytes, error.valid_up_to());
        malformed(place, at.path, "the bytes are not valid UTF-8, which JSON must be (RFC 8259)")
    })
}

/// Calls `each` with every key of a row, the text of its value and where that text begins in the row's.
/// A refusal of `each` ends it.
pub(super) fn entries(
    text: &str,
    at: &At<'_>,
    mut each: impl FnMut(&str, &str, usize) -> Result<()>,
) -> Result<()> {
    let mut stopped = None;
    let seed = Entries {
        each: |key: &str, raw: &RawValue| {
            let raw = raw.get();
            // Both point into the row, so the difference is where the value begins.
            let offset = (raw.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
            each(key, raw, offset).map_err(|error| stopped = Some(error)).is_ok()
        },
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = seed.deserialize(&mut reader).and_then(|()| reader.end());
    match (stopped, read) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => {
            Err(malformed(at.place.relative(error.line(), error.column()), at.path, reason(&error)))
        }
        (None, Ok(())) => Ok(()),
    }
}

/// A key that a row has twice.
pub(super) fn twice(text: &str, at: &At<'_>, key: &str, offset: usize) -> Error {
    refused(
        at.place.behind(text.as_bytes(), offset),
        &member(at.path, key),
        "the key occurs twice in the row, and a reader of JSON would keep one of them only",
        "take one of them out of the file",
    )
}

struct Entries<F> {
    each: F,
}

impl<'de, F: FnMut(&str, &'de RawValue) -> bool> DeserializeSeed<'de> for Entries<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, &'de RawValue) -> bool> Visitor<'de> for Entries<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            if !(self.each)(&key, map.next_value()?) {
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// What a string's text says, as bytes: UTF-8, or WTF-8 where it has a lone surrogate. `scratch` lends room.
pub(super) fn string<'a>(raw: &'a str, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Some(inside.as_bytes());
    }
    struct Bytes<'s>(&'s mut Vec<u8>);
    impl Visitor<'_> for Bytes<'_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
            self.0.clear();
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(raw).deserialize_bytes(Bytes(scratch)).ok()?;
    Some(scratch)
}

/// The blob or the number that a tagged object is (`switchover_core::tagged`), however it is spaced.
pub(super) fn tagged<'a>(raw: &str, scratch: &'a mut Vec<u8>) -> Option<Value<'a>> {
    if !raw.as_bytes().get(1..)?.trim_ascii_start().starts_with(TAG) {
        return None;
    }
    let mut compact = Vec::with_capacity(raw.len());
    without_space(raw.as_bytes(), &mut compact);
    tagged::read(&compact, scratch)
}

/// Appends the cell that a value's text becomes in a column of `kind`; false when the text is of another kind.
pub(super) fn push_cell(raw: &str, kind: Kind, scratch: &mut Vec<u8>, rows: &mut Rows) -> bool {
    match with_cell(raw, kind, scratch, |value| rows.push(value)) {
        Some(()) => true,
        None => {
            rows.push(Value::Null);
            false
        }
    }
}

/// Calls `take` with the cell that a value's text becomes; `None` when the text is of another kind.
pub(super) fn with_cell<T>(
    raw: &str,
    kind: Kind,
    scratch: &mut Vec<u8>,
    take: impl FnOnce(Value<'_>) -> T,
) -> Option<T> {
    let value = match (kind, raw) {
        (_, "null") => Value::Null,
        (Kind::Boolean, "true") => Value::Int(1),
        (Kind::Boolean, "false") => Value::Int(0),
        (Kind::Integer | Kind::Real | Kind::Any, _) if raw.starts_with('{') => tagged(raw, scratch)?,
        (Kind::Integer, _) => Value::Int(raw.parse().ok()?),
        (Kind::Any, _) if raw != "-0" && raw.parse::<i64>().is_ok() => Value::Int(raw.parse().ok()?),
        (Kind::Real | Kind::Any, _) if !raw.starts_with('"') => Value::Float(raw.parse().ok()?),
        (Kind::Blob, _) => tagged(raw, scratch)?,
        (Kind::Text | Kind::Any | Kind::Uuid | Kind::Date | Kind::Timestamp | Kind::TimestampTz, _) => {
            Value::Text(string(raw, scratch)?)
        }
        (Kind::Json, _) => {
            scratch.clear();
            without_space(raw.as_bytes(), scratch);
            Value::Text(scratch)
        }
        _ => return None,
    };
    Some(take(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_become_bytes_that_are_no_utf8() {
        let mut scratch = Vec::new();
        assert_eq!(string(r#""\ud83d\ude00\u0000""#, &mut scratch), Some("😀\0".as_bytes()));
        assert_eq!(string(r#""a\ud800b""#, &mut scratch), Some(&b"a\xed\xa0\x80b"[..]));
    }
}
