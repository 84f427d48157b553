//! The sample application's data as it lay in memory: a JSON dump in the shape of the preset `cortex-core`.
//!
//! Invariant: the same rows as the sample database of [`crate::chat`], so the same on every machine.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::Result;
use crate::chat::{self, Size};

/// A member of the dump, and the query that gives each of its rows as one JSON text.
const MEMBERS: [(&str, &str); 4] = [
    (
        "users",
        "SELECT json_object('user_id', id, 'name', name, 'email', email, 'metadata', json(metadata)) FROM users",
    ),
    (
        "workspaces",
        "SELECT json_object('id', id, 'name', name, 'description', description, 'owner_id', owner_id,
            'metadata', json(metadata)) FROM workspaces",
    ),
    (
        "conversations",
        "SELECT json_object('id', id, 'workspace_id', workspace_id, 'topic', topic,
            'participant_ids', json(participant_ids), 'metadata', json(metadata)) FROM conversations",
    ),
    (
        "messages",
        "SELECT json_object('id', id, 'conversation_id', conversation_id, 'sender_id', sender_id,
            'content', content, 'timestamp', replace(timestamp, ' ', 'T'),
            'metadata', json(coalesce(metadata, '{}'))) FROM messages",
    ),
];

/// Writes the dump.
pub(crate) fn create(path: &Path, size: Size) -> Result {
    let database = path.with_extension("making");
    chat::create(&database, size)?;
    let db = Connection::open(&database)?;
    let mut out = BufWriter::new(File::create(path)?);
    for (at, (name, query)) in MEMBERS.iter().enumerate() {
        write!(out, "{}{}: [", if at == 0 { "{" } else { ",\n" }, Value::from(*name))?;
        let mut statement = db.prepare(query)?;
        let mut rows = statement.query([])?;
        let mut first = true;
        while let Some(row) = rows.next()? {
            let row: String = row.get(0)?;
            write!(out, "{}\n  {row}", if first { "" } else { "," })?;
            first = false;
        }
        write!(out, "\n]")?;
    }
    writeln!(out, "}}")?;
    out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    db.close().map_err(|(_, error)| error)?;
    for suffix in ["making", "making-wal", "making-shm"] {
        let left = path.with_extension(suffix);
        if left.exists() {
            fs::remove_file(left)?;
        }
    }
    Ok(())
}
