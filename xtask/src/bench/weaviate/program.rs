//! The contestants' programs, each a process of its own, so that its processor time and memory are its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{COLLECTION, Field, Load, settled};
use crate::bench::measure::{Ended, Run, measured};
use crate::{Result, paths};

/// Objects in one request of the limit: from 200 to 10,000 it is nearly the same.
const OBJECTS_PER_REQUEST: &str = "1000";

/// What the Python client may be set to: objects in a request, and requests under way.
const SETTINGS: [&str; 3] = ["fixed:1000:8", "fixed:500:4", "fixed:2000:4"];

/// What is said to Switchover: find words in the content, and take the vectors for what they are.
const CONFIG_WORDS: &str = "[[table.messages.index]]\ncolumns = \"content\"\nfull_text = \"english\"\n";
const CONFIG_VECTORS: &str = "[table.messages.column]\nembedding.type = \"vector\"\n";

/// The bare client, built for speed.
pub(super) fn build_limit() -> Result<PathBuf> {
    paths::run(paths::cargo().args([
        "build",
        "--release",
        "--package",
        "switchover-connectors",
        "--example",
        "weaviate_limit",
    ]))?;
    Ok(paths::target().join("release/examples/weaviate_limit"))
}

/// Fills the collection, so that there are objects to make requests of.
pub(super) fn fill(field: &Field) -> Result {
    field.empty()?;
    python_into(field, SETTINGS[0])?;
    field.check()
}

/// Sends prepared requests. It needs objects to make them of: those that the contestant before it stored.
pub(super) fn limit(field: &Field, in_flight: u32) -> Result<Load> {
    if field.check().is_err() {
        fill(field)?;
    }
    sent_again(field, in_flight, None)
}

/// Sends the objects that are there to the collection made anew, by this definition or the one that it has.
pub(super) fn sent_again(field: &Field, in_flight: u32, definition: Option<&Value>) -> Result<Load> {
    let program = field.limit.as_ref().ok_or("the bare client was not built")?;
    settled(&field.server);
    let mut command = Command::new(program);
    command.arg(field.server.url()).args([COLLECTION, OBJECTS_PER_REQUEST, &in_flight.to_string()]);
    command.args(definition.map(Value::to_string));
    let ended = measured(&mut command)?;
    let said: Value = serde_json::from_str(&ended.stdout)?;
    let seconds = number(&said, "load_seconds")?;
    let read = number(&said, "read_seconds")?;
    Ok(Load {
        run: Run {
            seconds,
            load_seconds: Some(seconds),
            parts: vec![("load".into(), seconds), ("read".into(), read)],
            peak_kb: ended.peak_kb,
            failure: None,
        },
        // Of its processor time a part is the making of the requests, which is not what is measured.
        cpu_seconds: None,
        read_seconds: Some(read),
    })
}

/// The Python client, once.
pub(super) fn python(field: &Field, mode: &str) -> Result<Load> {
    let made = field.empty()?;
    let (ended, said) = python_into(field, mode)?;
    let seconds = made + number(&said, "load_seconds")?;
    Ok(Load {
        run: Run {
            seconds,
            load_seconds: Some(seconds),
            parts: vec![("load".into(), seconds)],
            peak_kb: ended.peak_kb,
            failure: None,
        },
        cpu_seconds: Some(number(&said, "cpu_seconds")?),
        read_seconds: None,
    })
}

/// The Python client with its best setting, which the first call finds.
pub(super) fn python_at_its_best(field: &Field, setting: &mut Option<&'static str>) -> Result<Load> {
    if let Some(known) = setting {
        return python(field, known);
    }
    let mut best: Option<(Load, &'static str)> = None;
    for mode in SETTINGS {
        let load = python(field, mode)?;
        println!("         {}", load.run.line(mode));
        if best.as_ref().is_none_or(|(other, _)| load.run.seconds < other.run.seconds) {
            best = Some((load, mode));
        }
    }
    let (load, mode) = best.ok_or("there is no setting")?;
    *setting = Some(mode);
    Ok(load)
}

fn python_into(field: &Field, mode: &str) -> Result<(Ended, Value)> {
    let ended = measured(
        Command::new(switchover_testkit::weaviate::python()?)
            .arg(paths::root().join("xtask/src/bench/weaviate/load.py"))
            .args([field.server.http_port().to_string(), field.server.grpc_port().to_string()])
            .arg(&field.source)
            .args([COLLECTION, mode]),
    )?;
    let said = serde_json::from_str(ended.stdout.lines().last().unwrap_or_default())?;
    Ok((ended, said))
}

/// Switchover, into a server without collections.
pub(super) fn switchover(field: &Field) -> Result<Load> {
    let binary = field.switchover.as_ref().ok_or("the binary was not built")?;
    field.drop_all()?;
    settled(&field.server);
    let folder = field.folder.join("weaviate-run");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder)?;
    let words = if field.words { CONFIG_WORDS } else { "" };
    let vectors = if field.vectors { CONFIG_VECTORS } else { "" };
    fs::write(folder.join("switchover.toml"), format!("{words}{vectors}"))?;
    let report = folder.join("report.json");
    let mut command = Command::new(binary);
    command
        .current_dir(&folder)
        .args(["migrate", "--no-backup", "--from", &format!("sqlite:{}", field.source.display())])
        .args(["--to", &field.server.url(), "--report"])
        .arg(&report);
    let ended = measured(&mut command)?;
    let parts = crate::bench::switchover::phases(&serde_json::from_str(&fs::read_to_string(&report)?)?);
    let of = |names: &[&str]| {
        parts
            .iter()
            .filter(|(name, _)| names.contains(&name.as_str()))
            .map(|(_, seconds)| seconds)
            .sum::<f64>()
    };
    let (load, verify) = (of(&["schema", "copy", "build"]), of(&["verify"]));
    Ok(Load {
        run: Run {
            seconds: ended.seconds,
            load_seconds: Some(load),
            parts,
            peak_kb: ended.peak_kb,
            failure: None,
        },
        cpu_seconds: ended.cpu_seconds,
        read_seconds: Some(verify),
    })
}

fn number(said: &Value, name: &str) -> Result<f64> {
    said[name].as_f64().ok_or_else(|| format!("it told no {name}: {said}").into())
}
