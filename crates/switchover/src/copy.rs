//! The copy phase: chunks from one snapshot into several streams.
//!
//! One task reads in key order and hands chunks to whichever stream is free; the channel between them
//! holds one, so memory is bounded by `(streams + 2) × chunk`. What is to be read are the gaps that the
//! target's checkpoints leave, so a fresh run and a resumed one are the same code.
//!
//! A stream that fails for good stops the reader; the others end their chunk first.

use crate::evidence::planned_table;
use crate::progress::{Event, Phase, Progress};
use crate::retry::Tries;
use crate::settings::Retries;
use crate::shutdown::Shutdown;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchover_core::chunk::{Checkpoint, KeyRange, LocatorValue, gaps};
use switchover_core::connector::{ChunkWrite, Quarantined, ReadRequest, Snapshot, Target, Writer};
use switchover_core::digest::Hex;
use switchover_core::judge::{Fate, Judge};
use switchover_core::limits::CHUNK_BYTES;
use switchover_core::plan::{ColumnPlan, MemoryPlan, Plan, TablePlan};
use switchover_core::schema::Locator;
use switchover_core::value::{Row, Rows};
use switchover_core::{Error, Kind, Result};
use tokio::sync::{Mutex, mpsc, oneshot};

/// What the copy works with.
pub(crate) struct Copy {
    pub(crate) plan: Arc<Plan>,
    pub(crate) run: String,
    pub(crate) snapshot: Arc<dyn Snapshot>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) shutdown: Shutdown,
    pub(crate) streams: usize,
    pub(crate) chunk_bytes: usize,
    /// Rows of a chunk, however few bytes they are.
    pub(crate) chunk_rows: usize,
    /// How long the reading of a chunk may take; it is smaller then.
    pub(crate) chunk_time: Duration,
    pub(crate) retries: Retries,
    /// One a table, in the plan's order.
    pub(crate) judges: Vec<Judge>,
    /// Is told of each chunk that is durable.
    pub(crate) written: Option<Written>,
}

/// Who is told of a chunk; it must return at once.
pub(crate) type Written = Box<dyn Fn(&Checkpoint) + Send + Sync>;

/// Resident bytes that the process has before any row is read: the program, its runtime, connections.
const BASE_BYTES: u64 = 32 << 20;

/// Fields of a chunk of which some may go to the quarantine: all of them may, and each takes a third of a kilobyte until it is written.
const ASIDE_ENTRIES_MAX: usize = 8192;

/// Bytes of a chunk under a memory limit, for a target that takes so many copies of it (`Target::chunk_copies`); two more
/// chunks than there are streams are on their way.
pub(crate) fn chunk_bytes(memory_limit: u64, streams: usize, copies: u64) -> usize {
    let room = memory_limit.saturating_sub(BASE_BYTES) / (copies * (streams as u64 + 2));
    usize::try_from(room).unwrap_or(CHUNK_BYTES).clamp(64 << 10, CHUNK_BYTES)
}

/// Chunks become smaller towards the end, so that no stream is idle while another has a whole one before it. Below this a chunk costs
/// more in its checkpoint than it gives.
const LAST_CHUNK_BYTES: usize = 512 << 10;

/// Bytes of the next chunk, where the plan counted so many that are left: half of a stream's share of them.
fn next_chunk_bytes(chunk_bytes: usize, streams: usize, left: u128) -> usize {
    let share = usize::try_from(left / (2 * streams.max(1) as u128)).unwrap_or(usize::MAX);
    share.max(LAST_CHUNK_BYTES).min(chunk_bytes)
}

/// How often a large value may be in memory at once: in SQLite, in a batch, and in what the target takes, and once more for what
/// an allocator has not given back yet (docs/benchmarks.md).
const VALUE_COPIES: u64 = 4;

/// What the largest value asks for, where a memory limit does not do for it.
pub(crate) fn beyond(plan: &Plan, limit_bytes: u64) -> Option<MemoryPlan> {
    let columns =
        plan.tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
    let bytes = |column: &ColumnPlan| column.census.text_bytes_max.max(column.census.blob_bytes_max);
    let (table, column) = columns.max_by_key(|(_, column)| bytes(column))?;
    let value_bytes = bytes(column);
    let needed_bytes = BASE_BYTES + VALUE_COPIES * value_bytes;
    (needed_bytes > limit_bytes).then(|| MemoryPlan {
        table: table.source.clone(),
        column: column.source.clone(),
        value_bytes,
        needed_bytes,
        limit_bytes,
    })
}

/// Whether these checkpoints cover every row of every table.
pub(crate) fn is_whole(plan: &Plan, done: &[Checkpoint]) -> bool {
    (0..plan.tables.len()).all(|index| {
        let own: Vec<Checkpoint> =
            done.iter().filter(|checkpoint| checkpoint.table == index).cloned().collect();
        gaps(&own).is_empty()
    })
}

/// Whether a table was copied in part.
pub(crate) fn is_begun(done: &[Checkpoint], table: usize) -> bool {
    let own: Vec<Checkpoint> = done.iter().filter(|checkpoint| checkpoint.table == table).cloned().collect();
    !own.is_empty() && !gaps(&own).is_empty()
}

struct Chunk {
    table: usize,
    range: KeyRange,
    rows: Rows,
    /// Told when the chunk is durable, by tables whose chunks must be written in order.
    written: Option<oneshot::Sender<()>>,
}

impl Copy {
    /// Copies everything that is not copied yet. Gives the seconds that each table took.
    pub(crate) async fn run(self: Arc<Self>, done: &[Checkpoint]) -> Result<Vec<f64>> {
        let seconds = Arc::new(Mutex::new(vec![(None::<Instant>, 0f64); self.plan.tables.len()]));
        let (chunks, queue) = mpsc::channel::<Chunk>(1);
        let (spare, spares) = mpsc::unbounded_channel::<Rows>();
        let queue = Arc::new(Mutex::new(queue));
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..self.streams {
            let (copy, queue, spare, seconds) =
                (Arc::clone(&self), Arc::clone(&queue), spare.clone(), Arc::clone(&seconds));
            streams.spawn(async move { copy.stream(&queue, &spare, &seconds).await });
        }
        drop((spare, queue));
        let reader = {
            let copy = Arc::clone(&self);
            let done = done.to_vec();
            async move { copy.read(&done, chunks, spares).await }
        };
        let mut reader = Box::pin(reader);
        let mut read_result = None;
        let mut first_error = None;
        // The reader ends when the streams are gone, and the streams when the reader is.
        while read_result.is_none() || !streams.is_empty() {
            tokio::select! {
                biased;
                result = &mut reader, if read_result.is_none() => read_result = Some(result),
                Some(ended) = streams.join_next() => {
                    let ended = ended.map_err(|e| Error::new(Kind::Internal, "copy rows").because(e)).and_then(|r| r);
                    if let Err(error) = ended {
                        first_error.get_or_insert(error);
                    }
                }
            }
        }
        match (first_error, read_result) {
            (Some(error), _) | (None, Some(Err(error))) => Err(error),
            (None, _) => Ok(seconds.lock().await.iter().map(|(_, seconds)| *seconds).collect()),
        }
    }

    async fn read(
        &self,
        done: &[Checkpoint],
        chunks: mpsc::Sender<Chunk>,
        mut spares: mpsc::UnboundedReceiver<Rows>,
    ) -> Result<()> {
        // Foreign keys of tables that were there hold while rows come, and so do references between objects: a table
        // begins when those before it, its parents among them, are written.
        let refers = |table: &TablePlan| table.foreign_keys.iter().any(|key| key.reference);
        let keys_hold = self.plan.options.existing.as_ref().is_some_and(|existing| !existing.live);
        let standing = keys_hold || self.plan.tables.iter().any(refers);
        let mut before: Vec<oneshot::Receiver<()>> = Vec::new();
        for (index, table) in self.plan.tables.iter().enumerate() {
            for written in before.drain(..) {
                if written.await.is_err() {
                    return Ok(());
                }
            }
            let own: Vec<Checkpoint> =
                done.iter().filter(|checkpoint| checkpoint.table == index).cloned().collect();
            let (rows, bytes) = own.iter().fold((0, 0), |(rows, bytes), c| (rows + c.rows, bytes + c.bytes));
            self.progress.event(Event::TableStarted {
                phase: Phase::Copy,
                table: table.source.clone(),
                rows: table.rows,
                bytes: table.bytes,
            });
            if rows > 0 {
                self.advanced(table, rows, bytes);
            }
            let read = planned_table(table);
            let mut rows_left = table.rows.saturating_sub(rows);
            let bytes_behind: u64 = match standing {
                true => 0,
                false => self.plan.tables[index + 1..].iter().map(|table| table.bytes).sum(),
            };
            // Chunks of a table without integer locators form one chain, see `chunk::gaps`: one is written while
            // the next is read. One stream writes in the order in which it is given them anyway.
            let mut chained: Option<oneshot::Receiver<()>> = None;
            let ordered = self.streams > 1 && !matches!(table.locator, Locator::RowId(_));
            for gap in gaps(&own) {
                let mut after: Option<LocatorValue> = gap.after.clone();
                loop {
                    self.shutdown.check("copy rows")?;
                    let range = KeyRange { after: after.clone(), upto: gap.upto.clone() };
                    let own = u128::from(table.bytes) * u128::from(rows_left) / u128::from(table.rows.max(1));
                    let budget_bytes = match ordered {
                        true => self.chunk_bytes,
                        false => {
                            next_chunk_bytes(self.chunk_bytes, self.streams, own + u128::from(bytes_behind))
                        }
                    };
                    let request = ReadRequest {
                        table: Arc::clone(&read),
                        range,
                        budget_bytes,
                        rows_max: if table.has_exceptions() {
                            self.chunk_rows.min((ASIDE_ENTRIES_MAX / table.columns.len().max(1)).max(1))
                        } else {
                            self.chunk_rows
                        },
                        time_max: self.chunk_time,
                    };
                    let batch = self.snapshot.read(request, spares.try_recv().unwrap_or_default()).await?;
                    rows_left = rows_left.saturating_sub(batch.rows.len() as u64);
                    let upto = if batch.done { gap.upto.clone() } else { batch.last.clone() };
                    let range = KeyRange { after, upto: upto.clone() };
                    // A row that is larger than a chunk goes alone: nothing else is read beside it.
                    let oversized = batch.rows.bytes() > 2 * self.chunk_bytes;
                    let (written, wait) = if ordered || oversized || standing {
                        let (a, b) = oneshot::channel();
                        (Some(a), Some(b))
                    } else {
                        (None, None)
                    };
                    if let Some(wait) = chained.take()
                        && wait.await.is_err()
                    {
                        return Ok(());
                    }
                    if chunks.send(Chunk { table: index, range, rows: batch.rows, written }).await.is_err() {
                        return Ok(());
                    }
                    if let Some(wait) = wait {
                        if oversized {
                            if wait.await.is_err() {
                                return Ok(());
                            }
                        } else if ordered {
                            chained = Some(wait);
                        } else {
                            before.push(wait);
                        }
                    }
                    if batch.done {
                        break;
                    }
                    after = upto;
                }
            }
            if standing {
                before.extend(chained);
            }
        }
        Ok(())
    }

    async fn stream(
        &self,
        queue: &Mutex<mpsc::Receiver<Chunk>>,
        spare: &mpsc::UnboundedSender<Rows>,
        seconds: &Mutex<Vec<(Option<Instant>, f64)>>,
    ) -> Result<()> {
        let mut writer = self.target.writer(Arc::clone(&self.plan), &self.run).await?;
        loop {
            let next = queue.lock().await.recv().await;
            let Some(chunk) = next else { return Ok(()) };
            // What waits is left for the next run.
            self.shutdown.check("copy rows")?;
            {
                let mut seconds = seconds.lock().await;
                seconds[chunk.table].0.get_or_insert_with(Instant::now);
            }
            self.write(&mut *writer, &chunk).await?;
            {
                let mut seconds = seconds.lock().await;
                let (begin, total) = &mut seconds[chunk.table];
                *total = begin.map_or(0.0, |begin| begin.elapsed().as_secs_f64());
            }
            if let Some(written) = chunk.written {
                // The reader may have ended: then nobody waits.
                let _ = written.send(());
            }
            if chunk.rows.capacity_bytes() <= 2 * self.chunk_bytes {
                let _ = spare.send(chunk.rows);
            }
        }
    }

    async fn write(&self, writer: &mut dyn Writer, chunk: &Chunk) -> Result<()> {
        let table = &self.plan.tables[chunk.table];
        let prepared = Prepared::of(table, &self.judges[chunk.table], &chunk.rows);
        let checkpoint = Checkpoint {
            table: chunk.table,
            range: chunk.range.clone(),
            rows: chunk.rows.len() as u64,
            bytes: prepared.bytes,
            digest: Hex(chunk.rows.digest()),
        };
        let write = ChunkWrite {
            rows: &chunk.rows,
            checkpoint: &checkpoint,
            quarantine: &prepared.quarantine,
            as_null: &prepared.as_null,
            left_out: &prepared.left_out,
        };
        let mut tries = Tries::new(self.retries, &*self.progress, &self.shutdown);
        while let Err(error) = writer.write(&write).await {
            tries.again(error).await?;
        }
        self.advanced(table, checkpoint.rows, checkpoint.bytes);
        if let Some(written) = &self.written {
            written(&checkpoint);
        }
        Ok(())
    }

    fn advanced(&self, table: &TablePlan, rows: u64, bytes: u64) {
        self.progress.event(Event::Advanced { phase: Phase::Copy, table: table.source.clone(), rows, bytes });
    }
}

/// What the judge says of a chunk.
#[derive(Default)]
struct Prepared {
    bytes: u64,
    quarantine: Vec<Quarantined>,
    as_null: BTreeSet<(usize, usize)>,
    left_out: BTreeSet<usize>,
}

impl Prepared {
    fn of(table: &TablePlan, judge: &Judge, rows: &Rows) -> Prepared {
        let bytes =
            rows.iter().map(|row| row.values().map(|value| value.payload_bytes() as u64).sum::<u64>()).sum();
        let mut prepared = Prepared { bytes, ..Prepared::default() };
        if !table.has_exceptions() {
            return prepared;
        }
        let mut scratch = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let fate = judge.row(row, &table.columns, &mut scratch);
            prepared.quarantine.extend(put_aside(table, row, &fate));
            match fate {
                Fate::Clean => {}
                Fate::CellsOut(cells) => prepared.as_null.extend(cells.iter().map(|(field, _)| (at, *field))),
                Fate::RowOut(..) => {
                    prepared.left_out.insert(at);
                }
            }
        }
        prepared
    }
}

/// What of a row goes to the quarantine.
pub(crate) fn put_aside(table: &TablePlan, row: Row<'_>, fate: &Fate) -> Vec<Quarantined> {
    let entry = |field: usize, whole_row: bool, why: &str| Quarantined {
        locator: row.locator(),
        column: table.columns[field].source.clone(),
        value: row.value(field).to_owned_value(),
        whole_row,
        why: why.to_owned(),
    };
    match fate {
        Fate::Clean => Vec::new(),
        Fate::CellsOut(cells) => cells.iter().map(|(field, why)| entry(*field, false, why)).collect(),
        Fate::RowOut(_, why) => (0..row.width()).map(|field| entry(field, true, why)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunks_are_smaller_for_several_streams() {
        let whole = 8 << 20;
        assert_eq!(next_chunk_bytes(whole, 2, 1 << 30), whole);
        assert_eq!(next_chunk_bytes(whole, 2, 16 << 20), 4 << 20);
        assert_eq!(next_chunk_bytes(whole, 4, 16 << 20), 2 << 20);
        assert_eq!(next_chunk_bytes(whole, 4, 0), LAST_CHUNK_BYTES);
        assert_eq!(next_chunk_bytes(64 << 10, 4, 0), 64 << 10);
        assert_eq!(next_chunk_bytes(whole, 2, u128::MAX), whole);
    }

    /// Chunks, as often as they are in memory at once, and what the process has anyway are within the limit.
    #[test]
    fn chunks_follow_from_the_memory_limit() {
        let mut last = 0;
        for limit in [40_u64, 48, 64, 100, 1000].map(|mega| mega << 20) {
            for (streams, copies) in [(1, 2), (2, 2), (4, 2), (4, 5)] {
                let bytes = chunk_bytes(limit, streams, copies) as u64;
                let all = BASE_BYTES + bytes * copies * (streams as u64 + 2);
                assert!(all <= limit, "{limit} {streams} {copies}: {bytes}");
            }
            let bytes = chunk_bytes(limit, 2, 2);
            assert!(bytes >= last && bytes <= CHUNK_BYTES, "{limit}");
            last = bytes;
        }
        assert_eq!(last, CHUNK_BYTES);
        assert!(chunk_bytes(40 << 20, 2, 2) < CHUNK_BYTES);
        // A limit that leaves no room still moves rows.
        assert_eq!(chunk_bytes(0, 2, 2), 64 << 10);
    }
}
