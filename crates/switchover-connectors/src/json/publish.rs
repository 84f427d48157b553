//! The assembly: chunks become one document or a folder of files, and that gets the dump's name.
//!
//! The order, and what a crash in it leaves: the dump under a private name (made again); `published.json` (says
//! nothing until a dump of that identity has the name); the name; the chunks go. So nothing half written is ever
//! seen under the dump's name, and a run knows its own dump from one that somebody else put there.

use super::form::{Form, table_file, table_name};
use super::render::text;
use super::work::{Head, Published, Work, open_chunk};
use crate::place;
use crate::sidecar::{hash_file, io_error, sync_directory};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use switchover_core::chunk::LocatorValue;
use switchover_core::failpoint;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "make the dump";

/// Bytes that are written at a time.
const WRITE_BYTES: usize = 256 << 10;

/// The dump's private name, in the run's folder.
const UNNAMED: &str = "dump";

/// Whether the dump that has the name is the one that this run published.
pub(super) fn is_ours(dump: &Path, published: &Published) -> Result<bool> {
    if fs::symlink_metadata(dump).is_err() {
        return Ok(false);
    }
    if published.identity.is_some() && place::identity(dump) == published.identity {
        return Ok(true);
    }
    // Written again with the same content, as by a program that copies files.
    match &published.blake3 {
        Some(blake3) if dump.is_file() => Ok(hash_file(dump)?.1 == *blake3),
        _ => Ok(false),
    }
}

/// Whether something stands where the dump was, and in a folder under each of its names.
pub(super) fn is_whole(dump: &Path, published: &Published) -> bool {
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    is_there(dump) && published.files.iter().all(|name| is_there(&dump.join(name)))
}

/// What is in the dump and was not put there by the run, in words.
pub(super) fn touched(dump: &Path, published: &Published) -> Result<Vec<String>> {
    const OPERATION: &str = "look whether the dump is as it was made";
    if fs::symlink_metadata(dump).is_err() || !is_ours(dump, published)? {
        return Ok(Vec::new());
    }
    if let Some(blake3) = &published.blake3 {
        let same = hash_file(dump)?.1 == *blake3;
        return Ok(if same { Vec::new() } else { vec!["the dump was written to".to_owned()] });
    }
    let fail = |cause| io_error(OPERATION, dump, cause);
    let mut found = Vec::new();
    for entry in fs::read_dir(dump).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
        if !published.files.contains(&name) {
            found.push(format!("{name:?} in it is not the run's"));
        }
    }
    found.sort();
    Ok(found)
}

/// Removes the dump: of a folder its own files, and the folder only if nothing else is in it.
pub(super) fn remove(dump: &Path, published: &Published, operation: &str) -> Result<()> {
    let gone = |path: &Path, removed: io::Result<()>| match removed {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(io_error(operation, path, cause)),
        _ => Ok(()),
    };
    if !dump.is_dir() {
        return gone(dump, fs::remove_file(dump));
    }
    for name in &published.files {
        let path = dump.join(name);
        gone(&path, fs::remove_file(&path))?;
    }
    match fs::remove_dir(dump) {
        Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => gone(dump, removed),
    }
}

/// Assembles and publishes, unless that was done.
pub(super) fn publish(dump: &Path, work: &Work, plan: &Plan, form: Form) -> Result<()> {
    if let Some(published) = work.published()?
        && is_ours(dump, &published)?
    {
        // Its private name, where the run was killed before that went.
        work.remove(UNNAMED)?;
        return work.drop_chunks();
    }
    if fs::symlink_metadata(dump).is_ok() {
        return Err(Error::new(Kind::AlreadyExists, OPERATION)
            .store(dump.display().to_string())
            .detail("another program put something of this name there")
            .hint("move it away, and resume the run"));
    }
    let chunks = work.chunks()?;
    let quarantine: Vec<_> = chunks.iter().flat_map(|(head, _)| head.quarantine.clone()).collect();
    let checkpoints = chunks.iter().map(|(head, _)| head.checkpoint.clone()).collect();
    let place = assemble(work, plan, form, chunks)?;
    let blake3 = match form {
        Form::Dump { .. } => Some(hash_file(&place)?.1),
        Form::Folder => None,
    };
    let files = match form {
        Form::Dump { .. } => Vec::new(),
        Form::Folder => plan.tables.iter().map(|table| table_name(&table.target)).collect(),
    };
    work.publish(&Published { identity: place::identity(&place), blake3, files, checkpoints, quarantine })?;
    failpoint::hit("build-before-commit");
    match form {
        Form::Dump { .. } => place::publish(&place, dump, OPERATION)?,
        // A folder of that name that came meanwhile is only replaced if it is empty.
        Form::Folder => {
            fs::rename(&place, dump).map_err(|cause| io_error(OPERATION, dump, cause))?;
            sync_directory(dump)?;
        }
    }
    failpoint::hit("build-after-commit");
    work.drop_chunks()
}

/// The chunks of each table, in the order of its rows.
fn in_order(plan: &Plan, chunks: Vec<(Head, PathBuf)>) -> Result<Vec<Vec<PathBuf>>> {
    let mut by_start: Vec<BTreeMap<String, (Option<LocatorValue>, PathBuf)>> =
        plan.tables.iter().map(|_| BTreeMap::new()).collect();
    let internal = |why: &str| Error::new(Kind::Internal, OPERATION).detail(why.to_owned());
    let key = |at: &Option<LocatorValue>| {
        serde_json::to_string(at).map_err(|error| Error::new(Kind::Internal, OPERATION).because(error))
    };
    for (head, path) in chunks {
        let table = by_start
            .get_mut(head.checkpoint.table)
            .ok_or_else(|| internal("a chunk is of no table of the plan"))?;
        table.insert(key(&head.checkpoint.range.after)?, (head.checkpoint.range.upto, path));
    }
    let chain = |mut chunks: BTreeMap<String, (Option<LocatorValue>, PathBuf)>| {
        let (mut found, mut at) = (Vec::new(), None);
        while let Some((upto, path)) = chunks.remove(&key(&at)?) {
            found.push(path);
            if upto.is_none() {
                return match chunks.is_empty() {
                    true => Ok(found),
                    false => Err(internal("chunks of a table overlap")),
                };
            }
            at = upto;
        }
        Err(internal("a chunk of a table is missing"))
    };
    by_start.into_iter().map(chain).collect()
}

fn assemble(work: &Work, plan: &Plan, form: Form, chunks: Vec<(Head, PathBuf)>) -> Result<PathBuf> {
    let tables = in_order(plan, chunks)?;
    let named = plan.tables.iter().map(|table| table.target.as_str()).zip(tables);
    match form {
        Form::Dump { packed } => {
            let place = work.file(UNNAMED);
            let fail = |cause| io_error(OPERATION, &place, cause);
            // Never over what is there: it may be a dump that got its name already, and was moved since.
            work.remove(UNNAMED)?;
            let file = File::create_new(&place).map_err(fail)?;
            let out = BufWriter::with_capacity(WRITE_BYTES, file);
            let file = if packed {
                let mut packer = GzEncoder::new(out, Compression::default());
                document(named, &mut packer, &place)?;
                packer.finish().map_err(fail)?.into_inner().map_err(|error| fail(error.into_error()))?
            } else {
                let mut out = out;
                document(named, &mut out, &place)?;
                out.into_inner().map_err(|error| fail(error.into_error()))?
            };
            file.sync_all().map_err(fail)?;
            Ok(place)
        }
        Form::Folder => {
            let place = work.file("folder");
            let fail = |cause| io_error(OPERATION, &place, cause);
            match fs::remove_dir_all(&place) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(fail(cause)),
                _ => fs::create_dir(&place).map_err(fail)?,
            }
            for (name, chunks) in named {
                let path = table_file(&place, name);
                let fail = |cause| io_error(OPERATION, &path, cause);
                let mut file = File::create(&path).map_err(fail)?;
                for chunk in chunks {
                    io::copy(&mut open_chunk(&chunk)?.1, &mut file).map_err(fail)?;
                }
                file.sync_all().map_err(fail)?;
            }
            File::open(&place).and_then(|folder| folder.sync_all()).map_err(fail)?;
            Ok(place)
        }
    }
}

/// Writes the one document: a row on each line, so that tools for lines are of some use.
fn document<'p>(
    tables: impl Iterator<Item = (&'p str, Vec<PathBuf>)>,
    out: &mut impl Write,
    place: &Path,
) -> Result<()> {
    let fail = |cause| io_error(OPERATION, place, cause);
    let mut opening = b"{".to_vec();
    for (name, chunks) in tables {
        text(name, &mut opening);
        opening.extend_from_slice(b":[");
        out.write_all(&opening).map_err(fail)?;
        let mut first = true;
        for chunk in chunks {
            let (head, mut rows) = open_chunk(&chunk)?;
            if first && head.text_bytes > 0 {
                // Every row brings the comma before it.
                rows.read_exact(&mut [0]).map_err(fail)?;
                first = false;
            }
            io::copy(&mut rows, out).map_err(fail)?;
        }
        out.write_all(if first { b"]" } else { b"\n]" }).map_err(fail)?;
        opening.clear();
        opening.extend_from_slice(b",\n");
    }
    let end: &[u8] = if opening.first() == Some(&b'{') { b"{}\n" } else { b"}\n" };
    out.write_all(end).map_err(fail)
}
