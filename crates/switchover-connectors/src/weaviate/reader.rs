//! Reading a collection back, in parts: each part is a range of ids, listed page by page in their order.

use super::client::{Client, Listing, PAGE_OBJECTS_MAX, VectorsAsked};
use super::rows::Table;
use async_trait::async_trait;
use std::collections::HashSet;
use std::sync::Arc;
use switchover_core::connector::Reader;
use switchover_core::plan::Plan;
use switchover_core::value::{OwnedValue, Row, Rows, Value};
use switchover_core::{Error, Kind, Result};

/// Bytes of a page that are wanted: two pages of each part may be in memory.
const PAGE_BYTES: u64 = 4 << 20;

/// Parts that a collection is read in at most: more are no use to a server of few processors.
const PARTS_MAX: usize = 64;

/// Reads the objects of a range of ids.
pub(super) struct WeaviateReader {
    client: Arc<Client>,
    lane: usize,
    table: Table,
    listing: Listing,
    limit: u32,
    after: Option<[u8; 16]>,
    /// The last id of the part; without one it goes to the end.
    upto: Option<[u8; 16]>,
    done: bool,
    /// Ids of objects that are not the run's, and stay as they were.
    stays: Arc<HashSet<[u8; 16]>>,
}

/// What is read of a table's objects.
pub(super) fn listing(table: &Table) -> Listing {
    let names = table.vectors();
    Listing {
        collection: table.table().target.clone(),
        properties: table.asked(),
        references: table.references(),
        vectors: match names.as_slice() {
            [] => VectorsAsked::None,
            [""] => VectorsAsked::Unnamed,
            names => VectorsAsked::Named(names.iter().map(|name| (*name).to_owned()).collect()),
        },
    }
}

/// Readers that together list every id once, but for those that stay.
pub(super) async fn parts(
    client: &Arc<Client>,
    plan: &Arc<Plan>,
    at: usize,
    parts: usize,
    stays: Arc<HashSet<[u8; 16]>>,
) -> Result<Vec<Box<dyn Reader>>> {
    let planned = &plan.tables[at];
    // The server's own word for it has no code.
    if client.collection(&planned.target)?.is_none() {
        return Err(Error::new(Kind::NotFound, "read rows of the target")
            .store(client.config().redacted())
            .table(planned.source.clone())
            .detail(format!("the collection {} is not there: no run made it, or something else removed it", planned.target))
            .hint(
                "`switchover migrate` makes it; where a run did, `rollback --discard-target-changes` takes back first what is left of that run",
            ));
    }
    let row_bytes = planned.bytes.checked_div(planned.rows).unwrap_or(0).max(1);
    let limit = u32::try_from(PAGE_BYTES / row_bytes).unwrap_or(PAGE_OBJECTS_MAX).clamp(1, PAGE_OBJECTS_MAX);
    let parts = parts.clamp(1, PARTS_MAX);
    // Ids are spread evenly over their first bytes. A part ends with the last id before the next one's first.
    let last = |part: usize| {
        let first = (((part as u64 + 1) << 32) / parts as u64) as u32;
        let mut id = [u8::MAX; 16];
        id[..4].copy_from_slice(&first.wrapping_sub(1).to_be_bytes());
        id
    };
    let readers = (0..parts)
        .map(|part| {
            let table = Table::new(plan, at);
            let listing = listing(&table);
            Box::new(WeaviateReader {
                client: Arc::clone(client),
                lane: part,
                table,
                listing,
                limit,
                after: part.checked_sub(1).map(last),
                upto: (part + 1 < parts).then(|| last(part)),
                done: false,
                stays: Arc::clone(&stays),
            }) as Box<dyn Reader>
        })
        .collect();
    Ok(readers)
}

/// The rows of these keys (the target's own values) that are there, in any order, but for objects that stay.
pub(super) async fn by_keys(
    client: &Client,
    plan: &Arc<Plan>,
    at: usize,
    keys: &[Vec<OwnedValue>],
    stays: &HashSet<[u8; 16]>,
) -> Result<Rows> {
    let mut table = Table::new(plan, at);
    let mut ids = Vec::with_capacity(keys.len());
    for key in keys {
        let key: Vec<Value<'_>> = key.iter().map(OwnedValue::borrow).collect();
        ids.extend(table.id_of_key(&key));
    }
    let mut rows = Rows::new(1, table.table().columns.len());
    ids.retain(|id| !stays.contains(id));
    if ids.is_empty() {
        return Ok(rows);
    }
    for page in client.by_ids(0, &listing(&table), &ids).await? {
        for found in client.objects(&page) {
            table.push(&found?, &mut rows);
        }
    }
    Ok(rows)
}

/// The objects of these rows, as they were read, whose ids their own keys tell. One without a key, or with the key of another's object,
/// is nobody's that the run knows: it stays, for the comparison to name it.
///
/// The row alone does not say it: where a key is a reference too that leads astray, its cell is read as what it is not.
pub(super) async fn of_their_keys(client: &Client, table: &Table, rows: &Rows) -> Result<Vec<[u8; 16]>> {
    let id = |row: Row<'_>| match row.locator().as_slice() {
        [OwnedValue::Uuid(id)] => Some(*id),
        _ => None,
    };
    let ids: Vec<[u8; 16]> = rows.iter().filter_map(id).collect();
    let mut own = Vec::new();
    if ids.is_empty() {
        return Ok(own);
    }
    let listing = Listing { references: Vec::new(), vectors: VectorsAsked::None, ..listing(table) };
    for page in client.by_ids(0, &listing, &ids).await? {
        for found in client.objects(&page) {
            let found = found?;
            own.extend(table.id_in(&found).filter(|id| *id == found.uuid));
        }
    }
    Ok(own)
}

#[async_trait]
impl Reader for WeaviateReader {
    async fn next(&mut self, mut rows: Rows) -> Result<Option<Rows>> {
        if self.done {
            return Ok(None);
        }
        let lane = self.lane % self.client.lanes().max(1);
        let page = self.client.list(lane, &self.listing, self.after, self.limit).await?;
        let Some(last) = page.last() else {
            self.done = true;
            return Ok(None);
        };
        self.after = Some(last);
        rows.reset(1, self.table.table().columns.len());
        for found in self.client.objects(&page) {
            let found = found?;
            if self.upto.is_some_and(|upto| found.uuid > upto) {
                self.done = true;
                break;
            }
            if self.stays.contains(&found.uuid) {
                continue;
            }
            self.table.push(&found, &mut rows);
        }
        Ok(Some(rows))
    }
}
