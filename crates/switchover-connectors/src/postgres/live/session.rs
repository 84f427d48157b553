//! Sessions of a live run: kept between calls, with their statements prepared, and values as the wire has them.
//!
//! Invariants: a session goes back to the others only when its call succeeded; the mark of the engine's own
//! writes is set within a transaction and never for a session, so that a pooler between this program and the
//! server cannot hand it on to the application.

use super::shape::base;
use crate::postgres::config::PgConfig;
use crate::postgres::connect::{Connection, connect};
use crate::postgres::copy_decode::Decoder;
use crate::postgres::{copy_encode, ledger, quote};
use bytes::{BufMut, BytesMut};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::Mutex;
use switchover_core::live::LiveRun;
use switchover_core::plan::LogicalType;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::types::{FromSql, IsNull, Kind as TypeKind, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row, Statement};

/// The setting that marks the engine's own transactions.
pub(super) const MARK: &str = "switchover.engine";

/// Sessions kept open between two calls: one that applies, one that reads, one beside each.
const IDLE_MAX: usize = 4;

/// What a session is set to. Rows are found by their keys, through the key's index: without statistics of the
/// log and of parameters, the server might read a whole table instead. A commit waits for the disk, for what
/// is applied is forgotten in the other store's log. No transaction idles; one whose program is gone without a
/// word must not hold the run's records for as long as the network takes to notice.
const SET_UP: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
    SET plan_cache_mode = force_generic_plan; SET idle_in_transaction_session_timeout = '60s';
    SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
        WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";

/// A session and what it has prepared.
pub(super) struct Session {
    pub(super) connection: Connection,
    statements: HashMap<String, Statement>,
}

impl Session {
    async fn open(config: &PgConfig, path: Option<&str>) -> Result<Session> {
        let connection = connect(config).await?;
        let set_up = format!("{SET_UP}; {}", path.unwrap_or_default());
        let set = connection.client().batch_execute(&set_up).await;
        set.map_err(|error| connection.classify(error, "set up a session"))?;
        Ok(Session { connection, statements: HashMap::new() })
    }

    pub(super) fn client(&self) -> &Client {
        self.connection.client()
    }

    /// The statement, prepared once a session.
    pub(super) async fn prepared(&mut self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.connection.client().prepare(sql).await?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Ends a transaction that only read.
    pub(super) async fn end(&self) -> Result<(), tokio_postgres::Error> {
        self.client().batch_execute("COMMIT").await
    }
}

/// The sessions between two calls.
pub(super) struct Sessions {
    config: PgConfig,
    path: Option<String>,
    idle: Mutex<Vec<Session>>,
}

impl Sessions {
    /// With the path by which the application's own tables are written, where there are such.
    pub(super) fn new(config: PgConfig, path: Option<String>) -> Sessions {
        Sessions { config, path, idle: Mutex::default() }
    }

    fn idle<T>(&self, work: impl FnOnce(&mut Vec<Session>) -> T) -> T {
        // What it guards is whole between any two statements: a panic elsewhere leaves nothing half done.
        work(&mut self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The session that was used last, whose statements are the likeliest to be asked for.
    pub(super) async fn take(&self) -> Result<Session> {
        while let Some(session) = self.idle(Vec::pop) {
            if !session.client().is_closed() {
                return Ok(session);
            }
        }
        Session::open(&self.config, self.path.as_deref()).await
    }

    /// Keeps a session whose call succeeded. After a failure the others may be as dead as this one.
    pub(super) fn give<T>(&self, session: Session, result: &Result<T>) {
        let dropped = self.idle(|idle| match result {
            Ok(_) if idle.len() < IDLE_MAX => {
                idle.push(session);
                Vec::new()
            }
            Ok(_) => vec![session],
            Err(error) if error.kind() == Kind::Unavailable => {
                let mut all = std::mem::take(idle);
                all.push(session);
                all
            }
            Err(_) => vec![session],
        });
        drop(dropped);
    }
}

/// What begins a transaction that writes: marked as the engine's, and with foreign keys that wait.
pub(super) fn begin(run: &str) -> String {
    format!(
        "BEGIN; SELECT pg_catalog.set_config({}, {}, true); SET CONSTRAINTS ALL DEFERRED",
        quote::literal(MARK),
        quote::literal(run)
    )
}

/// Begins a transaction that writes, for this attempt alone.
pub(super) async fn begin_ours(session: &mut Session, run: &LiveRun, operation: &str) -> Result<()> {
    let sql = guard(&run.plan.options.schema);
    let begun = async {
        let guard = session.prepared(&sql).await?;
        let begin = begin(&run.run);
        let parameters: [&(dyn ToSql + Sync); 1] = [&run.run];
        let client = session.client();
        // Both are on their way before the first is answered.
        let (begun, found) =
            tokio::join!(biased; client.batch_execute(&begin), client.query_opt(&guard, &parameters));
        begun?;
        found
    };
    let found = begun.await.map_err(|error| session.connection.classify(error, operation))?;
    ours(found.as_ref(), run, session.connection.label(), operation)
}

/// The run's attempt, held until the end of the transaction: who takes the run over waits for it.
pub(super) fn guard(schema: &str) -> String {
    format!("SELECT attempt FROM {} WHERE run = $1 FOR SHARE", ledger::table(schema, ledger::RUN))
}

/// That the attempt found is this engine's.
pub(super) fn ours(found: Option<&Row>, run: &LiveRun, label: &str, operation: &str) -> Result<()> {
    match found.map(|row| row.get::<_, i64>(0)) {
        Some(attempt) if attempt == run.attempt => Ok(()),
        Some(attempt) if attempt < run.attempt => Err(Error::new(Kind::Busy, operation)
            .store(label)
            .detail(
                "its records know of fewer engines than this one: another state of it was put in its place since. Stop the engine, and \
                 `switchover resume` takes the run up with the state that stands there",
            )
            .hint("stop the engine of this run (Ctrl-C, or `kill`), and `switchover resume`")),
        _ => Err(ledger::taken_over(label, operation)),
    }
}

/// A parameter in its wire form.
#[derive(Debug)]
pub(in crate::postgres) struct Wire(pub(in crate::postgres) BytesMut);

impl ToSql for Wire {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        // The statement was made for the type that this was encoded for.
        true
    }

    to_sql_checked!();
}

/// A field of an answer in its wire form.
struct Cell<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Cell<'a>, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Cell(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Keys as one array for each of their fields, for parameters of these types, of which the first are theirs.
pub(super) fn arrays(
    keys: &[Vec<OwnedValue>],
    types: &[LogicalType],
    wanted: &[Type],
    operation: &str,
) -> Result<Vec<Wire>> {
    let one = |(field, ty): (usize, &LogicalType)| {
        let parameter = wanted.get(field).map(Type::kind);
        let Some(TypeKind::Array(element)) = parameter else {
            return Err(Error::new(Kind::Internal, operation).detail("a key's parameter is no array"));
        };
        let mut out = BytesMut::with_capacity(20 + keys.len() * 12);
        out.put_i32(i32::from(!keys.is_empty()));
        out.put_i32(0);
        out.put_u32(element.oid());
        if !keys.is_empty() {
            out.put_i32(i32::try_from(keys.len()).map_err(|error| {
                Error::new(Kind::Internal, operation).detail("too many keys at once").because(error)
            })?);
            out.put_i32(1);
        }
        for key in keys {
            let value = key.get(field).ok_or_else(|| {
                Error::new(Kind::Internal, operation).detail("a key of fewer fields than its table's")
            })?;
            copy_encode::cell(value.borrow(), *ty, &mut out);
        }
        Ok(Wire(out))
    };
    types.iter().enumerate().map(one).collect()
}

/// The parameters `$1`… of [`arrays`] as the columns of a relation `k`: `k0`, `k1`…
pub(super) fn unnested(types: &[LogicalType]) -> String {
    let arrays: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(at, ty)| format!("pg_catalog.unnest(${}::{}[])", at + 1, base(*ty)))
        .collect();
    let names: Vec<String> = (0..types.len()).map(|at| format!("k{at}")).collect();
    format!("ROWS FROM ({}) AS k({})", arrays.join(", "), names.join(", "))
}

/// Takes the rows of an answer whose fields have these types.
pub(in crate::postgres) async fn rows(
    client: &Client,
    statement: &Statement,
    parameters: &[&(dyn ToSql + Sync)],
    types: &[LogicalType],
    out: &mut Rows,
) -> Result<(), Failure> {
    rows_up_to(client, statement, parameters, types, out, usize::MAX).await.map(drop)
}

/// The same, no further than beyond so many bytes: what comes behind is let go as it comes. Gives whether all were taken.
pub(in crate::postgres) async fn rows_up_to(
    client: &Client,
    statement: &Statement,
    parameters: &[&(dyn ToSql + Sync)],
    types: &[LogicalType],
    out: &mut Rows,
    bytes_max: usize,
) -> Result<bool, Failure> {
    let parameters = parameters.iter().copied();
    let stream = client.query_raw(statement, parameters).await?;
    let mut stream = std::pin::pin!(stream);
    let mut decoder = Decoder::new(types.to_vec());
    while let Some(row) = stream.next().await {
        take(&mut decoder, &row?, out)?;
        if out.bytes() > bytes_max {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes one row.
fn take(decoder: &mut Decoder, row: &Row, out: &mut Rows) -> Result<(), Failure> {
    let mut cells = Vec::with_capacity(row.len());
    for at in 0..row.len() {
        cells.push(row.try_get::<_, Option<Cell<'_>>>(at)?.map(|cell| cell.0));
    }
    decoder.row(cells.into_iter(), out)?;
    Ok(())
}

/// What ended a call: the server, or what was found.
#[derive(Debug)]
pub(in crate::postgres) enum Failure {
    Server(tokio_postgres::Error),
    Known(Box<Error>),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure::Server(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Known(Box::new(error))
    }
}

impl Failure {
    /// The error that it is, of an operation.
    pub(in crate::postgres) fn of(self, connection: &Connection, operation: &str) -> Error {
        match self {
            Failure::Server(error) => connection.classify(error, operation),
            Failure::Known(error) => *error,
        }
    }
}

/// Whether a SQLSTATE says that others hold locks: a lock or a statement took too long, or a deadlock ended it.
pub(super) fn is_busy(code: &str) -> bool {
    matches!(code, "55P03" | "40P01" | "57014")
}

/// A lock that was not to be had in time is `Busy`: somebody else is at work, and nothing was changed.
pub(super) fn busy(error: tokio_postgres::Error, connection: &Connection, operation: &str) -> Error {
    match crate::postgres::error::sqlstate(&error) {
        Some(code) if is_busy(code) => Error::new(Kind::Busy, operation)
            .store(connection.label())
            .detail("other sessions hold locks on the tables, and did not let go of them in time")
            .hint("see pg_stat_activity for transactions that stay open; then try again")
            .because(error),
        _ => connection.classify(error, operation),
    }
}
