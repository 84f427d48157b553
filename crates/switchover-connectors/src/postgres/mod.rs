//! PostgreSQL.

pub mod config;
pub mod connect;
mod copy_decode;
mod copy_encode;
mod dialect;
pub mod error;
pub mod expression;
mod parameters;
mod pgpass;
pub mod quote;
mod tls;
mod types;
