//! Opening a dump: its files, what each of them holds, and whether they are still what they were.
//!
//! A gzip file is unpacked once into a file without a name in the system's folder for temporary files, because the
//! engine reads a table several times and by ranges (docs/decisions/0010).
//!
//! Invariants: files are opened once and read through that handle, so a file that is renamed away stays readable;
//! [`Data::unchanged`] says when one was written to meanwhile; nothing is ever written to the source.

use super::config::JsonConfig;
use super::place::OPERATION;
use crate::sidecar::io_error;
use flate2::bufread::GzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use switchover_core::schema::Skipped;
use switchover_core::{Error, Kind, Result};

/// Bytes unpacked at a time.
const UNPACK_BYTES: usize = 256 << 10;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// An object whose members are the tables.
    Dump,
    /// One table: a list of rows, or an object of rows by key.
    Table(String),
    /// One table: rows one after another (JSON Lines).
    Lines(String),
}

/// A file of the dump.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) holds: Holds,
    pub(super) data: Arc<Data>,
}

/// The bytes of a file, unpacked.
#[derive(Debug)]
pub(super) struct Data {
    /// What is read: the file, or what it was unpacked to.
    content: File,
    /// The file as it was named.
    origin: File,
    stamp: Stamp,
    path: PathBuf,
    /// BLAKE3 of the file as it was named, when it is known already.
    pub(super) blake3: Option<blake3::Hash>,
}

/// What shows that a file was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Stamp> {
        let meta = file.metadata()?;
        Ok(Stamp { bytes: meta.len(), modified: meta.modified().ok() })
    }
}

impl Data {
    /// Bytes of the file as it was named.
    pub(super) fn bytes(&self) -> u64 {
        self.stamp.bytes
    }

    /// An error when the file was written to since it was opened.
    pub(super) fn unchanged(&self) -> Result<()> {
        let now = Stamp::of(&self.origin).map_err(|cause| io_error(OPERATION, &self.path, cause))?;
        if now == self.stamp { Ok(()) } else { Err(changed(&self.path)) }
    }

    /// Reads from `offset` on.
    pub(super) fn reader(self: &Arc<Data>, offset: u64) -> DataReader {
        DataReader { data: Arc::clone(self), offset }
    }
}

/// The file is not what it was when it was opened.
pub(super) fn changed(path: &Path) -> Error {
    Error::new(Kind::Changed, OPERATION)
        .store(format!("json:{}", path.display()))
        .detail("the file was changed while it was read")
        .hint("stop what writes to it, or copy it, and begin anew")
}

/// Reads a file from a place of its own, whoever else reads it.
pub(super) struct DataReader {
    data: Arc<Data>,
    offset: u64,
}

impl Read for DataReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = read_at(&self.data.content, out, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(unix)]
pub(super) fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, out, offset)
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, out, offset)
}

/// The files of a dump, and what lies beside them and is none.
pub(super) fn open(config: &JsonConfig) -> Result<(Vec<Part>, Vec<Skipped>)> {
    let path = config.path();
    let meta = fs::metadata(path).map_err(|cause| io_error("open the JSON source", path, cause))?;
    if meta.is_dir() {
        return folder(path);
    }
    if !meta.is_file() {
        return Err(Error::new(Kind::Config, "open the JSON source")
            .store(path.display().to_string())
            .detail("it is not a regular file")
            .hint("write the dump to a file first: it is read more than once"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let holds = match Ending::of(&name) {
        Some((stem, Ending::Lines)) => Holds::Lines(stem),
        Some((_, Ending::Json)) | None => Holds::Dump,
    };
    Ok((vec![part(path, holds)?], Vec::new()))
}

pub(super) enum Ending {
    Json,
    Lines,
}

impl Ending {
    /// What the name of a file says that it holds, and the name without it.
    pub(super) fn of(name: &str) -> Option<(String, Ending)> {
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        let (stem, ending) = plain.rsplit_once('.')?;
        let ending = match ending {
            "json" => Ending::Json,
            "jsonl" | "ndjson" => Ending::Lines,
            _ => return None,
        };
        Some((stem.to_owned(), ending)).filter(|(stem, _)| !stem.is_empty())
    }
}

fn folder(path: &Path) -> Result<(Vec<Part>, Vec<Skipped>)> {
    let fail = |cause| io_error("open the JSON source", path, cause);
    let (mut parts, mut skipped) = (BTreeMap::<String, Part>::new(), Vec::new());
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)? {
        names.push(entry.map_err(fail)?.path());
    }
    names.sort();
    for file in names {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((table, ending)) = Ending::of(&name).filter(|_| file.is_file()) else {
            let why = "it is no file that ends in .json, .jsonl, .ndjson or one of these with .gz";
            skipped.push(Skipped { kind: "file".into(), name, why: why.into() });
            continue;
        };
        let holds = match ending {
            Ending::Json => Holds::Table(table.clone()),
            Ending::Lines => Holds::Lines(table.clone()),
        };
        if let Some(other) = parts.get(&table) {
            return Err(Error::new(Kind::Refused, "open the JSON source")
                .store(format!("json:{}", path.display()))
                .table(table)
                .detail(format!("both {} and {} would be this table", other.path.display(), file.display()))
                .hint("move one of them out of the folder"));
        }
        parts.insert(table, part(&file, holds)?);
    }
    if parts.is_empty() {
        return Err(Error::new(Kind::NotFound, "open the JSON source")
            .store(format!("json:{}", path.display()))
            .detail("the folder holds no file that ends in .json, .jsonl or .ndjson")
            .hint("check the path"));
    }
    Ok((parts.into_values().collect(), skipped))
}

fn part(path: &Path, holds: Holds) -> Result<Part> {
    let fail = |cause| io_error("open the JSON source", path, cause);
    let origin = File::open(path).map_err(fail)?;
    let stamp = Stamp::of(&origin).map_err(fail)?;
    let packed = path.extension().is_some_and(|ending| ending == "gz");
    let (content, blake3) = if packed {
        let (content, hash) = unpack(&origin, path)?;
        (content, Some(hash))
    } else {
        (origin.try_clone().map_err(fail)?, None)
    };
    let data = Data { content, origin, stamp, path: path.to_owned(), blake3 };
    // What was unpacked is of one state of the file.
    data.unchanged()?;
    Ok(Part { path: path.to_owned(), holds, data: Arc::new(data) })
}

/// Hashes what is read through it.
pub(super) struct Hashing<R> {
    inner: R,
    pub(super) hasher: blake3::Hasher,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Hashing<R> {
        Hashing { inner, hasher: blake3::Hasher::new() }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.hasher.update(&out[..count]);
        Ok(count)
    }
}

/// How a gzip file begins, and each of several that lie one behind the other.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Unpacks a gzip file into a file without a name.
fn unpack(origin: &File, path: &Path) -> Result<(File, blake3::Hash)> {
    let operation = "unpack the JSON source";
    let folder = std::env::temp_dir();
    let mut content = tempfile::tempfile_in(&folder).map_err(|cause| io_error(operation, &folder, cause))?;
    let origin = origin.try_clone().map_err(|cause| io_error(operation, path, cause))?;
    let mut packed = BufReader::with_capacity(UNPACK_BYTES, Hashing::new(origin));
    let corrupt = |detail: &str, hint: &str| {
        Error::new(Kind::Corrupt, operation)
            .store(format!("json:{}", path.display()))
            .detail(detail)
            .hint(format!("{hint}; nothing was changed on the target"))
    };
    let mut buffer = vec![0; UNPACK_BYTES];
    let mut first = true;
    loop {
        let head = packed.fill_buf().map_err(|cause| io_error(operation, path, cause))?;
        if head.is_empty() && !first {
            break;
        }
        // One byte of the two may be all that is there.
        if !head.is_empty() && !GZIP_MAGIC.starts_with(&head[..head.len().min(GZIP_MAGIC.len())]) {
            return Err(match first {
                true => corrupt(
                    "its name ends in .gz, and its content is no gzip",
                    "if it is not compressed, take .gz off its name",
                ),
                false => corrupt(
                    "behind the end of the gzip data there is something else",
                    "cut that off, or have the file written again",
                ),
            });
        }
        first = false;
        let mut decoder = GzDecoder::new(&mut packed);
        loop {
            match decoder.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => content
                    .write_all(&buffer[..count])
                    .map_err(|cause| io_error(operation, &folder, cause))?,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    let detail = match cause.kind() {
                        io::ErrorKind::UnexpectedEof => "the gzip file is cut off",
                        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                            "the gzip file is damaged"
                        }
                        _ => return Err(io_error(operation, path, cause)),
                    };
                    return Err(corrupt(detail, "copy it again, or have it written again").because(cause));
                }
            }
        }
    }
    Ok((content, packed.into_inner().hasher.finalize()))
}
