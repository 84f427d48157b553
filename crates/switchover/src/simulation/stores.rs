//! The modelled stores behind the production traits.

use super::plan::{BY_PLACE, PLACE};
use super::world::{Broken, Inner, Row, Side1, World, is_unique};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use switchover_core::chunk::{Checkpoint, LocatorValue};
use switchover_core::connector::{
    Audit, Batch, BuildStage, BuildStep, ChunkWrite, Claim, Dialect, Mend, Offenders, Position, Quarantined,
    ReadRequest, Reader, Snapshot, Target, TargetState, Writer, Written,
};
use switchover_core::live::{
    Beside, Captured, Changes, Fenced, Limit, LiveStage, LiveStore, LiveTarget, Ownership, Pressure, Seen,
    Side, TableChanges,
};
use switchover_core::plan::{Plan, Refusal};
use switchover_core::schema::{Catalog, ForeignKey, Locator, Table};
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Result};

/// Rows of one chunk: few, so that little data is many chunks.
const CHUNK_ROWS: usize = 4;

/// One of the two stores, as one engine process reaches it.
pub(super) struct Store {
    pub(super) world: World,
    pub(super) side: Side,
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(Kind::Internal, "be a model").detail("the model does not have this"))
}

fn push(rows: &mut Rows, key: i64, row: Row) {
    [key, row.unique, row.value].into_iter().for_each(|value| rows.push(Value::Int(value)));
}

fn number(value: Value<'_>) -> i64 {
    match value {
        Value::Int(value) => value,
        _ => i64::MIN,
    }
}

fn key_of(key: &[OwnedValue]) -> i64 {
    key.first().map_or(i64::MIN, |value| number(value.borrow()))
}

fn index_of(name: &str) -> usize {
    usize::from(name == "part")
}

fn read_rows(store: &Side1, request: &ReadRequest, mut rows: Rows) -> Batch {
    rows.reset(1, 3);
    let after = request.range.after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key_of(key)));
    let upto = request.range.upto.as_ref().map_or(Bound::Unbounded, |key| Bound::Included(key_of(key)));
    let empty = matches!((after, upto), (Bound::Excluded(a), Bound::Included(b)) if a >= b);
    let table = index_of(&request.table.name);
    let place = |key: &i64| match is_by_place(request) {
        true => store.places[table].get(key).copied().unwrap_or(i64::MAX),
        false => *key,
    };
    let lying: BTreeMap<i64, i64> = store.data[table].keys().map(|key| (place(key), *key)).collect();
    let mut last = None;
    let mut done = true;
    if !empty {
        for (place, key) in lying.range((after, upto)) {
            if rows.len() == CHUNK_ROWS {
                done = false;
                break;
            }
            rows.push(Value::Int(*place));
            push(&mut rows, *key, store.data[table][key]);
            last = Some(vec![OwnedValue::Int(*place)]);
        }
    }
    Batch { rows, last, done }
}

/// Whether rows are read in the order in which they lie, and not in that of their keys.
fn is_by_place(request: &ReadRequest) -> bool {
    matches!(&request.table.locator, Locator::RowId(name) if name == PLACE)
}

/// The model's source as the copy reads it.
pub(super) struct Passing(pub(super) World);

#[async_trait]
impl Snapshot for Passing {
    fn position(&self) -> Position {
        Position(String::new())
    }

    async fn catalog(&self) -> Result<Catalog> {
        unsupported()
    }

    async fn read(&self, request: ReadRequest, rows: Rows) -> Result<Batch> {
        self.0
            .call("read rows", |world| {
                check_capture(&world.source, world.broken)?;
                let often = world.vacuum;
                if world.dice.one_in(often) {
                    world.source.vacuum();
                }
                if is_by_place(&request) && has_moved(&world.source, world.broken) {
                    return Err(Error::new(Kind::Changed, "read rows").detail("rows lie elsewhere"));
                }
                Ok(read_rows(&world.source, &request, rows))
            })
            .await
    }

    async fn count(&self, _: &str) -> Result<u64> {
        unsupported()
    }

    async fn orphans(&self, _: &Table, _: &ForeignKey, _: usize) -> Result<Offenders> {
        unsupported()
    }

    async fn duplicates(&self, _: &Table, _: &[(String, String)], _: usize) -> Result<Offenders> {
        unsupported()
    }

    async fn fetch(
        &self,
        _: &switchover_core::connector::ReadTable,
        _: &LocatorValue,
    ) -> Result<Option<Vec<OwnedValue>>> {
        unsupported()
    }
}

fn check_capture(store: &Side1, broken: Broken) -> Result<()> {
    if store.lost.is_empty() || broken == Broken::Capture {
        return Ok(());
    }
    Err(Error::new(Kind::Changed, "read changes").detail("a trigger is gone"))
}

fn has_moved(source: &Side1, broken: Broken) -> bool {
    source.captured && source.vacuums != source.vacuums_known && broken != Broken::Places
}

fn sequence(position: &Position) -> u64 {
    position.0.parse().unwrap_or(0)
}

/// Changes on their way, which may arrive when nobody waits for them any more.
struct Taken {
    keys: Vec<(usize, i64)>,
    rows: Vec<(usize, i64, Row)>,
    after: Option<Position>,
    upto: Position,
}

impl Taken {
    fn of(changes: &Changes, after: Option<&Position>) -> Taken {
        let mut taken =
            Taken { keys: Vec::new(), rows: Vec::new(), after: after.cloned(), upto: changes.upto.clone() };
        for changed in &changes.tables {
            taken.keys.extend(changed.keys.iter().map(|key| (changed.table, key_of(key))));
            for row in changed.rows.iter() {
                let [key, unique, value] = [0, 1, 2].map(|at| number(row.value(at)));
                taken.rows.push((changed.table, key, Row { unique, value }));
            }
        }
        taken
    }

    fn take(self, world: &mut Inner, side: Side, attempt: i64) -> Result<()> {
        world.check_attempt(side, attempt)?;
        let (uniques, broken) = (world.uniques || side == Side::Source, world.broken);
        let store = world.side(side);
        if store.applied != self.after && broken != Broken::Position {
            return Err(Error::new(Kind::Changed, "take changes").detail("the position is another"));
        }
        let mut data = store.data.clone();
        if broken != Broken::Deletes {
            for (table, key) in &self.keys {
                data[*table].remove(key);
            }
        }
        for (table, key, row) in self.rows {
            data[table].insert(key, row);
        }
        if uniques && !is_unique(&data) {
            return Err(Error::new(Kind::Rejected, "take changes").detail("a unique value is there"));
        }
        store.data = data;
        store.lie();
        store.applied = Some(self.upto);
        Ok(())
    }
}

/// How late a request can come to a target without transactions, and how long an engine waits for that.
const LATE: Duration = Duration::from_secs(2);

impl Store {
    /// A request that writes objects: nothing orders it, and nobody is asked whether the engine may still write.
    async fn write_objects(&self, objects: Vec<(usize, i64, Option<Row>)>) -> Result<()> {
        let write = move |world: &mut Inner| {
            for (table, key, row) in objects {
                match row {
                    Some(row) => drop(world.target.data[table].insert(key, row)),
                    None if world.broken == Broken::Deletes => {}
                    None => drop(world.target.data[table].remove(&key)),
                }
            }
            Ok(())
        };
        if !self.world.is_late() {
            return self.world.call("write objects", write).await;
        }
        let lost = self.world.within(LATE, "write objects", write);
        let (dies, waits) = {
            let mut world = self.world.look();
            (world.dice.one_in(3), world.broken != Broken::Late)
        };
        if dies {
            self.world.die().await;
        }
        if waits {
            tokio::time::sleep(LATE).await;
        }
        lost
    }

    /// Takes changes request by request, and then the position.
    async fn take_loosely(&self, taken: Taken) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call("look at the position", |world| {
                world.check_attempt(Side::Target, attempt)?;
                if world.target.applied != taken.after && world.broken != Broken::Position {
                    return Err(Error::new(Kind::Changed, "take changes").detail("the position is another"));
                }
                Ok(())
            })
            .await?;
        let row = |(table, key): &(usize, i64)| {
            let found = taken.rows.iter().find(|(at, own, _)| (at, own) == (table, key));
            (*table, *key, found.map(|(_, _, row)| *row))
        };
        let (one, other) = taken.keys.split_at(taken.keys.len() / 2);
        self.write_objects(one.iter().map(row).collect()).await?;
        self.write_objects(other.iter().map(row).collect()).await?;
        self.world
            .call("write the position", |world| {
                world.target.applied = Some(taken.upto);
                Ok(())
            })
            .await
    }
}

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

    async fn capture(&self, dealt: &[usize]) -> Result<Captured> {
        let attempt = self.world.attempt;
        self.world
            .call("make the capture", |world| {
                world.check_attempt(self.side, attempt)?;
                let broken = world.broken;
                let store = world.side(self.side);
                if store.lost.iter().any(|table| !dealt.contains(table)) && broken != Broken::Capture {
                    return Err(Error::new(Kind::Changed, "make the capture").detail("a trigger is gone"));
                }
                if has_moved(store, broken) && !dealt.contains(&BY_PLACE) {
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
                let taken = waiting.len().min(usize::try_from(limit.entries).unwrap_or(usize::MAX));
                let upto = match (side, waiting[..taken].last()) {
                    (Side::Source, Some((number, ..))) => Position(number.to_string()),
                    (Side::Source, None) => Position(after.to_string()),
                    (Side::Target, Some(_)) => Position(token.to_string()),
                    (Side::Target, None) => Position(after.to_string()),
                };
                let mut tables = Vec::new();
                for table in 0..super::world::TABLES {
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
        self.world.call("read checkpoints", |world| Ok(world.checkpoints.clone())).await
    }

    fn build_steps(&self, _: &Plan) -> Vec<BuildStep> {
        Vec::new()
    }

    async fn build(&self, _: &Plan, _: &str, step: &BuildStep) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call("carry a step out", |world| {
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

    async fn quarantined(&self, _: &Plan, _: usize) -> Result<Vec<Quarantined>> {
        Ok(Vec::new())
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
            .call("discard", |world| {
                world.check_attempt(Side::Target, attempt)?;
                world.target = Side1 { next: 1, attempt, ..Side1::default() };
                world.checkpoints.clear();
                world.repeats.clear();
                world.steps.clear();
                Ok(true)
            })
            .await
    }

    async fn forget(&self, _: &str) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call("forget", |world| {
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
            .call("write a chunk", |world| {
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
pub(super) struct Hold {
    pub(super) world: World,
}

#[async_trait]
impl Claim for Hold {
    async fn check(&self) -> Result<()> {
        let attempt = self.world.attempt;
        self.world.call("check the hold", |world| world.check_attempt(Side::Target, attempt)).await
    }
}
