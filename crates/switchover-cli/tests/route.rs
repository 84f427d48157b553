//! `switchover route` and `switchover reads`, as users and programs meet them.
#![expect(clippy::unwrap_used, reason = "tests")]

use assert_cmd::Command;
use std::path::Path;
use switchover::core::live::Ownership;
use switchover::routing::route::{self, Follower, Route};
use tempfile::TempDir;

fn run(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("switchover").unwrap();
    let output = command.env_clear().current_dir(folder.path()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn publish(path: &Path, ownership: Ownership, follower: Follower) {
    route::publish(path, "run-1", ("sqlite:app.db", "postgres://h/app"), ownership, follower).unwrap();
}

#[test]
fn reads_move_and_come_back_and_writes_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = route::default_path(&folder.path().join(".switchover"));
    publish(&path, Ownership::FIRST, Follower::Ready);
    for (share, percent) in [("10%", 10), ("100", 100), ("50 %", 50), ("0%", 0)] {
        let (code, out, err) = run(&folder, &["reads", share, "--json"]);
        assert_eq!(code, 0, "{err}");
        let printed: Route = serde_json::from_str(&out).unwrap();
        assert_eq!(printed.reads_at_target, percent);
        assert_eq!((printed.owner, printed.epoch), (switchover::core::live::Side::Source, 1));
        let (code, out, _) = run(&folder, &["route", "--json"]);
        assert_eq!((code, serde_json::from_str::<Route>(&out).unwrap()), (0, printed));
    }
    let (code, out, _) = run(&folder, &["route"]);
    assert!(code == 0 && out.contains("reads   all at the source (sqlite:app.db)"), "{out}");
}

#[test]
fn reads_of_a_run_that_is_over_stay_at_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = route::default_path(&folder.path().join(".switchover"));
    publish(&path, Ownership::FIRST, Follower::Ready);
    assert_eq!(run(&folder, &["reads", "50%"]).0, 0);
    route::end(&path, "run-1", switchover::core::live::Side::Source).unwrap();
    let before = std::fs::read(&path).unwrap();
    for share in ["0%", "50%", "100%"] {
        let (code, out, err) = run(&folder, &["reads", share]);
        let said = err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 2 && out.is_empty() && said.contains("the live run is over"), "{share}: {err}");
        assert!(said.contains("read at the source"), "{share}: {err}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let (code, out, _) = run(&folder, &["route"]);
    assert!(code == 0 && out.contains("target  no longer follows the owner"), "{out}");
    assert!(out.contains("reads   all at the source (sqlite:app.db)"), "{out}");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&folder, &["route"]);
    assert!(code == 2 && err.contains("no live run has written one"), "{err}");
    let (code, _, _) = run(&folder, &["reads", "10%", "--state-dir", "typo"]);
    assert!(code == 2 && !folder.path().join("typo").exists());
    let path = folder.path().join("r.json");
    publish(&path, Ownership::FIRST, Follower::Filling);
    let before = std::fs::read(&path).unwrap();
    for (share, said) in [
        ("101%", "'101%' is no share of reads"),
        ("1.5%", "is no share"),
        ("-1", "unexpected argument"),
        ("ten", "is no share"),
        ("10%", "the target has not got every row yet"),
    ] {
        let (code, out, err) = run(&folder, &["reads", share, "--route", "r.json"]);
        assert!(code == 2 && out.is_empty() && err.contains(said), "{share}: {err}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
