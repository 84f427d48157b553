//! Changes of the source into the target's tables, with their position, in one transaction.
//!
//! Everything is encoded before the transaction begins: a value that does not fit costs the server nothing. Then
//! the rows of all changed keys go, and the rows that are there now come, so that unique values may have been
//! swapped; foreign keys wait until the commit. Statements are sent without waiting for each other's answers, the
//! COMMIT only when all of them succeeded.

use super::PostgresLive;
use super::objects::LIVE;
use super::session::{Session, Wire, arrays, begin, guard, ours};
use super::shape::Shape;
use crate::postgres::copy_encode::{self, HEADER, TRAILER};
use crate::postgres::quote;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use futures_util::future::join_all;
use switchover_core::connector::Position;
use switchover_core::failpoint;
use switchover_core::live::{Changes, TableChanges, encode_keys};
use switchover_core::plan::TablePlan;
use switchover_core::value::OwnedValue;
use switchover_core::{Error, Kind, Result};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

const OPERATION: &str = "apply changes to the target";

/// Bytes handed to the socket at a time.
const SEND_BYTES: usize = 128 << 10;

/// One table's part, ready to be sent.
struct Part {
    delete: Option<(Statement, Vec<Wire>)>,
    copy: Option<(Statement, Bytes)>,
    table: usize,
}

impl PostgresLive {
    pub(super) async fn apply_with(
        &self,
        session: &mut Session,
        changes: &Changes,
        after: Option<&Position>,
    ) -> Result<()> {
        let mut parts = Vec::with_capacity(changes.tables.len());
        for change in &changes.tables {
            parts.push(self.part(session, change).await?);
        }
        let schema = self.schema();
        let move_on = format!(
            "UPDATE {} SET applied = $3
             WHERE run = $1 AND applied IS NOT DISTINCT FROM $2 AND owner = 'source'",
            quote::qualified(schema, LIVE)
        );
        let fail = |error, session: &Session| session.connection.classify(error, OPERATION);
        let prepared =
            async { Ok((session.prepared(&guard(schema)).await?, session.prepared(&move_on).await?)) };
        let prepared: Result<_, tokio_postgres::Error> = prepared.await;
        let (guard, move_on) = prepared.map_err(|error| fail(error, session))?;
        let client = session.client();
        let begin = begin(&self.run.run);
        let after = after.map(|position| position.0.as_str());
        let parameters: [&(dyn ToSql + Sync); 3] = [&self.run.run, &after, &changes.upto.0];
        // In the order in which they are sent; a failure of one makes all behind it fail.
        let (begun, found, moved, sent) = tokio::join!(
            biased;
            client.batch_execute(&begin),
            client.query_opt(&guard, std::slice::from_ref(&parameters[0])),
            client.execute(&move_on, &parameters),
            self.send(client, &parts),
        );
        begun.map_err(|error| fail(error, session))?;
        let found = found.map_err(|error| fail(error, session))?;
        ours(found.as_ref(), &self.run, session.connection.label(), OPERATION)?;
        if moved.map_err(|error| fail(error, session))? != 1 {
            return Err(Error::new(Kind::Changed, OPERATION)
                .store(session.connection.label())
                .detail("the target does not stand where these changes begin, or it owns the data")
                .hint(
                    "ask it again how far it is: the changes were applied already, or another process did it",
                ));
        }
        sent.map_err(|(table, error)| fail(error, session).table(self.planned(table).source.clone()))?;
        failpoint::hit("live-apply-before-commit");
        self.commit(session, OPERATION).await?;
        failpoint::hit("live-apply-after-commit");
        Ok(())
    }

    /// All deletes, then all rows. The first failure is the cause, with the table that it is about: what follows it
    /// says only that the transaction is over, or cannot be told apart any more.
    async fn send(&self, client: &Client, parts: &[Part]) -> Result<(), (usize, tokio_postgres::Error)> {
        let deletes = join_all(parts.iter().map(|part| async move {
            let Some((statement, keys)) = &part.delete else { return Ok(()) };
            let keys: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|key| key as _).collect();
            client.execute(statement, &keys).await.map(drop).map_err(|error| (part.table, error))
        }));
        let copies = join_all(parts.iter().map(|part| async move {
            let Some((statement, rows)) = &part.copy else { return Ok(()) };
            copy(client, statement, rows.clone()).await.map_err(|error| (part.table, error))
        }));
        let (deleted, copied) = tokio::join!(biased; deletes, copies);
        let over = Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
        let mut failures: Vec<_> = deleted.into_iter().chain(copied).filter_map(Result::err).collect();
        let cause = failures.iter().position(|(_, error)| error.code().is_some() && error.code() != over);
        match (cause, failures.is_empty()) {
            (_, true) => Ok(()),
            (cause, false) => Err(failures.swap_remove(cause.unwrap_or(0))),
        }
    }

    /// Encodes one table's changes.
    async fn part(&self, session: &mut Session, change: &TableChanges) -> Result<Part> {
        let shape = self.shape(change.table)?;
        let table = self.planned(change.table);
        let rows = encode(shape, table, change)?;
        let keys = match change.whole {
            true => Vec::new(),
            false => encode_keys(table, &change.keys)?,
        };
        let prepared = async {
            let delete = match (change.whole, keys.is_empty()) {
                (true, _) => Some(session.prepared(&shape.delete_all).await?),
                (false, true) => None,
                (false, false) => Some(session.prepared(&shape.delete).await?),
            };
            let copy = match rows.is_some() {
                true => Some(session.prepared(&shape.copy).await?),
                false => None,
            };
            Ok((delete, copy))
        };
        let prepared: Result<_, tokio_postgres::Error> = prepared.await;
        let (delete, copy) = prepared
            .map_err(|error| session.connection.classify(error, OPERATION).table(table.source.clone()))?;
        let delete = match delete {
            Some(statement) if change.whole => Some((statement, Vec::new())),
            Some(statement) => {
                let keys = arrays(&keys, &shape.key_types, statement.params(), OPERATION)?;
                Some((statement, keys))
            }
            None => None,
        };
        Ok(Part { delete, copy: copy.zip(rows), table: change.table })
    }
}

async fn copy(client: &Client, statement: &Statement, mut rows: Bytes) -> Result<(), tokio_postgres::Error> {
    let sink = client.copy_in::<_, Bytes>(statement).await?;
    let mut sink = std::pin::pin!(sink);
    while rows.len() > SEND_BYTES {
        sink.feed(rows.split_to(SEND_BYTES)).await?;
    }
    sink.send(rows).await?;
    sink.finish().await?;
    Ok(())
}

/// The rows as COPY's stream; `None` when there are none.
fn encode(shape: &Shape, table: &TablePlan, change: &TableChanges) -> Result<Option<Bytes>> {
    if change.rows.is_empty() {
        return Ok(None);
    }
    let mut out = BytesMut::with_capacity(change.rows.bytes() + HEADER.len());
    out.extend_from_slice(HEADER);
    let mut scratch = Vec::new();
    for row in change.rows.iter() {
        copy_encode::row(row, &shape.fields, &mut scratch, |_| false, &mut out).map_err(|misfit| {
            let key: Vec<OwnedValue> =
                shape.key.iter().map(|field| row.value(*field).to_owned_value()).collect();
            let named = shape.key.iter().zip(&key);
            let shown: Vec<String> = named
                .map(|(field, value)| format!("{}={}", table.columns[*field].source, value.borrow().shown()))
                .collect();
            let hint = match table.columns[misfit.field].added {
                false => "change the value on the source; until then the source's changes wait in its log",
                true => {
                    "the mapping computes it: change the row on the source, or take the run back with `switchover rollback`, give the column a \
                     `type` that takes all its values, and start again"
                }
            };
            Error::new(Kind::Refused, OPERATION)
                .table(table.source.clone())
                .key(shown.join(", "))
                .column(table.columns[misfit.field].source.clone())
                .detail(format!("{}: {}", row.value(misfit.field).shown(), misfit.unfit.0))
                .hint(hint)
        })?;
    }
    out.extend_from_slice(&TRAILER);
    Ok(Some(out.freeze()))
}
