//! Writes that are under way, and what was written lately.
//!
//! Invariants: a write is counted from its permit to its end; what is forgotten for want of room counts as written just now, so a bound
//! on memory costs reads at the follower, never a stale one.

use super::decide::Term;
use std::collections::{BTreeMap, HashMap};

/// The writes under way, by the term of their permit.
#[derive(Debug, Default)]
pub(super) struct UnderWay(BTreeMap<Term, usize>);

impl UnderWay {
    pub(super) fn begin(&mut self, term: Term) {
        *self.0.entry(term).or_default() += 1;
    }

    pub(super) fn end(&mut self, term: &Term) {
        if let Some(count) = self.0.get_mut(term) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(term);
            }
        }
    }

    /// Writes of any other term.
    pub(super) fn not_of(&self, term: &Term) -> usize {
        self.0.iter().filter(|(other, _)| *other != term).map(|(_, count)| count).sum()
    }
}

/// When keys were last written, in microseconds since 1970.
#[derive(Debug)]
pub(super) struct Written {
    at: HashMap<u64, u64>,
    /// By time; an entry that is not the newest of its key is passed over.
    order: BTreeMap<(u64, u64), ()>,
    /// A key that is not known was written at the latest then.
    forgotten: Option<u64>,
    most: usize,
}

impl Written {
    /// Remembers so many keys.
    pub(super) fn new(most: usize) -> Written {
        Written { at: HashMap::new(), order: BTreeMap::new(), forgotten: None, most }
    }

    pub(super) fn note(&mut self, key: u64, now: u64) {
        let now = match self.at.insert(key, now) {
            Some(before) => {
                self.order.remove(&(before, key));
                // A clock that was set back makes nothing older.
                let latest = now.max(before);
                self.at.insert(key, latest);
                latest
            }
            None => now,
        };
        self.order.insert((now, key), ());
        while self.at.len() > self.most {
            let Some(((oldest, key), ())) = self.order.pop_first() else { break };
            self.at.remove(&key);
            self.forgotten = self.forgotten.max(Some(oldest));
        }
    }

    /// The time that a read of this key must see.
    pub(super) fn of(&self, key: u64) -> Option<u64> {
        self.at.get(&key).copied().max(self.forgotten)
    }

    /// Forgets what the follower has.
    pub(super) fn arrived(&mut self, upto: u64) {
        let later = self.order.split_off(&(upto, 0));
        for (_, key) in std::mem::replace(&mut self.order, later).into_keys() {
            self.at.remove(&key);
        }
        self.forgotten = self.forgotten.filter(|forgotten| *forgotten >= upto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a list that forgets nothing: the answer is never earlier than the truth, unless it has arrived.
        #[test]
        fn what_was_written_is_never_made_older(steps in prop::collection::vec((0u64..8, 1u64..50, any::<bool>()), 0..60)) {
            let (mut written, mut all, mut arrived) = (Written::new(3), HashMap::<u64, u64>::new(), 0);
            for (key, at, note) in steps {
                if note {
                    written.note(key, at);
                    let latest = all.entry(key).or_default();
                    *latest = (*latest).max(at);
                } else {
                    written.arrived(at);
                    arrived = arrived.max(at);
                }
                prop_assert!(written.at.len() <= 3 && written.at.len() == written.order.len());
                for (key, at) in &all {
                    prop_assert!(written.of(*key) >= Some(*at) || *at < arrived, "{} {}", key, at);
                }
            }
        }
    }
}
