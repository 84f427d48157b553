//! The presets for Weaviate, from the applications' own tables: names, defaults, provenance, ids and indexes.

use crate::common::{Ran, run};
use crate::server::Site;
use serde_json::{Value as Json, json};

/// The tables as the application makes them, with a row for each default and each form of metadata.
const GREMLINS: &str = "
    CREATE TABLE conversations(id VARCHAR NOT NULL PRIMARY KEY, title VARCHAR(255), created_at DATETIME DEFAULT (CURRENT_TIMESTAMP),
        updated_at DATETIME DEFAULT (CURRENT_TIMESTAMP), is_active BOOLEAN);
    CREATE TABLE messages(id VARCHAR NOT NULL PRIMARY KEY, conversation_id VARCHAR NOT NULL REFERENCES conversations(id),
        role VARCHAR(50) NOT NULL, content TEXT NOT NULL, created_at DATETIME DEFAULT (CURRENT_TIMESTAMP), tool_calls TEXT,
        extra_data TEXT);
    CREATE TABLE documents(id VARCHAR NOT NULL PRIMARY KEY, title VARCHAR(500) NOT NULL, content TEXT NOT NULL,
        content_type VARCHAR(100), file_path VARCHAR(1000), file_size INTEGER, vector_id VARCHAR, embedding_model VARCHAR(200),
        doc_metadata JSON, tags JSON, created_at DATETIME, updated_at DATETIME, is_active BOOLEAN);
    CREATE TABLE document_chunks(id VARCHAR NOT NULL PRIMARY KEY, document_id VARCHAR NOT NULL REFERENCES documents(id),
        content TEXT NOT NULL, chunk_index INTEGER NOT NULL, chunk_size INTEGER NOT NULL, vector_id VARCHAR,
        embedding_model VARCHAR(200), start_position INTEGER, end_position INTEGER, chunk_metadata JSON, created_at DATETIME,
        updated_at DATETIME);
    CREATE TABLE agent_interactions(id VARCHAR NOT NULL PRIMARY KEY, agent_name VARCHAR(100) NOT NULL, agent_role VARCHAR(200),
        interaction_type VARCHAR(50) NOT NULL, input_data TEXT, output_data TEXT, workflow_id VARCHAR, workflow_type VARCHAR(100),
        step_number INTEGER, execution_time_ms FLOAT, tokens_used INTEGER, conversation_id VARCHAR REFERENCES conversations(id),
        task_metadata JSON, status VARCHAR(50), error_message TEXT, created_at DATETIME, completed_at DATETIME);
    CREATE TABLE multimodal_content(id VARCHAR NOT NULL PRIMARY KEY, media_type VARCHAR(50) NOT NULL, filename VARCHAR(500) NOT NULL,
        file_size INTEGER NOT NULL, content_hash VARCHAR(64), storage_path VARCHAR(1000), processing_status VARCHAR(50),
        processing_result JSON, error_message TEXT, conversation_id VARCHAR REFERENCES conversations(id), created_at DATETIME,
        updated_at DATETIME);
    CREATE TABLE oauth_users(id VARCHAR NOT NULL PRIMARY KEY, api_key VARCHAR(255) NOT NULL);
    INSERT INTO oauth_users VALUES ('u', 'k3y');
    INSERT INTO conversations VALUES
        ('0188d9c2-af00-4fff-8102-030405060708', 'Looms', '2024-01-01 10:00:00.000000', '2024-01-02 10:00:00.250000', 1),
        ('second', NULL, '2024-01-01 11:00:00.000000', NULL, 0),
        ('third', '', '2024-01-01 12:00:00.000000', NULL, 1);
    INSERT INTO messages VALUES
        ('m1', 'second', 'user', 'Hello, loom', '2024-01-01 10:00:01.000000', NULL, NULL),
        ('m2', 'second', 'assistant', 'Hi', '2024-01-01 10:00:02.000000', '{\"a\": 1}', '{\"tokens\": 3, \"none\": null}'),
        ('m3', 'third', 'user', '', '2024-01-01 10:00:03.000000', '', 'no json'),
        ('m4', 'third', 'user', 'x', '2024-01-01 10:00:04.000000', NULL, '[1, 2]'),
        ('m5', 'third', 'user', 'y', '2024-01-01 10:00:05.000000', NULL, '{\"original_id\": \"its own\"}'),
        ('m6', 'third', 'user', 'z', '2024-01-01 10:00:06.000000', 'null', '{}' || char(0) || 'tail');
    INSERT INTO documents VALUES
        ('d1', 'Proofs', 'All about proofs', 'text/plain', NULL, 12, NULL, NULL, '{\"pages\": 2}', '[\"a\", \"b\"]',
            '2024-01-01 10:00:00.000000', '2024-01-01 10:00:00.000000', 1),
        ('d2', 'More', 'more', 'text/plain', '/tmp/x', NULL, 'v', 'e', 'null', 'null', '2024-01-01 10:00:00.000000', NULL, 1),
        ('d3', 'Most', 'most', 'text/plain', NULL, 1, NULL, NULL, NULL, '', '2024-01-01 10:00:00.500000', NULL, 1);
    INSERT INTO document_chunks VALUES
        ('c1', 'd1', 'All', 0, 3, NULL, NULL, 0, 3, NULL, '2024-01-01 10:00:00.000000', NULL);
    INSERT INTO agent_interactions VALUES
        ('a1', 'writer', 'writes', 'task', 'in', 'out', 'w', 'simple', 1, 12.5, 40, 'second', NULL, 'completed', NULL,
            '2024-01-01 10:00:00.000000', NULL);
    INSERT INTO multimodal_content VALUES
        ('x1', 'image', 'a.png', 77, 'h', '/p', 'completed', '{\"w\": 1}', NULL, NULL, '2024-01-01 10:00:00.000000', NULL);";

const TABLES: [(&str, &str); 6] = [
    ("conversations", "Conversation"),
    ("messages", "Message"),
    ("documents", "Document"),
    ("document_chunks", "DocumentChunk"),
    ("agent_interactions", "AgentInteraction"),
    ("multimodal_content", "MultiModalContent"),
];

fn by(site: &Site, collection: &str, property: &str, value: &str) -> Json {
    let objects = site.server.objects(collection);
    let found = objects.values().find(|object| object["properties"][property] == value);
    found.unwrap_or_else(|| panic!("no {collection} with {property} {value}: {objects:?}"))["properties"]
        .clone()
}

fn flat(ran: &Ran) -> String {
    format!("{} {}", ran.out, ran.err).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A JSON text without the time of the plan, which must be there.
fn provenance(text: &Json) -> Json {
    let mut found: Json = serde_json::from_str(text.as_str().unwrap()).unwrap();
    let time = found.as_object_mut().unwrap().remove("migration_timestamp").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z') && time.as_str().unwrap().starts_with("20"), "{time}");
    found
}

#[test]
fn gremlins_arrives_with_its_defaults_and_says_where_it_is_from() {
    let site = Site::new(GREMLINS);
    let ran = run(&mut site.migrate(&["--preset", "gremlins", "--validation-sample", "10"])).exits(0);
    assert!(flat(&ran).contains("15 rows were looked up again by key"), "{ran}");
    site.has_all(&TABLES);
    let there = site.server.collections();
    assert!(
        !there.iter().any(|name| name.to_lowercase().contains("oauth")),
        "keys stay where they are: {there:?}"
    );

    let looms = by(&site, "Conversation", "title", "Looms");
    assert_eq!(looms["conversationId"], "0188d9c2-af00-4fff-8102-030405060708");
    assert_eq!((&looms["userId"], &looms["isActive"]), (&json!("unknown"), &json!(true)));
    assert_eq!(looms["updatedAt"], "2024-01-02T10:00:00.25Z");
    let from = provenance(&looms["metadata"]);
    assert_eq!(from, json!({"migrated_from_sqlite": true, "original_id": looms["conversationId"]}));
    for id in ["second", "third"] {
        assert_eq!(by(&site, "Conversation", "conversationId", id)["title"], "Untitled Conversation", "{id}");
    }
    // The application's own ids: a UUID as it is, any other as uuid5(NAMESPACE_DNS, "second").
    let objects = site.server.objects("Conversation");
    assert!(objects.contains_key("0188d9c2-af00-4fff-8102-030405060708"));
    assert!(objects.contains_key(SECOND), "{:?}", objects.keys());

    let message = |id: &str| by(&site, "Message", "messageId", id);
    assert_eq!((&message("m1")["toolCalls"], &message("m3")["toolCalls"]), (&json!("{}"), &json!("{}")));
    assert_eq!(message("m6")["toolCalls"], "{}");
    assert_eq!(message("m2")["toolCalls"], "{\"a\": 1}");
    assert_eq!(message("m1")["conversationId"], "second");
    assert_eq!(message("m3")["content"], "");
    for (id, more) in [
        ("m1", json!({})),
        ("m2", json!({"tokens": 3, "none": null})),
        ("m3", json!({"extra_data": "no json"})),
        ("m4", json!({"extra_data": "[1, 2]"})),
        ("m5", json!({"extra_data": "{\"original_id\": \"its own\"}"})),
        // What stands behind a NUL is kept, though SQLite's functions for JSON end there.
        ("m6", json!({"extra_data": "{}\u{0}tail"})),
    ] {
        let mut expected = json!({"migrated_from_sqlite": true, "original_id": id});
        expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(provenance(&message(id)["extraData"]), expected);
    }
    let document = by(&site, "Document", "documentId", "d1");
    assert_eq!(document["tags"], json!(["a", "b"]));
    assert_eq!(provenance(&document["metadata"])["pages"], 2);
    let other = by(&site, "Document", "documentId", "d2");
    assert!(other["tags"].is_null() && other["filePath"] == "/tmp/x", "{other}");
    assert_eq!(provenance(&other["metadata"]), json!({"migrated_from_sqlite": true, "original_id": "d2"}));
    let plain = by(&site, "Document", "documentId", "d3");
    assert!(plain["tags"].is_null() && plain["createdAt"] == "2024-01-01T10:00:00.5Z", "{plain}");
    let chunk = by(&site, "DocumentChunk", "chunkId", "c1");
    assert_eq!((&chunk["documentId"], &chunk["endOffset"]), (&json!("d1"), &json!(3)));
    let agent = by(&site, "AgentInteraction", "interactionId", "a1");
    assert_eq!((&agent["query"], &agent["executionTimeMs"]), (&json!("in"), &json!(12.5)));
    let media = by(&site, "MultiModalContent", "contentId", "x1");
    assert_eq!((&media["mediaType"], &media["processingResult"]), (&json!("image"), &json!("{\"w\": 1}")));

    for (object, id) in [(&chunk, "c1"), (&agent, "a1"), (&media, "x1")] {
        let found = provenance(&object["metadata"]);
        assert_eq!(
            (&found["migrated_from_sqlite"], &found["original_id"]),
            (&json!(true), &json!(id)),
            "{object}"
        );
    }

    let properties = site.server.properties("Message");
    assert_eq!(properties["content"]["indexSearchable"], true);
    assert_eq!(properties["content"]["indexFilterable"], false);
    assert_eq!(properties["conversationId"]["indexFilterable"], true);
    assert_eq!(properties["createdAt"]["indexRangeFilters"], true);
    // Verified again later, by the plan's own time.
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

/// `uuid.uuid5(uuid.NAMESPACE_DNS, "second")`
const SECOND: &str = "d921752b-ac6b-56f7-b41e-12a2879063fc";

#[test]
fn data_that_a_preset_does_not_fit_is_named_with_its_place() {
    for (change, code, said) in [
        ("DROP TABLE multimodal_content", 2, "preset gremlins, line"),
        ("ALTER TABLE messages RENAME COLUMN tool_calls TO calls", 2, "tool_calls"),
        ("UPDATE documents SET tags = '[1]' WHERE id = 'd1'", 1, "tags"),
        ("UPDATE conversations SET is_active = 7 WHERE id = 'third'", 0, "same"),
    ] {
        let site = Site::new(GREMLINS);
        site.source().execute_batch(&format!("PRAGMA foreign_keys = OFF; {change}")).unwrap();
        let ran = run(&mut site.migrate(&["--preset", "gremlins"])).exits(code);
        assert!(flat(&ran).contains(said), "{change}: {ran}");
        if code != 0 {
            assert_eq!(site.server.collections(), Vec::<String>::new(), "{change}");
        }
    }
}

#[test]
fn cortex_core_keeps_its_uuids() {
    let site = Site::new(
        "CREATE TABLE users(user_id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, metadata_json TEXT);
         CREATE TABLE workspaces(id TEXT PRIMARY KEY, name TEXT, description TEXT, owner_id TEXT, metadata_json TEXT);
         CREATE TABLE conversations(id TEXT PRIMARY KEY, workspace_id TEXT, topic TEXT, participant_ids_json TEXT, metadata_json TEXT);
         CREATE TABLE messages(id TEXT PRIMARY KEY, conversation_id TEXT, sender_id TEXT, content TEXT, timestamp TEXT, metadata_json TEXT);
         INSERT INTO users VALUES ('ada', 'Ada', 'a@x', '{}');
         INSERT INTO workspaces VALUES ('00000001-0000-4000-8000-000000000001', 'W', 'about', 'ada', '{}');
         INSERT INTO conversations VALUES ('00000002-0000-4000-8000-000000000001', '00000001-0000-4000-8000-000000000001', 'T', '[\"ada\"]', '{}');
         INSERT INTO messages VALUES ('00000003-0000-4000-8000-000000000001', '00000002-0000-4000-8000-000000000001', 'ada', 'hello', '2024-02-01T10:00:00', '{}');",
    );
    run(&mut site.migrate(&["--preset", "cortex-core-weaviate"])).exits(0);
    site.has_all(&[
        ("users", "User"),
        ("workspaces", "Workspace"),
        ("conversations", "Conversation"),
        ("messages", "Message"),
    ]);
    let message = &site.server.objects("Message")["00000003-0000-4000-8000-000000000001"]["properties"];
    assert_eq!(message["conversation_id"], "00000002-0000-4000-8000-000000000001");
    assert_eq!(message["message_id"], "00000003-0000-4000-8000-000000000001");
    assert_eq!(message["timestamp"], "2024-02-01T10:00:00Z");
    let conversation = by(&site, "Conversation", "topic", "T");
    assert_eq!(conversation["participant_ids"], json!(["ada"]));
    assert!(site.server.objects("User").contains_key(ADA));
}

/// `uuid.uuid5(uuid.NAMESPACE_DNS, "User" + "ada")`
const ADA: &str = "78e63871-135d-5046-9c67-29f35b870fcf";
