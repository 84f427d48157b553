//! A run goes on by another URL than it began with, where the server that this one leads to holds the run's records: a node was
//! replaced, or a level is no longer to be had.

use crate::common::{Running, run};
use crate::server::Site;
use switchover_testkit::Weaviate;

const SOURCE: &str = "PRAGMA journal_mode = WAL; CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO items SELECT i, 'item ' || i FROM n;";

impl Site {
    /// The same server by another host's name and with a level.
    fn otherwise(&self) -> String {
        let (http, grpc) = (self.server.0.http_port(), self.server.0.grpc_port());
        format!("weaviate://localhost:{http}?grpc={grpc}&consistency=one")
    }

    fn at_url(&self, verb: &[&str], url: &str) -> std::process::Command {
        let mut command = self.program(verb);
        command.args(["--from", "sqlite:app.db", "--to", url]);
        command
    }
}

#[test]
fn a_run_is_gone_on_with_and_taken_back_by_another_url_of_the_same_data() {
    let site = Site::new(SOURCE);
    run(&mut site.migrate(&[])).exits(0);
    let otherwise = site.otherwise();
    // Another tenant's data is other data, and another server has nothing of the run.
    let tenant = format!("{otherwise}&tenant=ada");
    run(&mut site.at_url(&["rollback"], &tenant))
        .exits(2)
        .says("its target is")
        .says("name the stores of the run");
    let elsewhere = Weaviate::builder().start().unwrap();
    let ran = run(&mut site.at_url(&["rollback"], &elsewhere.url())).exits(2);
    ran.says("which holds no records of the run");
    run(&mut site.at_url(&["rollback", "--dry-run"], &otherwise)).exits(0);
    assert_eq!(site.server.count("Items"), 300);
    run(&mut site.at_url(&["rollback"], &otherwise)).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    // What is over is on record nowhere.
    run(&mut site.at_url(&["rollback"], &otherwise)).exits(2).says("which holds no records of the run");
    run(&mut site.migrate(&[])).exits(0);
    run(&mut site.at_url(&["cleanup", "--yes"], &otherwise)).exits(0);
    assert_eq!(site.server.collections(), ["Items"]);
}

#[test]
fn an_engine_takes_a_live_run_up_by_another_url() {
    let site = Site::new(SOURCE);
    let engine = Running::start(&mut site.at_url(&["start"], &site.server.0.url()));
    site.until_same();
    engine.signal("KILL");
    engine.end().was_killed();
    site.source().execute_batch("UPDATE items SET name = 'new' WHERE id = 1").unwrap();
    let engine = Running::start(&mut site.at_url(&["resume"], &site.otherwise()));
    let id = engine.id();
    site.until(|live| live["pid"] == id && live["verification"].to_string().contains("same"));
    site.holds_items();
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[cfg(feature = "failpoints")]
#[test]
fn a_run_that_was_killed_is_resumed_by_another_url() {
    let site = Site::new(SOURCE);
    run(site.migrate(&[]).env("FAILPOINTS", "after-copy=return")).was_killed();
    run(&mut site.at_url(&["resume"], &site.otherwise())).exits(0);
    site.has_all(&[("items", "Items")]);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}
