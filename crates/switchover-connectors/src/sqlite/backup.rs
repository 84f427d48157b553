//! A backup of a live SQLite file: one plain file that stands alone, checked, hashed and described.
//!
//! The order, and what a crash in it leaves: copy into `<name>.partial` (a partial file, which the next run
//! empties); switch the copy out of WAL mode; `integrity_check` on a connection opened anew, while another thread
//! syncs and hashes (still partial); rename (a whole file without a note, which `list` does not show); note; done.
//!
//! Invariants: the source stays readable and writable all the while; the copy is one committed state of the source;
//! nothing is overwritten; a file with a note passed its check. The copy's own commits are not synced, because a
//! crash throws it away: one sync at its end makes it durable.
//! Absent: putting it back, which is `restore`; compression, which would cost more than the copy.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, ffi};
use switchover_core::{Error, Kind, Result};

use super::config::SqliteConfig;
use super::error::{classify, is_busy, primary_code};
use super::open::{harden, open_read_only};
use crate::disk;
use crate::sidecar::{self, Listed, Sidecar};

/// `store` in the notes of these backups.
pub const STORE: &str = "sqlite";

/// Pages copied per step: 16 MiB of the usual 4 KiB pages, so some 10 ms between two looks at progress and at locks.
pub const STEP_PAGES: i32 = 4096;

/// How often a copy that another program's writes sent back to its start may begin again before the rest is copied in
/// one step, for which writers wait. Only without WAL: a WAL snapshot never restarts.
pub const RESTARTS_MAX: u32 = 3;

/// How long a step that met a lock waits before the next try.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long a copy makes no step forward before it gives up: far longer than a healthy application's transaction.
const STALLED_MAX: Duration = Duration::from_secs(30);

/// Problems that the error names; `integrity_check` itself stops here too, for one is enough to refuse.
const PROBLEMS_SHOWN_MAX: u32 = 3;

/// The page cache of the check. Measured on 587 MB: 64 MiB saves nothing over 16 MiB, for the system caches the file.
const CHECK_CACHE_KIB: i64 = 16 * 1024;

/// Virtual machine operations between two looks at whether to stop: some milliseconds.
const STOP_LOOK_OPERATIONS: i32 = 100_000;

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Pages copied, of all.
    Copying {
        /// Pages copied so far.
        done: u64,
        /// Pages in the source now.
        total: u64,
    },
    /// The copy is being checked, synced and hashed.
    Checking,
}

/// A finished backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupInfo {
    /// The backup file.
    pub path: PathBuf,
    /// What its note says: size, BLAKE3, pages, the source, the time.
    pub sidecar: Sidecar,
}

/// Backs up the source into `directory/name`. Blocking; `progress` is called between steps.
pub fn create(
    config: &SqliteConfig,
    directory: &Path,
    name: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<BackupInfo> {
    create_unless(config, directory, name, progress, &Stop::default())
}

/// A request to give a backup up. What was written of it is then removed.
pub(crate) type Stop = Arc<AtomicBool>;

fn stopped(path: &Path) -> Error {
    Error::new(Kind::Interrupted, "back the source up")
        .store(path.display().to_string())
        .detail("it was asked to stop")
}

/// As [`create`], unless it is asked to stop first.
fn create_unless(
    config: &SqliteConfig,
    directory: &Path,
    name: &str,
    progress: &mut dyn FnMut(Progress),
    stop: &Stop,
) -> Result<BackupInfo> {
    let path = sidecar::place(directory, name)?;
    let source = open_read_only(config)?;
    check_room(&source, config.path(), directory)?;
    let (partial, claim) = sidecar::claim_partial(&path)?;
    let outcome = copy(&source, config.path(), &partial, progress, stop)
        .and_then(|()| {
            drop(source);
            progress(Progress::Checking);
            check_sync_hash(&partial, &claim, stop)
        })
        .and_then(|checked| finish(config, &partial, path, checked));
    if outcome.is_err() {
        // Best effort: what stays is a partial file, which the next run empties.
        let _ = std::fs::remove_file(&partial);
    }
    outcome
}

/// The backup of a run, whose name is its own: made now, or by an attempt of the run that was killed. Blocking.
pub(crate) fn ensure(config: &SqliteConfig, directory: &Path, name: &str, stop: &Stop) -> Result<BackupInfo> {
    let path = sidecar::place(directory, name)?;
    if sidecar::was_finished(&path)? {
        return verify(&path);
    }
    create_unless(config, directory, name, &mut |_| {}, stop)
}

/// Whether the file is still what its note says, and whether it passes SQLite's check. Blocking.
pub fn verify(path: &Path) -> Result<BackupInfo> {
    let sidecar = Sidecar::read(path)?;
    if sidecar.store != STORE {
        return Err(Error::new(Kind::Config, "verify the backup")
            .store(path.display().to_string())
            .detail(format!("its note says that it is a backup of {}", sidecar.store))
            .hint("name a backup of a SQLite file"));
    }
    std::thread::scope(|scope| {
        let hashed = scope.spawn(|| sidecar.check_file(path));
        let checked = integrity_check(path, &Stop::default());
        // A changed file is the finding that explains the other one.
        hashed.join().unwrap_or_else(|_| Err(worker_died()))?;
        checked
    })?;
    Ok(BackupInfo { path: path.to_path_buf(), sidecar })
}

/// The finished SQLite backups in `directory`, oldest first.
pub fn list(directory: &Path) -> Result<Vec<Listed>> {
    sidecar::list(directory, STORE)
}

/// Refuses before the first byte is written, because a disk that fills up hurts the application too.
fn check_room(source: &Connection, path: &Path, directory: &Path) -> Result<()> {
    let number = |pragma: &str| -> Result<u64> {
        let found: i64 = source
            .query_row(pragma, [], |row| row.get(0))
            .map_err(|cause| classify(cause, "measure the SQLite file", path))?;
        Ok(u64::try_from(found).unwrap_or(0))
    };
    let needed = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
    match disk::free_bytes(directory) {
        Some(free) if free < needed => Err(Error::new(Kind::Exhausted, "back the SQLite file up")
            .store(directory.display().to_string())
            .detail(format!("the backup needs {needed} bytes, and {free} are free there"))
            .hint("free space there, or name another folder")),
        _ => Ok(()),
    }
}

struct Checked {
    bytes: u64,
    blake3: String,
    pages: u64,
}

fn copy(
    source: &Connection,
    path: &Path,
    partial: &Path,
    progress: &mut dyn FnMut(Progress),
    stop: &Stop,
) -> Result<()> {
    let operation = "copy the SQLite file";
    let failed = |cause| classify(cause, operation, path);
    let here = |cause| classify(cause, operation, partial);
    // In WAL mode one read transaction makes the copy a snapshot, and writers go on. Without WAL it would keep
    // writers out for the whole copy, so there each step locks by itself, and a write in between starts it over.
    let journal: String = source.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(failed)?;
    let snapshot = journal.eq_ignore_ascii_case("wal");
    if snapshot {
        source.execute_batch("BEGIN; SELECT rootpage FROM sqlite_schema LIMIT 1;").map_err(failed)?;
    }
    let mut target = Connection::open_with_flags(
        partial,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(here)?;
    target
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;",
        )
        .map_err(here)?;
    let backup = Backup::new(source, &mut target).map_err(failed)?;
    run_steps(&backup, path, partial, progress, stop)?;
    drop(backup);
    drop(target);
    if snapshot {
        source.execute_batch("ROLLBACK").map_err(failed)?;
    }
    // Opened anew, because the copy's header came from the source and may say WAL.
    let target = Connection::open_with_flags(partial, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(here)?;
    target
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; PRAGMA journal_mode = DELETE;",
        )
        .map_err(here)
}

fn run_steps(
    backup: &Backup<'_, '_>,
    path: &Path,
    partial: &Path,
    progress: &mut dyn FnMut(Progress),
    stop: &Stop,
) -> Result<()> {
    let operation = "copy the SQLite file";
    let (mut restarts, mut remaining_before, mut moved_at) = (0, i32::MAX, Instant::now());
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(stopped(path));
        }
        let step = if restarts > RESTARTS_MAX { -1 } else { STEP_PAGES };
        let result = match backup.step(step) {
            // With extended result codes a lock may come as an error.
            Err(cause) if is_busy(&cause) => StepResult::Busy,
            // Only the copy is written to: it is its disk that is full.
            Err(cause) if primary_code(&cause) == Some(ffi::SQLITE_FULL) => {
                return Err(classify(cause, operation, partial));
            }
            other => other.map_err(|cause| classify(cause, operation, path))?,
        };
        let now = backup.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
        match result {
            StepResult::Busy | StepResult::Locked => {
                if moved_at.elapsed() > STALLED_MAX {
                    return Err(Error::new(Kind::Busy, operation)
                        .store(path.display().to_string())
                        .detail(format!("another program kept it locked for {} s", STALLED_MAX.as_secs()))
                        .hint("find the program that holds a long write transaction, and try again"));
                }
                std::thread::sleep(BUSY_PAUSE);
                continue;
            }
            _ => moved_at = Instant::now(),
        }
        if now.remaining > remaining_before {
            restarts += 1;
            tracing::debug!(restarts, "a write sent the backup back to its start");
        }
        remaining_before = now.remaining;
        progress(Progress::Copying {
            done: count(now.pagecount - now.remaining),
            total: count(now.pagecount),
        });
        if result == StepResult::Done {
            return Ok(());
        }
    }
}

/// The check is bound by the processor and the sync by the disk, so they share the time.
fn check_sync_hash(partial: &Path, file: &File, stop: &Stop) -> Result<Checked> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            file.sync_all().map_err(|cause| sidecar::io_error("sync the backup", partial, cause))?;
            sidecar::hash_file(partial)
        });
        let pages = integrity_check(partial, stop);
        let (bytes, blake3) = worker.join().unwrap_or_else(|_| Err(worker_died()))?;
        Ok(Checked { bytes, blake3, pages: pages? })
    })
}

fn finish(config: &SqliteConfig, partial: &Path, path: PathBuf, checked: Checked) -> Result<BackupInfo> {
    let sidecar = Sidecar::new(STORE, &config.label(), checked.bytes, checked.blake3);
    let mut sidecar = sidecar.of_file(config.path(), &path);
    sidecar.integrity = "ok".to_owned();
    sidecar.pages = Some(checked.pages);
    sidecar.store_version = rusqlite::version().to_owned();
    sidecar::publish(&sidecar, partial, &path)?;
    Ok(BackupInfo { path, sidecar })
}

/// Runs the checks of `PRAGMA integrity_check` (see `integrity`) on a fresh read-only connection; returns the number of pages.
pub(crate) fn integrity_check(path: &Path, stop: &Stop) -> Result<u64> {
    let operation = "check the copy's integrity";
    let failed = |cause| classify(cause, operation, path);
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(failed)?;
    harden(&connection).map_err(failed)?;
    // The check looks at every cell itself; to look at them on reading the page too costs a fifth more time.
    connection
        .execute_batch(&format!("PRAGMA cache_size = -{CHECK_CACHE_KIB}; PRAGMA cell_size_check = OFF"))
        .map_err(failed)?;
    let asked = Arc::clone(stop);
    connection
        .progress_handler(STOP_LOOK_OPERATIONS, Some(move || asked.load(Ordering::Relaxed)))
        .map_err(failed)?;
    let checked = super::integrity::check(&connection, PROBLEMS_SHOWN_MAX);
    if stop.load(Ordering::Relaxed) {
        return Err(stopped(path));
    }
    let problems = checked.map_err(failed)?;
    if !problems.is_empty() {
        return Err(Error::new(Kind::Corrupt, operation)
            .store(path.display().to_string())
            .detail(format!("the integrity check says: {}", problems.join("; ")))
            .hint("the source most likely has the same damage: run PRAGMA integrity_check there; REINDEX mends an index, .recover rescues rows"));
    }
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).map_err(failed)?;
    Ok(u64::try_from(pages).unwrap_or(0))
}

pub(crate) fn worker_died() -> Error {
    Error::new(Kind::Internal, "hash the backup")
        .detail("the thread that does it ended early")
        .hint("this is a defect of this program: please report it")
}
