//! Ids that would become one UUID: two spellings of one, a number and its digits, a UUID that another id hashes to.
//!
//! The maps say which UUIDs there will be; here it is proven, before anything is written, that no two of a
//! map's rows have the same. The UUIDs are too many for memory, so a filter of fixed size first names the few
//! that may occur twice, and a second pass looks at those exactly; a table too large for one filter is taken in
//! parts, by the UUIDs' own bits.

use crate::evidence::{Look, planned_table};
use crate::scan::scan;
use std::collections::{HashMap, HashSet};
use switchover_core::chunk::{KeyRange, LocatorValue};
use switchover_core::limits::{LISTED_MAX, one_of};
use switchover_core::plan::{Plan, Refusal, TablePlan};
use switchover_core::schema::{Catalog, IdMap};
use switchover_core::value::{Row, Value};
use switchover_core::{Result, ids};

/// Bytes of the filter: little beside what the process has anyway, and enough for the rows below.
const FILTER_BYTES: usize = 16 << 20;

/// Rows that one pass looks at. With 16 bits of the filter for each, 3 in 1,000 are suspected wrongly.
const ROWS_A_PASS: u64 = (FILTER_BYTES / 2) as u64;

/// Bits of the filter that a UUID sets.
const BITS: usize = 5;

/// Which UUIDs a pass has seen, or may have.
struct Filter(Vec<u64>);

impl Filter {
    fn new() -> Filter {
        Filter(vec![0; FILTER_BYTES / 8])
    }

    /// Whether it was there, or may have been.
    fn insert(&mut self, uuid: u128) -> bool {
        let (first, step) = (mixed(uuid as u64), mixed((uuid >> 64) as u64) | 1);
        let bits = self.0.len() as u64 * 64;
        let mut seen = true;
        for at in 0..BITS as u64 {
            let bit = first.wrapping_add(step.wrapping_mul(at)) % bits;
            // A place below the number of words fits.
            let (word, mask) = ((bit / 64) as usize, 1u64 << (bit % 64));
            seen &= self.0[word] & mask != 0;
            self.0[word] |= mask;
        }
        seen
    }
}

/// Spreads bits that an application may have chosen in sequence (the finaliser of MurmurHash3).
fn mixed(word: u64) -> u64 {
    let word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

/// The rows of one UUID.
#[derive(Default)]
struct Same {
    rows: u64,
    ids: Vec<(LocatorValue, String)>,
}

/// Ids of one UUID that a refusal names.
const SHOWN_IDS: usize = 3;

impl Look<'_> {
    /// Refuses ids of which another becomes the same.
    pub(crate) async fn same_ids(&self, plan: &mut Plan, catalog: &Catalog) -> Result<()> {
        let mut refusals = Vec::new();
        for table in &plan.tables {
            let Some(map) = catalog.table(&table.source).and_then(|table| table.id_map.as_ref()) else {
                continue;
            };
            let Some(field) = table.columns.iter().position(|column| column.source == ids::UUID) else {
                continue;
            };
            let passes = table.rows.div_ceil(ROWS_A_PASS).max(1);
            for pass in 0..passes {
                refusals.extend(self.same_in(table, map, field, (pass, passes)).await?);
            }
        }
        plan.refusals.extend(refusals);
        Ok(())
    }

    async fn same_in(
        &self,
        table: &TablePlan,
        map: &IdMap,
        field: usize,
        (pass, passes): (u64, u64),
    ) -> Result<Vec<Refusal>> {
        let read = planned_table(table);
        let codec = &table.columns[field].codec;
        let mut scratch = Vec::new();
        let mut uuid = |row: Row<'_>| {
            let uuid = match codec.encode(row.value(field), &mut scratch) {
                Ok(Value::Uuid(uuid)) => u128::from_be_bytes(uuid),
                Ok(Value::Text(text)) => u128::from_be_bytes(switchover_core::uuid_text::parse(text)?.0),
                // NULL, or a value that is refused by itself.
                _ => return None,
            };
            (mixed(uuid as u64 ^ (uuid >> 64) as u64) % passes == pass).then_some(uuid)
        };
        let (mut filter, mut suspects) = (Filter::new(), HashSet::new());
        scan(self.snapshot, &read, KeyRange::default(), self.shutdown, |rows| {
            for uuid in rows.iter().filter_map(&mut uuid) {
                if filter.insert(uuid) {
                    suspects.insert(uuid);
                }
            }
        })
        .await?;
        drop(filter);
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let mut found: HashMap<u128, Same> = HashMap::new();
        scan(self.snapshot, &read, KeyRange::default(), self.shutdown, |rows| {
            for row in rows.iter() {
                let Some(uuid) = uuid(row).filter(|uuid| suspects.contains(uuid)) else { continue };
                let same = found.entry(uuid).or_default();
                same.rows += 1;
                let shown = row.value(field).shown();
                // The same id twice is a key that occurs twice, which is named as that.
                if same.ids.len() < SHOWN_IDS && !same.ids.iter().any(|(_, other)| *other == shown) {
                    same.ids.push((row.locator(), shown));
                }
            }
        })
        .await?;
        let mut refusals = Vec::new();
        let several = || found.values().filter(|same| same.ids.len() > 1);
        let all = several().count();
        for same in several().take(LISTED_MAX) {
            let shown: Vec<&str> = same.ids.iter().map(|(_, shown)| shown.as_str()).collect();
            let locator = &same.ids[1].0;
            refusals.push(Refusal {
                table: map.table.clone(),
                key: self.shown_row(table, locator).await?,
                column: map.column.clone(),
                value: shown.join(", "),
                why: format!("these ids would become one UUID; {}", one_of(all as u64, "UUID")),
                hint: "write each id in one form on the source, or compute the column with a `value`".into(),
            });
        }
        refusals.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(refusals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_forgets_nothing_and_suspects_few() {
        let mut filter = Filter::new();
        let uuid = |at: u64| u128::from(at) | u128::from(at / 7) << 64;
        let wrong = (0..200_000u64).filter(|at| filter.insert(uuid(*at))).count();
        assert!(wrong < 20, "{wrong}");
        assert!((0..200_000u64).all(|at| filter.insert(uuid(at))));
    }
}
