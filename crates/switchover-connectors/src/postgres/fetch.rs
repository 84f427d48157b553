//! Looking single rows up by their keys, with the target's own values.

use super::connect::Connection;
use super::copy_decode::Decoder;
use super::{keys, quote};
use futures_util::StreamExt;
use switchover_core::Result;
use switchover_core::plan::{LogicalType, Plan};
use switchover_core::value::{OwnedValue, Rows};

const OPERATION: &str = "look up rows of the target";

/// The rows with these keys, in any order.
pub(super) async fn rows(
    connection: &mut Connection,
    plan: &Plan,
    index: usize,
    wanted: &[Vec<OwnedValue>],
) -> Result<Rows> {
    let table = &plan.tables[index];
    let mut rows = Rows::new(0, table.columns.len());
    if wanted.is_empty() {
        return Ok(rows);
    }
    let fail = |error: tokio_postgres::Error| {
        super::error::classify(&error, OPERATION).table(table.source.clone()).because(error)
    };
    let transaction = connection.client_mut().transaction().await.map_err(fail)?;
    let matched = keys::load(transaction.client(), plan, index, wanted, OPERATION).await?;
    let columns: Vec<String> =
        table.columns.iter().map(|column| format!("t.{}", quote::ident(&column.target))).collect();
    let sql = format!(
        "COPY (SELECT {} FROM {} t JOIN {} k ON {matched}) TO STDOUT (FORMAT binary)",
        columns.join(", "),
        quote::qualified(&plan.options.schema, &table.target),
        keys::TABLE
    );
    let types: Vec<LogicalType> = table.columns.iter().map(|column| column.r#type).collect();
    let mut decoder = Decoder::new(types);
    let stream = transaction.copy_out(&sql).await.map_err(fail)?;
    let mut stream = std::pin::pin!(stream);
    while let Some(message) = stream.next().await {
        let message = message.map_err(fail)?;
        decoder.message(message, &mut rows).map_err(|error| error.table(table.source.clone()))?;
    }
    transaction.rollback().await.map_err(fail)?;
    Ok(rows)
}
