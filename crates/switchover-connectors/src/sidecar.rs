//! The note beside a backup: `<file>.json`, which says what the file is and how to prove that it is whole.
//!
//! Invariants: the note is written after the file is complete and synced, so a file with a note is a
//! finished backup; both become visible by rename, in that order (file, then note), and the directory
//! is synced after each; a file without a note is never listed as a backup.
//! Absent: how a store makes or reads its backup, and any secret: the source's label has no password.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use switchover_core::{Error, Kind, Result, failpoint};

use crate::place::resolved;

/// What `format` holds in every note, so that another tool's JSON is not mistaken for one.
pub const FORMAT: &str = "switchover-backup";

/// The version of the note's fields. A reader refuses a larger one.
pub const FORMAT_VERSION: u32 = 1;

/// A file is hashed in reads of this size: large enough that BLAKE3 runs at its widest, small enough for any cache.
const HASH_READ_BYTES: usize = 1 << 20;

/// A note larger than this is not ours: table counts of a thousand tables are some 50 KB.
const NOTE_BYTES_MAX: u64 = 16 << 20;

/// What stands in `<file>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// Always [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// The store that was backed up, without its password.
    pub source: String,
    /// The way from the backup's folder to the store's file, where that was named from the working folder: another one may have a
    /// file of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PathBuf>,
    /// When the backup was finished, in UTC.
    pub created_at: jiff::Timestamp,
    /// The tool and version that wrote it.
    pub tool: String,
    /// The size of the backup file.
    pub bytes: u64,
    /// BLAKE3 of the backup file, in hexadecimal.
    pub blake3: String,
    /// What the store's own check said of the file when it was made (`ok`).
    pub integrity: String,
    /// SQLite: the number of pages. PostgreSQL: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
    /// The version of the server or library that was read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub store_version: String,
    /// Rows per table, where the caller counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<std::collections::BTreeMap<String, u64>>,
}

/// One line of `list`: a backup file, and its note or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The backup file.
    pub path: PathBuf,
    /// Its note, if it can be read.
    pub sidecar: Option<Sidecar>,
    /// What a glance shows to be wrong (no file, other size, unreadable note); empty if nothing.
    pub problem: String,
}

impl Sidecar {
    /// A note of this version and this tool about `store`.
    pub(crate) fn new(store: &str, source: &str, bytes: u64, blake3: String) -> Sidecar {
        Sidecar {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            store: store.to_owned(),
            source: source.to_owned(),
            place: None,
            created_at: jiff::Timestamp::now(),
            tool: concat!("switchover ", env!("CARGO_PKG_VERSION")).to_owned(),
            bytes,
            blake3,
            integrity: String::new(),
            pages: None,
            store_version: String::new(),
            tables: None,
        }
    }

    /// The same, of this file of a store, for a backup there.
    pub(crate) fn of_file(mut self, file: &Path, backup: &Path) -> Sidecar {
        self.place = if file.is_absolute() { None } else { way(backup, file) };
        self
    }

    /// Whether it is of this file of a store, by where that stood from the backup; `None` where the note or the file does not say that.
    pub fn is_of_file(&self, backup: &Path, file: &Path) -> Option<bool> {
        let known = folder_of(backup).join(self.place.as_ref()?);
        // A link that leads nowhere is nobody's file; what is done with it says so.
        let own = resolved(file, "tell files apart").ok()?;
        Some(resolved(&known, "tell files apart").is_ok_and(|known| known == own))
    }

    /// Writes the note beside `file`, durably: temporary file, sync, rename, sync of the directory.
    pub fn write(&self, file: &Path) -> Result<()> {
        let path = path_of(file);
        let temporary = with_suffix(&path, ".partial");
        let json = serde_json::to_vec_pretty(self)
            .map_err(|cause| Error::new(Kind::Internal, "write the backup's note").because(cause))?;
        let written = File::create(&temporary)
            .and_then(|mut out| {
                out.write_all(&json)?;
                out.write_all(b"\n")?;
                out.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|cause| io_error("write the backup's note", &path, cause))?;
        sync_directory(&path)
    }

    /// Reads the note beside `file`.
    pub fn read(file: &Path) -> Result<Sidecar> {
        let path = path_of(file);
        let operation = "read the backup's note";
        let mut text = Vec::new();
        File::open(&path).and_then(|note| note.take(NOTE_BYTES_MAX).read_to_end(&mut text)).map_err(
            |cause| match cause.kind() {
                io::ErrorKind::NotFound => Error::new(Kind::NotFound, operation)
                    .store(path.display().to_string())
                    .detail("there is no such file, so nothing says what the backup should be")
                    .hint("name the backup file itself; its note is the same name with .json after it"),
                _ => io_error(operation, &path, cause),
            },
        )?;
        let bad = |detail: String| {
            Error::new(Kind::Corrupt, operation)
                .store(path.display().to_string())
                .detail(detail)
                .hint("the backup may still be whole; check it by hand before using it")
        };
        let sidecar: Sidecar = serde_json::from_slice(&text)
            .map_err(|cause| bad(format!("it is no note of a backup: {cause}")))?;
        if sidecar.format != FORMAT {
            return Err(bad(format!("its format is not {FORMAT}")));
        }
        if sidecar.format_version > FORMAT_VERSION {
            return Err(Error::new(Kind::Unsupported, operation)
                .store(path.display().to_string())
                .detail(format!(
                    "its format version is {}, this program knows {FORMAT_VERSION}",
                    sidecar.format_version
                ))
                .hint("use the release that wrote it, or a newer one"));
        }
        Ok(sidecar)
    }

    /// Reads `file` and says whether its size and BLAKE3 are those of the note.
    pub(crate) fn check_file(&self, file: &Path) -> Result<()> {
        let operation = "verify the backup";
        let (bytes, blake3) = hash_file(file)?;
        if bytes == self.bytes && blake3 == self.blake3 {
            return Ok(());
        }
        let detail = if bytes == self.bytes {
            format!("its BLAKE3 is {blake3}, the note says {}", self.blake3)
        } else {
            format!("it has {bytes} bytes, the note says {}", self.bytes)
        };
        Err(Error::new(Kind::Corrupt, operation)
            .store(file.display().to_string())
            .detail(detail)
            .hint("the file changed after it was made: use another backup"))
    }
}

/// The finished backups of one `store` in `dir`, oldest first, with a glance at each (size only, no hash).
pub(crate) fn list(dir: &Path, store: &str) -> Result<Vec<Listed>> {
    let operation = "list the backups";
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|cause| io_error(operation, dir, cause))? {
        let note = entry.map_err(|cause| io_error(operation, dir, cause))?.path();
        if note.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let path = note.with_extension("");
        let listed = match Sidecar::read(&path) {
            Ok(sidecar) if sidecar.store != store => continue,
            Ok(sidecar) => {
                let problem = match fs::metadata(&path) {
                    Ok(meta) if meta.len() == sidecar.bytes => String::new(),
                    Ok(meta) => format!("has {} bytes, the note says {}", meta.len(), sidecar.bytes),
                    Err(cause) => cause.to_string(),
                };
                Listed { path, sidecar: Some(sidecar), problem }
            }
            // Another tool's JSON beside another tool's file is none of our business.
            Err(_) if !path.exists() => continue,
            Err(error) => Listed { path, sidecar: None, problem: error.to_string() },
        };
        found.push(listed);
    }
    found.sort_by(|left, right| {
        let when = |listed: &Listed| listed.sidecar.as_ref().map(|note| note.created_at);
        when(left).cmp(&when(right)).then_with(|| left.path.cmp(&right.path))
    });
    Ok(found)
}

/// Size and BLAKE3 (hexadecimal) of a file, read once, in bounded memory.
pub fn hash_file(file: &Path) -> Result<(u64, String)> {
    let hash = || -> io::Result<(u64, String)> {
        let mut input = File::open(file)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; HASH_READ_BYTES];
        let mut bytes = 0;
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok((bytes, hasher.finalize().to_hex().to_string())),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
    };
    hash().map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::NotFound, "read the backup")
            .store(file.display().to_string())
            .detail("there is no such file")
            .hint("check the path; `switchover backup list` shows what there is"),
        _ => io_error("read the backup", file, cause),
    })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The way from a backup's folder to a file; `None` where either is not there, or their names are no texts that a note can hold.
fn way(backup: &Path, file: &Path) -> Option<PathBuf> {
    let (folder, file) = (folder_of(backup).canonicalize().ok()?, resolved(file, "tell files apart").ok()?);
    let shared = folder.components().zip(file.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(file.components().skip(shared)).collect();
    way.to_str().is_some().then_some(way)
}

/// Where the note of `file` stands.
pub fn path_of(file: &Path) -> PathBuf {
    with_suffix(file, ".json")
}

/// `path` with `suffix` after its whole name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The path of the backup called `name`, which must be a plain file name.
pub(crate) fn place(directory: &Path, name: &str) -> Result<PathBuf> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(Error::new(Kind::Config, "begin the backup")
            .store(name.escape_default().to_string())
            .detail("the backup's name is not a plain file name")
            .hint("give the directory apart from the name"));
    }
    Ok(directory.join(name))
}

/// Opens `<path>.partial` for a new backup and locks it, so that two runs never write one file.
///
/// What a killed run left there is emptied. The lock ends with the returned file.
pub(crate) fn claim_partial(path: &Path) -> Result<(PathBuf, File)> {
    let operation = "begin the backup";
    if let Some(there) = [path.to_path_buf(), path_of(path)].iter().find(|there| there.exists()) {
        return Err(Error::new(Kind::AlreadyExists, operation)
            .store(there.display().to_string())
            .detail("a file of this name is there already, and a backup is never overwritten")
            .hint("choose another name, or move the old file away"));
    }
    let partial = with_suffix(path, ".partial");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&partial)
        .map_err(|cause| io_error(operation, &partial, cause))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(Error::new(Kind::Busy, operation)
                .store(partial.display().to_string())
                .detail("another process is writing a backup of this name")
                .hint("wait for it, or choose another name"));
        }
        Err(fs::TryLockError::Error(cause)) => return Err(io_error(operation, &partial, cause)),
    }
    file.set_len(0).map_err(|cause| io_error(operation, &partial, cause))?;
    restrict(&file).map_err(|cause| io_error(operation, &partial, cause))?;
    Ok((partial, file))
}

/// Makes the finished `partial` visible as `path`, and then its note, durably.
pub(crate) fn publish(note: &Sidecar, partial: &Path, path: &Path) -> Result<()> {
    failpoint::hit("backup-before-publish");
    fs::rename(partial, path).map_err(|cause| io_error("rename the finished backup", path, cause))?;
    sync_directory(path)?;
    failpoint::hit("backup-before-note");
    note.write(path)?;
    failpoint::hit("backup-after-note");
    Ok(())
}

/// Whether a run, whose backup has a name of its own, made it before it was killed. A file without its note is made
/// again: nothing says what it should be.
pub(crate) fn was_finished(path: &Path) -> Result<bool> {
    if path_of(path).exists() {
        return Ok(true);
    }
    if path.exists() {
        let partial = with_suffix(path, ".partial");
        fs::rename(path, &partial).map_err(|cause| io_error("begin the backup", path, cause))?;
    }
    Ok(false)
}

/// Syncs the directory that holds `path`, so that a rename in it survives a power cut.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|cause| io_error("sync the directory", parent, cause))
}

/// A file error in the project's terms: by its kind, never by its text.
pub(crate) fn io_error(operation: &str, path: &Path, cause: io::Error) -> Error {
    let (kind, detail, hint) = match cause.kind() {
        io::ErrorKind::NotFound => (Kind::NotFound, "there is no such file or directory", "check the path"),
        io::ErrorKind::PermissionDenied => (
            Kind::Permission,
            "the operating system denies access",
            "run as a user with rights to the file and its directory",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (Kind::Exhausted, "no space is left", "free space there, or name another directory")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            (Kind::Permission, "the file system is read-only", "name a directory that can be written")
        }
        _ => (Kind::Io, "the operating system reports an error", "see the cause above"),
    };
    Error::new(kind, operation).store(path.display().to_string()).detail(detail).hint(hint).because(cause)
}

/// A backup holds all of the application's data: only its owner may read it.
#[cfg(unix)]
fn restrict(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_: &File) -> io::Result<()> {
    Ok(())
}
