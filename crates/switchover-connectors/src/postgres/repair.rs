//! Mending single rows that a verification found to differ: by key, in one transaction.

use super::connect::Connection;
use super::copy_encode::{self, Field, HEADER, TRAILER};
use super::quote;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "repair rows of the target";

/// The name of the session's own table that holds the keys.
const KEYS: &str = "_switchover_repair_keys";

/// Removes the rows of the given keys (the target's own values) and inserts `rows` (the source's).
pub(super) async fn repair(
    connection: &mut Connection,
    plan: &Plan,
    index: usize,
    rows: &Rows,
    keys: &[Vec<OwnedValue>],
) -> Result<()> {
    let table = &plan.tables[index];
    let key = table.key_fields();
    if key.is_empty() {
        return Err(Error::new(Kind::Unsupported, OPERATION)
            .table(table.source.clone())
            .detail("the table has no primary key to find rows by")
            .hint("roll the run back and migrate again"));
    }
    let name = quote::qualified(&plan.options.schema, &table.target);
    let fail = |error: tokio_postgres::Error| {
        super::error::classify(&error, OPERATION).table(table.source.clone()).because(error)
    };
    let key_columns: Vec<String> =
        key.iter().map(|field| quote::ident(&table.columns[*field].target)).collect();
    let matched: Vec<String> = key_columns.iter().map(|column| format!("t.{column} = k.{column}")).collect();
    let transaction = connection.client_mut().transaction().await.map_err(fail)?;
    let sql = format!(
        "CREATE TEMPORARY TABLE {KEYS} ON COMMIT DROP AS SELECT {} FROM {name} LIMIT 0",
        key_columns.join(", ")
    );
    transaction.batch_execute(&sql).await.map_err(fail)?;
    let mut batch = Rows::new(0, key.len());
    keys.iter().flatten().for_each(|value| batch.push(value.borrow()));
    let mut out = BytesMut::from(HEADER);
    batch.iter().for_each(|row| copy_encode::target_row(row, &mut out));
    send(&transaction, &format!("COPY pg_temp.{KEYS} FROM STDIN (FORMAT binary)"), table, out).await?;
    let sql = format!("DELETE FROM {name} t USING pg_temp.{KEYS} k WHERE {}", matched.join(" AND "));
    transaction.batch_execute(&sql).await.map_err(fail)?;
    let fields = copy_encode::fields(table);
    let columns: Vec<String> =
        fields.iter().map(|field| quote::ident(&table.columns[field.index].target)).collect();
    let sql = format!("COPY {name} ({}) FROM STDIN (FORMAT binary)", columns.join(", "));
    copy(&transaction, &sql, table, &fields, rows).await?;
    transaction.commit().await.map_err(fail)
}

async fn copy(
    transaction: &tokio_postgres::Transaction<'_>,
    sql: &str,
    table: &TablePlan,
    fields: &[Field],
    rows: &Rows,
) -> Result<()> {
    let (mut out, mut scratch) = (BytesMut::from(HEADER), Vec::new());
    for row in rows.iter() {
        // What does not fit is in quarantine: NULL stands in its place.
        let as_null = |at: usize| {
            let codec = fields.iter().find(|field| field.index == at).map(|field| &field.codec);
            codec.is_some_and(|codec| codec.encode(row.value(at), &mut Vec::new()).is_err())
        };
        if let Err(misfit) = copy_encode::row(row, fields, &mut scratch, as_null, &mut out) {
            return Err(Error::new(Kind::Internal, OPERATION)
                .table(table.source.clone())
                .detail(misfit.unfit.0));
        }
    }
    send(transaction, sql, table, out).await
}

async fn send(
    transaction: &tokio_postgres::Transaction<'_>,
    sql: &str,
    table: &TablePlan,
    mut out: BytesMut,
) -> Result<()> {
    let fail = |error: tokio_postgres::Error| {
        super::error::classify(&error, OPERATION).table(table.source.clone()).because(error)
    };
    let sink = transaction.copy_in::<_, Bytes>(sql).await.map_err(fail)?;
    let mut sink = std::pin::pin!(sink);
    out.extend_from_slice(&TRAILER);
    sink.send(out.freeze()).await.map_err(fail)?;
    sink.finish().await.map_err(fail)?;
    Ok(())
}
