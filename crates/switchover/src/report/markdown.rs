//! The report as Markdown: the answer first, then what a reader asks next.
//!
//! Invariants: made from the [`Report`] alone; a name or value cannot leave its cell (`|`, line
//! breaks and markup are escaped). Docs: docs/reference/report.md.

use super::{Difference, DifferenceKind, LiveReport, Report, TableReport, Verdict};
use std::fmt::Write;
use switchover_core::digest::Hex;
use switchover_core::plan::Fate;

/// The report for people.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    summary(report, &mut out);
    live(report, &mut out);
    tables(report, &mut out);
    differences(report, &mut out);
    exceptions(report, &mut out);
    refusals(report, &mut out);
    outcomes(report, Fate::Changed, "Changed on the way", &mut out);
    outcomes(report, Fate::LeftOut, "Left out", &mut out);
    audit(report, &mut out);
    phases(report, &mut out);
    out
}

/// Writing to a `String` cannot fail.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {{ let _ = writeln!($out, $($text)*); }};
}

/// Text that stays within its cell and is shown as it is.
pub(crate) fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '~' | '&' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.extend(format!("\\{}", c.escape_default()).chars()),
            c => out.push(c),
        }
    }
    out
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Same => "same",
        Verdict::Different => "**different**",
        Verdict::Unproven => "**unproven**",
    }
}

fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn summary(report: &Report, out: &mut String) {
    let headline = match report.verdict {
        Verdict::Same if report.live.is_some() => {
            "same: every field of every row was equal when all were last compared".to_owned()
        }
        Verdict::Same if report.sample.is_some() => "same, as far as the sample reaches".to_owned(),
        Verdict::Same => {
            let except = report.in_quarantine().map(|what| format!(", except {what}")).unwrap_or_default();
            format!("same: every field of every row is equal{except}")
        }
        Verdict::Different => "different".to_owned(),
        Verdict::Unproven => "unproven".to_owned(),
    };
    line!(out, "# {}: {headline}\n", cell(&report.operation));
    for reason in &report.reasons {
        line!(out, "- {}", cell(reason));
    }
    if !report.reasons.is_empty() {
        line!(out, "");
    }
    let rows: u64 = report.tables.iter().map(|table| table.source_rows).sum();
    let bytes: u64 = report.tables.iter().map(|table| table.bytes).sum();
    line!(out, "| | |\n|---|---|");
    line!(out, "| source | {} |", cell(&report.source));
    line!(out, "| target | {} |", cell(&report.target));
    line!(out, "| tables | {} |", report.tables.len());
    line!(out, "| rows | {} |", count(rows));
    line!(out, "| payload | {} |", megabytes(bytes));
    line!(out, "| time | {:.1} s |", report.seconds);
    if let Some(sample) = &report.sample {
        let (rows, of, rate) = (count(sample.rows), count(sample.of), sample.bad_rate_max * 100.0);
        // The bound is that of a clean sample; one with differences proves only that there are some.
        let proves = match report.verdict {
            Verdict::Same => format!("; with 95 % confidence at most {rate:.4} % of all rows differ"),
            Verdict::Different | Verdict::Unproven => String::new(),
        };
        let chosen = format!("up to {} a table, seed {}", count(sample.rows_per_table), sample.seed);
        line!(out, "| sample | {rows} of {of} rows ({chosen}){proves} |");
    }
    if let Some(validation) = &report.validation {
        line!(out, "| validation | {} |", cell(&validation.in_words()));
    }
    if let Some(live) = &report.live {
        compared(live, out);
    }
    if let Some(bytes) = report.resident_bytes_max {
        line!(out, "| memory | {} resident at most |", megabytes(bytes));
    }
    if let Some(backup) = &report.backup {
        let path = cell(&backup.path);
        line!(out, "| backup | {path}, {}, BLAKE3 {} |", megabytes(backup.bytes), cell(&backup.blake3));
    }
    if !report.run.is_empty() {
        line!(out, "| run | {} |", cell(&report.run));
    }
    line!(out, "| began | {} |", cell(&report.started_at));
    line!(out, "| ended | {} |", cell(&report.finished_at));
    line!(out, "| made by | switchover {} |", cell(&report.made_by));
}

fn compared(live: &LiveReport, out: &mut String) {
    let (rows, took) = (count(live.compared_rows), live.finish_seconds);
    match &live.compared_at {
        Some(at) => line!(out, "| compared | {rows} rows by {}; changes since were read back |", cell(at)),
        None => line!(out, "| compared | never |"),
    }
    line!(out, "| finish | {took:.1} s |");
}

fn live(report: &Report, out: &mut String) {
    let Some(live) = &report.live else { return };
    line!(out, "\n## Changes of the owner\n");
    if live.owners.is_empty() {
        line!(out, "None: the source owns the data.");
    } else {
        line!(out, "| at | owner | epoch | writes unavailable | in all | changes taken | why |");
        line!(out, "|---|---|--:|--:|--:|--:|---|");
    }
    for change in &live.owners {
        let (at, why) = (cell(&change.at), cell(change.because.as_deref().unwrap_or("asked for")));
        let (unavailable, total, drained) = (change.unavailable_ms, change.total_ms, count(change.drained));
        line!(
            out,
            "| {at} | {} | {} | {unavailable:.1} ms | {total:.1} ms | {drained} | {why} |",
            change.to,
            change.epoch
        );
    }
    for (title, what) in [("Removed", &live.removed), ("What stays", &live.stays)] {
        line!(out, "\n## {title}\n");
        what.iter().for_each(|what| line!(out, "- {}", cell(what)));
    }
}

fn tables(report: &Report, out: &mut String) {
    if report.tables.is_empty() {
        return;
    }
    line!(out, "\n## Tables\n");
    if report.live.is_some() {
        live_tables(report, out);
        return;
    }
    line!(out, "| table | target | rows | payload | copy | verify | digest | verdict |");
    line!(out, "|---|---|--:|--:|--:|--:|---|---|");
    for table in &report.tables {
        let (source, target) = (cell(&table.source), cell(&table.target));
        let rows = match (table.source_rows, table.target_rows) {
            (source, target) if source == target => count(source),
            (source, target) => format!("{} → {}", count(source), count(target)),
        };
        let digest = match (table.source_digest, table.target_digest) {
            (Some(source), Some(target)) if source == target => short(source),
            (source, target) => {
                format!("{} ≠ {}", source.map_or("?".into(), short), target.map_or("?".into(), short))
            }
        };
        let digest = if table.source_digest.is_none() && table.target_digest.is_none() {
            "–".into()
        } else {
            digest
        };
        let (copy, verify) = (table.copy_seconds, table.verify_seconds);
        let (size, verdict) = (megabytes(table.bytes), verdict(table.verdict));
        line!(
            out,
            "| {source} | {target} | {rows} | {size} | {copy:.2} s | {verify:.2} s | {digest} | {verdict} |"
        );
    }
}

/// Rows as both stores counted them when all were last compared; nobody times or sums single tables in a live run.
fn live_tables(report: &Report, out: &mut String) {
    line!(out, "| table | target | rows | payload | verdict |\n|---|---|--:|--:|---|");
    for table in &report.tables {
        let (source, target, rows) = (cell(&table.source), cell(&table.target), count(table.source_rows));
        let (size, verdict) = (megabytes(table.bytes), verdict(table.verdict));
        line!(out, "| {source} | {target} | {rows} | {size} | {verdict} |");
    }
}

/// The first twelve digits: enough to compare by eye. The JSON holds all of them.
fn short(digest: Hex) -> String {
    format!("`{}`", &digest.to_string()[..12])
}

fn differences(report: &Report, out: &mut String) {
    let differing: Vec<&TableReport> =
        report.tables.iter().filter(|table| table.differences_total > 0).collect();
    if differing.is_empty() {
        return;
    }
    line!(out, "\n## Differences");
    for table in differing {
        let (total, listed) = (table.differences_total, table.differences.len() as u64);
        let rest =
            if total > listed { format!(", of which {} are listed", count(listed)) } else { String::new() };
        line!(out, "\n### {}: {} rows{rest}\n", cell(&table.source), count(total));
        line!(out, "| row | column | source | target |\n|---|---|---|---|");
        table.differences.iter().for_each(|difference| difference_rows(difference, out));
    }
}

fn difference_rows(difference: &Difference, out: &mut String) {
    let key = cell(&difference.key);
    match difference.kind {
        DifferenceKind::Missing => line!(out, "| {key} | | *the row* | *missing* |"),
        DifferenceKind::Extra => line!(out, "| {key} | | *missing* | *the row* |"),
        DifferenceKind::Changed => {
            for field in &difference.fields {
                let (column, source, target) =
                    (cell(&field.column), cell(&field.source), cell(&field.target));
                line!(out, "| {key} | {column} | {source} | {target} |");
            }
        }
    }
}

fn exceptions(report: &Report, out: &mut String) {
    if report.tables.iter().all(|table| table.quarantined == 0 && table.exceptions.is_empty()) {
        return;
    }
    line!(out, "\n## Exceptions\n");
    line!(out, "| table | row | column | value | what was done | why |\n|---|---|---|---|---|---|");
    for table in &report.tables {
        let name = cell(&table.source);
        for exception in &table.exceptions {
            let column = if exception.column.is_empty() { "*all*".into() } else { cell(&exception.column) };
            let (key, value) = (cell(&exception.key), cell(&exception.value));
            line!(
                out,
                "| {name} | {key} | {column} | {value} | {} | {} |",
                cell(&exception.done),
                cell(&exception.why)
            );
        }
        let rest = table.quarantined.saturating_sub(table.exceptions.len() as u64);
        if rest > 0 {
            line!(out, "| {name} | *{} more in quarantine* | | | | |", count(rest));
        }
    }
}

fn refusals(report: &Report, out: &mut String) {
    if report.refusals.is_empty() {
        return;
    }
    line!(out, "\n## Refused\n");
    line!(out, "| table | row | column | value | why | what to do |\n|---|---|---|---|---|---|");
    for refusal in &report.refusals {
        let parts =
            [&refusal.table, &refusal.key, &refusal.column, &refusal.value, &refusal.why, &refusal.hint];
        line!(out, "| {} |", parts.map(|part| cell(part)).join(" | "));
    }
}

fn outcomes(report: &Report, fate: Fate, title: &str, out: &mut String) {
    if report.outcomes.iter().all(|outcome| outcome.fate != fate) {
        return;
    }
    line!(out, "\n## {title}\n\n| what | name | why |\n|---|---|---|");
    for outcome in report.outcomes.iter().filter(|outcome| outcome.fate == fate) {
        line!(out, "| {} | {} | {} |", cell(&outcome.kind), cell(&outcome.name), cell(&outcome.why));
    }
}

fn audit(report: &Report, out: &mut String) {
    let Some(audit) = &report.audit else { return };
    line!(out, "\n## What the target itself says\n");
    let rows: u64 = audit.rows.iter().sum();
    line!(
        out,
        "It counts {} rows, and holds {} constraints as valid.",
        count(rows),
        count(audit.constraints_valid)
    );
    for fault in &audit.faults {
        line!(out, "- {}", cell(fault));
    }
}

fn phases(report: &Report, out: &mut String) {
    if report.phases.is_empty() {
        return;
    }
    line!(
        out,
        "\n## Phases\n\nPhases overlap: their sum may exceed the whole.\n\n| phase | time |\n|---|--:|"
    );
    for phase in &report.phases {
        line!(out, "| {} | {:.2} s |", phase.phase.name(), phase.seconds);
    }
}

#[cfg(test)]
mod tests;
