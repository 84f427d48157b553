//! The way back of values in columns that an application's own migrations made: what the target holds, as the source's column
//! takes it.
//!
//! Invariant: what is given encodes to the target's value again, or is an [`Unfit`]. A value that compares by value comes back in one
//! form, which need not be the one in which the source had it. Absent: columns of stores that are never an owner.

use super::{Native, TrimSpaces, unfit};
use crate::codec::Unfit;
use crate::datetime;
use crate::plan::LogicalType;
use crate::value::Value;
use std::io::Write as _;

impl Native {
    /// Whether values of such a column can be carried back.
    pub fn comes_back(&self) -> bool {
        match self {
            Native::Int { .. }
            | Native::Float4
            | Native::Padded { .. }
            | Native::Label { .. }
            | Native::JsonText
            | Native::TimeOfDay { .. }
            | Native::TextArray { .. }
            | Native::IntArray { .. }
            | Native::Inet
            | Native::Cidr
            | Native::Macaddr => true,
            // A time in a list has no form of its own there.
            Native::List { of, .. } => !matches!(of, LogicalType::Timestamp | LogicalType::TimestampTz),
            // Without either nothing says how the source writes a time.
            Native::Moment { back, epoch, .. } => back.is_some() || epoch.is_some(),
            // Nothing says how the source writes a span.
            Native::Interval { .. }
            | Native::Nested { .. }
            | Native::Unicode
            | Native::Safe
            | Native::Digits
            | Native::Finite
            | Native::SomeBytes
            | Native::Vector { .. } => false,
        }
    }

    /// The source's value of a target's.
    pub(crate) fn back<'a>(&self, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Unfit> {
        let source = match (self, value) {
            (_, Value::Null) => return Ok(value),
            (Native::Int { .. }, Value::Int(_))
            | (Native::Float4, Value::Float(_))
            | (Native::Label { .. } | Native::Inet | Native::Cidr | Native::Macaddr, Value::Text(_)) => value,
            (Native::Padded { .. }, Value::Text(text)) => Value::Text(text.trim_ascii_end_spaces()),
            (
                Native::JsonText | Native::TextArray { .. } | Native::IntArray { .. } | Native::List { .. },
                Value::Json(text),
            ) => Value::Text(text),
            (Native::Moment { .. }, Value::Timestamp(micros) | Value::TimestampTz(micros)) => {
                self.written(micros, scratch)?
            }
            (Native::TimeOfDay { .. }, Value::Time(micros)) => {
                time_of_day(micros, scratch);
                Value::Text(scratch)
            }
            (native, other) => {
                return unfit(format!("{} in a column of {}", other.class(), native.expects()));
            }
        };
        let mut again = Vec::new();
        let same = match (self.encode(source, &mut again)?, value) {
            (Value::Text(there), Value::Text(text)) if matches!(self, Native::Padded { .. }) => {
                there == text.trim_ascii_end_spaces()
            }
            (there, value) => there == value,
        };
        if same {
            Ok(source)
        } else {
            unfit(format!("{} that the source's column cannot say exactly", value.class()))
        }
    }

    /// A time as the source's column writes it.
    fn written<'a>(&self, micros: i64, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Unfit> {
        match self {
            Native::Moment { back: Some(format), .. } => {
                scratch.clear();
                datetime::format_timestamp(micros, format, scratch);
                Ok(Value::Text(scratch))
            }
            Native::Moment { epoch: Some(unit), .. } if micros % unit.micros() == 0 => {
                Ok(Value::Int(micros / unit.micros()))
            }
            Native::Moment { epoch: Some(unit), .. } => unfit(format!(
                "a time that is no whole number of {}, which the source's numbers count",
                unit.word()
            )),
            _ => unfit("a time, and nothing says how the source writes it"),
        }
    }
}

const MICROS_PER_SECOND: i64 = 1_000_000;

/// `HH:MM:SS`, with all six digits of a fraction that is not zero.
fn time_of_day(micros: i64, out: &mut Vec<u8>) {
    let (seconds, part) = (micros.div_euclid(MICROS_PER_SECOND), micros.rem_euclid(MICROS_PER_SECOND));
    out.clear();
    // Writing into memory cannot fail.
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if part != 0 {
        let _ = write!(out, ".{part:06}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::{Fraction, Separator, TimeFormat, Zone};
    use crate::moment::EpochUnit;
    use crate::value::OwnedValue;

    fn back(native: &Native, value: Value<'_>) -> Option<OwnedValue> {
        native.back(value, &mut Vec::new()).ok().map(|value| value.to_owned_value())
    }

    fn moment(zoned: bool, utc: bool, zone: Zone, epoch: Option<EpochUnit>) -> Native {
        let format = TimeFormat { separator: Separator::Space, fraction: Fraction::OmitZero(6), zone };
        let back = epoch.is_none().then_some(format);
        Native::Moment { zoned, digits: 6, utc, epoch, cut: false, back }
    }

    #[test]
    fn what_the_target_holds_comes_back_as_the_source_writes_it() {
        let label = Native::Label { labels: vec!["on".into()] };
        let (noon, instant) = (Value::Timestamp(43_200_000_000), Value::TimestampTz(43_200_000_001));
        for (native, value, expected) in [
            (Native::Int { bytes: 2 }, Value::Int(-7), Value::Int(-7)),
            (Native::Float4, Value::Float(0.5), Value::Float(0.5)),
            (Native::Padded { chars: 4 }, Value::Text(b"ab  "), Value::Text(b"ab")),
            (label.clone(), Value::Text(b"on"), Value::Text(b"on")),
            (Native::JsonText, Value::Json(b"{ }"), Value::Text(b"{ }")),
            (Native::IntArray { bytes: 4 }, Value::Json(b"[1, null]"), Value::Text(b"[1, null]")),
            (Native::Inet, Value::Text(b"10.0.0.0/8"), Value::Text(b"10.0.0.0/8")),
            (Native::TimeOfDay { digits: 6 }, Value::Time(1_500_000), Value::Text(b"00:00:01.500000")),
            (moment(false, false, Zone::None, None), noon, Value::Text(b"1970-01-01 12:00:00")),
            (moment(true, true, Zone::None, None), instant, Value::Text(b"1970-01-01 12:00:00.000001")),
            (
                moment(true, false, Zone::Offset, None),
                instant,
                Value::Text(b"1970-01-01 12:00:00.000001+00:00"),
            ),
            (moment(true, false, Zone::None, Some(EpochUnit::Micros)), instant, Value::Int(43_200_000_001)),
        ] {
            assert!(native.comes_back(), "{native:?}");
            assert_eq!(back(&native, value), Some(expected.to_owned_value()), "{native:?} {value:?}");
            assert_eq!(back(&native, Value::Null), Some(OwnedValue::Null));
        }
        for (native, value) in [
            (Native::Int { bytes: 2 }, Value::Int(32_768)),
            (Native::Float4, Value::Float(f64::NAN)),
            (label, Value::Text(b"off")),
            (Native::TextArray { nulls: true, chars: None }, Value::Json(b"[[\"a\"]]")),
            (Native::TimeOfDay { digits: 6 }, Value::Time(86_400_000_000)),
            // An instant that would be written without its zone, and nothing says that it is one of UTC.
            (moment(true, false, Zone::None, None), instant),
            (moment(true, false, Zone::Offset, None), Value::TimestampTz(i64::MAX)),
            (moment(true, false, Zone::None, Some(EpochUnit::Seconds)), instant),
        ] {
            assert_eq!(back(&native, value), None, "{native:?} {value:?}");
        }
    }
}
