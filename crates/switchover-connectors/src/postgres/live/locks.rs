//! Waiting for all writers, or all users, of all tables, so that an application never loses by it.
//!
//! A transaction of the application's that has written to one table and comes to another waits for whoever holds that one. Were
//! that a fence which waits for the first, the server would end one of the two as a deadlock, and it ends the one that looks:
//! who has waited for `deadlock_timeout`. So a fence never holds a lock that the application waits for, and waits itself, for so long.
//!
//! Invariants: while the locks are gathered, a wait ends after a tenth of `deadlock_timeout`, and all that was gathered is let go
//! after a third of it; a wait for a vacuum, which gives way only after the whole of it, keeps nobody waiting and holds nothing.

use super::session::{Session, is_busy};
use crate::postgres::error::sqlstate;
use std::time::Duration;
use tokio::time::Instant;

/// How long the fence lets the application go on, when it gave way to it.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest wait of the fence in which the application's writers wait behind it, whatever the server is set to.
const WAIT_MAX_MS: u128 = 100;

/// The longest time in which locks are gathered, the same.
const GATHER_MAX_MS: u128 = 300;

/// Whom a lock keeps away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    /// Who writes.
    Writers,
    /// Who reads, too: a change that takes a constraint away needs it. To ask for more than is held already, with others waiting
    /// behind it, is a deadlock at once, so all of it is taken at the beginning.
    Everybody,
}

/// Keeps the application away from these tables until the end of the transaction, as soon as all of it that is meant is gone. The
/// last refusal when that took longer than `patience`.
pub(super) async fn without(
    away: Away,
    session: &Session,
    tables: &[String],
    patience: Duration,
) -> Result<(), tokio_postgres::Error> {
    if tables.is_empty() {
        return Ok(());
    }
    let mode = match away {
        Away::Writers => "SHARE ROW EXCLUSIVE",
        Away::Everybody => "ACCESS EXCLUSIVE",
    };
    let (client, until) = (session.client(), Instant::now() + patience);
    // Its unit is the millisecond.
    let sql = "SELECT setting::pg_catalog.int8 FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'";
    let deadlock: i64 = client.query_one(sql, &[]).await?.get(0);
    let deadlock = u128::try_from(deadlock).unwrap_or(1);
    loop {
        // At least a millisecond: zero would be for ever.
        let left = until.saturating_duration_since(Instant::now()).as_millis().clamp(1, 1 << 30);
        let calm: String = tables
            .iter()
            .map(|name| {
                format!("SAVEPOINT one; LOCK TABLE {name} IN SHARE UPDATE EXCLUSIVE MODE; ROLLBACK TO one; RELEASE one;")
            })
            .collect();
        let waits = |wait: u128, all: u128| {
            format!("SET LOCAL lock_timeout = {wait}; SET LOCAL statement_timeout = {all};")
        };
        let gather = format!(
            "SAVEPOINT all_of_them; {} LOCK TABLE {} IN {mode} MODE; {}",
            waits(
                (deadlock / 10).clamp(1, WAIT_MAX_MS).min(left),
                (deadlock / 3).clamp(1, GATHER_MAX_MS).min(left)
            ),
            tables.join(", "),
            waits(left, 0)
        );
        // A vacuum that the server began by itself is asked to go, one table at a time, with nothing held.
        client.batch_execute(&format!("{} {calm}", waits(left, left))).await?;
        let refused = match client.batch_execute(&gather).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !sqlstate(&refused).is_some_and(is_busy) || Instant::now() >= until {
            return Err(refused);
        }
        client.batch_execute("ROLLBACK TO all_of_them; RELEASE all_of_them").await?;
        tokio::time::sleep(PAUSE).await;
    }
}
