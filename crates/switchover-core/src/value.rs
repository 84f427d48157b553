//! Values and batches of rows.
//!
//! A [`Value`] borrows; a [`Rows`] owns many of them in two allocations (a cell table and a heap),
//! so that reading a million rows allocates a few hundred times. Invariant: every cell of `Rows`
//! that has a payload points inside the heap, because only [`Rows::push`] makes cells.
//! Text is bytes: whether it is valid UTF-8 is decided where it matters, at the codec.

use serde::{Deserialize, Serialize};

/// Bytes as text, when they are UTF-8. Quicker than the standard library where texts are not ASCII, and without its word on where
/// the first wrong byte is.
#[inline]
pub fn utf8(bytes: &[u8]) -> Option<&str> {
    simdutf8::basic::from_utf8(bytes).ok()
}

/// One field of one row, borrowed from wherever it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// The absence of a value.
    Null,
    /// True or false, in stores that have it.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A binary64 number; NaN never occurs in SQLite.
    Float(f64),
    /// A decimal number in the canonical form of [`crate::decimal`].
    Decimal(&'a [u8]),
    /// Text as bytes, not known to be valid UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID's sixteen bytes, in RFC 9562 order.
    Uuid([u8; 16]),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00:00, no zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimestampTz(i64),
    /// JSON text.
    Json(&'a [u8]),
}

impl<'a> Value<'a> {
    /// What kind of value this is, as messages name it.
    pub fn class(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "real",
            Value::Decimal(_) => "decimal",
            Value::Text(_) => "text",
            Value::Bytes(_) => "blob",
            Value::Uuid(_) => "uuid",
            Value::Date(_) => "date",
            Value::Time(_) => "time",
            Value::Timestamp(_) => "timestamp",
            Value::TimestampTz(_) => "timestamp with zone",
            Value::Json(_) => "json",
        }
    }

    /// The value as a message shows it: escaped, and cut after [`crate::limits::SHOWN_BYTES`].
    pub fn shown(&self) -> String {
        match *self {
            Value::Null => "NULL".into(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => format!("{f:?}"),
            Value::Decimal(d) => shown_decimal(d),
            Value::Text(t) | Value::Json(t) => shown_text(t),
            Value::Bytes(b) => shown_bytes(b),
            Value::Uuid(u) => {
                String::from_utf8_lossy(&crate::uuid_text::format(&u, Default::default())).into_owned()
            }
            Value::Date(d) => {
                let mut text = Vec::new();
                crate::reverse::date(d, &mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
            Value::Time(t) => shown_time(t),
            Value::Timestamp(t) | Value::TimestampTz(t) => {
                let mut text = Vec::new();
                let zone = if matches!(self, Value::TimestampTz(_)) {
                    crate::datetime::Zone::Z
                } else {
                    crate::datetime::Zone::None
                };
                let shape = crate::datetime::TimeFormat {
                    separator: crate::datetime::Separator::Space,
                    fraction: crate::datetime::Fraction::Trimmed,
                    zone,
                };
                crate::reverse::timestamp(t, &shape, &mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
        }
    }

    /// The payload's bytes, for accounting.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Value::Decimal(b) | Value::Text(b) | Value::Bytes(b) | Value::Json(b) => b.len(),
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Date(_) => 4,
            Value::Uuid(_) => 16,
            Value::Int(_)
            | Value::Float(_)
            | Value::Time(_)
            | Value::Timestamp(_)
            | Value::TimestampTz(_) => 8,
        }
    }

    /// An owned copy.
    pub fn to_owned_value(&self) -> OwnedValue {
        match *self {
            Value::Null => OwnedValue::Null,
            Value::Bool(b) => OwnedValue::Bool(b),
            Value::Int(i) => OwnedValue::Int(i),
            Value::Float(f) => OwnedValue::FloatBits(f.to_bits()),
            Value::Decimal(d) => OwnedValue::Decimal(d.to_vec()),
            Value::Text(t) => match std::str::from_utf8(t) {
                Ok(text) => OwnedValue::Text(text.to_owned()),
                Err(_) => OwnedValue::TextBytes(t.to_vec()),
            },
            Value::Bytes(b) => OwnedValue::Bytes(b.to_vec()),
            Value::Uuid(u) => OwnedValue::Uuid(u),
            Value::Date(d) => OwnedValue::Date(d),
            Value::Time(t) => OwnedValue::Time(t),
            Value::Timestamp(t) => OwnedValue::Timestamp(t),
            Value::TimestampTz(t) => OwnedValue::TimestampTz(t),
            Value::Json(j) => OwnedValue::Json(j.to_vec()),
        }
    }
}

/// A number as people write it; one of very many digits in the form in which it is kept, cut.
fn shown_decimal(canonical: &[u8]) -> String {
    let many = |parts: crate::decimal::Parts<'_>| {
        let digits = parts.digits.len() as u64 + parts.exponent.unsigned_abs();
        digits > crate::limits::SHOWN_BYTES as u64
    };
    if crate::decimal::parts(canonical).is_some_and(many) {
        let cut = &canonical[..canonical.len().min(crate::limits::SHOWN_BYTES)];
        let more = if cut.len() < canonical.len() { "…" } else { "" };
        return format!("{}{more}", String::from_utf8_lossy(cut));
    }
    let mut text = Vec::new();
    crate::reverse::plain_decimal(canonical, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A time of day; PostgreSQL's days have a second 24:00:00.
fn shown_time(micros: i64) -> String {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match rest {
        0 => text,
        _ => format!("{text}.{rest:06}").trim_end_matches('0').to_owned(),
    }
}

fn shown_text(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(crate::limits::SHOWN_BYTES)];
    let mut out = String::from("'");
    for chunk in cut.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
        }
        if chunk.valid().len() + chunk.invalid().len() < cut.len() || cut.len() == bytes.len() {
            chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
        }
    }
    out.push('\'');
    if cut.len() < bytes.len() {
        out.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    out
}

fn shown_bytes(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(crate::limits::SHOWN_BYTES / 2)];
    let mut out = String::from("x'");
    cut.iter().for_each(|b| out.push_str(&format!("{b:02x}")));
    out.push('\'');
    if cut.len() < bytes.len() {
        out.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    out
}

/// A value that outlives its batch: keys, cursors, differences. Floats are kept as bits, so that
/// equality and serialisation are exact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnedValue {
    /// See [`Value::Null`].
    Null,
    /// See [`Value::Bool`].
    Bool(bool),
    /// See [`Value::Int`].
    Int(i64),
    /// See [`Value::Float`]; the bits of it.
    FloatBits(u64),
    /// See [`Value::Decimal`].
    Decimal(#[serde(with = "as_base64")] Vec<u8>),
    /// Text that is valid UTF-8.
    Text(String),
    /// Text that is not.
    TextBytes(#[serde(with = "as_base64")] Vec<u8>),
    /// See [`Value::Bytes`].
    Bytes(#[serde(with = "as_base64")] Vec<u8>),
    /// See [`Value::Uuid`].
    Uuid([u8; 16]),
    /// See [`Value::Date`].
    Date(i32),
    /// See [`Value::Time`].
    Time(i64),
    /// See [`Value::Timestamp`].
    Timestamp(i64),
    /// See [`Value::TimestampTz`].
    TimestampTz(i64),
    /// See [`Value::Json`].
    Json(#[serde(with = "as_base64")] Vec<u8>),
}

/// Bytes as base64 (RFC 4648, 4) in what is written: a third more, where a list of numbers would be near four times as much.
mod as_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}

impl OwnedValue {
    /// The borrowed form.
    pub fn borrow(&self) -> Value<'_> {
        match self {
            OwnedValue::Null => Value::Null,
            OwnedValue::Bool(b) => Value::Bool(*b),
            OwnedValue::Int(i) => Value::Int(*i),
            OwnedValue::FloatBits(b) => Value::Float(f64::from_bits(*b)),
            OwnedValue::Decimal(d) => Value::Decimal(d),
            OwnedValue::Text(t) => Value::Text(t.as_bytes()),
            OwnedValue::TextBytes(t) => Value::Text(t),
            OwnedValue::Bytes(b) => Value::Bytes(b),
            OwnedValue::Uuid(u) => Value::Uuid(*u),
            OwnedValue::Date(d) => Value::Date(*d),
            OwnedValue::Time(t) => Value::Time(*t),
            OwnedValue::Timestamp(t) => Value::Timestamp(*t),
            OwnedValue::TimestampTz(t) => Value::TimestampTz(*t),
            OwnedValue::Json(j) => Value::Json(j),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Tag {
    Null,
    Bool,
    Int,
    Float,
    Decimal,
    Text,
    Bytes,
    Uuid,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Json,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    tag: Tag,
    len: u32,
    word: u64,
}

/// A batch of rows: each row is a locator (the cells by which the store finds the row again, such
/// as a rowid) followed by the fields that were asked for.
#[derive(Debug, Default)]
pub struct Rows {
    locator_width: usize,
    width: usize,
    cells: Vec<Cell>,
    heap: Vec<u8>,
}

impl Rows {
    /// An empty batch of rows with so many locator cells and fields.
    pub fn new(locator_width: usize, fields: usize) -> Rows {
        Rows { locator_width, width: locator_width + fields, cells: Vec::new(), heap: Vec::new() }
    }

    /// Empties the batch, keeps its memory, and sets its shape.
    pub fn reset(&mut self, locator_width: usize, fields: usize) {
        self.locator_width = locator_width;
        self.width = locator_width + fields;
        self.cells.clear();
        self.heap.clear();
    }

    /// Takes back all rows but so many of the first; their payload stays on the heap until the batch is emptied.
    pub fn truncate(&mut self, rows: usize) {
        self.cells.truncate(rows * self.width);
    }

    /// Appends a cell. Rows are complete when every row has had `locator + fields` cells pushed.
    pub fn push(&mut self, value: Value<'_>) {
        let cell = match value {
            Value::Null => Cell { tag: Tag::Null, len: 0, word: 0 },
            Value::Bool(b) => Cell { tag: Tag::Bool, len: 0, word: u64::from(b) },
            Value::Int(i) => Cell { tag: Tag::Int, len: 0, word: i as u64 },
            Value::Float(f) => Cell { tag: Tag::Float, len: 0, word: f.to_bits() },
            Value::Date(d) => Cell { tag: Tag::Date, len: 0, word: i64::from(d) as u64 },
            Value::Time(t) => Cell { tag: Tag::Time, len: 0, word: t as u64 },
            Value::Timestamp(t) => Cell { tag: Tag::Timestamp, len: 0, word: t as u64 },
            Value::TimestampTz(t) => Cell { tag: Tag::TimestampTz, len: 0, word: t as u64 },
            Value::Uuid(u) => self.payload(Tag::Uuid, &u),
            Value::Decimal(b) => self.payload(Tag::Decimal, b),
            Value::Text(b) => self.payload(Tag::Text, b),
            Value::Bytes(b) => self.payload(Tag::Bytes, b),
            Value::Json(b) => self.payload(Tag::Json, b),
        };
        self.cells.push(cell);
    }

    /// Copies a payload to the heap. A field ends at 1 GiB in every store that is read (and below
    /// 2 GiB in SQLite at its hardest limit), so its length fits 32 bits.
    fn payload(&mut self, tag: Tag, bytes: &[u8]) -> Cell {
        let word = self.heap.len() as u64;
        if bytes.len() > crate::limits::LARGE_VALUE_BYTES {
            self.heap.reserve_exact(bytes.len());
        }
        self.heap.extend_from_slice(bytes);
        Cell { tag, len: bytes.len() as u32, word }
    }

    /// How many complete rows there are.
    pub fn len(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of payload and cells in use: what the memory budget counts.
    pub fn bytes(&self) -> usize {
        self.heap.len() + self.cells.len() * size_of::<Cell>()
    }

    /// Bytes that the batch keeps allocated.
    pub fn capacity_bytes(&self) -> usize {
        self.heap.capacity() + self.cells.capacity() * size_of::<Cell>()
    }

    /// The digest of the batch as it was read: rows, order and types. Two reads of one range of an
    /// unchanged store give the same.
    pub fn digest(&self) -> u128 {
        let mut bytes = Vec::with_capacity(16 + self.cells.len() * 13);
        bytes.extend_from_slice(&crate::digest::of_bytes(&self.heap).to_le_bytes());
        for cell in &self.cells {
            bytes.push(cell.tag as u8);
            bytes.extend_from_slice(&cell.len.to_le_bytes());
            bytes.extend_from_slice(&cell.word.to_le_bytes());
        }
        crate::digest::of_bytes(&bytes)
    }

    /// The row at `index`; `index < len()`.
    pub fn row(&self, index: usize) -> Row<'_> {
        let cells = &self.cells[index * self.width..(index + 1) * self.width];
        Row { locator_width: self.locator_width, cells, heap: &self.heap }
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|index| self.row(index))
    }
}

/// One row of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    locator_width: usize,
    cells: &'a [Cell],
    heap: &'a [u8],
}

impl<'a> Row<'a> {
    /// The number of fields.
    pub fn width(&self) -> usize {
        self.cells.len() - self.locator_width
    }

    /// The field at `index`.
    #[inline]
    pub fn value(&self, index: usize) -> Value<'a> {
        self.read(self.cells[self.locator_width + index])
    }

    /// All fields.
    #[inline]
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let row = *self;
        self.cells[self.locator_width..].iter().map(move |cell| row.read(*cell))
    }

    /// The cells by which the store finds the row again.
    pub fn locator(&self) -> Vec<OwnedValue> {
        self.cells[..self.locator_width].iter().map(|cell| self.read(*cell).to_owned_value()).collect()
    }

    #[inline]
    fn read(&self, cell: Cell) -> Value<'a> {
        let payload = || {
            let start = cell.word as usize;
            &self.heap[start..start + cell.len as usize]
        };
        match cell.tag {
            Tag::Null => Value::Null,
            Tag::Bool => Value::Bool(cell.word != 0),
            Tag::Int => Value::Int(cell.word as i64),
            Tag::Float => Value::Float(f64::from_bits(cell.word)),
            Tag::Date => Value::Date(cell.word as i64 as i32),
            Tag::Time => Value::Time(cell.word as i64),
            Tag::Timestamp => Value::Timestamp(cell.word as i64),
            Tag::TimestampTz => Value::TimestampTz(cell.word as i64),
            Tag::Decimal => Value::Decimal(payload()),
            Tag::Text => Value::Text(payload()),
            Tag::Bytes => Value::Bytes(payload()),
            Tag::Json => Value::Json(payload()),
            Tag::Uuid => {
                let mut uuid = [0; 16];
                uuid.copy_from_slice(payload());
                Value::Uuid(uuid)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_values_are_written_and_read() {
        for (value, text) in [
            (OwnedValue::Bytes(b"\xff\x00".to_vec()), r#"{"bytes":"/wA="}"#),
            (OwnedValue::TextBytes(b"a\xff".to_vec()), r#"{"text_bytes":"Yf8="}"#),
            (OwnedValue::Decimal(b"125e-2".to_vec()), r#"{"decimal":"MTI1ZS0y"}"#),
            (OwnedValue::Json(b"[]".to_vec()), r#"{"json":"W10="}"#),
            (OwnedValue::FloatBits(0.5f64.to_bits()), r#"{"float_bits":4602678819172646912}"#),
            (OwnedValue::Null, r#""null""#),
        ] {
            assert_eq!(serde_json::to_string(&value).expect("text"), text);
            assert_eq!(serde_json::from_str::<OwnedValue>(text).expect(text), value);
        }
        assert!(serde_json::from_str::<OwnedValue>(r#"{"bytes":"no"}"#).is_err());
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        for (value, shown) in [
            (Value::Date(i32::MAX), "infinity"),
            (Value::Date(19_782), "2024-02-29"),
            (Value::Timestamp(i64::MAX), "infinity"),
            (Value::TimestampTz(i64::MIN + 946_684_800_000_000), "-infinity"),
            (Value::TimestampTz(500_000), "1970-01-01 00:00:00.5Z"),
            (Value::Timestamp(-62_167_219_200_000_000), "0001-01-01 00:00:00 BC"),
            (Value::Time(86_400_000_000), "24:00:00"),
            (Value::Time(45_296_789_000), "12:34:56.789"),
            (Value::Decimal(b"125e-2"), "1.25"),
            (Value::Decimal(b"-1e3"), "-1000"),
            (Value::Decimal(b"NaN"), "NaN"),
            (Value::Decimal(b"-Infinity"), "-Infinity"),
            (Value::Decimal(b"1e-16383"), "1e-16383"),
        ] {
            assert_eq!(value.shown(), shown);
        }
    }

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Float(-0.0),
            Value::Text(b"a\0b"),
            Value::Bytes(b""),
            Value::Uuid([7; 16]),
            Value::Date(-5),
            Value::Timestamp(-1),
            Value::Json(b"{}"),
            Value::Decimal(b"1e-2"),
        ];
        let mut rows = Rows::new(1, values.len() - 1);
        for _ in 0..3 {
            values.iter().for_each(|v| rows.push(*v));
        }
        assert_eq!(rows.len(), 3);
        for row in rows.iter() {
            assert_eq!(row.locator(), vec![OwnedValue::Null]);
            assert_eq!(row.values().collect::<Vec<_>>(), values[1..]);
        }
        rows.truncate(1);
        assert_eq!(rows.len(), 1);
        values.iter().rev().for_each(|v| rows.push(*v));
        assert_eq!(rows.row(0).value(3), Value::Text(b"a\0b"));
        assert_eq!(rows.row(1).value(5), Value::Text(b"a\0b"));
    }

    #[test]
    fn a_shown_value_is_escaped_and_cut() {
        assert_eq!(Value::Text(b"a\0\xff").shown(), "'a\\u{0}\\xff'");
        assert!(Value::Text(&[b'x'; 500]).shown().ends_with("(500 bytes)"));
        assert_eq!(Value::Bytes(&[0xde, 0xad]).shown(), "x'dead'");
    }
}
