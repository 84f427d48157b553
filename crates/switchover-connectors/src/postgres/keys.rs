//! Many keys at once: a temporary table of them, loaded by COPY, to join with.
//!
//! No list in the statement's text: that has a limit, needs quoting, and is parsed again for each batch.
//! The table lives in one transaction and is seen by no other session.

use super::copy_encode::{self, HEADER, TRAILER};
use super::quote;
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use switchover_core::plan::{LogicalType, Plan};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::Client;

/// The session's own table that holds the keys.
pub(super) const TABLE: &str = "pg_temp._switchover_keys";

/// Makes and fills [`TABLE`] within the client's transaction; gives the condition by which `t`, the plan's table, and `k` meet.
pub(super) async fn load(
    client: &Client,
    plan: &Plan,
    index: usize,
    keys: &[Vec<OwnedValue>],
    operation: &str,
) -> Result<String> {
    let table = &plan.tables[index];
    let key = table.key_fields();
    if key.is_empty() {
        return Err(Error::new(Kind::Unsupported, operation)
            .table(table.source.clone())
            .detail("the table has no primary key to find rows by")
            .hint("roll the run back and migrate again"));
    }
    let columns: Vec<String> = key.iter().map(|field| quote::ident(&table.columns[*field].target)).collect();
    let sql = format!(
        "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0",
        TABLE.trim_start_matches("pg_temp."),
        columns.join(", "),
        quote::qualified(&plan.options.schema, &table.target)
    );
    client.batch_execute(&sql).await.map_err(|error| failed(error, &table.source, operation))?;
    let mut batch = Rows::new(0, key.len());
    keys.iter().flatten().for_each(|value| batch.push(value.borrow()));
    let mut out = BytesMut::from(HEADER);
    let types: Vec<LogicalType> = key.iter().map(|field| table.columns[*field].r#type).collect();
    batch.iter().for_each(|row| copy_encode::target_row(row, &types, &mut out));
    send(client, &format!("COPY {TABLE} FROM STDIN (FORMAT binary)"), &table.source, out, operation).await?;
    let equal: Vec<String> = columns.iter().map(|column| format!("t.{column} = k.{column}")).collect();
    Ok(equal.join(" AND "))
}

/// Sends the rows in `out`, which begins with COPY's header, and ends the stream.
pub(super) async fn send(
    client: &Client,
    sql: &str,
    table: &str,
    mut out: BytesMut,
    operation: &str,
) -> Result<()> {
    let fail = |error| failed(error, table, operation);
    let sink = client.copy_in::<_, Bytes>(sql).await.map_err(fail)?;
    let mut sink = std::pin::pin!(sink);
    out.extend_from_slice(&TRAILER);
    sink.send(out.freeze()).await.map_err(fail)?;
    sink.finish().await.map_err(fail)?;
    Ok(())
}

fn failed(error: tokio_postgres::Error, table: &str, operation: &str) -> Error {
    super::error::classify(&error, operation).table(table).because(error)
}
