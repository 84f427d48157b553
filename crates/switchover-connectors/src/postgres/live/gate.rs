//! Entering and leaving: the run's records, gates and capture in the target's schema.

use super::PostgresLive;
use super::changes::mark_there;
use super::objects::{self, CHANGES, FENCE, GATE, LIVE, WATCH};
use super::session::{Session, begin_ours, busy};
use super::token::{NOTHING, Token};
use super::watch::{self, Loss, MARK, Part, Watch};
use crate::postgres::connect::Connection;
use crate::postgres::{ledger, quote};
use switchover_core::connector::Position;
use switchover_core::failpoint;
use switchover_core::live::{Captured, LEFT, Ownership, Side};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::GenericClient;

/// How long a change of the tables waits for other sessions: longer than `deadlock_timeout`, after which
/// autovacuum gives way.
pub(super) const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '3s'";

/// Whether a relation of the schema is there.
pub(super) async fn is_there<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
    name: &str,
) -> Result<bool, tokio_postgres::Error> {
    let relation = quote::qualified(schema, name);
    let row = client.query_one("SELECT pg_catalog.to_regclass($1) IS NOT NULL", &[&relation]).await?;
    Ok(row.get(0))
}

/// Who owns the data of the live run in a schema, if there is one.
pub(crate) async fn owner<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
) -> Result<Option<Side>, tokio_postgres::Error> {
    if !is_there(client, schema, LIVE).await? {
        return Ok(None);
    }
    let sql = format!("SELECT owner = 'target' FROM {} LIMIT 1", quote::qualified(schema, LIVE));
    let row = client.query_opt(&sql, &[]).await?;
    Ok(row.map(|row| if row.get(0) { Side::Target } else { Side::Source }))
}

/// The names of the run's functions in the schema.
async fn functions<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let sql = "SELECT p.proname::text FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = $1 AND p.pronargs = 0
            AND (p.proname IN ($2, $3) OR pg_catalog.left(p.proname::text, 16) = $4)";
    let rows = client.query(sql, &[&schema, &GATE, &FENCE, &objects::LOG]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Removes whatever a live run has left in a schema, but for the tables' rows and constraints.
pub(crate) async fn remove<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
) -> Result<(), tokio_postgres::Error> {
    let mut sql = String::new();
    for name in functions(client, schema).await? {
        // Their triggers go with them, from whatever the tables are called now.
        sql.push_str(&format!("DROP FUNCTION IF EXISTS {}() CASCADE;", quote::qualified(schema, &name)));
    }
    for name in objects::TABLES {
        sql.push_str(&format!("DROP TABLE IF EXISTS {};", quote::qualified(schema, name)));
    }
    client.batch_execute(&sql).await
}

impl PostgresLive {
    pub(super) async fn enter_with(&self, session: &mut Session) -> Result<()> {
        let operation = "enter the live run on the target";
        begin_ours(session, &self.run, operation).await?;
        let (plan, schema) = (&*self.run.plan, self.schema());
        let work = async {
            session.client().batch_execute(LOCK_WAIT).await?;
            session.client().batch_execute(&objects::records(schema)).await?;
            let live = quote::qualified(schema, LIVE);
            let first = Ownership::FIRST;
            let sql = format!(
                "INSERT INTO {live} (run, owner, pending, epoch) VALUES ($1, 'source', $2, $3) ON CONFLICT DO NOTHING"
            );
            let epoch = first.epoch as i64;
            session.client().execute(&sql, &[&self.run.run, &first.pending, &epoch]).await?;
            let present = functions(session.client(), schema).await?;
            let missing = |name: &str| !present.iter().any(|present| present == name);
            let mut sql = String::new();
            if missing(GATE) {
                sql.push_str(&objects::gate_function(schema, &self.run.run));
            }
            if missing(FENCE) {
                sql.push_str(&objects::fence_function(schema));
            }
            let watch = Watch::read(session, plan).await?;
            let mut again = false;
            let mut new = Vec::new();
            for (at, table) in plan.tables.iter().enumerate() {
                let whole = watch.has(plan, at, Part::Gate) && !missing(GATE) && !missing(FENCE);
                // One that is there but was changed, and a table that is not there, are doubts.
                if !whole && watch.has(plan, at, Part::Columns) {
                    sql.push_str(&objects::no_gate(schema, table));
                    sql.push_str(&objects::gate(schema, &self.run.run, table));
                    again |= watch.is_kept(at, Part::Gate);
                }
                if !watch.is_kept(at, Part::Gate) {
                    new.push(at);
                }
            }
            session.client().batch_execute(&sql).await?;
            if again {
                session.client().batch_execute(&self.closed(session).await?).await?;
            }
            // What was kept of a gate before stays: that it had to be made again is what `capture` tells.
            watch::keep(session, plan, &new, &[Part::Columns, Part::Gate]).await
        };
        work.await.map_err(|error| busy(error, &session.connection, operation))?;
        failpoint::hit("live-enter-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-enter-after-commit");
        Ok(())
    }

    pub(super) async fn doubts_with(&self, session: &mut Session) -> Result<Vec<usize>> {
        let operation = "look whether the target's capture is whole";
        let (plan, schema) = (&*self.run.plan, self.schema());
        let read = async {
            // Before the run has entered there is nothing that could be in doubt.
            match is_there(session.client(), schema, WATCH).await? {
                true => Watch::read(session, plan).await.map(Some),
                false => Ok(None),
            }
        };
        let watch = read.await.map_err(|error| session.connection.classify(error, operation))?;
        Ok(watch.map(|watch| tables(&watch.losses(plan))).unwrap_or_default())
    }

    /// Which version of itself the gate's function is. What it does is watched by its text, which somebody may have put back; to
    /// drop a trigger or switch it off leaves another one. A GRANT makes a version too, and rows are then compared for nothing.
    pub(super) async fn redefined_with(&self, session: &mut Session) -> Result<u64> {
        let operation = "look whether the target's gate was another";
        let sql = "SELECT coalesce(max(p.xmin::text::bigint), 0) FROM pg_catalog.pg_proc p
            JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = $1 AND p.pronargs = 0 AND p.proname = $2";
        let asked = async {
            let statement = session.prepared(sql).await?;
            session.client().query_one(&statement, &[&self.schema(), &GATE]).await
        };
        let row = asked.await.map_err(|error| session.connection.classify(error, operation))?;
        // A transaction's number has 32 bits.
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    pub(super) async fn capture_with(&self, session: &mut Session, dealt: &[usize]) -> Result<Captured> {
        let operation = "capture the target's changes";
        begin_ours(session, &self.run, operation).await?;
        let (plan, schema) = (&*self.run.plan, self.schema());
        let fail = |error, connection: &Connection| busy(error, connection, operation);
        let watch = async {
            session.client().batch_execute(LOCK_WAIT).await?;
            let watch = Watch::read(session, plan).await?;
            let there = is_there(session.client(), schema, CHANGES).await?;
            if !there {
                session.client().batch_execute(&objects::log(schema)).await?;
            }
            Ok((there, watch))
        };
        let (there, watch) = watch.await.map_err(|error| fail(error, &session.connection))?;
        let losses = watch.losses(plan);
        for loss in &losses {
            // Columns that are not the plan's can be captured by nobody.
            if !dealt.contains(&loss.table)
                || loss.column.is_some()
                || !watch.has(plan, loss.table, Part::Columns)
            {
                return Err(loss.error(plan, session.connection.label(), operation));
            }
        }
        let lost = tables(&losses);
        let made: Vec<usize> =
            (0..plan.tables.len()).filter(|at| lost.contains(at) || !watch.is_kept(*at, Part::Log)).collect();
        let mut sql = String::new();
        // With the log, and whenever it was in doubt, which is a doubt about every table.
        if !made.is_empty() && made.len() == plan.tables.len() {
            sql.push_str(&objects::guard(schema, &self.run.run));
        }
        for at in &made {
            sql.push_str(&objects::no_capture(schema, *at));
            sql.push_str(&objects::capture(schema, &self.run.run, *at, &plan.tables[*at]));
        }
        for at in &lost {
            sql.push_str(&objects::no_gate(schema, &plan.tables[*at]));
            sql.push_str(&objects::gate(schema, &self.run.run, &plan.tables[*at]));
        }
        let made_now = async {
            let closed = self.closed(session).await?;
            if !closed.is_empty() {
                // A cutover takes these fences down: a vacuum that the server began by itself gives way now, and
                // not while nobody can write. Who reads or writes rows does not meet this lock.
                let names = plan.tables.iter().map(|table| quote::qualified(schema, &table.target));
                let names = names.collect::<Vec<_>>().join(", ");
                let lock = format!("LOCK TABLE {names} IN SHARE UPDATE EXCLUSIVE MODE");
                session.client().batch_execute(&lock).await?;
            }
            session.client().batch_execute(&sql).await?;
            if !lost.is_empty() {
                session.client().batch_execute(&closed).await?;
            }
            watch::keep(session, plan, &lost, &[Part::Columns, Part::Gate]).await?;
            watch::keep(session, plan, &made, &[Part::Log]).await?;
            session.client().query_one(&format!("SELECT {}", mark_there(schema, MARK)), &[]).await
        };
        let row = made_now.await.map_err(|error| fail(error, &session.connection))?;
        failpoint::hit("live-capture-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-capture-after-commit");
        // Whoever begins here lacks nothing of what was forgotten until now.
        let from = Token { mark: row.get(0), ..Token::parse(&Position(NOTHING.to_owned()))? }.position();
        Ok(Captured { from, new: !there })
    }

    /// What enables the fences of gates that were made again: once the target has been the owner, older snapshots
    /// may say that it still is, see `decide`.
    async fn closed(&self, session: &Session) -> Result<String, tokio_postgres::Error> {
        let sql = format!(
            "SELECT 1 FROM {} WHERE run = $1 AND owner = 'source' AND epoch > $2",
            quote::qualified(self.schema(), LIVE)
        );
        let first = Ownership::FIRST.epoch as i64;
        let found = session.client().query_opt(&sql, &[&self.run.run, &first]).await?;
        Ok(found.map(|_| objects::fences(&self.run.plan, true)).unwrap_or_default())
    }

    pub(super) async fn leave_with(&self, session: &mut Session) -> Result<()> {
        let operation = "remove the live run's gates and records from the target";
        let schema = self.schema();
        let fail = |error, connection: &Connection| busy(error, connection, operation);
        let there = is_there(session.client(), schema, LIVE).await;
        if !there.map_err(|error| fail(error, &session.connection))? {
            return Ok(());
        }
        if self.ownership_with(session).await?.owner == Side::Target {
            self.prove_with(session).await?;
        }
        let records = is_there(session.client(), schema, ledger::RUN).await;
        let records = records.map_err(|error| fail(error, &session.connection))?;
        if records {
            begin_ours(session, &self.run, operation).await?;
        } else {
            let begun = session.client().batch_execute("BEGIN").await;
            begun.map_err(|error| fail(error, &session.connection))?;
        }
        let removed = async {
            session.client().batch_execute(LOCK_WAIT).await?;
            if records {
                let sql = format!(
                    "INSERT INTO {} (run, step) VALUES ($1, $2)",
                    ledger::table(schema, ledger::STEP)
                );
                session.client().execute(&sql, &[&self.run.run, &LEFT]).await?;
            }
            remove(session.client(), schema).await
        };
        removed.await.map_err(|error| fail(error, &session.connection))?;
        failpoint::hit("live-leave-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-leave-after-commit");
        Ok(())
    }

    pub(super) async fn left_with(&self, session: &mut Session) -> Result<bool> {
        let operation = "look whether the run was being finished";
        let schema = self.schema();
        let looked = async {
            if !is_there(session.client(), schema, ledger::STEP).await? {
                return Ok(false);
            }
            let sql =
                format!("SELECT 1 FROM {} WHERE run = $1 AND step = $2", ledger::table(schema, ledger::STEP));
            session.client().query_opt(&sql, &[&self.run.run, &LEFT]).await.map(|row| row.is_some())
        };
        looked.await.map_err(|error| session.connection.classify(error, operation))
    }

    pub(super) async fn applied_with(&self, session: &mut Session) -> Result<Option<Position>> {
        let operation = "ask the target how far it is";
        // With a lock: a batch whose answer was lost may still be on its way to its commit.
        let sql =
            format!("SELECT applied FROM {} WHERE run = $1 FOR SHARE", quote::qualified(self.schema(), LIVE));
        let row = session.client().query_opt(&sql, &[&self.run.run]).await;
        let row = row.map_err(|error| session.connection.classify(error, operation))?;
        Ok(row.ok_or_else(|| no_record(session, operation))?.get::<_, Option<String>>(0).map(Position))
    }

    pub(super) async fn ownership_with(&self, session: &mut Session) -> Result<Ownership> {
        let operation = "read who owns the data";
        // With a lock: a decision whose answer was lost may still be on its way to its commit.
        let sql = format!(
            "SELECT owner, pending, epoch FROM {} WHERE run = $1 FOR SHARE",
            quote::qualified(self.schema(), LIVE)
        );
        let row = session.client().query_opt(&sql, &[&self.run.run]).await;
        let row = row.map_err(|error| session.connection.classify(error, operation))?;
        row.as_ref().and_then(parse).ok_or_else(|| no_record(session, operation))
    }
}

/// The tables of losses, each once.
fn tables(losses: &[Loss]) -> Vec<usize> {
    let mut tables: Vec<usize> = losses.iter().map(|loss| loss.table).collect();
    tables.dedup();
    tables
}

fn no_record(session: &Session, operation: &str) -> Error {
    Error::new(Kind::NotFound, operation)
        .store(session.connection.label())
        .detail("the run has no record of it on the target")
        .hint("the run was not begun there, or it was finished or rolled back")
}

/// The decision row's columns.
fn parse(row: &tokio_postgres::Row) -> Option<Ownership> {
    let owner = match row.get::<_, &str>(0) {
        "source" => Side::Source,
        "target" => Side::Target,
        _ => return None,
    };
    Some(Ownership { owner, pending: row.get(1), epoch: u64::try_from(row.get::<_, i64>(2)).ok()? })
}
