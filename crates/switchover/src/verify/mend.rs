//! Making good what the drill-down found to differ.
//!
//! A store of transactions gets all that is to be mended at once, for its foreign keys hold only together: so it is gathered here, and
//! bounded by rows alone. Where a write can be repeated, each row stands by itself: it is read, written, and forgotten, so that the
//! memory that takes is a chunk's, however large the rows are. There it runs by itself before each verdict of a run.
//!
//! Invariant: what was mended proves nothing: the rows are compared again.

use super::drill::{Chosen, Unmatched, take};
use super::{Mending, SourceSide, Verify, digester};
use crate::evidence::planned_table;
use std::collections::{BTreeSet, HashSet};
use switchover_core::Result;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Batch, Mend, ReadRequest};
use switchover_core::digest::Side;
use switchover_core::limits::CHUNK_BYTES;
use switchover_core::value::{Row, Rows, Value};

impl Verify {
    /// Mends the rows that are to come and to go, or gives them where that takes a transaction.
    pub(super) async fn mend(&self, index: usize, chosen: Chosen) -> Result<Option<Mend>> {
        match self.mending {
            Mending::Nothing => Ok(None),
            Mending::Missing | Mending::All if self.target.may_lose() => {
                // An object whose key comes is replaced by that row.
                let keys = chosen.source.keys().map(|(key, _)| *key).collect();
                self.remove(index, chosen.target, &keys).await?;
                self.write_again(index, &chosen.source).await?;
                Ok(None)
            }
            Mending::Missing | Mending::All => self.gathered(index, chosen).await.map(Some),
        }
    }

    async fn gathered(
        &self,
        index: usize,
        Chosen { source: mut missing, target: mut extra }: Chosen,
    ) -> Result<Mend> {
        let mut mend = self.nothing(index, 0);
        self.source_rows(index, |row, out, digest| {
            if take(&mut missing, digest) {
                push(&row, out, &mut mend.missing);
            }
        })
        .await?;
        self.target_rows(index, |row, digest| {
            if take(&mut extra, digest) {
                row.values().for_each(|value| mend.extra.push(value));
            }
        })
        .await?;
        Ok(mend)
    }

    /// Removes rows of the target, but for those of these keys.
    async fn remove(&self, index: usize, mut extra: Unmatched, keys: &HashSet<u64>) -> Result<()> {
        extra.retain(|(key, _), _| !keys.contains(key));
        if extra.is_empty() {
            return Ok(());
        }
        let mut part = self.nothing(index, 0);
        for mut reader in self.target.read(&self.plan, index, 1).await? {
            let mut side = digester(&self.plan.tables[index], Side::Target);
            let mut spare = Rows::default();
            while let Some(rows) = reader.next(spare).await? {
                self.shutdown.check("verify")?;
                for row in rows.iter() {
                    if take(&mut extra, side.digest(row, |_| false)) {
                        part.removes(&row);
                    }
                }
                spare = rows;
                self.mend_part(&mut part, 0, CHUNK_BYTES).await?;
            }
        }
        self.mend_part(&mut part, 0, 0).await
    }

    /// Writes rows of the source, each to its own place: without a key nothing else says which object it is, nor which of several equal
    /// ones is not there, so all of them are written.
    async fn write_again(&self, index: usize, missing: &Unmatched) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let table = &self.plan.tables[index];
        let width = table.locator.width();
        let (mut side, mut part) = (SourceSide::new(table), self.nothing(index, width));
        let (mut range, mut spare) = (KeyRange::default(), Rows::default());
        loop {
            self.shutdown.check("read the source")?;
            let request = ReadRequest {
                table: planned_table(table),
                range: range.clone(),
                budget_bytes: CHUNK_BYTES,
                rows_max: ReadRequest::ANY_ROWS,
                time_max: ReadRequest::ANY_TIME,
            };
            let Batch { rows, last, done } = self.snapshot.read(request, spare).await?;
            for row in rows.iter() {
                let mut out = BTreeSet::new();
                let digest = side.digest(row, |field, _| {
                    out.insert(field);
                });
                if digest.is_some_and(|digest| missing.contains_key(&(digest.key, digest.row))) {
                    row.locator().iter().for_each(|cell| part.missing.push(cell.borrow()));
                    push(&row, &out, &mut part.missing);
                }
            }
            spare = rows;
            self.mend_part(&mut part, width, if done { 0 } else { CHUNK_BYTES }).await?;
            if done {
                return Ok(());
            }
            range.after = last;
        }
    }

    /// Has the target mended by what was gathered, if that has so many bytes.
    async fn mend_part(&self, part: &mut Mend, locator: usize, bytes: usize) -> Result<()> {
        let gathered = part.missing.bytes() + part.extra.bytes();
        if gathered == 0 || gathered < bytes {
            return Ok(());
        }
        let empty = self.nothing(part.table, locator);
        self.target.repair(&self.plan, &[std::mem::replace(part, empty)]).await
    }

    /// A mend of nothing; its missing rows have locators of that width.
    fn nothing(&self, index: usize, locator: usize) -> Mend {
        let width = self.plan.tables[index].columns.len();
        Mend {
            table: index,
            missing: Rows::new(locator, width),
            extra: Rows::new(0, width),
            quarantine: None,
        }
    }
}

/// Adds a row's values, NULL for those that are in quarantine.
fn push(row: &Row<'_>, out: &BTreeSet<usize>, rows: &mut Rows) {
    for field in 0..row.width() {
        rows.push(if out.contains(&field) { Value::Null } else { row.value(field) });
    }
}
