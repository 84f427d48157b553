//! What an application does to a target's tables after the run, where the source knows nothing of it: a rollback sees it,
//! and undoes it only when told.

use crate::app::App;
use crate::common::run;

fn app() -> App {
    App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
         CREATE TABLE plain (id INTEGER PRIMARY KEY); INSERT INTO plain VALUES (1);
         CREATE TABLE more (id INTEGER PRIMARY KEY); INSERT INTO more VALUES (1); CREATE TABLE most (id INTEGER PRIMARY KEY); INSERT INTO most VALUES (1);",
        "CREATE TABLE t (v text, id int PRIMARY KEY, note text, touched timestamptz DEFAULT now(), search tsvector,
            shout text GENERATED ALWAYS AS (upper(v)) STORED, token uuid DEFAULT gen_random_uuid());
         CREATE TRIGGER t_search BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(search, 'pg_catalog.english', v);
         INSERT INTO t (id, v, note) VALUES (9, 'seeded', 'mine');
         CREATE TABLE plain (id int PRIMARY KEY); CREATE TABLE more (id int PRIMARY KEY, own text); CREATE TABLE most (id int PRIMARY KEY, own text);
         CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1, 9);
         CREATE SCHEMA far; CREATE TABLE far.child (p int REFERENCES plain ON DELETE CASCADE, t int REFERENCES t ON DELETE SET NULL);",
    )
}

#[test]
fn what_only_the_target_has_is_not_undone_in_silence() {
    for rebuild in [&["--on-conflict", "keep"][..], &["--on-conflict", "keep", "--rebuild"]] {
        let app = app();
        let before = app.dump();
        run(&mut app.migrate(rebuild)).exits(0);
        // Nothing happened: it goes back, and the way is free again.
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before);
        run(&mut app.migrate(rebuild)).exits(0);
        for (change, words, undo) in [
            (
                "UPDATE t SET note = 'new' WHERE id = 1",
                "in what only the target has (note, touched, search, token)",
                "UPDATE t SET note = NULL WHERE id = 1",
            ),
            (
                "UPDATE t SET touched = touched + interval '1 microsecond' WHERE id = 2",
                "in what only the target has",
                "UPDATE t SET touched = touched - interval '1 microsecond' WHERE id = 2",
            ),
            (
                "INSERT INTO child VALUES (2, 3)",
                "1 rows of public.child refer to rows of \"t\" that the run wrote",
                "DELETE FROM child WHERE id = 2",
            ),
            (
                "INSERT INTO far.child VALUES (1, NULL), (1, NULL)",
                "2 rows of far.child refer to rows of \"plain\" that the run wrote",
                "DELETE FROM far.child",
            ),
            (
                "INSERT INTO far.child VALUES (NULL, 3)",
                "1 rows of far.child refer to rows of \"t\"",
                "DELETE FROM far.child",
            ),
        ] {
            app.psql(change);
            // The source's values are all there.
            run(&mut app.on_both("verify", rebuild)).exits(0);
            let changed = app.dump();
            run(&mut app.verb("rollback", &[])).exits(1).says(words).says("--discard-target-changes");
            assert_eq!(app.dump(), changed, "{change}");
            app.psql(undo);
        }
        // A row that was there may have children of its own.
        app.psql("INSERT INTO child VALUES (3, 9)");
        run(&mut app.verb("rollback", &[])).exits(0);
        app.shows("SELECT id, t FROM child ORDER BY id", "1|9\n3|9");
        app.psql("DELETE FROM child WHERE id = 3");
        assert_eq!(app.dump(), before);
    }
}

#[test]
fn a_resumed_run_knows_what_it_left_too() {
    let app = app();
    let before = app.dump();
    for place in [
        "build-before-commit=return",
        "build-after-commit=return",
        "build-after-commit=1*off->return",
        "after-build=return",
    ] {
        run(app.migrate(&["--on-conflict", "keep"]).env("FAILPOINTS", place)).was_killed();
        run(&mut app.verb("resume", &[])).exits(0);
        app.psql("UPDATE t SET note = 'new' WHERE id = 1");
        run(&mut app.verb("rollback", &[])).exits(1).says("in what only the target has");
        run(&mut app.verb("rollback", &["--discard-target-changes"])).exits(0);
        assert_eq!(app.dump(), before, "{place}");
    }
}

/// Tables that the run made are the application's from then on: what it adds to them would go with them.
#[test]
fn a_column_that_came_to_a_table_of_the_run_is_not_dropped_in_silence() {
    let app =
        App::new("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a');", "SELECT");
    let more = "ALTER TABLE t ADD COLUMN w text; UPDATE t SET w = 'x'";
    for to in [&*app.to, "sqlite:new.db"] {
        let stores = ["--from", "sqlite:app.db", "--to", to];
        run(app.verb("migrate", &stores).arg("--no-backup")).exits(0);
        if to == app.to {
            app.psql(more);
        } else {
            let file = rusqlite::Connection::open(app.folder.path().join("new.db")).expect("the target");
            file.execute_batch(more).expect("the application's SQL");
        }
        run(&mut app.verb("rollback", &stores)).exits(1).says("columns that the run did not make (\"w\")");
        run(app.verb("rollback", &stores).arg("--discard-target-changes")).exits(0);
    }
    app.shows("SELECT to_regclass('t') IS NULL", "t");
    assert!(!app.folder.path().join("new.db").exists());
}
