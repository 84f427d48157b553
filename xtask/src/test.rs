//! `cargo xtask test`: every test of the workspace against one private server, and their number.
//!
//! Invariants: without a server it fails, and starts no test; a run of all tests fails when fewer ran than
//! [`MIN_TESTS`], so that tests cannot vanish behind a feature, a filter or a broken manifest; the last line
//! is `N passed, M failed`.
//! Absent on purpose: other test runners. `cargo test` is on every machine that builds this.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;
use switchover_testkit::{BINARIES_ENV, Binaries, Cluster, TEST_SERVER_ENV, Weaviate, weaviate};

use crate::{Result, paths};

/// The number of tests that must run when all are run. Raise it with the tests; never lower it unexplained.
const MIN_TESTS: u64 = 1_300;

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

/// The tests that mostly wait, in groups that run beside each other and beside all others: those that take turns on a shared
/// Weaviate, and the longest of those in which processes write while others are killed. With both, two processors are always
/// at work.
const WAITING: [&[&str]; 2] = [
    &[WEAVIATE, "weaviate_client", "property", "mutation"],
    &[
        "live_oracle",
        "kill",
        "live_died",
        "live_existing",
        "live_finish",
        "live_guards",
        "live_held",
        "live_keys",
        "live_log",
        "live_set_back",
        "live_source_set_back",
        "live_verbs",
    ],
];

/// The longest of the tests that take turns on a Weaviate, and those of its modules that have a second server: about half of its time.
const WEAVIATE: &str = "weaviate";
const ON_SECOND_WEAVIATE: [&str; 8] =
    ["alias::", "beside::", "existing::", "images::", "kill::", "lies::", "references::", "tenants::"];

/// The newest major version, unless it is the installed one: then the oldest one that is supported.
const MAJORS: (u32, u32) = (18, 13);

/// The tests that run on a second major version too: what a server's version can change is its catalog, its types'
/// text and binary forms, its locks, triggers and messages. Not those that need its own `pg_dump`, or TLS, which the
/// fetched programs lack.
const ON_SECOND_MAJOR: [&str; 7] = [
    "chinook",
    "hazards_orphans",
    "hazards_relations",
    "hazards_schema",
    "hazards_values",
    "hazards_views",
    "live_postgres",
];

/// Runs them.
pub(crate) fn run(args: &Args) -> Result {
    let cluster = Cluster::builder().start()?;
    println!("PostgreSQL {} on {}", cluster.binaries.major(), cluster.host);
    let documents = Weaviate::start()?;
    println!("Weaviate {} on {}", weaviate::VERSION, documents.http_url());
    let all = args.filter.is_none() && args.package.is_none();
    let metadata = metadata()?;
    let features = failpoint_features(&metadata, args.package.as_deref()).join(",");
    let cargo = |more: &[&str]| {
        let mut command = paths::cargo();
        command
            .args(["test", "--no-fail-fast"])
            .env(TEST_SERVER_ENV, cluster.conninfo("postgres"))
            .env(weaviate::TEST_SERVER_ENV, documents.url());
        match &args.package {
            Some(package) => command.args(["--package", package]),
            None => command.arg("--workspace"),
        };
        if !features.is_empty() {
            command.args(["--features", &features]);
        }
        command.args(more);
        println!("$ {}", paths::show(&command));
        command
    };
    let outcome = match all {
        true => {
            let beside = Weaviate::start()?;
            println!("and on {}", beside.http_url());
            run_all(&cargo, &others(&metadata), second_major(cluster.binaries.major())?.as_ref(), &beside)
        }
        false => {
            counted(cargo(&args.filter.as_deref().into_iter().collect::<Vec<_>>()), |line| println!("{line}"))
        }
    };
    drop((cluster, documents));
    let (count, failed) = outcome?;
    println!("{} passed, {} failed", count.passed, count.failed);
    if let Some(failed) = failed {
        return Err(format!("cargo test: {failed}").into());
    }
    let ran = count.passed + count.failed;
    if all && ran < MIN_TESTS {
        return Err(format!("only {ran} tests ran, and there are at least {MIN_TESTS}").into());
    }
    Ok(())
}

/// What a run of `cargo test` counted, and how it ended unless well.
type Outcome = (Count, Option<ExitStatus>);

/// All tests: those that wait, and behind the last of them those on a second major version, beside the others; their lines
/// come last.
fn run_all(
    cargo: &dyn Fn(&[&str]) -> Command,
    others: &[String],
    second: Option<&Cluster>,
    documents: &Weaviate,
) -> Result<Outcome> {
    // Built first, so that neither waits for the other's build.
    let built = cargo(&["--no-run"]).status()?;
    if !built.success() {
        return Ok((Count::default(), Some(built)));
    }
    let mut groups: Vec<Vec<Command>> = WAITING.iter().map(|names| in_turn(cargo, names)).collect();
    if let (Some(last), Some(cluster)) = (groups.last_mut(), second) {
        last.push(on_second_major(cargo, cluster));
    }
    groups.push(vec![on_second_weaviate(cargo, documents)]);
    let beside: Vec<_> = groups.into_iter().map(|group| std::thread::spawn(move || kept(group))).collect();
    let mut rest = vec!["--lib", "--bins", "--examples"];
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    rest.extend(named(&others));
    let mut outcomes = vec![counted(cargo(&rest), |line| println!("{line}"))?];
    outcomes.push(counted(cargo(&["--doc"]), |line| println!("{line}"))?);
    for group in beside {
        let (of_group, lines) = group.join().map_err(|_| "the thread of a group of tests ended early")?;
        lines.iter().for_each(|line| println!("{line}"));
        outcomes.extend(of_group?);
    }
    let (mut sum, mut failed) = (Count::default(), None);
    for (count, ended) in outcomes {
        sum.passed += count.passed;
        sum.failed += count.failed;
        failed = failed.or(ended);
    }
    Ok((sum, failed))
}

/// A group's tests, but for the modules that have a server of their own.
fn in_turn(cargo: &dyn Fn(&[&str]) -> Command, names: &[&str]) -> Vec<Command> {
    let (split, whole): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| **name == WEAVIATE);
    let mut commands = Vec::new();
    if !split.is_empty() {
        let mut arguments = named(&split);
        arguments.push("--");
        arguments.extend(ON_SECOND_WEAVIATE.iter().flat_map(|module| ["--skip", module]));
        commands.push(cargo(&arguments));
    }
    commands.push(cargo(&named(&whole)));
    commands
}

/// The others of the Weaviate's tests, on that server.
fn on_second_weaviate(cargo: &dyn Fn(&[&str]) -> Command, documents: &Weaviate) -> Command {
    let mut arguments = named(&[WEAVIATE]);
    arguments.push("--");
    arguments.extend(ON_SECOND_WEAVIATE);
    let mut command = cargo(&arguments);
    command.env(weaviate::TEST_SERVER_ENV, documents.url());
    command
}

/// Tests by name, as arguments of `cargo test`.
fn named<'a>(names: &[&'a str]) -> Vec<&'a str> {
    names.iter().flat_map(|name| ["--test", name]).collect()
}

/// Runs one behind the other, and keeps what they print.
fn kept(group: Vec<Command>) -> (std::result::Result<Vec<Outcome>, String>, Vec<String>) {
    let mut lines = Vec::new();
    let outcomes: Result<Vec<Outcome>> =
        group.into_iter().map(|command| counted(command, |line| lines.push(line.to_owned()))).collect();
    (outcomes.map_err(|error| error.to_string()), lines)
}

/// A server of another major version. Its programs come from a registry: where they cannot be had, that is said, and is
/// no failure.
fn second_major(installed: u32) -> Result<Option<Cluster>> {
    let major = if installed == MAJORS.0 { MAJORS.1 } else { MAJORS.0 };
    let programs = match crate::majors::fetch(major) {
        Ok(programs) => programs,
        Err(reason) => {
            println!("PostgreSQL {major}: NOT TESTED, because its programs could not be fetched: {reason}");
            return Ok(None);
        }
    };
    let cluster = Cluster::builder().binaries(Binaries::at(&programs)?).start()?;
    println!("PostgreSQL {} on {}", cluster.binaries.major(), cluster.host);
    Ok(Some(cluster))
}

/// Some tests again, on that server.
fn on_second_major(cargo: &dyn Fn(&[&str]) -> Command, cluster: &Cluster) -> Command {
    let mut command = cargo(&named(&ON_SECOND_MAJOR));
    command.env(TEST_SERVER_ENV, cluster.conninfo("postgres")).env(BINARIES_ENV, cluster.binaries.folder());
    command
}

/// Runs `cargo test`, hands its lines on, and counts.
fn counted(mut command: Command, mut line_by_line: impl FnMut(&str)) -> Result<Outcome> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut count = Count::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            line_by_line(&line);
            count.add(&line);
        }
    }
    let status = child.wait()?;
    Ok((count, (!status.success()).then_some(status)))
}

/// The workspace's integration tests by name, but those that wait.
fn others(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests = targets.filter(|target| target["kind"][0] == "test");
    let names: BTreeSet<&str> = tests.filter_map(|target| target["name"].as_str()).collect();
    let waits = |name: &&str| WAITING.iter().any(|group| group.contains(name));
    names.into_iter().filter(|name| !waits(name)).map(str::to_owned).collect()
}

fn metadata() -> Result<Value> {
    let output = paths::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// `package/failpoints` for every package that has the feature.
fn failpoint_features(metadata: &Value, only: Option<&str>) -> Vec<String> {
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let with_feature = packages.iter().filter(|package| package["features"]["failpoints"].is_array());
    let names = with_feature.filter_map(|package| package["name"].as_str());
    names.filter(|name| only.is_none_or(|only| only == *name)).map(|n| format!("{n}/failpoints")).collect()
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
