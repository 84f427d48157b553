//! What the tests with real processes share: a source, a database, and the program between them.
//!
//! Invariants: every process has a time limit and is killed at its end; every run's output, and every file of
//! its state folder, is searched for [`SECRET`]; events are awaited, never slept for.
//! Absent on purpose: any look at a store through the product's own code.
#![allow(dead_code, clippy::panic, clippy::allow_attributes, reason = "tests; each file uses a part of it")]

pub(crate) mod dump;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use switchover_testkit::{Cluster, Database, Server, lite, sample};
use tempfile::TempDir;

/// The password of every role and server that has one. No output and no file may show it.
pub(crate) const SECRET: &str = "s3cret-Word";

/// No process of a test takes so long, unless something hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// Rows of the usual source: with [`CHUNK_BYTES`] some dozens of chunks, and a run in less than a second.
pub(crate) const ROWS: i64 = 4000;

/// Bytes of a chunk, where the binary has failpoints.
pub(crate) const CHUNK_BYTES: &str = "8192";

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
    out: JoinHandle<String>,
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
        Running { child, lines, err: String::new(), out, since: Instant::now() }
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
        while self.next_line().is_some() {}
        let status = self.child.wait().expect("its end");
        let out = self.out.join().expect("its output");
        let ran = Ran { code: status.code(), signal: status.signal(), out, err: self.err };
        assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "it shows the password: {ran}");
        ran
    }
}

/// Where a case goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// To the database.
    Postgres,
    /// To a file of the folder.
    Sqlite,
    /// To a dump in the folder.
    Json,
}

/// Every target.
pub(crate) const GOALS: [Goal; 3] = [Goal::Postgres, Goal::Sqlite, Goal::Json];

/// A source, a target and a folder in which the program runs.
pub(crate) struct Case {
    pub(crate) goal: Goal,
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
    pub(crate) database: Database,
    /// Further variables of every run.
    pub(crate) vars: Vec<(String, String)>,
}

impl Case {
    /// On the server that the tests share.
    pub(crate) fn new() -> Case {
        Case::on(Cluster::shared().expect("a server"))
    }

    /// On a server of its own.
    pub(crate) fn on(server: &Server) -> Case {
        Case::with_rows(server, ROWS)
    }

    /// With more or fewer rows.
    pub(crate) fn with_rows(server: &Server, rows: i64) -> Case {
        let folder = tempfile::tempdir().expect("a folder");
        sample::make(&folder.path().join("app.db"), rows, 1).expect("a source");
        let database = server.fresh_database("chaos").expect("a database");
        // What a rollback must leave as it is.
        let before =
            "CREATE SCHEMA other; CREATE TABLE other.t(a int PRIMARY KEY); INSERT INTO other.t VALUES (1)";
        database.psql(before).expect("something that is there before");
        let vars = vec![("SWITCHOVER_TEST_CHUNK_BYTES".to_owned(), CHUNK_BYTES.to_owned())];
        Case { goal: Goal::Postgres, folder, server: server.clone(), database, vars }
    }

    /// To one of the targets.
    pub(crate) fn to(goal: Goal) -> Case {
        Case { goal, ..Case::new() }
    }

    /// The file that a case with that goal makes.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join(match self.goal {
            Goal::Json => "new.json",
            Goal::Postgres | Goal::Sqlite => "new.db",
        })
    }

    /// The target as the program is told.
    pub(crate) fn url(&self) -> String {
        match self.goal {
            Goal::Postgres => self.database.conninfo(),
            Goal::Sqlite => "sqlite:new.db".to_owned(),
            Goal::Json => "json:new.json".to_owned(),
        }
    }

    /// What one row of numbers, asked of the target without the product, says.
    pub(crate) fn counts(&self, query: &str) -> String {
        match self.goal {
            // A dump that is not finished answers no query: what is there is all of it.
            Goal::Json => self.dump(),
            Goal::Postgres => self.database.psql(query).expect("counts"),
            Goal::Sqlite => {
                let connection = rusqlite::Connection::open(self.file()).expect("the file");
                let mut statement = connection.prepare(query).expect("a query");
                let width = statement.column_count();
                let row = statement.query_row([], |row| {
                    (0..width).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<i64>>>()
                });
                format!("{:?}", row.expect("a row"))
            }
        }
    }

    /// The source file.
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join(".switchover")
    }

    /// The program with these arguments, in the case's folder, with an environment of its own.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path(), arguments);
        command.envs(self.vars.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `migrate` with the case's stores.
    pub(crate) fn migrate(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&["migrate", "--from", "sqlite:app.db", "--policy", "quarantine"]);
        command.env("SWITCHOVER_PROGRESS", "json").args(arguments);
        if !arguments.contains(&"--to") {
            command.args(["--to", &self.url()]);
        }
        command
    }

    /// Another verb on the newest run.
    pub(crate) fn verb(&self, verb: &str) -> Command {
        let mut command = self.program(&[verb]);
        command.env("SWITCHOVER_PROGRESS", "json");
        command
    }

    /// The state that the journal says last.
    pub(crate) fn state_of_run(&self) -> String {
        let ran = run(&mut self.program(&["status", "--json"])).exits(0);
        let runs: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        runs[0]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// That the target equals the source, by a comparison that knows nothing of the product.
    #[track_caller]
    pub(crate) fn is_equal(&self) {
        match self.goal {
            Goal::Postgres => {}
            Goal::Sqlite => {
                assert_eq!(self.kept(), [self.file()], "a run that is done leaves nothing beside the file");
            }
            Goal::Json => assert_eq!(self.kept().len(), 3, "the dump and two records: {:?}", self.kept()),
        }
        let found = match self.goal {
            Goal::Postgres => {
                sample::differences(&self.source(), &self.server, self.database.name(), "public")
            }
            Goal::Sqlite => {
                let found = lite::differences_by_name(&self.source(), &self.file());
                // This look at it was the last: what SQLite made for it goes, as with any other writer.
                let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
                let connection = rusqlite::Connection::open(self.file()).expect("the file");
                connection.query_row(fold, [], |_| Ok(())).expect("folded");
                found
            }
            Goal::Json => Ok(dump::differences(&self.source(), &self.file())),
        };
        let found = found.expect("a comparison");
        assert!(found.is_empty(), "{found:#?}");
        self.hides_the_password();
    }

    /// The files of the target: the database, and what is beside it.
    pub(crate) fn beside(&self) -> Vec<PathBuf> {
        let below = |path: &PathBuf| path.strip_prefix(self.folder.path()).map(Path::to_owned);
        let own = |path: &PathBuf| below(path).is_ok_and(|path| path.to_string_lossy().starts_with("new."));
        files(self.folder.path()).into_iter().filter(own).collect()
    }

    /// The same without the lock of a process that was killed, an empty file that locks nothing.
    fn kept(&self) -> Vec<PathBuf> {
        let is_lock = |path: &PathBuf| path.to_string_lossy().ends_with(".switchover-lock");
        self.beside().into_iter().filter(|path| !is_lock(path)).collect()
    }

    /// All that the target holds: the database, or the files of its name.
    pub(crate) fn dump(&self) -> String {
        match self.goal {
            Goal::Postgres => sample::dump(&self.server, self.database.name()).expect("a dump"),
            Goal::Sqlite | Goal::Json => {
                self.kept().into_iter().map(|path| format!("{path:?}: {:?}\n", fs::read(&path))).collect()
            }
        }
    }

    /// That no file of the state folder holds the password.
    #[track_caller]
    pub(crate) fn hides_the_password(&self) {
        for file in files(self.folder.path()) {
            if file.to_string_lossy().ends_with(".pgpass") {
                continue;
            }
            let bytes = fs::read(&file).unwrap_or_default();
            let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!found, "{} holds the password", file.display());
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
