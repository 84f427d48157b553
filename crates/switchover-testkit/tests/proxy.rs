//! The bad line: what it passes is whole, and what it loses is lost as it says.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use switchover_testkit::{Cluster, Faults, Proxy, Server};

/// Bytes of an answer that takes many reads.
const LONG: &str = "SELECT md5(string_agg(repeat(n::text, 1000), '')), string_agg(repeat(n::text, 1000), '') FROM generate_series(1, 300) n";

#[test]
fn a_bad_line_loses_answers_and_no_commit_that_it_confirmed() {
    let server = Cluster::shared().unwrap();
    let database = server.fresh_database("line").unwrap();
    let line = Proxy::start(server, 1).unwrap();
    let by_line = Server { host: "127.0.0.1".into(), port: line.port(), ..server.clone() };
    assert_eq!(by_line.psql(database.name(), LONG), server.psql(database.name(), LONG));
    assert_eq!(line.faults(), Faults::default(), "it is good until it is told otherwise");
    database.psql("CREATE TABLE t (n int PRIMARY KEY)").unwrap();
    line.set_bad(true);
    let (mut confirmed, mut unconfirmed) = (BTreeSet::new(), BTreeSet::new());
    for number in 0_u32.. {
        // Long enough that something happens to it, too.
        let script = format!("BEGIN; INSERT INTO t VALUES ({number}); SELECT pg_sleep(0.02); COMMIT");
        match by_line.psql(database.name(), &script) {
            Ok(_) => confirmed.insert(number),
            Err(_) => unconfirmed.insert(number),
        };
        if line.faults().least() >= 2 {
            break;
        }
    }
    line.set_bad(false);
    by_line.psql(database.name(), "SELECT 1").unwrap();
    let rows = database.rows("SELECT n FROM t").unwrap();
    let there: BTreeSet<u32> = rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect();
    assert!(confirmed.is_subset(&there), "confirmed, and lost: {:?}", confirmed.difference(&there));
    let done_unheard = unconfirmed.intersection(&there).count() as u64;
    let faults = line.faults();
    assert!(done_unheard >= faults.unconfirmed, "{faults}, and {done_unheard} commits were unheard of");
}
