//! From buckets that differ to rows and fields.
//!
//! Both sides are read again, and only rows of the differing buckets are held, as digests, in passes
//! of at most [`DRILL_ROWS_MAX`] rows. What does not cancel out is counted; the first
//! [`LISTED_MAX`] rows are read once more with their values, and paired by key.

use super::{SourceSide, Verify, digester, each};
use crate::evidence::{planned_table, scan};
use crate::report::{Difference, DifferenceKind, FieldDifference};
use std::collections::{BTreeSet, HashMap};
use switchover_core::Result;
use switchover_core::chunk::KeyRange;
use switchover_core::codec::Codec;
use switchover_core::digest::{RowDigest, Side, TableDigest};
use switchover_core::limits::{DRILL_ROWS_MAX, LISTED_MAX};
use switchover_core::plan::TablePlan;
use switchover_core::planner::layout::shown_locator;
use switchover_core::value::{OwnedValue, Row, Rows};

/// Rows that are on one side only: digest to count.
type Unmatched = HashMap<(u64, u128), i64>;

/// One listed row.
pub(super) struct Listed {
    pub(super) key: u64,
    pub(super) shown: String,
    /// The whole-row exceptions and quarantined cells are NULL here, as the target should have them.
    pub(super) values: Vec<OwnedValue>,
    pub(super) locator: Vec<OwnedValue>,
}

impl Verify {
    /// The first differences, and how many there are.
    pub(super) async fn drill(
        &self,
        index: usize,
        expected: &TableDigest,
        found: &TableDigest,
        differing: &[usize],
    ) -> Result<(Vec<Difference>, u64)> {
        let (mut only_source, mut only_target) = (Unmatched::new(), Unmatched::new());
        let mut total = (0u64, 0u64);
        let mut rest = differing;
        while !rest.is_empty() {
            let (mut taken, mut rows) = (0, 0);
            while taken < rest.len() && (taken == 0 || rows < DRILL_ROWS_MAX as u64) {
                rows += expected.rows_in(rest[taken]) + found.rows_in(rest[taken]);
                taken += 1;
            }
            let buckets: BTreeSet<usize> = rest[..taken].iter().copied().collect();
            rest = &rest[taken..];
            for ((key, row), count) in self.unmatched(index, &buckets).await? {
                let (side, sum) = if count > 0 {
                    (&mut only_source, &mut total.0)
                } else {
                    (&mut only_target, &mut total.1)
                };
                *sum += count.unsigned_abs();
                if side.len() < LISTED_MAX || side.keys().any(|(other, _)| *other == key) {
                    side.insert((key, row), count.abs());
                }
            }
        }
        let (source_rows, target_rows) =
            tokio::try_join!(self.list_source(index, &only_source), self.list_target(index, &only_target))?;
        if self.repair {
            self.mend(index, &only_source, &only_target).await?;
        }
        let table = &self.plan.tables[index];
        let paired =
            source_rows.iter().filter(|row| target_rows.iter().any(|other| other.key == row.key)).count()
                as u64;
        let differences = pair(table, &source_rows, &target_rows);
        // Pairs are one difference; what is not listed is counted as if it were paired likewise.
        let all = if total.0 as usize <= LISTED_MAX && total.1 as usize <= LISTED_MAX {
            total.0 + total.1 - paired
        } else {
            total.0.max(total.1)
        };
        Ok((differences, all.max(differences_len(expected, found))))
    }

    async fn unmatched(&self, index: usize, buckets: &BTreeSet<usize>) -> Result<Unmatched> {
        let mut counts = Unmatched::new();
        self.source_rows(index, |_, _, digest| {
            if buckets.contains(&digest.bucket()) {
                *counts.entry((digest.key, digest.row)).or_default() += 1;
            }
        })
        .await?;
        self.target_rows(index, |_, digest| {
            if buckets.contains(&digest.bucket()) {
                let count = counts.entry((digest.key, digest.row)).or_default();
                *count -= 1;
                if *count == 0 {
                    counts.remove(&(digest.key, digest.row));
                }
            }
        })
        .await?;
        Ok(counts)
    }

    async fn source_rows(
        &self,
        index: usize,
        mut observe: impl FnMut(Row<'_>, &BTreeSet<usize>, RowDigest),
    ) -> Result<()> {
        let table = &self.plan.tables[index];
        let mut side = SourceSide::new(table);
        scan(&self.snapshot, &planned_table(table), KeyRange::default(), &self.shutdown, |rows| {
            for row in rows.iter() {
                let mut out = BTreeSet::new();
                let digest = side.digest(row, |field, _| {
                    out.insert(field);
                });
                if let Some(digest) = digest {
                    observe(row, &out, digest);
                }
            }
        })
        .await
    }

    async fn target_rows(&self, index: usize, mut observe: impl FnMut(Row<'_>, RowDigest)) -> Result<()> {
        for reader in self.target.read(&self.plan, index, 1).await? {
            let mut side = digester(&self.plan.tables[index], Side::Target);
            each(reader, &self.shutdown, |rows| {
                for row in rows.iter() {
                    let digest = side.digest(row, |_| false);
                    observe(row, digest);
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn list_source(&self, index: usize, wanted: &Unmatched) -> Result<Vec<Listed>> {
        let table = &self.plan.tables[index];
        let mut listed = Vec::new();
        if wanted.is_empty() {
            return Ok(listed);
        }
        self.source_rows(index, |row, out, digest| {
            if listed.len() < LISTED_MAX && wanted.contains_key(&(digest.key, digest.row)) {
                let locator = row.locator();
                let value = |field: usize| {
                    if out.contains(&field) { OwnedValue::Null } else { row.value(field).to_owned_value() }
                };
                listed.push(Listed {
                    key: digest.key,
                    shown: shown_key(table, &row).unwrap_or_else(|| shown_locator(table, &locator)),
                    values: (0..row.width()).map(value).collect(),
                    locator,
                });
            }
        })
        .await?;
        Ok(listed)
    }

    async fn list_target(&self, index: usize, wanted: &Unmatched) -> Result<Vec<Listed>> {
        let table = &self.plan.tables[index];
        let mut listed = Vec::new();
        if wanted.is_empty() {
            return Ok(listed);
        }
        self.target_rows(index, |row, digest| {
            if listed.len() < LISTED_MAX && wanted.contains_key(&(digest.key, digest.row)) {
                listed.push(Listed {
                    key: digest.key,
                    shown: shown_key(table, &row).unwrap_or_else(|| "a row without a key".into()),
                    values: row.values().map(|value| value.to_owned_value()).collect(),
                    locator: Vec::new(),
                });
            }
        })
        .await?;
        Ok(listed)
    }

    /// Puts the source's rows in place of what differs, and removes what is extra.
    async fn mend(&self, index: usize, only_source: &Unmatched, only_target: &Unmatched) -> Result<()> {
        let table = &self.plan.tables[index];
        let key = table.key_fields();
        let mut rows = Rows::new(0, table.columns.len());
        let mut keys: Vec<Vec<OwnedValue>> = Vec::new();
        let codecs: Vec<Codec> = key.iter().map(|field| table.columns[*field].codec.clone()).collect();
        self.source_rows(index, |row, out, digest| {
            if only_source.contains_key(&(digest.key, digest.row)) {
                (0..row.width()).for_each(|field| {
                    rows.push(if out.contains(&field) {
                        switchover_core::value::Value::Null
                    } else {
                        row.value(field)
                    });
                });
                let mut cells = Vec::new();
                for (field, codec) in key.iter().zip(&codecs) {
                    if let Ok(value) = codec.encode(row.value(*field), &mut Vec::new()) {
                        cells.push(value.to_owned_value());
                    }
                }
                keys.push(cells);
            }
        })
        .await?;
        self.target_rows(index, |row, digest| {
            if only_target.contains_key(&(digest.key, digest.row)) {
                keys.push(key.iter().map(|field| row.value(*field).to_owned_value()).collect());
            }
        })
        .await?;
        keys.sort_by_cached_key(|cells| format!("{cells:?}"));
        keys.dedup();
        self.target.repair(&self.plan, index, &rows, &keys).await
    }
}

/// At least as many rows differ as the counts do.
fn differences_len(expected: &TableDigest, found: &TableDigest) -> u64 {
    expected.rows().abs_diff(found.rows()).max(1)
}

/// The primary key, as `name=value`.
pub(super) fn shown_key(table: &TablePlan, row: &Row<'_>) -> Option<String> {
    let fields = table.key_fields();
    let parts: Vec<String> = fields
        .iter()
        .map(|field| format!("{}={}", table.columns[*field].source, row.value(*field).shown()))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The differences between rows of one side and rows of the other, matched by key.
pub(super) fn pair(table: &TablePlan, source: &[Listed], target: &[Listed]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let keyed = !table.key_fields().is_empty();
    for row in source {
        let other = target.iter().find(|other| keyed && other.key == row.key);
        let (kind, fields) = match other {
            Some(other) => (DifferenceKind::Changed, fields(table, row, other)),
            None => (DifferenceKind::Missing, Vec::new()),
        };
        let at = if keyed { row.shown.clone() } else { shown_locator(table, &row.locator) };
        differences.push(Difference { kind, key: at, fields });
    }
    for row in target {
        if !(keyed && source.iter().any(|other| other.key == row.key)) {
            let all = (table.columns.iter().zip(&row.values)).map(|(column, value)| FieldDifference {
                column: column.source.clone(),
                source: String::new(),
                target: value.borrow().shown(),
            });
            let fields = if keyed { Vec::new() } else { all.collect() };
            differences.push(Difference { kind: DifferenceKind::Extra, key: row.shown.clone(), fields });
        }
    }
    differences.truncate(LISTED_MAX);
    differences
}

fn fields(table: &TablePlan, source: &Listed, target: &Listed) -> Vec<FieldDifference> {
    let mut fields = Vec::new();
    let mut scratch = Vec::new();
    for ((column, own), other) in table.columns.iter().zip(&source.values).zip(&target.values) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        // What is unfit compares as the text that it is.
        let _ = column.codec.canonical_source(own.borrow(), &mut a);
        column.codec.canonical_target(other.borrow(), &mut scratch, &mut b);
        if a != b {
            fields.push(FieldDifference {
                column: column.source.clone(),
                source: own.borrow().shown(),
                target: other.borrow().shown(),
            });
        }
    }
    fields
}
