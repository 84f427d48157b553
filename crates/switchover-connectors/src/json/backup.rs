//! The backup of a dump: a copy of its file as it is, hashed while it is written, with the note beside it.
//!
//! The order, and what a crash in it leaves: `<name>.partial` (the next run empties it); synced and checked; renamed
//! (a whole file without a note); note; done. The copy is only kept if the source did not change meanwhile.
//! A folder's files become `<name>-<file>`, each with a note of its own.

pub use super::catalog::STORE;
use super::config::JsonConfig;
use super::input::{Part, changed, open};
use crate::sidecar::{self, Listed, Sidecar, io_error};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use switchover_core::connector::BackupRecord;
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "back the JSON source up";

/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Makes the backup, unless it is there already: then it is checked. Blocking.
pub(super) fn ensure(
    config: &JsonConfig,
    directory: &Path,
    name: &str,
    stop: &AtomicBool,
) -> Result<BackupRecord> {
    let (parts, _) = open(config)?;
    let single = !config.path().is_dir();
    let (mut bytes, mut hasher, mut first) = (0, blake3::Hasher::new(), None);
    for part in &parts {
        let file = part.path.file_name().unwrap_or_default().to_string_lossy();
        let name = if single { name.to_owned() } else { format!("{name}-{file}") };
        let path = sidecar::place(directory, &name)?;
        let note = one(part, &path, stop)?;
        bytes += note.bytes;
        hasher.update(name.as_bytes()).update(note.blake3.as_bytes());
        first.get_or_insert((path, note.blake3));
    }
    let Some((path, blake3)) = first else {
        return Err(Error::new(Kind::Internal, OPERATION).detail("there is no file"));
    };
    if single {
        return Ok(BackupRecord { path, bytes, blake3 });
    }
    Ok(BackupRecord { path: directory.to_owned(), bytes, blake3: hasher.finalize().to_hex().to_string() })
}

/// Backs up a dump of one file into `directory/name`. Blocking.
///
/// # Errors
/// `Unsupported` for a folder, `AlreadyExists` when a file of that name is there.
pub fn create(config: &JsonConfig, directory: &Path, name: &str) -> Result<(PathBuf, Sidecar)> {
    if config.path().is_dir() {
        return Err(Error::new(Kind::Unsupported, OPERATION)
            .store(config.label())
            .detail("a folder is many files, and a backup is one")
            .hint("back up each file of it; a migration from it backs all of them up by itself"));
    }
    let path = sidecar::place(directory, name)?;
    let (parts, _) = open(config)?;
    let Some(part) = parts.first() else {
        return Err(Error::new(Kind::Internal, OPERATION).detail("there is no file"));
    };
    Ok((path.clone(), make(part, &path, &AtomicBool::new(false))?))
}

/// Whether the file is still what its note says. Blocking.
///
/// # Errors
/// `Corrupt` when it is not.
pub fn verify(file: &Path) -> Result<Sidecar> {
    let note = Sidecar::read(file)?;
    note.check_file(file)?;
    Ok(note)
}

/// The finished backups of dumps in `directory`, oldest first.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(directory: &Path) -> Result<Vec<Listed>> {
    sidecar::list(directory, STORE)
}

fn one(part: &Part, path: &Path, stop: &AtomicBool) -> Result<Sidecar> {
    if sidecar::was_finished(path)? {
        return verify(path);
    }
    make(part, path, stop)
}

fn make(part: &Part, path: &Path, stop: &AtomicBool) -> Result<Sidecar> {
    let (partial, file) = sidecar::claim_partial(path)?;
    let made = copy(part, file, &partial, stop).and_then(|(bytes, blake3)| {
        let note = Sidecar::new(STORE, &format!("json:{}", part.path.display()), bytes, blake3);
        let mut note = note.of_file(&part.path, path);
        // What was written is read again: the copy is proven, not only its writing.
        note.check_file(&partial)?;
        note.integrity = "ok".into();
        sidecar::publish(&note, &partial, path)?;
        Ok(note)
    });
    if made.is_err() {
        // Best effort: what stays is a partial file, which the next run empties.
        let _ = fs::remove_file(&partial);
    }
    made
}

fn copy(part: &Part, mut file: File, partial: &Path, stop: &AtomicBool) -> Result<(u64, String)> {
    let mut source = File::open(&part.path).map_err(|cause| io_error(OPERATION, &part.path, cause))?;
    let (mut buffer, mut hasher, mut bytes) = (vec![0; COPY_BYTES], blake3::Hasher::new(), 0);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Interrupted, OPERATION).detail("it was asked to stop"));
        }
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(io_error(OPERATION, &part.path, cause)),
        };
        hasher.update(&buffer[..count]);
        bytes += count as u64;
        file.write_all(&buffer[..count]).map_err(|cause| io_error(OPERATION, partial, cause))?;
    }
    file.sync_all().map_err(|cause| io_error(OPERATION, partial, cause))?;
    part.data.unchanged()?;
    if bytes != part.data.bytes() {
        return Err(changed(&part.path));
    }
    Ok((bytes, hasher.finalize().to_hex().to_string()))
}
