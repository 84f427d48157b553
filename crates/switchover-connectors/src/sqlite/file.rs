//! A SQLite target's file: how a new one comes, and how one goes.
//!
//! Invariants: a file that a run makes becomes visible with all its tables and the run's record, or not at all; one that
//! was there without tables comes back as the bytes that it was.
//! Absent: what the file holds, which is `ledger`; who may write it, which is the same for every file (`place`).

pub(super) use crate::place::{Lock, identity, publish, resolved, sweep};
use crate::sidecar::{io_error, sync_directory, with_suffix};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use switchover_core::Result;

/// A file without tables is kept in the run's records whole, and who has an empty database has a page or a few. One that is
/// larger than this, or has a log beside it, has its numbers and its mode back after a rollback, and more free pages.
const IMAGE_BYTES_MAX: u64 = 1 << 20;

/// Where a new file is made, before it gets its name.
const NEW_SUFFIX: &str = ".switchover-new";

/// Files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file of another database that was here: SQLite would replay its log into any new file of that name.
pub(super) fn stray(path: &Path) -> Option<PathBuf> {
    let beside = BESIDE.iter().map(|suffix| with_suffix(path, suffix));
    beside.filter(|beside| beside.exists()).find(|beside| !is_of_nothing(beside))
}

/// Whether it is the journal of a database that had no page yet, as a run that was killed leaves it: it takes back nothing.
fn is_of_nothing(journal: &Path) -> bool {
    let mut head = [0; JOURNAL_HEAD_BYTES];
    let read = File::open(journal).and_then(|mut file| file.read_exact(&mut head));
    let short = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
    journal.as_os_str().as_encoded_bytes().ends_with(b"-journal")
        && (short || read.is_ok() && (!head.starts_with(&JOURNAL_MAGIC) || head[16..] == [0; 4]))
}

/// How a rollback journal begins (SQLite's "Database File Format", "The Rollback Journal"): magic, three numbers, of which
/// the last is the database's pages before it.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
const JOURNAL_HEAD_BYTES: usize = 20;

/// Whether a transaction was left half done there.
pub(super) fn has_journal(path: &Path) -> bool {
    with_suffix(path, "-journal").exists()
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

/// All bytes of a file, as they were at one time.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    changed: Option<SystemTime>,
}

impl Image {
    /// Those of a file that is whole without the others beside it, and small.
    pub(super) fn of(path: &Path, operation: &str) -> Result<Option<Image>> {
        let fail = |cause| io_error(operation, path, cause);
        let meta = fs::metadata(path).map_err(fail)?;
        // An empty log belongs to whoever only read the file.
        let beside = BESIDE.iter().map(|suffix| fs::metadata(with_suffix(path, suffix)));
        let logged = beside.flatten().any(|meta| meta.len() > 0);
        if !meta.is_file() || meta.len() > IMAGE_BYTES_MAX || logged {
            return Ok(None);
        }
        Ok(Some(Image { bytes: fs::read(path).map_err(fail)?, changed: meta.modified().ok() }))
    }

    /// Whether the file is still as it was read.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| {
            meta.len() == self.bytes.len() as u64
                && self.changed.is_some()
                && meta.modified().ok() == self.changed
        })
    }
}

/// Writes an image beside its file, with the file's rights, where it waits for the name.
pub(super) fn staged(path: &Path, image: &[u8], operation: &str) -> Result<PathBuf> {
    let place = new_place(path, operation)?;
    let fail = |cause| io_error(operation, &place, cause);
    let mut file = File::create_new(&place).map_err(fail)?;
    file.write_all(image).map_err(fail)?;
    let meta = fs::metadata(path).map_err(fail)?;
    owned_alike(&file, &meta).map_err(fail)?;
    file.set_permissions(meta.permissions()).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    Ok(place)
}

#[cfg(unix)]
fn owned_alike(file: &File, like: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) == (like.uid(), like.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid()))
}

#[cfg(not(unix))]
fn owned_alike(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// Puts an image in its file's place: by its name, so that a crash leaves the one or the other. A file without a byte is
/// only cut, and stays the file that it is.
pub(super) fn put_back(place: &Path, path: &Path, image: &[u8], operation: &str) -> Result<()> {
    let fail = |cause| io_error(operation, path, cause);
    if image.is_empty() {
        let file = OpenOptions::new().write(true).open(path).map_err(fail)?;
        file.set_len(0).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        fs::remove_file(place).map_err(fail)?;
    } else {
        fs::rename(place, path).map_err(fail)?;
    }
    sync_directory(path)
}
