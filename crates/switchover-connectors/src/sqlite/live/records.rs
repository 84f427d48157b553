//! A live run's own records in a SQLite file, on either side.
//!
//! | table | row | set by | a crash after it means |
//! |---|---|---|---|
//! | `_switchover_live` | the one live run, with its attempt, position and owner | `enter`, `apply`, `decide` | each is whole |
//! | `_switchover_live_object` | a table, unique index or trigger as the run made or saw it | `capture`, `fence` | they are there |
//! | `_switchover_changes` | a key that changed | the triggers, in the application's own transaction | it is logged |
//! | `_switchover_live_aside` | what a row holds that the target has no column for (`aside`) | `apply` | it is there for the row's return |
//!
//! Invariant: `_switchover_live_object` says of every trigger of the run what its text is, so that anybody who
//! reads the file can tell whether the capture is whole. Positions are `token:seq`: the token is the log's own, so
//! that a position of another log is never taken for one of this.

use super::super::error::classify;
use super::super::ledger;
use super::check::FENCE;
use super::triggers::LOG;
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;
use switchover_core::connector::Position;
use switchover_core::live::{LiveRun, Ownership, Side};
use switchover_core::{Error, Kind, Result};

/// The version of these tables.
const FORMAT: i64 = 1;

/// The names of the first two.
pub(in super::super) const LIVE_NAME: &str = "_switchover_live";
pub(in super::super) const OBJECT_NAME: &str = "_switchover_live_object";

pub(super) const LIVE: &str = "\"main\".\"_switchover_live\"";
pub(super) const OBJECT: &str = "\"main\".\"_switchover_live_object\"";
pub(super) const CHANGES: &str = "\"main\".\"_switchover_changes\"";

const LIVE_SQL: &str = "CREATE TABLE _switchover_live (run TEXT PRIMARY KEY, format INTEGER NOT NULL, attempt INTEGER NOT NULL, \
     side TEXT NOT NULL, token TEXT, applied TEXT, owner TEXT NOT NULL, \
     pending INTEGER NOT NULL, epoch INTEGER NOT NULL)";
const OBJECT_SQL: &str = "CREATE TABLE _switchover_live_object (role TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, \
     tbl TEXT NOT NULL, sql TEXT NOT NULL, PRIMARY KEY (kind, name))";
/// The role of the row that has the file's mark.
const MARK: &str = "mark";
/// The role of the row that has the mark of the position up to which the log was forgotten.
const FORGOTTEN: &str = "forgotten";
const LOG_HEAD: &str = "CREATE TABLE _switchover_changes (seq INTEGER PRIMARY KEY, t INTEGER NOT NULL";

/// Whether a table of a file's schema is a live run's record.
pub(in super::super) fn is_record(name: &str, sql: &str) -> bool {
    match name {
        LIVE_NAME => sql == LIVE_SQL,
        OBJECT_NAME => sql == OBJECT_SQL,
        LOG => sql.starts_with(LOG_HEAD),
        _ => super::aside::is_record(name, sql),
    }
}

/// Whether a trigger is of a live run, in a file that holds a live run's records.
pub(in super::super) fn is_trigger(name: &str) -> bool {
    name.starts_with(super::triggers::PREFIX)
}

/// The log's statement, with so many cells for keys. They have no type, so that each cell keeps its own.
pub(super) fn log_sql(cells: usize) -> String {
    let cells: String = (1..=cells).map(|at| format!(", k{at}")).collect();
    format!("{LOG_HEAD}{cells})")
}

/// The record of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The log's token, once there was a capture.
    pub(super) token: Option<String>,
    /// The position of the other store's log.
    pub(super) applied: Option<Position>,
    /// Who owns the data; kept on the target only.
    pub(super) ownership: Ownership,
}

/// Whether the file holds live records at all.
pub(super) fn present(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_switchover_live'";
    connection.query_row(sql, [], |row| row.get(0))
}

/// An object of a name that is the run's own, in a file that holds no run's records: an application's.
pub(super) fn stranger(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE name IN (?1, '_switchover_live_object', '_switchover_live_aside')
                 OR (type = 'trigger' AND substr(name, 1, length(?2)) = ?2) LIMIT 1";
    connection.query_row(sql, [LOG, super::triggers::PREFIX], |row| row.get(0)).optional()
}

/// The live run of a file.
pub(super) fn run_of(connection: &Connection) -> rusqlite::Result<Option<String>> {
    if !present(connection)? {
        return Ok(None);
    }
    connection.query_row(&format!("SELECT run FROM {LIVE} LIMIT 1"), [], |row| row.get(0)).optional()
}

/// The live run by whose fence the file takes no writes, in a file that holds a live run's records.
pub(in super::super) fn fenced_by(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = format!("SELECT run FROM {LIVE} WHERE EXISTS (SELECT 1 FROM {OBJECT} WHERE role = ?1) LIMIT 1");
    connection.query_row(&sql, [FENCE], |row| row.get(0)).optional()
}

/// Makes the records, or takes the run over. In a transaction.
pub(super) fn enter(connection: &Connection, path: &Path, run: &LiveRun, side: Side) -> Result<()> {
    let operation = "enter the live run";
    let fail = |error| classify(error, operation, path);
    if !present(connection).map_err(fail)? {
        if let Some(name) = stranger(connection).map_err(fail)? {
            return Err(Error::new(Kind::Refused, operation)
                .store(path.display().to_string())
                .detail(format!("the file holds {name}, of a name that the run needs, and no run made it"))
                .hint("rename it, or drop it if nothing needs it"));
        }
        connection
            .execute_batch(LIVE_SQL)
            .and_then(|()| connection.execute_batch(OBJECT_SQL))
            .map_err(fail)?;
    }
    let found: Option<(String, i64, i64)> = connection
        .query_row(&format!("SELECT run, format, attempt FROM {LIVE} LIMIT 1"), [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
        .map_err(fail)?;
    match found {
        None => {
            let first = Ownership::FIRST;
            let sql = format!(
                "INSERT INTO {LIVE} (run, format, attempt, side, owner, pending, epoch) VALUES (?1, {FORMAT}, ?2, ?3, ?4, ?5, ?6)"
            );
            let values = (
                &run.run,
                run.attempt,
                side.to_string(),
                first.owner.to_string(),
                first.pending,
                first.epoch as i64,
            );
            connection.execute(&sql, values).map(drop).map_err(fail)
        }
        Some((other, ..)) if other != run.run => Err(another_run(path, operation, &other)),
        Some((_, format, _)) if format != FORMAT => Err(Error::new(Kind::Unsupported, operation)
            .store(path.display().to_string())
            .detail("the run's records were written by another version of this program")
            .hint("go on with the version that began the run")),
        Some((.., attempt)) if attempt > run.attempt => Err(ledger::taken_over(path, operation)),
        Some(_) => connection
            .execute(&format!("UPDATE {LIVE} SET attempt = ?1"), [run.attempt])
            .map(drop)
            .map_err(fail),
    }
}

/// The refusal of a file that another run works on.
pub(super) fn another_run(path: &Path, operation: &str, run: &str) -> Error {
    Error::new(Kind::Refused, operation)
        .store(path.display().to_string())
        .detail(format!("the live run {run} has its records in this file"))
        .hint("go on with that run, or take it back first (`switchover rollback`, `switchover finish`)")
}

/// Writes the run's record as it is: a page of the log, and a commit.
pub(super) fn write_again(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(&format!("UPDATE {LIVE} SET attempt = attempt"), []).map(drop)
}

/// The run's record, for this engine: `Busy` when another has taken the run over. In a transaction.
pub(super) fn own(connection: &Connection, path: &Path, run: &LiveRun, operation: &str) -> Result<Record> {
    let (record, attempt) = of_run(connection, path, run, operation)?;
    if attempt > run.attempt {
        return Err(ledger::taken_over(path, operation));
    }
    if attempt < run.attempt
        && !connection.is_readonly("main").map_err(|error| classify(error, operation, path))?
    {
        // Another state of the file was put in its place since this engine entered, which knows earlier ones alone.
        connection
            .execute(&format!("UPDATE {LIVE} SET attempt = ?1 WHERE run = ?2"), (run.attempt, &run.run))
            .map_err(|error| classify(error, operation, path))?;
    }
    Ok(record)
}

/// The run's record, for whoever reads.
pub(super) fn of_run(
    connection: &Connection,
    path: &Path,
    run: &LiveRun,
    operation: &str,
) -> Result<(Record, i64)> {
    let fail = |error| classify(error, operation, path);
    let gone = || {
        Error::new(Kind::Changed, operation)
            .store(path.display().to_string())
            .detail(format!(
                "the records of the live run {} are not in this file: the run was ended, or another file has its place. Put the file back that has \
                 them, and the run goes on. Where the target's is lost, stop the engine, move away what has its place, and `switchover rollback \
                 --discard-target-changes` makes the source the owner; where the source's is, `switchover finish --abandon-source` ends the run with \
                 the target alone",
                run.run
            ))
            .hint("put the file back that has them")
    };
    if !present(connection).map_err(fail)? {
        return Err(gone());
    }
    let sql = format!(
        "SELECT token, applied, owner = 'target', pending, epoch, attempt FROM {LIVE} WHERE run = ?1"
    );
    let read = connection.prepare_cached(&sql).and_then(|mut statement| {
        statement
            .query_row([&run.run], |row| {
                let owner = if row.get::<_, bool>(2)? { Side::Target } else { Side::Source };
                let ownership =
                    Ownership { owner, pending: row.get(3)?, epoch: row.get::<_, i64>(4)? as u64 };
                let applied = row.get::<_, Option<String>>(1)?.map(Position);
                let record = Record { token: row.get(0)?, applied, ownership };
                Ok((record, row.get(5)?))
            })
            .optional()
    });
    read.map_err(fail)?.ok_or_else(gone)
}

/// An entry of the log as a position.
pub(super) fn position(token: &str, seq: i64) -> Position {
    Position(format!("{token}:{seq}"))
}

/// The same with the mark that the file had then (docs/decisions/0027).
pub(super) fn marked(position: &Position, mark: i64) -> Position {
    let bare = position.0.split_once('#').map_or(&*position.0, |(bare, _)| bare);
    Position(format!("{bare}#{mark}"))
}

/// The mark of a position; 0 of one that has none.
pub(super) fn mark_of(position: &Position) -> i64 {
    position.0.split_once('#').and_then(|(_, mark)| mark.parse().ok()).unwrap_or(0)
}

/// The mark that the file has; 0 where none was made.
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<i64> {
    number(connection, MARK)
}

/// The mark of the position up to which entries were forgotten, or of the end of the last reverse window; 0 where neither was.
pub(super) fn forgotten(connection: &Connection) -> rusqlite::Result<i64> {
    number(connection, FORGOTTEN)
}

fn number(connection: &Connection, role: &str) -> rusqlite::Result<i64> {
    let sql = format!("SELECT coalesce(max(CAST(sql AS INTEGER)), 0) FROM {OBJECT} WHERE role = ?1");
    connection.prepare_cached(&sql)?.query_row([role], |row| row.get(0))
}

fn keep_number(connection: &Connection, role: &str, number: i64) -> rusqlite::Result<()> {
    let sql =
        format!("INSERT OR REPLACE INTO {OBJECT} (role, kind, name, tbl, sql) VALUES (?1, ?1, ?1, '', ?2)");
    connection.prepare_cached(&sql)?.execute((role, number.to_string())).map(drop)
}

/// Makes the next mark. In a transaction, whose commit waits for the disk.
pub(super) fn make_mark(connection: &Connection) -> rusqlite::Result<i64> {
    let next = mark(connection)? + 1;
    keep_number(connection, MARK, next)?;
    Ok(next)
}

/// Keeps with the entries that go the mark of their position. In a transaction.
pub(super) fn forget_upto(connection: &Connection, mark: i64) -> rusqlite::Result<()> {
    if mark > forgotten(connection)? { keep_number(connection, FORGOTTEN, mark) } else { Ok(()) }
}

/// The entry of a position of this log; `None` when it is another log's.
pub(super) fn seq_of(token: &str, position: &Position) -> Option<i64> {
    let rest = position.0.strip_prefix(token)?.strip_prefix(':')?;
    rest.split_once('#').map_or(rest, |(seq, _)| seq).parse().ok()
}

/// Who owns the data of the live run in a file that is its target, if it is.
pub(in super::super) fn owner(connection: &Connection) -> rusqlite::Result<Option<Side>> {
    if !present(connection)? {
        return Ok(None);
    }
    let sql = format!("SELECT owner = 'target' FROM {LIVE} WHERE side = 'target'");
    let owned = connection.query_row(&sql, [], |row| row.get::<_, bool>(0)).optional()?;
    Ok(owned.map(|target| if target { Side::Target } else { Side::Source }))
}

/// Whether the file is the target of its live run.
pub(super) fn is_target(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {LIVE} WHERE side = 'target')");
    connection.query_row(&sql, [], |row| row.get(0))
}

/// The last entry of the log.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(&format!("SELECT coalesce(max(seq), 0) FROM {CHANGES}"))?
        .query_row([], |row| row.get(0))
}

/// Removes everything that live runs make in a file: triggers, log, records.
pub(in super::super) fn remove(connection: &Connection) -> rusqlite::Result<()> {
    use super::super::quote::qualified;
    let names: Vec<String> = connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND substr(name, 1, length(?1)) = ?1",
        )?
        .query_map([super::triggers::PREFIX], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in names {
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", qualified("main", &name)))?;
    }
    for table in [CHANGES, OBJECT, LIVE] {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    super::aside::remove(connection)
}
