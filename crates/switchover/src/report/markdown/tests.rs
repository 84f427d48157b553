//! One report with something of everything, against its golden Markdown.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

/// As the file holds it: so this also fails when the format changes without its documentation.
const SAMPLE: &str = include_str!("sample.json");

#[test]
fn the_whole_report() {
    let report: Report = serde_json::from_str(SAMPLE).unwrap();
    insta::assert_snapshot!(markdown(&report));
    let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}

#[test]
fn a_cell_cannot_be_left() {
    assert_eq!(cell("a|b\n`c`<d>"), "a\\|b\\\\n\\`c\\`\\<d\\>");
}

#[test]
fn a_live_run_that_was_finished_says_who_owned_the_data_when() {
    let mut report: Report = serde_json::from_str(SAMPLE).unwrap();
    report.operation = "finish".into();
    report.verdict = Verdict::Same;
    report.reasons.clear();
    report.tables.truncate(1);
    report.tables[0].verdict = Verdict::Same;
    report.tables[0].differences_total = 0;
    (report.refusals, report.outcomes, report.audit) = (Vec::new(), Vec::new(), None);
    report.tables[0].exceptions.clear();
    (report.tables[0].quarantined, report.sample) = (0, None);
    report.phases.clear();
    report.live = Some(
        serde_json::from_value(serde_json::json!({
            "compared_at": "2026-01-31T12:00:00Z", "compared_rows": 15_607, "finish_seconds": 1.26,
            "owners": [
                {"to": "target", "epoch": 3, "at": "2026-01-31T12:01:00Z", "unavailable_ms": 8.94, "total_ms": 31.0,
                 "drained": 1_204},
                {"to": "source", "epoch": 5, "at": "2026-01-31T13:01:00Z", "unavailable_ms": 14.0, "total_ms": 40.5,
                 "drained": 2, "because": "error rate | above 2 %"}
            ],
            "removed": ["app.db: triggers"], "stays": ["app.db: all tables"]
        }))
        .unwrap(),
    );
    insta::assert_snapshot!(markdown(&report));
    let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}
