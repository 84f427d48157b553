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

/// The target compares what it holds by its bytes: so does what is asked of the source.
#[test]
fn foreign_keys_of_an_extensions_types_are_checked_as_the_target_compares_them() {
    let sql = |child: &str| {
        format!(
            "CREATE EXTENSION ltree; CREATE EXTENSION citext;
            CREATE TABLE place(path ltree PRIMARY KEY, up ltree REFERENCES place); CREATE TABLE mail(address citext PRIMARY KEY);
            CREATE TABLE sort(letter \"char\" PRIMARY KEY); CREATE TABLE word(w char(6) PRIMARY KEY);
            CREATE TABLE c(id int PRIMARY KEY, path ltree REFERENCES place, address citext REFERENCES mail,
                letter \"char\" REFERENCES sort, w char(6) REFERENCES word);
            INSERT INTO place VALUES ('top', NULL), ('top.one', 'top'); INSERT INTO mail VALUES ('A@b'); INSERT INTO sort VALUES ('x');
            INSERT INTO word VALUES ('ab'); INSERT INTO c VALUES {child}"
        )
    };
    let moved = way(&sql("(1, 'top.one', 'A@b', 'x', 'ab'), (2, NULL, NULL, NULL, NULL)")).moves();
    moved.shows("SELECT * FROM c WHERE id = 1", "1|'top.one'|'A@b'|'x'|'ab    '");
    way(&sql("(1, NULL, 'a@B', NULL, NULL)")).migrate(&[]).exits(1).says("id=1").says("no parent");
}

/// A key that a mapping declares, on tables with a key of several columns and with none.
#[test]
fn a_declared_key_is_checked_whatever_key_the_table_has() {
    let case = |rows: &str| {
        let case = way(&format!(
            "CREATE EXTENSION ltree; CREATE TABLE two(a int, b text, v ltree, PRIMARY KEY (a, b));
            CREATE TABLE bare(v numeric, w text); INSERT INTO two VALUES (1, 'x', 'p'), (1, 'y', NULL), (2, 'x', NULL);
            INSERT INTO bare VALUES (1, NULL), (2, ''), (3, NULL); {rows}"
        ));
        let toml = "[[table.two.index]]\ncolumns = ['v']\nunique = true\n[[table.bare.index]]\ncolumns = ['w']\nunique = true\n
            [table.bare]\nprimary_key = ['v']";
        std::fs::write(case.folder.path().join("switchover.toml"), toml).unwrap();
        case
    };
    case("").moves().shows("SELECT count(*) FROM bare", "3").shows("SELECT count(*) FROM two", "3");
    let broken = case("INSERT INTO two VALUES (2, 'y', 'p'); INSERT INTO bare VALUES (2.0, 'z')");
    let plan = broken.migrate(&["--dry-run"]).exits(1);
    for said in ["a=2, b='y'", "row 4", "its v occurs in an earlier row"] {
        assert!(plan.out.contains(said), "it does not say {said}: {plan}");
    }
    broken.wrote_nothing();
    broken.migrate(&["--policy", "quarantine"]).exits(0);
    broken.shows("SELECT count(*) FROM bare", "3").shows("SELECT count(*) FROM two", "3");
}

/// An index that holds all that is asked for has another order than the table.
#[test]
fn rows_without_a_key_are_numbered_as_they_are_read() {
    let case = way("CREATE TABLE bare(w int, filler text); CREATE INDEX ON bare(w);
        INSERT INTO bare SELECT abs(2000 - g), g || repeat('x', 900) FROM generate_series(1, 2001) g;
        INSERT INTO bare SELECT -g, g || repeat('x', 900) FROM generate_series(1, 2000) g")
    .analyzed();
    let toml = "[[table.bare.index]]\ncolumns = ['w']\nunique = true";
    std::fs::write(case.folder.path().join("switchover.toml"), toml).unwrap();
    case.migrate(&["--policy", "quarantine"]).exits(0);
    case.shows("SELECT count(*), min(w), max(w) FROM bare", "4000|-2000|1999");
    case.shows("SELECT rtrim(filler, 'x') FROM bare WHERE w = 1", "'1999'");
}

#[test]
fn a_foreign_key_to_a_partitioned_table_is_one() {
    let moved = way("CREATE TABLE part(id int PRIMARY KEY) PARTITION BY RANGE (id);
        CREATE TABLE part_a PARTITION OF part FOR VALUES FROM (0) TO (10);
        CREATE TABLE part_b PARTITION OF part FOR VALUES FROM (10) TO (20);
        INSERT INTO part VALUES (1), (11); CREATE TABLE c(id int PRIMARY KEY, p int REFERENCES part);
        INSERT INTO c VALUES (1, 1), (2, 11)")
    .moves();
    moved.shows("SELECT count(*) FROM pragma_foreign_key_list('c')", "1");
    let plan = run(&mut moved.command("plan", &["-o", "-"]));
    assert_eq!(plan.out.matches("\"kind\": \"foreign key\"").count(), 1, "{plan}");
}

#[test]
fn large_objects_that_stay_have_a_line() {
    let none = way("CREATE TABLE t(id int PRIMARY KEY, picture oid)");
    assert!(!run(&mut none.command("plan", &["-o", "-"])).out.contains("large objects"));
    let some = way("CREATE EXTENSION lo; CREATE TABLE t(id int PRIMARY KEY, picture oid, film lo);
        INSERT INTO t VALUES (1, lo_from_bytea(0, '\\x00ff'), NULL)");
    let plan = run(&mut some.command("plan", &["-o", "-"])).exits(0);
    assert!(
        plan.out.contains("\"kind\": \"large objects\",\n      \"name\": \"t.picture, t.film\""),
        "{plan}"
    );
    let elsewhere = way("CREATE TABLE t(id int PRIMARY KEY); SELECT lo_from_bytea(0, '\\x00ff')");
    let plan = elsewhere.migrate(&["--dry-run"]).exits(0);
    assert!(plan.out.contains("of the database  they stay"), "{plan}");
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
