//! The engine as its user runs it: `switchover start` as a process of its own, and the verbs that are asked of it.
//!
//! Invariant: it is looked at from outside only, by its status file, the size of the source's log and the kernel's
//! figures; it ends with this value.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use switchover_testkit::Database;

use super::super::measure;
use crate::Result;

/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(2);
/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// A folder with one run in it.
pub(crate) struct Engine {
    binary: PathBuf,
    folder: PathBuf,
    source: PathBuf,
    url: String,
    child: Option<Child>,
}

impl Engine {
    /// A place for one run; `folder` is made new.
    pub(crate) fn new(binary: &Path, folder: &Path, source: &Path, database: &Database) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        Ok(Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            source: source.to_owned(),
            url: database.url(),
            child: None,
        })
    }

    /// A verb, with both stores named.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        let source = format!("sqlite:{}", self.source.display());
        command.current_dir(&self.folder).args([verb, "--from", &source, "--to", &self.url]);
        command.stdin(Stdio::null());
        command
    }

    /// Starts it.
    pub(crate) fn start(&mut self) -> Result {
        let log = File::create(self.folder.join("engine.log"))?;
        let mut command = self.command("start");
        let errors = log.try_clone()?;
        self.child = Some(command.arg("--no-backup").stdout(log).stderr(errors).spawn()?);
        Ok(())
    }

    /// Runs a verb to its end, and tells how many seconds that took.
    pub(crate) fn ask(&self, verb: &str, options: &[&str]) -> Result<f64> {
        Ok(measure::measured(self.command(verb).args(options))?.seconds)
    }

    /// What the run tells; `None` before it tells anything.
    pub(crate) fn status(&self) -> Option<Value> {
        let runs = fs::read_dir(self.folder.join(".switchover").join("runs")).ok()?;
        let file = runs.flatten().map(|run| run.path().join("live.json")).find(|file| file.is_file())?;
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// Waits until the status is as wanted; the seconds that took.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<f64> {
        let begun = Instant::now();
        while !self.status().is_some_and(|status| wanted(&status)) {
            if let Some(ended) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                return Err(
                    format!("the engine ended ({ended}) before it was {what}: {}", self.said()).into()
                );
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("the engine was never {what}: {:?}", self.status()).into());
            }
            thread::sleep(LOOK);
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Waits until every row was compared and equal.
    pub(crate) fn proven(&mut self) -> Result<f64> {
        self.until("proven equal", |status| status["verification"]["verdict"] == "same")
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(self.folder.join("engine.log")).unwrap_or_default();
        let mut tail: Vec<&str> = text.lines().rev().take(6).collect();
        tail.reverse();
        tail.join("\n")
    }

    /// Takes the run back, and waits for the engine's end.
    pub(crate) fn take_back(&mut self) -> Result {
        self.ask("rollback", &[])?;
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result {
        if let Some(mut child) = self.child.take() {
            let ended = child.wait()?;
            if !ended.success() {
                return Err(format!("the engine ended with {ended}: {}", self.said()).into());
            }
        }
        Ok(())
    }

    /// Its peak of resident memory so far, in KiB.
    pub(crate) fn peak_kb(&self) -> Option<u64> {
        measure::peak(&format!("/proc/{}/status", self.child.as_ref()?.id()))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The largest size of a file, looked at all the while.
pub(crate) struct Largest {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    looking: Option<JoinHandle<()>>,
}

impl Largest {
    /// Begins to look.
    pub(crate) fn of(path: PathBuf) -> Self {
        let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, largest) = (Arc::clone(&stop), Arc::clone(&bytes));
        let looking = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let size = fs::metadata(&path).map_or(0, |meta| meta.len());
                largest.fetch_max(size, Ordering::Relaxed);
                thread::sleep(LOOK * 5);
            }
        });
        Self { stop, bytes, looking: Some(looking) }
    }

    /// In megabytes, so far.
    pub(crate) fn megabytes(&self) -> f64 {
        self.bytes.load(Ordering::Relaxed) as f64 / f64::from(1 << 20)
    }
}

impl Drop for Largest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(looking) = self.looking.take() {
            drop(looking.join());
        }
    }
}
