//! What `doctor` says of a SQLite file. Reads only, and holds no lock longer than a check takes.

use super::config::SqliteConfig;
use super::open::open_read_only;
use crate::disk;
use crate::sidecar::with_suffix;
use rusqlite::Connection;
use switchover_core::finding::{Finding, Needs, shown_bytes};

/// Above this the checks that read the whole file are left to the backup, which makes them anyway:
/// an examination should end while its user waits for it.
const CHECKED_BYTES_MAX: u64 = 2 << 30;

/// A log larger than this is not being folded back: some reader holds it open.
const WAL_BYTES_MAX: u64 = 256 << 20;

/// Rows without a parent that are counted before "more" is said.
const ORPHANS_COUNTED_MAX: usize = 1000;

/// All findings. Blocking.
pub(super) fn examine(config: &SqliteConfig, needs: &Needs) -> Vec<Finding> {
    let connection = match open_read_only(config) {
        Ok(connection) => connection,
        Err(error) => return vec![Finding::of_error("file", &error)],
    };
    let number = |pragma: &str| -> u64 {
        let found = connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
        found.ok().and_then(|found| u64::try_from(found).ok()).unwrap_or(0)
    };
    let (pages, page_bytes, free) = (number("page_count"), number("page_size"), number("freelist_count"));
    let bytes = pages.saturating_mul(page_bytes);
    let mut found = vec![Finding::ok(
        "file",
        format!(
            "{}, {pages} pages of {page_bytes} bytes, {} of them free; read with SQLite {}",
            shown_bytes(bytes),
            free,
            rusqlite::version()
        ),
    )];
    found.extend(journal(&connection, config));
    found.push(encoding(&connection));
    if bytes > CHECKED_BYTES_MAX {
        let why = format!("not read: {} take too long for this", shown_bytes(bytes));
        found.push(Finding::ok("integrity", format!("{why}; the backup checks it")));
    } else {
        found.push(integrity(&connection));
        found.push(orphans(&connection));
    }
    found.extend(needs.backup_folder.as_deref().map(|folder| {
        let at = folder.display();
        match disk::free_bytes(folder) {
            Some(free) if free < bytes => Finding::fault(
                "room for a backup",
                format!("{} needed, {} free in {at}", shown_bytes(bytes), shown_bytes(free)),
                "free space there, name another folder with --state-dir, or use --no-backup",
            ),
            Some(free) => {
                let needed = shown_bytes(bytes);
                Finding::ok(
                    "room for a backup",
                    format!("{needed} needed, {} free in {at}", shown_bytes(free)),
                )
            }
            None => Finding::warning(
                "room for a backup",
                format!("{} needed; how much is free in {at} cannot be told", shown_bytes(bytes)),
                "look at it yourself",
            ),
        }
    }));
    found
}

fn journal(connection: &Connection, config: &SqliteConfig) -> Vec<Finding> {
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap_or_default();
    if !mode.eq_ignore_ascii_case("wal") {
        return vec![Finding::warning(
            "journal mode",
            format!("{mode}: the application cannot write while a migration reads"),
            "run PRAGMA journal_mode = WAL once, or migrate while the application is stopped",
        )];
    }
    let mut found = vec![Finding::ok("journal mode", "wal: the application can write during a migration")];
    let log = std::fs::metadata(with_suffix(config.path(), "-wal")).map_or(0, |meta| meta.len());
    if log > WAL_BYTES_MAX {
        found.push(Finding::warning(
            "write-ahead log",
            format!("{}: it is not being folded back into the file", shown_bytes(log)),
            "find the program that holds a read transaction open, then run PRAGMA wal_checkpoint(TRUNCATE)",
        ));
    }
    found
}

fn encoding(connection: &Connection) -> Finding {
    let name: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0)).unwrap_or_default();
    match name.as_str() {
        "UTF-8" => Finding::ok("encoding", "UTF-8; text that is not valid UTF-8 is found by the plan"),
        other => Finding::ok("encoding", format!("{other}; becomes UTF-8, and the plan finds what cannot")),
    }
}

fn integrity(connection: &Connection) -> Finding {
    match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(answer) if answer == "ok" => Finding::ok("integrity", "quick_check says ok"),
        Ok(answer) => Finding::fault(
            "integrity",
            format!("quick_check says: {answer}"),
            "restore a backup; REINDEX mends an index, .recover of the sqlite3 shell rescues rows",
        ),
        Err(error) => Finding::fault(
            "integrity",
            format!("quick_check failed: {error}"),
            "restore a backup, or rescue what can be read with .recover of the sqlite3 shell",
        ),
    }
}

/// SQLite enforces foreign keys only on connections that ask for it, so orphans are common.
fn orphans(connection: &Connection) -> Finding {
    let count = || -> rusqlite::Result<usize> {
        let mut check = connection.prepare("PRAGMA foreign_key_check")?;
        let mut rows = check.query([])?;
        let mut count = 0;
        while count < ORPHANS_COUNTED_MAX && rows.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    match count() {
        Ok(0) => Finding::ok("foreign keys", "every row has its parents"),
        Ok(some) => Finding::warning(
            "foreign keys",
            format!(
                "{}{some} rows lack a parent",
                if some == ORPHANS_COUNTED_MAX { "at least " } else { "" }
            ),
            "the plan lists them with their keys; mend them, or their foreign key cannot be made",
        ),
        Err(error) => Finding::warning(
            "foreign keys",
            format!("they cannot be checked: {error}"),
            "the plan says which of them are left out, and why",
        ),
    }
}
