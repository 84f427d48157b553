//! The numbers that AUTOINCREMENT gave: none of them is given again, whichever store gave it.
//!
//! What SQLite remembers follows the rows that are written. A row that came and went between two readings of the other
//! store is in no batch of changes, so its number is taken over when the owner changes.

use super::super::ddl;
use super::super::error::classify;
use super::super::quote::{ident, qualified};
use super::shape::Shape;
use super::{SURE, SqliteLive, records};
use rusqlite::{Connection, OptionalExtension};
use switchover_core::Result;

const OPERATION: &str = "number rows";

/// Where SQLite remembers them, in files that have such a table.
const KEPT: &str = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'";

/// What it remembers of one.
const REMEMBERED: &str = "SELECT max(CAST(seq AS INTEGER)) FROM sqlite_sequence WHERE name = ?1";

/// The largest number that each table gave: what AUTOINCREMENT remembers, and the largest that is there.
pub(super) fn largest(
    connection: &Connection,
    shapes: &[Option<Shape>],
) -> rusqlite::Result<Vec<(usize, i64)>> {
    let kept: bool = connection.query_row(KEPT, [], |row| row.get(0))?;
    let mut found = Vec::new();
    for shape in shapes.iter().flatten().filter(|shape| shape.key_is_rowid) {
        let name = qualified("main", &shape.name);
        let sql = format!("SELECT max({}) FROM {name}", ident(&shape.own_key[0]));
        let largest: Option<i64> = connection.query_row(&sql, [], |row| row.get(0))?;
        let remembered: Option<i64> = match kept {
            true => connection.query_row(REMEMBERED, [&shape.name], |row| row.get(0))?,
            false => None,
        };
        found.extend(largest.max(remembered).map(|number| (shape.number, number)));
    }
    Ok(found)
}

impl SqliteLive {
    /// Writes down what it does not remember yet, in a transaction of its own.
    pub(super) fn number_behind(&self, numbering: &[(usize, i64)]) -> Result<()> {
        let fail = |error| classify(error, OPERATION, self.path());
        // Most often it remembers all, and nothing is written.
        let owed = self.read(OPERATION, |connection, _, _| self.owed(connection, numbering).map_err(fail))?;
        if owed.is_empty() {
            return Ok(());
        }
        self.write(OPERATION, "number", SURE, |connection| {
            records::own(connection, self.path(), &self.run, OPERATION)?;
            self.number_within(connection, numbering).map_err(fail)
        })
    }

    /// The same in a transaction that is there.
    pub(super) fn number_within(
        &self,
        connection: &Connection,
        numbering: &[(usize, i64)],
    ) -> rusqlite::Result<()> {
        for (name, number) in self.owed(connection, numbering)? {
            if connection.execute("UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1", (&name, number))?
                == 0
            {
                connection
                    .execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (&name, number))?;
            }
        }
        Ok(())
    }

    /// Tables that remember numbers, and less than they should.
    fn owed(
        &self,
        connection: &Connection,
        numbering: &[(usize, i64)],
    ) -> rusqlite::Result<Vec<(String, i64)>> {
        let kept: bool = connection.query_row(KEPT, [], |row| row.get(0))?;
        let mut owed = Vec::new();
        let tables = numbering.iter().filter(|_| kept);
        for (table, number) in
            tables.filter_map(|(at, number)| Some((self.run.plan.tables.get(*at)?, number)))
        {
            let name = self.view(table).name;
            let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
            let sql: Option<String> = connection.query_row(sql, [name], |row| row.get(0)).optional()?;
            let parsed = sql.and_then(|sql| ddl::parse_table(&sql).ok());
            if !parsed.is_some_and(|table| table.columns.iter().any(|column| column.autoincrement)) {
                continue;
            }
            let remembered: Option<i64> = connection.query_row(REMEMBERED, [name], |row| row.get(0))?;
            if remembered.is_none_or(|remembered| remembered < *number) {
                owed.push((name.to_owned(), *number));
            }
        }
        Ok(owed)
    }
}
