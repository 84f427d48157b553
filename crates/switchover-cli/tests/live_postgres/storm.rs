//! Many writers at once: whoever takes the reverse log, in whatever portions, ends up with the very rows of the target.

use crate::reverse::start;
use crate::stage::{Stage, run};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use switchover_core::connector::Position;
use switchover_core::live::{Changes, Limit};
use switchover_core::value::Value;
use switchover_testkit::Cluster;
use switchover_testkit::sample::Random;

const WRITERS: u64 = 6;
const ROUNDS: i64 = 40;

/// The rows of a table by key, as the taker of the log holds them.
#[derive(Default)]
struct Mirror {
    tables: BTreeMap<usize, BTreeMap<String, String>>,
    batches: u64,
    entries: u64,
}

fn shown<'a>(values: impl Iterator<Item = Value<'a>>) -> String {
    values.map(|value| value.shown()).collect::<Vec<_>>().join("|")
}

impl Mirror {
    fn take(&mut self, stage: &Stage, changes: &Changes) {
        self.batches += 1;
        self.entries += changes.entries;
        for change in &changes.tables {
            let fields = stage.plan.tables[change.table].key_fields();
            let table = self.tables.entry(change.table).or_default();
            if change.whole {
                table.clear();
            }
            for key in &change.keys {
                table.remove(&shown(key.iter().map(|value| value.borrow())));
            }
            for (at, row) in change.rows.iter().enumerate() {
                let key = match fields.is_empty() {
                    true => at.to_string(),
                    false => shown(fields.iter().map(|field| row.value(*field))),
                };
                table.insert(key, shown(row.values()));
            }
        }
    }

    /// All rows, without what tells rows of a table without a key apart.
    fn rows(&self, table: usize) -> Vec<String> {
        let mut rows: Vec<String> =
            self.tables.get(&table).into_iter().flat_map(|rows| rows.values().cloned()).collect();
        rows.sort();
        rows
    }
}

/// One statement of the application's, at random.
fn statement(random: &mut Random) -> String {
    let (id, other) = (random.below(40), random.below(40));
    match random.below(11) {
        0 | 1 => format!(
            "INSERT INTO app.item(id, grp, v) VALUES ({id}, {other} % 5, 'i{other}') ON CONFLICT (id) DO UPDATE SET v = 'u{other}'"
        ),
        2 => format!("UPDATE app.item SET v = 'w{other}' WHERE id % 7 = {id} % 7"),
        3 => format!(
            "UPDATE app.item SET id = {other} WHERE id = {id} AND NOT EXISTS (SELECT FROM app.item WHERE id = {other})"
        ),
        4 => format!("DELETE FROM app.item WHERE id = {id}"),
        5 => format!(
            "DELETE FROM app.grp WHERE id = {id} % 5; INSERT INTO app.grp VALUES ({id} % 5, 'g') ON CONFLICT DO NOTHING"
        ),
        6 => format!(
            "INSERT INTO app.grp VALUES ({id} % 5, 'n{other}') ON CONFLICT (id) DO UPDATE SET name = excluded.name"
        ),
        7 => {
            format!("INSERT INTO app.loose VALUES ('x', {id}); DELETE FROM app.loose WHERE y < {other} - 30")
        }
        8 if id == 0 => "TRUNCATE app.loose".into(),
        9 if id == 1 => "TRUNCATE app.item".into(),
        _ => format!(
            "SAVEPOINT a; DELETE FROM app.item WHERE id > {id}; ROLLBACK TO a; UPDATE app.item SET v = v || 's' WHERE id = {other}; UPDATE app.item SET v = left(v, 9)"
        ),
    }
}

async fn write(session: switchover_connectors::postgres::connect::Connection, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let mut committed = 0;
    for _ in 0..ROUNDS {
        let level = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"][random.below(3) as usize];
        let mut sql = format!("BEGIN ISOLATION LEVEL {level};");
        for _ in 0..=random.below(3) {
            sql.push_str(&statement(&mut random));
            sql.push(';');
        }
        let done = run(&session, &sql).await.is_none();
        let end = if done && random.below(5) > 0 { "COMMIT" } else { "ROLLBACK" };
        if run(&session, end).await.is_none() && end == "COMMIT" {
            committed += 1;
        }
    }
    committed
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_the_log_ends_up_with_the_targets_rows() {
    let sql = "CREATE TABLE grp(id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE item(id INTEGER PRIMARY KEY, grp INTEGER REFERENCES grp(id) ON DELETE CASCADE ON UPDATE CASCADE, v TEXT);
        CREATE TABLE loose(x TEXT, y INTEGER);
        INSERT INTO grp VALUES (0, 'a'), (1, 'b'), (2, 'c'), (3, 'd'), (4, 'e');";
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let stage = Arc::new(Stage::of(Cluster::shared().unwrap(), sql).await);
    stage.filled().await;
    stage.open().await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        writers.push(tokio::spawn(write(stage.session().await, seed.wrapping_add(number))));
    }
    let over = Arc::new(AtomicBool::new(false));
    let taking = {
        let (stage, over) = (Arc::clone(&stage), Arc::clone(&over));
        async move {
            let (mut mirror, mut after, mut random) = (Mirror::default(), start(), Random::new(seed));
            // What was there before the log began.
            let first = stage
                .live
                .changes(&after, Limit { entries: 1, time_max: Limit::ANY_TIME }, None)
                .await
                .unwrap();
            assert!(first.entries <= 1);
            for id in 0..5 {
                let row = [Value::Int(id), Value::Text(&b"abcde"[id as usize..=id as usize])];
                mirror
                    .tables
                    .entry(stage.at("grp"))
                    .or_default()
                    .insert(shown(row[..1].iter().copied()), shown(row.into_iter()));
            }
            loop {
                let last = over.load(Ordering::SeqCst);
                let limit = Limit { entries: 1 + random.below(30) as u64, time_max: Limit::ANY_TIME };
                let changes = stage.live.changes(&after, limit, None).await.unwrap();
                mirror.take(&stage, &changes);
                let complete = changes.complete;
                // Now and then it is taken again, and now and then it is not forgotten.
                if random.below(10) > 0 {
                    after = changes.upto;
                    if random.below(4) > 0 {
                        stage.live.settle(&after).await.unwrap();
                    }
                }
                if last && complete {
                    return (mirror, after);
                }
            }
        }
    };
    let taking = tokio::spawn(taking);
    let mut committed = 0;
    for writer in writers {
        committed += writer.await.unwrap();
    }
    stage.live.fence(Duration::from_secs(20)).await.unwrap();
    over.store(true, Ordering::SeqCst);
    let (mirror, after): (Mirror, Position) = taking.await.unwrap();
    println!("{committed} transactions, {} entries in {} batches", mirror.entries, mirror.batches);
    assert!(committed > 50 && mirror.entries > 100);
    for (at, table) in stage.plan.tables.iter().enumerate() {
        // The target's own rows, read by the reader that the verification uses.
        let mut expected = Vec::new();
        for mut reader in
            switchover_core::connector::Target::read(&stage.target, &stage.plan, at, 1).await.unwrap()
        {
            let mut rows = switchover_core::value::Rows::default();
            while let Some(next) = reader.next(rows).await.unwrap() {
                expected.extend(next.iter().map(|row| shown(row.values())));
                rows = next;
            }
        }
        expected.sort();
        assert_eq!(mirror.rows(at), expected, "{} of seed {seed}", table.target);
    }
    stage.live.settle(&after).await.unwrap();
}
