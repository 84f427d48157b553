//! Either store as the live engine sees it, and the target as the owner of the decision.

use super::super::plan::BY_PLACE;
use super::super::world::{Broken, Inner};
use super::passing::read_rows;
use super::requests::{LATE, Taken};
use super::{Store, check_capture, has_moved, key_of, push, sequence};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::time::Duration;
use switchover_core::connector::{Batch, BuildStage, BuildStep, Position};
use switchover_core::live::{
    Beside, Captured, Changes, Fenced, Limit, LiveStage, LiveStore, LiveTarget, Ownership, Pressure, Seen,
    Side, TableChanges,
};
use switchover_core::plan::Refusal;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

fn fenced(world: &mut Inner, side: Side, attempt: i64) -> Result<Fenced> {
    world.check_attempt(side, attempt)?;
    let wanted = world.ownership.pending || world.ownership.owner != side;
    if !wanted && world.broken != Broken::LateFence {
        return Err(Error::new(Kind::Changed, "fence").detail("nobody proposes a change"));
    }
    let store = world.side(side);
    store.fenced = true;
    Ok(Fenced { position: Position((store.next - 1).to_string()), numbering: Vec::new() })
}

fn decided(world: &mut Inner, from: Ownership, to: Ownership, attempt: i64) -> Result<bool> {
    world.check_attempt(Side::Target, attempt)?;
    if world.ownership != from && world.broken != Broken::Decision {
        return Ok(false);
    }
    world.ownership = to;
    Ok(true)
}

#[async_trait]
impl LiveStore for Store {
    fn label(&self) -> String {
        format!("model {}", self.side)
    }

    async fn obstacles(&self, _: bool) -> Result<Vec<Refusal>> {
        Ok(Vec::new())
    }

    async fn enter(&self) -> Result<()> {
        let (side, attempt) = (self.side, self.world.attempt);
        let after_another = {
            let world = self.world.look();
            let before = world.target.attempt;
            world.loose
                && side == Side::Target
                && (1..attempt).contains(&before)
                && world.broken != Broken::Late
        };
        if after_another {
            tokio::time::sleep(LATE).await;
        }
        self.world
            .call("enter", |world| {
                world.check_attempt(side, attempt)?;
                if side == Side::Target && std::mem::take(&mut world.left) {
                    world.ownership = Ownership::FIRST;
                }
                let store = world.side(side);
                store.entered = true;
                store.attempt = store.attempt.max(attempt);
                Ok(())
            })
            .await
    }

    async fn doubts(&self) -> Result<Vec<usize>> {
        self.world
            .call("look at the capture", |world| {
                let broken = world.broken;
                let store = world.side(self.side);
                Ok(if broken == Broken::Capture { Vec::new() } else { store.lost.iter().copied().collect() })
            })
            .await
    }

    async fn moved(&self) -> Result<Vec<usize>> {
        self.world
            .call("look where rows lie", |world| {
                let moved = self.side == Side::Source && has_moved(&world.source, world.broken);
                Ok(if moved { vec![BY_PLACE] } else { Vec::new() })
            })
            .await
    }

    async fn capture(&self, again: &[usize], whole: &[usize]) -> Result<Captured> {
        let attempt = self.world.attempt;
        self.world
            .call("make the capture", |world| {
                world.check_attempt(self.side, attempt)?;
                let broken = world.broken;
                let store = world.side(self.side);
                if store.lost.iter().any(|table| !again.contains(table)) && broken != Broken::Capture {
                    return Err(Error::new(Kind::Changed, "make the capture").detail("a trigger is gone"));
                }
                if has_moved(store, broken) && !again.contains(&BY_PLACE) && !whole.contains(&BY_PLACE) {
                    return Err(Error::new(Kind::Changed, "make the capture").detail("rows lie elsewhere"));
                }
                store.vacuums_known = store.vacuums;
                if broken != Broken::Capture {
                    store.lost.clear();
                }
                let new = !std::mem::replace(&mut store.captured, true);
                // The target's positions are tokens of reads, of which this is none.
                let head = if self.side == Side::Source { store.next - 1 } else { 0 };
                Ok(Captured { from: Position(head.to_string()), new })
            })
            .await
    }

    async fn changes(&self, after: &Position, limit: Limit, beside: Option<&Beside>) -> Result<Changes> {
        let side = self.side;
        self.world
            .call("read changes", |world| {
                let broken = world.broken;
                check_capture(world.side(side), broken)?;
                let (token, store) = (world.next_token, world.side(side));
                let after = sequence(after);
                // The source's log is in the order of its numbers; the target's entries are taken whatever their number is.
                let waiting: Vec<(u64, usize, i64)> = store
                    .log
                    .iter()
                    .filter(|(number, ..)| side == Side::Target || *number > after)
                    .copied()
                    .collect();
                let mut taken = waiting.len().min(usize::try_from(limit.entries).unwrap_or(usize::MAX));
                // A reading that ends by the clock.
                if side == Side::Source && limit.time_max < Limit::ANY_TIME && world.dice.one_in(4) {
                    taken = taken.min(1 + world.dice.below(taken as u64) as usize);
                }
                let store = world.side(side);
                let upto = match (side, waiting[..taken].last()) {
                    (Side::Source, Some((number, ..))) => Position(number.to_string()),
                    (Side::Source, None) => Position(after.to_string()),
                    (Side::Target, Some(_)) => Position(token.to_string()),
                    (Side::Target, None) => Position(after.to_string()),
                };
                let mut tables = Vec::new();
                for table in 0..super::super::world::TABLES {
                    let keys: BTreeSet<i64> = waiting[..taken]
                        .iter()
                        .filter(|(_, at, _)| *at == table)
                        .map(|(_, _, key)| *key)
                        .collect();
                    if keys.is_empty() {
                        continue;
                    }
                    let mut rows = Rows::new(0, 3);
                    for key in &keys {
                        if let Some(row) = store.data[table].get(key) {
                            push(&mut rows, *key, *row);
                        }
                    }
                    let keys = keys.into_iter().map(|key| vec![OwnedValue::Int(key)]).collect();
                    tables.push(TableChanges { table, keys, rows, whole: false });
                }
                let beside = beside.map(|beside| match beside {
                    Beside::Rows(request) => {
                        let batch = read_rows(store, request, Rows::default());
                        let mut rows = Rows::new(0, 3);
                        batch.rows.iter().for_each(|row| row.values().for_each(|value| rows.push(value)));
                        Seen::Rows(Batch { rows, ..batch })
                    }
                    Beside::Count(table) => Seen::Count(store.data[*table].len() as u64),
                });
                if side == Side::Target && taken > 0 {
                    let ids = waiting[..taken].iter().map(|(number, ..)| *number).collect();
                    world.tokens.insert(token, ids);
                    world.next_token += 1;
                }
                Ok(Changes {
                    upto,
                    complete: taken == waiting.len(),
                    entries: taken as u64,
                    behind: (waiting.len() - taken) as u64,
                    tables,
                    beside,
                })
            })
            .await
    }

    async fn settle(&self, upto: &Position) -> Result<()> {
        let (side, attempt) = (self.side, self.world.attempt);
        self.world
            .call("forget changes", |world| {
                world.check_attempt(side, attempt)?;
                let more = u64::from(world.broken == Broken::Settle);
                match side {
                    Side::Source => {
                        let upto = sequence(upto) + more;
                        world.source.log.retain(|(number, ..)| *number > upto);
                    }
                    Side::Target => {
                        if let Some(ids) = world.tokens.remove(&sequence(upto)) {
                            world.target.log.retain(|(number, ..)| !ids.contains(number));
                        }
                    }
                }
                Ok(())
            })
            .await
    }

    async fn applied(&self) -> Result<Option<Position>> {
        self.world.call("ask for the position", |world| Ok(world.side(self.side).applied.clone())).await
    }

    async fn apply(&self, changes: &Changes, after: Option<&Position>) -> Result<()> {
        let taken = Taken::of(changes, after);
        let (side, attempt) = (self.side, self.world.attempt);
        if side == Side::Target && self.world.look().loose {
            return self.take_loosely(taken).await;
        }
        if self.world.is_late() {
            return self.world.later("take changes", move |world| taken.take(world, side, attempt));
        }
        self.world.call("take changes", |world| taken.take(world, side, attempt)).await
    }

    async fn fetch(&self, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        self.world
            .call("look rows up", |world| {
                let mut rows = Rows::new(0, 3);
                for key in keys {
                    if let Some(row) = world.side(self.side).data[table].get(&key_of(key)) {
                        push(&mut rows, key_of(key), *row);
                    }
                }
                Ok(rows)
            })
            .await
    }

    async fn count(&self, table: usize) -> Result<u64> {
        self.world.call("count rows", |world| Ok(world.side(self.side).data[table].len() as u64)).await
    }

    async fn fence(&self, _: Duration) -> Result<Fenced> {
        let (side, attempt) = (self.side, self.world.attempt);
        if side == Side::Target && (self.world.is_late() || self.world.is_fence_late()) {
            return self.world.later("fence", move |world| fenced(world, side, attempt));
        }
        self.world.call("fence", |world| fenced(world, side, attempt)).await
    }

    async fn unfence(&self) -> Result<()> {
        let (side, attempt) = (self.side, self.world.attempt);
        self.world
            .call("open", |world| {
                world.check_attempt(side, attempt)?;
                world.side(side).fenced = false;
                Ok(())
            })
            .await
    }

    async fn pressure(&self) -> Result<Pressure> {
        Ok(Pressure::default())
    }

    async fn leave(&self) -> Result<()> {
        let (side, attempt) = (self.side, self.world.attempt);
        self.world
            .call("leave", |world| {
                world.check_attempt(side, attempt)?;
                if side == Side::Target {
                    // The decision row goes, and with it all that kept the application's writes away.
                    world.left = true;
                }
                let over = world.left && world.ownership.owner == Side::Target;
                let store = world.side(side);
                store.retired = over && side == Side::Source;
                store.captured = false;
                store.log.clear();
                store.lost.clear();
                if side == Side::Source {
                    store.fenced = false;
                }
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl LiveTarget for Store {
    fn can_own(&self) -> bool {
        !self.world.look().loose
    }

    fn takes_any_order(&self) -> bool {
        true
    }

    async fn drop_repeats(&self) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call("drop repeats", |world| {
                world.check_attempt(Side::Target, attempt)?;
                let applied = world.target.applied.as_ref().map_or(0, sequence);
                for (table, key) in std::mem::take(&mut world.repeats) {
                    let logged = |(number, at, other): &(u64, usize, i64)| {
                        *number > applied && (*at, *other) == (table, key)
                    };
                    if !world.source.log.iter().any(logged) {
                        world.violations.push(format!("{table}/{key} came twice and is in no log"));
                    }
                }
                Ok(())
            })
            .await
    }

    async fn ownership(&self) -> Result<Ownership> {
        self.world.call("read the decision row", |world| Ok(world.ownership)).await
    }

    async fn left(&self) -> Result<bool> {
        self.world
            .call("look whether the run was left", |world| Ok(world.left && world.broken != Broken::Left))
            .await
    }

    async fn decide(&self, from: &Ownership, to: &Ownership, _: &[(usize, i64)]) -> Result<bool> {
        let (from, to, attempt) = (*from, *to, self.world.attempt);
        if self.world.is_late() {
            return self.world.later("decide", move |world| decided(world, from, to, attempt));
        }
        self.world.call("decide", |world| decided(world, from, to, attempt)).await
    }

    async fn follow(&self) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call("follow again", |world| {
                world.check_attempt(Side::Target, attempt)?;
                world.target.fenced = false;
                Ok(())
            })
            .await
    }

    fn steps(&self) -> Vec<(LiveStage, BuildStep)> {
        if self.world.look().loose {
            return Vec::new();
        }
        [(LiveStage::Keys, "keys"), (LiveStage::Uniques, "uniques"), (LiveStage::Last, "last")]
            .into_iter()
            .map(|(stage, name)| {
                let step = BuildStep {
                    id: name.into(),
                    table: Some(0),
                    stage: BuildStage::Indexes,
                    what: name.into(),
                    sql: String::new(),
                };
                (stage, step)
            })
            .collect()
    }

    async fn restart(&self, tables: &[usize]) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call("send tables back to copy", |world| {
                world.check_attempt(Side::Target, attempt)?;
                let again = tables.contains(&BY_PLACE) && has_moved(&world.source, world.broken);
                world.moved[1] += u64::from(again);
                for table in tables {
                    world.target.data[*table].clear();
                    world.checkpoints.retain(|checkpoint| checkpoint.table != *table);
                    world.repeats.retain(|(repeated, _)| repeated != table);
                }
                world.uniques = false;
                world.steps.clear();
                Ok(())
            })
            .await
    }
}
