//! What the application is told by, where it is not as the run left it: found before anything is fenced, by a dry run too, and with
//! what there is to do; and behind the decision, where it is told all the same.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{Engine, application, begin, is_same, run_folder, until, wait_for};
use program::{done, flat, run};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const START: [&str; 5] = ["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];

/// What is set in the environment file.
const CONFIG: &str = "[cutover]\nenv_file = \"app.env\"\nset = { DATABASE_URL = \"sqlite:new.db\" }\n";

const BEFORE: &str = "# the app's\nDATABASE_URL=sqlite:s3cret-old.db\n";

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// Where the run keeps what was in the file before.
fn kept(folder: &Path) -> PathBuf {
    let run = run_folder(folder).file_name().unwrap().to_str().unwrap().to_owned();
    folder.join(format!("app.env.before-{run}"))
}

/// The verb and its rehearsal are refused alike, nobody else is the owner, and no value is said.
#[track_caller]
fn is_refused(folder: &Path, verb: &str, code: i32, why: &[&str]) {
    let env = std::fs::read(folder.join("app.env")).unwrap();
    for words in [&[verb, "--dry-run"][..], &[verb]] {
        let refused = run(folder, words);
        let said = flat(&refused.err);
        assert!(
            refused.code == code && why.iter().all(|why| said.contains(why)),
            "{words:?} {why:?}: {}{said}",
            refused.out
        );
        assert!(!said.contains("s3cret"), "{words:?}: {said}");
    }
    let live = until(folder, |live| live["phase"] != "switching");
    let owner = if verb == "cutover" { "source" } else { "target" };
    assert!(live["ownership"]["owner"] == owner && live["untold"].is_null(), "{live:#}");
    assert_eq!(std::fs::read(folder.join("app.env")).unwrap(), env);
}

/// A run whose target owns the data. Whoever goes back does that behind the look, and before the decision; who hears of an owner writes
/// it down.
fn owned_until(folder: &Path, spoils: &str, heard: &str) -> Engine {
    let hook = format!("test $SWITCHOVER_OWNER = target || {spoils}");
    let config = format!(
        "{CONFIG}\n[cutover.hooks]\nbefore = [\"{hook}\"]\nat = [\"echo $SWITCHOVER_OWNER {heard} heard\"]\n"
    );
    write(folder, "switchover.toml", &config);
    write(folder, "app.env", BEFORE);
    let engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    engine
}

#[test]
fn an_environment_file_that_cannot_be_changed_is_found_before_anything_is_fenced() {
    let (folder, file) = application();
    let folder = folder.path();
    write(folder, "switchover.toml", CONFIG);
    let utf16: Vec<u8> = "\u{feff}DATABASE_URL=old\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(folder.join("app.env"), utf16).unwrap();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    is_refused(folder, "cutover", 1, &["app.env", "NUL bytes", "save it as"]);
    write(folder, "app.env", &format!("A=\"open\n{BEFORE}"));
    is_refused(folder, "cutover", 1, &["opened before DATABASE_URL", "close the quote"]);
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    write(folder, "app.env", BEFORE);
    done(folder, &["cutover", "--when-ready"]);
    assert_eq!(read(folder, "app.env"), BEFORE.replace("s3cret-old", "new"));
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    // Somebody else's value stays, and what was there before is named by its place.
    for theirs in ["DATABASE_URL=sqlite:s3cret-other.db\n", ""] {
        write(folder, "app.env", theirs);
        let place = "app.env.before-";
        let why = ["changed DATABASE_URL since", place, "write DATABASE_URL as it stands there"];
        is_refused(folder, "rollback", 1, &why);
    }
    std::fs::copy(kept(folder), folder.join("app.env")).unwrap();
    assert!(done(folder, &["rollback", "--dry-run"]).contains("it could be done now"));
    done(folder, &["rollback", "--when-ready"]);
    assert!(read(folder, "app.env") == BEFORE && !kept(folder).exists());
    // From here on the file is the application's own: what somebody writes into it is what comes back the next time.
    let moved = BEFORE.replace("s3cret-old", "moved");
    write(folder, "app.env", &moved);
    until(folder, |live| is_same(live) && live["ownership"]["owner"] == "source");
    assert!(done(folder, &["cutover", "--dry-run"]).contains("it could be done now"));
    done(folder, &["cutover", "--when-ready"]);
    assert_eq!(read(folder, "app.env"), moved.replace("moved", "new"));
    done(folder, &["rollback", "--when-ready"]);
    assert_eq!(read(folder, "app.env"), moved);
}

#[test]
fn an_environment_file_that_is_changed_at_the_last_moment_is_told_with_a_way_out_that_works() {
    let (folder, _file) = application();
    let folder = folder.path();
    let _engine = owned_until(folder, "echo DATABASE_URL=s3cret > app.env", ">");
    let untold = run(folder, &["rollback", "--when-ready"]);
    let said = flat(&untold.out);
    assert!(untold.code == 2 && said.contains("the owner changed to the source"), "{said}{}", untold.err);
    assert!(said.contains("changed DATABASE_URL since") && said.contains("app.env.before-"), "{said}");
    assert!(said.contains("write DATABASE_URL as it stands there") && !said.contains("s3cret"), "{said}");
    assert!(said.contains("`switchover resume` has it tried again at once"), "{said}");
    // The status is written beside the answer, not before it.
    until(folder, |live| {
        is_same(live) && live["ownership"]["owner"] == "source" && live["untold"].is_string()
    });
    // The run cannot be taken back before the application knows.
    let tried = run(folder, &["rollback", "--dry-run"]);
    let said = flat(&tried.err);
    assert!(tried.code == 1 && said.contains("not told in full that the source owns"), "{}{said}", tried.out);
    std::fs::copy(kept(folder), folder.join("app.env")).unwrap();
    done(folder, &["resume"]);
    until(folder, |live| live["untold"].is_null());
    assert_eq!((read(folder, "app.env").as_str(), read(folder, "heard").as_str()), (BEFORE, "source\n"));
    assert!(!kept(folder).exists());
    assert!(done(folder, &["rollback", "--dry-run"]).contains("it could be done now"));
}

#[test]
fn an_environment_file_that_lost_its_backup_does_not_pass_for_one_that_was_put_back() {
    let (folder, _file) = application();
    let folder = folder.path();
    write(folder, "switchover.toml", CONFIG);
    // A release is a folder, and a link leads into the one that runs.
    std::fs::create_dir(folder.join("one")).unwrap();
    std::fs::create_dir(folder.join("two")).unwrap();
    write(folder, "one/app.env", BEFORE);
    symlink("one/app.env", folder.join("app.env")).unwrap();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    std::fs::copy(folder.join("one/app.env"), folder.join("two/app.env")).unwrap();
    std::fs::remove_file(folder.join("app.env")).unwrap();
    symlink("two/app.env", folder.join("app.env")).unwrap();
    let why =
        ["DATABASE_URL has the value that this run has set", "two/app.env.before-", "put that file back"];
    is_refused(folder, "rollback", 1, &why);
    let kept = kept(folder);
    let kept = kept.file_name().unwrap();
    std::fs::copy(folder.join("one").join(kept), folder.join("two").join(kept)).unwrap();
    assert!(done(folder, &["rollback", "--dry-run"]).contains("it could be done now"));
    done(folder, &["rollback", "--when-ready"]);
    assert!(read(folder, "app.env") == BEFORE && !folder.join("two").join(kept).exists());
}

#[test]
fn a_backup_that_is_removed_at_the_last_moment_leaves_nobody_told_falsely() {
    let (folder, _file) = application();
    let folder = folder.path();
    let _engine = owned_until(folder, "rm app.env.before-*", ">>");
    let untold = run(folder, &["rollback", "--when-ready"]);
    let said = flat(&untold.out);
    assert!(untold.code == 2 && said.contains("the owner changed to the source"), "{said}{}", untold.err);
    assert!(said.contains("DATABASE_URL has the value that this run has set"), "{said}");
    assert!(said.contains("write what was there before into"), "{said}");
    assert_eq!(read(folder, "heard"), "target\n");
    until(folder, |live| live["ownership"]["owner"] == "source" && live["untold"].is_string());
    write(folder, "app.env", BEFORE);
    done(folder, &["resume"]);
    until(folder, |live| live["untold"].is_null());
    assert!(read(folder, "app.env") == BEFORE && read(folder, "heard") == "target\nsource\n");
}

#[test]
fn a_guard_that_could_tell_nobody_calls_and_goes_back_as_soon_as_it_can() {
    let (folder, _file) = application();
    let folder = folder.path();
    let guard = "[watch]\nwindow = \"1s\"\n\n[[watch.guard]]\nname = 'bad'\n\
        sql = \"SELECT count(*) FROM t WHERE x = 'bad'\"\nmax = 0\nwindows = 1\n";
    write(folder, "switchover.toml", &format!("{CONFIG}\n{guard}"));
    write(folder, "app.env", BEFORE);
    let _engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse");
    write(folder, "app.env", "DATABASE_URL=s3cret\n");
    let target = rusqlite::Connection::open(folder.join("new.db")).unwrap();
    target.execute_batch("INSERT INTO t VALUES (3, 'bad')").unwrap();
    let calls =
        |live: &serde_json::Value, why: &str| live["alarm"].as_str().is_some_and(|alarm| alarm.contains(why));
    let live = until(folder, |live| calls(live, "changed DATABASE_URL since"));
    assert!(calls(&live, "the guard 'bad'") && calls(&live, "it cannot go back now"), "{live:#}");
    assert!(live["ownership"]["owner"] == "target" && live["held"].is_null(), "{live:#}");
    std::fs::copy(kept(folder), folder.join("app.env")).unwrap();
    until(folder, |live| live["ownership"]["owner"] == "source");
}

#[test]
fn a_cutover_that_is_only_tried_looks_at_the_route_too() {
    let (folder, _file) = application();
    let folder = folder.path();
    write(folder, "app.env", BEFORE);
    let engine = begin(folder, &START);
    until(folder, is_same);
    let route = folder.join(".switchover/route.json");
    wait_for(|| read(folder, ".switchover/route.json").contains("\"ready\""));
    let own = read(folder, ".switchover/route.json");
    let name = run_folder(folder).file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::write(&route, own.replace(&name, "29990101t000000000-000000")).unwrap();
    is_refused(folder, "cutover", 1, &["route.json", "has written epoch"]);
    std::fs::remove_file(&route).unwrap();
    std::fs::create_dir(&route).unwrap();
    is_refused(folder, "cutover", 2, &["cannot keep the route"]);
    std::fs::remove_dir(&route).unwrap();
    std::fs::write(&route, &own).unwrap();
    assert!(done(folder, &["cutover", "--dry-run"]).contains("it could be done now"));
    assert_eq!(read(folder, ".switchover/route.json"), own);
    let beside = std::fs::read_dir(folder.join(".switchover")).unwrap();
    let names: Vec<_> = beside.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.starts_with(".route.json")), "{names:?}");
    done(folder, &["cutover"]);
    // Nobody drives the run: the verb itself does, and asks the same.
    drop(engine);
    let own = read(folder, ".switchover/route.json");
    std::fs::write(&route, own.replace(&name, "29990101t000000000-000000")).unwrap();
    let refused = run(folder, &["rollback", "--dry-run"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("has written epoch"), "{}", refused.err);
    std::fs::write(&route, &own).unwrap();
    done(folder, &["rollback"]);
}

#[test]
fn a_cutover_that_was_given_up_leaves_a_run_that_can_be_told_of_and_ended() {
    let (folder, file) = application();
    let folder = folder.path();
    let config = "[cutover.hooks]\nbefore = ['touch ready; until test -e held; do sleep 0.01; done']\n";
    write(folder, "switchover.toml", config);
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| run(folder, &["cutover", "--write-budget", "300ms"]));
        wait_for(|| folder.join("ready").exists());
        // Behind all that is made ready, and before the fence.
        file.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (3, 'held')").unwrap();
        write(folder, "held", "");
        assert_eq!(asked.join().unwrap().code, 2);
    });
    file.execute_batch("COMMIT").unwrap();
    // All rows are equal, and the application is told so again.
    done(folder, &["verify", "--live"]);
    done(folder, &["rollback"]);
    assert!(engine.0.wait().unwrap().success() && !folder.join("new.db").exists());
}

/// What it was told used to be refused as unknown settings, or taken for one.
#[test]
fn a_hook_can_ask_the_program_itself() {
    let (folder, _file) = application();
    let folder = folder.path();
    let program = env!("CARGO_BIN_EXE_switchover");
    write(
        folder,
        "switchover.toml",
        &format!("[cutover.hooks]\nat = ['{program} route --json > said.json']\n"),
    );
    let _engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    assert!(read(folder, "said.json").contains("\"owner\": \"target\""), "{}", read(folder, "said.json"));
}

#[test]
fn an_engine_that_knows_of_no_environment_file_does_not_go_back_past_what_the_run_has_set_there() {
    let (folder, _file) = application();
    let folder = folder.path();
    write(folder, "switchover.toml", CONFIG);
    write(folder, "app.env", BEFORE);
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let reverse = |live: &serde_json::Value| live["phase"] == "reverse" && live["lag_entries"] == 0;
    until(folder, reverse);
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    std::fs::remove_file(folder.join("switchover.toml")).unwrap();
    let mut engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && reverse(live));
    is_refused(folder, "rollback", 2, &["has set DATABASE_URL", "`env_file` and `set` as at the cutover"]);
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    // Nor by one that names another file.
    write(folder, "other.env", BEFORE);
    write(folder, "switchover.toml", &CONFIG.replace("app.env", "other.env"));
    let mut engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && reverse(live));
    is_refused(
        folder,
        "rollback",
        2,
        &["has set DATABASE_URL", "app.env", "`env_file` and `set` as at the cutover"],
    );
    assert_eq!(read(folder, "other.env"), BEFORE);
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    // Nor by one that has another name in it.
    write(folder, "switchover.toml", &CONFIG.replace("DATABASE_URL", "DATABASE"));
    let mut engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && reverse(live));
    is_refused(
        folder,
        "rollback",
        2,
        &["has set DATABASE_URL", "no DATABASE_URL in `set` now", "`env_file` and `set` as at the cutover"],
    );
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    write(folder, "switchover.toml", CONFIG);
    let engine = begin(folder, &["resume"]);
    until(folder, |live| live["pid"] == engine.0.id() && reverse(live));
    done(folder, &["rollback", "--when-ready"]);
    assert_eq!(read(folder, "app.env"), BEFORE);
}

/// Whoever asks later, and does not name it, changes the same file.
#[test]
fn a_run_knows_where_its_route_is() {
    let (folder, _file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &[&START[..], &["--route", "apps.json"]].concat());
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    assert!(read(folder, "apps.json").contains("\"owner\": \"target\""));
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    done(folder, &["rollback"]);
    assert!(read(folder, "apps.json").contains("\"owner\": \"source\""), "{}", read(folder, "apps.json"));
    assert!(!folder.join(".switchover/route.json").exists());
}
