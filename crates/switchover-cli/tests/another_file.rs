//! SQLite to SQLite: what a schema says besides its columns is there in the other file, with the same
//! meaning, or has a line; and what a column would change is refused.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use support::check;
use switchover::report::{DifferenceKind, Verdict};
use switchover_core::plan::Fate;
use switchover_testkit::lite;

/// Nothing differs from the source, by a comparison of the tests' own.
fn is_equal(moved: &support::Moved) {
    let found = lite::differences_by_name(moved.case.path(), &moved.case.file()).unwrap();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn declarations_keep_their_meaning() {
    let moved = check(
        "CREATE TABLE strict(id INTEGER PRIMARY KEY, a ANY, b TEXT NOT NULL DEFAULT 'x') STRICT;
         CREATE TABLE byname(name TEXT COLLATE NOCASE, at INTEGER, PRIMARY KEY (name, at)) WITHOUT ROWID;
         CREATE TABLE loose(\"odd; type\" \"odd; type(3, 4)\", d \"DECIMAL(10, 5)\", e, r REAL DEFAULT (1.0 / 3),
            g TEXT GENERATED ALWAYS AS (upper(e)) VIRTUAL, s INT GENERATED ALWAYS AS (length(e) + 1) STORED,
            u TEXT UNIQUE, CHECK (e <> 'no' AND length(e) < 100), CONSTRAINT named CHECK (e IS NOT '' COLLATE RTRIM));
         CREATE TABLE quirk(id INTEGER PRIMARY KEY DESC, v);
         CREATE TABLE nokey(id INT PRIMARY KEY, v);
         INSERT INTO strict VALUES (1, 5, 'a'), (2, '5', 'b'), (3, x'00', 'c'), (4, 5.0, 'd');
         INSERT INTO byname VALUES ('Ab', 1), ('ab', 2), ('z', 1);
         INSERT INTO loose(\"odd; type\", d, e, u) VALUES ('007x', 1.5, 'é', 'u1'), (x'ff', 'text', 'B ', 'u2');
         INSERT INTO quirk VALUES (NULL, 1), (NULL, 2), (7, 3);
         INSERT INTO nokey VALUES (NULL, 1), (NULL, 2), (3, 3);
         DELETE FROM nokey WHERE v = 1;",
    )
    .into_file()
    .moves();
    is_equal(&moved);
    moved
        .shows("SELECT name, strict, wr FROM pragma_table_list WHERE name IN ('strict', 'byname', 'loose') ORDER BY name",
            "byname|0|1\nloose|0|0\nstrict|1|0")
        .shows("SELECT type FROM pragma_table_xinfo('loose') WHERE cid < 3", "odd; type(3, 4)\nDECIMAL(10, 5)\n")
        .shows("SELECT name, hidden FROM pragma_table_xinfo('loose') WHERE hidden > 0", "g|2\ns|3")
        .shows("SELECT g, s FROM loose WHERE u = 'u1'", "é|2")
        .shows("SELECT count(*) FROM byname WHERE name = 'AB'", "2")
        .shows("SELECT rowid, id FROM quirk WHERE v = 3", "3|7")
        .shows("SELECT rowid FROM nokey", "2\n3");
    for (statement, message) in [
        ("INSERT INTO strict VALUES ('x', 1, 'a')", "datatype mismatch"),
        ("INSERT INTO byname VALUES ('AB', 1)", "UNIQUE constraint failed"),
        ("INSERT INTO loose(e, u) VALUES ('no', 'u3')", "CHECK constraint failed"),
        ("INSERT INTO loose(e, u) VALUES (' ', 'u3')", "CHECK constraint failed: named"),
        ("INSERT INTO loose(e, u) VALUES ('x', 'u1')", "UNIQUE constraint failed: loose.u"),
    ] {
        let error = moved.case.target().execute_batch(statement).expect_err(statement).to_string();
        assert!(error.contains(message), "{statement}: {error}");
    }
    moved
        .runs("INSERT INTO loose(e) VALUES ('new')")
        .shows("SELECT r FROM loose WHERE e = 'new'", "0.3333333333333333");
}

/// Keys come after the rows; what is there then is what SQLite itself would have made.
#[test]
fn keys_that_come_late_are_the_tables_own() {
    let sql = "CREATE TABLE t(a TEXT, b INTEGER, c TEXT COLLATE NOCASE, d BLOB, UNIQUE (c, a DESC), PRIMARY KEY (b DESC, a), UNIQUE (a, b), UNIQUE (d));
        CREATE TABLE quirk(id INTEGER PRIMARY KEY DESC, v UNIQUE);
        CREATE TABLE \"odd \"\" name\"(\"k'\" TEXT PRIMARY KEY COLLATE RTRIM, n INT UNIQUE ON CONFLICT IGNORE);
        CREATE TABLE strict(k TEXT PRIMARY KEY, n INTEGER UNIQUE) STRICT;
        CREATE TABLE both(id INTEGER PRIMARY KEY AUTOINCREMENT, UNIQUE (id));
        CREATE TABLE norowid(k TEXT PRIMARY KEY, u UNIQUE) WITHOUT ROWID;
        CREATE INDEX plain ON t(d, a);
        CREATE TABLE child(k TEXT REFERENCES strict(k));
        WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
            INSERT INTO t SELECT 'a' || (i % 7), i * 7919 % 2003, iif(i % 3, 'c' || i, NULL), x'00' || i FROM n;
        INSERT INTO quirk VALUES (2, 'x'), (1, NULL), (NULL, NULL);
        INSERT INTO \"odd \"\" name\" VALUES ('b', 2), ('a', 1), (NULL, NULL), (NULL, 3);
        INSERT INTO strict VALUES ('b', 2), ('a', NULL); INSERT INTO both VALUES (5), (2);
        INSERT INTO norowid VALUES ('b', 1), ('a', NULL); INSERT INTO child VALUES ('a');";
    let moved = check(sql).into_file().moves();
    is_equal(&moved);
    let file = moved.case.target();
    let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("PRAGMA integrity_check"), "ok");
    assert_eq!(one("SELECT count(*) || '' FROM pragma_foreign_key_check"), "0");
    // As SQLite itself would have declared it.
    let schema = "SELECT group_concat(type || '|' || name || '|' || tbl_name || '|' || coalesce(sql, '-'), char(10))
        FROM (SELECT * FROM sqlite_schema WHERE tbl_name NOT LIKE '\\_switchover%' ESCAPE '\\' ORDER BY type, name)";
    let found = one(schema);
    let again = rusqlite::Connection::open_in_memory().unwrap();
    let statements: Vec<String> = file
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name NOT LIKE '\\_switchover%' ESCAPE '\\' AND name <> 'sqlite_sequence' ORDER BY type = 'index'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    again.execute_batch(&statements.join(";")).unwrap();
    assert_eq!(again.query_row(schema, [], |row| row.get::<_, String>(0)).unwrap(), found);
    assert!(found.contains("index|sqlite_autoindex_t_3|t|-"), "{found}");
    for (query, index) in [
        ("SELECT * FROM t WHERE b = 5 AND a = 'a'", "sqlite_autoindex_t_3 (a=? AND b=?)"),
        ("SELECT * FROM t WHERE c = 'C5'", "sqlite_autoindex_t_2 (c=?)"),
        ("SELECT * FROM strict WHERE n = 2", "sqlite_autoindex_strict_2 (n=?)"),
    ] {
        let plan: String =
            file.query_row(&format!("EXPLAIN QUERY PLAN {query}"), [], |row| row.get(3)).unwrap();
        assert!(plan.contains(index), "{plan}");
    }
    // A connection that was there before the keys reads them too, and they are kept.
    for (statement, message) in [
        ("INSERT INTO t SELECT * FROM t WHERE b = 5", "UNIQUE constraint failed"),
        (
            "INSERT INTO t(a, b, c) VALUES ('a2', 99999, (SELECT upper(c) FROM t WHERE a = 'a2' AND c NOT NULL LIMIT 1))",
            "UNIQUE constraint failed: t.c, t.a",
        ),
        ("INSERT INTO quirk VALUES (2, 'y')", "UNIQUE constraint failed: quirk.id"),
        ("INSERT INTO \"odd \"\" name\" VALUES ('a  ', 9)", "UNIQUE constraint failed"),
        ("INSERT INTO strict VALUES ('c', 2)", "UNIQUE constraint failed: strict.n"),
        ("UPDATE sqlite_schema SET sql = NULL", "may not be modified"),
    ] {
        let error = file.execute_batch(statement).expect_err(statement).to_string();
        assert!(error.contains(message), "{statement}: {error}");
    }
}

#[test]
fn indexes_views_triggers_sequences_and_settings_are_there() {
    let moved = check(
        "PRAGMA user_version = 42; PRAGMA application_id = -7;
         CREATE TABLE p(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE, n INT);
         CREATE TABLE empty(id INTEGER PRIMARY KEY AUTOINCREMENT);
         CREATE TABLE c(id INTEGER PRIMARY KEY, p INT REFERENCES p ON DELETE CASCADE ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE log(what);
         CREATE INDEX partial ON p(n DESC) WHERE n > 1;
         CREATE UNIQUE INDEX folded ON p(lower(name), n);
         CREATE INDEX binary ON p(name COLLATE BINARY);
         CREATE VIEW plain AS SELECT id, name FROM p WHERE n > 1;
         CREATE VIEW \"with \"\"columns\"(a, \"b c\") AS WITH x AS (SELECT 1) SELECT id, (SELECT count(*) FROM c WHERE c.p = p.id) FROM p, x;
         CREATE TRIGGER remember AFTER INSERT ON p BEGIN INSERT INTO log VALUES ('new ' || new.name); END;
         CREATE TRIGGER through INSTEAD OF INSERT ON plain BEGIN INSERT INTO p(name) VALUES (new.name); END;
         INSERT INTO p(name, n) VALUES ('a', 1), ('b', 2), ('gone', 3); DELETE FROM p WHERE name = 'gone'; INSERT INTO c VALUES (1, 1), (2, NULL);
         INSERT INTO empty DEFAULT VALUES; DELETE FROM empty;",
    )
    .into_file()
    .moves();
    is_equal(&moved);
    moved
        .shows("PRAGMA user_version", "42")
        .shows("PRAGMA application_id", "-7")
        .shows("SELECT seq FROM sqlite_sequence ORDER BY name", "1\n3")
        .shows("SELECT count(*) FROM log", "3")
        .shows("SELECT * FROM plain", "2|b")
        .shows("SELECT \"b c\" FROM \"with \"\"columns\" WHERE a = 1", "1")
        .shows("SELECT \"unique\", partial FROM pragma_index_list('p') ORDER BY name", "0|0\n1|0\n0|1")
        .shows("SELECT coll, desc FROM pragma_index_xinfo('binary') WHERE key", "BINARY|0")
        .shows("SELECT \"on_delete\", \"on_update\" FROM pragma_foreign_key_list('c')", "CASCADE|SET NULL")
        .runs("PRAGMA foreign_keys = ON; INSERT INTO plain(name) VALUES ('via view'); INSERT INTO empty DEFAULT VALUES")
        .shows("SELECT id FROM p WHERE name = 'via view'", "4")
        .shows("SELECT id FROM empty", "2")
        .shows("SELECT what FROM log ORDER BY rowid DESC LIMIT 1", "new via view")
        .fate("trigger", "remember on p", Fate::Moved, "");
}

#[test]
fn under_new_names_what_is_understood_is_translated_and_the_rest_has_a_line() {
    let moved = check(
        "CREATE TABLE UserAccount(UserId INTEGER PRIMARY KEY, FullName TEXT CHECK (length(FullName) > 0), Parent INT REFERENCES UserAccount(UserId),
            Shout TEXT AS (upper(FullName)), CHECK ((UserId, FullName) <> (0, 'x')));
         CREATE INDEX ByName ON UserAccount(lower(FullName)) WHERE Parent IS NOT NULL;
         CREATE VIEW AllUsers AS SELECT u.UserId, p.FullName AS ParentName FROM UserAccount u LEFT JOIN UserAccount p ON p.UserId = u.Parent;
         CREATE TRIGGER NoMore BEFORE DELETE ON UserAccount BEGIN SELECT RAISE(ABORT, 'no'); END;
         INSERT INTO UserAccount(UserId, FullName, Parent) VALUES (1, 'Ann', NULL), (2, 'Bob', 1)",
    )
    .into_file()
    .snake()
    .moves();
    moved
        .shows("SELECT \"ParentName\" FROM all_users ORDER BY \"UserId\"", "NULL\nAnn")
        .shows("SELECT shout FROM user_account WHERE user_id = 2", "BOB")
        .shows("SELECT sql FROM sqlite_schema WHERE name = 'by_name'",
            "CREATE INDEX \"by_name\" ON \"user_account\" ((lower(\"full_name\"))) WHERE \"parent\" IS NOT NULL")
        .fate("check", "UserAccount: (UserId, FullName)", Fate::LeftOut, "names change")
        .fate("trigger", "NoMore", Fate::LeftOut, "names change");
    let error = moved.case.target().execute_batch("INSERT INTO user_account(full_name) VALUES ('')");
    assert!(error.unwrap_err().to_string().contains("CHECK"));
}

#[test]
fn what_the_application_alone_has_is_left_out_with_a_line() {
    let moved = check(
        "CREATE TABLE docs(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, body TEXT);
         CREATE VIRTUAL TABLE search USING fts5(body, content=docs, content_rowid=id);
         CREATE TRIGGER feed AFTER INSERT ON docs BEGIN INSERT INTO search(rowid, body) VALUES (new.id, new.body); END;
         CREATE VIEW found AS SELECT rowid FROM search;
         INSERT INTO docs VALUES (1, 'one'), (2, 'two')",
    )
    .into_file()
    .moves();
    moved
        .fate("trigger", "feed", Fate::LeftOut, "it names search, which is a plain table on the target")
        .fate("view", "found", Fate::LeftOut, "it names search")
        .fate("conflict clause", "docs(id)", Fate::LeftOut, "ON CONFLICT REPLACE")
        .shows("SELECT rowid, body FROM search", "1|one\n2|two");
    let moved = check("CREATE TABLE a(x); CREATE TABLE b(x); CREATE VIEW both AS SELECT * FROM a, b")
        .into_file()
        .options(|options| options.exclude = vec!["b".into()])
        .moves();
    moved.fate("view", "both", Fate::LeftOut, "it names b, which is not moved");
}

#[test]
fn a_value_that_the_column_would_change_is_refused() {
    // A type that was changed by hand, as the schema's own text: the values were stored under another.
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, '12abc'), (2, ' 12 '), (3, 2.0), (4, 5);
        PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'v)', 'v INTEGER)');";
    let case = check(sql).into_file();
    let plan = case.plan();
    let refusals: Vec<_> = plan.refusals.iter().map(|r| (&*r.key, &*r.column, &*r.value)).collect();
    assert_eq!(refusals, [("id=2", "v", "' 12 '"), ("id=3", "v", "2.0")], "{:?}", plan.refusals);
    assert!(case.migrate().is_err() && !case.file().exists());
    let moved = case.quarantine().quarantines();
    moved.holds(&[("t", 2, "v", support::text(" 12 "), false), ("t", 3, "v", support::real(2.0), false)]);
    moved.shows("SELECT v FROM t", "12abc\nNULL\nNULL\n5");
}

#[test]
fn every_change_is_found_and_mended() {
    let moved = check(
        "CREATE TABLE k(id INTEGER PRIMARY KEY, v); CREATE TABLE r(v); CREATE TABLE w(a TEXT COLLATE NOCASE, b, PRIMARY KEY (a)) WITHOUT ROWID;
         INSERT INTO k VALUES (1, 1), (2, '1'), (3, x'31'), (4, 1.5), (5, NULL), (6, '');
         INSERT INTO r SELECT v FROM k; INSERT INTO r SELECT v FROM k;
         INSERT INTO k VALUES (-9223372036854775808, 'first'), (0, 'middle'), (9223372036854775807, 'last'); INSERT INTO w VALUES ('A', 1), ('b', 2);
         CREATE TRIGGER never BEFORE DELETE ON k BEGIN SELECT RAISE(ABORT, 'the mending must not fire it'); END;",
    )
    .into_file()
    .moves();
    let changes = [
        ("UPDATE k SET v = 1.0 WHERE id = 1", "k", DifferenceKind::Changed),
        ("UPDATE k SET v = x'31' WHERE id = 2", "k", DifferenceKind::Changed),
        ("UPDATE k SET v = '1' WHERE id = 3", "k", DifferenceKind::Changed),
        ("UPDATE k SET v = v + 2.220446049250313e-16 WHERE id = 4", "k", DifferenceKind::Changed),
        ("UPDATE k SET v = '' WHERE id = 5", "k", DifferenceKind::Changed),
        ("UPDATE k SET v = NULL WHERE id = 6", "k", DifferenceKind::Changed),
        ("UPDATE k SET v = iif(id = 1, '1', 1) WHERE id < 3", "k", DifferenceKind::Changed),
        ("DROP TRIGGER never; DELETE FROM k WHERE id = 2", "k", DifferenceKind::Missing),
        ("INSERT INTO k VALUES (9, 9)", "k", DifferenceKind::Extra),
        // Rows in different parts of what is read side by side.
        ("UPDATE k SET v = 'other' WHERE abs(id / 2) > 9", "k", DifferenceKind::Changed),
        ("DELETE FROM r WHERE rowid = 1", "r", DifferenceKind::Missing),
        ("INSERT INTO r SELECT v FROM r WHERE rowid = 4", "r", DifferenceKind::Extra),
        (
            "UPDATE r SET v = 1.25 WHERE rowid = (SELECT min(rowid) FROM r WHERE typeof(v) = 'real')",
            "r",
            DifferenceKind::Changed,
        ),
        ("UPDATE w SET a = 'a' WHERE a = 'A'", "w", DifferenceKind::Missing),
        ("UPDATE w SET b = '2' WHERE a = 'b'", "w", DifferenceKind::Changed),
    ];
    for (change, table, kind) in changes {
        moved.runs(change);
        let report = moved.case.verify(false).unwrap();
        assert_eq!(report.verdict, Verdict::Different, "{change}");
        let differing = report.tables.iter().find(|found| found.verdict == Verdict::Different);
        let differing = differing.unwrap_or_else(|| unreachable!("{change}: {:?}", report.reasons));
        assert_eq!(differing.source, table, "{change}");
        assert!(differing.differences.iter().any(|one| one.kind == kind), "{change}: {differing:?}");
        let mended = moved.case.verify(true).unwrap();
        let tables: Vec<_> = mended.tables.iter().filter(|t| t.verdict != Verdict::Same).collect();
        assert!(tables.is_empty(), "{change}: {tables:?}");
    }
}

#[test]
fn an_index_a_key_or_a_parent_that_is_gone_is_named() {
    let moved = check(
        "CREATE TABLE p(id INTEGER PRIMARY KEY, v INT UNIQUE); CREATE TABLE c(p INT REFERENCES p);
         CREATE INDEX by_v ON c(p); INSERT INTO p VALUES (1, 1); INSERT INTO c VALUES (1)",
    )
    .into_file()
    .moves();
    moved.runs("PRAGMA foreign_keys = OFF; DROP INDEX by_v; DROP TABLE p; CREATE TABLE p(id, v INT); INSERT INTO p VALUES (1, 1)");
    let reasons = moved.case.verify(false).unwrap().reasons.join("; ");
    for part in ["by_v", "columns in its primary key", "unique constraints", "cannot be checked"] {
        assert!(reasons.contains(part), "{part}: {reasons}");
    }
    let moved = check("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p INT REFERENCES p); INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)")
        .into_file()
        .moves();
    moved.runs("PRAGMA foreign_keys = OFF; DELETE FROM p");
    let reasons = moved.case.verify(false).unwrap().reasons.join("; ");
    assert!(reasons.contains("the row 1 of \"c\" has no parent in \"p\""), "{reasons}");
}

#[test]
fn the_records_of_an_earlier_run_are_not_moved_on() {
    let first =
        check("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'x')").into_file().moves();
    let second = support::check_with(|source| {
        let file = first.case.file();
        source.execute("ATTACH ?1 AS first", [file.to_str()]).unwrap();
        let tables: Vec<String> = source
            .prepare("SELECT sql FROM first.sqlite_schema WHERE type = 'table' AND sql NOT NULL")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        tables.iter().for_each(|sql| source.execute_batch(sql).unwrap());
        source.execute_batch("INSERT INTO t SELECT * FROM first.t").unwrap();
        source
            .execute_batch("INSERT INTO _switchover_step SELECT * FROM first._switchover_step; DETACH first")
            .unwrap();
    });
    second
        .snake()
        .into_file()
        .moves()
        .fate("record table", "_switchover_step", Fate::LeftOut, "earlier run")
        .shows(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%switchover%step'",
            "_switchover_step",
        )
        .shows("SELECT id, v FROM t", "1|x");
}

#[test]
fn a_view_is_made_whatever_stands_around_its_as() {
    let moved = check(
        "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2);
         CREATE VIEW line AS -- the first\n SELECT a FROM t; CREATE VIEW block AS/* of\n lines */SELECT a FROM t;
         CREATE VIEW early /* AS */ AS SELECT a FROM t; CREATE VIEW close/* it */AS SELECT a FROM t;
         CREATE VIEW dash--ed\nAS VALUES (1); CREATE VIEW named(x) AS -- x\n SELECT a FROM t; CREATE VIEW \"as\"AS WITH w AS (SELECT a FROM t) SELECT * FROM w",
    )
    .into_file()
    .moves();
    for view in ["line", "block", "early", "close", "dash", "named", "as"] {
        moved.shows(&format!("SELECT * FROM \"{view}\""), "1").fate("view", view, Fate::Moved, "");
    }
}

#[test]
fn what_names_a_dropped_column_or_a_view_that_stays_is_left_out_with_it() {
    let moved = check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, gone); CREATE TABLE u(id INTEGER PRIMARY KEY, gone);
         CREATE TABLE log(id INTEGER PRIMARY KEY, what, gone); INSERT INTO t VALUES (1, 2, 3); INSERT INTO u VALUES (1, 2);
         CREATE VIEW late AS SELECT n FROM broken; CREATE VIEW whole AS SELECT * FROM t; CREATE VIEW through AS SELECT gone FROM whole;
         CREATE VIEW broken AS SELECT count(gone) AS n FROM t; CREATE VIEW own AS SELECT gone FROM u; CREATE VIEW fine AS SELECT a FROM whole;
         CREATE TRIGGER a AFTER UPDATE OF gone ON t BEGIN SELECT 1; END;
         CREATE TRIGGER b INSTEAD OF INSERT ON late BEGIN SELECT 1; END;
         CREATE TRIGGER c AFTER INSERT ON u BEGIN INSERT INTO \"log\" VALUES (NULL, new.gone, 1); END;
         CREATE TRIGGER d AFTER INSERT ON u BEGIN INSERT INTO log(what) VALUES ('d'); END;
         CREATE TRIGGER e INSTEAD OF INSERT ON fine BEGIN INSERT INTO t(a) VALUES (new.a); END;",
    )
    .into_file()
    .mapped("[table.t.column.gone]\ndrop = true\n[table.log.column.gone]\ndrop = true")
    .moves();
    moved
        .fate("view", "broken", Fate::LeftOut, "it names gone, and the mapping drops that column of t")
        .fate("view", "through", Fate::LeftOut, "it names gone")
        .fate("view", "late", Fate::LeftOut, "it names broken, a view that is left out")
        .fate("trigger", "a on t", Fate::LeftOut, "it names gone")
        .fate("trigger", "b on late", Fate::LeftOut, "a view that is left out")
        .fate("trigger", "c on u", Fate::LeftOut, "log")
        .fate("trigger", "d on u", Fate::Moved, "")
        .fate("trigger", "e on fine", Fate::Moved, "")
        .shows("SELECT * FROM whole", "1|2")
        .shows("SELECT * FROM own", "2")
        .shows("SELECT * FROM fine", "2")
        .runs("INSERT INTO u VALUES (2, 3)")
        .shows("SELECT what FROM log", "d");
}
