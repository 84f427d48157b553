//! Fetching one row by its locator, for messages, samples and repair; and how many rows there are.

use super::error::classify;
use super::quote::ident;
use super::read::{Bound, Encoding, column, placeholder, value_of};
use super::relation::{readings, rowid, whole};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use std::path::Path;
use switchover_core::Result;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{Extent, ReadTable};
use switchover_core::relation::Relations;
use switchover_core::schema::Locator;
use switchover_core::value::{OwnedValue, Value};

/// Rows, and the ends of their rowids: SQLite counts by the smallest tree it has.
pub(super) fn extent(
    connection: &Connection,
    path: &Path,
    relations: &Relations,
    table: &ReadTable,
) -> Result<Extent> {
    let fail = |error| classify(error, "count the rows of the source", path).table(table.name.clone());
    let from = whole(relations, &table.name);
    let rows: i64 =
        connection.query_row(&format!("SELECT count(*) FROM {from}"), [], |row| row.get(0)).map_err(fail)?;
    let span = match &table.locator {
        Locator::RowId(name) => {
            let name = rowid(relations, &table.name, name);
            // Two queries, because each of them alone is one step down the tree.
            let end = |which: &str| -> Result<Option<i64>> {
                let sql = format!("SELECT {which}({name}) FROM {from}");
                connection.query_row(&sql, [], |row| row.get(0)).map_err(fail)
            };
            end("min")?.zip(end("max")?)
        }
        Locator::Key(_) | Locator::Ordinal => None,
    };
    Ok(Extent { rows: u64::try_from(rows).unwrap_or(0), span })
}

/// The columns of one row, or `None` when it is not there.
pub(super) fn row(
    connection: &Connection,
    path: &Path,
    encoding: Encoding,
    relations: &Relations,
    table: &ReadTable,
    locator: &LocatorValue,
) -> Result<Option<Vec<OwnedValue>>> {
    let columns: Vec<String> = table.columns.iter().map(|name| column(name, encoding)).collect();
    let mut readings = readings(relations, table);
    let (number, locator) = match locator.as_slice() {
        [OwnedValue::Int(part), rest @ ..] if readings.len() > 1 => {
            (readings.iter().position(|reading| reading.part == Some(*part)), rest)
        }
        all => (Some(0), all),
    };
    let Some(reading) = number.map(|number| readings.swap_remove(number)) else { return Ok(None) };
    let from = reading.from;
    let condition = match &reading.locator {
        Locator::RowId(name) => format!("{name} = ?1"),
        Locator::Key(names) => {
            let terms: Vec<String> = (names.iter().zip(locator).zip(1..))
                .map(|((name, cell), n)| {
                    format!("{} COLLATE BINARY = {}", ident(name), placeholder(n, cell, encoding))
                })
                .collect();
            terms.join(" AND ")
        }
        // In the order of the table itself, as it was read.
        Locator::Ordinal => "1 LIMIT 1 OFFSET ?1 - 1".to_owned(),
    };
    let sql = format!("SELECT {} FROM {from} WHERE {condition}", columns.join(", "));
    let fail = |error| classify(error, "read a row of the source", path).table(table.name.clone());
    let mut statement = connection.prepare_cached(&sql).map_err(fail)?;
    statement
        .query_row(params_from_iter(locator.iter().map(|cell| Bound(cell, encoding))), |row| {
            let step = if encoding.is_wide() { 2 } else { 1 };
            (0..table.columns.len())
                .map(|at| {
                    let value = row.get_ref(at * step)?;
                    let text =
                        encoding.is_wide() && matches!(row.get_ref(at * step + 1)?, ValueRef::Integer(1));
                    Ok(match value {
                        ValueRef::Blob(bytes) if text => Value::Text(&encoding.wtf8(bytes)).to_owned_value(),
                        other => value_of(other).to_owned_value(),
                    })
                })
                .collect()
        })
        .optional()
        .map_err(fail)
}
