//! Digests of rows and tables, independent of order.
//!
//! A row's digest is XXH3-128 over its canonical cells (type-tagged, length-prefixed); a table's is
//! the sum of its rows' digests modulo 2^128, kept in [`crate::limits::DIGEST_BUCKETS`] buckets by
//! the hash of the row's key. Two tables of equal buckets hold equal rows, whatever order either
//! store reads them in; a bucket that differs says which few rows to look at. XXH3 is no
//! cryptographic hash: the digest finds accidents, not forgeries (docs/decisions/0002).

use crate::codec::Codec;
use crate::limits::DIGEST_BUCKETS;
use crate::value::Row;
use serde::{Deserialize, Serialize};
use twox_hash::{XxHash3_64, XxHash3_128};

/// The digest of some bytes.
pub fn of_bytes(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

/// A row's identity and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowDigest {
    /// The hash of its key (of the whole row, where there is no key).
    pub key: u64,
    /// The digest of all its fields.
    pub row: u128,
}

impl RowDigest {
    /// The bucket that it belongs to.
    pub fn bucket(&self) -> usize {
        (self.key % DIGEST_BUCKETS as u64) as usize
    }
}

/// Which side of the plan a row was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The source's own values.
    Source,
    /// The target's, to be decoded.
    Target,
}

/// Computes row digests for one table and one side; keeps its buffers.
#[derive(Debug)]
pub struct RowDigester {
    codecs: Vec<Codec>,
    key: Vec<usize>,
    side: Side,
    cells: Vec<u8>,
    ends: Vec<usize>,
    scratch: Vec<u8>,
    json: Vec<JsonTally>,
}

/// What a digester met in a JSON column of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonTally {
    /// Texts that survive by value.
    pub fit: u64,
    /// Others that are JSON.
    pub lossy: u64,
    /// Why the first other one does not.
    pub unfit: Option<String>,
    /// What all of them are.
    pub kinds: JsonKinds,
}

/// What the texts of a JSON column are at their top. Not part of a plan: only the choice of a form asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonKinds {
    nested: bool,
    strings: bool,
    truths: bool,
    integers: bool,
    /// An integer beyond 2^53.
    wide: bool,
    /// Other numbers that a double holds by value.
    reals: bool,
    /// Numbers that it does not.
    exact: bool,
}

impl JsonKinds {
    fn note(&mut self, value: crate::value::Value<'_>) {
        let crate::value::Value::Text(text) = value else { return };
        let text = text.trim_ascii();
        match text.first() {
            Some(b'{' | b'[') => self.nested = true,
            Some(b'"') => self.strings = true,
            Some(b't' | b'f') => self.truths = true,
            Some(b'-' | b'0'..=b'9') => {
                let number = std::str::from_utf8(text).unwrap_or_default();
                match number.parse::<i64>() {
                    Ok(integer) if number != "-0" => {
                        self.integers = true;
                        self.wide |= integer.unsigned_abs() > crate::census::FLOAT_EXACT_MAX;
                    }
                    _ if crate::decimal::survives(number) => self.reals = true,
                    _ => self.exact = true,
                }
            }
            _ => {}
        }
    }

    /// Whether a reader who goes by the values alone takes all of them for JSON: not where they are texts, truth values or
    /// numbers only.
    #[must_use]
    pub fn reads_as_json(self) -> bool {
        let numbers = self.integers || self.reals;
        let plain = [self.strings, self.truths, numbers].into_iter().filter(|kind| *kind).count();
        self.nested || self.exact || (self.wide && self.reals) || plain > 1
    }
}

impl RowDigester {
    /// A digester for rows of these codecs, identified by the fields at `key` (empty: the whole row).
    pub fn new(codecs: Vec<Codec>, key: Vec<usize>, side: Side) -> RowDigester {
        let json = vec![JsonTally::default(); codecs.len()];
        RowDigester { codecs, key, side, cells: Vec::new(), ends: Vec::new(), scratch: Vec::new(), json }
    }

    /// The digest of a row; fields for which `as_null` holds count as NULL.
    #[inline]
    pub fn digest(&mut self, row: Row<'_>, mut as_null: impl FnMut(usize) -> bool) -> RowDigest {
        self.cells.clear();
        self.ends.clear();
        for (index, codec) in self.codecs.iter().enumerate() {
            let value = if as_null(index) { crate::value::Value::Null } else { row.value(index) };
            match self.side {
                Side::Source => match codec.canonical_source(value, &mut self.cells) {
                    Ok(()) => {
                        let text = matches!(value, crate::value::Value::Text(_));
                        self.json[index].fit += u64::from(text && *codec == Codec::Json);
                        if *codec == Codec::Json {
                            self.json[index].kinds.note(value);
                        }
                    }
                    Err(unfit) => {
                        if let crate::value::Value::Text(text) = value {
                            self.scratch.clear();
                            let is_json = crate::json::compact(text, &mut self.scratch).is_ok();
                            self.json[index].lossy += u64::from(is_json);
                            self.json[index].kinds.note(value);
                        }
                        self.json[index].unfit.get_or_insert(unfit.0);
                    }
                },
                Side::Target => codec.canonical_target(value, &mut self.scratch, &mut self.cells),
            }
            self.ends.push(self.cells.len());
        }
        let row = XxHash3_128::oneshot(&self.cells);
        RowDigest { key: self.key_hash(row), row }
    }

    /// What was met in JSON columns, by column.
    pub fn json(&self) -> &[JsonTally] {
        &self.json
    }

    fn key_hash(&mut self, row: u128) -> u64 {
        let span = |at: usize| if at == 0 { 0 } else { self.ends[at - 1] }..self.ends[at];
        match self.key.as_slice() {
            [] => row as u64,
            [only] => XxHash3_64::oneshot(&self.cells[span(*only)]),
            many => {
                self.scratch.clear();
                for at in many {
                    let span = span(*at);
                    self.scratch.extend_from_slice(&self.cells[span]);
                }
                XxHash3_64::oneshot(&self.scratch)
            }
        }
    }
}

/// The digest of a table, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDigest {
    /// Rows and sum, by bucket.
    buckets: Vec<(u64, u128)>,
}

impl Default for TableDigest {
    fn default() -> Self {
        TableDigest { buckets: vec![(0, 0); DIGEST_BUCKETS] }
    }
}

impl TableDigest {
    /// Adds a row.
    #[inline]
    pub fn add(&mut self, digest: RowDigest) {
        let (rows, sum) = &mut self.buckets[digest.bucket()];
        *rows += 1;
        *sum = sum.wrapping_add(digest.row);
    }

    /// Adds another part of the same table.
    pub fn merge(&mut self, other: &TableDigest) {
        for ((rows, sum), (more, add)) in self.buckets.iter_mut().zip(&other.buckets) {
            *rows += more;
            *sum = sum.wrapping_add(*add);
        }
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.buckets.iter().map(|(rows, _)| rows).sum()
    }

    /// The sum over all rows.
    pub fn total(&self) -> u128 {
        self.buckets.iter().fold(0, |total, (_, sum)| total.wrapping_add(*sum))
    }

    /// The buckets in which two tables differ.
    pub fn differing(&self, other: &TableDigest) -> Vec<usize> {
        let pairs = self.buckets.iter().zip(&other.buckets);
        pairs.enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
    }

    /// Rows in a bucket.
    pub fn rows_in(&self, bucket: usize) -> u64 {
        self.buckets[bucket].0
    }
}

/// A digest as reports write it: 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex(pub u128);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Hex).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Rows, Value};

    fn table(rows: &[[Value<'_>; 2]]) -> TableDigest {
        let mut batch = Rows::new(0, 2);
        rows.iter().flatten().for_each(|value| batch.push(*value));
        let codecs = vec![Codec::Int, Codec::Text { chars_max: None }];
        let mut digester = RowDigester::new(codecs, vec![0], Side::Source);
        let mut digest = TableDigest::default();
        batch.iter().for_each(|row| digest.add(digester.digest(row, |_| false)));
        digest
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let (a, b) = ([Value::Int(1), Value::Text(b"x")], [Value::Int(2), Value::Text(b"y")]);
        assert_eq!(table(&[a, b]), table(&[b, a]));
        assert_eq!(table(&[a, b]).rows(), 2);
        let swapped = [[a[0], b[1]], [b[0], a[1]]];
        assert_eq!(table(&[a, b]).differing(&table(&swapped)).len(), 2);
        assert_eq!(table(&[a, b]).differing(&table(&[a])).len(), 1);
        assert_eq!(table(&[a, a]).differing(&table(&[a])).len(), 1);
        assert_ne!(table(&[[a[0], Value::Null]]), table(&[[a[0], Value::Text(b"")]]));
        assert_ne!(table(&[[a[0], Value::Bytes(b"x")]]), table(&[a]));
    }
}
