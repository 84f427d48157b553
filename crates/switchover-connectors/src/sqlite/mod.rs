//! The SQLite store.

pub mod backup;
pub mod config;
pub mod error;
pub mod open;
pub mod restore;
