//! What SQLite itself says about the tables of a plan: an answer that shares nothing with the comparison of
//! values.
//!
//! Rows are counted by SQLite; keys, constraints and indexes are looked for by its PRAGMAs, and held against what
//! the plan's statements make of an empty table; every foreign key is checked row by row, because none was enforced
//! during the copy; and the file's pages and indexes are checked where that is soon done.
//!
//! Absent: whether an expression or a predicate of an index says what the plan's does; when a foreign key is checked, which no
//! PRAGMA tells.

use super::connect;
use super::error::{classify, primary_code};
use super::quote::{ident, literal, qualified};
use super::steps::{self, build_steps};
use rusqlite::{Connection, ffi};
use std::fmt;
use std::path::Path;
use switchover_core::Result;
use switchover_core::connector::{Audit, BuildStage, BuildStep};
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
    let steps = build_steps(plan);
    for (at, table) in plan.tables.iter().enumerate() {
        let fail = |error| fail(error).table(table.source.clone());
        let sql = format!("SELECT count(*) FROM {}", qualified("main", &table.target));
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0)).map_err(fail)?;
        audit.rows.push(u64::try_from(rows).unwrap_or(0));
        structure(&connection, (at, table), &steps, &mut audit).map_err(fail)?;
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

/// The first key, constraint or index that is not as the run made it: the table, by index in the plan, and what is wrong. Rows are
/// not looked at.
pub(super) fn changed(connection: &Connection, plan: &Plan) -> rusqlite::Result<Option<(usize, String)>> {
    let steps = build_steps(plan);
    for (at, table) in plan.tables.iter().enumerate() {
        let mut audit = Audit::default();
        structure(connection, (at, table), &steps, &mut audit)?;
        if let Some(fault) = audit.faults.into_iter().next() {
            return Ok(Some((at, fault)));
        }
    }
    Ok(None)
}

/// Keys, constraints and indexes of a table of the plan, but for what its rows say.
fn structure(
    connection: &Connection,
    (at, table): (usize, &TablePlan),
    steps: &[BuildStep],
    audit: &mut Audit,
) -> rusqlite::Result<()> {
    constraints(connection, table, audit)?;
    let steps = steps.iter().filter(|step| step.table == Some(at) && step.stage == BuildStage::Indexes);
    definitions(connection, table, steps, audit)
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
    audit.constraints_valid += table.checks.len() as u64;
    Ok(())
}

/// An index as SQLite has it, as far as two of one name are held against each other.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    unique: bool,
    partial: bool,
    /// Its parts: column, collation, whether descending. An expression has no name.
    parts: Vec<(Option<String>, String, bool)>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |(name, collation, descending): &(Option<String>, String, bool)| {
            let name = name.as_deref().unwrap_or("an expression");
            let collation =
                if collation == "BINARY" { String::new() } else { format!(" COLLATE {collation}") };
            format!("{name}{collation}{}", if *descending { " DESC" } else { "" })
        };
        let parts: Vec<String> = self.parts.iter().map(part).collect();
        let unique = if self.unique { "a unique index" } else { "an index" };
        write!(f, "{unique} ({}){}", parts.join(", "), if self.partial { " WHERE ..." } else { "" })
    }
}

/// The indexes of a table: each with its name, and whether it belongs to a key or a constraint.
fn held(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Named>> {
    let sql = format!(
        "SELECT name, origin <> 'c', \"unique\", partial FROM pragma_index_list({}) ORDER BY name",
        literal(table)
    );
    let mut list = connection.prepare(&sql)?;
    let found = list.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let found: Vec<(String, bool, bool, bool)> = found.collect::<rusqlite::Result<_>>()?;
    let mut indexes = Vec::with_capacity(found.len());
    for (name, of_constraint, unique, partial) in found {
        let sql = format!(
            "SELECT name, coll, desc FROM pragma_index_xinfo({}) WHERE key ORDER BY seqno",
            literal(&name)
        );
        let mut info = connection.prepare(&sql)?;
        let parts = info.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let parts = parts.collect::<rusqlite::Result<_>>()?;
        indexes.push((name, of_constraint, Held { unique, partial, parts }));
    }
    Ok(indexes)
}

/// An index by its name, whether a key or constraint made it, and what it holds.
type Named = (String, bool, Held);

/// A foreign key as SQLite has it.
#[derive(Debug, PartialEq, Eq)]
struct Reference {
    parent: String,
    on_update: String,
    on_delete: String,
    /// Its columns, and the parent's.
    columns: [Vec<String>; 2],
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [own, parents] = &self.columns;
        write!(f, "FOREIGN KEY ({}) REFERENCES {} ({})", own.join(", "), self.parent, parents.join(", "))?;
        for (event, action) in [("DELETE", &self.on_delete), ("UPDATE", &self.on_update)] {
            if action != "NO ACTION" {
                write!(f, " ON {event} {action}")?;
            }
        }
        Ok(())
    }
}

/// The foreign keys of a table.
fn references(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Reference>> {
    let sql = format!(
        "SELECT id, \"table\", on_update, on_delete, \"from\", coalesce(\"to\", '') FROM pragma_foreign_key_list({})
            ORDER BY id, seq",
        literal(table)
    );
    let mut list = connection.prepare(&sql)?;
    let mut rows = list.query([])?;
    let (mut found, mut last): (Vec<Reference>, Option<i64>) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if last.replace(id) != Some(id) {
            let columns = [Vec::new(), Vec::new()];
            let (parent, on_update, on_delete) = (row.get(1)?, row.get(2)?, row.get(3)?);
            found.push(Reference { parent, on_update, on_delete, columns });
        }
        if let Some(key) = found.last_mut() {
            key.columns[0].push(row.get(4)?);
            key.columns[1].push(row.get(5)?);
        }
    }
    Ok(found)
}

/// What the plan's statements make of an empty table.
fn wanted<'a>(
    table: &TablePlan,
    steps: impl Iterator<Item = &'a BuildStep>,
) -> rusqlite::Result<(Vec<Named>, Vec<Reference>)> {
    let empty = Connection::open_in_memory()?;
    empty.execute_batch(&steps::create_table(table, steps::Keys::Now))?;
    for step in steps {
        empty.execute_batch(&step.sql)?;
    }
    Ok((held(&empty, &table.target)?, references(&empty, &table.target)?))
}

/// Holds the indexes that are there, also those of keys and unique constraints, and the foreign keys against the plan's.
fn definitions<'a>(
    connection: &Connection,
    table: &TablePlan,
    steps: impl Iterator<Item = &'a BuildStep>,
    audit: &mut Audit,
) -> rusqlite::Result<()> {
    let found = held(connection, &table.target)?;
    let (indexes, keys) = wanted(table, steps)?;
    let there = references(connection, &table.target)?;
    for key in keys.iter().filter(|key| !there.contains(key)) {
        let fault = format!("\"{}\" has no {key} any more: make the table again as it was", table.target);
        audit.faults.push(fault);
    }
    for (name, of_constraint, wanted) in indexes {
        let own = found.iter().find(|(own, ..)| *own == name);
        let fault = match (of_constraint, own) {
            // SQLite gives these their names: one that is the same by any name will do.
            (true, _) if found.iter().any(|(_, of_constraint, held)| *of_constraint && *held == wanted) => {
                continue;
            }
            (true, _) => format!(
                "\"{}\" has no key or constraint any more by {wanted}: make the table again as it was",
                table.target
            ),
            (false, Some((.., held))) if *held == wanted => {
                audit.constraints_valid += 1;
                continue;
            }
            (false, Some((.., held))) => format!(
                "the index \"{name}\" of \"{}\" is {held} and should be {wanted}: drop it, and make it so",
                table.target
            ),
            (false, None) => {
                format!("the index \"{name}\" of \"{}\" is not there: make it again, {wanted}", table.target)
            }
        };
        audit.faults.push(fault);
    }
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
