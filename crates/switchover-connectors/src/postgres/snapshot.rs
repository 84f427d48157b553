//! One read point of a PostgreSQL database: a transaction that exports its snapshot and is held until the
//! end, and sessions that join it to read rows (`pull`).
//!
//! Invariant: everything that is told of the source comes from the one snapshot. When the session that
//! holds it ends, nothing more can be read: another snapshot is another state, which the engine compares
//! with what it has copied before it goes on.

use super::config::PgConfig;
use super::connect::{Connection, connect};
use super::pull::{self, Pulls};
use super::shape::Shape;
use super::structure::{self, Locked, Structure};
use super::{inspect, rules};
use async_trait::async_trait;
use std::collections::BTreeMap;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{Batch, Extent, Offenders, Position, ReadRequest, ReadTable, Snapshot};
use switchover_core::schema::{Catalog, ForeignKey, Locator, Table};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio::sync::OnceCell;

const OPERATION: &str = "begin a snapshot of the source";

/// The read point.
pub(super) struct PostgresSnapshot {
    schema: String,
    /// The session whose transaction exported the snapshot. It reads catalogs and counts, never rows.
    holder: Connection,
    pulls: Pulls,
    position: Position,
    structure: OnceCell<Structure>,
}

impl PostgresSnapshot {
    /// Begins it.
    pub(super) async fn begin(config: &PgConfig, schema: &str) -> Result<PostgresSnapshot> {
        let holder = connect(config).await?;
        inspect::supported(&holder, OPERATION)?;
        let fail = |error| holder.classify(error, OPERATION);
        holder.client().batch_execute(pull::BEGIN).await.map_err(fail)?;
        let sql = "SELECT pg_catalog.pg_export_snapshot(), CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END::text";
        let row = holder.client().query_one(sql, &[]).await.map_err(fail)?;
        let (snapshot, position): (String, Option<String>) = (row.get(0), row.get(1));
        Ok(PostgresSnapshot {
            schema: schema.to_owned(),
            pulls: Pulls::new(config.clone(), snapshot),
            position: Position(position.unwrap_or_default()),
            holder,
            structure: OnceCell::new(),
        })
    }

    async fn structure(&self) -> Result<&Structure> {
        let read = || async {
            let store = inspect::store(&self.holder).await?;
            structure::read(&self.holder, &self.schema, store).await
        };
        self.structure.get_or_try_init(read).await
    }

    /// The tables whose rows the role cannot read, or not all of them.
    pub(super) async fn locked(&self) -> Result<&BTreeMap<String, Locked>> {
        Ok(&self.structure().await?.locked)
    }

    /// How a table is read: only of those that are to be moved is it asked, and that they can be is no matter of others.
    async fn shape(&self, table: &str) -> Result<&Shape> {
        let structure = self.structure().await?;
        if let Some(locked) = structure.locked.get(table) {
            let (why, todo) = locked.told();
            return Err(Error::new(Kind::Permission, pull::OPERATION)
                .store(self.holder.label())
                .table(table)
                .detail(why)
                .hint(todo));
        }
        structure.shapes.get(table).ok_or_else(|| {
            Error::new(Kind::Changed, "read rows of the source")
                .store(self.holder.label())
                .table(table)
                .detail(format!("the schema \"{}\" has no such table", self.schema))
                .hint("plan again, or name the schema with --from-schema")
        })
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn position(&self) -> Position {
        self.position.clone()
    }

    async fn catalog(&self) -> Result<Catalog> {
        Ok(self.structure().await?.catalog.clone())
    }

    async fn read(&self, request: ReadRequest, rows: Rows) -> Result<Batch> {
        self.pulls.batch(self.shape(&request.table.name).await?, &request, rows).await
    }

    async fn extent(&self, table: &ReadTable) -> Result<Option<Extent>> {
        let Locator::RowId(name) = &table.locator else { return Ok(None) };
        rules::extent(&self.holder, self.shape(&table.name).await?, name)
            .await
            .map(Some)
            .map_err(|error| error.table(table.name.clone()))
    }

    async fn count(&self, table: &str) -> Result<u64> {
        rules::count(&self.holder, self.shape(table).await?).await.map_err(|error| error.table(table))
    }

    async fn orphans(&self, table: &Table, key: &ForeignKey, limit: usize) -> Result<Offenders> {
        let (child, parent) = (self.shape(&table.name).await?, self.shape(&key.parent).await?);
        rules::orphans(&self.pulls, child, parent, key, limit)
            .await
            .map_err(|error| error.table(table.name.clone()))
    }

    async fn duplicates(
        &self,
        table: &Table,
        columns: &[(String, String)],
        limit: usize,
    ) -> Result<Offenders> {
        rules::duplicates(&self.pulls, self.shape(&table.name).await?, columns, limit)
            .await
            .map_err(|error| error.table(table.name.clone()))
    }

    async fn fetch(&self, table: &ReadTable, locator: &LocatorValue) -> Result<Option<Vec<OwnedValue>>> {
        let (sql, types) = pull::one(self.shape(&table.name).await?, table, locator)?;
        let mut found = None;
        let observe = |rows: &Rows| {
            if !rows.is_empty() {
                found = Some(rows.row(0).locator());
            }
        };
        self.pulls.each(&sql, types, observe).await.map_err(|error| error.table(table.name.clone()))?;
        Ok(found)
    }
}
