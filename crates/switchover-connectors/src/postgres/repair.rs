//! Mending single rows that a verification found to differ: by key, in one transaction.

use super::connect::Connection;
use super::copy_encode::{self, Field, HEADER};
use super::{keys, quote};
use bytes::BytesMut;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "repair rows of the target";

/// The session's own table that holds the rows as they should be.
const ROWS: &str = "_switchover_rows";

/// Removes the rows of the given keys (the target's own values) unless `rows` (the source's) has
/// them, and writes those over what is there.
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
    let fields = copy_encode::fields(table);
    let columns: Vec<String> =
        fields.iter().map(|field| quote::ident(&table.columns[field.index].target)).collect();
    let listed = columns.join(", ");
    let sql = format!("CREATE TEMPORARY TABLE {ROWS} ON COMMIT DROP AS SELECT {listed} FROM {name} LIMIT 0");
    transaction.batch_execute(&sql).await.map_err(fail)?;
    let sql = format!("COPY pg_temp.{ROWS} ({listed}) FROM STDIN (FORMAT binary)");
    copy(&transaction, &sql, table, &fields, rows).await?;
    let key: Vec<String> =
        table.key_fields().iter().map(|field| quote::ident(&table.columns[*field].target)).collect();
    // A row that other rows refer to cannot go for a moment: only what the source lacks is removed, and
    // what both have is changed in place.
    let same: Vec<String> = key.iter().map(|column| format!("r.{column} = k.{column}")).collect();
    let sql = format!(
        "DELETE FROM {name} t USING {} k WHERE {matched}
            AND NOT EXISTS (SELECT 1 FROM pg_temp.{ROWS} r WHERE {})",
        keys::TABLE,
        same.join(" AND ")
    );
    transaction.batch_execute(&sql).await.map_err(fail)?;
    let set: Vec<String> = (columns.iter().filter(|column| !key.contains(column)))
        .map(|column| format!("{column} = EXCLUDED.{column}"))
        .collect();
    let otherwise =
        if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
    let sql = format!(
        "INSERT INTO {name} ({listed}) OVERRIDING SYSTEM VALUE SELECT {listed} FROM pg_temp.{ROWS}
            ON CONFLICT ({}) DO {otherwise}",
        key.join(", ")
    );
    transaction.batch_execute(&sql).await.map_err(fail)?;
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
