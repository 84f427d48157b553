//! Presets, from the command line to the target: generated data of the application, its counts, values, types,
//! keys and indexes there, and what is said where the data is not what the preset expects.
#![allow(clippy::panic, clippy::allow_attributes, reason = "tests")]

mod common;

use common::{program, run};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::fs;
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// Rows of the largest table: some thousand make several chunks.
const MESSAGES: usize = 3000;

/// What the application held in memory.
fn dump() -> Value {
    let id = |kind: u64, at: usize| format!("{kind:08x}-0000-4000-8000-{at:012x}");
    let users = 0..20;
    let user = |at: usize| format!("user-{at}");
    let word = |at: usize| ["engine", "loom", "proof", "\u{e9}t\u{e9}", "\u{1f600}"][at % 5];
    json!({
        "users": users.clone().map(|at| json!({
            "user_id": user(at), "name": format!("Name {at}"), "email": format!("u{at}@example.com"),
            "metadata": {"at": at, "tags": [word(at)]},
        })).collect::<Vec<_>>(),
        "workspaces": (0..30).map(|at| json!({
            "id": id(1, at), "name": format!("W{at}"), "description": format!("about {}", word(at)),
            "owner_id": user(at % 20), "metadata": {},
        })).collect::<Vec<_>>(),
        "conversations": (0..200).map(|at| json!({
            "id": id(2, at), "workspace_id": id(1, at % 30), "topic": format!("on {}", word(at)),
            "participant_ids": (0..at % 4).map(user).collect::<Vec<_>>(), "metadata": {"pinned": at % 2 == 0},
        })).collect::<Vec<_>>(),
        "messages": (0..MESSAGES).map(|at| json!({
            "id": id(3, at), "conversation_id": id(2, at % 200), "sender_id": user(at % 20),
            "content": format!("the {} and {at}", word(at)),
            "timestamp": format!("2024-02-{:02}T{:02}:{:02}:00", 1 + at % 28, at % 24, at % 60),
            "metadata": {"n": at},
        })).collect::<Vec<_>>(),
    })
}

/// The application's SQLite file with the same data.
fn sqlite(folder: &TempDir) -> Connection {
    let source = Connection::open(folder.path().join("app.db")).expect("a file");
    source
        .execute_batch(
            "CREATE TABLE users(user_id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, metadata_json TEXT);
             CREATE TABLE workspaces(id TEXT PRIMARY KEY, name TEXT, description TEXT,
                owner_id TEXT REFERENCES users(user_id), metadata_json TEXT);
             CREATE TABLE conversations(id TEXT PRIMARY KEY, workspace_id TEXT, topic TEXT,
                participant_ids_json TEXT, metadata_json TEXT);
             CREATE TABLE messages(id TEXT PRIMARY KEY, conversation_id TEXT, sender_id TEXT, content TEXT,
                timestamp TEXT, metadata_json TEXT);",
        )
        .expect("tables");
    let dump = dump();
    for (table, columns) in [
        ("users", &["user_id", "name", "email", "metadata"][..]),
        ("workspaces", &["id", "name", "description", "owner_id", "metadata"]),
        ("conversations", &["id", "workspace_id", "topic", "participant_ids", "metadata"]),
        ("messages", &["id", "conversation_id", "sender_id", "content", "timestamp", "metadata"]),
    ] {
        let marks = vec!["?"; columns.len()].join(", ");
        let mut insert =
            source.prepare(&format!("INSERT INTO {table} VALUES ({marks})")).expect("a statement");
        for row in dump[table].as_array().expect("rows") {
            let cell = |name: &&str| match &row[*name] {
                Value::String(text) => text.clone(),
                nested => nested.to_string(),
            };
            insert.execute(rusqlite::params_from_iter(columns.iter().map(cell))).expect("a row");
        }
    }
    source
}

fn database() -> Database {
    Cluster::shared().expect("a server").fresh_database("preset").expect("a database")
}

#[track_caller]
fn shows(database: &Database, query: &str, expected: &str) {
    assert_eq!(database.psql(query).expect(query).trim().replace('\t', "|"), expected, "{query}");
}

fn migrate(folder: &TempDir, database: &Database, arguments: &[&str]) -> common::Ran {
    let to = database.conninfo();
    run(&mut program(folder.path(), &[&["migrate", "--no-backup", "--to", &to], arguments].concat()))
}

/// The types, keys and indexes of the application's own schema.
#[track_caller]
fn is_the_application(database: &Database) {
    shows(
        database,
        "SELECT string_agg(format('%s.%s %s', table_name, column_name, udt_name), E'\\n' ORDER BY table_name, column_name)
            FROM information_schema.columns WHERE table_schema = 'public' AND table_name !~ '^_' AND udt_name NOT IN ('text', 'varchar')",
        "conversations.id uuid\nconversations.metadata jsonb\nconversations.participant_ids _text\n\
         conversations.workspace_id uuid\nmessages.conversation_id uuid\nmessages.id uuid\n\
         messages.metadata jsonb\nmessages.timestamp timestamptz\nusers.metadata jsonb\nworkspaces.id uuid\n\
         workspaces.metadata jsonb",
    );
    shows(
        database,
        "SELECT string_agg(format('%s %s', indexname, split_part(indexdef, ' USING ', 2)), E'\\n' ORDER BY indexname)
            FROM pg_indexes WHERE schemaname = 'public' AND indexname !~ '(^_|_pkey$)'",
        "ix_conversations_participant_ids gin (participant_ids)\nix_conversations_workspace_id btree (workspace_id)\n\
         ix_messages_content_words gin (to_tsvector('english'::regconfig, content))\n\
         ix_messages_conversation_id btree (conversation_id)\n\
         ix_messages_conversation_timestamp btree (conversation_id, \"timestamp\")\n\
         ix_messages_sender_id btree (sender_id)\nix_messages_timestamp btree (\"timestamp\")\n\
         ix_users_email btree (email)\nix_workspaces_owner_id btree (owner_id)",
    );
    shows(
        database,
        "SELECT count(*) FILTER (WHERE contype = 'p'), count(*) FILTER (WHERE contype = 'f' AND convalidated)
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text !~ '^_'",
        "4|4",
    );
    shows(database, "SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY 1) FROM pg_index JOIN pg_class c ON c.oid = indrelid
        WHERE indisunique AND NOT indisprimary AND relnamespace = 'public'::regnamespace AND relname !~ '^_'", "ix_users_email");
}

const TO_POSTGRES: &[&str] = &["--from", "sqlite:app.db", "--preset", "cortex-core-postgres"];

#[test]
fn from_sqlite_to_the_application_on_postgres() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), database());
    let source = sqlite(&folder);
    migrate(&folder, &database, TO_POSTGRES).exits(0);
    is_the_application(&database);
    shows(
        &database,
        "SELECT count(*) FROM messages WHERE to_tsvector('english', content) @@ to_tsquery('english', 'engines')",
        "600",
    );
    shows(&database, "SELECT count(*) FROM conversations WHERE participant_ids @> '{user-2}'", "50");
    shows(
        &database,
        "SELECT timestamp AT TIME ZONE 'UTC' FROM messages WHERE metadata->>'n' = '5'",
        "2024-02-06 05:05:00",
    );
    // Row by row against the source, by the test's own queries.
    let mut rows = source
        .prepare("SELECT id || '|' || sender_id || '|' || content || '|' || replace(timestamp, 'T', ' ') FROM messages ORDER BY id")
        .expect("a query");
    let rows: Vec<String> = rows.query_map([], |row| row.get(0)).expect("rows").map(Result::unwrap).collect();
    assert_eq!(rows.len(), MESSAGES);
    let there = database
        .psql("SELECT id, sender_id, content, timestamp AT TIME ZONE 'UTC' FROM messages ORDER BY id")
        .expect("rows");
    let there: Vec<String> = there.lines().map(|line| line.replace('\t', "|")).collect();
    assert_eq!(there, rows);
    run(&mut program(folder.path(), &["verify", "--from", "sqlite:app.db", "--to", &database.conninfo()]))
        .exits(0);
    run(&mut program(folder.path(), &["rollback", "--to", &database.conninfo()])).exits(0);
    shows(&database, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace", "0");
}

/// What the application's migrations make, as far as the server fills what the source has not.
const MIGRATED: &str = "
    CREATE TABLE users(id uuid PRIMARY KEY DEFAULT gen_random_uuid(), created_at timestamptz NOT NULL DEFAULT now(),
        user_id varchar NOT NULL UNIQUE, name varchar(100) NOT NULL, email varchar(255) NOT NULL UNIQUE,
        is_active boolean NOT NULL DEFAULT true, metadata jsonb NOT NULL);
    CREATE TABLE workspaces(id uuid PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(), name varchar(100) NOT NULL,
        description text NOT NULL, owner_id varchar NOT NULL REFERENCES users(user_id), metadata jsonb NOT NULL);
    CREATE TABLE conversations(id uuid PRIMARY KEY, workspace_id uuid NOT NULL REFERENCES workspaces(id),
        topic varchar(200) NOT NULL, participant_ids text[] NOT NULL, metadata jsonb NOT NULL);
    CREATE TABLE messages(id uuid PRIMARY KEY, conversation_id uuid NOT NULL REFERENCES conversations(id),
        sender_id varchar NOT NULL REFERENCES users(user_id), content text NOT NULL, timestamp timestamptz NOT NULL,
        metadata jsonb NOT NULL, tsv tsvector GENERATED ALWAYS AS (to_tsvector('english', content)) STORED);
    CREATE INDEX messages_tsv ON messages USING gin (tsv);";

#[test]
fn into_the_tables_of_the_applications_own_migrations() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), database());
    sqlite(&folder);
    database.psql(MIGRATED).expect("tables");
    migrate(&folder, &database, &[TO_POSTGRES, &["--into", "existing"]].concat()).exits(0);
    let words = "SELECT count(*) FROM messages WHERE tsv @@ to_tsquery('english', 'engines')";
    shows(&database, words, "600");
    shows(
        &database,
        "SELECT count(*) FROM users WHERE is_active AND id IS NOT NULL AND metadata ? 'tags'",
        "20",
    );
    shows(
        &database,
        "SELECT min(timestamp) AT TIME ZONE 'UTC', cardinality(max(participant_ids)) FROM messages, conversations",
        "2024-02-01 00:00:00|3",
    );
    // It keeps its own indexes.
    shows(&database, "SELECT count(*) FROM pg_indexes WHERE tablename = 'messages'", "2");
}

#[test]
fn the_file_wins_over_the_preset_key_by_key() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), database());
    sqlite(&folder);
    let toml = "preset = 'cortex-core-postgres'\n[table.users.column.email]\ntype = 'text'\n[table.messages]\nindex = []\n";
    fs::write(folder.path().join("switchover.toml"), toml).expect("a file");
    migrate(&folder, &database, &["--from", "sqlite:app.db"]).exits(0);
    let column = "SELECT data_type, is_nullable FROM information_schema.columns
        WHERE table_name = 'users' AND column_name = ";
    shows(&database, &format!("{column}'email'"), "text|NO");
    shows(&database, &format!("{column}'name'"), "character varying|NO");
    shows(&database, "SELECT count(*) FROM pg_indexes WHERE tablename = 'messages'", "1");
    shows(
        &database,
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'messages'::regclass",
        "2",
    );
}

/// What SQLite has, by a query of the test's own.
fn in_file(folder: &TempDir, query: &str) -> String {
    let file = Connection::open(folder.path().join("new.db")).expect("a file");
    let mut rows = file.prepare(query).expect(query);
    let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect(query);
    rows.map(|row| row.expect("text")).collect::<Vec<_>>().join("\n")
}

const FROM_DUMP: &[&str] = &["--from", "json:dump.json", "--to", "sqlite:new.db", "--preset", "cortex-core"];

fn from_dump(folder: &TempDir, arguments: &[&str]) -> common::Ran {
    run(&mut program(folder.path(), &[&["migrate", "--no-backup"], FROM_DUMP, arguments].concat()))
}

#[test]
fn from_a_dump_to_sqlite_and_on_to_postgres() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), database());
    fs::write(folder.path().join("dump.json"), dump().to_string()).expect("a dump");
    from_dump(&folder, &[]).exits(0);
    let counts = "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM workspaces) || ' ' ||
        (SELECT count(*) FROM conversations) || ' ' || (SELECT count(*) FROM messages)";
    assert_eq!(in_file(&folder, counts), "20 30 200 3000");
    let schema = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY rowid";
    insta::assert_snapshot!("cortex_core_in_sqlite", in_file(&folder, schema));
    let participants = "SELECT participant_ids_json FROM conversations WHERE topic = 'on proof' LIMIT 1";
    assert_eq!(in_file(&folder, participants), "[\"user-0\",\"user-1\"]");
    assert_eq!(in_file(&folder, "PRAGMA foreign_key_check"), "");
    // What it makes is what the next preset expects.
    migrate(&folder, &database, &["--from", "sqlite:new.db", "--preset", "cortex-core-postgres"]).exits(0);
    is_the_application(&database);
    let dump = dump();
    let dumped =
        |row: &Value| format!("{}|{}|{}", row["id"], row["sender_id"], row["content"]).replace('"', "");
    let mut expected: Vec<String> = dump["messages"].as_array().expect("rows").iter().map(dumped).collect();
    expected.sort();
    let query = "SELECT id, sender_id, content FROM messages";
    let found = database.psql(query).expect(query);
    let mut found: Vec<String> = found.lines().map(|line| line.replace('\t', "|")).collect();
    found.sort();
    assert_eq!(found, expected);
}

/// The columns, keys and indexes of all tables, whatever their order.
const SHAPE: &str = "SELECT t.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || c.pk
        FROM pragma_table_list t, pragma_table_info(t.name) c WHERE t.name NOT LIKE '\\_%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%'
    UNION ALL SELECT t.name || ' ' || k.\"from\" || ' ' || k.\"table\" || ' ' || k.on_delete FROM pragma_table_list t, pragma_foreign_key_list(t.name) k
    UNION ALL SELECT tbl_name || ' ' || name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND name NOT LIKE '\\_%' ESCAPE '\\'
    ORDER BY 1";

#[test]
fn a_fresh_applications_dump_makes_the_same_tables() {
    let (folder, full) = (tempfile::tempdir().expect("a folder"), dump());
    let write = |dump: &Value| fs::write(folder.path().join("dump.json"), dump.to_string()).expect("a dump");
    write(&full);
    from_dump(&folder, &[]).exits(0);
    let shape = in_file(&folder, SHAPE);
    assert!(shape.contains("messages.content TEXT 1 0"), "{shape}");
    // Nothing at all, some tables, and objects keyed by id.
    for dump in [
        json!({"users": [], "workspaces": [], "conversations": [], "messages": []}),
        json!({"users": full["users"], "workspaces": full["workspaces"], "conversations": [], "messages": []}),
        json!({"users": [], "workspaces": {}, "conversations": {}, "messages": []}),
    ] {
        fs::remove_file(folder.path().join("new.db")).expect("the file");
        write(&dump);
        from_dump(&folder, &[]).exits(0);
        assert_eq!(in_file(&folder, SHAPE), shape);
        run(&mut program(folder.path(), &["verify", FROM_DUMP[0], FROM_DUMP[1], FROM_DUMP[2], FROM_DUMP[3]]))
            .exits(0);
        run(&mut program(folder.path(), &["rollback", "--to", "sqlite:new.db"])).exits(0);
        from_dump(&folder, &[]).exits(0);
    }
    // A table that is not in the dump is another thing, and so is one that nothing tells of.
    fs::remove_file(folder.path().join("new.db")).expect("the file");
    write(&json!({"users": []}));
    let lacking = run(&mut program(folder.path(), &[&["plan"], FROM_DUMP].concat())).exits(2);
    assert!(lacking.err.contains("the source has no table 'conversations'"), "{lacking}");
    write(&json!({"users": [], "workspaces": [], "conversations": [], "messages": [], "drafts": []}));
    let plan = run(&mut program(folder.path(), &[&["plan"], FROM_DUMP].concat())).exits(0);
    assert!(plan.out.contains("drafts") && plan.out.contains("nothing tells its columns"), "{plan}");
}

#[test]
fn a_dump_that_breaks_its_own_keys_is_refused_with_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lost = dump();
    lost["workspaces"][3]["owner_id"] = json!("nobody");
    let twin = lost["users"][4].clone();
    lost["users"].as_array_mut().expect("rows").push(twin);
    lost["messages"][7]["content"] = Value::Null;
    fs::write(folder.path().join("dump.json"), lost.to_string()).expect("a dump");
    let refused = from_dump(&folder, &["--dry-run"]).exits(1);
    for part in ["$.workspaces[3]", "owner_id", "$.users[20]", "user_id", "row=8", "content"] {
        assert!(refused.out.contains(part), "{part}: {refused}");
    }
    from_dump(&folder, &[]).exits(1);
    assert!(!folder.path().join("new.db").exists(), "nothing is written");
    from_dump(&folder, &["--policy", "quarantine"]).exits(0);
    assert_eq!(in_file(&folder, "SELECT count(*) || '' FROM users"), "20");
    assert_eq!(in_file(&folder, "PRAGMA foreign_key_check"), "");
}

#[test]
fn data_that_a_preset_does_not_fit_is_named_with_its_place() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), database());
    let source = sqlite(&folder);
    let mut said = String::new();
    let steps = [
        "ALTER TABLE users RENAME COLUMN metadata_json TO metadata",
        "ALTER TABLE users RENAME COLUMN metadata TO metadata_json; DROP TABLE messages",
    ];
    for step in steps {
        source.execute_batch(step).expect(step);
        let ran = migrate(&folder, &database, TO_POSTGRES).exits(2);
        said.push_str(&format!("{step}\n{}\n", ran.err));
    }
    let unknown =
        migrate(&folder, &database, &["--from", "sqlite:app.db", "--preset", "cortex-cor"]).exits(2);
    said.push_str(&unknown.err);
    insta::assert_snapshot!(said);
    // A row that the preset's type does not hold.
    let (folder, database) = (tempfile::tempdir().expect("a folder"), self::database());
    let source = sqlite(&folder);
    source
        .execute("UPDATE conversations SET id = ?1 WHERE rowid = 200", params!["not-a-uuid"])
        .expect("a change");
    let refused = migrate(&folder, &database, TO_POSTGRES).exits(1);
    assert!(refused.err.contains("not-a-uuid") || refused.out.contains("not-a-uuid"), "{refused}");
}

#[test]
fn presets_are_listed_and_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = run(&mut program(folder.path(), &["presets"])).exits(0);
    let shown = run(&mut program(folder.path(), &["presets", "show", "cortex-core"])).exits(0);
    assert_eq!(shown.out, include_str!("../presets/cortex-core.toml"));
    let unknown = run(&mut program(folder.path(), &["presets", "show", "cortex"])).exits(2);
    insta::assert_snapshot!(format!("{}\n{}", list.out, unknown.err));
}
