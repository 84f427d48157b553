//! Two SQLite files in a live run, driven as the engine drives them, and an application that uses plain
//! connections. Absent: any part of the engine but its planner.

use rusqlite::Connection;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use switchover::Migration;
use switchover::settings::Settings;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::source::SqliteSource;
use switchover_connectors::sqlite::target::SqliteTarget;
use switchover_core::chunk::{Checkpoint, KeyRange};
use switchover_core::connector::{
    ChunkWrite, Claim, Position, ReadRequest, ReadTable, Snapshot, Source, Target,
};
use switchover_core::digest::Hex;
use switchover_core::live::{Changes, Limit, LiveRun, LiveStore, LiveTarget, decode, decode_keys};
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Result};
use switchover_testkit::lite;

/// Longer than anybody here holds a lock: no test waits for its end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const ALL: Limit = Limit { entries: 1 << 40, time_max: Limit::ANY_TIME };

/// A folder with the application's file in it.
pub(crate) struct App {
    pub(crate) folder: tempfile::TempDir,
}

impl App {
    pub(crate) fn new(schema: &str) -> App {
        let app = App { folder: tempfile::tempdir().unwrap() };
        app.connect().execute_batch(&format!("PRAGMA journal_mode = WAL; {schema}")).unwrap();
        app
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// As an application connects: nothing of this program.
    pub(crate) fn connect(&self) -> Connection {
        connect(&self.path())
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The plan to a file that is not there yet, with rows found by their keys.
    pub(crate) async fn plan(&self) -> Plan {
        let mut plan = self.plan_by_place().await;
        plan.tables.iter_mut().for_each(by_key);
        plan
    }

    /// The same, with rows found by where they lie.
    pub(crate) async fn plan_by_place(&self) -> Plan {
        let (source, _) = self.stores();
        let target = SqliteTarget::new(SqliteConfig::from_path(self.folder.path().join("planned.db")));
        let mut settings = Settings { state_dir: self.folder.path().join("state"), ..Settings::default() };
        settings.plan.schema = "main".into();
        let migration = Migration::new(Arc::new(source), Arc::new(target)).settings(settings);
        let plan = migration.plan().await.unwrap();
        assert_eq!(plan.refusals, []);
        plan
    }

    fn stores(&self) -> (SqliteSource, SqliteTarget) {
        let target = self.folder.path().join("new.db");
        (
            SqliteSource::new(SqliteConfig::from_path(self.path())),
            SqliteTarget::new(SqliteConfig::from_path(target)),
        )
    }
}

pub(crate) fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    connection
}

/// As a live plan to another file has it: rows are found by their keys.
fn by_key(table: &mut TablePlan) {
    if let Some(locator) = table.key_locator() {
        table.locator = locator;
    }
}

/// Both sides of a run.
pub(crate) struct Pair {
    pub(crate) app: App,
    pub(crate) plan: Arc<Plan>,
    pub(crate) run: LiveRun,
    pub(crate) source: Arc<dyn LiveStore>,
    pub(crate) target: Arc<dyn LiveTarget>,
    pub(crate) passing: Arc<dyn Snapshot>,
    pub(crate) receiver: Arc<dyn Target>,
    _claim: Box<dyn Claim>,
}

impl Pair {
    /// Up to the capture, with nothing copied.
    pub(crate) async fn start(app: App) -> Pair {
        let plan = app.plan().await;
        Pair::of(app, plan).await
    }

    /// The same by a plan.
    pub(crate) async fn of(app: App, plan: Plan) -> Pair {
        let plan = Arc::new(plan);
        let (source, target) = app.stores();
        let claim = target.claim("main", "r").await.unwrap();
        target.prepare(&plan, "r").await.unwrap();
        let run = LiveRun { run: "r".into(), plan: Arc::clone(&plan), attempt: target.attempt() };
        let passing = source.passing().await.unwrap();
        let receiver: Arc<dyn Target> = Arc::new(target);
        let (source, target) = (source.live(&run).unwrap(), receiver.live(&run).unwrap());
        assert_eq!(source.obstacles(true).await.unwrap(), []);
        assert_eq!(target.obstacles(true).await.unwrap(), []);
        source.enter().await.unwrap();
        target.enter().await.unwrap();
        let captured = source.capture(&[], &[]).await.unwrap();
        assert!(captured.new);
        target.apply(&Changes::none(captured.from), None).await.unwrap();
        Pair { app, plan, run, source, target, passing, receiver, _claim: claim }
    }

    /// What keeps a source from a live run by a plan.
    pub(crate) async fn refusals(app: &App, plan: &Plan) -> Vec<String> {
        let run = LiveRun { run: "r".into(), plan: Arc::new(plan.clone()), attempt: 1 };
        let found = app.stores().0.live(&run).unwrap().obstacles(true).await.unwrap();
        found.into_iter().map(|refusal| refusal.why).collect()
    }

    /// Another engine's hands on the same stores.
    pub(crate) fn again(&self, attempt: i64) -> (Arc<dyn LiveStore>, Arc<dyn LiveTarget>) {
        let run = LiveRun { attempt, ..self.run.clone() };
        let (source, target) = self.app.stores();
        (source.live(&run).unwrap(), target.live(&run).unwrap())
    }

    pub(crate) fn new_path(&self) -> PathBuf {
        self.app.folder.path().join("new.db")
    }

    pub(crate) fn read_table(&self, table: usize) -> Arc<ReadTable> {
        let table = &self.plan.tables[table];
        Arc::new(ReadTable {
            name: table.source.clone(),
            columns: table.columns.iter().map(|column| column.source.clone()).collect(),
            locator: table.locator.clone(),
        })
    }

    /// Copies every table, `between` after each chunk of about so many bytes.
    pub(crate) async fn backfill(
        &self,
        budget_bytes: usize,
        between: &mut (dyn FnMut() + Send),
    ) -> Result<()> {
        let mut writer = self.receiver.writer(Arc::clone(&self.plan), "r").await?;
        for table in 0..self.plan.tables.len() {
            let read = self.read_table(table);
            let mut after = None;
            loop {
                let range = KeyRange { after: after.clone(), upto: None };
                let request = ReadRequest {
                    table: Arc::clone(&read),
                    range,
                    budget_bytes,
                    rows_max: ReadRequest::ANY_ROWS,
                    time_max: ReadRequest::ANY_TIME,
                };
                let batch = self.passing.read(request, Rows::default()).await?;
                let upto = if batch.done { None } else { batch.last.clone() };
                let checkpoint = Checkpoint {
                    table,
                    range: KeyRange { after, upto: upto.clone() },
                    rows: batch.rows.len() as u64,
                    bytes: 0,
                    digest: Hex(0),
                };
                let none = (BTreeSet::new(), BTreeSet::new());
                writer
                    .write(&ChunkWrite {
                        rows: &batch.rows,
                        checkpoint: &checkpoint,
                        quarantine: &[],
                        as_null: &none.0,
                        left_out: &none.1,
                    })
                    .await?;
                between();
                if batch.done {
                    break;
                }
                after = upto;
            }
        }
        Ok(())
    }

    /// The steps after the copy, with the changes that come between their stages.
    pub(crate) async fn build(&self) {
        let mut steps = self.target.steps();
        steps.sort_by_key(|(stage, _)| *stage);
        for (_, step) in steps {
            self.forward(ALL).await.unwrap();
            self.receiver.build(&self.plan, "r", &step).await.unwrap();
        }
    }

    /// Takes the source's changes until none is left, so many entries at a time.
    pub(crate) async fn forward(&self, limit: Limit) -> Result<u64> {
        let mut entries = 0;
        loop {
            let after = self.target.applied().await?.expect("a position");
            let changes = self.source.changes(&after, limit, None).await?;
            self.target.apply(&changes, Some(&after)).await?;
            settled(self.source.settle(&changes.upto).await)?;
            entries += changes.entries;
            if changes.complete {
                return Ok(entries);
            }
        }
    }

    /// The same the other way.
    pub(crate) async fn back(&self, limit: Limit) -> Result<u64> {
        let mut entries = 0;
        loop {
            let after = self.source.applied().await?.expect("a position");
            let mut changes = self.target.changes(&after, limit, None).await?;
            for table in &mut changes.tables {
                let plan = &self.plan.tables[table.table];
                table.keys = decode_keys(plan, &table.keys)?;
                let mut rows = Rows::new(0, plan.columns.len());
                decode(plan, &table.rows, &mut rows)?;
                table.rows = rows;
            }
            self.source.apply(&changes, Some(&after)).await?;
            settled(self.target.settle(&changes.upto).await)?;
            entries += changes.entries;
            if changes.complete {
                return Ok(entries);
            }
        }
    }

    /// The whole way to a target that owns the data.
    pub(crate) async fn cut_over(&self) {
        self.build().await;
        let captured = self.target.capture(&[], &[]).await.unwrap();
        self.source.apply(&Changes::none(captured.from), None).await.unwrap();
        let owner = self.target.ownership().await.unwrap();
        assert!(self.target.decide(&owner, &owner.proposed(), &[]).await.unwrap());
        let fenced = self.source.fence(PATIENCE).await.unwrap();
        self.forward(ALL).await.unwrap();
        assert_eq!(self.target.applied().await.unwrap(), Some(fenced.position));
        let (owner, decided) = (owner.proposed(), owner.proposed().decided());
        assert!(self.target.decide(&owner, &decided, &fenced.numbering).await.unwrap());
    }

    /// What differs between the two files, by value.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        for table in &self.plan.tables {
            let list = |name: fn(&switchover_core::plan::ColumnPlan) -> &String| {
                table.columns.iter().map(|column| quoted(name(column))).collect::<Vec<_>>().join(", ")
            };
            let own = format!("SELECT {} FROM {}", list(|c| &c.source), quoted(&table.source));
            let other = format!("SELECT {} FROM {}", list(|c| &c.target), quoted(&table.target));
            let rows = lite::differing_rows(&self.app.path(), &own, &self.new_path(), &other).unwrap();
            found.extend(rows.into_iter().map(|row| format!("{}: {row}", table.source)));
        }
        found
    }

    #[track_caller]
    pub(crate) fn assert_equal(&self) {
        let found = self.differences();
        assert!(found.is_empty(), "{found:#?}");
    }

    pub(crate) async fn position(&self) -> Position {
        self.target.applied().await.unwrap().expect("a position")
    }

    /// Tables that lost their capture, and those whose rows may have moved by what was done to it.
    pub(crate) async fn dealt(&self, lost: &[usize]) -> Vec<usize> {
        let moved = self.source.moved().await.unwrap();
        lost.iter().copied().chain(moved).collect()
    }

    pub(crate) fn table(&self, name: &str) -> usize {
        self.plan.tables.iter().position(|table| table.source == name).expect(name)
    }
}

/// That the log is busy is no failure: it is forgotten later.
fn settled(settled: Result<()>) -> Result<()> {
    settled.or_else(|error| if error.kind() == Kind::Busy { Ok(()) } else { Err(error) })
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The kind and the whole text of an error.
pub(crate) fn words(error: &Error) -> String {
    format!("{:?}: {error} {} {}", error.kind(), error.why(), error.what_to_do())
}

/// Objects of a file with their statements.
pub(crate) fn schema_of(path: &Path) -> Vec<(String, Option<String>)> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name, sql").unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    found.collect::<rusqlite::Result<_>>().unwrap()
}
