//! The peer: Arrow ADBC from SQLite to PostgreSQL, typed, in binary COPY, then the same keys.
//!
//! Its virtual environment is made once, from PyPI. It verifies nothing.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::json;
use switchover_testkit::Database;

use super::measure::{Run, measured};
use super::{Field, reference};
use crate::{Result, paths};

/// What it needs from PyPI.
const PACKAGES: [&str; 4] =
    ["adbc-driver-manager", "adbc-driver-sqlite", "adbc-driver-postgresql", "pyarrow"];

/// Loads and builds the keys.
pub(crate) fn run(field: &Field, database: &Database) -> Result<Run> {
    let python = environment(field)?;
    let columns: serde_json::Map<String, serde_json::Value> =
        field.reference.columns.iter().map(|(table, columns)| (table.clone(), json!(columns))).collect();
    let start = Instant::now();
    database.psql(&field.reference.tables)?;
    database
        .psql(&crate::chat::TABLES.map(|t| format!("ALTER TABLE {t} ALTER id SET NOT NULL;")).concat())?;
    let ended = measured(
        Command::new(python)
            .arg(paths::root().join("xtask/src/bench/adbc.py"))
            .arg(&field.source)
            .arg(database.url().replace("postgres://", "postgresql://"))
            .arg(serde_json::Value::from(columns).to_string()),
    )?;
    let copied = start.elapsed().as_secs_f64();
    reference::build_keys(database)?;
    let seconds = start.elapsed().as_secs_f64();
    let parts = vec![("copy".to_owned(), copied), ("keys".to_owned(), seconds - copied)];
    Ok(Run { seconds, load_seconds: Some(seconds), parts, peak_kb: ended.peak_kb, failure: None })
}

/// The Python of the virtual environment, which is made where there is none.
fn environment(field: &Field) -> Result<PathBuf> {
    let folder = field.folder.join("venv");
    let python = folder.join("bin/python");
    let works = |python: &PathBuf| {
        Command::new(python)
            .args(["-c", "import pyarrow, adbc_driver_sqlite, adbc_driver_postgresql"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !works(&python) {
        measured(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        measured(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    }
    Ok(python)
}
