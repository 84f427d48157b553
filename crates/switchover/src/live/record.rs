//! The record of a run: each change of the owner, with its times, and why where nobody asked for it; what the last comparison
//! of all rows came to, how a follower is known to differ, and the backup.
//!
//! Invariants: a file or line is written whole and durably, or not at all; the record decides nothing that the stores tell.
//! Absent: what is under way, which is the status.

use super::engine::End;
use super::status::SwitchReport;
use crate::journal;
use crate::report::BackupNote;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;
use switchover_core::live::Side;
use switchover_core::{Error, Kind, Result};

/// The record's name in the run's folder: one JSON object a line.
const RECORD: &str = "owners.jsonl";

/// Says what the last comparison of all rows came to.
const PROOF: &str = "proof.json";

/// Says how the follower is known to differ.
const DIFFERS: &str = "differs.json";

/// Says whether the run is being finished: what is left of it may be gone from the target.
const ENDING: &str = "ending.json";

/// Says which change of the owner left something to do when nobody stayed to do it.
const OWED: &str = "owed.json";

/// Says where the backup is.
const BACKUP: &str = "backup.json";

/// What a comparison of all rows came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// When it ended.
    pub at: String,
    /// Rows of each table that both stores counted, in the order of the plan.
    pub tables: Vec<u64>,
    /// Where they differ, and how; none when they were equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
}

/// A difference that was found while changes were read back.
#[derive(Debug, Serialize, Deserialize)]
struct Difference {
    /// The epoch of the owner whose follower differs.
    epoch: u64,
    /// Where, and how.
    why: String,
}

/// All changes of the owner, the oldest first.
///
/// # Errors
/// When the record cannot be read, or is damaged.
pub(super) fn all(folder: &Path) -> Result<Vec<SwitchReport>> {
    let path = folder.join(RECORD);
    let fail = || Error::new(Kind::Io, "read the record of owners").store(path.display().to_string());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail().because(error)),
    };
    text.lines().map(|line| serde_json::from_str(line).map_err(|cause| fail().because(cause))).collect()
}

/// Adds one.
pub(super) fn add(folder: &Path, report: &SwitchReport) -> Result<()> {
    let mut reports = all(folder)?;
    reports.push(report.clone());
    let mut text = Vec::new();
    for report in &reports {
        serde_json::to_writer(&mut text, report)
            .map_err(|error| Error::new(Kind::Internal, "keep the record of owners").because(error))?;
        text.push(b'\n');
    }
    // There are some dozens in the longest run, so the whole is written again.
    journal::write_whole(&folder.join(RECORD), &text)
}

/// Keeps what the last comparison of all rows came to; `None` when it counts no more.
pub(super) fn keep_proof(folder: &Path, proof: Option<&Proof>) -> Result<()> {
    keep(folder, PROOF, &proof)
}

/// What the last comparison of all rows came to, if it still counts.
pub(super) fn proof(folder: &Path) -> Result<Option<Proof>> {
    kept(folder, PROOF).map(Option::flatten)
}

/// Keeps that the follower of this epoch is known to differ, and how.
pub(super) fn keep_difference(folder: &Path, epoch: u64, why: &str) -> Result<()> {
    keep(folder, DIFFERS, &Difference { epoch, why: why.to_owned() })
}

/// How the follower of this epoch is known to differ. The epoch grows with a change of the owner that was given up, too, and what was
/// found before it is so behind it: what counts is that the owner has not changed since.
pub(super) fn difference(folder: &Path, epoch: u64) -> Result<Option<String>> {
    let found: Option<Difference> = kept(folder, DIFFERS)?;
    // A record that cannot be read says nothing of the epochs before this one.
    let changed = all(folder).map_or(epoch, |all| all.last().map_or(0, |last| last.epoch));
    Ok(found.filter(|found| (changed..=epoch).contains(&found.epoch)).map(|found| found.why))
}

/// Keeps whether the run is about to be finished. Before its records go from the target: by them alone nobody could tell then that they
/// were there.
pub(super) fn keep_ending(folder: &Path, finished: bool) -> Result<()> {
    keep(folder, ENDING, &finished)
}

/// Whether that was begun; none where nobody kept anything of it.
pub(super) fn ending(folder: &Path) -> Result<Option<bool>> {
    kept(folder, ENDING)
}

/// How a run ended whose records are in neither store any more, as far as its folder tells: what stands in the tables then may be the
/// application's doing. None where nothing of it was kept, or what was contradicts itself.
pub(super) fn ended(folder: &Path) -> Result<Option<End>> {
    let owner = all(folder)?.last().map_or(Side::Source, |last| last.to);
    Ok(match (ending(folder)?, owner) {
        (Some(true), Side::Target) => Some(End::Finished),
        (Some(false), Side::Source) => Some(End::TakenBack),
        _ => None,
    })
}

/// Keeps where the backup is.
pub(super) fn keep_backup(folder: &Path, backup: &BackupNote) -> Result<()> {
    keep(folder, BACKUP, backup)
}

/// Where the backup is, when one was made.
pub(super) fn backup(folder: &Path) -> Result<Option<BackupNote>> {
    kept(folder, BACKUP)
}

/// Keeps that a change of this epoch to the source is about to be decided, and all that follows from it still to be done; `None` when it is
/// done, or another takes the run up and stays.
pub(super) fn keep_owed(folder: &Path, epoch: Option<u64>) -> Result<()> {
    match kept::<Option<u64>>(folder, OWED)?.flatten() == epoch {
        true => Ok(()),
        false => keep(folder, OWED, &epoch),
    }
}

/// Whether that is so of the last change of the owner, or of one that may have been decided by a process that could not put it on record.
pub(super) fn is_owed(folder: &Path) -> Result<bool> {
    let epoch = kept::<Option<u64>>(folder, OWED)?.flatten();
    Ok(epoch.is_some() && epoch >= all(folder)?.last().map(|last| last.epoch))
}

/// Writes a file of the run's folder.
pub(super) fn keep<T: Serialize>(folder: &Path, name: &str, value: &T) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::new(Kind::Internal, "write to the run's folder").because(error))?;
    journal::write_whole(&folder.join(name), &text)
}

/// What a file of the run's folder says, if it is there.
pub(super) fn kept<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>> {
    let path = folder.join(name);
    let fail = || Error::new(Kind::Io, "read the run's folder").store(path.display().to_string());
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|cause| fail().because(cause)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail().because(error)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn changed(folder: &Path, to: Side, epoch: u64) {
        let at = String::new();
        let (unavailable_ms, total_ms) = (0.0, 0.0);
        let (because, untold, owed) = (None, None, None);
        let report =
            SwitchReport { to, epoch, at, unavailable_ms, total_ms, drained: 0, because, untold, owed };
        add(folder, &report).unwrap();
    }

    #[test]
    fn a_difference_is_known_until_the_owner_changes_and_behind_a_change_that_was_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let known = |epoch| difference(folder, epoch).unwrap().is_some();
        assert!(!known(3));
        changed(folder, Side::Target, 3);
        keep_difference(folder, 3, "row id=2").unwrap();
        // A rollback that was given up made it 5.
        assert!(known(3) && known(5));
        // The next window, which was not recorded, as by an engine that was killed at its decision.
        changed(folder, Side::Source, 7);
        assert!(!known(9));
        keep_difference(folder, 9, "row id=3").unwrap();
        assert!(known(9) && known(11));
        changed(folder, Side::Target, 13);
        assert!(!known(13));
    }
}
