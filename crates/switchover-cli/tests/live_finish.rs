//! `finish` that is killed wherever it has just removed something, or is about to: the target stays the owner, takes the application's
//! writes all the while, and the next `finish` or `resume` ends it. And `finish` without a source.
#![cfg(feature = "failpoints")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod disk;
mod engine;
mod program;

use assert_cmd::cargo::CommandCargoExt;
use disk::Disk;
use engine::{Engine, application, begin, is_held_by, is_same, route_is_over, run_folder, signalled, until};
use program::{done, flat, run};
use rusqlite::Connection;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// What a store holds of a run, by its catalog.
const REMAINS: &str = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%switchover%'";

enum To {
    Server(Database),
    /// A server on which the tables are there.
    Tables(Database),
    File,
}

impl To {
    fn database(&self) -> Option<&Database> {
        match self {
            To::Server(database) | To::Tables(database) => Some(database),
            To::File => None,
        }
    }
}

/// A run in its reverse window, with no engine.
struct Scene {
    folder: TempDir,
    source: Connection,
    to: To,
    engine: Engine,
}

impl Scene {
    fn new(to: To, config: &str) -> Scene {
        let (folder, source) = application();
        std::fs::write(folder.path().join("switchover.toml"), config).unwrap();
        let name = to.database().map_or("sqlite:new.db".into(), Database::conninfo);
        let mut start = vec!["start", "--from", "sqlite:app.db", "--to", &name];
        if let To::Tables(database) = &to {
            database.psql("CREATE TABLE t (id serial PRIMARY KEY, x varchar(9) UNIQUE)").unwrap();
            start.extend(["--into", "existing"]);
        }
        let engine = begin(folder.path(), &start);
        until(folder.path(), is_same);
        done(folder.path(), &["cutover"]);
        until(folder.path(), |live| live["phase"] == "reverse");
        Scene { folder, source, to, engine }
    }

    fn on_server(config: &str) -> Scene {
        Scene::new(To::Server(Cluster::shared().unwrap().fresh_database("finish").unwrap()), config)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn stop(&mut self) {
        self.engine.0.kill().unwrap();
        self.engine.0.wait().unwrap();
    }

    /// The application writes where the data is.
    #[track_caller]
    fn write(&self, id: i64) {
        let sql = format!("INSERT INTO t VALUES ({id}, 'late {id}')");
        match self.to.database() {
            Some(database) => drop(database.psql(&sql).unwrap()),
            None => self.file().execute_batch(&sql).unwrap(),
        }
    }

    fn file(&self) -> Connection {
        Connection::open(self.path().join("new.db")).unwrap()
    }

    /// Rows of the application, and what is left of the run.
    fn target(&self) -> (i64, i64) {
        let relations = "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE '%switchover%')
            + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%switchover%')";
        match self.to.database() {
            Some(database) => {
                let number = |sql: &str| database.psql(sql).unwrap().trim().parse().unwrap();
                (number("SELECT count(*) FROM t"), number(relations))
            }
            None => {
                let number = |sql: &str| self.file().query_row(sql, [], |row| row.get(0)).unwrap();
                (number("SELECT count(*) FROM t"), number(REMAINS))
            }
        }
    }

    #[track_caller]
    fn is_over(&self, rows: i64) {
        assert_eq!(self.target(), (rows, 0));
        assert!(done(self.path(), &["status"]).contains("cleaned up"));
        route_is_over(self.path(), "target");
        let report = self.report();
        assert_eq!(report["operation"], "finish", "{report:#}");
        assert_eq!((&report["verdict"], &report["live"]["compared_rows"]), (&"same".into(), &2.into()));
    }

    /// The report in the run's folder, which stands there as Markdown too.
    #[track_caller]
    fn report(&self) -> serde_json::Value {
        let folder = run_folder(self.path());
        let people = std::fs::read_to_string(folder.join("report.md")).unwrap();
        assert!(people.starts_with("# finish: "), "{people}");
        serde_json::from_str(&std::fs::read_to_string(folder.join("report.json")).unwrap()).unwrap()
    }
}

/// Where it dies on a server.
const ON_SERVER: [&str; 7] = [
    "live-leave-before-commit",
    "live-leave-after-commit",
    "live-target-left",
    "live-source-leave-before-commit",
    "live-source-leave-after-commit",
    "live-source-left",
    "live-forgotten",
];

fn killed_at(scene: &Scene, place: &str) {
    verb_killed_at(scene, &["finish", "--yes"], place);
}

#[track_caller]
fn verb_killed_at(scene: &Scene, verb: &[&str], place: &str) {
    let mut command = Command::cargo_bin("switchover").unwrap();
    command.args(verb).current_dir(scene.path()).env("FAILPOINTS", place);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.signal(), Some(9), "{place}: {}", String::from_utf8_lossy(&ended.stderr));
}

fn whoever_is_killed(to: impl Fn() -> To, places: &[&str]) {
    for (at, place) in places.iter().enumerate() {
        println!("{place}");
        let mut scene = Scene::new(to(), "");
        scene.stop();
        killed_at(&scene, &format!("{place}=return"));
        scene.write(3);
        // Whichever verb comes first, it is the same run that goes on.
        match at % 2 {
            0 => done(scene.path(), &["finish", "--yes"]),
            _ => done(scene.path(), &["resume"]),
        };
        scene.write(4);
        scene.is_over(4);
        let left: i64 = scene.source.query_row(REMAINS, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{place}");
    }
}

#[test]
fn a_finish_that_is_killed_never_gives_the_data_back_to_the_source() {
    let server = || To::Server(Cluster::shared().unwrap().fresh_database("finish").unwrap());
    whoever_is_killed(server, &ON_SERVER);
}

#[test]
fn nor_does_one_of_tables_that_were_there() {
    let tables = || To::Tables(Cluster::shared().unwrap().fresh_database("finish").unwrap());
    whoever_is_killed(tables, &ON_SERVER);
}

#[test]
fn nor_does_one_of_a_file() {
    let places = [
        "live-target-leave-before-commit",
        "live-target-leave-after-commit",
        "live-source-left",
        "live-forgotten",
    ];
    whoever_is_killed(|| To::File, &places);
}

/// Behind the last removal the tables are the application's, which may have changed them before anybody looks.
#[test]
fn one_that_is_killed_behind_its_last_removal_is_over_whatever_became_of_the_tables() {
    let fresh = || Cluster::shared().unwrap().fresh_database("finish").unwrap();
    // They hold as many rows as before the run, or are not there by their names.
    for (there, change) in [(true, "DELETE FROM t"), (false, "ALTER TABLE t RENAME TO u")] {
        let to = if there { To::Tables } else { To::Server };
        for verb in [&["finish", "--yes"][..], &["resume"], &["finish", "--abandon-source", "--yes"]] {
            println!("{change} {verb:?}");
            let mut scene = Scene::new(to(fresh()), "");
            scene.stop();
            killed_at(&scene, "live-forgotten=return");
            scene.to.database().unwrap().psql(change).unwrap();
            done(scene.path(), verb);
            assert!(done(scene.path(), &["status"]).contains("cleaned up"));
            route_is_over(scene.path(), "target");
        }
    }
}

/// Where nothing stands there any more, another store may be meant.
#[test]
fn one_that_is_killed_behind_its_last_removal_is_not_given_up_for_an_empty_target() {
    let mut scene = Scene::on_server("");
    scene.stop();
    killed_at(&scene, "live-forgotten=return");
    scene.to.database().unwrap().psql("ALTER SCHEMA public RENAME TO away; CREATE SCHEMA public").unwrap();
    let refused = run(scene.path(), &["finish", "--abandon-source", "--yes"]);
    assert!(
        refused.code == 1 && flat(&refused.err).contains("0 tables of the names of its 1"),
        "{}",
        refused.err
    );
    scene.to.database().unwrap().psql("DROP SCHEMA public; ALTER SCHEMA away RENAME TO public").unwrap();
    done(scene.path(), &["finish", "--abandon-source", "--yes"]);
    route_is_over(scene.path(), "target");
}

#[test]
fn a_run_that_is_killed_behind_its_taking_back_is_taken_back_whatever_became_of_the_tables() {
    let database = Cluster::shared().unwrap().fresh_database("back").unwrap();
    let mut scene = Scene::new(To::Tables(database), "");
    done(scene.path(), &["rollback", "--when-ready"]);
    until(scene.path(), is_same);
    scene.stop();
    verb_killed_at(&scene, &["rollback"], "live-target-discarded=return");
    scene.write(3);
    done(scene.path(), &["resume"]);
    assert!(done(scene.path(), &["status"]).contains("rolled back"));
    route_is_over(scene.path(), "source");
}

/// Where it dies with the stores done, and the report not told of.
const AT_REPORT: [&str; 2] = ["live-report-before", "live-report-after"];

#[test]
fn one_that_is_killed_at_its_report_has_one_when_it_is_over() {
    whoever_is_killed(|| To::File, &AT_REPORT);
}

#[test]
fn a_report_that_cannot_be_written_is_said_and_the_run_is_over() {
    let mut scene = Scene::new(To::File, "");
    // As a full disk would, for whatever is written there whole.
    let partial = run_folder(scene.path()).join("report.partial");
    std::fs::create_dir(&partial).unwrap();
    let ran = run(scene.path(), &["finish", "--yes"]);
    let said = flat(&ran.err);
    assert!(
        ran.code == 2 && said.contains("report.json") && said.contains("finished all the same"),
        "{said}"
    );
    assert!(said.contains("switchover finish --run"), "{said}");
    assert!(!scene.engine.0.wait().unwrap().success());
    assert_eq!(scene.target(), (2, 0));
    assert!(done(scene.path(), &["status"]).contains("cleaned up"));
    assert_eq!(run(scene.path(), &["finish"]).code, 2, "nor can it be written yet");
    // Then it is, and only once.
    std::fs::remove_dir(partial).unwrap();
    let said = flat(&done(scene.path(), &["finish"]));
    assert!(said.contains("report.md"), "{said}");
    scene.is_over(2);
    let report = scene.report();
    let times = (report["started_at"].as_str(), report["finished_at"].as_str());
    assert!(times.0.is_some() && times.0 <= times.1, "{report:#}");
    assert_eq!(report["live"]["owners"][0]["to"], "target", "{report:#}");
    let refused = run(scene.path(), &["finish", "--yes"]);
    assert!(refused.code == 2 && flat(&refused.err).contains("the live run is over"), "{}", refused.err);
}

#[test]
fn finish_keeps_the_backup_and_a_report_and_says_where() {
    let mut scene = Scene::on_server("");
    done(scene.path(), &["rollback", "--when-ready"]);
    done(scene.path(), &["cutover", "--when-ready"]);
    scene.write(3);
    let said = flat(&done(scene.path(), &["finish", "--yes"]));
    let folder = run_folder(scene.path());
    let named = folder.file_name().unwrap().to_str().unwrap();
    // Who asked is not told before it is there.
    assert!(said.contains(&format!("report: .switchover/runs/{named}/report.md")), "{said}");
    let report = scene.report();
    assert!(scene.engine.0.wait().unwrap().success());
    scene.is_over(3);
    let live = &report["live"];
    let owners = live["owners"].as_array().unwrap();
    let to: Vec<&str> = owners.iter().map(|change| change["to"].as_str().unwrap()).collect();
    assert_eq!(to, ["target", "source", "target"], "{report:#}");
    for change in owners {
        assert!(change["at"].is_string() && change["unavailable_ms"].as_f64() > Some(0.0), "{change:#}");
        assert!(change["total_ms"].as_f64() >= change["unavailable_ms"].as_f64(), "{change:#}");
    }
    assert_eq!(
        (&report["tables"][0]["source_rows"], &report["tables"][0]["target_rows"]),
        (&2.into(), &2.into())
    );
    assert!(report["seconds"].as_f64() >= live["finish_seconds"].as_f64(), "{report:#}");
    let told = live.to_string();
    assert!(live["compared_at"].is_string() && told.contains("fence") && told.contains("backup"), "{told}");
    let people = std::fs::read_to_string(folder.join("report.md")).unwrap();
    for part in ["## Changes of the owner", "## Removed", "## What stays", "| backup |", "2 rows by "] {
        assert!(people.contains(part), "{part}: {people}");
    }
    // The backup is the one that the report names, and the source as it was when the run began.
    let backup = scene.path().join(report["backup"]["path"].as_str().unwrap());
    let whole = done(scene.path(), &["backup", "verify", "--file", backup.to_str().unwrap()]);
    assert!(whole.contains("whole"), "{whole}");
    let count = "SELECT count(*) FROM t";
    let rows: i64 = Connection::open(&backup).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 2);
}

#[test]
fn a_reverse_window_whose_source_is_gone_calls_for_somebody_and_can_be_ended() {
    let config = "[cutover.hooks]\nalarm = ['echo \"$SWITCHOVER_PHASE $SWITCHOVER_OWNER: $SWITCHOVER_WHY\" > called']\n";
    let mut scene = Scene::on_server(config);
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        std::fs::rename(scene.path().join(name), scene.path().join(format!("lost-{name}"))).unwrap();
    }
    scene.write(3);
    until(scene.path(), |live| is_held_by(live, "app.db"));
    let refused = run(scene.path(), &["finish", "--yes"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    // Not beside an engine.
    let refused = run(scene.path(), &["finish", "--abandon-source", "--yes"]);
    assert!(refused.code != 0 && flat(&refused.err).contains("another process"), "{}", refused.err);
    // The shell makes the file, and then writes the line.
    let said = || std::fs::read_to_string(scene.path().join("called")).unwrap_or_default();
    let called = until(scene.path(), |_| said().ends_with('\n'));
    let text = said();
    assert!(text.starts_with("alarm target: ") && text.contains("app.db"), "{text}: {called:#}");
    scene.stop();
    let said = flat(&done(scene.path(), &["finish", "--abandon-source", "--yes"]));
    assert!(said.contains("report.md"), "{said}");
    scene.write(4);
    scene.is_over(4);
    let told = scene.report()["live"]["stays"].to_string();
    assert!(told.contains("it was given up and not opened"), "{told}");
    assert!(!scene.path().join("app.db").exists(), "it is not opened");
}

/// A source that is lost in one of these ways, and what is said of it.
enum Lost {
    Gone,
    Damaged,
    /// As where its disk can only be read.
    Shut,
}

#[test]
fn a_source_that_is_lost_is_said_with_the_way_out() {
    for lost in [Lost::Gone, Lost::Damaged, Lost::Shut] {
        let mut scene = Scene::on_server("");
        let (folder, file) = (scene.path().to_owned(), scene.path().join("app.db"));
        scene.stop();
        scene.source = Connection::open_in_memory().unwrap();
        // The last one that has it open folds its log back.
        drop(Connection::open(&file).unwrap().query_row("SELECT 1 FROM t", [], |_| Ok(())));
        match lost {
            Lost::Gone => std::fs::remove_file(&file).unwrap(),
            Lost::Damaged => std::fs::write(&file, [7; 8192]).unwrap(),
            Lost::Shut => std::fs::create_dir(folder.join("app.db-wal")).unwrap(),
        }
        scene.write(3);
        scene.engine = begin(&folder, &["resume"]);
        let id = scene.engine.0.id();
        let way_out = "lost for good, stop the engine, and `switchover finish --abandon-source`";
        until(&folder, |live| live["pid"] == id && is_held_by(live, way_out));
        for verb in [&["finish", "--yes"][..], &["rollback"]] {
            let refused = run(&folder, verb);
            let said = flat(&refused.err);
            assert!(refused.code != 0 && said.contains(way_out), "{verb:?}: {said}");
        }
        scene.stop();
        done(&folder, &["finish", "--abandon-source", "--yes"]);
        scene.is_over(3);
    }
}

/// The source is lost while a rollback is proposed: the target owns the data, whoever would have been next.
#[test]
fn a_rollback_that_was_never_decided_does_not_keep_a_source_from_being_given_up() {
    for to in [To::Server(Cluster::shared().unwrap().fresh_database("proposed").unwrap()), To::File] {
        let mut scene = Scene::new(to, "");
        scene.stop();
        verb_killed_at(&scene, &["rollback"], "switch-fenced=return");
        std::fs::remove_file(scene.path().join("app.db")).unwrap();
        done(scene.path(), &["finish", "--abandon-source", "--yes"]);
        scene.write(3);
        scene.is_over(3);
    }
}

#[test]
fn a_source_that_owns_the_data_cannot_be_given_up() {
    let (folder, _source) = application();
    let mut engine = begin(folder.path(), &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder.path(), is_same);
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    let refused = run(folder.path(), &["finish", "--abandon-source", "--yes"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(flat(&refused.err).contains("the source owns the data"), "{}", refused.err);
    let live = until(folder.path(), |_| true);
    assert!(live["phase"] == "following" && is_same(&live), "{live:#}");
}

#[test]
fn a_target_that_somebody_emptied_is_not_taken_for_a_run_that_is_over() {
    let mut scene = Scene::on_server("");
    scene.stop();
    scene.to.database().unwrap().psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").unwrap();
    for verb in [&["finish", "--abandon-source", "--yes"][..], &["finish", "--yes"]] {
        let refused = run(scene.path(), verb);
        assert!(refused.code != 0, "{verb:?}: {}", refused.out);
        assert!(!done(scene.path(), &["status"]).contains("cleaned up"), "{verb:?}");
    }
}

/// The target has left already, and is the application's alone: what is left is done when it can be, and nothing else.
#[test]
fn a_finish_that_fails_at_the_source_is_ended_by_the_same_engine() {
    for server in [true, false] {
        let (folder, _other) = application();
        let path = folder.path();
        std::fs::create_dir(path.join("small")).unwrap();
        let Some(disk) = Disk::mount(&path.join("small"), 2048) else { return };
        let source = Connection::open(path.join("small/app.db")).unwrap();
        source
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
                 INSERT INTO t VALUES (1, 'one'), (2, 'two')",
            )
            .unwrap();
        let database = server.then(|| Cluster::shared().unwrap().fresh_database("full").unwrap());
        let name = database.as_ref().map_or("sqlite:new.db".into(), Database::conninfo);
        let write = |id: i64| {
            let sql = format!("INSERT INTO t VALUES ({id}, 'late {id}')");
            match &database {
                Some(database) => drop(database.psql(&sql).unwrap()),
                None => Connection::open(path.join("new.db")).unwrap().execute_batch(&sql).unwrap(),
            }
        };
        let mut engine = begin(path, &["start", "--from", "sqlite:small/app.db", "--to", &name]);
        until(path, is_same);
        done(path, &["cutover"]);
        until(path, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
        let ballast = disk.fill();
        let refused = run(path, &["finish", "--yes"]);
        let said = flat(&refused.err);
        assert!(refused.code == 2 && said.contains("the disk is full"), "{said}");
        assert!(said.contains("is being finished"), "{said}");
        until(path, |live| is_held_by(live, "is being finished") && live["pid"] == engine.0.id());
        write(3);
        // Nothing is taken back, and nobody is sent to move the only data away.
        for verb in [&["rollback"][..], &["rollback", "--discard-target-changes"], &["cutover"]] {
            let refused = run(path, verb);
            let said = flat(&refused.err);
            assert!(refused.code != 0 && said.contains("is being finished"), "{verb:?}: {said}");
            assert!(!said.contains("move away"), "{verb:?}: {said}");
        }
        let refused = run(path, &["finish", "--yes"]);
        assert!(refused.code == 2 && !flat(&refused.err).contains("move away"), "{}", refused.err);
        std::fs::remove_file(ballast).unwrap();
        let said = flat(&done(path, &["finish", "--yes"]));
        assert!(said.contains("report.md"), "{said}");
        assert!(engine.0.wait().unwrap().success());
        write(4);
        assert!(done(path, &["status"]).contains("cleaned up"));
        route_is_over(path, "target");
        let left: i64 = source.query_row(REMAINS, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }
}

/// It ends by itself, whoever asked; and an engine that is taken up waits as well.
#[test]
fn a_finish_that_is_held_is_gone_on_with_by_the_next_engine() {
    let (folder, _other) = application();
    let path = folder.path();
    std::fs::create_dir(path.join("small")).unwrap();
    let Some(disk) = Disk::mount(&path.join("small"), 2048) else { return };
    let source = Connection::open(path.join("small/app.db")).unwrap();
    source
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
        .unwrap();
    let mut engine = begin(path, &["start", "--from", "sqlite:small/app.db", "--to", "sqlite:new.db"]);
    until(path, is_same);
    done(path, &["cutover"]);
    until(path, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    let ballast = disk.fill();
    assert_eq!(run(path, &["finish", "--yes"]).code, 2);
    until(path, |live| is_held_by(live, "is being finished"));
    signalled(engine.0.id(), "INT");
    assert_eq!(engine.0.wait().unwrap().code(), Some(0));
    // Without an engine it is said, too, and one that is taken up stays.
    let refused = run(path, &["finish", "--yes"]);
    assert!(refused.code == 2 && flat(&refused.err).contains("is being finished"), "{}", refused.err);
    let mut engine = begin(path, &["resume"]);
    until(path, |live| live["pid"] == engine.0.id() && is_held_by(live, "is being finished"));
    std::fs::remove_file(ballast).unwrap();
    assert!(engine.0.wait().unwrap().success());
    route_is_over(path, "target");
    let left: i64 = source.query_row(REMAINS, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

/// How a finish came to nothing.
#[derive(Debug, PartialEq, Eq)]
enum Nothing {
    /// The target refused it.
    Refused,
    /// The same, and the run's folder could not be written when it went on.
    Unkept,
    /// It was killed before the target was left, and another engine went on.
    Killed,
}

#[test]
fn a_finish_that_came_to_nothing_says_nothing_of_what_stands_there_later() {
    let cases = [
        (Nothing::Refused, false),
        (Nothing::Refused, true),
        (Nothing::Unkept, true),
        (Nothing::Killed, true),
    ];
    for (nothing, back) in cases {
        let mut scene = Scene::on_server("");
        let database = || scene.to.database().unwrap();
        match nothing {
            Nothing::Refused | Nothing::Unkept => {
                let no_right = "CREATE FUNCTION public.no_right() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE insufficient_privilege; END $$;
                    CREATE EVENT TRIGGER no_right ON ddl_command_start WHEN TAG IN ('DROP TABLE', 'DROP TRIGGER', 'DROP FUNCTION') EXECUTE FUNCTION public.no_right()";
                database().psql(no_right).unwrap();
                let refused = run(scene.path(), &["finish", "--yes"]);
                assert!(refused.code == 2 && refused.err.contains("42501"), "{}", refused.err);
                database().psql("DROP EVENT TRIGGER no_right").unwrap();
            }
            Nothing::Killed => {
                scene.stop();
                killed_at(&scene, "live-leave-before-commit=return");
                scene.engine = begin(scene.path(), &["resume"]);
                let id = scene.engine.0.id();
                until(scene.path(), |live| live["pid"] == id && live["phase"] == "reverse");
            }
        }
        if back {
            done(scene.path(), &["rollback", "--when-ready"]);
        }
        scene.stop();
        if nothing == Nothing::Unkept {
            std::fs::write(run_folder(scene.path()).join("ending.json"), "true").unwrap();
        }
        // Another state of the target, which knows nothing of the run.
        let other = "DROP SCHEMA public CASCADE; CREATE SCHEMA public;
            CREATE TABLE t (id bigint PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'old')";
        scene.to.database().unwrap().psql(other).unwrap();
        let refused = run(scene.path(), &["finish", "--abandon-source", "--yes"]);
        let said = flat(&refused.err);
        assert!(refused.code == 1, "{nothing:?} {back}: {}{said}", refused.out);
        assert!(said.contains("not a run that was being finished"), "{nothing:?} {back}: {said}");
        assert!(!done(scene.path(), &["status"]).contains("cleaned up"), "{nothing:?} {back}");
    }
}
