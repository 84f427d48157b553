//! Schemas that break when SQLite data moves to PostgreSQL, a test a line of the list of hazards: keys,
//! sequences, defaults, checks, collations, generated columns, indexes, limits.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fmt::Write as _;
use support::{check, check_with, text};
use switchover_core::plan::Fate;
use switchover_core::value::OwnedValue::Int;

/// A text of so many bytes that no compression shortens.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 94) as u8)
    };
    std::iter::repeat_with(next).filter(|c| *c != '\'').take(bytes).collect()
}

#[test]
fn without_rowid_composite_keys_and_no_key_at_all() {
    check(
        "CREATE TABLE a(x TEXT, y INTEGER, z REAL, PRIMARY KEY (y, x)) WITHOUT ROWID;
         CREATE TABLE b(x TEXT, y BLOB, PRIMARY KEY (x, y));
         CREATE TABLE c(x);
         INSERT INTO a VALUES ('p', 1, 0.5), ('o', 1, 1.5), ('p', -1, 2);
         INSERT INTO b VALUES ('p', x'01'), ('p', x'00'); INSERT INTO c VALUES (1), (1), (NULL);",
    )
    .moves()
    .shows("SELECT * FROM a ORDER BY y, x", "p|-1|2\no|1|1.5\np|1|0.5")
    .shows("SELECT count(*) FROM c", "3")
    .shows(
        "SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p'
            AND conrelid::regclass::text IN ('a', 'b', 'c') ORDER BY 1",
        "a|PRIMARY KEY (y, x)\nb|PRIMARY KEY (x, y)",
    )
    .fate("primary key", "c", Fate::LeftOut, "none");
}

#[test]
fn null_in_a_composite_primary_key() {
    let sql = "CREATE TABLE t(a TEXT, b INT, v, PRIMARY KEY (a, b));
        INSERT INTO t VALUES ('x', 1, 7), ('x', NULL, 8), ('x', NULL, 8)";
    check(sql).refuses(&[("t", "rowid=2", "b", "NULL"), ("t", "rowid=3", "b", "NULL")]);
    let moved = check(sql).quarantine().quarantines();
    moved.shows("SELECT * FROM t", "x|1|7");
    assert_eq!(moved.entries().len(), 6);
}

#[test]
fn tables_whose_columns_are_called_rowid_oid_and_rowid_with_underscores() {
    check(
        "CREATE TABLE a(rowid TEXT, v INT); CREATE TABLE b(rowid TEXT, oid TEXT, v INT);
         CREATE TABLE c(rowid TEXT, oid, _rowid_ REAL); CREATE INDEX c_all ON c(_rowid_, oid, rowid);
         INSERT INTO a VALUES ('x', 1); INSERT INTO b VALUES ('x', 'y', 2);
         INSERT INTO c VALUES ('x', 'y', 2.5), ('x', 'y', 2.5), ('w', 'y', 0.5);",
    )
    .moves()
    .shows("SELECT * FROM a", "x|1")
    .shows("SELECT * FROM b", "x|y|2")
    .shows("SELECT * FROM c ORDER BY 1", "w|y|0.5\nx|y|2.5\nx|y|2.5");
}

#[test]
fn a_value_that_does_not_fit_in_a_table_without_any_locator() {
    let sql = "CREATE TABLE c(rowid TEXT, oid, _rowid_); CREATE INDEX c_all ON c(_rowid_, oid, rowid);
        INSERT INTO c VALUES ('z', 1, 5), ('y', 2, 4), (x'01', 3, 3), ('w', 4, 2);";
    check(sql).refuses(&[("c", "row 3", "rowid", "blob in a column of text")]);
    check(sql)
        .quarantine()
        .quarantines()
        .shows("SELECT * FROM c ORDER BY oid", "z|1|5\ny|2|4\nNULL|3|3\nw|4|2")
        .holds(&[("c", 3, "rowid", switchover_core::value::OwnedValue::Bytes(vec![1]), false)]);
}

#[test]
fn columns_with_names_that_the_target_keeps_for_itself() {
    check("CREATE TABLE t(id INTEGER PRIMARY KEY, xmin INT, ctid TEXT)").refuses(&[
        ("t", "", "xmin", "every table of the target has a column of that name"),
        ("t", "", "ctid", "every table of the target has a column of that name"),
    ]);
}

#[test]
fn sequences_go_on_from_the_larger_of_max_and_sqlite_sequence_for_empty_tables_too() {
    check(
        "CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO a(v) VALUES (1), (2), (3); DELETE FROM a WHERE id > 1;
         CREATE TABLE b(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO b VALUES (41, 0); DELETE FROM b;
         CREATE TABLE c(id INTEGER PRIMARY KEY, v); INSERT INTO c VALUES (-5, 0);
         CREATE TABLE d(id INTEGER PRIMARY KEY, v);
         CREATE TABLE e(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO e VALUES (100, 0); UPDATE sqlite_sequence SET seq = 7 WHERE name = 'e';
         CREATE TABLE f(id INTEGER PRIMARY KEY, v); INSERT INTO f VALUES (9223372036854775807, 0);",
    )
    .moves()
    .shows(
        "INSERT INTO a(v) VALUES (9); INSERT INTO b(v) VALUES (9); INSERT INTO c(v) VALUES (9); INSERT INTO d(v) VALUES (9);
         INSERT INTO e(v) VALUES (9);
         SELECT (SELECT max(id) FROM a), (SELECT max(id) FROM b), (SELECT max(id) FROM c), (SELECT max(id) FROM d), (SELECT max(id) FROM e)",
        "4|42|1|1|101",
    )
    .fate("identity", "f.id", Fate::LeftOut, "no next one");
}

#[test]
fn the_name_of_a_sequence_is_taken_by_a_table_and_by_an_index() {
    check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE t_id_seq(id INTEGER PRIMARY KEY);
         CREATE TABLE t_id_seq_id_seq(v); CREATE INDEX t_id_seq1 ON t(v); INSERT INTO t VALUES (3, 1); INSERT INTO t_id_seq VALUES (8)",
    )
    .moves()
    .shows(
        "INSERT INTO t(v) VALUES (1); INSERT INTO t_id_seq DEFAULT VALUES; SELECT max(t.id), max(s.id) FROM t, t_id_seq s",
        "4|9",
    );
}

#[test]
fn defaults_are_translated_exactly_or_listed() {
    let moved = check(
        r#"CREATE TABLE t(id INTEGER PRIMARY KEY, a INT DEFAULT 5, b TEXT DEFAULT 'it''s', c TEXT DEFAULT "quoted", d REAL DEFAULT -1.5,
            e BOOLEAN DEFAULT 1, f DATETIME DEFAULT CURRENT_TIMESTAMP, g TEXT DEFAULT (strftime('%s', 'now')), h BLOB DEFAULT x'00ff',
            i TEXT DEFAULT (lower('AB')), j DEFAULT NULL, k INTEGER DEFAULT (unixepoch()), l REAL DEFAULT (julianday('now')), m INT DEFAULT '7');
         INSERT INTO t(id) VALUES (1)"#,
    )
    .moves();
    moved
        .shows(
            "INSERT INTO t(id) VALUES (2); SELECT a, b, c, d, e, h FROM t WHERE id = 2",
            "5|it's|quoted|-1.5|t|\\x00ff",
        )
        .shows("SELECT abs(extract(epoch FROM now() AT TIME ZONE 'UTC' - f)) < 60 FROM t WHERE id = 2", "t")
        .fate("default", "t.l", Fate::LeftOut, "julianday")
        .fate("default", "t.a", Fate::Moved, "5");
    let listed = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
    for column in listed {
        let name = format!("t.{column}");
        let found =
            moved.report.outcomes.iter().any(|outcome| outcome.kind == "default" && outcome.name == name);
        assert!(found, "{name} has no line");
    }
}

#[test]
fn checks_are_translated_exactly_or_listed() {
    check(
        r#"CREATE TABLE t(id INTEGER PRIMARY KEY, a INT CHECK (a BETWEEN 0 AND 10), b TEXT CHECK (b IN ('x', 'y')), c TEXT,
            d TEXT CHECK (length(d) < 5), e INT CONSTRAINT odd CHECK (e == 1 OR e IS NULL), CHECK (strftime('%Y', c) > '2000'),
            CHECK (b <> "z"));
         INSERT INTO t VALUES (1, 5, 'x', '2024-01-01', 'abcd', 1), (2, NULL, NULL, NULL, NULL, NULL)"#,
    )
    .moves()
    .rejects("INSERT INTO t(id, a) VALUES (3, 11)", "violates check constraint")
    .rejects("INSERT INTO t(id, b) VALUES (3, 'z')", "violates check constraint")
    .rejects("INSERT INTO t(id, e) VALUES (3, 2)", "\"odd\"")
    .fate("check", "t: ", Fate::LeftOut, "strftime");
}

#[test]
fn a_row_that_breaks_a_check_on_the_source_stops_the_run_and_is_named() {
    // PRAGMA ignore_check_constraints let it in.
    let case = check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT CHECK (a > 0)); PRAGMA ignore_check_constraints = ON;
         INSERT INTO t VALUES (1, 1), (2, -1), (3, 1)",
    );
    let error = case.migrate().expect_err("the target refuses the row");
    assert_eq!((&*error.subject().table, &*error.subject().key), ("t", "id=2"), "{error:?}");
    assert_eq!(
        case.database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(),
        "0"
    );
}

#[test]
fn nocase_is_ascii_only_and_its_unique_index_is_one_on_lower() {
    check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE, b TEXT, c TEXT COLLATE RTRIM);
         CREATE UNIQUE INDEX t_b ON t(b COLLATE NOCASE); CREATE UNIQUE INDEX t_c ON t(c);
         CREATE TABLE u(k TEXT COLLATE NOCASE PRIMARY KEY); CREATE TABLE w(k TEXT, PRIMARY KEY (k COLLATE NOCASE));
         INSERT INTO t VALUES (1, 'Ab', 'Ä', 'x '), (2, 'äb', 'ä', ' x'), (3, 'ÄB', 'z', 'X'); INSERT INTO u VALUES ('Key');
         INSERT INTO w VALUES ('Key');",
    )
    .moves()
    .rejects("INSERT INTO t VALUES (4, 'aB', 'q', 'q')", "duplicate key")
    .rejects("INSERT INTO t VALUES (4, 'q', 'Z', 'q')", "duplicate key")
    .rejects("INSERT INTO t VALUES (4, 'q', 'q', 'x  ')", "duplicate key")
    .rejects("INSERT INTO u VALUES ('kEY')", "duplicate key")
    .rejects("INSERT INTO w VALUES ('kEY')", "duplicate key")
    .fate("collation", "t.a", Fate::Changed, "NOCASE");
}

#[test]
fn binary_order_is_the_c_collation() {
    check("CREATE TABLE t(v TEXT PRIMARY KEY); INSERT INTO t VALUES ('a'), ('B'), ('é'), ('z'), ('Z'), ('😀'), ('ﬀ')")
        .moves()
        .shows("SELECT string_agg(v, '' ORDER BY v) FROM t", "BZazéﬀ😀");
}

#[test]
fn generated_columns_are_computed_by_the_target_and_not_copied() {
    check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, s INT GENERATED ALWAYS AS (a + 1) STORED, v TEXT AS (lower(b)) VIRTUAL, b TEXT,
            o TEXT AS (strftime('%Y', b)));
         INSERT INTO t(id, a, b) VALUES (1, 5, '2024-01-01'), (2, NULL, 'ABC')",
    )
    .moves()
    .shows("SELECT id, a, s, v, b, o FROM t ORDER BY id", "1|5|6|2024-01-01|2024-01-01|2024\n2|NULL|NULL|abc|ABC|NULL")
    .fate("generated column", "t.o", Fate::Changed, "strftime");
}

#[test]
fn a_generated_column_over_generated_columns_is_computed_from_what_they_are() {
    let double = |n: usize| format!(", d{} TEXT AS (d{n} || d{n})", n + 1);
    let doubles: String = (0..20).map(double).collect();
    check(&format!(
        "CREATE TABLE g(id INTEGER PRIMARY KEY, late INT AS (n | 8), a TEXT, b TEXT AS (lower(a)), c TEXT AS (b || '!') UNIQUE, n INT AS (length(c) % 5),
            big INT AS (n > 2), odd TEXT AS (strftime('%Y', a)), of_odd TEXT AS (odd || '?'));
         INSERT INTO g(id, a) VALUES (1, 'ABC'), (2, NULL);
         CREATE TABLE deep(id INTEGER PRIMARY KEY, d0 TEXT{doubles}); INSERT INTO deep(id, d0) VALUES (1, '')"
    ))
    .moves()
    .fate("generated column", "g.c", Fate::Moved, "computed by the target")
    .fate("generated column", "g.late", Fate::Moved, "computed by the target")
    .fate("generated column", "deep.d13", Fate::Changed, "too long")
    .shows("SELECT late, b, c, n, big, of_odd FROM g ORDER BY id", "12|abc|abc!|4|1|NULL\nNULL|NULL|NULL|NULL|NULL|NULL")
    .runs("INSERT INTO g(id, a) VALUES (3, 'X')")
    .shows("SELECT late, b, c, n, big FROM g WHERE id = 3", "10|x|x!|2|0");
}

#[test]
fn a_generated_column_that_a_foreign_key_writes_is_plain() {
    let child = |name: &str, action: &str| {
        format!(
            "CREATE TABLE {name}(id INTEGER PRIMARY KEY, a INT, b INT AS (a % 10) REFERENCES p(id) {action}); INSERT INTO {name}(id, a) VALUES (1, 11);"
        )
    };
    let kept = ["ON DELETE SET NULL", "ON DELETE SET DEFAULT", "ON UPDATE CASCADE", "ON UPDATE SET NULL"];
    let tables: String =
        kept.iter().enumerate().map(|(at, action)| child(&format!("k{at}"), action)).collect();
    let moved = check(&format!(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1); {tables} {}",
        child("computed", "ON DELETE CASCADE ON UPDATE NO ACTION")
    ))
    .moves();
    for (at, action) in kept.iter().enumerate() {
        let why = format!("the foreign key to p writes it {action}");
        moved.fate("generated column", &format!("k{at}.b"), Fate::Changed, &why);
        moved.shows(&format!("SELECT b FROM k{at}"), "1");
    }
    moved.fate("generated column", "computed.b", Fate::Moved, "computed by the target").shows(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated",
        &(kept.len() + 1).to_string(),
    );
}

#[test]
fn a_generated_column_over_a_value_in_quarantine_keeps_its_own_value() {
    let case = check_with(|source| {
        source
            .execute_batch("CREATE TABLE t(id INTEGER PRIMARY KEY, b TEXT, u TEXT AS (upper(b)), n INT AS (id + 1)); INSERT INTO t(id, b) VALUES (1, 'x')")
            .unwrap();
        source
            .execute("INSERT INTO t(id, b) VALUES (2, ?1)", [rusqlite::types::Value::Blob(vec![7])])
            .unwrap();
        source.execute("INSERT INTO t(id, b) VALUES (3, 'a' || char(0))", []).unwrap();
    });
    case.quarantine()
        .quarantines()
        .shows("SELECT id, b, u, n FROM t ORDER BY id", "1|x|X|2\n2|NULL|\u{7}|3\n3|NULL|NULL|4")
        .fate("generated column", "t.u", Fate::Changed, "quarantine");
}

#[test]
fn partial_expression_and_descending_indexes() {
    check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b TEXT, c TEXT);
         CREATE UNIQUE INDEX p ON t(a) WHERE b IS NOT NULL; CREATE INDEX e ON t(lower(b), a DESC); CREATE INDEX d ON t(a DESC, b);
         CREATE INDEX o ON t(strftime('%Y', c)); INSERT INTO t VALUES (1, 1, 'x', NULL), (2, 1, NULL, NULL);",
    )
    .moves()
    .rejects("INSERT INTO t VALUES (3, 1, 'y', NULL)", "\"p\"")
    .runs("INSERT INTO t VALUES (3, 1, NULL, NULL)")
    .shows("SELECT pg_get_indexdef('d'::regclass) LIKE '%(a DESC, b)'", "t")
    .shows("SELECT pg_get_indexdef('e'::regclass) LIKE '%lower(%, a DESC)'", "t")
    .fate("index", "o on t", Fate::LeftOut, "strftime");
}

#[test]
fn a_btree_entry_ends_at_2704_bytes() {
    for (bytes, fits) in [(2680, true), (2700, false), (3000, false)] {
        let long = noise(bytes);
        let plain =
            format!("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, '{long}');");
        let moved = check(&format!("{plain} CREATE INDEX i ON t(v); CREATE INDEX j ON t(lower(v))")).moves();
        moved.shows("SELECT length(v) FROM t", &bytes.to_string());
        let why = if fits { "" } else { "index entry ends at" };
        let fate = if fits { Fate::Moved } else { Fate::LeftOut };
        moved.fate("index", "i on t", fate, why).fate("index", "j on t", fate, why);
        let unique = check(&format!("{plain} CREATE UNIQUE INDEX i ON t(v)"));
        let key = check(&format!(
            "CREATE TABLE t(v TEXT PRIMARY KEY, w TEXT UNIQUE); INSERT INTO t VALUES ('{long}', '{long}')"
        ));
        if fits {
            unique.moves();
            key.moves();
        } else {
            unique.refuses(&[("t", "", "v", "index entry ends at")]);
            key.refuses(&[("t", "", "v", "primary key"), ("t", "", "w", "unique constraint")]);
        }
    }
}

#[test]
fn an_index_entry_is_as_long_as_what_an_expression_makes() {
    let long = noise(1500);
    let moved = check(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n INT); INSERT INTO t VALUES (1, '{long}', 1), (2, '!!!', 2);
         CREATE INDEX doubled ON t(v || v); CREATE INDEX parts ON t(v, lower(v)); CREATE INDEX dashed ON t(replace(v, '!', '{}'));
         CREATE INDEX literal ON t(v || '{long}'); CREATE INDEX cased ON t(CASE WHEN n > 1 THEN v ELSE lower(v) END);
         CREATE INDEX counted ON t(length(v), v); CREATE INDEX either ON t(coalesce(v, lower(v)), n)",
        "-".repeat(900)
    ))
    .moves();
    for name in ["doubled", "parts", "dashed", "literal"] {
        moved.fate("index", &format!("{name} on t"), Fate::LeftOut, "index entry ends at");
    }
    for name in ["cased", "counted", "either"] {
        moved.fate("index", &format!("{name} on t"), Fate::Moved, "");
    }
    check(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, '{long}'); CREATE UNIQUE INDEX i ON t(v || v)"
    ))
    .refuses(&[("t", "", "v", "index entry ends at")]);
}

#[test]
fn an_index_has_at_most_32_columns() {
    for columns in [32, 33] {
        let names: Vec<String> = (1..=columns).map(|at| format!("c{at}")).collect();
        let (declared, all) = (names.join(" INT, ") + " INT", names.join(", "));
        let plain = format!("CREATE TABLE t(id INTEGER PRIMARY KEY, {declared});");
        let moved = check(&format!("{plain} CREATE INDEX i ON t({all})")).moves();
        let unique = check(&format!("{plain} CREATE UNIQUE INDEX i ON t({all})"));
        let key = check(&format!(
            "CREATE TABLE t({declared}, PRIMARY KEY({all})); CREATE TABLE u({declared}, UNIQUE({all}))"
        ));
        if columns == 32 {
            moved.fate("index", "i on t", Fate::Moved, "");
            unique.moves();
            key.moves();
        } else {
            moved.fate("index", "i on t", Fate::LeftOut, "at most 32");
            unique.refuses(&[("t", "", &all, "at most 32")]);
            key.refuses(&[("t", "", &all, "primary key"), ("u", "", &all, "unique constraint")]);
        }
    }
}

#[test]
fn at_most_1600_columns() {
    let table = |columns: usize, ty: &str| {
        let names: Vec<String> = (0..columns).map(|n| format!("c{n} {ty}")).collect();
        format!("CREATE TABLE t({}); INSERT INTO t(c0, c1599) VALUES (1, 2);", names.join(", "))
    };
    check(&table(1600, "INT")).moves().shows("SELECT c0, c1599, c7 FROM t", "1|2|NULL");
    check(&table(1601, "INT")).refuses(&[("t", "", "", "1601 columns")]);
}

#[test]
fn a_row_must_fit_a_page_before_toast() {
    let names: Vec<String> = (0..1500).map(|n| format!("c{n}")).collect();
    let create = format!("CREATE TABLE t({});", names.join(", "));
    let wide = format!("{create} INSERT INTO t VALUES ({});", vec!["'twelve bytes'"; 1500].join(", "));
    check(&wide).refuses(&[("t", "", "", "on a page")]);
    // Each column is wide somewhere, and no row is.
    let mut sparse = create;
    for name in &names {
        writeln!(sparse, "INSERT INTO t({name}) VALUES ('twelve bytes and more');").unwrap();
    }
    check(&sparse).moves().shows("SELECT count(*) FROM t", "1500");
}

#[test]
fn strict_tables() {
    check("CREATE TABLE t(id INTEGER PRIMARY KEY, a ANY, b TEXT NOT NULL) STRICT; INSERT INTO t VALUES (1, '5', 'x')")
        .moves()
        .types("t", "id bigint, a text, b text")
        .fate("strict", "t", Fate::Moved, "");
}

#[test]
fn a_default_beside_a_value_in_quarantine_does_not_take_its_place() {
    let case = check_with(|source| {
        source
            .execute_batch(
                "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT DEFAULT 'd'); INSERT INTO t VALUES (1, 'x')",
            )
            .unwrap();
        source.execute("INSERT INTO t VALUES (2, 'a' || char(0))", []).unwrap();
    });
    let moved = case.quarantine().quarantines();
    moved.shows("SELECT id, v FROM t ORDER BY id", "1|x\n2|NULL").holds(&[("t", 2, "v", text("a\0"), false)]);
}

#[test]
fn an_empty_database_and_an_empty_table() {
    check("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b REAL)")
        .moves()
        .types("t", "id bigint, a text, b double precision");
    // More often than not it is the wrong store.
    check("CREATE TABLE gone(a); DROP TABLE gone").refuses(&[("", "", "", "holds no table to be moved")]);
}

#[test]
fn a_value_out_of_a_unique_column_leaves_the_others_unique() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v INT UNIQUE); INSERT INTO t VALUES (1, 1), (2, 'x'), (3, 'y'), (4, NULL)";
    check(sql)
        .quarantine()
        .quarantines()
        .shows("SELECT id, v FROM t ORDER BY id", "1|1\n2|NULL\n3|NULL\n4|NULL")
        .holds(&[("t", 2, "v", text("x"), false), ("t", 3, "v", text("y"), false)]);
    check("CREATE TABLE t(id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), ('x', 2)")
        .quarantine()
        .quarantines()
        .holds(&[("t", 2, "id", text("x"), true), ("t", 2, "v", Int(2), true)]);
}
