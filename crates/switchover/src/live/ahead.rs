//! Reading the next changes while those before them are taken.
//!
//! Invariants: the end of the log is never read ahead, for only a reading of that moment tells whether more waits behind it.
//! What was read ahead may be older than what the log holds by now: whatever changed since stands behind it in the log,
//! as with any batch that is not the last. It is used once, for the position that it was read for, by the link that began it.

use crate::clock;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::Result;
use switchover_core::connector::Position;
use switchover_core::live::{Beside, Changes, Limit, LiveStore};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Changes that were read.
pub(super) struct Reading {
    pub(super) changes: Changes,
    /// Before they were read, in microseconds since 1970.
    pub(super) at: u64,
    /// How long that took.
    pub(super) took: Duration,
}

impl Reading {
    /// Reads what is behind a position.
    pub(super) async fn of(
        feed: &dyn LiveStore,
        after: &Position,
        limit: Limit,
        beside: Option<&Beside>,
    ) -> Result<Reading> {
        let (at, begun) = (clock::micros(), Instant::now());
        let changes = feed.changes(after, limit, beside).await?;
        Ok(Reading { changes, at, took: begun.elapsed() })
    }
}

/// A reading that goes on; it ends with this.
pub(super) struct Ahead {
    after: Position,
    reading: JoinSet<Result<Reading>>,
}

impl Ahead {
    /// Begins to read what is behind a position.
    pub(super) fn begin(feed: &Arc<dyn LiveStore>, after: &Position, limit: Limit) -> Ahead {
        let (feed, after) = (Arc::clone(feed), after.clone());
        let mut reading = JoinSet::new();
        let from = after.clone();
        reading.spawn(async move { Reading::of(&*feed, &from, limit, None).await });
        Ahead { after, reading }
    }

    /// What was read, if it is behind this position and not the log's end. An error is left to who reads there now: it is met again.
    pub(super) async fn end(mut self, after: &Position) -> Option<Reading> {
        if self.after != *after {
            return None;
        }
        let read = self.reading.join_next().await?.ok()?.ok()?;
        (!read.changes.complete).then_some(read)
    }
}
