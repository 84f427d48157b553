//! Columns that only the source has: what they hold while their rows go and come again.
//!
//! A row that was changed on the target comes back without them: the old row goes, the new one comes. So what they held is put
//! aside when a row goes, by a trigger of the engine's own connection, which fires as well where REPLACE has a row make room; and it
//! is put back when a row of that key comes, in this transaction or, for a row that made room, in a later one. A key that goes for good
//! takes it along, and a row of a new key has the column's default. A trigger of TEMP fires although the file's own are off on this connection (SQLite's documentation
//! of `SQLITE_DBCONFIG_ENABLE_TRIGGER`), and nobody else's connection has it.

use super::super::inspect::infos;
use super::super::quote::{ident, qualified};
use super::super::writer::Bound;
use super::{SqliteLive, View};
use rusqlite::{Connection, params_from_iter};
use switchover_core::live::{Side, TableChanges};
use switchover_core::value::OwnedValue;

/// The table's name.
const ASIDE: &str = "_switchover_live_aside";

const HEAD: &str = "CREATE TABLE _switchover_live_aside (t INTEGER NOT NULL";

/// Whether a table of a file's schema is this one.
pub(super) fn is_record(name: &str, sql: &str) -> bool {
    name == ASIDE && sql.starts_with(HEAD)
}

/// Removes it.
pub(super) fn remove(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("DROP TABLE IF EXISTS {}", qualified("main", ASIDE)))
}

/// What is put aside of a table.
#[derive(Debug)]
pub(super) struct Left<'a> {
    number: usize,
    name: &'a str,
    key: Vec<&'a str>,
    /// Its columns that only the source has.
    columns: Vec<String>,
}

impl Left<'_> {
    fn cells(&self, letter: char, count: usize) -> String {
        (1..=count).map(|at| format!(", {letter}{at}")).collect()
    }

    /// The trigger that puts aside what a row takes along.
    fn trigger(&self) -> String {
        let old = |names: &mut dyn Iterator<Item = &str>| -> String {
            names.map(|name| format!(", OLD.{}", ident(name))).collect()
        };
        format!(
            "CREATE TEMP TRIGGER {} AFTER DELETE ON {} BEGIN INSERT INTO {} (t{}{}) VALUES ({}{}{}); END",
            ident(&format!("{ASIDE}_{}", self.number)),
            qualified("main", self.name),
            ident(ASIDE),
            self.cells('k', self.key.len()),
            self.cells('v', self.columns.len()),
            self.number,
            old(&mut self.key.iter().copied()),
            old(&mut self.columns.iter().map(String::as_str)),
        )
    }

    /// The condition that finds what was put aside of a key, whose cells are the parameters of these numbers.
    fn found_by(&self, parameters: impl Iterator<Item = usize>) -> String {
        let key: String =
            (1..).zip(parameters).map(|(at, number)| format!(" AND k{at} IS ?{number}")).collect();
        format!("t = {}{key}", self.number)
    }

    /// The statement that inserts a row with what was put aside of its key; no row where nothing was. `names` and `marks` are those of the
    /// columns that come, `key` the numbers of the key's parameters among them.
    pub(super) fn insert(
        &self,
        or: &str,
        (names, marks): (&str, &str),
        key: impl Iterator<Item = usize>,
    ) -> String {
        let left: String = self.columns.iter().map(|name| format!(", {}", ident(name))).collect();
        format!(
            "INSERT{or} INTO {} ({names}{left}) SELECT {marks}{} FROM {} WHERE {} ORDER BY rowid DESC LIMIT 1 RETURNING {names}",
            qualified("main", self.name),
            self.cells('v', self.columns.len()),
            qualified("main", ASIDE),
            self.found_by(key),
        )
    }

    /// Forgets what was put aside of the keys whose rows are as the target has them now.
    pub(super) fn forget(&self, connection: &Connection, changes: &TableChanges) -> rusqlite::Result<()> {
        let aside = qualified("main", ASIDE);
        if changes.whole {
            return connection
                .execute(&format!("DELETE FROM {aside} WHERE t = ?1"), [self.number as i64])
                .map(drop);
        }
        let sql = format!("DELETE FROM {aside} WHERE {}", self.found_by(1..=self.key.len()));
        let mut statement = connection.prepare_cached(&sql)?;
        for key in &changes.keys {
            statement.execute(params_from_iter(key.iter().map(|cell| Bound(cell.borrow()))))?;
        }
        Ok(())
    }
}

impl SqliteLive {
    /// What only the source has of a table; `None` where the mapping leaves nothing there.
    pub(super) fn left<'a>(
        &self,
        connection: &Connection,
        number: usize,
        view: &View<'a>,
    ) -> rusqlite::Result<Option<Left<'a>>> {
        let map = self.run.plan.options.mapping.table(view.name);
        let drops = map.is_some_and(|map| map.columns.values().any(|column| column.drop));
        if self.side == Side::Target || view.key.is_empty() || !drops {
            return Ok(None);
        }
        let there = infos(connection, view.name)?.into_iter();
        let columns: Vec<String> = there
            .filter(|column| column.hidden == 0 && !view.columns.contains(&&*column.name))
            .map(|column| column.name)
            .collect();
        let key = view.key.iter().map(|at| view.columns[*at]).collect();
        Ok((!columns.is_empty()).then_some(Left { number, name: view.name, key, columns }))
    }

    fn all_left(&self, connection: &Connection) -> rusqlite::Result<Vec<Left<'_>>> {
        let views = self.run.plan.tables.iter().enumerate();
        let left = views.map(|(number, table)| self.left(connection, number, &self.view(table)));
        left.filter_map(Result::transpose).collect()
    }

    /// Makes the table, where a table of the plan needs it. In a transaction.
    pub(super) fn make_aside(&self, connection: &Connection) -> rusqlite::Result<()> {
        let left = self.all_left(connection)?;
        let most = |count: fn(&Left<'_>) -> usize| left.iter().map(count).max();
        let (Some(key), Some(values)) = (most(|left| left.key.len()), most(|left| left.columns.len())) else {
            return Ok(());
        };
        // Without types, so that each cell keeps its own.
        let cells = |letter: char, count: usize| -> String {
            (1..=count).map(|at| format!(", {letter}{at}")).collect()
        };
        let (key, values) = (cells('k', key), cells('v', values));
        remove(connection)?;
        connection.execute_batch(&format!("{HEAD}{key}{values})"))?;
        connection.execute_batch(&format!(
            "CREATE INDEX \"main\".{} ON {} (t{key})",
            ident(&format!("{ASIDE}_key")),
            ident(ASIDE)
        ))
    }

    /// Has this connection put aside what rows take along that it removes.
    pub(super) fn put_aside(&self, connection: &Connection) -> rusqlite::Result<()> {
        for left in self.all_left(connection)? {
            // Without this REPLACE would fire nothing.
            connection.execute_batch("PRAGMA recursive_triggers = 1")?;
            connection.execute_batch(&left.trigger())?;
        }
        Ok(())
    }

    /// Logs once more the keys of rows that came from the target, where the target has columns that the source computes for it: what the
    /// application wrote there does not come along, and where the source owns the data again, its values count. So whoever follows it
    /// then takes these rows anew.
    pub(super) fn log_again(
        &self,
        connection: &Connection,
        view: &View<'_>,
        changes: &TableChanges,
    ) -> rusqlite::Result<()> {
        if !view.plan.columns.iter().any(|column| column.added) {
            return Ok(());
        }
        let count = view.key.len();
        let (cells, marks): (String, String) =
            (1..=count).map(|at| (format!(", k{at}"), format!(", ?{at}"))).unzip();
        let sql =
            format!("INSERT INTO {} (t{cells}) VALUES ({}{marks})", super::records::CHANGES, changes.table);
        let mut statement = connection.prepare_cached(&sql)?;
        if count == 0 {
            return statement.execute([]).map(drop);
        }
        let of_rows = changes.rows.iter().filter(|_| changes.whole).map(|row| {
            view.key.iter().map(|at| row.value(*at).to_owned_value()).collect::<Vec<OwnedValue>>()
        });
        for key in changes.keys.iter().cloned().chain(of_rows) {
            statement.execute(params_from_iter(key.iter().map(|cell| Bound(cell.borrow()))))?;
        }
        Ok(())
    }
}
