//! The census: what the cells of a table really hold.
//!
//! One pass over all rows, one [`ColumnCensus`] a column. It counts and measures; what follows from
//! it is decided by the target's dialect. Expensive evidence (UUID forms, times, JSON) is gathered
//! only for columns whose declaration makes it matter ([`Interest`]).

use crate::affinity;
use crate::datetime::{TimeEvidence, parse_date, parse_timestamp};
use crate::decimal;
use crate::plan::LogicalType;
use crate::reverse;
use crate::uuid_text::{self, UuidForm};
use crate::value::{Rows, Value, utf8};
use serde::{Deserialize, Serialize};

/// What a declaration makes worth looking for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interest {
    /// Storage classes and sizes only.
    Plain,
    /// Whether all values are truth values.
    Boolean,
    /// Whether all values are dates or times in one format.
    Temporal,
    /// Whether all values are UUIDs in one form.
    Uuid,
    /// Whether all values are JSON that survives by value.
    Json,
    /// How many digits the values have before and behind the point.
    Decimal,
}

impl Interest {
    /// What the words of a declared type make worth looking for. The match is on whole words, so
    /// that `UPDATE_COUNT` is no date.
    pub fn of_declared(declared: &str) -> Interest {
        let head = declared.split('(').next().unwrap_or_default().trim().to_ascii_uppercase();
        match head.as_str() {
            "BOOL" | "BOOLEAN" => Interest::Boolean,
            "DATE"
            | "DATETIME"
            | "TIMESTAMP"
            | "TIMESTAMPTZ"
            | "TIMESTAMP WITH TIME ZONE"
            | "TIMESTAMP WITHOUT TIME ZONE"
            | "SMALLDATETIME"
            | "DATETIME2"
            | "DATETIMEOFFSET" => Interest::Temporal,
            "UUID" | "GUID" | "UNIQUEIDENTIFIER" => Interest::Uuid,
            "JSON" | "JSONB" | "JSON TEXT" => Interest::Json,
            "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" | "MONEY" => Interest::Decimal,
            _ => Interest::Plain,
        }
    }
}

impl From<crate::plan::LogicalType> for Interest {
    fn from(ty: crate::plan::LogicalType) -> Interest {
        use crate::plan::LogicalType::{
            Any, Array, Bool, Bytea, Char, Cidr, Date, Declared, Float4, Float8, Inet, Int2, Int4, Int8,
            Interval, Json, Jsonb, Macaddr, Numeric, Text, TextArray, Time, Timestamp, TimestampTz, Uuid,
            Varchar, Vector,
        };
        match ty {
            Bool => Interest::Boolean,
            Numeric(_) => Interest::Decimal,
            Uuid => Interest::Uuid,
            Date | Timestamp | TimestampTz => Interest::Temporal,
            Json | Jsonb | TextArray | Array(_) => Interest::Json,
            Inet | Cidr | Macaddr | Interval | Int2 | Int4 | Int8 | Float4 | Float8 | Text | Varchar(_)
            | Char(_) | Bytea | Time | Declared | Any | Vector => Interest::Plain,
        }
    }
}

/// What one column's cells hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnCensus {
    /// Cells that are NULL.
    pub nulls: u64,
    /// Integers.
    pub integers: u64,
    /// The smallest and the largest integer.
    pub integer_range: Option<(i64, i64)>,
    /// Integers beyond ±2^53, which binary64 does not hold exactly.
    pub integers_beyond_float: u64,
    /// Reals.
    pub reals: u64,
    /// Infinities among them.
    pub reals_infinite: u64,
    /// Reals without a fraction, which a column of numbers would keep as integers elsewhere.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reals_integral: u64,
    /// Finite ones that no integer of 64 bits holds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reals_beyond_integer: u64,
    /// Negative zeros among them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reals_negative_zero: u64,
    /// Reals that are no number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reals_nan: u64,
    /// Values of a type that the store sees to (booleans, decimals, UUIDs, times).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub typed: u64,
    /// Decimals among them that neither an integer nor a double holds exactly.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decimals_long: u64,
    /// Those of them that are no number: NaN and the infinities.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub decimals_special: u64,
    /// Texts.
    pub texts: u64,
    /// Bytes of the longest text.
    pub text_bytes_max: u64,
    /// Characters of the longest text (bytes, where a text is not valid UTF-8).
    pub text_chars_max: u64,
    /// Texts that are not valid UTF-8.
    pub texts_invalid: u64,
    /// Texts with a NUL character.
    pub texts_with_nul: u64,
    /// Texts that look like a number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub texts_numeric: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of the longest blob.
    pub blob_bytes_max: u64,
    /// Bytes of the shortest blob.
    pub blob_bytes_min: Option<u64>,
    /// Integers other than 0 and 1.
    pub integers_not_boolean: u64,
    /// Texts `t`/`f` and `true`/`false`, and all others.
    pub boolean_texts: [u64; 3],
    /// Texts that are a UUID, by form.
    pub uuids: [u64; 4],
    /// Texts that are a date alone.
    pub dates: u64,
    /// Texts that are a timestamp.
    pub timestamps: u64,
    /// What those timestamps have in common.
    pub time: TimeEvidence,
    /// Texts that `jsonb` holds by value.
    pub json_fit: u64,
    /// Others that are JSON all the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub json_lossy: u64,
    /// The first reason why it does not hold another.
    pub json_unfit: Option<String>,
    /// What they are at their top.
    #[serde(skip)]
    pub json_kinds: crate::digest::JsonKinds,
    /// Digits before the point, and behind it, at most.
    pub decimal_digits: (u64, u64),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// 2^53: integers up to here are exact in binary64 (IEEE 754).
pub const FLOAT_EXACT_MAX: u64 = 1 << 53;

impl ColumnCensus {
    /// Cells that are not NULL.
    pub fn present(&self) -> u64 {
        self.integers + self.reals + self.texts + self.blobs + self.typed
    }

    /// The storage classes that occur, with their counts.
    pub fn classes(&self) -> Vec<(&'static str, u64)> {
        let all =
            [("integer", self.integers), ("real", self.reals), ("text", self.texts), ("blob", self.blobs)];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The one form of all texts, when all are UUIDs of one form.
    pub fn uuid_form(&self) -> Option<UuidForm> {
        let forms =
            [UuidForm::LowerDashed, UuidForm::UpperDashed, UuidForm::LowerPlain, UuidForm::UpperPlain];
        forms
            .into_iter()
            .zip(self.uuids)
            .find(|(_, count)| *count == self.texts && *count > 0)
            .map(|(form, _)| form)
    }

    /// Takes over what a digester met in this column.
    pub fn note_json(&mut self, tally: &crate::digest::JsonTally) {
        self.json_fit = tally.fit;
        self.json_lossy = tally.lossy;
        self.json_unfit.clone_from(&tally.unfit);
        self.json_kinds = tally.kinds;
    }

    /// The codec that the values of a column of this interest most likely get.
    pub fn predicted(interest: Interest) -> crate::codec::Codec {
        match interest {
            Interest::Json => crate::codec::Codec::Json,
            Interest::Decimal => crate::codec::Codec::Decimal { limits: None },
            Interest::Plain | Interest::Boolean | Interest::Temporal | Interest::Uuid => {
                crate::codec::Codec::Int
            }
        }
    }

    /// The codec that the values of a column that the store types most likely get.
    pub fn predicted_of_kind(kind: LogicalType) -> crate::codec::Codec {
        reverse::of_kind(kind).unwrap_or_else(|| ColumnCensus::predicted(Interest::Plain))
    }

    /// The same with one value more: what a column would be seen to hold that held it too. Whether a text is
    /// JSON is not looked at: see [`ColumnCensus::note_json`].
    #[must_use]
    pub fn with(&self, value: Value<'_>, interest: Interest) -> ColumnCensus {
        let mut more = self.clone();
        more.observe(value, interest, &mut Vec::new());
        more
    }

    #[inline]
    fn observe(&mut self, value: Value<'_>, interest: Interest, scratch: &mut Vec<u8>) {
        match value {
            Value::Null => self.nulls += 1,
            Value::Int(i) => {
                self.integers += 1;
                self.integer_range =
                    Some(self.integer_range.map_or((i, i), |(lo, hi)| (lo.min(i), hi.max(i))));
                self.integers_beyond_float += u64::from(i.unsigned_abs() > FLOAT_EXACT_MAX);
                self.integers_not_boolean += u64::from(i != 0 && i != 1);
                if interest == Interest::Decimal {
                    scratch.clear();
                    decimal::write_i64(i, scratch);
                    self.observe_digits(scratch);
                }
            }
            Value::Float(f) => {
                self.reals += 1;
                self.reals_infinite += u64::from(f.is_infinite());
                self.reals_nan += u64::from(f.is_nan());
                self.reals_beyond_integer += u64::from(f.is_finite() && f.abs() >= affinity::INTEGER_BOUND);
                self.reals_integral += u64::from(affinity::is_integral(f));
                self.reals_negative_zero += u64::from(affinity::is_negative_zero(f));
                if interest == Interest::Decimal {
                    scratch.clear();
                    if decimal::write_f64(f, scratch) {
                        self.observe_digits(scratch);
                    }
                }
            }
            Value::Text(text) => self.observe_text(text, interest),
            Value::Bytes(bytes) => {
                self.blobs += 1;
                let length = bytes.len() as u64;
                self.blob_bytes_max = self.blob_bytes_max.max(length);
                self.blob_bytes_min = Some(self.blob_bytes_min.map_or(length, |least| least.min(length)));
            }
            Value::Decimal(digits) => {
                self.typed += 1;
                self.decimals_long += u64::from(!reverse::is_number(digits));
                self.decimals_special += u64::from(decimal::parts(digits).is_none());
            }
            // Stores with types of their own need no more evidence for these than the type.
            Value::Bool(_)
            | Value::Uuid(_)
            | Value::Date(_)
            | Value::Time(_)
            | Value::Timestamp(_)
            | Value::TimestampTz(_)
            | Value::Json(_) => self.typed += 1,
        }
    }

    fn observe_digits(&mut self, canonical: &[u8]) {
        if let Some(parts) = decimal::parts(canonical) {
            self.decimal_digits.0 = self.decimal_digits.0.max(parts.integer_digits());
            self.decimal_digits.1 = self.decimal_digits.1.max(parts.scale());
        }
    }

    #[inline]
    fn observe_text(&mut self, text: &[u8], interest: Interest) {
        self.texts += 1;
        let bytes = text.len() as u64;
        self.text_bytes_max = self.text_bytes_max.max(bytes);
        self.texts_with_nul += u64::from(memchr::memchr(0, text).is_some());
        self.texts_numeric += u64::from(affinity::is_number(text));
        match utf8(text) {
            // Characters are at most as many as bytes: count only where it could raise the maximum.
            Some(valid) if bytes > self.text_chars_max => {
                self.text_chars_max = self.text_chars_max.max(valid.chars().count() as u64);
            }
            Some(_) => {}
            None => {
                self.texts_invalid += 1;
                self.text_chars_max = self.text_chars_max.max(bytes);
            }
        }
        match interest {
            Interest::Plain | Interest::Decimal => {}
            Interest::Boolean => match text {
                b"t" | b"f" => self.boolean_texts[0] += 1,
                b"true" | b"false" => self.boolean_texts[1] += 1,
                _ => self.boolean_texts[2] += 1,
            },
            Interest::Uuid => {
                if let Some((_, form)) = uuid_text::parse(text) {
                    self.uuids[form as usize] += 1;
                }
            }
            Interest::Temporal => {
                if let Some(parsed) = parse_timestamp(text) {
                    self.timestamps += 1;
                    self.time.observe(&parsed);
                } else if parse_date(text).is_some() {
                    self.dates += 1;
                }
            }
            // The digest has to read JSON anyway, so it tells: see `ColumnCensus::note_json`.
            Interest::Json => {}
        }
    }
}

/// The census of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableCensus {
    /// Rows.
    pub rows: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Bytes that the widest row keeps within a page at least, where the columns are so many that it
    /// matters.
    pub row_width_max: Option<u64>,
    /// A column each, in the order that was read.
    pub columns: Vec<ColumnCensus>,
}

/// Up to so many columns no row is too wide for a page, because long values lie out of line.
const NARROW_COLUMNS_MAX: usize = 256;

/// What a value keeps within a page at least: a long one leaves a pointer of 18 bytes.
fn page_width(value: Value<'_>) -> u64 {
    match value {
        Value::Text(bytes) | Value::Bytes(bytes) => (bytes.len() as u64 + 1).min(18),
        other => other.payload_bytes() as u64,
    }
}

impl TableCensus {
    /// An empty census of so many columns.
    pub fn new(columns: usize) -> TableCensus {
        TableCensus {
            rows: 0,
            bytes: 0,
            row_width_max: None,
            columns: vec![ColumnCensus::default(); columns],
        }
    }

    /// Takes a batch into account; `interests` has one entry a column.
    pub fn observe(&mut self, rows: &Rows, interests: &[Interest]) {
        let mut scratch = Vec::new();
        for row in rows.iter() {
            self.rows += 1;
            if self.columns.len() > NARROW_COLUMNS_MAX {
                let width = row.values().map(page_width).sum();
                self.row_width_max = Some(self.row_width_max.map_or(width, |widest| widest.max(width)));
            }
            for ((value, census), interest) in row.values().zip(&mut self.columns).zip(interests) {
                self.bytes += value.payload_bytes() as u64;
                census.observe(value, *interest, &mut scratch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(declared: &str, values: &[Value<'_>]) -> ColumnCensus {
        let mut rows = Rows::new(0, 1);
        values.iter().for_each(|value| rows.push(*value));
        let mut census = TableCensus::new(1);
        census.observe(&rows, &[Interest::of_declared(declared)]);
        census.columns.remove(0)
    }

    #[test]
    fn classes_and_sizes_are_counted() {
        let found = census(
            "TEXT",
            &[
                Value::Null,
                Value::Int(5),
                Value::Text("é\0".as_bytes()),
                Value::Text(b"\xff"),
                Value::Bytes(b"12"),
            ],
        );
        assert_eq!(found.classes(), [("integer", 1), ("text", 2), ("blob", 1)]);
        assert_eq!((found.texts_invalid, found.texts_with_nul, found.nulls), (1, 1, 1));
        assert_eq!((found.text_bytes_max, found.text_chars_max, found.blob_bytes_max), (3, 2, 2));
    }

    #[test]
    fn interests_follow_whole_words() {
        assert_eq!(Interest::of_declared("datetime(6)"), Interest::Temporal);
        assert_eq!(Interest::of_declared("UPDATE_COUNT"), Interest::Plain);
        assert_eq!(Interest::of_declared("Numeric(10, 2)"), Interest::Decimal);
        assert_eq!(Interest::of_declared(""), Interest::Plain);
    }

    #[test]
    fn digits_are_measured_by_value() {
        let found = census("DECIMAL(10,2)", &[Value::Float(1234.5), Value::Int(-99999), Value::Float(0.001)]);
        assert_eq!(found.decimal_digits, (5, 3));
    }
}
