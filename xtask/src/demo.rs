//! `cargo xtask demo`: an application's memory as a JSON dump, moved into SQLite and on into a private PostgreSQL
//! by its preset; one proof, the report, a change found and mended.
//!
//! Invariants: it touches `target/demo` and its own server only, and ends that server;
//! every command that it runs is shown, so that a reader can repeat it.

use std::fs;
use std::process::{Command, Stdio};

use switchover_testkit::Cluster;

use crate::chat::Size;
use crate::{Result, chat, dump, paths};

/// Enough to look real, small enough to be done at once.
const SIZE: Size = Size { users: 60, workspaces: 40, conversations: 600, messages: 8_000 };

/// Runs it.
pub(crate) fn run() -> Result {
    let switchover = paths::build_switchover()?.ok_or("the binary `switchover` was not built")?;
    let folder = paths::target().join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    dump::create(&folder.join("dump.json"), SIZE)?;
    println!("\nmade {}: {} rows in four tables", folder.join("dump.json").display(), SIZE.rows());

    let cluster = Cluster::builder().start()?;
    cluster.create_database("chat")?;
    println!("started PostgreSQL {} on {}\n", cluster.binaries.major(), cluster.host);
    let server = cluster.url("chat");
    let at_demo = |verb: &str, from: &str, to: &str| {
        let mut command = Command::new(&switchover);
        command.args([verb, "--from", from, "--to", to]).current_dir(&folder).stdin(Stdio::null());
        command
    };
    let from_dump = |verb: &str| {
        let mut command = at_demo(verb, "json:dump.json", "sqlite:app.db");
        command.args(["--preset", "cortex-core"]);
        command
    };
    println!(
        "1. From memory to SQLite. What would happen? Nothing is written yet but the plan's own file.\n"
    );
    paths::run(from_dump("plan").args(["--out", "plan.json"]))?;
    println!("\n2. Do it: rows, keys and indexes, and the comparison of every field.\n");
    paths::run(&mut from_dump("migrate"))?;
    println!("\n3. On to PostgreSQL: uuid, jsonb, text[] and timestamptz, by evidence and preset.\n");
    let to_server = |verb: &str| at_demo(verb, "sqlite:app.db", &server);
    let mut migrate = to_server("migrate");
    paths::run(migrate.args(["--preset", "cortex-core-postgres", "--report", "report.md"]))?;
    println!("\n4. The report, {}:\n", folder.join("report.md").display());
    println!("{}", fs::read_to_string(folder.join("report.md"))?);
    println!("5. Somebody changes one letter in PostgreSQL. Does the comparison see it?\n");
    let change = "UPDATE messages SET content = content || '.' WHERE id = (SELECT id FROM messages LIMIT 1)";
    cluster.psql("chat", change)?;
    println!("$ psql -c \"{change}\"");
    let mut verify = to_server("verify");
    println!("$ {}", paths::show(&verify));
    let status = verify.status()?;
    if status.code() != Some(1) {
        return Err(format!("a changed row was not found: {status}").into());
    }
    println!("\n6. Mend it from the source, and compare again.\n");
    paths::run(to_server("verify").arg("--repair"))?;
    println!("\nWhat PostgreSQL holds now:");
    for table in chat::TABLES {
        let count = cluster.psql("chat", &format!("SELECT count(*) FROM {table}"))?;
        println!("  {table:<14}{count:>8} rows");
    }
    println!("\nThe files are in {}; the server ends with this command.", folder.display());
    Ok(())
}
