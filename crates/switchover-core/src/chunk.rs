//! Chunks: key ranges of a table, the unit of copy, of resume and of the ledger.
//!
//! A range is open at its start and closed at its end, so ranges that meet leave nothing out and
//! repeat nothing. [`gaps`] is the whole of resume: what was committed is known from the
//! checkpoints in the target, the gaps are what is left.

use crate::digest::Hex;
use crate::value::OwnedValue;
use serde::{Deserialize, Serialize};

/// The cells by which a store finds a row.
pub type LocatorValue = Vec<OwnedValue>;

/// Rows after one locator up to and including another; `None` is the table's own end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyRange {
    /// Rows after this one.
    pub after: Option<LocatorValue>,
    /// Up to and including this one.
    pub upto: Option<LocatorValue>,
}

/// The durable record that a chunk was copied. It commits in the transaction that holds the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The table, by its index in the plan.
    pub table: usize,
    /// The rows it covers.
    pub range: KeyRange,
    /// How many there were.
    pub rows: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// The digest of the source's rows as they were read (`Rows::digest`).
    pub digest: Hex,
}

/// What is left of a table whose checkpoints are these.
///
/// Ranges of a table that is written by several streams start at integer locators, which sort;
/// a table with any other locator is written by one stream, so its ranges form one chain.
pub fn gaps(checkpoints: &[Checkpoint]) -> Vec<KeyRange> {
    let mut ranges: Vec<&KeyRange> = checkpoints.iter().map(|checkpoint| &checkpoint.range).collect();
    ranges.sort_by_key(|range| start(range));
    let mut left = Vec::new();
    let mut reached: Option<LocatorValue> = None;
    let mut remaining = ranges;
    loop {
        if let Some(at) = remaining.iter().position(|range| range.after == reached) {
            match &remaining.remove(at).upto {
                Some(upto) => reached = Some(upto.clone()),
                None => return left,
            }
        } else if let Some(next) = remaining.first() {
            left.push(KeyRange { after: reached, upto: next.after.clone() });
            reached = next.after.clone();
        } else {
            left.push(KeyRange { after: reached, upto: None });
            return left;
        }
    }
}

fn start(range: &KeyRange) -> Option<i64> {
    match range.after.as_deref() {
        Some([OwnedValue::Int(after)]) => Some(*after),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(key: i64) -> Option<LocatorValue> {
        (key != i64::MAX && key != i64::MIN).then(|| vec![OwnedValue::Int(key)])
    }

    fn check(copied: &[(i64, i64)], expected: &[(i64, i64)]) {
        let checkpoints: Vec<Checkpoint> = copied
            .iter()
            .map(|(after, upto)| Checkpoint {
                table: 0,
                range: KeyRange { after: at(*after), upto: at(*upto) },
                rows: 1,
                bytes: 1,
                digest: Hex(0),
            })
            .collect();
        let expected: Vec<KeyRange> =
            expected.iter().map(|(after, upto)| KeyRange { after: at(*after), upto: at(*upto) }).collect();
        assert_eq!(gaps(&checkpoints), expected, "{copied:?}");
    }

    #[test]
    fn what_is_left_is_what_no_checkpoint_covers() {
        const FROM: i64 = i64::MIN;
        const TO: i64 = i64::MAX;
        check(&[], &[(FROM, TO)]);
        check(&[(FROM, TO)], &[]);
        check(&[(FROM, 5)], &[(5, TO)]);
        check(&[(5, 9), (FROM, 5)], &[(9, TO)]);
        check(&[(5, 9)], &[(FROM, 5), (9, TO)]);
        check(&[(FROM, -5), (20, TO), (7, 9)], &[(-5, 7), (9, 20)]);
    }
}
