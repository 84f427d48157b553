//! Rows that break a rule which a file does not enforce: orphans and duplicates.
//!
//! Keys compare by their cells' bytes, as the target compares them. A key with NULL in it equals nothing and
//! refers to nothing.

use super::place::OPERATION;
use super::read::{Cursor, columns};
use super::sorted::{Broken, Sorted, Sorter, repeated, without_parent};
use super::survey::{ID, Surveyed, key_hash};
use std::sync::Arc;
use switchover_core::connector::Offenders;
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Result};

/// Bytes of keys that are read before they are hashed.
const KEYS_BYTES: usize = 1 << 20;

/// Rows whose foreign key names no row of the parent. Blocking.
pub(super) fn orphans(
    child: &Arc<Surveyed>,
    names: &[String],
    parent: &Arc<Surveyed>,
    parent_names: &[String],
    limit: usize,
) -> Result<Offenders> {
    let found = without_parent(keys(child, names)?, keys(parent, parent_names)?, limit)?;
    Ok(offenders(&found, limit))
}

/// Rows that equal an earlier row in these columns. Blocking.
pub(super) fn duplicates(
    table: &Arc<Surveyed>,
    named: &[(String, String)],
    limit: usize,
) -> Result<Offenders> {
    if let Some((name, collation)) = named.iter().find(|(_, collation)| collation != "BINARY") {
        return Err(Error::new(Kind::Unsupported, OPERATION)
            .table(table.begins.name.clone())
            .column(name.clone())
            .detail(format!("keys of a dump compare by bytes, not by {collation}")));
    }
    let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
    match &table.repeated {
        Some(found) if names == [ID] => Ok(offenders(found, limit)),
        _ => Ok(offenders(&repeated(keys(table, &names)?, limit)?, limit)),
    }
}

fn offenders(found: &Broken, limit: usize) -> Offenders {
    let locator = |row: u64| vec![OwnedValue::Int(i64::try_from(row).unwrap_or(i64::MAX))];
    Offenders { count: found.count, first: found.first(limit).into_iter().map(locator).collect() }
}

/// The keys of all rows.
fn keys(table: &Arc<Surveyed>, names: &[String]) -> Result<Sorted> {
    let columns = columns(table, names)?;
    let (mut sorter, mut scratch) = (Sorter::default(), Vec::new());
    let mut cursor = Cursor::at(table, 0)?;
    let mut rows = Rows::default();
    while cursor.rows < table.rows {
        rows.reset(1, columns.len());
        let before = cursor.rows;
        while cursor.rows < table.rows && rows.bytes() < KEYS_BYTES {
            cursor.push(&columns, &mut rows)?;
        }
        for (number, row) in (before + 1..).zip(rows.iter()) {
            if row.values().all(|value| value != Value::Null) {
                sorter.push(key_hash(row.values(), &mut scratch), number)?;
            }
        }
    }
    sorter.sorted()
}
