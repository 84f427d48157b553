//! The figures of `bench live`, each with what it is meant to be, as a table and as a file.
//!
//! Invariant: every single measurement is kept in the file; the table shows a median unless it says otherwise.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::measure::median;
use crate::Result;

/// How measurements become one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The middle one.
    Median,
    /// The largest.
    Worst,
    /// The 99th of a hundred.
    P99,
}

/// Where a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Line {
    /// At least.
    AtLeast(f64),
    /// At most.
    AtMost(f64),
    /// Nowhere in particular.
    None,
}

struct Figure {
    name: String,
    unit: &'static str,
    of: Of,
    line: Line,
    values: Vec<f64>,
}

impl Figure {
    fn value(&self) -> Option<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        match self.of {
            Of::Median => median(values),
            Of::Worst => values.last().copied(),
            Of::P99 => values.get(values.len() * 99 / 100).or(values.last()).copied(),
        }
    }
}

/// All of them, in the order in which they were first measured.
#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Adds a measurement, and shows it.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, of: Of, line: Line, value: f64) {
        println!("  {name}: {value:.3} {unit}");
        self.keep(name, unit, of, line, value);
    }

    /// Adds one of many measurements.
    pub(crate) fn keep(&mut self, name: &str, unit: &'static str, of: Of, line: Line, value: f64) {
        match self.0.iter_mut().find(|figure| figure.name == name && figure.of == of) {
            Some(figure) => figure.values.push(value),
            None => self.0.push(Figure { name: name.to_owned(), unit, of, line, values: vec![value] }),
        }
    }

    /// The table.
    pub(crate) fn text(&self) -> String {
        let mut out = "| what | measured | line | reached |\n|---|---|---|---|\n".to_owned();
        for figure in &self.0 {
            let value = figure.value().unwrap_or(f64::NAN);
            let how = match figure.of {
                Of::Median if figure.values.len() > 1 => format!("median of {}", figure.values.len()),
                Of::Worst => format!("worst of {}", figure.values.len()),
                Of::P99 => format!("99th percentile of {}", figure.values.len()),
                Of::Median => "once".to_owned(),
            };
            let (line, reached) = match figure.line {
                Line::AtLeast(line) => (format!("≥ {line}"), if value >= line { "yes" } else { "no" }),
                Line::AtMost(line) => (format!("≤ {line}"), if value <= line { "yes" } else { "no" }),
                Line::None => ("–".to_owned(), ""),
            };
            let digits = if value.abs() >= 100.0 { 0 } else { 2 };
            writeln!(
                out,
                "| {}, {how} | {value:.digits$} {} | {line} | {reached} |",
                figure.name, figure.unit
            )
            .unwrap_or_default();
        }
        out
    }

    /// Writes the next free `live-<n>.json`.
    pub(crate) fn write_json(&self, folder: &Path, rounds: u64, seconds: f64) -> Result<PathBuf> {
        let path = (1..)
            .map(|n: u32| folder.join(format!("live-{n}.json")))
            .find(|path| !path.exists())
            .ok_or("no number is free")?;
        let figures: Vec<_> = self
            .0
            .iter()
            .map(|figure| {
                json!({
                    "name": figure.name, "unit": figure.unit, "of": format!("{:?}", figure.of),
                    "value": figure.value(), "line": format!("{:?}", figure.line), "values": figure.values,
                })
            })
            .collect();
        let value = json!({ "version": 1, "rounds": rounds, "seconds": seconds, "figures": figures });
        fs::write(&path, serde_json::to_string_pretty(&value)? + "\n")?;
        Ok(path)
    }
}
