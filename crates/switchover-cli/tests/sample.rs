//! `verify --sample`: what a quick look finds, and what it never claims.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;

use program::{done, flat, run};
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// Two tables of 3,000 rows, one dense by rowid and one by a text key, migrated.
fn migrated(more: &str) -> (TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    db.execute_batch(&format!(
        "CREATE TABLE dense(id INTEGER PRIMARY KEY, body TEXT, at REAL);
         CREATE TABLE keyed(code TEXT, part INTEGER, body BLOB, PRIMARY KEY(code, part)) WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO dense SELECT i, 'body ' || i, i / 3.0 FROM n;
         INSERT INTO keyed SELECT 'k' || id, id % 7, randomblob(20) FROM dense; {more}"
    ))
    .unwrap();
    let database = Cluster::shared().unwrap().fresh_database("sample").unwrap();
    done(
        folder.path(),
        &["migrate", "--from", "sqlite:app.db", "--to", &database.conninfo(), "--progress", "none"],
    );
    (folder, database)
}

fn verify(folder: &TempDir, database: &Database, more: &[&str]) -> program::Ran {
    let to = database.conninfo();
    let mut arguments = vec!["verify", "--from", "sqlite:app.db", "--to", &to, "--progress", "none"];
    arguments.extend(more);
    let ran = run(folder.path(), &arguments);
    for text in [&ran.out, &ran.err] {
        assert!(!text.contains("100 %") && !text.contains("every"), "{text}");
    }
    ran
}

fn report(folder: &TempDir) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.path().join("r.json")).unwrap()).unwrap()
}

#[test]
fn a_clean_sample_says_how_much_it_proves() {
    let (folder, database) = migrated("");
    let ran = verify(&folder, &database, &["--sample", "300", "--seed", "7", "--report", "r.json"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let expected = "same, as far as the sample reaches 600 of 6,000 rows were compared (up to 300 a table, \
                    seed 7) with 95 % confidence at most 0.5000 % of all rows differ";
    assert!(flat(&ran.out).starts_with(expected), "{}", ran.out);
    let sample = &report(&folder)["sample"];
    assert!(sample["rows"] == 600 && sample["of"] == 6000 && sample["seed"] == 7, "{sample}");
    assert_eq!(sample["bad_rate_max"], 0.005);
    let markdown = verify(&folder, &database, &["--sample", "5000", "--report", "r.md"]);
    assert_eq!(markdown.code, 0, "{}", markdown.out);
    let markdown = std::fs::read_to_string(folder.path().join("r.md")).unwrap();
    assert!(markdown.contains("# verify: same, as far as the sample reaches"), "{markdown}");
    assert!(markdown.contains("6,000 of 6,000 rows") && !markdown.contains("every field"), "{markdown}");
}

#[test]
fn a_mutated_row_in_the_sample_is_found_and_its_fields_are_named() {
    let (folder, database) = migrated("");
    database.psql("UPDATE dense SET body = body || '!' WHERE id = 42").unwrap();
    let all = verify(&folder, &database, &["--sample", "3000", "--report", "r.json"]);
    assert_eq!(all.code, 1, "{}", all.out);
    assert!(!all.out.contains("confidence"), "{}", all.out);
    let difference = &report(&folder)["tables"][0]["differences"][0];
    assert!(difference["key"] == "id=42" && difference["kind"] == "changed", "{difference}");
    assert_eq!(difference["fields"][0]["column"], "body");

    // Every second row: a sample of 100 misses all of them once in 2^100 runs.
    database.psql("UPDATE keyed SET body = '\\x00' WHERE right(code, 1)::int % 2 = 0").unwrap();
    let some = verify(&folder, &database, &["--sample", "100", "--seed", "1", "--report", "r.json"]);
    assert_eq!(some.code, 1, "{}", some.out);
    let first = report(&folder);
    assert!(first["tables"][1]["differences_total"].as_u64().unwrap() > 10, "{first}");
    verify(&folder, &database, &["--sample", "100", "--seed", "1", "--report", "r.json"]);
    assert_eq!(report(&folder)["tables"][1]["differences"], first["tables"][1]["differences"]);
}

#[test]
fn rows_that_only_the_target_has_show_in_the_counts_and_missing_ones_in_the_sample() {
    let (folder, database) = migrated("");
    database.psql("INSERT INTO dense VALUES (9999, 'theirs', 0)").unwrap();
    let extra = verify(&folder, &database, &["--sample", "10"]);
    assert_eq!(extra.code, 1, "{}", extra.out);
    assert!(
        flat(&extra.out).contains("dense: the target should hold 3000 rows, and holds 3001"),
        "{}",
        extra.out
    );
    database.psql("DELETE FROM dense WHERE id = 9999 OR id % 2 = 0; INSERT INTO dense SELECT i, '', 0 FROM generate_series(10000, 11499) i").unwrap();
    let missing = verify(&folder, &database, &["--sample", "100", "--report", "r.json"]);
    assert_eq!(missing.code, 1, "{}", missing.out);
    assert_eq!(report(&folder)["tables"][0]["differences"][0]["kind"], "missing");
}

#[test]
fn a_table_without_a_key_is_unproven_and_sparse_rowids_are_sampled_too() {
    let (folder, database) = migrated(
        "CREATE TABLE loose(x TEXT); INSERT INTO loose VALUES ('a'), ('b');
         CREATE TABLE sparse(id INTEGER PRIMARY KEY, x TEXT);
         INSERT INTO sparse SELECT id * 1000000007, 'x' || id FROM dense;",
    );
    let ran = verify(&folder, &database, &["--sample", "50", "--report", "r.json"]);
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("UNPROVEN"), "{}", ran.out);
    assert!(flat(&ran.out).contains("loose: it has no primary key"), "{}", ran.out);
    let report = report(&folder);
    let of = |name: &str| {
        report["tables"].as_array().unwrap().iter().find(|table| table["source"] == name).unwrap().clone()
    };
    assert_eq!(of("loose")["verdict"], "unproven");
    assert!(of("sparse")["verdict"] == "same" && of("sparse")["sampled"] == 50, "{}", of("sparse"));
    assert_eq!(verify(&folder, &database, &["--seed", "3"]).code, 2, "a seed belongs to a sample");
}

#[test]
fn repair_mends_a_row_that_others_refer_to() {
    let (folder, database) = migrated(
        "CREATE TABLE child(id INTEGER PRIMARY KEY, dense INTEGER REFERENCES dense(id));
         INSERT INTO child SELECT id, id FROM dense;",
    );
    database
        .psql("UPDATE dense SET body = 'x' WHERE id < 5; DELETE FROM child WHERE id = 9; INSERT INTO dense VALUES (9000, 'extra', 1)")
        .unwrap();
    let to = database.conninfo();
    let arguments = ["verify", "--from", "sqlite:app.db", "--to", &to];
    assert_eq!(run(folder.path(), &arguments).code, 1);
    let mended = run(folder.path(), &[&arguments[..], &["--repair"]].concat());
    assert_eq!(mended.code, 0, "{}{}", mended.out, mended.err);
    assert_eq!(run(folder.path(), &arguments).code, 0);
}

#[test]
fn a_sample_of_another_file_finds_the_row_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE n(a TEXT COLLATE NOCASE, b, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
         INSERT INTO n VALUES ('K', 1, 1), ('k', 2, 2), ('x', 1.5, x'00'), ('y', 'text', NULL)",
    )
    .unwrap();
    let stores = ["--from", "sqlite:app.db", "--to", "sqlite:new.db", "--progress", "none"];
    done(folder.path(), &[&["migrate"], &stores[..]].concat());
    let sample = [&["verify", "--sample", "4", "--seed", "3"], &stores[..]].concat();
    assert_eq!(run(folder.path(), &sample).code, 0);
    let target = rusqlite::Connection::open(folder.path().join("new.db")).unwrap();
    for change in ["UPDATE n SET v = 2.0 WHERE b = 2", "UPDATE n SET v = 2, a = 'K' WHERE b = 2"] {
        target.execute_batch(change).unwrap();
        let ran = run(folder.path(), &sample);
        assert_eq!(ran.code, 1, "{change}: {}{}", ran.out, ran.err);
    }
}

/// They used to be taken for too many.
#[test]
fn rows_that_were_there_before_and_stay_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO note VALUES (1, 'a'), (2, 'b')",
    )
    .unwrap();
    let database = Cluster::shared().unwrap().fresh_database("staying").unwrap();
    database
        .psql("CREATE TABLE note(id bigint PRIMARY KEY, body text); INSERT INTO note VALUES (7, 'own')")
        .unwrap();
    let to = database.conninfo();
    let stores = [
        "--from",
        "sqlite:app.db",
        "--to",
        &to,
        "--into",
        "existing",
        "--on-conflict",
        "replace",
        "--progress",
        "none",
    ];
    done(folder.path(), &[&["migrate"][..], &stores].concat());
    for looks in [&[][..], &["--sample", "10"]] {
        let ran = run(folder.path(), &[&["verify"][..], &stores, looks].concat());
        assert_eq!(ran.code, 0, "{looks:?}: {}{}", ran.out, ran.err);
    }
    database.psql("DELETE FROM note WHERE id = 7").unwrap();
    let ran = run(folder.path(), &[&["verify"][..], &stores, &["--sample", "10"]].concat());
    assert!(ran.code == 1 && flat(&ran.out).contains("should hold 3 rows, and holds 2"), "{}", ran.out);
}

/// SQLite takes several rows whose key is NULL, and no key finds one of them.
#[test]
fn rows_with_null_in_their_keys_are_left_out_and_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    db.execute_batch("CREATE TABLE tags(name TEXT PRIMARY KEY, n INT); INSERT INTO tags VALUES (NULL, 1), (NULL, 2), ('a', 3)")
        .unwrap();
    let stores = ["--from", "sqlite:app.db", "--to", "sqlite:out.db", "--progress", "none"];
    let with = |arguments: &[&str]| run(folder.path(), &[arguments, &stores].concat());
    let ran = with(&["migrate", "--validation-sample", "10"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let said = "2 of the 3 rows that were chosen have NULL in their keys";
    assert!(flat(&ran.out).contains(said), "{}", ran.out);
    let ran = with(&["verify", "--sample", "10"]);
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    assert!(flat(&ran.out).contains(said), "{}", ran.out);
}
