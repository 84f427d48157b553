//! Whether PostgreSQL holds what a SQLite file does, by plain clients and each column's type there.
//!
//! Invariants: every cell of every row counts; times by the instant, JSON by its value, numbers by their bits.
//! Absent on purpose: any code of the product.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::BTreeMap;
use switchover_testkit::Database;

type Row = Vec<Option<String>>;

/// Each row of a table of the file is in the target's table of that name; the target's other rows, sorted.
pub(crate) fn beside(store: &Connection, database: &Database, table: &str, columns: &[String]) -> Vec<Row> {
    let types = types(database, table);
    let of = |name: &String| types.get(name).expect("a column that both have").as_str();
    let quoted = |name: &String| format!("\"{name}\"");
    let shown = |name: &String| match of(name) {
        "bytea" => format!("encode(\"{name}\", 'hex')"),
        "timestamp with time zone" => format!("(\"{name}\" AT TIME ZONE 'UTC')::text"),
        _ => format!("\"{name}\"::text"),
    };
    let list = |show: &dyn Fn(&String) -> String| columns.iter().map(show).collect::<Vec<_>>().join(", ");
    let rows =
        database.rows(&format!("SELECT {} FROM \"{table}\"", list(&shown))).expect("the target's rows");
    let mut there: BTreeMap<Row, i64> = BTreeMap::new();
    for row in rows {
        let cells = columns.iter().zip(row);
        let row = cells.map(|(name, cell)| cell.map(|text| of_target(of(name), &text))).collect();
        *there.entry(row).or_default() += 1;
    }
    let mut statement =
        store.prepare(&format!("SELECT {} FROM \"{table}\"", list(&quoted))).expect("a query");
    let mut rows = statement.query([]).expect("the source's rows");
    while let Some(row) = rows.next().expect("a row") {
        let cells = columns.iter().enumerate();
        let row: Row =
            cells.map(|(at, name)| of_source(of(name), row.get_ref(at).expect("a cell"))).collect();
        let count = there.entry(row.clone()).or_default();
        *count -= 1;
        assert!(*count >= 0, "{table}: the target does not hold {row:?}");
    }
    let more =
        |(row, count): (Row, i64)| std::iter::repeat_n(row, usize::try_from(count).expect("counted above"));
    there.into_iter().flat_map(more).collect()
}

fn types(database: &Database, table: &str) -> BTreeMap<String, String> {
    let query = format!(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = '\"{table}\"'::regclass AND attnum > 0"
    );
    let rows = database.rows(&query).expect("columns");
    rows.into_iter().map(|row| (row[0].clone().expect("a name"), row[1].clone().expect("a type"))).collect()
}

fn of_target(ty: &str, text: &str) -> String {
    match ty {
        "double precision" => bits(text.parse().expect("a number")),
        "json" | "jsonb" => json(text),
        "uuid" => text.replace('-', ""),
        _ => text.to_owned(),
    }
}

fn of_source(ty: &str, cell: ValueRef<'_>) -> Option<String> {
    let text = match cell {
        ValueRef::Null => return None,
        ValueRef::Integer(number) if ty == "boolean" => {
            ["false", "true"][usize::from(number != 0)].to_owned()
        }
        ValueRef::Integer(number) if ty == "double precision" => bits(number as f64),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => bits(number),
        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).expect("UTF-8");
            match ty {
                "json" | "jsonb" => json(text),
                // The server writes no zeros at a fraction's end.
                ty if ty.starts_with("timestamp") && text.contains('.') => {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                }
                _ => text.to_owned(),
            }
        }
    };
    Some(text)
}

fn bits(number: f64) -> String {
    format!("{:016x}", number.to_bits())
}

fn json(text: &str) -> String {
    serde_json::from_str::<serde_json::Value>(text).expect("JSON").to_string()
}
