//! One direction of changes: read at one store, taken by the other, read back, forgotten.
//!
//! Invariants: the position moves only with the rows (the store that takes them sees to it); the log is forgotten
//! only behind a durable position (I2); a batch that was taken is read back and compared before it counts.
//! Every step may be repeated: a state is applied, not a history.

use super::ahead::{Ahead, Reading};
use super::check;
use super::pace;
use crate::progress::Progress;
use crate::retry;
use crate::settings::Retries;
use crate::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::connector::Position;
use switchover_core::live::{Beside, Changes, Limit, LiveStore, Side, TableChanges, decode, decode_keys};
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Remedy, Result, failpoint};
use tokio::time::Instant;

/// Entries of the log in one batch, as long as nothing asks for more: a transaction of some ten milliseconds.
pub(super) const BATCH_ENTRIES: u64 = 2_000;

/// Entries of the log in one batch where a backlog waits: fewer, longer transactions take it sooner. Larger ones were no quicker, and each
/// is in memory some five times: read, read ahead, on its way, read back, and what the allocator keeps of the last.
pub(super) const BATCH_ENTRIES_BEHIND: u64 = 5 * BATCH_ENTRIES / 2;

/// Entries of the log in the largest batch. A part of the log that only holds together as a whole is taken as
/// a whole up to here: at some hundred bytes a row it is still within the default memory limit.
pub(super) const BATCH_ENTRIES_MAX: u64 = 128_000;

/// That number, or the one that a test wants.
fn entries_max() -> u64 {
    failpoint::number("live-batch-entries-max", BATCH_ENTRIES_MAX)
}

/// How often a follower that may lose changes is given them at most.
const GIVEN_MAX: u32 = 4;

/// Batches that are remembered as tried: more are not under way behind one position, for each waits for the one before it.
const TRIED_MAX: usize = 16;

/// By how much a batch grows whose rows need changes that come later.
const GROWTH: u64 = 4;

/// One direction.
pub(super) struct Link {
    pub(super) plan: Arc<Plan>,
    /// The store that owns the data.
    pub(super) feed: Arc<dyn LiveStore>,
    /// The store that follows.
    pub(super) into: Arc<dyn LiveStore>,
    /// Which side the feed is.
    pub(super) from: Side,
    /// How far the follower is; `None` before anything was taken.
    pub(super) position: Option<Position>,
    /// Entries read at a time.
    pub(super) entries: u64,
    /// How far the follower may be as well: batches that were tried behind its position, and of which it is not known what came.
    pub(super) tried: Vec<Position>,
    /// Whether the follower was found where nobody led it: it was set back. What this process knows of it counts no more.
    pub(super) astray: bool,
    /// Whether a batch was, or may have been, taken that nobody has read back yet.
    pub(super) unread: bool,
    /// Whether the feed could not forget what was taken, because a writer was quicker.
    pub(super) owing: bool,
    /// What is read while a batch is taken.
    pub(super) ahead: Option<Ahead>,
    /// The tables that keep even the largest batch from being taken, when the last step failed for that.
    pub(super) stuck: Vec<usize>,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) shutdown: Shutdown,
    pub(super) retries: Retries,
}

/// What became of a batch.
enum Applied {
    /// It is taken.
    Done,
    /// The follower is at another position: the changes behind that are wanted.
    Elsewhere(Position),
}

/// What a write of the engine's own at the owner came to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Forgot {
    /// It is done, and took so long.
    Done(Duration),
    /// Writers held the lock for so long that it was left for later.
    Busy(Duration),
}

/// What a step did.
#[derive(Debug)]
pub(super) struct Step {
    /// The changes, in the feed's values.
    pub(super) changes: Changes,
    /// Rows written or removed.
    pub(super) rows: u64,
    /// Some rows may have been taken without what refers to others, until changes that come later: nobody read them back.
    pub(super) in_part: bool,
    /// What the owner's forgetting them came to, a commit of its own, like the application's; `None` when it had nothing to forget.
    pub(super) forgot: Option<Forgot>,
    /// How long the owner was read at a time, at most.
    pub(super) read: Duration,
    /// How long all of it took.
    pub(super) took: Duration,
    /// Before the owner was read, in microseconds since 1970.
    pub(super) read_at: u64,
}

impl Link {
    /// Asks the follower how far it is.
    pub(super) async fn locate(&mut self) -> Result<()> {
        let found = self.again(async || self.into.applied().await).await?;
        self.is_at(found);
        Ok(())
    }

    /// Takes note of where the follower is.
    fn is_at(&mut self, found: Option<Position>) {
        let led = found.as_ref().is_some_and(|found| self.tried.contains(found));
        self.astray |= self.position.is_some() && self.position != found && !led;
        self.position = found;
    }

    /// Whether the follower is where it was left: one that was set back is met by nothing else while there is nothing to give it.
    pub(super) async fn stands(&mut self) -> Result<bool> {
        let before = self.position.clone();
        self.locate().await?;
        Ok(self.position == before && !self.astray)
    }

    async fn again<T>(&self, work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        retry::again(self.retries, &*self.progress, &self.shutdown, work).await
    }

    /// Has the follower begin at a position, unless it has begun. Waits for writers there no longer than `patience` (`Busy` then).
    pub(super) async fn begin(&mut self, from: &Position, patience: Duration) -> Result<()> {
        self.locate().await?;
        if self.position.is_some() {
            return Ok(());
        }
        let begun = self.again(async || {
            let error = match self.into.begin(from, patience).await {
                Ok(()) => return Ok(from.clone()),
                Err(error) => error,
            };
            if error.kind().remedy() != Remedy::Retry && error.kind() != Kind::Changed {
                return Err(error);
            }
            // The answer may be lost and the work done: the position tells.
            match self.into.applied().await {
                Ok(Some(found)) => Ok(found),
                Ok(None) | Err(_) => Err(error),
            }
        });
        self.position = Some(begun.await?);
        Ok(())
    }

    /// Has the follower begin at a position, also where it stands elsewhere: while it owned the data itself, what it had taken before came to
    /// nothing.
    pub(super) async fn begin_anew(&mut self, from: &Position, patience: Duration) -> Result<()> {
        self.begin(from, patience).await?;
        let Some(before) = self.position.clone().filter(|found| found != from) else { return Ok(()) };
        match self.apply(&Changes::none(from.clone()), Some(&before)).await? {
            Applied::Done => self.position = Some(from.clone()),
            // This process alone writes it.
            Applied::Elsewhere(found) => {
                return Err(Error::new(Kind::Changed, "begin the way back")
                    .store(self.into.label())
                    .detail(format!("it stands at {} where {} was read", found.0, before.0)));
            }
        }
        Ok(())
    }

    /// Goes on where the follower is; what it has is forgotten by the feed.
    pub(super) async fn resume(&mut self) -> Result<()> {
        self.locate().await?;
        match self.position.clone() {
            Some(position) => self.settle(&position).await.map(drop),
            None => Err(Error::new(Kind::Internal, "take changes").detail("the follower never began")),
        }
    }

    /// Has the feed forget what the follower has.
    async fn settle(&mut self, upto: &Position) -> Result<Forgot> {
        let begun = Instant::now();
        let settled = self.again(async || self.feed.settle(upto).await).await;
        self.owing = matches!(&settled, Err(error) if error.kind() == Kind::Busy);
        match settled {
            // A writer was quicker: the next step forgets these entries too.
            Err(_) if self.owing => Ok(Forgot::Busy(begun.elapsed())),
            settled => settled.map(|()| Forgot::Done(begun.elapsed())),
        }
    }

    /// Takes the next batch. With `beside`, something is read at the batch's own read point.
    pub(super) async fn step(&mut self, beside: Option<&Beside>, read_back: bool) -> Result<Step> {
        if self.position.is_none() {
            // The follower could not be asked before.
            self.locate().await?;
        }
        let Some(mut after) = self.position.clone() else {
            return Err(self.without_position());
        };
        let started = Instant::now();
        let parts = if beside.is_some() { 2 } else { 1 };
        let mut limit = Limit { entries: self.entries.min(entries_max()), time_max: pace::read_max(parts) };
        self.stuck.clear();
        let mut read = Duration::ZERO;
        // What is wanted beside is read with the changes, of one moment.
        let mut ahead = self.ahead.take().filter(|_| beside.is_none());
        loop {
            let known = match ahead.take() {
                Some(ahead) => ahead.end(&after).await,
                None => None,
            };
            let Reading { mut changes, at: read_at, took } = match known {
                Some(known) => known,
                None => self.again(async || Reading::of(&*self.feed, &after, limit, beside).await).await?,
            };
            read = read.max(took);
            if changes.entries == 0 && changes.upto == after {
                let forgot = if self.owing { Some(self.settle(&after).await?) } else { None };
                let took = Duration::ZERO;
                return Ok(Step { changes, rows: 0, in_part: false, forgot, read, took, read_at });
            }
            failpoint::hit("live-read");
            let mine = match self.from {
                Side::Source => None,
                Side::Target => Some(self.in_source_values(&changes)?),
            };
            self.unread |= read_back;
            let next = Limit { entries: self.entries.min(entries_max()), time_max: pace::read_max(1) };
            let more = self.from == Side::Source && !changes.complete;
            self.ahead = more.then(|| Ahead::begin(&self.feed, &changes.upto, next));
            let rows = changes.tables.iter().map(|table| table.keys.len().max(table.rows.len()) as u64).sum();
            if self.tried.len() == TRIED_MAX {
                self.tried.remove(0);
            }
            self.tried.push(changes.upto.clone());
            let mut applied = self.apply(mine.as_ref().unwrap_or(&changes), Some(&after)).await;
            let apart = matches!(&applied, Err(error) if error.kind() == Kind::Rejected)
                && !changes.complete
                && limit.entries >= entries_max();
            // Such a store takes each row by itself. A row whose other half is behind the largest batch is taken without what refers to
            // it, as at the log's end: an entry that made it refer to that comes later still, and has the row written again; where none does, for the
            // row came before its parent, the next comparison writes it again.
            let in_part = apart && self.from == Side::Source && self.into.may_lose();
            if in_part {
                changes.complete = true;
                applied = self.apply(&changes, Some(&after)).await;
                changes.complete = false;
            }
            match applied {
                Ok(Applied::Done) => {}
                Ok(Applied::Elsewhere(found)) => {
                    self.is_at(Some(found.clone()));
                    after = found;
                    continue;
                }
                // Its other half may come later in the log.
                Err(error) if error.kind() == Kind::Rejected && !changes.complete => {
                    if limit.entries >= entries_max() {
                        return Err(self.too_many(&changes, error));
                    }
                    limit.entries = (limit.entries * GROWTH).min(entries_max());
                    // What only holds together as a whole is read as a whole, however long that takes.
                    limit.time_max = Limit::ANY_TIME;
                    continue;
                }
                Err(error) if error.kind() == Kind::Rejected && !read_back => {
                    return Err(self.in_the_way(&changes, error));
                }
                Err(error) => return Err(error),
            }
            failpoint::hit("live-applied");
            self.position = Some(changes.upto.clone());
            self.tried.clear();
            if read_back && !in_part {
                self.insist_on(mine.as_ref().unwrap_or(&changes)).await?;
                self.unread = false;
            }
            let forgot = Some(self.settle(&changes.upto).await?);
            failpoint::hit("live-settled");
            return Ok(Step { changes, rows, in_part, forgot, read, took: started.elapsed(), read_at });
        }
    }

    /// Nothing is taken before a position is there, so one that is not is a fault of this program; or of a source that was set back.
    fn without_position(&self) -> Error {
        let error = Error::new(Kind::Internal, "take changes").store(self.into.label());
        match self.from {
            Side::Source => error.detail("the follower has no position yet"),
            Side::Target => Error::new(Kind::Changed, "take changes")
                .store(self.into.label())
                .detail(
                    "the source was set back: it knows nothing of the target's log, which it did before the target became the owner. An older \
                     state of it was put in its place, such as a backup. Put its newest state back, and the run goes on by itself; where there is \
                     none, stop the engine, and `switchover finish --abandon-source` ends the run with the target alone, which has every row",
                )
                .hint("put the newest state of the source back; the target has every row"),
        }
    }

    /// The largest batch was rejected, and its other half may still be behind it: says so, and which tables that concerns. Those
    /// that the rejection names, for without their unique indexes and foreign keys they need no other half.
    fn too_many(&mut self, changes: &Changes, rejection: Error) -> Error {
        if self.from == Side::Target || !self.into.is_about_others(&rejection) {
            return rejection;
        }
        self.stuck = self.named(changes, &rejection);
        let why = format!(
            "{}; it may need changes that come later, and more wait than are taken at once",
            rejection.why()
        );
        rejection
            .detail(why)
            .hint("the table is copied again; where it stays so, take the run back with `switchover rollback`, and start again")
    }

    /// A batch was rejected for other rows before the follower was ever found equal: it may hold some of which the source, where it was set
    /// back while no engine looked, knows nothing. Says so, and which tables that concerns.
    fn in_the_way(&mut self, changes: &Changes, rejection: Error) -> Error {
        if self.from == Side::Source && self.into.is_about_others(&rejection) {
            self.stuck = self.named(changes, &rejection);
        }
        rejection
    }

    /// The tables that a rejection names, or else all that were changed.
    fn named(&self, changes: &Changes, rejection: &Error) -> Vec<usize> {
        let (about, schema) = (&rejection.subject().table, &self.plan.options.schema);
        let is_named =
            |table: &TablePlan| table.source == *about || format!("{schema}.{}", table.target) == *about;
        let tables = &self.plan.tables;
        let named: Vec<usize> = (0..tables.len()).filter(|at| is_named(&tables[*at])).collect();
        match named.is_empty() {
            true => changes.tables.iter().map(|changed| changed.table).collect(),
            false => named,
        }
    }

    /// Applies a batch once, whatever becomes of the acknowledgement.
    async fn apply(&self, changes: &Changes, after: Option<&Position>) -> Result<Applied> {
        self.again(async || {
            let error = match self.into.apply(changes, after).await {
                Ok(()) => return Ok(Applied::Done),
                Err(error) => error,
            };
            if error.kind().remedy() != Remedy::Retry && error.kind() != Kind::Changed {
                return Err(error);
            }
            // The answer may be lost and the work done: the position tells.
            match self.into.applied().await {
                Ok(Some(found)) if found == changes.upto => Ok(Applied::Done),
                Ok(found) if found.as_ref() == after => Err(error),
                // This process alone writes it: an earlier batch was taken whose answer nobody waited for, or the store was set back.
                Ok(Some(found)) => Ok(Applied::Elsewhere(found)),
                Ok(None) | Err(_) => Err(error),
            }
        })
        .await
    }

    /// The target's changes as the source would hold them.
    fn in_source_values(&self, changes: &Changes) -> Result<Changes> {
        let mut mine = Changes {
            complete: changes.complete,
            entries: changes.entries,
            behind: changes.behind,
            ..Changes::none(changes.upto.clone())
        };
        for changed in &changes.tables {
            let table = &self.plan.tables[changed.table];
            let mut rows = Rows::new(0, table.columns.len());
            decode(table, &changed.rows, &mut rows)?;
            let keys = decode_keys(table, &changed.keys)?;
            mine.tables.push(TableChanges { table: changed.table, keys, rows, whole: changed.whole });
        }
        Ok(mine)
    }

    /// That the follower holds what it was given. One that may lose what it acknowledged is given it again first.
    async fn insist_on(&self, changes: &Changes) -> Result<()> {
        for _ in 1..GIVEN_MAX {
            match self.read_back(changes).await {
                Err(error) if error.kind() == Kind::Different && self.into.may_lose() => {
                    self.apply(changes, Some(&changes.upto)).await?;
                }
                compared => return compared,
            }
        }
        self.read_back(changes).await
    }

    /// Compares what the follower holds now with what it was given, in the source's values.
    async fn read_back(&self, changes: &Changes) -> Result<()> {
        // Rows without keys are found by nothing.
        for changed in changes.tables.iter().filter(|changed| !changed.keys.is_empty()) {
            let index = changed.table;
            let (plan, into, keys) = (&self.plan, &*self.into, &changed.keys);
            let found = self
                .again(async || match self.from {
                    Side::Source => check::of_target(plan, index, into, keys).await,
                    Side::Target => check::of_source(plan, index, into, keys).await,
                })
                .await?;
            let expected = check::digests(&self.plan.tables[index], Side::Source, &changed.rows);
            if let Some(difference) = check::first_difference(&expected, &found) {
                return Err(check::different(
                    &self.plan.tables[index],
                    (self.from, &self.into.label()),
                    difference,
                    &changed.rows,
                ));
            }
        }
        Ok(())
    }
}
