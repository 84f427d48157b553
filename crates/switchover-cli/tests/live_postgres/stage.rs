//! What every test begins with: a source, its plan, an empty schema of a plain role, and an application's role.

use futures_util::SinkExt;
use std::sync::{Arc, Mutex};
use switchover::Migration;
use switchover::settings::Settings;
use switchover_connectors::postgres::config::PgConfig;
use switchover_connectors::postgres::connect::{Connection, connect};
use switchover_connectors::postgres::target::PostgresTarget;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::source::SqliteSource;
use switchover_core::chunk::{Checkpoint, KeyRange};
use switchover_core::connector::{ChunkWrite, Position, ReadRequest, ReadTable, Source, Target};
use switchover_core::digest::Hex;
use switchover_core::live::{Changes, Limit, LiveRun, LiveStage, LiveTarget, Ownership, TableChanges};
use switchover_core::plan::Plan;
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Result};
use switchover_testkit::{Cluster, Database, Server};
use tempfile::TempDir;

pub(crate) const SCHEMA: &str = "app";
pub(crate) const RUN: &str = "run-1";

/// Tables of every sort: a cascade, a key that acts on nothing, a key of several columns, none, a number of its own.
pub(crate) const TABLES: &str = "
    CREATE TABLE parent(id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, n REAL);
    CREATE TABLE child(id INTEGER PRIMARY KEY AUTOINCREMENT,
        parent INTEGER NOT NULL REFERENCES parent(id) ON DELETE CASCADE, note TEXT);
    CREATE TABLE other(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id));
    CREATE TABLE pair(a TEXT NOT NULL, b BLOB NOT NULL, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE TABLE loose(x TEXT, y INTEGER);
    CREATE VIEW codes AS SELECT code FROM parent;
    INSERT INTO parent VALUES (1, 'one', 0.5), (2, 'two', NULL), (3, 'three', 3.25);
    INSERT INTO child(parent, note) VALUES (1, 'a'), (1, 'b'), (2, 'c');
    INSERT INTO other VALUES (1, 1), (2, NULL);
    INSERT INTO pair VALUES ('x', x'00ff', 'v'), ('y''', x'', NULL);
    INSERT INTO loose VALUES ('l', 1), ('l', 1), (NULL, 2);";

/// A live run's target and what is around it.
pub(crate) struct Stage {
    _folder: TempDir,
    pub(crate) database: Database,
    pub(crate) source: Arc<SqliteSource>,
    pub(crate) target: PostgresTarget,
    pub(crate) plan: Arc<Plan>,
    pub(crate) live: Arc<dyn LiveTarget>,
    pub(crate) app: String,
    owner: String,
    /// Up to where somebody took the log; nothing before that.
    pub(crate) taken: Mutex<Option<Position>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The server may be one that a test has stopped: then its roles go with it.
        let drop = format!("DROP OWNED BY {0}, {1} CASCADE; DROP ROLE {0}, {1}", self.app, self.owner);
        let _ = self.database.psql(&drop);
    }
}

fn config(server: &Server, database: &str, role: &str) -> PgConfig {
    PgConfig::parse(&server.with_role(role, None).conninfo(database), &|_| None).unwrap()
}

impl Stage {
    /// Entered, with all rows and all steps: as a run that follows.
    pub(crate) async fn following() -> Stage {
        let stage = Stage::of(Cluster::shared().unwrap(), TABLES).await;
        stage.filled().await;
        stage
    }

    /// As [`Stage::following`], with the reverse log, and the target as the owner.
    pub(crate) async fn owning() -> Stage {
        let stage = Stage::following().await;
        stage.open().await;
        stage
    }

    /// Entered and empty.
    pub(crate) async fn of(server: &Server, sql: &str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let database = server.fresh_database("live").unwrap();
        let (owner, app) = (format!("own_{}", database.name()), format!("use_{}", database.name()));
        database
            .psql(&format!(
                "CREATE ROLE {owner} LOGIN NOSUPERUSER NOINHERIT; CREATE ROLE {app} LOGIN NOSUPERUSER;
                 REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE TEMPORARY ON DATABASE \"{}\" FROM PUBLIC;
                 CREATE SCHEMA {SCHEMA} AUTHORIZATION {owner}; GRANT USAGE ON SCHEMA {SCHEMA} TO {app};
                 ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {SCHEMA}
                    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLES TO {app}",
                database.name()
            ))
            .unwrap();
        let source = Arc::new(SqliteSource::new(SqliteConfig::from_path(&path)));
        let config = config(database.server(), database.name(), &owner);
        let target = PostgresTarget::new(config.clone());
        let mut settings = Settings { state_dir: folder.path().join("state"), ..Settings::default() };
        settings.plan.schema = SCHEMA.into();
        let seen: Arc<dyn Source> = source.clone();
        let migration = Migration::new(seen, Arc::new(PostgresTarget::new(config))).settings(settings);
        let plan = Arc::new(migration.plan().await.unwrap());
        assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
        target.prepare(&plan, RUN).await.unwrap();
        let live = target.live(&Stage::run_of(&plan, &target)).unwrap();
        live.enter().await.unwrap();
        // The records of the run are none of the application's business.
        database.psql(&format!("REVOKE ALL ON {SCHEMA}._switchover_live FROM {app}")).unwrap();
        let taken = Mutex::default();
        Stage { _folder: folder, database, source, target, plan, live, app, owner, taken }
    }

    fn run_of(plan: &Arc<Plan>, target: &PostgresTarget) -> LiveRun {
        LiveRun { run: RUN.into(), plan: Arc::clone(plan), attempt: target.attempt() }
    }

    /// Another engine that takes the run over.
    pub(crate) async fn second(&self) -> Arc<dyn LiveTarget> {
        let target = PostgresTarget::new(self.target.config().clone());
        target.prepare(&self.plan, RUN).await.unwrap();
        let live = target.live(&Stage::run_of(&self.plan, &target)).unwrap();
        live.enter().await.unwrap();
        live
    }

    /// Ends all sessions of the engine's, which then have told the server's statistics what they did, and takes the
    /// run up in new ones.
    pub(crate) async fn anew(&mut self) {
        self.live = self.second().await;
        self.target = PostgresTarget::new(self.target.config().clone());
        let gone = format!(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = '{}'
            AND state_change < (SELECT max(backend_start) FROM pg_stat_activity WHERE usename = '{0}')",
            self.owner
        );
        until(self, &gone).await;
    }

    /// The number of a table.
    pub(crate) fn at(&self, name: &str) -> usize {
        self.plan.tables.iter().position(|table| table.source == name).unwrap()
    }

    /// The source's rows of a table, with locators.
    pub(crate) async fn source_rows(&self, table: usize) -> Rows {
        let planned = &self.plan.tables[table];
        let request = ReadRequest {
            table: Arc::new(ReadTable {
                name: planned.source.clone(),
                columns: planned.columns.iter().map(|column| column.source.clone()).collect(),
                locator: planned.locator.clone(),
            }),
            range: KeyRange { after: None, upto: None },
            budget_bytes: usize::MAX,
            rows_max: ReadRequest::ANY_ROWS,
            time_max: ReadRequest::ANY_TIME,
        };
        let snapshot = self.source.snapshot().await.unwrap();
        snapshot.read(request, Rows::default()).await.unwrap().rows
    }

    /// Copies every table by the ordinary writer, as chunks.
    pub(crate) async fn copy(&self, tables: &[usize]) -> Result<()> {
        let mut writer = self.target.writer(Arc::clone(&self.plan), RUN).await?;
        for table in tables {
            let rows = self.source_rows(*table).await;
            let checkpoint = Checkpoint {
                table: *table,
                range: KeyRange { after: None, upto: None },
                rows: rows.len() as u64,
                bytes: rows.bytes() as u64,
                digest: Hex(0),
            };
            let chunk = ChunkWrite {
                rows: &rows,
                checkpoint: &checkpoint,
                quarantine: &[],
                as_null: &Default::default(),
                left_out: &Default::default(),
            };
            writer.write(&chunk).await?;
        }
        Ok(())
    }

    /// Carries out the steps of some stages, in their order.
    pub(crate) async fn build(&self, wanted: impl Fn(LiveStage) -> bool) {
        for (stage, step) in self.live.steps() {
            if wanted(stage) {
                self.target.build(&self.plan, RUN, &step).await.unwrap();
            }
        }
    }

    /// Brings it to following, from position `p0`.
    pub(crate) async fn filled(&self) {
        let all: Vec<usize> = (0..self.plan.tables.len()).collect();
        self.copy(&all).await.unwrap();
        self.build(|_| true).await;
        self.live.apply(&Changes::none(position("p0")), None).await.unwrap();
    }

    /// Captures, and decides that the target is the owner.
    pub(crate) async fn open(&self) {
        assert_eq!(self.live.doubts().await.unwrap(), Vec::<usize>::new());
        self.live.capture(&[], &[]).await.unwrap();
        let from = self.live.ownership().await.unwrap();
        assert!(self.live.decide(&from, &from.proposed(), &[]).await.unwrap());
        assert!(self.live.decide(&from.proposed(), &from.proposed().decided(), &[]).await.unwrap());
    }

    /// Hands the data back to the source, and follows again.
    pub(crate) async fn back(&self) {
        let from = self.live.ownership().await.unwrap();
        assert!(self.live.decide(&from, &from.proposed(), &[]).await.unwrap());
        self.live.fence(std::time::Duration::from_secs(5)).await.unwrap();
        assert!(self.live.decide(&from.proposed(), &from.proposed().decided(), &[]).await.unwrap());
        self.live.follow().await.unwrap();
    }

    /// A session of the application.
    pub(crate) async fn session(&self) -> Connection {
        connect(&config(self.database.server(), self.database.name(), &self.app)).await.unwrap()
    }

    /// A session of the tables' owner that is not the engine's.
    pub(crate) async fn owners_session(&self) -> Connection {
        connect(self.target.config()).await.unwrap()
    }

    /// What one value of a query is, asked as the superuser.
    pub(crate) fn ask(&self, query: &str) -> String {
        self.database.psql(&format!("SET search_path = {SCHEMA}; {query}")).unwrap().trim().to_owned()
    }

    /// Applies one table's changes from one position to another.
    pub(crate) async fn apply(&self, from: &str, to: &str, changes: Vec<TableChanges>) -> Result<()> {
        let changes = Changes { tables: changes, ..Changes::none(position(to)) };
        self.live.apply(&changes, Some(&position(from))).await
    }

    /// What is in the reverse log behind a position, by table: keys and the number of rows that are there.
    pub(crate) async fn log(&self, after: &Position) -> Result<Changes> {
        self.live.changes(after, Limit { entries: 10_000, time_max: Limit::ANY_TIME }, None).await
    }

    pub(crate) async fn ownership(&self) -> Ownership {
        self.live.ownership().await.unwrap()
    }
}

pub(crate) fn position(text: &str) -> Position {
    Position(text.into())
}

/// A table's changes: keys, and those of their rows that are there.
pub(crate) fn change(table: usize, keys: &[&[Value<'_>]], rows: &[&[Value<'_>]]) -> TableChanges {
    let mut all = Rows::new(0, rows.first().map_or(1, |row| row.len()));
    rows.iter().flat_map(|row| row.iter()).for_each(|value| all.push(*value));
    let key = |key: &&[Value<'_>]| key.iter().map(|value| value.to_owned_value()).collect();
    TableChanges { table, keys: keys.iter().map(key).collect(), rows: all, whole: false }
}

/// The keys of a table in some changes, as they are shown, in order; `None` when it is meant as a whole.
pub(crate) fn keys_of(changes: &Changes, table: usize) -> Option<Vec<String>> {
    let Some(found) = changes.tables.iter().find(|found| found.table == table) else {
        return Some(Vec::new());
    };
    if found.whole {
        return None;
    }
    let show =
        |key: &Vec<OwnedValue>| key.iter().map(|value| value.borrow().shown()).collect::<Vec<_>>().join(",");
    let mut keys: Vec<String> = found.keys.iter().map(show).collect();
    keys.sort();
    Some(keys)
}

#[track_caller]
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    result.map_err(|error: Error| error.kind()).unwrap_err()
}

/// What an application's statement comes to: the SQLSTATE, or nothing.
pub(crate) async fn run(session: &Connection, sql: &str) -> Option<String> {
    let result = session.client().batch_execute(sql).await;
    result.err().map(|error| error.code().map_or("lost".into(), |code| code.code().to_owned()))
}

/// What an application's COPY comes to, as [`run`].
pub(crate) async fn copy(session: &Connection, table: &str, lines: &'static [u8]) -> Option<String> {
    let copied = async {
        let sink = session.client().copy_in::<_, &'static [u8]>(&format!("COPY {table} FROM STDIN")).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(lines).await?;
        sink.finish().await
    };
    copied.await.err().map(|error| error.code().map_or("lost".into(), |code| code.code().to_owned()))
}

/// The SQLSTATE of a write that the gate or the fence refuses.
pub(crate) const REFUSED: &str = "25006";

/// Waits until a condition of the server holds.
pub(crate) async fn until(stage: &Stage, query: &str) {
    let start = std::time::Instant::now();
    while stage.ask(query) != "t" {
        assert!(start.elapsed().as_secs() < 30, "never: {query}");
        tokio::task::yield_now().await;
    }
}
