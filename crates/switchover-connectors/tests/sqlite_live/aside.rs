//! Columns that only the source has, in the reverse window: each row keeps its own, whatever way it comes back.

use crate::harness::{ALL, App, Pair, connect};
use switchover_core::live::Limit;

const SCHEMA: &str = "
    CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, old, n INTEGER DEFAULT 7);
    CREATE TABLE pair (a TEXT, b, c, old TEXT COLLATE NOCASE, PRIMARY KEY (a, b)) WITHOUT ROWID;
    INSERT INTO t VALUES (1, 'a', 'one', 1), (2, 'b', 2, 2), (3, 'c', x'03', 3), (4, 'd', 4.5, NULL), (5, 'e', '5', 5);
    INSERT INTO pair VALUES ('x', 1, 'c', 'X'), ('x', 2, 'c', 'x'), ('y', 1.5, 'c', NULL)";

/// A pair whose target, without two columns of each table, owns the data.
async fn without() -> Pair {
    let app = App::new(SCHEMA);
    let mut plan = app.plan().await;
    let dropped = serde_json::json!({ "t": { "column": { "old": { "drop": true }, "n": { "drop": true } } },
        "pair": { "column": { "old": { "drop": true } } } });
    plan.options.mapping = serde_json::from_value(serde_json::json!({ "table": dropped })).unwrap();
    for table in &mut plan.tables {
        table.columns.retain(|column| !matches!(&*column.source, "old" | "n"));
    }
    let pair = Pair::of(app, plan).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.cut_over().await;
    pair
}

fn rows(pair: &Pair) -> Vec<String> {
    let sql = "SELECT id || u || quote(old) || quote(n) FROM t UNION ALL SELECT a || b || c || quote(old) FROM pair ORDER BY 1";
    let connection = pair.app.connect();
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn put_aside(pair: &Pair) -> i64 {
    let sql = "SELECT count(*) FROM _switchover_live_aside";
    pair.app.connect().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_keeps_what_only_the_source_has_of_it() {
    let pair = without().await;
    let new = connect(&pair.new_path());
    // Every row, one that goes, one that comes, one that goes and comes again, and one of another key.
    new.execute_batch(
        "UPDATE t SET u = u || '!'; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (9, 'new'); UPDATE t SET id = 6 WHERE id = 5;
         DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3, 'again'); UPDATE pair SET c = 'd'",
    )
    .unwrap();
    pair.back(ALL).await.unwrap();
    let expected =
        ["1a!'one'1", "3againX'03'3", "4d!4.5NULL", "6e!NULL7", "9newNULL7", "x1d'X'", "x2d'x'", "y1.5dNULL"];
    assert_eq!(rows(&pair), expected);
    assert_eq!(put_aside(&pair), 0);
    // What a key left is not found by a row that gets the key later.
    new.execute_batch("INSERT INTO t VALUES (2, 'later')").unwrap();
    pair.back(ALL).await.unwrap();
    assert_eq!(rows(&pair)[1], "2laterNULL7");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_one_that_makes_room_and_comes_back_later() {
    let mut pair = without().await;
    let new = connect(&pair.new_path());
    new.execute_batch(
        "BEGIN; UPDATE t SET u = id; UPDATE t SET u = 'b' WHERE id = 1; UPDATE t SET u = 'c' WHERE id = 2;
         UPDATE t SET u = 'a' WHERE id = 3; COMMIT",
    )
    .unwrap();
    let one = Limit { entries: 1, time_max: Limit::ANY_TIME };
    let after = pair.source.applied().await.unwrap().unwrap();
    let first = pair.target.changes(&after, one, None).await.unwrap();
    assert!(!first.complete);
    // Row 1 takes the place of row 2, which is put aside until its own change comes.
    pair.source.apply(&first, Some(&after)).await.unwrap();
    assert_eq!((rows(&pair).len(), put_aside(&pair)), (7, 1));
    // Where the rest is given up, that row would be gone.
    let (at, elsewhere) = (pair.source.applied().await.unwrap(), switchover_core::live::Changes::none(after));
    let refused = pair.source.apply(&elsewhere, at.as_ref()).await.unwrap_err();
    assert!(crate::harness::words(&refused).contains("1 rows of the source are away"), "{refused}");
    // Nor does the source forget of which rows that is.
    let refused = pair.source.leave().await.unwrap_err();
    assert!(crate::harness::words(&refused).contains("1 rows of the source are away"), "{refused}");
    assert_eq!(put_aside(&pair), 1);
    // By another engine, so that nothing is kept in the process.
    let (source, target) = pair.again(pair.run.attempt + 1);
    target.enter().await.unwrap();
    source.enter().await.unwrap();
    (pair.source, pair.target) = (source, target);
    pair.back(one).await.unwrap();
    let expected = ["1b'one'1", "2c22", "3aX'03'3", "444.5NULL", "55'5'5", "x1c'X'", "x2c'x'", "y1.5cNULL"];
    assert_eq!(rows(&pair), expected);
    assert_eq!(put_aside(&pair), 0);
}

/// A pair whose target owns the data, and does not have the source's unique index: it tells rows apart of which the source can hold one.
async fn apart() -> Pair {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT, n); CREATE UNIQUE INDEX i ON t (u);
        INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)";
    let mut app = App::new(schema);
    let mut plan = app.plan().await;
    plan.tables[0].indexes.clear();
    // As tables that the application's migrations made may have it.
    let refused = Pair::refusals(&app, &plan).await;
    assert!(refused.len() == 1 && refused[0].contains("the unique index i"), "{refused:?}");
    app.sql("DROP INDEX i");
    let pair = Pair::of(std::mem::replace(&mut app, App::new(schema)), plan).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.app.sql("CREATE UNIQUE INDEX i ON t (u)");
    pair.source.capture(&[0], &[]).await.unwrap();
    pair.cut_over().await;
    pair
}

/// A batch in the middle of the log has the other row make room, and at the log's end it is missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_room_and_does_not_come_back_is_missed() {
    let pair = apart().await;
    let new = connect(&pair.new_path());
    new.execute_batch("INSERT INTO t VALUES (10, 'b', 10), (11, 'k', 11), (12, 'l', 12)").unwrap();
    let one = Limit { entries: 1, time_max: Limit::ANY_TIME };
    for _ in 0..2 {
        let missed = pair.back(one).await.unwrap_err();
        assert_eq!(missed.kind(), switchover_core::Kind::Rejected);
        let said = crate::harness::words(&missed);
        assert!(said.contains("id=2") && said.contains("UPDATE t SET c = c"), "{said}");
    }
    // What it says mends it.
    new.execute_batch("UPDATE t SET u = 'other' WHERE id = 10; UPDATE t SET u = u WHERE id = 2").unwrap();
    pair.back(one).await.unwrap();
    pair.assert_equal();
    assert_eq!(put_aside(&pair), 0);
    // Two rows of one batch, of which the source holds one.
    new.execute_batch("INSERT INTO t VALUES (20, 'same', 20), (21, 'same', 21), (22, 'v', 22)").unwrap();
    let two = Limit { entries: 2, time_max: Limit::ANY_TIME };
    let missed = pair.back(two).await.unwrap_err();
    let said = crate::harness::words(&missed);
    assert!(missed.kind() == switchover_core::Kind::Rejected && said.contains("id=20"), "{said}");
    new.execute_batch("UPDATE t SET u = 'own' WHERE id = 20").unwrap();
    pair.back(ALL).await.unwrap();
    pair.assert_equal();
    assert_eq!(put_aside(&pair), 0);
}

/// What the source has of a table that was emptied goes at once, and the rows behind that come in as many batches as they need.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_emptied_comes_in_part() {
    let pair = without().await;
    let new = connect(&pair.new_path());
    new.execute_batch(
        "DELETE FROM t WHERE id <> 4; UPDATE t SET u = 'z'; INSERT INTO t VALUES (7, 'y'), (8, 'x')",
    )
    .unwrap();
    let one = Limit { entries: 1, time_max: Limit::ANY_TIME };
    let after = pair.source.applied().await.unwrap().unwrap();
    let mut first = pair.target.changes(&after, one, None).await.unwrap();
    // As a PostgreSQL target says it, whose TRUNCATE names no keys.
    first.tables[0].whole = true;
    pair.source.apply(&first, Some(&after)).await.unwrap();
    assert_eq!((rows(&pair).len(), put_aside(&pair)), (3, 0));
    pair.back(one).await.unwrap();
    assert_eq!(rows(&pair)[..3], ["4zNULL7", "7yNULL7", "8xNULL7"]);
    assert_eq!(put_aside(&pair), 0);
}

/// Of two rows of such a batch the source holds one, and the other is missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_room_in_a_table_that_was_emptied_is_missed() {
    let pair = apart().await;
    let new = connect(&pair.new_path());
    new.execute_batch(
        "DELETE FROM t; INSERT INTO t VALUES (20, 'same', 20), (21, 'same', 21), (22, 'v', 22)",
    )
    .unwrap();
    let five = Limit { entries: 5, time_max: Limit::ANY_TIME };
    let after = pair.source.applied().await.unwrap().unwrap();
    let mut first = pair.target.changes(&after, five, None).await.unwrap();
    assert!(!first.complete && first.tables[0].rows.len() == 2);
    first.tables[0].whole = true;
    pair.source.apply(&first, Some(&after)).await.unwrap();
    assert_eq!(put_aside(&pair), 1);
    let missed = pair.back(five).await.unwrap_err();
    let said = crate::harness::words(&missed);
    assert!(missed.kind() == switchover_core::Kind::Rejected && said.contains("id=20"), "{said}");
}
