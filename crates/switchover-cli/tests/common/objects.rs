//! A comparison of a SQLite file with the objects that a Weaviate holds of it, which knows nothing of the product: the
//! server is read by its REST interface.

use rusqlite::types::ValueRef;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use switchover_testkit::weaviate::{Address, Object};

/// The tables, and what their collections are called.
const TABLES: [(&str, &str); 4] =
    [("users", "Users"), ("messages", "Messages"), ("tags", "Tags"), ("log", "Log")];

/// How the name of a process's hold on the server begins: what stays of one that was killed holds nothing.
const HOLD: &str = "Switchover_lock_";

/// The collection of a run's own records.
const RECORDS: &str = "Switchover_record";

/// Bytes as the server writes them: RFC 4648, by nobody else's code.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |part: &[u8]| {
        let bits =
            part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        let letter = |at: usize| char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]);
        (0..4).map(|at| if at <= part.len() { letter(at) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// How a cell is written down on both sides: numbers by their digits or bits, all else as the text that it is.
fn of_source(cell: ValueRef<'_>) -> String {
    match cell {
        ValueRef::Null => String::new(),
        ValueRef::Integer(i) => i.to_string(),
        ValueRef::Real(f) => format!("{:x}", f.to_bits()),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => base64(bytes),
    }
}

fn of_object(object: &Object, property: &str) -> String {
    let raw = object.properties.get(property).map_or("null", String::as_str);
    match serde_json::from_str(raw).expect("JSON") {
        Json::Null => String::new(),
        Json::String(text) => text,
        // Its own digits: readers of JSON round.
        Json::Number(_) if raw.contains(['.', 'e']) => {
            format!("{:x}", raw.parse::<f64>().expect("a number").to_bits())
        }
        other => other.to_string(),
    }
}

/// What is in quarantine: table, first value of the locator, column.
fn quarantine(server: &Address) -> BTreeSet<(String, String, String)> {
    let records = server.objects(RECORDS).expect("records");
    let text = |object: &Object, name: &str| of_object(object, name);
    let held = records.iter().filter(|record| text(record, "kind") == "quarantine").map(|record| {
        let body: Json = serde_json::from_str(&text(record, "body")).expect("JSON");
        let locator = &body["locator"][0];
        let first = locator.as_object().and_then(|value| value.values().next()).expect("a value");
        let first = first.as_str().map_or_else(|| first.to_string(), str::to_owned);
        let word = |name: &str| body[name].as_str().expect("a text").to_owned();
        (word("table"), first, word("column"))
    });
    held.collect()
}

/// Rows that differ. A value that a server cannot hold is in quarantine, and nowhere else.
pub(crate) fn differences(source: &Path, server: &Address) -> Vec<String> {
    let db = rusqlite::Connection::open(source).expect("the source");
    let (mut found, mut aside) = (Vec::new(), quarantine(server));
    for (table, collection) in TABLES {
        let mut there: BTreeMap<Vec<String>, i64> = BTreeMap::new();
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).expect("a query");
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        for object in server.objects(collection).expect("objects") {
            // A property cannot be called `id`.
            let property = |column: &String| if column == "id" { "original_id" } else { column }.to_owned();
            let row = columns.iter().map(|column| of_object(&object, &property(column))).collect();
            *there.entry(row).or_default() += 1;
        }
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let mut cells: Vec<String> =
                (0..columns.len()).map(|at| of_source(row.get_ref(at).expect("a cell"))).collect();
            let first = cells[0].clone();
            for (column, cell) in columns.iter().zip(&mut cells) {
                if aside.remove(&(table.to_owned(), first.clone(), column.clone())) {
                    cell.clear();
                }
            }
            *there.entry(cells).or_default() -= 1;
        }
        found.extend(
            there.iter().filter(|(_, count)| **count != 0).take(5).map(|row| format!("{table}: {row:?}")),
        );
    }
    found.extend(
        aside.iter().take(5).map(|entry| format!("in quarantine, and no value of the source's: {entry:?}")),
    );
    found
}

/// All that a server holds, but for what its clock says.
pub(crate) fn dump(server: &Address) -> String {
    let collections = server.collections().expect("collections");
    let all = collections.iter().filter(|name| !name.starts_with(HOLD)).map(|name| {
        let objects = server.objects(name).expect("objects");
        let lines: BTreeSet<String> = objects.iter().map(|object| format!("{object:?}")).collect();
        format!("{name}: {lines:#?}\n")
    });
    all.collect()
}
