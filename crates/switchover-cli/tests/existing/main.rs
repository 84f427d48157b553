//! Into tables that an application's own migrations made (`--into existing`), by the program itself.
//!
//! Each test has a schema of its own on the target, a source that the same application could have written,
//! and looks at the outcome through `psql` and `pg_dump` alone. What a rollback leaves is compared with the
//! dump taken before, schema and rows.
#![cfg(feature = "failpoints")]

mod app;
mod applications;
mod checks;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod fill;
mod known;
mod limits;
mod random;
mod since;
mod uniques;

use app::App;
use common::run;
use std::path::PathBuf;

fn report(app: &App) -> serde_json::Value {
    let runs = app.folder.path().join(".switchover/runs");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(runs).expect("runs").flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let text = std::fs::read_to_string(folders.last().expect("a run").join("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

/// Every type that is converted to, with constraints, defaults, a view, sequences of both kinds, a cycle
/// and a table that refers to itself; comments, so that what is dropped must come back whole.
const TARGET: &str = "
    CREATE TYPE mood AS ENUM ('glad', 'sad', 'it''s');
    CREATE DOMAIN age AS int CHECK (VALUE >= 0);
    CREATE DOMAIN email AS varchar(60) NOT NULL CHECK (VALUE LIKE '%@%');
    CREATE TABLE team (id serial PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, lead_id int, made timestamptz DEFAULT now());
    CREATE TABLE person (
        extra text DEFAULT 'the target''s own', mood mood, id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        team_id int REFERENCES team ON DELETE CASCADE, boss_id int CONSTRAINT person_boss REFERENCES person DEFERRABLE INITIALLY DEFERRED,
        mail email, age age, small smallint, share real, price numeric(8,2), code char(4), body text, raw bytea,
        ok boolean NOT NULL DEFAULT false, uid uuid, day date, at timestamp(3), seen timestamptz, clock time,
        doc json, data jsonb, tags text[], total double precision,
        shout text GENERATED ALWAYS AS (upper(body)) STORED,
        search tsvector, CONSTRAINT person_price CHECK (price IS NULL OR price > 0));
    ALTER TABLE team ADD CONSTRAINT team_lead FOREIGN KEY (lead_id) REFERENCES person;
    COMMENT ON CONSTRAINT team_lead ON team IS 'who leads it';
    CREATE INDEX person_tags ON person USING gin (tags);
    CREATE INDEX person_glad ON person (lower(body) DESC NULLS LAST) WHERE mood = 'glad';
    COMMENT ON INDEX person_glad IS 'the glad ones';
    CREATE TRIGGER person_search BEFORE INSERT OR UPDATE ON person
        FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(search, 'pg_catalog.english', body);
    CREATE VIEW everyone AS SELECT id, body FROM person;
    CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('b2c3');
    CREATE TABLE untouched (id int PRIMARY KEY);
    INSERT INTO untouched VALUES (7);
";

/// The same application's store, with other declared types and the columns in another order.
const SOURCE: &str = "
    CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('b2c3');
    CREATE TABLE person (id INTEGER PRIMARY KEY AUTOINCREMENT, team_id INTEGER, boss_id INTEGER, mood TEXT, mail TEXT NOT NULL,
        age INTEGER, small INTEGER, share REAL, price NUMERIC, code TEXT, body TEXT, raw BLOB, ok INTEGER NOT NULL,
        uid TEXT, day TEXT, at TEXT, seen TEXT, clock TEXT, doc TEXT, data TEXT, tags TEXT, total REAL);
    CREATE TABLE Team (id INTEGER PRIMARY KEY, name TEXT, lead_id INTEGER, made TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO person SELECT i, 1 + i % 3, CASE WHEN i % 7 = 0 THEN 201 - i END, CASE i % 3 WHEN 0 THEN 'glad' WHEN 1 THEN 'it''s' END,
        'p' || i || '@example.org', i, -i, i / 4.0, i + 0.25, substr('abcd', 1, 1 + i % 4), 'Läuft ' || i,
        CAST(x'00ff' || i AS BLOB), i % 2, printf('0188d9c2-af00-7fff-0102-%012x', i), date('2024-01-01', i || ' days'),
        strftime('%Y-%m-%d %H:%M:%S', '2024-01-01', i || ' minutes') || '.120', strftime('%Y-%m-%dT%H:%M:%S', '2024-06-01', i || ' hours') || '+02:00',
        printf('%02d:30:00', i % 24), '{ \"n\": ' || i || ' }', '{\"b\": [' || i || ', null], \"a\": 1.50}', '[\"x\", null, \"' || i || '\"]', i * 1.5
    FROM n;
    INSERT INTO Team VALUES (1, 'one', 5, '2024-01-01 00:00:00+00:00'), (2, 'two', NULL, NULL), (3, 'three', 200, '2024-01-01T01:00:00.5Z');
    DELETE FROM person WHERE id = 199;
";

fn everything() -> App {
    App::new(SOURCE, TARGET)
}

#[test]
fn every_value_becomes_the_columns_own_type_and_all_of_it_goes_back() {
    let app = everything();
    let before = app.dump();
    let ran = run(app.on_both("plan", &["-o", "plan.json"]).args(["--names", "snake"])).exits(0);
    let plan = std::fs::read_to_string(app.folder.path().join("plan.json")).expect("a plan");
    assert!(plan.contains("an enumeration of 3 labels"), "{ran}");
    assert_eq!(app.dump(), before, "a plan only reads");
    run(&mut app.migrate(&[])).exits(0);
    app.shows("SELECT count(*), min(small), max(age), count(DISTINCT uid) FROM person", "199|-200|200|199");
    app.shows(
        "SELECT mood, mail, share, price, code, encode(raw, 'escape'), ok, uid, day, at, seen AT TIME ZONE 'UTC', clock, doc, data, tags, total, shout, extra, search
         FROM person WHERE id = 7",
        "it's|p7@example.org|1.75|7.25|abcd|\\000\\3777|t|0188d9c2-af00-7fff-0102-000000000007|2024-01-08|2024-01-01 00:07:00.12|2024-06-01 05:00:00|07:30:00|{ \"n\": 7 }|{\"a\": 1.50, \"b\": [7, null]}|{x,NULL,7}|10.5|LäUFT 7|the target's own|'7':2 'läuft':1",
    );
    app.shows(
        "SELECT made AT TIME ZONE 'UTC' FROM team ORDER BY id",
        "2024-01-01 00:00:00\n\n2024-01-01 01:00:00.5",
    );
    app.shows("SELECT nextval('team_id_seq'), nextval(pg_get_serial_sequence('person', 'id'))", "4|201");
    app.psql("SELECT setval('team_id_seq', 3), setval(pg_get_serial_sequence('person', 'id'), 200)");
    app.shows("SELECT string_agg(conname, ' ' ORDER BY conname) FROM pg_constraint WHERE contype = 'f' AND convalidated", "person_boss person_team_id_fkey team_lead");
    app.shows(
        "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'team_lead'",
        "who leads it",
    );
    run(&mut app.on_both("verify", &[])).exits(0);
    app.shows("SELECT * FROM untouched", "7");
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before, "a rollback leaves what was there");
    // And the way is free again.
    run(&mut app.migrate(&["--rebuild"])).exits(0);
    app.shows("SELECT obj_description('person_glad'::regclass)", "the glad ones");
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before, "what was dropped came back as it was");
}

#[test]
fn what_does_not_match_is_refused_with_its_reason_and_nothing_is_written() {
    let app = App::new(
        "CREATE TABLE gone (id INTEGER PRIMARY KEY);
         CREATE TABLE shown (id INTEGER PRIMARY KEY);
         CREATE TABLE Users (id INTEGER PRIMARY KEY, Name TEXT, lost TEXT, spot TEXT);
         CREATE TABLE two (id INTEGER PRIMARY KEY);
         CREATE TABLE rung (id INTEGER PRIMARY KEY);
         CREATE TABLE ruled (id INTEGER PRIMARY KEY);
         CREATE TABLE node (id INTEGER PRIMARY KEY, up INTEGER);",
        "CREATE VIEW shown AS SELECT 1 AS id;
         CREATE TABLE users (id int PRIMARY KEY, name text, \"NAME\" text, spot point, needed int NOT NULL, spare int NOT NULL DEFAULT 3);
         CREATE TABLE \"Two\" (id int); CREATE TABLE \"TWO\" (id int);
         CREATE TABLE rung (id int);
         CREATE FUNCTION ring() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := NEW.id + 1; RETURN NEW; END $$;
         CREATE TRIGGER bell BEFORE INSERT ON rung FOR EACH ROW EXECUTE FUNCTION ring();
         CREATE TABLE ruled (id int); CREATE RULE nothing AS ON INSERT TO ruled DO INSTEAD NOTHING;
         CREATE TABLE node (id int PRIMARY KEY, up int REFERENCES node);",
    );
    insta::assert_snapshot!(app.refusals(&[]));
    // A trigger that is off does nothing, and what is left out is not asked about.
    app.psql("ALTER TABLE rung DISABLE TRIGGER bell; ALTER TABLE users DROP COLUMN needed");
    run(&mut app.migrate(&["--tables", "rung", "node"])).exits(0);
    run(app.migrate(&["--tables", "rung"]).args(["--on-conflict", "refuse"]))
        .exits(1)
        .says("holds the records of the run");
    run(&mut app.verb("rollback", &[])).exits(0);
}

#[test]
fn every_value_that_a_column_cannot_hold_is_named_before_anything_is_written() {
    let app = App::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, small INT, big INT, share REAL, code TEXT, word TEXT, ok INT, uid TEXT, day TEXT,
            at TEXT, seen, clock TEXT, doc TEXT, data TEXT, tags TEXT, mood TEXT, must TEXT, raw TEXT, price REAL);
         INSERT INTO t VALUES (1, 32768, 2147483648, 0.1, 'ab ', 'four', 2, 'no', '2024-02-30', '2024-01-01 00:00:00.0001', '2024-01-01 00:00:00',
            '25:00:00', '{', '{\"a\":1,\"a\":2}', '[1]', 'angry', NULL, 'text', 1.234);
         INSERT INTO t VALUES (2, 1, 1, 0.5, 'ab', 'abc', 1, '0188d9c2-af00-7fff-0102-030405060708', '2024-02-29', '2024-01-01 00:00:00', 1700000000,
            '23:00:00', '{}', '{}', '[]', 'glad', 'x', x'00', 1.25);",
        "CREATE TYPE mood AS ENUM ('glad', 'sad');
         CREATE TABLE t (id int PRIMARY KEY, small smallint, big int, share real, code char(3), word varchar(3), ok bool, uid uuid, day date,
            at timestamp(3), seen timestamptz, clock time, doc json, data jsonb, tags text[], mood mood, must text NOT NULL, raw bytea, price numeric(5,2));",
    );
    insta::assert_snapshot!(app.refusals(&[]));
    app.source("UPDATE t SET must = 'y' WHERE id = 1");
    // With the policies said, the rest goes to quarantine and NULL stands in its place.
    let said = ["--policy", "quarantine", "--naive-times", "utc", "--epoch", "seconds"];
    run(&mut app.migrate(&said)).exits(0);
    app.shows(
        "SELECT small, big, share, code, word, ok, uid, day, at, seen AT TIME ZONE 'UTC', clock, doc, data, tags, mood, must, raw, price FROM t WHERE id = 1",
        "|||||||||2024-01-01 00:00:00||||||y||",
    );
    app.shows(
        "SELECT seen AT TIME ZONE 'UTC', at, code FROM t WHERE id = 2",
        "2023-11-14 22:13:20|2024-01-01 00:00:00|ab ",
    );
    app.shows("SELECT count(*) FROM _switchover_quarantine", "16");
    run(&mut app.on_both("verify", &said)).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
}

/// Roles that the application's migrations seed, and what refers to them.
const SEEDED: &str = "
    CREATE TABLE role (id serial PRIMARY KEY, name text NOT NULL UNIQUE, note text DEFAULT 'seeded');
    INSERT INTO role (id, name) VALUES (1, 'admin'), (2, 'guest'), (9, 'system');
    SELECT setval('role_id_seq', 9);
    CREATE TABLE grants (role_id int REFERENCES role ON DELETE CASCADE, what text, PRIMARY KEY (role_id, what));
    INSERT INTO grants VALUES (1, 'all'), (9, 'all');
    CREATE TABLE kept (role_id int PRIMARY KEY REFERENCES role ON DELETE CASCADE);
    INSERT INTO kept VALUES (1), (9);";

const SEEDS_SOURCE: &str = "
    CREATE TABLE role (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO role VALUES (1, 'Admin'), (2, 'guest'), (3, 'editor');
    CREATE TABLE grants (role_id INTEGER, what TEXT, PRIMARY KEY (role_id, what));
    INSERT INTO grants VALUES (1, 'all'), (3, 'edit'), (1, 'read');";

#[test]
fn rows_that_are_there_refuse_the_run_unless_it_is_said_who_wins() {
    let app = App::new(SEEDS_SOURCE, SEEDED);
    insta::assert_snapshot!(app.refusals(&[]));
    let before = app.dump();

    run(&mut app.migrate(&["--on-conflict", "replace"])).exits(0);
    app.shows(
        "SELECT id, name, note FROM role ORDER BY id",
        "1|Admin|seeded\n2|guest|seeded\n3|editor|seeded\n9|system|seeded",
    );
    app.shows("SELECT * FROM grants ORDER BY 1, 2", "1|all\n1|read\n3|edit\n9|all");
    app.shows("SELECT * FROM kept ORDER BY 1", "1\n9");
    app.shows("SELECT nextval('role_id_seq')", "10");
    app.psql("SELECT setval('role_id_seq', 9)");
    run(&mut app.on_both("verify", &["--on-conflict", "replace"])).exits(0);
    // A row that stays is as much a part of the proof as one that came.
    app.psql("UPDATE role SET note = 'else' WHERE id = 9");
    run(&mut app.on_both("verify", &["--on-conflict", "replace"])).exits(1);
    run(&mut app.verb("rollback", &[])).exits(1).says("what was changed since the migration would be lost");
    app.psql("UPDATE role SET note = 'seeded', name = 'System' WHERE id = 9");
    run(&mut app.on_both("verify", &["--on-conflict", "replace"])).exits(1);
    run(&mut app.verb("rollback", &[])).exits(1).says("the stores differ now");
    run(&mut app.verb("rollback", &["--discard-target-changes"])).exits(0);
    assert_eq!(app.dump(), before);

    run(&mut app.migrate(&["--on-conflict", "keep"])).exits(0);
    app.shows("SELECT id, name FROM role ORDER BY id", "1|admin\n2|guest\n3|editor\n9|system");
    app.shows("SELECT * FROM grants ORDER BY 1, 2", "1|all\n1|read\n3|edit\n9|all");
    let report = report(&app);
    let kept = report["tables"][0]["exceptions"].to_string();
    assert!(kept.contains("the target keeps its own row id=1") && kept.contains("Admin"), "{kept}");
    assert!(
        report["outcomes"].to_string().contains("1 rows that only the target has stay as they are: id=9"),
        "{report}"
    );
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before);
}

#[test]
fn nothing_is_the_same_of_what_no_run_put_there() {
    let app = App::new(
        "CREATE TABLE p(id INTEGER PRIMARY KEY, v TEXT, w TEXT); CREATE TABLE q(id INTEGER PRIMARY KEY);",
        "CREATE TABLE p(id int PRIMARY KEY, v text)",
    );
    run(&mut app.on_both("verify", &[])).exits(1).says("no run is on record");
}

#[test]
fn stores_at_different_migrations_are_refused_with_both_versions() {
    let app = App::new(
        "CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied TEXT);
         INSERT INTO django_migrations VALUES (1, 'auth', '0001_initial', 'then'), (2, 'auth', '0003_more', 'later');
         CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);",
        "CREATE TABLE django_migrations (id bigserial PRIMARY KEY, app varchar(255), name varchar(255), applied timestamptz);
         INSERT INTO django_migrations (app, name, applied) VALUES ('auth', '0001_initial', now()), ('auth', '0002_other', now());
         CREATE TABLE t (id int PRIMARY KEY);",
    );
    insta::assert_snapshot!(app.refusals(&[]));
    run(&mut app.migrate(&["--exclude", "django_migrations"])).exits(0);
    app.shows("SELECT count(*) FROM django_migrations", "2");
    run(&mut app.verb("rollback", &[])).exits(0);
    // Told by name, a history is a table like any other: it has rows already.
    let told = app.refusals(&["--tables", "django_migrations", "t"]);
    assert!(told.contains("2 rows already"), "{told}");
}

#[test]
fn whatever_is_changed_afterwards_is_found() {
    let app = everything();
    run(&mut app.migrate(&[])).exits(0);
    let undo = "UPDATE person SET total = 10.5, tags = '{x,NULL,7}', at = '2024-01-01 00:07:00.12', code = 'abcd' WHERE id = 7";
    for change in [
        "UPDATE person SET total = 10.500000000000002 WHERE id = 7",
        "UPDATE person SET tags = '{x,NULL,8}' WHERE id = 7",
        "UPDATE person SET tags = '[2:4]={x,NULL,7}' WHERE id = 7",
        "UPDATE person SET at = at + interval '1 millisecond' WHERE id = 7",
        "UPDATE person SET code = 'abc' WHERE id = 7",
    ] {
        app.psql(change);
        let ran = run(&mut app.on_both("verify", &[])).exits(1);
        assert!(ran.out.contains("id=7"), "{change}: {ran}");
        app.psql(undo);
        run(&mut app.on_both("verify", &[])).exits(0);
    }
    for (change, undo) in [
        ("INSERT INTO team VALUES (9, 'nine')", "DELETE FROM team WHERE id = 9"),
        ("DROP INDEX person_tags", "CREATE INDEX person_tags ON person USING gin (tags)"),
        (
            "ALTER TABLE person ALTER extra DROP DEFAULT",
            "ALTER TABLE person ALTER extra SET DEFAULT 'the target''s own'",
        ),
    ] {
        app.psql(change);
        run(&mut app.on_both("verify", &[])).exits(1);
        app.psql(undo);
        run(&mut app.on_both("verify", &[])).exits(0);
    }
}

#[test]
fn a_plain_owner_of_the_tables_needs_no_more() {
    let mut app = App::new(SOURCE, "SELECT 1");
    let role = format!("owner_{}", app.database.name());
    let name = app.database.name().to_owned();
    app.psql(&format!(
        "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE; REVOKE ALL ON SCHEMA public FROM PUBLIC;
         GRANT USAGE, CREATE ON SCHEMA public TO {role}; REVOKE ALL ON DATABASE \"{name}\" FROM PUBLIC;
         GRANT CONNECT, TEMPORARY ON DATABASE \"{name}\" TO {role}; SET ROLE {role}; {TARGET}"
    ));
    app.to = app.server.with_role(&role, None).conninfo(&name);
    let before = app.dump();
    run(&mut app.migrate(&["--rebuild"])).exits(0);
    run(&mut app.on_both("verify", &["--rebuild"])).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before);
    // Who may only write rows cannot drop the key that no order of loading satisfies.
    app.psql(&format!("REASSIGN OWNED BY {role} TO postgres; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}; GRANT CREATE, USAGE ON SCHEMA public TO {role}"));
    let refused = app.refusals(&[]);
    assert!(refused.contains("the role may not drop it for the load"), "{refused}");
    app.psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}

/// Who may write rows and owns no table cannot drop what is around them: they are loaded in place.
#[test]
fn who_does_not_own_the_tables_loads_them_in_place() {
    let mut app = App::new(
        "CREATE TABLE p(id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO p SELECT i, 'v' || i FROM n;
         INSERT INTO c SELECT id, 501 - id FROM p;",
        "CREATE TABLE p(id int PRIMARY KEY, v text); CREATE TABLE c(id int PRIMARY KEY, p int REFERENCES p); CREATE INDEX c_p ON c(p)",
    );
    let role = format!("writer_{}", app.database.name());
    app.psql(&format!(
        "CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE; GRANT USAGE, CREATE ON SCHEMA public TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    app.to = app.server.with_role(&role, None).conninfo(app.database.name());
    let which = "SELECT 'c_p'::regclass::oid, 'p_pkey'::regclass::oid, (SELECT oid FROM pg_constraint WHERE conname = 'c_p_fkey')";
    let (before, those) = (app.dump(), app.psql(which));
    run(&mut app.migrate(&["--rebuild"])).exits(0);
    assert_eq!(app.psql(which), those, "nothing was dropped and made again");
    app.shows("SELECT count(*), sum(p) FROM c", "500|125250");
    run(&mut app.on_both("verify", &["--rebuild"])).exits(0);
    run(&mut app.verb("rollback", &[])).exits(0);
    assert_eq!(app.dump(), before);
    app.psql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}
