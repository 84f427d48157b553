//! `kill -9` at each place where a run into the server has just done something durable, or is about to: afterwards
//! `resume` ends it with everything there once, or `rollback` leaves the server as it was.
#![cfg(feature = "failpoints")]

use crate::common::case::{Case, Goal, Origin, Pair};
use crate::common::killed::{self, PLACES, at, passes};
use crate::common::{Running, run};
use crate::server::Site;

/// The places of every pair that a run into the server comes by too, one after the other: its collections are one set.
fn every(check: fn(Pair, &str), wanted: fn(&str) -> bool) {
    let pair = (Origin::Sqlite, Goal::Server);
    for place in PLACES.iter().filter(|place| passes(pair, place) && wanted(place)) {
        println!("{place}");
        check(pair, place);
    }
}

#[test]
fn a_killed_run_resumes_and_ends_equal() {
    every(killed::goes_on, |_| true);
}

#[test]
fn a_killed_run_rolls_back_to_what_was_there() {
    // What is on the server is the same at each place of the journal, the backup and the report.
    every(killed::goes_back, |place| {
        !["journal-", "backup-", "report-"].iter().any(|begin| place.starts_with(begin))
    });
}

#[test]
fn rollback_dry_run_says_what_it_would_do_and_changes_nothing() {
    killed::only_says_what_a_rollback_would_do(Goal::Server);
}

#[test]
fn a_rollback_that_was_killed_can_be_done_again() {
    for place in ["copy-after-commit=9*off->return", "before-done=return"] {
        let case = Case::of((Origin::Sqlite, Goal::Server));
        run(at(&mut case.migrate(&["--jobs", "2"]), place)).was_killed();
        run(at(&mut case.verb("rollback"), "discard-before-commit=return")).was_killed();
        run(&mut case.verb("rollback")).exits(0);
        assert_eq!(case.dump(), "", "{place}");
    }
}

/// Places of a live run on the side of the server, and what the engine does around them.
const LIVE: &[&str] = &[
    "live-target-enter-before-commit=return",
    "live-target-enter-after-commit=return",
    "live-entered-source=return",
    "live-captured=return",
    "copy-before-commit=1*off->return",
    "copy-after-commit=1*off->return",
    "live-copied=return",
    "live-target-apply-before-commit=1*off->return",
    "live-target-apply-after-commit=1*off->return",
    "live-applied=return",
    "live-settled=return",
];

#[test]
fn a_live_run_that_is_killed_goes_on_and_loses_nothing() {
    for place in LIVE {
        println!("{place}");
        let site = Site::new("PRAGMA journal_mode = WAL; CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO items SELECT i, 'item ' || i FROM n;");
        let arguments = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
        let engine = Running::start(
            site.program(&arguments).env("SWITCHOVER_TEST_CHUNK_BYTES", "2048").env("FAILPOINTS", place),
        );
        let source = site.source();
        source.execute_batch("PRAGMA busy_timeout = 10000").unwrap();
        let mut engine = Some(engine);
        let mut next = 1000;
        let died = loop {
            // The application writes until the engine has come to the place.
            let write = format!(
                "UPDATE items SET name = 'changed {next}' WHERE id = {}; INSERT INTO items VALUES ({next}, 'new'); DELETE FROM items WHERE id = {}",
                next % 200,
                next % 300
            );
            source.execute_batch(&write).unwrap();
            next += 1;
            if !engine.as_mut().unwrap().is_alive() {
                break engine.take().unwrap().end();
            }
        };
        died.was_killed();
        source.execute_batch("UPDATE items SET name = 'while nobody looked' WHERE id % 7 = 0").unwrap();
        let mut engine = Running::start(&mut site.program(&["resume"]));
        // One that ends says why.
        site.until(|live| live["verification"]["verdict"] == "same" || !engine.is_alive());
        if !engine.is_alive() {
            panic!("{place}: {}", engine.end());
        }
        source.execute_batch("UPDATE items SET name = 'in the end' WHERE id % 11 = 0").unwrap();
        site.holds_items();
        run(&mut site.program(&["rollback"])).exits(0);
        engine.end().exits(0);
        assert_eq!(site.server.collections(), Vec::<String>::new(), "{place}");
    }
}

/// Killed before the run's records are there, and behind their end.
#[test]
fn a_live_run_without_records_is_taken_back() {
    for place in ["backup-before-publish=return", "live-target-discarded=return"] {
        println!("{place}");
        let site = Site::new(
            "PRAGMA journal_mode = WAL; CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
            INSERT INTO items VALUES (1, 'one'), (2, 'two')",
        );
        let start = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
        let engine = Running::start(site.program(&start).env("FAILPOINTS", place));
        if place.starts_with("live") {
            site.until_same();
            engine.signal("KILL");
            run(site.program(&["rollback"]).env("FAILPOINTS", place)).was_killed();
        }
        engine.end().was_killed();
        assert!(!site.server.collections().contains(&"Switchover_record".to_owned()), "{place}");
        let ended = run(&mut site.program(&["rollback"])).exits(0);
        assert!(ended.out.contains("the run is over"), "{place}: {ended}");
        assert_eq!(site.server.collections(), Vec::<String>::new(), "{place}");
        let status = run(&mut site.program(&["status", "--json"])).exits(0).out;
        assert!(status.contains("rolled back"), "{place}: {status}");
    }
}

/// Places of `finish` of a live run, and whether the run's records are gone behind them.
const FINISH: &[&str] = &[
    "live-target-leave-before-commit=return",
    "live-target-leave-after-commit=return",
    "live-target-left=return",
    "live-source-left=return",
    "live-forgotten=return",
    "live-report-before=return",
    "live-report-after=return",
];

#[test]
fn a_finish_that_is_killed_is_gone_on_with_and_takes_nothing_back() {
    for (at, place) in FINISH.iter().enumerate() {
        println!("{place}");
        let site = Site::new(
            "PRAGMA journal_mode = WAL; CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
            INSERT INTO items VALUES (1, 'one'), (2, 'two')",
        );
        // What the engine sent is no later than this.
        let late = "live-target-late-ms=return(100)";
        let start = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
        let engine = Running::start(site.program(&start).env("FAILPOINTS", format!("{place};{late}")));
        site.until_same();
        run(&mut site.program(&["cutover"])).exits(0);
        run(site.program(&["finish", "--yes"]).env("FAILPOINTS", format!("{place};{late}")));
        engine.end().was_killed();
        let verb: &[&str] = if at % 2 == 0 { &["finish", "--yes"] } else { &["resume"] };
        let ended = run(site.program(verb).env("FAILPOINTS", late)).exits(0);
        assert!(!ended.out.contains("taken back"), "{place}: {ended}");
        assert_eq!(site.server.collections(), ["Items"], "{place}");
        site.holds_items();
        let status = run(&mut site.program(&["status", "--json"])).exits(0).out;
        assert!(status.contains("cleaned up") && !status.contains("rolled back"), "{place}: {status}");
        let runs = std::fs::read_dir(site.folder.path().join(".switchover/runs")).unwrap();
        let report = runs.flatten().next().unwrap().path().join("report.md");
        assert!(std::fs::read_to_string(report).unwrap().starts_with("# finish: same"), "{place}");
    }
}

/// The source stays the application's store, so it cannot be what is given up.
#[test]
fn a_finish_that_is_killed_never_calls_the_server_the_owner() {
    let site = Site::new(
        "PRAGMA journal_mode = WAL; CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
        INSERT INTO items VALUES (1, 'one'), (2, 'two')",
    );
    let points = "live-target-left=return;live-target-late-ms=return(100)";
    let start = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
    let engine = Running::start(site.program(&start).env("FAILPOINTS", points));
    site.until_same();
    run(site.program(&["finish", "--yes"]).env("FAILPOINTS", points));
    engine.end().was_killed();
    let given_up = ["finish", "--abandon-source", "--yes"];
    run(&mut site.program(&given_up)).exits(1).says("never owns the data").says("switchover finish");
    run(&mut site.program(&["finish", "--yes"])).exits(0);
    let file = rusqlite::Connection::open(site.folder.path().join("app.db")).unwrap();
    let remains = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%switchover%'";
    assert_eq!(file.query_row(remains, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}
