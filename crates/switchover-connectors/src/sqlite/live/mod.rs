//! A SQLite file as one side of a live run. The two sides differ in names, in what values mean, and in the
//! decision, which the target keeps; everything else is the same code.
//!
//! Invariants: a read transaction ends with the call that began it; every write looks at the run's attempt in its
//! own transaction; the engine's connections fire no trigger, so nothing of what they write is captured and no
//! fence holds them (`connect`).
//!
//! Absent: forcing a checkpoint of the write-ahead log, which is the application's; anything about an application
//! that switches triggers off for itself (`SQLITE_DBCONFIG_ENABLE_TRIGGER`): what it writes then, nobody sees, and
//! only the verification finds it.

mod apply;
mod aside;
mod capture;
mod changes;
pub(super) mod check;
mod decision;
mod fence;
mod formula;
mod late;
pub(super) mod layout;
mod lookup;
mod mapped;
mod new_row;
mod numbering;
mod obstacles;
pub(super) mod records;
mod shape;
mod triggers;
mod versions;
pub(super) mod which;

use self::check::{Doubts, Seen};
use self::shape::Shape;
pub(super) use self::triggers::FENCE_MESSAGE;
use self::versions::Versions;
use self::which::Which;
use super::config::SqliteConfig;
use super::connect::{self, Commits, blocking};
use super::error::{classify, is_busy};
use super::open::BUSY_TIMEOUT;
use super::read::Encoding;
use super::{inspect, open, reader};
use crate::sidecar::with_suffix;
use async_trait::async_trait;
use rusqlite::{Connection, ffi};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use switchover_core::connector::{BuildStep, Position};
use switchover_core::failpoint;
use switchover_core::live::{
    Beside, Captured, Changes, Fenced, Limit, LiveRun, LiveStage, LiveStore, LiveTarget, Ownership, Pressure,
    Side,
};
use switchover_core::mapping;
use switchover_core::plan::{Refusal, TablePlan};
use switchover_core::relation::Relations;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// A write that costs nothing to leave for later, or to lose with the machine.
const LATER: (Duration, Commits) = (Duration::from_millis(50), Commits::Soon);

/// How long a fence waits between two looks whether the writer is gone: SQLite's own waiting grows to 100 ms, in
/// which a busy application takes the lock many times.
const FENCE_PAUSE: Duration = Duration::from_micros(500);

/// A write that waits no longer than a healthy application's transaction takes, and is on the disk when it is done.
const SURE: (Duration, Commits) = (BUSY_TIMEOUT, Commits::Durable);

/// Statements that a connection keeps prepared: a few for each table of a schema of the usual size.
const STATEMENTS_MAX: usize = 512;

/// Pages of write-ahead log after which the engine folds a target's back: 16 MiB with pages of 4 KiB. The whole
/// bound is 64 MiB, and one application of changes comes on top.
const LOG_PAGES: i64 = 4096;

/// A SQLite file in a live run.
#[derive(Debug)]
pub(super) struct SqliteLive {
    config: SqliteConfig,
    run: LiveRun,
    side: Side,
    reader: Mutex<Option<Reading>>,
    writer: Mutex<Option<(Connection, Which)>>,
    looked: Mutex<Seen>,
    versions: Mutex<Versions>,
}

/// The connection that reads, and what it knows of the file as long as the schema's version stays.
#[derive(Debug)]
struct Reading {
    connection: Connection,
    file: Which,
    encoding: Encoding,
    known: Option<(i64, Arc<Known>)>,
}

/// What is known of a version of the schema.
#[derive(Debug)]
struct Known {
    /// One a table of the plan; `None` for one that is not there or cannot be read.
    shapes: Vec<Option<Shape>>,
    /// What is not as the run left it.
    doubts: Doubts,
    /// What the mapping makes of its tables, once that was asked.
    relations: OnceLock<Relations>,
}

/// A table of the plan by its names in this file.
#[derive(Debug, Clone)]
struct View<'a> {
    plan: &'a TablePlan,
    name: &'a str,
    columns: Vec<&'a str>,
    key: Vec<usize>,
}

impl View<'_> {
    fn key_names(&self) -> Vec<&str> {
        self.key.iter().map(|at| self.columns[*at]).collect()
    }
}

impl SqliteLive {
    pub(super) fn new(config: SqliteConfig, run: &LiveRun, side: Side) -> SqliteLive {
        SqliteLive {
            config,
            run: run.clone(),
            side,
            reader: Mutex::default(),
            writer: Mutex::default(),
            looked: Mutex::default(),
            versions: Mutex::default(),
        }
    }

    fn path(&self) -> &Path {
        self.config.path()
    }

    fn view<'a>(&self, table: &'a TablePlan) -> View<'a> {
        let columns = table.columns.iter();
        match self.side {
            Side::Source => View {
                plan: table,
                name: &table.source,
                columns: columns.map(|column| column.source.as_str()).collect(),
                key: table.key_fields(),
            },
            Side::Target => View {
                plan: table,
                name: &table.target,
                columns: columns.map(|column| column.target.as_str()).collect(),
                key: table.key_fields(),
            },
        }
    }

    fn views(&self) -> Vec<View<'_>> {
        self.run.plan.tables.iter().map(|table| self.view(table)).collect()
    }

    fn shapes(&self, connection: &Connection) -> rusqlite::Result<Vec<Option<Shape>>> {
        let read = |(number, view): (usize, View<'_>)| {
            let shape = shape::read(connection, number, view.name, &view.key_names())?;
            Ok(shape.and_then(|shape| shape.ok()))
        };
        self.views().into_iter().enumerate().map(read).collect()
    }

    fn known(&self, connection: &Connection) -> rusqlite::Result<Known> {
        let present = records::present(connection)?;
        let doubts = if present { check::doubts(connection)? } else { Doubts::default() };
        Ok(Known { shapes: self.shapes(connection)?, doubts, relations: OnceLock::new() })
    }

    /// What the names of the plan's tables mean in this file. What is read beside a copy, and later, is what the copy reads.
    fn relations<'a>(&self, connection: &Connection, known: &'a Known) -> Result<&'a Relations> {
        if let Some(relations) = known.relations.get() {
            return Ok(relations);
        }
        let options = &self.run.plan.options;
        let relations = match self.side == Side::Target || options.mapping.is_empty() {
            true => Relations::new(),
            false => mapping::resolve(inspect::catalog(connection, self.path())?, options)?.relations,
        };
        Ok(known.relations.get_or_init(|| relations))
    }

    /// A read transaction: begun, looked at, used and ended within the call.
    fn read<T>(
        &self,
        operation: &str,
        work: impl FnOnce(&Connection, Encoding, &Arc<Known>) -> Result<T>,
    ) -> Result<T> {
        let mut kept = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let file = Which::here(self.path(), operation)?;
        let still = kept.take().and_then(|reading| {
            let Reading { connection, file: opened, encoding, known } = reading;
            let connection = which::still(connection, &opened, &file)?;
            Some(Reading { connection, file: opened, encoding, known })
        });
        let mut reading = match still {
            Some(reading) => reading,
            None => {
                let (connection, encoding) = self.open_to_read()?;
                Reading { connection, file, encoding, known: None }
            }
        };
        let fail = |error| classify(error, operation, self.path());
        let done = (|| {
            reading.connection.execute_batch("BEGIN").map_err(fail)?;
            let version = check::schema_version(&reading.connection).map_err(fail)?;
            self.versions().met(version);
            let known = match &reading.known {
                Some((seen, known)) if *seen == version => Arc::clone(known),
                _ => Arc::new(self.known(&reading.connection).map_err(fail)?),
            };
            reading.known = Some((version, Arc::clone(&known)));
            let done = work(&reading.connection, reading.encoding, &known)?;
            reading.connection.execute_batch("COMMIT").map_err(fail)?;
            Ok(done)
        })();
        // After an error its state is unknown: the next reading opens another.
        *kept = done.is_ok().then_some(reading);
        done
    }

    fn open_to_read(&self) -> Result<(Connection, Encoding)> {
        let (connection, encoding) = match self.side {
            Side::Source => {
                let connection = open::open_read_only(&self.config)?;
                let encoding = connect::text(&connection, self.path(), "PRAGMA encoding")?;
                (connection, Encoding::of_name(&encoding))
            }
            Side::Target => reader::open_to_read(self.path())?,
        };
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok((connection, encoding))
    }

    /// A write transaction of the engine's. `name` is that of the failpoints around its commit.
    fn write<T>(
        &self,
        operation: &str,
        name: &str,
        (patience, commits): (Duration, Commits),
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let mut kept = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let file = Which::here(self.path(), operation)?;
        let connection =
            match kept.take().and_then(|(connection, opened)| which::still(connection, &opened, &file)) {
                Some(connection) => connection,
                None => {
                    *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
                    self.open_to_write()?
                }
            };
        let fail = |error| classify(error, operation, self.path());
        let level = match commits {
            Commits::Soon => "PRAGMA synchronous = NORMAL",
            Commits::Durable => "PRAGMA synchronous = FULL",
        };
        let begun = connection.execute_batch(level).and_then(|()| begin(&connection, patience));
        let done = begun.map_err(fail).and_then(|()| {
            self.versions().met(check::schema_version(&connection).map_err(fail)?);
            let done = work(&connection);
            match done {
                Ok(done) => {
                    // Before the commit, behind which a reading may meet it.
                    self.versions().made(check::schema_version(&connection).map_err(fail)?);
                    failpoint::hit(&format!("live-{}-{name}-before-commit", self.side));
                    connection.execute_batch("COMMIT").map_err(fail)?;
                    failpoint::hit(&format!("live-{}-{name}-after-commit", self.side));
                    Ok(done)
                }
                Err(error) => {
                    // What was begun is given up; the error that there was is the one that counts.
                    let _ = connection.execute_batch("ROLLBACK");
                    Err(error)
                }
            }
        });
        *kept = (done.is_ok() || connection.is_autocommit()).then_some((connection, file));
        done
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_to_write(&self) -> Result<Connection> {
        let connection = match self.side {
            // The file's journal and its settings are the application's.
            Side::Source => connect::live(self.path(), None)?,
            Side::Target => connect::live(self.path(), Some(LOG_PAGES))?,
        };
        self.put_aside(&connection).map_err(|error| classify(error, "open the file", self.path()))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(connection)
    }

    /// Closes the connections: who wants the file for itself gets it. The next call opens others.
    pub(super) fn let_go(&self) {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Begins a transaction that writes, as soon as the writer before it is gone.
fn begin(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    let until = Instant::now() + patience;
    let begun = loop {
        match connection.execute_batch("BEGIN IMMEDIATE") {
            Err(error) if is_busy(&error) && Instant::now() < until => std::thread::sleep(FENCE_PAUSE),
            begun => break begun,
        }
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    begun
}

#[async_trait]
impl LiveStore for SqliteLive {
    fn label(&self) -> String {
        self.config.label()
    }

    fn is_about(&self, error: &Error) -> bool {
        // Errors name the file as people do.
        [self.label(), self.path().display().to_string()].contains(&error.subject().store)
    }

    fn is_about_others(&self, rejection: &Error) -> bool {
        let cause = std::error::Error::source(rejection);
        let failure = cause.and_then(|cause| cause.downcast_ref::<rusqlite::Error>()?.sqlite_error());
        let codes = [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY];
        failure.is_some_and(|failure| codes.contains(&failure.extended_code))
    }

    async fn obstacles(&self, returns: bool) -> Result<Vec<Refusal>> {
        blocking(|| self.find_obstacles(returns))
    }

    async fn has_records(&self) -> Result<bool> {
        let operation = "look for the live run's records";
        blocking(|| {
            self.read(operation, |connection, _, _| {
                let found = records::run_of(connection);
                let found = found.map_err(|error| classify(error, operation, self.path()))?;
                Ok(found.as_deref() == Some(&self.run.run))
            })
        })
    }

    async fn enter(&self) -> Result<()> {
        blocking(|| self.enter_run())
    }

    async fn doubts(&self) -> Result<Vec<usize>> {
        blocking(|| self.find_doubts())
    }

    async fn moved(&self) -> Result<Vec<usize>> {
        blocking(|| self.find_moved())
    }

    async fn capture(&self, again: &[usize], whole: &[usize]) -> Result<Captured> {
        blocking(|| self.make_capture(again, whole))
    }

    async fn changes(&self, after: &Position, limit: Limit, beside: Option<&Beside>) -> Result<Changes> {
        blocking(|| self.read_changes(after, limit, beside))
    }

    async fn redefined(&self) -> Result<u64> {
        let operation = "look at the definitions";
        blocking(|| {
            self.read(operation, |_, _, _| Ok(()))?;
            Ok(self.versions().others())
        })
    }

    async fn settle(&self, upto: &Position) -> Result<()> {
        blocking(|| self.settle_upto(upto))
    }

    async fn applied(&self) -> Result<Option<Position>> {
        let operation = "read the live run's position";
        blocking(|| {
            self.read(operation, |connection, _, _| {
                records::of_run(connection, self.path(), &self.run, operation)
                    .map(|(record, _)| record.applied)
            })
        })
    }

    async fn look(&self) -> Result<()> {
        let operation = "look at the file that follows";
        blocking(|| {
            self.read(operation, |connection, _, known| {
                records::of_run(connection, self.path(), &self.run, operation)?;
                match self.side {
                    Side::Source => {
                        known.doubts.the_same_file(self.path(), operation)?;
                        known.doubts.shut(self.path(), operation)?;
                        self.is_shut(connection, operation)
                    }
                    // Changes say it, and then everything is copied again.
                    Side::Target => Ok(()),
                }
            })
        })
    }

    async fn apply(&self, changes: &Changes, after: Option<&Position>) -> Result<()> {
        blocking(|| self.apply_changes(changes, after, SURE))
    }

    async fn begin(&self, from: &Position, patience: Duration) -> Result<()> {
        blocking(|| self.apply_changes(&Changes::none(from.clone()), None, (patience, Commits::Durable)))
    }

    async fn fetch(&self, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        blocking(|| self.fetch_rows(table, keys))
    }

    async fn count(&self, table: usize) -> Result<u64> {
        blocking(|| self.count_rows(table))
    }

    async fn fence(&self, patience: Duration) -> Result<Fenced> {
        blocking(|| self.close(patience))
    }

    async fn unfence(&self) -> Result<()> {
        blocking(|| self.open())
    }

    async fn number(&self, numbering: &[(usize, i64)]) -> Result<()> {
        blocking(|| self.number_behind(numbering))
    }

    async fn pressure(&self) -> Result<Pressure> {
        let operation = "measure the live run";
        blocking(|| {
            let wal_bytes = std::fs::metadata(with_suffix(self.path(), "-wal")).map_or(0, |meta| meta.len());
            let entries = self.read(operation, |connection, _, _| {
                let (record, _) = records::of_run(connection, self.path(), &self.run, operation)?;
                if record.token.is_none() {
                    return Ok(0);
                }
                // Entries have no gaps, so the ends tell: each is one step down the tree.
                let sql = format!(
                    "SELECT coalesce((SELECT max(seq) FROM {0}) - (SELECT min(seq) FROM {0}) + 1, 0)",
                    records::CHANGES
                );
                connection
                    .query_row(&sql, [], |row| row.get::<_, i64>(0))
                    .map_err(|error| classify(error, operation, self.path()))
            })?;
            Ok(Pressure { wal_bytes, log_entries: u64::try_from(entries).unwrap_or(0) })
        })
    }

    async fn probe(&self) -> Result<()> {
        let operation = "time a write";
        blocking(|| {
            self.write(operation, "probe", LATER, |connection| {
                records::own(connection, self.path(), &self.run, operation)?;
                records::write_again(connection).map_err(|error| classify(error, operation, self.path()))
            })
        })
    }

    async fn leave(&self) -> Result<()> {
        blocking(|| self.leave_run())
    }
}

#[async_trait]
impl LiveTarget for SqliteLive {
    async fn ownership(&self) -> Result<Ownership> {
        blocking(|| self.read_ownership())
    }

    async fn decide(&self, from: &Ownership, to: &Ownership, numbering: &[(usize, i64)]) -> Result<bool> {
        blocking(|| self.change_owner(from, to, numbering))
    }

    async fn as_made(&self) -> Result<()> {
        let operation = "look at the target's definitions";
        blocking(|| self.read(operation, |connection, _, _| self.is_as_made(connection, operation)))
    }

    async fn left(&self) -> Result<bool> {
        blocking(|| self.was_left())
    }

    async fn follow(&self) -> Result<()> {
        blocking(|| self.follow_source())
    }

    fn steps(&self) -> Vec<(LiveStage, BuildStep)> {
        decision::steps(&self.run.plan)
    }

    async fn restart(&self, tables: &[usize]) -> Result<()> {
        blocking(|| self.restart_tables(tables))
    }
}

/// An error of this module about the run itself.
fn refused(kind: Kind, operation: &str, path: &Path, detail: impl Into<String>) -> Error {
    Error::new(kind, operation).store(path.display().to_string()).detail(detail)
}
