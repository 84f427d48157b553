//! A SQLite target's file: how a new one comes, and how one goes.
//!
//! Invariant: a file that a run makes becomes visible with all its tables and the run's record, or not at all.
//! Absent: what the file holds, which is `ledger`; who may write it, which is the same for every file (`place`).

pub(super) use crate::place::{Lock, identity, publish, resolved};
use crate::sidecar::{io_error, sync_directory, with_suffix};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use switchover_core::Result;

/// Where a new file is made, before it gets its name.
const NEW_SUFFIX: &str = ".switchover-new";

/// Files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file of another database that was here: SQLite would replay its log into any new file of that name.
pub(super) fn stray(path: &Path) -> Option<PathBuf> {
    BESIDE.iter().map(|suffix| with_suffix(path, suffix)).find(|beside| beside.exists())
}

/// The place where a new file is made; what a killed run left there is removed.
pub(super) fn new_place(target: &Path, operation: &str) -> Result<PathBuf> {
    let place = with_suffix(target, NEW_SUFFIX);
    remove_all(&place, operation)?;
    Ok(place)
}

/// Removes a database with what SQLite keeps beside it. What is not there is no error.
pub(super) fn remove_all(path: &Path, operation: &str) -> Result<()> {
    let beside = BESIDE.iter().map(|suffix| with_suffix(path, suffix));
    for file in std::iter::once(path.to_owned()).chain(beside) {
        match fs::remove_file(&file) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(io_error(operation, &file, cause)),
        }
    }
    sync_directory(path)
}
