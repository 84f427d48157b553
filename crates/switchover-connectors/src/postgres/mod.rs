//! The PostgreSQL store.

pub mod backup;
pub mod config;
pub mod connect;
pub mod error;
mod parameters;
mod pgpass;
mod tls;
