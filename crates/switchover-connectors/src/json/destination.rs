//! What lies where a dump is to be, before anything is written: the state for the plan, and what `doctor` says.
//! Reads only.

use super::catalog::STORE;
use super::config::JsonConfig;
use super::form::Form;
use super::publish::is_ours;
use super::work::Work;
use crate::disk;
use crate::place::{resolved, sweep};
use std::fs;
use std::path::Path;
use switchover_core::Result;
use switchover_core::connector::TargetState;
use switchover_core::finding::{Finding, Needs};
use switchover_core::schema::StoreInfo;

const OPERATION: &str = "inspect the target";

/// The state of the place.
pub(super) fn state(config: &JsonConfig) -> Result<TargetState> {
    Form::of(config)?;
    let path = &resolved(config.path(), OPERATION)?;
    sweep(path);
    let work = Work::beside(path);
    let run = work.run()?;
    let mut objects = Vec::new();
    let ours = match (&run, work.published()?) {
        (Some(_), Some(published)) => is_ours(path, &published)?,
        _ => false,
    };
    if fs::symlink_metadata(path).is_ok() && !ours {
        objects.push(format!("{} {}", if path.is_dir() { "folder" } else { "file" }, path.display()));
    }
    if let Some(run) = &run {
        objects.push(format!("run {run}, in {}", work.path().display()));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let may = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    let missing_rights = match may {
        true => Vec::new(),
        false => vec![format!("the folder {} cannot be written", folder.display())],
    };
    Ok(TargetState {
        store: StoreInfo {
            kind: STORE.into(),
            label: config.label(),
            version: "RFC 8259".into(),
            encoding: "UTF-8".into(),
            ..StoreInfo::default()
        },
        schema_exists: false,
        objects,
        taken: Vec::new(),
        aliases: None,
        modules: Vec::new(),
        runs: run.into_iter().collect(),
        owner: None,
        free_bytes: disk::free_bytes(path),
        missing_rights,
    })
}

/// All findings.
pub(super) fn examine(config: &JsonConfig, needs: &Needs) -> Vec<Finding> {
    let state = match state(config) {
        Ok(state) => state,
        Err(error) => return vec![Finding::of_error("file", &error)],
    };
    let mut found = vec![match (state.runs.first(), state.objects.first()) {
        (Some(run), _) => Finding::warning(
            "content",
            format!("the run {run} is not cleaned up"),
            "resume it, roll it back, or clean up after it; a new run needs another name",
        ),
        (None, Some(object)) => Finding::fault(
            "content",
            format!("something is there already: {object}"),
            "name a file or folder that is not there",
        ),
        (None, None) => Finding::ok("content", format!("{} will be made", state.store.label)),
    }];
    let todo = "have its owner grant it, or name another folder";
    found.extend(state.missing_rights.iter().map(|lack| Finding::fault("rights", lack, todo)));
    found.push(disk::room(state.free_bytes, needs.target_bytes));
    found
}
