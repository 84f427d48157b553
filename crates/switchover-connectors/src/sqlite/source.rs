//! The source side of SQLite: a file, and read points of it.
//!
//! Invariant: every snapshot has a thread and a connection of its own, and all its reads happen in
//! the one read transaction that was begun with it. In WAL mode writers go on beside it; in the other
//! modes its shared lock keeps them waiting, which is the price of a consistent read there.
//! A passing one begins and ends a transaction with each call, and looks in each whether the capture of a live
//! run in the file is whole.

use super::config::SqliteConfig;
use super::error::classify;
use super::live::which::Which;
use super::live::{SqliteLive, check, layout};
use super::queries::SqliteQueries;
use super::read::Encoding;
use super::{backup, blame, connect, examine, fetch, file, fragment, inspect, open, read, rules};
use crate::blocking::blocking;
use crate::disk;
use async_trait::async_trait;
use rusqlite::Connection;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{
    BackupRecord, Batch, Extent, Offenders, Position, ReadRequest, ReadTable, Snapshot, Source,
};
use switchover_core::finding::{Finding, Needs};
use switchover_core::live::{LiveRun, LiveStore, Side};
use switchover_core::plan::Plan;
use switchover_core::query::Queries;
use switchover_core::relation::Relations;
use switchover_core::schema::{Catalog, ForeignKey, Table};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio::sync::oneshot;

/// A SQLite database to read from.
#[derive(Debug, Clone)]
pub struct SqliteSource {
    config: SqliteConfig,
}

impl SqliteSource {
    /// The database of that configuration; nothing is opened yet.
    pub fn new(config: SqliteConfig) -> SqliteSource {
        SqliteSource { config }
    }

    /// The configuration.
    pub fn config(&self) -> &SqliteConfig {
        &self.config
    }
}

#[async_trait]
impl Source for SqliteSource {
    fn label(&self) -> String {
        self.config.label()
    }

    fn identity(&self) -> Option<String> {
        file::identity(self.config.path())
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(SqliteSnapshot::begin(&self.config, Holding::Point).await?))
    }

    async fn passing(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(SqliteSnapshot::begin(&self.config, Holding::Nothing).await?))
    }

    fn live(&self, run: &LiveRun) -> Result<Arc<dyn LiveStore>> {
        Ok(Arc::new(SqliteLive::new(self.config.clone(), run, Side::Source)))
    }

    async fn queries(&self, plan: &Arc<Plan>, relations: &Arc<Relations>) -> Result<Box<dyn Queries>> {
        let opened = blocking(|| SqliteQueries::open(&self.config, plan, Some(relations)));
        Ok(Box::new(opened?))
    }

    async fn backup(&self, directory: &Path, name: &str) -> Result<BackupRecord> {
        let (config, directory, name) = (self.config.clone(), directory.to_owned(), name.to_owned());
        let stop = backup::Stop::default();
        let asked = Arc::clone(&stop);
        // A caller that gives up drops this future: the thread then ends at its next step.
        let _giving_up = OnDrop(stop);
        let made = tokio::task::spawn_blocking(move || backup::ensure(&config, &directory, &name, &asked));
        let made =
            made.await.map_err(|error| Error::new(Kind::Internal, "back the source up").because(error))??;
        Ok(BackupRecord { path: made.path, bytes: made.sidecar.bytes, blake3: made.sidecar.blake3 })
    }

    fn backup_room(&self, directory: &Path) -> Option<u64> {
        disk::free_bytes(directory)
    }

    async fn examine(&self, needs: &Needs) -> Vec<Finding> {
        let (config, needs) = (self.config.clone(), needs.clone());
        let found = tokio::task::spawn_blocking(move || examine::examine(&config, &needs)).await;
        found.unwrap_or_else(|error| {
            let error = Error::new(Kind::Internal, "examine the source").because(error);
            vec![Finding::of_error("file", &error)]
        })
    }
}

/// Asks to stop when it is dropped.
struct OnDrop(backup::Stop);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// What a snapshot holds between its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    /// Its read point.
    Point,
    /// Nothing: each call has a read point of its own.
    Nothing,
}

/// What a reading thread has: its connection, and which version of the schema it has looked at.
struct Thread {
    connection: Connection,
    /// The file that was opened.
    file: Which,
    seen: RefCell<check::Seen>,
}

impl Thread {
    /// This one, or one on the file that has the name now. What cannot be opened is found by whoever reads.
    fn of_the_name(self, config: &SqliteConfig) -> Thread {
        let Some(file) = Which::at(config.path()).filter(|file| *file != self.file) else { return self };
        match open::open_read_only(config) {
            Ok(connection) => {
                connect::abandon(self.connection);
                Thread { connection, file, seen: RefCell::default() }
            }
            Err(_) => self,
        }
    }
}

type Job = Box<dyn FnOnce(&Thread) + Send>;

/// One read transaction, or one a call, on a thread of its own.
struct SqliteSnapshot {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
    holding: Holding,
    position: Position,
    encoding: Encoding,
    /// What names mean that are no tables, or not only.
    relations: Arc<Relations>,
}

impl SqliteSnapshot {
    async fn begin(config: &SqliteConfig, holding: Holding) -> Result<SqliteSnapshot> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, begun) = oneshot::channel();
        let config = config.clone();
        let path = config.path().to_owned();
        std::thread::Builder::new()
            .name("sqlite-reader".into())
            .spawn(move || {
                let opened = open::open_read_only(&config).and_then(|connection| {
                    let file = Which::here(config.path(), "read the source")?;
                    let start = start(&connection, config.path())?;
                    if holding == Holding::Nothing {
                        end(&connection, config.path())?;
                    }
                    Ok((Thread { connection, file, seen: RefCell::default() }, start))
                });
                match opened {
                    Ok((mut thread, start)) => {
                        if ready.send(Ok(start)).is_ok() {
                            for job in queue {
                                if holding == Holding::Nothing {
                                    thread = thread.of_the_name(&config);
                                }
                                job(&thread);
                            }
                        }
                    }
                    // Nobody waits any more: the caller was cancelled.
                    Err(error) => drop(ready.send(Err(error))),
                }
            })
            .map_err(|error| Error::new(Kind::Exhausted, "start the reading thread").because(error))?;
        let (position, encoding) = begun.await.map_err(|_| gone(&path))??;
        Ok(SqliteSnapshot { jobs, path, holding, position, encoding, relations: Arc::default() })
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let (holding, path) = (self.holding, self.path.clone());
        let within = move |thread: &Thread| match holding {
            Holding::Point => job(&thread.connection),
            Holding::Nothing => in_passing(thread, &path, job),
        };
        self.jobs
            // A reply that nobody waits for is dropped: the caller was cancelled.
            .send(Box::new(move |thread| drop(reply.send(within(thread)))))
            .map_err(|_| gone(&self.path))?;
        answer.await.map_err(|_| gone(&self.path))?
    }
}

fn gone(path: &Path) -> Error {
    Error::new(Kind::Internal, "read the SQLite source")
        .store(path.display().to_string())
        .detail("its reading thread ended early")
}

/// Begins the read transaction, and reads something, because SQLite takes the snapshot only then.
fn start(connection: &Connection, path: &Path) -> Result<(Position, Encoding)> {
    let fail = |error| classify(error, "begin a snapshot of the source", path);
    connection.execute_batch("BEGIN").map_err(fail)?;
    let schema: i64 = connection.query_row("PRAGMA schema_version", [], |row| row.get(0)).map_err(fail)?;
    let _: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    let data: i64 = connection.query_row("PRAGMA data_version", [], |row| row.get(0)).map_err(fail)?;
    let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0)).map_err(fail)?;
    Ok((Position(format!("{schema}:{data}")), Encoding::of_name(&encoding)))
}

fn end(connection: &Connection, path: &Path) -> Result<()> {
    connection.execute_batch("ROLLBACK").map_err(|error| classify(error, "end a read of the source", path))
}

/// A job in a read transaction of its own.
fn in_passing<T>(thread: &Thread, path: &Path, job: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let (connection, operation) = (&thread.connection, "read the source");
    if Which::here(path, operation)? != thread.file {
        return Err(Error::new(Kind::Unavailable, operation)
            .store(path.display().to_string())
            .detail("another file has its place, and cannot be opened")
            .hint("put the file back that was there"));
    }
    connection.execute_batch("BEGIN").map_err(|error| classify(error, operation, path))?;
    let done = check::verify(connection, path, &mut thread.seen.borrow_mut(), operation)
        .and_then(|()| job(connection));
    match done {
        Ok(done) => end(connection, path).map(|()| done),
        Err(error) => {
            // The error that there was is the one that counts; SQLite may have ended the transaction itself.
            let _ = end(connection, path);
            Err(error)
        }
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn position(&self) -> Position {
        self.position.clone()
    }

    async fn catalog(&self) -> Result<Catalog> {
        let path = self.path.clone();
        self.call(move |connection| inspect::catalog(connection, &path)).await
    }

    async fn mapped(&self, relations: Arc<Relations>) -> Result<Arc<dyn Snapshot>> {
        let (path, checked) = (self.path.clone(), Arc::clone(&relations));
        self.call(move |connection| {
            let catalog = inspect::catalog(connection, &path)?;
            for part in checked.values().flat_map(|relation| &relation.parts) {
                let columns = catalog.table(&part.table).map(|table| table.columns.as_slice());
                let names: Vec<String> =
                    columns.unwrap_or_default().iter().map(|column| column.name.clone()).collect();
                fragment::check(connection, &path, part, &names)?;
            }
            Ok(())
        })
        .await?;
        Ok(Arc::new(SqliteSnapshot {
            jobs: self.jobs.clone(),
            path: self.path.clone(),
            holding: self.holding,
            position: self.position.clone(),
            encoding: self.encoding,
            relations,
        }))
    }

    async fn read(&self, request: ReadRequest, rows: Rows) -> Result<Batch> {
        let (path, encoding, relations) = (self.path.clone(), self.encoding, Arc::clone(&self.relations));
        let operation = "read rows of the source";
        let by_place = self.holding == Holding::Nothing && layout::is_place(&request.table.locator);
        self.call(move |connection| {
            if by_place {
                layout::verify(connection, &path, &request.table.name, operation)?;
            }
            read::batch(connection, &path, encoding, &relations, &request, operation, rows)
                .map_err(|error| blame::explain(connection, &relations, &request.table.name, error))
        })
        .await
    }

    async fn extent(&self, table: &ReadTable) -> Result<Option<Extent>> {
        let (path, table, relations) = (self.path.clone(), table.clone(), Arc::clone(&self.relations));
        self.call(move |connection| {
            fetch::extent(connection, &path, &relations, &table)
                .map(Some)
                .map_err(|error| blame::explain(connection, &relations, &table.name, error))
        })
        .await
    }

    async fn count(&self, table: &str) -> Result<u64> {
        let (path, table, relations) = (self.path.clone(), table.to_owned(), Arc::clone(&self.relations));
        self.call(move |connection| {
            rules::count(connection, &path, &relations, &table)
                .map_err(|error| blame::explain(connection, &relations, &table, error))
        })
        .await
    }

    async fn orphans(&self, table: &Table, key: &ForeignKey, limit: usize) -> Result<Offenders> {
        let (path, encoding, table, key) = (self.path.clone(), self.encoding, table.clone(), key.clone());
        let relations = Arc::clone(&self.relations);
        self.call(move |connection| {
            rules::orphans(connection, &path, encoding, &relations, &table, &key, limit)
        })
        .await
    }

    async fn duplicates(
        &self,
        table: &Table,
        columns: &[(String, String)],
        limit: usize,
    ) -> Result<Offenders> {
        let (path, encoding, table, columns) =
            (self.path.clone(), self.encoding, table.clone(), columns.to_vec());
        let relations = Arc::clone(&self.relations);
        self.call(move |connection| {
            rules::duplicates(connection, &path, encoding, &relations, &table, &columns, limit)
        })
        .await
    }

    async fn fetch(&self, table: &ReadTable, locator: &LocatorValue) -> Result<Option<Vec<OwnedValue>>> {
        let (path, encoding, table, locator) =
            (self.path.clone(), self.encoding, table.clone(), locator.clone());
        let relations = Arc::clone(&self.relations);
        self.call(move |connection| fetch::row(connection, &path, encoding, &relations, &table, &locator))
            .await
    }
}
