//! The pure core of Switchover: values, catalogs, plans, codecs, digests, and the traits that a
//! connector implements.
//!
//! Nothing here touches a file, a socket, a clock or a random number, so everything here can be
//! tested by calling it.

mod affinity;
pub mod census;
pub mod chunk;
pub mod codec;
pub mod connector;
pub mod datetime;
pub mod decimal;
pub mod digest;
pub mod error;
pub mod escape;
pub mod existing;
pub mod expr;
pub mod failpoint;
pub mod finding;
pub mod ids;
pub mod inet;
pub mod interval;
pub mod json;
pub mod judge;
pub mod limits;
pub mod list;
pub mod live;
pub mod mapping;
pub mod moment;
pub mod names;
pub mod native;
pub mod plan;
pub mod planner;
pub mod query;
pub mod relation;
pub mod reverse;
pub mod schema;
pub mod shape;
pub mod tagged;
pub mod typing;
pub mod uuid_text;
pub mod value;
pub mod view;

pub use error::{Error, Kind, Remedy, Result, Subject};
