//! A target that is a file or a folder, on its disk: which one it is, who may write it, how it gets its name.
//!
//! Invariants: a new file gets its name only if nothing has it; the lock is a file of its own beside the target,
//! because closing any descriptor of a database file would drop the locks that SQLite holds on it in this process.
//! Absent: what the target holds, which is its connector's.

use crate::sidecar::{io_error, sync_directory, with_suffix};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use switchover_core::{Error, Kind, Result, failpoint};

/// Beside a target while a run is at work on it.
const LOCK_SUFFIX: &str = ".switchover-lock";

/// Tries to lock the lock file, each of which loses only against another process that ends just now.
const LOCK_TRIES: usize = 100;

/// What tells a file from every other: two names of one file have one identity.
#[cfg(unix)]
pub(crate) fn identity(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path).ok()?;
    Some(format!("file:{}:{}", meta.dev(), meta.ino()))
}

/// What tells a file from every other, where files have no numbers: its full path.
#[cfg(not(unix))]
pub(crate) fn identity(path: &Path) -> Option<String> {
    fs::canonicalize(path).ok().map(|path| format!("file:{}", path.display()))
}

/// The file's one name: a link to it is locked as what it leads to.
pub(crate) fn resolved(path: &Path, operation: &str) -> Result<PathBuf> {
    if let Ok(real) = fs::canonicalize(path) {
        return Ok(real);
    }
    if fs::symlink_metadata(path).is_ok() {
        return Err(Error::new(Kind::Config, operation)
            .store(path.display().to_string())
            .detail("it is a link that leads nowhere")
            .hint("name the file itself, or remove the link"));
    }
    let name = path.file_name().ok_or_else(|| {
        Error::new(Kind::Config, operation)
            .store(path.display().to_string())
            .detail("it names no file")
            .hint("name a file, such as sqlite:new.db")
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::NotFound, operation)
            .store(path.display().to_string())
            .detail(format!("the folder {} does not exist", folder.display()))
            .hint("make the folder first: a mistyped path makes nothing")
            .because(cause),
        _ => io_error(operation, folder, cause),
    })?;
    Ok(folder.join(name))
}

/// The hold of one process on a target's file.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes it, or says who is busy. Never waits: the lock of a killed process is gone with it.
    pub(crate) fn take(target: &Path) -> Result<Lock> {
        let operation = "lock the target";
        let path = with_suffix(target, LOCK_SUFFIX);
        for _ in 0..LOCK_TRIES {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|cause| io_error(operation, &path, cause))?;
            match file.try_lock() {
                // Who held it before may have removed it between our two steps: then it locks nothing.
                Ok(()) if is_at(&file, &path) => return Ok(Lock { file, path }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(Kind::Busy, operation)
                        .store(target.display().to_string())
                        .detail("another run is at work on this file")
                        .hint("wait until it ends; `switchover status` shows it"));
                }
                Err(TryLockError::Error(cause)) => return Err(io_error(operation, &path, cause)),
            }
        }
        Err(Error::new(Kind::Busy, operation)
            .store(target.display().to_string())
            .detail("other runs begin and end on this file without a pause")
            .hint("try again when they are done"))
    }

    /// Unlocks it, and leaves the file, by which others see that nobody holds it.
    pub(crate) fn leave(mut self) {
        self.path = PathBuf::new();
    }

    /// Whether it is still the lock that another process would meet.
    pub(crate) fn holds(&self) -> bool {
        is_at(&self.file, &self.path)
    }
}

/// Removes the lock that a killed process left beside a target, if one did. One that is held stays.
pub(crate) fn sweep(target: &Path) {
    let path = with_suffix(target, LOCK_SUFFIX);
    let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { return };
    if file.try_lock().is_ok() {
        drop(Lock { file, path });
    }
}

/// Whether a process holds the lock of that file; `None` where no lock was ever left there.
pub(crate) fn is_locked(target: &Path) -> Option<bool> {
    let file = OpenOptions::new().read(true).open(with_suffix(target, LOCK_SUFFIX)).ok()?;
    match file.try_lock() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.holds() {
            // One that cannot be removed locks nobody out: the lock itself ends with the process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Gives a new file its name, durably, unless another has it by now. Who is killed on the way may leave it both names.
pub(crate) fn publish(place: &Path, target: &Path, operation: &str) -> Result<()> {
    let fail = |cause| io_error(operation, target, cause);
    match fs::hard_link(place, target) {
        Ok(()) => {
            failpoint::hit("publish-after-link");
            fs::remove_file(place).map_err(fail)?;
        }
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Error::new(Kind::AlreadyExists, operation)
                .store(target.display().to_string())
                .detail("another program made a file of this name just now")
                .hint("find out which, and name another file")
                .because(cause));
        }
        // Not every file system has links; the lock keeps other runs away.
        Err(_) => fs::rename(place, target).map_err(fail)?,
    }
    sync_directory(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_next_gets_it() {
        let folder = tempfile::tempdir().expect("folder");
        let target = folder.path().join("new.db");
        let first = Lock::take(&target).expect("free");
        assert!(first.holds());
        assert_eq!(Lock::take(&target).expect_err("taken").kind(), Kind::Busy);
        sweep(&target);
        assert!(first.holds(), "what is held stays");
        drop(first);
        assert!(fs::read_dir(folder.path()).expect("folder").next().is_none(), "the lock leaves nothing");
        Lock::take(&target).expect("free").leave();
        sweep(&target);
        assert!(
            fs::read_dir(folder.path()).expect("folder").next().is_none(),
            "one that nobody holds is gone"
        );
        Lock::take(&target).expect("free again");
    }

    #[test]
    fn links_have_the_identity_of_what_they_lead_to() {
        let folder = tempfile::tempdir().expect("folder");
        let (file, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
        fs::write(&file, b"x").expect("written");
        fs::hard_link(&file, &other).expect("linked");
        assert!(identity(&file).is_some() && identity(&file) == identity(&other));
        assert_eq!(identity(&folder.path().join("none")), None);
        std::os::unix::fs::symlink("none", folder.path().join("dangling")).expect("linked");
        assert!(resolved(&folder.path().join("dangling"), "test").is_err());
    }
}
