//! The two stores as the application of `bench live` writes them: a SQLite file, and PostgreSQL through one `psql`.
//!
//! Invariant: a write counts when the store acknowledged it. Absent on purpose: a client of the protocol, see
//! `switchover_testkit`; one `psql` is kept open and fed through a pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::Result;

/// How long an application waits for SQLite's one write lock.
const BUSY: Duration = Duration::from_secs(5);
/// What `psql` prints behind a transaction that was committed.
const DONE: &str = "done";

/// One change of a row that both stores understand.
pub(crate) struct Statement {
    /// With `?` for each value.
    pub(crate) sql: &'static str,
    /// The values.
    pub(crate) values: Vec<Value>,
}

impl Statement {
    /// With its values in it; they are the benchmark's own, and hold no quotes.
    fn whole(&self) -> String {
        let mut values = self.values.iter();
        let mut out = String::new();
        for (at, part) in self.sql.split('?').enumerate() {
            if at > 0 {
                match values.next() {
                    Some(Value::Integer(number)) => out.push_str(&number.to_string()),
                    Some(Value::Text(text)) => out.push_str(&format!("'{text}'")),
                    _ => out.push_str("NULL"),
                }
            }
            out.push_str(part);
        }
        out
    }
}

/// Why a store did not take a transaction.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A fence or a gate: another store is the owner.
    Fenced,
    /// Anything else, which no application should meet.
    Other(String),
}

impl Refusal {
    fn of(text: &str) -> Self {
        // The messages of Switchover's own fences and gates.
        if ["switchover:", "takes no writes"].iter().any(|part| text.contains(part)) {
            Self::Fenced
        } else {
            Self::Other(text.to_owned())
        }
    }
}

/// A SQLite file.
pub(crate) struct Lite(Connection);

impl Lite {
    /// Opens it as an application does: write-ahead log, and a patience.
    pub(crate) fn open(path: &Path, synchronous: &str) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "foreign_keys", "on")?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self(connection))
    }

    /// One transaction.
    pub(crate) fn write(&self, statements: &[Statement]) -> std::result::Result<(), Refusal> {
        let plain = |sql: &str| self.0.prepare_cached(sql)?.execute([]).map(drop);
        let done = plain("BEGIN IMMEDIATE").and_then(|()| {
            for statement in statements {
                let values = params_from_iter(&statement.values);
                self.0.prepare_cached(statement.sql)?.execute(values)?;
            }
            plain("COMMIT")
        });
        done.map_err(|error| {
            // Where the transaction is over already there is nothing to undo.
            drop(self.0.execute_batch("ROLLBACK"));
            Refusal::of(&error.to_string())
        })
    }

    /// One number.
    pub(crate) fn number(&self, query: &str) -> Result<i64> {
        Ok(self.0.query_row(query, [], |row| row.get(0))?)
    }
}

/// PostgreSQL, through one `psql`.
pub(crate) struct Psql {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<std::result::Result<String, String>>,
}

impl Psql {
    /// Logs in.
    pub(crate) fn open(psql: &Path, conninfo: &str) -> Result<Self> {
        let mut child = Command::new(psql)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=0", "-d", conninfo])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (said, lines) = channel();
        let stdin = child.stdin.take().ok_or("psql has no input")?;
        let (out, errors) = (child.stdout.take(), child.stderr.take());
        let answers = said.clone();
        thread::spawn(move || {
            for line in out.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(|l| l.ok()) {
                drop(answers.send(Ok(line)));
            }
        });
        thread::spawn(move || {
            let lines = errors.into_iter().flat_map(|errors| BufReader::new(errors).lines());
            for line in lines.map_while(|line| line.ok()) {
                // Details and hints follow on lines of their own.
                if line.contains("ERROR:") || line.contains("FATAL:") || line.contains("error:") {
                    drop(said.send(Err(line)));
                }
            }
        });
        Ok(Self { child, stdin, lines })
    }

    fn answer(&mut self, sql: &str) -> std::result::Result<String, String> {
        let sent = self.stdin.write_all(sql.as_bytes()).and_then(|()| self.stdin.flush());
        sent.map_err(|error| format!("psql is gone: {error}"))?;
        self.lines.recv().map_err(|_| "psql is gone".to_owned())?
    }

    /// One transaction, sent as one message.
    pub(crate) fn write(&mut self, statements: &[Statement]) -> std::result::Result<(), Refusal> {
        let statements: Vec<String> = statements.iter().map(Statement::whole).collect();
        let sql = format!("{}\\; SELECT '{DONE}';\n", statements.join("\\; "));
        self.answer(&sql).map(drop).map_err(|error| Refusal::of(&error))
    }

    /// One number.
    pub(crate) fn number(&mut self, query: &str) -> Result<i64> {
        Ok(self.answer(&format!("{query};\n"))?.trim().parse()?)
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
