//! A reverse window in other hands: what waits in its log is not taken out, a log that is gone holds the run, which says the way out, a target
//! that owns the data is never taken away, and none becomes the owner without the keys by which its changes go back.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{Engine, application, begin, is_held_by, is_same, until};
use program::{done, flat, run};
use rusqlite::Connection;
use std::path::Path;
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// A run in its reverse window.
struct Scene {
    folder: TempDir,
    source: Connection,
    /// The target, where it is no file.
    database: Option<Database>,
    engine: Engine,
}

impl Scene {
    fn new(server: bool) -> Scene {
        let (folder, source) = application();
        let database = server.then(|| Cluster::shared().unwrap().fresh_database("log").unwrap());
        let to = database.as_ref().map_or("sqlite:new.db".into(), Database::conninfo);
        let engine = begin(folder.path(), &["start", "--from", "sqlite:app.db", "--to", &to]);
        until(folder.path(), is_same);
        done(folder.path(), &["cutover"]);
        until(folder.path(), |live| live["phase"] == "reverse");
        Scene { folder, source, database, engine }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What somebody does at the target.
    fn try_at_target(&self, sql: &str) -> Result<(), String> {
        match &self.database {
            Some(database) => database.psql(sql).map(drop).map_err(|error| error.to_string()),
            None => {
                let file = Connection::open(self.path().join("new.db")).unwrap();
                file.execute_batch(sql).map_err(|error| error.to_string())
            }
        }
    }

    #[track_caller]
    fn at_target(&self, sql: &str) {
        self.try_at_target(sql).unwrap();
    }

    fn stop(&mut self) {
        self.engine.0.kill().unwrap();
        self.engine.0.wait().unwrap();
    }

    /// Another engine takes the run up; it is held, and stays.
    #[track_caller]
    fn taken_up_and_held(&mut self, why: &str) {
        self.stop();
        self.engine = begin(self.path(), &["resume"]);
        let id = self.engine.0.id();
        let held = until(self.path(), |live| live["pid"] == id && is_held_by(live, why));
        assert!(held["ownership"]["owner"] == "target" && held["phase"] == "reverse", "{held:#}");
        assert!(self.engine.0.try_wait().unwrap().is_none());
    }
}

#[test]
fn what_waits_in_the_reverse_log_is_not_taken_out_by_hand() {
    for server in [true, false] {
        let scene = Scene::new(server);
        done(scene.path(), &["pause"]);
        scene.at_target("INSERT INTO t VALUES (3, 'waits')");
        let hands = ["DELETE FROM _switchover_changes", "UPDATE _switchover_changes SET t = 7"];
        // On PostgreSQL no INSERT takes the place of an entry.
        let own = match server {
            true => "TRUNCATE _switchover_changes",
            false => {
                "INSERT OR REPLACE INTO _switchover_changes (seq, t) SELECT max(seq), 0 FROM _switchover_changes"
            }
        };
        for sql in hands.into_iter().chain([own]) {
            let refused = scene.try_at_target(sql).unwrap_err();
            assert!(refused.contains("not changed by hand"), "{sql}: {refused}");
        }
        done(scene.path(), &["resume"]);
        done(scene.path(), &["rollback", "--when-ready"]);
        let kept = "SELECT x FROM t WHERE id = 3";
        let found: String = scene.source.query_row(kept, [], |row| row.get(0)).unwrap();
        assert_eq!(found, "waits");
    }
}

#[test]
fn a_reverse_log_that_is_gone_holds_the_run_which_says_the_way_out() {
    for server in [true, false] {
        let mut scene = Scene::new(server);
        scene.at_target("DROP TABLE _switchover_changes");
        let way_out = "switchover finish --abandon-source";
        until(scene.path(), |live| is_held_by(live, way_out));
        // Whoever takes the run up does not end for it.
        scene.taken_up_and_held(way_out);
        let refused = run(scene.path(), &["rollback"]);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("_switchover_changes is not there"), "{said}");
        let unlogged = scene.try_at_target("INSERT INTO t VALUES (3, 'unlogged')");
        assert!(unlogged.is_err(), "nothing is written that is in no log");
        scene.stop();
        done(scene.path(), &["finish", "--abandon-source", "--yes"]);
        scene.at_target("INSERT INTO t VALUES (3, 'here')");
    }
}

/// What the message says is enough.
#[test]
fn a_reverse_window_goes_on_once_a_child_or_a_rule_is_gone_again() {
    let scene = Scene::new(true);
    for (hurt, undo) in [
        ("CREATE TABLE heir() INHERITS (t)", "DROP TABLE heir"),
        ("CREATE RULE no AS ON DELETE TO t WHERE OLD.id = 9 DO INSTEAD NOTHING", "DROP RULE no ON t"),
    ] {
        scene.at_target(hurt);
        until(scene.path(), |live| is_held_by(live, "unless that is undone"));
        scene.at_target(undo);
        until(scene.path(), |live| live["held"].is_null());
    }
    scene.at_target("INSERT INTO t VALUES (3, 'kept')");
    done(scene.path(), &["rollback", "--when-ready"]);
    let rows: i64 = scene.source.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
}

#[test]
fn a_target_that_owns_the_data_is_not_taken_away_though_it_was_altered() {
    let mut scene = Scene::new(false);
    scene.at_target("INSERT INTO t VALUES (3, 'here'); ALTER TABLE t RENAME COLUMN x TO y");
    until(scene.path(), |live| is_held_by(live, "altered"));
    scene.taken_up_and_held("altered");
    let refused = run(scene.path(), &["rollback"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("altered"), "{}", refused.err);
    assert!(scene.engine.0.try_wait().unwrap().is_none());
    let file = Connection::open(scene.path().join("new.db")).unwrap();
    let rows: i64 = file.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
}

#[test]
fn a_source_that_somebody_opens_in_the_reverse_window_is_not_gone_back_to_unasked() {
    for (server, running) in [(true, true), (false, true), (false, false)] {
        let mut scene = Scene::new(server);
        scene.at_target("UPDATE t SET x = 'new' WHERE id = 1");
        let taken = "SELECT count(*) FROM t WHERE id = 1 AND x = 'new'";
        until(scene.path(), |_| scene.source.query_row(taken, [], |row| row.get::<_, i64>(0)).unwrap() == 1);
        if !running {
            scene.stop();
        }
        let drops = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema WHERE name LIKE '%_fence_%'";
        let drops: String = scene.source.query_row(drops, [], |row| row.get(0)).unwrap();
        scene.source.execute_batch(&drops).unwrap();
        scene.source.execute_batch("UPDATE t SET x = 'stale' WHERE id = 1").unwrap();
        if !running {
            scene.engine = begin(scene.path(), &["resume"]);
        }
        until(scene.path(), |live| {
            // Of one that looked first when it was taken up, it is shut again before it follows.
            let says = !running || is_held_by(live, "switchover rollback --discard-target-changes");
            live["phase"] == "reverse" && live["verification"]["verdict"] == "different" && says
        });
        let next = done(scene.path(), &["status", "--json"]);
        assert!(next.contains("--discard-target-changes, or switchover finish"), "{next}");
        for resumed in [false, true] {
            if resumed {
                scene.stop();
                scene.engine = begin(scene.path(), &["resume"]);
                let id = scene.engine.0.id();
                until(scene.path(), |live| live["pid"] == id && live["phase"] == "reverse");
            }
            let refused = run(scene.path(), &["rollback"]);
            assert!(refused.code == 1, "{}", refused.err);
            assert!(flat(&refused.err).contains("--discard-target-changes"), "{}", refused.err);
        }
        let refused = scene.source.execute_batch("UPDATE t SET x = 'again' WHERE id = 1").unwrap_err();
        assert!(refused.to_string().contains("does not take writes"), "it is shut again: {refused}");
        done(scene.path(), &["finish", "--yes"]);
    }
}

#[test]
fn a_target_without_a_primary_key_does_not_become_the_owner_until_it_is_back() {
    let (folder, source) = application();
    let folder = folder.path();
    let database = Cluster::shared().unwrap().fresh_database("keys").unwrap();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    let key = "SELECT conname FROM pg_constraint WHERE contype = 'p' AND conrelid = 't'::regclass";
    let key = database.psql(key).unwrap();
    database.psql(&format!("ALTER TABLE t DROP CONSTRAINT \"{key}\"")).unwrap();
    let refused = run(folder, &["cutover"]);
    let said = flat(&refused.err);
    assert!(refused.code == 1 && said.contains("PRIMARY KEY (\"id\")"), "{said}");
    // Nobody was kept from writing.
    source.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    database.psql("ALTER TABLE t ADD PRIMARY KEY (id)").unwrap();
    done(folder, &["cutover", "--when-ready"]);
}
