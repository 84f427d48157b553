//! Codecs for columns that the application's own migrations made: types that the planner would not
//! choose by itself.
//!
//! The invariant is that of [`crate::codec`]: what is encoded comes back, or it is an [`Unfit`].
//! [`Native::Moment`], [`Native::TimeOfDay`] and arrays compare by value, and the plan says so; the others give the
//! source's own value back. Deliberately absent: any conversion of one kind of value into another
//! that the caller did not ask for by name (a time without a zone, a number that counts seconds).

mod back;
mod forms;

use self::forms::{TrimSpaces, number, single, vector};
pub use self::forms::{VECTOR_NUMBER_BYTES, VectorForm, ints, macaddr, texts};

use crate::census::{ColumnCensus, FLOAT_EXACT_MAX};
use crate::codec::{self, Unfit};
use crate::datetime::TimeFormat;
use crate::inet::Inet;
use crate::interval::Interval;
use crate::list;
use crate::moment::{self, EpochUnit};
use crate::plan::{Element, LogicalType};
use crate::shape::Shape;
use crate::value::{Value, utf8};
use serde::{Deserialize, Serialize};
use std::io::Write as _;

/// How a column of a type that exists already is filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum Native {
    /// Integers of so many bytes, 2 or 4.
    Int {
        /// Bytes that the column has for a value.
        bytes: u8,
    },
    /// Reals that binary32 holds exactly.
    Float4,
    /// Text of at most so many characters, which the target pads with spaces: none may end it.
    Padded {
        /// The column's length.
        chars: u32,
    },
    /// One of the labels of an enumeration.
    Label {
        /// All labels, in the target's order.
        labels: Vec<String>,
    },
    /// JSON that is kept as the text that it is.
    JsonText,
    /// Times by their value, however each is written.
    Moment {
        /// Whether the column holds instants, and not the reading of a clock.
        zoned: bool,
        /// Digits of a second's fraction that the column keeps.
        digits: u8,
        /// Whether a time without a zone is one of UTC, and an instant is written without one.
        utc: bool,
        /// What numbers count; without it a number does not fit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<EpochUnit>,
        /// Whether digits of a fraction that the column does not keep are cut off.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut: bool,
        /// How a time is written that comes back to the source; without it as a number, where one counts something.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<TimeFormat>,
    },
    /// Times of day `HH:MM:SS`, with or without a fraction, by value.
    TimeOfDay {
        /// Digits of a second's fraction that the column keeps.
        digits: u8,
    },
    /// A JSON array of texts, as an array of texts.
    TextArray {
        /// Whether an element may be null.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        nulls: bool,
        /// Characters that an element may have at most, where limited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chars: Option<u32>,
    },
    /// A JSON array of integers, as an array of integers of so many bytes.
    IntArray {
        /// Bytes of an element: 2, 4 or 8.
        bytes: u8,
    },
    /// A JSON array of truth values, numbers, UUIDs or times ([`crate::list`]), or of integers that binary64 holds.
    List {
        /// An element's type.
        of: LogicalType,
        /// Digits of a second's fraction that an element keeps, where it is a time.
        digits: u8,
        /// Whether a time without a zone is one of UTC, and an instant is written without one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        utc: bool,
        /// Whether an element may be null.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        nulls: bool,
    },
    /// An address of the Internet Protocol in its one spelling, see [`Inet`].
    Inet,
    /// A network of the Internet Protocol in its one spelling, see [`Inet`].
    Cidr,
    /// A network card's address: six pairs of digits in lower case with colons.
    Macaddr,
    /// Spans of time by their months, days and microseconds, however each is written ([`Interval`]).
    Interval {
        /// What numbers count; without it a number does not fit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<EpochUnit>,
    },
    /// JSON texts of a declared form, as objects of the target's.
    Nested {
        /// The form.
        shape: Shape,
    },
    /// Text of valid UTF-8, NUL included.
    Unicode,
    /// Integers that binary64 holds, in a store that keeps every number so.
    Safe,
    /// Integers as the text of their decimal digits.
    Digits,
    /// Finite numbers as binary64; integers up to 2^53 by value.
    Finite,
    /// Bytes, at least one.
    SomeBytes,
    /// Vectors of binary32, all of finite numbers.
    Vector {
        /// How the source has them.
        from: VectorForm,
        /// How many numbers each has, where that is known: an index of vectors is of one length.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        length: Option<u32>,
    },
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn unfit<T>(reason: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit(reason.into()))
}

impl Native {
    /// The codec of an array.
    pub fn array(element: Element) -> Native {
        match element {
            Element::Varchar(chars) => Native::TextArray { nulls: true, chars },
            Element::Int2 => Native::IntArray { bytes: 2 },
            Element::Int4 => Native::IntArray { bytes: 4 },
            Element::Int8 => Native::IntArray { bytes: 8 },
            other => Native::list_of(other.of()),
        }
    }

    /// The codec of an array of elements of a type, to the microsecond where they are times.
    fn list_of(of: LogicalType) -> Native {
        Native::List { of, digits: 6, utc: false, nulls: true }
    }

    /// Whether the source's own value, and not only an equal one, comes back.
    pub fn is_exact(&self) -> bool {
        match self {
            Native::Int { .. }
            | Native::Padded { .. }
            | Native::Label { .. }
            | Native::JsonText
            | Native::Inet
            | Native::Cidr
            | Native::Macaddr
            | Native::Unicode
            | Native::Safe
            | Native::Digits
            | Native::SomeBytes
            | Native::Vector { from: VectorForm::Float32, .. } => true,
            Native::Float4
            | Native::Finite
            | Native::Moment { .. }
            | Native::TimeOfDay { .. }
            | Native::TextArray { .. }
            | Native::IntArray { .. }
            | Native::List { .. }
            | Native::Interval { .. }
            | Native::Nested { .. }
            | Native::Vector { from: VectorForm::Json, .. } => false,
        }
    }

    /// Codecs of one kind give the same canonical bytes; 0 are the source's own values.
    pub(crate) fn kind(&self, census: &ColumnCensus) -> u8 {
        match self {
            Native::Int { .. }
            | Native::Padded { .. }
            | Native::Label { .. }
            | Native::JsonText
            | Native::Inet
            | Native::Cidr
            | Native::Macaddr
            | Native::Unicode
            | Native::Safe
            | Native::Digits
            | Native::SomeBytes
            | Native::Vector { from: VectorForm::Float32, .. } => 0,
            Native::Float4 | Native::Finite if census.integers > 0 => 3,
            Native::Float4 | Native::Finite => 0,
            Native::TextArray { .. } | Native::IntArray { .. } | Native::Nested { .. } => 1,
            // Never what a scan predicts: such a column is read again.
            Native::Moment { .. }
            | Native::TimeOfDay { .. }
            | Native::List { .. }
            | Native::Interval { .. }
            | Native::Vector { from: VectorForm::Json, .. } => u8::MAX,
        }
    }

    /// What the column holds, as messages say it.
    pub fn expects(&self) -> &'static str {
        match self {
            Native::Int { bytes: 2 } => "integers of 16 bits",
            Native::Int { .. } => "integers of 32 bits",
            Native::Float4 => "reals of 32 bits",
            Native::Padded { .. } => "text of fixed length",
            Native::Label { .. } => "an enumeration's labels",
            Native::JsonText => "JSON",
            Native::Moment { .. } => "timestamps",
            Native::TimeOfDay { .. } => "times of day",
            Native::TextArray { .. } => "JSON arrays of texts",
            Native::IntArray { .. } => "JSON arrays of integers",
            Native::Inet => "addresses of the Internet Protocol",
            Native::Cidr => "networks of the Internet Protocol",
            Native::Macaddr => "addresses of network cards",
            Native::Interval { .. } => "spans of time",
            Native::List { of: LogicalType::Int8, .. } => "JSON arrays of integers",
            Native::List { of: LogicalType::Bool, .. } => "JSON arrays of truth values",
            Native::List { of: LogicalType::Uuid, .. } => "JSON arrays of UUIDs",
            Native::List { of: LogicalType::Timestamp | LogicalType::TimestampTz, .. } => {
                "JSON arrays of times"
            }
            Native::List { .. } => "JSON arrays of numbers",
            Native::Nested { .. } => "JSON of the declared form",
            Native::Unicode => "text",
            Native::Safe | Native::Digits => "integers",
            Native::Finite => "numbers",
            Native::SomeBytes => "bytes",
            Native::Vector { from: VectorForm::Float32, .. } => "vectors, as blobs of 4 bytes a number",
            Native::Vector { from: VectorForm::Json, .. } => "vectors, as JSON arrays of numbers",
        }
    }

    /// The target's value, or why there is none.
    pub(crate) fn encode<'a>(&self, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Unfit> {
        match (self, value) {
            (_, Value::Null) => Ok(value),
            (Native::Int { bytes }, Value::Int(i)) => {
                let fits = if *bytes == 2 { i16::try_from(i).is_ok() } else { i32::try_from(i).is_ok() };
                if fits { Ok(value) } else { unfit(format!("an integer beyond {} bytes", bytes)) }
            }
            (Native::Float4, Value::Int(_) | Value::Float(_)) => match single(value) {
                Some(f) => Ok(Value::Float(f)),
                None => unfit("a number that 32 bits do not hold exactly"),
            },
            (Native::Padded { chars }, Value::Text(text)) => {
                codec::fit_text(text, Some(*chars))?;
                if text.ends_with(b" ") {
                    return unfit("a text that ends with a space, which a column of fixed length loses");
                }
                Ok(value)
            }
            (Native::Label { labels }, Value::Text(text)) => {
                if labels.iter().any(|label| label.as_bytes() == text) {
                    Ok(value)
                } else {
                    unfit(format!("no label of the enumeration ({})", labels.join(", ")))
                }
            }
            (Native::JsonText, Value::Text(text)) => {
                crate::json::check(text).map_err(|reason| Unfit(reason.0))?;
                Ok(Value::Json(text))
            }
            (Native::Moment { zoned, .. }, Value::Text(_) | Value::Int(_)) => {
                let micros = self.moment(value)?;
                Ok(if *zoned { Value::TimestampTz(micros) } else { Value::Timestamp(micros) })
            }
            (Native::TimeOfDay { digits }, Value::Text(text)) => match moment::time_of_day(text, *digits) {
                Some(micros) => Ok(Value::Time(micros)),
                None => unfit("a text that is no time of day HH:MM:SS within the column's precision"),
            },
            (Native::TextArray { nulls, chars }, Value::Text(text)) => {
                let elements = texts(text)?;
                if elements.iter().any(Option::is_none) && !nulls {
                    return unfit(list::NO_NULLS);
                }
                for element in elements.iter().flatten() {
                    codec::fit_text(element.as_bytes(), *chars)?;
                }
                Ok(Value::Json(text))
            }
            (Native::IntArray { bytes }, Value::Text(text)) => {
                let reach = i64::MAX >> (64 - 8 * u32::from(*bytes));
                match ints(text)?.iter().flatten().any(|i| !(-reach - 1..=reach).contains(i)) {
                    true => unfit(format!("an integer beyond {bytes} bytes")),
                    false => Ok(Value::Json(text)),
                }
            }
            (Native::Inet, Value::Text(text)) => match Inet::parse(text) {
                Some(_) => Ok(value),
                None => unfit(
                    "no address of the Internet Protocol in its one spelling, such as 10.0.0.1, 10.0.0.0/8 or 2001:db8::1",
                ),
            },
            (Native::Cidr, Value::Text(text)) => match Inet::parse_network(text) {
                Some(_) => Ok(value),
                None => unfit(
                    "no network of the Internet Protocol in its one spelling, such as 10.0.0.0/8, 10.0.0.1/32 or 2001:db8::/32",
                ),
            },
            (Native::Macaddr, Value::Text(text)) => match macaddr(text) {
                Some(_) => Ok(value),
                None => unfit("no address of a network card in its one spelling, such as 08:00:2b:01:02:03"),
            },
            (Native::Interval { .. }, Value::Text(_) | Value::Int(_)) => {
                scratch.clear();
                scratch.extend_from_slice(self.span(value)?.text().as_bytes());
                Ok(Value::Text(scratch))
            }
            (Native::List { .. }, Value::Text(text)) => {
                self.list(text, scratch)?;
                Ok(Value::Json(scratch))
            }
            (Native::Nested { shape }, Value::Text(text)) => shape.read(text).map(|_| Value::Json(text)),
            (Native::Unicode, Value::Text(text)) => match utf8(text) {
                Some(_) => Ok(value),
                None => unfit("a text that is not valid UTF-8"),
            },
            (Native::Safe, Value::Int(i)) if i.unsigned_abs() <= FLOAT_EXACT_MAX => Ok(value),
            (Native::Safe, Value::Int(_)) => unfit("an integer beyond 2^53, which the target would round"),
            (Native::Digits, Value::Int(i)) => {
                scratch.clear();
                // Writing into memory cannot fail.
                let _ = write!(scratch, "{i}");
                Ok(Value::Text(scratch))
            }
            (Native::Finite, Value::Float(f)) if f.is_finite() => Ok(value),
            (Native::Finite, Value::Float(_)) => unfit("a number that is not finite"),
            (Native::Finite, Value::Int(i)) if i.unsigned_abs() <= FLOAT_EXACT_MAX => {
                Ok(Value::Float(i as f64))
            }
            (Native::Finite, Value::Int(_)) => {
                unfit("an integer beyond 2^53, which a double does not hold exactly")
            }
            (Native::SomeBytes, Value::Bytes([])) => unfit("an empty blob, which the target does not hold"),
            (Native::SomeBytes, Value::Bytes(_)) => Ok(value),
            (Native::Vector { from, length }, Value::Bytes(_) | Value::Text(_)) => {
                vector(*from, value, scratch)?;
                let numbers = scratch.len() / VECTOR_NUMBER_BYTES;
                match length.filter(|length| u32::try_from(numbers) != Ok(*length)) {
                    Some(length) => unfit(format!(
                        "a vector of {numbers} numbers, where the column's have {length}: an index is of one length"
                    )),
                    None => Ok(Value::Bytes(scratch)),
                }
            }
            (native, value) => unfit(format!("{} in a column of {}", value.class(), native.expects())),
        }
    }

    /// Appends what the source's cell says; `false` when it says nothing that this codec knows.
    pub(crate) fn canonical_source(&self, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match (self, value) {
            (Native::Float4, Value::Int(_) | Value::Float(_)) => match single(value) {
                Some(f) => codec::float(f, out),
                None => return false,
            },
            (Native::Moment { .. }, Value::Text(_) | Value::Int(_)) => match self.moment(value) {
                Ok(micros) => number(codec::tag::MOMENT, micros, out),
                Err(_) => return false,
            },
            (Native::TimeOfDay { digits }, Value::Text(text)) => match moment::time_of_day(text, *digits) {
                Some(micros) => number(codec::tag::TIME, micros, out),
                None => return false,
            },
            // What is no JSON is appended as the text that it is.
            (
                Native::TextArray { .. } | Native::IntArray { .. } | Native::Nested { .. },
                Value::Text(text),
            ) => {
                drop(codec::json_cell(text, out));
            }
            (Native::Interval { .. }, Value::Text(_) | Value::Int(_)) => match self.span(value) {
                Ok(span) => codec::bytes(codec::tag::TEXT, span.text().as_bytes(), out),
                Err(_) => return false,
            },
            (Native::List { .. }, Value::Text(text)) => {
                let mut list = Vec::new();
                match self.list(text, &mut list) {
                    Ok(()) => drop(codec::json_cell(&list, out)),
                    Err(_) => return false,
                }
            }
            (Native::Finite, Value::Int(i)) if i.unsigned_abs() <= FLOAT_EXACT_MAX => {
                codec::float(i as f64, out);
            }
            (Native::Vector { from: VectorForm::Json, .. }, Value::Text(_)) => {
                let mut numbers = Vec::new();
                match vector(VectorForm::Json, value, &mut numbers) {
                    Ok(()) => codec::bytes(codec::tag::BYTES, &numbers, out),
                    Err(_) => return false,
                }
            }
            _ => return false,
        }
        true
    }

    /// Appends what the target's cell says about the source's; `false` when it is none of the column's.
    pub(crate) fn canonical_target(&self, value: Value<'_>, out: &mut Vec<u8>) -> bool {
        match (self, value) {
            (Native::Int { .. }, Value::Int(i)) => codec::int(i, out),
            (Native::Float4, Value::Float(f)) => codec::float(f, out),
            (Native::Padded { .. }, Value::Text(text)) => {
                codec::bytes(codec::tag::TEXT, text.trim_ascii_end_spaces(), out);
            }
            (Native::Label { .. }, Value::Text(text)) | (Native::JsonText, Value::Json(text)) => {
                codec::bytes(codec::tag::TEXT, text, out);
            }
            (Native::Moment { zoned: true, .. }, Value::TimestampTz(micros))
            | (Native::Moment { zoned: false, .. }, Value::Timestamp(micros)) => {
                number(codec::tag::MOMENT, micros, out);
            }
            (Native::TimeOfDay { .. }, Value::Time(micros)) => number(codec::tag::TIME, micros, out),
            // What cannot be read as JSON compares as the text that it is, which no JSON equals.
            (
                Native::TextArray { .. }
                | Native::IntArray { .. }
                | Native::List { .. }
                | Native::Nested { .. },
                Value::Json(text),
            ) => {
                drop(codec::json_cell(text, out));
            }
            (
                Native::Unicode | Native::Inet | Native::Cidr | Native::Macaddr | Native::Interval { .. },
                Value::Text(text),
            ) => codec::bytes(codec::tag::TEXT, text, out),
            (Native::Safe, Value::Int(i)) => codec::int(i, out),
            (Native::Digits, Value::Text(digits)) => {
                let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok());
                match number.filter(|number| number.to_string().as_bytes() == digits) {
                    Some(number) => codec::int(number, out),
                    None => return false,
                }
            }
            (Native::Finite, Value::Float(f)) => codec::float(f, out),
            (Native::SomeBytes | Native::Vector { .. }, Value::Bytes(bytes)) => {
                codec::bytes(codec::tag::BYTES, bytes, out);
            }
            _ => return false,
        }
        true
    }

    /// Whether the census alone proves that every cell fits.
    pub(crate) fn surely_fits(&self, census: &ColumnCensus) -> bool {
        match self {
            Native::Int { bytes } => {
                let limit = if *bytes == 2 { i64::from(i16::MAX) } else { i64::from(i32::MAX) };
                census.integers == census.present()
                    && census.integer_range.is_none_or(|(low, high)| low >= -limit - 1 && high <= limit)
            }
            Native::Unicode => census.texts == census.present() && census.texts_invalid == 0,
            Native::Safe => census.integers == census.present() && census.integers_beyond_float == 0,
            Native::Digits => census.integers == census.present(),
            Native::Finite => {
                census.integers + census.reals == census.present()
                    && census.integers_beyond_float + census.reals_infinite == 0
            }
            Native::SomeBytes => {
                census.blobs == census.present() && census.blob_bytes_min.is_none_or(|least| least > 0)
            }
            _ => census.present() == 0,
        }
    }

    /// Whether it makes values of a type.
    pub(crate) fn makes(&self, ty: LogicalType) -> bool {
        match (self, ty) {
            (Native::Int { bytes: 2 }, LogicalType::Int2)
            | (Native::Int { bytes: 4 }, LogicalType::Int4)
            | (Native::Float4, LogicalType::Float4)
            | (Native::Label { .. }, LogicalType::Text)
            | (Native::JsonText, LogicalType::Json)
            | (Native::Moment { zoned: true, .. }, LogicalType::TimestampTz)
            | (Native::Moment { zoned: false, .. }, LogicalType::Timestamp)
            | (Native::TimeOfDay { .. }, LogicalType::Time)
            | (Native::TextArray { chars: None, .. }, LogicalType::TextArray)
            | (Native::IntArray { bytes: 2 }, LogicalType::Array(Element::Int2))
            | (Native::IntArray { bytes: 4 }, LogicalType::Array(Element::Int4))
            | (Native::IntArray { bytes: 8 }, LogicalType::Array(Element::Int8))
            | (Native::Inet, LogicalType::Inet)
            | (Native::Cidr, LogicalType::Cidr)
            | (Native::Macaddr, LogicalType::Macaddr)
            | (Native::Interval { .. }, LogicalType::Interval)
            | (Native::Nested { .. }, LogicalType::Jsonb)
            | (Native::Unicode | Native::Digits, LogicalType::Text)
            | (Native::Safe, LogicalType::Int8)
            | (Native::Finite, LogicalType::Float8)
            | (Native::SomeBytes, LogicalType::Bytea)
            | (Native::Vector { .. }, LogicalType::Vector) => true,
            (Native::List { of, .. }, LogicalType::Array(element)) => element.of() == *of,
            (Native::Padded { chars }, LogicalType::Char(own)) => *chars <= own,
            (Native::TextArray { chars, .. }, LogicalType::Array(Element::Varchar(own))) => *chars == own,
            _ => false,
        }
    }

    /// A cell's span of time.
    fn span(&self, value: Value<'_>) -> Result<Interval, Unfit> {
        let (value, epoch) = match (self, value) {
            (Native::Interval { epoch }, Value::Int(count)) => (count, epoch),
            (_, Value::Text(text)) => {
                return Interval::parse(text).ok_or_else(|| {
                    Unfit("a text that is no span of time, such as 1 day 02:03:04 or P1DT2H3M4S".into())
                });
            }
            (_, other) => return unfit(format!("{} in a column of spans of time", other.class())),
        };
        let Some(unit) = epoch else {
            return unfit("a number in a column of spans of time, and nothing says what it counts");
        };
        match value.checked_mul(unit.micros()) {
            Some(micros) => Ok(Interval { micros, ..Interval::default() }),
            None => unfit("a number that counts beyond what a span of time holds"),
        }
    }

    /// A JSON array as the target's side has it.
    fn list(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
        let Native::List { of, digits, utc, nulls } = self else { return unfit("no column of arrays") };
        let zoned = *of == LogicalType::TimestampTz;
        let times = Native::Moment { zoned, digits: *digits, utc: *utc, epoch: None, cut: false, back: None };
        list::encode(*of, *nulls, |text| times.moment(Value::Text(text)), text, out)
    }

    /// A cell's instant, or clock reading, in microseconds since 1970-01-01T00:00:00.
    fn moment(&self, value: Value<'_>) -> Result<i64, Unfit> {
        let Native::Moment { zoned, digits, utc, epoch, cut, .. } = self else {
            return unfit("no column of times");
        };
        let (micros, has_zone) = match value {
            Value::Int(count) => match epoch {
                None => return unfit("a number in a column of times, and nothing says what it counts"),
                Some(unit) => match count.checked_mul(unit.micros()) {
                    Some(micros) => (micros, *zoned),
                    None => return unfit("a number that counts beyond the year 9999"),
                },
            },
            Value::Text(text) => match moment::parse(text) {
                Some(read) if !read.finer || *cut => (read.micros, read.has_zone),
                Some(_) => return unfit("a time with more than 6 digits of a second's fraction"),
                None => return unfit("a text that is no time"),
            },
            other => return unfit(format!("{} in a column of timestamps", other.class())),
        };
        if !utc && has_zone != *zoned {
            return unfit(if *zoned {
                "a time without a zone in a column of instants"
            } else {
                "a time with a zone in a column that keeps none"
            });
        }
        if !(moment::MICROS_MIN..moment::MICROS_MAX).contains(&micros) {
            return unfit("a time outside of the years 1 to 9999");
        }
        if *cut {
            return Ok(moment::cut(micros, *digits));
        }
        if !moment::within(micros, *digits) {
            return unfit(format!("a time with more than {digits} digits of a second's fraction"));
        }
        Ok(micros)
    }
}

#[cfg(test)]
mod tests;
