//! The demo's chat application: some writers on plain connections, which do nothing for the migration but ask the route
//! where to write.
//!
//! Invariants: a write counts when its store has acknowledged it, and is written down then, in a file that no part of
//! the migration reads. A write that was refused is tried again, as an application would; each of them comes to the same
//! when it is done twice. It ends when its standard input does, so never later than whoever started it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

use super::record::{Change, Store, file_of};
use crate::{Result, chat};

/// Writers, each with a connection of its own to either store.
pub(super) const WRITERS: u64 = 3;

/// What a writer rests between two writes: some hundred writes a second together, as a busy chat has.
const REST: Duration = Duration::from_millis(4);

/// What a writer that may not write now waits before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// How long SQLite may keep a writer waiting for another one.
const BUSY: Duration = Duration::from_secs(5);

/// Where the application keeps its data.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The SQLite file.
    #[arg(long)]
    sqlite: PathBuf,
    /// The PostgreSQL server, as a key=value string.
    #[arg(long)]
    server: String,
    /// The file that says which of them to write to; without it, the SQLite file.
    #[arg(long)]
    route: PathBuf,
    /// The folder for the record of acknowledged writes.
    #[arg(long)]
    acks: PathBuf,
}

/// Writes until standard input ends.
pub(crate) fn run(args: &Args) -> Result {
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let writer = Writer::new(number, args)?;
            let stop = Arc::clone(&stop);
            Ok(thread::spawn(move || writer.write_until(&stop).map_err(|error| error.to_string())))
        })
        .collect::<Result<_>>()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().map_err(|_| "a writer panicked")??;
    }
    Ok(())
}

struct Writer {
    number: u64,
    sqlite: Connection,
    runtime: Runtime,
    postgres: Client,
    route: PathBuf,
    acks: File,
    /// Messages of this writer that are there.
    living: Vec<u64>,
}

impl Writer {
    fn new(number: u64, args: &Args) -> Result<Writer> {
        let sqlite = Connection::open(&args.sqlite)?;
        sqlite.busy_timeout(BUSY)?;
        sqlite.execute_batch("PRAGMA foreign_keys = ON")?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (postgres, connection) = runtime.block_on(tokio_postgres::connect(&args.server, NoTls))?;
        // A connection that ends shows itself in the next write.
        runtime.spawn(async move { drop(connection.await) });
        let acks = File::options().create(true).append(true).open(file_of(&args.acks, number))?;
        let (route, living) = (args.route.clone(), Vec::new());
        Ok(Writer { number, sqlite, runtime, postgres, route, acks, living })
    }

    fn write_until(mut self, stop: &AtomicBool) -> Result {
        for turn in 0.. {
            let change = self.next_change(turn);
            loop {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let Some(store) = owner(&self.route)? else {
                    thread::sleep(ASK_AGAIN);
                    continue;
                };
                let written = match store {
                    Store::Sqlite => self.to_sqlite(&change)?,
                    Store::Postgres => self.to_postgres(&change)?,
                };
                if written {
                    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
                    self.acks.write_all(change.line(at, store).as_bytes())?;
                    break;
                }
                thread::sleep(ASK_AGAIN);
            }
            thread::sleep(REST);
        }
        Ok(())
    }

    /// Of ten writes seven are new messages, two edit one, and one deletes one.
    fn next_change(&mut self, turn: u64) -> Change {
        let id = |message: u64| chat::key(100 + self.number, message);
        let some = usize::try_from(turn * 7).unwrap_or(0) % self.living.len().max(1);
        match (turn % 10, self.living.is_empty()) {
            (7 | 8, false) => {
                Change { id: id(self.living[some]), text: Some(format!("edited in turn {turn}")) }
            }
            (9, false) => Change { id: id(self.living.swap_remove(some)), text: None },
            _ => {
                self.living.push(turn);
                Change { id: id(turn), text: Some(format!("written in turn {turn} by {} ✍", self.number)) }
            }
        }
    }

    /// Whether it was taken; `false` when the store refuses writes now.
    fn to_sqlite(&self, change: &Change) -> Result<bool> {
        let done = match &change.text {
            Some(text) => self.sqlite.execute(
                &format!("{UPSERT} VALUES (?, ?, ?, ?, '2026-01-31T12:00:00', NULL) {OTHERWISE}"),
                params![change.id, chat::key(3, self.number), chat::key(1, self.number), text],
            ),
            None => self.sqlite.execute("DELETE FROM messages WHERE id = ?", [&change.id]),
        };
        match done {
            Ok(_) => Ok(true),
            Err(error) if error.to_string().contains(REFUSED) => Ok(false),
            // Another program had the file for long; the write is tried again.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
            Err(error) => Err(format!("SQLite: {error}").into()),
        }
    }

    /// Whether it was taken; `false` when the store refuses writes now.
    fn to_postgres(&self, change: &Change) -> Result<bool> {
        let (conversation, sender) = (chat::key(3, self.number), chat::key(1, self.number));
        let done = match &change.text {
            Some(text) => self.runtime.block_on(self.postgres.execute_typed(
                &format!("{UPSERT} VALUES ($1, $2, $3, $4, '2026-01-31T12:00:00', NULL) {OTHERWISE}"),
                &[
                    (&change.id, Type::TEXT),
                    (&conversation, Type::TEXT),
                    (&sender, Type::TEXT),
                    (text, Type::TEXT),
                ],
            )),
            None => self.runtime.block_on(
                self.postgres
                    .execute_typed("DELETE FROM messages WHERE id = $1", &[(&change.id, Type::TEXT)]),
            ),
        };
        match done {
            Ok(_) => Ok(true),
            // The gate's answer: the store is not the owner.
            Err(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Ok(false),
            Err(error) => Err(format!("PostgreSQL: {error:?}").into()),
        }
    }
}

/// The same words for both stores.
const UPSERT: &str =
    "INSERT INTO messages (id, conversation_id, sender_id, content, timestamp, metadata_json)";
const OTHERWISE: &str = "ON CONFLICT (id) DO UPDATE SET content = excluded.content";

/// What stands in the answer of a SQLite file that is not the owner.
const REFUSED: &str = "does not take writes";

/// The store to write to; `None` while the owner is about to change.
fn owner(route: &Path) -> Result<Option<Store>> {
    let text = match std::fs::read(route) {
        Ok(text) => text,
        // There is no run yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some(Store::Sqlite)),
        Err(error) => return Err(error.into()),
    };
    let route: serde_json::Value = serde_json::from_slice(&text)?;
    let store = if route["owner"] == "target" { Store::Postgres } else { Store::Sqlite };
    Ok((route["writes"] == "open").then_some(store))
}
