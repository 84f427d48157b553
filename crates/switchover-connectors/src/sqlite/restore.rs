//! Putting a backup back in a file's place.
//!
//! The failure this order prevents: a new file beside the old one's `-wal`. SQLite would find a valid log, replay
//! the old database's pages into the new one, and report nothing. So the old file is first taken out of WAL mode
//! under an exclusive lock (which folds the log into it and removes it), and only then replaced. A crash at any
//! point leaves either the old database whole or the new one whole.
//!
//! Invariants: nothing is replaced without `force`; a target that any program has open is refused, because a handle
//! opened before the rename would go on writing to the old file, unseen; the backup is verified before, and the
//! copy is checked before it becomes visible.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ffi};
use switchover_core::{Error, Kind, Result};

use super::backup::{BackupInfo, Stop, integrity_check, verify};
use super::error::{classify, is_busy, primary_code};
use crate::place;
use crate::sidecar::{self, io_error, with_suffix};

/// A target in use is refused at once: waiting would not make its program let go of the file.
const IN_USE_WAIT: Duration = Duration::from_millis(200);

const OPERATION: &str = "restore the backup";

/// Puts the backup at `path` in place of `to`. With `force`, a file that is there is replaced. Blocking.
pub fn restore(path: &Path, to: &Path, force: bool) -> Result<BackupInfo> {
    let info = verify(path)?;
    // Behind a link, it is the file that the applications open which is put back, and the link stays.
    let to = &place::resolved(to, OPERATION)?;
    if to.exists() && !force {
        return Err(Error::new(Kind::AlreadyExists, OPERATION)
            .store(to.display().to_string())
            .detail("a file is there already, and it was not asked to replace it")
            .hint("restore to another name, or stop the application and add --force"));
    }
    let fresh = with_suffix(to, ".restoring");
    let done = copy_checked(path, &fresh, &info).and_then(|()| swap(&fresh, to));
    if done.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    done?;
    Ok(info)
}

fn copy_checked(path: &Path, fresh: &Path, info: &BackupInfo) -> Result<()> {
    // `fs::copy` lets the kernel copy (or share the blocks of) the file.
    fs::copy(path, fresh).map_err(|cause| io_error(OPERATION, fresh, cause))?;
    File::open(fresh).and_then(|file| file.sync_all()).map_err(|cause| io_error(OPERATION, fresh, cause))?;
    info.sidecar.check_file(fresh)?;
    integrity_check(fresh, &Stop::default()).map(|_| ())
}

fn swap(fresh: &Path, to: &Path) -> Result<()> {
    let held = if to.exists() { quiesce(to)? } else { None };
    for suffix in ["-wal", "-shm", "-journal"] {
        let beside = with_suffix(to, suffix);
        match fs::remove_file(&beside) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error("remove the old file's log", &beside, cause));
            }
            _ => {}
        }
    }
    if let Ok(meta) = fs::metadata(to) {
        fs::set_permissions(fresh, meta.permissions()).map_err(|cause| io_error(OPERATION, fresh, cause))?;
    }
    fs::rename(fresh, to).map_err(|cause| io_error(OPERATION, to, cause))?;
    drop(held);
    sidecar::sync_directory(to)
}

/// Proves that nobody uses `to`, and folds its log into it. The returned connection keeps others out until dropped.
///
/// `None` for a file that SQLite cannot read: it has no log worth folding.
fn quiesce(to: &Path) -> Result<Option<Connection>> {
    if let Some(process) = process_with_open(to) {
        return Err(in_use(to, &format!("process {process} has it open")));
    }
    let take = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(
            to,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(IN_USE_WAIT)?;
        // Leaving WAL needs every other connection to be gone; BEGIN EXCLUSIVE needs every other lock to be gone.
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE;",
        )?;
        Ok(connection)
    };
    match take() {
        Ok(connection) => Ok(Some(connection)),
        Err(cause) if is_busy(&cause) => Err(in_use(to, "another program holds a lock on it").because(cause)),
        Err(cause) if matches!(primary_code(&cause), Some(ffi::SQLITE_NOTADB | ffi::SQLITE_CORRUPT)) => {
            Ok(None)
        }
        Err(cause) => Err(classify(cause, OPERATION, to)),
    }
}

fn in_use(to: &Path, why: &str) -> Error {
    Error::new(Kind::Busy, OPERATION)
        .store(to.display().to_string())
        .detail(format!("the file to be replaced is in use: {why}"))
        .hint("stop the application: a program that has the old file open would go on writing to it, unseen")
}

/// The first process that has `path` or its log open, where the system tells (Linux, own processes or root).
///
/// An idle connection without WAL holds no lock, so locks alone would miss it.
fn process_with_open(path: &Path) -> Option<u32> {
    let wanted: Vec<PathBuf> = ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| fs::canonicalize(with_suffix(path, suffix)).ok())
        .collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let open = fs::read_dir(process.path().join("fd")).ok()?;
        open.flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| wanted.contains(&target))
            .then_some(id)
    })
}
