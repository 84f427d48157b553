//! Trying again what may succeed later, and nothing else.
//!
//! Whether it may is the error's kind's to say, which connectors take from the store's codes. The
//! waiting grows and ends; a request to stop ends it at once.

use crate::progress::{Event, Progress};
use crate::settings::Retries;
use crate::shutdown::Shutdown;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use switchover_core::{Error, Kind, Remedy, Result, failpoint};

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
    retries: Retries,
    progress: &dyn Progress,
    shutdown: &Shutdown,
    mut work: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let mut tries = Tries::new(retries, progress, shutdown);
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(error) => tries.again(error).await?,
        }
    }
}

impl<'a> Tries<'a> {
    pub(crate) fn new(retries: Retries, progress: &'a dyn Progress, shutdown: &'a Shutdown) -> Tries<'a> {
        let few = failpoint::asked("few-retries");
        let waits = ExponentialBuilder::default()
            .with_min_delay(retries.wait_min)
            .with_max_delay(retries.wait_max.max(retries.wait_min))
            .with_max_times(if few { RETRIES_FEW } else { retries.tries_max })
            .with_jitter();
        // A simulation must be able to tell the same story twice.
        let waits = if cfg!(test) { waits.with_jitter_seed(1) } else { waits }.build();
        Tries { waits, progress, shutdown, told: false }
    }

    /// Waits before the next try, or gives the error back when there is none. Who is asked to stop meanwhile was stopped, and did
    /// not fail: the error says so.
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
                Err(stopped(&error))
            }
        }
    }
}

/// That a wait for the next try was ended by a request to stop, and what was waited for.
fn stopped(error: &Error) -> Error {
    let subject = error.subject();
    Error::new(Kind::Interrupted, error.operation())
        .store(subject.store.clone())
        .table(subject.table.clone())
        .key(subject.key.clone())
        .column(subject.column.clone())
        .detail(format!("it was asked to stop while it waited to try again, because {}", reason(error)))
}

/// Why something failed, in words: its detail, or its cause.
fn reason(error: &Error) -> String {
    match (error.why(), std::error::Error::source(error)) {
        ("", Some(cause)) => cause.to_string(),
        ("", None) => "it could not be reached".to_owned(),
        (why, _) => why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use std::time::Duration;

    /// How often something that never succeeds is tried, and how long that takes.
    async fn tried(retries: Retries, kind: Kind) -> (u32, Duration) {
        let (begun, mut count) = (tokio::time::Instant::now(), 0);
        let shutdown = Shutdown::default();
        let done: Result<()> = again(retries, &Silent, &shutdown, async || {
            count += 1;
            Err(Error::new(kind, "try"))
        })
        .await;
        assert!(done.is_err());
        (count, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn as_often_and_as_long_as_is_asked_for() {
        let retries = |tries_max, seconds| Retries {
            tries_max,
            wait_min: Duration::from_secs(seconds),
            ..Retries::default()
        };
        assert_eq!(tried(retries(0, 1), Kind::Unavailable).await, (1, Duration::ZERO));
        assert_eq!(tried(Retries::default(), Kind::Rejected).await, (1, Duration::ZERO));
        let (count, took) = tried(retries(3, 2), Kind::Unavailable).await;
        // 2, 4 and 8 seconds, each with up to itself on top.
        assert!(count == 4 && (14..=28).contains(&took.as_secs()), "{count} in {took:?}");
        // A first wait beyond the longest is waited each time.
        let (count, took) = tried(retries(2, 60), Kind::Unavailable).await;
        assert!(count == 3 && (120..=240).contains(&took.as_secs()), "{count} in {took:?}");
        // The same time in shorter waits.
        let within = |retries: Retries| retries.within(Duration::from_secs(1));
        let (count, took) = tried(within(retries(3, 2)), Kind::Unavailable).await;
        assert!(count == 15 && (14..=28).contains(&took.as_secs()), "{count} in {took:?}");
        assert_eq!(tried(within(retries(0, 1)), Kind::Unavailable).await, (1, Duration::ZERO));
        // A minute: the time of a fail-over.
        let (count, took) = tried(Retries::default(), Kind::Unavailable).await;
        assert!(count == 11 && took.as_secs() > 50, "{count} in {took:?}");
    }
    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_ended_by_a_request_to_stop_is_no_failure() {
        let shutdown = Shutdown::default();
        let working = again(Retries::default(), &Silent, &shutdown, async || {
            Err::<(), _>(Error::new(Kind::Unavailable, "ask").store("there").detail("it is away"))
        });
        let (done, _) = tokio::join!(working, async { shutdown.request() });
        let error = done.map_or_else(|error| error, |()| Error::new(Kind::Internal, "ask"));
        assert_eq!((error.kind(), error.subject().store.as_str()), (Kind::Interrupted, "there"));
        assert!(error.why().ends_with("because it is away"), "{error}");
    }
}
