//! Room on a disk, as the operating system tells it.
//!
//! Unknown is `None`, never zero: nothing is refused because a file system does not answer.

use std::path::Path;
use switchover_core::finding::{Finding, shown_bytes};

/// Bytes that this process may still write at `path`, or at its nearest ancestor that exists.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let here = std::path::absolute(path).ok()?;
    let there = here.ancestors().find(|ancestor| ancestor.exists())?;
    available(there)
}

#[cfg(unix)]
fn available(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    // `bavail` leaves out what is kept for root.
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn available(_: &Path) -> Option<u64> {
    None
}

/// Whether a target's file finds room, as `doctor` says it.
pub(crate) fn room(free: Option<u64>, needed: Option<u64>) -> Finding {
    match (free, needed) {
        (Some(free), Some(needed)) if free < needed => Finding::fault(
            "room",
            format!("about {} needed, {} free", shown_bytes(needed), shown_bytes(free)),
            "free space there, or name a file on another disk",
        ),
        (Some(free), Some(needed)) => {
            Finding::ok("room", format!("about {} needed, {} free", shown_bytes(needed), shown_bytes(free)))
        }
        (Some(free), None) => Finding::ok("room", format!("{} free", shown_bytes(free))),
        (None, _) => Finding::warning("room", "how much is free cannot be told", "look at it yourself"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_yet_to_be_made_has_the_room_of_its_parent() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(free_bytes(&folder.path().join("not/yet/there")).is_some_and(|bytes| bytes > 0));
    }
}
