//! pgloader, as Debian packages it: as it comes, and with the settings that its manual offers for large data.
//!
//! It makes tables, indexes and keys itself. By default it is known to run out of its heap on this data; that
//! is a result too.

use std::fs;
use std::process::Command;

use switchover_testkit::Database;

use super::measure::{Run, measured};
use super::{Field, MAINTENANCE_MEMORY};
use crate::Result;

/// For large rows: fewer rows read ahead, smaller batches, both cores.
const TUNED: &str =
    "workers = 4, concurrency = 1, prefetch rows = 10000, batch rows = 10000, batch size = 10MB,";

/// Loads.
pub(crate) fn run(field: &Field, database: &Database, tuned: bool) -> Result<Run> {
    if Command::new("pgloader").arg("--version").output().is_err() {
        return Ok(Run::failed("pgloader is not installed: apt-get install pgloader"));
    }
    let server = database.server();
    let script = field.folder.join(format!("{}.load", database.name()));
    let text = format!(
        "LOAD DATABASE FROM sqlite://{} INTO postgresql://{}@unix:{}:{}/{}\n\
         WITH {} create tables, create indexes, reset sequences, foreign keys\n\
         SET work_mem TO '64MB', maintenance_work_mem TO '{MAINTENANCE_MEMORY}'\n\
         CAST type datetime to timestamp, type json to text, type varchar to text drop typemod;\n",
        field.source.display(),
        server.user,
        server.host,
        server.port,
        database.name(),
        if tuned { TUNED } else { "" },
    );
    fs::write(&script, text)?;
    let ended = measured(Command::new("pgloader").arg("--on-error-stop").arg(&script));
    fs::remove_file(&script)?;
    let ended = match ended {
        // What Lisp's runtime says when its garbage collector finds no room.
        Err(error) if error.to_string().contains("GC-INHIBIT") => {
            return Ok(Run::failed("out of memory: pgloader's heap was exhausted"));
        }
        other => other?,
    };
    if let Some(line) = ended.stdout.lines().find(|line| line.contains("exhausted") || line.contains("FATAL"))
    {
        return Ok(Run::failed(line.trim()));
    }
    Ok(Run {
        seconds: ended.seconds,
        load_seconds: Some(ended.seconds),
        parts: vec![("all".to_owned(), ended.seconds)],
        peak_kb: ended.peak_kb,
        failure: None,
    })
}
