//! Reading a target's table back: in the order of its rows, in parts by their numbers, at one point in time.
//!
//! Every part has a connection and a read transaction of its own. So that all see one point in time, they
//! begin while no writer can commit. Absent: the reading of a range itself, which is the source's (`read`).

use super::config::SqliteConfig;
use super::connect::{self, blocking};
use super::error::{classify, is_busy, primary_code};
use super::open;
use super::quote::qualified;
use super::read::{self, Encoding};
use super::writer::rowid_name;
use crate::sidecar::with_suffix;
use async_trait::async_trait;
use rusqlite::{Connection, ffi};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchover_core::chunk::{KeyRange, LocatorValue};
use switchover_core::connector::{ReadRequest, ReadTable, Reader};
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::relation::Relations;
use switchover_core::schema::Locator;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// Bytes of rows that one call gives back.
const BATCH_BYTES: usize = 1 << 20;

/// Below so many rows a table is read in one part: another connection costs more than it saves.
const ROWS_PER_PART_MIN: i64 = 20_000;

pub(super) const OPERATION: &str = "read rows of the target";

struct SqliteReader {
    connection: Option<Connection>,
    path: PathBuf,
    encoding: Encoding,
    table: Arc<ReadTable>,
    source: String,
    range: KeyRange,
    done: bool,
}

/// A table of the plan as it is read on the target.
pub(super) fn read_table(table: &TablePlan) -> ReadTable {
    let without_rowid = table.clauses.iter().any(|clause| clause == "WITHOUT ROWID");
    let locator = match (rowid_name(table), &table.primary_key) {
        (Some(name), _) => Locator::RowId(name.to_owned()),
        (None, Some(key)) if without_rowid => Locator::Key(key.columns.clone()),
        (None, _) => Locator::Ordinal,
    };
    ReadTable {
        name: table.target.clone(),
        columns: table.columns.iter().map(|column| column.target.clone()).collect(),
        locator,
    }
}

/// A connection that only reads, with the encoding of its text.
pub(super) fn open_to_read(path: &Path) -> Result<(Connection, Encoding)> {
    let open = || open::open_for(&SqliteConfig::from_path(path), "open the SQLite target");
    let connection = match open() {
        // A run that was killed left a transaction half done: what every writer does on opening the file.
        Err(error) if error.kind() == Kind::Busy && with_suffix(path, "-journal").exists() => {
            drop(connect::bare(path)?);
            open()?
        }
        opened => opened?,
    };
    let encoding = connect::text(&connection, path, "PRAGMA encoding")?;
    Ok((connection, Encoding::of_name(&encoding)))
}

fn begin(path: &Path) -> Result<(Connection, Encoding)> {
    let (connection, encoding) = open_to_read(path)?;
    let begun = connection.execute_batch("BEGIN").and_then(|()| {
        // SQLite takes the read point only when something is read.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    });
    begun.map_err(|error| classify(error, OPERATION, path))?;
    Ok((connection, encoding))
}

/// Readers that together see every row once.
pub(super) fn readers(path: &Path, plan: &Plan, index: usize, parts: usize) -> Result<Vec<Box<dyn Reader>>> {
    let planned = &plan.tables[index];
    let table = Arc::new(read_table(planned));
    let fail = |error| classify(error, OPERATION, path).table(planned.source.clone());
    let (first, encoding) = begin(path)?;
    let mut ranges = match &table.locator {
        Locator::RowId(name) if parts > 1 => ranges(span(&first, &table.name, name).map_err(fail)?, parts),
        _ => vec![KeyRange::default()],
    };
    let mut connections = match ranges.len() {
        1 => None,
        several => together(path, several)?,
    }
    .unwrap_or_default();
    if connections.is_empty() {
        ranges = vec![KeyRange::default()];
        connections.push(first);
    }
    let reader = |(connection, range): (Connection, KeyRange)| -> Box<dyn Reader> {
        Box::new(SqliteReader {
            connection: Some(connection),
            path: path.to_owned(),
            encoding,
            table: Arc::clone(&table),
            source: planned.source.clone(),
            range,
            done: false,
        })
    };
    Ok(connections.into_iter().zip(ranges).map(reader).collect())
}

/// So many read transactions at one point in time: begun while this process holds the writers' lock. `None`
/// where it cannot be had, as in a file that may only be read.
fn together(path: &Path, count: usize) -> Result<Option<Vec<Connection>>> {
    let fail = |error| classify(error, OPERATION, path);
    let holder = connect::bare(path)?;
    match holder.execute_batch("BEGIN IMMEDIATE") {
        Ok(()) => {}
        Err(error) if is_busy(&error) || primary_code(&error) == Some(ffi::SQLITE_READONLY) => {
            return Ok(None);
        }
        Err(error) => return Err(fail(error)),
    }
    let connections: Result<Vec<Connection>> =
        (0..count).map(|_| begin(path).map(|(connection, _)| connection)).collect();
    holder.execute_batch("ROLLBACK").map_err(fail)?;
    connections.map(Some)
}

fn span(connection: &Connection, table: &str, rowid: &str) -> rusqlite::Result<Option<(i64, i64)>> {
    // Two queries, because each of them alone is one step down the tree.
    let end = |which: &str| -> rusqlite::Result<Option<i64>> {
        let sql = format!("SELECT {which}({rowid}) FROM {}", qualified("main", table));
        connection.query_row(&sql, [], |row| row.get(0))
    };
    Ok(end("min")?.zip(end("max")?))
}

/// Ranges of equal width that leave nothing out. Rows that come before or after the span are in the outer ones.
fn ranges(span: Option<(i64, i64)>, parts: usize) -> Vec<KeyRange> {
    let Some((low, high)) = span else { return vec![KeyRange::default()] };
    let width = i128::from(high) - i128::from(low);
    let parts = i128::try_from(parts).unwrap_or(1).min(width / i128::from(ROWS_PER_PART_MIN)).max(1);
    let bound = |at: i128| -> Option<LocatorValue> {
        // Between two integers of 64 bits, so it is one.
        let value = i64::try_from(i128::from(low) + width * at / parts).unwrap_or(i64::MAX);
        (at > 0 && at < parts).then(|| vec![OwnedValue::Int(value)])
    };
    (0..parts).map(|at| KeyRange { after: bound(at), upto: bound(at + 1) }).collect()
}

#[async_trait]
impl Reader for SqliteReader {
    async fn next(&mut self, rows: Rows) -> Result<Option<Rows>> {
        if self.done {
            return Ok(None);
        }
        // A large row was in it: its memory is not kept.
        let rows = if rows.capacity_bytes() > 4 * BATCH_BYTES { Rows::default() } else { rows };
        let gone = || Error::new(Kind::Internal, OPERATION).detail("the reader failed before");
        let connection = self.connection.take().ok_or_else(gone)?;
        let request = ReadRequest {
            table: Arc::clone(&self.table),
            range: self.range.clone(),
            budget_bytes: BATCH_BYTES,
            rows_max: ReadRequest::ANY_ROWS,
            time_max: ReadRequest::ANY_TIME,
        };
        let batch = blocking(|| {
            read::batch(&connection, &self.path, self.encoding, &Relations::new(), &request, OPERATION, rows)
        });
        let batch = batch.map_err(|error| error.table(self.source.clone()))?;
        self.connection = Some(connection);
        self.done = batch.done;
        if batch.last.is_some() {
            self.range.after = batch.last;
        }
        Ok((!batch.rows.is_empty()).then_some(batch.rows))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::fs;

    #[test]
    fn ranges_meet_and_leave_nothing_out() {
        for (span, parts) in [
            (None, 4),
            (Some((1, 1)), 4),
            (Some((i64::MIN, i64::MAX)), 4),
            (Some((1, 100_000)), 3),
            (Some((-5, 19_999)), 2),
        ] {
            let ranges = ranges(span, parts);
            assert_eq!((&ranges[0].after, &ranges[ranges.len() - 1].upto), (&None, &None));
            assert!(ranges.windows(2).all(|pair| pair[0].upto == pair[1].after && pair[0].upto.is_some()));
        }
        assert_eq!(ranges(Some((i64::MIN, i64::MAX)), 4).len(), 4);
    }

    #[test]
    fn what_a_killed_run_left_half_done_is_undone_when_its_target_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (live, path) = (folder.path().join("live.db"), folder.path().join("killed.db"));
        let writer = Connection::open(&live).unwrap();
        writer.execute_batch("PRAGMA journal_mode = DELETE; CREATE TABLE t (a)").unwrap();
        writer.execute_batch("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO t SELECT randomblob(4000) FROM n").unwrap();
        writer.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE t SET a = 1").unwrap();
        fs::copy(&live, &path).unwrap();
        fs::copy(with_suffix(&live, "-journal"), with_suffix(&path, "-journal")).unwrap();
        let (connection, _) = open_to_read(&path).unwrap();
        let undone = "SELECT count(*) FROM t WHERE length(a) = 4000";
        assert_eq!(connection.query_row(undone, [], |row| row.get::<_, i64>(0)).unwrap(), 50);
        assert!(!with_suffix(&path, "-journal").exists());
    }
}
