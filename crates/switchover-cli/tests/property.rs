//! Random schemas with random values and foreign keys: whatever they are, a migration with quarantine is verified as same,
//! and so it is by a comparison that shares no code with the verification. So it is under random mappings, whose
//! rows the test then reads by SQL of its own.
//!
//! That comparison reads the source through its own SELECTs and the target as text through `psql`, or a Weaviate through
//! plain HTTP; every
//! cell must be there in the text that its value has under the column's type, or NULL with the exact
//! value in quarantine. `SWITCHOVER_PROPERTY_CASES` asks for so many new cases; the seed of each is
//! printed, and `SWITCHOVER_PROPERTY_SEED` repeats one.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod support;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rusqlite::types::Value;
use std::collections::HashMap;
use support::{Case, check_with};
use switchover_core::codec::Codec;
use switchover_core::mapping::{ColumnMap, Mapping, TableMap};
use switchover_core::native::Native;
use switchover_core::plan::{ColumnPlan, Plan};
use switchover_core::value::OwnedValue;
use switchover_testkit::weaviate::{Address, Object};
use switchover_testkit::{Database, lite};

const CASES_DEFAULT: u64 = 64;

/// On a Weaviate, where each case makes and removes collections, which goes through a consensus.
const CASES_ON_SERVER: u64 = 12;

const TYPES: &[&str] = &[
    "",
    "INTEGER",
    "INT",
    "BIGINT UNSIGNED",
    "TEXT",
    "VARCHAR(3)",
    "CHAR(2)",
    "BLOB",
    "REAL",
    "DOUBLE PRECISION",
    "FLOAT",
    "NUMERIC",
    "NUMERIC(5,2)",
    "DECIMAL(20,0)",
    "BOOLEAN",
    "DATE",
    "DATETIME",
    "TIMESTAMPTZ",
    "UUID",
    "JSON",
    "STRING",
    "BLOB SUB_TYPE TEXT",
    "FLOATING POINT",
    "\"odd (type) name\"",
    "TINYINT(1)",
    "CLOB",
    "ANY",
];

const NAMES: &[&str] = &[
    "a",
    "B",
    "select",
    "user id",
    "quo\"te",
    "it's",
    "ключ",
    "😀",
    "rowid",
    "oid",
    "_rowid_",
    "Order",
    "a.b",
    "x/y",
    "%s",
    "$1",
    "back\\slash",
];

/// A table: a name, columns (name, type, not null), the kind of its key, rows, extras.
type Shape = (usize, Vec<(usize, usize)>, u8, Vec<Vec<Value>>, u8);

fn values() -> impl Strategy<Value = Value> {
    let texts = prop::sample::select(vec![
        "",
        "a",
        "12abc",
        "1e3",
        "0",
        "1",
        "t",
        "true",
        "false",
        "2024-02-29",
        "2024-02-29 12:34:56",
        "2024-02-29T12:34:56.5Z",
        "0000-00-00",
        "0188d9c2-af00-7fff-0102-0304050607aa",
        "0188D9C2AF007FFF01020304050607AA",
        "{\"a\": 1}",
        "{\"a\":1,\"a\":2}",
        "[1e400]",
        "{",
        "a\0b",
        "\0",
        "ab  ",
        "long enough for any varchar",
        "é😀",
        "-0",
        "NaN",
        "Infinity",
        "\\N",
        "\t\n\r\\",
    ]);
    let numbers = prop::sample::select(vec![
        0,
        1,
        2,
        -1,
        i64::MAX,
        i64::MIN,
        1 << 53,
        (1 << 53) + 1,
        1_700_000_000_000,
    ]);
    let reals = prop::sample::select(vec![
        0.0,
        -0.0,
        0.5,
        123.45,
        -999.99,
        1e300,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1 + 0.2,
        1e15,
        9.007_199_254_740_993e15,
    ]);
    prop_oneof![
        2 => Just(Value::Null),
        3 => numbers.prop_map(Value::Integer),
        2 => any::<i64>().prop_map(Value::Integer),
        3 => reals.prop_map(Value::Real),
        2 => any::<f64>().prop_map(|f| Value::Real(if f.is_nan() { 0.25 } else { f })),
        6 => texts.prop_map(|t| Value::Text(t.into())),
        3 => ".{0,12}".prop_map(Value::Text),
        3 => prop::collection::vec(any::<u8>(), 0..18).prop_map(Value::Blob),
    ]
}

fn table() -> impl Strategy<Value = Shape> {
    let columns = prop::collection::vec((0..NAMES.len(), 0..TYPES.len()), 1..6);
    columns.prop_flat_map(|columns| {
        let row = prop::collection::vec(values(), columns.len());
        (0..NAMES.len(), Just(columns), 0u8..6, prop::collection::vec(row, 0..14), any::<u8>())
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The text that the target shows for a value of a column of that type; `None` where it cannot hold it.
fn shown(value: &Value, ty: &str, bytes: Option<&[u8]>) -> Vec<String> {
    let float = |f: f64| {
        let (upper, plain) = (if f > 0.0 { "Infinity" } else { "-Infinity" }, format!("{f:?}"));
        if f.is_infinite() { upper.to_owned() } else { plain }
    };
    // A value of another class than the column's is never there: another row may hold its text by chance.
    match (value, base(ty)) {
        (Value::Integer(i), "bigint") => vec![i.to_string()],
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
    let wanted = shown(value, ty, bytes);
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

fn same_in_quarantine(value: &Value, bytes: Option<&[u8]>, held: &OwnedValue) -> bool {
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

/// A foreign key: its child and its parent, where the child's columns begin, which of the parent's keys, what it does.
type Link = (usize, usize, usize, u8, u8);

/// A table's name and its columns'.
fn named(at: usize, (name, columns, ..): &Shape) -> (String, Vec<String>) {
    let mut names: Vec<String> = Vec::new();
    for (column, _) in columns {
        let taken = names.iter().any(|other| other.eq_ignore_ascii_case(NAMES[*column]));
        names.push(if taken {
            format!("{}_{}", NAMES[*column], names.len())
        } else {
            NAMES[*column].to_owned()
        });
    }
    (format!("{} {at}", NAMES[*name]), names)
}

/// A foreign key as it is declared.
struct Key {
    child: usize,
    columns: Vec<String>,
    parent: String,
    parent_columns: Vec<String>,
    clause: String,
}

/// The foreign keys that can be: to a parent's key, of as many columns, any of the child's. Parents may come later, and be the
/// child itself.
fn keys(shapes: &[Shape], links: &[Link]) -> Vec<Key> {
    const ACTIONS: [&str; 5] = ["NO ACTION", "RESTRICT", "SET NULL", "CASCADE", "SET DEFAULT"];
    let mut found: Vec<Key> = Vec::new();
    for (child, parent, start, which, how) in links {
        let (child, parent) = (child % shapes.len(), parent % shapes.len());
        let ((_, own), (parent_name, names)) = (named(child, &shapes[child]), named(parent, &shapes[parent]));
        let pair: Vec<String> = names.iter().take(2).cloned().collect();
        let mut candidates: Vec<Vec<String>> = match shapes[parent].2 {
            1 | 2 => vec![names[..1].to_vec()],
            3 => vec![pair.clone()],
            _ => Vec::new(),
        };
        if shapes[parent].4.is_multiple_of(3) {
            candidates.push(pair);
        }
        if candidates.is_empty() {
            continue;
        }
        let parent_columns = candidates[usize::from(*which) % candidates.len()].clone();
        if own.len() < parent_columns.len() {
            continue;
        }
        let columns: Vec<String> =
            (0..parent_columns.len()).map(|at| own[(start + at) % own.len()].clone()).collect();
        if found.iter().any(|key| key.child == child && key.columns == columns) {
            continue;
        }
        let list = |names: &[String]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let action = |at: u8| ACTIONS[usize::from(at) % ACTIONS.len()];
        let deferred = if how.is_multiple_of(3) { " DEFERRABLE INITIALLY DEFERRED" } else { "" };
        let clause = format!(
            "FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} ON UPDATE {}{deferred}",
            list(&columns),
            quoted(&parent_name),
            list(&parent_columns),
            action(*how),
            action(how / 5)
        );
        found.push(Key { child, columns, parent: parent_name, parent_columns, clause });
    }
    found
}

/// Gives most rows a parent that is there, some none, and some NULL in a part of the key.
fn relate(source: &rusqlite::Connection, shapes: &[Shape], key: &Key) {
    let (table, _) = named(key.child, &shapes[key.child]);
    let list = |names: &[String]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let (parents, columns, table) = (list(&key.parent_columns), list(&key.columns), quoted(&table));
    let first = quoted(&key.columns[0]);
    let count = format!("SELECT count(*) FROM {}", quoted(&key.parent));
    let parents_there: i64 = source.query_row(&count, [], |row| row.get(0)).unwrap();
    for at in 0..parents_there.min(3) {
        // A row that is a key itself is not always another.
        let _ = source.execute_batch(&format!(
            "UPDATE OR IGNORE {table} SET ({columns}) = (SELECT {parents} FROM {} ORDER BY 1 LIMIT 1 OFFSET {at})
             WHERE coalesce(length({first}), 0) % 4 = {at}",
            quoted(&key.parent)
        ));
    }
    let _ = source.execute_batch(&format!(
        "UPDATE OR IGNORE {table} SET {first} = NULL WHERE typeof({first}) = 'text' AND length({first}) % 5 = 1"
    ));
}

/// Takes rows without a parent away, until each has one.
fn mend(source: &rusqlite::Connection) {
    loop {
        let mut check = source.prepare("PRAGMA foreign_key_check").unwrap();
        let orphans: Vec<String> =
            check.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let Some(table) = orphans.first() else { return };
        // WITHOUT ROWID they have no number: the table goes without rows.
        let by_number = format!(
            "DELETE FROM {0} WHERE rowid IN (SELECT rowid FROM pragma_foreign_key_check WHERE \"table\" = ?1)",
            quoted(table)
        );
        // Nor where a column has the number's name.
        if !source.execute(&by_number, [table]).is_ok_and(|rows| rows > 0) {
            source.execute(&format!("DELETE FROM {}", quoted(table)), []).unwrap();
        }
    }
}

/// Makes a table; rows that the source itself refuses are left out.
fn make(
    source: &rusqlite::Connection,
    cast: bool,
    at: usize,
    shape: &Shape,
    keys: &[Key],
) -> (String, Vec<String>) {
    let (_, columns, key, rows, extra) = shape;
    let (name, names) = named(at, shape);
    let mut parts: Vec<String> = (names.iter().zip(columns))
        .map(|(name, (_, ty))| format!("{} {}", quoted(name), TYPES[*ty]))
        .collect();
    let first = quoted(&names[0]);
    let pair = if names.len() > 1 { format!("{first}, {}", quoted(&names[1])) } else { first.clone() };
    let mut tail = "";
    match key {
        1 => parts[0] = format!("{first} INTEGER PRIMARY KEY"),
        2 => parts.push(format!("PRIMARY KEY ({first})")),
        3 => {
            parts.push(format!("PRIMARY KEY ({pair})"));
            tail = " WITHOUT ROWID";
        }
        4 => parts[0].push_str(" NOT NULL"),
        _ => {}
    }
    if extra % 3 == 0 {
        parts.push(format!("UNIQUE ({pair})"));
    }
    parts.extend(keys.iter().filter(|key| key.child == at).map(|key| key.clause.clone()));
    let create = format!("CREATE TABLE {}({}){tail}", quoted(&name), parts.join(", "));
    source.execute_batch(&create).unwrap_or_else(|error| panic!("{create}: {error}"));
    if extra % 5 == 0 {
        source.execute_batch(&format!("CREATE INDEX \"i {at}\" ON {}({pair})", quoted(&name))).unwrap();
    }
    let marks: Vec<String> = (1..=names.len())
        // A blob in the place of a text, cast in the database, is a text of any bytes.
        .map(|n| {
            if cast && extra % 4 == 0 {
                format!("CASE typeof(?{n}) WHEN 'blob' THEN CAST(?{n} AS TEXT) ELSE ?{n} END")
            } else {
                format!("?{n}")
            }
        })
        .collect();
    let insert = format!("INSERT OR IGNORE INTO {} VALUES ({})", quoted(&name), marks.join(", "));
    for row in rows {
        // A datatype mismatch in an INTEGER PRIMARY KEY is no row.
        let _ = source.execute(&insert, rusqlite::params_from_iter(row));
    }
    (name, names)
}

/// What a table of the target is to hold.
struct Expected {
    /// Its name in the plan, and on the target.
    table: (String, String),
    /// Its columns likewise.
    columns: Vec<(String, String)>,
    /// The same rows by SQL of the test's own.
    select: String,
}

/// A table as it is.
fn unmapped((table, names): &(String, Vec<String>)) -> Expected {
    let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    Expected {
        table: (table.clone(), table.clone()),
        columns: names.iter().map(|name| (name.clone(), name.clone())).collect(),
        select: format!("SELECT {} FROM {}", list.join(", "), quoted(table)),
    }
}

/// A mapping of a table, and what must come of it; `choices` has a number for each decision.
fn mapped(made: &(String, Vec<String>), choices: &[u8], mapping: &mut Mapping) -> Vec<Expected> {
    let (table, names) = made;
    let choice = |at: usize| choices[at % choices.len()];
    let (mut columns, mut cells) = (Vec::new(), Vec::new());
    let mut map = TableMap::default();
    for (at, name) in names.iter().enumerate() {
        let column = quoted(name);
        let mut own = ColumnMap::default();
        let mut cell = column.clone();
        // The first two may be keys, which are not dropped, and whose new values would have to be keys.
        match choice(at) % 8 {
            0 | 1 if at > 1 => {
                map.columns.insert(name.clone(), ColumnMap { drop: true, ..own });
                continue;
            }
            2 | 3 if at > 1 => {
                cell = match choice(at + 7) % 4 {
                    0 => format!("typeof({column}) -- its class"),
                    1 => format!("coalesce({column}, 'none')"),
                    2 => format!("CASE WHEN typeof({column}) = 'text' THEN {column} ELSE 1 END"),
                    _ => format!("{column} IS NULL"),
                };
                own.value = Some(cell.clone());
            }
            _ => {}
        }
        let to = match choice(at + 3) % 12 {
            0 => format!("new {at}"),
            // A name that every target takes.
            3 | 6 | 9 => format!("new_{at}"),
            _ => name.clone(),
        };
        own.to = (to != *name).then(|| to.clone());
        if own != ColumnMap::default() {
            map.columns.insert(name.clone(), own);
        }
        columns.push((name.clone(), to));
        cells.push(format!("({cell}\n)"));
    }
    if choice(11) % 4 == 0 {
        map.columns.insert("made".into(), ColumnMap { value: Some("1 + 1".into()), ..ColumnMap::default() });
        columns.push(("made".into(), "made".into()));
        cells.push("2".into());
    }
    let first = quoted(&names[0]);
    let select = |filter: &str| format!("SELECT {} FROM {} WHERE {filter}", cells.join(", "), quoted(table));
    let expected = |name: &str, target: &str, filter: &str| Expected {
        table: (name.to_owned(), target.to_owned()),
        columns: columns.clone(),
        select: select(filter),
    };
    if choice(13) % 3 == 0 {
        let halves = [
            format!("{first} IS NULL OR typeof({first}) = 'text'"),
            format!("NOT ({first} IS NULL OR typeof({first}) = 'text')"),
        ];
        let half = |(at, filter): (usize, &String)| {
            let name = format!("{table} half {at}");
            let map = TableMap { from: vec![table.clone()], filter: Some(filter.clone()), ..map.clone() };
            mapping.tables.insert(name.clone(), map);
            expected(&name, &name, filter)
        };
        return halves.iter().enumerate().map(half).collect();
    }
    let filter = match choice(17) % 4 {
        0 => Some(format!("{first} IS NOT NULL")),
        1 => Some(format!("typeof({first}) <> 'integer' OR {first} % 2 = 0")),
        _ => None,
    };
    let number = table.rsplit(' ').next().unwrap_or_default();
    let to = match choice(19) % 16 {
        0 => Some(format!("renamed {table}")),
        even if even % 2 == 0 => Some(format!("Renamed_{number}")),
        _ => None,
    };
    let found = expected(table, to.as_deref().unwrap_or(table), filter.as_deref().unwrap_or("1"));
    mapping.tables.insert(table.clone(), TableMap { to, filter, ..map });
    vec![found]
}

/// Makes the source, and says what must come of it.
fn source(input: &Input, orphans: bool, choices: &[Vec<u8>]) -> (Case, Vec<Expected>, Mapping) {
    let (encoding, shapes, links) = input;
    let keys = keys(shapes, links);
    let mut made = Vec::new();
    let case = check_with(|source| {
        source.execute_batch(&format!("PRAGMA encoding = '{encoding}'; PRAGMA foreign_keys = OFF")).unwrap();
        made = shapes
            .iter()
            .enumerate()
            .map(|(at, shape)| make(source, *encoding == "UTF-8", at, shape, &keys))
            .collect();
        keys.iter().for_each(|key| relate(source, shapes, key));
        if !orphans {
            mend(source);
        }
    });
    let mut mapping = Mapping::default();
    let all: Vec<Expected> = match choices {
        [] => made.iter().map(unmapped).collect(),
        choices => (made.iter().zip(choices.iter().cycle()))
            .flat_map(|(made, choices)| mapped(made, choices, &mut mapping))
            .collect(),
    };
    (case, all, mapping)
}

/// The texts that the built-in SQLite makes numbers of when they are written again to a column of their type:
/// `3\0` stays a text where another encoding or another version took it for one.
fn texts_that_do_not_stay(source: &rusqlite::Connection) -> u32 {
    let fresh = rusqlite::Connection::open_in_memory().unwrap();
    let columns = "SELECT t.name, c.name, c.type FROM pragma_table_list t, pragma_table_info(t.name) c
                   WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%'";
    let mut columns = source.prepare(columns).unwrap();
    let columns = columns.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let columns: Vec<(String, String, String)> = columns.map(Result::unwrap).collect();
    let mut count = 0;
    for (at, (table, column, ty)) in columns.iter().enumerate() {
        fresh.execute_batch(&format!("CREATE TABLE t{at}(c {})", quoted(ty))).unwrap();
        let column = quoted(column);
        let texts = format!("SELECT {column} FROM {} WHERE typeof({column}) = 'text'", quoted(table));
        let mut texts = source.prepare(&texts).unwrap();
        let mut texts = texts.query([]).unwrap();
        while let Some(row) = texts.next().unwrap() {
            use rusqlite::types::ToSqlOutput::Borrowed;
            fresh
                .execute(&format!("INSERT INTO t{at} VALUES (?1)"), [Borrowed(row.get_ref(0).unwrap())])
                .unwrap();
        }
        let others = format!("SELECT count(*) FROM t{at} WHERE typeof(c) <> 'text'");
        count += fresh.query_row(&others, [], |row| row.get::<_, u32>(0)).unwrap();
    }
    count
}

/// In another file everything is as it was, or as the mapping makes it, and nothing is in quarantine.
fn holds_in_a_file(input: &Input, choices: &[Vec<u8>]) {
    let (case, all, mapping) = source(input, false, choices);
    let case = case.options(|options| options.mapping = mapping).into_file();
    let refusals = case.plan().refusals;
    if !choices.is_empty() && refusals.iter().any(|refusal| refusal.why.contains("parent")) {
        // The mapping left their parents behind.
        case.migrate().expect_err("it must refuse");
        return;
    }
    if refusals.iter().any(|refusal| refusal.why.contains("looks like a number")) {
        assert!(texts_that_do_not_stay(&case.source()) as usize >= refusals.len(), "{refusals:?}");
        case.migrate().expect_err("it must refuse");
        return;
    }
    let moved = case.moves();
    let (from, to) = (moved.case.path(), moved.case.file());
    for Expected { table: (_, table), columns, select } in &all {
        let list: Vec<String> = columns.iter().map(|(_, name)| quoted(name)).collect();
        let there = format!("SELECT {} FROM {}", list.join(", "), quoted(table));
        let found = lite::differing_rows(from, select, &to, &there).unwrap();
        assert!(found.is_empty(), "{table}: {found:#?}");
    }
    let target = rusqlite::Connection::open(&to).unwrap();
    assert!(
        !target.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap(),
        "a row without a parent"
    );
    if choices.is_empty() {
        let found = lite::differences_by_name(from, &to).unwrap();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// Whether it was carried out: in a dump, and from there in another file, everything is as it was. A store that a dump
/// cannot say, or that says nothing of a table, is refused in words.
fn holds_in_a_dump(input: &Input) -> bool {
    let (case, all, _) = source(input, false, &[]);
    let count = |table: &str| -> i64 {
        let query = format!("SELECT count(*) FROM {}", quoted(table));
        case.source().query_row(&query, [], |row| row.get(0)).unwrap()
    };
    let all: Vec<Expected> = all.into_iter().filter(|expected| count(&expected.table.0) > 0).collect();
    if all.is_empty() {
        return false;
    }
    let case = case.into_dump();
    let original = case.path().to_owned();
    let refused = |case: &Case, words: &[&str]| {
        let refusals = case.plan().refusals;
        let known = |why: &str| words.iter().any(|words| why.contains(words));
        assert!(refusals.iter().all(|refusal| known(&refusal.why)), "{refusals:?}");
        !refusals.is_empty()
    };
    if refused(&case, &["not valid UTF-8", "beyond", "name", "column"]) {
        case.migrate().expect_err("it must refuse");
        assert!(!case.dump().exists());
        return false;
    }
    let back = case.by_dump();
    // A column that happens to be called `id` is a dump's key.
    if refused(&back, &["occurs in an earlier row", "looks like a number", "name"]) {
        back.migrate().expect_err("it must refuse");
        return false;
    }
    let plan = back.plan();
    let moved = back.moves();
    for Expected { table: (_, table), columns, .. } in &all {
        let planned = &plan.tables.iter().find(|planned| planned.source == *table).unwrap().columns;
        let list: Vec<String> = columns.iter().map(|(_, name)| quoted(name)).collect();
        // Integers among reals come as reals, by value, and the plan says so.
        let said =
            |name: &str| planned.iter().any(|c| c.source == name && c.why.contains("reals hold all of them"));
        let own = columns.iter().zip(&list).map(|((_, name), list)| match said(name) {
            true => format!("iif(typeof({list}) = 'integer', CAST({list} AS REAL), {list})"),
            false => list.clone(),
        });
        let own = format!("SELECT {} FROM {}", own.collect::<Vec<_>>().join(", "), quoted(table));
        let there = format!("SELECT {} FROM {}", list.join(", "), quoted(table));
        let found = lite::differing_rows(&original, &own, &moved.case.file(), &there).unwrap();
        assert!(found.is_empty(), "{table}: {found:#?}");
    }
    true
}

/// What a table of the target holds: its columns' types, and each row's values as texts.
type Shown = (Vec<String>, Vec<Vec<Option<String>>>);

fn by_postgres(database: &Database, Expected { table: (_, table), columns, .. }: &Expected) -> Shown {
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
fn by_server(server: &Address, plan: &Plan, expected: &Expected) -> Shown {
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

/// Whether it was carried out, and not refused in words with nothing written.
fn holds(to_server: bool, input: &Input, choices: &[Vec<u8>]) -> bool {
    let (case, all, mapping) = source(input, true, choices);
    let case = case.options(|options| options.mapping = mapping).quarantine();
    let case = if to_server { case.into_server() } else { case };
    let planned = to_server.then(|| case.plan());
    if let (Some(plan), Some(server)) = (&planned, case.server())
        && !plan.refusals.is_empty()
    {
        assert!(plan.refusals.iter().all(|refusal| !refusal.why.is_empty() && !refusal.hint.is_empty()));
        case.migrate().expect_err("it must refuse");
        assert_eq!(server.collections().unwrap(), Vec::<String>::new());
        println!("refused: {:?}", plan.refusals.iter().map(|refusal| &refusal.why).collect::<Vec<_>>());
        return false;
    }
    let moved = case.quarantines();
    let source = moved.case.source();
    let entries = moved.entries();
    for expected in &all {
        let Expected { table: (plan, table), columns, select } = expected;
        let names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
        let (types, mut held) = match (&planned, moved.case.server()) {
            (Some(planned), Some(server)) => by_server(server, planned, expected),
            _ => by_postgres(&moved.case.database, expected),
        };
        let own: Vec<_> = entries.iter().filter(|entry| entry.0 == *plan).collect();
        let mut out: HashMap<String, Vec<(String, OwnedValue, bool)>> = HashMap::new();
        for entry in &own {
            out.entry(format!("{:?}", entry.1)).or_default().push((
                entry.2.clone(),
                entry.3.clone(),
                entry.4,
            ));
        }
        let mut out: Vec<_> = out.into_values().collect();
        let mut statement = source.prepare(select).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<(Value, Option<Vec<u8>>)> = (0..names.len())
                .map(|at| {
                    let cell = row.get_ref(at).unwrap();
                    let bytes = cell.as_bytes().ok().map(<[u8]>::to_vec);
                    let value = match cell {
                        rusqlite::types::ValueRef::Text(t) => {
                            Value::Text(String::from_utf8_lossy(t).into_owned())
                        }
                        other => other.try_into().unwrap(),
                    };
                    (value, bytes)
                })
                .collect();
            let says_all = |found: &[Option<String>], missing: &[(String, OwnedValue, bool)]| {
                cells.iter().enumerate().all(|(at, (value, bytes))| {
                    let entry = missing.iter().find(|entry| entry.0 == *names[at]);
                    match (&found[at], entry) {
                        (None, Some(entry)) => same_in_quarantine(value, bytes.as_deref(), &entry.1),
                        (None, None) => *value == Value::Null,
                        (Some(_), Some(_)) => false,
                        (Some(text), None) => says(text, value, &types[at], bytes.as_deref()),
                    }
                })
            };
            let nothing = vec![None; names.len()];
            let whole = out.iter().position(|entries| {
                entries[0].2 && entries.len() == names.len() && says_all(&nothing, entries)
            });
            if let Some(at) = whole {
                out.remove(at);
                continue;
            }
            let clean = held.iter().position(|found| says_all(found, &[]));
            if let Some(at) = clean {
                held.remove(at);
                continue;
            }
            let partly = (0..out.len()).find_map(|entry| {
                let at = held.iter().position(|found| !out[entry][0].2 && says_all(found, &out[entry]))?;
                Some((entry, at))
            });
            let Some((entry, at)) = partly else {
                panic!("{table} {names:?} {types:?}: {cells:?} is neither in {held:?} nor in {out:?}")
            };
            out.remove(entry);
            held.remove(at);
        }
        assert!(held.is_empty() && out.is_empty(), "{table}: {held:?} {out:?} come from nowhere");
    }
    true
}

/// As many cases as asked for, each of a seed of its own, which is printed.
fn each_case(check: impl FnMut(&mut TestRunner)) {
    each_of(CASES_DEFAULT, check);
}

fn each_of(cases: u64, mut check: impl FnMut(&mut TestRunner)) {
    for seed in switchover_testkit::seeds(cases) {
        println!("SWITCHOVER_PROPERTY_SEED={seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        check(&mut TestRunner::new_with_rng(
            Config { cases: 1, failure_persistence: None, ..Config::default() },
            rng,
        ));
    }
}

/// An encoding, tables, and the foreign keys between them.
type Input = (&'static str, Vec<Shape>, Vec<Link>);

fn input() -> impl Strategy<Value = Input> {
    let encodings = prop::sample::select(vec!["UTF-8", "UTF-8", "UTF-16le", "UTF-16be"]);
    let link = (0usize..4, 0usize..4, 0usize..5, any::<u8>(), any::<u8>());
    (encodings, prop::collection::vec(table(), 1..4), prop::collection::vec(link, 0..4))
}

#[test]
fn whatever_the_source_holds_is_in_another_file_as_it_was() {
    each_case(|runner| {
        let input = input().new_tree(runner).unwrap().current();
        holds_in_a_file(&input, &[]);
    });
}

#[test]
fn whatever_a_mapping_makes_of_it_is_in_another_file() {
    each_case(|runner| {
        let choices = prop::collection::vec(prop::collection::vec(any::<u8>(), 23), 3);
        let (input, choices) = (input(), choices).new_tree(runner).unwrap().current();
        holds_in_a_file(&input, &choices);
    });
}

#[test]
fn whatever_the_source_holds_comes_back_from_a_dump_or_is_refused() {
    let mut carried_out = 0;
    each_case(|runner| {
        let input = input().new_tree(runner).unwrap().current();
        carried_out += u64::from(holds_in_a_dump(&input));
    });
    assert!(carried_out > 0, "all were refused");
}

#[test]
fn whatever_the_source_holds_is_on_the_target_or_in_quarantine() {
    each_case(|runner| {
        let input = input().new_tree(runner).unwrap().current();
        holds(false, &input, &[]);
    });
}

#[test]
fn whatever_a_mapping_makes_of_it_is_on_the_target_or_in_quarantine() {
    each_case(|runner| {
        let choices = prop::collection::vec(prop::collection::vec(any::<u8>(), 23), 3);
        let (input, choices) = (input(), choices).new_tree(runner).unwrap().current();
        holds(false, &input, &choices);
    });
}

#[test]
fn whatever_the_source_holds_is_on_a_server_or_in_quarantine_or_refused() {
    let mut carried_out = 0;
    each_of(CASES_ON_SERVER, |runner| {
        let input = input().new_tree(runner).unwrap().current();
        carried_out += u64::from(holds(true, &input, &[]));
    });
    assert!(carried_out > 0, "all were refused");
}

#[test]
fn whatever_a_mapping_makes_of_it_is_on_a_server_or_in_quarantine_or_refused() {
    let mut carried_out = 0;
    each_of(CASES_ON_SERVER, |runner| {
        let choices = prop::collection::vec(prop::collection::vec(any::<u8>(), 23), 3);
        let (input, choices) = (input(), choices).new_tree(runner).unwrap().current();
        carried_out += u64::from(holds(true, &input, &choices));
    });
    assert!(carried_out > 0, "all were refused");
}
