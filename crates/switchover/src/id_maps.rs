//! The maps of ids as tables of the source, which has no such tables.
//!
//! A map has a row for each row of the table whose ids it keeps, with one column of that table twice: as it is,
//! and to become a UUID. Invariant: it is read from that table at the same read point, row by row, so the map
//! and the table cannot disagree, whatever kind of store the source is.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{Batch, Extent, Offenders, Position, ReadRequest, ReadTable, Snapshot};
use switchover_core::ids;
use switchover_core::relation::Relations;
use switchover_core::schema::{Catalog, ForeignKey, Table};
use switchover_core::value::{OwnedValue, Rows};

/// The read point with the catalog's maps; the same one where there are none.
pub(crate) fn with_id_maps(inner: Arc<dyn Snapshot>, catalog: &Catalog) -> Arc<dyn Snapshot> {
    let mut maps = BTreeMap::new();
    for table in &catalog.tables {
        let Some(map) = &table.id_map else { continue };
        if let Some(of) = catalog.table(&map.table) {
            maps.insert(table.name.clone(), Map { of: of.clone(), column: map.column.clone() });
        }
    }
    if maps.is_empty() { inner } else { Arc::new(IdMaps { inner, maps }) }
}

struct Map {
    of: Table,
    column: String,
}

struct IdMaps {
    inner: Arc<dyn Snapshot>,
    maps: BTreeMap<String, Map>,
}

impl IdMaps {
    /// What is read in place of a map.
    fn read_of(map: &Map, table: &ReadTable) -> Arc<ReadTable> {
        let (name, columns) = (map.of.name.clone(), vec![map.column.clone()]);
        Arc::new(ReadTable { name, columns, locator: table.locator.clone() })
    }
}

#[async_trait]
impl Snapshot for IdMaps {
    fn position(&self) -> Position {
        self.inner.position()
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.inner.catalog().await
    }

    async fn mapped(&self, relations: Arc<Relations>) -> Result<Arc<dyn Snapshot>> {
        self.inner.mapped(relations).await
    }

    async fn read(&self, request: ReadRequest, mut rows: Rows) -> Result<Batch> {
        let Some(map) = self.maps.get(&request.table.name) else {
            return self.inner.read(request, rows).await;
        };
        let wanted = Arc::clone(&request.table);
        let request = ReadRequest { table: Self::read_of(map, &wanted), ..request };
        let batch = self.inner.read(request, Rows::default()).await?;
        rows.reset(wanted.locator.width(), wanted.columns.len());
        for row in batch.rows.iter() {
            row.locator().iter().for_each(|cell| rows.push(cell.borrow()));
            wanted.columns.iter().for_each(|_| rows.push(row.value(0)));
        }
        Ok(Batch { rows, ..batch })
    }

    async fn count(&self, table: &str) -> Result<u64> {
        self.inner.count(self.maps.get(table).map_or(table, |map| &map.of.name)).await
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
        let Some(map) = self.maps.get(&table.name) else {
            return self.inner.duplicates(table, columns, limit).await;
        };
        // Whether two ids become one UUID is asked elsewhere (`same_ids`).
        if columns.iter().any(|(name, _)| name == ids::UUID) {
            return Ok(Offenders::default());
        }
        let own: Vec<(String, String)> =
            columns.iter().map(|(_, collation)| (map.column.clone(), collation.clone())).collect();
        self.inner.duplicates(&map.of, &own, limit).await
    }

    fn enforces_keys(&self) -> bool {
        self.inner.enforces_keys()
    }

    async fn place(&self, table: &str, locator: &LocatorValue) -> Result<Option<String>> {
        self.inner.place(self.maps.get(table).map_or(table, |map| &map.of.name), locator).await
    }

    async fn extent(&self, table: &ReadTable) -> Result<Option<Extent>> {
        match self.maps.get(&table.name) {
            Some(map) => self.inner.extent(&Self::read_of(map, table)).await,
            None => self.inner.extent(table).await,
        }
    }

    async fn fetch(&self, table: &ReadTable, locator: &LocatorValue) -> Result<Option<Vec<OwnedValue>>> {
        let Some(map) = self.maps.get(&table.name) else { return self.inner.fetch(table, locator).await };
        let found = self.inner.fetch(&Self::read_of(map, table), locator).await?;
        let value = found.and_then(|cells| cells.into_iter().next());
        Ok(value.map(|value| table.columns.iter().map(|_| value.clone()).collect()))
    }
}
