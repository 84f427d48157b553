//! Room that a live run keeps for itself: a file of real bytes in its folder, of which a piece is given back where a write that a
//! change of the owner needs finds no space on the disk.
//!
//! Without it a disk that filled up keeps the owner from changing, for the application cannot be told: a guard then goes back no
//! more, and neither does a person. Invariants: whatever becomes of the file stops nothing; a write takes one piece at most; the file
//! is kept whole or as it was. Absent: a route or an environment file on another disk, which it does not help; outputs of commands and
//! the status that is written all the time, which would eat it up.

use crate::journal::file_error;
use std::fs::{self, OpenOptions};
use std::io::{Result as IoResult, Write};
use std::path::Path;
use switchover_core::{Error, Kind, Result, failpoint};

/// The file's name in the run's folder.
const NAME: &str = "reserve";

/// Bytes that are given back at once: a route, a status or a record takes a few thousand, and a disk gives out blocks of up to 16 KiB.
/// A piece, and not all, because whatever filled the disk takes what is left of it the next moment.
const PIECE_BYTES: u64 = 32 << 10;

/// Bytes that are kept: a piece for each write of a change of the owner, of which there are about eight; most find what the one before
/// has left.
const BYTES: u64 = 8 * PIECE_BYTES;

/// Bytes that are left to others at least when it is made: it takes nobody's last room.
const LEFT_BYTES_MIN: u64 = 2 * PIECE_BYTES;

const OPERATION: &str = "set room aside for a change of the owner";

/// Makes it, or makes it whole again.
///
/// # Errors
/// When there is no room for it, or it cannot be written.
pub(crate) fn keep(folder: &Path) -> Result<()> {
    let path = folder.join(NAME);
    let missing = BYTES.saturating_sub(size(folder).unwrap_or(0));
    if missing == 0 {
        return Ok(());
    }
    if is_full(folder) || free_bytes(folder).is_some_and(|free| free < missing + LEFT_BYTES_MIN) {
        return Err(Error::new(Kind::Exhausted, OPERATION)
            .store(path.display().to_string())
            .detail(format!("there are not {} bytes left on the disk", missing + LEFT_BYTES_MIN))
            .hint("make room on its disk"));
    }
    fill(&path, missing).map_err(|error| file_error(OPERATION, &path, &error))
}

/// Appends so many bytes, all or none. They are of a kind that no file system makes smaller or shares.
fn fill(path: &Path, missing: u64) -> IoResult<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let before = file.metadata()?.len();
    let mut bytes = vec![0; missing as usize];
    blake3::Hasher::new().update(path.as_os_str().as_encoded_bytes()).finalize_xof().fill(&mut bytes);
    let filled = file.write_all(&bytes).and_then(|()| file.sync_all());
    if filled.is_err() {
        // The error that is told is the first one.
        let _ = file.set_len(before);
    }
    filled
}

/// Gives all of it back: the run is over.
pub(crate) fn remove(folder: &Path) {
    // Where it was never made there is none. What cannot be removed is as small as the run's other files.
    let _ = fs::remove_file(folder.join(NAME));
}

/// Writes something that a change of the owner needs; where there is no space for it, once more with a piece given back.
pub(crate) fn with<T>(folder: &Path, mut write: impl FnMut() -> Result<T>) -> Result<T> {
    let mut write = || match is_full(folder) && size(folder).is_none_or(|left| left >= BYTES) {
        true => Err(Error::new(Kind::Exhausted, "write")
            .store(folder.display().to_string())
            .detail("no space left, as a test has it")),
        false => write(),
    };
    match write() {
        Err(error) if error.kind() == Kind::Exhausted && give_back(folder) => write(),
        done => done,
    }
}

/// Whether there was something to give back.
fn give_back(folder: &Path) -> bool {
    let shorten = || -> IoResult<bool> {
        let file = OpenOptions::new().write(true).open(folder.join(NAME))?;
        let left = file.metadata()?.len();
        file.set_len(left.saturating_sub(PIECE_BYTES))?;
        // Some file systems give its blocks to others only then. Where it fails the write itself tells.
        let _ = file.sync_all();
        Ok(left > 0)
    };
    shorten().unwrap_or(false)
}

fn size(folder: &Path) -> Option<u64> {
    fs::metadata(folder.join(NAME)).ok().map(|about| about.len())
}

/// Bytes that this process may still write there; none where the file system does not say.
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether a test has the disk be full: while the file `full` stands in the run's folder, only what a piece of the reserve made room for
/// can be written. A real one refuses every other write as well.
fn is_full(folder: &Path) -> bool {
    failpoint::asked("disk-full") && folder.join("full").exists()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn no_space() -> Error {
        Error::new(Kind::Exhausted, "write")
    }

    #[test]
    fn it_is_real_and_made_whole_again_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        keep(folder).unwrap();
        assert_eq!(size(folder), Some(BYTES));
        let blocks = fs::metadata(folder.join(NAME)).unwrap().blocks();
        assert!(blocks * 512 >= BYTES, "{blocks}");
        assert!(give_back(folder));
        assert_eq!(size(folder), Some(BYTES - PIECE_BYTES));
        keep(folder).unwrap();
        assert_eq!(size(folder), Some(BYTES));
        remove(folder);
        remove(folder);
        assert_eq!(size(folder), None);
    }

    #[test]
    fn a_write_that_finds_no_space_is_tried_once_more_with_a_piece() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        keep(folder).unwrap();
        let mut tries = 0;
        let once_more = with(folder, || {
            tries += 1;
            if size(folder) < Some(BYTES) { Ok(tries) } else { Err(no_space()) }
        });
        assert_eq!((once_more.unwrap(), size(folder)), (2, Some(BYTES - PIECE_BYTES)));
        // Not a third time; and for nothing else.
        let mut tries = 0;
        let mut in_vain = |kind| {
            let failed = with(folder, || -> Result<()> {
                tries += 1;
                Err(Error::new(kind, "write"))
            });
            (failed.unwrap_err().kind(), tries)
        };
        assert_eq!(in_vain(Kind::Exhausted), (Kind::Exhausted, 2));
        assert_eq!(in_vain(Kind::Permission), (Kind::Permission, 3));
        assert_eq!(size(folder), Some(BYTES - 2 * PIECE_BYTES));
    }

    #[test]
    fn what_is_used_up_or_was_never_there_gives_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(!give_back(folder));
        keep(folder).unwrap();
        let given = (0..20).take_while(|_| give_back(folder)).count() as u64;
        assert_eq!(given, BYTES / PIECE_BYTES);
        let mut tries = 0;
        let failed = with(folder, || -> Result<()> {
            tries += 1;
            Err(no_space())
        });
        assert_eq!((failed.unwrap_err().kind(), tries), (Kind::Exhausted, 1));
    }
}
