//! Telling the application who owns the data, again and again until it knows; and a run that does not end before.
//!
//! Invariants: the decision row stands whatever cannot be told. Absent: how the application is told, which is `announce`.

use super::engine::Engine;
use super::status::Verification;
use std::time::Duration;
use switchover_core::live::{Ownership, Side};
use switchover_core::{Error, Kind, Result};
use tokio::time::Instant;

/// How long to wait before the application is told again what it could not be told: a disk that was full for a moment. What stays,
/// such as a command that fails, is tried at growing intervals up to the other.
const TELL_AGAIN: Duration = Duration::from_secs(2);
const TELL_AGAIN_MAX: Duration = Duration::from_secs(320);

impl Engine {
    /// Tells the application. What cannot be told is told again later: the row stands all the same.
    pub(super) async fn announce(&mut self, ownership: Ownership) {
        self.announced = Some(ownership);
        let Err(error) = self.try_to_tell(ownership).await else {
            self.untold = None;
            return self.tell(|status| status.untold.clear());
        };
        let wait = self.untold.map_or(TELL_AGAIN, |(_, before)| (before * 2).min(TELL_AGAIN_MAX));
        self.untold = Some((Instant::now() + wait, wait));
        let why = error.to_string();
        self.note(format!("{why}; it will be tried again in {} s", wait.as_secs()));
        self.tell(|status| status.untold = why);
    }

    /// Whether the application could be told, if the owner changed now.
    pub(super) async fn may_change(&self) -> Result<()> {
        // The row, for the status does not count changes that were given up. A proposal in it is an earlier one, which goes first.
        let found = self.ownership().await?;
        self.as_recorded(found).await?;
        let was = if found.pending { found.withdrawn() } else { found };
        self.parts.announce.may_change(&was.proposed()).await
    }

    /// Has it told again at the next turn what it could not be told.
    pub(super) fn tell_at_once(&mut self) {
        if let Some((due, _)) = &mut self.untold {
            *due = Instant::now();
        }
    }

    /// Tells the application again what it could not be told, when it is time.
    pub(super) async fn announce_again(&mut self) {
        if self.untold.is_some_and(|(due, _)| due <= Instant::now()) {
            let ownership = self.announced();
            self.announce(ownership).await;
        }
    }

    /// What the application was told last of who owns the data. Its epoch may be larger than the status': a change of the owner that was
    /// given up was told, too, and what is told is never of an earlier epoch.
    pub(super) fn announced(&self) -> Ownership {
        self.announced.unwrap_or_else(|| self.status.borrow().ownership)
    }

    /// Tells the application that the follower is known to differ: all its reads go to the owner, and stay there until somebody moves
    /// them again.
    pub(super) async fn announce_difference(&mut self) {
        let Verification::Different { why } = &self.verified else { return };
        let ownership = self.announced();
        self.note(format!("no reads go to the {} while it differs: {why}", ownership.owner.other()));
        self.announce(ownership).await;
    }

    /// Before the run ends, behind which nobody tells the application any more: that it knows who owns the data, or is told now.
    pub(super) async fn told_in_full(&mut self) -> Result<()> {
        if self.untold.is_some() {
            let ownership = self.ownership().await?;
            self.announce(ownership).await;
        }
        if self.untold.is_none() {
            return Ok(());
        }
        let status = self.status.borrow();
        Err(not_told(status.ownership.owner, &status.untold))
    }

    pub(super) async fn try_to_tell(&self, ownership: Ownership) -> Result<()> {
        let (ready, why) = match (&self.verified, ownership.owner) {
            (Verification::Different { why }, _) => (false, why.as_str()),
            (Verification::Same { .. }, _) | (_, Side::Target) => (true, ""),
            (_, Side::Source) => (false, ""),
        };
        self.parts.announce.told(&ownership, ready, why).await
    }
}

/// The application could not be told who owns the data, so the run does not end: nobody would tell it later.
pub(super) fn not_told(owner: Side, why: &str) -> Error {
    Error::new(Kind::Refused, "end the run")
        .detail(format!("the application was not told in full that the {owner} owns the data: {why}"))
        .hint(
            "mend what fails there, and ask again: it is told first. Other hooks, or another file, in the configuration count from the \
             next `switchover resume` on",
        )
}
