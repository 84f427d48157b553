//! A report's way to the user: a few lines on standard output, and the file of `--report`.

use super::layout::{bytes, count, plural, seconds, shown};
use std::path::Path;
use switchover::report::{Report, Verdict};
use switchover_core::{Error, Kind, Result};

/// The few lines that end a run.
pub(crate) fn summary(report: &Report) -> String {
    let rows: u64 = report.tables.iter().map(|table| table.source_rows).sum();
    let size: u64 = report.tables.iter().map(|table| table.bytes).sum();
    let verdict = match (report.verdict, &report.sample) {
        (Verdict::Same, None) => "same: every field of every row is equal",
        (Verdict::Same, Some(_)) => "same, as far as the sample reaches",
        (Verdict::Different, _) => "DIFFERENT",
        (Verdict::Unproven, _) => "UNPROVEN",
    };
    let mut out = format!("{verdict}\n");
    for reason in &report.reasons {
        out.push_str(&format!("  {}\n", shown(reason)));
    }
    if let Some(sample) = &report.sample {
        out.push_str(&format!(
            "  {} of {} rows were compared: with 95 % confidence at most {:.4} %\n  of all rows differ\n",
            count(sample.rows),
            count(sample.of),
            sample.bad_rate_max * 100.0
        ));
    }
    out.push_str(&format!(
        "  {}, {}, {}, {}\n",
        plural(report.tables.len() as u64, "table"),
        plural(rows, "row"),
        bytes(size),
        seconds(report.seconds)
    ));
    for table in report.tables.iter().filter(|table| table.verdict != Verdict::Same) {
        let differ = plural(table.differences_total, "difference");
        out.push_str(&format!("  table {}: {differ}\n", shown(&table.source)));
    }
    let quarantined: u64 = report.tables.iter().map(|table| table.quarantined).sum();
    if quarantined > 0 {
        out.push_str(&format!("  {} in quarantine\n", plural(quarantined, "value")));
    }
    out
}

/// Writes a report: Markdown for `*.md` and `*.markdown`, JSON otherwise. Whole or not at all.
pub(crate) fn write(report: &Report, path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(Kind::Io, "write the report").store(path.display().to_string()).because(error)
    };
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase()).unwrap_or_default();
    let text = if extension == "md" || extension == "markdown" {
        switchover::report::markdown(report)
    } else {
        let json = serde_json::to_string_pretty(report);
        json.map_err(|error| Error::new(Kind::Internal, "write the report").because(error))? + "\n"
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    std::fs::write(&part, text).map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)
}

/// The exit code that a verdict means.
pub(crate) fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Same => 0,
        Verdict::Different => 1,
        Verdict::Unproven => 2,
    }
}
