//! PostgreSQL as the target of a live run: its gate, its reverse log, and the decision who owns the data.
//!
//! Everything is done as the plain owner of the schema; all that is made there begins with `_switchover_`
//! (see `objects`). Every transaction that writes reads the run's attempt and holds it, so an engine that was taken
//! over writes nothing any more.

mod apply;
mod changes;
mod decide;
mod gate;
mod locks;
mod numbers;
mod objects;
mod obstacles;
mod references;
mod repeats;
mod restart;
pub(super) mod session;
mod shape;
mod token;
mod watch;

pub(super) use self::gate::{owner, remove};
pub(super) use self::references::{keys, waiting_form};
use self::session::{Session, Sessions};
use self::shape::Shape;
use super::config::PgConfig;
use super::connect::{Holds, path_of_application};
use async_trait::async_trait;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::time::Duration;
use switchover_core::connector::{BuildStep, Position};
use switchover_core::live::{
    Beside, Captured, Changes, Fenced, Limit, LiveRun, LiveStage, LiveStore, LiveTarget, Ownership, Pressure,
};
use switchover_core::plan::{Plan, Refusal, TablePlan};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::error::SqlState;

/// What marks a transaction as the engine's own, within it.
pub(super) fn mark(run: &str) -> String {
    format!("SET LOCAL {} = {}", session::MARK, super::quote::literal(run))
}

/// The statements that close all tables of a plan to everybody but the run, where nothing of a live run is there yet: before
/// its first row comes, and with what is taken down for it.
pub(super) fn closed(plan: &Plan, run: &str) -> String {
    let schema = &plan.options.schema;
    let gates = plan.tables.iter().map(|table| objects::gate(schema, run, table)).collect::<String>();
    [objects::records(schema), objects::gate_function(schema, run), objects::fence_function(schema), gates]
        .concat()
}

/// The target of a live run.
pub(super) struct PostgresLive {
    label: String,
    run: LiveRun,
    shapes: Vec<Shape>,
    sessions: Sessions,
    /// The digest of gates and capture with which they were last found whole.
    whole: Mutex<Option<String>>,
    /// How many entries of the log a batch takes for its rows to stay within the bound of bytes, as far as is known.
    fitting: AtomicI64,
}

impl PostgresLive {
    pub(super) fn new(config: &PgConfig, run: &LiveRun) -> PostgresLive {
        let plan = &run.plan;
        let existing = plan.options.existing.is_some();
        let path = existing.then(|| path_of_application(&plan.options.schema, Holds::Session));
        PostgresLive {
            label: config.redacted(),
            run: run.clone(),
            shapes: shape::shapes(&run.plan),
            sessions: Sessions::new(config.clone(), path),
            whole: Mutex::default(),
            fitting: AtomicI64::new(i64::MAX),
        }
    }

    fn schema(&self) -> &str {
        &self.run.plan.options.schema
    }

    fn shape(&self, table: usize) -> Result<&Shape> {
        self.shapes.get(table).ok_or_else(|| {
            Error::new(Kind::Internal, "find a table of the plan")
                .detail(format!("there is no number {table}"))
        })
    }

    /// A table that has a shape.
    fn planned(&self, table: usize) -> &TablePlan {
        &self.run.plan.tables[table]
    }

    fn whole<T>(&self, work: impl FnOnce(&mut Option<String>) -> T) -> T {
        // One assignment: a panic elsewhere leaves nothing half done.
        work(&mut self.whole.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    async fn commit(&self, session: &Session, operation: &str) -> Result<()> {
        let committed = session.client().batch_execute("COMMIT").await;
        committed.map_err(|error| session.connection.classify(error, operation))
    }
}

/// Does a call with a session, which is kept when it succeeds.
macro_rules! with {
    ($self:ident, $session:ident => $work:expr) => {{
        let mut $session = $self.sessions.take().await?;
        let result = $work;
        $self.sessions.give($session, &result);
        result
    }};
}

#[async_trait]
impl LiveStore for PostgresLive {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn obstacles(&self, _: bool) -> Result<Vec<Refusal>> {
        with!(self, session => self.obstacles_with(&mut session).await)
    }

    async fn enter(&self) -> Result<()> {
        with!(self, session => self.enter_with(&mut session).await)
    }

    async fn doubts(&self) -> Result<Vec<usize>> {
        with!(self, session => self.doubts_with(&mut session).await)
    }

    async fn capture(&self, again: &[usize], _whole: &[usize]) -> Result<Captured> {
        with!(self, session => self.capture_with(&mut session, again).await)
    }

    async fn changes(&self, after: &Position, limit: Limit, beside: Option<&Beside>) -> Result<Changes> {
        with!(self, session => self.changes_with(&mut session, after, limit, beside).await)
    }

    async fn redefined(&self) -> Result<u64> {
        with!(self, session => self.redefined_with(&mut session).await)
    }

    async fn settle(&self, upto: &Position) -> Result<()> {
        with!(self, session => self.settle_with(&mut session, upto).await)
    }

    async fn applied(&self) -> Result<Option<Position>> {
        with!(self, session => self.applied_with(&mut session).await)
    }

    async fn apply(&self, changes: &Changes, after: Option<&Position>) -> Result<()> {
        with!(self, session => self.apply_with(&mut session, changes, after).await)
    }

    async fn fetch(&self, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        with!(self, session => {
            let found = self.fetch_with(&mut session, table, keys).await;
            found.map_err(|failure| failure.of(&session.connection, "look up rows of the target"))
        })
    }

    async fn count(&self, table: usize) -> Result<u64> {
        with!(self, session => {
            let count = self.count_of(&mut session, table).await;
            count.map_err(|failure| failure.of(&session.connection, "count rows of the target"))
        })
    }

    async fn fence(&self, patience: Duration) -> Result<Fenced> {
        with!(self, session => self.fence_with(&mut session, patience).await)
    }

    async fn unfence(&self) -> Result<()> {
        with!(self, session => self.unfence_with(&mut session).await)
    }

    fn is_about_others(&self, rejection: &Error) -> bool {
        let cause = std::error::Error::source(rejection);
        let code = cause.and_then(|cause| cause.downcast_ref::<tokio_postgres::Error>()?.code());
        let of_other_rows =
            [SqlState::UNIQUE_VIOLATION, SqlState::EXCLUSION_VIOLATION, SqlState::FOREIGN_KEY_VIOLATION];
        code.is_some_and(|code| of_other_rows.contains(code))
    }

    async fn pressure(&self) -> Result<Pressure> {
        with!(self, session => {
            let pressure = self.pressure_with(&mut session).await;
            pressure.map_err(|failure| failure.of(&session.connection, "measure the target's log"))
        })
    }

    async fn leave(&self) -> Result<()> {
        with!(self, session => self.leave_with(&mut session).await)
    }
}

#[async_trait]
impl LiveTarget for PostgresLive {
    fn takes_any_order(&self) -> bool {
        // The key's index is made after the copy, unless it was there: then rows are found by it from the first on.
        self.run.plan.options.existing.is_none()
    }

    async fn drop_repeats(&self) -> Result<()> {
        with!(self, session => self.drop_repeats_with(&mut session).await)
    }

    async fn ownership(&self) -> Result<Ownership> {
        with!(self, session => self.ownership_with(&mut session).await)
    }

    async fn decide(&self, from: &Ownership, to: &Ownership, numbering: &[(usize, i64)]) -> Result<bool> {
        with!(self, session => self.decide_with(&mut session, from, to, numbering).await)
    }

    async fn as_made(&self) -> Result<()> {
        with!(self, session => self.as_made_with(&mut session).await)
    }

    async fn left(&self) -> Result<bool> {
        with!(self, session => self.left_with(&mut session).await)
    }

    async fn follow(&self) -> Result<()> {
        with!(self, session => self.follow_with(&mut session).await)
    }

    async fn prove(&self) -> Result<()> {
        with!(self, session => self.prove_with(&mut session).await)
    }

    async fn reopen(&self) -> Result<Vec<usize>> {
        with!(self, session => self.reopen_with(&mut session).await)
    }

    fn steps(&self) -> Vec<(LiveStage, BuildStep)> {
        restart::live_steps(&self.run.plan)
    }

    async fn restart(&self, tables: &[usize]) -> Result<()> {
        with!(self, session => self.restart_with(&mut session, tables).await)
    }
}
