//! Taking the other store's changes: rows of the keys go, rows come, and the position moves, in one transaction.
//!
//! **Values.** The source takes them as they are, and looks at what SQLite made of each: an affinity that would
//! change a value is a refusal, never another value. The target encodes them by the plan's codecs, as the copy does.
//!
//! **Partial batches.** A batch that is not complete shows some rows as they are now beside others as they were.
//! Where a new row needs a unique value that an old row still has, the old row is not the owner's any more: its key
//! is in the log, in this batch or a later one. So it makes room, and comes back with its own key's change. In a
//! complete batch there are no such rows, and a conflict is a rejection.

use super::super::connect::Commits;
use super::super::error::classify;
use super::super::quote::{ident, qualified};
use super::super::read::value_of;
use super::super::writer::{Bound, Except, Insert};
use super::aside::Left;
use super::check::Seen;
use super::records::{self, LIVE};
use super::{SqliteLive, View, check, refused};
use rusqlite::{Connection, ffi, params_from_iter};
use std::borrow::Cow;
use std::sync::PoisonError;
use std::time::Duration;
use switchover_core::connector::Position;
use switchover_core::live::{Changes, Side, TableChanges, encode_keys};
use switchover_core::value::{OwnedValue, Row, Value};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "apply changes";

impl SqliteLive {
    pub(super) fn apply_changes(
        &self,
        changes: &Changes,
        after: Option<&Position>,
        how: (Duration, Commits),
    ) -> Result<()> {
        self.write(OPERATION, "apply", how, |connection| {
            let fail = |error| classify(error, OPERATION, self.path());
            let record = records::own(connection, self.path(), &self.run, OPERATION)?;
            self.look_around(connection, !changes.tables.is_empty())?;
            if record.applied.as_ref() != after {
                let at = |position: Option<&Position>| position.map_or("nowhere".into(), |at| at.0.clone());
                let why = format!(
                    "changes behind {} are to be applied, and it stands at {}",
                    at(after),
                    at(record.applied.as_ref())
                );
                return Err(refused(Kind::Changed, OPERATION, self.path(), why)
                    .hint("the position is read again; nothing was changed"));
            }
            if self.side == Side::Source && changes.tables.is_empty() {
                // It is to begin elsewhere, where nothing brings back what is away.
                self.none_is_away(connection, OPERATION)?;
            }
            let sql = format!("UPDATE {LIVE} SET applied = ?1 WHERE run = ?2 AND attempt = ?3");
            let moved = connection
                .prepare_cached(&sql)
                .and_then(|mut sql| sql.execute((&changes.upto.0, &self.run.run, self.run.attempt)))
                .map_err(fail)?;
            if moved != 1 {
                return Err(refused(Kind::Internal, OPERATION, self.path(), "the position does not move"));
            }
            // All keys of all tables first: a value may go from one row to another.
            for table in &changes.tables {
                self.remove(connection, table)?;
            }
            for table in &changes.tables {
                let before =
                    Self::last_aside(connection).map_err(|error| classify(error, OPERATION, self.path()))?;
                self.put(connection, table, !changes.complete)?;
                self.settled(connection, table, before)?;
            }
            if changes.complete && !changes.tables.is_empty() {
                self.all_are_back(connection, OPERATION)?;
            }
            Ok(())
        })
    }

    /// That the fence is whole and the tables are what they were: looked at once for each version of the schema. A source that
    /// only begins does not follow yet, and is not fenced.
    fn look_around(&self, connection: &Connection, follows: bool) -> Result<()> {
        let fail = |error| classify(error, OPERATION, self.path());
        let mut looked: std::sync::MutexGuard<'_, Seen> =
            self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let version = check::schema_version(connection).map_err(fail)?;
        if !looked.is(version) {
            let doubts = check::doubts(connection).map_err(fail)?;
            if self.side == Side::Source {
                doubts.shut(self.path(), OPERATION)?;
                if follows {
                    self.is_shut(connection, OPERATION)?;
                }
            }
            doubts.beyond_capture(self.path(), OPERATION)?;
            if follows || self.side == Side::Target {
                looked.remember(version);
            }
        }
        Ok(())
    }

    fn remove(&self, connection: &Connection, changes: &TableChanges) -> Result<()> {
        let view = self.view(&self.run.plan.tables[changes.table]);
        let fail = |error| classify(error, OPERATION, self.path()).table(view.name);
        let name = qualified("main", view.name);
        if changes.whole {
            return connection.execute_batch(&format!("DELETE FROM {name}")).map_err(fail);
        }
        let keys = self.own_keys(&view, &changes.keys)?;
        // The first condition finds the row by the key's index, the second leaves a row that the key's collation
        // holds for the same, and that is another row in the other store.
        let terms: Vec<String> = (view.key_names().into_iter().zip(1..))
            .map(|(name, at)| format!("{0} IS ?{at} AND {0} COLLATE BINARY IS ?{at}", ident(name)))
            .collect();
        let sql = format!("DELETE FROM {name} WHERE {}", terms.join(" AND "));
        let mut statement = connection.prepare_cached(&sql).map_err(fail)?;
        for key in keys.iter() {
            let cells = key.iter().map(|cell| Bound(cell.borrow()));
            statement.execute(params_from_iter(cells)).map_err(fail)?;
        }
        Ok(())
    }

    /// What is left to do at a store whose rows are as the owner has them. What was put aside `before` the rows came is settled with their
    /// keys; a row of these that made room for another of these is not.
    fn settled(&self, connection: &Connection, changes: &TableChanges, before: i64) -> Result<()> {
        let view = self.view(&self.run.plan.tables[changes.table]);
        let fail = |error| classify(error, OPERATION, self.path()).table(view.name);
        if changes.whole {
            Self::nothing_aside(connection, changes.table, before).map_err(fail)?;
        } else if let Some(left) = self.left(connection, changes.table, &view).map_err(fail)? {
            left.forget(connection, &self.own_keys(&view, &changes.keys)?, before).map_err(fail)?;
        }
        match self.side {
            Side::Source => self.log_again(connection, &view, changes).map_err(fail),
            Side::Target => Ok(()),
        }
    }

    /// Keys in the store's own values.
    fn own_keys<'a>(
        &self,
        view: &View<'_>,
        keys: &'a [Vec<OwnedValue>],
    ) -> Result<Cow<'a, [Vec<OwnedValue>]>> {
        match self.side {
            Side::Source => Ok(Cow::Borrowed(keys)),
            Side::Target => encode_keys(view.plan, keys).map(Cow::Owned),
        }
    }

    fn put(&self, connection: &Connection, changes: &TableChanges, replacing: bool) -> Result<()> {
        let view = self.view(&self.run.plan.tables[changes.table]);
        // A table without a key comes as a whole, of one moment: nothing in it has to make room.
        let replacing = replacing && !view.key.is_empty();
        let fail = |error| classify(error, OPERATION, self.path()).table(view.name);
        let left = self.left(connection, changes.table, &view).map_err(fail)?;
        let put = || match self.side {
            Side::Target => {
                let insert = Insert::of(view.plan, false);
                let insert = if replacing { insert.replacing() } else { insert };
                insert.run(connection, self.path(), view.plan, &changes.rows, OPERATION, &Except::default())
            }
            Side::Source => self.put_back(connection, &view, changes, (left.as_ref(), replacing)),
        };
        let put = match replacing {
            true => Self::with_room(connection, left.as_ref(), put).map_err(fail)?,
            false => put(),
        };
        put.map_err(|error| self.refused_row(error))
    }

    /// A row that a constraint refuses, with the constraint, in what is told: people read it in the status of a run that is held. SQLite's
    /// words name tables, columns and constraints, and no value.
    fn refused_row(&self, error: Error) -> Error {
        let cause =
            std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
        let Some(rusqlite::Error::SqliteFailure(failure, Some(said))) = cause else { return error };
        let owner = self.side.other();
        let what_to_do = match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                format!("another row has these values here: change or delete one of the two on the {owner}")
            }
            code if code & 0xff == ffi::SQLITE_CONSTRAINT => {
                format!("change or delete the row on the {owner}")
            }
            _ => return error,
        };
        let why = format!("{}: {said}; {what_to_do}, and the run goes on by itself", error.why());
        error.detail(why).hint(format!("until then the {owner}'s changes wait in its log"))
    }

    /// Inserts rows of the source's own values, and looks at each as SQLite keeps it.
    fn put_back(
        &self,
        connection: &Connection,
        view: &View<'_>,
        changes: &TableChanges,
        (left, replacing): (Option<&Left<'_>>, bool),
    ) -> Result<()> {
        let fail = |error| classify(error, OPERATION, self.path()).table(view.name);
        let columns = view.plan.columns.iter().enumerate();
        let fields: Vec<usize> = columns
            .filter(|(_, column)| column.generated.is_none() && !column.added)
            .map(|(at, _)| at)
            .collect();
        let names: Vec<String> = fields.iter().map(|at| ident(view.columns[*at])).collect();
        let marks: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
        let (names, marks) = (names.join(", "), marks.join(", "));
        let or = if replacing { " OR REPLACE" } else { "" };
        let name = qualified("main", view.name);
        let sql = format!("INSERT{or} INTO {name} ({names}) VALUES ({marks}) RETURNING {names}");
        let mut statement = connection.prepare_cached(&sql).map_err(fail)?;
        let mut with_left = left
            .filter(|left| !left.columns.is_empty())
            .map(|left| {
                let key = view.key.iter().filter_map(|at| fields.iter().position(|field| field == at));
                connection.prepare_cached(&left.insert(or, (&names, &marks), key.map(|at| at + 1)))
            })
            .transpose()
            .map_err(fail)?;
        for row in changes.rows.iter() {
            let about = |error: rusqlite::Error| fail(error).key(shown_key(view, row));
            // Before a constraint says something else about the NULL that it would be.
            let no_number = |at: &&usize| matches!(row.value(**at), Value::Float(real) if real.is_nan());
            if let Some(field) = fields.iter().find(no_number) {
                let why = "no number (NaN), which SQLite would keep as NULL";
                return Err(self.unfit(view, row, *field, why));
            }
            // First with what its key left here; the others have nothing here.
            let statements = with_left.iter_mut().chain(std::iter::once(&mut statement));
            let mut is_there = false;
            for statement in statements {
                let cells = fields.iter().map(|at| Bound(row.value(*at)));
                let mut kept = statement.query(params_from_iter(cells)).map_err(about)?;
                let Some(found) = kept.next().map_err(about)? else { continue };
                for (at, field) in fields.iter().enumerate() {
                    let (given, stored) = (row.value(*field), value_of(found.get_ref(at).map_err(about)?));
                    if !same(given, stored) {
                        return Err(self.altered(view, row, *field, given, stored));
                    }
                }
                // A statement has done its work only when it was stepped to its end.
                while kept.next().map_err(about)?.is_some() {}
                is_there = true;
                break;
            }
            if !is_there {
                let why = "SQLite did not give the row back that it inserted";
                return Err(refused(Kind::Internal, OPERATION, self.path(), why).table(view.name));
            }
        }
        Ok(())
    }

    fn altered(
        &self,
        view: &View<'_>,
        row: Row<'_>,
        field: usize,
        given: Value<'_>,
        stored: Value<'_>,
    ) -> Error {
        let why = format!(
            "the column would make {} {} of {} {}",
            stored.class(),
            stored.shown(),
            given.class(),
            given.shown()
        );
        self.unfit(view, row, field, why)
    }

    /// The error of a value of the target that the source cannot hold.
    fn unfit(&self, view: &View<'_>, row: Row<'_>, field: usize, why: impl Into<String>) -> Error {
        refused(Kind::Refused, OPERATION, self.path(), why)
            .table(view.name)
            .key(shown_key(view, row))
            .column(view.columns[field])
            .hint(
                "change the value on the target, and the run goes on by itself; until then the target's changes wait in its log",
            )
    }
}

fn shown_key(view: &View<'_>, row: Row<'_>) -> String {
    let cells = view.key.iter().map(|at| format!("{}={}", view.columns[*at], row.value(*at).shown()));
    cells.collect::<Vec<_>>().join(", ")
}

/// Whether a cell is what was given: the same class, and the same bytes; reals by their bits.
fn same(given: Value<'_>, stored: Value<'_>) -> bool {
    match (given, stored) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Bool(a), Value::Int(b)) => i64::from(a) == b,
        (Value::Json(a), Value::Text(b)) => a == b,
        (given, stored) => given == stored,
    }
}
