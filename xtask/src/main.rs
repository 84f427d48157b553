//! `cargo xtask`: the project's own chores. Servers, tests, checks, the demo and the benchmark.
//!
//! Invariants: every chore says what it runs; a chore that could not do its work fails; every server that
//! a chore starts ends with it, except the one of `pg start`, which is asked for.
//! Absent on purpose: setting a machine up. That is `./x`, which needs no Rust to begin.

#![expect(clippy::print_stdout, reason = "a chore's output is what it is run for")]

mod bench;
mod chaos;
mod chat;
mod check;
mod demo;
mod dump;
mod majors;
mod paths;
mod pg;
mod test;
mod weaviate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a chore returns: any error, shown and turned into exit code 1.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// A private PostgreSQL to work with by hand, kept under target/pg.
    #[command(subcommand)]
    Pg(pg::Verb),
    /// Install Weaviate's program, and a private server of it to work with by hand, kept under target/weaviate.
    #[command(subcommand)]
    Weaviate(weaviate::Verb),
    /// Start a server, run every test against it, and count them.
    Test(test::Args),
    /// Kill the program at random moments, and compare what is left.
    Chaos(chaos::Args),
    /// Format, clippy, documentation, licences and dependencies.
    Check,
    /// Move a sample chat into a private PostgreSQL and back while it is written, and count what was lost.
    Demo,
    /// The demo's chat application; the demo starts it.
    #[command(hide = true)]
    Chat(demo::app::Args),
    /// Measure.
    #[command(subcommand)]
    Bench(bench::Verb),
}

fn main() -> ExitCode {
    let result = match Args::parse().chore {
        Chore::Pg(verb) => pg::run(&verb),
        Chore::Weaviate(verb) => weaviate::run(&verb),
        Chore::Test(args) => test::run(&args),
        Chore::Chaos(args) => chaos::run(&args),
        Chore::Check => check::run(),
        Chore::Demo => demo::run(),
        Chore::Chat(args) => demo::app::run(&args),
        Chore::Bench(verb) => bench::run(&verb),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
