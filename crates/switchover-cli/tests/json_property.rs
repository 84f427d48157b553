//! Random dumps: whatever they hold, a migration with quarantine is verified as same, and so it is by PostgreSQL's own
//! reading of each value's text, which shares no code with the tool.
//!
//! Every cell must be equal to what PostgreSQL makes of the JSON text under the column's type, or NULL where the value
//! is in quarantine. `SWITCHOVER_PROPERTY_CASES` asks for more cases; each prints its seed, and
//! `SWITCHOVER_PROPERTY_SEED` repeats one.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::io::Write;
use support::check_json;

const CASES_DEFAULT: u64 = 24;

const NAMES: &[&str] =
    &["a", "B", "select", "user id", "quo\"te", "ключ", "😀", "a.b", "$1", "back\\slash", "it's"];

/// Values by kind, as they stand in the text.
const KINDS: &[&[&str]] = &[
    &["true", "false"],
    &["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "42"],
    &["0", "0.5", "1e3", "-2.5E-3", "0.1", "5e-324", "1.7976931348623157e308", "-0", "123456789.25"],
    &["12345678901234567890", "0.10000000000000000000001", "1e400", "1.50", "-1e-400"],
    &[
        "\"\"",
        "\"a\"",
        "\"  \"",
        "\"\\u00e9\\ud83d\\ude00\"",
        "\"tab\\t\\\"\\\\\\/\"",
        "\"\\u0000\"",
        "\"x\\udc00\"",
        "\"NULL\"",
        "\"\\\\N\"",
        "\"1\"",
        "\"true\"",
    ],
    &["\"0188d9c2-af00-7fff-0102-0304050607aa\"", "\"0188d9c2-af00-7fff-0102-0304050607ab\""],
    &["\"2024-02-29T12:34:56Z\"", "\"0001-01-01T00:00:00Z\"", "\"9999-12-31T23:59:59Z\""],
    &["\"2024-02-29 12:34:56.5\"", "\"1969-12-31 23:59:59\""],
    &["\"2024-02-29\"", "\"0001-01-01\""],
    &[
        "{ }",
        "[ ]",
        "[1, 2.50,\n\t\"x y\"]",
        "{\"b\" : 1, \"a\": [true, null]}",
        "{\"a\":1,\"a\":2}",
        "[1e200000]",
        "[\"\\u0000\"]",
    ],
];

/// A table: how its rows stand, columns (name, kind, or any kind), rows of values by choice.
type Shape = (u8, Vec<(usize, usize)>, Vec<Vec<usize>>, bool);

fn tables() -> impl Strategy<Value = Vec<Shape>> {
    let columns = prop::collection::vec((0..NAMES.len(), 0..=KINDS.len()), 1..6);
    let rows = prop::collection::vec(prop::collection::vec(0..1000usize, 6), 1..12);
    prop::collection::vec((0..2u8, columns, rows, any::<bool>()), 1..4)
}

/// A value's text; none is an absent key.
fn value(kind: usize, choice: usize) -> Option<&'static str> {
    match (choice % 7, kind) {
        (0, _) => None,
        (1, _) => Some("null"),
        (_, kind) => {
            let all = KINDS.get(kind).unwrap_or(&KINDS[choice % KINDS.len()]);
            Some(all[choice / 7 % all.len()])
        }
    }
}

struct Written {
    name: String,
    text: String,
    /// A row each: its values' texts by column.
    rows: Vec<BTreeMap<&'static str, &'static str>>,
}

fn write(at: usize, (keyed, columns, rows, spaced): &Shape) -> Written {
    let mut written = Written { name: format!("t{at}"), text: String::new(), rows: Vec::new() };
    let space = if *spaced { " \n\t" } else { "" };
    let texts: Vec<String> = (rows.iter().zip(1..))
        .map(|(choices, number)| {
            let mut cells = BTreeMap::new();
            let mut members = Vec::new();
            if *keyed == 0 {
                members.push(format!("\"id\":{space}{number}"));
            }
            for ((name, kind), choice) in columns.iter().zip(choices) {
                if let (Some(text), false) = (value(*kind, *choice), cells.contains_key(NAMES[*name])) {
                    members.push(format!(
                        "{space}{}{space}: {text}",
                        serde_json::to_string(NAMES[*name]).unwrap()
                    ));
                    cells.insert(NAMES[*name], text);
                }
            }
            if choices[0] % 2 == 0 {
                members.reverse();
            }
            written.rows.push(cells);
            let object = format!("{{{}{space}}}", members.join(","));
            if *keyed == 0 { object } else { format!("\"{number}\"{space}:{object}") }
        })
        .collect();
    let (open, close) = if *keyed == 0 { ('[', ']') } else { ('{', '}') };
    written.text = format!("{open}{space}{}{space}{close}", texts.join(&format!("{space},")));
    written
}

/// A value's text as it stands in a column of JSON texts.
fn compact(text: &str) -> &str {
    match text {
        "{ }" => "{}",
        "[ ]" => "[]",
        "[1, 2.50,\n\t\"x y\"]" => "[1,2.50,\"x y\"]",
        "{\"b\" : 1, \"a\": [true, null]}" => "{\"b\":1,\"a\":[true,null]}",
        other => other,
    }
}

/// What PostgreSQL makes of a value's text under a type. A column that does not hold texts alone holds JSON texts.
fn literal(text: &str, ty: &str, only_texts: bool) -> Option<String> {
    let inside = match (ty, text.starts_with('"')) {
        ("text", _) if !only_texts => compact(text).to_owned(),
        ("jsonb", _) | (_, false) => text.to_owned(),
        // No text: it must be in quarantine.
        _ => serde_json::from_str::<String>(text).ok().filter(|text| !text.contains('\0'))?,
    };
    Some(format!("$literal${inside}$literal$::{ty}"))
}

#[test]
fn random_dumps_arrive() {
    for seed in switchover_testkit::seeds(CASES_DEFAULT) {
        println!("SWITCHOVER_PROPERTY_SEED={seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let shapes =
            tables().new_tree(&mut TestRunner::new_with_rng(Config::default(), random)).unwrap().current();
        arrives(&shapes, seed % 3 == 0);
    }
}

fn arrives(shapes: &[Shape], packed: bool) {
    let tables: Vec<Written> = shapes.iter().enumerate().map(|(at, shape)| write(at, shape)).collect();
    let members: Vec<String> =
        tables.iter().map(|table| format!("\"{}\" : {}", table.name, table.text)).collect();
    let json = format!("{{{}}}", members.join(","));
    println!("{json}");
    let mut content = json.into_bytes();
    if packed {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&content).unwrap();
        content = gzip.finish().unwrap();
    }
    let moved = check_json(&[(if packed { "dump.json.gz" } else { "dump.json" }, &content)])
        .quarantine()
        .quarantines();
    let entries = moved.entries();
    let mut expected = 0;
    for table in &tables {
        let types = moved.case.database.rows(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
             WHERE attrelid = '{}'::regclass AND attnum > 0",
            table.name
        ));
        let mut wrong = Vec::new();
        for column in types.unwrap() {
            let (name, ty) = (column[0].clone().unwrap(), column[1].clone().unwrap());
            let is_text = |row: &BTreeMap<&str, &str>| {
                row.get(name.as_str()).is_none_or(|text| *text == "null" || text.starts_with('"'))
            };
            let only_texts = table.rows.iter().all(is_text);
            for (row, number) in table.rows.iter().zip(1..) {
                let id = number.to_string();
                let text = if name == "id" { Some(id.as_str()) } else { row.get(name.as_str()).copied() };
                let text = text.filter(|text| *text != "null");
                let wanted = text.and_then(|text| literal(text, &ty, only_texts));
                if text.is_some() && wanted.is_none() {
                    let held = |(t, locator, c, ..): &&support::Entry| {
                        (t, c) == (&table.name, &name)
                            && *locator == [switchover_core::value::OwnedValue::Int(number)]
                    };
                    assert_eq!(entries.iter().filter(held).count(), 1, "{} {name} {number}", table.name);
                    expected += 1;
                }
                wrong.push(format!(
                    "SELECT '{number}: ' || $name${name}$name$ FROM {} WHERE id::text = '{number}' AND {} IS DISTINCT FROM {}",
                    table.name,
                    format_args!("\"{}\"", name.replace('"', "\"\"")),
                    wanted.unwrap_or_else(|| "NULL".into())
                ));
            }
        }
        moved.shows(&wrong.join(" UNION ALL "), "");
        moved.shows(
            &format!("SELECT count(*), count(DISTINCT id) FROM {}", table.name),
            &format!("{0}|{0}", table.rows.len()),
        );
    }
    assert_eq!(entries.len(), expected);
}
