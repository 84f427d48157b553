//! How many numbers a column's vectors have: as many as most of them, so that the others are named before anything is written.
//!
//! An index of vectors is of the length of the first that it gets, and a server says so of the second, in the middle of a
//! load. Absent: the length of an index that is there already, which the server alone knows.

use crate::evidence::{Look, planned_table};
use crate::scan::scan;
use std::collections::BTreeMap;
use switchover_core::Result;
use switchover_core::chunk::KeyRange;
use switchover_core::codec::Codec;
use switchover_core::native::{Native, VECTOR_NUMBER_BYTES, VectorForm};
use switchover_core::plan::{ColumnPlan, Plan};
use switchover_core::value::Value;

/// The vectors of each length, by the length in bytes.
type Lengths = BTreeMap<usize, u64>;

impl Look<'_> {
    /// Puts the length of most vectors into each column's codec that has none.
    pub(crate) async fn vectors(&self, plan: &mut Plan) -> Result<()> {
        for table in &mut plan.tables {
            let mut lengths: BTreeMap<usize, Lengths> = BTreeMap::new();
            for (field, column) in table.columns.iter().enumerate().filter(|(_, column)| is_open(column)) {
                lengths.insert(field, one_length(column).map(|bytes| (bytes, 1)).into_iter().collect());
            }
            let unknown: Vec<usize> =
                lengths.iter().filter(|(_, found)| found.is_empty()).map(|(field, _)| *field).collect();
            if !unknown.is_empty() {
                let columns = &table.columns;
                let mut scratch = Vec::new();
                scan(self.snapshot, &planned_table(table), KeyRange::default(), self.shutdown, |rows| {
                    for row in rows.iter() {
                        for field in &unknown {
                            let found = columns[*field].codec.encode(row.value(*field), &mut scratch);
                            if let (Ok(Value::Bytes(numbers)), Some(lengths)) =
                                (found, lengths.get_mut(field))
                            {
                                *lengths.entry(numbers.len()).or_default() += 1;
                            }
                        }
                    }
                })
                .await?;
            }
            for (field, found) in lengths {
                // The shortest of those that are equally many: `max_by_key` would give the last.
                let most = found.iter().rev().max_by_key(|(_, count)| **count);
                if let (Some((bytes, _)), Codec::Native(Native::Vector { length, .. })) =
                    (most, &mut table.columns[field].codec)
                {
                    *length = u32::try_from(bytes / VECTOR_NUMBER_BYTES).ok();
                }
            }
        }
        Ok(())
    }
}

/// Whether a column's vectors have no length yet.
fn is_open(column: &ColumnPlan) -> bool {
    matches!(column.codec, Codec::Native(Native::Vector { length: None, .. })) && column.census.present() > 0
}

/// The bytes of all of a column's vectors, where the census tells that they have as many.
fn one_length(column: &ColumnPlan) -> Option<usize> {
    let census = &column.census;
    let blobs = matches!(column.codec, Codec::Native(Native::Vector { from: VectorForm::Float32, .. }))
        && census.blobs == census.present()
        && census.blob_bytes_min == Some(census.blob_bytes_max);
    usize::try_from(census.blob_bytes_max).ok().filter(|_| blobs)
}
