//! SQLite.

pub mod backup;
pub mod config;
pub mod ddl;
pub mod error;
mod examine;
mod fetch;
mod fragment;
mod inspect;
mod integrity;
pub mod open;
pub mod quote;
mod read;
mod relation;
pub mod restore;
mod rules;
pub mod source;
