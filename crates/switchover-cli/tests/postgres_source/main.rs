//! From PostgreSQL to SQLite: by the program itself, and compared by `psql` and plain SELECTs, which share
//! no code with it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod odd;

use common::{Ran, program, run};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::process::Command;
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// A database and a folder in which the program runs.
struct Way {
    folder: TempDir,
    database: Database,
}

/// A source made by SQL.
fn way(sql: &str) -> Way {
    let database = Cluster::shared().unwrap().fresh_database("source").unwrap();
    database.psql(sql).unwrap_or_else(|error| panic!("{error}"));
    Way { folder: tempfile::tempdir().unwrap(), database }
}

impl Way {
    fn command(&self, verb: &str, more: &[&str]) -> Command {
        let mut command = program(self.folder.path(), &[verb]);
        command.args(["--from", &self.database.conninfo(), "--to", "sqlite:app.db"]).args(more);
        command
    }

    #[track_caller]
    fn migrate(&self, more: &[&str]) -> Ran {
        run(self.command("migrate", &["--no-backup"]).args(more))
    }

    /// It moves, and every field is verified as the same.
    #[track_caller]
    fn moves(self) -> Way {
        self.migrate(&[]).exits(0);
        self
    }

    /// The server knows of each page that all may see its rows, and so reads an index alone where that will do.
    fn analyzed(self) -> Way {
        self.database.psql("VACUUM ANALYZE").unwrap();
        self
    }

    fn target(&self) -> Connection {
        Connection::open(self.folder.path().join("app.db")).unwrap()
    }

    /// What a query gives in SQLite: cells as `quote` writes them, parted by `|`.
    #[track_caller]
    fn shows(&self, query: &str, expected: &str) -> &Way {
        assert_eq!(rows(&self.target(), query), expected, "{query}");
        self
    }

    /// That nothing was written.
    #[track_caller]
    fn wrote_nothing(&self) {
        assert!(!self.folder.path().join("app.db").exists());
    }
}

fn rows(connection: &Connection, query: &str) -> String {
    let mut statement = connection.prepare(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let width = statement.column_count();
    let mut found = statement.query([]).unwrap();
    let mut lines = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let cells: Vec<String> = (0..width).map(|at| shown(row.get(at).unwrap())).collect();
        lines.push(cells.join("|"));
    }
    lines.join("\n")
}

fn shown(value: Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(i) => i.to_string(),
        Value::Real(f) => format!("{f:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::Blob(blob) => blob.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// One column of one type: SQL literals of PostgreSQL, the type on SQLite, and the cells as they must be there.
#[track_caller]
fn column(ty: &str, literals: &[&str], declared: &str, expected: &[&str]) {
    let values: Vec<String> =
        literals.iter().enumerate().map(|(at, literal)| format!("({at}, {literal}::{ty})")).collect();
    let sql = format!(
        "CREATE TABLE t(id int PRIMARY KEY, c {ty}); INSERT INTO t VALUES (-1, NULL), {}",
        values.join(", ")
    );
    let moved = way(&sql).moves();
    moved.shows("SELECT type FROM pragma_table_info('t') WHERE name = 'c'", &format!("'{declared}'"));
    moved.shows("SELECT c FROM t WHERE id >= 0 ORDER BY id", &expected.join("\n"));
    moved.shows("SELECT c FROM t WHERE id = -1", "NULL");
}

#[test]
fn truth_values_and_numbers() {
    column("bool", &["true", "false"], "BOOLEAN", &["1", "0"]);
    column("smallint", &["'-32768'", "32767"], "INTEGER", &["-32768", "32767"]);
    column("integer", &["'-2147483648'", "2147483647"], "INTEGER", &["-2147483648", "2147483647"]);
    column(
        "bigint",
        &["'-9223372036854775808'", "9223372036854775807"],
        "INTEGER",
        &["-9223372036854775808", "9223372036854775807"],
    );
    column("oid", &["4294967295"], "INTEGER", &["4294967295"]);
    column("real", &["0.1", "'Infinity'"], "REAL", &["0.10000000149011612", "inf"]);
    column(
        "double precision",
        &["0.1", "'-Infinity'", "5e-324", "1.7976931348623157e308", "3"],
        "REAL",
        &["0.1", "-inf", "5e-324", "1.7976931348623157e308", "3.0"],
    );
    column("double precision", &["'-0'", "1.5"], "", &["-0.0", "1.5"]);
    column("money", &["1234.56"], "NUMERIC", &["1234.56"]);
}

#[test]
fn decimal_numbers() {
    column("numeric(10,2)", &["1.50", "'-99999999.99'", "3"], "NUMERIC(10,2)", &["1.5", "-99999999.99", "3"]);
    column(
        "numeric",
        &["9223372036854775807", "0.1", "1e300"],
        "NUMERIC",
        &["9223372036854775807", "0.1", "1e300"],
    );
    column(
        "numeric",
        &["12345678901234567.89", "1.50", "'NaN'", "1e-30"],
        "TEXT",
        &["'12345678901234567.89'", "'1.5'", "'NaN'", "'0.000000000000000000000000000001'"],
    );
    column("numeric", &["9223372036854775808"], "TEXT", &["'9223372036854775808'"]);
    // Text compares otherwise than numbers: a rule about it would be another rule.
    let checked = |value: &str| {
        let sql = "CREATE TABLE t(id int PRIMARY KEY, n numeric CHECK (n > 0)); INSERT INTO t VALUES";
        let moved = way(&format!("{sql} (1, {value})")).moves();
        rows(&moved.target(), "SELECT sql LIKE '%CHECK%' FROM sqlite_schema WHERE name = 't'")
    };
    assert_eq!((checked("1.5"), checked("12345678901234567.89")), ("1".into(), "0".into()));
}

#[test]
fn texts_and_bytes() {
    column(
        "text",
        &["''", "'12'", "'é''s \\ 😀'", "' 1e3 '"],
        "TEXT",
        &["''", "'12'", "'é's \\ 😀'", "' 1e3 '"],
    );
    column("varchar(5)", &["'abc'"], "VARCHAR(5)", &["'abc'"]);
    column("char(4)", &["'ab'", "'ab  '", "'abcd'"], "VARCHAR(4)", &["'ab  '", "'ab  '", "'abcd'"]);
    column("bytea", &["'\\x'", "'\\x00ff'"], "BLOB", &["", "00ff"]);
    column("name", &["'n'"], "TEXT", &["'n'"]);
    column(
        "uuid",
        &["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
        "UUID",
        &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    );
}

#[test]
fn times() {
    column(
        "date",
        &[
            "'2024-02-29'",
            "'0001-01-01'",
            "'9999-12-31'",
            "'4713-01-01 BC'",
            "'5874897-12-31'",
            "'infinity'",
            "'-infinity'",
        ],
        "DATE",
        &[
            "'2024-02-29'",
            "'0001-01-01'",
            "'9999-12-31'",
            "'4713-01-01 BC'",
            "'5874897-12-31'",
            "'infinity'",
            "'-infinity'",
        ],
    );
    column(
        "timestamp",
        &[
            "'2024-02-29 12:34:56'",
            "'2024-02-29 12:34:56.5'",
            "'0044-03-15 01:00 BC'",
            "'12024-01-01'",
            "'infinity'",
        ],
        "TIMESTAMP",
        &[
            "'2024-02-29 12:34:56'",
            "'2024-02-29 12:34:56.500000'",
            "'0044-03-15 01:00:00 BC'",
            "'12024-01-01 00:00:00'",
            "'infinity'",
        ],
    );
    column(
        "timestamptz",
        &["'2024-02-29 12:34:56.000001+02'", "'-infinity'"],
        "TIMESTAMPTZ",
        &["'2024-02-29 10:34:56.000001+00:00'", "'-infinity'"],
    );
    column("time", &["'24:00:00'", "'12:34:56.789'"], "TEXT", &["'24:00:00'", "'12:34:56.789'"]);
    column("timetz", &["'12:34:56+02'"], "TEXT", &["'12:34:56+02'"]);
    column("interval", &["'1 year -3 days 04:05:06'"], "TEXT", &["'1 year -3 days +04:05:06'"]);
}

#[test]
fn json_arrays_and_everything_else() {
    column("json", &["'{\"a\" : 1,\"a\":2}'"], "JSON", &["'{\"a\" : 1,\"a\":2}'"]);
    column("jsonb", &["'{\"b\":[1, null]}'", "'\"x\"'"], "JSON", &["'{\"b\": [1, null]}'", "'\"x\"'"]);
    // A JSON number in a column declared JSON would become a number of SQLite.
    column("jsonb", &["'1.50'", "'[]'"], "JSON TEXT", &["'1.50'", "'[]'"]);
    column(
        "text[]",
        &["'{}'", "ARRAY['a','b,\"c',NULL,'{}']", "'{{a,b},{c,d}}'", "'[0:1]={a,b}'"],
        "JSON",
        &["'[]'", "'[\"a\",\"b,\\\"c\",null,\"{}\"]'", "'{{a,b},{c,d}}'", "'[0:1]={a,b}'"],
    );
    column("int[]", &["'{1,2}'"], "JSON", &["'[1,2]'"]);
    column("float8[]", &["'{1.5,NaN}'"], "TEXT", &["'{1.5,NaN}'"]);
    column("inet", &["'10.0.0.1/8'", "'::1'"], "TEXT", &["'10.0.0.1/8'", "'::1'"]);
    column("macaddr", &["'08:00:2B:01:02:03'"], "TEXT", &["'08:00:2b:01:02:03'"]);
    column("int4range", &["'[1,5]'"], "TEXT", &["'[1,6)'"]);
    column("bit(3)", &["B'101'"], "TEXT", &["'101'"]);
    column("tsvector", &["'a fat cat'"], "TEXT", &["''a' 'cat' 'fat''"]);
    column("xml", &["'<a>1</a>'"], "TEXT", &["'<a>1</a>'"]);
    column("point", &["'(1,2.5)'"], "TEXT", &["'(1,2.5)'"]);
}

#[test]
fn domains_enumerations_and_extensions() {
    let moved = way("CREATE EXTENSION citext; CREATE EXTENSION hstore;
        CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE DOMAIN small AS int CHECK (VALUE > 0) DEFAULT 7;
        CREATE TYPE pair AS (x int, y text);
        CREATE TABLE t(id int PRIMARY KEY, m mood DEFAULT 'sad', s small, c citext, h hstore, p pair);
        INSERT INTO t VALUES (1, 'it''s ok', 3, 'MiXed', 'a=>1', '(1,\"x y\")')")
    .moves();
    moved.shows("SELECT * FROM t", "1|'it's ok'|3|'MiXed'|'\"a\"=>\"1\"'|'(1,\"x y\")'");
    moved.shows("INSERT INTO t(id) VALUES (2) RETURNING m, s", "'sad'|7");
    for refused in ["INSERT INTO t(id, m) VALUES (3, 'glad')", "INSERT INTO t(id, s) VALUES (3, 0)"] {
        let error = moved.target().execute_batch(refused).expect_err(refused).to_string();
        assert!(error.contains("CHECK"), "{error}");
    }
}

#[test]
fn keys_indexes_rules_and_sequences() {
    let moved = way("CREATE TABLE team(id bigint GENERATED ALWAYS AS IDENTITY (START 5), name text NOT NULL UNIQUE,
            open bool NOT NULL DEFAULT true, PRIMARY KEY (id));
        INSERT INTO team(name) VALUES ('a'), ('b'); DELETE FROM team WHERE name = 'b';
        CREATE TABLE player(id serial PRIMARY KEY, team bigint REFERENCES team ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
            age int CHECK (age BETWEEN 0 AND 150), nick varchar(9), at timestamptz DEFAULT now(),
            twice int GENERATED ALWAYS AS (age * 2) STORED, CHECK (nick <> ''), CHECK (lower(nick) = nick));
        INSERT INTO player(team, age, nick) VALUES (5, 30, 'x');
        CREATE INDEX by_age ON player(age DESC, nick) WHERE age > 18;
        CREATE INDEX low ON player(lower(nick)); CREATE INDEX gin ON player USING gin(to_tsvector('simple', nick));
        CREATE VIEW grown AS SELECT id FROM player WHERE age > 18;
        CREATE TABLE log(what text)");
    let ran = moved.migrate(&[]).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    moved.shows("INSERT INTO team(name) VALUES ('c') RETURNING id, open", "7|1");
    moved.shows("INSERT INTO player(age) VALUES (1) RETURNING id", "2");
    moved.shows("SELECT age, twice FROM player WHERE id = 1", "30|60");
    moved.shows(
        "SELECT sql FROM sqlite_schema WHERE name = 'by_age'",
        "'CREATE INDEX \"by_age\" ON \"player\" (\"age\" DESC, \"nick\") WHERE \"age\" > 18'",
    );
    moved.shows("SELECT \"table\", on_delete FROM pragma_foreign_key_list('player')", "'team'|'CASCADE'");
    for refused in ["INSERT INTO team(name) VALUES ('a')", "INSERT INTO player(age) VALUES (151)"] {
        assert!(moved.target().execute_batch(refused).is_err(), "{refused}");
    }
    let plan = run(&mut moved.command("plan", &["-o", "-"]));
    // Its target is not empty any more; what is left out has its line all the same.
    for (kind, name) in [
        ("default", "player.at"),
        ("generated column", "player.twice"),
        ("check", "player: (lower((nick)::text)"),
        ("index", "low on player"),
        ("index", "gin on player"),
        ("view", "grown"),
        ("primary key", "log"),
    ] {
        let line = format!("\"kind\": \"{kind}\",\n      \"name\": \"{name}");
        assert!(plan.out.contains(&line), "no line for {kind} {name}: {plan}");
    }
}

#[test]
fn keys_of_every_type_are_walked_in_chunks() {
    let keys = [
        ("int", "g - 150"),
        (
            "text COLLATE \"en-x-icu\"",
            "chr(65 + g % 50) || CASE g % 3 WHEN 0 THEN 'ä' WHEN 1 THEN 'z' ELSE '' END || g",
        ),
        ("char(6)", "'k' || g"),
        ("varchar(9)", "CASE g % 2 WHEN 0 THEN 'a' ELSE 'A' END || g"),
        ("uuid", "md5(g::text)::uuid"),
        ("numeric", "g / 7.0 - 20"),
        ("double precision", "CASE g WHEN 1 THEN '-Infinity' ELSE g / 7.0 - 20 END"),
        ("date", "CASE g WHEN 1 THEN 'infinity' ELSE date '0010-01-01' - g * 9 END"),
        ("timestamp", "timestamp '2020-01-01' + g * interval '1.5 s'"),
        (
            "timestamptz",
            "CASE g WHEN 1 THEN '-infinity' ELSE timestamptz '0010-01-01' - g * interval '9 days' END",
        ),
        ("bytea", "decode(md5(g::text), 'hex')"),
        ("bool", "g % 2 = 0"),
        ("interval", "g * interval '1 hour'"),
        ("inet", "inet '10.0.0.0' + g"),
        ("oid", "g + 4000000000"),
    ];
    let mut sql = String::new();
    for (at, (ty, key)) in keys.iter().enumerate() {
        let more = if *ty == "bool" { ", PRIMARY KEY (k, n)" } else { ", PRIMARY KEY (k)" };
        sql.push_str(&format!(
            "CREATE TABLE t{at}(n int NOT NULL, k {ty}, filler text{more});
             INSERT INTO t{at} SELECT g, {key}, repeat('x', 100) FROM generate_series(1, 300) g;\n"
        ));
    }
    // Rows without a key, some of them equal.
    sql.push_str("CREATE TABLE bare(n int, filler text); INSERT INTO bare SELECT g % 250, repeat('y', 100) FROM generate_series(1, 300) g;");
    let moved = way(&sql);
    let ran = run(moved.command("migrate", &["--no-backup"]).env("SWITCHOVER_TEST_CHUNK_BYTES", "4096"));
    ran.exits(0);
    for at in 0..keys.len() {
        moved.shows(
            &format!("SELECT count(*), sum(n), count(DISTINCT k) FROM t{at}"),
            &match at {
                11 => "300|45150|2".to_owned(),
                _ => "300|45150|300".to_owned(),
            },
        );
    }
    moved.shows("SELECT count(*), count(DISTINCT n) FROM bare", "300|250");
}

#[test]
fn partitions_inheritance_and_other_schemas() {
    let moved = way("CREATE SCHEMA app; CREATE SCHEMA other;
        CREATE TABLE app.part(id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE app.part_a PARTITION OF app.part FOR VALUES FROM ('2020-01-01') TO ('2020-07-01');
        CREATE TABLE app.part_b PARTITION OF app.part DEFAULT;
        INSERT INTO app.part SELECT g, date '2020-06-01' + g FROM generate_series(1, 60) g;
        CREATE TABLE app.base(id int PRIMARY KEY); CREATE TABLE app.derived(more text) INHERITS (app.base);
        INSERT INTO app.base VALUES (1); INSERT INTO app.derived VALUES (2, 'x');
        CREATE UNLOGGED TABLE app.\"odd \"\"name\"(\"select\" int, \"a b\" text); INSERT INTO app.\"odd \"\"name\" VALUES (1, 'x');
        CREATE TABLE other.t(a int); CREATE TABLE public.t(a int)");
    moved.migrate(&["--from-schema", "app"]).exits(0);
    moved.shows("SELECT count(*), count(DISTINCT id) FROM part", "60|60");
    moved.shows("SELECT group_concat(id) FROM base", "'1'").shows("SELECT * FROM derived", "2|'x'");
    moved.shows("SELECT \"select\", \"a b\" FROM \"odd \"\"name\"", "1|'x'");
    moved.shows("SELECT count(*) FROM sqlite_schema WHERE name IN ('t', 'part_a', 'part_b')", "0");
    // The run knows its source's schema, which the journal keeps.
    run(&mut program(moved.folder.path(), &["rollback"])).exits(0);
    moved.wrote_nothing();
    moved.migrate(&["--from-schema", "absent"]).exits(2).says("no schema \"absent\"").says("--from-schema");
}

#[test]
fn what_sqlite_cannot_hold_is_refused_or_quarantined() {
    let refused =
        way("CREATE TABLE t(id int PRIMARY KEY, f float8); INSERT INTO t VALUES (1, 'NaN'), (2, 1.5)");
    refused.migrate(&[]).exits(1).says("id=1").says("NaN");
    refused.wrote_nothing();
    let moved = refused.migrate(&["--policy", "quarantine"]).exits(0);
    assert!(
        moved.out.starts_with("same: every field of every row is equal, except 1 value in quarantine\n"),
        "{moved}"
    );
    refused.shows("SELECT * FROM t ORDER BY id", "1|NULL\n2|1.5");
    refused.shows("SELECT table_name, column_name, whole_row FROM _switchover_quarantine", "'t'|'f'|0");

    let alike = way("CREATE TABLE t(id int PRIMARY KEY); CREATE TABLE \"T\"(id int PRIMARY KEY)");
    let said = alike.migrate(&[]).exits(1).says("the table names T, t all become").says("(`to`)");
    assert!(!said.err.contains("--names keep"), "the names are kept: {said}");
    alike.migrate(&["--names", "snake"]).exits(1).says("use --names keep");

    let orphans = way("CREATE TABLE p(id int PRIMARY KEY); CREATE TABLE c(id int PRIMARY KEY, p int);
        INSERT INTO c VALUES (1, 9); ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p NOT VALID");
    orphans.migrate(&[]).exits(1).says("no parent");
    orphans.migrate(&["--policy", "quarantine"]).exits(0);
    orphans.shows("SELECT * FROM c", "1|NULL");
}

#[test]
fn ids_that_become_uuids() {
    let way = way("CREATE TABLE users(id int PRIMARY KEY, name text); CREATE TABLE notes(id uuid PRIMARY KEY, owner int REFERENCES users);
        INSERT INTO users VALUES (7, 'Ada'), (-1, 'Bo');
        INSERT INTO notes VALUES ('0188d9c2-af00-7fff-0102-030405060708', 7)");
    let toml = "[table.users.column.id]\nids = 'uuid5'\n[table.notes.column.id]\nids = 'uuid5'";
    std::fs::write(way.folder.path().join("switchover.toml"), toml).unwrap();
    let way = way.moves();
    way.shows(
        "SELECT original, uuid FROM users_id_map ORDER BY original",
        "-1|'a4b894d2-aff9-5a1a-8153-937b9a9fd900'\n7|'15af3d9e-a1d5-51fb-a862-333a37a7840b'",
    )
    .shows(
        "SELECT id, owner FROM notes",
        "'0188d9c2-af00-7fff-0102-030405060708'|'15af3d9e-a1d5-51fb-a862-333a37a7840b'",
    )
    .shows("SELECT u.name FROM notes n JOIN users u ON u.id = n.owner", "'Ada'");
}

#[test]
fn who_may_not_read_everything_moves_nothing() {
    let server = Cluster::shared().unwrap();
    let case = way("CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
        CREATE POLICY one_row ON t USING (id = 1); CREATE TABLE secret(id int)");
    let role = format!("{}_reader", case.database.name());
    case.database.psql(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}")).unwrap();
    let url = server.with_role(&role, None).conninfo(case.database.name());
    let migrate = |more: &[&str]| {
        let mut command = program(case.folder.path(), &["migrate", "--no-backup", "--to", "sqlite:app.db"]);
        run(command.args(["--from", &url]).args(more))
    };
    migrate(&[]).exits(2).says("secret").says("may not read");
    case.database.psql("DROP TABLE secret").unwrap();
    // Rows that a policy hides are an error, never left out.
    migrate(&[]).exits(2).says("row-level security");
    case.wrote_nothing();
    case.database.psql("ALTER TABLE t DISABLE ROW LEVEL SECURITY").unwrap();
    migrate(&[]).exits(0);
    case.database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn two_postgresql_stores_are_no_pair_and_a_schema_is_postgresqls() {
    let case = way("CREATE TABLE t(id int PRIMARY KEY)");
    let url = case.database.conninfo();
    let command = |arguments: &[&str]| run(&mut program(case.folder.path(), arguments));
    command(&["migrate", "--from", &url, "--to", &url]).exits(2).says("pg_dump");
    let asked = ["plan", "--from", "sqlite:app.db", "--from-schema", "app", "--to", &url];
    command(&asked).exits(2).says("only PostgreSQL has schemas");
    let doctor = command(&["doctor", "--from", &url]).exits(0);
    assert!(doctor.out.contains("holds 1 table"), "{doctor}");
}

/// What was copied is no longer what the source holds: no mixture of two states.
#[cfg(feature = "failpoints")]
#[test]
fn a_run_whose_source_changed_while_it_was_dead_is_refused() {
    let case = way(
        "CREATE TABLE counted(id int PRIMARY KEY, n int); INSERT INTO counted SELECT g, g FROM generate_series(1, 2000) g;
         CREATE TABLE bare(n int, t text); INSERT INTO bare SELECT g % 7, repeat('z', g % 30) FROM generate_series(1, 2000) g",
    );
    let mut migrate = case.command("migrate", &["--no-backup"]);
    migrate.env("SWITCHOVER_TEST_CHUNK_BYTES", "4096").env("FAILPOINTS", "copy-after-commit=9*off->return");
    run(&mut migrate).was_killed();
    case.database.psql("DELETE FROM bare WHERE ctid = (SELECT min(ctid) FROM bare)").unwrap();
    run(&mut program(case.folder.path(), &["resume"])).exits(1).says("changed");
}

/// SQLite to PostgreSQL and back: the same values, and the same types again on the next way.
#[test]
fn chinook_comes_back_as_it_was() {
    let case = way("");
    let original = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/chinook.sqlite");
    let url = case.database.conninfo();
    let go = |arguments: &[&str]| run(&mut program(case.folder.path(), arguments)).exits(0);
    go(&["migrate", "--no-backup", "--from", &format!("sqlite:{original}"), "--to", &url]);
    go(&["cleanup", "--yes"]);
    let types = |database: &Database| {
        let query = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind = 'r' AND a.attnum > 0
                AND c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '\\_switchover%' ORDER BY 1, 2";
        database.rows(query).unwrap()
    };
    case.migrate(&[]).exits(0);
    let (source, target) = (Connection::open(original).unwrap(), case.target());
    let names =
        rows(&source, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
    let mut tables = 0;
    for name in names.lines().map(|name| name.trim_matches('\'')) {
        tables += 1;
        let columns = rows(
            &source,
            &format!("SELECT group_concat('\"' || name || '\"') FROM pragma_table_info('{name}')"),
        );
        // Integers in a column of decimals come back as they were: 1 and 1.0 are one number to both.
        let query = format!("SELECT {0} FROM \"{name}\" ORDER BY {0}", columns.trim_matches('\''));
        assert_eq!(rows(&source, &query), rows(&target, &query), "{name}");
    }
    assert_eq!(tables, 11);
    drop(target);
    go(&["cleanup", "--yes"]);
    let again = Cluster::shared().unwrap().fresh_database("again").unwrap();
    go(&["migrate", "--no-backup", "--from", "sqlite:app.db", "--to", &again.conninfo()]);
    assert_eq!(types(&case.database), types(&again));
}

/// A column of the property test: its type, how a value is made from an integer, and what must stand in
/// SQLite, as PostgreSQL's SQL says it.
const KINDS: &[(&str, &str, &str)] = &[
    ("bool", "{} % 2 = 0", "{}::int::text"),
    ("int2", "({} % 32768)::int2", "{}::text"),
    ("int4", "({} % 2147483648)::int4", "{}::text"),
    ("int8", "{}", "{}::text"),
    ("numeric(12,3)", "({} % 999999999999) / 1000.0", "trim_scale({})::text"),
    ("numeric", "({} % 100000)::numeric * 10::numeric ^ (({} % 40)::int)", "trim_scale({})::text"),
    ("text", "chr((abs({} % 2000) + 1)::int) || {}::text", "{}"),
    ("varchar(40)", "repeat('é', abs({} % 9)::int)", "{}"),
    ("char(9)", "left({}::text, 8)", "rpad({}::text, 9)"),
    ("bytea", "decode(md5({}::text), 'hex')", "encode({}, 'hex')"),
    ("uuid", "md5({}::text)::uuid", "{}::text"),
    ("date", "date '2000-01-01' + ({} % 700000)::int", "{}::text"),
    (
        "timestamp",
        "timestamp '2000-01-01' + ({} % 60000000000) * interval '1 microsecond'",
        "to_char({}, 'YYYY-MM-DD HH24:MI:SS') || CASE WHEN {} = date_trunc('second', {}) THEN '' ELSE to_char({}, '.US') END",
    ),
    ("json", "json_build_object('a', {})", "{}::text"),
    ("jsonb", "jsonb_build_array({}, NULL)", "{}::text"),
    ("int4[]", "ARRAY[({} % 100)::int, NULL]", "array_to_json({})::text"),
    ("interval", "({} % 100000) * interval '1 second'", "{}::text"),
    ("inet", "inet '10.0.0.0' + abs({} % 100000)", "host({})"),
];

#[test]
fn random_tables_are_verified_and_equal() {
    let cases: u32 =
        std::env::var("SWITCHOVER_PROPERTY_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let seed: Option<u64> = std::env::var("SWITCHOVER_PROPERTY_SEED").ok().and_then(|text| text.parse().ok());
    for case in 0..seed.map_or(cases, |_| 1) {
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) << 32 | u64::from(case));
        println!("SWITCHOVER_PROPERTY_SEED={seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let kinds = proptest::collection::vec((0..KINDS.len(), any::<bool>()), 1..9);
        let values = proptest::collection::vec(proptest::option::of(any::<i64>()), 0..40);
        let (kinds, values, keyed) = (kinds, values, 0..3u8).new_tree(&mut runner).unwrap().current();
        one_random_table(&kinds, &values, keyed);
    }
}

fn one_random_table(kinds: &[(usize, bool)], values: &[Option<i64>], keyed: u8) {
    let key = match keyed {
        0 => "",
        1 => ", PRIMARY KEY (n)",
        _ => ", UNIQUE (n)",
    };
    let columns: Vec<String> =
        kinds.iter().enumerate().map(|(at, (kind, _))| format!("c{at} {}", KINDS[*kind].0)).collect();
    let mut sql = format!("CREATE TABLE t(n int, {}{key});", columns.join(", "));
    for (n, value) in values.iter().enumerate() {
        let cells: Vec<String> = (kinds.iter())
            .map(|(kind, nulls)| match value {
                Some(value) if !nulls || value % 3 != 0 => {
                    // The smallest integer has no literal and no absolute value.
                    KINDS[*kind].1.replace("{}", &format!("({})::int8", value / 2))
                }
                _ => "NULL".into(),
            })
            .collect();
        sql.push_str(&format!("INSERT INTO t VALUES ({n}, {});", cells.join(", ")));
    }
    let moved = way(&sql).moves();
    let shown: Vec<String> = (kinds.iter().enumerate())
        .map(|(at, (kind, _))| KINDS[*kind].2.replace("{}", &format!("c{at}")))
        .collect();
    let expected = moved.database.rows(&format!("SELECT {} FROM t ORDER BY n", shown.join(", "))).unwrap();
    let names: Vec<String> = (0..kinds.len()).map(|at| format!("c{at}")).collect();
    let target = moved.target();
    let mut statement = target.prepare(&format!("SELECT {} FROM t ORDER BY n", names.join(", "))).unwrap();
    let mut found = statement.query([]).unwrap();
    let mut read = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let cell = |at| match row.get(at).unwrap() {
            Value::Null => None,
            Value::Integer(i) => Some(i.to_string()),
            Value::Real(f) => Some(f.to_string()),
            Value::Text(text) => Some(text),
            Value::Blob(blob) => Some(shown_hex(&blob)),
        };
        read.push((0..kinds.len()).map(cell).collect::<Vec<_>>());
    }
    assert_eq!(read, expected, "{sql}");
}

fn shown_hex(blob: &[u8]) -> String {
    blob.iter().map(|byte| format!("{byte:02x}")).collect()
}
