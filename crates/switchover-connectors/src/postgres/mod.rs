//! PostgreSQL.

mod copy_decode;
mod copy_encode;
mod types;
