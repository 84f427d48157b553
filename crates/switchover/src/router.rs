//! For Rust programs: where each read and write goes, while the data moves.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), switchover::core::Error> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let state_dir = folder.path();
//! use switchover::router::{Options, Router};
//! use switchover::core::live::Side;
//!
//! let router = Router::follow(switchover::routing::route::default_path(state_dir), Options::default())?;
//!
//! // Waits while the owner changes. The permit says which store, and ends the write when it is dropped.
//! let permit = router.write(b"user:1").await?;
//! match permit.store() { Side::Source => { /* write to SQLite */ } Side::Target => { /* write to PostgreSQL */ } }
//! permit.check()?; // before the commit: the owner is still the same
//! drop(permit);    // after the commit
//!
//! // The owner, until the other store has what was written; then by share.
//! assert_eq!(router.read(b"user:1"), Side::Source);
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: permits and changes of the route exclude each other, so a write has the route of its permit or is refused; who is not
//! certain asks the owner. Bounded staleness: a change of the file is known after [`Options::poll`]; when the file could not be read for
//! [`Options::stale_after`], all reads go to the owner.
//! Absent on purpose: safety. The store's fence or gate refuses a write of a program whose route is old, with or without this.

mod decide;
mod follow;
pub mod shadow;
mod writers;

use crate::routing::route::{Progress, Route};
use decide::{Known, Term, Write, hash};
use shadow::{Counted, Counts, Shadows};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use switchover_core::live::Side;
use switchover_core::{Error, Kind, Result};
use tokio::sync::{Semaphore, watch};
use writers::{UnderWay, Written};

/// How a router behaves.
#[derive(Clone)]
pub struct Options {
    /// How often the file is looked at: how old a route can be.
    pub poll: Duration,
    /// After how long without a look at the file every read goes to the owner.
    pub stale_after: Duration,
    /// How long a write waits while the owner changes.
    pub patience: Duration,
    /// How far this machine's clock may be behind or before the engine's; it is added to the time of a write.
    pub clock_slack: Duration,
    /// Keys whose last write is remembered; beyond them reads stay at the owner for longer.
    pub keys_max: usize,
    /// Shadow reads.
    pub shadows: Shadows,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            poll: Duration::from_millis(50),
            stale_after: Duration::from_secs(2),
            // The write budget of a cutover is 3 s.
            patience: Duration::from_secs(5),
            clock_slack: Duration::ZERO,
            // Some megabytes.
            keys_max: 65_536,
            shadows: Shadows::default(),
        }
    }
}

/// Where reads and writes go. Clones are the same router.
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    clock: Clock,
    /// What is known; changed only while `writes` is held.
    known: watch::Sender<Known>,
    writes: Mutex<Writes>,
    /// Counts the ends of writes, for who waits for the last.
    ended: watch::Sender<u64>,
    counts: Counts,
    slots: Arc<Semaphore>,
}

struct Writes {
    under_way: UnderWay,
    written: Written,
    /// When the file was last read; `None` for a router that is driven by its program.
    looked: Option<Instant>,
    /// Why it could not be read since.
    fault: Option<Error>,
}

impl Shared {
    fn writes(&self) -> MutexGuard<'_, Writes> {
        // Nothing panics while it is held; what is in it is whole in any case.
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, route: Option<Route>, progress: Option<Progress>) {
        let mut writes = self.writes();
        if writes.looked.is_some() {
            writes.looked = Some(Instant::now());
        }
        self.known.send_if_modified(|known| {
            let mut changed = route.is_some_and(|route| known.take(route));
            if progress.is_some() && progress != known.progress {
                known.progress = progress;
                changed = true;
            }
            changed
        });
        let known = self.known.borrow();
        if let Some(upto) = known
            .progress
            .as_ref()
            .map(|progress| progress.upto)
            .filter(|upto| known.has(upto.saturating_sub(1)))
        {
            writes.written.arrived(upto);
        }
    }

    fn set_fault(&self, fault: Option<Error>) {
        self.writes().fault = fault;
    }

    fn now(&self) -> u64 {
        let since = self.clock.at(since_1970(), self.clock.begun.elapsed()) + self.options.clock_slack;
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// The machine's clock as it was when the router began, for what it is compared with is another process's. Where it is set back
/// later, a write would seem to be from before what the other store has already, and be read there too soon: so time goes on
/// from the beginning as well, and the later of the two counts.
struct Clock {
    since_1970: Duration,
    begun: Instant,
}

impl Clock {
    fn begin() -> Clock {
        Clock { since_1970: since_1970(), begun: Instant::now() }
    }

    /// The time since 1970, when the machine's clock says this and so much has passed.
    fn at(&self, said: Duration, passed: Duration) -> Duration {
        said.max(self.since_1970 + passed)
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Router {
    /// A router that its program drives by [`Router::set`].
    pub fn new(route: Option<Route>, options: Options) -> Router {
        let writes = Writes {
            under_way: UnderWay::default(),
            written: Written::new(options.keys_max),
            looked: None,
            fault: None,
        };
        let slots = Arc::new(Semaphore::new(options.shadows.at_once));
        let shared = Shared {
            options,
            clock: Clock::begin(),
            known: watch::Sender::new(Known { route, progress: None }),
            writes: Mutex::new(writes),
            ended: watch::Sender::new(0),
            counts: Counts::default(),
            slots,
        };
        Router { shared: Arc::new(shared) }
    }

    /// A router that follows the route's file. A file that is not there yet means that the source owns the data.
    pub fn follow(path: PathBuf, options: Options) -> Result<Router> {
        let router = Router::new(None, options);
        router.shared.writes().looked = Some(Instant::now());
        follow::begin(&router, path)?;
        Ok(router)
    }

    /// Takes a route; `false` when it comes before the one that is known.
    pub fn set(&self, route: Route) -> bool {
        let before = self.route();
        self.shared.learn(Some(route), None);
        self.route() != before
    }

    /// Takes how far the follower has come.
    pub fn caught_up(&self, progress: Progress) {
        self.shared.learn(None, Some(progress));
    }

    /// The route as it is known.
    pub fn route(&self) -> Option<Route> {
        self.shared.known.borrow().route.clone()
    }

    /// Why the route's file could not be read the last time, in words.
    pub fn fault(&self) -> Option<String> {
        self.shared.writes().fault.as_ref().map(Error::to_string)
    }

    /// Where to read this key.
    pub fn read(&self, key: &[u8]) -> Side {
        let hash = hash(key);
        let writes = self.shared.writes();
        let stale = writes.looked.is_some_and(|looked| looked.elapsed() > self.shared.options.stale_after);
        self.shared.known.borrow().read(hash, writes.written.of(hash), stale)
    }

    /// Leave to write a key now. Waits while the owner is about to change, no longer than [`Options::patience`]; then
    /// [`Kind::Busy`].
    pub async fn write(&self, key: &[u8]) -> Result<Permit> {
        let patience = self.shared.options.patience;
        match tokio::time::timeout(patience, self.permit(hash(key))).await {
            Ok(permit) => Ok(permit),
            Err(_) => Err(Error::new(Kind::Busy, "write while the owner of the data changes")
                .detail(format!("writes have been held for {} s", patience.as_secs_f64()))
                .hint("try again; `switchover status` says what is under way, and `switchover resume` ends it when its process died")),
        }
    }

    async fn permit(&self, key: u64) -> Permit {
        let mut changes = self.shared.known.subscribe();
        loop {
            {
                let mut writes = self.shared.writes();
                let known = changes.borrow_and_update();
                if let Write::Go(store) = known.write() {
                    let term = known.term();
                    writes.under_way.begin(term.clone());
                    return Permit { router: self.clone(), store, term, keys: vec![key] };
                }
            }
            // The sender lives in this router: it cannot be gone.
            let _ = changes.changed().await;
        }
    }

    /// Waits until no write is under way whose permit is of an earlier epoch.
    pub async fn drained(&self) {
        let mut ended = self.shared.ended.subscribe();
        while self.under_way() > 0 {
            let _ = ended.changed().await;
        }
    }

    /// Writes under way whose permit is of an earlier epoch.
    pub fn under_way(&self) -> usize {
        let writes = self.shared.writes();
        writes.under_way.not_of(&self.shared.known.borrow().term())
    }

    /// How shadow reads have ended so far.
    pub fn shadow_counts(&self) -> Counted {
        self.shared.counts.now()
    }

    fn options(&self) -> &Options {
        &self.shared.options
    }

    fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    fn slots(&self) -> Arc<Semaphore> {
        self.shared.slots.clone()
    }

    fn now(&self) -> u64 {
        self.shared.now()
    }

    fn owner_and_follower(&self) -> (Side, bool) {
        let known = self.shared.known.borrow();
        (known.owner(), known.follows())
    }

    async fn until_follower_has(&self, written: u64) {
        let mut changes = self.shared.known.subscribe();
        // The sender lives in this router: it cannot be gone.
        let _ = changes.wait_for(|known| known.has(written) || !known.follows()).await;
    }
}

/// Leave to write, until it is dropped: keep it until the write is acknowledged.
#[must_use = "the write counts as ended when this is dropped"]
pub struct Permit {
    router: Router,
    store: Side,
    term: Term,
    keys: Vec<u64>,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit")
            .field("store", &self.store)
            .field("epoch", &self.term.1)
            .finish_non_exhaustive()
    }
}

impl Permit {
    /// The store to write to.
    pub fn store(&self) -> Side {
        self.store
    }

    /// The epoch that it is for.
    pub fn epoch(&self) -> u64 {
        self.term.1
    }

    /// Another key that this write changes.
    pub fn also(&mut self, key: &[u8]) {
        self.keys.push(hash(key));
    }

    /// Whether the epoch is still the same; [`Kind::Changed`] when not: roll back, and ask for a new permit.
    pub fn check(&self) -> Result<()> {
        let now = self.router.shared.known.borrow().term();
        if now == self.term {
            return Ok(());
        }
        Err(Error::new(Kind::Changed, "write with this permit")
            .detail(format!("it is of epoch {}, and now is epoch {}", self.term.1, now.1))
            .hint("roll the transaction back, ask for a new permit, and write again"))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let shared = &self.router.shared;
        // Whether it was acknowledged is not known here: it may have been.
        let now = shared.now();
        let mut writes = shared.writes();
        self.keys.iter().for_each(|key| writes.written.note(*key, now));
        writes.under_way.end(&self.term);
        drop(writes);
        shared.ended.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests;
