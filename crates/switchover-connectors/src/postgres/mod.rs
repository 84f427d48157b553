//! PostgreSQL.

mod audit;
pub mod backup;
mod catalog;
pub mod config;
pub mod connect;
mod copy_decode;
mod copy_encode;
mod dialect;
pub mod error;
mod examine;
pub mod expression;
mod fetch;
mod inspect;
mod keys;
mod ledger;
mod parameters;
mod pgpass;
pub mod quote;
mod reader;
mod repair;
mod room;
mod standing;
mod steps;
pub mod target;
mod tls;
mod types;
mod writer;
