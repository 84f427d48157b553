//! `doctor` on real stores: what is found is said with what to do, and a fault is exit code 1.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;

use program::{done, flat, run};
use std::path::Path;
use switchover_testkit::Cluster;

fn database(at: &Path, sql: &str) {
    rusqlite::Connection::open(at.join("app.db")).unwrap().execute_batch(sql).unwrap();
}

fn says(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(flat(text).contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn two_healthy_stores_are_ready() {
    let folder = tempfile::tempdir().unwrap();
    database(folder.path(), "PRAGMA journal_mode = WAL; CREATE TABLE a(id INTEGER PRIMARY KEY)");
    let empty = Cluster::shared().unwrap().fresh_database("doctor").unwrap();
    let out = done(folder.path(), &["doctor", "--from", "sqlite:app.db", "--to", &empty.conninfo()]);
    says(
        &out,
        &[
            "ok source: journal mode wal:",
            "ok source: encoding UTF-8",
            "ok source: integrity quick_check says ok",
            "ok source: foreign keys every row has its parents",
            "ok source: room for a backup 8.2 kB needed",
            "ok target: version PostgreSQL",
            "ok target: rights the role may create tables in the schema \"public\"",
            "ok target: schema \"public\" is empty",
            "ok target: connections",
            "ok target: room for the data about",
        ],
    );
}

#[test]
fn what_hurts_is_named_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    database(
        folder.path(),
        "PRAGMA foreign_keys = OFF; CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id)); INSERT INTO c VALUES (7)",
    );
    let full = Cluster::shared().unwrap().fresh_database("doctor").unwrap();
    full.psql("CREATE TABLE theirs(x int)").unwrap();
    let ran = run(folder.path(), &["doctor", "--from", "sqlite:app.db", "--to", &full.conninfo()]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    says(
        &ran.out,
        &[
            "warning source: journal mode delete: the application cannot write",
            "warning source: foreign keys 1 rows lack a parent",
            "FAULT target: schema \"public\" is not empty: it holds table theirs -- name an empty",
            "NOT ready: 1 fault",
        ],
    );
    let json = run(folder.path(), &["doctor", "--from", "sqlite:app.db", "--json"]);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&json.out).unwrap();
    assert!(json.code == 0 && findings.iter().any(|f| f["level"] == "warning"), "{}", json.out);
}

#[test]
fn an_obstacle_at_one_store_does_not_hide_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = "host=127.0.0.1 port=1 dbname=x user=x";
    let ran = run(folder.path(), &["doctor", "--from", "sqlite:gone.db", "--to", nowhere]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    says(&ran.out, &["FAULT source: file", "there is no such file", "FAULT target: connection", "2 faults"]);
}

#[test]
fn a_role_without_rights_and_a_limit_on_connections_are_faults() {
    let server = Cluster::shared().unwrap();
    let database = server.fresh_database("doctor").unwrap();
    let role = format!("r_{}", database.name());
    database
        .psql(&format!(
            "CREATE ROLE {role} LOGIN CONNECTION LIMIT 2; REVOKE ALL ON SCHEMA public FROM public;
             REVOKE TEMP ON DATABASE {} FROM public",
            database.name()
        ))
        .unwrap();
    let poor = server.with_role(&role, None).conninfo(database.name());
    let folder = tempfile::tempdir().unwrap();
    let ran = run(folder.path(), &["doctor", "--to", &poor, "--schema", "public"]);
    let other = run(folder.path(), &["doctor", "--to", &poor, "--schema", "fresh"]);
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
    assert_eq!((ran.code, other.code), (1, 1), "{}", ran.out);
    says(
        &ran.out,
        &[
            "FAULT target: rights the role may not create tables in the schema \"public\"",
            "FAULT target: connections",
            "warning target: temporary tables",
        ],
    );
    says(&other.out, &["the schema \"fresh\" does not exist and the role may not make it"]);
}

#[test]
fn a_backup_that_cannot_fit_is_refused_before_anything_is_written() {
    // A file of holes: far larger than the disk, and its one page of schema is whole.
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    database(at, "CREATE TABLE a(id INTEGER PRIMARY KEY)");
    let file = std::fs::OpenOptions::new().write(true).open(at.join("app.db")).unwrap();
    let pages: u32 = 3_900_000_000;
    file.set_len(u64::from(pages) * 4096).unwrap();
    use std::os::unix::fs::FileExt;
    file.write_all_at(&pages.to_be_bytes(), 28).unwrap();
    drop(file);
    let empty = Cluster::shared().unwrap().fresh_database("room").unwrap();
    let ran = run(at, &["migrate", "--from", "sqlite:app.db", "--to", &empty.conninfo()]);
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    assert!(flat(&ran.err).contains("the backup needs 15974.4 GB"), "{}", ran.err);
    assert!(!at.join(".switchover").exists());
    assert_eq!(empty.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(), "0");
    let direct = run(at, &["backup", "create", "sqlite:app.db"]);
    assert!(direct.code == 2 && flat(&direct.err).contains("are free there"), "{}", direct.err);
}

#[test]
fn a_file_to_move_to_is_looked_at_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    database(folder.path(), "CREATE TABLE a(id INTEGER PRIMARY KEY)");
    let out = done(folder.path(), &["doctor", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    says(
        &out,
        &[
            "ok target: file sqlite:new.db will be made",
            "ok target: content no tables yet",
            "ok target: room",
        ],
    );
    assert!(!folder.path().join("new.db").exists());
    done(
        folder.path(),
        &["migrate", "--from", "sqlite:app.db", "--to", "sqlite:new.db", "--progress", "none"],
    );
    says(
        &done(folder.path(), &["doctor", "--to", "sqlite:new.db"]),
        &["warning target: content the file holds the run"],
    );
    done(folder.path(), &["cleanup", "--yes", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    let ran = run(folder.path(), &["doctor", "--to", "sqlite:new.db"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    says(&ran.out, &["FAULT target: content the file holds 1 objects already, such as table a"]);
}
