//! The kind of a column, by the evidence of all its values.
//!
//! A kind is chosen only when every value of the column is of it; null and a key that is absent say nothing. A
//! column of numbers that a double does not hold, of nested values or of several kinds is JSON: each value
//! stands as its own JSON text, exactly. Nothing here looks at a column's name.

use super::row::{string, tagged};
use switchover_core::census::FLOAT_EXACT_MAX;
use switchover_core::datetime::{TimeEvidence, Zone, parse_date, parse_timestamp};
use switchover_core::decimal;
use switchover_core::uuid_text::{self, UuidForm};
use switchover_core::value::Value;

/// What a column's cells are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Real,
    Text,
    Uuid,
    Date,
    Timestamp,
    TimestampTz,
    Json,
    /// Tagged blobs.
    Blob,
    /// Numbers, texts and tagged values.
    Any,
}

impl Kind {
    /// The declared type by which planner and dialects know it.
    pub(super) fn declared(self) -> &'static str {
        match self {
            Kind::Boolean => "BOOLEAN",
            Kind::Integer => "INTEGER",
            Kind::Real => "REAL",
            Kind::Text => "TEXT",
            Kind::Uuid => "UUID",
            Kind::Date => "DATE",
            Kind::Timestamp => "TIMESTAMP",
            Kind::TimestampTz => "TIMESTAMPTZ",
            Kind::Json => "JSON",
            Kind::Blob => "BLOB",
            Kind::Any => "",
        }
    }
}

/// What the values of a column are.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    pub(super) nulls: u64,
    booleans: u64,
    integers: u64,
    /// Integers beyond ±2^53, which a double does not hold exactly.
    integers_wide: u64,
    /// Other numbers that a double holds by value.
    reals: u64,
    /// Numbers that neither holds.
    numbers_exact: u64,
    /// Tagged blobs, and tagged reals and integers, which count among the others too.
    blobs: u64,
    reals_tagged: u64,
    integers_tagged: u64,
    nested: u64,
    pub(super) texts: u64,
    uuids: u64,
    uuid_form: Option<UuidForm>,
    dates: u64,
    timestamps: u64,
    time: TimeEvidence,
}

impl Evidence {
    /// Takes a value's text into account.
    pub(super) fn observe(&mut self, raw: &str, scratch: &mut Vec<u8>) {
        match raw.as_bytes().first() {
            Some(b'n') => self.nulls += 1,
            Some(b't' | b'f') => self.booleans += 1,
            Some(b'{') => match tagged(raw, scratch) {
                Some(Value::Bytes(_)) => self.blobs += 1,
                Some(Value::Int(integer)) => {
                    self.integer(integer);
                    self.integers_tagged += 1;
                }
                Some(_) => {
                    self.reals += 1;
                    self.reals_tagged += 1;
                }
                None => self.nested += 1,
            },
            Some(b'[') => self.nested += 1,
            Some(b'"') => match string(raw, scratch) {
                Some(text) => self.observe_text(text),
                None => self.nested += 1,
            },
            _ => self.observe_number(raw),
        }
    }

    /// Takes a text into account.
    pub(super) fn observe_text(&mut self, text: &[u8]) {
        // A column whose texts were not all of a form is not looked at for that form any more.
        if self.uuids == self.texts
            && let Some((_, form)) = uuid_text::parse(text)
            && self.uuid_form.is_none_or(|first| first == form)
        {
            self.uuid_form = Some(form);
            self.uuids += 1;
        } else if self.timestamps == self.texts
            && let Some(parsed) = parse_timestamp(text)
        {
            self.time.observe(&parsed);
            self.timestamps += 1;
        } else if self.dates == self.texts && parse_date(text).is_some() {
            self.dates += 1;
        }
        self.texts += 1;
    }

    fn integer(&mut self, integer: i64) {
        self.integers += 1;
        self.integers_wide += u64::from(integer.unsigned_abs() > FLOAT_EXACT_MAX);
    }

    /// Values that say by a tag what they are.
    fn tags(&self) -> u64 {
        self.blobs + self.reals_tagged + self.integers_tagged
    }

    fn observe_number(&mut self, raw: &str) {
        match raw.parse::<i64>() {
            // A double tells -0 from 0, and an integer does not.
            Ok(_) if raw == "-0" => self.reals += 1,
            Ok(integer) => self.integer(integer),
            Err(_) if decimal::survives(raw) => self.reals += 1,
            Err(_) => self.numbers_exact += 1,
        }
    }

    /// Tagged values that stand among others of no common kind: as JSON they would be objects, and no blobs or numbers.
    pub(super) fn lost_tags(&self) -> u64 {
        if self.kind() == Kind::Json { self.tags() } else { 0 }
    }

    /// Values other than null.
    pub(super) fn present(&self) -> u64 {
        self.booleans
            + self.integers
            + self.reals
            + self.numbers_exact
            + self.blobs
            + self.nested
            + self.texts
    }

    /// The kind, when all values are of one.
    pub(super) fn kind(&self) -> Kind {
        let present = self.present();
        let numbers = self.integers + self.reals;
        match present {
            0 => Kind::Text,
            _ if self.booleans == present => Kind::Boolean,
            _ if self.integers == present => Kind::Integer,
            _ if numbers == present && self.integers_wide == 0 && self.integers_tagged == 0 => Kind::Real,
            _ if self.blobs == present => Kind::Blob,
            _ if self.tags() > 0 && numbers + self.texts + self.blobs == present => Kind::Any,
            _ if self.texts != present => Kind::Json,
            _ if self.uuids == present => Kind::Uuid,
            _ if self.dates == present => Kind::Date,
            _ if self.timestamps == present => match self.time.format().map(|format| format.zone) {
                Some(Zone::None) => Kind::Timestamp,
                Some(Zone::Z | Zone::Offset | Zone::Go) => Kind::TimestampTz,
                None => Kind::Text,
            },
            _ => Kind::Text,
        }
    }

    /// Whether rows can be found by such values: texts, or integers, or both.
    pub(super) fn identifies(&self) -> bool {
        self.nulls == 0 && self.present() == self.texts + self.integers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], kind: Kind) {
        let mut evidence = Evidence::default();
        values.iter().for_each(|raw| evidence.observe(raw, &mut Vec::new()));
        assert_eq!(evidence.kind(), kind, "{values:?}");
    }

    #[test]
    fn all_values_decide_together() {
        check(&[], Kind::Text);
        check(&["null"], Kind::Text);
        check(&["true", "null", "false"], Kind::Boolean);
        check(&["true", "1"], Kind::Json);
        check(&["1", "-9223372036854775808"], Kind::Integer);
        check(&["1", "9223372036854775808"], Kind::Json);
        check(&["1", "2.5", "1e3", "0.1", "5e-324", "1.7976931348623157e308"], Kind::Real);
        check(&["-0"], Kind::Real);
        check(&["2.5", "9007199254740993"], Kind::Json);
        check(&["2.5", r#"{ "$switchover.real" : "-Infinity" }"#, "1"], Kind::Real);
        check(&[r#"{"$switchover.blob":"00ff"}"#, "null"], Kind::Blob);
        check(&[r#"{"$switchover.blob":"00ff"}"#, "\"a\"", "1", "1.5"], Kind::Any);
        check(&[r#"{"$switchover.blob":"00ff"}"#, "true"], Kind::Json);
        check(&[r#"{"$switchover.blob":"00f"}"#], Kind::Json);
        check(&["0.1000000000000000055511151231257827"], Kind::Json);
        check(&["1e400"], Kind::Json);
        check(&["1e-400"], Kind::Json);
        check(&["1e99999999999999999999"], Kind::Json);
        check(&["\"a\"", "1"], Kind::Json);
        check(&["{}", "[]"], Kind::Json);
        check(&["\"a\"", "\"0188d9c2-af00-7fff-0102-030405060708\""], Kind::Text);
        check(&["\"0188d9c2-af00-7fff-0102-030405060708\"", "null"], Kind::Uuid);
        check(
            &["\"0188d9c2-af00-7fff-0102-030405060708\"", "\"0188D9C2-AF00-7FFF-0102-030405060708\""],
            Kind::Text,
        );
        check(&["\"2024-02-29\""], Kind::Date);
        check(&["\"2024-02-29\"", "\"2024-02-29T00:00:00Z\""], Kind::Text);
        check(&["\"2024-02-29T00:00:00Z\""], Kind::TimestampTz);
        check(&["\"2024-02-29T00:00:00\"", "\"2024-02-29T00:00:00.5\""], Kind::Timestamp);
        check(&["\"2024-02-29T00:00:00\"", "\"2024-02-29T00:00:00Z\""], Kind::Text);
        check(&["\"2024-02-29T00:00:00+02:00\""], Kind::Text);
    }
}
