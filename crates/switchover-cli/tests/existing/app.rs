//! A source and a target whose tables are there, and what a test does with them.
//!
//! Absent on purpose: any look at a store through the product's own code.

use crate::common::{program, run};
use std::path::PathBuf;
use std::process::Command;
use switchover_testkit::{Cluster, Database, Server, sample};
use tempfile::TempDir;

/// Bytes of a chunk: little data is many chunks.
const CHUNK_BYTES: &str = "2048";

/// A source and a target whose tables are there.
pub(crate) struct App {
    pub(crate) folder: TempDir,
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) to: String,
    /// The role that owns the target's tables, where it is not the server's.
    owner: Option<String>,
}

impl App {
    /// A source and a target by SQL each.
    pub(crate) fn new(source: &str, target: &str) -> App {
        let server = Cluster::shared().expect("a server").clone();
        let database = server.fresh_database("existing").expect("a database");
        let folder = tempfile::tempdir().expect("a folder");
        let app = App { to: database.conninfo(), folder, server, database, owner: None };
        app.source(source);
        app.psql(target);
        app
    }

    /// The same, where the tables belong to a role that owns nothing else, and the program is that role.
    pub(crate) fn owned(source: &str, target: &str) -> App {
        let mut app = App::new(source, "SELECT");
        let role = format!("owner_{}", app.database.name());
        app.psql(&format!(
            "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;
             REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE, CREATE ON SCHEMA public TO {role};
             SET ROLE {role}; {target}"
        ));
        app.to = app.server.with_role(&role, None).conninfo(app.database.name());
        app.owner = Some(role);
        app
    }

    /// The server forgets the role, and all that it owns.
    pub(crate) fn drop_owner(&self) {
        if let Some(role) = &self.owner {
            self.psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
        }
    }

    /// The source, by a plain client.
    pub(crate) fn open(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).expect("a source")
    }

    /// Runs SQL on the source.
    pub(crate) fn source(&self, sql: &str) {
        let source = rusqlite::Connection::open(self.file()).expect("a source");
        source.execute_batch("PRAGMA foreign_keys = OFF").expect("a setting");
        source.execute_batch(sql).expect("the source's SQL");
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// Runs SQL on the target.
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.database.psql(sql).expect("the SQL runs")
    }

    pub(crate) fn verb(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path(), &[verb]);
        command.env("SWITCHOVER_TEST_CHUNK_BYTES", CHUNK_BYTES).env("SWITCHOVER_PROGRESS", "none");
        command.args(arguments);
        command
    }

    /// A verb that plans, with both stores.
    pub(crate) fn on_both(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command =
            self.verb(verb, &["--from", "sqlite:app.db", "--to", &self.to, "--into", "existing"]);
        if verb == "migrate" {
            command.args(["--no-backup", "--jobs", "2"]);
        }
        command.args(arguments);
        command
    }

    pub(crate) fn migrate(&self, arguments: &[&str]) -> Command {
        self.on_both("migrate", arguments)
    }

    /// What the target holds; rows of a table in any order.
    pub(crate) fn dump(&self) -> String {
        let text = sample::dump(&self.server, self.database.name()).expect("a dump");
        let (mut out, mut rows) = (Vec::new(), Vec::new());
        let mut inside = false;
        for line in text.lines() {
            match (inside, line) {
                (true, "\\.") => {
                    rows.sort_unstable();
                    out.append(&mut rows);
                    out.push(line);
                    inside = false;
                }
                (true, row) => rows.push(row),
                (false, line) => {
                    inside = line.starts_with("COPY ") && line.ends_with("FROM stdin;");
                    out.push(line);
                }
            }
        }
        out.join("\n")
    }

    /// The refusals of a plan, a line each.
    pub(crate) fn refusals(&self, arguments: &[&str]) -> String {
        let before = self.dump();
        let ran = run(self.on_both("plan", &["-o", "-"]).args(arguments)).exits(1);
        let plan: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        let text =
            |refusal: &serde_json::Value, key: &str| refusal[key].as_str().unwrap_or_default().to_owned();
        let line = |refusal: &serde_json::Value| {
            ["table", "key", "column", "value", "why", "hint"].map(|key| text(refusal, key)).join(" | ")
        };
        let lines: Vec<String> = plan["refusals"].as_array().expect("refusals").iter().map(line).collect();
        run(&mut self.migrate(arguments)).exits(1);
        assert_eq!(self.dump(), before, "nothing is written");
        lines.join("\n").replace(self.database.name(), "[DATABASE]")
    }

    /// What the target says to a question, a line a row.
    #[track_caller]
    pub(crate) fn shows(&self, query: &str, expected: &str) {
        assert_eq!(self.psql(query).replace('\t', "|"), expected, "{query}");
    }
}
