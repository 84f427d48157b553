//! `bench queries` between a file and each of PostgreSQL and another file: what is asked, that the answers are compared,
//! and what is said where they differ. Times are measured, and not asserted: they are the machine's.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;

use program::{done, flat, run};
use serde_json::Value as Json;
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

const SOURCE: &str = "
    CREATE TABLE conversations(id TEXT PRIMARY KEY, title TEXT, gone INT);
    CREATE TABLE messages(id INTEGER PRIMARY KEY, conversation TEXT REFERENCES conversations(id), content TEXT, made_at DATETIME NOT NULL);
    CREATE TABLE plain(a TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
    INSERT INTO conversations SELECT printf('c%08x-0000-4000-8000-%012x', i, i * 7), 'about ' || i, i % 4 = 0 FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
    INSERT INTO messages SELECT i, (SELECT id FROM conversations WHERE rowid = 1 + i % 41),
        'Looms weave ' || substr('patternflowermeadowforestbridge', 1 + i % 5, 7) || ' ' || char(97 + i % 26) || 'thread' || ' é😀',
        strftime('%Y-%m-%d %H:%M:%S', 1704067200 + i / 3, 'unixepoch') FROM n;
    INSERT INTO plain SELECT 'x';";

struct Site {
    folder: TempDir,
    to: String,
    _database: Database,
}

impl Site {
    fn new(to_file: bool, mapping: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        rusqlite::Connection::open(folder.path().join("app.db")).unwrap().execute_batch(SOURCE).unwrap();
        std::fs::write(folder.path().join("switchover.toml"), mapping).unwrap();
        let database = Cluster::shared().unwrap().fresh_database("queries").unwrap();
        let to = if to_file { "sqlite:new.db".into() } else { database.conninfo() };
        let site = Site { folder, to, _database: database };
        done(site.folder.path(), &["migrate", "--from", "sqlite:app.db", "--to", &site.to]);
        site
    }

    fn ask(&self, more: &[&str]) -> program::Ran {
        let first = [
            "bench",
            "queries",
            "--from",
            "sqlite:app.db",
            "--to",
            &self.to,
            "--seconds",
            "0.2",
            "--seed",
            "7",
        ];
        run(self.folder.path(), &[&first, more].concat())
    }
}

#[test]
fn both_stores_are_asked_alone_and_by_several_and_answer_alike() {
    for (to_file, mapping) in [
        (true, ""),
        (false, ""),
        (
            false,
            "[table.messages]\nto = 'posts'\nwhere = 'id % 2 = 0'\n[table.messages.column]\ncontent.to = 'body'",
        ),
    ] {
        let site = Site::new(to_file, mapping);
        let ran = site.ask(&["--samples", "40", "--clients", "3", "--report", "r.json"]);
        assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
        assert!(ran.out.starts_with("same: both stores gave the same answers\n"), "{}", ran.out);
        assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
        let report: Json =
            serde_json::from_slice(&std::fs::read(site.folder.path().join("r.json")).unwrap()).unwrap();
        assert_eq!(
            (&report["format"], &report["verdict"], &report["seed"]),
            (&1.into(), &"same".into(), &7.into())
        );
        let lookups = report["lookups"].as_array().unwrap();
        let kinds: Vec<&str> = lookups.iter().map(|lookup| lookup["lookup"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["by id", "latest", "words"], "{report}");
        for lookup in lookups {
            assert_eq!(lookup["table"], "messages");
            assert!(lookup["questions"].as_u64().unwrap() >= 2, "{lookup}");
            let timed = lookup["timed"].as_array().unwrap();
            let by: Vec<(&str, u64)> = (timed.iter())
                .map(|one| (one["store"].as_str().unwrap(), one["clients"].as_u64().unwrap()))
                .collect();
            assert_eq!(by, [("source", 1), ("target", 1), ("source", 3), ("target", 3)]);
            for one in timed {
                assert!(one["answers"].as_u64().unwrap() > 0, "{one}");
                let (half, most) = (one["p50_ms"].as_f64().unwrap(), one["p99_ms"].as_f64().unwrap());
                assert!(0.0 < half && half <= most, "{one}");
                assert_eq!((&one["differing"], &one["errors"]), (&0.into(), &0.into()), "{one}");
            }
        }
        // Between two files nothing says that a column holds times.
        let newest = if to_file { "id" } else { "made_at, id" };
        assert_eq!(lookups[1]["by"], format!("conversation, newest by {newest}"));
    }
}

#[test]
fn answers_that_differ_are_counted_and_decide() {
    let site = Site::new(true, "");
    let target = rusqlite::Connection::open(site.folder.path().join("new.db")).unwrap();
    // A value, an order, and a word.
    target
        .execute_batch(
            "UPDATE messages SET made_at = '2030-01-01 00:00:00', content = 'all of it' WHERE id % 3 = 0",
        )
        .unwrap();
    let ran = site.ask(&["--samples", "60", "--rows", "500", "--clients", "2", "--json", "--report", "r.md"]);
    assert_eq!(ran.code, 1, "{} {}", ran.out, ran.err);
    let report: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["verdict"], "different");
    for lookup in report["lookups"].as_array().unwrap() {
        for one in lookup["timed"].as_array().unwrap() {
            let differing = one["differing"].as_u64().unwrap();
            assert_eq!(differing > 0, one["store"] == "target", "{} {one}", lookup["lookup"]);
        }
    }
    let markdown = std::fs::read_to_string(site.folder.path().join("r.md")).unwrap();
    assert!(markdown.starts_with("# Queries: **the stores gave different answers**"), "{markdown}");
}

#[test]
fn what_is_named_is_asked_or_said_why_not() {
    let site = Site::new(true, "");
    let ran = site.ask(&["--table", "plain", "conversations", "--by", "gone", "--json"]);
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    let report: Json = serde_json::from_str(&ran.out).unwrap();
    let asked: Vec<(&str, &str)> = (report["lookups"].as_array().unwrap().iter())
        .map(|lookup| (lookup["lookup"].as_str().unwrap(), lookup["table"].as_str().unwrap()))
        .collect();
    assert_eq!(asked, [("by id", "conversations"), ("latest", "conversations"), ("words", "conversations")]);
    let why = report["left_out"].to_string();
    assert!(why.contains("it has no primary key"), "{why}");
    let ran = site.ask(&["--table", "plain"]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(flat(&ran.err).contains("there is nothing to ask"), "{}", ran.err);
    let ran = site.ask(&["--table", "absent"]);
    assert!(ran.code == 2 && flat(&ran.err).contains("the plan has no such table"), "{}", ran.err);
    let ran = site.ask(&["--table", "conversations", "--by", "absent"]);
    assert!(
        ran.code == 2 && flat(&ran.err).contains("no table that is asked has such a column"),
        "{}",
        ran.err
    );
    let ran =
        run(site.folder.path(), &["bench", "queries", "--from", "sqlite:app.db", "--to", "json:new.json"]);
    assert_eq!(ran.code, 2, "{}", ran.out);
}

#[test]
fn a_store_that_is_gone_leaves_it_unproven() {
    let site = Site::new(true, "");
    let target = rusqlite::Connection::open(site.folder.path().join("new.db")).unwrap();
    target.execute_batch("DROP TABLE messages").unwrap();
    let ran = site.ask(&["--table", "messages", "--json"]);
    assert_eq!(ran.code, 2, "{} {}", ran.out, ran.err);
    let report: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["verdict"], "unproven");
    let first = &report["lookups"][0]["timed"][1];
    assert!(
        first["errors"] == 100 && first["p50_ms"].is_null() && first["first_error"].is_string(),
        "{first}"
    );
}
