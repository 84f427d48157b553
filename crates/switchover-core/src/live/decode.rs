//! Rows of the target as the source would hold them, for the reverse window; and keys in both directions.
//!
//! Invariant: what is given encodes to the target's value again, or is refused: nothing is cut or rounded on the
//! way back.

use crate::codec::{Codec, Unfit};
use crate::datetime::{self, Fraction, TimeFormat, Zone};
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::plan::{ColumnPlan, TablePlan};
use crate::reverse;
use crate::uuid_text;
use crate::value::{OwnedValue, Row, Rows, Value};

const OPERATION: &str = "carry a row back to the source";

/// Appends to `out` the target's rows as the source would hold them, generated columns as they are, and NULL for those that the
/// source does not have.
///
/// # Errors
/// `Refused` for a value that the source's column cannot hold exactly, with table, key and column.
pub fn decode(table: &TablePlan, rows: &Rows, out: &mut Rows) -> Result<()> {
    let mut scratch = Vec::new();
    for row in rows.iter() {
        for (field, column) in table.columns.iter().enumerate() {
            if column.added {
                out.push(Value::Null);
                continue;
            }
            let value = back(&column.codec, row.value(field), &mut scratch)
                .map_err(|unfit| refused(table, column, row, field, unfit))?;
            out.push(value);
        }
    }
    Ok(())
}

fn refused(table: &TablePlan, column: &ColumnPlan, row: Row<'_>, field: usize, unfit: Unfit) -> Error {
    let key: Vec<String> = table
        .key_fields()
        .iter()
        .map(|at| format!("{}={}", table.columns[*at].target, row.value(*at).shown()))
        .collect();
    Error::new(Kind::Refused, OPERATION)
        .table(table.source.clone())
        .key(key.join(", "))
        .column(column.source.clone())
        .detail(format!("{}: {}", row.value(field).shown(), unfit.0))
        .hint("change the value on the target; until then the target's changes wait in its log")
}

/// Keys of the target as the source holds them.
///
/// # Errors
/// As [`decode`].
pub fn decode_keys(table: &TablePlan, keys: &[Vec<OwnedValue>]) -> Result<Vec<Vec<OwnedValue>>> {
    each(table, keys, |codec, value, scratch| back(codec, value, scratch).map(|value| value.to_owned_value()))
}

/// Keys of the source as the target holds them.
///
/// # Errors
/// `Refused` for a key that the target cannot hold: no row of it was ever written there.
pub fn encode_keys(table: &TablePlan, keys: &[Vec<OwnedValue>]) -> Result<Vec<Vec<OwnedValue>>> {
    each(table, keys, |codec, value, scratch| {
        codec.encode(value, scratch).map(|value| value.to_owned_value())
    })
}

fn each(
    table: &TablePlan,
    keys: &[Vec<OwnedValue>],
    carry: impl Fn(&Codec, Value<'_>, &mut Vec<u8>) -> Result<OwnedValue, Unfit>,
) -> Result<Vec<Vec<OwnedValue>>> {
    let fields = table.key_fields();
    let mut scratch = Vec::new();
    let mut one = |key: &Vec<OwnedValue>| {
        let cells = fields.iter().zip(key);
        cells
            .map(|(field, value)| {
                let column = &table.columns[*field];
                carry(&column.codec, value.borrow(), &mut scratch).map_err(|unfit| {
                    Error::new(Kind::Refused, "carry a key to the other store")
                        .table(table.source.clone())
                        .column(column.source.clone())
                        .detail(format!("{}: {}", value.borrow().shown(), unfit.0))
                        .hint("change the row's key, or move the table without it")
                })
            })
            .collect()
    };
    keys.iter().map(&mut one).collect()
}

/// The source's value of a target's value.
fn back<'a>(codec: &Codec, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Unfit> {
    scratch.clear();
    Ok(match (codec, value) {
        (_, Value::Null) => Value::Null,
        (Codec::Int | Codec::Plain | Codec::Any { .. }, Value::Int(_))
        | (Codec::Float | Codec::Plain | Codec::Any { .. }, Value::Float(_))
        | (Codec::Bytes | Codec::Plain | Codec::Any { .. }, Value::Bytes(_))
        | (Codec::Text { .. } | Codec::Plain | Codec::Any { .. }, Value::Text(_)) => value,
        (Codec::TextBytes, Value::Bytes(text)) => Value::Text(text),
        (Codec::TextEscaped { .. }, Value::Text(text)) => match escape::decode(text, scratch) {
            Some(true) => Value::Text(scratch),
            Some(false) => value,
            None => return Err(Unfit("a text whose escapes make no sense".into())),
        },
        (Codec::BoolInt, Value::Bool(b)) => Value::Int(i64::from(b)),
        (Codec::BoolText { no, yes }, Value::Bool(b)) => {
            scratch.extend_from_slice(if b { yes.as_bytes() } else { no.as_bytes() });
            Value::Text(scratch)
        }
        (Codec::Decimal { .. }, Value::Decimal(digits)) => match reverse::number(digits) {
            Some(number) => number,
            None => {
                return Err(Unfit("a decimal number that neither 64 bits nor a double hold exactly".into()));
            }
        },
        (Codec::UuidText { form }, Value::Uuid(uuid)) => {
            uuid_text::write(&uuid, *form, scratch);
            Value::Text(scratch)
        }
        (Codec::UuidBytes, Value::Uuid(uuid)) => {
            scratch.extend_from_slice(&uuid);
            Value::Bytes(scratch)
        }
        (Codec::Date, Value::Date(days)) => {
            scratch.extend_from_slice(datetime::format_date(days).as_bytes());
            match datetime::parse_date(scratch) {
                Some(same) if same == days => Value::Text(scratch),
                _ => return Err(Unfit("a date outside the years 1 to 9999".into())),
            }
        }
        (Codec::Timestamp { format }, Value::Timestamp(micros)) if format.zone == Zone::None => {
            time(micros, format, scratch)?
        }
        (Codec::Timestamp { format }, Value::TimestampTz(micros)) if format.zone != Zone::None => {
            time(micros, format, scratch)?
        }
        (Codec::Json | Codec::JsonText, Value::Json(text)) => Value::Text(text),
        (Codec::Native(native), value) => native.back(value, scratch)?,
        (codec, other) => {
            return Err(Unfit(format!("{} in a column of {}", other.class(), codec.expects())));
        }
    })
}

/// A time in its column's format; with all six digits where the format has fewer than the time needs.
fn time<'a>(micros: i64, format: &TimeFormat, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Unfit> {
    let wider = TimeFormat { fraction: Fraction::Fixed(6), ..*format };
    let mut write = |format: &TimeFormat| {
        scratch.clear();
        datetime::format_timestamp(micros, format, scratch);
        datetime::parse_timestamp(scratch).is_some_and(|parsed| parsed.micros == micros)
    };
    if write(format) || write(&wider) {
        return Ok(Value::Text(scratch));
    }
    Err(Unfit("a time outside the years 1 to 9999".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::Separator;
    use crate::uuid_text::UuidForm;

    /// What comes back encodes to the target's value again.
    fn goes_round(codec: &Codec, value: Value<'_>) -> Option<OwnedValue> {
        let (mut there, mut again) = (Vec::new(), Vec::new());
        let source = back(codec, value, &mut there).ok()?;
        assert_eq!(codec.encode(source, &mut again), Ok(value), "{codec:?}");
        Some(source.to_owned_value())
    }

    #[test]
    fn what_the_target_holds_comes_back_or_is_refused() {
        let seconds = TimeFormat { separator: Separator::T, fraction: Fraction::OmitZero(6), zone: Zone::Z };
        let stamp = Codec::Timestamp { format: seconds };
        let decimal = Codec::Decimal { limits: None };
        let uuid = Codec::UuidText { form: UuidForm::LowerDashed };
        for (codec, value) in [
            (Codec::Int, Value::Int(-5)),
            (Codec::Float, Value::Float(0.5)),
            (Codec::BoolInt, Value::Bool(true)),
            (Codec::BoolText { no: "n".into(), yes: "y".into() }, Value::Bool(false)),
            (decimal.clone(), Value::Decimal(b"125e-1")),
            (uuid, Value::Uuid([7; 16])),
            (Codec::UuidBytes, Value::Uuid([7; 16])),
            (Codec::Date, Value::Date(20_000)),
            (stamp.clone(), Value::TimestampTz(1_700_000_000_000_001)),
            (Codec::TextBytes, Value::Bytes(b"\xff")),
            (Codec::Text { chars_max: None }, Value::Text(b"a")),
            (Codec::Int, Value::Null),
        ] {
            assert!(goes_round(&codec, value).is_some(), "{codec:?} {value:?}");
        }
        for (codec, value) in [
            (decimal, Value::Decimal(b"1.2345678901234567890123")),
            (stamp, Value::TimestampTz(i64::MAX)),
            (Codec::Date, Value::Date(i32::MAX)),
            (Codec::Int, Value::Text(b"1")),
        ] {
            assert_eq!(goes_round(&codec, value), None, "{codec:?} {value:?}");
        }
    }

    #[test]
    fn a_time_with_more_digits_than_its_column_writes_keeps_them() {
        let format =
            TimeFormat { separator: Separator::Space, fraction: Fraction::Fixed(3), zone: Zone::None };
        let mut scratch = Vec::new();
        let value = back(&Codec::Timestamp { format }, Value::Timestamp(1_001), &mut scratch);
        assert_eq!(value, Ok(Value::Text(b"1970-01-01 00:00:00.001001")));
        let mut scratch = Vec::new();
        let value = back(&Codec::Timestamp { format }, Value::Timestamp(1_000), &mut scratch);
        assert_eq!(value, Ok(Value::Text(b"1970-01-01 00:00:00.001")));
    }
}
