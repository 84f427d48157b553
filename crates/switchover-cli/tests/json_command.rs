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
