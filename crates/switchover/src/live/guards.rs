//! The guards of the configuration at work: measured beside the engine, once a window, judged when the engine looks.
//!
//! Invariants: looking never waits for an endpoint or a query; every reverse window begins with nothing over. Absent: what
//! is measured and what it means, which is [`crate::watch`].

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
    due: Instant,
    reading: Option<JoinHandle<Vec<Reading>>>,
}

impl Drop for Window {
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
            *state = Some(Window { epoch, watch, due: Instant::now(), reading: None });
        }
        let window = state.as_mut()?;
        if let Some(reading) = window.reading.take_if(|reading| reading.is_finished()) {
            // A reading that failed as a whole says nothing of any guard.
            let readings = reading.await.unwrap_or_default();
            if let Judgement::Rollback(reason) = window.watch.judge(readings) {
                return Some(reason.to_string());
            }
        }
        if window.reading.is_none() && Instant::now() >= window.due {
            window.due = Instant::now() + self.window;
            let (guards, fetch, inside) = (self.guards.clone(), self.fetch.clone(), inside(status));
            window.reading = Some(tokio::spawn(async move { watch::read(&guards, &*fetch, inside).await }));
        }
        None
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
    use switchover_core::live::{Ownership, Side};
    use switchover_core::{Error, Kind, Result};

    /// Queries give the number of the query; endpoints never answer.
    struct Echo;

    #[async_trait]
    impl Fetch for Echo {
        async fn http(&self, _: &str) -> Result<String> {
            std::future::pending().await
        }
        async fn sql(&self, _: Side, query: &str) -> Result<Vec<f64>> {
            Ok(vec![query.parse().map_err(|error| Error::new(Kind::Rejected, "ask").because(error))?])
        }
    }

    fn guards(measure: Measure, windows: u32) -> Guards {
        let guard = Guard { name: "g".into(), measure, max: 5.0, windows, sample_min: 0 };
        Guards::new(&WatchOptions { window: Duration::from_millis(1), guards: vec![guard] }, Arc::new(Echo))
    }

    fn status(epoch: u64) -> LiveStatus {
        let ownership = Ownership { owner: Side::Target, pending: false, epoch };
        LiveStatus { phase: LivePhase::Reverse, ownership, ..LiveStatus::entering("r", 0, 0) }
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
        let endpoint = Measure::Value { url: String::new(), value: "/x".into(), sample: None };
        for (measure, held) in [(endpoint, ""), (sql("bad"), ""), (Measure::ReverseLag, "the feed is dead")] {
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
}
