//! Telling the application where its data is: after the decision, never instead of it.
//!
//! | part | does |
//! |---|---|
//! | [`route`] | a small JSON file that programs watch: owner, share of reads, epoch |
//! | [`env_file`] | new values in an environment file, with a backup, and back |
//! | [`hooks`] | commands before, at and after the change |
//!
//! Invariants: all of it is derived from the decision row and can be done again (I4); a file is replaced whole or not at
//! all; no secret is printed or logged. Absent on purpose: keeping data safe. That is what fence and gate do, in the stores,
//! whatever a program believes about the route.

pub mod env_file;
mod env_text;
pub mod hooks;
mod replace;
pub mod route;

pub use env_file::EnvFile;
pub use hooks::{Command, Hooks, Moment};
pub use route::{Follower, Progress, Route, Writes};

use std::path::PathBuf;

/// How the application is told: `[cutover]` of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// The route's file; `None` is [`route::default_path`] of the state folder.
    pub route: Option<PathBuf>,
    /// The environment file and its new values.
    pub env_file: Option<EnvFile>,
    /// The commands.
    pub hooks: Hooks,
}
