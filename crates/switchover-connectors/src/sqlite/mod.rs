//! SQLite.

pub mod ddl;
pub mod quote;
