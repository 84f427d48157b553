//! Random rows into tables with columns of random types: what the type holds is there, to the bit, and everything else
//! in quarantine, with its value; nothing is lost, and nothing is put aside without need.
//!
//! What a column holds is said here, without the product: the value itself, of the type's own kind. Where a type could
//! take a value of another kind too (an integral real as an integer), both outcomes are right, but only as that value.
//! `SWITCHOVER_PROPERTY_CASES` and `SWITCHOVER_PROPERTY_SEED` choose how many and which.
#![expect(clippy::print_stdout, clippy::panic, reason = "tests; a seed is shown with a failure")]

use crate::app::App;
use crate::common::dump::hex;
use crate::common::run;
use rusqlite::types::Value;
use std::collections::BTreeMap;
use switchover_testkit::sample::Random;

/// Tables, unless the environment says how many.
const CASES: u64 = 12;

/// Rows of a table at most.
const ROWS: i64 = 60;

/// What SQLite declares a column as; without a type it keeps every value as it is.
const DECLARED: [&str; 6] = ["INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", ""];

/// Types of the target, and how a test reads a column of them.
const TYPES: [(&str, &str); 11] = [
    ("smallint", "{}::text"),
    ("integer", "{}::text"),
    ("bigint", "{}::text"),
    ("numeric", "trim_scale({})::text"),
    ("numeric(9,3)", "trim_scale({})::text"),
    ("real", "encode(float8send({}::float8), 'hex')"),
    ("double precision", "encode(float8send({}), 'hex')"),
    ("text", "encode(convert_to({}, 'UTF8'), 'hex')"),
    ("varchar(5)", "encode(convert_to({}, 'UTF8'), 'hex')"),
    ("bytea", "encode({}, 'hex')"),
    ("boolean", "{}::int::text"),
];

/// What must become of a value.
enum Must {
    /// It is there, and reads so.
    Be(String),
    /// It is there and reads so, or it is in quarantine.
    BeIfAny(String),
    /// It is in quarantine.
    Leave,
}

fn bits(number: f64) -> String {
    hex(&number.to_be_bytes())
}

/// The digits of a number, as PostgreSQL writes a `numeric` without zeros at its end.
fn digits(number: f64) -> String {
    let text = format!("{number}");
    if text == "-0" { "0".into() } else { text }
}

fn must(ty: &str, value: &Value) -> Must {
    let whole = |max: i64| match value {
        Value::Integer(i) if (-max - 1..=max).contains(i) => Must::Be(i.to_string()),
        Value::Real(f) if f.fract() == 0.0 && f.abs() <= 9e15 && (*f as i64).abs() <= max => {
            Must::BeIfAny((*f as i64).to_string())
        }
        Value::Text(text) => text.trim().parse().map_or(Must::Leave, |i: i64| Must::BeIfAny(i.to_string())),
        _ => Must::Leave,
    };
    let text = |max: usize| match value {
        Value::Text(text) if !text.contains('\0') && text.chars().count() <= max => {
            Must::Be(hex(text.as_bytes()))
        }
        Value::Integer(i) => Must::BeIfAny(hex(i.to_string().as_bytes())),
        Value::Real(f) => Must::BeIfAny(hex(format!("{f:?}").as_bytes())),
        _ => Must::Leave,
    };
    match ty {
        "smallint" => whole(i16::MAX.into()),
        "integer" => whole(i32::MAX.into()),
        "bigint" => whole(i64::MAX),
        "numeric" => match value {
            Value::Integer(i) => Must::Be(i.to_string()),
            Value::Real(f) if f.is_finite() => Must::BeIfAny(digits(*f)),
            Value::Text(text) => Must::BeIfAny(text.trim().to_owned()),
            _ => Must::Leave,
        },
        "numeric(9,3)" => match value {
            Value::Integer(i) if i.unsigned_abs() < 1_000_000 => Must::Be(i.to_string()),
            Value::Real(f)
                if f.abs() < 1e6 && digits(*f).split_once('.').is_none_or(|(_, d)| d.len() <= 3) =>
            {
                Must::BeIfAny(digits(*f))
            }
            Value::Text(text) => Must::BeIfAny(text.trim().to_owned()),
            _ => Must::Leave,
        },
        "real" => match value {
            Value::Real(f) if f64::from(*f as f32) == *f => Must::Be(bits(*f)),
            Value::Integer(i) if (*i as f32) as i64 == *i => Must::BeIfAny(bits(*i as f64)),
            _ => Must::Leave,
        },
        "double precision" => match value {
            Value::Real(f) => Must::Be(bits(*f)),
            Value::Integer(i) if i.unsigned_abs() <= 1 << 53 => Must::BeIfAny(bits(*i as f64)),
            _ => Must::Leave,
        },
        "text" => text(usize::MAX),
        "varchar(5)" => text(5),
        "bytea" => match value {
            Value::Blob(bytes) => Must::BeIfAny(hex(bytes)),
            Value::Text(text) => Must::BeIfAny(hex(text.as_bytes())),
            _ => Must::Leave,
        },
        "boolean" => match value {
            Value::Integer(i @ (0 | 1)) => Must::BeIfAny(i.to_string()),
            Value::Text(_) | Value::Real(_) => Must::BeIfAny("?".into()),
            _ => Must::Leave,
        },
        other => unreachable!("{other}"),
    }
}

fn pick<T: Clone>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as i64) as usize].clone()
}

/// A value: of the kind that the column's type is for in most rows, of any in the others.
fn value(random: &mut Random, ty: &str) -> Value {
    let bound = 1_i64 << random.below(63);
    let integer = Value::Integer(random.below(bound) * pick(random, &[1, -1]));
    let real = match random.below(4) {
        0 => Value::Real(f64::from_bits(random.next_u64())),
        1 => Value::Real(random.below(1000) as f64 / 8.0),
        2 => Value::Real(random.below(2_000_000) as f64 / 1000.0),
        _ => Value::Real(pick(random, &[-0.0, 0.1, 1e300, f64::MAX, f64::INFINITY, 5e-324])),
    };
    let letters: Vec<char> = "abä😀 '\\\"\t12".chars().collect();
    let mut word: String = (0..random.below(9)).map(|_| pick(random, &letters)).collect();
    if random.below(12) == 0 {
        word.push('\0');
    }
    let text = Value::Text(word);
    let blob = Value::Blob((0..random.below(9)).map(|_| random.next_u64() as u8).collect());
    let any = [integer.clone(), real.clone(), text.clone(), blob.clone(), Value::Integer(random.below(2))];
    let own = match ty {
        "smallint" | "integer" | "bigint" => integer,
        "numeric" | "numeric(9,3)" => pick(random, &[integer, real]),
        "real" | "double precision" => real,
        "text" | "varchar(5)" => text,
        "bytea" => blob,
        _ => Value::Integer(random.below(2)),
    };
    match random.below(10) {
        0 => Value::Null,
        1 => pick(random, &any),
        _ => own,
    }
}

/// The bytes of a text in base64: RFC 4648, by nobody else's code.
fn bytes(text: &str) -> Vec<u8> {
    let bits = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => unreachable!("{other} in {text}"),
    };
    let letters: Vec<u8> = text.trim_end_matches('=').bytes().map(bits).collect();
    let group = |part: &[u8]| {
        let all = (0..4).fold(0_u32, |all, at| all << 6 | u32::from(part.get(at).copied().unwrap_or(0)));
        all.to_be_bytes()[1..part.len()].to_vec()
    };
    letters.chunks(4).flat_map(group).collect()
}

/// What a text in quarantine says it holds, as a value.
fn kept(text: &str) -> Value {
    let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let (kind, value) = json.as_object().expect("a value").iter().next().expect("a kind");
    match &**kind {
        "int" => Value::Integer(value.as_i64().expect("an integer")),
        "float_bits" => Value::Real(f64::from_bits(value.as_u64().expect("bits"))),
        "text" => Value::Text(value.as_str().expect("a text").to_owned()),
        "bytes" => Value::Blob(bytes(value.as_str().expect("bytes"))),
        other => unreachable!("{other} in {text}"),
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Real(one), Value::Real(other)) => one.to_bits() == other.to_bits(),
        (one, other) => one == other,
    }
}

/// Tables, values that are there, and values in quarantine.
#[derive(Default, Debug)]
struct Seen {
    there: u64,
    kept: u64,
    refused: u64,
}

fn one(seed: u64, seen: &mut Seen) {
    let random = &mut Random::new(seed);
    let columns: Vec<(&str, (&str, &str))> =
        (0..1 + random.below(6)).map(|_| (pick(random, &DECLARED), pick(random, &TYPES))).collect();
    let listed = |of: &dyn Fn(usize) -> String| (0..columns.len()).map(of).collect::<Vec<_>>().join(", ");
    let own = listed(&|at| format!("c{at} {}", columns[at].0));
    let targets = listed(&|at| format!("c{at} {}", columns[at].1.0));
    println!("{targets} of {own}");
    let app = App::new(
        &format!("CREATE TABLE t(id INTEGER PRIMARY KEY, {own})"),
        &format!("CREATE TABLE t({targets}, id int PRIMARY KEY)"),
    );
    let source = app.open();
    let marks = listed(&|at| format!("?{}", at + 2));
    for id in 0..random.below(ROWS) {
        let mut row = vec![Value::Integer(id)];
        row.extend(columns.iter().map(|(_, (ty, _))| value(random, ty)));
        let insert = format!("INSERT INTO t VALUES (?1, {marks})");
        source.execute(&insert, rusqlite::params_from_iter(row)).expect("a row");
    }
    let rebuild: &[&str] = if random.below(2) == 0 { &["--rebuild"] } else { &[] };
    let before = app.dump();
    let ran = run(app.migrate(&["--policy", "quarantine"]).args(rebuild));
    if ran.code == Some(1) {
        // A column none of whose values fits is no matter of single values.
        seen.refused += 1;
        assert_eq!(app.dump(), before, "{ran}");
        return;
    }
    let ran = ran.exits(0);
    let mut aside = BTreeMap::new();
    let entries = "SELECT locator::json->0->>'int', column_name, value FROM _switchover_quarantine";
    for row in app.database.rows(entries).expect("the quarantine") {
        let cells: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
        assert!(
            aside.insert((cells[0].clone(), cells[1].clone()), kept(&cells[2])).is_none(),
            "twice: {cells:?}"
        );
    }
    let read = listed(&|at| columns[at].1.1.replace("{}", &format!("c{at}")));
    let there: BTreeMap<String, Vec<Option<String>>> = (app.database)
        .rows(&format!("SELECT id::text, {read} FROM t"))
        .expect("rows")
        .into_iter()
        .map(|mut row| (row.remove(0).expect("a key"), row))
        .collect();
    let mut statement = source.prepare("SELECT * FROM t").expect("a query");
    let mut rows = statement.query([]).expect("rows");
    let mut count = 0;
    while let Some(row) = rows.next().expect("a row") {
        count += 1;
        let id = row.get::<_, i64>(0).expect("a key").to_string();
        for (at, (_, (ty, _))) in columns.iter().enumerate() {
            let value: Value = row.get(at + 1).expect("a value");
            let (cell, put) = (&there[&id][at], aside.remove(&(id.clone(), format!("c{at}"))));
            let place = || format!("id={id} c{at} {ty}: {value:?} is {cell:?}, in quarantine {put:?}; {ran}");
            match (&value, cell, &put) {
                (Value::Null, None, None) => {}
                (_, None, Some(put)) => {
                    seen.kept += 1;
                    assert!(is_same(put, &value), "{}", place());
                    assert!(!matches!(must(ty, &value), Must::Be(_)), "without need: {}", place());
                }
                (_, Some(cell), None) => {
                    seen.there += 1;
                    match must(ty, &value) {
                        Must::Be(text) | Must::BeIfAny(text) => {
                            assert!(*cell == text || text == "?", "not {text}: {}", place());
                        }
                        Must::Leave => panic!("it does not fit: {}", place()),
                    }
                }
                _ => panic!("lost: {}", place()),
            }
        }
    }
    assert_eq!(there.len(), count, "{ran}");
    assert!(aside.is_empty(), "{aside:?}");
    run(app.on_both("verify", &["--policy", "quarantine"]).args(rebuild)).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before);
}

#[test]
fn whatever_the_source_holds_is_in_the_column_or_in_quarantine() {
    let mut seen = Seen::default();
    for seed in switchover_testkit::seeds(CASES) {
        println!("SWITCHOVER_PROPERTY_SEED={seed}");
        one(seed, &mut seen);
    }
    println!("{seen:?}");
    assert!(seen.there > seen.kept, "{seen:?}");
}
