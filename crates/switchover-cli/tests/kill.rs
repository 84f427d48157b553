//! `kill -9` before and after every durable effect, by real processes.
//!
//! For each place: the run dies there; then `resume` finishes it and the target equals the source, or
//! `rollback` leaves the target as it was. Then deaths during `resume` and during `rollback` as well.
#![cfg(feature = "failpoints")]

mod common;

use common::case::{Case, GOALS, Goal, Origin, PAIRS, Pair};
use common::killed::{self, PLACES, PLACES_OF_ONE, at, finish, passes};
use common::run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every place of these pairs.
fn places(pairs: impl Iterator<Item = Pair>) -> Vec<(Pair, &'static str)> {
    let shared = pairs.flat_map(|pair| PLACES.iter().map(move |place| (pair, *place)));
    let shared = shared.filter(|(pair, place)| passes(*pair, place));
    let of_one = PLACES_OF_ONE.iter().map(|(goal, place)| ((Origin::Sqlite, *goal), *place));
    shared.chain(of_one).collect()
}

/// Checks every case, four at a time (a killed run waits more than it computes), and names all that fail.
fn every<T: Copy + Send + Sync + std::fmt::Debug>(cases: &[T], check: impl Fn(T) + Sync) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| check(*case))).is_err() {
                        failed.lock().expect("not poisoned").push(*case);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("not poisoned");
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

#[test]
fn a_killed_run_resumes_and_ends_equal() {
    every(&places(PAIRS.into_iter()), |(pair, place)| killed::goes_on(pair, place));
}

#[test]
fn a_killed_run_rolls_back_to_what_was_there() {
    // A rollback has to do with the target alone: each of them, from one source.
    let pairs = PAIRS.into_iter().filter(|(origin, _)| *origin == Origin::Sqlite);
    every(&places(pairs), |(pair, place)| killed::goes_back(pair, place));
}

#[test]
fn a_run_killed_again_while_it_resumes_ends_equal() {
    let places = [
        ("copy-before-commit=5*off->return", "prepare-before-commit=return"),
        ("copy-before-commit=5*off->return", "prepare-after-commit=return"),
        ("copy-after-commit=5*off->return", "copy-before-rows=return"),
        ("copy-after-commit=9*off->return", "copy-before-commit=6*off->return"),
        ("quarantine-before-commit=3*off->return", "copy-after-commit=2*off->return"),
        ("after-copy=return", "build-before-commit=2*off->return"),
        ("build-after-commit=2*off->return", "build-after-commit=2*off->return"),
        ("after-build=return", "report-before=return"),
        ("journal-torn-line=1*off->return", "journal-torn-line=return"),
        ("backup-before-note=return", "backup-before-note=return"),
    ];
    // What a pair does not have is not in play: only one source holds what goes to quarantine, and only that target takes
    // more than two steps to build; a dump takes one, and is not prepared twice.
    let meets = |(origin, goal): Pair, (first, second): (&str, &str)| {
        let whole = (origin, goal) == (Origin::Sqlite, Goal::Postgres);
        let parts = first.contains("quarantine") || second.contains("build");
        let again = first.starts_with("build") || second.starts_with("prepare");
        (whole || !parts) && (goal != Goal::Json || !again) && passes((origin, goal), first)
    };
    let cases = PAIRS.into_iter().flat_map(|pair| places.map(|place| (pair, place)));
    let cases: Vec<_> = cases.filter(|(pair, place)| meets(*pair, *place)).collect();
    every(&cases, |(pair, (first, second))| {
        let case = Case::of(pair);
        run(at(&mut case.migrate(&["--jobs", "2"]), first)).was_killed();
        run(at(case.verb("resume").args(["--jobs", "2"]), second)).was_killed();
        finish(&case, second);
    });
}

#[test]
fn a_cleanup_that_was_killed_is_ended_and_not_taken_back() {
    for goal in GOALS {
        for place in
            ["after-forget=return", "journal-before-line=return", "journal-before-line=1*off->return"]
        {
            let case = Case::to(goal);
            let before = case.dump();
            run(&mut case.migrate(&["--no-backup"])).exits(0);
            run(at(case.verb("cleanup").arg("--yes"), place)).was_killed();
            let back = run(&mut case.verb("rollback"));
            if place == "journal-before-line=return" {
                // It had not begun.
                back.exits(0);
                continue;
            }
            back.exits(1).says("`switchover cleanup` ends that");
            assert_eq!(case.state_of_run(), "cleaning up", "{goal:?}");
            run(&mut case.verb("resume")).exits(2);
            run(case.verb("cleanup").arg("--yes")).exits(0);
            assert_eq!(case.state_of_run(), "cleaned up", "{goal:?}");
            run(&mut case.verb("rollback")).exits(1).says("it was accepted");
            assert_ne!(case.dump(), before, "{goal:?}");
        }
    }
}

/// Two tables into one, keys and texts computed, a part of the rows.
const MAPPING: &str = "[table.words]
    from = ['users', 'messages']
    column.name.drop = true
    column.age.drop = true
    column.balance.drop = true
    column.photo.drop = true
    column.user_id.drop = true
    column.sent.drop = true
    part.users.value = { id = \"'u' || id\", body = 'name' }
    part.messages.value = { id = \"'m' || id\" }
    part.messages.where = 'id % 3 <> 0'
    [table.tags]
    where = \"name < 'm'\"
    ";

/// The words as the test itself reads them from the source; NULL for those in quarantine.
fn words(case: &Case) -> Vec<String> {
    let source = rusqlite::Connection::open(case.source()).expect("the source");
    let sql = "SELECT 'u' || id, name FROM users UNION ALL SELECT 'm' || id,
        CASE WHEN instr(body, char(0)) = 0 THEN body END FROM messages WHERE id % 3 <> 0";
    let mut statement = source.prepare(sql).expect("a query");
    let rows = statement.query_map([], |row| {
        Ok(format!("{}|{}", row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?.unwrap_or_default()))
    });
    let mut words: Vec<String> = rows.expect("rows").collect::<Result<_, _>>().expect("rows");
    words.sort();
    words
}

#[test]
fn a_killed_run_with_a_mapping_resumes_and_ends_equal() {
    let places = [
        "after-planned=return",
        "copy-before-commit=3*off->return",
        "copy-after-commit=9*off->return",
        "copy-after-commit=25*off->return",
        "quarantine-before-commit=7*off->return",
        "after-build=return",
    ];
    every(&places, |place| {
        let case = Case::new();
        std::fs::write(case.folder.path().join("switchover.toml"), MAPPING).expect("a file");
        run(at(&mut case.migrate(&["--jobs", "2"]), place)).was_killed();
        // The run's own mapping counts, not what the file says by then.
        std::fs::remove_file(case.folder.path().join("switchover.toml")).expect("its removal");
        run(case.verb("resume").args(["--jobs", "2"])).exits(0);
        let found = case.database.rows("SELECT id, body FROM words").expect("the words");
        let cell = |cell: &Option<String>| cell.clone().unwrap_or_default();
        let mut found: Vec<String> =
            found.iter().map(|row| format!("{}|{}", cell(&row[0]), cell(&row[1]))).collect();
        found.sort();
        assert_eq!(found, words(&case), "{place}");
        let stores = ["--from", "sqlite:app.db", "--to", &case.database.conninfo()];
        run(case.verb("verify").args(stores)).exits(0);
    });
}

/// A dump in the shape of the preset `cortex-core`.
fn cortex() -> String {
    let rows =
        |count: usize, row: &dyn Fn(usize) -> String| (0..count).map(row).collect::<Vec<_>>().join(",\n");
    let users = rows(20, &|n| {
        format!(r#"{{"user_id":"u{n}","name":"N{n}","email":"{n}@x","metadata":{{"n":{n}}}}}"#)
    });
    let workspaces = rows(20, &|n| {
        format!(r#"{{"id":"w{n}","name":"W","description":"d","owner_id":"u{n}","metadata":{{}}}}"#)
    });
    let conversations = rows(40, &|n| {
        format!(
            r#"{{"id":"c{n}","workspace_id":"w{}","topic":"t","participant_ids":["u1","u{}"],"metadata":{{}}}}"#,
            n % 20,
            n % 20
        )
    });
    let messages = rows(400, &|n| {
        format!(
            r#"{{"id":"m{n}","conversation_id":"c{}","sender_id":"u{}","content":"text {n}","timestamp":"2024-01-01T00:00:00","metadata":{{}}}}"#,
            n % 40,
            n % 20
        )
    });
    format!(
        r#"{{"users":[{users}],"workspaces":[{workspaces}],"conversations":[{conversations}],"messages":[{messages}]}}"#
    )
}

#[test]
fn a_killed_run_by_a_preset_resumes_and_ends_equal() {
    let places = [
        "after-planned=return",
        "prepare-after-commit=return",
        "copy-before-commit=3*off->return",
        "copy-after-commit=9*off->return",
        "build-before-commit=1*off->return",
        "build-after-commit=return",
        "build-after-commit=2*off->return",
        "build-after-commit=5*off->return",
        "after-build=return",
    ];
    every(&places, |place| {
        let case = Case::to(Goal::Sqlite);
        std::fs::write(case.folder.path().join("dump.json"), cortex()).expect("a dump");
        let migrate = |to: &str| {
            let mut command =
                case.program(&["migrate", "--from", "json:dump.json", "--preset", "cortex-core"]);
            command.args(["--no-backup", "--jobs", "2", "--progress", "json", "--to", to]);
            command
        };
        run(&mut migrate("sqlite:whole.db")).exits(0);
        run(at(&mut migrate("sqlite:new.db"), place)).was_killed();
        run(&mut case.verb("resume")).exits(0);
        let whole = case.folder.path().join("whole.db");
        let mut found =
            switchover_testkit::lite::differences_by_name(&whole, &case.file()).expect("a comparison");
        // The runs' own records are of two runs.
        found.retain(|line| !line.starts_with("_switchover"));
        assert!(found.is_empty(), "{place}: {found:#?}");
        assert_eq!(
            case.counts("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM users)"),
            "[400, 20]"
        );
        assert_eq!(
            case.counts("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
            "[0]"
        );
        assert_eq!(case.counts("SELECT count(*) FROM pragma_foreign_key_check"), "[0]");
    });
}

#[test]
fn a_killed_run_with_ids_that_become_uuids_keeps_the_map_whole() {
    let places =
        ["copy-before-commit=3*off->return", "copy-after-commit=25*off->return", "after-build=return"];
    let cases: Vec<_> = [Goal::Postgres, Goal::Sqlite]
        .into_iter()
        .flat_map(|goal| places.map(|place| (goal, place)))
        .collect();
    every(&cases, |(goal, place)| {
        let case = Case::to(goal);
        let before = case.dump();
        let mapping = "[table.users.column.id]\nids = 'uuid5'\nids_map = 'old_ids'";
        std::fs::write(case.folder.path().join("switchover.toml"), mapping).expect("a file");
        run(at(&mut case.migrate(&["--jobs", "2"]), place)).was_killed();
        run(case.verb("resume").args(["--jobs", "2"])).exits(0);
        run(case.verb("verify").args(["--from", "sqlite:app.db", "--to", &case.url()])).exits(0);
        let users: i64 = rusqlite::Connection::open(case.source())
            .and_then(|source| source.query_row("SELECT count(*) FROM users", [], |row| row.get(0)))
            .expect("a count");
        let found =
            case.counts("SELECT count(*), count(u.id) FROM old_ids LEFT JOIN users u ON u.id = old_ids.uuid");
        assert_eq!(
            found.replace(['[', ']', ' '], "").replace('\t', ","),
            format!("{users},{users}"),
            "{place}"
        );
        run(&mut case.verb("rollback")).exits(0);
        assert_eq!(case.dump(), before, "{place}");
    });
}

#[test]
fn a_rollback_that_was_killed_can_be_done_again() {
    let places = [
        "journal-before-line=return",
        "journal-after-line=return",
        "discard-before-commit=return",
        "after-discard=return",
        "journal-before-line=1*off->return",
    ];
    let goals = GOALS.into_iter().chain([Goal::Existing, Goal::Rebuilt]);
    let cases: Vec<_> = goals.flat_map(|goal| places.map(|place| (goal, place))).collect();
    every(&cases, |(goal, place)| {
        for after in ["copy-after-commit=9*off->return", "before-done=return", ""] {
            let case = Case::to(goal);
            let before = case.dump();
            run(at(&mut case.migrate(&["--jobs", "2"]), after));
            run(at(&mut case.verb("rollback"), place)).was_killed();
            // The target may hold nothing now, or all of it: the next rollback makes sure.
            run(&mut case.verb("rollback")).exits(0);
            assert_eq!(case.state_of_run(), "rolled back", "{after} {place}");
            assert_eq!(case.dump(), before, "{after} {place}");
        }
    });
}

/// It had found the dump as it was made, which says nothing of what the application writes behind it.
#[test]
fn a_rollback_that_was_killed_before_it_took_anything_back_asks_again() {
    let case = Case::to(Goal::Json);
    run(&mut case.migrate(&["--jobs", "2"])).exits(0);
    run(at(&mut case.verb("rollback"), "discard-before-commit=return")).was_killed();
    let dump = std::fs::read_to_string(case.file()).expect("the dump");
    let mut dump: serde_json::Value = serde_json::from_str(&dump).expect("JSON");
    dump["log"].as_array_mut().expect("a table").pop();
    std::fs::write(case.file(), dump.to_string()).expect("written since");
    run(&mut case.verb("rollback")).exits(1).says("--discard-target-changes");
    assert!(case.file().exists());
    run(case.verb("rollback").arg("--discard-target-changes")).exits(0);
    assert!(!case.file().exists());
}

#[test]
fn a_rollback_that_was_killed_is_not_called_done_and_may_be_resumed_away() {
    let places = ["discard-before-commit=return", "after-discard=return"];
    let goals = GOALS.into_iter().chain([Goal::Existing, Goal::Rebuilt]);
    for (goal, place) in goals.flat_map(|goal| places.map(|place| (goal, place))) {
        let case = Case::to(goal);
        run(&mut case.migrate(&["--jobs", "2"])).exits(0);
        run(at(&mut case.verb("rollback"), place)).was_killed();
        assert_eq!(case.state_of_run(), "stopped", "{place}");
        run(case.verb("resume").args(["--jobs", "2"])).exits(0);
        case.is_equal();
    }
}

/// What the application wrote into a run that was done is not thrown away by a `resume` that finds it.
#[test]
fn a_rollback_that_was_killed_and_is_resumed_keeps_what_was_written_since() {
    for goal in [Goal::Postgres, Goal::Existing, Goal::Sqlite] {
        let case = Case::to(goal);
        run(&mut case.migrate(&["--jobs", "2"])).exits(0);
        run(at(&mut case.verb("rollback"), "discard-before-commit=return")).was_killed();
        let write = "UPDATE messages SET body = 'written since' WHERE id = 5";
        let read = "SELECT body FROM messages WHERE id = 5";
        let there = || match goal {
            Goal::Sqlite => {
                let file = rusqlite::Connection::open(case.file()).expect("the target");
                file.query_row(read, [], |row| row.get::<_, String>(0)).expect("the row")
            }
            _ => case.database.psql(read).expect("the row"),
        };
        match goal {
            Goal::Sqlite => {
                let file = rusqlite::Connection::open(case.file()).expect("the target");
                file.execute_batch(write).expect("written");
            }
            _ => drop(case.database.psql(write).expect("written")),
        }
        let told = run(&mut case.verb("resume")).exits(1);
        assert!(told.out.contains("messages: 1 row differs"), "{goal:?}: {told}");
        assert_eq!(there(), "written since", "{goal:?}");
        assert_ne!(case.state_of_run(), "rolled back", "{goal:?}");
    }
}

#[test]
fn a_failure_whose_rollback_is_killed_leaves_a_run_that_rolls_back() {
    let case = Case::new();
    let before = case.dump();
    // Building fails, because the index's name is taken by then; on failure the run takes itself back.
    let spoil = "CREATE FUNCTION other.spoil() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        IF tg_tag = 'CREATE INDEX' THEN RAISE EXCEPTION 'no indexes today'; END IF; END $$;
        CREATE EVENT TRIGGER spoil ON ddl_command_start EXECUTE FUNCTION other.spoil();";
    case.database.psql(spoil).expect("a trigger");
    run(at(&mut case.migrate(&["--jobs", "2"]), "discard-before-commit=return")).was_killed();
    run(&mut case.verb("resume")).exits(2).says("no indexes today");
    case.database.psql("DROP EVENT TRIGGER spoil; DROP FUNCTION other.spoil()").expect("gone");
    assert_eq!(case.dump(), before);
    assert_eq!(case.state_of_run(), "rolled back");
}
