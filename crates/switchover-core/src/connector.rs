//! What a connector must be: the traits, and their contract, which is longer than they are.
//!
//! All calls are pulled: nobody pushes, so the call itself is the back-pressure. All traits are
//! object-safe and per batch, so that dynamic dispatch costs nothing measurable.
//!
//! **Batches.** A batch belongs to whoever holds it. `read` takes an empty one and gives it back
//! filled, so that its memory is used again.
//!
//! **Durable.** When [`Writer::write`] returns `Ok`, its rows and its checkpoint are in one committed
//! transaction (or, in a store without transactions, the rows can be read back and the checkpoint
//! was written after them). The store may lose the newest commits in a crash of its own, but never
//! a row without its checkpoint, nor a checkpoint without its rows.
//!
//! **Repetition.** `write` of a checkpoint that is already there returns [`Written::Already`] and
//! changes nothing. [`Target::prepare`], [`Target::build`] and [`Target::discard`] may be called again at any
//! time; what was done stays done. After a lost acknowledgement the engine asks
//! [`Target::checkpoints`] before it writes again.
//!
//! **Order.** `claim` → `prepare` → `write`* → `build`* → reads; `discard` at any time.
//!
//! **Other stores.** What live migration needs is [`crate::live`]; a store without transactions keeps its
//! checkpoints in a side collection and says so by [`Target::transactional`].

mod dialect;
mod source;
mod target;

pub use dialect::{Choice, Dialect, Named, Objects, ScopeColumn};
pub use source::{
    BackupRecord, Batch, Extent, Offenders, Position, ReadRequest, ReadTable, Snapshot, Source,
};
pub use target::{
    Audit, BuildStage, BuildStep, ChunkWrite, Claim, Mend, Met, Quarantined, Reader, Remains, Target,
    TargetState, Trial, Writer, Written,
};

use crate::error::{Error, Kind};

/// The refusal of a store that takes no part in live runs.
fn not_live(label: String) -> Error {
    Error::new(Kind::Unsupported, "move the data while the application writes")
        .store(label)
        .detail("this kind of store takes no part in a live migration")
        .hint("stop the application and use `switchover migrate`")
}
