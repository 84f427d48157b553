//! `bench queries` against a server: the same answers by id, by the newest of a parent and by words; and what it says of
//! properties that cannot be asked by.

use crate::CHAT;
use crate::common::run;
use crate::server::Site;
use serde_json::Value as Json;

const MAPPING: &str = "
    [table.messages.column]
    content = { searchable = true }";

fn ask(site: &Site, more: &[&str]) -> crate::common::Ran {
    let url = site.server.0.url();
    let first =
        ["bench", "queries", "--from", "sqlite:app.db", "--to", &url, "--seconds", "0.3", "--samples", "50"];
    run(&mut site.program(&[&first, more].concat()))
}

#[test]
fn a_server_gives_the_answers_of_the_file() {
    let site = Site::new(CHAT);
    // The chat's words are few, and each stands in many messages.
    site.source()
        .execute_batch("UPDATE messages SET content = content || ' ' || CASE id % 97 WHEN 1 THEN 'Weaving' WHEN 2 THEN 'flowers!' ELSE 'looms' END")
        .unwrap();
    std::fs::write(site.folder.path().join("switchover.toml"), MAPPING).unwrap();
    run(&mut site.migrate(&[])).exits(0);
    let ran = ask(&site, &["--json"]).exits(0);
    let report: Json = serde_json::from_str(&ran.out).unwrap();
    let lookups = report["lookups"].as_array().unwrap();
    let kinds: Vec<&str> = lookups.iter().map(|lookup| lookup["lookup"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["by id", "latest", "words"], "{report}");
    for lookup in lookups {
        assert_eq!(lookup["target_table"], "Messages");
        for one in lookup["timed"].as_array().unwrap() {
            assert!(
                one["answers"].as_u64().unwrap() > 0 && one["differing"] == 0 && one["errors"] == 0,
                "{lookup}"
            );
        }
    }
    // One that changed there is seen.
    let changed = site.server.objects("Conversations").into_keys().next().unwrap();
    site.server.patch("Conversations", &changed, r#"{"title":"another"}"#);
    let ran = ask(&site, &["--table", "conversations", "--clients", "16"]).exits(1);
    assert!(ran.out.starts_with("DIFFERENT: the stores gave different answers"), "{ran}");
}

#[test]
fn what_has_no_index_there_is_not_asked_by() {
    let site = Site::new(
        "CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p, body TEXT);
        INSERT INTO p VALUES (1, 'one'); INSERT INTO c VALUES (1, 1, 'weaving'), (2, 1, 'patterns')",
    );
    run(&mut site.migrate(&[])).exits(0);
    let ran = ask(&site, &[]).exits(0);
    let said = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("p is not filterable there: write `p.filterable = true`"), "{ran}");
    assert!(said.contains("body is not searchable there: write `body.searchable = true`"), "{ran}");
    assert!(said.contains("by id of c (id), 2 questions"), "{ran}");
}
