//! PostgreSQL as the target of a live run, driven through the traits as the engine drives it, beside an application
//! of another role in sessions of its own. The target's role owns its schema and nothing else.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod apply;
mod decide;
mod drift;
mod gate;
mod repeats;
mod reverse;
mod speed;
mod stage;
mod storm;
mod trouble;
