//! The gate: the application is kept out while the source owns the data, and the engine is not.

use crate::stage::{REFUSED, RUN, SCHEMA, Stage, change, copy, position, run};
use switchover_core::connector::Target;
use switchover_core::live::{Changes, Ownership, Side};
use switchover_core::value::Value;

const WRITES: [&str; 7] = [
    "INSERT INTO app.parent VALUES (9, 'nine', 1)",
    "UPDATE app.parent SET n = 1",
    "UPDATE app.parent SET n = 1 WHERE false",
    "DELETE FROM app.child",
    "TRUNCATE app.loose",
    "INSERT INTO app.parent VALUES (1, 'x', 1) ON CONFLICT (id) DO UPDATE SET n = 7",
    "WITH gone AS (DELETE FROM app.loose RETURNING 1) SELECT count(*) FROM gone",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_refuses_the_application_and_lets_the_engine_in() {
    let stage = Stage::following().await;
    for session in [stage.session().await, stage.owners_session().await] {
        for write in WRITES {
            assert_eq!(run(&session, write).await.as_deref(), Some(REFUSED), "{write}");
            let replica = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {write}");
            assert_eq!(run(&session, &replica).await.as_deref(), Some(REFUSED), "{write}");
            run(&session, "ROLLBACK").await;
        }
        session.client().query("SELECT * FROM app.parent", &[]).await.unwrap();
        assert_eq!(copy(&session, "app.loose", b"a\t1\n").await.as_deref(), Some(REFUSED));
    }
    // Replication's role skips ordinary triggers.
    let superuser = stage.database.psql("SET session_replication_role = replica; DELETE FROM app.child");
    assert!(superuser.unwrap_err().to_string().contains("takes no writes"));
    let parent = stage.at("parent");
    let new = [Value::Int(9), Value::Text(b"nine"), Value::Null];
    stage.apply("p0", "p1", vec![change(parent, &[&[Value::Int(9)]], &[&new])]).await.unwrap();
    assert_eq!(stage.ask("SELECT count(*) FROM parent"), "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_again_changes_nothing() {
    let stage = Stage::following().await;
    let before =
        stage.ask("SELECT string_agg(tgname || oid::text || xmin::text, ' ' ORDER BY oid) FROM pg_trigger");
    for _ in 0..2 {
        stage.live.enter().await.unwrap();
    }
    let after =
        stage.ask("SELECT string_agg(tgname || oid::text || xmin::text, ' ' ORDER BY oid) FROM pg_trigger");
    assert_eq!(before, after);
    assert_eq!(stage.ownership().await, Ownership::FIRST);
    assert_eq!(stage.live.applied().await.unwrap(), Some(position("p0")));
    assert!(stage.live.obstacles(true).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_needs_the_mark_and_has_it() {
    let stage = Stage::of(switchover_testkit::Cluster::shared().unwrap(), crate::stage::TABLES).await;
    let parent = stage.at("parent");
    stage.copy(&[parent]).await.unwrap();
    assert_eq!(stage.ask("SELECT count(*) FROM parent"), "3");
    // The mark ends with its transaction: a pooler hands nothing on.
    let session = stage.owners_session().await;
    let sql = "BEGIN; SET LOCAL switchover.engine = 'run-1'; DELETE FROM app.parent; ROLLBACK";
    assert_eq!(run(&session, sql).await, None);
    assert_eq!(run(&session, "DELETE FROM app.parent").await.as_deref(), Some(REFUSED));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_and_discarding_leave_nothing_of_the_run() {
    let objects = "SELECT count(*) FROM (SELECT relname FROM pg_class WHERE relname LIKE '\\_switchover%'
        UNION ALL SELECT proname FROM pg_proc WHERE proname LIKE '\\_switchover%'
        UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE '\\_switchover%'
        UNION ALL SELECT conname FROM pg_constraint WHERE conname LIKE '\\_switchover%') x";
    let stage = Stage::owning().await;
    let session = stage.session().await;
    assert_eq!(run(&session, WRITES[0]).await, None);
    for _ in 0..2 {
        stage.live.leave().await.unwrap();
    }
    let delete = "UPDATE app.other SET parent = NULL; DELETE FROM app.parent WHERE id = 1";
    assert_eq!(run(&session, delete).await, None);
    assert_eq!(stage.ask("SELECT count(*) FROM child"), "1", "the cascade is the plan's");
    stage.target.forget(SCHEMA, RUN).await.unwrap();
    assert_eq!(stage.ask(objects), "0");
    let audit = stage.target.audit(&stage.plan).await.unwrap();
    assert!(audit.faults.is_empty(), "{:?}", audit.faults);

    let stage = Stage::owning().await;
    assert_eq!(run(&stage.session().await, WRITES[0]).await, None);
    assert!(stage.target.discard(SCHEMA, "run-1").await.unwrap());
    assert_eq!(stage.ask(objects), "0");
    assert_eq!(stage.ask("SELECT count(*) FROM pg_class WHERE relnamespace = 'app'::regnamespace"), "0");

    let stage = Stage::following().await;
    let none = stage.live.apply(&Changes::none(position("p1")), Some(&position("p0"))).await;
    none.unwrap();
    assert!(stage.target.discard(SCHEMA, "run-1").await.unwrap());
    assert_eq!(stage.ask(objects), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_go_back_to_copy_with_their_gates() {
    let stage = Stage::following().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let (parent, child) = (stage.at("parent"), stage.at("child"));
    for _ in 0..2 {
        stage.live.restart(&[parent]).await.unwrap();
        assert_eq!(stage.ask("SELECT count(*) FROM parent"), "0");
        assert_eq!(stage.ask("SELECT count(*) FROM child"), "3");
    }
    let session = stage.session().await;
    assert_eq!(run(&session, WRITES[0]).await.as_deref(), Some(REFUSED));
    assert!(!stage.target.checkpoints(&stage.plan, "run-1").await.unwrap().iter().any(|c| c.table == parent));
    stage.copy(&[parent]).await.unwrap();
    stage.build(|_| true).await;
    assert_eq!(stage.live.doubts().await.unwrap(), Vec::<usize>::new());
    assert!(!stage.live.capture(&[], &[]).await.unwrap().new);
    let gone = change(parent, &[&[Value::Int(3)]], &[]);
    stage.apply("p0", "p1", vec![gone]).await.unwrap();
    // A table that is not there at all is made.
    stage.database.psql("DROP TABLE app.child").unwrap();
    stage.live.restart(&[child]).await.unwrap();
    stage.copy(&[child]).await.unwrap();
    stage.build(|_| true).await;
    assert_eq!(stage.live.doubts().await.unwrap(), Vec::<usize>::new());
    stage.live.capture(&[], &[]).await.unwrap();
    stage.open().await;
    stage.live.prove().await.unwrap();
    let audit = stage.target.audit(&stage.plan).await.unwrap();
    assert!(audit.faults.is_empty(), "{:?}", audit.faults);
    assert_eq!(stage.ownership().await.owner, Side::Target);
    assert_eq!(run(&session, WRITES[0]).await, None);
}
