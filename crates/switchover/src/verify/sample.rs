//! A quick look: some rows of each table, chosen at random on the source and looked up on the target.
//!
//! What it proves is little, and the report says how little. Every row of a table has the same chance
//! to be chosen (a rowid is drawn until one exists, never "the next one after it", which would favour
//! rows behind gaps), because the bound of 3/n holds for such samples only. A row that only the target
//! has cannot be found by looking up the source's keys: the counts of both sides stand in for that. A
//! table without a key is unproven, and so is one of which a chosen row cannot be found by its key. Absent on purpose: the word "every".

use super::drill::{Listed, pair};
use super::{SourceSide, Verify, digester};
use crate::evidence::planned_table;
use crate::progress::{Event, Phase};
use crate::report::{Difference, TableReport, Verdict};
use crate::scan::scan;
use crate::shutdown::Shutdown;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;
use switchover_core::Result;
use switchover_core::chunk::{KeyRange, LocatorValue};
use switchover_core::connector::{Extent, ReadTable, Snapshot};
use switchover_core::digest::Side;
use switchover_core::limits::LISTED_MAX;
use switchover_core::planner::layout::{shown_key, shown_locator};
use switchover_core::schema::Locator;
use switchover_core::value::{OwnedValue, Rows, Value};

/// Rows that are looked up on the target at a time.
const BATCH_ROWS: usize = 1000;

/// Bytes of rows after which a batch is looked up, however few they are.
const BATCH_BYTES: usize = 4 << 20;

/// Rowids drawn for each that exists, above which reading the whole table is cheaper.
const DRAWS_PER_ROW_MAX: u64 = 64;

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Rows of each table.
    pub rows: u64,
    /// What the choice is made from: the same seed on the same source chooses the same rows.
    pub seed: u64,
}

impl Sample {
    /// So many rows of each table, chosen by a new seed. It is below 2³², so that JSON holds it exactly.
    pub fn of(rows: u64) -> Sample {
        Sample { rows, seed: (uuid::Uuid::new_v4().as_u128() & 0xffff_ffff) as u64 }
    }
}

/// SplitMix64: a few additions and shifts, the same on every machine for ever.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`, each with the same chance but for 1 part in 2⁶⁴.
    fn below(&mut self, limit: u128) -> u128 {
        (u128::from(self.next()) * limit) >> 64
    }
}

/// Rows chosen by reading all of them once, each with the same chance (Vitter's algorithm R).
struct Reservoir {
    room: usize,
    seen: u64,
    kept: Vec<LocatorValue>,
}

impl Reservoir {
    fn offer(&mut self, draw: &mut Draw, locator: impl FnOnce() -> LocatorValue) {
        self.seen += 1;
        if self.kept.len() < self.room {
            self.kept.push(locator());
            return;
        }
        let at = draw.below(u128::from(self.seen));
        if let Some(place) = usize::try_from(at).ok().and_then(|at| self.kept.get_mut(at)) {
            *place = locator();
        }
    }
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    compared: u64,
    /// Rows that were chosen and cannot be looked up: they have no key that is theirs alone.
    nameless: u64,
    bytes: u64,
    differing: u64,
    differences: Vec<Difference>,
}

impl Verify {
    /// Looks at some rows of a table. `sampled` of the report says how many were compared.
    pub(crate) async fn sample(&self, index: usize, sample: Sample) -> Result<TableReport> {
        let started = Instant::now();
        let table = &self.plan.tables[index];
        let read = planned_table(table);
        self.progress.event(Event::TableStarted {
            phase: Phase::Verify,
            table: table.source.clone(),
            rows: sample.rows.min(table.rows),
            bytes: 0,
        });
        let mut draw = Draw(sample.seed ^ (index as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        let (mut tally, mut reason, mut verdict) = (Tally::default(), String::new(), Verdict::Same);
        let extent = self.snapshot.extent(&read).await?;
        let of = if table.key_fields().is_empty() || read.locator == Locator::Ordinal {
            reason = "it has no primary key, so single rows cannot be looked up on the target".into();
            verdict = Verdict::Unproven;
            extent.map_or(table.rows, |extent| extent.rows)
        } else {
            match extent.and_then(|extent| Some((extent, drawable(&read, &extent, sample.rows)?))) {
                Some((extent, name)) => {
                    tracing::debug!(table = table.source, name, "sampling by random rowids");
                    self.by_draws(index, &read, &extent, sample.rows, &mut draw, &mut tally).await?;
                    extent.rows
                }
                None => self.by_reservoir(index, &read, sample.rows, &mut draw, &mut tally).await?,
            }
        };
        if tally.differing > 0 {
            verdict = Verdict::Different;
        } else if verdict == Verdict::Same && tally.nameless > 0 {
            // They are a part of all rows of which the sample says nothing, however many are drawn.
            reason = format!(
                "{} of the {} rows that were chosen have NULL in their keys, or a part of the key in quarantine, and cannot be looked up on the \
                 target; `switchover verify` without --sample compares them",
                tally.nameless,
                tally.nameless + tally.compared
            );
            verdict = Verdict::Unproven;
        } else if verdict == Verdict::Same && tally.compared == 0 && of > 0 {
            reason = "no row of the sample can be looked up on the target: all are in quarantine".into();
            verdict = Verdict::Unproven;
        }
        self.progress.event(Event::TableFinished { phase: Phase::Verify, table: table.source.clone() });
        Ok(TableReport {
            source: table.source.clone(),
            target: format!("{}.{}", self.plan.options.schema, table.target),
            source_rows: of,
            target_rows: 0,
            bytes: tally.bytes,
            copy_seconds: 0.0,
            verify_seconds: started.elapsed().as_secs_f64(),
            source_digest: None,
            target_digest: None,
            verdict,
            reason,
            sampled: Some(tally.compared),
            differences: tally.differences,
            differences_total: tally.differing,
            quarantined: 0,
            quarantined_rows: 0,
            exceptions: Vec::new(),
        })
    }

    /// Draws rowids between the smallest and the largest until enough of them exist.
    async fn by_draws(
        &self,
        index: usize,
        read: &Arc<ReadTable>,
        extent: &Extent,
        wanted: u64,
        draw: &mut Draw,
        tally: &mut Tally,
    ) -> Result<()> {
        let Some((first, last)) = extent.span else { return Ok(()) };
        let width = last.abs_diff(first) as u128 + 1;
        let mut tried = BTreeSet::new();
        let mut batch = Rows::new(read.locator.width(), read.columns.len());
        let mut chosen = 0;
        while chosen < wanted {
            // The sum stays within the span, so it fits.
            let rowid = (i128::from(first) + draw.below(width) as i128) as i64;
            if !tried.insert(rowid) {
                continue;
            }
            if let Some(cells) = self.snapshot.fetch(read, &vec![OwnedValue::Int(rowid)]).await? {
                batch.push(Value::Int(rowid));
                cells.iter().for_each(|cell| batch.push(cell.borrow()));
                chosen += 1;
            }
            self.look_up_full(index, &mut batch, tally).await?;
        }
        self.look_up(index, &batch, tally).await
    }

    /// Reads the whole table's keys once; the rows there are.
    async fn by_reservoir(
        &self,
        index: usize,
        read: &Arc<ReadTable>,
        wanted: u64,
        draw: &mut Draw,
        tally: &mut Tally,
    ) -> Result<u64> {
        let reservoir = reservoir(&self.snapshot, read, wanted, draw, &self.shutdown).await?;
        let mut batch = Rows::new(read.locator.width(), read.columns.len());
        for locator in &reservoir.kept {
            if let Some(cells) = self.snapshot.fetch(read, locator).await? {
                locator.iter().chain(&cells).for_each(|cell| batch.push(cell.borrow()));
            }
            self.look_up_full(index, &mut batch, tally).await?;
        }
        self.look_up(index, &batch, tally).await?;
        Ok(reservoir.seen)
    }

    async fn look_up_full(&self, index: usize, batch: &mut Rows, tally: &mut Tally) -> Result<()> {
        if batch.len() < BATCH_ROWS && batch.bytes() < BATCH_BYTES {
            return Ok(());
        }
        self.look_up(index, batch, tally).await?;
        let table = &self.plan.tables[index];
        batch.reset(table.locator.width(), table.columns.len());
        self.shutdown.check("verify a sample")
    }

    /// Fetches the target's rows of the same keys, and compares.
    async fn look_up(&self, index: usize, batch: &Rows, tally: &mut Tally) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let table = &self.plan.tables[index];
        let key = table.key_fields();
        let mut side = SourceSide::new(table);
        let (mut expected, mut keys, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        for row in batch.iter() {
            let mut out = BTreeSet::new();
            let digest = side.digest(row, |field, _| {
                out.insert(field);
            });
            // A row in quarantine as a whole is not in the table.
            let Some(digest) = digest else { continue };
            let mut cells = Vec::with_capacity(key.len());
            for field in &key {
                let mut scratch = Vec::new();
                // In quarantine: NULL stands in its place.
                let value = if out.contains(field) { Value::Null } else { row.value(*field) };
                if let Ok(value) = table.columns[*field].codec.encode(value, &mut scratch) {
                    cells.push(value.to_owned_value());
                }
            }
            // A key with NULL in it may be several rows', or is none at all to the target.
            if cells.len() < key.len() || cells.contains(&OwnedValue::Null) {
                tally.nameless += 1;
                continue;
            }
            keys.push(cells);
            let (locator, bytes) =
                (row.locator(), row.values().map(|value| value.payload_bytes() as u64).sum::<u64>());
            tally.bytes += bytes;
            let value = |field: usize| {
                if out.contains(&field) { OwnedValue::Null } else { row.value(field).to_owned_value() }
            };
            expected.push(Listed {
                key: digest.key,
                shown: shown_key(table, &row).unwrap_or_else(|| shown_locator(table, &locator)),
                values: (0..row.width()).map(value).collect(),
                locator,
            });
            digests.push(digest);
        }
        let found = self.target.fetch(&self.plan, index, &keys).await?;
        let mut target_side = digester(table, Side::Target);
        let mut by_key = HashMap::new();
        for (at, row) in found.iter().enumerate() {
            let digest = target_side.digest(row, |_| false);
            by_key.insert(digest.key, (digest.row, at));
        }
        tally.compared += expected.len() as u64;
        self.progress.event(Event::Advanced {
            phase: Phase::Verify,
            table: table.source.clone(),
            rows: expected.len() as u64,
            bytes: 0,
        });
        for (row, digest) in expected.into_iter().zip(digests) {
            let other = by_key.get(&digest.key);
            if other.is_some_and(|(same, _)| *same == digest.row) {
                continue;
            }
            tally.differing += 1;
            if tally.differences.len() < LISTED_MAX {
                let other = other.map(|(_, at)| Listed {
                    key: digest.key,
                    shown: row.shown.clone(),
                    values: found.row(*at).values().map(|value| value.to_owned_value()).collect(),
                    locator: Vec::new(),
                });
                tally.differences.extend(pair(table, &[row], other.as_slice()).0);
            }
        }
        Ok(())
    }
}

/// Rows of a table, each with the same chance, with all columns that are read; all rows where there are no more.
pub(crate) async fn some_rows(
    snapshot: &Arc<dyn Snapshot>,
    read: &Arc<ReadTable>,
    wanted: u64,
    seed: u64,
    shutdown: &Shutdown,
) -> Result<Vec<Vec<OwnedValue>>> {
    let mut draw = Draw(seed);
    let mut rows = Vec::new();
    let extent = snapshot.extent(read).await?;
    let span = extent.and_then(|extent| drawable(read, &extent, wanted).and(extent.span));
    if let Some((first, last)) = span {
        let width = last.abs_diff(first) as u128 + 1;
        let mut tried = BTreeSet::new();
        while (rows.len() as u64) < wanted {
            shutdown.check("choose rows")?;
            // The sum stays within the span, so it fits.
            let rowid = (i128::from(first) + draw.below(width) as i128) as i64;
            if tried.insert(rowid) {
                rows.extend(snapshot.fetch(read, &vec![OwnedValue::Int(rowid)]).await?);
            }
        }
        return Ok(rows);
    }
    for locator in reservoir(snapshot, read, wanted, &mut draw, shutdown).await?.kept {
        rows.extend(snapshot.fetch(read, &locator).await?);
    }
    Ok(rows)
}

/// Reads the whole table's keys once, and keeps some.
async fn reservoir(
    snapshot: &Arc<dyn Snapshot>,
    read: &Arc<ReadTable>,
    wanted: u64,
    draw: &mut Draw,
    shutdown: &Shutdown,
) -> Result<Reservoir> {
    let mut reservoir =
        Reservoir { room: usize::try_from(wanted).unwrap_or(usize::MAX), seen: 0, kept: Vec::new() };
    let keys = ReadTable { columns: read.columns.iter().take(1).cloned().collect(), ..(**read).clone() };
    scan(snapshot, &Arc::new(keys), KeyRange::default(), shutdown, |rows| {
        rows.iter().for_each(|row| reservoir.offer(draw, || row.locator()));
    })
    .await?;
    Ok(reservoir)
}

/// Whether drawing rowids is cheaper than reading all of them: the rows are many and lie densely.
fn drawable(read: &ReadTable, extent: &Extent, wanted: u64) -> Option<String> {
    let Locator::RowId(name) = &read.locator else { return None };
    let (first, last) = extent.span?;
    let dense = last.abs_diff(first) / extent.rows.max(1) < DRAWS_PER_ROW_MAX;
    (dense && wanted <= extent.rows / 2).then(|| name.clone())
}

/// With 95 % confidence, at most this share of all rows differs, when none of the sampled ones does.
///
/// For one table of N rows, of which n were compared, that is 3/n. Over several tables the worst case
/// has all its bad rows in the table with the most rows to each one compared: 3 · max(N/n) of them.
pub(crate) fn bad_rate_max(tables: &[(u64, u64)]) -> f64 {
    let all: u64 = tables.iter().map(|(_, of)| of).sum();
    let partly = tables.iter().filter(|(compared, of)| compared < of);
    let worst = partly.map(|(compared, of)| *of as f64 / (*compared).max(1) as f64).fold(0.0, f64::max);
    if all == 0 { 0.0 } else { (3.0 * worst / all as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_that_of_the_worst_table() {
        for (tables, expected) in [
            (&[(300, 1_000_000)][..], 0.01),
            (&[(300, 1_000_000), (300, 300)], 3.0 * (1_000_000.0 / 300.0) / 1_000_300.0),
            (&[(300, 3_000), (300, 1_000)], 3.0 * 10.0 / 4_000.0),
            (&[(5, 5)], 0.0),
            (&[(1, 100)], 1.0),
            (&[], 0.0),
        ] {
            assert!((bad_rate_max(tables) - expected).abs() < 1e-12, "{tables:?}");
        }
    }

    #[test]
    fn every_row_has_the_same_chance() {
        let mut counts = [0_u32; 20];
        for seed in 0..4000 {
            let mut draw = Draw(seed);
            let mut reservoir = Reservoir { room: 5, seen: 0, kept: Vec::new() };
            (0..20).for_each(|n| reservoir.offer(&mut draw, || vec![OwnedValue::Int(n)]));
            for kept in reservoir.kept {
                if let [OwnedValue::Int(n)] = kept[..] {
                    counts[n as usize] += 1;
                }
            }
        }
        // 1,000 expected, standard deviation 27: six of them would be chance once in a billion runs.
        assert!(counts.iter().all(|count| (840..1160).contains(count)), "{counts:?}");
        let mut draw = Draw(7);
        assert!((0..1000).all(|_| draw.below(3) < 3));
    }
}
