//! Making good what a target lost, or was overtaken by: only where a store may say of rows that they are stored which
//! are not, and where a request may be carried out late.
//!
//! Invariant: the target gets states of the source that are no older than its position; changes behind it are taken
//! again as always. What was mended proves nothing: the rows are compared again.

use super::check::Digests;
use super::pass::in_key_order;
use crate::scan::scan;
use crate::shutdown::Shutdown;
use crate::verify::{digester as digester_of, shown_on_target};
use std::collections::HashSet;
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Mend, Snapshot, Target};
use switchover_core::digest;
use switchover_core::plan::Plan;
use switchover_core::value::Rows;

/// Keys that are held in memory at a time, at eight bytes each and their set's own: a larger table is looked through in
/// parts.
const KEYS: u64 = 1_000_000;

/// Rows that are removed with one request.
const BATCH_ROWS: usize = 1_000;

/// Writes those of the source's rows again that the target does not hold as they are. Gives their number.
pub(super) async fn rows(
    plan: &Plan,
    table: usize,
    store: &dyn Target,
    expected: &Rows,
    found: &Digests,
) -> Result<u64> {
    let planned = &plan.tables[table];
    let mut digester = digester_of(planned, digest::Side::Source);
    let mut missing = Rows::new(0, planned.columns.len());
    for row in expected.iter() {
        let digest = digester.digest(row, |_| false);
        if found.get(&digest.key).is_some_and(|there| *there == [digest.row]) {
            continue;
        }
        row.values().for_each(|value| missing.push(value));
    }
    let count = missing.len() as u64;
    if count > 0 {
        store.repair(plan, &[Mend { table, missing, ..Mend::default() }]).await?;
    }
    Ok(count)
}

/// Rows of the target that the source does not have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// How many the target was told to remove.
    pub(super) rows: u64,
    /// The first of them, as people find it.
    pub(super) first: String,
}

/// Removes rows whose keys the source does not have: those that a late request put back.
pub(super) async fn extra(
    plan: &Plan,
    table: usize,
    store: &dyn Target,
    snapshot: &Arc<dyn Snapshot>,
    shutdown: &Shutdown,
    rows: u64,
) -> Result<Extra> {
    let planned = &plan.tables[table];
    let parts = rows / KEYS + 1;
    let mut removed = Extra::default();
    for part in 0..parts {
        let mut keys = HashSet::new();
        let mut digester = digester_of(planned, digest::Side::Source);
        // First the source: a row that is on the target and was not seen here was removed meanwhile, and the log says so.
        scan(snapshot, &in_key_order(planned), KeyRange::default(), shutdown, |rows| {
            let own = rows.iter().map(|row| digester.digest(row, |_| false).key);
            keys.extend(own.filter(|key| key % parts == part));
        })
        .await?;
        let mut digester = digester_of(planned, digest::Side::Target);
        let mut extra = Mend { table, ..Mend::default() };
        for mut reader in store.read(plan, table, 1).await? {
            let mut page = Rows::default();
            while let Some(next) = reader.next(page).await? {
                for row in next.iter() {
                    let key = digester.digest(row, |_| false).key;
                    if key % parts == part && !keys.contains(&key) {
                        if removed.first.is_empty() {
                            removed.first = shown_on_target(planned, &row);
                        }
                        extra.removes(&row);
                    }
                }
                if extra.extra.len() >= BATCH_ROWS {
                    removed.rows += remove(plan, store, &mut extra).await?;
                }
                page = next;
            }
        }
        removed.rows += remove(plan, store, &mut extra).await?;
    }
    Ok(removed)
}

async fn remove(plan: &Plan, store: &dyn Target, extra: &mut Mend) -> Result<u64> {
    let empty = Mend { table: extra.table, ..Mend::default() };
    let mend = std::mem::replace(extra, empty);
    let count = mend.extra.len() as u64;
    if count > 0 {
        store.repair(plan, &[mend]).await?;
    }
    Ok(count)
}
