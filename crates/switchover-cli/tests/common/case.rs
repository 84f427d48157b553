//! A source, a target and a folder in which the program runs; every pair of stores by the same code.
//!
//! Whatever the pair, `app.db` holds what must arrive: it is the source itself, or what the source was made from. So
//! every outcome is compared with it. Absent on purpose: any look at a store through the product's own code.

use super::{SECRET, dump, files, objects, program, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use switchover_testkit::{Cluster, Database, Server, Weaviate, lite, sample};
use tempfile::TempDir;

/// Rows of the usual source: with [`CHUNK_BYTES`] some dozens of chunks, and a run in less than a second.
const ROWS: i64 = 4000;

/// Bytes of a chunk, where the binary has failpoints.
const CHUNK_BYTES: &str = "8192";

/// The same of a source for a server that takes its time, in as many chunks.
const SERVER_ROWS: i64 = 1000;
const SERVER_CHUNK_BYTES: &str = "2048";

/// So that no test waits a minute for requests that could be late; a program without failpoints does. A request that
/// writes must end within that time, too: 300 ms were too few for thousands of rows on a machine with other work. A
/// rollback waits less for them where nothing is late.
pub(crate) const SOON_SETTLED: &str = "live-target-late-ms=return(1500);discard-soon-ms=return(50)";

/// The folder of a case that takes the place of the machine's for temporary files.
const TEMPORARY: &str = "temporary";

/// A server's collections are one set: its tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for a test's turn on the server, which has no collection then.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Weaviate::shared().expect("a server").clear().expect("an empty server");
    turn
}

/// Where a case comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From `app.db`.
    Sqlite,
    /// From `app.json`, a dump of it.
    Json,
    /// From a database that holds the same.
    Postgres,
}

/// Where a case goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// To the database.
    Postgres,
    /// Into tables of the database that are there.
    Existing,
    /// The same, where their indexes and keys are dropped for the load and made again.
    Rebuilt,
    /// To a file of the folder.
    Sqlite,
    /// To a dump in the folder.
    Json,
    /// To the Weaviate that the tests share.
    Server,
}

/// A source and a target.
pub(crate) type Pair = (Origin, Goal);

impl Goal {
    /// Whether its tables are there before the run.
    fn is_there(self) -> bool {
        matches!(self, Goal::Existing | Goal::Rebuilt)
    }
}

/// Every target that a run makes.
pub(crate) const GOALS: [Goal; 3] = [Goal::Postgres, Goal::Sqlite, Goal::Json];

/// Every pair of stores that has code of its own, on either side, but for the server, on which tests take turns.
pub(crate) const PAIRS: [Pair; 9] = [
    (Origin::Sqlite, Goal::Postgres),
    (Origin::Sqlite, Goal::Existing),
    (Origin::Sqlite, Goal::Rebuilt),
    (Origin::Sqlite, Goal::Sqlite),
    (Origin::Sqlite, Goal::Json),
    (Origin::Json, Goal::Sqlite),
    (Origin::Json, Goal::Postgres),
    (Origin::Postgres, Goal::Sqlite),
    (Origin::Postgres, Goal::Json),
];

/// What a rollback must leave as it is.
const BEFORE: &str =
    "CREATE SCHEMA other; CREATE TABLE other.t(a int PRIMARY KEY); INSERT INTO other.t VALUES (1)";

/// The tables of the sample as an application's own migrations might have made them: types of their own, a cycle of
/// keys, a key to the table itself, what the target alone has, comments, a row that gives way.
const EXISTING: &str = "
    CREATE DOMAIN age AS int CHECK (VALUE >= 0);
    CREATE TABLE users (
        extra text DEFAULT 'the target''s own', id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(60) NOT NULL UNIQUE,
        age age, balance double precision, photo bytea, first_id int, shout text GENERATED ALWAYS AS (upper(name)) STORED, search tsvector,
        CONSTRAINT balanced CHECK (abs(balance) < 2));
    CREATE TABLE messages (id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE, body text, sent bigint,
        answers int CONSTRAINT messages_answers REFERENCES messages DEFERRABLE INITIALLY DEFERRED);
    ALTER TABLE users ADD CONSTRAINT users_first FOREIGN KEY (first_id) REFERENCES messages;
    COMMENT ON CONSTRAINT users_first ON users IS 'what was said first';
    CREATE TABLE tags (note varchar(80), name text COLLATE \"C\" PRIMARY KEY);
    CREATE TABLE log (at bigint, line text);
    CREATE INDEX messages_user ON messages(user_id, sent);
    CREATE INDEX users_old ON users (lower(name) DESC NULLS LAST) WHERE age > 50;
    COMMENT ON INDEX users_old IS 'the old ones';
    CREATE TRIGGER users_search BEFORE INSERT OR UPDATE ON users
        FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(search, 'pg_catalog.simple', name);
    CREATE VIEW names AS SELECT id, name FROM users;
    CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('b2c3');
    INSERT INTO users (id, name, extra) OVERRIDING SYSTEM VALUE VALUES (1, 'seeded', 'kept');";

/// A database that holds what `app.db` does, less what no database of its kind can hold; made once, and only read.
static DATABASE: OnceLock<Database> = OnceLock::new();

/// The dump of the usual `app.db`.
static DUMP: OnceLock<Vec<u8>> = OnceLock::new();

/// The definitions of [`EXISTING`], as `pg_dump` writes them.
static DEFINITIONS: OnceLock<String> = OnceLock::new();

type Lazy<T> = LazyLock<T, Box<dyn FnOnce() -> T + Send>>;

/// A source, a target and a folder in which the program runs.
pub(crate) struct Case {
    pub(crate) origin: Origin,
    pub(crate) goal: Goal,
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
    /// Made when it is first looked at: not every case has to do with it.
    pub(crate) database: Lazy<Database>,
    /// Further variables of every run.
    pub(crate) vars: Vec<(String, String)>,
    _turn: Option<MutexGuard<'static, ()>>,
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
        Case::made(server, (Origin::Sqlite, Goal::Postgres), rows)
    }

    /// To one of the targets.
    pub(crate) fn to(goal: Goal) -> Case {
        Case::of((Origin::Sqlite, goal))
    }

    /// From one store to another.
    pub(crate) fn of(pair: Pair) -> Case {
        let rows = if pair.1 == Goal::Server { SERVER_ROWS } else { ROWS };
        Case::made(Cluster::shared().expect("a server"), pair, rows)
    }

    fn made(server: &Server, (origin, goal): Pair, rows: i64) -> Case {
        let folder = tempfile::tempdir().expect("a folder");
        let app = folder.path().join("app.db");
        sample::make(&app, rows, 1).expect("a source");
        let chunk = if goal == Goal::Server { SERVER_CHUNK_BYTES } else { CHUNK_BYTES };
        let mut vars = vec![("SWITCHOVER_TEST_CHUNK_BYTES".to_owned(), chunk.to_owned())];
        let turn = (goal == Goal::Server).then(turn);
        if turn.is_some() {
            vars.push(("FAILPOINTS".to_owned(), SOON_SETTLED.to_owned()));
            let temporary = folder.path().join(TEMPORARY);
            fs::create_dir(&temporary).expect("a folder");
            vars.push(("TMPDIR".to_owned(), temporary.display().to_string()));
        }
        let on = server.clone();
        let database: Lazy<Database> = LazyLock::new(Box::new(move || {
            let database = on.fresh_database("chaos").expect("a database");
            database.psql(BEFORE).expect("something that is there before");
            if goal.is_there() {
                database.psql(EXISTING).expect("tables");
            }
            database
        }));
        let case = Case { origin, goal, folder, server: server.clone(), database, vars, _turn: turn };
        match origin {
            Origin::Sqlite => {}
            Origin::Json => {
                holdable(&app);
                let dump = DUMP.get_or_init(|| case.made_dump());
                fs::write(case.folder.path().join("app.json"), dump).expect("a dump");
            }
            Origin::Postgres => {
                holdable(&app);
                DATABASE.get_or_init(|| case.made_database());
            }
        }
        case
    }

    /// A dump of `app.db`, made by the program, and compared without it.
    fn made_dump(&self) -> Vec<u8> {
        let dump = self.folder.path().join("made.json");
        run(&mut self.program(&[
            "migrate",
            "--no-backup",
            "--from",
            "sqlite:app.db",
            "--to",
            "json:made.json",
        ]))
        .exits(0);
        assert_eq!(dump::differences(&self.source(), &dump), [""; 0]);
        let bytes = fs::read(dump).expect("the dump");
        self.forget();
        bytes
    }

    /// A database that holds what `app.db` does, made by the program, and compared without it.
    fn made_database(&self) -> Database {
        let database = self.server.fresh_database("origin").expect("a database");
        let to = database.conninfo();
        let stores = ["--from", "sqlite:app.db", "--to", &to];
        run(self.program(&["migrate", "--no-backup", "--jobs", "1"]).args(stores)).exits(0);
        let found = sample::differences(&self.source(), &self.server, database.name(), "public");
        assert_eq!(found.expect("a comparison"), [""; 0]);
        run(&mut self.program(&["cleanup", "--yes"])).exits(0);
        // Keys in an order that is not the bytes'.
        database.psql("ALTER TABLE tags ALTER name TYPE text COLLATE \"en-x-icu\"").expect("a collation");
        self.forget();
        database
    }

    /// Forgets what the program did so far.
    fn forget(&self) {
        fs::remove_dir_all(self.state()).expect("the runs");
        for path in files(self.folder.path()) {
            if !path.ends_with("app.db") {
                fs::remove_file(path).expect("a file of the run");
            }
        }
    }

    /// The file that a case with that goal makes.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join(match self.goal {
            Goal::Json => "new.json",
            Goal::Postgres | Goal::Existing | Goal::Rebuilt | Goal::Sqlite | Goal::Server => "new.db",
        })
    }

    /// The source as the program is told.
    pub(crate) fn from(&self) -> String {
        match self.origin {
            Origin::Sqlite => "sqlite:app.db".to_owned(),
            Origin::Json => "json:app.json".to_owned(),
            Origin::Postgres => DATABASE.get().expect("made with the case").conninfo(),
        }
    }

    /// The target as the program is told.
    pub(crate) fn url(&self) -> String {
        match self.goal {
            Goal::Postgres | Goal::Existing | Goal::Rebuilt => self.database.conninfo(),
            Goal::Sqlite => "sqlite:new.db".to_owned(),
            Goal::Json => "json:new.json".to_owned(),
            Goal::Server => Weaviate::shared().expect("a server").url(),
        }
    }

    /// What one row of numbers, asked of the target without the product, says.
    pub(crate) fn counts(&self, query: &str) -> String {
        match self.goal {
            // A dump that is not finished answers no query, nor does a server: what is there is all of it.
            Goal::Json | Goal::Server => self.dump(),
            Goal::Postgres | Goal::Existing | Goal::Rebuilt => self.database.psql(query).expect("counts"),
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

    /// The file of which all must arrive.
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
        let mut command = self.program(&["migrate", "--from", &self.from(), "--policy", "quarantine"]);
        command.env("SWITCHOVER_PROGRESS", "json").args(arguments);
        if self.goal.is_there() {
            command.args(["--into", "existing", "--on-conflict", "replace"]);
        }
        if self.goal == Goal::Rebuilt {
            command.arg("--rebuild");
        }
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
        let of_database = |compared: fn(&Path, &Server, &str, &str) -> _| {
            compared(&self.source(), &self.server, self.database.name(), "public")
        };
        let found = match self.goal {
            Goal::Postgres if self.origin == Origin::Sqlite => of_database(sample::differences),
            // A dump declares no keys.
            Goal::Postgres => of_database(sample::differing_values),
            Goal::Existing | Goal::Rebuilt => {
                assert_eq!(&self.definitions(), self.definitions_before(), "what the migrations made");
                of_database(sample::differing_values)
            }
            Goal::Sqlite => {
                assert_eq!(self.kept(), [self.file()], "a run that is done leaves nothing beside the file");
                let found = lite::differences_by_name(&self.source(), &self.file());
                // This look at it was the last: what SQLite made for it goes, as with any other writer.
                let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
                let connection = rusqlite::Connection::open(self.file()).expect("the file");
                connection.query_row(fold, [], |_| Ok(())).expect("folded");
                found
            }
            Goal::Json => {
                assert_eq!(self.kept().len(), 3, "the dump and two records: {:?}", self.kept());
                Ok(dump::differences(&self.source(), &self.file()))
            }
            Goal::Server => {
                let mut left = files(&self.folder.path().join(TEMPORARY));
                left.retain(|path| !is_lock(path));
                assert_eq!(left, Vec::<PathBuf>::new(), "nothing is left among the temporary files");
                Ok(objects::differences(&self.source(), Weaviate::shared().expect("a server")))
            }
        };
        let found = found.expect("a comparison");
        assert!(found.is_empty(), "{found:#?}");
        self.hides_the_password();
    }

    /// What the target's tables and all that belongs to them are defined as.
    fn definitions(&self) -> String {
        dump::definitions_of_others(&self.dump(), "_switchover")
    }

    /// The same, before any run.
    fn definitions_before(&self) -> &'static str {
        DEFINITIONS.get_or_init(|| Case::of((self.origin, self.goal)).definitions())
    }

    /// The files of the target: the database, and what is beside it.
    pub(crate) fn beside(&self) -> Vec<PathBuf> {
        let below = |path: &PathBuf| path.strip_prefix(self.folder.path()).map(Path::to_owned);
        let own = |path: &PathBuf| below(path).is_ok_and(|path| path.to_string_lossy().starts_with("new."));
        files(self.folder.path()).into_iter().filter(own).collect()
    }

    /// The same without locks.
    fn kept(&self) -> Vec<PathBuf> {
        self.beside().into_iter().filter(|path| !is_lock(path)).collect()
    }

    /// All that the target holds: the database, or the files of its name.
    pub(crate) fn dump(&self) -> String {
        match self.goal {
            Goal::Postgres | Goal::Existing | Goal::Rebuilt => {
                sample::dump(&self.server, self.database.name()).expect("a dump")
            }
            Goal::Server => objects::dump(Weaviate::shared().expect("a server")),
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

/// The lock of a process that was killed, an empty file that locks nothing.
fn is_lock(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".switchover-lock")
}

/// Takes the texts out that no database can hold: what is made from the file is then equal to it.
fn holdable(app: &Path) {
    let app = rusqlite::Connection::open(app).expect("the source");
    let change = "UPDATE messages SET body = NULL WHERE instr(body, char(0)) > 0";
    app.execute_batch(change).expect("texts that a database can hold");
}
