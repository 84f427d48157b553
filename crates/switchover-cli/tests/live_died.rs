//! Engines that die where an unfinished change of the owner is taken up, where one is given up, where a target that owns the data gets
//! its foreign keys back, and where tables go back to copy: whoever takes the run up finds the owner as it was decided, and every row.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod client;
mod engine;
mod program;

use client::Client;
use engine::{
    Engine, application, begin, is_held_by, is_same, put_back, signalled, take_away, until, wait_for,
};
use program::{done, flat, run};
use rusqlite::Connection;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switchover_testkit::{Cluster, Database, Shutdown};
use tempfile::TempDir;

/// No engine takes so long to come to its place.
const LIMIT: Duration = Duration::from_secs(90);

/// A run to a database, and the application's connection to the source.
struct Scene {
    folder: TempDir,
    file: Connection,
    database: Database,
}

impl Scene {
    fn new() -> Scene {
        let (folder, file) = application();
        // A key that acts: its constraint is another while the target follows.
        file.execute_batch(
            "CREATE TABLE c (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t ON DELETE CASCADE);
             INSERT INTO c VALUES (1, 1)",
        )
        .unwrap();
        let database = Cluster::shared().unwrap().fresh_database("died").unwrap();
        Scene { folder, file, database }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// An engine that begins the run, and dies at a place.
    fn start(&self, place: &str) -> Engine {
        self.drive(&["start", "--from", "sqlite:app.db", "--to", &self.database.conninfo()], place)
    }

    fn drive(&self, words: &[&str], place: &str) -> Engine {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchover"));
        command.args(words).current_dir(self.path()).env("FAILPOINTS", place);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Engine(command.spawn().unwrap())
    }

    /// An engine that takes the run up and does not die, when it has come so far.
    #[track_caller]
    fn taken_up(&self, owner: &str) -> Engine {
        let engine = begin(self.path(), &["resume"]);
        let id = engine.0.id();
        until(self.path(), |live| {
            let far = live["phase"] == "reverse" || is_same(live);
            live["pid"] == id && live["ownership"]["owner"] == owner && far
        });
        engine
    }

    /// The names in a store.
    fn source(&self) -> String {
        let rows = "SELECT group_concat(x) FROM (SELECT x FROM t ORDER BY id)";
        self.file.query_row(rows, [], |row| row.get(0)).unwrap()
    }

    fn target(&self) -> String {
        self.database.psql("SELECT string_agg(x, ',' ORDER BY id) FROM t").unwrap().trim().to_owned()
    }

    /// Asks for the owner to change, of an engine that dies before it has: nobody is told that it did.
    #[track_caller]
    fn asks(&self, words: &[&str]) {
        let ran = run(self.path(), words);
        let said = flat(&(ran.out + &ran.err));
        assert!(ran.code != 0 && !said.contains("the owner changed"), "{said}");
    }
}

/// Waits until it was killed at its place.
#[track_caller]
fn was_killed(mut engine: Engine, place: &str) {
    let begun = Instant::now();
    loop {
        if let Some(ended) = engine.0.try_wait().unwrap() {
            assert_eq!(ended.signal(), Some(9), "{place}: {ended}");
            return;
        }
        assert!(begun.elapsed() < LIMIT, "it passed {place} by");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_engine_that_dies_while_it_takes_an_unfinished_cutover_up_leaves_that_to_the_next() {
    let scene = Scene::new();
    let engine = scene.start("switch-fenced=return");
    until(scene.path(), is_same);
    scene.asks(&["cutover"]);
    was_killed(engine, "switch-fenced");
    // The proposal and the fence are there.
    assert!(scene.file.execute_batch("INSERT INTO t VALUES (3, 'refused')").is_err());
    for place in ["live-entered-target", "live-withdrawn", "live-source-open"] {
        was_killed(scene.drive(&["resume"], &format!("{place}=return")), place);
        let open = scene.file.execute_batch("INSERT INTO t VALUES (3, 'taken')").is_ok();
        assert_eq!(open, place == "live-source-open", "{place}");
    }
    let _engine = scene.taken_up("source");
    scene.file.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
    done(scene.path(), &["cutover", "--when-ready"]);
    assert_eq!(scene.target(), "one,two,taken,four");
}

#[test]
fn an_engine_that_dies_while_it_gives_a_change_up_leaves_the_owner_as_it_was() {
    let scene = Scene::new();
    let config = "[cutover.hooks]\nbefore = ['rm -rf told; touch told']\n";
    let config = format!("[cutover]\nroute = 'told/route.json'\n\n{config}");
    let routed = || {
        drop(std::fs::remove_file(scene.path().join("told")));
        std::fs::create_dir_all(scene.path().join("told")).unwrap();
    };
    routed();
    std::fs::write(scene.path().join("switchover.toml"), &config).unwrap();
    let mut engine = scene.start("switch-unfenced=return");
    for (at, place) in ["switch-unfenced", "switch-withdrawn"].into_iter().enumerate() {
        until(scene.path(), is_same);
        // The application could not be told where to write: it is given up.
        scene.asks(&["cutover"]);
        was_killed(engine, place);
        let id = 3 + at;
        scene.file.execute_batch(&format!("INSERT INTO t VALUES ({id}, 'n{id}')")).unwrap();
        routed();
        drop(scene.taken_up("source"));
        engine = scene.drive(&["resume"], "switch-withdrawn=return");
        let pid = engine.0.id();
        until(scene.path(), |live| live["pid"] == pid && is_same(live));
    }
    drop(engine);
    std::fs::remove_file(scene.path().join("switchover.toml")).unwrap();
    let mut engine = scene.taken_up("source");
    done(scene.path(), &["cutover", "--when-ready"]);
    assert_eq!(scene.target(), "one,two,n3,n4");
    // The same on the way back; the fence is looked for once when the run is taken up.
    let places = [
        ("switch-withdrawn", "return"),
        ("switch-unfenced", "return"),
        ("live-unfence-before-commit", "1*off->return"),
        ("live-unfence-after-commit", "1*off->return"),
    ];
    for (at, (place, when)) in places.into_iter().enumerate() {
        drop(engine);
        engine = scene.drive(&["resume"], &format!("{place}={when}"));
        let pid = engine.0.id();
        until(scene.path(), |live| live["pid"] == pid && live["phase"] == "reverse");
        let mut client = Client::of(&scene.database);
        let id = 5 + at;
        assert_eq!(client.says(&format!("BEGIN; INSERT INTO t VALUES ({id}, 'n{id}')")), "");
        scene.asks(&["rollback", "--when-ready", "--write-budget", "300ms"]);
        was_killed(engine, place);
        assert_eq!(client.says("COMMIT"), "");
        engine = scene.taken_up("target");
    }
    done(scene.path(), &["rollback", "--when-ready"]);
    assert_eq!(scene.source(), "one,two,n3,n4,n5,n6,n7,n8");
}

#[test]
fn an_engine_that_dies_behind_the_decision_leaves_an_owner_whose_keys_are_proven_by_the_next() {
    let places = [
        "live-unfence-before-commit",
        "live-unfence-after-commit",
        "live-prove-after-proof",
        "live-prove-before-commit",
        "live-prove-after-commit",
    ];
    for place in places {
        let scene = Scene::new();
        let engine = scene.start(&format!("{place}=return"));
        until(scene.path(), is_same);
        // It may have answered before.
        run(scene.path(), &["cutover"]);
        was_killed(engine, place);
        scene.database.psql("INSERT INTO t VALUES (3, 'three')").unwrap();
        let _engine = scene.taken_up("target");
        let own =
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated AND confdeltype = 'c'";
        engine::wait_for(|| scene.database.psql(own).unwrap().trim() == "1");
        scene.database.psql("DELETE FROM t WHERE id = 1").unwrap();
        done(scene.path(), &["rollback", "--when-ready"]);
        assert_eq!(scene.source(), "two,three", "{place}");
        let left: i64 = scene.file.query_row("SELECT count(*) FROM c", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{place}");
    }
}

#[test]
fn an_engine_that_dies_when_tables_have_gone_back_to_copy_leaves_them_to_the_next() {
    let scene = Scene::new();
    let engine = scene.start("live-restart-after-commit=return");
    until(scene.path(), is_same);
    let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 't' LIMIT 1";
    let name: String = scene.file.query_row(triggers, [], |row| row.get(0)).unwrap();
    scene.file.execute_batch(&format!("DROP TRIGGER \"{name}\"; INSERT INTO t VALUES (3, 'three')")).unwrap();
    was_killed(engine, "live-restart-after-commit");
    scene.file.execute_batch("UPDATE t SET x = 'two again' WHERE id = 2").unwrap();
    let _engine = scene.taken_up("source");
    done(scene.path(), &["cutover", "--when-ready"]);
    assert_eq!(scene.target(), "one,two again,three");
}

#[test]
fn a_source_that_goes_away_at_the_decision_keeps_nobody_from_being_told_of_the_target() {
    let scene = Scene::new();
    let path = scene.path();
    let engine = scene.start("switch-decided=sleep(3000)");
    until(path, is_same);
    let (file, away) = (path.join("app.db"), path.join("away.db"));
    std::thread::scope(|scope| {
        scope.spawn(|| done(path, &["cutover"]));
        // It takes writes from the decision on.
        wait_for(|| scene.database.psql("INSERT INTO t VALUES (3, 'three')").is_ok());
        take_away(&file, &away);
    });
    let held = until(path, |live| is_held_by(live, "the file is not there any more"));
    assert!(held["ownership"]["owner"] == "target" && held["phase"] == "reverse", "{held:#}");
    let route: serde_json::Value = serde_json::from_str(&done(path, &["route", "--json"])).unwrap();
    assert!(route["owner"] == "target" && route["writes"] == "open", "{route:#}");
    put_back(&away, &file);
    wait_for(|| scene.source() == "one,two,three");
    until(path, |live| live["pid"] == engine.0.id() && live["held"].is_null() && live["lag_entries"] == 0);
    done(path, &["rollback"]);
}

/// Somebody keeps it locked from the decision on, which is nothing that the application waits for.
#[test]
fn a_source_that_is_locked_at_the_decision_keeps_nobody_from_being_told_of_the_target() {
    let scene = Scene::new();
    let path = scene.path();
    let _engine = scene.start("switch-decided=sleep(3000)");
    until(path, is_same);
    let mut asking = begin(path, &["cutover"]);
    wait_for(|| scene.database.psql("INSERT INTO t VALUES (3, 'three')").is_ok());
    scene.file.execute_batch("BEGIN IMMEDIATE").unwrap();
    wait_for(|| {
        let route: serde_json::Value = serde_json::from_str(&done(path, &["route", "--json"])).unwrap();
        route["owner"] == "target" && route["writes"] == "open"
    });
    scene.file.execute_batch("COMMIT").unwrap();
    assert!(asking.0.wait().unwrap().success());
    wait_for(|| scene.source() == "one,two,three");
}

/// A source that an engine cannot enter, in one of these ways.
enum Kept {
    Away,
    Locked,
    /// Its log cannot be made, as where the rights to its folder are gone.
    Shut,
}

#[test]
fn a_decision_is_told_of_by_a_later_engine_that_cannot_enter_the_source() {
    for kept in [Kept::Away, Kept::Locked, Kept::Shut] {
        let mut scene = Scene::new();
        let path = scene.folder.path().to_owned();
        let (file, away, log) = (path.join("app.db"), path.join("away.db"), path.join("app.db-wal"));
        let engine = scene.start("switch-decided=return");
        until(&path, is_same);
        scene.asks(&["cutover"]);
        was_killed(engine, "switch-decided");
        let route =
            || -> serde_json::Value { serde_json::from_str(&done(&path, &["route", "--json"])).unwrap() };
        assert_eq!(route()["writes"], "held");
        let why = match kept {
            Kept::Away => {
                take_away(&file, &away);
                "the file is not there any more"
            }
            Kept::Locked => {
                scene.file.execute_batch("BEGIN IMMEDIATE").unwrap();
                "it is locked"
            }
            Kept::Shut => {
                // The last one that has it open folds its log back.
                scene.file = Connection::open_in_memory().unwrap();
                drop(Connection::open(&file).unwrap().query_row("SELECT 1 FROM t", [], |_| Ok(())));
                std::fs::create_dir(&log).unwrap();
                "app.db-wal"
            }
        };
        let engine = begin(&path, &["resume"]);
        let held = until(&path, |live| live["pid"] == engine.0.id() && is_held_by(live, why));
        assert!(held["ownership"]["owner"] == "target" && held["untold"].is_null(), "{held:#}");
        let told = route();
        assert!(told["owner"] == "target" && told["writes"] == "open", "{told:#}");
        scene.database.psql("INSERT INTO t VALUES (3, 'three')").unwrap();
        match kept {
            Kept::Away => put_back(&away, &file),
            Kept::Locked => scene.file.execute_batch("COMMIT").unwrap(),
            Kept::Shut => {
                std::fs::remove_dir(&log).unwrap();
                scene.file = Connection::open(&file).unwrap();
            }
        }
        wait_for(|| scene.source() == "one,two,three");
        let id = engine.0.id();
        until(&path, |live| live["pid"] == id && live["held"].is_null() && live["lag_entries"] == 0);
        done(&path, &["rollback"]);
        scene.file.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
    }
}

/// It would have been withdrawn, and the target opened, had the source been there.
#[test]
fn a_rollback_that_was_never_decided_is_withdrawn_without_the_source() {
    let scene = Scene::new();
    let path = scene.path();
    let engine = scene.start("switch-drained=1*off->return");
    until(path, is_same);
    done(path, &["cutover"]);
    until(path, |live| live["phase"] == "reverse");
    scene.asks(&["rollback"]);
    was_killed(engine, "switch-drained");
    assert!(scene.database.psql("INSERT INTO t VALUES (3, 'refused')").is_err());
    let (file, away) = (path.join("app.db"), path.join("away.db"));
    take_away(&file, &away);
    let engine = begin(path, &["resume"]);
    wait_for(|| scene.database.psql("INSERT INTO t VALUES (3, 'three')").is_ok());
    until(path, |live| live["pid"] == engine.0.id() && is_held_by(live, "the file is not there any more"));
    let route: serde_json::Value = serde_json::from_str(&done(path, &["route", "--json"])).unwrap();
    assert!(route["owner"] == "target" && route["writes"] == "open", "{route:#}");
    put_back(&away, &file);
    wait_for(|| scene.source() == "one,two,three");
    done(path, &["rollback", "--when-ready"]);
}

#[test]
fn a_server_that_goes_away_at_the_decision_is_told_of_as_the_owner_when_it_is_back() {
    let mut cluster = Cluster::builder().fsync(true).start().unwrap();
    let database = cluster.fresh_database("decided").unwrap();
    let (folder, file) = application();
    let scene = Scene { folder, file, database };
    let path = scene.path();
    let engine = scene.start("switch-decided=sleep(3000);few-retries=return");
    until(path, is_same);
    let mut asking = begin(path, &["cutover"]);
    // It takes writes from the decision on.
    wait_for(|| scene.database.psql("INSERT INTO t VALUES (3, 'three')").is_ok());
    cluster.stop(Shutdown::Immediate).unwrap();
    // Behind the last try.
    let held = until(path, |live| live["held"].is_string() && !is_held_by(live, "trying again"));
    assert!(held["pid"] == engine.0.id(), "{held:#}");
    cluster.start().unwrap();
    assert!(asking.0.wait().unwrap().success());
    let route: serde_json::Value = serde_json::from_str(&done(path, &["route", "--json"])).unwrap();
    assert!(route["owner"] == "target" && route["writes"] == "open", "{route:#}");
    wait_for(|| scene.source() == "one,two,three");
    until(path, |live| live["pid"] == engine.0.id() && live["held"].is_null() && live["lag_entries"] == 0);
    done(path, &["rollback"]);
}

#[test]
fn a_source_that_goes_away_at_the_decision_for_it_is_opened_when_it_is_back() {
    let scene = Scene::new();
    let path = scene.path();
    let engine = scene.start("switch-decided=sleep(3000)");
    until(path, is_same);
    done(path, &["cutover"]);
    until(path, |live| live["phase"] == "reverse");
    let (file, away) = (path.join("app.db"), path.join("away.db"));
    let owner = || {
        let sql = "SELECT owner FROM _switchover_live";
        scene.database.psql(sql).unwrap_or_default().trim().to_owned()
    };
    let mut asking = begin(path, &["rollback"]);
    wait_for(|| owner() == "source");
    take_away(&file, &away);
    assert!(!asking.0.wait().unwrap().success());
    // Nobody can write anywhere, and that is said.
    let held = until(path, |live| live["held"].is_string());
    assert!(is_held_by(&held, "nobody can write") && held["pid"] == engine.0.id(), "{held:#}");
    put_back(&away, &file);
    until(path, |live| live["pid"] == engine.0.id() && live["held"].is_null() && is_same(live));
    let route: serde_json::Value = serde_json::from_str(&done(path, &["route", "--json"])).unwrap();
    assert!(route["owner"] == "source" && route["writes"] == "open", "{route:#}");
    scene.file.execute_batch("INSERT INTO t VALUES (9, 'nine')").unwrap();
}

/// A role that may alter no table any more, and may do all else.
const NO_RIGHT: &str = "CREATE FUNCTION public.no_right() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE insufficient_privilege; END $$;
    CREATE EVENT TRIGGER no_right ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION public.no_right()";

/// A run that went back to its source, whose target cannot be made to follow; gives the engine.
fn back_without_a_follower(scene: &Scene) -> Engine {
    let path = scene.path();
    let engine = scene.start("live-source-open=1*off->sleep(3000)");
    until(path, is_same);
    done(path, &["cutover"]);
    until(path, |live| live["phase"] == "reverse");
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| run(path, &["rollback"]));
        wait_for(|| scene.file.execute_batch("INSERT INTO t VALUES (9, 'nine')").is_ok());
        scene.database.psql(NO_RIGHT).unwrap();
        asking.join().unwrap()
    });
    // It was carried out, which is said first, and then what is owed.
    let said = flat(&asked.out);
    assert!(asked.code == 2 && said.contains("the owner changed to the source"), "{said}{}", asked.err);
    assert!(said.contains("the target does not follow yet") && said.contains("42501"), "{said}");
    engine
}

/// The owner is open, and what follows it cannot be made to: that is another thing than that nobody can write.
#[test]
fn a_target_that_cannot_follow_yet_is_no_owner_that_is_shut() {
    let scene = Scene::new();
    let path = scene.path();
    let engine = back_without_a_follower(&scene);
    let held = until(path, |live| live["held"].is_string());
    assert!(!is_held_by(&held, "nobody can write") && held["pid"] == engine.0.id(), "{held:#}");
    let route: serde_json::Value = serde_json::from_str(&done(path, &["route", "--json"])).unwrap();
    assert!(route["owner"] == "source" && route["writes"] == "open", "{route:#}");
    // Typed once more, it is no wish to lose the target.
    for words in [&["rollback"][..], &["rollback", "--dry-run"], &["rollback", "--discard-target-changes"]] {
        let refused = run(path, words);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("the target does not follow yet"), "{words:?}: {said}");
        assert!(said.contains("stop the engine"), "{words:?}: {said}");
    }
    assert_eq!(scene.database.psql("SELECT count(*) FROM t WHERE id = 1").unwrap().trim(), "1");
    scene.database.psql("DROP EVENT TRIGGER no_right").unwrap();
    until(path, |live| live["pid"] == engine.0.id() && live["held"].is_null() && is_same(live));
    assert_eq!(scene.database.psql("SELECT count(*) FROM t WHERE id = 9").unwrap().trim(), "1");
}

/// Whoever means it stops the engine first.
#[test]
fn a_run_whose_target_cannot_follow_is_taken_back_without_its_engine() {
    let scene = Scene::new();
    let path = scene.path();
    let mut engine = back_without_a_follower(&scene);
    until(path, |live| is_held_by(live, "the target does not follow yet"));
    signalled(engine.0.id(), "INT");
    assert_eq!(engine.0.wait().unwrap().code(), Some(0));
    // One that is taken up holds for that, too, and the source is open.
    let mut engine = begin(path, &["resume"]);
    until(path, |live| live["pid"] == engine.0.id() && is_held_by(live, "the target does not follow yet"));
    scene.file.execute_batch("INSERT INTO t VALUES (10, 'ten')").unwrap();
    signalled(engine.0.id(), "INT");
    assert_eq!(engine.0.wait().unwrap().code(), Some(0));
    done(path, &["rollback"]);
    assert!(scene.database.psql("SELECT 1 FROM t").is_err(), "the target's table is there");
    assert_eq!(scene.source(), "one,two,nine,ten");
}

/// No engine stays behind a verb that drives the run itself: typed once more, it is the same wish.
#[test]
fn a_rollback_that_left_something_to_do_is_not_typed_once_more_into_the_end_of_the_run() {
    let scene = Scene::new();
    let path = scene.path();
    let engine = scene.start("live-source-open=off");
    until(path, is_same);
    done(path, &["cutover"]);
    until(path, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    drop(engine);
    let mut rollback = Command::new(env!("CARGO_BIN_EXE_switchover"));
    rollback.arg("rollback").current_dir(path).env("FAILPOINTS", "live-source-open=sleep(3000)");
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| rollback.output().unwrap());
        wait_for(|| scene.file.execute_batch("INSERT INTO t VALUES (9, 'nine')").is_ok());
        scene.database.psql(NO_RIGHT).unwrap();
        asking.join().unwrap()
    });
    let said = flat(&String::from_utf8_lossy(&asked.stdout));
    assert!(asked.status.code() == Some(2) && said.contains("the owner changed to the source"), "{said}");
    assert!(said.contains("no engine is left") && !said.contains("it is tried again"), "{said}");
    let refused = |words: &[&str], why: &str| {
        let refused = run(path, words);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("the source owns the data now"), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
        assert_eq!(scene.database.psql("SELECT count(*) FROM t WHERE id = 1").unwrap().trim(), "1");
    };
    for words in [&["rollback"][..], &["rollback", "--dry-run"], &["rollback"]] {
        refused(words, "does not follow yet");
    }
    // Nor is it by an engine that was begun to try again.
    let engine = begin(path, &["resume"]);
    until(path, |live| live["pid"] == engine.0.id() && is_held_by(live, "the target does not follow yet"));
    let asked = run(path, &["rollback"]);
    assert!(asked.code == 1 && flat(&asked.err).contains("stop the engine"), "{}", asked.err);
    assert_eq!(scene.database.psql("SELECT count(*) FROM t WHERE id = 1").unwrap().trim(), "1");
    drop(engine);
    // One more is refused where it can follow again, for nobody knew that.
    scene.database.psql("DROP EVENT TRIGGER no_right").unwrap();
    refused(&["rollback"], "ask again if the run is to be taken back");
    done(path, &["rollback"]);
    assert!(scene.database.psql("SELECT 1 FROM t").is_err(), "the target's table is there");
    assert_eq!(scene.source(), "one,two,nine");
}

/// Nobody said that the rollback was carried out: the process that did it was killed behind the decision.
#[test]
fn a_rollback_that_was_killed_behind_its_decision_is_not_typed_once_more_into_the_end_of_the_run() {
    for place in ["switch-decided=return", "live-source-open=return", "live-owner-settled=1*off->return"] {
        let scene = Scene::new();
        let path = scene.path();
        let engine = scene.start("live-source-open=off");
        until(path, is_same);
        done(path, &["cutover"]);
        until(path, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
        drop(engine);
        let mut rollback = Command::new(env!("CARGO_BIN_EXE_switchover"));
        rollback.arg("rollback").current_dir(path).env("FAILPOINTS", place);
        let killed = rollback.output().unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{place}: {}", String::from_utf8_lossy(&killed.stderr));
        if place.starts_with("live-owner-settled") {
            // Nothing was left to do.
            done(path, &["rollback"]);
        } else {
            let refused = run(path, &["rollback"]);
            let said = flat(&refused.err);
            assert!(refused.code == 1 && said.contains("the source owns the data now"), "{place}: {said}");
            assert_eq!(scene.database.psql("SELECT count(*) FROM t").unwrap().trim(), "2", "{place}");
            scene.file.execute_batch("INSERT INTO t VALUES (9, 'nine')").unwrap();
            done(path, &["rollback"]);
        }
        assert!(scene.database.psql("SELECT 1 FROM t").is_err(), "{place}: the target's table is there");
    }
}

/// What the target alone had is given up, and the source goes away before it is open.
#[test]
fn a_source_that_goes_away_when_a_target_is_given_up_is_opened_when_it_is_back() {
    let (folder, file) = application();
    let path = folder.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchover"));
    command.args(["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]).current_dir(path);
    command.env("FAILPOINTS", "live-given-up=sleep(3000)");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut engine = Engine(command.spawn().unwrap());
    until(path, is_same);
    let mut target = Connection::open(path.join("new.db")).unwrap();
    let older = path.join("older.db");
    target.backup("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
    done(path, &["cutover"]);
    target.execute("INSERT INTO t VALUES (100, 'new')", []).unwrap();
    until(path, |live| live["held"].is_null() && live["rows_taken"] == 1 && live["lag_entries"] == 0);
    target.restore("main", &older, None::<fn(rusqlite::backup::Progress)>).unwrap();
    until(path, |live| is_held_by(live, "the target was set back"));
    let (app, away) = (path.join("app.db"), path.join("away.db"));
    let mut asking = begin(path, &["rollback", "--discard-target-changes"]);
    // Larger than that of the change that was set back.
    let epoch = "SELECT epoch FROM _switchover_live";
    wait_for(|| target.query_row(epoch, [], |row| row.get::<_, i64>(0)).is_ok_and(|epoch| epoch > 3));
    take_away(&app, &away);
    assert!(!asking.0.wait().unwrap().success());
    let held = until(path, |live| is_held_by(live, "nobody can write"));
    assert!(held["pid"] == engine.0.id(), "{held:#}");
    // Nor can it be taken back now, and the engine stays.
    let refused = run(path, &["rollback"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("nobody can write"), "{}", refused.err);
    assert!(!flat(&refused.err).contains("takes the run back"), "{}", refused.err);
    until(path, |live| is_held_by(live, "nobody can write") && live["pid"] == engine.0.id());
    // One that is stopped says so last.
    signalled(engine.0.id(), "INT");
    assert_eq!(engine.0.wait().unwrap().code(), Some(0));
    let last = until(path, |live| live["phase"] == "ended");
    assert!(is_held_by(&last, "nobody can write"), "{last:#}");
    put_back(&away, &app);
    let engine = begin(path, &["resume"]);
    until(path, |live| live["pid"] == engine.0.id() && live["held"].is_null() && is_same(live));
    file.execute_batch("INSERT INTO t VALUES (9, 'nine')").unwrap();
}
