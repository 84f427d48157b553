//! The target side of SQLite: another file.
//!
//! Everything that a run writes outside its tables lies in five small tables of the same file (see `ledger`),
//! and a lock beside it while it runs. SQLite has one writer, so there is one stream; and one schema, `main`.

use super::config::SqliteConfig;
use super::connect::{self, Commits, blocking};
use super::dialect::SqliteDialect;
use super::error::classify;
use super::live::SqliteLive;
use super::queries::SqliteQueries;
use super::reader::open_to_read;
use super::{audit, destination, file, ledger, lookup, reader, repair, steps, writer};
use async_trait::async_trait;
use rusqlite::TransactionBehavior;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use switchover_core::chunk::Checkpoint;
use switchover_core::connector::{
    Audit, BuildStep, Claim, Dialect, Mend, Quarantined, Reader, Target, TargetState, Writer,
};
use switchover_core::finding::{Finding, Needs};
use switchover_core::live::{LiveRun, LiveTarget, Side};
use switchover_core::plan::Plan;
use switchover_core::query::Queries;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

/// A SQLite file to move data to.
#[derive(Debug)]
pub struct SqliteTarget {
    config: SqliteConfig,
    dialect: SqliteDialect,
    /// The attempt that this process holds; see [`ledger`].
    attempt: AtomicI64,
    /// Its side of a live run, where it has one.
    live: Mutex<Option<Arc<SqliteLive>>>,
}

/// The one schema that a file has.
pub const SCHEMA: &str = "main";

/// A schema that a file does not have is a misunderstanding.
fn check_schema(schema: &str, label: &str) -> Result<()> {
    if schema == SCHEMA {
        return Ok(());
    }
    Err(Error::new(Kind::Config, "find the target's schema")
        .store(label)
        .detail(format!("a SQLite file has one schema, {SCHEMA}, and none called \"{schema}\""))
        .hint("leave --schema out"))
}

impl SqliteTarget {
    /// The file of that configuration; nothing is opened yet.
    pub fn new(config: SqliteConfig) -> SqliteTarget {
        SqliteTarget {
            config,
            dialect: SqliteDialect::new(),
            attempt: AtomicI64::default(),
            live: Mutex::default(),
        }
    }

    fn path(&self) -> &Path {
        self.config.path()
    }

    fn side(&self) -> MutexGuard<'_, Option<Arc<SqliteLive>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Target for SqliteTarget {
    fn label(&self) -> String {
        self.config.label()
    }

    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn transactional(&self) -> bool {
        true
    }

    fn identity(&self) -> Option<String> {
        file::identity(self.path())
    }

    fn streams_max(&self) -> usize {
        1
    }

    async fn inspect(&self, schema: &str) -> Result<TargetState> {
        check_schema(schema, &self.label())?;
        blocking(|| destination::state(&self.config))
    }

    async fn examine(&self, schema: &str, needs: &Needs) -> Vec<Finding> {
        if let Err(error) = check_schema(schema, &self.label()) {
            return vec![Finding::of_error("schema", &error)];
        }
        blocking(|| destination::examine(&self.config, needs))
    }

    async fn claim(&self, schema: &str, _: &str) -> Result<Box<dyn Claim>> {
        check_schema(schema, &self.label())?;
        Ok(Box::new(ledger::SqliteClaim::take(self.path())?))
    }

    async fn prepare(&self, plan: &Plan, run: &str) -> Result<()> {
        check_schema(&plan.options.schema, &self.label())?;
        let attempt = blocking(|| ledger::prepare(self.path(), plan, run))?;
        self.attempt.store(attempt, Ordering::SeqCst);
        Ok(())
    }

    async fn writer(&self, plan: Arc<Plan>, run: &str) -> Result<Box<dyn Writer>> {
        let attempt = self.attempt.load(Ordering::SeqCst);
        let passing = self.side().is_some();
        let path = self.path().to_owned();
        Ok(Box::new(writer::SqliteWriter::new(path, plan, run.to_owned(), attempt, passing)))
    }

    async fn checkpoints(&self, _: &Plan, run: &str) -> Result<Vec<Checkpoint>> {
        blocking(|| ledger::checkpoints(self.path(), run))
    }

    fn build_steps(&self, plan: &Plan) -> Vec<BuildStep> {
        steps::build_steps(plan)
    }

    async fn build(&self, plan: &Plan, run: &str, step: &BuildStep) -> Result<()> {
        blocking(|| steps::build(self.path(), plan, run, step))
    }

    async fn read(&self, plan: &Plan, table: usize, parts: usize) -> Result<Vec<Box<dyn Reader>>> {
        blocking(|| reader::readers(self.path(), plan, table, parts))
    }

    async fn fetch(&self, plan: &Plan, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        blocking(|| lookup::rows(self.path(), plan, table, keys))
    }

    async fn quarantined(
        &self,
        plan: &Plan,
        table: usize,
        observe: &mut (dyn FnMut(Quarantined) + Send),
    ) -> Result<()> {
        blocking(|| {
            let (connection, _) = open_to_read(self.path())?;
            ledger::quarantined(&connection, self.path(), &plan.tables[table].source, observe)
        })
    }

    async fn audit(&self, plan: &Plan) -> Result<Audit> {
        blocking(|| audit::audit(self.path(), plan))
    }

    async fn touched(&self, plan: &Plan) -> Result<Vec<String>> {
        blocking(|| audit::added(self.path(), plan))
    }

    async fn repair(&self, plan: &Plan, mends: &[Mend]) -> Result<()> {
        blocking(|| repair::repair(self.path(), plan, mends))
    }

    async fn discard(&self, schema: &str, run: &str) -> Result<bool> {
        check_schema(schema, &self.label())?;
        // The file's last user takes its log away with it.
        if let Some(side) = self.side().as_ref() {
            side.let_go();
        }
        blocking(|| ledger::discard(self.path(), run))
    }

    async fn forget(&self, schema: &str, _: &str) -> Result<()> {
        check_schema(schema, &self.label())?;
        blocking(|| {
            let fail = |error| classify(error, "remove the run's records", self.path());
            let mut connection = connect::open(self.path(), Commits::Durable)?;
            // It reads before it writes, and after a live run the application writes in between.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
            ledger::forget(&transaction).map_err(fail)?;
            transaction.commit().map_err(fail)
        })
    }

    fn attempt(&self) -> i64 {
        self.attempt.load(Ordering::SeqCst)
    }

    async fn queries(&self, plan: &Arc<Plan>) -> Result<Box<dyn Queries>> {
        let opened = blocking(|| SqliteQueries::open(&self.config, plan, None));
        Ok(Box::new(opened?))
    }

    fn live(&self, run: &LiveRun) -> Result<Arc<dyn LiveTarget>> {
        let side = Arc::new(SqliteLive::new(self.config.clone(), run, Side::Target));
        *self.side() = Some(Arc::clone(&side));
        Ok(side)
    }
}
