//! One way to try a hazard: a SQLite source, a fresh PostgreSQL database, a migration through the
//! library, and a look at the outcome that shares no code with the verification.
//!
//! [`check`] takes the source's SQL; [`Case::moves`], [`Case::quarantines`] and [`Case::refuses`] say
//! what must come of it. The target is read through `psql`, the source through its own connection.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test binary uses its own part")]

use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use switchover::Migration;
use switchover::journal::Journal;
use switchover::progress::{Event, Phase, Progress};
use switchover::report::{Report, Verdict};
use switchover::settings::Settings;
use switchover::shutdown::Shutdown;
use switchover_connectors::json::config::JsonConfig;
use switchover_connectors::json::source::JsonSource;
use switchover_connectors::json::target::JsonTarget;
use switchover_connectors::postgres::config::PgConfig;
use switchover_connectors::postgres::source::PostgresSource;
use switchover_connectors::postgres::target::PostgresTarget;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::source::SqliteSource;
use switchover_connectors::sqlite::target::SqliteTarget;
use switchover_connectors::weaviate::WeaviateConfig;
use switchover_connectors::weaviate::target::WeaviateTarget;
use switchover_core::connector::{Source, Target};
use switchover_core::existing::ExistingOptions;
use switchover_core::mapping::Mapping;
use switchover_core::names::Naming;
use switchover_core::plan::{Fate, Plan, PlanOptions, Policy};
use switchover_core::value::OwnedValue;
use switchover_core::{Kind, Result};
use switchover_testkit::weaviate::{Address, Object};
use switchover_testkit::{Cluster, Database, Weaviate};
use tempfile::TempDir;

/// Where a case comes from.
#[derive(PartialEq)]
enum From {
    /// From a SQLite file.
    Sqlite,
    /// From a JSON dump.
    Json,
    /// From its database.
    Database,
}

/// Where a case goes.
enum To {
    /// To its database.
    Database,
    /// To another file.
    File,
    /// To a dump.
    Dump,
    /// To the Weaviate that the tests take turns with.
    Server(Address, MutexGuard<'static, ()>),
}

/// A server's collections are one set.
static TURN: Mutex<()> = Mutex::new(());

/// A source and a target of their own.
pub struct Case {
    folder: TempDir,
    path: PathBuf,
    /// Made when it is first looked at: not every case has to do with it.
    pub database: LazyLock<Database>,
    pub options: PlanOptions,
    from: From,
    to: To,
    runtime: tokio::runtime::Runtime,
}

/// An entry of the quarantine: table, locator, column, value, whether the whole row is out.
pub type Entry = (String, Vec<OwnedValue>, String, OwnedValue, bool);

/// A source made by SQL.
pub fn check(sql: &str) -> Case {
    check_with(|source| source.execute_batch(sql).unwrap())
}

/// A source made by a closure, for values that SQL cannot write.
pub fn check_with(fill: impl FnOnce(&Connection)) -> Case {
    let case = case("source.db", From::Sqlite);
    let source = Connection::open(&case.path).unwrap();
    source.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF").unwrap();
    fill(&source);
    drop(source);
    case
}

/// A JSON source: a file of that name, or several of a folder (`folder/a.jsonl`, each named by its path).
pub fn check_json(files: &[(&str, &[u8])]) -> Case {
    let name = files[0].0.split('/').next().unwrap();
    let case = case(name, From::Json);
    for (name, content) in files {
        let path = case.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    case
}

fn case(name: &str, from: From) -> Case {
    let folder = tempfile::tempdir().unwrap();
    Case {
        database: LazyLock::new(|| Cluster::shared().unwrap().fresh_database("hazard").unwrap()),
        options: PlanOptions { schema: "public".into(), ..Settings::default().plan },
        runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
        path: folder.path().join(name),
        folder,
        to: To::Database,
        from,
    }
}

impl Case {
    /// Values that do not fit go to quarantine.
    #[must_use]
    pub fn quarantine(mut self) -> Case {
        self.options.policy = Policy::Quarantine;
        self
    }

    /// Names become snake case.
    #[must_use]
    pub fn snake(mut self) -> Case {
        self.options.names = Naming::Snake;
        self
    }

    /// Goes to another file.
    #[must_use]
    pub fn into_file(mut self) -> Case {
        self.to = To::File;
        self.options.schema = "main".into();
        self
    }

    /// Whether it does.
    pub fn is_to_file(&self) -> bool {
        matches!(self.to, To::File)
    }

    /// Goes to a dump.
    #[must_use]
    pub fn into_dump(mut self) -> Case {
        self.to = To::Dump;
        self.options.schema = switchover_connectors::json::target::SCHEMA.into();
        self
    }

    /// Goes into tables that this SQL makes.
    #[must_use]
    pub fn into_tables(mut self, sql: &str) -> Case {
        self.database.psql(sql).unwrap();
        self.options.existing = Some(ExistingOptions::default());
        self
    }

    /// Goes to a dump, and from there to another file.
    #[must_use]
    pub fn by_dump(self) -> Case {
        let mut case = self.into_dump().moves().case;
        case.path = case.folder.path().join("source.json");
        std::fs::rename(case.dump(), &case.path).unwrap();
        case.onward(From::Json)
    }

    /// Goes to the database, and from there to another file.
    #[must_use]
    pub fn by_database(self) -> Case {
        let case = self.moves().case;
        let records = "SELECT string_agg(format('DROP TABLE %I;', relname), '') FROM pg_class
            WHERE relkind = 'r' AND relname LIKE '\\_switchover%'";
        let drop = case.database.psql(records).unwrap();
        case.database.psql(&drop).unwrap();
        case.onward(From::Database)
    }

    /// To another file from what a run made, which is forgotten.
    fn onward(mut self, from: From) -> Case {
        std::fs::remove_dir_all(self.folder.path().join("state")).unwrap();
        self.from = from;
        self.into_file()
    }

    /// Goes to a Weaviate without any collection, when it is this case's turn.
    #[must_use]
    pub fn into_server(mut self) -> Case {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let server = Weaviate::shared().unwrap();
        server.clear().unwrap();
        self.to = To::Server(server.clone(), turn);
        self.options.schema = switchover_connectors::weaviate::target::SCHEMA.into();
        self
    }

    /// The server that it goes to.
    pub fn server(&self) -> Option<&Address> {
        match &self.to {
            To::Server(address, _) => Some(address),
            To::Database | To::File | To::Dump => None,
        }
    }

    /// The other file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("target.db")
    }

    /// The dump.
    pub fn dump(&self) -> PathBuf {
        self.folder.path().join("target.json")
    }

    /// A connection of the test's own to the other file.
    pub fn target(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }

    /// Changes the options.
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut PlanOptions)) -> Case {
        change(&mut self.options);
        self
    }

    /// Maps as sections of the configuration file say.
    #[must_use]
    pub fn mapped(self, toml: &str) -> Case {
        self.options(|options| options.mapping = mapping(toml))
    }

    fn migration(&self) -> Migration {
        let database = || PgConfig::parse(&self.database.conninfo(), &|_| None).unwrap();
        let source: Arc<dyn Source> = match self.from {
            From::Json => Arc::new(JsonSource::new(JsonConfig::from_path(&self.path))),
            From::Database => Arc::new(PostgresSource::new(database(), None)),
            From::Sqlite => Arc::new(SqliteSource::new(
                SqliteConfig::parse(&format!("sqlite:{}", self.path.display())).unwrap(),
            )),
        };
        let target: Arc<dyn Target> = match &self.to {
            To::File => Arc::new(SqliteTarget::new(SqliteConfig::from_path(self.file()))),
            To::Dump => Arc::new(JsonTarget::new(JsonConfig::from_path(self.dump())).unwrap()),
            To::Database => Arc::new(PostgresTarget::new(database())),
            To::Server(address, _) => {
                let config = WeaviateConfig::parse(&address.url(), &|_| None).unwrap();
                Arc::new(WeaviateTarget::new(config))
            }
        };
        Migration::new(source, target).settings(self.settings())
    }

    fn settings(&self) -> Settings {
        Settings {
            plan: self.options.clone(),
            state_dir: self.folder.path().join("state"),
            backup: false,
            jobs: Some(2),
            ..Settings::default()
        }
    }

    /// The plan.
    pub fn plan(&self) -> Plan {
        self.try_plan().unwrap()
    }

    /// The plan, unless there can be none.
    pub fn try_plan(&self) -> Result<Plan> {
        self.runtime.block_on(self.migration().plan())
    }

    /// Migrates.
    pub fn migrate(&self) -> Result<Report> {
        self.runtime.block_on(self.migration().migrate(None))
    }

    /// Migrates with small chunks, and is asked to stop when the first of them was copied.
    pub fn migrate_and_stop(&self) -> Result<Report> {
        struct StopAtCopy(Shutdown);
        impl Progress for StopAtCopy {
            fn event(&self, event: Event) {
                if matches!(event, Event::Advanced { phase: Phase::Copy, .. }) {
                    self.0.request();
                }
            }
        }
        let shutdown = Shutdown::default();
        let settings = Settings { chunk_bytes: Some(2048), jobs: Some(1), ..self.settings() };
        let migration = self.migration().settings(settings).shutdown(shutdown.clone());
        self.runtime.block_on(migration.progress(Arc::new(StopAtCopy(shutdown))).migrate(None))
    }

    /// Goes on with a migration that stopped.
    pub fn resume(&self) -> Result<Report> {
        self.runtime.block_on(self.migration().resume(None))
    }

    /// Migrates by a plan that was made before.
    pub fn migrate_by(&self, plan: Plan) -> Result<Report> {
        self.runtime.block_on(self.migration().migrate(Some(plan)))
    }

    /// Compares again.
    pub fn verify(&self, repair: bool) -> Result<Report> {
        self.runtime.block_on(self.migration().verify(None, repair))
    }

    /// The source's file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// A connection of the test's own to the source.
    pub fn source(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// Migrates, with nothing in quarantine.
    pub fn moves(self) -> Moved {
        let moved = self.quarantines();
        if !matches!(moved.case.to, To::Dump) {
            assert_eq!(moved.entries(), []);
        }
        moved
    }

    /// Migrates, and the verdict is "same".
    pub fn quarantines(self) -> Moved {
        let report = self.migrate().unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(report.verdict, Verdict::Same, "{:?} {:?}", report.reasons, report.tables);
        Moved { case: self, report }
    }

    /// Refuses with these reasons (table, key, column, part of the reason), all of them, in this order, by
    /// the plan and by the migration; nothing is written.
    pub fn refuses(self, expected: &[(&str, &str, &str, &str)]) -> Case {
        let plan = self.plan();
        let found: Vec<String> = (plan.refusals.iter())
            .map(|refusal| {
                assert!(!refusal.hint.is_empty());
                format!("{}|{}|{}|{}", refusal.table, refusal.key, refusal.column, refusal.why)
            })
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, (table, key, column, why)) in found.iter().zip(expected) {
            let place = format!("{table}|{key}|{column}|");
            assert!(found.starts_with(&place) && found.contains(why), "{found} is not {place}{why}");
        }
        let error = self.migrate().expect_err("it must refuse");
        assert_eq!(error.kind(), Kind::Refused, "{error:?}");
        let (table, key, column, why) = expected[0];
        let subject = error.subject();
        assert_eq!((&*subject.table, &*subject.key, &*subject.column), (table, key, column), "{error:?}");
        assert!(error.why().contains(why), "{error:?}");
        self.is_untouched();
        self
    }

    /// Its target is as it was: nothing.
    #[track_caller]
    pub fn is_untouched(&self) {
        match &self.to {
            To::File | To::Dump => {
                assert!(!self.file().exists() && !self.dump().exists(), "the target is as it was");
            }
            To::Database => {
                let objects = self.database.psql(
                    "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                     WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
                );
                assert_eq!(objects.unwrap(), "0", "the target is as it was");
            }
            To::Server(server, _) => {
                assert_eq!(server.collections().unwrap(), Vec::<String>::new(), "the target is as it was");
            }
        }
    }
}

/// A migration that is done and verified.
pub struct Moved {
    pub case: Case,
    pub report: Report,
}

impl Moved {
    /// The types of a table's columns, in order.
    #[track_caller]
    pub fn types(&self, table: &str, expected: &str) -> &Moved {
        let query = format!(
            "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
             FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0",
            table.replace('\'', "''")
        );
        assert_eq!(self.text(&query), expected);
        self
    }

    /// Part of the reason why a column has its type, by the run's plan.
    #[track_caller]
    pub fn chosen(&self, table: &str, column: &str, why: &str) -> &Moved {
        let plan = Journal::read_plan(&self.case.settings().state_dir, &self.report.run).unwrap();
        let table = plan.tables.iter().find(|planned| planned.source == table).unwrap();
        let column = table.columns.iter().find(|planned| planned.source == column).unwrap();
        assert!(column.why.contains(why), "{:?}", column.why);
        self
    }

    /// What a query gives: cells parted by `|`, rows by line breaks, NULL as `NULL`.
    #[track_caller]
    pub fn shows(&self, query: &str, expected: &str) -> &Moved {
        assert_eq!(self.text(query), expected, "{query}");
        self
    }

    /// What a query gives on the other file, each cell as text.
    fn file_rows(&self, query: &str) -> Vec<Vec<Option<String>>> {
        let target = self.case.target();
        let mut statement = target.prepare(query).unwrap_or_else(|error| panic!("{error}"));
        let width = statement.column_count();
        let cell = |value: rusqlite::types::ValueRef<'_>| match value {
            rusqlite::types::ValueRef::Null => None,
            rusqlite::types::ValueRef::Integer(i) => Some(i.to_string()),
            rusqlite::types::ValueRef::Real(f) => Some(format!("{f:?}")),
            rusqlite::types::ValueRef::Text(t) => Some(String::from_utf8_lossy(t).into_owned()),
            rusqlite::types::ValueRef::Blob(b) => Some(format!("{b:02x?}")),
        };
        let rows = statement
            .query_map([], |row| (0..width).map(|at| Ok(cell(row.get_ref(at)?))).collect())
            .unwrap_or_else(|error| panic!("{error}"));
        rows.collect::<rusqlite::Result<_>>().unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn text(&self, query: &str) -> String {
        let rows = match self.case.is_to_file() {
            true => self.file_rows(query),
            false => self.case.database.rows(query).unwrap_or_else(|error| panic!("{error}")),
        };
        let line = |row: &Vec<Option<String>>| {
            let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
            cells.join("|")
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What the target refuses, by part of its message.
    #[track_caller]
    pub fn rejects(&self, statement: &str, message: &str) -> &Moved {
        let error = self.case.database.psql(statement).expect_err(statement).to_string();
        assert!(error.contains(message), "{error}");
        self
    }

    /// Runs statements on the target.
    #[track_caller]
    pub fn runs(&self, script: &str) -> &Moved {
        if self.case.is_to_file() {
            self.case.target().execute_batch(script).unwrap_or_else(|error| panic!("{error}"));
            return self;
        }
        self.case.database.psql(script).unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// The first object of a server's collection of which a property is this JSON.
    #[track_caller]
    pub fn object(&self, collection: &str, property: &str, json: &str) -> Object {
        let all = self.case.server().unwrap().objects(collection).unwrap();
        let found = all.iter().find(|object| object.properties.get(property).is_some_and(|own| own == json));
        found.unwrap_or_else(|| panic!("no {property} is {json} in {all:?}")).clone()
    }

    /// Changes properties of an object on the server.
    #[track_caller]
    pub fn patches(&self, collection: &str, object: &Object, properties: &serde_json::Value) {
        self.patches_with(collection, object, &serde_json::json!({ "properties": properties }));
    }

    /// Changes an object on the server.
    #[track_caller]
    pub fn patches_with(&self, collection: &str, object: &Object, what: &serde_json::Value) {
        let mut body = what.clone();
        body["class"] = collection.into();
        self.asks("PATCH", &format!("/v1/objects/{collection}/{}", object.id), &body.to_string(), 204);
    }

    /// Adds an object on the server.
    #[track_caller]
    pub fn adds(&self, collection: &str, id: &str, properties: &serde_json::Value) {
        let body = serde_json::json!({ "class": collection, "id": id, "properties": properties });
        self.asks("POST", "/v1/objects", &body.to_string(), 200);
    }

    /// Removes an object from the server.
    #[track_caller]
    pub fn removes(&self, collection: &str, object: &Object) {
        self.asks("DELETE", &format!("/v1/objects/{collection}/{}", object.id), "", 204);
    }

    #[track_caller]
    fn asks(&self, method: &str, path: &str, body: &str, wanted: u16) {
        let (status, said) = self.case.server().unwrap().rest(method, path, body).unwrap();
        assert_eq!(status, wanted, "{method} {path} {body}: {said}");
    }

    /// The quarantine, read and parsed without the tool.
    pub fn entries(&self) -> Vec<Entry> {
        let query = "SELECT table_name, locator, column_name, value, whole_row FROM _switchover_quarantine
            ORDER BY table_name, locator, column_name";
        if let Some(server) = self.case.server() {
            return entries_on(server);
        }
        let rows = match self.case.is_to_file() {
            true => self.file_rows(&query.replace("whole_row", "iif(whole_row, 't', 'f')")),
            false => self.case.database.rows(&format!("{query} COLLATE \"C\"")).unwrap(),
        };
        let parse = |row: Vec<Option<String>>| {
            let mut cells = row.into_iter().map(Option::unwrap);
            let mut next = || cells.next().unwrap();
            (
                next(),
                serde_json::from_str(&next()).unwrap(),
                next(),
                serde_json::from_str(&next()).unwrap(),
                next() == "t",
            )
        };
        rows.into_iter().map(parse).collect()
    }

    /// The quarantine holds exactly these.
    #[track_caller]
    pub fn holds(&self, expected: &[(&str, i64, &str, OwnedValue, bool)]) -> &Moved {
        let expected: Vec<Entry> = (expected.iter().cloned())
            .map(|(table, key, column, value, whole)| {
                (table.into(), vec![OwnedValue::Int(key)], column.into(), value, whole)
            })
            .collect();
        assert_eq!(self.entries(), expected);
        self
    }

    /// What became of an object; its name by its beginning.
    #[track_caller]
    pub fn fate(&self, kind: &str, name: &str, fate: Fate, why: &str) -> &Moved {
        let found = self.report.outcomes.iter().find(|outcome| {
            outcome.kind == kind
                && outcome.name.starts_with(name)
                && outcome.fate == fate
                && outcome.why.contains(why)
        });
        assert!(found.is_some(), "no {kind} {name} {fate:?} {why}: {:#?}", self.report.outcomes);
        self
    }
}

/// The quarantine among the records on a server, in the order of the others.
fn entries_on(server: &Address) -> Vec<Entry> {
    let records = server.objects("Switchover_record").unwrap();
    let text = |object: &Object, name: &str| {
        object.properties.get(name).map(|text| serde_json::from_str::<String>(text).unwrap())
    };
    let mut entries: Vec<(String, Entry)> = records
        .iter()
        .filter(|record| text(record, "kind").as_deref() == Some("quarantine"))
        .map(|record| {
            let body: serde_json::Value = serde_json::from_str(&text(record, "body").unwrap()).unwrap();
            let field = |name: &str| body[name].clone();
            let of = |name: &str| serde_json::from_value::<OwnedValue>(field(name)).unwrap();
            let entry = (
                field("table").as_str().unwrap().to_owned(),
                serde_json::from_value(field("locator")).unwrap(),
                field("column").as_str().unwrap().to_owned(),
                of("value"),
                field("whole_row") == true,
            );
            (format!("{}{}{}", entry.0, field("locator"), entry.2), entry)
        })
        .collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// A mapping from sections of the configuration file.
pub fn mapping(toml: &str) -> Mapping {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{error}"))
}

/// Text for a quarantine's entry.
pub fn text(text: &str) -> OwnedValue {
    OwnedValue::Text(text.into())
}

/// A real for a quarantine's entry.
pub fn real(value: f64) -> OwnedValue {
    OwnedValue::FloatBits(value.to_bits())
}
