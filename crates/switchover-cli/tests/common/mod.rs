//! What the tests with real processes share: a source, a database, and the program between them.
//!
//! Invariants: every process has a time limit and is killed at its end; every run's output, and every file of
//! its state folder, is searched for [`SECRET`]; events are awaited, never slept for.
//! Absent on purpose: any look at a store through the product's own code.
#![allow(dead_code, clippy::panic, clippy::allow_attributes, reason = "tests; each file uses a part of it")]

pub(crate) mod case;
pub(crate) mod dump;
#[cfg(feature = "failpoints")]
pub(crate) mod killed;
pub(crate) mod objects;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The password of every role and server that has one. No output and no file may show it.
pub(crate) const SECRET: &str = "s3cret-Word";

/// No process of a test takes so long to what is awaited of it, unless something hangs. How long it has been at work does not
/// count: an engine lives as long as its test. The slowest takes half a minute on two idle cores; machines that others share have been
/// four times as slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// That it ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// That `kill -9` ended it.
    #[track_caller]
    pub(crate) fn was_killed(self) -> Ran {
        assert_eq!(self.signal, Some(9), "{self}");
        self
    }

    /// That its standard error says this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Ran {
        // Lines are wrapped where they are long: the words are what counts.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&self.err).contains(&words(text)), "it does not say {text:?}: {self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ran { code, signal, out, err } = self;
        write!(f, "code {code:?}, signal {signal:?}\n--- stdout ---\n{out}\n--- stderr ---\n{err}")
    }
}

/// A process that runs.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    err: String,
    /// What reads its output; taken at its end.
    out: Option<JoinHandle<String>>,
    /// When the test began to wait.
    since: Instant,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (mut out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let out = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).expect("its output");
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(err).split(b'\n') {
                let Ok(line) = line else { return };
                if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Running { child, lines, err: String::new(), out: Some(out), since: Instant::now() }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn next_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT.saturating_sub(self.since.elapsed())) {
            Ok(line) => {
                writeln!(self.err, "{line}").expect("a string");
                Some(line)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // Its end is then the test's: the assertion on the exit code shows what it said.
                self.err.push_str("[killed by the test: too slow]\n");
                self.child.kill().expect("it can be killed");
                None
            }
        }
    }

    /// Waits until a line of standard error is as wanted.
    #[track_caller]
    pub(crate) fn await_line(&mut self, wanted: impl Fn(&str) -> bool) {
        self.since = Instant::now();
        while let Some(line) = self.next_line() {
            if wanted(&line) {
                return;
            }
        }
        panic!("it ended before the awaited line:\n{}", self.err);
    }

    /// Waits until it has copied something, as `--progress json` tells.
    #[track_caller]
    pub(crate) fn await_copied(&mut self) {
        self.await_line(|line| line.contains(r#""event":"advanced","phase":"copy""#));
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, unless it has ended.
    pub(crate) fn signal_if_alive(&mut self, name: &str) {
        if self.is_alive() {
            self.signal(name);
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        self.since = Instant::now();
        while self.next_line().is_some() {}
        let status = self.child.wait().expect("its end");
        let out = self.out.take().expect("nobody else waits for it").join().expect("its output");
        let err = std::mem::take(&mut self.err);
        let ran = Ran { code: status.code(), signal: status.signal(), out, err };
        assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "it shows the password: {ran}");
        ran
    }
}

/// A test that fails leaves no engine behind.
impl Drop for Running {
    fn drop(&mut self) {
        if self.is_alive() {
            self.child.kill().expect("it can be killed");
            self.child.wait().expect("its end");
        }
    }
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

/// The program in a folder, with an environment of its own.
pub(crate) fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchover"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("NO_COLOR", "1").current_dir(folder).args(arguments);
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    Running::start(command).end()
}
