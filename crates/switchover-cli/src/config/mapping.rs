//! `[table.NAME]` of the file: text into a [`Mapping`], with the line of every key.
//!
//! Invariant: every key of a section is understood or an error that names file, line, key and what
//! there could be. Absent: whether the tables and columns are there, which needs the source.

use super::file::{Reader, kind};
use super::resolve::{EPOCHS, POLICIES, choose};
use super::{Given, Raw, invalid, near};
use std::collections::BTreeMap;
use switchover_core::Result;
use switchover_core::ids::Namespace;
use switchover_core::mapping::{
    ColumnMap, Ids, Mapping, NaiveTimes, ObjectMap, PartMap, TOKENIZATIONS, TableMap, key_of,
};
use switchover_core::plan::LogicalType;
use switchover_core::shape::{Kind, Shape};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys of a section, in the order in which the reference has them.
const TABLE_KEYS: [&str; 9] =
    ["from", "to", "where", "column", "part", "primary_key", "foreign_key", "index", "object"];
const COLUMN_KEYS: [&str; 17] = [
    "to",
    "drop",
    "type",
    "policy",
    "not_null",
    "naive_times",
    "epoch",
    "value",
    "ids",
    "ids_namespace",
    "ids_map",
    "tokenization",
    "filterable",
    "searchable",
    "range",
    "reference",
    "nested",
];

const IDS: &[(&str, Ids)] = &[("uuid5", Ids::Uuid5)];

const NAIVE_TIMES: &[(&str, NaiveTimes)] = &[("refuse", NaiveTimes::Refuse), ("utc", NaiveTimes::Utc)];
const OBJECT_KEYS: [&str; 6] =
    ["namespace", "keep_uuid", "alias", "move_alias", "vectorizer", "vectorizer_config"];
const PART_KEYS: [&str; 2] = ["where", "value"];

/// Types by example, for messages.
const TYPES: &str = "boolean, bigint, double precision, numeric, numeric(10,2), text, varchar(320), bytea, uuid, date, timestamp, timestamptz, jsonb, inet, cidr, macaddr, interval, text[], varchar(9)[], and arrays of integers, numbers, booleans, UUIDs and times, such as bigint[]";

/// Reads all sections.
pub(super) fn read(reader: &Reader<'_>, tables: &DeTable<'_>, mapping: &mut Mapping) -> Result<()> {
    for (name, value) in tables {
        let mut section = Section { reader, mapping, path: vec!["table".into(), name.get_ref().to_string()] };
        let table = section.table(name.span().start, value)?;
        mapping.tables.insert(name.get_ref().to_string(), table);
    }
    Ok(())
}

/// A section while it is read.
pub(super) struct Section<'a, 'm> {
    pub(super) reader: &'a Reader<'a>,
    mapping: &'m mut Mapping,
    path: Vec<String>,
}

pub(super) type Value<'a, 'i> = &'a Spanned<DeValue<'i>>;

impl Section<'_, '_> {
    pub(super) fn key(&self) -> String {
        key_of(&self.path.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(super) fn wrong(&self, offset: usize, detail: impl AsRef<str>) -> switchover_core::Error {
        invalid(self.reader.at(offset)).detail(format!("{}: {}", self.key(), detail.as_ref()))
    }

    /// Something in a table of keys: notes where it stands, and reads it.
    pub(super) fn inside<T>(
        &mut self,
        key: &str,
        offset: usize,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.path.push(key.to_owned());
        let place = self.reader.at(offset).to_string();
        self.mapping.places.insert(self.key(), place);
        let found = read(self);
        self.path.pop();
        found
    }

    pub(super) fn keys<'a, 'i>(&self, offset: usize, value: Value<'a, 'i>) -> Result<&'a DeTable<'i>> {
        value.get_ref().as_table().ok_or_else(|| {
            self.wrong(offset, format!("it is {}; it must be a section of keys", kind(value.get_ref())))
                .hint(format!("write [{}] with its keys below", self.key()))
        })
    }

    pub(super) fn text(&self, offset: usize, value: Value<'_, '_>) -> Result<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        text.ok_or_else(|| {
            self.wrong(offset, format!("it is {}; it must be text in quotes", kind(value.get_ref())))
        })
    }

    pub(super) fn boolean(&self, offset: usize, value: Value<'_, '_>) -> Result<bool> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong(offset, "it must be true or false"))
    }

    pub(super) fn word<T: Copy>(
        &self,
        offset: usize,
        value: Value<'_, '_>,
        choices: &[(&str, T)],
    ) -> Result<T> {
        let given = Given { raw: Raw::Text(self.text(offset, value)?), origin: self.reader.at(offset) };
        choose(&given, &self.key(), choices)
    }

    pub(super) fn unknown(
        &self,
        offset: usize,
        what: &str,
        word: &str,
        known: &[&str],
    ) -> switchover_core::Error {
        self.wrong(offset, format!("{what} has no such key")).hint(near::hint(word, known))
    }

    fn table(&mut self, offset: usize, value: Value<'_, '_>) -> Result<TableMap> {
        let place = self.reader.at(offset).to_string();
        self.mapping.places.insert(self.key(), place);
        let mut map = TableMap::default();
        for (key, value) in self.keys(offset, value)? {
            let (word, at) = (key.get_ref().as_ref(), key.span().start);
            self.inside(word, at, |this| {
                match word {
                    "from" => map.from = this.names(at, value)?,
                    "to" => map.to = Some(this.text(at, value)?),
                    "where" => map.filter = Some(this.text(at, value)?),
                    "column" => map.columns = this.each(at, value, Self::column)?,
                    "part" => map.parts = this.each(at, value, Self::part)?,
                    "primary_key" => map.primary_key = this.names(at, value)?,
                    "foreign_key" => map.foreign_keys = Some(this.list(at, value, Self::foreign_key)?),
                    "object" => map.object = Some(this.object(at, value)?),
                    "index" => map.indexes = Some(this.list(at, value, Self::index)?),
                    _ => return Err(this.unknown(at, "a table", word, &TABLE_KEYS)),
                }
                Ok(())
            })?;
        }
        Ok(map)
    }

    fn each<T>(
        &mut self,
        offset: usize,
        value: Value<'_, '_>,
        read: impl Fn(&mut Self, usize, Value<'_, '_>) -> Result<T>,
    ) -> Result<BTreeMap<String, T>> {
        let mut all = BTreeMap::new();
        for (key, value) in self.keys(offset, value)? {
            let at = key.span().start;
            let one = self.inside(key.get_ref(), at, |this| read(this, at, value))?;
            all.insert(key.get_ref().to_string(), one);
        }
        Ok(all)
    }

    /// A name, or a list of names.
    pub(super) fn names(&self, offset: usize, value: Value<'_, '_>) -> Result<Vec<String>> {
        let names = match value.get_ref() {
            DeValue::String(name) => Some(vec![name.to_string()]),
            DeValue::Array(names) => {
                names.iter().map(|name| name.get_ref().as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        match names {
            Some(names) if !names.is_empty() => Ok(names),
            _ => Err(self.wrong(offset, "it must be a name, or a list of names")),
        }
    }

    fn column(&mut self, offset: usize, value: Value<'_, '_>) -> Result<ColumnMap> {
        let mut map = ColumnMap::default();
        for (key, value) in self.keys(offset, value)? {
            let (word, at) = (key.get_ref().as_ref(), key.span().start);
            self.inside(word, at, |this| {
                match word {
                    "to" => map.to = Some(this.text(at, value)?),
                    "drop" => map.drop = this.boolean(at, value)?,
                    "not_null" => map.not_null = Some(this.boolean(at, value)?),
                    "type" => map.r#type = Some(this.logical_type(at, value)?),
                    "policy" => map.policy = Some(this.word(at, value, POLICIES)?),
                    "naive_times" => map.naive_times = Some(this.word(at, value, NAIVE_TIMES)?),
                    "epoch" => map.epoch = Some(this.word(at, value, EPOCHS)?),
                    "value" => map.value = Some(this.text(at, value)?),
                    "ids" => map.ids = Some(this.word(at, value, IDS)?),
                    "ids_namespace" => map.ids_namespace = Some(this.namespace(at, value)?),
                    "ids_map" => map.ids_map = Some(this.text(at, value)?),
                    "tokenization" => map.tokenization = Some(this.tokenization(at, value)?),
                    "filterable" => map.filterable = Some(this.boolean(at, value)?),
                    "searchable" => map.searchable = Some(this.boolean(at, value)?),
                    "range" => map.range = Some(this.boolean(at, value)?),
                    "nested" => map.nested = Some(this.shape(at, value)?),
                    "reference" => map.reference = Some(this.text(at, value)?),
                    _ => return Err(this.unknown(at, "a column", word, &COLUMN_KEYS)),
                }
                Ok(())
            })?;
        }
        Ok(map)
    }

    fn tokenization(&self, offset: usize, value: Value<'_, '_>) -> Result<String> {
        let word = self.text(offset, value)?;
        match TOKENIZATIONS.contains(&word.as_str()) {
            true => Ok(word),
            false => {
                let why = format!("Weaviate has no tokenization '{word}'");
                Err(self.wrong(offset, why).hint(near::hint(&word, &TOKENIZATIONS)))
            }
        }
    }

    fn object(&mut self, offset: usize, value: Value<'_, '_>) -> Result<ObjectMap> {
        let mut map = ObjectMap::default();
        for (key, value) in self.keys(offset, value)? {
            let (word, at) = (key.get_ref().as_ref(), key.span().start);
            self.inside(word, at, |this| {
                match word {
                    "namespace" => map.namespace = Some(this.text(at, value)?),
                    "keep_uuid" => map.keep_uuid = Some(this.boolean(at, value)?),
                    "alias" => map.alias = Some(this.text(at, value)?),
                    "vectorizer" => map.vectorizer = Some(this.text(at, value)?),
                    "vectorizer_config" => map.vectorizer_config = Some(this.settings(at, value)?),
                    "move_alias" => map.move_alias = Some(this.boolean(at, value)?),
                    _ => return Err(this.unknown(at, "an object", word, &OBJECT_KEYS)),
                }
                Ok(())
            })?;
        }
        Ok(map)
    }

    /// The form of nested objects.
    fn shape(&self, offset: usize, value: Value<'_, '_>) -> Result<Shape> {
        match value.get_ref() {
            DeValue::Table(properties) => {
                let each = properties.iter().map(|(key, value)| {
                    Ok((key.get_ref().to_string(), self.shape(key.span().start, value)?))
                });
                each.collect::<Result<_>>().map(Shape::Object)
            }
            DeValue::Array(list) => match list.iter().collect::<Vec<_>>().as_slice() {
                [one] if one.get_ref().is_table() => Ok(Shape::Objects([Box::new(self.shape(offset, one)?)])),
                _ => Err(self.wrong(offset, "a list holds one form of its objects: [{ … }]; lists of plain values are such as \"text[]\"")),
            },
            _ => self.word(offset, value, &Kind::ALL).map(Shape::Kind),
        }
    }

    /// Settings that only the target knows, as JSON.
    fn settings(
        &self,
        offset: usize,
        value: Value<'_, '_>,
    ) -> Result<serde_json::Map<String, serde_json::Value>> {
        let mut all = serde_json::Map::new();
        for (key, value) in self.keys(offset, value)? {
            all.insert(key.get_ref().to_string(), self.setting(key.span().start, value)?);
        }
        Ok(all)
    }

    fn setting(&self, offset: usize, value: Value<'_, '_>) -> Result<serde_json::Value> {
        Ok(match value.get_ref() {
            DeValue::Table(_) => self.settings(offset, value)?.into(),
            DeValue::Array(list) => {
                list.iter().map(|value| self.setting(offset, value)).collect::<Result<Vec<_>>>()?.into()
            }
            DeValue::Datetime(_) => return Err(self.wrong(offset, "a setting is no date; write it as text")),
            plain => match plain {
                DeValue::Integer(number) => {
                    number.as_str().replace('_', "").parse::<i64>().ok().map(Into::into)
                }
                DeValue::Float(number) => {
                    number.as_str().replace('_', "").parse::<f64>().ok().map(Into::into)
                }
                DeValue::Boolean(on) => Some((*on).into()),
                other => other.as_str().map(Into::into),
            }
            .ok_or_else(|| {
                self.wrong(
                    offset,
                    "a setting is a text, a decimal number, a truth value, a list or a section",
                )
            })?,
        })
    }

    fn namespace(&self, offset: usize, value: Value<'_, '_>) -> Result<Namespace> {
        let text = self.text(offset, value)?;
        text.parse().map_err(|why: String| {
            self.wrong(offset, why).hint("write one with dashes, such as one that `uuidgen` gives")
        })
    }

    fn logical_type(&self, offset: usize, value: Value<'_, '_>) -> Result<LogicalType> {
        let text = self.text(offset, value)?;
        text.parse().map_err(|why: String| {
            self.wrong(offset, why.replace(" of a plan", "")).hint(format!("types are {TYPES}"))
        })
    }

    fn part(&mut self, offset: usize, value: Value<'_, '_>) -> Result<PartMap> {
        let mut map = PartMap::default();
        for (key, value) in self.keys(offset, value)? {
            let (word, at) = (key.get_ref().as_ref(), key.span().start);
            self.inside(word, at, |this| {
                match word {
                    "where" => map.filter = Some(this.text(at, value)?),
                    "value" => map.values = this.each(at, value, |this, at, value| this.text(at, value))?,
                    _ => return Err(this.unknown(at, "a part", word, &PART_KEYS)),
                }
                Ok(())
            })?;
        }
        Ok(map)
    }
}
