//! `cargo xtask bench live`: what a live migration costs the application, and how quickly the owner changes.
//!
//! | scene | what is compared |
//! |---|---|
//! | backfill | the copy against `migrate`'s; the application's commits meanwhile against those with no migration |
//! | follow | the application's throughput against that with no migration; the lag; how fast a backlog is taken |
//! | switch | how long a prober under load finds no store that takes its writes, at each cutover and rollback |
//! | window | a rollback with 100,000 changes behind it |
//!
//! Invariants: the release binary, the server and each writer are processes of their own; what is compared takes turns in one
//! run on one machine; while the application writes without a migration the engine sleeps, and has nothing to do.
//! Absent on purpose: a threshold that fails a build. Times are for people; tests are for machines.

mod engine;
mod figures;
mod scenes;
mod store;
pub(crate) mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use switchover_testkit::{Cluster, Database};

use super::{SETTINGS, database};
use crate::{Result, paths};
use figures::Figures;

/// How long, and how often.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of backfill and throughput; the figures are medians.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Seconds of each stretch of writing.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Cutovers, each with a rollback.
    #[arg(long, default_value_t = 20)]
    cutovers: u64,
    /// SQLite's `synchronous`, as the application sets it.
    #[arg(long, default_value = "normal")]
    synchronous: String,
    /// Only these scenes (all by default).
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scene>,
    /// This binary instead of one built now.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// A scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scene {
    Backfill,
    Follow,
    Switch,
    Window,
}

/// What every scene is given.
struct Stage<'a> {
    args: &'a Args,
    cluster: Cluster,
    folder: PathBuf,
    binary: PathBuf,
    /// The chat database as it was made.
    made: PathBuf,
}

/// A writer's command line.
struct Writing<'a> {
    source: &'a Path,
    server: Option<&'a Database>,
    rows: u64,
    per_s: Option<f64>,
    seconds: Option<f64>,
    most: Option<u64>,
    probe: bool,
    at_server: bool,
}

impl<'a> Writing<'a> {
    fn to(source: &'a Path, rows: u64) -> Self {
        Writing {
            source,
            rows,
            server: None,
            per_s: None,
            seconds: None,
            most: None,
            probe: false,
            at_server: false,
        }
    }
}

/// A writer under way.
struct Writer(Child);

impl Writer {
    /// What it told at its end; it ends when its input does, or by itself.
    fn ended(mut self) -> Result<Value> {
        drop(self.0.stdin.take());
        let output = std::mem::replace(&mut self.0, Command::new("true").spawn()?).wait_with_output()?;
        if !output.status.success() {
            return Err(format!("a writer failed: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Stage<'_> {
    /// Starts a writer.
    fn write(&self, writing: &Writing<'_>, seed: u64) -> Result<Writer> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "live-writer", "--synchronous", &self.args.synchronous]);
        command.arg("--source").arg(writing.source);
        command.arg("--rows").arg(writing.rows.to_string()).arg("--seed").arg(seed.to_string());
        if let Some(server) = writing.server {
            command.arg("--psql").arg(self.cluster.binaries.tool("psql"));
            command.arg("--conninfo").arg(server.conninfo());
        }
        let numbers = [("--per-s", writing.per_s), ("--seconds", writing.seconds)];
        for (name, value) in numbers {
            if let Some(value) = value {
                command.arg(name).arg(value.to_string());
            }
        }
        if let Some(most) = writing.most {
            command.arg("--most").arg(most.to_string());
        }
        if writing.probe {
            command.arg("--probe");
        }
        if writing.at_server {
            command.arg("--at-server");
        }
        Ok(Writer(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?))
    }

    /// A copy of the chat database, with the prober's table.
    fn copy(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        for end in ["", "-wal", "-shm"] {
            let file = self.folder.join(format!("{name}{end}"));
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        fs::copy(&self.made, &path)?;
        let table = "CREATE TABLE probe (id INTEGER PRIMARY KEY, at INTEGER NOT NULL)";
        rusqlite::Connection::open(&path)?.execute_batch(table)?;
        Ok(path)
    }

    /// A fresh database; nobody pays for what the one before left to be written.
    fn target(&self, name: &str) -> Result<Database> {
        let database = self.cluster.fresh_database(name)?;
        self.cluster.psql("postgres", "CHECKPOINT")?;
        Ok(database)
    }
}

/// Measures.
pub(crate) fn run(args: &Args) -> Result {
    let bench = paths::target().join("bench");
    fs::create_dir_all(&bench)?;
    let (made, _) = database(&bench, 1)?;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => paths::build_switchover()?.ok_or("the binary was not built")?,
    };
    let folder = bench.join("live");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let builder = SETTINGS.iter().fold(Cluster::builder().fsync(true), |b, (n, v)| b.setting(n, v));
    let stage = Stage { args, cluster: builder.start()?, folder, binary, made };
    println!("PostgreSQL {}, SQLite with synchronous={}", stage.cluster.binaries.major(), args.synchronous);
    let mut figures = Figures::default();
    let wanted = |scene| args.only.is_empty() || args.only.contains(&scene);
    let mut result = Ok(());
    if wanted(Scene::Backfill) {
        result = scenes::backfill(&stage, &mut figures);
    }
    if result.is_ok() && [Scene::Follow, Scene::Switch, Scene::Window].into_iter().any(wanted) {
        result = scenes::live(&stage, &wanted, &mut figures);
    }
    println!("\n{}", figures.text());
    let path = figures.write_json(&bench, args.rounds, args.seconds)?;
    println!("written: {}", path.display());
    fs::remove_dir_all(&stage.folder)?;
    result
}
