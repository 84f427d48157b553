//! Progress as bars on a terminal: one a phase under way, and below it one a table in hand.
//!
//! Invariants: no colours, so that `NO_COLOR` has nothing to forbid; every line fits 80 columns; at
//! most [`TABLES_SHOWN`] tables are drawn at once, however many are in hand.

use super::lines::unit;
use super::meter::Meter;
use crate::config::scrub;
use crate::render::layout::{fit, pad, seconds, shown};
use crate::render::output;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;
use switchover::progress::{Event, Phase};

/// Bars of tables drawn at once: with the phases' own, they fit a small terminal.
const TABLES_SHOWN: usize = 6;

/// Steps of a bar's position: shares are drawn in thousandths.
const STEPS: u64 = 1000;

/// Columns of a bar's name, so that name, bar and numbers are 78 columns together.
const NAME: usize = 16;

/// The bars.
pub(super) struct Bars {
    multi: MultiProgress,
    /// Writes a line where no bar is drawn.
    write: Box<dyn Fn(&str) + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phases: BTreeMap<Phase, (Meter, ProgressBar)>,
    tables: BTreeMap<(Phase, String), (Meter, ProgressBar)>,
}

impl Bars {
    /// Bars on standard error.
    pub(super) fn on_terminal() -> Bars {
        Bars::on(ProgressDrawTarget::stderr(), Box::new(output::note))
    }

    fn on(target: ProgressDrawTarget, write: Box<dyn Fn(&str) + Send + Sync>) -> Bars {
        Bars { multi: MultiProgress::with_draw_target(target), write, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A line above the bars.
    pub(super) fn print(&self, text: &str) {
        // `MultiProgress::println` leaves the cursor on its line when no bar is drawn.
        self.multi.suspend(|| (self.write)(text));
    }

    /// Takes all bars away.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.tables.clear();
        state.phases.clear();
        let _ = self.multi.clear();
    }

    fn bar(&self, name: &str, after: Option<&ProgressBar>) -> ProgressBar {
        // Hidden until it stands among the others: on its own it would leave a line behind.
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::hidden());
        // The template is a constant, and the tests draw it.
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:14}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(pad(&fit(name, NAME), NAME));
        match after {
            Some(after) => self.multi.insert_after(after, bar),
            None => self.multi.add(bar),
        }
    }

    fn take_away(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.multi.remove(bar);
    }

    /// Takes the bars of a phase away that is over or begins anew, and those of its tables: not each of them is told to have ended. Gives
    /// what it had come to.
    fn over(&self, state: &mut State, phase: Phase) -> Option<Meter> {
        let tables = std::mem::take(&mut state.tables).into_iter();
        let (gone, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = tables.partition(|((of, _), _)| *of == phase);
        state.tables = rest;
        gone.values().for_each(|(_, bar)| self.take_away(bar));
        let (meter, bar) = state.phases.remove(&phase)?;
        self.take_away(&bar);
        Some(meter)
    }

    /// One event.
    pub(super) fn event(&self, event: &Event) {
        let now = Instant::now();
        let mut state = self.state();
        match event {
            Event::PhaseStarted { phase, rows, bytes } => {
                self.over(&mut state, *phase);
                let bar = self.bar(phase.name(), None);
                bar.set_message(String::new());
                state.phases.insert(*phase, (Meter::new(now, *rows, *bytes), bar));
            }
            Event::TableStarted { phase, table, rows, bytes } => {
                // The copy does not tell that a table has ended.
                state.tables.retain(|(of, _), (meter, bar)| {
                    let ended = of == phase && meter.share().is_some_and(|share| share >= 1.0);
                    if ended {
                        self.take_away(bar);
                    }
                    !ended
                });
                if state.tables.len() < TABLES_SHOWN {
                    let after = state.phases.get(phase).map(|(_, bar)| bar);
                    let bar = self.bar(&format!("  {}", shown(table)), after);
                    state.tables.insert((*phase, table.clone()), (Meter::new(now, *rows, *bytes), bar));
                }
            }
            Event::Advanced { phase, table, rows, bytes } => {
                let table = state.tables.get_mut(&(*phase, table.clone()));
                for (meter, bar) in table.into_iter() {
                    meter.add(*rows, *bytes);
                    draw(meter, bar, *phase, now);
                }
                if let Some((meter, bar)) = state.phases.get_mut(phase) {
                    meter.add(*rows, *bytes);
                    draw(meter, bar, *phase, now);
                }
            }
            Event::TableFinished { phase, table } => {
                if let Some((_, bar)) = state.tables.remove(&(*phase, table.clone())) {
                    self.take_away(&bar);
                }
            }
            Event::PhaseFinished { phase, seconds: took } => {
                let meter = self.over(&mut state, *phase).filter(|meter| !meter.is_idle());
                let amount = meter.map(|meter| format!("  {}", meter.amount(unit(*phase))));
                let amount = amount.unwrap_or_default();
                self.print(&format!("{} {}{amount}", pad(phase.name(), NAME), seconds(*took)));
            }
            Event::Note { text } | Event::TryingAgain { text } => self.print(&shown(&scrub(text))),
            Event::WentOn => {}
        }
    }
}

fn draw(meter: &Meter, bar: &ProgressBar, phase: Phase, now: Instant) {
    let share = meter.share().unwrap_or(0.0);
    bar.set_position((share * STEPS as f64) as u64);
    bar.set_message(message(meter, phase, now));
}

/// `100 %  1,234,567 rows/s  123.4 MB/s`, with the time left where it fits 80 columns.
fn message(meter: &Meter, phase: Phase, now: Instant) -> String {
    let share = meter.share().map(|share| format!("{:3.0} %", share * 100.0)).unwrap_or_default();
    let work = if unit(phase) == "rows" { meter.speed(now) } else { meter.amount("steps") };
    let whole =
        format!("{share} {}  {}", work.replace(" rows/s", " r/s"), meter.left(now).replace(" left", ""));
    // 80 less the name, the bar with its brackets and blanks, and the last column, which wraps.
    fit(whole.trim_end(), 80 - NAME - 14 - 4 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::layout::width;
    use indicatif::{InMemoryTerm, TermLike};

    #[test]
    fn bars_fit_eighty_columns_and_go_away() {
        let term = InMemoryTerm::new(24, 80);
        let lines = term.clone();
        let write = Box::new(move |text: &str| drop(lines.write_line(text)));
        let bars = Bars::on(ProgressDrawTarget::term_like(Box::new(term.clone())), write);
        let (phase, table) = (Phase::Copy, "a_table_with_a_very_long_name");
        bars.event(&Event::PhaseStarted { phase, rows: 4_000_000, bytes: 4_000_000_000 });
        bars.event(&Event::TableStarted {
            phase,
            table: table.into(),
            rows: 2_000_000,
            bytes: 2_000_000_000,
        });
        std::thread::sleep(std::time::Duration::from_millis(60));
        bars.event(&Event::Advanced { phase, table: table.into(), rows: 1_000_000, bytes: 1_000_000_000 });
        bars.event(&Event::Note { text: "a note".into() });
        let shown = term.contents();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 3, "{shown}");
        assert!(lines[0] == "a note" && lines[1].starts_with("copy             [===>"), "{shown}");
        assert!(lines[2].starts_with("  a_table_with_~ [=======>") && lines[2].contains(" 50 %"), "{shown}");
        assert!(lines.iter().all(|line| width(line) < usize::from(term.width())), "{shown}");
        bars.event(&Event::TableFinished { phase, table: table.into() });
        bars.event(&Event::PhaseFinished { phase, seconds: 2.0 });
        bars.clear();
        assert_eq!(term.contents(), "a note\ncopy             2.0 s  1,000,000 of 4,000,000 rows");
    }

    #[test]
    fn a_phase_that_is_over_leaves_one_line_and_no_bar() {
        let term = InMemoryTerm::new(24, 80);
        let lines = term.clone();
        let write = Box::new(move |text: &str| drop(lines.write_line(text)));
        let bars = Bars::on(ProgressDrawTarget::term_like(Box::new(term.clone())), write);
        let phase = Phase::Copy;
        // It began once before, and the copy does not tell that a table has ended.
        for _ in 0..2 {
            bars.event(&Event::PhaseStarted { phase, rows: 2, bytes: 0 });
            for table in ["t", "u"] {
                bars.event(&Event::TableStarted { phase, table: table.into(), rows: 1, bytes: 0 });
                std::thread::sleep(std::time::Duration::from_millis(60));
                bars.event(&Event::Advanced { phase, table: table.into(), rows: 1, bytes: 0 });
            }
        }
        let shown = term.contents();
        assert!(shown.matches('[').count() == 2 && !shown.contains("  t "), "{shown}");
        bars.event(&Event::PhaseFinished { phase, seconds: 2.0 });
        bars.event(&Event::Note { text: "the target owns the data now".into() });
        assert_eq!(
            term.contents().trim_end(),
            "copy             2.0 s  2 of 2 rows\nthe target owns the data now"
        );
    }
}
