//! The limit: nothing but PostgreSQL itself, fed with files in its own binary form.
//!
//! No loader can be quicker than this by much: it reads no SQLite, converts nothing and checks nothing.

use std::path::Path;
use std::time::Instant;

use rusqlite::types::ValueRef;
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
    let mut parts = vec![("copy".to_owned(), copied), ("keys".to_owned(), seconds - copied)];
    // The same for a verification: nothing but reading, which compares nothing.
    for (name, target, source) in
        [("read target", true, false), ("read source", false, true), ("read both", true, true)]
    {
        let start = Instant::now();
        std::thread::scope(|scope| -> Result {
            let other = source.then(|| scope.spawn(|| read_source(&field.source).map_err(|e| e.to_string())));
            if target {
                reference::side_by_side(database, &read_target(database)?)?;
            }
            if let Some(other) = other {
                other.join().map_err(|_| "the reader's thread ended early")??;
            }
            Ok(())
        })?;
        parts.push((name.to_owned(), start.elapsed().as_secs_f64()));
    }
    Ok(Run { seconds, load_seconds: Some(seconds), parts, ..Run::default() })
}

/// Has the server give every row in binary form to nobody, each table in two halves.
fn read_target(database: &Database) -> Result<Vec<String>> {
    let mut scripts = Vec::new();
    for table in crate::chat::TABLES {
        let pages = format!("SELECT pg_relation_size('{table}') / current_setting('block_size')::int / 2");
        let half: u64 = database.psql(&pages)?.parse()?;
        for part in [format!("ctid < '({half},0)'"), format!("ctid >= '({half},0)'")] {
            let rows = format!("SELECT * FROM {table} WHERE {part}");
            scripts.push(format!("COPY ({rows}) TO '/dev/null' (FORMAT binary)"));
        }
    }
    scripts.reverse();
    Ok(scripts)
}

/// Reads every cell of the source.
fn read_source(source: &Path) -> Result<usize> {
    let db = reference::open(source)?;
    let mut bytes = 0;
    for table in crate::chat::TABLES {
        let mut query = db.prepare(&format!("SELECT * FROM {table} NOT INDEXED"))?;
        let columns = query.column_count();
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            for at in 0..columns {
                bytes += match row.get_ref(at)? {
                    ValueRef::Text(cell) | ValueRef::Blob(cell) => cell.len(),
                    _ => 8,
                };
            }
        }
    }
    Ok(bytes)
}
