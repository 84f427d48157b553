//! Finding rows by their keys, in the store's own values.

use super::super::error::classify;
use super::super::read::{Bound, Encoding, column, placeholder, push};
use super::super::relation::whole;
use super::super::rules;
use super::shape::Shape;
use super::{Known, SqliteLive, View, refused};
use rusqlite::{Connection, params_from_iter};
use switchover_core::live::Side;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// What is read of columns that the source computes for the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// What they are.
    Computed,
    /// Nothing: they are not computed.
    Null,
}

impl SqliteLive {
    /// The error of a row that could not be read, with its key; and where an expression of the mapping fails for it, with that and SQLite's
    /// words, which name no value of a column.
    pub(super) fn unread(
        &self,
        connection: &Connection,
        encoding: Encoding,
        (view, from): (&View<'_>, &str),
        shape: &Shape,
        (key, error): (&[OwnedValue], rusqlite::Error),
    ) -> Error {
        let shown = view
            .key_names()
            .into_iter()
            .zip(key)
            .map(|(name, cell)| format!("{name}={}", cell.borrow().shown()));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let condition = shape.same_key(|at| placeholder(at + 1, &key[at], encoding));
        let mapping = &self.run.plan.options.mapping;
        for name in &view.columns {
            let Some(value) = mapping.column(view.name, name).and_then(|map| map.value.as_deref()) else {
                continue;
            };
            let sql = format!("SELECT {} FROM {from} WHERE {condition}", column(name, encoding));
            let cells = params_from_iter(key.iter().map(|cell| Bound(cell, encoding)));
            let computed = connection.query_row(&sql, cells, |row| row.get_ref(0).map(drop));
            if let Err(why @ rusqlite::Error::SqliteFailure(..)) = computed {
                let detail = format!(
                    "the mapping's `value` ({value}) cannot be computed for this row: {why}; change the row on the source, and the run goes on by itself"
                );
                return refused(Kind::Refused, "compute a column", self.path(), detail)
                    .table(view.name)
                    .column(*name)
                    .key(shown)
                    .hint("until then the source's changes wait in its log");
            }
        }
        classify(error, "read changes", self.path()).table(view.name).key(shown)
    }

    pub(super) fn shape<'a>(&self, known: &'a Known, table: usize, operation: &str) -> Result<&'a Shape> {
        known.shapes.get(table).and_then(Option::as_ref).ok_or_else(|| {
            let name = self.run.plan.tables.get(table).map(|table| self.view(table).name.to_owned());
            refused(Kind::Changed, operation, self.path(), "the table is not there, or cannot be read")
                .table(name.unwrap_or_default())
                .hint("plan again")
        })
    }

    /// Appends the row of a key, as the key's own index finds it: of two values that it holds for one, either.
    pub(super) fn look_up(
        connection: &Connection,
        encoding: Encoding,
        (view, from, added): (&View<'_>, &str, Added),
        shape: &Shape,
        key: &[OwnedValue],
        rows: &mut Rows,
    ) -> rusqlite::Result<bool> {
        let of = |(at, name): (usize, &&str)| match view.plan.columns[at].added && added == Added::Null {
            true => "NULL".to_owned(),
            false => column(name, encoding),
        };
        let columns: Vec<String> = view.columns.iter().enumerate().map(of).collect();
        let condition = shape.same_key(|at| placeholder(at + 1, &key[at], encoding));
        let sql = format!("SELECT {} FROM {from} WHERE {condition}", columns.join(", "));
        let mut statement = connection.prepare_cached(&sql)?;
        let mut found = statement.query(params_from_iter(key.iter().map(|cell| Bound(cell, encoding))))?;
        let Some(row) = found.next()? else { return Ok(false) };
        push(row, 0, view.columns.len(), encoding.is_wide().then_some(encoding), rows)?;
        Ok(true)
    }

    pub(super) fn fetch_rows(&self, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        let operation = "fetch rows by their keys";
        self.read(operation, |connection, encoding, known| {
            let view = self.view(&self.run.plan.tables[table]);
            let shape = self.shape(known, table, operation)?;
            if view.key.is_empty() {
                return Err(refused(Kind::Unsupported, operation, self.path(), "the table has no key")
                    .table(view.name));
            }
            let from = whole(self.relations(connection, known)?, view.name);
            let mut rows = Rows::new(0, view.columns.len());
            // What the source computes for the target says nothing of what came back.
            let added = if self.side == Side::Source { Added::Null } else { Added::Computed };
            for key in keys {
                let mut found = Rows::new(0, view.columns.len());
                Self::look_up(connection, encoding, (&view, &from, added), shape, key, &mut found)
                    .map_err(|error| classify(error, operation, self.path()).table(view.name))?;
                // The key as asked, not one that the index holds for the same.
                for row in found.iter() {
                    if view.key.iter().zip(key).all(|(at, cell)| row.value(*at) == cell.borrow()) {
                        row.values().for_each(|value| rows.push(value));
                    }
                }
            }
            Ok(rows)
        })
    }

    pub(super) fn count_rows(&self, table: usize) -> Result<u64> {
        self.read("count rows", |connection, _, known| {
            let view = self.view(&self.run.plan.tables[table]);
            rules::count(connection, self.path(), self.relations(connection, known)?, view.name)
        })
    }
}
