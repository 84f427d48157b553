//! Several runs on one server, each of another folder: none mends, forgets or takes back what is another's.

use crate::common::run;
use crate::existing::{SOURCE, said};
use crate::server::Site;
use serde_json::json;

/// Two values that the server does not hold, so that each run has a quarantine of its own of the same rows.
const ONE: &str = "CREATE TABLE items(id INTEGER PRIMARY KEY, score REAL);
    INSERT INTO items VALUES (1, 1e999), (2, 2.5);";
const OTHER: &str = "CREATE TABLE items(id INTEGER PRIMARY KEY, score REAL);
    INSERT INTO items VALUES (1, -1e999), (2, 2.5), (3, 1e999);";

fn named(site: &Site, collection: &str) {
    let mapping = format!("[table.items]\nto = '{collection}'");
    std::fs::write(site.folder.path().join("switchover.toml"), mapping).unwrap();
}

/// Two sites on one server, with a finished run each.
fn two() -> (Site, Site) {
    let one = Site::new(ONE);
    let other = Site::at(one.server.0.clone(), |source| source.execute_batch(OTHER).unwrap());
    for (site, collection) in [(&one, "One"), (&other, "Other")] {
        named(site, collection);
        run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    }
    (one, other)
}

#[test]
fn a_run_is_verified_mended_and_accepted_by_its_own_records() {
    let (one, other) = two();
    for site in [&one, &other] {
        run(&mut site.verb("verify")).exits(0);
    }
    run(one.verb("verify").arg("--repair")).exits(0);
    let ran = run(&mut other.verb("verify")).exits(0);
    assert!(ran.out.contains("2 values in quarantine"), "{ran}");
    run(one.verb("cleanup").arg("--yes")).exits(0);
    // What went to quarantine is no longer known, which is no difference.
    run(&mut one.verb("verify")).exits(2).says("no longer on record");
    let ran = run(&mut other.verb("verify")).exits(0);
    assert!(ran.out.contains("2 values in quarantine"), "{ran}");
    run(&mut other.verb("rollback")).exits(0);
    assert_eq!(one.server.collections(), ["One"], "the last run's records go with it");
}

/// A collection that was there is filled beside what other runs made, and refused where another run has it.
#[test]
fn a_collection_that_was_there_is_filled_beside_other_runs() {
    let (one, other) = two();
    let filled = Site::at(one.server.0.clone(), |source| source.execute_batch(ONE).unwrap());
    let property = |name: &str, kind: &str| json!({ "name": name, "dataType": [kind] });
    let class = json!({ "class": "Third", "vectorizer": "none", "properties": [property("original_id", "int"), property("score", "number")] });
    assert_eq!(one.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
    named(&filled, "Third");
    run(&mut filled.migrate(&["--into", "existing", "--policy", "quarantine"])).exits(0);
    assert_eq!(one.server.count("Third"), 2);
    named(&filled, "Other");
    run(filled.migrate(&["--into", "existing", "--policy", "quarantine"]).args(["--state-dir", "another"]))
        .exits(1);
    named(&filled, "Third");
    run(&mut filled.verb("rollback")).exits(0);
    assert_eq!((one.server.count("Third"), one.server.count("One")), (0, 2));
    for site in [&one, &other] {
        run(&mut site.verb("verify")).exits(0);
        run(&mut site.verb("rollback")).exits(0);
    }
    assert_eq!(one.server.collections(), ["Third"]);
}

#[test]
fn what_the_application_wrote_since_is_seen_whichever_run_is_taken_back() {
    let (one, other) = two();
    for collection in ["One", "Other"] {
        let object = json!({ "class": collection, "properties": { "score": 7.5 } });
        assert_eq!(one.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    }
    for site in [&one, &other] {
        let ran = run(&mut site.verb("rollback")).exits(1);
        assert!(ran.err.contains("the stores differ now in 1 row:"), "{ran}");
    }
    assert_eq!((one.server.count("One"), one.server.count("Other")), (3, 4));
    for site in [&one, &other] {
        run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
    }
    assert_eq!(one.server.collections(), Vec::<String>::new());
}

/// Without the word for it a rollback throws no object away that it cannot tell from the run's, and says which one that is.
#[test]
fn an_object_with_another_s_key_is_named_with_the_way_out() {
    let (one, _other) = two();
    let id = "00000000-0000-4000-8000-0000000000ff";
    let object = json!({ "class": "One", "id": id, "properties": { "original_id": 2, "score": 7.5 } });
    assert_eq!(one.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    let ran = run(&mut one.verb("verify")).exits(1);
    assert!(ran.out.contains("2 of another object") && ran.out.contains(id), "{ran}");
    let ran = run(&mut one.verb("rollback")).exits(1);
    assert!(ran.err.contains("--discard-target-changes"), "{ran}");
    run(one.verb("rollback").arg("--discard-target-changes")).exits(0);
}

/// Behind a cleanup another run may have the same collection on record, which says nothing of the first one's.
#[test]
fn a_run_that_was_accepted_is_not_verified_or_mended_by_the_next_one_of_its_collection() {
    let one = Site::new(ONE);
    let other = Site::at(one.server.0.clone(), |source| source.execute_batch(OTHER).unwrap());
    let of = |site: &Site, tenant: &str, arguments: &[&str]| {
        let url = format!("{}&tenant={tenant}", one.server.0.url());
        let mut command = site.program(arguments);
        command.args(["--from", "sqlite:app.db", "--to", &url]);
        command
    };
    let ada = |arguments: &[&str]| run(&mut of(&one, "ada", arguments));
    let bob = |arguments: &[&str]| run(&mut of(&other, "bob", arguments));
    ada(&["migrate", "--policy", "quarantine"]).exits(0);
    ada(&["cleanup", "--yes"]).exits(0);
    assert_eq!(one.server.rest("POST", "/v1/schema/Items/tenants", r#"[{"name":"bob"}]"#).0, 200);
    bob(&["migrate", "--into", "existing", "--policy", "quarantine"]).exits(0);
    let records = one.server.objects("Switchover_record");
    for arguments in [&["verify"][..], &["verify", "--repair"], &["verify", "--sample", "2"]] {
        ada(arguments).exits(2).says("no longer on record");
    }
    assert_eq!(one.server.objects("Switchover_record"), records);
    let ran = bob(&["verify"]).exits(0);
    assert!(ran.out.contains("2 values in quarantine"), "{ran}");
    bob(&["cleanup", "--yes"]).exits(0);
    ada(&["verify"]).exits(2).says("no longer on record");
}

/// The objects of a run that was accepted were there before the next run, whichever of the two is asked.
#[test]
fn a_repair_of_a_run_that_was_accepted_touches_nothing_of_the_next_one() {
    let one = Site::filled();
    run(&mut one.fill("replace")).exits(0);
    run(one.verb("cleanup").arg("--yes")).exits(0);
    let before = one.server.objects("Note");
    let other = Site::at(one.server.0.clone(), |source| {
        let more =
            "INSERT INTO notes SELECT id + 1000, 'more ' || id, score, made, embedding, raw FROM notes";
        source.execute_batch(&format!("{SOURCE} {more}; DELETE FROM notes WHERE id < 1000")).unwrap();
    });
    std::fs::copy(one.folder.path().join("switchover.toml"), other.folder.path().join("switchover.toml"))
        .unwrap();
    run(&mut other.fill("replace")).exits(0);
    let now = one.server.objects("Note");
    assert_eq!(now.len(), before.len() + 200);
    for arguments in [&[][..], &["--repair"]] {
        run(one.verb("verify").args(arguments)).exits(2).says("no longer on record");
        assert!(one.server.objects("Note") == now);
    }
    run(&mut other.verb("verify")).exits(0);
    run(&mut other.verb("rollback")).exits(0);
    assert_eq!(said(&one.server.objects("Note")), said(&before));
    assert_eq!(one.server.collections(), ["Note"]);
}

/// Who has no journal verifies by a plan of now, and by the records of the run that made the collections.
#[test]
fn a_run_whose_folder_is_not_there_is_verified_by_its_records() {
    let (one, _other) = two();
    let ran = run(one.verb("verify").args(["--policy", "quarantine", "--state-dir", "another"])).exits(0);
    assert!(ran.out.contains("1 value in quarantine"), "{ran}");
}

/// A run that died before it made its collection takes what comes to stand under the name for its own.
#[cfg(feature = "failpoints")]
#[test]
fn a_name_that_another_run_has_on_record_is_refused() {
    let one = Site::new(
        "CREATE TABLE items(id INTEGER PRIMARY KEY, note TEXT); INSERT INTO items VALUES (1, 'a');",
    );
    let other = Site::at(one.server.0.clone(), |source| {
        source
            .execute_batch("CREATE TABLE items(id INTEGER PRIMARY KEY); INSERT INTO items VALUES (7)")
            .unwrap();
    });
    run(one.migrate(&[]).env("FAILPOINTS", "collections-recorded=return")).was_killed();
    assert!(!one.server.collections().contains(&"Items".to_owned()));
    let ran = run(&mut other.migrate(&[])).exits(2);
    assert!(ran.err.contains("has the collection Items on record"), "{ran}");
    run(&mut one.verb("resume")).exits(0);
    assert_eq!(one.server.count("Items"), 1);
    run(&mut one.verb("rollback")).exits(0);
    run(&mut other.migrate(&[])).exits(0);
    run(&mut other.verb("rollback")).exits(0);
    assert_eq!(one.server.collections(), Vec::<String>::new());
}
