//! Schemas that break when SQLite data moves to PostgreSQL, a test a line of the list of hazards: names,
//! views, triggers, virtual tables, foreign keys, the choice of tables.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use support::check;
use switchover_core::Kind;
use switchover_core::plan::Fate;

#[test]
fn identifiers_of_63_bytes_case_reserved_words_quotes_spaces_slashes_unicode() {
    let long = "x".repeat(63);
    check(&format!(
        r#"CREATE TABLE "select"("Group" INTEGER PRIMARY KEY, "a b" TEXT, "q""uote" INT, "sl/ash\back" INT, "ключ" INT, "{long}" INT, "it's" INT, "" INT, "a.b" INT DEFAULT 1);
           CREATE INDEX "my index!" ON "select"("a b", "q""uote");
           CREATE TABLE "😀 table"("user" INT REFERENCES "select"("Group"), "%s" INT, "$1" INT, ":p" INT);
           INSERT INTO "select" VALUES (1, 'v', 2, 3, 4, 5, 6, 7, 8); INSERT INTO "😀 table" VALUES (1, 2, 3, 4)"#
    ).replace("\"\" INT, ", "\"?\" INT, "))
    .moves()
    .shows(&format!(r#"SELECT "Group", "a b", "q""uote", "sl/ash\back", "ключ", "{long}", "it's" FROM "select""#), "1|v|2|3|4|5|6")
    .shows(r#"SELECT "user", "%s", "$1", ":p" FROM "😀 table""#, "1|2|3|4")
    .shows("SELECT count(*) FROM pg_indexes WHERE indexname = 'my index!'", "1");
}

#[test]
fn names_that_differ_by_case_stay_apart() {
    // SQLite itself holds T and t for one table, and so for columns; an index is another kind of name.
    check("CREATE TABLE T(Id INTEGER PRIMARY KEY, NAME TEXT); CREATE INDEX Name ON T(NAME); INSERT INTO T VALUES (1, 'x')")
        .moves()
        .shows("SELECT \"Id\", \"NAME\" FROM \"T\"", "1|x");
}

#[test]
fn collisions_after_truncation_are_found_before_any_ddl() {
    let long = "y".repeat(63);
    check(&format!("CREATE TABLE {long}1(a); CREATE TABLE {long}2(b)")).refuses(&[(
        &format!("{long}1"),
        "",
        "",
        "all become",
    )]);
    check(&format!("CREATE TABLE t({long}1 INT, {long}2 INT)")).refuses(&[("t", "", "", "all become")]);
    // Indexes and constraints are numbered instead: nothing refers to them by name.
    check(&format!(
        "CREATE TABLE t(a INT, b INT, CONSTRAINT {long}1 UNIQUE (a), CONSTRAINT {long}2 UNIQUE (b), CONSTRAINT {long}3 CHECK (a > 0),
            CONSTRAINT {long}4 CHECK (b > 0)); CREATE INDEX {long}5 ON t(a); CREATE INDEX {long}6 ON t(b); INSERT INTO t VALUES (1, 2)"
    ))
    .moves()
    .shows("SELECT count(*) FROM pg_indexes WHERE tablename = 't'", "4");
}

#[test]
fn a_name_of_more_than_63_bytes_is_cut_at_a_character() {
    let long = format!("{}é", "z".repeat(62));
    check(&format!("CREATE TABLE \"{long}\"(\"{long}\" INT); INSERT INTO \"{long}\" VALUES (1)"))
        .moves()
        .shows(&format!("SELECT \"{0}\" FROM \"{0}\"", "z".repeat(62)), "1")
        .fate("table", &long, Fate::Changed, "named");
}

#[test]
fn names_of_an_index_a_constraint_and_a_table_meet() {
    check(
        "CREATE TABLE t(id INT PRIMARY KEY, a INT UNIQUE, b INT CONSTRAINT t_pkey UNIQUE);
         CREATE TABLE t_a_key(x INT); CREATE INDEX u_pkey ON t(b); CREATE TABLE u(id INT PRIMARY KEY); CREATE VIEW t_id AS SELECT id FROM t;
         INSERT INTO t VALUES (1, 2, 3); INSERT INTO u VALUES (1)",
    )
    .moves()
    .shows("SELECT count(*) FROM pg_constraint WHERE conrelid = 't'::regclass AND contype IN ('p', 'u')", "3");
}

#[test]
fn snake_names() {
    check(
        "CREATE TABLE CustomerOrder(OrderId INTEGER PRIMARY KEY, \"Ship To\" TEXT, HTTPPort INT, CustomerId INT REFERENCES Customer(CustomerId));
         CREATE TABLE Customer(CustomerId INTEGER PRIMARY KEY, FullName TEXT AS ('x' || CustomerId)); CREATE INDEX IxShip ON CustomerOrder(\"Ship To\");
         CREATE VIEW OrderPorts AS SELECT HTTPPort FROM CustomerOrder WHERE HTTPPort > 1;
         INSERT INTO Customer VALUES (1); INSERT INTO CustomerOrder VALUES (5, 'x', 80, 1)",
    )
    .snake()
    .moves()
    .shows("SELECT order_id, ship_to, http_port, customer_id FROM customer_order", "5|x|80|1")
    .shows("SELECT count(*) FROM pg_indexes WHERE indexname = 'ix_ship'", "1");
    check("CREATE TABLE UserName(a); CREATE TABLE user_name(a)").snake().refuses(&[(
        "UserName",
        "",
        "",
        "all become",
    )]);
    check("CREATE TABLE t(UserName, user_name)").snake().refuses(&[("t", "", "", "all become")]);
}

#[test]
fn views_triggers_and_what_becomes_of_them() {
    check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v INT); CREATE VIEW good AS SELECT id, v FROM t WHERE v > 1;
         CREATE VIEW bad AS SELECT strftime('%Y', v) AS y FROM t; CREATE VIEW broken AS SELECT x FROM gone;
         CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET v = 0; END; INSERT INTO t VALUES (1, 1), (2, 2); UPDATE t SET v = id",
    )
    .moves()
    .shows("SELECT * FROM good", "2|2")
    .fate("view", "bad", Fate::LeftOut, "strftime")
    .fate("view", "broken", Fate::LeftOut, "")
    .fate("trigger", "tr on t", Fate::LeftOut, "");
}

#[test]
fn a_view_over_texts_that_are_bytes_or_escaped_shows_them_and_computes_nothing_of_them() {
    for policy in ["bytea", "escape"] {
        check(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'é'), (2, 'a' || char(0)), (3, NULL);
             CREATE VIEW lengths AS SELECT id, length(name) AS n FROM t; CREATE VIEW found AS SELECT id FROM t WHERE name = 'é';
             CREATE VIEW shown AS SELECT id, name FROM t WHERE name IS NOT NULL",
        )
        .mapped(&format!("[table.t.column]\nname.policy = '{policy}'"))
        .moves()
        .fate("view", "lengths", Fate::LeftOut, "another value in SQLite")
        .fate("view", "found", Fate::LeftOut, "another value in SQLite")
        .shows("SELECT id FROM shown ORDER BY id", "1\n2");
    }
}

#[test]
fn many_views_are_made_side_by_side() {
    let views: String =
        (0..24).map(|at| format!("CREATE VIEW v{at} AS SELECT id FROM u WHERE id > {at};")).collect();
    check(&format!("CREATE TABLE u(id INTEGER PRIMARY KEY); INSERT INTO u VALUES (1), (5); {views}"))
        .moves()
        .shows("SELECT count(*) FROM pg_views WHERE schemaname = 'public'", "24")
        .shows("SELECT count(*) FROM v3", "1");
}

#[test]
fn fts5_and_other_virtual_tables() {
    let moved = check(
        "CREATE VIRTUAL TABLE docs USING fts5(title, body); INSERT INTO docs VALUES ('a', 'hello world'), ('b', 'x');
         CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1); INSERT INTO boxes VALUES (7, 0.5, 1.5);
         CREATE TABLE plain(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO plain VALUES (1, 'external');
         CREATE VIRTUAL TABLE idx USING fts5(body, content='plain', content_rowid='id'); INSERT INTO idx(idx) VALUES ('rebuild');
         CREATE VIRTUAL TABLE bare USING fts5(body, content=''); INSERT INTO bare(rowid, body) VALUES (1, 'gone');",
    )
    .moves();
    moved
        .shows("SELECT * FROM docs ORDER BY 1", "a|hello world\nb|x")
        .shows("SELECT * FROM boxes", "7|0.5|1.5")
        .shows("SELECT body FROM idx", "external")
        .fate("table", "docs", Fate::Changed, "fts5")
        .fate("shadow table", "docs_data", Fate::LeftOut, "")
        .fate("shadow table", "boxes_node", Fate::LeftOut, "");
}

#[test]
fn foreign_keys_with_actions_cycles_self_references_composite_and_deferrable() {
    check(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, b INT REFERENCES b(id) DEFERRABLE INITIALLY DEFERRED, up INT REFERENCES a ON DELETE CASCADE);
         CREATE TABLE b(id INTEGER PRIMARY KEY, a INT CONSTRAINT back REFERENCES a(id) ON DELETE SET NULL ON UPDATE CASCADE);
         CREATE TABLE p(x INT, y TEXT, PRIMARY KEY (x, y)); CREATE TABLE c(y TEXT, x INT, FOREIGN KEY (x, y) REFERENCES p ON DELETE RESTRICT);
         CREATE TABLE u(code TEXT UNIQUE); CREATE TABLE v(code TEXT REFERENCES U(CODE) ON DELETE SET DEFAULT);
         INSERT INTO a VALUES (1, 2, 1), (2, NULL, 1); INSERT INTO b VALUES (2, 1), (3, NULL); INSERT INTO p VALUES (1, 'k');
         INSERT INTO c VALUES ('k', 1), (NULL, 5), ('zz', NULL); INSERT INTO u VALUES ('q'), (NULL); INSERT INTO v VALUES ('q'), (NULL);",
    )
    .moves()
    .shows(
        "SELECT conrelid::regclass::text t, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY t, 2",
        "a|FOREIGN KEY (b) REFERENCES b(id) DEFERRABLE INITIALLY DEFERRED\n\
         a|FOREIGN KEY (up) REFERENCES a(id) ON DELETE CASCADE\n\
         b|FOREIGN KEY (a) REFERENCES a(id) ON UPDATE CASCADE ON DELETE SET NULL\n\
         c|FOREIGN KEY (x, y) REFERENCES p(x, y) ON DELETE RESTRICT\n\
         v|FOREIGN KEY (code) REFERENCES u(code) ON DELETE SET DEFAULT",
    )
    .shows("SELECT conname FROM pg_constraint WHERE conname = 'back'", "back");
}

#[test]
fn a_foreign_key_without_a_parent_or_a_key_is_left_out_with_its_reason() {
    check(
        "CREATE TABLE c(a INT REFERENCES gone(id), b INT REFERENCES p(v), d TEXT REFERENCES q(k), e TEXT REFERENCES p(id));
         CREATE TABLE p(id INTEGER PRIMARY KEY, v INT); CREATE TABLE q(k TEXT COLLATE NOCASE PRIMARY KEY);
         INSERT INTO c VALUES (1, 2, 'KEY', '1'); INSERT INTO p VALUES (1, 2); INSERT INTO q VALUES ('key')",
    )
    .moves()
    .fate("foreign key", "c(a)", Fate::LeftOut, "gone is not moved")
    .fate("foreign key", "c(b)", Fate::LeftOut, "no unique key")
    .fate("foreign key", "c(d)", Fate::LeftOut, "NOCASE")
    .fate("foreign key", "c(e)", Fate::LeftOut, "types")
    .shows("SELECT count(*) FROM pg_constraint WHERE contype = 'f'", "0");
}

#[test]
fn tables_and_exclude() {
    let sql = "CREATE TABLE chat_a(id INTEGER PRIMARY KEY); CREATE TABLE chat_b(a INT REFERENCES chat_a(id)); CREATE TABLE other(x);
        INSERT INTO chat_a VALUES (1); INSERT INTO chat_b VALUES (1)";
    check(sql)
        .options(|options| options.tables = vec!["chat_*".into()])
        .moves()
        .shows(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_%'",
            "2",
        )
        .fate("table", "other", Fate::LeftOut, "--tables");
    check(sql)
        .options(|options| options.exclude = vec!["chat_a".into()])
        .moves()
        .fate("table", "chat_a", Fate::LeftOut, "--exclude")
        .fate("foreign key", "chat_b(a)", Fate::LeftOut, "not moved");
    let error = check(sql)
        .options(|options| options.exclude = vec!["chats".into()])
        .migrate()
        .expect_err("no such table");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.why().contains("matches no table"), "{error:?}");
}

#[test]
fn names_that_the_tool_keeps_for_itself() {
    check("CREATE TABLE _switchover_run(a)").refuses(&[("_switchover_run", "", "", "kept for the tool")]);
}

#[test]
fn a_target_that_is_not_empty() {
    let case = check("CREATE TABLE t(a)");
    case.database.psql("CREATE TABLE mine(a int); INSERT INTO mine VALUES (1)").unwrap();
    let error = case.migrate().expect_err("it is not empty");
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(case.database.psql("SELECT a FROM mine").unwrap(), "1");
}
