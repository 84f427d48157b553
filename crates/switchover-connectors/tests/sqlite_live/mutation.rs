//! Each trigger and each of its statements is broken on purpose: the check of the capture must notice, and where
//! that is made blind, the stores must differ.

use crate::capture::SCHEMA;
use crate::harness::{ALL, App, PATIENCE, Pair, connect, words};
use crate::workload::{self, Dice};
use rusqlite::Connection;
use switchover_core::Kind;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::ReadRequest;
use switchover_core::live::Changes;
use switchover_core::value::{OwnedValue, Rows};

/// The capture's triggers: name, table, statement.
fn triggers(pair: &Pair) -> Vec<(String, String, String)> {
    let connection = pair.app.connect();
    let sql = "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_switchover\\_live\\_%' ESCAPE '\\' ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    found.collect::<rusqlite::Result<_>>().unwrap()
}

async fn read(pair: &Pair) -> switchover_core::Result<()> {
    let request = ReadRequest {
        table: pair.read_table(0),
        range: KeyRange::default(),
        budget_bytes: 1 << 20,
        rows_max: ReadRequest::ANY_ROWS,
        time_max: ReadRequest::ANY_TIME,
    };
    pair.passing.read(request, Rows::default()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_is_lost_or_changed_is_noticed() {
    let pair = Pair::start(App::new(SCHEMA)).await;
    let all = triggers(&pair);
    assert!(all.len() > 50, "{}", all.len());
    let position = pair.position().await;
    for (name, table, sql) in &all {
        let (head, body) = sql.split_once(" BEGIN ").unwrap();
        let head = match head.split_once(" WHEN ") {
            Some((event, condition)) => format!("{event} WHEN 0 AND {condition}"),
            None => format!("{head} WHEN 0"),
        };
        let weak = format!("{head} BEGIN {body}");
        let drop = format!("DROP TRIGGER {name}");
        for mutation in [drop.clone(), format!("{drop}; {weak}")] {
            pair.app.sql(&mutation);
            for error in
                [pair.source.changes(&position, ALL, None).await.unwrap_err(), read(&pair).await.unwrap_err()]
            {
                let said = words(&error);
                assert!(error.kind() == Kind::Changed && said.contains(table.as_str()), "{name}: {said}");
            }
            // Whoever asks, the doubt stands until somebody has dealt with it.
            let lost = vec![pair.table(table)];
            assert_eq!(pair.source.doubts().await.unwrap(), lost, "{name}");
            assert_eq!(pair.source.capture(&[], &[]).await.unwrap_err().kind(), Kind::Changed, "{name}");
            assert_eq!(pair.source.doubts().await.unwrap(), lost, "{name}");
            assert!(!pair.source.capture(&pair.dealt(&lost).await, &[]).await.unwrap().new, "{name}");
            assert_eq!(&triggers(&pair), &all);
            pair.source.changes(&position, ALL, None).await.unwrap();
            read(&pair).await.unwrap();
        }
    }
    assert!(pair.source.doubts().await.unwrap().is_empty());
    assert!(!pair.source.capture(&[], &[]).await.unwrap().new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_changes_is_noticed() {
    for (change, table, lost) in [
        ("ALTER TABLE plain ADD COLUMN w", "plain", false),
        ("ALTER TABLE plain RENAME COLUMN v TO w", "plain", false),
        ("ALTER TABLE plain RENAME TO other", "plain", false),
        ("DROP TABLE pair", "pair", false),
        ("CREATE TABLE later (id INTEGER PRIMARY KEY)", "later", false),
        ("CREATE UNIQUE INDEX later ON plain (v)", "plain", true),
        ("DROP INDEX texts_lower", "texts", true),
        (
            "CREATE TABLE x (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v); INSERT INTO x SELECT * FROM plain; \
             DROP TABLE plain; ALTER TABLE x RENAME TO plain; CREATE TRIGGER plain_audit AFTER UPDATE ON plain BEGIN SELECT 1; END",
            "plain",
            true,
        ),
        ("DROP TABLE _switchover_changes", "", true),
    ] {
        let pair = Pair::start(App::new(SCHEMA)).await;
        let position = pair.position().await;
        pair.app.sql(change);
        let error = pair.source.changes(&position, ALL, None).await.unwrap_err();
        let said = words(&error);
        assert!(said.contains(table), "{change}: {said}");
        assert!(table.is_empty() || error.kind() == Kind::Changed, "{change}: {said}");
        match (pair.source.doubts().await, lost) {
            (Ok(doubts), true) if table.is_empty() => {
                assert_eq!(doubts.len(), pair.plan.tables.len());
                assert!(pair.source.capture(&doubts, &[]).await.unwrap().new, "another log");
            }
            (Ok(doubts), true) => {
                assert_eq!(doubts, [pair.table(table)], "{change}");
                pair.source.capture(&pair.dealt(&doubts).await, &[]).await.unwrap();
            }
            (Err(error), false) => assert_eq!(error.kind(), Kind::Changed, "{change}: {}", words(&error)),
            (other, _) => panic!("{change}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_entries_out_of_a_log_and_what_keeps_them_is_missed() {
    let pair = Pair::start(App::new(SCHEMA)).await;
    let position = pair.position().await;
    pair.app.sql("INSERT INTO plain (id) VALUES (1), (2)");
    for sql in [
        "DELETE FROM _switchover_changes",
        "DELETE FROM _switchover_changes WHERE seq = (SELECT max(seq) FROM _switchover_changes)",
        "UPDATE _switchover_changes SET t = 0",
        "INSERT OR REPLACE INTO _switchover_changes (seq, t) SELECT max(seq), 0 FROM _switchover_changes",
        "REPLACE INTO _switchover_changes (rowid, t) SELECT seq, 0 FROM _switchover_changes",
    ] {
        let refused = pair.app.connect().execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains("not changed by hand"), "{sql}: {refused}");
    }
    let all: Vec<usize> = (0..pair.plan.tables.len()).collect();
    for name in ["_switchover_log_delete", "_switchover_log_update", "_switchover_log_insert"] {
        pair.app.sql(&format!("DROP TRIGGER {name}"));
        for error in
            [pair.source.changes(&position, ALL, None).await.unwrap_err(), read(&pair).await.unwrap_err()]
        {
            let said = words(&error);
            assert!(error.kind() == Kind::Changed && said.contains("keep its entries"), "{name}: {said}");
        }
        assert_eq!(pair.source.doubts().await.unwrap(), all, "{name}");
        assert_eq!(pair.source.capture(&[], &[]).await.unwrap_err().kind(), Kind::Changed, "{name}");
        assert!(!pair.source.capture(&all, &[]).await.unwrap().new, "{name}");
        assert!(pair.source.doubts().await.unwrap().is_empty(), "{name}");
        assert_eq!(pair.source.changes(&position, ALL, None).await.unwrap().entries, 2, "{name}");
    }
    // The run takes them out.
    let taken = pair.source.changes(&position, ALL, None).await.unwrap();
    pair.source.settle(&taken.upto).await.unwrap();
    assert_eq!(pair.source.pressure().await.unwrap().log_entries, 1, "the newest stays");
}

/// Forward, the tables are copied again; where the target owns the data, nothing can be.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_leaves_a_gap_is_noticed_and_said_with_the_way_out() {
    let pair = Pair::start(App::new(SCHEMA)).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.cut_over().await;
    let after = pair.source.applied().await.unwrap().unwrap();
    let application = connect(&pair.new_path());
    application.execute_batch("INSERT INTO _switchover_changes (seq, t) VALUES (99, 0)").unwrap();
    let error = pair.target.changes(&after, ALL, None).await.unwrap_err();
    let said = words(&error);
    assert!(error.kind() == Kind::Changed && said.contains("to 98 are missing"), "{said}");
    assert!(said.contains("switchover finish --abandon-source") && !said.contains("copied again"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_for_the_capture_is_let_be() {
    let pair =
        Pair::start(App::new(&format!("{SCHEMA}; INSERT INTO texts VALUES ('a', 1, 1), ('b', 2, 2)"))).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    for change in [
        "DELETE FROM texts WHERE k = 'a'; VACUUM",
        "ANALYZE",
        "CREATE INDEX plain_v ON plain (v)",
        "REINDEX",
        "CREATE VIEW w AS SELECT 1",
        "DROP TRIGGER plain_audit",
        "PRAGMA user_version = 5",
    ] {
        pair.app.sql(change);
        pair.app.sql("UPDATE texts SET a = a + 1");
        pair.forward(ALL).await.unwrap_or_else(|error| panic!("{change}: {}", words(&error)));
        pair.assert_equal();
    }
}

/// The fences of a file: name and statement.
fn fences(connection: &Connection) -> Vec<(String, String)> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_switchover\\_live\\_fence\\_%' ESCAPE '\\' ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    found.collect::<rusqlite::Result<_>>().unwrap()
}

/// Each of them gone, and each of them without effect.
fn without(fences: &[(String, String)]) -> Vec<String> {
    let each = fences.iter().flat_map(|(name, sql)| {
        let drop = format!("DROP TRIGGER {name}");
        let weak = sql.replacen(" BEGIN ", " WHEN 0 BEGIN ", 1);
        assert_ne!(weak, *sql, "{name}");
        [drop.clone(), format!("{drop}; {weak}")]
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_of_the_target_that_is_lost_or_changed_is_noticed() {
    let pair = Pair::start(App::new(SCHEMA)).await;
    let connection = Connection::open(pair.new_path()).unwrap();
    let all = fences(&connection);
    assert!(all.len() >= 3 * pair.plan.tables.len(), "{}", all.len());
    for mutation in without(&all) {
        connection.execute_batch(&mutation).unwrap();
        let position = pair.position().await;
        let changes = pair.source.changes(&position, ALL, None).await.unwrap();
        let error = pair.target.apply(&changes, Some(&position)).await.unwrap_err();
        let said = words(&error);
        assert!(error.kind() == Kind::Changed && said.contains("keep the application"), "{mutation}: {said}");
        // Whoever takes the run up makes them again.
        pair.target.enter().await.unwrap();
        assert_eq!(fences(&connection), all, "{mutation}");
        pair.forward(ALL).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_of_the_source_that_is_lost_or_changed_is_noticed() {
    let pair = Pair::start(App::new(SCHEMA)).await;
    let position = pair.position().await;
    pair.source.fence(PATIENCE).await.unwrap();
    let all = fences(&pair.app.connect());
    assert!(all.len() >= 3 * pair.plan.tables.len(), "{}", all.len());
    for mutation in without(&all) {
        pair.app.sql(&mutation);
        let error = pair.source.changes(&position, ALL, None).await.unwrap_err();
        let said = words(&error);
        assert!(error.kind() == Kind::Changed && said.contains("keep the application"), "{mutation}: {said}");
        pair.source.fence(PATIENCE).await.unwrap();
        assert_eq!(fences(&pair.app.connect()), all, "{mutation}");
        pair.source.changes(&position, ALL, None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_table_is_lost_and_the_log_goes_on() {
    let pair =
        Pair::start(App::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1)"))
            .await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.source.fence(PATIENCE).await.unwrap();
    pair.app.sql(
        "CREATE TABLE x (id INTEGER PRIMARY KEY, v); INSERT INTO x SELECT * FROM t; DROP TABLE t;
         ALTER TABLE x RENAME TO t; UPDATE t SET v = 2",
    );
    assert_eq!(pair.source.fence(PATIENCE).await.unwrap_err().kind(), Kind::Changed);
    assert_eq!(pair.source.doubts().await.unwrap(), [0]);
    let captured = pair.source.capture(&[0], &[]).await.unwrap();
    assert!(!captured.new);
    pair.source.fence(PATIENCE).await.unwrap();
    pair.target.restart(&[0]).await.unwrap();
    // It was every table, so the position went with it: the target begins anew at the log's end.
    assert_eq!(pair.target.applied().await.unwrap(), None);
    pair.target.apply(&Changes::none(captured.from), None).await.unwrap();
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.forward(ALL).await.unwrap();
    pair.assert_equal();
}

/// Tries to meet what a broken statement would have logged.
const SEEDS_MAX: u64 = 20;

const ROUNDS: usize = 60;

/// A guard that SQLite itself as the other store does not need, because 1 and 1.0 are one key there too. That it
/// logs what another kind of store needs, `a_key_of_another_class_is_two_keys` shows.
const OTHER_CLASS: &str = "WHERE \"k\" COLLATE \"BINARY\" = NEW.\"k\"";

/// A trigger's statements.
fn statements(sql: &str) -> (String, Vec<String>) {
    let (head, rest) = sql.split_once(" BEGIN ").unwrap();
    let body = rest.strip_suffix("; END").unwrap();
    let parts: Vec<String> = body.split("; INSERT INTO").map(str::to_owned).collect();
    let whole = parts.iter().enumerate().map(|(at, part)| match at {
        0 => part.clone(),
        _ => format!("INSERT INTO{part}"),
    });
    (head.to_owned(), whole.collect())
}

/// Takes a statement out of a trigger, and makes the check believe that it never was there.
fn blind(pair: &Pair, name: &str, sql: &str, without: usize) {
    let (head, mut body) = statements(sql);
    body.remove(without);
    let mut change =
        format!("DROP TRIGGER {name}; DELETE FROM _switchover_live_object WHERE name = '{name}';");
    if !body.is_empty() {
        change.push_str(&format!("{head} BEGIN {}; END;", body.join("; ")));
    }
    pair.app.sql(&change);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_class_is_two_keys() {
    for change in [
        "REPLACE INTO odd (k) VALUES (1.0)",
        "UPDATE OR REPLACE odd SET k = 1.0 WHERE k = 'b'",
        "UPDATE odd SET k = 1.0 WHERE k = 1",
    ] {
        let pair = Pair::start(App::new(&format!("{SCHEMA}; INSERT INTO odd (k) VALUES (1), ('b')"))).await;
        pair.app.sql(change);
        let changes = pair.source.changes(&pair.position().await, ALL, None).await.unwrap();
        let keys = &changes.tables[0].keys;
        for key in [OwnedValue::Int(1), OwnedValue::FloatBits(1.0_f64.to_bits())] {
            assert!(keys.contains(&vec![key]), "{change}: {keys:?}");
        }
    }
}

/// Whether the stores come to differ when a trigger does without one of its statements.
async fn is_noticed(name: &str, table: &str, sql: &str, without: usize) -> bool {
    for seed in 0..SEEDS_MAX {
        let mut dice = Dice(seed);
        let pair = Pair::start(App::new(SCHEMA)).await;
        workload::run(&pair.app.connect(), &mut dice, 40, Some(table));
        pair.backfill(1 << 20, &mut || {}).await.unwrap();
        pair.forward(ALL).await.unwrap();
        pair.assert_equal();
        blind(&pair, name, sql, without);
        let application = pair.app.connect();
        // Few at a time: what another entry logs too is not missed.
        for _ in 0..ROUNDS {
            workload::run(&application, &mut dice, 1, Some(table));
            if pair.forward(ALL).await.is_err() || !pair.differences().is_empty() {
                return true;
            }
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_every_trigger_is_needed() {
    let mut broken = tokio::task::JoinSet::new();
    for (name, table, sql) in triggers(&Pair::start(App::new(SCHEMA)).await) {
        for (without, statement) in statements(&sql).1.into_iter().enumerate() {
            if table == "odd" && statement.contains(OTHER_CLASS) {
                continue;
            }
            let (name, table, sql) = (name.clone(), table.clone(), sql.clone());
            broken.spawn(async move {
                let noticed = is_noticed(&name, &table, &sql, without).await;
                (noticed, format!("{name} on {table}: {statement}"))
            });
        }
    }
    let broken = broken.join_all().await;
    let unneeded: Vec<&String> =
        broken.iter().filter(|(noticed, _)| !noticed).map(|(_, what)| what).collect();
    println!("{} statements broken, {} of them unnoticed", broken.len(), unneeded.len());
    assert_eq!(unneeded, [""; 0]);
}
