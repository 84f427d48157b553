//! Private PostgreSQL clusters and Weaviate servers for the project's tests, demo and benchmark.
//!
//! A test asks for [`Cluster::shared`] and takes a fresh [`Database`] in it; a test that restarts, breaks or
//! specially configures its server starts a [`Cluster`] of its own through [`Cluster::builder`].
//!
//! ```no_run
//! use switchover_testkit::Cluster;
//!
//! # fn main() -> Result<(), switchover_testkit::Error> {
//! let server = Cluster::shared()?;
//! let database = server.fresh_database("copy")?;
//! database.psql("CREATE TABLE t(id bigint PRIMARY KEY); INSERT INTO t VALUES (1)")?;
//! assert_eq!(database.psql("SELECT count(*) FROM t")?, "1");
//! println!("switchover migrate --to '{}'", database.url());
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: a machine without PostgreSQL gives an [`Error`] that says how to install it, never a skipped
//! test; nothing here uses a fixed port or a shared folder, so two runs at once do not meet; a server ends
//! with the process that started it, even when that process is killed (see [`watchdog`](mod@watchdog)).
//! Absent on purpose: a client of the protocol. SQL goes through `psql`, so that a test's own look at the
//! target shares no code with what it tests.

mod account;
mod binaries;
pub mod certificates;
pub mod chaos;
mod cluster;
mod conninfo;
mod error;
mod https;
mod listening;
pub mod lite;
mod options;
mod ports;
mod proxy;
pub mod sample;
mod seeds;
mod server;
pub mod tls_end;
pub mod watchdog;
pub mod weaviate;

pub use binaries::Binaries;
pub use cluster::{Cluster, Shutdown};
pub use error::Error;
pub use https::Https;
pub use options::Builder;
pub use proxy::{Faults, Proxy};
pub use seeds::seeds;
pub use server::{Database, Server};
pub use weaviate::Weaviate;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The environment variable that names a running cluster for [`Cluster::shared`], as a key=value string.
pub const TEST_SERVER_ENV: &str = "SWITCHOVER_TEST_PG";

/// The environment variable that names the folder of PostgreSQL's programs, to test a second major version.
pub const BINARIES_ENV: &str = "SWITCHOVER_PG_BIN";
