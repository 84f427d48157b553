//! A comparison of two SQLite files that shares no code with the product.
//!
//! Every cell is read with a plain SELECT and compared by storage class and bytes, row by row without regard
//! to their order; where a table has a rowid that no column hides, by that too. What AUTOINCREMENT has given
//! out counts as content. Absent on purpose: indexes and other objects, which tests name themselves.

use crate::{Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Differences that are described of one table; the rest is cut.
const DESCRIBED_MAX: usize = 5;

/// What differs. `renamed` gives the target's name of a table or column of the source.
pub fn differences(source: &Path, target: &Path, renamed: &dyn Fn(&str) -> String) -> Result<Vec<String>> {
    let what = || format!("cannot compare {} with {}", source.display(), target.display());
    compare(source, target, renamed).map_err(|error| Error::new(what(), error))
}

/// The same, where nothing is renamed.
pub fn differences_by_name(source: &Path, target: &Path) -> Result<Vec<String>> {
    differences(source, target, &str::to_owned)
}

/// Rows that a query gives on one file, and another query on the other does not, or the other way round.
pub fn differing_rows(source: &Path, query: &str, target: &Path, other: &str) -> Result<Vec<String>> {
    let compared = || -> rusqlite::Result<Vec<String>> {
        let mut found = asked(&open(source)?, query)?;
        for (row, count) in asked(&open(target)?, other)? {
            *found.entry(row).or_default() -= count;
        }
        let differing = found.iter().filter(|(_, count)| **count != 0);
        Ok(differing.take(DESCRIBED_MAX).map(|(row, count)| format!("{count}: {row:?}")).collect())
    };
    compared().map_err(|error| Error::new(format!("cannot compare {query} with {other}"), error))
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn compare(source: &Path, target: &Path, renamed: &dyn Fn(&str) -> String) -> rusqlite::Result<Vec<String>> {
    let (source, target) = (open(source)?, open(target)?);
    let mut found = Vec::new();
    let (own, other) = (tables(&source)?, tables(&target)?);
    let expected: BTreeSet<String> = own.iter().map(|name| renamed(name)).collect();
    for name in other.iter().filter(|name| !name.starts_with("_switchover_") && !expected.contains(*name)) {
        found.push(format!("the target has a table {name}"));
    }
    for table in &own {
        let there = renamed(table);
        if !other.contains(&there) {
            found.push(format!("the target has no table {there}"));
            continue;
        }
        let mut columns = columns(&source, table)?;
        let mut others: Vec<String> = columns.iter().map(|name| renamed(name)).collect();
        if has_rowid(&source, table, &columns) {
            columns.push("rowid".into());
            others.push("rowid".into());
        }
        let mut rows = rows(&source, table, &columns)?;
        for (row, count) in self::rows(&target, &there, &others)? {
            *rows.entry(row).or_default() -= count;
        }
        let differing = rows.iter().filter(|(_, count)| **count != 0);
        found.extend(differing.take(DESCRIBED_MAX).map(|(row, count)| {
            let side = if *count > 0 { "missing" } else { "extra" };
            format!("{table}: {side}: {row:?}")
        }));
    }
    let (given, there) = (sequences(&source)?, sequences(&target)?);
    for (name, last) in given {
        if there.get(&renamed(&name)).copied().unwrap_or(0) != last {
            found.push(format!("{name} was numbered to {last}, and is numbered from {there:?}"));
        }
    }
    Ok(found)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare(
            "SELECT name FROM pragma_table_list
             WHERE schema = 'main' AND type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM pragma_table_xinfo(?1) ORDER BY cid")?
        .query_map([table], |row| row.get(0))?
        .collect()
}

fn has_rowid(connection: &Connection, table: &str, columns: &[String]) -> bool {
    let hidden = columns.iter().any(|name| name.eq_ignore_ascii_case("rowid"));
    !hidden && connection.prepare(&format!("SELECT rowid FROM {}", quoted(table))).is_ok()
}

type Rows = BTreeMap<Vec<(u8, Vec<u8>)>, i64>;

fn rows(connection: &Connection, table: &str, columns: &[String]) -> rusqlite::Result<Rows> {
    let list: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    asked(connection, &format!("SELECT {} FROM {}", list.join(", "), quoted(table)))
}

fn asked(connection: &Connection, query: &str) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(query)?;
    let width = statement.column_count();
    let mut found = statement.query([])?;
    let mut rows = Rows::new();
    while let Some(row) = found.next()? {
        let cells: rusqlite::Result<Vec<(u8, Vec<u8>)>> = (0..width)
            .map(|at| {
                Ok(match row.get_ref(at)? {
                    ValueRef::Null => (0, Vec::new()),
                    ValueRef::Integer(i) => (1, i.to_be_bytes().to_vec()),
                    ValueRef::Real(f) => (2, f.to_bits().to_be_bytes().to_vec()),
                    ValueRef::Text(t) => (3, t.to_vec()),
                    ValueRef::Blob(b) => (4, b.to_vec()),
                })
            })
            .collect();
        *rows.entry(cells?).or_default() += 1;
    }
    Ok(rows)
}

fn sequences(connection: &Connection) -> rusqlite::Result<BTreeMap<String, i64>> {
    if connection.prepare("SELECT 1 FROM sqlite_sequence").is_err() {
        return Ok(BTreeMap::new());
    }
    connection
        .prepare("SELECT name, seq FROM sqlite_sequence")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_seen() {
        let folder = std::env::temp_dir().join(format!("lite-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let check = |change: &str, expected: usize| {
            let (a, b) = (folder.join("a.db"), folder.join("b.db"));
            let schema =
                "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO t(v) VALUES (1), ('1');
                CREATE TABLE r(v); INSERT INTO r VALUES (0.5), (0.5);";
            for (path, change) in [(&a, ""), (&b, change)] {
                let _ = std::fs::remove_file(path);
                let connection = Connection::open(path).expect("a file");
                connection.execute_batch(&format!("{schema}{change}")).expect("a schema");
            }
            assert_eq!(differences_by_name(&a, &b).expect("compared").len(), expected, "{change}");
        };
        check("", 0);
        check("UPDATE t SET v = 1.0 WHERE id = 1", 2);
        check("UPDATE t SET v = x'31' WHERE id = 2", 2);
        check("UPDATE r SET rowid = 7 WHERE rowid = 2", 2);
        check("DELETE FROM r WHERE rowid = 2", 1);
        check("CREATE TABLE x(a)", 1);
        check("UPDATE sqlite_sequence SET seq = 9", 1);
        std::fs::remove_dir_all(&folder).expect("gone");
    }
}
