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

/// The owner is open, and what follows it cannot be made to: that is another thing than that nobody can write.
#[test]
fn a_target_that_cannot_follow_yet_is_no_owner_that_is_shut() {
    let scene = Scene::new();
    let path = scene.path();
    let engine = scene.start("live-source-open=1*off->sleep(3000)");
    until(path, is_same);
    done(path, &["cutover"]);
    until(path, |live| live["phase"] == "reverse");
    let asking = begin(path, &["rollback"]);
    wait_for(|| scene.file.execute_batch("INSERT INTO t VALUES (9, 'nine')").is_ok());
    let no_right = "CREATE FUNCTION public.no_right() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE insufficient_privilege; END $$;
        CREATE EVENT TRIGGER no_right ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION public.no_right()";
    scene.database.psql(no_right).unwrap();
    let held = until(path, |live| live["held"].is_string());
    assert!(!is_held_by(&held, "nobody can write") && held["pid"] == engine.0.id(), "{held:#}");
    let route: serde_json::Value = serde_json::from_str(&done(path, &["route", "--json"])).unwrap();
    assert!(route["owner"] == "source" && route["writes"] == "open", "{route:#}");
    drop(asking);
    scene.database.psql("DROP EVENT TRIGGER no_right").unwrap();
    until(path, |live| live["pid"] == engine.0.id() && live["held"].is_null() && is_same(live));
    assert_eq!(scene.database.psql("SELECT count(*) FROM t WHERE id = 9").unwrap().trim(), "1");
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
