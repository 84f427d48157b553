//! Replacing a file: whole or not at all, durable, with the mode and owner of what was there.
//!
//! Invariants: a reader sees the old bytes or the new ones; what is written is never readable by more people than the old
//! file, at no time. A symbolic link stays one: what it points at is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// For its owner alone, until the file has the mode that it should have.
const MODE_PRIVATE: u32 = 0o600;

/// A file that is not there yet: readable by all, as other files are; the umask takes away what it takes away.
const MODE_PUBLIC: u32 = 0o644;

/// Whether the new bytes outlive a power cut when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    Yes,
    /// Whole or not at all, but perhaps the older one.
    No,
}

/// Puts bytes in the place of a file.
pub(super) fn replace(path: &Path, bytes: &[u8], durable: Durable) -> Result<()> {
    let path = resolved(path)?;
    put(&path, bytes, like(&path)?.as_ref(), durable)
}

/// Does all of that but the last step, and leaves nothing: whether a file can be replaced, as far as that can be known without it.
pub(super) fn try_out(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = resolved(path)?;
    let partial = staged(&path, bytes, like(&path)?.as_ref(), Durable::No)?;
    fs::remove_file(partial)
}

/// Writes a file beside another one, for the same people to read.
pub(super) fn beside(path: &Path, bytes: &[u8], like: &Path) -> Result<()> {
    put(path, bytes, Some(&fs::metadata(like)?), Durable::Yes)
}

/// Removes a file, if it is there, for good.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => sync_folder(path),
    }
}

/// The file that a path means in the end.
pub(super) fn resolved(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        // A link to nothing would be replaced by a file; say so instead.
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => Ok(path.to_owned()),
        Err(error) => Err(error),
    }
}

/// What is there, for the mode and owner that the next one is to have.
fn like(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(like) => Ok(Some(like)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn put(path: &Path, bytes: &[u8], like: Option<&fs::Metadata>, durable: Durable) -> Result<()> {
    let partial = staged(path, bytes, like, durable)?;
    let done = fs::rename(&partial, path);
    if done.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_file(&partial);
        return done;
    }
    if durable == Durable::Yes { sync_folder(path) } else { Ok(()) }
}

/// The file that is about to take a place, beside it.
fn staged(path: &Path, bytes: &[u8], like: Option<&fs::Metadata>, durable: Durable) -> Result<PathBuf> {
    let (Some(name), folder) = (path.file_name(), path.parent().unwrap_or(Path::new(""))) else {
        return Err(Error::new(ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut partial = std::ffi::OsString::from(".");
    partial.push(name);
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = folder.join(partial);
    // What a process of this number left when it was killed.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = if like.is_some() { MODE_PRIVATE } else { MODE_PUBLIC };
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
    if let Err(error) = fill(&file, bytes, like, durable) {
        // The error that is told is the first one.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    Ok(partial)
}

/// A name that was given or taken away is durable when its folder is.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn fill(mut file: &File, bytes: &[u8], like: Option<&fs::Metadata>, durable: Durable) -> Result<()> {
    file.write_all(bytes)?;
    if let Some(like) = like {
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (like.uid(), like.gid()) {
            std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid()))?;
        }
        // After the owner: changing that takes some bits of the mode away.
        file.set_permissions(like.permissions())?;
    }
    if durable == Durable::Yes { file.sync_all() } else { Ok(()) }
}
