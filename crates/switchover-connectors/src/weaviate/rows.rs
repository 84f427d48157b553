//! Rows as objects, and objects as rows.
//!
//! A reference stands beside the foreign key that it is made of, and says nothing that the key does not. So it is written
//! with the object, where a write replaces all of it and repeats nothing; and where an object's references are not what
//! its key says, the key's cell is read as what it is not, so that a comparison sees the row.

use super::cells;
use super::client::{Asked, BatchWriter, Found};
use super::ids::Ids;
use super::schema;
use super::value::Wire;
use serde_json::Value as Json;
use std::sync::Arc;
use switchover_core::codec::Codec;
use switchover_core::native::{self, Native};
use switchover_core::plan::{ForeignKeyPlan, LogicalType, Plan, TablePlan};
use switchover_core::planner::layout::shown_row;
use switchover_core::shape::Shape;
use switchover_core::value::{OwnedValue, Row, Rows, Value};
use switchover_core::{Error, Kind, Result};

/// A foreign key that is a reference too.
#[derive(Debug)]
struct Reference {
    /// The field of the foreign key.
    field: usize,
    name: String,
    /// The ids of the parent's objects.
    parent: Ids,
    /// Whether the parent is of the same table.
    own: bool,
}

impl Reference {
    fn all(plan: &Plan, table: &TablePlan) -> Vec<Reference> {
        let of = |key: &ForeignKeyPlan| {
            let parent = plan.tables.iter().find(|parent| parent.target == key.parent)?;
            let field = table.columns.iter().position(|column| key.columns == [&*column.target])?;
            let own = parent.target == table.target;
            Some(Reference { field, name: key.name.clone(), parent: Ids::of(plan, parent), own })
        };
        table.foreign_keys.iter().filter_map(of).collect()
    }

    /// The parent's id that a foreign key says; none for NULL.
    fn target(&self, key: Value<'_>) -> Option<[u8; 16]> {
        self.parent.of_key(|_| key)
    }

    /// What stands there instead, in words, where an object's references are not what its key says.
    fn astray(&self, field: usize, key: Value<'_>, found: &Found<'_>) -> Option<String> {
        if field != self.field {
            return None;
        }
        let there = found.references.iter().filter(|(name, _)| *name == self.name);
        let there: Vec<[u8; 16]> = there.flat_map(|(_, uuids)| uuids.iter().copied()).collect();
        if there.as_slice() == self.target(key).as_slice() {
            return None;
        }
        let ids: Vec<String> = there.iter().map(|id| uuid::Uuid::from_bytes(*id).to_string()).collect();
        let where_to = if ids.is_empty() { "nothing".to_owned() } else { ids.join(", ") };
        Some(format!("{}, and its reference {} leads to {where_to}", key.shown(), self.name))
    }
}

/// Whether an object is written with its references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum References {
    With,
    /// Without those whose object is not there, which the server would refuse: the comparison finds it.
    Without,
}

fn nested(name: &str, shape: &Shape) -> Asked {
    let inner = shape.properties().into_iter().flatten();
    Asked { name: name.to_owned(), nested: inner.map(|(name, shape)| nested(name, shape)).collect() }
}

/// How one table's rows become objects.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) plan: Arc<Plan>,
    at: usize,
    ids: Ids,
    /// By column, the vector's name where the column is one.
    vectors: Vec<Option<String>>,
    /// The other columns' names, in their order.
    properties: Vec<String>,
    references: Vec<Reference>,
    /// Room for what the codecs make, one a column: a key may be made of several.
    scratch: Vec<Vec<u8>>,
    text: Vec<u8>,
}

impl Table {
    pub(super) fn new(plan: &Arc<Plan>, at: usize) -> Table {
        let table = &plan.tables[at];
        let vector =
            |column| schema::is_vector(column).then(|| schema::vector_name(table, column).to_owned());
        let plain = table.columns.iter().filter(|column| !schema::is_vector(column));
        Table {
            plan: Arc::clone(plan),
            at,
            ids: Ids::of(plan, table),
            vectors: table.columns.iter().map(vector).collect(),
            properties: plain.map(|column| column.target.clone()).collect(),
            references: Reference::all(plan, table),
            scratch: vec![Vec::new(); table.columns.len()],
            text: Vec::new(),
        }
    }

    pub(super) fn table(&self) -> &TablePlan {
        &self.plan.tables[self.at]
    }

    /// Adds the object of a row of the source's values, of which the cells named by `is_null` stay away; with that id where it is
    /// known already (as [`Table::id_of_source`] gives it). Gives its id.
    pub(super) fn write(
        &mut self,
        row: Row<'_>,
        known: Option<[u8; 16]>,
        is_null: impl Fn(usize) -> bool,
        references: References,
        batch: &mut BatchWriter,
    ) -> Result<[u8; 16]> {
        let table = &self.plan.tables[self.at];
        let refused = |field: usize, why: &str| {
            Error::new(Kind::Refused, "write rows to the target")
                .table(table.source.clone())
                .key(shown_row(table, &row))
                .column(table.columns[field].source.clone())
                .detail(format!("{}: {why}", row.value(field).shown()))
                .hint("the source changed after the plan was made: plan again")
        };
        let mut encoded = Vec::with_capacity(table.columns.len());
        for ((field, column), scratch) in table.columns.iter().enumerate().zip(&mut self.scratch) {
            let value = if is_null(field) { Value::Null } else { row.value(field) };
            encoded.push(column.codec.encode(value, scratch).map_err(|unfit| refused(field, &unfit.0))?);
        }
        let told = || self.ids.of_key(|field| encoded[field]).or_else(|| self.ids.of_place(&row.locator()));
        let id = known.or_else(told).ok_or_else(|| {
            Error::new(Kind::Internal, "write rows to the target")
                .table(table.source.clone())
                .detail("a row came without a key and without its place, so nothing tells its object's id")
        })?;
        let mut object = batch.object(id);
        for (field, value) in encoded.iter().enumerate() {
            match (&self.vectors[field], *value) {
                (_, Value::Null) => {}
                (Some(name), Value::Bytes(numbers)) if name.is_empty() => object.vector(numbers),
                (Some(name), Value::Bytes(numbers)) => object.named_vector(name, numbers),
                (_, value) => {
                    let name = &table.columns[field].target;
                    let written = match value {
                        Value::Json(text)
                            if let Codec::Native(Native::Nested { shape }) = &table.columns[field].codec =>
                        {
                            match shape.read(text).map_err(|unfit| refused(field, &unfit.0))? {
                                Json::Array(list) => object.property(name, &Wire::Objects(list)),
                                one => object.property(name, &Wire::Object(one)),
                            }
                        }
                        Value::Json(array)
                            if let LogicalType::Array(element) = table.columns[field].r#type =>
                        {
                            let mut texts = Vec::new();
                            match cells::list(array, element, &mut texts) {
                                Some(list) => object.property(name, &list),
                                None => return Err(refused(field, "the server has no form for it")),
                            }
                        }
                        Value::Json(array) => {
                            let texts = native::texts(array).map_err(|unfit| refused(field, &unfit.0))?;
                            let texts: Option<Vec<&str>> = texts.iter().map(|text| text.as_deref()).collect();
                            let null = "null within an array, which the target's arrays do not hold";
                            object.property(name, &Wire::Texts(texts.ok_or_else(|| refused(field, null))?))
                        }
                        value => match cells::to_wire(value, &mut self.text) {
                            Some(wire) => object.property(name, &wire),
                            None => return Err(refused(field, "the server has no form for it")),
                        },
                    };
                    written.map_err(|unfit| refused(field, unfit.0))?;
                }
            }
        }
        for reference in self.references.iter().filter(|_| references == References::With) {
            if let Some(parent) = reference.target(encoded[reference.field]) {
                object.references(&reference.name, &[parent]);
            }
        }
        object.finish();
        Ok(id)
    }

    /// The id of a row of the target's own values, where its key tells it.
    pub(super) fn id(&self, row: Row<'_>) -> Option<[u8; 16]> {
        self.ids.of_key(|field| row.value(field))
    }

    /// The id of a key of the target's own values, in the order of the key's fields.
    pub(super) fn id_of_key(&self, key: &[Value<'_>]) -> Option<[u8; 16]> {
        let fields = self.table().key_fields();
        let cell = |field: usize| {
            fields.iter().position(|own| *own == field).map_or(Value::Null, |place| key[place])
        };
        self.ids.of_key(cell)
    }

    /// The properties that are read of an object.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let plain = self.table().columns.iter().filter(|column| !schema::is_vector(column));
        plain
            .map(|column| match &column.codec {
                Codec::Native(Native::Nested { shape }) => nested(&column.target, shape),
                _ => Asked::plain(&column.target),
            })
            .collect()
    }

    /// Whether its objects refer to others.
    pub(super) fn refers(&self) -> bool {
        !self.references.is_empty()
    }

    /// Whether a row of the source's refers to one of its own table, which may be written beside it.
    pub(super) fn refers_to_itself(&self, row: Row<'_>) -> bool {
        let own = self.references.iter().filter(|reference| reference.own);
        own.into_iter().any(|reference| row.value(reference.field) != Value::Null)
    }

    /// The references that are read of an object, by name.
    pub(super) fn references(&self) -> Vec<String> {
        self.references.iter().map(|reference| reference.name.clone()).collect()
    }

    /// The vectors that are read of an object; an empty name is the one without a name.
    pub(super) fn vectors(&self) -> Vec<&str> {
        self.vectors.iter().flatten().map(String::as_str).collect()
    }

    /// The id that an object's own key tells.
    pub(super) fn id_in(&self, found: &Found<'_>) -> Option<[u8; 16]> {
        let table = self.table();
        let mut scratch = Vec::new();
        let mut key = Vec::new();
        for field in table.key_fields() {
            let column = &table.columns[field];
            let at = self.properties.iter().position(|name| *name == column.target)?;
            let value = found.properties.get(at)?.as_ref()?;
            key.push(cells::of_wire(value, column.r#type, &mut scratch).to_owned_value());
        }
        let key: Vec<Value<'_>> = key.iter().map(OwnedValue::borrow).collect();
        self.id_of_key(&key)
    }

    /// The id of the object that a row of the source's becomes; cells for which `is_null` holds stay away.
    pub(super) fn id_of_source(&mut self, row: Row<'_>, is_null: impl Fn(usize) -> bool) -> Option<[u8; 16]> {
        let table = &self.plan.tables[self.at];
        let mut key = Vec::new();
        for field in table.key_fields() {
            let value = if is_null(field) { Value::Null } else { row.value(field) };
            let encoded = table.columns[field].codec.encode(value, &mut self.scratch[field]).ok()?;
            key.push(encoded.to_owned_value());
        }
        let key: Vec<Value<'_>> = key.iter().map(OwnedValue::borrow).collect();
        self.id_of_key(&key).or_else(|| self.ids.of_place(&row.locator()))
    }

    /// Appends the row that an object says, with the object's id as its locator. Where that id is not the one of the key that
    /// the object holds, it is no row of the run's: the key's cells are then read as what they are not, so that a comparison
    /// sees the row.
    pub(super) fn push(&mut self, found: &Found<'_>, rows: &mut Rows) {
        let begin = rows.len();
        let led_astray = self.push_as(found, rows, false);
        // A key that is a foreign key too may not be what it is.
        let id = if led_astray { self.id_in(found) } else { self.id(rows.row(begin)) };
        // Without a key an object is a row that only its place tells; but not in a collection that was there.
        let strange = id.map_or(self.plan.options.existing.is_some(), |id| id != found.uuid);
        if strange {
            rows.truncate(begin);
            self.push_as(found, rows, true);
        }
    }

    /// The same, with the key as another's where it is strange. Gives whether a reference leads astray.
    fn push_as(&mut self, found: &Found<'_>, rows: &mut Rows, strange: bool) -> bool {
        let table = &self.plan.tables[self.at];
        let mut properties = found.properties.iter();
        let mut led_astray = false;
        let key = if strange { table.key_fields() } else { Vec::new() };
        rows.push(Value::Uuid(found.uuid));
        for ((field, column), vector) in table.columns.iter().enumerate().zip(&self.vectors) {
            let value = match vector {
                Some(name) if name.is_empty() => found.vector.map(Value::Bytes),
                Some(name) => found.vectors.iter().find(|(own, _)| own == name).map(|(_, n)| Value::Bytes(n)),
                None => match properties.next() {
                    Some(Some(wire)) => Some(cells::of_wire(wire, column.r#type, &mut self.text)),
                    _ => None,
                },
            };
            let value = value.unwrap_or(Value::Null);
            if key.contains(&field) {
                // A text without its quotes: what is made of it here is quoted as one.
                let seen = match value {
                    Value::Text(text) => format!("{} of another object", String::from_utf8_lossy(text)),
                    _ => format!("{} of another object", value.shown()),
                };
                rows.push(Value::Json(seen.as_bytes()));
                continue;
            }
            match self.references.iter().find_map(|reference| reference.astray(field, value, found)) {
                Some(seen) => {
                    led_astray = true;
                    rows.push(Value::Json(seen.as_bytes()));
                }
                None => rows.push(value),
            }
        }
        led_astray
    }
}
