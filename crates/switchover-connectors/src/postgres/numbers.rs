//! The numbers that a user's query gives, for a guard. It is asked in a transaction that only reads.

use super::config::PgConfig;
use super::connect::connect;
use super::error::classify;
use switchover_core::{Error, Kind, Result};
use tokio_postgres::SimpleQueryMessage;

/// A guard asks once a window: what takes longer says nothing. Names are found as the role's own sessions find them.
const READ_ONLY: &str =
    "RESET search_path; SET statement_timeout = '3s'; SET default_transaction_read_only = on";

const OPERATION: &str = "ask a guard's query";

/// The numbers of the query's only row. [`Kind::Rejected`] when it has no row, more than one, or something else than numbers.
pub async fn numbers(config: &PgConfig, query: &str) -> Result<Vec<f64>> {
    let connection = connect(config).await?;
    let fail = |error| classify(&error, OPERATION).store(connection.label()).because(error);
    connection.client().batch_execute(READ_ONLY).await.map_err(fail)?;
    // By text, whatever type of number it is.
    let messages = connection.client().simple_query(query).await.map_err(fail)?;
    let rows: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect();
    let wrong = |detail| Err(Error::new(Kind::Rejected, OPERATION).store(connection.label()).detail(detail));
    let row = match rows.as_slice() {
        [row] => row,
        [] => return wrong("it gives no row"),
        _ => return wrong("it gives more than one row"),
    };
    let numbers = (0..row.len()).map(|at| row.get(at).and_then(|text| text.parse().ok()));
    match numbers.collect() {
        Some(numbers) => Ok(numbers),
        None => wrong("it gives something else than numbers"),
    }
}
