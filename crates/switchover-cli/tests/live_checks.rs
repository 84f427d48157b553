//! What a live run asks of values and definitions at the edge: keys, constraints and indexes that somebody changed on the target before
//! a cutover, the smallest and the largest key, and a number that SQLite does not have.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{application, begin, is_held_by, is_same, until};
use program::{done, flat, run};
use rusqlite::{Connection, params};
use std::path::Path;
use switchover_testkit::Cluster;
use tempfile::TempDir;

/// Tables with a constraint, an index and a foreign key.
fn constrained() -> (TempDir, Connection) {
    let (folder, source) = application();
    source
        .execute_batch(
            "CREATE TABLE uu (id INTEGER PRIMARY KEY, e TEXT UNIQUE, n INTEGER); CREATE UNIQUE INDEX uu_n ON uu (n);
             CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES uu (id), q INTEGER);
             INSERT INTO uu VALUES (1, 'a', 1), (2, 'b', 2); INSERT INTO c VALUES (1, 2, 1)",
        )
        .unwrap();
    (folder, source)
}

/// A cutover and its rehearsal are refused alike.
#[track_caller]
fn is_refused(folder: &Path, verb: &[&str], why: &[&str]) {
    for dry in [&["--dry-run"][..], &[]] {
        let refused = run(folder, &[verb, dry].concat());
        let said = flat(&refused.err);
        assert!(refused.code == 1 && why.iter().all(|why| said.contains(why)), "{dry:?} {why:?}: {said}");
    }
}

#[test]
fn a_server_whose_keys_or_indexes_are_others_does_not_become_the_owner() {
    let (folder, source) = constrained();
    let folder = folder.path();
    let database = Cluster::shared().unwrap().fresh_database("checks").unwrap();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    let references = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'c'::regclass";
    let key = database.psql(references).unwrap();
    let drop_unique = "ALTER TABLE uu DROP CONSTRAINT uu_e_key";
    let unique = "ALTER TABLE uu ADD CONSTRAINT uu_e_key UNIQUE (e)";
    for (change, why, undo) in [
        (
            drop_unique.to_owned(),
            ["\"uu_e_key\" of \"uu\" is not there", "ADD CONSTRAINT \"uu_e_key\" UNIQUE (\"e\")"],
            unique.to_owned(),
        ),
        (
            format!("{drop_unique}; ALTER TABLE uu ADD CONSTRAINT uu_e_key UNIQUE (e, id)"),
            ["is UNIQUE (e, id) and should be UNIQUE (e)", "drop it ("],
            format!("{drop_unique}; {unique}"),
        ),
        (
            "DROP INDEX uu_n; CREATE INDEX uu_n ON uu (n)".to_owned(),
            [
                "is an index by btree (n) and should be a unique index by btree (n)",
                "CREATE UNIQUE INDEX \"uu_n\"",
            ],
            "DROP INDEX uu_n; CREATE UNIQUE INDEX uu_n ON uu (n)".to_owned(),
        ),
        (
            format!("ALTER TABLE c ALTER CONSTRAINT \"{key}\" DEFERRABLE INITIALLY DEFERRED"),
            ["is FOREIGN KEY (p) REFERENCES uu (id) DEFERRABLE INITIALLY DEFERRED", "the cutover makes it"],
            format!("ALTER TABLE c ALTER CONSTRAINT \"{key}\" DEFERRABLE INITIALLY IMMEDIATE"),
        ),
        (
            format!(
                "ALTER TABLE c DROP CONSTRAINT \"{key}\"; ALTER TABLE c ADD CONSTRAINT \"{key}\" FOREIGN KEY (p) REFERENCES uu (id) ON DELETE CASCADE"
            ),
            [
                "ON DELETE CASCADE and should be FOREIGN KEY (p) REFERENCES uu (id)",
                "the cutover makes it as it should be",
            ],
            format!(
                "ALTER TABLE c DROP CONSTRAINT \"{key}\"; ALTER TABLE c ADD CONSTRAINT \"{key}\" FOREIGN KEY (p) REFERENCES uu (id) DEFERRABLE"
            ),
        ),
        (
            format!(
                "ALTER TABLE c DROP CONSTRAINT \"{key}\"; ALTER TABLE c ADD CONSTRAINT \"{key}\" FOREIGN KEY (q) REFERENCES uu (id)"
            ),
            ["is FOREIGN KEY (q)", "the cutover makes it as it should be"],
            // As the message says, and no more.
            format!("ALTER TABLE c DROP CONSTRAINT \"{key}\""),
        ),
    ] {
        database.psql(&change).unwrap();
        is_refused(folder, &["cutover"], &why);
        database.psql(&undo).unwrap();
    }
    // Nobody was kept from writing.
    source.execute_batch("INSERT INTO uu VALUES (3, 'c', 3)").unwrap();
    done(folder, &["cutover", "--when-ready"]);
    let made = format!("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{key}'");
    assert!(database.psql(&made).unwrap().starts_with("FOREIGN KEY (p)"));
}

#[test]
fn a_file_whose_index_is_gone_does_not_become_the_owner() {
    let (folder, _source) = constrained();
    let folder = folder.path();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    let file = Connection::open(folder.join("new.db")).unwrap();
    file.execute_batch("DROP INDEX uu_n").unwrap();
    // Definitions that changed have all rows compared again first.
    is_refused(folder, &["cutover", "--when-ready"], &["the index \"uu_n\" of \"uu\" is not there"]);
    file.execute_batch("CREATE UNIQUE INDEX uu_n ON uu (n)").unwrap();
    drop(file);
    done(folder, &["cutover", "--when-ready"]);
}

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

/// In several batches, with unique values that other rows had before, and rows that were never there.
#[test]
fn a_table_that_a_server_empties_and_fills_again_goes_back() {
    let (folder, source) = constrained();
    let folder = folder.path();
    source
        .execute_batch("DROP TABLE c; CREATE TABLE big (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v TEXT)")
        .unwrap();
    let fill = "WITH RECURSIVE i (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 40)
        INSERT INTO big SELECT i, i, 'old' FROM i";
    source.execute_batch(fill).unwrap();
    let database = Cluster::shared().unwrap().fresh_database("emptied").unwrap();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", &database.conninfo()]);
    until(folder, is_same);
    done(folder, &["cutover", "--when-ready"]);
    done(folder, &["pause"]);
    for sql in [
        "UPDATE big SET v = 'changed' WHERE id = 3",
        "BEGIN; TRUNCATE big; INSERT INTO big VALUES (1, 1, 'gone'); TRUNCATE big, uu; COMMIT",
        "INSERT INTO big SELECT i, 61 - i, repeat('x', 1 << 20) FROM generate_series(21, 60) AS i",
        "INSERT INTO uu VALUES (9, 'a', 2)",
    ] {
        database.psql(sql).unwrap();
    }
    done(folder, &["resume", "--detach"]);
    done(folder, &["rollback", "--when-ready"]);
    let rows = "SELECT (SELECT count(*) || ' ' || sum(id) || ' ' || sum(u + id = 61) || ' ' || sum(length(v)) FROM big)
        || ' ' || (SELECT group_concat(id || e || n) FROM uu)";
    let rows: String = source.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, format!("40 1620 40 {} 9a2", 40 << 20));
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
