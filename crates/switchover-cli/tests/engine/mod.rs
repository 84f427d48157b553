//! An application's file and an engine that works on it, as tests of live runs need them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "tests; each file uses a part of it"
)]

use assert_cmd::cargo::CommandCargoExt;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No stage takes so long.
const LIMIT: Duration = Duration::from_secs(120);

/// An engine that is at work; its end is the test's.
pub(crate) struct Engine(pub(crate) Child);

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Begins a verb, and leaves it to itself.
pub(crate) fn begin(folder: &Path, arguments: &[&str]) -> Engine {
    let mut command = Command::cargo_bin("switchover").unwrap();
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Engine(command.spawn().unwrap())
}

/// Waits until `status` says so; gives what it says then.
#[track_caller]
pub(crate) fn until(folder: &Path, reached: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let runs = crate::program::done(folder, &["status", "--json"]);
        let mut runs: serde_json::Value = serde_json::from_str(&runs).unwrap();
        if reached(&runs[0]["live"]) {
            return runs[0]["live"].take();
        }
        assert!(begun.elapsed() < LIMIT, "{runs:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether all rows are compared, and were equal.
pub(crate) fn is_same(live: &serde_json::Value) -> bool {
    live["verification"]["verdict"] == "same"
}

/// Whether it is held by something that says so.
pub(crate) fn is_held_by(live: &serde_json::Value, why: &str) -> bool {
    live["held"].as_str().is_some_and(|held| held.contains(why))
}

/// A folder with an application's file, which is open.
pub(crate) fn application() -> (TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let file = Connection::open(folder.path().join("app.db")).unwrap();
    file.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)").unwrap();
    file.execute_batch("INSERT INTO t VALUES (1, 'one'), (2, 'two')").unwrap();
    (folder, file)
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait_for(reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < LIMIT, "it never was so");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The folder of the only run.
#[track_caller]
pub(crate) fn run_folder(folder: &Path) -> PathBuf {
    begun(folder).expect("a run")
}

/// The same, once the run has one: its parent is there before.
pub(crate) fn begun(folder: &Path) -> Option<PathBuf> {
    let mut runs = std::fs::read_dir(folder.join(".switchover/runs")).ok()?;
    Some(runs.next()?.unwrap().path())
}

/// The route says that nothing follows this owner any more, and reads stay there.
#[track_caller]
pub(crate) fn route_is_over(folder: &Path, owner: &str) {
    let read = || -> serde_json::Value {
        serde_json::from_str(&crate::program::done(folder, &["route", "--json"])).unwrap()
    };
    let route = read();
    let at_target = if owner == "target" { 100 } else { 0 };
    assert!(route["owner"] == owner && route["writes"] == "open", "{route:#}");
    assert!(route["follower"] == "lost" && route["reads_at_target"] == at_target, "{route:#}");
    for share in ["0%", "100%"] {
        let refused = crate::program::run(folder, &["reads", share]);
        let said = crate::program::flat(&refused.err);
        assert!(refused.code == 2 && said.contains("the live run is over"), "{share}: {said}");
    }
    assert_eq!(read(), route);
}

/// Sends a process a signal.
pub(crate) fn signalled(id: u32, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, &id.to_string()]).status().unwrap().success());
}

/// A SQLite file that is open, by the ends of its names.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

fn rename_part(file: &Path, to: &Path, part: &str) {
    let named = |file: &Path| PathBuf::from(format!("{}{part}", file.display()));
    if named(file).exists() {
        std::fs::rename(named(file), named(to)).unwrap();
    }
}

/// Takes a SQLite file away, itself first.
pub(crate) fn take_away(file: &Path, to: &Path) {
    PARTS.iter().for_each(|part| rename_part(file, to, part));
}

/// Puts it back, itself last: whoever finds it finds its log.
pub(crate) fn put_back(from: &Path, file: &Path) {
    PARTS.iter().rev().for_each(|part| rename_part(from, file, part));
}
