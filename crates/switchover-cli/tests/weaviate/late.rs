//! A request that is carried out when nobody waits for it any more: a dead engine's, or one whose answer was lost. What it
//! undoes is done again, and no verdict stands that it could make false.

use crate::common::{Running, run};
use crate::server::Site;
use std::time::{Duration, Instant};
use switchover_testkit::weaviate::Liar;

const ITEMS: &[(&str, &str)] = &[("items", "Items")];

const SOURCE: &str = "PRAGMA journal_mode = WAL; CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO items SELECT i, 'item ' || i FROM n;";

/// How long a request can be late here, in milliseconds: the least that tells before from after.
const LATE_MS: u64 = 6_000;

/// A live run over a line, with a batch of it held there: rows 1 and 2 are about to become old.
struct Held {
    site: Site,
    line: Liar,
    engine: Running,
}

impl Site {
    fn engine(&self, arguments: &[&str], late_ms: u64) -> Running {
        Running::start(
            self.program(arguments).env("FAILPOINTS", format!("live-target-late-ms=return({late_ms})")),
        )
    }

    /// What row 1 is there, and whether row 2 is.
    fn one_and_two(&self) -> (Option<String>, bool) {
        let objects = self.server.objects("Items");
        let of = |id: i64| objects.values().find(|object| object["properties"]["original_id"] == id);
        let name = of(1).and_then(|object| object["properties"]["name"].as_str().map(str::to_owned));
        (name, of(2).is_some())
    }

    #[track_caller]
    fn awaits(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{what}: {:?} {:?}",
                self.one_and_two(),
                self.status()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until this engine, and not the one before it, has found all rows equal.
    #[track_caller]
    fn until_same_by(&self, engine: &Running) {
        let is_same = |live: &serde_json::Value| live["verification"].to_string().contains("same");
        self.until(|live| live["pid"] == engine.id() && is_same(live));
    }

    fn verdict(&self) -> String {
        let status = self.status().unwrap();
        status[0]["live"]["verification"].to_string()
    }
}

fn held(late_ms: u64) -> Held {
    let site = Site::new(SOURCE);
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    let engine = site.engine(&["start", "--from", "sqlite:app.db", "--to", &site.by(&line)], late_ms);
    site.until_same();
    line.hold_next("Items");
    site.source().execute_batch("UPDATE items SET name = 'old' WHERE id < 3").unwrap();
    site.awaits("a batch that is held", || line.is_holding());
    Held { site, line, engine }
}

/// The rows become what the held batch does not know of.
fn goes_on(site: &Site) {
    site.source()
        .execute_batch("UPDATE items SET name = 'new' WHERE id = 1; DELETE FROM items WHERE id = 2")
        .unwrap();
}

#[test]
fn a_request_of_a_dead_engine_is_mended_before_there_is_a_verdict() {
    for delay in [0, 1, 3] {
        // What is slept here is not taken from what a busy machine has to come to it.
        let late_ms = LATE_MS + 1_000 * delay;
        let Held { site, line, engine } = held(late_ms);
        engine.signal("KILL");
        engine.end().was_killed();
        goes_on(&site);
        let engine = site.engine(&["resume"], late_ms);
        site.awaits("the new state", || site.one_and_two() == (Some("new".into()), false));
        // Part of what is tested: how much later than the engine's own writes it comes.
        std::thread::sleep(Duration::from_secs(delay));
        assert!(!site.verdict().contains("same"), "{delay}: {}", site.verdict());
        line.release();
        site.awaits("the late batch", || line.is_carried_out());
        site.until_same_by(&engine);
        assert_eq!(site.differences(ITEMS), Vec::<String>::new(), "{delay}");
        run(&mut site.program(&["rollback"])).exits(0);
        let ran = engine.end().exits(0);
        assert!(ran.err.contains("were written again"), "it was not noticed: {ran}");
    }
}

#[test]
fn a_request_that_is_later_than_any_can_be_is_found_by_the_next_comparison() {
    let Held { site, line, engine } = held(300);
    engine.signal("KILL");
    engine.end().was_killed();
    goes_on(&site);
    let engine = site.engine(&["resume"], 300);
    site.until_same_by(&engine);
    line.release();
    site.awaits("the late batch", || line.is_carried_out());
    site.awaits("what it undid", || site.one_and_two() == (Some("old".into()), true));
    let ran = run(&mut site.program(&["verify", "--live"]));
    assert_eq!(ran.code, Some(1), "{ran}");
    let ran = run(&mut site.program(&["cutover"]));
    assert_ne!(ran.code, Some(0), "{ran}");
    // Whoever takes the run up again writes what is missing, and may not know whose the others are.
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
}

#[test]
fn a_request_whose_answer_was_lost_is_mended_too() {
    let Held { site, line, engine } = held(3_000);
    // The engine gives it up, and says something newer.
    goes_on(&site);
    site.awaits("the new state", || site.one_and_two() == (Some("new".into()), false));
    line.release();
    site.awaits("the late batch", || line.is_carried_out());
    site.until_same();
    assert_eq!(site.differences(ITEMS), Vec::<String>::new());
    run(&mut site.program(&["cutover"])).exits(0);
    run(&mut site.program(&["rollback"])).exits(0);
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
}

#[test]
fn an_engine_that_stops_in_order_leaves_nothing_to_wait_for() {
    let site = Site::new(SOURCE);
    let engine = site.engine(&["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()], 600_000);
    site.until_same();
    engine.signal("INT");
    engine.end();
    let engine = site.engine(&["resume"], 600_000);
    site.until_same_by(&engine);
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
}
