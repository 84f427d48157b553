//! What a run is asked for: what can be done at any time, what ends the work in hand, and what waits.

use super::check;
use super::engine::{End, Engine, Parts, Turn};
use super::follow::PRESSURE_EVERY;
use super::link::Link;
use super::pass::Pass;
use super::status::{Answer, Command, Request, SwitchOptions, Verification};
use super::tell::not_told;
use crate::routing::route::ALL;
use crate::shutdown::Shutdown;
use std::time::Duration;
use switchover_core::live::Side;
use switchover_core::{Error, Kind, Result};
use tokio::time::{Instant, MissedTickBehavior};

impl Engine {
    /// Keeps a change of the owner, or the end of a run that only serves reads, until it can be made, and says so. The last one counts: its flags are what somebody wants now.
    pub(super) fn wait_with(&mut self, options: SwitchOptions, command: Command) {
        if let Some((_, earlier)) = self.waiting.replace((options, command)) {
            let error = Error::new(Kind::Refused, "wait until it can be done")
                .detail("a later request took the place of this one")
                .hint("`switchover status` shows what comes of it");
            refuse(earlier, error);
        }
        self.tell(|_| {});
    }

    /// Keeps a request that is to wait until the target is up to date and proven; gives any other back.
    pub(super) fn unless_it_waits(&mut self, command: Command) -> Option<Command> {
        let options = match &command.request {
            Request::Cutover(options) if options.when_ready => *options,
            Request::Finish { when_ready: true, .. } if !self.parts.target.can_own() => {
                SwitchOptions::default()
            }
            _ => return Some(command),
        };
        self.wait_with(options, command);
        None
    }

    /// Carries out work while requests are answered; one that ends the run ends the work first, and so does a target that is set back.
    pub(super) async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T>>,
        stop: &Shutdown,
    ) -> Result<Option<Turn>> {
        let mut work = std::pin::pin!(work);
        let (mut last, mut set_back) = (None, false);
        let mut looks = tokio::time::interval(PRESSURE_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                done = &mut work => match (done, last) {
                    // The work has ended: where the run does not, it begins again.
                    (_, Some(command)) => {
                        return self.end_by(command).await.map(|turn| turn.or(Some(Turn::Again)));
                    }
                    (_, None) if set_back => return Ok(Some(Turn::Again)),
                    (done, None) => return done.map(|_| None),
                },
                _ = looks.tick(), if last.is_none() && !set_back => {
                    set_back = self.is_set_back().await;
                    if set_back {
                        stop.request();
                    }
                }
                Some(command) = self.commands.recv(), if last.is_none() => {
                    if let Some(command) = self.simple(command).and_then(|command| self.unless_it_waits(command)) {
                        match command.request {
                            Request::Rollback(_) | Request::Stop => {
                                self.pace.set(|limits| limits.paused = false);
                                stop.request();
                                last = Some(command);
                            }
                            Request::Finish { .. } if self.parts.target.can_own() => {
                                refuse(command, nothing_to_finish());
                            }
                            _ => refuse(command, not_ready("all rows are not copied yet")),
                        }
                    }
                }
            }
        }
    }

    /// Answers a request that needs no particular stage; gives any other back.
    pub(super) fn simple(&mut self, command: Command) -> Option<Command> {
        match &command.request {
            // A rollback gives the data back at the target, and takes the whole run back at the source; behind a finish there is no way
            // back, and a cutover may undo what a guard has just done: nobody asked for that.
            Request::Rollback(_) | Request::Cutover(_) | Request::Finish { .. }
                if self.is_outdated(&command) =>
            {
                let error = self.owner_changed(&command.request);
                refuse(command, error);
                return None;
            }
            // Typed once more, it would take the whole run back. Of tables that were there it is asked for, where others wrote to them.
            Request::Rollback(options)
                if options.accept_difference
                    && self.parts.target.can_own()
                    && self.parts.plan.options.existing.is_none()
                    && self.status.borrow().ownership.owner == Side::Source =>
            {
                let error = Error::new(Kind::Refused, "go back to the source")
                    .detail(
                        "the source owns the data already, and nothing of the target's is left to discard",
                    )
                    .hint("leave --discard-target-changes out to take the whole run back");
                refuse(command, error);
                return None;
            }
            // Whatever else is under way: the run could be taken back now, unless the application was not told in full before.
            Request::Rollback(options)
                if options.dry_run && self.status.borrow().ownership.owner == Side::Source =>
            {
                let untold = self.untold.map(|_| {
                    let status = self.status.borrow();
                    not_told(status.ownership.owner, &status.untold)
                        .hint("mend what fails there: `switchover rollback` has it told first")
                });
                answer(command, untold.map_or(Ok(Answer::Ready), Err));
                return None;
            }
            Request::Pause | Request::Resume => {
                let paused = command.request == Request::Pause;
                self.pace.set(|limits| limits.paused = paused);
                self.tell(|status| status.paused = paused);
                if !paused {
                    self.tell_at_once();
                }
            }
            Request::Throttle { rows_per_s, commit_ms_max } => {
                let (rows_per_s, commit_max) = (*rows_per_s, commit_ms_max.map(Duration::from_millis));
                self.pace.set(|limits| {
                    limits.rows_per_s = rows_per_s;
                    limits.commit_max = commit_max;
                });
            }
            _ => return Some(command),
        }
        answer(command, Ok(Answer::Done));
        None
    }

    /// Ends the run as a request demands that needs nothing but the source as the owner. None where that is refused, or where reads
    /// went back before it.
    pub(super) async fn end_by(&mut self, command: Command) -> Result<Option<Turn>> {
        if matches!(command.request, Request::Rollback(_)) && !self.parts.target.can_own() {
            match self.has_readers().await {
                Ok(false) => {}
                Ok(true) => {
                    self.move_reads(0, false, command).await;
                    return Ok(None);
                }
                Err(error) => {
                    refuse(command, error);
                    return Ok(None);
                }
            }
        }
        let end = match command.request {
            Request::Stop => Ok(End::Stopped),
            _ => match self.told_in_full().await {
                Ok(()) => self.take_back().await,
                Err(error) => {
                    refuse(command, error);
                    return Ok(None);
                }
            },
        };
        match end {
            Ok(end) => {
                answer(command, Ok(Answer::Ended));
                Ok(Some(Turn::Over(end)))
            }
            Err(error) => {
                let shown = copy_of(&error);
                answer(command, Err(error));
                Err(shown)
            }
        }
    }

    /// Carries out what was asked for meanwhile.
    pub(super) async fn obey(&mut self, link: &mut Link) -> Result<Option<Turn>> {
        if self.waiting.take_if(|(_, command)| command.reply.is_closed()).is_some() {
            self.note("what was waited for is not wanted any more".into());
        }
        let outdated = self.waiting.as_ref().is_some_and(|(_, command)| self.is_outdated(command));
        if let Some((_, command)) = self.waiting.take_if(|_| outdated) {
            // It waited while the owner changed for another reason; now it would change it back.
            let error = self.owner_changed(&command.request);
            refuse(command, error);
        }
        if let Verification::Different { why } = &self.verified
            && let Some((_, command)) = self.waiting.take_if(|(options, _)| !options.accept_difference)
        {
            // It would wait for a person who does not know of it.
            refuse(command, differs(link.from, why));
        }
        if self.waiting.is_some()
            && self.ready_now(link).await.is_ok()
            && let Some((options, command)) = self.waiting.take()
        {
            return match command.request {
                Request::Finish { .. } => self.finish_by(link, command).await,
                _ => self.switch_by(link, options, command).await,
            };
        }
        match self.commands.try_recv() {
            Ok(command) => self.carry_out(link, command).await,
            Err(_) => Ok(None),
        }
    }

    pub(super) async fn carry_out(&mut self, link: &mut Link, command: Command) -> Result<Option<Turn>> {
        let Some(command) = self.simple(command) else { return Ok(None) };
        let only_reads = !self.parts.target.can_own();
        match (&command.request, link.from) {
            (Request::Stop, _) | (Request::Rollback(_), Side::Source) => self.end_by(command).await,
            (Request::Verify, Side::Source) => {
                self.pass = Some(Pass::default());
                self.unproven();
                self.tell(|status| status.compared += 1);
                let number = self.status.borrow().compared;
                answer(command, Ok(Answer::Comparing { number }));
                Ok(None)
            }
            (Request::Cutover(options), Side::Source) | (Request::Rollback(options), Side::Target) => {
                let options = *options;
                if let Verification::Different { why } = &self.verified
                    && !(options.accept_difference && link.from == Side::Target)
                {
                    let why = differs(link.from, why);
                    refuse(command, why);
                    return Ok(None);
                }
                match self.ready_now(link).await {
                    Err(_) if options.when_ready => {
                        self.wait_with(options, command);
                        Ok(None)
                    }
                    Err(error) => {
                        refuse(command, error);
                        Ok(None)
                    }
                    Ok(()) => self.switch_by(link, options, command).await,
                }
            }
            (Request::Finish { when_ready, .. }, Side::Source) if only_reads => {
                let when_ready = *when_ready;
                if let Verification::Different { why } = &self.verified {
                    let why = differs(link.from, why);
                    refuse(command, why);
                    return Ok(None);
                }
                // What was lost on the way and not mended yet would be lost for good.
                match self.ready_now(link).await {
                    Err(_) if when_ready => {
                        self.wait_with(SwitchOptions::default(), command);
                        Ok(None)
                    }
                    Err(error) => {
                        refuse(command, error);
                        Ok(None)
                    }
                    Ok(()) => self.finish_by(link, command).await,
                }
            }
            (Request::Finish { .. }, Side::Target) => self.finish_by(link, command).await,
            (Request::Finish { .. }, Side::Source) => {
                refuse(command, nothing_to_finish());
                Ok(None)
            }
            (Request::Verify, Side::Target) => {
                refuse(
                    command,
                    not_ready("all rows are compared while the source owns the data").hint(
                        "in the reverse window each change is read back; after a rollback all rows are compared again",
                    ),
                );
                Ok(None)
            }
            _ => {
                refuse(
                    command,
                    not_ready("the target owns the data already").hint("`switchover rollback` goes back"),
                );
                Ok(None)
            }
        }
    }

    async fn finish_by(&mut self, link: &mut Link, command: Command) -> Result<Option<Turn>> {
        let begun = Instant::now();
        match self.brought_up(link).await {
            Ok(()) => self.remove(begun, Some(command)).await,
            Err(error) => {
                let error = self.with_way_out(error).await;
                refuse(command, error);
                Ok(None)
            }
        }
    }

    /// Whether it was asked for before the owner changed, if it did: it arrived before, or who asked did not know of it.
    fn is_outdated(&self, command: &Command) -> bool {
        let status = self.status.borrow();
        let changed = status.switched.as_ref().map(|report| report.epoch);
        self.turned.is_some_and(|turned| command.asked < turned)
            || command.request.seen().is_some_and(|seen| {
                // The epoch alone does not tell: it grows with a change that was given up, too.
                seen.owner != status.ownership.owner || changed.is_some_and(|changed| seen.epoch < changed)
            })
    }

    /// Why a request that was made before the owner changed is not carried out.
    fn owner_changed(&self, request: &Request) -> Error {
        let owner = self.status.borrow().ownership.owner;
        let next = match (request, owner) {
            (Request::Finish { .. }, Side::Source) => "`switchover cutover` comes before it",
            (Request::Finish { .. }, Side::Target) => "ask again if this reverse window is to end, for good",
            (Request::Cutover(_), Side::Source) => "ask again if the target is to own the data once more",
            (Request::Cutover(_), Side::Target) => "`switchover rollback` goes back",
            // Whoever asks again was told of the rollback before, and that no engine was left.
            (Request::Rollback(_), Side::Source) if self.owing.is_some() => {
                "the target does not follow yet, and `switchover resume` has an engine try until it does; to take the whole run back instead, \
                 stop that engine, and ask for `switchover rollback` again"
            }
            (_, Side::Source) => "ask again if the run is to be taken back",
            (_, Side::Target) => "ask again if the source is to own the data again",
        };
        Error::new(Kind::Refused, "carry the request out")
            .detail(format!("the owner changed meanwhile: the {owner} owns the data now"))
            .hint(format!("`switchover status` shows it; {next}"))
    }

    /// Whether reads go to a target that does not own the data. An engine that was started again has the route say that none
    /// does, for the target may lack rows then; a name of the target's own still leads its readers there.
    async fn has_readers(&self) -> Result<bool> {
        let target = &self.parts.target;
        Ok(self.parts.announce.reads_at_target().await? > 0
            || self.again(async || target.has_readers().await).await?)
    }

    /// Sends reads to a target that does not own the data, or back to the source. Writes stay where they are.
    async fn move_reads(&mut self, percent: u8, dry_run: bool, command: Command) {
        if dry_run {
            let could = match percent {
                0 => Ok(()),
                _ => self.parts.announce.may_move_reads().await,
            };
            return answer(command, could.map(|()| Answer::Ready));
        }
        match self.moved(percent).await {
            Ok(()) => {
                self.note(format!("{percent}% of reads go to the target now; writes stay with the source"));
                answer(command, Ok(Answer::Reads { percent }));
            }
            Err(error) => refuse(command, error),
        }
    }

    async fn moved(&self, percent: u8) -> Result<()> {
        let Parts { target, announce, .. } = &self.parts;
        if percent > 0 {
            announce.may_move_reads().await?;
        }
        self.again(async || target.readers(percent > 0).await).await?;
        announce.move_reads(percent).await
    }

    pub(super) async fn switch_by(
        &mut self,
        link: &mut Link,
        options: SwitchOptions,
        command: Command,
    ) -> Result<Option<Turn>> {
        if !self.parts.target.can_own() {
            self.move_reads(ALL, options.dry_run, command).await;
            return Ok(None);
        }
        if options.dry_run {
            // What the switch and its proposal would ask.
            let made = match link.from {
                Side::Source => self.again(async || self.parts.target.as_made().await).await,
                Side::Target => Ok(()),
            };
            let could = match made {
                Ok(()) => self.may_change().await,
                refused => refused,
            };
            answer(command, could.map(|()| Answer::Ready));
            return Ok(None);
        }
        match self.switch(link, options, None).await {
            Ok((report, owed)) => {
                answer(command, Ok(Answer::Switched(report)));
                owed.map_or(Ok(Some(Turn::Again)), Err)
            }
            // It is unclear who owns the data: nothing goes on before that is known.
            Err(error) if matches!(error.kind(), Kind::Ambiguous | Kind::Busy) => {
                let shown = copy_of(&error);
                answer(command, Err(error));
                if shown.kind() == Kind::Ambiguous || self.owing.is_some() { Err(shown) } else { Ok(None) }
            }
            Err(error) => {
                let shown = copy_of(&error);
                answer(command, Err(error));
                if self.owing.is_some() { Err(shown) } else { Ok(None) }
            }
        }
    }
}

pub(super) fn not_ready(why: &str) -> Error {
    Error::new(Kind::Refused, "do this now")
        .detail(why)
        .hint("`switchover status --watch` shows how far it is")
}

/// The stores are known to differ, so the owner does not change: what its follower lacks would be lost.
fn differs(owner: Side, why: &str) -> Error {
    let error =
        not_ready("the stores are not equal").detail(format!("the stores are known to differ: {why}"));
    error.hint(check::remedy(owner))
}

fn nothing_to_finish() -> Error {
    not_ready("the source owns the data")
        .hint("`switchover cutover` first, or `switchover rollback` to take the run back")
}

pub(super) fn refuse(command: Command, error: Error) {
    answer(command, Err(error));
}

pub(super) fn answer(command: Command, answer: Result<Answer>) {
    // Who asked may have gone meanwhile; the run's state says what came of it.
    let _ = command.reply.send(answer);
}

/// The same error for a second reader; the cause stays with the first.
pub(super) fn copy_of(error: &Error) -> Error {
    let subject = error.subject().clone();
    Error::new(error.kind(), error.operation())
        .store(subject.store)
        .table(subject.table)
        .key(subject.key)
        .column(subject.column)
        .detail(error.why())
        .hint(error.what_to_do())
}
