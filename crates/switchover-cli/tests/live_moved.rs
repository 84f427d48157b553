//! Rows that lie elsewhere when an engine goes on with a copy that another one began.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{Running, program, run};
use rusqlite::Connection;
use std::path::Path;
use std::time::{Duration, Instant};
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// No stage takes so long.
const LIMIT: Duration = Duration::from_secs(90);

/// Rows whose key is not their place, with holes between them, and some that have no key.
const TABLES: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE note (k TEXT NOT NULL PRIMARY KEY, v TEXT NOT NULL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
        INSERT INTO note SELECT hex(i * 7919 % 2003), 'a note that is long enough to fill chunks ' || i FROM n;
    DELETE FROM note WHERE rowid % 3 = 0;
    CREATE TABLE loose (v INTEGER);
    INSERT INTO loose SELECT rowid FROM note WHERE rowid < 500;";

struct Scene {
    folder: TempDir,
    database: Database,
}

impl Scene {
    /// A copy that ended in the middle of the first table.
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        Connection::open(folder.path().join("app.db")).unwrap().execute_batch(TABLES).unwrap();
        let database = Cluster::shared().unwrap().fresh_database("moved").unwrap();
        let scene = Scene { folder, database };
        let target = scene.database.conninfo();
        scene.dies_at(
            &["start", "--from", "sqlite:app.db", "--to", &target],
            "copy-after-commit=5*off->return",
        );
        scene
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn sql(&self, sql: &str) {
        Connection::open(self.path().join("app.db")).unwrap().execute_batch(sql).unwrap();
    }

    fn dies_at(&self, words: &[&str], place: &str) {
        let mut command = program(self.path(), words);
        command.env("SWITCHOVER_TEST_CHUNK_BYTES", "4096").env("FAILPOINTS", place);
        let mut engine = Running::start(&mut command);
        let begun = Instant::now();
        while engine.is_alive() {
            if begun.elapsed() > LIMIT {
                engine.signal("TERM");
                panic!("it passed {place} by: {}", engine.end());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        engine.end().was_killed();
    }

    /// An engine that is killed nowhere: all rows are compared, and were equal; a second comparison knows nothing of the product.
    fn ends_well(&self) {
        let mut command = program(self.path(), &["resume"]);
        command.env("SWITCHOVER_TEST_CHUNK_BYTES", "4096");
        let mut engine = Running::start(&mut command);
        let begun = Instant::now();
        loop {
            let ran = run(&mut program(self.path(), &["status", "--json"])).exits(0);
            let runs: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            let live = &runs[0]["live"];
            if live["pid"] == engine.id() && live["verification"]["verdict"] == "same" {
                break;
            }
            assert!(engine.is_alive() && begun.elapsed() < LIMIT, "{runs:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
        for query in [
            "SELECT k, v FROM note ORDER BY k",
            "SELECT CAST(v AS TEXT), '' FROM loose ORDER BY CAST(v AS TEXT)",
        ] {
            let source = Connection::open(self.path().join("app.db")).unwrap();
            let mut statement = source.prepare(query).unwrap();
            let rows = statement.query_map([], |row| Ok(vec![row.get(0)?, row.get(1)?])).unwrap();
            let expected: Vec<Vec<Option<String>>> = rows.collect::<rusqlite::Result<_>>().unwrap();
            assert!(expected.len() > 100);
            // The server's order of texts may be another.
            let mut found = self.database.rows(query).unwrap();
            found.sort();
            assert_eq!(found, expected, "{query}");
        }
        engine.signal("KILL");
        engine.end().was_killed();
    }
}

#[test]
fn after_a_vacuum_the_table_in_hand_is_copied_again() {
    let scene = Scene::new();
    scene.sql("VACUUM");
    for place in ["live-restart-before-commit=return", "live-restarted=return"] {
        scene.dies_at(&["resume"], place);
    }
    scene.dies_at(&["resume"], "copy-after-commit=2*off->return");
    scene.sql("VACUUM");
    scene.dies_at(&["resume"], "live-source-capture-before-commit=return");
    scene.ends_well();
}

#[test]
fn a_table_that_was_read_to_its_end_is_not_copied_again() {
    let scene = Scene::new();
    scene.dies_at(&["resume"], "live-copied=return");
    scene.sql("VACUUM; DELETE FROM note WHERE rowid % 5 = 0");
    // It would die where tables go back to copy.
    scene.dies_at(&["resume"], "live-restart-before-commit=return;live-copied=return");
    let emptied = scene.database.psql("SELECT count(*) = 0 FROM note").unwrap();
    assert_eq!(emptied.trim(), "f");
    scene.ends_well();
}

#[test]
fn rows_that_move_behind_the_cursor_come_twice_and_are_kept_once() {
    let scene = Scene::new();
    scene.sql(
        "INSERT OR REPLACE INTO note SELECT k, v || ' again' FROM note WHERE rowid < 40;
         UPDATE note SET rowid = rowid + 100000 WHERE rowid % 7 = 1;
         INSERT INTO note (rowid, k, v) VALUES (3, 'in a hole', 'before the cursor');
         DELETE FROM note WHERE rowid BETWEEN 40 AND 44",
    );
    for place in ["live-repeats-before-commit=return", "live-repeats-dropped=return", "live-read=return"] {
        scene.dies_at(&["resume"], place);
    }
    scene.ends_well();
}
