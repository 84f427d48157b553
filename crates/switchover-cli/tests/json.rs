//! JSON into PostgreSQL: what a dump becomes, what it may not be, and that the outcome is what the dump says.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use support::{check_json, text};
use switchover::report::Verdict;
use switchover_connectors::json::config::JsonConfig;
use switchover_connectors::json::source::JsonSource;
use switchover_core::Kind;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{ReadRequest, ReadTable, Source};
use switchover_core::plan::Fate;
use switchover_core::schema::Locator;
use switchover_core::value::{OwnedValue, Rows};

fn dump(json: &str) -> support::Case {
    check_json(&[("dump.json", json.as_bytes())])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

const APP: &str = r#"{
  "users": [
    {"id": "0188d9c2-af00-7fff-0102-030405060708", "name": "Ada \u00e9\ud83d\ude00", "admin": true, "age": 36,
     "score": 0.30000000000000004, "joined": "2024-02-29T12:00:00Z", "tags": ["a", {"b" : 1.50}], "big": 12345678901234567890123},
    {"id": "0188d9c2-af00-7fff-0102-030405060709", "name": "", "admin": false, "age": null,
     "score": -0.0, "joined": "2024-03-01T00:00:00Z", "tags": {}, "big": 1, "born": "1815-12-10"}
  ],
  "workspaces": {
    "w1": {"title": "one", "mixed": 1},
    "w\"2": {"title": "two", "mixed": "1", "id": "w\"2"}
  },
  "empty": [],
  "log": [{"n": 1}, {"n": 1}]
}"#;

#[test]
fn types_and_tables_follow_the_evidence() {
    let moved = dump(APP).moves();
    moved
        .types(
            "users",
            "id uuid, name text, admin boolean, age bigint, score double precision, joined timestamp with time zone, \
             tags jsonb, big jsonb, born date",
        )
        .types("workspaces", "id text, title text, mixed jsonb")
        .types("log", "n bigint")
        .shows(
            "SELECT name, admin, age, score, tags, big, born FROM users ORDER BY id",
            "Ada é😀|t|36|0.30000000000000004|[\"a\", {\"b\": 1.50}]|12345678901234567890123|NULL\n|f|NULL|-0|{}|1|1815-12-10",
        )
        .shows("SELECT id, title, mixed FROM workspaces ORDER BY title", "w1|one|1\nw\"2|two|\"1\"")
        .shows("SELECT count(*) FROM log", "2")
        .rejects("INSERT INTO users(id) SELECT id FROM users", "duplicate key")
        .fate("table", "empty", Fate::LeftOut, "no row with a key")
        .fate("absent key", "users.born", Fate::LeftOut, "1 of 2 rows")
        .fate("primary key", "log", Fate::LeftOut, "has none");
}

#[test]
fn every_form_of_a_dump_holds_the_same() {
    let rows = [r#"{"id":1,"a":"x"}"#, r#"{"id":2,"a":"y"}"#];
    let lines = rows.join("\n");
    let list = format!("[{}]", rows.join(" , "));
    let object = format!("\u{feff}{{\"t\":{list}}}\n");
    let keyed = format!("{{\"1\":{}, \"2\":{}}}", rows[0], rows[1]);
    let forms: [(&str, Vec<u8>); 8] = [
        ("dump.json", object.clone().into()),
        ("dump.json.gz", gzip(object.as_bytes())),
        ("t.jsonl", lines.clone().into()),
        ("t.ndjson.gz", [gzip(lines.as_bytes()), gzip(b"\n")].concat()),
        ("folder/t.jsonl", format!("\n{lines}\n\n").into()),
        ("folder/t.json", list.clone().into()),
        ("folder/t.json", keyed.into()),
        ("folder/t.json.gz", gzip(list.as_bytes())),
    ];
    for (name, content) in forms {
        let mut files: Vec<(&str, &[u8])> = vec![(name, &content)];
        files.extend(name.contains('/').then_some(("folder/notes.txt", &b""[..])));
        let moved = check_json(&files).moves();
        moved.types("t", "id bigint, a text").shows("SELECT * FROM t ORDER BY id", "1|x\n2|y");
        if name.contains('/') {
            moved.fate("file", "notes.txt", Fate::LeftOut, "no file that ends in");
        }
    }
}

/// An application's dump says more than its tables; what holds no rows is left by name, or refused.
#[test]
fn what_is_no_table_is_left_out_where_that_is_asked() {
    let json = r#"{"version": 3, "users":[{"id":1},{"id":2}], "meta":{"at":"now","by":{"id":"x"}},
        "roles":["admin",{"id":5}], "note":"a \"text\" with ] and }", "none":null, "bare":[{},{}], "last":{"id":{"a":1}}}"#;
    let others = ["version", "meta", "roles", "note", "none", "bare"];
    for left in &others {
        let exclude = others.iter().filter(|name| *name != left).map(|name| (*name).to_owned()).collect();
        let case = dump(json).options(|options| options.exclude = exclude);
        let error = case.migrate().expect_err("what is no row is refused");
        assert_eq!((error.kind(), &*error.subject().table), (Kind::Refused, *left), "{error:?}");
        assert!(error.what_to_do().ends_with("or leave it with --exclude"), "{error:?}");
        assert!(*left == "bare" || error.why().contains(&format!("$.{left}")), "{error:?}");
    }
    let error = dump(json).migrate().expect_err("all of them are named at once");
    let why = error.why().split_once("nor can be read as rows: ").expect("others").1;
    assert_eq!(
        format!("{}, {why}", error.subject().table),
        "version, meta, roles, note, none, bare",
        "{error:?}"
    );
    let moved = dump(json).options(|options| options.exclude = others.map(str::to_owned).to_vec()).moves();
    moved.shows("SELECT id FROM users ORDER BY id", "1\n2").shows("SELECT id, a FROM last", "id|1");
    for name in others {
        moved.fate("table", name, Fate::LeftOut, "a pattern of --exclude leaves it out");
    }
    let only = dump(json).options(|options| options.tables = vec!["users".into()]).moves();
    only.fate("table", "meta", Fate::LeftOut, "no pattern of --tables takes it");
}

#[test]
fn repeated_ids_are_refused_with_their_place() {
    let json = "{\"users\":[{\"id\":1},\n {\"id\":2},{\"id\":1},\n{\"id\":1}]}";
    dump(json).refuses(&[
        (
            "users",
            "row=3 (line 2, column 11, $.users[2])",
            "id",
            "its id occurs in an earlier row; one of 2 such rows",
        ),
        ("users", "row=4 (line 3, column 1, $.users[3])", "id", "its id occurs in an earlier row"),
    ]);
    let keyed = r#"{"users":{"a":{"n":1},"b":{"n":2},"a":{"n":3}}}"#;
    dump(keyed).refuses(&[(
        "users",
        "row=3 (line 1, column 39, $.users.a)",
        "id",
        "its id occurs in an earlier row",
    )]);
}

#[test]
fn repeated_ids_go_to_quarantine_whole() {
    let moved =
        dump(r#"{"users":[{"id":1,"a":"x"},{"id":2,"a":"y"},{"id":1,"a":"z"}]}"#).quarantine().quarantines();
    moved
        .shows("SELECT id, a FROM users ORDER BY id", "1|x\n2|y")
        .holds(&[("users", 3, "a", text("z"), true), ("users", 3, "id", OwnedValue::Int(1), true)]);
    // Two values of one row, which counts once.
    let users = &moved.report.tables[0];
    assert_eq!((users.quarantined, users.quarantined_rows, users.exceptions.len()), (1, 1, 1));
    assert_eq!(moved.report.in_quarantine().as_deref(), Some("1 row in quarantine"));
}

#[test]
fn values_that_the_target_cannot_hold_are_named_with_their_place() {
    let json =
        "{\"t\":[{\"id\":1,\"a\":\"fine\"},\n{\"id\":2,\"a\":\"x\\u0000\"},{\"id\":3,\"a\":\"\\ud800\"}]}";
    dump(json).refuses(&[
        ("t", "row=2 (line 2, column 1, $.t[1])", "a", "a NUL character"),
        ("t", "row=3 (line 2, column 24, $.t[2])", "a", "not valid UTF-8"),
    ]);
    // SQLite holds such a text, and no other program may read it: that has a line.
    let file = dump(json).into_file().moves();
    file.shows("SELECT hex(a), typeof(a) FROM t WHERE id = 3", "EDA080|text").fate(
        "column",
        "t.a",
        Fate::Changed,
        "1 texts are no valid UTF-8, as one with a lone surrogate: the target has their bytes as they are",
    );
    let moved = dump(json).quarantine().quarantines();
    moved.shows("SELECT id, a FROM t ORDER BY id", "1|fine\n2|NULL\n3|NULL").holds(&[
        ("t", 2, "a", text("x\0"), false),
        ("t", 3, "a", OwnedValue::TextBytes(b"\xed\xa0\x80".to_vec()), false),
    ]);
}

const MESSAGES_OF_USERS: &str = "[[table.messages.foreign_key]]
    columns = ['user']
    parent = 'users'";

#[test]
fn orphans_of_a_key_that_was_given_are_found() {
    let json = r#"{"messages":[{"id":1,"user":"b"},{"id":2,"user":"c"},{"id":3,"user":null}],"users":[{"id":"a"},{"id":"b"}]}"#;
    dump(json).mapped(MESSAGES_OF_USERS).refuses(&[(
        "messages",
        "row=2 (line 1, column 34, $.messages[1])",
        "user",
        "it has no parent in users; the only such orphan",
    )]);
    let moved = dump(json).mapped(MESSAGES_OF_USERS).quarantine().quarantines();
    moved
        .shows("SELECT * FROM messages ORDER BY id", "1|b\n2|NULL\n3|NULL")
        .rejects("INSERT INTO messages VALUES (4, 'z')", "foreign key")
        .holds(&[("messages", 2, "user", text("c"), false)]);
}

/// The error that a dump ends with, and an unchanged target.
fn fault(name: &str, file: &str, content: &[u8]) -> String {
    let case = check_json(&[(file, content)]);
    let error = case.migrate().expect_err(name);
    let tables = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
    assert_eq!(case.database.psql(tables).unwrap(), "0", "{name}: the target is as it was");
    let folder = case.path().parent().unwrap().display().to_string();
    let hint = if error.what_to_do().is_empty() { "NO HINT" } else { error.what_to_do() };
    format!("## {name}: {:?}, exit code {}\n{error}\nhint: {hint}\n", error.kind(), error.kind().exit_code())
        .replace(&folder, "[FOLDER]")
}

#[test]
fn a_key_that_can_name_no_column_is_refused() {
    dump(r#"{"a":[{"id":1,"x\u0000":1,"":2}]}"#)
        .refuses(&[("a", "", "x\0", "empty or holds a NUL"), ("a", "", "", "empty or holds a NUL")]);
}

#[test]
fn of_two_mistakes_the_first_is_told() {
    // Nothing between them, and more than is read at a time.
    for between in ["", &format!("{{\"id\":2,\"a\":\"{}\"}},\n", "x".repeat(1 << 20))] {
        for (first, second) in [("{\"id\":01}", "{\"id\":3]"), ("{\"id\":3]", "{\"id\":01}")] {
            let text = format!("{{\"t\":[\n{first},\n{between}{second}]}}");
            let said = fault("two mistakes", "dump.json", text.as_bytes());
            assert!(said.contains("line 2, column "), "{first} {second}: {said}");
        }
    }
}

#[test]
fn bad_dumps() {
    let deep = format!("{{\"t\":[{{\"id\":1,\"a\":{}1{}}}]}}", "[".repeat(200), "]".repeat(200));
    let long = format!("{{\"t\":[{{\"id\":1}},\n{{\"id\":2,\"a\":\"{}\"}}]}}", "x".repeat(29 << 20));
    let wide: String = (0..10_001).map(|n| format!(",\"k{n}\":1")).collect();
    let wide = format!("{{\"t\":[{{\"id\":1{wide}}}]}}");
    let packed = gzip(APP.as_bytes());
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: &[(&str, &str, &[u8])] = &[
        ("an empty file", "dump.json", b""),
        ("only white space", "dump.json", b" \n "),
        ("no rows at all", "dump.json", br#"{"users":[],"messages":{}}"#),
        ("rows without any key", "dump.json", br#"{"users":[{},{}],"log":[{"id":1}]}"#),
        ("a list at the top", "dump.json", br#"[{"id":1}]"#),
        ("a number at the top", "dump.json", b"17"),
        ("another format", "dump.json", b"BEGIN TRANSACTION;\nCREATE TABLE t(a);\n"),
        ("a member that is no table", "dump.json", b"{\"users\":[{\"id\":1}],\n \"version\": 3}"),
        ("a row that is no object", "dump.json", br#"{"users":[{"id":1}, "x"]}"#),
        ("a keyed row that is no object", "dump.json", br#"{"settings":{"theme":"dark"}}"#),
        ("a null row", "dump.json", br#"{"users":[null]}"#),
        ("a member twice", "dump.json", br#"{"users":[{"id":1}],"users":[{"id":2}]}"#),
        ("a key twice in a row", "dump.json", b"{\"users\":[{\"id\":1,\n\"a\":1,\"\\u0061\":2}]}"),
        ("a key that differs from the id", "dump.json", br#"{"users":{"u1":{"id":"u2"}}}"#),
        ("a key that is the id in another form", "dump.json", br#"{"users":{"07":{"id":7}}}"#),
        ("cut in a string", "dump.json", br#"{"users":[{"id":1,"name":"Ad"#),
        ("cut in a row", "dump.json", br#"{"users":[{"id":1,"#),
        ("cut between rows", "dump.json", b"{\"users\":[{\"id\":1},\n"),
        ("cut behind a table", "dump.json", br#"{"users":[{"id":1}]"#),
        ("a closing quote missing", "dump.json", b"{\"users\":[{\"id\":1,\"name\":\"Ada},\n{\"id\":2}]}"),
        ("brackets that do not match", "dump.json", b"{\"users\":[{\"id\":1,\n\"tags\":[1,2}]}"),
        ("a comma too many in a row", "dump.json", br#"{"users":[{"id":1,}]}"#),
        ("a comma too many between rows", "dump.json", br#"{"users":[{"id":1},]}"#),
        ("a comma missing", "dump.json", br#"{"users":[{"id":1}{"id":2}]}"#),
        ("a colon missing", "dump.json", br#"{"users" [{"id":1}]}"#),
        ("a table's name without quotes", "dump.json", br#"{users:[{"id":1}]}"#),
        ("single quotes", "dump.json", br#"{"users":[{'id':1}]}"#),
        ("NaN", "dump.json", b"{\"users\":[{\"id\":1,\n  \"x\": NaN}]}"),
        ("a leading zero", "dump.json", br#"{"users":[{"id":01}]}"#),
        ("a control character", "dump.json", b"{\"users\":[{\"id\":\"a\tb\"}]}"),
        ("an unknown escape", "dump.json", br#"{"users":[{"id":"\x41"}]}"#),
        ("a lone surrogate in a key", "dump.json", br#"{"users":[{"\ud800":1}]}"#),
        ("bytes that are not UTF-8", "dump.json", b"{\"users\":[{\"id\":1},\n{\"id\":2,\"name\":\"\xff\"}]}"),
        ("UTF-16", "dump.json", &utf16),
        ("text behind the end", "dump.json", b"{\"users\":[{\"id\":1}]}\nx"),
        ("a second value behind the end", "dump.json", b"{\"users\":[{\"id\":1}]}\n{}"),
        ("nested 200 levels deep", "dump.json", deep.as_bytes()),
        ("a value of 29 MiB", "dump.json", long.as_bytes()),
        ("more keys than a table has columns", "dump.json", wide.as_bytes()),
        ("gzip that is cut off", "dump.json.gz", &packed[..packed.len() / 2]),
        ("gzip that is damaged", "dump.json.gz", &[&packed[..packed.len() - 6], b"abcdef"].concat()),
        ("gzip that begins damaged", "dump.json.gz", &[&packed[..2], b"abcdefghijkl"].concat()),
        ("gzip and more behind it", "dump.json.gz", &[&packed[..], b"\n"].concat()),
        ("no gzip", "dump.json.gz", APP.as_bytes()),
        ("gzip by another name", "dump.json", &packed),
        ("an empty file for gzip", "dump.json.gz", b""),
        ("one byte of gzip", "dump.json.gz", b"\x1f"),
        ("a list in JSON Lines", "users.jsonl", b"{\"id\":1}\n[2]\n"),
        ("two values on a line", "users.jsonl", b"{\"id\":1} {\"id\":2}\n"),
        ("a line cut off", "users.jsonl", b"{\"id\":1}\n{\"id\":"),
        ("an array cut off in a folder", "dump/users.json", br#"[{"id":1}"#),
        ("no JSON in a folder", "dump/users.csv", b"id\n1\n"),
    ];
    let mut found: Vec<String> =
        cases.iter().map(|(name, file, content)| fault(name, file, content)).collect();
    let twice = check_json(&[("dump/users.json", b"[]"), ("dump/users.jsonl.gz", &gzip(b"{}"))]);
    found.push(format!("## a table in two files\n{}\n", twice.migrate().expect_err("two files")));
    let folder = twice.path().parent().unwrap().display().to_string();
    std::fs::remove_dir_all(twice.path()).unwrap();
    found.push(format!("## no file\n{}\n", twice.migrate().expect_err("no file")));
    insta::assert_snapshot!(found.join("\n").replace(&folder, "[FOLDER]"));
}

#[test]
fn a_file_that_changes_is_refused() {
    let case = dump(APP);
    let plan = case.plan();
    let other = APP.replace("\"one\"", "\"two\"");
    std::fs::write(case.path(), &other).unwrap();
    let error = case.migrate_by(plan).expect_err("another content");
    assert!(error.kind() == Kind::Changed && error.why().contains("content changed"), "{error:?}");
    assert!(!error.what_to_do().contains("`switchover resume` goes on"), "it would fail again: {error:?}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = JsonSource::new(JsonConfig::from_path(case.path()));
    let snapshot = runtime.block_on(source.snapshot()).unwrap();
    let catalog = runtime.block_on(snapshot.catalog()).unwrap();
    let table = catalog.table("users").unwrap();
    let request = ReadRequest {
        table: Arc::new(ReadTable {
            name: table.name.clone(),
            columns: table.columns.iter().map(|column| column.name.clone()).collect(),
            locator: table.locator.clone(),
        }),
        range: KeyRange::default(),
        budget_bytes: 1,
        rows_max: ReadRequest::ANY_ROWS,
        time_max: ReadRequest::ANY_TIME,
    };
    runtime.block_on(snapshot.read(request.clone(), Rows::default())).unwrap();
    std::fs::write(case.path(), other.replace("users", "users ")).unwrap();
    let error = runtime.block_on(snapshot.read(request, Rows::default())).expect_err("it changed");
    assert!(error.kind() == Kind::Changed && error.why().contains("while it was read"), "{error:?}");
    assert_eq!(runtime.block_on(snapshot.catalog()).expect_err("it changed").kind(), Kind::Changed);
}

#[test]
fn a_run_that_stopped_goes_on_with_the_same_dump_only() {
    let rows: Vec<String> =
        (1..=500).map(|id| format!("{{\"id\":{id},\"a\":\"{}\"}}", "y".repeat(50))).collect();
    let json = format!("{{\"t\":[{}]}}", rows.join(","));
    let case = dump(&json);
    assert_eq!(case.migrate_and_stop().expect_err("it stops").kind(), Kind::Interrupted);
    let copied: u64 = case.database.psql("SELECT count(*) FROM t").unwrap().parse().unwrap();
    assert!((1..500).contains(&copied), "{copied}");
    // The last row, which was not copied, and nothing that the schema shows.
    std::fs::write(case.path(), json.replace("{\"id\":500,\"a\":\"y", "{\"id\":500,\"a\":\"z")).unwrap();
    let error = case.resume().expect_err("another dump");
    assert!(error.kind() == Kind::Changed && error.why().contains("content changed"), "{error:?}");
    std::fs::write(case.path(), json).unwrap();
    assert_eq!(case.resume().unwrap().verdict, Verdict::Same);
    assert_eq!(case.database.psql("SELECT count(*), sum(id) FROM t").unwrap(), "500\t125250");
}

#[test]
fn rows_are_reached_from_anywhere() {
    // Rows of several sizes, so that marks lie within tables, batches end anywhere, and a long row stands between.
    let rows: Vec<String> = (1..=3000)
        .map(|id| {
            format!("{{\"id\":{id}, \"a\":\"{}\"}}", "x".repeat(if id == 1500 { 3 << 20 } else { id % 97 }))
        })
        .collect();
    let keyed: Vec<String> =
        rows.iter().enumerate().map(|(n, row)| format!("\"{}\":\n{row}", n + 1)).collect();
    let json = format!(
        "{{\"other\":[{{\"b\":1}}],\"list\":[{}],\"keyed\":{{{}}}}}",
        rows.join(",\n"),
        keyed.join(",")
    );
    let case = dump(&json);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = JsonSource::new(JsonConfig::from_path(case.path()));
    let snapshot = runtime.block_on(source.snapshot()).unwrap();
    for name in ["list", "keyed"] {
        let table = Arc::new(ReadTable {
            name: name.into(),
            columns: vec!["a".into(), "id".into()],
            locator: Locator::RowId("row".into()),
        });
        assert_eq!(runtime.block_on(snapshot.count(name)).unwrap(), 3000);
        let at = |row: i64| Some(vec![OwnedValue::Int(row)]);
        for row in [3000, 1, 1501, 1499, 1500, 2999] {
            let values = runtime.block_on(snapshot.fetch(&table, &at(row).unwrap())).unwrap().unwrap();
            assert_eq!(values[1], OwnedValue::Int(row), "{name}");
        }
        assert_eq!(runtime.block_on(snapshot.fetch(&table, &at(3001).unwrap())).unwrap(), None);
        for (after, upto, budget, want) in [
            (None, None, usize::MAX, 3000),
            (at(1499), at(1501), 1, 1),
            (at(7), at(2000), usize::MAX, 1993),
            (at(2998), None, 1 << 20, 2),
        ] {
            let first = after.as_ref().map_or(1, |after| match after[0] {
                OwnedValue::Int(row) => row + 1,
                _ => 0,
            });
            let range = KeyRange { after, upto };
            let request = ReadRequest {
                table: Arc::clone(&table),
                range,
                budget_bytes: budget,
                rows_max: ReadRequest::ANY_ROWS,
                time_max: ReadRequest::ANY_TIME,
            };
            let batch = runtime.block_on(snapshot.read(request, Rows::default())).unwrap();
            assert_eq!((batch.rows.len(), batch.done), (want, want > 1), "{name} {first}");
            assert_eq!(batch.rows.row(0).locator(), vec![OwnedValue::Int(first)], "{name}");
            assert_eq!(batch.last, at(first + want as i64 - 1));
        }
    }
}

#[test]
fn the_backup_is_the_file_itself_and_checked() {
    let case =
        check_json(&[("folder/a.jsonl", b"{\"id\":1}\n"), ("folder/b.json.gz", &gzip(b"[{\"id\":2}]"))]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (folder, file) = (case.path().to_owned(), case.path().join("a.jsonl"));
    let to = case.path().parent().unwrap().join("backups");
    std::fs::create_dir(&to).unwrap();
    let back_up =
        |path: &Path| runtime.block_on(JsonSource::new(JsonConfig::from_path(path)).backup(&to, "run"));
    let made = back_up(&file).unwrap();
    assert_eq!(std::fs::read(&made.path).unwrap(), b"{\"id\":1}\n");
    assert_eq!((made.bytes, made.blake3.clone()), (9, blake3_of(b"{\"id\":1}\n")));
    // What is there already is checked, and found to be damaged.
    assert_eq!(back_up(&file).unwrap(), made);
    std::fs::write(&made.path, b"{\"id\":2}\n").unwrap();
    assert_eq!(back_up(&file).expect_err("damaged").kind(), Kind::Corrupt);
    back_up(&folder).unwrap();
    for name in ["a.jsonl", "b.json.gz"] {
        assert_eq!(
            std::fs::read(to.join(format!("run-{name}"))).unwrap(),
            std::fs::read(folder.join(name)).unwrap()
        );
        assert!(to.join(format!("run-{name}.json")).exists());
    }
}

fn blake3_of(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), bytes).unwrap();
    switchover_connectors::sidecar::hash_file(&folder.path().join("x")).unwrap().1
}
