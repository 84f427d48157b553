//! Weaviate: which server is meant, and its wire.
//!
//! `config` reads the URL; `client` speaks REST for the schema and gRPC for objects; `value` is one property's value
//! as the wire has it; `error` tells what a status means.

pub mod client;
pub mod config;
mod error;
pub mod value;

pub use config::WeaviateConfig;
