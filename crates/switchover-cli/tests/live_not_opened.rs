//! A change of the owner that is given up where its owner cannot be opened again: that nobody can write is said, and it is open as soon as it
//! can be, by the same engine.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod disk;
mod engine;
mod program;

use disk::Disk;
use engine::{Engine, application, is_held_by, is_same, put_back, take_away, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};

/// Of a size for which neither store has room in what its log has taken of the disk already.
const LARGE: &str = "INSERT INTO t VALUES (3, hex(zeroblob(500000)))";

/// What is asked for, and where it stands still.
struct Case {
    verb: &'static str,
    place: &'static str,
    /// Whether something waits to be taken when the owner is fenced.
    waits: bool,
}

/// An engine that stands still at a place.
fn begin_at(folder: &Path, words: &[&str], place: &str) -> Engine {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchover"));
    command.args(words).current_dir(folder).env("FAILPOINTS", place);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Engine(command.spawn().unwrap())
}

/// Whether the application could write there now; nothing of it stays.
fn takes(file: &Connection) -> bool {
    let taken = file.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (9, 'tried')").is_ok();
    let _ = file.execute_batch("ROLLBACK");
    taken
}

#[test]
fn an_owner_that_a_full_disk_keeps_shut_is_opened_as_soon_as_there_is_room() {
    let cases = [
        // The follower has no room for what it is to take.
        Case { verb: "cutover", place: "switch-fenced=sleep(3000)", waits: true },
        // Nor the target for the decision, and for taking the proposal back.
        Case { verb: "cutover", place: "switch-drained=sleep(3000)", waits: false },
        Case { verb: "rollback", place: "switch-fenced=1*off->sleep(3000)", waits: true },
    ];
    for case in cases {
        println!("{} {}", case.verb, case.place);
        let (folder, _other) = application();
        let folder = folder.path();
        std::fs::create_dir(folder.join("small")).unwrap();
        let Some(disk) = Disk::mount(&folder.join("small"), 16384) else { return };
        let config = "[cutover.hooks]\nbefore = ['touch ready; until test -e go; do sleep 0.01; done']\n";
        std::fs::write(folder.join("switchover.toml"), config).unwrap();
        std::fs::write(folder.join("go"), "").unwrap();
        let source = Connection::open(folder.join("small/app.db")).unwrap();
        let made = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'one')";
        source.execute_batch(made).unwrap();
        let start = ["start", "--from", "sqlite:small/app.db", "--to", "sqlite:small/new.db"];
        let engine = begin_at(folder, &start, case.place);
        until(folder, is_same);
        let target = Connection::open(folder.join("small/new.db")).unwrap();
        let (owner, name) = match case.verb {
            "cutover" => (&source, "source"),
            _ => {
                done(folder, &["cutover"]);
                until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
                (&target, "target")
            }
        };
        if !case.waits {
            owner.execute_batch(LARGE).unwrap();
            let rows = || target.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
            wait_for(|| rows() == 2);
            until(folder, is_same);
        }
        for name in ["go", "ready"] {
            let _ = std::fs::remove_file(folder.join(name));
        }
        let ballast = std::thread::scope(|scope| {
            let asked = scope.spawn(|| run(folder, &[case.verb, "--write-budget", "20s"]));
            // From here on nothing is taken until the owner is fenced.
            wait_for(|| folder.join("ready").exists());
            if case.waits {
                owner.execute_batch(LARGE).unwrap();
            }
            std::fs::write(folder.join("go"), "").unwrap();
            wait_for(|| !takes(owner));
            let ballast = disk.fill();
            let asked = asked.join().unwrap();
            let said = flat(&asked.err);
            assert!(asked.code == 2 && said.contains("nobody can write"), "{} {said}", asked.code);
            assert!(said.contains("the disk is full"), "{said}");
            ballast
        });
        let held = until(folder, |live| is_held_by(live, "nobody can write"));
        assert!(held["pid"] == engine.0.id() && held["ownership"]["owner"] == name, "{held:#}");
        assert!(!takes(owner), "{held:#}");
        std::fs::remove_file(ballast).unwrap();
        wait_for(|| takes(owner));
        let live = until(folder, |live| {
            live["held"].is_null()
                && (is_same(live) || live["phase"] == "reverse" && live["lag_entries"] == 0)
        });
        assert!(live["pid"] == engine.0.id() && live["ownership"]["owner"] == name, "{live:#}");
        let route: serde_json::Value = serde_json::from_str(&done(folder, &["route", "--json"])).unwrap();
        assert!(route["owner"] == name && route["writes"] == "open", "{route:#}");
        done(folder, &[case.verb, "--when-ready", "--write-budget", "20s"]);
        let rows = "SELECT count(*), max(length(x)) FROM t";
        let rows =
            |file: &Connection| file.query_row(rows, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!((rows(&source), rows(&target)), ((2, 1_000_000), (2, 1_000_000)));
    }
}

/// What only the target had could not be given up, and the source that was shut for that owned the data before.
#[test]
fn a_source_that_goes_away_when_a_target_cannot_be_given_up_is_opened_when_it_is_back() {
    let (folder, file) = application();
    let folder = folder.path();
    let start = ["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];
    let engine = begin_at(folder, &start, "live-position-given-up=1*sleep(3000)");
    until(folder, is_same);
    let mut target = Connection::open(folder.join("new.db")).unwrap();
    let older = folder.join("older.db");
    target.backup("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
    done(folder, &["cutover"]);
    done(folder, &["rollback", "--when-ready"]);
    until(folder, is_same);
    target.restore("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
    until(folder, |live| is_held_by(live, "the target was set back"));
    assert!(takes(&file));
    let stores = ["app", "new"]
        .map(|name| (folder.join(format!("{name}.db")), folder.join(format!("away-{name}.db"))));
    let refused = std::thread::scope(|scope| {
        let asked = scope.spawn(|| run(folder, &["rollback", "--discard-target-changes"]));
        wait_for(|| !takes(&file));
        stores.iter().for_each(|(store, away)| take_away(store, away));
        asked.join().unwrap()
    });
    assert!(refused.code != 0, "{}", refused.out);
    let held = until(folder, |live| is_held_by(live, "nobody can write"));
    assert!(held["pid"] == engine.0.id() && is_held_by(&held, "the target was set back"), "{held:#}");
    let [(source, away), (new, away_new)] = &stores;
    put_back(away, source);
    wait_for(|| takes(&file));
    put_back(away_new, new);
    let live = until(folder, |live| live["held"].is_string() && !is_held_by(live, "nobody can write"));
    assert!(is_held_by(&live, "the target was set back"), "{live:#}");
    done(folder, &["rollback", "--discard-target-changes"]);
    until(folder, |live| live["held"].is_null() && is_same(live));
    assert!(takes(&file));
}
