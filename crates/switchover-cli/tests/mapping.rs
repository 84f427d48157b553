//! Mappings, each carried out and verified on real stores, or refused before anything is written.
//!
//! What must come of a mapping is written out here, or read from the source by SQL of the test's own.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{check, check_with};
use switchover_core::Kind;
use switchover_core::plan::Fate;
use switchover_core::value::OwnedValue;

const USERS: &str = "CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE,
        first TEXT, last TEXT, age INTEGER CHECK (age > 0), deleted_at TEXT);
    CREATE INDEX users_last ON users(last);
    CREATE TABLE posts(id INTEGER PRIMARY KEY, author INTEGER REFERENCES users(id), body TEXT);
    INSERT INTO users VALUES (1, 'a@x', 'Ada', 'L', 36, NULL), (2, 'b@x', 'Bo', NULL, 7, '2024-01-01'),
        (5, 'c@x', 'Cy', 'Z', NULL, NULL);
    INSERT INTO posts VALUES (1, 1, 'one'), (2, 5, 'two'), (3, NULL, 'three');";

#[test]
fn names_types_and_columns_that_are_left() {
    let moved = check(USERS)
        .mapped(
            "[table.users]
             to = 'app_users'
             [table.users.column.email]
             to = 'mail'
             type = 'varchar(320)'
             [table.users.column.age]
             drop = true
             [table.posts.column.author]
             to = 'author_id'",
        )
        .moves();
    moved
        .types(
            "app_users",
            "id bigint, mail character varying(320), first text, last text, deleted_at text",
        )
        .shows("SELECT * FROM app_users ORDER BY id", "1|a@x|Ada|L|NULL\n2|b@x|Bo|NULL|2024-01-01\n5|c@x|Cy|Z|NULL")
        .shows("SELECT author_id FROM posts ORDER BY id", "1\n5\nNULL")
        .shows(
            "SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint
                WHERE contype IN ('f', 'u') AND conrelid::regclass::text IN ('app_users', 'posts') ORDER BY 1",
            "app_users|UNIQUE (mail)\nposts|FOREIGN KEY (author_id) REFERENCES app_users(id)",
        )
        .shows("INSERT INTO app_users(mail) VALUES ('n'); SELECT max(id) FROM app_users", "6")
        .fate("column", "users.age", Fate::LeftOut, "the mapping drops it")
        .fate("check", "users: ", Fate::LeftOut, "needs age");
}

#[test]
fn a_part_of_a_table_and_what_refers_to_it() {
    let toml = "[table.users]\nwhere = 'deleted_at IS NULL -- the living'";
    let moved = check(USERS).mapped(toml).moves();
    moved.shows("SELECT id FROM users ORDER BY id", "1\n5").fate(
        "rows",
        "users",
        Fate::LeftOut,
        "1 of 3 rows of users",
    );
    assert_eq!(moved.report.tables.iter().find(|table| table.source == "users").unwrap().source_rows, 2);
    // Children of rows that are left behind are orphans.
    let orphan = format!("{USERS} UPDATE posts SET author = 2 WHERE id = 1;");
    check(&orphan).mapped(toml).refuses(&[("posts", "id=1", "author", "no parent in users")]);
    check(&orphan)
        .mapped(toml)
        .quarantine()
        .quarantines()
        .shows("SELECT author FROM posts ORDER BY id", "NULL\n5\nNULL")
        .holds(&[("posts", 1, "author", OwnedValue::Int(2), false)]);
}

#[test]
fn columns_that_the_source_computes() {
    let moved = check(USERS)
        .mapped(
            "[table.users.column.full_name]
             value = \"first || ' ' || coalesce(last, '?') /* a name */\"
             [table.users.column.age]
             value = 'age * 2'
             type = 'numeric(5,1)'
             [table.posts.column.mail]
             value = '(SELECT u.email FROM users u WHERE u.id = posts.author)'",
        )
        .moves();
    moved
        .shows(
            "SELECT full_name, age FROM users ORDER BY id",
            "Ada L|72.0\nBo ?|14.0\nCy ?|NULL".replace("Cy ?", "Cy Z").as_str(),
        )
        .shows("SELECT mail FROM posts ORDER BY id", "a@x\nc@x\nNULL")
        .fate("check", "users: ", Fate::LeftOut, "other values");
    // A change of what the expression reads is a difference, and so is one of the result.
    moved.runs("UPDATE users SET full_name = 'x' WHERE id = 1");
    let report = moved.case.verify(false).unwrap();
    let users = report.tables.iter().find(|table| table.source == "users").unwrap();
    assert_eq!((users.differences_total, users.differences[0].fields[0].column.as_str()), (1, "full_name"));
}

#[test]
fn a_key_that_is_computed_must_be_a_key() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, NULL)";
    check(sql)
        .mapped("[table.t.column.id]\nvalue = \"'k' || id\"")
        .moves()
        .shows("SELECT * FROM t ORDER BY v", "k1|a\nk2|b\nk3|c\nk4|NULL")
        .rejects("INSERT INTO t VALUES ('k1')", "duplicate key");
    check(sql).mapped("[table.t.column.id]\nvalue = 'id / 2'").refuses(&[(
        "t",
        "id=3",
        "id",
        "its id occurs in an earlier row; the only such row",
    )]);
    check(sql).mapped("[table.t.column.id]\nvalue = 'nullif(id, 2)'").refuses(&[("t", "id=2", "id", "NULL")]);
}

#[test]
fn a_type_that_not_every_value_fits() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'ab'), (2, 'abc'), (3, 7)";
    let toml = "[table.t.column.v]\ntype = 'varchar(2)'";
    check(sql)
        .mapped(toml)
        .refuses(&[("t", "id=2", "v", "3 characters"), ("t", "id=3", "v", "integer in a column of text")]);
    check(sql)
        .mapped(toml)
        .quarantine()
        .quarantines()
        .types("t", "id bigint, v character varying(2)")
        .shows("SELECT v FROM t ORDER BY id", "ab\nNULL\nNULL");
    for (ty, values, shown) in [
        ("boolean", "(1, 0), (2, 1)", "f\nt"),
        ("boolean", "(1, 'false'), (2, 'true')", "f\nt"),
        ("uuid", "(1, '0188D9C2-AF00-7FFF-0102-030405060708')", "0188d9c2-af00-7fff-0102-030405060708"),
        ("date", "(1, '2024-02-29')", "2024-02-29"),
        ("timestamp", "(1, '2024-02-29T10:00:00.5')", "2024-02-29 10:00:00.5"),
        ("timestamptz", "(1, '2024-02-29T10:00:00Z')", "2024-02-29 10:00:00+00"),
        ("jsonb", "(1, '{\"b\": 1, \"a\": []}')", "{\"a\": [], \"b\": 1}"),
        ("numeric(4,2)", "(1, 1.25)", "1.25"),
        ("double precision", "(1, 2)", "2"),
        ("bytea", "(1, 'a' || char(0))", "\\x6100"),
        ("bytea", "(1, x'00ff')", "\\x00ff"),
    ] {
        let long = match ty {
            "timestamp" => "timestamp without time zone",
            "timestamptz" => "timestamp with time zone",
            other => other,
        };
        check(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES {values}"))
            .mapped(&format!("[table.t.column.v]\ntype = '{ty}'"))
            .moves()
            .types("t", &format!("id bigint, v {long}"))
            .shows("SET TimeZone = UTC; SELECT v FROM t ORDER BY id", shown);
    }
}

#[test]
fn texts_that_the_target_cannot_hold_as_bytes_or_with_escapes() {
    let fill = |source: &rusqlite::Connection| {
        source
            .execute_batch(
                "CREATE TABLE t(k TEXT PRIMARY KEY, v TEXT, w TEXT);
                 CREATE TABLE c(id INTEGER PRIMARY KEY, k TEXT REFERENCES t(k));
                 INSERT INTO t VALUES ('a' || char(0), CAST(x'ff61' AS TEXT), 'plain'), ('b', 'x', 'y'), ('␛', '␛00', 'z');
                 INSERT INTO c VALUES (1, 'a' || char(0)), (2, '␛'), (3, NULL);",
            )
            .unwrap();
    };
    let options = |policy| move |options: &mut switchover_core::plan::PlanOptions| options.policy = policy;
    use switchover_core::plan::Policy;
    check_with(fill)
        .options(options(Policy::Escape))
        .moves()
        .types("t", "k text, v text, w text")
        .shows("SELECT * FROM t ORDER BY w", "a␛00|␛ffa|plain\nb|x|y\n␛␛|␛␛00|z")
        .shows("SELECT count(*) FROM c JOIN t USING (k)", "2")
        .fate("foreign key", "c(k)", Fate::Moved, "")
        .fate("column", "c.k", Fate::Changed, "its texts with escapes");
    check_with(fill)
        .options(options(Policy::Bytea))
        .moves()
        .types("t", "k bytea, v bytea, w text")
        .shows("SELECT k, v FROM t ORDER BY w", "\\x6100|\\xff61\n\\x62|\\x78\n\\xe2909b|\\xe2909b3030")
        .shows("SELECT count(*) FROM c JOIN t USING (k)", "2");
    // A policy of these helps texts; other values that do not fit are still refused.
    check("CREATE TABLE t(v TEXT); INSERT INTO t VALUES (x'01'), ('a'), ('a' || char(0))")
        .options(options(Policy::Escape))
        .refuses(&[("t", "rowid=1", "v", "blob in a column of text")]);
}

#[test]
fn one_table_into_two_and_two_into_one() {
    check(USERS)
        .mapped(
            "[table.living]
             from = ['users']
             where = 'deleted_at IS NULL'
             [table.living.column.deleted_at]
             drop = true
             [table.dead]
             from = ['users']
             where = 'deleted_at IS NOT NULL'",
        )
        .moves()
        .shows("SELECT id, email FROM living ORDER BY id", "1|a@x\n5|c@x")
        .shows("SELECT id, deleted_at FROM dead", "2|2024-01-01")
        .fate("table", "users", Fate::LeftOut, "it is read as dead and living")
        .fate("foreign key", "posts(author) → users", Fate::LeftOut, "one parent");
    let two = "CREATE TABLE staff(id INTEGER PRIMARY KEY, name TEXT, wage REAL);
        CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, nick TEXT);
        CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id));
        INSERT INTO staff VALUES (1, 'S', 1.5), (2, 'T', NULL);
        INSERT INTO customers VALUES (10, 'C', 'c'), (11, 'D', NULL); INSERT INTO orders VALUES (1, 11), (2, 10);";
    let toml = "[table.people]
        from = ['staff', 'customers']
        column.kind.value = \"'?'\"
        part.staff.value = { nick = 'NULL', kind = \"'staff'\" }
        part.customers.value = { wage = 'NULL', kind = \"'customer'\" }
        part.customers.where = 'id > 0'";
    check(two)
        .mapped(toml)
        .moves()
        .shows(
            "SELECT id, name, wage, nick, kind FROM people ORDER BY id",
            "1|S|1.5|NULL|staff\n2|T|NULL|NULL|staff\n10|C|NULL|c|customer\n11|D|NULL|NULL|customer",
        )
        .shows("SELECT count(*) FROM orders JOIN people ON people.id = customer", "2")
        .fate("foreign key", "orders(customer)", Fate::Moved, "");
    check(&format!("{two} INSERT INTO staff VALUES (10, 'twin', 2)")).mapped(toml).refuses(&[(
        "people",
        "customers rowid=10",
        "id",
        "its id occurs in an earlier row",
    )]);
}

#[test]
fn a_mapping_that_does_not_fit_says_where_and_what() {
    let mut said = String::new();
    for toml in [
        "[table.user]\nto = 'x'",
        "[table.users.column.mail]\nto = 'x'",
        "[table.users.column.email]\nto = 'first'",
        "[table.users]\nto = 'posts'",
        "[table.users.column.id]\ndrop = true",
        "[table.users.column.email]\ndrop = true\nto = 'x'",
        "[table.users]\nwhere = 'deleted_at IS'",
        "[table.users]\nwhere = '1); DELETE FROM users'",
        "[table.users]\nwhere = 'deletd_at IS NULL'",
        "[table.users.column.a]\nvalue = 'b'\n[table.users.column.b]\nvalue = 'a'",
        "[table.users.column.at]\nvalue = \"datetime('now')\"",
        "[table.posts]\nfrom = ['users']",
        "[table.people]\nfrom = ['users', 'posts']",
        "[table.people]\nfrom = ['users', 'users']",
        "[table.people]\nfrom = ['users']\npart.posts.where = '1'",
        "[table.users.column.deleted_at]\nnaive_times = 'utc'",
        "[table.users]\nprimary_key = ['mail']",
        "[table.users]\nprimary_key = ['id', 'ID']",
        "[[table.users.index]]\ncolumns = ['age', 'mail']",
        "[[table.users.index]]\ncolumns = ['email']\nunique = true\nmethod = 'gin'",
        "[[table.posts.foreign_key]]\ncolumns = ['author']\nparent = 'user'",
        "[[table.posts.foreign_key]]\ncolumns = ['author']\nparent = 'users'\nparent_columns = ['age']",
        "[[table.posts.foreign_key]]\ncolumns = ['author', 'body']\nparent = 'users'",
    ] {
        let case = check(USERS).mapped(toml);
        let error = case.migrate().expect_err(toml);
        assert_eq!(error.kind(), Kind::Config, "{error:?}");
        said.push_str(&format!("{toml}\n  {}\n  hint: {}\n\n", error.why(), error.what_to_do()));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_given_plan_keeps_its_mapping_and_shows_what_it_does() {
    let case = check(USERS).mapped(
        "[table.users]
         where = 'id <> 2'
         [table.users.column.email]
         to = 'mail'
         [table.users.column.age]
         drop = true
         [table.users.column.name]
         value = 'upper(first)'",
    );
    let plan = case.plan();
    let text: String = serde_json::to_string(&plan).unwrap();
    let plan: switchover_core::plan::Plan = serde_json::from_str(&text).unwrap();
    let users = plan.tables.iter().find(|table| table.source == "users").unwrap();
    let shown: Vec<String> = (users.preview.iter())
        .flat_map(|row| {
            let cell = |cell: &switchover_core::plan::PreviewCell| {
                format!("{} {} {} -> {} {}", row.row, cell.from, cell.before, cell.to, cell.after)
            };
            if row.taken {
                row.cells.iter().map(cell).collect()
            } else {
                vec![format!("{} left out", row.row)]
            }
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    // The plan's own mapping counts, whatever the settings are by then.
    let case = case.options(|options| options.mapping = Default::default());
    let report = case.migrate_by(plan).unwrap();
    assert_eq!(report.tables.iter().map(|table| table.target_rows).sum::<u64>(), 5);
    assert_eq!(case.verify(false).unwrap().verdict, switchover::report::Verdict::Same);
}

const LOOSE: &str = "CREATE TABLE people(id TEXT, mail TEXT, tags TEXT, bio TEXT);
    CREATE TABLE notes(nr INTEGER, person TEXT, body TEXT);
    INSERT INTO people VALUES ('a', 'a@x', '{\"k\": [1]}', 'Ada likes engines'), ('b', NULL, '{}', NULL);
    INSERT INTO notes VALUES (1, 'a', 'one'), (2, 'a', 'two'), (3, NULL, 'three');";

const DECLARED: &str = "
    [table.people]
    primary_key = ['id']
    [table.people.column]
    id.to = 'person_id'
    tags = { type = 'jsonb', not_null = true }
    [[table.people.index]]
    name = 'people_mail'
    columns = ['mail']
    unique = true
    [[table.people.index]]
    columns = ['tags']
    method = 'gin'
    [[table.people.index]]
    name = 'words'
    columns = ['bio']
    method = 'gin'
    full_text = 'english'
    [table.notes]
    primary_key = ['nr']
    [[table.notes.foreign_key]]
    columns = ['person']
    parent = 'people'
    on_delete = 'set_null'
    [[table.notes.index]]
    columns = ['person', 'nr']";

#[test]
fn keys_and_indexes_that_the_mapping_declares() {
    let moved = check(LOOSE).mapped(DECLARED).moves();
    moved
        .shows(
            "SELECT indexname, split_part(indexdef, ' USING ', 2) FROM pg_indexes
                WHERE schemaname = 'public' AND indexname !~ '^_switchover' ORDER BY 1",
            "notes_person_nr_idx|btree (person, nr)\nnotes_pkey|btree (nr)\npeople_mail|btree (mail)\n\
             people_pkey|btree (person_id)\npeople_tags_idx|gin (tags)\n\
             words|gin (to_tsvector('english'::regconfig, bio))",
        )
        .shows(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'",
            "FOREIGN KEY (person) REFERENCES people(person_id) ON DELETE SET NULL",
        )
        .shows("SELECT is_nullable FROM information_schema.columns WHERE column_name = 'tags'", "NO")
        .shows("SELECT person_id FROM people WHERE to_tsvector('english', bio) @@ to_tsquery('english', 'engine')", "a")
        .rejects("INSERT INTO people VALUES ('c', 'a@x', '{}')", "people_mail");
    // What is there already is no second time there.
    let twice = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX t_v ON t(v);
        CREATE TABLE c(t INTEGER REFERENCES t(id)); INSERT INTO t VALUES (1, 'a'); INSERT INTO c VALUES (1);";
    check(twice)
        .mapped(
            "[table.t]\nprimary_key = ['id']\n[[table.t.index]]\ncolumns = ['v']
             [[table.c.foreign_key]]\ncolumns = ['t']\nparent = 't'",
        )
        .moves()
        .shows("SELECT count(*) FROM pg_indexes WHERE tablename = 't'", "2")
        .shows("SELECT count(*) FROM pg_constraint WHERE contype = 'f'", "1");
    // A source's own key that is another one stays unique.
    check("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a');")
        .mapped("[table.t]\nprimary_key = ['v']")
        .moves()
        .shows(
            "SELECT contype, conkey FROM pg_constraint WHERE conrelid = 't'::regclass AND contype <> 'n' ORDER BY 1",
            "p|{2}\nu|{1}",
        )
        .fate("primary key", "t(id)", Fate::LeftOut, "kept as a unique constraint");
}

#[test]
fn rows_that_do_not_keep_a_declared_key() {
    let with = |sql: &str| check(&format!("{LOOSE}{sql}")).mapped(DECLARED);
    with("INSERT INTO people VALUES ('a', 'z@x', '{}', NULL)").refuses(&[(
        "people",
        "rowid=3",
        "id",
        "its id occurs in an earlier row; the only such row",
    )]);
    with("INSERT INTO people VALUES ('c', 'a@x', '{}', NULL)").refuses(&[(
        "people",
        "rowid=3",
        "mail",
        "its mail occurs in an earlier row; the only such row",
    )]);
    with("INSERT INTO people VALUES (NULL, 'c@x', '{}', NULL)")
        .refuses(&[("people", "rowid=3", "id", "NULL")]);
    with("INSERT INTO people VALUES ('c', 'c@x', NULL, NULL)")
        .refuses(&[("people", "rowid=3", "tags", "NULL")]);
    // A key of SQLite's own may hold NULL in another file too, and one that is declared may not.
    check("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, NULL);")
        .mapped("[table.t]\nprimary_key = ['v']")
        .into_file()
        .refuses(&[("t", "id=1", "v", "NULL")]);
    let orphan = "INSERT INTO notes VALUES (4, 'x', 'four')";
    with(orphan).refuses(&[("notes", "rowid=4", "person", "no parent in people; the only such orphan")]);
    with(orphan).quarantine().quarantines().shows("SELECT person FROM notes ORDER BY nr", "a\na\nNULL\nNULL");
}

#[test]
fn indexes_that_the_target_cannot_make_are_left_out_with_a_reason() {
    let long = "INSERT INTO people VALUES ('c', 'c@x', '{}', replace(hex(zeroblob(200000)), '00', 'a b '))";
    check(&format!("{LOOSE}{long}")).mapped(DECLARED).moves().fate(
        "index",
        "words on people",
        Fate::LeftOut,
        "texts of up to 800000 bytes",
    );
    for (lines, why) in [
        ("columns = ['mail']\nmethod = 'gin'", "mail is text: a GIN index is over jsonb or text[]"),
        ("columns = ['nr']\nmethod = 'gin'\nfull_text = 'english'", "nr is bigint, and words are in texts"),
    ] {
        let table = if lines.contains("nr") { "notes" } else { "people" };
        let toml = format!("[[table.{table}.index]]\nname = 'special'\n{lines}");
        check(LOOSE).mapped(&toml).moves().fate("index", "special on ", Fate::LeftOut, why);
    }
}

#[test]
fn times_without_a_zone_and_numbers_that_count() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, at, made INTEGER, names TEXT);
        INSERT INTO t VALUES (1, '2024-02-29T10:00:00', 0, '[]'), (2, '2024-02-29 12:00:00.5+02:00', -1, '[\"a\", null]'),
        (3, NULL, 253402300799, NULL)";
    let toml = "[table.t.column]
        at = { type = 'timestamptz', naive_times = 'utc' }
        made = { type = 'timestamptz', epoch = 'seconds' }
        names = { type = 'text[]' }";
    let moved = check(sql).mapped(toml).moves();
    moved.shows(
        "SELECT at AT TIME ZONE 'UTC', made AT TIME ZONE 'UTC', names FROM t ORDER BY id",
        "2024-02-29 10:00:00|1970-01-01 00:00:00|{}\n2024-02-29 10:00:00.5|1969-12-31 23:59:59|{a,NULL}\n\
         NULL|9999-12-31 23:59:59|NULL",
    );
    // Another instant, and another unit, are differences.
    moved.runs("UPDATE t SET at = at + interval '1 microsecond' WHERE id = 1; UPDATE t SET made = made + interval '1 ms' WHERE id = 2");
    let report = moved.case.verify(false).unwrap();
    assert_eq!(report.tables[0].differences_total, 2);
    for (from, to, column) in [
        ("naive_times = 'utc'", "naive_times = 'refuse'", ("id=1", "at", "without a zone")),
        (", epoch = 'seconds'", "", ("id=1", "made", "integer in a column of timestamps")),
        ("253402300799", "253402300800", ("id=3", "made", "outside of the years 1 to 9999")),
        ("text[]", "bigint", ("id=1", "names", "text in a column of integers")),
    ] {
        let (row, name, why) = column;
        let toml = toml.replace(from, to);
        let plan = check(&sql.replace(from, to)).mapped(&toml).plan();
        let found = plan.refusals.iter().any(|r| r.key == row && r.column == name && r.why.contains(why));
        assert!(found, "{toml}: {:#?}", plan.refusals);
    }
}

#[test]
fn spans_networks_and_lists_are_made_where_they_are_asked_for() {
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, span TEXT, net TEXT, card TEXT, sums TEXT, seen TEXT);
        INSERT INTO t VALUES (1, 'P1DT1H', '10.0.0.0/8', '08:00:2b:01:02:03', '[1.25, null]', '[\"2024-01-01T00:00:00Z\"]');";
    let toml = "[table.t.column]
        span = { type = 'interval' }
        net = { type = 'cidr' }
        card = { type = 'macaddr' }
        sums = { type = 'numeric(4,2)[]' }
        seen = { type = 'timestamptz[]' }";
    check(sql)
        .mapped(toml)
        .moves()
        .types(
            "t",
            "id bigint, span interval, net cidr, card macaddr, sums numeric(4,2)[], seen timestamp with time zone[]",
        )
        .shows("SELECT span, net, sums FROM t", "1 day 01:00:00|10.0.0.0/8|{1.25,NULL}");
    for (from, to, column) in [
        ("P1DT1H", "a day", ("span", "no span of time")),
        ("10.0.0.0/8", "10.0.0.1/8", ("net", "no network")),
        ("1.25", "1.255", ("sums", "more digits than numeric(4,2)")),
    ] {
        let plan = check(&sql.replace(from, to)).mapped(toml).plan();
        let found = plan.refusals.iter().any(|r| r.column == column.0 && r.why.contains(column.1));
        assert!(found, "{to}: {:#?}", plan.refusals);
    }
}
