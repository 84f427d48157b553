//! The numbers that a user's query gives, for a guard. Absent on purpose: writing; the file is opened to be read.

use super::config::SqliteConfig;
use super::error::classify;
use super::open::open_with;
use crate::blocking::blocking;
use rusqlite::types::ValueRef;
use std::time::{Duration, Instant};
use switchover_core::{Error, Kind, Result};

/// How long a query may take: a guard asks once a window.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Instructions of SQLite's machine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;

const OPERATION: &str = "ask a guard's query";

/// The numbers of the query's only row. [`Kind::Rejected`] when it has no row, more than one, or something else than numbers.
pub async fn numbers(config: &SqliteConfig, query: &str) -> Result<Vec<f64>> {
    blocking(|| {
        let mut connection = open_with(config, TIMEOUT)?;
        let end = Instant::now() + TIMEOUT;
        connection
            .progress_handler(LOOK_EVERY, Some(move || Instant::now() > end))
            .map_err(|error| classify(error, OPERATION, config.path()))?;
        read(&connection, query).map_err(|error| match error {
            Found::Wrong(detail) => {
                Error::new(Kind::Rejected, OPERATION).store(config.label()).detail(detail)
            }
            Found::Failed(error) => classify(error, OPERATION, config.path()),
        })
    })
}

/// What keeps a query from giving numbers.
enum Found {
    Wrong(&'static str),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Found {
    fn from(error: rusqlite::Error) -> Found {
        Found::Failed(error)
    }
}

fn read(connection: &rusqlite::Connection, query: &str) -> Result<Vec<f64>, Found> {
    let mut statement = connection.prepare(query)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Err(Found::Wrong("it gives no row")) };
    let mut numbers = Vec::with_capacity(columns);
    for at in 0..columns {
        match row.get_ref(at)? {
            // A threshold needs no more digits than binary64 has.
            ValueRef::Integer(number) => numbers.push(number as f64),
            ValueRef::Real(number) => numbers.push(number),
            ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => {
                return Err(Found::Wrong("it gives something else than numbers"));
            }
        }
    }
    match rows.next()? {
        Some(_) => Err(Found::Wrong("it gives more than one row")),
        None => Ok(numbers),
    }
}
