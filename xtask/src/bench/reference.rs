//! What a finished load looks like: the target's columns, the prepared files, the keys, and the check.
//!
//! Invariants: the columns' types are those that Switchover chooses, read from a small migration of the same
//! schema where the binary can do one, so that the limit and the peers load the same types; the files are
//! written by PostgreSQL itself.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use switchover_testkit::{Cluster, Database};

use super::{MAINTENANCE_MEMORY, measure};
use crate::Result;
use crate::chat::{self, Size, TABLES};

/// The types where no binary can be asked: what the census of this data proves.
const TYPES_BY_HAND: [(&str, &str); 4] =
    [("BOOLEAN", "boolean"), ("DATETIME", "timestamp without time zone"), ("JSON", "text"), ("", "text")];

/// The index and the uniques behind the primary keys: they do not block each other, not even on one table.
const INDEXES: [&str; 5] = [
    "CREATE UNIQUE INDEX messages_pkey ON messages(id)",
    "CREATE INDEX ix_messages_conversation_timestamp ON messages(conversation_id, \"timestamp\")",
    "CREATE UNIQUE INDEX conversations_pkey ON conversations(id)",
    "CREATE UNIQUE INDEX workspaces_pkey ON workspaces(id)",
    "CREATE UNIQUE INDEX users_pkey ON users(id)",
];
/// The foreign keys: table, column, referred table.
const FOREIGN_KEYS: [(&str, &str, &str); 4] = [
    ("messages", "conversation_id", "conversations"),
    ("messages", "sender_id", "users"),
    ("conversations", "workspace_id", "workspaces"),
    ("workspaces", "owner_id", "users"),
];

/// A table's name, and the name and the type of each column.
type Columns = Vec<(String, Vec<(String, String)>)>;

/// The prepared target.
pub(crate) struct Reference {
    /// `CREATE TABLE` for each table, without keys.
    pub(crate) tables: String,
    /// Each table's columns: name and type.
    pub(crate) columns: Columns,
    /// Where the rows are, in tables without keys at first.
    pub(crate) database: Database,
    /// Two lists of `COPY` statements, one for each stream.
    pub(crate) streams: [String; 2],
}

impl Reference {
    /// Finds the types and, where a contestant needs them, loads the rows once and has the server write the
    /// binary files.
    pub(crate) fn prepare(
        cluster: &Cluster,
        source: &Path,
        folder: &Path,
        switchover: Option<&Path>,
        with_rows: bool,
    ) -> Result<Self> {
        let columns = match switchover {
            Some(binary) => chosen_columns(cluster, folder, binary)?,
            None => columns_by_hand(source)?,
        };
        let mut tables = String::new();
        for (table, columns) in &columns {
            let columns: Vec<String> = columns.iter().map(|(n, t)| format!("\"{n}\" {t}")).collect();
            writeln!(tables, "CREATE TABLE {table} ({});", columns.join(", "))?;
        }
        let database = cluster.fresh_database("reference")?;
        database.psql(&tables)?;
        if !with_rows {
            return Ok(Self { tables, columns, database, streams: Default::default() });
        }
        println!("preparing the binary files for the limit");
        for (table, columns) in &columns {
            load_as_text(&database, source, table, columns)?;
        }
        let files = cluster.shared_folder("copy")?;
        let streams = write_files(&database, &files)?;
        Ok(Self { tables, columns, database, streams })
    }
}

/// The columns as a small migration makes them.
fn chosen_columns(cluster: &Cluster, folder: &Path, binary: &Path) -> Result<Columns> {
    let small = folder.join("chat-small.db");
    if !small.is_file() {
        chat::create(&small, Size { users: 50, workspaces: 50, conversations: 100, messages: 2_000 })?;
    }
    let database = cluster.fresh_database("types")?;
    let mut command = Command::new(binary);
    command.current_dir(folder).args(["migrate", "--from", &format!("sqlite:{}", small.display())]);
    measure::measured(command.args(["--to", &database.url()]))?;
    let mut columns = Vec::new();
    for table in TABLES {
        let rows = database.rows(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ))?;
        let of_table = rows.into_iter().filter_map(|row| match row.as_slice() {
            [Some(name), Some(kind)] => Some((name.clone(), kind.clone())),
            _ => None,
        });
        columns.push((table.to_owned(), of_table.collect()));
    }
    Ok(columns)
}

fn columns_by_hand(source: &Path) -> Result<Columns> {
    let db = open(source)?;
    let mut columns = Vec::new();
    for table in TABLES {
        let mut query = db.prepare("SELECT name, type FROM pragma_table_info(?)")?;
        let of_table = query.query_map([table], |row| {
            let declared: String = row.get(1)?;
            let known = TYPES_BY_HAND.iter().find(|(name, _)| *name == declared);
            Ok((row.get(0)?, known.map_or("text", |(_, kind)| kind).to_owned()))
        })?;
        columns.push((table.to_owned(), of_table.collect::<std::result::Result<_, _>>()?));
    }
    Ok(columns)
}

/// Opens the source, to read only.
pub(crate) fn open(source: &Path) -> Result<Connection> {
    Ok(Connection::open_with_flags(
        source,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?)
}

/// Loads a table through the text form of COPY: slow, and independent of every contestant.
fn load_as_text(database: &Database, source: &Path, table: &str, columns: &[(String, String)]) -> Result {
    let mut psql = database.server().psql_command(database.name());
    psql.args(["-c", &format!("COPY {table} FROM STDIN")]).env("PGCLIENTENCODING", "UTF8");
    let mut child = psql.stdin(Stdio::piped()).spawn()?;
    let db = open(source)?;
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let mut query = db.prepare(&format!("SELECT {} FROM {table} ORDER BY rowid", names.join(", ")))?;
    let mut rows = query.query([])?;
    let stdin = child.stdin.take().ok_or("psql has no standard input")?;
    let mut out = BufWriter::with_capacity(1 << 16, stdin);
    let mut line = String::new();
    while let Some(row) = rows.next()? {
        line.clear();
        for at in 0..columns.len() {
            line.push_str(if at == 0 { "" } else { "\t" });
            match row.get_ref(at)? {
                ValueRef::Null => line.push_str("\\N"),
                ValueRef::Integer(n) => write!(line, "{n}")?,
                ValueRef::Real(n) => write!(line, "{n:?}")?,
                ValueRef::Text(text) => escape(std::str::from_utf8(text)?, &mut line),
                ValueRef::Blob(_) => return Err("the sample has no blobs".into()),
            }
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    drop(out.into_inner().map_err(|error| error.into_error())?);
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("cannot load {table}: {status}").into());
    }
    Ok(())
}

fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '\t' => into.push_str("\\t"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            c => into.push(c),
        }
    }
}

/// Has the server write the files; the messages in two halves, the small tables before the second half.
fn write_files(database: &Database, files: &Path) -> Result<[String; 2]> {
    let file = |name: &str| files.join(format!("{name}.bin")).display().to_string();
    let (mut first, mut second) = (String::new(), String::new());
    let pages =
        database.psql("SELECT pg_relation_size('messages') / current_setting('block_size')::int / 2")?;
    let halves =
        [("messages_1", format!("ctid < '({pages},0)'")), ("messages_2", format!("ctid >= '({pages},0)'"))];
    for table in &TABLES[..3] {
        database.psql(&format!("COPY {table} TO '{}' (FORMAT binary)", file(table)))?;
        writeln!(second, "COPY {table} FROM '{}' (FORMAT binary);", file(table))?;
    }
    for ((name, range), stream) in halves.iter().zip([&mut first, &mut second]) {
        let query =
            format!("COPY (SELECT * FROM messages WHERE {range}) TO '{}' (FORMAT binary)", file(name));
        database.psql(&query)?;
        writeln!(stream, "COPY messages FROM '{}' (FORMAT binary);", file(name))?;
    }
    // The files are in the page cache already; reading them from disk is not what is measured.
    let bytes: u64 = fs::read_dir(files)?.flatten().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    println!("  {} MB in {}", bytes / 1_000_000, files.display());
    Ok([first, second])
}

/// Builds the keys, two at a time where the locks allow it.
pub(crate) fn build_keys(database: &Database) -> Result {
    side_by_side(database, &INDEXES.map(str::to_owned))?;
    let mut primary = String::new();
    for table in TABLES {
        writeln!(primary, "ALTER TABLE {table} ADD PRIMARY KEY USING INDEX {table}_pkey;")?;
    }
    let mut validate = [String::new(), String::new()];
    for (table, column, referred) in FOREIGN_KEYS {
        let name = format!("fk_{table}_{column}");
        writeln!(
            primary,
            "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {referred}(id) NOT VALID;"
        )?;
        // Two validations of one table wait for each other, so one stream has the messages', the other the rest.
        let stream = &mut validate[usize::from(table != "messages")];
        writeln!(stream, "ALTER TABLE {table} VALIDATE CONSTRAINT {name};")?;
    }
    database.psql(&primary)?;
    side_by_side(database, &validate)
}

/// Runs scripts over two sessions; each session takes the next when it is free.
pub(crate) fn side_by_side(database: &Database, scripts: &[String]) -> Result {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let session = || -> std::result::Result<(), switchover_testkit::Error> {
        while let Some(script) = scripts.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            database.psql(&format!("SET maintenance_work_mem = '{MAINTENANCE_MEMORY}';\n{script};"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(session);
        session()?;
        other.join().map_err(|_| "a session's thread ended early")??;
        Ok(())
    })
}

/// Says what a load lacks: rows, keys, indexes.
pub(crate) fn lacking(database: &Database, size: Size) -> Result {
    let wanted = [size.users, size.workspaces, size.conversations, size.messages];
    for (table, wanted) in TABLES.iter().zip(wanted) {
        let found = database.psql(&format!("SELECT count(*) FROM {table}"))?;
        if found != wanted.to_string() {
            return Err(format!("{table} has {found} rows of {wanted}").into());
        }
    }
    let kinds = "SELECT string_agg(contype || '=' || n, ' ' ORDER BY contype) FROM (SELECT contype::text, \
                 count(*) AS n FROM pg_constraint WHERE contype IN ('p', 'f') AND convalidated \
                 AND conrelid::regclass::text = ANY ('{users,workspaces,conversations,messages}') GROUP BY 1) k";
    let found = database.psql(kinds)?;
    if found != "f=4 p=4" {
        return Err(format!("keys: {found}; wanted f=4 p=4").into());
    }
    let indexes = database.psql("SELECT count(*) FROM pg_indexes WHERE tablename = 'messages'")?;
    if indexes != "2" {
        return Err(format!("messages has {indexes} indexes of 2").into());
    }
    Ok(())
}
