//! The copy of a live run: what no checkpoint covers, no faster than the source bears, and how far it is.
//!
//! Invariants: rows and bytes count as done when their chunk is durable; the time that is left is an estimate, and nothing
//! is said of it before there is something to go by. Absent: chunks and streams, which are `copy`; when to hold back, which
//! is `pace`.

use super::engine::{Engine, Turn};
use super::pace::{self, Pace, Paced, Work};
use super::status::{LivePhase, LiveStatus};
use crate::clock;
use crate::copy::{self, Copy};
use crate::progress::{Event, Phase};
use crate::sight::Sight;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use switchover_core::chunk::Checkpoint;
use switchover_core::judge::Judge;
use switchover_core::live::LiveStore;
use switchover_core::{Kind, Result, failpoint};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often it is looked what the source bears: a busy application fills some ten megabytes of log meanwhile, and the bound
/// is far enough below what must not be reached.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks from one probe to the next: a write a second is nothing to an application, and shows a lock that is held.
const LOOKS_A_PROBE: u32 = 4;

/// Chunks that the rate is taken from: enough to even out one that took long, few enough that another limit shows soon.
const RATE_CHUNKS: usize = 32;

/// Chunks, and time, before a rate is believed: the first chunks carry what begins with them.
const EVIDENCE_CHUNKS: usize = 3;
const EVIDENCE_TIME: Duration = Duration::from_millis(500);

/// How much was done, or is to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    rows: u64,
    bytes: u64,
}

impl Amount {
    fn of(done: &[Checkpoint]) -> Amount {
        let none = Amount::default();
        done.iter().fold(none, |sum, c| Amount { rows: sum.rows + c.rows, bytes: sum.bytes + c.bytes })
    }

    /// By bytes, or by rows where there are no bytes.
    fn measure(self, by_bytes: bool) -> u64 {
        if by_bytes { self.bytes } else { self.rows }
    }
}

/// How far the copy is, and how fast its last chunks came.
#[derive(Debug)]
struct Meter {
    planned: Amount,
    done: Amount,
    /// When so much was done; the first entry is where the rate begins.
    seen: VecDeque<(Instant, Amount)>,
}

impl Meter {
    fn new(planned: Amount, done: Amount) -> Meter {
        let mut meter = Meter { planned, done, seen: VecDeque::new() };
        meter.begin();
        meter
    }

    /// The rate is taken anew from here on.
    fn begin(&mut self) {
        self.seen.clear();
        self.seen.push_back((Instant::now(), self.done));
    }

    fn took(&mut self, chunk: &Checkpoint) {
        self.done.rows += chunk.rows;
        self.done.bytes += chunk.bytes;
        self.seen.push_back((Instant::now(), self.done));
        if self.seen.len() > RATE_CHUNKS + 1 {
            self.seen.pop_front();
        }
    }

    /// Seconds until all is copied that was planned, at the rate of the last chunks; `None` without evidence of one.
    fn left_s(&self, now: Instant) -> Option<f64> {
        let (begun, first) = *self.seen.front()?;
        let took = now - begun;
        if self.seen.len() <= EVIDENCE_CHUNKS || took < EVIDENCE_TIME {
            return None;
        }
        let by_bytes = self.planned.bytes > 0;
        let came = self.done.measure(by_bytes) - first.measure(by_bytes);
        let left = self.planned.measure(by_bytes).saturating_sub(self.done.measure(by_bytes));
        (came > 0).then(|| left as f64 * took.as_secs_f64() / came as f64)
    }
}

/// Tells how far the copy is.
#[derive(Clone)]
struct Teller {
    meter: Arc<Mutex<Meter>>,
    pace: Pace,
    status: watch::Sender<LiveStatus>,
}

impl Teller {
    fn tell(&self, change: impl FnOnce(&mut Meter)) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut meter);
        if self.pace.limits().paused {
            // What comes behind a pause says nothing of what came before it.
            meter.begin();
        }
        let (done, left) = (meter.done, meter.left_s(Instant::now()));
        drop(meter);
        let slowed = self.pace.decision().slowed;
        self.status.send_modify(|status| {
            status.at = clock::now();
            (status.rows_copied, status.bytes_copied, status.copy_left_s) = (done.rows, done.bytes, left);
            status.slowed = slowed;
            status.read_ms_max = self.pace.read_ms_max();
        });
    }

    /// Looks at what the source bears, for as long as somebody waits for it.
    async fn look_on(self, source: Arc<dyn LiveStore>) {
        for look in 0_u32.. {
            tokio::time::sleep(LOOK_EVERY).await;
            // What cannot be asked now is met by whoever reads the rows.
            if let Ok(pressure) = source.pressure().await {
                self.pace.looked(pressure.wal_bytes);
                self.status.send_modify(|status| status.pressure = pressure);
            }
            if look % LOOKS_A_PROBE == 0 && !self.pace.limits().paused {
                let begun = Instant::now();
                match source.probe().await {
                    Ok(()) => self.pace.wrote(begun.elapsed()),
                    Err(error) if error.kind() == Kind::Busy => self.pace.met_busy(begun.elapsed()),
                    Err(_) => {}
                }
            }
            self.tell(|_| {});
        }
    }
}

impl Engine {
    /// Copies everything that no checkpoint covers.
    pub(super) async fn copy(&mut self) -> Result<Option<Turn>> {
        let plan = Arc::clone(&self.parts.plan);
        let planned = Amount { rows: plan.source.rows, bytes: plan.source.bytes };
        self.pace.at_work(Work::Copying);
        self.tell(|status| status.phase = LivePhase::Copying);
        let Amount { rows, bytes } = planned;
        self.parts.progress.event(Event::PhaseStarted { phase: Phase::Copy, rows, bytes });
        let begun = Instant::now();
        let stop = self.parts.shutdown.child();
        let plain = self.snapshot().await?;
        let snapshot = match plan.options.mapping.is_empty() {
            true => plain,
            false => self.again(async || Sight::of(Arc::clone(&plain), &plan.options).await).await?.snapshot,
        };
        loop {
            let done =
                self.again(async || self.parts.store.checkpoints(&plan, &self.parts.run).await).await?;
            let meter = Arc::new(Mutex::new(Meter::new(planned, Amount::of(&done))));
            let teller = Teller { meter, pace: self.pace.clone(), status: self.status.clone() };
            teller.tell(|_| {});
            if copy::is_whole(&plan, &done) {
                break;
            }
            let (written, source) = (teller.clone(), Arc::clone(&self.parts.source));
            let copy = Arc::new(Copy {
                plan: Arc::clone(&plan),
                run: self.parts.run.clone(),
                snapshot: Arc::new(Paced {
                    inner: Arc::clone(&snapshot),
                    pace: self.pace.clone(),
                    shutdown: stop.clone(),
                }),
                target: Arc::clone(&self.parts.store),
                progress: Arc::clone(&self.parts.progress),
                shutdown: stop.clone(),
                streams: self.parts.streams,
                judges: plan.tables.iter().map(Judge::new).collect(),
                chunk_bytes: self.parts.chunk_bytes,
                chunk_rows: self.parts.chunk_rows,
                chunk_time: pace::read_max(1),
                retries: self.parts.retries,
                written: Some(Box::new(move |chunk| written.tell(|meter| meter.took(chunk)))),
            });
            let working = async move {
                // Beside the copy, and no longer than it: what waits for a lock there keeps no rows waiting.
                let mut looking = JoinSet::new();
                looking.spawn(teller.look_on(source));
                copy.run(&done).await
            };
            if let Some(turn) = self.during(working, &stop).await? {
                return Ok(Some(turn));
            }
        }
        self.pace.at_work(Work::Following);
        let slowed = self.pace.decision().slowed;
        self.tell(|status| (status.copy_left_s, status.slowed) = (None, slowed));
        failpoint::hit("live-copied");
        self.parts
            .progress
            .event(Event::PhaseFinished { phase: Phase::Copy, seconds: begun.elapsed().as_secs_f64() });
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchover_core::chunk::KeyRange;
    use switchover_core::digest::Hex;

    fn chunk(rows: u64, bytes: u64) -> Checkpoint {
        Checkpoint { table: 0, range: KeyRange::default(), rows, bytes, digest: Hex(0) }
    }

    /// What is left after chunks that came one a second.
    fn left_after(planned: Amount, chunks: &[Checkpoint]) -> Option<f64> {
        let begun = Instant::now();
        let mut meter = Meter::new(planned, Amount::default());
        meter.seen[0].0 = begun;
        for (at, chunk) in (1..).zip(chunks) {
            meter.took(chunk);
            if let Some(last) = meter.seen.back_mut() {
                last.0 = begun + Duration::from_secs(at);
            }
        }
        meter.left_s(begun + Duration::from_secs(chunks.len() as u64))
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_left_is_what_the_last_chunks_took() {
        let planned = Amount { rows: 1_000, bytes: 10_000 };
        let left = |chunks: &[Checkpoint]| left_after(planned, chunks);
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[chunk(1, 1_000), chunk(1, 1_000)]), None, "two chunks are no evidence");
        assert_eq!(left(&vec![chunk(1, 1_000); 5]), Some(5.0), "by bytes, however few the rows are");
        assert_eq!(left(&vec![chunk(1, 1_000); 12]), Some(0.0), "more came than was planned");
        assert_eq!(left(&vec![chunk(1, 0); 5]), None, "nothing came");
        let slow: Vec<_> = (0..20).map(|_| chunk(1, 400)).chain((0..40).map(|_| chunk(1, 25))).collect();
        assert_eq!(left(&slow), Some(40.0), "only the last chunks count");
        let empty = Amount { rows: 100, bytes: 0 };
        assert_eq!(left_after(empty, &vec![chunk(10, 0); 5]), Some(5.0), "by rows, where there are no bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn chunks_in_no_time_are_no_evidence() {
        let mut meter = Meter::new(Amount { rows: 10, bytes: 10 }, Amount::default());
        (0..5).for_each(|_| meter.took(&chunk(1, 1)));
        assert_eq!(meter.left_s(Instant::now()), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(meter.left_s(Instant::now()), Some(1.0));
        meter.begin();
        assert_eq!(meter.left_s(Instant::now() + Duration::from_secs(9)), None, "a pause begins it anew");
    }
}
