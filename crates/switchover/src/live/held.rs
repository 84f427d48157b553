//! What keeps a live run from going on: while something is tried again below the engine, a server that is down or a lock; and
//! outside of following, a server that stays down, and what only a person can mend.
//!
//! Invariants: since when it is held stays the same while the reasons follow each other; while it is held nobody claims to
//! know how far the follower is behind. Absent: waiting, which is [`crate::retry`], and holding while it follows, which is `follow`.

use super::engine::{End, Engine, Owing, Turn};
use super::follow::PRESSURE_EVERY;
use super::link::{BATCH_ENTRIES_MAX, Link};
use super::pace;
use super::requests::{not_ready, refuse};
use super::status::{LivePhase, LiveStatus, Request};
use crate::clock;
use crate::progress::{Event, Progress};
use std::sync::Arc;
use std::time::Duration;
use switchover_core::live::{Limit, Ownership, Side};
use switchover_core::{Error, Kind, Remedy, Result};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a run that waits for a person, and follows nothing, stands still before it looks again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long to wait before something is tried again that others' locks keep from being done.
const INSIST: Duration = Duration::from_millis(100);

/// The same where the application goes on meanwhile. A try waits for a lock for up to 3 s, and whoever wants the table behind it waits as
/// long: so beside somebody who keeps it for hours the application stands still for a quarter of the time at most.
pub(super) const MAKE_ROOM: Duration = Duration::from_secs(9);

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

/// What an owner that is decided and not open means.
pub(super) fn nobody_writes(owner: Side) -> String {
    format!("the {owner} owns the data and is not open yet, so nobody can write")
}

/// The same, and what keeps it from being opened.
pub(super) fn still_shut(owner: Side, error: Error) -> Error {
    because_of(nobody_writes(owner), error)
}

/// An owner that is open, and what keeps the other store from following it.
fn not_following(owner: Side, error: Error) -> Error {
    let other = owner.other();
    because_of(
        format!("the {owner} owns the data and takes writes, and the {other} does not follow yet"),
        error,
    )
}

/// How it stands, which is said once, and why.
fn because_of(stands: String, error: Error) -> Error {
    if error.why().contains(&stands) {
        return error;
    }
    let detail = format!("{stands}: {}", error.why());
    error.detail(detail)
}

impl Engine {
    /// Does what must be done for the application to go on, however long others hold a lock: until it is done, this
    /// process is asked to stop, or another has the run.
    pub(super) async fn insist<T>(&self, work: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        self.insist_with(INSIST, work).await
    }

    /// The same for what the application does not wait for, with so long a pause where others hold a lock.
    pub(super) async fn insist_with<T>(
        &self,
        pause: Duration,
        mut work: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        loop {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let later = error.kind() == Kind::Busy || error.kind().remedy() == Remedy::Retry;
            if !later || self.parts.shutdown.is_requested() {
                return Err(error);
            }
            // A lock that somebody holds ends some time; a run that somebody else has does not come back.
            self.still_ours().await?;
            self.tell(|status| status.hold(error.to_string()));
            let stop = &self.parts.shutdown;
            let pause = if error.kind() == Kind::Busy { pause } else { INSIST };
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause) => {}
                // One more try, and its error is the answer.
                () = stop.requested() => {}
            }
        }
    }

    /// Holds while a store cannot be reached, of a run that was followed or whose target owns the data: nothing is lost meanwhile, and
    /// an engine that ended would leave the way back to nobody. Any other error is given back.
    pub(super) async fn outlast(&mut self, error: Error) -> Result<Option<End>> {
        let Ownership { owner, .. } = self.status.borrow().ownership;
        if error.kind().remedy() != Remedy::Retry || !(self.followed || owner == Side::Target) {
            return Err(error);
        }
        self.tell(|status| {
            if status.phase == LivePhase::Switching {
                // That is over.
                status.phase = match owner {
                    Side::Source => LivePhase::CatchingUp,
                    Side::Target => LivePhase::Reverse,
                };
            }
        });
        self.stand(error, owner).await
    }

    /// The same where a run is taken up while its target owns the data: what one at work bears holds this one as well, a source that is
    /// locked, or full, or that went away. What somebody else has, or changed about a store on purpose, is given back.
    async fn outlast_entry(&mut self, error: Error) -> Result<Option<End>> {
        let bears = [Kind::Busy, Kind::NotFound, Kind::Permission, Kind::Exhausted, Kind::Io, Kind::Corrupt];
        if !bears.contains(&error.kind()) {
            return self.outlast(error).await;
        }
        let Ok(found) = self.parts.target.ownership().await else { return Err(error) };
        if found.owner != Side::Target {
            return Err(error);
        }
        self.still_ours().await?;
        self.tell(|status| status.ownership = found);
        self.stand(error, Side::Target).await
    }

    /// Where this process cannot enter the source: has a target that owns the data take writes, and the application know of it, for
    /// neither needs the source. Its fence was up before the target could be the owner. What fails here is done with the rest.
    pub(super) async fn open_without_source(&mut self) {
        if let Err(error) = self.opened_without_source().await {
            self.note(error.to_string());
        }
    }

    async fn opened_without_source(&mut self) -> Result<()> {
        let mut found = self.parts.target.ownership().await?;
        if found.owner == Side::Source || self.as_recorded(found).await.is_err() {
            return Ok(());
        }
        self.still_ours().await?;
        if found.pending {
            found = self.withdrawn(found).await?;
        }
        self.on_record(found).await;
        self.parts.target.unfence().await?;
        self.owing = self.owing.map(|_| Owing::Follower);
        if self.announced == Some(found) {
            self.announce_again().await;
        } else {
            self.know_difference(found.epoch).await;
            self.tell_owner(found).await;
        }
        Ok(())
    }

    /// The same where it cannot be told who owns the data, by a run that is entered or not yet.
    pub(super) async fn outlast_asking(&mut self, error: Error, entered: bool) -> Result<Option<End>> {
        match (self.owing.is_some(), entered) {
            (true, _) => self.stand_owing(error).await,
            (false, true) => self.outlast(error).await,
            (false, false) => self.outlast_entry(error).await,
        }
    }

    /// Does what follows from a decision of this process. Gives what keeps the store that follows from following, where something does:
    /// the owner is open then, and the application was told.
    pub(super) async fn settle_decided(&mut self, decided: Ownership) -> Result<Option<Error>> {
        (self.owing, self.settled) = (Some(Owing::Owner), false);
        let settled = self.settle_owner(decided).await;
        // What was asked for until here was meant for the other owner.
        self.turned = Some(Instant::now());
        match (settled, self.owing) {
            (Ok(()), _) => Ok(None),
            (Err(error), Some(Owing::Owner)) => Err(still_shut(decided.owner, error)),
            (Err(error), _) => Ok(Some(not_following(decided.owner, error))),
        }
    }

    /// Whether this process, or one before it, changed the owner, and nothing follows it yet: whoever asks for a rollback then may not know that it was
    /// carried out, and does not ask for the end of the run.
    fn owes_follower(&self) -> bool {
        self.owing == Some(Owing::Follower) && self.turned.is_some() || self.owed_before && !self.settled
    }

    /// The owner is decided and cannot be opened, so nobody can write to either store, or nothing follows it yet: an engine that ended
    /// would leave it so.
    pub(super) async fn stand_owing(&mut self, error: Error) -> Result<Option<End>> {
        if error.kind() == Kind::Interrupted {
            return Err(error);
        }
        self.still_ours().await?;
        let owner = match self.parts.target.ownership().await {
            Ok(found) => found.owner,
            Err(_) => self.status.borrow().ownership.owner,
        };
        let error = match self.owing {
            Some(Owing::Owner) => still_shut(owner, error),
            _ => not_following(owner, error),
        };
        self.stand(error, owner).await
    }

    /// That no other process has the run. Where that cannot be asked now, it is asked again with what follows: whoever has it
    /// keeps this process from writing.
    pub(super) async fn still_ours(&self) -> Result<()> {
        match self.parts.claim.check().await {
            Err(error) if error.kind().remedy() == Remedy::Retry => Ok(()),
            checked => checked,
        }
    }

    /// The same before what another process has written is held against a store: it is asked until it is known, as long as anything is.
    pub(super) async fn surely_ours(&self) -> Result<()> {
        match self.again(async || self.parts.claim.check().await).await {
            Err(error) if error.kind().remedy() == Remedy::Retry => Ok(()),
            checked => checked,
        }
    }

    /// That another process has the run.
    pub(super) fn taken_over(&self) -> Error {
        Error::new(Kind::Busy, "drive the run")
            .store(self.parts.target.label())
            .detail("another process has taken this run over")
            .hint("let the other process end; `switchover status` shows the run")
    }

    /// A store cannot be reached, or is not as the plan or the target's constraints have it, which a person must mend; or, while the
    /// source owns the data, take the run back.
    pub(super) async fn stand(&mut self, error: Error, owner: Side) -> Result<Option<End>> {
        let owner = match self.parts.target.ownership().await {
            // A target that was set back says who owned the data before.
            Ok(found) if self.as_recorded(found).await.is_ok() => found.owner,
            _ => owner,
        };
        let error = self.if_lost(owner, error);
        let why = error.to_string();
        let mend = match error.kind() {
            Kind::Rejected | Kind::Refused => "change these rows on the source",
            Kind::Busy => "end the transactions that hold the locks",
            Kind::NotFound => "put it back where it was: the run goes on by itself then",
            Kind::Unavailable => "wait until the store can be reached: the run goes on by itself then",
            Kind::Permission => "grant what is missing: the run goes on by itself then",
            Kind::Exhausted => "make room there: the run goes on by itself then",
            Kind::Io => "mend what fails there: the run goes on by itself then",
            Kind::Corrupt => "put its newest state back: the run goes on by itself then",
            _ => "undo that change of the schema",
        };
        let shut = self.owing == Some(Owing::Owner);
        let hint = match owner {
            // To be taken back, it must be reached, too.
            _ if shut => mend.to_owned(),
            Side::Source if self.owes_follower() => format!(
                "{mend}; to take the whole run back instead, stop the engine (Ctrl-C, or `kill`), and ask for `switchover rollback` again"
            ),
            Side::Source => format!("{mend}, or `switchover rollback` takes the run back"),
            Side::Target => format!("{mend}; what is written to the target waits in its log"),
        };
        if self.status.borrow().held != why {
            self.note(format!("held: {why}"));
        }
        self.tell(|status| status.hold(why.clone()));
        let held = || not_ready("the run is held").detail(why.clone()).hint(hint.clone());
        let (stop, due) = (self.parts.shutdown.clone(), Instant::now() + LOOK_AGAIN);
        loop {
            let look = due.min(Instant::now() + PRESSURE_EVERY);
            let command = tokio::select! {
                biased;
                () = stop.requested() => return Ok(Some(End::Stopped)),
                () = tokio::time::sleep_until(look) => match look >= due || self.is_set_back().await {
                    true => return Ok(None),
                    false => continue,
                },
                Some(command) = self.commands.recv() => command,
            };
            if matches!(command.request, Request::Rollback(_)) && self.owes_follower() {
                refuse(command, held());
                continue;
            }
            let Some(command) = self.simple(command) else { continue };
            match command.request {
                // A target that owns the data is never taken away.
                Request::Rollback(_) if owner == Side::Target || shut => refuse(command, held()),
                Request::Rollback(_) | Request::Stop => {
                    return match self.end_by(command).await? {
                        Some(Turn::Over(end)) => Ok(Some(end)),
                        Some(Turn::Again) | None => Ok(None),
                    };
                }
                _ => refuse(command, held()),
            }
        }
    }

    /// Copies everything. A row without a key, which came since the plan was made, may end the copy: then it holds for as long as that row
    /// is there.
    pub(super) async fn copy_all(&mut self, link: &Link) -> Result<Option<Turn>> {
        let mut again = false;
        loop {
            let rejected = match self.copy().await {
                Err(error) if error.kind() == Kind::Rejected && self.unstuck.is_empty() => error,
                done => return done,
            };
            let mut held = false;
            while let Some(row) = self.unfollowed(link).await? {
                held = true;
                if let Some(end) = self.stand(row, Side::Source).await? {
                    return Ok(Some(Turn::Over(end)));
                }
                if self.is_set_back().await {
                    return Ok(Some(Turn::Again));
                }
            }
            if held {
                self.goes_on();
            } else if again {
                return Err(rejected);
            }
            // It may have been gone when it was looked for.
            again = !held;
        }
    }

    /// What the source says of a row that nothing can follow, if one is there that the log knows of. Nothing is taken.
    async fn unfollowed(&self, link: &Link) -> Result<Option<Error>> {
        let limit = Limit { entries: BATCH_ENTRIES_MAX, time_max: pace::read_max(1) };
        let mut after = link.position.clone();
        while let Some(from) = after {
            self.parts.shutdown.check("look for rows without a key")?;
            after = match self.again(async || link.feed.changes(&from, limit, None).await).await {
                Ok(changes) => Some(changes.upto).filter(|_| !changes.complete),
                Err(error) if error.kind() == Kind::Refused => return Ok(Some(error)),
                Err(error) => return Err(error),
            };
        }
        Ok(None)
    }

    /// It goes on, unless it is held by what the target's constraints refuse: until that was taken, it is.
    pub(super) fn goes_on(&self) {
        match self.refused {
            true => self.tell(LiveStatus::forget_lag),
            false => self.tell(LiveStatus::go_on),
        }
    }
}
