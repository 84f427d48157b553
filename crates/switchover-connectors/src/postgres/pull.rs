//! Rows of the source in the order of their locators, over streams that stay open from one batch to the
//! next.
//!
//! A batch ends where its budget does, and the next one nearly always begins there: so the server's COPY
//! goes on, and no row is looked for twice. A stream that nobody goes on with is dropped with its session.
//! All sessions see the one exported snapshot, so it does not matter which of them reads.

use super::config::PgConfig;
use super::connect::{Connection, connect};
use super::copy_decode::Decoder;
use super::quote;
use super::shape::Shape;
use futures_util::StreamExt;
use std::pin::Pin;
use std::sync::Mutex;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Batch, ReadRequest, ReadTable};
use switchover_core::plan::LogicalType;
use switchover_core::schema::Locator;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::CopyOutStream;

pub(super) const OPERATION: &str = "read rows of the source";

/// Sessions kept open between two batches: the copy's, the verification's and one beside each.
const IDLE_MAX: usize = 4;

/// What each session that reads sets. Rows that a policy hides are an error and not left out; a scan
/// begins at the first page, has one process, and reads no index instead of its table, so that the order of a table
/// without a key is its own.
pub(super) const BEGIN: &str = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL row_security = off; SET LOCAL synchronize_seqscans = off;
    SET LOCAL enable_indexonlyscan = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";

/// The sessions that read a snapshot.
pub(super) struct Pulls {
    config: PgConfig,
    /// The exported snapshot's name.
    snapshot: String,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    streams: Vec<Pull>,
    sessions: Vec<Connection>,
}

/// A stream of rows.
struct Pull {
    table: ReadTable,
    upto: Option<Vec<OwnedValue>>,
    last: Option<Vec<OwnedValue>>,
    connection: Connection,
    stream: Pin<Box<CopyOutStream>>,
    decoder: Decoder,
}

impl Pulls {
    pub(super) fn new(config: PgConfig, snapshot: String) -> Pulls {
        Pulls { config, snapshot, idle: Mutex::default() }
    }

    fn idle<T>(&self, work: impl FnOnce(&mut Idle) -> T) -> T {
        // What it guards is whole between any two statements: a panic elsewhere leaves nothing half done.
        work(&mut self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A session in the snapshot.
    pub(super) async fn session(&self) -> Result<Connection> {
        if let Some(session) = self.idle(|idle| idle.sessions.pop()) {
            return Ok(session);
        }
        let connection = connect(&self.config).await?;
        let joined = async {
            connection.client().batch_execute(BEGIN).await?;
            let sql = format!("SET TRANSACTION SNAPSHOT {}", quote::literal(&self.snapshot));
            connection.client().batch_execute(&sql).await
        };
        joined.await.map_err(|error| {
            connection
                .classify(error, "join the snapshot of the source")
                .hint("the session that held the read point ended: begin again, or `switchover resume`")
        })?;
        Ok(connection)
    }

    /// Gives a session back that is between two statements.
    pub(super) fn give_back(&self, session: Connection) {
        self.idle(|idle| {
            if idle.sessions.len() < IDLE_MAX {
                idle.sessions.push(session);
            }
        });
    }

    /// The next rows of a range.
    pub(super) async fn batch(&self, shape: &Shape, request: &ReadRequest, mut rows: Rows) -> Result<Batch> {
        let table = &*request.table;
        rows.reset(table.locator.width(), table.columns.len());
        let mut pull = match self.go_on(request) {
            Some(pull) => pull,
            None => self.start(shape, table, &request.range).await?,
        };
        let done = loop {
            if !pull.fill(&mut rows).await.map_err(|error| error.table(table.name.clone()))? {
                break true;
            }
            if request.is_filled(&rows) {
                break false;
            }
        };
        let last = (!rows.is_empty()).then(|| rows.row(rows.len() - 1).locator());
        if done {
            self.give_back(pull.connection);
        } else {
            pull.last.clone_from(&last);
            self.keep(pull);
        }
        Ok(Batch { rows, last, done })
    }

    /// The stream that stands where the request begins.
    fn go_on(&self, request: &ReadRequest) -> Option<Pull> {
        self.idle(|idle| {
            let at = idle.streams.iter().position(|pull| {
                pull.table == *request.table
                    && pull.upto == request.range.upto
                    && pull.last.is_some()
                    && pull.last == request.range.after
            })?;
            Some(idle.streams.remove(at))
        })
    }

    fn keep(&self, pull: Pull) {
        let dropped = self.idle(|idle| {
            idle.streams.push(pull);
            (idle.streams.len() > IDLE_MAX).then(|| idle.streams.remove(0))
        });
        // With its session: the server stops sending when the socket is gone.
        drop(dropped);
    }

    async fn start(&self, shape: &Shape, table: &ReadTable, range: &KeyRange) -> Result<Pull> {
        let sql = statement(shape, table, range).map_err(|error| error.table(table.name.clone()))?;
        let connection = self.session().await?;
        let stream = connection.client().copy_out(&sql).await;
        let stream =
            stream.map_err(|error| connection.classify(error, OPERATION).table(table.name.clone()))?;
        let key: Vec<String> = shape.key()?.iter().map(|form| form.name.clone()).collect();
        let (width, fields) = (key.len(), key.into_iter().chain(table.columns.iter().cloned()).collect());
        let decoder = Decoder::new(wires(shape, table)?).named(OPERATION, fields, width);
        let decoder = match table.locator {
            Locator::Ordinal => decoder.numbered(ordinal(&range.after)?),
            Locator::RowId(_) | Locator::Key(_) => decoder,
        };
        Ok(Pull {
            table: table.clone(),
            upto: range.upto.clone(),
            last: None,
            connection,
            stream: Box::pin(stream),
            decoder,
        })
    }

    /// All rows of a select list under a condition, to be looked at one batch at a time.
    pub(super) async fn each(
        &self,
        sql: &str,
        types: Vec<LogicalType>,
        mut observe: impl FnMut(&Rows) + Send,
    ) -> Result<()> {
        let connection = self.session().await?;
        let width = types.len();
        let stream = connection.client().copy_out(sql).await;
        let stream = stream.map_err(|error| connection.classify(error, OPERATION))?;
        let mut pull = Pull {
            table: ReadTable { name: String::new(), columns: Vec::new(), locator: Locator::Ordinal },
            upto: None,
            last: None,
            connection,
            stream: Box::pin(stream),
            decoder: Decoder::new(types),
        };
        let mut rows = Rows::default();
        loop {
            rows.reset(width, 0);
            let more = pull.fill(&mut rows).await?;
            observe(&rows);
            if !more {
                self.give_back(pull.connection);
                return Ok(());
            }
        }
    }
}

impl Pull {
    /// Takes one message; `false` at the end.
    async fn fill(&mut self, rows: &mut Rows) -> Result<bool> {
        match self.stream.next().await {
            Some(Ok(message)) => self.decoder.message(message, rows).map(|()| true),
            Some(Err(error)) => Err(self
                .connection
                .classify(error, OPERATION)
                .hint("the read point is gone with its session: `switchover resume` goes on from another")),
            None if self.decoder.is_complete() => Ok(false),
            None => Err(Error::new(Kind::Unavailable, OPERATION)
                .store(self.connection.label())
                .detail("the stream ended before its last row")),
        }
    }
}

/// The binary forms that come: the locator's, then the fields'.
fn wires(shape: &Shape, table: &ReadTable) -> Result<Vec<LogicalType>> {
    let mut wires: Vec<LogicalType> = shape.key()?.iter().map(|form| form.wire).collect();
    for name in &table.columns {
        wires.push(form(shape, name)?.wire);
    }
    Ok(wires)
}

fn form<'a>(shape: &'a Shape, name: &str) -> Result<&'a super::shape::Form> {
    shape.form(name).ok_or_else(|| {
        Error::new(Kind::Changed, OPERATION)
            .column(name)
            .detail("the source has no such column")
            .hint("plan again")
    })
}

fn ordinal(bound: &Option<Vec<OwnedValue>>) -> Result<i64> {
    match bound.as_deref() {
        None => Ok(0),
        Some([OwnedValue::Int(number)]) => Ok(*number),
        Some(_) => Err(Error::new(Kind::Internal, OPERATION).detail("a row's number is no integer")),
    }
}

/// The COPY that sends a range.
fn statement(shape: &Shape, table: &ReadTable, range: &KeyRange) -> Result<String> {
    let key = shape.key()?;
    let mut items: Vec<String> = key.iter().map(|form| form.select("t")).collect();
    for name in &table.columns {
        items.push(form(shape, name)?.select("t"));
    }
    let mut sql = format!("SELECT {} FROM {} t", items.join(", "), shape.from);
    if key.is_empty() {
        let from = ordinal(&range.after)?;
        if range.upto.is_some() {
            sql.push_str(&format!(" LIMIT {}", ordinal(&range.upto)? - from));
        }
        sql.push_str(&format!(" OFFSET {from}"));
    } else {
        let mut word = " WHERE ";
        for (bound, operator) in [(&range.after, ">"), (&range.upto, "<=")] {
            if let Some(cells) = bound {
                sql.push_str(&format!("{word}{}", shape.compared("t", operator, cells)?));
                word = " AND ";
            }
        }
        let order: Vec<String> = key.iter().map(|form| form.order("t")).collect();
        sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
    }
    Ok(format!("COPY ({sql}) TO STDOUT (FORMAT binary)"))
}

/// One row by its locator.
pub(super) fn one(
    shape: &Shape,
    table: &ReadTable,
    locator: &[OwnedValue],
) -> Result<(String, Vec<LogicalType>)> {
    let (mut items, mut types) = (Vec::new(), Vec::new());
    for name in &table.columns {
        let form = form(shape, name)?;
        items.push(form.select("t"));
        types.push(form.wire);
    }
    let sql = format!("SELECT {} FROM {} t", items.join(", "), shape.from);
    let sql = match shape.locator {
        Locator::Ordinal => format!("{sql} LIMIT 1 OFFSET {}", ordinal(&Some(locator.to_vec()))?.max(1) - 1),
        Locator::RowId(_) | Locator::Key(_) => format!("{sql} WHERE {}", shape.compared("t", "=", locator)?),
    };
    Ok((format!("COPY ({sql}) TO STDOUT (FORMAT binary)"), types))
}
