//! How far something is, how fast, and how long it will take. Time is given, never asked for.

use crate::render::layout::{bytes, count, seconds};
use std::time::Instant;

/// The progress of a table or a phase.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    began: Instant,
    rows: u64,
    bytes: u64,
    rows_total: u64,
    bytes_total: u64,
}

impl Meter {
    pub(super) fn new(began: Instant, rows_total: u64, bytes_total: u64) -> Meter {
        Meter { began, rows: 0, bytes: 0, rows_total, bytes_total }
    }

    pub(super) fn add(&mut self, rows: u64, bytes: u64) {
        self.rows = self.rows.saturating_add(rows);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The share that is done, by bytes where they are known: rows differ in size. More than was
    /// expected counts as all of it, and nothing expected as nothing known.
    pub(super) fn share(&self) -> Option<f64> {
        let share = |done: u64, total: u64| (total > 0).then(|| (done as f64 / total as f64).min(1.0));
        share(self.bytes, self.bytes_total).or_else(|| share(self.rows, self.rows_total))
    }

    /// `512,000 rows/s  98.1 MB/s`, with what is known.
    pub(super) fn speed(&self, now: Instant) -> String {
        let elapsed = now.saturating_duration_since(self.began).as_secs_f64();
        if elapsed <= 0.0 {
            return String::new();
        }
        let rate = |done: u64| (done as f64 / elapsed) as u64;
        match (self.rows, self.bytes) {
            (0, 0) => String::new(),
            (rows, 0) => format!("{} rows/s", count(rate(rows))),
            (0, size) => format!("{}/s", bytes(rate(size))),
            (rows, size) => format!("{} rows/s  {}/s", count(rate(rows)), bytes(rate(size))),
        }
    }

    /// `12 s left`, at the pace so far; empty where that cannot be told yet.
    pub(super) fn left(&self, now: Instant) -> String {
        let elapsed = now.saturating_duration_since(self.began).as_secs_f64();
        match self.share() {
            Some(share) if share > 0.0 && elapsed > 0.5 => {
                format!("{} left", seconds((elapsed * (1.0 - share) / share).ceil()))
            }
            _ => String::new(),
        }
    }

    /// `512,000 of 1,022,500 rows`; bytes where nothing is counted but them.
    pub(super) fn amount(&self, unit: &str) -> String {
        match self.rows_total {
            0 if self.rows == 0 && self.bytes > 0 => bytes(self.bytes),
            0 => format!("{} {unit}", count(self.rows)),
            total => format!("{} of {} {unit}", count(self.rows), count(total)),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.rows == 0 && self.bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn pace_and_time_left() {
        let began = Instant::now();
        let mut meter = Meter::new(began, 1_022_500, 600_000_000);
        assert_eq!((meter.speed(began), meter.left(began)), (String::new(), String::new()));
        meter.add(255_625, 150_000_000);
        let now = began + Duration::from_secs(2);
        assert_eq!(meter.share(), Some(0.25));
        assert_eq!(meter.speed(now), "127,812 rows/s  75.0 MB/s");
        assert_eq!(meter.left(now), "6.0 s left");
        assert_eq!(meter.amount("rows"), "255,625 of 1,022,500 rows");
        meter.add(u64::MAX, u64::MAX);
        assert_eq!(meter.share(), Some(1.0));
        assert_eq!(Meter::new(began, 0, 0).share(), None);
    }
}
