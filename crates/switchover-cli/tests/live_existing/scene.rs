//! A live run between an application's file and its own tables, and what a test does with it.

use crate::app::App;
use crate::common::dump::definitions;
use crate::common::{Ran, Running, run};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// No stage takes so long.
const LIMIT: Duration = Duration::from_secs(120);

/// A run, and the engine that drives it.
pub(crate) struct Scene {
    pub(crate) app: App,
    engine: Option<Running>,
    /// The definitions before.
    pub(crate) schema: String,
    /// What `start` was told.
    said: Vec<String>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.signal_if_alive("KILL");
        }
    }
}

impl Scene {
    /// The application's file takes a writer beside the engine.
    pub(crate) fn new(app: App, said: &[&str]) -> Scene {
        let mode: String =
            app.open().query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).expect("a mode");
        assert_eq!(mode, "wal");
        let schema = definitions(&app.dump());
        Scene { app, engine: None, schema, said: said.iter().map(|word| (*word).to_owned()).collect() }
    }

    /// `start` as it was asked for.
    pub(crate) fn start(&self) -> std::process::Command {
        let said: Vec<&str> = self.said.iter().map(String::as_str).collect();
        let mut command = self.app.on_both("start", &["--no-backup"]);
        command.args(said);
        command
    }

    /// An engine begins.
    pub(crate) fn begin(&mut self) {
        self.engine = Some(Running::start(&mut self.start()));
    }

    /// An engine begins, with places at which something happens.
    pub(crate) fn begin_with(&mut self, places: &str) {
        self.engine = Some(Running::start(self.start().env("FAILPOINTS", places)));
    }

    /// The engine dies.
    pub(crate) fn kill(&mut self) {
        let engine = self.engine.take().expect("an engine");
        engine.signal("KILL");
        engine.end().was_killed();
    }

    /// The engine comes to its end by itself.
    pub(crate) fn ended(&mut self) -> Ran {
        self.engine.take().expect("an engine").end()
    }

    fn live(&self) -> Option<Value> {
        let runs = std::fs::read_dir(self.app.folder.path().join(".switchover/runs")).ok()?;
        let mut runs: Vec<PathBuf> = runs.flatten().map(|run| run.path()).collect();
        runs.sort();
        serde_json::from_slice(&std::fs::read(runs.last()?.join("live.json")).ok()?).ok()
    }

    /// Waits until the run is as wanted.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let engine = self.engine.as_mut().expect("an engine");
            let (id, alive) = (engine.id(), engine.is_alive());
            let live = self.live().filter(|live| live["pid"] == id);
            if let Some(live) = live.as_ref().filter(|live| wanted(live)) {
                return live.clone();
            }
            if !alive || begun.elapsed() > LIMIT {
                let mut engine = self.engine.take().expect("an engine");
                engine.signal_if_alive("KILL");
                let ran = engine.end();
                panic!("it never came to that: {live:#?}\n{ran}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until all rows were compared and were equal.
    #[track_caller]
    pub(crate) fn until_same(&mut self) {
        self.until(|live| live["verification"]["verdict"] == "same");
    }

    /// Waits until nothing that the owner holds is missing in the other store.
    #[track_caller]
    pub(crate) fn until_equal(&mut self, query: &str, expected: &str, of_source: bool) {
        let begun = Instant::now();
        loop {
            let found =
                if of_source { self.of_source(query) } else { self.app.psql(query).replace('\t', "|") };
            if found == expected {
                return;
            }
            let held = self.live().map(|live| live["held"].to_string()).unwrap_or_default();
            assert!(begun.elapsed() < LIMIT, "{query}: {found}\n instead of {expected}; held: {held}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the source says, a line a row.
    pub(crate) fn of_source(&self, query: &str) -> String {
        let store = self.app.open();
        let mut statement = store.prepare(query).expect("a query");
        let width = statement.column_count();
        let cell = |value: rusqlite::types::Value| match value {
            rusqlite::types::Value::Null => String::new(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Real(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Blob(bytes) => format!("{bytes:02x?}"),
        };
        let rows = statement.query_map([], |row| {
            let cells = (0..width).map(|at| row.get(at).map(cell));
            Ok(cells.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
        });
        rows.expect("rows").collect::<rusqlite::Result<Vec<_>>>().expect("rows").join("\n")
    }

    /// Writes to the source, as the application does.
    pub(crate) fn write(&self, sql: &str) {
        let store = self.app.open();
        store.busy_timeout(LIMIT).expect("patience");
        store.execute_batch("PRAGMA foreign_keys = ON").expect("a setting");
        store.execute_batch(sql).expect("the source takes it");
    }

    /// Asks the engine for something, which is done.
    #[track_caller]
    pub(crate) fn done(&self, words: &[&str]) -> Ran {
        run(&mut self.app.verb(words[0], &words[1..])).exits(0)
    }

    /// The owner changes.
    #[track_caller]
    pub(crate) fn cutover(&mut self) {
        self.done(&["cutover", "--when-ready", "--write-budget", "20s"]);
        self.until(|live| live["phase"] == "reverse");
    }

    /// The owner changes back.
    #[track_caller]
    pub(crate) fn rollback(&mut self) {
        self.done(&["rollback", "--when-ready", "--write-budget", "20s"]);
        self.until(|live| live["phase"] == "following" && live["ownership"]["owner"] == "source");
    }

    /// That the definitions are what they were, but for what the run itself has there.
    #[track_caller]
    pub(crate) fn defined_as_before(&self) {
        assert_eq!(
            definitions(&self.app.dump()),
            self.schema,
            "the definitions are what the migrations made"
        );
    }

    /// Waits until keys, indexes and constraints are what they were, while the run's own things stand beside them.
    #[track_caller]
    pub(crate) fn constrained_as(&mut self, before: &str) {
        self.until_equal(CONSTRAINTS, before, false);
    }
}

/// Every constraint and index that is not the run's, in the server's words.
pub(crate) const CONSTRAINTS: &str = "SELECT r.relname, c.conname, pg_get_constraintdef(c.oid), obj_description(c.oid, 'pg_constraint')
        FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
        WHERE c.connamespace = 'public'::regnamespace AND r.relname NOT LIKE '\\_switchover%'
    UNION ALL SELECT tablename, indexname, indexdef, obj_description(to_regclass(quote_ident(indexname)), 'pg_class')
        FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE '\\_switchover%' ORDER BY 1, 2, 3";
