//! `cargo xtask check`: format, clippy, documentation, licences, dependencies, advisories.
//!
//! Invariants: every step runs, and every failure is named at the end; a warning is a failure.
//! The advisory database is a clone of a public repository. Where it cannot be had, that step says so and the
//! others still decide: a machine without that network must be able to check all else.

use std::process::Stdio;

use crate::{Result, paths};

/// Runs all of it.
pub(crate) fn run() -> Result {
    let mut failed = Vec::new();
    let mut step = |result: Result| failed.extend(result.err().map(|error| error.to_string()));
    step(paths::run(paths::cargo().args(["fmt", "--all", "--check"])));
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    step(paths::run(paths::cargo().args(clippy)));
    let doc = ["doc", "--no-deps", "--workspace", "--all-features"];
    step(paths::run(paths::cargo().args(doc).env("RUSTDOCFLAGS", "-Dwarnings")));
    step(paths::run(paths::cargo().args([
        "deny",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ])));
    step(advisories());
    if failed.is_empty() {
        println!("all checks passed");
        return Ok(());
    }
    Err(format!("{} check(s) failed:\n  {}", failed.len(), failed.join("\n  ")).into())
}

/// Known vulnerabilities, as far as the database can be had.
fn advisories() -> Result {
    let fetched = paths::cargo().args(["deny", "fetch", "db"]).stdout(Stdio::null()).output()?;
    if fetched.status.success() {
        return paths::run(paths::cargo().args(["deny", "check", "--disable-fetch", "advisories"]));
    }
    let reason = String::from_utf8_lossy(&fetched.stderr);
    let reason =
        reason.lines().find(|line| line.contains("ERROR") || line.contains("error")).unwrap_or_default();
    println!("advisories: NOT CHECKED, because the database of advisories could not be fetched");
    println!("  {}", reason.trim());
    Ok(())
}
