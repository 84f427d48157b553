//! The modelled world: two stores, their logs, and the faults between them and the engine.
//!
//! A store's call is atomic, as a transaction is; a fault happens before it (nothing was done) or after it (all was
//! done, and nobody was told). The application's writes are recorded in one order, the world's own: `truth` is what
//! they say the data is, whichever store took them.

use super::back::Backs;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use switchover_core::connector::Position;
use switchover_core::live::{Ownership, Side};
use switchover_core::{Error, Kind, Result};
use tokio::sync::Notify;

/// A row's content: a value that no two rows of a table may share, and another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) unique: i64,
    pub(super) value: i64,
}

/// Calls that are remembered.
const HISTORY: usize = 60;

/// Entries of one log: more than a story has, so that a number tells which log it is of.
const LOG: u64 = 1_000_000;

/// Crashes in one story: then its engines live long enough to reach its end.
const CRASHES_MAX: u64 = 12;

/// The tables of the model.
pub(super) const TABLES: usize = 2;

pub(super) type Data = [BTreeMap<i64, Row>; TABLES];

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers for the same seed, everywhere.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        times > 0 && self.below(times) == 0
    }
}

/// How often what goes wrong: once in so many calls; 0 is never.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// The call fails, and nothing was done.
    pub(super) error: u64,
    /// The call is done, and its answer is lost.
    pub(super) lost: u64,
    /// The call fails, and is done later, when nobody waits for it.
    pub(super) late: u64,
    /// The call takes long.
    pub(super) stall: u64,
    /// The engine's process ends, before the call or after it.
    pub(super) crash: u64,
}

/// Where rows lie, by key: what another program calls a rowid.
pub(super) type Places = [BTreeMap<i64, i64>; TABLES];

/// A change log and who may write past it.
#[derive(Debug, Clone, Default)]
pub(super) struct Side1 {
    pub(super) data: Data,
    /// Of the source only.
    pub(super) places: Places,
    /// How often all rows were given other places, without a word in the log.
    pub(super) vacuums: u64,
    /// The same, as it was when the capture was made.
    pub(super) vacuums_known: u64,
    /// Number, table, key.
    pub(super) log: Vec<(u64, usize, i64)>,
    pub(super) next: u64,
    pub(super) captured: bool,
    /// Tables whose trigger is gone although this run made it.
    pub(super) lost: BTreeSet<usize>,
    pub(super) fenced: bool,
    /// Finished with: the application has no way to it any more. Nothing in a store could keep it away.
    pub(super) retired: bool,
    pub(super) entered: bool,
    pub(super) attempt: i64,
    pub(super) applied: Option<Position>,
    /// Entries of the log up to this one were forgotten.
    pub(super) settled: u64,
    /// Of the target only: its mark, which grows with each reading, and that of the last position up to which the log was forgotten.
    pub(super) mark: u64,
    pub(super) settled_mark: u64,
}

impl Side1 {
    /// A row is written: it stays where it is, or goes to the end as one that was deleted and put in again, or into a hole.
    fn place(&mut self, table: usize, key: i64, dice: &mut Dice) {
        let places = &mut self.places[table];
        let end = places.values().max().map_or(1, |last| last + 1);
        let stays = places.contains_key(&key) && !dice.one_in(3);
        if !stays {
            let free = |at: &i64| !places.values().any(|taken| taken == at);
            let hole = (1..end).find(free).filter(|_| dice.one_in(4));
            places.insert(key, hole.unwrap_or(end));
        }
    }

    /// Rows that the engine took have a place too: those put in lie behind all others.
    pub(super) fn lie(&mut self) {
        for (places, rows) in self.places.iter_mut().zip(&self.data) {
            places.retain(|key, _| rows.contains_key(key));
            let end = places.values().max().map_or(1, |last| last + 1);
            let new: Vec<i64> = rows.keys().filter(|key| !places.contains_key(key)).copied().collect();
            places.extend(new.into_iter().zip(end..));
        }
    }

    /// The next capture makes another log.
    pub(super) fn another_log(&mut self) {
        self.next = (self.next / LOG + 1) * LOG + 1;
        self.settled = self.next - 1;
    }

    /// Whether a position is of a log that was there before.
    pub(super) fn is_of_another_log(&self, number: u64) -> bool {
        number / LOG != self.next / LOG
    }

    /// Gives the rows the first places, in the order in which they lie.
    pub(super) fn vacuum(&mut self) {
        for places in &mut self.places {
            let mut keys: Vec<(i64, i64)> = places.iter().map(|(key, place)| (*place, *key)).collect();
            keys.sort_unstable();
            *places = keys.into_iter().zip(1..).map(|((_, key), place)| (key, place)).collect();
        }
        self.vacuums += 1;
    }
}

/// Everything.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) source: Side1,
    pub(super) target: Side1,
    pub(super) ownership: Ownership,
    /// The target holds no decision row any more, as before the run. `ownership` is then what it last said.
    pub(super) left: bool,
    /// Nor any other record of the run.
    pub(super) forgotten: bool,
    pub(super) checkpoints: Vec<switchover_core::chunk::Checkpoint>,
    pub(super) steps: BTreeSet<String>,
    /// Unique values hold on the target.
    pub(super) uniques: bool,
    /// Keys of which the target holds more than one row, until it makes an index of them.
    pub(super) repeats: BTreeSet<(usize, i64)>,
    /// Rows that came twice, and tables that went back to copy because rows may lie elsewhere, so far.
    pub(super) moved: [u64; 2],
    /// Once in so many readings, the source is vacuumed before; 0 is never.
    pub(super) vacuum: u64,
    /// The target has no transactions, and never owns the data.
    pub(super) loose: bool,
    /// What the acknowledged writes say.
    pub(super) truth: Data,
    /// Writes that were acknowledged, by store.
    pub(super) acknowledged: [u64; 2],
    /// What must not have happened.
    pub(super) violations: Vec<String>,
    /// Calls that the engines made.
    pub(super) calls: u64,
    pub(super) crashes: u64,
    /// Stores that are set back.
    pub(super) backs: Backs,
    /// The newest calls, up to the first violation, for whoever looks for its reason.
    pub(super) history: VecDeque<String>,
    /// Which guard of the model is left out, to see that the checks notice.
    pub(super) broken: Broken,
}

/// Guards that a test takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Broken {
    /// None.
    #[default]
    Nothing,
    /// The source's fence lets writes through.
    Fence,
    /// A fence goes up although nobody proposes a change any more.
    LateFence,
    /// Writes of an engine that was taken over count.
    Attempt,
    /// The position is not compared when changes are taken.
    Position,
    /// The log is forgotten one entry too far.
    Settle,
    /// The decision row is written without comparing.
    Decision,
    /// A lost capture is not noticed.
    Capture,
    /// Deleted rows stay where changes are taken.
    Deletes,
    /// Nobody waits for what is late at a target without transactions.
    Late,
    /// An engine enters a target that the run has left.
    Left,
    /// That rows were given other places is not noticed.
    Places,
    /// Nobody looks whether the target has the mark of the position.
    Mark,
    /// The mark's commit does not wait for the disk.
    MarkSoon,
    /// Nobody looks whether what a follower lacks was forgotten.
    Forgotten,
}

/// A handle on the world for one engine process, or for the application.
#[derive(Debug, Clone)]
pub(super) struct World {
    inner: Arc<Mutex<Inner>>,
    /// Told when this process is to end.
    crash: Arc<Notify>,
    dead: Arc<AtomicBool>,
    pub(super) attempt: i64,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults, broken: Broken) -> World {
        let inner = Inner {
            dice: Dice::new(seed),
            faults,
            source: Side1 { next: 1, ..Side1::default() },
            target: Side1 { next: 1, ..Side1::default() },
            ownership: Ownership::FIRST,
            left: false,
            forgotten: false,
            checkpoints: Vec::new(),
            steps: BTreeSet::new(),
            uniques: false,
            repeats: BTreeSet::new(),
            moved: [0; 2],
            vacuum: 0,
            loose: false,
            truth: Data::default(),
            acknowledged: [0; 2],
            violations: Vec::new(),
            calls: 0,
            crashes: 0,
            backs: Backs::default(),
            history: VecDeque::new(),
            broken,
        };
        World { inner: Arc::new(Mutex::new(inner)), crash: Arc::default(), dead: Arc::default(), attempt: 0 }
    }

    /// The same world for another process.
    pub(super) fn process(&self, attempt: i64) -> World {
        World { inner: Arc::clone(&self.inner), crash: Arc::default(), dead: Arc::default(), attempt }
    }

    pub(super) fn look(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when this process is to end.
    pub(super) async fn crashed(&self) {
        self.crash.notified().await;
    }

    /// Whether this process has ended.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// One call of an engine on a store, with whatever goes wrong.
    pub(super) async fn call<T>(&self, what: &str, work: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        let (pause, error, before) = {
            let mut inner = self.look();
            inner.calls += 1;
            let faults = inner.faults;
            let stall = inner.dice.one_in(faults.stall);
            let pause = if stall { 1 + inner.dice.below(400) } else { inner.dice.below(3) };
            let crash = inner.crashes < CRASHES_MAX && inner.dice.one_in(faults.crash);
            (pause, inner.dice.one_in(faults.error), crash)
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if before {
            self.die().await;
        }
        if error {
            return Err(Error::new(Kind::Unavailable, what).detail("the connection broke before the work"));
        }
        let (done, lost, after) = {
            let mut inner = self.look();
            let done = work(&mut inner);
            let outcome = done.as_ref().err().map_or("done", |error| error.why()).to_owned();
            inner.remember(format!("engine {}: {what}: {outcome}", self.attempt));
            let faults = inner.faults;
            let crash = inner.crashes < CRASHES_MAX && inner.dice.one_in(faults.crash);
            (done, inner.dice.one_in(faults.lost), crash)
        };
        tokio::time::sleep(Duration::from_millis(pause / 2)).await;
        if after {
            self.die().await;
        }
        if lost && done.is_ok() {
            return Err(Error::new(Kind::Unavailable, what).detail("the connection broke before the answer"));
        }
        done
    }

    /// Whether the next request arrives when nobody waits for it any more.
    pub(super) fn is_late(&self) -> bool {
        let mut inner = self.look();
        let late = inner.faults.late;
        inner.dice.one_in(late)
    }

    /// Whether a fence comes late, where that is what is looked for: by chance alone it is rare.
    pub(super) fn is_fence_late(&self) -> bool {
        let mut inner = self.look();
        inner.broken == Broken::LateFence && inner.dice.one_in(2)
    }

    /// Loses the connection to a request that is done later all the same.
    pub(super) fn later<T>(
        &self,
        what: &str,
        work: impl FnOnce(&mut Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.within(LATE_MAX, what, work)
    }

    /// The same, done within some time.
    pub(super) fn within<T>(
        &self,
        most: Duration,
        what: &str,
        work: impl FnOnce(&mut Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let world = self.clone();
        let (wait, downs) = {
            let mut inner = world.look();
            (inner.dice.below(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)), inner.backs.downs)
        };
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let mut inner = world.look();
            if inner.backs.downs != downs {
                return;
            }
            // What came of it is nobody's to know.
            let outcome = work(&mut inner).err().map_or("done".into(), |error| error.to_string());
            inner.remember(format!("late request: {outcome}"));
        });
        Err(Error::new(Kind::Unavailable, what).detail("the connection broke while it worked"))
    }

    /// The process ends here: nothing after this line of it ever runs.
    pub(super) async fn die(&self) {
        self.look().crashes += 1;
        self.dead.store(true, Ordering::SeqCst);
        self.crash.notify_one();
        std::future::pending::<()>().await;
    }
}

/// How late a request can come to a store that orders it behind what came before.
const LATE_MAX: Duration = Duration::from_secs(5);

impl Inner {
    pub(super) fn remember(&mut self, what: String) {
        if self.violations.is_empty() {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(format!("{what} (epoch {})", self.ownership.epoch));
        }
    }

    pub(super) fn side(&mut self, side: Side) -> &mut Side1 {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    /// Refuses an engine that another one followed.
    pub(super) fn check_attempt(&mut self, side: Side, attempt: i64) -> Result<()> {
        let newest = self.side(side).attempt;
        if newest > attempt && self.broken != Broken::Attempt {
            return Err(Error::new(Kind::Busy, "write").detail("another process has taken the run over"));
        }
        Ok(())
    }

    /// Whether a store takes the application's writes.
    pub(super) fn accepts(&self, side: Side) -> bool {
        match side {
            Side::Source => !self.source.retired && (!self.source.fenced || self.broken == Broken::Fence),
            Side::Target => {
                self.target.entered && self.ownership.owner == Side::Target && !self.target.fenced
            }
        }
    }

    /// The application's transaction on a store: rows written or removed, all or nothing. `false` when the store
    /// refuses it.
    pub(super) fn write(&mut self, side: Side, rows: &[(usize, i64, Option<Row>)]) -> bool {
        if !self.accepts(side) {
            return false;
        }
        let mut data = self.side(side).data.clone();
        for (table, key, row) in rows {
            match row {
                Some(row) => data[*table].insert(*key, *row),
                None => data[*table].remove(key),
            };
        }
        if !is_unique(&data) {
            return false;
        }
        let truth = self.truth.clone();
        if self.side(side).data != truth && !self.has_all_before(side) {
            let store = self.side(side).data.clone();
            let other: Vec<String> = (0..TABLES)
                .flat_map(|table| (0..100).map(move |key| (table, key)))
                .filter(|(table, key)| store[*table].get(key) != truth[*table].get(key))
                .map(|(table, key)| {
                    format!(
                        "{table}/{key}: {:?}, acknowledged {:?}",
                        store[table].get(&key),
                        truth[table].get(&key)
                    )
                })
                .collect();
            self.violations.push(format!(
                "the {side} took a write although it does not hold what was acknowledged before: {}",
                other.join("; ")
            ));
        }
        let soon = self.is_soon();
        if soon {
            self.soon(side);
        }
        let mut dice = self.dice.clone();
        let store = self.side(side);
        store.data = data;
        for (table, key, row) in rows {
            match row {
                Some(_) => store.place(*table, *key, &mut dice),
                None => drop(store.places[*table].remove(key)),
            }
        }
        self.dice = dice;
        let store = self.side(side);
        if store.captured {
            for (table, key, _) in rows {
                if !store.lost.contains(table) {
                    store.log.push((store.next, *table, *key));
                    store.next += 1;
                }
            }
        }
        for (table, key, row) in rows {
            match row {
                Some(row) => self.truth[*table].insert(*key, *row),
                None => self.truth[*table].remove(key),
            };
        }
        if !soon {
            self.sure(side);
        }
        self.remember(format!("the {side} takes {rows:?}"));
        self.acknowledged[usize::from(side == Side::Target)] += 1;
        true
    }
}

/// Whether no unique value is there twice.
pub(super) fn is_unique(data: &Data) -> bool {
    data.iter().all(|table| {
        let values: BTreeSet<i64> = table.values().map(|row| row.unique).collect();
        values.len() == table.len()
    })
}
