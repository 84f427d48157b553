//! What a live run asks of values at the edge: the smallest and the largest key, and a number that SQLite does not have.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{application, begin, is_held_by, is_same, until};
use program::done;
use rusqlite::params;
use switchover_testkit::Cluster;

#[test]
fn the_smallest_and_the_largest_key_go_there_and_back() {
    let (folder, source) = application();
    let folder = folder.path();
    source.execute_batch("CREATE TABLE wide (k BIGINT NOT NULL PRIMARY KEY, v TEXT)").unwrap();
    let insert = |sql: &str, key: i64| source.execute(sql, params![key]).unwrap();
    insert("INSERT INTO t VALUES (?1, 'min')", i64::MIN);
    insert("INSERT INTO wide VALUES (?1, 'min')", i64::MIN);
    insert("INSERT INTO wide VALUES (?1, 'max')", i64::MAX);
    let database = Cluster::shared().unwrap().fresh_database("keys").unwrap();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    source.execute_batch("UPDATE t SET x = 'there' WHERE id < 0; UPDATE wide SET v = 'there'").unwrap();
    done(folder, &["cutover", "--when-ready"]);
    let there =
        "SELECT (SELECT count(*) FROM t WHERE x = 'there') + (SELECT count(*) FROM wide WHERE v = 'there')";
    assert_eq!(database.psql(there).unwrap(), "3");
    database.psql("UPDATE t SET x = 'back' WHERE id < 0; UPDATE wide SET v = 'back' WHERE k < 0").unwrap();
    database.psql("DELETE FROM wide WHERE k > 0").unwrap();
    done(folder, &["rollback", "--when-ready"]);
    let left = "SELECT (SELECT x FROM t WHERE id = ?1) || (SELECT group_concat(v || typeof(k)) FROM wide)";
    let left: String = source.query_row(left, params![i64::MIN], |row| row.get(0)).unwrap();
    assert_eq!(left, "backbackinteger");
}

#[test]
fn a_number_that_sqlite_does_not_have_is_named_and_the_run_goes_on_without_it() {
    let (folder, source) = application();
    let folder = folder.path();
    source
        .execute_batch(
            "CREATE TABLE r (id INTEGER PRIMARY KEY, v REAL NOT NULL); INSERT INTO r VALUES (1, 1.5)",
        )
        .unwrap();
    let database = Cluster::shared().unwrap().fresh_database("numbers").unwrap();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    database.psql("UPDATE r SET v = 'NaN'").unwrap();
    let held = until(folder, |live| is_held_by(live, "NaN"));
    let held = held["held"].as_str().unwrap();
    assert!(["table r", "id=1", "column v", "SQLite"].iter().all(|word| held.contains(word)), "{held}");
    database.psql("UPDATE r SET v = 2.5").unwrap();
    done(folder, &["rollback", "--when-ready"]);
    let back: f64 = source.query_row("SELECT v FROM r", [], |row| row.get(0)).unwrap();
    assert_eq!(back.to_bits(), 2.5_f64.to_bits());
}
