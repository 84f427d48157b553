//! A cluster starts, answers on its socket and on loopback, survives a crash, and leaves nothing behind.

use switchover_testkit::{Cluster, Server, Shutdown, certificates};

#[test]
fn the_shared_server_gives_each_test_a_database_of_its_own() {
    let server = Cluster::shared().expect("a server");
    let one = server.fresh_database("kit").expect("a database");
    let two = server.fresh_database("kit").expect("another");
    one.psql("CREATE TABLE t(a text, b text); INSERT INTO t VALUES (NULL, ''), (E'x\\ny', 'é')")
        .expect("a table");
    let rows = one.rows("SELECT a, b FROM t ORDER BY a NULLS FIRST").expect("rows");
    let text = |t: &str| Some(t.to_owned());
    assert_eq!(rows, [[None, text("")], [text("x\ny"), text("é")]]);
    assert!(two.psql("SELECT * FROM t").is_err(), "a table of one database is not in another");
    let name = one.name().to_owned();
    drop(one);
    let left = server.psql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"));
    assert_eq!(left.expect("a count"), "0");
}

#[test]
fn every_form_of_address_reaches_the_database() {
    let server = Cluster::shared().expect("a server");
    let database = server.fresh_database("kit_address").expect("a database");
    for address in [database.conninfo(), database.url()] {
        let output = std::process::Command::new(server.binaries.tool("psql"))
            .args(["-X", "-A", "-t", "-c", "SELECT current_database()", "-d", &address])
            .output()
            .expect("psql");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), database.name(), "{address}");
    }
    let again = Server::from_conninfo(&database.conninfo()).expect("our own string");
    assert_eq!(again.conninfo("x"), server.conninfo("x"));
}

#[test]
fn loopback_asks_for_the_password_and_a_crash_loses_no_commit() {
    let mut cluster = Cluster::builder().password("it's; a secret").fsync(true).start().expect("a cluster");
    let tcp = cluster.tcp().expect("loopback was asked for");
    tcp.psql("postgres", "CREATE TABLE t(a int); INSERT INTO t VALUES (42)").expect("with the password");
    let wrong = tcp.with_role("postgres", Some("wrong"));
    let refused = wrong.psql("postgres", "SELECT 1").expect_err("without it").to_string();
    assert!(refused.contains("password authentication failed"), "{refused}");
    cluster.restart(Shutdown::Immediate).expect("recovery");
    assert_eq!(cluster.tcp().expect("still").port, tcp.port);
    assert_eq!(tcp.psql("postgres", "SELECT a FROM t").expect("after it"), "42");
    cluster.stop(Shutdown::Fast).expect("a stop");
    assert!(!cluster.is_running());
    let folder = cluster.host.clone();
    drop(cluster);
    assert!(!std::path::Path::new(&folder).exists(), "{folder} is still there");
}

#[test]
fn a_server_with_a_certificate_takes_tls_and_refuses_its_absence() {
    let root = certificates::Root::new().expect("a root");
    let signed = root.sign(&["localhost"]).expect("a certificate");
    let cluster = Cluster::builder()
        .tls(&signed.certificate, &signed.key)
        .require_tls()
        .password("secret")
        .start()
        .expect("a cluster");
    let tcp = cluster.tcp().expect("TLS is on loopback");
    let in_tls = |mode: &str| {
        let output = tcp
            .psql_command("postgres")
            .env("PGSSLMODE", mode)
            .args(["-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])
            .output()
            .expect("psql");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    assert_eq!(in_tls("require"), (true, "t".to_owned()));
    assert!(!in_tls("disable").0, "without TLS it must be refused");
}
