//! The engine of Switchover: one runner over the connector traits.

mod build;
mod clock;
mod copy;
pub mod doctor;
mod evidence;
mod exceptions;
pub mod journal;
pub mod migration;
mod orphans;
pub mod progress;
pub mod report;
mod retry;
pub mod settings;
pub mod shutdown;
mod verify;

pub use migration::Migration;

pub use switchover_core as core;
