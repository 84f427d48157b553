//! The guards of the configuration at work: measured beside the engine and each other, once a window, judged when the engine looks.
//!
//! Invariants: looking never waits for an endpoint or a query, nor one guard for another; of each guard one measurement is under way at
//! most; every reverse window begins with nothing over. Absent: what is measured and what it means, which is [`crate::watch`].

use super::announce::Watch;
use super::status::{GuardSaid, LiveStatus, Verification};
use crate::watch::{self, Fetch, Guard, Inside, Judgement, Reading, WatchOptions};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The guards of a run.
pub struct Guards {
    guards: Arc<[Guard]>,
    window: Duration,
    fetch: Arc<dyn Fetch>,
    state: Mutex<Option<Window>>,
}

/// One reverse window.
struct Window {
    epoch: u64,
    watch: watch::Watch,
    /// Of each guard, in their order.
    measured: Vec<Measured>,
}

/// When a guard is measured.
struct Measured {
    due: Instant,
    reading: Option<JoinHandle<Reading>>,
}

impl Drop for Measured {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}

impl Guards {
    /// These guards, measured by `fetch`.
    pub fn new(options: &WatchOptions, fetch: Arc<dyn Fetch>) -> Guards {
        let guards = options.guards.clone().into();
        Guards { guards, window: options.window, fetch, state: Mutex::new(None) }
    }
}

/// What the engine itself knows.
fn inside(status: &LiveStatus) -> Inside {
    let same = match &status.verification {
        Verification::Same { .. } => Some(true),
        Verification::Different { .. } => Some(false),
        Verification::Unproven | Verification::Running { .. } => None,
    };
    // While it is held nobody knows how far it is behind.
    Inside { same, reverse_lag: status.lag_s }
}

#[async_trait]
impl Watch for Guards {
    async fn look(&self, status: &LiveStatus) -> Option<String> {
        if self.guards.is_empty() {
            return None;
        }
        let mut state = self.state.lock().await;
        let epoch = status.ownership.epoch;
        if state.as_ref().is_none_or(|window| window.epoch != epoch) {
            let watch = watch::Watch::new(&self.guards);
            let due = Instant::now();
            let measured = self.guards.iter().map(|_| Measured { due, reading: None }).collect();
            *state = Some(Window { epoch, watch, measured });
        }
        let window = state.as_mut()?;
        let mut demanded = false;
        for (number, (guard, measured)) in self.guards.iter().zip(&mut window.measured).enumerate() {
            if let Some(reading) = measured.reading.take_if(|reading| reading.is_finished()) {
                let failed = |_| Reading::Nothing("measuring it failed".into());
                let reading = reading.await.unwrap_or_else(failed);
                demanded |= window.watch.judge(number, reading) != Judgement::Hold;
            }
            if measured.reading.is_none() && Instant::now() >= measured.due {
                measured.due = Instant::now() + self.window;
                let (guard, fetch, inside) = (guard.clone(), Arc::clone(&self.fetch), inside(status));
                measured.reading =
                    Some(tokio::spawn(async move { watch::read(&guard, &*fetch, inside).await }));
            }
        }
        // Once a window of who demands it: what cannot be done is not tried again at every look.
        window.watch.demand().filter(|_| demanded).map(|reason| reason.to_string())
    }

    async fn demands(&self) -> bool {
        self.state.lock().await.as_ref().is_some_and(|window| window.watch.demand().is_some())
    }

    async fn said(&self) -> Vec<GuardSaid> {
        let state = self.state.lock().await;
        let last = state.iter().flat_map(|window| window.watch.last());
        let said = |(guard, window): (&str, Option<&watch::Window>)| {
            Some(GuardSaid { guard: guard.to_owned(), window: window?.clone() })
        };
        last.filter_map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::live::LivePhase;
    use crate::watch::Measure;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use switchover_core::live::{Ownership, Side};
    use switchover_core::{Error, Kind, Result};

    /// Queries give the number of the query; endpoints never answer, and it counts how often they were asked.
    #[derive(Default)]
    struct Echo(AtomicUsize);

    #[async_trait]
    impl Fetch for Echo {
        async fn http(&self, _: &str) -> Result<String> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
        async fn sql(&self, _: Side, query: &str) -> Result<Vec<f64>> {
            Ok(vec![query.parse().map_err(|error| Error::new(Kind::Rejected, "ask").because(error))?])
        }
    }

    fn guard(measure: Measure, windows: u32) -> Guard {
        Guard { name: "g".into(), measure, max: 5.0, windows, sample_min: 0 }
    }

    fn guards(measure: Measure, windows: u32) -> Guards {
        let guards = vec![guard(measure, windows)];
        Guards::new(&WatchOptions { window: Duration::from_millis(1), guards }, Arc::new(Echo::default()))
    }

    fn status(epoch: u64) -> LiveStatus {
        let ownership = Ownership { owner: Side::Target, pending: false, epoch };
        LiveStatus { phase: LivePhase::Reverse, ownership, ..LiveStatus::entering("r", 0, 0) }
    }

    fn endpoint() -> Measure {
        Measure::Value { url: String::new(), value: "/x".into(), sample: None }
    }

    fn sql(query: &str) -> Measure {
        Measure::Sql { at: Side::Target, query: query.into() }
    }

    /// Looks until there is a reason; how often a window was over stands in it.
    async fn reason(guards: &Guards, status: &LiveStatus) -> String {
        let looking = async {
            loop {
                if let Some(why) = guards.look(status).await {
                    return why;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.unwrap()
    }

    #[tokio::test]
    async fn a_guard_says_why_to_go_back_and_each_reverse_window_begins_anew() {
        let guards = guards(sql("7"), 3);
        let said = "the guard 'g' measured 7, above 5, for 3 windows in a row";
        assert_eq!(reason(&guards, &status(3)).await, said);
        // Without a new beginning this would be the fourth window.
        assert_eq!(reason(&guards, &status(7)).await, said);
    }

    #[tokio::test]
    async fn looking_waits_for_nobody_and_silence_holds() {
        let mut status = status(3);
        for (measure, held) in [(endpoint(), ""), (sql("bad"), ""), (Measure::ReverseLag, "the feed is dead")]
        {
            let guards = guards(measure, 1);
            status.lag_s = Some(100.0);
            if !held.is_empty() {
                status.hold(held.to_owned());
            }
            for _ in 0..200 {
                assert_eq!(guards.look(&status).await, None);
                tokio::task::yield_now().await;
            }
        }
        status.go_on();
        status.lag_s = Some(100.0);
        assert!(reason(&guards(Measure::ReverseLag, 1), &status).await.contains("measured 100"));
    }

    #[tokio::test]
    async fn a_guard_that_hangs_delays_no_other_and_is_not_asked_twice_at_once() {
        let (echo, status) = (Arc::new(Echo::default()), status(3));
        let hanging = guard(endpoint(), 1);
        let guards = vec![hanging.clone(), Guard { name: "sound".into(), ..guard(sql("7"), 3) }, hanging];
        let options = WatchOptions { window: Duration::from_millis(1), guards };
        let guards = Guards::new(&options, Arc::clone(&echo) as Arc<dyn Fetch>);
        let said = "the guard 'sound' measured 7, above 5, for 3 windows in a row";
        assert_eq!(reason(&guards, &status).await, said);
        assert!(guards.demands().await);
        assert_eq!(guards.said().await.len(), 1);
        assert_eq!(echo.0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_says_nothing() {
        let reading = watch::read(&guard(endpoint(), 1), &Echo::default(), Inside::default()).await;
        assert!(matches!(&reading, Reading::Nothing(why) if why.contains("within 10 s")), "{reading:?}");
    }
}
