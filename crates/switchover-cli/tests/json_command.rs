//! The program with `json:` on either side, as a user types it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;

use program::{done, flat, run};
use std::fs;

const DUMP: &str = r#"{"users":[{"id":1,"admin":true},{"id":2,"admin":false}]}"#;

/// The one file in a folder that is no note.
fn only(folder: &std::path::Path) -> std::path::PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    // The note has the file's name and an ending more.
    assert_eq!(files.len(), 2, "{files:?}");
    assert_eq!(files[1], switchover_connectors::sidecar::path_of(&files[0]));
    files.swap_remove(0)
}

#[test]
fn a_dump_goes_to_a_file_and_back_by_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("dump.json"), DUMP).unwrap();
    let there = ["--from", "json:dump.json", "--to", "sqlite:app.db"];
    assert!(
        flat(&done(here, &[&["doctor"][..], &there].concat())).contains("JSON to its end: 1 tables, 2 rows")
    );
    let out = done(here, &[&["migrate", "--archive", "kept/dumps"][..], &there].concat());
    let kept = only(&here.join("kept/dumps"));
    assert_eq!(fs::read_to_string(&kept).unwrap(), DUMP);
    let name = kept.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("dump-2") && name.ends_with("Z.json"), "{name}");
    assert!(out.contains("archived as kept/dumps/dump-2"), "{out}");
    assert_eq!(fs::read_to_string(here.join("dump.json")).unwrap(), DUMP, "the dump itself stays");
    done(here, &["cleanup", "--yes"]);
    let back = ["--from", "sqlite:app.db", "--to", "json:back.json"];
    assert!(done(here, &[&["doctor"][..], &back].concat()).contains("json:back.json will be made"));
    done(here, &[&["migrate"][..], &back].concat());
    done(here, &[&["verify"][..], &back].concat());
    let lines = "{\"users\":[\n{\"id\":1,\"admin\":true},\n{\"id\":2,\"admin\":false}\n]}\n";
    assert_eq!(fs::read_to_string(here.join("back.json")).unwrap(), lines);
    done(here, &["rollback"]);
    assert!(!here.join("back.json").exists() && !here.join("back.json.switchover").exists());
}

#[test]
fn nothing_is_written_among_the_files_of_a_dump() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    fs::create_dir(&dump).unwrap();
    fs::write(dump.join("users.jsonl"), "{\"id\":1}\n").unwrap();
    let stores = ["--from", "json:.", "--to", "sqlite:../app.db"];
    for more in [&["plan"][..], &["plan", "-o", "../dump/p.json"], &["migrate", "--report", "r.json"]] {
        let ran = run(&dump, &[more, &stores].concat());
        assert_eq!(ran.code, 2, "{more:?}: {}{}", ran.out, ran.err);
        assert!(flat(&ran.err).contains(" would be a table of this dump"), "{}", ran.err);
    }
    done(&dump, &[&["plan", "-o", "../p.json"][..], &stores].concat());
    done(&dump, &[&["migrate", "--report", "r.md"][..], &stores].concat());
    let names = fs::read_dir(&dump).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.filter(|name| name != ".switchover").collect();
    names.sort();
    assert_eq!(names, ["r.md", "users.jsonl"]);
}

/// What somebody else put into the folder of a dump is not the run's.
#[test]
fn a_rollback_takes_the_runs_own_files_out_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("dump.json"), DUMP).unwrap();
    let arguments = ["migrate", "--from", "json:dump.json", "--to", "json:out/"];
    done(here, &arguments);
    for (name, text) in [("other.jsonl", "{\"id\":1}\n"), ("notes.txt", "mine")] {
        fs::write(here.join("out").join(name), text).unwrap();
    }
    fs::create_dir(here.join("out/below")).unwrap();
    let ran = run(here, &["rollback"]);
    let named = "\"below\" in it is not the run's: what was changed since the migration would be lost";
    assert!(ran.code == 1 && flat(&ran.err).contains(named), "{} {}", ran.code, ran.err);
    done(here, &["rollback", "--discard-target-changes"]);
    let mut left: Vec<_> =
        fs::read_dir(here.join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["below", "notes.txt", "other.jsonl"]);
    fs::remove_dir_all(here.join("out")).unwrap();
    done(here, &arguments);
    done(here, &["rollback"]);
    assert!(!here.join("out").exists());
    // A member that nobody compares, because the run moved no such table.
    done(here, &["migrate", "--from", "json:dump.json", "--to", "json:one.json"]);
    let more = fs::read_to_string(here.join("one.json")).unwrap().replacen('{', "{\"mine\":[{\"a\":1}],", 1);
    fs::write(here.join("one.json"), &more).unwrap();
    let ran = run(here, &["rollback"]);
    assert!(ran.code == 1 && flat(&ran.err).contains("the dump was written to"), "{} {}", ran.code, ran.err);
    assert_eq!(fs::read_to_string(here.join("one.json")).unwrap(), more);
}

/// What the application made at the run's tables since would go with them.
#[test]
fn a_rollback_names_indexes_triggers_and_views_that_came_since() {
    for (made, named, stays) in [
        ("CREATE INDEX mine ON users(admin)", "the index mine of users is not the run's", 0),
        ("CREATE TRIGGER mine AFTER DELETE ON users BEGIN SELECT 1; END", "the trigger mine of users", 0),
        ("CREATE VIEW mine AS SELECT id FROM Users", "the view mine of users is not the run's", 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        fs::write(here.join("dump.json"), DUMP).unwrap();
        done(here, &["migrate", "--from", "json:dump.json", "--to", "sqlite:app.db"]);
        rusqlite::Connection::open(here.join("app.db")).unwrap().execute_batch(made).unwrap();
        let ran = run(here, &["rollback"]);
        assert!(ran.code == 1 && flat(&ran.err).contains(named), "{} {}", ran.code, ran.err);
        done(here, &["rollback", "--discard-target-changes"]);
        // The file goes too, unless something of somebody else's came into it.
        let left = rusqlite::Connection::open(here.join("app.db")).unwrap();
        let left = left.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
        assert_eq!(left, Ok(stays));
    }
}

/// Committed rows that lie in a log only would be left out in silence.
#[test]
fn a_file_with_a_log_is_not_read_as_one_that_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let db = rusqlite::Connection::open(here.join("app.db")).unwrap();
    db.execute_batch("CREATE TABLE t(n); INSERT INTO t VALUES (1)").unwrap();
    let arguments = ["migrate", "--from", "sqlite:app.db?immutable=1", "--to", "sqlite:new.db"];
    done(here, &arguments);
    done(here, &["rollback"]);
    db.execute_batch("PRAGMA journal_mode = WAL; INSERT INTO t VALUES (2)").unwrap();
    let ran = run(here, &arguments);
    let said = "immutable=1 has SQLite leave out what app.db-wal holds";
    assert!(ran.code == 1 && flat(&ran.err).contains(said), "{} {}", ran.code, ran.err);
    assert!(!here.join("new.db").exists());
}

/// The journal names a store as it can be read again.
#[test]
fn names_with_signs_of_urls_are_found_again() {
    for (url, file) in [("sqlite:my%3Fown%23.db", "my?own#.db"), ("json:100%25.json", "100%.json")] {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        fs::write(here.join("dump?%.json"), DUMP).unwrap();
        done(here, &["migrate", "--from", "json:dump%3F%25.json", "--to", url]);
        assert!(here.join(file).exists(), "{file}");
        done(here, &["rollback"]);
        assert!(!here.join(file).exists(), "{file}");
    }
}

#[test]
fn a_variable_that_holds_no_url_is_named_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    for value in ["S3cretPw", "S3cret:Pw"] {
        fs::write(folder.path().join(".env"), format!("X={value}\n")).unwrap();
        let ran = run(folder.path(), &["migrate", "--from", "json:dump.json", "--to", "env:X"]);
        assert!(ran.code == 2 && ran.err.contains('X') && !ran.err.contains("S3cret"), "{}", ran.err);
    }
}

/// A file stands where the folder is to be: nothing is moved.
#[test]
fn an_archive_that_cannot_be_made_is_refused_first() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("dump.json"), DUMP).unwrap();
    fs::write(here.join("kept"), "a file").unwrap();
    let arguments = ["migrate", "--archive", "kept", "--from", "json:dump.json", "--to", "sqlite:app.db"];
    let ran = run(here, &arguments);
    assert!(ran.code == 2 && ran.err.contains("the folder cannot be made"), "{} {}", ran.code, ran.err);
    assert!(!here.join("app.db").exists());
    assert_eq!(fs::read_to_string(here.join("kept")).unwrap(), "a file");
}

#[test]
fn what_the_program_cannot_do_with_a_dump_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("dump.json"), DUMP).unwrap();
    rusqlite::Connection::open(here.join("app.db")).unwrap().execute_batch("CREATE TABLE t(n)").unwrap();
    for (arguments, says) in [
        (
            &["--from", "sqlite:app.db", "--to", "json:b.json", "--archive", "kept"][..],
            "keeps a dump in JSON",
        ),
        (&["--from", "json:.", "--to", "json:b.json", "--archive", "kept"], "a folder is many files"),
        (&["--from", "sqlite:app.db", "--to", "json:b.json", "--schema", "public"], "a dump has no schemas"),
        (&["--from", "sqlite:app.db", "--to", "json:b.txt"], "neither a document nor a folder"),
        (&["--from", "json:dump.json", "--to", "json:dump.json"], "it is the source itself"),
        (
            &["--from", "sqlite:app.db", "--to", "json:b.json", "--into", "existing"],
            "tables that are there already",
        ),
    ] {
        let ran = run(here, &[&["migrate"][..], arguments].concat());
        assert_ne!(ran.code, 0, "{arguments:?}");
        assert!(flat(&ran.err).contains(says), "{arguments:?}: {}", ran.err);
        let mut names: Vec<_> = fs::read_dir(here)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.retain(|name| name != ".switchover");
        assert_eq!(names, ["app.db", "dump.json"], "{arguments:?}");
    }
}
