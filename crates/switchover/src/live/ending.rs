//! The end of a run whose data stays where it is: the follower is brought up to date, and both stores lose what the run put into them.
//!
//! Invariants: the target first, in one transaction, from which on the run is being finished, whoever takes it up, and nothing is followed
//! any more; what fails behind it is tried again until it is done, and nothing else is done meanwhile. A finish that came to nothing before it
//! says nothing of the target later. Absent: taking a run back, which is the driver's; the report, which is `finished`.

use super::engine::{End, Engine, Finished, Turn};
use super::follow::as_left;
use super::held::{LOOK_AGAIN, MAKE_ROOM};
use super::link::Link;
use super::requests::{answer, copy_of, refuse};
use super::status::{Answer, Command, Request};
use std::ops::ControlFlow;
use switchover_core::{Error, Result, failpoint};
use tokio::time::Instant;

impl Engine {
    /// Brings the follower up to date, so that the run can be finished.
    pub(super) async fn brought_up(&mut self, link: &mut Link) -> Result<()> {
        if self.is_set_back().await {
            self.as_recorded(self.ownership().await?).await?;
        }
        self.told_in_full().await?;
        loop {
            let step = link.step(None, true).await?;
            self.took(&step).await;
            if step.changes.complete && link.stands().await? {
                break;
            }
            as_left(link)?;
        }
        if !self.parts.target.can_own() {
            // Whatever was lost on the way here is mended by the next comparison, and by nobody behind the end.
            self.look_again(link);
            self.ready_now(link).await?;
        }
        Ok(())
    }

    /// Removes all that the run made, but the data, however long that takes. None where it came to nothing, and the run goes on: who asked
    /// is told why.
    pub(super) async fn remove(
        &mut self,
        begun: Instant,
        mut command: Option<Command>,
    ) -> Result<Option<Turn>> {
        let mut removed = self.remove_once().await;
        loop {
            let Err(error) = removed else {
                // Who asked is answered when the report is there.
                self.finished = Some(Finished { begun, command });
                return Ok(Some(Turn::Over(End::Finished)));
            };
            let left = self.parts.target.left().await;
            if matches!(left, Ok(false)) {
                self.no_end().await;
                let error = self.with_way_out(error).await;
                match command {
                    Some(command) => refuse(command, error),
                    None => self.note(error.to_string()),
                }
                return Ok(None);
            }
            let error = self.half_removed(error, left.is_ok());
            if let Some(command) = command.take() {
                refuse(command, copy_of(&error));
            }
            self.still_ours().await?;
            match self.hold_end(&error).await {
                ControlFlow::Break(end) => return Ok(Some(Turn::Over(end))),
                ControlFlow::Continue(again) => command = again,
            }
            removed = match left {
                Ok(_) => self.remove_once().await,
                // Whether there is anything to go on with is asked first.
                Err(unknown) => Err(unknown),
            };
        }
    }

    /// The target first: from then on the run is being finished, whoever takes it up.
    async fn remove_once(&mut self) -> Result<()> {
        // Leaving proves what is not proven yet, and two at once would take the same constraints away.
        if let Some(proving) = self.proving.take() {
            let _ = proving.await;
        }
        self.parts.announce.ending(true).await?;
        self.insist_with(MAKE_ROOM, async || self.parts.target.leave().await).await?;
        failpoint::hit("live-target-left");
        self.insist_with(MAKE_ROOM, async || self.parts.source.leave().await).await?;
        failpoint::hit("live-source-left");
        let schema = &self.parts.plan.options.schema;
        self.insist_with(MAKE_ROOM, async || self.parts.store.forget(schema, &self.parts.run).await).await?;
        failpoint::hit("live-forgotten");
        Ok(())
    }

    /// The run goes on: that an end of it was begun says nothing any more.
    pub(super) async fn no_end(&self) {
        if let Err(unkept) = self.parts.announce.ending(false).await {
            self.note(unkept.to_string());
        }
    }

    /// What keeps a run that has left its target from its end; or, where that is not `known`, what keeps it from being asked.
    fn half_removed(&self, error: Error, known: bool) -> Error {
        let stands = match known {
            true => {
                "the run has left the target and is being finished; what is left of it cannot be removed yet"
            }
            false => "it is not known yet whether the run has left the target and is being finished",
        };
        if error.why().contains(stands) {
            return error;
        }
        let hint = error.what_to_do();
        let hint = format!(
            "{hint}; it is tried again every few seconds, and by another `switchover finish` at once, and the data stays where it is; where the \
             source is lost, stop the engine, and `switchover finish --abandon-source` ends the run"
        );
        let detail = format!("{stands}: {}", error.why());
        error.detail(detail).hint(hint)
    }

    /// Holds for a while, or until somebody asks for the end once more: then with that request.
    async fn hold_end(&mut self, error: &Error) -> ControlFlow<End, Option<Command>> {
        let why = error.to_string();
        if self.status.borrow().held != why {
            self.note(format!("held: {why}"));
        }
        self.tell(|status| status.hold(why));
        let (stop, due) = (self.parts.shutdown.clone(), Instant::now() + LOOK_AGAIN);
        loop {
            let command = tokio::select! {
                biased;
                () = stop.requested() => return ControlFlow::Break(End::Stopped),
                () = tokio::time::sleep_until(due) => return ControlFlow::Continue(None),
                Some(command) = self.commands.recv() => command,
            };
            match &command.request {
                Request::Stop => {
                    answer(command, Ok(Answer::Ended));
                    return ControlFlow::Break(End::Stopped);
                }
                Request::Finish { .. } => return ControlFlow::Continue(Some(command)),
                Request::Cutover(_) | Request::Rollback(_) | Request::Verify => {
                    refuse(command, copy_of(error));
                }
                Request::Pause | Request::Resume | Request::Throttle { .. } => drop(self.simple(command)),
            }
        }
    }
}
