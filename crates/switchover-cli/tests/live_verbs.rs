//! The verbs of live runs as a hostile user meets them: at the wrong time, twice, and on stores that somebody alters.
#![expect(clippy::unwrap_used, reason = "tests")]

mod client;
mod engine;
mod program;

use client::Client;
#[cfg(feature = "failpoints")]
use engine::begun;
use engine::{
    Engine, application, begin, is_held_by, is_same, route_is_over, run_folder, signalled, until, wait_for,
};
use program::{done, flat, run};
use rusqlite::Connection;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use switchover_testkit::Cluster;

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
    route_is_over(folder, "source");
}

#[test]
fn a_run_that_a_row_without_a_key_holds_can_be_taken_back_and_begun_again() {
    let (folder, file) = application();
    let folder = folder.path();
    file.execute_batch("CREATE TABLE named (k TEXT PRIMARY KEY, x); INSERT INTO named VALUES ('a', 1)")
        .unwrap();
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    file.execute_batch("INSERT INTO named VALUES (NULL, 2)").unwrap();
    until(folder, |live| is_held_by(live, "give them a key") && is_held_by(live, "named"));
    let refused = run(folder, &["cutover"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("not proven yet"), "{}", refused.err);
    done(folder, &["rollback"]);
    assert!(engine.0.wait().unwrap().success());
    file.execute_batch("UPDATE named SET k = 'b' WHERE k IS NULL").unwrap();
    let _engine = begin(folder, &START);
    until(folder, is_same);
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

/// How many programs have asked the engine of the only run, and wait for its answer: connections to its socket, by what the kernel says.
fn asking(folder: &Path) -> usize {
    let run = run_folder(folder).file_name().unwrap().to_str().unwrap().to_owned();
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let own = sockets.lines().filter(|line| line.contains(&run) && line.ends_with("engine.sock"));
    // One of them is what the engine listens at.
    own.count().saturating_sub(1)
}

#[test]
fn a_rollback_that_was_asked_for_twice_does_not_take_the_run_back() {
    let (folder, file) = application();
    let folder = folder.path();
    // A way back that is held up until the test says so, and a little longer: what was asked has been read by then.
    let held =
        "test $SWITCHOVER_OWNER = target || { touch ready; until test -e go; do sleep 0.01; done; sleep 2; }";
    std::fs::write(folder.join("switchover.toml"), format!("[cutover.hooks]\nbefore = ['{held}']\n"))
        .unwrap();
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| done(folder, &["rollback", "--when-ready"]));
        wait_for(|| folder.join("ready").exists());
        let second = scope.spawn(|| run(folder, &["rollback", "--when-ready"]));
        wait_for(|| asking(folder) == 2);
        std::fs::write(folder.join("go"), "").unwrap();
        let said = flat(&first.join().unwrap());
        assert!(said.contains("the owner changed to the source"), "{said}");
        let second = second.join().unwrap();
        let said = flat(&second.err);
        assert!(second.code == 1 && said.contains("the owner changed meanwhile"), "{}{said}", second.out);
        assert!(said.contains("the source owns the data now") && said.contains("ask again"), "{said}");
    });
    // The run goes on, and nothing of it was removed.
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    until(folder, |live| is_same(live) && live["ownership"]["owner"] == "source");
    assert!(engine.0.try_wait().unwrap().is_none() && folder.join("new.db").exists());
    // Asked for now, it is meant.
    done(folder, &["rollback"]);
    assert!(engine.0.wait().unwrap().success());
    assert!(!folder.join("new.db").exists());
}

#[test]
fn a_run_whose_engine_ends_while_it_is_asked_is_taken_up() {
    let (folder, _file) = application();
    let folder = folder.path();
    drop({
        let engine = begin(folder, &START);
        until(folder, is_same);
        engine
    });
    let socket = run_folder(folder).join("engine.sock");
    std::fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let dying = std::thread::spawn(move || drop((listener.accept().unwrap(), listener)));
    let engine = begin(folder, &["resume"]);
    dying.join().unwrap();
    let id = engine.0.id();
    until(folder, |live| live["pid"] == id && is_same(live));
}

/// The application's file without its log, so that the file alone is all of it.
fn folded(folder: &Path, file: &Connection) -> PathBuf {
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    folder.join("app.db")
}

/// Puts a file in the place of the application's, and opens it as the application does when it is started again.
fn put_in_place(folder: &Path, other: &Path) -> Connection {
    for log in ["app.db-wal", "app.db-shm"] {
        drop(std::fs::remove_file(folder.join(log)));
    }
    std::fs::rename(other, folder.join("app.db")).unwrap();
    Connection::open(folder.join("app.db")).unwrap()
}

#[test]
fn a_copy_in_the_place_of_the_source_is_noticed_and_copied_again() {
    let (folder, file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    let copy = folder.join("copy.db");
    std::fs::copy(folded(folder, &file), &copy).unwrap();
    file.execute_batch("INSERT INTO t VALUES (3, 'in the old one'), (4, 'too')").unwrap();
    until(folder, |live| live["rows_taken"] == 2);
    drop(file);
    // More changes than the old file had before anybody looks: nothing in the log tells.
    done(folder, &["pause"]);
    let file = put_in_place(folder, &copy);
    file.execute_batch("INSERT INTO t VALUES (5, 'in the new one'), (6, 'too')").unwrap();
    file.execute_batch("INSERT INTO t VALUES (7, 'seven')").unwrap();
    done(folder, &["resume"]);
    until(folder, |live| live["recopied"] == 1 && is_same(live));
    done(folder, &["cutover"]);
    let new = Connection::open(folder.join("new.db")).unwrap();
    let rows = "SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY id)";
    assert_eq!(new.query_row(rows, [], |row| row.get::<_, String>(0)).unwrap(), "1,2,5,6,7");
    // What the application wrote last is still in its file: nobody took the log of that name away.
    drop(file);
    let file = Connection::open(folder.join("app.db")).unwrap();
    assert_eq!(file.query_row(rows, [], |row| row.get::<_, String>(0)).unwrap(), "1,2,5,6,7");
}

#[test]
fn a_copy_in_the_place_of_the_follower_holds_the_reverse_window_until_the_file_is_back() {
    let (folder, file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse");
    let new = Connection::open(folder.join("new.db")).unwrap();
    let (copy, kept) = (folder.join("copy.db"), folder.join("kept.db"));
    std::fs::copy(folded(folder, &file), &copy).unwrap();
    std::fs::hard_link(folder.join("app.db"), &kept).unwrap();
    drop(file);
    drop(put_in_place(folder, &copy));
    new.execute_batch("INSERT INTO t VALUES (3, 'waits')").unwrap();
    until(folder, |live| is_held_by(live, "another file has the place"));
    let refused = run(folder, &["rollback"]);
    assert!(
        refused.code == 1 && flat(&refused.err).contains("another file has the place"),
        "{}",
        refused.err
    );
    let file = put_in_place(folder, &kept);
    until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
    done(folder, &["rollback"]);
    assert_eq!(
        file.query_row("SELECT x FROM t WHERE id = 3", [], |row| row.get::<_, String>(0)).unwrap(),
        "waits"
    );
}

#[test]
fn a_number_that_was_given_and_deleted_in_the_reverse_window_is_not_given_again() {
    let database = Cluster::shared().unwrap().fresh_database("numbers").unwrap();
    for to in [database.conninfo(), "sqlite:new.db".into()] {
        let (folder, file) = application();
        let folder = folder.path();
        file.execute_batch(
            "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT); INSERT INTO n (x) VALUES ('one')",
        )
        .unwrap();
        let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &to]);
        let at_target = |sql: &str| match to.strip_prefix("sqlite:") {
            Some(name) => Connection::open(folder.join(name)).unwrap().execute_batch(sql).unwrap(),
            None => drop(database.psql(sql).unwrap()),
        };
        let id = |x: &str| -> i64 {
            file.query_row("SELECT id FROM n WHERE x = ?1", [x], |row| row.get(0)).unwrap()
        };
        until(folder, is_same);
        done(folder, &["cutover"]);
        at_target(
            "BEGIN; INSERT INTO n (x) VALUES ('gone'), ('too'); DELETE FROM n WHERE x <> 'one'; COMMIT",
        );
        done(folder, &["rollback", "--when-ready"]);
        file.execute_batch("INSERT INTO n (x) VALUES ('four')").unwrap();
        assert_eq!(id("four"), 4, "{to}");
        file.execute_batch("DELETE FROM n WHERE x = 'four'").unwrap();
        done(folder, &["cutover", "--when-ready"]);
        at_target("INSERT INTO n (x) VALUES ('five')");
        done(folder, &["rollback", "--when-ready"]);
        assert_eq!(id("five"), 5, "{to}");
        // What remembers nothing is left alone.
        let kept = "SELECT group_concat(name) FROM sqlite_sequence";
        assert_eq!(file.query_row(kept, [], |row| row.get::<_, String>(0)).unwrap(), "n");
    }
}

#[test]
fn nobody_waits_for_a_transaction_at_the_target_that_the_application_leaves_open() {
    let database = Cluster::shared().unwrap().fresh_database("open").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    // A key that acts: its constraint is another while the target follows.
    file.execute_batch("CREATE TABLE c (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t ON DELETE CASCADE)")
        .unwrap();
    let engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    until(folder, |live| live["phase"] == "reverse");
    let next = flat(&done(folder, &["status"]));
    assert!(next.contains("switchover finish --run") && !next.contains("switchover cutover"), "{next}");
    // Who takes the run up in the reverse window takes no lock from the application.
    let mut client = Client::of(&database);
    assert_eq!(client.says("BEGIN; INSERT INTO c VALUES (1, 1)"), "");
    drop(engine);
    let name = run_folder(folder).file_name().unwrap().to_str().unwrap().to_owned();
    let to = database.conninfo();
    let lost = |verb: &[&str]| {
        let stores = ["--state-dir", "lost", "--from", "sqlite:app.db", "--to", &to];
        let ran = run(folder, &[verb, &stores].concat());
        (ran.code, flat(&(ran.out + &ran.err)))
    };
    // Without the run's folder nobody is told to empty the only place where the data is.
    let (code, said) = lost(&["start", "--dry-run"]);
    assert!(
        code == 1 && said.contains("the target owns the data") && said.contains("remove nothing"),
        "{said}"
    );
    let (code, said) = lost(&["rollback", "--run", &name]);
    assert!(code == 1 && said.contains("restore the run's folder"), "{said}");
    let engine = begin(folder, &["resume"]);
    let id = engine.0.id();
    until(folder, |live| live["pid"] == id && live["phase"] == "reverse");
    assert_eq!(client.says("COMMIT"), "");
    // Nor does a rollback wait for one that only reads before it tells the application where to write.
    assert!(client.says("BEGIN; SELECT x FROM t WHERE id = 1").contains("one"));
    assert!(client.says("SELECT t FROM c").contains('1'));
    let mut back = begin(folder, &["rollback"]);
    let route = || std::fs::read_to_string(folder.join(".switchover/route.json")).unwrap();
    wait_for(|| route().contains("\"owner\": \"source\"") && route().contains("\"writes\": \"open\""));
    file.execute_batch("INSERT INTO c VALUES (2, 2)").unwrap();
    // It was not told yet, and is told now by the fence, not torn up as a deadlock.
    let refused = client.says("INSERT INTO c VALUES (3, 1)");
    assert!(refused.contains("25006"), "{refused}");
    assert_eq!(client.says("ROLLBACK"), "");
    assert!(back.0.wait().unwrap().success());
    until(folder, is_same);
    assert_eq!(database.psql("SELECT string_agg(id::text, ',' ORDER BY id) FROM c").unwrap(), "1,2");
    // While the source owns the data, the stores know enough to take the run back.
    let (code, said) = lost(&["rollback", "--run", &name]);
    assert!(code == 2 && said.contains("another run is at work"), "{said}");
    drop(engine);
    let (code, said) = lost(&["rollback", "--run", "20200101t000000000-000000"]);
    assert!(code == 2 && said.contains("no records of a live run"), "{said}");
    let (code, said) = lost(&["start", "--dry-run"]);
    assert!(code == 1 && said.contains("the source owns the data") && said.contains(&name), "{said}");
    let (code, said) = lost(&["rollback", "--run", &name, "--dry-run"]);
    assert!(code == 0 && said.contains("nothing was changed"), "{said}");
    let (code, said) = lost(&["start", "--dry-run"]);
    assert!(code == 1 && said.contains("the source owns the data") && said.contains(&name), "{said}");
    let (code, said) = lost(&["rollback", "--run", &name]);
    assert!(code == 0 && said.contains("taken back"), "{said}");
    let left = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_switchover%' ESCAPE '\\'";
    assert_eq!(file.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    assert_eq!(database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(), "0");
}

#[test]
fn a_rollback_behind_a_cutover_that_was_told_in_part_tells_of_the_source_in_full() {
    const BEFORE: &str = "DATABASE_URL=sqlite:app.db\n";
    let config = "[cutover]\nenv_file = \"app.env\"\nset = { DATABASE_URL = \"sqlite:new.db\" }\n\n[cutover.hooks]\n\
        at = [\"echo $SWITCHOVER_OWNER >> heard; test $SWITCHOVER_OWNER = source\"]\n";
    for restarted in [false, true] {
        let (folder, _file) = application();
        let folder = folder.path();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        std::fs::write(folder.join("switchover.toml"), config).unwrap();
        std::fs::write(folder.join("app.env"), BEFORE).unwrap();
        let mut engine = begin(folder, &START);
        until(folder, is_same);
        let untold = run(folder, &["cutover"]);
        assert!(untold.code == 2 && flat(&untold.out).contains("does not know yet"), "{}", untold.out);
        assert!(read("app.env").contains("sqlite:new.db") && read("heard").ends_with("target\n"));
        if restarted {
            engine.0.kill().unwrap();
            engine.0.wait().unwrap();
            engine = begin(folder, &["resume"]);
            let id = engine.0.id();
            until(folder, |live| live["pid"] == id && live["phase"] == "reverse");
        }
        done(folder, &["rollback", "--when-ready"]);
        assert_eq!(read("app.env"), BEFORE, "{restarted}");
        assert!(read("heard").ends_with("target\nsource\n"), "{restarted}: {}", read("heard"));
        until(folder, |live| live["ownership"]["owner"] == "source" && live["untold"].is_null());
        drop(engine);
    }
}

#[test]
fn an_application_that_cannot_be_told_is_told_as_soon_as_it_can_be() {
    let (folder, file) = application();
    let folder = folder.path();
    let config = "[cutover]\nroute = \"told/route.json\"\n\n[cutover.hooks]\nat = [\"test ! -e broken\"]\n";
    std::fs::write(folder.join("switchover.toml"), config).unwrap();
    std::fs::create_dir(folder.join("told")).unwrap();
    let mut engine = begin(folder, &START);
    until(folder, is_same);
    // A route that cannot be written gives the cutover up before anybody is fenced, as a full disk would.
    std::fs::rename(folder.join("told"), folder.join("gone")).unwrap();
    std::fs::write(folder.join("told"), "no folder").unwrap();
    for words in [&["cutover", "--dry-run"][..], &["cutover"]] {
        let refused = run(folder, words);
        assert!(refused.code == 2 && flat(&refused.err).contains("cannot keep the route"), "{}", refused.err);
    }
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    // Nor does a status that could not be written stay as it was.
    let partial = run_folder(folder).join("live.partial");
    wait_for(|| std::fs::create_dir(&partial).is_ok());
    file.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
    let target = || Connection::open(folder.join("new.db")).unwrap();
    let count = || target().query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
    wait_for(|| count() == 4);
    std::fs::remove_dir(&partial).unwrap();
    std::fs::remove_file(folder.join("told")).unwrap();
    std::fs::rename(folder.join("gone"), folder.join("told")).unwrap();
    until(folder, |live| live["rows_taken"] == 2 && live["untold"].is_null() && is_same(live));
    // A command behind the decision that fails is said, and tried again.
    std::fs::write(folder.join("broken"), "").unwrap();
    let untold = run(folder, &["cutover"]);
    let said = flat(&untold.out);
    assert!(untold.code == 2 && said.contains("the owner changed to the target"), "{said}");
    assert!(said.contains("does not know yet") && said.contains("the command 'at'"), "{said}");
    // The status is written beside the answer, not before it.
    until(folder, |live| live["untold"].is_string());
    assert!(flat(&done(folder, &["status"])).contains("untold the application does not know yet"));
    std::fs::remove_file(folder.join("broken")).unwrap();
    until(folder, |live| live["untold"].is_null());
    done(folder, &["rollback"]);
    signalled(engine.0.id(), "TERM");
    assert!(engine.0.wait().unwrap().success());
    #[cfg(target_os = "linux")]
    hung_up(folder);
}

/// A terminal that goes away stops an engine cleanly, and one that `nohup` began not at all; the tests themselves may have been
/// begun so.
#[cfg(target_os = "linux")]
fn hung_up(folder: &Path) {
    let mut listening = Command::new("env");
    listening.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_switchover"), "resume"]);
    let listening =
        listening.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut engine = Engine(listening);
    let id = engine.0.id();
    until(folder, |live| live["pid"] == id && is_same(live));
    signalled(id, "HUP");
    assert!(engine.0.wait().unwrap().success());
    assert!(flat(&done(folder, &["status"])).contains("stopped on request"));
    let mut ignoring = Command::new("sh");
    ignoring.args(["-c", "trap '' HUP; exec \"$0\" resume", env!("CARGO_BIN_EXE_switchover")]);
    let ignoring = ignoring.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (id, _engine) = (ignoring.id(), Engine(ignoring));
    until(folder, |live| live["pid"] == id && is_same(live));
    signalled(id, "HUP");
    done(folder, &["throttle", "rows_per_s=100000"]);
    until(folder, |live| live["pid"] == id && live["phase"] == "following");
}

#[test]
#[cfg(feature = "failpoints")]
fn an_engine_that_rests_hears_what_is_asked() {
    let (folder, file) = application();
    let folder = folder.path();
    let mut start = Command::new(env!("CARGO_BIN_EXE_switchover"));
    start.args(START).current_dir(folder).env("FAILPOINTS", "live-copied=sleep(5000)");
    start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut engine = Engine(start.spawn().unwrap());
    wait_for(|| begun(folder).is_some());
    until(folder, |live| live["phase"] == "copying");
    // Behind the last row: a pause before it would be one of the copy.
    let copied = || {
        let target =
            Connection::open_with_flags(folder.join("new.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        target.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
    };
    wait_for(|| copied() == Ok(2));
    // It comes to this while it takes what was changed meanwhile.
    done(folder, &["pause"]);
    let early = run(folder, &["cutover"]);
    assert!(early.code == 1 && flat(&early.err).contains("not up to date yet"), "{}", early.err);
    done(folder, &["resume"]);
    until(folder, is_same);
    // A batch that uses up the limit of the next quarter of an hour.
    done(folder, &["throttle", "rows_per_s=1"]);
    file.execute_batch(
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i, 'x' FROM n",
    )
    .unwrap();
    until(folder, |live| live["rows_taken"].as_u64() >= Some(900));
    done(folder, &["throttle", "rows_per_s=2"]);
    assert!(Command::new("kill").args(["-TERM", &engine.0.id().to_string()]).status().unwrap().success());
    assert!(engine.0.wait().unwrap().success());
}

/// Does something to a table while none of its triggers is there; they are put back word for word.
fn without_triggers(file: &Connection, table: &str, hidden: &str) {
    let query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1";
    let mut statement = file.prepare(query).unwrap();
    let triggers = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let triggers: Vec<(String, String)> = triggers.collect::<rusqlite::Result<_>>().unwrap();
    assert!(triggers.len() > 2, "{triggers:?}");
    let drops: String = triggers.iter().map(|(name, _)| format!("DROP TRIGGER {name};")).collect();
    let makes: String = triggers.iter().map(|(_, sql)| format!("{sql};")).collect();
    file.execute_batch(&format!("BEGIN; {drops} {hidden}; {makes} COMMIT")).unwrap();
}

/// Its triggers are as they were, and the log says nothing of what was written meanwhile.
#[test]
fn rows_written_while_the_triggers_were_away_are_found_and_copied_though_these_are_back() {
    for (hidden, rebuilt, unseen) in [
        ("UPDATE t SET x = 'unseen' WHERE id = 1", "t", "unseen"),
        (
            "CREATE TABLE \"new_r\" (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO new_r SELECT id, upper(x) FROM r;
             DROP TABLE r; ALTER TABLE new_r RENAME TO r",
            "r",
            "ONE",
        ),
    ] {
        let (folder, file) = application();
        let folder = folder.path();
        file.execute_batch(
            "CREATE TABLE \"r\" (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO r VALUES (1, 'one')",
        )
        .unwrap();
        let _engine = begin(folder, &START);
        until(folder, is_same);
        // What changes no rows does no harm: they are compared again.
        file.execute_batch("CREATE INDEX by_x ON t(x)").unwrap();
        done(folder, &["cutover", "--when-ready"]);
        done(folder, &["rollback", "--when-ready"]);
        until(folder, is_same);
        without_triggers(&file, rebuilt, hidden);
        let early = run(folder, &["cutover"]);
        assert_ne!(early.code, 0, "{rebuilt}: {}", early.out);
        let live = until(folder, |live| live["recopied"].as_u64() >= Some(2) && is_same(live));
        assert_eq!(live["ownership"]["owner"], "source", "{live:#}");
        let target = Connection::open(folder.join("new.db")).unwrap();
        let there = format!("SELECT x FROM {rebuilt} WHERE id = 1");
        assert_eq!(target.query_row(&there, [], |row| row.get::<_, String>(0)).unwrap(), unseen);
        drop(target);
        done(folder, &["rollback"]);
    }
}

#[test]
fn rows_written_to_the_target_while_its_gate_was_away_are_found_though_it_is_back() {
    let (folder, _file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    let target = Connection::open(folder.join("new.db")).unwrap();
    assert!(target.execute_batch("UPDATE t SET x = 'stray' WHERE id = 1").is_err(), "there is a gate");
    without_triggers(&target, "t", "UPDATE t SET x = 'stray' WHERE id = 1");
    drop(target);
    let early = run(folder, &["cutover"]);
    assert_ne!(early.code, 0, "{}", early.out);
    let live = until(folder, |live| live["verification"]["verdict"] == "different");
    assert_eq!(live["ownership"]["owner"], "source", "{live:#}");
    done(folder, &["rollback"]);
}

#[test]
fn what_a_live_run_has_no_use_for_is_refused_when_it_is_resumed() {
    let (folder, _file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    for option in [
        &["--report", "r.md"][..],
        &["--archive", "kept"],
        &["--validation-sample", "5"],
        &["--on-failure", "rollback"],
    ] {
        let ran = run(folder, &[&["resume"][..], option].concat());
        assert!(ran.code == 2 && flat(&ran.err).contains(&format!("leave {} out", option[0])), "{}", ran.err);
    }
    done(folder, &["resume"]);
}

/// What was told of an earlier comparison used to be the answer; and an engine that was gone used to be waited for.
#[test]
fn a_comparison_that_is_asked_for_is_the_one_that_is_told() {
    let (folder, _file) = application();
    let folder = folder.path();
    let mut engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    // The status of before stays for as long as none can be written.
    let in_the_way = run_folder(folder).join("live.partial");
    wait_for(|| std::fs::create_dir(&in_the_way).is_ok());
    let mut asking = begin(folder, &["verify", "--live"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(asking.0.try_wait().unwrap().is_none(), "it took the comparison of before for its own");
    std::fs::remove_dir(&in_the_way).unwrap();
    assert!(asking.0.wait().unwrap().success());
    // What it finds cannot be told, and then the engine is gone.
    std::fs::create_dir(&in_the_way).unwrap();
    let mut asking = begin(folder, &["verify", "--live"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    engine.0.kill().unwrap();
    engine.0.wait().unwrap();
    let ends = asking.0.id();
    wait_for(|| has_ended(ends));
    assert_eq!(asking.0.wait().unwrap().code(), Some(2));
}

/// Whether a process of the test's own has ended; it is still to be waited for.
fn has_ended(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}
