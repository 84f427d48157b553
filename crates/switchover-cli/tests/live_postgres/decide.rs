//! Who owns the data: one row, one winner, and no writer on the wrong side.

use crate::stage::{REFUSED, Stage, change, copy, kind, run, until};
use std::time::{Duration, Instant};
use switchover_core::Kind;
use switchover_core::connector::Target;
use switchover_core::live::Side;
use switchover_core::value::Value;
use switchover_testkit::Cluster;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// What gives way does so in some tenths of a second, or a little more on a busy machine; what does not waits for [`LONG`], or for
/// the three seconds of a change of the tables.
const SOON: Duration = Duration::from_millis(2_500);

/// Whether a fence waits in the stage's own database: other tests have the same server.
const FENCE_WAITS: &str =
    "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'ShareRowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_decide_one_does() {
    let stage = Stage::following().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let from = stage.ownership().await;
    for _ in 0..5 {
        let from = stage.ownership().await;
        let (to, back) = (from.proposed(), from.proposed().withdrawn());
        let (left, right) =
            tokio::join!(stage.live.decide(&from, &to, &[]), stage.live.decide(&from, &to, &[]));
        assert!(left.unwrap() != right.unwrap());
        assert!(stage.live.decide(&to, &back, &[]).await.unwrap());
    }
    assert!(!stage.live.decide(&from, &from.proposed(), &[]).await.unwrap(), "an epoch of the past");
    let from = stage.ownership().await;
    assert!(stage.live.decide(&from, &from.proposed(), &[]).await.unwrap());
    let to = from.proposed().decided();
    let (proposed, withdrawn) = (from.proposed(), from.proposed().withdrawn());
    let (left, right) =
        tokio::join!(stage.live.decide(&proposed, &to, &[]), stage.live.decide(&proposed, &withdrawn, &[]));
    let (left, right) = (left.unwrap(), right.unwrap());
    assert!(left != right);
    let owner = if left { Side::Target } else { Side::Source };
    assert_eq!(stage.ownership().await.owner, owner);
    let refused = run(&stage.session().await, "DELETE FROM app.other").await;
    assert_eq!(refused.is_some(), owner == Side::Source);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_gives_keys_and_numbers_their_own_form() {
    let stage = Stage::following().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let session = stage.session().await;
    let from = stage.ownership().await;
    stage.live.decide(&from, &from.proposed(), &[]).await.unwrap();
    assert_eq!(run(&session, "DELETE FROM app.parent").await.as_deref(), Some(REFUSED));
    // A reader's transaction that stays open keeps nobody waiting.
    let reader = stage.session().await;
    assert_eq!(run(&reader, "BEGIN; SELECT * FROM app.parent, app.child, app.other").await, None);
    let numbering = [(stage.at("child"), 1_000)];
    assert!(stage.live.decide(&from.proposed(), &from.proposed().decided(), &numbering).await.unwrap());
    assert_eq!(run(&session, "DELETE FROM app.parent WHERE id = 1").await.as_deref(), Some("23503"));
    assert_eq!(run(&session, "UPDATE app.other SET parent = NULL").await, None);
    assert_eq!(run(&session, "DELETE FROM app.parent WHERE id = 1").await, None);
    assert_eq!(stage.ask("SELECT count(*) FROM child"), "1", "it cascades at once");
    assert_eq!(run(&session, "INSERT INTO app.child(parent) VALUES (88)").await.as_deref(), Some("23503"));
    assert_eq!(run(&session, "INSERT INTO app.child(parent) VALUES (2)").await, None);
    assert_eq!(stage.ask("SELECT max(id) FROM child"), "1002", "the refused one took a number too");
    assert_eq!(kind(stage.live.prove().await), Kind::Busy, "the reader keeps the old form's removal waiting");
    assert_eq!(run(&reader, "COMMIT").await, None);
    for _ in 0..2 {
        stage.live.prove().await.unwrap();
    }
    let audit = stage.target.audit(&stage.plan).await.unwrap();
    assert!(audit.faults.is_empty(), "{:?}", audit.faults);
    let forms =
        "SELECT string_agg(concat(conname, condeferrable, convalidated, confdeltype), ' ' ORDER BY conname)
        FROM pg_constraint WHERE contype = 'f'";
    assert_eq!(stage.ask(forms), "child_parent_fkeyftc other_parent_fkeyfta");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_gives_way_to_the_applications_transactions() {
    let stage = Stage::following().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let from = stage.ownership().await;
    stage.live.decide(&from, &from.proposed(), &[]).await.unwrap();
    assert!(stage.live.decide(&from.proposed(), &from.proposed().decided(), &[]).await.unwrap());
    let writer = stage.session().await;
    assert_eq!(run(&writer, "BEGIN; UPDATE app.other SET parent = parent").await, None);
    let begun = Instant::now();
    assert_eq!(kind(stage.live.prove().await), Kind::Busy);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // One table was changed by itself, so no lock on it was held while the other was waited for.
    let waiting = "SELECT string_agg(conrelid::regclass || ' ' || condeferrable, ', ' ORDER BY conname)
        FROM pg_constraint WHERE contype = 'f' AND condeferrable";
    assert_eq!(stage.ask(waiting), "other true");
    assert_eq!(run(&writer, "INSERT INTO app.child(parent) VALUES (2); COMMIT").await, None);
    stage.live.prove().await.unwrap();
    assert_eq!(stage.ask(waiting), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_waits_for_writers_and_lets_none_in_after_it() {
    let stage = Stage::owning().await;
    let [writer, old, new, prepared] =
        [stage.session().await, stage.session().await, stage.session().await, stage.session().await];
    // A snapshot from before, a statement that was prepared and used, and a writer under way.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM app.loose";
    assert_eq!(run(&old, begin).await, None);
    let statement = prepared.client().prepare("UPDATE app.parent SET n = n WHERE id = $1").await.unwrap();
    assert_eq!(prepared.client().execute(&statement, &[&2i64]).await.unwrap(), 1);
    assert_eq!(run(&writer, "BEGIN; UPDATE app.parent SET n = 2 WHERE id = 2").await, None);
    assert_eq!(kind(stage.live.fence(SHORT).await), Kind::Busy);
    assert_eq!(run(&new, "UPDATE app.parent SET n = 3 WHERE id = 3").await, None, "nothing was changed");
    let fence = stage.live.fence(LONG);
    let ending = async {
        until(&stage, FENCE_WAITS).await;
        assert_eq!(run(&writer, "COMMIT").await, None);
    };
    let (fenced, ()) = tokio::join!(fence, ending);
    let fenced = fenced.unwrap();
    assert_eq!(run(&old, "UPDATE app.loose SET y = 9").await.as_deref(), Some(REFUSED), "an old snapshot");
    assert!(prepared.client().execute(&statement, &[&2i64]).await.is_err(), "a prepared statement");
    for sql in ["TRUNCATE app.loose", "DELETE FROM app.parent", "INSERT INTO app.loose VALUES ('a', 1)"] {
        assert_eq!(run(&new, sql).await.as_deref(), Some(REFUSED), "{sql}");
    }
    assert_eq!(copy(&new, "app.loose", b"a\t1\n").await.as_deref(), Some(REFUSED));
    stage.live.fence(SHORT).await.unwrap();
    let new = stage.session().await;
    let log = stage.log(&crate::reverse::start()).await.unwrap();
    assert!(log.complete);
    assert_eq!(log.entries, 3, "one each of the writer, the prepared one and the new one");
    // What the fence told is a position that holds all of it.
    assert_eq!(stage.log(&fenced.position).await.unwrap().entries, 0);
    stage.live.unfence().await.unwrap();
    assert_eq!(run(&new, "UPDATE app.parent SET n = 3 WHERE id = 3").await, None);
}

/// A transaction of the application's that holds one table, and asks for another when the fence has waited for it so long
/// (seconds): whatever the order of the tables, it is never the one that is torn up.
async fn crossing(held: usize, wanted: usize, wait: f32) {
    let stage = Stage::owning().await;
    let (session, beside) = (stage.session().await, stage.session().await);
    let write = |table: usize| format!("DELETE FROM app.\"{}\" WHERE false", stage.plan.tables[table].target);
    assert_eq!(run(&session, &format!("BEGIN; {}", write(held))).await, None);
    let crossing = async {
        until(&stage, FENCE_WAITS).await;
        assert_eq!(run(&session, &format!("SELECT pg_sleep({wait}); {}", write(wanted))).await, None);
        // Others go on too while the fence waits, and are not kept for long.
        let begun = Instant::now();
        assert_eq!(run(&beside, &write(wanted)).await, None);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(run(&session, "COMMIT").await, None);
    };
    let (fenced, ()) = tokio::join!(stage.live.fence(LONG), crossing);
    fenced.unwrap();
    assert_eq!(run(&session, &write(wanted)).await.as_deref(), Some(REFUSED));
    let left = "SELECT count(*) FROM pg_locks WHERE mode = 'ShareRowExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(stage.ask(left), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_crosses_a_fence_is_never_torn_up() {
    // Before the server looks for a deadlock on behalf of a fence that waits, and after it has looked in vain.
    for wait in [0.0, 1.3] {
        crossing(4, 0, wait).await;
        crossing(0, 4, wait).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_gives_up_leaves_nothing() {
    let stage = Stage::owning().await;
    let (session, beside) = (stage.session().await, stage.session().await);
    assert_eq!(run(&session, "BEGIN; DELETE FROM app.other WHERE false").await, None);
    let (begun, patience) = (Instant::now(), Duration::from_millis(700));
    assert_eq!(kind(stage.live.fence(patience).await), Kind::Busy);
    assert!(begun.elapsed() >= patience && begun.elapsed() < patience + SOON, "{:?}", begun.elapsed());
    assert_eq!(run(&beside, "UPDATE app.parent SET n = 1 WHERE id = 1").await, None);
    assert_eq!(run(&session, "COMMIT").await, None);
    stage.live.fence(LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rollback_the_target_follows_again_and_keeps_old_snapshots_out() {
    let stage = Stage::owning().await;
    let (old, session) = (stage.session().await, stage.session().await);
    assert_eq!(
        run(&old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM app.loose").await,
        None
    );
    stage.back().await;
    assert_eq!(stage.ownership().await.owner, Side::Source);
    stage.live.unfence().await.unwrap();
    stage.live.follow().await.unwrap();
    // Its snapshot says that the target is the owner.
    let owner = "SELECT count(*)::int FROM app.loose";
    assert!(old.client().query_one(owner, &[]).await.is_ok());
    assert_eq!(run(&old, "DELETE FROM app.loose").await.as_deref(), Some(REFUSED));
    assert_eq!(run(&session, "DELETE FROM app.loose").await.as_deref(), Some(REFUSED));
    // Parents come and go without cascades, and foreign keys are kept.
    let parent = stage.at("parent");
    let rows = [Value::Int(1), Value::Text(b"uno"), Value::Null];
    stage.apply("p0", "p1", vec![change(parent, &[&[Value::Int(1)]], &[&rows])]).await.unwrap();
    assert_eq!(stage.ask("SELECT count(*) FROM child"), "3");
    assert_eq!(
        kind(stage.apply("p1", "p2", vec![change(parent, &[&[Value::Int(1)]], &[])]).await),
        Kind::Rejected
    );
    // And over again.
    stage.open().await;
    assert_eq!(kind(stage.apply("p1", "p2", vec![]).await), Kind::Changed, "the owner takes no changes");
    assert_eq!(run(&session, "DELETE FROM app.loose").await, None);
    stage.live.prove().await.unwrap();
    stage.back().await;
    assert_eq!(run(&session, "DELETE FROM app.loose").await.as_deref(), Some(REFUSED));
}

/// How long the decision takes, printed.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_over_fifty_tables_takes_little_time() {
    let mut sql = String::from("CREATE TABLE t0(id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT);");
    for at in 1..50 {
        let action = if at % 2 == 0 { "ON DELETE CASCADE" } else { "" };
        sql.push_str(&format!(
            "CREATE TABLE t{at}(id INTEGER PRIMARY KEY AUTOINCREMENT, up INTEGER REFERENCES t{}(id) {action}, v TEXT);
             INSERT INTO t{at}(v) VALUES ('a');",
            at - 1
        ));
    }
    let stage = Stage::of(Cluster::shared().unwrap(), &sql).await;
    stage.filled().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let mut times = Vec::new();
    for round in 0..7 {
        let from = stage.ownership().await;
        stage.live.decide(&from, &from.proposed(), &[]).await.unwrap();
        let start = Instant::now();
        let numbering: Vec<(usize, i64)> = (0..50).map(|at| (at, 100)).collect();
        let to = from.proposed().decided();
        assert!(stage.live.decide(&from.proposed(), &to, &numbering).await.unwrap());
        let spent = start.elapsed().as_secs_f64() * 1_000.0;
        println!(
            "decision {round}: {spent:.1} ms{}",
            if round == 0 { "" } else { " (with fences to take away)" }
        );
        times.push(spent);
        let start = Instant::now();
        stage.live.prove().await.unwrap();
        println!("  proof: {:.1} ms", start.elapsed().as_secs_f64() * 1_000.0);
        let after = stage.live.capture(&[], &[]).await.unwrap().from;
        let start = Instant::now();
        let none = stage.live.changes(&after, crate::reverse::ALL, None).await.unwrap();
        println!("  changes, none: {:.1} ms", start.elapsed().as_secs_f64() * 1_000.0);
        assert!(none.complete);
        let start = Instant::now();
        for _ in 0..20 {
            stage.live.changes(&after, crate::reverse::ALL, None).await.unwrap();
        }
        println!("  and again: {:.1} ms", start.elapsed().as_secs_f64() * 50.0);
        let start = Instant::now();
        let from = stage.ownership().await;
        stage.live.decide(&from, &from.proposed(), &[]).await.unwrap();
        stage.live.fence(LONG).await.unwrap();
        println!("  fence: {:.1} ms", start.elapsed().as_secs_f64() * 1_000.0);
        stage.live.decide(&from.proposed(), &from.proposed().decided(), &[]).await.unwrap();
        let start = Instant::now();
        stage.live.follow().await.unwrap();
        println!("  follow: {:.1} ms", start.elapsed().as_secs_f64() * 1_000.0);
    }
    // The quickest of them: a busy machine takes its time now and then.
    assert!(times.iter().any(|spent| *spent < 1_000.0), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_primary_key_is_gone_is_not_handed_over() {
    let stage = Stage::following().await;
    stage.live.capture(&[], &[]).await.unwrap();
    let from = stage.ownership().await;
    let name = stage
        .ask("SELECT conname FROM pg_constraint WHERE contype = 'p' AND conrelid = 'app.pair'::regclass");
    let drop = format!("ALTER TABLE app.pair DROP CONSTRAINT \"{name}\"");
    stage.database.psql(&drop).unwrap();
    let error = stage.live.decide(&from, &from.proposed(), &[]).await.unwrap_err();
    assert_eq!((error.kind(), &*error.subject().table), (Kind::Refused, "pair"), "{error}");
    let mend = format!("ALTER TABLE \"app\".\"pair\" ADD CONSTRAINT \"{name}\" PRIMARY KEY (\"a\", \"b\")");
    assert!(error.what_to_do().contains(&mend), "{}", error.what_to_do());
    assert_eq!(stage.ownership().await, from);
    assert_eq!(kind(stage.live.as_made().await), Kind::Refused);
    // By its name: a table that is copied again has it dropped and made by that.
    stage.database.psql("ALTER TABLE app.pair ADD CONSTRAINT back PRIMARY KEY (b, a)").unwrap();
    assert_eq!(kind(stage.live.as_made().await), Kind::Refused);
    stage.database.psql("ALTER TABLE app.pair DROP CONSTRAINT back").unwrap();
    stage.database.psql(&mend).unwrap();
    let begun = Instant::now();
    stage.live.as_made().await.unwrap();
    println!("a look at the definitions: {:.1} ms", begun.elapsed().as_secs_f64() * 1_000.0);
    assert!(stage.live.decide(&from, &from.proposed(), &[]).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_that_somebody_enabled_goes_only_where_the_target_owns_the_data() {
    let stage = Stage::owning().await;
    let session = stage.session().await;
    let write = "UPDATE app.loose SET y = y";
    stage.ask("ALTER TABLE loose ENABLE TRIGGER _switchover_fence");
    assert_eq!(run(&session, write).await.as_deref(), Some(REFUSED));
    assert_eq!(stage.live.reopen().await.unwrap(), [stage.at("loose")]);
    assert_eq!(run(&session, write).await, None);
    assert!(stage.live.reopen().await.unwrap().is_empty());
    // A fence that was decided on stays.
    stage.back().await;
    assert!(stage.live.reopen().await.unwrap().is_empty());
    assert_eq!(run(&session, write).await.as_deref(), Some(REFUSED));
}
