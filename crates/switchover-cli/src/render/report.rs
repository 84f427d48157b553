//! A report's way to the user: a few lines on standard output, and the file of `--report`.

use super::layout::{WIDTH, bytes, count, plural, seconds, shown, wrap};
use std::path::Path;
use switchover::Foreseen;
use switchover::report::{DifferenceKind, FieldDifference, Report, TableReport, Verdict};
use switchover_core::{Error, Kind, Result};

/// The few lines that end a run.
pub(crate) fn summary(report: &Report) -> String {
    let rows: u64 = report.tables.iter().map(|table| table.source_rows).sum();
    let size: u64 = report.tables.iter().map(|table| table.bytes).sum();
    let quarantine = report.in_quarantine();
    let verdict = match (report.verdict, &report.sample) {
        (Verdict::Same, None) => match &quarantine {
            // Kept exactly, and proven so; but not where the application looks.
            Some(what) => format!("same: every field of every row is equal, except {what}"),
            None => "same: every field of every row is equal".to_owned(),
        },
        (Verdict::Same, Some(_)) => "same, as far as the sample reaches".to_owned(),
        (Verdict::Different, _) => "DIFFERENT".to_owned(),
        (Verdict::Unproven, _) => "UNPROVEN".to_owned(),
    };
    let mut out = format!("{verdict}\n");
    for reason in &report.reasons {
        out.push_str(&format!("  {}\n", wrap(&shown(reason), WIDTH - 2).join("\n  ")));
    }
    if let Some(sample) = &report.sample {
        out.push_str(&format!(
            "  {} of {} rows were compared (up to {} a table, seed {})\n",
            count(sample.rows),
            count(sample.of),
            count(sample.rows_per_table),
            sample.seed
        ));
        // The bound is that of a clean sample; one with differences proves only that there are some.
        if report.verdict == Verdict::Same {
            let rate = sample.bad_rate_max * 100.0;
            out.push_str(&format!("  with 95 % confidence at most {rate:.4} % of all rows differ\n"));
        }
    }
    if let Some(validation) = &report.validation {
        out.push_str(&format!("  {}\n", wrap(&shown(&validation.in_words()), WIDTH - 2).join("\n  ")));
    }
    out.push_str(&format!(
        "  {}, {}, {}, {}\n",
        plural(report.tables.len() as u64, "table"),
        plural(rows, "row"),
        bytes(size),
        seconds(report.seconds)
    ));
    for table in &report.tables {
        match table.verdict {
            Verdict::Same => {}
            Verdict::Different => differences(table, &mut out),
            // Its reason stands among the report's.
            Verdict::Unproven if table.reason.is_empty() => {
                out.push_str(&format!("  - {}: unproven\n", shown(&table.source)));
            }
            Verdict::Unproven => {}
        }
    }
    if let Some(what) = quarantine {
        out.push_str(&format!("  {what}; --report FILE names them\n"));
    }
    out
}

/// What a rollback would do.
pub(crate) fn foreseen(found: &Foreseen) -> String {
    let Foreseen { run, target, there, tables, filled } = found;
    let what = match (there, filled) {
        (false, _) => format!("nothing of the run {run} is on {target}: a rollback would only record that"),
        (true, false) => format!("a rollback would remove what the run {run} made on {target}"),
        (true, true) => format!("a rollback would bring back what {target} held before the run {run}"),
    };
    let names: Vec<String> = tables.iter().map(|table| shown(table)).collect();
    let tables = match there {
        true => format!(": {} ({})", plural(names.len() as u64, "table"), names.join(", ")),
        false => String::new(),
    };
    format!("{}\nnothing was changed\n", wrap(&format!("{what}{tables}"), WIDTH).join("\n"))
}

/// Differences of a table that the summary shows; the report lists more.
const SHOWN_MAX: usize = 3;

/// The first differences of a table, with both values.
fn differences(table: &TableReport, out: &mut String) {
    for difference in table.differences.iter().take(SHOWN_MAX) {
        let row = format!("{} {}", shown(&table.source), shown(&difference.key));
        let text = match difference.kind {
            DifferenceKind::Missing => format!("{row}: missing on the target"),
            DifferenceKind::Extra if difference.fields.is_empty() => format!("{row}: only on the target"),
            // A row without a key is known by its values alone.
            DifferenceKind::Extra => {
                let value =
                    |field: &FieldDifference| format!("{}={}", shown(&field.column), shown(&field.target));
                let values: Vec<String> = difference.fields.iter().map(value).collect();
                format!("{row}, {}: only on the target", values.join(", "))
            }
            DifferenceKind::Changed => {
                let field = |field: &FieldDifference| {
                    let (column, source, target) =
                        (shown(&field.column), shown(&field.source), shown(&field.target));
                    format!("{column} is {source} on the source, {target} on the target")
                };
                format!("{row}: {}", difference.fields.iter().map(field).collect::<Vec<_>>().join("; "))
            }
        };
        out.push_str(&format!("  - {}\n", wrap(&text, WIDTH - 4).join("\n    ")));
    }
    let rest = table.differences_total.saturating_sub(SHOWN_MAX as u64);
    if rest > 0 && !table.differences.is_empty() {
        out.push_str(&format!(
            "  - {} more in {}; --report FILE lists them\n",
            count(rest),
            shown(&table.source)
        ));
    }
}

/// Writes a report: Markdown for `*.md` and `*.markdown`, JSON otherwise. Whole or not at all.
pub(crate) fn write(report: &Report, path: &Path) -> Result<()> {
    let json = || {
        let json = serde_json::to_string_pretty(report);
        Ok(json.map_err(|error| Error::new(Kind::Internal, "write the report").because(error))? + "\n")
    };
    write_as(path, || switchover::report::markdown(report), json)
}

/// That a report can be written there, as far as that shows before there is one: an hour's run should not end in a
/// mistyped folder.
pub(crate) fn check_place(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let why = match () {
        () if path.is_dir() => "it is a folder".to_owned(),
        () if !folder.is_dir() => format!("there is no folder {}", folder.display()),
        () => return Ok(()),
    };
    Err(Error::new(Kind::Config, "write the report").store(path.display().to_string()).detail(why).hint(
        "name a file in a folder that is there: .json is for programs, .md for people; nothing was done yet",
    ))
}

/// The same for any report: the file's name says which form.
pub(crate) fn write_as(
    path: &Path,
    markdown: impl FnOnce() -> String,
    json: impl FnOnce() -> Result<String>,
) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(Kind::Io, "write the report")
            .store(path.display().to_string())
            .hint("what it is about is done all the same; name another place with --report")
            .because(error)
    };
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase()).unwrap_or_default();
    let text = if extension == "md" || extension == "markdown" { markdown() } else { json()? };
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SAMPLE: &str = include_str!("../../../switchover/src/report/markdown/sample.json");

    #[test]
    fn the_summary_says_the_answer_first() {
        insta::assert_snapshot!(summary(&serde_json::from_str(SAMPLE).unwrap()));
    }

    #[test]
    fn the_file_is_of_the_form_that_its_name_says() {
        let (folder, report) = (tempfile::tempdir().unwrap(), serde_json::from_str(SAMPLE).unwrap());
        for (name, begins) in
            [("r.md", "# migrate: different"), ("r.MD", "# "), ("r.json", "{"), ("report", "{")]
        {
            let path = folder.path().join(name);
            write(&report, &path).unwrap();
            assert!(std::fs::read_to_string(&path).unwrap().starts_with(begins), "{name}");
        }
        let error = write(&report, &folder.path().join("absent/r.md")).unwrap_err();
        assert_eq!(error.kind(), Kind::Io);
    }
}
