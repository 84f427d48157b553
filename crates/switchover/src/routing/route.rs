//! The route: which store owns the data, where reads go, and by which epoch. One small JSON file that is replaced whole;
//! docs/reference/route.md describes it for programs in other languages.
//!
//! Invariants: of one run, the epoch never goes back, so an engine that is late changes nothing; every change has a larger
//! revision; two who change it wait for each other; a run takes no file of another one of its state folder that is not over.
//! The file is derived from the decision row: it may be older, never newer.

use super::replace::{Durable, replace, try_out};
use crate::journal;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use switchover_core::failpoint;
use switchover_core::live::{Ownership, Side};
use switchover_core::{Error, Kind, Result};

/// The format of the file; a larger one is not read.
pub const FORMAT: u32 = 1;

/// All reads, in percent.
pub const ALL: u8 = 100;

/// Whether the owner takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// It does.
    Open,
    /// The owner is about to change: who wants to write waits a little, and looks again.
    Held,
}

/// What the store that does not own the data is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follower {
    /// Rows are missing: nobody may read there.
    Filling,
    /// It has every row, and follows the owner at some distance.
    Ready,
    /// It no longer follows.
    Lost,
}

/// The route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The format of the file.
    pub format: u32,
    /// The run; later ones sort later.
    pub run: String,
    /// The store whose writes count.
    pub owner: Side,
    /// Whether it takes them.
    pub writes: Writes,
    /// What the other store is good for.
    pub follower: Follower,
    /// Reads that go to the target, in percent of keys. The rest goes to the source.
    pub reads_at_target: u8,
    /// Of the decision row.
    pub epoch: u64,
    /// Grows with every change of the file.
    pub revision: u64,
    /// The source, without secrets.
    pub source: String,
    /// The target, likewise.
    pub target: String,
    /// How the other store is known to differ, while it is; empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When the file was changed.
    pub changed_at: String,
}

const OPERATION: &str = "keep the route";

/// What helps where the file cannot be kept at all.
const ELSEWHERE: &str = "name another file, where the application is to look then: --route of `switchover start` and `switchover resume`, \
                         SWITCHOVER_ROUTE, or `route` in [cutover]. A running engine keeps its own: end it first (Ctrl-C, or `kill`)";

impl Route {
    /// The route of a run that begins: all at the source.
    pub fn first(run: &str, source: &str, target: &str, ownership: Ownership) -> Route {
        let route = Route {
            format: FORMAT,
            run: run.to_owned(),
            owner: Side::Source,
            writes: Writes::Open,
            follower: Follower::Filling,
            reads_at_target: 0,
            epoch: 0,
            revision: 0,
            source: source.to_owned(),
            target: target.to_owned(),
            why: String::new(),
            changed_at: String::new(),
        };
        route.with(ownership)
    }

    /// The same route by this decision row. When the owner changes, all reads go with it.
    #[must_use]
    pub fn with(mut self, ownership: Ownership) -> Route {
        if self.owner != ownership.owner {
            self.reads_at_target = if ownership.owner == Side::Target { ALL } else { 0 };
        }
        self.owner = ownership.owner;
        self.writes = if ownership.pending { Writes::Held } else { Writes::Open };
        self.epoch = ownership.epoch;
        self
    }

    /// The same route when the run is over: nothing follows this owner any more, and all reads are there.
    #[must_use]
    pub fn ended(self, owner: Side) -> Route {
        let reads_at_target = if owner == Side::Target { ALL } else { 0 };
        let why = String::new();
        Route { owner, writes: Writes::Open, follower: Follower::Lost, reads_at_target, why, ..self }
    }

    /// The same route with another share of reads at the target, or why that cannot be.
    pub fn with_reads(mut self, percent: u8) -> Result<Route> {
        let refused = |detail: String, hint: &str| {
            Err(Error::new(Kind::Config, "move reads").store(&self.run).detail(detail).hint(hint))
        };
        if percent > ALL {
            return refused(format!("{percent}% is more than all"), "give a share from 0% to 100%");
        }
        if self.follower == Follower::Lost {
            let other = self.owner.other();
            return Err(self.over(&format!("the {other} no longer follows")));
        }
        let at_owner = if self.owner == Side::Target { ALL } else { 0 };
        if percent != at_owner && self.follower != Follower::Ready {
            if !self.why.is_empty() {
                return Err(self.differs(&self.why));
            }
            let other = self.owner.other();
            let why = format!("the {other} has not got every row yet");
            return refused(why, "`switchover status` shows how far it is");
        }
        self.reads_at_target = percent;
        Ok(self)
    }

    /// Why reads of a run that is over cannot be moved.
    pub fn over(&self, how: &str) -> Error {
        Error::new(Kind::NotFound, "move reads")
            .store(&self.run)
            .detail(format!("the live run is over: {how}"))
            .hint(format!("read at the {}, which is the application's alone", self.owner))
    }

    /// Why no reads go to a store that is known to differ.
    pub fn differs(&self, why: &str) -> Error {
        let hint = match self.owner {
            Side::Source => {
                "write the row once more on the source, and `switchover verify --live` compares all again; until they are equal, all reads stay there"
            }
            Side::Target => {
                "the target owns the data, and all reads stay there; `switchover status` shows the run"
            }
        };
        Error::new(Kind::Refused, "move reads")
            .store(&self.run)
            .detail(format!("the stores are known to differ: {why}"))
            .hint(hint)
    }

    /// The store of which label it is.
    pub fn label(&self, side: Side) -> &str {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Whether this one comes after the other: a later run, or a larger epoch or revision of the same.
    pub fn is_after(&self, other: &Route) -> bool {
        (&self.run, self.epoch, self.revision) > (&other.run, other.epoch, other.revision)
    }
}

/// How far the other store has come, for programs that read their own writes: a file beside the route, replaced at every
/// batch, without waiting for the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The run.
    pub run: String,
    /// The epoch in which it was so.
    pub epoch: u64,
    /// What the owner acknowledged before this moment, in microseconds since 1970 by this machine's clock, is on the
    /// other store.
    pub upto: u64,
}

/// Where the route is, when nothing else is said.
pub fn default_path(state_dir: &Path) -> PathBuf {
    state_dir.join("route.json")
}

fn progress_path(route: &Path) -> PathBuf {
    route.with_extension("progress.json")
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |error| {
        let error = journal::file_error(OPERATION, path, &error);
        let first = match error.kind() {
            Kind::Exhausted => "make room there, and ask again; or ",
            Kind::Permission => "give the engine's user the right to write there, and ask again; or ",
            _ => "",
        };
        error.hint(format!("{first}{ELSEWHERE}"))
    }
}

/// The route, when there is one.
pub fn read(path: &Path) -> Result<Option<Route>> {
    /// What every format has.
    #[derive(Deserialize)]
    struct Any {
        format: u32,
    }
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(path)(error)),
    };
    let fail = |kind, detail: String| {
        Error::new(kind, "read the route").store(path.display().to_string()).detail(detail)
    };
    if let Ok(Any { format }) = serde_json::from_slice(&bytes)
        && format > FORMAT
    {
        let detail = format!("its format is {format}, and this program knows {FORMAT}");
        return Err(fail(Kind::Unsupported, detail).hint("use the newer program"));
    }
    let route: Route = serde_json::from_slice(&bytes)
        .map_err(|error| fail(Kind::Corrupt, "the file is no route".into()).because(error))?;
    if route.reads_at_target > ALL {
        return Err(fail(Kind::Corrupt, format!("{}% of reads", route.reads_at_target)));
    }
    Ok(Some(route))
}

/// Changes the route, one at a time; the revision and the time are set here.
pub fn change(path: &Path, change: impl FnOnce(Option<Route>) -> Result<Route>) -> Result<Route> {
    let _lock = lock(path)?;
    let (route, bytes) = changed(path, change)?;
    if let Some(bytes) = bytes {
        failpoint::hit("live-route-before");
        replace(path, &bytes, Durable::Yes).map_err(io(path))?;
        failpoint::hit("live-route-after");
    }
    Ok(route)
}

/// What becomes of the route, and its bytes where they are not those that are there.
fn changed(
    path: &Path,
    change: impl FnOnce(Option<Route>) -> Result<Route>,
) -> Result<(Route, Option<Vec<u8>>)> {
    let before = read(path)?;
    let (revision, same) = before.as_ref().map_or((0, None), |route| (route.revision, Some(route.clone())));
    let mut route = change(before)?;
    (route.revision, route.format) = (revision, FORMAT);
    if let Some(mut same) = same {
        same.format = FORMAT;
        if same == route {
            return Ok((route, None));
        }
    }
    route.revision += 1;
    route.changed_at = crate::clock::now();
    let mut bytes = to_json(&route)?;
    bytes.push(b'\n');
    Ok((route, Some(bytes)))
}

/// Makes the route say what the decision row says. Fails with [`Kind::Changed`] when the file belongs to a later run or epoch:
/// then this engine is the one that is late.
pub fn publish(
    path: &Path,
    run: &str,
    stores: (&str, &str),
    ownership: Ownership,
    follower: Follower,
) -> Result<Route> {
    publish_where(path, run, stores, ownership, (follower, ""), |_| Ok(()))
}

/// The same, where the route of an earlier run is taken only when `may_take` allows it; with the follower goes how it is known to differ,
/// if it is.
pub(crate) fn publish_where(
    path: &Path,
    run: &str,
    stores: (&str, &str),
    ownership: Ownership,
    (follower, why): (Follower, &str),
    may_take: impl FnOnce(&Route) -> Result<()>,
) -> Result<Route> {
    change(path, |before| published(path, before, run, stores, ownership, (follower, why), may_take))
}

/// Whether a proposal could be published now: the file is this run's, or may become it, and can be replaced. It stays as it is.
pub(crate) fn may_publish(
    path: &Path,
    run: &str,
    stores: (&str, &str),
    proposed: Ownership,
    may_take: impl FnOnce(&Route) -> Result<()>,
) -> Result<()> {
    let _lock = lock(path)?;
    let publish = |before| published(path, before, run, stores, proposed, (Follower::Ready, ""), may_take);
    match changed(path, publish)? {
        (_, Some(bytes)) => try_out(path, &bytes).map_err(io(path)),
        (_, None) => Ok(()),
    }
}

fn published(
    path: &Path,
    before: Option<Route>,
    run: &str,
    stores: (&str, &str),
    ownership: Ownership,
    (follower, why): (Follower, &str),
    may_take: impl FnOnce(&Route) -> Result<()>,
) -> Result<Route> {
    let route = match before {
        Some(before) if before.run == run => before,
        Some(before) if before.run.as_str() > run => return Err(late(path, &before, run)),
        earlier => {
            if let Some(earlier) = &earlier {
                may_take(earlier)?;
            }
            Route::first(run, stores.0, stores.1, ownership)
        }
    };
    if route.epoch > ownership.epoch {
        return Err(late(path, &route, run));
    }
    let mut route = route.with(ownership);
    if follower != Follower::Ready {
        // Nobody is sent where rows are missing.
        route.reads_at_target = if route.owner == Side::Target { ALL } else { 0 };
    }
    Ok(Route { follower, why: why.to_owned(), ..route })
}

/// Makes the route of a run say that the run is over. One of another run stays as it is, and none is made.
pub fn end(path: &Path, run: &str, owner: Side) -> Result<()> {
    let is_own = |route: &Route| route.run == run;
    if !read(path)?.as_ref().is_some_and(is_own) {
        return Ok(());
    }
    let gone = || {
        Error::new(Kind::NotFound, OPERATION)
            .store(path.display().to_string())
            .detail("somebody removed the file meanwhile")
            .hint("`switchover status` shows how the run ended, and who owns the data")
    };
    change(path, |before| {
        let route = before.ok_or_else(gone)?;
        Ok(if is_own(&route) { route.ended(owner) } else { route })
    })
    .map(drop)
}

fn late(path: &Path, route: &Route, run: &str) -> Error {
    let hint = match route.run == run {
        true => "another engine is at work; `switchover status` shows it".to_owned(),
        false => format!(
            "it is that later run's file. End this run's engine (Ctrl-C, or `kill`), and name another file with `route` in [cutover] \
             or SWITCHOVER_ROUTE for `switchover resume --run {run}`; or, where nobody follows that run's route, as when it is over, \
             remove the file"
        ),
    };
    Error::new(Kind::Changed, OPERATION)
        .store(path.display().to_string())
        .detail(format!("run {} has written epoch {} into it", route.run, route.epoch))
        .hint(hint)
}

/// That a run that begins would take the route of no other live run of this state folder.
///
/// # Errors
/// `Refused` when that one is not over.
pub fn is_free(path: &Path, state_dir: &Path) -> Result<()> {
    // A file that cannot be read is told where it is written.
    let Ok(Some(route)) = read(path) else { return Ok(()) };
    may_take(path, state_dir, &route)
}

/// That the run of this route is over, or not in this state folder (any more).
pub(crate) fn may_take(path: &Path, state_dir: &Path, route: &Route) -> Result<()> {
    if route.follower == Follower::Lost {
        return Ok(());
    }
    // A journal that cannot be read says nothing.
    let runs = journal::list(state_dir).unwrap_or_default();
    if !runs.iter().any(|known| known.header.run == route.run && known.goes_on()) {
        return Ok(());
    }
    let run = &route.run;
    Err(Error::new(Kind::Refused, OPERATION)
        .store(path.display().to_string())
        .detail(format!("it is the route of the live run {run}, which is not over"))
        .hint(format!(
            "name another file with `route` in [cutover] or SWITCHOVER_ROUTE, or another folder with --state-dir; or end that run first, \
             with `switchover finish --run {run}` or `switchover rollback --run {run}`"
        )))
}

/// Says how far the other store has come. It is replaced often and need not outlive a power cut.
pub fn note_progress(route: &Path, progress: &Progress) -> Result<()> {
    let path = progress_path(route);
    replace(&path, &to_json(progress)?, Durable::No).map_err(io(&path))
}

/// How far it has come, when that is known.
pub fn progress(route: &Path) -> Result<Option<Progress>> {
    let path = progress_path(route);
    match std::fs::read(&path) {
        // A file that cannot be read says nothing, and then nobody reads at the follower what was just written.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(&path)(error)),
    }
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| Error::new(Kind::Internal, OPERATION).because(error))
}

/// The hold on the route's file among those who change it.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would leave it to a program that is being started just now. What cannot be unlocked ends with the process.
        let _ = self.0.unlock();
    }
}

fn lock(path: &Path) -> Result<Lock> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io(folder))?;
    }
    let path = path.with_extension("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io(&path))?;
    file.lock().map_err(io(&path))?;
    Ok(Lock(file))
}

#[cfg(test)]
mod tests;
