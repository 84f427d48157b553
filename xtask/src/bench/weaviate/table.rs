//! The results: a table for people, a file for programs.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Contestant, Field, Load};
use crate::Result;
use crate::bench::measure::{by_round, median};

type Results = [(Contestant, Vec<Load>)];

/// The median of something, if all of a contestant's loads were complete.
fn of(loads: &[Load], what: impl Fn(&Load) -> Option<f64>) -> Option<f64> {
    if loads.iter().any(|load| load.run.failure.is_some()) {
        return None;
    }
    median(loads.iter().filter_map(what))
}

fn loading(results: &Results, who: Contestant) -> Option<f64> {
    let (_, loads) = results.iter().find(|(name, _)| *name == who)?;
    of(loads, |load| load.run.load_seconds)
}

/// The quickest of the limits, by its median.
fn limit(results: &Results) -> Option<f64> {
    let limits = results.iter().filter(|(who, _)| who.in_flight().is_some());
    limits.filter_map(|(who, _)| loading(results, *who)).min_by(f64::total_cmp)
}

/// The median of the rounds' ratios to that limit.
fn to_limit(results: &Results, who: Contestant) -> Option<f64> {
    let seconds = |who: Contestant| {
        let (_, loads) = results.iter().find(|(name, _)| *name == who)?;
        loads.iter().map(|load| load.run.load_seconds).collect::<Option<Vec<f64>>>()
    };
    let limits = results.iter().map(|(who, _)| *who).filter(|who| who.in_flight().is_some());
    let quickest = limits
        .filter_map(|who| Some((who, loading(results, who)?)))
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(who, _)| who)?;
    by_round(seconds(who)?.into_iter(), seconds(quickest)?.into_iter())
}

/// The table.
pub(super) fn text(field: &Field, results: &Results) -> String {
    let kind = if field.vectors { "messages with vectors of 384" } else { "messages" };
    let words = if field.words { "" } else { ", no words to be found" };
    let mut out = format!("{} {kind}{words}; medians\n\n", field.messages);
    let head = [
        "contestant",
        "runs",
        "load s",
        "objects/s",
        "load/limit",
        "by round",
        "load/py-best",
        "cpu s",
        "cpu/py",
        "RSS MB",
        "read s",
        "read/load",
    ];
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(at, cell)| if at == 0 { format!("{cell:<15}") } else { format!("{cell:>12}") })
            .collect();
        cells.join(" ") + "\n"
    };
    let number =
        |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
    let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a / b);
    out += &line(&head.map(str::to_owned));
    let python = results.iter().find(|(who, _)| *who == Contestant::PythonFixed).map(|(_, loads)| loads);
    let python_cpu = python.and_then(|loads| of(loads, |load| load.cpu_seconds));
    for (who, loads) in results {
        let load = loading(results, *who);
        let cpu = of(loads, |load| load.cpu_seconds);
        let read = of(loads, |load| load.read_seconds);
        out += &line(&[
            who.name().to_owned(),
            loads.len().to_string(),
            number(load, 2),
            number(load.map(|seconds| field.messages as f64 / seconds), 0),
            number(ratio(load, limit(results)), 2),
            number(to_limit(results, *who), 2),
            number(ratio(load, loading(results, Contestant::PythonFixed)), 2),
            number(cpu, 2),
            number(ratio(cpu, python_cpu), 2),
            number(of(loads, |load| load.run.peak_kb.map(|kb| kb as f64 / 1000.0)), 0),
            number(read, 2),
            number(ratio(read, load), 2),
        ]);
    }
    for (who, loads) in results {
        if let Some(failure) = loads.iter().find_map(|load| load.run.failure.as_ref()) {
            writeln!(out, "\n{} has no time: {failure}", who.name()).unwrap_or_default();
        }
    }
    out
}

/// Writes the next free `weaviate-<n>.json`.
pub(super) fn write_json(field: &Field, results: &Results, setting: Option<&str>) -> Result<PathBuf> {
    let path = (1..)
        .map(|n: u32| field.folder.join(format!("weaviate-{n}.json")))
        .find(|path| !path.exists())
        .ok_or("no number is free")?;
    let one = |load: &Load| {
        json!({
            "load_seconds": load.run.load_seconds, "seconds": load.run.seconds, "cpu_seconds": load.cpu_seconds,
            "read_seconds": load.read_seconds, "peak_kb": load.run.peak_kb, "failure": load.run.failure,
            "parts": load.run.parts.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    };
    let contestants: serde_json::Map<String, Value> = results
        .iter()
        .map(|(who, loads)| {
            let runs: Vec<Value> = loads.iter().map(one).collect();
            (who.name().to_owned(), json!({ "median_load_seconds": loading(results, *who), "runs": runs }))
        })
        .collect();
    let value = json!({
        "version": 1, "messages": field.messages, "vectors": field.vectors, "words": field.words,
        "weaviate": switchover_testkit::weaviate::VERSION, "python_setting": setting,
        "limit_seconds": limit(results), "contestants": contestants,
    });
    fs::write(&path, serde_json::to_string_pretty(&value)? + "\n")?;
    Ok(path)
}
