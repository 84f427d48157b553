//! Changes into the target: exactly, once, and all or nothing.

use crate::stage::{Stage, change, kind, position, run};
use std::time::Instant;
use switchover_core::Kind;
use switchover_core::live::{Changes, TableChanges};
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_testkit::Cluster;

fn parent<'a>(id: i64, code: &'a str) -> [Value<'a>; 3] {
    [Value::Int(id), Value::Text(code.as_bytes()), Value::Float(1.5)]
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_uniques_and_parents_that_come_again_are_one_change() {
    let stage = Stage::following().await;
    let (at, pair, loose) = (stage.at("parent"), stage.at("pair"), stage.at("loose"));
    let keys: [&[Value<'_>]; 4] = [&[Value::Int(1)], &[Value::Int(2)], &[Value::Int(3)], &[Value::Int(77)]];
    let rows: [&[Value<'_>]; 2] = [&parent(1, "two"), &parent(2, "one")];
    let key: [Value<'_>; 2] = [Value::Text(b"x"), Value::Bytes(b"\x00\xff")];
    let mut all = Rows::new(0, 2);
    [Value::Text(b"new"), Value::Int(5)].into_iter().for_each(|value| all.push(value));
    let whole = TableChanges { table: loose, keys: Vec::new(), rows: all, whole: true };
    let pairs = change(pair, &[&key], &[&[key[0], key[1], Value::Text(b"changed")]]);
    stage.apply("p0", "p1", vec![change(at, &keys, &rows), pairs, whole]).await.unwrap();
    assert_eq!(stage.ask("SELECT string_agg(id || code, ' ' ORDER BY id) FROM parent"), "1two 2one");
    assert_eq!(stage.ask("SELECT count(*) FROM child"), "3", "nothing cascades");
    assert_eq!(stage.ask("SELECT string_agg(v, ' ') FROM pair"), "changed");
    assert_eq!(stage.ask("SELECT string_agg(x || y, ' ') FROM loose"), "new5");
    assert_eq!(stage.live.applied().await.unwrap(), Some(position("p1")));
    let found = stage.live.fetch(pair, &[key.map(|value| value.to_owned_value()).to_vec()]).await.unwrap();
    assert_eq!((found.len(), found.row(0).value(2)), (1, Value::Text(b"changed")));
    let gone = stage.live.fetch(at, &[vec![OwnedValue::Int(3)], vec![OwnedValue::Int(1)]]).await.unwrap();
    assert_eq!(gone.len(), 1);
    assert_eq!(stage.live.count(at).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_constraint_refuses_is_rejected_and_changes_nothing() {
    let stage = Stage::following().await;
    let (at, child) = (stage.at("parent"), stage.at("child"));
    let orphan = [Value::Int(50), Value::Int(4), Value::Null];
    for (name, changes) in [
        ("unique", vec![change(at, &[&[Value::Int(1)]], &[&parent(1, "two")])]),
        ("parent gone", vec![change(at, &[&[Value::Int(1)]], &[])]),
        ("orphan", vec![change(child, &[&[Value::Int(50)]], &[&orphan])]),
        ("not null", vec![change(at, &[&[Value::Int(1)]], &[&[Value::Int(1), Value::Null, Value::Null]])]),
    ] {
        let before = stage.ask("SELECT md5(string_agg(p::text, ' ' ORDER BY id)) FROM parent p");
        assert_eq!(kind(stage.apply("p0", "p1", changes).await), Kind::Rejected, "{name}");
        assert_eq!(stage.ask("SELECT md5(string_agg(p::text, ' ' ORDER BY id)) FROM parent p"), before);
        assert_eq!(stage.live.applied().await.unwrap(), Some(position("p0")), "{name}");
    }
    // The other half makes it whole, in whatever order the tables come.
    let both = vec![
        change(child, &[&[Value::Int(50)]], &[&orphan]),
        change(at, &[&[Value::Int(4)]], &[&parent(4, "four")]),
    ];
    stage.apply("p0", "p1", both).await.unwrap();
    assert_eq!(stage.ask("SELECT count(*) FROM child WHERE parent = 4"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_is_refused_with_its_place() {
    let stage = Stage::following().await;
    let at = stage.at("parent");
    // The census of the plan says that all codes are good texts; it is not of these rows.
    for bad in [Value::Text(b"a\0b"), Value::Text(b"\xff"), Value::Int(5)] {
        let row = [Value::Int(8), bad, Value::Null];
        let error =
            stage.apply("p0", "p1", vec![change(at, &[&[Value::Int(8)]], &[&row])]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        let subject = error.subject();
        assert_eq!((&*subject.table, &*subject.key, &*subject.column), ("parent", "id=8", "code"));
    }
    assert_eq!(stage.live.applied().await.unwrap(), Some(position("p0")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_left_by_one_alone() {
    let stage = Stage::following().await;
    let at = stage.at("parent");
    let one = || vec![change(at, &[&[Value::Int(1)]], &[&parent(1, "first")])];
    stage.apply("p0", "p1", one()).await.unwrap();
    // A lost answer: the same again, and an engine that stood elsewhere.
    assert_eq!(kind(stage.apply("p0", "p1", one()).await), Kind::Changed);
    assert_eq!(kind(stage.apply("p7", "p8", one()).await), Kind::Changed);
    assert_eq!(kind(stage.live.apply(&Changes::none(position("p9")), None).await), Kind::Changed);
    let (left, right) = tokio::join!(stage.apply("p1", "p2", one()), stage.apply("p1", "p2", one()));
    assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
    assert_eq!(kind(if left.is_ok() { right } else { left }), Kind::Changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_was_taken_over_writes_nothing() {
    let stage = Stage::following().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let second = stage.second().await;
    let from = stage.ownership().await;
    let none = Changes::none(position("p1"));
    assert_eq!(kind(stage.live.apply(&none, Some(&position("p0"))).await), Kind::Busy);
    assert_eq!(kind(stage.live.decide(&from, &from.proposed(), &[]).await), Kind::Busy);
    assert_eq!(kind(stage.live.enter().await), Kind::Busy);
    assert_eq!(kind(stage.live.capture(&[], &[]).await), Kind::Busy);
    assert_eq!(kind(stage.live.settle(&position("1:1:/0")).await), Kind::Busy);
    assert_eq!(kind(stage.live.fence(std::time::Duration::from_secs(1)).await), Kind::Busy);
    assert_eq!(kind(stage.live.unfence().await), Kind::Busy);
    assert_eq!(kind(stage.live.restart(&[0]).await), Kind::Busy);
    assert_eq!(kind(stage.live.leave().await), Kind::Busy);
    assert_eq!(kind(stage.live.changes(&position("1:1:/0"), crate::reverse::ALL, None).await), Kind::Busy);
    second.apply(&none, Some(&position("p0"))).await.unwrap();
    // A takeover waits for the transaction that is under way.
    let session = stage.owners_session().await;
    let held = "BEGIN; SELECT attempt FROM app._switchover_run FOR SHARE";
    assert_eq!(run(&session, held).await, None);
    let third = stage.second();
    tokio::pin!(third);
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(200), &mut third).await;
    assert!(waiting.is_err());
    assert_eq!(run(&session, "COMMIT").await, None);
    let third = third.await;
    assert_eq!(kind(second.apply(&none, Some(&position("p1"))).await), Kind::Busy);
    third.apply(&none, Some(&position("p1"))).await.unwrap();
}

/// How fast it is, printed; the bounds are far below what is measured, for machines that are busy.
#[tokio::test(flavor = "multi_thread")]
async fn catch_up_is_fast_and_a_small_batch_is_quick() {
    let sql = "CREATE TABLE big(id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER, r REAL);
        WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 100000)
        INSERT INTO big SELECT i, 'row number ' || i, i * 7, i / 3.0 FROM s";
    let stage = Stage::of(Cluster::shared().unwrap(), sql).await;
    stage.filled().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let batch = |from: i64, rows: i64, note: &str| {
        let mut all = Rows::new(0, 4);
        let mut keys = Vec::new();
        for id in from..from + rows {
            keys.push(vec![OwnedValue::Int(id)]);
            let name = format!("{note} {id}");
            all.push(Value::Int(id));
            all.push(Value::Text(name.as_bytes()));
            all.push(Value::Int(id));
            all.push(Value::Float(0.25));
        }
        vec![TableChanges { table: 0, keys, rows: all, whole: false }]
    };
    let mut at = 0;
    let mut next = async |changes: Vec<TableChanges>| {
        at += 1;
        let (from, to) = (format!("p{}", at - 1), format!("p{at}"));
        let start = Instant::now();
        stage.apply(&from, &to, changes).await.unwrap();
        start.elapsed()
    };
    for size in [1_000, 5_000, 20_000] {
        next(batch(1, size, "warm")).await;
        let rounds = 40_000 / size;
        let (mut spent, mut least) = (0.0, f64::INFINITY);
        for round in 0..rounds {
            let took = next(batch(1 + round * size, size, "changed")).await.as_secs_f64();
            (spent, least) = (spent + took, took.min(least));
        }
        println!("batches of {size}: {:.0} rows/s", 40_000.0 / spent);
        // By the quickest batch: a busy machine takes its time now and then.
        assert!(size as f64 / least > 5_000.0, "{size}");
    }
    let mut times = Vec::new();
    for round in 0..200 {
        times.push(next(batch(round * 3 + 1, 3, "small")).await.as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    println!("a batch of 3 rows: median {:.2} ms, 95 % {:.2} ms", times[100], times[190]);
    let keys: Vec<Vec<OwnedValue>> = (1..=1_000).map(|id| vec![OwnedValue::Int(id)]).collect();
    let start = Instant::now();
    assert_eq!(stage.live.fetch(0, &keys).await.unwrap().len(), 1_000);
    println!("fetch of 1,000 keys: {:.2} ms", start.elapsed().as_secs_f64() * 1_000.0);
    assert_eq!(stage.live.pressure().await.unwrap().log_entries, 0, "the engine's writes are not captured");
}
