//! What `status` says while a live run does not go on, with a server that is really down.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use assert_cmd::cargo::CommandCargoExt;
use engine::{Engine, application, begin, is_held_by, is_same, put_back, take_away, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switchover_testkit::{Cluster, Shutdown};

const START: [&str; 5] = ["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];

/// What is said of a store whose file was moved away.
const GONE: &str = "the file is not there any more";

/// The server's password: nothing may show it.
const SECRET: &str = "s3cret-Word";

#[test]
fn status_says_that_the_server_is_down_and_since_when() {
    let mut cluster = Cluster::builder().password(SECRET).fsync(true).start().unwrap();
    let database = cluster.fresh_database("held").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let url = cluster.tcp().unwrap().url(database.name());
    assert!(url.contains(SECRET), "{url}");
    let engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &url]);
    until(folder, is_same);
    let behind = until(folder, |live| live["lag_entries"] == 0);
    assert!(behind["held_since"].is_null() && behind["lag_s"].is_number(), "{behind:#}");
    cluster.stop(Shutdown::Immediate).unwrap();
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    // What is tried again for the first minute is told at once, not when it is given up.
    let held = until(folder, |live| is_held_by(live, "trying again in"));
    let since = held["held_since"].as_str().unwrap().to_owned();
    for unknown in ["lag_entries", "lag_s", "switch_s"] {
        assert!(held[unknown].is_null(), "{unknown}: {held:#}");
    }
    assert!(!held.to_string().contains(SECRET), "{held:#}");
    let people = flat(&done(folder, &["status"]));
    assert!(people.contains(&format!("held since {since}: ")) && people.contains("lag unknown"), "{people}");
    // The reasons follow each other, and since when it is held stays.
    let again = until(folder, |live| live["held"] != held["held"]);
    assert_eq!(again["held_since"].as_str(), Some(&*since), "{again:#}");
    watched(folder, &since);
    cluster.start().unwrap();
    let on = until(folder, |live| live["held"].is_null() && live["rows_taken"] == 1);
    assert!(on["held_since"].is_null() && on["lag_entries"] == 0, "{on:#}");
    drop(engine);
    cluster.stop(Shutdown::Fast).unwrap();
    taken_up_before_the_server_is_there(folder, &url, || cluster.start().unwrap());
}

/// An operator ends what takes long (SQLSTATE 57014), and the run goes on.
#[test]
fn a_statement_that_an_operator_cancels_is_tried_again() {
    let database = Cluster::shared().unwrap().fresh_database("canceled").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.url()]);
    until(folder, is_same);
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_locks WHERE NOT granted AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())";
    std::thread::scope(|scope| {
        // What the engine waits for, until it is canceled.
        let locked =
            scope.spawn(|| database.psql("BEGIN; LOCK TABLE t; SELECT pg_sleep(6); COMMIT").unwrap());
        wait_for(|| {
            database.psql("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass").unwrap() != "0"
        });
        file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
        wait_for(|| database.psql(cancel).unwrap() != "0");
        let held = until(folder, |live| is_held_by(live, "SQLSTATE 57014"));
        assert!(is_held_by(&held, "trying again in"), "{held:#}");
        locked.join().unwrap();
    });
    let on = until(folder, |live| live["held"].is_null() && live["rows_taken"] == 1);
    assert_eq!(on["lag_entries"], 0, "{on:#}");
    assert!(engine.0.try_wait().unwrap().is_none(), "it ended");
}

/// Who reads a table for long keeps `finish` waiting, and others no more than now and then.
#[test]
fn finish_beside_a_long_reader_leaves_room_for_the_application() {
    let database = Cluster::shared().unwrap().fresh_database("room").unwrap();
    let (folder, _file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.url()]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    std::thread::scope(|scope| {
        let reader =
            scope.spawn(|| database.psql("BEGIN; SELECT * FROM t; SELECT pg_sleep(16); COMMIT").unwrap());
        wait_for(|| {
            database.psql("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass").unwrap() != "0"
        });
        let finish = scope.spawn(|| done(folder, &["finish", "--yes"]));
        let (begun, mut stood) = (Instant::now(), Duration::ZERO);
        while !reader.is_finished() {
            let asked = Instant::now();
            database.psql("UPDATE t SET id = id").unwrap();
            // Without anybody's lock it is some tens of milliseconds.
            stood += asked.elapsed().saturating_sub(Duration::from_millis(500));
            std::thread::sleep(Duration::from_millis(50));
        }
        reader.join().unwrap();
        finish.join().unwrap();
        assert!(stood < begun.elapsed() / 2, "{stood:?} of {:?}", begun.elapsed());
    });
    assert!(engine.0.wait().unwrap().success());
}

/// An engine that is started while the server is down waits for it: the run was there before.
fn taken_up_before_the_server_is_there(folder: &Path, url: &str, bring_back: impl FnOnce()) {
    let mut command = Command::cargo_bin("switchover").unwrap();
    // The journal keeps no password.
    command.args(["resume", "--to", url]).current_dir(folder).stdin(Stdio::null());
    let mut engine = Engine(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(engine.0.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("trying again")), "it ended");
    let id = engine.0.id();
    // It has looked at nothing, whatever the one before it had found.
    let live = until(folder, |_| true);
    assert!(live["pid"] == id && live["phase"] == "entering", "{live:#}");
    assert!(live["lag_entries"].is_null() && live["lag_s"].is_null() && !is_same(&live), "{live:#}");
    assert!(live["rows_copied"] == 2 && live["ownership"]["owner"] == "source", "{live:#}");
    let people = flat(&done(folder, &["status"]));
    let known = ["lag not looked at since the run was taken up", "equal not looked at since"];
    assert!(known.iter().all(|words| people.contains(words)), "{people}");
    bring_back();
    // Nobody writes into a pipe that is closed.
    let reading = std::thread::spawn(move || lines.for_each(drop));
    until(folder, |live| live["pid"] == id && is_same(live));
    drop(engine);
    reading.join().unwrap();
}

/// `status --watch` says it too, in both forms, and ends with Ctrl-C without advice for a run that goes on without it.
fn watched(folder: &Path, since: &str) {
    for json in [false, true] {
        let mut command = Command::cargo_bin("switchover").unwrap();
        command.args(["status", "--watch"]).args(json.then_some("--json")).current_dir(folder);
        let mut watching = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
        let wanted = |line: &String| line.contains("held") && line.contains(since);
        assert!(lines.any(|line| wanted(&line.unwrap())), "it ended before it said so");
        let id = watching.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let ended = watching.wait_with_output().unwrap();
        let advice = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success() && advice.is_empty(), "{:?}: {advice}", ended.status);
    }
}

#[test]
fn a_cutover_says_that_it_waits_for_a_paused_run() {
    let (folder, _file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    done(folder, &["pause"]);
    let mut command = Command::cargo_bin("switchover").unwrap();
    command.args(["cutover", "--when-ready"]).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let mut asking = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(asking.stderr.take().unwrap()).lines();
    let said = lines.next().expect("a line").unwrap();
    assert!(said.starts_with("waiting: the run is paused") && said.contains("switchover resume"), "{said}");
    // Another one takes its place, and the engine has not ended for that.
    until(folder, |live| live["waiting"] == true);
    let mut again = begin(folder, &["cutover", "--when-ready", "--write-budget", "20s"]);
    let said = flat(&lines.map(Result::unwrap).collect::<Vec<_>>().join(" "));
    assert!(said.contains("took the place of this one"), "{said}");
    assert_eq!(asking.wait().unwrap().code(), Some(1));
    done(folder, &["resume"]);
    assert!(again.0.wait().unwrap().success());
}

/// The application still has the target open, which is to go with the run.
#[test]
fn a_verb_says_what_the_engine_waits_for() {
    let (folder, file) = application();
    let folder = folder.path();
    drop(file);
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    let open = rusqlite::Connection::open(folder.join("new.db")).unwrap();
    open.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut command = Command::cargo_bin("switchover").unwrap();
    command.arg("rollback").current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let mut asking = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(asking.stderr.take().unwrap()).lines();
    let said = lines.next().expect("a line").unwrap();
    assert!(said.starts_with("waiting: ") && said.contains("another program has the file open"), "{said}");
    drop(open);
    assert!(asking.wait().unwrap().success());
    assert!(engine.0.wait().unwrap().success());
    assert!(!folder.join("new.db").exists());
}

#[test]
fn a_source_that_goes_away_right_behind_the_cutover_holds_the_run_until_it_is_back() {
    let (folder, file) = application();
    let folder = folder.path();
    // The engine has not looked at it as the follower yet.
    let config = "[cutover.hooks]\nat = ['test \"$SWITCHOVER_OWNER\" = source || mv app.db* away/']\n";
    std::fs::write(folder.join("switchover.toml"), config).unwrap();
    std::fs::create_dir(folder.join("away")).unwrap();
    let engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let held = until(folder, |live| is_held_by(live, GONE));
    assert!(held["pid"] == engine.0.id() && held["phase"] == "reverse", "{held:#}");
    let new = rusqlite::Connection::open(folder.join("new.db")).unwrap();
    new.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    put_back(&folder.join("away/app.db"), &folder.join("app.db"));
    let rows = || file.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    wait_for(|| rows() == 3);
    until(folder, |live| live["pid"] == engine.0.id() && live["held"].is_null() && live["lag_entries"] == 0);
    done(folder, &["rollback"]);
    file.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
}

/// What an engine at work bears holds one that is taken up as well.
#[test]
fn an_engine_that_is_taken_up_in_the_reverse_window_waits_for_the_source() {
    let (folder, file) = application();
    let folder = folder.path();
    let engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    drop(engine);
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let engine = begin(folder, &["resume"]);
    let held = until(folder, |live| live["pid"] == engine.0.id() && is_held_by(live, "locked"));
    assert_eq!(held["ownership"]["owner"], "target", "{held:#}");
    file.execute_batch("COMMIT").unwrap();
    until(folder, |live| live["pid"] == engine.0.id() && live["held"].is_null() && live["lag_entries"] == 0);
    done(folder, &["rollback"]);
}

#[test]
fn a_follower_that_goes_away_is_noticed_while_nobody_writes() {
    let (folder, _file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    let away = |name: &str| {
        let (file, elsewhere) = (folder.join(name), folder.join(format!("away-{name}")));
        take_away(&file, &elsewhere);
        until(folder, |live| is_held_by(live, GONE) && is_held_by(live, name));
        put_back(&elsewhere, &file);
        until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
    };
    away("new.db");
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    away("app.db");
    done(folder, &["rollback"]);
}

/// A run that is cut over and whose server goes down before the engine asks it again who owns the data; gives the engine.
fn down_behind_the_cutover(folder: &Path, cluster: &mut Cluster, start: &[&str]) -> Engine {
    let wait = "touch told; while [ ! -e down ]; do sleep 0.05; done";
    let config = format!("[cutover.hooks]\nat = ['test \"$SWITCHOVER_OWNER\" = source || {{ {wait}; }}']\n");
    std::fs::write(folder.join("switchover.toml"), config).unwrap();
    let engine = begin(folder, start);
    until(folder, is_same);
    let mut asking = begin(folder, &["cutover"]);
    wait_for(|| folder.join("told").exists());
    cluster.stop(Shutdown::Immediate).unwrap();
    std::fs::write(folder.join("down"), "").unwrap();
    assert!(asking.0.wait().unwrap().success());
    engine
}

#[test]
fn a_server_that_goes_down_right_behind_the_cutover_holds_the_run_until_it_is_back() {
    let mut cluster = Cluster::builder().tcp().fsync(true).start().unwrap();
    let database = cluster.fresh_database("behind").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let url = cluster.tcp().unwrap().url(database.name());
    let start = ["start", "--from", "sqlite:app.db", "--to", &url, "--max-retries", "2"];
    let engine = down_behind_the_cutover(folder, &mut cluster, &start);
    // Behind the last try.
    let held = until(folder, |live| live["held"].is_string() && !is_held_by(live, "trying again"));
    assert!(held["pid"] == engine.0.id() && held["phase"] == "reverse", "{held:#}");
    let refused = run(folder, &["rollback"]);
    let said = flat(&refused.err);
    assert!(refused.code == 1 && said.contains("the run goes on by itself then"), "{said}");
    cluster.start().unwrap();
    database.psql("INSERT INTO t VALUES (3, 'three')").unwrap();
    let rows = || file.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    wait_for(|| rows() == 3);
    until(folder, |live| live["pid"] == engine.0.id() && live["held"].is_null() && live["lag_entries"] == 0);
    done(folder, &["rollback"]);
    file.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
}

/// Who asks an engine to stop while it waits for its server stops it: the run did not fail, and goes on with the next.
#[test]
fn an_engine_that_is_stopped_while_it_waits_for_the_server_did_not_fail() {
    let mut cluster = Cluster::builder().tcp().fsync(true).start().unwrap();
    let database = cluster.fresh_database("stopped").unwrap();
    let (folder, _file) = application();
    let folder = folder.path();
    let url = cluster.tcp().unwrap().url(database.name());
    let start = ["start", "--from", "sqlite:app.db", "--to", &url];
    let mut engine = down_behind_the_cutover(folder, &mut cluster, &start);
    until(folder, |live| is_held_by(live, "trying again"));
    assert!(Command::new("kill").args(["-TERM", &engine.0.id().to_string()]).status().unwrap().success());
    assert!(engine.0.wait().unwrap().success());
    let ended = until(folder, |live| live["phase"] == "ended");
    assert!(ended["held"].is_null(), "{ended:#}");
    cluster.start().unwrap();
    let engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && live["phase"] == "reverse");
}

#[test]
fn an_engine_that_is_taken_up_beside_a_server_that_is_down_says_what_it_waits_for() {
    let mut cluster = Cluster::builder().tcp().start().unwrap();
    let database = cluster.fresh_database("waits").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let url = cluster.tcp().unwrap().url(database.name());
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &url]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    cluster.stop(Shutdown::Fast).unwrap();
    let engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && is_held_by(live, "nothing listens"));
    cluster.start().unwrap();
    database.psql("INSERT INTO t VALUES (3, 'three')").unwrap();
    let rows = || file.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    wait_for(|| rows() == 3);
    until(folder, |live| live["pid"] == engine.0.id() && live["held"].is_null());
}

#[test]
fn indexes_and_keys_of_a_live_run_are_one_phase() {
    let (folder, file) = application();
    let folder = folder.path();
    file.execute_batch("CREATE UNIQUE INDEX t_x ON t (x)").unwrap();
    let _engine = begin(folder, &[&START[..], &["--log-file", "run.log"]].concat());
    until(folder, is_same);
    let log = std::fs::read_to_string(folder.join("run.log")).unwrap();
    for said in ["indexes and keys: begins", "indexes and keys: done in"] {
        assert_eq!(log.matches(said).count(), 1, "{log}");
    }
}

/// Gives a file, which nobody has open, another journal.
#[track_caller]
fn given_journal(file: &Path, mode: &str) {
    let file = Connection::open(file).unwrap();
    let sql = format!("PRAGMA journal_mode = {mode}");
    let found: String = file.query_row(&sql, [], |row| row.get(0)).unwrap();
    assert_eq!(found, mode);
}

/// `start` refuses such a source, too.
#[test]
fn a_store_whose_journal_was_changed_is_not_taken_up_before_that_is_undone() {
    let (folder, file) = application();
    let folder = folder.path();
    drop(file);
    let refused = |name: &str| {
        given_journal(&folder.join(name), "delete");
        let ran = run(folder, &["resume"]);
        let said = flat(&ran.err);
        assert!(ran.code == 1 && said.contains("its journal mode is delete"), "{name}: {}{said}", ran.out);
        assert!(said.contains(name) && said.contains("`PRAGMA journal_mode = WAL`"), "{name}: {said}");
    };
    let taken_up = |name: &str, phase: &str| {
        given_journal(&folder.join(name), "wal");
        let engine = begin(folder, &["resume"]);
        let id = engine.0.id();
        until(folder, |live| live["pid"] == id && live["phase"] == phase && live["lag_entries"] == 0);
        engine
    };
    let engine = begin(folder, &START);
    until(folder, is_same);
    drop(engine);
    refused("app.db");
    let before = std::fs::read(folder.join("app.db")).unwrap();
    refused("app.db");
    assert!(std::fs::read(folder.join("app.db")).unwrap() == before, "the source was written to");
    let engine = taken_up("app.db", "following");
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["phase"] == "reverse");
    drop(engine);
    for name in ["app.db", "new.db"] {
        refused(name);
        drop(taken_up(name, "reverse"));
    }
}
