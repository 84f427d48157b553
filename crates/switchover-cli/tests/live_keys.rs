//! Rows that the owner takes and its follower cannot, a key that is NULL or a value that is unique there: they hold a live run for as
//! long as they are so, with a word on what to do, and no longer.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{Engine, application, begin, is_held_by, is_same, until};
use program::{done, flat, run};
use rusqlite::Connection;
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// A table whose key may be NULL.
const TABLE: &str = "CREATE TABLE n (k TEXT PRIMARY KEY, v); INSERT INTO n VALUES ('a', '1')";

/// A run to PostgreSQL, or to a file, that is in step; one of its tables has a key that may be NULL.
fn scene(server: bool) -> (TempDir, Connection, Option<Database>, Engine) {
    let (folder, file) = application();
    file.execute_batch(TABLE).unwrap();
    let database = server.then(|| Cluster::shared().unwrap().fresh_database("nulls").unwrap());
    let to = database.as_ref().map_or("sqlite:new.db".into(), Database::conninfo);
    let engine = begin(folder.path(), &["start", "--from", "sqlite:app.db", "--to", &to]);
    until(folder.path(), is_same);
    (folder, file, database, engine)
}

/// The keys of a file's rows.
fn keys(file: &Connection) -> String {
    let sql = "SELECT coalesce(group_concat(k), '') FROM (SELECT k FROM n ORDER BY k)";
    file.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_row_without_a_key_holds_the_run_until_it_is_gone_or_has_one() {
    for (server, mend, left) in [
        (true, "DELETE FROM n WHERE k IS NULL", "a"),
        (true, "UPDATE n SET k = 'b' WHERE k IS NULL", "a,b"),
        (false, "DELETE FROM n WHERE k IS NULL", "a"),
    ] {
        let (folder, file, database, _engine) = scene(server);
        file.execute_batch("INSERT INTO n VALUES (NULL, 'x')").unwrap();
        let held = until(folder.path(), |live| is_held_by(live, "delete them or give them a key"));
        assert!(
            is_held_by(&held, "table n, column k") && is_held_by(&held, "switchover rollback"),
            "{held:#}"
        );
        file.execute_batch(mend).unwrap();
        done(folder.path(), &["cutover", "--when-ready"]);
        let found = match &database {
            Some(database) => database.psql("SELECT string_agg(k, ',' ORDER BY k) FROM n").unwrap(),
            None => keys(&Connection::open(folder.path().join("new.db")).unwrap()),
        };
        assert_eq!(found.trim(), left, "{mend}");
    }
}

/// The row comes before the copy reads its table, or behind the copy and before the run follows.
#[test]
#[cfg(feature = "failpoints")]
fn a_row_without_a_key_holds_a_run_that_does_not_follow_yet() {
    let captured = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'n'";
    for (place, phase) in [("live-captured", "copying"), ("live-copied", "catching_up")] {
        let (folder, file) = application();
        let folder = folder.path();
        file.execute_batch(TABLE).unwrap();
        let database = Cluster::shared().unwrap().fresh_database("nulls").unwrap();
        let mut start = std::process::Command::new(env!("CARGO_BIN_EXE_switchover"));
        start.args(["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]).current_dir(folder);
        start.env("FAILPOINTS", format!("{place}=sleep(3000)")).stdin(std::process::Stdio::null());
        start.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let engine = Engine(start.spawn().unwrap());
        engine::wait_for(|| match place {
            "live-captured" => file.query_row(captured, [], |row| row.get::<_, i64>(0)).unwrap() > 0,
            _ => database.psql("SELECT count(*) FROM n").is_ok_and(|rows| rows.trim() == "1"),
        });
        file.execute_batch("INSERT INTO n VALUES (NULL, 'x')").unwrap();
        let held = until(folder, |live| is_held_by(live, "delete them or give them a key"));
        assert!(held["pid"] == engine.0.id() && held["phase"] == phase, "{held:#}");
        file.execute_batch("DELETE FROM n WHERE k IS NULL").unwrap();
        let same = until(folder, is_same);
        assert!(same["pid"] == engine.0.id() && same["held"].is_null(), "{same:#}");
        done(folder, &["cutover"]);
        assert_eq!(database.psql("SELECT string_agg(k, ',') FROM n").unwrap().trim(), "a", "{place}");
    }
}

#[test]
fn a_row_without_a_key_costs_the_way_back_only_while_it_is_there() {
    let (folder, file, _, _engine) = scene(false);
    let folder = folder.path();
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse");
    let target = Connection::open(folder.join("new.db")).unwrap();
    target.execute_batch("INSERT INTO n VALUES (NULL, 'x')").unwrap();
    let held = until(folder, |live| is_held_by(live, "delete them or give them a key"));
    assert!(is_held_by(&held, "switchover finish --abandon-source"), "{held:#}");
    for verb in [&["rollback"][..], &["finish", "--yes"]] {
        let refused = run(folder, verb);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("delete them or give them a key"), "{verb:?}: {said}");
        assert!(!said.contains("takes the run back"), "{verb:?}: {said}");
    }
    target.execute_batch("DELETE FROM n WHERE k IS NULL; INSERT INTO n VALUES ('b', '2')").unwrap();
    done(folder, &["rollback", "--when-ready"]);
    assert_eq!(keys(&file), "a,b");
}

#[test]
fn a_row_that_the_source_refuses_names_the_constraint_and_what_to_do() {
    let (folder, file) = application();
    file.execute_batch(
        "CREATE TABLE u (id INTEGER PRIMARY KEY, e TEXT UNIQUE); INSERT INTO u VALUES (1, 'a')",
    )
    .unwrap();
    let database = Cluster::shared().unwrap().fresh_database("unique").unwrap();
    let folder = folder.path();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse");
    let unique = "SELECT conname FROM pg_constraint WHERE contype = 'u' AND conrelid = 'u'::regclass";
    let unique = database.psql(unique).unwrap();
    database.psql(&format!("ALTER TABLE u DROP CONSTRAINT \"{}\"", unique.trim())).unwrap();
    database.psql("INSERT INTO u VALUES (2, 'a')").unwrap();
    let held = until(folder, |live| is_held_by(live, "UNIQUE constraint failed: u.e"));
    let named = ["row id=2", "change or delete one of the two on the target"];
    assert!(named.iter().all(|part| is_held_by(&held, part)), "{held:#}");
    database.psql("UPDATE u SET e = 'b' WHERE id = 2").unwrap();
    done(folder, &["rollback", "--when-ready"]);
    let found: String = file.query_row("SELECT e FROM u WHERE id = 2", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "b");
}
