//! What is noted of collections that are there, where it does not all come back: a rollback deletes nothing that it cannot prove to be
//! the run's, and puts back all that the server takes.

use crate::common::run;
use crate::existing::{OTHER, OURS, said};
use crate::server::Site;
use serde_json::{Value as Json, json};
use std::process::Command;
use switchover_testkit::weaviate::Liar;

const BEFORE: &str = "Switchover_before";
const RECORDS: &str = "Switchover_record";

/// What objects refer to, and one that is gone.
const PARENT: &str = "00000000-0000-4000-8000-0000000000aa";
const GONE: &str = "00000000-0000-4000-8000-0000000000ab";

/// The id of row 3, as Python says it: `uuid.uuid5(uuid.NAMESPACE_DNS, "mine" + str(3))`.
const THIRD: &str = "9ad09728-a4ac-5bd9-84fc-3a1968c5a3c5";

impl Site {
    /// A verb over a line, which does not try again for long.
    fn over_line(&self, line: &Liar, arguments: &[&str]) -> Command {
        let mut command = self.program(arguments);
        command.args(["--from", "sqlite:app.db", "--to", &self.by(line)]);
        command.env("SWITCHOVER_MAX_RETRIES", "1").env("SWITCHOVER_RETRY_DELAY", "0.05");
        command
    }

    /// A record of that kind.
    fn record(&self, collection: &str, kind: &str) -> String {
        let records = self.server.objects(collection);
        records.iter().find(|(_, record)| record["properties"]["kind"] == kind).unwrap().0.clone()
    }

    /// [`Site::filled`], and a collection that its objects refer to.
    fn referring() -> Site {
        let site = Site::filled();
        site.server.create("Thing", &["name"]);
        let link = json!({ "name": "things", "dataType": ["Thing"] });
        assert_eq!(site.server.rest("POST", "/v1/schema/Note/properties", &link.to_string()).0, 200);
        for id in [PARENT, GONE] {
            let thing = json!({ "class": "Thing", "id": id, "properties": { "name": "a thing" } });
            assert_eq!(site.server.rest("POST", "/v1/objects", &thing.to_string()).0, 200);
        }
        site
    }

    /// An object that refers to something that is there, and twice to something that is gone.
    fn put_referring(&self, id: &str, key: u32) {
        let to = |id: &str| json!({ "beacon": format!("weaviate://localhost/Thing/{id}") });
        let object = json!({ "class": "Note", "id": id, "vector": [0.1, -0.0], "properties": {
            "original_id": key, "score": -0.0, "things": [to(GONE), to(PARENT), to(GONE)] } });
        self.server.rest("DELETE", &format!("/v1/objects/Note/{id}"), "");
        assert_eq!(self.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    }

    fn lose(&self, thing: &str) {
        assert_eq!(self.server.rest("DELETE", &format!("/v1/objects/Thing/{thing}"), "").0, 204);
    }
}

#[test]
fn a_rollback_deletes_nothing_before_all_that_was_noted_is_known() {
    for (within, kind, counted) in [
        (BEFORE, "image", 0),
        (BEFORE, "image", -1),
        (BEFORE, "wrote", 0),
        (BEFORE, "wrote", -1),
        (BEFORE, "note", -1),
        (BEFORE, "stays", 0),
        (RECORDS, "standing", -1),
        (RECORDS, "run", -1),
    ] {
        let site = Site::filled();
        let before = site.server.objects("Note");
        let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
        let mut migrate =
            site.over_line(&line, &["migrate", "--into", "existing", "--on-conflict", "replace"]);
        run(migrate.args(["--policy", "quarantine"])).exits(0);
        let now = site.server.objects("Note");
        // As a replica lists them that was away; its count may be short by as much.
        line.hide(&site.record(within, kind));
        line.miscount(within, counted);
        let ran = run(site.over_line(&line, &["rollback"]).arg("--discard-target-changes")).exits(2);
        assert!(ran.err.contains(within), "{kind} {counted}: {ran}");
        assert_eq!(said(&site.server.objects("Note")), said(&now), "{kind} {counted}");
        if kind == "stays" {
            // It is not taken for what should not be there.
            for counted in [0, -1] {
                line.miscount(BEFORE, counted);
                run(&mut site.over_line(&line, &["verify"])).exits(2);
            }
        }
        line.hide("");
        line.miscount("", 0);
        run(&mut site.over_line(&line, &["rollback"])).exits(0);
        assert_eq!(said(&site.server.objects("Note")), said(&before), "{kind} {counted}");
        assert_eq!(site.server.collections(), ["Note"]);
    }
}

#[test]
fn a_rollback_that_was_made_to_wait_asks_again_whether_the_application_wrote_since() {
    for (within, kind) in [(RECORDS, "run"), (BEFORE, "wrote")] {
        let site = Site::filled();
        let before = site.server.objects("Note");
        let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
        let mut migrate =
            site.over_line(&line, &["migrate", "--into", "existing", "--on-conflict", "replace"]);
        run(migrate.args(["--policy", "quarantine"])).exits(0);
        line.hide(&site.record(within, kind));
        line.miscount(within, -1);
        run(&mut site.over_line(&line, &["rollback"])).exits(2);
        line.hide("");
        line.miscount("", 0);
        site.server.patch("Note", THIRD, r#"{"body":"written since"}"#);
        let ran = run(&mut site.over_line(&line, &["rollback"])).exits(1);
        assert!(ran.err.contains("the stores differ now in 1 row"), "{kind}: {ran}");
        assert_eq!(site.server.objects("Note")[THIRD]["properties"]["body"], "written since", "{kind}");
        run(site.over_line(&line, &["rollback"]).arg("--discard-target-changes")).exits(0);
        assert_eq!(said(&site.server.objects("Note")), said(&before), "{kind}");
    }
}

#[test]
fn a_run_goes_on_only_when_it_knows_what_it_has_noted() {
    let site = Site::filled();
    let before = site.server.objects("Note");
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    // Everything is there, and it does not end.
    line.miscount("Note", 1);
    let mut migrate = site.over_line(&line, &["migrate", "--into", "existing", "--on-conflict", "replace"]);
    run(migrate.args(["--policy", "quarantine", "--on-failure", "keep"])).exits(1);
    assert_eq!(site.server.objects("Note")[OURS[0]]["properties"]["body"], "body 1");
    line.hide(&site.record(RECORDS, "standing"));
    line.miscount(RECORDS, -1);
    let ran = run(&mut site.over_line(&line, &["resume"])).exits(2);
    assert!(ran.err.contains(RECORDS), "{ran}");
    line.hide("");
    line.miscount("", 0);
    run(&mut site.over_line(&line, &["resume"])).exits(0);
    run(&mut site.over_line(&line, &["rollback"])).exits(0);
    assert_eq!(said(&site.server.objects("Note")), said(&before));
    assert_eq!(site.server.collections(), ["Note"]);
}

#[test]
fn a_collection_that_the_run_made_is_not_forgotten_where_its_record_is_not_listed() {
    let site = Site::new("CREATE TABLE items(id INTEGER PRIMARY KEY); INSERT INTO items VALUES (1), (2);");
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    run(&mut site.over_line(&line, &["migrate"])).exits(0);
    line.hide(&site.record(RECORDS, "collection"));
    line.miscount(RECORDS, -1);
    let ran = run(site.over_line(&line, &["rollback"]).arg("--discard-target-changes")).exits(2);
    assert!(ran.err.contains("the record of Items"), "{ran}");
    assert_eq!(site.server.count("Items"), 2);
    line.hide("");
    line.miscount("", 0);
    run(&mut site.over_line(&line, &["rollback"])).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn a_rollback_without_what_was_noted_is_refused() {
    let site = Site::filled();
    run(&mut site.fill("replace")).exits(0);
    let now = site.server.objects("Note");
    assert_eq!(site.server.rest("DELETE", &format!("/v1/schema/{BEFORE}"), "").0, 200);
    let standing = site.record("Switchover_record", "standing");
    // Whether all is the same cannot be told; and no other try would tell it.
    let verbs: [(&[&str], i32); 4] = [
        (&["verify"], 2),
        (&["verify", "--repair"], 2),
        (&["rollback"], 2),
        (&["rollback", "--discard-target-changes"], 1),
    ];
    for (arguments, code) in verbs {
        let ran = run(site.verb(arguments[0]).args(&arguments[1..])).exits(code);
        let all = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for said in ["the collection Switchover_before is gone", &*standing, "--discard-target-changes"] {
            assert!(all.contains(said), "{said}: {ran}");
        }
        assert!(!all.contains("trying again"), "{ran}");
    }
    assert_eq!(said(&site.server.objects("Note")), said(&now));
    // Who says that all stays as it is has the run forgotten.
    assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Switchover_record/{standing}"), "").0, 204);
    run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
    assert_eq!(said(&site.server.objects("Note")), said(&now));
    assert_eq!(site.server.collections(), ["Note"]);
}

#[test]
fn an_object_that_refers_to_what_is_gone_comes_back_as_it_was() {
    let site = Site::referring();
    site.put_referring(OURS[0], 1);
    site.lose(GONE);
    let before = site.server.objects("Note");
    assert_eq!(before[OURS[0]]["properties"]["things"].as_array().unwrap().len(), 3);
    run(&mut site.fill("replace")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(said(&site.server.objects("Note")), said(&before));
    assert_eq!(site.server.collections(), ["Note", "Thing"]);
}

#[test]
fn an_object_that_no_rollback_could_put_back_is_refused_before_anything_is_written() {
    let site = Site::referring();
    site.put_referring(OURS[0], 1);
    assert_eq!(site.server.rest("DELETE", "/v1/schema/Thing", "").0, 200);
    let before = site.server.objects("Note");
    let ran = run(&mut site.fill("replace")).exits(1);
    assert!(ran.err.contains(OURS[0]) && ran.err.contains("Thing"), "{ran}");
    assert_eq!(said(&site.server.objects("Note")), said(&before));
    assert_eq!(site.server.collections(), ["Note"]);
}

#[test]
fn what_cannot_be_put_back_is_named_and_holds_nothing_else_up() {
    let site = Site::referring();
    for (id, key) in [(OURS[0], 1), (THIRD, 3)] {
        site.put_referring(id, key);
    }
    let before = site.server.objects("Note");
    run(&mut site.fill("replace")).exits(0);
    assert_eq!(site.server.rest("DELETE", "/v1/schema/Thing", "").0, 200);
    let ran = run(site.verb("rollback").arg("--discard-target-changes")).exits(2);
    assert!(ran.err.contains(OURS[0]) && ran.err.contains(THIRD), "{ran}");
    let now = said(&site.server.objects("Note"));
    assert_eq!(now[OURS[1]], said(&before)[OURS[1]]);
    assert_eq!(now[OTHER], said(&before)[OTHER]);
    site.server.create("Thing", &["name"]);
    run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
    assert_eq!(said(&site.server.objects("Note")), said(&before));
    assert_eq!(site.server.collections(), ["Note", "Thing"]);
}

/// Rows of a sample, which is looked up in several parts.
const SAMPLED: u32 = 5_000;

#[test]
fn what_stays_is_read_once_for_all_that_is_looked_up() {
    let site = Site::new(&format!(
        "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {SAMPLED})
         INSERT INTO items SELECT i, 'item ' || i FROM n;"
    ));
    let property = |name: &str, kind: &str| json!({ "name": name, "dataType": [kind] });
    let class = json!({ "class": "Items", "vectorizer": "none",
        "properties": [property("original_id", "int"), property("name", "text")] });
    assert_eq!(site.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
    let object = json!({ "class": "Items", "id": OTHER, "properties": { "name": "stays" } });
    assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    run(&mut site.over_line(&line, &["migrate", "--into", "existing", "--on-conflict", "replace"])).exits(0);
    let before = line.read(BEFORE).questions;
    run(site.over_line(&line, &["verify"]).args(["--sample", &SAMPLED.to_string()])).exits(0);
    assert!(line.asked_by_id("Items") > 3, "it is not looked up in parts");
    let read = line.read(BEFORE).questions - before;
    assert!(read <= 3, "{read} questions about what was there before");
    run(&mut site.over_line(&line, &["rollback"])).exits(0);
}

#[test]
fn who_asks_which_runs_there_are_reads_no_value_of_their_quarantine() {
    let site = Site::new(
        "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
         INSERT INTO items SELECT i, CAST(zeroblob(100000) || x'ff' AS TEXT) FROM n;",
    );
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    let records = site.server.objects("Switchover_record");
    let bytes: usize = records.values().map(|record: &Json| record.to_string().len()).sum();
    assert!(bytes > 1_000_000, "{bytes}");
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    run(&mut site.over_line(&line, &["plan"]));
    let read = line.read("Switchover_record");
    assert!(read.questions > 0 && read.bytes < 100_000, "{read:?}");
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
}
