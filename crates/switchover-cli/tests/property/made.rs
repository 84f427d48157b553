//! Random tables, with foreign keys between them and rows in them.

use proptest::prelude::*;
use rusqlite::types::Value;

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
pub(crate) type Shape = (usize, Vec<(usize, usize)>, u8, Vec<Vec<Value>>, u8);

/// A foreign key: its child and its parent, where the child's columns begin, which of the parent's keys, what it does.
type Link = (usize, usize, usize, u8, u8);

/// An encoding, tables, and the foreign keys between them.
pub(crate) type Input = (&'static str, Vec<Shape>, Vec<Link>);

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

pub(crate) fn input() -> impl Strategy<Value = Input> {
    let encodings = prop::sample::select(vec!["UTF-8", "UTF-8", "UTF-16le", "UTF-16be"]);
    let link = (0usize..4, 0usize..4, 0usize..5, any::<u8>(), any::<u8>());
    (encodings, prop::collection::vec(table(), 1..4), prop::collection::vec(link, 0..4))
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's name and its columns'.
pub(crate) fn named(at: usize, (name, columns, ..): &Shape) -> (String, Vec<String>) {
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
pub(crate) struct Key {
    pub(crate) child: usize,
    pub(crate) columns: Vec<String>,
    parent: String,
    parent_columns: Vec<String>,
    clause: String,
}

/// The foreign keys that can be: to a parent's key, of as many columns, any of the child's. Parents may come later, and be the
/// child itself.
pub(crate) fn keys(shapes: &[Shape], links: &[Link]) -> Vec<Key> {
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
pub(crate) fn relate(source: &rusqlite::Connection, shapes: &[Shape], key: &Key) {
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
pub(crate) fn mend(source: &rusqlite::Connection) {
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
pub(crate) fn make(
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
