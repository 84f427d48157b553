//! Codecs: how a source column's values become the target's, and come back.
//!
//! Invariant I7: for every cell, either `encode` gives a value that [`Codec::canonical_target`]
//! takes back to exactly what [`Codec::canonical_source`] says of the source's cell, or it is an
//! [`Unfit`] and is refused or quarantined. Verification compares those canonical bytes, and
//! `canonical_target` starts from what was read back from the target, not from what was encoded.
//!
//! Most codecs are exact (the source's own value comes back); `Float`, `Decimal` and `Json` compare
//! by value, and the plan says so.

use crate::census::FLOAT_EXACT_MAX;
use crate::datetime::{self, TimeFormat};
use crate::decimal;
use crate::digest;
use crate::escape;
use crate::expr::Affinity;
use crate::ids::Namespace;
use crate::native::Native;
use crate::reverse;
use crate::uuid_text::{self, UuidForm};
use crate::value::{Value, utf8};
use serde::{Deserialize, Serialize};

/// Why a value does not fit its target column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit(pub String);

/// How a column's values are carried over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "codec", rename_all = "snake_case")]
pub enum Codec {
    /// Integers as they are.
    Int,
    /// Reals as binary64; integers up to 2^53 by value.
    Float,
    /// Text as UTF-8 without NUL, of at most so many characters.
    Text {
        /// The target column's limit in characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chars_max: Option<u32>,
    },
    /// Text with escapes where the target's text cannot hold it, of at most so many characters.
    TextEscaped {
        /// The target column's limit in characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chars_max: Option<u32>,
    },
    /// Text as the bytes that it is.
    TextBytes,
    /// Bytes as they are.
    Bytes,
    /// 0 and 1 as false and true.
    BoolInt,
    /// Two texts as false and true.
    BoolText {
        /// The text that means false.
        no: String,
        /// The text that means true.
        yes: String,
    },
    /// Numbers by decimal value.
    Decimal {
        /// Digits in all, and behind the point, that the target holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limits: Option<(u32, u32)>,
    },
    /// UUIDs written in one form.
    UuidText {
        /// The form.
        form: UuidForm,
    },
    /// UUIDs as 16 bytes.
    UuidBytes,
    /// Ids as UUIDs ([`crate::ids`]). Compared by what they become; the way back is the map beside the table.
    Uuid5 {
        /// In which they become UUIDs.
        namespace: Namespace,
        /// Whether the target has them as text.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        text: bool,
    },
    /// Dates written `YYYY-MM-DD`.
    Date,
    /// Timestamps written in one format; with a zone they are instants.
    Timestamp {
        /// The format.
        format: TimeFormat,
    },
    /// JSON text, compared by value.
    Json,
    /// A type that the planner chooses only where a column of it exists already.
    Native(Native),
    /// Values of every storage class as they are, where text must be UTF-8 and may hold NUL.
    Plain,
    /// JSON texts as they are, but for the white space between their parts.
    JsonText,
    /// Values of every storage class as they are, in a column of this affinity, which must not change them.
    Any {
        /// What the target's column prefers.
        affinity: Affinity,
    },
    /// Values of a typed column as numbers and texts, which this codec would carry back.
    Reverse {
        /// The codec of the way back.
        of: Box<Codec>,
    },
}

/// Tags of canonical cells. They are part of the ledger's format: never renumber.
pub(crate) mod tag {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const INT: u8 = 1;
    pub(crate) const FLOAT: u8 = 2;
    pub(crate) const TEXT: u8 = 3;
    pub(crate) const BYTES: u8 = 4;
    pub(crate) const DECIMAL: u8 = 5;
    pub(crate) const JSON: u8 = 6;
    /// A value of a class that the column should not hold.
    pub(crate) const FOREIGN: u8 = 7;
    /// Microseconds since 1970-01-01T00:00:00, where times compare by value.
    pub(crate) const MOMENT: u8 = 8;
    /// Microseconds since midnight.
    pub(crate) const TIME: u8 = 9;
    /// JSON as the text that it is.
    pub(crate) const JSON_TEXT: u8 = 10;
    /// What an id became.
    pub(crate) const ID: u8 = 11;
}

fn unfit<T>(reason: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit(reason.into()))
}

impl Codec {
    /// Whether the source's own value, and not only an equal one, comes back.
    pub fn is_exact(&self) -> bool {
        match self {
            Codec::Float | Codec::Decimal { .. } | Codec::Json | Codec::JsonText | Codec::Uuid5 { .. } => {
                false
            }
            Codec::Native(native) => native.is_exact(),
            Codec::Reverse { of } => of.is_exact(),
            Codec::Int
            | Codec::Plain
            | Codec::Text { .. }
            | Codec::TextEscaped { .. }
            | Codec::TextBytes
            | Codec::Bytes
            | Codec::BoolInt
            | Codec::BoolText { .. }
            | Codec::UuidText { .. }
            | Codec::UuidBytes
            | Codec::Date
            | Codec::Timestamp { .. }
            | Codec::Any { .. } => true,
        }
    }

    /// Whether an expression over the target's cells, read by their type, says what it said over the source's: not
    /// where texts became truth values or bytes or got escapes, and where values became others.
    pub fn keeps_meaning(&self) -> bool {
        match self {
            Codec::BoolText { .. } | Codec::TextEscaped { .. } | Codec::TextBytes | Codec::Uuid5 { .. } => {
                false
            }
            Codec::Reverse { of } => !matches!(**of, Codec::Text { .. }),
            Codec::Int
            | Codec::Float
            | Codec::Text { .. }
            | Codec::Bytes
            | Codec::BoolInt
            | Codec::Decimal { .. }
            | Codec::UuidText { .. }
            | Codec::UuidBytes
            | Codec::Date
            | Codec::Timestamp { .. }
            | Codec::Json
            | Codec::Native(_)
            | Codec::Plain
            | Codec::JsonText
            | Codec::Any { .. } => true,
        }
    }

    /// The target's value, or why there is none. `scratch` lends room for values that are made.
    #[inline]
    pub fn encode<'a>(&self, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Unfit> {
        match (self, value) {
            (_, Value::Null) => Ok(Value::Null),
            (Codec::Text { chars_max }, Value::Text(text)) => {
                fit_text(text, *chars_max)?;
                Ok(value)
            }
            (Codec::TextEscaped { chars_max }, Value::Text(text)) => match escape::encode(text, scratch) {
                false => fit_text(text, *chars_max).map(|()| value),
                true => {
                    fit_text(scratch, *chars_max)?;
                    Ok(Value::Text(scratch))
                }
            },
            (Codec::TextBytes, Value::Text(text)) => Ok(Value::Bytes(text)),
            (Codec::Int, Value::Int(_))
            | (Codec::Bytes, Value::Bytes(_))
            | (Codec::Float, Value::Float(_)) => Ok(value),
            (Codec::Float, Value::Int(i)) if i.unsigned_abs() <= FLOAT_EXACT_MAX => {
                Ok(Value::Float(i as f64))
            }
            (Codec::Float, Value::Int(_)) => {
                unfit("an integer beyond 2^53, which a double does not hold exactly")
            }
            (Codec::BoolInt, Value::Int(i @ (0 | 1))) => Ok(Value::Bool(i == 1)),
            (Codec::BoolInt, Value::Int(_)) => unfit("an integer that is neither 0 nor 1"),
            (Codec::BoolText { no, yes }, Value::Text(text)) => {
                if text == yes.as_bytes() {
                    Ok(Value::Bool(true))
                } else if text == no.as_bytes() {
                    Ok(Value::Bool(false))
                } else {
                    unfit(format!("a text that is neither '{no}' nor '{yes}'"))
                }
            }
            (Codec::Decimal { limits }, Value::Int(_) | Value::Float(_)) => {
                scratch.clear();
                if !number(value, scratch) {
                    return unfit("an infinite number, which numeric does not hold on every version");
                }
                fit_decimal(scratch, *limits)?;
                Ok(Value::Decimal(scratch))
            }
            (Codec::UuidText { form }, Value::Text(text)) => match uuid_text::parse(text) {
                // Digits alone are the same in both cases.
                Some((uuid, _)) if uuid_text::format(&uuid, *form) == text => Ok(Value::Uuid(uuid)),
                Some(_) => unfit("a UUID written in another form than the rest of its column"),
                None if uuid_text::parse(&text.to_ascii_lowercase()).is_some() => {
                    unfit("a UUID in capitals and small letters, which would come back in another form")
                }
                None => unfit("a text that is no UUID"),
            },
            (Codec::UuidBytes, Value::Bytes(bytes)) => match <[u8; 16]>::try_from(bytes) {
                Ok(uuid) => Ok(Value::Uuid(uuid)),
                Err(_) => unfit("a blob that is not 16 bytes long"),
            },
            (Codec::Uuid5 { namespace, text }, value) => match namespace.id(value) {
                Some(uuid) if *text => {
                    scratch.clear();
                    uuid_text::write(&uuid, UuidForm::LowerDashed, scratch);
                    Ok(Value::Text(scratch))
                }
                Some(uuid) => Ok(Value::Uuid(uuid)),
                None => unfit(format!("{} in a column of {}", value.class(), self.expects())),
            },
            (Codec::Date, Value::Text(text)) => match datetime::parse_date(text) {
                Some(days) => Ok(Value::Date(days)),
                None => unfit("a text that is no date YYYY-MM-DD"),
            },
            (Codec::Timestamp { format }, Value::Text(text)) => match datetime::parse_timestamp(text) {
                Some(parsed) if datetime::fits(&parsed, format) => Ok(match format.zone {
                    datetime::Zone::None => Value::Timestamp(parsed.micros),
                    datetime::Zone::Z | datetime::Zone::Offset | datetime::Zone::Go => {
                        Value::TimestampTz(parsed.micros)
                    }
                }),
                Some(_) => unfit("a time written in another format than the rest of its column"),
                None => unfit("a text that is no time, or one with more than microseconds"),
            },
            (Codec::Json, Value::Text(text)) => {
                scratch.clear();
                crate::json::canonical(text, scratch).map_err(|reason| Unfit(reason.0))?;
                Ok(Value::Json(text))
            }
            (Codec::Native(native), value) => native.encode(value, scratch),
            (Codec::Plain, Value::Text(text)) if utf8(text).is_none() => {
                unfit("a text that is not valid UTF-8")
            }
            (Codec::Plain, Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_)) => Ok(value),
            (Codec::JsonText, Value::Text(text)) => {
                scratch.clear();
                crate::json::compact(text, scratch).map_err(|reason| Unfit(reason.0))?;
                match scratch.as_slice() {
                    b"null" => unfit("the JSON value null, which nothing tells from no value there"),
                    _ => Ok(Value::Json(scratch)),
                }
            }
            (Codec::Any { affinity }, Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_)) => {
                match affinity.changes(value) {
                    None => Ok(value),
                    Some(why) => unfit(why),
                }
            }
            (Codec::Reverse { of }, value) => reverse::encode(of, value, scratch),
            (codec, value) => unfit(format!("{} in a column of {}", value.class(), codec.expects())),
        }
    }

    /// As [`Codec::encode`], for a column of which the census proved that every value fits: what the
    /// census saw is not looked at again. Should it no longer be true, the target refuses the value
    /// or the verification finds it; nothing is stored in another form than the source has.
    #[inline]
    pub fn encode_proven<'a>(&self, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Unfit> {
        match (self, value) {
            (Codec::Text { .. }, Value::Text(_))
            | (Codec::Any { .. }, Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_)) => {
                Ok(value)
            }
            (Codec::Json, Value::Text(text)) => Ok(Value::Json(text)),
            _ => self.encode(value, scratch),
        }
    }

    /// Whether two codecs give the source's cells the same canonical bytes, given what the cells are.
    pub fn same_canonical(&self, other: &Codec, census: &crate::census::ColumnCensus) -> bool {
        let kind = |codec: &Codec| match codec {
            Codec::Json => 1,
            Codec::Decimal { .. } => 2,
            Codec::Reverse { of } => reverse::kind(of),
            Codec::JsonText => 20,
            Codec::Uuid5 { .. } => 21,
            // Reals alone are the same bytes by value as they are.
            Codec::Float if census.integers > 0 => 3,
            Codec::Native(native) => native.kind(census),
            _ => 0,
        };
        kind(self) == kind(other)
    }

    /// What the column holds, as messages say it.
    pub fn expects(&self) -> &'static str {
        match self {
            Codec::Int => "integers",
            Codec::Float => "doubles",
            Codec::Text { .. } | Codec::TextEscaped { .. } | Codec::TextBytes => "text",
            Codec::Bytes => "bytes",
            Codec::BoolInt | Codec::BoolText { .. } => "booleans",
            Codec::Decimal { .. } => "decimal numbers",
            Codec::UuidText { .. } | Codec::UuidBytes => "UUIDs",
            Codec::Uuid5 { .. } => "ids, which are integers or texts",
            Codec::Date => "dates",
            Codec::Timestamp { .. } => "timestamps",
            Codec::Native(native) => native.expects(),
            Codec::Reverse { of } => of.expects(),
            Codec::Json | Codec::JsonText => "JSON",
            Codec::Plain | Codec::Any { .. } => "integers, reals, texts and blobs",
        }
    }

    /// Appends what the source's cell says, in canonical bytes. A JSON text that does not survive by
    /// value is appended as the text that it is, and the reason given.
    #[inline]
    pub fn canonical_source(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
        match (self, value) {
            (Codec::Json, Value::Text(text)) => return json_cell(text, out),
            (Codec::JsonText, Value::Text(text)) => return json_text_cell(text, out),
            (_, Value::Null) => out.push(tag::NULL),
            (Codec::Native(native), value) if native.canonical_source(value, out) => {}
            (Codec::Uuid5 { namespace, .. }, value) => match namespace.id(value) {
                Some(uuid) => bytes(tag::ID, &uuid, out),
                None => foreign(value, out),
            },
            (Codec::Float, Value::Int(i)) if i.unsigned_abs() <= FLOAT_EXACT_MAX => float(i as f64, out),
            (Codec::Decimal { .. }, Value::Int(_) | Value::Float(_)) => decimal_cell(value, out),
            (_, Value::Int(i)) => int(i, out),
            (_, Value::Float(f)) => float(f, out),
            (_, Value::Text(text)) => bytes(tag::TEXT, text, out),
            (_, Value::Bytes(blob)) => bytes(tag::BYTES, blob, out),
            (Codec::Reverse { of }, other) => {
                if !reverse::canonical_source(of, other, out) {
                    foreign(other, out);
                }
            }
            (_, other) => foreign(other, out),
        }
        Ok(())
    }

    /// Appends what the target's cell says about the source's, in canonical bytes: the way back.
    #[inline]
    pub fn canonical_target(&self, value: Value<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        match (self, value) {
            (_, Value::Null) => out.push(tag::NULL),
            (Codec::Text { .. } | Codec::Plain | Codec::Any { .. }, Value::Text(text)) => {
                bytes(tag::TEXT, text, out)
            }
            (Codec::TextEscaped { .. }, Value::Text(text)) => match escape::decode(text, scratch) {
                Some(true) => bytes(tag::TEXT, scratch, out),
                Some(false) => bytes(tag::TEXT, text, out),
                None => foreign(value, out),
            },
            (Codec::TextBytes, Value::Bytes(text)) => bytes(tag::TEXT, text, out),
            (Codec::Int | Codec::Plain | Codec::Any { .. }, Value::Int(i)) => int(i, out),
            (Codec::Float | Codec::Plain | Codec::Any { .. }, Value::Float(f)) => float(f, out),
            (Codec::Bytes | Codec::Plain | Codec::Any { .. }, Value::Bytes(blob)) => {
                bytes(tag::BYTES, blob, out)
            }
            (Codec::BoolInt, Value::Bool(b)) => int(i64::from(b), out),
            (Codec::BoolText { no, yes }, Value::Bool(b)) => {
                bytes(tag::TEXT, if b { yes.as_bytes() } else { no.as_bytes() }, out);
            }
            (Codec::Decimal { .. }, Value::Decimal(digits)) => bytes(tag::DECIMAL, digits, out),
            (Codec::UuidText { form }, Value::Uuid(uuid)) => {
                scratch.clear();
                uuid_text::write(&uuid, *form, scratch);
                bytes(tag::TEXT, scratch, out);
            }
            (Codec::UuidBytes, Value::Uuid(uuid)) => bytes(tag::BYTES, &uuid, out),
            (Codec::Uuid5 { text: false, .. }, Value::Uuid(uuid)) => bytes(tag::ID, &uuid, out),
            (Codec::Uuid5 { text: true, .. }, Value::Text(text)) => match uuid_text::parse(text) {
                Some((uuid, _)) if uuid_text::format(&uuid, UuidForm::LowerDashed) == text => {
                    bytes(tag::ID, &uuid, out);
                }
                _ => foreign(value, out),
            },
            (Codec::Date, Value::Date(days)) => bytes(tag::TEXT, datetime::format_date(days).as_bytes(), out),
            (Codec::Timestamp { format }, Value::Timestamp(micros) | Value::TimestampTz(micros)) => {
                scratch.clear();
                datetime::format_timestamp(micros, format, scratch);
                bytes(tag::TEXT, scratch, out);
            }
            // What cannot be read as JSON compares as the text that it is, which no JSON equals.
            (Codec::Json, Value::Json(text)) => drop(json_cell(text, out)),
            (Codec::Native(native), value) if native.canonical_target(value, out) => {}
            (Codec::Reverse { of }, other) => {
                if !reverse::canonical_target(of, other, out) {
                    foreign(other, out);
                }
            }
            (Codec::JsonText, Value::Json(text)) => drop(json_text_cell(text, out)),
            (_, other) => foreign(other, out),
        }
    }
}

pub(crate) fn fit_text(text: &[u8], chars_max: Option<u32>) -> Result<(), Unfit> {
    if memchr::memchr(0, text).is_some() {
        return unfit("a NUL character, which PostgreSQL's text cannot hold");
    }
    let Some(valid) = utf8(text) else {
        return unfit("a text that is not valid UTF-8");
    };
    match chars_max {
        Some(max) if text.len() > max as usize && valid.chars().count() > max as usize => {
            unfit(format!("a text of {} characters; the column holds {max}", valid.chars().count()))
        }
        _ => Ok(()),
    }
}

pub(crate) fn fit_decimal(canonical: &[u8], limits: Option<(u32, u32)>) -> Result<(), Unfit> {
    let (Some((precision, scale)), Some(parts)) = (limits, decimal::parts(canonical)) else { return Ok(()) };
    if parts.scale() > u64::from(scale) || parts.integer_digits() > u64::from(precision.saturating_sub(scale))
    {
        return unfit(format!("a number with more digits than numeric({precision},{scale}) holds"));
    }
    Ok(())
}

fn number(value: Value<'_>, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Int(i) => {
            decimal::write_i64(i, out);
            true
        }
        Value::Float(f) => decimal::write_f64(f, out),
        _ => false,
    }
}

pub(crate) fn int(value: i64, out: &mut Vec<u8>) {
    out.push(tag::INT);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn float(value: f64, out: &mut Vec<u8>) {
    out.push(tag::FLOAT);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// A payload with its tag and length; a long one by its digest (see `limits::DIGEST_INLINE_BYTES`).
pub(crate) fn bytes(tag: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    if payload.len() > crate::limits::DIGEST_INLINE_BYTES {
        out.extend_from_slice(&digest::of_bytes(payload).to_le_bytes());
    } else {
        out.extend_from_slice(payload);
    }
}

/// The same of a payload that is written where it goes to; where it cannot be, nothing is.
fn written<E>(
    tag: u8,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.push(tag);
    out.extend_from_slice(&[0; size_of::<u64>()]);
    let begin = out.len();
    if let Err(unfit) = write(out) {
        out.truncate(start);
        return Err(unfit);
    }
    let length = out.len() - begin;
    out[start + 1..begin].copy_from_slice(&(length as u64).to_le_bytes());
    if length > crate::limits::DIGEST_INLINE_BYTES {
        let digest = digest::of_bytes(&out[begin..]);
        out.truncate(begin);
        out.extend_from_slice(&digest.to_le_bytes());
    }
    Ok(())
}

pub(crate) fn decimal_cell(value: Value<'_>, out: &mut Vec<u8>) {
    let is_number = written(tag::DECIMAL, out, |out| number(value, out).then_some(()).ok_or(()));
    if is_number.is_err() {
        foreign(value, out);
    }
}

pub(crate) fn json_cell(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    match written(tag::JSON, out, |out| crate::json::canonical(text, out)) {
        Ok(()) => Ok(()),
        Err(unfit) => {
            bytes(tag::TEXT, text, out);
            Err(Unfit(unfit.0))
        }
    }
}

fn json_text_cell(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
    match written(tag::JSON_TEXT, out, |out| crate::json::compact(text, out)) {
        Ok(()) => Ok(()),
        Err(unfit) => {
            bytes(tag::TEXT, text, out);
            Err(Unfit(unfit.0))
        }
    }
}

fn foreign(value: Value<'_>, out: &mut Vec<u8>) {
    bytes(tag::FOREIGN, format!("{}:{}", value.class(), value.shown()).as_bytes(), out);
}

#[cfg(test)]
mod tests;
