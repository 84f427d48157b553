//! What came by a line to a Weaviate: batches of objects, when each came and how many were under way at once, and how
//! often objects were asked for, and how much came of it.
//!
//! Absent on purpose: batches of the runs' own collections, which have batches of their own behind those of the application's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::wire::{fields, message};

/// Names of collections that begin so are the runs' own.
const OWN: &str = "Switchover_";

/// A batch of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When it came.
    pub at: Instant,
    /// The collection of its objects.
    pub collection: String,
    /// How many there are.
    pub objects: usize,
    /// Its bytes.
    pub bytes: usize,
    /// Whether the line refused it.
    pub refused: bool,
}

/// What was read of a collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Read {
    /// Questions.
    pub questions: u64,
    /// Bytes of their answers.
    pub bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    sent: Vec<Sent>,
    under_way: usize,
    most: usize,
    by_id: BTreeMap<String, u64>,
    read: BTreeMap<String, Read>,
}

/// A batch on its way, until it is dropped.
pub(super) struct UnderWay<'s>(&'s Seen);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.change(|all| all.under_way -= 1);
    }
}

/// The collection of a batch's first object.
pub(super) fn collection_of(batch: &Bytes) -> Option<String> {
    let first = fields(&message(batch)).into_iter().find(|field| field.number == 1)?;
    let place = fields(&first.body).into_iter().find(|field| field.number == 4)?;
    Some(String::from_utf8_lossy(&place.body).into_owned())
}

impl Seen {
    fn change<T>(&self, change: impl FnOnce(&mut All) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a batch, unless it is of a run's own; `refused` says whether it goes no further.
    pub(super) fn batch(
        &self,
        batch: &Bytes,
        refused: impl FnOnce() -> bool,
    ) -> Option<(UnderWay<'_>, bool)> {
        let collection = collection_of(batch).filter(|name| !name.starts_with(OWN))?;
        let objects = fields(&message(batch)).iter().filter(|field| field.number == 1).count();
        let refused = refused();
        self.change(|all| {
            all.sent.push(Sent { at: Instant::now(), collection, objects, bytes: batch.len(), refused });
            all.under_way += 1;
            all.most = all.most.max(all.under_way);
        });
        Some((UnderWay(self), refused))
    }

    /// Notes a question and the length of its answer: one with a filter is for objects by their ids.
    pub(super) fn page(&self, collection: &[u8], asked: &Bytes, bytes: usize) {
        let is_by_id = fields(&message(asked)).iter().any(|field| field.number == 40);
        let name = String::from_utf8_lossy(collection).into_owned();
        self.change(|all| {
            let read = all.read.entry(name.clone()).or_default();
            read.questions += 1;
            read.bytes += bytes;
            if is_by_id {
                *all.by_id.entry(name).or_default() += 1;
            }
        });
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.change(|all| all.sent.clone())
    }

    pub(super) fn most(&self) -> usize {
        self.change(|all| all.most)
    }

    pub(super) fn read(&self, collection: &str) -> Read {
        self.change(|all| all.read.get(collection).copied().unwrap_or_default())
    }

    pub(super) fn by_id(&self, collection: &str) -> u64 {
        self.change(|all| all.by_id.get(collection).copied().unwrap_or_default())
    }
}
