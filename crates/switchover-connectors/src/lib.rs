//! The stores that Switchover moves data between: a module each, and none imports another.

pub mod postgres;
mod sidecar;
pub mod sqlite;
mod uri;
