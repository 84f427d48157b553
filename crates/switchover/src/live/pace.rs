//! How fast the run may go: a pause, a limit of rows a second, and patience with a source that labours.
//!
//! Absent: what a store bears, which it says itself, and what is done about the backlog, which is the engine's.

use crate::shutdown::Shutdown;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{Batch, Extent, Offenders, Position, ReadRequest, ReadTable, Snapshot};
use switchover_core::relation::Relations;
use switchover_core::schema::{Catalog, ForeignKey, Table};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Limits {
    pub(super) paused: bool,
    pub(super) rows_per_s: Option<u64>,
    pub(super) commit_max: Option<Duration>,
}

/// The limits, and how much of them is used. Clones share both.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    limits: watch::Sender<Limits>,
    /// When the next rows may be taken.
    due: Arc<tokio::sync::Mutex<Instant>>,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            limits: watch::Sender::new(Limits::default()),
            due: Arc::new(tokio::sync::Mutex::new(Instant::now())),
        }
    }
}

impl Pace {
    pub(super) fn limits(&self) -> Limits {
        *self.limits.borrow()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Limits)) {
        self.limits.send_modify(change);
    }

    /// Waits until the run is not paused and the rows taken so far are within the limit.
    pub(super) async fn wait(&self) -> Result<()> {
        let mut limits = self.limits.subscribe();
        let gone = |error| Error::new(Kind::Internal, "wait for the pause to end").because(error);
        limits.wait_for(|limits| !limits.paused).await.map_err(gone)?;
        let due = *self.due.lock().await;
        tokio::select! {
            biased;
            () = sleep_until(due) => Ok(()),
            changed = limits.changed() => changed.map_err(gone),
        }
    }

    /// Rows were taken.
    pub(super) async fn took(&self, rows: u64) {
        let Some(limit) = self.limits().rows_per_s.filter(|limit| *limit > 0) else { return };
        let mut due = self.due.lock().await;
        let earned = Duration::from_secs_f64(rows as f64 / limit as f64);
        *due = (*due).max(Instant::now()) + earned;
    }

    /// A commit on the source took so long: beyond the limit, the run waits as long again.
    pub(super) async fn probed(&self, commit: Duration) {
        if self.limits().commit_max.is_some_and(|max| commit > max) {
            let mut due = self.due.lock().await;
            *due = (*due).max(Instant::now()) + commit;
        }
    }
}

/// A snapshot that is read no faster than the pace allows.
pub(super) struct Paced {
    pub(super) inner: Arc<dyn Snapshot>,
    pub(super) pace: Pace,
    /// What ends the waiting.
    pub(super) shutdown: Shutdown,
}

#[async_trait]
impl Snapshot for Paced {
    fn position(&self) -> Position {
        self.inner.position()
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.inner.catalog().await
    }

    async fn mapped(&self, relations: Arc<Relations>) -> Result<Arc<dyn Snapshot>> {
        self.inner.mapped(relations).await
    }

    async fn read(&self, request: ReadRequest, rows: Rows) -> Result<Batch> {
        tokio::select! {
            biased;
            waited = self.pace.wait() => waited?,
            () = self.shutdown.requested() => self.shutdown.check("copy the rows")?,
        }
        let batch = self.inner.read(request, rows).await?;
        self.pace.took(batch.rows.len() as u64).await;
        Ok(batch)
    }

    async fn count(&self, table: &str) -> Result<u64> {
        self.inner.count(table).await
    }

    async fn orphans(&self, table: &Table, key: &ForeignKey, limit: usize) -> Result<Offenders> {
        self.inner.orphans(table, key, limit).await
    }

    async fn duplicates(
        &self,
        table: &Table,
        columns: &[(String, String)],
        limit: usize,
    ) -> Result<Offenders> {
        self.inner.duplicates(table, columns, limit).await
    }

    fn enforces_keys(&self) -> bool {
        self.inner.enforces_keys()
    }

    async fn place(&self, table: &str, locator: &LocatorValue) -> Result<Option<String>> {
        self.inner.place(table, locator).await
    }

    async fn extent(&self, table: &ReadTable) -> Result<Option<Extent>> {
        self.inner.extent(table).await
    }

    async fn fetch(&self, table: &ReadTable, locator: &LocatorValue) -> Result<Option<Vec<OwnedValue>>> {
        self.inner.fetch(table, locator).await
    }
}
