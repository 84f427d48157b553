//! What each action does: a writer's, an engine's step, and what a store carries out for it.

use super::{Action, Answer, At, Back, Broken, Do, Engine, Holds, Kept, Model, Request, State, Store, die};
use switchover::core::live::Ownership;

impl Model {
    pub(crate) fn after(&self, state: &State, action: Action) -> State {
        let mut next = state.clone();
        match action {
            Action::Begin(write, store) => {
                next.begun |= write.bit();
                next.open[store.at()] |= write.bit();
            }
            Action::Commit(write, store) => {
                next.open[store.at()] &= !write.bit();
                next.by[store.at()] |= write.bit();
                if store == Store::Target {
                    number_again(&mut next, write.bit());
                }
                let holds = &mut next.stores[store.at()];
                holds.row |= write.bit();
                let forgotten = self.without(Broken::SettleByNumber) && write.bit() <= holds.pruned;
                let deaf = self.without(Broken::NoReverseLog) && store == Store::Target;
                if !forgotten && !deaf {
                    holds.log |= write.bit();
                }
            }
            Action::Start(number) => {
                let target = &mut next.stores[Store::Target.at()];
                target.attempt += 1;
                next.engines[number].attempt = target.attempt;
                next.engines[number].at = At::Enter;
            }
            Action::Choose(number) => {
                next.engines[number].at = At::Propose;
                next.engines[number].draining = true;
            }
            Action::Abort(number) => self.abort(&mut next.engines[number]),
            Action::Step(number) => self.step(&mut next, number),
            Action::Lost(number) => {
                let engine = next.engines[number];
                let answer = self.carry_out(&mut next, engine.request());
                self.unknown(&mut next.engines[number], answer);
            }
            Action::Late(number) => {
                next.late = Some(next.engines[number].request());
                self.unknown(&mut next.engines[number], Answer::Done);
            }
            Action::Arrive => {
                if let Some(request) = next.late.take() {
                    self.carry_out(&mut next, request);
                }
            }
            Action::Crash(number) => die(&mut next.engines[number]),
            Action::Keep => {
                let holds = next.stores[Store::Target.at()];
                next.back = Back::May(Kept { holds, decision: next.decision, mark: next.mark });
            }
            Action::SetBack => self.put_back(&mut next),
        }
        self.normalise(&mut next);
        next
    }

    /// The target is as it was kept: its writers are gone, and so are the sessions that it had.
    fn put_back(&self, state: &mut State) {
        let Back::May(kept) = state.back else { return };
        let target = &mut state.stores[Store::Target.at()];
        let lost = target.row & !kept.holds.row;
        *target = Holds { attempt: target.attempt, ..kept.holds };
        state.decision = kept.decision;
        state.mark = kept.mark;
        state.open[Store::Target.at()] = 0;
        state.by.iter_mut().for_each(|by| *by &= !lost);
        state.back = Back::Was(lost);
        if self.without(Broken::SessionsOutlive) {
            return;
        }
        state.late = None;
        for engine in state.engines.iter_mut().filter(|engine| !matches!(engine.at, At::Dead | At::Enter)) {
            *engine = Engine { attempt: engine.attempt, at: At::Look, ..State::first().engines[0] };
        }
    }

    /// Makes states equal that differ in nothing that can still matter: which process an engine is, and a late
    /// request that will be refused.
    fn normalise(&self, state: &mut State) {
        state.engines.sort_unstable_by_key(|engine| engine.attempt);
        state.late = state.late.filter(|late| !self.superseded(&state.stores, late));
    }

    /// The engine does not know what became of its request.
    fn unknown(&self, engine: &mut Engine, answer: Answer) {
        // Compare-and-set and positions make asking again harmless. A fence has neither: who does not know begins
        // anew with a larger attempt, so that the request is refused if it is still under way.
        let bare = matches!(engine.request().what, Do::Fence(_) | Do::Open(_));
        if answer == Answer::Superseded || (bare && !self.without(Broken::AskAgain)) {
            die(engine);
        } else if let Do::Decide { .. } = engine.request().what {
            engine.at = At::Look;
            engine.draining = false;
        }
    }

    /// Takes back what was proposed, when the decision was never asked for. The source may write again at once, since
    /// nobody but this engine could decide; the target only when the row says so, as its fence follows that.
    fn abort(&self, engine: &mut Engine) {
        engine.draining = false;
        engine.at = match (engine.at, engine.seen.owner) {
            // It has changed nothing yet.
            (At::Propose, _) => At::Look,
            (_, Store::Source) => At::Open,
            (_, Store::Target) => At::Withdraw,
        };
    }

    fn step(&self, state: &mut State, number: usize) {
        let mut engine = state.engines[number];
        let answer = match engine.at {
            At::Look | At::Idle | At::Read | At::Dead => Answer::Done,
            _ => self.carry_out(state, engine.request()),
        };
        if engine.at == At::Read && engine.seen.owner == Store::Target {
            // Before the source gets any of it.
            let reads = state.stores[Store::Target.at()].log & !engine.after != 0;
            if self.set_back
                && reads
                && !self.is_behind(state, engine.marks[0])
                && !self.without(Broken::MarkTooLate)
            {
                state.mark += 1;
            }
        }
        match answer {
            Answer::Wait => return,
            Answer::Superseded => die(&mut engine),
            Answer::No | Answer::Done => self.learn(state, &mut engine, answer == Answer::Done),
        }
        state.engines[number] = engine;
    }

    /// What the engine does next, by what it heard.
    fn learn(&self, state: &State, engine: &mut Engine, done: bool) {
        let owner = engine.seen.owner;
        engine.at = match engine.at {
            At::Dead => At::Dead,
            At::Enter => At::Look,
            At::Look => {
                engine.seen = state.decision;
                engine.after = state.stores[engine.seen.owner.other().at()].taken;
                engine.marks = [state.taken_mark; 2];
                match engine.seen.pending {
                    true if self.without(Broken::RecoverForward) => At::Decide,
                    true if !self.without(Broken::OpenBeforeWithdrawal) => At::Withdraw,
                    _ => At::Open,
                }
            }
            // A row that was not as it seemed: look again.
            At::Withdraw | At::Propose | At::Decide if !done => At::Look,
            At::Withdraw => {
                engine.seen = engine.seen.by(Ownership::withdrawn);
                At::Open
            }
            At::Open if engine.seen.pending && !engine.draining => At::Withdraw,
            At::Open if engine.draining => At::Decide,
            At::Open => At::Idle,
            At::Idle => At::Read,
            At::Propose => {
                engine.seen = engine.seen.by(Ownership::proposed);
                At::Fence
            }
            At::Fence if self.without(Broken::DecideBeforeDrain) => At::Decide,
            At::Fence => At::Read,
            At::Read if owner == Store::Target && self.is_behind(state, engine.marks[0]) => {
                if engine.draining {
                    self.abort(engine);
                    return;
                }
                At::Idle
            }
            At::Read => {
                let holds = &state.stores[owner.at()];
                engine.row = holds.row;
                engine.upto = engine.after | holds.log;
                if owner == Store::Target && engine.upto != engine.after {
                    engine.marks[1] = state.mark;
                }
                if self.without(Broken::SettleBeforeApply) { At::Settle } else { At::Apply }
            }
            At::Apply | At::Settle if !done => At::Look,
            At::Apply | At::Settle if engine.at == self.last() => {
                engine.after = engine.upto;
                engine.marks[0] = engine.marks[1];
                match (engine.draining, owner, self.without(Broken::OpenBeforeDecision)) {
                    (false, ..) => At::Idle,
                    (true, Store::Target, true) => At::Open,
                    (true, ..) => At::Decide,
                }
            }
            At::Apply => At::Settle,
            At::Settle => At::Apply,
            At::Decide => At::Look,
        };
        if engine.at == At::Look {
            engine.draining = false;
        }
        if matches!(engine.at, At::Idle | At::Look) {
            (engine.row, engine.upto) = (0, 0);
        }
    }

    /// Whether the target has not the mark of a position: it was set back.
    fn is_behind(&self, state: &State, mark: u8) -> bool {
        state.mark < mark && !self.without(Broken::NoMark)
    }

    /// Which of applying and pruning comes last.
    fn last(&self) -> At {
        if self.without(Broken::SettleBeforeApply) { At::Apply } else { At::Settle }
    }

    /// Whether a newer engine has entered the store.
    fn superseded(&self, stores: &[Holds; 2], request: &Request) -> bool {
        let store = request.what.store();
        let guard = match store {
            Store::Source => Broken::NoAttemptAtSource,
            Store::Target => Broken::NoAttemptAtTarget,
        };
        request.attempt < stores[store.at()].attempt && !self.without(guard)
    }

    /// One transaction of one store.
    fn carry_out(&self, state: &mut State, request: Request) -> Answer {
        let Request { attempt, what } = request;
        if self.superseded(&state.stores, &request) {
            return Answer::Superseded;
        }
        let store = what.store();
        match what {
            Do::Enter => state.stores[store.at()].attempt = attempt,
            Do::Decide { from, to } => {
                if state.decision != from {
                    if !self.without(Broken::NoCompare) {
                        return Answer::No;
                    }
                    state.torn = true;
                }
                state.decision = to;
                if to.owner == Store::Target && !to.pending {
                    state.stores[Store::Target.at()].open = true;
                }
            }
            Do::Fence(of) => {
                if of == Store::Source && self.without(Broken::NoFence) {
                    return Answer::Done;
                }
                if state.open[of.at()] != 0
                    && !(of == Store::Target && self.without(Broken::FenceDoesNotWait))
                {
                    return Answer::Wait;
                }
                state.stores[of.at()].open = false;
            }
            Do::Open(of) => state.stores[of.at()].open = true,
            Do::Apply { to, row, after, upto, marks: [mark, next] } => {
                let elsewhere = to == Store::Source && state.taken_mark != mark;
                let holds = &mut state.stores[to.at()];
                if (holds.taken != after || elsewhere) && !self.without(Broken::NoPosition) {
                    return Answer::No;
                }
                // Without entries there are no rows: such a request may come at any time, for its position is
                // the same before and after.
                if after != upto || self.without(Broken::RowsWithoutEntries) {
                    holds.row = row;
                }
                holds.taken = upto;
                if to == Store::Source {
                    state.taken_mark = next;
                }
            }
            Do::Settle { of, upto, mark } => {
                if of == Store::Target && self.is_behind(state, mark) {
                    return Answer::No;
                }
                if of == Store::Target && self.without(Broken::MarkTooLate) && state.stores[1].log & upto != 0
                {
                    state.mark += 1;
                }
                let holds = &mut state.stores[of.at()];
                if self.without(Broken::SettleByNumber) {
                    holds.pruned = holds.pruned.max(upto);
                }
                holds.log &= !upto;
            }
        }
        Answer::Done
    }
}

/// A write at a target that was set back gets the number of an entry that it lost: whatever holds that one holds this.
fn number_again(state: &mut State, write: u8) {
    let Back::Was(lost) = &mut state.back else { return };
    let number = *lost & lost.wrapping_neg();
    if number == 0 {
        return;
    }
    *lost &= !number;
    let held = |position: &mut u8| {
        if *position & number != 0 {
            *position |= write;
        }
    };
    held(&mut state.stores[Store::Source.at()].taken);
    for engine in state.engines.iter_mut().filter(|engine| engine.seen.owner == Store::Target) {
        held(&mut engine.after);
        held(&mut engine.upto);
    }
    match state.late.as_mut().map(|late| &mut late.what) {
        Some(Do::Apply { to: Store::Source, after, upto, .. }) => {
            held(after);
            held(upto);
        }
        Some(Do::Settle { of: Store::Target, upto, .. }) => held(upto),
        _ => {}
    }
}
