//! A backlog of a live run that is larger than the largest batch, and of which no part holds together. Few rows make one: a
//! failpoint makes the largest batch small.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{Engine, is_same, until};
use program::{done, flat};
use rusqlite::Connection;
use std::process::{Command, Stdio};
use switchover_testkit::Cluster;

const SCHEMA: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE a (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v TEXT);
    CREATE TABLE p (id INTEGER PRIMARY KEY);
    CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), v TEXT);
    CREATE TABLE f (id INTEGER PRIMARY KEY, v INTEGER);
    INSERT INTO a VALUES (1, 'one', 'first'), (2, 'two', 'first');
    INSERT INTO p VALUES (1);
    INSERT INTO c VALUES (1, 1, 'first');
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO f SELECT i, 0 FROM n;";

/// The first of these are in one batch, and what they need is ten batches behind them.
const BACKLOG: &str = "UPDATE a SET v = 'early' WHERE id = 1; UPDATE c SET v = 'early';
    UPDATE f SET v = v + 1;
    INSERT INTO p VALUES (2); UPDATE c SET p = 2;
    UPDATE a SET u = 'other' WHERE id = 2; UPDATE a SET u = 'two' WHERE id = 1;";

#[test]
fn a_backlog_across_which_a_unique_value_and_a_parent_move_is_taken() {
    let database = Cluster::shared().unwrap().fresh_database("backlog").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = Connection::open(folder.join("app.db")).unwrap();
    file.execute_batch(SCHEMA).unwrap();
    let mut start = Command::new(env!("CARGO_BIN_EXE_switchover"));
    start.args(["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]).current_dir(folder);
    start.env("FAILPOINTS", "live-batch-entries-max=return(20)");
    let engine = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _engine = Engine(engine);
    let live = until(folder, is_same);
    assert_eq!(live["recopied"], 0);
    done(folder, &["pause"]);
    file.execute_batch(BACKLOG).unwrap();
    done(folder, &["resume"]);
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
