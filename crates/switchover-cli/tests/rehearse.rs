//! `switchover rehearse` on real stores: what it shows, and that nothing of it stays, however it ends.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;

use assert_cmd::cargo::CommandCargoExt;
use program::{done, flat, run};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// An application's file: keys of several columns, a cascade, a unique index, a table without a key.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE notes (owner INTEGER REFERENCES users(id) ON DELETE CASCADE, nr INTEGER, body TEXT,
        PRIMARY KEY (owner, nr)) WITHOUT ROWID;
    CREATE TABLE log (line TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        INSERT INTO users SELECT i, 'user ' || i FROM n;
    INSERT INTO notes SELECT id, 1, 'a note of ' || name FROM users;
    INSERT INTO log VALUES ('one'), ('two');";

fn application(mode: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = Connection::open(folder.path().join("app.db")).unwrap();
    file.execute_batch(SCHEMA).unwrap();
    file.execute_batch(&format!("PRAGMA journal_mode = {mode}")).unwrap();
    folder
}

fn dump(folder: &Path) -> Vec<String> {
    let file = Connection::open(folder.join("app.db")).unwrap();
    let sql = "SELECT sql FROM sqlite_schema UNION ALL SELECT id || name FROM users
        UNION ALL SELECT owner || nr || body FROM notes UNION ALL SELECT line FROM log";
    let mut statement = file.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
    rows.map(|row| row.unwrap().unwrap_or_default()).collect()
}

/// Schemas, roles and tables: whatever a rehearsal could leave.
fn objects(database: &Database) -> String {
    let schemas =
        "SELECT string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_'";
    let relations = "SELECT count(*) FROM pg_class";
    let functions = "SELECT count(*) FROM pg_proc";
    [schemas, relations, functions].map(|sql| database.psql(sql).unwrap()).join(" ")
}

/// Sends a process a signal.
fn signalled(id: u32, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, &id.to_string()]).status().unwrap().success());
}

fn is_clean(folder: &Path) -> bool {
    let state = folder.join(".switchover");
    !state.exists() || state.read_dir().unwrap().next().is_none()
}

/// What a rehearsal left that came to its end: a text, and nothing else. It is said where.
#[track_caller]
fn kept(folder: &Path, out: &str) -> String {
    let names = |folder: &Path| -> Vec<String> {
        let entries = folder.read_dir().unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let (state, texts) = (folder.join(".switchover"), folder.join(".switchover/rehearsals"));
    assert_eq!(names(&state), ["rehearsals"]);
    let found = names(&texts);
    assert_eq!(found.len(), 1, "{found:?}");
    let name = &found[0];
    assert!(out.contains(&format!("These times are kept in .switchover/rehearsals/{name}\n")), "{out}");
    std::fs::read_to_string(texts.join(name)).unwrap()
}

#[test]
fn the_whole_sequence_runs_and_both_stores_stay_as_they_were() {
    let folder = application("WAL");
    let database = Cluster::shared().unwrap().fresh_database("rehearse").unwrap();
    let (before, there) = (dump(folder.path()), objects(&database));
    let ran = run(folder.path(), &["rehearse", "--from", "sqlite:app.db", "--to", &database.url()]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    // Nothing is named that is removed.
    assert!(!ran.err.contains("the report is"), "{}", ran.err);
    let out = ran.out;
    for stage in ["copy ", "comparison of all rows", "rollback, and writes", "finish", "as a writer saw it"] {
        assert!(out.contains(stage), "{stage}: {}", out);
    }
    assert_eq!(out.matches("\nto the target").count(), 2, "{}", out);
    assert_eq!(out.matches("\nto the source").count(), 1, "{}", out);
    assert!(out.contains("1,002 rows were compared and equal"), "{}", out);
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{}", out);
    assert_eq!(dump(folder.path()), before);
    assert_eq!(objects(&database), there);
    let kept = kept(folder.path(), &out);
    let (head, times) = kept.split_once("\n\n").unwrap();
    assert!(head.starts_with("rehearsal of sqlite:app.db to ") && out.starts_with(times), "{kept}");
}

#[test]
fn a_file_is_rehearsed_with_a_file() {
    let folder = application("WAL");
    let out = done(folder.path(), &["rehearse", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    assert!(out.contains("1,002 rows were compared and equal"), "{}", out);
    assert!(kept(folder.path(), &out).contains("as a writer saw it"));
    assert!(!folder.path().join("new.db").exists());
}

#[test]
fn what_start_would_refuse_is_refused_and_nothing_stays() {
    let folder = application("DELETE");
    let database = Cluster::shared().unwrap().fresh_database("rehearse").unwrap();
    let there = objects(&database);
    let stores = ["--from", "sqlite:app.db", "--to", &database.url()];
    let refused = run(folder.path(), &[&["rehearse"][..], &stores].concat());
    let listed = run(folder.path(), &[&["start", "--dry-run"][..], &stores].concat());
    assert!(
        refused.code == 1 && flat(&refused.err).contains("its journal mode is delete"),
        "{}",
        refused.err
    );
    assert!(listed.code == 1 && flat(&listed.out).contains("its journal mode is delete"), "{}", listed.out);
    assert_eq!(objects(&database), there);
    assert!(is_clean(folder.path()));
}

#[test]
fn refusals_name_a_verb_that_lists_all() {
    let folder = application("WAL");
    let file = Connection::open(folder.path().join("app.db")).unwrap();
    for table in ["a", "b"] {
        let sql =
            format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, b TEXT, o TEXT AS (strftime('%Y', b)))");
        file.execute_batch(&sql).unwrap();
    }
    let database = Cluster::shared().unwrap().fresh_database("rehearse").unwrap();
    let stores = ["--from", "sqlite:app.db", "--to", &database.url()];
    let refused = run(folder.path(), &[&["rehearse"][..], &stores].concat());
    let said = flat(&refused.err);
    assert!(
        refused.code == 1 && said.contains("1 more refusals; `switchover start … --dry-run` lists all"),
        "{said}"
    );
    assert!(is_clean(folder.path()));
}

#[test]
fn a_role_that_may_not_make_schemas_is_told_and_nothing_stays() {
    let folder = application("WAL");
    let server = Cluster::shared().unwrap();
    let database = server.fresh_database("rehearse").unwrap();
    let role = format!("plain_{}", database.name());
    database.psql(&format!("CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}")).unwrap();
    let url = server.with_role(&role, None).url(database.name());
    let ran = run(folder.path(), &["rehearse", "--from", "sqlite:app.db", "--to", &url]);
    assert!(ran.code != 0 && flat(&ran.err).contains("GRANT CREATE ON DATABASE"), "{}{}", ran.out, ran.err);
    assert!(is_clean(folder.path()));
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn one_whose_application_cannot_write_ends_and_says_so() {
    let folder = application("WAL");
    let file = Connection::open(folder.path().join("app.db")).unwrap();
    let still = "CREATE TRIGGER still BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'rows stay'); END";
    file.execute_batch(still).unwrap();
    drop(file);
    let ran = run(folder.path(), &["rehearse", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    assert!(ran.code == 2 && flat(&ran.err).contains("write to the rehearsal's file"), "{}", ran.err);
    assert!(is_clean(folder.path()));
}

#[test]
fn one_that_is_stopped_leaves_nothing() {
    let folder = application("WAL");
    let database = Cluster::shared().unwrap().fresh_database("rehearse").unwrap();
    let (before, there) = (dump(folder.path()), objects(&database));
    // At the beginning of the copy, where the target owns the data, and where somebody has taken the schema for his own.
    for (reached, taken) in
        [("copy: begins", false), ("the target owns the data", false), ("the target owns the data", true)]
    {
        let mut child = Command::cargo_bin("switchover")
            .unwrap()
            .args(["rehearse", "--from", "sqlite:app.db", "--to", &database.url()])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        let said = || std::fs::read_to_string(folder.path().join("said")).unwrap();
        let begun = Instant::now();
        while !said().contains(reached) {
            assert!(
                begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(),
                "{}",
                said()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        let own = "(SELECT quote_ident(nspname) FROM pg_namespace WHERE starts_with(nspname, 'rehearsal_'))";
        let on_own = |before: &str, behind: &str| {
            let sql = format!("DO $$ BEGIN EXECUTE concat('{before}', {own}, $_${behind}$_$); END $$");
            database.psql(&sql).unwrap();
        };
        let id = child.id();
        if taken {
            // It would come to its end meanwhile.
            signalled(id, "STOP");
            on_own("COMMENT ON SCHEMA ", " IS 'mine'");
        }
        signalled(id, "INT");
        if taken {
            signalled(id, "CONT");
        }
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(2), "{}", said());
        if taken {
            let left = "what was made for it could not be removed: the schema \"rehearsal_";
            assert!(flat(&said()).contains(left) && !flat(&said()).contains("nothing is left"), "{}", said());
            on_own("DROP SCHEMA ", " CASCADE");
        } else {
            assert!(flat(&said()).contains("nothing is left of it"), "{}", said());
        }
        assert_eq!(dump(folder.path()), before);
        assert_eq!(objects(&database), there, "{reached}");
        assert!(is_clean(folder.path()), "{reached}");
    }
}
