//! Entering a run, making its capture, and leaving.
//!
//! The capture of all tables is made in one transaction: no change of any of them is between two of its triggers.

use super::super::error::classify;
use super::super::ledger;
use super::check::{self, CAPTURE, KEPT, OTHER, TABLE, UNIQUE};
use super::records::{self, OBJECT};
use super::shape::{self, Shape};
use super::{SURE, SqliteLive, layout, refused, triggers, which};
use rusqlite::Connection;
use std::collections::BTreeSet;
use switchover_core::connector::Position;
use switchover_core::live::{Captured, LEFT, Side};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "capture changes";

impl SqliteLive {
    pub(super) fn enter_run(&self) -> Result<()> {
        let operation = "enter the live run";
        self.write(operation, "enter", SURE, |connection| {
            if self.side == Side::Source {
                self.still_in_wal(connection, operation)?;
            }
            records::enter(connection, self.path(), &self.run, self.side)?;
            which::record_first(connection)
                .and_then(|()| self.make_aside(connection))
                .map_err(|error| classify(error, operation, self.path()))?;
            if self.side == Side::Target {
                let record = records::own(connection, self.path(), &self.run, operation)?;
                match record.ownership.owner {
                    Side::Source => self.make_fence(connection)?,
                    // The application works in it.
                    Side::Target => self.still_in_wal(connection, operation)?,
                }
            }
            Ok(())
        })
    }

    /// Tables whose capture is not as this run left it.
    pub(super) fn find_doubts(&self) -> Result<Vec<usize>> {
        let operation = "look at the capture";
        let fail = |error| classify(error, operation, self.path());
        self.read(operation, |connection, _, known| {
            let record = records::own(connection, self.path(), &self.run, operation)?;
            known.doubts.none_of_tables(self.path(), operation)?;
            let log = self.has_log(connection).map_err(fail)?;
            Ok(self.lost(&record, &known.doubts, log).into_iter().collect())
        })
    }

    /// Tables that are read by place, where rows may lie elsewhere than when the capture was made.
    pub(super) fn find_moved(&self) -> Result<Vec<usize>> {
        let operation = "look where the rows lie";
        self.read(operation, |connection, _, _| {
            let record = records::own(connection, self.path(), &self.run, operation)?;
            self.moved(connection, &record).map_err(|error| classify(error, operation, self.path()))
        })
    }

    fn moved(&self, connection: &Connection, record: &records::Record) -> rusqlite::Result<Vec<usize>> {
        // Before the first capture nothing was read; a target is never read by place.
        if record.token.is_none() || self.side == Side::Target || layout::is_same(connection)? {
            return Ok(Vec::new());
        }
        let tables = self.run.plan.tables.iter().enumerate();
        Ok(tables.filter(|(_, table)| table.is_read_by_place()).map(|(at, _)| at).collect())
    }

    /// Tables whose changes may be in no log.
    fn lost(&self, record: &records::Record, doubts: &check::Doubts, log: bool) -> BTreeSet<usize> {
        // While the source owns the data, nobody but the engine writes to the target: nothing can be lost there.
        let follows = self.side == Side::Target && record.ownership.owner == Side::Source;
        if record.token.is_none() || follows {
            return BTreeSet::new();
        }
        let names = self.views();
        // A log that somebody dropped or may have emptied held changes of every table, and so does that of another file.
        let all = !log || doubts.unkept || doubts.replaced;
        (0..names.len()).filter(|at| all || doubts.lost.contains(names[*at].name)).collect()
    }

    pub(super) fn make_capture(&self, again: &[usize], whole: &[usize]) -> Result<Captured> {
        let fail = |error| classify(error, OPERATION, self.path());
        // What is whole already is only looked at, so that a restart takes no lock from the application.
        let standing = self.read(OPERATION, |connection, _, known| {
            let record = records::own(connection, self.path(), &self.run, OPERATION)?;
            let Some(token) = record.token.clone() else { return Ok(None) };
            if !self.has_log(connection).map_err(fail)? || known.doubts != check::Doubts::default() {
                return Ok(None);
            }
            if !self.moved(connection, &record).map_err(fail)?.is_empty() {
                return Ok(None);
            }
            let from = self.head(connection, &token).map_err(fail)?;
            Ok(Some(Captured { from, new: false }))
        })?;
        match standing {
            Some(captured) => Ok(captured),
            None => self.write(OPERATION, "capture", SURE, |connection| {
                self.capture_within(connection, again, whole)
            }),
        }
    }

    /// The end of the log as a position, with a target's mark.
    fn head(&self, connection: &Connection, token: &str) -> rusqlite::Result<Position> {
        let end = records::position(token, records::newest(connection)?);
        match records::mark(connection)? {
            0 => Ok(end),
            mark => Ok(records::marked(&end, mark)),
        }
    }

    fn has_log(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        connection.query_row(sql, [triggers::LOG], |row| row.get(0))
    }

    fn capture_within(&self, connection: &Connection, again: &[usize], whole: &[usize]) -> Result<Captured> {
        let fail = |error| classify(error, OPERATION, self.path());
        let record = records::own(connection, self.path(), &self.run, OPERATION)?;
        let doubts = check::doubts(connection).map_err(fail)?;
        doubts.none_of_tables(self.path(), OPERATION)?;
        let log = self.has_log(connection).map_err(fail)?;
        if self.lost(&record, &doubts, log).iter().any(|table| !again.contains(table)) {
            // Whoever asks first is told which, and sends them back to copy.
            return match doubts.none(self.path(), OPERATION) {
                Err(error) => Err(error),
                Ok(()) => Err(check::unkept(self.path(), OPERATION)),
            };
        }
        if doubts.replaced && again.len() < self.run.plan.tables.len() {
            doubts.the_same_file(self.path(), OPERATION)?;
        }
        let stays = |table: &usize| !again.contains(table) && !whole.contains(table);
        if self.moved(connection, &record).map_err(fail)?.iter().any(stays) {
            return Err(layout::moved(self.path(), OPERATION));
        }
        let shapes = self.whole_shapes(connection)?;
        let kept = record.token.filter(|_| log && !doubts.replaced);
        let new = kept.is_none();
        let token = match kept {
            Some(token) => token,
            None => self.make_log(connection, &shapes).map_err(fail)?,
        };
        if new || doubts.unkept {
            for trigger in triggers::kept() {
                make_trigger(connection, KEPT, &trigger).map_err(fail)?;
            }
        }
        for shape in shapes.iter().filter(|shape| new || doubts.lost.contains(&shape.name)) {
            self.make_triggers(connection, shape)?;
        }
        self.record_tables(connection, &shapes).map_err(fail)?;
        which::record(connection).map_err(fail)?;
        // Behind the last change of the schema.
        layout::record(connection).map_err(fail)?;
        let from = self.head(connection, &token).map_err(fail)?;
        Ok(Captured { from, new })
    }

    /// The shapes of all tables, or why one cannot be captured.
    pub(super) fn whole_shapes(&self, connection: &Connection) -> Result<Vec<Shape>> {
        let fail = |error| classify(error, OPERATION, self.path());
        let mut shapes = Vec::new();
        for (number, view) in self.views().into_iter().enumerate() {
            let about = |error: Error| error.table(view.name.to_owned());
            let shape = shape::read(connection, number, view.name, &view.key_names()).map_err(fail)?;
            shapes.push(match shape.map(|shape| shape.and_then(Shape::told)) {
                Some(Ok(shape)) => shape,
                Some(Err(why)) => {
                    let error = refused(Kind::Unsupported, OPERATION, self.path(), why);
                    return Err(about(error).hint(
                        "drop the index or the generated column, or leave the table out with --exclude",
                    ));
                }
                None => {
                    let error = refused(Kind::Changed, OPERATION, self.path(), "the table is not there");
                    return Err(about(error).hint("plan again"));
                }
            });
        }
        Ok(shapes)
    }

    fn make_log(&self, connection: &Connection, shapes: &[Shape]) -> rusqlite::Result<String> {
        let cells = shapes.iter().map(|shape| shape.key.len()).max().unwrap_or(0);
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {}", records::CHANGES))?;
        connection.execute_batch(&records::log_sql(cells))?;
        let sql = format!(
            "UPDATE {} SET token = lower(hex(randomblob(8))) WHERE run = ?1 RETURNING token",
            records::LIVE
        );
        connection.query_row(&sql, [&self.run.run], |row| row.get(0))
    }

    fn make_triggers(&self, connection: &Connection, shape: &Shape) -> Result<()> {
        let fail = |error| classify(error, OPERATION, self.path()).table(shape.name.clone());
        forget_triggers(connection, CAPTURE, &shape.name).map_err(fail)?;
        for trigger in triggers::capture(shape) {
            make_trigger(connection, CAPTURE, &trigger).map_err(fail)?;
        }
        Ok(())
    }

    /// Writes down what the tables and their unique indexes are now.
    fn record_tables(&self, connection: &Connection, shapes: &[Shape]) -> rusqlite::Result<()> {
        connection
            .execute(&format!("DELETE FROM {OBJECT} WHERE role IN (?1, ?2, ?3)"), (TABLE, OTHER, UNIQUE))?;
        let sql = format!("INSERT INTO {OBJECT} (role, kind, name, tbl, sql) VALUES (?1, ?2, ?3, ?4, ?5)");
        let mut insert = connection.prepare(&sql)?;
        let ours = |name: &str| shapes.iter().any(|shape| shape.name == name);
        for (name, text) in check::tables(connection)? {
            let role = if ours(&name) { TABLE } else { OTHER };
            insert.execute((role, "table", &name, &name, &text))?;
        }
        for (table, name, text) in check::unique_indexes(connection)? {
            if ours(&table) {
                insert.execute((UNIQUE, "index", &name, &table, &text))?;
            }
        }
        Ok(())
    }

    pub(super) fn was_left(&self) -> Result<bool> {
        let operation = "look whether the run was being finished";
        let fail = |error| classify(error, operation, self.path());
        self.read(operation, |connection, _, _| {
            if !ledger::has_records(connection).map_err(fail)? {
                return Ok(false);
            }
            let sql = format!("SELECT count(*) FROM {} WHERE run = ?1 AND step = ?2", ledger::STEP);
            let found = connection.query_row(&sql, (&self.run.run, LEFT), |row| row.get::<_, i64>(0));
            found.map(|count| count > 0).map_err(fail)
        })
    }

    pub(super) fn leave_run(&self) -> Result<()> {
        let operation = "end the live run";
        let fail = |error| classify(error, operation, self.path());
        let there = self.read(operation, |connection, _, _| records::run_of(connection).map_err(fail))?;
        match there {
            Some(run) if run == self.run.run => self.write(operation, "leave", SURE, |connection| {
                if !records::present(connection).map_err(fail)? {
                    return Ok(());
                }
                // An engine that only removes what another began to remove has not entered.
                let (_, attempt) = records::of_run(connection, self.path(), &self.run, operation)?;
                if attempt > self.run.attempt {
                    return Err(ledger::taken_over(self.path(), operation));
                }
                if self.side == Side::Source {
                    self.none_is_away(connection, operation)?;
                }
                if self.side == Side::Target && ledger::has_records(connection).map_err(fail)? {
                    let sql = format!("INSERT INTO {} (run, step) VALUES (?1, ?2)", ledger::STEP);
                    connection.execute(&sql, (&self.run.run, LEFT)).map_err(fail)?;
                }
                records::remove(connection).map_err(fail)
            }),
            // It left before; another run's records are not this one's to remove.
            Some(_) | None => Ok(()),
        }?;
        self.let_go();
        Ok(())
    }
}

/// Makes a trigger and writes it down. One of the name that is there is another version's, and goes.
pub(super) fn make_trigger(
    connection: &Connection,
    role: &str,
    trigger: &triggers::TriggerText,
) -> rusqlite::Result<()> {
    let name = super::super::quote::qualified("main", &trigger.name);
    connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {name}"))?;
    connection.execute_batch(&trigger.sql)?;
    let sql = format!(
        "INSERT OR REPLACE INTO {OBJECT} (role, kind, name, tbl, sql) VALUES (?1, 'trigger', ?2, ?3, ?4)"
    );
    connection.execute(&sql, (role, &trigger.name, &trigger.table, &trigger.sql)).map(drop)
}

/// Drops a table's triggers of a role, with what is written of them.
pub(super) fn forget_triggers(connection: &Connection, role: &str, table: &str) -> rusqlite::Result<()> {
    let sql = format!("DELETE FROM {OBJECT} WHERE role = ?1 AND tbl = ?2 RETURNING name");
    let names: Vec<String> = connection
        .prepare(&sql)?
        .query_map([role, table], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in names {
        let name = super::super::quote::qualified("main", &name);
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {name}"))?;
    }
    Ok(())
}
