//! Which file it is: one that was put in the place of the run's, such as a copy of it, is another.
//!
//! Who has a file open goes on with it wherever its name is. A program that is started again opens the one that has the name now, and
//! an engine that followed the other would not see what it writes. The copy holds the run's records, triggers and log as they
//! were, so nothing in it tells: what the system says of the file is written down beside them.
//!
//! Absent: a file whose content was overwritten in its place. Its log is behind, which the next reading of it finds.

use super::super::connect;
use super::records::OBJECT;
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;
use std::time::UNIX_EPOCH;
use switchover_core::{Error, Kind, Result};

/// The role of the file in the run's records.
const FILE: &str = "file";

/// What the system says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Which {
    /// Its number. The device's is left out: a disk may get another when the machine starts.
    number: u64,
    /// When it was made, in nanoseconds since 1970, where the file system says so.
    made: Option<u128>,
}

impl Which {
    /// The file that has this name now; `None` when none has.
    pub(in super::super) fn at(path: &Path) -> Option<Which> {
        let meta = std::fs::metadata(path).ok()?;
        let made = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Some(Which { number: number(&meta), made: made.map(|since| since.as_nanos()) })
    }

    /// The same, where there must be one.
    pub(in super::super) fn here(path: &Path, operation: &str) -> Result<Which> {
        Which::at(path).ok_or_else(|| {
            Error::new(Kind::NotFound, operation)
                .store(path.display().to_string())
                .detail("the file is not there any more")
                .hint("put it back where it was: an engine that holds goes on by itself, and `switchover resume` takes the run up where none runs")
        })
    }

    fn is(&self, other: &Which) -> bool {
        let made_apart = matches!((self.made, other.made), (Some(one), Some(two)) if one != two);
        self.number == other.number && !made_apart
    }

    fn text(&self) -> String {
        format!("{} {}", self.number, self.made.map(|made| made.to_string()).unwrap_or_default())
    }

    fn of_text(text: &str) -> Option<Which> {
        let (number, made) = text.split_once(' ')?;
        Some(Which { number: number.parse().ok()?, made: made.parse().ok() })
    }
}

#[cfg(unix)]
fn number(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn number(_: &std::fs::Metadata) -> u64 {
    0
}

/// Writes down which file it is. In a transaction.
pub(super) fn record(connection: &Connection) -> rusqlite::Result<()> {
    let Some(which) = connection.path().and_then(|path| Which::at(Path::new(path))) else { return Ok(()) };
    let sql =
        format!("INSERT OR REPLACE INTO {OBJECT} (role, kind, name, tbl, sql) VALUES (?1, ?1, ?1, '', ?2)");
    connection.execute(&sql, (FILE, which.text())).map(drop)
}

/// Writes it down where it never was. In a transaction.
pub(super) fn record_first(connection: &Connection) -> rusqlite::Result<()> {
    match recorded(connection)? {
        None => record(connection),
        Some(_) => Ok(()),
    }
}

/// Whether the file is another than the one that was written down.
pub(super) fn is_another(connection: &Connection) -> rusqlite::Result<bool> {
    let now = connection.path().and_then(|path| Which::at(Path::new(path)));
    let then = recorded(connection)?.and_then(|text| Which::of_text(&text));
    Ok(matches!((now, then), (Some(now), Some(then)) if !now.is(&then)))
}

fn recorded(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(&format!("SELECT sql FROM {OBJECT} WHERE role = ?1"))?
        .query_row([FILE], |row| row.get(0))
        .optional()
}

/// A connection, unless its file lost its name to another.
pub(in super::super) fn still(connection: Connection, opened: &Which, here: &Which) -> Option<Connection> {
    if opened == here {
        return Some(connection);
    }
    connect::abandon(connection);
    None
}
