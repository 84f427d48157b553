//! Calling for a person: a run that is held, or whose guards demand what cannot be done.
//!
//! It watches what the engine tells and nothing else, so that no command that hangs can stop the engine. Invariants: one call at a
//! time; a trouble that lasts is called again, one that passes within [`PATIENCE`] is not called at all. Absent: noticing that no
//! engine runs any more, for which somebody outside must look at `switchover status --json`.

use super::announce::Announce;
use super::status::{LivePhase, LiveStatus};
use crate::progress::{Event, Progress};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a run may be held before somebody is called: a restart of the server takes less.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often somebody is called again while it lasts.
const AGAIN: Duration = Duration::from_secs(600);

/// What there was to call for, and since when.
#[derive(Debug, Default)]
struct Calls {
    since: Option<Instant>,
    called: Option<Instant>,
}

impl Calls {
    /// What to call for now, if there is anything.
    fn due(&mut self, status: &LiveStatus, now: Instant) -> Option<String> {
        let trouble = [&status.alarm, &status.untold, &status.held].into_iter().find(|text| !text.is_empty());
        let Some(trouble) = trouble.filter(|_| status.phase != LivePhase::Ended) else {
            *self = Calls::default();
            return None;
        };
        let since = *self.since.get_or_insert(now);
        // A guard has counted its windows already.
        let ripe = !status.alarm.is_empty() || now.duration_since(since) >= PATIENCE;
        let due = ripe && self.called.is_none_or(|called| now.duration_since(called) >= AGAIN);
        due.then(|| {
            self.called = Some(now);
            trouble.clone()
        })
    }
}

/// Calls whenever there is reason to, until the engine ends.
pub(super) async fn watch(
    mut told: watch::Receiver<LiveStatus>,
    announce: Arc<dyn Announce>,
    progress: Arc<dyn Progress>,
) {
    let mut calls = Calls::default();
    loop {
        let status = told.borrow_and_update().clone();
        if let Some(why) = calls.due(&status, Instant::now())
            && let Err(error) = announce.alarm(&status.ownership, &why).await
        {
            progress.event(Event::Note { text: format!("nobody could be called: {error}") });
        }
        // What is held changes nothing while it lasts, so the clock is looked at as well.
        if let Ok(Err(_)) = tokio::time::timeout(PATIENCE, told.changed()).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(held: &str, alarm: &str) -> LiveStatus {
        LiveStatus { held: held.into(), alarm: alarm.into(), ..LiveStatus::entering("r", 0, 0) }
    }

    #[test]
    fn somebody_is_called_for_what_lasts_and_again_when_it_still_does() {
        let (mut calls, begun) = (Calls::default(), Instant::now());
        let held = status("the server is down", "");
        assert_eq!(calls.due(&held, begun), None);
        assert_eq!(calls.due(&held, begun + PATIENCE / 2), None);
        assert_eq!(calls.due(&held, begun + PATIENCE).as_deref(), Some("the server is down"));
        assert_eq!(calls.due(&held, begun + PATIENCE * 2), None);
        assert!(calls.due(&held, begun + PATIENCE + AGAIN).is_some());
    }

    #[test]
    fn what_passes_by_itself_is_not_called_for() {
        let (mut calls, begun) = (Calls::default(), Instant::now());
        for round in 0..3 {
            let at = begun + PATIENCE * round;
            assert_eq!(calls.due(&status("a lock", ""), at), None, "{round}");
            assert_eq!(calls.due(&status("", ""), at + PATIENCE / 2), None, "{round}");
        }
    }

    #[test]
    fn what_a_guard_demands_in_vain_is_called_for_at_once() {
        let mut calls = Calls::default();
        let why = "errors above 5; it cannot go back now";
        assert_eq!(calls.due(&status("", why), Instant::now()).as_deref(), Some(why));
    }
}
