//! Reading tables whose rows are only looked at, ahead of whoever looks.
//!
//! Invariant: [`AHEAD`] batches at most wait, beside the one that is read, the one that is looked at, and those that
//! somebody looks at for longer; of a row that is large by itself there is one.

use crate::shutdown::Shutdown;
use std::ops::Deref;
use std::sync::Arc;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Batch, ReadRequest, ReadTable, Snapshot};
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Result};
use tokio::sync::{mpsc, oneshot};

/// Bytes read at a time where rows are only looked at.
const SCAN_BYTES: usize = 1 << 20;

/// Batches that wait. Who reads and who looks take turns on a processor for some milliseconds each, so a single batch would
/// leave each of them without work: the census of a million rows takes 0.90 s with one, 0.86 s with three, 0.80 s with six.
const AHEAD: usize = 6;

/// A batch of this size holds a row that is large by itself. Twice as large, and rows just below it would have `migrate` take
/// 63 MB where it takes 58 (100 rows of 3 MB), with [`AHEAD`] of them waiting.
const OVERSIZED_BYTES: usize = 2 * SCAN_BYTES;

/// A batch that is looked at. With the last who does, its memory goes back to the reader.
pub(crate) struct Looked {
    rows: Rows,
    back: Back,
}

/// What becomes of the memory of a batch.
enum Back {
    /// The next is read into it.
    Used(mpsc::UnboundedSender<Rows>),
    /// It is given back, and the reader, which waits for that, is told.
    Freed(Option<oneshot::Sender<()>>),
}

impl Deref for Looked {
    type Target = Rows;

    fn deref(&self) -> &Rows {
        &self.rows
    }
}

impl Drop for Looked {
    fn drop(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        match &mut self.back {
            // After the last batch no memory is needed any more.
            Back::Used(spare) => drop(spare.send(rows)),
            Back::Freed(told) => {
                drop(rows);
                // The reader ends when nobody waits for its rows: then it waits for nobody.
                if let Some(told) = told.take() {
                    let _ = told.send(());
                }
            }
        }
    }
}

/// Reads a range of a table to its end: one batch in hand, one that waits, and one that is read.
pub(crate) async fn scan(
    snapshot: &Arc<dyn Snapshot>,
    table: &Arc<ReadTable>,
    range: KeyRange,
    shutdown: &Shutdown,
    mut observe: impl FnMut(&Rows),
) -> Result<()> {
    scan_range(snapshot, table, range, shutdown, |rows| observe(rows)).await
}

/// Reads a whole table, and each batch may be kept to be looked at elsewhere, too.
pub(crate) async fn scan_shared(
    snapshot: &Arc<dyn Snapshot>,
    table: &Arc<ReadTable>,
    shutdown: &Shutdown,
    observe: impl FnMut(&Arc<Looked>),
) -> Result<()> {
    scan_range(snapshot, table, KeyRange::default(), shutdown, observe).await
}

async fn scan_range(
    snapshot: &Arc<dyn Snapshot>,
    table: &Arc<ReadTable>,
    range: KeyRange,
    shutdown: &Shutdown,
    mut observe: impl FnMut(&Arc<Looked>),
) -> Result<()> {
    let (batches, mut queue) = mpsc::channel(AHEAD);
    let reader = tokio::spawn(read_ahead(Arc::clone(snapshot), Arc::clone(table), range, batches));
    while let Some(looked) = queue.recv().await {
        shutdown.check("read the source")?;
        observe(&Arc::new(looked));
    }
    reader.await.map_err(|error| Error::new(Kind::Internal, "read the source").because(error))?
}

/// Reads until the end of the range, or until nobody takes the batches.
async fn read_ahead(
    snapshot: Arc<dyn Snapshot>,
    table: Arc<ReadTable>,
    mut range: KeyRange,
    batches: mpsc::Sender<Looked>,
) -> Result<()> {
    let (spare, mut spares) = mpsc::unbounded_channel::<Rows>();
    loop {
        let request = ReadRequest {
            table: Arc::clone(&table),
            range: range.clone(),
            budget_bytes: SCAN_BYTES,
            rows_max: ReadRequest::ANY_ROWS,
            time_max: ReadRequest::ANY_TIME,
        };
        let Batch { rows, last, done } =
            snapshot.read(request, spares.try_recv().unwrap_or_default()).await?;
        // A large row is looked at, and its memory given back, before the next is read.
        let (back, wait) = match rows.bytes() > OVERSIZED_BYTES {
            true => {
                let (told, wait) = oneshot::channel();
                (Back::Freed(Some(told)), Some(wait))
            }
            false => (Back::Used(spare.clone()), None),
        };
        if batches.send(Looked { rows, back }).await.is_err() || done {
            return Ok(());
        }
        if let Some(wait) = wait
            && wait.await.is_err()
        {
            return Ok(());
        }
        range.after = last;
    }
}
