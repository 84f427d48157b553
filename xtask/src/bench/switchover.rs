//! Switchover itself: the whole `migrate` with backup, census and full verification; then `verify` alone; then a
//! `migrate` without backup into a second schema, whose schema, copy and build phases are the load alone.
//!
//! The phases' times come from its JSON report, read tolerantly: `phases` may be a list of objects with `phase`
//! and `seconds`, or an object from names to seconds.

use std::fs;
use std::process::Command;

use serde_json::Value;
use switchover_testkit::Database;

use super::Field;
use super::measure::{Run, measured};
use crate::Result;

/// The phases that a loader without backup and verification has too.
const LOAD_PHASES: [&str; 3] = ["schema", "copy", "build"];

/// Migrates, then verifies.
pub(crate) fn run(field: &Field, database: &Database) -> Result<Run> {
    let Some(binary) = &field.switchover else {
        return Ok(Run::failed("the binary has no verb `migrate` yet"));
    };
    // The journal and the backup go where they can be removed: a backup of each run would fill the disk.
    let folder = field.folder.join(database.name());
    fs::create_dir_all(&folder)?;
    let report = folder.join("report.json");
    let command = |verb: &str| {
        let mut command = Command::new(binary);
        command
            .current_dir(&folder)
            .arg(verb)
            .arg("--from")
            .arg(format!("sqlite:{}", field.source.display()));
        command.args(["--to", &database.url()]);
        command
    };
    let read = || {
        phases(&serde_json::from_str(&fs::read_to_string(&report).unwrap_or_default()).unwrap_or_default())
    };
    let outcome = measured(command("migrate").arg("--report").arg(&report)).and_then(|ended| {
        let mut parts = read();
        let verify = measured(&mut command("verify"))?;
        // The load alone: a second run without the backup, which otherwise works beside the copy.
        // What the first run left to the disk must not be paid by the second.
        database.psql("CHECKPOINT")?;
        let schema = ["--schema", "load", "--no-backup", "--report"];
        measured(command("migrate").args(schema).arg(&report))?;
        database.psql("DROP SCHEMA load CASCADE")?;
        let load: f64 = read().iter().filter(|(name, _)| is_load(name)).map(|(_, seconds)| seconds).sum();
        let copy = read().iter().find(|(name, _)| name == "copy").map_or(0.0, |(_, seconds)| *seconds);
        parts.push(("copy alone".to_owned(), copy));
        parts.push(("verify alone".to_owned(), verify.seconds));
        let peak_kb = ended.peak_kb.max(verify.peak_kb);
        Ok(Run {
            seconds: ended.seconds,
            load_seconds: (load > 0.0).then_some(load),
            parts,
            peak_kb,
            failure: None,
        })
    });
    fs::remove_dir_all(&folder)?;
    outcome
}

fn is_load(phase: &str) -> bool {
    LOAD_PHASES.iter().any(|name| phase.to_lowercase().contains(name))
}

/// The phases of a report, in its order.
fn phases(report: &Value) -> Vec<(String, f64)> {
    let seconds = |value: &Value| {
        value
            .as_f64()
            .or_else(|| value["seconds"].as_f64())
            .or_else(|| value["ms"].as_f64().map(|ms| ms / 1000.0))
    };
    match &report["phases"] {
        Value::Array(list) => list
            .iter()
            .filter_map(|phase| Some((phase["phase"].as_str()?.to_owned(), seconds(phase)?)))
            .collect(),
        Value::Object(map) => map.iter().filter_map(|(name, v)| Some((name.clone(), seconds(v)?))).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    //! Both forms of the phases.

    use super::*;

    #[test]
    fn phases_are_read_from_a_list_and_from_an_object() {
        let list = serde_json::json!({"phases": [{"phase": "copy", "seconds": 1.5}, {"phase": "verify", "ms": 250}]});
        assert_eq!(phases(&list), [("copy".to_owned(), 1.5), ("verify".to_owned(), 0.25)]);
        assert_eq!(phases(&serde_json::json!({"phases": {"copy": 2.0}})), [("copy".to_owned(), 2.0)]);
        assert!(phases(&Value::Null).is_empty());
        assert!(is_load("build") && is_load("Copy") && !is_load("verify"));
    }
}
