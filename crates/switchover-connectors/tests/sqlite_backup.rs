//! A backup of a SQLite file is whole, stands alone, and goes back in place; and every doubt stops it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use switchover_connectors::sidecar::{Sidecar, path_of};
use switchover_connectors::sqlite::backup::{self, Progress};
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::restore::restore;
use switchover_core::Kind;

/// Two rows of one transfer always sum to zero: a torn copy shows.
fn ledger(path: &Path, wal: bool, transfers: i64) -> Connection {
    let connection = Connection::open(path).expect("open");
    let mode = if wal { "WAL" } else { "DELETE" };
    connection
        .query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get::<_, String>(0))
        .expect("mode");
    connection
        .execute_batch("CREATE TABLE entry (id INTEGER PRIMARY KEY, amount INTEGER, note TEXT); CREATE INDEX by_amount ON entry(amount);")
        .expect("schema");
    connection
        .execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             INSERT INTO entry (amount, note) SELECT s * i, hex(randomblob(100)) FROM n, (SELECT 1 AS s UNION ALL SELECT -1)",
            [transfers],
        )
        .expect("rows");
    connection
}

fn transfer(connection: &Connection, amount: i64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; INSERT INTO entry (amount, note) VALUES ({amount}, 'in'), (-{amount}, 'out'); COMMIT;"
    ))
}

fn totals(path: &Path) -> (i64, i64) {
    let connection = Connection::open(path).expect("open");
    connection
        .query_row("SELECT count(*), sum(amount) FROM entry", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("totals")
}

fn beside(path: &Path) -> Vec<PathBuf> {
    ["-wal", "-shm", "-journal"]
        .iter()
        .map(|suffix| PathBuf::from(format!("{}{suffix}", path.display())))
        .filter(|path| path.exists())
        .collect()
}

#[test]
fn a_round_trip_from_either_journal_mode() {
    for wal in [false, true] {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("app.db");
        let writer = ledger(&path, wal, 1_000);
        let mut seen = Vec::new();
        let info = backup::create(&SqliteConfig::from_path(&path), dir.path(), "one.sqlite", &mut |at| {
            seen.push(at)
        })
        .expect("create");
        assert_eq!(seen.last(), Some(&Progress::Checking));
        assert_eq!(info.sidecar.integrity, "ok");
        assert_eq!(info.sidecar.bytes, fs::metadata(&info.path).expect("meta").len());
        assert_eq!(beside(&info.path), Vec::<PathBuf>::new());
        assert!(!dir.path().join("one.sqlite.partial").exists());
        assert_eq!(fs::read(&info.path).expect("read")[18..20], [1, 1], "the copy is out of WAL mode");
        assert_eq!(backup::verify(&info.path).expect("verify"), info);
        assert_eq!(totals(&info.path), (2_000, 0));
        backup::verify(&info.path).expect("reading the backup did not change it");

        transfer(&writer, 7).expect("later");
        drop(writer);
        let error = restore(&info.path, &path, false).expect_err("no force");
        assert_eq!(error.kind(), Kind::AlreadyExists, "{error:?}");
        restore(&info.path, &path, true).expect("restore");
        assert_eq!(totals(&path), (2_000, 0));
        assert_eq!(beside(&path), Vec::<PathBuf>::new());
        restore(&info.path, &dir.path().join("new.db"), false).expect("to a new name");
        let listed = backup::list(dir.path()).expect("list");
        assert_eq!(listed.len(), 1);
        assert!(listed[0].problem.is_empty() && listed[0].path == info.path);
    }
}

#[test]
fn a_writer_goes_on_and_the_copy_is_one_state() {
    for wal in [false, true] {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("busy.db");
        drop(ledger(&path, wal, 30_000));
        let stop = AtomicBool::new(false);
        let (begun, first_write) = std::sync::mpsc::channel();
        let written = std::thread::scope(|scope| {
            let stop = &stop;
            let path = &path;
            let writer = scope.spawn(move || {
                let connection = Connection::open(path).expect("open");
                let mut written = 0_i64;
                while !stop.load(Ordering::Relaxed) {
                    transfer(&connection, written + 1).expect("the source stays writable");
                    written += 1;
                    begun.send(()).ok();
                    // The application's own pace: without WAL, a writer that never pauses keeps every reader out.
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                written
            });
            first_write.recv().expect("the writer writes");
            let rounds: Vec<_> = (0..3)
                .map(|round| {
                    let name = format!("{round}.sqlite");
                    backup::create(&SqliteConfig::from_path(path), dir.path(), &name, &mut |_| {})
                })
                .collect();
            // Before any assertion: a panic here would wait for the writer for ever.
            stop.store(true, Ordering::Relaxed);
            for info in rounds {
                let info = info.expect("create");
                let (rows, sum) = totals(&info.path);
                assert_eq!(sum, 0, "a torn copy, wal = {wal}");
                assert!(rows >= 60_000 && rows % 2 == 0);
            }
            writer.join().expect("writer")
        });
        assert!(written > 0);
        assert_eq!(totals(&path), (60_000 + 2 * written, 0), "wal = {wal}");
    }
}

#[test]
fn a_changed_backup_is_refused_everywhere() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("app.db");
    drop(ledger(&path, false, 100));
    let config = SqliteConfig::from_path(&path);
    let info = backup::create(&config, dir.path(), "b.sqlite", &mut |_| {}).expect("create");
    let again = backup::create(&config, dir.path(), "b.sqlite", &mut |_| {}).expect_err("never overwritten");
    assert_eq!(again.kind(), Kind::AlreadyExists);

    let mut bytes = fs::read(&info.path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&info.path, &bytes).expect("write");
    for error in [
        backup::verify(&info.path).expect_err("flipped bit"),
        restore(&info.path, &dir.path().join("x.db"), false).expect_err("flipped bit"),
    ] {
        assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
        assert!(error.to_string().contains("BLAKE3"), "{error}");
    }
    fs::write(&info.path, &bytes[..middle]).expect("write");
    assert!(backup::verify(&info.path).expect_err("cut").to_string().contains("the note says"));
    assert!(!backup::list(dir.path()).expect("list")[0].problem.is_empty());
    assert!(!dir.path().join("x.db").exists());

    fs::remove_file(path_of(&info.path)).expect("remove");
    assert_eq!(backup::verify(&info.path).expect_err("no note").kind(), Kind::NotFound);
}

#[test]
fn a_damaged_source_yields_no_backup() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("app.db");
    drop(ledger(&path, false, 2_000));
    let mut bytes = fs::read(&path).expect("read");
    let page = bytes.len() / 4096 / 2;
    bytes[page * 4096..page * 4096 + 200].fill(0xEE);
    fs::write(&path, bytes).expect("write");
    let error = backup::create(&SqliteConfig::from_path(&path), dir.path(), "b.sqlite", &mut |_| {})
        .expect_err("integrity_check finds it");
    assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
    assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1, "nothing stays");
}

#[test]
fn a_target_in_use_is_not_replaced() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("app.db");
    for wal in [false, true] {
        let _ = fs::remove_file(&path);
        let idle = ledger(&path, wal, 10);
        let name = format!("{wal}.sqlite");
        let info =
            backup::create(&SqliteConfig::from_path(&path), dir.path(), &name, &mut |_| {}).expect("create");
        let error = restore(&info.path, &path, true).expect_err("in use");
        assert_eq!(error.kind(), Kind::Busy, "{error:?}");
        transfer(&idle, 1).expect("the application is not disturbed");
        drop(idle);
        restore(&info.path, &path, true).expect("free now");
        assert_eq!(totals(&path), (20, 0));
    }
}

#[test]
fn the_log_of_a_killed_application_does_not_leak_into_the_restored_file() {
    let dir = tempfile::tempdir().expect("dir");
    let (live, path) = (dir.path().join("live.db"), dir.path().join("app.db"));
    let writer = ledger(&live, true, 500);
    let info =
        backup::create(&SqliteConfig::from_path(&live), dir.path(), "b.sqlite", &mut |_| {}).expect("create");
    writer
        .execute_batch("DELETE FROM entry; INSERT INTO entry VALUES (1, 99, 'from the log');")
        .expect("log");
    for suffix in ["", "-wal"] {
        fs::copy(format!("{}{suffix}", live.display()), format!("{}{suffix}", path.display())).expect("copy");
    }
    restore(&info.path, &path, true).expect("restore");
    assert_eq!(totals(&path), (1_000, 0));
    assert_eq!(beside(&path), Vec::<PathBuf>::new());
    let other = dir.path().join("garbage.db");
    fs::write(&other, "not a database").expect("write");
    restore(&info.path, &other, true).expect("over garbage, by force");
    assert_eq!(totals(&other), (1_000, 0));
}

#[test]
fn a_note_of_a_later_version_or_another_tool_is_refused() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("app.db");
    drop(ledger(&path, false, 1));
    let info =
        backup::create(&SqliteConfig::from_path(&path), dir.path(), "b.sqlite", &mut |_| {}).expect("create");
    let later = Sidecar { format_version: 99, ..info.sidecar.clone() };
    later.write(&info.path).expect("write");
    assert_eq!(backup::verify(&info.path).expect_err("later").kind(), Kind::Unsupported);
    fs::write(path_of(&info.path), "{}").expect("write");
    assert_eq!(backup::verify(&info.path).expect_err("other").kind(), Kind::Corrupt);
    let postgres = Sidecar { store: "postgres".to_owned(), ..info.sidecar };
    postgres.write(&info.path).expect("write");
    assert_eq!(backup::verify(&info.path).expect_err("other store").kind(), Kind::Config);
    assert!(backup::list(dir.path()).expect("list").is_empty());
}
