//! Either store as the live engine sees it, and the target as the owner of the decision.

use super::super::plan::BY_PLACE;
use super::super::world::{Broken, Inner, TABLES};
use super::passing::read_rows;
use super::requests::{LATE, Taken};
use super::{Store, check_capture, has_moved, key_of, mark_of, push, sequence};
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
    // The decision row is the target's: a source cannot look.
    let wanted = side == Side::Source || world.ownership.pending || world.ownership.owner != side;
    if !wanted && world.broken != Broken::LateFence {
        return Err(Error::new(Kind::Changed, "fence").detail("nobody proposes a change"));
    }
    let store = world.side(side);
    store.fenced = true;
    let position = Position((store.next - 1).to_string());
    world.sure(side);
    Ok(Fenced { position, numbering: Vec::new() })
}

fn decided(world: &mut Inner, from: Ownership, to: Ownership, attempt: i64) -> Result<bool> {
    world.check_attempt(Side::Target, attempt)?;
    if world.ownership != from && world.broken != Broken::Decision {
        return Ok(false);
    }
    let cuts_over = to.pending && to.owner == Side::Source;
    if cuts_over && !["keys", "uniques"].iter().all(|step| world.steps.contains(*step)) {
        return Err(
            Error::new(Kind::Refused, "decide").detail("the target has not the keys that the run made")
        );
    }
    let changes = world.ownership.owner != to.owner;
    world.ownership = to;
    if changes || world.backs.is_across() {
        world.reigns();
    }
    world.sure(Side::Target);
    Ok(true)
}

/// Makes the next mark, behind which all that was read stays.
fn marked(world: &mut Inner, attempt: i64) -> Result<u64> {
    world.check_attempt(Side::Target, attempt)?;
    match world.broken {
        Broken::MarkSoon => world.soon(Side::Target),
        _ => world.sure(Side::Target),
    }
    world.target.mark += 1;
    Ok(world.target.mark)
}

/// What a store says whose log ends before a position, or has forgotten what is behind it.
pub(in super::super) const NOT_WHOLE: &str = "the log of changes is not whole";

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
            .call_at(self.side, "enter", |world| {
                world.check_attempt(side, attempt)?;
                if side == Side::Target && std::mem::take(&mut world.left) {
                    world.ownership = Ownership::FIRST;
                }
                let store = world.side(side);
                store.entered = true;
                store.attempt = store.attempt.max(attempt);
                world.sure(side);
                Ok(())
            })
            .await
    }

    async fn doubts(&self) -> Result<Vec<usize>> {
        self.world
            .call_at(self.side, "look at the capture", |world| {
                let broken = world.broken;
                let store = world.side(self.side);
                Ok(if broken == Broken::Capture { Vec::new() } else { store.lost.iter().copied().collect() })
            })
            .await
    }

    async fn moved(&self) -> Result<Vec<usize>> {
        self.world
            .call_at(self.side, "look where rows lie", |world| {
                let moved = self.side == Side::Source && has_moved(&world.source, world.broken);
                Ok(if moved { vec![BY_PLACE] } else { Vec::new() })
            })
            .await
    }

    async fn capture(&self, again: &[usize], whole: &[usize]) -> Result<Captured> {
        let attempt = self.world.attempt;
        self.world
            .call_at(self.side, "make the capture", |world| {
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
                let from = match self.side {
                    Side::Source => Position((store.next - 1).to_string()),
                    // Nothing is in the log that counts, and it may have been forgotten.
                    Side::Target => Position(format!("0#{}", store.mark)),
                };
                world.sure(self.side);
                Ok(Captured { from, new })
            })
            .await
    }

    async fn changes(&self, after: &Position, limit: Limit, beside: Option<&Beside>) -> Result<Changes> {
        let (side, attempt) = (self.side, self.world.attempt);
        let mut changes = self
            .world
            .call_at(side, "read changes", |world| {
                let (broken, mark) = (world.broken, mark_of(after));
                check_capture(world.side(side), broken)?;
                let store = world.side(side);
                let (position, after) = (after, sequence(after));
                let lacks = match side {
                    Side::Source => after < store.settled,
                    Side::Target => mark < store.settled_mark,
                };
                let torn = side == Side::Source && (after >= store.next || store.is_of_another_log(after));
                world.check_mark(mark)?;
                if torn || lacks && broken != Broken::Forgotten {
                    return Err(Error::new(Kind::Changed, "read changes").detail(NOT_WHOLE));
                }
                let waiting: Vec<(u64, usize, i64)> =
                    world.side(side).log.iter().filter(|(number, ..)| *number > after).copied().collect();
                let mut taken = waiting.len().min(usize::try_from(limit.entries).unwrap_or(usize::MAX));
                // A reading that ends by the clock.
                if side == Side::Source && limit.time_max < Limit::ANY_TIME && world.dice.one_in(4) {
                    taken = taken.min(1 + world.dice.below(taken as u64) as usize);
                }
                let store = world.side(side);
                let upto = match waiting[..taken].last() {
                    Some((number, ..)) => Position(number.to_string()),
                    None => position.clone(),
                };
                let mut tables = Vec::new();
                for table in 0..TABLES {
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
                Ok(Changes {
                    upto,
                    complete: taken == waiting.len(),
                    entries: taken as u64,
                    behind: (waiting.len() - taken) as u64,
                    tables,
                    beside,
                })
            })
            .await?;
        if side == Side::Target && changes.entries > 0 {
            let mark = self.world.call_at(side, "mark what was read", |world| marked(world, attempt)).await?;
            changes.upto = Position(format!("{}#{mark}", changes.upto.0));
        }
        Ok(changes)
    }

    async fn redefined(&self) -> Result<u64> {
        self.world
            .call_at(self.side, "look at the definitions", |world| {
                // What puts an older state into a file moves its schema's counter; a server's says nothing.
                Ok(if self.side == Side::Source { world.backs.downs[0] } else { 0 })
            })
            .await
    }

    async fn settle(&self, upto: &Position) -> Result<()> {
        let (side, attempt) = (self.side, self.world.attempt);
        self.world
            .call_at(self.side, "forget changes", |world| {
                world.check_attempt(side, attempt)?;
                let more = u64::from(world.broken == Broken::Settle);
                world.check_mark(mark_of(upto))?;
                let store = world.side(side);
                if side == Side::Source && store.is_of_another_log(sequence(upto)) {
                    return Err(Error::new(Kind::Changed, "forget changes").detail(NOT_WHOLE));
                }
                store.settled = store.settled.max(sequence(upto).min(store.next - 1));
                store.settled_mark = store.settled_mark.max(mark_of(upto));
                store.log.retain(|(number, ..)| *number > sequence(upto) + more);
                Ok(())
            })
            .await
    }

    async fn applied(&self) -> Result<Option<Position>> {
        self.world
            .call_at(self.side, "ask for the position", |world| Ok(world.side(self.side).applied.clone()))
            .await
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
        self.world.call_at(self.side, "take changes", |world| taken.take(world, side, attempt)).await
    }

    async fn fetch(&self, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        self.world
            .call_at(self.side, "look rows up", |world| {
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
        self.world
            .call_at(self.side, "count rows", |world| Ok(world.side(self.side).data[table].len() as u64))
            .await
    }

    async fn fence(&self, _: Duration) -> Result<Fenced> {
        let (side, attempt) = (self.side, self.world.attempt);
        self.world.look().fail_over(false);
        if side == Side::Target && (self.world.is_late() || self.world.is_fence_late()) {
            return self.world.later("fence", move |world| fenced(world, side, attempt));
        }
        self.world.call_at(self.side, "fence", |world| fenced(world, side, attempt)).await
    }

    async fn unfence(&self) -> Result<()> {
        let (side, attempt) = (self.side, self.world.attempt);
        self.world
            .call_at(self.side, "open", |world| {
                world.check_attempt(side, attempt)?;
                world.side(side).fenced = false;
                world.sure(side);
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
            .call_at(self.side, "leave", |world| {
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
                store.another_log();
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
            .call_at(self.side, "drop repeats", |world| {
                world.check_attempt(Side::Target, attempt)?;
                let applied = world.target.applied.as_ref().map_or(0, sequence);
                for (table, key) in std::mem::take(&mut world.repeats) {
                    let logged = |(number, at, other): &(u64, usize, i64)| {
                        *number > applied && (*at, *other) == (table, key)
                    };
                    if !world.source.log.iter().any(logged) && !world.backs.any() {
                        world.violations.push(format!("{table}/{key} came twice and is in no log"));
                    }
                }
                Ok(())
            })
            .await
    }

    async fn ownership(&self) -> Result<Ownership> {
        self.world.call_at(self.side, "read the decision row", |world| Ok(world.ownership)).await
    }

    async fn left(&self) -> Result<bool> {
        self.world
            .call_at(self.side, "look whether the run was left", |world| {
                Ok(world.left && world.broken != Broken::Left)
            })
            .await
    }

    async fn decide(&self, from: &Ownership, to: &Ownership, _: &[(usize, i64)]) -> Result<bool> {
        let (from, to, attempt) = (*from, *to, self.world.attempt);
        self.world.look().fail_over(from.pending && to.owner != from.owner);
        if self.world.is_late() {
            return self.world.later("decide", move |world| decided(world, from, to, attempt));
        }
        self.world.call_at(self.side, "decide", |world| decided(world, from, to, attempt)).await
    }

    async fn follow(&self) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call_at(self.side, "follow again", |world| {
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
            .call_at(self.side, "send tables back to copy", |world| {
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
                if tables.len() == TABLES {
                    world.target.applied = None;
                }
                Ok(())
            })
            .await
    }
}
