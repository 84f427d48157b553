//! What the application did, operation by operation, and what the data must therefore be.
//!
//! Every transaction takes the next number of a counter that is part of the data, and writes its own name beside
//! it. So the order of all transactions is known whichever store took them, and whoever's answer was lost: a name that is
//! there was carried out, once, at its number. The replay shares no code with the product.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A random number generator that repeats itself: SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Keys of items and of children: few, so that writers meet.
const KEYS: u64 = 300;

/// One operation of the application: one transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// A new row; refused when key or unique value is there.
    Insert { id: i64, u: i64, v: i64 },
    /// `REPLACE`: whoever has the key or the unique value goes.
    Replace { id: i64, u: i64, v: i64 },
    /// A new value.
    Set { id: i64, v: i64 },
    /// Another key; children follow.
    Move { id: i64, to: i64 },
    /// Two rows change their unique values.
    Swap { a: i64, b: i64 },
    /// A row goes, its children with it.
    Delete { id: i64 },
    /// A child; refused without its parent.
    Child { id: i64, item: i64 },
    /// Something that a savepoint takes back, and something that stays.
    Savepoint { id: i64, v: i64 },
    /// Several rows.
    Many { ids: Vec<i64>, v: i64 },
}

impl Op {
    pub(crate) fn random(dice: &mut Dice) -> Op {
        let kind = dice.below(12);
        let mut key = || dice.below(KEYS).cast_signed() + 1;
        let (id, other) = (key(), key());
        let (u, v) = (dice.below(KEYS * 2).cast_signed(), dice.below(1 << 40).cast_signed());
        match kind {
            0 | 1 => Op::Insert { id, u, v },
            2 | 3 => Op::Replace { id, u, v },
            4 | 5 => Op::Set { id, v },
            6 => Op::Move { id, to: other },
            7 => Op::Swap { a: id, b: other },
            8 => Op::Delete { id },
            9 => Op::Child { id: v % 1_000, item: id },
            10 => Op::Savepoint { id, v },
            _ => Op::Many { ids: (0..5).map(|_| dice.below(KEYS).cast_signed() + 1).collect(), v },
        }
    }

    /// Its statements, which are the same in both languages.
    pub(crate) fn statements(&self) -> Vec<String> {
        match self {
            Op::Insert { id, u, v } => vec![format!("INSERT INTO item (id, u, v) VALUES ({id}, {u}, {v})")],
            // Only SQLite has the word: see `sqlite_statements`.
            Op::Replace { id, u, v } => vec![
                format!("DELETE FROM item WHERE id = {id} OR u = {u}"),
                format!("INSERT INTO item (id, u, v) VALUES ({id}, {u}, {v})"),
            ],
            Op::Set { id, v } => vec![format!("UPDATE item SET v = {v} WHERE id = {id}")],
            Op::Move { id, to } => vec![format!("UPDATE item SET id = {to} WHERE id = {id}")],
            // What the rows hold must be known: the writer asks.
            Op::Swap { .. } => Vec::new(),
            Op::Delete { id } => vec![format!("DELETE FROM item WHERE id = {id}")],
            Op::Child { id, item } => vec![format!("INSERT INTO child (id, item) VALUES ({id}, {item})")],
            Op::Savepoint { id, v } => vec![
                "SAVEPOINT s".into(),
                format!("UPDATE item SET v = -1 WHERE id <= {id}"),
                format!("DELETE FROM child WHERE item = {id}"),
                "ROLLBACK TO SAVEPOINT s".into(),
                format!("UPDATE item SET v = {v} WHERE id = {id}"),
                "RELEASE SAVEPOINT s".into(),
            ],
            Op::Many { ids, v } => {
                ids.iter().map(|id| format!("UPDATE item SET v = {v} + {id} WHERE id = {id}")).collect()
            }
        }
    }
}

/// What the tables hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) items: BTreeMap<i64, (i64, i64)>,
    pub(crate) children: BTreeMap<i64, i64>,
}

impl Model {
    fn remove(&mut self, id: i64) {
        self.items.remove(&id);
        self.children.retain(|_, item| *item != id);
    }

    /// Carries an operation out that a store carried out.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Insert { id, u, v } => {
                self.items.insert(*id, (*u, *v));
            }
            Op::Replace { id, u, v } => {
                let gone: Vec<i64> = self
                    .items
                    .iter()
                    .filter(|(key, row)| *key == id || row.0 == *u)
                    .map(|(key, _)| *key)
                    .collect();
                gone.into_iter().for_each(|key| self.remove(key));
                self.items.insert(*id, (*u, *v));
            }
            Op::Set { id, v } | Op::Savepoint { id, v } => {
                if let Some(row) = self.items.get_mut(id) {
                    row.1 = *v;
                }
            }
            Op::Move { id, to } => {
                if let Some(row) = self.items.remove(id) {
                    self.items.insert(*to, row);
                    self.children.values_mut().filter(|item| *item == id).for_each(|item| *item = *to);
                }
            }
            Op::Swap { a, b } => {
                if let (Some(one), Some(two)) = (self.items.get(a).copied(), self.items.get(b).copied()) {
                    self.items.insert(*a, (two.0, one.1));
                    self.items.insert(*b, (one.0, two.1));
                }
            }
            Op::Delete { id } => self.remove(*id),
            Op::Child { id, item } => {
                self.children.insert(*id, *item);
            }
            Op::Many { ids, v } => {
                for id in ids {
                    if let Some(row) = self.items.get_mut(id) {
                        row.1 = v + id;
                    }
                }
            }
        }
    }
}

/// What became of an operation, as its writer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    Done,
    Refused,
    Unknown,
}

/// One line of a writer's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) told: Told,
    pub(crate) store: String,
}

/// Compares the writers' records with what the owner holds.
///
/// `names` are the names that the owner holds, by number; `switches` is how often the owner changed.
pub(crate) fn judge(
    entries: &[Entry],
    names: &BTreeMap<i64, String>,
    start: Model,
    found: &Model,
    switches: usize,
) -> Result<[usize; 3], String> {
    let by_name: BTreeMap<&str, &Entry> = entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let there: BTreeSet<&str> = names.values().map(String::as_str).collect();
    if there.len() != names.len() {
        return Err("an operation is there twice".into());
    }
    let mut count = [0; 3];
    for entry in entries {
        count[entry.told as usize] += 1;
        match (entry.told, there.contains(entry.name.as_str())) {
            (Told::Done, false) => return Err(format!("acknowledged, and lost: {entry:?}")),
            (Told::Refused, true) => return Err(format!("refused, and there: {entry:?}")),
            _ => {}
        }
    }
    if let Some((last, _)) = names.last_key_value()
        && usize::try_from(*last) != Ok(names.len())
    {
        return Err(format!("the numbers end at {last}, and there are {}", names.len()));
    }
    let mut model = start;
    let mut stores: Vec<&str> = Vec::new();
    for name in names.values() {
        let entry = by_name.get(name.as_str()).ok_or_else(|| format!("nobody wrote {name}"))?;
        model.apply(&entry.op);
        if stores.last() != Some(&entry.store.as_str()) {
            stores.push(&entry.store);
        }
    }
    if stores.len() > switches + 1 {
        return Err(format!(
            "the owner changed {switches} times, and the stores took writes in turns: {stores:?}"
        ));
    }
    if model != *found {
        let items: Vec<_> =
            model.items.iter().filter(|(id, row)| found.items.get(id) != Some(row)).take(3).collect();
        return Err(format!(
            "the data is not what the operations make of it: {} items for {}, {} children for {}, such as {items:?}",
            found.items.len(),
            model.items.len(),
            found.children.len(),
            model.children.len()
        ));
    }
    Ok(count)
}
