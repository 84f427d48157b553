//! One JSON object a line, as docs/reference/progress.md describes.

use jiff::{Timestamp, Unit};
use serde::Serialize;
use switchover::progress::Event;

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// The line of an event, without its end.
pub(super) fn line(event: &Event) -> String {
    let now = Timestamp::now();
    let at = now.round(Unit::Millisecond).unwrap_or(now).to_string();
    // An event holds only texts and numbers, and those always serialise.
    serde_json::to_string(&Line { at, event }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchover::progress::Phase;

    #[test]
    fn a_line_is_one_flat_object() {
        let text = line(&Event::Advanced { phase: Phase::Copy, table: "a\nb".into(), rows: 7, bytes: 9 });
        assert!(text.starts_with("{\"at\":\"20") && !text.contains('\n'), "{text}");
        let rest = &text[text.find(",\"event\"").unwrap_or(0)..];
        assert_eq!(rest, r#","event":"advanced","phase":"copy","table":"a\nb","rows":7,"bytes":9}"#);
    }
}
