//! A few random kills of every verb; `cargo xtask chaos` is the long run of the same loop.
#![cfg(feature = "failpoints")]
#![expect(clippy::panic, reason = "tests")]

use std::time::Duration;
use switchover_testkit::Cluster;
use switchover_testkit::chaos::{self, Options};

#[test]
fn random_kills_lose_nothing_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let options = Options {
        binary: env!("CARGO_BIN_EXE_switchover").into(),
        seed: seed.as_secs(),
        kills_max: 10,
        time_max: Duration::from_secs(40),
        rows: 8000,
    };
    let server = Cluster::shared().expect("a server");
    let figures = chaos::run(server, folder.path(), &options, &mut |line| eprintln!("{line}"));
    let figures = figures.unwrap_or_else(|error| panic!("{error}"));
    eprintln!("seed {}: {figures}", options.seed);
    assert!(figures.kills() > 0 && figures.equal > 1, "{figures}");
}
