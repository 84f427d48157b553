//! The guards of the reverse window at work in the program: what they measure takes the owner back, and is recorded; a
//! reverse feed that is dead or paused is said, and never ends the window.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{Engine, application, begin, is_held_by, is_same, run_folder, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
#[cfg(feature = "failpoints")]
use rusqlite::config::DbConfig;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use switchover_testkit::{Cluster, Database, Https};
use tempfile::TempDir;

/// A run in its reverse window, into a database of its own, with a guard.
struct Scene {
    folder: TempDir,
    file: Connection,
    database: Database,
    engine: Engine,
}

impl Scene {
    fn new(guard: &str) -> Scene {
        Scene::started(guard, &[])
    }

    /// With variables of the program's environment.
    fn started(guard: &str, variables: &[(&str, &str)]) -> Scene {
        let (folder, file) = application();
        let database = Cluster::shared().unwrap().fresh_database("guards").unwrap();
        let config = format!("[watch]\nwindow = \"1s\"\n\n[[watch.guard]]\n{guard}\n");
        std::fs::write(folder.path().join("switchover.toml"), config).unwrap();
        let to = database.conninfo();
        let mut start = Command::new(env!("CARGO_BIN_EXE_switchover"));
        start.args(["start", "--from", "sqlite:app.db", "--to", &to]).current_dir(folder.path());
        start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        start.envs(variables.iter().copied());
        let engine = Engine(start.spawn().unwrap());
        until(folder.path(), is_same);
        done(folder.path(), &["cutover"]);
        until(folder.path(), |live| live["phase"] == "reverse");
        Scene { folder, file, database, engine }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until the source owns the data again; gives why.
    #[track_caller]
    fn went_back(&self) -> String {
        let live = until(self.path(), |live| live["ownership"]["owner"] == "source");
        live["switched"]["because"].as_str().unwrap().to_owned()
    }

    fn source(&self, query: &str) -> String {
        self.file.query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// The record of owners.
    fn record(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(run_folder(self.path()).join("owners.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn a_query_that_goes_bad_takes_the_owner_back_with_every_write_and_says_why() {
    let guard = "name = 'bad rows'\nsql = \"SELECT count(*) FROM t WHERE x = 'bad'\"\nmax = 0\nwindows = 2";
    let mut scene = Scene::new(guard);
    let within = until(scene.path(), |live| !live["guards"].is_null());
    assert_eq!(within["guards"][0]["window"]["within"], 0.0, "{within:#}");
    scene.database.psql("INSERT INTO t VALUES (3, 'bad')").unwrap();
    let why = "the guard 'bad rows' measured 1, above 0, for 2 windows in a row";
    assert_eq!(scene.went_back(), why);
    assert_eq!(scene.source("SELECT x FROM t WHERE id = 3"), "bad");
    scene.file.execute_batch("INSERT INTO t VALUES (4, 'here')").unwrap();
    let record = scene.record();
    assert_eq!(record.len(), 2, "{record:?}");
    assert!(record[0]["to"] == "target" && record[0]["because"].is_null(), "{record:?}");
    assert!(record[1]["to"] == "source" && record[1]["because"] == why, "{record:?}");
    // Another process says it too.
    scene.engine.0.kill().unwrap();
    scene.engine.0.wait().unwrap();
    scene.engine = begin(scene.path(), &["resume"]);
    let id = scene.engine.0.id();
    until(scene.path(), |live| live["pid"] == id && is_same(live));
    let people = flat(&done(scene.path(), &["status"]));
    assert!(people.contains(&format!("because {why}")), "{people}");
}

/// Answers every request with the number.
fn endpoint(number: Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/numbers?token=s3cret", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 2048];
            let _ = stream.read(&mut request);
            let body = format!("{{\"p99_ms\": {}}}", number.load(Ordering::SeqCst));
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    url
}

#[test]
fn an_endpoint_that_goes_bad_takes_the_owner_back() {
    let slow = Arc::new(AtomicU64::new(20));
    let url = endpoint(Arc::clone(&slow));
    let scene =
        Scene::new(&format!("name = 'slow'\nhttp = '{url}'\nvalue = '/p99_ms'\nmax = 250\nwindows = 2"));
    let within = until(scene.path(), |live| live["guards"][0]["window"]["within"] == 20.0);
    assert!(within["ownership"]["owner"] == "target" && !within.to_string().contains("s3cret"), "{within:#}");
    slow.store(900, Ordering::SeqCst);
    assert_eq!(scene.went_back(), "the guard 'slow' measured 900, above 250, for 2 windows in a row");
}

/// Takes every request, and answers none; counts them.
fn dead_endpoint() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/numbers", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming().flatten() {
            counts.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    (url, asked)
}

#[test]
fn a_guard_that_hangs_does_not_delay_the_way_back_of_another() {
    let (url, asked) = dead_endpoint();
    let dead = |name: &str| {
        format!("name = '{name}'\nhttp = '{url}'\nvalue = '/p99_ms'\nmax = 1\n\n[[watch.guard]]\n")
    };
    let sound = "name = 'bad rows'\nsql = \"SELECT count(*) FROM t WHERE x = 'bad'\"\nmax = 0\nwindows = 8";
    let scene = Scene::new(&format!("{}{}{sound}", dead("dead"), dead("dead as well")));
    // Each is given up after 3 s, and asked again.
    let silent = |guard: &Value| guard["window"]["silent"].is_string();
    until(scene.path(), |live| {
        live["guards"].as_array().is_some_and(|said| said.iter().filter(|said| silent(said)).count() == 2)
    });
    scene.database.psql("INSERT INTO t VALUES (3, 'bad')").unwrap();
    let before = asked.load(Ordering::SeqCst);
    assert_eq!(scene.went_back(), "the guard 'bad rows' measured 1, above 0, for 8 windows in a row");
    // Measured behind them, both would have been asked before each of its windows but the first.
    let asked = asked.load(Ordering::SeqCst) - before;
    assert!(asked < 14, "the guards that hang were asked {asked} times meanwhile");
}

#[test]
fn a_dead_reverse_feed_is_an_alarm_and_ends_nothing() {
    let scene = Scene::new("name = 'lag'\nreverse_lag = true\nmax = 0.1\nwindows = 1");
    let triggers =
        "SELECT DISTINCT trigger_name FROM information_schema.triggers WHERE event_object_table = 't'";
    let names = scene.database.rows(triggers).unwrap();
    assert!(!names.is_empty());
    for name in names {
        let name = name[0].as_ref().unwrap();
        scene.database.psql(&format!("DROP TRIGGER \"{name}\" ON t")).unwrap();
    }
    scene.database.psql("INSERT INTO t VALUES (3, 'not seen')").unwrap();
    let held = until(scene.path(), |live| is_held_by(live, "trigger"));
    assert!(held["lag_s"].is_null() && held["lag_entries"].is_null(), "{held:#}");
    for verb in [&["finish", "--yes"][..], &["rollback"]] {
        let refused = run(scene.path(), verb);
        assert!(refused.code != 0 && !flat(&refused.err).is_empty(), "{verb:?}: {}", refused.err);
    }
    // It tries again, and holds again, and the guard on its lag does not take it for a reason to go back.
    let at = held["at"].clone();
    let later = until(scene.path(), |live| live["at"] != at && is_held_by(live, "trigger"));
    assert!(later["ownership"]["owner"] == "target" && later["phase"] == "reverse", "{later:#}");
    assert_eq!(later["held_since"], held["held_since"]);
    assert_eq!(scene.database.psql("SELECT count(*) FROM t").unwrap(), "3");
}

#[test]
fn a_paused_reverse_window_says_that_it_feeds_nothing_back_and_its_guard_sees_it() {
    let scene = Scene::new("name = 'lag'\nreverse_lag = true\nmax = 3\nwindows = 1");
    done(scene.path(), &["pause"]);
    scene.database.psql("INSERT INTO t VALUES (3, 'waits')").unwrap();
    let paused = until(scene.path(), |live| live["lag_entries"] == 1);
    assert!(is_held_by(&paused, "nothing is fed back") && paused["lag_s"].is_number(), "{paused:#}");
    let why = scene.went_back();
    assert!(why.starts_with("the guard 'lag' measured ") && why.contains("above 3"), "{why}");
    assert_eq!(scene.source("SELECT x FROM t WHERE id = 3"), "waits");
}

#[test]
fn an_endpoint_over_https_is_asked_when_its_certificate_is_trusted_and_says_nothing_otherwise() {
    let slow = Arc::new(AtomicU64::new(20));
    let number = Arc::clone(&slow);
    let server = Https::start(move || format!("{{\"p99_ms\": {}}}", number.load(Ordering::SeqCst))).unwrap();
    let other = Https::start(String::new).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("roots.pem");
    let guard = |host: &str| {
        let url = server.url(host, "/numbers?token=s3cret");
        format!("name = 'slow'\nhttp = '{url}'\nvalue = '/p99_ms'\nmax = 250\nwindows = 1")
    };
    // An authority that nobody knows, and a name that the certificate is not for: unknown is never a reason to go back.
    slow.store(900, Ordering::SeqCst);
    for (host, roots) in [("localhost", &other.root), ("127.0.0.1", &server.root)] {
        std::fs::write(&trusted, roots).unwrap();
        let scene = Scene::started(&guard(host), &[("SSL_CERT_FILE", trusted.to_str().unwrap())]);
        let silent = until(scene.path(), |live| live["guards"][0]["window"]["silent"].is_string());
        let text = silent.to_string();
        assert!(text.contains("certificate") && !text.contains("s3cret"), "{host}: {silent:#}");
        assert_eq!(silent["ownership"]["owner"], "target");
    }
    slow.store(20, Ordering::SeqCst);
    let scene = Scene::started(&guard("localhost"), &[("SSL_CERT_FILE", trusted.to_str().unwrap())]);
    until(scene.path(), |live| live["guards"][0]["window"]["within"] == 20.0);
    slow.store(900, Ordering::SeqCst);
    assert_eq!(scene.went_back(), "the guard 'slow' measured 900, above 250, for 1 window");
}

/// A guard that goes back with the first bad row.
const BAD_ROWS: &str =
    "name = 'bad rows'\nsql = \"SELECT count(*) FROM t WHERE x = 'bad'\"\nmax = 0\nwindows = 1";

#[test]
fn a_going_back_of_which_the_application_cannot_be_told_calls_for_somebody_and_is_tried_again() {
    let told = "[cutover]\nroute = 'told/route.json'\n[cutover.hooks]\nalarm = ['echo \"$SWITCHOVER_WHY\" >> called']";
    let scene = Scene::new(&format!("{BAD_ROWS}\n\n{told}"));
    let folder = scene.path().join("told");
    // Neither the route nor the output of a command can be written.
    std::fs::write(run_folder(scene.path()).join("hooks"), "").unwrap();
    std::fs::rename(&folder, scene.path().join("away")).unwrap();
    std::fs::write(&folder, "").unwrap();
    scene.database.psql("INSERT INTO t VALUES (3, 'bad')").unwrap();
    let is_alarm =
        |live: &Value| live["alarm"].as_str().is_some_and(|alarm| alarm.contains("cannot go back now"));
    let alarmed = until(scene.path(), is_alarm);
    let why = alarmed["alarm"].as_str().unwrap();
    assert!(why.starts_with("the guard 'bad rows' measured 1") && why.contains("keep the route"), "{why}");
    // The shell makes the file, and then writes the line.
    let called = || std::fs::read_to_string(scene.path().join("called")).unwrap_or_default();
    wait_for(|| called().ends_with('\n'));
    assert!(called().contains("cannot go back now: cannot keep the route"), "{}", called());
    let later = until(scene.path(), |live| live["at"] != alarmed["at"] && is_alarm(live));
    assert_eq!(later["ownership"]["owner"], "target", "{later:#}");
    std::fs::remove_file(&folder).unwrap();
    scene.went_back();
    assert_eq!(scene.source("SELECT x FROM t WHERE id = 3"), "bad");
    let live = until(scene.path(), |live| live["alarm"].is_null());
    assert_eq!(live["ownership"]["owner"], "source", "{live:#}");
}

#[test]
#[cfg(feature = "failpoints")]
fn a_guard_goes_back_on_a_disk_that_is_full_by_what_the_run_has_set_aside() {
    let mut scene = Scene::started(BAD_ROWS, &[("FAILPOINTS", "disk-full=return")]);
    let folder = run_folder(scene.path());
    let kept = || std::fs::metadata(folder.join("reserve")).unwrap().len();
    let whole = kept();
    // From here on there is room for what the reserve gives back, and for nothing else.
    std::fs::write(folder.join("full"), "").unwrap();
    scene.database.psql("INSERT INTO t VALUES (3, 'bad')").unwrap();
    scene.went_back();
    assert!(kept() < whole, "{whole}");
    assert_eq!(scene.source("SELECT x FROM t WHERE id = 3"), "bad");
    let record = scene.record();
    assert!(record.len() == 2 && record[1]["to"] == "source", "{record:?}");
    let route = done(scene.path(), &["route"]);
    assert!(flat(&route).contains("owner source"), "{route}");
    // When there is room it is made whole again; a run that is over needs none.
    std::fs::remove_file(folder.join("full")).unwrap();
    wait_for(|| kept() == whole);
    until(scene.path(), |live| live["ownership"]["owner"] == "source" && is_same(live));
    done(scene.path(), &["rollback"]);
    assert!(scene.engine.0.wait().unwrap().success());
    assert!(!folder.join("reserve").exists());
}

#[test]
#[cfg(feature = "failpoints")]
fn no_guard_goes_back_to_a_source_that_is_known_to_differ() {
    let guard = "name = 'equal'\nverification = true\n\n[[watch.guard]]\nname = 'bad rows'\nsql = \"SELECT count(*) FROM t WHERE x = 'bad'\"\nmax = 0\nwindows = 1";
    // The engine rests between what it wrote and its reading back.
    let Scene { file, folder, database, engine } =
        Scene::started(guard, &[("FAILPOINTS", "live-applied=sleep(700)")]);
    let path = folder.path();
    done(path, &["reads", "50%"]);
    database.psql("UPDATE t SET x = 'new' WHERE id = 2").unwrap();
    // Somebody writes to the source past its fence meanwhile.
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    // Asked at once, and not beside a status: that alone may take as long as the engine rests.
    engine::wait_for(|| file.execute("UPDATE t SET x = 'else' WHERE id = 2 AND x = 'new'", []).unwrap() == 1);
    until(path, |live| live["verification"]["verdict"] == "different");
    let alarmed =
        until(path, |live| live["alarm"].as_str().is_some_and(|alarm| alarm.contains("the guard 'equal'")));
    assert!(alarmed["alarm"].as_str().unwrap().contains("known to differ"), "{alarmed:#}");
    // Nobody is to read there.
    let route: Value = serde_json::from_str(&done(path, &["route", "--json"])).unwrap();
    assert!(route["reads_at_target"] == 100 && route["follower"] == "filling", "{route:#}");
    assert!(route["why"].is_string(), "{route:#}");
    // Nor does any other.
    database.psql("INSERT INTO t VALUES (3, 'bad')").unwrap();
    let later = until(path, |live| live["guards"][1]["window"]["over"] == 1.0 && live["held"].is_null());
    assert!(later["ownership"]["owner"] == "target" && later["phase"] == "reverse", "{later:#}");
    // Nor does a person, without knowing it; nor does another process forget it.
    drop(engine);
    for driven in [false, true] {
        let engine = driven.then(|| begin(path, &["resume"]));
        if let Some(engine) = &engine {
            let id = engine.0.id();
            until(path, |live| live["pid"] == id && live["verification"]["verdict"] == "different");
        }
        for waits in [&["rollback"][..], &["rollback", "--when-ready"]] {
            let refused = run(path, waits);
            let said = flat(&refused.err);
            assert!(refused.code == 1 && said.contains("known to differ"), "{driven} {waits:?}: {said}");
        }
        if driven {
            done(path, &["rollback", "--discard-target-changes"]);
            let at_source = "SELECT group_concat(x) FROM (SELECT x FROM t ORDER BY id)";
            let rows: String = file.query_row(at_source, [], |row| row.get(0)).unwrap();
            assert_eq!(rows, "one,else,bad");
        }
    }
}
