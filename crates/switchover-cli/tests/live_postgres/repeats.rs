//! Rows that moved at the source while it was copied by place, so that they came twice.

use crate::stage::{Stage, change, kind, position};
use switchover_core::Kind;
use switchover_core::chunk::{Checkpoint, KeyRange};
use switchover_core::connector::{ChunkWrite, Target};
use switchover_core::digest::Hex;
use switchover_core::live::{Changes, LiveStage};
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_testkit::Cluster;

const TABLES: &str = "
    CREATE TABLE note (a TEXT NOT NULL, b INTEGER NOT NULL, v TEXT, PRIMARY KEY (a, b));
    CREATE TABLE plain (id INTEGER PRIMARY KEY);
    INSERT INTO note VALUES ('x', 1, 'old'), ('y', 1, 'y'), ('z', 1, 'z');";

/// A chunk of `note`: places, and what is in them.
async fn chunk(stage: &Stage, range: (Option<i64>, Option<i64>), found: &[(i64, &str, i64, &str)]) {
    let mut rows = Rows::new(1, 3);
    for (place, a, b, v) in found {
        let cells =
            [Value::Int(*place), Value::Text(a.as_bytes()), Value::Int(*b), Value::Text(v.as_bytes())];
        cells.into_iter().for_each(|value| rows.push(value));
    }
    let bound = |place: Option<i64>| place.map(|place| vec![OwnedValue::Int(place)]);
    let checkpoint = Checkpoint {
        table: stage.at("note"),
        range: KeyRange { after: bound(range.0), upto: bound(range.1) },
        rows: rows.len() as u64,
        bytes: 0,
        digest: Hex(0),
    };
    let none = (Default::default(), Default::default());
    let write = ChunkWrite {
        rows: &rows,
        checkpoint: &checkpoint,
        quarantine: &[],
        as_null: &none.0,
        left_out: &none.1,
    };
    let mut writer = stage.target.writer(stage.plan.clone(), "run-1").await.unwrap();
    writer.write(&write).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_moved_while_it_was_copied_is_kept_once() {
    let stage = Stage::of(Cluster::shared().unwrap(), TABLES).await;
    let note = stage.at("note");
    assert!(stage.live.takes_any_order() && stage.plan.tables[note].is_read_by_place());
    assert!(!stage.plan.tables[stage.at("plain")].is_read_by_place());
    stage.copy(&[stage.at("plain")]).await.unwrap();
    chunk(&stage, (None, Some(2)), &[(1, "x", 1, "old"), (2, "y", 1, "y")]).await;
    // Replaced twice meanwhile, and so behind all others twice.
    chunk(&stage, (Some(2), Some(4)), &[(3, "z", 1, "z"), (4, "x", 1, "newer")]).await;
    chunk(&stage, (Some(4), None), &[(5, "x", 2, "x2"), (6, "x", 1, "newest")]).await;
    let keys: Vec<_> = stage
        .live
        .steps()
        .into_iter()
        .filter(|(at, _)| *at == LiveStage::Keys)
        .map(|(_, step)| step)
        .collect();
    let of_note = keys.iter().find(|step| step.table == Some(note)).unwrap();
    assert_eq!(kind(stage.target.build(&stage.plan, "run-1", of_note).await), Kind::Rejected);
    for _ in 0..2 {
        stage.live.drop_repeats().await.unwrap();
        assert_eq!(stage.ask("SELECT string_agg(a || b, ' ' ORDER BY a, b) FROM note"), "x1 x2 y1 z1");
    }
    stage.build(|_| true).await;
    // The key is in the log: whichever of them is left is put right.
    stage.live.apply(&Changes::none(position("p0")), None).await.unwrap();
    let key = [Value::Text(b"x"), Value::Int(1)];
    let row = [Value::Text(b"x"), Value::Int(1), Value::Text(b"newest of all")];
    stage.apply("p0", "p1", vec![change(note, &[&key], &[&row])]).await.unwrap();
    assert_eq!(stage.ask("SELECT string_agg(v, ',' ORDER BY a, b) FROM note"), "newest of all,x2,y,z");
}
