//! The run's own records, in the target's file: the run, its objects, its checkpoints and steps, and the
//! quarantine. The same five tables as in every target.
//!
//! | table | row | set by | a crash after it means |
//! |---|---|---|---|
//! | `_switchover_run` | one a run, with the attempt that may write | `prepare` | tables exist, nothing is copied |
//! | `_switchover_object` | a table, view or trigger that the run made | `prepare`, `build` | `discard` drops exactly these |
//! | `_switchover_checkpoint` | a chunk | `write`, with its rows | the chunk is copied |
//! | `_switchover_step` | an index or other step | `build`, with its DDL | the step is done |
//! | `_switchover_quarantine` | a value or row that the tables cannot hold | `write`, with its chunk | it is kept |
//!
//! A file that the run makes comes with all its tables, or not at all (see `file`); `before` says what was
//! there, so that a rollback leaves the same: a file without tables comes back byte for byte. Two processes are kept apart by the lock, and should a file be
//! replaced under a process, the attempt's number stops its late writes.

use super::connect::{self, Commits};
use super::error::classify;
use super::quote::{ident, qualified};
use super::{file, steps};
pub(super) use crate::records::key_text;
use crate::records::{parse_key, unreadable};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::path::{Path, PathBuf};
use switchover_core::chunk::{Checkpoint, KeyRange, LocatorValue};
use switchover_core::connector::{Claim, Quarantined};
use switchover_core::digest::Hex;
use switchover_core::failpoint;
use switchover_core::plan::Plan;
use switchover_core::value::OwnedValue;
use switchover_core::{Error, Kind, Result};

pub(super) const RUN: &str = "\"main\".\"_switchover_run\"";
pub(super) const OBJECT: &str = "\"main\".\"_switchover_object\"";
pub(super) const CHECKPOINT: &str = "\"main\".\"_switchover_checkpoint\"";
pub(super) const STEP: &str = "\"main\".\"_switchover_step\"";
pub(super) const QUARANTINE: &str = "\"main\".\"_switchover_quarantine\"";

/// The record tables, in the order in which they are made.
const TABLES: [&str; 5] = [RUN, OBJECT, CHECKPOINT, STEP, QUARANTINE];

/// Whether a table is one of the record tables: by its name, and by how all of them begin. Another table of such a
/// name is an application's own, and is refused as any reserved name.
pub(super) fn is_record(name: &str, sql: &str) -> bool {
    TABLES.contains(&super::quote::qualified("main", name).as_str()) && sql.contains("(run TEXT")
}

/// What `before` says of a file that was not there.
const ABSENT: &str = "absent";

fn create() -> String {
    format!(
        "CREATE TABLE {RUN} (run TEXT PRIMARY KEY, attempt INTEGER NOT NULL, before TEXT NOT NULL, file BLOB,
            tool TEXT NOT NULL, started_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE {OBJECT} (run TEXT NOT NULL, ordinal INTEGER NOT NULL, kind TEXT NOT NULL,
            name TEXT NOT NULL, PRIMARY KEY (run, ordinal));
         CREATE TABLE {CHECKPOINT} (run TEXT NOT NULL, table_no INTEGER NOT NULL, after_key TEXT NOT NULL,
            upto_key TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, digest TEXT NOT NULL,
            PRIMARY KEY (run, table_no, after_key)) WITHOUT ROWID;
         CREATE TABLE {STEP} (run TEXT NOT NULL, step TEXT NOT NULL,
            done_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (run, step));
         CREATE TABLE {QUARANTINE} (run TEXT NOT NULL, table_name TEXT NOT NULL, locator TEXT NOT NULL,
            column_name TEXT NOT NULL, value TEXT NOT NULL, whole_row INTEGER NOT NULL, why TEXT NOT NULL,
            PRIMARY KEY (run, table_name, locator, column_name));"
    )
}

/// The lock on a target's file.
#[derive(Debug)]
pub(super) struct SqliteClaim {
    lock: file::Lock,
    path: PathBuf,
}

impl SqliteClaim {
    pub(super) fn take(path: &Path) -> Result<SqliteClaim> {
        let path = file::resolved(path, "lock the target")?;
        Ok(SqliteClaim { lock: file::Lock::take(&path)?, path })
    }
}

#[async_trait]
impl Claim for SqliteClaim {
    async fn check(&self) -> Result<()> {
        if self.lock.holds() {
            return Ok(());
        }
        Err(taken_over(&self.path, "check the lock on the target"))
    }
}

/// Another process has the run, or its file is another one now.
pub(super) fn taken_over(path: &Path, operation: &str) -> Error {
    Error::new(Kind::Busy, operation)
        .store(path.display().to_string())
        .detail("another process has taken this run over, rolled it back, or replaced the file")
        .hint("let the other process end; `switchover status` shows the run")
}

/// The tables and views of a file, other than SQLite's own and a run's records, as `kind name`.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare(
            "SELECT type || ' ' || name FROM sqlite_schema
             WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
               AND name NOT LIKE '\\_switchover\\_%' ESCAPE '\\' ORDER BY type, name",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// The run whose records a file holds.
pub(super) fn run_of(connection: &Connection) -> rusqlite::Result<Option<String>> {
    if !has_records(connection)? {
        return Ok(None);
    }
    connection.query_row(&format!("SELECT run FROM {RUN} LIMIT 1"), [], |row| row.get(0)).optional()
}

pub(super) fn has_records(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_switchover_run'";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Makes the file where it is not there, the records and the tables, or takes an earlier attempt over. Gives
/// the number of the attempt.
pub(super) fn prepare(path: &Path, plan: &Plan, run: &str) -> Result<i64> {
    let operation = "make the target's tables";
    let path = &file::resolved(path, operation)?;
    if !path.exists() {
        let place = file::new_place(path, operation)?;
        let before = Before { mode: ABSENT.to_owned(), image: None };
        let made = make(&mut connect::make(&place)?, &place, plan, run, &before);
        return made.and_then(|()| {
            failpoint::hit("prepare-before-commit");
            file::publish(&place, path, operation)?;
            failpoint::hit("prepare-after-commit");
            Ok(1)
        });
    }
    let fail = |error| classify(error, operation, path);
    if file::has_journal(path) {
        // A run that was killed left a transaction half done.
        drop(connect::bare(path)?);
    }
    // Before SQLite has it open: who closes any descriptor of a file takes its locks away.
    let image = file::Image::of(path, operation)?;
    // As it is: should it be refused, not even its journal mode has changed.
    let mut connection = connect::bare(path)?;
    if let Some(attempt) = take_over(&mut connection, run).map_err(fail)? {
        // The other name of a file that got this one just before its run was killed.
        file::new_place(path, operation)?;
        return Ok(attempt);
    }
    let present = objects(&connection).map_err(fail)?;
    if !present.is_empty() {
        return Err(Error::new(Kind::Refused, operation)
            .store(path.display().to_string())
            .detail(format!("the file holds {} already", present.join(", ")))
            .hint("name a new file"));
    }
    let mode = connect::text(&connection, path, "PRAGMA journal_mode")?;
    make(&mut connection, path, plan, run, &Before { mode, image })?;
    failpoint::hit("prepare-after-commit");
    Ok(1)
}

fn take_over(connection: &mut Connection, run: &str) -> rusqlite::Result<Option<i64>> {
    if !has_records(connection)? {
        return Ok(None);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sql = format!("UPDATE {RUN} SET attempt = attempt + 1 WHERE run = ?1 RETURNING attempt");
    let attempt = transaction.query_row(&sql, [run], |row| row.get(0)).optional()?;
    failpoint::hit("prepare-before-commit");
    transaction.commit()?;
    failpoint::hit("prepare-after-commit");
    Ok(attempt)
}

/// What was there before the run.
struct Before {
    /// The mode of the file's journal, or [`ABSENT`].
    mode: String,
    /// All of the file, where it is small.
    image: Option<file::Image>,
}

fn make(connection: &mut Connection, path: &Path, plan: &Plan, run: &str, before: &Before) -> Result<()> {
    let operation = "make the target's tables";
    let fail = |error| classify(error, operation, path);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    // Nobody else writes from here on: what was read is the file, unless somebody was quicker.
    let image = before.image.as_ref().filter(|image| image.is_of(path)).map(|image| &image.bytes);
    transaction.execute_batch(&create()).map_err(fail)?;
    for table in &plan.tables {
        let made = transaction.execute_batch(&steps::create_table(table, steps::Keys::Later));
        made.map_err(|error| fail(error).table(table.source.clone()))?;
    }
    let sql = format!("INSERT INTO {RUN} (run, attempt, before, file, tool) VALUES (?1, 1, ?2, ?3, ?4)");
    transaction.execute(&sql, (run, &before.mode, image, &plan.made_by)).map_err(fail)?;
    for table in &plan.tables {
        record_object(&transaction, run, "table", &table.target).map_err(fail)?;
    }
    if before.mode != ABSENT {
        failpoint::hit("prepare-before-commit");
    }
    transaction.commit().map_err(fail)
}

/// Records that the run made something.
pub(super) fn record_object(
    connection: &Connection,
    run: &str,
    kind: &str,
    name: &str,
) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO {OBJECT} (run, ordinal, kind, name)
         SELECT ?1, coalesce(max(ordinal), 0) + 1, ?2, ?3 FROM {OBJECT} WHERE run = ?1"
    );
    connection.execute(&sql, (run, kind, name)).map(drop)
}

/// How an object that is a number of the file itself is called.
const SETTING: &str = "setting";

/// A number that the file keeps for the application.
pub(super) fn setting(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA main.{}", ident(name)), [], |row| row.get(0))
}

/// Records what a number of the file was before the run, and what the run made of it.
pub(super) fn record_setting(
    connection: &Connection,
    run: &str,
    name: &str,
    was: i64,
) -> rusqlite::Result<()> {
    let made = setting(connection, name)?;
    record_object(connection, run, SETTING, &format!("{name} {was} {made}"))
}

/// Puts a number of the file back, unless somebody changed it since.
fn reset(connection: &Connection, recorded: &str) -> rusqlite::Result<()> {
    let mut words = recorded.split(' ');
    let name = words.next().unwrap_or_default();
    let mut numbers = words.map_while(|word| word.parse::<i64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(was), Some(made)) if setting(connection, name)? == made => {
            connection.pragma_update(None, name, was)
        }
        _ => Ok(()),
    }
}

/// Everything that was copied, and will still be after a crash of the machine.
///
/// Chunks are committed without waiting for the disk. The commit here does wait, and the log keeps the order
/// of commits: when it succeeds, no crash lies between what is read in its transaction and the disk.
pub(super) fn checkpoints(path: &Path, run: &str) -> Result<Vec<Checkpoint>> {
    let fail = |error| classify(error, "read the checkpoints", path);
    let mut connection = connect::open(path, Commits::Durable)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    transaction
        .execute(&format!("UPDATE {RUN} SET attempt = attempt WHERE run = ?1"), [run])
        .map_err(fail)?;
    let sql =
        format!("SELECT table_no, after_key, upto_key, rows, bytes, digest FROM {CHECKPOINT} WHERE run = ?1");
    type Record = (i64, String, String, i64, i64, String);
    let records: rusqlite::Result<Vec<Record>> = (|| {
        let mut statement = transaction.prepare(&sql)?;
        let rows = statement.query_map([run], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })?;
        rows.collect()
    })();
    let records = records.map_err(fail)?;
    transaction.commit().map_err(fail)?;
    records
        .into_iter()
        .map(|(table, after, upto, rows, bytes, digest)| {
            Ok(Checkpoint {
                table: usize::try_from(table).map_err(unreadable)?,
                range: KeyRange { after: parse_key(&after)?, upto: parse_key(&upto)? },
                rows: u64::try_from(rows).map_err(unreadable)?,
                bytes: u64::try_from(bytes).map_err(unreadable)?,
                digest: Hex(u128::from_str_radix(&digest, 16).map_err(unreadable)?),
            })
        })
        .collect()
}

/// Gives the quarantine's entries for a table.
pub(super) fn quarantined(
    connection: &Connection,
    path: &Path,
    table: &str,
    observe: &mut dyn FnMut(Quarantined),
) -> Result<()> {
    let fail = |error| classify(error, "read the quarantine", path);
    let sql = format!(
        "SELECT locator, column_name, value, whole_row, why FROM {QUARANTINE} WHERE table_name = ?1
         ORDER BY locator, column_name"
    );
    let mut statement = connection.prepare(&sql).map_err(fail)?;
    let mut found = statement.query([table]).map_err(fail)?;
    while let Some(row) = found.next().map_err(fail)? {
        let text = |at: usize| row.get::<_, String>(at).map_err(fail);
        let locator: LocatorValue = serde_json::from_str(&text(0)?).map_err(unreadable)?;
        let value: OwnedValue = serde_json::from_str(&text(2)?).map_err(unreadable)?;
        let whole_row = row.get(3).map_err(fail)?;
        observe(Quarantined { locator, column: text(1)?, value, whole_row, why: text(4)? });
    }
    Ok(())
}

/// Writes entries to the quarantine.
pub(super) fn quarantine(
    connection: &Connection,
    path: &Path,
    run: &str,
    table: &str,
    entries: &[Quarantined],
) -> Result<()> {
    let operation = "write to the quarantine";
    let fail = |error| classify(error, operation, path).table(table);
    let json = |error: serde_json::Error| Error::new(Kind::Internal, operation).table(table).because(error);
    let sql = format!(
        "INSERT INTO {QUARANTINE} (run, table_name, locator, column_name, value, whole_row, why)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    );
    let mut insert = connection.prepare_cached(&sql).map_err(fail)?;
    for entry in entries {
        let locator = serde_json::to_string(&entry.locator).map_err(json)?;
        let value = serde_json::to_string(&entry.value).map_err(json)?;
        insert
            .execute((run, table, &locator, &entry.column, &value, entry.whole_row, &entry.why))
            .map_err(fail)?;
    }
    Ok(())
}

/// Takes back exactly what the run made: the file, where it made it and nothing else came into it since, or
/// its objects.
pub(super) fn discard(path: &Path, run: &str) -> Result<bool> {
    let operation = "roll back what the run made";
    let path = &file::resolved(path, operation)?;
    // A new file that a killed run did not come to name.
    file::new_place(path, operation)?;
    if !path.exists() {
        return Ok(false);
    }
    let fail = |error| classify(error, operation, path);
    let mut connection = connect::bare(path)?;
    if !has_records(&connection).map_err(fail)? {
        return Ok(false);
    }
    let sql = format!("SELECT before, file FROM {RUN} WHERE run = ?1");
    let before: Option<(String, Option<Vec<u8>>)> =
        connection.query_row(&sql, [run], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(fail)?;
    let Some((before, image)) = before else { return Ok(false) };
    let ours = strangers(&connection).map_err(fail)?.is_empty();
    if let Some(image) = image.filter(|_| ours) {
        let place = file::staged(path, &image, operation)?;
        alone(&connection, path, operation, "delete")?;
        drop(connection);
        failpoint::hit("discard-before-commit");
        file::put_back(&place, path, &image, operation)?;
        return Ok(true);
    }
    if before == ABSENT && ours {
        // The log is folded back and removed first: a file without it is whole until it is gone.
        match alone(&connection, path, operation, "delete") {
            // There is no room to fold it back: then nobody may have the file open while it goes.
            Err(error) if error.kind() == Kind::Exhausted => held(&connection, path, operation)?,
            folded => folded?,
        }
        drop(connection);
        failpoint::hit("discard-before-commit");
        file::remove_all(path, operation)?;
        return Ok(true);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    drop_all(&transaction, run).map_err(fail)?;
    failpoint::hit("discard-before-commit");
    transaction.commit().map_err(fail)?;
    if before != ABSENT {
        alone(&connection, path, operation, &before)?;
    }
    Ok(true)
}

/// Objects that no run made and that do not belong to a table of one.
fn strangers(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare(&format!(
            "SELECT name FROM sqlite_schema s WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
               AND name NOT LIKE '\\_switchover\\_%' ESCAPE '\\'
               AND NOT EXISTS (SELECT 1 FROM {OBJECT} o WHERE o.kind = s.type AND o.name = s.name)
               AND NOT (type = 'index' AND EXISTS
                    (SELECT 1 FROM {OBJECT} o WHERE o.kind = 'table' AND o.name = s.tbl_name))
               AND NOT (type = 'index' AND tbl_name LIKE '\\_switchover\\_%' ESCAPE '\\')"
        ))?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Has nobody else have the file open, without writing to it.
fn held(connection: &Connection, path: &Path, operation: &str) -> Result<()> {
    let taken = connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; ROLLBACK");
    taken.map_err(|error| company(classify(error, operation, path), path, operation))
}

/// Whoever keeps the file from being alone need not write to it.
fn company(error: Error, path: &Path, operation: &str) -> Error {
    match error.kind() {
        Kind::Busy => Error::new(Kind::Busy, operation)
            .store(path.display().to_string())
            .detail("another program has the file open")
            .hint("have it close the file, or stop it (`lsof FILE` names it)"),
        _ => error,
    }
}

/// Sets the journal's mode, which only a connection without company can.
fn alone(connection: &Connection, path: &Path, operation: &str, mode: &str) -> Result<()> {
    let found = connect::text(connection, path, &format!("PRAGMA journal_mode = {}", ident(mode)))
        .map_err(|error| company(error, path, operation))?;
    if found.eq_ignore_ascii_case(mode) {
        return Ok(());
    }
    Err(company(Error::new(Kind::Busy, operation), path, operation))
}

fn drop_all(connection: &Connection, run: &str) -> rusqlite::Result<()> {
    let sql = format!("SELECT kind, name FROM {OBJECT} WHERE run = ?1 ORDER BY ordinal DESC");
    let objects: Vec<(String, String)> = connection
        .prepare(&sql)?
        .query_map([run], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (kind, name) in objects {
        if kind == SETTING {
            reset(connection, &name)?;
            continue;
        }
        let word = match kind.as_str() {
            "view" => "VIEW",
            "trigger" => "TRIGGER",
            _ => "TABLE",
        };
        connection.execute_batch(&format!("DROP {word} IF EXISTS {}", qualified("main", &name)))?;
    }
    forget(connection)
}

/// Removes the run's records and leaves what it moved: the end of a run that is accepted.
pub(super) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    super::live::records::remove(connection)?;
    for table in TABLES {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    Ok(())
}
