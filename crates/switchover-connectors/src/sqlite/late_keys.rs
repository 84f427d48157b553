//! Primary keys and unique constraints after the rows.
//!
//! In SQLite they belong to CREATE TABLE, each with an index of its own, and cannot be added to a table that is
//! there. Kept while rows come, such an index is written all over with every chunk, because keys are in no order:
//! measured, it is three quarters of the time of a copy. So a table is made without them. After the rows the
//! indexes are built like any other, sorted, and then the table's declaration becomes the one that it was to
//! have, and the indexes its own.
//!
//! SQLite has no statement for the last step, only its schema table, which is what every connection reads:
//! the declaration's text, and the name of each index. Invariant: what is written there is, byte for byte, what
//! SQLite itself writes for that declaration, taken from an empty database that it was carried out in; the rows'
//! form and the indexes' form do not depend on it. Everything is one transaction with the step's record,
//! and what came of it is read back by a new connection.

use super::connect;
use super::error::classify;
use super::quote::{ident, literal, qualified};
use super::steps;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::path::Path;
use switchover_core::plan::TablePlan;
use switchover_core::{Error, Kind, Result};

/// An index that belongs to a declaration.
#[derive(Debug, PartialEq, Eq)]
struct Own {
    name: String,
    /// Its parts: column, collation, whether descending.
    parts: Vec<(String, String, bool)>,
}

/// What a declaration comes to.
#[derive(Debug, PartialEq, Eq)]
struct Declared {
    sql: String,
    indexes: Vec<Own>,
}

/// What a file, or an empty database, says of a table.
fn declared(connection: &Connection, table: &str) -> rusqlite::Result<Declared> {
    let name = literal(table);
    let sql = format!("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = {name}");
    let sql: String = connection.query_row(&sql, [], |row| row.get(0))?;
    let mut list = connection.prepare(&format!(
        "SELECT name FROM pragma_index_list({name}) WHERE origin IN ('u', 'pk') ORDER BY name"
    ))?;
    let names: Vec<String> = list.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut indexes = Vec::with_capacity(names.len());
    for name in names {
        let mut info = connection.prepare(&format!(
            "SELECT name, coll, desc FROM pragma_index_xinfo({}) WHERE key ORDER BY seqno",
            literal(&name)
        ))?;
        let parts = info.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let parts = parts.collect::<rusqlite::Result<_>>()?;
        indexes.push(Own { name, parts });
    }
    Ok(Declared { sql, indexes })
}

/// What SQLite makes of the table's declaration.
fn wanted(table: &TablePlan) -> rusqlite::Result<Declared> {
    let empty = Connection::open_in_memory()?;
    empty.execute_batch(&steps::create_table(table, steps::Keys::Now))?;
    declared(&empty, &table.target)
}

/// Whether the table's keys come after its rows. One without rowids is its key's tree itself.
pub(super) fn has(table: &TablePlan) -> bool {
    steps::create_table(table, steps::Keys::Now) != steps::create_table(table, steps::Keys::Later)
}

/// Builds the indexes and makes them the table's own, within the caller's transaction.
pub(super) fn add(connection: &Connection, table: &TablePlan) -> rusqlite::Result<()> {
    let wanted = wanted(table)?;
    let target = &table.target;
    if declared(connection, target)? == wanted {
        // Made whole by the version that began the run.
        return Ok(());
    }
    // Names that no index of the plan has: they are the tool's own, and gone before anybody sees them.
    let temporary = |at: usize| format!("_switchover_key_{at}");
    for (at, index) in wanted.indexes.iter().enumerate() {
        let part = |(name, collation, descending): &(String, String, bool)| {
            let order = if *descending { " DESC" } else { "" };
            format!("{} COLLATE {}{order}", ident(name), ident(collation))
        };
        let parts: Vec<String> = index.parts.iter().map(part).collect();
        connection.execute_batch(&format!(
            "CREATE UNIQUE INDEX {} ON {} ({})",
            qualified("main", &temporary(at)),
            ident(target),
            parts.join(", ")
        ))?;
    }
    writable(connection, true)?;
    let written = (|| {
        let sql = "UPDATE main.sqlite_schema SET sql = ?1 WHERE type = 'table' AND name = ?2";
        expect_one(connection.execute(sql, (&wanted.sql, target))?)?;
        for (at, index) in wanted.indexes.iter().enumerate() {
            let sql =
                "UPDATE main.sqlite_schema SET name = ?1, sql = NULL WHERE type = 'index' AND name = ?2";
            expect_one(connection.execute(sql, (&index.name, temporary(at)))?)?;
        }
        Ok(())
    })();
    let closed = writable(connection, false);
    written.and(closed)
}

/// The schema table takes writes, or takes none again.
fn writable(connection: &Connection, is: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, !is)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, is)?;
    Ok(())
}

fn expect_one(rows: usize) -> rusqlite::Result<()> {
    if rows == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(rows)) }
}

/// Reads back, by a connection that reads the schema anew, that the table is what its declaration says.
pub(super) fn check(path: &Path, table: &TablePlan, operation: &str) -> Result<()> {
    let fail = |error| classify(error, operation, path).table(table.source.clone());
    let found = declared(&connect::bare(path)?, &table.target).map_err(fail)?;
    let wanted = wanted(table).map_err(fail)?;
    if found == wanted {
        return Ok(());
    }
    Err(Error::new(Kind::Internal, operation)
        .store(path.display().to_string())
        .table(table.source.clone())
        .detail(format!("its declaration reads {found:?} where {wanted:?} was written"))
        .hint("roll the run back, and report this"))
}
