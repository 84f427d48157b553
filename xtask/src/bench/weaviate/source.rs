//! The source: the messages of the sample chat alone, in a SQLite file, with vectors if they are asked for.
//!
//! Invariant: the same arguments give the same rows, so a file that is there is used again.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::Result;
use crate::chat::{self, Dice, Size};

/// Numbers of a vector: those of small models of sentences.
const DIMENSIONS: u64 = 384;

/// Vectors lie around so many centres, as those of real texts do; without any an index of neighbours has more work.
const CENTRES: u64 = 200;

/// The file, made where it is not there yet.
pub(super) fn database(folder: &Path, messages: u64, vectors: bool) -> Result<PathBuf> {
    let kind = if vectors { "vectors" } else { "plain" };
    let path = folder.join(format!("messages-{messages}-{kind}.db"));
    if path.is_file() {
        return Ok(path);
    }
    println!("making {}", path.display());
    let (chat, making) = (path.with_extension("chat"), path.with_extension("making"));
    for file in [&chat, &making] {
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    let size = Size {
        users: messages.div_ceil(400),
        workspaces: messages.div_ceil(200),
        conversations: messages.div_ceil(66),
        messages,
    };
    chat::create(&chat, size)?;
    let mut db = Connection::open(&making)?;
    db.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    let embedding = if vectors { ", embedding BLOB NOT NULL" } else { "" };
    db.execute_batch(&format!(
        "CREATE TABLE messages (id TEXT NOT NULL PRIMARY KEY, conversation_id TEXT NOT NULL,
             sender_id TEXT NOT NULL, content TEXT NOT NULL, timestamp DATETIME NOT NULL, metadata JSON{embedding})"
    ))?;
    db.execute("ATTACH ? AS chat", params![chat.display().to_string()])?;
    if vectors {
        let mut dice = Dice::new(384);
        let transaction = db.transaction()?;
        {
            let mut rows = transaction.prepare("SELECT rowid FROM chat.messages")?;
            let rowids: Vec<i64> =
                rows.query_map([], |row| row.get(0))?.collect::<std::result::Result<_, _>>()?;
            let mut insert =
                transaction.prepare("INSERT INTO messages SELECT *, ? FROM chat.messages WHERE rowid = ?")?;
            for rowid in rowids {
                insert.execute(params![vector(&mut dice), rowid])?;
            }
        }
        transaction.commit()?;
    } else {
        db.execute_batch("INSERT INTO messages SELECT * FROM chat.messages")?;
    }
    db.execute_batch(chat::INDEX)?;
    db.close().map_err(|(_, error)| error)?;
    fs::rename(&making, &path)?;
    fs::remove_file(&chat)?;
    for more in ["chat-wal", "chat-shm"] {
        drop(fs::remove_file(path.with_extension(more)));
    }
    Ok(path)
}

/// A vector of length 1 near one of the centres, as little-endian f32.
fn vector(dice: &mut Dice) -> Vec<u8> {
    let mut centre = Dice::new(dice.below(CENTRES));
    let unit = |dice: &mut Dice| dice.below(2_000_001) as f64 / 1e6 - 1.0;
    let numbers: Vec<f64> = (0..DIMENSIONS).map(|_| unit(&mut centre) + 0.5 * unit(dice)).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.iter().flat_map(|number| ((number / length) as f32).to_le_bytes()).collect()
}
