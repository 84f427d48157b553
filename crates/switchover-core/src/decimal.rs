//! Decimal numbers in one canonical form: an optional `-`, digits without leading or trailing
//! zeros, `e`, an exponent of ten. Zero is `0e0`. Two numbers are equal exactly when their
//! canonical forms are.
//!
//! A binary64 number stands for its shortest decimal that reads back as the same number, which is
//! what SQLite prints with 17 digits and what a person typed.

/// Digits that every double keeps (IEEE 754; `DBL_DIG`).
const DOUBLE_DIGITS: usize = 15;

/// The largest power of ten, up or down, that a literal may have: no number of digits in memory brings it out of an `i64` then.
const EXPONENT_MAX: u64 = 1 << 62;

/// Whether a double holds a number's text by value: its shortest decimal is that number.
pub fn survives(raw: &str) -> bool {
    let plain = !raw.contains(['e', 'E']);
    if plain && raw.len() <= DOUBLE_DIGITS {
        return true;
    }
    let (mut written, mut read) = (Vec::new(), Vec::new());
    parse(raw.as_bytes(), &mut written)
        && raw.parse::<f64>().is_ok_and(|number| write_f64(number, &mut read))
        && written == read
}

/// Appends the canonical form of an integer.
pub fn write_i64(value: i64, out: &mut Vec<u8>) {
    let digits = value.unsigned_abs().to_string();
    write_parts(value < 0, digits.as_bytes(), 0, out);
}

/// Appends the canonical form of a finite number; false (and nothing written) when it is not finite.
pub fn write_f64(value: f64, out: &mut Vec<u8>) -> bool {
    if !value.is_finite() {
        return false;
    }
    let text = format!("{value:e}");
    parse(text.as_bytes(), out)
}

/// Appends the canonical form of a decimal or scientific literal as JSON, SQL and Rust write it;
/// false (and nothing written) when it is no such literal, or its exponent is beyond 2^62.
pub fn parse(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (negative, rest) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => {
            let Some(exponent) =
                std::str::from_utf8(&rest[at + 1..]).ok().and_then(|digits| digits.parse::<i64>().ok())
            else {
                return false;
            };
            (&rest[..at], exponent)
        }
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    let is_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return false;
    }
    if exponent.unsigned_abs() > EXPONENT_MAX {
        return false;
    }
    let exponent = exponent - fraction.len() as i64;
    write_joined(negative, [whole, fraction], exponent, out);
    true
}

/// Appends the canonical form of `digits × 10^exponent`.
pub fn write_parts(negative: bool, digits: &[u8], exponent: i64, out: &mut Vec<u8>) {
    write_joined(negative, [digits, &[]], exponent, out);
}

/// The same of digits in two pieces. Nothing is allocated, for a table may have one in every cell.
fn write_joined(negative: bool, [first, second]: [&[u8]; 2], mut exponent: i64, out: &mut Vec<u8>) {
    let significant = |digits: &[u8]| digits.iter().position(|d| *d != b'0').unwrap_or(digits.len());
    let first = &first[significant(first)..];
    let second = if first.is_empty() { &second[significant(second)..] } else { second };
    let start = out.len();
    if negative {
        out.push(b'-');
    }
    let begin = out.len();
    out.extend_from_slice(first);
    out.extend_from_slice(second);
    while out.len() > begin && out.last() == Some(&b'0') {
        out.pop();
        exponent += 1;
    }
    if out.len() == begin {
        out.truncate(start);
        out.extend_from_slice(b"0e0");
        return;
    }
    out.push(b'e');
    write_integer(exponent, out);
}

/// Appends an integer in decimal digits.
pub(crate) fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The parts of a canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Whether it is below zero.
    pub negative: bool,
    /// Digits without leading or trailing zeros (`0` for zero).
    pub digits: &'a [u8],
    /// The power of ten that the digits are multiplied with.
    pub exponent: i64,
}

impl Parts<'_> {
    /// Digits behind the decimal point when written plainly.
    pub fn scale(&self) -> u64 {
        if self.exponent < 0 { self.exponent.unsigned_abs() } else { 0 }
    }

    /// Digits before the decimal point when written plainly (0 for numbers below 1).
    pub fn integer_digits(&self) -> u64 {
        if self.digits == b"0" {
            return 0;
        }
        u64::try_from(self.digits.len() as i64 + self.exponent).unwrap_or(0)
    }
}

/// Takes a canonical form apart; `None` when it is not one.
pub fn parts(canonical: &[u8]) -> Option<Parts<'_>> {
    let (negative, rest) = match canonical.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, canonical),
    };
    let at = rest.iter().position(|b| *b == b'e')?;
    let exponent = std::str::from_utf8(&rest[at + 1..]).ok()?.parse().ok()?;
    Some(Parts { negative, digits: &rest[..at], exponent })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        let mut out = Vec::new();
        parse(text.as_bytes(), &mut out).then(|| String::from_utf8(out).expect("ascii"))
    }

    #[test]
    fn equal_numbers_have_one_form() {
        for same in [["1", "1.0"], ["100", "1e2"], ["0.50", "5e-1"], ["-0", "0.000"], ["12.340", "1234E-2"]] {
            assert_eq!(canonical(same[0]), canonical(same[1]), "{same:?}");
        }
        assert_eq!(canonical("-12.50").as_deref(), Some("-125e-1"));
        let beyond = format!("10e{}", i64::MAX);
        for bad in ["", ".", "1e", "abc", "1.2.3", "0x1", "1e99999999999999999999", &beyond] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }

    #[test]
    fn floats_use_their_shortest_form() {
        let mut out = Vec::new();
        assert!(write_f64(0.1 + 0.2, &mut out));
        assert_eq!(out, b"30000000000000004e-17");
        assert!(!write_f64(f64::INFINITY, &mut out));
        out.clear();
        write_i64(i64::MIN, &mut out);
        assert_eq!(out, b"-9223372036854775808e0");
    }
}
