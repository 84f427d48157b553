//! A source that is set back in the reverse window: an older state of it in its place lacks what the target has and its log has
//! forgotten, and may be one in which it owned the data. The run is held, the source takes no writes, nothing goes back without what it
//! lacks, and with the newest state in its place the run goes on.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{application, begin, is_held_by, is_same, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
use rusqlite::backup::Progress;
use std::cell::Cell;
use std::path::Path;
use switchover_testkit::Cluster;

type Write<'a> = &'a dyn Fn(i64);

/// A target's URL, and a write of the application's there.
type To = (String, Box<dyn Fn(i64)>);

fn ids(file: &Connection) -> Vec<i64> {
    let mut found = file.prepare("SELECT id FROM t ORDER BY id").unwrap();
    found.query_map([], |row| row.get(0)).unwrap().map(|id| id.unwrap()).collect()
}

fn is_up_to_date(live: &serde_json::Value) -> bool {
    live["phase"] == "reverse" && live["held"].is_null() && live["lag_entries"] == 0
}

/// Into the file that it is, as the shell's `.restore` does it.
fn put(file: &mut Connection, state: &Path) {
    file.restore("main", state, None::<fn(Progress)>).unwrap();
}

/// Whether the file takes a write of the application's.
fn takes(file: &Connection, id: i64) -> bool {
    file.execute("INSERT INTO t VALUES (?1, 'astray')", [id]).is_ok()
}

/// The source is set back to a state of this reverse window, in which it has less than the log still knows; or to one of an `earlier`
/// window, behind which the application wrote to it.
fn within_a_window(to: &str, write: Write<'_>, (earlier, running): (bool, bool)) {
    let (folder, mut file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", to]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let (older, newest) = (folder.join("older.db"), folder.join("newest.db"));
    let written = |file: &Connection, id: i64| {
        write(id);
        wait_for(|| ids(file).contains(&id));
        until(folder, is_up_to_date);
    };
    written(&file, 100);
    file.backup("main", &older, None::<fn(Progress)>).unwrap();
    if earlier {
        done(folder, &["rollback"]);
        until(folder, is_same);
        file.execute_batch("INSERT INTO t VALUES (101, 'here'), (102, 'here')").unwrap();
        done(folder, &["cutover", "--when-ready"]);
        until(folder, is_up_to_date);
    } else {
        written(&file, 101);
        written(&file, 102);
    }
    if !running {
        engine.0.kill().unwrap();
        engine.0.wait().unwrap();
    }
    file.backup("main", &newest, None::<fn(Progress)>).unwrap();
    put(&mut file, &older);
    write(103);
    if !running {
        engine = begin(folder, &["resume"]);
    }
    until(folder, |live| is_held_by(live, "the source was set back"));
    for verb in [&["rollback"][..], &["finish", "--yes"]] {
        let refused = run(folder, verb);
        assert!(
            refused.code == 1 && flat(&refused.err).contains("the source was set back"),
            "{}",
            refused.err
        );
    }
    assert_eq!(ids(&file), [1, 2, 100]);
    put(&mut file, &newest);
    wait_for(|| ids(&file).contains(&103));
    until(folder, is_up_to_date);
    done(folder, &["rollback"]);
    assert_eq!(ids(&file), [1, 2, 100, 101, 102, 103]);
    drop(engine);
}

/// The source is set back to a state in which it owned the data: before this window, and before all of them.
fn to_an_owner(to: &str, write: Write<'_>, (windows, running): (u32, bool)) {
    let (folder, mut file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", to]);
    until(folder, is_same);
    let older = folder.join("older.db");
    if windows > 1 {
        done(folder, &["cutover"]);
        write(99);
        wait_for(|| ids(&file).contains(&99));
        done(folder, &["rollback"]);
        until(folder, is_same);
    }
    file.backup("main", &older, None::<fn(Progress)>).unwrap();
    done(folder, &["cutover", "--when-ready"]);
    write(100);
    wait_for(|| ids(&file).contains(&100));
    until(folder, is_up_to_date);
    if !running {
        engine.0.kill().unwrap();
        engine.0.wait().unwrap();
    }
    put(&mut file, &older);
    if !running {
        engine = begin(folder, &["resume"]);
    }
    // Somebody may write there for as long as nobody has looked, and no longer.
    let id = Cell::new(500);
    wait_for(|| {
        id.set(id.get() + 1);
        !takes(&file, id.get())
    });
    until(folder, |live| is_held_by(live, "the source was set back"));
    let status = flat(&run(folder, &["status"]).out);
    assert!(!status.contains("equal yes"), "{status}");
    write(101);
    let refused = run(folder, &["rollback"]);
    assert!(refused.code == 1, "{} {}", refused.out, refused.err);
    assert!(!takes(&file, 600) && !ids(&file).contains(&101), "{:?}", ids(&file));
    // The way out that is named.
    drop(engine);
    done(folder, &["finish", "--abandon-source", "--yes"]);
    write(102);
}

/// A backup from before the run, in which nothing of it stands: who takes the run up holds, and says what there is to do.
fn before_the_run(to: &str, write: Write<'_>) {
    let (folder, mut file) = application();
    let folder = folder.path();
    let older = folder.join("older.db");
    file.backup("main", &older, None::<fn(Progress)>).unwrap();
    let engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", to]);
    until(folder, is_same);
    done(folder, &["cutover", "--when-ready"]);
    write(100);
    wait_for(|| ids(&file).contains(&100));
    until(folder, is_up_to_date);
    drop(engine);
    put(&mut file, &older);
    let engine = begin(folder, &["resume"]);
    let id = engine.0.id();
    until(folder, |live| live["pid"] == id && is_held_by(live, "the source was set back"));
    write(101);
    assert!(!takes(&file, 600) && ids(&file) == [1, 2], "{:?}", ids(&file));
    let refused = run(folder, &["rollback"]);
    assert!(refused.code == 1, "{} {}", refused.out, refused.err);
    drop(engine);
    done(folder, &["finish", "--abandon-source", "--yes"]);
    write(102);
}

fn scenes(to: &dyn Fn(&str) -> To) {
    for running in [true, false] {
        for earlier in [false, true] {
            let (url, write) = to(&format!("within_{earlier}_{running}"));
            within_a_window(&url, &*write, (earlier, running));
        }
        for windows in [1, 2] {
            let (url, write) = to(&format!("owner_{windows}_{running}"));
            to_an_owner(&url, &*write, (windows, running));
        }
    }
    let (url, write) = to("before");
    before_the_run(&url, &*write);
}

#[test]
fn beside_a_postgres_target() {
    scenes(&|name| {
        let database = Cluster::shared().unwrap().fresh_database(name).unwrap();
        let url = database.conninfo();
        (
            url,
            Box::new(move |id| drop(database.psql(&format!("INSERT INTO t VALUES ({id}, 'new')")).unwrap())),
        )
    });
}

#[test]
fn beside_a_file() {
    let folder = tempfile::tempdir().unwrap();
    scenes(&|name| {
        let path = folder.path().join(name);
        let url = format!("sqlite:{}", path.display());
        (
            url,
            Box::new(move |id| {
                Connection::open(&path)
                    .unwrap()
                    .execute("INSERT INTO t VALUES (?1, 'new')", [id])
                    .map(drop)
                    .unwrap();
            }),
        )
    });
}

/// A source that owns the data and is set back to an earlier window's end is copied again, and its next window begins anew.
#[test]
fn a_source_that_is_set_back_between_two_windows() {
    for name in ["between_pg", "between_file"] {
        let (folder, mut file) = application();
        let folder = folder.path();
        let database = Cluster::shared().unwrap().fresh_database(name).unwrap();
        let (pg, to) = match name {
            "between_pg" => (true, database.conninfo()),
            _ => (false, "sqlite:new.db".to_owned()),
        };
        let write = |id: i64| match pg {
            true => drop(database.psql(&format!("INSERT INTO t VALUES ({id}, 'new')")).unwrap()),
            false => {
                let new = Connection::open(folder.join("new.db")).unwrap();
                new.execute("INSERT INTO t VALUES (?1, 'new')", [id]).map(drop).unwrap();
            }
        };
        let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &to]);
        until(folder, is_same);
        done(folder, &["cutover"]);
        write(100);
        wait_for(|| ids(&file).contains(&100));
        until(folder, is_up_to_date);
        let older = folder.join("older.db");
        file.backup("main", &older, None::<fn(Progress)>).unwrap();
        for id in 101..104 {
            write(id);
            wait_for(|| ids(&file).contains(&id));
        }
        done(folder, &["rollback"]);
        until(folder, is_same);
        // The log of that state may end before what was read of it, so that all is begun anew.
        file.execute_batch("INSERT INTO t VALUES (110, 'here')").unwrap();
        until(folder, |live| is_same(live) && live["lag_entries"] == 0);
        put(&mut file, &older);
        wait_for(|| takes(&file, 104));
        done(folder, &["cutover", "--when-ready"]);
        write(105);
        wait_for(|| ids(&file) == [1, 2, 100, 104, 105]);
        until(folder, is_up_to_date);
        done(folder, &["rollback"]);
    }
}

/// It owns the data again, and the engine has not begun to follow it.
#[test]
#[cfg(feature = "failpoints")]
fn a_source_that_is_set_back_right_behind_a_rollback_is_copied_anew() {
    use assert_cmd::cargo::CommandCargoExt;
    // Each is passed once, or four times, before the first cutover: before the source is opened, and behind all steps.
    for place in ["live-captured=1*off->1*sleep(3000)", "live-steps=7*off->1*sleep(3000)"] {
        let (folder, mut file) = application();
        let folder = folder.path();
        let mut command = std::process::Command::cargo_bin("switchover").unwrap();
        command.args(["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]).current_dir(folder);
        command.env("FAILPOINTS", place).stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let _engine = engine::Engine(command.spawn().unwrap());
        until(folder, is_same);
        done(folder, &["cutover"]);
        let new = Connection::open(folder.join("new.db")).unwrap();
        let write = |id: i64| {
            new.execute("INSERT INTO t VALUES (?1, 'new')", [id]).unwrap();
            wait_for(|| ids(&file).contains(&id));
        };
        write(100);
        until(folder, is_up_to_date);
        let older = folder.join("older.db");
        file.backup("main", &older, None::<fn(Progress)>).unwrap();
        write(101);
        until(folder, is_up_to_date);
        done(folder, &["rollback"]);
        std::thread::sleep(std::time::Duration::from_millis(500));
        put(&mut file, &older);
        wait_for(|| takes(&file, 104));
        done(folder, &["cutover", "--when-ready"]);
        assert_eq!(ids(&new), [1, 2, 100, 104], "{place}");
    }
}

/// Nobody looks while the source is set back, and what is given up there is given to another row, which the target would refuse for the old
/// one.
#[test]
fn a_source_that_is_set_back_without_an_engine_is_copied_anew_where_its_rows_are_in_the_way() {
    let (folder, mut file) = application();
    let folder = folder.path();
    file.execute_batch(
        "CREATE TABLE u (id INTEGER PRIMARY KEY, e TEXT UNIQUE); INSERT INTO u VALUES (1, 'a')",
    )
    .unwrap();
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    let older = folder.join("older.db");
    file.backup("main", &older, None::<fn(Progress)>).unwrap();
    file.execute_batch("INSERT INTO u VALUES (10, 'x')").unwrap();
    let target = Connection::open(folder.join("new.db")).unwrap();
    let there = || -> String {
        let sql = "SELECT group_concat(id || e, ' ') FROM (SELECT * FROM u ORDER BY id)";
        target.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    wait_for(|| there() == "1a 10x");
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    put(&mut file, &older);
    // Behind the position that the target has.
    file.execute_batch(
        "INSERT INTO u VALUES (12, 'f'); INSERT INTO u VALUES (11, 'x'); INSERT INTO u VALUES (13, 'g')",
    )
    .unwrap();
    engine = begin(folder, &["resume"]);
    // What the first one told last is there until this one tells.
    let id = engine.0.id();
    until(folder, |live| live["pid"] == id && is_same(live) && live["phase"] == "following");
    assert_eq!(there(), "1a 11x 12f 13g");
    done(folder, &["cutover"]);
    drop(engine);
}
