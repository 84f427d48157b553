//! Looking single rows of the target up by their keys.

use super::error::classify;
use super::quote::{ident, qualified};
use super::read::{Bound, column, placeholder, push};
use super::reader::open_to_read;
use rusqlite::params_from_iter;
use std::path::Path;
use switchover_core::plan::Plan;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "look up rows of the target";

/// The rows with these keys, in any order.
pub(super) fn rows(path: &Path, plan: &Plan, index: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
    let table = &plan.tables[index];
    let fields = table.key_fields();
    if fields.is_empty() {
        return Err(Error::new(Kind::Unsupported, OPERATION)
            .table(table.source.clone())
            .detail("the table has no primary key to find rows by")
            .hint("compare all rows instead"));
    }
    let fail = |error| classify(error, OPERATION, path).table(table.source.clone());
    let (connection, encoding) = open_to_read(path)?;
    let columns: Vec<String> = table.columns.iter().map(|plan| column(&plan.target, encoding)).collect();
    let mut rows = Rows::new(0, table.columns.len());
    for key in keys {
        // The first condition finds the row by the key's index, the second tells texts apart that the
        // column's collation holds for one.
        let terms: Vec<String> = (fields.iter().zip(key).zip(1..))
            .map(|((field, cell), number)| {
                let (name, mark) =
                    (ident(&table.columns[*field].target), placeholder(number, cell, encoding));
                format!("{name} IS {mark} AND {name} COLLATE BINARY IS {mark}")
            })
            .collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            columns.join(", "),
            qualified("main", &table.target),
            terms.join(" AND ")
        );
        let mut statement = connection.prepare_cached(&sql).map_err(fail)?;
        let parameters = params_from_iter(key.iter().map(|cell| Bound(cell, encoding)));
        let mut found = statement.query(parameters).map_err(fail)?;
        while let Some(row) = found.next().map_err(fail)? {
            push(row, 0, table.columns.len(), encoding.is_wide().then_some(encoding), &mut rows)
                .map_err(fail)?;
        }
    }
    Ok(rows)
}
