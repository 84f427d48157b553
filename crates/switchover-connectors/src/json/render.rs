//! One row as JSON text: an object with every column, NULL as `null`, so that no key is absent.
//!
//! Invariants: the text has no line break outside of an escape, so rows can stand on lines; numbers are written
//! with all their digits; a row that the source side would not read (`ROW_BYTES_MAX`) is refused.

use super::scan::ROW_BYTES_MAX;
use switchover_core::codec::Codec;
use switchover_core::json::without_space;
use switchover_core::plan::{LogicalType, TablePlan};
use switchover_core::planner::layout::shown_locator;
use switchover_core::tagged;
use switchover_core::value::{Row, Value};
use switchover_core::{Error, Kind, Result};

/// Writes the rows of one table.
pub(super) struct Renderer<'a> {
    table: &'a TablePlan,
    /// By column: the bracket or comma, its key, and the colon.
    keys: Vec<Vec<u8>>,
    scratch: Vec<u8>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(table: &'a TablePlan) -> Renderer<'a> {
        let key = |(at, name): (usize, &String)| {
            let mut key = vec![if at == 0 { b'{' } else { b',' }];
            text(name, &mut key);
            key.push(b':');
            key
        };
        let keys = table.columns.iter().map(|column| &column.target).enumerate().map(key).collect();
        Renderer { table, keys, scratch: Vec::new() }
    }

    /// Appends a row of the source's; `is_null` says which of its cells are NULL all the same.
    pub(super) fn row(
        &mut self,
        row: Row<'_>,
        is_null: impl Fn(usize) -> bool,
        operation: &str,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let begin = out.len();
        let refused = |at: usize, value: Value<'_>, why: &str| {
            Error::new(Kind::Refused, operation)
                .table(self.table.source.clone())
                .key(shown_locator(self.table, &row.locator()))
                .column(self.table.columns[at].source.clone())
                .detail(format!("{}: {why}", value.shown()))
                .hint("the source changed after the plan was made: plan again")
        };
        for (at, (column, key)) in self.table.columns.iter().zip(&self.keys).enumerate() {
            out.extend_from_slice(key);
            let value = if is_null(at) { Value::Null } else { row.value(at) };
            let encoded = column.codec.encode(value, &mut self.scratch);
            let encoded = encoded.map_err(|unfit| refused(at, value, &unfit.0))?;
            if !cell(encoded, column.r#type, &column.codec, out) {
                return Err(refused(at, value, "a dump has no form for it"));
            }
        }
        out.push(b'}');
        if out.len() - begin > ROW_BYTES_MAX {
            return Err(Error::new(Kind::Refused, operation)
                .table(self.table.source.clone())
                .key(shown_locator(self.table, &row.locator()))
                .detail(format!(
                    "the row's text has {} bytes; a row of a dump ends at {ROW_BYTES_MAX}",
                    out.len() - begin
                ))
                .hint("leave the row out by a `where` of the mapping, or the column by `drop`"));
        }
        Ok(())
    }
}

/// Appends a cell; false where JSON has no form for it.
fn cell(value: Value<'_>, ty: LogicalType, codec: &Codec, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => truth(b, out),
        Value::Int(i @ (0 | 1)) if ty == LogicalType::Bool => truth(i == 1, out),
        // Beside texts and blobs a plain number would be read as JSON.
        Value::Int(i) if ty == LogicalType::Any => tagged::write_tagged_int(i, out),
        Value::Int(i) => out.extend_from_slice(i.to_string().as_bytes()),
        Value::Float(f) if ty == LogicalType::Any => tagged::write_tagged_real(f, out),
        Value::Float(f) => tagged::write_real(f, out),
        Value::Bytes(bytes) => tagged::write_blob(bytes, out),
        // What the codec made has no white space; what it let through as it was may.
        Value::Json(json) if *codec == Codec::JsonText => out.extend_from_slice(json),
        Value::Json(json) => drop(without_space(json, out)),
        Value::Text(digits) if matches!(ty, LogicalType::Numeric(_)) => number(digits, out),
        Value::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(valid) => text(valid, out),
            Err(_) => return false,
        },
        Value::Decimal(_)
        | Value::Uuid(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_) => return false,
    }
    true
}

/// Appends the digits of a number, or what is none: `NaN`, an infinity.
fn number(digits: &[u8], out: &mut Vec<u8>) {
    match digits {
        b"NaN" => tagged::write_real(f64::NAN, out),
        b"Infinity" => tagged::write_real(f64::INFINITY, out),
        b"-Infinity" => tagged::write_real(f64::NEG_INFINITY, out),
        _ => out.extend_from_slice(digits),
    }
}

fn truth(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends a string.
pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    // Writing into memory cannot fail, and a text has no keys that could be none.
    let _ = serde_json::to_writer(out, text);
}

/// The cell that a value's text says, in a column of that type; what the column should not hold comes back as the
/// JSON that it is, so that a comparison sees it.
pub(super) fn read<'a>(raw: &'a str, ty: LogicalType, codec: &Codec, scratch: &'a mut Vec<u8>) -> Value<'a> {
    if raw == "null" {
        return Value::Null;
    }
    let foreign = Value::Json(raw.as_bytes());
    let truth = |b: bool| match codec {
        Codec::BoolInt | Codec::BoolText { .. } => Value::Bool(b),
        _ => Value::Int(i64::from(b)),
    };
    match (ty, raw) {
        (LogicalType::Jsonb, _) => foreign,
        (LogicalType::Numeric(_), _) => match super::row::tagged(raw, scratch) {
            Some(Value::Float(f)) if f.is_nan() => Value::Text(b"NaN"),
            Some(Value::Float(f)) if f > 0.0 => Value::Text(b"Infinity"),
            Some(Value::Float(_)) => Value::Text(b"-Infinity"),
            Some(_) => foreign,
            None if matches!(raw.as_bytes().first(), Some(b'-' | b'0'..=b'9')) => Value::Text(raw.as_bytes()),
            None => foreign,
        },
        (LogicalType::Bool, "true") => truth(true),
        (LogicalType::Bool, "false") => truth(false),
        (LogicalType::Bool, _) | (_, "true" | "false") => foreign,
        _ => match raw.as_bytes().first() {
            Some(b'"') => super::row::string(raw, scratch).map_or(foreign, Value::Text),
            Some(b'{') => super::row::tagged(raw, scratch).unwrap_or(foreign),
            Some(b'-' | b'0'..=b'9') if raw.contains(['.', 'e', 'E']) => {
                raw.parse().map_or(foreign, Value::Float)
            }
            Some(b'-' | b'0'..=b'9') if raw != "-0" => raw.parse().map_or(foreign, Value::Int),
            _ => foreign,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_read_back_as_they_were_written() {
        let any = (LogicalType::Any, Codec::Plain);
        let (int, real) = ((LogicalType::Int8, Codec::Int), (LogicalType::Float8, Codec::Plain));
        let jsonb = (LogicalType::Jsonb, Codec::JsonText);
        for (value, (ty, codec), wanted) in [
            (Value::Null, &any, "null"),
            (Value::Int(i64::MIN), &int, "-9223372036854775808"),
            (Value::Float(1e16), &real, "1e16"),
            (Value::Float(-0.0), &real, "-0.0"),
            (Value::Int(i64::MIN), &any, r#"{"$switchover.int":"-9223372036854775808"}"#),
            (Value::Float(-0.0), &any, r#"{"$switchover.real":"-0.0"}"#),
            (Value::Float(f64::NEG_INFINITY), &any, r#"{"$switchover.real":"-Infinity"}"#),
            (
                Value::Text("\0\u{1f}\"\\é😀\u{2028}".as_bytes()),
                &any,
                "\"\\u0000\\u001f\\\"\\\\é😀\u{2028}\"",
            ),
            (Value::Text(b"null"), &any, "\"null\""),
            (Value::Bytes(b"\x00\xff"), &any, r#"{"$switchover.blob":"00ff"}"#),
            (Value::Bool(true), &(LogicalType::Bool, Codec::BoolInt), "true"),
            (Value::Json(b"{\"a\":[1.0,true]}"), &jsonb, "{\"a\":[1.0,true]}"),
            (Value::Json(b"\"a\""), &jsonb, "\"a\""),
        ] {
            let (mut out, mut scratch) = (Vec::new(), Vec::new());
            assert!(cell(value, *ty, codec, &mut out), "{value:?}");
            let raw = String::from_utf8(out).expect("UTF-8");
            assert_eq!(raw, wanted);
            assert_eq!(read(&raw, *ty, codec, &mut scratch), value, "{raw}");
        }
    }

    #[test]
    fn what_a_column_should_not_hold_is_seen() {
        let mut scratch = Vec::new();
        for (raw, ty) in [
            ("1", LogicalType::Bool),
            ("true", LogicalType::Int8),
            ("[]", LogicalType::Text),
            ("9223372036854775808", LogicalType::Int8),
            ("{}", LogicalType::Bytea),
        ] {
            let found = read(raw, ty, &Codec::Plain, &mut scratch);
            assert_eq!(found, Value::Json(raw.as_bytes()), "{raw}");
        }
    }
}
