//! A loop that kills the program at random moments, and looks at what is left.
//!
//! `migrate`, `resume` and `rollback` are killed by SIGKILL, again and again and also while they recover. Whenever
//! one of them ends by itself, the target must be what it claims: equal to the source, or as before.
//!
//! Invariants: the seed decides every choice (not the moments: those are the machine's); every finding
//! is an error with the seed and what the program said; each process has a time limit.
//! Absent on purpose: failpoints. Those kill at known places; this one looks for the unknown ones.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sample::{self, Random};
use crate::{Database, Error, Result, Server};

/// No run of the program takes so long.
const LIMIT: Duration = Duration::from_secs(120);

/// How often the end of a process is looked for.
const POLL: Duration = Duration::from_millis(2);

/// Bytes of a chunk, for a binary with failpoints: a run is then more than a hundred chunks.
const CHUNK_BYTES: &str = "32768";

/// How long, and on how much.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary, built with its failpoints (only so does it take small chunks).
    pub binary: PathBuf,
    /// Decides every choice.
    pub seed: u64,
    /// Ends after so many kills,
    pub kills_max: u64,
    /// or after so long, but not before the first.
    pub time_max: Duration,
    /// Rows of the source.
    pub rows: i64,
}

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Kills of `migrate`.
    pub killed_migrate: u64,
    /// Kills of `resume`.
    pub killed_resume: u64,
    /// Kills of `rollback`.
    pub killed_rollback: u64,
    /// `migrate` that ended before its kill.
    pub migrated: u64,
    /// `resume` that ended before its kill.
    pub resumed: u64,
    /// `rollback` that ended before its kill.
    pub rolled_back: u64,
    /// Comparisons of the whole target with the source, all equal.
    pub equal: u64,
    /// Dumps of the target that were the same as before the run.
    pub unchanged: u64,
}

impl Figures {
    /// All kills.
    pub fn kills(&self) -> u64 {
        self.killed_migrate + self.killed_resume + self.killed_rollback
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills ({} of migrate, {} of resume, {} of rollback); ended by themselves: {} migrate, {} resume, \
             {} rollback; {} comparisons equal, {} dumps as before",
            self.kills(),
            self.killed_migrate,
            self.killed_resume,
            self.killed_rollback,
            self.migrated,
            self.resumed,
            self.rolled_back,
            self.equal,
            self.unchanged
        )
    }
}

/// How one process ended.
#[derive(Debug)]
struct Ended {
    killed: bool,
    code: Option<i32>,
    said: String,
}

struct Chaos<'a> {
    options: &'a Options,
    folder: &'a Path,
    database: &'a Database,
    random: Random,
    figures: Figures,
    /// How long an undisturbed run takes: kills fall within it.
    whole: Duration,
}

/// Runs the loop in `folder`, which is empty, against `server`. `tell` hears of every step.
pub fn run(server: &Server, folder: &Path, options: &Options, tell: &mut dyn FnMut(&str)) -> Result<Figures> {
    sample::make(&folder.join("app.db"), options.rows, options.seed)?;
    let database = server.fresh_database("chaos")?;
    database.psql("CREATE SCHEMA other; CREATE TABLE other.t(a int); INSERT INTO other.t VALUES (1)")?;
    let before = sample::dump(server, database.name())?;
    let mut chaos = Chaos {
        options,
        folder,
        database: &database,
        random: Random::new(options.seed),
        figures: Figures::default(),
        whole: LIMIT,
    };
    let began = Instant::now();
    let first = chaos.step("migrate", None)?;
    chaos.whole = began.elapsed();
    chaos.must(&first, 0, "migrate")?;
    chaos.is_equal()?;
    let first = chaos.step("rollback", None)?;
    chaos.must(&first, 0, "rollback")?;
    chaos.is_as(&before)?;
    tell(&format!("undisturbed: {:.1} s", chaos.whole.as_secs_f64()));
    let began = Instant::now();
    // At least one, however slow the machine is.
    while chaos.figures.kills() < options.kills_max
        && (began.elapsed() < options.time_max || chaos.figures.kills() == 0)
    {
        let (verb, percent) = chaos.choose()?;
        let share = chaos.random.below(1200) as u32;
        let ended = chaos.step(verb, Some(chaos.whole * percent / 100 * share / 1000))?;
        tell(&chaos.judge(verb, &ended, &before)?);
    }
    // The end: whatever is left is brought to its end, undisturbed.
    match chaos.choose_to_finish()? {
        Some(verb) => {
            let ended = chaos.step(verb, None)?;
            tell(&chaos.judge(verb, &ended, &before)?);
        }
        None => chaos.is_equal()?,
    }
    Ok(chaos.figures)
}

impl Chaos<'_> {
    /// The state of the newest run, as `status` tells; empty when there is none.
    fn state(&mut self) -> Result<String> {
        let output = self
            .command("status")
            .arg("--json")
            .stdout(Stdio::piped())
            .output()
            .map_err(|e| Error::new("cannot run the program", e))?;
        let runs: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|e| {
            Error::new("`status` gave no JSON", format!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
        })?;
        Ok(runs[0]["state"].as_str().unwrap_or_default().to_owned())
    }

    /// What to do next, and about how long it takes, in percent of a whole run.
    fn choose(&mut self) -> Result<(&'static str, u32)> {
        let state = self.state()?;
        Ok(match &*state {
            "" | "rolled back" => ("migrate", 100),
            // It compares first, so that nothing is lost that was written since.
            "done" => ("rollback", 70),
            _ if self.random.below(4) == 0 => ("rollback", 20),
            _ => ("resume", 70),
        })
    }

    fn choose_to_finish(&mut self) -> Result<Option<&'static str>> {
        Ok(match &*self.state()? {
            "" | "rolled back" => Some("migrate"),
            "done" => None,
            _ => Some("resume"),
        })
    }

    fn command(&mut self, verb: &str) -> Command {
        let mut command = Command::new(&self.options.binary);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SWITCHOVER_TEST_CHUNK_BYTES", CHUNK_BYTES)
            .current_dir(self.folder)
            .arg(verb)
            .stdin(Stdio::null());
        if verb == "migrate" {
            command.args(["--from", "sqlite:app.db", "--policy", "quarantine", "--on-failure", "keep"]);
            command.args(["--to", &self.database.conninfo()]);
            if self.random.below(3) > 0 {
                command.arg("--no-backup");
            }
        }
        if matches!(verb, "migrate" | "resume") {
            command.args(["--jobs", &(1 + self.random.below(4)).to_string()]);
        }
        command
    }

    /// Runs a verb, and kills it after `kill_after` unless it has ended by then.
    fn step(&mut self, verb: &str, kill_after: Option<Duration>) -> Result<Ended> {
        let failed = |e: std::io::Error| Error::new("cannot run the program", e);
        let log = self.folder.join("said");
        let said = std::fs::File::create(&log).map_err(failed)?;
        let mut command = self.command(verb);
        command.stdout(said.try_clone().map_err(failed)?).stderr(said);
        let mut child = command.spawn().map_err(failed)?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if kill_after.is_some_and(|after| began.elapsed() >= after) {
                child.kill().map_err(failed)?;
                break child.wait().map_err(failed)?;
            }
            if began.elapsed() > LIMIT {
                child.kill().map_err(failed)?;
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Error::new(format!("`{verb}` hangs (seed {})", self.options.seed), said));
            }
            std::thread::sleep(POLL);
        };
        let said = std::fs::read_to_string(&log).map_err(failed)?;
        Ok(Ended { killed: status.code().is_none(), code: status.code(), said })
    }

    /// Counts an end, and checks what it claims.
    fn judge(&mut self, verb: &str, ended: &Ended, before: &str) -> Result<String> {
        if ended.killed {
            match verb {
                "migrate" => self.figures.killed_migrate += 1,
                "resume" => self.figures.killed_resume += 1,
                _ => self.figures.killed_rollback += 1,
            }
            return Ok(format!("{verb}: killed, now {:?}", self.state()?));
        }
        self.must(ended, 0, verb)?;
        match verb {
            "migrate" => self.figures.migrated += 1,
            "resume" => self.figures.resumed += 1,
            _ => self.figures.rolled_back += 1,
        }
        if verb == "rollback" {
            self.is_as(before)?;
            return Ok("rollback: ended, and the target is as before".to_owned());
        }
        self.is_equal()?;
        Ok(format!("{verb}: ended, and the target equals the source"))
    }

    fn must(&self, ended: &Ended, code: i32, verb: &str) -> Result<()> {
        if ended.code == Some(code) {
            return Ok(());
        }
        let what = format!("`{verb}` ended with {:?} (seed {})", ended.code, self.options.seed);
        Err(Error::new(what, &ended.said))
    }

    fn is_equal(&mut self) -> Result<()> {
        let (server, name) = (self.database.server(), self.database.name());
        let found = sample::differences(&self.folder.join("app.db"), server, name, "public")?;
        if !found.is_empty() {
            let what = format!("the target differs from the source (seed {})", self.options.seed);
            return Err(Error::new(what, found.join("\n")));
        }
        self.figures.equal += 1;
        Ok(())
    }

    fn is_as(&mut self, before: &str) -> Result<()> {
        let now = sample::dump(self.database.server(), self.database.name())?;
        if now != before {
            let what = format!("a rollback left something behind (seed {})", self.options.seed);
            return Err(Error::new(what, now));
        }
        self.figures.unchanged += 1;
        Ok(())
    }
}
