//! The target as the copy writes it, and the hold of one engine process on it.

use super::super::world::{Row, Side1, World, is_unique};
use super::{Store, number, unsupported};
use async_trait::async_trait;
use std::sync::Arc;
use switchover_core::chunk::Checkpoint;
use switchover_core::connector::{
    Audit, BuildStep, ChunkWrite, Claim, Dialect, Mend, Quarantined, Reader, Target, TargetState, Writer,
    Written,
};
use switchover_core::live::Side;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

#[async_trait]
impl Target for Store {
    fn label(&self) -> String {
        "model target".into()
    }

    fn dialect(&self) -> &dyn Dialect {
        unreachable!("a live run does not plan")
    }

    fn transactional(&self) -> bool {
        !self.world.look().loose
    }

    async fn inspect(&self, _: &str) -> Result<TargetState> {
        unsupported()
    }

    async fn claim(&self, _: &str, _: &str) -> Result<Box<dyn Claim>> {
        Ok(Box::new(Hold { world: self.world.clone() }))
    }

    async fn prepare(&self, _: &Plan, _: &str) -> Result<()> {
        unsupported()
    }

    async fn writer(&self, _: Arc<Plan>, _: &str) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Stream { world: self.world.clone() }))
    }

    async fn checkpoints(&self, _: &Plan, _: &str) -> Result<Vec<Checkpoint>> {
        self.world.call_at(Side::Target, "read checkpoints", |world| Ok(world.checkpoints.clone())).await
    }

    fn build_steps(&self, _: &Plan) -> Vec<BuildStep> {
        Vec::new()
    }

    async fn build(&self, _: &Plan, _: &str, step: &BuildStep) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call_at(Side::Target, "carry a step out", |world| {
                world.check_attempt(Side::Target, attempt)?;
                if !world.steps.contains(&step.id) && step.id == "keys" && !world.repeats.is_empty() {
                    return Err(Error::new(Kind::Rejected, "make the key's index").detail("duplicates"));
                }
                if !world.steps.contains(&step.id) && step.id == "uniques" {
                    if !is_unique(&world.target.data) {
                        return Err(Error::new(Kind::Rejected, "make the unique index").detail("duplicates"));
                    }
                    world.uniques = true;
                }
                world.steps.insert(step.id.clone());
                Ok(())
            })
            .await
    }

    async fn read(&self, _: &Plan, _: usize, _: usize) -> Result<Vec<Box<dyn Reader>>> {
        unsupported()
    }

    async fn quarantined(&self, _: &Plan, _: usize, _: &mut (dyn FnMut(Quarantined) + Send)) -> Result<()> {
        Ok(())
    }

    async fn audit(&self, _: &Plan) -> Result<Audit> {
        unsupported()
    }

    async fn repair(&self, _: &Plan, _: &[Mend]) -> Result<()> {
        unsupported()
    }

    async fn discard(&self, _: &str, _: &str) -> Result<bool> {
        let attempt = self.world.attempt;
        self.world
            .call_at(Side::Target, "discard", |world| {
                world.check_attempt(Side::Target, attempt)?;
                world.target = Side1 { next: 1, attempt, ..Side1::default() };
                world.checkpoints.clear();
                world.repeats.clear();
                world.steps.clear();
                Ok(true)
            })
            .await
    }

    async fn forget(&self, _: &str, _: &str) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call_at(Side::Target, "forget", |world| {
                world.check_attempt(Side::Target, attempt)?;
                world.forgotten = true;
                Ok(())
            })
            .await
    }
}

struct Stream {
    world: World,
}

#[async_trait]
impl Writer for Stream {
    async fn write(&mut self, chunk: &ChunkWrite<'_>) -> Result<Written> {
        let attempt = self.world.attempt;
        if self.world.look().loose {
            let store = Store { world: self.world.clone(), side: Side::Target };
            let object = |row: switchover_core::value::Row<'_>| {
                let [key, unique, value] = [0, 1, 2].map(|at| number(row.value(at)));
                (chunk.checkpoint.table, key, Some(Row { unique, value }))
            };
            store.write_objects(chunk.rows.iter().map(object).collect()).await?;
        }
        self.world
            .call_at(Side::Target, "write a chunk", |world| {
                world.check_attempt(Side::Target, attempt)?;
                if world.checkpoints.iter().any(|there| {
                    there.table == chunk.checkpoint.table && there.range.after == chunk.checkpoint.range.after
                }) {
                    return Ok(Written::Already);
                }
                for row in chunk.rows.iter().filter(|_| !world.loose) {
                    let [key, unique, value] = [0, 1, 2].map(|at| number(row.value(at)));
                    let (table, row) = (chunk.checkpoint.table, Row { unique, value });
                    if world.target.data[table].contains_key(&key) {
                        world.repeats.insert((table, key));
                        world.moved[0] += 1;
                        if world.dice.one_in(2) {
                            continue;
                        }
                    }
                    world.target.data[table].insert(key, row);
                }
                world.checkpoints.push(chunk.checkpoint.clone());
                Ok(Written::Now)
            })
            .await
    }
}

/// The hold of one engine process.
pub(in super::super) struct Hold {
    pub(in super::super) world: World,
}

#[async_trait]
impl Claim for Hold {
    async fn check(&self) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call_at(Side::Target, "check the hold", |world| world.check_attempt(Side::Target, attempt))
            .await
    }
}
