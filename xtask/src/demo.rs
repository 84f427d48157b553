//! `cargo xtask demo`: a sample chat database, a private PostgreSQL, one migration, one proof, the report.
//!
//! Invariants: it touches `target/demo` and its own server only, and ends that server;
//! every command that it runs is shown, so that a reader can repeat it.

use std::fs;
use std::process::{Command, Stdio};

use switchover_testkit::Cluster;

use crate::chat::Size;
use crate::{Result, chat, paths};

/// Enough to look real, small enough to be done at once.
const SIZE: Size = Size { users: 60, workspaces: 40, conversations: 600, messages: 8_000 };

/// Runs it.
pub(crate) fn run() -> Result {
    let Some(switchover) = paths::build_switchover()? else {
        return Err("the binary `switchover` has no verb `migrate` yet".into());
    };
    let folder = paths::target().join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let source = folder.join("chat.db");
    chat::create(&source, SIZE)?;
    println!("\nmade {}: {} rows in four tables", source.display(), SIZE.rows());

    let cluster = Cluster::builder().start()?;
    cluster.create_database("chat")?;
    println!("started PostgreSQL {} on {}\n", cluster.binaries.major(), cluster.host);
    let (from, to) = (format!("sqlite:{}", source.display()), cluster.url("chat"));
    let report = folder.join("report.json");
    let at_demo = |args: &[&str]| {
        let mut command = Command::new(&switchover);
        command.args(args).args(["--from", &from, "--to", &to]).current_dir(&folder).stdin(Stdio::null());
        command
    };
    paths::run(at_demo(&["migrate"]).arg("--report").arg(&report))?;
    println!();
    paths::run(&mut at_demo(&["verify"]))?;
    let markdown = report.with_extension("md");
    match fs::read_to_string(&markdown) {
        Ok(text) => println!("\n--- {} ---\n\n{text}", markdown.display()),
        Err(_) => println!("\nthe report: {}", report.display()),
    }
    println!("what PostgreSQL holds now:");
    for table in chat::TABLES {
        let count = cluster.psql("chat", &format!("SELECT count(*) FROM {table}"))?;
        println!("  {table:<14}{count:>8} rows");
    }
    Ok(())
}
