//! Reading a dump back that was written: by the source side's own walk through a file.
//!
//! An [`Index`] is one walk through all of it, which proves that it is JSON to its last byte, and finds where each
//! table begins. What the plan does not say of a row (another key, a key twice) is an error with its place; what a
//! column should not hold comes back as it is, so that the comparison sees it.

use super::config::JsonConfig;
use super::count;
use super::input::{Data, DataReader, Holds, open};
use super::place::{Place, member, refused};
use super::render::read;
use super::row::{At, entries, text, twice};
use super::walk::{Begins, Walker};
use crate::blocking::blocking;
use crate::place;
use async_trait::async_trait;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use switchover_core::connector::{Audit, Reader};
use switchover_core::plan::Plan;
use switchover_core::value::{Rows, Value};
use switchover_core::{Error, Kind, Result};

/// Bytes of rows that one call gives back.
const BATCH_BYTES: usize = 1 << 20;

pub(super) const OPERATION: &str = "read rows of the target";

/// Where a table lies.
#[derive(Debug)]
struct Located {
    begins: Begins,
    holds: Holds,
    data: Arc<Data>,
    rows: u64,
    first: Option<(u64, Place)>,
}

/// A dump as it lies there.
#[derive(Debug)]
pub(super) struct Index {
    identity: Option<String>,
    tables: Vec<Located>,
    parts: Vec<Arc<Data>>,
}

impl Index {
    /// Walks through the dump. Blocking.
    pub(super) fn of(config: &JsonConfig) -> Result<Index> {
        let identity = place::identity(config.path());
        let (parts, _) = open(config)?;
        let mut tables = Vec::new();
        for part in &parts {
            let mut walker = Walker::new(part.data.reader(0), part.holds.clone());
            let named = |error: Error| error.store(format!("json:{}", part.path.display()));
            while let Some(begins) = walker.table().map_err(named)? {
                let (mut rows, mut first) = (0, None);
                while let Some(row) = walker.row().map_err(named)? {
                    first.get_or_insert((row.offset, row.begins));
                    rows += 1;
                }
                let (holds, data) = (part.holds.clone(), Arc::clone(&part.data));
                tables.push(Located { begins, holds, data, rows, first });
            }
        }
        Ok(Index { identity, tables, parts: parts.into_iter().map(|part| part.data).collect() })
    }

    /// Whether it is still what lies there.
    pub(super) fn is_current(&self, config: &JsonConfig) -> bool {
        place::identity(config.path()) == self.identity
            && self.parts.iter().all(|part| part.unchanged().is_ok())
    }

    fn table(&self, name: &str) -> Option<&Located> {
        self.tables.iter().find(|table| table.begins.name == name)
    }

    /// Rows by an own count, and tables that should be there or should not. Blocking.
    pub(super) fn audit(&self, plan: &Plan) -> Result<Audit> {
        let mut counts = BTreeMap::new();
        let mut before: Option<&Arc<Data>> = None;
        for table in &self.tables {
            if before.is_none_or(|before| !Arc::ptr_eq(before, &table.data)) {
                count::file(&table.data, &table.holds, &mut counts)?;
            }
            before = Some(&table.data);
        }
        let mut audit = Audit::default();
        for table in &plan.tables {
            audit.rows.push(counts.get(&table.target).copied().unwrap_or(0));
            if self.table(&table.target).is_none() {
                audit.faults.push(format!("the table \"{}\" is not in the dump", table.target));
            }
        }
        let strange = |name: &str| plan.tables.iter().all(|table| table.target != name);
        let strangers = self.tables.iter().map(|table| &table.begins.name).filter(|name| strange(name));
        audit
            .faults
            .extend(strangers.map(|name| format!("the dump holds \"{name}\", which is not the run's")));
        Ok(audit)
    }

    /// A reader of a table's rows; none where the dump has no such table.
    pub(super) fn reader(&self, plan: &Arc<Plan>, at: usize, label: String) -> Option<JsonReader> {
        let table = self.table(&plan.tables[at].target)?;
        let (offset, place) = table.first?;
        let walker =
            Walker::at(table.data.reader(offset), table.holds.clone(), &table.begins, offset, place, 0);
        let names = plan.tables[at].columns.iter().enumerate();
        Some(JsonReader {
            walker: Some(walker),
            data: Arc::clone(&table.data),
            places: names.map(|(at, column)| (column.target.clone(), at)).collect(),
            found: vec![(0, 0); plan.tables[at].columns.len()],
            scratch: Vec::new(),
            left: table.rows,
            plan: Arc::clone(plan),
            table: at,
            label,
        })
    }
}

/// Reads the rows of one table.
pub(super) struct JsonReader {
    walker: Option<Walker<DataReader>>,
    data: Arc<Data>,
    places: HashMap<String, usize>,
    /// By column: where the row's value begins, and its length; a length of 0 is none.
    found: Vec<(usize, usize)>,
    scratch: Vec<u8>,
    left: u64,
    plan: Arc<Plan>,
    table: usize,
    label: String,
}

impl JsonReader {
    /// Appends the next row's cells.
    fn push(&mut self, walker: &mut Walker<DataReader>, rows: &mut Rows) -> Result<()> {
        let gone = || Error::new(Kind::Changed, OPERATION).detail("the file was changed while it was read");
        let row = walker.row()?.ok_or_else(gone)?;
        self.left -= 1;
        let columns = &self.plan.tables[self.table].columns;
        let path = walker.path();
        let at = At { place: row.place, path };
        let text = text(walker.text(), &at)?;
        let (found, places) = (&mut self.found, &self.places);
        found.fill((0, 0));
        let mut guess = 0;
        entries(text, &at, |key, raw, offset| {
            let column = match columns.get(guess) {
                Some(column) if column.target == key => guess,
                _ => *places.get(key).ok_or_else(|| {
                    let why = "the row has a key that the run did not write";
                    refused(
                        at.place.behind(text.as_bytes(), offset),
                        &member(path, key),
                        why,
                        "roll the run back, or mend the dump",
                    )
                })?,
            };
            guess = column + 1;
            if found[column].1 > 0 {
                return Err(twice(text, &at, key, offset));
            }
            found[column] = (offset, raw.len());
            Ok(())
        })?;
        for (column, (begin, length)) in columns.iter().zip(&self.found) {
            let raw = text.get(*begin..begin + length).unwrap_or_default();
            rows.push(match length {
                0 => Value::Null,
                _ => read(raw, column.r#type, &column.codec, &mut self.scratch),
            });
        }
        Ok(())
    }

    /// The next rows; `None` behind the last. Blocking.
    pub(super) fn batch(&mut self, mut rows: Rows) -> Result<Option<Rows>> {
        let Some(mut walker) = self.walker.take().filter(|_| self.left > 0) else { return Ok(None) };
        // A large row was in it: its memory is not kept.
        if rows.capacity_bytes() > 4 * BATCH_BYTES {
            rows = Rows::default();
        }
        rows.reset(0, self.found.len());
        while self.left > 0 && rows.bytes() < BATCH_BYTES {
            self.push(&mut walker, &mut rows).map_err(|error| {
                error.store(self.label.clone()).table(self.plan.tables[self.table].source.clone())
            })?;
        }
        self.data.unchanged()?;
        self.walker = Some(walker);
        Ok(Some(rows))
    }
}

#[async_trait]
impl Reader for JsonReader {
    async fn next(&mut self, rows: Rows) -> Result<Option<Rows>> {
        blocking(|| self.batch(rows))
    }
}
