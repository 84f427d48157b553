//! `cargo xtask test`: every test of the workspace against one private server, and their number.
//!
//! Invariants: without a server it fails, and starts no test; a run of all tests fails when fewer ran than
//! [`MIN_TESTS`], so that tests cannot vanish behind a feature, a filter or a broken manifest; the last line
//! is `N passed, M failed`.
//! Absent on purpose: parallel test runners. `cargo test` is on every machine that builds this.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;
use switchover_testkit::{Cluster, TEST_SERVER_ENV, Weaviate, weaviate};

use crate::{Result, paths};

/// The number of tests that must run when all are run. Raise it with the tests; never lower it unexplained.
const MIN_TESTS: u64 = 614;

/// Which tests.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains this; the floor on their number does not hold then.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Only this package.
    #[arg(long, value_name = "NAME")]
    package: Option<String>,
}

/// Tests counted over all test binaries.
#[derive(Default, Debug, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

impl Count {
    /// Adds a line `test result: ok. 3 passed; 0 failed; …`; other lines add nothing.
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else { return };
        let number = |word: &str| -> u64 {
            let before = result.split_once(word).map_or("", |(before, _)| before.trim_end());
            before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
    }
}

/// Runs them.
pub(crate) fn run(args: &Args) -> Result {
    let cluster = Cluster::builder().start()?;
    println!("PostgreSQL {} on {}", cluster.binaries.major(), cluster.host);
    let documents = Weaviate::start()?;
    println!("Weaviate {} on {}", weaviate::VERSION, documents.http_url());
    let mut command = paths::cargo();
    command
        .args(["test", "--no-fail-fast"])
        .env(TEST_SERVER_ENV, cluster.conninfo("postgres"))
        .env(weaviate::TEST_SERVER_ENV, documents.url());
    match &args.package {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    let features = failpoint_features(args.package.as_deref())?;
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    command.args(args.filter.as_deref());
    println!("$ {}", paths::show(&command));

    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut count = Count::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            count.add(&line);
        }
    }
    let status = child.wait()?;
    drop((cluster, documents));
    println!("{} passed, {} failed", count.passed, count.failed);
    if !status.success() {
        return Err(format!("cargo test: {status}").into());
    }
    let all = args.filter.is_none() && args.package.is_none();
    let ran = count.passed + count.failed;
    if all && ran < MIN_TESTS {
        return Err(format!("only {ran} tests ran, and there are at least {MIN_TESTS}").into());
    }
    Ok(())
}

/// `package/failpoints` for every package that has the feature.
fn failpoint_features(only: Option<&str>) -> Result<Vec<String>> {
    let output = paths::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let with_feature = packages.iter().filter(|package| package["features"]["failpoints"].is_array());
    let names = with_feature.filter_map(|package| package["name"].as_str());
    Ok(names
        .filter(|name| only.is_none_or(|only| only == *name))
        .map(|n| format!("{n}/failpoints"))
        .collect())
}

#[cfg(test)]
mod tests {
    //! The closing lines of `cargo test`.

    use super::*;

    #[test]
    fn closing_lines_are_summed_and_others_are_not() {
        let mut count = Count::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            "test it_passed ... ok",
            "99 passed",
        ] {
            count.add(line);
        }
        assert_eq!(count, Count { passed: 15, failed: 2 });
    }
}
