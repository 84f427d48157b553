//! What it costs: rows are found by their indexes, and the application's writes bear little.

use crate::reverse::{ALL, start};
use crate::stage::{Stage, position, run};
use std::time::Instant;
use switchover_core::live::{Changes, TableChanges};
use switchover_core::value::{OwnedValue, Rows};
use switchover_testkit::Cluster;

/// Rows of each table: enough for a scan of one to cost more than what is looked up.
const ROWS: i64 = 20_000;

fn tables() -> String {
    format!(
        "CREATE TABLE a(k TEXT PRIMARY KEY, v INTEGER) WITHOUT ROWID;
         CREATE TABLE b(k VARCHAR(40) NOT NULL, n INTEGER NOT NULL, v TEXT, PRIMARY KEY (k, n));
         CREATE TABLE c(k UUID PRIMARY KEY, v INTEGER); CREATE TABLE d(k NUMERIC(12,2) PRIMARY KEY, v INTEGER);
         CREATE TABLE e(k INTEGER PRIMARY KEY, v TEXT);
         CREATE TEMP TABLE s AS WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {ROWS}) SELECT i FROM s;
         INSERT INTO a SELECT 'key ' || i, i FROM s; INSERT INTO b SELECT 'key ' || (i / 10), i, 'v' FROM s;
         INSERT INTO c SELECT printf('0188d9c2-af00-7fff-0102-%012x', i), i FROM s;
         INSERT INTO d SELECT i + 0.25, i FROM s; INSERT INTO e SELECT i, 'v' FROM s;"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_by_their_keys_whatever_the_statistics_say() {
    let mut stage = Stage::of(Cluster::shared().unwrap(), &tables()).await;
    stage.filled().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let scans = "SELECT string_agg(relname || seq_scan, ' ' ORDER BY relname) FROM pg_stat_user_tables
        WHERE length(relname) = 1";
    // Statistics that would mislead: the server thinks that the tables are nearly empty.
    let mislead = "UPDATE pg_class SET reltuples = 1, relpages = 1 WHERE relnamespace = 'app'::regnamespace AND length(relname) = 1";
    for analyzed in [true, false] {
        if !analyzed {
            stage.database.psql(mislead).unwrap();
        }
        let mut parts = Vec::new();
        for table in 0..stage.plan.tables.len() {
            let all = stage.source_rows(table).await;
            let width = stage.plan.tables[table].columns.len();
            let mut rows = Rows::new(0, width);
            let mut keys: Vec<Vec<OwnedValue>> = Vec::new();
            for row in all.iter().take(500) {
                row.values().for_each(|value| rows.push(value));
                let fields = stage.plan.tables[table].key_fields();
                keys.push(fields.iter().map(|field| row.value(*field).to_owned_value()).collect());
            }
            parts.push(TableChanges { table, keys, rows, whole: false });
        }
        let changes = Changes { tables: parts, ..Changes::none(position("p0")) };
        stage.anew().await;
        let before = stage.ask(scans);
        stage.live.apply(&changes, Some(&position("p0"))).await.unwrap();
        for change in &changes.tables {
            let keys =
                switchover_core::live::encode_keys(&stage.plan.tables[change.table], &change.keys).unwrap();
            assert_eq!(stage.live.fetch(change.table, &keys).await.unwrap().len(), 500);
        }
        if !analyzed {
            stage.open().await;
            let session = stage.session().await;
            for name in ["a", "b", "c", "d", "e"] {
                let sql = format!(
                    "SET enable_seqscan = off; UPDATE app.{name} SET v = v WHERE k = (SELECT k FROM app.{name} ORDER BY k LIMIT 1)"
                );
                assert_eq!(run(&session, &sql).await, None);
            }
            let changes = stage.log(&start()).await.unwrap();
            assert_eq!(changes.tables.len(), 5);
        }
        stage.anew().await;
        assert_eq!(stage.ask(scans), before, "analyzed: {analyzed}");
    }
}

/// What an application's single-row transactions bear, printed.
#[tokio::test(flavor = "multi_thread")]
async fn the_applications_writes_bear_the_log() {
    let stage = Stage::of(Cluster::shared().unwrap(), "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)").await;
    stage.filled().await;
    stage.database.psql("CREATE TABLE app.bare(id bigint PRIMARY KEY, v text COLLATE \"C\"); GRANT ALL ON app.bare TO PUBLIC").unwrap();
    stage.open().await;
    let session = stage.session().await;
    let mut spent = [0.0, 0.0];
    for round in 0..6i64 {
        for (at, table) in ["bare", "t"].into_iter().enumerate() {
            let sql = format!("INSERT INTO app.{table} VALUES ($1, 'some text of a row')");
            let insert = session.client().prepare(&sql).await.unwrap();
            let begun = Instant::now();
            for id in 0..500 {
                session.client().execute(&insert, &[&(round * 500 + id)]).await.unwrap();
            }
            if round > 0 {
                spent[at] += begun.elapsed().as_secs_f64();
            }
        }
    }
    let each = spent.map(|spent| spent * 1e6 / 2_500.0);
    println!("an insert of one row: {:.0} µs, with gate and log {:.0} µs", each[0], each[1]);
    let begun = Instant::now();
    assert_eq!(
        run(&session, "INSERT INTO app.bare SELECT g, 'x' FROM generate_series(10000, 60000) g").await,
        None
    );
    let bare = begun.elapsed();
    let begun = Instant::now();
    assert_eq!(
        run(&session, "INSERT INTO app.t SELECT g, 'x' FROM generate_series(10000, 60000) g").await,
        None
    );
    println!(
        "50,000 rows in one statement: {:.0} ms, with gate and log {:.0} ms",
        bare.as_secs_f64() * 1e3,
        begun.elapsed().as_secs_f64() * 1e3
    );
    let begun = Instant::now();
    let changes = stage.live.changes(&start(), ALL, None).await.unwrap();
    println!(
        "read as one batch: {} entries in {:.0} ms",
        changes.entries,
        begun.elapsed().as_secs_f64() * 1e3
    );
    assert_eq!(changes.entries, 53_001);
}

/// Rows with parents, whose foreign keys are checked at the commit, printed.
#[tokio::test(flavor = "multi_thread")]
async fn rows_with_foreign_keys_are_taken_quickly_too() {
    let sql = "CREATE TABLE up(id INTEGER PRIMARY KEY, v TEXT);
        CREATE TABLE down(id INTEGER PRIMARY KEY, up INTEGER NOT NULL REFERENCES up(id) ON DELETE CASCADE, v TEXT);
        CREATE TEMP TABLE s AS WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 50000) SELECT i FROM s;
        INSERT INTO up SELECT i, 'v' FROM s; INSERT INTO down SELECT i, i, 'w' FROM s;";
    let stage = Stage::of(Cluster::shared().unwrap(), sql).await;
    stage.filled().await;
    let (up, down) = (stage.at("up"), stage.at("down"));
    let mut parts = Vec::new();
    for table in [up, down] {
        let all = stage.source_rows(table).await;
        let mut rows = Rows::new(0, stage.plan.tables[table].columns.len());
        let mut keys = Vec::new();
        for row in all.iter().take(10_000) {
            row.values().for_each(|value| rows.push(value));
            keys.push(vec![row.value(0).to_owned_value()]);
        }
        parts.push(TableChanges { table, keys, rows, whole: false });
    }
    let changes = Changes { tables: parts, ..Changes::none(position("p0")) };
    let begun = Instant::now();
    for _ in 0..3 {
        stage.live.apply(&changes, Some(&position("p0"))).await.unwrap();
    }
    let rate = 60_000.0 / begun.elapsed().as_secs_f64();
    println!("parents and children in one batch: {rate:.0} rows/s");
    // Parents that really go, with their children, whose foreign key has no index.
    let gone: Vec<Vec<OwnedValue>> = (1..=50).map(|id| vec![OwnedValue::Int(id)]).collect();
    let part =
        |table, width| TableChanges { table, keys: gone.clone(), rows: Rows::new(0, width), whole: false };
    let changes = Changes { tables: vec![part(up, 2), part(down, 3)], ..Changes::none(position("p0")) };
    let begun = Instant::now();
    stage.live.apply(&changes, Some(&position("p0"))).await.unwrap();
    println!("50 parents and their children removed: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    assert_eq!(stage.ask("SELECT count(*) FROM down"), "49950");
    assert!(rate > 5_000.0);
}
