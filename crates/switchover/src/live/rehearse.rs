//! A rehearsal: the whole of a live run on stores that were made for it, with times.
//!
//! The engine is the one of every live run, and it is asked over the same socket as a user's; beside it a writer plays the
//! application: it writes to whichever store takes it, and so measures for how long none did.
//!
//! Absent: making and removing the stores, which is the caller's, whatever comes of the rehearsal.

use super::announce::{Announce, Nobody, Watch};
use super::control;
use super::engine::End;
use super::run::{Surroundings, status};
use super::status::{Answer, LivePhase, LiveStatus, Request, SwitchOptions, Verification};
use crate::journal::Header;
use crate::migration::Migration;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use switchover_core::live::{Scratch, Side};
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::{Error, Kind, Remedy, Result};

/// How often the run is looked at: times are shown in tenths of a second.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the writer rests between two writes.
const REST: Duration = Duration::from_millis(5);

/// What it waits where a store takes no writes.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// Rows that it writes at once: a small transaction of an application.
const ROWS: u64 = 5;

/// Writes to each owner before the next step.
const WRITES: usize = 100;

/// A stage, and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name, for people.
    pub name: &'static str,
    /// Seconds.
    pub seconds: f64,
}

/// A change of the owner, and for how long no store took writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The new owner.
    pub to: Side,
    /// Between the fence and the decision, as the engine measured it.
    pub engine_ms: f64,
    /// Between two writes that were taken, as the writer saw it.
    pub writer_ms: f64,
    /// From the request to the decision.
    pub total_ms: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// Rows that were compared in the end.
    pub rows: u64,
    /// Transactions that the writer's stores took.
    pub writes: u64,
    /// The stages, in their order.
    pub stages: Vec<Stage>,
    /// The changes of the owner, in their order.
    pub changes: Vec<Change>,
}

/// The stores of a rehearsal.
#[derive(Clone)]
pub struct Stores {
    /// The copy of the source.
    pub source: Arc<dyn Scratch>,
    /// The target.
    pub target: Arc<dyn Scratch>,
}

/// Nobody is told of a rehearsal, and nothing of it stays.
struct Scratched;

impl Surroundings for Scratched {
    fn announce(&self, _: &Header, _: &Path) -> Result<Arc<dyn Announce>> {
        Ok(Arc::new(Nobody))
    }

    fn watch(&self, _: &Header) -> Result<Arc<dyn Watch>> {
        Ok(Arc::new(Nobody))
    }

    fn is_kept(&self) -> bool {
        false
    }
}

/// What the writer did.
#[derive(Debug, Default)]
struct Taken {
    /// Transactions, by side.
    writes: [usize; 2],
    last: Option<(Instant, Side)>,
    /// Where the store that took writes changed: the time for which none was taken.
    gaps: Vec<Duration>,
    /// Whether nothing is written any more.
    ended: bool,
}

/// Goes through a live run between stores made for it, of which `migration` is.
///
/// # Errors
/// Whatever stops a live run; `Interrupted` when it is asked to stop.
pub async fn rehearse(migration: &Migration, plan: &Plan, stores: &Stores) -> Result<Rehearsal> {
    let tables: Vec<TablePlan> = plan
        .tables
        .iter()
        .filter(|table| table.rows > 0 && !table.key_fields().is_empty())
        .cloned()
        .collect();
    let taken = Arc::new(Mutex::new(Taken::default()));
    let writing = write(stores.clone(), tables.clone(), Arc::clone(&taken));
    let seen = Arc::clone(&taken);
    let writer = tokio::spawn(async move {
        let ended = writing.await;
        look(&seen).ended = true;
        ended
    });
    let told = drive(migration, &taken, !tables.is_empty()).await;
    // It is at no store any more when these are removed.
    writer.abort();
    match writer.await {
        Ok(Err(error)) => Err(error),
        _ => told,
    }
}

async fn drive(migration: &Migration, taken: &Arc<Mutex<Taken>>, writes: bool) -> Result<Rehearsal> {
    let folder = migration.settings.state_dir.clone();
    let mut engine = std::pin::pin!(migration.start(&Scratched));
    let mut story = std::pin::pin!(story(&folder, taken, writes));
    let told = tokio::select! {
        told = &mut story => told,
        ended = &mut engine => return match ended? {
            // The answer to the last request is on its way.
            End::Finished => story.await,
            End::Stopped | End::TakenBack => Err(Error::new(Kind::Interrupted, "rehearse")
                .detail("it was asked to stop")
                .hint("nothing is left of it; begin again at any time")),
        },
    };
    if told.is_err() {
        migration.shutdown.request();
    }
    match (told, engine.await) {
        (Ok(told), Ok(_)) => Ok(told),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

async fn story(folder: &Path, taken: &Mutex<Taken>, writes: bool) -> Result<Rehearsal> {
    let mut clock = Instant::now();
    let mut stages = Vec::new();
    let mut lap = |name| {
        stages.push(Stage { name, seconds: clock.elapsed().as_secs_f64() });
        clock = Instant::now();
    };
    until(folder, |status| status.phase != LivePhase::Entering).await?;
    lap("plan, schema, capture");
    until(folder, |status| !matches!(status.phase, LivePhase::Entering | LivePhase::Copying)).await?;
    lap("copy");
    until(folder, |status| status.phase == LivePhase::Following).await?;
    lap("indexes, keys, changes since");
    until(folder, same).await?;
    lap("comparison of all rows");
    let mut changes = Vec::new();
    let cutover = Request::Cutover(SwitchOptions { when_ready: true, ..SwitchOptions::default() });
    let rollback = Request::Rollback(SwitchOptions { when_ready: true, ..SwitchOptions::default() });
    changes.push(change(folder, &cutover, taken, writes).await?);
    lap("cutover, and writes to the target");
    changes.push(change(folder, &rollback, taken, writes).await?);
    lap("rollback, and writes to the source");
    until(folder, |status| status.phase == LivePhase::Following && same(status)).await?;
    lap("what was left of comparing again");
    changes.push(change(folder, &cutover, taken, writes).await?);
    lap("cutover again, and writes to the target");
    let last = status(folder, None)?;
    ask(folder, &Request::Finish { when_ready: false, seen: None }).await?;
    lap("finish");
    let rows = match last.map(|status| status.verification) {
        Some(Verification::Same { rows, .. }) => rows,
        _ => 0,
    };
    let writes = look(taken).writes.iter().sum::<usize>() as u64;
    Ok(Rehearsal { rows, writes, stages, changes })
}

fn same(status: &LiveStatus) -> bool {
    matches!(status.verification, Verification::Same { .. })
}

fn look(taken: &Mutex<Taken>) -> std::sync::MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the owner changed, and waits until the new one took writes.
async fn change(folder: &Path, request: &Request, taken: &Mutex<Taken>, writes: bool) -> Result<Change> {
    let report = match ask(folder, request).await? {
        Answer::Switched(report) => report,
        other => {
            return Err(
                Error::new(Kind::Internal, "rehearse").detail(format!("the engine answered {other:?}"))
            );
        }
    };
    let begun = look(taken).writes[report.to as usize];
    while writes && look(taken).writes[report.to as usize] < begun + WRITES {
        if look(taken).ended {
            // Why, it says itself.
            return Err(Error::new(Kind::Internal, "rehearse").detail("nobody writes any more"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let writer_ms = look(taken).gaps.last().map_or(0.0, |gap| gap.as_secs_f64() * 1e3);
    Ok(Change { to: report.to, engine_ms: report.unavailable_ms, writer_ms, total_ms: report.total_ms })
}

async fn ask(folder: &Path, request: &Request) -> Result<Answer> {
    let answer = control::ask(folder, None, request).await?;
    answer.ok_or_else(|| Error::new(Kind::Unavailable, "rehearse").detail("the engine is gone"))
}

/// Waits for what the run tells. The engine's end ends the wait too, for who drives both.
async fn until(folder: &Path, reached: impl Fn(&LiveStatus) -> bool) -> Result<()> {
    loop {
        // There is no run before there is a plan.
        match status(folder, None) {
            Ok(Some(status)) => match status.verification {
                Verification::Different { why } => {
                    return Err(Error::new(Kind::Different, "rehearse").detail(why));
                }
                _ if reached(&status) => return Ok(()),
                _ => {}
            },
            Ok(None) => {}
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Plays the application until it is ended.
async fn write(stores: Stores, tables: Vec<TablePlan>, taken: Arc<Mutex<Taken>>) -> Result<()> {
    let mut side = Side::Source;
    for table in tables.iter().cycle() {
        loop {
            let store = match side {
                Side::Source => &stores.source,
                Side::Target => &stores.target,
            };
            match store.touch(table, ROWS).await {
                Ok(true) => break look(&taken).count(side),
                Ok(false) => side = side.other(),
                Err(error) if error.kind().remedy() == Remedy::Retry => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

impl Taken {
    fn count(&mut self, side: Side) {
        let now = Instant::now();
        if let Some((at, other)) = self.last
            && other != side
        {
            self.gaps.push(now - at);
        }
        self.last = Some((now, side));
        self.writes[side as usize] += 1;
    }
}
