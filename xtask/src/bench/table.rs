//! The results: a table for people, a file for programs.
//!
//! Invariant: a ratio is shown only between medians of complete loads.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::measure::{Run, by_round, median};
use super::{Contestant, Field, MAINTENANCE_MEMORY, SETTINGS};
use crate::Result;

type Results = [(Contestant, Vec<Run>)];

/// The median of a contestant's whole time, if all its loads were complete.
fn total(results: &Results, who: Contestant) -> Option<f64> {
    let (_, runs) = results.iter().find(|(name, _)| *name == who)?;
    if runs.iter().any(|run| run.failure.is_some()) {
        return None;
    }
    median(runs.iter().map(|run| run.seconds))
}

/// A figure of a round.
type Figure = fn(&Run) -> Option<f64>;

/// The median of the rounds' ratios of something to the whole time of another.
fn rounds(results: &Results, (runs, of): (&[Run], Figure), other: Contestant) -> Option<f64> {
    total(results, other)?;
    let (_, others) = results.iter().find(|(name, _)| *name == other)?;
    let these = runs.iter().map(of).collect::<Option<Vec<f64>>>()?;
    by_round(these.into_iter(), others.iter().map(|run| run.seconds))
}

/// The table.
pub(crate) fn text(field: &Field, results: &Results) -> String {
    let bytes = fs::metadata(&field.source).map_or(0, |meta| meta.len());
    let rows = field.size.rows() as f64;
    let megabytes = bytes as f64 / 1e6;
    let number =
        |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
    let mut out = format!("{} rows, {megabytes:.0} MB of SQLite; medians\n\n", field.size.rows());
    let head = [
        "contestant",
        "runs",
        "seconds",
        "load s",
        "load/limit",
        "by round",
        "all/peer",
        "by round",
        "rows/s",
        "MB/s",
        "RSS MB",
    ];
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(at, cell)| if at == 0 { format!("{cell:<18}") } else { format!("{cell:>10}") })
            .collect();
        cells.join(" ") + "\n"
    };
    out += &line(&head.map(str::to_owned));
    for (who, runs) in results {
        let seconds = total(results, *who);
        let load = seconds.and_then(|_| median(runs.iter().filter_map(|run| run.load_seconds)));
        // Without its backup it is no match for a whole migration into a database.
        let whole =
            seconds.filter(|_| !matches!(who, Contestant::SwitchoverLoad | Contestant::SwitchoverExisting));
        let (limit, peer) = who.yardsticks();
        let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a / b);
        let peak = median(runs.iter().filter_map(|run| run.peak_kb).map(|kb| kb as f64 / 1000.0));
        out += &line(&[
            who.name().to_owned(),
            runs.len().to_string(),
            number(seconds, 2),
            number(load, 2),
            number(ratio(load, total(results, limit)), 2),
            number(load.and_then(|_| rounds(results, (runs, |run| run.load_seconds), limit)), 2),
            number(ratio(whole, total(results, peer)), 2),
            number(whole.and_then(|_| rounds(results, (runs, |run| Some(run.seconds)), peer)), 2),
            number(seconds.map(|s| rows / s), 0),
            number(seconds.map(|s| megabytes / s), 1),
            number(peak, 0),
        ]);
    }
    for (who, runs) in results {
        let parts = parts(runs);
        if !parts.is_empty() {
            let parts: Vec<String> = parts.iter().map(|(name, s)| format!("{name} {s:.2}")).collect();
            writeln!(out, "\n{}: {}", who.name(), parts.join(", ")).unwrap_or_default();
        }
        if let Some(failure) = runs.iter().find_map(|run| run.failure.as_ref()) {
            writeln!(out, "\n{} has no time: {failure}", who.name()).unwrap_or_default();
        }
    }
    out
}

/// The medians of the parts, in the first run's order.
fn parts(runs: &[Run]) -> Vec<(String, f64)> {
    let Some(first) = runs.first() else { return Vec::new() };
    let of = |name: &str| {
        median(runs.iter().flat_map(|run| &run.parts).filter(|(other, _)| other == name).map(|(_, s)| *s))
    };
    first.parts.iter().filter_map(|(name, _)| Some((name.clone(), of(name)?))).collect()
}

/// Writes the next free `results-<n>.json`.
pub(crate) fn write_json(field: &Field, results: &Results, scale: u64) -> Result<PathBuf> {
    let path = (1..)
        .map(|n: u32| field.folder.join(format!("results-{n}.json")))
        .find(|path| !path.exists())
        .ok_or("no number is free")?;
    let one = |run: &Run| {
        json!({
            "seconds": run.seconds, "load_seconds": run.load_seconds, "peak_kb": run.peak_kb,
            "parts": run.parts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "failure": run.failure,
        })
    };
    let contestants: serde_json::Map<String, Value> = results
        .iter()
        .map(|(who, runs)| {
            let runs: Vec<Value> = runs.iter().map(one).collect();
            (who.name().to_owned(), json!({"median_seconds": total(results, *who), "runs": runs}))
        })
        .collect();
    let value = json!({
        "version": 1, "scale": scale, "rows": field.size.rows(),
        "source_bytes": fs::metadata(&field.source)?.len(),
        "postgres_major": field.cluster.binaries.major(),
        "settings": SETTINGS.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        "maintenance_work_mem": MAINTENANCE_MEMORY,
        "columns": field.reference.columns.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "contestants": contestants,
    });
    fs::write(&path, serde_json::to_string_pretty(&value)? + "\n")?;
    Ok(path)
}
