//! What happens around a run: servers that restart or go, disks that are full, rights that are taken away,
//! other runs, signals, and sources that change.
//!
//! Chunks are slowed by a failpoint, and the test acts on the first line that tells of progress, so that what
//! happens does happen in the middle of the copy.
#![cfg(feature = "failpoints")]

mod common;
mod disk;

use common::case::{Case, GOALS, Goal, Origin};
use common::{LIMIT, Running, files, killed, run};
use disk::Disk;
use rusqlite::Connection;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use switchover_testkit::{Cluster, Shutdown};

/// Each chunk takes at least so long.
const SLOWLY: &str = "copy-before-commit=sleep(30)";

/// Starts the case's migration, slowly, and waits until it has copied a few chunks.
fn start_slowly(case: &Case, arguments: &[&str]) -> Running {
    let mut running = Running::start(case.migrate(arguments).args(["--jobs", "2"]).env("FAILPOINTS", SLOWLY));
    (0..5).for_each(|_| running.await_copied());
    running
}

fn change(case: &Case, sql: &str) {
    let source = Connection::open(case.source()).expect("the source");
    source.execute_batch(sql).expect("a change of the source");
}

#[test]
fn a_server_that_is_restarted_delays_the_run_and_no_more() {
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        let mut cluster = Cluster::builder().fsync(true).start().expect("a cluster");
        let case = Case::on(&cluster);
        if how == Shutdown::Immediate {
            // Commits that nobody waits for stay in memory then, and are lost with the server.
            let writer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
            let writer = cluster.psql("postgres", writer).expect("a process");
            assert!(Command::new("kill").args(["-STOP", &writer]).status().expect("kill").success());
        }
        let running = start_slowly(&case, &[]);
        cluster.restart(how).expect("a restart");
        let ran = running.end().exits(0).says("trying again");
        if how == Shutdown::Immediate {
            ran.says("the server lost rows in a crash");
        }
        case.is_equal();
        assert_eq!(case.state_of_run(), "done", "{how:?}");
    }
}

/// A session that is torn off is a line of the server's log, which whoever looks after the server takes for a failure.
#[test]
fn no_session_is_torn_off() {
    let cluster = Cluster::builder().start().expect("a cluster");
    let case = Case::with_rows(&cluster, 20_000);
    run(&mut case.migrate(&[])).exits(0);
    for _ in 0..5 {
        run(case.program(&["verify"]).args(["--from", &case.from(), "--to", &case.url()])).exits(0);
    }
    let log = cluster.log();
    let torn = ["connection to client lost", "Broken pipe", "unexpected EOF"];
    let torn: Vec<&str> = log.lines().filter(|line| torn.iter().any(|said| line.contains(said))).collect();
    assert!(torn.is_empty(), "{torn:#?}");
}

#[test]
fn a_server_that_is_gone_fails_the_run_and_resume_finishes_it_when_it_is_back() {
    let mut cluster = Cluster::builder().fsync(true).start().expect("a cluster");
    let case = Case::on(&cluster);
    let mut command = case.migrate(&["--jobs", "2"]);
    let mut running = Running::start(command.env("FAILPOINTS", format!("{SLOWLY};few-retries=return")));
    running.await_copied();
    cluster.stop(Shutdown::Immediate).expect("a stop");
    running.end().exits(2).says("start the server").says("`switchover resume` goes on");
    assert_eq!(case.state_of_run(), "failed");
    run(case.verb("resume").env("FAILPOINTS", "few-retries=return")).exits(2).says("no server has");
    cluster.start().expect("it is back");
    run(&mut case.verb("resume")).exits(0);
    case.is_equal();
}

#[test]
fn sessions_that_are_ended_by_an_operator_are_made_again() {
    let case = Case::new();
    let running = start_slowly(&case, &[]);
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_ne!(case.database.psql(end).expect("their end"), "0");
    running.end().exits(0);
    case.is_equal();
}

#[test]
fn a_full_disk_of_the_server_is_named_and_nothing_stays() {
    let cluster = Cluster::builder().start().expect("a cluster");
    let folder = cluster.shared_folder("small").expect("a folder");
    let Some(_disk) = Disk::mount(&folder, 1200) else { return };
    let case = Case::with_rows(&cluster, 20_000);
    let database = case.database.name();
    let before = case.dump();
    cluster
        .psql(
            "postgres",
            &format!(
                "CREATE TABLESPACE small LOCATION '{}'; ALTER DATABASE \"{database}\" SET default_tablespace = small",
                folder.display()
            ),
        )
        .expect("a tablespace");
    let ran = run(&mut case.migrate(&[])).exits(2);
    // Which write of a chunk asks for the page that is not there, a row's or a quarantined value's, is chance.
    let ran = ran.says("53100").says("the server's disk is full").says("table\":\"messages");
    let writes = ["copy rows to the target", "write to the quarantine"];
    assert!(writes.iter().any(|operation| ran.err.contains(operation)), "{ran}");
    assert_eq!(case.state_of_run(), "rolled back");
    assert_eq!(case.dump(), before);
}

#[test]
fn a_full_disk_of_the_state_folder_is_named_and_nothing_stays() {
    // No room for the plan; room for it, and none for the backup; room that is gone in the middle.
    for kib in [8, 300] {
        let case = Case::new();
        std::fs::create_dir(case.state()).expect("a folder");
        let Some(_disk) = Disk::mount(&case.state(), kib) else { return };
        let before = case.dump();
        let ran = run(&mut case.migrate(&[])).exits(2);
        ran.says("exhausted").says(".switchover/");
        assert_eq!(case.dump(), before, "{kib}");
    }
    let case = Case::new();
    std::fs::create_dir(case.state()).expect("a folder");
    let Some(disk) = Disk::mount(&case.state(), 8000) else { return };
    let before = case.dump();
    let running = start_slowly(&case, &["--no-backup"]);
    let ballast = disk.fill();
    running.end().exits(2).says("exhausted").says(".switchover/runs/");
    // A line of the journal may still find room in its last block. Then only the report is missing, the
    // verified run stands, and it is the user who takes it back.
    std::fs::remove_file(ballast).expect("space again");
    run(&mut case.verb("rollback")).exits(0);
    assert_eq!(case.state_of_run(), "rolled back");
    assert_eq!(case.dump(), before);
}

#[test]
fn a_full_disk_of_a_new_file_gives_it_up() {
    let mut case = Case::to(Goal::Sqlite);
    let folder = case.folder.path().join("small");
    std::fs::create_dir(&folder).expect("a folder");
    let Some(_disk) = Disk::mount(&folder, 400) else { return };
    let to = ["--to", "sqlite:small/new.db", "--no-backup"];
    case.vars.push(("SWITCHOVER_TEST_CHUNK_BYTES".to_owned(), "65536".to_owned()));
    let ran = run(&mut case.migrate(&to)).exits(2);
    ran.says("the disk is full").says("what the run wrote was taken back");
    assert_eq!(case.state_of_run(), "rolled back");
    assert_eq!(files(&folder), Vec::<PathBuf>::new(), "{}", folder.display());
}

#[test]
fn a_target_that_holds_an_unfinished_run_names_it() {
    for goal in GOALS {
        let case = Case::to(goal);
        run(case.migrate(&[]).env("FAILPOINTS", "copy-after-commit=9*off->return")).was_killed();
        let refused = run(&mut case.migrate(&[])).exits(1);
        refused.says("holds what the run").says("`resume` goes on with it, `rollback` takes it back");
        run(&mut case.verb("resume")).exits(0);
        case.is_equal();
    }
}

#[test]
fn a_run_that_was_taken_back_is_not_compared() {
    for goal in GOALS {
        let case = Case::to(goal);
        run(&mut case.migrate(&[])).exits(0);
        run(&mut case.verb("rollback")).exits(0);
        let verify = || case.program(&["verify", "--from", &case.from(), "--to", &case.url()]);
        run(&mut verify()).exits(2).says("was rolled back: the target holds nothing of it");
        run(&mut case.migrate(&[])).exits(0);
        run(&mut verify()).exits(0);
    }
}

/// It used to be a rollback.
#[test]
fn rollback_dry_run_says_what_it_would_do_and_changes_nothing() {
    GOALS.into_iter().chain([Goal::Existing]).for_each(killed::only_says_what_a_rollback_would_do);
}

#[test]
fn a_right_that_is_taken_away_stops_the_run_until_it_is_given_back() {
    let case = Case::new();
    let role = format!("role_of_{}", case.database.name());
    case.database
        .psql(&format!("CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}"))
        .expect("a role");
    let to = case.server.with_role(&role, None).conninfo(case.database.name());
    let running = start_slowly(&case, &["--to", &to]);
    case.database.psql("ALTER TABLE public.messages OWNER TO postgres").expect("another owner");
    let ran = running.end().exits(2);
    ran.says("42501").says("messages").says("`switchover resume` goes on");
    assert_eq!(case.state_of_run(), "failed");
    run(&mut case.verb("rollback")).exits(2).says("42501");
    case.database.psql(&format!("ALTER TABLE public.messages OWNER TO {role}")).expect("the owner");
    run(&mut case.verb("resume")).exits(0);
    case.is_equal();
    case.database.psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).expect("no role");
}

#[test]
fn two_at_once_are_one_too_many() {
    for goal in GOALS {
        let case = Case::to(goal);
        let mut first = Running::start(case.migrate(&["--jobs", "2"]).env("FAILPOINTS", "after-copy=pause"));
        first.await_line(|line| line.contains(r#""event":"phase_started","phase":"copy""#));
        run(&mut case.migrate(&[])).exits(2).says("another run is at work");
        for verb in ["resume", "rollback", "cleanup"] {
            run(case.verb(verb).args(if verb == "cleanup" { &["--yes"][..] } else { &[] }))
                .exits(2)
                .says("another process works on it");
        }
        assert_eq!(case.state_of_run(), "running");
        first.signal("KILL");
        first.end().was_killed();
        run(&mut case.verb("resume")).exits(0);
        case.is_equal();
        let there = if goal == Goal::Json { "new.json" } else { "messages" };
        run(&mut case.migrate(&[])).exits(1).says(there);
    }
}

/// The dump changes when all is read and proven, and not archived yet.
#[test]
fn a_dump_that_is_no_longer_what_was_moved_is_not_archived() {
    let case = Case::of((Origin::Json, Goal::Sqlite));
    let mut command = case.migrate(&["--archive", "kept"]);
    let mut first = Running::start(command.env("FAILPOINTS", "report-before=sleep(3000)"));
    first.await_line(|line| line.contains(r#""event":"phase_finished","phase":"verify""#));
    let dump = case.folder.path().join("app.json");
    let changed = [std::fs::read(&dump).expect("the dump"), b"\n".to_vec()].concat();
    std::fs::write(&dump, &changed).expect("another dump");
    first.end().exits(1).says("the file is no longer what was moved, so it was not archived");
    assert_eq!(files(&case.folder.path().join("kept")), Vec::<PathBuf>::new());
    assert_eq!(std::fs::read(&dump).expect("the dump"), changed);
    assert_eq!(case.state_of_run(), "done");
    case.is_equal();
}

#[test]
fn ctrl_c_stops_the_run_and_says_how_to_go_on() {
    for goal in GOALS {
        for signal in ["INT", "TERM"] {
            let case = Case::to(goal);
            let running = start_slowly(&case, &[]);
            running.signal(signal);
            let ran = running.end().exits(2);
            ran.says("it was asked to stop").says("`switchover resume` goes on");
            assert_eq!(case.state_of_run(), "stopped");
            run(&mut case.verb("resume")).exits(0);
            case.is_equal();
        }
    }
}

#[test]
fn ctrl_c_again_ends_it_at_once() {
    for goal in GOALS {
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let case = Case::to(goal);
            let mut running =
                Running::start(case.migrate(&["--jobs", "2"]).env("FAILPOINTS", "after-copy=pause"));
            running.await_line(|line| line.contains(r#""event":"phase_finished","phase":"copy""#));
            running.signal(signal);
            running.await_line(|line| line.contains("stopping after the work in hand"));
            running.signal(signal);
            running.end().exits(code);
            run(&mut case.verb("resume")).exits(0);
            case.is_equal();
        }
    }
}

#[test]
fn ctrl_c_in_a_wait_for_the_server_ends_the_wait() {
    let mut cluster = Cluster::builder().fsync(true).start().expect("a cluster");
    let case = Case::on(&cluster);
    let mut running = start_slowly(&case, &[]);
    cluster.stop(Shutdown::Fast).expect("a stop");
    running.await_line(|line| line.contains("trying again"));
    running.signal("INT");
    running.end().exits(2).says("it was asked to stop while").says("`switchover resume` goes on");
    assert_eq!(case.state_of_run(), "stopped");
    cluster.start().expect("it is back");
    run(&mut case.verb("resume")).exits(0);
    case.is_equal();
}

/// A wait of a target that can be reached again a moment later: what was copied used to be taken back then.
#[test]
fn ctrl_c_in_a_wait_takes_nothing_back() {
    let mut cluster = Cluster::builder().fsync(true).start().expect("a cluster");
    let case = Case::on(&cluster);
    let mut running =
        Running::start(case.migrate(&["--jobs", "2", "--retry-delay", "20"]).env("FAILPOINTS", SLOWLY));
    running.await_copied();
    cluster.stop(Shutdown::Fast).expect("a stop");
    running.await_line(|line| line.contains("trying again"));
    cluster.start().expect("it is back");
    running.signal("INT");
    running.end().exits(2).says("it was asked to stop");
    assert_eq!(case.state_of_run(), "stopped");
    let rows = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM messages) > 0";
    assert_eq!(case.counts(rows), "t");
    run(&mut case.verb("resume")).exits(0);
    case.is_equal();
}

/// The run's own choice used to stand, and what was to be kept was taken back.
#[test]
fn a_run_that_is_resumed_keeps_or_takes_back_as_it_is_told_then() {
    let case = Case::new();
    let source = Connection::open(case.source()).expect("the source");
    let last: i64 = source.query_row("SELECT max(id) FROM messages", [], |row| row.get(0)).expect("a key");
    run(case.migrate(&["--jobs", "2"]).env("FAILPOINTS", "copy-after-commit=9*off->return")).was_killed();
    let spoil = format!("ALTER TABLE public.messages ADD CONSTRAINT spoil CHECK (id <> {last}) NOT VALID");
    case.database.psql(&spoil).expect("a constraint");
    run(case.verb("resume").args(["--on-failure", "keep"])).exits(2).says("`switchover resume` goes on");
    assert_eq!(case.state_of_run(), "failed");
    // What the file says is of runs that begin.
    std::fs::write(case.folder.path().join("switchover.toml"), "on_failure = 'keep'").expect("a file");
    run(&mut case.verb("resume")).exits(2).says("what the run wrote was taken back");
    assert_eq!(case.state_of_run(), "rolled back");
}

/// It used to be "stopped" for whoever may not write the lock.
#[test]
fn a_run_at_work_is_seen_by_whoever_may_only_read() {
    const NOBODY: u32 = 65_534;
    let case = Case::to(Goal::Sqlite);
    let mut first = Running::start(case.migrate(&["--jobs", "2"]).env("FAILPOINTS", "after-copy=pause"));
    first.await_line(|line| line.contains(r#""event":"phase_finished","phase":"copy""#));
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
    };
    mode(case.folder.path(), 0o755);
    for file in files(&case.state().join("runs")) {
        mode(&file, 0o444);
    }
    let mut looking = case.program(&["status", "--json"]);
    // Root may write whatever its mode is.
    if std::fs::metadata(case.state()).expect("a folder").uid() == 0 {
        looking.uid(NOBODY);
    }
    let ran = run(&mut looking).exits(0);
    assert!(ran.out.contains(r#""state": "running""#), "{ran}");
    first.signal("KILL");
    first.end().was_killed();
    assert_eq!(case.state_of_run(), "stopped");
}

/// It used to be said of every verb that `resume` goes on with it.
#[test]
fn ctrl_c_is_told_by_what_it_stops() {
    let mut cluster = Cluster::builder().fsync(true).start().expect("a cluster");
    let case = Case::on(&cluster);
    run(&mut case.migrate(&[])).exits(0);
    cluster.stop(Shutdown::Fast).expect("a stop");
    let stores =
        ["--from".to_owned(), case.from(), "--to".to_owned(), case.url(), "--policy=quarantine".to_owned()];
    for (verb, arguments, next) in [
        ("rollback", &[][..], "the same command goes on from there"),
        ("verify", &stores[..], "the same command begins anew"),
    ] {
        let mut running = Running::start(case.verb(verb).args(arguments));
        running.await_line(|line| line.contains("trying again"));
        running.signal("INT");
        let ran = running.end().exits(2).says("it was asked to stop while").says(next);
        assert!(!ran.err.contains("resume"), "{ran}");
    }
    assert_eq!(case.state_of_run(), "done");
}

/// Sends a signal to a process and all of its group, as a terminal does.
fn to_group(running: &Running, signal: &str) {
    let group = format!("-{}", running.id());
    let status = Command::new("kill").args([&format!("-{signal}"), "--", &group]).status();
    assert!(status.expect("kill").success());
}

/// The program that dumps a database got the terminal's Ctrl-C too, failed by it, and the run with it.
#[test]
fn ctrl_c_in_a_dump_of_the_source_stops_the_run_and_the_dump() {
    let case = Case::of((Origin::Postgres, Goal::Sqlite));
    let bin = case.folder.path().join("bin");
    let (program, began) = (bin.join("pg_dump"), case.folder.path().join("began"));
    std::fs::create_dir(&bin).expect("a folder");
    // Newer than any other, and never at its end.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec echo 'pg_dump (PostgreSQL) 99.0'\n\
         echo $$ > '{0}.partial'; mv '{0}.partial' '{0}'; exec sleep 300\n",
        began.display()
    );
    std::fs::write(&program, script).expect("a program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let dumping = |command: &mut Command| {
        let mut running = Running::start(command.env("PATH", &path).process_group(0));
        while !began.exists() && running.is_alive() {
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    };
    let ended = || {
        let id = std::fs::read_to_string(&began).expect("its number");
        std::fs::remove_file(&began).expect("for the next one");
        let since = Instant::now();
        // It is ended when nobody waits for it any more, and gone when that was noticed.
        while Path::new("/proc").join(id.trim()).exists() {
            assert!(since.elapsed() < LIMIT, "the dump goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut running = dumping(&mut case.migrate(&[]));
    running.await_line(|line| line.contains(r#""event":"phase_finished","phase":"verify""#));
    to_group(&running, "INT");
    running.end().exits(2).says("it was asked to stop").says("`switchover resume` goes on");
    assert_eq!(case.state_of_run(), "stopped");
    ended();
    // A backup alone leaves nothing either.
    let running = dumping(&mut case.program(&["backup", "create", &case.from()]));
    to_group(&running, "INT");
    running.end().exits(2).says("it was asked to stop");
    ended();
    let kept: Vec<PathBuf> = files(&case.state().join("backups"));
    assert_eq!(kept, Vec::<PathBuf>::new());
    run(&mut case.verb("resume")).exits(0);
    case.is_equal();
}

#[test]
fn a_row_that_the_target_rejects_is_named_and_the_run_taken_back() {
    let case = Case::new();
    let before = case.dump();
    let source = Connection::open(case.source()).expect("the source");
    let last: i64 = source.query_row("SELECT max(id) FROM messages", [], |row| row.get(0)).expect("a key");
    for constraint in [
        format!("ALTER TABLE public.messages ADD CONSTRAINT spoil CHECK (id <> {last}) NOT VALID"),
        format!("CREATE UNIQUE INDEX spoil ON public.messages ((1)) WHERE id > {last} - 5"),
    ] {
        let running = start_slowly(&case, &[]);
        case.database.psql(&constraint).expect("a constraint");
        let ran = running.end().exits(2);
        ran.says("spoil").says(r#""table":"messages""#).says(r#""key":"id="#);
        assert_eq!(case.state_of_run(), "rolled back");
        assert_eq!(case.dump(), before);
    }
    // With `keep`, what is there stays, and the run goes on once the reason is gone.
    let running = start_slowly(&case, &["--on-failure", "keep"]);
    let spoil = format!("ALTER TABLE public.messages ADD CONSTRAINT spoil CHECK (id <> {last}) NOT VALID");
    case.database.psql(&spoil).expect("a constraint");
    running.end().exits(2).says(&format!(r#""key":"id={last}""#));
    assert_eq!(case.state_of_run(), "failed");
    case.database.psql("ALTER TABLE public.messages DROP CONSTRAINT spoil").expect("no constraint");
    run(&mut case.verb("resume")).exits(0);
    case.is_equal();
}

#[test]
fn a_source_that_changed_since_the_kill_is_refused_and_nothing_is_mixed() {
    let changes = [
        "UPDATE log SET at = at + 1; UPDATE messages SET sent = 1; UPDATE tags SET note = 'x'; UPDATE users SET age = 1",
        "DELETE FROM log; DELETE FROM messages; DELETE FROM tags; DELETE FROM users",
        "ALTER TABLE users ADD COLUMN more TEXT",
    ];
    for (goal, change_sql) in GOALS.iter().flat_map(|goal| changes.map(|change| (*goal, change))) {
        let case = Case::to(goal);
        let before = case.dump();
        let mut command = case.migrate(&["--jobs", "2"]);
        run(command.env("FAILPOINTS", "copy-after-commit=9*off->return")).was_killed();
        change(&case, change_sql);
        let rows = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM messages),
            (SELECT count(*) FROM tags), (SELECT count(*) FROM log)";
        let held = case.counts(rows);
        run(&mut case.verb("resume")).exits(1).says("changed").says("`switchover rollback`");
        assert_eq!(case.counts(rows), held, "{change_sql}");
        run(&mut case.verb("rollback")).exits(0);
        assert_eq!(case.dump(), before, "{change_sql}");
    }
}

#[test]
fn rows_that_are_new_since_the_kill_arrive_too() {
    for goal in GOALS {
        let case = Case::to(goal);
        run(case.migrate(&["--jobs", "2"]).env("FAILPOINTS", "copy-after-commit=9*off->return")).was_killed();
        change(&case, "INSERT INTO messages(user_id, body, sent) VALUES (1, 'late', 1)");
        run(&mut case.verb("resume")).exits(0);
        case.is_equal();
        if goal == Goal::Postgres {
            // The plan knew of fewer rows: the database numbers on behind those that came since.
            let next = "SELECT nextval(pg_get_serial_sequence('messages', 'id')) > max(id) FROM messages";
            assert_eq!(case.database.psql(next).expect("a sequence"), "t");
        }
    }
}

#[test]
fn a_plan_is_refused_once_the_source_is_another() {
    for goal in GOALS {
        for change_sql in ["UPDATE users SET age = 33 WHERE id = 1", "ALTER TABLE users ADD COLUMN more TEXT"]
        {
            let case = Case::to(goal);
            let before = case.dump();
            let to = case.url();
            let stores = ["--from", "sqlite:app.db", "--to", &to, "--progress", "json"];
            let mut plan = case.program(&["plan", "-o", "plan.json", "--policy", "quarantine"]);
            run(plan.args(stores)).exits(0);
            change(&case, change_sql);
            run(case.program(&["migrate", "--plan", "plan.json"]).args(stores))
                .exits(1)
                .says("changed since");
            assert_eq!(case.dump(), before);
            assert!(files(&case.state()).is_empty(), "a refused run leaves no journal");
        }
    }
}

#[test]
fn numbers_go_on_behind_rows_that_a_repair_brought_and_never_back() {
    let case = Case::to(Goal::Postgres);
    run(&mut case.migrate(&[])).exits(0);
    let to = case.url();
    let repair =
        || run(&mut case.program(&["verify", "--repair", "--from", &case.from(), "--to", &to])).exits(0);
    change(&case, "INSERT INTO messages(user_id, body, sent) VALUES (1, 'late', 1)");
    repair();
    let next = "SELECT nextval(pg_get_serial_sequence('messages', 'id')) - max(id) FROM messages";
    assert_eq!(case.database.psql(next).expect("a sequence"), "1");
    // The application has taken some, and its rows are gone again.
    case.database
        .psql("SELECT nextval(pg_get_serial_sequence('messages', 'id')) FROM generate_series(1, 9)")
        .expect("taken");
    change(&case, "UPDATE messages SET body = 'other' WHERE id = 1");
    repair();
    assert_eq!(case.database.psql(next).expect("a sequence"), "11");
}

#[test]
fn a_repair_takes_the_target_for_itself() {
    for goal in GOALS {
        let case = Case::to(goal);
        let running = start_slowly(&case, &[]);
        running.signal("STOP");
        let mut repair = case.program(&["verify", "--repair"]);
        run(repair.args(["--from", &case.from(), "--to", &case.url()])).exits(2).says("run is at work");
        running.signal("CONT");
        running.end().exits(0);
        case.is_equal();
    }
}

#[test]
fn a_plan_whose_columns_are_in_another_order_moves_them_in_that_order() {
    for goal in [Goal::Postgres, Goal::Sqlite] {
        let case = Case::to(goal);
        let to = case.url();
        let stores = ["--from", "sqlite:app.db", "--to", &to];
        run(case.program(&["plan", "--policy", "quarantine", "-o", "plan.json"]).args(stores)).exits(0);
        let path = case.source().with_file_name("plan.json");
        let mut plan: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).expect("the plan")).expect("JSON");
        for table in plan["tables"].as_array_mut().expect("tables") {
            // Behind the key, whose place is also the place of its digest.
            table["columns"].as_array_mut().expect("columns")[1..].reverse();
        }
        std::fs::write(&path, plan.to_string()).expect("written");
        run(case.program(&["migrate", "--plan", "plan.json", "--no-backup"]).args(stores)).exits(0);
        run(case.program(&["verify"]).args(stores)).exits(0);
    }
}

/// The newest run of the two stores may have gone elsewhere, by other rules.
#[test]
fn stores_are_compared_by_the_run_of_the_same_schema() {
    let case = Case::to(Goal::Postgres);
    change(
        &case,
        "CREATE TABLE \"Odd Names\"(\"An Id\" INTEGER PRIMARY KEY, v TEXT); INSERT INTO \"Odd Names\" VALUES (1, 'a')",
    );
    run(&mut case.migrate(&["--names", "snake"])).exits(0);
    run(&mut case.migrate(&["--schema", "rehearsal"])).exits(0);
    let to = case.url();
    run(&mut case.program(&["verify", "--from", &case.from(), "--to", &to])).exits(0);
    run(&mut case.program(&["verify", "--schema", "rehearsal", "--from", &case.from(), "--to", &to]))
        .exits(0);
}

#[test]
fn what_an_extension_has_in_the_schema_is_found_by_the_plan() {
    let case = Case::to(Goal::Postgres);
    case.database
        .psql("CREATE EXTENSION pg_buffercache SCHEMA public")
        .expect("an extension of the server's own");
    run(&mut case.migrate(&["--dry-run"])).exits(0);
    change(&case, "CREATE TABLE pg_buffercache(id INTEGER PRIMARY KEY)");
    for arguments in [&["--dry-run"][..], &[]] {
        let ran = run(&mut case.migrate(arguments)).exits(1);
        let said = format!("{} {}", ran.out, ran.err).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("already, and the run did not make it"), "{ran}");
    }
    assert!(files(&case.state()).is_empty(), "a refused run leaves no journal");
}
