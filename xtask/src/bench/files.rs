//! Loads whose target is a SQLite file: from a JSON dump, from another file, and back from PostgreSQL; beside the
//! `sqlite3` shell, which is what people would use.
//!
//! Invariants: each contestant makes a new file with the same keys and indexes as the others of its group; the
//! dump and the texts for the shell are made once, before any clock runs, but for the way back, where writing them is part of
//! the work. The shell verifies nothing, and `VACUUM INTO` only copies pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::{Connection, OpenFlags};

use super::measure::{Run, measured};
use super::switchover::Place;
use super::{Contestant, Field};
use crate::chat::{self, Size, TABLES};
use crate::{Result, dump};

/// The dump's tables as an application would declare them, and the queries that give their rows.
const DUMP_TABLES: [(&str, &str, &str); 4] = [
    ("users", "user_id TEXT PRIMARY KEY, name TEXT, email TEXT, metadata TEXT", "id, name, email, metadata"),
    (
        "workspaces",
        "id TEXT PRIMARY KEY, name TEXT, description TEXT, owner_id TEXT, metadata TEXT",
        "id, name, description, owner_id, metadata",
    ),
    (
        "conversations",
        "id TEXT PRIMARY KEY, workspace_id TEXT, topic TEXT, participant_ids TEXT, metadata TEXT",
        "id, workspace_id, topic, participant_ids, metadata",
    ),
    (
        "messages",
        "id TEXT PRIMARY KEY, conversation_id TEXT, sender_id TEXT, content TEXT, timestamp TEXT, metadata TEXT",
        "id, conversation_id, sender_id, content, replace(timestamp, ' ', 'T'), coalesce(metadata, '{}')",
    ),
];

/// What is prepared once.
pub(crate) struct Files {
    dump: PathBuf,
    /// CSV files for the shell, by table.
    rows: Vec<PathBuf>,
}

impl Files {
    /// Makes what the chosen contestants need and is not there yet.
    pub(crate) fn prepare(
        folder: &Path,
        source: &Path,
        scale: u64,
        size: Size,
        chosen: &[Contestant],
    ) -> Result<Self> {
        let dump = folder.join(format!("chat-{scale}.json"));
        if chosen.contains(&Contestant::SwitchoverJson) && !dump.is_file() {
            println!("making {}", dump.display());
            dump::create(&dump, size)?;
        }
        let rows = TABLES.map(|table| folder.join(format!("{table}-{scale}.csv"))).to_vec();
        for ((table, _, columns), path) in DUMP_TABLES.iter().zip(&rows) {
            if chosen.contains(&Contestant::Import) && !path.is_file() {
                println!("making {}", path.display());
                let query = format!("SELECT {columns} FROM {table} ORDER BY rowid");
                measured(
                    Command::new("sqlite3")
                        .args(["-readonly", "-csv", "-cmd"])
                        .arg(format!(".once {}", path.display()))
                        .arg(source)
                        .arg(query),
                )?;
            }
        }
        Ok(Self { dump, rows })
    }
}

/// One contestant's load into a new file, checked.
pub(crate) fn race(field: &Field, who: Contestant, round: usize) -> Result<Run> {
    let folder = field.folder.join(format!("{}_{round}", who.name()));
    fs::create_dir_all(&folder)?;
    let file = folder.join("target.db");
    let run = match who {
        Contestant::Import => import(field, &file),
        Contestant::VacuumInto => vacuum_into(field, &file),
        Contestant::PsqlImport => psql_import(field, &file),
        Contestant::SwitchoverJson => {
            load(field, &folder, &format!("json:{}", field.files.dump.display()), &file)
        }
        Contestant::SwitchoverBack => load(field, &folder, &field.reference.database.url(), &file),
        _ => load(field, &folder, &format!("sqlite:{}", field.source.display()), &file),
    };
    let mut run = run.unwrap_or_else(|error| Run::failed(error.to_string()));
    if run.failure.is_none() {
        run.failure = lacking(&file, field.size, who).err().map(|error| error.to_string());
    }
    fs::remove_dir_all(&folder)?;
    Ok(run)
}

/// Switchover without a backup: everything else, the verification of every field among it.
fn load(field: &Field, folder: &Path, from: &str, file: &Path) -> Result<Run> {
    Place::at(field, folder.to_owned(), from, &format!("sqlite:{}", file.display()))?.load(&["--no-backup"])
}

/// A script for the shell, and its time.
fn shell(file: &Path, script: &str) -> Result<Run> {
    let path = file.with_extension("sql");
    fs::write(&path, script)?;
    let ended =
        measured(Command::new("sqlite3").arg("-bail").arg(file).arg(format!(".read {}", path.display())))?;
    let seconds = ended.seconds;
    Ok(Run { seconds, load_seconds: Some(seconds), peak_kb: ended.peak_kb, ..Run::default() })
}

/// `.import` of the dump's rows as CSV into tables with their primary keys.
fn import(field: &Field, file: &Path) -> Result<Run> {
    let mut script = String::new();
    for ((table, columns, _), path) in DUMP_TABLES.iter().zip(&field.files.rows) {
        script += &format!("CREATE TABLE {table} ({columns});\n.import --csv {} {table}\n", path.display());
    }
    shell(file, &script)
}

/// The limit of file to file: nothing but pages.
fn vacuum_into(field: &Field, file: &Path) -> Result<Run> {
    let ended = measured(
        Command::new("sqlite3")
            .arg("-readonly")
            .arg(&field.source)
            .arg(format!("VACUUM INTO '{}'", file.display())),
    )?;
    let seconds = ended.seconds;
    Ok(Run { seconds, load_seconds: Some(seconds), peak_kb: ended.peak_kb, ..Run::default() })
}

/// `psql` writes CSV into a pipe, from which the shell imports; then the index.
fn psql_import(field: &Field, file: &Path) -> Result<Run> {
    let psql = field.reference.database.server().psql_command(field.reference.database.name());
    let words = std::iter::once(psql.get_program()).chain(psql.get_args());
    let words: Vec<String> =
        words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))).collect();
    let environment: Vec<String> = psql
        .get_envs()
        .filter_map(|(name, value)| {
            Some(format!("{}='{}'", name.to_string_lossy(), value?.to_string_lossy()))
        })
        .collect();
    let psql = format!("env {} {}", environment.join(" "), words.join(" ")).replace('"', "\\\"");
    let mut script = String::new();
    let source = Connection::open_with_flags(&field.source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    for table in TABLES {
        let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let create: String = source.query_row(sql, [table], |row| row.get(0))?;
        script += &format!(
            "{create};\n.import --csv \"|{psql} -c 'COPY {table} TO STDOUT (FORMAT csv)'\" {table}\n"
        );
    }
    script += chat::INDEX;
    script += ";\n";
    shell(file, &script)
}

/// Says what a file lacks: rows, keys, the index.
fn lacking(file: &Path, size: Size, who: Contestant) -> Result {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let wanted = [size.users, size.workspaces, size.conversations, size.messages];
    for (table, wanted) in TABLES.iter().zip(wanted) {
        let found: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        if u64::try_from(found) != Ok(wanted) {
            return Err(format!("{table} has {found} rows of {wanted}").into());
        }
    }
    let from_dump = matches!(who, Contestant::Import | Contestant::SwitchoverJson);
    let sql = "SELECT count(*) FROM pragma_index_list('messages')";
    let (found, wanted): (i64, i64) =
        (db.query_row(sql, [], |row| row.get(0))?, if from_dump { 1 } else { 2 });
    if found != wanted {
        return Err(format!("messages has {found} indexes of {wanted}").into());
    }
    Ok(())
}
