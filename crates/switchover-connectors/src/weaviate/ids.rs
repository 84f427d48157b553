//! The UUID of each object, from its row's key: the same row always the same object. Pure.
//!
//! A key of one column that is a UUID is the object's id itself, unless the mapping says otherwise. Any other becomes a
//! UUIDv5 (RFC 9562) in the namespace of DNS names, of the collection's name (or another, by the mapping) followed
//! directly by the key's text, as the official Python client's `generate_uuid5(key, collection)` makes it. Several columns are the JSON array of their texts. A row without a
//! key, or with NULL in it, has the id of its place in the source (`rowid`), of which nothing on the target tells.

use switchover_core::plan::{Plan, TablePlan};
use switchover_core::uuid_text::{self, UuidForm};
use switchover_core::value::{OwnedValue, Value, utf8};
use uuid::Uuid;

/// How a table's objects get their ids.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    /// The key's fields in the plan's order of columns; empty without a key.
    key: Vec<usize>,
    /// The name in which ids are made.
    namespace: String,
    /// Whether a key that is a UUID is the id itself; where nothing is said, one of that type is, and no text.
    keep_uuid: Option<bool>,
}

impl Ids {
    pub(super) fn of(plan: &Plan, table: &TablePlan) -> Ids {
        let object = plan.options.mapping.object(&table.source);
        Ids {
            key: table.key_fields(),
            namespace: object.namespace.unwrap_or_else(|| table.target.clone()),
            keep_uuid: object.keep_uuid,
        }
    }

    /// The id that the target's cells of the key say; `None` where they say none.
    pub(super) fn of_key<'a>(&self, cell: impl Fn(usize) -> Value<'a>) -> Option<[u8; 16]> {
        match self.key.as_slice() {
            [] => None,
            [field] => match cell(*field) {
                Value::Null => None,
                Value::Uuid(uuid) if self.keep_uuid != Some(false) => Some(uuid),
                Value::Text(text) if self.keep_uuid == Some(true) => match plain_uuid(text) {
                    Some(uuid) => Some(uuid),
                    None => Some(self.made(utf8(text)?)),
                },
                value => Some(self.made(&text(value)?)),
            },
            fields => {
                let texts: Option<Vec<String>> = fields.iter().map(|field| text(cell(*field))).collect();
                Some(self.made(&serde_json::to_string(&texts?).ok()?))
            }
        }
    }

    /// The id of a row that only its place tells; `None` without a place, which would make one object of all such rows.
    pub(super) fn of_place(&self, locator: &[OwnedValue]) -> Option<[u8; 16]> {
        let texts: Vec<String> = locator.iter().map(|value| format!("{value:?}")).collect();
        (!texts.is_empty()).then(|| self.made(&format!("@{}", texts.join(","))))
    }

    fn made(&self, identifier: &str) -> [u8; 16] {
        let name = format!("{}{identifier}", self.namespace);
        *Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes()).as_bytes()
    }
}

/// The UUID that a text is in the usual form. Of that form only: two texts of one UUID are two keys.
fn plain_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let dashed = text.contains(&b'-');
    uuid_text::parse(text).filter(|(_, form)| dashed && *form == UuidForm::LowerDashed).map(|(uuid, _)| uuid)
}

/// A cell as the text that its id is made of: what `str()` gives in Python for texts and integers.
fn text(value: Value<'_>) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Text(text) | Value::Json(text) | Value::Decimal(text) => utf8(text)?.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Value::Uuid(uuid) => {
            String::from_utf8_lossy(&uuid_text::format(&uuid, UuidForm::LowerDashed)).into_owned()
        }
        Value::Date(count) => count.to_string(),
        Value::Time(count) | Value::Timestamp(count) | Value::TimestampTz(count) => count.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(key: &[usize]) -> Ids {
        Ids { key: key.to_vec(), namespace: "Message".into(), keep_uuid: None }
    }

    fn shown(key: &[usize], cells: &[Value<'_>]) -> Option<String> {
        ids(key).of_key(|field| cells[field]).map(|id| Uuid::from_bytes(id).to_string())
    }

    /// The expected ids are those of Python: `uuid.uuid5(uuid.NAMESPACE_DNS, "Message" + str(key))`.
    #[test]
    fn ids_are_those_of_the_official_client() {
        assert_eq!(shown(&[0], &[Value::Int(42)]).as_deref(), Some("1bd995d6-528c-5a6b-a8c0-d76720518e82"));
        assert_eq!(
            shown(&[0], &[Value::Text(b"42")]).as_deref(),
            Some("1bd995d6-528c-5a6b-a8c0-d76720518e82")
        );
        assert_eq!(
            shown(&[1], &[Value::Null, Value::Text("ü".as_bytes())]).as_deref(),
            Some("cd53d090-9e97-5ce9-9af5-b3c15d4c9f2b")
        );
        assert_eq!(
            shown(&[0, 1], &[Value::Int(1), Value::Text(b"a")]).as_deref(),
            Some("6b3dc71c-3d31-5033-a3a9-0c86745a2053")
        );
    }

    #[test]
    fn a_uuid_is_kept_and_null_says_nothing() {
        let uuid = *b"\x01\x88\xd9\xc2\xaf\x00\x7f\xff\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(
            shown(&[0], &[Value::Uuid(uuid)]).as_deref(),
            Some("0188d9c2-af00-7fff-0102-030405060708")
        );
        assert_eq!(shown(&[0], &[Value::Null]), None);
        assert_eq!(shown(&[0, 1], &[Value::Int(1), Value::Null]), None);
        assert_eq!(shown(&[], &[Value::Int(1)]), None);
        let remade = Ids { keep_uuid: Some(false), ..ids(&[0]) }.of_key(|_| Value::Uuid(uuid));
        let text = b"0188d9c2-af00-7fff-0102-030405060708";
        assert_eq!(remade, ids(&[0]).of_key(|_| Value::Text(text)));
        let kept = |text: &[u8]| Ids { keep_uuid: Some(true), ..ids(&[0]) }.of_key(|_| Value::Text(text));
        assert_eq!(kept(text), Some(uuid));
        let upper = text.to_ascii_uppercase();
        assert_eq!(kept(&upper), ids(&[0]).of_key(|_| Value::Text(&upper)), "another key");
        let ids = ids(&[]);
        assert_ne!(ids.of_place(&[OwnedValue::Int(1)]), ids.of_place(&[OwnedValue::Text("1".into())]));
        assert_eq!(ids.of_place(&[]), None);
    }
}
