//! A plan that is given back: unedited it says what it said before, and of what an editor took out it says so.
#![expect(clippy::unwrap_used, reason = "tests")]

mod program;

use program::{done, flat, run};
use rusqlite::Connection;
use serde_json::Value;
use std::path::Path;
use switchover_testkit::Cluster;
use tempfile::TempDir;

fn source() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let db = Connection::open(folder.path().join("app.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE parent(id INTEGER PRIMARY KEY, code TEXT DEFAULT 'x', lower_code TEXT AS (lower(code)) STORED, UNIQUE(code));
         CREATE TABLE child(id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent(id), n INTEGER CHECK(n > 0));
         CREATE INDEX by_parent ON child(parent_id);
         CREATE VIEW both AS SELECT c.id FROM child AS c JOIN parent AS p ON p.id = c.parent_id;
         INSERT INTO parent(id, code) VALUES (1, 'a'), (2, 'b');
         INSERT INTO child VALUES (1, 1, 5), (2, 2, 6);",
    )
    .unwrap();
    folder
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Kind, name and fate of each line, in a fixed order.
fn lines(of: &Value) -> Vec<(String, String, String)> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let all = of["outcomes"].as_array().unwrap().iter();
    let mut lines: Vec<_> =
        all.map(|line| (text(line, "kind"), text(line, "name"), text(line, "fate"))).collect();
    lines.sort();
    lines
}

/// The plan, and the report of a run by it after `edit`.
fn by_plan(to: &str, edit: impl Fn(&mut Value)) -> (Value, Value) {
    let folder = source();
    let at = folder.path();
    let stores = ["--from", "sqlite:app.db", "--to", to];
    done(at, &[&["plan", "-o", "plan.json"][..], &stores].concat());
    let plan = read(&at.join("plan.json"));
    let mut edited = plan.clone();
    edit(&mut edited);
    std::fs::write(at.join("edited.json"), edited.to_string()).unwrap();
    let given = ["migrate", "--plan", "edited.json", "--report", "report.json", "--no-backup"];
    done(at, &[&given[..], &stores].concat());
    (plan, read(&at.join("report.json")))
}

#[test]
fn a_plan_that_nobody_edited_says_what_it_said() {
    let database = Cluster::shared().unwrap().fresh_database("given").unwrap();
    for to in [&database.url(), "sqlite:new.db", "json:new.json"] {
        let (plan, report) = by_plan(to, |_| {});
        assert_eq!(lines(&plan), lines(&report), "{to}");
    }
}

#[test]
fn what_an_editor_took_out_is_said_to_be_left_out() {
    let database = Cluster::shared().unwrap().fresh_database("given").unwrap();
    for to in [&database.url(), "sqlite:new.db"] {
        let (plan, report) = by_plan(to, |plan| {
            for table in plan["tables"].as_array_mut().unwrap() {
                for key in ["foreign_keys", "indexes", "uniques", "checks"] {
                    table[key] = Value::Array(Vec::new());
                }
            }
            plan["views"] = Value::Array(Vec::new());
        });
        let changed: Vec<_> =
            lines(&report).into_iter().filter(|line| !lines(&plan).contains(line)).collect();
        let named: Vec<(&str, &str)> =
            changed.iter().map(|line| (line.0.as_str(), line.1.as_str())).collect();
        let gone = [
            ("check", "child: n > 0"),
            ("foreign key", "child(parent_id) → parent"),
            ("index", "by_parent on child"),
            ("unique", "parent(code)"),
            ("view", "both"),
        ];
        assert_eq!(named, gone, "{to}");
        assert!(changed.iter().all(|line| line.2 == "left_out"), "{changed:?}");
    }
}

#[test]
fn a_table_that_was_taken_out_takes_its_keys_and_indexes_along() {
    let (_, report) = by_plan("sqlite:new.db", |plan| {
        plan["tables"].as_array_mut().unwrap().retain(|table| table["source"] != "child");
        plan["views"] = Value::Array(Vec::new());
    });
    let moved: Vec<_> = lines(&report).into_iter().filter(|line| line.2 != "left_out").collect();
    assert!(!moved.is_empty() && moved.iter().all(|line| !line.1.contains("child")), "{moved:?}");
}

#[test]
fn a_key_that_no_plan_has_is_named_with_its_place() {
    let folder = source();
    let stores = ["--from", "sqlite:app.db", "--to", "sqlite:new.db"];
    done(folder.path(), &[&["plan", "-o", "plan.json"][..], &stores].concat());
    let plan = read(&folder.path().join("plan.json"));
    let refused = |edit: fn(&mut Value), saying: &str| {
        let mut plan = plan.clone();
        edit(&mut plan);
        std::fs::write(folder.path().join("edited.json"), plan.to_string()).unwrap();
        let refused = run(folder.path(), &[&["migrate", "--plan", "edited.json"][..], &stores].concat());
        assert!(refused.code == 2 && flat(&refused.err).contains(saying), "{} {}", refused.code, refused.err);
        assert!(!folder.path().join("new.db").exists());
    };
    refused(
        |plan| plan["tables"][0]["columns"][1]["polcy"] = "quarantine".into(),
        "no key tables[0].columns[1].polcy",
    );
    refused(|plan| plan["tables"][0]["index"] = serde_json::json!([1]), "no key tables[0].index");
    refused(|plan| plan["option"] = serde_json::json!({"a": 1}), "did you mean 'options'?");
}

#[test]
fn a_plan_without_a_table_is_refused() {
    let folder = source();
    let stores = ["--from", "sqlite:app.db", "--to", "sqlite:new.db"];
    done(folder.path(), &[&["plan", "-o", "plan.json"][..], &stores].concat());
    let mut plan = read(&folder.path().join("plan.json"));
    plan["tables"] = Value::Array(Vec::new());
    std::fs::write(folder.path().join("edited.json"), plan.to_string()).unwrap();
    let refused = run(folder.path(), &[&["migrate", "--plan", "edited.json"][..], &stores].concat());
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(flat(&refused.err).contains("the plan has no table"), "{}", refused.err);
    assert!(!folder.path().join("new.db").exists());
}

#[test]
fn a_key_that_the_rows_do_not_keep_is_refused_with_its_row() {
    let database = Cluster::shared().unwrap().fresh_database("given").unwrap();
    for to in [&database.url(), "sqlite:new.db"] {
        let folder = source();
        let db = Connection::open(folder.path().join("app.db")).unwrap();
        db.execute("INSERT INTO child VALUES (7, 2, 8)", []).unwrap();
        let stores = ["--from", "sqlite:app.db", "--to", to];
        done(folder.path(), &[&["plan", "-o", "plan.json"][..], &stores].concat());
        let mut plan = read(&folder.path().join("plan.json"));
        let child =
            plan["tables"].as_array_mut().unwrap().iter_mut().find(|table| table["source"] == "child");
        child.unwrap()["primary_key"]["columns"] = serde_json::json!(["parent_id"]);
        std::fs::write(folder.path().join("edited.json"), plan.to_string()).unwrap();
        let refused = run(folder.path(), &[&["migrate", "--plan", "edited.json"][..], &stores].concat());
        let said = flat(&refused.err);
        assert_eq!(refused.code, 1, "{to} {}", refused.err);
        assert!(
            said.contains("its parent_id occurs in an earlier row; the only such row"),
            "{to} {}",
            refused.err
        );
        assert!(said.contains("(table child, row id=7, column parent_id)"), "{to} {}", refused.err);
    }
}

/// Somebody may have edited the first.
#[test]
fn a_plan_does_not_take_the_place_of_an_earlier_one() {
    let folder = source();
    let plan = ["plan", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];
    let name = |out: String| {
        let name = out.lines().find_map(|line| line.trim().strip_prefix("written to "));
        folder.path().join(name.unwrap())
    };
    let first = name(done(folder.path(), &plan));
    std::fs::write(&first, "edited").unwrap();
    let (second, third) = (name(done(folder.path(), &plan)), name(done(folder.path(), &plan)));
    assert_eq!(std::fs::read_to_string(&first).unwrap(), "edited");
    assert!(first != second && second != third && third.exists(), "{first:?} {second:?} {third:?}");
    assert!(read(&second)["tables"].is_array());
}
