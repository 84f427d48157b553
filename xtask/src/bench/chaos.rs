//! `cargo xtask bench chaos`: how much a live run bears, as counts in a report.
//!
//! Invariants: the counts are those of the oracle test, which ends with an error where anything was lost, and the report
//! then says that and no count. Absent on purpose: the test, which `cargo xtask chaos --live` runs too.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::{Result, chaos, paths};

/// How long, and from which seed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Minutes.
    #[arg(long, value_name = "N", default_value_t = 5)]
    minutes: u64,
    /// The seed of every choice [default: the time].
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// Runs it, and writes the report.
pub(crate) fn run(args: &Args) -> Result {
    let (seed, begun) = (chaos::seed(args.seed)?, Instant::now());
    let ran = chaos::live(args.minutes * 60, seed);
    let mut report = json!({
        "version": 1, "seed": seed, "minutes": args.minutes, "seconds": begun.elapsed().as_secs_f64(),
    });
    match &ran {
        Ok(stories) => {
            report["stories"] = stories.clone().into();
            report["all"] = total(stories);
        }
        Err(error) => report["failure"] = error.to_string().into(),
    }
    let path = write(&report)?;
    println!("{}\nwritten: {}", serde_json::to_string(&report["all"])?, path.display());
    ran.map(drop)
}

/// The counts of all stories together.
fn total(stories: &[Value]) -> Value {
    let mut all = Map::new();
    for name in ["kills", "owner_changes", "faults", "operations", "lost"] {
        all.insert(name.to_owned(), stories.iter().fold(Value::Null, |sum, story| add(sum, &story[name])));
    }
    all.into()
}

/// The sum of two counts, or of two groups of counts.
fn add(sum: Value, more: &Value) -> Value {
    match (sum, more) {
        (Value::Object(mut sum), Value::Object(more)) => {
            for (name, count) in more {
                let before = sum.remove(name).unwrap_or_default();
                sum.insert(name.clone(), add(before, count));
            }
            Value::Object(sum)
        }
        (Value::Null, more) => more.clone(),
        (sum, more) => json!(sum.as_u64().unwrap_or(0) + more.as_u64().unwrap_or(0)),
    }
}

/// Beside the reports of the other benches, under the next free number.
fn write(report: &Value) -> Result<PathBuf> {
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    let path = (1..)
        .map(|n: u32| folder.join(format!("chaos-{n}.json")))
        .find(|path| !path.exists())
        .ok_or("no number is free")?;
    fs::write(&path, serde_json::to_string_pretty(report)? + "\n")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_group_by_group() {
        let story = |kills: u64| {
            json!({"kills": kills, "owner_changes": 1, "lost": 0, "seed": 9,
                "faults": {"cut": 2}, "operations": {"acknowledged": 5, "unknown": 1}})
        };
        let expected = json!({"kills": 7, "owner_changes": 2, "lost": 0,
            "faults": {"cut": 4}, "operations": {"acknowledged": 10, "unknown": 2}});
        assert_eq!(total(&[story(3), story(4)]), expected);
    }
}
