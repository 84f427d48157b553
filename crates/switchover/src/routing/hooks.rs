//! The user's commands before, at and after the owner of the data changes, and those that call for a person.
//!
//! A text is given to `sh -c`; a list is a program and its arguments, without a shell. Each has the variables of [`VARIABLES`], no
//! standard input, and a time limit, after which it and all that it started are ended. What it writes goes to the run's folder, without the secrets that are known here.
//!
//! Invariants: of one epoch and moment, a command that succeeded is not run again: a second call goes on behind it; one that took its place in
//! the list since is another command. An output that
//! cannot be kept stops no command, nor counts as its failure: a disk that is full must not silence an alarm. Absent on
//! purpose: undoing one. A command may be run twice when the process is killed beside it, so it must bear that.

use super::env_text;
use crate::{journal, reserve};
use secrecy::{ExposeSecret, SecretString};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use switchover_core::failpoint;
use switchover_core::live::Side;
use switchover_core::{Error, Kind, Result};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command as Process};

/// The variables that a command has. This program is one that it may start, so it must know them for none of its settings.
pub const VARIABLES: [&str; 5] =
    ["SWITCHOVER_RUN", "SWITCHOVER_OWNER", "SWITCHOVER_EPOCH", MARK, "SWITCHOVER_WHY"];

/// The one of them that only a command has.
pub const MARK: &str = "SWITCHOVER_PHASE";

/// How long a command may take, when nothing else is said: longer than a restart of a service, shorter than a person waits.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Output that is kept of one command; the rest is read and thrown away, so that the command does not wait for us.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// How long a command has between being asked to end and being ended.
const GRACE: Duration = Duration::from_secs(2);

/// How long what a command leaves running may keep its output open.
const TAIL: Duration = Duration::from_millis(500);

/// Secrets shorter than this would blot out ordinary words.
const SECRET_BYTES_MIN: usize = 4;

/// What a command writes is for whoever runs the engine: it may hold secrets that are not known here.
const LOG_MODE: u32 = 0o600;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// For `sh -c`.
    Shell(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

impl Command {
    /// What tells it from any other, and nothing of what it says: it may hold a secret.
    fn hash(&self) -> String {
        let (form, words) = match self {
            Command::Shell(text) => ("shell", std::slice::from_ref(text)),
            Command::Program(words) => ("program", words.as_slice()),
        };
        let mut hasher = blake3::Hasher::new();
        for part in std::iter::once(form).chain(words.iter().map(String::as_str)) {
            hasher.update(&part.len().to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// When commands are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before anything is fenced. One that fails keeps the owner from changing.
    Before,
    /// Right after the decision, while the application learns of it.
    At,
    /// When all is done.
    After,
    /// When the run needs a person.
    Alarm,
}

impl Moment {
    /// As it is called in the configuration and in `SWITCHOVER_PHASE`.
    pub fn name(self) -> &'static str {
        match self {
            Moment::Before => "before",
            Moment::At => "at",
            Moment::After => "after",
            Moment::Alarm => "alarm",
        }
    }
}

/// The commands of a run.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// Before the fence.
    pub before: Vec<Command>,
    /// After the decision.
    pub at: Vec<Command>,
    /// At the end.
    pub after: Vec<Command>,
    /// When the run needs a person.
    pub alarm: Vec<Command>,
    /// How long each may take.
    pub timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        let none = Vec::new;
        Hooks { before: none(), at: none(), after: none(), alarm: none(), timeout: TIMEOUT_DEFAULT }
    }
}

/// What commands are told.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// The run.
    pub run: &'a str,
    /// Who owns the data; before the decision, who will.
    pub owner: Side,
    /// The epoch of the decision.
    pub epoch: u64,
    /// What an alarm is about; empty otherwise.
    pub why: &'a str,
    /// The run's folder.
    pub folder: &'a Path,
    /// What must not appear in any output.
    pub secrets: &'a [SecretString],
}

impl Hooks {
    /// The commands of a moment.
    pub fn of(&self, moment: Moment) -> &[Command] {
        match moment {
            Moment::Before => &self.before,
            Moment::At => &self.at,
            Moment::After => &self.after,
            Moment::Alarm => &self.alarm,
        }
    }

    /// Runs the commands of a moment in order, up to the first that fails ([`Kind::Rejected`]). Called again, it goes on with that.
    pub async fn run(&self, moment: Moment, told: &Told<'_>) -> Result<()> {
        for (at, command) in self.of(moment).iter().enumerate() {
            let log = log_path(told, moment, at);
            // Before the decision nothing is owed: a new attempt asks all of them again. Each alarm is another one.
            let once = matches!(moment, Moment::At | Moment::After);
            let which = command.hash();
            let done = self.done_path(told, moment, at);
            if once && fs::read(&done).is_ok_and(|ran| ran == which.as_bytes()) {
                continue;
            }
            failpoint::hit("live-hook-before");
            let ran = run_one(command, moment, told, self.timeout).await;
            let text =
                ran.as_ref().map_or_else(|error| error.to_string().into_bytes(), |ran| ran.output.clone());
            let kept = keep("keep a command's output", &log, &scrubbed(text, told.secrets));
            if let Err(error) = &kept {
                tracing::warn!(%error, "a command was run, and what it wrote is lost");
            }
            let ran = ran
                .map_err(|error| fail(command, moment, told).detail(format!("it cannot be run: {error}")))?;
            if let Some(why) = ran.failure {
                let hint = match kept {
                    Ok(()) => format!("its output is in {}", log.display()),
                    Err(error) => format!("its output is lost: {error}"),
                };
                return Err(fail(command, moment, told).detail(why).hint(hint));
            }
            if once {
                reserve::with(told.folder, || keep("keep that a command was run", &done, which.as_bytes()))?;
            }
            failpoint::hit("live-hook-after");
        }
        Ok(())
    }

    /// Says that a command was run, wherever in the list it stands: the same one twice is told by its turn.
    fn done_path(&self, told: &Told<'_>, moment: Moment, at: usize) -> PathBuf {
        let commands = self.of(moment);
        let which = commands[at].hash();
        let turn = commands[..at].iter().filter(|earlier| earlier.hash() == which).count();
        let name = format!("{:04}-{}-{}-{turn}.done", told.epoch, moment.name(), &which[..16]);
        told.folder.join("hooks").join(name)
    }
}

fn fail(command: &Command, moment: Moment, told: &Told<'_>) -> Error {
    let program = match command {
        // A command line may hold a secret of its own; its first word is enough to know it again.
        Command::Shell(text) => text.split_whitespace().next().unwrap_or_default(),
        Command::Program(words) => words.first().map_or("", String::as_str),
    };
    let program = scrubbed(program.as_bytes().to_vec(), told.secrets);
    Error::new(Kind::Rejected, format!("run the command '{}'", moment.name()))
        .store(String::from_utf8_lossy(&program).into_owned())
}

fn log_path(told: &Told<'_>, moment: Moment, at: usize) -> PathBuf {
    told.folder.join("hooks").join(format!("{:04}-{}-{}.log", told.epoch, moment.name(), at + 1))
}

fn keep(operation: &str, path: &Path, bytes: &[u8]) -> Result<()> {
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(LOG_MODE).open(path);
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    let kept = made.and_then(|()| open()).and_then(|mut file| file.write_all(bytes));
    kept.map_err(|error| journal::file_error(operation, path, &error))
}

/// What became of a command.
struct Ran {
    output: Vec<u8>,
    /// Why it counts as failed.
    failure: Option<String>,
}

async fn run_one(
    command: &Command,
    moment: Moment,
    told: &Told<'_>,
    timeout: Duration,
) -> std::io::Result<Ran> {
    let mut process = match command {
        Command::Shell(text) => {
            let mut process = Process::new("sh");
            process.args(["-c", text]);
            process
        }
        Command::Program(words) => {
            let mut process = Process::new(words.first().map_or("", String::as_str));
            process.args(words.iter().skip(1));
            process
        }
    };
    let why = scrubbed(told.why.as_bytes().to_vec(), told.secrets);
    let values = [
        told.run.to_owned(),
        told.owner.to_string(),
        told.epoch.to_string(),
        moment.name().to_owned(),
        String::from_utf8_lossy(&why).into_owned(),
    ];
    process
        .envs(VARIABLES.into_iter().zip(values))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = process.spawn()?;
    // Room behind what is kept, for a secret that would be cut in two, and to know that there was more.
    let longest = told.secrets.iter().map(|secret| secret.expose_secret().len()).max().unwrap_or(0);
    let room = OUTPUT_BYTES_MAX + longest + 1;
    let out = tokio::spawn(read(child.stdout.take(), room));
    let err = tokio::spawn(read(child.stderr.take(), room));
    let (aborts, mut group) = ([out.abort_handle(), err.abort_handle()], Group::of(&child));
    let failure = match tokio::time::timeout(timeout, child.wait()).await {
        Ok(status) => {
            let status = status?;
            (!status.success()).then(|| format!("it ended with {status}"))
        }
        Err(_) => {
            group.end(&mut child).await;
            Some(format!(
                "it took longer than {} s and was ended, with all that it started",
                timeout.as_secs_f64()
            ))
        }
    };
    group.ended();
    let mut output = Vec::new();
    let all = async { (out.await, err.await) };
    if let Ok((out, err)) = tokio::time::timeout(TAIL, all).await {
        output.extend(out.unwrap_or_default());
        output.extend(err.unwrap_or_default());
    } else {
        aborts.iter().for_each(tokio::task::AbortHandle::abort);
        output.extend(b"(what it left running keeps its output open)\n");
    }
    Ok(Ran { output, failure })
}

/// Reads to the end, and keeps the first bytes.
async fn read(from: Option<impl AsyncRead + Unpin>, room: usize) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 8192]);
    let Some(mut from) = from else { return kept };
    // A pipe that breaks has nothing more to say.
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let fits = read.min(room - kept.len());
        kept.extend(&buffer[..fits]);
    }
    kept
}

/// The processes that a command began, while it itself has not been waited for: only so long is its number its own.
struct Group(Option<rustix::process::Pid>);

impl Group {
    fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())))
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(group) = self.0 {
            // A group that is gone needs no signal.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    async fn end(&mut self, child: &mut Child) {
        self.signal(rustix::process::Signal::TERM);
        // The child is not waited for here: its number must stay its own until the last signal.
        let graceful = async {
            while fs::read_to_string(format!("/proc/{}/stat", child.id().unwrap_or_default()))
                .is_ok_and(|stat| !stat.contains(") Z "))
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(GRACE, graceful).await;
        self.signal(rustix::process::Signal::KILL);
        let _ = child.wait().await;
    }

    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The engine itself is being ended: a command does not outlive it.
        self.signal(rustix::process::Signal::KILL);
    }
}

/// The bytes without secrets, nor passwords of those that are URLs, as they stand there, as a program reads them and as the
/// environment file has them, and not more than is kept.
fn scrubbed(mut bytes: Vec<u8>, secrets: &[SecretString]) -> Vec<u8> {
    let mut hide: Vec<Vec<u8>> = Vec::new();
    for secret in secrets {
        let secret = secret.expose_secret();
        hide.push(secret.as_bytes().to_vec());
        let user = secret.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(user, _)| user);
        if let Some((_, password)) = user.and_then(|user| user.split_once(':')) {
            hide.push(password.as_bytes().to_vec());
            hide.push(decoded(password));
        }
    }
    hide.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
    let in_file: Vec<_> = hide.iter().map(|secret| env_text::in_double_quotes(secret)).collect();
    hide.extend(in_file);
    // The longest first: a password is a part of its URL.
    hide.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in hide {
        let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
        while let Some(found) =
            bytes[at..].windows(secret.len()).position(|window| window == secret.as_slice())
        {
            out.extend(&bytes[at..at + found]);
            out.extend(HIDDEN.as_bytes());
            at += found + secret.len();
        }
        out.extend(&bytes[at..]);
        bytes = out;
    }
    if bytes.len() > OUTPUT_BYTES_MAX {
        bytes.truncate(OUTPUT_BYTES_MAX);
        bytes.extend(b"\n(the rest is left out)\n");
    }
    bytes
}

/// A part of a URL as it is meant: `%` and two digits stand for a byte. What else begins with `%` stays.
fn decoded(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some(first) = rest.first() {
        let (byte, length) = escaped(rest).map_or((*first, 1), |byte| (byte, 3));
        out.push(byte);
        rest = &rest[length..];
    }
    out
}

fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests;
