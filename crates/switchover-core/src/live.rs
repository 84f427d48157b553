//! Live migration: what a store must be able to do so that its data can move while the application writes.
//!
//! **Direction.** Changes go from the store that owns the data to the other one. Before the cutover the source
//! owns it; in the reverse window after the cutover the target does. Both sides are therefore [`LiveStore`]s, and
//! one engine drives them; the target is a [`LiveTarget`] as well, because it keeps the decision who owns the data.
//!
//! **State, not history.** A store logs only the keys of the rows that change, in the application's own
//! transaction. [`LiveStore::changes`] reads, in one read point, which keys were logged behind a position and what
//! these rows are now; [`LiveStore::apply`] makes the other store's rows of those keys exactly that, in one transaction with the
//! position. Applying twice, or a newer state first and an older position later, gives the same; so an
//! acknowledgement that is lost costs a repetition, never a row.
//!
//! **Values.** `changes` and `fetch` speak the store's own values. `apply` always takes the source's values: the
//! target encodes them by the plan's codecs, as it does in the copy. [`decode`] is the way back.
//!
//! **Attempts.** [`LiveStore::enter`] makes this engine the only one that may write for the run: every later write
//! of an engine that entered before is refused with [`crate::Kind::Busy`], inside the transaction that would have written.
//!
//! **What is never captured.** The engine's own writes: they would come back as changes.

mod decode;
mod scratch;

pub use self::decode::{decode, decode_keys, encode_keys};
pub use self::scratch::{Scratch, touched};
use crate::connector::{Batch, BuildStep, Position, ReadRequest};
use crate::error::{Error, Result};
use crate::plan::{Plan, Refusal};
use crate::value::{OwnedValue, Rows};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One of the two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The store that owned the data before the run.
    Source,
    /// The store that it moves to.
    Target,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}

/// Who owns the data: the one decision row (I4). It changes by compare-and-set only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// The store whose writes count.
    pub owner: Side,
    /// Whether the other store is about to become the owner: the owner may be fenced.
    pub pending: bool,
    /// Grows with every change of this row.
    pub epoch: u64,
}

impl Ownership {
    /// Before anything was decided.
    pub const FIRST: Ownership = Ownership { owner: Side::Source, pending: false, epoch: 1 };

    /// The other store is about to become the owner.
    #[must_use]
    pub fn proposed(self) -> Ownership {
        Ownership { pending: true, epoch: self.epoch + 1, ..self }
    }

    /// The proposal is taken back: the owner stays.
    #[must_use]
    pub fn withdrawn(self) -> Ownership {
        Ownership { pending: false, epoch: self.epoch + 1, ..self }
    }

    /// The proposal is carried out.
    #[must_use]
    pub fn decided(self) -> Ownership {
        Ownership { owner: self.owner.other(), pending: false, epoch: self.epoch + 1 }
    }
}

/// A live run as one engine drives it.
#[derive(Debug, Clone)]
pub struct LiveRun {
    /// The run.
    pub run: String,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// This engine's number; the target gives it when it is prepared, and it grows with every engine.
    pub attempt: i64,
}

/// What [`LiveStore::capture`] made or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Everything that changes from now on is in the log behind this position. A follower begins there before
    /// it is given anything, so of a capture that was there before only the present counts.
    pub from: Position,
    /// Whether the capture was made now.
    pub new: bool,
}

/// How much [`LiveStore::changes`] reads at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Entries of the log.
    pub entries: u64,
    /// Time after which a reading ends with the entry that it is at; [`Limit::ANY_TIME`] bounds nothing. For stores whose readers
    /// keep others waiting; one that has none of these may read on.
    pub time_max: Duration,
}

impl Limit {
    /// As [`Limit::time_max`]: a reading takes what it takes.
    pub const ANY_TIME: Duration = Duration::MAX;
}

/// What is read beside changes, at the same read point.
#[derive(Debug, Clone)]
pub enum Beside {
    /// The next rows of a range.
    Rows(ReadRequest),
    /// How many rows a table has, by index in the plan.
    Count(usize),
}

/// The answer to [`Beside`].
#[derive(Debug)]
pub enum Seen {
    /// The rows.
    Rows(Batch),
    /// The number of rows.
    Count(u64),
}

/// The rows that changed behind a position, as one read point shows them.
#[derive(Debug)]
pub struct Changes {
    /// The position that is reached by taking them.
    pub upto: Position,
    /// Whether nothing is logged behind `upto` at this read point: who has taken them is equal to it.
    pub complete: bool,
    /// Entries of the log that they stand for; an entry is one row changed once.
    pub entries: u64,
    /// Entries that are left in the log behind them.
    pub behind: u64,
    /// By table, each once.
    pub tables: Vec<TableChanges>,
    /// What was read beside them.
    pub beside: Option<Seen>,
}

impl Changes {
    /// No change, up to a position.
    pub fn none(upto: Position) -> Changes {
        Changes { upto, complete: true, entries: 0, behind: 0, tables: Vec::new(), beside: None }
    }
}

/// The changed rows of one table. Who takes them removes the rows of all keys, and then puts the rows in:
/// unique values may have been swapped between them.
#[derive(Debug, Default)]
pub struct TableChanges {
    /// The table, by index in the plan.
    pub table: usize,
    /// The keys of the changed rows, in the order of the key's fields, each once. Where a value is NULL, no row has that key any more:
    /// what a store holds of it goes.
    pub keys: Vec<Vec<OwnedValue>>,
    /// Those of them that are there, with every column of the plan in its order, without locators.
    pub rows: Rows,
    /// Whether all that the table held goes first. One without a key comes so, with all of its rows, and without keys. So does one with a
    /// key that was emptied as a whole (TRUNCATE): each row that came since has an entry with its key, in this batch or a later one.
    pub whole: bool,
}

/// What a fence found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// The position behind the last write that was let through.
    pub position: Position,
    /// The largest number that the store ever gave, by table of the plan, where it numbers rows by itself.
    pub numbering: Vec<(usize, i64)>,
}

/// What a store bears because of the run, for throttling and for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// Bytes of write-ahead log, where the store has one that readers keep from being folded back.
    pub wal_bytes: u64,
    /// Entries in the change log, taken or not.
    pub log_entries: u64,
}

/// One of the two stores of a live run.
#[async_trait]
pub trait LiveStore: Send + Sync {
    /// The store without secrets.
    fn label(&self) -> String;
    /// Whether an error is about this store, by what it names.
    fn is_about(&self, error: &Error) -> bool {
        error.subject().store == self.label()
    }
    /// All that keeps this store from live work with the plan; more, where changes are to `return` to the source. Reads only.
    async fn obstacles(&self, returns: bool) -> Result<Vec<Refusal>>;
    /// Whether the run's records are in this store, as far as it can tell without entering.
    async fn has_records(&self) -> Result<bool> {
        Ok(true)
    }
    /// Makes the run's own records in this store, where they are not there, and takes the run over: an engine
    /// with a smaller attempt writes nothing from now on. May be called again at any time.
    ///
    /// On a target the application's writes are refused from here on, until it becomes the owner.
    async fn enter(&self) -> Result<()>;
    /// Tables, by index in the plan, whose capture is not as this run left it: what happened to them meanwhile is
    /// unknown (I6). All of them when the log itself is in doubt; none where no capture was made yet. Changes nothing,
    /// so that the answer stays the same until the tables were dealt with.
    async fn doubts(&self) -> Result<Vec<usize>>;
    /// Tables, by index in the plan, whose rows may lie elsewhere than when the capture was made, without a word in the log
    /// (such as after SQLite's VACUUM), and which the copy reads by place: what it has read of them and what it has not
    /// may overlap, or leave rows out. Where all of a table was read before, no harm is done. Changes nothing.
    async fn moved(&self) -> Result<Vec<usize>> {
        Ok(Vec::new())
    }
    /// Makes the capture of all tables of the plan, where it is not there, all or nothing. May be called again at
    /// any time. Nothing that happened before this call is needed of the tables `again`, because they are copied again behind it;
    /// `whole` are moved ones that were copied whole before, of which each change is needed. Fails with [`crate::Kind::Changed`]
    /// when others have moved, or others than `again` are in doubt.
    async fn capture(&self, again: &[usize], whole: &[usize]) -> Result<Captured>;
    /// The changes behind a position, at one read point that is not held any longer than the call. Checks in
    /// the same read point that the capture is whole, and fails with [`crate::Kind::Changed`] when it is not; so it does when changes
    /// behind the position were forgotten, for whoever stands there was set back, and, of a store that owns the data once the run has
    /// cut over, when it is itself an older one than what was read from it for the position (docs/decisions/0027).
    async fn changes(&self, after: &Position, limit: Limit, beside: Option<&Beside>) -> Result<Changes>;
    /// A number that is another as soon as others than the engine changed this store's definitions, where that may hide what neither
    /// [`LiveStore::doubts`] nor the log tell: a table that was rebuilt, and had the same triggers made on it again, or a target's gate
    /// that was away and came back. Then all rows are to be compared again.
    async fn redefined(&self) -> Result<u64> {
        Ok(0)
    }
    /// Forgets what is logged up to a position that the other store has durably. `Busy` costs nothing: later
    /// calls forget it too. Looks as [`LiveStore::changes`] does whether the store is an older one.
    async fn settle(&self, upto: &Position) -> Result<()>;
    /// The position of the other store's log up to which this store has taken its changes; `None` before the first.
    async fn applied(&self) -> Result<Option<Position>>;
    /// Whether this store, which follows, is still there for the run: it is met by nothing else while there is nothing to give it. Called
    /// about once a second, so it is cheap. Changes nothing.
    async fn look(&self) -> Result<()> {
        self.applied().await.map(drop)
    }
    /// Takes changes, in the source's values, and moves the position from `after` to theirs, in one
    /// transaction. Fails with [`crate::Kind::Changed`] when the position is not `after`, and changes nothing.
    ///
    /// A row that a constraint refuses is [`crate::Kind::Rejected`]: it may need changes that come later.
    async fn apply(&self, changes: &Changes, after: Option<&Position>) -> Result<()>;
    /// Begins at a position of the other store's log, with no change taken: as [`LiveStore::apply`] without one before, but
    /// waits for writers that are under way no longer than `patience` (`Busy` then).
    async fn begin(&self, from: &Position, patience: Duration) -> Result<()> {
        let _ = patience;
        self.apply(&Changes::none(from.clone()), None).await
    }
    /// The rows of these keys (own values), with every column of the plan, in any order.
    async fn fetch(&self, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows>;
    /// How many rows a table has.
    async fn count(&self, table: usize) -> Result<u64>;
    /// Makes the store refuse every write of the application, from one instant on, and says where its log ends.
    /// Waits for writers that are under way no longer than `patience` (`Busy` then). May be called again.
    ///
    /// A fence whose caller has gone must not go up later: a target's looks, in the transaction that puts it up, whether the
    /// decision row still proposes a change (or names the other store as the owner).
    async fn fence(&self, patience: Duration) -> Result<Fenced>;
    /// Lets the application write again. May be called again.
    async fn unfence(&self) -> Result<()>;
    /// Has its own numbering go on behind these numbers, by table of the plan, where it remembers one: before the other store
    /// stops being the owner, so that no number that it gave is given again. May be called again, and in vain. A
    /// target does it with its decision.
    async fn number(&self, numbering: &[(usize, i64)]) -> Result<()> {
        let _ = numbering;
        Ok(())
    }
    /// Whether it may say of rows that they are stored which are not: then what does not read back is given to it again
    /// before it counts.
    fn may_lose(&self) -> bool {
        false
    }
    /// Whether it rejected changes for what other rows are or are not: one that has the value, or a parent. Then changes that come later may
    /// take that away, and a row that the owner does not know may be in the way. Not said where such rows make room by themselves.
    fn is_about_others(&self, rejection: &Error) -> bool {
        let _ = rejection;
        false
    }
    /// What it bears.
    async fn pressure(&self) -> Result<Pressure>;
    /// A small write of the run's own records, committed as an application's is: how long it takes tells what an application
    /// waits. `Busy` where others' locks keep it out. Called while nothing else is written here; a store that never owns the
    /// data while rows are copied need not write.
    async fn probe(&self) -> Result<()> {
        Ok(())
    }
    /// Removes the run's capture, fence and records from this store, and nothing else. May be called again.
    async fn leave(&self) -> Result<()>;
}

/// When a step is carried out in a live run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LiveStage {
    /// When all rows are copied, before changes are taken: the keys by which rows are found.
    Keys,
    /// When the changes since have been taken once, so that no value is there twice: the rest of indexes and
    /// unique constraints.
    Uniques,
    /// When the stores are equal: foreign keys, in a form that waits for the end of a transaction and acts on nothing.
    References,
    /// Views and statistics.
    Last,
}

/// The step that a target records when the run leaves it, until its other records are gone: see [`LiveTarget::left`].
pub const LEFT: &str = "live-left";

/// The target of a live run.
#[async_trait]
pub trait LiveTarget: LiveStore {
    /// Whether it can own the data. One that cannot follows for as long as the run lasts: a cutover sends all reads to it,
    /// writes stay with the source, and [`LiveTarget::ownership`] is always [`Ownership::FIRST`]. Its `capture`, `changes`,
    /// `fence` and `decide` are never called.
    fn can_own(&self) -> bool {
        true
    }
    /// Whether rows come as well in the order in which they lie at the source as in the order of their keys: the keys'
    /// indexes are made after the copy. Where it is so, a row may be brought twice: [`LiveTarget::drop_repeats`].
    fn takes_any_order(&self) -> bool {
        false
    }
    /// Of rows of one key that the copy brought more than once, because they moved while it read, keeps one. Which one
    /// does not matter: they changed since the capture, so changes that are taken later put the row right. Called before the
    /// first of them is taken, when a step of [`LiveStage::Keys`] was refused. May be called again.
    async fn drop_repeats(&self) -> Result<()> {
        Ok(())
    }
    /// How long a request may still be carried out that nobody waits for: a dead engine's, or one whose answer was lost. Until
    /// then no comparison proves anything that lasts. Nothing where the store puts such requests in order.
    fn unsettled(&self) -> Duration {
        Duration::ZERO
    }
    /// The engine stops in order: nothing of it is under way, so that the next one need not wait for it.
    async fn rest(&self) -> Result<()> {
        Ok(())
    }
    /// Who owns the data.
    async fn ownership(&self) -> Result<Ownership>;
    /// Changes the owner by compare-and-set: `false` when it was not `from`, and nothing changed. In the same
    /// transaction, when `to` makes the target the owner: foreign keys get their own form, numbering goes on
    /// behind the largest number given so far, and the application's writes are let in (I4).
    ///
    /// A proposal that the target become the owner asks [`LiveTarget::as_made`], too.
    ///
    /// An error of a kind that may be retried leaves open whether it was decided: ask [`LiveTarget::ownership`].
    async fn decide(&self, from: &Ownership, to: &Ownership, numbering: &[(usize, i64)]) -> Result<bool>;
    /// That the keys, constraints and indexes of the tables are those that the run made, or found: `Refused` where they are not, with
    /// the table, what it is, and what to do. Asked while the target follows; nothing is changed.
    async fn as_made(&self) -> Result<()> {
        Ok(())
    }
    /// Whether this run has left the target ([`LiveStore::leave`]) and its other records are still there: it was being
    /// finished. To enter again would make the source the owner, and refuse the application's writes, or follow it on.
    async fn left(&self) -> Result<bool> {
        Ok(false)
    }
    /// Brings the target from owner back to follower, when the source has become the owner again: foreign keys get the
    /// form that waits, and the fence becomes the gate again. May be called again.
    async fn follow(&self) -> Result<()>;
    /// Proves what a decision for the target has declared without proof, such as foreign keys. It may take as long
    /// as reading the tables, while the application writes. May be called again at any time.
    async fn prove(&self) -> Result<()> {
        Ok(())
    }
    /// Lets the application write again where somebody else than the run stopped it at a target that owns the data: gives the tables,
    /// by index in the plan, that took no writes and take them now. Called only while no change of the owner is under way; the
    /// decision row is held meanwhile, and where it names the source, or another engine has the run, nothing is opened.
    /// `Busy` where others' locks keep it from that. May be called again at any time.
    async fn reopen(&self) -> Result<Vec<usize>> {
        Ok(Vec::new())
    }
    /// Has readers that go by a name of the target's own find what the run keeps there, or what they found before. Before
    /// the application is told, and only of a target that cannot own the data. May be called again.
    async fn readers(&self, here: bool) -> Result<()> {
        let _ = here;
        Ok(())
    }
    /// Whether readers that go by such a name are led to what the run keeps here.
    async fn has_readers(&self) -> Result<bool> {
        Ok(false)
    }
    /// The steps after the copy, for [`crate::connector::Target::build`].
    fn steps(&self) -> Vec<(LiveStage, BuildStep)>;
    /// Sends tables back to copy: empties them, and forgets their checkpoints and steps; when it is all of them,
    /// the position too. May be called again.
    async fn restart(&self, tables: &[usize]) -> Result<()>;
}
