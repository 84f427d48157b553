//! Keys and indexes that the source does not declare, and the mapping does.
//!
//! A dump has no keys, and an application may keep rules that its tables do not say. What is declared here
//! becomes a part of the mapped catalog, so it is planned, checked against the rows and verified like the
//! source's own: a key that the rows do not keep is refused or quarantined before anything is written.
//! What the catalog has already is no second time there. Indexes of other kinds than a source can have
//! ([`IndexMap::is_special`]) stay in the mapping, and the planner asks the target's dialect for them.
//! Names of columns are the source's, as everywhere in a mapping.

use super::resolve::listed;
use super::{Mapping, TableMap, key_of};
use crate::Result;
use crate::expr::Expr;
use crate::schema::{ForeignKey, Index, IndexPart, PrimaryKey, Skipped, Table, Unique};
use serde::{Deserialize, Serialize};

/// Languages whose words an index can find: the text search configurations of every supported PostgreSQL.
pub const LANGUAGES: [&str; 29] = [
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "simple",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
];

/// A foreign key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignKeyMap {
    /// The constraint's name on the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The child's columns.
    pub columns: Vec<String>,
    /// The parent, by its name in the plan.
    pub parent: String,
    /// Its columns; empty for its primary key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parent_columns: Vec<String>,
    /// What a delete of the parent does.
    #[serde(default)]
    pub on_delete: Action,
    /// What a change of its key does.
    #[serde(default)]
    pub on_update: Action,
}

/// What a foreign key does when its parent goes or changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It forbids that.
    #[default]
    NoAction,
    /// It forbids that at once.
    Restrict,
    /// It puts NULL in its place.
    SetNull,
    /// It puts the column's default in its place.
    SetDefault,
    /// It goes or changes too.
    Cascade,
}

impl Action {
    /// As SQL has it.
    pub fn as_sql(self) -> &'static str {
        match self {
            Action::NoAction => "NO ACTION",
            Action::Restrict => "RESTRICT",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
            Action::Cascade => "CASCADE",
        }
    }
}

/// An index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexMap {
    /// Its name on the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its columns in order.
    pub columns: Vec<String>,
    /// Whether no two rows may be equal in them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unique: bool,
    /// What it finds.
    #[serde(default, skip_serializing_if = "IndexMethod::is_btree")]
    pub method: IndexMethod,
    /// The language whose words it finds in the columns' texts, such as `english`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_text: Option<String>,
}

/// What an index finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexMethod {
    /// Values, in their order.
    #[default]
    Btree,
    /// What is within values: elements of arrays, keys and values of JSON, words.
    Gin,
}

impl IndexMethod {
    /// Whether it is the usual one.
    pub fn is_btree(&self) -> bool {
        *self == IndexMethod::Btree
    }
}

impl IndexMap {
    /// Whether it is of a kind that no source has, so that only a target's dialect knows it.
    pub fn is_special(&self) -> bool {
        self.full_text.is_some() || !self.method.is_btree()
    }

    /// Its name: the given one, or one made of its table's and its columns'.
    pub fn name_on(&self, table: &str) -> String {
        self.name.clone().unwrap_or_else(|| format!("{table}_{}_idx", self.columns.join("_")))
    }
}

/// Adds what is declared to the tables that were made.
pub(super) fn add(mapping: &Mapping, tables: &mut [Table], skipped: &mut Vec<Skipped>) -> Result<()> {
    // A foreign key may mean a primary key that is declared after it.
    for table in tables.iter_mut() {
        if let Some(map) = mapping.table(&table.name) {
            let work = Work { mapping, map };
            work.primary_key(table, skipped)?;
            work.indexes(table)?;
        }
    }
    for at in 0..tables.len() {
        if let Some(map) = mapping.table(&tables[at].name) {
            let keys = Work { mapping, map }.foreign_keys(&tables[at], tables)?;
            tables[at].foreign_keys.extend(keys);
        }
    }
    Ok(())
}

struct Work<'a> {
    mapping: &'a Mapping,
    map: &'a TableMap,
}

impl Work<'_> {
    fn wrong(&self, key: &str, why: impl Into<String>, hint: impl Into<String>) -> crate::Error {
        self.mapping.error(key, why).hint(hint)
    }

    /// The columns as the table writes them, each once.
    fn columns(&self, table: &Table, names: &[String], key: &str) -> Result<Vec<String>> {
        let mut found: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            let has = || listed(table.columns.iter().map(|column| column.name.as_str()));
            let column = table.column(name).ok_or_else(|| {
                let why = format!("the table '{}' has no column '{name}'", table.name);
                self.wrong(key, why, format!("it has {}", has()))
            })?;
            if found.contains(&column.name) {
                return Err(self.wrong(key, format!("it names '{name}' twice"), "name it once"));
            }
            found.push(column.name.clone());
        }
        if found.is_empty() {
            return Err(self.wrong(key, "it names no column", "name one or more columns"));
        }
        Ok(found)
    }

    fn primary_key(&self, table: &mut Table, skipped: &mut Vec<Skipped>) -> Result<()> {
        if self.map.primary_key.is_empty() {
            return Ok(());
        }
        let key = key_of(&["table", &table.name, "primary_key"]);
        let columns = self.columns(table, &self.map.primary_key, &key)?;
        match &table.primary_key {
            Some(own) if own.columns == columns => return Ok(()),
            Some(own) => {
                let collation = |name: &String| {
                    let column = table.column(name);
                    (name.clone(), column.map_or_else(|| "BINARY".into(), |column| column.collation.clone()))
                };
                let columns = own.columns.iter().map(collation).collect();
                skipped.push(Skipped {
                    kind: "primary key".into(),
                    name: format!("{}({})", table.name, own.columns.join(", ")),
                    why: "the mapping declares another one; it is kept as a unique constraint".into(),
                });
                table.uniques.push(Unique { name: None, columns, descending: Vec::new() });
            }
            None => {}
        }
        // A key of SQLite's own may hold NULL; one that is asked for here is a key in earnest.
        for column in table.columns.iter_mut().filter(|column| columns.contains(&column.name)) {
            column.not_null = true;
        }
        table.primary_key = Some(PrimaryKey::plain(None, columns));
        Ok(())
    }

    fn indexes(&self, table: &mut Table) -> Result<()> {
        for (at, index) in self.map.indexes.iter().flatten().enumerate() {
            let key = |rest: &str| key_of(&["table", &table.name, "index", &(at + 1).to_string(), rest]);
            let columns = self.columns(table, &index.columns, &key("columns"))?;
            if index.name.as_deref() == Some("") {
                return Err(self.wrong(&key("name"), "the name is empty", "give it a name, or none"));
            }
            if index.unique && index.is_special() {
                let why = "an index of what is within values cannot be unique";
                return Err(self.wrong(&key("unique"), why, "keep one of the two"));
            }
            if index.is_special() {
                continue;
            }
            let part = |name: &String| IndexPart {
                expr: Expr::Column(name.clone()),
                collation: "BINARY".into(),
                descending: false,
            };
            let parts: Vec<IndexPart> = columns.iter().map(part).collect();
            let like = |own: &&mut Index| own.parts == parts && own.predicate.is_none();
            if let Some(own) = table.indexes.iter_mut().find(like) {
                // One index does for both: with the stricter rule, under the name that was asked for.
                own.unique |= index.unique;
                own.name = index.name.clone().unwrap_or_else(|| own.name.clone());
            } else {
                let name = index.name_on(&table.name);
                let text = format!("the mapping's index on {}({})", table.name, columns.join(", "));
                table.indexes.push(Index { name, unique: index.unique, parts, predicate: None, text });
            }
        }
        Ok(())
    }

    fn foreign_keys(&self, table: &Table, tables: &[Table]) -> Result<Vec<ForeignKey>> {
        let mut made: Vec<ForeignKey> = Vec::new();
        for (at, map) in self.map.foreign_keys.iter().flatten().enumerate() {
            let key =
                |rest: &str| key_of(&["table", &table.name, "foreign_key", &(at + 1).to_string(), rest]);
            let columns = self.columns(table, &map.columns, &key("columns"))?;
            let found = tables.iter().find(|candidate| candidate.name == map.parent);
            let found = found
                .or_else(|| tables.iter().find(|candidate| candidate.name.eq_ignore_ascii_case(&map.parent)));
            let Some(parent) = found else {
                let why = format!("there is no table '{}'", map.parent);
                let names = listed(tables.iter().map(|table| table.name.as_str()));
                return Err(self.wrong(&key("parent"), why, format!("there are {names}")));
            };
            let parent_columns = match (&map.parent_columns, &parent.primary_key) {
                (named, _) if !named.is_empty() => self.columns(parent, named, &key("parent_columns"))?,
                (_, Some(own)) => own.columns.clone(),
                (_, None) => {
                    let why = format!("'{}' has no primary key", parent.name);
                    let hint = "name the columns (`parent_columns`), or declare its `primary_key`";
                    return Err(self.wrong(&key("parent"), why, hint));
                }
            };
            if columns.len() != parent_columns.len() {
                let why = format!("{} columns cannot refer to {}", columns.len(), parent_columns.len());
                return Err(self.wrong(&key("columns"), why, "name as many on both sides"));
            }
            if !is_key(parent, &parent_columns) {
                let why = format!("no key of '{}' is ({})", parent.name, parent_columns.join(", "));
                let hint = format!(
                    "declare its `primary_key`, or a unique [[{}]]",
                    key_of(&["table", &parent.name, "index"])
                );
                return Err(self.wrong(&key("parent"), why, hint));
            }
            let like = |own: &&ForeignKey| {
                (&own.columns, &own.parent, &own.parent_columns) == (&columns, &parent.name, &parent_columns)
            };
            if table.foreign_keys.iter().chain(&made).any(|own| like(&own)) {
                continue;
            }
            made.push(ForeignKey {
                name: map.name.clone(),
                columns,
                parent: parent.name.clone(),
                parent_columns,
                on_delete: map.on_delete.as_sql().into(),
                on_update: map.on_update.as_sql().into(),
                deferrable: false,
                initially_deferred: false,
            });
        }
        Ok(made)
    }
}

/// Whether no two rows of a table can be equal in just these columns.
pub(super) fn is_key(table: &Table, columns: &[String]) -> bool {
    let all = |names: Vec<&String>| names.len() == columns.len() && names.iter().all(|n| columns.contains(n));
    let plain = |part: &IndexPart| matches!(&part.expr, Expr::Column(_));
    table.primary_key.iter().any(|key| all(key.columns.iter().collect()))
        || table.uniques.iter().any(|unique| all(unique.columns.iter().map(|(name, _)| name).collect()))
        || table.indexes.iter().any(|index| {
            index.unique && index.predicate.is_none() && index.parts.iter().all(plain) && {
                let named = index.parts.iter().filter_map(|part| match &part.expr {
                    Expr::Column(name) => Some(name),
                    _ => None,
                });
                all(named.collect())
            }
        })
}
