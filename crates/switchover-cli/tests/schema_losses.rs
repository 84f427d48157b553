//! Rules of a schema that a target keeps otherwise, or not at all: each is kept exactly, or has a line in the
//! plan. A line is looked for by kind, name and reason; what became of the rule is tried on the target.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
mod support;

use common::{Ran, program, run};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::process::Command;
use support::check;
use switchover_core::plan::Fate;
use switchover_testkit::{Cluster, Database};
use tempfile::TempDir;

/// A PostgreSQL source, and a folder in which the program runs.
struct Source {
    folder: TempDir,
    database: Database,
}

fn source(sql: &str) -> Source {
    let database = Cluster::shared().unwrap().fresh_database("losses").unwrap();
    database.psql(sql).unwrap_or_else(|error| panic!("{error}"));
    Source { folder: tempfile::tempdir().unwrap(), database }
}

impl Source {
    fn command(&self, verb: &str) -> Command {
        let mut command = program(self.folder.path(), &[verb]);
        command.args(["--from", &self.database.conninfo(), "--to", "sqlite:app.db"]);
        command
    }

    /// The plan's lines: kind, name, fate, reason.
    #[track_caller]
    fn lines(&self) -> Vec<[String; 4]> {
        let plan = run(self.command("plan").args(["-o", "-"]));
        let plan: Json = serde_json::from_str(&plan.out).unwrap_or_else(|error| panic!("{error}: {plan}"));
        let field = |line: &Json, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let lines = plan["outcomes"].as_array().unwrap().iter();
        lines.map(|line| ["kind", "name", "fate", "why"].map(|name| field(line, name))).collect()
    }

    #[track_caller]
    fn migrate(&self, more: &[&str]) -> Ran {
        run(self.command("migrate").arg("--no-backup").args(more))
    }

    fn target(&self) -> Connection {
        Connection::open(self.folder.path().join("app.db")).unwrap()
    }

    #[track_caller]
    fn shows(&self, query: &str, expected: &str) {
        let found: String = self.target().query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(found, expected, "{query}");
    }
}

/// That there is a line, and one only of its kind and name.
#[track_caller]
fn says(lines: &[[String; 4]], kind: &str, name: &str, fate: &str, why: &str) {
    let found: Vec<_> = lines.iter().filter(|line| line[0] == kind && line[1] == name).collect();
    let said = found.iter().any(|line| line[2] == fate && line[3].contains(why));
    assert!(said, "no {kind} {name} {fate} {why} in {lines:#?}");
}

#[test]
fn a_default_is_evidence_for_the_type_of_its_column() {
    let moved = check(
        "CREATE TABLE p(id INTEGER PRIMARY KEY, price NUMERIC(3,1) DEFAULT 1.23, cap NUMERIC(3,1) DEFAULT 100,
            code VARCHAR(3) DEFAULT 'abcdef', z NUMERIC(10,2) DEFAULT 0.005, two CHAR(2) DEFAULT 'abc',
            number VARCHAR(2) DEFAULT -100, fits NUMERIC(3,1) DEFAULT '1.5', made VARCHAR(19) DEFAULT CURRENT_TIMESTAMP,
            day VARCHAR(10) DEFAULT CURRENT_TIMESTAMP, low VARCHAR(3) DEFAULT (lower('ABCDEF')));
         INSERT INTO p VALUES (1, 1.5, 2, 'abc', 1, 'ab', '12', 1, 'x', 'x', 'x')",
    )
    .moves();
    moved
        .types(
            "p",
            "id bigint, price numeric, cap numeric, code text, z numeric, two text, number text, fits numeric(3,1), \
             made character varying(19), day text, low text",
        )
        .shows(
            "INSERT INTO p(id) VALUES (2); SELECT price, cap, code, z, two, number, fits, length(made), length(day), low
                FROM p WHERE id = 2",
            "1.23|100|abcdef|0.005|abc|-100|1.5|19|19|abcdef",
        );
    let plan = moved.case.plan();
    for (column, why) in [
        ("price", "its default 1.23 decides too"),
        ("code", "its default 'abcdef' decides too: a text of 6 characters; the column holds 3"),
        ("low", "is computed, and may be longer"),
    ] {
        let found = plan.tables[0].columns.iter().find(|found| found.source == column).unwrap();
        assert!(found.why.contains(why), "{}", found.why);
        let line = plan.outcomes.iter().find(|line| line.name == format!("p.{column}")).unwrap();
        assert!(line.kind == "type" && line.fate == Fate::Changed && line.why.contains(why), "{line:?}");
    }
}

#[test]
fn a_default_that_no_value_of_the_column_could_be_is_left_out() {
    let moved = check(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, b BOOLEAN DEFAULT 't', u UUID DEFAULT '0188D9C2-AF00-7FFF-0102-030405060708',
            s DATETIME DEFAULT '2020-01-01 00:00:00', d DATE DEFAULT '2020-01-01', e DATETIME DEFAULT '2020-01-01T00:00:00Z',
            m VARCHAR(9) DEFAULT 'abcdef');
         INSERT INTO t VALUES (1, 1, '0188d9c2-af00-7fff-0102-030405060708', '2024-05-06T07:08:09.123', '2020-02-02', NULL, 'x')",
    )
    .mapped("[table.t.column]\nm.type = 'varchar(3)'")
    .moves();
    moved
        .fate("default", "t.b", Fate::LeftOut, "'t': text in a column of")
        .fate("default", "t.u", Fate::LeftOut, "another form")
        .fate("default", "t.s", Fate::LeftOut, "'2020-01-01 00:00:00'")
        .fate("default", "t.m", Fate::LeftOut, "'abcdef': a text of 6 characters; the column holds 3")
        .fate("default", "t.d", Fate::Moved, "2020-01-01")
        .shows(
            "INSERT INTO t(id) VALUES (2); SELECT b, u, s, d, m FROM t WHERE id = 2",
            "NULL|NULL|NULL|2020-01-01|NULL",
        );
}

#[test]
fn what_sequences_do_besides_counting_by_one_is_said() {
    let source = source(
        "CREATE TABLE five(id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5) PRIMARY KEY, v int);
         INSERT INTO five(v) VALUES (1); CREATE TABLE later(id int GENERATED BY DEFAULT AS IDENTITY (START 50) PRIMARY KEY, v int);
         CREATE TABLE down(id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT -1) PRIMARY KEY, v int);
         CREATE TABLE round(id int GENERATED BY DEFAULT AS IDENTITY (MAXVALUE 9 CYCLE) PRIMARY KEY, v int);
         CREATE SEQUENCE loose; CREATE TABLE t(id int PRIMARY KEY, n int DEFAULT nextval('loose'), s serial)",
    );
    let lines = source.lines();
    says(&lines, "identity", "five.id", "moved", "from 105 on");
    says(&lines, "numbering", "five.id", "left_out", "by 5");
    says(&lines, "identity", "later.id", "moved", "from 50 on");
    says(&lines, "numbering", "down.id", "left_out", "by -1");
    says(&lines, "numbering", "round.id", "left_out", "ends at 9 and begins again");
    says(&lines, "default", "t.n", "left_out", "nextval('public.loose'::regclass)");
    says(&lines, "identity", "t.s", "left_out", "only the one integer column");
    assert!(!lines.iter().any(|line| line[0] == "numbering" && line[1] == "later.id"), "{lines:#?}");
    source.migrate(&[]).exits(0);
    source.target().execute_batch("INSERT INTO five(v) VALUES (2); INSERT INTO later(v) VALUES (2)").unwrap();
    source.shows("SELECT (SELECT max(id) FROM five) || ' ' || (SELECT max(id) FROM later)", "105 50");
}

#[test]
fn what_indexes_and_constraints_are_besides_their_columns_is_said() {
    let source = source(
        "CREATE TABLE t(a int, b int, c int, PRIMARY KEY (a) DEFERRABLE, CONSTRAINT u UNIQUE (b) DEFERRABLE INITIALLY DEFERRED);
         CREATE UNIQUE INDEX i ON t(b) INCLUDE (c); CREATE INDEX n ON t(c DESC NULLS LAST); CREATE INDEX plain ON t(c DESC);
         CREATE TABLE k(a int, b int, c int, CONSTRAINT ku UNIQUE (a) INCLUDE (b, c))",
    );
    let lines = source.lines();
    says(&lines, "deferrable", "t_pkey on t", "left_out", "checks it at each row");
    says(&lines, "deferrable", "u on t", "left_out", "checks it at each row");
    says(&lines, "included columns", "i on t", "left_out", "INCLUDE (c)");
    says(&lines, "included columns", "ku on k", "left_out", "INCLUDE (b, c)");
    says(&lines, "order of NULL", "n on t", "left_out", "NULLS LAST");
    assert!(!lines.iter().any(|line| line[1] == "plain on t" && line[2] == "left_out"), "{lines:#?}");
    source.migrate(&[]).exits(0);
}

#[test]
fn tables_that_inherit_are_said_to_be_apart() {
    let source = source(
        "CREATE TABLE inh(a int PRIMARY KEY); CREATE TABLE child(b int) INHERITS (inh);
         INSERT INTO inh VALUES (1); INSERT INTO child VALUES (2, 3);
         CREATE TABLE p(a int, v text) PARTITION BY RANGE (a);
         CREATE TABLE p1 PARTITION OF p (CHECK (v <> '')) FOR VALUES FROM (0) TO (9); INSERT INTO p VALUES (1, 'x')",
    );
    let lines = source.lines();
    says(&lines, "inheritance", "child of inh", "left_out", "a query of inh does not find them");
    says(&lines, "partition", "p1", "left_out", "its rows are moved with the table");
    says(&lines, "check", "p1_v_check on p1", "left_out", "of a partition alone");
    source.migrate(&[]).exits(0);
    source.shows(
        "SELECT (SELECT count(*) FROM inh) || (SELECT count(*) FROM child) || (SELECT count(*) FROM p)",
        "111",
    );
}

#[test]
fn a_check_that_is_not_valid_is_left_out_with_a_line() {
    let source = source(
        "CREATE TABLE nvc(a int); INSERT INTO nvc VALUES (-1); ALTER TABLE nvc ADD CONSTRAINT nv CHECK (a > 0) NOT VALID;
         CREATE DOMAIN d AS int; CREATE TABLE nvd(a d); INSERT INTO nvd VALUES (-1);
         ALTER DOMAIN d ADD CONSTRAINT dv CHECK (VALUE > 0) NOT VALID",
    );
    let lines = source.lines();
    says(&lines, "check", "nv on nvc", "left_out", "NOT VALID");
    says(&lines, "check", "dv on nvd", "left_out", "NOT VALID");
    source.migrate(&[]).exits(0);
    source.shows("SELECT (SELECT a FROM nvc) || (SELECT a FROM nvd)", "-1-1");
}

#[test]
fn times_that_no_count_of_microseconds_since_1970_holds_are_moved() {
    let source = source(
        "CREATE TABLE t(id int PRIMARY KEY, z timestamptz, n timestamp);
         INSERT INTO t VALUES (1, '294276-01-01+00', '294276-12-31 23:59:59.999999'), (2, 'infinity', '-infinity'),
            (3, '294247-01-10 04:00:54.775808+00', '294247-01-10 04:00:54.775806');
         CREATE TABLE keyed(k timestamptz PRIMARY KEY); INSERT INTO keyed VALUES ('294276-01-01+00'), ('2024-01-01+00');
         CREATE TABLE dates(d date); INSERT INTO dates VALUES ('5874897-12-31'), ('infinity'), ('4713-01-01 BC')",
    );
    source.migrate(&[]).exits(0);
    source.shows(
        "SELECT group_concat(z || ' ' || n, ', ') FROM (SELECT * FROM t ORDER BY id)",
        "294276-01-01 00:00:00+00:00 294276-12-31 23:59:59.999999, infinity -infinity, \
         294247-01-10 04:00:54.775808+00:00 294247-01-10 04:00:54.775806",
    );
    source.shows("SELECT group_concat(d, ', ') FROM dates", "5874897-12-31, infinity, 4713-01-01 BC");
    source.shows(
        "SELECT group_concat(k, ', ') FROM (SELECT k FROM keyed ORDER BY rowid)",
        "2024-01-01 00:00:00+00:00, 294276-01-01 00:00:00+00:00",
    );
}

#[test]
fn keys_between_two_files_keep_their_order_and_collations() {
    let moved = check(
        "CREATE TABLE w(a INT, b TEXT, PRIMARY KEY (b DESC, a)) WITHOUT ROWID; INSERT INTO w VALUES (1, 'x'), (2, 'y');
         CREATE TABLE u(a INT, b TEXT COLLATE NOCASE, c TEXT, UNIQUE (a DESC, b), UNIQUE (c COLLATE NOCASE)); INSERT INTO u VALUES (1, 'x', 'p'), (1, 'y', 'q');
         CREATE TABLE k(a TEXT, b INT, v TEXT DEFAULT 'x' COLLATE NOCASE, PRIMARY KEY (a COLLATE NOCASE, b DESC), UNIQUE (v COLLATE BINARY));
         INSERT INTO k VALUES ('x', 1, 'a'), ('x', 2, 'A');
         CREATE TABLE plain(id INTEGER PRIMARY KEY) WITHOUT ROWID; CREATE TABLE one(t TEXT PRIMARY KEY DESC);
         CREATE TABLE quirk(id INTEGER PRIMARY KEY DESC); INSERT INTO quirk VALUES (NULL), (7);
         CREATE TABLE z(id INTEGER PRIMARY KEY, zero DEFAULT -0.0, one DEFAULT -1.0)",
    )
    .into_file()
    .moves();
    let all = "SELECT group_concat(p, '; ') FROM (SELECT t.name || ' ' || i.origin || ' ' || group_concat(x.name || ' ' || x.coll || ' ' || x.desc) AS p
        FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_xinfo(i.name) x
        WHERE t.name NOT LIKE '\\_%' ESCAPE '\\' AND x.key GROUP BY t.name, i.name ORDER BY t.name, i.name)";
    let expected = "k pk a NOCASE 0,b BINARY 1; k u v BINARY 0; one pk t BINARY 1; plain pk id BINARY 0; \
        quirk pk id BINARY 1; u u a BINARY 1,b NOCASE 0; u u c NOCASE 0; w pk b BINARY 1,a BINARY 0";
    let own: String = moved.case.source().query_row(all, [], |row| row.get(0)).unwrap();
    assert_eq!(own, expected);
    moved
        .shows(all, expected)
        .shows("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL", "0");
    let negative = "SELECT zero, one FROM z";
    let inserted = moved.case.source();
    inserted.execute_batch("INSERT INTO z(id) VALUES (1)").unwrap();
    let own: (f64, f64) = inserted.query_row(negative, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let shown = format!("{:?}|{:?}", own.0, own.1);
    moved.runs("INSERT INTO z(id) VALUES (1)").shows(negative, &shown);
    assert_eq!(shown, "-0.0|-1.0");
    // Another kind of target keeps what the keys say, and not the order in which an index has it.
    check("CREATE TABLE w(a INT, b TEXT, PRIMARY KEY (b DESC, a), UNIQUE (a DESC)); INSERT INTO w VALUES (1, 'x')")
        .moves()
        .fate("key order", "w(b DESC)", Fate::LeftOut, "in ascending order")
        .fate("key order", "w(a DESC)", Fate::LeftOut, "in ascending order");
}

#[test]
fn a_schema_that_the_server_keeps_or_cuts_is_refused_in_the_plan() {
    let case = || check("CREATE TABLE t(id INTEGER PRIMARY KEY)");
    let named = |schema: &str| case().options(|options| options.schema = schema.to_owned());
    named("pg_foo").refuses(&[("", "", "", "keeps the schema \"pg_foo\" for itself")]);
    named(&"s".repeat(64)).refuses(&[("", "", "", "has 64 bytes; a name ends at 63")]);
    assert_eq!(named(&"s".repeat(63)).plan().refusals, []);
}

#[test]
fn only_tables_that_are_moved_must_be_readable_and_doctor_says_which_are_not() {
    let server = Cluster::shared().unwrap();
    let source = source(
        "CREATE TABLE open(id int PRIMARY KEY); INSERT INTO open VALUES (1); CREATE TABLE secret(id int PRIMARY KEY);
         CREATE TABLE rls(id int PRIMARY KEY); INSERT INTO rls VALUES (1), (2); ALTER TABLE rls ENABLE ROW LEVEL SECURITY;
         CREATE POLICY one_row ON rls USING (id = 1)",
    );
    let role = format!("{}_reader", source.database.name());
    source.database.psql(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON open, rls TO {role}")).unwrap();
    let url = server.with_role(&role, None).conninfo(source.database.name());
    let command = |verb: &[&str]| {
        let mut command = program(source.folder.path(), verb);
        command.args(["--from", &url, "--to", "sqlite:app.db"]);
        command
    };
    let ask = |verb: &[&str], more: &[&str]| run(command(verb).args(more));
    let doctor = |more: &[(&str, &str)], code: i32, texts: &[&str]| {
        let ran = run(command(&["doctor"]).envs(more.iter().copied())).exits(code);
        let found = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        texts.iter().for_each(|text| assert!(found.contains(text), "no {text}: {ran}"));
    };
    let hidden = "\"rls\": row-level security would hide rows";
    doctor(&[], 1, &["NOT ready: 2 faults", hidden, "\"secret\": the role may not read the table"]);
    doctor(&[("SWITCHOVER_EXCLUDE", "secret")], 1, &["NOT ready: 1 fault", hidden]);
    doctor(&[("SWITCHOVER_TABLES", "open")], 0, &["ready"]);
    let migrate = ["migrate", "--no-backup"];
    ask(&migrate, &[]).exits(2).says("row-level security").says("BYPASSRLS").says("table rls");
    ask(&migrate, &["--exclude", "rls"]).exits(2).says("table secret").says("grant SELECT");
    ask(&migrate, &["--tables", "open"]).exits(0);
    source.shows("SELECT count(*) || '' FROM open", "1");
    source.database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn an_expression_of_the_mapping_that_fails_is_named_with_its_row() {
    let sql = "CREATE TABLE a(id INTEGER PRIMARY KEY, n INT); INSERT INTO a VALUES (1, 5), (7, -9223372036854775807 - 1), (9, 1);
        CREATE TABLE k(k TEXT PRIMARY KEY, j TEXT) WITHOUT ROWID; INSERT INTO k VALUES ('x', '{'), ('y', '[]')";
    let fails = |toml: &str, table: &str, column: &str, key: &str, why: &str| {
        let error = check(sql).mapped(toml).migrate().expect_err("it fails");
        let subject = error.subject();
        assert_eq!((&*subject.table, &*subject.column, &*subject.key), (table, column, key), "{error:?}");
        assert!(error.why().contains(why), "{error:?}");
    };
    fails(
        "[table.a.column]\nx.value = 'abs(n)'\nx.type = 'bigint'",
        "a",
        "x",
        "id=7",
        "table.a.column.x.value = \"abs(n)\": integer overflow",
    );
    fails(
        "[table.a]\nwhere = 'abs(n) > 3'",
        "a",
        "",
        "id=7",
        "table.a.where = \"abs(n) > 3\": integer overflow",
    );
    fails(
        "[table.k.column]\nx.value = \"json_extract(j, '$.a')\"\nx.type = 'text'",
        "k",
        "x",
        "",
        "malformed JSON",
    );
    // Rows that the filter leaves out are not read.
    check(sql)
        .mapped("[table.a]\nwhere = 'id <> 7'\n[table.a.column]\nx.value = 'abs(n)'\nx.type = 'bigint'")
        .moves();
}

#[test]
fn what_only_the_application_can_compute_or_compare_is_named() {
    // Written as what every SQLite has, and then called what this one has not.
    let made = |sql: &'static str| {
        support::check_with(move |source| {
            source.execute_batch(sql).unwrap();
            let renamed = "PRAGMA writable_schema = ON;
                UPDATE sqlite_schema SET sql = replace(replace(sql, 'lower(', 'appf('), 'RTRIM', 'german');
                PRAGMA writable_schema = RESET";
            source.execute_batch(renamed).unwrap();
        })
    };
    let computed = "CREATE TABLE g(id INTEGER PRIMARY KEY, a TEXT, v TEXT GENERATED ALWAYS AS (lower(a)) VIRTUAL,
        s TEXT GENERATED ALWAYS AS (lower(a)) STORED, UNIQUE (v), CHECK (v <> '')); INSERT INTO g(a) VALUES ('x'); CREATE INDEX gv ON g(v, a)";
    for into_file in [false, true] {
        let case = made(computed);
        let moved = if into_file { case.into_file() } else { case }.moves();
        moved
            .shows("SELECT * FROM g", "1|x|x")
            .fate("generated column", "g.v", Fate::LeftOut, "appf()")
            .fate("generated column", "g.s", Fate::Changed, "appf")
            .fate("unique", "g(v)", Fate::LeftOut, "a column that is not moved")
            .fate("index", "gv on g", Fate::LeftOut, "v")
            .fate("check", "g: v <> ''", Fate::LeftOut, "v");
    }
    let compared = || {
        made(
            "CREATE TABLE w(b INT, k TEXT COLLATE RTRIM PRIMARY KEY) WITHOUT ROWID; INSERT INTO w VALUES (1, 'a');
             CREATE TABLE r(k TEXT COLLATE RTRIM PRIMARY KEY); INSERT INTO r VALUES ('a')",
        )
    };
    let error = compared().migrate().expect_err("it cannot be read");
    assert_eq!((&*error.subject().table, &*error.subject().column), ("w", "k"), "{error:?}");
    assert!(error.why().contains("the collation german, which only the application has"), "{error:?}");
    assert!(error.what_to_do().contains("--exclude"), "{error:?}");
    compared().options(|options| options.exclude = vec!["w".into()]).moves().shows("SELECT * FROM r", "a");
}
