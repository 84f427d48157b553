//! Real applications' schemas, as their own migrations make them on both stores (`data/applications`): filled, moved while writers
//! write, used on the target, brought back, moved again and finished, by a plain owner of the tables.
//!
//! Every row of every table is touched on each owner, so that each value goes there and back by way of a change, and not only by the copy.

use crate::app::App;
use crate::common::run;
use crate::compare;
use crate::fill;
use crate::known::{JUPYTERHUB, Known, MLFLOW, OPTUNA, SHIORI, WAGTAIL};
use crate::scene::{CONSTRAINTS, Scene};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Writers beside the run.
const WRITERS: u32 = 2;

/// What a writer rests: the engine takes some hundred changes a second on a slow machine.
const PAUSE: Duration = Duration::from_millis(15);

struct Application {
    known: Known,
    /// What the application writes on the source, over and over; `{n}` is another number each time.
    writes: &'static str,
    /// What it does on the target, and what that answers.
    workload: &'static str,
    answers: &'static str,
}

fn check(application: &Application) {
    let known = &application.known;
    let app = App::owned(known.source, known.target);
    std::fs::write(app.folder.path().join("switchover.toml"), known.mapping).expect("a mapping");
    fill::fill(&app.open(), known.left, known.words);
    let mut scene = Scene::new(app, known.said);
    let before = scene.app.dump();
    let constraints = scene.app.psql(CONSTRAINTS).replace('\t', "|");
    let (stop, number, path) = (AtomicBool::new(false), AtomicU32::new(0), scene.app.file());
    std::thread::scope(|scope| {
        // A test that fails must not wait for its writers.
        let halt = Halt(&stop);
        for _ in 0..WRITERS {
            scope.spawn(|| write(&path, application.writes, &number, &stop));
        }
        scene.begin();
        scene.until_same();
        touch_source(&scene, application);
        scene.until_same();
        scene.done(&["verify", "--live"]);
        drop(halt);
    });
    assert!(number.load(Ordering::SeqCst) > WRITERS * 3, "the application wrote all the while");
    // Taken back first: what was there comes back, seeded rows included.
    scene.done(&["rollback"]);
    scene.ended().exits(0);
    assert_eq!(scene.app.dump(), before, "a rollback leaves what was there");
    scene.begin();
    scene.until_same();
    touch_source(&scene, application);
    scene.cutover();
    scene.constrained_as(&constraints);
    equal(&scene, application);
    for table in fill::tables(&scene.app.open()) {
        if is_moved(&table, application) {
            let key = first_column(&scene, &table);
            scene.app.psql(&format!("UPDATE \"{table}\" SET \"{key}\" = \"{key}\""));
        }
    }
    let answers = scene.app.psql(application.workload).replace('\t', "|");
    assert_eq!(answers, application.answers, "the application goes on");
    scene.rollback();
    equal(&scene, application);
    touch_source(&scene, application);
    scene.until_same();
    scene.cutover();
    scene.constrained_as(&constraints);
    equal(&scene, application);
    scene.done(&["finish", "--yes"]);
    scene.ended().exits(0);
    scene.defined_as_before();
    equal(&scene, application);
    scene.app.drop_owner();
}

/// Tells the writers to end, also when the test does.
struct Halt<'a>(&'a AtomicBool);

impl Drop for Halt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn write(path: &std::path::Path, writes: &str, number: &AtomicU32, stop: &AtomicBool) {
    let store = rusqlite::Connection::open(path).expect("the source");
    store.busy_timeout(Duration::from_secs(20)).expect("patience");
    store.execute_batch("PRAGMA foreign_keys = ON").expect("a setting");
    while !stop.load(Ordering::SeqCst) {
        let n = 1_000 + number.fetch_add(1, Ordering::SeqCst);
        let sql = format!("BEGIN IMMEDIATE; {} COMMIT", writes.replace("{n}", &n.to_string()));
        store.execute_batch(&sql).expect("the source takes it");
        std::thread::sleep(PAUSE);
    }
}

fn is_moved(table: &str, application: &Application) -> bool {
    !application.known.left.contains(&table) && !table.starts_with("_switchover")
}

fn first_column(scene: &Scene, table: &str) -> String {
    scene.of_source(&format!("SELECT name FROM pragma_table_info('{table}') WHERE cid = 0"))
}

/// A change of every row that is none.
fn touch_source(scene: &Scene, application: &Application) {
    for table in fill::tables(&scene.app.open()) {
        if is_moved(&table, application) {
            let key = first_column(scene, &table);
            scene.write(&format!("UPDATE \"{table}\" SET \"{key}\" = \"{key}\""));
        }
    }
}

/// That both stores hold the same, by plain clients, once the follower has what the owner wrote.
#[track_caller]
fn equal(scene: &Scene, application: &Application) {
    let store = scene.app.open();
    for table in fill::tables(&store) {
        if !is_moved(&table, application) {
            continue;
        }
        let names = scene.of_source(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let columns: Vec<String> = names.lines().map(str::to_owned).collect();
        let more = compare::beside(&store, &scene.app.database, &table, &columns);
        assert!(more.is_empty(), "{table}: only the target holds {more:?}");
    }
}

#[test]
fn optuna() {
    check(&Application {
        known: OPTUNA,
        writes: "INSERT INTO trials (number, study_id, state, datetime_start) VALUES ({n}, 1, 'RUNNING', '2024-03-01 00:00:00.000000');
            INSERT INTO trial_user_attributes (trial_id, key, value_json) SELECT max(trial_id), 'k', '{\"n\": {n}}' FROM trials;
            UPDATE trials SET state = 'COMPLETE', datetime_complete = '2024-03-01 00:00:01.{n}00' WHERE number = {n} - 3 AND study_id = 1;
            DELETE FROM trial_user_attributes WHERE trial_id = (SELECT trial_id FROM trials WHERE number = {n} - 5 AND study_id = 1);",
        workload: "INSERT INTO studies (study_name) VALUES ('born there') RETURNING study_id > 40;
            INSERT INTO trials (number, study_id, state, datetime_start) SELECT 99, max(study_id), 'RUNNING', '2024-05-06 07:08:09.5' FROM studies RETURNING trial_id > 50;
            UPDATE trials SET state = 'FAIL' WHERE number = 99 RETURNING state;",
        answers: "t\nt\nFAIL",
    });
}

#[test]
fn jupyterhub() {
    check(&Application {
        known: JUPYTERHUB,
        writes: "INSERT INTO users (name, admin, cookie_id, last_activity) VALUES ('u{n}', 0, 'c{n}', '2024-03-01 00:00:00.{n}00');
            UPDATE users SET last_activity = '2024-03-02 00:00:00' WHERE name = 'u' || ({n} - 2); DELETE FROM users WHERE name = 'u' || ({n} - 4);",
        workload: "INSERT INTO users (name, admin, cookie_id) VALUES ('new', false, 'c') RETURNING id > 43;
            INSERT INTO roles (name, managed_by_auth) VALUES ('new', false) RETURNING id > 44;
            DELETE FROM users WHERE name = 'grace' RETURNING admin;
            UPDATE users SET encrypted_auth_state = '\\xff00' WHERE name = 'ada' RETURNING encode(encrypted_auth_state, 'hex');",
        answers: "t\nt\nf\nff00",
    });
}

#[test]
fn mlflow() {
    check(&Application {
        known: MLFLOW,
        writes: "INSERT INTO experiments (name, lifecycle_stage) VALUES ('e{n}', 'active');
            INSERT INTO experiment_tags (key, value, experiment_id) SELECT 'k', '{n}', max(experiment_id) FROM experiments;
            UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'e' || ({n} - 2);",
        workload: "INSERT INTO experiments (name, lifecycle_stage) VALUES ('new', 'active') RETURNING experiment_id > 41;
            UPDATE metrics SET value = 0.1::float8 + 0.2::float8 WHERE key = 'loss' RETURNING step IS NULL;",
        answers: "t\nf\nf\nf",
    });
}

#[test]
fn wagtail() {
    check(&Application {
        known: WAGTAIL,
        writes: "INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
                VALUES ('', 0, 'u{n}', '', '', '', 0, 1, '2024-03-01 00:00:00.{n}00');
            UPDATE wagtailcore_page SET title = 'n{n}', last_published_at = '2024-03-01 00:00:00' WHERE slug = 's1';
            DELETE FROM auth_user WHERE username = 'u' || ({n} - 4);",
        workload: "INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
                VALUES ('', false, 'new', '', '', '', false, true, '2025-01-02 03:04:05.000006+00') RETURNING id > 42;
            UPDATE wagtailcore_page SET title = 'after' WHERE slug = 's1' RETURNING live;
            SELECT content ->> 'title' FROM wagtailcore_revision ORDER BY id LIMIT 1;",
        answers: "t\nt\nSeite 0 ß",
    });
}

/// What a live run does not take back to the source is refused with the plan.
#[test]
fn what_cannot_come_back_is_refused() {
    let app = App::owned(SHIORI.source, SHIORI.target);
    std::fs::write(app.folder.path().join("switchover.toml"), SHIORI.mapping).expect("a mapping");
    let scene = Scene::new(app, &[]);
    let before = scene.app.dump();
    let ran = run(scene.start().arg("--dry-run")).exits(1);
    assert!(ran.out.contains("the mapping's `value`"), "{ran}");
    run(&mut scene.start()).exits(1);
    assert_eq!(scene.app.dump(), before, "nothing is written");
    scene.app.drop_owner();
}
