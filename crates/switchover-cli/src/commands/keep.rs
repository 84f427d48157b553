//! `--archive DIR` of `migrate` and `resume`: after a verified run, a copy of the dump with its date, checked, and
//! proven to be what was moved. The dump itself stays as it is.

use super::Context;
use crate::config::StoreRef;
use crate::registry::archive::{Archive, archive};
use crate::render::output;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use switchover::journal::{Journal, make_lasting};
use switchover::report::{Report, Verdict};
use switchover_connectors::sidecar;
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "archive the dump";

/// The archive of a dump, and a folder for it: looked at before anything is moved.
pub(crate) fn prepare(context: &Context, from: &StoreRef, folder: &Path) -> Result<Archive> {
    let found = archive(from, &context.resolved.environment)?;
    let error = |detail: &str, hint: &str| {
        Error::new(Kind::Config, OPERATION).store(found.label()).detail(detail).hint(hint)
    };
    match &found {
        Archive::Json(config) if config.path().is_dir() => {
            return Err(error("a folder is many files, and --archive keeps one", "keep the folder yourself"));
        }
        Archive::Json(_) => {}
        Archive::Sqlite(_) | Archive::Postgres(_) => {
            return Err(error("--archive keeps a dump in JSON", "use `switchover backup create`"));
        }
    }
    make_lasting(folder).map_err(|cause| {
        Error::new(Kind::Io, OPERATION)
            .store(folder.display().to_string())
            .detail("the folder cannot be made")
            .hint("name another")
            .because(cause)
    })?;
    Ok(found)
}

/// Keeps the dump of a run, if that was verified.
pub(crate) async fn dump(context: &Context, kept: &Archive, folder: &Path, report: &Report) -> Result<()> {
    if report.verdict != Verdict::Same {
        return Ok(());
    }
    let plan = Journal::read_plan(&context.resolved.settings.state_dir, &report.run)?;
    let name = kept.dated_name(jiff::Timestamp::now());
    let (path, note) =
        kept.create(folder, &name, Arc::new(context.screen.clone()), &context.shutdown).await?;
    if plan.source.store.content.as_ref() != Some(&note.blake3) {
        for file in [&path, &sidecar::path_of(&path)] {
            fs::remove_file(file).map_err(|cause| Error::new(Kind::Io, OPERATION).because(cause))?;
        }
        return Err(Error::new(Kind::Changed, OPERATION)
            .store(kept.label())
            .detail("the file is no longer what was moved, so it was not archived")
            .hint("the run is done; the state folder has the backup of what was moved"));
    }
    output::data(&format!("  archived as {}\n", path.display()))
}
