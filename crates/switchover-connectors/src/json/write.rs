//! A stream of chunks into the run's private folder: a file each, there whole or not at all.
//!
//! The rows of a chunk are rendered in memory, since a chunk is bounded; the file is synced and renamed, so that
//! its rows and its checkpoint come at once, and stay after a crash of the machine.

use super::form::Form;
use super::render::Renderer;
use super::work::{Head, Work};
use crate::blocking::blocking;
use crate::records::Entry;
use async_trait::async_trait;
use std::sync::Arc;
use switchover_core::connector::{ChunkWrite, Writer, Written};
use switchover_core::failpoint;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "copy rows to the target";

/// The stream.
pub(super) struct JsonWriter {
    pub(super) work: Work,
    pub(super) plan: Arc<Plan>,
    pub(super) run: String,
    pub(super) form: Form,
    pub(super) text: Vec<u8>,
}

impl JsonWriter {
    fn chunk(&mut self, chunk: &ChunkWrite<'_>) -> Result<Written> {
        let checkpoint = chunk.checkpoint;
        // A gap whose last row filled its chunk ends with a range of nothing, which begins where the next chunk does.
        let nothing = checkpoint.rows == 0 && checkpoint.range.after == checkpoint.range.upto;
        if nothing && checkpoint.range.upto.is_some() {
            return Ok(Written::Already);
        }
        if let Some(head) = self.work.chunk(checkpoint)? {
            if head.run == self.run && head.checkpoint == *checkpoint {
                return Ok(Written::Already);
            }
            return Err(Error::new(Kind::Internal, OPERATION)
                .store(self.work.path().display().to_string())
                .detail("another chunk begins at the same row"));
        }
        failpoint::hit("copy-before-rows");
        let table = &self.plan.tables[checkpoint.table];
        let mut renderer = Renderer::new(table);
        let (before, behind) = self.form.around_row();
        self.text.clear();
        for (at, row) in chunk.rows.iter().enumerate() {
            if chunk.left_out.contains(&at) {
                continue;
            }
            self.text.extend_from_slice(before);
            let is_null = |field: usize| chunk.as_null.contains(&(at, field));
            renderer.row(row, is_null, OPERATION, &mut self.text)?;
            self.text.extend_from_slice(behind);
        }
        let head = Head {
            run: self.run.clone(),
            checkpoint: checkpoint.clone(),
            quarantine: chunk.quarantine.iter().map(|entry| Entry::of(&table.source, entry)).collect(),
            text_bytes: self.text.len() as u64,
        };
        failpoint::hit("copy-before-commit");
        self.work.put(&head, &self.text)?;
        failpoint::hit("copy-after-commit");
        Ok(Written::Now)
    }
}

#[async_trait]
impl Writer for JsonWriter {
    async fn write(&mut self, chunk: &ChunkWrite<'_>) -> Result<Written> {
        blocking(|| self.chunk(chunk))
    }
}
