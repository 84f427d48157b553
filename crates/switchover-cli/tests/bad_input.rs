//! Input that cannot be migrated: each gets its message and its exit code, and changes nothing.
//!
//! Every case compares the source's bytes, the folder's files and the target's dump before and after. The
//! messages are golden: what is written there is what users read.

mod common;

use common::case::Case;
use common::{Ran, SECRET, files, program, run};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use switchover_testkit::{Cluster, Server};

/// The error that the program ended with, one part a line, without what differs between runs.
fn message(name: &str, ran: &Ran, hide: &[(&str, &str)]) -> String {
    let line = ran.err.lines().rfind(|line| line.contains(r#""event":"error""#));
    let error = line.and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let head = format!("## {name}: exit code {}\n", ran.code.unwrap_or_default());
    // What is wrong with the configuration is told before it says how to tell.
    let Some(error) = error else { return head + &ran.err };
    let part = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    let on: Vec<String> = [("", "store"), ("table ", "table"), ("row ", "key"), ("column ", "column")]
        .iter()
        .map(|(label, key)| (label, part(key)))
        .filter(|(_, text)| !text.is_empty())
        .map(|(label, text)| format!("{label}{text}"))
        .collect();
    let mut text = head;
    let on = if on.is_empty() { String::new() } else { format!(" ({})", on.join(", ")) };
    text.push_str(&format!("cannot {}{on}\n  {}\n", part("operation"), part("detail")));
    for cause in error["causes"].as_array().into_iter().flatten() {
        // The resolver's words differ between systems, and places in a plan with its format.
        let cause = cause.as_str().unwrap_or_default();
        let cut = [" address information:", " at line "].iter().find_map(|word| cause.split_once(word));
        let cause = cut.map_or(cause, |(before, _)| before);
        text.push_str(&format!("  because: {cause}\n"));
    }
    if !part("hint").is_empty() {
        text.push_str(&format!("hint: {}\n", part("hint")));
    }
    for (what, word) in hide.iter().filter(|(what, _)| !what.is_empty()) {
        text = text.replace(what, word);
    }
    text
}

/// Every file of a folder and what it holds.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> =
        files(folder).into_iter().map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect();
    found.sort();
    found
}

/// A source of one table, in the journal mode that leaves no files beside it.
fn plain_source(path: &Path) {
    let mut source = Connection::open(path).expect("a source");
    source
        .execute_batch("CREATE TABLE messages(id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        .expect("a table");
    let transaction = source.transaction().expect("a transaction");
    for id in 0..3000 {
        transaction.execute("INSERT INTO messages VALUES (?1, ?2)", (id, "body ".repeat(20))).expect("a row");
    }
    transaction.commit().expect("rows");
}

/// A case whose source leaves no files beside it when it is read, as one in WAL mode does.
fn quiet(server: &Server) -> Case {
    let case = Case::on(server);
    let source = Connection::open(case.source()).expect("the source");
    source.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).expect("another mode");
    case
}

fn check(case: &Case, name: &str, command: &mut Command, hide: &[(&str, &str)]) -> String {
    let (files, dump) = (contents(case.folder.path()), case.dump());
    let ran = run(command.env("SWITCHOVER_PROGRESS", "json"));
    assert!(matches!(ran.code, Some(1 | 2)) && ran.out.is_empty(), "{name}: {ran}");
    assert!(contents(case.folder.path()) == files, "{name}: the folder has changed");
    assert_eq!(case.dump(), dump, "{name}: the target has changed");
    let folder = case.folder.path().display().to_string();
    let always = [(&*folder, "[FOLDER]"), (case.database.name(), "[DATABASE]")];
    message(name, &ran, &[hide, &always].concat())
}

/// A case of bad source: its name, and what makes the file.
type BadSource = (&'static str, fn(&Path));

const BAD_SOURCES: &[BadSource] = &[
    ("no file", |_| {}),
    ("a directory", |path| fs::create_dir(path).expect("a folder")),
    ("zero bytes", |path| fs::write(path, "").expect("a file")),
    ("a dump", |path| fs::write(path, "BEGIN TRANSACTION;\nCREATE TABLE t(a);\n").expect("a file")),
    ("encrypted", |path| {
        let mut random = switchover_testkit::sample::Random::new(7);
        let bytes: Vec<u8> = (0..40_960).map(|_| random.next_u64() as u8).collect();
        fs::write(path, bytes).expect("a file");
    }),
    ("a header and nonsense", |path| {
        fs::write(path, [&b"SQLite format 3\0"[..], &[0xee; 8176]].concat()).expect("a file");
    }),
    ("truncated", |path| {
        plain_source(path);
        let bytes = fs::read(path).expect("the source");
        fs::write(path, &bytes[..bytes.len() / 8192 * 4096]).expect("half of it");
    }),
    ("a corrupt page in the middle", |path| {
        plain_source(path);
        let mut bytes = fs::read(path).expect("the source");
        let page = bytes.len() / 8192 * 4096;
        bytes[page..page + 4096].fill(0xff);
        fs::write(path, bytes).expect("a damaged one");
    }),
];

#[test]
fn bad_sources() {
    let case = quiet(Cluster::shared().expect("a server"));
    let mut found = Vec::new();
    for (name, make) in BAD_SOURCES {
        drop(fs::remove_dir_all(case.source()));
        drop(fs::remove_file(case.source()));
        make(&case.source());
        found.push(check(&case, name, &mut case.migrate(&[]), &[]));
        if case.source().is_dir() {
            fs::remove_dir(case.source()).expect("its removal");
        }
    }
    fs::remove_file(case.source()).expect("its removal");
    plain_source(&case.source());
    let owner = Connection::open(case.source()).expect("another program");
    owner.execute_batch("BEGIN EXCLUSIVE").expect("its lock");
    // And this process must not open the file meanwhile: closing it would free the lock.
    let dump = case.dump();
    let ran = run(&mut case.migrate(&[])).exits(2);
    assert_eq!(case.dump(), dump);
    drop(owner);
    found.push(message("locked exclusively", &ran, &[]));
    run(&mut case.migrate(&[])).exits(0);
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn bad_urls() {
    let case = quiet(Cluster::shared().expect("a server"));
    let good = case.database.conninfo();
    let folder = case.folder.path();
    let from = |url: &str| program(folder, &["migrate", "--from", url, "--to", &good]);
    let to = |url: &str| program(folder, &["migrate", "--from", "sqlite:app.db", "--to", url]);
    let cases = [
        ("no scheme", from("app.db")),
        ("an unknown scheme", from("sqlit:app.db")),
        ("another store's scheme", from("mysql://h/d")),
        ("an unknown parameter of SQLite", from("sqlite:app.db?mod=ro")),
        ("PostgreSQL as the source", from("postgres:///d")),
        ("a port that is none", to("postgres://h:port/d")),
        ("an @ in the password", to(&format!("postgres://u:x@{SECRET}@h/d"))),
        ("an unknown parameter", to("postgres:///d?sslmod=require")),
        ("no user", to("postgres:///d")),
        ("an unknown sslmode", to("postgres://u@h/d?sslmode=verify")),
        ("a string that does not end", to("host='x dbname=d")),
        ("an unknown key of a string", to("host=x databse=d")),
        ("a host that is not there", to("postgres://u@no.such.host.invalid/d")),
        ("a port where nobody listens", to("postgres://u@127.0.0.1:1/d")),
    ];
    let found = cases.map(|(name, mut command)| check(&case, name, &mut command, &[]));
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn bad_targets() {
    let cluster = Cluster::builder().password(SECRET).start().expect("a cluster");
    let tcp = cluster.tcp().expect("loopback");
    let case = quiet(&cluster);
    let database = case.database.name().to_owned();
    cluster
        .psql(
            &database,
            "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC;
             REVOKE CREATE ON DATABASE postgres FROM PUBLIC; CREATE ROLE guest LOGIN;
             CREATE SCHEMA taken; CREATE TABLE taken.messages(id int); CREATE VIEW taken.users AS SELECT 1 AS id;
             CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'",
        )
        .expect("targets");
    let port = tcp.port.to_string();
    let socket = cluster.host.clone();
    let hide = [(&*port, "[PORT]"), (&*socket, "[SOCKET]")];
    let open = |user: &str| cluster.with_role(user, None).conninfo(&database);
    let over_tcp = format!("host=127.0.0.1 port={port} user=postgres dbname={database}");
    let with_secret = |mut command: Command, secret: &str| {
        command.env("PGPASSWORD", secret);
        command
    };
    let to = |url: &str, more: &[&str]| case.migrate(&[&["--to", url], more].concat());
    let wrong = format!("not {SECRET}");
    let cases = [
        ("no password", to(&over_tcp, &[])),
        ("a wrong password", with_secret(to(&over_tcp, &[]), &wrong)),
        ("an unknown role", with_secret(to(&over_tcp.replace("postgres", "nobody"), &[]), SECRET)),
        ("an unknown role on the socket", to(&open("nobody"), &[])),
        ("no such database", to(&cluster.conninfo("absent"), &[])),
        ("another encoding", to(&cluster.conninfo("latin1"), &[])),
        ("no right to make tables", to(&open("guest"), &[])),
        ("no right to make the schema", to(&open("guest"), &["--schema", "mine"])),
        ("tables of the same names", to(&open("postgres"), &["--schema", "taken"])),
        ("no table of that name", to(&open("postgres"), &["--tables", "mesages"])),
        ("a pattern that is none", to(&open("postgres"), &["--tables", "a[b"])),
        ("every table left out", to(&open("postgres"), &["--exclude", "*"])),
    ];
    let mut found = Vec::new();
    for (name, mut command) in cases {
        found.push(check(&case, name, &mut command, &hide).replace(&socket.replace('/', "%2F"), "[SOCKET]"));
    }
    case.hides_the_password();
    insta::assert_snapshot!(found.join("\n"));
}

/// A file in the journal mode that leaves nothing beside it when it is read.
fn file(path: &Path, sql: &str) {
    Connection::open(path).expect("a file").execute_batch(sql).expect("its content");
}

#[test]
fn bad_target_files() {
    let case = quiet(Cluster::shared().expect("a server"));
    let folder = case.folder.path();
    let at = |name: &str| folder.join(name);
    let to = |name: &str, more: &[&str]| case.migrate(&[&["--to", &format!("sqlite:{name}")], more].concat());
    fs::create_dir(at("folder.db")).expect("a folder");
    fs::write(at("notes.db"), "no database").expect("a file");
    fs::hard_link(case.source(), at("linked.db")).expect("a link");
    std::os::unix::fs::symlink("app.db", at("symbolic.db")).expect("a link");
    std::os::unix::fs::symlink("nowhere.db", at("dangling.db")).expect("a link");
    file(&at("taken.db"), "CREATE TABLE users(id); CREATE VIEW v AS SELECT 1; CREATE INDEX i ON users(id)");
    file(&at("empty.db"), "CREATE TABLE messages(id, body)");
    run(&mut to("moved.db", &["--no-backup"])).exits(0);
    file(&at("wide.db"), "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(a); DROP TABLE t");
    fs::write(at("gone.db-wal"), "the log of a database that was here").expect("a file");
    let cases = [
        ("another database's log", to("gone.db", &[])),
        ("the source itself", to("app.db", &[])),
        ("the source by a hard link", to("linked.db", &[])),
        ("the source by a symbolic link", to("symbolic.db", &[])),
        ("a link that leads nowhere", to("dangling.db", &[])),
        ("a directory", to("folder.db", &[])),
        ("no database", to("notes.db", &[])),
        ("tables of others", to("taken.db", &[])),
        ("another encoding", to("wide.db", &[])),
        ("a folder that is not there", to("no/such/folder/new.db", &[])),
        ("a schema", to("new.db", &["--schema", "mine"])),
        ("a file that nothing changes", to("taken.db?immutable=1", &[])),
        ("a file's own tables", to("empty.db", &["--into", "existing"])),
        ("what a run left", to("moved.db", &[])),
    ];
    let runs = fs::read_dir(case.state().join("runs")).expect("the runs");
    let run: Vec<String> = runs.map(|run| run.expect("a run").file_name().display().to_string()).collect();
    let hide: Vec<(&str, &str)> = run.iter().map(|run| (run.as_str(), "[RUN]")).collect();
    let found = cases.map(|(name, mut command)| check(&case, name, &mut command, &hide));
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn bad_plans_and_configuration() {
    let case = quiet(Cluster::shared().expect("a server"));
    let stores = ["--from", "sqlite:app.db", "--to", &case.database.conninfo()];
    run(case.program(&["plan", "-o", "plan.json", "--policy", "quarantine"]).args(stores)).exits(0);
    let text = fs::read_to_string(case.folder.path().join("plan.json")).expect("the plan");
    let plan: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut found = Vec::new();
    let mut with_plan = |name: &str, text: &str| {
        fs::write(case.folder.path().join("edited.json"), text).expect("a file");
        let mut command = case.program(&["migrate", "--plan", "edited.json"]);
        found.push(check(&case, name, command.args(stores), &[]));
    };
    let edited = |change: fn(&mut serde_json::Value)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan.to_string()
    };
    with_plan("a plan that is empty", "");
    with_plan("a plan that is cut", &text[..10]);
    with_plan("a plan of another format", &edited(|plan| plan["format"] = 99.into()));
    with_plan("a plan with a table twice", &edited(|plan| plan["tables"][1] = plan["tables"][0].clone()));
    with_plan("a plan with an unknown table", &edited(|plan| plan["tables"][0]["source"] = "other".into()));
    with_plan(
        "a plan with an unknown column",
        &edited(|plan| plan["tables"][0]["columns"][0]["source"] = "other".into()),
    );
    with_plan(
        "a plan with a locator that is no row's name",
        &edited(|plan| plan["tables"][0]["locator"] = serde_json::json!({"key": ["other"]})),
    );
    with_plan(
        "a plan with a key of no columns",
        &edited(|plan| plan["tables"][0]["primary_key"]["columns"] = serde_json::json!([])),
    );
    with_plan(
        "a plan with an unknown type",
        &edited(|plan| plan["tables"][0]["columns"][0]["type"] = "bigin".into()),
    );
    with_plan(
        "a plan with names that the target would cut or refuse",
        &edited(|plan| {
            plan["tables"][0]["target"] = "x".repeat(64).into();
            plan["tables"][0]["columns"][0]["target"] = "ctid".into();
            plan["tables"][1]["target"] = "_switchover_run".into();
        }),
    );
    with_plan(
        "a plan with keys over columns that are not there",
        &edited(|plan| {
            for table in plan["tables"].as_array_mut().into_iter().flatten() {
                table["primary_key"] = serde_json::json!({"name": "same", "columns": ["nowhere"]});
            }
        }),
    );
    with_plan("a plan without tables", &edited(|plan| drop(plan["tables"].take())));
    let mut with_file = |name: &str, text: &str| {
        fs::write(case.folder.path().join("switchover.toml"), text).expect("a file");
        found.push(check(&case, name, case.program(&["migrate"]).args(stores), &[]));
    };
    with_file("an unknown key", "polcy = 'refuse'\n");
    with_file("a value that is none", "policy = 'refuze'\n");
    with_file("a file that is no TOML", "policy = \n");
    with_file("a mapping of an absent table", "schema = 'public'\n\n[table.mesages]\nto = 'm'\n");
    with_file("a mapping of an absent column", "[table.messages.column.bdy]\nto = 'text'\n");
    with_file("a mapping with an unknown key", "[table.messages]\nrename = 'm'\n");
    with_file("a mapping of ids that are no key", "[table.messages.column.body]\nids = 'uuid5'\n");
    with_file("a mapping to an unknown type", "[table.messages.column.body]\ntype = 'varchar'\n");
    with_file("two columns onto one", "[table.messages.column]\nbody.to = 'sent'\n");
    with_file("two tables onto one", "[table.messages]\nto = 'users'\n");
    with_file("an expression that does not parse", "[table.messages]\nwhere = 'sent >'\n");
    with_file(
        "expressions that wait for each other",
        "[table.messages.column]\na.value = 'b + 1'\nb.value = 'a + 1'\n",
    );
    insta::assert_snapshot!(found.join("\n"));
}
