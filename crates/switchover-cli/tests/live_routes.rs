//! Two live runs in one state folder: each has a route of its own, and what is asked names one of them. And a route that cannot be
//! written where it was.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{Engine, application, begin, is_same, run_folder, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};

const START: [&str; 5] = ["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];

/// What is asked without a name is done to neither of two live runs; gives their names.
#[track_caller]
fn asked_without_a_name(folder: &Path) -> Vec<String> {
    let runs = std::fs::read_dir(folder.join(".switchover/runs")).unwrap();
    let runs: Vec<String> = runs.map(|run| run.unwrap().file_name().into_string().unwrap()).collect();
    for verb in [
        &["cutover"][..],
        &["rollback"],
        &["finish", "--yes"],
        &["pause"],
        &["resume"],
        &["throttle", "rows_per_s=5"],
        &["reads", "10%"],
        &["verify", "--live"],
        &["verify", "--live", "--continuous"],
    ] {
        let refused = run(folder, verb);
        let said = flat(&refused.err);
        assert!(refused.code == 1 && said.contains("2 live runs are not over"), "{verb:?}: {said}");
        assert!(said.contains("--run") && runs.iter().all(|run| said.contains(run)), "{verb:?}: {said}");
        assert!(said.contains("(sqlite:other.db → sqlite:more.db)"), "{verb:?}: {said}");
    }
    runs
}

#[test]
fn a_second_live_run_takes_no_route_of_one_that_is_not_over() {
    let (folder, _file) = application();
    let folder = folder.path();
    let other = Connection::open(folder.join("other.db")).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
    other.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let told = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let (own, new) = (".switchover/route.json", "second.json");
    let mut engine = begin(folder, &START);
    wait_for(|| told(own).contains("\"ready\""));
    let (first, before) = (run_folder(folder).file_name().unwrap().to_str().unwrap().to_owned(), told(own));
    let second = ["start", "--from", "sqlite:other.db", "--to", "sqlite:more.db"];
    let dry = [&second[..], &["--dry-run"]].concat();
    for verb in [&dry[..], &second] {
        let refused = run(folder, verb);
        let said = flat(&refused.err);
        assert!(
            refused.code == 1 && said.contains(own) && said.contains("which is not over"),
            "{verb:?}: {said}"
        );
        assert!(said.contains(&first) && said.contains("SWITCHOVER_ROUTE"), "{verb:?}: {said}");
    }
    let runs = std::fs::read_dir(folder.join(".switchover/runs")).unwrap().count();
    let made = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_switchover%' ESCAPE '\\'";
    let made: i64 = other.query_row(made, [], |row| row.get(0)).unwrap();
    assert_eq!((runs, made, told(own)), (1, 0, before.clone()));
    // With a route of its own it goes, and the first one is not disturbed.
    let mut start = Command::new(env!("CARGO_BIN_EXE_switchover"));
    start.args(second).env("SWITCHOVER_ROUTE", new).current_dir(folder);
    start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let second_engine = Engine(start.spawn().unwrap());
    wait_for(|| told(new).contains("\"ready\""));
    let both = asked_without_a_name(folder);
    let other = both.iter().find(|run| **run != first).unwrap();
    let refused = run(folder, &["reads", "10%", "--run", other]);
    let said = flat(&refused.err);
    assert!(refused.code == 1 && said.contains(&format!("it is the route of the run {first}")), "{said}");
    for named in [&first, other] {
        let said = flat(&done(folder, &["verify", "--live", "--run", named]));
        assert!(said.starts_with(&format!("run {named}: yes: ")), "{said}");
    }
    done(folder, &["reads", "10%", "--run", &first]);
    done(folder, &["reads", "0%", "--route", own]);
    let said = flat(&done(folder, &["cutover", "--when-ready", "--run", &first]));
    assert!(said.starts_with(&format!("run {first}: the owner changed to the target")), "{said}");
    assert!(told(own).contains("\"owner\": \"target\"") && told(new).contains("\"owner\": \"source\""));
    drop(second_engine);
    // One that is over keeps nobody away, nor does one whose folder is gone.
    done(folder, &["rollback", "--when-ready", "--run", &first]);
    // The status is written beside the answer, not before it.
    let status = format!(".switchover/runs/{first}/live.json");
    wait_for(|| {
        let live: serde_json::Value = serde_json::from_str(&told(&status)).unwrap_or_default();
        live["ownership"]["owner"] == "source" && live["phase"] != "switching" && is_same(&live)
    });
    done(folder, &["rollback", "--run", &first]);
    assert!(engine.0.wait().unwrap().success() && told(own).contains("\"lost\""), "{}", told(own));
    let again = [&START[..], &["--dry-run"]].concat();
    done(folder, &again);
    std::fs::write(folder.join(own), before.replace(&first, "20000101t000000000-000000")).unwrap();
    done(folder, &again);
}

#[test]
fn the_one_live_run_that_is_not_over_is_meant_without_its_name() {
    let (folder, _file) = application();
    let folder = folder.path();
    let other = Connection::open(folder.join("other.db")).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY)").unwrap();
    other.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let told = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let _engine = begin(folder, &START);
    wait_for(|| told(".switchover/route.json").contains("\"ready\""));
    let first = run_folder(folder).file_name().unwrap().to_str().unwrap().to_owned();
    let second = ["start", "--from", "sqlite:other.db", "--to", "sqlite:more.db", "--route", "second.json"];
    let mut newer = begin(folder, &second);
    wait_for(|| told("second.json").contains("\"ready\""));
    let runs = std::fs::read_dir(folder.join(".switchover/runs")).unwrap();
    let mut runs = runs.map(|run| run.unwrap().file_name().into_string().unwrap());
    done(folder, &["rollback", "--run", &runs.find(|run| *run != first).unwrap()]);
    assert!(newer.0.wait().unwrap().success());
    let said = flat(&done(folder, &["verify", "--live"]));
    assert!(said.starts_with(&format!("run {first}: yes: ")), "{said}");
    let said = flat(&done(folder, &["cutover", "--when-ready"]));
    assert!(said.starts_with(&format!("run {first}: the owner changed to the target")), "{said}");
}

#[test]
fn a_run_whose_route_cannot_be_written_is_taken_up_with_another() {
    let (folder, _file) = application();
    let folder = folder.path();
    std::fs::write(folder.join("switchover.toml"), "[cutover]\nroute = 'told/route.json'\n").unwrap();
    let engine = begin(folder, &START);
    // Behind that nothing is written there before somebody asks.
    let told = || std::fs::read_to_string(folder.join("told/route.json")).unwrap_or_default();
    wait_for(|| told().contains("\"ready\""));
    std::fs::rename(folder.join("told"), folder.join("away")).unwrap();
    std::fs::write(folder.join("told"), "").unwrap();
    let refused = run(folder, &["cutover"]);
    let said = flat(&refused.err);
    assert!(refused.code == 2 && said.contains("cannot keep the route"), "{} {said}", refused.code);
    assert!(said.contains("--route of `switchover start`") && said.contains("SWITCHOVER_ROUTE"), "{said}");
    // What it says works.
    drop(engine);
    let engine = begin(folder, &["resume", "--route", "new.json"]);
    let id = engine.0.id();
    until(folder, |live| live["pid"] == id && is_same(live));
    done(folder, &["cutover", "--when-ready"]);
    let told = std::fs::read_to_string(folder.join("new.json")).unwrap();
    assert!(told.contains("\"owner\": \"target\""), "{told}");
}
