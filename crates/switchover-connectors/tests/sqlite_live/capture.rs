//! What the application does is what arrives, whatever way it does it.

use crate::harness::{ALL, App, PATIENCE, Pair, connect, schema_of, words};
use rusqlite::config::DbConfig;
use std::time::Duration;
use switchover_core::Kind;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Position, ReadRequest};
use switchover_core::live::{Beside, Limit, Seen};
use switchover_core::value::{OwnedValue, Rows};

/// A table of every kind, with everything by which a row may go unseen.
pub(crate) const SCHEMA: &str = r#"
    CREATE TABLE plain (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v);
    CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, u INTEGER NOT NULL DEFAULT 7, v TEXT);
    CREATE UNIQUE INDEX numbered_u ON numbered (u) WHERE v IS NOT NULL;
    CREATE TABLE texts (k TEXT PRIMARY KEY, a, b);
    CREATE UNIQUE INDEX texts_lower ON texts (lower(a), b);
    CREATE TABLE folded (k TEXT COLLATE NOCASE PRIMARY KEY, v);
    CREATE TABLE odd (k PRIMARY KEY, u COLLATE NOCASE UNIQUE, g AS (v || '!') UNIQUE, v);
    CREATE TABLE pair (a INTEGER, b TEXT, v, u UNIQUE, PRIMARY KEY (b, a)) WITHOUT ROWID;
    CREATE TABLE strict_one (id INTEGER PRIMARY KEY, n INT UNIQUE, x ANY) STRICT;
    CREATE TABLE "new" (id INTEGER PRIMARY KEY, "old" UNIQUE);
    CREATE TABLE "quo""te" ("a ""b" INTEGER PRIMARY KEY, "select" TEXT UNIQUE DEFAULT "word" NOT NULL);
    CREATE TABLE parent (id INTEGER PRIMARY KEY, n TEXT);
    CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE, n);
    CREATE TABLE keyless (a, b UNIQUE);
    CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT);
    CREATE TRIGGER plain_audit AFTER UPDATE ON plain BEGIN
        INSERT INTO audit (what) VALUES (OLD.id || ' to ' || NEW.id); END;
    CREATE TRIGGER audit_before BEFORE INSERT ON parent BEGIN
        INSERT INTO audit (what) VALUES ('parent'); DELETE FROM audit WHERE id % 5 = 0; END;
"#;

/// Tables whose unique indexes hold what the columns' affinities and defaults make of a row.
pub(crate) const COMPUTED: &str = r#"
    CREATE TABLE sensed (id INTEGER PRIMARY KEY, n INTEGER, c TEXT COLLATE NOCASE, r REAL);
    CREATE UNIQUE INDEX sensed_number ON sensed (CASE WHEN n = '2' THEN 'two' END);
    CREATE UNIQUE INDEX sensed_text ON sensed (CASE c WHEN 1 THEN 'one' END);
    CREATE UNIQUE INDEX sensed_both ON sensed (n = c, r < '2', c IN ('A', 'b'), n);
    CREATE TABLE filled (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT '2', c TEXT NOT NULL DEFAULT 1,
        v, g AS (n + 1), f INTEGER AS (n || c) STORED UNIQUE, h TEXT AS (n = c));
    CREATE UNIQUE INDEX filled_made ON filled (g, h, v);
    CREATE UNIQUE INDEX filled_number ON filled (coalesce(n, -1), v);
    CREATE UNIQUE INDEX filled_class ON filled (CASE WHEN c = 1 THEN typeof(c) END, v);
    CREATE TABLE folding (id INTEGER PRIMARY KEY, c COLLATE NOCASE NOT NULL DEFAULT 'a', t TEXT COLLATE NOCASE NOT NULL DEFAULT 'A', s TEXT);
    CREATE UNIQUE INDEX folding_case ON folding (CASE WHEN c = 'A' THEN 1 END, s);
    CREATE UNIQUE INDEX folding_most ON folding (max(t, 'a'), nullif(t, 'b'), s);
    CREATE UNIQUE INDEX folding_class ON folding (c = s, c, t);
    CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT, payload TEXT, CHECK (kind <> 'json' OR json_valid(payload)));
    CREATE UNIQUE INDEX events_key ON events (json_extract(payload, '$.k')) WHERE kind = 'json';
    CREATE TABLE refusing (id INTEGER PRIMARY KEY CHECK (id > 0), kind TEXT NOT NULL CHECK (kind <> 'text'), payload TEXT CHECK (json_valid(payload)));
    CREATE UNIQUE INDEX refusing_key ON refusing (json_extract(payload, '$.k'), kind);
    CREATE TABLE slugs (id INTEGER PRIMARY KEY, tenant TEXT, name TEXT, slug AS (tenant || '/' || lower(name)) UNIQUE);
    CREATE TABLE documents (id INTEGER PRIMARY KEY, u UNIQUE, doc TEXT, k AS (json_extract(coalesce(doc, ''), '$.k')));
"#;

/// Ways to write: a name, what was there, what is done.
const CASES: &[(&str, &str, &str)] = &[
    ("insert", "", "INSERT INTO plain VALUES (1, 'a', NULL), (2, 'b', 0.5), (3, 'c', x'00')"),
    ("update", "INSERT INTO plain VALUES (1, 'a', 1)", "UPDATE plain SET v = 2"),
    ("a key that changes", "INSERT INTO plain VALUES (1, 'a', 1)", "UPDATE plain SET id = 9"),
    ("a key through rowid", "INSERT INTO plain VALUES (1, 'a', 1)", "UPDATE plain SET rowid = 9"),
    ("delete", "INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 1)", "DELETE FROM plain"),
    ("replace by key", "INSERT INTO plain VALUES (1, 'a', 1)", "REPLACE INTO plain VALUES (1, 'b', 2)"),
    ("replace by unique", "INSERT INTO plain VALUES (1, 'a', 1)", "REPLACE INTO plain VALUES (2, 'a', 2)"),
    (
        "replace two by one",
        "INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 1)",
        "REPLACE INTO plain VALUES (1, 'b', 2)",
    ),
    (
        "update or replace",
        "INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 1)",
        "UPDATE OR REPLACE plain SET u = 'a' WHERE id = 2",
    ),
    (
        "update or replace of a key",
        "INSERT INTO texts VALUES ('x', 1, 1), ('y', 2, 2)",
        "UPDATE OR REPLACE texts SET k = 'x' WHERE k = 'y'",
    ),
    (
        "replace by a default",
        "INSERT INTO numbered VALUES (1, 7, 'a')",
        "REPLACE INTO numbered (id, u, v) VALUES (2, NULL, 'b')",
    ),
    (
        "replace by a word as default",
        "INSERT INTO \"quo\"\"te\" VALUES (1, 'word')",
        "REPLACE INTO \"quo\"\"te\" VALUES (2, NULL)",
    ),
    (
        "into a partial index",
        "INSERT INTO numbered VALUES (1, 5, 'a'), (2, 5, NULL)",
        "UPDATE OR REPLACE numbered SET v = 'x' WHERE id = 2",
    ),
    (
        "an index of expressions",
        "INSERT INTO texts VALUES ('x', 'AB', 1)",
        "REPLACE INTO texts VALUES ('y', 'ab', 1)",
    ),
    (
        "a collation on an index",
        "INSERT INTO odd (k, u) VALUES (1, 'a')",
        "REPLACE INTO odd (k, u) VALUES (2, 'A')",
    ),
    (
        "a unique generated column",
        "INSERT INTO odd (k, v) VALUES (1, 'a')",
        "REPLACE INTO odd (k, v) VALUES (2, 'a')",
    ),
    (
        "a key of another class",
        "INSERT INTO odd (k, v) VALUES (1, 'a')",
        "REPLACE INTO odd (k, v) VALUES (1.0, 'b')",
    ),
    ("a key of another case", "INSERT INTO folded VALUES ('a', 1)", "REPLACE INTO folded VALUES ('A', 2)"),
    ("a key that changes case", "INSERT INTO folded VALUES ('a', 1)", "UPDATE folded SET k = 'A'"),
    ("a key that changes class", "INSERT INTO odd (k) VALUES (1)", "UPDATE odd SET k = 1.0"),
    (
        "replace by the hidden number",
        "INSERT INTO texts (rowid, k, b) VALUES (5, 'x', 1)",
        "REPLACE INTO texts (rowid, k, b) VALUES (5, 'y', 2)",
    ),
    (
        "update to a hidden number",
        "INSERT INTO texts (rowid, k, b) VALUES (5, 'x', 1), (6, 'y', 2)",
        "UPDATE OR REPLACE texts SET rowid = 5 WHERE k = 'y'",
    ),
    ("without rowid", "INSERT INTO pair VALUES (1, 'a', 1, 1)", "REPLACE INTO pair VALUES (2, 'a', 1, 1)"),
    ("strict", "INSERT INTO strict_one VALUES (1, 1, 'a')", "REPLACE INTO strict_one VALUES (2, 1, 2.5)"),
    (
        "an index of an integer beside a text",
        "INSERT INTO sensed VALUES (1, 2, NULL, NULL)",
        "REPLACE INTO sensed VALUES (2, '2', NULL, NULL)",
    ),
    (
        "an index of a text beside a number",
        "INSERT INTO sensed VALUES (1, NULL, '1', NULL)",
        "REPLACE INTO sensed VALUES (2, NULL, 1, NULL)",
    ),
    (
        "an index of columns of two affinities",
        "INSERT INTO sensed VALUES (1, 5, '5', 1.5), (2, 5, 'a', 1)",
        "UPDATE OR REPLACE sensed SET c = 5, r = '1' WHERE id = 2",
    ),
    (
        "an index of a text with a collation",
        "INSERT INTO sensed VALUES (1, 5, 'a', 1.5)",
        "REPLACE INTO sensed VALUES (2, 5, 'B', 1)",
    ),
    (
        "a default under a generated column",
        "INSERT INTO filled (id, n, c, v) VALUES (1, 2, 7, 5)",
        "REPLACE INTO filled (id, n, c, v) VALUES (2, NULL, 8, 5)",
    ),
    (
        "a default under a stored column",
        "INSERT INTO filled (id, n, c) VALUES (1, 3, 1)",
        "REPLACE INTO filled (id, n, c) VALUES (2, 3, NULL)",
    ),
    (
        "a default of another class",
        "INSERT INTO filled (id, n, c, v) VALUES (1, 2, 2, 5)",
        "REPLACE INTO filled (id, n, c, v) VALUES (2, NULL, 8, 5)",
    ),
    (
        "a default that an update puts in",
        "INSERT INTO filled (id, n, c, v) VALUES (1, 3, 1, 5), (2, 7, 7, 5)",
        "UPDATE OR REPLACE filled SET c = NULL WHERE id = 2",
    ),
    ("a table called new", "INSERT INTO \"new\" VALUES (1, 1)", "REPLACE INTO \"new\" VALUES (2, 1)"),
    (
        "upsert",
        "INSERT INTO plain VALUES (1, 'a', 1)",
        "INSERT INTO plain VALUES (2, 'a', 5) ON CONFLICT (u) DO UPDATE SET id = 8, v = excluded.v",
    ),
    (
        "or ignore",
        "INSERT INTO plain VALUES (1, 'a', 1)",
        "INSERT OR IGNORE INTO plain VALUES (2, 'a', 5), (3, 'c', 1)",
    ),
    (
        "savepoints",
        "INSERT INTO plain VALUES (1, 'a', 1)",
        "BEGIN; SAVEPOINT a; UPDATE plain SET v = 2; SAVEPOINT b; INSERT INTO plain VALUES (2, 'b', 2); \
             ROLLBACK TO b; INSERT INTO plain VALUES (3, 'c', 3); RELEASE a; COMMIT",
    ),
    ("rolled back", "INSERT INTO plain VALUES (1, 'a', 1)", "BEGIN; DELETE FROM plain; ROLLBACK"),
    (
        "swapped",
        "INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2)",
        "BEGIN; UPDATE plain SET u = 'x' WHERE id = 1; UPDATE plain SET u = 'a' WHERE id = 2; \
             UPDATE plain SET u = 'b' WHERE id = 1; COMMIT",
    ),
    (
        "cascades",
        "INSERT INTO parent VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1, 1, 1), (2, 2, 2)",
        "DELETE FROM parent WHERE id = 1; UPDATE parent SET id = 7 WHERE id = 2",
    ),
    ("the application's triggers", "", "INSERT INTO parent (n) VALUES (1), (2), (3), (4), (5), (6)"),
    (
        "triggers on replace too",
        "INSERT INTO plain VALUES (1, 'a', 1)",
        "PRAGMA recursive_triggers = ON; REPLACE INTO plain VALUES (2, 'a', 2)",
    ),
    (
        "no key",
        "INSERT INTO keyless VALUES (1, 1), (1, 2)",
        "UPDATE keyless SET a = 2; REPLACE INTO keyless VALUES (3, 1)",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_arrives() {
    for (name, before, after) in CASES {
        for copied in [true, false] {
            let app = App::new(&format!("{SCHEMA} {COMPUTED}; {before}"));
            let pair = Pair::start(app).await;
            if copied {
                pair.backfill(1 << 20, &mut || {}).await.unwrap();
                pair.app.sql(after);
            } else {
                pair.app.sql(after);
                pair.backfill(1 << 20, &mut || {}).await.unwrap();
            }
            pair.forward(ALL).await.unwrap_or_else(|error| panic!("{name}: {}", words(&error)));
            let found = pair.differences();
            assert!(found.is_empty(), "{name}: {found:#?}");
        }
    }
}

/// What REPLACE computes of a default that is under two generated columns, one over the other, cannot be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_under_two_generated_columns_is_refused() {
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 2, m INTEGER, g AS (n + 1), h AS (g + 1), i AS (m + 1), j AS (i + 1))";
    for (index, refused) in
        [("h", true), ("(g + 2)", true), ("(n + 1)", false), ("g", false), ("j", false), ("(j + 1)", false)]
    {
        let app = App::new(&format!("{table}; CREATE UNIQUE INDEX x ON t ({index})"));
        let plan = app.plan().await;
        let found = Pair::refusals(&app, &plan).await;
        assert_eq!(
            found.iter().any(|why| why.contains("which row makes room")),
            refused,
            "{index}: {found:?}"
        );
    }
}

/// Such a row holds its log; what it removes has an entry all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_key_removes_another() {
    let app = App::new("CREATE TABLE t (k TEXT PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES ('a', 1)");
    let pair = Pair::start(app).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.app.sql(
        "INSERT INTO t VALUES (NULL, 2); UPDATE OR REPLACE t SET u = 1 WHERE k IS NULL; DELETE FROM t WHERE k IS NULL",
    );
    pair.forward(ALL).await.unwrap();
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_two_keys() {
    let app =
        App::new("CREATE TABLE n (k NUMERIC PRIMARY KEY, v); INSERT INTO n VALUES (-9223372036854775808, 1)");
    let pair = Pair::start(app).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.app.sql("REPLACE INTO n VALUES (-9223372036854775808.0, 2)");
    let changes = pair.source.changes(&pair.position().await, ALL, None).await.unwrap();
    let keys = &changes.tables[0].keys;
    assert!(keys.contains(&vec![OwnedValue::Int(i64::MIN)]) && keys.len() == 2, "{keys:?}");
    pair.forward(ALL).await.unwrap();
    pair.assert_equal();
}

/// A column of reals has one of the two alone, and the other finds no row there.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_number_where_it_is_one_key() {
    let app =
        App::new("CREATE TABLE r (k REAL PRIMARY KEY, v); INSERT INTO r VALUES (-9223372036854775808.0, 1)");
    let pair = Pair::start(app).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.app.sql("UPDATE r SET v = 2");
    let changes = pair.source.changes(&pair.position().await, ALL, None).await.unwrap();
    let real = OwnedValue::FloatBits((-9_223_372_036_854_775_808.0_f64).to_bits());
    assert_eq!(changes.tables[0].keys, [vec![real]]);
    pair.forward(ALL).await.unwrap();
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_is_told_what_it_was_told_before() {
    let pair = Pair::start(App::new(SCHEMA)).await;
    pair.app.sql("INSERT INTO plain VALUES (40, 'a', 1), (41, 'b', 1)");
    let connection = pair.app.connect();
    let told = |sql: &str| {
        connection.execute_batch(sql).unwrap();
        let ask = "SELECT last_insert_rowid(), changes()";
        connection.query_row(ask, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap()
    };
    assert_eq!(told("INSERT INTO plain (u) VALUES ('c')"), (42, 1));
    assert_eq!(told("REPLACE INTO plain VALUES (50, 'a', 2)"), (50, 1));
    assert_eq!(told("UPDATE child SET n = 1"), (50, 0));
    assert_eq!(told("DELETE FROM plain"), (50, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attached_alias_is_captured_and_fenced() {
    let pair = Pair::start(App::new(&format!("{SCHEMA}; INSERT INTO plain VALUES (1, 'a', 1)"))).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute("ATTACH ?1 AS \"the app\"", [pair.app.path().to_str().unwrap()]).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE plain (id, u, v); CREATE TABLE _switchover_changes (t, k1);
             REPLACE INTO \"the app\".plain VALUES (2, 'a', 1), (3, 'c', 3)",
        )
        .unwrap();
    pair.forward(ALL).await.unwrap();
    pair.assert_equal();
    let logged = "SELECT count(*) FROM main._switchover_changes";
    assert_eq!(
        connection.query_row(logged, [], |row| row.get::<_, i64>(0)).unwrap(),
        0,
        "it is another table"
    );
    pair.source.fence(PATIENCE).await.unwrap();
    let refused = connection.execute("INSERT INTO \"the app\".plain VALUES (4, 'd', 4)", []).unwrap_err();
    assert!(refused.to_string().contains("does not take writes now"), "{refused}");
    connection.execute("INSERT INTO main.plain VALUES (4, 'd', 4)", []).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_file_is_captured() {
    let app = App::new(&format!("PRAGMA encoding = 'UTF-16le'; {SCHEMA}"));
    assert_eq!(
        app.connect().query_row("PRAGMA encoding", [], |row| row.get::<_, String>(0)).unwrap(),
        "UTF-16le"
    );
    app.sql("INSERT INTO texts VALUES ('é', 'Ä', 1), ('€', 'b', 1); INSERT INTO pair VALUES (1, 'ü', 1, 1)");
    let pair = Pair::start(app).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.app.sql("UPDATE texts SET k = k || 'ß'; DELETE FROM texts WHERE b = 2; UPDATE pair SET b = '𝄞'");
    pair.forward(Limit { entries: 1, time_max: Limit::ANY_TIME }).await.unwrap();
    // Texts are compared as a program gets them, because the bytes of the files differ.
    let all = |path: std::path::PathBuf| -> Vec<String> {
        let connection = crate::harness::connect(&path);
        let sql = "SELECT k || a || b FROM texts UNION ALL SELECT b || a FROM pair ORDER BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        let mut found: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap();
        found.sort();
        found
    };
    assert_eq!(all(pair.app.path()), all(pair.new_path()));
    assert_eq!(all(pair.app.path()).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_batches_make_room() {
    let pair = Pair::start(App::new(&format!(
        "{SCHEMA}; INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)"
    )))
    .await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.app.sql(
        "BEGIN; UPDATE plain SET u = id; UPDATE plain SET u = 'b' WHERE id = 1; UPDATE plain SET u = 'c' WHERE id = 2;
         UPDATE plain SET u = 'a' WHERE id = 3; COMMIT",
    );
    pair.forward(Limit { entries: 1, time_max: Limit::ANY_TIME }).await.unwrap();
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_makes_room_for_what_it_read_later() {
    let pair = Pair::start(App::new(SCHEMA)).await;
    pair.app.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO plain SELECT i, 'u' || i, zeroblob(100) FROM n",
    );
    // Between two chunks the unique values go round among all rows.
    let mut turns = 0;
    let writer = std::sync::Mutex::new(pair.app.connect());
    pair.backfill(600, &mut || {
        turns += 1;
        writer
            .lock()
            .unwrap()
            .execute_batch(
                "BEGIN; UPDATE plain SET u = NULL; UPDATE plain SET u = 'u' || ((id + abs(random() % 60)) % 60)
                 WHERE id = abs(random() % 60); UPDATE OR REPLACE plain SET u = 'u' || (60 - id); COMMIT",
            )
            .unwrap();
    })
    .await
    .unwrap();
    assert!(turns > 10);
    pair.forward(Limit { entries: 500, time_max: Limit::ANY_TIME }).await.unwrap();
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_settling() {
    let pair = Pair::start(App::new(SCHEMA)).await;
    let first = pair.position().await;
    pair.app.sql("INSERT INTO plain (id) VALUES (1), (2), (3), (4)");
    let two =
        pair.source.changes(&first, Limit { entries: 2, time_max: Limit::ANY_TIME }, None).await.unwrap();
    assert_eq!((two.entries, two.behind, two.complete), (2, 2, false));
    let all = pair.source.changes(&first, ALL, None).await.unwrap();
    assert_eq!((all.entries, all.behind, all.complete), (4, 0, true));
    pair.target.apply(&all, Some(&first)).await.unwrap();
    // A second time, and from another position: refused, and nothing changes.
    assert_eq!(pair.target.apply(&all, Some(&first)).await.unwrap_err().kind(), Kind::Changed);
    pair.assert_equal();
    assert_eq!(pair.source.pressure().await.unwrap().log_entries, 4);
    pair.source.settle(&all.upto).await.unwrap();
    assert_eq!(pair.source.pressure().await.unwrap().log_entries, 1, "the newest stays");
    pair.app.sql("INSERT INTO plain (id) VALUES (5)");
    let next = pair.source.changes(&all.upto, ALL, None).await.unwrap();
    assert_eq!((next.entries, next.complete), (1, true));
    for (position, part) in [(first, "missing"), (Position("x:1".into()), "another log")] {
        let error = pair.source.changes(&position, ALL, None).await.unwrap_err();
        assert!(error.kind() == Kind::Changed && words(&error).contains(part), "{}", words(&error));
    }
    let unheard = pair.app.connect();
    unheard.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    unheard.execute_batch("DELETE FROM _switchover_changes").unwrap();
    let error = pair.source.changes(&next.upto, ALL, None).await.unwrap_err();
    assert!(words(&error).contains("it ends at 0"), "{}", words(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_beside_is_of_the_same_moment() {
    let pair =
        Pair::start(App::new(&format!("{SCHEMA}; INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2)"))).await;
    let after = pair.position().await;
    let table = pair.table("plain");
    let counted = pair.source.changes(&after, ALL, Some(&Beside::Count(table))).await.unwrap();
    assert!(matches!(counted.beside, Some(Seen::Count(2))), "{counted:?}");
    let request = ReadRequest {
        table: pair.read_table(table),
        range: KeyRange::default(),
        budget_bytes: 1 << 20,
        rows_max: ReadRequest::ANY_ROWS,
        time_max: ReadRequest::ANY_TIME,
    };
    let read = pair.source.changes(&after, ALL, Some(&Beside::Rows(request))).await.unwrap();
    let Some(Seen::Rows(batch)) = read.beside else { panic!("rows") };
    assert_eq!((batch.rows.len(), batch.done), (2, true));
    let keys = [vec![OwnedValue::Int(2)], vec![OwnedValue::Int(5)]];
    assert_eq!(pair.source.fetch(table, &keys).await.unwrap().len(), 1);
    assert_eq!(pair.source.count(table).await.unwrap(), 2);
}

/// Time that is over when a read begins: it ends with its first row or entry, and the next one goes on behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_time_is_over_ends_with_the_row_that_it_is_at() {
    let rows = "INSERT INTO plain (id, u) VALUES (1, 'a'), (2, 'b'), (3, 'c')";
    let pair = Pair::start(App::new(&format!("{SCHEMA}; {rows}"))).await;
    let table = pair.plan.tables.iter().position(|table| table.source == "plain").unwrap();
    let mut after = None;
    for id in 1..=4 {
        let request = ReadRequest {
            table: pair.read_table(table),
            range: KeyRange { after: after.clone(), upto: None },
            budget_bytes: 1 << 20,
            rows_max: ReadRequest::ANY_ROWS,
            time_max: Duration::ZERO,
        };
        let batch = pair.passing.read(request, Rows::default()).await.unwrap();
        assert_eq!((batch.rows.len(), batch.done), (usize::from(id < 4), id == 4));
        after = batch.last;
    }
    pair.app.sql("UPDATE plain SET u = u || 'x'");
    let mut position = pair.position().await;
    let mut left = pair.source.changes(&position, ALL, None).await.unwrap().entries;
    assert!(left >= 3);
    while left > 0 {
        let limit = Limit { time_max: Duration::ZERO, ..ALL };
        let changes = pair.source.changes(&position, limit, None).await.unwrap();
        left -= 1;
        assert_eq!((changes.entries, changes.behind, changes.complete), (1, left, left == 0));
        position = changes.upto;
    }
}

/// A table whose key may be NULL, as a whole and in part.
const NULLS: &str = "CREATE TABLE two (a TEXT COLLATE NOCASE, b INTEGER, v, PRIMARY KEY (a, b)); INSERT INTO two VALUES ('x', 1, 1)";

/// What is written without a key, where that stands, and what deals with it.
const WITHOUT_KEY: [(&str, &str, &str, &str); 4] = [
    ("INSERT INTO texts VALUES (NULL, 1, 2)", "texts", "column k", "DELETE FROM texts WHERE k IS NULL"),
    ("UPDATE texts SET k = NULL", "texts", "column k", "UPDATE texts SET k = 'again'"),
    (
        "INSERT INTO two VALUES ('x', NULL, 2)",
        "two",
        "column b",
        "UPDATE two SET b = (SELECT max(b) + 1 FROM two) WHERE b IS NULL",
    ),
    ("INSERT INTO two VALUES (NULL, NULL, 2)", "two", "column a, b", "DELETE FROM two WHERE a IS NULL"),
];

/// That changes are held by a row without a key, and what is said then.
fn is_held(result: switchover_core::Result<u64>, (table, column): (&str, &str), way_out: &str) {
    let error = result.unwrap_err();
    let said = words(&error);
    let named = [table, column, "holds 1 such", "delete them or give them a key", way_out];
    assert!(error.kind() == Kind::Refused && named.iter().all(|part| said.contains(part)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_key_holds_its_log_for_as_long_as_it_is_there() {
    let schema = format!("{SCHEMA}; {NULLS}; INSERT INTO texts VALUES ('a', 1, 1)");
    for (write, table, column, mend) in WITHOUT_KEY {
        let pair = Pair::start(App::new(&schema)).await;
        pair.backfill(1 << 20, &mut || {}).await.unwrap();
        pair.app.sql(write);
        is_held(pair.forward(ALL).await, (table, column), "switchover rollback");
        pair.app.sql(mend);
        pair.forward(ALL).await.unwrap_or_else(|error| panic!("{mend}: {}", words(&error)));
        pair.assert_equal();
        // The same where the target owns the data.
        pair.cut_over().await;
        let application = connect(&pair.new_path());
        application.execute_batch(write).unwrap();
        is_held(pair.back(ALL).await, (table, column), "finish --abandon-source");
        application.execute_batch(mend).unwrap();
        pair.back(ALL).await.unwrap_or_else(|error| panic!("{mend}: {}", words(&error)));
        pair.assert_equal();
    }
}

/// A copy takes rows as they are; what the log says afterwards must remove them.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_key_that_was_copied_goes_when_it_is_deleted() {
    let pair = Pair::start(App::new(&format!("{SCHEMA}; {NULLS}"))).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    let rows = "INSERT INTO texts VALUES (NULL, 1, 2); INSERT INTO two VALUES ('x', NULL, 2)";
    pair.app.sql(rows);
    let copied = connect(&pair.new_path());
    copied.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    copied.execute_batch(rows).unwrap();
    pair.app.sql("DELETE FROM texts WHERE k IS NULL; DELETE FROM two WHERE b IS NULL");
    pair.forward(ALL).await.unwrap();
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_the_file_as_it_found_it() {
    let app = App::new(SCHEMA);
    let before = schema_of(&app.path());
    let pair = Pair::start(app).await;
    let plan = pair.app.plan().await;
    assert_eq!(plan.source.schema_hash, pair.plan.source.schema_hash, "the run's own objects are no schema");
    assert_eq!(plan.outcomes, pair.plan.outcomes);
    pair.app.sql("INSERT INTO plain (id) VALUES (1)");
    pair.source.fence(PATIENCE).await.unwrap();
    for _ in 0..2 {
        pair.source.leave().await.unwrap();
        assert_eq!(schema_of(&pair.app.path()), before);
    }
    pair.app.sql("INSERT INTO plain (id) VALUES (2)");
    pair.target.leave().await.unwrap();
    let left: Vec<String> = schema_of(&pair.new_path()).into_iter().map(|(name, _)| name).collect();
    assert!(!left.iter().any(|name| name.contains("_switchover_live")), "{left:?}");
}
