//! What capture must know of a table: its key, and everything by which REPLACE may remove another row of it.
//!
//! Read from SQLite itself and never from the plan, so that a shape is what the file is now. Two shapes that are
//! equal have the same triggers (`triggers`).

use super::super::ddl;
use super::super::inspect::{Info, infos};
use super::super::quote::{ident, literal};
use super::formula::{Formula, own_number};
use super::late::Late;
use super::new_row::stored;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;
use std::ffi::CStr;
use switchover_core::expr::Expr;
use switchover_core::schema::Affinity;

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    /// Its name.
    pub(super) name: String,
    /// The collation by which the key tells values apart.
    pub(super) collation: String,
    /// Whether two values that the key holds for one are the same bytes of the same storage class.
    pub(super) by_bytes: bool,
}

/// A column, as far as expressions over it go by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// What it prefers its values to be, and gives to what they are compared with.
    pub(super) affinity: Affinity,
    /// Its collation.
    pub(super) collation: String,
    /// Its expression, where SQLite computes it of a column in which REPLACE may put a default.
    pub(super) refilled: Option<Formula>,
}

/// What refuses a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// A column that must not be NULL.
    NotNull(String),
    /// A CHECK that is false.
    Check(Formula),
}

/// What SQLite asks of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// What refuses it.
    pub(super) condition: Condition,
    /// The column that is the row's own number, where the condition goes by it: an INSERT may leave that to SQLite.
    pub(super) by_number: Option<String>,
}

/// A part of a unique index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A column by its name.
    Column(String),
    /// An expression.
    Expression(Formula),
}

/// A unique index other than the key's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unique {
    /// Its name.
    pub(super) name: String,
    /// Its parts, each with the collation that decides equality.
    pub(super) parts: Vec<(Part, String)>,
    /// Which rows it holds, when not all.
    pub(super) predicate: Option<Formula>,
}

impl Unique {
    /// Whether there may be rows of which one of its parts cannot be computed.
    pub(super) fn may_fail(&self) -> bool {
        self.parts.iter().any(|(part, _)| matches!(part, Part::Expression(formula) if formula.may_fail))
    }
}

/// A table as capture sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Its index in the plan.
    pub(super) number: usize,
    /// Its name in this file.
    pub(super) name: String,
    /// Its columns, hidden ones left out.
    pub(super) columns: Vec<Column>,
    /// What its generated columns may be computed of: every other column. Empty where none is generated.
    pub(super) bases: Vec<String>,
    /// Its key, in the order of the plan's; empty where the plan has none.
    pub(super) key: Vec<KeyColumn>,
    /// Whether the key is the row's own number.
    pub(super) key_is_rowid: bool,
    /// The name of the row's own number, where it is not the key and a statement can reach it.
    pub(super) rowid: Option<&'static str>,
    /// Its unique indexes.
    pub(super) uniques: Vec<Unique>,
    /// Columns that refuse NULL and have a default: REPLACE puts the default in NULL's place, after the triggers
    /// that fire before.
    pub(super) defaults: Vec<(String, String)>,
    /// What SQLite asks of a row before it computes an index's expression, in its order, as far as a guard can tell whether it holds.
    /// Read where such an expression may fail.
    pub(super) asked: Vec<Asked>,
    /// The primary key of the table itself, as a set of names in its order.
    pub(super) own_key: Vec<String>,
    /// Why no guard can tell which rows make room for a new one, or no trigger can fire before, if so.
    pub(super) untold: Option<String>,
}

/// The shape of a table, `None` where it is not there. `key` are the plan's columns, by their names in this file.
/// The inner error says which index cannot be read, and why.
pub(super) fn read(
    connection: &Connection,
    number: usize,
    name: &str,
    key: &[&str],
) -> rusqlite::Result<Option<Result<Shape, String>>> {
    let sql =
        "SELECT wr, strict FROM pragma_table_list WHERE schema = 'main' AND name = ?1 AND type = 'table'";
    let found: Option<(bool, bool)> =
        connection.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((without_rowid, strict)) = found else { return Ok(None) };
    let columns = infos(connection, name)?;
    let mut own: Vec<&Info> = columns.iter().filter(|column| column.key > 0).collect();
    own.sort_by_key(|column| column.key);
    let own_key: Vec<String> = own.iter().map(|column| column.name.clone()).collect();
    let indexes = match indexes(connection, name, &columns)? {
        Ok(indexes) => indexes,
        Err(why) => return Ok(Some(Err(why))),
    };
    let key_index = indexes.iter().find(|(origin, _)| origin == "pk").map(|(_, index)| index);
    let key_is_rowid = !own_key.is_empty() && key_index.is_none() && !without_rowid;
    let generated = match generated(connection, name, &columns)? {
        Ok(generated) => generated,
        Err(why) => return Ok(Some(Err(why))),
    };
    let late = Late::of(&columns, &generated, own_key.first().filter(|_| key_is_rowid));
    let shown = shown(connection, name, &columns, strict, &generated, &late.refilled)?;
    let fails = indexes.iter().any(|(_, index)| index.may_fail());
    let asked = if fails { asked(connection, name, &columns, &late)? } else { Vec::new() };
    let untold = indexes.iter().find_map(|(_, index)| late.untold(&generated, index));
    let untold = late.unborne(&generated).or(untold);
    let key: Vec<KeyColumn> = key
        .iter()
        .map(|name| {
            let part = key_index.and_then(|index| {
                index.parts.iter().find(|(part, _)| *part == Part::Column((*name).to_owned()))
            });
            let collation = part.map_or_else(|| "BINARY".to_owned(), |(_, collation)| collation.clone());
            let column = columns.iter().find(|column| column.name == *name);
            let kept = column.is_some_and(|column| keeps_one_class(&column.declared, strict));
            KeyColumn {
                name: (*name).to_owned(),
                by_bytes: key_is_rowid || (collation == "BINARY" && kept),
                collation,
            }
        })
        .collect();
    let rowid = own_number(&columns).next();
    let guards_key = key.iter().any(|column| !column.by_bytes);
    Ok(Some(Ok(Shape {
        number,
        name: name.to_owned(),
        rowid: rowid.filter(|_| !key_is_rowid && !without_rowid),
        key_is_rowid,
        uniques: indexes
            .into_iter()
            .filter(|(origin, _)| origin != "pk" || guards_key)
            .map(|(_, index)| index)
            .collect(),
        defaults: defaults(&columns, &shown),
        asked,
        columns: shown,
        bases: bases_of(&columns),
        key,
        own_key,
        untold,
    })))
}

/// The columns, hidden ones left out.
fn shown(
    connection: &Connection,
    table: &str,
    columns: &[Info],
    strict: bool,
    generated: &BTreeMap<String, Formula>,
    refilled: &[String],
) -> rusqlite::Result<Vec<Column>> {
    let mut shown = Vec::new();
    for column in columns.iter().filter(|column| column.hidden != 1) {
        let name = &column.name;
        let (declared, collation, ..) = connection.column_metadata(Some("main"), table, name.as_str())?;
        let text = |given: Option<&CStr>| given.map(|given| given.to_string_lossy().into_owned());
        shown.push(Column {
            name: name.clone(),
            affinity: affinity(&text(declared).unwrap_or_default(), strict),
            collation: text(collation).unwrap_or_else(|| "BINARY".to_owned()),
            refilled: generated.get(name).filter(|_| refilled.contains(name)).cloned(),
        });
    }
    Ok(shown)
}

/// What the generated columns of a table may be computed of: every other column. Empty where none is generated, or there is no such table.
pub(super) fn bases(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    infos(connection, table).map(|columns| bases_of(&columns))
}

fn bases_of(columns: &[Info]) -> Vec<String> {
    let plain = columns.iter().filter(|column| column.hidden == 0).map(|column| column.name.clone());
    if columns.iter().any(is_generated) { plain.collect() } else { Vec::new() }
}

/// The table's statement.
fn written(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    connection.query_row(sql, [table], |row| row.get(0))
}

/// The expressions of the generated columns; the inner error says why they cannot be read.
fn generated(
    connection: &Connection,
    table: &str,
    columns: &[Info],
) -> rusqlite::Result<Result<BTreeMap<String, Formula>, String>> {
    if !columns.iter().any(is_generated) {
        return Ok(Ok(BTreeMap::new()));
    }
    let texts = match ddl::generated_texts(&written(connection, table)?) {
        Ok(texts) => texts,
        Err(why) => return Ok(Err(format!("its generated columns cannot be read: {why}"))),
    };
    let generated = columns.iter().filter(|column| is_generated(column)).filter_map(|column| {
        let (_, text) = texts.iter().find(|(name, _)| name.eq_ignore_ascii_case(&column.name))?;
        Some((column.name.clone(), Formula::new(text, columns)))
    });
    Ok(Ok(generated.collect()))
}

/// What SQLite asks of a row: first that nothing is NULL which must not be, then the CHECKs; of a statement that cannot be read, none of
/// these. Where REPLACE puts a default in the place of NULL, the row may be none that is refused.
fn asked(
    connection: &Connection,
    table: &str,
    columns: &[Info],
    late: &Late,
) -> rusqlite::Result<Vec<Asked>> {
    let refuses_null = |column: &&Info| column.not_null && !has_default(column);
    let not_null = columns.iter().filter(refuses_null).map(|column| Condition::NotNull(column.name.clone()));
    let parsed = ddl::parse_table(&written(connection, table)?);
    let checks = parsed.map(|table| table.checks).unwrap_or_default();
    let checks = checks.iter().map(|check| Condition::Check(Formula::new(&check.text, columns)));
    Ok(not_null.chain(checks).filter_map(|condition| late.asked(condition)).collect())
}

pub(super) fn has_default(column: &Info) -> bool {
    column.not_null && column.default.is_some()
}

fn is_generated(column: &Info) -> bool {
    // pragma.html#pragma_table_xinfo
    matches!(column.hidden, 2 | 3)
}

fn affinity(declared: &str, strict: bool) -> Affinity {
    match strict && declared.eq_ignore_ascii_case("ANY") {
        true => Affinity::Blob,
        false => Affinity::of_declared(declared),
    }
}

/// Whether a column's affinity makes equal values one storage class: 1 and 1.0 become one of the two, and text
/// never equals a number. The one value that it does not, -2^63, is looked after where keys are read.
fn keeps_one_class(declared: &str, strict: bool) -> bool {
    affinity(declared, strict) != Affinity::Blob
}

fn defaults(columns: &[Info], shown: &[Column]) -> Vec<(String, String)> {
    let with_default = columns.iter().filter(|column| has_default(column));
    with_default
        .filter_map(|column| {
            let text = column.default.as_ref()?;
            let sql = match ddl::parse_default(text) {
                // A word, or one in double quotes, is a text there, and would be a column's name in a trigger.
                Expr::Text(text) => literal(&text),
                _ => format!("({text}\n)"),
            };
            let kept = shown.iter().find(|shown| shown.name == column.name)?;
            Some((column.name.clone(), stored(kept.affinity, &sql)))
        })
        .collect()
}

type Indexes = Vec<(String, Unique)>;

/// The unique indexes with their origins: `pk`, `u` or `c`.
fn indexes(
    connection: &Connection,
    table: &str,
    columns: &[Info],
) -> rusqlite::Result<Result<Indexes, String>> {
    let listed: Vec<(String, String)> = connection
        .prepare(&format!("PRAGMA main.index_list({})", literal(table)))?
        .query_map([], |row| Ok((row.get(1)?, row.get(2)?, row.get(3)?)))?
        .filter_map(|found: rusqlite::Result<(String, bool, String)>| match found {
            Ok((name, unique, origin)) => unique.then_some(Ok((name, origin))),
            Err(error) => Some(Err(error)),
        })
        .collect::<rusqlite::Result<_>>()?;
    let mut found = Vec::new();
    for (index, origin) in listed {
        let parts: Vec<(i64, Option<String>, String)> = connection
            .prepare(&format!("PRAGMA main.index_xinfo({})", literal(&index)))?
            .query_map([], |row| Ok((row.get(1)?, row.get(2)?, row.get(4)?, row.get(5)?)))?
            .filter_map(|found: rusqlite::Result<(i64, Option<String>, String, bool)>| match found {
                Ok((column, name, collation, key)) => key.then_some(Ok((column, name, collation))),
                Err(error) => Some(Err(error)),
            })
            .collect::<rusqlite::Result<_>>()?;
        let sql = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?1";
        let text: Option<String> =
            connection.query_row(sql, [&index], |row| row.get(0)).optional()?.flatten();
        let (texts, predicate) = match text.as_deref().map(ddl::index_texts) {
            None => (Vec::new(), None),
            Some(Ok(texts)) => texts,
            Some(Err(why)) => return Ok(Err(format!("the index {index} cannot be read: {why}"))),
        };
        let parts = parts.into_iter().enumerate().map(|(at, (_, name, collation))| {
            let part = match (name, texts.get(at)) {
                (Some(name), _) => Ok(Part::Column(name)),
                (None, Some(text)) => Ok(Part::Expression(Formula::new(text, columns))),
                (None, None) => Err(format!("the index {index} has a part without a text")),
            };
            part.map(|part| (part, collation.to_ascii_uppercase()))
        });
        match parts.collect::<Result<Vec<_>, String>>() {
            Ok(parts) => {
                let predicate = predicate.map(|text| Formula::new(&text, columns));
                found.push((origin, Unique { name: index, parts, predicate }));
            }
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(found))
}

impl Shape {
    /// The shape, if guards can be made that tell which rows make room; else why not.
    pub(super) fn told(self) -> Result<Shape, String> {
        match self.untold {
            Some(why) => Err(why),
            None => Ok(self),
        }
    }

    /// The condition that finds a row by the key's cells, by the key's own index: the cells are what `cell`
    /// gives for each column, from 0.
    pub(super) fn same_key(&self, cell: impl Fn(usize) -> String) -> String {
        let terms = self.key.iter().enumerate().map(|(at, column)| {
            let name = ident(&column.name);
            if self.key_is_rowid {
                format!("{name} = {}", cell(at))
            } else {
                format!("{name} COLLATE {} = {}", ident(&column.collation), cell(at))
            }
        });
        terms.collect::<Vec<_>>().join(" AND ")
    }
}
