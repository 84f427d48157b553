//! What the specification is about: two stores, writers that pick a store as they like, engines, and one request
//! that comes late.
//!
//! A step of an engine is a [`Request`] that one store carries out whole, in a transaction. An engine may die
//! before or after it, may lose the answer and ask again, and its request may be carried out at any later time, when
//! another engine is at work. A row is the set of the writes that are in it; a store's log is the set of writes that were
//! logged, and a position is the set of entries that were taken: so what is lost or overwritten shows.
//!
//! A target that owns the data may be set back once to an older state of the same reverse window. Writes that it lost count no more; the
//! number of such an entry is given again, to the next write there: every position that holds the one holds the other then. The store
//! breaks the sessions that it had. Absent: what it was before the last change of the owner, which its decision row tells; engines' numbers
//! that are given again.

mod steps;

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
    /// Nobody compares the target's mark with that of a position.
    NoMark,
    /// The mark is made when the source has what was read, and not before.
    MarkTooLate,
    /// Engines go on where they were when the target is set back.
    SessionsOutlive,
}

impl Broken {
    /// Guards against a target that is set back: without one of these nothing else can fail.
    fn is_of_set_back(self) -> bool {
        matches!(self, Broken::NoMark | Broken::MarkTooLate | Broken::SessionsOutlive)
    }
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
        NoMark,
        MarkTooLate,
        SessionsOutlive,
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
    Apply { to: Store, row: u8, after: u8, upto: u8, marks: [u8; 2] },
    Settle { of: Store, upto: u8, mark: u8 },
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
    /// The marks of the two positions, where they are of the target's log.
    marks: [u8; 2],
}

/// An older state of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kept {
    holds: Holds,
    decision: Decision,
    mark: u8,
}

/// Whether the target was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Back {
    /// There is no older state of it.
    NotYet,
    /// There is this one.
    May(Kept),
    /// It was, and numbers of these entries are to be given again.
    Was(u8),
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
    /// The target's mark, and that of the position which the source has.
    pub(crate) mark: u8,
    pub(crate) taken_mark: u8,
    back: Back,
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
    /// A backup of the target is made.
    Keep,
    /// The target is as it was then.
    SetBack,
}

/// The bounds, and what is broken.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    writes: u8,
    attempts: u8,
    epochs: u64,
    /// Whether the target may be set back.
    set_back: bool,
    broken: Option<Broken>,
}

impl State {
    pub(crate) fn first() -> State {
        let decision = Decision { owner: Store::Source, pending: false, epoch: Ownership::FIRST.epoch };
        let holds = Holds { row: 0, log: 0, taken: 0, open: false, attempt: 0, pruned: 0 };
        let engine = Engine {
            attempt: 0,
            at: At::Dead,
            seen: decision,
            draining: false,
            row: 0,
            after: 0,
            upto: 0,
            marks: [0; 2],
        };
        State {
            stores: [Holds { open: true, ..holds }, holds],
            decision,
            engines: [engine; ENGINES],
            late: None,
            begun: 0,
            open: [0; 2],
            by: [0; 2],
            torn: false,
            mark: 0,
            taken_mark: 0,
            back: Back::NotYet,
        }
    }

    pub(crate) fn owner(&self) -> Store {
        self.decision.owner
    }

    pub(crate) fn acknowledged(&self, write: Write) -> bool {
        (self.by[0] | self.by[1]) & write.bit() != 0
    }

    /// The target lacks the mark of the source's position: nothing is taken from it, and the owner does not change.
    pub(crate) fn is_held(&self) -> bool {
        self.mark < self.taken_mark
    }

    /// The target was set back.
    pub(crate) fn was_set_back(&self) -> bool {
        matches!(self.back, Back::Was(_))
    }

    pub(crate) fn under_way(&self, write: Write, store: Store) -> bool {
        self.open[store.at()] & write.bit() != 0
    }
}

impl Model {
    /// The model that must hold.
    pub(crate) fn sound() -> Model {
        Model { writes: 2, attempts: 2, epochs: 5, set_back: false, broken: None }
    }

    /// The model that must hold where the target may be set back: with one engine, for the states would be too many.
    pub(crate) fn set_back() -> Model {
        Model { attempts: 1, set_back: true, ..Model::sound() }
    }

    /// The model without one guard.
    pub(crate) fn broken(guard: Broken) -> Model {
        let model = if guard.is_of_set_back() { Model::set_back() } else { Model::sound() };
        Model { broken: Some(guard), ..model }
    }

    pub(crate) fn writes(&self) -> impl Iterator<Item = Write> + use<> {
        (0..self.writes).map(Write)
    }

    pub(crate) fn all_writes(&self) -> u8 {
        (1 << self.writes) - 1
    }

    /// Whether this model has set backs.
    pub(crate) fn sets_back(&self) -> bool {
        self.set_back
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
        let open = state.decision.owner == Store::Target && !state.decision.pending;
        match state.back {
            Back::NotYet if self.set_back && open => actions.push(Action::Keep),
            // Without it, what was acknowledged since is another's to lose.
            Back::May(_) if state.decision.owner == Store::Target => actions.push(Action::SetBack),
            _ => {}
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
            At::Apply => {
                let Engine { row, after, upto, marks, .. } = *self;
                Do::Apply { to: owner.other(), row, after, upto, marks }
            }
            At::Settle => Do::Settle { of: owner, upto: self.upto, mark: self.marks[1] },
            At::Dead | At::Look | At::Idle | At::Read => Do::Enter,
        };
        Request { attempt: self.attempt, what }
    }
}
