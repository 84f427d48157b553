//! `cargo xtask bench load`: what a migration costs, side by side with the limit and with other tools; and
//! `bench live` and `bench chaos`, in a folder and a file of their own.
//!
//! Invariants: one machine, one server with one set of settings, one source file; the contestants take turns
//! within each round, so that a slow minute of the machine hits all; every load goes into a fresh database
//! and is checked afterwards (rows, keys, indexes), and a load that is not complete has no time; figures are
//! medians and are compared as ratios.
//! Absent on purpose: a threshold that fails a build. Times are for people; tests are for machines.

mod adbc;
mod chaos;
mod files;
mod limit;
mod live;
mod measure;
mod pgloader;
mod reference;
mod switchover;
mod table;
mod weaviate;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use switchover_testkit::Cluster;

use crate::chat::Size;
use crate::{Result, chat, paths};
use files::Files;
use measure::Run;
use reference::Reference;

/// The server's settings for all contestants; everything else is PostgreSQL's default.
const SETTINGS: [(&str, &str); 2] = [("shared_buffers", "256MB"), ("max_wal_size", "4GB")];
/// What each contestant may use for building an index, in its session.
const MAINTENANCE_MEMORY: &str = "256MB";

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Load a chat database of a million messages into PostgreSQL.
    Load {
        /// Multiply the number of rows (1 is 1,022,500 rows).
        #[arg(long, default_value_t = 1)]
        scale: u64,
        /// Rounds; the figures are medians.
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Only these contestants (all that are here by default).
        #[arg(long, value_delimiter = ',')]
        only: Vec<Contestant>,
    },
    /// What a live migration costs the application, and how quickly the owner changes.
    Live(live::Args),
    /// Load messages into Weaviate, beside its limit and its official client.
    Weaviate(weaviate::Args),
    /// Kill a live run and its connections, and count what was acknowledged and what was lost.
    Chaos(chaos::Args),
    /// The application of `bench live`, in a process of its own.
    #[command(hide = true)]
    LiveWriter(live::writer::Args),
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contestant {
    /// Raw COPY of prepared binary files in two streams, then the keys.
    Limit,
    /// Switchover without the backup: its schema, copy and build phases are the load alone.
    SwitchoverLoad,
    /// The same into tables that are there, with all their keys and indexes (`--into existing --rebuild`).
    SwitchoverExisting,
    /// Switchover's whole `migrate`: backup, census, copy, keys and full verification; then `verify` alone.
    Switchover,
    /// Arrow ADBC, typed, then the same keys.
    Adbc,
    /// pgloader with settings tuned for this data.
    Pgloader,
    /// pgloader as it comes.
    PgloaderDefault,
    /// A JSON dump of the same rows into a SQLite file, verified.
    SwitchoverJson,
    /// The `sqlite3` shell's `.import` of the dump's rows as CSV.
    Import,
    /// SQLite into another file, verified.
    SwitchoverFile,
    /// `VACUUM INTO`, which copies pages.
    VacuumInto,
    /// PostgreSQL into a SQLite file, verified.
    SwitchoverBack,
    /// `psql` writing CSV, and the shell's `.import` of it.
    PsqlImport,
}

impl Contestant {
    /// Its name in the table and in the JSON file.
    fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::SwitchoverLoad => "switchover-load",
            Self::SwitchoverExisting => "switchover-existing",
            Self::Switchover => "switchover",
            Self::Adbc => "adbc",
            Self::Pgloader => "pgloader",
            Self::PgloaderDefault => "pgloader-default",
            Self::SwitchoverJson => "switchover-json",
            Self::Import => "import",
            Self::SwitchoverFile => "switchover-file",
            Self::VacuumInto => "vacuum-into",
            Self::SwitchoverBack => "switchover-back",
            Self::PsqlImport => "psql-import",
        }
    }

    /// Whether it needs the rows in the server, or in files that the server wrote.
    fn needs_rows(self) -> bool {
        matches!(self, Self::Limit | Self::SwitchoverBack | Self::PsqlImport)
    }

    /// Whether its target is a SQLite file, and not a database of the server's.
    fn is_to_file(self) -> bool {
        self.yardsticks().1 != Self::Adbc
    }

    /// What its load and its whole time are compared with: the limit, and the peer.
    fn yardsticks(self) -> (Contestant, Contestant) {
        match self {
            Self::SwitchoverJson | Self::Import => (Self::Import, Self::Import),
            Self::SwitchoverFile | Self::VacuumInto => (Self::VacuumInto, Self::VacuumInto),
            Self::SwitchoverBack | Self::PsqlImport => (Self::PsqlImport, Self::PsqlImport),
            _ => (Self::Limit, Self::Adbc),
        }
    }
}

/// What every contestant is given.
struct Field {
    cluster: Cluster,
    source: PathBuf,
    folder: PathBuf,
    reference: Reference,
    files: Files,
    switchover: Option<PathBuf>,
    size: Size,
}

/// Measures.
pub(crate) fn run(verb: &Verb) -> Result {
    match verb {
        Verb::Load { scale, runs, only } => load(*scale, *runs, only),
        Verb::Live(args) => live::run(args),
        Verb::Weaviate(args) => weaviate::run(args),
        Verb::Chaos(args) => chaos::run(args),
        Verb::LiveWriter(args) => live::writer::run(args),
    }
}

fn load(scale: u64, runs: usize, only: &[Contestant]) -> Result {
    let chosen = if only.is_empty() { Contestant::value_variants() } else { only };
    let field = prepare(scale, chosen)?;
    let mut results: Vec<(Contestant, Vec<Run>)> = chosen.iter().map(|who| (*who, Vec::new())).collect();
    for round in 1..=runs {
        for (who, done) in &mut results {
            // A contestant that failed once fails always: its message is the result.
            if done.iter().any(|run| run.failure.is_some()) {
                continue;
            }
            let run = race(&field, *who, round)?;
            println!("round {round}: {}", run.line(who.name()));
            done.push(run);
        }
    }
    println!("\n{}", table::text(&field, &results));
    let path = table::write_json(&field, &results, scale)?;
    println!("written: {}", path.display());
    Ok(())
}

/// The chat database of a scale, made where it is not there yet.
fn database(folder: &Path, scale: u64) -> Result<(PathBuf, Size)> {
    let size = Size {
        users: 2_500 * scale,
        workspaces: 5_000 * scale,
        conversations: 15_000 * scale,
        messages: 1_000_000 * scale,
    };
    let source = folder.join(format!("chat-{scale}.db"));
    if !source.is_file() {
        println!("making {}: {} rows", source.display(), size.rows());
        chat::create(&source, size)?;
    }
    Ok((source, size))
}

fn prepare(scale: u64, chosen: &[Contestant]) -> Result<Field> {
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    let (source, size) = database(&folder, scale)?;
    let switchover = match chosen.iter().any(|who| who.name().starts_with("switchover")) {
        true => paths::build_switchover()?,
        false => None,
    };
    let builder =
        SETTINGS.iter().fold(Cluster::builder().fsync(true), |b, (name, value)| b.setting(name, value));
    let cluster = builder.start()?;
    println!("PostgreSQL {}; every setting below is the same for all:", cluster.binaries.major());
    for name in
        ["shared_buffers", "max_wal_size", "fsync", "full_page_writes", "synchronous_commit", "wal_level"]
    {
        println!("  {name:<20}{}", cluster.psql("postgres", &format!("SHOW {name}"))?);
    }
    println!("  for building indexes, each session may use {MAINTENANCE_MEMORY}");
    let with_rows = chosen.iter().any(|who| who.needs_rows());
    let reference = Reference::prepare(&cluster, &source, &folder, switchover.as_deref(), with_rows)?;
    if chosen.iter().any(|who| matches!(who, Contestant::SwitchoverBack | Contestant::PsqlImport)) {
        reference::build_keys(&reference.database)?;
    }
    let files = Files::prepare(&folder, &source, scale, size, chosen)?;
    Ok(Field { cluster, source, folder, reference, files, switchover, size })
}

/// One contestant's load into a fresh database or file, checked.
fn race(field: &Field, who: Contestant, round: usize) -> Result<Run> {
    if who.is_to_file() {
        return files::race(field, who, round);
    }
    let database = field.cluster.fresh_database(&format!("{}_{round}", who.name().replace('-', "_")))?;
    // Nobody pays for what the one before left to be written.
    field.cluster.psql("postgres", "CHECKPOINT")?;
    let run = match who {
        Contestant::Limit => limit::run(field, &database),
        Contestant::SwitchoverLoad => switchover::load(field, &database),
        Contestant::SwitchoverExisting => switchover::load_existing(field, &database),
        Contestant::Switchover => switchover::run(field, &database),
        Contestant::Adbc => adbc::run(field, &database),
        Contestant::Pgloader => pgloader::run(field, &database, true),
        _ => pgloader::run(field, &database, false),
    };
    let mut run = run.unwrap_or_else(|error| Run::failed(error.to_string()));
    if run.failure.is_none() {
        run.failure = reference::lacking(&database, field.size).err().map(|error| error.to_string());
    }
    Ok(run)
}
