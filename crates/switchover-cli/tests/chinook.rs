//! The Chinook sample database, by both ways of naming: nothing is lost, and nothing left out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{Moved, check};
use switchover_core::names::Naming;
use switchover_core::plan::Fate;
use switchover_testkit::lite;

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

/// Migrates it to another file, and checks what does not depend on names.
fn chinook_to_a_file(snake: bool) -> Moved {
    let case = check("").into_file();
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/chinook.sqlite"), case.path()).unwrap();
    let case = if snake { case.snake() } else { case };
    let moved = case.moves();
    let left_out: Vec<_> = (moved.report.outcomes.iter())
        .filter(|outcome| outcome.fate == Fate::LeftOut && !outcome.kind.starts_with("system"))
        .collect();
    assert!(left_out.is_empty(), "{left_out:?}");
    let renamed = |name: &str| if snake { Naming::Snake.apply(name, 64) } else { name.to_owned() };
    let found = lite::differences(moved.case.path(), &moved.case.file(), &renamed).unwrap();
    assert!(found.is_empty(), "{found:#?}");
    let own = "name NOT GLOB '_switchover_*' AND name NOT GLOB 'sqlite_*'";
    moved
        .shows(&format!("SELECT type, count(*) FROM sqlite_schema WHERE {own} GROUP BY 1"), "index|11\ntable|11")
        .shows(
            &format!(
                "SELECT count(*) FROM sqlite_schema s, pragma_foreign_key_list(s.name) WHERE type = 'table' AND {}",
                own.replace("name", "s.name")
            ),
            "11",
        )
        .shows("PRAGMA journal_mode", "wal")
        .shows("PRAGMA integrity_check", "ok")
        .shows("SELECT count(*) FROM pragma_foreign_key_check", "0");
    moved
}

#[test]
fn chinook_in_another_file() {
    chinook_to_a_file(false)
        .shows(
            "SELECT group_concat(type) FROM pragma_table_info('Track')",
            "INTEGER,NVARCHAR(200),INTEGER,INTEGER,INTEGER,NVARCHAR(220),INTEGER,INTEGER,NUMERIC(10,2)",
        )
        .shows("SELECT Title FROM Album WHERE AlbumId = 1", "For Those About To Rock We Salute You");
    chinook_to_a_file(true)
        .shows("SELECT title FROM album WHERE album_id = 1", "For Those About To Rock We Salute You")
        .shows("SELECT typeof(unit_price), unit_price FROM track WHERE track_id = 1", "real|0.99");
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
