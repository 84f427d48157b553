//! Trying again what may succeed later, and nothing else.
//!
//! Whether it may is the error's kind's to say, which connectors take from the store's codes. The
//! waiting grows and ends; a request to stop ends it at once.

use crate::progress::{Event, Progress};
use crate::shutdown::Shutdown;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;
use switchover_core::{Error, Remedy, Result, failpoint};

/// The first wait: a server that restarts on the same machine takes about this long.
const WAIT_MIN: Duration = Duration::from_millis(200);
/// The longest single wait.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Tries after the first. With the waits above they span about a minute, the time of a fail-over.
const RETRIES_MAX: usize = 10;
/// Tries where a test waits for their end.
const RETRIES_FEW: usize = 2;

/// The tries of one piece of work:
/// `loop { match work().await { Ok(done) => break done, Err(error) => tries.again(error).await? } }`.
pub(crate) struct Tries<'a> {
    waits: ExponentialBackoff,
    progress: &'a dyn Progress,
    shutdown: &'a Shutdown,
    /// Whether it was said that something is tried again, and not yet what came of it.
    told: bool,
}

impl Drop for Tries<'_> {
    fn drop(&mut self) {
        if self.told {
            self.progress.event(Event::WentOn);
        }
    }
}

/// Does `work` until it succeeds, or fails for good.
pub(crate) async fn again<T>(
    progress: &dyn Progress,
    shutdown: &Shutdown,
    mut work: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let mut tries = Tries::new(progress, shutdown);
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(error) => tries.again(error).await?,
        }
    }
}

impl<'a> Tries<'a> {
    pub(crate) fn new(progress: &'a dyn Progress, shutdown: &'a Shutdown) -> Tries<'a> {
        let few = failpoint::asked("few-retries");
        let waits = ExponentialBuilder::default()
            .with_min_delay(WAIT_MIN)
            .with_max_delay(WAIT_MAX)
            .with_max_times(if few { RETRIES_FEW } else { RETRIES_MAX })
            .with_jitter();
        // A simulation must be able to tell the same story twice.
        let waits = if cfg!(test) { waits.with_jitter_seed(1) } else { waits }.build();
        Tries { waits, progress, shutdown, told: false }
    }

    /// Waits before the next try, or gives the error back when there is none.
    pub(crate) async fn again(&mut self, error: Error) -> Result<()> {
        let wait = match error.kind().remedy() {
            Remedy::Retry => self.waits.next(),
            Remedy::Fix | Remedy::Halt | Remedy::Investigate => None,
        };
        let Some(wait) = wait else {
            // Who is given the error says what becomes of it.
            self.told = false;
            return Err(error);
        };
        self.told = true;
        let text = format!("{error}; trying again in {:.1} s", wait.as_secs_f64());
        self.progress.event(Event::TryingAgain { text });
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.shutdown.requested() => {
                self.told = false;
                Err(error)
            }
        }
    }
}
