//! `cargo xtask demo`: a chat's dump becomes a SQLite file; an application begins to write to it, and while it writes its
//! data moves to a private PostgreSQL, back, and forward again. At the end all acknowledged writes are counted.
//!
//! Invariants: it touches `target/demo` and its own server only, and ends every process that it began, also on Ctrl-C;
//! every command that it runs is shown, so that a reader can repeat it; a lost write is a failure.

pub(crate) mod app;
mod children;
mod record;
mod show;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use switchover_testkit::Cluster;
use tokio::signal::unix::{SignalKind, signal};

use self::children::Beside;
use self::record::Record;
use self::show::Line;
use crate::chat::Size;
use crate::{Result, dump, paths};

/// Enough to look real, small enough to be copied in seconds.
const SIZE: Size = Size { users: 60, workspaces: 40, conversations: 600, messages: 30_000 };

/// How often the engine is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the application writes to one owner before the next step.
const STAY: Duration = Duration::from_secs(4);

/// How long a step may take: many times what it takes on a slow machine.
const STEP_MAX: Duration = Duration::from_secs(120);

/// Runs it.
pub(crate) fn run() -> Result {
    let switchover = paths::build_switchover()?.ok_or("the binary `switchover` was not built")?;
    let folder = paths::target().join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    dump::create(&folder.join("dump.json"), SIZE)?;
    println!("\nmade {}: {} rows in four tables", folder.join("dump.json").display(), SIZE.rows());
    let stop = interrupted()?;
    let cluster = Cluster::builder().start()?;
    cluster.create_database("chat")?;
    println!("started PostgreSQL {} on {}", cluster.binaries.major(), cluster.host);
    let mut demo = Demo {
        switchover,
        server: cluster.url("chat"),
        record: Record::of(&folder, app::WRITERS),
        folder,
        stop,
        line: Line::new(),
        begun: Instant::now(),
    };
    demo.offline()?;
    let app = demo.application(&cluster.conninfo("chat"))?;
    demo.live(app)?;
    demo.count(&cluster)
}

/// A request to stop, by Ctrl-C or SIGTERM.
fn interrupted() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        told.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}

struct Demo {
    switchover: PathBuf,
    folder: PathBuf,
    server: String,
    record: Record,
    stop: Arc<AtomicBool>,
    line: Line,
    begun: Instant,
}

impl Demo {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.switchover);
        command.args(words).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    fn check(&self) -> Result {
        match self.stop.load(Ordering::Relaxed) {
            true => Err("stopped; nothing of the demo runs any more".into()),
            false => Ok(()),
        }
    }

    /// From memory to SQLite, and on to PostgreSQL, by the presets: rows, keys and indexes, and the comparison of every field.
    fn offline(&self) -> Result {
        println!("\n1. The chat's dump becomes a SQLite file; every field is compared.\n");
        let words =
            ["migrate", "--from", "json:dump.json", "--to", "sqlite:app.db", "--preset", "cortex-core"];
        paths::run(&mut self.command(&words))?;
        paths::run(&mut self.command(&["cleanup", "--yes"]))?;
        self.check()?;
        println!(
            "\n2. A PostgreSQL of the application's own types is made of it: uuid, jsonb, text[], timestamptz.\n"
        );
        let server = self.server.clone();
        let preset = ["--preset", "cortex-core-postgres", "--schema", "cortex"];
        let words = ["migrate", "--from", "sqlite:app.db", "--to", &server];
        paths::run(&mut self.command(&[&words[..], &preset].concat()))?;
        paths::run(&mut self.command(&["cleanup", "--yes"]))?;
        self.check()
    }

    /// The application, as a process of its own.
    fn application(&mut self, server: &str) -> Result<Beside> {
        println!(
            "\n3. The chat goes on: {} writers on that file, in a process of their own.\n",
            app::WRITERS
        );
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("chat").args(["--sqlite", "app.db", "--route", ".switchover/route.json", "--acks", "."]);
        let app = Beside::start(command.args(["--server", server]).current_dir(&self.folder))?;
        self.begun = Instant::now();
        Ok(app)
    }

    fn live(&mut self, mut app: Beside) -> Result {
        self.wait(&mut app, None)?;
        println!("\n4. Its data moves to PostgreSQL, while it writes.\n");
        let server = self.server.clone();
        let log = self.folder.join("engine.log");
        let mut start = self.command(&["start", "--from", "sqlite:app.db", "--to", &server]);
        println!("$ {} 2> engine.log &", paths::show(&start));
        let said = File::create(&log)?;
        let mut engine = Beside::start(start.stdout(said.try_clone()?).stderr(said))?;
        let same = |status: &Value| status["verification"]["verdict"] == "same";
        self.until(&mut app, &mut engine, same)?;
        self.wait(&mut app, Some(&mut engine))?;
        println!("\n5. PostgreSQL becomes the owner. The application waits, and goes on there.\n");
        self.ask(&["cutover"])?;
        self.wait(&mut app, Some(&mut engine))?;
        println!("\n6. Back to SQLite, with all that was written to PostgreSQL meanwhile.\n");
        self.ask(&["rollback"])?;
        self.until(&mut app, &mut engine, same)?;
        println!("\n7. And forward again, for good.\n");
        self.ask(&["cutover", "--when-ready"])?;
        self.wait(&mut app, Some(&mut engine))?;
        self.ask(&["finish", "--yes"])?;
        engine.wait_for(STEP_MAX)?;
        self.wait(&mut app, None)?;
        let ended = app.finish()?;
        if !ended.success() {
            return Err(format!("the application failed: {ended}").into());
        }
        Ok(())
    }

    fn ask(&self, words: &[&str]) -> Result {
        self.check()?;
        paths::run(&mut self.command(words))
    }

    /// Shows the application at work for a while.
    fn wait(&mut self, app: &mut Beside, mut engine: Option<&mut Beside>) -> Result {
        let begun = Instant::now();
        while begun.elapsed() < STAY {
            self.look(app, engine.as_deref_mut())?;
        }
        self.line.end();
        Ok(())
    }

    /// Shows the application at work until the engine says so.
    fn until(&mut self, app: &mut Beside, engine: &mut Beside, reached: impl Fn(&Value) -> bool) -> Result {
        let begun = Instant::now();
        while !reached(&self.look(app, Some(&mut *engine))?) {
            if begun.elapsed() > STEP_MAX {
                return Err(format!("the engine takes too long: {}", self.said()).into());
            }
        }
        self.line.end();
        Ok(())
    }

    /// One look at both: what the engine tells, and how many writes were acknowledged.
    fn look(&mut self, app: &mut Beside, engine: Option<&mut Beside>) -> Result<Value> {
        let (before, begun) = (self.record.read_on()?, Instant::now());
        thread::sleep(LOOK_EVERY);
        self.check()?;
        if let Some(ended) = app.ended()? {
            return Err(format!("the application ended: {ended}").into());
        }
        let writes = self.record.read_on()?;
        let rate = (writes - before) as f64 / begun.elapsed().as_secs_f64();
        let clock = self.begun.elapsed().as_secs_f64();
        let mut text = format!("{clock:5.1} s  {writes:>6} writes ({rate:>4.0}/s)");
        let mut status = Value::Null;
        if let Some(engine) = engine {
            if let Some(ended) = engine.ended()? {
                return Err(format!("the engine ended: {ended}: {}", self.said()).into());
            }
            let output = self.command(&["status", "--json"]).output()?;
            let runs: Value = serde_json::from_slice(&output.stdout)?;
            status = runs[0]["live"].clone();
            text.push_str(&shown(&status));
        }
        self.line.now(&text)?;
        Ok(status)
    }

    /// What the engine wrote.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.join("engine.log")).unwrap_or_default()
    }

    /// All acknowledged writes against what the owner holds.
    fn count(&mut self, cluster: &Cluster) -> Result {
        let writes = self.record.read_on()?;
        let sample = "(SELECT count(*) FROM messages WHERE content NOT LIKE '% in turn %')";
        let own = "SELECT id, content FROM messages WHERE content LIKE '% in turn %'";
        let rows = cluster.rows("chat", own)?;
        let mut held = BTreeMap::new();
        for row in rows {
            if let [Some(id), Some(text)] = row.as_slice() {
                held.insert(id.clone(), text.clone());
            }
        }
        let of_sample = cluster.psql("chat", &format!("SELECT {sample}"))?;
        println!("\nAs the application saw it, by its own record of acknowledgements:");
        for (store, wait_ms) in self.record.changes_of_owner() {
            println!("  to {:<11} no write was acknowledged for {wait_ms:.0} ms", store.name());
        }
        println!("The files are in {}; server, engine and application have ended.\n", self.folder.display());
        let lost = self.record.lost(&held) + usize::from(of_sample != SIZE.messages.to_string());
        println!("{writes} acknowledged writes, {lost} lost.");
        match lost {
            0 => Ok(()),
            _ => Err("a write was lost".into()),
        }
    }
}

/// What the engine tells, in a few words.
fn shown(status: &Value) -> String {
    let phase = status["phase"].as_str().unwrap_or("planning").replace('_', " ");
    let (lag, lag_s) = (status["lag_entries"].as_u64(), status["lag_s"].as_f64());
    let verdict = match status["verification"]["verdict"].as_str() {
        Some("same") => ", proven equal",
        Some("running") => ", comparing",
        _ => "",
    };
    match (phase.as_str(), lag, lag_s) {
        ("following", Some(lag), Some(lag_s)) => {
            format!("  {phase}: lag {lag}, {:.0} ms{verdict}", lag_s * 1e3)
        }
        ("reverse", Some(lag), Some(lag_s)) => {
            format!("  SQLite follows back: lag {lag}, {:.0} ms", lag_s * 1e3)
        }
        _ => format!("  {phase}"),
    }
}
