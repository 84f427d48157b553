//! Whether rows lie where they lay: VACUUM may give the rows of a table without a number of their own other rowids, and no
//! trigger fires for that.
//!
//! VACUUM counts as a change of the schema (SQLite's documentation of `PRAGMA schema_version`), so while the schema's version
//! is the one that was written down with the capture, every change of a rowid is a change of its row, and in the log. The run's
//! own changes of the schema move no row: they write the new version down where the old one was as written
//! ([`keeping`]). Any other change of the schema may have been a VACUUM, and is taken for one.
//!
//! Absent: which tables that concerns (`TablePlan::is_read_by_place`), and what is done about it, which is the engine's.

use super::super::error::classify;
use super::check::schema_version;
use super::records::{self, OBJECT};
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;
use switchover_core::schema::Locator;
use switchover_core::{Error, Kind, Result};

/// The role of the schema's version in the run's records.
const LAYOUT: &str = "layout";

/// Whether a locator is a number that only the row's place gives: a column's name would be in quotes.
pub(in super::super) fn is_place(locator: &Locator) -> bool {
    matches!(locator, Locator::RowId(name) if matches!(&**name, "rowid" | "_rowid_" | "oid"))
}

/// Writes down that rows lie as they are now. In a transaction.
pub(super) fn record(connection: &Connection) -> rusqlite::Result<()> {
    let sql =
        format!("INSERT OR REPLACE INTO {OBJECT} (role, kind, name, tbl, sql) VALUES (?1, ?1, ?1, '', ?2)");
    connection.execute(&sql, (LAYOUT, schema_version(connection)?.to_string())).map(drop)
}

/// Whether every row lies where it lay when that was written down, or moved by a change of its own.
pub(super) fn is_same(connection: &Connection) -> rusqlite::Result<bool> {
    let then: Option<String> = connection
        .prepare_cached(&format!("SELECT sql FROM {OBJECT} WHERE role = ?1"))?
        .query_row([LAYOUT], |row| row.get(0))
        .optional()?;
    Ok(then == Some(schema_version(connection)?.to_string()))
}

/// A change of the schema that is the run's own, and moves no row. In a transaction.
pub(super) fn keeping<T>(
    connection: &Connection,
    path: &Path,
    operation: &str,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let fail = |error| classify(error, operation, path);
    let same = is_same(connection).map_err(fail)?;
    let done = work()?;
    if same {
        record(connection).map_err(fail)?;
    }
    Ok(done)
}

/// Fails where a live run copies the file by place and rows may lie elsewhere than when it began. In a transaction.
pub(in super::super) fn verify(
    connection: &Connection,
    path: &Path,
    table: &str,
    operation: &str,
) -> Result<()> {
    let fail = |error| classify(error, operation, path);
    match records::present(connection).map_err(fail)? && !is_same(connection).map_err(fail)? {
        false => Ok(()),
        true => Err(moved(path, operation).table(table)),
    }
}

/// The doubt as an error.
pub(super) fn moved(path: &Path, operation: &str) -> Error {
    Error::new(Kind::Changed, operation)
        .store(path.display().to_string())
        .detail("the schema changed or the file was vacuumed, so rows may lie elsewhere than when the copy began")
        .hint("tables of which a part is copied are copied again; leave VACUUM and changes of the schema for later")
}
