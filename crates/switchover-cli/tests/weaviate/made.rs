//! Collections that somebody else makes under the names of a run's: they are neither filled nor dropped.

#[cfg(feature = "failpoints")]
use crate::common::Running;
use crate::common::run;
use crate::server::Site;
use serde_json::json;

const ROWS: &str = "
    CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE tags(id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO items VALUES (1, 'one'), (2, 'two');
    INSERT INTO tags VALUES (1, 'a');";

impl Site {
    /// A collection as an application makes it, with an object in it.
    fn made_by_somebody(&self, collection: &str) {
        self.server.create(collection, &["mine"]);
        let object = json!({ "class": collection, "properties": { "mine": "yes" } });
        assert_eq!(self.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    }

    /// That only this collection is there, as it was made.
    #[track_caller]
    fn has_only(&self, collection: &str) {
        assert_eq!(self.server.collections(), [collection]);
        let objects: Vec<_> = self.server.objects(collection).into_values().collect();
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0]["properties"], json!({ "mine": "yes" }));
    }
}

#[test]
fn a_collection_says_which_run_made_it() {
    let site = Site::new(ROWS);
    run(&mut site.migrate(&[])).exits(0);
    let says = || site.server.rest("GET", "/v1/schema/Items", "").1["description"].clone();
    let made = says();
    assert!(made.as_str().unwrap().starts_with("Made by Switchover's run 2"), "{made}");
    // It stays true.
    run(site.verb("cleanup").arg("--yes")).exits(0);
    assert_eq!(says(), made);
}

#[test]
fn a_collection_that_took_the_place_of_the_runs_is_not_dropped() {
    let site = Site::new(ROWS);
    run(&mut site.migrate(&[])).exits(0);
    assert_eq!(site.server.rest("DELETE", "/v1/schema/Items", "").0, 200);
    site.made_by_somebody("Items");
    let back = || run(site.verb("rollback").arg("--discard-target-changes"));
    let ran = back().exits(1).says("the collection Items is on record as the run's");
    let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(site.server.count("Tags"), 1, "nothing was taken back yet");
    // Whose it is, is the user's to say: it is kept by the way that the error names.
    let (_, record) = said.split_once("remove the object ").unwrap();
    let (record, _) = record.split_once(' ').unwrap();
    let path = format!("/v1/objects/Switchover_record/{record}");
    assert_eq!(site.server.rest("DELETE", &path, "").0, 204);
    back().exits(0);
    site.has_only("Items");
}

#[test]
fn an_alias_in_the_place_of_a_collection_takes_nothing_with_it() {
    let site = Site::new(ROWS);
    run(&mut site.migrate(&[])).exits(0);
    assert_eq!(site.server.rest("DELETE", "/v1/schema/Items", "").0, 200);
    site.made_by_somebody("Items_own");
    let alias = json!({ "alias": "Items", "class": "Items_own" }).to_string();
    assert_eq!(site.server.rest("POST", "/v1/aliases", &alias).0, 200);
    let ran = run(site.verb("rollback").arg("--discard-target-changes"));
    site.server.rest("DELETE", "/v1/aliases/Items", "");
    ran.exits(0);
    site.has_only("Items_own");
}

#[cfg(feature = "failpoints")]
#[test]
fn a_collection_that_somebody_made_first_is_left_alone() {
    let site = Site::new(ROWS);
    let running = Running::start(site.migrate(&[]).env("FAILPOINTS", "collections-recorded=sleep(4000)"));
    let recorded = || {
        let (_, page) = site.server.rest("GET", "/v1/objects?class=Switchover_record", "");
        page["objects"].as_array().map_or(0, Vec::len) == 3
    };
    while !recorded() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    site.made_by_somebody("Tags");
    running.end().exits(2).says("the collection Tags is there, and the run did not make it");
    site.has_only("Tags");
}

#[cfg(feature = "failpoints")]
#[test]
fn a_collection_that_somebody_made_while_the_run_was_dead_is_left_alone() {
    for verb in ["resume", "rollback"] {
        let site = Site::new(ROWS);
        run(site.migrate(&[]).env("FAILPOINTS", "collections-recorded=return")).was_killed();
        site.made_by_somebody("Items");
        let ran = run(&mut site.verb(verb));
        assert_ne!(ran.code, Some(0), "{ran}");
        let ran =
            run(&mut site.verb("rollback")).exits(1).says("the collection Items is on record as the run's");
        assert_eq!(site.server.count("Items"), 1, "{ran}");
        assert_eq!(site.server.rest("DELETE", "/v1/schema/Items", "").0, 200);
        run(&mut site.verb("rollback")).exits(0);
        assert_eq!(site.server.collections(), Vec::<String>::new());
    }
}
