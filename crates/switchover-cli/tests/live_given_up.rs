//! A target that is as it was before the cutover, as where a backup of it was put back: the run is held, nothing is opened, and a person
//! says whether what the target alone had may go.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use assert_cmd::cargo::CommandCargoExt;
use engine::{application, begin, is_held_by, is_same, run_folder, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
use std::path::Path;
use std::process::Command;
use switchover_testkit::{Cluster, Database};

const HELD: &str = "the target was set back";

const GIVE_UP: [&str; 2] = ["rollback", "--discard-target-changes"];

fn rows(file: &Connection) -> i64 {
    file.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn owner_by_route(folder: &Path) -> serde_json::Value {
    let route: serde_json::Value = serde_json::from_str(&done(folder, &["route", "--json"])).unwrap();
    route["owner"].clone()
}

/// Nothing but what was asked for opens the source: each verb says what it is, and what there is to do.
#[track_caller]
fn is_refused(folder: &Path, verbs: &[&[&str]]) {
    for verb in verbs {
        let refused = run(folder, verb);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains(HELD), "{verb:?}: {} {said}", refused.code);
        assert!(said.contains(&GIVE_UP.join(" ")) && !said.contains("--abandon-source"), "{verb:?}: {said}");
    }
    assert_eq!(owner_by_route(folder), "target");
}

/// The last change on record.
fn recorded(folder: &Path) -> serde_json::Value {
    let record = std::fs::read_to_string(run_folder(folder).join("owners.jsonl")).unwrap();
    serde_json::from_str(record.lines().last().unwrap()).unwrap()
}

fn decided(database: &Database, owner: &str, epoch: u64) {
    let sql = format!("UPDATE _switchover_live SET owner = '{owner}', epoch = {epoch}");
    database.psql(&sql).unwrap();
}

#[test]
fn a_database_that_was_set_back_holds_the_run_until_it_is_back_or_given_up() {
    let database = Cluster::shared().unwrap().fresh_database("set_back").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let config = "[cutover]\nenv_file = \"app.env\"\nset = { DATABASE_URL = \"new\" }\n";
    std::fs::write(folder.join("switchover.toml"), config).unwrap();
    let env = || std::fs::read_to_string(folder.join("app.env")).unwrap();
    std::fs::write(folder.join("app.env"), "DATABASE_URL=old\n").unwrap();
    let engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    database.psql("INSERT INTO t VALUES (3, 'three')").unwrap();
    wait_for(|| rows(&file) == 3);
    let epoch = recorded(folder)["epoch"].as_u64().unwrap();

    // An engine at work sees it, too, and goes on when the newest state is back.
    decided(&database, "source", 1);
    let held = until(folder, |live| is_held_by(live, HELD));
    let why = held["held"].as_str().unwrap();
    assert!(held["pid"] == engine.0.id() && why.contains("epoch 1 (owner source)"), "{held:#}");
    assert!(why.contains(&format!("epoch {epoch} (owner target)")) && !why.contains("abandon"), "{held:#}");
    is_refused(folder, &[&["rollback"], &["finish", "--yes"], &["cutover"]]);
    assert!(file.execute_batch("INSERT INTO t VALUES (4, 'refused')").is_err());
    decided(&database, "target", epoch);
    until(folder, |live| live["phase"] == "reverse" && live["held"].is_null() && live["lag_entries"] == 0);
    database.psql("INSERT INTO t VALUES (4, 'four')").unwrap();
    wait_for(|| rows(&file) == 4);
    drop(engine);

    // What a backup from before the cutover holds: neither the reverse log, nor the decision, nor the rows since.
    let name = run_folder(folder).file_name().unwrap().to_str().unwrap().to_owned();
    let before = "DELETE FROM t WHERE id > 2; DROP TABLE _switchover_changes;
        UPDATE _switchover_live SET owner = 'source', epoch = 1";
    database.psql(&format!("BEGIN; SET LOCAL switchover.engine = '{name}'; {before}; COMMIT")).unwrap();
    let engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && is_held_by(live, HELD));
    is_refused(folder, &[&["rollback"], &["rollback", "--dry-run"], &["finish", "--yes"]]);
    done(folder, &[GIVE_UP[0], GIVE_UP[1], "--dry-run"]);
    assert!(file.execute_batch("INSERT INTO t VALUES (5, 'refused')").is_err());
    assert_eq!(env(), "DATABASE_URL=new\n");

    done(folder, &GIVE_UP);
    // The source has all that was fed back, and the application was told.
    file.execute_batch("INSERT INTO t VALUES (5, 'five')").unwrap();
    assert_eq!(env(), "DATABASE_URL=old\n");
    assert_eq!(owner_by_route(folder), "source");
    let last = recorded(folder);
    assert!(last["to"] == "source" && last["epoch"].as_u64() > Some(epoch), "{last:#}");
    assert!(last["because"].as_str().unwrap().contains("set back"), "{last:#}");
    // The target lacked what had been fed back, of which no log tells.
    let live = until(folder, is_same);
    assert!(live["recopied"] == 1 && live["ownership"]["owner"] == "source", "{live:#}");
    done(folder, &["cutover", "--when-ready"]);
    let names = database.psql("SELECT string_agg(x, ',' ORDER BY id) FROM t").unwrap();
    assert_eq!(names, "one,two,three,four,five");
    database.psql("INSERT INTO t VALUES (6, 'six')").unwrap();
    wait_for(|| rows(&file) == 6);
}

#[test]
fn a_file_that_was_set_back_is_given_up_without_an_engine() {
    given_up("");
}

#[test]
#[cfg(feature = "failpoints")]
fn giving_up_a_file_that_was_set_back_goes_on_behind_a_kill() {
    given_up("live-position-given-up=return");
    given_up("live-given-up=return");
}

/// A file is set back and given up, by a process that dies at that place first, if it is one.
fn given_up(place: &str) {
    let (folder, file) = application();
    let folder = folder.path();
    let (new, backup) = (folder.join("new.db"), folder.join("backup.db"));
    let engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    drop(engine);
    // Its log is folded back, so that the file is all of it.
    let whole = || {
        let file = Connection::open(&new).unwrap();
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    };
    whole();
    std::fs::copy(&new, &backup).unwrap();
    // The source meets engines of which the backup knows nothing.
    for _ in 0..2 {
        let engine = begin(folder, &["resume"]);
        until(folder, |live| live["pid"] == engine.0.id() && is_same(live));
    }
    let engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && is_same(live));
    done(folder, &["cutover"]);
    let target = Connection::open(&new).unwrap();
    target.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    wait_for(|| rows(&file) == 3);
    drop((engine, target));
    whole();
    std::fs::copy(&backup, &new).unwrap();

    is_refused(folder, &[&["rollback"], &["finish", "--yes"]]);
    assert!(file.execute_batch("INSERT INTO t VALUES (4, 'refused')").is_err());
    if !place.is_empty() {
        let mut dies = Command::cargo_bin("switchover").unwrap();
        let died = dies.args(GIVE_UP).current_dir(folder).env("FAILPOINTS", place).output().unwrap();
        assert!(died.status.code().is_none(), "{place}: {died:?}");
    }
    if place == "live-given-up=return" {
        // It was decided: whoever takes the run up opens the source, and tells the application.
        assert!(file.execute_batch("INSERT INTO t VALUES (4, 'refused')").is_err());
    } else {
        done(folder, &GIVE_UP);
        file.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
        assert_eq!(owner_by_route(folder), "source");
    }
    let engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && is_same(live));
    file.execute_batch("INSERT OR IGNORE INTO t VALUES (4, 'four')").unwrap();
    assert_eq!(owner_by_route(folder), "source");
    done(folder, &["cutover", "--when-ready"]);
    let target = Connection::open(&new).unwrap();
    assert_eq!(rows(&target), 4);
    target.execute_batch("INSERT INTO t VALUES (5, 'five')").unwrap();
    wait_for(|| rows(&file) == 5);
}

/// The target is lost, and the application has made its tables anew: nobody may be told that these are all there is.
#[test]
fn a_target_that_is_lost_is_not_what_a_run_ends_with() {
    for back in [false, true] {
        let (folder, file) = application();
        let folder = folder.path();
        let engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
        until(folder, is_same);
        done(folder, &["cutover"]);
        if back {
            done(folder, &["rollback", "--when-ready"]);
            until(folder, is_same);
        }
        drop(engine);
        let remove = || {
            for name in ["new.db", "new.db-wal", "new.db-shm"] {
                let _ = std::fs::remove_file(folder.join(name));
            }
        };
        remove();
        let own = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)";
        Connection::open(folder.join("new.db")).unwrap().execute_batch(own).unwrap();
        let refused = run(folder, &["finish", "--abandon-source", "--yes"]);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("not a run that was being finished"), "{}", refused.err);
        for verb in [&["resume"][..], &GIVE_UP] {
            let refused = run(folder, verb);
            let said = flat(&refused.err);
            assert!(
                refused.code == 1 && said.contains("move away or drop what stands there"),
                "{}",
                refused.err
            );
        }
        // The way out that is named.
        remove();
        done(folder, &GIVE_UP);
        file.execute_batch("INSERT INTO t VALUES (300, 'here')").unwrap();
    }
}
