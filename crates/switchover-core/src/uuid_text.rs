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

/// Reads a UUID and tells its form. One without letters is read as lower case.
pub fn parse(text: &[u8]) -> Option<([u8; 16], UuidForm)> {
    let dashed = match text.len() {
        36 => true,
        32 => false,
        _ => return None,
    };
    let mut bytes = [0u8; 16];
    let (mut nibble, mut lower, mut upper) = (0usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        if dashed && matches!(at, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => {
                lower = true;
                byte - b'a' + 10
            }
            b'A'..=b'F' => {
                upper = true;
                byte - b'A' + 10
            }
            _ => return None,
        };
        bytes[nibble / 2] = bytes[nibble / 2] << 4 | digit;
        nibble += 1;
    }
    let form = match (dashed, lower, upper) {
        (_, true, true) => return None,
        (true, _, false) => UuidForm::LowerDashed,
        (true, _, true) => UuidForm::UpperDashed,
        (false, _, false) => UuidForm::LowerPlain,
        (false, _, true) => UuidForm::UpperPlain,
    };
    Some((bytes, form))
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
