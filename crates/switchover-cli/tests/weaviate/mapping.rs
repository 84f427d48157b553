//! What a mapping says of objects: the names of ids, and how a property is found.

use crate::common::{program, run};
use crate::server::Site;

const SOURCE: &str = "
    CREATE TABLE notes(id TEXT PRIMARY KEY, title TEXT, body TEXT, n INTEGER, at DATETIME);
    CREATE TABLE plain(id INTEGER PRIMARY KEY, kind TEXT);
    CREATE INDEX by_kind ON plain(kind);
    INSERT INTO notes VALUES ('0188d9c2-af00-7fff-0102-030405060708', 'One Two', printf('%.200c', 'x'), 7, '2024-01-01 00:00:00');
    INSERT INTO plain VALUES (42, 'a');";

fn with(site: &Site, toml: &str) {
    std::fs::write(site.folder.path().join("switchover.toml"), toml).unwrap();
}

/// As Python says it: `uuid.uuid5(uuid.NAMESPACE_DNS, "my-app" + "0188d9c2-af00-7fff-0102-030405060708")`.
const IN_MY_APP: &str = "9cde79f4-7156-5fce-a5f1-66a37ff78938";

/// `uuid.uuid5(uuid.NAMESPACE_DNS, "42")`
const IN_NONE: &str = "7c411b5e-9d3f-50b5-9c28-62096e41c4ed";

#[test]
fn ids_and_indexes_are_those_of_the_mapping() {
    let site = Site::new(SOURCE);
    with(
        &site,
        "[table.notes]
         to = 'Note'
         object = { namespace = 'my-app', keep_uuid = false }
         [table.notes.column]
         id.type = 'uuid'
         title = { searchable = true, filterable = true, tokenization = 'whitespace' }
         body = { searchable = true, tokenization = 'trigram' }
         n = { range = true }
         at = { filterable = true }
         [table.plain]
         object.namespace = ''
         [table.plain.column]
         kind.filterable = false",
    );
    let planned = run(&mut site.migrate(&["--dry-run"])).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new(), "a plan writes nothing");
    let said = planned.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for cost in [
        "body (body searchable); costs about",
        "% of the time of a load without indexes, as measured with texts of 250 bytes",
        "at (at filterable); costs about",
        "n (n range filters); costs little of the load's time",
    ] {
        assert!(said.contains(cost), "{cost}: {planned}");
    }
    assert!(said.contains("the mapping switches it off: kind filterable"), "{planned}");
    run(&mut site.migrate(&["--validation-sample", "10"])).exits(0);
    let uuid = "0188d9c2-af00-7fff-0102-030405060708";
    let notes = site.server.objects("Note");
    assert_eq!(notes[IN_MY_APP]["properties"]["original_id"], uuid);
    assert!(site.server.objects("Plain").contains_key(IN_NONE), "as the client's helper without a namespace");
    let found = |collection: &str, name: &str| {
        let property = site.server.properties(collection)[name].clone();
        let on = |what: &str| property[what].as_bool().unwrap_or(false);
        (
            on("indexFilterable"),
            on("indexSearchable"),
            on("indexRangeFilters"),
            property["tokenization"].clone(),
        )
    };
    assert_eq!(found("Note", "title"), (true, true, false, "whitespace".into()));
    assert_eq!(found("Note", "body"), (false, true, false, "trigram".into()));
    assert_eq!((found("Note", "n").0, found("Note", "n").2), (false, true));
    assert_eq!((found("Note", "at").0, found("Note", "at").2), (true, false));
    assert!(!found("Plain", "kind").0);
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
}

#[test]
fn what_does_not_fit_is_named_with_its_line() {
    let site = Site::new(SOURCE);
    for (toml, said) in [
        (
            "[table.notes.column]\nn.searchable = true",
            "line 2: table.notes.column.n.searchable: a property of type bigint has no words to find",
        ),
        (
            "[table.notes.column]\n\ntitle.range = true",
            "line 3: table.notes.column.title.range: a property of type text is in no range",
        ),
        (
            "[table.notes.column]\nat.tokenization = 'word'",
            "at.tokenization: a property of type timestamp has no words",
        ),
        (
            "[table.plain.object]\nkeep_uuid = true",
            "line 2: table.plain.object.keep_uuid: the table has no primary key of one column of type uuid or text",
        ),
    ] {
        with(&site, toml);
        let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
        let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(all.contains(said), "{said}: {ran}");
    }
    // Another kind of target has no objects.
    with(&site, "[table.notes]\nobject.namespace = 'x'\n[table.notes.column]\ntitle.searchable = true");
    let arguments = ["migrate", "--from", "sqlite:app.db", "--to", "sqlite:new.db", "--dry-run"];
    let ran = run(&mut program(site.folder.path(), &arguments)).exits(1);
    let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "line 2: table.notes.object: only Weaviate has objects",
        "line 4: table.notes.column.title.searchable: only",
    ] {
        assert!(all.contains(said), "{said}: {ran}");
    }
}

#[test]
fn names_that_an_editor_put_into_a_plan_are_held_against_the_servers_rules() {
    let site = Site::new(
        "CREATE TABLE items(id INTEGER PRIMARY KEY, note TEXT, parent INTEGER REFERENCES items(id));
         INSERT INTO items VALUES (1, 'a', 1), (2, 'a', 1)",
    );
    with(&site, "[table.items.column]\nparent.reference = 'of'");
    let url = site.server.0.url();
    run(&mut site.program(&["plan", "--from", "sqlite:app.db", "--to", &url, "--out", "plan.json"])).exits(0);
    let path = site.folder.path().join("plan.json");
    let plan: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (pointer, name) in [
        // The server would call it `Lower`, and nobody would find it again.
        ("/tables/0/target", "lower"),
        ("/tables/0/target", "Switchover_lock_x"),
        ("/tables/0/columns/1/target", "id"),
        ("/tables/0/columns/1/target", "Note"),
        // The name of the reference.
        ("/tables/0/columns/1/target", "of"),
    ] {
        let mut edited = plan.clone();
        *edited.pointer_mut(pointer).unwrap() = name.into();
        std::fs::write(&path, edited.to_string()).unwrap();
        let ran = run(&mut site.migrate(&["--plan", "plan.json"])).exits(1);
        assert!(ran.err.contains(name) && ran.err.contains("the plan was edited"), "{name}: {ran}");
        assert_eq!(site.server.collections(), Vec::<String>::new(), "{name}");
    }
    // A codec by which the server would round what is large.
    let mut edited = plan.clone();
    let column = edited.pointer_mut("/tables/0/columns/0").unwrap().as_object_mut().unwrap();
    column.insert("codec".into(), "int".into());
    column.remove("form");
    std::fs::write(&path, edited.to_string()).unwrap();
    let ran = run(&mut site.migrate(&["--plan", "plan.json"])).exits(1);
    assert!(ran.err.contains("its codec is not the one that the target has"), "{ran}");
    // A key that two rows share: they would be one object.
    let mut edited = plan.clone();
    *edited.pointer_mut("/tables/0/primary_key/columns").unwrap() = serde_json::json!(["note"]);
    edited.pointer_mut("/tables/0/foreign_keys").unwrap().as_array_mut().unwrap().clear();
    std::fs::write(&path, edited.to_string()).unwrap();
    let ran = run(&mut site.migrate(&["--plan", "plan.json"])).exits(1);
    assert!(ran.err.contains("its note occurs in an earlier row"), "{ran}");
    assert_eq!(site.server.collections(), Vec::<String>::new());
}
