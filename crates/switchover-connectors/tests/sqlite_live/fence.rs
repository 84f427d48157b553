//! Who owns the data, and that nobody else can write.

use crate::capture::SCHEMA;
use crate::harness::{ALL, App, PATIENCE, Pair, connect, words};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::source::SqliteSource;
use switchover_core::Kind;
use switchover_core::connector::Source;
use switchover_core::live::{Changes, LiveRun, Ownership, Side};
use switchover_core::value::{Rows, Value};

const ROWS: &str = "INSERT INTO plain VALUES (1, 'a', 1), (2, 'b', 2); INSERT INTO numbered (u) VALUES (1), (2);
    INSERT INTO keyless VALUES (1, 1); INSERT INTO texts VALUES ('x', 1, 1); INSERT INTO pair VALUES (1, 'a', 1, 1)";

async fn copied() -> Pair {
    let pair = Pair::start(App::new(&format!("{SCHEMA}; {ROWS}"))).await;
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.forward(ALL).await.unwrap();
    pair
}

/// Every statement that writes, in the ways in which a conflict clause might let it through.
const WRITES: [&str; 9] = [
    "INSERT INTO plain (id) VALUES (50)",
    "INSERT OR IGNORE INTO plain (id) VALUES (51)",
    "REPLACE INTO plain VALUES (1, 'b', 2)",
    "INSERT INTO plain VALUES (1, 'q', 9) ON CONFLICT DO UPDATE SET v = 9",
    "UPDATE OR IGNORE plain SET v = 9",
    "DELETE FROM plain",
    "DELETE FROM keyless",
    "UPDATE pair SET v = 9",
    "INSERT OR FAIL INTO texts VALUES ('z', 1, 2)",
];

#[track_caller]
fn refuses_everything(path: &Path) {
    let connection = connect(path);
    for sql in WRITES {
        let error = connection.execute_batch(sql).expect_err(sql).to_string();
        assert!(error.contains("switchover: this store does not take writes now"), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_there_before_the_fence_writes_nothing_after_it() {
    let pair = copied().await;
    let (prepared, deferred, reader, immediate) =
        (pair.app.connect(), pair.app.connect(), pair.app.connect(), pair.app.connect());
    prepared.set_prepared_statement_cache_capacity(8);
    let insert = "INSERT INTO plain (id) VALUES (?1)";
    prepared.prepare_cached(insert).unwrap().execute([10]).unwrap();
    deferred.execute_batch("BEGIN").unwrap();
    reader.execute_batch("BEGIN").unwrap();
    reader.query_row("SELECT count(*) FROM plain", [], |row| row.get::<_, i64>(0)).unwrap();
    // A writer under way is waited for, no longer than patience.
    immediate.execute_batch("BEGIN IMMEDIATE; INSERT INTO plain (id) VALUES (11)").unwrap();
    let error = pair.source.fence(Duration::from_millis(30)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Busy, "{}", words(&error));
    immediate.execute_batch("COMMIT").unwrap();
    let fenced = pair.source.fence(PATIENCE).await.unwrap();
    assert_eq!(pair.source.fence(PATIENCE).await.unwrap(), fenced, "a second time is the same");
    prepared.prepare_cached(insert).unwrap().execute([12]).unwrap_err();
    deferred.execute_batch("INSERT INTO plain (id) VALUES (13)").unwrap_err();
    let error = reader.execute_batch("INSERT INTO plain (id) VALUES (14)").unwrap_err();
    assert!(error.to_string().contains("locked"), "an old snapshot: {error}");
    reader.execute_batch("ROLLBACK; BEGIN; SELECT 1 FROM plain").unwrap();
    reader.execute_batch("INSERT INTO plain (id) VALUES (14)").unwrap_err();
    // A transaction in which a write was refused goes on, and keeps its lock until it ends.
    for connection in [&reader, &deferred] {
        connection.execute_batch("COMMIT").unwrap();
    }
    refuses_everything(&pair.app.path());
    pair.forward(ALL).await.unwrap();
    assert_eq!(pair.position().await, fenced.position);
    pair.assert_equal();
    pair.source.unfence().await.unwrap();
    pair.source.unfence().await.unwrap();
    pair.app.sql(WRITES[0]);
    prepared.prepare_cached(insert).unwrap().execute([12]).unwrap();
    pair.forward(ALL).await.unwrap();
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_write_are_cut_off_at_one_position() {
    let pair = copied().await;
    let writers: Vec<_> = (1..=3)
        .map(|process| {
            let mut script = String::from(".bail on\n.timeout 10000\n");
            for at in 0..100_000 {
                let id = at * 10 + process + 1000;
                script.push_str(&format!("INSERT INTO plain (id, u) VALUES ({id}, {id}); SELECT {id};\n"));
            }
            let file = pair.app.folder.path().join(format!("writer-{process}.sql"));
            std::fs::write(&file, script).unwrap();
            Command::new("sqlite3")
                .arg(pair.app.path())
                .stdin(std::fs::File::open(file).unwrap())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program sqlite3")
        })
        .collect();
    // Until all of them have written.
    let connection = pair.app.connect();
    let writing = "SELECT count(DISTINCT id % 10) = 3 FROM plain WHERE id > 1000";
    while !connection.query_row(writing, [], |row| row.get::<_, bool>(0)).unwrap() {
        pair.forward(ALL).await.unwrap();
    }
    let started = std::time::Instant::now();
    let fenced = pair.source.fence(PATIENCE).await.unwrap();
    println!("the fence took {:?}", started.elapsed());
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("does not take writes now"), "{said}");
        acknowledged
            .extend(String::from_utf8(output.stdout).unwrap().lines().map(|id| id.parse::<i64>().unwrap()));
    }
    pair.forward(ALL).await.unwrap();
    assert_eq!(pair.position().await, fenced.position);
    pair.assert_equal();
    let kept: BTreeSet<i64> = connect(&pair.new_path())
        .prepare("SELECT id FROM plain WHERE id > 1000")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert!(acknowledged.len() > 2 && acknowledged.is_subset(&kept));
    println!("{} writes were acknowledged, {} are there", acknowledged.len(), kept.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_again() {
    let pair = copied().await;
    assert_eq!(pair.target.ownership().await.unwrap(), Ownership::FIRST);
    refuses_everything(&pair.new_path());
    assert!(pair.target.unfence().await.is_err(), "the source owns the data");
    pair.app.sql("DELETE FROM numbered WHERE id = 2; UPDATE plain SET v = 'before'");
    pair.cut_over().await;
    let owner = pair.target.ownership().await.unwrap();
    assert_eq!((owner.owner, owner.pending, owner.epoch), (Side::Target, false, 3));
    assert!(!pair.target.decide(&Ownership::FIRST, &owner, &[]).await.unwrap(), "a late decision");
    refuses_everything(&pair.app.path());
    // An engine that comes again leaves the owner open.
    pair.target.enter().await.unwrap();
    let application = connect(&pair.new_path());
    application
        .execute_batch(
            "INSERT INTO numbered (u) VALUES (3); UPDATE plain SET id = id + 10; REPLACE INTO plain VALUES (30, 'a', x'00');
             INSERT INTO keyless VALUES (2, 2); UPDATE pair SET b = 'B'; INSERT INTO audit (what) VALUES (1.5)",
        )
        .unwrap();
    let numbered: i64 = application.query_row("SELECT max(id) FROM numbered", [], |row| row.get(0)).unwrap();
    assert_eq!(numbered, 3, "2 was given once and is not given again");
    let entries = pair.back(ALL).await.unwrap();
    assert!(entries >= 7, "{entries}");
    pair.assert_equal();
    // Back: the target is fenced, drained, and follows.
    let proposed = owner.proposed();
    assert!(pair.target.decide(&owner, &proposed, &[]).await.unwrap());
    application.execute_batch("UPDATE plain SET v = 'last'").unwrap();
    let fenced = pair.target.fence(PATIENCE).await.unwrap();
    refuses_everything(&pair.new_path());
    pair.back(ALL).await.unwrap();
    let applied = pair.source.applied().await.unwrap().unwrap();
    let (upto, mark) = applied.0.split_once('#').unwrap();
    assert_eq!(upto, fenced.position.0);
    assert!(mark.parse::<u64>().unwrap() > 1, "{applied:?}: a mark for each batch");
    assert!(pair.target.decide(&proposed, &proposed.decided(), &[]).await.unwrap());
    pair.source.unfence().await.unwrap();
    pair.target.follow().await.unwrap();
    refuses_everything(&pair.new_path());
    pair.app.sql("UPDATE plain SET v = 'again'; INSERT INTO numbered (u) VALUES (9)");
    let entries = pair.forward(ALL).await.unwrap();
    assert!((4..=8).contains(&entries), "nothing of the engine's own came back: {entries}");
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_was_taken_over_writes_nothing() {
    let pair = copied().await;
    let after = pair.position().await;
    let (source, target) = pair.again(pair.run.attempt + 1);
    source.enter().await.unwrap();
    target.enter().await.unwrap();
    source.capture(&[], &[]).await.unwrap();
    let owner = Ownership::FIRST;
    for late in [
        pair.source.enter().await,
        pair.source.settle(&after).await,
        pair.source.fence(PATIENCE).await.map(drop),
        pair.source.unfence().await,
        pair.source.leave().await,
        pair.source.capture(&[], &[]).await.map(drop),
        pair.target.enter().await,
        pair.target.apply(&Changes::none(after.clone()), Some(&after)).await,
        pair.target.decide(&owner, &owner.proposed(), &[]).await.map(drop),
        pair.target.follow().await,
        pair.target.restart(&[0]).await,
        pair.target.leave().await,
    ] {
        let error = late.unwrap_err();
        assert_eq!(error.kind(), Kind::Busy, "{}", words(&error));
    }
    pair.app.sql("UPDATE plain SET v = 7");
    let changes = source.changes(&after, ALL, None).await.unwrap();
    target.apply(&changes, Some(&after)).await.unwrap();
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_goes_back_to_copy() {
    let pair = copied().await;
    let (plain, texts) = (pair.table("plain"), pair.table("texts"));
    pair.target.restart(&[plain]).await.unwrap();
    assert_eq!((pair.target.count(plain).await.unwrap(), pair.target.count(texts).await.unwrap()), (0, 1));
    pair.app.sql("UPDATE plain SET v = 3; UPDATE texts SET a = 3");
    // The chunks of the others are there already.
    pair.backfill(1 << 20, &mut || {}).await.unwrap();
    pair.forward(ALL).await.unwrap();
    pair.assert_equal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_source_would_change_is_refused() {
    let pair = copied().await;
    pair.cut_over().await;
    let application = connect(&pair.new_path());
    // The target's column has the same affinity, so the value is put past it, as another store would have it.
    application.execute_batch("UPDATE numbered SET v = 'x' WHERE id = 1").unwrap();
    let after = pair.source.applied().await.unwrap().unwrap();
    let mut changes = pair.target.changes(&after, ALL, None).await.unwrap();
    let own = changes.tables.iter_mut().find(|table| !table.rows.is_empty()).unwrap();
    let mut rows = Rows::new(0, 3);
    own.rows.row(0).values().take(2).for_each(|value| rows.push(value));
    rows.push(Value::Int(5));
    own.rows = rows;
    let error = pair.source.apply(&changes, Some(&after)).await.unwrap_err();
    let said = words(&error);
    assert!(error.kind() == Kind::Refused && said.contains("numbered") && said.contains("id=1"), "{said}");
    assert!(said.contains("text '5' of integer 5"), "{said}");
    assert_eq!(pair.source.applied().await.unwrap(), Some(after), "nothing moved");
    pair.back(ALL).await.unwrap();
    pair.assert_equal();
}

/// What the target let pass, as another store may: who reads it must know which rows to look for, and where.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_constraint_refuses_names_the_constraint_and_what_to_do() {
    let pair = copied().await;
    pair.cut_over().await;
    let application = connect(&pair.new_path());
    application.execute_batch("INSERT INTO plain (id, u) VALUES (3, 'c')").unwrap();
    let after = pair.source.applied().await.unwrap().unwrap();
    let mut changes = pair.target.changes(&after, ALL, None).await.unwrap();
    let own = changes.tables.iter_mut().find(|table| !table.rows.is_empty()).unwrap();
    // The row 1 has that value.
    let mut rows = Rows::new(0, 3);
    [Value::Int(3), Value::Text(b"a"), Value::Null].into_iter().for_each(|value| rows.push(value));
    own.rows = rows;
    let error = pair.source.apply(&changes, Some(&after)).await.unwrap_err();
    let said = words(&error);
    assert!(error.kind() == Kind::Rejected && said.contains("id=3"), "{said}");
    for part in ["UNIQUE constraint failed: plain.u", "change or delete one of the two on the target"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_given_up_leaves_nothing() {
    let pair = copied().await;
    pair.app.sql("UPDATE plain SET v = 7");
    pair.forward(ALL).await.unwrap();
    pair.source.leave().await.unwrap();
    assert!(pair.receiver.discard("main", "r").await.unwrap());
    let left: Vec<_> = std::fs::read_dir(pair.app.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("new.db") && !name.ends_with("-lock"))
        .collect();
    assert_eq!(left, [""; 0]);
}

/// Files in which live work is not possible, and what is said.
#[tokio::test(flavor = "multi_thread")]
async fn obstacles_say_what_to_do() {
    let check = async |schema: &str, change: &dyn Fn(&Path), parts: &[&str]| {
        let app = App::new(schema);
        let plan = std::sync::Arc::new(app.plan().await);
        change(&app.path());
        let run = LiveRun { run: "r".into(), plan, attempt: 1 };
        let live = SqliteSource::new(SqliteConfig::from_path(app.path())).live(&run).unwrap();
        let found = format!("{:?}", live.obstacles(true).await.unwrap());
        for part in parts {
            assert!(found.contains(part), "{part}: {found}");
        }
    };
    let sql = |sql: &'static str| move |path: &Path| connect(path).execute_batch(sql).unwrap();
    let one = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)";
    let other = format!("PRAGMA journal_mode = DELETE; {one}");
    check(&other, &|_| {}, &["journal mode is delete", "PRAGMA journal_mode = WAL"]).await;
    let log = "CREATE TABLE _switchover_changes (mine)";
    check(one, &sql(log), &["_switchover_changes", "no run made it"]).await;
    check(one, &sql("DROP TABLE t"), &["not there any more"]).await;
    check(one, &sql("ALTER TABLE t ADD COLUMN w"), &["not in the plan"]).await;
    let large = "CREATE TABLE t (v); INSERT INTO t VALUES (zeroblob(3000000))";
    check(large, &|_| {}, &["no primary key", "--exclude"]).await;
    let no_key =
        "CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('a', 3)";
    check(no_key, &|_| {}, &["2 of its rows have NULL in their key", "column: \"k\"", "--exclude"]).await;
    check("CREATE VIRTUAL TABLE t USING fts5(v)", &|_| {}, &["virtual table", "--exclude"]).await;
    let pair = Pair::start(App::new(one)).await;
    let run = LiveRun { run: "other".into(), ..pair.run.clone() };
    let config = SqliteConfig::from_path(pair.app.path());
    let live = SqliteSource::new(config).live(&run).unwrap();
    let found = format!("{:?}", live.obstacles(true).await.unwrap());
    assert!(found.contains("the live run r has its records"), "{found}");
    assert_eq!(live.enter().await.unwrap_err().kind(), Kind::Refused);
    live.leave().await.unwrap();
    pair.source.capture(&[], &[]).await.unwrap();
}

/// What a mapping asks for that has no way back, and what no live run can do.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_without_a_way_back_is_refused_where_there_is_one() {
    let app = App::new("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v, w)");
    let mut plan = app.plan().await;
    plan.tables[0].columns.retain(|column| column.source != "w");
    let mut said = async |mapping: serde_json::Value, returns: bool| {
        plan.options.mapping = serde_json::from_value(mapping).unwrap();
        let run = LiveRun { run: "r".into(), plan: std::sync::Arc::new(plan.clone()), attempt: 1 };
        let live = SqliteSource::new(SqliteConfig::from_path(app.path())).live(&run).unwrap();
        let found = live.obstacles(returns).await.unwrap();
        found.into_iter().map(|refusal| format!("{}: {}", refusal.column, refusal.why)).collect::<Vec<_>>()
    };
    let columns = serde_json::json!({ "v": { "value": "upper(v)" }, "w": { "drop": true } });
    let there = serde_json::json!({ "table": { "t": { "where": "v > 1", "column": columns } } });
    assert_eq!(said(there.clone(), false).await, [""; 0]);
    let found = said(there, true).await;
    assert!(found.len() == 2 && found[0].contains("`where`"), "{found:?}");
    assert!(found[1].starts_with("v: the mapping's `value`"), "{found:?}");
    let key = serde_json::json!({ "id": { "value": "lower(id)" }, "w": { "drop": true } });
    for asked in [
        serde_json::json!({ "table": { "t": { "column": key } } }),
        serde_json::json!({ "table": { "t": { "from": ["t"], "column": { "w": { "drop": true } } } } }),
        serde_json::json!({ "table": { "t": { "primary_key": ["v"], "column": { "w": { "drop": true } } } } }),
    ] {
        assert_eq!(said(asked.clone(), false).await.len(), 1, "{asked}");
    }
    assert_eq!(
        said(serde_json::json!({}), false).await,
        ["w: the column is not in the plan, and a row that comes back would lose its value"]
    );
}
