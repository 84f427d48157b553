//! `verify --repair` where a run is at work, or is a live one that is not over: it changes nothing, and says why.

use crate::common::{Running, run};
use crate::server::Site;
use std::process::Command;

const SOURCE: &str = "PRAGMA journal_mode = WAL; CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO items SELECT i, 'item ' || i FROM n;";

/// A folder that knows of no run.
const ANOTHER: &[&str] = &["--state-dir", "another"];

fn repair(site: &Site, more: &[&str]) -> Command {
    let mut command = site.verb("verify");
    command.arg("--repair").args(more);
    command
}

#[test]
fn a_live_run_is_left_to_its_engine() {
    let site = Site::new(SOURCE);
    let start = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
    let engine = Running::start(&mut site.program(&start));
    site.until_same();
    run(&mut repair(&site, &[])).exits(1).says("is not over").says("verify --live");
    run(&mut repair(&site, ANOTHER)).exits(2).says("is at work on this server");
    // Whoever only compares is in nobody's way.
    run(&mut site.verb("verify")).exits(0);
    engine.signal("KILL");
    engine.end().was_killed();
    // The next engine would take what was written now for what it has written itself.
    let objects = site.server.objects("Items");
    let some = objects.keys().next().unwrap();
    assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Items/{some}"), "").0, 204);
    for more in [&[][..], ANOTHER] {
        run(&mut repair(&site, more)).exits(1).says("is not over").says("switchover resume");
        assert_eq!(site.server.count("Items"), 49);
    }
    let engine = Running::start(&mut site.program(&["resume"]));
    site.holds_items();
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn a_run_that_is_at_work_is_alone() {
    let site = Site::new(&SOURCE.replace("i < 50", "i < 3000"));
    let mut migrate = site.migrate(&["--batch-size", "20"]);
    let mut running = Running::start(migrate.env("SWITCHOVER_PROGRESS", "json"));
    running.await_copied();
    running.signal("STOP");
    for more in [&[][..], ANOTHER] {
        run(&mut repair(&site, more)).exits(2).says("is at work on this server");
    }
    running.signal("CONT");
    running.end().exits(0);
    site.has_all(&[("items", "Items")]);
}
