//! Collections that somebody else makes under the names of a run's: they are neither filled nor dropped.

use crate::common::run;
#[cfg(feature = "failpoints")]
use crate::common::{Ran, Running};
use crate::server::Site;
use serde_json::json;
#[cfg(feature = "failpoints")]
use std::time::{Duration, Instant};
#[cfg(feature = "failpoints")]
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::Liar;

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

#[test]
fn what_went_with_its_collection_is_copied_again() {
    let site = Site::new(
        "CREATE TABLE tags(id INTEGER PRIMARY KEY); INSERT INTO tags VALUES (1);
         CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) INSERT INTO items SELECT i, 'item ' || i FROM n;",
    );
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    let stores = ["--from", "sqlite:app.db", "--to", &site.by(&line)];
    // Everything is there, and it does not end.
    line.miscount("Tags", 1);
    run(site.program(&["migrate", "--on-failure", "keep", "--batch-size", "100"]).args(stores)).exits(1);
    line.miscount("", 0);
    assert_eq!(site.server.rest("DELETE", "/v1/schema/Items", "").0, 200);
    let ran = run(site.program(&["resume"]).args(stores)).exits(0);
    // Nothing is left to be mended row by row.
    assert_eq!(ran.err.matches("verify: begins").count(), 1, "{ran}");
    site.has_all(&[("items", "Items"), ("tags", "Tags")]);
    run(&mut site.verb("rollback")).exits(0);
}

/// No batch takes so long to be sent.
#[cfg(feature = "failpoints")]
const PATIENCE: Duration = Duration::from_secs(60);

/// A run that is killed while a batch of it is held, on a server that makes collections by itself; its rollback, during which that batch
/// comes, with failpoints.
#[cfg(feature = "failpoints")]
fn taken_back_with_a_late_batch(places: &str) -> (Weaviate, Site, Ran) {
    let server = Weaviate::builder().setting("AUTOSCHEMA_ENABLED", "true").start().unwrap();
    let site = Site::at((*server).clone(), |source| source.execute_batch(ROWS).unwrap());
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    let stores = ["--from", "sqlite:app.db", "--to", &site.by(&line)];
    line.hold_next("Items");
    let running = Running::start(site.program(&["migrate"]).args(stores));
    let awaits = |is_so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "no batch was sent, or carried out");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    awaits(&|| line.is_holding());
    running.signal("KILL");
    running.end().was_killed();
    let rollback = Running::start(site.program(&["rollback"]).args(stores).env("FAILPOINTS", places));
    // What is tested: it comes when the collection would have been dropped.
    std::thread::sleep(Duration::from_millis(1500));
    line.release();
    awaits(&|| line.is_carried_out());
    let ran = rollback.end();
    (server, site, ran)
}

#[cfg(feature = "failpoints")]
#[test]
fn what_a_dead_process_had_under_way_makes_no_collection_behind_a_rollback() {
    let (_server, site, ran) = taken_back_with_a_late_batch("discard-soon-ms=return(3000)");
    ran.exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[cfg(feature = "failpoints")]
#[test]
fn a_collection_that_a_late_request_made_anew_is_not_forgotten() {
    let (_server, site, ran) =
        taken_back_with_a_late_batch("discard-soon-ms=return(0);discard-dropped=sleep(3000)");
    ran.exits(1).says("the collection Items is on record as the run's");
    assert_eq!(site.server.count("Items"), 2);
    assert_eq!(site.server.rest("DELETE", "/v1/schema/Items", "").0, 200);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

/// What a dead process asked for before it died may be done between the drop and the second look.
#[cfg(feature = "failpoints")]
#[test]
fn a_collection_of_the_runs_own_that_a_late_request_makes_is_dropped_too() {
    let site = Site::new(ROWS);
    run(site.migrate(&[]).env("FAILPOINTS", "prepare-after-commit=return")).was_killed();
    let definition = site.server.rest("GET", "/v1/schema/Items", "").1.to_string();
    let rollback = Running::start(
        site.verb("rollback").env("FAILPOINTS", "discard-soon-ms=return(0);discard-dropped=sleep(4000)"),
    );
    let begun = Instant::now();
    while site.server.collections().iter().any(|name| name == "Items" || name == "Tags") {
        assert!(begun.elapsed() < PATIENCE, "it drops nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(site.server.rest("POST", "/v1/schema", &definition).0, 200);
    rollback.end().exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}
