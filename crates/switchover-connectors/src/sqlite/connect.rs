//! Connections to a target's file, with the settings that a run depends on: set, and read back.
//!
//! Invariants: no trigger and no foreign key acts on what this tool writes; every setting that SQLite
//! answers otherwise than asked is an error. Absent: the source's side, which is `open`, and only reads.

use super::error::classify;
use super::open::{BUSY_TIMEOUT, explain};
pub(super) use crate::blocking::blocking;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use switchover_core::{Error, Kind, Result};

/// The page cache of a connection that writes, and of each sort that makes an index. Rows come in the order of their
/// tree and indexes are built sorted, so more than this gains little: measured, 24 MiB are no faster than 8.
const CACHE_KIB: i64 = 4 << 10;

/// Pages of write-ahead log after which it is folded back: 128 MiB of disk with pages of 4 KiB.
const LOG_PAGES: i64 = 32_768;

const OPERATION: &str = "open the SQLite target";

/// How long a commit waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commits {
    /// Until its rows are safe from a crash of this process; the machine's may take back the newest.
    Soon,
    /// Until the disk has them, and with them all that were before.
    Durable,
}

/// Opens an existing file to write it.
pub(super) fn open(path: &Path, commits: Commits) -> Result<Connection> {
    let connection = bare(path)?;
    match text(&connection, path, "PRAGMA journal_mode = WAL")?.as_str() {
        "wal" => {}
        other => {
            return Err(Error::new(Kind::Unsupported, OPERATION)
                .store(path.display().to_string())
                .detail(format!("its journal mode stays {other} where WAL was asked for"))
                .hint("name a file on a local disk: WAL needs shared memory"));
        }
    }
    let level = match commits {
        Commits::Soon => 1,
        Commits::Durable => 2,
    };
    set(&connection, path, "synchronous", level)?;
    set(&connection, path, "wal_autocheckpoint", LOG_PAGES)?;
    // A sort for an index has a thread beside its own.
    set(&connection, path, "threads", 1)?;
    Ok(connection)
}

/// Opens a file, or makes it, with rows that act on nothing, and leaves its journal as it is.
pub(super) fn bare(path: &Path) -> Result<Connection> {
    opened(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Opens an existing file for the engine of a live run: as [`bare`], with commits that the disk has. `log_pages`
/// is the write-ahead log after which it is folded back; `None` leaves that to SQLite's own.
pub(super) fn live(path: &Path, log_pages: Option<i64>) -> Result<Connection> {
    let connection = bare(path)?;
    set(&connection, path, "synchronous", 2)?;
    if let Some(pages) = log_pages {
        set(&connection, path, "wal_autocheckpoint", pages)?;
    }
    Ok(connection)
}

/// Makes a file.
pub(super) fn make(path: &Path) -> Result<Connection> {
    let connection = opened(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    set(&connection, path, "synchronous", 2)?;
    Ok(connection)
}

/// Closes a connection to a file that has lost its name. The last one to close would take the write-ahead log of that name
/// with it, which is another file's by now.
pub(super) fn abandon(connection: Connection) {
    // It is closed all the same; what could not be set costs only where the other file has a log.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

fn opened(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok(connection)
    };
    let connection = open().map_err(|error| explain(error, path, OPERATION))?;
    set(&connection, path, "foreign_keys", 0)?;
    set(&connection, path, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

/// Sets a PRAGMA and reads it back.
fn set(connection: &Connection, path: &Path, name: &str, value: i64) -> Result<()> {
    let fail = |error| classify(error, OPERATION, path);
    connection.execute_batch(&format!("PRAGMA {name} = {value}")).map_err(fail)?;
    let found: i64 = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).map_err(fail)?;
    if found == value {
        return Ok(());
    }
    Err(Error::new(Kind::Unsupported, OPERATION)
        .store(path.display().to_string())
        .detail(format!("PRAGMA {name} stays {found} where {value} was asked for"))
        .hint("this is a defect of this program or of its SQLite: please report it"))
}

/// The one text that a PRAGMA answers.
pub(super) fn text(connection: &Connection, path: &Path, pragma: &str) -> Result<String> {
    connection.query_row(pragma, [], |row| row.get(0)).map_err(|error| classify(error, OPERATION, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchover_core::Kind;

    fn number(connection: &Connection, pragma: &str) -> i64 {
        connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).expect("a number")
    }

    #[test]
    fn what_is_set_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.db");
        drop(make(&path).expect("a file"));
        for (commits, level) in [(Commits::Soon, 1), (Commits::Durable, 2)] {
            let connection = open(&path, commits).expect("opens");
            assert_eq!(text(&connection, &path, "PRAGMA journal_mode").expect("a mode"), "wal");
            assert_eq!(number(&connection, "synchronous"), level);
            assert_eq!(
                number(&connection, "foreign_keys"),
                0,
                "parents may come later; the audit checks them"
            );
            assert_eq!(number(&connection, "wal_autocheckpoint"), LOG_PAGES);
        }
    }

    #[test]
    fn a_setting_that_stays_otherwise_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.db");
        let connection = make(&path).expect("a file");
        let error = set(&connection, &path, "page_count", 77).expect_err("nobody sets that");
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("PRAGMA page_count stays"), "{error}");
        // A database in memory has no log.
        let memory = Connection::open_in_memory().expect("memory");
        assert_ne!(text(&memory, &path, "PRAGMA journal_mode = WAL").expect("a mode"), "wal");
    }
}
