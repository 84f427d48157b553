//! A server that is read-only, or dies; a program that dies; two programs at once. Never a false success, and after
//! `resume` all is there, once.

use crate::common::{Running, run};
use crate::server::Site;
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use switchover_testkit::weaviate::Liar;
use switchover_testkit::{Proxy, Weaviate};

const MANY: &str = "
    CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
    INSERT INTO items SELECT i, 'item ' || i FROM n;";

#[test]
fn a_shard_that_is_read_only_is_no_success() {
    let site = Site::new(MANY);
    // Chunks small enough that the collection is there before the first of many.
    let mut running = Running::start(
        site.migrate(&["--on-failure", "keep"])
            .env("SWITCHOVER_PROGRESS", "json")
            .args(["--batch-size", "20"]),
    );
    running.await_copied();
    // Most of the rows are still to come: nothing goes on while the shard is changed.
    running.signal("STOP");
    let shards = site.server.rest("GET", "/v1/schema/Items/shards", "").1;
    let shard = shards[0]["name"].as_str().unwrap().to_owned();
    let set = |status: &str| {
        let body = format!(r#"{{"status":"{status}"}}"#);
        assert_eq!(site.server.rest("PUT", &format!("/v1/schema/Items/shards/{shard}"), &body).0, 200);
    };
    set("READONLY");
    running.signal("CONT");
    let ran = running.end();
    assert_ne!(ran.code, Some(0), "{ran}");
    set("READY");
    run(&mut site.verb("resume")).exits(0);
    site.has_all(&[("items", "Items")]);
}

#[test]
fn objects_that_were_acknowledged_and_are_gone_are_written_again() {
    let site = Site::new(MANY);
    let mut running =
        Running::start(site.migrate(&[]).env("SWITCHOVER_PROGRESS", "json").args(["--batch-size", "20"]));
    running.await_copied();
    running.signal("KILL");
    running.end().was_killed();
    // What the checkpoints say is there, and is not.
    let there = site.server.objects("Items");
    assert!(!there.is_empty());
    for id in there.keys().take(10) {
        assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Items/{id}"), "").0, 204);
    }
    let ran = run(&mut site.verb("resume")).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    site.has_all(&[("items", "Items")]);
}

#[test]
fn a_program_that_is_killed_goes_on_or_is_taken_back() {
    for verb in ["resume", "rollback"] {
        let site = Site::new(MANY);
        let mut running =
            Running::start(site.migrate(&[]).env("SWITCHOVER_PROGRESS", "json").args(["--batch-size", "20"]));
        running.await_copied();
        running.signal("KILL");
        running.end().was_killed();
        run(&mut site.verb(verb)).exits(0);
        match verb {
            "resume" => site.has_all(&[("items", "Items")]),
            _ => assert_eq!(site.server.collections(), Vec::<String>::new()),
        }
    }
}

#[test]
fn two_runs_at_once_are_one() {
    let site = Site::new(MANY);
    let mut running =
        Running::start(site.migrate(&[]).env("SWITCHOVER_PROGRESS", "json").args(["--batch-size", "20"]));
    running.await_copied();
    running.signal("STOP");
    let second = run(&mut site.migrate(&[])).exits(2);
    assert!(second.err.contains("is at work on this server"), "{second}");
    running.signal("CONT");
    running.end().exits(0);
    site.has_all(&[("items", "Items")]);
}

#[test]
fn a_server_that_is_killed_loses_nothing() {
    let mut server = Weaviate::start().unwrap();
    let site = Site::at((*server).clone(), |source| source.execute_batch(MANY).unwrap());
    let mut running = Running::start(
        site.migrate(&["--on-failure", "keep"])
            .env("SWITCHOVER_PROGRESS", "json")
            .args(["--batch-size", "20"]),
    );
    running.await_copied();
    server.kill().unwrap();
    server.restart().unwrap();
    // The run waited, or gave up; in either case nothing is said to be done that is not.
    let ran = running.end();
    if ran.code != Some(0) {
        run(&mut site.verb("resume")).exits(0);
    }
    site.has_all(&[("items", "Items")]);
}

#[test]
fn a_server_that_is_away_while_rows_are_mended_is_waited_for() {
    let site = Site::new(MANY);
    let line = Liar::start(site.server.0.grpc_port(), 1).unwrap();
    let stores = ["--from", "sqlite:app.db", "--to", &site.by(&line)];
    run(site.program(&["migrate"]).args(stores)).exits(0);
    for id in site.server.objects("Items").keys().take(10) {
        assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Items/{id}"), "").0, 204);
    }
    line.refuse(2);
    let ran = run(site.program(&["verify", "--repair"]).args(stores)).exits(0);
    assert!(ran.err.contains("trying again"), "{ran}");
    site.has_all(&[("items", "Items")]);
}

/// The most memory that a command takes, in kB.
fn peak_of(command: &mut Command) -> u64 {
    let running = Running::start(command);
    let mut peak = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        // One that has ended has none.
        let Some(told) = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()) else { break };
        peak = told;
        std::thread::sleep(Duration::from_millis(5));
    }
    running.end().exits(0);
    peak
}

/// Rows of half a megabyte; and so much more than a comparison a repair of all of them may take, which is far less than they have: a
/// comparison that finds differences holds the hundred rows that it lists.
const LARGE: u64 = 200;
const MORE_KB_MAX: u64 = 75_000;

#[test]
fn large_rows_are_mended_in_the_memory_of_a_few() {
    let site = Site::new(&format!(
        "CREATE TABLE items(id INTEGER PRIMARY KEY, body BLOB);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {LARGE})
         INSERT INTO items SELECT i, randomblob(500000) FROM n;"
    ));
    run(&mut site.migrate(&["--no-backup"])).exits(0);
    let compared = peak_of(&mut site.verb("verify"));
    for id in site.server.objects("Items").keys() {
        assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Items/{id}"), "").0, 204);
    }
    let mended = peak_of(site.verb("verify").arg("--repair"));
    println!("{compared} kB compared, {mended} kB mended");
    assert!(mended < compared + MORE_KB_MAX, "{compared} kB, {mended} kB");
    assert_eq!(site.server.count("Items"), LARGE);
}

/// What a process leaves that the machine took along when it stopped, temporary files included.
#[test]
fn a_lock_from_before_the_machine_s_last_start_is_a_dead_one_s() {
    let line = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let name = std::process::Command::new("uname").arg("-n").output().unwrap();
    let host = String::from_utf8(name.stdout).unwrap().trim().to_owned();
    let machine = line("/etc/machine-id").filter(|machine| !machine.is_empty());
    let boot = line("/proc/sys/kernel/random/boot_id").unwrap();
    let before = "11111111-2222-3333-4444-555555555555";
    let own = machine.as_deref().unwrap_or("unknown");
    // Without a number of its own a machine cannot be told from another of its name.
    for (host, machine, boot, is_dead) in [
        (&*host, own, before, machine.is_some()),
        (&*host, own, &*boot, false),
        (&*host, "another", before, false),
        ("another", own, before, false),
    ] {
        let site = Site::new(MANY);
        let holder = json!({ "run": "r", "token": "t", "host": host, "process": 1, "file": "/nowhere/switchover-t",
            "start": { "machine": machine, "boot": boot } });
        let class =
            json!({ "class": "Switchover_lock_t", "vectorizer": "none", "description": holder.to_string() });
        assert_eq!(site.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
        let ran = run(&mut site.migrate(&[]));
        assert_eq!(ran.code, Some(if is_dead { 0 } else { 2 }), "{holder}: {ran}");
        let held = site.server.collections().contains(&"Switchover_lock_t".to_owned());
        assert_eq!(held, !is_dead, "{holder}");
    }
}

#[test]
fn a_line_that_cuts_and_loses_answers_loses_no_object() {
    let site = Site::new(MANY);
    let bad = Proxy::to_port(site.server.0.grpc_port(), 7).unwrap();
    bad.set_bad(true);
    let url = format!("weaviate://127.0.0.1:{}?grpc={}", site.server.0.http_port(), bad.port());
    let (mut tries, mut rounds) = (0, 0);
    loop {
        let stores = ["--from", "sqlite:app.db", "--to", &url];
        let mut ran =
            run(site.program(&["migrate", "--on-failure", "keep", "--batch-size", "20"]).args(stores));
        while ran.code != Some(0) {
            tries += 1;
            assert!(tries < 100, "{ran}");
            let verb = if ran.err.contains("`switchover resume`") { "resume" } else { "migrate" };
            ran = run(site.program(&[verb]).args(stores));
        }
        let faults = bad.faults();
        println!("{faults}, {tries} times gone on");
        // How often the line fails is a matter of time: so often that each fault was met.
        if faults.cut > 0 && faults.deaf > 0 && faults.late > 0 {
            break;
        }
        rounds += 1;
        assert!(rounds < 20, "{faults}");
        let gone = (0..50).any(|_| run(site.program(&["rollback"]).args(stores)).code == Some(0));
        assert!(gone, "it could not be rolled back");
    }
    bad.set_bad(false);
    assert_eq!(site.server.count("Items"), 4000);
    assert_eq!(site.server.objects("Items").len(), 4000);
    run(&mut site.program(&["verify", "--from", "sqlite:app.db", "--to", &url])).exits(0);
}
