//! The forms in which values of such columns are written: addresses, vectors, arrays, numbers.

use super::unfit;
use crate::census::FLOAT_EXACT_MAX;
use crate::codec::Unfit;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes of a vector's number: each is a binary32.
pub const VECTOR_NUMBER_BYTES: usize = 4;

/// How a source has a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VectorForm {
    /// A blob of binary32 numbers, the lowest byte of each first.
    Float32,
    /// A JSON array of numbers, each of which becomes the nearest binary32.
    Json,
}

pub(super) trait TrimSpaces {
    fn trim_ascii_end_spaces(&self) -> &Self;
}

impl TrimSpaces for [u8] {
    fn trim_ascii_end_spaces(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
        &self[..end]
    }
}

/// The bytes of a network card's address, in its one spelling.
pub fn macaddr(text: &[u8]) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs: Vec<&[u8]> = text.split(|byte| *byte == b':').collect();
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? * 16 + digit(*low)?;
    }
    Some(bytes)
}

pub(super) fn number(tag: u8, value: i64, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A number that binary32 holds exactly.
pub(super) fn single(value: Value<'_>) -> Option<f64> {
    let wide = match value {
        Value::Float(f) => f,
        Value::Int(i) if i.unsigned_abs() <= FLOAT_EXACT_MAX => i as f64,
        _ => return None,
    };
    // Infinities and zeros of both signs are the same in both widths.
    (f64::from(wide as f32).to_bits() == wide.to_bits()).then_some(wide)
}

/// The numbers of a vector, the lowest byte of each first.
pub(super) fn vector(form: VectorForm, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    out.clear();
    match (form, value) {
        (VectorForm::Float32, Value::Bytes(bytes)) if bytes.len().is_multiple_of(4) => {
            out.extend_from_slice(bytes);
        }
        (VectorForm::Float32, Value::Bytes(_)) => return unfit("a blob that is not of 4 bytes a number"),
        (VectorForm::Json, Value::Text(text)) => {
            // As the texts that they are: by way of binary64 some would not be the nearest.
            let numbers = serde_json::from_slice::<Vec<&RawValue>>(text).unwrap_or_default();
            for number in numbers {
                match number.get().parse::<f32>() {
                    Ok(number) => out.extend_from_slice(&number.to_le_bytes()),
                    Err(_) => return unfit("no JSON array of numbers"),
                }
            }
        }
        (_, other) => return unfit(format!("{} in a column of vectors", other.class())),
    }
    let finite = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).is_ok_and(|b| f32::from_le_bytes(b).is_finite());
    match out.chunks_exact(4).all(finite) {
        _ if out.is_empty() => unfit("a vector without numbers"),
        true => Ok(()),
        false => unfit("a vector with a number that is not finite"),
    }
}

/// The elements of a JSON array of texts and nulls.
pub fn texts(json: &[u8]) -> Result<Vec<Option<String>>, Unfit> {
    let elements: Vec<Option<String>> = match serde_json::from_slice(json) {
        Ok(elements) => elements,
        Err(_) => return unfit("no JSON array of texts and nulls"),
    };
    if elements.iter().flatten().any(|element| element.contains('\0')) {
        return unfit("a NUL character in a list of texts");
    }
    Ok(elements)
}

/// The elements of a JSON array of integers and nulls.
pub fn ints(json: &[u8]) -> Result<Vec<Option<i64>>, Unfit> {
    serde_json::from_slice(json).map_err(|_| Unfit("no JSON array of integers and nulls".into()))
}
