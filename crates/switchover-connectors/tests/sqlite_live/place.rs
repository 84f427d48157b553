//! Rows that are found by where they lie, and a file in which they are laid elsewhere.

use crate::harness::{App, PATIENCE, Pair, words};
use std::sync::Arc;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Batch, ReadRequest, ReadTable};
use switchover_core::value::Rows;
use switchover_core::{Kind, Result};

/// Two tables whose rows have no number of their own, with holes, and one whose rows do.
const TABLES: &str = "
    CREATE TABLE named (k TEXT NOT NULL PRIMARY KEY, v INTEGER);
    CREATE TABLE loose (v INTEGER);
    CREATE TABLE numbered (id INTEGER PRIMARY KEY, v INTEGER);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
        INSERT INTO loose SELECT i FROM n;
    INSERT INTO named SELECT 'k' || v, v FROM loose;
    INSERT INTO numbered SELECT v, v FROM loose;
    DELETE FROM loose WHERE v % 2 = 0;
    DELETE FROM named WHERE v % 2 = 0;
    DELETE FROM numbered WHERE v % 2 = 0;";

async fn pair() -> Pair {
    let app = App::new(TABLES);
    let plan = app.plan_by_place().await;
    Pair::of(app, plan).await
}

/// The first rows of a table, as the copy reads them.
async fn first(pair: &Pair, read: Arc<ReadTable>) -> Result<Batch> {
    let range = KeyRange::default();
    pair.passing
        .read(
            ReadRequest {
                table: read,
                range,
                budget_bytes: usize::MAX,
                rows_max: 5,
                time_max: ReadRequest::ANY_TIME,
            },
            Rows::default(),
        )
        .await
}

async fn moved(pair: &Pair) -> Vec<usize> {
    pair.source.moved().await.unwrap()
}

/// What a change of the schema by the application does to a copy by place.
async fn check(sql: &str) {
    let pair = pair().await;
    let (named, loose) = (pair.table("named"), pair.table("loose"));
    for table in [named, loose] {
        assert_eq!(first(&pair, pair.read_table(table)).await.unwrap().rows.len(), 5);
    }
    assert!(moved(&pair).await.is_empty());
    pair.app.sql(sql);
    let mut both = vec![named, loose];
    both.sort_unstable();
    for table in &both {
        let error = first(&pair, pair.read_table(*table)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Changed, "{sql}: {}", words(&error));
    }
    assert_eq!(moved(&pair).await, both);
    // What is found by its own number, or by its key, is found still.
    first(&pair, pair.read_table(pair.table("numbered"))).await.unwrap();
    let by_key = ReadTable {
        locator: pair.plan.tables[named].key_locator().unwrap(),
        ..ReadTable::clone(&pair.read_table(named))
    };
    first(&pair, Arc::new(by_key)).await.unwrap();
    // The doubt stands until all of it is dealt with, whoever asks.
    for dealt in [&[][..], &[named], &[loose]] {
        let error = pair.source.capture(dealt, &[]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Changed, "{sql}: {}", words(&error));
    }
    let (again, _) = pair.again(pair.run.attempt);
    assert_eq!(again.moved().await.unwrap(), both);
    assert!(!pair.source.capture(&both, &[]).await.unwrap().new);
    assert!(moved(&pair).await.is_empty());
    assert!(again.moved().await.unwrap().is_empty());
    for table in both {
        first(&pair, pair.read_table(table)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacuum_is_noticed() {
    check("VACUUM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_schema_is_taken_for_one() {
    check("CREATE INDEX named_v ON named (v)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacuum_does_lay_rows_elsewhere() {
    let pair = pair().await;
    let largest = "SELECT max(rowid) FROM loose";
    let ask = || pair.app.connect().query_row(largest, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(ask(), 39);
    pair.app.sql("VACUUM");
    assert_eq!(ask(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_own_triggers_are_no_doubt() {
    let pair = pair().await;
    let all: Vec<usize> = (0..pair.plan.tables.len()).collect();
    for _ in 0..2 {
        pair.source.fence(PATIENCE).await.unwrap();
        assert!(moved(&pair).await.is_empty());
        first(&pair, pair.read_table(pair.table("named"))).await.unwrap();
        pair.source.unfence().await.unwrap();
        assert!(moved(&pair).await.is_empty());
    }
    // A doubt that was there before stays through them.
    pair.app.sql("VACUUM");
    pair.source.fence(PATIENCE).await.unwrap();
    assert_eq!(moved(&pair).await.len(), 2);
    pair.source.unfence().await.unwrap();
    assert_eq!(moved(&pair).await.len(), 2);
    // A trigger that is gone is another doubt: the capture that is made again leaves none of either.
    pair.app.sql("DROP TRIGGER _switchover_live_insert_0");
    // That rows were copied before they moved does not deal with changes of theirs that are in no log.
    let error = pair.source.capture(&[], &all).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Changed, "{}", words(&error));
    pair.source.capture(&all, &[]).await.unwrap();
    assert!(moved(&pair).await.is_empty() && pair.source.doubts().await.unwrap().is_empty());
    first(&pair, pair.read_table(pair.table("loose"))).await.unwrap();
}
