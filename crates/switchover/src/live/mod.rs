//! Live migration: the target follows the source while the application writes, becomes the owner in one decision,
//! and can give the data back without losing a write.
//!
//! `engine` drives a run over [`switchover_core::live`]; `copying` copies; `behind` catches up; `link` carries changes in one direction; `pass` compares
//! the stores while they are written, and `mend` makes good what a target lost; `switch` changes the owner, `ending` ends a run whose data stays; `pace` holds the run back; `run` is the way in,
//! `control` lets other processes ask a running engine, `lost` takes a run back whose folder is gone, `gone` says of one whose records are gone how it ended, `set_back` holds one whose target was put back to
//! what it was, and `rehearse` goes through all of it on stores of its own.

mod abandon;
mod ahead;
mod alarm;
mod announce;
mod behind;
mod check;
pub mod control;
mod copying;
mod ending;
mod engine;
mod finished;
mod follow;
mod gone;
mod guards;
mod held;
mod link;
mod lost;
mod mend;
mod pace;
mod pass;
mod recopy;
mod record;
pub mod rehearse;
mod requests;
mod run;
mod set_back;
mod status;
mod switch;
mod tell;
mod trespass;

pub use announce::{Announce, Announcer, Nobody, Watch};
pub use engine::{End, Engine, Parts};
pub use finished::lacks_report;
pub use guards::Guards;
pub use record::Proof;
pub use run::{Surroundings, status};
pub use status::{
    Answer, Cause, Command, GuardSaid, LivePhase, LiveStatus, Request, Slowed, SwitchOptions, SwitchReport,
    Verification, WRITE_BUDGET_DEFAULT,
};
