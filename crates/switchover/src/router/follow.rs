//! Following the route's file: a thread that looks at it, and ends with the router.
//!
//! Absent on purpose: notices of the file system. They are lost over mounts and containers, and looking costs two calls.

use super::{Router, Shared};
use crate::routing::route;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use switchover_core::{Error, Kind, Result};

/// By what a replaced file is known.
#[derive(PartialEq, Eq)]
struct Identity(u64, u64, i64, i64, u64);

fn identity(path: &Path) -> Option<Identity> {
    let of = |file: Metadata| Identity(file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.len());
    std::fs::metadata(path).ok().map(of)
}

/// Reads the file now, and goes on to follow it.
pub(super) fn begin(router: &Router, path: PathBuf) -> Result<()> {
    let mut seen = None;
    look(&router.shared, &path, &mut seen)?;
    let shared = Arc::downgrade(&router.shared);
    let poll = router.options().poll;
    let run = move || {
        while let Some(shared) = Weak::upgrade(&shared) {
            let looked = look(&shared, &path, &mut seen);
            shared.set_fault(looked.err());
            drop(shared);
            std::thread::sleep(poll);
        }
    };
    let thread = std::thread::Builder::new().name("switchover-route".into());
    thread
        .spawn(run)
        .map(drop)
        .map_err(|error| Error::new(Kind::Exhausted, "follow the route").because(error))
}

fn look(shared: &Shared, path: &Path, seen: &mut Option<Identity>) -> Result<()> {
    // Before reading: what is replaced meanwhile is read again the next time.
    let now = identity(path);
    if now.is_none() && shared.known.borrow().route.is_some() {
        // It may have been another one by now.
        let gone = Error::new(Kind::NotFound, "follow the route").store(path.display().to_string());
        return Err(gone.detail("the file is gone").hint("a run that goes on writes it again"));
    }
    let changed = now.is_none() || now != *seen;
    let route = if changed { route::read(path)? } else { None };
    // Which route the progress is about is said in it; that of another one proves nothing.
    let progress = if now.is_some() { route::progress(path)? } else { None };
    *seen = now;
    shared.learn(route, progress);
    Ok(())
}
