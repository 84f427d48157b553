//! `backup`: create, verify, restore, list.
//!
//! A backup is a file and its note `FILE.json`. Exit code 1 is the definite answer that a backup is not
//! what its note says; a backup that cannot be read at all is 2.

use super::Context;
use crate::args::BackupVerb;
use crate::config::{Origin, StoreRef};
use crate::registry::archive::{self, Archive};
use crate::render::layout::{bytes, columns, shown};
use crate::render::output;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use switchover::journal::make_lasting;
use switchover::progress::{Event, Phase, Progress};
use switchover_connectors::sidecar::{Listed, Sidecar};
use switchover_core::{Error, Kind, Result};

/// A backup as it is listed.
#[derive(Debug, Clone, Serialize)]
struct Backup {
    /// Its file.
    path: String,
    /// Its store, without secrets.
    store: String,
    /// When it was made, in RFC 3339.
    made_at: String,
    /// Its size.
    bytes: u64,
    /// The BLAKE3 digest of the file.
    blake3: String,
    /// What a glance shows to be wrong; empty when nothing.
    problem: String,
}

/// Carries out a verb.
pub(crate) async fn run(context: &Context, verb: &BackupVerb) -> Result<u8> {
    let said = match verb {
        BackupVerb::Create { file, .. } => create(context, file.as_deref()).await?,
        BackupVerb::Verify { url, file } => {
            let file = existing(context, url.is_some() || file.is_none(), file.as_deref())?;
            let note = archive::verify(&file).await.map_err(|error| definite(error, &file))?;
            format!("whole: {}\n{}", shown(&file.display().to_string()), facts(&note))
        }
        BackupVerb::Restore { file, force, .. } => {
            let store = of(context)?;
            let file = existing(context, true, file.as_deref())?;
            let note = store
                .restore(&file, *force, &context.shutdown)
                .await
                .map_err(|error| definite(error, &file))?;
            let to = shown(&store.label());
            format!("restored {to}\n{}", facts(&note))
        }
        BackupVerb::List { url, json } => list(context, url.is_some(), *json)?,
    };
    context.screen.end();
    output::data(&said)?;
    Ok(0)
}

/// The folder of backups without a name of their own; a migration puts its own there too.
fn folder(context: &Context) -> PathBuf {
    context.resolved.settings.state_dir.join("backups")
}

fn of(context: &Context) -> Result<Archive> {
    archive::archive(context.resolved.source()?, &context.resolved.environment)
}

async fn create(context: &Context, file: Option<&Path>) -> Result<String> {
    let store = of(context)?;
    let (folder, name) = match file {
        Some(file) => {
            let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (folder.unwrap_or(Path::new(".")).to_owned(), name)
        }
        None => (folder(context), store.dated_name(jiff::Timestamp::now())),
    };
    make_lasting(&folder).map_err(|error| {
        Error::new(Kind::Io, "make the folder of backups").store(folder.display().to_string()).because(error)
    })?;
    let begun = Instant::now();
    let bytes = store.size_bytes();
    context.screen.event(Event::PhaseStarted { phase: Phase::Backup, rows: 0, bytes });
    let (path, note) =
        store.create(&folder, &name, Arc::new(context.screen.clone()), &context.shutdown).await?;
    context
        .screen
        .event(Event::PhaseFinished { phase: Phase::Backup, seconds: begun.elapsed().as_secs_f64() });
    Ok(format!("made and checked: {}\n{}", shown(&path.display().to_string()), facts(&note)))
}

/// The file that was named, or the newest of the store.
fn existing(context: &Context, needs_store: bool, file: Option<&Path>) -> Result<PathBuf> {
    if let Some(file) = file {
        return Ok(file.to_owned());
    }
    let store = if needs_store { Some(of(context)?) } else { None };
    let folder = folder(context);
    let ours = |listed: &Listed| match (&store, &listed.sidecar) {
        (Some(store), Some(note)) => store.is_of(&listed.path, note),
        _ => false,
    };
    match archive::list(&folder)?.into_iter().find(ours) {
        Some(listed) => Ok(listed.path),
        None => Err(Error::new(Kind::NotFound, "find the newest backup")
            .store(store.map(|store| store.label()).unwrap_or_default())
            .detail(format!("{} holds none of this store", folder.display()))
            .hint("name its file with --file; `switchover backup list` shows what there is")),
    }
}

/// Damage to a backup is a definite no, not a failure to tell.
fn definite(error: Error, file: &Path) -> Error {
    if error.kind() != Kind::Corrupt {
        return error;
    }
    Error::new(Kind::Different, "vouch for the backup")
        .store(file.display().to_string())
        .detail(error.why())
        .hint(error.what_to_do())
}

fn list(context: &Context, one: bool, json: bool) -> Result<String> {
    let store = if one { Some(of(context)?) } else { None };
    let ours = |listed: &Listed| match (&store, &listed.sidecar) {
        (Some(store), Some(note)) => store.is_of(&listed.path, note),
        (Some(_), None) => false,
        (None, _) => true,
    };
    let folder = folder(context);
    let found: Vec<Backup> = archive::list(&folder)?.into_iter().filter(ours).map(backup).collect();
    if json {
        let text = serde_json::to_string_pretty(&found);
        return Ok(
            text.map_err(|error| Error::new(Kind::Internal, "list the backups").because(error))? + "\n"
        );
    }
    if found.is_empty() {
        return Ok(format!("no backups in {}\n", shown(&folder.display().to_string())));
    }
    let row = |b: &Backup| {
        let what = if b.problem.is_empty() { b.store.clone() } else { format!("DAMAGED: {}", b.problem) };
        [shown(&b.made_at), bytes(b.bytes), format!("{} ({})", shown(&b.path), shown(&what))]
    };
    Ok(columns(0, [24, 10, 0], &found.iter().map(row).collect::<Vec<_>>()))
}

fn backup(listed: Listed) -> Backup {
    let note = listed.sidecar.as_ref();
    let second = |note: &Sidecar| note.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Backup {
        path: listed.path.display().to_string(),
        store: note.map(|note| label_of(&note.source)).unwrap_or_default(),
        made_at: note.map(second).unwrap_or_default(),
        bytes: note.map(|note| note.bytes).unwrap_or_default(),
        blake3: note.map(|note| note.blake3.clone()).unwrap_or_default(),
        problem: listed.problem,
    }
}

/// A note's label without a password, whoever wrote the note.
fn label_of(source: &str) -> String {
    StoreRef::new(source, Origin::Journal).label()
}

fn facts(note: &Sidecar) -> String {
    let mut rows = vec![
        ["store".to_owned(), shown(&label_of(&note.source))],
        ["made".to_owned(), note.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()],
        ["size".to_owned(), bytes(note.bytes)],
        ["BLAKE3".to_owned(), shown(&note.blake3)],
    ];
    if !note.store_version.is_empty() {
        rows.push(["version".to_owned(), shown(&note.store_version)]);
    }
    columns(2, [8, 0], &rows)
}
