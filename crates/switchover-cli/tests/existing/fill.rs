//! Rows for every table of an application's SQLite file, by what its schema says of each column.
//!
//! Invariants: foreign keys are kept, and checked at the end; a value fits its declared type, its length and the list
//! of a CHECK; every table gets rows. Absent on purpose: what no schema says, such as which words a column may hold
//! where nothing lists them: an application gives those.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::collections::BTreeSet;

/// Rows that are tried for each table: enough that every kind of value and several chunks come up.
const ROWS: usize = 40;

/// Every so many a value that may be NULL is.
const NULL_EACH: usize = 7;

/// Words that a column holds (`table.column`, or `.column` in any table), one after the other.
pub(crate) type Words = &'static [(&'static str, &'static [&'static str])];

struct Column {
    name: String,
    declared: String,
    not_null: bool,
    /// The only column of the key, with a number that SQLite gives.
    numbered: bool,
}

struct Reference {
    parent: String,
    columns: Vec<(String, String)>,
}

/// Fills every table but the `left` ones.
pub(crate) fn fill(store: &Connection, left: &[&str], words: Words) {
    store.execute_batch("PRAGMA foreign_keys = OFF; BEGIN").expect("a transaction");
    let (mut done, mut waiting) = (BTreeSet::new(), tables(store));
    waiting.retain(|name| !left.contains(&name.as_str()));
    while !waiting.is_empty() {
        let open: BTreeSet<&String> = waiting.iter().collect();
        let ready = |name: &String| {
            references(store, name).iter().all(|key| key.parent == *name || !open.contains(&key.parent))
        };
        // Where tables lead back to each other, one begins whose columns that wait may be NULL.
        let can_begin = |name: &String| {
            let columns = columns(store, name);
            let must = |from: &String| columns.iter().any(|column| column.name == *from && column.not_null);
            let waits = |key: &&Reference| key.parent != *name && open.contains(&key.parent);
            let keys = references(store, name);
            !keys.iter().filter(waits).any(|key| key.columns.iter().any(|(from, _)| must(from)))
        };
        let at = waiting.iter().position(ready).or_else(|| waiting.iter().position(can_begin));
        let at = at.expect("a table that can begin");
        let name = waiting.remove(at);
        fill_table(store, &name, words);
        done.insert(name);
    }
    store.execute_batch("COMMIT").expect("a commit");
    let orphans: Vec<String> =
        asked(store, "SELECT \"table\" || ' ' || parent FROM pragma_foreign_key_check");
    assert_eq!(orphans, Vec::<String>::new(), "foreign keys are kept");
}

fn asked(store: &Connection, query: &str) -> Vec<String> {
    let mut statement = store.prepare(query).expect("a query");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

/// The tables that hold rows of their own.
pub(crate) fn tables(store: &Connection) -> Vec<String> {
    asked(
        store,
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
}

fn columns(store: &Connection, table: &str) -> Vec<Column> {
    let mut statement = store
        .prepare("SELECT name, type, \"notnull\", pk, (SELECT count(*) FROM pragma_table_xinfo(?1) WHERE pk > 0) FROM pragma_table_xinfo(?1) WHERE hidden = 0")
        .expect("a query");
    let rows = statement.query_map([table], |row| {
        let (declared, key, keys): (String, i64, i64) = (row.get(1)?, row.get(3)?, row.get(4)?);
        Ok(Column {
            name: row.get(0)?,
            numbered: keys == 1 && key == 1 && declared.eq_ignore_ascii_case("integer"),
            not_null: row.get::<_, bool>(2)? || key > 0,
            declared: declared.to_ascii_uppercase(),
        })
    });
    rows.expect("columns").collect::<Result<_, _>>().expect("columns")
}

fn references(store: &Connection, table: &str) -> Vec<Reference> {
    let mut statement = store
        .prepare("SELECT id, \"table\", \"from\", coalesce(\"to\", (SELECT name FROM pragma_table_info(\"table\") WHERE pk = seq + 1)) FROM pragma_foreign_key_list(?1) ORDER BY id, seq")
        .expect("a query");
    let mut found: Vec<(i64, Reference)> = Vec::new();
    let mut rows = statement.query([table]).expect("foreign keys");
    while let Some(row) = rows.next().expect("a foreign key") {
        let id: i64 = row.get_unwrap(0);
        let pair = (row.get_unwrap(2), row.get_unwrap(3));
        match found.last_mut().filter(|(last, _)| *last == id) {
            Some((_, key)) => key.columns.push(pair),
            None => found.push((id, Reference { parent: row.get_unwrap(1), columns: vec![pair] })),
        }
    }
    found.into_iter().map(|(_, key)| key).collect()
}

fn parents(store: &Connection, key: &Reference) -> Vec<Vec<Value>> {
    let names: Vec<String> = key.columns.iter().map(|(_, to)| format!("\"{to}\"")).collect();
    let query = format!("SELECT DISTINCT {0} FROM \"{1}\" ORDER BY {0}", names.join(", "), key.parent);
    let mut statement = store.prepare(&query).expect("a query");
    let row = |row: &rusqlite::Row<'_>| (0..names.len()).map(|at| row.get(at)).collect();
    statement.query_map([], row).expect("rows").collect::<Result<_, _>>().expect("keys")
}

fn fill_table(store: &Connection, table: &str, words: Words) {
    let (columns, keys) = (columns(store, table), references(store, table));
    let sql: String = store
        .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
        .expect("its definition");
    let held: Vec<Vec<Vec<Value>>> = keys.iter().map(|key| parents(store, key)).collect();
    let names: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let marks = vec!["?"; columns.len()].join(", ");
    let insert = format!("INSERT OR IGNORE INTO \"{table}\" ({}) VALUES ({marks})", names.join(", "));
    let mut statement = store.prepare(&insert).expect("an insert");
    let mut written = 0;
    for row in 0..ROWS {
        let value = |(at, column): (usize, &Column)| -> Value {
            let nullable = !column.not_null && (row + at) % NULL_EACH == 0;
            let refers = |key: &&Reference| key.columns.iter().any(|(from, _)| *from == column.name);
            // The last key that a column is part of is the widest of them in these schemas.
            if let Some(key) = keys.iter().filter(refers).max_by_key(|key| key.columns.len()) {
                let number = keys.iter().position(|other| std::ptr::eq(other, key)).expect("it is there");
                let part =
                    key.columns.iter().position(|(from, _)| *from == column.name).expect("it is there");
                let rows = &held[number];
                return match rows.len() {
                    0 => Value::Null,
                    _ if nullable => Value::Null,
                    // Pairs of two keys come up once each.
                    many => rows[(row + number * (row / many)) % many][part].clone(),
                };
            }
            if column.numbered || nullable { Value::Null } else { of_column(table, column, &sql, words, row) }
        };
        let values: Vec<Value> = columns.iter().enumerate().map(value).collect();
        written += statement.execute(params_from_iter(values)).expect("a row");
    }
    let rows: i64 =
        store.query_row(&format!("SELECT count(*) FROM \"{table}\""), [], |row| row.get(0)).expect("a count");
    assert!(rows > 0, "{table} is empty: {written} rows were written");
}

/// The words of a CHECK that lists what a column holds.
fn listed(sql: &str, column: &str) -> Option<Vec<String>> {
    let start = [format!("{column} IN ("), format!("\"{column}\" IN (")]
        .iter()
        .find_map(|text| sql.find(text).map(|at| at + text.len()))?;
    let (list, _) = sql[start..].split_once(')')?;
    Some(list.split(',').map(|word| word.trim().trim_matches('\'').to_owned()).collect())
}

fn of_column(table: &str, column: &Column, sql: &str, words: Words, row: usize) -> Value {
    let Column { name, declared, .. } = column;
    let (whole, anywhere) = (format!("{table}.{name}"), format!(".{name}"));
    let given = words.iter().find(|(of, _)| *of == whole || *of == anywhere).map(|(_, given)| *given);
    let size = || declared.split_once('(').and_then(|(_, rest)| rest.trim_end_matches(')').parse().ok());
    let number = i64::try_from(row).expect("a small number");
    if let Some(given) = given {
        return Value::Text(given[row % given.len()].to_owned());
    }
    if let Some(given) = listed(sql, name) {
        return Value::Text(given[row % given.len()].clone());
    }
    let is_json =
        declared == "JSON" || sql.contains(&format!("JSON_VALID(\"{name}\")")) || name.ends_with("_json");
    match declared.as_str() {
        _ if is_json => Value::Text(format!("{{\"b\": [{row}, null, \"ß\"], \"a\": {row}.50}}")),
        "BOOL" | "BOOLEAN" => Value::Integer(number % 2),
        "DATE" => Value::Text(format!("2024-02-{:02}", 1 + row % 29)),
        // Python's form: without a fraction where there is none.
        "DATETIME" | "TIMESTAMP" if row.is_multiple_of(3) => {
            Value::Text(format!("2024-02-29 23:{row:02}:59"))
        }
        "DATETIME" | "TIMESTAMP" => Value::Text(format!("2024-02-29 23:{row:02}:59.{:06}", row * 12_345)),
        "BLOB" => Value::Blob([&[0, 0xff, 0x5c], row.to_string().as_bytes()].concat()),
        "FLOAT" | "REAL" | "DOUBLE" => Value::Real(row as f64 + 0.1),
        "BIGINT" => Value::Integer(1_700_000_000_000 + number),
        "CHAR(32)" => Value::Text(format!("0188d9c2af007fff8102{row:012x}")),
        _ if declared.contains("INT") => Value::Integer(number),
        _ => {
            let text = format!("{row} {name} é\n\t'\"\\");
            Value::Text(text.chars().take(size().unwrap_or(usize::MAX)).collect())
        }
    }
}
