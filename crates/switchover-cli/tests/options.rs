//! What the options of limits, retries, validation and logging do to a run, by the program.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;

use program::{done, flat, run};
use switchover_core::limits::MEMORY_BYTES_DEFAULT;
use switchover_testkit::Cluster;
use tempfile::TempDir;

/// A table with a key and one without.
fn source() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT);
         CREATE TABLE loose(body TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO note SELECT i, 'body ' || i FROM n;
         INSERT INTO loose SELECT body FROM note WHERE id <= 10;",
    )
    .unwrap();
    folder
}

/// Bytes of a value that is large by itself.
const LARGE: u64 = 20_000_000;

const STORES: [&str; 7] =
    ["migrate", "--from", "sqlite:app.db", "--to", "sqlite:new.db", "--progress", "none"];

fn migrate(folder: &TempDir, more: &[&str]) -> String {
    done(folder.path(), &[&STORES[..], more].concat())
}

/// The rows of each chunk that was written.
fn chunks(folder: &TempDir) -> Vec<i64> {
    let db = rusqlite::Connection::open(folder.path().join("new.db")).unwrap();
    let mut rows = db.prepare("SELECT rows FROM _switchover_checkpoint ORDER BY rows DESC").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_chunk_has_no_more_rows_than_a_batch() {
    for (arguments, most, least) in [
        (&["--batch-size", "100"][..], 100, 11),
        (&["--batch-size", "300", "--workers", "2"], 300, 5),
        (&["--batch-size", "auto"], 1000, 2),
    ] {
        let folder = source();
        migrate(&folder, arguments);
        let found = chunks(&folder);
        assert_eq!(found.iter().sum::<i64>(), 1010, "{arguments:?}: {found:?}");
        assert!(found[0] == most && found.len() >= least, "{arguments:?}: {found:?}");
    }
    // Also for a dump, and in the names of the file.
    let folder = source();
    std::fs::write(folder.path().join("switchover.toml"), "batch_size = 1\nworkers = 1\n").unwrap();
    std::fs::write(folder.path().join("d.json"), r#"{"note": [{"id": 1}, {"id": 2}, {"id": 3}]}"#).unwrap();
    done(folder.path(), &["migrate", "--from", "json:d.json", "--to", "sqlite:new.db", "--progress", "none"]);
    assert_eq!(chunks(&folder)[0], 1);
}

/// What is put aside may be as much as the table.
#[test]
fn memory_is_bounded_though_every_value_is_in_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
         INSERT INTO t SELECT i, CAST(x'610062' AS TEXT) || i FROM n;",
    )
    .unwrap();
    let database = Cluster::shared().unwrap().fresh_database("aside").unwrap();
    let to = database.conninfo();
    let stores = ["--from", "sqlite:app.db", "--to", &to, "--no-backup", "--report", "r.json"];
    done(folder.path(), &[&["migrate", "--policy", "quarantine"], &stores[..]].concat());
    let report = std::fs::read_to_string(folder.path().join("r.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let resident = report["resident_bytes_max"].as_u64().unwrap();
    assert_eq!(report["tables"][0]["quarantined"], 200_000);
    assert!(resident <= MEMORY_BYTES_DEFAULT, "{resident} bytes resident");
}

#[test]
fn memory_is_bounded_by_bytes_whatever_the_rows_are() {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    // 320 MB: many rows, and few large ones.
    db.execute_batch(&format!(
        "CREATE TABLE small(id INTEGER PRIMARY KEY, v BLOB); CREATE TABLE large(id INTEGER PRIMARY KEY, v BLOB);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) INSERT INTO small SELECT i, zeroblob(2000) FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12) INSERT INTO large SELECT i, zeroblob({LARGE}) FROM n;"
    ))
    .unwrap();
    let database = Cluster::shared().unwrap().fresh_database("memory").unwrap();
    // A value costs twice its size where the target takes it in pieces, three times where it takes it whole;
    // one is read while one is written.
    for (to, values) in [(database.conninfo(), 4), ("sqlite:new.db".to_owned(), 6)] {
        let limit = MEMORY_BYTES_DEFAULT + values * LARGE;
        let arguments = [
            "migrate",
            "--from",
            "sqlite:app.db",
            "--to",
            &to,
            "--no-backup",
            "--jobs",
            "2",
            "--report",
            "r.json",
        ];
        done(folder.path(), &arguments);
        let report = std::fs::read_to_string(folder.path().join("r.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let resident = report["resident_bytes_max"].as_u64().unwrap();
        assert!(resident <= limit, "{to}: {resident} bytes resident, more than {limit}");
    }
    // What the limit does not do for is said before.
    let plan =
        done(folder.path(), &["plan", "--from", "sqlite:app.db", "--to", "sqlite:other.db", "-o", "p.json"]);
    let said = "up to 113.6 MB, ABOVE the limit of 104.9 MB: large.v holds a value of 20.0 MB";
    assert!(flat(&plan).contains(said), "{plan}");
    // A limit that somebody chose is kept, or the run refused; what it asks for does.
    let choose = |limit| {
        let arguments =
            ["migrate", "--from", "sqlite:app.db", "--to", "sqlite:other.db", "--memory-limit", limit];
        run(folder.path(), &arguments)
    };
    let refused = choose("110MB");
    assert_eq!(refused.code, 1, "{}", refused.err);
    let said = "a value of 20.0 MB, which is held whole and may take up to 113.6 MB of memory; the limit is 110.0 MB";
    assert!(flat(&refused.err).contains(said), "{}", refused.err);
    assert!(flat(&refused.err).contains("raise --memory-limit to 114MB"), "{}", refused.err);
    assert!(!folder.path().join("other.db").exists());
    assert_eq!(choose("114MB").code, 0);
}

#[test]
fn rows_are_looked_up_again_and_the_report_says_both() {
    let folder = source();
    let out = migrate(&folder, &["--validation-sample", "50", "--report", "r.json"]);
    let said = flat(&out);
    assert!(said.starts_with("same: every field of every row is equal"), "{out}");
    assert!(said.contains("50 rows were looked up again by key (up to 50 a table, seed"), "{out}");
    assert!(said.contains("none of loose: it has no primary key"), "{out}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    let validation = &report["validation"];
    assert_eq!((&validation["rows"], &validation["differing"]), (&50.into(), &0.into()));
    assert!(report["sample"].is_null(), "all rows were compared as well");
    let verify = report["phases"].as_array().unwrap().iter().filter(|phase| phase["phase"] == "verify");
    assert_eq!(verify.count(), 1);
    // Without the option nothing is said of it.
    let folder = source();
    assert!(!migrate(&folder, &["--report", "r.md"]).contains("looked up"));
    assert!(!std::fs::read_to_string(folder.path().join("r.md")).unwrap().contains("validation"));
}

#[test]
fn the_log_has_what_v_says_and_the_answer_and_no_secret() {
    let folder = source();
    for _ in 0..2 {
        run(folder.path(), &[&STORES[..], &["--log-file", "run.log"]].concat());
    }
    let log = std::fs::read_to_string(folder.path().join("run.log")).unwrap();
    let begins = log.lines().filter(|line| line.ends_with("copy: begins")).count();
    assert!(begins == 1 && log.contains(" same: every field"), "{log}");
    assert!(log.contains("error: "), "the second run is refused: {log}");
    assert!(log.lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{log}");
    let to = "postgres://u:s3cret@127.0.0.1:1/d";
    run(folder.path(), &["plan", "--from", "sqlite:app.db", "--to", to, "--log-file", "run.log", "-vv"]);
    let log = std::fs::read_to_string(folder.path().join("run.log")).unwrap();
    assert!(log.contains("error: ") && log.contains("127.0.0.1:1"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
    let refused = run(folder.path(), &[&STORES[..], &["--log-file", "app.db"]].concat());
    assert!(refused.code == 2 && refused.err.contains("no log of this program"), "{}", refused.err);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let folder = source();
    for (arguments, said) in [
        (&["--backup", "--no-backup"][..], "cannot be used with"),
        (&["--jobs", "2", "--workers", "3"], "cannot be used multiple times"),
        (&["--batch-size", "0"], "batch_size is '0'"),
        (&["--api-key-file", "key"], "it is about a Weaviate target"),
    ] {
        let ran = run(folder.path(), &[&STORES[..], arguments].concat());
        assert!(ran.code == 2 && flat(&ran.err).contains(said), "{arguments:?}: {}", ran.err);
        assert!(!folder.path().join("new.db").exists(), "{arguments:?}");
    }
}

/// They used to be passed over in silence.
#[test]
fn options_that_a_run_on_record_has_no_use_for_are_refused() {
    let folder = source();
    migrate(&folder, &[]);
    let verify = |more: &[&str]| run(folder.path(), &[&["verify"][..], &STORES[1..], more].concat());
    for arguments in [&["--tables", "note"][..], &["--exclude", "loose"]] {
        let ran = verify(arguments);
        assert!(ran.code == 2 && flat(&ran.err).contains("leave --tables and --exclude out"), "{}", ran.err);
    }
    assert_eq!(verify(&[]).code, 0);
    let plan = [&["plan"][..], &STORES[1..5], &["--tables", "note", "-o", "note.json"]].concat();
    run(folder.path(), &plan);
    assert_eq!(verify(&["--plan", "note.json"]).code, 0);
    for (option, said) in
        [(&["--detach"][..], "leave --detach out"), (&["--route", "r.json"], "leave --route out")]
    {
        let ran = run(folder.path(), &[&["resume"][..], option].concat());
        assert!(ran.code == 2 && flat(&ran.err).contains(said), "{}", ran.err);
    }
}
