//! Found objects, read from the bytes of one `Search` reply.
//!
//! Field numbers: `search_get.proto` and `properties.proto` of Weaviate 1.39. Values borrow from the reply.
//!
//! Invariants: a listing's objects stand in the order of their UUIDs, each once, behind the one that was asked for (an
//! answer to another question, or one in pieces, does not); a found object's properties stand in the order in which they were asked for, `None` where the object
//! has none; a property that was not asked for, or comes twice, is an error, because then the answer belongs to
//! another question. Absent on purpose: a map for each object.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Map, Number, Value as Json};

use super::fields::{Field, Fields, Malformed};
use crate::weaviate::value::{Wire, base64_decode};

/// How deep objects may lie in each other: protobuf's own usual bound, and far beyond any real schema.
const DEPTH_MAX: usize = 100;

/// One answer's objects.
#[derive(Debug, Clone)]
pub struct Page {
    reply: Bytes,
    asked: Vec<String>,
    count: usize,
    last: Option<[u8; 16]>,
}

/// An object that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<'p> {
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Its properties, in the order in which they were asked for.
    pub properties: Vec<Option<Wire<'p>>>,
    /// Its vector without a name: little-endian f32.
    pub vector: Option<&'p [u8]>,
    /// Its named vectors: little-endian f32.
    pub vectors: Vec<(&'p str, &'p [u8])>,
    /// What its references point at, by property, in the order that the server gives.
    pub references: Vec<(&'p str, Vec<[u8; 16]>)>,
    /// The score of a search for words, if one was asked for.
    pub score: Option<f32>,
    /// The distance of a search by vector, if one was asked for.
    pub distance: Option<f32>,
}

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is not a message.
    Malformed,
    /// It has what was not asked for.
    Unasked(String),
    /// A property comes twice in one object.
    Twice(String),
    /// An object without a UUID, or with one of another form.
    NoUuid,
    /// A value of another form than its kind's.
    Value(String),
    /// A listing that is not in the order of UUIDs, or begins before its place.
    Order,
    /// An object that was not asked for, or one twice.
    Stranger,
}

impl From<Malformed> for Wrong {
    fn from(_: Malformed) -> Wrong {
        Wrong::Malformed
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wrong::Malformed => f.write_str("it is no message of the protocol"),
            Wrong::Unasked(name) => write!(f, "it holds the property {name}, which was not asked for"),
            Wrong::Twice(name) => write!(f, "it holds the property {name} twice for one object"),
            Wrong::NoUuid => f.write_str("an object has no UUID"),
            Wrong::Order => {
                f.write_str("its objects are not in the order of their UUIDs, or not behind the one named")
            }
            Wrong::Stranger => f.write_str("it holds an object that was not asked for, or one twice"),
            Wrong::Value(name) => write!(f, "the value of {name} is not of its kind's form"),
        }
    }
}

impl Page {
    /// Looks through the answer, so that what is wrong with it is known before any of it is used.
    pub(super) fn read(reply: Bytes, asked: Vec<String>) -> Result<Page, Wrong> {
        let mut page = Page { reply, asked, count: 0, last: None };
        let (mut count, mut last) = (0, None);
        for result in results(&page.reply) {
            last = Some(result?);
            count += 1;
        }
        page.last = last.map(|result| page.uuid(result)).transpose()?;
        page.count = count;
        Ok(page)
    }

    /// The number of objects.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The last object's UUID: where the next page begins.
    pub fn last(&self) -> Option<[u8; 16]> {
        self.last
    }

    /// The answer's bytes.
    pub fn bytes(&self) -> usize {
        self.reply.len()
    }

    /// The properties that were asked for, in the order of [`Found::properties`].
    pub fn asked(&self) -> &[String] {
        &self.asked
    }

    /// That the objects ascend, from behind `after`.
    pub(super) fn ascends(&self, mut after: Option<[u8; 16]>) -> Result<(), Wrong> {
        for result in results(&self.reply) {
            let uuid = self.uuid(result?)?;
            if after.is_some_and(|after| uuid <= after) {
                return Err(Wrong::Order);
            }
            after = Some(uuid);
        }
        Ok(())
    }

    /// That each object is one of these, and there once.
    pub(super) fn is_of(&self, asked: &HashSet<&[u8; 16]>) -> Result<(), Wrong> {
        let mut seen = HashSet::with_capacity(self.count);
        for result in results(&self.reply) {
            let uuid = self.uuid(result?)?;
            if !asked.contains(&uuid) || !seen.insert(uuid) {
                return Err(Wrong::Stranger);
            }
        }
        Ok(())
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = Result<Found<'_>, Wrong>> {
        results(&self.reply).map(|result| self.found(result?))
    }

    fn uuid(&self, result: &[u8]) -> Result<[u8; 16], Wrong> {
        for field in Fields(result) {
            if let (2, metadata) = field? {
                for field in Fields(metadata.bytes()?) {
                    if let (20, id) = field? {
                        return id.bytes()?.try_into().map_err(|_| Wrong::NoUuid);
                    }
                }
            }
        }
        Err(Wrong::NoUuid)
    }

    /// `SearchResult`
    fn found<'p>(&'p self, result: &'p [u8]) -> Result<Found<'p>, Wrong> {
        let mut found = Found {
            uuid: [0; 16],
            properties: vec![None; self.asked.len()],
            vector: None,
            vectors: Vec::new(),
            references: Vec::new(),
            score: None,
            distance: None,
        };
        let mut has_uuid = false;
        for field in Fields(result) {
            match field? {
                (1, properties) => self.properties(properties.bytes()?, &mut found)?,
                (2, metadata) => has_uuid |= metadata_of(metadata.bytes()?, &mut found)?,
                _ => {}
            }
        }
        if has_uuid { Ok(found) } else { Err(Wrong::NoUuid) }
    }

    /// `PropertiesResult`
    fn properties<'p>(&'p self, message: &'p [u8], found: &mut Found<'p>) -> Result<(), Wrong> {
        // Objects mostly have their properties in one order, so the search begins where the last one ended.
        let mut from = 0;
        for field in Fields(message) {
            match field? {
                (2, reference) => found.references.push(reference_of(reference.bytes()?)?),
                (11, fields) => {
                    for entry in Fields(fields.bytes()?) {
                        let (name, value) = entry_of(entry?)?;
                        let at = self.place_of(name, from).ok_or_else(|| Wrong::Unasked(name.to_owned()))?;
                        from = at + 1;
                        let slot = &mut found.properties[at];
                        if slot.is_some() {
                            return Err(Wrong::Twice(name.to_owned()));
                        }
                        *slot = value_of(value, name, DEPTH_MAX)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn place_of(&self, name: &str, from: usize) -> Option<usize> {
        let count = self.asked.len();
        (0..count).map(|step| (from + step) % count).find(|at| self.asked[*at] == name)
    }
}

/// `SearchReply.results`
fn results(reply: &[u8]) -> impl Iterator<Item = Result<&[u8], Wrong>> {
    Fields(reply).filter_map(|field| match field {
        Ok((2, result)) => Some(result.bytes().map_err(Wrong::from)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed.into())),
    })
}

/// `MetadataResult`; whether it has a UUID.
fn metadata_of<'p>(message: &'p [u8], found: &mut Found<'p>) -> Result<bool, Wrong> {
    let mut has_uuid = false;
    let (mut distance_present, mut score_present) = (false, false);
    for field in Fields(message) {
        match field? {
            (7, Field::Fixed32(bits)) => found.distance = Some(f32::from_bits(bits)),
            (8, Field::Varint(on)) => distance_present = on != 0,
            (11, Field::Fixed32(bits)) => found.score = Some(f32::from_bits(bits)),
            (12, Field::Varint(on)) => score_present = on != 0,
            (19, vector) => found.vector = Some(vector.bytes()?).filter(|bytes| !bytes.is_empty()),
            (20, id) => {
                found.uuid = id.bytes()?.try_into().map_err(|_| Wrong::NoUuid)?;
                has_uuid = true;
            }
            (23, vectors) => {
                let (mut name, mut bytes) = ("", &[][..]);
                for field in Fields(vectors.bytes()?) {
                    match field? {
                        (1, text) => name = text.text()?,
                        (3, vector) => bytes = vector.bytes()?,
                        _ => {}
                    }
                }
                found.vectors.push((name, bytes));
            }
            _ => {}
        }
    }
    // A zero is not sent, so that the flag decides.
    found.distance = distance_present.then(|| found.distance.unwrap_or(0.0));
    found.score = score_present.then(|| found.score.unwrap_or(0.0));
    Ok(has_uuid)
}

/// `RefPropertiesResult`
fn reference_of(message: &[u8]) -> Result<(&str, Vec<[u8; 16]>), Wrong> {
    let (mut name, mut uuids) = ("", Vec::new());
    for field in Fields(message) {
        match field? {
            (1, target) => {
                for field in Fields(target.bytes()?) {
                    if let (4, metadata) = field? {
                        for field in Fields(metadata.bytes()?) {
                            if let (20, id) = field? {
                                uuids.push(id.bytes()?.try_into().map_err(|_| Wrong::NoUuid)?);
                            }
                        }
                    }
                }
            }
            (2, text) => name = text.text()?,
            _ => {}
        }
    }
    Ok((name, uuids))
}

/// An entry of `Properties.fields`: a name and a `Value`.
fn entry_of<'p>((number, entry): (u32, Field<'p>)) -> Result<(&'p str, &'p [u8]), Wrong> {
    if number != 1 {
        return Err(Wrong::Malformed);
    }
    let (mut name, mut value) = ("", &[][..]);
    for field in Fields(entry.bytes()?) {
        match field? {
            (1, text) => name = text.text()?,
            (2, message) => value = message.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// `Value`; nothing and `null_value` are both a missing value.
fn value_of<'p>(message: &'p [u8], name: &str, depth: usize) -> Result<Option<Wire<'p>>, Wrong> {
    let wrong = || Wrong::Value(name.to_owned());
    let mut value = None;
    for field in Fields(message) {
        value = match field? {
            (1, Field::Fixed64(bits)) => Some(Wire::Number(f64::from_bits(bits))),
            (3, Field::Varint(on)) => Some(Wire::Bool(on != 0)),
            (4, object) => Some(Wire::Object(json_object(object.bytes()?, name, depth)?)),
            (5, list) => Some(list_of(list.bytes()?, name, depth)?),
            (6, date) => Some(Wire::Date(date.text()?)),
            (7, uuid) => Some(Wire::Uuid(uuid_of(uuid.text()?).ok_or_else(wrong)?)),
            (8, Field::Varint(int)) => Some(Wire::Int(int.cast_signed())),
            (9, geo) => Some(geo_of(geo.bytes()?)?),
            (10, blob) => Some(Wire::Blob(Cow::Owned(base64_decode(blob.text()?).ok_or_else(wrong)?))),
            (12, _) => None,
            (13, text) => Some(Wire::Text(text.text()?)),
            _ => Some(Wire::Other),
        };
    }
    Ok(value)
}

/// `ListValue`
fn list_of<'p>(message: &'p [u8], name: &str, depth: usize) -> Result<Wire<'p>, Wrong> {
    let wrong = || Wrong::Value(name.to_owned());
    let mut list = Wire::EmptyList;
    for field in Fields(message) {
        let (number, field) = field?;
        let body = field.bytes()?;
        list = match number {
            2 => Wire::Numbers(eights(body, name)?.map(f64::from_le_bytes).collect()),
            3 => {
                let mut bools = Vec::new();
                for field in Fields(body) {
                    match field? {
                        (1, Field::Bytes(packed)) => bools.extend(packed.iter().map(|byte| *byte != 0)),
                        (1, Field::Varint(on)) => bools.push(on != 0),
                        _ => return Err(Wrong::Malformed),
                    }
                }
                Wire::Bools(bools)
            }
            4 => {
                let objects = Fields(body).map(|object| json_object(object?.1.bytes()?, name, depth));
                Wire::Objects(objects.collect::<Result<_, Wrong>>()?)
            }
            5 => Wire::Dates(texts(body)?),
            6 => {
                let uuids = texts(body)?.into_iter().map(|text| uuid_of(text).ok_or_else(wrong));
                Wire::Uuids(uuids.collect::<Result<_, _>>()?)
            }
            7 => Wire::Ints(eights(body, name)?.map(i64::from_le_bytes).collect()),
            8 => Wire::Texts(texts(body)?),
            _ => return Err(wrong()),
        };
    }
    Ok(list)
}

/// `NumberValues` and `IntValues`: eight little-endian bytes each.
fn eights<'p>(message: &'p [u8], name: &str) -> Result<impl Iterator<Item = [u8; 8]> + use<'p>, Wrong> {
    let mut bytes = &[][..];
    for field in Fields(message) {
        if let (1, values) = field? {
            bytes = values.bytes()?;
        }
    }
    let (chunks, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Wrong::Value(name.to_owned()));
    }
    Ok(chunks.iter().copied())
}

/// `TextValues`, `DateValues` and `UuidValues`
fn texts(message: &[u8]) -> Result<Vec<&str>, Wrong> {
    Fields(message).map(|field| Ok(field?.1.text()?)).collect()
}

fn uuid_of(text: &str) -> Option<[u8; 16]> {
    switchover_core::uuid_text::parse(text.as_bytes()).map(|(uuid, _)| uuid)
}

/// `GeoCoordinate`
fn geo_of<'p>(message: &[u8]) -> Result<Wire<'p>, Wrong> {
    let (mut longitude, mut latitude) = (0.0, 0.0);
    for field in Fields(message) {
        match field? {
            (1, Field::Fixed32(bits)) => longitude = f32::from_bits(bits),
            (2, Field::Fixed32(bits)) => latitude = f32::from_bits(bits),
            _ => {}
        }
    }
    Ok(Wire::Geo(latitude, longitude))
}

/// `Properties`, as a JSON object.
fn json_object(message: &[u8], name: &str, depth: usize) -> Result<Json, Wrong> {
    let depth = depth.checked_sub(1).ok_or_else(|| Wrong::Value(name.to_owned()))?;
    let mut object = Map::new();
    for entry in Fields(message) {
        let (field, value) = entry_of(entry?)?;
        if let Some(value) = value_of(value, name, depth)? {
            object.insert(field.to_owned(), json_of(value, name)?);
        }
    }
    Ok(Json::Object(object))
}

fn json_of(value: Wire<'_>, name: &str) -> Result<Json, Wrong> {
    let wrong = || Wrong::Value(name.to_owned());
    let number = |number: f64| Number::from_f64(number).map(Json::Number).ok_or_else(wrong);
    let uuid =
        |uuid: [u8; 16]| String::from_utf8_lossy(&crate::weaviate::value::uuid_text(&uuid)).into_owned();
    Ok(match value {
        Wire::Text(text) | Wire::Date(text) => Json::from(text),
        Wire::Int(int) => Json::from(int),
        Wire::Number(value) => number(value)?,
        Wire::Bool(on) => Json::from(on),
        Wire::Uuid(value) => Json::from(uuid(value)),
        Wire::Blob(bytes) => {
            let mut text = Vec::new();
            crate::weaviate::value::base64_encode(&bytes, &mut text);
            Json::from(String::from_utf8_lossy(&text).into_owned())
        }
        Wire::Texts(list) | Wire::Dates(list) => Json::from(list),
        Wire::Ints(list) => Json::from(list),
        Wire::Numbers(list) => Json::Array(list.into_iter().map(number).collect::<Result<_, _>>()?),
        Wire::Bools(list) => Json::from(list),
        Wire::Uuids(list) => Json::from(list.into_iter().map(uuid).collect::<Vec<_>>()),
        Wire::Object(object) => object,
        Wire::Objects(list) => Json::Array(list),
        Wire::EmptyList => Json::Array(Vec::new()),
        Wire::Geo(..) | Wire::Other => return Err(wrong()),
    })
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
