//! One stream of chunks into PostgreSQL.
//!
//! A chunk is one transaction: its checkpoint first, then its rows by COPY BINARY, then its
//! quarantined values. The checkpoint comes first because its key tells at once whether the chunk is
//! there already, and because it reads the run's row, which stops a process that lost its claim.
//!
//! `synchronous_commit` is off here: the server may lose the newest chunks in a crash of its own, but
//! rows and checkpoint go together (one transaction), and the log keeps the order of commits, so what
//! is lost is a tail that `resume` copies again. The steps that follow commit synchronously, which
//! makes everything before them durable.

use super::config::PgConfig;
use super::connect::{Connection, Holds, connect, path_of_application};
use super::copy_encode::{self, Field, HEADER, Misfit, TRAILER};
use super::{ledger, live, quote};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use std::collections::HashMap;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use switchover_core::connector::{ChunkWrite, Writer, Written};
use switchover_core::failpoint;
use switchover_core::limits::LARGE_VALUE_BYTES;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::{Row, Value};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::{CopyInSink, Statement};

/// Bytes handed to the socket at a time: few system calls, little memory.
const SEND_BYTES: usize = 128 << 10;

const OPERATION: &str = "copy rows to the target";

/// One stream.
#[derive(Debug)]
pub(super) struct PostgresWriter {
    config: PgConfig,
    plan: Arc<Plan>,
    run: String,
    attempt: i64,
    /// Whether the plan's census is of the very rows that come.
    proven: bool,
    session: Option<Session>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Session {
    connection: Connection,
    checkpoint: Statement,
    copies: HashMap<usize, (Statement, Vec<Field>)>,
    proven: bool,
    /// Begins a transaction of the engine's own, which the gate of a live run lets in.
    begin: String,
}

impl PostgresWriter {
    pub(super) fn new(
        config: PgConfig,
        plan: Arc<Plan>,
        run: String,
        attempt: i64,
        proven: bool,
    ) -> PostgresWriter {
        PostgresWriter { config, plan, run, attempt, proven, session: None, scratch: Vec::new() }
    }

    async fn open(&self) -> Result<Session> {
        let connection = connect(&self.config).await?;
        let schema = &self.plan.options.schema;
        let sql = format!(
            "INSERT INTO {} (run, table_no, after_key, upto_key, rows, bytes, digest)
             SELECT run, $3, $4, $5, $6, $7, $8 FROM {} WHERE run = $1 AND attempt = $2 FOR SHARE
             ON CONFLICT DO NOTHING",
            ledger::table(schema, ledger::CHECKPOINT),
            ledger::table(schema, ledger::RUN),
        );
        let prepared = async {
            connection.client().batch_execute("SET synchronous_commit = off").await?;
            if self.plan.options.existing.is_some() {
                let path = path_of_application(schema, Holds::Session);
                connection.client().batch_execute(&path).await?;
            }
            connection.client().prepare(&sql).await
        };
        let checkpoint = prepared.await.map_err(|error| connection.classify(error, OPERATION))?;
        let begin = format!("BEGIN; {}", live::mark(&self.run));
        Ok(Session { connection, checkpoint, copies: HashMap::new(), proven: self.proven, begin })
    }

    /// Finds the first row of a rejected chunk that the server does not take, by halves, each tried in
    /// a transaction that is rolled back. The server's own message names a line in its language only.
    async fn offender(&mut self, session: &mut Session, chunk: &ChunkWrite<'_>) -> Result<Option<usize>> {
        let (mut low, mut high) = (0, chunk.rows.len());
        if self.try_rows(session, chunk, low..high).await? {
            return Ok(None);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.try_rows(session, chunk, low..middle).await? { low = middle } else { high = middle }
        }
        Ok(Some(low))
    }

    async fn try_rows(
        &mut self,
        session: &mut Session,
        chunk: &ChunkWrite<'_>,
        range: Range<usize>,
    ) -> Result<bool> {
        let begin = session.connection.client().batch_execute(&session.begin).await;
        begin.map_err(|error| session.connection.classify(error, OPERATION))?;
        let taken = match copy(session, &self.plan, &mut self.scratch, chunk, range).await {
            Ok(()) => true,
            Err(error) if error.kind() == Kind::Rejected => false,
            Err(error) => return Err(error),
        };
        let rollback = session.connection.client().batch_execute("ROLLBACK").await;
        rollback.map_err(|error| session.connection.classify(error, OPERATION))?;
        Ok(taken)
    }
}

#[async_trait]
impl Writer for PostgresWriter {
    async fn write(&mut self, chunk: &ChunkWrite<'_>) -> Result<Written> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.open().await?,
        };
        match transaction(&mut session, &self.plan, &self.run, self.attempt, &mut self.scratch, chunk).await {
            Ok(written) => {
                self.session = Some(session);
                Ok(written)
            }
            Err(error) if error.kind() == Kind::Rejected => {
                // The session is in a failed transaction and is not used again after the search.
                let _ = session.connection.client().batch_execute("ROLLBACK").await;
                let row = self.offender(&mut session, chunk).await.unwrap_or(None);
                Err(match row {
                    Some(row) => {
                        let table = &self.plan.tables[chunk.checkpoint.table];
                        error.key(switchover_core::planner::layout::shown_locator(
                            table,
                            &chunk.rows.row(row).locator(),
                        ))
                    }
                    None => error,
                })
            }
            // The connection's state is unknown: the next write opens another.
            Err(error) => Err(error),
        }
    }
}

async fn transaction(
    session: &mut Session,
    plan: &Plan,
    run: &str,
    attempt: i64,
    scratch: &mut Vec<u8>,
    chunk: &ChunkWrite<'_>,
) -> Result<Written> {
    let checkpoint = chunk.checkpoint;
    // Counts and indexes of one plan fit the ledger's types by far.
    let (table_no, rows, bytes) = (checkpoint.table as i32, checkpoint.rows as i64, checkpoint.bytes as i64);
    let (after, upto) =
        (ledger::key_text(&checkpoint.range.after)?, ledger::key_text(&checkpoint.range.upto)?);
    let digest = checkpoint.digest.to_string();
    let client = session.connection.client();
    let table = &plan.tables[checkpoint.table].source;
    let classify = |error| session.connection.classify(error, OPERATION).table(table.clone());
    let begin = client.batch_execute(&session.begin);
    let record: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&run, &attempt, &table_no, &after, &upto, &rows, &bytes, &digest];
    let insert = client.execute(&session.checkpoint, &record);
    // Both are on their way before the first is answered.
    let (begun, inserted) = tokio::join!(begin, insert);
    let inserted = begun.and(inserted).map_err(classify)?;
    if inserted == 0 {
        return already(session, plan, run, attempt).await;
    }
    failpoint::hit("copy-before-rows");
    copy(session, plan, scratch, chunk, 0..chunk.rows.len()).await?;
    quarantine(session, plan, run, chunk).await?;
    failpoint::hit("copy-before-commit");
    let commit = session.connection.client().batch_execute("COMMIT").await;
    commit.map_err(|error| session.connection.classify(error, OPERATION).table(table.clone()))?;
    failpoint::hit("copy-after-commit");
    Ok(Written::Now)
}

/// No checkpoint was made: either it is there, or this process no longer owns the run.
async fn already(session: &Session, plan: &Plan, run: &str, attempt: i64) -> Result<Written> {
    let sql = format!(
        "SELECT 1 FROM {} WHERE run = $1 AND attempt = $2",
        ledger::table(&plan.options.schema, ledger::RUN)
    );
    let client = session.connection.client();
    let ours = async {
        let row = client.query_opt(&sql, &[&run, &attempt]).await?;
        client.batch_execute("ROLLBACK").await?;
        Ok(row.is_some())
    };
    if ours.await.map_err(|error| session.connection.classify(error, OPERATION))? {
        return Ok(Written::Already);
    }
    Err(ledger::taken_over(session.connection.label(), OPERATION))
}

async fn statement<'a>(
    session: &'a mut Session,
    plan: &Plan,
    table: usize,
) -> Result<&'a (Statement, Vec<Field>)> {
    if !session.copies.contains_key(&table) {
        let plan_table = &plan.tables[table];
        let fields = match session.proven {
            true => copy_encode::fields(plan_table),
            false => copy_encode::unproven(plan_table),
        };
        let columns: Vec<String> =
            fields.iter().map(|field| quote::ident(&plan_table.columns[field.index].target)).collect();
        let sql = format!(
            "COPY {} ({}) FROM STDIN (FORMAT binary)",
            quote::qualified(&plan.options.schema, &plan_table.target),
            columns.join(", ")
        );
        let prepared = session.connection.client().prepare(&sql).await;
        let prepared = prepared.map_err(|error| {
            session.connection.classify(error, OPERATION).table(plan_table.source.clone())
        })?;
        session.copies.insert(table, (prepared, fields));
    }
    session.copies.get(&table).ok_or_else(|| Error::new(Kind::Internal, OPERATION))
}

async fn copy(
    session: &mut Session,
    plan: &Plan,
    scratch: &mut Vec<u8>,
    chunk: &ChunkWrite<'_>,
    range: Range<usize>,
) -> Result<()> {
    let index = chunk.checkpoint.table;
    let table = &plan.tables[index];
    let (copy, fields) = statement(session, plan, index).await?.clone();
    let classify =
        |session: &Session, error| session.connection.classify(error, OPERATION).table(table.source.clone());
    let sink = session
        .connection
        .client()
        .copy_in::<_, Bytes>(&copy)
        .await
        .map_err(|error| classify(session, error))?;
    let sent = send(sink, &fields, plan, chunk, range, scratch).await;
    sent.map_err(|failure| match failure {
        Failure::Server(error) => classify(session, error),
        Failure::Unfit(error) => *error,
    })
}

enum Failure {
    Server(tokio_postgres::Error),
    Unfit(Box<Error>),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure::Server(error)
    }
}

async fn send(
    sink: CopyInSink<Bytes>,
    fields: &[Field],
    plan: &Plan,
    chunk: &ChunkWrite<'_>,
    range: Range<usize>,
    scratch: &mut Vec<u8>,
) -> std::result::Result<(), Failure> {
    let mut sink = std::pin::pin!(sink);
    let mut out = BytesMut::with_capacity(SEND_BYTES + SEND_BYTES / 4);
    out.extend_from_slice(HEADER);
    for at in range {
        if chunk.left_out.contains(&at) {
            continue;
        }
        let row = chunk.rows.row(at);
        let exceptions = !chunk.as_null.is_empty();
        let as_null = |field| exceptions && chunk.as_null.contains(&(at, field));
        let large = row.values().any(|value| value.payload_bytes() > LARGE_VALUE_BYTES);
        let encoded = if large {
            large_row(&mut sink, row, fields, scratch, as_null, &mut out).await?
        } else {
            copy_encode::row(row, fields, scratch, as_null, &mut out)
        };
        if let Err(misfit) = encoded {
            // Nothing was committed: dropping the sink makes the server abandon the COPY.
            return Err(Failure::Unfit(Box::new(unfit(&plan.tables[chunk.checkpoint.table], row, misfit))));
        }
        if out.len() >= SEND_BYTES {
            sink.feed(out.split().freeze()).await?;
            out.reserve(SEND_BYTES + SEND_BYTES / 4);
        }
    }
    out.extend_from_slice(&TRAILER);
    sink.send(out.freeze()).await?;
    sink.finish().await?;
    Ok(())
}

/// A row with a large value, which goes out in pieces: it is never in memory a second time.
async fn large_row(
    sink: &mut Pin<&mut CopyInSink<Bytes>>,
    row: Row<'_>,
    fields: &[Field],
    scratch: &mut Vec<u8>,
    mut as_null: impl FnMut(usize) -> bool,
    out: &mut BytesMut,
) -> std::result::Result<std::result::Result<(), Misfit>, tokio_postgres::Error> {
    out.extend_from_slice(&(fields.len() as i16).to_be_bytes());
    for field in fields {
        let value = if as_null(field.index) { Value::Null } else { row.value(field.index) };
        let value = match field.encode(value, scratch) {
            Ok(value) => value,
            Err(misfit) => return Ok(Err(misfit)),
        };
        let Some(payload) = copy_encode::large(value, field.r#type, out) else {
            copy_encode::cell(value, field.r#type, out);
            continue;
        };
        sink.feed(out.split().freeze()).await?;
        for piece in payload.chunks(SEND_BYTES) {
            sink.feed(Bytes::copy_from_slice(piece)).await?;
        }
        out.reserve(SEND_BYTES + SEND_BYTES / 4);
    }
    Ok(Ok(()))
}

fn unfit(table: &TablePlan, row: Row<'_>, misfit: Misfit) -> Error {
    Error::new(Kind::Refused, OPERATION)
        .table(table.source.clone())
        .key(switchover_core::planner::layout::shown_locator(table, &row.locator()))
        .column(table.columns[misfit.field].source.clone())
        .detail(format!("{}: {}", row.value(misfit.field).shown(), misfit.unfit.0))
        .hint("the source changed after the plan was made: plan again")
}

async fn quarantine(session: &Session, plan: &Plan, run: &str, chunk: &ChunkWrite<'_>) -> Result<()> {
    if chunk.quarantine.is_empty() {
        return Ok(());
    }
    let table = &plan.tables[chunk.checkpoint.table].source;
    let classify = |error| session.connection.classify(error, "write to the quarantine").table(table.clone());
    let client = session.connection.client();
    ledger::put_aside(client, &plan.options.schema, (run, table), chunk.quarantine, &classify).await?;
    failpoint::hit("quarantine-before-commit");
    Ok(())
}
