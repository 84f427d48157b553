//! Which records of written ids there are, in a way that needs no listing: before each of them, a `note` of its id goes into
//! `Switchover_before`, under the next number of its collection and its attempt. Their own ids can be computed, so a rollback asks for
//! those one by one that are not listed, and knows whether it is shown all that was written.
//!
//! Invariant: the numbers of an attempt have no gaps, since one is taken when the one before it is there. A note whose record is not
//! there belongs to a process that was stopped between the two, before it sent those objects.

use super::before::{BEFORE, Id, PAGE, packed, unpacked};
use super::client::Client;
use super::ledger::{self, Of};
use std::collections::{HashMap, HashSet};
use switchover_core::Result;
use tokio::sync::Mutex;

/// The numbers that an attempt takes, over all of its streams. Who only mends is none, and goes on behind whoever mended before.
#[derive(Debug, Default)]
pub(super) struct Notes {
    attempt: i64,
    next: Mutex<HashMap<String, Next>>,
}

/// The next number of a collection.
#[derive(Debug, Clone, Copy, Default)]
struct Next {
    number: u64,
    /// Whether nothing has that number, for certain.
    is_free: bool,
}

impl Notes {
    pub(super) fn of(attempt: i64) -> Notes {
        Notes { attempt, next: Mutex::default() }
    }

    /// Notes that a record of written ids is about to be there.
    pub(super) async fn note(&self, client: &Client, run: &str, name: &str, record: Id) -> Result<()> {
        let mut next = self.next.lock().await;
        let Next { mut number, is_free } = next.get(name).copied().unwrap_or_default();
        while !is_free && is_there(client, run, name, self.attempt, number)? {
            number += 1;
        }
        // Where its answer is lost, it may be taken.
        next.insert(name.to_owned(), Next { number, is_free: false });
        let key = key(name, self.attempt, number);
        ledger::put_past_batches(client, BEFORE, run, Of::Note, &key, &packed(&[record])).await?;
        next.insert(name.to_owned(), Next { number: number + 1, is_free: true });
        Ok(())
    }
}

fn key(name: &str, attempt: i64, number: u64) -> String {
    format!("{name}/{attempt}-{number}")
}

fn is_there(client: &Client, run: &str, name: &str, attempt: i64, number: u64) -> Result<bool> {
    let id = ledger::id(run, Of::Note, &key(name, attempt, number));
    Ok(client.object_text(BEFORE, &id)?.is_some())
}

/// That all records of what a run wrote into a collection are listed, by its listed notes; it began so many attempts.
///
/// # Errors
/// `Unavailable` where one is there and not listed.
pub(super) async fn lists_all(
    client: &Client,
    run: &str,
    name: &str,
    attempts: i64,
    notes: &[Id],
    wrote: &[Id],
) -> Result<()> {
    let missing = |what: &str| {
        let why = format!(
            "the server has {what} of what the run wrote into {name}, and does not list it in {BEFORE}"
        );
        Err(ledger::missing(client, why))
    };
    let listed: HashSet<&Id> = notes.iter().collect();
    let mut known = 0;
    for attempt in 0..=attempts {
        let mut number = 0;
        while listed.contains(&ledger::id(run, Of::Note, &key(name, attempt, number))) {
            number += 1;
        }
        if is_there(client, run, name, attempt, number)? {
            return missing("a note");
        }
        known += number;
    }
    if known != notes.len() as u64 {
        return missing("a note");
    }
    let listed: HashSet<&Id> = wrote.iter().collect();
    for notes in notes.chunks(PAGE) {
        for note in ledger::bodies(client, BEFORE, notes).await? {
            for id in unpacked(&note)?.iter().filter(|id| !listed.contains(id)) {
                if client.object_text(BEFORE, id)?.is_some() {
                    return missing("a record");
                }
            }
        }
    }
    Ok(())
}
