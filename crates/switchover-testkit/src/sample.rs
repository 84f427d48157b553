//! A small chat database, and a comparison of it with its copy that shares no code with the product.
//!
//! Invariants: the same seed makes the same rows; there is a table of each kind that is copied in its own way
//! (integer key, text key without rowid, no key at all), and texts that PostgreSQL cannot hold, so that the
//! quarantine is in play; the comparison reads every cell with statements of its own, as bit patterns.
//! Absent on purpose: any type of the product, and any schema but this one.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::{Error, Result, Server};

/// How a cell is written down on both sides.
#[derive(Clone, Copy)]
enum Cell {
    Int,
    Real,
    Text,
    Blob,
}

/// The tables and their columns.
const TABLES: [(&str, &[(&str, Cell)]); 4] = [
    (
        "users",
        &[
            ("id", Cell::Int),
            ("name", Cell::Text),
            ("age", Cell::Int),
            ("balance", Cell::Real),
            ("photo", Cell::Blob),
        ],
    ),
    ("messages", &[("id", Cell::Int), ("user_id", Cell::Int), ("body", Cell::Text), ("sent", Cell::Int)]),
    ("tags", &[("name", Cell::Text), ("note", Cell::Text)]),
    ("log", &[("line", Cell::Text), ("at", Cell::Int)]),
];

const SCHEMA: &str = "
    CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, age INTEGER, balance REAL, photo BLOB);
    CREATE TABLE messages(id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id), body TEXT,
        sent INTEGER);
    CREATE TABLE tags(name TEXT PRIMARY KEY, note TEXT) WITHOUT ROWID;
    CREATE TABLE log(line TEXT, at INTEGER);
    CREATE INDEX messages_user ON messages(user_id, sent);
    CREATE VIEW names AS SELECT id, name FROM users;";

/// One message of so many holds a NUL character, which no text of PostgreSQL can hold.
const QUARANTINED_EACH: i64 = 97;

/// Differences that are described; the rest is cut.
const DESCRIBED_MAX: usize = 5;

/// A generator that gives the same numbers everywhere (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from zero to below `bound`, which is positive.
    pub fn below(&mut self, bound: i64) -> i64 {
        (self.next_u64() >> 1) as i64 % bound
    }
}

/// Makes the database at `path`, in WAL mode, with about `rows` rows.
pub fn make(path: &Path, rows: i64, seed: u64) -> Result<()> {
    fill(path, rows, seed).map_err(|e| Error::new(format!("cannot make {}", path.display()), e))
}

fn fill(path: &Path, rows: i64, seed: u64) -> rusqlite::Result<()> {
    let mut random = Random::new(seed);
    let mut connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let users = (rows / 20).max(2);
    {
        let mut insert = transaction.prepare("INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for id in 1..=users {
            let age = (random.below(5) > 0).then(|| random.below(100));
            let balance = f64::from_bits(random.next_u64() & !(0x7ff << 52) | (0x3ff << 52));
            let photo: Vec<u8> = (0..random.below(80)).map(|_| random.next_u64() as u8).collect();
            insert.execute((id, format!("user {id} ä{}", random.below(1000)), age, balance, photo))?;
        }
        let mut insert = transaction.prepare("INSERT INTO messages VALUES (?1, ?2, ?3, ?4)")?;
        let mut id = 0;
        for count in 0..rows * 8 / 10 {
            // Keys have holes, so that ranges of keys and numbers of rows differ.
            id += 1 + random.below(3);
            let words = 1 + random.below(12);
            let mut body: String = (0..words).map(|_| format!("{:x} ", random.below(1 << 40))).collect();
            if count % QUARANTINED_EACH == 5 {
                body.push('\0');
                body.push_str("after");
            }
            let body = (random.below(50) > 0).then_some(body);
            insert.execute((id, 1 + random.below(users), body, random.next_u64() as i64))?;
        }
        let mut insert = transaction.prepare("INSERT INTO tags VALUES (?1, ?2)")?;
        for count in 0..rows / 20 {
            insert
                .execute((format!("tag {:x} {count}", random.next_u64()), "x".repeat(count as usize % 60)))?;
        }
        let mut insert = transaction.prepare("INSERT INTO log VALUES (?1, ?2)")?;
        for count in 0..rows / 10 {
            // Rows that are twice there: a table without a key may hold them, and the copy must too.
            insert.execute((format!("line {}", count / 2), count / 2))?;
        }
    }
    transaction.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// A table's rows, sorted: `None` is NULL, numbers are decimal, everything else hexadecimal.
type Table = Vec<Vec<Option<String>>>;

/// Where source and target differ; empty when they are equal in every row, value, key and index.
///
/// The target is `schema` of `database` on `server`; quarantined values are read from there too.
pub fn differences(path: &Path, server: &Server, database: &str, schema: &str) -> Result<Vec<String>> {
    let mut found = differing_values(path, server, database, schema)?;
    let shape = shape(server, database, schema)?;
    if shape != "c:messages:f:true c:messages:p:true c:tags:p:true c:users:p:true c:users:u:true i:5 v:1" {
        found.push(format!("keys and indexes: {shape}"));
    }
    Ok(found)
}

/// The same without a look at keys and indexes, which an application may have made as it likes.
pub fn differing_values(path: &Path, server: &Server, database: &str, schema: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut held = quarantine(server, database, schema)?;
    for (name, columns) in TABLES {
        let (source, kept) = source_table(path, name, columns)
            .map_err(|e| Error::new(format!("cannot read {}", path.display()), e))?;
        let target = target_table(server, database, schema, name, columns)?;
        let mine: BTreeMap<String, String> = held.remove(name).unwrap_or_default();
        if mine != kept {
            found.push(format!("{name}: {} values in quarantine, expected {}", mine.len(), kept.len()));
        }
        if source == target {
            continue;
        }
        found.push(format!("{name}: {} rows on the source, {} on the target", source.len(), target.len()));
        found.extend(
            source
                .iter()
                .filter(|row| target.binary_search(row).is_err())
                .take(DESCRIBED_MAX)
                .map(|row| format!("{name}: only on the source: {row:?}")),
        );
        found.extend(
            target
                .iter()
                .filter(|row| source.binary_search(row).is_err())
                .take(DESCRIBED_MAX)
                .map(|row| format!("{name}: only on the target: {row:?}")),
        );
    }
    found.extend(held.keys().map(|name| format!("{name}: in quarantine, and not a table of the source")));
    Ok(found)
}

fn source_table(
    path: &Path,
    name: &str,
    columns: &[(&str, Cell)],
) -> rusqlite::Result<(Table, BTreeMap<String, String>)> {
    let connection = Connection::open(path)?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut statement = connection.prepare(&format!("SELECT {} FROM {name}", names.join(", ")))?;
    let (mut rows, mut table, mut kept) = (statement.query([])?, Table::new(), BTreeMap::new());
    while let Some(row) = rows.next()? {
        let mut cells: Vec<Option<String>> = Vec::new();
        for at in 0..columns.len() {
            let cell = match row.get_ref(at)? {
                ValueRef::Null => None,
                ValueRef::Integer(value) => Some(value.to_string()),
                ValueRef::Real(value) => Some(format!("{:016x}", value.to_bits())),
                ValueRef::Text(text) if text.contains(&0) => {
                    kept.insert(cells[0].clone().unwrap_or_default(), hex(text));
                    None
                }
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(hex(bytes)),
            };
            cells.push(cell);
        }
        table.push(cells);
    }
    table.sort();
    Ok((table, kept))
}

fn target_table(
    server: &Server,
    database: &str,
    schema: &str,
    name: &str,
    columns: &[(&str, Cell)],
) -> Result<Table> {
    let cells: Vec<String> = columns
        .iter()
        .map(|(name, cell)| match cell {
            Cell::Int => format!("{name}::bigint::text"),
            Cell::Real => format!("encode(float8send({name}), 'hex')"),
            Cell::Text => format!("encode(convert_to({name}::text, 'UTF8'), 'hex')"),
            Cell::Blob => format!("encode({name}, 'hex')"),
        })
        .collect();
    let query = format!("SELECT {} FROM \"{schema}\".{name}", cells.join(", "));
    let mut table = server.rows(database, &query)?;
    table.sort();
    Ok(table)
}

/// What is in quarantine: by table, the text by key, hexadecimal.
fn quarantine(
    server: &Server,
    database: &str,
    schema: &str,
) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let table = format!("\"{schema}\"._switchover_quarantine");
    if server.psql(database, &format!("SELECT to_regclass('{table}') IS NULL"))? == "t" {
        return Ok(BTreeMap::new());
    }
    let query = format!(
        "SELECT table_name, locator::json->0->>'int', value
         FROM {table}"
    );
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in server.rows(database, &query)? {
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(&text(2))
            .map_err(|e| Error::new(format!("a value in quarantine is no JSON: {}", text(2)), e))?;
        let held =
            value["text"].as_str().ok_or_else(|| Error::new("a value in quarantine is no text", &value))?;
        if found.entry(text(0)).or_default().insert(text(1), hex(held.as_bytes())).is_some() {
            return Err(Error::new("the quarantine holds a value twice", text(1)));
        }
    }
    Ok(found)
}

fn shape(server: &Server, database: &str, schema: &str) -> Result<String> {
    let query = format!(
        "SELECT string_agg(line, ' ' ORDER BY line) FROM (
            SELECT 'c:' || c.relname || ':' || k.contype::text || ':' || k.convalidated::text AS line
            FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = '{schema}' AND c.relname NOT LIKE '\\_switchover%' AND k.contype <> 'n'
          UNION ALL SELECT 'i:' || count(*) FROM pg_indexes
            WHERE schemaname = '{schema}' AND tablename NOT LIKE '\\_switchover%'
          UNION ALL SELECT 'v:' || count(*) FROM pg_views WHERE schemaname = '{schema}') lines"
    );
    server.psql(database, &query)
}

/// What a database holds, as `pg_dump` writes it: two equal texts are two equal databases.
pub fn dump(server: &Server, database: &str) -> Result<String> {
    let mut command = std::process::Command::new(server.binaries.tool("pg_dump"));
    let open = Server { password: None, ..server.clone() };
    command.arg("-d").arg(open.conninfo(database));
    if let Some(password) = &server.password {
        command.env("PGPASSWORD", password);
    }
    let output = command.output().map_err(|e| Error::new("cannot run pg_dump", e))?;
    if !output.status.success() {
        return Err(Error::from_output("pg_dump failed", &output));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // Newer releases frame a dump with a word that is drawn anew each time.
    let lines =
        text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
