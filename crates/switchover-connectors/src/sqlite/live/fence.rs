//! The fence: triggers that refuse every write, on both sides the same.
//!
//! It is made while this process holds the file's one write lock, so no writer is in the middle; who has a
//! statement prepared before meets the new schema and prepares again; who read before and wants to write now has
//! an old snapshot and is refused by SQLite itself. The position is read in the same transaction: nothing is
//! behind it that the application was told was written.

use super::super::connect::Commits;
use super::super::error::classify;
use super::capture::{forget_triggers, make_trigger};
use super::check::{self, FENCE};
use super::records::OBJECT;
use super::{SURE, SqliteLive, layout, numbering, records, refused, shape, triggers};
use rusqlite::Connection;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use switchover_core::connector::Position;
use switchover_core::live::{Fenced, Side};
use switchover_core::{Kind, Result};

const OPERATION: &str = "fence the store";

impl SqliteLive {
    pub(super) fn close(&self, patience: Duration) -> Result<Fenced> {
        let fail = |error| classify(error, OPERATION, self.path());
        // Everything that can be known before is, so that the application waits for nothing else than the fence.
        let before = self.read(OPERATION, |connection, _, known| {
            let version = check::schema_version(connection).map_err(fail)?;
            Ok((version, Arc::clone(known)))
        })?;
        self.write(OPERATION, "fence", (patience, Commits::Durable), |connection| {
            let record = records::own(connection, self.path(), &self.run, OPERATION)?;
            if record.token.is_none() && self.side == Side::Target {
                return Err(refused(Kind::Internal, OPERATION, self.path(), "nothing is captured yet"));
            }
            let (version, known) = before;
            let known = match check::schema_version(connection).map_err(fail)? {
                same if same == version => known,
                _ => Arc::new(self.known(connection).map_err(fail)?),
            };
            known.doubts.none_but_fence(self.path(), OPERATION)?;
            layout::keeping(connection, self.path(), OPERATION, || self.make_fence(connection))?;
            let Some(token) = record.token else {
                // A state from before the run's first step has the place of a source that follows: it has no log, and takes no writes either.
                return Ok(Fenced { position: Position(String::new()), numbering: Vec::new() });
            };
            let seq = records::newest(connection).map_err(fail)?;
            let numbering = numbering::largest(connection, &known.shapes).map_err(fail)?;
            Ok(Fenced { position: records::position(&token, seq), numbering })
        })
    }

    /// That every table has its fence, also where nothing is recorded of one: an older state of the file may know of none. In a transaction.
    pub(super) fn is_shut(&self, connection: &Connection, operation: &str) -> Result<()> {
        let there = check::triggers(connection).map_err(|error| classify(error, operation, self.path()))?;
        for (number, view) in self.views().into_iter().enumerate() {
            if !triggers::is_fenced(number, view.name, &there) {
                return Err(check::not_shut(self.path(), operation, view.name));
            }
        }
        Ok(())
    }

    /// Makes the fence of every table, where it is not there. In a transaction.
    pub(super) fn make_fence(&self, connection: &Connection) -> Result<()> {
        let there = check::triggers(connection).map_err(|error| classify(error, OPERATION, self.path()))?;
        for (number, view) in self.views().into_iter().enumerate() {
            let fail = |error| classify(error, OPERATION, self.path()).table(view.name);
            let bases = shape::bases(connection, view.name).map_err(fail)?;
            for trigger in triggers::fence(number, view.name, &bases) {
                if there.get(&trigger.name) != Some(&trigger.sql) {
                    make_trigger(connection, FENCE, &trigger).map_err(fail)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn open(&self) -> Result<()> {
        let operation = "take the fence down";
        // A writer that kept the fence from being made would keep its removal waiting too, for as long as it likes. One that is being
        // made nevertheless, by a call that nobody waits for any more, has the writing connection until its patience ends: then it is
        // there or not. An engine that was replaced can make none. Where this cannot be read, the write says why.
        if self.side == Side::Source {
            let made = {
                let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
                self.has_fence(operation)
            };
            if matches!(made, Ok(false)) {
                return Ok(());
            }
        }
        self.write(operation, "unfence", SURE, |connection| {
            let record = records::own(connection, self.path(), &self.run, operation)?;
            if self.side == Side::Target && record.ownership.owner == Side::Source {
                return Err(refused(
                    Kind::Internal,
                    operation,
                    self.path(),
                    "the source owns the data, so the target's fence stays",
                ));
            }
            layout::keeping(connection, self.path(), operation, || self.drop_fence(connection))
        })
    }

    /// Whether anything of a fence is recorded in this run's file.
    fn has_fence(&self, operation: &'static str) -> Result<bool> {
        self.read(operation, |connection, _, _| {
            records::own(connection, self.path(), &self.run, operation)?;
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {OBJECT} WHERE role = ?1)");
            let found = connection.query_row(&sql, [FENCE], |row| row.get(0));
            found.map_err(|error| classify(error, operation, self.path()))
        })
    }

    /// Drops the fence of every table. In a transaction.
    pub(super) fn drop_fence(&self, connection: &Connection) -> Result<()> {
        for view in self.views() {
            forget_triggers(connection, FENCE, view.name)
                .map_err(|error| classify(error, "take the fence down", self.path()).table(view.name))?;
        }
        Ok(())
    }
}
