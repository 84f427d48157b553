//! Objects to store, written straight into the bytes of one `BatchObjects` request.
//!
//! Field numbers: `batch.proto` and `base.proto` of Weaviate 1.39, and `google/protobuf/struct.proto`. There is no
//! message in between and no map for each object, because the client shall cost little beside the server.
//!
//! Invariants: an object is in the request whole or not at all ([`ObjectWriter::finish`]); each is one field of its
//! own, so that a part of a batch is a slice of its bytes ([`Batch::part`]); all are of one collection; lengths are
//! minimal and exact. What the server would change is [`Unfit`].
//! Absent on purpose: BatchStream, which can attribute results to the wrong object.

use std::ops::Range;

use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};
use serde_json::Value as Json;

use crate::weaviate::config::Consistency;
use crate::weaviate::value::{Unfit, Wire, base64_encode, base64_len, exact, finite, uuid_text};

/// The server refuses a larger message, unless it says another limit (`grpcMaxMessageSize` of `/v1/meta`).
pub const MESSAGE_BYTES_MAX: usize = 104_858_000;

/// Wire type 2: a length and as many bytes.
const LEN: u64 = 2;

/// Objects of one collection, ready to be sent.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(super) objects: Bytes,
    pub(super) trailer: Bytes,
    /// Where each object ends.
    ends: Vec<usize>,
}

impl Batch {
    /// The number of objects.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The request's bytes.
    pub fn bytes(&self) -> usize {
        self.objects.len() + self.trailer.len()
    }

    /// Some of the objects, sharing the bytes: to find the one that fails a request whole.
    pub fn part(&self, range: Range<usize>) -> Batch {
        let end = |count: usize| if count == 0 { 0 } else { self.ends[count - 1] };
        let (from, to) = (end(range.start), end(range.end));
        Batch {
            objects: self.objects.slice(from..to),
            trailer: self.trailer.clone(),
            ends: self.ends[range].iter().map(|end| end - from).collect(),
        }
    }
}

/// Makes batches.
#[derive(Debug)]
pub struct BatchWriter {
    /// `collection` and `tenant` of each object, as fields.
    place: Vec<u8>,
    trailer: Bytes,
    objects: Vec<u8>,
    ends: Vec<usize>,
    scratch: Scratch,
}

/// The object that is being written.
#[derive(Debug, Default)]
struct Scratch {
    /// The fields of `non_ref_properties`.
    scalars: Vec<u8>,
    /// The other fields of `properties`.
    lists: Vec<u8>,
    /// `vector_bytes` and `vectors`.
    vectors: Vec<u8>,
}

impl BatchWriter {
    /// For objects of this collection.
    pub fn new(collection: &str, tenant: Option<&str>, consistency: Option<Consistency>) -> BatchWriter {
        let (mut place, mut trailer) = (Vec::new(), Vec::new());
        bytes_field(4, collection.as_bytes(), &mut place);
        if let Some(tenant) = tenant {
            bytes_field(5, tenant.as_bytes(), &mut place);
        }
        if let Some(level) = consistency {
            key(2, 0, &mut trailer);
            encode_varint(level_number(level), &mut trailer);
        }
        BatchWriter {
            place,
            trailer: Bytes::from(trailer),
            objects: Vec::new(),
            ends: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Begins an object. Nothing of it is in the batch before [`ObjectWriter::finish`].
    pub fn object(&mut self, uuid: [u8; 16]) -> ObjectWriter<'_> {
        self.scratch.scalars.clear();
        self.scratch.lists.clear();
        self.scratch.vectors.clear();
        ObjectWriter { batch: self, uuid }
    }

    /// The objects so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The request's bytes so far.
    pub fn bytes(&self) -> usize {
        self.objects.len() + self.trailer.len()
    }

    /// Takes the batch; the writer is empty afterwards.
    pub fn take(&mut self) -> Batch {
        let room = self.objects.len();
        let objects = std::mem::replace(&mut self.objects, Vec::with_capacity(room));
        Batch {
            objects: Bytes::from(objects),
            trailer: self.trailer.clone(),
            ends: std::mem::take(&mut self.ends),
        }
    }
}

/// Writes one object.
#[derive(Debug)]
pub struct ObjectWriter<'b> {
    batch: &'b mut BatchWriter,
    uuid: [u8; 16],
}

impl ObjectWriter<'_> {
    /// One property; a missing one is simply not written. Each at most once.
    pub fn property(&mut self, name: &str, value: &Wire<'_>) -> Result<(), Unfit> {
        let Scratch { scalars, lists, .. } = &mut self.batch.scratch;
        property(name, value, &PROPERTIES, scalars, lists)
    }

    /// A reference to objects of another collection, where the property has only that one as its target.
    pub fn references(&mut self, name: &str, uuids: &[[u8; 16]]) {
        let mut body = Vec::new();
        for uuid in uuids {
            bytes_field(1, &uuid_text(uuid), &mut body);
        }
        bytes_field(2, name.as_bytes(), &mut body);
        bytes_field(2, &body, &mut self.batch.scratch.lists);
    }

    /// The vector of a collection that has one without a name: little-endian f32.
    pub fn vector(&mut self, little_endian: &[u8]) {
        bytes_field(6, little_endian, &mut self.batch.scratch.vectors);
    }

    /// A named vector: little-endian f32.
    pub fn named_vector(&mut self, name: &str, little_endian: &[u8]) {
        let vectors = &mut self.batch.scratch.vectors;
        let kind_bytes = 2;
        key(23, LEN, vectors);
        let length = field_len(1, name.len()) + field_len(3, little_endian.len()) + kind_bytes;
        encode_varint(length as u64, vectors);
        bytes_field(1, name.as_bytes(), vectors);
        bytes_field(3, little_endian, vectors);
        // VECTOR_TYPE_SINGLE_FP32
        key(4, 0, vectors);
        encode_varint(1, vectors);
    }

    /// Puts the object into the batch.
    pub fn finish(self) {
        let BatchWriter { place, objects, ends, scratch, .. } = self.batch;
        let Scratch { scalars, lists, vectors } = scratch;
        let uuid = uuid_text(&self.uuid);
        let properties = optional_len(1, scalars.len()) + lists.len();
        let object = field_len(1, uuid.len()) + field_len(3, properties) + place.len() + vectors.len();
        objects.reserve(field_len(1, object));
        key(1, LEN, objects);
        encode_varint(object as u64, objects);
        bytes_field(1, &uuid, objects);
        key(3, LEN, objects);
        encode_varint(properties as u64, objects);
        if !scalars.is_empty() {
            bytes_field(1, scalars, objects);
        }
        objects.extend_from_slice(lists);
        objects.extend_from_slice(place);
        objects.extend_from_slice(vectors);
        ends.push(objects.len());
    }
}

/// The field numbers of lists, which differ between an object and an object inside one.
struct Numbers {
    number_arrays: u32,
    int_arrays: u32,
    text_arrays: u32,
    boolean_arrays: u32,
    object: u32,
    object_arrays: u32,
}

/// `BatchObject.Properties`
const PROPERTIES: Numbers = Numbers {
    number_arrays: 4,
    int_arrays: 5,
    text_arrays: 6,
    boolean_arrays: 7,
    object: 8,
    object_arrays: 9,
};
/// `ObjectPropertiesValue`
const NESTED: Numbers = Numbers {
    number_arrays: 2,
    int_arrays: 3,
    text_arrays: 4,
    boolean_arrays: 5,
    object: 6,
    object_arrays: 7,
};
/// `empty_list_props`, in both.
const EMPTY_LISTS: u32 = 10;

fn property(
    name: &str,
    value: &Wire<'_>,
    numbers: &Numbers,
    scalars: &mut Vec<u8>,
    lists: &mut Vec<u8>,
) -> Result<(), Unfit> {
    match value {
        Wire::Text(text) | Wire::Date(text) => text_entry(name, text.as_bytes(), scalars),
        Wire::Uuid(uuid) => text_entry(name, &uuid_text(uuid), scalars),
        Wire::Int(int) => number_entry(name, exact(*int)?, scalars),
        Wire::Number(number) => number_entry(name, finite(*number)?, scalars),
        Wire::Bool(on) => {
            entry(name, 2, scalars);
            key(4, 0, scalars);
            scalars.push(u8::from(*on));
        }
        Wire::Blob(bytes) if bytes.is_empty() => return Err(Unfit("an empty blob is refused by Weaviate")),
        Wire::Blob(bytes) => {
            let length = base64_len(bytes.len());
            entry(name, field_len(3, length), scalars);
            key(3, LEN, scalars);
            encode_varint(length as u64, scalars);
            base64_encode(bytes, scalars);
        }
        Wire::Texts(texts) | Wire::Dates(texts) => {
            text_list(name, texts.iter().map(|text| text.as_bytes()), numbers, lists);
        }
        Wire::Uuids(uuids) => {
            let texts: Vec<[u8; 36]> = uuids.iter().map(uuid_text).collect();
            text_list(name, texts.iter().map(<[u8; 36]>::as_slice), numbers, lists);
        }
        Wire::Numbers(list) => {
            let list = list.iter().map(|number| finite(*number)).collect::<Result<Vec<_>, _>>()?;
            number_list(name, &list, numbers, lists);
        }
        Wire::Ints(list) => {
            let mut packed = Vec::with_capacity(list.len() * 2);
            for int in list {
                exact(*int)?;
                encode_varint(int.cast_unsigned(), &mut packed);
            }
            packed_list(name, numbers.int_arrays, 1, &packed, lists);
        }
        Wire::Bools(list) => {
            let packed: Vec<u8> = list.iter().map(|on| u8::from(*on)).collect();
            packed_list(name, numbers.boolean_arrays, 1, &packed, lists);
        }
        Wire::Object(json) => {
            let mut body = Vec::new();
            bytes_field(1, &nested(json)?, &mut body);
            bytes_field(2, name.as_bytes(), &mut body);
            bytes_field(numbers.object, &body, lists);
        }
        Wire::Objects(objects) if objects.is_empty() => empty_list(name, lists),
        Wire::Objects(objects) => {
            let mut body = Vec::new();
            for json in objects {
                bytes_field(1, &nested(json)?, &mut body);
            }
            bytes_field(2, name.as_bytes(), &mut body);
            bytes_field(numbers.object_arrays, &body, lists);
        }
        Wire::EmptyList => empty_list(name, lists),
        Wire::Geo(..) | Wire::Other => {
            return Err(Unfit("a value of this kind is not written by this program"));
        }
    }
    Ok(())
}

/// A JSON object as `ObjectPropertiesValue`.
fn nested(json: &Json) -> Result<Vec<u8>, Unfit> {
    let Json::Object(fields) = json else { return Err(Unfit("it is not a JSON object")) };
    // The server takes such an object for a point on the earth, stores it, and fails every page that holds it.
    if fields.len() == 2 && fields.contains_key("latitude") && fields.contains_key("longitude") {
        return Err(Unfit("an object of latitude and longitude alone would make its whole page unreadable"));
    }
    let (mut scalars, mut lists) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        match value {
            Json::Null => return Err(Unfit("a null inside an object would read back as missing")),
            Json::Bool(on) => property(name, &Wire::Bool(*on), &NESTED, &mut scalars, &mut lists)?,
            Json::Number(number) => number_entry(name, json_number(number)?, &mut scalars),
            Json::String(text) => text_entry(name, text.as_bytes(), &mut scalars),
            Json::Object(_) => {
                property(name, &Wire::Object(value.clone()), &NESTED, &mut scalars, &mut lists)?;
            }
            Json::Array(list) => nested_list(name, list, &mut scalars, &mut lists)?,
        }
    }
    let mut body = Vec::with_capacity(scalars.len() + lists.len() + 8);
    if !scalars.is_empty() {
        bytes_field(1, &scalars, &mut body);
    }
    body.extend_from_slice(&lists);
    Ok(body)
}

fn nested_list(name: &str, list: &[Json], scalars: &mut Vec<u8>, lists: &mut Vec<u8>) -> Result<(), Unfit> {
    const MIXED: Unfit =
        Unfit("a list inside an object must be of one kind, without nulls and without lists");
    match list.first() {
        None => empty_list(name, lists),
        Some(Json::String(_)) => {
            let texts = list.iter().map(|value| value.as_str().ok_or(MIXED));
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            text_list(name, texts.iter().map(|text| text.as_bytes()), &NESTED, lists);
        }
        Some(Json::Number(_)) => {
            let of = |value: &Json| match value {
                Json::Number(number) => json_number(number),
                _ => Err(MIXED),
            };
            let list = list.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            number_list(name, &list, &NESTED, lists);
        }
        Some(Json::Bool(_)) => {
            let bools =
                list.iter().map(|value| value.as_bool().ok_or(MIXED)).collect::<Result<Vec<_>, _>>()?;
            property(name, &Wire::Bools(bools), &NESTED, scalars, lists)?;
        }
        Some(Json::Object(_)) if list.iter().all(Json::is_object) => {
            property(name, &Wire::Objects(list.to_vec()), &NESTED, scalars, lists)?;
        }
        Some(Json::Null | Json::Array(_) | Json::Object(_)) => return Err(MIXED),
    }
    Ok(())
}

/// The server takes a whole float64 for an int, so that one form does for both.
fn json_number(number: &serde_json::Number) -> Result<f64, Unfit> {
    match (number.as_i64(), number.as_u64()) {
        (Some(int), _) => exact(int),
        (None, Some(_)) => {
            Err(Unfit("an integer beyond 2^53 would be rounded: Weaviate keeps int as a binary64"))
        }
        (None, None) => finite(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The beginning of an entry of `google.protobuf.Struct.fields`; a `Value` of `length` bytes follows.
fn entry(name: &str, length: usize, out: &mut Vec<u8>) {
    key(1, LEN, out);
    encode_varint((field_len(1, name.len()) + field_len(2, length)) as u64, out);
    bytes_field(1, name.as_bytes(), out);
    key(2, LEN, out);
    encode_varint(length as u64, out);
}

fn text_entry(name: &str, text: &[u8], out: &mut Vec<u8>) {
    entry(name, field_len(3, text.len()), out);
    bytes_field(3, text, out);
}

fn number_entry(name: &str, number: f64, out: &mut Vec<u8>) {
    entry(name, 9, out);
    key(2, 1, out);
    out.extend_from_slice(&number.to_le_bytes());
}

fn text_list<'a>(
    name: &str,
    texts: impl ExactSizeIterator<Item = &'a [u8]>,
    numbers: &Numbers,
    out: &mut Vec<u8>,
) {
    if texts.len() == 0 {
        return empty_list(name, out);
    }
    let mut body = Vec::new();
    for text in texts {
        bytes_field(1, text, &mut body);
    }
    bytes_field(2, name.as_bytes(), &mut body);
    bytes_field(numbers.text_arrays, &body, out);
}

fn number_list(name: &str, list: &[f64], numbers: &Numbers, out: &mut Vec<u8>) {
    let bytes: Vec<u8> = list.iter().flat_map(|number| number.to_le_bytes()).collect();
    packed_list(name, numbers.number_arrays, 3, &bytes, out);
}

/// `{values: packed, prop_name: name}`, or an empty list.
fn packed_list(name: &str, list: u32, values: u32, packed: &[u8], out: &mut Vec<u8>) {
    if packed.is_empty() {
        return empty_list(name, out);
    }
    key(list, LEN, out);
    encode_varint((field_len(values, packed.len()) + field_len(2, name.len())) as u64, out);
    bytes_field(values, packed, out);
    bytes_field(2, name.as_bytes(), out);
}

fn empty_list(name: &str, out: &mut Vec<u8>) {
    bytes_field(EMPTY_LISTS, name.as_bytes(), out);
}

fn key(number: u32, wire: u64, out: &mut Vec<u8>) {
    encode_varint(u64::from(number) << 3 | wire, out);
}

fn bytes_field(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    key(number, LEN, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn field_len(number: u32, bytes: usize) -> usize {
    encoded_len_varint(u64::from(number) << 3) + encoded_len_varint(bytes as u64) + bytes
}

fn optional_len(number: u32, bytes: usize) -> usize {
    if bytes == 0 { 0 } else { field_len(number, bytes) }
}

pub(super) fn level_number(level: Consistency) -> u64 {
    match level {
        Consistency::One => 1,
        Consistency::Quorum => 2,
        Consistency::All => 3,
    }
}
