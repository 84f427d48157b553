//! `backup` on real stores: what was made is whole, damage is found, nothing is replaced unasked.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;

use program::{done, flat, run};
use std::fs;
use std::path::Path;
use switchover_testkit::Cluster;
use tempfile::TempDir;

fn refused(folder: &Path, arguments: &[&str], code: i32, saying: &str) {
    let ran = run(folder, arguments);
    assert!(ran.code == code && flat(&ran.err).contains(saying), "{arguments:?}: {} {}", ran.code, ran.err);
}

fn sample() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO note(body) SELECT 'body ' || i FROM n",
    )
    .unwrap();
    folder
}

fn rows(path: &Path) -> Vec<(i64, String)> {
    let db = rusqlite::Connection::open(path).unwrap();
    let mut all = db.prepare("SELECT id, body FROM note ORDER BY id").unwrap();
    all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// The only backup of the default folder.
fn only_backup(folder: &Path) -> serde_json::Value {
    let listed = done(folder, &["backup", "list", "--json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.into_iter().next().unwrap()
}

#[test]
fn what_is_restored_is_the_file_behind_a_link() {
    let folder = sample();
    let at = folder.path();
    fs::create_dir(at.join("real")).unwrap();
    fs::rename(at.join("app.db"), at.join("real/app.db")).unwrap();
    std::os::unix::fs::symlink("real/app.db", at.join("app.db")).unwrap();
    let before = rows(&at.join("real/app.db"));
    done(at, &["backup", "create", "sqlite:app.db"]);
    let db = rusqlite::Connection::open(at.join("real/app.db")).unwrap();
    db.execute_batch("UPDATE note SET body = 'broken'").unwrap();
    drop(db);
    done(at, &["backup", "restore", "sqlite:app.db", "--force"]);
    assert_eq!(rows(&at.join("real/app.db")), before);
    assert!(at.join("app.db").is_symlink());
    fs::remove_file(at.join("real/app.db")).unwrap();
    refused(at, &["backup", "restore", "sqlite:app.db", "--force"], 2, "a link that leads nowhere");
}

#[test]
fn a_sqlite_backup_is_made_checked_damaged_refused_and_restored() {
    let folder = sample();
    let at = folder.path();
    assert_eq!(done(at, &["backup", "list"]), "no backups in .switchover/backups\n");
    refused(at, &["backup", "verify", "sqlite:app.db"], 2, "holds none of this store");
    let made = run(at, &["backup", "create", "sqlite:app.db"]);
    assert!(
        made.code == 0 && made.out.starts_with("made and checked: .switchover/backups/app-"),
        "{}",
        made.out
    );
    assert!(made.err.contains("backup: begins") && made.err.contains("backup: done in"), "{}", made.err);
    let whole = only_backup(at);
    let path = at.join(whole["path"].as_str().unwrap());
    assert!(whole["store"] == "sqlite:app.db" && whole["problem"] == "", "{whole}");
    assert_eq!(whole["bytes"], fs::metadata(&path).unwrap().len());

    // The same file by another path is the same store.
    let absolute = format!("sqlite:{}", at.join("app.db").display());
    assert!(done(at, &["backup", "list", &absolute]).contains("app-"));
    done(at, &["backup", "verify", &absolute]);
    assert!(done(at, &["backup", "verify", "--file", path.to_str().unwrap()]).starts_with("whole: "));
    assert!(!done(at, &["backup", "list", "sqlite:other.db"]).contains("app-"));

    refused(at, &["backup", "restore", "sqlite:app.db"], 2, "a file is there already");
    done(at, &["backup", "restore", "sqlite:new.db", "--file", path.to_str().unwrap()]);
    assert_eq!(rows(&at.join("new.db")), rows(&at.join("app.db")));
    rusqlite::Connection::open(at.join("app.db")).unwrap().execute("DELETE FROM note", []).unwrap();
    done(at, &["backup", "restore", "sqlite:app.db", "--force"]);
    assert_eq!(rows(&at.join("new.db")), rows(&at.join("app.db")));

    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    refused(at, &["backup", "verify", "sqlite:app.db"], 1, "its BLAKE3 is");
    refused(
        at,
        &["backup", "restore", "sqlite:third.db", "--file", path.to_str().unwrap()],
        1,
        "its BLAKE3 is",
    );
    assert!(!at.join("third.db").exists());
    fs::write(&path, &bytes[..middle]).unwrap();
    assert!(done(at, &["backup", "list"]).contains("DAMAGED"));
    refused(at, &["backup", "create", "sqlite:nowhere.db"], 2, "no such file");
}

/// By its name alone, another folder's file was replaced.
#[test]
fn a_backup_in_a_shared_folder_is_of_the_file_that_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    for at in [&one, &two] {
        fs::rename(sample().keep(), at).unwrap();
    }
    rusqlite::Connection::open(two.join("app.db")).unwrap().execute("DELETE FROM note", []).unwrap();
    let shared = |verb: &[&'static str]| [&["backup"][..], verb, &["--state-dir", "../state"]].concat();
    done(&one, &shared(&["create", "sqlite:app.db"]));
    let restore = shared(&["restore", "sqlite:app.db", "--force"]);
    refused(&two, &restore, 2, "holds none of this store");
    assert_eq!(rows(&two.join("app.db")).len(), 0);
    // Lost, it is the same file still; and so it is where all of it was moved.
    fs::remove_file(one.join("app.db")).unwrap();
    done(&one, &restore);
    assert_eq!(rows(&one.join("app.db")).len(), 2000);
    let moved = tempfile::tempdir().unwrap();
    for name in ["one", "state"] {
        fs::rename(folder.path().join(name), moved.path().join(name)).unwrap();
    }
    done(&moved.path().join("one"), &restore);
}

#[test]
fn a_named_file_is_made_where_it_was_asked_for_and_never_overwritten() {
    let folder = sample();
    let at = folder.path();
    done(at, &["backup", "create", "sqlite:app.db", "--file", "kept/one.sqlite", "--progress", "none"]);
    assert!(at.join("kept/one.sqlite").is_file() && at.join("kept/one.sqlite.json").is_file());
    refused(at, &["backup", "create", "sqlite:app.db", "--file", "kept/one.sqlite"], 2, "never overwritten");
    refused(at, &["backup", "verify", "--file", "kept/two.sqlite"], 2, "no such file");
}

#[test]
fn a_postgresql_backup_goes_into_a_fresh_database() {
    let server = Cluster::shared().unwrap();
    let (one, two) = (server.fresh_database("backup").unwrap(), server.fresh_database("restored").unwrap());
    one.psql("CREATE TABLE note(id bigint PRIMARY KEY, body text); INSERT INTO note SELECT i, 'b' || i FROM generate_series(1, 500) i").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let made = done(at, &["backup", "create", &one.conninfo()]);
    assert!(made.contains(".dump"), "{made}");
    let path = only_backup(at)["path"].as_str().unwrap().to_owned();
    done(at, &["backup", "verify", &one.conninfo()]);
    done(at, &["backup", "restore", &two.conninfo(), "--file", &path]);
    let all = "SELECT count(*), sum(id), md5(string_agg(body, ',' ORDER BY id)) FROM note";
    assert_eq!(one.psql(all).unwrap(), two.psql(all).unwrap());

    // What is there already is only replaced when that was asked for, and by halves never.
    two.psql("DELETE FROM note WHERE id > 10").unwrap();
    refused(at, &["backup", "restore", &two.conninfo(), "--file", &path], 2, "already exists");
    assert_eq!(two.psql("SELECT count(*) FROM note").unwrap(), "10");
    done(at, &["backup", "restore", &two.conninfo(), "--file", &path, "--force"]);
    assert_eq!(one.psql(all).unwrap(), two.psql(all).unwrap());

    let mut bytes = fs::read(at.join(&path)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(at.join(&path), &bytes).unwrap();
    refused(at, &["backup", "verify", "--file", &path], 1, "its BLAKE3 is");
    refused(at, &["backup", "restore", &two.conninfo(), "--file", &path, "--force"], 1, "its BLAKE3 is");
}

/// A note that names a newer server than any installed program can read.
#[test]
fn a_dump_of_a_newer_server_names_both_versions() {
    let server = Cluster::shared().unwrap();
    let one = server.fresh_database("newer").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    done(at, &["backup", "create", &one.conninfo(), "--file", "one.dump"]);
    let note = fs::read_to_string(at.join("one.dump.json")).unwrap();
    let mut note: serde_json::Value = serde_json::from_str(&note).unwrap();
    note["store_version"] = "99".into();
    fs::write(at.join("one.dump.json"), note.to_string()).unwrap();
    refused(at, &["backup", "verify", "--file", "one.dump"], 2, "the server's is 99");
}
