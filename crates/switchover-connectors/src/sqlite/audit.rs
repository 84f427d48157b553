//! What SQLite itself says about the tables of a plan: an answer that shares nothing with the comparison of
//! values.
//!
//! Rows are counted by SQLite; keys, constraints and indexes are looked for by its PRAGMAs; every foreign key
//! is checked row by row, because none was enforced during the copy; and the file's pages and indexes are
//! checked where that is soon done.

use super::connect;
use super::error::{classify, primary_code};
use super::quote::{ident, literal, qualified};
use rusqlite::{Connection, ffi};
use std::path::Path;
use switchover_core::Result;
use switchover_core::connector::Audit;
use switchover_core::plan::{Plan, TablePlan};

const OPERATION: &str = "audit the target";

/// Up to this size every index entry is looked up in its table.
const INTEGRITY_BYTES_MAX: i64 = 64 << 20;

/// Up to this size every page is looked at; above, only the rows that the comparison reads.
const PAGES_BYTES_MAX: i64 = 1 << 30;

/// Faults that are listed; the rest is the same again.
const LISTED_MAX: usize = 10;

/// Counts, constraints, foreign keys, pages.
pub(super) fn audit(path: &Path, plan: &Plan) -> Result<Audit> {
    let fail = |error| classify(error, OPERATION, path);
    // Not a mere reader: who closes the file last folds its log back, and leaves nothing beside it.
    let connection = connect::bare(path)?;
    connection.execute_batch("PRAGMA query_only = ON").map_err(fail)?;
    let mut audit = Audit::default();
    for table in &plan.tables {
        let fail = |error| fail(error).table(table.source.clone());
        let sql = format!("SELECT count(*) FROM {}", qualified("main", &table.target));
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0)).map_err(fail)?;
        audit.rows.push(u64::try_from(rows).unwrap_or(0));
        constraints(&connection, table, &mut audit).map_err(fail)?;
        if let Err(error) = foreign_keys(&connection, table, &mut audit) {
            // A key whose parent has no such key any more cannot be checked: that is the fault.
            if primary_code(&error) != Some(ffi::SQLITE_ERROR) {
                return Err(fail(error));
            }
            audit.faults.push(format!("the foreign keys of \"{}\" cannot be checked: {error}", table.target));
        }
    }
    pages(&connection, &mut audit).map_err(fail)?;
    Ok(audit)
}

/// Columns, indexes, triggers and views that came to the run's tables since, in words.
pub(super) fn added(path: &Path, plan: &Plan) -> Result<Vec<String>> {
    let fail = |error| classify(error, OPERATION, path);
    let connection = connect::bare(path)?;
    let mut found = Vec::new();
    for table in &plan.tables {
        let sql = format!("SELECT name FROM pragma_table_info({})", literal(&table.target));
        let mut statement = connection.prepare(&sql).map_err(fail)?;
        let names = statement.query_map([], |row| row.get(0)).map_err(fail)?;
        let names: Vec<String> = names.collect::<rusqlite::Result<_>>().map_err(fail)?;
        found.extend(table.added(names.iter().map(String::as_str)));
        found.extend(objects_added(&connection, plan, table).map_err(fail)?);
    }
    Ok(found)
}

fn objects_added(connection: &Connection, plan: &Plan, table: &TablePlan) -> rusqlite::Result<Vec<String>> {
    let keys = table.primary_key.iter().chain(&table.uniques).map(|key| &key.name);
    let indexes = table.indexes.iter().map(|index| &index.name);
    let triggers = plan.triggers.iter().map(|trigger| &trigger.name);
    let views = plan.views.iter().map(|view| &view.name);
    let own: Vec<&String> = keys.chain(indexes).chain(triggers).chain(views).collect();
    // SQLite does not say which tables a view reads: one that names the table counts.
    let mut statement = connection.prepare(
        "SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '\\_switchover%' ESCAPE '\\'
            AND (type IN ('index', 'trigger') AND tbl_name = ?1 COLLATE NOCASE
                OR type = 'view' AND instr(lower(sql), lower(?1)) > 0)",
    )?;
    let there = statement.query_map([&table.target], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let there: Vec<(String, String)> = there.collect::<rusqlite::Result<_>>()?;
    let strange = there.into_iter().filter(|(_, name)| !own.iter().any(|own| own.eq_ignore_ascii_case(name)));
    Ok(strange
        .map(|(kind, name)| format!("the {kind} {name} of {} is not the run's", table.target))
        .collect())
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let found: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(u64::try_from(found).unwrap_or(0))
}

fn constraints(connection: &Connection, table: &TablePlan, audit: &mut Audit) -> rusqlite::Result<()> {
    let name = literal(&table.target);
    let of_index = |filter: &str| {
        count(connection, &format!("SELECT count(*) FROM pragma_index_list({name}) WHERE {filter}"))
    };
    let key = format!("SELECT count(*) FROM pragma_table_xinfo({name}) WHERE pk > 0");
    let keys = count(connection, &key)?;
    let key_columns = table.primary_key.as_ref().map_or(0, |key| key.columns.len() as u64);
    let mut expect = |what: &str, wanted: u64, found: u64, each: u64| {
        if found == wanted {
            audit.constraints_valid += each;
        } else {
            audit.faults.push(format!("\"{}\" should have {wanted} {what}, and has {found}", table.target));
        }
    };
    expect("columns in its primary key", key_columns, keys, u64::from(key_columns > 0));
    // A unique constraint on the columns of the primary key has no index of its own.
    let uniques = of_index("origin IN ('u', 'pk')")?;
    let wanted = table.uniques.len() as u64;
    expect("unique constraints", wanted, uniques.min(wanted), wanted);
    let sql = format!("SELECT count(DISTINCT id) FROM pragma_foreign_key_list({name})");
    let wanted = table.foreign_keys.len() as u64;
    expect("foreign keys", wanted, count(connection, &sql)?, wanted);
    for index in &table.indexes {
        let unique = if index.unique { 1 } else { 0 };
        let filter = format!("name = {} AND \"unique\" = {unique}", literal(&index.name));
        match of_index(&filter)? {
            0 => audit
                .faults
                .push(format!("the index \"{}\" of \"{}\" is not there", index.name, table.target)),
            _ => audit.constraints_valid += 1,
        }
    }
    audit.constraints_valid += table.checks.len() as u64;
    Ok(())
}

fn foreign_keys(connection: &Connection, table: &TablePlan, audit: &mut Audit) -> rusqlite::Result<()> {
    if table.foreign_keys.is_empty() {
        return Ok(());
    }
    let mut check =
        connection.prepare(&format!("PRAGMA main.foreign_key_check({})", ident(&table.target)))?;
    let mut rows = check.query([])?;
    let mut listed = 0;
    while let Some(row) = rows.next()? {
        let (rowid, parent): (Option<i64>, String) = (row.get(1)?, row.get(2)?);
        let at = rowid.map_or_else(|| "a row".to_owned(), |rowid| format!("the row {rowid}"));
        audit.faults.push(format!("{at} of \"{}\" has no parent in \"{parent}\"", table.target));
        listed += 1;
        if listed == LISTED_MAX {
            break;
        }
    }
    Ok(())
}

fn pages(connection: &Connection, audit: &mut Audit) -> rusqlite::Result<()> {
    let number = |pragma: &str| -> rusqlite::Result<i64> {
        connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
    };
    let bytes = number("page_count")?.saturating_mul(number("page_size")?);
    let check = if bytes <= INTEGRITY_BYTES_MAX {
        "integrity_check"
    } else if bytes <= PAGES_BYTES_MAX {
        "quick_check"
    } else {
        return Ok(());
    };
    let mut statement = connection.prepare(&format!("PRAGMA main.{check}({LISTED_MAX})"))?;
    let found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    audit.faults.extend(found.into_iter().filter(|line| line != "ok").map(|line| format!("{check}: {line}")));
    Ok(())
}
