//! The file of `--log-file`: all that is said on standard error with `-v`, a line each, with its time.
//!
//! Invariants: what is there stays, and new lines come behind it; a file that is no log is left alone; every line went
//! through [`scrub`]. What cannot be written any more is said once, and stops nothing: the data is worth more than
//! its log.

use super::lines::Lines;
use crate::config::scrub;
use crate::render::layout::shown;
use crate::render::output;
use jiff::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use switchover::progress::Event;
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "open the log file";

/// A log file, open for the whole run.
#[derive(Clone)]
pub(crate) struct LogFile(Arc<Mutex<Open>>);

struct Open {
    path: PathBuf,
    file: File,
    lines: Lines,
    failed: bool,
}

impl LogFile {
    /// Opens it, or makes it.
    pub(crate) fn open(path: &Path) -> Result<LogFile> {
        let failed = |error: std::io::Error| {
            Error::new(Kind::Io, OPERATION)
                .store(path.display().to_string())
                .hint("name a file that can be written with --log-file")
                .because(error)
        };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let mut first = [0u8; 1];
        // Each line begins with its year: a database, a dump or a key does not.
        if file.read(&mut first).map_err(failed)? == 1 && !first[0].is_ascii_digit() {
            return Err(Error::new(Kind::Config, OPERATION)
                .store(path.display().to_string())
                .detail("the file is there, and is no log of this program")
                .hint("name another file with --log-file"));
        }
        let open = Open { path: path.to_owned(), file, lines: Lines::default(), failed: false };
        Ok(LogFile(Arc::new(Mutex::new(open))))
    }

    /// What the engine tells.
    pub(super) fn event(&self, event: &Event) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = open.lines.event(event, Instant::now()) {
            open.write(&line);
        }
    }

    /// Something that is said in other words on the screen; each of its lines is one here.
    pub(super) fn say(&self, label: &str, text: &str) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in scrub(text).lines() {
            open.write(&format!("{label}{}", shown(line)));
        }
    }
}

impl Open {
    fn write(&mut self, line: &str) {
        let written = self.file.write_all(format!("{:.3} {line}\n", Timestamp::now()).as_bytes());
        if let (Err(error), false) = (written, self.failed) {
            self.failed = true;
            output::note(&format!("warning: {} takes no more lines: {error}", self.path.display()));
        }
    }
}

/// Log lines into the file: each write is one whole line.
impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.say("", String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn lines_come_behind_what_is_there_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.log");
        for text in ["first\nsecond", "to postgres://u:s3cret@h/d\u{1b}[2J"] {
            LogFile::open(&path).unwrap().say("warning: ", text);
        }
        let said = std::fs::read_to_string(&path).unwrap();
        let ends: Vec<&str> = said.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
        assert_eq!(ends, ["warning: first", "warning: second", "warning: to postgres://u:***@h/d\\u{1b}[2J"]);
        for other in ["SQLite format 3\0", "{\"users\": []}"] {
            std::fs::write(&path, other).unwrap();
            let error = LogFile::open(&path).err().unwrap();
            assert!(error.to_string().contains("no log of this program"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
        assert_eq!(LogFile::open(folder.path()).err().unwrap().kind(), Kind::Io);
    }
}
