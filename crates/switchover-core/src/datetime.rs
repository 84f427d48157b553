//! Dates and times as applications write them into text columns, read strictly and written back
//! byte for byte.
//!
//! A column becomes a timestamp only when one [`TimeFormat`] gives back all its texts. What a
//! microsecond cannot hold, a leap second, `24:00`, the year 0 and mixed offsets stay text.
//! The calendar is the proleptic Gregorian one, as ISO 8601 and PostgreSQL use it.

use serde::{Deserialize, Serialize};

/// Between date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// A space, as SQLite's own functions and SQLAlchemy write it.
    Space,
    /// A `T`, as ISO 8601 does.
    T,
}

/// How fractions of a second are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fraction {
    /// Always so many digits, 0 to 6.
    Fixed(u8),
    /// So many digits, or none at all when they would be zeros (Python's `isoformat`).
    OmitZero(u8),
    /// As many as needed, no trailing zeros (Go's RFC3339Nano).
    Trimmed,
}

/// How the zone is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// Not at all: a naive time.
    None,
    /// `Z`
    Z,
    /// `+00:00`
    Offset,
    /// ` +0000 UTC`, as Go's `Time.String` ends.
    Go,
}

/// How a column writes its timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeFormat {
    /// Between date and time.
    pub separator: Separator,
    /// Fractions of a second.
    pub fraction: Fraction,
    /// The zone.
    pub zone: Zone,
}

/// One text taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Microseconds since 1970-01-01T00:00:00 (UTC when the zone is not `None`).
    pub micros: i64,
    /// Between date and time.
    pub separator: Separator,
    /// Digits of the fraction, 0 to 6.
    pub digits: u8,
    /// The zone.
    pub zone: Zone,
}

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

/// Reads `YYYY-MM-DD`, years 0001 to 9999, as days since 1970-01-01.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    (year >= 1 && (1..=last).contains(&day)).then(|| days_from_civil(year, month, day))
}

/// Days since 1970-01-01 of a Gregorian date, counting years from March so that the leap day ends one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468) as i32
}

pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Writes a date as `YYYY-MM-DD`.
pub fn format_date(days: i32) -> String {
    let (year, month, day) = civil_from_days(i64::from(days));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Reads a timestamp with seconds, a fraction of up to six digits and one of the zones of [`Zone`].
pub fn parse_timestamp(text: &[u8]) -> Option<Parsed> {
    if text.len() < 19 || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let days = parse_date(&text[..10])?;
    let separator = match text[10] {
        b' ' => Separator::Space,
        b'T' => Separator::T,
        _ => return None,
    };
    let (hour, minute, second) = (number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &text[19..];
    let (mut fraction, mut digits) = (0i64, 0u8);
    if let Some((b'.', tail)) = rest.split_first() {
        let count = tail.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=6).contains(&count) {
            return None;
        }
        digits = count as u8;
        fraction = number(&tail[..count])? * 10i64.pow(6 - u32::from(digits));
        rest = &tail[count..];
    }
    let zone = match rest {
        b"" => Zone::None,
        b"Z" => Zone::Z,
        b"+00:00" => Zone::Offset,
        b" +0000 UTC" => Zone::Go,
        _ => return None,
    };
    let seconds = i64::from(days) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    Some(Parsed { micros: seconds * MICROS_PER_SECOND + fraction, separator, digits, zone })
}

/// Whether a text was written in a format: its bytes follow from its instant.
pub fn fits(parsed: &Parsed, format: &TimeFormat) -> bool {
    parsed.separator == format.separator
        && parsed.zone == format.zone
        && parsed.digits == fraction_digits(parsed.micros, format.fraction)
}

fn fraction_digits(micros: i64, fraction: Fraction) -> u8 {
    let part = micros.rem_euclid(MICROS_PER_SECOND);
    match fraction {
        // More digits than the format has are never written: the caller's comparison fails.
        Fraction::Fixed(n) => n,
        Fraction::OmitZero(n) => {
            if part == 0 {
                0
            } else {
                n
            }
        }
        Fraction::Trimmed => {
            let (mut digits, mut part) = (6, part);
            while digits > 0 && part % 10 == 0 {
                part /= 10;
                digits -= 1;
            }
            digits
        }
    }
}

/// Appends a timestamp in a format.
pub fn format_timestamp(micros: i64, format: &TimeFormat, out: &mut Vec<u8>) {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let part = micros.rem_euclid(MICROS_PER_SECOND);
    let (days, of_day) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = civil_from_days(days);
    if (0..=9999).contains(&year) {
        push_digits(year, 4, out);
    } else {
        out.extend_from_slice(year.to_string().as_bytes());
    }
    out.push(b'-');
    push_digits(month, 2, out);
    out.push(b'-');
    push_digits(day, 2, out);
    out.push(match format.separator {
        Separator::Space => b' ',
        Separator::T => b'T',
    });
    push_digits(of_day / 3600, 2, out);
    out.push(b':');
    push_digits(of_day / 60 % 60, 2, out);
    out.push(b':');
    push_digits(of_day % 60, 2, out);
    let digits = fraction_digits(micros, format.fraction);
    // A fraction that the format cannot hold is written in full, so that it never compares equal.
    let lost = part % 10i64.pow(6 - u32::from(digits)) != 0;
    let digits = if lost { 6 } else { digits };
    if digits > 0 {
        out.push(b'.');
        push_digits(part / 10i64.pow(6 - u32::from(digits)), usize::from(digits), out);
    }
    out.extend_from_slice(match format.zone {
        Zone::None => b"",
        Zone::Z => b"Z",
        Zone::Offset => b"+00:00",
        Zone::Go => b" +0000 UTC",
    });
}

/// Appends the last digits of a number, six at most.
fn push_digits(mut value: i64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev().take(width) {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[digits.len() - width..]);
}

/// What all timestamps of a column have in common, gathered one text at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeEvidence {
    first: Option<(Separator, Zone)>,
    mixed: bool,
    digits_min: u8,
    digits_max: u8,
    fixed: bool,
    omit_zero: Option<u8>,
    omit_zero_possible: bool,
    trimmed: bool,
}

impl Default for TimeEvidence {
    fn default() -> Self {
        TimeEvidence {
            first: None,
            mixed: false,
            digits_min: 0,
            digits_max: 0,
            fixed: true,
            omit_zero: None,
            omit_zero_possible: true,
            trimmed: true,
        }
    }
}

impl TimeEvidence {
    /// Takes one more text into account.
    pub fn observe(&mut self, parsed: &Parsed) {
        let head = (parsed.separator, parsed.zone);
        match self.first {
            None => {
                self.first = Some(head);
                (self.digits_min, self.digits_max) = (parsed.digits, parsed.digits);
            }
            Some(first) if first != head => self.mixed = true,
            Some(_) => {}
        }
        self.digits_min = self.digits_min.min(parsed.digits);
        self.digits_max = self.digits_max.max(parsed.digits);
        self.fixed = self.digits_min == self.digits_max;
        let zero = parsed.micros.rem_euclid(MICROS_PER_SECOND) == 0;
        match (parsed.digits, self.omit_zero) {
            (0, _) => {}
            (_, _) if zero => self.omit_zero_possible = false,
            (n, None) => self.omit_zero = Some(n),
            (n, Some(m)) => self.omit_zero_possible &= n == m,
        }
        self.trimmed &= parsed.digits == fraction_digits(parsed.micros, Fraction::Trimmed);
    }

    /// How the first text was written.
    pub fn first(&self) -> Option<(Separator, Zone)> {
        self.first
    }

    /// The one format that gives back every text seen; `None` when there is none, or no text.
    pub fn format(&self) -> Option<TimeFormat> {
        let (separator, zone) = self.first.filter(|_| !self.mixed)?;
        let fraction = if self.fixed {
            Fraction::Fixed(self.digits_max)
        } else if let (true, Some(n)) = (self.omit_zero_possible, self.omit_zero) {
            Fraction::OmitZero(n)
        } else if self.trimmed {
            Fraction::Trimmed
        } else {
            return None;
        };
        Some(TimeFormat { separator, fraction, zone })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(texts: &[&str]) -> Option<TimeFormat> {
        let mut evidence = TimeEvidence::default();
        for text in texts {
            evidence.observe(&parse_timestamp(text.as_bytes())?);
        }
        let format = evidence.format()?;
        for text in texts {
            let parsed = parse_timestamp(text.as_bytes())?;
            let mut out = Vec::new();
            format_timestamp(parsed.micros, &format, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), *text);
            assert!(fits(&parsed, &format));
        }
        Some(format)
    }

    #[test]
    fn columns_of_one_format_are_given_back() {
        assert_eq!(evidence(&["2009-01-01 00:00:00"]).map(|f| f.fraction), Some(Fraction::Fixed(0)));
        let python = evidence(&["2024-02-29T23:59:59.000001", "1969-12-31T23:59:59"]);
        assert_eq!(python.map(|f| f.fraction), Some(Fraction::OmitZero(6)));
        let go = evidence(&["2024-02-29 23:59:59.5 +0000 UTC", "0001-01-01 00:00:00.25 +0000 UTC"]);
        assert_eq!(go.map(|f| (f.fraction, f.zone)), Some((Fraction::Trimmed, Zone::Go)));
        assert!(evidence(&["9999-12-31T00:00:00.120Z"]).is_some());
    }

    #[test]
    fn what_cannot_be_given_back_is_no_format() {
        assert_eq!(evidence(&["2024-01-01 00:00:00", "2024-01-01T00:00:00"]), None);
        assert_eq!(evidence(&["2024-01-01 00:00:00.10", "2024-01-01 00:00:00.1"]), None);
        for bad in [
            "0000-00-00 00:00:00",
            "2023-02-29 00:00:00",
            "2024-01-01 24:00:00",
            "2024-01-01 23:59:60",
            "2024-01-01 00:00:00.1234567",
            "2024-01-01 00:00:00+02:00",
            "2024-01-01",
            "2024-01-01 00:00:00.",
        ] {
            assert_eq!(parse_timestamp(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn every_day_round_trips() {
        for days in (-719_162..2_932_896).step_by(97) {
            assert_eq!(parse_date(format_date(days).as_bytes()), Some(days));
        }
        assert_eq!(parse_date(b"1970-01-01"), Some(0));
        assert_eq!(parse_date(b"2000-03-01"), Some(11_017));
    }

    #[test]
    fn a_fraction_beyond_the_format_never_looks_equal() {
        let format =
            TimeFormat { separator: Separator::Space, fraction: Fraction::Fixed(3), zone: Zone::None };
        let mut out = Vec::new();
        format_timestamp(1, &format, &mut out);
        assert_eq!(out, b"1970-01-01 00:00:00.000001");
    }
}
