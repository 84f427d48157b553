//! Mending single rows that a verification found to differ: by key, in one transaction.

use super::connect::Connection;
use super::copy_encode::{self, Field, HEADER};
use super::{keys, quote};
use bytes::BytesMut;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "repair rows of the target";

/// Removes the rows of the given keys (the target's own values) and inserts `rows` (the source's).
pub(super) async fn repair(
    connection: &mut Connection,
    plan: &Plan,
    index: usize,
    rows: &Rows,
    keys: &[Vec<OwnedValue>],
) -> Result<()> {
    let table = &plan.tables[index];
    let name = quote::qualified(&plan.options.schema, &table.target);
    let fail = |error: tokio_postgres::Error| {
        super::error::classify(&error, OPERATION).table(table.source.clone()).because(error)
    };
    let transaction = connection.client_mut().transaction().await.map_err(fail)?;
    let matched = keys::load(&transaction, plan, index, keys, OPERATION).await?;
    let sql = format!("DELETE FROM {name} t USING {} k WHERE {matched}", keys::TABLE);
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
    keys::send(transaction, sql, table, out, OPERATION).await
}
