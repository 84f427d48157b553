//! A role that owns only its schema, and every way to reach a server: the socket, a password, TLS.
#![cfg(feature = "failpoints")]

mod common;

use common::case::Case;
use common::{Ran, Running, SECRET, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use switchover_testkit::certificates::Root;
use switchover_testkit::{Cluster, Server};

/// The role of the case's database: it owns the schema `app` and may do nothing else.
fn role_of(case: &Case) -> String {
    let role = format!("plain_{}", case.database.name());
    case.database
        .psql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{SECRET}' NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;
             REVOKE ALL ON SCHEMA public FROM PUBLIC;
             REVOKE ALL ON DATABASE \"{}\" FROM PUBLIC; GRANT CONNECT ON DATABASE \"{0}\" TO {role};
             CREATE SCHEMA app AUTHORIZATION {role}",
            case.database.name()
        ))
        .expect("a role");
    role
}

fn drop_role(case: &Case, role: &str) {
    let drop = format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}");
    case.database.psql(&drop).expect("no role");
}

#[track_caller]
fn is_equal(case: &Case) {
    let differences =
        switchover_testkit::sample::differences(&case.source(), &case.server, case.database.name(), "app");
    assert_eq!(differences.expect("a comparison"), Vec::<String>::new());
    case.hides_the_password();
}

#[test]
fn a_role_that_owns_only_its_schema_can_do_everything() {
    let case = Case::new();
    let role = role_of(&case);
    let before = case.dump();
    let to = case.server.with_role(&role, None).conninfo(case.database.name());
    let arguments = ["--to", &to, "--schema", "app"];
    run(&mut case.migrate(&arguments)).exits(0);
    is_equal(&case);
    let stores = ["--from", "sqlite:app.db", "--to", &to, "--schema", "app"];
    run(case.verb("verify").args(stores).args(["--policy", "quarantine"])).exits(0);
    run(&mut case.verb("rollback")).exits(0);
    assert_eq!(case.dump(), before);
    run(case.migrate(&arguments).env("FAILPOINTS", "copy-after-commit=9*off->return")).was_killed();
    run(&mut case.verb("resume")).exits(0);
    is_equal(&case);
    run(case.verb("cleanup").arg("--yes")).exits(0);
    let left = "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_switchover%'";
    assert_eq!(case.database.psql(left).expect("a count"), "0");
    drop_role(&case, &role);
}

/// Migrates over loopback as the plain role, with more variables, and rolls back again.
fn goes(case: &Case, role: &str, url: &str, vars: &[(&str, &str)]) {
    let vars = || vars.iter().copied();
    let to = url.replace("ROLE", role);
    run(case.migrate(&["--to", &to, "--schema", "app"]).envs(vars())).exits(0);
    is_equal(case);
    run(case.verb("rollback").envs(vars())).exits(0);
}

#[test]
fn a_password_comes_from_the_environment_or_the_password_file_and_is_never_shown() {
    let cluster = Cluster::builder().password(SECRET).start().expect("a cluster");
    let port = cluster.tcp().expect("loopback").port;
    let case = Case::on(&cluster);
    let role = role_of(&case);
    let url = format!("postgres://ROLE@127.0.0.1:{port}/{}", case.database.name());
    goes(&case, &role, &url, &[("PGPASSWORD", SECRET)]);
    let with_secret = url.replace("ROLE@", &format!("{role}:{SECRET}@"));
    goes(&case, &role, "env:DATABASE_URL", &[("DATABASE_URL", &with_secret), ("PGPASSWORD", SECRET)]);

    let file = case.folder.path().join(".pgpass");
    fs::write(&file, format!("127.0.0.1:{port}:*:{role}:{SECRET}\n")).expect("a password file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("its rights");
    let to = url.replace("ROLE", &role);
    // A password file that others can read counts for nothing, as in libpq.
    run(&mut case.migrate(&["--to", &to, "--schema", "app"])).exits(2).says("none was given");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its rights");
    goes(&case, &role, &url, &[]);
    let elsewhere = case.folder.path().join("other.pgpass");
    fs::rename(&file, &elsewhere).expect("another place");
    goes(&case, &role, &url, &[("PGPASSFILE", &elsewhere.display().to_string())]);

    // What other users of the machine can see of a running process.
    let mut command = case.migrate(&["--to", "env:DATABASE_URL", "--schema", "app"]);
    command.env("DATABASE_URL", &with_secret).env("FAILPOINTS", "after-copy=pause");
    let mut running = Running::start(&mut command);
    running.await_line(|line| line.contains(r#""event":"phase_finished","phase":"copy""#));
    let line = fs::read(format!("/proc/{}/cmdline", running.id()));
    let shown = "SELECT string_agg(query || application_name, ' ') FROM pg_stat_activity";
    let shown = cluster.psql("postgres", shown).expect("the sessions");
    let line = line.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(!shown.contains(SECRET) && !line.is_ok_and(|line| line.contains(SECRET)));
    running.signal("KILL");
    running.end().was_killed();
    assert!(!cluster.log().contains(SECRET), "the server's log shows the password");
    case.hides_the_password();
    // The journal has no password: without one, `resume` says what is missing.
    run(&mut case.verb("resume")).exits(2).says("none was given");
    run(case.verb("resume").env("PGPASSWORD", SECRET)).exits(0);
    is_equal(&case);
    // A variable that names the same store names it again, with its password.
    run(&mut case.verb("rollback")).exits(2).says("none was given");
    run(case.verb("rollback").env("DATABASE_URL", &with_secret)).exits(0);
}

fn error_of(ran: &Ran, server: &Server) -> String {
    let line = ran.err.lines().rfind(|line| line.contains(r#""event":"error""#)).unwrap_or_default();
    let error: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let part = |key: &str| error[key].as_str().unwrap_or_default();
    let text =
        format!("{}\n  {}\n  {}\nhint: {}", part("operation"), part("store"), part("detail"), part("hint"));
    text.replace(&server.port.to_string(), "[PORT]")
}

#[test]
fn tls_is_checked_as_far_as_sslmode_says() {
    let (root, other) = (Root::new().expect("a root"), Root::new().expect("a root"));
    let signed = root.sign(&["localhost"]).expect("a certificate");
    let cluster = Cluster::builder().tls(&signed.certificate, &signed.key).require_tls().password(SECRET);
    let cluster = cluster.start().expect("a cluster");
    let tcp = cluster.tcp().expect("loopback");
    let case = Case::on(&cluster);
    let role = role_of(&case);
    for (name, text) in
        [("root.pem", root.pem()), ("other.pem", other.pem()), ("broken.pem", "nonsense".to_owned())]
    {
        fs::write(case.folder.path().join(name), text).expect("a file");
    }
    let url = |host: &str, more: &str| {
        format!("host={host} port={} user={role} dbname={} {more}", tcp.port, case.database.name())
    };
    let secret = [("PGPASSWORD", SECRET)];
    for (host, more) in [
        ("localhost", "sslmode=verify-full sslrootcert=root.pem"),
        ("127.0.0.1", "sslmode=verify-ca sslrootcert=root.pem"),
        ("127.0.0.1", "sslmode=require"),
        ("127.0.0.1", "sslmode=prefer"),
        ("127.0.0.1", ""),
        ("127.0.0.1", "sslmode=allow"),
    ] {
        goes(&case, &role, &url(host, more), &secret);
    }
    let before = case.dump();
    let refused = [
        ("127.0.0.1", "sslmode=verify-full sslrootcert=root.pem"),
        ("localhost", "sslmode=verify-full sslrootcert=other.pem"),
        ("localhost", "sslmode=verify-ca sslrootcert=other.pem"),
        // With a root at hand, `require` checks as `verify-ca` does: libpq's rule.
        ("localhost", "sslmode=require sslrootcert=other.pem"),
        ("localhost", "sslmode=verify-full"),
        ("localhost", "sslmode=verify-full sslrootcert=absent.pem"),
        ("localhost", "sslmode=verify-full sslrootcert=broken.pem"),
        ("127.0.0.1", "sslmode=disable"),
    ];
    let found = refused.map(|(host, more)| {
        let to = url(host, more);
        let ran = run(case.migrate(&["--to", &to, "--schema", "app"]).envs(secret)).exits(2);
        let text = error_of(&ran, &tcp).replace(&role, "[ROLE]").replace(case.database.name(), "[DATABASE]");
        assert!(!text.contains(SECRET));
        format!("## {host} {more}\n{text}")
    });
    assert_eq!(case.dump(), before);
    case.hides_the_password();
    insta::assert_snapshot!(found.join("\n\n"));
}

#[test]
fn sslmode_that_insists_fails_where_the_server_has_no_tls() {
    let cluster = Cluster::builder().password(SECRET).start().expect("a cluster");
    let case = Case::on(&cluster);
    let role = role_of(&case);
    let port = cluster.tcp().expect("loopback").port;
    let to =
        format!("host=127.0.0.1 port={port} user={role} dbname={} sslmode=require", case.database.name());
    let mut command = case.migrate(&["--to", &to, "--schema", "app"]);
    run(command.env("PGPASSWORD", SECRET)).exits(2).says("the server does not offer it");
}
