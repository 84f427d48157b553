//! The reverse log: every row that the application changes, whoever it is and however it does it.

use crate::stage::{REFUSED, Stage, copy, keys_of, position, run};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use switchover_core::Kind;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Position, ReadRequest, ReadTable};
use switchover_core::live::{Beside, Changes, Limit, Seen};
use switchover_core::schema::Locator;
use switchover_core::value::{OwnedValue, Value};
use switchover_testkit::Cluster;

pub(crate) const ALL: Limit = Limit { entries: 100_000, time_max: Limit::ANY_TIME };

/// The position before the first entry, which `capture` gives.
pub(crate) fn start() -> Position {
    position("1:1:/0")
}

async fn taken(stage: &Stage) -> Changes {
    let after = stage.taken.lock().unwrap().clone().unwrap_or_else(start);
    let changes = stage.log(&after).await.unwrap();
    assert!(changes.complete);
    *stage.taken.lock().unwrap() = Some(changes.upto.clone());
    stage.live.settle(&changes.upto).await.unwrap();
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_write_is_logged_by_its_keys() {
    let stage = Stage::owning().await;
    assert_eq!(stage.live.capture(&[], &[]).await.unwrap().from, start());
    let session = stage.session().await;
    let [parent, child, other, pair, loose] =
        ["parent", "child", "other", "pair", "loose"].map(|name| stage.at(name));
    let keys = |keys: &[&str]| Some(keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
    let upsert =
        "INSERT INTO app.parent VALUES (1, 'x', 1), (20, 'y', 2) ON CONFLICT (id) DO UPDATE SET n = 7";
    for (sql, table, expected) in [
        ("INSERT INTO app.parent VALUES (10, 'ten', 1), (11, 'eleven', 2)", parent, keys(&["10", "11"])),
        ("UPDATE app.parent SET n = 9 WHERE id IN (10, 11)", parent, keys(&["10", "11"])),
        ("UPDATE app.parent SET id = 12 WHERE id = 11", parent, keys(&["11", "12"])),
        ("DELETE FROM app.parent WHERE id = 12", parent, keys(&["12"])),
        ("DELETE FROM app.parent WHERE id = 12", parent, keys(&[])),
        (upsert, parent, keys(&["1", "20"])),
        ("INSERT INTO app.parent VALUES (1, 'x', 1) ON CONFLICT DO NOTHING", parent, keys(&[])),
        ("DELETE FROM app.parent WHERE id = 2", child, keys(&["3"])),
        (
            "INSERT INTO app.pair VALUES ('q''\"\\', '\\x0001', 'v'), ('', '\\x', 'w')",
            pair,
            keys(&["'',x''", "'q'\"\\',x'0001'"]),
        ),
        ("INSERT INTO app.loose VALUES ('a', 1)", loose, None),
        ("TRUNCATE app.other", other, None),
        ("INSERT INTO app.other VALUES (7, 1)", other, keys(&["7"])),
        (
            "WITH gone AS (DELETE FROM app.other RETURNING id) INSERT INTO app.loose SELECT 'g', id FROM gone",
            other,
            keys(&["7"]),
        ),
    ] {
        assert_eq!(run(&session, sql).await, None, "{sql}");
        let changes = taken(&stage).await;
        assert_eq!(keys_of(&changes, table), expected, "{sql}");
        let change = changes.tables.iter().find(|change| change.table == table);
        if let Some(change) = change {
            let there = change.rows.len();
            let rows = stage.ask(&format!("SELECT count(*) FROM {}", stage.plan.tables[table].target));
            assert!(
                there <= rows.parse::<usize>().unwrap() && (!change.whole || there.to_string() == rows),
                "{sql}"
            );
        }
    }
    assert_eq!(copy(&session, "app.parent", b"30\tthirty\t1\n31\tthirty-one\t\\N\n").await, None);
    assert_eq!(keys_of(&taken(&stage).await, parent), keys(&["30", "31"]));
    // Replication's role skips ordinary triggers, and these are none.
    stage
        .database
        .psql("SET session_replication_role = replica; UPDATE app.parent SET n = 0 WHERE id = 30")
        .unwrap();
    assert_eq!(keys_of(&taken(&stage).await, parent), keys(&["30"]));
    if stage.ask("SELECT current_setting('server_version_num')::int >= 150000") == "t" {
        let merge = "MERGE INTO app.parent p USING (VALUES (30), (32)) v(id) ON p.id = v.id
            WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'merged', 0)";
        assert_eq!(run(&session, merge).await, None);
        assert_eq!(keys_of(&taken(&stage).await, parent), keys(&["30", "32"]));
    }
    assert_eq!(stage.live.pressure().await.unwrap().log_entries, 0);
}

/// A batch holds in memory what its rows are, and they may be some megabytes each.
#[tokio::test(flavor = "multi_thread")]
async fn large_rows_come_in_small_batches() {
    let stage = Stage::owning().await;
    let session = stage.session().await;
    let child = stage.at("child");
    assert_eq!(run(&session, "INSERT INTO app.parent VALUES (900, 'p', 1)").await, None);
    let many = "INSERT INTO app.child SELECT i, 900, repeat(chr(65 + i % 26), 1 << 20) FROM generate_series(100, 139) AS i";
    assert_eq!(run(&session, many).await, None);
    assert_eq!(
        run(&session, "INSERT INTO app.other SELECT i, 900 FROM generate_series(1000, 1999) AS i").await,
        None
    );
    let (mut after, mut keys, mut batches) = (start(), 0, 0);
    loop {
        let changes = stage.log(&after).await.unwrap();
        let bytes: usize = changes.tables.iter().map(|table| table.rows.bytes()).sum();
        assert!(bytes <= 9 << 20, "{bytes}");
        assert_eq!(changes.complete, changes.behind == 0);
        for table in changes.tables.iter().filter(|table| table.table == child) {
            assert_eq!(table.keys.len(), table.rows.len());
            keys += table.keys.len();
        }
        (after, batches) = (changes.upto, batches + 1);
        if changes.complete {
            break;
        }
    }
    assert_eq!(keys, 40);
    assert!(batches < 40, "{batches}");
}

/// TRUNCATE names no keys, and whatever came since has an entry of its own: so it comes in batches as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_emptied_and_filled_again_comes_in_small_batches() {
    let stage = Stage::owning().await;
    let session = stage.session().await;
    let child = stage.at("child");
    for sql in [
        "INSERT INTO app.child VALUES (90, 1, 'goes')",
        "TRUNCATE app.child",
        "INSERT INTO app.child SELECT i, 1, repeat(chr(65 + i % 26), 1 << 20) FROM generate_series(100, 139) AS i",
        "BEGIN; TRUNCATE app.child; INSERT INTO app.child VALUES (92, 1, 'stays');
         INSERT INTO app.child SELECT i, 1, repeat(chr(65 + i % 26), 1 << 20) FROM generate_series(120, 159) AS i; COMMIT",
    ] {
        assert_eq!(run(&session, sql).await, None, "{sql}");
    }
    for limit in [ALL, Limit { entries: 7, ..ALL }] {
        let (mut after, mut there, mut emptied) = (start(), BTreeSet::from(["1".to_owned()]), 0);
        loop {
            let changes = stage.live.changes(&after, limit, None).await.unwrap();
            let bytes: usize = changes.tables.iter().map(|table| table.rows.bytes()).sum();
            assert!(bytes <= 9 << 20, "{bytes}");
            for table in changes.tables.iter().filter(|table| table.table == child) {
                if table.whole {
                    there.clear();
                    emptied += 1;
                }
                for key in &table.keys {
                    there.remove(&key[0].borrow().shown());
                }
                there.extend(table.rows.iter().map(|row| row.value(0).shown()));
            }
            after = changes.upto;
            if changes.complete {
                break;
            }
        }
        let expected: BTreeSet<String> = (120..160).chain([92]).map(|id: i32| id.to_string()).collect();
        assert_eq!(there, expected);
        assert!((1..=2).contains(&emptied), "{emptied}");
    }
}

/// One without a key has nothing but all of its rows: beyond a bound the run is held, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_that_has_grown_too_large_is_refused_by_its_name() {
    let stage = Stage::owning().await;
    let session = stage.session().await;
    let large = "INSERT INTO app.loose SELECT repeat('x', 1 << 20), i FROM generate_series(1, 70) AS i";
    assert_eq!(run(&session, large).await, None);
    let Err(error) = stage.log(&start()).await else { panic!("it was taken") };
    assert_eq!((error.kind(), &*error.subject().table), (Kind::Refused, "loose"));
    for word in ["no primary key", "67108864 bytes", "delete rows", "finish --abandon-source"] {
        assert!(error.why().contains(word), "{word}: {}", error.why());
    }
    assert_eq!(run(&session, "DELETE FROM app.loose WHERE y > 10").await, None);
    let changes = stage.log(&start()).await.unwrap();
    assert_eq!((keys_of(&changes, stage.at("loose")), changes.complete), (None, true));
}

/// Rows that pass the bound of a batch only together with their keys: all of what a batch covers is in it.
#[tokio::test(flavor = "multi_thread")]
async fn every_key_comes_of_rows_that_fill_a_batch() {
    let stage = Stage::owning().await;
    let session = stage.session().await;
    let (child, other) = (stage.at("child"), stage.at("other"));
    let sql = "INSERT INTO app.parent VALUES (900, 'p', 1);
        INSERT INTO app.child SELECT i, 900, repeat(chr(65 + i % 26), 5000) FROM generate_series(10000, 13999) AS i;
        INSERT INTO app.other SELECT i, 900 FROM generate_series(10000, 10999) AS i;
        DELETE FROM app.child WHERE id % 10 = 3 AND id >= 10000";
    assert_eq!(run(&session, sql).await, None);
    let (mut after, mut children, mut others, mut rows) =
        (start(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    loop {
        let changes = stage.log(&after).await.unwrap();
        for table in &changes.tables {
            let keys = table.keys.iter().map(|key| format!("{key:?}"));
            match table.table {
                at if at == child => {
                    children.extend(keys);
                    rows.extend(table.rows.iter().map(|row| row.value(0).shown()));
                }
                at if at == other => others.extend(keys),
                _ => {}
            }
        }
        after = changes.upto;
        if changes.complete {
            break;
        }
    }
    assert_eq!((children.len(), rows.len(), others.len()), (4000, 3600, 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_commits_after_a_larger_one_is_not_lost() {
    let stage = Stage::owning().await;
    let [first, second, third] = [stage.session().await, stage.session().await, stage.session().await];
    let parent = stage.at("parent");
    assert_eq!(run(&first, "BEGIN; INSERT INTO app.parent VALUES (100, 'first', 1)").await, None);
    assert_eq!(run(&second, "INSERT INTO app.parent VALUES (200, 'second', 1)").await, None);
    let changes = stage.log(&start()).await.unwrap();
    assert_eq!(keys_of(&changes, parent).unwrap(), ["200"]);
    assert!(changes.complete);
    assert_eq!(run(&first, "COMMIT").await, None);
    // Behind what was taken there is the smaller number now, settled or not.
    let later = stage.log(&changes.upto).await.unwrap();
    assert_eq!(keys_of(&later, parent).unwrap(), ["100"]);
    assert_eq!(run(&third, "BEGIN; INSERT INTO app.parent VALUES (300, 'third', 1)").await, None);
    stage.live.settle(&changes.upto).await.unwrap();
    assert_eq!(stage.ask("SELECT string_agg(k[1], ' ') FROM _switchover_changes"), "100");
    assert_eq!(run(&third, "COMMIT").await, None);
    stage.live.settle(&changes.upto).await.unwrap();
    assert_eq!(keys_of(&stage.log(&changes.upto).await.unwrap(), parent).unwrap(), ["100", "300"]);
    // A part of them, and a process that knows nothing but the position.
    let one = stage
        .live
        .changes(&changes.upto, Limit { entries: 1, time_max: Limit::ANY_TIME }, None)
        .await
        .unwrap();
    assert_eq!(
        (keys_of(&one, parent).unwrap(), one.complete, one.behind),
        (vec!["100".to_owned()], false, 1)
    );
    let live = stage.second().await;
    live.settle(&one.upto).await.unwrap();
    let rest = live.changes(&one.upto, Limit { entries: 1, time_max: Limit::ANY_TIME }, None).await.unwrap();
    assert_eq!(
        (keys_of(&rest, parent).unwrap(), rest.complete, rest.behind),
        (vec!["300".to_owned()], true, 0)
    );
    // A savepoint that is taken back logs nothing.
    let sql = "BEGIN; SAVEPOINT s; INSERT INTO app.parent VALUES (400, 'no', 1); ROLLBACK TO s;
        SAVEPOINT t; INSERT INTO app.parent VALUES (500, 'yes', 1); RELEASE t; COMMIT";
    assert_eq!(run(&first, sql).await, None);
    assert_eq!(keys_of(&live.changes(&rest.upto, ALL, None).await.unwrap(), parent).unwrap(), ["500"]);
    let none = live.changes(&rest.upto, ALL, None).await.unwrap();
    live.settle(&none.upto).await.unwrap();
    let idle = live.changes(&none.upto, ALL, None).await.unwrap();
    assert_eq!((idle.entries, idle.upto, idle.complete), (0, none.upto, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_run_takes_entries_out_of_the_log() {
    let stage = Stage::owning().await;
    let (session, owner) = (stage.session().await, stage.owners_session().await);
    assert_eq!(run(&session, "INSERT INTO app.parent VALUES (90, 'waits', 1)").await, None);
    for sql in [
        "TRUNCATE app._switchover_changes",
        "DELETE FROM app._switchover_changes",
        "UPDATE app._switchover_changes SET t = t",
    ] {
        assert_eq!(run(&owner, sql).await.as_deref(), Some(REFUSED), "{sql}");
        // Nor somebody whose session skips ordinary triggers.
        let replica = format!("SET session_replication_role = replica; {sql}");
        let refused = stage.database.psql(&replica).unwrap_err().to_string();
        assert!(refused.contains("not changed by hand"), "{sql}: {refused}");
    }
    let changes = taken(&stage).await;
    assert_eq!(keys_of(&changes, stage.at("parent")).unwrap(), ["90"]);
    assert_eq!(stage.live.pressure().await.unwrap().log_entries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_rights_to_its_table_alone_can_write() {
    let stage = Stage::owning().await;
    let role = format!("less_{}", stage.database.name());
    let grant = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA app TO {role}; GRANT INSERT ON app.parent TO {role};
         REVOKE ALL ON app._switchover_changes, app._switchover_live, app._switchover_watch FROM PUBLIC, {}",
        stage.app
    );
    stage.database.psql(&grant).unwrap();
    let write = "INSERT INTO app.parent VALUES (70, 'less', 1)";
    stage.database.psql(&format!("SET ROLE {role}; SET bytea_output = escape; {write}")).unwrap();
    let session = stage.session().await;
    let odd =
        "SET bytea_output = escape; SET DateStyle = 'German'; INSERT INTO app.pair VALUES ('e', '\\x80', '')";
    assert_eq!(run(&session, odd).await, None);
    // A search_path full of traps changes nothing.
    let trap = "SET search_path = pg_temp, app; INSERT INTO app.parent VALUES (71, 'trap', 1)";
    assert_eq!(run(&session, trap).await, None);
    let changes = taken(&stage).await;
    assert_eq!(keys_of(&changes, stage.at("parent")).unwrap(), ["70", "71"]);
    assert_eq!(keys_of(&changes, stage.at("pair")).unwrap(), ["'e',x'80'"]);
    stage.database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_come_back_exactly() {
    let sql = "CREATE TABLE u(k UUID PRIMARY KEY, v INT); CREATE TABLE r(k REAL PRIMARY KEY, v INT);
        CREATE TABLE d(k DATETIME PRIMARY KEY, v INT); CREATE TABLE z(k DATETIME PRIMARY KEY, v INT);
        CREATE TABLE y(k DATE PRIMARY KEY, v INT); CREATE TABLE n(k NUMERIC(10,2) PRIMARY KEY, v INT);
        CREATE TABLE b(k BOOLEAN PRIMARY KEY, v INT); CREATE TABLE c(k VARCHAR(9) PRIMARY KEY, v INT);
        INSERT INTO u VALUES ('0188d9c2-af00-7fff-0102-030405060708', 1); INSERT INTO r VALUES (0.1, 1), (1e-300, 2);
        INSERT INTO d VALUES ('2024-02-29 12:34:56.000001', 1); INSERT INTO z VALUES ('2024-02-29T12:34:56.5Z', 1);
        INSERT INTO y VALUES ('2024-02-29', 1); INSERT INTO n VALUES (1.25, 1), (7, 2);
        INSERT INTO b VALUES (0, 1), (1, 2); INSERT INTO c VALUES ('tail  ', 1), ('', 2);";
    let stage = Stage::of(Cluster::shared().unwrap(), sql).await;
    stage.filled().await;
    stage.open().await;
    let session = stage.session().await;
    let names: Vec<String> = stage.plan.tables.iter().map(|table| table.target.clone()).collect();
    let mut write = String::from(
        "SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; SET extra_float_digits = -10; SET bytea_output = escape;",
    );
    names.iter().for_each(|name| write.push_str(&format!("UPDATE app.{name} SET v = v + 1;")));
    assert_eq!(run(&session, &write).await, None);
    let changes = taken(&stage).await;
    assert_eq!(changes.tables.len(), names.len());
    for change in &changes.tables {
        let table = &stage.plan.tables[change.table];
        assert!(!change.keys.is_empty() && change.keys.len() == change.rows.len(), "{}", table.target);
        let mut keys: Vec<OwnedValue> = change.keys.iter().map(|key| key[0].clone()).collect();
        let mut found: Vec<OwnedValue> =
            change.rows.iter().map(|row| row.value(0).to_owned_value()).collect();
        let order = |value: &OwnedValue| value.borrow().shown();
        keys.sort_by_key(order);
        found.sort_by_key(order);
        assert_eq!(keys, found, "{}", table.target);
        assert_eq!(stage.live.fetch(change.table, &change.keys).await.unwrap().len(), change.keys.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_beside_is_of_the_same_moment() {
    let sql = "CREATE TABLE big(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 3000)
        INSERT INTO big SELECT i, 'row number ' || i FROM s";
    let stage = Stage::of(Cluster::shared().unwrap(), sql).await;
    stage.filled().await;
    stage.open().await;
    let table = Arc::new(ReadTable {
        name: "big".into(),
        columns: vec!["id".into(), "name".into()],
        locator: Locator::Key(vec!["id".into()]),
    });
    let mut range = KeyRange { after: None, upto: Some(vec![OwnedValue::Int(2_500)]) };
    let (mut next, mut calls) = (1, 0);
    loop {
        let request = ReadRequest {
            table: Arc::clone(&table),
            range: range.clone(),
            budget_bytes: 40_000,
            rows_max: ReadRequest::ANY_ROWS,
            time_max: ReadRequest::ANY_TIME,
        };
        let changes = stage.live.changes(&start(), ALL, Some(&Beside::Rows(request))).await.unwrap();
        let Some(Seen::Rows(batch)) = changes.beside else { panic!("no rows") };
        for row in batch.rows.iter() {
            assert_eq!((row.value(0), row.locator()), (Value::Int(next), vec![OwnedValue::Int(next)]));
            next += 1;
        }
        calls += 1;
        if batch.done {
            break;
        }
        assert!(batch.rows.bytes() < 3 * 40_000, "{}", batch.rows.bytes());
        range.after = batch.last;
    }
    assert_eq!(next, 2_501);
    assert!(calls > 2, "{calls}");
    let session = stage.session().await;
    assert_eq!(run(&session, "DELETE FROM app.big WHERE id <= 10").await, None);
    let changes = stage.live.changes(&start(), ALL, Some(&Beside::Count(0))).await.unwrap();
    assert!(matches!(changes.beside, Some(Seen::Count(2_990))));
    assert_eq!(changes.entries, 10);
    // How fast the log is read and settled, printed.
    assert_eq!(run(&session, "UPDATE app.big SET name = 'n' || id").await, None);
    let (mut after, mut entries, began) = (start(), 0, Instant::now());
    loop {
        let changes = stage
            .live
            .changes(&after, Limit { entries: 500, time_max: Limit::ANY_TIME }, None)
            .await
            .unwrap();
        entries += changes.entries;
        stage.live.settle(&changes.upto).await.unwrap();
        after = changes.upto;
        if changes.complete {
            break;
        }
    }
    let rate = entries as f64 / began.elapsed().as_secs_f64();
    println!("reverse log: {entries} entries in batches of 500, {rate:.0} a second");
}
