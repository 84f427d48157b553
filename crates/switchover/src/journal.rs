//! The journal: one folder a run, with what the run is, its plan, and the states it went through.
//!
//! | state | set when | a crash after it means |
//! |---|---|---|
//! | `planned` | the plan is on disk | nothing was written to the target |
//! | `prepared` | the target's tables exist | `resume` takes the run over and copies what is left |
//! | `copied` | every chunk has its checkpoint | `resume` goes on with indexes and keys |
//! | `built` | all keys are there | `resume` verifies |
//! | `rolling_back` | the rollback may begin | all is there or nothing is: `rollback` and `resume` both go on |
//! | `done`, `different`, `failed`, `interrupted`, `rolled_back` | the run ended so | see `status` |
//! | `cleaning_up` | the cleanup may begin | some of the run's records may be gone: `cleanup` goes on, nothing else does |
//! | `cleaned_up` | the run's records are gone from the target | it cannot be rolled back any more |
//!
//! A state is written after its effect, and one that a run is in by an effect that is under way before it. It is a hint for people: `resume` asks the target itself what
//! is there, so a lost line costs nothing. Lines are appended and synced; a torn last line is ignored.
//! No file here ever holds a secret.

use crate::settings::OnFailure;
use crate::{clock, reserve};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use switchover_core::failpoint;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The plan is on disk.
    Planned,
    /// The target's tables exist.
    Prepared,
    /// All rows are copied.
    Copied,
    /// All keys and indexes are made.
    Built,
    /// Verified: the same.
    Done,
    /// Verified: different.
    Different,
    /// Stopped by an error; what was written is still there.
    Failed,
    /// Stopped on request; what was written is still there.
    Interrupted,
    /// Done, and being accepted: its records are being removed from the target.
    CleaningUp,
    /// Done, and accepted for good: its records are gone from the target, its data stays.
    CleanedUp,
    /// What the run wrote is being taken back.
    RollingBack,
    /// What the run wrote was taken back.
    RolledBack,
}

impl State {
    /// The state as people read it.
    pub fn name(self) -> &'static str {
        match self {
            State::Planned => "planned",
            State::Prepared => "tables made",
            State::Copied => "rows copied",
            State::Built => "indexes and keys made",
            State::Done => "verified: the same",
            State::Different => "verified: different",
            State::Failed => "failed",
            State::Interrupted => "stopped on request",
            State::CleaningUp => "being cleaned up",
            State::CleanedUp => "cleaned up: accepted for good",
            State::RollingBack => "being rolled back",
            State::RolledBack => "rolled back",
        }
    }

    /// Whether `resume` can go on from here.
    pub fn can_resume(self) -> bool {
        match self {
            State::Planned
            | State::Prepared
            | State::Copied
            | State::Built
            | State::Failed
            | State::Interrupted
            | State::RollingBack
            | State::Different => true,
            State::Done | State::CleaningUp | State::CleanedUp | State::RolledBack => false,
        }
    }
}

/// What a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its identity; runs sort by time.
    pub run: String,
    /// When it began.
    pub started_at: String,
    /// The source, as it can be named again, without secrets.
    pub source: String,
    /// The target, likewise.
    pub target: String,
    /// What to do on failure.
    pub on_failure: OnFailure,
    /// Whether the source is backed up.
    pub backup: bool,
    /// Whether the application writes meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: String,
    /// The state that was reached.
    pub state: State,
    /// Why, or what; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// An open journal. The folder is locked against other processes as long as it lives.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    header: Header,
    lines: File,
    _lock: Lock,
}

/// The hold of this process on a run's folder.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would leave the lock to a program that is being started just now: until it runs, it has
        // a copy of every handle. What cannot be unlocked ends with the process.
        let _ = self.0.unlock();
    }
}

const OPERATION: &str = "keep the journal";

/// What a process that works on a run has locked.
const LOCK: &str = "lock";

/// Folders that this program makes above one another: a run's, that of the runs, and the state folder. Who made one that is there may
/// have been killed before it was durable.
const LEVELS: usize = 3;

/// How long a run is waited for that somebody only looks at. A look takes no time, unless the one who looks is stopped.
const LOOKING_MAX: Duration = Duration::from_secs(5);

/// Between two tries meanwhile.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |error| file_error(OPERATION, path, &error).hint("name another folder with --state-dir")
}

/// What the system says of a file, by its kind.
pub(crate) fn file_error(operation: &str, path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::Exhausted,
        std::io::ErrorKind::PermissionDenied => Kind::Permission,
        _ => Kind::Io,
    };
    Error::new(kind, operation).store(path.display().to_string()).detail(error.to_string())
}

/// The folder of a run: the one named, or the newest.
///
/// # Errors
/// `NotFound` without such a run.
pub fn folder_of(state_dir: &Path, run: Option<&str>) -> Result<PathBuf> {
    find(state_dir, run)
}

fn runs(state_dir: &Path) -> PathBuf {
    state_dir.join("runs")
}

/// Writes a file so that it is there whole or not at all; of a live run, also where only its reserve has room for it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        // The rename is durable when its folder is.
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    reserve::with(path.parent().unwrap_or(Path::new("")), || write().map_err(io(path)))
}

/// Makes a folder and those above it, durably.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    make_lasting(folder).map_err(io(folder))
}

/// Makes a folder and those above it, so that a power cut takes away neither it nor what is synced in it: a folder's name is durable
/// when the one above it is synced.
///
/// # Errors
/// When it cannot be made, or not be made durable.
pub fn make_lasting(folder: &Path) -> std::io::Result<()> {
    let is_missing = |above: &&Path| !above.as_os_str().is_empty() && !above.is_dir();
    let missing = folder.ancestors().take_while(is_missing).count();
    fs::create_dir_all(folder)?;
    for (at, above) in folder.ancestors().skip(1).take(missing.max(LEVELS)).enumerate() {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let synced = File::open(above).and_then(|above| above.sync_all());
        // What is above one that was there may be one that this process cannot read; mostly it is durable long since.
        if at < missing {
            synced?;
        }
    }
    Ok(())
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| Error::new(Kind::Internal, OPERATION).because(error))
}

impl Journal {
    /// Begins a run.
    pub fn create(state_dir: &Path, header: Header, plan: &Plan) -> Result<Journal> {
        let folder = runs(state_dir).join(&header.run);
        make_folder(&folder)?;
        let lock = lock(&folder)?;
        failpoint::hit("journal-before-plan");
        write_whole(&folder.join("plan.json"), &to_json(plan)?)?;
        failpoint::hit("journal-before-header");
        write_whole(&folder.join("run.json"), &to_json(&header)?)?;
        let journal = Journal { lines: lines(&folder)?, folder, header, _lock: lock };
        journal.reach(State::Planned, "")?;
        Ok(journal)
    }

    /// Opens a run to go on with it: the one named, or the newest.
    pub fn open(state_dir: &Path, run: Option<&str>) -> Result<Journal> {
        let folder = find(state_dir, run)?;
        let lock = lock(&folder)?;
        Ok(Journal { header: header(&folder)?, lines: lines(&folder)?, folder, _lock: lock })
    }

    /// The same, where this process is to do something else when the run fails.
    #[must_use]
    pub fn on_failure(mut self, chosen: Option<OnFailure>) -> Journal {
        self.header.on_failure = chosen.unwrap_or(self.header.on_failure);
        self
    }

    /// What the run is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The run's plan.
    pub fn plan(&self) -> Result<Plan> {
        read(&self.folder.join("plan.json"))
    }

    /// What a run is: the one named, or the newest.
    pub fn header_of(state_dir: &Path, run: Option<&str>) -> Result<Header> {
        header(&find(state_dir, run)?)
    }

    /// Whether a process works on a run: the one named, or the newest.
    pub fn is_active(state_dir: &Path, run: Option<&str>) -> Result<bool> {
        is_held(&find(state_dir, run)?)
    }

    /// The plan of a run that another process may be at work on.
    pub fn read_plan(state_dir: &Path, run: &str) -> Result<Plan> {
        read(&find(state_dir, Some(run))?.join("plan.json"))
    }

    /// Where it is.
    pub fn state(&self) -> Result<State> {
        // The plan and the header are durable before the first line, so a run without lines is planned.
        Ok(entries(&self.folder)?.last().map_or(State::Planned, |entry| entry.state))
    }

    /// Its last line.
    pub fn last(&self) -> Result<Option<Entry>> {
        Ok(entries(&self.folder)?.pop())
    }

    /// Whether it ever was there.
    pub fn has_been(&self, state: State) -> Result<bool> {
        Ok(self.states()?.contains(&state))
    }

    /// The states it went through.
    pub fn states(&self) -> Result<Vec<State>> {
        Ok(entries(&self.folder)?.iter().map(|entry| entry.state).collect())
    }

    /// Records a state, durably.
    pub fn reach(&self, state: State, detail: &str) -> Result<()> {
        let entry = Entry { at: clock::now(), state, detail: detail.into() };
        let mut line =
            serde_json::to_vec(&entry).map_err(|e| Error::new(Kind::Internal, OPERATION).because(e))?;
        line.push(b'\n');
        failpoint::hit("journal-before-line");
        let mut lines = &self.lines;
        failpoint::hit_after("journal-torn-line", || {
            // A part of a line, as a power cut may leave it.
            let _ = lines.write_all(&line[..line.len() / 2]);
        });
        let before = lines.metadata().map_err(io(&self.folder))?.len();
        reserve::with(&self.folder, || {
            lines.write_all(&line).and_then(|()| lines.sync_data()).map_err(|error| {
                // A disk that is full takes a part of a line: it must not stand before the next one.
                let _ = lines.set_len(before);
                io(&self.folder)(error)
            })
        })?;
        failpoint::hit("journal-after-line");
        Ok(())
    }
}

fn lines(folder: &Path) -> Result<File> {
    let path = folder.join("journal.jsonl");
    let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io(&path))?;
    // What a crash tore is cut off: the next line would otherwise be joined to it, and neither be readable.
    let text = fs::read(&path).map_err(io(&path))?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        file.set_len(whole as u64).map_err(io(&path))?;
    }
    Ok(file)
}

fn lock(folder: &Path) -> Result<Lock> {
    let (path, until) = (folder.join(LOCK), Instant::now() + LOOKING_MAX);
    let file = lock_file(&path)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => return Err(io(&path)(error)),
        }
        // Somebody works on it, or only looks whether somebody does.
        if is_held(folder)? || Instant::now() >= until {
            return Err(taken(&folder.display().to_string()));
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// The error of a run that another process has.
pub(crate) fn taken(run: &str) -> Error {
    Error::new(Kind::Busy, "take the run up")
        .store(run)
        .detail("another process works on it")
        .hint("wait until it ends; `switchover status` shows it")
}

/// Whether a process works on a run's folder. Who looks shares the lock for a moment with others who do, and keeps nobody
/// from taking the run up.
fn is_held(folder: &Path) -> Result<bool> {
    let path = folder.join(LOCK);
    // Only to be read: who may look need not be who may write.
    let file = match File::open(&path) {
        Ok(file) => file,
        // Nobody ever had it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io(&path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => {
            drop(Lock(file));
            Ok(false)
        }
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(error)) => Err(io(&path)(error)),
    }
}

fn lock_file(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(io(path))
}

fn damaged(folder: &Path) -> Error {
    Error::new(Kind::Corrupt, "read the journal")
        .store(folder.display().to_string())
        .detail("the run's files are not complete")
        .hint("remove the folder when the run left nothing on the target; `switchover doctor` tells")
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(io(path))?;
    serde_json::from_slice(&bytes).map_err(|error| damaged(path).because(error))
}

fn header(folder: &Path) -> Result<Header> {
    read(&folder.join("run.json"))
}

fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let path = folder.join("journal.jsonl");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(&path)(error)),
    };
    let mut entries = Vec::new();
    for line in text.split_inclusive('\n') {
        match serde_json::from_str(line) {
            Ok(entry) => entries.push(entry),
            // A crash tore the last line: its state was not reached.
            Err(_) if !line.ends_with('\n') => break,
            Err(error) => return Err(damaged(folder).because(error)),
        }
    }
    Ok(entries)
}

fn find(state_dir: &Path, run: Option<&str>) -> Result<PathBuf> {
    let folder = runs(state_dir);
    let none = || {
        Error::new(Kind::NotFound, "find the run")
            .store(folder.display().to_string())
            .detail(run.map_or("there is no run".into(), |run| format!("there is no run {run}")))
            .hint(
                "`switchover status` lists the runs; --state-dir names another folder; where the folder of a live run is lost, \
                 `switchover start --dry-run` with its stores says its name and what can be done",
            )
    };
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|_| none())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("run.json").is_file())
        .collect();
    if let Some(run) = run {
        let name = |path: &PathBuf| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        found.retain(|path| name(path).starts_with(run));
        if found.len() > 1 {
            return Err(Error::new(Kind::Config, "find the run")
                .store(folder.display().to_string())
                .detail(format!("{} runs begin with {run}", found.len()))
                .hint("write more of its name"));
        }
    }
    found.sort();
    found.pop().ok_or_else(none)
}

/// A run as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What it is.
    pub header: Header,
    /// The states it went through.
    pub entries: Vec<Entry>,
    /// Whether a process works on it now.
    pub active: bool,
}

impl Summary {
    /// Whether it is not over.
    pub fn goes_on(&self) -> bool {
        // The plan and the header are durable before the first line.
        self.entries.last().is_none_or(|last| last.state.can_resume())
    }

    /// Whether it came beyond its plan, or may just now: until then it left nothing in the stores.
    pub(crate) fn has_begun(&self) -> bool {
        self.active || self.entries.iter().any(|entry| entry.state != State::Planned)
    }
}

/// The run that a verb means which changes something, or says whether its stores are equal: the one named; else the newest, or, where that
/// is a live run that is over, the one that is not.
///
/// # Errors
/// `NotFound` without such a run; `Refused` where none is named and more than one live run is not over.
pub fn meant(state_dir: &Path, run: Option<&str>) -> Result<Header> {
    let found = header(&find(state_dir, run)?)?;
    if run.is_some() {
        return Ok(found);
    }
    let runs = list(state_dir)?;
    one_live(&runs)?;
    Ok(unnamed(&runs).cloned().unwrap_or(found))
}

/// What is meant without a name, of runs that [`one_live`] takes.
fn unnamed(runs: &[Summary]) -> Option<&Header> {
    let newest = runs.last()?;
    let going = |known: &&Summary| known.header.live && known.goes_on() && known.has_begun();
    // What is no live run can be taken back when it is done, too.
    let earlier = runs.iter().find(going).filter(|_| newest.header.live && !newest.goes_on());
    Some(&earlier.unwrap_or(newest).header)
}

/// That of these runs, the oldest first, no more than one is a live one that is not over: what is asked without a name would else be done
/// to one of them, and nobody said to which.
///
/// # Errors
/// `Refused`, with their names and stores.
pub fn one_live(runs: &[Summary]) -> Result<()> {
    let newest = runs.last().map(|known| &known.header.run);
    // One that failed before it began is in nobody's way, unless it is what would be taken.
    let counts = |known: &&Summary| {
        known.header.live && known.goes_on() && (known.has_begun() || Some(&known.header.run) == newest)
    };
    let found: Vec<String> = runs
        .iter()
        .filter(counts)
        .map(|Summary { header, .. }| format!("{} ({} → {})", header.run, header.source, header.target))
        .collect();
    if found.len() < 2 {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, "choose the run")
        .detail(format!("{} live runs are not over: {}", found.len(), found.join(", ")))
        .hint("name the one that is meant with --run; `switchover status` shows where each of them is"))
}

/// A run: the one named, or the newest. Nobody is kept from taking it up.
///
/// # Errors
/// `NotFound` without such a run.
pub fn look(state_dir: &Path, run: Option<&str>) -> Result<Summary> {
    summary(&find(state_dir, run)?)
}

fn summary(folder: &Path) -> Result<Summary> {
    Ok(Summary { header: header(folder)?, entries: entries(folder)?, active: is_held(folder)? })
}

/// All runs, oldest first.
pub fn list(state_dir: &Path) -> Result<Vec<Summary>> {
    let folder = runs(state_dir);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut folders: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(io(&folder))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("run.json").is_file())
        .collect();
    folders.sort();
    folders.iter().map(|folder| summary(folder)).collect()
}

#[cfg(test)]
mod tests;
