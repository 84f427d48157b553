//! JSON as a target: what a dump of a store holds, that it reads back as the same store, and that nothing half
//! written is ever seen under its name.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use rusqlite::Connection;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchover::report::{Report, Verdict};
use switchover::settings::Settings;
use switchover::{Migration, Sample};
use switchover_connectors::json::config::JsonConfig;
use switchover_connectors::json::source::JsonSource;
use switchover_connectors::json::target::{self, JsonTarget};
use switchover_connectors::postgres::config::PgConfig;
use switchover_connectors::postgres::source::PostgresSource;
use switchover_connectors::postgres::target::PostgresTarget;
use switchover_connectors::sqlite::config::SqliteConfig;
use switchover_connectors::sqlite::source::SqliteSource;
use switchover_connectors::sqlite::target::SqliteTarget;
use switchover_core::connector::{Source, Target};
use switchover_core::plan::{Fate, PlanOptions, Policy};
use switchover_core::{Error, Kind, Result};
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// A folder with stores in it, named by their file names.
struct Place {
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    policy: Policy,
    /// What the name `pg` means.
    database: Option<Database>,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
            policy: Policy::Refuse,
            database: None,
        }
    }

    /// A SQLite file made by SQL.
    fn with_sqlite(sql: &str) -> Place {
        let place = Place::new();
        place.sqlite("a.db").execute_batch(sql).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        // Not `join`, which would take a slash at the end away.
        PathBuf::from(format!("{}/{name}", self.folder.path().display()))
    }

    fn sqlite(&self, name: &str) -> Connection {
        Connection::open(self.path(name)).unwrap()
    }

    fn migration(&self, from: &str, to: &str) -> Result<Migration> {
        let (from, place) = (self.path(from), self.path(to));
        let is_file = |path: &Path| path.extension().is_some_and(|ending| ending == "db");
        let config = || PgConfig::parse(&self.database.as_ref().unwrap().conninfo(), &|_| None).unwrap();
        let source: Arc<dyn Source> = match is_file(&from) {
            _ if from.ends_with("pg") => Arc::new(PostgresSource::new(config(), None)),
            true => Arc::new(SqliteSource::new(SqliteConfig::from_path(from))),
            false => Arc::new(JsonSource::new(JsonConfig::from_path(from))),
        };
        let (target, schema): (Arc<dyn Target>, _) = match is_file(&place) {
            _ if place.ends_with("pg") => (Arc::new(PostgresTarget::new(config())), "public"),
            true => (Arc::new(SqliteTarget::new(SqliteConfig::from_path(place))), "main"),
            false => (Arc::new(JsonTarget::new(JsonConfig::from_path(place))?), target::SCHEMA),
        };
        let plan = PlanOptions { schema: schema.into(), policy: self.policy, ..Settings::default().plan };
        let state_dir = self.folder.path().join(format!("state-{}", to.trim_end_matches('/')));
        let settings = Settings { plan, state_dir, backup: false, jobs: Some(2), ..Settings::default() };
        Ok(Migration::new(source, target).settings(settings))
    }

    fn try_move(&self, from: &str, to: &str) -> Result<Report> {
        let migration = self.migration(from, to)?;
        self.runtime.block_on(migration.migrate(None))
    }

    #[track_caller]
    fn moves(&self, from: &str, to: &str) -> Report {
        let report = self.try_move(from, to).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(report.verdict, Verdict::Same, "{:?} {:#?}", report.reasons, report.tables);
        report
    }

    /// Removes a run's own records, so that its target is a store like any other.
    fn accepts(&self, from: &str, to: &str) {
        self.runtime.block_on(self.migration(from, to).unwrap().cleanup(None)).unwrap();
    }

    fn rolls_back(&self, from: &str, to: &str, discard_changes: bool) -> Result<bool> {
        self.runtime.block_on(self.migration(from, to)?.rollback(None, discard_changes))
    }

    fn verifies(&self, from: &str, to: &str) -> Result<Report> {
        self.runtime.block_on(self.migration(from, to)?.verify(None, false))
    }

    #[track_caller]
    fn refuses(&self, from: &str, to: &str) -> Error {
        let error = self.try_move(from, to).expect_err("it must refuse");
        assert!(!self.path(to).exists(), "nothing has the name");
        error
    }

    /// What lies in the folder, but for the runs' journals.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("state-")).collect();
        names.sort();
        names
    }

    /// Every cell of a SQLite file, as SQLite itself writes it.
    fn cells(&self, name: &str) -> BTreeMap<String, Vec<String>> {
        let db = self.sqlite(name);
        let names =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_switch%' ESCAPE '\\'
            AND name NOT LIKE 'sqlite%'";
        let mut statement = db.prepare(names).unwrap();
        let tables: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let rows = |table: &String| {
            let mut statement =
                db.prepare(&format!("SELECT name FROM pragma_table_info({})", quoted(table))).unwrap();
            let columns: Vec<String> =
                statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            // The type, the digits and the bytes: what quote() alone would round or cut at a NUL.
            let cell = |name: &String| {
                let c = quoted(name);
                format!(
                    "{} || typeof({c}) || CASE typeof({c}) WHEN 'text' THEN hex({c}) WHEN 'real' THEN printf('%!.17g', {c}) ELSE quote({c}) END",
                    format_args!("'{}='", name.replace('\'', "''"))
                )
            };
            let cells: Vec<String> = columns.iter().map(cell).collect();
            let sql = format!("SELECT {} FROM {}", cells.join(" || ', ' || "), quoted(table));
            let mut statement = db.prepare(&sql).unwrap();
            let mut rows: Vec<String> =
                statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            rows.sort();
            (table.clone(), rows)
        };
        tables.iter().map(rows).collect()
    }
}

/// Two stores hold the same; what differs first is shown, shortened.
#[track_caller]
fn same(a: &BTreeMap<String, Vec<String>>, b: &BTreeMap<String, Vec<String>>) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (table, rows) in a {
        assert_eq!(rows.len(), b[table].len(), "{table}");
        for (one, other) in rows.iter().zip(&b[table]) {
            let at = one.bytes().zip(other.bytes()).position(|(x, y)| x != y);
            let shown = |row: &str| {
                String::from_utf8_lossy(&row.as_bytes()[at.unwrap_or(0)..])
                    .chars()
                    .take(200)
                    .collect::<String>()
            };
            assert!(one == other, "{table}: {} is not {}", shown(one), shown(other));
        }
    }
}

/// A dump as it lies there, each row as the texts of its values.
type Tables = BTreeMap<String, Vec<BTreeMap<String, Box<RawValue>>>>;

fn tables(path: &Path) -> Tables {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What a value says, whatever its spelling: white space between parts, escapes in strings, digits of numbers.
fn said(raw: &RawValue) -> String {
    let raw = raw.get();
    let mut out = Vec::new();
    match raw.as_bytes()[0] {
        b'"' => {
            return serde_json::from_str::<String>(raw)
                .map_or_else(|_| raw.to_owned(), |text| format!("{text:?}"));
        }
        b'-' | b'0'..=b'9' => assert!(switchover_core::decimal::parse(raw.as_bytes(), &mut out), "{raw}"),
        _ => drop(switchover_core::json::without_space(raw.as_bytes(), &mut out)),
    }
    String::from_utf8(out).unwrap()
}

/// What a dump says, but for the cells that are null, which it may also leave out.
fn all_said(path: &Path) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let row = |row: &BTreeMap<String, Box<RawValue>>| {
        let cells = row.iter().filter(|(_, raw)| raw.get() != "null");
        cells.map(|(key, raw)| (key.clone(), said(raw))).collect()
    };
    tables(path).iter().map(|(name, rows)| (name.clone(), rows.iter().map(row).collect())).collect()
}

const EXTREMES: &str = r#"
    CREATE TABLE all_of_it (id INTEGER PRIMARY KEY, b BOOLEAN, i INTEGER, r REAL, t TEXT, x BLOB, j JSON TEXT, m, u UUID UNIQUE,
        at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, CHECK (i IS NOT 7));
    INSERT INTO all_of_it VALUES
        (1, 1, 9223372036854775807, 1e308, 'é😀' || char(0) || '"\ ' || char(10), x'00ff', '{"a":[1.50,12345678901234567890123]}', 1, '0188d9c2-af00-7fff-0102-030405060708', '2024-02-29 12:00:00'),
        (2, 0, -9223372036854775808, 9e999, '', x'', '[]', 1.0, NULL, '2024-02-29 12:00:00.5'),
        (3, NULL, NULL, -9e999, 'null', NULL, '"text"', 'x', NULL, 'not a time'),
        (-4, 1, 0, 5e-324, NULL, zeroblob(70000), '1.50', x'01', NULL, ''),
        (5, 1, 1, 0.1, '1', x'7b7d', '{"a":1,"a":"\u0000 \ud800"}', NULL, NULL, 'x'),
        (6, 1, 1, 3.0, '1.0', x'22', NULL, 9e999, NULL, 'x');
    CREATE TABLE "odd ""name/" ("a b" TEXT, "é" INTEGER, PRIMARY KEY ("a b", "é")) WITHOUT ROWID;
    INSERT INTO "odd ""name/" VALUES ('x', 1), ('x', 2);
    CREATE TABLE twice (n INTEGER);
    INSERT INTO twice VALUES (1), (1), (NULL);
    CREATE INDEX by_t ON all_of_it(t);
    CREATE VIEW v AS SELECT 1;
"#;

#[test]
fn a_dump_says_every_value_in_a_form_of_its_own() {
    let place = Place::with_sqlite(EXTREMES);
    let report = place.moves("a.db", "b.json");
    let dump = tables(&place.path("b.json"));
    let row = |at: usize| -> Vec<String> {
        let row = &dump["all_of_it"][at];
        ["id", "b", "i", "r", "t", "x", "j", "m"].iter().map(|key| row[*key].get().to_owned()).collect()
    };
    assert_eq!(
        row(1),
        [
            "1",
            "true",
            "9223372036854775807",
            "1e308",
            r#""é😀\u0000\"\\ \n""#,
            r#"{"$switchover.blob":"00ff"}"#,
            r#"{"a":[1.50,12345678901234567890123]}"#,
            // Beside texts a plain number would be read as JSON.
            r#"{"$switchover.int":"1"}"#
        ]
    );
    assert_eq!(
        row(2),
        [
            "2",
            "false",
            "-9223372036854775808",
            r#"{"$switchover.real":"Infinity"}"#,
            "\"\"",
            r#"{"$switchover.blob":""}"#,
            "[]",
            r#"{"$switchover.real":"1.0"}"#
        ]
    );
    assert_eq!(&row(3)[1..6], ["null", "null", r#"{"$switchover.real":"-Infinity"}"#, "\"null\"", "null"]);
    assert_eq!(&row(0)[6..], ["1.50", r#"{"$switchover.blob":"01"}"#]);
    assert_eq!(row(4)[6], r#"{"a":1,"a":"\u0000 \ud800"}"#);
    assert_eq!(dump["odd \"name/"].len(), 2);
    assert_eq!(dump["twice"].len(), 3);
    for (kind, name) in [
        ("primary key", "all_of_it"),
        ("unique", "all_of_it(u)"),
        ("check", "all_of_it"),
        ("not null", "all_of_it.at"),
        ("default", "all_of_it.at"),
        ("index", "by_t on all_of_it"),
        ("view", "v"),
    ] {
        let found = report.outcomes.iter().find(|line| line.kind == kind && line.name.starts_with(name));
        assert_eq!(found.map(|line| line.fate), Some(Fate::LeftOut), "{kind} {name}: {:#?}", report.outcomes);
    }
}

#[test]
fn a_dump_of_every_form_reads_back_as_the_same_store() {
    for to in ["b.json", "b.json.gz", "b/"] {
        let sql = EXTREMES.replace("name/", "name");
        let place = Place::with_sqlite(&sql);
        place.moves("a.db", to);
        place.accepts("a.db", to);
        place.moves(to, "c.db");
        place.accepts(to, "c.db");
        same(&place.cells("a.db"), &place.cells("c.db"));
        place.moves("c.db", "d.json");
        place.moves(to, "e.json");
        let (d, e) = (fs::read(place.path("d.json")).unwrap(), fs::read(place.path("e.json")).unwrap());
        assert!(!d.is_empty());
        assert_eq!(all_said(&place.path("d.json")), all_said(&place.path("e.json")), "{to}");
        if to == "b.json" {
            assert_eq!(fs::read(place.path("b.json")).unwrap(), e, "a dump of a dump is the dump");
        }
    }
}

/// What a dump of an application may hold, and every kind of column that one can have.
const APP: &str = r#"{
  "users": [
    {"id": "u1", "admin": true, "n": 9223372036854775807, "r": 0.30000000000000004, "at": "2024-02-29T12:00:00Z",
     "day": "1815-12-10", "uuid": "0188d9c2-af00-7fff-0102-030405060708", "big": 12345678901234567890123,
     "nested": {"b": [1.50, {"a": null}], "a": "\u0000\ud800"}, "mixed": 1, "text": "\u0000 \ud83d\ude00"},
    {"id": "u2", "admin": false, "n": -9223372036854775808, "r": -0.0, "at": "2024-02-29T12:00:00.5Z",
     "day": null, "uuid": null, "big": 1, "nested": [], "mixed": "1", "text": ""},
    {"id": "u3", "n": 0, "r": 5e-324, "big": 0.1000000000000000055511151231257827, "nested": "x", "mixed": true}
  ],
  "w\"1": {"k1": {"title": "one"}, "k2": {"title": null}},
  "log": [{"n": 1}, {"n": 1}]
}"#;

/// A dump goes there and back, and says the same.
#[track_caller]
fn goes_round(place: &Place, stores: &[&str]) {
    for pair in stores.windows(2) {
        place.moves(pair[0], pair[1]);
        place.accepts(pair[0], pair[1]);
    }
    let (first, last) = (all_said(&place.path(stores[0])), all_said(&place.path(stores[stores.len() - 1])));
    assert_eq!(first, last);
}

#[test]
fn a_dump_through_sqlite_is_the_same_dump() {
    let place = Place::new();
    // The keyed table as a list, as it comes back.
    let app = APP.replace(
        r#"{"k1": {"title": "one"}, "k2": {"title": null}}"#,
        r#"[{"id": "k1", "title": "one"}, {"id": "k2", "title": null}]"#,
    );
    fs::write(place.path("a.json"), app).unwrap();
    goes_round(&place, &["a.json", "b.db", "c.json.gz", "d.db", "e/", "f.json"]);
    let report = place.moves("a.json", "g.json");
    let absent =
        |line: &&switchover_core::plan::Outcome| line.kind == "absent key" && line.name == "users.admin";
    assert!(
        report.outcomes.iter().any(|line| absent(&line)),
        "it says what is null now: {:#?}",
        report.outcomes
    );
    fs::write(place.path("keyed.json"), APP).unwrap();
    place.moves("keyed.json", "h.json");
    assert_eq!(all_said(&place.path("h.json")), all_said(&place.path("g.json")));
}

#[test]
fn what_a_dump_cannot_hold_is_named_or_goes_to_quarantine() {
    let mut place = Place::with_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL, j JSON);
         INSERT INTO t VALUES (1, 'fine', '{}'), (2, CAST(x'61ff' AS TEXT), '[1]'), (3, 'x', 'null'),
            (4, 'x', '{\"$switchover.blob\" : \"00\"}')",
    );
    let error = place.refuses("a.db", "b.json");
    assert_eq!((error.kind(), &*error.subject().key, &*error.subject().column), (Kind::Refused, "id=2", "a"));
    assert!(error.why().contains("not valid UTF-8"), "{error}");
    assert_eq!(place.names(), ["a.db"]);
    place.policy = Policy::Quarantine;
    let report = place.moves("a.db", "b.json");
    assert_eq!((report.tables[0].quarantined, report.tables[0].quarantined_rows), (3, 0));
    let dump = tables(&place.path("b.json"));
    let cells: Vec<[&str; 2]> = dump["t"].iter().map(|row| [row["a"].get(), row["j"].get()]).collect();
    assert_eq!(cells, [["\"fine\"", "{}"], ["null", "[1]"], ["\"x\"", "null"], ["\"x\"", "null"]]);
    assert_eq!(place.verifies("a.db", "b.json").unwrap().verdict, Verdict::Same);
}

#[test]
fn names_that_say_no_form_and_places_that_are_taken_are_refused() {
    let place = Place::with_sqlite("CREATE TABLE \"a/b\" (n); INSERT INTO \"a/b\" VALUES (1)");
    for (to, kind, why) in [
        ("b.jsonl", Kind::Config, "holds one table"),
        ("b.txt", Kind::Config, "neither a document nor a folder"),
        ("none/b.json", Kind::NotFound, "does not exist"),
        ("b/", Kind::Refused, "keeps names like \"a/b\" for itself"),
    ] {
        let error = place.refuses("a.db", to);
        assert!(error.kind() == kind && error.why().contains(why), "{to}: {error:?}");
        assert!(!error.what_to_do().is_empty(), "{to}");
    }
    fs::write(place.path("there.json"), "{}").unwrap();
    let error = place.try_move("a.db", "there.json").expect_err("it is taken");
    assert!(error.kind() == Kind::Refused && error.why().contains("is not empty"), "{error:?}");
    assert_eq!(fs::read_to_string(place.path("there.json")).unwrap(), "{}");
    assert_eq!(place.names(), ["a.db", "there.json"], "nothing was written");
    place.moves("a.db", "b.json");
    let error = place.try_move("a.db", "b.json").expect_err("a run has it");
    assert!(error.kind() == Kind::Refused && error.why().contains("run "), "{error:?}");
}

#[test]
fn a_rollback_takes_back_the_run_s_own_dump_and_nothing_else() {
    for to in ["b.json", "b.json.gz", "b/"] {
        let place = Place::with_sqlite("CREATE TABLE t (n); INSERT INTO t VALUES (1), (2)");
        place.moves("a.db", to);
        assert_eq!(place.names().len(), 3, "the dump and the run's records");
        assert!(place.rolls_back("a.db", to, false).unwrap());
        assert_eq!(place.names(), ["a.db"]);
        place.moves("a.db", to);
        place.accepts("a.db", to);
        assert_eq!(place.names().len(), 2, "only the dump");
        assert_eq!(place.rolls_back("a.db", to, true).expect_err("accepted").kind(), Kind::Refused);
    }
    let place = Place::with_sqlite("CREATE TABLE t (n); INSERT INTO t VALUES (1), (2)");
    place.moves("a.db", "b.json");
    let text = fs::read_to_string(place.path("b.json")).unwrap();
    fs::write(place.path("b.json"), text.replace("{\"n\":2}", "{\"n\":3}")).unwrap();
    assert_eq!(place.rolls_back("a.db", "b.json", false).expect_err("it changed").kind(), Kind::Different);
    // Another file of that name is somebody else's, whatever is asked for.
    fs::write(place.path("other"), "{}").unwrap();
    fs::rename(place.path("other"), place.path("b.json")).unwrap();
    assert_eq!(place.rolls_back("a.db", "b.json", true).expect_err("another").kind(), Kind::Refused);
    assert_eq!(fs::read_to_string(place.path("b.json")).unwrap(), "{}");
    fs::remove_file(place.path("b.json")).unwrap();
    assert!(place.rolls_back("a.db", "b.json", true).unwrap());
    assert_eq!(place.names(), ["a.db"]);
}

#[test]
fn a_sample_of_a_dump_finds_the_row_that_differs_and_a_repair_is_refused() {
    let place = Place::with_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT); CREATE TABLE pair (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID;
         WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT i, 's' || i FROM n;
         INSERT INTO pair VALUES ('x', 1), ('x', 2)",
    );
    place.moves("a.db", "b.json");
    let sampled = |rows| {
        let migration = place.migration("a.db", "b.json").unwrap();
        place.runtime.block_on(migration.verify_sample(None, Sample { rows, seed: 1 })).unwrap()
    };
    let report = sampled(10);
    let compared: Vec<Option<u64>> = report.tables.iter().map(|table| table.sampled).collect();
    assert_eq!((report.verdict, compared), (Verdict::Same, vec![Some(10), Some(2)]));
    let whole = fs::read_to_string(place.path("b.json")).unwrap();
    fs::write(place.path("b.json"), whole.replace("\"s70\"", "\"z\"").replace("\"b\":2", "\"b\":3")).unwrap();
    let report = sampled(100);
    assert_eq!(report.verdict, Verdict::Different);
    assert_eq!(report.tables.iter().map(|table| table.differences_total).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(report.tables[0].differences[0].key, "id=70");
    let repair = place.runtime.block_on(place.migration("a.db", "b.json").unwrap().verify(None, true));
    let error = repair.expect_err("a dump is whole");
    assert!(error.kind() == Kind::Unsupported && error.why().contains("not mended"), "{error:?}");
    // What is said instead of it, for a dump that was changed in its place, and for one that was moved away.
    assert!(error.what_to_do().contains("rollback --discard-target-changes"), "{error:?}");
    for change in [|_: &Path| {}, |dump: &Path| fs::remove_file(dump).unwrap()] {
        change(&place.path("b.json"));
        let kept = place.rolls_back("a.db", "b.json", false).expect_err("it is not what the run made");
        assert!(kept.what_to_do().contains("--discard-target-changes"), "{kept:?}");
        assert!(place.rolls_back("a.db", "b.json", true).unwrap());
        place.moves("a.db", "b.json");
        assert_eq!(fs::read_to_string(place.path("b.json")).unwrap(), whole);
    }
}

#[test]
fn whatever_is_changed_in_a_dump_is_found() {
    let place = Place::with_sqlite(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, b BOOLEAN, n INTEGER, r REAL, s TEXT, x BLOB, j JSON);
         INSERT INTO t VALUES (1, 1, 5, 0.5, 'a', x'00ff', '[1.0]'), (2, 0, 6, 1e999, '', NULL, NULL);
         CREATE TABLE r (v); INSERT INTO r VALUES (1), (1), ('1'), (NULL)",
    );
    place.moves("a.db", "b.json");
    let whole = fs::read_to_string(place.path("b.json")).unwrap();
    let changes = [
        ("\"b\":true", "\"b\":false"),
        ("\"b\":true", "\"b\":1"),
        ("\"n\":5", "\"n\":6"),
        ("\"n\":5", "\"n\":5.0"),
        ("\"n\":5", "\"n\":\"5\""),
        ("0.5", "0.5000000000000001"),
        ("\"Infinity\"", "\"-Infinity\""),
        ("\"s\":\"a\"", "\"s\":\"b\""),
        ("\"s\":\"\"", "\"s\":null"),
        ("\"s\":\"\",", ""),
        ("00ff", "00fe"),
        ("\"x\":null", "\"x\":{\"$switchover.blob\":\"\"}"),
        ("[1.0]", "[1]"),
        (
            "{\"v\":{\"$switchover.int\":\"1\"}},\n{\"v\":{\"$switchover.int\":\"1\"}}",
            "{\"v\":{\"$switchover.int\":\"1\"}}",
        ),
        ("{\"v\":\"1\"}", "{\"v\":{\"$switchover.int\":\"1\"}}"),
        ("{\"v\":\"1\"}", "{\"v\":1.0}"),
        ("{\"v\":null}", "{\"v\":null},{\"v\":null}"),
    ];
    for (from, to) in changes {
        assert_eq!(whole.matches(from).count(), 1, "{from}");
        fs::write(place.path("b.json"), whole.replace(from, to)).unwrap();
        let report = place.verifies("a.db", "b.json").unwrap();
        assert_eq!(report.verdict, Verdict::Different, "{from} -> {to}");
        assert!(report.tables.iter().any(|table| !table.differences.is_empty()), "{from} -> {to}");
    }
    // What is no cell of the plan's: an error with its place, or a line of the audit.
    for (from, to, why) in [
        ("\"n\":5", "\"n\":5,\"m\":1", "$.t[0].m"),
        ("\"n\":5", "\"n\":5,\"n\":5", "$.t[0].n"),
        ("\"n\":5", "\"n\":", "line 2"),
    ] {
        fs::write(place.path("b.json"), whole.replace(from, to)).unwrap();
        let error = place.verifies("a.db", "b.json").expect_err(to);
        assert!(error.why().contains(why), "{to}: {error}");
    }
    fs::write(place.path("b.json"), whole.replace("\"r\":[", "\"z\":[],\"r\":[")).unwrap();
    let report = place.verifies("a.db", "b.json").unwrap();
    assert!(
        report.verdict == Verdict::Different && report.reasons.join(" ").contains("\"z\""),
        "{:?}",
        report.reasons
    );
    fs::write(place.path("b.json"), &whole).unwrap();
    assert_eq!(place.verifies("a.db", "b.json").unwrap().verdict, Verdict::Same);
}

#[test]
fn a_dump_through_sqlite_and_postgresql_is_the_same_dump() {
    let mut place = Place::new();
    place.database = Some(Cluster::shared().unwrap().fresh_database("round").unwrap());
    // Of what PostgreSQL has another form for, only the form that it writes: see the reference.
    let app = r#"{
      "users": [
        {"id": "u1", "admin": true, "n": 9223372036854775807, "r": 0.30000000000000004, "at": "2024-02-29 12:00:00+00:00",
         "day": "1815-12-10", "uuid": "0188d9c2-af00-7fff-0102-030405060708", "big": 12345678901234567890123,
         "nested": {"a":1.50,"b":[{"c":null}]}, "mixed": 1, "text": "é😀\u0001\"\\"},
        {"id": "u2", "admin": false, "n": -9223372036854775808, "r": -0.0, "at": "2024-02-29 12:00:00.500000+00:00",
         "big": 1, "nested": [], "mixed": "1", "text": "", "photo": {"$switchover.blob":"00ff"}},
        {"id": "u3", "n": 0, "r": {"$switchover.real":"-Infinity"}, "big": 0.1000000000000000055511151231257827, "nested": "x", "mixed": true}
      ],
      "log": [{"n": 1, "r": 5e-324}, {"n": 1, "r": 5e-324}]
    }"#;
    // jsonb writes its parts with spaces, and keys by length: `said` takes the spaces away, and there are no others.
    fs::write(place.path("a.json"), app).unwrap();
    goes_round(&place, &["a.json", "b.db", "pg", "c.db", "d.json"]);
    place.moves("pg", "e.json");
    assert_eq!(all_said(&place.path("e.json")), all_said(&place.path("a.json")));
}

#[test]
fn what_a_round_trip_writes_otherwise_is_the_same_value_and_is_said() {
    let mut place = Place::new();
    place.database = Some(Cluster::shared().unwrap().fresh_database("said").unwrap());
    let app = r#"{"users": [{"id": 1, "at": "2024-02-29T12:00:00Z", "uuid": "0188D9C2-AF00-7FFF-0102-030405060708", "nested": {"bb" : 1, "a": [ 2.50 ]}}]}"#;
    fs::write(place.path("a.json"), app).unwrap();
    let mut whys = Vec::new();
    for pair in ["a.json", "b.db", "pg", "c.db", "d.json"].windows(2) {
        let plan = place.runtime.block_on(place.migration(pair[0], pair[1]).unwrap().plan()).unwrap();
        let columns = plan.tables.iter().flat_map(|table| &table.columns);
        whys.extend(
            columns.map(|column| format!("{} to {}: {}: {}", pair[0], pair[1], column.source, column.why)),
        );
        place.moves(pair[0], pair[1]);
        place.accepts(pair[0], pair[1]);
    }
    let [before, after] = ["a.json", "d.json"].map(|name| all_said(&place.path(name))["users"][0].clone());
    assert_eq!(before["id"], after["id"]);
    assert_eq!(after["at"], "\"2024-02-29 12:00:00+00:00\"");
    assert_eq!(after["uuid"], before["uuid"].to_lowercase());
    assert_eq!(after["nested"], r#"{"a":[2.50],"bb":1}"#);
    insta::assert_snapshot!(whys.join("\n"));
}

/// What a column declared JSON holds comes back as it was, whatever its texts are.
#[test]
fn columns_of_json_come_back_as_they_were() {
    for values in [
        r#"('"a"'), ('"{\"b\": 1}"')"#,
        "('17'), ('-3')",
        "('17'), ('1.5')",
        "('0.5')",
        "('true'), ('false')",
        "('9007199254740993')",
        "('9007199254740993'), ('0.5')",
        "('12345678901234567890123')",
        r#"('1'), ('"1"')"#,
        r#"('"a"'), ('true'), ('1')"#,
        r#"('"a"'), ('[1]')"#,
        r#"('{"a":1,"a":2}'), ('"x"')"#,
    ] {
        let place =
            Place::with_sqlite(&format!("CREATE TABLE t (j JSON TEXT); INSERT INTO t VALUES {values}"));
        place.moves("a.db", "b.json");
        place.moves("b.json", "c.db");
        place.moves("c.db", "d.json");
        same(&place.cells("a.db"), &place.cells("c.db"));
        assert_eq!(all_said(&place.path("b.json")), all_said(&place.path("d.json")), "{values}");
    }
}

#[test]
fn every_type_of_postgresql_has_a_form_in_a_dump() {
    let mut place = Place::new();
    let database = Cluster::shared().unwrap().fresh_database("types").unwrap();
    let sql = "CREATE TABLE t (id int PRIMARY KEY, b boolean, n numeric, m numeric, l numeric, f double precision, j jsonb, u uuid, d date,
            s timestamp, z timestamptz, x bytea, v varchar(5));
        INSERT INTO t VALUES (1, true, 12345678901234567890.123, 'NaN', 0.1000000000000000000001, 'NaN', '{\"a\": 1.50}', '0188d9c2-af00-7fff-0102-030405060708',
            '2024-02-29', '2024-02-29 12:00:00.5', '2024-02-29 12:00:00+02', '\\x00ff', 'ab'),
            (2, false, 'NaN', 2.50, 3, 'Infinity', '17', NULL, 'infinity', NULL, NULL, '', NULL), (3, NULL, 1.0, 'NaN', -7, 1, NULL, NULL, NULL, NULL, NULL, NULL, '')";
    database.psql(sql).unwrap();
    place.database = Some(database);
    place.moves("pg", "a.json");
    let dump = fs::read_to_string(place.path("a.json")).unwrap();
    insta::assert_snapshot!(dump);
    // Read again it is the same dump: numbers that are none, alone and among some of more digits than a double
    // holds, and infinities.
    place.database = Some(Cluster::shared().unwrap().fresh_database("again").unwrap());
    place.moves("a.json", "pg");
    place.moves("pg", "c.json");
    assert_eq!(all_said(&place.path("a.json")), all_said(&place.path("c.json")));
}
