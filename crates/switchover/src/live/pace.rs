//! How fast the run may go: a pause, a limit of rows a second, and patience with an owner that labours.
//!
//! What is seen of the owner (its write-ahead log, BUSY answers to the engine's own writes, the time of a commit, the log of
//! changes against what is taken of it) goes into [`decide`], which is pure; each unit of work is followed by the wait that
//! it decides. Invariants: the waits are short, so that an owner that labours for others' sake is followed all the same; who
//! is held back says so, and why. Absent: measuring, which is the engine's.

use super::link::BATCH_ENTRIES;
use super::status::{Cause, Slowed};
use crate::shutdown::Shutdown;
use async_trait::async_trait;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{Batch, Extent, Offenders, Position, ReadRequest, ReadTable, Snapshot};
use switchover_core::relation::Relations;
use switchover_core::schema::{Catalog, ForeignKey, Table};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result, failpoint};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Bytes of write-ahead log beyond which the engine lets the owner fold it back before it reads on. The bound that must
/// hold is 64 MiB; between two looks it grows by some megabytes.
const WAL_BYTES_MAX: u64 = 48 << 20;

/// The wait behind each read then: in it no read of the engine's is open, and a busy application commits many times, each of
/// which folds the log back.
const WAL_WAIT: Duration = Duration::from_millis(100);

/// The wait behind the first BUSY answer. Each further one doubles it, up to the other: a fraction of a second is nothing to a
/// run, and whoever holds the lock so long is not in its way more often.
const BUSY_WAIT: Duration = Duration::from_millis(25);
const BUSY_WAIT_MAX: Duration = Duration::from_millis(400);

/// The longest wait for a commit that took long: an owner that needs more does not need it because of the engine.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a read of the owner may take, in milliseconds, before it ends with the row that it is at: none is to be open for
/// more than 100 ms, and beginning and ending it take their part.
const READ_MAX_MS: u64 = 80;

/// How long each of so many parts of a read may take before it ends with the row that it is at. Not bounded: what only makes sense
/// as a whole, such as a table without a key, or a count.
pub(super) fn read_max(parts: u32) -> Duration {
    Duration::from_millis(failpoint::number("live-read-max-ms", READ_MAX_MS)) / parts.max(1)
}

/// What the engine is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Work {
    /// Copying: nothing is taken of the log of changes, so it grows, and the longer the slower the copy is. That is no reason to
    /// hold it back.
    #[default]
    Copying,
    /// Taking changes, and comparing rows beside.
    Following,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Limits {
    pub(super) paused: bool,
    pub(super) rows_per_s: Option<u64>,
    pub(super) commit_max: Option<Duration>,
}

/// What was seen of the owner last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Seen {
    /// Bytes of its write-ahead log's file.
    wal_bytes: u64,
    /// Whether they have become more since the look before. The file keeps its size when the log in it begins anew, so the
    /// size alone says nothing.
    wal_grows: bool,
    /// BUSY answers to the engine's own writes, one behind the other.
    busy: u32,
    /// How long the engine's last commit there took.
    commit: Duration,
    /// Changes in its log that are not taken.
    behind: u64,
    /// Whether they have become more since the look before.
    log_grows: bool,
}

/// How the work goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// The wait behind each unit of work.
    pub(super) wait: Duration,
    /// Whether rows are compared beside the changes.
    pub(super) compares: bool,
    /// Why it is held back; nothing when it is not.
    pub(super) slowed: Vec<Slowed>,
}

/// How the work goes on under these limits, with this seen of the owner.
fn decide(work: Work, limits: &Limits, seen: &Seen) -> Decision {
    let mut slowed = Vec::new();
    let mut slow = |cause, wait: Duration, why: String| {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        slowed.push(Slowed { cause, wait_ms, why });
        wait
    };
    let mut wait = Duration::ZERO;
    if seen.wal_bytes > WAL_BYTES_MAX && seen.wal_grows {
        let why = format!("the owner's write-ahead log has {} MB and grows", seen.wal_bytes / 1_000_000);
        wait = wait.max(slow(Cause::Wal, WAL_WAIT, why));
    }
    if seen.busy > 0 {
        let doubled = BUSY_WAIT.saturating_mul(2_u32.saturating_pow(seen.busy - 1)).min(BUSY_WAIT_MAX);
        let why = match seen.busy {
            1 => "a writer kept the engine from writing to the owner".to_owned(),
            times => {
                format!(
                    "writers kept the engine from writing to the owner {times} times, one behind the other"
                )
            }
        };
        wait = wait.max(slow(Cause::Busy, doubled, why));
    }
    if let Some(max) = limits.commit_max.filter(|max| seen.commit > *max) {
        let (took, max) = (seen.commit.as_millis(), max.as_millis());
        let why = format!("a commit on the owner took {took} ms, and commit_ms_max is {max}");
        wait = wait.max(slow(Cause::Commit, seen.commit.min(COMMIT_WAIT_MAX), why));
    }
    let compares = work == Work::Copying || seen.behind < BATCH_ENTRIES || !seen.log_grows;
    if !compares {
        let why = format!(
            "{} changes wait, and more come than are taken: no rows are compared meanwhile",
            seen.behind
        );
        slow(Cause::Log, Duration::ZERO, why);
    }
    Decision { wait, compares, slowed }
}

/// The limits, what was seen, and how much of the limits is used. Clones share all of it.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    limits: watch::Sender<Limits>,
    /// When the next rows may be taken.
    due: Arc<tokio::sync::Mutex<Instant>>,
    seen: Arc<Mutex<(Work, Seen)>>,
    /// What the look before saw, of the write-ahead log and of what waits.
    before: Arc<Mutex<Option<(u64, u64)>>>,
    /// The longest read of an owner, in microseconds.
    read_us_max: Arc<AtomicU64>,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            limits: watch::Sender::new(Limits::default()),
            due: Arc::new(tokio::sync::Mutex::new(Instant::now())),
            seen: Arc::default(),
            before: Arc::default(),
            read_us_max: Arc::default(),
        }
    }
}

impl Pace {
    pub(super) fn limits(&self) -> Limits {
        *self.limits.borrow()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Limits)) {
        self.limits.send_modify(change);
    }

    fn seen(&self) -> MutexGuard<'_, (Work, Seen)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine begins other work, or the other store is the owner now: what was seen before counts no more.
    pub(super) fn at_work(&self, work: Work) {
        *self.seen() = (work, Seen::default());
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How the work goes on.
    pub(super) fn decision(&self) -> Decision {
        let (work, seen) = *self.seen();
        decide(work, &self.limits(), &seen)
    }

    /// A look at the owner: its write-ahead log has so many bytes.
    pub(super) fn looked(&self, wal_bytes: u64) {
        let seen = &mut self.seen().1;
        let before =
            self.before.lock().unwrap_or_else(PoisonError::into_inner).replace((wal_bytes, seen.behind));
        seen.wal_bytes = wal_bytes;
        seen.wal_grows = before.is_some_and(|(wal, _)| wal_bytes > wal);
        seen.log_grows = before.is_some_and(|(_, behind)| seen.behind > behind);
    }

    /// A read of the owner took so long.
    pub(super) fn read(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.read_us_max.fetch_max(us, Ordering::Relaxed);
    }

    /// The longest read of an owner so far, in milliseconds.
    pub(super) fn read_ms_max(&self) -> f64 {
        self.read_us_max.load(Ordering::Relaxed) as f64 / 1e3
    }

    /// So many changes are left in the owner's log.
    pub(super) fn left(&self, behind: u64) {
        self.seen().1.behind = behind;
    }

    /// A write of the engine's own at the owner took so long.
    pub(super) fn wrote(&self, took: Duration) {
        let seen = &mut self.seen().1;
        (seen.busy, seen.commit) = (0, took);
    }

    /// One was not made, because a writer held the lock all the while.
    pub(super) fn met_busy(&self, took: Duration) {
        let seen = &mut self.seen().1;
        (seen.busy, seen.commit) = (seen.busy.saturating_add(1), took);
    }

    /// Waits until the run is not paused and the rows taken so far are within the limit.
    pub(super) async fn wait(&self) -> Result<()> {
        let mut limits = self.limits.subscribe();
        let gone = |error| Error::new(Kind::Internal, "wait for the pause to end").because(error);
        limits.wait_for(|limits| !limits.paused).await.map_err(gone)?;
        let due = *self.due.lock().await;
        tokio::select! {
            biased;
            () = sleep_until(due) => Ok(()),
            changed = limits.changed() => changed.map_err(gone),
        }
    }

    /// Rows were taken: the next ones wait until these are earned, and as long as the owner needs.
    pub(super) async fn took(&self, rows: u64) {
        let limit = self.limits().rows_per_s.filter(|limit| *limit > 0);
        let earned =
            limit.map_or(Duration::ZERO, |limit| Duration::from_secs_f64(rows as f64 / limit as f64));
        let wait = self.decision().wait;
        if wait > Duration::ZERO || earned > Duration::ZERO {
            let mut due = self.due.lock().await;
            *due = (*due).max(Instant::now()) + earned.max(wait);
        }
    }
}

/// A snapshot that is read no faster than the pace allows.
pub(super) struct Paced {
    pub(super) inner: Arc<dyn Snapshot>,
    pub(super) pace: Pace,
    /// What ends the waiting.
    pub(super) shutdown: Shutdown,
}

#[async_trait]
impl Snapshot for Paced {
    fn position(&self) -> Position {
        self.inner.position()
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.inner.catalog().await
    }

    async fn mapped(&self, relations: Arc<Relations>) -> Result<Arc<dyn Snapshot>> {
        self.inner.mapped(relations).await
    }

    async fn read(&self, request: ReadRequest, rows: Rows) -> Result<Batch> {
        tokio::select! {
            biased;
            waited = self.pace.wait() => waited?,
            () = self.shutdown.requested() => self.shutdown.check("copy the rows")?,
        }
        let begun = Instant::now();
        let batch = self.inner.read(request, rows).await?;
        self.pace.read(begun.elapsed());
        self.pace.took(batch.rows.len() as u64).await;
        Ok(batch)
    }

    async fn count(&self, table: &str) -> Result<u64> {
        self.inner.count(table).await
    }

    async fn orphans(&self, table: &Table, key: &ForeignKey, limit: usize) -> Result<Offenders> {
        self.inner.orphans(table, key, limit).await
    }

    async fn duplicates(
        &self,
        table: &Table,
        columns: &[(String, String)],
        limit: usize,
    ) -> Result<Offenders> {
        self.inner.duplicates(table, columns, limit).await
    }

    fn enforces_keys(&self) -> bool {
        self.inner.enforces_keys()
    }

    async fn place(&self, table: &str, locator: &LocatorValue) -> Result<Option<String>> {
        self.inner.place(table, locator).await
    }

    async fn extent(&self, table: &ReadTable) -> Result<Option<Extent>> {
        self.inner.extent(table).await
    }

    async fn fetch(&self, table: &ReadTable, locator: &LocatorValue) -> Result<Option<Vec<OwnedValue>>> {
        self.inner.fetch(table, locator).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Seen = Seen {
        wal_bytes: 4 << 20,
        wal_grows: true,
        busy: 0,
        commit: Duration::from_millis(3),
        behind: 10,
        log_grows: true,
    };

    const NONE: Limits = Limits { paused: false, rows_per_s: None, commit_max: None };

    /// The wait in milliseconds, whether rows are compared, and the reasons.
    fn decided(work: Work, limits: &Limits, seen: Seen) -> (u128, bool, Vec<Cause>) {
        let decision = decide(work, limits, &seen);
        let longest = decision.slowed.iter().map(|slowed| u128::from(slowed.wait_ms)).max();
        assert_eq!(longest.unwrap_or(0), decision.wait.as_millis(), "{decision:?}");
        let causes = decision.slowed.iter().map(|slowed| slowed.cause).collect();
        (decision.wait.as_millis(), decision.compares, causes)
    }

    #[test]
    fn an_owner_that_is_calm_holds_nothing_back() {
        for work in [Work::Copying, Work::Following] {
            assert_eq!(decided(work, &NONE, CALM), (0, true, vec![]));
        }
    }

    #[test]
    fn a_log_that_grows_beyond_its_bound_is_given_time_and_one_that_is_only_large_is_not() {
        for work in [Work::Copying, Work::Following] {
            let large = Seen { wal_bytes: WAL_BYTES_MAX + 1, ..CALM };
            assert_eq!(decided(work, &NONE, large), (100, true, vec![Cause::Wal]));
            assert_eq!(decided(work, &NONE, Seen { wal_grows: false, ..large }), (0, true, vec![]));
            assert_eq!(decided(work, &NONE, Seen { wal_bytes: WAL_BYTES_MAX, ..CALM }), (0, true, vec![]));
        }
    }

    #[test]
    fn each_busy_answer_doubles_the_wait_up_to_a_bound() {
        for (busy, wait) in [(1, 25), (2, 50), (3, 100), (5, 400), (6, 400), (u32::MAX, 400)] {
            for work in [Work::Copying, Work::Following] {
                assert_eq!(decided(work, &NONE, Seen { busy, ..CALM }), (wait, true, vec![Cause::Busy]));
            }
        }
    }

    #[test]
    fn a_commit_beyond_the_limit_is_waited_for_as_long_again() {
        let limits = Limits { commit_max: Some(Duration::from_millis(20)), ..NONE };
        let took = |ms| Seen { commit: Duration::from_millis(ms), ..CALM };
        for work in [Work::Copying, Work::Following] {
            assert_eq!(decided(work, &limits, took(20)), (0, true, vec![]));
            assert_eq!(decided(work, &limits, took(21)), (21, true, vec![Cause::Commit]));
            assert_eq!(decided(work, &limits, took(60_000)), (1_000, true, vec![Cause::Commit]));
            assert_eq!(decided(work, &NONE, took(60_000)), (0, true, vec![]), "nobody asked");
        }
    }

    #[test]
    fn changes_that_come_faster_than_they_are_taken_go_before_comparing() {
        let behind = Seen { behind: BATCH_ENTRIES, ..CALM };
        assert_eq!(decided(Work::Following, &NONE, behind), (0, false, vec![Cause::Log]));
        assert_eq!(decided(Work::Following, &NONE, Seen { log_grows: false, ..behind }), (0, true, vec![]));
        let few = Seen { behind: BATCH_ENTRIES - 1, ..behind };
        assert_eq!(decided(Work::Following, &NONE, few), (0, true, vec![]));
        // A slower copy would only have more to take afterwards.
        assert_eq!(decided(Work::Copying, &NONE, behind), (0, true, vec![]));
    }

    #[test]
    fn the_longest_of_several_waits_counts_and_all_are_told() {
        let limits = Limits { commit_max: Some(Duration::from_millis(20)), ..NONE };
        let seen =
            Seen { wal_bytes: 50 << 20, busy: 2, commit: Duration::from_millis(150), behind: 9_000, ..CALM };
        let all = vec![Cause::Wal, Cause::Busy, Cause::Commit, Cause::Log];
        assert_eq!(decided(Work::Following, &limits, seen), (150, false, all));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_seen_holds_the_next_unit_of_work_back_until_it_is_over() {
        let pace = Pace::default();
        let took = async |pace: &Pace| {
            let begun = Instant::now();
            pace.took(1).await;
            pace.wait().await.map(|()| begun.elapsed().as_millis())
        };
        let large = WAL_BYTES_MAX + 1;
        pace.looked(large);
        assert_eq!(took(&pace).await.ok(), Some(0), "one look says nothing of growth");
        pace.looked(large + 1);
        assert_eq!(took(&pace).await.ok(), Some(100));
        pace.looked(large + 1);
        assert_eq!(took(&pace).await.ok(), Some(0));
        pace.met_busy(Duration::from_millis(50));
        pace.met_busy(Duration::from_millis(50));
        assert_eq!(took(&pace).await.ok(), Some(50));
        pace.wrote(Duration::from_millis(1));
        assert_eq!(took(&pace).await.ok(), Some(0));
        pace.met_busy(Duration::from_millis(50));
        pace.at_work(Work::Following);
        assert_eq!(took(&pace).await.ok(), Some(0), "other work begins anew");
    }
}
