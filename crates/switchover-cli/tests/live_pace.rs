//! What a live run says of its copy, and how it holds itself back for an application that labours: with real locks, and a
//! real reader of the write-ahead log.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{Engine, begin, begun, is_same, until, wait_for};
use program::{done, flat};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// Rows of the table, of a kilobyte each, and of a chunk.
const ROWS: u64 = 4_000;
const CHUNK: u64 = 50;

/// A file whose copy takes as long as a test lets it.
struct Scene {
    folder: TempDir,
    file: Connection,
    engine: Engine,
}

impl Scene {
    /// A run that copies so many rows a second, and no more.
    fn copying(rows_per_s: u64) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let file = Connection::open(folder.path().join("app.db")).unwrap();
        file.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); CREATE TABLE w (x BLOB)")
            .unwrap();
        let rows = format!(
            "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
             SELECT i, printf('%.1000c', 'x') FROM n"
        );
        file.execute_batch(&rows).unwrap();
        let mut start = Command::new(env!("CARGO_BIN_EXE_switchover"));
        start.args([
            "start",
            "--from",
            "sqlite:app.db",
            "--to",
            "sqlite:new.db",
            "--exclude",
            "w",
            "--jobs",
            "1",
        ]);
        start.current_dir(folder.path()).env("SWITCHOVER_BATCH_SIZE", CHUNK.to_string());
        // The limit is set before the first chunk, also on a busy machine.
        start.env("FAILPOINTS", "live-captured=sleep(3000)");
        let engine = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let engine = Engine(engine);
        let path = folder.path();
        wait_for(|| begun(path).is_some_and(|run| run.join("engine.sock").exists()));
        done(path, &["throttle", &format!("rows_per_s={rows_per_s}")]);
        Scene { folder, file, engine }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Chunks that the target has.
fn chunks(folder: &Path) -> i64 {
    let target = Connection::open(folder.join("new.db")).unwrap();
    target.query_row("SELECT count(*) FROM _switchover_checkpoint", [], |row| row.get(0)).unwrap()
}

#[test]
fn reads_end_when_their_time_is_over_and_the_longest_is_told() {
    for (bounded, at_least) in [(false, 1), (true, 300)] {
        let folder = tempfile::tempdir().unwrap();
        let file = Connection::open(folder.path().join("app.db")).unwrap();
        file.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
            .unwrap();
        let rows = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i, 'x' FROM n";
        file.execute_batch(rows).unwrap();
        let mut start = Command::new(env!("CARGO_BIN_EXE_switchover"));
        start.args(["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]).current_dir(folder.path());
        if bounded {
            start.env("FAILPOINTS", "live-read-max-ms=return(0)");
        }
        let engine = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let _engine = Engine(engine);
        let live = until(folder.path(), is_same);
        // Each chunk is one row then, the proof's too; without that they are all in one, or in some where the machine is slow.
        let found = chunks(folder.path());
        assert!(found >= at_least && (bounded || found < 100), "{bounded}: {found}");
        assert!(live["read_ms_max"].as_f64() > Some(0.0), "{live:#}");
        assert_eq!(live["verification"]["rows"], 300);
        file.execute_batch("UPDATE t SET x = 'y' WHERE id <= 50").unwrap();
        until(folder.path(), |live| live["rows_taken"] == 50 && live["lag_entries"] == 0);
    }
}

/// What holds the run back for this cause, if it does.
fn slowed<'a>(live: &'a serde_json::Value, cause: &str) -> Option<&'a serde_json::Value> {
    live["slowed"].as_array()?.iter().find(|slowed| slowed["cause"] == cause)
}

#[test]
fn the_copy_says_rows_bytes_and_an_estimate_of_what_is_left() {
    let mut scene = Scene::copying(500);
    let folder = scene.path().to_owned();
    let live = until(&folder, |live| live["phase"] == "copying" && live["copy_left_s"].is_number());
    let number = |live: &serde_json::Value, name: &str| live[name].as_f64().unwrap();
    let (rows, bytes) = (number(&live, "rows_copied"), number(&live, "bytes_copied"));
    let (all, all_bytes) = (number(&live, "rows_planned"), number(&live, "bytes_planned"));
    assert!(all == ROWS as f64 && rows >= CHUNK as f64 && rows < all, "{live:#}");
    assert!((bytes / all_bytes - rows / all).abs() < 0.01 && bytes > 1_000.0 * rows, "{live:#}");
    let (left, expected) = (number(&live, "copy_left_s"), (all - rows) / 500.0);
    // It copies no faster than it may; a busy machine copies slower.
    assert!(left > expected / 3.0 && left < expected * 10.0, "{left} s for {expected} s: {live:#}");
    let people = flat(&done(&folder, &["status"]));
    assert!(people.contains("estimated from the rate so far"), "{people}");
    assert!(people.contains("of 4,000 rows, ") && people.contains(" of 4.0 MB"), "{people}");
    // Nobody knows how long a pause is.
    done(&folder, &["pause"]);
    let resting = until(&folder, |live| live["paused"] == true && live["copy_left_s"].is_null());
    assert_eq!(resting["phase"], "copying");
    assert!(flat(&done(&folder, &["status"])).contains("left unknown while it is paused"));
    // What another process copied counts.
    scene.engine.0.kill().unwrap();
    scene.engine.0.wait().unwrap();
    let before = number(&until(&folder, |live| live["lag_s"].is_null()), "rows_copied");
    scene.engine = begin(&folder, &["resume"]);
    let id = scene.engine.0.id();
    let live = until(&folder, |live| live["pid"] == id && is_same(live));
    assert!(number(&live, "rows_copied") == all && before >= rows, "{live:#}");
    assert!(number(&live, "bytes_copied") == all_bytes && live["copy_left_s"].is_null(), "{live:#}");
}

#[test]
fn a_writer_that_holds_the_lock_and_slow_commits_hold_the_copy_back() {
    let scene = Scene::copying(100);
    let folder = scene.path();
    let live = until(folder, |live| live["phase"] == "copying" && live["rows_copied"].as_u64() > Some(0));
    assert!(live["slowed"].is_null(), "{live:#}");
    scene.file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let live =
        until(folder, |live| slowed(live, "busy").is_some_and(|busy| busy["wait_ms"].as_u64() >= Some(50)));
    assert_eq!(live["phase"], "copying");
    let people = flat(&done(folder, &["status"]));
    assert!(people.contains("slowed writers kept the engine from writing"), "{people}");
    // What it waited in vain is more than that, too.
    done(folder, &["throttle", "rows_per_s=100", "commit_ms_max=20"]);
    until(folder, |live| live["phase"] == "copying" && slowed(live, "commit").is_some());
    scene.file.execute_batch("COMMIT").unwrap();
    let live = until(folder, |live| live["slowed"].is_null());
    assert_eq!(live["phase"], "copying");
    done(folder, &["throttle", "rows_per_s=100000"]);
    until(folder, is_same);
}

#[test]
fn a_reader_that_keeps_the_log_from_being_folded_back_holds_the_copy_back() {
    let scene = Scene::copying(100);
    let folder = scene.path().to_owned();
    until(&folder, |live| live["phase"] == "copying" && live["rows_copied"].as_u64() > Some(0));
    let reader = Connection::open(folder.join("app.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let (writes, path) = (Arc::clone(&over), folder.join("app.db"));
    let writer = std::thread::spawn(move || {
        let file = Connection::open(path).unwrap();
        file.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        while !writes.load(Ordering::Relaxed) {
            file.execute_batch("DELETE FROM w; INSERT INTO w VALUES (zeroblob(2000000))").unwrap();
        }
    });
    let live = until(&folder, |live| slowed(live, "wal").is_some());
    assert!(
        live["phase"] == "copying" && live["pressure"]["wal_bytes"].as_u64() > Some(48 << 20),
        "{live:#}"
    );
    // It is said when a look found that it grows; between two of the writer's commits it does not.
    wait_for(|| flat(&done(&folder, &["status"])).contains("write-ahead log has"));
    // With the reader gone it is folded back, and begins anew: it is as large as before, and grows no more.
    reader.execute_batch("COMMIT").unwrap();
    let live = until(&folder, |live| live["slowed"].is_null());
    assert!(live["pressure"]["wal_bytes"].as_u64() > Some(48 << 20), "{live:#}");
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    done(&folder, &["throttle", "rows_per_s=100000"]);
    until(&folder, is_same);
}

#[test]
fn a_writer_that_holds_the_lock_holds_the_following_back_and_what_was_left_is_forgotten_later() {
    let scene = Scene::copying(100_000);
    let folder = scene.path();
    until(folder, is_same);
    done(folder, &["pause"]);
    scene
        .file
        .execute_batch("INSERT INTO t VALUES (5001, 'a'), (5002, 'b'), (5003, 'c'); BEGIN IMMEDIATE")
        .unwrap();
    done(folder, &["resume"]);
    let live =
        until(folder, |live| slowed(live, "busy").is_some_and(|busy| busy["wait_ms"].as_u64() >= Some(100)));
    // The lock keeps nothing from being taken.
    assert!(live["rows_taken"] == 3 && live["lag_entries"] == 0, "{live:#}");
    let logged = "SELECT count(*) FROM _switchover_changes";
    assert_eq!(scene.file.query_row(logged, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    scene.file.execute_batch("COMMIT").unwrap();
    until(folder, |live| live["slowed"].is_null());
    assert_eq!(scene.file.query_row(logged, [], |row| row.get::<_, i64>(0)).unwrap(), 1, "but the newest");
}

#[test]
fn changes_that_come_faster_than_they_are_taken_put_the_comparison_off() {
    let scene = Scene::copying(100_000);
    let folder = scene.path();
    until(folder, is_same);
    // Fewer than are written below, however long each status takes.
    done(folder, &["throttle", "rows_per_s=1000"]);
    let next = std::cell::Cell::new(10_000);
    let live = until(folder, |live| {
        let from = next.replace(next.get() + 1_000);
        let rows = format!(
            "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i + {from}, 'x' FROM n"
        );
        scene.file.execute_batch(&rows).unwrap();
        slowed(live, "log").is_some()
    });
    assert!(live["lag_entries"].as_u64() >= Some(2_000), "{live:#}");
    done(folder, &["throttle", "rows_per_s=1000000"]);
    until(folder, |live| live["lag_entries"] == 0 && live["slowed"].is_null() && is_same(live));
}
