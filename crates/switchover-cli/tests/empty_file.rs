//! A SQLite target that is there and has no table: a rollback gives back its every byte, whenever it is killed.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{files, program, run};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A way in which an application's file can have no table.
struct Empty {
    what: &'static str,
    make: fn(&Path),
}

const EMPTY: [Empty; 5] = [
    Empty { what: "no byte", make: |path| fs::write(path, b"").expect("a file") },
    Empty {
        what: "a version",
        make: |path| sql(path, "PRAGMA user_version = 7; PRAGMA application_id = 99"),
    },
    Empty { what: "a log", make: |path| sql(path, "PRAGMA journal_mode = WAL; PRAGMA user_version = 3") },
    Empty {
        what: "free pages",
        make: |path| {
            sql(path, "CREATE TABLE gone (v); INSERT INTO gone VALUES (randomblob(50000)); DROP TABLE gone");
        },
    },
    Empty {
        what: "rights",
        make: |path| {
            sql(path, "PRAGMA page_size = 512; PRAGMA auto_vacuum = 1; VACUUM");
            fs::set_permissions(path, fs::Permissions::from_mode(0o640)).expect("rights");
        },
    },
];

fn sql(path: &Path, text: &str) {
    Connection::open(path).expect("a file").execute_batch(text).expect("its SQL");
}

fn verb(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = program(folder.path(), arguments);
    command.env("SWITCHOVER_TEST_CHUNK_BYTES", "2048").env("SWITCHOVER_PROGRESS", "none");
    command
}

fn migrate(folder: &TempDir) -> Command {
    verb(folder, &["migrate", "--from", "sqlite:app.db", "--to", "sqlite:new.db", "--no-backup"])
}

/// A folder with a source and an empty target.
fn folder(empty: &Empty) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    sql(
        &folder.path().join("app.db"),
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE); PRAGMA user_version = 5;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT i, 'v' || i FROM n;",
    );
    let target = folder.path().join("new.db");
    (empty.make)(&target);
    (folder, target)
}

/// What the target is, with its rights, and what lies beside it.
fn looks(target: &Path) -> (Vec<u8>, u32, Vec<PathBuf>) {
    let rights = fs::metadata(target).expect("a file").mode();
    let mut beside = files(target.parent().expect("a folder"));
    beside.retain(|path| !path.components().any(|part| part.as_os_str() == ".switchover"));
    beside.sort();
    (fs::read(target).expect("its bytes"), rights, beside)
}

#[test]
fn every_byte_comes_back() {
    for empty in &EMPTY {
        let (folder, target) = folder(empty);
        let before = looks(&target);
        run(&mut migrate(&folder)).exits(0);
        let rows: i64 = Connection::open(&target)
            .unwrap()
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 500, "{}", empty.what);
        run(&mut verb(&folder, &["rollback"])).exits(0);
        assert!(looks(&target) == before, "{}: {:?}", empty.what, looks(&target).2);
        // And the way is free again.
        run(&mut migrate(&folder)).exits(0);
    }
}

#[test]
fn whenever_it_is_killed() {
    for (at, place) in ["prepare-before-commit", "prepare-after-commit", "copy-after-commit", "before-done"]
        .iter()
        .enumerate()
    {
        let (folder, target) = folder(&EMPTY[at]);
        let before = looks(&target);
        run(migrate(&folder).env("FAILPOINTS", format!("{place}=return"))).was_killed();
        let killed = run(verb(&folder, &["rollback"]).env("FAILPOINTS", "discard-before-commit=return"));
        assert!(killed.signal == Some(9) || *place == "prepare-before-commit", "{place}: {killed}");
        run(verb(&folder, &["rollback"]).env("FAILPOINTS", "after-discard=return"));
        run(&mut verb(&folder, &["rollback"])).exits(0);
        assert!(looks(&target) == before, "{place}: {:?}", looks(&target).2);
    }
}

/// A file that is too large to be kept whole keeps its free pages, and has the numbers back that were the application's.
#[test]
fn of_a_large_file_everything_but_the_bytes_comes_back() {
    let large = Empty {
        what: "many free pages",
        make: |path| {
            sql(
                path,
                "PRAGMA user_version = 7; PRAGMA application_id = 99; CREATE TABLE gone (v); INSERT INTO gone VALUES (randomblob(2000000)); DROP TABLE gone",
            );
        },
    };
    let (folder, target) = folder(&large);
    let numbers = || {
        let target = Connection::open(&target).unwrap();
        let one = |name: &str| target.query_row(name, [], |row| row.get::<_, i64>(0)).unwrap();
        let mode: String = target.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        let tables = one("SELECT count(*) FROM sqlite_schema");
        (one("PRAGMA user_version"), one("PRAGMA application_id"), tables, mode)
    };
    let before = (7, 99, 0, "delete".to_owned());
    assert_eq!(numbers(), before);
    run(&mut migrate(&folder)).exits(0);
    assert_eq!(numbers().0, 5, "the source's");
    run(&mut verb(&folder, &["rollback"])).exits(0);
    assert_eq!(numbers(), before);
    // What the application said since is its own.
    run(&mut migrate(&folder)).exits(0);
    sql(&target, "PRAGMA user_version = 12");
    run(&mut verb(&folder, &["rollback"])).exits(0);
    assert_eq!(numbers(), (12, 99, 0, "delete".to_owned()));
}

#[test]
fn what_an_application_put_there_since_stays() {
    let (folder, target) = folder(&EMPTY[1]);
    run(&mut migrate(&folder)).exits(0);
    sql(&target, "CREATE TABLE its_own (v); INSERT INTO its_own VALUES ('kept')");
    run(&mut verb(&folder, &["rollback"])).exits(0);
    let target = Connection::open(&target).unwrap();
    let one = |sql: &str| target.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("SELECT v FROM its_own"), "kept");
    assert_eq!(one("SELECT group_concat(name) FROM sqlite_schema"), "its_own");
}

#[test]
fn the_lock_of_a_run_that_was_killed_while_it_planned_is_gone_with_the_next_look() {
    for (goal, verbs) in [("sqlite:new.db", ["plan", "doctor"]), ("json:new.json", ["doctor", "plan"])] {
        for next in verbs {
            let (folder, target) = folder(&EMPTY[0]);
            fs::remove_file(&target).expect("no target");
            let both = ["--from", "sqlite:app.db", "--to", goal];
            let mut killed = verb(&folder, &["migrate", "--no-backup"]);
            run(killed.args(both).env("FAILPOINTS", "after-claim=return")).was_killed();
            let locks =
                || files(folder.path()).iter().filter(|path| path.to_string_lossy().contains("lock")).count();
            assert_eq!(locks(), 1, "{goal}");
            run(verb(&folder, &[next]).args(both)).exits(0);
            assert_eq!(locks(), 0, "{goal}: {next}");
            run(verb(&folder, &["migrate", "--no-backup"]).args(both)).exits(0);
        }
    }
}
