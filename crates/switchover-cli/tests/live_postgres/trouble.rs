//! A server that ends in the middle.

use crate::reverse::{ALL, start};
use crate::stage::{Stage, TABLES, change, kind, position, run};
use switchover_core::Kind;
use switchover_core::live::Changes;
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_testkit::{Cluster, Shutdown};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_loses_and_repeats_nothing() {
    let mut cluster = Cluster::builder().fsync(true).start().unwrap();
    let stage = Stage::of(&cluster, TABLES).await;
    stage.filled().await;
    let parent = stage.at("parent");
    let mut rows = Rows::new(0, 3);
    let mut keys = Vec::new();
    for id in 1_000..21_000 {
        keys.push(vec![OwnedValue::Int(id)]);
        rows.push(Value::Int(id));
        rows.push(Value::Text(format!("code {id}").as_bytes()));
        rows.push(Value::Null);
    }
    let mut many = change(parent, &[], &[]);
    (many.keys, many.rows) = (keys, rows);
    let changes = Changes { tables: vec![many], ..Changes::none(position("p1")) };
    // Something holds the batch up until the server is gone.
    let blocker = stage.owners_session().await;
    assert_eq!(run(&blocker, "BEGIN; LOCK TABLE app.parent IN SHARE MODE").await, None);
    let from = position("p0");
    let applying = stage.live.apply(&changes, Some(&from));
    let restarting = async {
        crate::stage::until(&stage, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted").await;
        cluster.restart(Shutdown::Immediate).unwrap();
    };
    let (applied, ()) = tokio::join!(applying, restarting);
    assert_eq!(kind(applied), Kind::Unavailable);
    // Every session is gone with the server; the next call opens another.
    assert_eq!(stage.live.applied().await.unwrap(), Some(position("p0")));
    assert_eq!(stage.ask("SELECT count(*) FROM parent"), "3");
    stage.live.apply(&changes, Some(&position("p0"))).await.unwrap();
    cluster_restart(&mut cluster);
    assert_eq!(kind(stage.live.applied().await), Kind::Unavailable, "an old session tells that it is gone");
    assert_eq!(stage.live.applied().await.unwrap(), Some(position("p1")), "durable when it was answered");
    assert_eq!(stage.ask("SELECT count(*) FROM parent"), "20003");

    stage.open().await;
    let session = stage.session().await;
    assert_eq!(run(&session, "INSERT INTO app.other VALUES (50, 1), (51, 2)").await, None);
    let taken = stage.log(&start()).await.unwrap();
    assert_eq!(taken.entries, 2);
    cluster_restart(&mut cluster);
    assert_eq!(kind(stage.live.settle(&taken.upto).await), Kind::Unavailable);
    // Positions are as good after a crash as before it.
    let again = stage.live.changes(&start(), ALL, None).await.unwrap();
    assert_eq!(again.entries, 2);
    assert_eq!(stage.live.changes(&taken.upto, ALL, None).await.unwrap().entries, 0);
    let session = stage.session().await;
    assert_eq!(run(&session, "DELETE FROM app.other WHERE id = 50").await, None);
    stage.live.settle(&taken.upto).await.unwrap();
    let rest = stage.live.changes(&taken.upto, ALL, None).await.unwrap();
    assert_eq!((rest.entries, rest.tables[0].rows.len()), (1, 0));
}

fn cluster_restart(cluster: &mut Cluster) {
    cluster.restart(Shutdown::Immediate).unwrap();
}
