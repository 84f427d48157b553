//! What is refused with the plan, what is refused at the cutover, and what a killed process leaves.

use crate::app::App;
use crate::common::{Ran, run};
use crate::scene::Scene;
use crate::types::everything;

/// What `start` says; nothing is written.
fn refusals(source: &str, target: &str, said: &[&str]) -> Ran {
    let scene = Scene::new(App::new(source, target), said);
    let before = scene.app.dump();
    let planned = run(scene.start().arg("--dry-run")).exits(1);
    run(&mut scene.start()).exits(1);
    assert_eq!(scene.app.dump(), before, "nothing is written");
    assert_eq!(scene.of_source("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%switchover%'"), "0");
    planned
}

#[track_caller]
fn all_of(ran: &Ran, words: &[&str]) {
    let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in words {
        assert!(flat.contains(words), "{words} in {ran}");
    }
}

#[test]
fn what_a_live_run_cannot_do_with_tables_that_are_there_is_named() {
    let ran = refusals(
        "CREATE TABLE parts (id INTEGER PRIMARY KEY); CREATE TABLE labelled (k TEXT PRIMARY KEY); CREATE TABLE folded (k TEXT PRIMARY KEY);
         CREATE TABLE room (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER); CREATE TABLE loose (id INTEGER PRIMARY KEY, up INTEGER);
         CREATE TABLE stored (id INTEGER PRIMARY KEY, x INTEGER, y INTEGER); CREATE TABLE down (id INTEGER PRIMARY KEY);
         CREATE TABLE made (id INTEGER PRIMARY KEY, x INTEGER, y INTEGER GENERATED ALWAYS AS (x + 1));
         CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE full (id INTEGER PRIMARY KEY); INSERT INTO full VALUES (1);
         CREATE TABLE rung (id INTEGER PRIMARY KEY);",
        "CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE parts_1 PARTITION OF parts DEFAULT;
         CREATE TYPE word AS ENUM ('a'); CREATE TABLE labelled (k word PRIMARY KEY);
         CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE folded (k text COLLATE any_case PRIMARY KEY);
         CREATE TABLE room (id int PRIMARY KEY, a int, b int, EXCLUDE USING btree (a WITH =));
         CREATE TABLE loose (id int PRIMARY KEY, up int); ALTER TABLE loose ADD CONSTRAINT unsure FOREIGN KEY (up) REFERENCES loose NOT VALID;
         CREATE TABLE stored (id int PRIMARY KEY, x int, y int GENERATED ALWAYS AS (x + 1) STORED);
         CREATE SEQUENCE back INCREMENT -1; CREATE TABLE down (id int PRIMARY KEY DEFAULT nextval('back'));
         CREATE TABLE made (id int PRIMARY KEY, x int, y int);
         CREATE TABLE parent (id int PRIMARY KEY); CREATE SCHEMA beside; CREATE TABLE beside.child (p int CONSTRAINT abroad REFERENCES public.parent ON DELETE CASCADE);
         CREATE TABLE \"full\" (id int PRIMARY KEY); INSERT INTO \"full\" VALUES (1), (2);
         CREATE TABLE rung (id int PRIMARY KEY);
         CREATE FUNCTION ring() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER bell BEFORE INSERT ON rung FOR EACH ROW EXECUTE FUNCTION ring();",
        &["--on-conflict", "replace"],
    );
    all_of(
        &ran,
        &[
            "\"parts\" is divided into partitions",
            "part of the primary key, and the target's public.word",
            "its collation takes different texts for one",
            "room_a_excl cannot be taken down and come back as it was",
            "the foreign key unsure of \"loose\" is not proven by the target",
            "the target computes it and the source stores it",
            "the source computes it and the target stores it",
            "its sequence counts down",
            "the foreign key abroad of beside.child, in another schema",
            "1 rows that only the target has would stay",
            "the trigger bell of the target would run for each row",
        ],
    );
}

#[test]
fn rows_that_are_there_are_refused_unless_all_of_them_give_way() {
    let source = "CREATE TABLE role (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO role VALUES (1, 'Admin'), (2, 'guest')";
    let target = "CREATE TABLE role (id int PRIMARY KEY, name text UNIQUE, note text DEFAULT 'seeded'); INSERT INTO role VALUES (1, 'admin')";
    all_of(
        &refusals(source, target, &[]),
        &["the target's table holds 1 rows already: id=1", "say --on-conflict replace"],
    );
    all_of(&refusals(source, target, &["--on-conflict", "keep"]), &["would stay"]);
    let mut scene = Scene::new(App::new(source, target), &["--on-conflict", "replace"]);
    let before = scene.app.dump();
    scene.begin();
    scene.until_same();
    scene.app.shows("SELECT * FROM role ORDER BY id", "1|Admin|seeded\n2|guest|seeded");
    scene.write("UPDATE role SET name = 'chief' WHERE id = 1; DELETE FROM role WHERE id = 2");
    scene.until_equal("SELECT * FROM role", "1|chief|seeded", false);
    scene.done(&["rollback"]);
    scene.ended().exits(0);
    assert_eq!(scene.app.dump(), before);
}

#[test]
fn who_does_not_own_the_tables_is_refused() {
    let mut app = App::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE other (id INTEGER PRIMARY KEY)",
        "SELECT",
    );
    let role = format!("guest_{}", app.database.name());
    app.psql(&format!(
        "CREATE TABLE p (id int PRIMARY KEY); CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON p TO {role};
         SET ROLE {role}; CREATE TABLE other (id int PRIMARY KEY); RESET ROLE;
         CREATE TABLE note (o int CONSTRAINT from_note REFERENCES other)"
    ));
    app.to = app.server.with_role(&role, None).conninfo(app.database.name());
    let scene = Scene::new(app, &[]);
    let ran = run(scene.start().arg("--dry-run")).exits(1);
    all_of(
        &ran,
        &["the role does not own \"p\"", "the foreign key from_note of \"note\", a table that is not moved"],
    );
    scene.app.psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}

#[test]
fn a_target_whose_definitions_were_changed_is_not_cut_over_to() {
    let mut scene = everything();
    run(&mut scene.app.on_both("rehearse", &["--names", "snake", "--naive-times", "utc"]))
        .exits(1)
        .says("only the application's migrations could make its tables");
    scene.begin();
    scene.until_same();
    for (change, undo) in [
        ("DROP INDEX person_uid", "CREATE UNIQUE INDEX person_uid ON person (uid) WHERE ok"),
        (
            "ALTER TABLE pair DROP CONSTRAINT pair_b_a_key",
            "ALTER TABLE pair ADD CONSTRAINT pair_b_a_key UNIQUE (b, a) DEFERRABLE",
        ),
        (
            "ALTER TABLE person ALTER extra DROP DEFAULT",
            "ALTER TABLE person ALTER extra SET DEFAULT 'the target''s own'",
        ),
        ("ALTER TABLE untouched ADD more int", "ALTER TABLE untouched DROP more"),
        (
            "COMMENT ON CONSTRAINT pair_pkey ON pair IS NULL; DROP INDEX person_mail",
            "CREATE UNIQUE INDEX person_mail ON person (lower(mail)) INCLUDE (id); COMMENT ON INDEX person_mail IS 'one each'",
        ),
    ] {
        scene.app.psql(change);
        run(&mut scene.app.verb("cutover", &["--when-ready"]))
            .exits(1)
            .says("the definitions in the schema \"public\" are not what they were before the run");
        // Nobody was kept from writing by it.
        scene.write("INSERT INTO plain VALUES (5, 'five')");
        scene.app.psql(undo);
    }
    scene.cutover();
    scene.done(&["finish", "--yes"]);
    scene.ended().exits(0);
    scene.defined_as_before();
    scene.app.drop_owner();
}

/// A key of the same name that does another thing is not the one that was made again.
#[test]
fn a_target_whose_foreign_key_was_replaced_is_not_cut_over_to() {
    let source = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE p2 (id INTEGER PRIMARY KEY);
        CREATE TABLE c (id INTEGER PRIMARY KEY, q INTEGER, r INTEGER);
        INSERT INTO p VALUES (1); INSERT INTO p2 VALUES (1); INSERT INTO c VALUES (1, 1, 1)";
    let target = "CREATE TABLE p (id bigint PRIMARY KEY); CREATE TABLE p2 (id bigint PRIMARY KEY);
        CREATE TABLE c (id bigint PRIMARY KEY, q bigint CONSTRAINT plain REFERENCES p,
            r bigint CONSTRAINT acts REFERENCES p ON DELETE CASCADE);
        COMMENT ON CONSTRAINT plain ON c IS 'whose it is'";
    let mut scene = Scene::new(App::new(source, target), &[]);
    scene.begin();
    scene.until_same();
    let plain = "ALTER TABLE \"public\".\"c\" DROP CONSTRAINT \"plain\", ADD CONSTRAINT \"plain\" FOREIGN KEY (q) REFERENCES public.p(id) DEFERRABLE; \
                 COMMENT ON CONSTRAINT \"plain\" ON \"public\".\"c\" IS 'whose it is'";
    let acts = "ALTER TABLE \"public\".\"c\" DROP CONSTRAINT \"acts\"";
    for (change, name, undo) in [
        (
            "DROP CONSTRAINT plain, ADD CONSTRAINT plain FOREIGN KEY (q) REFERENCES p ON DELETE CASCADE",
            "plain",
            plain,
        ),
        ("DROP CONSTRAINT plain, ADD CONSTRAINT plain FOREIGN KEY (q) REFERENCES p2", "plain", plain),
        // It waits under another name meanwhile.
        ("DROP CONSTRAINT IF EXISTS acts, ADD CONSTRAINT acts FOREIGN KEY (r) REFERENCES p2", "acts", acts),
    ] {
        scene.app.psql(&format!("ALTER TABLE c {change}"));
        for verb in [&["--dry-run"], &["--when-ready"]] {
            run(&mut scene.app.verb("cutover", verb))
                .exits(1)
                .says(&format!("the foreign key \"{name}\" of \"c\" is FOREIGN KEY"))
                .says(&format!("undo that ({undo})"));
        }
        // Nobody was kept from writing by it, and what it says works.
        scene.write("UPDATE c SET q = q");
        scene.app.psql(undo);
    }
    // What only says when it is checked is taken back by the run.
    scene.app.psql("ALTER TABLE c ALTER CONSTRAINT plain DEFERRABLE INITIALLY DEFERRED");
    scene.cutover();
    scene.done(&["finish", "--yes"]);
    scene.ended().exits(0);
    scene.defined_as_before();
}

/// What somebody wrote through it would be taken for the application's own; also where the gate is what it was by then.
#[test]
fn a_gate_that_was_open_since_all_was_compared_is_not_cut_over_through() {
    for opened in [
        "ALTER TABLE plain DISABLE TRIGGER _switchover_gate; INSERT INTO plain VALUES (66, 'stray')",
        "DO $do$ DECLARE gate text := pg_get_functiondef('_switchover_gate'::regproc); BEGIN
            CREATE OR REPLACE FUNCTION _switchover_gate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            INSERT INTO plain VALUES (66, 'stray');
            EXECUTE gate;
         END $do$",
    ] {
        let mut scene = everything();
        scene.begin();
        scene.until_same();
        scene.app.psql(opened);
        let ran = run(&mut scene.app.verb("cutover", &[]));
        assert_ne!(ran.code, Some(0), "{ran}");
        let live = scene.until(|live| live["verification"]["verdict"] == "different");
        assert_eq!(live["ownership"]["owner"], "source", "{live:#}");
        scene.done(&["rollback", "--discard-target-changes"]);
        scene.ended().exits(0);
        scene.app.drop_owner();
    }
}

/// Where a run dies before it follows, and what nobody may write meanwhile.
const PREPARING: &[&str] = &[
    "prepare-before-commit=return",
    "prepare-after-commit=return",
    "live-enter-before-commit=return",
    "live-enter-after-commit=return",
    "copy-before-commit=2*off->return",
    "copy-after-commit=7*off->return",
    "build-before-commit=3*off->return",
    "build-after-commit=5*off->return",
];

/// Where one dies that takes the run back.
const TAKING_BACK: &[&str] = &[
    "live-source-leave-before-commit=return",
    "live-source-leave-after-commit=return",
    "live-source-left=return",
    "discard-before-commit=return",
    "live-target-discarded=return",
];

#[test]
fn a_killed_run_is_taken_back_wherever_it_was_and_whoever_takes_it_back_is_killed() {
    for (at, place) in PREPARING.iter().enumerate() {
        let scene = everything();
        let before = scene.app.dump();
        run(scene.start().env("FAILPOINTS", place)).was_killed();
        if *place != "prepare-before-commit=return" {
            // What a rollback takes out is the run's own: nobody else writes there, from the first moment on.
            let refused = scene
                .app
                .database
                .psql("INSERT INTO untouched VALUES (8); INSERT INTO plain VALUES (1, 'x')");
            let refused = format!("{:?}", refused.expect_err("the gate is closed"));
            assert!(refused.contains("takes no writes"), "{place}: {refused}");
            scene.app.psql("DELETE FROM untouched WHERE id = 8");
        }
        let killed = TAKING_BACK[at % TAKING_BACK.len()];
        let ran = run(scene.app.verb("rollback", &[]).env("FAILPOINTS", killed));
        if ran.signal == Some(9) {
            run(&mut scene.app.verb("rollback", &[])).exits(0);
        } else {
            // It was never begun on the target, and there was less to take back.
            ran.exits(0);
        }
        assert_eq!(scene.app.dump(), before, "{place}, {killed}");
        assert_eq!(
            scene.of_source("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%switchover%'"),
            "0",
            "{place}, {killed}"
        );
        let told = scene.done(&["status", "--json"]).out;
        assert!(told.contains("\"state\": \"rolled back\""), "{place}, {killed}: {told}");
        scene.app.drop_owner();
    }
}

#[test]
fn the_plan_of_a_live_run_is_no_plan_for_a_migration() {
    let mut scene = everything();
    scene.begin();
    scene.until_same();
    let runs = std::fs::read_dir(scene.app.folder.path().join(".switchover/runs")).expect("runs");
    let plan =
        runs.flatten().map(|run| run.path().join("plan.json")).find(|path| path.exists()).expect("a plan");
    let copy = scene.app.folder.path().join("live.json");
    std::fs::copy(plan, &copy).expect("a copy");
    scene.done(&["rollback"]);
    scene.ended().exits(0);
    let before = scene.app.dump();
    let stores = ["--from", "sqlite:app.db", "--to", &scene.app.to];
    run(scene.app.verb("migrate", &stores).args(["--no-backup", "--plan", "live.json"]))
        .exits(1)
        .says("it is the plan of a live run");
    assert_eq!(scene.app.dump(), before);
    scene.app.drop_owner();
}
