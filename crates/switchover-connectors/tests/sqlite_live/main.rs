//! Live runs between two SQLite files: capture, changes, fence, decision, and what must be noticed.
#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]

mod capture;
mod harness;
