//! What the specification is about: two stores, writers that pick a store as they like, engines, and one request
//! that comes late.
//!
//! A step of an engine is a [`Request`] that one store carries out whole, in a transaction. An engine may die
//! before or after it, may lose the answer and ask again, and its request may be carried out at any later time, when
//! another engine is at work. A row is the set of the writes that are in it; a store's log is the set of writes that were
//! logged, and a position is the set of entries that were taken: so what is lost or overwritten shows.

use switchover::core::live::{Ownership, Side as OwnerSide};

/// Engines at once: one, and one that believes the first to be dead.
const ENGINES: usize = 2;

/// One of the two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Store {
    Source,
    Target,
}

impl Store {
    const BOTH: [Store; 2] = [Store::Source, Store::Target];

    pub(crate) fn at(self) -> usize {
        self as usize
    }

    pub(crate) fn other(self) -> Store {
        if self == Store::Source { Store::Target } else { Store::Source }
    }
}

/// A write of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Write(u8);

impl Write {
    pub(crate) fn bit(self) -> u8 {
        1 << self.0
    }
}

/// A guard that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    /// The fence of the source lets writes through.
    NoFence,
    /// The fence of the target does not wait for transactions that it let in.
    FenceDoesNotWait,
    /// The target lets writes in before it is the owner.
    NoGate,
    /// The decision row is set without comparing.
    NoCompare,
    /// Changes are applied whatever was applied before.
    NoPosition,
    /// The source does not ask for the attempt.
    NoAttemptAtSource,
    /// The target does not ask for the attempt.
    NoAttemptAtTarget,
    /// The owner changes before what was logged until the fence is applied.
    DecideBeforeDrain,
    /// On the way back, the source is let write before the decision.
    OpenBeforeDecision,
    /// The log is pruned before the other store has the rows.
    SettleBeforeApply,
    /// The log is pruned up to the largest number seen: a transaction under way may hold a smaller one.
    SettleByNumber,
    /// A batch that moves no position carries rows.
    RowsWithoutEntries,
    /// The target logs nothing after the cutover.
    NoReverseLog,
    /// Who finds a proposal carries it out, without fencing and draining.
    RecoverForward,
    /// The owner is let write before the proposal is withdrawn, though the decision may have been asked for.
    OpenBeforeWithdrawal,
    /// A fence or its removal whose answer was lost is simply asked for again.
    AskAgain,
}

/// All of them.
pub(crate) fn all() -> Vec<Broken> {
    use Broken::*;
    vec![
        NoFence,
        FenceDoesNotWait,
        NoGate,
        NoCompare,
        NoPosition,
        NoAttemptAtSource,
        NoAttemptAtTarget,
        DecideBeforeDrain,
        OpenBeforeDecision,
        SettleBeforeApply,
        SettleByNumber,
        RowsWithoutEntries,
        NoReverseLog,
        RecoverForward,
        OpenBeforeWithdrawal,
        AskAgain,
    ]
}

/// The decision row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Decision {
    pub(crate) owner: Store,
    pub(crate) pending: bool,
    pub(crate) epoch: u64,
}

impl Decision {
    /// The row by the transitions that the engine uses.
    fn by(self, change: fn(Ownership) -> Ownership) -> Decision {
        let owner = if self.owner == Store::Source { OwnerSide::Source } else { OwnerSide::Target };
        let now = change(Ownership { owner, pending: self.pending, epoch: self.epoch });
        let owner = if now.owner == OwnerSide::Source { Store::Source } else { Store::Target };
        Decision { owner, pending: now.pending, epoch: now.epoch }
    }
}

/// One store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Holds {
    /// The writes that are in the row.
    pub(crate) row: u8,
    /// The writes in the log.
    pub(crate) log: u8,
    /// The other store's entries that it has taken.
    pub(crate) taken: u8,
    /// Whether the application's writes are let in.
    pub(crate) open: bool,
    /// Who may write for the run.
    attempt: u8,
    /// Numbers of the log up to this one were pruned; only where that is broken.
    pruned: u8,
}

/// What an engine asks of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Do {
    Enter,
    Decide { from: Decision, to: Decision },
    Fence(Store),
    Open(Store),
    Apply { to: Store, row: u8, after: u8, upto: u8 },
    Settle { of: Store, upto: u8 },
}

/// The same, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    attempt: u8,
    what: Do,
}

/// What the engine hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Done,
    /// The compare failed, or the position is another one.
    No,
    /// A newer engine is at work.
    Superseded,
    /// A writer is under way.
    Wait,
}

/// Where an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Dead,
    Enter,
    Look,
    /// Takes a proposal back.
    Withdraw,
    /// Lets the owner write, whether it was fenced or not.
    Open,
    Idle,
    Propose,
    Fence,
    Read,
    Apply,
    Settle,
    Decide,
}

/// One engine; all of it but the attempt is lost when it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Engine {
    attempt: u8,
    at: At,
    /// The decision row as it last saw it.
    seen: Decision,
    /// Whether it drains before a decision.
    draining: bool,
    row: u8,
    after: u8,
    upto: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) stores: [Holds; 2],
    pub(crate) decision: Decision,
    engines: [Engine; ENGINES],
    late: Option<Request>,
    /// Writes that were begun; a write is tried once.
    begun: u8,
    /// Writes that are let in by a store and not committed.
    open: [u8; 2],
    /// Writes that are acknowledged, by the store that did.
    pub(crate) by: [u8; 2],
    /// The decision row was changed by somebody who compared it with another one.
    pub(crate) torn: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A writer's transaction is let in by a store.
    Begin(Write, Store),
    /// It commits, and its acknowledgement arrives.
    Commit(Write, Store),
    /// A process begins to be an engine.
    Start(usize),
    /// An engine chooses to cut over, or back.
    Choose(usize),
    /// An engine gives up what it proposed: time is up, or it was asked to.
    Abort(usize),
    /// An engine's step.
    Step(usize),
    /// The step takes effect, and its answer is lost.
    Lost(usize),
    /// The answer is lost, and the step will take effect at some later time, or never.
    Late(usize),
    /// The late request arrives.
    Arrive,
    /// An engine dies.
    Crash(usize),
}

/// The bounds, and what is broken.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    writes: u8,
    attempts: u8,
    epochs: u64,
    broken: Option<Broken>,
}

impl State {
    pub(crate) fn first() -> State {
        let decision = Decision { owner: Store::Source, pending: false, epoch: Ownership::FIRST.epoch };
        let holds = Holds { row: 0, log: 0, taken: 0, open: false, attempt: 0, pruned: 0 };
        let engine =
            Engine { attempt: 0, at: At::Dead, seen: decision, draining: false, row: 0, after: 0, upto: 0 };
        State {
            stores: [Holds { open: true, ..holds }, holds],
            decision,
            engines: [engine; ENGINES],
            late: None,
            begun: 0,
            open: [0; 2],
            by: [0; 2],
            torn: false,
        }
    }

    pub(crate) fn owner(&self) -> Store {
        self.decision.owner
    }

    pub(crate) fn acknowledged(&self, write: Write) -> bool {
        (self.by[0] | self.by[1]) & write.bit() != 0
    }

    pub(crate) fn under_way(&self, write: Write, store: Store) -> bool {
        self.open[store.at()] & write.bit() != 0
    }
}

impl Model {
    /// The model that must hold.
    pub(crate) fn sound() -> Model {
        Model { writes: 2, attempts: 2, epochs: 5, broken: None }
    }

    /// The model without one guard.
    pub(crate) fn broken(guard: Broken) -> Model {
        Model { broken: Some(guard), ..Model::sound() }
    }

    pub(crate) fn writes(&self) -> impl Iterator<Item = Write> + use<> {
        (0..self.writes).map(Write)
    }

    pub(crate) fn all_writes(&self) -> u8 {
        (1 << self.writes) - 1
    }

    fn without(&self, guard: Broken) -> bool {
        self.broken == Some(guard)
    }

    pub(crate) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        for write in self.writes() {
            for store in Store::BOTH {
                let holds = &state.stores[store.at()];
                let gate = store == Store::Target && self.without(Broken::NoGate);
                if state.begun & write.bit() == 0 && (holds.open || gate) {
                    actions.push(Action::Begin(write, store));
                }
                if state.under_way(write, store) {
                    actions.push(Action::Commit(write, store));
                }
            }
        }
        if state.late.is_some() {
            actions.push(Action::Arrive);
        }
        for (number, engine) in state.engines.iter().enumerate() {
            match engine.at {
                At::Dead => {
                    if state.stores[Store::Target.at()].attempt < self.attempts {
                        actions.push(Action::Start(number));
                    }
                    continue;
                }
                At::Idle => {
                    actions.push(Action::Step(number));
                    if engine.seen.epoch < self.epochs {
                        actions.push(Action::Choose(number));
                    }
                }
                At::Look | At::Read => actions.push(Action::Step(number)),
                _ => {
                    actions.extend([Action::Step(number), Action::Lost(number)]);
                    if state.late.is_none() {
                        actions.push(Action::Late(number));
                    }
                }
            }
            if engine.draining {
                actions.push(Action::Abort(number));
            }
            actions.push(Action::Crash(number));
        }
    }

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
        }
        self.normalise(&mut next);
        next
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
            At::Read => {
                let holds = &state.stores[owner.at()];
                engine.row = holds.row;
                engine.upto = engine.after | holds.log;
                if self.without(Broken::SettleBeforeApply) { At::Settle } else { At::Apply }
            }
            At::Apply if !done => At::Look,
            At::Apply | At::Settle if engine.at == self.last() => {
                engine.after = engine.upto;
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
            Do::Apply { to, row, after, upto } => {
                let holds = &mut state.stores[to.at()];
                if holds.taken != after && !self.without(Broken::NoPosition) {
                    return Answer::No;
                }
                // Without entries there are no rows: such a request may come at any time, for its position is
                // the same before and after.
                if after != upto || self.without(Broken::RowsWithoutEntries) {
                    holds.row = row;
                }
                holds.taken = upto;
            }
            Do::Settle { of, upto } => {
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

fn die(engine: &mut Engine) {
    *engine = State::first().engines[0];
}

impl Do {
    fn store(self) -> Store {
        match self {
            // The target's attempt is given when the process begins.
            Do::Enter => Store::Source,
            Do::Decide { .. } => Store::Target,
            Do::Fence(store) | Do::Open(store) => store,
            Do::Apply { to, .. } => to,
            Do::Settle { of, .. } => of,
        }
    }
}

impl Engine {
    /// What it asks where it is.
    fn request(&self) -> Request {
        let owner = self.seen.owner;
        let what = match self.at {
            At::Enter => Do::Enter,
            At::Withdraw => Do::Decide { from: self.seen, to: self.seen.by(Ownership::withdrawn) },
            At::Propose => Do::Decide { from: self.seen, to: self.seen.by(Ownership::proposed) },
            At::Decide => Do::Decide { from: self.seen, to: self.seen.by(Ownership::decided) },
            At::Open if self.draining => Do::Open(owner.other()),
            At::Open => Do::Open(owner),
            At::Fence => Do::Fence(owner),
            At::Apply => Do::Apply { to: owner.other(), row: self.row, after: self.after, upto: self.upto },
            At::Settle => Do::Settle { of: owner, upto: self.upto },
            At::Dead | At::Look | At::Idle | At::Read => Do::Enter,
        };
        Request { attempt: self.attempt, what }
    }
}
