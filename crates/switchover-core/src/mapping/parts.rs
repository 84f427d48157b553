//! How a mapped table is read from its parts, and what several parts have alike.
//!
//! Invariant: a row is found by its part's own locator, whatever the mapping does to columns. Of several
//! parts only what all of them keep is kept, each loss with a line.

use super::by_name;
use super::derive::{Work, same};
use crate::Result;
use crate::relation::{Cell, CellFrom, PART_COLUMN, Part, ROW_COLUMN, Relation};
use crate::schema::{Locator, Skipped, Table};
use std::collections::BTreeSet;

impl Work<'_> {
    /// What all parts of several have alike.
    pub(super) fn shared(&mut self, table: &mut Table) -> Result<()> {
        let others = &self.parts[1..];
        let key = |table: &Table| table.primary_key.as_ref().map(|key| key.columns.clone());
        if others.iter().any(|other| key(other) != key(table)) {
            let why = "its parts have different primary keys";
            return Err(self
                .mapping
                .error(&self.key(&["from"]), why)
                .hint("one table of several needs one key; keep them apart"));
        }
        let own = self.name;
        let mut lines = Vec::new();
        let mut line = |kind: &str, name: String| {
            let why = "not all tables that it is read from have it".to_owned();
            lines.push(Skipped { kind: kind.into(), name, why });
        };
        for unique in std::mem::take(&mut table.uniques) {
            let names: Vec<&str> = unique.columns.iter().map(|(name, _)| name.as_str()).collect();
            if others.iter().all(|other| other.uniques.iter().any(|o| o.columns == unique.columns)) {
                table.uniques.push(unique);
            } else {
                line("unique", format!("{own}({})", names.join(", ")));
            }
        }
        for index in std::mem::take(&mut table.indexes) {
            let like = |other: &crate::schema::Index| {
                (&other.parts, &other.predicate, other.unique) == (&index.parts, &index.predicate, true)
            };
            if !index.unique || others.iter().all(|other| other.indexes.iter().any(like)) {
                table.indexes.push(index);
            } else {
                line("unique index", format!("{} on {own}", index.name));
            }
        }
        for check in std::mem::take(&mut table.checks) {
            if others.iter().all(|other| other.checks.iter().any(|o| o.expr == check.expr)) {
                table.checks.push(check);
            } else {
                line("check", format!("{own}: {}", check.text));
            }
        }
        for foreign in std::mem::take(&mut table.foreign_keys) {
            let like = |other: &crate::schema::ForeignKey| {
                (&other.columns, &other.parent, &other.parent_columns)
                    == (&foreign.columns, &foreign.parent, &foreign.parent_columns)
            };
            if others.iter().all(|other| other.foreign_keys.iter().any(like)) {
                table.foreign_keys.push(foreign);
            } else {
                line("foreign key", format!("{own}({}) → {}", foreign.columns.join(", "), foreign.parent));
            }
        }
        table.strict &= others.iter().all(|other| other.strict);
        table.sequence = self.parts.iter().filter_map(|part| part.sequence).max();
        if let Some(key) = &mut table.primary_key {
            key.assigned &= others.iter().all(|o| o.primary_key.as_ref().is_some_and(|key| key.assigned));
        }
        self.lines.extend(lines);
        Ok(())
    }

    /// How the rows are read, where not as they are.
    pub(super) fn relation(&self, names: &[String], computed: &BTreeSet<String>) -> Result<Option<Relation>> {
        let filtered = self.map.filter.is_some() || self.map.parts.values().any(|part| part.filter.is_some());
        let renamed = self.parts.len() > 1 || self.parts[0].name != self.name;
        if !filtered && !renamed && computed.is_empty() {
            return Ok(None);
        }
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            parts.push(self.part(part, names)?);
        }
        Ok(Some(Relation { parts }))
    }

    fn part(&self, part: &Table, names: &[String]) -> Result<Part> {
        let own = by_name(&self.map.parts, &part.name).and_then(|map| map.filter.as_deref());
        let filter = match (own, &self.map.filter) {
            (Some(text), _) => Some(self.mapping.fragment(self.key(&["part", &part.name, "where"]), text)),
            (None, Some(text)) => Some(self.mapping.fragment(self.key(&["where"]), text)),
            (None, None) => None,
        };
        let cell = |name: &String| Cell {
            name: name.clone(),
            from: match (self.value_in(part, name), part.column(name)) {
                (Some((key, text)), _) => CellFrom::Computed(self.mapping.fragment(key, text)),
                (None, Some(column)) => CellFrom::Column(column.name.clone()),
                // `names` refused a column that neither is there nor is computed.
                (None, None) => CellFrom::Column(name.clone()),
            },
        };
        let mut cells: Vec<Cell> = names.iter().map(cell).collect();
        let locator = self.locator(part, &mut cells)?;
        Ok(Part { table: part.name.clone(), locator, filter, cells })
    }

    /// How a part's rows are found: by the table's own locator, whatever the mapping does to columns.
    fn locator(&self, part: &Table, cells: &mut [Cell]) -> Result<Locator> {
        let reserved =
            cells.iter().find(|cell| same(&cell.name, PART_COLUMN) || same(&cell.name, ROW_COLUMN));
        if let Some(cell) = reserved {
            return Err(self
                .mapping
                .error(&self.key(&["from"]), format!("the name '{}' is the tool's own", cell.name))
                .hint("rename the column on the source"));
        }
        match &part.locator {
            Locator::RowId(_) => Ok(part.locator.clone()),
            _ if self.parts.len() > 1 => Err(self
                .mapping
                .error(&self.key(&["from"]), format!("the rows of '{}' have no rowid", part.name))
                .hint("tables without rowids are moved one by one")),
            Locator::Ordinal => Ok(Locator::Ordinal),
            Locator::Key(names) => {
                let changed = names.iter().find(|name| self.value_in(part, name).is_some());
                match changed {
                    None => Ok(part.locator.clone()),
                    Some(name) => Err(self
                        .mapping
                        .error(
                            &self.key(&["column", name, "value"]),
                            format!("'{name}' is part of the key by which rows of '{}' are found", part.name),
                        )
                        .hint("keep the key as it is, and compute a column of another name")),
                }
            }
        }
    }
}
