//! Every way in which a SQLite source cannot be opened has a message of its own, and changes nothing.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::open::{BUSY_TIMEOUT, open_read_only};
use switchover_core::Kind;

/// A file of `rows` rows, some pages long.
fn sample(path: &Path, rows: i64) -> Connection {
    let connection = Connection::open(path).expect("open");
    connection
        .execute_batch(
            "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT); CREATE INDEX by_body ON note(body);",
        )
        .expect("schema");
    connection
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO note SELECT i, 'body of note number ' || i FROM n",
            [rows],
        )
        .expect("rows");
    connection
}

#[track_caller]
fn check(path: &Path, kind: Kind, part: &str) {
    let before = fs::read(path).ok();
    let error = open_read_only(&SqliteConfig::from_path(path)).map(|_| ()).expect_err(part);
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(part), "{part:?} is not in {error}");
    assert!(error.to_string().starts_with("cannot open the SQLite source ("), "{error}");
    assert!(!error.what_to_do().is_empty(), "no hint: {error}");
    assert_eq!(fs::read(path).ok(), before, "the file changed");
}

#[test]
fn a_healthy_file_is_read_and_cannot_be_written() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("app.db");
    drop(sample(&path, 100));
    let connection = open_read_only(&SqliteConfig::from_path(&path)).expect("open");
    let rows: i64 = connection.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).expect("count");
    assert_eq!(rows, 100);
    assert!(connection.execute("DELETE FROM note", []).is_err());
    connection.execute_batch("PRAGMA query_only = OFF").expect("pragma");
    assert!(connection.execute("DELETE FROM note", []).is_err(), "read-only does not hang on the pragma");
    let immutable = format!("file:{}?immutable=1", path.display());
    open_read_only(&SqliteConfig::parse(&immutable).expect("parse")).expect("immutable");
}

#[test]
fn what_is_no_database_is_told_apart() {
    let dir = tempfile::tempdir().expect("dir");
    let path = |name: &str| dir.path().join(name);
    check(&path("missing.db"), Kind::NotFound, "there is no such file");
    assert!(!path("missing.db").exists());
    check(dir.path(), Kind::Config, "it is a directory");
    fs::write(path("empty.db"), b"").expect("write");
    check(&path("empty.db"), Kind::Corrupt, "it is empty (0 bytes)");
    fs::write(path("dump.db"), b"CREATE TABLE t(a);\n".repeat(400)).expect("write");
    check(&path("dump.db"), Kind::Corrupt, "it begins with \"CREATE TABLE t(a");
    let mut state = 1_u64;
    let random: Vec<u8> = (0..16_384)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect();
    fs::write(path("secret.db"), random).expect("write");
    check(&path("secret.db"), Kind::Corrupt, "an encrypted one");
}

#[test]
fn a_truncated_file_says_how_much_is_missing() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("cut.db");
    drop(sample(&path, 5_000));
    let whole = fs::metadata(&path).expect("meta").len();
    fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(whole - 4096)).expect("cut");
    check(&path, Kind::Corrupt, &format!("({whole} bytes), the file has {}", whole - 4096));
    fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(700)).expect("cut");
    check(&path, Kind::Corrupt, "it is truncated");
}

#[test]
fn a_damaged_schema_page_is_corrupt() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("bad.db");
    drop(sample(&path, 100));
    let mut bytes = fs::read(&path).expect("read");
    bytes[100..200].fill(0xEE);
    fs::write(&path, bytes).expect("write");
    check(&path, Kind::Corrupt, "the database is damaged");
}

#[test]
fn a_locked_file_is_waited_for_and_then_busy() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("held.db");
    let writer = sample(&path, 10);
    writer.execute_batch("BEGIN EXCLUSIVE").expect("lock");
    let began = Instant::now();
    // Without `check`: reading the file here would drop the writer's own locks (see `open`).
    let error = open_read_only(&SqliteConfig::from_path(&path)).map(|_| ()).expect_err("locked");
    assert_eq!(error.kind(), Kind::Busy, "{error:?}");
    assert!(began.elapsed() >= BUSY_TIMEOUT);
    writer.execute_batch("COMMIT").expect("unlock");
    open_read_only(&SqliteConfig::from_path(&path)).expect("free again");
}

#[test]
fn a_hot_journal_is_not_rolled_back_by_a_reader() {
    let dir = tempfile::tempdir().expect("dir");
    let (live, path) = (dir.path().join("live.db"), dir.path().join("killed.db"));
    let writer = sample(&live, 2_000);
    writer.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE note SET body = body || '!';").expect("spill");
    fs::copy(&live, &path).expect("copy");
    fs::copy(dir.path().join("live.db-journal"), dir.path().join("killed.db-journal")).expect("copy");
    check(&path, Kind::Busy, "a hot journal beside it must be rolled back first");
}

#[test]
fn a_wal_file_is_read_with_what_its_log_holds() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("wal.db");
    let writer = sample(&path, 10);
    writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)).expect("wal");
    writer.execute("INSERT INTO note VALUES (11, 'in the log')", []).expect("insert");
    let reader = open_read_only(&SqliteConfig::from_path(&path)).expect("open");
    let rows: i64 = reader.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).expect("count");
    assert_eq!(rows, 11);
}

#[test]
fn three_slashes_that_meant_four_are_explained() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("app.db");
    drop(sample(&path, 1));
    let config = SqliteConfig::parse(&format!("sqlite://{}", path.display())).expect("three slashes");
    let error = open_read_only(&config).map(|_| ()).expect_err("relative");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.what_to_do().contains("four slashes"), "{error:?}");
    assert!(error.what_to_do().contains(&format!("sqlite:///{}", path.display())), "{error:?}");
}
