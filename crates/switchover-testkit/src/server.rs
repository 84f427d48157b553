//! A running server as a client sees it, and a database in it that goes when its owner goes.
//!
//! Invariants: a database's name is unique over processes and threads; SQL is sent over standard input, so
//! each statement of a script is its own transaction, and the first error ends it.
//! Absent on purpose: starting and stopping, which is [`Cluster`](crate::Cluster)'s.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::{Binaries, Error, Result, conninfo};

/// Separators that no test's value holds, so that `rows` can tell NULL, empty and a line break apart.
const FIELD: &str = "\u{1f}between two cells\u{1f}";
const RECORD: &str = "\u{1e}between two rows\u{1e}";
const NULL: &str = "\u{1a}no value\u{1a}";

/// A running PostgreSQL server and the superuser's way into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The socket's folder, or a host's name.
    pub host: String,
    /// The port; on a socket, the socket's number.
    pub port: u16,
    /// The role, a superuser.
    pub user: String,
    /// Its password, where the server asks for one.
    pub password: Option<String>,
    /// The programs that belong to this server.
    pub binaries: Binaries,
}

impl Server {
    /// The server of a key=value string; `dbname` is ignored.
    pub fn from_conninfo(text: &str) -> Result<Self> {
        let pairs = conninfo::parse(text)?;
        let get = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
        let port = get("port").unwrap_or_else(|| "5432".to_owned());
        let port = port.parse().map_err(|e| Error::new(format!("`{port}` is no port"), e))?;
        Ok(Self {
            host: get("host").unwrap_or_else(|| "localhost".to_owned()),
            port,
            user: get("user").unwrap_or_else(|| "postgres".to_owned()),
            password: get("password"),
            binaries: Binaries::find()?,
        })
    }

    /// The same server for another role.
    #[must_use]
    pub fn with_role(&self, user: &str, password: Option<&str>) -> Self {
        Self { user: user.to_owned(), password: password.map(str::to_owned), ..self.clone() }
    }

    /// The key=value connection string of a database here.
    pub fn conninfo(&self, database: &str) -> String {
        let port = self.port.to_string();
        let mut pairs =
            vec![("host", &*self.host), ("port", &*port), ("user", &*self.user), ("dbname", database)];
        if let Some(password) = &self.password {
            pairs.push(("password", password));
        }
        conninfo::write(&pairs)
    }

    /// The `postgres://` URL of a database here.
    pub fn url(&self, database: &str) -> String {
        let (user, database) = (percent(&self.user), percent(database));
        if self.host.starts_with('/') {
            let password = self.password.as_deref().map(|p| format!("&password={}", percent(p)));
            let host = percent(&self.host);
            return format!(
                "postgres:///{database}?host={host}&port={}&user={user}{}",
                self.port,
                password.unwrap_or_default()
            );
        }
        let password = self.password.as_deref().map(|p| format!(":{}", percent(p))).unwrap_or_default();
        format!("postgres://{user}{password}@{}:{}/{database}", self.host, self.port)
    }

    /// Runs a script in `database` and returns what it printed: rows on lines, cells parted by tabs.
    pub fn psql(&self, database: &str, script: &str) -> Result<String> {
        let text = self.run(database, script, &["-F", "\t"])?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Runs one query in `database`; a cell that is NULL is `None`.
    pub fn rows(&self, database: &str, query: &str) -> Result<Vec<Vec<Option<String>>>> {
        let null = format!("null={NULL}");
        let text = self.run(database, query, &["-F", FIELD, "-R", RECORD, "-P", &null])?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let cell = |text: &str| (text != NULL).then(|| text.to_owned());
        Ok(text.split(RECORD).map(|row| row.split(FIELD).map(cell).collect()).collect())
    }

    /// A `psql` command that is logged in to `database` and stops at the first error.
    pub fn psql_command(&self, database: &str) -> Command {
        let mut command = Command::new(self.binaries.tool("psql"));
        for name in ["PGOPTIONS", "PGSERVICE", "PGPASSWORD", "PGSSLMODE"] {
            command.env_remove(name);
        }
        let open = Self { password: None, ..self.clone() };
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"]).arg(open.conninfo(database));
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password);
        }
        command
    }

    fn run(&self, database: &str, script: &str, options: &[&str]) -> Result<String> {
        let failed = |e: std::io::Error| Error::new("cannot run psql", e);
        let mut child = self
            .psql_command(database)
            .args(options)
            .args(["-f", "-"])
            // As the database has it, UTF-8 in tests that read text. Told that it is UTF-8, psql takes
            // noncharacters such as U+7FFFE out of what it prints.
            .env("PGCLIENTENCODING", "SQL_ASCII")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // A thread writes, because a long script and a long answer would otherwise wait for each other.
        let stdin = child.stdin.take();
        let script_bytes = script.as_bytes().to_vec();
        let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&script_bytes)));
        let output = child.wait_with_output().map_err(failed)?;
        // A refused script ends psql before it has read all: what psql said is the better error.
        drop(writer.join());
        if !output.status.success() {
            return Err(Error::from_output(format!("psql failed on database {database}"), &output));
        }
        String::from_utf8(output.stdout).map_err(|e| Error::new("psql printed what is not UTF-8", e))
    }

    /// Creates a database, owned by this role.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.psql("postgres", &format!("CREATE DATABASE {}", quote_ident(name))).map(drop)
    }

    /// Drops a database, its sessions first; it need not exist.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.psql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_ident(name)))
            .map(drop)
    }

    /// A new, empty database with a name of its own that begins with `prefix`; dropped with its handle.
    pub fn fresh_database(&self, prefix: &str) -> Result<Database> {
        let name = format!("{prefix}_{}", unique());
        self.create_database(&name)?;
        Ok(Database { server: self.clone(), name })
    }
}

/// A database that is dropped with this handle.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
}

impl Database {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is in.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its key=value connection string.
    pub fn conninfo(&self) -> String {
        self.server.conninfo(&self.name)
    }

    /// Its `postgres://` URL.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Runs a script in it; see [`Server::psql`].
    pub fn psql(&self, script: &str) -> Result<String> {
        self.server.psql(&self.name, script)
    }

    /// Runs one query in it; see [`Server::rows`].
    pub fn rows(&self, query: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.server.rows(&self.name, query)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The cluster may be down on purpose, and is thrown away with all its databases in any case.
        drop(self.server.drop_database(&self.name));
    }
}

/// A text that no other call on this machine returns.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.subsec_nanos());
    format!("{}_{count}_{nanos:x}", std::process::id())
}

fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Percent-encodes all but what is unreserved in a URL.
fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
