//! What `PRAGMA integrity_check` proves, at the speed of reading the file twice.
//!
//! SQLite's documentation gives `quick_check` as integrity_check without two things: that every index
//! holds exactly its table's rows, and that unique indexes hold no key twice. integrity_check does the
//! first by one random look-up a row and index; on a million rows that is nine tenths of its time. Here
//! the index and the table are each read in their own order, and sums of 128-bit digests over
//! (key, rowid) must be equal; a unique index is read in key order, where equal keys are neighbours.
//!
//! Invariant: what this cannot read that way (partial and expression indexes, collations other than
//! BINARY in unique indexes, WITHOUT ROWID, generated columns) is given to `integrity_check(table)`
//! itself. See docs/decisions/0008.

use super::quote::{ident, literal, qualified};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use twox_hash::XxHash3_128;

/// Problems, in SQLite's words or like them; empty when the database is sound. At most `limit`.
pub(super) fn check(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<String>> {
    let mut problems = pragma(connection, &format!("PRAGMA quick_check({limit})"))?;
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in tables {
        if problems.len() >= limit as usize {
            break;
        }
        match plan(connection, &table)? {
            Some(indexes) => problems.extend(compare(connection, &table, &indexes)?),
            None => {
                problems.extend(pragma(connection, &format!("PRAGMA integrity_check({})", literal(&table)))?)
            }
        }
    }
    problems.truncate(limit as usize);
    Ok(problems)
}

fn pragma(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let found: Vec<String> =
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

/// An index that can be read beside its table.
struct Index {
    name: String,
    unique: bool,
    /// Its columns, by their place in the table's own SELECT list.
    columns: Vec<usize>,
    sql: String,
}

/// How a table is compared, or `None` when SQLite's own check must do it.
fn plan(connection: &Connection, table: &str) -> rusqlite::Result<Option<Vec<Index>>> {
    let columns: Vec<(String, i64)> = connection
        .prepare(&format!("SELECT name, hidden FROM pragma_table_xinfo({}) ORDER BY cid", literal(table)))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let without_rowid: bool = connection.query_row(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1",
        [table],
        |row| row.get(0),
    )?;
    let shadowed = columns.iter().any(|(name, _)| name.eq_ignore_ascii_case("rowid"));
    if without_rowid || shadowed || columns.iter().any(|(_, hidden)| *hidden != 0) {
        return Ok(None);
    }
    let listed: Vec<(String, bool, bool)> = connection
        .prepare(&format!("SELECT name, \"unique\", partial FROM pragma_index_list({})", literal(table)))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut indexes = Vec::new();
    for (name, unique, partial) in listed {
        let parts: Vec<(i64, String, bool)> = connection
            .prepare(&format!(
                "SELECT cid, coll, \"desc\" FROM pragma_index_xinfo({}) WHERE key = 1 ORDER BY seqno",
                literal(&name)
            ))?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let plain =
            parts.iter().all(|(cid, collation, _)| *cid >= 0 && collation.eq_ignore_ascii_case("BINARY"));
        if partial || !plain {
            return Ok(None);
        }
        let places: Vec<usize> = parts.iter().filter_map(|(cid, ..)| usize::try_from(*cid).ok()).collect();
        let named: Vec<String> = places.iter().map(|at| ident(&columns[*at].0)).collect();
        let order: Vec<String> = (named.iter().zip(&parts))
            .map(|(name, (.., descending))| {
                format!("{name} COLLATE BINARY{}", if *descending { " DESC" } else { "" })
            })
            .collect();
        let sql = format!(
            "SELECT {}, rowid FROM {} INDEXED BY {} ORDER BY {}",
            named.join(", "),
            qualified("main", table),
            ident(&name),
            order.join(", ")
        );
        if !reads_index_alone(connection, &sql)? {
            return Ok(None);
        }
        indexes.push(Index { name, unique, columns: places, sql });
    }
    Ok(Some(indexes))
}

/// Whether the statement reads the index in its own order and nothing else.
fn reads_index_alone(connection: &Connection, sql: &str) -> rusqlite::Result<bool> {
    let Ok(mut statement) = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")) else {
        return Ok(false);
    };
    let steps: Vec<String> = statement.query_map([], |row| row.get(3))?.collect::<rusqlite::Result<_>>()?;
    Ok(matches!(steps.as_slice(), [only] if only.contains("USING COVERING INDEX")))
}

fn compare(connection: &Connection, table: &str, indexes: &[Index]) -> rusqlite::Result<Vec<String>> {
    if indexes.is_empty() {
        return Ok(Vec::new());
    }
    let mut used: Vec<usize> = indexes.iter().flat_map(|index| index.columns.iter().copied()).collect();
    used.sort_unstable();
    used.dedup();
    let names: Vec<String> = connection
        .prepare(&format!("SELECT name FROM pragma_table_xinfo({}) ORDER BY cid", literal(table)))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let selected: Vec<String> = used.iter().map(|at| ident(&names[*at])).collect();
    let sql = format!("SELECT {}, rowid FROM {} NOT INDEXED", selected.join(", "), qualified("main", table));
    let places: Vec<Vec<usize>> = indexes
        .iter()
        .map(|index| {
            index.columns.iter().filter_map(|column| used.iter().position(|at| at == column)).collect()
        })
        .collect();
    let mut sums = vec![(0u64, 0u128); indexes.len()];
    let mut cells = Vec::new();
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for (sum, places) in sums.iter_mut().zip(&places) {
            cells.clear();
            places.iter().try_for_each(|at| push(row, *at, &mut cells))?;
            push(row, used.len(), &mut cells)?;
            sum.0 += 1;
            sum.1 = sum.1.wrapping_add(XxHash3_128::oneshot(&cells));
        }
    }
    let mut problems = Vec::new();
    for (index, expected) in indexes.iter().zip(sums) {
        let (found, twice) = read_index(connection, index)?;
        if found.0 != expected.0 {
            problems.push(format!("wrong # of entries in index {}", index.name));
        } else if found != expected {
            problems.push(format!("entries of index {} do not match the rows of {table}", index.name));
        }
        if twice {
            problems.push(format!("non-unique entry in index {}", index.name));
        }
    }
    Ok(problems)
}

/// The index's count and sum, and whether a unique one holds a key twice.
fn read_index(connection: &Connection, index: &Index) -> rusqlite::Result<((u64, u128), bool)> {
    let mut statement = connection.prepare(&index.sql)?;
    let mut rows = statement.query([])?;
    let (mut sum, mut twice) = ((0u64, 0u128), false);
    let (mut cells, mut key, mut before) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        cells.clear();
        for at in 0..=index.columns.len() {
            push(row, at, &mut cells)?;
        }
        sum.0 += 1;
        sum.1 = sum.1.wrapping_add(XxHash3_128::oneshot(&cells));
        if index.unique {
            key.clear();
            let mut null = false;
            for at in 0..index.columns.len() {
                null |= push_key(row, at, &mut key)?;
            }
            // NULLs are unlike each other (lang_createindex.html).
            twice |= !null && sum.0 > 1 && key == before;
            std::mem::swap(&mut key, &mut before);
        }
    }
    Ok((sum, twice))
}

fn push(row: &Row<'_>, at: usize, out: &mut Vec<u8>) -> rusqlite::Result<()> {
    let (tag, bytes): (u8, &[u8]) = match row.get_ref(at)? {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(i) => {
            out.push(1);
            out.extend_from_slice(&i.to_le_bytes());
            return Ok(());
        }
        ValueRef::Real(f) => {
            out.push(2);
            out.extend_from_slice(&f.to_bits().to_le_bytes());
            return Ok(());
        }
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// A key's part as uniqueness sees it: numbers of one value are one key. Says whether it is NULL.
fn push_key(row: &Row<'_>, at: usize, out: &mut Vec<u8>) -> rusqlite::Result<bool> {
    match row.get_ref(at)? {
        ValueRef::Real(f) if f.fract() == 0.0 && f.abs() < 9e15 => {
            out.push(1);
            out.extend_from_slice(&(f as i64).to_le_bytes());
            Ok(false)
        }
        ValueRef::Null => Ok(true),
        _ => push(row, at, out).map(|()| false),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE t (id TEXT PRIMARY KEY, a, b REAL, c TEXT COLLATE NOCASE);
             CREATE INDEX plain ON t (b DESC, a);
             CREATE TABLE partial (x); CREATE INDEX some ON partial (x) WHERE x > 1;
             CREATE TABLE keyed (k TEXT PRIMARY KEY) WITHOUT ROWID;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
             INSERT INTO t SELECT 'k' || i, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN i WHEN 2 THEN 'x' || i ELSE x'00' END,
                i % 7, 'c' FROM n;
             INSERT INTO partial VALUES (1), (2); INSERT INTO keyed VALUES ('a');",
        )
        .unwrap();
        db
    }

    #[test]
    fn a_sound_database_has_no_problem() {
        let db = database();
        assert!(plan(&db, "t").unwrap().is_some_and(|indexes| indexes.len() == 2), "the fast way is taken");
        assert!(plan(&db, "partial").unwrap().is_none());
        assert!(plan(&db, "keyed").unwrap().is_none());
        assert_eq!(check(&db, 3).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_integrity_check_finds_is_found() {
        for damage in [
            "UPDATE t SET a = 'other' WHERE id = 'k7'",
            "DELETE FROM t WHERE id = 'k7'",
            "INSERT INTO t VALUES ('extra', 1, 2, 3)",
        ] {
            let db = database();
            // The schema forgets the indexes, the rows change, the schema remembers them.
            let count = || -> i64 {
                db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap()
            };
            let entries = count();
            db.execute_batch(&format!(
                "PRAGMA writable_schema = ON;
                 CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'plain';
                 DELETE FROM sqlite_schema WHERE name = 'plain';
                 PRAGMA writable_schema = RESET;
                 {damage};
                 PRAGMA writable_schema = ON;
                 INSERT INTO sqlite_schema SELECT * FROM kept;
                 PRAGMA writable_schema = RESET;"
            ))
            .unwrap();
            assert_eq!(entries, count());
            if damage.starts_with("UPDATE") {
                assert_eq!(
                    pragma(&db, "PRAGMA quick_check").unwrap(),
                    Vec::<String>::new(),
                    "quick_check is not enough"
                );
            }
            assert!(!pragma(&db, "PRAGMA integrity_check").unwrap().is_empty(), "{damage}");
            let found = check(&db, 3).unwrap();
            assert!(found.iter().any(|problem| problem.contains("plain")), "{damage}: {found:?}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_found() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE u (x); CREATE INDEX twice ON u (x); INSERT INTO u VALUES (1), (1.0), (NULL), (NULL);
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE UNIQUE INDEX twice ON u (x)' WHERE name = 'twice';
             PRAGMA writable_schema = RESET;",
        )
        .unwrap();
        assert_eq!(check(&db, 3).unwrap(), ["non-unique entry in index twice"]);
    }
}
