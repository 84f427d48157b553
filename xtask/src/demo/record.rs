//! The record of acknowledged writes: what the application was told was written, by its own writing.
//!
//! Invariant: the record is made by the application and read here; neither knows the migration. What is lost is found by
//! doing all recorded changes again in memory and comparing with what the owner holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::Result;

/// A store of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    pub(super) fn name(self) -> &'static str {
        match self {
            Store::Sqlite => "SQLite",
            Store::Postgres => "PostgreSQL",
        }
    }
}

/// What a write makes of a message: a text, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: String,
    pub(super) text: Option<String>,
}

impl Change {
    /// The line of the record.
    pub(super) fn line(&self, at: u128, store: Store) -> String {
        let text = self.text.as_deref().unwrap_or_default();
        format!("{at}\t{}\t{}\t{text}\n", store.name(), self.id)
    }
}

/// One acknowledgement.
#[derive(Debug, Clone)]
struct Ack {
    /// Microseconds since 1970.
    at: u64,
    store: Store,
    change: Change,
}

/// The file of a writer.
pub(super) fn file_of(folder: &Path, writer: u64) -> PathBuf {
    folder.join(format!("acknowledged-{writer}.tsv"))
}

/// The record as far as it was read.
pub(super) struct Record {
    files: Vec<(PathBuf, u64)>,
    acks: Vec<Ack>,
}

impl Record {
    pub(super) fn of(folder: &Path, writers: u64) -> Record {
        let files = (0..writers).map(|writer| (file_of(folder, writer), 0)).collect();
        Record { files, acks: Vec::new() }
    }

    /// Reads what was added; gives how many acknowledgements there are.
    pub(super) fn read_on(&mut self) -> Result<usize> {
        for (path, offset) in &mut self.files {
            if !path.exists() {
                continue;
            }
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(*offset))?;
            let mut lines = BufReader::new(file);
            let mut line = String::new();
            // A line without its end is being written.
            while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
                *offset += line.len() as u64;
                self.acks.push(parse(&line).ok_or_else(|| format!("no acknowledgement: {line}"))?);
                line.clear();
            }
        }
        Ok(self.acks.len())
    }

    /// Where the owner changed: the store that took the next write, and the milliseconds for which none was taken.
    pub(super) fn changes_of_owner(&self) -> Vec<(Store, f64)> {
        let mut times: Vec<(u64, Store)> = self.acks.iter().map(|ack| (ack.at, ack.store)).collect();
        times.sort_unstable_by_key(|(at, _)| *at);
        times
            .windows(2)
            .filter(|pair| pair[0].1 != pair[1].1)
            .map(|pair| (pair[1].1, (pair[1].0 - pair[0].0) as f64 / 1e3))
            .collect()
    }

    /// How many messages are not as the last acknowledged write left them, given all that the owner holds.
    pub(super) fn lost(&self, held: &BTreeMap<String, String>) -> usize {
        let mut last: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        // Each message has one writer, and each writer's acknowledgements are in their order.
        for ack in &self.acks {
            last.insert(&ack.change.id, ack.change.text.as_deref());
        }
        let changed = last.iter().filter(|(id, text)| held.get(**id).map(String::as_str) != **text);
        let known: BTreeSet<&str> = last.keys().copied().collect();
        let strange = held.keys().filter(|id| !known.contains(id.as_str()));
        changed.count() + strange.count()
    }
}

fn parse(line: &str) -> Option<Ack> {
    let mut cells = line.trim_end_matches('\n').splitn(4, '\t');
    let at = cells.next()?.parse().ok()?;
    let store = match cells.next()? {
        "SQLite" => Store::Sqlite,
        "PostgreSQL" => Store::Postgres,
        _ => return None,
    };
    let (id, text) = (cells.next()?.to_owned(), cells.next()?);
    Some(Ack { at, store, change: Change { id, text: (!text.is_empty()).then(|| text.to_owned()) } })
}

#[cfg(test)]
mod tests {
    //! That a loss is seen: each kind of it once.
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn record(lines: &[(u128, Store, &str, &str)]) -> Record {
        let line = |&(at, store, id, text): &(u128, Store, &str, &str)| {
            let text = (!text.is_empty()).then(|| text.to_owned());
            parse(&Change { id: id.into(), text }.line(at, store)).unwrap()
        };
        Record { files: Vec::new(), acks: lines.iter().map(line).collect() }
    }

    #[test]
    fn every_kind_of_loss_is_counted() {
        use Store::{Postgres, Sqlite};
        let record = record(&[
            (1_000, Sqlite, "a", "first"),
            (2_000, Sqlite, "b", "second"),
            (9_500, Postgres, "a", "edited"),
            (9_600, Postgres, "b", ""),
        ]);
        let held = |rows: &[(&str, &str)]| {
            record.lost(&rows.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect())
        };
        assert_eq!(held(&[("a", "edited")]), 0);
        assert_eq!(held(&[("a", "first")]), 1, "an edit");
        assert_eq!(held(&[]), 1, "a message");
        assert_eq!(held(&[("a", "edited"), ("b", "second")]), 1, "a deletion");
        assert_eq!(held(&[("a", "edited"), ("c", "?")]), 1, "a message that nobody wrote");
        assert_eq!(record.changes_of_owner(), [(Postgres, 7.5)]);
    }
}
