//! What the verbs of live runs say of a store that differs, of a change of the owner that cannot be made, or only asked about, and of
//! an engine in the background; and that nothing has changed where they say so.
#![expect(clippy::unwrap_used, reason = "tests")]

mod client;
mod engine;
mod program;

use client::Client;
use engine::{application, begin, is_same, run_folder, signalled, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use switchover_testkit::{Cluster, Database};

const START: [&str; 5] = ["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];

/// Comparisons after which a difference must have been found: the first that begins after it finds it.
const VERDICTS: usize = 20;

/// What the application is told.
fn route(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(".switchover/route.json")).unwrap()
}

/// That this side takes the application's writes, for all that it was told.
#[track_caller]
fn is_open(folder: &Path, owner: &str) {
    let live = until(folder, |live| live["phase"] != "switching");
    let told: serde_json::Value = serde_json::from_str(&route(folder)).unwrap();
    assert!(live["ownership"]["owner"] == owner && live["ownership"]["pending"] == false, "{live:#}");
    assert!(told["owner"] == owner && told["writes"] == "open", "{told:#}");
}

/// Changes rows of a target that follows, as nobody but the engine may: the gate asks for its mark.
fn behind_its_back(folder: &Path, database: &Database, sql: &str) {
    let refused = database.psql(sql).unwrap_err().to_string();
    assert!(refused.contains("takes no writes"), "{refused}");
    let run = run_folder(folder).file_name().unwrap().to_str().unwrap().to_owned();
    database.psql(&format!("BEGIN; SET LOCAL switchover.engine = '{run}'; {sql}; COMMIT")).unwrap();
}

#[test]
fn a_follower_that_differs_is_found_with_its_key_and_never_becomes_the_owner() {
    let database = Cluster::shared().unwrap().fresh_database("differs").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    let same = done(folder, &["verify", "--live"]);
    assert!(same.starts_with("run ") && same.contains(": yes: 2 rows"), "{same}");
    let differences = [
        ("UPDATE t SET x = 'other' WHERE id = 2", "UPDATE t SET x = 'two' WHERE id = 2", "2"),
        ("DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (1, 'one')", "1"),
    ];
    for (spoil, mend, key) in differences {
        behind_its_back(folder, &database, spoil);
        let found = run(folder, &["verify", "--live"]);
        let said = flat(&found.out);
        assert!(found.code == 1 && said.contains(": no: ") && said.contains("table t"), "{spoil}: {said}");
        assert!(
            said.contains("compare the stores") && said.contains(&format!("row id={key}")),
            "{spoil}: {said}"
        );
        let refused = run(folder, &["cutover"]);
        assert!(
            refused.code == 1 && flat(&refused.err).contains("the stores are known to differ"),
            "{}",
            refused.err
        );
        is_open(folder, "source");
        behind_its_back(folder, &database, mend);
        done(folder, &["verify", "--live"]);
    }
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    done(folder, &["cutover", "--when-ready"]);
    assert_eq!(
        database.psql("SELECT string_agg(x, ',' ORDER BY id) FROM t").unwrap().trim(),
        "one,two,three"
    );
}

/// What a refused cutover says that helps: each row is logged once more, and the comparison proves it.
#[test]
fn a_follower_that_differs_is_mended_by_writing_the_rows_once_more() {
    let database = Cluster::shared().unwrap().fresh_database("mended").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    for (spoil, again) in [
        ("UPDATE t SET x = 'other' WHERE id = 2", "UPDATE t SET x = x WHERE id = 2"),
        ("DELETE FROM t WHERE id = 1", "UPDATE t SET x = x WHERE id = 1"),
        ("INSERT INTO t VALUES (9, 'more')", "INSERT INTO t VALUES (9, 'one'); DELETE FROM t WHERE id = 9"),
    ] {
        behind_its_back(folder, &database, spoil);
        assert_eq!(run(folder, &["verify", "--live"]).code, 1, "{spoil}");
        let refused = run(folder, &["cutover"]);
        let said = flat(&refused.err);
        assert!(
            refused.code == 1 && said.contains("write the row once more on the source"),
            "{spoil}: {said}"
        );
        file.execute_batch(again).unwrap();
        done(folder, &["verify", "--live"]);
    }
    done(folder, &["cutover", "--when-ready"]);
    assert_eq!(database.psql("SELECT string_agg(x, ',' ORDER BY id) FROM t").unwrap().trim(), "one,two");
}

#[test]
fn a_writer_that_holds_the_source_from_the_start_costs_a_cutover_its_write_budget_and_no_more() {
    let database = Cluster::shared().unwrap().fresh_database("held").unwrap();
    for to in [database.conninfo(), "sqlite:new.db".into()] {
        let (folder, file) = application();
        let folder = folder.path();
        let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &to]);
        until(folder, is_same);
        file.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (3, 'held')").unwrap();
        let begun = Instant::now();
        let ran = run(folder, &["cutover", "--write-budget", "300ms"]);
        let (took, said) = (begun.elapsed(), flat(&ran.err));
        assert!(ran.code == 2 && said.contains("write budget of 300 ms"), "{} {said}", ran.code);
        // SQLite's own patience is five seconds.
        assert!(took < Duration::from_secs(4), "{took:?}: {said}");
        file.execute_batch("COMMIT").unwrap();
        is_open(folder, "source");
        done(folder, &["cutover", "--when-ready"]);
        is_open(folder, "target");
        let rows: i64 = match to.strip_prefix("sqlite:") {
            Some(name) => Connection::open(folder.join(name))
                .unwrap()
                .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
                .unwrap(),
            None => database.psql("SELECT count(*) FROM t").unwrap().trim().parse().unwrap(),
        };
        assert_eq!(rows, 3);
    }
}

#[test]
fn a_write_budget_that_runs_out_leaves_the_owner_as_it_was_and_open() {
    let database = Cluster::shared().unwrap().fresh_database("budget").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let config = "[cutover.hooks]\nbefore = ['touch ready; until test -e held; do sleep 0.01; done']\n";
    std::fs::write(folder.join("switchover.toml"), config).unwrap();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    let over = |verb: &str, reasons: &[&str]| {
        let ran = run(folder, &[verb, "--write-budget", "300ms"]);
        let said = flat(&ran.err);
        let reason = reasons.iter().any(|reason| said.contains(reason));
        assert!(ran.code == 2 && reason, "{verb}: {} {said}", ran.code);
    };
    // A transaction that begins when all is made ready and nothing is fenced yet. The store may say who holds it, or the clock.
    let reasons = ["write budget of 300 ms", "cannot fence the "];
    std::thread::scope(|scope| {
        scope.spawn(|| over("cutover", &reasons));
        wait_for(|| folder.join("ready").exists());
        file.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (3, 'held')").unwrap();
        std::fs::write(folder.join("held"), "").unwrap();
    });
    is_open(folder, "source");
    file.execute_batch("COMMIT; INSERT INTO t VALUES (4, 'at once')").unwrap();
    // What is told of the same owner again is not taken for an earlier change.
    done(folder, &["verify", "--live"]);
    let live = until(folder, is_same);
    assert!(live["untold"].is_null(), "{live:#}");
    done(folder, &["cutover", "--when-ready"]);
    is_open(folder, "target");
    // And the same on the way back.
    until(folder, |live| live["phase"] == "reverse");
    let mut client = Client::of(&database);
    assert_eq!(client.says("BEGIN; INSERT INTO t VALUES (5, 'held')"), "");
    over("rollback", &reasons);
    is_open(folder, "target");
    assert_eq!(client.says("COMMIT; INSERT INTO t VALUES (6, 'at once')"), "");
    done(folder, &["rollback", "--when-ready"]);
    is_open(folder, "source");
    let rows = "SELECT group_concat(x) FROM (SELECT x FROM t ORDER BY id)";
    let rows: String = file.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, "one,two,held,at once,held,at once");
}

#[test]
fn a_command_before_that_fails_keeps_the_owner() {
    let (folder, file) = application();
    let folder = folder.path();
    let config = "[cutover.hooks]\nbefore = ['test -e allowed']\nat = ['echo $SWITCHOVER_OWNER >> told']\n";
    std::fs::write(folder.join("switchover.toml"), config).unwrap();
    let _engine = begin(folder, &START);
    until(folder, is_same);
    let before = route(folder);
    let refused = run(folder, &["cutover"]);
    assert!(refused.code == 2 && flat(&refused.err).contains("the command 'before'"), "{}", refused.err);
    is_open(folder, "source");
    assert_eq!(route(folder), before);
    assert!(!folder.join("told").exists());
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    std::fs::write(folder.join("allowed"), "").unwrap();
    done(folder, &["cutover", "--when-ready"]);
    is_open(folder, "target");
    assert_eq!(std::fs::read_to_string(folder.join("told")).unwrap(), "target\n");
    let new = Connection::open(folder.join("new.db")).unwrap();
    new.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
    assert!(file.execute_batch("INSERT INTO t VALUES (5, 'five')").is_err());
}

#[test]
fn a_dry_run_of_a_change_of_the_owner_says_whether_it_could_be_and_changes_nothing() {
    let database = Cluster::shared().unwrap().fresh_database("dry").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    let config = "[cutover.hooks]\nbefore = ['touch called']\n";
    std::fs::write(folder.join("switchover.toml"), config).unwrap();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    // The schema, the row that decides and the triggers; and what the application reads.
    let state = || {
        let rows = database.rows("SELECT l::text FROM _switchover_live l").unwrap();
        let triggers = "SELECT tgname, tgenabled::text FROM pg_trigger ORDER BY tgname, tgrelid";
        (rows, database.rows(triggers).unwrap(), route(folder))
    };
    let dry = |verb: &str| {
        let before = state();
        let said = flat(&done(folder, &[verb, "--dry-run"]));
        assert!(said.contains("it could be done now"), "{verb}: {said}");
        assert!(state() == before, "{verb}: {before:?}, then {:?}", state());
        assert!(!folder.join("called").exists());
    };
    dry("cutover");
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    done(folder, &["pause"]);
    let refused = run(folder, &["cutover", "--dry-run"]);
    assert!(refused.code == 1 && flat(&refused.err).contains("the run is paused"), "{}", refused.err);
    done(folder, &["resume"]);
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["phase"] == "reverse" && live["lag_entries"] == 0);
    std::fs::remove_file(folder.join("called")).unwrap();
    dry("rollback");
    database.psql("INSERT INTO t VALUES (4, 'four')").unwrap();
}

/// An engine that is no child of the test's.
struct Detached(u32);

impl Detached {
    /// Begins one, by what the program says of it.
    fn begin(folder: &Path) -> Detached {
        Detached::by(folder, &[&START[..], &["--detach"]].concat())
    }

    /// The same by other words.
    fn by(folder: &Path, words: &[&str]) -> Detached {
        Detached::of(&done(folder, words))
    }

    /// The one of which the program said this.
    fn of(said: &str) -> Detached {
        let id = said.split_once("as process ").unwrap().1.split(';').next().unwrap();
        Detached(id.parse().unwrap())
    }

    /// Whether it has not ended yet. Who adopts it may not have looked at its end.
    fn is_alive(&self) -> bool {
        let state = Command::new("ps").args(["-o", "stat=", "-p", &self.0.to_string()]).output().unwrap();
        !["", "Z"].contains(&String::from_utf8_lossy(&state.stdout).get(..1).unwrap_or_default())
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if self.is_alive() {
            let _ = Command::new("kill").args(["-KILL", &self.0.to_string()]).status();
        }
    }
}

#[test]
fn an_engine_in_the_background_is_at_work_until_it_is_asked_to_end() {
    let (folder, file) = application();
    let folder = folder.path();
    let engine = Detached::begin(folder);
    until(folder, |live| live["pid"] == engine.0 && is_same(live));
    assert!(engine.is_alive());
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    until(folder, |live| live["rows_taken"] == 1);
    signalled(engine.0, "TERM");
    wait_for(|| !engine.is_alive());
    let log = std::fs::read_to_string(folder.join(".switchover/engine.log")).unwrap();
    assert!(flat(&log).contains("switchover resume"), "{log}");
    assert!(flat(&done(folder, &["status"])).contains("stopped on request"));
    done(folder, &["rollback"]);
    assert!(!folder.join("new.db").exists());
    // The next one is ended by the verb that it carries out.
    let engine = Detached::begin(folder);
    until(folder, |live| live["pid"] == engine.0 && is_same(live));
    done(folder, &["rollback"]);
    wait_for(|| !engine.is_alive());
    assert!(!folder.join("new.db").exists());
}

#[test]
fn an_engine_in_the_background_that_does_not_begin_says_why_and_one_that_does_can_be_asked_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = Connection::open(folder.join("app.db")).unwrap();
    file.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'one')")
        .unwrap();
    let detach = [&START[..], &["--detach"]].concat();
    let (alone, behind) = (run(folder, &START), run(folder, &detach));
    let said = flat(&behind.err);
    assert!(alone.code != 0 && behind.code == alone.code, "{} {said}", behind.code);
    assert!(said.contains("its journal mode is delete") && behind.out.is_empty(), "{}{said}", behind.out);
    // What an earlier one wrote into the log is not told again.
    let none = run(folder, &["start", "--from", "sqlite:none.db", "--to", "sqlite:new.db", "--detach"]);
    let said = flat(&none.err);
    assert!(none.code == 2 && said.contains("none.db") && !said.contains("journal mode"), "{said}");
    file.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    let engine = Detached::begin(folder);
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["pid"] == engine.0 && live["phase"] == "reverse");
}

#[test]
fn a_run_is_taken_up_in_the_background_and_what_ends_at_once_says_why() {
    let (folder, file) = application();
    let folder = folder.path();
    let take_up = ["resume", "--detach"];
    let engine = Detached::begin(folder);
    until(folder, |live| live["pid"] == engine.0 && is_same(live));
    // One that is at work goes on, and no other is begun.
    done(folder, &["pause"]);
    until(folder, |live| live["paused"] == true);
    assert!(done(folder, &take_up).ends_with(": done\n"));
    until(folder, |live| live["pid"] == engine.0 && live["paused"] == false);
    signalled(engine.0, "KILL");
    wait_for(|| !engine.is_alive());
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    let refused = run(folder, &["pause"]);
    let said = flat(&refused.err);
    assert!(refused.code == 2 && said.contains("no engine is running"), "{said}");
    assert!(said.contains("`switchover resume`") && said.contains("--detach"), "{said}");
    let engine = Detached::by(folder, &take_up);
    // It can be asked at once.
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["pid"] == engine.0 && live["phase"] == "reverse");
    done(folder, &["rollback", "--when-ready"]);
    until(folder, |live| live["ownership"]["owner"] == "source" && is_same(live));
    done(folder, &["rollback"]);
    wait_for(|| !engine.is_alive());
    let (alone, behind) = (run(folder, &["resume"]), run(folder, &take_up));
    let said = flat(&behind.err);
    assert!(alone.code != 0 && behind.code == alone.code, "{} {said}", behind.code);
    assert!(said.contains("the live run is over") && behind.out.is_empty(), "{}{said}", behind.out);
    // A run that is no live one has no engine.
    let (folder, _file) = application();
    let folder = folder.path();
    done(folder, &["migrate", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    let refused = run(folder, &take_up);
    let said = flat(&refused.err);
    assert!(refused.code == 2 && said.contains("no live run") && refused.out.is_empty(), "{said}");
}

#[test]
fn an_engine_in_the_background_that_cannot_write_its_status_is_not_waited_for_and_can_be_asked() {
    let (folder, file) = application();
    let folder = folder.path();
    let engine = Detached::begin(folder);
    until(folder, |live| live["pid"] == engine.0 && is_same(live));
    signalled(engine.0, "KILL");
    wait_for(|| !engine.is_alive());
    // As in a folder that is full: what is written there first cannot be made.
    let partial = run_folder(folder).join("live.partial");
    std::fs::create_dir(&partial).unwrap();
    let ran = run(folder, &["resume", "--detach"]);
    let said = flat(&ran.err);
    assert!(ran.code == 0 && said.contains("has not written its status"), "{} {said}", ran.code);
    assert!(said.contains("may be full or not writable"), "{said}");
    let next = Detached::of(&ran.out);
    assert!(next.0 != engine.0 && next.is_alive(), "{}", ran.out);
    file.execute_batch("INSERT INTO t VALUES (3, 'three')").unwrap();
    done(folder, &["cutover", "--when-ready"]);
    let rows = "SELECT count(*) FROM t";
    let new = Connection::open(folder.join("new.db")).unwrap();
    assert_eq!(new.query_row(rows, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    std::fs::remove_dir(&partial).unwrap();
    until(folder, |live| live["pid"] == next.0 && live["phase"] == "reverse");
}

#[test]
fn a_comparison_that_goes_on_says_each_verdict_until_it_is_stopped_or_finds_a_difference() {
    let database = Cluster::shared().unwrap().fresh_database("continuous").unwrap();
    let (folder, _file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    let begun = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchover"));
        command.args(["verify", "--live", "--continuous"]).current_dir(folder).stdin(Stdio::null());
        let mut comparing = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(comparing.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            let line = lines.next().unwrap().unwrap();
            assert!(line.contains(": yes: 2 rows"), "{line}");
        }
        (comparing, lines)
    };
    let (comparing, lines) = begun();
    signalled(comparing.id(), "INT");
    // Nobody writes into a pipe that is closed.
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let ended = comparing.wait_with_output().unwrap();
    let said = flat(&String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.code() == Some(2) && rest.iter().all(|line| line.contains(": yes: ")), "{rest:?}");
    // It was the question that ended, not the engine.
    assert!(!said.contains("resume"), "{said}");
    let (comparing, lines) = begun();
    behind_its_back(folder, &database, "UPDATE t SET x = 'other' WHERE id = 2");
    let last = lines.map(Result::unwrap).take(VERDICTS).find(|line| !line.contains(": yes: ")).unwrap();
    assert!(last.contains(": no: ") && last.contains("row id=2"), "{last}");
    assert_eq!(comparing.wait_with_output().unwrap().status.code(), Some(1));
}

#[test]
fn a_run_into_a_file_of_another_schema_goes_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = Connection::open(folder.join("app.db")).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;
         CREATE TABLE UserAccount (UserId INTEGER PRIMARY KEY, FullName TEXT NOT NULL);
         CREATE TABLE ChatMessage (MessageKey TEXT NOT NULL PRIMARY KEY, SentBy INTEGER NOT NULL
             REFERENCES UserAccount (UserId) ON DELETE CASCADE, bodyText TEXT, Raw BLOB) WITHOUT ROWID;
         CREATE UNIQUE INDEX MessageBySender ON ChatMessage (SentBy, bodyText);
         INSERT INTO UserAccount VALUES (1, 'one'), (2, 'two'), (3, 'three');
         INSERT INTO ChatMessage VALUES ('a', 1, 'first', x'00ff'), ('b', 2, NULL, NULL), ('c', 3, 'last', x'');",
    )
    .unwrap();
    let _engine = begin(folder, &[&START[..], &["--names", "snake"]].concat());
    until(folder, is_same);
    let shown = |connection: &Connection, sql: &str| -> String {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let here = || {
        let rows = "SELECT (SELECT group_concat(UserId || FullName) FROM (SELECT * FROM UserAccount ORDER BY 1)) || '|' ||
            (SELECT group_concat(MessageKey || SentBy || quote(bodyText) || quote(Raw)) FROM (SELECT * FROM ChatMessage ORDER BY 1))";
        shown(&file, rows)
    };
    let there = || {
        let new = Connection::open(folder.join("new.db")).unwrap();
        let rows = "SELECT (SELECT group_concat(user_id || full_name) FROM (SELECT * FROM user_account ORDER BY 1)) || '|' ||
            (SELECT group_concat(message_key || sent_by || quote(body_text) || quote(raw)) FROM (SELECT * FROM chat_message ORDER BY 1))";
        shown(&new, rows)
    };
    // A cascade, a key that changes, and a unique value that goes from one row to another.
    file.execute_batch(
        "DELETE FROM UserAccount WHERE UserId = 3; UPDATE ChatMessage SET MessageKey = 'd' WHERE MessageKey = 'b';
         REPLACE INTO ChatMessage VALUES ('e', 1, 'first', NULL)",
    )
    .unwrap();
    wait_for(|| there() == "1one,2two|d2NULLNULL,e1'first'NULL");
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["phase"] == "reverse");
    let new = Connection::open(folder.join("new.db")).unwrap();
    new.execute_batch(
        "PRAGMA foreign_keys = ON; DELETE FROM user_account WHERE user_id = 2; INSERT INTO user_account VALUES (4, 'four');
         UPDATE chat_message SET message_key = 'f', raw = x'01' WHERE message_key = 'e';
         INSERT INTO chat_message VALUES ('g', 4, 'new', NULL)",
    )
    .unwrap();
    let written = there();
    done(folder, &["rollback", "--when-ready"]);
    assert_eq!(here(), written);
    assert_eq!(written, "1one,4four|f1'first'X'01',g4'new'NULL");
    file.execute_batch("INSERT INTO UserAccount VALUES (5, 'five')").unwrap();
    wait_for(|| here() == there());
    done(folder, &["verify", "--live"]);
}

#[test]
fn a_column_that_only_the_source_computes_is_refused_at_the_start() {
    let database = Cluster::shared().unwrap().fresh_database("computed").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    file.execute_batch(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT, s TEXT GENERATED ALWAYS AS (b || '!') STORED, o TEXT AS (strftime('%Y', b)));
         INSERT INTO a (id, b) VALUES (1, 'one')",
    )
    .unwrap();
    let to = database.conninfo();
    let stores = ["--from", "sqlite:app.db", "--to", &to];
    for verb in [&["start", "--dry-run"][..], &["start"], &["rehearse"]] {
        let ran = run(folder, &[verb, &stores].concat());
        let said = flat(&format!("{} {}", ran.out, ran.err));
        assert!(
            ran.code == 1 && said.contains("SQLite lets nobody write a computed column"),
            "{verb:?}: {said}"
        );
        assert!(said.contains("--exclude") && said.contains("switchover migrate"), "{verb:?}: {said}");
    }
    let named = flat(&run(folder, &[&["start"][..], &stores].concat()).err);
    assert!(named.contains("table a") && named.contains("column o"), "{named}");
    assert!(!named.contains("more refusals"), "what the target computes too comes back: {named}");
    let left = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_switchover%' ESCAPE '\\'";
    assert_eq!(file.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    // A file has the expression as it is.
    done(folder, &[&START[..], &["--dry-run"]].concat());
    file.execute_batch("ALTER TABLE a DROP COLUMN o").unwrap();
    let _engine = begin(folder, &[&["start"][..], &stores].concat());
    until(folder, is_same);
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["phase"] == "reverse");
    database.psql("INSERT INTO a (id, b) VALUES (2, 'new')").unwrap();
    done(folder, &["rollback", "--when-ready"]);
    let computed = "SELECT group_concat(s) FROM (SELECT s FROM a ORDER BY id)";
    assert_eq!(file.query_row(computed, [], |row| row.get::<_, String>(0)).unwrap(), "one!,new!");
}

#[test]
fn a_status_that_a_living_engine_writes_no_more_is_shown_as_old() {
    let (folder, _file) = application();
    let folder = folder.path();
    let engine = begin(folder, &START);
    let live = until(folder, is_same);
    assert!(!flat(&done(folder, &["status"])).contains("the state folder may be full"), "{live:#}");
    // It is alive and writes nothing, as in a folder that is full.
    signalled(engine.0.id(), "STOP");
    let path = run_folder(folder).join("live.json");
    let set_back = || {
        let mut told: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        told["at"] = "2026-01-31T12:00:00Z".into();
        std::fs::write(&path, told.to_string()).unwrap();
    };
    let runs =
        || -> serde_json::Value { serde_json::from_str(&done(folder, &["status", "--json"])).unwrap() };
    // A write that was under way may still come.
    wait_for(|| {
        set_back();
        runs()[0]["live"]["at"] == "2026-01-31T12:00:00Z"
    });
    let runs = runs();
    let old = runs[0]["old"].as_str().unwrap_or_default();
    assert!(runs[0]["state"] == "running" && old.contains("at 2026-01-31T12:00:00Z"), "{runs:#}");
    assert!(old.contains("the state folder may be full or not writable"), "{old}");
    assert!(flat(&done(folder, &["status"])).contains("the state folder may be full or not writable"));
    signalled(engine.0.id(), "CONT");
    until(folder, |live| live["at"] != "2026-01-31T12:00:00Z");
    let said = flat(&done(folder, &["status"]));
    assert!(!said.contains("the state folder may be full"), "{said}");
}

#[test]
fn reads_go_to_no_target_that_differs_and_to_none_that_nothing_feeds() {
    let database = Cluster::shared().unwrap().fresh_database("reads").unwrap();
    let (folder, _file) = application();
    let folder = folder.path();
    let engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    done(folder, &["reads", "50%"]);
    behind_its_back(folder, &database, "UPDATE t SET x = 'other' WHERE id = 2");
    assert_eq!(run(folder, &["verify", "--live"]).code, 1);
    // The share that was there goes back by itself.
    let before = route(folder);
    let told: serde_json::Value = serde_json::from_str(&before).unwrap();
    assert!(told["reads_at_target"] == 0 && told["follower"] == "filling", "{told:#}");
    assert!(told["why"].as_str().is_some_and(|why| why.contains("row id=2")), "{told:#}");
    let said = flat(&done(folder, &["route"]));
    assert!(said.contains("is known to differ") && said.contains("row id=2"), "{said}");
    let refused = run(folder, &["reads", "60%"]);
    let said = flat(&refused.err);
    assert!(refused.code == 1 && said.contains("the stores are known to differ"), "{}{said}", refused.out);
    assert!(said.contains("row id=2") && said.contains("once more on the source"), "{said}");
    assert_eq!(route(folder), before);
    done(folder, &["reads", "0%"]);
    behind_its_back(folder, &database, "UPDATE t SET x = 'two' WHERE id = 2");
    done(folder, &["verify", "--live"]);
    // Nor does it come back by itself.
    let told: serde_json::Value = serde_json::from_str(&route(folder)).unwrap();
    assert!(told["reads_at_target"] == 0 && told["follower"] == "ready" && told["why"].is_null(), "{told:#}");
    done(folder, &["reads", "60%"]);
    drop(engine);
    let before = route(folder);
    let refused = run(folder, &["reads", "70%"]);
    let said = flat(&refused.err);
    assert!(refused.code == 2 && said.contains("no engine is running"), "{}{said}", refused.out);
    assert_eq!(route(folder), before);
    done(folder, &["reads", "0%"]);
}
