//! Progress as plain lines: each phase's begin and end, and in between at most one line a second.

use super::meter::Meter;
use crate::config::scrub;
use crate::render::layout::{seconds, shown};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use switchover::progress::{Event, Phase};

/// No two lines of running work come closer than this.
const BETWEEN: Duration = Duration::from_secs(1);

/// What lines have said so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    phases: BTreeMap<Phase, Meter>,
    last: Option<Instant>,
}

/// What a phase's amounts count.
pub(super) fn unit(phase: Phase) -> &'static str {
    match phase {
        Phase::Plan | Phase::Backup | Phase::Copy | Phase::Verify => "rows",
        Phase::Schema | Phase::Build | Phase::Rollback => "steps",
    }
}

impl Lines {
    /// The line that an event deserves now, if any.
    pub(super) fn event(&mut self, event: &Event, now: Instant) -> Option<String> {
        match event {
            Event::PhaseStarted { phase, rows, bytes } => {
                self.phases.insert(*phase, Meter::new(now, *rows, *bytes));
                self.last = Some(now);
                Some(format!("{}: begins", phase.name()))
            }
            Event::Advanced { phase, rows, bytes, .. } => {
                let meter = self.phases.entry(*phase).or_insert_with(|| Meter::new(now, 0, 0));
                meter.add(*rows, *bytes);
                if self.last.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN) {
                    return None;
                }
                self.last = Some(now);
                Some(format!("{}: {}", phase.name(), running(meter, unit(*phase), now)))
            }
            Event::PhaseFinished { phase, seconds: took } => {
                let amount = self.phases.remove(phase).filter(|meter| !meter.is_idle());
                let amount =
                    amount.map(|meter| format!(", {}", meter.amount(unit(*phase)))).unwrap_or_default();
                Some(format!("{}: done in {}{amount}", phase.name(), seconds(*took)))
            }
            Event::Note { text } | Event::TryingAgain { text } => Some(shown(&scrub(text))),
            Event::TableStarted { .. } | Event::TableFinished { .. } | Event::WentOn => None,
        }
    }
}

fn running(meter: &Meter, unit: &str, now: Instant) -> String {
    let share = meter.share().map(|share| format!("{:.0} %", share * 100.0)).unwrap_or_default();
    let speed = if unit == "rows" { meter.speed(now).replace("  ", ", ") } else { String::new() };
    let parts = [share, meter.amount(unit), speed, meter.left(now)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_one_line_a_second() {
        let (mut lines, began) = (Lines::default(), Instant::now());
        let mut at = |ms: u64, event: Event| {
            lines.event(&event, began + Duration::from_millis(ms)).unwrap_or_default()
        };
        let step = || Event::Advanced { phase: Phase::Copy, table: "t".into(), rows: 100, bytes: 0 };
        let said = [
            at(0, Event::PhaseStarted { phase: Phase::Copy, rows: 1000, bytes: 0 }),
            at(400, step()),
            at(900, step()),
            at(1000, step()),
            at(1999, step()),
            at(2000, step()),
            at(2100, Event::Note { text: "retry: postgres://u:s3cret@h\u{1b}[2J".into() }),
            at(2500, Event::PhaseFinished { phase: Phase::Copy, seconds: 2.5 }),
        ];
        assert_eq!(
            said,
            [
                "copy: begins",
                "",
                "",
                "copy: 30 %, 300 of 1,000 rows, 300 rows/s, 3.0 s left",
                "",
                "copy: 50 %, 500 of 1,000 rows, 250 rows/s, 2.0 s left",
                "retry: postgres://u:***@h\\u{1b}[2J",
                "copy: done in 2.5 s, 500 of 1,000 rows",
            ]
        );
    }
}
