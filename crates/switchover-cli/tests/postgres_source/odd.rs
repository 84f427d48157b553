//! What few databases hold: values of several fields, keys of arrays and of an extension's types, large
//! objects, and foreign keys to partitioned tables.

use super::way;

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
