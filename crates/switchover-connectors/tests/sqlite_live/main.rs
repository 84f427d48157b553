//! Live runs between two SQLite files: capture, changes, fence, decision, and what must be noticed.
#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod aside;
mod capture;
mod fence;
mod guard;
mod harness;
mod mutation;
mod place;
mod property;
mod workload;
