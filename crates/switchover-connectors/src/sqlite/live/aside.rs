//! Rows of a store that follows which are away while the owner's changes come, and what only the source has of them.
//!
//! A row that was changed on the target comes back as a whole: the old row goes, the new one comes. So what columns held that only the source
//! has is put aside when a row goes, by a trigger of the engine's own connection, which fires as well where REPLACE has a row make room;
//! and it is put back when a row of that key comes, in this transaction or, for a row that made room, in a later one. A key that goes for good takes it along, and
//! a row of a new key has the column's default. A trigger of TEMP fires although the file's own are off on this connection
//! (SQLite's documentation of `SQLITE_DBCONFIG_ENABLE_TRIGGER`), and nobody else's connection has it.
//!
//! Invariant: a row that made room comes back with its own key's change, or goes with it. Of every table, on either side, the keys of such rows are
//! kept here until then, and where the log is at its end and one is still away, the batch is refused: the owner tells two rows apart of
//! which this store can hold one, and a change of the owner would lose the other.

use super::super::error::classify;
use super::super::inspect::infos;
use super::super::quote::{ident, qualified};
use super::super::read::value_of;
use super::super::writer::Bound;
use super::{SqliteLive, View, refused};
use rusqlite::{Connection, params_from_iter};
use switchover_core::live::{Side, TableChanges};
use switchover_core::value::OwnedValue;
use switchover_core::{Kind, Result};

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
    /// Its columns that only the source has; none of most tables.
    pub(super) columns: Vec<String>,
}

impl Left<'_> {
    fn cells(&self, letter: char, count: usize) -> String {
        (1..=count).map(|at| format!(", {letter}{at}")).collect()
    }

    fn trigger_name(&self) -> String {
        ident(&format!("{ASIDE}_{}", self.number))
    }

    /// The trigger that puts aside what a row takes along.
    fn trigger(&self) -> String {
        let old = |names: &mut dyn Iterator<Item = &str>| -> String {
            names.map(|name| format!(", OLD.{}", ident(name))).collect()
        };
        format!(
            "CREATE TEMP TRIGGER {} AFTER DELETE ON {} BEGIN INSERT INTO {} (t{}{}) VALUES ({}{}{}); END",
            self.trigger_name(),
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

    /// Forgets what was put aside up to an entry of the keys whose rows are as the owner has them now.
    pub(super) fn forget(
        &self,
        connection: &Connection,
        keys: &[Vec<OwnedValue>],
        upto: i64,
    ) -> rusqlite::Result<()> {
        let aside = qualified("main", ASIDE);
        let any = format!("SELECT EXISTS (SELECT 1 FROM {aside} WHERE t = ?1)");
        let mut any = connection.prepare_cached(&any)?;
        if !any.query_row([self.number as i64], |row| row.get(0))? {
            return Ok(());
        }
        let found = self.found_by(1..=self.key.len());
        let sql = format!("DELETE FROM {aside} WHERE {found} AND rowid <= {upto}");
        let mut statement = connection.prepare(&sql)?;
        for key in keys {
            statement.execute(params_from_iter(key.iter().map(|cell| Bound(cell.borrow()))))?;
        }
        Ok(())
    }
}

impl SqliteLive {
    /// What is put aside of a table; nothing of one without a key, which comes as a whole.
    pub(super) fn left<'a>(
        &self,
        connection: &Connection,
        number: usize,
        view: &View<'a>,
    ) -> rusqlite::Result<Option<Left<'a>>> {
        if view.key.is_empty() {
            return Ok(None);
        }
        let map = self.run.plan.options.mapping.table(view.name);
        let drops = map.is_some_and(|map| map.columns.values().any(|column| column.drop));
        let there = match self.side {
            Side::Source if drops => infos(connection, view.name)?,
            Side::Source | Side::Target => Vec::new(),
        };
        let columns: Vec<String> = there
            .into_iter()
            .filter(|column| column.hidden == 0 && !view.columns.contains(&&*column.name))
            .map(|column| column.name)
            .collect();
        let key = view.key.iter().map(|at| view.columns[*at]).collect();
        Ok(Some(Left { number, name: view.name, key, columns }))
    }

    fn all_left(&self, connection: &Connection) -> rusqlite::Result<Vec<Left<'_>>> {
        let views = self.run.plan.tables.iter().enumerate();
        let left = views.map(|(number, table)| self.left(connection, number, &self.view(table)));
        left.filter_map(Result::transpose).collect()
    }

    /// Makes the table, where it is not there. In a transaction.
    pub(super) fn make_aside(&self, connection: &Connection) -> rusqlite::Result<()> {
        let there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
        if connection.query_row(there, [ASIDE], |row| row.get(0))? {
            return Ok(());
        }
        let left = self.all_left(connection)?;
        let most = |count: fn(&Left<'_>) -> usize| left.iter().map(count).max().unwrap_or(0);
        // Without types, so that each cell keeps its own.
        let cells = |letter: char, count: usize| -> String {
            (1..=count).map(|at| format!(", {letter}{at}")).collect()
        };
        let (key, values) =
            (cells('k', most(|left| left.key.len())), cells('v', most(|left| left.columns.len())));
        connection.execute_batch(&format!("{HEAD}{key}{values})"))?;
        connection.execute_batch(&format!(
            "CREATE INDEX \"main\".{} ON {} (t{key})",
            ident(&format!("{ASIDE}_key")),
            ident(ASIDE)
        ))
    }

    /// The last entry of what is put aside; 0 where nothing is.
    pub(super) fn last_aside(connection: &Connection) -> rusqlite::Result<i64> {
        let sql = format!("SELECT coalesce(max(rowid), 0) FROM {}", qualified("main", ASIDE));
        connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))
    }

    /// Forgets what is put aside of a table up to an entry: all of its rows are gone.
    pub(super) fn nothing_aside(connection: &Connection, number: usize, upto: i64) -> rusqlite::Result<()> {
        let sql = format!("DELETE FROM {} WHERE t = ?1 AND rowid <= ?2", qualified("main", ASIDE));
        connection.execute(&sql, [number as i64, upto]).map(drop)
    }

    /// Has this connection put aside what rows take along that only the source has.
    pub(super) fn put_aside(&self, connection: &Connection) -> rusqlite::Result<()> {
        // Without this REPLACE would fire nothing.
        connection.execute_batch("PRAGMA recursive_triggers = 1")?;
        for left in self.all_left(connection)?.iter().filter(|left| !left.columns.is_empty()) {
            connection.execute_batch(&left.trigger())?;
        }
        Ok(())
    }

    /// Does what may have rows of a table make room, and keeps their keys. Other tables' rows go by their keys, and are in no doubt.
    pub(super) fn with_room<T>(
        connection: &Connection,
        left: Option<&Left<'_>>,
        work: impl FnOnce() -> T,
    ) -> rusqlite::Result<T> {
        let Some(left) = left.filter(|left| left.columns.is_empty()) else { return Ok(work()) };
        connection.execute_batch(&left.trigger())?;
        let done = work();
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS temp.{}", left.trigger_name()))?;
        Ok(done)
    }

    /// That nothing is put aside any more: everything that the owner's log held is taken.
    pub(super) fn all_are_back(&self, connection: &Connection, operation: &str) -> Result<()> {
        let fail = |error| classify(error, operation, self.path());
        let sql = format!("SELECT * FROM {} LIMIT 1", qualified("main", ASIDE));
        let mut statement = connection.prepare_cached(&sql).map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let Some(row) = rows.next().map_err(fail)? else { return Ok(()) };
        let number: i64 = row.get(0).map_err(fail)?;
        let table = usize::try_from(number).ok().and_then(|number| self.run.plan.tables.get(number));
        let Some(view) = table.map(|table| self.view(table)) else {
            let why = format!("a row of a table {number} was put aside");
            return Err(refused(Kind::Internal, operation, self.path(), why));
        };
        let mut key = Vec::new();
        for (at, name) in view.key_names().into_iter().enumerate() {
            key.push(format!("{name}={}", value_of(row.get_ref(at + 1).map_err(fail)?).shown()));
        }
        let owner = self.side.other();
        let why = format!(
            "the row made room for another one of the {owner}, and nothing there says that it is gone: the {owner} tells two rows apart of which \
             this store can hold one, as by a unique index that only this one has. Change or delete one of the two on the {owner}, and write the \
             other once more there, such as UPDATE t SET c = c WHERE its key; the run goes on by itself"
        );
        Err(refused(Kind::Rejected, operation, self.path(), why)
            .table(view.name)
            .key(key.join(", "))
            .hint(format!("until then the {owner}'s changes wait in its log")))
    }

    /// That no row is away when what would bring it back is given up.
    pub(super) fn none_is_away(&self, connection: &Connection, operation: &str) -> Result<()> {
        let sql = format!("SELECT count(*) FROM {}", qualified("main", ASIDE));
        let away: i64 = connection
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| classify(error, operation, self.path()))?;
        if away == 0 {
            return Ok(());
        }
        let why = format!(
            "{away} rows of the source are away: they made room for changes of the target that came in part, and the rest of these would bring them \
             back (their keys are in {ASIDE}). Put the newest state of the target back, and the run goes on. Where there is none, the backup that the \
             run began with has rows of these keys, and so may the target as it is: keep these, then `DELETE FROM {ASIDE}` on the source says that \
             they are given up here, and ask again; behind that, the source takes them from you as any other rows"
        );
        Err(refused(Kind::Refused, operation, self.path(), why)
            .hint("put the newest state of the target back, and the run goes on by itself"))
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
        for key in &changes.keys {
            statement.execute(params_from_iter(key.iter().map(|cell| Bound(cell.borrow()))))?;
        }
        Ok(())
    }
}
