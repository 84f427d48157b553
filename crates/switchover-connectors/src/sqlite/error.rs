//! SQLite's errors in the project's terms: by extended result code, never by text.
//!
//! Invariant: every result code has an arm below or falls to its primary code's; SQLite's own message is kept
//! as the cause. Absent: what a look at the file adds to "not a database" or "malformed", which is `open`.

use std::path::Path;

use rusqlite::ffi;
use switchover_core::{Error, Kind};

/// What `error`, met on `path` while doing `operation`, means and what to do about it.
pub fn classify(error: rusqlite::Error, operation: &str, path: &Path) -> Error {
    let Some(code) = extended_code(&error) else {
        return Error::new(Kind::Internal, operation)
            .store(path.display().to_string())
            .detail("SQLite was asked for something that it does not answer in that form")
            .hint("this is a defect of this program: please report it with the message below")
            .because(error);
    };
    let (kind, detail, hint) = meaning(code);
    Error::new(kind, operation)
        .store(path.display().to_string())
        .detail(format!("{detail} (SQLite result code {code})"))
        .hint(hint)
        .because(error)
}

/// The extended result code, if the error came from SQLite at all.
pub fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => Some(failure.extended_code),
        rusqlite::Error::SqlInputError { error: failure, .. } => Some(failure.extended_code),
        _ => None,
    }
}

/// The primary result code, if the error came from SQLite at all.
pub fn primary_code(error: &rusqlite::Error) -> Option<i32> {
    extended_code(error).map(|code| code & 0xff)
}

/// Whether somebody else holds a lock, so that the same call may succeed later.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(primary_code(error), Some(ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED))
}

type Meaning = (Kind, &'static str, &'static str);

fn meaning(code: i32) -> Meaning {
    match code {
        ffi::SQLITE_READONLY_ROLLBACK => (
            Kind::Busy,
            "a hot journal beside it must be rolled back first, and this program never writes to the source",
            "a program that was writing was killed: open the file once with the application (or: sqlite3 FILE 'SELECT 1 FROM sqlite_schema'), then try again",
        ),
        ffi::SQLITE_READONLY_RECOVERY | ffi::SQLITE_READONLY_CANTINIT | ffi::SQLITE_READONLY_DIRECTORY => (
            Kind::Permission,
            "it is in WAL mode, and the files -wal and -shm beside it cannot be made or opened",
            "run as the user that owns the file, with rights to write its directory; or copy the file together with its -wal to where you may write",
        ),
        ffi::SQLITE_IOERR_NOMEM => NO_MEMORY,
        ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA => (
            Kind::Corrupt,
            "the file ends in the middle of a page, or its file system returned damaged data",
            "restore a backup, or rescue what can be read with sqlite3's .recover",
        ),
        ffi::SQLITE_IOERR_LOCK | ffi::SQLITE_IOERR_RDLOCK | ffi::SQLITE_IOERR_SHMLOCK => (
            Kind::Io,
            "its file system does not do locks",
            "SQLite must not be read live over a network share: copy the file to a local disk while the application is stopped",
        ),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
            (Kind::Rejected, "a foreign key is violated", "see the cause above")
        }
        _ => primary_meaning(code & 0xff),
    }
}

const NO_MEMORY: Meaning =
    (Kind::Exhausted, "no memory is left", "give the process more memory, or lower --memory-limit");

fn primary_meaning(primary: i32) -> Meaning {
    match primary {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => (
            Kind::Busy,
            "it is locked: another program is writing to it and did not finish in time",
            "wait until its transaction ends, or find the program that holds it (lsof FILE)",
        ),
        ffi::SQLITE_NOTADB => (
            Kind::Corrupt,
            "it is not a SQLite database, or an encrypted one",
            "check the path; an encrypted file must be exported to a plain one first",
        ),
        ffi::SQLITE_CORRUPT => (
            Kind::Corrupt,
            "the database is damaged: a page does not hold what its place requires",
            "run PRAGMA integrity_check to see how much; restore a backup, or rescue with sqlite3's .recover, and migrate that",
        ),
        ffi::SQLITE_FORMAT => (
            Kind::Unsupported,
            "its file format is newer than the SQLite in this program",
            "use a newer release of this program",
        ),
        ffi::SQLITE_FULL => {
            (Kind::Exhausted, "the disk is full", "free space there, or name another directory")
        }
        ffi::SQLITE_NOMEM => NO_MEMORY,
        ffi::SQLITE_CANTOPEN => (
            Kind::Permission,
            "SQLite cannot open it or a file that it needs beside it",
            "check the rights to the file, to its directory, and to -wal and -shm beside it",
        ),
        ffi::SQLITE_PERM | ffi::SQLITE_AUTH => {
            (Kind::Permission, "access is denied", "run as a user with rights to the file and its directory")
        }
        ffi::SQLITE_READONLY => (
            Kind::Permission,
            "it can only be read",
            "check the rights to the file and to its directory, and how its file system is mounted",
        ),
        ffi::SQLITE_IOERR => {
            (Kind::Io, "reading or writing it failed", "look at the system's log: the disk may be failing")
        }
        ffi::SQLITE_INTERRUPT => (Kind::Interrupted, "it was stopped", "run it again"),
        ffi::SQLITE_CONSTRAINT => (Kind::Rejected, "a constraint is violated", "see the cause above"),
        ffi::SQLITE_TOOBIG | ffi::SQLITE_MISMATCH | ffi::SQLITE_RANGE => {
            (Kind::Rejected, "a value does not fit", "see the cause above")
        }
        ffi::SQLITE_SCHEMA => (Kind::Changed, "its schema changed meanwhile", "plan again"),
        ffi::SQLITE_ERROR => (
            Kind::Rejected,
            "SQLite rejected the statement",
            "the table may use a module or a function that only the application has; see the cause above",
        ),
        _ => (
            Kind::Internal,
            "SQLite reports an error that this program should not cause",
            "please report it with the message below",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide() {
        for (code, kind) in [
            (ffi::SQLITE_BUSY, Kind::Busy),
            (ffi::SQLITE_BUSY_SNAPSHOT, Kind::Busy),
            (ffi::SQLITE_CORRUPT_INDEX, Kind::Corrupt),
            (ffi::SQLITE_NOTADB, Kind::Corrupt),
            (ffi::SQLITE_FULL, Kind::Exhausted),
            (ffi::SQLITE_IOERR_NOMEM, Kind::Exhausted),
            (ffi::SQLITE_IOERR_FSYNC, Kind::Io),
            (ffi::SQLITE_READONLY_ROLLBACK, Kind::Busy),
            (ffi::SQLITE_READONLY_DBMOVED, Kind::Permission),
            (ffi::SQLITE_MISUSE, Kind::Internal),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let classified = classify(error, "open the source", Path::new("app.db"));
            assert_eq!(classified.kind(), kind, "{code}");
            assert!(!classified.why().is_empty() && !classified.what_to_do().is_empty(), "{code}");
        }
        let error = classify(rusqlite::Error::QueryReturnedNoRows, "count", Path::new("app.db"));
        assert_eq!(error.kind(), Kind::Internal);
    }
}
