//! Whatever is changed after a migration, on either store, verification finds and names, and a repair
//! makes good: per column type a bit, a row too few or too many, values swapped, NULL for empty.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use serde_json::{Value as Json, json};
use support::{Case, Moved, check};
use switchover::report::{DifferenceKind, Verdict};
use switchover_core::Kind;
use switchover_testkit::weaviate::Object;

/// A column a type, with two rows of values, and a bit of the first one changed as the target says it.
const TYPES: &[(&str, &str, &str, &str)] = &[
    ("i", "INTEGER", "(5), (6)", "# 1"),
    ("f", "REAL", "(0.5), (-0.25)", "+ 2.220446049250313e-16"),
    ("n", "NUMERIC(9,3)", "(1.5), (2.125)", "+ 0.001"),
    ("t", "TEXT", "('aé'), ('')", "|| chr(1)"),
    ("v", "VARCHAR(5)", "('ab '), ('x')", "|| ' '"),
    ("b", "BLOB", "(x'00ff'), (x'')", "#"),
    (
        "u",
        "UUID",
        "('0188d9c2-af00-7fff-0102-030405060708'), ('0188d9c2-af00-7fff-0102-030405060709')",
        "uuid",
    ),
    ("d", "DATE", "('2024-02-29'), ('1969-12-31')", "+ 1"),
    (
        "s",
        "DATETIME",
        "('2024-02-29 12:00:00.123456'), ('2024-02-29 12:00:00.123457')",
        "+ interval '1 microsecond'",
    ),
    ("z", "TIMESTAMPTZ", "('2024-02-29T12:00:00Z'), ('2024-02-29T12:00:01Z')", "+ interval '1 microsecond'"),
    ("j", "JSON", "('{\"a\": 1}'), ('[2]')", "|| '[0]'"),
    ("o", "BOOLEAN", "(0), (1)", "not"),
];

/// Tables `k` (with a key) and `r` (without), of one column type each, `r` with a row twice.
fn source(declared: &str, values: &str) -> Case {
    let pairs: Vec<&str> = values.trim_matches(['(', ')']).split("), (").collect();
    check(&format!(
        "CREATE TABLE k(id INTEGER PRIMARY KEY, v {declared}, w TEXT); CREATE TABLE r(v {declared}, w TEXT);
         INSERT INTO k VALUES (1, {0}, 'a'), (2, {1}, 'a'), (3, NULL, ''); INSERT INTO r SELECT v, w || id FROM k; INSERT INTO r SELECT v, w FROM r;",
        pairs[0], pairs[1]
    ))
}

/// Verification finds a difference in the table that shows these words, and a repair removes it.
#[track_caller]
fn found(moved: &Moved, table: &str, kind: DifferenceKind, words: &[&str]) {
    let report = moved.case.verify(false).unwrap();
    assert_eq!(report.verdict, Verdict::Different);
    let differing: Vec<_> = report.tables.iter().filter(|t| t.verdict == Verdict::Different).collect();
    assert_eq!(differing.iter().map(|t| &*t.source).collect::<Vec<_>>(), [table]);
    let shown = format!("{:?}", differing[0].differences);
    assert!(differing[0].differences.iter().any(|difference| difference.kind == kind), "{kind:?}: {shown}");
    for word in words {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    let mended = moved.case.verify(true).unwrap();
    assert_eq!(mended.verdict, Verdict::Same, "{:?}", mended.tables);
    assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Same);
}

fn flip(change: &str) -> String {
    match change {
        "#" => "set_byte(v, 0, get_byte(v, 0) # 1)".into(),
        "uuid" => "'0188d9c2-af00-7fff-0102-03040506070a'".into(),
        "not" => "NOT v".into(),
        other => format!("v {other}"),
    }
}

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

#[test]
fn one_bit_of_one_value_per_type() {
    for (name, declared, values, change) in TYPES {
        let moved = source(declared, values).moves();
        println!("{name} {declared}");
        moved.runs(&format!("UPDATE k SET v = {} WHERE id = 1", flip(change)));
        found(&moved, "k", DifferenceKind::Changed, &["id=1", "column: \"v\""]);
        moved.runs(&format!(
            "UPDATE r SET v = {} WHERE ctid = (SELECT min(ctid) FROM r WHERE w = 'a1')",
            flip(change)
        ));
        found(&moved, "r", DifferenceKind::Changed, &["rowid=", "column: \"v\""]);
    }
}

#[test]
fn values_swapped_between_two_rows_per_type() {
    for (name, declared, values, _) in TYPES {
        let moved = source(declared, values).moves();
        println!("{name} {declared}");
        moved.runs("UPDATE k SET v = o.v FROM k o WHERE k.id + o.id = 3");
        found(&moved, "k", DifferenceKind::Changed, &["id=1", "id=2", "column: \"v\""]);
        moved.runs("UPDATE r SET v = (SELECT o.v FROM r o WHERE o.w = 'a2' LIMIT 1) WHERE w = 'a1'");
        found(&moved, "r", DifferenceKind::Changed, &["rowid=", "column: \"v\""]);
    }
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
        found(&moved, "k", DifferenceKind::Changed, &["id=1", "column: \"v\""]);
        moved.patches("K", &one, &json!({ "v": value(&two) }));
        moved.patches("K", &two, &json!({ "v": value(&one) }));
        found(&moved, "k", DifferenceKind::Changed, &["id=1", "id=2", "column: \"v\""]);
        moved.patches("K", &one, &json!({ "v": null }));
        found(&moved, "k", DifferenceKind::Changed, &["id=1", "target: \"NULL\""]);
        moved.patches("K", &key(3), &json!({ "v": value(&one), "w": "" }));
        found(&moved, "k", DifferenceKind::Changed, &["id=3", "source: \"NULL\""]);
        moved.removes("K", &two);
        found(&moved, "k", DifferenceKind::Missing, &["id=2"]);
        // Without a key nothing says which object a row is, so none is mended by itself.
        let row = moved.object("R", "w", "\"a1\"");
        moved.patches("R", &row, &json!({ "v": flipped(name, &value(&row)) }));
        let report = moved.case.verify(false).unwrap();
        assert_eq!(report.verdict, Verdict::Different);
        assert!(format!("{:?}", report.tables).contains("column: \"v\""), "{:?}", report.tables);
    }
}

#[test]
fn a_server_s_objects_too_many_or_with_another_s_key() {
    let moved = source("INTEGER", "(5), (6)").into_server().moves();
    let one = moved.object("K", "original_id", "1");
    let is_found = |what: &str| match moved.case.verify(false) {
        Ok(report) => assert_eq!(report.verdict, Verdict::Different, "{what}"),
        Err(error) => assert_eq!(error.kind(), Kind::Different, "{what}: {error:?}"),
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
    found(&moved, "k", DifferenceKind::Extra, &["id=2"]);
    moved.case.source().execute("UPDATE k SET v = 4 WHERE id = 1", []).unwrap();
    found(&moved, "k", DifferenceKind::Changed, &["source: \"4\"", "target: \"5\""]);
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
    found(&moved, "k", DifferenceKind::Changed, &["id=1", "column: \"v\""]);
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
    found(&moved, "k", DifferenceKind::Missing, &["in quarantine"]);
    moved.patches("K", &moved.object("K", "original_id", "1"), &json!({ "v": 7.0 }));
    found(&moved, "k", DifferenceKind::Changed, &["id=1", "source: \"NULL\"", "target: \"7"]);
}

#[test]
fn rows_too_few_and_too_many() {
    let moved = source("INTEGER", "(5), (6)").moves();
    moved.runs("DELETE FROM k WHERE id = 2");
    found(&moved, "k", DifferenceKind::Missing, &["id=2"]);
    moved.runs("INSERT INTO k VALUES (77, 1, 'new')");
    found(&moved, "k", DifferenceKind::Extra, &["id=77"]);
    moved.runs("DELETE FROM r WHERE ctid = (SELECT min(ctid) FROM r WHERE w = 'a1')");
    found(&moved, "r", DifferenceKind::Missing, &["rowid="]);
    moved.runs("INSERT INTO r SELECT * FROM r WHERE w = 'a1' LIMIT 1");
    found(&moved, "r", DifferenceKind::Extra, &["'a1'"]);
    moved.shows("SELECT count(*), count(DISTINCT w) FROM r", "6|3");
    moved.runs("TRUNCATE k, r; INSERT INTO k VALUES (9, 9, 'x')");
    assert_eq!(moved.case.verify(true).unwrap().verdict, Verdict::Same);
}

#[test]
fn of_equal_rows_without_a_key_those_are_listed_that_are_too_many_or_too_few() {
    let moved =
        check("CREATE TABLE r(v, w); INSERT INTO r VALUES ('x', 1), ('x', 1), ('x', 1), ('y', 2)").moves();
    let listed = |sql: &str| {
        moved.runs(sql);
        let report = moved.case.verify(false).unwrap();
        let table = report.tables.iter().find(|table| table.source == "r").unwrap();
        let kinds: Vec<DifferenceKind> = table.differences.iter().map(|difference| difference.kind).collect();
        (table.differences_total, kinds)
    };
    use DifferenceKind::{Changed, Extra, Missing};
    assert_eq!(listed("INSERT INTO r SELECT * FROM r WHERE v = 'x' LIMIT 2"), (2, vec![Extra, Extra]));
    assert_eq!(
        listed("DELETE FROM r WHERE ctid IN (SELECT ctid FROM r WHERE v = 'x' LIMIT 3)"),
        (1, vec![Missing])
    );
    assert_eq!(listed("DELETE FROM r WHERE v = 'x'"), (3, vec![Missing, Missing, Missing]));
    assert_eq!(listed("INSERT INTO r VALUES ('x', '7')"), (3, vec![Changed, Missing, Missing]));
    assert_eq!(moved.case.verify(true).unwrap().verdict, Verdict::Same);
    moved.shows("SELECT v, count(*) FROM r GROUP BY v ORDER BY v", "x|3\ny|1");
}

#[test]
fn null_for_empty_and_empty_for_null() {
    let moved = source("TEXT", "('x'), ('')").moves();
    moved.runs("UPDATE k SET v = NULL WHERE id = 2");
    found(&moved, "k", DifferenceKind::Changed, &["id=2", "source: \"''\"", "target: \"NULL\""]);
    moved.runs("UPDATE k SET v = '' WHERE id = 3");
    found(&moved, "k", DifferenceKind::Changed, &["id=3", "source: \"NULL\"", "target: \"''\""]);
    moved.runs("UPDATE r SET v = NULL WHERE w = 'a2'");
    found(&moved, "r", DifferenceKind::Changed, &["source: \"''\"", "target: \"NULL\""]);
}

#[test]
fn negative_zero_is_another_value_in_a_table_without_a_key() {
    let moved = check("CREATE TABLE r(v); INSERT INTO r VALUES (0.0), (1.5)").moves();
    moved.runs("UPDATE r SET v = '-0' WHERE v = 0");
    found(&moved, "r", DifferenceKind::Changed, &["source: \"0.0\"", "target: \"-0.0\""]);
}

#[test]
fn a_value_in_quarantine() {
    let sql = "CREATE TABLE k(id INTEGER PRIMARY KEY, v INT, w TEXT); INSERT INTO k VALUES (1, 'one', 'a'), (2, 2, 'b'), (3, x'00', 'c')";
    let moved = check(sql).quarantine().quarantines();
    let changes = [
        (
            "UPDATE _switchover_quarantine SET value = replace(value, 'one', 'onf')",
            DifferenceKind::Changed,
            "'onf'",
        ),
        ("DELETE FROM _switchover_quarantine WHERE locator LIKE '%3%'", DifferenceKind::Missing, "x'00'"),
        (
            "INSERT INTO _switchover_quarantine SELECT run, table_name, locator, 'w', value, whole_row, why FROM _switchover_quarantine LIMIT 1",
            DifferenceKind::Extra,
            "not in quarantine",
        ),
        (
            "UPDATE _switchover_quarantine SET whole_row = true WHERE locator LIKE '%1%'",
            DifferenceKind::Changed,
            "the row",
        ),
    ];
    for (change, kind, word) in changes {
        moved.runs(change);
        found(&moved, "k", kind, &["in quarantine", word]);
    }
    moved.runs("UPDATE k SET v = 7 WHERE id = 1");
    found(&moved, "k", DifferenceKind::Changed, &["id=1", "source: \"NULL\"", "target: \"7\""]);
}

#[test]
fn the_source_is_changed_after_the_migration() {
    for table in ["k", "r"] {
        let moved = source("INTEGER", "(5), (6)").moves();
        moved
            .case
            .source()
            .execute(&format!("UPDATE {table} SET v = 4 WHERE w = 'a' OR w = 'a1'"), [])
            .unwrap();
        found(&moved, table, DifferenceKind::Changed, &["source: \"4\"", "target: \"5\""]);
        moved.case.source().execute(&format!("INSERT INTO {table}(v, w) VALUES (9, 'new')"), []).unwrap();
        found(&moved, table, DifferenceKind::Missing, &[]);
        moved.case.source().execute(&format!("DELETE FROM {table} WHERE w = 'new'"), []).unwrap();
        found(&moved, table, DifferenceKind::Extra, &[]);
    }
}

#[test]
fn the_source_holds_now_what_the_plan_does_not_allow() {
    let moved = source("INTEGER", "(5), (6)").moves();
    moved.case.source().execute("UPDATE k SET v = '12abc' WHERE id = 1", []).unwrap();
    assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Different);
    let error = moved.case.verify(true).expect_err("it cannot be mended by this plan");
    assert_eq!((error.kind(), &*error.subject().column), (Kind::Refused, "v"), "{error:?}");
    moved.shows("SELECT v FROM k WHERE id = 1", "5");
}

#[test]
fn a_parent_is_mended_without_its_children_being_taken_along() {
    let moved = check(
        "CREATE TABLE p(id INTEGER PRIMARY KEY, v TEXT UNIQUE); CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p ON DELETE CASCADE);
         INSERT INTO p VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1, 1), (2, 1), (3, 2)",
    )
    .moves();
    moved.runs("UPDATE p SET v = id::text; UPDATE p SET v = CASE id WHEN 1 THEN 'b' ELSE 'a' END");
    found(&moved, "p", DifferenceKind::Changed, &["id=1", "id=2"]);
    moved.runs("INSERT INTO p VALUES (9, 'z'); UPDATE c SET p = 9 WHERE id = 3");
    assert_eq!(moved.case.verify(true).unwrap().verdict, Verdict::Same);
    moved.shows("SELECT * FROM c ORDER BY id", "1|1\n2|1\n3|2");
    moved.shows("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated", "1");
}

#[test]
fn an_index_or_key_that_is_gone_is_named() {
    let moved = check("CREATE TABLE t(id INTEGER PRIMARY KEY, v INT); CREATE INDEX t_v ON t(v); INSERT INTO t VALUES (1, 1)").moves();
    moved.runs("DROP INDEX t_v; ALTER TABLE t DROP CONSTRAINT t_pkey");
    let report = moved.case.verify(false).unwrap();
    assert_eq!(report.verdict, Verdict::Different);
    let reasons = report.reasons.join("; ");
    assert!(reasons.contains("t_v") && reasons.contains("t_pkey"), "{reasons}");
}
