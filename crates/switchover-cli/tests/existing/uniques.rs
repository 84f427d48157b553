//! What a target's own unique indexes and exclusion constraints keep apart, where only its server can tell: predicates,
//! expressions, collations, NULLs that count as equal, times and numbers that are equal however they are written.
//!
//! Every row that such an index would refuse is named before anything is written; what is left loads.

use crate::app::App;
use crate::common::run;

/// Rows that two partial, two computed, one exclusive and several other rules know for one.
const SOURCE: &str = "
    CREATE TABLE account (id INTEGER PRIMARY KEY, mail TEXT, status TEXT, deleted_at TEXT, is_primary INT, owner INT, seen TEXT, slug TEXT);
    INSERT INTO account VALUES
        (1, 'a@x', 'open', NULL, 1, 7, '2024-01-01T00:00:00Z', 'Éa'),
        (2, 'a@x', 'open', '2024-02-01T00:00:00Z', 0, 7, '2024-01-01T01:00:00+02:00', 'éA'),
        (3, 'a@x', 'shut', NULL, 1, 8, '2024-01-01T02:00:00+02:00', 'c'),
        (4, 'b@x', 'held', NULL, 1, 7, NULL, NULL),
        (5, 'c@x', 'open', NULL, 0, 9, NULL, NULL),
        (6, 'C@X', 'gone', NULL, 0, NULL, '2024-03-01T00:00:00Z', 'f'),
        (7, 'g@x', 'gone', NULL, 0, NULL, '2024-03-01T00:00:00Z', 'g');
    CREATE TABLE booking (id INTEGER PRIMARY KEY, room INT, starts INT, ends INT);
    INSERT INTO booking VALUES (1, 1, 10, 20), (2, 1, 20, 30), (3, 1, 25, 40), (4, 2, 15, 35), (5, 1, NULL, 12);";

const TARGET: &str = r#"
    CREATE TABLE account (id int PRIMARY KEY, mail varchar(40), status text, deleted_at timestamptz, is_primary boolean NOT NULL,
        owner int, seen timestamptz, slug text, touched timestamptz DEFAULT now(), folded text GENERATED ALWAYS AS (lower(slug)) STORED);
    CREATE UNIQUE INDEX living ON account (mail) WHERE deleted_at IS NULL;
    CREATE UNIQUE INDEX one_primary ON account (owner) WHERE is_primary AND status IN ('open', 'held');
    CREATE UNIQUE INDEX any_case ON account (lower(mail::text)) WHERE status = ANY (ARRAY['open', 'gone']);
    CREATE UNIQUE INDEX one_instant ON account (seen, status);
    CREATE UNIQUE INDEX one_slug ON account (folded);
    CREATE UNIQUE INDEX any_letter ON account (lower(slug COLLATE "und-x-icu"));
    CREATE EXTENSION btree_gist;
    CREATE TABLE booking (id int PRIMARY KEY, room int, starts int, ends int,
        CONSTRAINT no_overlap EXCLUDE USING gist (room WITH =, int4range(starts, ends) WITH &&) WHERE (room < 9) DEFERRABLE INITIALLY DEFERRED);"#;

#[test]
fn rows_that_only_the_server_takes_for_one_are_all_named_before_anything_is_written() {
    let app = App::new(SOURCE, TARGET);
    insta::assert_snapshot!(app.refusals(&[]));
    let before = app.dump();
    for rebuild in [&["--policy", "quarantine"][..], &["--policy", "quarantine", "--rebuild"]] {
        run(&mut app.migrate(rebuild)).exits(0);
        app.shows("SELECT string_agg(id::text, ' ' ORDER BY id) FROM account", "1 5 7");
        app.shows("SELECT string_agg(id::text, ' ' ORDER BY id) FROM booking", "1 2 4");
        run(&mut app.on_both("verify", rebuild)).exits(0);
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before);
    }
    // Without the rows that meet, all the others load.
    app.source("DELETE FROM account WHERE id IN (2, 3, 4, 6); DELETE FROM booking WHERE id IN (3, 5);");
    run(&mut app.migrate(&[])).exits(0);
}

#[test]
fn rows_that_the_targets_own_rows_keep_out_are_named_too() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, gone TEXT);
         INSERT INTO t VALUES (1, 'ADMIN', NULL), (2, 'guest', NULL), (3, 'Éva', NULL), (4, 'GUEST', '2024-01-01T00:00:00Z'), (5, 'new', NULL), (6, 'New', '2024-01-01T00:00:00Z'), (7, 'twin', NULL), (8, 'Twin', NULL);",
        "CREATE TABLE t (id int PRIMARY KEY, name text, gone timestamptz);
         CREATE UNIQUE INDEX living ON t (lower(name)) WHERE gone IS NULL;
         INSERT INTO t VALUES (1, 'admin', NULL), (18, 'Guest', NULL), (9, 'éVA', NULL), (10, 'new', '2023-01-01');",
    );
    insta::assert_snapshot!(app.refusals(&["--on-conflict", "replace"]));
    // What is replaced is in nobody's way.
    app.psql("DELETE FROM t WHERE id IN (18, 9)");
    app.source("DELETE FROM t WHERE id IN (7, 8)");
    run(&mut app.migrate(&["--on-conflict", "replace"])).exits(0);
    app.shows("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t", "1 2 3 4 5 6 10");
}

#[test]
fn nulls_that_count_as_equal_are_one_key() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT, UNIQUE (a, b)); INSERT INTO t VALUES (1, 1, NULL), (2, 1, NULL), (3, 1, 'x'), (4, NULL, NULL);",
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text)",
    );
    if app.psql("SELECT current_setting('server_version_num')::int < 150000") == "t" {
        // Older servers know no such keys.
        return;
    }
    app.psql("ALTER TABLE t ADD CONSTRAINT one UNIQUE NULLS NOT DISTINCT (a, b)");
    let refused = app.refusals(&[]);
    assert!(refused.contains("t | id=2 | a, b | 1, NULL | an earlier row keeps it out of the target's \"one\" (UNIQUE NULLS NOT DISTINCT (a, b)); the only such row"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
    app.source("DELETE FROM t WHERE id = 2");
    run(&mut app.migrate(&[])).exits(0);
}

#[test]
fn columns_that_only_the_target_has_count_with_what_it_gives_them() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, mail TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'a'), (3, 'b'), (4, 'B');",
        "CREATE TABLE t (id int PRIMARY KEY, mail text, tenant int NOT NULL DEFAULT 1, deleted timestamptz, n serial);
         CREATE UNIQUE INDEX of_tenant ON t (tenant, mail); CREATE UNIQUE INDEX living ON t (upper(mail)) WHERE deleted IS NULL;
         CREATE UNIQUE INDEX numbered ON t (n, mail); CREATE UNIQUE INDEX odd ON t ((n % 2), mail) WHERE n > 100;",
    );
    let refused = app.refusals(&[]);
    let lines: Vec<&str> = refused.lines().collect();
    assert!(
        lines[0]
            .starts_with("t | id=2 | mail | 'a' | an earlier row keeps it out of the target's \"living\""),
        "{refused}"
    );
    assert!(
        lines[1]
            .starts_with("t | id=4 | mail | 'B' | an earlier row keeps it out of the target's \"living\""),
        "{refused}"
    );
    assert!(
        lines[2]
            .starts_with("t | id=2 | mail | 'a' | an earlier row keeps it out of the target's \"of_tenant\""),
        "{refused}"
    );
    assert_eq!(lines.len(), 3, "{refused}");
    // What nobody can know before is said, and nothing else of it is asked: no number is used up.
    app.source("DELETE FROM t WHERE id IN (2, 4)");
    let before = app.dump();
    let plan = run(&mut app.on_both("plan", &[])).exits(0);
    let text = plan.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("only as they are loaded (the target numbers \"n\" by itself)"), "{plan}");
    assert_eq!(app.dump(), before);
    run(&mut app.migrate(&[])).exits(0);
    app.shows("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t", "1 2");
}

#[test]
fn a_value_that_an_index_cannot_take_is_named() {
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)";
    let app = App::new(
        &format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); {many} INSERT INTO t SELECT i, i FROM n; UPDATE t SET v = 'x' WHERE id = 321; UPDATE t SET v = '07' WHERE id = 9;"
        ),
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX as_number ON t ((v::int))",
    );
    let refused = app.refusals(&[]);
    assert!(refused.contains("t | id=321 | v | 'x' | the target's \"as_number\" (btree (((v)::integer))) does not take it: invalid input syntax for type integer: \"x\""), "{refused}");
    assert!(refused.contains("t | id=9 | v | '07' | an earlier row keeps it out"), "{refused}");
}

#[test]
fn a_role_that_may_make_no_temporary_table_is_told_that_the_load_will_tell() {
    let app = App::owned(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b');",
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX one ON t (lower(v));",
    );
    app.psql(&format!("REVOKE TEMPORARY ON DATABASE \"{}\" FROM PUBLIC", app.database.name()));
    let plan = run(&mut app.on_both("plan", &[])).exits(0);
    let text = plan.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("only as they are loaded (permission denied to create temporary tables"), "{plan}");
    let before = app.dump();
    run(&mut app.migrate(&[])).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    app.source("UPDATE t SET v = 'A' WHERE id = 2");
    let ran = run(&mut app.migrate(&[]));
    assert_ne!(ran.code, Some(0));
    ran.says("one");
    assert_eq!(app.dump(), before, "the run is taken back");
    app.drop_owner();
}
