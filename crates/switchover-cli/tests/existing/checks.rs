//! What a target's own checks, its domains' checks, its partitions and its foreign keys to tables that stay as they are refuse.
//!
//! Every row that such a rule would refuse is named before anything is written; what is left loads.

use crate::app::App;
use crate::common::run;

const SOURCE: &str = "
    CREATE TABLE item (id INTEGER PRIMARY KEY, price INT, was INT, code TEXT, mail TEXT, extra TEXT, label TEXT, old INT);
    INSERT INTO item VALUES
        (1, 10, 20, 'ab-1', 'a@x', '{\"a\": 1}', 'one', 1),
        (2, -1, 20, 'ab-2', 'b@x', '{}', 'two', 1),
        (3, 30, 20, 'ab-3', 'c@x', '{}', 'three', 1),
        (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (5, 5, 9, 'nope', 'd', '[1]', 'VALUE', 1),
        (6, 6, 9, 'ab-6', 'x@y', '{}', 'six', -5),
        (7, 7, 9, 'ab-7', 'much too long@x', '{}', 'seven', 1),
        (8, 26, 99, 'ab-8', 'e@x', '{}', 'eight', 1);
    CREATE TABLE event (id INTEGER PRIMARY KEY, at TEXT, kind TEXT);
    INSERT INTO event VALUES (1, '2024-03-01', 'a'), (2, '2025-03-01', 'a'), (3, '2026-03-01', 'a'), (4, '2025-04-01', 'c');";

const TARGET: &str = r#"
    CREATE DOMAIN short AS varchar(20) CONSTRAINT short_enough CHECK (length(VALUE) < 12);
    CREATE DOMAIN mail AS short CHECK (VALUE ~ '@' AND VALUE <> 'VALUE');
    CREATE DOMAIN object AS jsonb CHECK (jsonb_typeof(VALUE) = 'object');
    CREATE TABLE item (id int PRIMARY KEY, price int CONSTRAINT positive CHECK (price >= 0), was int,
        code text CHECK (code ~ '^[a-z]{2}-\d$'), mail mail, extra object, label text, old int,
        tax int NOT NULL DEFAULT 19, total int GENERATED ALWAYS AS (price * 2) STORED,
        CONSTRAINT cheaper CHECK (price < was), CONSTRAINT taxed CHECK (tax > 0 AND label <> 'VALUE'),
        CONSTRAINT bounded CHECK (total < 50), CONSTRAINT loose CHECK (label <> 'one') NO INHERIT);
    ALTER TABLE item DROP CONSTRAINT loose, ADD CONSTRAINT from_now_on CHECK (old > 0) NOT VALID;
    CREATE TABLE event (id int, at date, kind text) PARTITION BY RANGE (at);
    CREATE TABLE event_24 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE event_25 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (kind);
    CREATE TABLE event_25_a PARTITION OF event_25 FOR VALUES IN ('a', 'b');"#;

#[test]
fn rows_that_a_rule_does_not_allow_are_all_named_before_anything_is_written() {
    let app = App::new(SOURCE, TARGET);
    insta::assert_snapshot!(app.refusals(&[]));
    let before = app.dump();
    run(&mut app.migrate(&["--policy", "quarantine"])).exits(0);
    app.shows("SELECT string_agg(id::text, ' ' ORDER BY id) FROM item", "1 4");
    app.shows("SELECT string_agg(id::text, ' ' ORDER BY id) FROM event", "1 2");
    run(&mut app.on_both("verify", &["--policy", "quarantine"])).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before);
    // Without the rows that no rule allows, all the others load.
    app.source("DELETE FROM item WHERE id NOT IN (1, 4); DELETE FROM event WHERE id > 2;");
    run(&mut app.migrate(&[])).exits(0);
    app.shows("SELECT count(*) FROM item", "2");
}

#[test]
fn one_row_is_held_against_rules_too_and_a_default_partition_takes_all() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x');
         CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO p VALUES (1, 'x'), (2, NULL);",
        "CREATE TABLE t (id int PRIMARY KEY, v text CHECK (v::int > 0));
         CREATE TABLE p (id int, v text) PARTITION BY LIST (v);
         CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a'); CREATE TABLE p_rest PARTITION OF p DEFAULT;",
    );
    let refused = app.refusals(&[]);
    assert!(
        refused.starts_with("t | id=1 | v | 'x' | the target's \"t_v_check\" (CHECK (((v)::integer > 0))) does not take it: invalid input syntax for type integer: \"x\""),
        "{refused}"
    );
    assert_eq!(refused.lines().count(), 1, "{refused}");
    app.source("UPDATE t SET v = '7'");
    run(&mut app.migrate(&[])).exits(0);
    app.shows("SELECT count(*) FROM p_rest", "2");
}

#[test]
fn of_many_rows_each_is_found_and_none_beside_it() {
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)";
    let app = App::new(
        &format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT); {many} INSERT INTO t SELECT i, i FROM n; UPDATE t SET v = -v WHERE id % 397 = 0;"
        ),
        "CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v > 0))",
    );
    let refused = app.refusals(&[]);
    let keys: Vec<&str> = refused.lines().filter_map(|line| line.split(" | ").nth(1)).collect();
    assert_eq!(keys, ["id=397", "id=794", "id=1191", "id=1588", "id=1985"], "{refused}");
}

#[test]
fn a_rule_that_cannot_be_asked_before_is_a_line_of_the_plan() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b');",
        "CREATE TABLE t (id int PRIMARY KEY, v text, n serial, CONSTRAINT numbered CHECK (n < 100));
         ALTER TABLE t ADD CONSTRAINT whole CHECK (t IS NOT NULL);",
    );
    let plan = run(&mut app.on_both("plan", &[])).exits(0);
    let text = plan.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for (rule, why) in [("numbered", "the target numbers \"n\" by itself"), ("whole", "missing FROM-clause")]
    {
        assert!(text.contains(&format!("{rule} of t")) && text.contains(why), "{rule}: {plan}");
    }
    let before = app.dump();
    run(&mut app.migrate(&[])).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    app.source("UPDATE t SET v = NULL WHERE id = 2");
    let ran = run(&mut app.migrate(&[]));
    assert_ne!(ran.code, Some(0));
    ran.says("whole");
    assert_eq!(app.dump(), before, "the run is taken back");
}

#[test]
fn rows_without_a_parent_in_a_table_that_stays_as_it_is_are_named() {
    let app = App::owned(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, role TEXT, a INT, b TEXT, c INT);
         INSERT INTO t VALUES (1, 'Admin', 1, 'x', 1), (2, 'nobody', NULL, 'x', NULL), (3, NULL, 2, 'x', NULL), (4, 'guest', 1, NULL, NULL), (5, 'guest', 1, 'y', NULL), (6, NULL, NULL, NULL, 7);
         CREATE TABLE role (name TEXT);",
        "CREATE TABLE role (name text PRIMARY KEY); INSERT INTO role VALUES ('Admin'), ('guest');
         CREATE TABLE pair (a int, b text COLLATE \"C\", UNIQUE (a, b)); INSERT INTO pair VALUES (1, 'x'), (1, 'y');
         CREATE TABLE hidden (id int PRIMARY KEY); INSERT INTO hidden VALUES (1);
         CREATE TABLE t (id int PRIMARY KEY, role varchar(9) CONSTRAINT of_role REFERENCES role, a int, b varchar(9), c int CONSTRAINT of_hidden REFERENCES hidden,
            CONSTRAINT of_pair FOREIGN KEY (a, b) REFERENCES pair (a, b) MATCH FULL);",
    );
    let excluded = ["--exclude", "role"];
    let refused = app.refusals(&excluded);
    let lines: Vec<String> =
        refused.lines().map(|line| line.split(" | ").take(5).collect::<Vec<_>>().join(" | ")).collect();
    let gone = |key: &str| {
        format!("its parent by the target's \"{key}\" is not there, and the run does not bring it")
    };
    for (at, line) in [
        ("id=6 | c | 7", "of_hidden"),
        ("id=2 | a, b | NULL, 'x'", "of_pair"),
        ("id=3 | a, b | 2, 'x'", "of_pair"),
        ("id=4 | a, b | 1, NULL", "of_pair"),
        ("id=2 | role | 'nobody'", "of_role"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(lines[at].starts_with(&format!("t | {} | {}", line.0, gone(line.1))), "{at}: {refused}");
    }
    assert_eq!(lines.len(), 5, "{refused}");
    // A table that the role may not read cannot be asked.
    app.psql("ALTER TABLE hidden OWNER TO CURRENT_USER");
    let plan = run(app.on_both("plan", &excluded).args(["--policy", "quarantine"])).exits(0);
    let text = plan.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("of_hidden of t") && text.contains("permission denied"), "{plan}");
    app.source("UPDATE t SET c = NULL WHERE id = 6");
    run(app.migrate(&excluded).args(["--policy", "quarantine"])).exits(0);
    app.shows("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t", "1 5 6");
    app.drop_owner();
}
