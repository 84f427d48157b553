//! Shadow reads: the follower is asked what the owner was asked, and the answers are compared. The caller gets the owner's.
//!
//! Invariants: a shadow begins when the caller has its answer, so it delays nobody; there are never more than [`Shadows::at_once`],
//! and none lasts longer than [`Shadows::timeout`]; a difference is reported only when it stays after the follower has had
//! the owner's answer, and the owner's own answer has not changed meanwhile.

use super::Router;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use switchover_core::live::Side;

/// All reads, in thousandths.
const ALL_PER_MILLE: u64 = 1_000;

/// How much is shadowed.
#[derive(Clone)]
pub struct Shadows {
    /// Thousandths of the reads, 0 to 1,000.
    pub per_mille: u16,
    /// Shadows at once; a read beyond them has none.
    pub at_once: usize,
    /// How long one may take, waiting for the follower included.
    pub timeout: Duration,
    /// Who is told.
    pub report: Arc<dyn Fn(&Difference) + Send + Sync>,
}

impl Default for Shadows {
    fn default() -> Self {
        // Few enough that they are no load of their own; a second is longer than any read that is worth comparing.
        Shadows { per_mille: 0, at_once: 16, timeout: Duration::from_secs(1), report: Arc::new(|_| {}) }
    }
}

/// What a shadow found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key that was read.
    pub key: Vec<u8>,
    /// The store whose answer was given.
    pub control: Side,
    /// What is wrong.
    pub what: Wrong,
}

/// What is wrong with the other store's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is another one.
    Different,
    /// There is none.
    Failed(String),
    /// It took too long, or the follower did not follow in time.
    Late,
}

/// How shadows ended.
#[derive(Debug, Default)]
pub struct Counts {
    asked: AtomicU64,
    same: AtomicU64,
    moving: AtomicU64,
    different: AtomicU64,
    skipped: AtomicU64,
}

/// The same, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The answers were equal, at once or when the follower had caught up.
    pub same: u64,
    /// The row changed all the while.
    pub moving: u64,
    /// Reported.
    pub different: u64,
    /// There were too many at once.
    pub skipped: u64,
}

impl Counts {
    pub(super) fn now(&self) -> Counted {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            same: load(&self.same),
            moving: load(&self.moving),
            different: load(&self.different),
            skipped: load(&self.skipped),
        }
    }

    /// Whether this read is one of those; they are spread evenly.
    fn sampled(&self, per_mille: u16) -> bool {
        let share = u64::from(per_mille).min(ALL_PER_MILLE);
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        (number + 1) * share / ALL_PER_MILLE != number * share / ALL_PER_MILLE
    }
}

impl Router {
    /// Reads at the owner, and gives its answer; some reads are compared with the other store's answer afterwards.
    pub async fn shadowed<T, E, F, Fut>(&self, key: &[u8], read: F) -> Result<T, E>
    where
        T: Clone + PartialEq + Send + Sync + 'static,
        E: Display + Send + 'static,
        F: Fn(Side) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (control, follows) = self.owner_and_follower();
        let answer = read(control).await?;
        let read_at = self.now();
        let shadows = &self.options().shadows;
        if !follows || !self.counts().sampled(shadows.per_mille) {
            return Ok(answer);
        }
        let Ok(slot) = self.slots().try_acquire_owned() else {
            self.counts().skipped.fetch_add(1, Ordering::Relaxed);
            return Ok(answer);
        };
        let (router, key, first) = (self.clone(), key.to_vec(), answer.clone());
        tokio::spawn(async move {
            let limit = router.options().shadows.timeout;
            let compared = tokio::time::timeout(limit, router.compare(control, read_at, first, read)).await;
            let (count, wrong) = match compared {
                Ok(Ok(true)) => (&router.counts().same, None),
                Ok(Ok(false)) => (&router.counts().moving, None),
                Ok(Err(wrong)) => (&router.counts().different, Some(wrong)),
                Err(_) => (&router.counts().different, Some(Wrong::Late)),
            };
            count.fetch_add(1, Ordering::Relaxed);
            if let Some(what) = wrong {
                (router.options().shadows.report)(&Difference { key, control, what });
            }
            drop(slot);
        });
        Ok(answer)
    }

    /// Whether both say the same (`true`), or the owner says something new meanwhile (`false`).
    async fn compare<T, E, F, Fut>(
        &self,
        control: Side,
        read_at: u64,
        first: T,
        read: F,
    ) -> Result<bool, Wrong>
    where
        T: PartialEq,
        E: Display,
        F: Fn(Side) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let failed = |error: E| Wrong::Failed(error.to_string());
        if read(control.other()).await.map_err(failed)? == first {
            return Ok(true);
        }
        // The follower may not have had it yet: ask again when it has.
        self.until_follower_has(read_at).await;
        if self.owner_and_follower() != (control, true) {
            return Ok(false);
        }
        let other = read(control.other()).await.map_err(failed)?;
        let again = read(control).await.map_err(failed)?;
        match (other == again, again == first) {
            (true, _) => Ok(true),
            (false, true) => Err(Wrong::Different),
            (false, false) => Ok(false),
        }
    }
}
