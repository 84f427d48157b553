//! What one table of the mapped catalog is: its columns, and what of its schema still holds.
//!
//! A key column cannot be dropped, because rows are found by it on both sides. Everything else that
//! names a column that is dropped, or that the source computes anew, goes with it, each with a line:
//! what it said about the old values is not known of the new ones. A generated column that is
//! computed from such a column stays as a plain one with the source's values. How its rows are read is
//! in [`super::parts`].

use super::resolve::listed;
use super::{ColumnMap, Mapping, TableMap, key_of};
use crate::Result;
use crate::plan::LogicalType;
use crate::relation::Relation;
use crate::schema::{Column, Skipped, Table};
use std::collections::BTreeSet;

/// A table of the mapped catalog.
pub(super) struct Derived {
    pub(super) table: Table,
    pub(super) relation: Option<Relation>,
    pub(super) lines: Vec<Skipped>,
}

/// One table while it is derived.
pub(super) struct Work<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) name: &'a str,
    pub(super) map: &'a TableMap,
    pub(super) parts: &'a [&'a Table],
    pub(super) lines: Vec<Skipped>,
}

/// Derives a table from its parts.
pub(super) fn table(mapping: &Mapping, name: &str, map: &TableMap, parts: &[&Table]) -> Result<Derived> {
    let mut work = Work { mapping, name, map, parts, lines: Vec::new() };
    work.check_names()?;
    let names = work.names()?;
    let computed: BTreeSet<String> = names.iter().filter(|n| work.is_computed(n)).cloned().collect();
    let mut table = work.base(&names, &computed)?;
    let relation = work.relation(&names, &computed)?;
    if let Some(relation) = &relation {
        table.locator = relation.locator();
    }
    work.columns_once(&table)?;
    Ok(Derived { table, relation, lines: work.lines })
}

pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

impl Work<'_> {
    pub(super) fn key(&self, rest: &[&str]) -> String {
        key_of(&[&["table", self.name], rest].concat())
    }

    fn column_map(&self, column: &str) -> Option<&ColumnMap> {
        self.mapping.column(self.name, column)
    }

    fn line(&mut self, kind: &str, name: String, why: String) {
        self.lines.push(Skipped { kind: kind.into(), name, why });
    }

    pub(super) fn value_in(&self, part: &Table, column: &str) -> Option<(String, &str)> {
        let own =
            super::by_name(&self.map.parts, &part.name).and_then(|map| super::by_name(&map.values, column));
        if let Some(text) = own {
            return Some((self.key(&["part", &part.name, "value", column]), text));
        }
        let text = self.column_map(column)?.value.as_deref()?;
        Some((self.key(&["column", column, "value"]), text))
    }

    fn is_computed(&self, column: &str) -> bool {
        self.parts.iter().any(|part| self.value_in(part, column).is_some())
    }

    fn not_null(&self, column: &str) -> Option<bool> {
        self.column_map(column).and_then(|map| map.not_null)
    }

    fn is_dropped(&self, column: &str) -> bool {
        self.column_map(column).is_some_and(|map| map.drop)
    }

    /// Every name that the section mentions is there, or is made by it.
    fn check_names(&self) -> Result<()> {
        let has = |column: &str| self.parts.iter().any(|part| part.column(column).is_some());
        let columns = || self.parts[0].columns.iter().map(|column| column.name.as_str());
        for (column, map) in &self.map.columns {
            let made = map.value.is_some() || self.is_computed(column);
            if !has(column) && !made {
                let why = format!("the table '{}' has no column '{column}'", self.parts[0].name);
                return Err(self
                    .mapping
                    .error(&self.key(&["column", column]), why)
                    .hint(format!("it has {}; a new column needs a `value`", listed(columns()))));
            }
            let alone = ColumnMap { drop: true, ..ColumnMap::default() };
            if map.drop && *map != alone {
                let why = "a column that is dropped has no other keys";
                return Err(self
                    .mapping
                    .error(&self.key(&["column", column, "drop"]), why)
                    .hint("keep one of the two"));
            }
            let times = matches!(map.r#type, Some(LogicalType::Timestamp | LogicalType::TimestampTz));
            for (key, given) in [("naive_times", map.naive_times.is_some()), ("epoch", map.epoch.is_some())] {
                if given && !times {
                    let why = "it is about a column of times, and the column has no such `type`";
                    return Err(self
                        .mapping
                        .error(&self.key(&["column", column, key]), why)
                        .hint("add type = \"timestamptz\" (instants) or type = \"timestamp\""));
                }
            }
            if map.to.as_deref() == Some("") {
                let why = "the name is empty";
                return Err(self
                    .mapping
                    .error(&self.key(&["column", column, "to"]), why)
                    .hint("give it a name"));
            }
        }
        if self.map.to.as_deref() == Some("") {
            return Err(self.mapping.error(&self.key(&["to"]), "the name is empty").hint("give it a name"));
        }
        for part in self.map.parts.keys() {
            if !self.parts.iter().any(|known| same(&known.name, part)) {
                let names = self.parts.iter().map(|part| part.name.as_str());
                return Err(self
                    .mapping
                    .error(&self.key(&["part", part]), format!("it is not read from '{part}'"))
                    .hint(format!("it is read from {}", listed(names))));
            }
        }
        Ok(())
    }

    /// The columns that stay: those of the parts in their order, then those that are new.
    fn names(&mut self) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for part in self.parts {
            for column in &part.columns {
                if !names.iter().any(|name| same(name, &column.name)) {
                    names.push(column.name.clone());
                }
            }
        }
        let values = self.map.parts.values().flat_map(|part| part.values.keys());
        for column in self.map.columns.keys().chain(values) {
            if !names.iter().any(|name| same(name, column)) {
                names.push(column.clone());
            }
        }
        let (dropped, kept): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| self.is_dropped(name));
        for column in dropped {
            let key = self.key(&["column", &column, "drop"]);
            let in_key = |part: &&Table| {
                part.primary_key.iter().flat_map(|key| &key.columns).any(|name| same(name, &column))
            };
            if self.parts.iter().any(in_key) {
                let why = format!("'{column}' is part of the primary key, by which rows are found");
                return Err(self
                    .mapping
                    .error(&key, why)
                    .hint("keep the column; it may have another name (`to`)"));
            }
            self.line("column", format!("{}.{column}", self.name), "the mapping drops it".into());
        }
        if kept.is_empty() {
            return Err(self
                .mapping
                .error(&self.key(&[]), "no column is left")
                .hint("leave the whole table with --exclude"));
        }
        for column in &kept {
            for part in self.parts {
                if part.column(column).is_none() && self.value_in(part, column).is_none() {
                    let why = format!("'{}' has no column '{column}', and no value stands for it", part.name);
                    let hint = format!(
                        "write [{}] value.{} = \"NULL\" or another expression, or drop the column",
                        self.key(&["part", &part.name]),
                        key_of(&[column])
                    );
                    return Err(self.mapping.error(&self.key(&["from"]), why).hint(hint));
                }
            }
        }
        Ok(kept)
    }

    /// The table's schema, as far as it holds.
    fn base(&mut self, names: &[String], computed: &BTreeSet<String>) -> Result<Table> {
        let first = self.parts[0];
        let gone: Vec<String> = first
            .columns
            .iter()
            .map(|column| column.name.clone())
            .filter(|name| computed.contains(name) || !names.contains(name))
            .collect();
        let touches =
            |named: &[String]| named.iter().find(|name| gone.iter().any(|gone| same(gone, name))).cloned();
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            columns.push(self.column(name, computed.contains(name), &touches)?);
        }
        let mut table = Table { name: self.name.to_owned(), columns, ..first.clone() };
        let lost = |what: &str| {
            if computed.contains(what) {
                format!("the mapping gives {what} other values")
            } else {
                format!("it needs {what}, which the mapping drops")
            }
        };
        let mut lines = Vec::new();
        let mut keep = |kind: &str, name: String, named: Vec<String>| match touches(&named) {
            None => true,
            Some(column) => {
                lines.push(Skipped { kind: kind.into(), name, why: lost(&column) });
                false
            }
        };
        let own = self.name;
        table.uniques.retain(|unique| {
            let named: Vec<String> = unique.columns.iter().map(|(name, _)| name.clone()).collect();
            keep("unique", format!("{own}({})", named.join(", ")), named)
        });
        table.indexes.retain(|index| {
            let mut named = Vec::new();
            index.parts.iter().for_each(|part| part.expr.columns(&mut named));
            index.predicate.iter().for_each(|predicate| predicate.columns(&mut named));
            // A plain index over new values says nothing about them, so it may stay.
            let only_speed = !index.unique && index.predicate.is_none();
            named.retain(|name| !(only_speed && computed.contains(name)));
            keep("index", format!("{} on {own}", index.name), named)
        });
        table.checks.retain(|check| {
            let mut named = Vec::new();
            check.expr.columns(&mut named);
            keep("check", format!("{own}: {}", check.text), named)
        });
        table.foreign_keys.retain(|key| {
            keep(
                "foreign key",
                format!("{own}({}) → {}", key.columns.join(", "), key.parent),
                key.columns.clone(),
            )
        });
        self.lines.extend(lines);
        if let Some(key) = &mut table.primary_key {
            key.assigned &= !key.columns.iter().any(|name| computed.contains(name));
        }
        if self.parts.len() > 1 {
            self.shared(&mut table)?;
        }
        Ok(table)
    }

    fn column(
        &mut self,
        name: &str,
        computed: bool,
        touches: &dyn Fn(&[String]) -> Option<String>,
    ) -> Result<Column> {
        let found = self.parts.iter().find_map(|part| part.column(name));
        let label = format!("{}.{name}", self.name);
        let Some(found) = found.filter(|_| !computed) else {
            if found.is_some_and(|column| column.default.is_some()) {
                self.line("default", label, "the mapping gives the column other values".into());
            }
            let added = found.is_none();
            let name = found.map_or(name, |column| &column.name);
            let not_null = self.not_null(name).unwrap_or(false);
            return Ok(Column { not_null, added, ..Column::plain(name, "") });
        };
        let mut column = found.clone();
        if let Some(generated) = &column.generated {
            let mut named = Vec::new();
            generated.expr.columns(&mut named);
            if let Some(of) = touches(&named) {
                column.generated = None;
                self.line(
                    "generated column",
                    label.clone(),
                    format!("its values are kept in a plain column, because the mapping changes {of}"),
                );
            }
        }
        for other in self.parts.iter().filter_map(|part| part.column(name)) {
            if other.collation != column.collation {
                let why = format!(
                    "'{name}' compares by {} in one part and by {} in another",
                    column.collation, other.collation
                );
                return Err(self
                    .mapping
                    .error(&self.key(&["from"]), why)
                    .hint("give it a `value` in each part, or keep the tables apart"));
            }
            column.not_null &= other.not_null;
            if other.default != column.default && column.default.take().is_some() {
                self.line("default", label.clone(), "the parts have different ones".into());
            }
            if other.generated != column.generated {
                column.generated = None;
            }
        }
        column.not_null = self.not_null(name).unwrap_or(column.not_null);
        Ok(column)
    }

    /// No two columns that the mapping gives one name.
    fn columns_once(&self, table: &Table) -> Result<()> {
        let named = |column: &Column| self.column_map(&column.name).and_then(|map| map.to.clone());
        for column in &table.columns {
            let Some(to) = named(column) else { continue };
            let other = table.columns.iter().find(|other| {
                other.name != column.name && named(other).unwrap_or_else(|| other.name.clone()) == to
            });
            if let Some(other) = other {
                let key = self.key(&["column", &column.name, "to"]);
                let why = format!("'{}' and '{}' would both be '{to}'", column.name, other.name);
                return Err(self.mapping.error(&key, why).hint("give one of them another name, or drop it"));
            }
        }
        Ok(())
    }
}
