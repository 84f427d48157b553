//! What few databases hold: values of several fields, keys of arrays and of an extension's types, large
//! objects, and foreign keys to partitioned tables.

use super::{run, way};

/// `IS NULL` is true of a row whose fields are all NULL, and `IS NOT NULL` of one that has none.
#[test]
fn a_composite_value_with_null_fields_is_no_null() {
    let moved = way("CREATE TYPE pair AS (x int, y text); CREATE DOMAIN named AS pair;
        CREATE TABLE t(id int PRIMARY KEY, p pair, d named, parts pair[]);
        INSERT INTO t VALUES (1, ROW(NULL, NULL), ROW(NULL, 'a'), ARRAY[ROW(NULL, NULL)::pair]),
            (2, ROW(1, NULL), NULL, NULL), (3, NULL, ROW(NULL, NULL), '{}')")
    .moves();
    moved.shows("SELECT * FROM t", "1|'(,)'|'(,a)'|'{\"(,)\"}'\n2|'(1,)'|NULL|NULL\n3|NULL|'(,)'|'{}'");

    let keys = "CREATE TYPE pair AS (x int, y text); CREATE TABLE p(k pair PRIMARY KEY);
        INSERT INTO p VALUES (ROW(1, NULL)), (ROW(NULL, NULL)); CREATE TABLE c(id int PRIMARY KEY, k pair);
        INSERT INTO c VALUES (1, ROW(1, NULL)), (2, NULL), (3, ROW(NULL, NULL));";
    let key = "ALTER TABLE c ADD FOREIGN KEY (k) REFERENCES p NOT VALID;";
    way(&format!("{keys}{key}")).moves().shows("SELECT k FROM c ORDER BY id", "'(1,)'\nNULL\n'(,)'");
    let orphan = way(&format!("{keys} INSERT INTO c VALUES (4, ROW(9, NULL)); {key}"));
    orphan.migrate(&[]).exits(1).says("id=4").says("no parent");
    orphan.wrote_nothing();
}

/// Its text as JSON is the key that a checkpoint has.
#[cfg(feature = "failpoints")]
#[test]
fn a_run_over_a_key_of_an_array_goes_on() {
    let case = way("CREATE TABLE t(k text[] PRIMARY KEY, n int, filler text);
        INSERT INTO t SELECT CASE g % 3 WHEN 0 THEN ARRAY[g::text] WHEN 1 THEN ARRAY['a', g::text, NULL]
            ELSE ARRAY[[g::text], ['x']] END, g, repeat('x', 100) FROM generate_series(1, 600) g;
        INSERT INTO t VALUES ('{}', 0, '')");
    let mut migrate = case.command("migrate", &["--no-backup"]);
    migrate.env("SWITCHOVER_TEST_CHUNK_BYTES", "4096").env("FAILPOINTS", "copy-after-commit=5*off->return");
    run(&mut migrate).was_killed();
    run(&mut super::program(case.folder.path(), &["resume"])).exits(0);
    case.shows("SELECT count(*), sum(n), count(DISTINCT k) FROM t", "601|180300|601");
}
