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
    let report = folder.join("report.md");
    let at_demo = |args: &[&str]| {
        let mut command = Command::new(&switchover);
        command.args(args).args(["--from", &from, "--to", &to]).current_dir(&folder).stdin(Stdio::null());
        command
    };
    println!("1. What would happen? Nothing is written yet but the plan's own file.\n");
    paths::run(at_demo(&["plan"]).args(["--out", "plan.json"]))?;
    println!("\n2. Do it: backup, schema, rows, indexes and keys, and the comparison of every field.\n");
    paths::run(at_demo(&["migrate"]).arg("--report").arg(&report))?;
    println!("\n3. The report, {}:\n", report.display());
    println!("{}", fs::read_to_string(&report)?);
    println!("4. Somebody changes one letter in PostgreSQL. Does the comparison see it?\n");
    let change = "UPDATE messages SET content = content || '.' WHERE id = (SELECT min(id) FROM messages)";
    cluster.psql("chat", change)?;
    println!("$ psql -c \"{change}\"");
    let mut verify = at_demo(&["verify"]);
    println!("$ {}", paths::show(&verify));
    let status = verify.status()?;
    if status.code() != Some(1) {
        return Err(format!("a changed row was not found: {status}").into());
    }
    println!("\n5. Mend it from the source, and compare again.\n");
    paths::run(&mut at_demo(&["verify", "--repair"]))?;
    println!("\nWhat PostgreSQL holds now:");
    for table in chat::TABLES {
        let count = cluster.psql("chat", &format!("SELECT count(*) FROM {table}"))?;
        println!("  {table:<14}{count:>8} rows");
    }
    println!("\nThe files are in {}; the server ends with this command.", folder.display());
    Ok(())
}
