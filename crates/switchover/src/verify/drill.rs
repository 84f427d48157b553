//! From buckets that differ to rows and fields.
//!
//! Both sides are read again, and only rows of the differing buckets are held, as digests, in passes
//! of at most [`DRILL_ROWS_MAX`] rows. Where that would be more than one pass, a pass before them sums
//! these buckets' rows in many more parts, for a few rows that differ make nearly all of a large table's
//! buckets differ, and few of its parts. What does not cancel out is counted; the first
//! [`LISTED_MAX`] rows are read once more with their values, and paired by key.
//!
//! Invariants: rows are chosen by their keys' hashes, so the same data has the same rows chosen in every run; and of a
//! key all rows that differ are chosen, or none. Chosen each side by itself, a row that was changed would be listed as one
//! that is missing, and a repair would write it beside what it was to replace.

use super::{Mending, SourceSide, Verify, digester, each};
use crate::copy::put_aside;
use crate::evidence::planned_table;
use crate::report::{Difference, DifferenceKind, FieldDifference};
use crate::scan::scan;
use std::collections::{BTreeSet, HashMap};
use switchover_core::Result;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Mend, Quarantined};
use switchover_core::digest::{RowDigest, Side, TableDigest};
use switchover_core::judge::Judge;
use switchover_core::limits::{DIGEST_BUCKETS, DRILL_ROWS_MAX, LISTED_MAX};
use switchover_core::plan::TablePlan;
use switchover_core::planner::layout::{shown_key, shown_locator};
use switchover_core::value::{OwnedValue, Row};

/// Rows that are on one side only, by digest: how often they are.
pub(super) type Unmatched = HashMap<(u64, u128), i64>;

/// Rows to be read again, of both sides.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) source: Unmatched,
    pub(super) target: Unmatched,
}

impl Chosen {
    /// Adds the rows of a key, unless a side that they are on is full. More of them than there is room for are only where
    /// nothing keeps the key apart (NULL in it): the others are then for the next pass.
    fn add(&mut self, of_key: &[((u64, u128), i64)], rows_max: usize) {
        let full = |count: i64| if count > 0 { &self.source } else { &self.target }.len() >= rows_max;
        if of_key.iter().any(|(_, count)| full(*count)) {
            return;
        }
        for (row, count) in of_key {
            let side = if *count > 0 { &mut self.source } else { &mut self.target };
            if side.len() < rows_max {
                side.insert(*row, count.abs());
            }
        }
    }
}

/// Rows that one pass of a repair mends; the next pass finds the rest.
const REPAIR_ROWS_MAX: usize = 10_000;

/// Parts that a sieve sums apart: of ten million rows on each side, forty share one. They take ten megabytes.
const SIEVE_PARTS: usize = 1 << 19;

/// The rows that a pass looks at.
struct Pass {
    buckets: Vec<bool>,
    /// Parts of the sieve, where there was one.
    parts: Option<Vec<bool>>,
}

impl Pass {
    fn has(&self, digest: RowDigest) -> bool {
        self.buckets[digest.bucket()] && self.parts.as_ref().is_none_or(|parts| parts[part_of(digest)])
    }
}

/// The part of the sieve that a row is in: by other bits of its key's hash than tell the bucket.
fn part_of(digest: RowDigest) -> usize {
    ((digest.key / DIGEST_BUCKETS as u64) % SIEVE_PARTS as u64) as usize
}

/// Sums of both sides by part, each side's against the other's, and how many rows of both are in it.
struct Sieve {
    sums: Vec<u128>,
    rows: Vec<u32>,
}

impl Sieve {
    fn new() -> Sieve {
        Sieve { sums: vec![0; SIEVE_PARTS], rows: vec![0; SIEVE_PARTS] }
    }

    fn add(&mut self, digest: RowDigest, side: Side) {
        let part = part_of(digest);
        let sum = &mut self.sums[part];
        *sum = match side {
            Side::Source => sum.wrapping_add(digest.row),
            Side::Target => sum.wrapping_sub(digest.row),
        };
        self.rows[part] = self.rows[part].saturating_add(1);
    }

    /// The parts that differ, by passes.
    fn passes(&self) -> Vec<Vec<bool>> {
        let (mut passes, mut taken, mut rows) = (Vec::new(), vec![false; SIEVE_PARTS], 0);
        for (part, count) in self.rows.iter().enumerate().filter(|(part, _)| self.sums[*part] != 0) {
            if rows > 0 && rows + u64::from(*count) > DRILL_ROWS_MAX as u64 {
                passes.push(std::mem::replace(&mut taken, vec![false; SIEVE_PARTS]));
                rows = 0;
            }
            taken[part] = true;
            rows += u64::from(*count);
        }
        if rows > 0 {
            passes.push(taken);
        }
        passes
    }
}

/// What the drill-down gives.
pub(super) struct Drilled {
    pub(super) differences: Vec<Difference>,
    /// None where both sides have become equal meanwhile.
    pub(super) total: u64,
    pub(super) mend: Option<Mend>,
}

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
    ) -> Result<Drilled> {
        let keyed = !self.plan.tables[index].key_fields().is_empty();
        let (mut listed, mut mended) = (Chosen::default(), Chosen::default());
        // Rows of each side, and how many of them have the key of one of the other's.
        let (mut of_source, mut of_target, mut pairs) = (0u64, 0u64, 0u64);
        for pass in self.passes(index, expected, found, differing).await? {
            let mut unmatched: Vec<_> = self.unmatched(index, &pass).await?.into_iter().collect();
            unmatched.sort_unstable();
            // All rows of a key are in one bucket, and so in one pass.
            for of_key in unmatched.chunk_by(|((key, _), _), ((next, _), _)| key == next) {
                listed.add(of_key, LISTED_MAX);
                match self.mending {
                    Mending::Nothing => {}
                    Mending::Missing => {
                        let missing: Vec<_> =
                            of_key.iter().filter(|(_, count)| *count > 0).copied().collect();
                        mended.add(&missing, REPAIR_ROWS_MAX);
                    }
                    Mending::All => mended.add(of_key, REPAIR_ROWS_MAX),
                }
                let rows = |sign: i64| -> u64 {
                    let own = of_key.iter().filter(|(_, count)| count.signum() == sign);
                    own.map(|(_, count)| count.unsigned_abs()).sum()
                };
                let (source, target) = (rows(1), rows(-1));
                of_source += source;
                of_target += target;
                pairs += source.min(target);
            }
        }
        let (source_rows, target_rows) = tokio::try_join!(
            self.list_source(index, &listed.source),
            self.list_target(index, &listed.target)
        )?;
        let (differences, paired) = pair(&self.plan.tables[index], &source_rows, &target_rows);
        // They may be large, and are not needed any more.
        drop((source_rows, target_rows));
        let mend = self.mend(index, mended).await?;
        // A pair is one difference. Without a key, rows that are not listed are counted as if each were of a pair.
        let all = if keyed {
            of_source + of_target - pairs
        } else if of_source.max(of_target) <= LISTED_MAX as u64 {
            of_source + of_target - paired
        } else {
            of_source.max(of_target)
        };
        let total = if all == 0 { 0 } else { all.max(differences_len(expected, found)) };
        Ok(Drilled { differences, total, mend })
    }

    /// What is to be looked at, a pass at a time.
    async fn passes(
        &self,
        index: usize,
        expected: &TableDigest,
        found: &TableDigest,
        differing: &[usize],
    ) -> Result<Vec<Pass>> {
        let mut buckets = vec![false; DIGEST_BUCKETS];
        differing.iter().for_each(|bucket| buckets[*bucket] = true);
        let rows: u64 =
            differing.iter().map(|bucket| expected.rows_in(*bucket) + found.rows_in(*bucket)).sum();
        let all = Pass { buckets, parts: None };
        if rows <= DRILL_ROWS_MAX as u64 {
            return Ok(vec![all]);
        }
        let mut sieve = Sieve::new();
        self.digests(index, &all, |digest, side| sieve.add(digest, side)).await?;
        let passes = sieve.passes().into_iter();
        Ok(passes.map(|parts| Pass { buckets: all.buckets.clone(), parts: Some(parts) }).collect())
    }

    /// The digests of the rows that a pass looks at: the source's and those that were there before, and then the target's.
    async fn digests(
        &self,
        index: usize,
        pass: &Pass,
        mut observe: impl FnMut(RowDigest, Side),
    ) -> Result<()> {
        let mut of = |digest, side| {
            if pass.has(digest) {
                observe(digest, side);
            }
        };
        self.source_rows(index, |_, _, digest| of(digest, Side::Source)).await?;
        self.rows_before(index, |digest| of(digest, Side::Source)).await?;
        self.target_rows(index, |_, digest| of(digest, Side::Target)).await
    }

    async fn unmatched(&self, index: usize, pass: &Pass) -> Result<Unmatched> {
        let mut counts = Unmatched::new();
        self.digests(index, pass, |digest, side| match side {
            Side::Source => *counts.entry((digest.key, digest.row)).or_default() += 1,
            Side::Target => {
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

    pub(super) async fn source_rows(
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

    pub(super) async fn target_rows(
        &self,
        index: usize,
        mut observe: impl FnMut(Row<'_>, RowDigest),
    ) -> Result<()> {
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
        // Of equal rows only as many as the other side lacks.
        let mut wanted = wanted.clone();
        self.source_rows(index, |row, out, digest| {
            if listed.len() < LISTED_MAX && take(&mut wanted, digest) {
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
        let mut wanted = wanted.clone();
        self.target_rows(index, |row, digest| {
            if listed.len() < LISTED_MAX && take(&mut wanted, digest) {
                listed.push(Listed {
                    key: digest.key,
                    shown: shown_on_target(table, &row),
                    values: row.values().map(|value| value.to_owned_value()).collect(),
                    locator: Vec::new(),
                });
            }
        })
        .await?;
        Ok(listed)
    }

    /// What the quarantine must hold of a table, from the source.
    pub(super) async fn expected_quarantine(&self, index: usize) -> Result<Vec<Quarantined>> {
        let table = &self.plan.tables[index];
        let judge = Judge::new(table);
        let (mut entries, mut scratch) = (Vec::new(), Vec::new());
        scan(&self.snapshot, &planned_table(table), KeyRange::default(), &self.shutdown, |rows| {
            for row in rows.iter() {
                let fate = judge.row(row, &table.columns, &mut scratch);
                entries.extend(put_aside(table, row, &fate));
            }
        })
        .await?;
        Ok(entries)
    }
}

/// Entries of the quarantine that are not what they should be, with both values.
pub(super) fn quarantine_differences(
    table: &TablePlan,
    expected: &[Quarantined],
    held: &[Quarantined],
) -> Vec<Difference> {
    type Place<'a> = (&'a [OwnedValue], &'a str);
    let by_place = |entries: &'_ [Quarantined]| -> HashMap<(Vec<OwnedValue>, String), Quarantined> {
        entries.iter().map(|e| ((e.locator.clone(), e.column.clone()), e.clone())).collect()
    };
    let (wanted, found) = (by_place(expected), by_place(held));
    let shown = |entry: Option<&Quarantined>| match entry {
        Some(entry) if entry.whole_row => format!("{} (the row)", entry.value.borrow().shown()),
        Some(entry) => entry.value.borrow().shown(),
        None => "not in quarantine".to_owned(),
    };
    let mut differences = Vec::new();
    let mut add = |place: Place<'_>,
                   kind: DifferenceKind,
                   a: Option<&Quarantined>,
                   b: Option<&Quarantined>| {
        differences.push(Difference {
            kind,
            key: format!("{} in quarantine", shown_locator(table, place.0)),
            fields: vec![FieldDifference { column: place.1.to_owned(), source: shown(a), target: shown(b) }],
        });
    };
    for entry in expected {
        let other = found.get(&(entry.locator.clone(), entry.column.clone()));
        let same = |other: &Quarantined| (&other.value, other.whole_row) == (&entry.value, entry.whole_row);
        match other {
            Some(other) if same(other) => {}
            Some(_) => add((&entry.locator, &entry.column), DifferenceKind::Changed, Some(entry), other),
            None => add((&entry.locator, &entry.column), DifferenceKind::Missing, Some(entry), None),
        }
    }
    for entry in held {
        if !wanted.contains_key(&(entry.locator.clone(), entry.column.clone())) {
            add((&entry.locator, &entry.column), DifferenceKind::Extra, None, Some(entry));
        }
    }
    differences
}

/// Whether a row is one of those that are unmatched, as often as they are.
pub(super) fn take(unmatched: &mut Unmatched, digest: RowDigest) -> bool {
    match unmatched.get_mut(&(digest.key, digest.row)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

/// At least as many rows differ as the counts do.
fn differences_len(expected: &TableDigest, found: &TableDigest) -> u64 {
    expected.rows().abs_diff(found.rows())
}

/// A row of the target: by its key, and by what the store calls it.
pub(crate) fn shown_on_target(table: &TablePlan, row: &Row<'_>) -> String {
    let key = shown_key(table, row).unwrap_or_else(|| "a row without a key".into());
    let place: Vec<String> = row.locator().iter().map(|cell| cell.borrow().shown()).collect();
    if place.is_empty() { key } else { format!("{key}, at {}", place.join(", ")) }
}

/// Pairs rows by key; in a table without one, each with the row that differs from it least. Gives the
/// differences, and how many of them are pairs.
pub(super) fn pair(table: &TablePlan, source: &[Listed], target: &[Listed]) -> (Vec<Difference>, u64) {
    let keyed = !table.key_fields().is_empty();
    let mut rest: Vec<&Listed> = target.iter().collect();
    let (mut differences, mut paired) = (Vec::new(), 0);
    for row in source {
        let at = if keyed {
            rest.iter().position(|other| other.key == row.key)
        } else {
            let far = table.columns.len();
            let distances = rest.iter().map(|other| fields(table, row, other).len()).enumerate();
            distances
                .filter(|(_, fields)| *fields < far.max(2))
                .min_by_key(|(_, fields)| *fields)
                .map(|(at, _)| at)
        };
        let (kind, fields) = match at.map(|at| rest.remove(at)) {
            Some(other) => {
                paired += 1;
                (DifferenceKind::Changed, fields(table, row, other))
            }
            None => (DifferenceKind::Missing, Vec::new()),
        };
        let at = if keyed { row.shown.clone() } else { shown_locator(table, &row.locator) };
        differences.push(Difference { kind, key: at, fields });
    }
    for row in rest {
        let all = (table.columns.iter().zip(&row.values)).map(|(column, value)| FieldDifference {
            column: column.source.clone(),
            source: String::new(),
            target: value.borrow().shown(),
        });
        let fields = if keyed { Vec::new() } else { all.collect() };
        differences.push(Difference { kind: DifferenceKind::Extra, key: row.shown.clone(), fields });
    }
    differences.truncate(LISTED_MAX);
    (differences, paired)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose keys' hashes are spread as a hash's are.
    fn rows(count: u64) -> impl Iterator<Item = RowDigest> {
        (1..=count).map(|at| {
            let key =
                at.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            RowDigest { key: key ^ (key >> 31), row: u128::from(at) << 64 | u128::from(key) }
        })
    }

    #[test]
    fn a_few_rows_that_differ_in_nearly_all_buckets_are_one_pass() {
        const ROWS: u64 = 1_000_000;
        const EVERY: usize = 200;
        let (mut sieve, mut buckets, mut differing) = (Sieve::new(), BTreeSet::new(), Vec::new());
        for (at, digest) in rows(ROWS).enumerate() {
            let changed = at % EVERY == 0;
            let other = u128::from(digest.key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let target = RowDigest { row: if changed { other } else { digest.row }, ..digest };
            sieve.add(digest, Side::Source);
            sieve.add(target, Side::Target);
            if changed {
                buckets.insert(digest.bucket());
                differing.push(digest);
            }
        }
        assert!(buckets.len() > DIGEST_BUCKETS * 9 / 10, "{}", buckets.len());
        let passes = sieve.passes();
        assert_eq!(passes.len(), 1);
        assert!(differing.iter().all(|digest| passes[0][part_of(*digest)]));
        let kept = rows(ROWS).filter(|digest| passes[0][part_of(*digest)]).count();
        assert!(kept < differing.len() * 4, "{kept}");
    }

    #[test]
    fn no_pass_holds_more_rows_than_it_may_and_none_is_left_out() {
        let mut sieve = Sieve::new();
        let all: Vec<RowDigest> = rows(DRILL_ROWS_MAX as u64 * 5 / 2).collect();
        all.iter().for_each(|digest| sieve.add(*digest, Side::Source));
        let passes = sieve.passes();
        assert_eq!(passes.len(), 3);
        let of = |pass: &Vec<bool>| all.iter().filter(|digest| pass[part_of(**digest)]).count();
        let counts: Vec<usize> = passes.iter().map(of).collect();
        assert!(counts.iter().all(|count| *count <= DRILL_ROWS_MAX), "{counts:?}");
        assert_eq!(counts.iter().sum::<usize>(), all.len());
    }
}
