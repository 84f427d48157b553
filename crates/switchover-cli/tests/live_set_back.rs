//! A store that owns the data and is set back, in the reverse window: by a crash behind which transactions are missing that somebody has
//! read, and by an older state of it that is put in its place.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use assert_cmd::cargo::CommandCargoExt as _;
use engine::{Engine, application, begin, is_held_by, is_same, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};
use switchover_testkit::{Cluster, Shutdown};

/// The ids of the rows of a file.
fn ids(file: &Connection) -> Vec<i64> {
    let mut found = file.prepare("SELECT id FROM t ORDER BY id").unwrap();
    found.query_map([], |row| row.get(0)).unwrap().map(|id| id.unwrap()).collect()
}

/// All of it at a time when nobody has it open, for later; and back.
fn copied(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// What programs are told.
fn route(folder: &Path) -> serde_json::Value {
    serde_json::from_str(&done(folder, &["route", "--json"])).unwrap()
}

#[test]
fn nobody_is_sent_to_a_target_whose_tables_are_copied_again() {
    let (folder, file) = application();
    let folder = folder.path();
    let mut start = Command::cargo_bin("switchover").unwrap();
    start.args(["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]).current_dir(folder);
    start.env("FAILPOINTS", "live-filling-told=return").stdin(Stdio::null());
    let mut engine = Engine(start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until(folder, is_same);
    done(folder, &["reads", "50%"]);
    assert_eq!(route(folder)["follower"], "ready");
    file.execute_batch("DROP TRIGGER _switchover_live_insert_0").unwrap();
    // It dies before the table is emptied.
    engine.0.wait().unwrap();
    assert_eq!(route(folder)["follower"], "filling");
    assert_eq!(ids(&Connection::open(folder.join("new.db")).unwrap()), [1, 2]);
    let engine = begin(folder, &["resume"]);
    let id = engine.0.id();
    until(folder, |live| live["pid"] == id && live["phase"] == "following" && is_same(live));
    wait_for(|| route(folder)["follower"] == "ready");
}

#[test]
fn a_crash_of_the_server_takes_nothing_away_that_the_source_has() {
    // Commits that do not wait are not on the disk for seconds.
    let mut cluster =
        Cluster::builder().tcp().fsync(true).setting("wal_writer_delay", "10s").start().unwrap();
    let database = cluster.fresh_database("crash").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let url = cluster.tcp().unwrap().url(database.name());
    // Dies when the source has what was read, and the target does not know it yet.
    let mut start = Command::cargo_bin("switchover").unwrap();
    start.args(["start", "--from", "sqlite:app.db", "--to", &url]).current_dir(folder);
    start.env("FAILPOINTS", "live-settle-before-commit=1*off->return").stdin(Stdio::null());
    let mut engine = Engine(start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until(folder, is_same);
    done(folder, &["cutover"]);
    let insert = "INSERT INTO t SELECT id, 'soon' FROM generate_series(100, 104) id";
    database.psql(&format!("SET synchronous_commit = off; {insert}")).unwrap();
    engine.0.wait().unwrap();
    assert!(ids(&file).contains(&104));
    cluster.stop(Shutdown::Immediate).unwrap();
    cluster.start().unwrap();
    let _engine = begin(folder, &["resume"]);
    for id in 200..210 {
        database.psql(&format!("INSERT INTO t VALUES ({id}, 'sure')")).unwrap();
    }
    wait_for(|| ids(&file).contains(&209));
    let there = database.psql("SELECT string_agg(id::text, ',' ORDER BY id) FROM t").unwrap();
    let here: Vec<String> = ids(&file).iter().map(i64::to_string).collect();
    assert_eq!(here.join(","), there);
    assert!(here.len() >= 15, "{here:?}");
    done(folder, &["rollback"]);
}

#[test]
fn a_server_that_is_set_back_holds_the_run_until_the_newest_state_is_back() {
    let mut cluster = Cluster::builder().tcp().fsync(true).start().unwrap();
    let database = cluster.fresh_database("setback").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let url = cluster.tcp().unwrap().url(database.name());
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &url]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let insert = |id: i64| database.psql(&format!("INSERT INTO t VALUES ({id}, 'new')")).unwrap();
    insert(100);
    wait_for(|| ids(&file).contains(&100));
    let (data, older, newest) =
        (cluster.data_folder().to_owned(), folder.join("older"), folder.join("newest"));
    cluster.stop(Shutdown::Fast).unwrap();
    copied(&data, &older);
    cluster.start().unwrap();
    for id in 101..104 {
        insert(id);
    }
    wait_for(|| ids(&file).contains(&103));
    until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
    cluster.stop(Shutdown::Fast).unwrap();
    copied(&data, &newest);
    copied(&older, &data);
    cluster.start().unwrap();
    for id in 201..206 {
        insert(id);
    }
    until(folder, |live| is_held_by(live, "it was set back"));
    let refused = run(folder, &["rollback"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("it was set back"), "{}", refused.err);
    assert!(!ids(&file).contains(&205), "{:?}", ids(&file));
    // The state that had them all.
    cluster.stop(Shutdown::Fast).unwrap();
    copied(&newest, &data);
    cluster.start().unwrap();
    insert(300);
    wait_for(|| ids(&file).contains(&300));
    until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
    done(folder, &["rollback"]);
    assert!([100, 101, 103, 300].iter().all(|id| ids(&file).contains(id)), "{:?}", ids(&file));
}

#[test]
fn a_source_that_is_set_back_while_it_follows_holds_the_run_until_the_newest_state_is_back() {
    let database = Cluster::shared().unwrap().fresh_database("follower").unwrap();
    let (folder, mut file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let insert = |id: i64| database.psql(&format!("INSERT INTO t VALUES ({id}, 'new')")).unwrap();
    let is_level = |live: &serde_json::Value| live["held"].is_null() && live["lag_entries"] == 0;
    insert(100);
    wait_for(|| ids(&file).contains(&100));
    until(folder, is_level);
    let (older, newest) = (folder.join("older.db"), folder.join("newest.db"));
    file.backup("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
    // What the source has of it, the target forgets.
    insert(101);
    wait_for(|| ids(&file).contains(&101));
    until(folder, is_level);
    wait_for(|| database.psql("SELECT count(*) FROM _switchover_changes").unwrap() == "0");
    file.backup("main", &newest, None::<fn(rusqlite::backup::Progress)>).unwrap();
    for running in [true, false] {
        if !running {
            engine.0.kill().unwrap();
            engine.0.wait().unwrap();
        }
        file.restore("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
        if !running {
            engine = begin(folder, &["resume"]);
        }
        // Nothing is written meanwhile: it is noticed all the same.
        until(folder, |live| is_held_by(live, "the source was set back"));
        let refused = run(folder, &["rollback"]);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("the source was set back"), "{}", refused.err);
        file.restore("main", &newest, None::<fn(rusqlite::backup::Progress)>).unwrap();
        until(folder, is_level);
    }
    insert(300);
    wait_for(|| ids(&file).contains(&300));
    done(folder, &["rollback"]);
    assert_eq!(ids(&file), [1, 2, 100, 101, 300]);
    drop(engine);
}

#[test]
fn a_file_that_is_set_back_in_place_holds_the_run() {
    let (folder, file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let mut target = Connection::open(folder.join("new.db")).unwrap();
    let insert = |target: &Connection, id: i64| {
        target.execute("INSERT INTO t VALUES (?1, 'new')", [id]).unwrap();
    };
    insert(&target, 100);
    wait_for(|| ids(&file).contains(&100));
    until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
    let older = folder.join("older.db");
    target.backup("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
    insert(&target, 101);
    wait_for(|| ids(&file).contains(&101));
    for running in [true, false] {
        if !running {
            // Engines of which that state knows nothing.
            for _ in 0..2 {
                drop(engine);
                engine = begin(folder, &["resume"]);
                let id = engine.0.id();
                until(folder, |live| live["pid"] == id && live["phase"] == "reverse");
            }
            engine.0.kill().unwrap();
            engine.0.wait().unwrap();
        }
        // Into the file that it is, as the shell's `.restore` does it.
        target.restore("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
        insert(&target, 201);
        insert(&target, 202);
        if !running {
            engine = begin(folder, &["resume"]);
        }
        let id = engine.0.id();
        until(folder, |live| live["pid"] == id && is_held_by(live, "it was set back"));
        // What is told may be the first engine's still: then it is not known yet.
        wait_for(|| {
            let refused = run(folder, &["rollback"]);
            assert_eq!(refused.code, 1, "{}", refused.out);
            flat(&refused.err).contains("it was set back")
        });
    }
    assert!(ids(&file).iter().all(|id| *id < 200), "{:?}", ids(&file));
    // The way out that is named.
    drop(engine);
    done(folder, &["finish", "--abandon-source", "--yes"]);
    insert(&target, 203);
    assert_eq!(ids(&target), [1, 2, 100, 201, 202, 203]);
}

/// The target follows, and is set back to a state in which it owned the data: it would take writes beside the source.
#[test]
fn a_target_that_is_set_back_to_an_owner_takes_no_writes_while_it_is_held() {
    let mut cluster = Cluster::builder().tcp().fsync(true).start().unwrap();
    let database = cluster.fresh_database("owner").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let url = cluster.tcp().unwrap().url(database.name());
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &url]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let insert = |id: i64| database.psql(&format!("INSERT INTO t VALUES ({id}, 'new')"));
    insert(100).unwrap();
    wait_for(|| ids(&file).contains(&100));
    until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
    let (data, older) = (cluster.data_folder().to_owned(), folder.join("older"));
    cluster.stop(Shutdown::Fast).unwrap();
    copied(&data, &older);
    cluster.start().unwrap();
    done(folder, &["rollback", "--when-ready"]);
    until(folder, is_same);
    cluster.stop(Shutdown::Fast).unwrap();
    copied(&older, &data);
    cluster.start().unwrap();
    until(folder, |live| is_held_by(live, "the target was set back"));
    let id = std::cell::Cell::new(200);
    wait_for(|| {
        id.set(id.get() + 1);
        insert(id.get()).is_err()
    });
    file.execute_batch("INSERT INTO t VALUES (300, 'here')").unwrap();
    done(folder, &["rollback", "--discard-target-changes"]);
    until(folder, |live| live["phase"] == "following" && is_same(live));
    assert!(insert(301).is_err());
    let there = database.psql("SELECT string_agg(id::text, ',' ORDER BY id) FROM t").unwrap();
    assert_eq!(there, "1,2,100,300");
}

#[test]
fn a_file_that_is_set_back_to_an_owner_takes_no_writes_while_it_is_held() {
    for running in [true, false] {
        let (folder, file) = application();
        let folder = folder.path();
        let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
        until(folder, is_same);
        done(folder, &["cutover"]);
        let mut target = Connection::open(folder.join("new.db")).unwrap();
        let insert = |target: &Connection, id: i64| target.execute("INSERT INTO t VALUES (?1, 'new')", [id]);
        insert(&target, 100).unwrap();
        wait_for(|| ids(&file).contains(&100));
        until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
        let older = folder.join("older.db");
        target.backup("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
        done(folder, &["rollback", "--when-ready"]);
        until(folder, is_same);
        done(folder, &["reads", "50%"]);
        if !running {
            engine.0.kill().unwrap();
            engine.0.wait().unwrap();
        }
        target.restore("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
        if !running {
            // Neither is the source given up for it, which owns the data.
            let _ = std::fs::remove_file(folder.join(".switchover/route.json"));
            let refused = run(folder, &["finish", "--abandon-source", "--yes"]);
            let said = flat(&refused.err);
            assert!(refused.code == 1 && said.contains("the target was set back"), "{}", refused.err);
            engine = begin(folder, &["resume"]);
        }
        let id = std::cell::Cell::new(200);
        wait_for(|| {
            id.set(id.get() + 1);
            insert(&target, id.get()).is_err()
        });
        until(folder, |live| is_held_by(live, "the target was set back"));
        wait_for(|| route(folder)["follower"] == "filling");
        file.execute_batch("INSERT INTO t VALUES (300, 'here')").unwrap();
        drop(target);
        done(folder, &["rollback", "--discard-target-changes"]);
        until(folder, |live| live["phase"] == "following" && is_same(live));
        let target = Connection::open(folder.join("new.db")).unwrap();
        assert!(insert(&target, 301).is_err());
        assert_eq!(ids(&target), [1, 2, 100, 300]);
        drop(engine);
    }
}

/// What holds the run while it is not up to date keeps nobody from noticing it.
#[test]
fn a_file_that_is_set_back_to_an_owner_while_the_run_catches_up_takes_no_writes() {
    let (folder, file) = application();
    let folder = folder.path();
    file.execute_batch(
        "CREATE TABLE j (id INTEGER PRIMARY KEY, e TEXT); INSERT INTO j VALUES (1, '{\"x\": 1}')",
    )
    .unwrap();
    std::fs::write(folder.join("map.toml"), "table.j.column.x.value = \"json_extract(e, '$.x')\"").unwrap();
    let start = ["start", "-c", "map.toml", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];
    let _engine = begin(folder, &start);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let mut target = Connection::open(folder.join("new.db")).unwrap();
    target.execute("INSERT INTO j (id, e) VALUES (2, 'no json')", []).unwrap();
    let is_level = |live: &serde_json::Value| live["held"].is_null() && live["lag_entries"] == 0;
    wait_for(|| file.query_row("SELECT count(*) FROM j", [], |row| row.get::<_, i64>(0)).unwrap() == 2);
    until(folder, is_level);
    let older = folder.join("older.db");
    target.backup("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
    done(folder, &["rollback", "--when-ready"]);
    let live = until(folder, |live| is_held_by(live, "malformed JSON"));
    assert_eq!(live["phase"], "catching_up", "{live:#}");
    target.restore("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
    let id = std::cell::Cell::new(200);
    wait_for(|| {
        id.set(id.get() + 1);
        target.execute("INSERT INTO t VALUES (?1, 'new')", [id.get()]).is_err()
    });
    let live = until(folder, |live| is_held_by(live, "the target was set back"));
    assert_eq!(live["verification"]["verdict"], "unproven", "{live:#}");
}
