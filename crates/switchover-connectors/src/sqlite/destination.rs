//! What a target's file is before anything is written to it: the state for the plan, and what `doctor`
//! says. Reads only: a file that is not there is not made, and one that is there keeps its every byte.

use super::config::SqliteConfig;
use super::error::classify;
use super::reader::open_to_read;
use super::{connect, file, ledger, live};
use crate::disk;
use crate::sidecar::{io_error, with_suffix};
use std::fs;
use std::path::Path;
use switchover_core::connector::TargetState;
use switchover_core::finding::{Finding, Needs};
use switchover_core::schema::StoreInfo;
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "inspect the target";

/// Objects of a file that are named where it should be empty.
const NAMED_MAX: usize = 3;

/// The state of the file.
pub(super) fn state(config: &SqliteConfig) -> Result<TargetState> {
    let path = &file::resolved(config.path(), OPERATION)?;
    file::sweep(path);
    if config.immutable() {
        return Err(Error::new(Kind::Config, OPERATION)
            .store(config.label())
            .detail("immutable=1 says that nothing changes the file, and a target is written")
            .hint("leave the parameter out"));
    }
    let mut store = StoreInfo {
        kind: "sqlite".into(),
        label: config.label(),
        version: rusqlite::version().to_owned(),
        encoding: "UTF-8".into(),
        ..StoreInfo::default()
    };
    let mut state = TargetState { free_bytes: disk::free_bytes(path), ..TargetState::default() };
    let meta = match fs::metadata(path) {
        Ok(meta) => Some(meta),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error(OPERATION, path, error)),
    };
    state.missing_rights.extend(unwritable(path, meta.is_some()));
    if meta.as_ref().is_none_or(|meta| meta.is_file() && meta.len() == 0)
        && let Some(stray) = file::stray(path)
    {
        return Err(Error::new(Kind::Refused, OPERATION)
            .store(config.label())
            .detail(format!(
                "{} is there without its database: SQLite would take it for the new file's",
                stray.display()
            ))
            .hint("put its database back, or move it away; it may hold rows that are nowhere else"));
    }
    // A file without a byte is a database without a table.
    if meta.as_ref().is_some_and(|meta| !meta.is_file() || meta.len() > 0) {
        let log = with_suffix(path, "-wal");
        let logged = log.exists();
        let (connection, _) = open_to_read(path)?;
        let fail = |error| classify(error, OPERATION, path);
        store.size_bytes = meta.map_or(0, |meta| meta.len());
        store.encoding = connection.query_row("PRAGMA encoding", [], |row| row.get(0)).map_err(fail)?;
        state.objects = ledger::objects(&connection).map_err(fail)?;
        state.runs = ledger::run_of(&connection).map_err(fail)?.into_iter().collect();
        state.owner = live::records::owner(&connection).map_err(fail)?;
        if store.encoding != "UTF-8" {
            state.missing_rights.push(format!(
                "the file's encoding is {}, which does not hold every text as it is: name a new file",
                store.encoding
            ));
        }
        drop(connection);
        if !logged && log.exists() && state.missing_rights.is_empty() {
            // A mere reader leaves the empty log that it made. A writer that is the file's last takes it away.
            drop(connect::bare(path)?);
        }
    }
    state.schema_exists = path.exists();
    state.store = store;
    Ok(state)
}

/// Why nothing can be written there, if nothing can.
fn unwritable(path: &Path, exists: bool) -> Option<String> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let may = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    if !may(folder) {
        return Some(format!("the folder {} cannot be written", folder.display()));
    }
    (exists && !may(path)).then(|| format!("the file {} cannot be written", path.display()))
}

/// All findings.
pub(super) fn examine(config: &SqliteConfig, needs: &Needs) -> Vec<Finding> {
    let state = match state(config) {
        Ok(state) => state,
        Err(error) => return vec![Finding::of_error("file", &error)],
    };
    let mut found = vec![match state.schema_exists {
        true => Finding::ok("file", format!("{}, which is there", state.store.label)),
        false => Finding::ok("file", format!("{} will be made", state.store.label)),
    }];
    let todo = "have its owner grant it, or name another file";
    found.extend(state.missing_rights.iter().map(|lack| Finding::fault("rights", lack, todo)));
    found.push(match (state.runs.first(), state.objects.len()) {
        (_, 0) => Finding::ok("content", "no tables yet"),
        (Some(run), _) => Finding::warning(
            "content",
            format!("the file holds the run {run}"),
            "resume it, roll it back, or clean up after it; a new run needs another file",
        ),
        (None, count) => {
            let named: Vec<&str> = state.objects.iter().take(NAMED_MAX).map(String::as_str).collect();
            Finding::fault(
                "content",
                format!("the file holds {count} objects already, such as {}", named.join(", ")),
                "name a new file",
            )
        }
    });
    found.push(disk::room(state.free_bytes, needs.target_bytes));
    found
}
