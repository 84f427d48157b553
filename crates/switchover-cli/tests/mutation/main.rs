//! Whatever is changed after a migration, on either store, verification finds and names, and a repair
//! makes good: per column type a bit, a row too few or too many, values swapped, NULL for empty.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod many;
mod pairs;
mod server;
#[path = "../support/mod.rs"]
mod support;

use support::{Case, Moved, check};
use switchover::report::{DifferenceKind, Verdict};
use switchover_core::Kind;

/// A column's name and type, two rows of values, and a bit of the first one changed as PostgreSQL says it.
type Type = (&'static str, &'static str, &'static str, &'static str);

/// A column a type.
const TYPES: &[Type] = &[
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

/// Verification finds a difference in the table that shows these words, and a repair removes it, or what is given where
/// the target cannot be repaired.
#[track_caller]
fn found(moved: &Moved, table: &str, kind: DifferenceKind, words: &[&str], undo: Option<&dyn Fn()>) {
    let report = moved.case.verify(false).unwrap();
    assert_eq!(report.verdict, Verdict::Different);
    let differing: Vec<_> = report.tables.iter().filter(|t| t.verdict == Verdict::Different).collect();
    assert_eq!(differing.iter().map(|t| &*t.source).collect::<Vec<_>>(), [table]);
    let shown = format!("{:?}", differing[0].differences);
    assert!(differing[0].differences.iter().any(|difference| difference.kind == kind), "{kind:?}: {shown}");
    for word in words {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    if let Some(undo) = undo {
        return undo();
    }
    // What verifies next finds only what is changed next.
    let mended = moved.case.verify(true).unwrap();
    assert_eq!(mended.verdict, Verdict::Same, "{:?}", mended.tables);
}

/// The value of a column with a bit changed, as PostgreSQL says it.
fn flip(column: &str, change: &str) -> String {
    match change {
        "#" => format!("set_byte({column}, 0, get_byte({column}, 0) # 1)"),
        "uuid" => "'0188d9c2-af00-7fff-0102-03040506070a'".into(),
        "not" => format!("NOT {column}"),
        other => format!("{column} {other}"),
    }
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
fn negative_zero_is_another_value_in_a_table_without_a_key() {
    let moved = check("CREATE TABLE r(v); INSERT INTO r VALUES (0.0), (1.5)").moves();
    moved.runs("UPDATE r SET v = '-0' WHERE v = 0");
    found(&moved, "r", DifferenceKind::Changed, &["source: \"0.0\"", "target: \"-0.0\""], None);
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
        found(&moved, "k", kind, &["in quarantine", word], None);
    }
    moved.runs("UPDATE k SET v = 7 WHERE id = 1");
    found(&moved, "k", DifferenceKind::Changed, &["id=1", "source: \"NULL\"", "target: \"7\""], None);
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
        found(&moved, table, DifferenceKind::Changed, &["source: \"4\"", "target: \"5\""], None);
        moved.case.source().execute(&format!("INSERT INTO {table}(v, w) VALUES (9, 'new')"), []).unwrap();
        found(&moved, table, DifferenceKind::Missing, &[], None);
        moved.case.source().execute(&format!("DELETE FROM {table} WHERE w = 'new'"), []).unwrap();
        found(&moved, table, DifferenceKind::Extra, &[], None);
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
    found(&moved, "p", DifferenceKind::Changed, &["id=1", "id=2"], None);
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

#[test]
fn an_index_or_key_of_the_same_name_and_another_definition_is_named() {
    let source = || {
        check(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v INT, w INT, UNIQUE (v, w)); CREATE UNIQUE INDEX t_one ON t(v);
             CREATE INDEX t_two ON t(w); INSERT INTO t VALUES (1, 1, 1)",
        )
    };
    let others = [
        ("t_one", "CREATE INDEX t_one ON t(v)", "CREATE UNIQUE INDEX t_one ON t(v)"),
        ("t_one", "CREATE UNIQUE INDEX t_one ON t(v, w)", "CREATE UNIQUE INDEX t_one ON t(v)"),
        ("t_one", "CREATE UNIQUE INDEX t_one ON t(v) WHERE w > 0", "CREATE UNIQUE INDEX t_one ON t(v)"),
        ("t_two", "CREATE INDEX t_two ON t(v)", "CREATE INDEX t_two ON t(w)"),
        ("t_two", "CREATE INDEX t_two ON t((w + 1))", "CREATE INDEX t_two ON t(w)"),
    ];
    for case in [source(), source().into_file()] {
        let moved = case.moves();
        let differs = |name: &str| {
            let report = moved.case.verify(false).unwrap();
            let reasons = report.reasons.join("; ");
            assert_eq!((report.verdict, report.reasons.len()), (Verdict::Different, 1), "{reasons}");
            assert!(reasons.contains(name) && reasons.contains("should be"), "{name}: {reasons}");
        };
        for (name, other, own) in others {
            moved.runs(&format!("DROP INDEX {name}; {other}"));
            differs(name);
            moved.runs(&format!("DROP INDEX {name}; {own}"));
        }
        assert_eq!(moved.case.verify(false).unwrap().verdict, Verdict::Same);
    }
    let moved = source().moves();
    moved.runs(
        "ALTER TABLE t DROP CONSTRAINT t_v_w_key; ALTER TABLE t ADD CONSTRAINT t_v_w_key UNIQUE (w, id)",
    );
    let reasons = moved.case.verify(false).unwrap().reasons.join("; ");
    assert!(reasons.contains("is UNIQUE (w, id) and should be UNIQUE (v, w)"), "{reasons}");
    let moved = source().into_file().moves();
    moved.runs(
        "CREATE TABLE other(id INTEGER PRIMARY KEY, v INT, w INT, UNIQUE (w)); INSERT INTO other SELECT * FROM t;
         DROP TABLE t; ALTER TABLE other RENAME TO t; CREATE UNIQUE INDEX t_one ON t(v); CREATE INDEX t_two ON t(w)",
    );
    let reasons = moved.case.verify(false).unwrap().reasons.join("; ");
    assert!(reasons.contains("no key or constraint any more by a unique index (v, w)"), "{reasons}");
}

#[test]
fn a_foreign_key_that_does_something_else_is_noticed() {
    let source = || {
        check(
            "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p(id) ON DELETE CASCADE);
             INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1)",
        )
    };
    let own = "FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE";
    let moved = source().moves();
    let other = "ALTER TABLE c DROP CONSTRAINT c_p_fkey; ALTER TABLE c ADD CONSTRAINT c_p_fkey FOREIGN KEY (p) REFERENCES p (id)";
    for (clauses, same) in [
        ("", false),
        ("ON DELETE SET NULL", false),
        ("ON DELETE CASCADE ON UPDATE CASCADE", false),
        ("ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED", false),
        ("ON DELETE CASCADE", true),
    ] {
        moved.runs(&format!("{other} {clauses}"));
        let report = moved.case.verify(false).unwrap();
        let reasons = report.reasons.join("; ");
        assert_eq!(report.verdict == Verdict::Same, same, "{clauses}: {reasons}");
        assert_eq!(reasons.contains(&format!("should be {own}")), !same, "{reasons}");
    }
    let moved = source().into_file().moves();
    for (clauses, same) in [("ON DELETE SET NULL", false), ("ON DELETE CASCADE", true)] {
        moved.runs(&format!(
            "CREATE TABLE other(id INTEGER PRIMARY KEY, p INT REFERENCES p(id) {clauses}); INSERT INTO other SELECT * FROM c;
             DROP TABLE c; ALTER TABLE other RENAME TO c"
        ));
        let report = moved.case.verify(false).unwrap();
        let reasons = report.reasons.join("; ");
        assert_eq!(report.verdict == Verdict::Same, same, "{clauses}: {reasons}");
        assert_eq!(reasons.contains(&format!("\"c\" has no {own}")), !same, "{reasons}");
    }
}
