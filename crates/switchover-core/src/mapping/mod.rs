//! The mapping: what the user wants to become of tables and columns.
//!
//! It is data, and part of the plan ([`crate::plan::PlanOptions::mapping`]). [`resolve()`] holds it
//! against a catalog: a mapping that names what is not there, or contradicts itself, is an error
//! that says in which file, at which line and under which key; what remains is a catalog as if the
//! source had been mapped already, and the [`crate::relation`]s by which it is read.
//! Names on the target, types and policies are taken up by the planner.
//! Absent on purpose: the syntax of the file, which is the command line's.

mod bare;
mod declared;
mod derive;
mod ids;
mod layer;
mod object;
mod parts;
mod resolve;

pub use declared::{Action, ForeignKeyMap, IndexMap, IndexMethod, LANGUAGES};
pub use object::{ObjectMap, TOKENIZATIONS};
pub use resolve::{Mapped, resolve};

use crate::ids::Namespace;
use crate::moment::EpochUnit;
use crate::plan::{LogicalType, Policy};
use crate::relation::Fragment;
use crate::shape::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What becomes of tables and columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// By the table's name in the plan: the source's, or a new one with `from`.
    #[serde(default, rename = "table", skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, TableMap>,
    /// Where a key stands (`switchover.toml, line 12`), for messages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, String>,
}

/// What becomes of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableMap {
    /// The tables of the source that it is read from; empty for the one of its own name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// Its name on the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Which rows: an expression of the source's.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Its columns, by their names on the source; a new name needs a `value`.
    #[serde(default, rename = "column", skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnMap>,
    /// What differs by the table that it is read from.
    #[serde(default, rename = "part", skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, PartMap>,
    /// Columns that identify a row, where the source does not say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primary_key: Vec<String>,
    /// Foreign keys that the source does not declare.
    #[serde(default, rename = "foreign_key", skip_serializing_if = "Option::is_none")]
    pub foreign_keys: Option<Vec<ForeignKeyMap>>,
    /// Indexes that the target is to have beside the source's.
    #[serde(default, rename = "index", skip_serializing_if = "Option::is_none")]
    pub indexes: Option<Vec<IndexMap>>,
    /// What becomes of its rows as objects, where the target keeps such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectMap>,
}

/// What becomes of a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMap {
    /// Its name on the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether it is left behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop: bool,
    /// Its type on the target.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<LogicalType>,
    /// What to do with values that the target cannot hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Whether every row has a value; the source's own word where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_null: Option<bool>,
    /// What a time without a zone means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naive_times: Option<NaiveTimes>,
    /// What numbers count since 1970-01-01T00:00:00Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<EpochUnit>,
    /// An expression of the source's that gives its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What its ids become, and with them the columns that refer to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Ids>,
    /// In which they do; the column's own ([`Namespace::of_column`]) where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids_namespace: Option<Namespace>,
    /// The name of the table that keeps what each id became; `TABLE_COLUMN_map` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids_map: Option<String>,
    /// How its texts are cut into words: one of [`TOKENIZATIONS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenization: Option<String>,
    /// Whether objects are found by its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filterable: Option<bool>,
    /// Whether objects are found by words of its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searchable: Option<bool>,
    /// Whether objects are found by a range that its value is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<bool>,
    /// The name of the reference to the parent's object that stands beside this column, which is a foreign key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The form of its JSON texts, where they become objects of the target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<Shape>,
}

/// What ids become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ids {
    /// UUIDs: themselves where they are such, else UUIDv5 ([`crate::ids`]).
    Uuid5,
}

/// What a time without a zone means in a column of instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NaiveTimes {
    /// It does not fit.
    Refuse,
    /// It is one of UTC: no other zone has each time once.
    Utc,
}

impl NaiveTimes {
    /// Whether it is one of UTC.
    pub fn is_utc(self) -> bool {
        self == NaiveTimes::Utc
    }
}

/// What differs in one of several tables that become one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartMap {
    /// Which rows of it; instead of the table's own `where`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Expressions for columns, by the column's name; instead of the column's own `value`.
    #[serde(default, rename = "value", skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// What stands in an expression for the time of the plan.
pub const PLAN_TIME: &str = "{plan_time}";

impl Mapping {
    /// This mapping, in whose expressions [`PLAN_TIME`] is a text of that time: a constant of the plan's, so that every
    /// look at a row sees the same.
    #[must_use]
    pub fn at(mut self, time: &str) -> Mapping {
        let literal = format!("'{}'", time.replace('\'', "''"));
        let set = |text: &mut String| *text = text.replace(PLAN_TIME, &literal);
        for table in self.tables.values_mut() {
            table.filter.iter_mut().for_each(set);
            table.columns.values_mut().filter_map(|column| column.value.as_mut()).for_each(set);
            for part in table.parts.values_mut() {
                part.filter.iter_mut().for_each(set);
                part.values.values_mut().for_each(set);
            }
        }
        self
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// What is said of a table, by its name in the plan.
    pub fn table(&self, table: &str) -> Option<&TableMap> {
        by_name(&self.tables, table)
    }

    /// What is said of a column, by its table's and its own name in the plan.
    pub fn column(&self, table: &str, column: &str) -> Option<&ColumnMap> {
        by_name(&self.table(table)?.columns, column)
    }

    /// Where a key stands; empty when nobody told.
    pub fn place(&self, key: &str) -> String {
        self.places.get(key).cloned().unwrap_or_default()
    }

    /// An error about a key, which says where it stands.
    pub fn error(&self, key: &str, detail: impl Into<String>) -> crate::Error {
        crate::Error::new(crate::Kind::Config, "use the mapping")
            .store(self.place(key))
            .detail(format!("{key}: {}", detail.into()))
    }

    fn fragment(&self, key: String, text: &str) -> Fragment {
        Fragment { text: text.to_owned(), place: self.place(&key), key }
    }
}

/// The key of a table, or of what stands in it, as messages and [`Mapping::places`] write it.
pub fn key_of(parts: &[&str]) -> String {
    let bare = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    let word = |part: &&str| if bare(part) { (*part).to_owned() } else { format!("{part:?}") };
    parts.iter().map(word).collect::<Vec<_>>().join(".")
}

/// By the name as written, or else as SQL reads it without quotes.
fn by_name<'a, T>(all: &'a BTreeMap<String, T>, name: &str) -> Option<&'a T> {
    all.get(name)
        .or_else(|| all.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, found)| found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_plan_is_one_text_wherever_it_is_asked_for() {
        let value = |text: &str| ColumnMap { value: Some(text.into()), ..ColumnMap::default() };
        let part = PartMap {
            filter: Some("a < {plan_time}".into()),
            values: [("b".into(), "{plan_time} || {plan_time}".into())].into(),
        };
        let table = TableMap {
            filter: Some("made < {plan_time}".into()),
            columns: [("at".into(), value("{plan_time}")), ("n".into(), value("n + 1"))].into(),
            parts: [("p".into(), part)].into(),
            ..TableMap::default()
        };
        let mapping = Mapping { tables: [("t".into(), table)].into(), ..Mapping::default() };
        let table = &mapping.at("2026-01-31T12:00:00Z").tables["t"];
        let text = "'2026-01-31T12:00:00Z'";
        assert_eq!(table.filter.as_deref(), Some(&*format!("made < {text}")));
        assert_eq!(table.columns["at"].value.as_deref(), Some(text));
        assert_eq!(table.columns["n"].value.as_deref(), Some("n + 1"));
        assert_eq!(table.parts["p"].filter.as_deref(), Some(&*format!("a < {text}")));
        assert_eq!(table.parts["p"].values["b"], format!("{text} || {text}"));
    }
}
