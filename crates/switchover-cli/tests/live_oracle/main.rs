//! The oracle: processes write through plain connections all the while; the engine is killed before and after
//! every durable effect; the owner changes there and back; the server is restarted. At the end every acknowledged operation
//! is in the owner, every refused one is not, none is there twice, and the data is what the operations make of it in
//! their order.
//!
//! `SWITCHOVER_ORACLE_SECONDS` adds random kills after the known places, on a line that is bad half of the time, for so long;
//! `SWITCHOVER_ORACLE_SEED` decides them and what the writers do. With `SWITCHOVER_ORACLE_REPORT`, a folder, the figures of
//! each story are written there as JSON: `cargo xtask chaos --live` and `bench chaos` read them.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod history;
mod reads;
mod writer;

use common::{Running, program};
use history::{Dice, Entry, Model};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use switchover_testkit::{Cluster, Database, Proxy, Shutdown, Weaviate};
use tempfile::TempDir;

/// Where an engine dies on its way to following. Each is the next engine's place.
const TO_FOLLOWING: &[&str] = &[
    "after-planned=return",
    "after-prepare=return",
    "live-enter-before-commit=return",
    "live-enter-after-commit=return",
    "live-source-enter-before-commit=return",
    "live-source-enter-after-commit=return",
    "live-entered-source=return",
    "live-source-capture-before-commit=return",
    "live-source-capture-after-commit=return",
    "live-captured=return",
    "copy-before-commit=2*off->return",
    "copy-after-commit=3*off->return",
    "live-copied=return",
    "build-before-commit=1*off->return",
    "build-after-commit=2*off->return",
    "live-steps=return",
    "live-read=return",
    "live-target-enter-before-commit=return",
    "live-target-enter-after-commit=return",
    "live-target-apply-before-commit=return",
    "live-target-apply-after-commit=return",
    "live-apply-before-commit=return",
    "live-apply-after-commit=return",
    "live-applied=return",
    "live-source-settle-before-commit=return",
    "live-source-settle-after-commit=return",
    "live-settled=3*off->return",
];

/// Where it dies while the owner changes, whichever way.
const SWITCHING: &[&str] = &[
    "switch-captured=return",
    "live-decide-before-commit=return",
    "live-decide-after-commit=return",
    "switch-proposed=return",
    "switch-fenced=return",
    "switch-drained=return",
    "live-decide-before-commit=1*off->return",
    "live-decide-after-commit=1*off->return",
    "switch-asked=return",
    "switch-decided=return",
    "live-owner-settled=1*off->return",
    // Once as it was, then for the proposal, then for the decision.
    "live-route-before=1*off->return",
    "live-route-after=1*off->return",
    "live-route-before=2*off->return",
    "live-route-after=2*off->return",
    // Before, at and after the change.
    "live-hook-before=return",
    "live-hook-after=return",
    "live-hook-before=1*off->return",
    "live-hook-after=1*off->return",
    "live-hook-before=2*off->return",
    "live-hook-after=2*off->return",
];

/// Where it dies when the owner changes for the first time, which later changes do not come to again.
const FIRST: &[&str] = &[
    "live-target-capture-before-commit=return",
    "live-target-capture-after-commit=return",
    "live-env-before-backup=return",
];

/// What the places of a server's own begin with; those of a file that is the target begin with the side's name.
const OF_SERVER: [&str; 7] = [
    "live-enter-",
    "live-apply-",
    "live-decide-",
    "live-capture-",
    "live-fence-",
    "live-settle-",
    "live-follow-",
];

/// Where it dies besides, on the way to the target,
const TO_TARGET: &[&str] = &[
    "live-source-fence-before-commit=return",
    "live-source-fence-after-commit=return",
    "live-capture-before-commit=return",
    "live-capture-after-commit=return",
    "live-target-decide-before-commit=1*off->return",
    "live-target-decide-after-commit=1*off->return",
    "live-env-before-file=return",
    "live-env-after-file=return",
];

/// and on the way back.
const TO_SOURCE: &[&str] = &[
    "live-fence-before-commit=return",
    "live-fence-after-commit=return",
    "live-target-fence-before-commit=return",
    "live-target-fence-after-commit=return",
    "live-target-settle-before-commit=return",
    "live-target-settle-after-commit=return",
    "live-target-follow-before-commit=return",
    "live-target-follow-after-commit=return",
    "live-source-apply-before-commit=return",
    "live-source-apply-after-commit=return",
    "live-settle-before-commit=return",
    "live-settle-after-commit=return",
    "switch-numbered=return",
    "live-source-unfence-before-commit=return",
    "live-source-unfence-after-commit=return",
    "live-follow-before-commit=return",
    "live-follow-after-commit=return",
    "live-env-before-restore=return",
    "live-env-after-restore=return",
];

/// What the application is told by, besides: a file of its environment, and a command at each moment.
const CUTOVER: &str = r#"
[cutover]
env_file = "app.env"
set = { OWNER = "target" }
hooks = { before = ["true"], at = ["echo $SWITCHOVER_OWNER > owner"], after = ["true"] }
"#;

/// How often each fault of a bad line is met while the owner changes.
const FAULTS: u64 = 3;

/// How long an engine may take to a place behind its answer, or behind the first rows that it followed.
const BEHIND: Duration = Duration::from_secs(10);

/// Processes that write.
const WRITERS: u64 = 3;

/// Rows before the run.
const ITEMS: i64 = 200;

/// No stage takes so long.
const LIMIT: Duration = Duration::from_secs(120);

const TABLES: &str = "
    CREATE TABLE counter (n INTEGER NOT NULL, one INTEGER PRIMARY KEY CHECK (one = 1));
    CREATE TABLE op (n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE item (id INT NOT NULL PRIMARY KEY, u INTEGER NOT NULL UNIQUE, v INTEGER NOT NULL);
    CREATE TABLE child (id INTEGER PRIMARY KEY,
        item INTEGER NOT NULL REFERENCES item (id) ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE INDEX child_item ON child (item);
    INSERT INTO counter VALUES (0, 1);";

/// The same as the application's own migrations make them on the server, with what only that side has: a table that refers to
/// others, an index, a sequence that begins elsewhere.
const STANDING: &str = "
    CREATE TABLE counter (n bigint NOT NULL, one int PRIMARY KEY CHECK (one = 1));
    CREATE TABLE op (n bigint PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, noted text DEFAULT 'there');
    CREATE TABLE item (id bigint PRIMARY KEY, u bigint NOT NULL, v bigint NOT NULL);
    CREATE UNIQUE INDEX item_u ON item (u) INCLUDE (v);
    COMMENT ON INDEX item_u IS 'one each';
    CREATE TABLE child (id bigint GENERATED BY DEFAULT AS IDENTITY (START WITH 5000) PRIMARY KEY,
        item bigint NOT NULL CONSTRAINT of_item REFERENCES item ON DELETE CASCADE ON UPDATE CASCADE);
    COMMENT ON CONSTRAINT of_item ON child IS 'its own';
    CREATE INDEX child_item ON child (item);
    CREATE TABLE beside (item bigint REFERENCES item ON DELETE SET NULL, op bigint REFERENCES op DEFERRABLE);
    CREATE TABLE schema_migrations (version text PRIMARY KEY); INSERT INTO schema_migrations VALUES ('1');";

/// Where a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// To a database that is empty.
    Postgres,
    /// To one whose tables are there.
    Existing,
    /// To a file of the folder.
    Sqlite,
    /// To a server that follows, and never owns the data.
    Weaviate,
}

/// The process that a writer is: not a test of its own.
#[test]
#[ignore = "a process of the other tests"]
fn application() {
    let get = |name: &str| std::env::var(name).unwrap();
    let path = |name: &str| PathBuf::from(get(name));
    let seed = get("ORACLE_SEED").parse().unwrap();
    writer::run(
        &path("ORACLE_SQLITE"),
        &get("ORACLE_TARGET"),
        seed,
        &path("ORACLE_RECORD"),
        &path("ORACLE_STOP"),
    );
}

/// What is there.
enum Target {
    Postgres(Box<Cluster>, Database),
    /// A file of the folder.
    Sqlite,
    Weaviate(Box<Weaviate>),
}

struct Scene {
    folder: TempDir,
    server: Target,
    /// Between the engine and the server; the writers are told by the server itself.
    line: Option<Proxy>,
    writers: Vec<Child>,
    engine: Option<Running>,
    kills: u64,
    switches: usize,
    owner: String,
    goal: Goal,
    /// Places that no engine came to before it was ended otherwise.
    passed_by: Vec<String>,
    place: String,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for writer in &mut self.writers {
            drop(writer.kill());
            drop(writer.wait());
        }
        if let Some(engine) = &self.engine {
            engine.signal("KILL");
        }
    }
}

impl Scene {
    fn new(seed: u64, goal: Goal) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let server = match goal {
            Goal::Postgres | Goal::Existing => {
                // One that keeps what it acknowledged, also when it goes down at once.
                let cluster = Cluster::builder().fsync(true).start().unwrap();
                let database = cluster.fresh_database("oracle").unwrap();
                if goal == Goal::Existing {
                    database.psql(STANDING).unwrap();
                }
                Target::Postgres(Box::new(cluster), database)
            }
            Goal::Sqlite => Target::Sqlite,
            Goal::Weaviate => Target::Weaviate(Box::new(Weaviate::start().unwrap())),
        };
        let line = match &server {
            Target::Postgres(cluster, _) => Some(Proxy::start(cluster, seed).unwrap()),
            Target::Sqlite => None,
            Target::Weaviate(server) => Some(Proxy::to_port(server.grpc_port(), seed).unwrap()),
        };
        let source = Connection::open(folder.path().join("app.db")).unwrap();
        let mode: String = source.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        source.execute_batch(TABLES).unwrap();
        for id in 1..=ITEMS {
            source.execute("INSERT INTO item VALUES (?1, ?1, 0)", [id]).unwrap();
        }
        // A target that never owns the data has nothing to tell by these.
        let cutover = if goal == Goal::Weaviate { "" } else { CUTOVER };
        std::fs::write(folder.path().join("switchover.toml"), cutover).unwrap();
        std::fs::write(folder.path().join("app.env"), "OWNER=source\n").unwrap();
        let mut scene = Scene {
            folder,
            server,
            line,
            writers: Vec::new(),
            engine: None,
            kills: 0,
            switches: 0,
            owner: "source".into(),
            goal,
            passed_by: Vec::new(),
            place: String::new(),
        };
        scene.writers = (0..WRITERS).map(|number| scene.writer(seed * 1_000 + number)).collect();
        scene
    }

    fn target(&self) -> String {
        match &self.server {
            Target::Postgres(_, database) => database.conninfo(),
            Target::Sqlite => format!("sqlite:{}", self.path("new.db").display()),
            Target::Weaviate(server) => server.url(),
        }
    }

    /// The same as the engine reaches it.
    fn by_line(&self) -> String {
        match (&self.line, &self.server) {
            (Some(line), Target::Weaviate(server)) => {
                format!("weaviate://127.0.0.1:{}?grpc={}", server.http_port(), line.port())
            }
            (Some(line), Target::Postgres(_, database)) => {
                let (port, name) = (line.port(), database.name());
                format!("host=127.0.0.1 port={port} dbname={name} user=postgres sslmode=disable")
            }
            _ => self.target(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn writer(&self, seed: u64) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["application", "--exact", "--ignored", "--quiet"])
            .env("ORACLE_SEED", seed.to_string())
            .env("ORACLE_SQLITE", self.path("app.db"))
            .env("ORACLE_TARGET", self.target())
            .env("ORACLE_RECORD", self.path(&format!("record-{seed}")))
            .env("ORACLE_STOP", self.path("stop"))
            .env_remove("FAILPOINTS")
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Lays the source's rows elsewhere.
    fn vacuum(&self) {
        let connection = Connection::open(self.path("app.db")).unwrap();
        connection.busy_timeout(LIMIT).unwrap();
        connection.execute_batch("VACUUM").unwrap();
    }

    fn verb(&self, words: &[&str]) -> Command {
        let mut command = program(self.folder.path(), words);
        command.env("SWITCHOVER_PROGRESS", "json").env("SWITCHOVER_TEST_CHUNK_BYTES", "2048");
        command
    }

    /// Another engine, which dies at a place.
    fn drive(&mut self, place: &str) {
        place.clone_into(&mut self.place);
        let there = self.path(".switchover/runs").is_dir() && self.status().is_some() || self.has_run();
        let mut command = match there {
            true => self.verb(&["resume"]),
            false => {
                let mut command = self.verb(&["start", "--from", "sqlite:app.db", "--to", &self.by_line()]);
                if self.goal == Goal::Existing {
                    command.args(["--into", "existing"]);
                }
                command
            }
        };
        // So that no engine waits a minute for a dead one's requests, where they could be late.
        let points = format!("{place};live-target-late-ms=return(1500)");
        self.engine = Some(Running::start(command.env("FAILPOINTS", points)));
    }

    fn has_run(&self) -> bool {
        std::fs::read_dir(self.path(".switchover/runs"))
            .is_ok_and(|mut runs| runs.any(|run| run.is_ok_and(|run| run.path().join("run.json").exists())))
    }

    fn status(&self) -> Option<serde_json::Value> {
        let mut runs: Vec<PathBuf> = std::fs::read_dir(self.path(".switchover/runs"))
            .ok()?
            .filter_map(|run| run.ok().map(|run| run.path()))
            .collect();
        runs.sort();
        let text = std::fs::read(runs.last()?.join("live.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Waits until the engine has died or the run is as wanted; says whether it lives.
    #[track_caller]
    fn until(&mut self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> bool {
        let begun = Instant::now();
        let id = self.engine.as_ref().unwrap().id();
        loop {
            if !self.engine.as_mut().unwrap().is_alive() {
                self.buried();
                return false;
            }
            if self.status().is_some_and(|status| status["pid"] == id && wanted(&status)) {
                return true;
            }
            if begun.elapsed() > LIMIT {
                self.engine.as_ref().unwrap().signal("KILL");
                let ran = self.engine.take().unwrap().end();
                panic!("it never came to {what}: {:?}\n{ran}", self.status());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The engine has ended: by `kill -9`, or the test ends.
    #[track_caller]
    fn buried(&mut self) {
        let ran = self.engine.take().unwrap().end();
        assert_eq!(ran.signal, Some(9), "{ran}");
        self.kills += 1;
    }

    fn kill(&mut self) {
        if let Some(engine) = &self.engine {
            engine.signal("KILL");
            let place = std::mem::take(&mut self.place);
            self.passed_by.extend(Some(place).filter(|place| place.ends_with("return")));
            self.buried();
        }
    }

    /// Waits until the engine has died, where that comes behind what was awaited.
    #[track_caller]
    fn comes_to_its_place(&mut self) {
        let begun = Instant::now();
        self.until("its place, or the time for it", |_| begun.elapsed() > BEHIND);
    }

    fn is_ready(status: &serde_json::Value) -> bool {
        (status["phase"] == "following" && status["verification"]["verdict"] == "same")
            || status["phase"] == "reverse"
    }

    /// An engine without a place to die, until the stores follow each other; notes who the owner is.
    #[track_caller]
    fn settle(&mut self) {
        if self.engine.is_none() {
            self.drive("none=off");
        }
        assert!(self.until("following", Scene::is_ready), "it died by itself");
        let owner = self.status().unwrap()["ownership"]["owner"].as_str().unwrap().to_owned();
        self.was_told(&owner);
        if owner != self.owner {
            self.switches += 1;
            self.owner = owner;
        }
    }

    /// That the application was told who the owner is, in every way, whoever was killed while it was told.
    #[track_caller]
    fn was_told(&self, owner: &str) {
        let read = |name: &str| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        let route: serde_json::Value = serde_json::from_str(&read(".switchover/route.json")).unwrap();
        assert!(route["owner"] == owner && route["writes"] == "open", "{owner}: {route}");
        if matches!(self.server, Target::Weaviate(_)) {
            return;
        }
        assert_eq!(read("app.env"), format!("OWNER={owner}\n"));
        // Nobody was told before the owner changed for the first time.
        assert!([owner, ""].contains(&read("owner").trim()), "{owner}: {:?}", read("owner"));
    }

    /// Has the owner change, with an engine that may die at it.
    fn switch(&mut self, place: &str) {
        self.kill();
        self.drive(place);
        if self.until("following", Scene::is_ready) {
            let verb = if self.owner == "source" { "cutover" } else { "rollback" };
            let ran = common::run(&mut self.verb(&[verb, "--when-ready"]));
            // Either it is done, or the engine died at its place.
            if ran.code != Some(0) {
                self.until("its end", |_| false);
            } else {
                self.comes_to_its_place();
            }
        }
        self.kill();
        self.settle();
    }

    /// Has the owner change, whatever the line does: an attempt that was given up is made again.
    #[track_caller]
    fn insist(&mut self) {
        let verb = if self.owner == "source" { "cutover" } else { "rollback" };
        let (begun, before) = (Instant::now(), self.switches);
        while self.switches == before {
            let ran = common::run(&mut self.verb(&[verb, "--when-ready"]));
            assert!(begun.elapsed() < LIMIT, "the owner never changes: {ran}");
            self.settle();
        }
    }

    /// All definitions of the target's schema, as `pg_dump` writes them.
    fn definitions(&self) -> String {
        let Target::Postgres(cluster, database) = &self.server else { return String::new() };
        common::dump::definitions(&switchover_testkit::sample::dump(cluster, database.name()).unwrap())
    }

    /// Whether the line is bad from now on.
    fn set_bad(&self, bad: bool) {
        if let Some(line) = &self.line {
            line.set_bad(bad);
        }
    }

    /// Brings the owner to be that, cleanly.
    #[track_caller]
    fn bring(&mut self, owner: &str) {
        self.settle();
        if self.owner != owner {
            let verb = if self.owner == "source" { "cutover" } else { "rollback" };
            common::run(&mut self.verb(&[verb, "--when-ready"])).exits(0);
            // The status is written beside the answer, not before it.
            let there =
                |status: &serde_json::Value| Scene::is_ready(status) && status["ownership"]["owner"] == owner;
            assert!(self.until("the new owner", there), "it died by itself");
            self.settle();
        }
    }

    fn entries(&self, seed: u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        for number in 0..WRITERS {
            let text =
                std::fs::read_to_string(self.path(&format!("record-{}", seed * 1_000 + number))).unwrap();
            entries.extend(text.lines().map(|line| serde_json::from_str::<Entry>(line).unwrap()));
        }
        entries
    }

    /// Lets the writers end what they have in hand.
    fn stop_writers(&mut self) {
        std::fs::write(self.path("stop"), "").unwrap();
        for mut writer in self.writers.drain(..) {
            assert!(writer.wait().unwrap().success(), "a writer failed");
        }
    }

    /// What a store holds: the names by number, and the tables.
    fn found(&self, side: &str) -> (BTreeMap<i64, String>, Model) {
        let queries = ["SELECT n, name FROM op", "SELECT id, u, v FROM item", "SELECT id, item FROM child"];
        let rows: Vec<Vec<Vec<String>>> = queries
            .iter()
            .map(|query| match (side, &self.server) {
                ("target", Target::Weaviate(server)) => reads::rows_of(server, query),
                ("target", Target::Postgres(_, database)) => {
                    let rows = database.rows(query).unwrap();
                    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap).collect()).collect()
                }
                ("target", Target::Sqlite) => rows_of(&self.path("new.db"), query),
                _ => rows_of(&self.path("app.db"), query),
            })
            .collect();
        let number = |text: &String| text.parse::<i64>().unwrap();
        let names = rows[0].iter().map(|row| (number(&row[0]), row[1].clone())).collect();
        let model = Model {
            items: rows[1].iter().map(|row| (number(&row[0]), (number(&row[1]), number(&row[2])))).collect(),
            children: rows[2].iter().map(|row| (number(&row[0]), number(&row[1]))).collect(),
        };
        (names, model)
    }

    /// What happened, for people and, where it is asked for, as JSON. The judges ended the test where anything was lost.
    fn tell(&self, goal: Goal, seed: u64, operations: [usize; 3], took: Duration) {
        let faults = self.line.as_ref().map(Proxy::faults).unwrap_or_default();
        let (kills, switches, seconds) = (self.kills, self.switches, took.as_secs_f64());
        let [acknowledged, refused, unknown] = operations;
        println!(
            "{goal:?}, seed {seed}: {kills} kills, {faults}, {switches} changes of the owner, operations: \
             {acknowledged} acknowledged, {refused} refused, {unknown} unknown; lost 0; {seconds:.0} s"
        );
        if let Some(folder) = std::env::var_os("SWITCHOVER_ORACLE_REPORT") {
            let story = serde_json::json!({
                "target": format!("{goal:?}").to_lowercase(), "seed": seed, "seconds": seconds,
                "kills": kills, "owner_changes": switches,
                "faults": {
                    "connections_cut": faults.cut, "answers_lost": faults.deaf,
                    "commits_unconfirmed": faults.unconfirmed, "answers_late": faults.late,
                },
                "operations": { "acknowledged": acknowledged, "refused": refused, "unknown": unknown },
                "lost": 0,
            });
            let path = Path::new(&folder).join(format!("{goal:?}.json").to_lowercase());
            std::fs::write(path, story.to_string()).unwrap();
        }
    }

    #[track_caller]
    fn judge(&self, seed: u64, side: &str) -> [usize; 3] {
        let (names, found) = self.found(side);
        let start = Model { items: (1..=ITEMS).map(|id| (id, (id, 0))).collect(), ..Model::default() };
        match history::judge(&self.entries(seed), &names, start, &found, self.switches) {
            Ok(count) => count,
            Err(why) => panic!("seed {seed}, in the {side}: {why}"),
        }
    }
}

fn rows_of(path: &Path, query: &str) -> Vec<Vec<String>> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(query).unwrap();
    let width = statement.column_count();
    let cell = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => panic!("{other:?}"),
    };
    let rows = statement.query_map([], |row| (0..width).map(|at| row.get(at).map(cell)).collect()).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_acknowledged_operation_is_lost_on_the_way_to_postgresql_and_back() {
    tell(Goal::Postgres);
}

#[test]
fn no_acknowledged_operation_is_lost_on_the_way_into_tables_that_are_there_and_back() {
    tell(Goal::Existing);
}

#[test]
fn no_acknowledged_operation_is_lost_on_the_way_to_another_file_and_back() {
    tell(Goal::Sqlite);
}

#[test]
fn nothing_is_lost_on_the_way_to_a_server_that_follows() {
    reads::tell();
}

/// The places at which engines of such runs die.
fn of(goal: Goal, lists: &[&[&'static str]]) -> Vec<&'static str> {
    let server = matches!(goal, Goal::Postgres | Goal::Existing);
    let is_own = |place: &&&str| match server {
        true => !place.starts_with("live-target-"),
        false => !OF_SERVER.iter().any(|own| place.starts_with(own)),
    };
    lists.iter().flat_map(|list| list.iter()).filter(is_own).copied().collect()
}

fn tell(goal: Goal) {
    let seed = from_environment("SWITCHOVER_ORACLE_SEED", 1);
    let begun = Instant::now();
    let mut scene = Scene::new(seed, goal);
    let defined = scene.definitions();
    for place in of(goal, &[TO_FOLLOWING]) {
        scene.drive(place);
        if scene.until("following", Scene::is_ready) {
            scene.comes_to_its_place();
            scene.kill();
        }
        // Also in the middle of the copy, which finds items by where they lie.
        scene.vacuum();
    }
    scene.settle();
    for place in of(goal, &[FIRST, SWITCHING, TO_TARGET]) {
        scene.bring("source");
        scene.switch(place);
    }
    for place in of(goal, &[SWITCHING, TO_SOURCE]) {
        scene.bring("target");
        scene.switch(place);
    }
    // An engine that was killed elsewhere proves nothing of its place.
    assert_eq!(scene.passed_by, [""; 0], "no engine came there");
    // The server goes down in both directions.
    for owner in ["source", "target"] {
        scene.bring(owner);
        if let Target::Postgres(cluster, _) = &mut scene.server {
            cluster.restart(Shutdown::Immediate).unwrap();
        }
        scene.settle();
    }
    scene.set_bad(true);
    while scene.line.as_ref().is_some_and(|line| line.faults().least() < FAULTS) {
        scene.insist();
    }
    let mut dice = Dice(seed);
    let until = Duration::from_secs(from_environment("SWITCHOVER_ORACLE_SECONDS", 0));
    while begun.elapsed() < until {
        scene.set_bad(dice.below(2) == 0);
        scene.settle();
        let verb = if scene.owner == "source" { "cutover" } else { "rollback" };
        let mut asking = Running::start(&mut scene.verb(&[verb, "--when-ready"]));
        std::thread::sleep(Duration::from_millis(dice.below(200)));
        scene.kill();
        asking.signal_if_alive("KILL");
        drop(asking.end());
    }
    scene.set_bad(false);
    scene.bring("target");
    scene.stop_writers();
    scene.settle();
    let (source, target) = (scene.found("source"), scene.found("target"));
    let count = scene.judge(seed, "target");
    common::run(&mut scene.verb(&["finish", "--yes"])).exits(0);
    assert_eq!(scene.found("target").1, target.1, "the end changes nothing");
    if goal == Goal::Existing {
        assert_eq!(scene.definitions(), defined, "the definitions are what the migrations made");
    }
    // The follower had caught up when the run was settled; whatever it lacked then is in the owner.
    assert!(source.0.len() <= target.0.len());
    scene.tell(goal, seed, count, begun.elapsed());
    let engine = scene.engine.take().unwrap().end();
    engine.exits(0);
}
