//! Reading a table back: COPY BINARY out, in parts by block, at one point in time.
//!
//! Order does not matter to a digest, so rows come as they lie in the heap: no sort, no index, and
//! the parts can be read side by side. All parts see the first one's exported snapshot.

use super::config::PgConfig;
use super::connect::{Connection, connect};
use super::copy_decode::Decoder;
use super::quote;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use std::pin::Pin;
use std::sync::Arc;
use switchover_core::connector::Reader;
use switchover_core::plan::{LogicalType, Plan, TablePlan};
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Result};
use tokio_postgres::CopyOutStream;

/// Bytes of rows that one call gives back.
const BATCH_BYTES: usize = 1 << 20;

/// Below so many blocks a table is read in one part: a second connection costs more than it saves.
const BLOCKS_PER_PART_MIN: i64 = 512;

/// The first version that reads a range of blocks without reading all (TID range scans).
const TID_RANGE_VERSION: u32 = 140_000;

const OPERATION: &str = "read rows of the target";

struct PostgresReader {
    /// Held until the end: it owns the session, and the first one the snapshot.
    connection: Arc<Connection>,
    /// The connection whose transaction exported the snapshot.
    _snapshot: Option<Arc<Connection>>,
    stream: Pin<Box<CopyOutStream>>,
    decoder: Decoder,
    /// The stream gave its end: it must not be asked again.
    ended: bool,
    fields: usize,
    table: String,
}

/// The select list of a table, in the plan's order.
pub(super) fn columns(table: &TablePlan) -> String {
    table.columns.iter().map(|column| quote::ident(&column.target)).collect::<Vec<_>>().join(", ")
}

/// Readers that together see every row once.
pub(super) async fn readers(
    config: &PgConfig,
    plan: &Plan,
    index: usize,
    parts: usize,
) -> Result<Vec<Box<dyn Reader>>> {
    let name = quote::qualified(&plan.options.schema, &plan.tables[index].target);
    of_relation(config, &plan.tables[index], &name, "", parts).await
}

/// Readers of the table's columns in a relation, of the rows that a condition takes (empty: all).
pub(super) async fn of_relation(
    config: &PgConfig,
    table: &TablePlan,
    name: &str,
    which: &str,
    parts: usize,
) -> Result<Vec<Box<dyn Reader>>> {
    let first = Arc::new(connect(config).await?);
    let fail = |error| first.classify(error, OPERATION).table(table.source.clone());
    begin(&first).await.map_err(fail)?;
    let sql = "SELECT pg_catalog.pg_relation_size($1::text::pg_catalog.regclass)
        / pg_catalog.current_setting('block_size')::bigint";
    let blocks: i64 = first.client().query_one(sql, &[&name]).await.map_err(fail)?.get(0);
    let parts = if first.server_version_num() < TID_RANGE_VERSION {
        1
    } else {
        (blocks / BLOCKS_PER_PART_MIN).clamp(1, i64::try_from(parts.max(1)).unwrap_or(1))
    };
    let snapshot: Option<String> = match parts {
        1 => None,
        _ => Some(
            first
                .client()
                .query_one("SELECT pg_catalog.pg_export_snapshot()", &[])
                .await
                .map_err(fail)?
                .get(0),
        ),
    };
    let mut readers: Vec<Box<dyn Reader>> = Vec::new();
    for part in (0..parts).rev() {
        // The last one made is the first connection: its export must come before it reads.
        let connection = match (&snapshot, part) {
            (Some(snapshot), 1..) => Arc::new(join(config, snapshot).await?),
            _ => Arc::clone(&first),
        };
        let bound = |at: i64| format!("'({},0)'::pg_catalog.tid", blocks * at / parts);
        let mut condition: Vec<String> = Vec::new();
        if !which.is_empty() {
            condition.push(which.to_owned());
        }
        if part > 0 {
            condition.push(format!("ctid >= {}", bound(part)));
        }
        if part + 1 < parts {
            condition.push(format!("ctid < {}", bound(part + 1)));
        }
        let filter =
            if condition.is_empty() { String::new() } else { format!(" WHERE {}", condition.join(" AND ")) };
        let sql = format!("COPY (SELECT {} FROM {name}{filter}) TO STDOUT (FORMAT binary)", columns(table));
        let stream = connection
            .client()
            .copy_out(&sql)
            .await
            .map_err(|error| connection.classify(error, OPERATION).table(table.source.clone()))?;
        let types: Vec<LogicalType> = table.columns.iter().map(|column| column.r#type).collect();
        let names: Vec<String> = table.columns.iter().map(|column| column.target.clone()).collect();
        readers.push(Box::new(PostgresReader {
            connection,
            _snapshot: (parts > 1).then(|| Arc::clone(&first)),
            stream: Box::pin(stream),
            fields: types.len(),
            decoder: Decoder::new(types).named(OPERATION, names.clone(), 0),
            ended: false,
            table: table.source.clone(),
        }));
    }
    Ok(readers)
}

async fn begin(connection: &Connection) -> std::result::Result<(), tokio_postgres::Error> {
    connection.client().batch_execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await
}

async fn join(config: &PgConfig, snapshot: &str) -> Result<Connection> {
    let connection = connect(config).await?;
    let joined = async {
        begin(&connection).await?;
        connection
            .client()
            .batch_execute(&format!("SET TRANSACTION SNAPSHOT {}", quote::literal(snapshot)))
            .await
    };
    joined.await.map_err(|error| connection.classify(error, OPERATION))?;
    Ok(connection)
}

#[async_trait]
impl Reader for PostgresReader {
    async fn next(&mut self, mut rows: Rows) -> Result<Option<Rows>> {
        if rows.capacity_bytes() > 4 * BATCH_BYTES {
            // A large row was in it: its memory is not kept.
            rows = Rows::default();
        }
        rows.reset(0, self.fields);
        while !self.ended && rows.bytes() < BATCH_BYTES {
            match self.stream.next().await {
                Some(Ok(message)) => self.take(message, &mut rows)?,
                Some(Err(error)) => return Err(self.fail(error)),
                None if !self.decoder.is_complete() => {
                    return Err(Error::new(Kind::Unavailable, OPERATION)
                        .table(self.table.clone())
                        .detail("the stream ended before its last row"));
                }
                None => {
                    // The server's word that this was all; and its log has no session that was torn off.
                    let done = self.connection.client().batch_execute("COMMIT").await;
                    done.map_err(|error| self.fail(error))?;
                    self.ended = true;
                }
            }
        }
        Ok((!rows.is_empty()).then_some(rows))
    }
}

impl PostgresReader {
    fn fail(&self, error: tokio_postgres::Error) -> Error {
        self.connection.classify(error, OPERATION).table(self.table.clone())
    }

    fn take(&mut self, message: Bytes, rows: &mut Rows) -> Result<()> {
        self.decoder.message(message, rows).map_err(|error| error.table(self.table.clone()))
    }
}
