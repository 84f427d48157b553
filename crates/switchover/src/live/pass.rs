//! Live verification: every row of every table, each at a read point of its own.
//!
//! A chunk of the source is read at the read point of a batch of changes; when that batch is taken, the target
//! equals that point, so the same keys must read back equal: no row is excused. Counts are compared in the same way,
//! so a row too many is found. Rows that change afterwards are read back when they are taken, so the proof stays
//! good while the stores move on.
//!
//! Invariant: an observation counts only if the batch was complete. Where a target may lose what it acknowledged, what is
//! not there as it should be is mended, and a pass that mended is none that proves.

use super::check::{self, Difference, Digests};
use super::mend;
use super::pace;
use crate::shutdown::Shutdown;
use std::sync::Arc;
use switchover_core::chunk::{KeyRange, LocatorValue};
use switchover_core::connector::{Batch, ReadRequest, ReadTable, Snapshot, Target};
use switchover_core::live::{Beside, LiveStore, Seen, Side};
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// Bytes of rows compared at a time: read in some ten milliseconds.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes of a table without a key, which is compared as a whole.
const WHOLE_BYTES: usize = 64 << 20;

/// One pass over all tables.
#[derive(Debug, Default)]
pub(super) struct Pass {
    table: usize,
    after: Option<LocatorValue>,
    counting: bool,
    /// Rows compared so far.
    pub(super) rows: u64,
    /// Rows of each table that is through, as both stores count them.
    pub(super) tables: Vec<u64>,
    /// Rows that were mended: they are to be compared again.
    pub(super) mended: u64,
    /// Whether nothing of a former engine could come any more when it began; unknown before it did.
    pub(super) settled: Option<bool>,
}

/// What it takes to make good what a target lost.
pub(super) struct Mending<'a> {
    pub(super) snapshot: &'a Arc<dyn Snapshot>,
    pub(super) shutdown: &'a Shutdown,
}

impl Pass {
    /// Whether all rows were equal, and stay so.
    pub(super) fn is_proof(&self) -> bool {
        self.mended == 0 && self.settled == Some(true)
    }

    /// The table that it is at; `None` when it is through.
    pub(super) fn at<'a>(&self, plan: &'a Plan) -> Option<&'a TablePlan> {
        plan.tables.get(self.table)
    }

    /// What to read beside the next batch; `None` when it is through.
    pub(super) fn next(&self, plan: &Plan) -> Option<Beside> {
        let table = self.at(plan)?;
        if self.counting {
            return Some(Beside::Count(self.table));
        }
        let whole = table.key_fields().is_empty();
        Some(Beside::Rows(ReadRequest {
            table: in_key_order(table),
            range: KeyRange { after: self.after.clone(), upto: None },
            budget_bytes: if whole { WHOLE_BYTES } else { CHUNK_BYTES },
            rows_max: ReadRequest::ANY_ROWS,
            time_max: if whole { ReadRequest::ANY_TIME } else { pace::read_max(2) },
        }))
    }

    /// Compares what was seen with the target, which equals the read point now. May be called again after an error.
    pub(super) async fn observe(
        &mut self,
        plan: &Plan,
        store: &dyn Target,
        target: &dyn LiveStore,
        seen: &Seen,
        mending: Option<Mending<'_>>,
    ) -> Result<()> {
        let Some(table) = plan.tables.get(self.table) else { return Ok(()) };
        match seen {
            Seen::Rows(batch) if table.key_fields().is_empty() => {
                self.whole(plan, table, store, batch).await?;
            }
            Seen::Rows(batch) => {
                let mender = mending.is_some().then_some(store);
                self.chunk(plan, table, target, batch, mender).await?;
            }
            Seen::Count(counted) => {
                let found = target.count(self.table).await?;
                if found != *counted
                    && let Some(Mending { snapshot, shutdown }) = mending
                {
                    let extra =
                        mend::extra(plan, self.table, store, snapshot, shutdown, found.max(*counted)).await?;
                    if extra.rows > 0 && target.count(self.table).await? >= found {
                        return Err(differs(target.label(), table)
                            .key(extra.first)
                            .detail("it holds a row that the source does not, and that cannot be removed by its key")
                            .hint("somebody else made it: remove it there; `switchover verify --live` compares again"));
                    }
                    // Whatever it was, all of it is looked at again.
                    self.mended += extra.rows.max(1);
                } else if found != *counted {
                    return Err(differs(target.label(), table)
                        .detail(format!("it holds {found} rows where the source holds {counted}")));
                }
                let Pass { rows, mended, settled, .. } = *self;
                let mut tables = std::mem::take(&mut self.tables);
                tables.push(*counted);
                *self = Pass { table: self.table + 1, rows, tables, mended, settled, ..Pass::default() };
            }
        }
        Ok(())
    }

    async fn chunk(
        &mut self,
        plan: &Plan,
        table: &TablePlan,
        target: &dyn LiveStore,
        batch: &Batch,
        mender: Option<&dyn Target>,
    ) -> Result<()> {
        let keys = keys(table, &batch.rows);
        let found = check::of_target(plan, self.table, target, &keys).await?;
        let expected = check::digests(table, Side::Source, &batch.rows);
        if let Some(difference) = check::first_difference(&expected, &found) {
            let Some(store) = mender else {
                let (what, hash) = match difference {
                    Difference::Missing(hash) => ("a row of the source is not there", hash),
                    Difference::Extra(hash) => ("a row is there that the source does not hold", hash),
                    Difference::Other(hash) => ("a row is another than in the source", hash),
                };
                let key = check::shown_key(table, &batch.rows, hash).unwrap_or_default();
                return Err(differs(target.label(), table).key(key).detail(what));
            };
            self.mended += mend::rows(plan, self.table, store, &batch.rows, &found).await?;
        }
        self.rows += batch.rows.len() as u64;
        self.counting = batch.done;
        if let Some(last) = &batch.last {
            self.after = Some(last.clone());
        }
        Ok(())
    }

    async fn whole(
        &mut self,
        plan: &Plan,
        table: &TablePlan,
        store: &dyn Target,
        batch: &Batch,
    ) -> Result<()> {
        if !batch.done {
            return Err(Error::new(Kind::Exhausted, "compare a table without a key")
                .table(table.source.clone())
                .detail("it is too large to be compared as a whole")
                .hint("give it a primary key"));
        }
        let mut found = Digests::new();
        for mut reader in store.read(plan, self.table, 1).await? {
            let mut rows = Rows::default();
            while let Some(next) = reader.next(rows).await? {
                for (key, digests) in check::digests(table, Side::Target, &next) {
                    found.entry(key).or_default().extend(digests);
                }
                rows = next;
            }
        }
        if check::first_difference(&check::digests(table, Side::Source, &batch.rows), &found).is_some() {
            return Err(differs(store.label(), table).detail("its rows are not those of the source"));
        }
        self.rows += batch.rows.len() as u64;
        self.counting = true;
        Ok(())
    }
}

/// The table as both stores can read it: by the key, which a row keeps whatever is done to it, and not by place.
pub(super) fn in_key_order(table: &TablePlan) -> Arc<ReadTable> {
    Arc::new(ReadTable {
        name: table.source.clone(),
        columns: table.columns.iter().map(|column| column.source.clone()).collect(),
        locator: table.key_locator().unwrap_or_else(|| table.locator.clone()),
    })
}

fn differs(store: String, table: &TablePlan) -> Error {
    Error::new(Kind::Different, "compare the stores while they are written")
        .store(store)
        .table(table.source.clone())
        .hint(check::remedy(Side::Source))
}

/// The keys of rows, in the order of the key's fields.
fn keys(table: &TablePlan, rows: &Rows) -> Vec<Vec<OwnedValue>> {
    let fields = table.key_fields();
    rows.iter().map(|row| fields.iter().map(|at| row.value(*at).to_owned_value()).collect()).collect()
}
