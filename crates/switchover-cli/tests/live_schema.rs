//! Live runs into another schema: columns that are new on the target, and columns that only the source has. There and back, nothing of
//! either is lost, and what cannot be followed is refused before anything is written.
#![expect(clippy::unwrap_used, reason = "tests")]

mod engine;
mod program;

use engine::{application, begin, is_same, until, wait_for};
use program::{done, flat, run};
use rusqlite::Connection;
use std::path::Path;
use switchover_testkit::Cluster;

const MAPPING: &str = "[table.member]
to = 'account'
[table.member.column]
plan = { value = \"'free'\", not_null = true, type = 'text' }
initials = { value = \"substr(name, 1, 1) || id\", type = 'text' }
legacy.drop = true
old_hash.drop = true
[table.note.column]
legacy.drop = true
";

/// An application with columns that its next version does without.
fn older(file: &Connection) {
    file.execute_batch(
        "CREATE TABLE member (id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT, legacy, old_hash BLOB DEFAULT x'00');
         CREATE TABLE note (who INTEGER REFERENCES member (id) ON DELETE CASCADE, at TEXT, body TEXT, legacy REAL NOT NULL DEFAULT 0.5,
             PRIMARY KEY (who, at)) WITHOUT ROWID;
         INSERT INTO member VALUES (1, 'a@x', 'ann', 17, x'01'), (2, 'b@x', 'bob', '17', x'02'), (3, 'c@x', 'cy', 1.5, NULL), (4, 'd@x', 'di', NULL, x'04');
         INSERT INTO note VALUES (1, 'mon', 'one', 1.25), (2, 'tue', 'two', 2.5), (4, 'wed', 'four', 4.0)",
    )
    .unwrap();
}

fn shown(connection: &Connection, sql: &str) -> String {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// All that the source holds.
fn source(file: &Connection) -> String {
    shown(
        file,
        "SELECT (SELECT group_concat(id || email || name || quote(legacy) || quote(old_hash), ' ') FROM (SELECT * FROM member ORDER BY id)) || ' / ' ||
            (SELECT group_concat(who || at || body || quote(legacy), ' ') FROM (SELECT * FROM note ORDER BY who, at))",
    )
}

/// What the target is to hold of a source: the new columns computed, the others left.
fn expected(file: &Connection) -> String {
    shown(
        file,
        "SELECT (SELECT group_concat(id || email || name || 'free' || substr(name, 1, 1) || id, ' ') FROM (SELECT * FROM member ORDER BY id)) || ' / ' ||
            (SELECT group_concat(who || at || body, ' ') FROM (SELECT * FROM note ORDER BY who, at))",
    )
}

/// What the target holds, asked by its own SQL.
const THERE: &str = "SELECT (SELECT AGG(id || email || name || plan || initials, ' ') FROM (SELECT * FROM account ORDER BY id) AS a) || ' / ' ||
    (SELECT AGG(who || at || body, ' ') FROM (SELECT * FROM note ORDER BY who, at) AS n)";

/// Forward, cutover, writes in the reverse window, rollback, forward again, and a second time to the end.
fn there_and_back(
    folder: &Path,
    file: &Connection,
    to: &str,
    ask: &dyn Fn() -> String,
    write: &dyn Fn(&str),
) {
    let _engine = begin(folder, &["start", "-c", "map.toml", "--from", "sqlite:app.db", "--to", to]);
    until(folder, is_same);
    assert_eq!(ask(), expected(file));
    file.execute_batch(
        "UPDATE member SET name = 'anna', legacy = 18 WHERE id = 1; UPDATE member SET old_hash = x'0202' WHERE id = 2;
         INSERT INTO member VALUES (5, 'e@x', 'ed', 'five', x'05'); REPLACE INTO member VALUES (6, 'c@x', 'cyd', 6, x'06')",
    )
    .unwrap();
    wait_for(|| ask() == expected(file));
    done(folder, &["cutover", "--when-ready"]);
    until(folder, |live| live["phase"] == "reverse");
    // The new columns are the application's now; the old ones stay where their rows do.
    write("UPDATE account SET plan = 'paid', initials = 'A.' WHERE id = 1");
    write("UPDATE account SET name = 'robert' WHERE id = 2");
    write("INSERT INTO account (id, email, name, plan, initials) VALUES (7, 'g@x', 'gil', 'paid', 'G')");
    write("DELETE FROM account WHERE id = 4");
    write("UPDATE account SET id = 8 WHERE id = 6");
    write("UPDATE note SET body = 'uno' WHERE who = 1");
    // Two rows change places, by a third value between.
    write("UPDATE account SET email = 'z' WHERE id = 1");
    write("UPDATE account SET email = 'a@x' WHERE id = 2");
    write("UPDATE account SET email = 'b@x' WHERE id = 1");
    done(folder, &["rollback", "--when-ready"]);
    assert_eq!(
        source(file),
        "1b@xanna18X'01' 2a@xrobert'17'X'0202' 5e@xed'five'X'05' 7g@xgilNULLX'00' 8c@xcydNULLX'00' / 1monuno1.25 2tuetwo2.5"
    );
    // The source owns the data: the new columns are computed anew, and all is compared.
    wait_for(|| ask() == expected(file));
    until(folder, is_same);
    file.execute_batch("INSERT INTO member (id, email, name) VALUES (9, 'i@x', 'ivy')").unwrap();
    done(folder, &["cutover", "--when-ready"]);
    assert_eq!(ask(), expected(file));
    write("UPDATE account SET plan = 'gold' WHERE id = 9");
    done(folder, &["finish", "--yes"]);
    assert!(ask().ends_with("9i@xivygoldi9 / 1monuno 2tuetwo"), "{}", ask());
    let left = "SELECT group_concat(name) FROM sqlite_schema WHERE name LIKE '\\_switchover%' ESCAPE '\\'";
    assert_eq!(file.query_row(left, [], |row| row.get::<_, Option<String>>(0)).unwrap(), None);
    assert!(source(file).contains("9i@xivyNULLX'00'"), "{}", source(file));
}

#[test]
fn a_file_of_another_schema_there_and_back() {
    let (folder, file) = application();
    let folder = folder.path();
    older(&file);
    std::fs::write(folder.join("map.toml"), MAPPING).unwrap();
    let new = || {
        let new = Connection::open(folder.join("new.db")).unwrap();
        new.execute_batch("PRAGMA foreign_keys = ON").unwrap();
        new
    };
    let ask = || shown(&new(), &THERE.replace("AGG", "group_concat"));
    let write = |sql: &str| new().execute_batch(sql).unwrap();
    there_and_back(folder, &file, "sqlite:new.db", &ask, &write);
}

#[test]
fn a_postgres_schema_of_another_form_there_and_back() {
    let database = Cluster::shared().unwrap().fresh_database("schema").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    older(&file);
    std::fs::write(folder.join("map.toml"), MAPPING).unwrap();
    let ask = || database.psql(&THERE.replace("AGG", "string_agg")).unwrap().trim().to_owned();
    let write = |sql: &str| drop(database.psql(sql).unwrap());
    there_and_back(folder, &file, &database.conninfo(), &ask, &write);
}

#[test]
fn what_cannot_be_followed_or_come_back_is_refused_before_anything_is_written() {
    let (folder, file) = application();
    let folder = folder.path();
    file.execute_batch(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n TEXT);
         CREATE TABLE c (id INTEGER PRIMARY KEY, a TEXT, b TEXT, must TEXT NOT NULL, parent INTEGER REFERENCES p (id), once TEXT UNIQUE,
             said TEXT CHECK (said IS NOT NULL), q INTEGER, CHECK (a <> b), UNIQUE (a, must));
         CREATE TABLE k (a TEXT, b TEXT);
         INSERT INTO c VALUES (1, 'a', 'b', 'm', NULL, 'o', 's', NULL); INSERT INTO k VALUES ('a', 'b')",
    )
    .unwrap();
    let refused = |mapping: &str, code: i32, words: &[&str]| {
        std::fs::write(folder.join("map.toml"), mapping).unwrap();
        let from = ["-c", "map.toml", "--from", "sqlite:app.db", "--to", "sqlite:new.db"];
        for verb in [&["start"][..], &["start", "--dry-run"], &["rehearse"]] {
            let ran = run(folder, &[verb, &from].concat());
            let said = flat(&format!("{} {}", ran.out, ran.err));
            let told = words.iter().all(|word| said.contains(word));
            assert!(ran.code == code && told, "{mapping} {verb:?}: {} {said}", ran.code);
        }
        assert!(!folder.join("new.db").exists(), "{mapping}");
    };
    let own = "the row's own columns alone";
    refused("[table.c.column]\nt = { value = 'random()' }", 2, &["column.t", "another value each time"]);
    refused(
        "[table.c.column]\nt = { value = '(SELECT max(id) FROM p)' }",
        1,
        &["column t", own, "subqueries"],
    );
    refused(
        "[table.c.column]\na = { value = 'upper(a)' }",
        1,
        &["column a", "nothing computes the source's values"],
    );
    refused("[table.c.column]\nb.drop = true", 1, &["column b", "CHECK", "a <> b"]);
    refused("[table.c.column]\nmust.drop = true", 1, &["column must", "refuses NULL and has no default"]);
    refused("[table.c.column]\nparent.drop = true", 1, &["column parent", "refers to p"]);
    refused("[table.c.column]\na.drop = true", 1, &["column a", "(a, must) is unique"]);
    refused("[table.k.column]\na.drop = true", 1, &["column a", "no primary key"]);
    refused(
        "[[table.c.foreign_key]]\ncolumns = ['q']\nparent = 'p'\nparent_columns = ['id']",
        1,
        &["foreign_key", "without their foreign keys being looked at"],
    );
    refused("[table.c.column]\nsaid.drop = true", 1, &["column said", "CHECK", "its default or NULL"]);
    refused("[table.c]\nwhere = 'id > 0'", 1, &["where"]);
    let left = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_switchover%' ESCAPE '\\'";
    assert_eq!(file.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn a_new_column_of_which_nothing_tells_the_type_wants_one() {
    let database = Cluster::shared().unwrap().fresh_database("untold").unwrap();
    let (folder, file) = application();
    let folder = folder.path();
    // The target has what is unique in its own way.
    file.execute_batch(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n TEXT, email TEXT COLLATE NOCASE UNIQUE, a TEXT COLLATE RTRIM, b, UNIQUE (a, b))",
    )
    .unwrap();
    let dry =
        ["start", "--dry-run", "-c", "map.toml", "--from", "sqlite:app.db", "--to", &database.conninfo()];
    std::fs::write(folder.join("map.toml"), "[table.p.column]\nlong = { value = 'length(n)' }").unwrap();
    let refused = run(folder, &dry);
    let said = flat(&refused.out);
    assert!(
        refused.code == 1 && said.contains("nothing tells its type") && said.contains("type ="),
        "{said}"
    );
    std::fs::write(
        folder.join("map.toml"),
        "[table.p.column]\nlong = { value = 'length(n)', type = 'bigint' }",
    )
    .unwrap();
    done(folder, &dry);
}

#[test]
fn a_row_for_which_a_new_column_cannot_be_computed_is_named() {
    let (folder, file) = application();
    let folder = folder.path();
    std::fs::write(folder.join("map.toml"), "[table.t.column]\ny = { value = \"json_extract(x, '$.y')\" }")
        .unwrap();
    file.execute_batch("UPDATE t SET x = '{\"y\": 1}'").unwrap();
    let _engine =
        begin(folder, &["start", "-c", "map.toml", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    file.execute_batch("INSERT INTO t VALUES (3, 'no json')").unwrap();
    let live = until(folder, |live| !live["held"].is_null());
    let held = flat(live["held"].as_str().unwrap());
    for word in ["table t", "id=3", "column y", "json_extract(x, '$.y')", "malformed JSON"] {
        assert!(held.contains(word), "{word}: {held}");
    }
    file.execute_batch("UPDATE t SET x = '{}' WHERE id = 3").unwrap();
    until(folder, |live| live["held"].is_null() && is_same(live));
    done(folder, &["cutover", "--when-ready"]);
    // What the source cannot compute comes back: it has no such column.
    let new = Connection::open(folder.join("new.db")).unwrap();
    new.execute_batch("INSERT INTO t (id, x, y) VALUES (4, 'no json', 'own')").unwrap();
    wait_for(|| file.query_row("SELECT count(*) FROM t WHERE id = 4", [], |row| row.get(0)) == Ok(1));
    until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
}

/// A unique index that the target alone has: where many changes wait, the row that another one takes the place of is missed.
#[test]
fn a_row_that_only_the_source_can_hold_is_missed_on_the_way_there() {
    let (folder, file) = application();
    let folder = folder.path();
    std::fs::write(folder.join("map.toml"), "[[table.t.index]]\ncolumns = ['x']\nunique = true").unwrap();
    let _engine =
        begin(folder, &["start", "-c", "map.toml", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    file.execute_batch(
        "BEGIN; INSERT INTO t VALUES (10, 'two');
         INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 11 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) SELECT i, 'x' || i FROM n; COMMIT",
    )
    .unwrap();
    let live = until(folder, |live| !live["held"].is_null());
    let held = flat(live["held"].as_str().unwrap());
    assert!(held.contains("id=2") && held.contains("made room"), "{held}");
    assert_eq!(run(folder, &["cutover"]).code, 1);
    file.execute_batch("UPDATE t SET x = 'ten' WHERE id = 10; UPDATE t SET x = x WHERE id = 2").unwrap();
    until(folder, |live| live["held"].is_null() && is_same(live));
    done(folder, &["verify", "--live"]);
}

/// What the application adds to a SQLite target that it owns stays there, and takes nothing away from what goes back.
#[test]
fn columns_and_tables_that_the_application_adds_on_the_target_are_let_be() {
    let (folder, file) = application();
    let folder = folder.path();
    let _engine = begin(folder, &["start", "--from", "sqlite:app.db", "--to", "sqlite:new.db"]);
    until(folder, is_same);
    done(folder, &["cutover"]);
    let new = Connection::open(folder.join("new.db")).unwrap();
    new.execute_batch(
        "CREATE TABLE later (id INTEGER PRIMARY KEY); INSERT INTO later VALUES (1); ALTER TABLE t ADD COLUMN mood TEXT DEFAULT 'fine';
         INSERT INTO t VALUES (3, 'three', 'good')",
    )
    .unwrap();
    wait_for(|| file.query_row("SELECT count(*) FROM t WHERE id = 3", [], |row| row.get(0)) == Ok(1));
    until(folder, |live| live["held"].is_null() && live["lag_entries"] == 0);
    done(folder, &["rollback"]);
    let again = run(folder, &["rollback", "--discard-target-changes"]);
    assert!(again.code == 1 && flat(&again.err).contains("owns the data already"), "{}", again.err);
    file.execute_batch("INSERT INTO t VALUES (4, 'four')").unwrap();
    wait_for(|| {
        new.query_row("SELECT mood FROM t WHERE id = 4", [], |row| row.get::<_, String>(0))
            == Ok("fine".into())
    });
    assert_eq!(shown(&new, "SELECT group_concat(id) FROM later"), "1");
}
