//! Rows into COPY's binary format (PostgreSQL documentation, COPY, "Binary Format").
//!
//! Each cell goes from the batch through its codec straight into the stream's buffer: no row and no
//! cell is allocated. What a codec refuses is returned with its place; nothing is written in its stead.

use bytes::{BufMut, BytesMut};
use std::net::IpAddr;
use switchover_core::codec::{Codec, Unfit};
use switchover_core::inet::Inet;
use switchover_core::interval::Interval;
use switchover_core::limits::LARGE_VALUE_BYTES;
use switchover_core::plan::{Element, LogicalType, TablePlan};
use switchover_core::value::{Row, Value};
use switchover_core::{decimal, judge, list, native, uuid_text};

/// The signature, flags and extension length that open a stream.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What closes a stream.
pub(super) const TRAILER: [u8; 2] = (-1i16).to_be_bytes();

/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
pub(super) const EPOCH_DAYS: i32 = 10_957;

/// The same in microseconds.
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// The version byte in front of binary jsonb.
pub(super) const JSONB_VERSION: u8 = 1;

/// A field that is copied.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Its place in the row.
    pub(super) index: usize,
    pub(super) codec: Codec,
    /// The column's type, which says how wide a number is on the wire.
    pub(super) r#type: LogicalType,
    /// Whether the census proved that every value fits.
    pub(super) proven: bool,
}

/// The fields of a table that are copied: all but those that the target computes.
pub(super) fn fields(table: &TablePlan) -> Vec<Field> {
    let copied = table.columns.iter().enumerate().filter(|(_, column)| column.generated.is_none());
    copied
        .map(|(index, column)| Field {
            index,
            codec: column.codec.clone(),
            r#type: column.r#type,
            proven: judge::surely_fits(column),
        })
        .collect()
}

/// The same for rows that were not there when the values were counted: no census proves anything of them.
pub(super) fn unproven(table: &TablePlan) -> Vec<Field> {
    fields(table).into_iter().map(|field| Field { proven: false, ..field }).collect()
}

/// Where a row did not fit: the field and the reason.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) field: usize,
    pub(super) unfit: Unfit,
}

/// Appends one row. `skip` names fields that are not copied, `as_null` fields that are in quarantine.
#[inline]
pub(super) fn row(
    row: Row<'_>,
    fields: &[Field],
    scratch: &mut Vec<u8>,
    mut as_null: impl FnMut(usize) -> bool,
    out: &mut BytesMut,
) -> Result<(), Misfit> {
    // Tables end at 1,600 columns, so the count fits.
    out.put_i16(fields.len() as i16);
    for field in fields {
        let value = if as_null(field.index) { Value::Null } else { row.value(field.index) };
        cell(field.encode(value, scratch)?, field.r#type, out);
    }
    Ok(())
}

impl Field {
    /// The field's value as the target takes it.
    #[inline]
    pub(super) fn encode<'a>(&self, value: Value<'a>, scratch: &'a mut Vec<u8>) -> Result<Value<'a>, Misfit> {
        let encoded = if self.proven {
            self.codec.encode_proven(value, scratch)
        } else {
            self.codec.encode(value, scratch)
        };
        encoded.map_err(|unfit| Misfit { field: self.index, unfit })
    }
}

/// The start of a cell whose payload follows in packets of its own, and that payload; `None` for a
/// value that is not large.
pub(super) fn large<'a>(value: Value<'a>, ty: LogicalType, out: &mut BytesMut) -> Option<&'a [u8]> {
    let (bytes, version) = match (value, ty) {
        (Value::Text(bytes) | Value::Bytes(bytes), _) | (Value::Json(bytes), LogicalType::Json) => {
            (bytes, None)
        }
        (Value::Json(bytes), LogicalType::Jsonb) => (bytes, Some(JSONB_VERSION)),
        _ => return None,
    };
    if bytes.len() <= LARGE_VALUE_BYTES {
        return None;
    }
    out.put_i32(bytes.len() as i32 + i32::from(version.is_some()));
    out.extend(version);
    Some(bytes)
}

/// Appends a row of values that are the target's own already.
pub(super) fn target_row(row: Row<'_>, types: &[LogicalType], out: &mut BytesMut) {
    out.put_i16(row.width() as i16);
    row.values().zip(types).for_each(|(value, ty)| cell(value, *ty, out));
}

#[inline]
fn payload(bytes: &[u8], out: &mut BytesMut) {
    // A field ends at 1 GiB, see `limits::FIELD_BYTES_MAX`; the planner refuses longer ones.
    out.put_i32(bytes.len() as i32);
    out.extend_from_slice(bytes);
}

#[inline]
pub(super) fn cell(value: Value<'_>, ty: LogicalType, out: &mut BytesMut) {
    match value {
        Value::Null => out.put_i32(-1),
        Value::Text(text) if ty == LogicalType::Inet => inet(Inet::parse(text), 0, out),
        Value::Text(text) if ty == LogicalType::Cidr => inet(Inet::parse_network(text), 1, out),
        Value::Text(text) if ty == LogicalType::Macaddr => match native::macaddr(text) {
            Some(bytes) => payload(&bytes, out),
            None => refused(out),
        },
        Value::Text(text) if ty == LogicalType::Interval => interval(text, out),
        Value::Text(bytes) | Value::Bytes(bytes) => payload(bytes, out),
        Value::Int(i) => integer(i, ty, out),
        // The codec has proven that the narrower form is the same number.
        Value::Float(f) if ty == LogicalType::Float4 => {
            out.put_i32(4);
            out.put_f32(f as f32);
        }
        Value::Float(f) => {
            out.put_i32(8);
            out.put_f64(f);
        }
        Value::Bool(b) => {
            out.put_i32(1);
            out.put_u8(u8::from(b));
        }
        Value::Uuid(uuid) => payload(&uuid, out),
        Value::Date(days) => {
            out.put_i32(4);
            out.put_i32(days - EPOCH_DAYS);
        }
        Value::Time(micros) => {
            out.put_i32(8);
            out.put_i64(micros);
        }
        Value::Timestamp(micros) | Value::TimestampTz(micros) => {
            out.put_i32(8);
            out.put_i64(micros - EPOCH_MICROS);
        }
        Value::Json(text) if ty == LogicalType::Json => payload(text, out),
        Value::Json(text) => match ty {
            LogicalType::TextArray => texts(text, TEXT_OID, out),
            LogicalType::Array(Element::Varchar(_)) => texts(text, VARCHAR_OID, out),
            LogicalType::Array(Element::Int2) => integers(text, INT2_OID, LogicalType::Int2, out),
            LogicalType::Array(Element::Int4) => integers(text, INT4_OID, LogicalType::Int4, out),
            LogicalType::Array(Element::Int8) => integers(text, INT8_OID, LogicalType::Int8, out),
            LogicalType::Array(
                element @ (Element::Bool
                | Element::Float8
                | Element::Numeric(_)
                | Element::Uuid
                | Element::Timestamp
                | Element::TimestampTz),
            ) => elements(text, element, out),
            _ => {
                out.put_i32(text.len() as i32 + 1);
                out.put_u8(JSONB_VERSION);
                out.extend_from_slice(text);
            }
        },
        Value::Decimal(canonical) => numeric(canonical, out),
    }
}

/// An integer in as many bytes as its column has. One that does not fit is a length that the server refuses.
fn integer(value: i64, ty: LogicalType, out: &mut BytesMut) {
    match (ty, i16::try_from(value), i32::try_from(value)) {
        (LogicalType::Int2, Ok(narrow), _) => {
            out.put_i32(2);
            out.put_i16(narrow);
        }
        (LogicalType::Int4, _, Ok(narrow)) => {
            out.put_i32(4);
            out.put_i32(narrow);
        }
        (LogicalType::Int2 | LogicalType::Int4, ..) => refused(out),
        _ => {
            out.put_i32(8);
            out.put_i64(value);
        }
    }
}

/// Types in an array's header, by their numbers in the server's catalog (`pg_type.dat`).
const TEXT_OID: i32 = 25;
const VARCHAR_OID: i32 = 1043;
const INT2_OID: i32 = 21;
const INT4_OID: i32 = 23;
const INT8_OID: i32 = 20;

fn texts(json: &[u8], oid: i32, out: &mut BytesMut) {
    match native::texts(json) {
        Ok(elements) => array(&elements, oid, out, |text, out| payload(text.as_bytes(), out)),
        Err(_) => refused(out),
    }
}

fn integers(json: &[u8], oid: i32, ty: LogicalType, out: &mut BytesMut) {
    match native::ints(json) {
        Ok(elements) => array(&elements, oid, out, |number, out| integer(*number, ty, out)),
        Err(_) => refused(out),
    }
}

const BOOL_OID: i32 = 16;
const FLOAT8_OID: i32 = 701;
const TIMESTAMP_OID: i32 = 1114;
const TIMESTAMPTZ_OID: i32 = 1184;
const NUMERIC_OID: i32 = 1700;
const UUID_OID: i32 = 2950;

/// The elements of a list as the codec wrote it.
fn elements(json: &[u8], element: Element, out: &mut BytesMut) {
    let oid = match element {
        Element::Bool => BOOL_OID,
        Element::Float8 => FLOAT8_OID,
        Element::Timestamp => TIMESTAMP_OID,
        Element::TimestampTz => TIMESTAMPTZ_OID,
        Element::Numeric(_) => NUMERIC_OID,
        Element::Uuid => UUID_OID,
        Element::Varchar(_) | Element::Int2 | Element::Int4 | Element::Int8 => return refused(out),
    };
    match list::elements(json) {
        Ok(elements) => array(&elements, oid, out, |raw, out| {
            if one(raw.get(), element, out).is_none() {
                refused(out);
            }
        }),
        Err(_) => refused(out),
    }
}

/// One of them; `None` for what the codec never writes.
fn one(raw: &str, element: Element, out: &mut BytesMut) -> Option<()> {
    let ty = element.of();
    match element {
        Element::Bool => cell(Value::Bool(raw.parse().ok()?), ty, out),
        Element::Float8 => cell(Value::Float(raw.parse().ok()?), ty, out),
        Element::Numeric(_) => {
            let mut canonical = Vec::new();
            decimal::parse(raw.as_bytes(), &mut canonical).then_some(())?;
            cell(Value::Decimal(&canonical), ty, out);
        }
        Element::Uuid => {
            let (uuid, _) = uuid_text::parse(raw.trim_matches('"').as_bytes())?;
            cell(Value::Uuid(uuid), ty, out);
        }
        _ => cell(Value::Timestamp(raw.parse().ok()?), ty, out),
    }
    Some(())
}

/// A span of time (`interval_recv` in the server's `timestamp.c`): microseconds, days, months.
fn interval(text: &[u8], out: &mut BytesMut) {
    let Some(Interval { months, days, micros }) = Interval::parse(text) else {
        // The codec has read it before.
        refused(out);
        return;
    };
    out.put_i32(16);
    out.put_i64(micros);
    out.put_i32(days);
    out.put_i32(months);
}

/// An array (`array_recv` in the server's `arrayfuncs.c`): dimensions, whether there are nulls, the elements'
/// type; length and lower bound; then each element.
fn array<T>(elements: &[Option<T>], oid: i32, out: &mut BytesMut, put: impl Fn(&T, &mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    out.put_i32(i32::from(!elements.is_empty()));
    out.put_i32(i32::from(elements.iter().any(Option::is_none)));
    out.put_i32(oid);
    if !elements.is_empty() {
        out.put_i32(elements.len() as i32);
        out.put_i32(1);
    }
    for element in elements {
        match element {
            Some(element) => put(element, out),
            None => out.put_i32(-1),
        }
    }
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Families of addresses on the wire (`PGSQL_AF_INET` and `PGSQL_AF_INET6` in the server's `inet.h`).
pub(super) const FAMILY_4: u8 = 2;
pub(super) const FAMILY_6: u8 = 3;

/// An address (`network_recv` in the server's `network.c`): family, bits that count, whether it is a network,
/// its length and its bytes.
fn inet(read: Option<Inet>, is_network: u8, out: &mut BytesMut) {
    let Some(inet) = read else {
        // The codec has read it before.
        refused(out);
        return;
    };
    let (family, octets) = match inet.address {
        IpAddr::V4(address) => (FAMILY_4, address.octets().to_vec()),
        IpAddr::V6(address) => (FAMILY_6, address.octets().to_vec()),
    };
    out.put_i32(4 + octets.len() as i32);
    out.extend_from_slice(&[family, inet.bits, is_network, octets.len() as u8]);
    out.extend_from_slice(&octets);
}

/// `numeric`'s wire form: groups of four digits, the first one's weight in powers of 10,000, the
/// sign, and the digits behind the point (`numeric_recv` in the server's `numeric.c`).
fn numeric(canonical: &[u8], out: &mut BytesMut) {
    let Some(parts) = decimal::parts(canonical) else {
        // Only a canonical form is ever put into a Decimal value; NULL would be a silent loss.
        refused(out);
        return;
    };
    let scale = parts.scale();
    // Pads the digits on the right so that the last group ends at a power of 10,000.
    let pad = parts.exponent.rem_euclid(4) as usize;
    let mut digits: Vec<u8> = parts.digits.iter().map(|digit| digit - b'0').collect();
    digits.resize(digits.len() + pad, 0);
    let last_weight = (parts.exponent - pad as i64) / 4;
    let lead = (4 - digits.len() % 4) % 4;
    digits.splice(0..0, std::iter::repeat_n(0, lead));
    let groups: Vec<i16> = digits
        .chunks_exact(4)
        .map(|group| group.iter().fold(0i16, |sum, digit| sum * 10 + i16::from(*digit)))
        .collect();
    let zero = groups.iter().all(|group| *group == 0);
    let groups = if zero { &[][..] } else { &groups[..] };
    let weight = if zero { 0 } else { last_weight + groups.len() as i64 - 1 };
    out.put_i32(8 + 2 * groups.len() as i32);
    out.put_i16(groups.len() as i16);
    out.put_i16(weight as i16);
    out.put_i16(if parts.negative && !zero { 0x4000 } else { 0 });
    out.put_i16(if zero { 0 } else { scale as i16 });
    groups.iter().for_each(|group| out.put_i16(*group));
}

/// A field length that the server refuses: the chunk fails as a whole and nothing is stored.
fn refused(out: &mut BytesMut) {
    out.put_i32(i32::MIN);
}
