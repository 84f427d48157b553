//! The application: a process of its own that writes through plain connections, and records what it was told.
//!
//! It knows nothing of the product. When a store refuses everything, it turns to the other one, as a program
//! does whose environment file was changed.

use super::history::{Dice, Entry, Op, Told};
use rusqlite::{Connection, OpenFlags};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a writer thinks between two operations: some hundred a second of all. More, and what each engine that takes the run up must
/// compare grows faster than the story is told.
const PAUSE: Duration = Duration::from_millis(8);

/// What came of one transaction.
enum Came {
    Done,
    /// A constraint refused it: the store takes others.
    Refused,
    /// The store takes nothing.
    Closed,
    Unknown,
}

enum Store {
    /// A file that need not be there yet.
    Sqlite(PathBuf, Option<Connection>),
    Postgres(tokio::runtime::Runtime, Option<tokio_postgres::Client>, String),
    /// One that never owns the data.
    Nowhere,
}

/// Writes until the file `stop` is there.
pub(crate) fn run(sqlite: &Path, target: &str, seed: u64, record: &Path, stop: &Path) {
    let mut dice = Dice(seed);
    let mut record = std::fs::File::create(record).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = match target.strip_prefix("sqlite:") {
        Some(path) => Store::Sqlite(path.into(), None),
        None if target.starts_with("weaviate:") => Store::Nowhere,
        None => Store::Postgres(runtime, None, target.to_owned()),
    };
    let mut stores = [Store::Sqlite(sqlite.to_owned(), None), target];
    let mut at = 0;
    for number in 0_u64.. {
        if stop.exists() {
            return;
        }
        let op = Op::random(&mut dice);
        let name = format!("{seed}-{number}");
        let came = stores[at].transaction(&name, &op);
        let store = ["source", "target"][at].to_owned();
        let told = match came {
            Came::Done => Told::Done,
            Came::Refused => Told::Refused,
            Came::Closed => {
                at = 1 - at;
                Told::Refused
            }
            Came::Unknown => Told::Unknown,
        };
        serde_json::to_writer(&mut record, &Entry { name, op, told, store }).unwrap();
        record.write_all(b"\n").unwrap();
        std::thread::sleep(PAUSE);
    }
}

/// The statements before the operation's own: its number and its name.
fn preamble(name: &str) -> [String; 2] {
    [
        "UPDATE counter SET n = n + 1".to_owned(),
        format!("INSERT INTO op (n, name) SELECT n, '{name}' FROM counter"),
    ]
}

fn swap(a: i64, b: i64, rows: &[(i64, i64)]) -> Vec<String> {
    let find = |id| rows.iter().find(|row| row.0 == id).map(|row| row.1);
    match (find(a), find(b)) {
        (Some(one), Some(two)) if a != b => vec![
            format!("UPDATE item SET u = -1 WHERE id = {a}"),
            format!("UPDATE item SET u = {one} WHERE id = {b}"),
            format!("UPDATE item SET u = {two} WHERE id = {a}"),
        ],
        _ => Vec::new(),
    }
}

impl Store {
    fn transaction(&mut self, name: &str, op: &Op) -> Came {
        match self {
            Store::Sqlite(path, connection) => {
                if connection.is_none() {
                    *connection = open(path);
                }
                let came =
                    connection.as_ref().map_or(Came::Closed, |connection| sqlite(connection, name, op));
                if matches!(came, Came::Closed) {
                    // A file that it turned away from can go.
                    *connection = None;
                }
                came
            }
            Store::Nowhere => Came::Closed,
            Store::Postgres(runtime, client, conninfo) => {
                runtime.block_on(postgres(client, conninfo, name, op))
            }
        }
    }
}

fn open(path: &Path) -> Option<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    connection.busy_timeout(Duration::from_secs(5)).ok()?;
    connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL").ok()?;
    Some(connection)
}

fn sqlite(connection: &Connection, name: &str, op: &Op) -> Came {
    let work = || -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for sql in preamble(name) {
            connection.execute(&sql, [])?;
        }
        match op {
            Op::Replace { id, u, v } => {
                connection
                    .execute("INSERT OR REPLACE INTO item (id, u, v) VALUES (?1, ?2, ?3)", (id, u, v))?;
            }
            Op::Swap { a, b } => {
                let rows: Vec<(i64, i64)> = connection
                    .prepare("SELECT id, u FROM item WHERE id IN (?1, ?2)")?
                    .query_map([a, b], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<rusqlite::Result<_>>()?;
                for sql in swap(*a, *b, &rows) {
                    connection.execute_batch(&sql)?;
                }
            }
            _ => {
                for sql in op.statements() {
                    connection.execute_batch(&sql)?;
                }
            }
        }
        connection.execute_batch("COMMIT")
    };
    match work() {
        Ok(()) => Came::Done,
        Err(error) => {
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK").unwrap();
            }
            let text = error.to_string();
            if text.contains("switchover") || text.contains("no such table") {
                Came::Closed
            } else if text.contains("constraint failed") || text.contains("locked") {
                Came::Refused
            } else {
                panic!("{op:?}: {error:?}")
            }
        }
    }
}

async fn postgres(client: &mut Option<tokio_postgres::Client>, conninfo: &str, name: &str, op: &Op) -> Came {
    if client.as_ref().is_none_or(tokio_postgres::Client::is_closed) {
        match tokio_postgres::connect(conninfo, tokio_postgres::NoTls).await {
            Ok((new, driver)) => {
                tokio::spawn(driver);
                *client = Some(new);
            }
            Err(_) => return Came::Refused,
        }
    }
    let Some(session) = client.as_mut() else { return Came::Refused };
    let work = async {
        session.batch_execute("BEGIN").await?;
        for sql in preamble(name) {
            session.batch_execute(&sql).await?;
        }
        let statements = match op {
            Op::Swap { a, b } => {
                let rows = session.query("SELECT id, u FROM item WHERE id IN ($1, $2)", &[a, b]).await?;
                let rows: Vec<(i64, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                swap(*a, *b, &rows)
            }
            _ => op.statements(),
        };
        for sql in statements {
            session.batch_execute(&sql).await?;
        }
        Ok::<(), tokio_postgres::Error>(())
    };
    if let Err(error) = work.await {
        // Nothing was committed: whatever it was, it did not happen.
        if session.is_closed() {
            *client = None;
            return Came::Refused;
        }
        drop(session.batch_execute("ROLLBACK").await);
        // Read-only: the gate or the fence. No such table: nothing was moved yet, or it was taken back.
        return match error.code().map(tokio_postgres::error::SqlState::code) {
            Some("25006" | "42P01") => Came::Closed,
            _ => Came::Refused,
        };
    }
    match session.batch_execute("COMMIT").await {
        Ok(()) => Came::Done,
        // The server answered: a constraint that waited for the commit, or an end by its administrator.
        Err(error) if error.as_db_error().is_some_and(|error| !error.code().code().starts_with("57")) => {
            Came::Refused
        }
        Err(_) => {
            *client = None;
            Came::Unknown
        }
    }
}
