//! A target that owns the data, and on which somebody switches the run's triggers on: it goes on taking writes, and where the way back is
//! lost, that is said with the way out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod client;
mod engine;
mod program;

use client::Client;
use engine::{Engine, application, is_held_by, is_same, until, wait_for};
use program::{done, flat, run};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switchover_testkit::Cluster;

/// For so long a fence that somebody switches on may keep writes out: a second or two, and what it takes to ask.
const SHUT_MAX: Duration = Duration::from_secs(3);

#[test]
fn triggers_that_somebody_switches_on_do_not_keep_writes_from_the_owner() {
    let database = Cluster::shared().unwrap().fresh_database("shut").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let mut start = Command::new(env!("CARGO_BIN_EXE_switchover"));
    start.args(["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]).current_dir(folder);
    start.stdin(Stdio::null()).stdout(Stdio::null());
    start.stderr(std::fs::File::create(folder.join("said")).unwrap());
    let mut engine = Engine(start.spawn().unwrap());
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    // What the application reads says what it is: here the engine cannot see it.
    let mut client = Client::of(&database);
    assert_eq!(client.says("BEGIN; ALTER TABLE t ENABLE TRIGGER _switchover_fence"), "");
    let refused = client.says("INSERT INTO t VALUES (3, 'refused')");
    assert!(refused.contains("25006") && refused.contains("somebody switched this trigger on"), "{refused}");
    assert_eq!(client.says("ROLLBACK"), "");
    // The fence alone is in nobody's way but the application's.
    database.psql("ALTER TABLE t ENABLE TRIGGER _switchover_fence").unwrap();
    wait_for(|| database.psql("INSERT INTO t VALUES (3, 'three')").is_ok());
    let rows = || file.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    wait_for(|| rows() == 3);
    wait_for(|| {
        flat(&std::fs::read_to_string(folder.join("said")).unwrap()).contains("it was switched off again")
    });
    until(folder, |live| live["held"].is_null() && live["alarm"].is_null());
    // All of them: whether the capture was off meanwhile, nobody can tell.
    database.psql("ALTER TABLE t ENABLE TRIGGER ALL").unwrap();
    wait_for(|| database.psql("INSERT INTO t VALUES (4, 'four')").is_ok());
    until(folder, |live| is_held_by(live, "switchover finish --abandon-source"));
    // Held, it looks as often as elsewhere. Each time but the first the fence comes right behind a look.
    for _ in 0..4 {
        database.psql("ALTER TABLE t ENABLE TRIGGER _switchover_fence").unwrap();
        let begun = Instant::now();
        wait_for(|| database.psql("BEGIN; INSERT INTO t VALUES (5, 'undone'); ROLLBACK").is_ok());
        assert!(begun.elapsed() < SHUT_MAX, "{:?}", begun.elapsed());
    }
    for verb in [&["rollback"][..], &["finish", "--yes"]] {
        let refused = run(folder, verb);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("finish --abandon-source"), "{verb:?}: {said}");
    }
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    done(folder, &["finish", "--abandon-source", "--yes"]);
    database.psql("INSERT INTO t VALUES (5, 'five')").unwrap();
    assert_eq!(database.psql("SELECT count(*) FROM t").unwrap(), "5");
    assert_eq!(rows(), 3);
}
