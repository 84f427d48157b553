//! Opening the source, to read it and never to change it.
//!
//! Invariants: the file is neither created nor written; every connection has the same bounded memory; what a
//! hostile schema could do (write, run functions, load code) is switched off; each way to fail has a message of
//! its own. In WAL mode SQLite itself may make `-wal` and `-shm` beside the file: that is how readers take part.
//!
//! The file's own bytes are looked at only after SQLite failed to open it. POSIX drops all locks that a process
//! holds on a file when it closes any descriptor of it, so a curious look at the header of a healthy file would
//! free the read locks of this process's other connections, and a writer could change pages under their snapshot.
//!
//! Absent: connections that write (capture's triggers, the target's side).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use switchover_core::{Error, Kind, Result};

use super::config::SqliteConfig;
use super::error::{classify, extended_code, primary_code};
use crate::sidecar::{io_error, with_suffix};
use crate::uri;

/// How long a reader waits for a lock: longer than any healthy application's transaction, shorter than a user's patience.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The page cache of a connection. A scan in key order reuses only the inner pages of its trees, which fit in this.
pub const CACHE_KIB: i64 = 4096;

/// No memory map: its pages count as resident, so a large one breaks the limit on memory, and a file that another
/// program truncates would end this process with SIGBUS instead of an error.
pub const MMAP_BYTES: i64 = 0;

/// The first bytes of every SQLite 3 file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The header of a database file.
const HEADER_BYTES: usize = 100;

/// Shannon entropy over [`ENTROPY_SAMPLE_BYTES`] above which bytes are encrypted or compressed: random bytes measure
/// about 7.95 there, text below 6.
const ENTROPY_BITS_MIN: f64 = 7.5;

/// Enough bytes to tell random from text.
const ENTROPY_SAMPLE_BYTES: usize = 4096;

const OPERATION: &str = "open the SQLite source";

/// Opens the file to read it, having read its schema once, so that what is wrong with it is known now.
pub fn open_read_only(config: &SqliteConfig) -> Result<Connection> {
    open_with(config, BUSY_TIMEOUT)
}

/// As [`open_read_only`], for something else than a source.
pub(crate) fn open_for(config: &SqliteConfig, operation: &str) -> Result<Connection> {
    check_is_file(config, operation)?;
    try_open(config, BUSY_TIMEOUT).map_err(|error| explain(error, config.path(), operation))
}

/// As [`open_read_only`], with another patience.
pub(crate) fn open_with(config: &SqliteConfig, busy: Duration) -> Result<Connection> {
    check_is_file(config, OPERATION)?;
    match try_open(config, busy) {
        Ok(connection) => Ok(connection),
        Err(error) => Err(explain(error, config.path(), OPERATION)),
    }
}

/// What the file system says before SQLite is asked; no descriptor is opened.
fn check_is_file(config: &SqliteConfig, operation: &str) -> Result<()> {
    let path = config.path();
    let error = |kind| Error::new(kind, operation).store(path.display().to_string());
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(no_such_file(config, operation).because(cause));
        }
        Err(cause) => return Err(io_error(operation, path, cause)),
    };
    if meta.is_dir() {
        return Err(error(Kind::Config).detail("it is a directory").hint("name the database file in it"));
    }
    if !meta.is_file() {
        return Err(error(Kind::Config)
            .detail("it is not a regular file")
            .hint("name the database file itself, not a device or a pipe"));
    }
    if meta.len() == 0 {
        return Err(error(Kind::Corrupt)
            .detail("it is empty (0 bytes), so it holds no tables")
            .hint("check the path: SQLite makes such a file when a program opens a name that is not there"));
    }
    let beside = || ["-wal", "-journal"].into_iter().map(|end| with_suffix(path, end));
    if config.immutable()
        && let Some(log) = beside().find(|log| holds_changes(log))
    {
        return Err(error(Kind::Refused)
            .detail(format!("immutable=1 has SQLite leave out what {} holds", log.display()))
            .hint("leave immutable=1 out; a file of a medium that cannot be written is copied with what is beside it, and opened once"));
    }
    Ok(())
}

/// Whether a log or a journal has anything in it: one that is done with is empty, gone, or begins with zeros.
fn holds_changes(log: &Path) -> bool {
    let mut first = [0; 8];
    File::open(log).is_ok_and(|mut log| log.read_exact(&mut first).is_ok()) && first != [0; 8]
}

fn no_such_file(config: &SqliteConfig, operation: &str) -> Error {
    let error = Error::new(Kind::NotFound, operation)
        .store(config.path().display().to_string())
        .detail("there is no such file");
    match config.alternatives().iter().find(|other| other.is_file()) {
        Some(other) if other.is_absolute() => error.hint(format!(
            "three slashes mean a path relative to the working directory, but {path} exists: write sqlite:///{path} (four slashes) if you mean it",
            path = other.display()
        )),
        Some(other) => error.hint(format!(
            "{} exists: in a URL a '%' of a file's name is written %25",
            other.display()
        )),
        None => match std::env::current_dir() {
            Ok(here) if config.path().is_relative() => {
                error.hint(format!("the path is relative to {}: check it, or give an absolute one", here.display()))
            }
            _ => error.hint("check the path"),
        },
    }
}

fn try_open(config: &SqliteConfig, busy: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if config.immutable() {
        let path = uri::percent_encode(&config.path().to_string_lossy()).replace("%2F", "/");
        Connection::open_with_flags(format!("file:{path}?immutable=1"), flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(config.path(), flags)?
    };
    connection.busy_timeout(busy)?;
    harden(&connection)?;
    // The first reads: these take the lock, look for a hot journal, and check the header and the schema.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

/// Switches off what a reader never needs, and bounds the memory.
pub(crate) fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false)?;
    // Extensions cannot be loaded: SQLite's default is off, and this program is built without the call.
    connection.execute_batch(&format!(
        "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
         PRAGMA cache_size = -{CACHE_KIB}; PRAGMA mmap_size = {MMAP_BYTES}; PRAGMA temp_store = FILE;"
    ))
}

/// Adds to SQLite's verdict what the file itself shows.
pub(crate) fn explain(error: rusqlite::Error, path: &Path, operation: &str) -> Error {
    let finding = match primary_code(&error) {
        Some(ffi::SQLITE_NOTADB) => not_a_database(path, operation),
        Some(ffi::SQLITE_CORRUPT) => truncated(path, operation),
        Some(ffi::SQLITE_CANTOPEN) if extended_code(&error) == Some(ffi::SQLITE_CANTOPEN) => {
            cannot_open(path, operation)
        }
        _ => None,
    };
    match finding {
        Some(finding) => finding.because(error),
        None => classify(error, operation, path),
    }
}

fn not_a_database(path: &Path, operation: &str) -> Option<Error> {
    let mut sample = Vec::with_capacity(ENTROPY_SAMPLE_BYTES);
    File::open(path).ok()?.take(ENTROPY_SAMPLE_BYTES as u64).read_to_end(&mut sample).ok()?;
    let error = Error::new(Kind::Corrupt, operation).store(path.display().to_string());
    if sample.starts_with(MAGIC) {
        return Some(
            error
                .detail("its header begins as SQLite's does, but the rest of it makes no sense")
                .hint("the file was damaged or is encrypted in part: restore a backup"),
        );
    }
    let described: String =
        sample.iter().take(16).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
    if sample.len() == ENTROPY_SAMPLE_BYTES && entropy_bits(&sample) >= ENTROPY_BITS_MIN {
        return Some(
            error
                .detail("it is not a SQLite database, or an encrypted one: its first bytes look random")
                .hint("if the application uses SQLCipher or SEE, export a plain copy first and name that"),
        );
    }
    Some(error.detail(format!("it is not a SQLite database: it begins with \"{described}\"")).hint(
        "check the path; a dump in SQL must be loaded into a database first (sqlite3 app.db < dump.sql)",
    ))
}

/// The header's page count against the file's length: SQLite itself only says "malformed".
fn truncated(path: &Path, operation: &str) -> Option<Error> {
    let mut header = [0; HEADER_BYTES];
    File::open(path).ok()?.read_exact(&mut header).ok()?;
    let page_bytes = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        other => other,
    };
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    let (want, have) = (pages * page_bytes, fs::metadata(path).ok()?.len());
    // The page count counts only if the same program wrote it last as wrote the change counter.
    if header[24..28] != header[92..96] || have >= want {
        return None;
    }
    Some(
        Error::new(Kind::Corrupt, operation)
            .store(path.display().to_string())
            .detail(format!(
                "it is truncated: its header says {pages} pages of {page_bytes} bytes ({want} bytes), the file has {have}"
            ))
            .hint("the copy was probably cut off: copy it again, or restore a backup"),
    )
}

fn cannot_open(path: &Path, operation: &str) -> Option<Error> {
    if let Err(cause) = File::open(path) {
        return Some(io_error(operation, path, cause));
    }
    // The file itself can be read, so it is what SQLite needs beside it.
    ["-wal", "-shm"].iter().map(|suffix| with_suffix(path, suffix)).find_map(|beside| {
        let cause = match fs::OpenOptions::new().read(true).write(true).open(&beside) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => cause,
            _ => return None,
        };
        Some(
            Error::new(Kind::Permission, operation)
                .store(path.display().to_string())
                .detail(format!(
                    "it is in WAL mode, and {} beside it cannot be opened ({cause})",
                    beside.display()
                ))
                .hint("run as the user that owns the file: even a reader writes to -shm in WAL mode"),
        )
    })
}

fn entropy_bits(sample: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in sample {
        counts[usize::from(*byte)] += 1;
    }
    let total = sample.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|p| -p * p.log2())
        .sum()
}
