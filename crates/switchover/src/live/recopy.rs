//! Which tables are copied again before the engine goes forward (I6): those of which changes may be in no log, those
//! whose rows were found by place and may lie elsewhere now, those whose changes only hold together in more than one batch,
//! and those that may hold rows of which the source knows nothing.
//!
//! Invariant: a table goes back before the source is told that the doubt is dealt with; until then it stands, whoever asks.

use super::engine::{Engine, names};
use super::link::Link;
use crate::copy;
use switchover_core::{Error, Kind, Result, failpoint};

impl Engine {
    /// Whether a step failed so that tables go back to copy, which is noted. Nothing in the stores says it: who comes later meets
    /// the same batch.
    pub(super) fn sends_back(&mut self, link: &mut Link, error: &Error) -> bool {
        let stuck = std::mem::take(&mut link.stuck);
        // What was copied again and is rejected all the same is rejected for another reason.
        let again = stuck.iter().all(|at| self.unstuck.contains(at));
        if again || error.kind() != Kind::Rejected {
            return false;
        }
        self.stuck = stuck;
        true
    }

    /// Sends tables back to copy, and says which: and which have moved and are not copied again, because they were copied whole.
    ///
    /// The two are not one: a change of the latter that is in no log, from here on until the capture is made, is a doubt that
    /// nothing has dealt with.
    pub(super) async fn send_back(&mut self) -> Result<(Vec<usize>, Vec<usize>)> {
        let torn = std::mem::take(&mut self.torn);
        let mut stuck = std::mem::take(&mut self.stuck);
        let mut lost = self.again(async || self.parts.source.doubts().await).await?;
        let moved = self.again(async || self.parts.source.moved().await).await?;
        let anew = std::mem::take(&mut self.anew);
        if anew || (torn && lost.is_empty() && moved.is_empty()) {
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
        stuck.retain(|at| !lost.contains(at) && !halves.contains(at));
        let tell = |tables: &[usize], why: &str| {
            if !tables.is_empty() {
                self.note(format!("copying again, because {why}: {}", names(&self.parts.plan, tables)));
            }
        };
        tell(&lost, "changes may have been missed");
        tell(&halves, "the schema changed or the file was vacuumed, and rows may lie elsewhere now");
        tell(
            &stuck,
            "changes were refused that may need later ones, or meet rows of which the source knows nothing",
        );
        let again: Vec<usize> = lost.iter().chain(&halves).chain(&stuck).copied().collect();
        if !again.is_empty() {
            self.tell(|status| status.recopied += again.len() as u64);
            self.prove(None).await;
            // Nobody is to read at the target what is about to be removed there.
            if let Some(ownership) = self.announced {
                self.announce(ownership).await;
            }
            failpoint::hit("live-filling-told");
            self.again(async || self.parts.target.restart(&again).await).await?;
            failpoint::hit("live-restarted");
            self.unstuck.extend(stuck);
        }
        let whole = moved.into_iter().filter(|at| !again.contains(at)).collect();
        Ok((again, whole))
    }
}
