//! The limit: nothing but PostgreSQL itself, fed with files in its own binary form.
//!
//! No loader can be quicker than this by much: it reads no SQLite, converts nothing and checks nothing.

use std::time::Instant;

use switchover_testkit::Database;

use super::measure::Run;
use super::{Field, reference};
use crate::Result;

/// Loads and builds the keys.
pub(crate) fn run(field: &Field, database: &Database) -> Result<Run> {
    let start = Instant::now();
    // On an empty table NOT NULL costs nothing; afterwards it would cost a scan.
    database.psql(&field.reference.tables)?;
    database
        .psql(&crate::chat::TABLES.map(|t| format!("ALTER TABLE {t} ALTER id SET NOT NULL;")).concat())?;
    reference::side_by_side(database, &field.reference.streams)?;
    let copied = start.elapsed().as_secs_f64();
    reference::build_keys(database)?;
    let seconds = start.elapsed().as_secs_f64();
    let parts = vec![("copy".to_owned(), copied), ("keys".to_owned(), seconds - copied)];
    Ok(Run { seconds, load_seconds: Some(seconds), parts, ..Run::default() })
}
