//! Where the target's own schema sets limits: what is decided before anything is written, and what only its
//! server can say, by which a run ends and is taken back.

use crate::app::App;
use crate::common::run;

#[test]
fn a_row_that_meets_another_one_in_something_unique_is_named_before_anything_is_written() {
    let app = App::new(
        "CREATE TABLE role (id INTEGER PRIMARY KEY, name TEXT, code TEXT, rank INT);
         INSERT INTO role VALUES (1, 'admin', 'a', 1), (2, 'guest', 'g', 9), (3, 'system', NULL, NULL), (4, 'other', 'o', 4);",
        "CREATE TABLE role (id int PRIMARY KEY, name varchar(20) NOT NULL UNIQUE, code char(3), rank int);
         CREATE UNIQUE INDEX role_code_rank ON role (code, rank);
         INSERT INTO role VALUES (1, 'admin', 'a', 1), (7, 'system', NULL, NULL), (8, 'eight', 'g', 9), (9, 'nine', NULL, NULL);",
    );
    insta::assert_snapshot!(app.refusals(&["--on-conflict", "keep"]));
    // Letters of either case are one to some keys.
    app.psql("CREATE UNIQUE INDEX any_name ON role (lower(name::text)); UPDATE role SET name = 'OTHER' WHERE id = 9");
    let either = "role | id=4 | name | 'other' | a row of the target's own that stays keeps it out of \"any_name\" (btree (lower((name)::text)))";
    let refused = app.refusals(&["--on-conflict", "keep"]);
    assert!(refused.contains(either), "{refused}");
    app.psql("DROP INDEX any_name");
    // What gives way meets nobody; what stays does.
    let replaced = app.refusals(&["--on-conflict", "replace"]);
    assert_eq!(replaced.lines().count(), 2, "{replaced}");
    app.psql("DELETE FROM role WHERE id IN (7, 8)");
    run(&mut app.migrate(&["--on-conflict", "replace"])).exits(0);
    app.shows("SELECT count(*) FROM role", "5");
    run(&mut app.verb("rollback", &[])).exits(0);
    app.shows("SELECT id FROM role ORDER BY id", "1\n9");
}

#[test]
fn rows_that_the_targets_own_keys_take_for_one_are_named_before_anything_is_written() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, mail TEXT COLLATE NOCASE UNIQUE, nick TEXT, code TEXT, a INT, b INT, UNIQUE (a));
         INSERT INTO t VALUES (1, 'x', 'p@q', 'Ada', 'c', 1, 1), (2, 'y', 'r@q', 'ada', 'C', 2, 1), (3, 'x', 's@q', 'ADA', 'd', 3, 1), (4, 'z', NULL, 'É', 'É', 4, 1),
            (5, 'w', NULL, 'f', NULL, 5, 1), (6, NULL, NULL, NULL, NULL, 6, 1), (7, NULL, NULL, NULL, NULL, 7, 1);
         CREATE TABLE loose (id INT, v TEXT); INSERT INTO loose VALUES (1, 'a'), (1, 'b'), (2, 'c');",
        "CREATE EXTENSION citext;
         CREATE TABLE t (id int PRIMARY KEY, name text UNIQUE, mail citext UNIQUE, nick varchar(9), \"code\" citext, a int, b int);
         CREATE UNIQUE INDEX one_nick ON t (lower(nick)); CREATE UNIQUE INDEX one_code ON t (\"code\", b);
         CREATE UNIQUE INDEX of_source ON t (a, b); CREATE UNIQUE INDEX mail_again ON t (lower(mail::text));
         CREATE UNIQUE INDEX partial ON t (b) WHERE a > 6; CREATE UNIQUE INDEX other ON t (upper(name));
         CREATE TABLE loose (id int PRIMARY KEY, v text);",
    );
    insta::assert_snapshot!(app.refusals(&[]));
    run(&mut app.migrate(&["--policy", "quarantine"])).exits(0);
    app.shows("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t", "1 4 5 6 7");
    app.shows("SELECT id, v FROM loose ORDER BY id", "1|a\n2|c");
    run(&mut app.on_both("verify", &["--policy", "quarantine"])).exits(0);
}

#[test]
fn arrays_and_addresses_are_what_the_server_reads_back() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, i TEXT, l TEXT, v TEXT, w TEXT, a TEXT);
         INSERT INTO t VALUES (1, '[1, -32768, null]', '[2147483647]', '[9223372036854775807, -9223372036854775808]', '[\"abc\", null, \"\", \"é\\\"\"]', '[\"any length\"]', '10.0.0.1'),
            (2, '[]', '[]', '[]', '[]', '[]', '192.168.0.0/16'), (3, NULL, NULL, NULL, NULL, NULL, '2001:db8::1'), (4, ' [ 7 ] ', '[1]', '[1]', '[\"x\"]', '[]', '::ffff:1.2.3.4/120');",
        "CREATE DOMAIN address AS inet CHECK (family(VALUE) > 0);
         CREATE TABLE t (id int PRIMARY KEY, s smallint[], i int[], l bigint[], v varchar(3)[], w varchar[], a address);",
    );
    let before = app.dump();
    for rebuild in [&[][..], &["--rebuild"]] {
        run(&mut app.migrate(rebuild)).exits(0);
        app.shows(
            "SELECT s, i, l, v, w, a FROM t ORDER BY id",
            "{1,-32768,NULL}|{2147483647}|{9223372036854775807,-9223372036854775808}|{abc,NULL,\"\",\"é\\\"\"}|{\"any length\"}|10.0.0.1\n\
             {}|{}|{}|{}|{}|192.168.0.0/16\n|||||2001:db8::1\n{7}|{1}|{1}|{x}|{}|::ffff:1.2.3.4/120",
        );
        run(&mut app.on_both("verify", rebuild)).exits(0);
        let own = app.psql("SELECT format('s = %L, i = %L, l = %L, v = %L, w = %L, a = %L', s, i, l, v, w, a) FROM t WHERE id = 1");
        for (column, other) in [
            ("s", "'{1}'"),
            ("i", "'[2:2]={1}'"),
            ("l", "NULL"),
            ("v", "'{{a},{b}}'"),
            ("w", "'{any}'"),
            ("a", "'::1/127'"),
        ] {
            app.psql(&format!("UPDATE t SET {column} = {other} WHERE id = 1"));
            run(&mut app.on_both("verify", rebuild)).exits(1);
            app.psql(&format!("UPDATE t SET {own} WHERE id = 1"));
        }
        run(&mut app.on_both("verify", rebuild)).exits(0);
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before);
    }
    app.source(
        "DELETE FROM t; INSERT INTO t VALUES (1, '[32768]', '[1.5]', '{1}', '[\"four\"]', '[1]', '10.0.0.1/32'), (2, 7, '\"1\"', '[[1]]', 'x', '[\"\\u0000\"]', 'localhost');",
    );
    insta::assert_snapshot!(app.refusals(&[]));
}

#[test]
fn spans_networks_and_lists_are_what_the_server_reads_back() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, span, net TEXT, card TEXT, yes TEXT, reals TEXT, sums TEXT, ids TEXT, seen TEXT, read TEXT);
         INSERT INTO t VALUES (1, '1 year 2 mons -3 days 04:05:06.789', '10.0.0.0/8', '08:00:2b:01:02:ff', '[true, null, false]', '[0.1, -1.5e300, null]', '[1.50, 99.99]',
                '[\"0188d9c2-af00-7fff-0102-030405060708\", null]', '[\"2024-01-01T02:00:00+02:00\", null]', '[\"2024-01-01 00:00:00.123\"]'),
            (2, 'P1DT1S', '10.0.0.1/32', '00:00:00:00:00:00', '[]', '[]', '[]', '[]', '[]', '[]'), (3, '1 day, 0:00:01', '2001:db8::/32', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
            (4, NULL, NULL, NULL, NULL, '[5]', '[-7]', NULL, NULL, NULL);",
        "CREATE TABLE t (id int PRIMARY KEY, span interval, net cidr, card macaddr, yes boolean[], reals double precision[], sums numeric(6,2)[],
            ids uuid[], seen timestamptz[], read timestamp(3)[]);",
    );
    let before = app.dump();
    for rebuild in [&[][..], &["--rebuild"]] {
        run(&mut app.migrate(rebuild)).exits(0);
        app.shows(
            "SELECT span, net, card, yes, reals, sums, ids, seen[1] AT TIME ZONE 'UTC', seen[2], read FROM t ORDER BY id",
            "1 year 2 mons -3 days +04:05:06.789|10.0.0.0/8|08:00:2b:01:02:ff|{t,NULL,f}|{0.1,-1.5e+300,NULL}|{1.50,99.99}|{0188d9c2-af00-7fff-0102-030405060708,NULL}|2024-01-01 00:00:00||{\"2024-01-01 00:00:00.123\"}\n\
             1 day 00:00:01|10.0.0.1/32|00:00:00:00:00:00|{}|{}|{}|{}|||{}\n1 day 00:00:01|2001:db8::/32||||||||\n||||{5}|{-7.00}||||",
        );
        run(&mut app.on_both("verify", rebuild)).exits(0);
        let own = app.psql("SELECT format('span = %L, net = %L, card = %L, yes = %L, reals = %L, sums = %L, ids = %L, seen = %L, read = %L', span, net, card, yes, reals, sums, ids, seen, read) FROM t WHERE id = 1");
        for (column, other) in [
            ("span", "'1 year 2 mons -2 days -19:54:53.211'"),
            ("net", "'10.0.0.0/9'"),
            ("card", "NULL"),
            ("yes", "'{t,f,f}'"),
            ("reals", "'{0.1,NaN,NULL}'"),
            ("reals", "'{0.10000000000000002,-1.5e300,NULL}'"),
            ("sums", "'{1.51,99.99}'"),
            ("sums", "'{NaN,99.99}'"),
            ("ids", "'[2:3]={0188d9c2-af00-7fff-0102-030405060708,NULL}'"),
            ("seen", "'{2024-01-01 00:00:00.000001+00,NULL}'"),
            ("seen", "'{infinity,NULL}'"),
            ("read", "'{{2024-01-01 00:00:00.123}}'"),
        ] {
            app.psql(&format!("UPDATE t SET {column} = {other} WHERE id = 1"));
            run(&mut app.on_both("verify", rebuild)).exits(1);
            app.psql(&format!("UPDATE t SET {own} WHERE id = 1"));
        }
        run(&mut app.on_both("verify", rebuild)).exits(0);
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before);
    }
    // What a number counts is said, as for times.
    app.source("UPDATE t SET span = 90000000 WHERE id = 1");
    let refused = app.refusals(&[]);
    assert!(refused.contains("t | id=1 | span | 90000000 | a number in a column of spans of time, and nothing says what it counts"), "{refused}");
    run(&mut app.migrate(&["--epoch", "micros"])).exits(0);
    app.shows("SELECT span FROM t WHERE id = 1", "00:01:30");
    run(&mut app.verb("rollback", &[])).exits(0);
    app.source(
        "DELETE FROM t; INSERT INTO t VALUES (1, 'a while', '10.0.0.1/8', '08-00-2b-01-02-ff', '[1]', '[0.30000000000000000001]', '[1.234]', '[\"x\"]', '[\"2024-01-01 00:00:00\"]', '[\"2024-01-01 00:00:00.1234\"]'),
            (2, 1.5, '10.0.0.0', 'x', 'yes', '[\"1\"]', '{}', '[\"0188D9C2-AF00-7FFF-0102-030405060708\"]', '[1]', '[null, \"soon\"]');",
    );
    insta::assert_snapshot!(app.refusals(&[]));
}

#[test]
fn types_that_no_value_is_written_into_are_refused_by_name() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT, d TEXT, e TEXT, f TEXT); INSERT INTO t VALUES (1, '1.50', '[1,2)', 'x', '1 day', 'x', 'MiXed');",
        "CREATE EXTENSION citext; CREATE TYPE pair AS (x int, y int);
         CREATE TABLE t (id int PRIMARY KEY, a money, b int4range, c tsrange[], d interval day, e pair, f citext UNIQUE);",
    );
    insta::assert_snapshot!(app.refusals(&[]));
    // A text without regard to case keeps the case that it has.
    app.psql("ALTER TABLE t DROP a, DROP b, DROP c, DROP d, DROP e");
    app.source("ALTER TABLE t DROP a; ALTER TABLE t DROP b; ALTER TABLE t DROP c; ALTER TABLE t DROP d; ALTER TABLE t DROP e;");
    run(&mut app.migrate(&[])).exits(0);
    app.shows("SELECT f FROM t WHERE f = 'mixed'", "MiXed");
    app.psql("UPDATE t SET f = 'mixed'");
    run(&mut app.on_both("verify", &[])).exits(1);
}

#[test]
fn keys_of_several_columns_are_kept_and_their_orphans_named() {
    let app = App::new(
        "CREATE TABLE b (x INT, y TEXT, PRIMARY KEY (x, y)); CREATE TABLE a (id INTEGER PRIMARY KEY, y TEXT, x INT);
         INSERT INTO b VALUES (1, 'p'), (1, 'q'); INSERT INTO a VALUES (1, 'p', 1), (2, 'q', NULL), (3, 'r', 1);",
        "CREATE TABLE b (y varchar(3), x smallint, PRIMARY KEY (y, x));
         CREATE TABLE a (id int PRIMARY KEY, x smallint, y varchar(3), FOREIGN KEY (x, y) REFERENCES b (x, y) MATCH SIMPLE ON DELETE SET NULL (x));",
    );
    let refused = app.refusals(&[]);
    assert!(refused.contains("a | id=3") && refused.contains("no parent in b"), "{refused}");
    let before = app.dump();
    for rebuild in [&["--policy", "quarantine"][..], &["--policy", "quarantine", "--rebuild"]] {
        run(&mut app.migrate(rebuild)).exits(0);
        app.shows("SELECT id, x, y FROM a ORDER BY id", "1|1|p\n2||q\n3||");
        app.shows(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'",
            "FOREIGN KEY (x, y) REFERENCES b(x, y) ON DELETE SET NULL (x)",
        );
        run(&mut app.on_both("verify", rebuild)).exits(0);
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before);
    }
}

#[test]
fn a_mapping_leads_into_tables_that_are_there() {
    let app = App::new(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, first TEXT, last TEXT, born TEXT, gone INT); CREATE TABLE note (id INTEGER PRIMARY KEY, person INT REFERENCES people, text TEXT);
         INSERT INTO people VALUES (1, 'Ada', 'L', '1815-12-10', 0), (2, 'Bo', 'M', NULL, 0), (3, 'Cy', 'N', NULL, 1); INSERT INTO note VALUES (1, 1, 'a'), (2, 2, 'b');",
        "CREATE TABLE users (id int PRIMARY KEY, name varchar(20) NOT NULL, born date, note text DEFAULT 'none');
         CREATE TABLE note (id serial PRIMARY KEY, author_id int NOT NULL REFERENCES users, text text);
         INSERT INTO users VALUES (2, 'seeded', NULL), (9, 'stays', NULL);",
    );
    let mapping = "into = \"existing\"\n[table.people]\nto = \"users\"\nwhere = \"gone = 0\"\n[table.people.column.name]\nvalue = \"first || ' ' || last\"
        [table.people.column.first]\ndrop = true\n[table.people.column.last]\ndrop = true\n[table.people.column.gone]\ndrop = true\n[table.note.column.person]\nto = \"author_id\"\n";
    std::fs::write(app.folder.path().join("switchover.toml"), mapping).expect("a mapping");
    let before = app.dump();
    for (who, kept) in [
        ("replace", "1|Ada L|1815-12-10|none\n2|Bo M||none\n9|stays||none"),
        ("keep", "1|Ada L|1815-12-10|none\n2|seeded||none\n9|stays||none"),
    ] {
        let said = ["--on-conflict", who];
        run(&mut app.migrate(&said)).exits(0);
        app.shows("SELECT * FROM users ORDER BY id", kept);
        app.shows("SELECT id, author_id, text FROM note ORDER BY id", "1|1|a\n2|2|b");
        run(&mut app.on_both("verify", &said)).exits(0);
        app.psql("UPDATE users SET name = 'x' WHERE id = 1");
        run(&mut app.on_both("verify", &said)).exits(1);
        run(&mut app.verb("rollback", &["--discard-target-changes"])).exits(0);
        assert_eq!(app.dump(), before);
    }
    // A type is the target's, and a column that is not there is no place for a value.
    std::fs::write(
        app.folder.path().join("switchover.toml"),
        format!(
            "{mapping}[table.people.column.born]\ntype = \"text\"\n[table.note.column.text]\nto = \"body\"\n"
        ),
    )
    .expect("a mapping");
    let refused = app.refusals(&["--on-conflict", "keep"]);
    assert!(refused.contains("the mapping asks for text, and the target's column is date"), "{refused}");
    assert!(refused.contains("note |  | text") && refused.contains("has no such column"), "{refused}");
}

#[test]
fn a_verification_after_a_cleanup_says_what_it_can_no_longer_prove() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two');",
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (2, 'seeded'), (9, 'nine');",
    );
    let said = ["--on-conflict", "replace"];
    run(&mut app.migrate(&said)).exits(0);
    run(&mut app.verb("cleanup", &["--yes"])).exits(0);
    run(&mut app.on_both("verify", &said)).exits(2).says("no longer on record").says("cleaned up");
    // Without rows that stay there is nothing to remember.
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one');",
        "CREATE TABLE t (id int PRIMARY KEY, v text);",
    );
    run(&mut app.migrate(&[])).exits(0);
    run(&mut app.verb("cleanup", &["--yes"])).exits(0);
    run(&mut app.on_both("verify", &[])).exits(0);
    app.psql("UPDATE t SET v = 'two'");
    run(&mut app.on_both("verify", &[])).exits(1);
}

#[test]
fn the_doctor_looks_at_the_tables_that_are_there() {
    let source = "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);";
    let app = App::new(source, "SELECT 1");
    let says = |code: i32, words: &str| {
        let ran = run(&mut app.on_both("doctor", &[])).exits(code);
        let out = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.contains(words), "{ran}");
    };
    says(1, "holds no table -- run the application's migrations on the target first");
    app.psql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE role (id int); INSERT INTO role VALUES (1)");
    says(0, "holds 2 tables of the application's own, 1 of them with rows");
    app.psql(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER bell BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    );
    says(0, "\"t\": its trigger bell would run for each row");
    run(&mut app.verb("doctor", &["--to", &app.to])).exits(1);
}

#[test]
fn a_partitioned_tables_keys_are_dropped_and_made_again() {
    let app = App::new(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
         CREATE TABLE log (id INTEGER PRIMARY KEY, parent_id INT, text TEXT); INSERT INTO log VALUES (1, 1, 'a'), (11, 2, 'b');
         CREATE TABLE remark (id INTEGER PRIMARY KEY, log_id INT, next INT); INSERT INTO remark VALUES (1, 11, 2), (2, 1, 1);",
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE log (id int, parent_id int REFERENCES parent, text text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
         CREATE TABLE log_0 PARTITION OF log FOR VALUES FROM (0) TO (10); CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (10) TO (20);
         CREATE INDEX log_text ON log (text);
         CREATE TABLE remark (id int PRIMARY KEY, log_id int REFERENCES log ON DELETE CASCADE, next int REFERENCES remark);
         CREATE TABLE unproven (id int); ALTER TABLE unproven ADD CONSTRAINT later FOREIGN KEY (id) REFERENCES parent NOT VALID;",
    );
    let before = app.dump();
    for rebuild in [&[][..], &["--rebuild"]] {
        run(&mut app.migrate(rebuild)).exits(0);
        app.shows("SELECT (SELECT count(*) FROM log_0), (SELECT count(*) FROM log_1)", "1|1");
        run(&mut app.on_both("verify", rebuild)).exits(0);
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before);
    }
}

/// A key that acts when a row gives way, and that the run cannot take down for that: the other table's rows would be changed for good.
#[test]
fn rows_elsewhere_that_a_replaced_row_would_take_along_refuse_it() {
    let app = App::owned(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'new'), (2, 'two');",
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old'), (9, 'stays');
         CREATE TABLE mine (t int REFERENCES t ON DELETE CASCADE); INSERT INTO mine VALUES (1), (9);
         CREATE TABLE log (t int) PARTITION BY RANGE (t); CREATE TABLE log_0 PARTITION OF log DEFAULT; INSERT INTO log VALUES (1);
         ALTER TABLE log_0 ADD CONSTRAINT of_one FOREIGN KEY (t) REFERENCES t ON DELETE SET NULL;",
    );
    app.psql(
        "CREATE TABLE others (t int DEFAULT 9 REFERENCES t ON DELETE SET DEFAULT); INSERT INTO others VALUES (1);
         CREATE SCHEMA far; CREATE TABLE far.c (t int REFERENCES t ON DELETE CASCADE); INSERT INTO far.c VALUES (1), (9);
         CREATE TABLE far.patient (t int REFERENCES t); INSERT INTO far.patient VALUES (9);
         GRANT USAGE ON SCHEMA far TO PUBLIC; GRANT SELECT ON others, far.c, far.patient TO PUBLIC;",
    );
    let before = app.dump();
    let refused = app.refusals(&["--on-conflict", "replace"]);
    let keys = "the foreign key c_t_fkey of far.c, of_one of public.log_0, others_t_fkey of public.others";
    assert!(refused.contains(keys) && refused.lines().count() == 1, "{refused}");
    // A plan that was made for the other choice, and then edited, is told the same.
    let plan = run(&mut app.on_both("plan", &["-o", "-", "--on-conflict", "keep"])).exits(0).out;
    let edited = plan.replace(r#""on_conflict": "keep""#, r#""on_conflict": "replace""#);
    assert_ne!(plan, edited);
    std::fs::write(app.folder.path().join("plan.json"), edited).expect("a plan");
    let given = ["--plan", "plan.json", "--no-backup", "--from", "sqlite:app.db", "--to", &app.to];
    run(&mut app.verb("migrate", &given)).exits(1).says("would take others along");
    run(&mut app.migrate(&["--on-conflict", "keep"])).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before);
    app.psql("ALTER TABLE far.c DROP CONSTRAINT c_t_fkey; ALTER TABLE log_0 DROP CONSTRAINT of_one; ALTER TABLE others DROP CONSTRAINT others_t_fkey");
    run(&mut app.migrate(&["--on-conflict", "replace"])).exits(0);
    app.shows("SELECT count(*) FILTER (WHERE t = 1) FROM (TABLE mine UNION ALL TABLE log UNION ALL TABLE others UNION ALL TABLE far.c) x", "4");
    run(&mut app.verb("rollback", &[])).exits(0);
    app.drop_owner();
}

#[test]
fn a_primary_key_is_dropped_for_the_load_only_where_nothing_rests_on_it() {
    let tables = ["free", "pair", "seeded", "parent", "abroad", "grouped", "late", "wide", "told"];
    let source: String = tables
        .iter()
        .map(|name| format!("CREATE TABLE {name} (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO {name} VALUES (1, 'a'), (2, 'b');"))
        .collect();
    let source = source.replace(
        "CREATE TABLE pair (id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TABLE pair (id INTEGER, v TEXT, PRIMARY KEY (v, id))",
    );
    let app = App::new(
        &source,
        "CREATE TABLE free (id int PRIMARY KEY, v text); COMMENT ON CONSTRAINT free_pkey ON free IS 'its key';
         CREATE TABLE pair (id int, v text, CONSTRAINT \"the key\" PRIMARY KEY (v, id));
         CREATE TABLE seeded (id int PRIMARY KEY, v text); INSERT INTO seeded VALUES (9, 'z');
         CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE other (p int REFERENCES parent);
         CREATE TABLE abroad (id int PRIMARY KEY, v text); CREATE SCHEMA far; CREATE TABLE far.child (p int REFERENCES abroad);
         CREATE TABLE grouped (id int PRIMARY KEY, v text); CREATE VIEW g AS SELECT id, v, count(*) FROM grouped GROUP BY id;
         CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, v text);
         CREATE TABLE wide (id int, v text, PRIMARY KEY (id) INCLUDE (v));
         CREATE TABLE told (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE told;",
    );
    let before = app.dump();
    let arguments = ["--rebuild", "--on-conflict", "keep"];
    let ran = run(app.on_both("plan", &["-o", "-"]).args(arguments)).exits(0);
    let plan: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let dropped: Vec<String> = plan["tables"]
        .as_array()
        .expect("tables")
        .iter()
        .flat_map(|table| table["standing"]["rebuilt"].as_array().into_iter().flatten())
        .map(|rebuilt| format!("{} {} {}", rebuilt["kind"], rebuilt["name"], rebuilt["definition"]))
        .collect();
    assert_eq!(
        dropped,
        [
            r#""primary_key" "free_pkey" "PRIMARY KEY (id)""#,
            r#""primary_key" "the key" "PRIMARY KEY (v, id)""#
        ]
    );
    // Between the index and the constraint that takes it over, too.
    for place in
        ["copy-before-rows=1*off->return", "build-after-commit=return", "build-after-commit=2*off->return"]
    {
        run(app.migrate(&arguments).env("FAILPOINTS", place)).was_killed();
        run(&mut app.verb("rollback", &[])).exits(0);
        assert_eq!(app.dump(), before, "{place}");
    }
    run(&mut app.migrate(&arguments)).exits(0);
    let key = "SELECT pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'free_pkey'";
    app.shows(key, "PRIMARY KEY (id)|its key");
    app.shows(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'pair'::regclass AND attnum > 0 AND attnotnull",
        "2",
    );
    run(&mut app.on_both("verify", &arguments)).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before);
}

/// What the application's tables run when they are written names things as the application's own sessions find them.
#[test]
fn functions_of_the_application_are_found_as_it_finds_them() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, e TEXT); INSERT INTO t VALUES (1, 'A'), (2, 'b'), (3, 'c'), (4, 'd');",
        "CREATE FUNCTION inner_of(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
         CREATE FUNCTION outer_of(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN inner_of($1); END';
         CREATE TABLE t (id int PRIMARY KEY, e text CHECK (outer_of(e) <> 'd'), g text GENERATED ALWAYS AS (outer_of(e)) STORED,
             d text DEFAULT outer_of('D'));
         CREATE UNIQUE INDEX by_e ON t (outer_of(e));",
    );
    let refused = app.refusals(&[]);
    assert!(refused.contains("t | id=4 | e"), "{refused}");
    for rebuild in [&[][..], &["--rebuild"]] {
        run(&mut app.migrate(&[&["--policy", "quarantine"], rebuild].concat())).exits(0);
        app.shows("SELECT id, g, d FROM t ORDER BY id", "1|a|d\n2|b|d\n3|c|d");
        run(&mut app.verb("rollback", &[])).exits(0);
        app.shows("SELECT count(*) FROM t", "0");
    }
}

#[test]
fn sequences_go_on_behind_rows_that_stay_and_one_that_counts_down_is_named() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT); INSERT INTO t VALUES (1, 1), (2, 2);
         CREATE TABLE down (id INTEGER PRIMARY KEY, a INT); INSERT INTO down VALUES (-10, 2), (-1, 1);",
        "CREATE TABLE t (id serial PRIMARY KEY, a int); INSERT INTO t VALUES (7, 7);
         CREATE SEQUENCE below INCREMENT -1; CREATE TABLE down (id int PRIMARY KEY DEFAULT nextval('below'), a int);",
    );
    let ran = run(&mut app.migrate(&["--on-conflict", "keep"])).exits(0);
    app.shows("SELECT nextval('t_id_seq')", "8");
    app.shows("SELECT id FROM t ORDER BY id", "1\n2\n7");
    let plan = run(&mut app.on_both("plan", &[]));
    assert!(format!("{plan}{ran}").contains("it counts down, and stays where it stands"), "{plan}");
}

/// It runs for the rows that come into that partition, through the table as well.
#[test]
fn a_trigger_of_a_single_partition_is_one_of_its_table() {
    let app = App::new(
        "CREATE TABLE log (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO log VALUES (1, 'a'), (11, 'b'), (21, 'c');",
        "CREATE SCHEMA aside; CREATE TABLE log (id int PRIMARY KEY, text text) PARTITION BY RANGE (id);
         CREATE TABLE log_0 PARTITION OF log FOR VALUES FROM (0) TO (10);
         CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (10) TO (20);
         CREATE TABLE aside.log_2 PARTITION OF log FOR VALUES FROM (20) TO (30) PARTITION BY RANGE (id);
         CREATE TABLE aside.log_3 PARTITION OF aside.log_2 DEFAULT;
         CREATE FUNCTION ring() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.text := 'rung'; RETURN NEW; END $$;
         CREATE TRIGGER bell BEFORE INSERT ON log_1 FOR EACH ROW EXECUTE FUNCTION ring();
         CREATE TRIGGER gong BEFORE INSERT ON aside.log_2 FOR EACH ROW EXECUTE FUNCTION ring();
         CREATE TRIGGER once AFTER INSERT ON log_0 FOR EACH STATEMENT EXECUTE FUNCTION ring();
         CREATE TRIGGER whole BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION ring();",
    );
    insta::assert_snapshot!(app.refusals(&[]));
    // A trigger of a partition alone makes nothing of what is not told to the partition itself.
    app.psql(
        "ALTER TABLE log DISABLE TRIGGER whole; ALTER TABLE log_1 DISABLE TRIGGER bell; ALTER TABLE aside.log_2 DISABLE TRIGGER gong",
    );
    run(&mut app.migrate(&[])).exits(0);
    app.shows("SELECT string_agg(text, '' ORDER BY id) FROM log", "abc");
}
