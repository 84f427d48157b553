//! What keeps a live run from going on, while something is tried again below the engine: a server that is down, a lock.
//!
//! Invariants: since when it is held stays the same while the reasons follow each other; while it is held nobody claims to
//! know how far the follower is behind. Absent: waiting, which is [`crate::retry`], and holding, which is the engine's.

use super::status::LiveStatus;
use crate::clock;
use crate::progress::{Event, Progress};
use std::sync::Arc;
use tokio::sync::watch;

impl LiveStatus {
    /// It does not go on, for this reason.
    pub(super) fn hold(&mut self, why: String) {
        if self.held.is_empty() {
            self.held_since = Some(clock::now());
        }
        self.held = why;
        self.forget_lag();
    }

    /// It goes on. How far the follower is behind is known with the next changes.
    pub(super) fn go_on(&mut self) {
        self.held.clear();
        self.held_since = None;
    }

    /// Nobody knows how far the follower is behind, nor how long the copy will take: the engine is held, or there is none.
    pub fn forget_lag(&mut self) {
        (self.lag_entries, self.lag_s, self.switch_s, self.copy_left_s) = (None, None, None, None);
        self.slowed.clear();
    }
}

/// Tells who is told, and has the status say what is tried again.
pub(super) struct Noted {
    pub(super) inner: Arc<dyn Progress>,
    pub(super) status: watch::Sender<LiveStatus>,
}

impl Progress for Noted {
    fn event(&self, event: Event) {
        match &event {
            Event::TryingAgain { text } => self.status.send_modify(|status| {
                status.at = clock::now();
                status.hold(text.clone());
            }),
            Event::WentOn => self.status.send_modify(|status| {
                status.at = clock::now();
                status.go_on();
            }),
            _ => {}
        }
        self.inner.event(event);
    }
}
