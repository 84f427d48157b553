//! Ids that become UUIDs: the same id always the same UUID, for whoever knows the namespace.
//!
//! A text that is a UUID is that UUID. Every other text, and an integer as its decimal digits, is the UUIDv5
//! (RFC 9562) of its bytes in a [`Namespace`], so an application can compute it again. Absent on purpose: the
//! way back, which no hash has. It is the map, a table of its own that the mapping adds
//! ([`crate::schema::Table::id_map`]), and the engine proves before anything is written that no two ids
//! become one UUID.

use crate::uuid_text::{self, UuidForm};
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write as _;
use uuid::Uuid;

/// The column of a map that holds the ids as they were.
pub const ORIGINAL: &str = "original";

/// The column of a map that holds what they became.
pub const UUID: &str = "uuid";

/// Bytes of the longest decimal of an `i64`.
const DECIMAL_BYTES_MAX: usize = 20;

/// In which ids become UUIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace([u8; 16]);

impl Namespace {
    /// The one that is taken where none is given: UUIDv5 of `switchover:TABLE.COLUMN` in the namespace of URLs,
    /// with the names that the table and column have in the plan.
    pub fn of_column(table: &str, column: &str) -> Namespace {
        Namespace(
            *Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("switchover:{table}.{column}").as_bytes()).as_bytes(),
        )
    }

    /// What an id becomes; `None` for a value that is no id.
    pub fn id(&self, value: Value<'_>) -> Option<[u8; 16]> {
        match value {
            Value::Uuid(uuid) => Some(uuid),
            Value::Text(text) => Some(written(text).unwrap_or_else(|| self.hashed(text))),
            Value::Int(number) => {
                let mut digits = [0u8; DECIMAL_BYTES_MAX];
                let mut rest = &mut digits[..];
                // The longest fits.
                write!(rest, "{number}").ok()?;
                let left = rest.len();
                Some(self.hashed(&digits[..DECIMAL_BYTES_MAX - left]))
            }
            _ => None,
        }
    }

    fn hashed(&self, name: &[u8]) -> [u8; 16] {
        *Uuid::new_v5(&Uuid::from_bytes(self.0), name).as_bytes()
    }
}

/// The UUID that a text is, in letters of either case or both.
fn written(text: &[u8]) -> Option<[u8; 16]> {
    // Other lengths are none, and need no copy.
    let long = matches!(text.len(), 32 | 36).then(|| text.to_ascii_lowercase())?;
    uuid_text::parse(&long).map(|(uuid, _)| uuid)
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl std::str::FromStr for Namespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Namespace, String> {
        match uuid_text::parse(text.as_bytes()) {
            Some((uuid, UuidForm::LowerDashed | UuidForm::UpperDashed)) => Ok(Namespace(uuid)),
            _ => Err(format!("'{text}' is no UUID")),
        }
    }
}

impl Serialize for Namespace {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(namespace: &Namespace, value: Value<'_>) -> String {
        Uuid::from_bytes(namespace.id(value).expect("an id")).to_string()
    }

    /// The expected values are those of another implementation (Python's `uuid.uuid5`).
    #[test]
    fn anyone_can_compute_them() {
        let dns: Namespace = "6ba7b810-9dad-11d1-80b4-00c04fd430c8".parse().expect("a UUID");
        assert_eq!(shown(&dns, Value::Text(b"python.org")), "886313e1-3b8a-5372-9b90-0c9aee199e5d");
        let users = Namespace::of_column("users", "id");
        assert_eq!(users.to_string(), "cddfef1b-1579-53a0-a370-0d4258c971f0");
        assert_eq!(shown(&users, Value::Int(i64::MIN)), "f8764b98-d604-5c53-a0f8-42d01dd44112");
        assert_eq!(shown(&users, Value::Int(7)), shown(&users, Value::Text(b"7")));
        assert_eq!(users.to_string().parse(), Ok(users));
    }

    #[test]
    fn a_uuid_is_itself_and_what_is_no_id_is_none() {
        let users = Namespace::of_column("users", "id");
        for text in ["0188D9C2-AF00-7FFF-0102-030405060708", "0188d9C2af007fff0102030405060708"] {
            assert_eq!(shown(&users, Value::Text(text.as_bytes())), "0188d9c2-af00-7fff-0102-030405060708");
        }
        for value in [Value::Float(1.0), Value::Bytes(b"a"), Value::Bool(true), Value::Null] {
            assert_eq!(users.id(value), None);
        }
        assert!("0188d9c2af007fff0102030405060708".parse::<Namespace>().is_err());
    }
}
