//! Changes on their way to a store, in one transaction or, where it has none, request by request.

use super::super::world::{Broken, Inner, Row, is_unique};
use super::{Store, key_of, number};
use std::time::Duration;
use switchover_core::connector::Position;
use switchover_core::live::{Changes, Side};
use switchover_core::{Error, Kind, Result};

/// Changes on their way, which may arrive when nobody waits for them any more.
pub(super) struct Taken {
    keys: Vec<(usize, i64)>,
    rows: Vec<(usize, i64, Row)>,
    after: Option<Position>,
    upto: Position,
}

impl Taken {
    pub(super) fn of(changes: &Changes, after: Option<&Position>) -> Taken {
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

    pub(super) fn take(self, world: &mut Inner, side: Side, attempt: i64) -> Result<()> {
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
        world.sure(side);
        Ok(())
    }
}

/// How late a request can come to a target without transactions, and how long an engine waits for that.
pub(super) const LATE: Duration = Duration::from_secs(2);

impl Store {
    /// A request that writes objects: nothing orders it, and nobody is asked whether the engine may still write.
    pub(super) async fn write_objects(&self, objects: Vec<(usize, i64, Option<Row>)>) -> Result<()> {
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
            return self.world.call_at(self.side, "write objects", write).await;
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
    pub(super) async fn take_loosely(&self, taken: Taken) -> Result<()> {
        let attempt = self.world.attempt;
        self.world
            .call_at(self.side, "look at the position", |world| {
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
            .call_at(self.side, "write the position", |world| {
                world.target.applied = Some(taken.upto);
                Ok(())
            })
            .await
    }
}
