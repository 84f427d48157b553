//! A comparison of a SQLite file with a dump of it that knows nothing of the product: both sides are read cell by
//! cell, the dump by `serde_json` alone.

use rusqlite::types::ValueRef;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rows, sorted; a cell is its class and what it says.
type Rows = Vec<Vec<String>>;

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_source(path: &Path) -> BTreeMap<String, (Vec<String>, Rows)> {
    let db = rusqlite::Connection::open(path).expect("the source");
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
        AND name NOT LIKE '\\_switchover%' ESCAPE '\\'";
    let mut statement = db.prepare(names).expect("tables");
    let names: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("tables").collect::<Result<_, _>>().expect("tables");
    let table = |name: String| {
        let mut statement = db.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a query");
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut found = statement.query([]).expect("rows");
        let mut rows = Rows::new();
        while let Some(row) = found.next().expect("a row") {
            let cell = |at: usize| match row.get_ref(at).expect("a cell") {
                ValueRef::Null => "null".into(),
                ValueRef::Integer(i) => format!("integer {i}"),
                ValueRef::Real(f) => format!("real {:x}", f.to_bits()),
                ValueRef::Text(t) => format!("text {}", hex(t)),
                ValueRef::Blob(b) => format!("blob {}", hex(b)),
            };
            rows.push((0..columns.len()).map(cell).collect());
        }
        rows.sort();
        (name, (columns, rows))
    };
    names.into_iter().map(table).collect()
}

fn cell(raw: &RawValue) -> String {
    let raw = raw.get();
    match raw.as_bytes()[0] {
        b'n' => "null".into(),
        b'"' => format!("text {}", hex(serde_json::from_str::<String>(raw).expect("a text").as_bytes())),
        b'{' => {
            let tagged: BTreeMap<String, String> = serde_json::from_str(raw).expect("a tagged value");
            format!("blob {}", tagged["$switchover.blob"])
        }
        _ if raw.contains(['.', 'e']) => {
            format!("real {:x}", raw.parse::<f64>().expect("a number").to_bits())
        }
        _ => format!("integer {raw}"),
    }
}

/// Tables, rows and cells that differ.
pub(crate) fn differences(source: &Path, dump: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dump).expect("the dump");
    let found: BTreeMap<String, Vec<BTreeMap<String, Box<RawValue>>>> =
        serde_json::from_str(&text).expect("JSON");
    let wanted = of_source(source);
    let mut differences = Vec::new();
    if !wanted.keys().eq(found.keys()) {
        differences.push(format!("tables {:?} and {:?}", wanted.keys(), found.keys()));
    }
    for (name, (columns, rows)) in &wanted {
        let mut there = Rows::new();
        for row in found.get(name).into_iter().flatten() {
            if row.keys().collect::<BTreeSet<_>>() != columns.iter().collect() {
                differences.push(format!("{name}: keys {:?}", row.keys()));
                continue;
            }
            there.push(columns.iter().map(|column| cell(&row[column])).collect());
        }
        there.sort();
        if there != *rows {
            let first = there.iter().zip(rows).find(|(one, other)| one != other);
            differences.push(format!("{name}: {} and {} rows, first {first:?}", rows.len(), there.len()));
        }
    }
    differences
}

/// The definitions of a dump: rows, and where sequences stand, come and go.
pub(crate) fn definitions(dump: &str) -> String {
    let mut inside = false;
    let kept = dump.lines().filter(|line| {
        let of_rows = inside || line.starts_with("SELECT pg_catalog.setval(");
        inside = match (inside, *line) {
            (true, "\\.") => false,
            (false, line) => line.starts_with("COPY ") && line.ends_with("FROM stdin;"),
            (inside, _) => inside,
        };
        !of_rows
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// The definitions of a dump, without those of objects whose name begins so.
pub(crate) fn definitions_of_others(dump: &str, prefix: &str) -> String {
    let text = definitions(dump);
    let begins = [format!("Name: {prefix}"), format!("Data for Name: {prefix}")];
    let others = text.split("\n--\n-- ").filter(|one| !begins.iter().any(|begin| one.starts_with(begin)));
    others.collect::<Vec<_>>().join("\n--\n-- ")
}
