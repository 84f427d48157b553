//! Rows without a parent: foreign_keys was off on the source, or the parent itself does not fit.
//!
//! Refused by name, or quarantined: NULL in place where the key may be NULL, else the whole row, and then
//! its children, until every foreign key of the target holds.

mod support;

use support::{Moved, check, text};
use switchover_core::value::OwnedValue::{self, Int, Null};

/// The keys of the target are valid, and there are so many.
fn valid_keys(moved: &Moved, count: &str) {
    moved.shows("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated", count);
}

#[test]
fn orphans_are_refused_by_name() {
    check(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p);
         INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1), (2, 7), (3, NULL), (4, 8)",
    )
    .refuses(&[
        ("c", "id=2", "p", "no parent in p; one of 2 such orphans"),
        ("c", "id=4", "p", "no parent in p; one of 2 such orphans"),
    ]);
}

#[test]
fn an_orphan_whose_key_may_be_null_keeps_its_row() {
    let moved = check(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p ON DELETE CASCADE, v TEXT);
         INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1, 'a'), (2, 7, 'b'), (3, NULL, 'c')",
    )
    .quarantine()
    .quarantines();
    moved.shows("SELECT * FROM c ORDER BY id", "1|1|a\n2|NULL|b\n3|NULL|c").holds(&[(
        "c",
        2,
        "p",
        Int(7),
        false,
    )]);
    valid_keys(&moved, "1");
}

#[test]
fn an_orphan_whose_key_may_not_be_null_goes_and_its_children_follow() {
    let moved = check(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, p INT NOT NULL REFERENCES gone_too(id)); CREATE TABLE gone_too(id INTEGER PRIMARY KEY);
         CREATE TABLE b(id INTEGER PRIMARY KEY, a INT NOT NULL REFERENCES a); CREATE TABLE c(id INTEGER PRIMARY KEY, b INT REFERENCES b);
         INSERT INTO gone_too VALUES (1); INSERT INTO a VALUES (1, 1), (2, 9); INSERT INTO b VALUES (1, 1), (2, 2), (3, 2);
         INSERT INTO c VALUES (1, 1), (2, 2), (3, 3)",
    )
    .quarantine()
    .quarantines();
    moved
        .shows("SELECT * FROM a", "1|1")
        .shows("SELECT * FROM b", "1|1")
        .shows("SELECT * FROM c ORDER BY id", "1|1\n2|NULL\n3|NULL");
    let out = |table: &'static str, id: i64, column: &'static str, value: i64| {
        (table, id, column, Int(value), true)
    };
    moved.holds(&[
        out("a", 2, "id", 2),
        out("a", 2, "p", 9),
        out("b", 2, "a", 2),
        out("b", 2, "id", 2),
        out("b", 3, "a", 2),
        out("b", 3, "id", 3),
        ("c", 2, "b", Int(2), false),
        ("c", 3, "b", Int(3), false),
    ]);
    valid_keys(&moved, "3");
}

#[test]
fn a_chain_within_one_table_goes_to_its_end_in_either_direction() {
    for order in ["n - 1", "n + 1"] {
        let moved = check(&format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, up INT NOT NULL REFERENCES t);
             WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 60) INSERT INTO t SELECT n, {order} FROM r;
             INSERT INTO t VALUES (100, 100)"
        ))
        .quarantine()
        .quarantines();
        moved
            .shows("SELECT * FROM t", "100|100")
            .shows("SELECT count(DISTINCT locator) FROM _switchover_quarantine", "60");
        valid_keys(&moved, "1");
    }
}

#[test]
fn a_cycle_of_two_tables_with_an_orphan_in_it() {
    let moved = check(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, b INT NOT NULL REFERENCES b); CREATE TABLE b(id INTEGER PRIMARY KEY, a INT NOT NULL REFERENCES a);
         INSERT INTO a VALUES (1, 1), (2, 2), (3, 9); INSERT INTO b VALUES (1, 1), (2, 3)",
    )
    .quarantine()
    .quarantines();
    moved.shows("SELECT * FROM a", "1|1").shows("SELECT * FROM b", "1|1");
    valid_keys(&moved, "2");
}

#[test]
fn a_parent_that_does_not_fit_leaves_orphans() {
    let moved = check(
        "CREATE TABLE p(code TEXT PRIMARY KEY, v TEXT NOT NULL, alt INT UNIQUE); CREATE TABLE c(id INTEGER PRIMARY KEY, p TEXT REFERENCES p);
         CREATE TABLE d(id INTEGER PRIMARY KEY, p TEXT NOT NULL REFERENCES p); CREATE TABLE e(id INTEGER PRIMARY KEY, alt INT REFERENCES p(alt));
         INSERT INTO p VALUES ('a', 'x', 1), ('b', 'y' || char(0), 2), ('c' || char(0), 'z', 3), ('d', 'w', 'no');
         INSERT INTO c VALUES (1, 'a'), (2, 'b'), (3, 'c' || char(0)); INSERT INTO d VALUES (1, 'a'), (2, 'b');
         INSERT INTO e VALUES (1, 1), (2, 2), (3, 3), (4, 'no')",
    )
    .quarantine()
    .quarantines();
    moved
        .shows("SELECT * FROM p ORDER BY code", "a|x|1\nd|w|NULL")
        .shows("SELECT * FROM c ORDER BY id", "1|a\n2|NULL\n3|NULL")
        .shows("SELECT * FROM d ORDER BY id", "1|a")
        .shows("SELECT * FROM e ORDER BY id", "1|1\n2|NULL\n3|NULL\n4|NULL");
    let entry = |table: &str, column: &str, value: OwnedValue| {
        assert!(
            moved.entries().iter().any(|e| e.0 == table && e.2 == column && e.3 == value),
            "{table} {column}"
        );
    };
    entry("c", "p", text("b"));
    entry("c", "p", text("c\0"));
    entry("e", "alt", text("no"));
    entry("e", "alt", Int(3));
    valid_keys(&moved, "3");
}

#[test]
fn orphans_of_composite_keys_and_of_tables_without_rowid() {
    let moved = check(
        "CREATE TABLE p(x INT, y TEXT, PRIMARY KEY (x, y)) WITHOUT ROWID;
         CREATE TABLE c(k TEXT PRIMARY KEY, x INT, y TEXT, FOREIGN KEY (x, y) REFERENCES p) WITHOUT ROWID;
         CREATE TABLE d(x INT, y TEXT, PRIMARY KEY (x, y), FOREIGN KEY (x, y) REFERENCES p) WITHOUT ROWID;
         INSERT INTO p VALUES (1, 'a'); INSERT INTO c VALUES ('1', 1, 'a'), ('2', 1, 'b'), ('3', NULL, 'b'); INSERT INTO d VALUES (1, 'a'), (2, 'a')",
    )
    .quarantine()
    .quarantines();
    moved.shows("SELECT * FROM c ORDER BY k", "1|1|a\n2|NULL|NULL\n3|NULL|b").shows("SELECT * FROM d", "1|a");
    let found: Vec<(String, OwnedValue, bool)> =
        moved.entries().into_iter().map(|entry| (entry.2, entry.3, entry.4)).collect();
    let expected =
        [("x", Int(1), false), ("y", text("b"), false), ("x", Int(2), true), ("y", text("a"), true)];
    assert_eq!(found, expected.map(|(column, value, whole)| (column.to_owned(), value, whole)));
    valid_keys(&moved, "2");
}

#[test]
fn orphans_in_a_table_without_any_locator_and_in_a_utf16_database() {
    let moved = check(
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(rowid INT REFERENCES p, oid TEXT, _rowid_ TEXT);
         CREATE INDEX c_i ON c(_rowid_, oid, rowid); CREATE TABLE d(k TEXT PRIMARY KEY, p INT REFERENCES p) WITHOUT ROWID;
         INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 'a', 'z'), (5, 'b', 'y'), (1, 'c', 'x'), (6, 'd', 'w');
         INSERT INTO d VALUES ('é', 1), ('ю', 4)",
    )
    .quarantine()
    .quarantines();
    moved
        .shows("SELECT rowid, oid FROM c ORDER BY oid", "1|a\nNULL|b\n1|c\nNULL|d")
        .shows("SELECT * FROM d ORDER BY k", "é|1\nю|NULL");
    assert_eq!(moved.entries().len(), 3);
    valid_keys(&moved, "2");
}

#[test]
fn two_foreign_keys_of_one_row_and_a_generated_column_over_one() {
    let moved = check(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE q(id INTEGER PRIMARY KEY);
         CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p, q INT REFERENCES q, g INT AS (p + 1), n INT NOT NULL DEFAULT 1 REFERENCES q);
         INSERT INTO p VALUES (1); INSERT INTO q VALUES (1);
         INSERT INTO c(id, p, q, n) VALUES (1, 1, 1, 1), (2, 8, 9, 1), (3, 8, 1, 1), (4, 1, 1, 7)",
    )
    .quarantine()
    .quarantines();
    moved
        .shows("SELECT id, p, q, g, n FROM c ORDER BY id", "1|1|1|2|1\n2|NULL|NULL|9|1\n3|NULL|1|9|1")
        .holds(&[
            ("c", 2, "p", Int(8), false),
            ("c", 2, "q", Int(9), false),
            ("c", 3, "p", Int(8), false),
            ("c", 4, "g", Int(2), true),
            ("c", 4, "id", Int(4), true),
            ("c", 4, "n", Int(7), true),
            ("c", 4, "p", Int(1), true),
            ("c", 4, "q", Int(1), true),
        ]);
    valid_keys(&moved, "3");
}

#[test]
fn a_plan_given_back_finds_its_orphans_again() {
    let case = check(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p); INSERT INTO c VALUES (1, 7), (2, NULL)",
    );
    let error = case.migrate_by(case.plan()).expect_err("orphans are refused");
    assert_eq!((&*error.subject().table, &*error.subject().key), ("c", "id=1"), "{error:?}");
    let case = case.quarantine();
    let report = case.migrate_by(case.plan()).expect("it migrates");
    assert_eq!(report.verdict, switchover::report::Verdict::Same);
    let moved = Moved { case, report };
    moved.shows("SELECT p FROM c ORDER BY id", "NULL\nNULL").holds(&[("c", 1, "p", Int(7), false)]);
    assert_ne!(moved.entries()[0].3, Null);
}

#[test]
fn a_parent_that_only_the_sources_rules_find_is_none() {
    // The parent's column prefers numbers, and so SQLite finds 0.5 by the text '0.5'; the target has no such parent.
    let sql = "CREATE TABLE p(code UUID PRIMARY KEY NOT NULL); CREATE TABLE c(id INTEGER PRIMARY KEY, p VARCHAR(9) REFERENCES p(code));
        INSERT INTO p VALUES ('a'), (0.5); INSERT INTO c VALUES (1, 'a'), (2, '0.5'), (3, NULL)";
    let moved = check(sql).quarantine().quarantines();
    moved
        .shows("SELECT * FROM p ORDER BY code", "a")
        .shows("SELECT * FROM c ORDER BY id", "1|a\n2|NULL\n3|NULL");
    assert!(moved.entries().iter().any(|entry| entry.0 == "c" && entry.3 == text("0.5")));
}

/// A CHECK that tells NULL from a value would stop the run at a row of which a cell is out.
#[test]
fn a_row_goes_whole_where_a_check_may_fail_without_its_cell() {
    check(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);
         CREATE TABLE t(id INTEGER PRIMARY KEY, post INT REFERENCES p(id), page INT, email TEXT, phone TEXT, name TEXT CHECK (length(name) < 9),
            CHECK ((post IS NULL) <> (page IS NULL)), CHECK (coalesce(email, phone) <> ''));
         PRAGMA foreign_keys = OFF;
         INSERT INTO t VALUES (1, 1, NULL, 'a', NULL, 'one'), (2, 7, NULL, 'b', NULL, 'two'), (3, NULL, 3, 'c' || char(0), '', 'three'),
            (4, NULL, 4, 'd', NULL, 'f' || char(0));",
    )
    .quarantine()
    .quarantines()
    .shows("SELECT id, name FROM t ORDER BY id", "1|one\n4|NULL");
}
