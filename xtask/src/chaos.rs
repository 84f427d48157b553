//! `cargo xtask chaos`: kills the program at random moments for minutes, and compares what is left.
//!
//! Invariants: it prints its seed first, and its figures at the end; a target that is not what the program claims
//! is an error. Absent on purpose: the loop, which the tests share: `switchover_testkit::chaos`.

use std::time::Duration;

use serde_json::Value;
use switchover_testkit::Cluster;
use switchover_testkit::chaos::{self, Options};

use crate::{Result, paths};

/// The seed that was given, else the time.
pub(crate) fn seed(given: Option<u64>) -> Result<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let seed = given.unwrap_or(now.as_secs());
    println!("seed {seed}");
    Ok(seed)
}

/// How long, and from which seed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Minutes.
    #[arg(long, value_name = "N", default_value_t = 3)]
    minutes: u64,
    /// The seed of every choice [default: the time].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Rows of the source.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    rows: i64,
    /// A live run instead: writers all the while, the engine killed at every known place and then at random while
    /// the owner changes, the server restarted, its line cut, slowed and its answers lost; judged by what the writers were told.
    #[arg(long)]
    live: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let seed = seed(args.seed)?;
    if args.live {
        return live(args.minutes * 60, seed).map(drop);
    }
    paths::run(paths::cargo().args(["build", "--package", "switchover-cli", "--features", "failpoints"]))?;
    let folder = paths::target().join(format!("chaos-{seed}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    // A copy, so that a build meanwhile changes nothing.
    let binary = folder.join("switchover");
    std::fs::copy(paths::target().join("debug/switchover"), &binary)?;
    let cluster = Cluster::builder().start()?;
    let options = Options {
        binary,
        seed,
        kills_max: u64::MAX,
        time_max: Duration::from_secs(args.minutes * 60),
        rows: args.rows,
    };
    let figures = chaos::run(&cluster, &folder, &options, &mut |line| println!("{line}"))?;
    println!("seed {seed}: {figures}");
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The oracle test, for longer: it prints its figures, and fails with its seed. Gives what each of its stories told.
///
/// # Errors
/// When it failed; the figures of a story that came to its end are lost with it.
pub(crate) fn live(seconds: u64, seed: u64) -> Result<Vec<Value>> {
    let reports = paths::target().join(format!("chaos-live-{seed}-{}", std::process::id()));
    std::fs::create_dir_all(&reports)?;
    let words = ["test", "--package", "switchover-cli", "--features", "failpoints", "--test", "live_oracle"];
    let ran = paths::run(
        paths::cargo()
            .args(words)
            .args(["--", "--nocapture"])
            .env("SWITCHOVER_ORACLE_SECONDS", seconds.to_string())
            .env("SWITCHOVER_ORACLE_SEED", seed.to_string())
            .env("SWITCHOVER_ORACLE_REPORT", &reports),
    );
    let mut stories = Vec::new();
    for report in std::fs::read_dir(&reports)? {
        stories.push(serde_json::from_slice(&std::fs::read(report?.path())?)?);
    }
    std::fs::remove_dir_all(&reports)?;
    ran.map(|()| stories)
}
