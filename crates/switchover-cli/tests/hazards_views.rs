//! Views that break when SQLite data moves to PostgreSQL: each is either left out with a line, or shows there the rows
//! that it shows on the source, in their order where it has one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use rusqlite::types::ValueRef;
use support::{Moved, check};
use switchover_core::plan::Fate;

const TABLES: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v INT, w REAL, s TEXT, n TEXT COLLATE NOCASE, b BOOLEAN, x BLOB, d NUMERIC(8,2),
        at DATETIME, j JSON, g TEXT AS (lower(s)), h TEXT AS (g || '!'), \"odd name\" INT);
     INSERT INTO t VALUES (1, 7, 1.5, 'Ab', 'K', 1, x'00ff', 1.25, '2024-01-01 10:00:00', '{}', 3), (2, -3, -0.5, 'zz ', 'k', 0, x'', 2, NULL, NULL, NULL),
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 4), (4, 7, 2.0, '10', 'é', 1, x'41', -0.5, '2024-02-01 00:00:00', '[1]', 3);
     CREATE TABLE u(id INTEGER PRIMARY KEY, t INT REFERENCES t(id), s TEXT); INSERT INTO u VALUES (1, 1, 'Ab'), (2, 1, NULL), (3, 4, 'ab');
     CREATE TABLE k(id INTEGER PRIMARY KEY, u INT, label TEXT); INSERT INTO k VALUES (1, 1, 'one'), (2, 3, 'three'), (3, 9, 'none');";

/// Cells of a view as text, on the source: a number as it is written, a blob as the target shows it.
fn on_source(moved: &Moved, view: &str) -> Vec<Vec<String>> {
    let source = moved.case.source();
    let mut statement = source.prepare(&format!("SELECT * FROM \"{view}\"")).unwrap();
    let width = statement.column_count();
    let cell = |value: ValueRef<'_>| match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(i) => i.to_string(),
        ValueRef::Real(f) => f.to_string(),
        ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        ValueRef::Blob(bytes) => {
            format!("\\x{}", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
    };
    let rows =
        statement.query_map([], |row| (0..width).map(|at| Ok(cell(row.get_ref(at)?))).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The same on the target, where a column of truth values is one of 0 and 1.
fn on_target(moved: &Moved, view: &str) -> Vec<Vec<String>> {
    let types = moved
        .case
        .database
        .rows(&format!(
            "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = '\"{view}\"'::regclass AND attnum > 0 ORDER BY attnum"
        ))
        .unwrap();
    let rows = moved
        .case
        .database
        .rows(&format!("SELECT * FROM \"{view}\""))
        .unwrap_or_else(|e| panic!("{view}: {e}"));
    let cell = |(cell, ty): (Option<String>, &Vec<Option<String>>)| match (cell, ty[0].as_deref()) {
        (None, _) => "NULL".to_owned(),
        (Some(truth), Some("boolean")) => i32::from(truth == "t").to_string(),
        (Some(number), Some("numeric" | "double precision")) => number.parse::<f64>().unwrap().to_string(),
        (Some(text), _) => text,
    };
    rows.into_iter().map(|row| row.into_iter().zip(&types).map(cell).collect()).collect()
}

/// Moves the tables with these views, and compares what they show.
#[track_caller]
fn shows_the_same(views: &[(&str, &str)]) -> Moved {
    let made: String = views.iter().map(|(name, query)| format!("CREATE VIEW {name} AS {query};")).collect();
    let moved = check(&format!("{TABLES} {made}")).moves();
    for (name, query) in views {
        moved.fate("view", name, Fate::Moved, "");
        let (mut source, mut target) = (on_source(&moved, name), on_target(&moved, name));
        if !query.contains("ORDER BY") {
            source.sort();
            target.sort();
        }
        assert_eq!(source, target, "{name}: {query}");
    }
    moved
}

#[test]
fn a_truth_that_a_view_computes_is_a_number_and_a_column_of_truths_is_one() {
    shows_the_same(&[
        ("big", "SELECT id, v > 5 AS big, b, b AND v > 5 AS both, NOT b AS other, coalesce(b, 0) AS known FROM t"),
        ("counted", "SELECT v > 5 AS big, count(*) AS n FROM t GROUP BY v > 5"),
        ("kinds", "SELECT s IN ('Ab', '10') AS found, s LIKE 'a%' AS starts, v IS NULL AS none, w BETWEEN 0 AND 1 AS small FROM t"),
    ])
    .shows("SELECT id FROM big WHERE big = 1 AND b ORDER BY id", "1\n4")
    .shows("SELECT n FROM counted WHERE big = 1", "2");
}

#[test]
fn a_join_whose_on_names_a_later_table() {
    shows_the_same(&[
        ("later", "SELECT t.id AS t, k.label FROM t JOIN u ON u.id = k.u JOIN k ON t.id = u.t"),
        (
            "commas",
            "SELECT t.id AS t, u.id AS u, k.id AS k FROM t JOIN u ON u.t = t.id AND k.id < 3, k WHERE k.u = u.id",
        ),
        ("beside", "SELECT t.id AS t, k.label FROM t JOIN u ON u.id = k.u LEFT JOIN k ON k.id = t.id"),
    ]);
    check(&format!(
        "{TABLES} CREATE VIEW outer_later AS SELECT t.id AS t, k.label FROM t LEFT JOIN u ON u.id = k.u JOIN k ON t.id = k.id"
    ))
    .moves()
    .fate("view", "outer_later", Fate::LeftOut, "names k, which is joined after it");
}

#[test]
fn a_view_of_groups_is_not_ordered_by_what_it_does_not_group_by() {
    check(&format!(
        "{TABLES} CREATE VIEW grouped AS SELECT v, count(*) AS n FROM t GROUP BY v ORDER BY s; CREATE VIEW one AS SELECT id FROM t ORDER BY count(*);
         CREATE VIEW fine AS SELECT v, count(*) AS n FROM t GROUP BY v ORDER BY count(*), v DESC"
    ))
    .moves()
    .fate("view", "grouped", Fate::LeftOut, "does not group by")
    .fate("view", "one", Fate::LeftOut, "does not group by")
    .shows("SELECT * FROM fine", "-3|1\nNULL|1\n7|2");
}

#[test]
fn columns_of_a_view_that_share_what_a_name_holds_are_found_by_the_plan() {
    let (long, wide) = ("x".repeat(62), "é".repeat(32));
    let moved = check(&format!(
        "{TABLES} CREATE VIEW alike AS SELECT id AS {long}_1, v AS {long}_2 FROM t; CREATE VIEW wide AS SELECT id AS {wide}, v AS {wide}1 FROM t;
         CREATE VIEW twice AS SELECT id AS a, v AS a FROM t; CREATE VIEW fine AS SELECT id AS {long}1, v AS {long}_ FROM t;
         CREATE VIEW one AS SELECT id AS {long}_1, v FROM t"
    ))
    .moves();
    let why = "a name ends at 63 bytes";
    moved.fate("view", "alike", Fate::LeftOut, why).fate("view", "wide", Fate::LeftOut, why);
    moved.fate("view", "fine", Fate::Moved, "").fate("view", "one", Fate::Moved, "");
    moved.shows(&format!("SELECT {long}_1 FROM one WHERE v = -3"), "2");
}

/// SQLite looks for an output of that name before it takes double quotes for those of a text.
#[test]
fn a_text_in_double_quotes_that_is_an_outputs_name_is_no_text() {
    let quoted = r#"SELECT id, lower(s) AS "kind" FROM t WHERE "KIND" = 'ab'"#;
    let joined = r#"SELECT t.id AS "t id", k.label FROM t JOIN k ON "t id" = k.u"#;
    check(&format!("{TABLES} CREATE VIEW quoted AS {quoted}; CREATE VIEW joined AS {joined};"))
        .moves()
        .fate("view", "quoted", Fate::LeftOut, "that of an output of the view")
        .fate("view", "joined", Fate::LeftOut, "that of an output of the view");
    shows_the_same(&[("texts", r#"SELECT id, lower(s) AS low FROM t WHERE lower(s) = "ab""#)]);
}
