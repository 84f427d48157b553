//! The way back: values of a store that types its columns, into one that keeps integers, reals, texts
//! and blobs.
//!
//! A reverse codec is named by the codec that would carry the text or number forth again. Invariant: what
//! is written says exactly what was read, and equal canonical bytes mean equal values: a time is the text
//! of it, whatever its year; a decimal number is compared by value. Absent on purpose: JSON and every
//! type without a form of its own here, which a source hands over as its own text.

use crate::codec::{self, Codec, Unfit, tag};
use crate::datetime::{self, Fraction, Separator, TimeFormat, Zone};
use crate::decimal;
use crate::plan::LogicalType;
use crate::uuid_text::{self, UuidForm};
use crate::value::Value;

/// PostgreSQL's latest timestamp and date: `infinity`.
pub const INFINITE_MICROS: i64 = i64::MAX;

/// Digits that every decimal number may have and still be the shortest decimal of some binary64 number.
pub const FLOAT_DIGITS_MAX: usize = 15;

/// How times are written: no fraction where it is zero, else six digits. Of the forms without loss it is
/// the one that the common libraries read alike (several read `.5` as five microseconds).
const fn time_format(zone: Zone) -> TimeFormat {
    TimeFormat { separator: Separator::Space, fraction: Fraction::OmitZero(6), zone }
}

/// The codec of a column whose store says its type, where the values need one.
#[must_use]
pub fn of_kind(kind: LogicalType) -> Option<Codec> {
    let of = match kind {
        LogicalType::Bool => Codec::BoolInt,
        LogicalType::Numeric(limits) => Codec::Decimal { limits },
        LogicalType::Uuid => Codec::UuidText { form: UuidForm::LowerDashed },
        LogicalType::Date => Codec::Date,
        LogicalType::Timestamp => Codec::Timestamp { format: time_format(Zone::None) },
        LogicalType::TimestampTz => Codec::Timestamp { format: time_format(Zone::Offset) },
        LogicalType::Int2
        | LogicalType::Int4
        | LogicalType::Int8
        | LogicalType::Float4
        | LogicalType::Float8
        | LogicalType::Char(_)
        | LogicalType::Time
        | LogicalType::Json
        | LogicalType::TextArray
        | LogicalType::Array(_)
        | LogicalType::Inet
        | LogicalType::Cidr
        | LogicalType::Macaddr
        | LogicalType::Interval
        | LogicalType::Vector
        | LogicalType::Text
        | LogicalType::Varchar(_)
        | LogicalType::Bytea
        | LogicalType::Jsonb
        | LogicalType::Declared
        | LogicalType::Any => return None,
    };
    Some(Codec::Reverse { of: Box::new(of) })
}

/// Decimal numbers as text, for columns of which some value is no number that a double holds.
#[must_use]
pub fn decimal_text() -> Codec {
    Codec::Reverse { of: Box::new(Codec::Text { chars_max: None }) }
}

/// Whether an integer of 64 bits or a double holds the decimal number, so that it is the shortest decimal
/// of that double.
#[must_use]
pub fn is_number(canonical: &[u8]) -> bool {
    number(canonical).is_some()
}

/// The integer, or else the double, that says the decimal number exactly.
pub(crate) fn number(canonical: &[u8]) -> Option<Value<'static>> {
    let parts = decimal::parts(canonical)?;
    if (0..=18).contains(&parts.exponent) {
        let digits: i128 =
            std::str::from_utf8(parts.digits).ok()?.parse().ok().filter(|_| parts.digits.len() <= 19)?;
        // At most 19 digits times 10^18: within 128 bits.
        let whole = digits * 10i128.pow(u32::try_from(parts.exponent).ok()?);
        if let Ok(whole) = i64::try_from(if parts.negative { -whole } else { whole }) {
            return Some(Value::Int(whole));
        }
    }
    let float: f64 = std::str::from_utf8(canonical).ok()?.parse().ok()?;
    if parts.digits.len() <= FLOAT_DIGITS_MAX && (1e-290..1e290).contains(&float.abs()) {
        return Some(Value::Float(float));
    }
    let mut back = Vec::with_capacity(24);
    (decimal::write_f64(float, &mut back) && back == canonical).then_some(Value::Float(float))
}

/// Appends a value as PostgreSQL would write it, with the codec's form where it has one.
fn text_of(of: &Codec, value: Value<'_>, out: &mut Vec<u8>) -> bool {
    match (of, value) {
        (Codec::UuidText { form }, Value::Uuid(uuid)) => uuid_text::write(&uuid, *form, out),
        (Codec::Date, Value::Date(days)) => date(days, out),
        (Codec::Timestamp { format }, Value::Timestamp(micros)) if format.zone == Zone::None => {
            timestamp(micros, format, out);
        }
        (Codec::Timestamp { format }, Value::TimestampTz(micros)) if format.zone != Zone::None => {
            timestamp(micros, format, out);
        }
        (Codec::Text { .. }, Value::Decimal(digits)) => plain_decimal(digits, out),
        _ => return false,
    }
    true
}

pub(crate) fn date(days: i32, out: &mut Vec<u8>) {
    // The decoder moves -infinity with the epoch, and infinity stays the largest: no date is near them.
    if days == i32::MAX {
        return out.extend_from_slice(b"infinity");
    }
    if days < MINUS_INFINITE_DAYS_BELOW {
        return out.extend_from_slice(b"-infinity");
    }
    let (year, month, day) = datetime::civil_from_days(i64::from(days));
    let era = if year < 1 { " BC" } else { "" };
    let year = if year < 1 { 1 - year } else { year };
    out.extend_from_slice(format!("{year:04}-{month:02}-{day:02}{era}").as_bytes());
}

/// Dates begin in 4713 BC, 2.4 million days before the epoch: what is far below is `-infinity`.
const MINUS_INFINITE_DAYS_BELOW: i32 = -1_000_000_000;

/// And timestamps with them.
const MINUS_INFINITE_MICROS_BELOW: i64 = -1_000_000_000_000_000_000;

const MICROS_PER_DAY: i64 = 86_400_000_000;

pub(crate) fn timestamp(micros: i64, format: &TimeFormat, out: &mut Vec<u8>) {
    if micros == INFINITE_MICROS {
        return out.extend_from_slice(b"infinity");
    }
    if micros < MINUS_INFINITE_MICROS_BELOW {
        return out.extend_from_slice(b"-infinity");
    }
    let days = micros.div_euclid(MICROS_PER_DAY);
    if (1..=9999).contains(&datetime::civil_from_days(days).0) {
        return datetime::format_timestamp(micros, format, out);
    }
    by_hand(days, micros.rem_euclid(MICROS_PER_DAY), format, out);
}

/// Appends a timestamp that is later than a [`Value::Timestamp`] can say (from the year 294247 on), in the form
/// that all others get. Its days since 1970, and the microseconds of its day.
pub fn late_timestamp(days: i64, of_day: i64, zoned: bool, out: &mut Vec<u8>) {
    let zone = if zoned { Zone::Offset } else { Zone::None };
    by_hand(days, of_day, &time_format(zone), out);
}

/// The date is written by hand; everything behind it as in any other year.
fn by_hand(days: i64, of_day: i64, format: &TimeFormat, out: &mut Vec<u8>) {
    let (year, month, day) = datetime::civil_from_days(days);
    let era: &[u8] = if year < 1 { b" BC" } else { b"" };
    let year = if year < 1 { 1 - year } else { year };
    out.extend_from_slice(format!("{year:04}-{month:02}-{day:02}").as_bytes());
    let mut rest = Vec::with_capacity(32);
    datetime::format_timestamp(of_day, format, &mut rest);
    // 1970-01-01 is ten bytes.
    out.extend_from_slice(&rest[10..]);
    out.extend_from_slice(era);
}

/// A canonical decimal written plainly, or as the word that it is (`NaN`, `Infinity`).
pub fn plain_decimal(canonical: &[u8], out: &mut Vec<u8>) {
    let Some(parts) = decimal::parts(canonical) else { return out.extend_from_slice(canonical) };
    if parts.negative {
        out.push(b'-');
    }
    let digits = parts.digits;
    let zeros = |count: usize, out: &mut Vec<u8>| out.resize(out.len() + count, b'0');
    if parts.exponent >= 0 {
        out.extend_from_slice(digits);
        // PostgreSQL's numbers end at 131,072 digits before the point and 16,383 behind it.
        return zeros(usize::try_from(parts.exponent).unwrap_or(0), out);
    }
    let behind = usize::try_from(parts.exponent.unsigned_abs()).unwrap_or(usize::MAX);
    match digits.len().checked_sub(behind).filter(|whole| *whole > 0) {
        Some(whole) => {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        None => {
            out.extend_from_slice(b"0.");
            zeros(behind - digits.len(), out);
            out.extend_from_slice(digits);
        }
    }
}

/// The target's value.
pub(crate) fn encode<'a>(of: &Codec, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Unfit> {
    match (of, value) {
        (Codec::BoolInt, Value::Bool(b)) => Ok(Value::Int(i64::from(b))),
        (Codec::Decimal { .. }, Value::Decimal(digits)) => number(digits).ok_or_else(|| {
            Unfit("a decimal number that neither an integer nor a double holds exactly".into())
        }),
        // A source hands over its own text of a time that is no `Value::Timestamp`: see `late_timestamp`.
        (Codec::Timestamp { .. }, Value::Text(_)) => Ok(value),
        _ => {
            scratch.clear();
            if text_of(of, value, scratch) {
                return Ok(Value::Text(scratch));
            }
            Err(Unfit(format!("{} in a column made of {}", value.class(), of.expects())))
        }
    }
}

/// Appends what the source's cell says; `false` when the codec knows no such cell.
pub(crate) fn canonical_source(of: &Codec, value: Value<'_>, out: &mut Vec<u8>) -> bool {
    match (of, value) {
        (Codec::BoolInt, Value::Bool(b)) => codec::int(i64::from(b), out),
        (Codec::Decimal { .. }, Value::Decimal(digits)) => codec::bytes(tag::DECIMAL, digits, out),
        _ => {
            // Long texts are decimals alone; the rest fits what is reserved.
            let mut text = Vec::with_capacity(40);
            if !text_of(of, value, &mut text) {
                return false;
            }
            codec::bytes(tag::TEXT, &text, out);
        }
    }
    true
}

/// Appends what the target's cell says about the source's; `false` when it is none that was written.
pub(crate) fn canonical_target(of: &Codec, value: Value<'_>, out: &mut Vec<u8>) -> bool {
    match (of, value) {
        (Codec::BoolInt, Value::Int(i)) => codec::int(i, out),
        (Codec::Decimal { .. }, Value::Int(_) | Value::Float(_)) => codec::decimal_cell(value, out),
        (
            Codec::UuidText { .. } | Codec::Date | Codec::Timestamp { .. } | Codec::Text { .. },
            Value::Text(text),
        ) => codec::bytes(tag::TEXT, text, out),
        _ => return false,
    }
    true
}

/// Which reverse codecs give the same canonical bytes.
pub(crate) fn kind(of: &Codec) -> u8 {
    match of {
        Codec::BoolInt => 10,
        Codec::Decimal { .. } => 11,
        Codec::UuidText { .. } => 12,
        Codec::Date => 13,
        Codec::Timestamp { .. } => 14,
        _ => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(codec: &Codec, value: Value<'_>) -> String {
        let mut scratch = Vec::new();
        match codec.encode(value, &mut scratch).expect("fits") {
            Value::Text(text) => String::from_utf8(text.to_vec()).expect("ascii"),
            other => format!("{other:?}"),
        }
    }

    fn comes_back(codec: &Codec, value: Value<'_>) {
        let (mut scratch, mut other) = (Vec::new(), Vec::new());
        let encoded = codec.encode(value, &mut scratch).expect("fits");
        let (mut source, mut target) = (Vec::new(), Vec::new());
        codec.canonical_source(value, &mut source).expect("known");
        codec.canonical_target(encoded, &mut other, &mut target);
        assert_eq!(source, target, "{codec:?} {value:?}");
    }

    #[test]
    fn times_of_all_years_are_what_postgresql_writes() {
        let codec = |kind| of_kind(kind).expect("it has one");
        let (date, naive, zoned) =
            (codec(LogicalType::Date), codec(LogicalType::Timestamp), codec(LogicalType::TimestampTz));
        for (days, expected) in [
            (0, "1970-01-01"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-2_440_588, "4714-11-24 BC"),
            (2_932_897, "10000-01-01"),
            (i32::MAX, "infinity"),
            (i32::MIN + 10_957, "-infinity"),
        ] {
            assert_eq!(text(&date, Value::Date(days)), expected);
        }
        for (micros, expected) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59.999999"),
            (-719_163 * MICROS_PER_DAY + 500_000, "0001-12-31 00:00:00.500000 BC"),
            (2_932_897 * MICROS_PER_DAY, "10000-01-01 00:00:00"),
            (i64::MAX, "infinity"),
            (i64::MIN + 946_684_800_000_000, "-infinity"),
        ] {
            assert_eq!(text(&naive, Value::Timestamp(micros)), expected);
        }
        assert_eq!(text(&zoned, Value::TimestampTz(500_000)), "1970-01-01 00:00:00.500000+00:00");
        let mut scratch = Vec::new();
        assert!(zoned.encode(Value::Timestamp(0), &mut scratch).is_err(), "a naive time is no instant");
    }

    #[test]
    fn decimals_are_numbers_where_one_says_them_and_text_elsewhere() {
        for (canonical, number, plain) in [
            ("0e0", Some(Value::Int(0)), "0"),
            ("1e18", Some(Value::Int(1_000_000_000_000_000_000)), "1000000000000000000"),
            ("9223372036854775807e0", Some(Value::Int(i64::MAX)), "9223372036854775807"),
            ("-9223372036854775808e0", Some(Value::Int(i64::MIN)), "-9223372036854775808"),
            ("9223372036854775808e0", None, "9223372036854775808"),
            ("125e-2", Some(Value::Float(1.25)), "1.25"),
            ("-1e-3", Some(Value::Float(-0.001)), "-0.001"),
            ("1e300", Some(Value::Float(1e300)), ""),
            ("1234567890123456789e-4", None, "123456789012345.6789"),
            ("1e-400", None, ""),
            ("1e400", None, ""),
            ("NaN", None, "NaN"),
            ("-Infinity", None, "-Infinity"),
        ] {
            assert_eq!(super::number(canonical.as_bytes()), number, "{canonical}");
            let value = Value::Decimal(canonical.as_bytes());
            comes_back(&decimal_text(), value);
            if number.is_some() {
                comes_back(&of_kind(LogicalType::Numeric(None)).expect("it has one"), value);
            }
            if !plain.is_empty() {
                assert_eq!(text(&decimal_text(), value), plain);
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_comes_back_and_no_two_are_one(a in any::<i64>(), b in any::<i64>(), exponent in -30i64..30) {
            let mut digits = Vec::new();
            decimal::write_parts(a < 0, a.unsigned_abs().to_string().as_bytes(), exponent, &mut digits);
            comes_back(&decimal_text(), Value::Decimal(&digits));
            if is_number(&digits) {
                comes_back(&of_kind(LogicalType::Numeric(None)).expect("one"), Value::Decimal(&digits));
            }
            let (a, b) = (a / 8, b / 8);
            for (kind, one, other) in [
                (LogicalType::Timestamp, Value::Timestamp(a), Value::Timestamp(b)),
                (LogicalType::TimestampTz, Value::TimestampTz(a), Value::TimestampTz(b)),
                (LogicalType::Date, Value::Date(a as i32 / 2), Value::Date(b as i32 / 2)),
            ] {
                let codec = of_kind(kind).expect("one");
                comes_back(&codec, one);
                let infinite = |text: &String| text.ends_with("infinity");
                let (x, y) = (text(&codec, one), text(&codec, other));
                prop_assert_eq!(one == other || infinite(&x) && infinite(&y), x == y);
            }
        }
    }
}
