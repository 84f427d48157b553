//! Reading rows of one range: from the nearest mark, or from where the last batch ended.
//!
//! A [`Cursor`] stands behind the last row that it gave. The next batch of the same table goes on with it, so that
//! a table read in order is read once; any other row is reached from the mark before it.

use super::input::{DataReader, changed};
use super::kind::Kind as ColumnKind;
use super::place::{OPERATION, Place};
use super::row::{At, entries, push_cell, text, twice};
use super::survey::{ID, Mark, Surveyed};
use super::walk::{Framed, Walker};
use std::sync::Arc;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{Batch, ReadRequest};
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Result};

/// Reads the rows of a table in order.
pub(super) struct Cursor {
    pub(super) table: Arc<Surveyed>,
    walker: Walker<DataReader>,
    /// Rows that lie behind it.
    pub(super) rows: u64,
    scratch: Vec<u8>,
    /// By column of the survey: where the row's value begins, and its length; a length of 0 is none.
    found: Vec<(usize, usize)>,
}

impl Cursor {
    /// A cursor behind so many rows of a table.
    pub(super) fn at(table: &Arc<Surveyed>, rows: u64) -> Result<Cursor> {
        let behind = table.marks.partition_point(|mark| mark.rows <= rows);
        let start = Mark { rows: 0, offset: 0, place: Place { line: 1, column: 1 } };
        let mark = behind.checked_sub(1).map_or(start, |at| table.marks[at]);
        let walker = Walker::at(
            table.data.reader(mark.offset),
            table.holds.clone(),
            &table.begins,
            mark.offset,
            mark.place,
            mark.rows,
        );
        let mut cursor = Cursor {
            table: Arc::clone(table),
            walker,
            rows: mark.rows,
            scratch: Vec::new(),
            found: vec![(0, 0); table.columns.len()],
        };
        while cursor.rows < rows {
            cursor.next()?;
        }
        Ok(cursor)
    }

    /// The next row, which the survey saw.
    fn next(&mut self) -> Result<Framed> {
        let row = self.walker.row().and_then(|row| row.ok_or_else(|| changed(&self.table.path)));
        self.rows += 1;
        row
    }

    /// Where the next row stands, in words.
    pub(super) fn place(&mut self) -> Result<String> {
        let row = self.next()?;
        Ok(format!("{}, {}", row.place, self.walker.path()))
    }

    /// Appends the next row: its number, and its cells of these columns of the survey.
    pub(super) fn push(&mut self, columns: &[usize], rows: &mut Rows) -> Result<()> {
        let row = self.next()?;
        let Cursor { table, walker, scratch, found, .. } = self;
        let at = At { place: row.place, path: walker.path() };
        let text = text(walker.text(), &at)?;
        found.fill((0, 0));
        let mut guess = usize::from(row.key.is_some());
        entries(text, &at, |key, raw, offset| {
            let Some(column) = table.column(key, guess) else { return Err(changed(&table.path)) };
            guess = column + 1;
            if found[column].1 > 0 {
                return Err(twice(text, &at, key, offset));
            }
            found[column] = (offset, raw.len());
            Ok(())
        })?;
        rows.push(Value::Int(i64::try_from(self.rows).unwrap_or(i64::MAX)));
        for column in columns {
            let (begin, length) = found[*column];
            let raw = text.get(begin..begin + length).unwrap_or_default();
            let known = &table.columns[*column];
            let fits = match (&row.key, length) {
                (Some(key), 0) if known.name == ID => push_key(key, known.kind, scratch, rows),
                (_, 0) => {
                    rows.push(Value::Null);
                    true
                }
                _ => push_cell(raw, known.kind, scratch, rows),
            };
            if !fits {
                return Err(changed(&table.path));
            }
        }
        Ok(())
    }
}

/// The key of a row that has no `id` of its own.
fn push_key(key: &str, kind: ColumnKind, scratch: &mut Vec<u8>, rows: &mut Rows) -> bool {
    match kind {
        ColumnKind::Json => match serde_json::to_string(key) {
            Ok(text) => push_cell(&text, kind, scratch, rows),
            Err(_) => false,
        },
        _ => {
            rows.push(Value::Text(key.as_bytes()));
            true
        }
    }
}

/// The columns of the survey that these names are. Where there is no row, they are what a mapping says.
pub(super) fn columns(table: &Surveyed, names: &[String]) -> Result<Vec<usize>> {
    if table.rows == 0 {
        return Ok((0..names.len()).collect());
    }
    let find = |name: &String| {
        table.column(name, usize::MAX).ok_or_else(|| {
            Error::new(Kind::Config, OPERATION)
                .table(table.begins.name.clone())
                .column(name.clone())
                .detail("no row of the table has such a key")
        })
    };
    names.iter().map(find).collect()
}

/// The row's number that a locator is.
pub(super) fn number(locator: &LocatorValue) -> Option<u64> {
    match locator.as_slice() {
        [OwnedValue::Int(row)] => u64::try_from(*row).ok(),
        _ => None,
    }
}

/// The next rows of the request's range. `cursor` stands where it begins.
pub(super) fn batch(cursor: &mut Cursor, request: &ReadRequest, mut rows: Rows) -> Result<Batch> {
    let table = Arc::clone(&cursor.table);
    let columns = columns(&table, &request.table.columns)?;
    // A range that ends behind the last row ends with it.
    let upto = request.range.upto.as_ref().and_then(number).unwrap_or(table.rows).min(table.rows);
    rows.reset(1, columns.len());
    while cursor.rows < upto {
        cursor.push(&columns, &mut rows)?;
        if request.is_filled(&rows) {
            break;
        }
    }
    table.data.unchanged()?;
    let done = cursor.rows >= upto;
    let last = (!rows.is_empty()).then(|| rows.row(rows.len() - 1).locator());
    Ok(Batch { rows, last, done })
}
