//! JSON arrays as arrays of the target's own elements: truth values, numbers, UUIDs, times, integers as binary64 holds them.
//!
//! Invariant: an element is taken only where it comes back as the same JSON value; times compare by the instant, or the
//! reading of a clock, that they are, and travel as microseconds. Absent: texts, and integers of a certain width, which
//! are [`crate::native`]'s own.

use crate::census::FLOAT_EXACT_MAX;
use crate::codec::Unfit;
use crate::decimal;
use crate::plan::LogicalType;
use crate::uuid_text::{self, UuidForm};
use serde_json::value::RawValue;
use std::io::Write as _;

fn unfit<T>(reason: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit(reason.into()))
}

/// Why an array with null in it does not fit where elements cannot be null.
pub(crate) const NO_NULLS: &str = "null within an array, which the target's arrays do not hold";

/// The elements of a JSON array, each as the JSON that it is.
pub fn elements(json: &[u8]) -> Result<Vec<Option<&RawValue>>, Unfit> {
    serde_json::from_slice(json).map_err(|_| Unfit("no JSON array".into()))
}

/// Writes the array as the target's side has it; the reason when an element is none of that type.
pub(crate) fn encode(
    of: LogicalType,
    nulls: bool,
    moment: impl Fn(&[u8]) -> Result<i64, Unfit>,
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    out.clear();
    out.push(b'[');
    for (at, element) in elements(json)?.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match element {
            None if !nulls => return unfit(NO_NULLS),
            None => out.extend_from_slice(b"null"),
            Some(raw) => one(of, &moment, raw.get(), out)?,
        }
    }
    out.push(b']');
    Ok(())
}

fn one(
    of: LogicalType,
    moment: &impl Fn(&[u8]) -> Result<i64, Unfit>,
    raw: &str,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    match of {
        LogicalType::Bool if matches!(raw, "true" | "false") => out.extend_from_slice(raw.as_bytes()),
        LogicalType::Int8 => match raw.parse::<i64>().ok().filter(|int| int.to_string() == raw) {
            Some(int) if int.unsigned_abs() <= FLOAT_EXACT_MAX => out.extend_from_slice(raw.as_bytes()),
            Some(_) => {
                return unfit(format!(
                    "{raw} in an array, an integer beyond 2^53, which the target would round"
                ));
            }
            None => return unfit(format!("{raw} in an array of integers")),
        },
        LogicalType::Float8 => {
            let (mut said, mut kept) = (Vec::new(), Vec::new());
            let double = raw.parse::<f64>().ok().filter(|_| decimal::parse(raw.as_bytes(), &mut said));
            if !double.is_some_and(|double| decimal::write_f64(double, &mut kept) && said == kept) {
                return unfit(format!("{raw} in an array, which is no number that a double holds exactly"));
            }
            out.extend_from_slice(raw.as_bytes());
        }
        LogicalType::Numeric(limits) => {
            let mut said = Vec::new();
            if !decimal::parse(raw.as_bytes(), &mut said) {
                return unfit(format!("{raw} in an array of numbers"));
            }
            crate::codec::fit_decimal(&said, limits)?;
            out.extend_from_slice(raw.as_bytes());
        }
        LogicalType::Uuid => {
            let text = raw.trim_matches('"').as_bytes();
            let own = uuid_text::parse(text)
                .is_some_and(|(uuid, _)| uuid_text::format(&uuid, UuidForm::LowerDashed) == text);
            if !own || raw.len() != text.len() + 2 {
                return unfit(format!("{raw} in an array, which is no UUID in lower case with dashes"));
            }
            out.extend_from_slice(raw.as_bytes());
        }
        LogicalType::Timestamp | LogicalType::TimestampTz => {
            let Ok(text) = serde_json::from_str::<String>(raw) else {
                return unfit(format!("{raw} in an array of times"));
            };
            // Writing into memory cannot fail.
            let _ = write!(out, "{}", moment(text.as_bytes())?);
        }
        _ => return unfit(format!("{raw} in an array of {of}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(of: LogicalType, json: &str) -> Result<String, String> {
        let moment = |text: &[u8]| {
            crate::moment::parse(text).map(|read| read.micros).ok_or_else(|| Unfit("no time".into()))
        };
        let mut out = Vec::new();
        encode(of, true, moment, json.as_bytes(), &mut out).map_err(|unfit| unfit.0)?;
        Ok(String::from_utf8(out).expect("JSON"))
    }

    #[test]
    fn elements_are_taken_only_where_they_come_back() {
        use LogicalType::{Bool, Float8, Int8, Numeric, TimestampTz, Uuid};
        for (of, json, expected) in [
            (Int8, "[9007199254740992, -1, 0, null]", "[9007199254740992,-1,0,null]"),
            (Bool, "[true, false, null]", "[true,false,null]"),
            (Float8, "[0.1, 1e300, -0.0, 5, null]", "[0.1,1e300,-0.0,5,null]"),
            (
                Numeric(None),
                "[1.50, 12345678901234567890.123456789]",
                "[1.50,12345678901234567890.123456789]",
            ),
            (Numeric(Some((4, 2))), "[12.34]", "[12.34]"),
            (
                Uuid,
                "[\"0188d9c2-af00-7fff-0102-030405060708\"]",
                "[\"0188d9c2-af00-7fff-0102-030405060708\"]",
            ),
            (
                TimestampTz,
                "[\"1970-01-01T00:00:01Z\", null, \"1970-01-01 01:00:00+01:00\"]",
                "[1000000,null,0]",
            ),
            (Bool, " [ ] ", "[]"),
        ] {
            assert_eq!(encoded(of, json).as_deref(), Ok(expected), "{json}");
        }
        assert_eq!(
            encode(Bool, false, |_| Ok(0), b"[true, null]", &mut Vec::new()),
            Err(Unfit(NO_NULLS.into()))
        );
        for (of, json) in [
            (Int8, "[9007199254740993]"),
            (Int8, "[1.0]"),
            (Int8, "[-0]"),
            (Int8, "[\"1\"]"),
            (Bool, "[1]"),
            (Bool, "[\"true\"]"),
            (Float8, "[\"1\"]"),
            (Float8, "[0.10000000000000000001]"),
            (Float8, "[1e400]"),
            (Float8, "[9007199254740993]"),
            (Numeric(None), "[\"1\"]"),
            (Numeric(Some((4, 2))), "[123.45]"),
            (Uuid, "[\"0188D9C2-AF00-7FFF-0102-030405060708\"]"),
            (Uuid, "[\"0188d9c2af007fff0102030405060708\"]"),
            (Uuid, "[\"x\"]"),
            (TimestampTz, "[1]"),
            (TimestampTz, "[\"soon\"]"),
            (Bool, "[[true]]"),
            (Bool, "{}"),
            (Bool, "true"),
        ] {
            assert!(encoded(of, json).is_err(), "{json}");
        }
    }
}
