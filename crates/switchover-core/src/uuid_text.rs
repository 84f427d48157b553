//! The ways applications write a UUID as text, read and written strictly.
//!
//! A column becomes a UUID column only when all its values are written in one of these forms, so
//! that the form, kept in the plan, gives back every byte.

use serde::{Deserialize, Serialize};

/// How a column writes its UUIDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UuidForm {
    /// `0188d9c2-…`, lower case with dashes (RFC 9562).
    #[default]
    LowerDashed,
    /// The same in upper case.
    UpperDashed,
    /// 32 lower-case digits.
    LowerPlain,
    /// 32 upper-case digits.
    UpperPlain,
}

/// A digit's value is in the low four bits; what else is to be known of it is in the others.
const LOWER: u8 = 0x10;
const UPPER: u8 = 0x20;
const NONE: u8 = 0x80;

/// What each byte is as a digit.
static DIGITS: [u8; 256] = {
    let mut digits = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        if value < 10 {
            digits[b'0' as usize + value] = value as u8;
        } else {
            digits[b'a' as usize + value - 10] = value as u8 | LOWER;
            digits[b'A' as usize + value - 10] = value as u8 | UPPER;
        }
        value += 1;
    }
    digits
};

/// Where the digits of each byte begin, with dashes and without.
const DASHED: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const PLAIN: [usize; 16] = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];

/// Reads a UUID and tells its form. One without letters is read as lower case.
pub fn parse(text: &[u8]) -> Option<([u8; 16], UuidForm)> {
    let (bytes, seen, lower, upper) = if let Ok(text) = <&[u8; 36]>::try_from(text) {
        if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
            return None;
        }
        let (bytes, seen) = digits(text, &DASHED);
        (bytes, seen, UuidForm::LowerDashed, UuidForm::UpperDashed)
    } else {
        let (bytes, seen) = digits(<&[u8; 32]>::try_from(text).ok()?, &PLAIN);
        (bytes, seen, UuidForm::LowerPlain, UuidForm::UpperPlain)
    };
    match seen & (NONE | LOWER | UPPER) {
        0 | LOWER => Some((bytes, lower)),
        UPPER => Some((bytes, upper)),
        _ => None,
    }
}

/// The digits at these places, and all that was seen of them.
#[inline]
fn digits<const LENGTH: usize>(text: &[u8; LENGTH], places: &[usize; 16]) -> ([u8; 16], u8) {
    let (mut bytes, mut seen) = ([0; 16], 0);
    for (byte, at) in bytes.iter_mut().zip(places) {
        let (high, low) = (DIGITS[usize::from(text[*at])], DIGITS[usize::from(text[at + 1])]);
        seen |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (bytes, seen)
}

/// Writes a UUID in a form.
pub fn format(uuid: &[u8; 16], form: UuidForm) -> Vec<u8> {
    let mut out = Vec::with_capacity(36);
    write(uuid, form, &mut out);
    out
}

/// Appends a UUID in a form.
pub fn write(uuid: &[u8; 16], form: UuidForm, out: &mut Vec<u8>) {
    let digits: &[u8; 16] = match form {
        UuidForm::LowerDashed | UuidForm::LowerPlain => b"0123456789abcdef",
        UuidForm::UpperDashed | UuidForm::UpperPlain => b"0123456789ABCDEF",
    };
    let dashed = matches!(form, UuidForm::LowerDashed | UuidForm::UpperDashed);
    for (at, byte) in uuid.iter().enumerate() {
        if dashed && matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(digits[usize::from(byte >> 4)]);
        out.push(digits[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_as_written() {
        let uuid = [0x01, 0x88, 0xd9, 0xc2, 0xaf, 0, 0x7f, 0xff, 1, 2, 3, 4, 5, 6, 7, 0xee];
        for form in [UuidForm::LowerDashed, UuidForm::UpperDashed, UuidForm::LowerPlain, UuidForm::UpperPlain]
        {
            assert_eq!(parse(&format(&uuid, form)), Some((uuid, form)));
        }
    }

    #[test]
    fn mixed_case_and_other_text_is_refused() {
        for bad in ["0188D9c2-af00-7fff-0102-030405060708", "{0188d9c2-af00-7fff-0102-03040506070}", "", "x"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
