//! The catalog: what a store holds, free of any store's syntax.
//!
//! Expressions are trees ([`crate::expr`]), columns of keys are named, not numbered. What a store
//! has and this catalog cannot say becomes a [`Skipped`] with a reason, so that the plan lists it.

pub use crate::expr::Affinity;
use crate::expr::Expr;
use crate::ids::Namespace;
use crate::plan::LogicalType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a store is and how it is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// The kind of store, such as `sqlite`.
    pub kind: String,
    /// The store without secrets, as messages and reports name it.
    pub label: String,
    /// Its version.
    pub version: String,
    /// Its text encoding.
    pub encoding: String,
    /// Bytes on disk, where the store tells.
    pub size_bytes: u64,
    /// Settings that matter to a migration (PRAGMAs, GUCs), by name.
    pub settings: BTreeMap<String, String>,
    /// A digest of everything that it holds, where the store gives one for nothing: a run is resumed only
    /// with the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The live run by whose fence it takes no writes, where there is one: another store owns the data, or is about to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced_by: Option<String>,
}

/// Everything a store holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// The store.
    pub store: StoreInfo,
    /// A digest of the schema's text: equal schemas have equal hashes.
    pub schema_hash: String,
    /// Tables with rows of their own.
    pub tables: Vec<Table>,
    /// Views.
    pub views: Vec<View>,
    /// Triggers.
    pub triggers: Vec<Trigger>,
    /// Objects that hold nothing to move, or cannot be moved, with the reason.
    pub skipped: Vec<Skipped>,
    /// Tables that are known by their names alone: they hold no row that would tell their columns. Each has
    /// a line in `skipped` as well, until a mapping tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bare: Vec<String>,
    /// Tables with something that is no row. A plan that does not leave them out is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
}

/// A table with something that is no row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// What is wrong first, and where.
    pub why: String,
    /// What to do, besides leaving it out.
    pub hint: String,
}

impl Catalog {
    /// The table of that name; names are matched as written.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

/// How a store finds a row again, and in which order it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locator {
    /// A 64-bit integer that the store keeps for each row, by the name that reaches it.
    RowId(String),
    /// The columns of the primary key.
    Key(Vec<String>),
    /// Nothing but the order of reading: the row's ordinal.
    Ordinal,
}

impl Locator {
    /// How many cells it takes.
    pub fn width(&self) -> usize {
        match self {
            Locator::RowId(_) | Locator::Ordinal => 1,
            Locator::Key(columns) => columns.len(),
        }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its name as the store writes it.
    pub name: String,
    /// Its columns in order, generated ones included.
    pub columns: Vec<Column>,
    /// Its primary key.
    pub primary_key: Option<PrimaryKey>,
    /// How its rows are found again.
    pub locator: Locator,
    /// Unique constraints that are no index of their own.
    pub uniques: Vec<Unique>,
    /// Indexes made by CREATE INDEX.
    pub indexes: Vec<Index>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Checks.
    pub checks: Vec<Check>,
    /// Whether the store itself enforces column types.
    pub strict: bool,
    /// The last key that the store gave out, when it remembers one.
    pub sequence: Option<i64>,
    /// The module of a virtual table whose content is moved as a plain one.
    pub virtual_module: Option<String>,
    /// Of whose ids it is the map, where a mapping added it: the source has no such table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_map: Option<IdMap>,
}

impl Table {
    /// The column of that name, compared as SQL does without quotes.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// Whose ids a map keeps: a row of it for each row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// The table.
    pub table: String,
    /// Its column of ids.
    pub column: String,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its declared type, as written; may be empty.
    pub declared: String,
    /// What the declared type prefers.
    pub affinity: Affinity,
    /// What every value is, where the store itself sees to it; `None` where each cell has a type of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<LogicalType>,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Its default.
    pub default: Option<Default>,
    /// Its expression, when it is generated.
    pub generated: Option<Generated>,
    /// Its collation, in upper case; `BINARY` unless declared.
    pub collation: String,
    /// In which its ids become UUIDs, where a mapping asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Namespace>,
    /// Whether the source's table has no such column: a mapping gives its values.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub added: bool,
}

impl Column {
    /// A column of which no more is known than its name and declared type: the shape that other ones are filled in from.
    pub fn plain(name: impl Into<String>, declared: impl Into<String>) -> Column {
        let declared = declared.into();
        Column {
            name: name.into(),
            affinity: Affinity::of_declared(&declared),
            declared,
            kind: None,
            not_null: false,
            default: None,
            generated: None,
            collation: "BINARY".into(),
            ids: None,
            added: false,
        }
    }
}

/// A default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Default {
    /// As written.
    pub text: String,
    /// As understood.
    pub expr: Expr,
}

/// A generated column's expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// As understood.
    pub expr: Expr,
    /// Whether the store keeps the value.
    pub stored: bool,
}

/// A primary key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrimaryKey {
    /// The constraint's name, when it has one.
    pub name: Option<String>,
    /// Its columns in order.
    pub columns: Vec<String>,
    /// Whether the store numbers it by itself (SQLite's INTEGER PRIMARY KEY).
    pub assigned: bool,
    /// Whether it gives out no number twice, even after the row is gone (SQLite's AUTOINCREMENT).
    pub autoincrement: bool,
    /// Columns that it compares by another collation than their own, with that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collated: Vec<(String, String)>,
    /// Columns that its index holds in descending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub descending: Vec<String>,
}

impl PrimaryKey {
    /// A key of columns as they are, that is numbered by nobody.
    #[must_use]
    pub fn plain(name: Option<String>, columns: Vec<String>) -> PrimaryKey {
        let (collated, descending) = (Vec::new(), Vec::new());
        PrimaryKey { name, columns, assigned: false, autoincrement: false, collated, descending }
    }
}

/// A unique constraint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unique {
    /// The constraint's name, when it has one.
    pub name: Option<String>,
    /// Its columns, with the collation that decides equality.
    pub columns: Vec<(String, String)>,
    /// Those that its index holds in descending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub descending: Vec<String>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Whether it is unique.
    pub unique: bool,
    /// Its parts in order.
    pub parts: Vec<IndexPart>,
    /// Which rows it holds, when not all.
    pub predicate: Option<Expr>,
    /// As written.
    pub text: String,
}

/// A part of an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexPart {
    /// A column or an expression.
    pub expr: Expr,
    /// The collation, in upper case.
    pub collation: String,
    /// Whether it is in descending order.
    pub descending: bool,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The constraint's name, when it has one.
    pub name: Option<String>,
    /// The child's columns.
    pub columns: Vec<String>,
    /// The parent table.
    pub parent: String,
    /// The parent's columns (the primary key's when the declaration names none).
    pub parent_columns: Vec<String>,
    /// `NO ACTION`, `RESTRICT`, `SET NULL`, `SET DEFAULT` or `CASCADE`.
    pub on_delete: String,
    /// The same for updates of the parent's key.
    pub on_update: String,
    /// Whether it can wait until commit.
    pub deferrable: bool,
    /// Whether it waits until commit unless told otherwise.
    pub initially_deferred: bool,
}

/// A CHECK constraint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, when it has one.
    pub name: Option<String>,
    /// As understood.
    pub expr: Expr,
    /// As written.
    pub text: String,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub name: String,
    /// As written.
    pub text: String,
    /// As understood, or why it is not.
    pub query: Result<crate::view::View, String>,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// The table or view that it watches.
    pub table: String,
    /// As written.
    pub text: String,
}

/// An object that is not moved, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What it is, such as `shadow table`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why it is not moved.
    pub why: String,
}
