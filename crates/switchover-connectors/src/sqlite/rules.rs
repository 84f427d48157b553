//! Rows that break a rule which the source did not enforce: orphans and duplicates.
//!
//! The source itself answers, with its own comparison, so the answer is the one that the
//! application would get.

use super::error::classify;
use super::quote::{ident, qualified};
use super::read::value_of;
use rusqlite::Connection;
use std::path::Path;
use switchover_core::connector::Offenders;
use switchover_core::schema::{ForeignKey, Locator, Table};
use switchover_core::{Error, Kind, Result};

/// The expressions that give a row's locator.
fn locator_columns(table: &Table, alias: &str) -> Vec<String> {
    match &table.locator {
        Locator::RowId(name) => vec![format!("{alias}.{name}")],
        Locator::Key(names) => names.iter().map(|name| format!("{alias}.{}", ident(name))).collect(),
        Locator::Ordinal => vec!["NULL".to_owned()],
    }
}

fn gather(connection: &Connection, path: &Path, table: &Table, sql: &str, limit: usize) -> Result<Offenders> {
    let fail = |error| classify(error, "look for rows that break a rule", path).table(table.name.clone());
    let mut statement = connection.prepare(sql).map_err(fail)?;
    let width = statement.column_count();
    let mut found = statement.query([]).map_err(fail)?;
    let mut offenders = Offenders::default();
    while let Some(row) = found.next().map_err(fail)? {
        offenders.count += 1;
        if offenders.first.len() < limit {
            let cells: rusqlite::Result<Vec<_>> =
                (0..width).map(|at| Ok(value_of(row.get_ref(at)?).to_owned_value())).collect();
            offenders.first.push(cells.map_err(fail)?);
        }
    }
    Ok(offenders)
}

/// Rows whose foreign key names no row of the parent.
pub(super) fn orphans(
    connection: &Connection,
    path: &Path,
    table: &Table,
    key: &ForeignKey,
    limit: usize,
) -> Result<Offenders> {
    if key.columns.len() != key.parent_columns.len() || key.columns.is_empty() {
        return Err(Error::new(Kind::Refused, "check a foreign key of the source")
            .table(table.name.clone())
            .column(key.columns.join(", "))
            .detail(format!("it names {} columns of {}", key.parent_columns.len(), key.parent)));
    }
    let present: Vec<String> =
        key.columns.iter().map(|name| format!("c.{} IS NOT NULL", ident(name))).collect();
    // The parent's column stands left, because its collation decides.
    let equal: Vec<String> = (key.parent_columns.iter().zip(&key.columns))
        .map(|(parent, child)| format!("p.{} = c.{}", ident(parent), ident(child)))
        .collect();
    let sql = format!(
        "SELECT {} FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
        locator_columns(table, "c").join(", "),
        qualified("main", &table.name),
        present.join(" AND "),
        qualified("main", &key.parent),
        equal.join(" AND "),
    );
    gather(connection, path, table, &sql, limit)
}

/// Rows that equal an earlier row in the given columns, under the given collations.
pub(super) fn duplicates(
    connection: &Connection,
    path: &Path,
    table: &Table,
    columns: &[(String, String)],
    limit: usize,
) -> Result<Offenders> {
    let keys: Vec<String> =
        columns.iter().map(|(name, collation)| format!("c.{} COLLATE {collation}", ident(name))).collect();
    let present: Vec<String> =
        columns.iter().map(|(name, _)| format!("c.{} IS NOT NULL", ident(name))).collect();
    let locator = locator_columns(table, "c");
    let names: Vec<String> = (0..locator.len()).map(|n| format!("l{n}")).collect();
    let aliased: Vec<String> =
        locator.iter().zip(&names).map(|(expr, name)| format!("{expr} AS {name}")).collect();
    let sql = format!(
        "SELECT {} FROM (SELECT {}, row_number() OVER (PARTITION BY {}) AS n FROM {} c WHERE {}) WHERE n > 1",
        names.join(", "),
        aliased.join(", "),
        keys.join(", "),
        qualified("main", &table.name),
        present.join(" AND "),
    );
    gather(connection, path, table, &sql, limit)
}
