//! One property's value as Weaviate's wire has it.
//!
//! Invariants: what is read is what the server sent, bit for bit (numbers by their bits, texts with their NULs), and
//! borrowed from the answer where it can be; what the server would change in silence is [`Unfit`], not sent. A
//! missing value is `None` around a [`Wire`], for null and missing are one on this wire; an empty list is not missing.
//! Absent on purpose: which kind a column becomes, and the converting of the project's values, which are the codecs'.

use std::borrow::Cow;

use serde_json::Value as Json;

/// The largest magnitude of an integer that a float64 holds with all below it: the server keeps `int` as one.
pub const INT_MAX: i64 = 1 << 53;

/// A value. Lists are of one kind, without nulls.
#[derive(Debug, Clone, PartialEq)]
pub enum Wire<'a> {
    /// `text`: any Unicode, kept verbatim.
    Text(&'a str),
    /// `int`: within ±2^53.
    Int(i64),
    /// `number`: binary64, finite; −0 is kept.
    Number(f64),
    /// `boolean`.
    Bool(bool),
    /// `date`: RFC 3339 with an offset; compare by [`instant`], for the server trims trailing zeros.
    Date(&'a str),
    /// `uuid`.
    Uuid([u8; 16]),
    /// `blob`: the bytes themselves; base64 only on the wire. Never empty.
    Blob(Cow<'a, [u8]>),
    /// `text[]`.
    Texts(Vec<&'a str>),
    /// `int[]`.
    Ints(Vec<i64>),
    /// `number[]`.
    Numbers(Vec<f64>),
    /// `boolean[]`.
    Bools(Vec<bool>),
    /// `date[]`.
    Dates(Vec<&'a str>),
    /// `uuid[]`.
    Uuids(Vec<[u8; 16]>),
    /// `object`: a JSON object.
    Object(Json),
    /// `object[]`: JSON objects.
    Objects(Vec<Json>),
    /// `geoCoordinates`: latitude and longitude.
    Geo(f32, f32),
    /// A list without elements whose kind the server did not tell.
    EmptyList,
    /// A kind that is not known here, such as a phone number.
    Other,
}

impl Wire<'_> {
    /// The kind, as Weaviate names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Wire::Text(_) => "text",
            Wire::Int(_) => "int",
            Wire::Number(_) => "number",
            Wire::Bool(_) => "boolean",
            Wire::Date(_) => "date",
            Wire::Uuid(_) => "uuid",
            Wire::Blob(_) => "blob",
            Wire::Texts(_) => "text[]",
            Wire::Ints(_) => "int[]",
            Wire::Numbers(_) => "number[]",
            Wire::Bools(_) => "boolean[]",
            Wire::Dates(_) => "date[]",
            Wire::Uuids(_) => "uuid[]",
            Wire::Object(_) => "object",
            Wire::Objects(_) => "object[]",
            Wire::Geo(..) => "geoCoordinates",
            Wire::EmptyList => "an empty list",
            Wire::Other => "a kind that is not known",
        }
    }
}

/// Why a value cannot be sent: the server would change it, or refuse the object. The caller adds row and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit(pub &'static str);

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// An integer as the wire's float64, if that is exact.
pub fn exact(int: i64) -> Result<f64, Unfit> {
    if (-INT_MAX..=INT_MAX).contains(&int) {
        #[expect(clippy::cast_precision_loss, reason = "within ±2^53 nothing is lost")]
        return Ok(int as f64);
    }
    Err(Unfit("an integer beyond 2^53 would be rounded: Weaviate keeps int as a binary64"))
}

/// A number that the wire can have.
pub fn finite(number: f64) -> Result<f64, Unfit> {
    number.is_finite().then_some(number).ok_or(Unfit("NaN and infinities are refused by Weaviate"))
}

/// The instant of an RFC 3339 text, in seconds since 1970 and nanoseconds; `None` for anything else. Years 0000 to 9999,
/// which is more than most libraries' instants have.
pub fn instant(text: &str) -> Option<(i64, u32)> {
    let (local, rest) = text.as_bytes().split_at_checked(19)?;
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = local.get(from..to)?;
        digits
            .iter()
            .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    if [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().any(|(at, byte)| local[*at] != *byte)
    {
        return None;
    }
    let date = jiff::civil::Date::new(
        i16::try_from(number(0, 4)?).ok()?,
        i8::try_from(number(5, 7)?).ok()?,
        i8::try_from(number(8, 10)?).ok()?,
    )
    .ok()?;
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    let days = i64::from(date.since(epoch).ok()?.get_days());
    let (nanos, zone) = fraction(rest)?;
    let offset = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2]
            if [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()) =>
        {
            let two = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let seconds = two(*h1, *h2) * 3_600 + two(*m1, *m2) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    Some((days * 86_400 + hour * 3_600 + minute * 60 + second - offset, nanos))
}

/// `.123` as nanoseconds, and what follows. Digits beyond nanoseconds must be zeros.
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || digits[..count].iter().skip(9).any(|byte| *byte != b'0') {
        return None;
    }
    let at = |place: usize| if place < count { u32::from(digits[place] - b'0') } else { 0 };
    Some(((0..9).fold(0, |nanos, place| nanos * 10 + at(place)), &digits[count..]))
}

/// A UUID as the wire writes it.
pub fn uuid_text(uuid: &[u8; 16]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in uuid {
        if matches!(at, 8 | 13 | 18 | 23) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The length of the padded base64 of so many bytes.
pub(super) fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Appends padded base64 (RFC 4648, section 4).
pub(super) fn base64_encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let used = digit <= chunk.len();
            let index = (word >> (18 - 6 * digit)) & 63;
            out.push(if used { BASE64[index as usize] } else { b'=' });
        }
    }
}

/// Reads padded base64, strictly: a server that writes another form is not trusted with the rest.
pub(super) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let groups = text.len() / 4;
    for (at, group) in text.chunks_exact(4).enumerate() {
        let pads = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if pads > 2 || (pads > 0 && at + 1 != groups) {
            return None;
        }
        let mut word = 0u32;
        for byte in &group[..4 - pads] {
            word = word << 6 | digit(*byte)?;
        }
        word <<= 6 * pads;
        let bytes = word.to_be_bytes();
        let unused = &bytes[4 - pads..];
        if unused.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(&bytes[1..4 - pads]);
    }
    Some(out)
}

fn digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648_and_read_strictly() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"\x00\xff\xfe", "AP/+"),
        ] {
            let mut out = Vec::new();
            base64_encode(bytes, &mut out);
            assert_eq!(out, text.as_bytes());
            assert_eq!(out.len(), base64_len(bytes.len()));
            assert_eq!(base64_decode(text).as_deref(), Some(bytes));
        }
        for text in ["Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9*", "AP_-"] {
            assert_eq!(base64_decode(text), None, "{text}");
        }
    }

    #[test]
    fn integers_stop_at_two_to_the_fifty_third() {
        assert_eq!(exact(INT_MAX), Ok(9_007_199_254_740_992.0));
        assert_eq!(exact(-INT_MAX), Ok(-9_007_199_254_740_992.0));
        assert!(exact(INT_MAX + 1).is_err());
        assert!(exact(i64::MIN).is_err());
        assert!(finite(f64::NAN).is_err() && finite(f64::NEG_INFINITY).is_err());
    }

    #[test]
    fn instants_compare_whatever_their_zeros_and_offsets() {
        assert_eq!(instant("1970-01-01T00:00:00Z"), Some((0, 0)));
        assert_eq!(instant("1969-12-31T23:59:59.5Z"), Some((-1, 500_000_000)));
        assert_eq!(instant("2024-05-01T12:00:00.120Z"), instant("2024-05-01T14:00:00.12+02:00"));
        assert_eq!(instant("0000-01-01T00:00:00Z"), Some((-62_167_219_200, 0)));
        assert_eq!(instant("9999-12-31T23:59:59.999999999-12:00"), Some((253_402_343_999, 999_999_999)));
        for text in [
            "2024-05-01T12:00:00",
            "2024-05-01 12:00:00Z",
            "2023-02-29T12:00:00Z",
            "2024-05-01T24:00:00Z",
            "2024-05-01T12:00:00.Z",
            "2024-05-01T12:00:00.1234567891Z",
            "2024-05-01T12:00:00+2:00",
            "2024-05-01T12:00:00Zx",
            "",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn uuids_are_lower_case() {
        let uuid: [u8; 16] = std::array::from_fn(|at| 0xf0 + u8::try_from(at).unwrap_or(0));
        assert_eq!(&uuid_text(&uuid), b"f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff");
        assert_eq!(switchover_core::uuid_text::parse(&uuid_text(&uuid)).map(|(read, _)| read), Some(uuid));
    }
}
