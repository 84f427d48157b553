//! Spans of time: months, days and microseconds, which are three numbers, for no month and no day is always as long.
//!
//! Read as PostgreSQL writes them (`1 year 2 mons -3 days 04:05:06.7`), as ISO 8601 does (`P1Y2M3DT4H5M6.7S`) and as Python's
//! `timedelta` (`1 day, 2:03:04`). Two are equal here when all three numbers are: `1 day` is not `24:00:00`. Absent:
//! fractions of anything but seconds, and what is finer than a microsecond.

use std::fmt::Write as _;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;

/// Digits of a second's fraction.
const FRACTION_DIGITS: usize = 6;

/// A span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// Months, years among them.
    pub months: i32,
    /// Days, weeks among them.
    pub days: i32,
    /// Microseconds, hours and minutes among them.
    pub micros: i64,
}

impl Interval {
    /// Reads one.
    pub fn parse(text: &[u8]) -> Option<Interval> {
        let text = std::str::from_utf8(text).ok()?;
        match text.strip_prefix('P') {
            Some(rest) => iso(rest),
            None => words(text),
        }
    }

    /// The one text by which two are compared: ISO 8601, without years, weeks, hours and minutes.
    pub fn text(&self) -> String {
        let mut out = String::from("P");
        // Writing into a String cannot fail.
        if self.months != 0 {
            let _ = write!(out, "{}M", self.months);
        }
        if self.days != 0 {
            let _ = write!(out, "{}D", self.days);
        }
        if self.micros != 0 || out.len() == 1 {
            let sign = if self.micros < 0 { "-" } else { "" };
            let micros = self.micros.unsigned_abs();
            let second = MICROS_PER_SECOND.unsigned_abs();
            let _ = write!(out, "T{sign}{}", micros / second);
            if !micros.is_multiple_of(second) {
                let fraction = format!("{:06}", micros % second);
                let _ = write!(out, ".{}", fraction.trim_end_matches('0'));
            }
            out.push('S');
        }
        out
    }

    /// Adds so many of a unit.
    fn add(&mut self, number: &str, unit: Unit) -> Option<()> {
        match unit {
            Unit::Months(each) => {
                self.months = self.months.checked_add(whole(number)?.checked_mul(each)?)?;
            }
            Unit::Days(each) => self.days = self.days.checked_add(whole(number)?.checked_mul(each)?)?,
            Unit::Micros(MICROS_PER_SECOND) => self.micros = self.micros.checked_add(seconds(number)?)?,
            Unit::Micros(each) => {
                let number = i64::from(whole(number)?);
                self.micros = self.micros.checked_add(number.checked_mul(each)?)?;
            }
        }
        Some(())
    }
}

/// What is counted.
#[derive(Clone, Copy)]
enum Unit {
    Months(i32),
    Days(i32),
    Micros(i64),
}

fn whole(number: &str) -> Option<i32> {
    let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    number.parse().ok()
}

/// Seconds, with a fraction or without, in microseconds.
fn seconds(number: &str) -> Option<i64> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (before, behind) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(before) || !plain(behind) || behind.trim_end_matches('0').len() > FRACTION_DIGITS {
        return None;
    }
    let fraction: i64 = format!("{behind:0<6}").get(..FRACTION_DIGITS)?.parse().ok()?;
    let micros = before.parse::<i64>().ok()?.checked_mul(MICROS_PER_SECOND)?.checked_add(fraction)?;
    Some(if negative { -micros } else { micros })
}

/// `1Y2M3W4DT5H6M7.8S`, each part once and in this order.
fn iso(text: &str) -> Option<Interval> {
    const DATE: [(char, Unit); 4] =
        [('Y', Unit::Months(12)), ('M', Unit::Months(1)), ('W', Unit::Days(7)), ('D', Unit::Days(1))];
    const TIME: [(char, Unit); 3] = [
        ('H', Unit::Micros(MICROS_PER_HOUR)),
        ('M', Unit::Micros(MICROS_PER_MINUTE)),
        ('S', Unit::Micros(MICROS_PER_SECOND)),
    ];
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    if (date.is_empty() && time.is_none()) || time == Some("") {
        return None;
    }
    let mut found = Interval::default();
    for (mut rest, units) in [(date, &DATE[..]), (time.unwrap_or(""), &TIME[..])] {
        let mut units = units.iter();
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let (number, letter) = (&rest[..end], rest[end..].chars().next()?);
            let (_, unit) = units.find(|(own, _)| *own == letter)?;
            found.add(number, *unit)?;
            rest = &rest[end + 1..];
        }
    }
    Some(found)
}

/// `1 year 2 mons -3 days 04:05:06.7`, and `1 day, 2:03:04`.
fn words(text: &str) -> Option<Interval> {
    let mut found = Interval::default();
    let mut words = text.split(' ').peekable();
    words.peek().filter(|word| !word.is_empty())?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            found.micros = found.micros.checked_add(clock(word)?)?;
            // The time of day comes last.
            return words.next().is_none().then_some(found);
        }
        let unit = match words.next()?.trim_end_matches(',').trim_end_matches('s') {
            "year" => Unit::Months(12),
            "mon" | "month" => Unit::Months(1),
            "week" => Unit::Days(7),
            "day" => Unit::Days(1),
            "hour" => Unit::Micros(MICROS_PER_HOUR),
            "min" | "minute" => Unit::Micros(MICROS_PER_MINUTE),
            "sec" | "second" => Unit::Micros(MICROS_PER_SECOND),
            _ => return None,
        };
        found.add(word, unit)?;
    }
    Some(found)
}

/// `[-]H:MM:SS[.ffffff]`, of any number of hours.
fn clock(text: &str) -> Option<i64> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = rest.split(':');
    let (hours, minutes, rest) = (parts.next()?, parts.next()?, parts.next().unwrap_or("00"));
    let two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !two(minutes) || !two(rest.get(..2)?) || hours.is_empty() {
        return None;
    }
    let plain = hours.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes): (i64, i64) = (hours.parse().ok().filter(|_| plain)?, minutes.parse().ok()?);
    let seconds = seconds(rest)?;
    if minutes > 59 || seconds >= MICROS_PER_MINUTE {
        return None;
    }
    let micros =
        hours.checked_mul(MICROS_PER_HOUR)?.checked_add(minutes * MICROS_PER_MINUTE)?.checked_add(seconds)?;
    Some(if negative { -micros } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_span_are_one() {
        for (text, canonical) in [
            ("1 day", "P1D"),
            ("P1D", "P1D"),
            ("24:00:00", "PT86400S"),
            ("P1DT0S", "P1D"),
            ("1 day, 2:03:04", "P1DT7384S"),
            ("-1 day, 23:59:59.500000", "P-1DT86399.5S"),
            ("1 year 2 mons -3 days 04:05:06.789", "P14M-3DT14706.789S"),
            ("P1Y2M-3DT4H5M6.789S", "P14M-3DT14706.789S"),
            ("-00:00:00.000001", "PT-0.000001S"),
            ("P2W", "P14D"),
            ("00:00:00", "PT0S"),
            ("1 mon", "P1M"),
            ("PT1M", "PT60S"),
            ("2 hours 30 minutes", "PT9000S"),
            ("1.5 secs", "PT1.5S"),
            ("100000:00", "PT360000000S"),
        ] {
            let read = Interval::parse(text.as_bytes());
            assert_eq!(read.map(|read| read.text()).as_deref(), Some(canonical), "{text}");
            assert_eq!(Interval::parse(canonical.as_bytes()), read, "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_not_read() {
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "P1S",
            "PT1D",
            "P1D2Y",
            "P1.5D",
            "1",
            "day",
            "1 day ago",
            "1 day 2",
            "a day",
            "1:2:3",
            "00:60:00",
            "00:00:60",
            "1 century",
            "00:00:00.0000001",
            "P1DT",
            " 1 day",
            "1  day",
            "3000000000 days",
            "x:00:00",
            "--1 day",
        ] {
            assert_eq!(Interval::parse(text.as_bytes()), None, "{text}");
        }
    }
}
