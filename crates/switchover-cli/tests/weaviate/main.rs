//! SQLite to Weaviate, by the program and a real server: what arrives, what is refused, what a rollback leaves, and
//! what happens when the server or the program dies or lies.
//!
//! The server is read through its REST interface by plain HTTP, which shares nothing with the product. Its
//! collections are one set, so the tests of this file take turns.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]
#![allow(clippy::panic, clippy::allow_attributes, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod alias;
mod beside;
mod existing;
mod faults;
mod images;
mod kill;
#[cfg(feature = "failpoints")]
mod late;
mod lies;
mod lists;
mod live;
mod made;
mod mapping;
mod nested;
mod nodes;
mod options;
mod presets;
mod python;
mod queries;
mod reached;
mod references;
mod repair;
mod rights;
mod search;
mod server;
mod tenants;
mod tls;
mod touched;
mod values;
mod vectorizer;

use common::run;
use server::Site;

const CHAT: &str = "
    CREATE TABLE conversations(id INTEGER PRIMARY KEY, title TEXT, created_at DATETIME NOT NULL);
    CREATE TABLE messages(id INTEGER PRIMARY KEY, conversation_id INTEGER NOT NULL REFERENCES conversations(id),
        role TEXT NOT NULL, content TEXT NOT NULL, tokens INTEGER, score REAL, created_at DATETIME NOT NULL);
    CREATE INDEX by_conversation ON messages(conversation_id, created_at);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
    INSERT INTO conversations SELECT i, 'about ' || i, '2024-01-01 00:00:' || printf('%02d', i) FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO messages SELECT i, 1 + i % 50, iif(i % 2, 'user', 'assistant'), 'message number ' || i || ' 😀',
        iif(i % 7, i * 3, NULL), i / 8.0, strftime('%Y-%m-%d %H:%M:%S', 1704067200 + i, 'unixepoch') FROM n;";

/// The id of the first message, as Python says it: `uuid.uuid5(uuid.NAMESPACE_DNS, "Messages" + str(1))`.
const FIRST: &str = "1fd762e5-2fcc-509b-93e3-d28bbaa77154";

#[test]
fn a_chat_arrives_and_is_taken_back() {
    let site = Site::new(CHAT);
    site.server.create("Other", &["note"]);
    let ran = run(&mut site.migrate(&[])).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    assert_eq!(site.server.count("Conversations"), 50);
    let messages = site.server.objects("Messages");
    assert_eq!(messages.len(), 3000);
    let first = &messages[FIRST];
    assert_eq!(first["properties"]["original_id"], 1);
    assert_eq!(first["properties"]["content"], "message number 1 😀");
    assert_eq!(first["properties"]["created_at"], "2024-01-01T00:00:01Z");
    assert_eq!(first["properties"]["score"], 0.125);
    let seventh = messages.values().find(|object| object["properties"]["original_id"] == 7).unwrap();
    assert!(seventh["properties"]["tokens"].is_null());
    // Indexes are where the source has them.
    let properties = site.server.properties("Messages");
    assert_eq!(properties["conversation_id"]["indexFilterable"], true);
    assert_eq!(properties["created_at"]["indexRangeFilters"], true);
    assert_eq!(properties["content"]["indexSearchable"], false);
    assert_eq!(properties["content"]["indexFilterable"], false);
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.server.collections(), ["Other"]);
}

#[test]
fn what_the_application_changed_since_is_not_thrown_away() {
    let site = Site::new(CHAT);
    run(&mut site.migrate(&[])).exits(0);
    site.server.patch("Messages", FIRST, r#"{"content":"changed"}"#);
    let ran = run(&mut site.verb("verify")).exits(1);
    assert!(ran.out.contains("changed"), "{ran}");
    run(&mut site.verb("rollback")).exits(1);
    assert_eq!(site.server.count("Messages"), 3000);
    // Who migrates a second time is told of the first, and not only to remove what is there.
    let again = run(&mut site.migrate(&[])).exits(1);
    assert!(again.err.contains("`rollback` takes it back"), "{again}");
    let repaired = run(site.verb("verify").arg("--repair")).exits(0);
    assert!(repaired.out.contains("same"), "{repaired}");
    run(site.verb("cleanup").arg("--yes")).exits(0);
    assert_eq!(site.server.collections(), ["Conversations", "Messages"]);
}

#[test]
fn a_collection_that_is_there_is_left_alone() {
    let site = Site::new(CHAT);
    site.server.create("MESSAGES", &["note"]);
    let ran = run(&mut site.migrate(&[])).exits(1);
    assert!(ran.err.contains("Messages") && ran.err.contains("already"), "{ran}");
    assert_eq!(site.server.collections(), ["MESSAGES"]);
}

#[test]
fn a_dump_arrives_too() {
    let site = Site::new("");
    let dump = r#"{"version": 3, "notes": [{"id": "n1", "text": "é", "tags": ["a"], "at": "2024-01-01T00:00:00Z"}, {"id": "n2", "text": "", "tags": [], "at": null}]}"#;
    std::fs::write(site.folder.path().join("dump.json"), dump).unwrap();
    let url = site.server.0.url();
    let stores = ["--from", "json:dump.json", "--to", &url, "--exclude", "version"];
    run(site.program(&["migrate"]).args(stores)).exits(0);
    let notes = site.server.objects("Notes");
    let note = |id: &str| {
        notes.values().find(|note| note["properties"]["original_id"] == id).unwrap()["properties"].clone()
    };
    assert_eq!(
        (notes.len(), &note("n1")["text"], &note("n1")["at"]),
        (2, &"é".into(), &"2024-01-01T00:00:00Z".into())
    );
    assert_eq!(note("n1")["tags"], r#"["a"]"#, "a list that no mapping tells of stays its JSON");
    run(site.program(&["verify"]).args(stores)).exits(0);
    run(site.program(&["rollback"]).args(&stores[..4])).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}
