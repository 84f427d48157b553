//! The private folder of a run beside its dump, `<name>.switchover`: what was copied, and what was published.
//!
//! | file | holds | who sets it, and what a crash leaves |
//! |---|---|---|
//! | `run.json` | the run | `prepare`, by rename; a folder without it is nothing, and goes with the next run or a rollback |
//! | `<table>-<key>.chunk` | a line with checkpoint and quarantine, then the rows | a writer, by rename after sync: it is there whole, or not |
//! | `published.json` | what the dump is, all checkpoints, all of the quarantine | the assembly, before the dump gets its name; without a dump of that name it says nothing |
//!
//! Invariants: a checkpoint is never there without its rows, nor the rows without it; after a publication the
//! chunks go, and `published.json` answers for them. Absent: the dump's own name, which is `publish`.

use crate::records::Entry;
use crate::sidecar::{io_error, sync_directory, with_suffix};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use switchover_core::chunk::Checkpoint;
use switchover_core::digest::{self, Hex};
use switchover_core::failpoint;
use switchover_core::{Error, Kind, Result};

/// Behind the dump's name.
const SUFFIX: &str = ".switchover";

/// The version of these records. A reader refuses any other.
const FORMAT: u32 = 1;

const RUN: &str = "run.json";
const PUBLISHED: &str = "published.json";
const CHUNK: &str = "chunk";
const PARTIAL: &str = ".partial";

/// Which run the folder is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunRecord {
    format: u32,
    run: String,
    tool: String,
}

/// The first line of a chunk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) run: String,
    pub(super) checkpoint: Checkpoint,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) quarantine: Vec<Entry>,
    /// Bytes of rows that follow.
    pub(super) text_bytes: u64,
}

/// What was published, or is about to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Published {
    /// The file or folder ([`crate::place::identity`]).
    pub(super) identity: Option<String>,
    /// BLAKE3 of the file; of a folder none.
    pub(super) blake3: Option<String>,
    /// The names of the files in the folder; of a file none.
    #[serde(default)]
    pub(super) files: Vec<String>,
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) quarantine: Vec<Entry>,
}

/// The private folder.
#[derive(Debug, Clone)]
pub(super) struct Work {
    path: PathBuf,
}

impl Work {
    /// The folder beside a dump; the dump's path is resolved.
    pub(super) fn beside(dump: &Path) -> Work {
        Work { path: with_suffix(dump, SUFFIX) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The run whose records it holds.
    pub(super) fn run(&self) -> Result<Option<String>> {
        let record: Option<RunRecord> = self.read(RUN)?;
        match record {
            Some(record) if record.format != FORMAT => {
                Err(Error::new(Kind::Unsupported, "read the run's records")
                    .store(self.path.display().to_string())
                    .detail(format!("they have format {}, this version knows {FORMAT}", record.format))
                    .hint("use the release that wrote them"))
            }
            record => Ok(record.map(|record| record.run)),
        }
    }

    /// Makes the folder and its record. Whatever lies there without a record is removed.
    pub(super) fn begin(&self, run: &str, tool: &str) -> Result<()> {
        self.clear()?;
        fs::create_dir_all(&self.path)
            .map_err(|cause| io_error("make the run's folder", &self.path, cause))?;
        restrict(&self.path)?;
        sync_directory(&self.path)?;
        self.keep(RUN, &RunRecord { format: FORMAT, run: run.to_owned(), tool: tool.to_owned() })
    }

    /// Removes the folder, its record last, so that a removal that was killed can be gone on with.
    pub(super) fn clear(&self) -> Result<()> {
        let fail = |cause| io_error("remove the run's folder", &self.path, cause);
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(cause) => return Err(fail(cause)),
        };
        for entry in entries {
            let entry = entry.map_err(fail)?;
            if entry.file_name() == RUN {
                continue;
            }
            let folder = entry.file_type().map_err(fail)?.is_dir();
            let removed =
                if folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.map_err(fail)?;
        }
        match fs::remove_file(self.file(RUN)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(fail(cause)),
            _ => {}
        }
        fs::remove_dir(&self.path).map_err(fail)?;
        sync_directory(&self.path)
    }

    /// What was published, if anything was.
    pub(super) fn published(&self) -> Result<Option<Published>> {
        self.read(PUBLISHED)
    }

    /// Records what is about to be published.
    pub(super) fn publish(&self, published: &Published) -> Result<()> {
        self.keep(PUBLISHED, published)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>> {
        let path = self.file(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(io_error("read the run's records", &path, cause)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|cause| unreadable(&path).because(cause))
    }

    fn keep<T: Serialize>(&self, name: &str, record: &T) -> Result<()> {
        let json = serde_json::to_vec(record)
            .map_err(|error| Error::new(Kind::Internal, "write the run's records").because(error))?;
        self.place(name, |file| file.write_all(&json))
    }

    /// Makes a file of that name visible, whole and on the disk.
    fn place(&self, name: &str, write: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
        let (path, partial) = (self.file(name), self.file(&format!("{name}{PARTIAL}")));
        let made = File::create(&partial)
            .and_then(|mut file| write(&mut file).and_then(|()| file.sync_all()))
            .inspect(|()| failpoint::hit("record-before-rename"))
            .and_then(|()| fs::rename(&partial, &path));
        made.map_err(|cause| io_error("write the run's records", &path, cause))?;
        sync_directory(&path)
    }

    /// The name of the chunk that begins behind that key.
    fn chunk_name(checkpoint: &Checkpoint) -> Result<String> {
        let key = serde_json::to_vec(&checkpoint.range.after)
            .map_err(|error| Error::new(Kind::Internal, "name a chunk").because(error))?;
        Ok(format!("{:06}-{}.{CHUNK}", checkpoint.table, Hex(digest::of_bytes(&key))))
    }

    /// The chunk of that checkpoint, when it is there already.
    pub(super) fn chunk(&self, checkpoint: &Checkpoint) -> Result<Option<Head>> {
        let path = self.file(&Work::chunk_name(checkpoint)?);
        if path.exists() { open_chunk(&path).map(|(head, _)| Some(head)) } else { Ok(None) }
    }

    /// Writes a chunk.
    pub(super) fn put(&self, head: &Head, rows: &[u8]) -> Result<()> {
        let mut line = serde_json::to_vec(head)
            .map_err(|error| Error::new(Kind::Internal, "write a chunk").because(error))?;
        line.push(b'\n');
        self.place(&Work::chunk_name(&head.checkpoint)?, |file| {
            file.write_all(&line)?;
            file.write_all(rows)
        })
    }

    /// All chunks, in no order.
    pub(super) fn chunks(&self) -> Result<Vec<(Head, PathBuf)>> {
        let fail = |cause| io_error("read the run's records", &self.path, cause);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|ending| ending == CHUNK) {
                found.push((open_chunk(&path)?.0, path));
            }
        }
        Ok(found)
    }

    /// Removes a file of that name, if there is one.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("remove a file of the run", &path, cause))
            }
            _ => Ok(()),
        }
    }

    /// Removes the chunks, once what was published answers for them.
    pub(super) fn drop_chunks(&self) -> Result<()> {
        for (_, path) in self.chunks()? {
            fs::remove_file(&path).map_err(|cause| io_error("remove a chunk", &path, cause))?;
        }
        sync_directory(&self.file(RUN))
    }
}

/// A chunk's first line, and its rows to read. What it says of them is what there is.
pub(super) fn open_chunk(path: &Path) -> Result<(Head, impl Read + use<>)> {
    let fail = |cause| io_error("read a chunk", path, cause);
    let file = File::open(path).map_err(fail)?;
    let bytes = file.metadata().map_err(fail)?.len();
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).map_err(fail)?;
    let head: Head = serde_json::from_slice(&line).map_err(|cause| unreadable(path).because(cause))?;
    if line.len() as u64 + head.text_bytes != bytes {
        return Err(unreadable(path));
    }
    Ok((head, reader))
}

fn unreadable(path: &Path) -> Error {
    Error::new(Kind::Corrupt, "read the run's records")
        .store(path.display().to_string())
        .detail("it is not as this version writes it, or not whole")
        .hint("remove the run's folder (its name ends in .switchover; the dump itself is not in it), and begin again")
}

/// The rows are the application's data: only their owner may read them.
#[cfg(unix)]
fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .map_err(|cause| io_error("make the run's folder", path, cause))
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> Result<()> {
    Ok(())
}
