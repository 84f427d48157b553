//! The target side of PostgreSQL.
//!
//! Everything that a run writes outside its tables lies in four small tables of the same schema (see
//! `ledger`), so a role that owns only its schema is enough. All statements name their schema.

use super::config::PgConfig;
use super::connect::{Connection, Holds, connect, path_of_application};
use super::dialect::PostgresDialect;
use super::queries::PostgresQueries;
use super::{
    audit, catalog, examine, fetch, inspect, ledger, live, own, quote, reader, repair, standing, steps,
    trial, writer,
};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use switchover_core::chunk::Checkpoint;
use switchover_core::connector::{
    Audit, BuildStep, Claim, Dialect, Mend, Quarantined, Reader, Target, TargetState, Trial, Writer,
};
use switchover_core::existing::TargetSchema;
use switchover_core::finding::{Finding, Needs};
use switchover_core::live::{LiveRun, LiveTarget};
use switchover_core::plan::Plan;
use switchover_core::query::Queries;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio::sync::Mutex;

/// A PostgreSQL database to move data to.
#[derive(Debug)]
pub struct PostgresTarget {
    config: PgConfig,
    dialect: PostgresDialect,
    /// The attempt that this process holds; see [`ledger`].
    attempt: Arc<AtomicI64>,
    /// Whether a live run goes here: then no census proves anything of the rows that come.
    lives: AtomicBool,
    /// Sessions between two steps: a step may take less time than its session's beginning.
    idle: Mutex<Vec<Connection>>,
}

impl PostgresTarget {
    /// The database of that configuration; nothing is opened yet.
    pub fn new(config: PgConfig) -> PostgresTarget {
        PostgresTarget {
            config,
            dialect: PostgresDialect,
            attempt: Arc::default(),
            lives: AtomicBool::new(false),
            idle: Mutex::default(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &PgConfig {
        &self.config
    }

    async fn open(&self) -> Result<Connection> {
        connect(&self.config).await
    }

    /// The same, for what tables that are there run when they are written.
    async fn open_as_application(&self, plan: &Plan) -> Result<Connection> {
        let connection = self.open().await?;
        if plan.options.existing.is_some() {
            let path = path_of_application(&plan.options.schema, Holds::Session);
            let set = connection.client().batch_execute(&path).await;
            set.map_err(|error| connection.classify(error, "set up a session"))?;
        }
        Ok(connection)
    }
}

/// Says goodbye before the result is told: a session that is only dropped tears off the answer to its last message, which the
/// server's log has as a lost connection.
async fn ended<T>(connection: Connection, result: Result<T>) -> Result<T> {
    connection.close().await;
    result
}

#[async_trait]
impl Target for PostgresTarget {
    fn label(&self) -> String {
        self.config.redacted()
    }

    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn transactional(&self) -> bool {
        true
    }

    async fn inspect(&self, schema: &str) -> Result<TargetState> {
        let connection = self.open().await?;
        let done = inspect::state(&connection, schema).await;
        ended(connection, done).await
    }

    async fn examine(&self, schema: &str, needs: &Needs) -> Vec<Finding> {
        examine::examine(&self.config, schema, needs).await
    }

    async fn tables(&self, schema: &str) -> Result<TargetSchema> {
        let mut connection = self.open().await?;
        let done = catalog::tables(&mut connection, schema).await;
        ended(connection, done).await
    }

    async fn read_before(&self, plan: &Plan, table: usize) -> Result<Vec<Box<dyn Reader>>> {
        let planned = &plan.tables[table];
        if planned.standing.as_ref().is_none_or(|standing| standing.rows_staying == 0) {
            return Ok(Vec::new());
        }
        let name = quote::qualified(&plan.options.schema, &standing::before(table));
        if !ledger::is_there(&self.open().await?, &name).await? {
            return Err(Error::new(Kind::NotFound, "compare the rows that were there before the run")
                .store(self.label())
                .table(planned.source.clone())
                .detail("what they were is no longer on record: the run was cleaned up or rolled back")
                .hint("whether the others are equal cannot be told from them; `switchover verify` proves that before `switchover cleanup`, not after it"));
        }
        reader::of_relation(&self.config, planned, &name, &standing::stays(), 1).await
    }

    async fn trial(&self, plan: &Plan, table: usize, which: &[usize], stay: bool) -> Result<Box<dyn Trial>> {
        let connection = self.open_as_application(plan).await?;
        Ok(Box::new(trial::PostgresTrial::open(connection, plan, table, which, stay).await?))
    }

    async fn claim(&self, schema: &str, run: &str) -> Result<Box<dyn Claim>> {
        Ok(Box::new(ledger::claim(&self.config, schema, run, Arc::clone(&self.attempt)).await?))
    }

    async fn prepare(&self, plan: &Plan, run: &str) -> Result<()> {
        let attempt = ledger::prepare(&mut self.open_as_application(plan).await?, plan, run).await?;
        self.attempt.store(attempt, Ordering::SeqCst);
        Ok(())
    }

    async fn writer(&self, plan: Arc<Plan>, run: &str) -> Result<Box<dyn Writer>> {
        let attempt = self.attempt.load(Ordering::SeqCst);
        let proven = !self.lives.load(Ordering::SeqCst);
        Ok(Box::new(writer::PostgresWriter::new(self.config.clone(), plan, run.to_owned(), attempt, proven)))
    }

    async fn checkpoints(&self, plan: &Plan, run: &str) -> Result<Vec<Checkpoint>> {
        let mut connection = self.open().await?;
        let done = ledger::checkpoints(&mut connection, &plan.options.schema, run).await;
        ended(connection, done).await
    }

    fn build_steps(&self, plan: &Plan) -> Vec<BuildStep> {
        steps::build_steps(plan)
    }

    async fn build(&self, plan: &Plan, run: &str, step: &BuildStep) -> Result<()> {
        let idle = self.idle.lock().await.pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.open().await?,
        };
        let built = steps::build(&mut connection, plan, run, step).await;
        let mut idle = self.idle.lock().await;
        match &built {
            Ok(()) => idle.push(connection),
            // What ended this connection may have ended the others.
            Err(_) => idle.clear(),
        }
        built
    }

    async fn read(&self, plan: &Plan, table: usize, parts: usize) -> Result<Vec<Box<dyn Reader>>> {
        reader::readers(&self.config, plan, table, parts).await
    }

    async fn fetch(&self, plan: &Plan, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        let mut connection = self.open().await?;
        let done = fetch::rows(&mut connection, plan, table, keys).await;
        ended(connection, done).await
    }

    async fn quarantined(
        &self,
        plan: &Plan,
        table: usize,
        observe: &mut (dyn FnMut(Quarantined) + Send),
    ) -> Result<()> {
        let connection = self.open().await?;
        let done = ledger::quarantined(&connection, plan, table, observe).await;
        ended(connection, done).await
    }

    async fn audit(&self, plan: &Plan) -> Result<Audit> {
        let mut connection = self.open().await?;
        let done = audit::audit(&mut connection, plan).await;
        ended(connection, done).await
    }

    async fn touched(&self, plan: &Plan) -> Result<Vec<String>> {
        let mut connection = self.open().await?;
        let done = own::touched(&mut connection, plan).await;
        ended(connection, done).await
    }

    async fn repair(&self, plan: &Plan, mends: &[Mend]) -> Result<()> {
        repair::repair(&mut self.open_as_application(plan).await?, plan, mends).await
    }

    async fn discard(&self, schema: &str, run: &str) -> Result<bool> {
        let mut connection = self.open().await?;
        let done = ledger::discard(&mut connection, schema, run).await;
        ended(connection, done).await
    }

    async fn forget(&self, schema: &str, _: &str) -> Result<()> {
        let connection = self.open().await?;
        let done = ledger::forget(&connection, schema).await;
        ended(connection, done).await
    }

    fn attempt(&self) -> i64 {
        self.attempt.load(Ordering::SeqCst)
    }

    async fn queries(&self, plan: &Arc<Plan>) -> Result<Box<dyn Queries>> {
        Ok(Box::new(PostgresQueries::open(&self.config, plan).await?))
    }

    fn live(&self, run: &LiveRun) -> Result<Arc<dyn LiveTarget>> {
        self.lives.store(true, Ordering::SeqCst);
        Ok(Arc::new(live::PostgresLive::new(&self.config, run)))
    }
}
