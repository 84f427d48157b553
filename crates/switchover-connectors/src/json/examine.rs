//! What `doctor` says of a dump. Reads only.

use super::config::JsonConfig;
use super::input::open;
use super::survey::survey;
use crate::disk;
use std::sync::atomic::AtomicBool;
use switchover_core::finding::{Finding, Needs, shown_bytes};

/// Above this the dump is not read for an examination, which should end while its user waits for it.
const READ_BYTES_MAX: u64 = 2 << 30;

/// All findings. Blocking.
pub(super) fn examine(config: &JsonConfig, needs: &Needs) -> Vec<Finding> {
    let (parts, _) = match open(config) {
        Ok(opened) => opened,
        Err(error) => return vec![Finding::of_error("file", &error)],
    };
    let bytes: u64 = parts.iter().map(|part| part.data.bytes()).sum();
    let files = if parts.len() == 1 { "1 file".to_owned() } else { format!("{} files", parts.len()) };
    let mut found = vec![Finding::ok("file", format!("{}, {files}", shown_bytes(bytes)))];
    drop(parts);
    if bytes > READ_BYTES_MAX {
        let why = format!("not read: {} take too long for this", shown_bytes(bytes));
        found.push(Finding::ok("content", format!("{why}; the plan reads all of it")));
    } else {
        match survey(config, &AtomicBool::new(false)) {
            Ok(dump) => {
                let rows: u64 = dump.tables.iter().map(|table| table.rows).sum();
                let tables = dump.tables.len();
                found.push(Finding::ok("content", format!("JSON to its end: {tables} tables, {rows} rows")));
                let repeated = dump.tables.iter().filter_map(|table| {
                    let broken = table.repeated.as_ref().filter(|broken| broken.count > 0)?;
                    Some((table.begins.name.clone(), broken.count))
                });
                // What the plan leaves out is no matter of the plan's.
                let asked = dump.unreadable.iter().filter(|_| needs.tables.is_none());
                found.extend(asked.map(|table| {
                    let what = format!("{}: {}", table.name, table.why);
                    Finding::fault("rows", what, format!("{}, or leave it with --exclude", table.hint))
                }));
                found.extend(repeated.map(|(table, count)| {
                    Finding::fault(
                        "ids",
                        format!("{count} rows of {table} have an id that occurs before"),
                        "mend the dump, or use --policy quarantine; `switchover plan` names the rows",
                    )
                }));
            }
            Err(error) => found.push(Finding::of_error("content", &error)),
        }
    }
    found.extend(needs.backup_folder.as_deref().map(|folder| {
        let at = folder.display();
        let needed = shown_bytes(bytes);
        match disk::free_bytes(folder) {
            Some(free) if free < bytes => Finding::fault(
                "room for a backup",
                format!("{needed} needed, {} free in {at}", shown_bytes(free)),
                "free space there, name another folder with --state-dir, or use --no-backup",
            ),
            Some(free) => Finding::ok(
                "room for a backup",
                format!("{needed} needed, {} free in {at}", shown_bytes(free)),
            ),
            None => Finding::warning(
                "room for a backup",
                format!("{needed} needed; how much is free in {at} cannot be told"),
                "look at it yourself",
            ),
        }
    }));
    found
}
