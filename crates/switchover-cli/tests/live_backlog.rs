//! A backlog of a live run that is larger than the largest batch, and of which no part holds together. Few rows make one: a
//! failpoint makes the largest batch small.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{Engine, is_held_by, is_same, until};
use program::{done, flat, run};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};
use switchover_testkit::{Cluster, Database};

const SCHEMA: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE a (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v TEXT);
    CREATE TABLE p (id INTEGER PRIMARY KEY);
    CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), v TEXT);
    CREATE TABLE e (id INTEGER PRIMARY KEY, low INTEGER NOT NULL, high INTEGER NOT NULL);
    CREATE TABLE f (id INTEGER PRIMARY KEY, v INTEGER);
    INSERT INTO a VALUES (1, 'one', 'first'), (2, 'two', 'first');
    INSERT INTO p VALUES (1);
    INSERT INTO c VALUES (1, 1, 'first');
    INSERT INTO e VALUES (1, 0, 10), (2, 20, 30);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO f SELECT i, 0 FROM n;";

/// The first of these are in one batch, and what they need is ten batches behind them.
const BACKLOG: &str = "UPDATE a SET v = 'early' WHERE id = 1; UPDATE c SET v = 'early';
    UPDATE f SET v = v + 1;
    INSERT INTO p VALUES (2); UPDATE c SET p = 2;
    UPDATE a SET u = 'other' WHERE id = 2; UPDATE a SET u = 'two' WHERE id = 1;";

/// An application's file, and an engine that has come to follow it.
fn followed(folder: &Path, database: &Database) -> (Connection, Engine) {
    let file = Connection::open(folder.join("app.db")).unwrap();
    file.execute_batch(SCHEMA).unwrap();
    let mut start = Command::new(env!("CARGO_BIN_EXE_switchover"));
    start.args(["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]).current_dir(folder);
    start.env("FAILPOINTS", "live-batch-entries-max=return(20)");
    let engine = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let engine = Engine(engine);
    let live = until(folder, is_same);
    assert_eq!(live["recopied"], 0);
    (file, engine)
}

/// Writes while the engine takes nothing.
fn backlog(folder: &Path, file: &Connection, sql: &str) {
    done(folder, &["pause"]);
    file.execute_batch(sql).unwrap();
    done(folder, &["resume"]);
}

#[test]
fn a_backlog_across_which_a_unique_value_and_a_parent_move_is_taken() {
    let database = Cluster::shared().unwrap().fresh_database("backlog").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (file, _engine) = followed(folder, &database);
    backlog(folder, &file, BACKLOG);
    // The table with the unique value, and the child; the others go on from where they were.
    until(folder, |live| live["recopied"] == 2 && live["lag_entries"] == 0 && is_same(live));
    assert!(flat(&done(folder, &["status"])).contains("2 tables were copied again"));
    let shown = |sql: &str, rows: &str| assert_eq!(database.psql(sql).unwrap().trim(), rows, "{sql}");
    shown("SELECT string_agg(concat(id, u, v), ',' ORDER BY id) FROM a", "1twoearly,2otherfirst");
    shown("SELECT concat(p, v) FROM c", "2early");
    shown("SELECT sum(v) FROM f", "200");
    let kinds = "SELECT count(DISTINCT contype) FROM pg_constraint WHERE contype IN ('u', 'f') \
        AND conrelid IN ('a'::regclass, 'c'::regclass)";
    shown(kinds, "2");
    done(folder, &["cutover", "--when-ready"]);
}

/// No run makes such a constraint, and a live run into tables that have one is refused; somebody may add one.
#[test]
fn a_backlog_across_which_a_range_moves_that_excludes_others_is_taken() {
    let database = Cluster::shared().unwrap().fresh_database("apart").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (file, _engine) = followed(folder, &database);
    database
        .psql("ALTER TABLE e ADD CONSTRAINT apart EXCLUDE USING gist (int8range(low, high) WITH &&)")
        .unwrap();
    backlog(
        folder,
        &file,
        "UPDATE e SET low = 20, high = 30 WHERE id = 1; UPDATE f SET v = v + 1; UPDATE e SET low = 40, high = 50 WHERE id = 2",
    );
    until(folder, |live| live["recopied"] == 1 && live["lag_entries"] == 0 && is_same(live));
    let found = database.psql("SELECT string_agg(concat(id, ':', low, '-', high), ',' ORDER BY id) FROM e");
    assert_eq!(found.unwrap().trim(), "1:20-30,2:40-50");
    done(folder, &["cutover", "--when-ready"]);
}

/// Not even the whole backlog makes it fit, and what the application writes later does.
#[test]
fn a_backlog_with_a_row_that_never_fits_holds_the_run_until_the_row_is_mended() {
    let database = Cluster::shared().unwrap().fresh_database("orphan").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (file, mut engine) = followed(folder, &database);
    file.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    backlog(folder, &file, "UPDATE c SET p = 9; UPDATE f SET v = v + 1");
    let held = until(folder, |live| is_held_by(live, "Key (p)=(9) is not present in table"));
    assert!(held["recopied"] == 1 && held["lag_entries"].is_null(), "{held:#}");
    let early = run(folder, &["cutover"]);
    assert_eq!(early.code, 1, "{}", early.err);
    // It has looked again, and stands as it did.
    let again = until(folder, |live| is_held_by(live, "Key (p)=(9)") && live["at"] != held["at"]);
    assert_eq!(again["held_since"], held["held_since"], "{again:#}");
    assert!(engine.0.try_wait().unwrap().is_none(), "the engine ended");
    file.execute_batch("UPDATE c SET p = 1").unwrap();
    until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0 && is_same(live));
    assert_eq!(database.psql("SELECT concat(p, v) FROM c").unwrap().trim(), "1first");
    done(folder, &["cutover", "--when-ready"]);
}
