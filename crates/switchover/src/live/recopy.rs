//! Which tables are copied again before the engine goes forward (I6): those of which changes may be in no log, and those
//! whose rows were found by place and may lie elsewhere now.
//!
//! Invariant: a table goes back before the source is told that the doubt is dealt with; until then it stands, whoever asks.

use super::engine::{Engine, names};
use crate::copy;
use std::collections::BTreeSet;
use switchover_core::{Result, failpoint};

impl Engine {
    /// Sends tables back to copy, and says which doubts that deals with.
    pub(super) async fn send_back(&mut self) -> Result<Vec<usize>> {
        let torn = std::mem::take(&mut self.torn);
        let mut lost = self.again(async || self.parts.source.doubts().await).await?;
        let moved = self.again(async || self.parts.source.moved().await).await?;
        if torn && lost.is_empty() && moved.is_empty() {
            // Triggers and tables are as they were, and yet the log cannot be read on: nothing of it counts.
            lost = (0..self.parts.plan.tables.len()).collect();
        }
        let mut halves = Vec::new();
        if !moved.is_empty() {
            let (plan, run) = (&self.parts.plan, &self.parts.run);
            let done = self.again(async || self.parts.store.checkpoints(plan, run).await).await?;
            // A table that was read to its end had all its rows, wherever they lie now.
            let begun = |at: &usize| !lost.contains(at) && copy::is_begun(&done, *at);
            halves = moved.iter().copied().filter(begun).collect();
        }
        let tell = |tables: &[usize], why: &str| {
            if !tables.is_empty() {
                self.note(format!("copying again, because {why}: {}", names(&self.parts.plan, tables)));
            }
        };
        tell(&lost, "changes may have been missed");
        tell(&halves, "the schema changed or the file was vacuumed, and rows may lie elsewhere now");
        let again: Vec<usize> = lost.iter().chain(&halves).copied().collect();
        if !again.is_empty() {
            self.tell(|status| status.recopied += again.len() as u64);
            self.prove(None).await;
            self.again(async || self.parts.target.restart(&again).await).await?;
            failpoint::hit("live-restarted");
        }
        let dealt: BTreeSet<usize> = lost.into_iter().chain(moved).collect();
        Ok(dealt.into_iter().collect())
    }
}
