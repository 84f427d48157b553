//! The decision, the fence, and the way back.
//!
//! The decision itself is one row (`_switchover_live`), changed by compare-and-set; the gates of all tables read it.
//! So opening the target costs the same for one table and for a thousand. Closing it again is another matter:
//! a transaction with an older snapshot still reads the older decision. A rollback's fence therefore waits for all
//! writers under way, by locks, and then enables triggers that ask nobody; who writes after that sees them,
//! whatever its snapshot is, for triggers are looked up as they are now. They stay enabled until the target is
//! decided to be the owner again.

use super::PostgresLive;
use super::gate::LOCK_WAIT;
use super::locks::{self, Away};
use super::objects::{self, LIVE};
use super::session::{Session, begin_ours, busy};
use super::token::Token;
use super::{numbers, references};
use crate::postgres::{audit, quote, standing};
use std::time::Duration;
use switchover_core::failpoint;
use switchover_core::live::{Fenced, Ownership, Side};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::types::ToSql;

/// How long the decision waits for other sessions, while nobody can write: longer than the default of
/// `deadlock_timeout`, after which autovacuum gives way.
const DECISION_WAIT: &str = "SET LOCAL lock_timeout = '1500ms'";

/// How long a change that is in no hurry stands before the application's own statements, which wait behind it: far
/// shorter than `deadlock_timeout`, so that where the two wait for each other, it is the change that gives way. A vacuum that the
/// server began by itself has given way before, to a lock that keeps neither readers nor writers waiting.
const APPLICATION_WAIT: &str = "SET LOCAL lock_timeout = '100ms'";

/// How long one attempt to change the tables of a target that follows waits for others: the engine tries again behind it.
const CHANGE_WAIT: Duration = Duration::from_secs(3);

/// Whether a fence is enabled; its parameters are the schema and the trigger.
const FENCED: &str = "SELECT 1 FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE t.tgname = $2 AND t.tgenabled <> 'D'
        AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1) LIMIT 1";

/// The tables whose fence is enabled; its parameters are the same.
const FENCED_TABLES: &str = "SELECT c.relname::text FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE t.tgname = $2 AND t.tgenabled <> 'D'
        AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)";

fn word(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Target => "target",
    }
}

impl PostgresLive {
    pub(super) async fn decide_with(
        &self,
        session: &mut Session,
        from: &Ownership,
        to: &Ownership,
        numbering: &[(usize, i64)],
    ) -> Result<bool> {
        let operation = "decide who owns the data";
        begin_ours(session, &self.run, operation).await?;
        let schema = self.schema();
        let sql = format!(
            "UPDATE {} SET owner = $2, pending = $3, epoch = $4
             WHERE run = $1 AND owner = $5 AND pending = $6 AND epoch = $7",
            quote::qualified(schema, LIVE)
        );
        let number = |epoch: u64| {
            i64::try_from(epoch).map_err(|error| Error::new(Kind::Internal, operation).because(error))
        };
        let (new, old) = (number(to.epoch)?, number(from.epoch)?);
        let opens = to.owner == Side::Target && from.owner == Side::Source;
        if to.pending && from.owner == Side::Source {
            // Before anybody is fenced.
            self.is_as_made(session, operation).await?;
        }
        let work = async {
            // Prepared when the decision is proposed, so that the decision itself does not wait for it.
            let change = session.prepared(&sql).await?;
            let found = session.prepared(references::FOUND).await?;
            let fenced = session.prepared(FENCED).await?;
            let client = session.client();
            let row: [&(dyn ToSql + Sync); 7] =
                [&self.run.run, &word(to.owner), &to.pending, &new, &word(from.owner), &from.pending, &old];
            let place: [&(dyn ToSql + Sync); 2] = [&schema, &objects::FENCE];
            let (waits, changed, found, fenced) = tokio::join!(
                biased;
                client.batch_execute(DECISION_WAIT),
                client.execute(&change, &row),
                client.query(&found, &place[..1]),
                client.query_opt(&fenced, &place)
            );
            waits?;
            if changed? != 1 {
                client.batch_execute("ROLLBACK").await?;
                return Ok(false);
            }
            if opens {
                let mut sql = references::to_own(&self.run.plan, &references::found(&found?)).first;
                if fenced?.is_some() {
                    sql.push_str(&objects::fences(&self.run.plan, false));
                }
                sql.push_str(&numbers::moved_on(&self.run.plan, numbering));
                client.batch_execute(&sql).await?;
            }
            if to.owner == Side::Source && from.owner == Side::Target {
                client.batch_execute(&super::changes::window_over(schema)).await?;
            }
            Ok(true)
        };
        let decided = work.await.map_err(|error| busy(error, &session.connection, operation))?;
        if decided {
            failpoint::hit("live-decide-before-commit");
            self.commit(session, operation).await?;
            failpoint::hit("live-decide-after-commit");
        }
        Ok(decided)
    }

    /// That keys, constraints and indexes are what the run made, or what was there before it: they keep rows apart at the owner, and
    /// what breaks them could not go back. In a transaction.
    async fn is_as_made(&self, session: &Session, operation: &str) -> Result<()> {
        let (plan, schema) = (&*self.run.plan, self.schema());
        let refused = || Error::new(Kind::Refused, operation).store(session.connection.label());
        let fault = if plan.options.existing.is_some() {
            // What was taken down is up again, and nobody changed anything meanwhile.
            let same = standing::is_as_planned(session.client(), plan).await;
            if same.map_err(|error| busy(error, &session.connection, operation))? {
                return Ok(());
            }
            let key = standing::replaced(session.client(), plan).await;
            let key = key.map_err(|error| busy(error, &session.connection, operation))?;
            if key.is_none() {
                return Err(refused()
                    .detail(format!(
                        "the definitions in the schema \"{schema}\" are not what they were before the run"
                    ))
                    .hint("undo what was changed there since; `switchover rollback` takes the run back"));
            }
            key
        } else {
            let changed = audit::changed(session.client(), plan).await;
            changed.map_err(|error| busy(error, &session.connection, operation))?
        };
        match fault {
            None => Ok(()),
            Some(fault) => Err(refused()
                .table(fault.table)
                .detail(format!("somebody changed it: {}", fault.why))
                .hint(format!("{}; `switchover rollback` takes the run back instead", fault.hint))),
        }
    }

    pub(super) async fn as_made_with(&self, session: &mut Session) -> Result<()> {
        let operation = "look at the target's definitions";
        begin_ours(session, &self.run, operation).await?;
        self.is_as_made(session, operation).await?;
        session.end().await.map_err(|error| session.connection.classify(error, operation))
    }

    pub(super) async fn fence_with(&self, session: &mut Session, patience: Duration) -> Result<Fenced> {
        let operation = "fence the target";
        begin_ours(session, &self.run, operation).await?;
        let names: Vec<String> =
            self.run.plan.tables.iter().map(|table| quote::qualified(self.schema(), &table.target)).collect();
        let work = async {
            locks::without(Away::Writers, session, &names, patience).await?;
            session.client().batch_execute(&objects::fences(&self.run.plan, true)).await?;
            numbers::given(session, &self.run.plan).await
        };
        let numbering = work.await.map_err(|error| busy(error, &session.connection, operation))?;
        failpoint::hit("live-fence-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-fence-after-commit");
        // Whoever was let through has committed: this snapshot sees all of them.
        let sql = "SELECT pg_catalog.pg_current_snapshot()::text";
        let row = session.client().query_one(sql, &[]).await;
        let row = row.map_err(|error| session.connection.classify(error, operation))?;
        Ok(Fenced { position: Token { snapshot: row.get(0), last: i64::MAX, mark: 0 }.position(), numbering })
    }

    pub(super) async fn unfence_with(&self, session: &mut Session) -> Result<()> {
        let operation = "take the target's fence away";
        begin_ours(session, &self.run, operation).await?;
        let sql = owner(self.schema());
        let work = async {
            let row = session.client().query_opt(&sql, &[&self.run.run]).await?;
            // While the source owns the data, the fence is what keeps older snapshots out.
            let owner = row.is_some_and(|row| row.get::<_, &str>(0) == word(Side::Target));
            // The decision took it down. To do so once more would lock all tables beside the application's writers.
            let place: [&(dyn ToSql + Sync); 2] = [&self.schema(), &objects::FENCE];
            if owner && session.client().query_opt(FENCED, &place).await?.is_some() {
                session.client().batch_execute(LOCK_WAIT).await?;
                session.client().batch_execute(&objects::fences(&self.run.plan, false)).await?;
            }
            Ok(())
        };
        work.await.map_err(|error| busy(error, &session.connection, operation))?;
        failpoint::hit("live-unfence-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-unfence-after-commit");
        Ok(())
    }

    /// Takes down the fences that somebody switched on: `ALTER TABLE … ENABLE TRIGGER ALL` does.
    pub(super) async fn reopen_with(&self, session: &mut Session) -> Result<Vec<usize>> {
        let operation = "open the target again";
        let place: [&(dyn ToSql + Sync); 2] = [&self.schema(), &objects::FENCE];
        let found = session.client().query(FENCED_TABLES, &place).await;
        let found = found.map_err(|error| session.connection.classify(error, operation))?;
        let shut: Vec<String> = found.iter().map(|row| row.get(0)).collect();
        let tables = self.run.plan.tables.iter().enumerate();
        let tables: Vec<usize> =
            tables.filter(|(_, table)| shut.contains(&table.target)).map(|(at, _)| at).collect();
        if tables.is_empty() || self.ownership_with(session).await?.owner != Side::Target {
            return Ok(Vec::new());
        }
        // Each asks again who owns the data, and holds that.
        for at in &tables {
            let name = quote::qualified(self.schema(), &self.planned(*at).target);
            let sql = format!("ALTER TABLE {name} DISABLE TRIGGER {}", objects::FENCE);
            self.change_beside_writers(session, &name, &sql, operation).await?;
        }
        Ok(tables)
    }

    pub(super) async fn follow_with(&self, session: &mut Session) -> Result<()> {
        let operation = "bring the target back to following";
        let owned = self.ownership_with(session).await?;
        if owned.owner != Side::Source {
            return Err(Error::new(Kind::Changed, operation)
                .store(session.connection.label())
                .detail("the target owns the data")
                .hint("decide for the source first"));
        }
        let found = references::read(session.client(), self.schema()).await;
        let found = found.map_err(|error| busy(error, &session.connection, operation))?;
        // Each part may be all that is done: the next call finds what is left.
        let forms = references::to_follow(&self.run.plan, &found);
        self.change_alone(session, &forms.first, operation).await?;
        for sql in &forms.proofs {
            // As long as reading the table takes, and no reader waits for it.
            begin_ours(session, &self.run, operation).await?;
            let proven = session.client().batch_execute(&format!("{LOCK_WAIT}; {sql}")).await;
            proven.map_err(|error| busy(error, &session.connection, operation))?;
            self.commit(session, operation).await?;
        }
        let last: String = forms.last.into_iter().map(|(_, sql)| sql).collect();
        self.change_alone(session, &last, operation).await
    }

    /// Changes the foreign keys of a target that follows. Whoever was not told yet that the source owns the data still comes, reads,
    /// and meets the fence.
    async fn change_alone(&self, session: &mut Session, sql: &str, operation: &str) -> Result<()> {
        if sql.is_empty() {
            return Ok(());
        }
        let tables = references::tables(&self.run.plan);
        begin_ours(session, &self.run, operation).await?;
        let work = async {
            locks::without(Away::Everybody, session, &tables, CHANGE_WAIT).await?;
            session.client().batch_execute(sql).await
        };
        work.await.map_err(|error| busy(error, &session.connection, operation))?;
        failpoint::hit("live-follow-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-follow-after-commit");
        Ok(())
    }

    /// Proves the foreign keys that the decision declared, and removes what they had been in the meantime.
    pub(super) async fn prove_with(&self, session: &mut Session) -> Result<()> {
        let operation = "prove the foreign keys of the target";
        let fail = |error, session: &Session| busy(error, &session.connection, operation);
        let owned = self.ownership_with(session).await?;
        if owned.owner != Side::Target {
            return Ok(());
        }
        let found = references::read(session.client(), self.schema()).await;
        let found = found.map_err(|error| fail(error, session))?;
        let forms = references::to_own(&self.run.plan, &found);
        for sql in &forms.proofs {
            // As long as reading the table takes; neither a rollback nor another engine should wait for it.
            let proven = async {
                session.client().batch_execute("BEGIN").await?;
                session.client().batch_execute(LOCK_WAIT).await?;
                session.client().batch_execute(sql).await?;
                session.client().batch_execute("COMMIT").await
            };
            proven.await.map_err(|error| fail(error, session))?;
            failpoint::hit("live-prove-after-proof");
        }
        for (table, sql) in &forms.last {
            self.change_beside_writers(session, table, sql, operation).await?;
        }
        Ok(())
    }

    /// Changes one table while the application writes. A transaction of its own for each table: with one table locked and
    /// another waited for, the application's transactions, which hold the other and want the one, would be torn up as a
    /// deadlock.
    async fn change_beside_writers(
        &self,
        session: &mut Session,
        table: &str,
        sql: &str,
        operation: &str,
    ) -> Result<()> {
        let fail = |error, session: &Session| busy(error, &session.connection, operation);
        begin_ours(session, &self.run, operation).await?;
        let asked = owner(self.schema());
        let work = async {
            let client = session.client();
            client.batch_execute(LOCK_WAIT).await?;
            let row = client.query_opt(&asked, &[&self.run.run]).await?;
            // A rollback that was decided meanwhile needs the forms that wait.
            if row.is_some_and(|row| row.get::<_, &str>(0) == word(Side::Target)) {
                let calm =
                    format!("LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE; {APPLICATION_WAIT}; {sql}");
                client.batch_execute(&calm).await?;
            }
            Ok(())
        };
        work.await.map_err(|error| fail(error, session))?;
        failpoint::hit("live-prove-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-prove-after-commit");
        Ok(())
    }
}

/// Asks for the owner, held until the end of the transaction: a decision waits for it.
fn owner(schema: &str) -> String {
    format!("SELECT owner FROM {} WHERE run = $1 FOR SHARE", quote::qualified(schema, LIVE))
}
