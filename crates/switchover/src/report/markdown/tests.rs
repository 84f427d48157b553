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
