//! The source side of JSON: a dump, and one state of it.
//!
//! Invariant: a snapshot is of the files as they were when it was taken. They are surveyed whole before anything
//! is given out, and every read sees whether one was written to since.

use super::catalog::catalog;
use super::config::JsonConfig;
use super::place::OPERATION;
use super::read::{Cursor, batch, columns, number};
use super::survey::{Dump, Surveyed, survey};
use super::{backup, count, examine, rules};
use crate::{disk, place};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{
    BackupRecord, Batch, Extent, Offenders, Position, ReadRequest, ReadTable, Snapshot, Source,
};
use switchover_core::finding::{Finding, Needs};
use switchover_core::schema::{Catalog, ForeignKey, Table};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// Cursors that wait for the next batch: the copy's, a scan's, and one to spare.
const CURSORS_MAX: usize = 3;

/// A dump to read from.
#[derive(Debug, Clone)]
pub struct JsonSource {
    config: JsonConfig,
}

impl JsonSource {
    /// The dump of that configuration; nothing is opened yet.
    pub fn new(config: JsonConfig) -> JsonSource {
        JsonSource { config }
    }
}

/// Asks to stop when it is dropped: a caller that gives up drops its future.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(Kind::Internal, OPERATION).because(error))?
}

#[async_trait]
impl Source for JsonSource {
    fn label(&self) -> String {
        self.config.label()
    }

    fn identity(&self) -> Option<String> {
        place::identity(self.config.path())
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        let (config, stop) = (self.config.clone(), Arc::new(AtomicBool::new(false)));
        let asked = OnDrop(Arc::clone(&stop));
        let dump = blocking(move || survey(&config, &stop)).await?;
        drop(asked);
        Ok(Arc::new(JsonSnapshot {
            label: self.config.label(),
            dump: Arc::new(dump),
            cursors: Arc::default(),
            counts: Arc::default(),
        }))
    }

    async fn backup(&self, directory: &Path, name: &str) -> Result<BackupRecord> {
        let (config, directory, name) = (self.config.clone(), directory.to_owned(), name.to_owned());
        let stop = Arc::new(AtomicBool::new(false));
        let _asked = OnDrop(Arc::clone(&stop));
        blocking(move || backup::ensure(&config, &directory, &name, &stop)).await
    }

    fn backup_room(&self, directory: &Path) -> Option<u64> {
        disk::free_bytes(directory)
    }

    async fn examine(&self, needs: &Needs) -> Vec<Finding> {
        let (config, needs) = (self.config.clone(), needs.clone());
        let found = blocking(move || Ok(examine::examine(&config, &needs))).await;
        found.unwrap_or_else(|error| vec![Finding::of_error("file", &error)])
    }
}

/// One state of a dump.
struct JsonSnapshot {
    label: String,
    dump: Arc<Dump>,
    /// Cursors behind what was read last.
    cursors: Arc<Mutex<Vec<Cursor>>>,
    counts: Arc<OnceLock<BTreeMap<String, u64>>>,
}

impl JsonSnapshot {
    fn table(&self, name: &str) -> Result<Arc<Surveyed>> {
        let found = self.dump.tables.iter().chain(&self.dump.bare).find(|table| table.begins.name == name);
        found.cloned().ok_or_else(|| {
            Error::new(Kind::NotFound, OPERATION)
                .store(self.label.clone())
                .table(name)
                .detail("the dump has no such table")
        })
    }

    /// Adds what every error of this store names.
    fn named(&self, table: &str) -> impl Fn(Error) -> Error + Send + use<> {
        let (label, table) = (self.label.clone(), table.to_owned());
        move |error| {
            let error = if error.subject().store.is_empty() { error.store(label.clone()) } else { error };
            if error.subject().table.is_empty() { error.table(table.clone()) } else { error }
        }
    }
}

#[async_trait]
impl Snapshot for JsonSnapshot {
    fn position(&self) -> Position {
        Position(self.dump.blake3.clone())
    }

    fn enforces_keys(&self) -> bool {
        false
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.dump.parts.iter().try_for_each(|part| part.unchanged())?;
        catalog(&self.dump, &self.label)
    }

    async fn read(&self, request: ReadRequest, rows: Rows) -> Result<Batch> {
        let table = self.table(&request.table.name)?;
        let cursors = Arc::clone(&self.cursors);
        let after = request.range.after.as_ref().and_then(number).unwrap_or(0).min(table.rows);
        let name = request.table.name.clone();
        let work = move || {
            let lock = || cursors.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = {
                let mut cursors = lock();
                let fits = |cursor: &Cursor| Arc::ptr_eq(&cursor.table, &table) && cursor.rows == after;
                cursors.iter().position(fits).map(|at| cursors.remove(at))
            };
            let mut cursor = waiting.map_or_else(|| Cursor::at(&table, after), Ok)?;
            let batch = batch(&mut cursor, &request, rows)?;
            if cursor.rows < table.rows {
                let mut cursors = lock();
                cursors.push(cursor);
                if cursors.len() > CURSORS_MAX {
                    cursors.remove(0);
                }
            }
            Ok(batch)
        };
        blocking(work).await.map_err(self.named(&name))
    }

    async fn extent(&self, table: &ReadTable) -> Result<Option<Extent>> {
        let rows = self.table(&table.name)?.rows;
        let last = i64::try_from(rows).unwrap_or(i64::MAX);
        Ok(Some(Extent { rows, span: (rows > 0).then_some((1, last)) }))
    }

    async fn count(&self, table: &str) -> Result<u64> {
        let (dump, counts) = (Arc::clone(&self.dump), Arc::clone(&self.counts));
        let name = table.to_owned();
        let work = move || {
            if counts.get().is_none() {
                // Whoever was first is right: both counted the same file.
                let _ = counts.set(count::count(&dump)?);
            }
            Ok(counts.get().and_then(|counts| counts.get(&name)).copied().unwrap_or(0))
        };
        blocking(work).await.map_err(self.named(table))
    }

    async fn orphans(&self, table: &Table, key: &ForeignKey, limit: usize) -> Result<Offenders> {
        let (child, parent) = (self.table(&table.name)?, self.table(&key.parent)?);
        let key = key.clone();
        let work = move || rules::orphans(&child, &key.columns, &parent, &key.parent_columns, limit);
        blocking(work).await.map_err(self.named(&table.name))
    }

    async fn duplicates(
        &self,
        table: &Table,
        columns: &[(String, String)],
        limit: usize,
    ) -> Result<Offenders> {
        let (surveyed, columns) = (self.table(&table.name)?, columns.to_vec());
        blocking(move || rules::duplicates(&surveyed, &columns, limit)).await.map_err(self.named(&table.name))
    }

    async fn fetch(&self, table: &ReadTable, locator: &LocatorValue) -> Result<Option<Vec<OwnedValue>>> {
        let surveyed = self.table(&table.name)?;
        let Some(row) = number(locator).filter(|row| (1..=surveyed.rows).contains(row)) else {
            return Ok(None);
        };
        let names = table.columns.clone();
        let work = move || {
            let columns = columns(&surveyed, &names)?;
            let mut rows = Rows::new(1, columns.len());
            Cursor::at(&surveyed, row - 1)?.push(&columns, &mut rows)?;
            Ok(Some(rows.row(0).values().map(|value| value.to_owned_value()).collect()))
        };
        blocking(work).await.map_err(self.named(&table.name))
    }

    async fn place(&self, table: &str, locator: &LocatorValue) -> Result<Option<String>> {
        let surveyed = self.table(table)?;
        let Some(row) = number(locator).filter(|row| (1..=surveyed.rows).contains(row)) else {
            return Ok(None);
        };
        blocking(move || Cursor::at(&surveyed, row - 1)?.place().map(Some)).await.map_err(self.named(table))
    }
}
