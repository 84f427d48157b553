//! A cluster of three real servers, each object on all of them by the URL: one dies in the middle of a load.
//!
//! The program knows all three by its URL. With `consistency=quorum` it goes on with the other two; with `all` it says that it
//! cannot, and goes on once the third is back. At the end every field is read back.

use crate::common::{Running, files, run};
use crate::server::Site;
use std::process::Command;
use std::time::Instant;
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::Nodes;

const SOURCE: &str = "
    CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
    INSERT INTO items SELECT i, 'item number ' || i FROM n;";

/// The node that dies: the first that the program would ask, and not the one by which the nodes found each other.
const MORTAL: usize = 1;
const ORDER: [usize; 3] = [MORTAL, 2, 0];

const ROWS: u64 = 1500;

/// A node that asked the dead one for something never answers: so long it is waited for, instead of a minute.
const PATIENT: &str = "weaviate-patience-ms=return(8000)";

fn verb(site: &Site, verb: &str, url: &str) -> Command {
    let mut command = site.program(&[verb, "--from", "sqlite:app.db", "--to", url]);
    command.env("SWITCHOVER_TEST_CHUNK_BYTES", "2048");
    command.env("FAILPOINTS", PATIENT);
    command
}

/// Kills a node as soon as something was copied, with most still to come.
fn killed_in_the_middle(site: &Site, nodes: &mut Nodes, url: &str) -> crate::common::Ran {
    let mut command = verb(site, "migrate", url);
    command.args(["--progress", "json", "--jobs", "1", "--on-failure", "keep"]);
    command.env("FAILPOINTS", format!("copy-before-rows=sleep(40);{PATIENT}"));
    let mut running = Running::start(&mut command);
    running.await_copied();
    nodes.node(MORTAL).kill().unwrap();
    running.end()
}

#[test]
fn a_load_goes_on_when_a_node_of_three_dies_as_far_as_its_consistency_allows() {
    let mut nodes = Nodes::start(3, &Weaviate::builder()).unwrap();
    let site = Site::at((**nodes.node(0)).clone(), |source| source.execute_batch(SOURCE).unwrap());

    // Two of three are enough.
    let quorum = nodes.url(&ORDER) + "&consistency=quorum&replication=3";
    let ran = killed_in_the_middle(&site, &mut nodes, &quorum).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    assert!(ran.err.contains("trying_again"), "the node died too late: {ran}");
    assert_eq!(site.server.count("Items"), ROWS);
    assert_eq!(site.server.objects("Items").len() as u64, ROWS);
    run(&mut verb(&site, "verify", &quorum)).exits(0);

    // A node that comes back does not have what was written without it, and is not taken for the whole: by the run's own
    // plan it says what it lacks, and is not refused for another reason.
    let plan = files(site.folder.path()).into_iter().find(|file| file.ends_with("plan.json")).unwrap();
    nodes.node(MORTAL).restart().unwrap();
    let before = nodes.node(MORTAL).objects("Items").unwrap().len() as u64;
    let alone =
        run(verb(&site, "verify", &nodes.url(&[MORTAL])).args(["--max-retries", "4", "--plan"]).arg(plan));
    let after = nodes.node(MORTAL).objects("Items").unwrap().len() as u64;
    println!("the node held {before} objects before it was looked at, and {after} after");
    match alone.code {
        Some(0) => assert_eq!(after, ROWS, "{alone}"),
        Some(1) => assert!(before < ROWS && alone.out.contains("rows differ"), "{alone}"),
        // The run's own records are not all there either, for as long as it was willing to wait.
        _ => {
            assert!(before < ROWS, "{alone}");
            alone.exits(2).says("cannot read the run's records").says("the server counts");
        }
    }
    // The cluster gives it back what it missed, and who waits for that finds all.
    nodes.await_whole().unwrap();
    let begun = Instant::now();
    run(&mut verb(&site, "verify", &quorum)).exits(0);
    println!("verified in {:?}", begun.elapsed());

    // Without a leader the schema cannot be asked for or changed: a rollback, and the lock before it, wait for the next one.
    nodes.node(MORTAL).kill().unwrap();
    nodes.node(2).kill().unwrap();
    let mut running = Running::start(&mut verb(&site, "rollback", &quorum));
    running.await_line(|line| line.contains("trying again"));
    nodes.node(MORTAL).restart().unwrap();
    running.end().exits(0);
    nodes.node(2).restart().unwrap();
    assert_eq!(nodes.node(MORTAL).collections().unwrap(), Vec::<String>::new());

    // Of all three none may be away.
    nodes.await_whole().unwrap();
    let all = nodes.url(&ORDER) + "&consistency=all&replication=3";
    let ran = killed_in_the_middle(&site, &mut nodes, &all);
    if ran.code == Some(0) {
        // An answer was waited for in vain, and meanwhile the others let the dead one go: servers take those that they know for all.
        assert!(ran.err.contains("transport error"), "{ran}");
        assert_eq!(site.server.objects("Items").len() as u64, ROWS);
        return;
    }
    let ran = ran.exits(2);
    assert!(!ran.out.contains("same"), "{ran}");
    assert!(ran.err.contains("required 3 replicas, got 2"), "{ran}");
    nodes.node(MORTAL).restart().unwrap();
    let ran = run(&mut verb(&site, "resume", &all)).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    assert_eq!(site.server.objects("Items").len() as u64, ROWS);
}
