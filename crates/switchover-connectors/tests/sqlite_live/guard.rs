//! What the guards ask of a new row keeps no statement from what it does without them, and no row that REPLACE removes
//! stays unseen.

use crate::harness::{ALL, App, PATIENCE, Pair, schema_of, words};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use switchover_testkit::lite;

/// What an application is told: nothing, or an error with its code.
fn outcome(connection: &Connection, sql: &str) -> Result<(), String> {
    connection.execute_batch(sql).map_err(|error| format!("{error:?}"))
}

/// That statements do to one table what they do without capture, are told the same, and that all of it arrives.
async fn check(schema: &str, statements: &[&str]) {
    check_by(App::connect, schema, statements).await;
}

/// The same of an application that connects so.
async fn check_by(connect: fn(&App) -> Connection, schema: &str, statements: &[&str]) {
    for sql in statements {
        let (plain, app) = (App::new(schema), App::new(schema));
        let expected = outcome(&connect(&plain), sql);
        let pair = Pair::start(app).await;
        pair.backfill(1 << 20, &mut || {}).await.unwrap();
        assert_eq!(outcome(&connect(&pair.app), sql), expected, "{sql}: {schema}");
        for table in &pair.plan.tables {
            let rows = format!("SELECT * FROM {}", crate::harness::quoted(&table.source));
            let found = lite::differing_rows(&plain.path(), &rows, &pair.app.path(), &rows).unwrap();
            assert!(found.is_empty(), "{sql}: {schema}: {found:#?}");
        }
        pair.forward(ALL).await.unwrap_or_else(|error| panic!("{sql}: {schema}: {}", words(&error)));
        let found = pair.differences();
        assert!(found.is_empty(), "{sql}: {schema}: {found:#?}");
    }
}

/// Texts that are no JSON beside texts that are.
const EVENTS: &str = r#"
    CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT, payload TEXT);
    INSERT INTO events VALUES (1, 'json', '{"key":1}'), (2, 'text', 'plain text'), (3, 'json', '{"key":3}');
"#;

const OF_EVENTS: &[&str] = &[
    "INSERT INTO events VALUES (4, 'text', 'plain text')",
    "INSERT INTO events VALUES (4, 'text', 'plain'), (5, 'json', '{\"key\":5}')",
    "INSERT OR IGNORE INTO events VALUES (4, 'text', 'plain text')",
    "REPLACE INTO events VALUES (1, 'text', 'plain text')",
    "REPLACE INTO events VALUES (4, 'json', '{\"key\":1}')",
    "UPDATE events SET payload = 'another' WHERE id = 2",
    "UPDATE events SET kind = 'note' WHERE id = 2",
    "UPDATE events SET kind = 'text', payload = 'plain' WHERE id = 1",
    "UPDATE events SET kind = 'json', payload = '{}' WHERE id = 2",
    "UPDATE OR REPLACE events SET kind = 'json', payload = '{\"key\":3}' WHERE id = 2",
    "INSERT INTO events VALUES (4, 'json', 'plain text')",
    "UPDATE events SET kind = 'json' WHERE id = 2",
    "INSERT INTO events VALUES (4, 'json', '{\"key\":1}')",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_is_not_computed_of_a_row_that_its_index_does_not_hold() {
    for index in [
        "(json_extract(payload, '$.key')) WHERE kind = 'json'",
        "(payload ->> '$.key', kind) WHERE kind = 'json' AND payload ->> '$.key' IS NOT NULL",
        "(kind, json_extract(payload, '$.key')) WHERE json_valid(payload)",
        "(json_extract(payload, '$.key')) WHERE json_valid(payload) AND json_extract(payload, '$.key') > 0",
        "(json_extract(payload, '$.key')) WHERE NOT (kind = 'text' OR kind IS 'note')",
    ] {
        check(&format!("{EVENTS} CREATE UNIQUE INDEX u ON events {index}"), OF_EVENTS).await;
    }
}

/// Rows that are there may be found by another index, with those that the unique one does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn an_expression_is_not_computed_of_rows_that_another_index_finds() {
    let schema = r#"
        CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT, tenant INTEGER, payload TEXT);
        CREATE UNIQUE INDEX u ON events (tenant, json_extract(payload, '$.key')) WHERE kind = 'json';
        CREATE INDEX covering ON events (tenant, payload, kind);
        INSERT INTO events VALUES (1, 'json', 1, '{"key":1}'), (2, 'text', 2, 'plain text'), (3, 'json', 3, '{"key":3}');
        ANALYZE
    "#;
    let statements = [
        "INSERT INTO events VALUES (4, 'json', 2, '{\"key\":2}')",
        "UPDATE events SET tenant = 2",
        "REPLACE INTO events VALUES (4, 'json', 3, '{\"key\":3}')",
    ];
    check(schema, &statements).await;
}

/// A CHECK is asked first: what it refuses is no JSON that cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn an_expression_is_not_computed_of_a_row_that_a_check_refuses() {
    for (column, index) in [
        ("payload TEXT CHECK (json_valid(payload))", "(json_extract(payload, '$.key'))"),
        (
            "payload TEXT, CHECK (kind <> 'json' OR json_valid(payload)), CHECK (id > 0)",
            "(json_extract(payload, '$.key')) WHERE kind = 'json'",
        ),
    ] {
        let schema = format!(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT, {column}); CREATE UNIQUE INDEX u ON events {index};
             INSERT INTO events VALUES (1, 'json', '{{\"key\":1}}'), (2, 'json', '{{\"key\":2}}')"
        );
        let statements = [
            "INSERT INTO events VALUES (4, 'json', 'plain text')",
            "INSERT OR IGNORE INTO events VALUES (4, 'json', 'plain text')",
            "REPLACE INTO events VALUES (4, 'json', 'plain text')",
            "UPDATE OR IGNORE events SET payload = 'plain text' WHERE id = 2",
            "UPDATE OR FAIL events SET payload = 'plain text'",
            "REPLACE INTO events VALUES (4, 'json', '{\"key\":1}')",
            "REPLACE INTO events (kind, payload) VALUES ('json', '{\"key\":1}')",
            "REPLACE INTO events VALUES (4, 'json', NULL)",
            "UPDATE OR REPLACE events SET payload = '{\"key\":1}' WHERE id = 2",
        ];
        check(&schema, &statements).await;
    }
}

/// So is everything else that SQLite asks of a row before: what is NOT NULL, and every CHECK, whichever columns it names.
#[tokio::test(flavor = "multi_thread")]
async fn an_expression_is_not_computed_of_a_row_that_is_refused_for_its_other_columns() {
    let rows = "INSERT INTO e VALUES (1, 'a', '{\"k\":1}'), (2, 'b', '{\"k\":2}')";
    let index = "CREATE UNIQUE INDEX x ON e (json_extract(payload, '$.k'))";
    for table in [
        "id INTEGER PRIMARY KEY CHECK (id > 0), kind TEXT NOT NULL CHECK (kind IN ('a', 'b')), payload",
        "id INTEGER PRIMARY KEY NOT NULL CHECK (id > 0), kind TEXT NOT NULL, payload, CHECK (kind IN ('a', 'b')), CHECK (payload ->> '$' <> 7)",
        "id INTEGER PRIMARY KEY, kind TEXT, payload, g AS (nullif(kind, 'c')) NOT NULL, h AS (id + 0), CHECK (h > 0)",
        "id INTEGER NOT NULL CHECK (id > 0), kind TEXT CHECK (kind IN ('a', 'b')), payload, PRIMARY KEY (id, kind)) WITHOUT ROWID; SELECT (1",
    ] {
        let schema = format!("CREATE TABLE e ({table}); {index}; {rows}");
        let statements = [
            "INSERT OR IGNORE INTO e VALUES (4, NULL, 'plain'), (5, 'a', '{}')",
            "INSERT OR IGNORE INTO e VALUES (4, 'c', 'plain'), (5, 'a', '{}')",
            "INSERT OR IGNORE INTO e VALUES (-5, 'a', 'plain'), (5, 'a', '{}')",
            "INSERT INTO e VALUES (4, NULL, 'plain')",
            "REPLACE INTO e VALUES (4, 'c', 'plain')",
            "INSERT INTO e VALUES (4, 'a', 'plain')",
            "UPDATE OR IGNORE e SET kind = NULL, payload = 'plain'",
            "UPDATE OR IGNORE e SET kind = 'c', payload = 'plain' WHERE id = 1",
            "UPDATE OR IGNORE e SET id = -5, payload = 'plain' WHERE id = 1",
            "UPDATE OR IGNORE e SET payload = 'plain' WHERE id = 1",
            "UPDATE OR REPLACE e SET payload = '{\"k\":1}' WHERE id = 2",
            "REPLACE INTO e VALUES (4, 'a', '{\"k\":1}')",
            "REPLACE INTO e (kind, payload) VALUES ('a', '{\"k\":1}')",
        ];
        check(&schema, &statements).await;
    }
}

/// An UPDATE asks a CHECK only where it sets one of its columns. So a row that was there before the CHECK takes another's place.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_breaks_a_check_since_ever_is_seen_to_replace_another() {
    let schema = r#"
        CREATE TABLE e (id INTEGER PRIMARY KEY, kind TEXT CHECK (kind IN ('a', 'b')), payload);
        CREATE UNIQUE INDEX x ON e (json_extract(payload, '$.k'));
        PRAGMA ignore_check_constraints = ON;
        INSERT INTO e VALUES (1, 'a', '{"k":1}'), (2, 'z', '{"k":2}')
    "#;
    let pair = Pair::start(App::new(schema)).await;
    pair.app.sql("UPDATE OR REPLACE e SET payload = '{\"k\":1}' WHERE id = 2");
    let logged =
        "SELECT group_concat(k1, ' ') FROM (SELECT DISTINCT k1 FROM _switchover_changes ORDER BY k1)";
    let logged: String = pair.app.connect().query_row(logged, [], |row| row.get(0)).unwrap();
    assert_eq!(logged, "1 2");
}

/// Where an expression compares, by whatever, it does by the column's collation and affinity.
#[tokio::test(flavor = "multi_thread")]
async fn an_expression_compares_as_its_columns_do() {
    for (column, index, rows, statement) in [
        (
            "c COLLATE NOCASE NOT NULL DEFAULT 'x'",
            "(CASE WHEN c = 'A' THEN 1 END)",
            "(1, 'A')",
            "REPLACE INTO t VALUES (2, 'a')",
        ),
        (
            "c COLLATE NOCASE NOT NULL DEFAULT 'a'",
            "(CASE c WHEN 'A' THEN 1 END)",
            "(1, 'A')",
            "REPLACE INTO t VALUES (2, NULL)",
        ),
        (
            "c TEXT COLLATE NOCASE NOT NULL DEFAULT 'x'",
            "(max(c, 'b'))",
            "(1, 'C')",
            "REPLACE INTO t VALUES (2, 'C')",
        ),
        (
            "c TEXT COLLATE NOCASE NOT NULL DEFAULT 'x'",
            "(min(c, 'b'))",
            "(1, 'C')",
            "REPLACE INTO t VALUES (2, 'D')",
        ),
        (
            "c TEXT COLLATE NOCASE NOT NULL DEFAULT 'x'",
            "(coalesce(nullif(c, 'B'), 7))",
            "(1, 'B')",
            "REPLACE INTO t VALUES (2, 'b')",
        ),
        (
            "c COLLATE NOCASE NOT NULL DEFAULT 'x'",
            "(max(c, 'b'))",
            "(1, 'C')",
            "REPLACE INTO t VALUES (2, 'C')",
        ),
        // Between a column without a type and a text nothing is converted: 5 is not '5'.
        ("c, s TEXT", "(c = s)", "(1, 5, '5')", "REPLACE INTO t VALUES (2, 5, '5')"),
        (
            "c NOT NULL DEFAULT 5, s TEXT",
            "(CASE WHEN c <> s THEN 'other' END)",
            "(1, 6, '6')",
            "REPLACE INTO t VALUES (2, NULL, '5')",
        ),
    ] {
        let schema = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, {column}); CREATE UNIQUE INDEX x ON t {index}; INSERT INTO t VALUES {rows}"
        );
        check(&schema, &[statement]).await;
    }
}

/// Before SQLite gives a row its number no trigger can tell what is computed of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unique_by_a_number_that_sqlite_gives_is_refused() {
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, parent, s TEXT, g AS (coalesce(parent, id)), h AS (g + 1), i AS (parent + 1))";
    let json = "json_extract(s, '$.k')";
    for (index, refused) in [
        ("g", true),
        ("h, s", true),
        ("id % 10", true),
        ("lower(s), g + 1", true),
        ("(s, id) = (parent, 5)", true),
        ("i", false),
        ("id, parent", false),
        ("id, g", false),
        ("s, id % 10, id", false),
        ("(s, parent) = (parent, 5)", false),
        ("s) WHERE (id > 5", false),
        ("lower(s)) WHERE (rowid > 5", false),
        (&format!("{json}) WHERE (id > 5"), true),
        (&format!("{json}) WHERE (rowid > 5"), true),
        (&format!("{json}) WHERE (h > 5"), true),
        (&format!("{json}) WHERE (parent > 5"), false),
    ] {
        let app = App::new(&format!("{table}; CREATE UNIQUE INDEX \"the index\" ON t ({index})"));
        let plan = app.plan().await;
        let found = Pair::refusals(&app, &plan).await;
        let said = |why: &String| why.contains("which row makes room") && why.contains("the index");
        assert_eq!(found.iter().any(said), refused, "{index}: {found:?}");
    }
    // A key that SQLite gives no number to, and one that it is told.
    for table in ["id INTEGER, PRIMARY KEY (id)) WITHOUT ROWID", "id INT PRIMARY KEY)"] {
        let app = App::new(&format!("CREATE TABLE t (v, {table}; CREATE UNIQUE INDEX x ON t (id % 10)"));
        let plan = app.plan().await;
        assert_eq!(Pair::refusals(&app, &plan).await, [""; 0], "{table}");
    }
}

/// In a trigger that runs before an UPDATE, SQLite has only those columns that the statement sets or a trigger names, and computes
/// generated ones of NULL for the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_is_computed_of_columns_that_an_update_leaves_as_they_are() {
    for (column, index) in [
        ("slug AS (tenant || '/' || lower(name))", "CREATE UNIQUE INDEX x ON t (slug)"),
        ("slug TEXT AS (tenant || '/' || lower(name)) STORED", "CREATE UNIQUE INDEX x ON t (slug)"),
        ("slug AS (tenant || '/' || lower(name)), UNIQUE (slug) ON CONFLICT REPLACE", ""),
        ("slug AS (tenant || '/' || lower(name)), deep AS (slug || '!') UNIQUE ON CONFLICT REPLACE", ""),
        ("slug AS (tenant || '/' || lower(name))", "CREATE UNIQUE INDEX x ON t (upper(slug))"),
        (
            "slug AS (tenant || '/' || lower(name))",
            "CREATE UNIQUE INDEX x ON t (lower(name)) WHERE slug > ''",
        ),
        (
            "slug AS (tenant || '/' || lower(name)), doc, CHECK (slug > '')",
            "CREATE UNIQUE INDEX x ON t (json_extract(lower(name), '$.k')) WHERE slug > ''",
        ),
    ] {
        let schema = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, tenant TEXT, name TEXT, {column}); {index};
             INSERT INTO t (id, tenant, name) VALUES (1, 'acme', '{{\"K\":1}}'), (2, 'acme', '{{\"K\":2}}')"
        );
        let statements = [
            "UPDATE OR REPLACE t SET name = '{\"k\":1}' WHERE id = 2",
            "UPDATE t SET name = '{\"k\":1}' WHERE id = 2",
            "UPDATE OR REPLACE t SET id = 1, name = '{\"k\":1}' WHERE id = 2",
        ];
        check(&schema, &statements).await;
    }
}

/// The same where such a column cannot be computed of NULL.
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_ends_no_update_that_leaves_what_it_is_computed_of() {
    let schema = r#"
        CREATE TABLE e (u UNIQUE, doc, k AS (json_extract(coalesce(doc, ''), '$.k')), id INTEGER PRIMARY KEY);
        INSERT INTO e VALUES (1, '{"k":1}', 1), (7, '{"k":7}', 7)
    "#;
    check(schema, &["UPDATE e SET u = 2 WHERE id = 1", "UPDATE OR REPLACE e SET u = 7 WHERE id = 1"]).await;
    let pair = Pair::start(App::new(schema)).await;
    pair.source.fence(PATIENCE).await.unwrap();
    let said = outcome(&pair.app.connect(), "UPDATE e SET u = 2").unwrap_err();
    assert!(said.contains("does not take writes now"), "{said}");
}

/// Before any INSERT trigger SQLite computes every generated column, in whatever index, of the number -1 where it will choose one.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_may_not_be_computed_before_the_number_is_known_is_refused() {
    let item = "json_extract(doc, '$[' || id || ']')";
    for (key, columns, refused) in [
        ("INTEGER PRIMARY KEY", format!("g AS ({item})"), true),
        ("INTEGER PRIMARY KEY", format!("g AS ({item}) STORED, h UNIQUE"), true),
        ("INTEGER PRIMARY KEY", "f AS ('$[' || id || ']'), g AS (doc ->> f)".to_owned(), true),
        ("INTEGER PRIMARY KEY", "g AS (json_extract(doc, '$.id')), h UNIQUE".to_owned(), false),
        ("INTEGER PRIMARY KEY", "g AS (printf('N-%06d', id)), h AS (id || '/' || doc)".to_owned(), false),
        ("INT PRIMARY KEY", format!("g AS ({item})"), false),
    ] {
        let app = App::new(&format!("CREATE TABLE t (id {key}, doc, {columns})"));
        let found = Pair::refusals(&app, &app.plan().await).await;
        let said = |why: &String| why.contains("the generated column g ") && why.contains("every INSERT");
        assert_eq!(found.iter().any(said), refused, "{key}, {columns}: {found:?}");
        assert_eq!(found.len(), usize::from(refused), "{key}, {columns}: {found:?}");
    }
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, g AS (printf('N-%06d', id)))";
    check(schema, &["INSERT INTO t (u) VALUES (1), (2)", "REPLACE INTO t VALUES (7, 1), (NULL, 1)"]).await;
}

/// As an application connects whose SQLite takes no word in double quotes for a text (`SQLITE_DQS=0`). It reads an old schema that has some.
fn strict(app: &App) -> Connection {
    let connection = app.connect();
    for setting in [DbConfig::SQLITE_DBCONFIG_DQS_DML, DbConfig::SQLITE_DBCONFIG_DQS_DDL] {
        connection.set_db_config(setting, false).unwrap();
    }
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_in_double_quotes_keeps_no_application_from_its_file() {
    for (column, index) in [
        ("kind", r#"(u) WHERE kind = "json""#),
        ("kind", r#"(u, "kind" || "it's ""so""" || 'a "text"')"#),
        ("kind", r#"("upper"("kind") COLLATE "NOCASE", u) WHERE "kind" <> "text" AND "rowid" > 0"#),
        (
            r#"kind, CHECK ("e"."kind" <> "none")"#,
            r#"(json_extract(payload, "$.key")) WHERE CAST(kind AS "TEXT") = "json""#,
        ),
        (r#"kind NOT NULL DEFAULT "json", g AS (kind || "!")"#, "(g, u)"),
    ] {
        let schema = format!(
            "CREATE TABLE e (id INTEGER PRIMARY KEY, u, payload, {column});
             CREATE UNIQUE INDEX x ON e {index};
             INSERT INTO e (id, u, payload, kind) VALUES (1, 1, '{{\"key\":1}}', 'json'), (2, 2, '{{\"key\":2}}', 'json')"
        );
        let statements = [
            "INSERT INTO e (id, u, kind) VALUES (3, 3, 'text')",
            "REPLACE INTO e (id, u, payload, kind) VALUES (3, 1, '{\"key\":1}', 'json')",
            "UPDATE OR REPLACE e SET u = 1, payload = '{\"key\":1}' WHERE id = 2",
            "REPLACE INTO e (id, u, payload, kind) VALUES (3, 1, '{\"key\":1}', NULL)",
        ];
        check_by(strict, &schema, &statements).await;
    }
}

/// A run that an earlier build began, which did not refuse it.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_refused_ends_no_run_that_has_it() {
    let app = App::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE UNIQUE INDEX later ON t (v)");
    let pair = Pair::start(app).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    let before = schema_of(&pair.app.path());
    pair.app.sql(
        "DROP INDEX later; CREATE UNIQUE INDEX later ON t (v, id % 10);
         UPDATE _switchover_live_object SET sql = (SELECT sql FROM sqlite_schema WHERE name = 'later') WHERE name = 'later'",
    );
    assert_ne!(schema_of(&pair.app.path()), before);
    pair.app.sql("INSERT INTO t (v) VALUES (1), (2)");
    assert!(!pair.source.capture(&[], &[]).await.unwrap().new);
    pair.forward(ALL).await.unwrap_or_else(|error| panic!("{}", words(&error)));
    pair.assert_equal();
}
