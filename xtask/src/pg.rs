//! `cargo xtask pg`: a server to work with by hand, kept under `target/pg` until it is stopped.
//!
//! Invariant: it is this working tree's own; another tree's `pg start` starts another server.

use clap::Subcommand;
use switchover_testkit::{Cluster, Shutdown};

use crate::{Result, paths};

/// What to do with the server.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make it where there is none, and start it.
    Start,
    /// Stop it; its data stays.
    Stop {
        /// Remove its data too.
        #[arg(long)]
        remove: bool,
    },
    /// Print the URL of its database `postgres`.
    Url {
        /// Print the key=value string instead.
        #[arg(long)]
        conninfo: bool,
    },
    /// Say whether it runs; exit code 1 when not.
    Status,
    /// Fetch another major version's programs, and print their folder for SWITCHOVER_PG_BIN.
    Fetch {
        /// The major version: 13 to 18.
        major: u32,
    },
}

/// Does it.
pub(crate) fn run(verb: &Verb) -> Result {
    if let Verb::Fetch { major } = verb {
        println!("{}", crate::majors::fetch(*major)?.display());
        return Ok(());
    }
    let options = Cluster::builder().persistent(&paths::target().join("pg"));
    match verb {
        Verb::Fetch { .. } => {}
        Verb::Start => {
            let cluster = options.start()?;
            println!("PostgreSQL {} runs: {}", cluster.binaries.major(), cluster.url("postgres"));
        }
        Verb::Stop { remove: true } => options.attach()?.remove()?,
        Verb::Stop { remove: false } => {
            let mut cluster = options.attach()?;
            if cluster.is_running() {
                cluster.stop(Shutdown::Fast)?;
            }
        }
        Verb::Url { conninfo } => {
            let cluster = options.attach()?;
            if !cluster.is_running() {
                return Err("it does not run; `cargo xtask pg start` starts it".into());
            }
            let url = if *conninfo { cluster.conninfo("postgres") } else { cluster.url("postgres") };
            println!("{url}");
        }
        Verb::Status => {
            let cluster = options.attach()?;
            if !cluster.is_running() {
                return Err("it does not run; `cargo xtask pg start` starts it".into());
            }
            println!("it runs; data in {}", cluster.data_folder().display());
        }
    }
    Ok(())
}
