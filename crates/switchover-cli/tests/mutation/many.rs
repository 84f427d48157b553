//! More rows than are listed, and more than a repair mends in a pass.

use crate::support::{Moved, check};
use switchover::report::{DifferenceKind, TableReport, Verdict};

/// Rows of each table: more than a pass of a repair.
const ROWS: u64 = 10_500;

/// A table with a key and one without, on PostgreSQL and in a file.
fn every(test: impl Fn(&Moved)) {
    let source = || {
        check(&format!(
            "CREATE TABLE k(id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE r(v TEXT, w INT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) INSERT INTO k SELECT i, 'v' || i FROM n;
             INSERT INTO r SELECT v, id FROM k;"
        ))
    };
    test(&source().moves());
    test(&source().into_file().moves());
}

/// How one table differs.
#[track_caller]
fn differing(moved: &Moved, table: &str) -> TableReport {
    let report = moved.case.verify(false).unwrap();
    let mut differing = report.tables.into_iter().filter(|table| table.verdict == Verdict::Different);
    let found = differing.next().expect("a table that differs");
    assert_eq!((&*found.source, differing.next().map(|other| other.source)), (table, None));
    found
}

fn kinds(table: &TableReport, kind: DifferenceKind) -> usize {
    table.differences.iter().filter(|difference| difference.kind == kind).count()
}

#[test]
fn of_many_changed_rows_the_listed_ones_have_both_values() {
    every(|moved| {
        for (table, key) in [("k", "id"), ("r", "w")] {
            for count in [60, 150, ROWS] {
                moved.runs(&format!("UPDATE {table} SET v = 'v' || {key} || '!' WHERE {key} <= {count}"));
                let found = differing(moved, table);
                assert_eq!(found.differences_total, count, "{table}");
                assert_eq!(found.differences.len() as u64, count.min(100), "{table}");
                // Without a key a row may be taken for one that became another's.
                if table == "k" || count <= 100 {
                    assert_eq!(kinds(&found, DifferenceKind::Changed), found.differences.len(), "{table}");
                }
                for difference in found.differences.iter().filter(|_| table == "k") {
                    let (id, field) = (difference.key.trim_start_matches("id="), &difference.fields[0]);
                    let shown = (format!("'v{id}'"), format!("'v{id}!'"));
                    assert_eq!((&field.source, &field.target), (&shown.0, &shown.1), "{difference:?}");
                }
                let again = differing(moved, table);
                assert_eq!(again.differences, found.differences, "the same data, the same list");
            }
            let mended = moved.case.verify(true).unwrap();
            assert_eq!(mended.verdict, Verdict::Same, "{table}: {:?}", mended.tables);
        }
    });
}

#[test]
fn many_rows_too_few_and_as_many_too_many_are_counted_both() {
    every(|moved| {
        moved.runs("UPDATE k SET id = id + 1000000 WHERE id <= 150");
        let found = differing(moved, "k");
        assert_eq!((found.differences_total, found.differences.len()), (300, 100));
        moved.runs("UPDATE k SET id = id + 1000000 WHERE id <= 1000000; DELETE FROM r");
        assert_eq!(moved.case.verify(true).unwrap().verdict, Verdict::Same);
    });
}

/// So many rows that those of nearly all buckets are more than a pass holds.
#[test]
fn rows_that_differ_all_over_a_large_table_are_found_and_mended() {
    const MANY: u64 = 120_000;
    let source = format!(
        "CREATE TABLE k(id INTEGER PRIMARY KEY, v TEXT); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})
         INSERT INTO k SELECT i, 'v' || i FROM n;"
    );
    let moved = check(&source).moves();
    moved.runs("UPDATE k SET v = v || '!' WHERE id % 40 = 0; DELETE FROM k WHERE id % 40 = 1");
    let found = differing(&moved, "k");
    assert_eq!(found.differences_total, MANY / 20);
    assert_eq!(kinds(&found, DifferenceKind::Extra), 0, "{:?}", found.differences);
    for difference in &found.differences {
        let id: u64 = difference.key.trim_start_matches("id=").parse().unwrap();
        assert!(id % 40 < 2, "{difference:?}");
    }
    assert_eq!(moved.case.verify(true).unwrap().verdict, Verdict::Same);
}
