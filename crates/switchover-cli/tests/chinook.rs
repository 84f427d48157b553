//! The Chinook sample database, by both ways of naming: nothing is lost, and nothing left out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{Moved, check};
use switchover_core::plan::Fate;

/// Migrates it and checks what does not depend on names.
fn chinook(snake: bool) -> Moved {
    let case = check("");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/chinook.sqlite"), case.path()).unwrap();
    let case = if snake { case.snake() } else { case };
    let moved = case.moves();
    assert_eq!(moved.report.tables.len(), 11);
    assert_eq!(moved.report.tables.iter().map(|table| table.source_rows).sum::<u64>(), 15_607);
    assert_eq!(moved.report.tables.iter().map(|table| table.target_rows).sum::<u64>(), 15_607);
    let left_out: Vec<_> = (moved.report.outcomes.iter())
        .filter(|outcome| outcome.fate == Fate::LeftOut && !outcome.kind.starts_with("system"))
        .collect();
    assert!(left_out.is_empty(), "{left_out:?}");
    let source = moved.case.source();
    let indexes: i64 = source
        .query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL", [], |row| {
            row.get(0)
        })
        .unwrap();
    moved
        .shows("SELECT contype::text, count(*) FROM pg_constraint WHERE contype IN ('p', 'f') AND convalidated
            AND connamespace = 'public'::regnamespace AND conrelid NOT IN
            (SELECT oid FROM pg_class WHERE relname LIKE '\\_switchover%') GROUP BY 1 ORDER BY 1", "f|11\np|11")
        .shows(
            "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace
             WHERE nspname = 'public' AND NOT indisprimary AND indisvalid",
            &indexes.to_string(),
        );
    moved
}

#[test]
fn chinook_keeps_its_names() {
    chinook(false)
        .shows(
            "SELECT \"Title\" FROM \"Album\" WHERE \"AlbumId\" = 1",
            "For Those About To Rock We Salute You",
        )
        .shows("SELECT sum(\"Total\") FROM \"Invoice\"", "2328.60")
        .shows("SELECT count(*) FROM \"PlaylistTrack\"", "8715");
}

#[test]
fn chinook_in_snake_names() {
    chinook(true)
        .shows("SELECT title FROM album WHERE album_id = 1", "For Those About To Rock We Salute You")
        .shows("SELECT invoice_date FROM invoice WHERE invoice_id = 1", "2021-01-01 00:00:00")
        .shows("INSERT INTO artist(name) VALUES ('x'); SELECT max(artist_id) FROM artist", "276");
}
