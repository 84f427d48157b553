//! The engine of Switchover: one runner over the connector traits.

pub mod progress;
pub mod report;
pub mod settings;
pub mod shutdown;

pub use switchover_core as core;
