//! One cell of a plan's column as the server's wire has it, and back. Pure.
//!
//! Times are RFC 3339 in UTC; a number whose digits matter is the text of them. What comes back is read strictly: what the
//! property should not hold is given as what it is, so that a comparison sees it.

use super::value::{Wire, instant};
use std::borrow::Cow;
use switchover_core::datetime::{self, Fraction, Separator, TimeFormat, Zone};
use switchover_core::plan::{Element, LogicalType};
use switchover_core::value::{Value, utf8};
use switchover_core::{decimal, reverse, uuid_text};

/// Instants as the server writes them: the zone is UTC, and zeros at a fraction's end are left out.
const RFC_3339: TimeFormat =
    TimeFormat { separator: Separator::T, fraction: Fraction::Trimmed, zone: Zone::Z };

const DAY_MICROS: i64 = 86_400_000_000;

/// What is sent for an array of such elements, as the column's codec made it; `None` where it is none. `texts` keeps what is borrowed.
pub(super) fn list<'a>(json: &[u8], of: Element, texts: &'a mut Vec<String>) -> Option<Wire<'a>> {
    Some(match of {
        Element::Int8 => Wire::Ints(serde_json::from_slice(json).ok()?),
        Element::Float8 => Wire::Numbers(serde_json::from_slice(json).ok()?),
        Element::Bool => Wire::Bools(serde_json::from_slice(json).ok()?),
        Element::Uuid => {
            let all: Vec<&str> = serde_json::from_slice(json).ok()?;
            let uuid = |text: &&str| uuid_text::parse(text.as_bytes()).map(|(uuid, _)| uuid);
            Wire::Uuids(all.iter().map(uuid).collect::<Option<_>>()?)
        }
        Element::Timestamp | Element::TimestampTz => {
            let all: Vec<i64> = serde_json::from_slice(json).ok()?;
            let mut scratch = Vec::new();
            for micros in all {
                scratch.clear();
                datetime::format_timestamp(micros, &RFC_3339, &mut scratch);
                texts.push(std::str::from_utf8(&scratch).ok()?.to_owned());
            }
            Wire::Dates(texts.iter().map(String::as_str).collect())
        }
        _ => return None,
    })
}

/// What is sent for a target's cell that is neither NULL nor an array; `None` where the server has no form for it.
pub(super) fn to_wire<'a>(value: Value<'a>, scratch: &'a mut Vec<u8>) -> Option<Wire<'a>> {
    scratch.clear();
    match value {
        Value::Int(number) => Some(Wire::Int(number)),
        Value::Float(number) => Some(Wire::Number(number)),
        Value::Bool(truth) => Some(Wire::Bool(truth)),
        Value::Text(text) => utf8(text).map(Wire::Text),
        Value::Uuid(uuid) => Some(Wire::Uuid(uuid)),
        Value::Bytes(bytes) => Some(Wire::Blob(Cow::Borrowed(bytes))),
        Value::Decimal(canonical) => {
            reverse::plain_decimal(canonical, scratch);
            utf8(scratch).map(Wire::Text)
        }
        Value::Date(days) => moment(i64::from(days) * DAY_MICROS, scratch),
        Value::Timestamp(micros) | Value::TimestampTz(micros) => moment(micros, scratch),
        Value::Null | Value::Time(_) | Value::Json(_) => None,
    }
}

fn moment(micros: i64, scratch: &mut Vec<u8>) -> Option<Wire<'_>> {
    datetime::format_timestamp(micros, &RFC_3339, scratch);
    utf8(scratch).map(Wire::Date)
}

/// The cell that the wire's value says in a column of that type.
pub(super) fn of_wire<'a>(wire: &'a Wire<'_>, ty: LogicalType, scratch: &'a mut Vec<u8>) -> Value<'a> {
    match wire {
        Wire::Int(number) => Value::Int(*number),
        Wire::Number(number) => Value::Float(*number),
        Wire::Bool(truth) => Value::Bool(*truth),
        Wire::Uuid(uuid) => Value::Uuid(*uuid),
        Wire::Blob(bytes) => Value::Bytes(bytes),
        Wire::Texts(texts) => array(texts, scratch),
        Wire::EmptyList => array(&[], scratch),
        Wire::Date(text) => of_date(text, ty).unwrap_or(Value::Text(text.as_bytes())),
        Wire::Text(text) => match ty {
            LogicalType::Numeric(_) => {
                scratch.clear();
                match decimal::parse(text.as_bytes(), scratch) {
                    true => Value::Decimal(scratch),
                    false => Value::Text(text.as_bytes()),
                }
            }
            _ => Value::Text(text.as_bytes()),
        },
        Wire::Object(object) => json(object, scratch),
        Wire::Objects(list) => json(list, scratch),
        Wire::Ints(list) => json(list, scratch),
        Wire::Numbers(list) => json(list, scratch),
        Wire::Bools(list) => json(list, scratch),
        Wire::Uuids(list) => {
            let texts = list.iter().map(|uuid| uuid::Uuid::from_bytes(*uuid).to_string());
            json(&texts.collect::<Vec<_>>(), scratch)
        }
        Wire::Dates(list) => match micros(list, ty) {
            Some(micros) => json(&micros, scratch),
            None => json(list, scratch),
        },
        // No column is of these: as a text that no column says.
        other => Value::Json(other.kind().as_bytes()),
    }
}

fn json<'a>(value: &impl serde::Serialize, scratch: &'a mut Vec<u8>) -> Value<'a> {
    scratch.clear();
    // Writing into memory cannot fail, and the keys are texts.
    let _ = serde_json::to_writer(&mut *scratch, value);
    Value::Json(scratch)
}

fn array<'a>(texts: &[&str], scratch: &'a mut Vec<u8>) -> Value<'a> {
    scratch.clear();
    // Writing into memory cannot fail, and texts have no keys that could be none.
    let _ = serde_json::to_writer(&mut *scratch, texts);
    Value::Json(scratch)
}

/// The instants of a list, where all are such as the column's codec makes.
fn micros(list: &[&str], ty: LogicalType) -> Option<Vec<i64>> {
    let (LogicalType::Array(Element::Timestamp | Element::TimestampTz), micros) =
        (ty, list.iter().map(|text| micros_of(text)))
    else {
        return None;
    };
    micros.collect()
}

/// The instant that a text says, whatever its offset: others may have written the same one with another. None with digits beyond
/// microseconds, which no column's codec makes.
fn micros_of(text: &str) -> Option<i64> {
    if let Some(read) = datetime::parse_timestamp(text.as_bytes()) {
        return Some(read.micros);
    }
    let (seconds, nanos) = instant(text)?;
    (nanos % 1_000 == 0).then(|| seconds * 1_000_000 + i64::from(nanos / 1_000))
}

fn of_date(text: &str, ty: LogicalType) -> Option<Value<'static>> {
    let micros = micros_of(text)?;
    Some(match ty {
        LogicalType::TimestampTz => Value::TimestampTz(micros),
        LogicalType::Timestamp => Value::Timestamp(micros),
        LogicalType::Date if micros.rem_euclid(DAY_MICROS) == 0 => {
            Value::Date(i32::try_from(micros.div_euclid(DAY_MICROS)).ok()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back() {
        let mut digits = Vec::new();
        assert!(decimal::parse(b"9223372036854775807.5", &mut digits));
        for (value, ty, wanted) in [
            (Value::Int(-(1 << 53)), LogicalType::Int8, Wire::Int(-(1 << 53))),
            (Value::Text(b"a\0b"), LogicalType::Text, Wire::Text("a\0b")),
            (Value::Bytes(b"\xff"), LogicalType::Bytea, Wire::Blob(Cow::Borrowed(b"\xff"))),
            (Value::Decimal(&digits), LogicalType::Numeric(None), Wire::Text("9223372036854775807.5")),
            (Value::Date(-1), LogicalType::Date, Wire::Date("1969-12-31T00:00:00Z")),
            (Value::Timestamp(1), LogicalType::Timestamp, Wire::Date("1970-01-01T00:00:00.000001Z")),
            (Value::TimestampTz(-500_000), LogicalType::TimestampTz, Wire::Date("1969-12-31T23:59:59.5Z")),
        ] {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            let wire = to_wire(value, &mut one).expect("a form");
            assert_eq!(wire, wanted, "{value:?}");
            assert_eq!(of_wire(&wire, ty, &mut other), value, "{value:?}");
        }
    }

    #[test]
    fn an_instant_is_the_same_with_any_offset_and_another_by_a_nanosecond() {
        let mut scratch = Vec::new();
        let mut seen = |text: &str| {
            let wire = Wire::Date(text);
            matches!(
                of_wire(&wire, LogicalType::TimestampTz, &mut scratch),
                Value::TimestampTz(1_709_297_550_500_000)
            )
        };
        assert!(seen("2024-03-01T12:52:30.5Z") && seen("2024-03-01T18:22:30.5+05:30"));
        assert!(!seen("2024-03-01T18:22:30.5Z") && !seen("2024-03-01T18:22:30.500000001+05:30"));
    }

    #[test]
    fn what_a_property_should_not_hold_is_seen() {
        let mut scratch = Vec::new();
        for (wire, ty, seen) in [
            (Wire::Number(-0.0), LogicalType::Int8, Value::Float(-0.0)),
            (Wire::Date("1970-01-01T00:00:01Z"), LogicalType::Date, Value::Text(b"1970-01-01T00:00:01Z")),
            (Wire::Text("x"), LogicalType::Numeric(None), Value::Text(b"x")),
            (Wire::EmptyList, LogicalType::TextArray, Value::Json(b"[]")),
            (Wire::Geo(1.0, 2.0), LogicalType::Text, Value::Json(b"geoCoordinates")),
        ] {
            assert_eq!(of_wire(&wire, ty, &mut scratch), seen);
        }
    }
}
