//! Switchover itself: the whole `migrate` with backup, census and full verification, then `verify` alone; and as a
//! contestant of its own a `migrate` without backup, whose schema, copy and build phases are the load alone.
//!
//! The phases' times come from its JSON report.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use switchover_testkit::Database;

use super::Field;
use super::measure::{Run, measured};
use crate::Result;

/// The phases that a loader without backup and verification has too.
const LOAD_PHASES: [&str; 3] = ["schema", "copy", "build"];

/// One contestant's place: the binary, and a folder for the journal and the backup, removed at the end, because a
/// backup of each run would fill the disk.
pub(super) struct Place<'a> {
    binary: &'a PathBuf,
    from: String,
    to: String,
    folder: PathBuf,
}

impl<'a> Place<'a> {
    fn new(field: &'a Field, database: &Database) -> Result<Self> {
        let from = format!("sqlite:{}", field.source.display());
        Self::at(field, field.folder.join(database.name()), &from, &database.url())
    }

    /// A place of its own for any move.
    pub(super) fn at(field: &'a Field, folder: PathBuf, from: &str, to: &str) -> Result<Self> {
        let binary = field.switchover.as_ref().ok_or("the binary was not built")?;
        fs::create_dir_all(&folder)?;
        Ok(Place { binary, from: from.to_owned(), to: to.to_owned(), folder })
    }

    /// The end of it; after a failure it stays, to be looked at.
    fn remove(self) {
        drop(fs::remove_dir_all(&self.folder));
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(self.binary);
        command.current_dir(&self.folder).args([verb, "--from", &self.from, "--to", &self.to]);
        command
    }

    fn migrate(&self, options: &[&str]) -> Result<Run> {
        let report = self.folder.join("report.json");
        let ended = measured(self.command("migrate").args(options).arg("--report").arg(&report))?;
        let parts = phases(&serde_json::from_str(&fs::read_to_string(&report)?)?);
        Ok(Run { seconds: ended.seconds, parts, peak_kb: ended.peak_kb, ..Run::default() })
    }

    /// Migrates, and tells the load apart.
    pub(super) fn load(&self, options: &[&str]) -> Result<Run> {
        let mut run = self.migrate(options)?;
        let load = run.parts.iter().filter(|(name, _)| is_load(name)).map(|(_, seconds)| seconds).sum();
        run.load_seconds = Some(load);
        Ok(run)
    }
}

/// Migrates, then verifies.
pub(crate) fn run(field: &Field, database: &Database) -> Result<Run> {
    let place = Place::new(field, database)?;
    let mut run = place.migrate(&[])?;
    let verify = measured(&mut place.command("verify"))?;
    run.parts.push(("verify alone".to_owned(), verify.seconds));
    run.peak_kb = run.peak_kb.max(verify.peak_kb);
    place.remove();
    Ok(run)
}

/// Migrates without the backup, which otherwise works beside the copy.
pub(crate) fn load(field: &Field, database: &Database) -> Result<Run> {
    let place = Place::new(field, database)?;
    let run = place.load(&["--no-backup"])?;
    place.remove();
    Ok(run)
}

/// The same into tables that are there: those of a migration before it, emptied, and its records gone.
pub(crate) fn load_existing(field: &Field, database: &Database) -> Result<Run> {
    let place = Place::new(field, database)?;
    place.migrate(&["--no-backup"])?;
    measured(place.command("cleanup").arg("--yes"))?;
    database.psql("TRUNCATE users, workspaces, conversations, messages; CHECKPOINT")?;
    let run = place.load(&["--no-backup", "--into", "existing", "--rebuild"])?;
    place.remove();
    Ok(run)
}

fn is_load(phase: &str) -> bool {
    LOAD_PHASES.contains(&phase)
}

/// The phases of a report, in its order.
pub(crate) fn phases(report: &Value) -> Vec<(String, f64)> {
    let list = report["phases"].as_array().into_iter().flatten();
    list.filter_map(|phase| Some((phase["phase"].as_str()?.to_owned(), phase["seconds"].as_f64()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_from_a_report() {
        let list = serde_json::json!({"phases": [{"phase": "copy", "seconds": 1.5}]});
        assert_eq!(phases(&list), [("copy".to_owned(), 1.5)]);
        assert!(phases(&Value::Null).is_empty());
        assert!(is_load("build") && is_load("copy") && !is_load("verify"));
    }
}
