//! A SQLite file for a rehearsal: a copy of the source, or a target that comes and goes.
//!
//! Invariants: the source is only read, by the backup interface; what is written to is the file made here. Rows are
//! written by a connection like an application's, whose triggers fire. Absent: the folder, which is the caller's to remove.

use super::backup;
use super::config::SqliteConfig;
use super::connect::{self, Commits, blocking};
use super::error::{classify, is_busy};
use super::live::FENCE_MESSAGE;
use super::open::BUSY_TIMEOUT;
use super::quote::ident;
use crate::sidecar;
use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use switchover_core::live::{Scratch, Side, touched};
use switchover_core::plan::TablePlan;
use switchover_core::{Error, Kind, Result};

/// A file of a rehearsal.
#[derive(Debug)]
pub struct ScratchFile {
    path: PathBuf,
    side: Side,
    application: Mutex<Option<Connection>>,
}

impl ScratchFile {
    /// A copy of a file, in a folder that is there, in WAL mode as a live run needs it.
    ///
    /// # Errors
    /// When the source cannot be read, or the folder has no room.
    pub async fn copy_of(source: &SqliteConfig, folder: &Path) -> Result<ScratchFile> {
        let made = blocking(|| backup::create(source, folder, "source", &mut |_| {}))?;
        let path = made.path;
        let note = sidecar::path_of(&path);
        std::fs::remove_file(&note)
            .map_err(|cause| sidecar::io_error("copy the source for a rehearsal", &note, cause))?;
        // It stays in that mode when it is closed.
        blocking(|| connect::open(&path, Commits::Soon)).map(drop)?;
        Ok(ScratchFile { path, side: Side::Source, application: Mutex::default() })
    }

    /// A file that the run will make.
    pub fn target(folder: &Path) -> ScratchFile {
        ScratchFile { path: folder.join("target.db"), side: Side::Target, application: Mutex::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn statement(&self, table: &TablePlan, rows: u64) -> Option<String> {
        let (key, written) = touched(table)?;
        let name = |at: usize| match self.side {
            Side::Source => ident(&table.columns[at].source),
            Side::Target => ident(&table.columns[at].target),
        };
        let from = ident(if self.side == Side::Source { &table.source } else { &table.target });
        let key: Vec<String> = key.into_iter().map(name).collect();
        let (key, written) = (key.join(", "), name(written));
        Some(format!(
            "UPDATE {from} SET {written} = {written} WHERE ({key}) IN (SELECT {key} FROM {from} LIMIT {rows})"
        ))
    }

    fn write(&self, statement: &str) -> Result<bool> {
        let operation = "write to the rehearsal's file";
        let fail = |error| classify(error, operation, &self.path);
        let mut application = self.application.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match application.take() {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags).map_err(fail)?;
                connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
                connection
            }
        };
        let written = connection.execute(statement, []);
        *application = Some(connection);
        match written {
            Ok(_) => Ok(true),
            Err(rusqlite::Error::SqliteFailure(_, Some(said))) if said == FENCE_MESSAGE => Ok(false),
            Err(error) if is_busy(&error) => Ok(false),
            Err(error) => Err(fail(error)),
        }
    }
}

#[async_trait]
impl Scratch for ScratchFile {
    async fn touch(&self, table: &TablePlan, rows: u64) -> Result<bool> {
        match self.statement(table, rows) {
            Some(statement) => blocking(|| self.write(&statement)),
            None => Ok(true),
        }
    }

    async fn remove(&self) -> Result<()> {
        drop(self.application.lock().unwrap_or_else(PoisonError::into_inner).take());
        for suffix in ["", "-wal", "-shm"] {
            let path = sidecar::with_suffix(&self.path, suffix);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::new(Kind::Io, "remove the rehearsal's file")
                        .store(path.display().to_string())
                        .because(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
