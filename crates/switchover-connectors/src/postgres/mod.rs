//! PostgreSQL.

pub mod expression;
pub mod quote;
