//! What only the target of a live run does: it keeps the decision who owns the data, follows or leads by it, and
//! sends tables back to copy.

use super::super::error::classify;
use super::super::quote::qualified;
use super::super::steps::build_steps;
use super::super::{audit, ledger};
use super::records::{self, LIVE};
use super::{SURE, SqliteLive, refused, which};
use rusqlite::Connection;
use switchover_core::connector::{BuildStage, BuildStep};
use switchover_core::live::{LiveStage, Ownership, Side};
use switchover_core::plan::Plan;
use switchover_core::{Kind, Result};

const OPERATION: &str = "decide who owns the data";

/// The steps after the copy. Keys and unique constraints belong to SQLite's CREATE TABLE, so rows are found from
/// the first; foreign keys are enforced by whoever asks for it, and the engine does not.
pub(super) fn steps(plan: &Plan) -> Vec<(LiveStage, BuildStep)> {
    build_steps(plan)
        .into_iter()
        .map(|step| match (step.stage, step.table) {
            (BuildStage::Indexes, Some(_)) => (LiveStage::Uniques, step),
            _ => (LiveStage::Last, step),
        })
        .collect()
}

impl SqliteLive {
    pub(super) fn read_ownership(&self) -> Result<Ownership> {
        self.read(OPERATION, |connection, _, _| {
            records::of_run(connection, self.path(), &self.run, OPERATION).map(|(record, _)| record.ownership)
        })
    }

    pub(super) fn change_owner(
        &self,
        from: &Ownership,
        to: &Ownership,
        numbering: &[(usize, i64)],
    ) -> Result<bool> {
        self.write(OPERATION, "decide", SURE, |connection| {
            let fail = |error| classify(error, OPERATION, self.path());
            let record = records::own(connection, self.path(), &self.run, OPERATION)?;
            if record.ownership != *from {
                return Ok(false);
            }
            if to.pending && from.owner == Side::Source {
                // Before anybody is fenced.
                self.is_as_made(connection, OPERATION)?;
            }
            let sql = format!(
                "UPDATE {LIVE} SET owner = ?1, pending = ?2, epoch = ?3 WHERE run = ?4 AND attempt = ?5"
            );
            let values = (to.owner.to_string(), to.pending, to.epoch as i64, &self.run.run, self.run.attempt);
            if connection.execute(&sql, values).map_err(fail)? != 1 {
                return Err(refused(Kind::Internal, OPERATION, self.path(), "the decision is not kept"));
            }
            if to.owner == Side::Target && from.owner == Side::Source {
                if record.token.is_none() {
                    let why = "nothing captures the target's changes, so none could go back to the source";
                    return Err(refused(Kind::Internal, OPERATION, self.path(), why));
                }
                super::check::doubts(connection).map_err(fail)?.none(self.path(), OPERATION)?;
                self.number_within(connection, numbering).map_err(fail)?;
                self.drop_fence(connection)?;
            }
            if to.owner == Side::Source && from.owner == Side::Target {
                // A source that is set back to this window has nothing that the log still knows in the next one.
                let mark = records::make_mark(connection).map_err(fail)?;
                records::forget_upto(connection, mark).map_err(fail)?;
            }
            Ok(true)
        })
    }

    /// That keys, constraints and indexes are what the run made: they keep rows apart at the owner, and what breaks them could not go
    /// back.
    pub(super) fn is_as_made(&self, connection: &Connection, operation: &str) -> Result<()> {
        let plan = &self.run.plan;
        let fault =
            audit::changed(connection, plan).map_err(|error| classify(error, operation, self.path()))?;
        let Some((at, why)) = fault else { return Ok(()) };
        Err(refused(Kind::Refused, operation, self.path(), format!("somebody changed it: {why}"))
            .table(plan.tables[at].target.clone())
            .hint("make it again as it was, and ask again; `switchover rollback` takes the run back instead"))
    }

    pub(super) fn follow_source(&self) -> Result<()> {
        let operation = "follow the source again";
        self.write(operation, "follow", SURE, |connection| {
            let record = records::own(connection, self.path(), &self.run, operation)?;
            if record.ownership.owner == Side::Target {
                let why = "the target owns the data, so it follows nobody";
                return Err(refused(Kind::Internal, operation, self.path(), why));
            }
            self.make_fence(connection).map(drop)
        })
    }

    /// Empties tables and forgets their checkpoints. Their indexes stay, and with them the steps that made them:
    /// the copy lets a row that is in the way go, as a change that comes later does.
    pub(super) fn restart_tables(&self, tables: &[usize]) -> Result<()> {
        let operation = "send tables back to copy";
        self.write(operation, "restart", SURE, |connection| {
            let record = records::own(connection, self.path(), &self.run, operation)?;
            if record.ownership.owner == Side::Target {
                let why = "the target owns the data: its tables are not emptied";
                return Err(refused(Kind::Internal, operation, self.path(), why));
            }
            for number in tables {
                let name = &self.run.plan.tables[*number].target;
                let fail = |error| classify(error, operation, self.path()).table(name.clone());
                connection
                    .execute_batch(&format!("DELETE FROM {}", qualified("main", name)))
                    .map_err(fail)?;
                let sql = format!("DELETE FROM {} WHERE run = ?1 AND table_no = ?2", ledger::CHECKPOINT);
                Self::nothing_aside(connection, *number, i64::MAX).map_err(fail)?;
                // A plan's tables are far fewer than 2^63.
                connection.execute(&sql, (&self.run.run, *number as i64)).map_err(fail)?;
            }
            if (0..self.run.plan.tables.len()).all(|at| tables.contains(&at)) {
                let fail = |error| classify(error, operation, self.path());
                let sql = format!("UPDATE {} SET applied = NULL WHERE run = ?1", records::LIVE);
                connection.execute(&sql, [&self.run.run]).map_err(fail)?;
                // Nothing of what it held counts any more: it may be any file.
                which::record(connection).map_err(fail)?;
            }
            Ok(())
        })?;
        // What was known of the file is not.
        self.let_go();
        Ok(())
    }
}
