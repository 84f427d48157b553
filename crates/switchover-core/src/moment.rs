//! Times as applications write them, read by their value: with or without a zone, with any fraction of a second.
//!
//! Nothing is guessed: a text that names no zone is a time without one, and what is finer than a microsecond is said
//! to be there. Deliberately absent: which of them a column takes, which is [`crate::native`].

use crate::datetime;
use serde::{Deserialize, Serialize};

/// What a number in a column of times counts since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
}

impl EpochUnit {
    /// Its name, as plans and messages have it.
    pub fn word(self) -> &'static str {
        match self {
            EpochUnit::Seconds => "seconds",
            EpochUnit::Millis => "millis",
            EpochUnit::Micros => "micros",
        }
    }

    /// Microseconds that one counts for.
    pub(crate) fn micros(self) -> i64 {
        match self {
            EpochUnit::Seconds => MICROS_PER_SECOND,
            EpochUnit::Millis => 1000,
            EpochUnit::Micros => 1,
        }
    }
}

const MICROS_PER_SECOND: i64 = 1_000_000;

/// PostgreSQL's timestamps end in the year 294276; what an application writes ends before this, with the year 9999.
pub(crate) const MICROS_MAX: i64 = 253_402_300_800 * MICROS_PER_SECOND;

/// And begin in 4713 BC; texts begin with the year 1, which an instant is to have in UTC too: no store of texts writes it otherwise.
pub(crate) const MICROS_MIN: i64 = -62_135_596_800 * MICROS_PER_SECOND;

/// A time as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// Microseconds since 1970-01-01T00:00:00, of UTC when it names its zone; what is finer is left out.
    pub(crate) micros: i64,
    /// Whether it names its zone.
    pub(crate) has_zone: bool,
    /// Whether anything finer was left out.
    pub(crate) finer: bool,
}

/// A timestamp in any of the ways in which applications write one.
pub(crate) fn parse(text: &[u8]) -> Option<Read> {
    let head = datetime::parse_timestamp(text.get(..19)?)?.micros;
    let mut rest = &text[19..];
    let (mut fraction, mut finer) = (0, false);
    if let Some((b'.', tail)) = rest.split_first() {
        let count = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        finer = tail[..count].iter().skip(6).any(|byte| *byte != b'0');
        for at in 0..6 {
            fraction = fraction * 10 + i64::from(tail[..count].get(at).map_or(0, |byte| byte - b'0'));
        }
        rest = &tail[count..];
    }
    let offset = match rest {
        b"" => return Some(Read { micros: head + fraction, has_zone: false, finer }),
        b"Z" | b"z" => 0,
        // Go's `Time.String`: an offset, and the zone's name.
        [b' ', offset @ ..] => {
            let end = offset.iter().position(|byte| *byte == b' ')?;
            let name = &offset[end + 1..];
            let named =
                !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"+-".contains(b));
            offset_seconds(&offset[..end]).filter(|_| named)?
        }
        offset => offset_seconds(offset)?,
    };
    Some(Read { micros: head + fraction - offset * MICROS_PER_SECOND, has_zone: true, finer })
}

/// `+HH`, `+HHMM` or `+HH:MM` in seconds.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let two = |at: usize| -> Option<i64> {
        let pair = digits.get(at..at + 2)?;
        pair.iter()
            .all(u8::is_ascii_digit)
            .then(|| i64::from(pair[0] - b'0') * 10 + i64::from(pair[1] - b'0'))
    };
    let (hours, minutes) = match digits.len() {
        2 => (two(0)?, 0),
        4 => (two(0)?, two(2)?),
        5 if digits[2] == b':' => (two(0)?, two(3)?),
        _ => return None,
    };
    // No zone is further from UTC than this; PostgreSQL's own limit is the same.
    (hours < 16 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Microseconds since midnight, of a text within the precision.
pub(crate) fn time_of_day(text: &[u8], digits: u8) -> Option<i64> {
    // The same clock on the first day there is.
    let mut whole = b"1970-01-01 ".to_vec();
    whole.extend_from_slice(text);
    let read = parse(&whole)?;
    (!read.has_zone && !read.finer && within(read.micros, digits)).then_some(read.micros)
}

/// Whether so many digits of a second's fraction hold all of it.
pub(crate) fn within(micros: i64, digits: u8) -> bool {
    micros % unit(digits) == 0
}

/// Without what that many digits do not hold: the moment before, never after.
pub(crate) fn cut(micros: i64, digits: u8) -> i64 {
    micros - micros.rem_euclid(unit(digits))
}

fn unit(digits: u8) -> i64 {
    10i64.pow(6 - u32::from(digits.min(6)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_move_the_instant() {
        let at = |text: &str| parse(text.as_bytes()).map(|read| (read.micros, read.has_zone));
        assert_eq!(at("1970-01-01T02:00:00+02:00"), Some((0, true)));
        assert_eq!(at("1969-12-31 18:30:00-0530"), Some((0, true)));
        assert_eq!(at("1970-01-01 01:00:00 +0100 CET"), Some((0, true)));
        assert_eq!(at("1970-01-01 00:00:00.5"), Some((500_000, false)));
        for bad in
            ["1970-01-01 00:00:00+", "1970-01-01 00:00:00+2", "1970-01-01 00:00:00 +0100", "1970-01-01"]
        {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}
