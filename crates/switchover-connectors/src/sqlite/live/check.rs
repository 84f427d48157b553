//! Whether the file is still as the run left it: the tables, their unique indexes, the triggers.
//!
//! It is asked in every read transaction. A migration of the application's schema may rebuild a table and drop its
//! triggers without a word; a row that changes then is in no log. So a doubt ends the reading (I6): what it was
//! is said, and the engine sends the table back to copy.
//!
//! Absent: anything that needs the plan, so that every reader of the file can ask.

use super::super::error::classify;
use super::records::{self, OBJECT};
use super::triggers::{LOG, PREFIX};
use super::which;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use switchover_core::{Error, Kind, Result};

/// What an object of the file is to the run.
pub(super) const TABLE: &str = "table";
/// A table that is not moved.
pub(super) const OTHER: &str = "other";
/// A unique index of a table that is moved.
pub(super) const UNIQUE: &str = "unique";
/// A trigger of capture.
pub(super) const CAPTURE: &str = "capture";
/// A trigger of the fence.
pub(super) const FENCE: &str = "fence";
/// A trigger that keeps the log's entries.
pub(super) const KEPT: &str = "log";

/// What is not as the run left it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    /// Tables that are gone or declared otherwise.
    pub(super) changed: BTreeSet<String>,
    /// Tables whose capture is not whole.
    pub(super) lost: BTreeSet<String>,
    /// Tables whose fence is not whole.
    pub(super) open: BTreeSet<String>,
    /// Tables that came since.
    pub(super) strange: BTreeSet<String>,
    /// Whether the log is gone, or what keeps its entries.
    pub(super) unkept: bool,
    /// Whether it is another file, such as a copy.
    pub(super) replaced: bool,
}

/// The statement of a table behind its name, which a rebuild may quote otherwise.
fn body(sql: &str) -> &str {
    sql.find('(').map_or(sql, |at| &sql[at..])
}

/// Whether a statement is another with something and a comma put in: what ALTER TABLE … ADD COLUMN makes of it. A table that was rebuilt in
/// such a form has lost its triggers.
fn adds_a_column(was: &str, now: &str) -> bool {
    let same = was.bytes().zip(now.bytes()).take_while(|(a, b)| a == b).count();
    let (behind, rest) = (&was.as_bytes()[same..], &now.as_bytes()[same..]);
    rest.strip_suffix(behind).is_some_and(|put_in| put_in.contains(&b','))
}

/// Tables of the application, with their statements.
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let found: Vec<(String, String)> = connection
        .prepare(
            "SELECT name, coalesce(sql, '') FROM sqlite_schema
             WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let own =
        |name: &str, sql: &str| records::is_record(name, sql) || super::super::ledger::is_record(name, sql);
    Ok(found.into_iter().filter(|(name, sql)| !own(name, sql)).collect())
}

/// Unique indexes that were made by a statement of their own: table, name and statement.
pub(super) fn unique_indexes(connection: &Connection) -> rusqlite::Result<Vec<(String, String, String)>> {
    // SQLite writes the first words itself.
    connection
        .prepare(
            "SELECT tbl_name, name, sql FROM sqlite_schema
             WHERE type = 'index' AND sql LIKE 'CREATE UNIQUE INDEX %' ORDER BY name",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
}

/// Triggers of live runs, by name.
pub(super) fn triggers(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    connection
        .prepare_cached(
            "SELECT name, coalesce(sql, '') FROM sqlite_schema
             WHERE type = 'trigger' AND (substr(name, 1, length(?1)) = ?1 OR tbl_name = ?2)",
        )?
        .query_map([PREFIX, LOG], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Everything that is not as recorded.
pub(super) fn doubts(connection: &Connection) -> rusqlite::Result<Doubts> {
    let mut doubts = Doubts { replaced: which::is_another(connection)?, ..Doubts::default() };
    let tables = tables(connection)?;
    let indexes = unique_indexes(connection)?;
    let triggers = triggers(connection)?;
    let recorded: Vec<(String, String, String, String)> = connection
        .prepare_cached(&format!("SELECT role, name, tbl, sql FROM {OBJECT}"))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let is_target = !recorded.is_empty() && records::is_target(connection)?;
    let mut moved = BTreeSet::new();
    let mut known = BTreeSet::new();
    let mut uniques = BTreeSet::new();
    for (role, name, table, sql) in &recorded {
        match role.as_str() {
            TABLE => {
                moved.insert(name.as_str());
                known.insert(name.as_str());
                // What the owner's application adds to it stays there, and takes nothing away from what goes back.
                let is_it =
                    |now: &String| body(now) == body(sql) || is_target && adds_a_column(body(sql), body(now));
                if !tables.get(name).is_some_and(is_it) {
                    doubts.changed.insert(table.clone());
                }
            }
            OTHER => {
                known.insert(name.as_str());
            }
            UNIQUE => {
                uniques.insert(name.as_str());
                if !indexes.iter().any(|(_, index, now)| index == name && now == sql) {
                    doubts.lost.insert(table.clone());
                }
            }
            CAPTURE if triggers.get(name) != Some(sql) => {
                doubts.lost.insert(table.clone());
            }
            FENCE if triggers.get(name) != Some(sql) => {
                doubts.open.insert(table.clone());
            }
            KEPT if triggers.get(name) != Some(sql) => doubts.unkept = true,
            _ => {}
        }
    }
    for (table, name, _) in indexes {
        if moved.contains(table.as_str()) && !uniques.contains(name.as_str()) {
            doubts.lost.insert(table);
        }
    }
    // A target may have tables that the plan does not know: nobody moves them, and they stay there.
    if !moved.is_empty() && !is_target {
        doubts.strange.extend(tables.into_keys().filter(|name| !known.contains(name.as_str())));
    }
    doubts.lost.retain(|table| !doubts.changed.contains(table));
    Ok(doubts)
}

impl Doubts {
    /// The first of them as an error, but for what a new capture mends.
    pub(super) fn beyond_capture(&self, path: &Path, operation: &str) -> Result<()> {
        self.the_same_file(path, operation)?;
        self.none_of_tables(path, operation)?;
        match self.open.first() {
            None => Ok(()),
            Some(table) => Err(error(path, operation, table)
                .detail("the triggers that keep the application from writing to the table are gone")
                .hint("find out what wrote to it meanwhile before anything else: compare the stores")),
        }
    }

    /// That the application could not write to a file that follows. What it may have written is in no log, and a new fence does not
    /// undo it.
    pub(super) fn shut(&self, path: &Path, operation: &str) -> Result<()> {
        match self.open.first() {
            None => Ok(()),
            Some(table) => Err(not_shut(path, operation, table)),
        }
    }

    /// The first of them as an error, but for what a new fence mends.
    pub(super) fn none_but_fence(&self, path: &Path, operation: &str) -> Result<()> {
        self.the_same_file(path, operation)?;
        self.none_of_tables(path, operation)?;
        self.none_of_capture(path, operation)
    }

    /// The first of them as an error, but for what a new capture and a new fence mend.
    pub(super) fn none_of_tables(&self, path: &Path, operation: &str) -> Result<()> {
        if let Some(table) = self.changed.first() {
            return Err(error(path, operation, table)
                .detail(
                    "the table was altered, renamed or dropped since the run began; given its old form again, the run goes on",
                )
                .hint(
                    "give the table its old form again; or, while the source owns the data, take the run back, and plan again with the new \
                     schema",
                ));
        }
        if let Some(table) = self.strange.first() {
            return Err(error(path, operation, table)
                .detail(
                    "the table was made after the run began, so it is not in the plan and would stay behind",
                )
                .hint("drop it if it is not needed; else take the run back, and plan again"));
        }
        Ok(())
    }

    /// That it is the file that the run was at work on.
    pub(super) fn the_same_file(&self, path: &Path, operation: &str) -> Result<()> {
        match self.replaced {
            false => Ok(()),
            true => Err(Error::new(Kind::Changed, operation)
                .store(path.display().to_string())
                .detail(
                    "another file has the place of the one that the run worked on, such as a copy: what was written to \
                     either since is not in the other",
                )
                .hint(
                    "put the file back that was there; while the source owns the data, all tables are copied again \
                     from the one that is there now",
                )),
        }
    }

    /// The first of them as an error.
    pub(super) fn none(&self, path: &Path, operation: &str) -> Result<()> {
        self.beyond_capture(path, operation)?;
        self.none_of_capture(path, operation)
    }

    fn none_of_capture(&self, path: &Path, operation: &str) -> Result<()> {
        if self.unkept {
            return Err(unkept(path, operation));
        }
        match self.lost.first() {
            None => Ok(()),
            Some(table) => Err(error(path, operation, table)
                .detail(
                    "its triggers or unique indexes are not as the run left them: changes may be in no log",
                )
                .hint("the capture is made again, and the table is copied again")),
        }
    }
}

/// A table of a file that follows takes the application's writes.
pub(super) fn not_shut(path: &Path, operation: &str, table: &str) -> Error {
    Error::new(Kind::Different, operation)
        .store(path.display().to_string())
        .table(table)
        .detail(
            "somebody took away the triggers that keep the application from writing to it while the other store owns the data, or put an \
             older state of the file in its place: what was written there meanwhile is in no log",
        )
        .hint(
            "find out who writes to it; `switchover finish` ends the run with the owner, and `switchover rollback \
             --discard-target-changes` goes back to this file as it is",
        )
}

/// The log, or what keeps its entries, was dropped. The way out is in what is told, for people read it in the status of a run that is
/// held.
pub(super) fn unkept(path: &Path, operation: &str) -> Error {
    Error::new(Kind::Changed, operation)
        .store(path.display().to_string())
        .detail(format!(
            "the log {LOG} is not there, or not the triggers that keep its entries, so changes may be in no log: while the source \
             owns the data, all tables are copied again; in the reverse window `switchover finish --abandon-source` ends the run \
             with the target, which keeps every row"
        ))
        .hint("leave the tables and triggers of the run as they are while it lasts; where the log is gone, the application cannot write")
}

fn error(path: &Path, operation: &str, table: &str) -> Error {
    Error::new(Kind::Changed, operation).store(path.display().to_string()).table(table)
}

/// What was looked at last: nothing is looked at twice while the file's schema has the same version.
#[derive(Debug, Default)]
pub(in super::super) struct Seen(Option<i64>);

impl Seen {
    /// Whether that version was the last that was looked at.
    pub(super) fn is(&self, version: i64) -> bool {
        self.0 == Some(version)
    }

    /// That version is as it should be.
    pub(super) fn remember(&mut self, version: i64) {
        self.0 = Some(version);
    }
}

/// Fails when the file is not as its live run left it. A file without one is as it should be. In a transaction.
pub(in super::super) fn verify(
    connection: &Connection,
    path: &Path,
    seen: &mut Seen,
    operation: &str,
) -> Result<()> {
    let fail = |error| classify(error, operation, path);
    let version = schema_version(connection).map_err(fail)?;
    if seen.is(version) {
        return Ok(());
    }
    if records::present(connection).map_err(fail)? {
        doubts(connection).map_err(fail)?.none(path, operation)?;
    }
    seen.remember(version);
    Ok(())
}

/// A number that every change of the schema makes another, as the transaction sees it.
pub(super) fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA main.schema_version")?.query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_added_is_told_from_one_that_changes() {
        for now in ["(a, b, c INT)", "(a, b, c INT DEFAULT 1)", "(a, c, b)"] {
            assert!(adds_a_column("(a, b)", now), "{now}");
        }
        assert!(adds_a_column("(a, CHECK (a)) STRICT", "(a, CX INT, CHECK (a)) STRICT"));
        for now in ["(a, b)", "(a, b2)", "(a, b INT)", "(a)", "(b, a)", "(a, c)", "(a, c, d)"] {
            assert!(!adds_a_column("(a, b)", now), "{now}");
        }
    }
}
