//! Into collections that are there: what does not match is refused at once, what was there comes back byte for byte, and
//! what nobody touched stays, wherever the program is killed.

use crate::common::run;
#[cfg(feature = "failpoints")]
use crate::common::{Running, case::SOON_SETTLED};
use crate::server::Site;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
#[cfg(feature = "failpoints")]
use std::time::{Duration, Instant};
#[cfg(feature = "failpoints")]
use switchover_testkit::weaviate::Liar;

pub(crate) const SOURCE: &str = "
    CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT, score REAL, made DATETIME, embedding BLOB, raw BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO notes SELECT i, 'body ' || i, i / 8.0, '2024-01-01 00:00:00', x'0000803f00000040', iif(i % 50, x'01', x'') FROM n;";

const MAPPING: &str = "
    [table.notes]
    to = 'Note'
    object.namespace = 'mine'
    [table.notes.column]
    embedding.type = 'vector'";

/// As Python says it: `[str(uuid.uuid5(uuid.NAMESPACE_DNS, "mine" + str(n))) for n in (1, 2)]`.
pub(crate) const OURS: [&str; 2] =
    ["f69b9965-49f0-55ed-ad27-25f54d44a59b", "b9d1d6f8-8743-5be5-8428-938654c20e0e"];

/// An object of an id of its own, with the key of a row.
pub(crate) const OTHER: &str = "00000000-0000-4000-8000-00000000000a";

/// No batch takes so long to be sent.
#[cfg(feature = "failpoints")]
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything of an object that a write says.
pub(crate) fn said(objects: &BTreeMap<String, Json>) -> BTreeMap<String, String> {
    let said = |object: &Json| {
        let mut object = object.clone();
        let fields = object.as_object_mut().unwrap();
        fields.remove("creationTimeUnix");
        fields.remove("lastUpdateTimeUnix");
        object.to_string()
    };
    objects.iter().map(|(id, object)| (id.clone(), said(object))).collect()
}

impl Site {
    /// A collection as an application made it: with indexes, kinds and properties of its own, and three objects, of which two have
    /// ids of ours.
    pub(crate) fn filled() -> Site {
        let site = Site::new(SOURCE);
        std::fs::write(site.folder.path().join("switchover.toml"), MAPPING).unwrap();
        let property = |name: &str, kind: &str| json!({ "name": name, "dataType": [kind] });
        let nested = json!({ "name": "extra", "dataType": ["object"], "nestedProperties": [
            { "name": "a", "dataType": ["number"] }, { "name": "b", "dataType": ["text[]"] }] });
        let class = json!({ "class": "Note", "vectorizer": "none", "invertedIndexConfig": { "bm25": { "b": 0.5, "k1": 1.5 } }, "properties": [
            property("original_id", "int"), property("body", "text"), property("score", "number"), property("made", "date"),
            property("raw", "blob"), property("place", "geoCoordinates"), property("phone", "phoneNumber"), nested, property("seen", "date[]"),
            property("big", "number[]"), property("flags", "boolean[]")] });
        assert_eq!(site.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
        let link = json!({ "name": "of", "dataType": ["Note"] });
        assert_eq!(site.server.rest("POST", "/v1/schema/Note/properties", &link.to_string()).0, 200);
        site.put(OTHER, json!({ "body": "stays", "original_id": 5 }), json!([0.1, -0.0]));
        let full = json!({ "original_id": 1, "body": "was here \u{0} \u{1F600}", "score": -0.0, "made": "2020-02-29T23:59:59.123456789+02:00",
            "raw": "AP8=", "place": { "latitude": 52.5, "longitude": 13.25 }, "phone": { "input": "+49 30 123456" },
            "extra": { "a": 5e-324, "b": ["x", ""] }, "seen": ["0001-01-01T00:00:00Z"], "big": [1.7976931348623157e308, 0.1], "flags": [],
            "of": [{ "beacon": format!("weaviate://localhost/Note/{OTHER}") }] });
        site.put(OURS[0], full, json!([0.1, 1e-45]));
        site.put(OURS[1], json!({ "original_id": 2, "body": "without a vector" }), json!(null));
        site
    }

    fn put(&self, id: &str, properties: Json, vector: Json) {
        let mut object = json!({ "class": "Note", "id": id, "properties": properties });
        if vector.is_array() {
            object["vector"] = vector;
        }
        let (status, answer) = self.server.rest("POST", "/v1/objects", &object.to_string());
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) fn fill(&self, conflict: &str) -> std::process::Command {
        self.migrate(&["--into", "existing", "--on-conflict", conflict, "--policy", "quarantine"])
    }
}

#[test]
fn what_gave_way_comes_back_byte_for_byte_and_the_rest_was_never_touched() {
    let site = Site::filled();
    let before = site.server.objects("Note");
    let schema = site.server.properties("Note");
    let ran = run(&mut site.fill("refuse")).exits(1);
    assert!(ran.err.contains("holds 3 rows already"), "{ran}");
    let ran = run(site.fill("replace").args(["--batch-size", "20", "--validation-sample", "50"])).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    let now = site.server.objects("Note");
    assert_eq!(now.len(), 201);
    assert_eq!(now[OTHER], before[OTHER]);
    assert_eq!(now[OURS[0]]["properties"]["body"], "body 1");
    assert!(now[OURS[0]]["properties"]["place"].is_null(), "replaced whole");
    assert_eq!(now[OURS[1]]["vector"], json!([1, 2]));
    run(&mut site.verb("verify")).exits(0);
    run(site.verb("verify").args(["--sample", "10"])).exits(0);
    // A second run cannot begin before this one is accepted or taken back.
    run(&mut site.fill("replace")).exits(1).says("has the collection Note on record as made or filled by it");
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(said(&site.server.objects("Note")), said(&before));
    assert_eq!(site.server.objects("Note")[OTHER], before[OTHER]);
    assert_eq!(site.server.properties("Note"), schema);
    assert_eq!(site.server.collections(), ["Note"]);
}

#[test]
fn what_is_kept_stands_and_its_rows_are_put_aside() {
    let site = Site::filled();
    let before = site.server.objects("Note");
    run(&mut site.fill("keep")).exits(0);
    let now = site.server.objects("Note");
    assert_eq!(now.len(), 201);
    for id in OURS {
        assert_eq!(now[id], before[id]);
    }
    run(&mut site.verb("verify")).exits(0);
    // The application writes an object of its own, and one that was there: neither is the run's.
    site.put("00000000-0000-4000-8000-00000000000b", json!({ "body": "new" }), json!(null));
    run(&mut site.verb("rollback")).exits(1);
    run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
    let left = site.server.objects("Note");
    assert_eq!(left.len(), 4, "an object that the run did not make stays");
    assert_eq!(said(&left)[OURS[0]], said(&before)[OURS[0]]);
}

#[test]
fn what_is_accepted_stays_and_leaves_no_record() {
    let site = Site::filled();
    run(&mut site.fill("replace")).exits(0);
    run(site.verb("cleanup").arg("--yes")).exits(0);
    assert_eq!(site.server.collections(), ["Note"]);
    assert_eq!(site.server.objects("Note").len(), 201);
    // What was there before, and what was put aside, nobody knows any more: neither equal nor different.
    run(&mut site.verb("verify")).exits(2).says("no longer on record").says("cleaned up");
}

#[test]
fn all_that_does_not_match_is_refused_at_once() {
    let site = Site::filled();
    std::fs::write(
        site.folder.path().join("switchover.toml"),
        "[table.notes]\nto = 'Note'\n[table.notes.column]\nbody.to = 'text'\nscore.type = 'text'\nembedding.to = 'extra'\nmade.to = 'body'",
    )
    .unwrap();
    let ran = run(site.fill("replace").args(["--dry-run", "--rebuild"])).exits(1);
    let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "the collection Note has no property \"text\"",
        "the property \"score\" of Note is number, and the column's values are text",
        "the property \"extra\" of Note is object, and the column's values are blob",
        "the property \"body\" of Note is text, and the column's values are date",
        "--rebuild means nothing for collections",
    ] {
        assert!(all.contains(said), "{said}: {ran}");
    }
    std::fs::write(site.folder.path().join("switchover.toml"), "[table.notes]\nto = 'Gone'").unwrap();
    let ran = run(&mut site.fill("replace")).exits(1);
    assert!(ran.err.contains("has no collection Gone"), "{ran}");
    let arguments = [
        "start",
        "--from",
        "sqlite:app.db",
        "--to",
        &site.server.0.url(),
        "--into",
        "existing",
        "--on-conflict",
        "replace",
    ];
    std::fs::write(site.folder.path().join("switchover.toml"), MAPPING).unwrap();
    site.source().execute_batch("PRAGMA journal_mode = WAL; UPDATE notes SET raw = NULL").unwrap();
    let ran = run(&mut site.program(&arguments)).exits(1);
    let all = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(all.contains("it does not fill collections that are there"), "{ran}");
    assert_eq!(site.server.objects("Note").len(), 3);
}

#[test]
fn an_object_of_our_id_that_holds_another_key_is_not_written_over() {
    let site = Site::filled();
    site.put("175953d9-954a-5187-b560-72d70f10318f", json!({ "body": "no key" }), json!(null));
    let before = site.server.objects("Note");
    let ran = run(&mut site.fill("replace")).exits(1);
    assert!(ran.err.contains("175953d9-954a-5187-b560-72d70f10318f"), "{ran}");
    assert_eq!(said(&site.server.objects("Note")), said(&before));
    assert_eq!(site.server.collections(), ["Note"]);
}

/// By its place alone nobody tells its object from the application's.
#[test]
fn a_row_without_a_key_of_its_own_is_refused_where_the_collection_was_there() {
    let site = Site::new(
        "CREATE TABLE groups(id INTEGER PRIMARY KEY); INSERT INTO groups VALUES (1);
         CREATE TABLE tags(name TEXT, of INTEGER REFERENCES groups(id), n INTEGER, PRIMARY KEY (name, of));
         INSERT INTO tags VALUES ('a', 1, 1), ('b', 1, 2);",
    );
    let toml = "[table.tags.column]\nof.reference = 'inGroup'";
    std::fs::write(site.folder.path().join("switchover.toml"), toml).unwrap();
    let property = |name: &str, kind: &str| json!({ "name": name, "dataType": [kind] });
    for (class, properties) in [
        ("Groups", json!([property("original_id", "int")])),
        (
            "Tags",
            json!([
                property("name", "text"),
                property("of", "int"),
                property("n", "int"),
                property("inGroup", "Groups")
            ]),
        ),
    ] {
        let class = json!({ "class": class, "vectorizer": "none", "properties": properties });
        assert_eq!(site.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
    }
    let into = ["--into", "existing", "--policy", "quarantine", "--on-conflict", "replace"];
    for (row, why) in [
        ("NULL, 1", "a column of its key is NULL"),
        ("CAST(x'ff' AS TEXT), 1", "a column of its key goes to quarantine"),
        ("'c', 99", "a column of its key goes to quarantine"),
    ] {
        println!("{row}");
        site.source()
            .execute_batch(&format!("PRAGMA foreign_keys = OFF; INSERT INTO tags VALUES ({row}, 3)"))
            .unwrap();
        let ran = run(&mut site.migrate(&into)).exits(1);
        let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("rowid=3") && said.contains(why), "{ran}");
        assert_eq!(site.server.collections(), ["Groups", "Tags"]);
        site.source().execute_batch("DELETE FROM tags WHERE n = 3").unwrap();
    }
    run(&mut site.migrate(&into)).exits(0);
    assert_eq!(site.server.count("Tags"), 2);
    run(&mut site.verb("rollback")).exits(0);
}

#[test]
fn a_collection_that_somebody_removed_is_said_to_be_gone_and_holds_no_rollback_up() {
    let gone = |site: &Site, collection: &str| {
        assert_eq!(site.server.rest("DELETE", &format!("/v1/schema/{collection}"), "").0, 200);
        for verb in ["verify", "rollback"] {
            let ran = run(&mut site.verb(verb)).exits(2);
            assert!(ran.err.contains(&format!("the collection {collection} is")), "{ran}");
        }
        run(site.verb("rollback").arg("--discard-target-changes"))
    };
    let site = Site::new(SOURCE);
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    gone(&site, "Notes").exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    drop(site);
    // What gave way is nowhere else, and is not thrown away by the way.
    let site = Site::filled();
    run(&mut site.fill("replace")).exits(0);
    let ran = gone(&site, "Note").exits(1);
    assert!(ran.err.contains("2 of its objects gave way"), "{ran}");
    assert_eq!(site.server.collections(), ["Switchover_before", "Switchover_record"]);
    assert_eq!(site.server.rest("DELETE", "/v1/schema/Switchover_before", "").0, 200);
    run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[cfg(feature = "failpoints")]
impl Site {
    /// A collection of which two hundred objects give way, so that their images are several pages of records; and what it holds.
    fn filled_for_pages() -> (Site, BTreeMap<String, Json>) {
        let site = Site::filled();
        run(&mut site.fill("replace")).exits(0);
        run(site.verb("cleanup").arg("--yes")).exits(0);
        site.source().execute_batch("UPDATE notes SET body = 'later ' || id").unwrap();
        let before = site.server.objects("Note");
        (site, before)
    }

    /// Another folder's run on the same server, which is done: the records of all runs stay there.
    fn beside(&self) -> Site {
        let sql = "CREATE TABLE others(id INTEGER PRIMARY KEY); INSERT INTO others VALUES (1)";
        let other = Site::at(self.server.0.clone(), |source| source.execute_batch(sql).unwrap());
        run(&mut other.migrate(&[])).exits(0);
        other
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn a_rollback_that_is_killed_while_it_forgets_deletes_nothing_that_it_put_back() {
    for verb in ["rollback", "resume"] {
        let (site, before) = Site::filled_for_pages();
        let mut killed = site.fill("replace");
        run(killed.args(["--batch-size", "5"]).env("FAILPOINTS", "before-done=return")).was_killed();
        let other = site.beside();
        run(site.verb("rollback").env("FAILPOINTS", "existing-page-forgotten=return")).was_killed();
        assert!(said(&site.server.objects("Note")) == said(&before));
        if verb == "resume" {
            // What is noted then is what is there then.
            run(&mut site.verb("resume")).exits(0);
            run(&mut site.verb("verify")).exits(0);
        }
        run(&mut site.verb("rollback")).exits(0);
        assert!(said(&site.server.objects("Note")) == said(&before), "{verb}");
        run(&mut other.verb("rollback")).exits(0);
        assert_eq!(site.server.collections(), ["Note"], "{verb}");
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn a_run_that_is_gone_on_with_behind_a_rollback_copies_what_that_deleted() {
    let site = Site::filled();
    let before = site.server.objects("Note");
    run(site.fill("replace").env("FAILPOINTS", "before-done=return")).was_killed();
    run(site.verb("rollback").env("FAILPOINTS", "existing-deleted=return")).was_killed();
    let ran = run(&mut site.verb("resume")).exits(0);
    // Nothing is left to be mended row by row.
    assert_eq!(ran.err.matches("verify: begins").count(), 1, "{ran}");
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(said(&site.server.objects("Note")), said(&before));
    assert_eq!(site.server.collections(), ["Note"]);
}

#[cfg(feature = "failpoints")]
#[test]
fn a_rollback_of_a_run_that_was_done_goes_on_after_a_kill() {
    for place in
        ["existing-deleted", "existing-restored", "existing-restorable-no-more", "existing-forgotten"]
    {
        let site = Site::filled();
        let before = site.server.objects("Note");
        run(&mut site.fill("replace")).exits(0);
        run(site.verb("rollback").env("FAILPOINTS", format!("{place}=return"))).was_killed();
        // What is taken back in part differs: that it did not before was asked by the first.
        run(&mut site.verb("rollback")).exits(0);
        assert_eq!(said(&site.server.objects("Note")), said(&before), "{place}");
        assert_eq!(site.server.collections(), ["Note"], "{place}");
    }
}

/// It is on record then that what the run wrote is being taken back, and nothing of it is.
#[cfg(feature = "failpoints")]
#[test]
fn a_rollback_that_is_killed_before_the_first_object_goes_asks_again() {
    let rows =
        "CREATE TABLE items(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO items VALUES (1, 'a'), (2, 'b')";
    for fills in [true, false] {
        let site = if fills { Site::filled() } else { Site::new(rows) };
        let collection = if fills { "Note" } else { "Items" };
        run(&mut if fills { site.fill("replace") } else { site.migrate(&[]) }).exits(0);
        run(site.verb("rollback").env("FAILPOINTS", "discard-going=return")).was_killed();
        let objects = site.server.objects(collection);
        let own = objects.keys().find(|id| !OURS.contains(&id.as_str()) && *id != OTHER).unwrap();
        site.server.patch(collection, own, r#"{"body":"written since"}"#);
        run(&mut site.verb("rollback")).exits(1).says("the stores differ now in 1 row");
        assert_eq!(site.server.objects(collection).len(), objects.len());
        run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
        assert_eq!(site.server.collections().contains(&collection.to_owned()), fills);
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn what_a_dead_process_had_under_way_is_taken_back_too() {
    // It comes while the rollback waits for it, or between its two looks.
    for places in ["discard-soon-ms=return(3000)", "discard-soon-ms=return(0);existing-put-back=sleep(3000)"]
    {
        println!("{places}");
        let site = Site::filled();
        let before = site.server.objects("Note");
        let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
        let stores = ["--from", "sqlite:app.db", "--to", &site.by(&line)];
        line.hold_next("Note");
        let mut migrate = site.program(&["migrate", "--into", "existing", "--on-conflict", "replace"]);
        let running = Running::start(migrate.args(["--policy", "quarantine"]).args(stores));
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
        let mut rollback = site.program(&["rollback"]);
        let rollback = Running::start(rollback.args(stores).env("FAILPOINTS", places));
        // What is tested: it comes when the run would have been forgotten.
        std::thread::sleep(Duration::from_millis(1500));
        line.release();
        awaits(&|| line.is_carried_out());
        rollback.end().exits(0);
        assert_eq!(said(&site.server.objects("Note")), said(&before));
        assert_eq!(site.server.collections(), ["Note"]);
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn a_cleanup_that_was_killed_is_ended_and_not_taken_back() {
    let site = Site::filled();
    // With nothing that stays there is nothing to be missed: all objects compare equal to the rows.
    assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Note/{OTHER}"), "").0, 204);
    run(&mut site.fill("replace")).exits(0);
    let mut cleanup = site.verb("cleanup");
    run(cleanup.arg("--yes").env("FAILPOINTS", "existing-forgotten=return")).was_killed();
    run(&mut site.verb("rollback")).exits(1).says("`switchover cleanup` ends that");
    assert_eq!(site.server.objects("Note").len(), 200);
    run(site.verb("cleanup").arg("--yes")).exits(0);
    assert_eq!(site.server.collections(), ["Note"]);
    run(&mut site.verb("rollback")).exits(1).says("it was accepted");
    assert_eq!(site.server.objects("Note").len(), 200);
}

#[cfg(feature = "failpoints")]
#[test]
fn a_collection_that_another_run_fills_is_refused() {
    let site = Site::filled();
    let before = site.server.objects("Note");
    // It planned when nobody was there, and comes back when somebody is.
    run(site.fill("replace").env("FAILPOINTS", "prepare-before-commit=return")).was_killed();
    let other = Site::at(site.server.0.clone(), |source| source.execute_batch(SOURCE).unwrap());
    std::fs::write(other.folder.path().join("switchover.toml"), MAPPING).unwrap();
    run(&mut other.fill("replace")).exits(0);
    run(&mut site.verb("resume")).exits(2).says("has the collection Note on record");
    run(&mut other.verb("verify")).exits(0);
    run(&mut other.verb("rollback")).exits(0);
    assert_eq!(said(&site.server.objects("Note")), said(&before));
    assert_eq!(site.server.collections(), ["Note"]);
}

/// Places of a run into a collection that was there; the first before anything is noted.
#[cfg(feature = "failpoints")]
const PLACES: [&str; 13] = [
    "prepare-before-commit=return",
    "existing-before-notes=return",
    "existing-images-noted=return",
    "existing-noted=return",
    "prepare-after-commit=return",
    "existing-claimed=return",
    "existing-claimed=2*off->return",
    "copy-before-commit=return",
    "copy-before-commit=2*off->return",
    "copy-after-commit=2*off->return",
    "after-copy=return",
    "after-build=return",
    "before-done=return",
];

#[cfg(feature = "failpoints")]
fn killed_at(place: &str) -> (Site, BTreeMap<String, Json>) {
    let site = Site::filled();
    let before = site.server.objects("Note");
    let mut killed = site.fill("replace");
    run(killed.env("SWITCHOVER_TEST_CHUNK_BYTES", "2048").env("FAILPOINTS", place)).was_killed();
    (site, before)
}

#[cfg(feature = "failpoints")]
#[test]
fn whoever_is_killed_goes_on() {
    for place in PLACES {
        println!("{place}");
        let (site, before) = killed_at(place);
        // In chunks of another size than those of which it died.
        run(&mut site.verb("resume")).exits(0);
        assert_eq!(site.server.objects("Note").len(), 201, "{place}");
        run(&mut site.verb("verify")).exits(0);
        run(&mut site.verb("rollback")).exits(0);
        assert_eq!(said(&site.server.objects("Note")), said(&before), "{place}");
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn whoever_is_killed_is_taken_back_though_that_is_killed_too() {
    let rollbacks = ["discard-before-commit", "existing-deleted", "existing-restored", "existing-forgotten"];
    for (at, place) in PLACES.iter().enumerate() {
        let (site, before) = killed_at(place);
        let during = rollbacks[at % rollbacks.len()];
        println!("{place}, then {during}");
        // Where nothing was noted or written yet, some of these places are never met.
        let settled = format!("{SOON_SETTLED};{during}=return");
        run(site.verb("rollback").env("FAILPOINTS", settled));
        run(&mut site.verb("rollback")).exits(0);
        assert_eq!(said(&site.server.objects("Note")), said(&before), "{place}");
        assert_eq!(site.server.collections(), ["Note"], "{place}");
    }
}
