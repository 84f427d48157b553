//! Every type that is converted to, with constraints of every kind, there and back.

use crate::app::App;
use crate::scene::{CONSTRAINTS, Scene};

/// Every type, with constraints, defaults, a view, sequences of all kinds, a cycle, a table that refers to itself, unique keys of
/// several forms, children that are not moved; comments, so that what is taken down must come back whole.
pub(crate) const TARGET: &str = "
    CREATE TYPE mood AS ENUM ('glad', 'sad', 'it''s');
    CREATE DOMAIN age AS int CHECK (VALUE >= 0);
    CREATE DOMAIN email AS varchar(60) NOT NULL CHECK (VALUE LIKE '%@%');
    CREATE TABLE team (id serial PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, lead_id int, made timestamptz DEFAULT now());
    CREATE TABLE person (
        extra text DEFAULT 'the target''s own', mood mood, id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        team_id int REFERENCES team ON DELETE CASCADE, boss_id int CONSTRAINT person_boss REFERENCES person DEFERRABLE INITIALLY DEFERRED,
        mail email, age age, small smallint, share real, price numeric(8,2), code char(4), body text, raw bytea,
        ok boolean NOT NULL DEFAULT false, uid uuid, day date, at timestamp(3), seen timestamptz, naive timestamptz, clock time,
        doc json, data jsonb, tags text[], total double precision, counted bigint,
        shout text GENERATED ALWAYS AS (upper(body)) STORED,
        search tsvector, CONSTRAINT person_price CHECK (price IS NULL OR price > 0));
    ALTER TABLE team ADD CONSTRAINT team_lead FOREIGN KEY (lead_id) REFERENCES person ON DELETE SET NULL;
    COMMENT ON CONSTRAINT team_lead ON team IS 'who leads it';
    COMMENT ON CONSTRAINT person_boss ON person IS 'who''s above';
    CREATE INDEX person_tags ON person USING gin (tags);
    CREATE UNIQUE INDEX person_mail ON person (lower(mail)) INCLUDE (id);
    COMMENT ON INDEX person_mail IS 'one each';
    CREATE UNIQUE INDEX person_uid ON person (uid) WHERE ok;
    CREATE INDEX person_glad ON person (lower(body) DESC NULLS LAST) WHERE mood = 'glad';
    COMMENT ON INDEX person_glad IS 'the glad ones';
    CREATE TRIGGER person_search BEFORE INSERT OR UPDATE ON person
        FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(search, 'pg_catalog.english', body);
    CREATE VIEW everyone AS SELECT id, body FROM person;
    CREATE TABLE pair (a int NOT NULL, b varchar(10) NOT NULL, note text, PRIMARY KEY (a, b), UNIQUE (b, a) DEFERRABLE);
    CREATE TABLE half (id bigserial PRIMARY KEY, a int, b varchar(10), CONSTRAINT whole FOREIGN KEY (a, b) REFERENCES pair MATCH FULL ON UPDATE CASCADE);
    CREATE TABLE plain (v int, w text);
    CREATE SEQUENCE numbers START 1000; CREATE TABLE numbered (id int PRIMARY KEY DEFAULT nextval('numbers'), v text);
    CREATE TABLE badge (id int PRIMARY KEY, person_id int REFERENCES person ON DELETE CASCADE, team_id int REFERENCES team);
    CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('b2c3');
    CREATE TABLE untouched (id int PRIMARY KEY);
    INSERT INTO untouched VALUES (7);
";

/// The same application's store, with other declared types and the columns in another order.
pub(crate) const SOURCE: &str = "
    CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('b2c3');
    CREATE TABLE person (id INTEGER PRIMARY KEY AUTOINCREMENT, team_id INTEGER REFERENCES Team ON DELETE CASCADE, boss_id INTEGER, mood TEXT, mail TEXT NOT NULL UNIQUE,
        age INTEGER, small INTEGER, share REAL, price NUMERIC, code TEXT, body TEXT, raw BLOB, ok INTEGER NOT NULL,
        uid TEXT, day TEXT, at TEXT, seen TEXT, naive TEXT, clock TEXT, doc TEXT, data TEXT, tags TEXT, total REAL, counted INTEGER);
    CREATE TABLE Team (id INTEGER PRIMARY KEY, name TEXT, lead_id INTEGER REFERENCES person ON DELETE SET NULL, made TEXT);
    CREATE TABLE pair (a INTEGER NOT NULL, b TEXT NOT NULL, note TEXT, PRIMARY KEY (a, b));
    CREATE TABLE half (id INTEGER PRIMARY KEY, a INTEGER, b TEXT);
    CREATE TABLE plain (v INTEGER, w TEXT);
    CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT);
    INSERT INTO Team VALUES (1, 'one', 5, '2024-01-01 00:00:00+00:00'), (2, 'two', NULL, NULL), (3, 'three', 200, '2024-01-01T01:00:00.5Z');
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO person SELECT i, 1 + i % 3, CASE WHEN i % 7 = 0 THEN 201 - i END, CASE i % 3 WHEN 0 THEN 'glad' WHEN 1 THEN 'it''s' END,
        'p' || i || '@example.org', i, -i, i / 4.0, i + 0.25, substr('abcd', 1, 1 + i % 4), 'Läuft ' || i,
        CAST(x'00ff' || i AS BLOB), i % 2, printf('0188d9c2-af00-7fff-0102-%012x', i), date('2024-01-01', i || ' days'),
        strftime('%Y-%m-%d %H:%M:%S', '2024-01-01', i || ' minutes') || '.120', strftime('%Y-%m-%dT%H:%M:%S', '2024-06-01', i || ' hours') || '+02:00',
        strftime('%Y-%m-%d %H:%M:%S', '2024-06-01', i || ' hours'),
        printf('%02d:30:00', i % 24), '{ \"n\": ' || i || ' }', '{\"b\": [' || i || ', null], \"a\": 1.50}', '[\"x\", null, \"' || i || '\"]', i * 1.5, i * 3000000000
    FROM n;
    DELETE FROM person WHERE id = 199;
    INSERT INTO pair SELECT id, 'b' || id, NULL FROM person; INSERT INTO half SELECT id, id, 'b' || id FROM person;
    INSERT INTO half VALUES (500, NULL, NULL);
    INSERT INTO plain VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
    INSERT INTO numbered VALUES (7, 'seven');
";

/// What is said of times.
pub(crate) const SAID: &[&str] = &["--names", "snake", "--naive-times", "utc"];

pub(crate) fn everything() -> Scene {
    Scene::new(App::owned(SOURCE, TARGET), SAID)
}

const ROW: &str = "SELECT id, team_id, boss_id, mood, mail, age, small, share, price, code, body, hex(raw), ok, uid, day, at, seen, naive, clock, doc, data, tags, total, counted FROM person WHERE id = ";

#[test]
fn every_value_goes_there_and_back_and_the_definitions_stay() {
    let mut scene = everything();
    let constraints = scene.app.psql(CONSTRAINTS).replace('\t', "|");
    scene.begin();
    scene.until_same();
    // Every kind of change is followed: new keys, exchanged unique values, an action of a key, and nothing at all.
    scene.write(
        "INSERT INTO person (team_id, mail, ok, body, naive, at) VALUES (2, 'new@example.org', 1, 'neu', '2024-02-03 04:05:06', '2024-02-03 04:05:06.007');
         UPDATE person SET mail = 'x@example.org' WHERE id = 1; UPDATE person SET mail = 'p1@example.org' WHERE id = 2; UPDATE person SET mail = 'p2@example.org' WHERE id = 1;
         UPDATE pair SET b = 'other' WHERE a = 3; UPDATE half SET b = 'other' WHERE a = 3;
         INSERT OR REPLACE INTO person (id, mail, ok) VALUES (10, 'p11@example.org', 0);
         DELETE FROM person WHERE id IN (20, 200); INSERT INTO plain VALUES (2, 'y'); DELETE FROM numbered;",
    );
    scene.until_equal("SELECT count(*), sum(id) FROM person", "197|19871", false);
    scene.until_equal(
        "SELECT id, mail FROM person WHERE id IN (1, 2, 10) ORDER BY id",
        "1|p2@example.org\n2|p1@example.org\n10|p11@example.org",
        false,
    );
    scene.until_equal("SELECT count(*) FROM plain", "4", false);
    scene.cutover();
    scene.constrained_as(&constraints);
    scene.app.shows("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated", "0");
    // The application goes on where it was told: numbers behind all that either store gave, and its own actions of keys.
    scene.app.psql(
        "INSERT INTO badge VALUES (1, 4, 1), (2, 10, 3);
         INSERT INTO team (name) VALUES ('four'); INSERT INTO numbered (v) VALUES ('first');
         INSERT INTO person (team_id, mood, mail, age, small, share, price, code, body, raw, ok, uid, day, at, seen, naive, clock, doc, data, tags, total, counted)
         VALUES (4, 'sad', 'Born@there.org', 1, 2, 0.5, 12.50, 'ab', 'dort', '\\xff00', true, '0188d9c2-af00-7fff-0102-0000000000ff', '2025-02-03',
            '2025-02-03 04:05:06.5', '2025-02-03 04:05:06+02', '2025-02-03 04:05:06.000001+00', '23:59:59.25', '{ \"z\" : 1 }', '{\"z\": 1.50}', '{a,NULL,\"b c\"}', 0.1, 5);
         INSERT INTO person (mail) VALUES ('gone@there.org'); DELETE FROM person WHERE mail = 'gone@there.org';
         UPDATE person SET small = 9, extra = 'changed there' WHERE id = 4; DELETE FROM person WHERE id = 10;
         UPDATE pair SET b = 'moved' WHERE a = 5; UPDATE person SET boss_id = NULL; DELETE FROM team WHERE id = 3; INSERT INTO plain VALUES (3, 'z');",
    );
    scene.app.shows("SELECT id FROM team WHERE name = 'four'", "4");
    scene.app.shows("SELECT id FROM numbered", "1000");
    scene.app.shows("SELECT count(*), (SELECT count(*) FROM badge) FROM person WHERE team_id = 3", "0|1");
    let born = scene.app.psql("SELECT id FROM person WHERE mail = 'Born@there.org'");
    assert_eq!(born, "202");
    let expected = "202|4||sad|Born@there.org|1|2|0.5|12.5|ab|dort|FF00|1|0188d9c2-af00-7fff-0102-0000000000ff|2025-02-03|2025-02-03 04:05:06.500|2025-02-03 02:05:06+00:00|2025-02-03 04:05:06.000001|23:59:59.250000|{ \"z\" : 1 }|{\"z\": 1.50}|[\"a\",null,\"b c\"]|0.1|5";
    scene.until_equal(&format!("{ROW}202"), expected, true);
    scene.until_equal("SELECT b FROM half WHERE a = 5", "moved", true);
    scene.until_equal("SELECT count(*) FROM plain", "5", true);
    let live = scene.app.psql("SELECT count(*) FROM person");
    scene.until_equal("SELECT count(*) FROM person", &live, true);
    // Back, and forward again.
    scene.rollback();
    scene.write("INSERT INTO person (team_id, mail, ok) VALUES (2, 'again@example.org', 0); UPDATE person SET small = 10 WHERE id = 4; INSERT INTO numbered (v) VALUES ('second')");
    scene.app.shows("SELECT count(*) FROM badge", "1");
    scene.until_equal("SELECT id FROM person WHERE mail = 'again@example.org'", "204", false);
    scene.until_equal("SELECT small FROM person WHERE id = 4", "10", false);
    scene.app.shows("SELECT count(*) FROM badge", "1");
    scene.until_equal("SELECT max(id) FROM numbered", "1001", false);
    scene.cutover();
    scene.constrained_as(&constraints);
    scene.done(&["finish", "--yes"]);
    scene.ended().exits(0);
    scene.defined_as_before();
    scene.app.shows("SELECT count(*) FROM untouched", "1");
    scene.app.shows("SELECT nextval('numbers')", "1002");
    scene.app.drop_owner();
}

#[test]
fn a_rollback_before_the_cutover_leaves_everything_as_it_was() {
    let mut scene = everything();
    let before = scene.app.dump();
    scene.begin();
    scene.until_same();
    scene.write("INSERT INTO plain VALUES (9, 'nine')");
    scene.done(&["rollback"]);
    scene.ended().exits(0);
    assert_eq!(scene.app.dump(), before);
    assert_eq!(scene.of_source("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%switchover%'"), "0");
    // And the way is free again; also behind a cutover.
    scene.begin();
    scene.until_same();
    scene.cutover();
    scene.app.psql("INSERT INTO team (name) VALUES ('four'); DELETE FROM person WHERE id = 7; UPDATE pair SET b = 'moved' WHERE a = 5");
    scene.rollback();
    scene.until_equal("SELECT name FROM Team WHERE id = 4", "four", true);
    scene.done(&["rollback"]);
    scene.ended().exits(0);
    assert_eq!(scene.app.dump(), before);
    assert_eq!(scene.of_source("SELECT count(*) FROM person WHERE id = 7"), "0", "what was written stays");
    // And from the middle of it, where nobody drives it.
    scene.begin();
    scene.until(|live| live["phase"] == "following");
    scene.kill();
    run_rollback(&scene);
    assert_eq!(scene.app.dump(), before);
    scene.app.drop_owner();
}

/// What the decision declared is being proven, and would take the same constraints away, when the run is asked to end.
#[test]
fn finishing_right_behind_a_cutover_waits_for_the_proof() {
    let mut scene = everything();
    scene.begin_with("live-prove-before-commit=2*sleep(2500)");
    scene.until_same();
    scene.cutover();
    scene.done(&["finish", "--yes"]);
    scene.ended().exits(0);
    scene.defined_as_before();
    scene.app.drop_owner();
}

#[test]
fn what_moves_between_rows_and_places_while_they_are_copied_meets_no_key() {
    let mut scene = everything();
    let constraints = scene.app.psql(CONSTRAINTS).replace('\t', "|");
    // Chunks of two kilobytes, with time between them.
    scene.begin_with("copy-after-commit=sleep(150)");
    scene.until(|live| live["phase"] == "copying");
    let mut round = 0;
    // Not for ever: on a busy machine rows may come as fast as they are copied.
    while round < 40
        && scene.until(|live| !live["phase"].is_null())["phase"]
            .as_str()
            .is_none_or(|phase| phase == "copying")
    {
        round += 1;
        let (low, high) = (1 + round % 90, 190 - round % 90);
        scene.write(&format!(
            "BEGIN IMMEDIATE; UPDATE person SET mail = 'between@x' WHERE id = {low}; UPDATE person SET mail = 'p{low}@example.org' WHERE mail = 'p{high}@example.org';
             UPDATE person SET mail = 'p{high}@example.org' WHERE id = {low} AND mail = 'between@x';
             UPDATE person SET uid = (SELECT uid FROM person WHERE id = {high}) WHERE id = {low}; UPDATE person SET uid = NULL WHERE id = {high};
             DELETE FROM half WHERE a = {low}; INSERT OR REPLACE INTO pair SELECT a, b, 'later' FROM pair WHERE a = {low}; DELETE FROM pair WHERE a = {high} AND a NOT IN (SELECT a FROM half WHERE a IS NOT NULL);
             INSERT INTO Team (id, name) VALUES ({round} + 100, 'team {round}'); UPDATE person SET team_id = {round} + 100 WHERE id = {low}; COMMIT"
        ));
    }
    assert!(round > 5, "it was copied in {round} rounds: the application wrote meanwhile");
    scene.until_same();
    for query in [
        "SELECT count(*), count(uid), count(DISTINCT mail) FROM person",
        "SELECT count(*), count(note) FROM pair",
        "SELECT count(*) FROM half",
    ] {
        let expected = scene.of_source(query);
        scene.until_equal(query, &expected, false);
    }
    scene.cutover();
    scene.constrained_as(&constraints);
    scene.done(&["finish", "--yes"]);
    scene.ended().exits(0);
    scene.defined_as_before();
    scene.app.drop_owner();
}

#[test]
fn tables_whose_capture_was_lost_are_copied_again_into_what_is_there() {
    let said = [SAID, &["--rebuild"]].concat();
    let mut scene = Scene::new(App::owned(SOURCE, TARGET), &said);
    let constraints = scene.app.psql(CONSTRAINTS).replace('\t', "|");
    scene.begin();
    scene.until_same();
    for tables in ["'person'", "'pair', 'plain'", "'Team', 'half', 'numbered', 'pair', 'person', 'plain'"] {
        // What the application does meanwhile is in no log.
        let drops = scene.of_source(&format!(
            "SELECT 'DROP TRIGGER \"' || name || '\";' FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '\\_switchover%' ESCAPE '\\' AND tbl_name IN ({tables})"
        ));
        scene.write(&format!(
            "BEGIN IMMEDIATE; {drops} UPDATE person SET small = small + 1, mail = 'lost@' || id WHERE id < 50; DELETE FROM person WHERE id = (SELECT max(id) FROM person);
             UPDATE pair SET note = 'lost' WHERE a < 20; INSERT INTO plain VALUES (77, 'lost'); COMMIT"
        ));
        let small = scene.of_source("SELECT count(*), sum(small), max(id) FROM person");
        scene.until_equal("SELECT count(*), sum(small), max(id) FROM person", &small, false);
        let plain = scene.of_source("SELECT count(*) FROM plain");
        scene.until_equal("SELECT count(*) FROM plain", &plain, false);
        scene.until_same();
    }
    scene.cutover();
    scene.constrained_as(&constraints);
    scene.done(&["finish", "--yes"]);
    scene.ended().exits(0);
    scene.defined_as_before();
    scene.app.drop_owner();
}

fn run_rollback(scene: &Scene) {
    crate::common::run(&mut scene.app.verb("rollback", &[])).exits(0);
}
