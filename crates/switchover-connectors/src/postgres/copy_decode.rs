//! COPY's binary format back into rows, with the target's own values.
//!
//! The types are the plan's: the reader selects the columns by name and the server sends their
//! binary forms. A field that does not have the form of its type is an error, never a guess.

use super::copy_encode::{EPOCH_DAYS, EPOCH_MICROS, FAMILY_4, FAMILY_6, HEADER, JSONB_VERSION};
use bytes::{Buf, Bytes, BytesMut};
use std::net::IpAddr;
use switchover_core::decimal;
use switchover_core::inet::Inet;
use switchover_core::interval::Interval;
use switchover_core::plan::{Element, LogicalType};
use switchover_core::reverse;
use switchover_core::uuid_text::{self, UuidForm};
use switchover_core::value::{Rows, Value};
use switchover_core::{Error, Kind, Result};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Takes messages of a COPY stream and appends whole rows.
#[derive(Debug)]
pub(super) struct Decoder {
    types: Vec<LogicalType>,
    started: bool,
    finished: bool,
    partial: BytesMut,
    digits: Vec<u8>,
    /// The number of the last row, where rows are numbered.
    number: Option<i64>,
    /// What messages say of where a value came from.
    names: Names,
}

/// What a stream's fields are called, for messages.
#[derive(Debug, Default)]
struct Names {
    operation: &'static str,
    /// Of each field; those of the row's key come first.
    fields: Vec<String>,
    key: usize,
}

impl Decoder {
    pub(super) fn new(types: Vec<LogicalType>) -> Decoder {
        Decoder {
            types,
            started: false,
            finished: false,
            partial: BytesMut::new(),
            digits: Vec::new(),
            number: None,
            names: Names { operation: "read rows of the target", ..Names::default() },
        }
    }

    /// What messages call the operation and the fields, of which so many are the row's key.
    pub(super) fn named(self, operation: &'static str, fields: Vec<String>, key: usize) -> Decoder {
        Decoder { names: Names { operation, fields, key }, ..self }
    }

    /// Before each row its number, from the one after this on.
    pub(super) fn numbered(self, after: i64) -> Decoder {
        Decoder { number: Some(after), ..self }
    }

    /// Whether the stream ended as it should.
    pub(super) fn is_complete(&self) -> bool {
        self.finished && self.partial.is_empty()
    }

    /// Takes one message. The server sends a row a message, but the protocol does not promise it.
    pub(super) fn message(&mut self, message: Bytes, rows: &mut Rows) -> Result<()> {
        if self.partial.is_empty() {
            let mut slice = &message[..];
            let used = self.consume(&mut slice, rows)?;
            self.partial.extend_from_slice(&message[used..]);
        } else {
            self.partial.extend_from_slice(&message);
            let whole = std::mem::take(&mut self.partial).freeze();
            let used = self.consume(&mut &whole[..], rows)?;
            self.partial.extend_from_slice(&whole[used..]);
        }
        Ok(())
    }

    /// Consumes as many whole items as there are, and tells how many bytes they took.
    fn consume(&mut self, input: &mut &[u8], rows: &mut Rows) -> Result<usize> {
        let all = input.len();
        if !self.started {
            if input.len() < HEADER.len() {
                return Ok(0);
            }
            if input[..11] != HEADER[..11] {
                return Err(self.malformed("the stream does not begin with COPY's signature"));
            }
            let extension = u32::from_be_bytes([input[15], input[16], input[17], input[18]]) as usize;
            if input.len() < HEADER.len() + extension {
                return Ok(0);
            }
            input.advance(HEADER.len() + extension);
            self.started = true;
        }
        let mut used = all - input.len();
        while input.len() >= 2 && !self.finished {
            match i16::from_be_bytes([input[0], input[1]]) {
                -1 => {
                    self.finished = true;
                    input.advance(2);
                }
                count if usize::try_from(count) == Ok(self.types.len()) => {
                    let Some(length) = tuple_length(&input[2..], self.types.len()) else { break };
                    let mut tuple = &input[2..2 + length];
                    if let Some(number) = &mut self.number {
                        *number += 1;
                        rows.push(Value::Int(*number));
                    }
                    for index in 0..self.types.len() {
                        let ty = self.types[index];
                        if let Err(detail) = self.field(&mut tuple, ty, rows) {
                            return Err(self.in_row(&input[2..2 + length], index, detail));
                        }
                    }
                    input.advance(2 + length);
                }
                count => {
                    return Err(self.malformed(format!(
                        "a row of {count} fields where {} were asked for",
                        self.types.len()
                    )));
                }
            }
            used = all - input.len();
        }
        Ok(used)
    }

    fn malformed(&self, detail: impl Into<String>) -> Error {
        Error::new(Kind::Internal, self.names.operation).detail(detail)
    }

    /// The error of a field that has not the form of its type, with its column.
    fn error(&self, index: usize, detail: String) -> Error {
        let error = self.malformed(detail);
        match self.names.fields.get(index) {
            Some(column) => error.column(column.clone()),
            None => error,
        }
    }

    /// The same with its row, where that can be read.
    fn in_row(&mut self, tuple: &[u8], index: usize, detail: String) -> Error {
        let error = self.error(index, detail);
        let (mut rest, mut key) = (tuple, Rows::new(0, 1));
        for at in 0..self.names.key.min(index) {
            let ty = self.types[at];
            if self.field(&mut rest, ty, &mut key).is_err() {
                return error;
            }
        }
        let shown =
            key.iter().zip(&self.names.fields).map(|(row, name)| format!("{name}={}", row.value(0).shown()));
        let shown: Vec<String> = shown.collect();
        match (shown.is_empty(), self.number) {
            (false, _) => error.key(shown.join(", ")),
            (true, Some(number)) => error.key(format!("row {number}")),
            (true, None) => error,
        }
    }

    fn field(&mut self, tuple: &mut &[u8], ty: LogicalType, rows: &mut Rows) -> Answer {
        let length = tuple.get_i32();
        if length < 0 {
            rows.push(Value::Null);
            return Ok(());
        }
        let (bytes, rest) = tuple.split_at(length as usize);
        *tuple = rest;
        self.cell(bytes, ty, rows)
    }

    /// Takes a row of an ordinary query that was answered in binary form.
    pub(super) fn row<'a>(
        &mut self,
        cells: impl Iterator<Item = Option<&'a [u8]>>,
        rows: &mut Rows,
    ) -> Result<()> {
        for (index, cell) in cells.enumerate() {
            match cell {
                None => rows.push(Value::Null),
                Some(bytes) => {
                    let ty = self.types.get(index).copied();
                    let ty = ty.ok_or_else(|| self.malformed("a row of too many fields"))?;
                    self.cell(bytes, ty, rows).map_err(|detail| self.error(index, detail))?;
                }
            }
        }
        Ok(())
    }

    fn cell(&mut self, bytes: &[u8], ty: LogicalType, rows: &mut Rows) -> Answer {
        let wrong = || format!("a field of {} bytes is no {ty}", bytes.len());
        let value = match ty {
            LogicalType::Text | LogicalType::Varchar(_) | LogicalType::Char(_) => Value::Text(bytes),
            LogicalType::Json => Value::Json(bytes),
            LogicalType::TextArray | LogicalType::Array(_) => {
                self.digits.clear();
                let element = match ty {
                    LogicalType::Array(element) => element,
                    _ => Element::Varchar(None),
                };
                array(bytes, element, &mut self.digits).ok_or_else(wrong)?;
                Value::Json(&self.digits)
            }
            LogicalType::Inet => {
                self.digits.clear();
                self.digits.extend_from_slice(inet(bytes).ok_or_else(wrong)?.text().as_bytes());
                Value::Text(&self.digits)
            }
            LogicalType::Cidr => {
                self.digits.clear();
                let text = inet(bytes).ok_or_else(wrong)?.network_text();
                self.digits.extend_from_slice(text.as_bytes());
                Value::Text(&self.digits)
            }
            LogicalType::Macaddr => {
                let bytes: [u8; 6] = bytes.try_into().map_err(|_| wrong())?;
                self.digits.clear();
                self.digits.extend_from_slice(bytes.map(|byte| format!("{byte:02x}")).join(":").as_bytes());
                Value::Text(&self.digits)
            }
            LogicalType::Interval => {
                self.digits.clear();
                let text = interval(bytes).ok_or_else(wrong)?.text();
                self.digits.extend_from_slice(text.as_bytes());
                Value::Text(&self.digits)
            }
            LogicalType::Int2 => {
                Value::Int(i64::from(i16::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)))
            }
            LogicalType::Int4 => {
                Value::Int(i64::from(i32::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)))
            }
            LogicalType::Float4 => {
                Value::Float(f64::from(f32::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)))
            }
            LogicalType::Time => Value::Time(i64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)),
            LogicalType::Bytea => Value::Bytes(bytes),
            LogicalType::Int8 => Value::Int(i64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)),
            LogicalType::Float8 => Value::Float(f64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)),
            LogicalType::Bool => match bytes {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return Err(wrong()),
            },
            LogicalType::Uuid => Value::Uuid(bytes.try_into().map_err(|_| wrong())?),
            LogicalType::Date => {
                let days = i32::from_be_bytes(bytes.try_into().map_err(|_| wrong())?);
                // Infinite dates are the type's extremes: they saturate and so stay unlike any other.
                Value::Date(days.saturating_add(EPOCH_DAYS))
            }
            LogicalType::Timestamp | LogicalType::TimestampTz => {
                let raw = i64::from_be_bytes(bytes.try_into().map_err(|_| wrong())?);
                // The type's extremes are the infinities: they saturate and so stay unlike any other.
                let micros = raw.saturating_add(EPOCH_MICROS);
                let zoned = ty == LogicalType::TimestampTz;
                if micros == i64::MAX && raw != i64::MAX {
                    // Too late to be counted from 1970, though not from 2000.
                    let (days, of_day) = (raw.div_euclid(MICROS_PER_DAY), raw.rem_euclid(MICROS_PER_DAY));
                    self.digits.clear();
                    reverse::late_timestamp(days + i64::from(EPOCH_DAYS), of_day, zoned, &mut self.digits);
                    Value::Text(&self.digits)
                } else if zoned {
                    Value::TimestampTz(micros)
                } else {
                    Value::Timestamp(micros)
                }
            }
            LogicalType::Jsonb => match bytes.split_first() {
                Some((&JSONB_VERSION, text)) => Value::Json(text),
                _ => return Err(wrong()),
            },
            // No column of this target has such a type.
            LogicalType::Declared | LogicalType::Any | LogicalType::Vector => return Err(wrong()),
            LogicalType::Numeric(_) => {
                self.digits.clear();
                numeric(bytes, &mut self.digits).ok_or_else(wrong)?;
                Value::Decimal(&self.digits)
            }
        };
        rows.push(value);
        Ok(())
    }
}

/// The bytes of a tuple's fields, when all of them are there.
fn tuple_length(input: &[u8], fields: usize) -> Option<usize> {
    let mut at = 0usize;
    for _ in 0..fields {
        let head = input.get(at..at + 4)?;
        let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    (at <= input.len()).then_some(at)
}

/// Else why a field has not the form of its type: a defect.
type Answer = std::result::Result<(), String>;

/// A `numeric` as its canonical decimal form; `NaN` and infinities as words, which no number equals.
fn numeric(mut bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if bytes.len() < 8 {
        return None;
    }
    let (count, weight, sign, _scale) = (bytes.get_i16(), bytes.get_i16(), bytes.get_u16(), bytes.get_i16());
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xC000 => return special(b"NaN", out),
        0xD000 => return special(b"Infinity", out),
        0xF000 => return special(b"-Infinity", out),
        _ => return None,
    };
    if bytes.len() != usize::try_from(count).ok()? * 2 {
        return None;
    }
    let mut digits = Vec::with_capacity(bytes.len() * 2);
    while bytes.has_remaining() {
        let group = bytes.get_u16();
        for power in [1000, 100, 10, 1] {
            digits.push(b'0' + (group / power % 10) as u8);
        }
    }
    let exponent = (i64::from(weight) - i64::from(count) + 1) * 4;
    decimal::write_parts(negative, &digits, exponent, out);
    Some(())
}

/// An address of the Internet Protocol, as the encoder writes it.
fn inet(bytes: &[u8]) -> Option<Inet> {
    let [family, bits, _, length, octets @ ..] = bytes else { return None };
    let address = match *family {
        FAMILY_4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        FAMILY_6 => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        _ => return None,
    };
    (usize::from(*length) == octets.len()).then_some(Inet { address, bits: *bits })
}

/// A span of time, as the encoder writes it.
fn interval(mut bytes: &[u8]) -> Option<Interval> {
    if bytes.len() != 16 {
        return None;
    }
    let (micros, days, months) = (bytes.get_i64(), bytes.get_i32(), bytes.get_i32());
    Some(Interval { months, days, micros })
}

/// An array as JSON. One of several dimensions, or one that does not begin at 1, becomes a JSON value that no array
/// that was written equals; times are their microseconds.
fn array(mut bytes: &[u8], element: Element, out: &mut Vec<u8>) -> Option<()> {
    if bytes.len() < 12 {
        return None;
    }
    let (dimensions, _nulls, _type) = (bytes.get_i32(), bytes.get_i32(), bytes.get_i32());
    let mut elements: Vec<Option<&[u8]>> = Vec::new();
    match dimensions {
        0 => {}
        1 if bytes.len() >= 8 => {
            let (count, first) = (bytes.get_i32(), bytes.get_i32());
            if first != 1 {
                return special(b"\"an array that does not begin at 1\"", out);
            }
            for _ in 0..count {
                if bytes.len() < 4 {
                    return None;
                }
                let length = bytes.get_i32();
                let Ok(length) = usize::try_from(length) else {
                    elements.push(None);
                    continue;
                };
                elements.push(Some(bytes.get(..length)?));
                bytes.advance(length);
            }
        }
        _ => return special(b"\"an array of several dimensions\"", out),
    }
    if matches!(element, Element::Int2 | Element::Int4 | Element::Int8) {
        let all: Option<Vec<Option<i64>>> = elements
            .into_iter()
            .map(|element| element.map_or(Some(None), |bytes| integer(bytes).map(Some)))
            .collect();
        return serde_json::to_writer(out, &all?).ok();
    }
    if !matches!(element, Element::Varchar(_)) {
        out.push(b'[');
        for (at, bytes) in elements.into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            match bytes {
                Some(bytes) => one(bytes, element, out)?,
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b']');
        return Some(());
    }
    let all: Result<Vec<Option<&str>>, _> =
        elements.into_iter().map(|element| element.map(std::str::from_utf8).transpose()).collect();
    serde_json::to_writer(out, &all.ok()?).ok()
}

/// An element as JSON; what JSON has no number for is a word, which no number equals.
fn one(bytes: &[u8], element: Element, out: &mut Vec<u8>) -> Option<()> {
    match element {
        Element::Bool => out.extend_from_slice(match bytes {
            [0] => b"false",
            [1] => b"true",
            _ => return None,
        }),
        Element::Float8 => {
            let double = f64::from_be_bytes(bytes.try_into().ok()?);
            match double.is_finite() {
                true => out.extend_from_slice(format!("{double:e}").as_bytes()),
                false => out.extend_from_slice(format!("\"{double}\"").as_bytes()),
            }
        }
        Element::Numeric(_) => {
            let mut number = Vec::new();
            numeric(bytes, &mut number)?;
            match number.last()?.is_ascii_digit() {
                true => out.append(&mut number),
                false => out.extend_from_slice(format!("\"{}\"", String::from_utf8(number).ok()?).as_bytes()),
            }
        }
        Element::Uuid => {
            let uuid: [u8; 16] = bytes.try_into().ok()?;
            out.push(b'"');
            uuid_text::write(&uuid, UuidForm::LowerDashed, out);
            out.push(b'"');
        }
        // The type's extremes are the infinities: they saturate and so stay unlike any other.
        Element::Timestamp | Element::TimestampTz => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).saturating_add(EPOCH_MICROS);
            out.extend_from_slice(micros.to_string().as_bytes());
        }
        Element::Varchar(_) | Element::Int2 | Element::Int4 | Element::Int8 => return None,
    }
    Some(())
}

/// An integer of as many bytes as there are.
fn integer(bytes: &[u8]) -> Option<i64> {
    match bytes.len() {
        2 => Some(i64::from(i16::from_be_bytes(bytes.try_into().ok()?))),
        4 => Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

fn special(word: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(word);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::copy_encode;
    use super::*;
    use proptest::prelude::*;
    use switchover_core::codec::Codec;
    use switchover_core::datetime::{Fraction, Separator, TimeFormat, Zone};
    use switchover_core::native::Native;

    fn there_and_back(codec: Codec, ty: LogicalType, value: Value<'_>, split: usize) {
        let mut rows = Rows::new(0, 1);
        rows.push(value);
        let (mut out, mut scratch) = (BytesMut::from(HEADER), Vec::new());
        copy_encode::row(
            rows.row(0),
            &[copy_encode::Field { index: 0, codec: codec.clone(), r#type: ty, proven: false }],
            &mut scratch,
            |_| false,
            &mut out,
        )
        .expect("fits");
        out.extend_from_slice(&copy_encode::TRAILER);
        let mut decoder = Decoder::new(vec![ty]);
        let mut back = Rows::new(0, 1);
        let bytes = out.freeze();
        let at = split % bytes.len();
        decoder.message(bytes.slice(..at), &mut back).expect("well formed");
        decoder.message(bytes.slice(at..), &mut back).expect("well formed");
        assert!(decoder.is_complete());
        let (mut source, mut target) = (Vec::new(), Vec::new());
        codec.canonical_source(value, &mut source).expect("fits");
        codec.canonical_target(back.row(0).value(0), &mut scratch, &mut target);
        assert_eq!(source, target, "{value:?}");
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_is_decoded(
            f in any::<f64>(), i in any::<i64>(), text in ".*", blob in any::<Vec<u8>>(),
            days in -719_162i64..2_932_896, micros in 0i64..86_400_000_000, split in any::<usize>(),
        ) {
            let decimal = || Codec::Decimal { limits: None };
            if f.is_finite() {
                there_and_back(decimal(), LogicalType::Numeric(None), Value::Float(f), split);
            }
            there_and_back(Codec::Float, LogicalType::Float8, Value::Float(if f.is_nan() { 0.0 } else { f }), split);
            there_and_back(decimal(), LogicalType::Numeric(None), Value::Int(i), split);
            there_and_back(decimal(), LogicalType::Numeric(None), Value::Int(i % 100 * 10_000), split);
            there_and_back(Codec::Int, LogicalType::Int8, Value::Int(i), split);
            there_and_back(Codec::Bytes, LogicalType::Bytea, Value::Bytes(&blob), split);
            if !text.contains('\0') {
                there_and_back(Codec::Text { chars_max: None }, LogicalType::Text, Value::Text(text.as_bytes()), split);
            }
            let format = TimeFormat { separator: Separator::T, fraction: Fraction::Fixed(6), zone: Zone::Z };
            let mut stamp = Vec::new();
            switchover_core::datetime::format_timestamp(days * 86_400_000_000 + micros, &format, &mut stamp);
            there_and_back(Codec::Timestamp { format }, LogicalType::TimestampTz, Value::Text(&stamp), split);
            there_and_back(Codec::Date, LogicalType::Date, Value::Text(&stamp[..10]), split);
            there_and_back(Codec::Json, LogicalType::Jsonb, Value::Text(format!("[{i}]").as_bytes()), split);
            there_and_back(Codec::BoolInt, LogicalType::Bool, Value::Int(i & 1), split);
            let native = |native: Native, ty: LogicalType, value: Value<'_>| {
                there_and_back(Codec::Native(native), ty, value, split);
            };
            native(Native::Int { bytes: 2 }, LogicalType::Int2, Value::Int(i64::from(i as i16)));
            native(Native::Int { bytes: 4 }, LogicalType::Int4, Value::Int(i64::from(i as i32)));
            native(Native::Float4, LogicalType::Float4, Value::Float(f64::from(i as f32)));
            native(Native::JsonText, LogicalType::Json, Value::Text(format!("[ {i} ]").as_bytes()));
            native(Native::TimeOfDay { digits: 6 }, LogicalType::Time, Value::Text(&stamp[11..26]));
            for (element, own) in [
                (Element::Int2, i64::from(i as i16)),
                (Element::Int4, i64::from(i as i32)),
                (Element::Int8, i),
            ] {
                let array = format!("[{own}, null, 0]");
                native(Native::array(element), LogicalType::Array(element), Value::Text(array.as_bytes()));
            }
            let six = Inet { address: IpAddr::from((u128::from(i.unsigned_abs()) * 7).to_be_bytes()), bits: (i & 127) as u8 };
            let four = Inet { address: IpAddr::from((i as u32).to_be_bytes()), bits: 32 };
            let span = Interval { months: i as i32, days: (i >> 32) as i32, micros: i };
            native(Native::Interval { epoch: None }, LogicalType::Interval, Value::Text(span.text().as_bytes()));
            native(Native::Macaddr, LogicalType::Macaddr, Value::Text(b"08:00:2b:ff:02:03"));
            native(Native::Cidr, LogicalType::Cidr, Value::Text(b"2001:db8::/32"));
            let double = if f.is_finite() { f } else { 0.5 };
            for (element, array) in [
                (Element::Bool, format!("[{}, null]", i & 1 == 0)),
                (Element::Float8, format!("[{double:e}, 0, null]")),
                (Element::Numeric(None), format!("[{i}.5, {double}]")),
                (Element::Uuid, format!("[\"{}\"]", String::from_utf8_lossy(&uuid_text::format(&u128::from(i.unsigned_abs()).to_be_bytes(), UuidForm::LowerDashed)))),
                (Element::TimestampTz, format!("[\"{}\", null]", String::from_utf8_lossy(&stamp))),
            ] {
                native(Native::array(element), LogicalType::Array(element), Value::Text(array.as_bytes()));
            }
            for inet in [six, four] {
                native(Native::Inet, LogicalType::Inet, Value::Text(inet.text().as_bytes()));
            }
            let moment = Native::Moment { zoned: true, digits: 6, utc: false, epoch: None, cut: false, back: None };
            native(moment, LogicalType::TimestampTz, Value::Text(&stamp));
            if !text.contains('\0') {
                let array = serde_json::to_string(&[Some(&*text), None, Some("")]).expect("JSON");
                native(Native::TextArray { nulls: true, chars: None }, LogicalType::TextArray, Value::Text(array.as_bytes()));
                native(Native::TextArray { nulls: true, chars: None }, LogicalType::TextArray, Value::Text(b"[]"));
                let varchar = LogicalType::Array(Element::Varchar(None));
                native(Native::array(Element::Varchar(None)), varchar, Value::Text(array.as_bytes()));
            }
        }
    }
}
