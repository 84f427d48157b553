//! What both stores answered, and how fast, at eighty columns; and as JSON.

use super::layout::{WIDTH, count, fit, pad, plural, shown, wrap};
use switchover::queries::{LeftOut, Lookup, QueriesReport};
use switchover::report::Verdict;
use switchover_core::{Error, Kind, Result};

/// Widths of the table's columns: store, clients, and times and counts.
const WIDTHS: [usize; 8] = [8, 7, 10, 10, 11, 10, 9, 7];

const HEAD: [&str; 8] = ["", "clients", "p50", "p99", "answers/s", "answers", "differ", "failed"];

/// The answer first, then a table for each kind of question.
pub(crate) fn render(report: &QueriesReport) -> String {
    let mut out = match report.verdict {
        Verdict::Same => "same: both stores gave the same answers\n".to_owned(),
        Verdict::Different => "DIFFERENT: the stores gave different answers\n".to_owned(),
        Verdict::Unproven => "UNPROVEN: some questions failed\n".to_owned(),
    };
    for lookup in &report.lookups {
        out.push_str(&table(lookup));
    }
    for LeftOut { lookup, table, why } in &report.left_out {
        let text = format!("not asked: {lookup} of {}: {}", shown(table), shown(why));
        out.push_str(&format!("\n{}\n", wrap(&text, WIDTH - 2).join("\n  ")));
    }
    out
}

fn table(lookup: &Lookup) -> String {
    let title = format!(
        "{} of {} ({}), {}",
        lookup.lookup,
        shown(&lookup.table),
        shown(&lookup.by),
        plural(lookup.questions as u64, "question")
    );
    let mut out = format!("\n{}\n{}\n", fit(&title, WIDTH), line(&HEAD.map(str::to_owned)));
    for timed in &lookup.timed {
        out.push_str(&line(&[
            timed.store.clone(),
            timed.clients.to_string(),
            millis(timed.p50_ms),
            millis(timed.p99_ms),
            count(timed.per_second.round() as u64),
            count(timed.answers),
            count(timed.differing),
            count(timed.errors),
        ]));
        out.push('\n');
    }
    if let Some(error) = lookup.timed.iter().find_map(|timed| timed.first_error.as_ref()) {
        let text = format!("the first failure: {}", shown(error));
        out.push_str(&format!("  {}\n", wrap(&text, WIDTH - 4).join("\n    ")));
    }
    out
}

/// Names to the left, numbers to the right.
fn line(cells: &[String; 8]) -> String {
    let mut out = String::from("  ");
    for (at, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        match at {
            0 => out.push_str(&pad(cell, width)),
            _ => out.push_str(&format!("{cell:>width$}")),
        }
    }
    out.trim_end().to_owned()
}

fn millis(ms: Option<f64>) -> String {
    match ms {
        None => "-".into(),
        Some(ms) if ms < 10.0 => format!("{ms:.3} ms"),
        Some(ms) => format!("{ms:.1} ms"),
    }
}

/// All of it, for programs.
pub(crate) fn json(report: &QueriesReport) -> Result<String> {
    let text = serde_json::to_string_pretty(report);
    Ok(text.map_err(|error| Error::new(Kind::Internal, "write the report").because(error))? + "\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::render::layout::width;

    #[test]
    fn the_table_keeps_to_the_page() {
        let timed = |store: &str, clients: u32| {
            serde_json::json!({ "store": store, "clients": clients, "answers": 1_234_567, "per_second": 123_456.7,
                "p50_ms": 1234.5678, "p99_ms": 0.123, "differing": 7, "errors": 100,
                "first_error": "x".repeat(200) })
        };
        let report = serde_json::json!({
            "format": 1, "made_by": "0", "operation": "bench queries", "started_at": "", "finished_at": "",
            "source": "a", "target": "b", "verdict": "different", "seed": 1, "seconds_each": 2.0, "rows_max": 20,
            "lookups": [{ "lookup": "latest", "table": "t".repeat(70), "target_table": "T", "by": "c".repeat(70),
                          "questions": 200, "timed": [timed("source", 1), timed("target", 8)] }],
            "left_out": [{ "lookup": "words", "table": "t".repeat(30), "why": "w ".repeat(90) }],
        });
        let text = render(&serde_json::from_value(report).unwrap());
        assert!(text.starts_with("DIFFERENT"), "{text}");
        assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
        assert!(text.contains("1234.6 ms") && text.contains("0.123 ms"), "{text}");
    }
}
