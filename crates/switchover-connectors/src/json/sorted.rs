//! Keys of rows in the order of their hashes, in bounded memory: what finds duplicates and orphans.
//!
//! Keys enter as 128-bit hashes with their row's number. Beyond [`RUN_ENTRIES`] they go to a file without a name as
//! sorted runs, which are merged when they are read. Two keys are held for one only if their hashes meet
//! (2^-128 a pair), as the engine's own digests do.

use super::input::read_at;
use super::place::OPERATION;
use crate::sidecar::io_error;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::sync::Arc;
use switchover_core::Result;

/// Entries that are sorted in memory: 4 MiB of them.
const RUN_ENTRIES: usize = 128 << 10;

/// Bytes of an entry in the file.
const ENTRY_BYTES: usize = 24;

/// Bytes that are read of each run at a time: ten million keys are 80 runs, and 5 MiB of buffers.
const RUN_BUFFER_BYTES: usize = 64 << 10;

/// A key's hash and its row's number.
type Entry = (u128, u64);

/// Takes keys in any order.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    run: Vec<Entry>,
    file: Option<BufWriter<File>>,
    /// How many entries each run of the file has.
    runs: Vec<u64>,
}

impl Sorter {
    /// Takes a key.
    pub(super) fn push(&mut self, hash: u128, row: u64) -> Result<()> {
        self.run.push((hash, row));
        if self.run.len() == RUN_ENTRIES { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        let folder = std::env::temp_dir();
        let fail = |cause| io_error(OPERATION, &folder, cause);
        self.run.sort_unstable();
        let mut file = match self.file.take() {
            Some(file) => file,
            None => BufWriter::new(tempfile::tempfile_in(&folder).map_err(fail)?),
        };
        for (hash, row) in &self.run {
            file.write_all(&hash.to_le_bytes())
                .and_then(|()| file.write_all(&row.to_le_bytes()))
                .map_err(fail)?;
        }
        self.file = Some(file);
        self.runs.push(self.run.len() as u64);
        self.run.clear();
        Ok(())
    }

    /// The keys in order of their hashes, equal ones in order of their rows.
    pub(super) fn sorted(mut self) -> Result<Sorted> {
        let fail = |cause| io_error(OPERATION, &std::env::temp_dir(), cause);
        let Some(mut file) = self.file.take() else {
            self.run.sort_unstable();
            return Sorted { runs: vec![Run::Held(self.run.into_iter())], heads: BinaryHeap::new() }.begun();
        };
        if !self.run.is_empty() {
            self.file = Some(file);
            self.spill()?;
            let Some(written) = self.file.take() else { return Ok(Sorted::default()) };
            file = written;
        }
        let file = Arc::new(file.into_inner().map_err(|error| fail(error.into_error()))?);
        let mut offset = 0;
        let mut runs = Vec::with_capacity(self.runs.len());
        for entries in self.runs {
            let part = FilePart { file: Arc::clone(&file), offset, left: entries * ENTRY_BYTES as u64 };
            runs.push(Run::Filed(BufReader::with_capacity(RUN_BUFFER_BYTES, part)));
            offset += entries * ENTRY_BYTES as u64;
        }
        Sorted { runs, heads: BinaryHeap::new() }.begun()
    }
}

#[derive(Debug)]
struct FilePart {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for FilePart {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let count = read_at(&self.file, &mut out[..wanted], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

#[derive(Debug)]
enum Run {
    Held(std::vec::IntoIter<Entry>),
    Filed(BufReader<FilePart>),
}

impl Run {
    fn next(&mut self) -> Result<Option<Entry>> {
        let reader = match self {
            Run::Held(entries) => return Ok(entries.next()),
            Run::Filed(reader) => reader,
        };
        if reader.buffer().is_empty() && reader.get_ref().left == 0 {
            return Ok(None);
        }
        let (mut hash, mut row) = ([0; 16], [0; 8]);
        reader
            .read_exact(&mut hash)
            .and_then(|()| reader.read_exact(&mut row))
            .map_err(|cause| io_error(OPERATION, &std::env::temp_dir(), cause))?;
        Ok(Some((u128::from_le_bytes(hash), u64::from_le_bytes(row))))
    }
}

/// Keys in order.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Sorted {
    fn begun(mut self) -> Result<Sorted> {
        for at in 0..self.runs.len() {
            self.pull(at)?;
        }
        Ok(self)
    }

    fn pull(&mut self, at: usize) -> Result<()> {
        if let Some(entry) = self.runs[at].next()? {
            self.heads.push(Reverse((entry, at)));
        }
        Ok(())
    }

    /// The next key.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        let Some(Reverse((entry, at))) = self.heads.pop() else { return Ok(None) };
        self.pull(at)?;
        Ok(Some(entry))
    }
}

/// Rows that break a rule: how many, and the first of them in the table's order.
#[derive(Debug, Clone, Default)]
pub(super) struct Broken {
    pub(super) count: u64,
    rows: BinaryHeap<u64>,
}

impl Broken {
    fn add(&mut self, row: u64, limit: usize) {
        self.count += 1;
        self.rows.push(row);
        if self.rows.len() > limit {
            self.rows.pop();
        }
    }

    /// The first rows, at most `limit`, in order.
    pub(super) fn first(&self, limit: usize) -> Vec<u64> {
        let mut rows = self.rows.clone().into_sorted_vec();
        rows.truncate(limit);
        rows
    }
}

/// Rows whose key an earlier row has.
pub(super) fn repeated(mut keys: Sorted, limit: usize) -> Result<Broken> {
    let mut found = Broken::default();
    let mut before = None;
    while let Some((hash, row)) = keys.next()? {
        if before == Some(hash) {
            found.add(row, limit);
        }
        before = Some(hash);
    }
    Ok(found)
}

/// Rows whose key is not among the parents'.
pub(super) fn without_parent(mut children: Sorted, mut parents: Sorted, limit: usize) -> Result<Broken> {
    let mut found = Broken::default();
    let mut parent = parents.next()?;
    while let Some((hash, row)) = children.next()? {
        while parent.is_some_and(|(own, _)| own < hash) {
            parent = parents.next()?;
        }
        if parent.is_none_or(|(own, _)| own != hash) {
            found.add(row, limit);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(keys: impl Iterator<Item = u64>) -> Sorted {
        let mut sorter = Sorter::default();
        for (row, key) in (1..).zip(keys) {
            // Spread, as hashes are.
            sorter
                .push(u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835), row)
                .expect("room");
        }
        sorter.sorted().expect("room")
    }

    #[test]
    fn duplicates_and_orphans_are_found_across_runs() {
        let many = 3 * RUN_ENTRIES as u64 + 5;
        let found = repeated(sorted((0..many).chain([7, many - 1, 7])), 2).expect("read");
        assert_eq!((found.count, found.first(9)), (3, vec![many + 1, many + 2]));
        assert_eq!(repeated(sorted(0..many), 2).expect("read").count, 0);
        let found =
            without_parent(sorted([1, many, 5, many + 1].into_iter()), sorted(0..many), 9).expect("read");
        assert_eq!((found.count, found.first(1)), (2, vec![2]));
    }
}
