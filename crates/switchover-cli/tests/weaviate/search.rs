//! `search`: what it finds, its times, and what it says where a collection cannot answer.

use crate::common::run;
use crate::server::Site;
use serde_json::Value as Json;

const SOURCE: &str = "
    CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT, made DATETIME);
    CREATE TABLE vectors(id INTEGER PRIMARY KEY, name TEXT, v TEXT);
    INSERT INTO notes VALUES (1, 'the analytical engine weaves patterns', '2024-01-01 00:00:00'),
        (2, 'a loom weaves flowers', '2024-01-02 00:00:00'), (3, 'nothing of the kind', NULL);
    INSERT INTO vectors VALUES (1, 'east', '[1, 0, 0]'), (2, 'north', '[0, 1, 0]'), (3, 'up', '[0, 0, 1]');";

const MAPPING: &str = "
    [table.notes]
    to = 'Note'
    [table.notes.column]
    body.searchable = true
    [table.vectors]
    to = 'Place'
    [table.vectors.column]
    name.searchable = true
    v.type = 'vector'";

#[test]
fn words_and_vectors_find_what_was_moved() {
    let site = Site::new(SOURCE);
    std::fs::write(site.folder.path().join("switchover.toml"), MAPPING).unwrap();
    std::fs::write(site.folder.path().join("north.json"), "[0.1, 0.9, 0]").unwrap();
    let ran = run(&mut site.search(&["x", "--in", "Note"])).exits(2);
    assert!(ran.err.contains("no collection 'Note'"), "{ran}");
    run(&mut site.migrate(&[])).exits(0);

    let ran = run(&mut site.search(&["analytical engine", "--in", "Note"])).exits(0);
    assert!(ran.out.starts_with("found 1 object in Note (body)\n  first answer "), "{ran}");
    assert!(ran.out.contains("the analytical engine weaves") && ran.out.contains("score "), "{ran}");
    let ran = run(&mut site.search(&["weaves", "--in", "Note", "--bm25", "--json"])).exits(0);
    let found: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["objects"].as_array().unwrap().len(), 2);
    assert!(
        found["first_ms"].as_f64().unwrap() > 0.0 && found["searched"] == serde_json::json!(["body"]),
        "{found}"
    );
    let ran = run(&mut site.search(&["weaves", "--in", "Note", "--limit", "1", "--json"])).exits(0);
    assert_eq!(serde_json::from_str::<Json>(&ran.out).unwrap()["objects"].as_array().unwrap().len(), 1);
    let ran = run(&mut site.search(&["zebra", "--in", "Note"])).exits(0);
    assert!(ran.out.starts_with("found nothing in Note"), "{ran}");

    let near = ["--in", "Place", "--near-vector", "north.json", "--limit", "1"];
    let ran = run(&mut site.search(&near)).exits(0);
    assert!(ran.out.contains("north") && ran.out.contains("distance 0."), "{ran}");
    let ran = run(&mut site.search(&[&["up", "--hybrid", "--json"], &near[..4]].concat())).exits(0);
    let found: Json = serde_json::from_str(&ran.out).unwrap();
    let names: Vec<&str> = found["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["properties"]["name"].as_str().unwrap())
        .collect();
    assert!(names[..2].contains(&"up") && names[..2].contains(&"north"), "{found}");
}

#[test]
fn what_cannot_be_searched_says_what_to_do() {
    let site = Site::new(SOURCE);
    run(&mut site.migrate(&[])).exits(0);
    std::fs::write(site.folder.path().join("v.json"), "[1]").unwrap();
    for (arguments, said) in [
        (&["x", "--in", "Notes"][..], "none of its properties is searchable"),
        (&["x", "--in", "Notes"], "write `searchable = true` for a column of texts"),
        (&["x", "--in", "notes"], "did you mean 'Notes'?"),
        (&["--in", "Notes"], "neither words nor a vector"),
        (&["--in", "Notes", "--hybrid"], "--hybrid needs words"),
        (&["--in", "Notes", "--near-vector", "none.json"], "none.json"),
        (&["x", "--in", "Notes", "--near-vector", "v.json"], "words and a vector are given"),
    ] {
        let ran = run(&mut site.search(arguments)).exits(2);
        let said_all = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said_all.contains(said), "{arguments:?}: {ran}");
    }
    std::fs::write(
        site.folder.path().join("switchover.toml"),
        "[table.notes.column]\nbody.searchable = true",
    )
    .unwrap();
    run(&mut site.verb("rollback")).exits(0);
    run(&mut site.migrate(&[])).exits(0);
    let ran = run(&mut site.search(&["x", "--in", "Notes", "--hybrid"])).exits(2);
    assert!(ran.err.contains("makes no vectors of words"), "{ran}");
}
