//! Values that JSON has no form for, in objects of one member: blobs, reals that are no finite number, and the numbers of a
//! column that holds values of several kinds, which would not be told from one that holds JSON.
//!
//! `{"$switchover.blob":"00ff"}` is a blob by its bytes in hexadecimal, lower case; `{"$switchover.real":"Infinity"}`,
//! `"-Infinity"`, `"NaN"` and `"0.5"` are reals, `{"$switchover.int":"5"}` is an integer. Invariants: each value has one form, written without white space; a text that
//! is almost one of these is none, and stays the object that it is; [`is_tagged`] says of any object whose first
//! member begins like a tag that it could be taken for one, so that no document is written that reads as something else.

use crate::value::Value;

const BLOB: &[u8] = b"{\"$switchover.blob\":\"";
const REAL: &[u8] = b"{\"$switchover.real\":\"";
const INT: &[u8] = b"{\"$switchover.int\":\"";
const PREFIX: &[u8] = b"{\"$switchover.";
const END: &[u8] = b"\"}";
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Whether a JSON text without white space begins like a tagged value.
#[must_use]
pub fn is_tagged(compact: &[u8]) -> bool {
    // An escape could spell the same key: the member's text is then another, and so is what a reader sees.
    compact.starts_with(PREFIX)
}

/// Appends a blob.
pub fn write_blob(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(BLOB.len() + 2 * bytes.len() + END.len());
    out.extend_from_slice(BLOB);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.extend_from_slice(END);
}

/// Appends a real: a number with a point or an exponent, or a tagged value. A NaN is one, whatever its bits.
pub fn write_real(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        // The shortest text that reads back as this double; it always has a point or an exponent.
        return out.extend_from_slice(format!("{value:?}").as_bytes());
    }
    write_tagged_real(value, out);
}

/// Appends a real as a tagged value, finite or not.
pub fn write_tagged_real(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(REAL);
    match value {
        v if v.is_finite() => out.extend_from_slice(format!("{v:?}").as_bytes()),
        v if v.is_nan() => out.extend_from_slice(b"NaN"),
        v if v < 0.0 => out.extend_from_slice(b"-Infinity"),
        _ => out.extend_from_slice(b"Infinity"),
    }
    out.extend_from_slice(END);
}

/// Appends an integer as a tagged value.
pub fn write_tagged_int(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(INT);
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(END);
}

/// The value that a tagged text is; `scratch` lends room for a blob.
pub fn read<'a>(raw: &[u8], scratch: &'a mut Vec<u8>) -> Option<Value<'a>> {
    if let Some(inside) = raw.strip_prefix(REAL).and_then(|rest| rest.strip_suffix(END)) {
        return match inside {
            b"Infinity" => Some(Value::Float(f64::INFINITY)),
            b"-Infinity" => Some(Value::Float(f64::NEG_INFINITY)),
            b"NaN" => Some(Value::Float(f64::NAN)),
            finite => {
                let value: f64 = std::str::from_utf8(finite).ok()?.parse().ok()?;
                (value.is_finite() && format!("{value:?}").as_bytes() == finite)
                    .then_some(Value::Float(value))
            }
        };
    }
    if let Some(inside) = raw.strip_prefix(INT).and_then(|rest| rest.strip_suffix(END)) {
        let value: i64 = std::str::from_utf8(inside).ok()?.parse().ok()?;
        return (value.to_string().as_bytes() == inside).then_some(Value::Int(value));
    }
    let digits = raw.strip_prefix(BLOB)?.strip_suffix(END)?;
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    scratch.clear();
    for [high, low] in pairs {
        scratch.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(Value::Bytes(scratch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for value in [
            Value::Bytes(b""),
            Value::Bytes(b"\x00\xff\"a"),
            Value::Float(f64::INFINITY),
            Value::Float(f64::NEG_INFINITY),
            Value::Float(-0.0),
            Value::Float(5e-324),
            Value::Int(i64::MIN),
            Value::Int(0),
        ] {
            let (mut text, mut scratch) = (Vec::new(), Vec::new());
            match value {
                Value::Bytes(bytes) => write_blob(bytes, &mut text),
                Value::Float(real) if !real.is_finite() => write_real(real, &mut text),
                Value::Float(real) => write_tagged_real(real, &mut text),
                Value::Int(int) => write_tagged_int(int, &mut text),
                _ => {}
            }
            assert!(is_tagged(&text));
            assert_eq!(read(&text, &mut scratch), Some(value));
        }
        for (real, text) in [(1.0, "1.0"), (-0.0, "-0.0"), (5e-324, "5e-324"), (1e300, "1e300"), (0.1, "0.1")]
        {
            let mut out = Vec::new();
            write_real(real, &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn what_is_almost_a_tagged_value_is_none() {
        let mut scratch = Vec::new();
        for text in [
            "{}",
            "{\"$switchover.blob\":\"0\"}",
            "{\"$switchover.blob\":\"0G\"}",
            "{\"$switchover.blob\":\"AA\"}",
            "{\"$switchover.real\":\"1\"}",
            "{\"$switchover.real\":1}",
            "{\"$switchover.real\":\"inf\"}",
            "{\"$switchover.real\":\"0.50\"}",
            "{\"$switchover.int\":\"05\"}",
            "{\"$switchover.int\":\"+5\"}",
            "{\"$switchover.int\":\"9223372036854775808\"}",
            "{\"$switchover.blob\":\"00\",\"a\":1}",
        ] {
            assert_eq!(read(text.as_bytes(), &mut scratch), None, "{text}");
        }
    }
}
