//! What a target tells of its rows, and whether that says what the source holds, by rules of the test's own.

use crate::made::quoted;
use crate::mapped::Expected;
use rusqlite::types::Value;
use std::collections::HashMap;
use switchover_core::codec::Codec;
use switchover_core::ids::Namespace;
use switchover_core::native::Native;
use switchover_core::plan::{ColumnPlan, Plan};
use switchover_core::value::{OwnedValue, Value as Cell};
use switchover_testkit::Database;
use switchover_testkit::weaviate::{Address, Object};

/// What each id became, or may have become; nothing, where no map says so.
pub(crate) type Ids = HashMap<String, Vec<String>>;

/// What a mapping made of a column's values, beside their type.
pub(crate) enum How {
    Plain,
    /// Texts are their bytes.
    Bytes,
    /// Texts have escapes.
    Escaped,
    /// Ids are UUIDs, which a table of the target's says.
    Id(Ids, Namespace),
}

impl How {
    /// By the plan, and by the maps of ids on the target.
    pub(crate) fn of(column: &ColumnPlan, ids: &Ids) -> How {
        match column.codec {
            Codec::TextBytes => How::Bytes,
            Codec::TextEscaped { .. } => How::Escaped,
            Codec::Uuid5 { namespace, .. } => How::Id(ids.clone(), namespace),
            _ => How::Plain,
        }
    }

    /// Whether the target's text says the source's value.
    pub(crate) fn says(&self, found: &str, value: &Value, ty: &str, bytes: Option<&[u8]>) -> bool {
        match (self, value) {
            (How::Bytes, Value::Text(_)) => {
                base(ty) == "bytea" && found == format!("\\x{}", hex(bytes.unwrap_or_default()))
            }
            (How::Escaped, Value::Text(_)) => {
                matches!(base(ty), "text" | "character") && unescaped(found).as_deref() == bytes
            }
            (How::Id(ids, own), Value::Text(id)) => {
                let hashed = own.id(Cell::Text(bytes.unwrap_or_default()));
                became(ids.get(id), found, hashed)
            }
            (How::Id(ids, own), Value::Integer(id)) => {
                became(ids.get(&id.to_string()), found, own.id(Cell::Int(*id)))
            }
            (How::Id(..), _) => false,
            _ => says(found, value, ty, bytes),
        }
    }
}

/// By the map; by the product's own reckoning alone for an id that the map's text cannot hold.
fn became(uuids: Option<&Vec<String>>, found: &str, hashed: Option<[u8; 16]>) -> bool {
    uuids.is_some_and(|uuids| match uuids.as_slice() {
        [] => hashed.is_some_and(|uuid| hex(&uuid) == found.replace('-', "")),
        known => known.iter().any(|uuid| uuid == found),
    })
}

/// A value in quarantine, as the ids of a source are read here.
pub(crate) fn shown(value: &OwnedValue) -> String {
    match value {
        OwnedValue::Int(id) => id.to_string(),
        OwnedValue::Text(id) => id.clone(),
        OwnedValue::TextBytes(id) => String::from_utf8_lossy(id).into_owned(),
        other => format!("{other:?}"),
    }
}

/// The bytes that a text with escapes stands for: `␛␛` is `␛`, and `␛` with two digits the byte.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{241b}') {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(after) = after.strip_prefix('\u{241b}') {
            bytes.extend_from_slice("\u{241b}".as_bytes());
            rest = after;
        } else {
            bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
            rest = &after[2..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// The text that the target shows for a value of a column of that type; `None` where it cannot hold it.
fn texts(value: &Value, ty: &str, bytes: Option<&[u8]>) -> Vec<String> {
    let float = |f: f64| {
        let (upper, plain) = (if f > 0.0 { "Infinity" } else { "-Infinity" }, format!("{f:?}"));
        if f.is_infinite() { upper.to_owned() } else { plain }
    };
    // A value of another class than the column's is never there: another row may hold its text by chance.
    match (value, base(ty)) {
        (Value::Integer(i), "bigint" | "integer") => vec![i.to_string()],
        (Value::Integer(i), "boolean") => vec![(*i == 1).to_string()],
        (Value::Integer(i), "double" | "numeric") => vec![i.to_string(), float(*i as f64)],
        (Value::Real(f), "double" | "numeric") => vec![float(*f)],
        (Value::Text(_), "boolean") => vec![matches!(bytes, Some(b"t" | b"true")).to_string()],
        (Value::Text(_), "text" | "character" | "uuid" | "timestamp" | "date" | "jsonb") => {
            vec![String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()]
        }
        (Value::Blob(blob), "bytea") => vec![format!("\\x{}", hex(blob))],
        _ => Vec::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The type's first word.
fn base(ty: &str) -> &str {
    ty.split(['(', ' ']).next().unwrap_or_default()
}

/// Whether the target's text says the source's value, under the rules of the type alone.
fn says(found: &str, value: &Value, ty: &str, bytes: Option<&[u8]>) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    let plain = |text: &str| {
        text.to_ascii_lowercase()
            .replace(['-', ':', ' ', 'T', 't', 'Z', 'z', '.', '+'], "")
            .trim_end_matches('0')
            .to_owned()
    };
    let wanted = texts(value, ty, bytes);
    match (value, base(ty)) {
        (Value::Real(_), "double") => {
            number(found).map(f64::to_bits) == wanted.first().and_then(|w| number(w)).map(f64::to_bits)
        }
        (Value::Real(_) | Value::Integer(_), "double" | "numeric") => {
            wanted.iter().any(|w| number(found) == number(w))
        }
        (Value::Blob(blob), "uuid") => found.replace('-', "") == hex(blob),
        (Value::Text(_), "uuid" | "timestamp" | "date") => plain(found) == plain(&wanted[0]),
        (Value::Text(_), "jsonb") => {
            let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
            wanted[0].contains("e400") || json(found) == json(&wanted[0])
        }
        _ => wanted.iter().any(|w| w == found),
    }
}

pub(crate) fn same_in_quarantine(value: &Value, bytes: Option<&[u8]>, held: &OwnedValue) -> bool {
    match (value, held) {
        (Value::Null, OwnedValue::Null) => true,
        (Value::Integer(a), OwnedValue::Int(b)) => a == b,
        (Value::Real(a), OwnedValue::FloatBits(b)) => a.to_bits() == *b,
        (Value::Text(_), OwnedValue::Text(b)) => bytes == Some(b.as_bytes()),
        (Value::Text(_), OwnedValue::TextBytes(b)) => bytes == Some(b),
        (Value::Blob(a), OwnedValue::Bytes(b)) => a == b,
        _ => false,
    }
}

/// What a table of the target holds: its columns' types, and each row's values as texts.
pub(crate) type Shown = (Vec<String>, Vec<Vec<Option<String>>>);

pub(crate) fn by_postgres(
    database: &Database,
    Expected { table: (_, table), columns, .. }: &Expected,
) -> Shown {
    let list: Vec<String> = columns.iter().map(|(_, name)| quoted(name)).collect();
    let types = database.rows(&format!(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 ORDER BY attnum",
        quoted(table).replace('\'', "''")
    ));
    let rows = database.rows(&format!(
        "SET TimeZone = 'UTC'; SELECT {}, 1 FROM {}",
        list.iter().map(|c| format!("{c}::text")).collect::<Vec<_>>().join(", "),
        quoted(table)
    ));
    (types.unwrap().into_iter().map(|row| row[0].clone().unwrap()).collect(), rows.unwrap())
}

/// The same of a server's collection, whose names and types the plan tells, and its values plain HTTP. The server
/// has no types of its own for some: digits are texts there, and times instants.
pub(crate) fn by_server(server: &Address, plan: &Plan, expected: &Expected) -> Shown {
    let planned = plan.tables.iter().find(|table| table.source == expected.table.0).unwrap();
    let columns: Vec<_> = (expected.columns.iter())
        .map(|(name, _)| planned.columns.iter().find(|column| column.source == *name).unwrap())
        .collect();
    let types = columns.iter().map(|column| match column.codec {
        Codec::Native(Native::Digits) => "bigint".to_owned(),
        _ => column.r#type.to_string().replace("timestamptz", "timestamp with time zone"),
    });
    let types: Vec<String> = types.collect();
    let objects = server.objects(&planned.target).unwrap();
    let row = |object: Object| {
        let cell = |(column, ty): (&&ColumnPlan, &String)| {
            let text = object.properties.get(&column.target)?;
            let Ok(text) = serde_json::from_str::<String>(text) else { return Some(text.clone()) };
            Some(if ty == "bytea" { format!("\\x{}", hex(&base64(&text))) } else { text })
        };
        columns.iter().zip(&types).map(cell).collect()
    };
    let rows = objects.into_iter().map(row).collect();
    (types, rows)
}

fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sixes: Vec<u32> = (text.bytes().filter(|byte| *byte != b'='))
        .map(|byte| u32::try_from(LETTERS.iter().position(|letter| *letter == byte).unwrap()).unwrap())
        .collect();
    let four = |four: &[u32]| {
        let bits = four.iter().fold(0, |bits, six| bits << 6 | six) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    sixes.chunks(4).flat_map(four).collect()
}
