//! A line that lies about batches and pages: no run ends as a success that is none, and on an honest line `resume` has
//! everything there, once; nor does a rollback say that it took back what is still there.

use crate::common::{Ran, Running, run};
use crate::existing::{OURS, said};
use crate::server::Site;
use serde_json::json;
use std::collections::BTreeMap;
use switchover_testkit::weaviate::{Liar, Lie};

const ROWS: &str = "
    CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL, raw BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
    INSERT INTO items SELECT i, 'item ' || i, CASE WHEN i % 100 = 0 THEN x'' ELSE x'01' END FROM n;";

/// Seeds of an ordinary run; each takes some seconds.
const CASES: u64 = 8;

/// Tries that an honest line needs: one to go on with, and one where there was nothing to go on with yet.
const HONEST_TRIES: usize = 2;

impl Site {
    /// The server by way of a line.
    pub(crate) fn by(&self, line: &Liar) -> String {
        format!("weaviate://127.0.0.1:{}?grpc={}", self.server.0.http_port(), line.port())
    }

    fn over(&self, url: &str, verb: &str, more: &[&str]) -> Ran {
        let stores = [verb, "--from", "sqlite:app.db", "--to", url];
        run(&mut self.program(&[&stores, more].concat()))
    }

    /// That each item is there once as the source has it, or its value aside, as plain HTTP tells.
    #[track_caller]
    fn has_items(&self, said: &Ran) {
        let wanted: BTreeMap<i64, String> = {
            let source = self.source();
            let mut statement = source.prepare("SELECT id, name FROM items").unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let objects = self.server.objects("Items");
        let found: BTreeMap<i64, String> = (objects.values())
            .map(|object| {
                let properties = &object["properties"];
                (properties["original_id"].as_i64().unwrap(), properties["name"].as_str().unwrap().to_owned())
            })
            .collect();
        assert_eq!(objects.len(), wanted.len(), "{said}");
        assert_eq!(found, wanted, "{said}");
        let aside = objects.values().filter(|object| object["properties"]["raw"].is_null()).count();
        assert_eq!(aside, 6, "{said}");
        let records = self.server.objects("Switchover_record");
        let kept = records.values().filter(|record| record["properties"]["kind"] == "quarantine").count();
        assert_eq!(kept, 6, "{said}");
    }
}

#[test]
fn a_line_that_lies_makes_no_false_success() {
    let (mut told, mut verdicts) = (BTreeMap::<Lie, u64>::new(), BTreeMap::<Option<i32>, u64>::new());
    for seed in switchover_testkit::seeds(CASES) {
        println!("SWITCHOVER_PROPERTY_SEED={seed}");
        let site = Site::new(ROWS);
        let line = Liar::start(site.server.0.grpc_port(), seed).unwrap();
        let url = site.by(&line);
        let all: Vec<Lie> = match seed % 3 {
            0 => Lie::BATCHES.to_vec(),
            1 => Lie::PAGES.to_vec(),
            _ => Lie::BATCHES.into_iter().chain(Lie::PAGES).collect(),
        };
        line.tell(&all);
        let more =
            ["--policy", "quarantine", "--on-failure", "keep", "--batch-size", "40", "--retry-delay", "0.05"];
        let mut ran = site.over(&url, "migrate", &more);
        *verdicts.entry(ran.code).or_default() += 1;
        if ran.code == Some(0) {
            site.has_items(&ran);
        }
        line.tell(&[]);
        let mut tries = 0;
        while ran.code != Some(0) {
            assert!(tries < HONEST_TRIES, "{ran}");
            tries += 1;
            ran = match ran.err.contains("`switchover resume`") || tries == 1 {
                true => site.over(&url, "resume", &[]),
                false => site.over(&url, "migrate", &more),
            };
        }
        site.has_items(&ran);
        site.over(&url, "verify", &[]).exits(0);
        // A rollback that says it is done is.
        line.tell(&all);
        let mut ran = site.over(&url, "rollback", &[]);
        if ran.code != Some(0) {
            line.tell(&[]);
            ran = site.over(&url, "rollback", &[]).exits(0);
        }
        assert_eq!(site.server.collections(), Vec::<String>::new(), "{ran}");
        for (lie, count) in line.told() {
            *told.entry(lie).or_default() += count;
        }
    }
    println!("{told:?} {verdicts:?}");
    // With one seed there may be none of a kind.
    if std::env::var_os("SWITCHOVER_PROPERTY_SEED").is_none() {
        for lie in Lie::BATCHES.into_iter().chain(Lie::PAGES) {
            assert!(told.contains_key(&lie), "{lie:?} was never told");
        }
    }
}

/// A node that was away may answer without an object once. What is equal when it is compared again is no reason to take a load back.
#[test]
fn an_object_that_one_page_lacks_and_the_next_shows_is_compared_again() {
    const PLAIN: &str = "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) INSERT INTO items SELECT i, 'item ' || i FROM n;";
    let site = Site::new(PLAIN);
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    let url = site.by(&line);
    site.over(&url, "migrate", &[]).exits(0);
    let one = site.server.objects("Items").keys().next().unwrap().clone();
    site.over(&url, "rollback", &[]).exits(0);
    line.hide_for(&one, 1);
    site.over(&url, "migrate", &[]).exits(0);
    assert_eq!(site.server.count("Items"), 600);
    line.hide_for(&one, 1);
    site.over(&url, "verify", &[]).exits(0);
    line.hide_for(&one, 1);
    site.over(&url, "rollback", &[]).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

/// One node answers a search, and it may have been away when the application wrote: what all are asked for is not written over.
#[test]
fn an_object_that_the_node_asked_lacks_is_not_written_over() {
    let site = Site::filled();
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    let url = site.by(&line) + "&consistency=quorum";
    let before = said(&site.server.objects("Note"));
    line.hide(OURS[1]);
    line.miscount("Note", -1);
    let into = ["--into", "existing", "--on-conflict", "replace", "--policy", "quarantine"];
    let ran = site.over(&url, "migrate", &into).exits(1);
    assert!(ran.err.contains(OURS[1]) && ran.err.contains("the plan does not replace it"), "{ran}");
    assert_eq!(said(&site.server.objects("Note")), before, "{ran}");
    // Once that node has it too, it is in the plan, and comes back.
    line.hide("");
    line.miscount("Note", 0);
    site.over(&url, "migrate", &into).exits(0);
    site.over(&url, "rollback", &[]).exits(0);
    assert_eq!(said(&site.server.objects("Note")), before);
}

/// The server's own count is a second method beside the rows that are read back: neither alone makes a success.
#[test]
fn a_count_that_is_not_that_of_the_rows_is_no_success() {
    const PLAIN: &str = "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) INSERT INTO items SELECT i, 'item ' || i FROM n;";
    let site = Site::new(PLAIN);
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    let url = site.by(&line);
    for by in [-1, 1] {
        line.miscount("Items", by);
        let ran = site.over(&url, "migrate", &[]).exits(1);
        let said = format!("600 rows were read and the target counts {}", 600 + by);
        assert!(ran.out.contains(&said), "{said}: {ran}");
        assert_eq!(site.server.collections(), Vec::<String>::new(), "{ran}");
    }
    line.miscount("Items", 0);
    site.over(&url, "migrate", &[]).exits(0);
    line.miscount("Items", -600);
    let ran = site.over(&url, "verify", &[]).exits(1);
    assert!(ran.out.contains("600 rows were read and the target counts 0"), "{ran}");
    line.miscount("Items", 0);
    site.over(&url, "verify", &[]).exits(0);
    // One object too many, which no page shows: all that is read back is equal, and the count is not.
    let strange = "00000000-0000-4000-8000-0000000000ff";
    let object = serde_json::json!({ "class": "Items", "id": strange, "properties": { "name": "strange" } });
    assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    line.hide(strange);
    let ran = site.over(&url, "verify", &[]).exits(1);
    assert!(ran.out.contains("600 rows were read and the target counts 601"), "{ran}");
    line.hide("");
    let ran = site.over(&url, "verify", &[]).exits(1);
    assert!(!ran.out.contains("the target counts"), "{ran}");
}

/// Rows that are changed again and again, by their numbers.
const CHANGED: i64 = 100;

#[test]
fn a_live_run_over_a_line_that_lies_says_nothing_that_is_not_so() {
    for seed in switchover_testkit::seeds(2) {
        println!("SWITCHOVER_PROPERTY_SEED={seed}");
        let site = Site::new(&format!("PRAGMA journal_mode = WAL; {ROWS} UPDATE items SET raw = x'02';"));
        let line = Liar::start(site.server.0.grpc_port(), seed).unwrap();
        line.tell(&Lie::BATCHES.into_iter().chain(Lie::PAGES).collect::<Vec<_>>());
        let arguments = ["start", "--from", "sqlite:app.db", "--to", &site.by(&line), "--batch-size", "40"];
        let mut engine = Running::start(&mut site.program(&arguments));
        let source = site.source();
        source.execute_batch("PRAGMA busy_timeout = 10000").unwrap();
        for round in 0..60_i64 {
            let (one, other) = (1 + round % CHANGED, 1 + (round * 7) % CHANGED);
            source
                .execute_batch(&format!(
                    "UPDATE items SET name = 'round {round}' WHERE id = {one}; DELETE FROM items WHERE id = {other};
                     INSERT INTO items VALUES ({}, 'fresh', x'03')",
                    10_000 + round
                ))
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
            if round % 20 == 10 {
                engine.signal_if_alive("KILL");
            }
            if !engine.is_alive() {
                engine.end();
                // Another run would leave the records of one that was killed before it told anything.
                let begun = site.status().is_some_and(|runs| runs[0].is_object());
                engine = match begun {
                    true => Running::start(&mut site.program(&["resume"])),
                    false => Running::start(&mut site.program(&arguments)),
                };
            }
        }
        // Nothing is written any more. What it says while it is lied to is true, if it says anything; the first two things that it
        // says may be of before.
        let begun = std::time::Instant::now();
        let mut said = std::collections::BTreeSet::new();
        while begun.elapsed() < std::time::Duration::from_secs(7) {
            let live = site.status().map_or_else(Default::default, |runs| runs[0]["live"].clone());
            said.insert(live["at"].to_string());
            if said.len() > 2 && live["verification"].to_string().contains("same") {
                assert_eq!(
                    site.differences(&[("items", "Items")]),
                    Vec::<String>::new(),
                    "{:?}",
                    line.told()
                );
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        line.tell(&[]);
        if !engine.is_alive() {
            println!("{}", engine.end());
            engine = Running::start(&mut site.program(&["resume"]));
        }
        site.until_same();
        site.holds_items();
        println!("{:?}", line.told());
        run(&mut site.program(&["rollback"])).exits(0);
        engine.end().exits(0);
        assert_eq!(site.server.collections(), Vec::<String>::new());
    }
}

#[test]
fn a_rollback_does_not_believe_that_objects_were_deleted() {
    for says_deleted in [true, false] {
        let site = Site::new(ROWS);
        let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
        let url = site.by(&line);
        // As an application made it: with nothing of the rows that come.
        let properties = [("original_id", "int"), ("name", "text"), ("raw", "blob")];
        let properties = properties.map(|(name, kind)| json!({ "name": name, "dataType": [kind] }));
        let class = json!({ "class": "Items", "vectorizer": "none", "properties": properties });
        assert_eq!(site.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
        site.over(&url, "migrate", &["--policy", "quarantine", "--into", "existing"]).exits(0);
        line.keep("Items", says_deleted);
        let stores = ["rollback", "--from", "sqlite:app.db", "--to", &url];
        let mut rollback = site.program(&stores);
        rollback.env("SWITCHOVER_MAX_RETRIES", "1").env("SWITCHOVER_RETRY_DELAY", "0.05");
        let ran = run(&mut rollback).exits(2);
        assert!(ran.err.contains("600"), "{ran}");
        assert_eq!(site.server.objects("Items").len(), 600);
        line.keep("", true);
        site.over(&url, "rollback", &[]).exits(0);
        assert_eq!(site.server.count("Items"), 0);
        assert_eq!(site.server.collections(), ["Items"]);
    }
}
