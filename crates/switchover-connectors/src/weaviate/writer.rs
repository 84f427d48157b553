//! A stream of chunks into collections: objects first, and their checkpoint when all of them were acknowledged.
//!
//! A chunk that was sent and not recorded is sent again, and is the same objects: every id is made of its row's
//! key, or of its place in a source that does not change. One chunk's objects have ids of their own, so no two requests
//! under way write one object.

use super::before::Aside;
use super::client::Client;
use super::ledger::{self, Label, Of, Records};
use super::rows::Table;
use super::store::Sending;
use super::written::Notes;
use async_trait::async_trait;
use std::collections::HashSet;
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::connector::{ChunkWrite, Writer, Written};
use switchover_core::failpoint;
use switchover_core::plan::Plan;

/// A request is sent when it has so many bytes: a chunk of ordinary rows is one request, and no request comes near
/// the server's limit on a message unless one object does.
const REQUEST_BYTES: usize = 8 << 20;

const OPERATION: &str = "copy rows to the target";

/// The stream.
pub(super) struct WeaviateWriter {
    client: Arc<Client>,
    /// The connection that this stream has to itself.
    lane: usize,
    plan: Arc<Plan>,
    run: String,
    tables: Vec<Table>,
    /// By table, what is kept aside of a collection that was there.
    aside: Vec<Aside>,
    notes: Arc<Notes>,
    /// Chunks that were there before this stream, by their records' ids.
    written: HashSet<[u8; 16]>,
}

impl WeaviateWriter {
    pub(super) fn new(
        client: &Arc<Client>,
        lane: usize,
        plan: Arc<Plan>,
        run: &str,
        notes: Arc<Notes>,
    ) -> WeaviateWriter {
        let tables: Vec<Table> = (0..plan.tables.len()).map(|at| Table::new(&plan, at)).collect();
        WeaviateWriter {
            client: Arc::clone(client),
            lane,
            plan,
            run: run.to_owned(),
            aside: tables.iter().map(|_| Aside::default()).collect(),
            tables,
            notes,
            written: HashSet::new(),
        }
    }

    /// Whether a record is of a chunk of the plan's table at this place.
    pub(super) fn is_of_table(record: &Label, at: usize) -> bool {
        let table = record.key.split_once(':').and_then(|(table, _)| table.parse().ok());
        record.is(Of::Checkpoint) && table == Some(at)
    }
}

/// The key of a checkpoint's record: where its chunk begins.
fn key_of(checkpoint: &switchover_core::chunk::Checkpoint) -> Result<String> {
    Ok(format!("{}:{}", checkpoint.table, crate::records::key_text(&checkpoint.range.after)?))
}

#[async_trait]
impl Writer for WeaviateWriter {
    async fn write(&mut self, chunk: &ChunkWrite<'_>) -> Result<Written> {
        let checkpoint = chunk.checkpoint;
        // A gap whose last row filled its chunk ends with a range of nothing, which begins where the next chunk does.
        let nothing = checkpoint.rows == 0 && checkpoint.range.after == checkpoint.range.upto;
        if nothing && checkpoint.range.upto.is_some() {
            return Ok(Written::Already);
        }
        let key = key_of(checkpoint)?;
        let id = ledger::id(&self.run, Of::Checkpoint, &key);
        if self.written.contains(&id) {
            return Ok(Written::Already);
        }
        failpoint::hit("copy-before-rows");
        let plan = Arc::clone(&self.plan);
        let table = &plan.tables[checkpoint.table];
        let sending = Sending {
            client: &self.client,
            lane: self.lane,
            request_bytes: REQUEST_BYTES,
            may_wait: true,
            operation: OPERATION,
        };
        let is_null = |at, field| chunk.as_null.contains(&(at, field));
        let rows = &mut self.tables[checkpoint.table];
        let places = (0..chunk.rows.len()).filter(|at| !chunk.left_out.contains(at));
        let mut objects: Vec<(Option<[u8; 16]>, usize)> = places
            .map(|at| (rows.id_of_source(chunk.rows.row(at), |field| is_null(at, field)), at))
            .collect();
        // The server keeps objects in the order of their ids, and takes a request that has them so a tenth sooner.
        objects.sort_unstable_by_key(|(id, at)| (id.map(u128::from_be_bytes), *at));
        if plan.options.existing.is_some() {
            let ids: Vec<[u8; 16]> = objects.iter().filter_map(|(id, _)| *id).collect();
            let aside = &mut self.aside[checkpoint.table];
            aside.note(&self.client, &self.run, &self.notes, &table.target, &ids).await?;
            failpoint::hit("existing-claimed");
        }
        let places = objects.into_iter().map(|(id, at)| (at, id));
        sending.rows(rows, chunk.rows, places, &is_null).await?;
        let mut quarantine = Records::new(&self.client);
        for entry in chunk.quarantine {
            super::quarantine::add(&mut quarantine, &self.run, table, entry)?;
        }
        failpoint::hit("copy-before-commit");
        quarantine.put(&self.client).await?;
        ledger::put_past_batches(&self.client, ledger::RECORDS, &self.run, Of::Checkpoint, &key, checkpoint)
            .await?;
        failpoint::hit("copy-after-commit");
        self.written.insert(id);
        Ok(Written::Now)
    }
}
