//! The verbs of live runs as a hostile user meets them: at the wrong time, twice, and on stores that somebody alters.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{application, begin, is_held_by, is_same, until};
use program::{done, flat, run};
use std::process::Command;

const START: [&str; 5] = ["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];

#[test]
fn a_run_whose_source_is_altered_is_held_and_can_be_taken_back() {
    let (folder, file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    file.execute_batch("CREATE TABLE extra (id INTEGER PRIMARY KEY)").unwrap();
    until(folder, |live| is_held_by(live, "made after the run began"));
    let refused = run(folder, &["cutover"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("undo that change"), "{}", refused.err);
    file.execute_batch("DROP TABLE extra").unwrap();
    until(folder, is_same);
    file.execute_batch("ALTER TABLE t ADD COLUMN y").unwrap();
    until(folder, |live| is_held_by(live, "altered"));
    assert!(engine.0.try_wait().unwrap().is_none());
    done(folder, &["rollback"]);
    assert!(engine.0.wait().unwrap().success());
    let left = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_switchover%' ESCAPE '\\'";
    assert_eq!(file.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    let over = run(folder, &["pause"]);
    assert!(over.code == 2 && flat(&over.err).contains("is over"), "{}", over.err);
}

#[test]
fn a_run_that_nobody_drives_is_taken_back_though_its_source_was_altered() {
    let (folder, file) = application();
    let folder = folder.path();
    let engine = begin(folder, &START);
    until(folder, is_same);
    drop(engine);
    file.execute_batch("CREATE TABLE extra (id INTEGER PRIMARY KEY)").unwrap();
    let refused = run(folder, &["cutover"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("made after the run began"), "{}", refused.err);
    done(folder, &["rollback"]);
    assert!(!folder.join("new.db").exists());
}

#[test]
fn a_cutover_whose_asker_has_gone_is_not_made_later() {
    let (folder, file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    let early = run(folder, &["finish", "--yes"]);
    assert!(early.code == 1 && flat(&early.err).contains("the source owns the data"), "{}", early.err);
    done(folder, &["pause"]);
    let refused = run(folder, &["cutover"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("the run is paused"), "{}", refused.err);
    let mut asked = begin(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["waiting"] == true);
    assert!(Command::new("kill").args(["-INT", &asked.0.id().to_string()]).status().unwrap().success());
    assert_eq!(asked.0.wait().unwrap().code(), Some(2));
    done(folder, &["resume"]);
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    until(folder, |live| live["rows_taken"].as_u64() >= Some(1));
    until(folder, |live| live["ownership"]["owner"] == "source" && live["phase"] == "following");
    file.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
    done(folder, &["cutover"]);
    let twice = run(folder, &["cutover"]);
    assert!(twice.code == 1 && flat(&twice.err).contains("owns the data already"), "{}", twice.err);
    // Nobody can be asked here: it says what would go, and nothing goes.
    let unasked = run(folder, &["finish"]);
    let said = flat(&unasked.err);
    assert!(unasked.code == 2 && said.contains("no way back") && said.contains("give --yes"), "{said}");
    assert!(said.contains("app.db") && said.contains("new.db"), "{said}");
    until(folder, |live| live["phase"] == "reverse");
    done(folder, &["finish", "--yes"]);
}
