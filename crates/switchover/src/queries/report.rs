//! What the stores answered, and how fast: for programs and for people (docs/reference/report.md).
//!
//! No field ever holds a secret.

use super::choose::{Subject, word};
use super::measure::Tally;
use crate::report::{Verdict, cell};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::Duration;
use switchover_core::digest::Side;
use switchover_core::plan::Plan;

/// The version of the report's format.
pub const QUERIES_FORMAT: u32 = 1;

/// What `bench queries` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueriesReport {
    /// [`QUERIES_FORMAT`].
    pub format: u32,
    /// The program's version.
    pub made_by: String,
    /// `bench queries`.
    pub operation: String,
    /// When it began, in RFC 3339.
    pub started_at: String,
    /// When it ended.
    pub finished_at: String,
    /// The source without secrets.
    pub source: String,
    /// The target without secrets.
    pub target: String,
    /// `same` when every answer of both stores was the right one, `different` when one was not, `unproven` when a
    /// question failed.
    pub verdict: Verdict,
    /// What the questions were chosen by.
    pub seed: u64,
    /// How long each store was asked one kind of question by one number of clients.
    pub seconds_each: f64,
    /// Rows of an answer at most.
    pub rows_max: u32,
    /// By kind and table.
    pub lookups: Vec<Lookup>,
    /// What was not asked, and why.
    pub left_out: Vec<LeftOut>,
}

/// One kind of question to one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lookup {
    /// `by id`, `latest` or `words`.
    pub lookup: String,
    /// The table on the source.
    pub table: String,
    /// The table or collection on the target.
    pub target_table: String,
    /// The columns that were asked by.
    pub by: String,
    /// Different questions.
    pub questions: usize,
    /// By store and number of clients.
    pub timed: Vec<Timed>,
}

/// How one store answered so many clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// `source` or `target`.
    pub store: String,
    /// Clients that asked at a time.
    pub clients: usize,
    /// Right answers.
    pub answers: u64,
    /// Right answers in a second.
    pub per_second: f64,
    /// The time in milliseconds within which half of them came; `null` without any.
    pub p50_ms: Option<f64>,
    /// The time within which 99 of 100 came.
    pub p99_ms: Option<f64>,
    /// Answers that were others than the source gave before.
    pub differing: u64,
    /// Questions that failed.
    pub errors: u64,
    /// The first failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
}

/// A question that was not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// `by id`, `latest` or `words`.
    pub lookup: String,
    /// The table on the source.
    pub table: String,
    /// Why.
    pub why: String,
}

impl Lookup {
    pub(super) fn of(plan: &Plan, subject: &Subject, timed: Vec<Timed>) -> Lookup {
        let table = &plan.tables[subject.table];
        Lookup {
            lookup: subject.kind.name().into(),
            table: table.source.clone(),
            target_table: table.target.clone(),
            by: subject.by.clone(),
            questions: subject.questions.len(),
            timed,
        }
    }
}

impl Timed {
    pub(super) fn of(side: Side, clients: usize, took: Duration, tally: Tally) -> Timed {
        let Tally { mut nanos, differing, errors, first_error } = tally;
        nanos.sort_unstable();
        let answers = nanos.len() as u64;
        Timed {
            store: word(side).into(),
            clients,
            answers,
            per_second: (answers as f64 / took.as_secs_f64().max(1e-9) * 10.0).round() / 10.0,
            p50_ms: percentile(&nanos, 50),
            p99_ms: percentile(&nanos, 99),
            differing,
            errors,
            first_error,
        }
    }
}

/// The smallest of the sorted times within which so many of a hundred came, in milliseconds.
fn percentile(sorted: &[u64], of_hundred: usize) -> Option<f64> {
    let rank = (sorted.len() * of_hundred).div_ceil(100).max(1);
    sorted.get(rank - 1).map(|nanos| (*nanos as f64 / 1e3).round() / 1e3)
}

pub(super) fn verdict(lookups: &[Lookup]) -> Verdict {
    let sum =
        |count: fn(&Timed) -> u64| lookups.iter().flat_map(|lookup| &lookup.timed).map(count).sum::<u64>();
    match (sum(|timed| timed.differing), sum(|timed| timed.errors)) {
        (0, 0) => Verdict::Same,
        (0, _) => Verdict::Unproven,
        _ => Verdict::Different,
    }
}

/// The report for people.
pub fn markdown(report: &QueriesReport) -> String {
    let mut out = String::new();
    let verdict = match report.verdict {
        Verdict::Same => "both stores gave the same answers",
        Verdict::Different => "**the stores gave different answers**",
        Verdict::Unproven => "**some questions failed**",
    };
    // Writing to a `String` cannot fail.
    let _ = write!(
        out,
        "# Queries: {verdict}\n\n- source: {}\n- target: {}\n- {} to {}, each kind {} s a store and number of clients, seed {}\n",
        cell(&report.source),
        cell(&report.target),
        report.started_at,
        report.finished_at,
        report.seconds_each,
        report.seed
    );
    for lookup in &report.lookups {
        let _ = write!(
            out,
            "\n## {} of {} ({})\n\n{} questions, at most {} rows an answer.\n\n\
             | store | clients | p50 ms | p99 ms | answers/s | answers | differing | errors |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
            lookup.lookup,
            cell(&lookup.table),
            cell(&lookup.by),
            lookup.questions,
            report.rows_max
        );
        for timed in &lookup.timed {
            let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.3}"));
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {:.1} | {} | {} | {} |",
                timed.store,
                timed.clients,
                ms(timed.p50_ms),
                ms(timed.p99_ms),
                timed.per_second,
                timed.answers,
                timed.differing,
                timed.errors
            );
        }
        for error in lookup.timed.iter().filter_map(|timed| timed.first_error.as_ref()) {
            let _ = writeln!(out, "\nThe first failure: {}", cell(error));
        }
    }
    if !report.left_out.is_empty() {
        let _ = write!(out, "\n## Not asked\n\n");
        for left in &report.left_out {
            let _ = writeln!(out, "- {} of {}: {}", left.lookup, cell(&left.table), cell(&left.why));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<u64> = (1..=200).map(|ms| ms * 1_000_000).collect();
        assert_eq!([percentile(&times, 50), percentile(&times, 99)], [Some(100.0), Some(198.0)]);
        assert_eq!(percentile(&times[..1], 99), Some(1.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_wrong_answer_decides_and_a_failure_leaves_it_open() {
        let timed = |differing, errors| {
            let tally = Tally { nanos: vec![1_000_000], differing, errors, first_error: None };
            Timed::of(Side::Target, 1, Duration::from_secs(1), tally)
        };
        let lookup = |timed| Lookup {
            lookup: "by id".into(),
            table: "t".into(),
            target_table: "T".into(),
            by: "id".into(),
            questions: 1,
            timed: vec![timed],
        };
        assert_eq!(verdict(&[lookup(timed(0, 0))]), Verdict::Same);
        assert_eq!(verdict(&[lookup(timed(0, 1))]), Verdict::Unproven);
        assert_eq!(verdict(&[lookup(timed(1, 1)), lookup(timed(0, 0))]), Verdict::Different);
    }
}
