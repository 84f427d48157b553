//! The same on a server that has no transactions, whose collections the tests take turns with.

use crate::support::check;
use crate::{TYPES, found, source};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use switchover::report::{DifferenceKind, Verdict};
use switchover_testkit::weaviate::Object;

/// The same of a value on a server, as JSON.
fn flipped(name: &str, value: &Json) -> Json {
    let text = value.as_str().unwrap_or_default();
    match name {
        "i" => json!(value.as_i64().unwrap() ^ 1),
        "f" => json!(f64::from_bits(value.as_f64().unwrap().to_bits() ^ 1)),
        "n" => match value {
            // Where the digits matter it is the text of them.
            Json::String(text) => json!(format!("{text}1")),
            number => json!(number.as_f64().unwrap() + 0.001),
        },
        "b" => json!(if text.starts_with('A') {
            text.replacen('A', "Q", 1)
        } else {
            text.replacen(|_| true, "A", 1)
        }),
        "u" => json!("0188d9c2-af00-7fff-0102-03040506070a"),
        "d" | "s" | "z" => match text.split_once('.') {
            None => json!(text.replace('Z', ".000001Z")),
            Some((seconds, fraction)) => json!(format!("{seconds}.1{fraction}")),
        },
        "o" => json!(!value.as_bool().unwrap()),
        _ => json!(format!("{text}\u{1}")),
    }
}

/// The other row of [`TYPES`] that a server cannot hold.
fn for_server(values: &str) -> String {
    values.replace("(x'')", "(x'01')")
}

/// On a server all of a type's changes are made in one collection, which takes longer to make than to compare.
#[test]
fn a_server_s_objects_per_type() {
    for (name, declared, values, _) in TYPES {
        println!("{name} {declared}");
        let moved = source(declared, &for_server(values)).into_server().moves();
        let key = |id: i64| moved.object("K", "original_id", &id.to_string());
        let (one, two) = (key(1), key(2));
        let value = |object: &Object| serde_json::from_str::<Json>(&object.properties["v"]).unwrap();
        moved.patches("K", &one, &json!({ "v": flipped(name, &value(&one)) }));
        found(&moved, "k", DifferenceKind::Changed, &["id=1", "column: \"v\""], None);
        moved.patches("K", &one, &json!({ "v": value(&two) }));
        moved.patches("K", &two, &json!({ "v": value(&one) }));
        found(&moved, "k", DifferenceKind::Changed, &["id=1", "id=2", "column: \"v\""], None);
        moved.patches("K", &one, &json!({ "v": null }));
        found(&moved, "k", DifferenceKind::Changed, &["id=1", "target: \"NULL\""], None);
        moved.patches("K", &key(3), &json!({ "v": value(&one), "w": "" }));
        found(&moved, "k", DifferenceKind::Changed, &["id=3", "source: \"NULL\""], None);
        moved.removes("K", &two);
        found(&moved, "k", DifferenceKind::Missing, &["id=2"], None);
        // Without a key a row goes back to the object of its place.
        let row = moved.object("R", "w", "\"a1\"");
        moved.patches("R", &row, &json!({ "v": flipped(name, &value(&row)) }));
        found(&moved, "r", DifferenceKind::Changed, &["column: \"v\""], None);
    }
}

#[test]
fn rows_without_a_key_come_back_to_their_own_objects() {
    let sql = "CREATE TABLE r(v INT, w TEXT); CREATE TABLE n(id TEXT PRIMARY KEY, v INT);
        INSERT INTO r VALUES (1, 'a'), (1, 'a'), (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO n VALUES (NULL, 1), (NULL, 2), ('x', 3)";
    let moved = check(sql).into_server().moves();
    let ids = |collection: &str| -> BTreeSet<String> {
        let objects = moved.case.server().unwrap().objects(collection).unwrap();
        objects.into_iter().map(|object| object.id).collect()
    };
    let before = (ids("R"), ids("N"));
    assert_eq!((before.0.len(), before.1.len()), (5, 3));
    for (collection, property, json, count) in
        [("R", "w", "\"a\"", 2), ("R", "w", "\"c\"", 1), ("N", "v", "1", 1), ("N", "v", "2", 1)]
    {
        for _ in 0..count {
            moved.removes(collection, &moved.object(collection, property, json));
        }
    }
    moved.patches("R", &moved.object("R", "w", "\"b\""), &json!({ "v": 7 }));
    let mended = moved.case.verify(true).unwrap();
    assert_eq!(mended.verdict, Verdict::Same, "{:?}", mended.tables);
    assert_eq!((ids("R"), ids("N")), before);
}

/// What nobody can tell from the run's own stays, is named, and keeps nothing else from being mended.
#[test]
fn a_strange_object_is_named_by_its_id() {
    let other = "0188d9c2-af00-7fff-8102-030405060708";
    for (collection, properties) in [
        ("K", json!({ "v": 5, "w": "a" })),
        ("K", json!({ "original_id": 2, "v": 5, "w": "a" })),
        ("R", json!({ "v": 5, "w": "strange" })),
    ] {
        println!("{collection} {properties}");
        let moved = source("INTEGER", "(5), (6)").into_server().moves();
        let strange = Object { id: other.into(), ..moved.object("K", "original_id", "1") };
        moved.adds(collection, other, &properties);
        moved.removes("K", &moved.object("K", "original_id", "1"));
        // A row that is missed beside it would be taken for it, without a key.
        if collection == "K" {
            moved.removes("R", &moved.object("R", "w", "\"a1\""));
        }
        let beside = if collection == "K" { 2 } else { 1 };
        for repair in [false, true] {
            let report = moved.case.verify(repair).unwrap();
            let shown = format!("{:?}", report.tables);
            assert_eq!(report.verdict, Verdict::Different, "{shown}");
            assert!(shown.contains(other), "{shown}");
            let total: u64 = report.tables.iter().map(|table| table.differences_total).sum();
            assert_eq!(total, if repair { 1 } else { beside + 1 }, "{shown}");
        }
        moved.removes(collection, &strange);
        assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Same);
    }
}

#[test]
fn a_server_s_objects_too_many_or_with_another_s_key() {
    let moved = source("INTEGER", "(5), (6)").into_server().moves();
    let one = moved.object("K", "original_id", "1");
    let is_found = |what: &str| {
        assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Different, "{what}");
    };
    let other = "0188d9c2-af00-7fff-8102-030405060708";
    moved.adds("K", other, &json!({ "original_id": 77, "v": 1, "w": "new" }));
    is_found("an object that no run made");
    moved.removes("K", &Object { id: other.into(), ..one.clone() });
    moved.adds("K", other, &json!({ "original_id": 1, "v": 5, "w": "a" }));
    is_found("a row twice");
    moved.removes("K", &Object { id: other.into(), ..one.clone() });
    moved.adds("K", other, &json!({ "v": 5, "w": "a" }));
    is_found("an object without a key");
    moved.removes("K", &Object { id: other.into(), ..one.clone() });
    assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Same);
    moved.patches("K", &one, &json!({ "original_id": 2 }));
    is_found("a key of another row");
    moved.patches("K", &one, &json!({ "original_id": 1 }));
    moved.adds("R", other, &json!({ "v": 5, "w": "a1" }));
    is_found("a row too many of a table without a key");
    moved.removes("R", &Object { id: other.into(), ..one });
    moved.case.source().execute("DELETE FROM k WHERE id = 2", []).unwrap();
    found(&moved, "k", DifferenceKind::Extra, &["id=2"], None);
    moved.case.source().execute("UPDATE k SET v = 4 WHERE id = 1", []).unwrap();
    found(&moved, "k", DifferenceKind::Changed, &["source: \"4\"", "target: \"5\""], None);
}

#[test]
fn one_bit_of_a_vector_on_a_server() {
    let case =
        check("CREATE TABLE k(id INTEGER PRIMARY KEY, v BLOB)").mapped("[table.k.column]\nv.type = 'vector'");
    for id in 1..=3 {
        let numbers: Vec<u8> = (1..=4).flat_map(|n| (id as f32 / n as f32).to_le_bytes()).collect();
        case.source().execute("INSERT INTO k VALUES (?1, ?2)", rusqlite::params![id, numbers]).unwrap();
    }
    let moved = case.into_server().moves();
    let one = moved.object("K", "original_id", "1");
    let mut vector: Vec<f32> = serde_json::from_str(one.vector.as_deref().unwrap()).unwrap();
    vector[2] = f32::from_bits(vector[2].to_bits() ^ 1);
    moved.patches_with("K", &one, &json!({ "vector": vector }));
    found(&moved, "k", DifferenceKind::Changed, &["id=1", "column: \"v\""], None);
}

#[test]
fn a_value_in_quarantine_on_a_server() {
    let sql = "CREATE TABLE k(id INTEGER PRIMARY KEY, v REAL); INSERT INTO k VALUES (1, 1e999), (2, 0.5)";
    let moved = check(sql).quarantine().into_server().quarantines();
    let record = moved.object("Switchover_record", "kind", "\"quarantine\"");
    let body: String = serde_json::from_str(&record.properties["body"]).unwrap();
    moved.patches("Switchover_record", &record, &json!({ "body": body.replace("\"v\"", "\"id\"") }));
    assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Different);
    moved.patches("Switchover_record", &record, &json!({ "body": body }));
    assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Same);
    moved.removes("Switchover_record", &record);
    found(&moved, "k", DifferenceKind::Missing, &["in quarantine"], None);
    moved.patches("K", &moved.object("K", "original_id", "1"), &json!({ "v": 7.0 }));
    found(&moved, "k", DifferenceKind::Changed, &["id=1", "source: \"NULL\"", "target: \"7"], None);
}
