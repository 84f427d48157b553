//! Rows that break a rule which the source did not enforce: orphans and duplicates.
//!
//! The source itself answers, with its own comparison, so the answer is the one that the
//! application would get.

use super::error::classify;
use super::quote::ident;
use super::read::{Encoding, push, qualified_column};
use super::relation::{rowid, whole, whole_in_order};
use rusqlite::Connection;
use std::path::Path;
use switchover_core::connector::Offenders;
use switchover_core::relation::Relations;
use switchover_core::schema::{ForeignKey, Locator, Table};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// The expressions that give a row's locator, as `read` gives it; none where it is the row's ordinal.
fn locator_columns(relations: &Relations, table: &Table, alias: &str, encoding: Encoding) -> Vec<String> {
    match &table.locator {
        Locator::RowId(name) => vec![format!("{alias}.{}", rowid(relations, &table.name, name))],
        Locator::Key(names) => names.iter().map(|name| qualified_column(alias, name, encoding)).collect(),
        Locator::Ordinal => Vec::new(),
    }
}

fn gather(
    connection: &Connection,
    path: &Path,
    encoding: Encoding,
    table: &Table,
    sql: &str,
    limit: usize,
) -> Result<Offenders> {
    let fail = |error| classify(error, "look for rows that break a rule", path).table(table.name.clone());
    let mut statement = connection.prepare(sql).map_err(fail)?;
    let width = table.locator.width();
    let marked = encoding.is_wide() && matches!(table.locator, Locator::Key(_));
    let mut found = statement.query([]).map_err(fail)?;
    let mut offenders = Offenders::default();
    let mut ordinal = 0;
    while let Some(row) = found.next().map_err(fail)? {
        // Without a locator every row comes, with the answer in its only cell.
        ordinal += 1;
        if table.locator == Locator::Ordinal && !row.get::<_, bool>(0).map_err(fail)? {
            continue;
        }
        offenders.count += 1;
        if offenders.first.len() >= limit {
            continue;
        }
        if table.locator == Locator::Ordinal {
            offenders.first.push(vec![OwnedValue::Int(ordinal)]);
            continue;
        }
        let mut rows = Rows::new(width, 0);
        push(row, 0, width, marked.then_some(encoding), &mut rows).map_err(fail)?;
        offenders.first.push(rows.row(0).locator());
    }
    Ok(offenders)
}

/// The store's own count of a table's rows.
pub(super) fn count(connection: &Connection, path: &Path, relations: &Relations, table: &str) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", whole(relations, table));
    let counted: rusqlite::Result<i64> = connection.query_row(&sql, [], |row| row.get(0));
    let counted =
        counted.map_err(|error| classify(error, "count the rows of the source", path).table(table))?;
    // A count is never negative.
    Ok(u64::try_from(counted).unwrap_or(0))
}

/// Rows whose foreign key names no row of the parent.
pub(super) fn orphans(
    connection: &Connection,
    path: &Path,
    encoding: Encoding,
    relations: &Relations,
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
    // By the parent's collation, as SQLite itself compares. For a target that compares by bytes, no foreign
    // key to a column of another collation is in the plan.
    let equal: Vec<String> = (key.parent_columns.iter().zip(&key.columns))
        .map(|(parent, child)| format!("p.{} = c.{}", ident(parent), ident(child)))
        .collect();
    let condition = format!(
        "{} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
        present.join(" AND "),
        whole(relations, &key.parent),
        equal.join(" AND "),
    );
    let name = whole(relations, &table.name);
    let in_order = whole_in_order(relations, &table.name, "c");
    let locator = locator_columns(relations, table, "c", encoding);
    let sql = if locator.is_empty() {
        format!("SELECT {condition} FROM {in_order}")
    } else {
        format!("SELECT {} FROM {name} c WHERE {condition}", locator.join(", "))
    };
    gather(connection, path, encoding, table, &sql, limit)
}

/// Rows that equal an earlier row in the given columns, under the given collations.
pub(super) fn duplicates(
    connection: &Connection,
    path: &Path,
    encoding: Encoding,
    relations: &Relations,
    table: &Table,
    columns: &[(String, String)],
    limit: usize,
) -> Result<Offenders> {
    let keys: Vec<String> =
        columns.iter().map(|(name, collation)| format!("c.{} COLLATE {collation}", ident(name))).collect();
    let present: Vec<String> =
        columns.iter().map(|(name, _)| format!("c.{} IS NOT NULL", ident(name))).collect();
    let name = whole(relations, &table.name);
    let in_order = whole_in_order(relations, &table.name, "c");
    let number = format!("row_number() OVER (PARTITION BY {})", keys.join(", "));
    let present = present.join(" AND ");
    let locator = locator_columns(relations, table, "c", encoding);
    let sql = if locator.is_empty() {
        let same: Vec<String> = (columns.iter())
            .map(|(column, collation)| format!("d.{0} = c.{0} COLLATE {collation}", ident(column)))
            .collect();
        let same = same.join(" AND ");
        format!("SELECT {present} AND (SELECT count(*) FROM {name} d WHERE {same}) > 1 FROM {in_order}")
    } else {
        format!(
            "SELECT * FROM (SELECT {}, {number} AS n FROM {name} c WHERE {present}) WHERE n > 1",
            locator.join(", ")
        )
    };
    gather(connection, path, encoding, table, &sql, limit)
}
