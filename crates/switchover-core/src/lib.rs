//! The pure core of Switchover: values, catalogs, plans, codecs, digests, and the traits that a
//! connector implements.
//!
//! Nothing here touches a file, a socket, a clock or a random number, so everything here can be
//! tested by calling it.

pub mod error;
pub mod expr;
pub mod view;

pub use error::{Error, Kind, Remedy, Result, Subject};
