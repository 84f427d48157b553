//! Foreign keys as references between objects: where they lead, what is refused, what a comparison sees, and that nothing
//! is there twice after a run that was killed.

use crate::common::case::SOON_SETTLED;
use crate::common::{Running, run};
use crate::server::Site;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The child comes before its parents by name, and one table refers to itself.
const SOURCE: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE talks(id TEXT PRIMARY KEY, title TEXT);
    CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE lines(id INTEGER PRIMARY KEY, talk TEXT NOT NULL REFERENCES talks(id), author INTEGER REFERENCES users(id),
        answer_to INTEGER REFERENCES lines(id), body TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
    INSERT INTO talks SELECT printf('0188d9c2-af00-7fff-8102-%012d', i), 'talk ' || i FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) INSERT INTO users SELECT i, 'user ' || i FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
    INSERT INTO lines SELECT i, printf('0188d9c2-af00-7fff-8102-%012d', 1 + i % 20), iif(i % 7, 1 + i % 10, NULL),
        iif(i % 3, 1 + (i * 7) % 600, NULL), 'line ' || i FROM n;";

const MAPPING: &str = "
    [table.talks]
    to = 'Talk'
    object.keep_uuid = true
    [table.users]
    to = 'Person'
    [table.lines]
    to = 'Line'
    [table.lines.column]
    talk.reference = 'inTalk'
    author.reference = 'by'
    answer_to.reference = 'answers'";

impl Site {
    fn mapped(sql: &str, toml: &str) -> Site {
        let site = Site::new(sql);
        site.maps(toml);
        site
    }

    fn maps(&self, toml: &str) {
        std::fs::write(self.folder.path().join("switchover.toml"), toml).unwrap();
    }

    /// That each line's references lead to the objects of its foreign keys, once.
    #[track_caller]
    fn leads_right(&self) {
        let source = self.source();
        let mut statement = source.prepare("SELECT id, talk, author, answer_to FROM lines").unwrap();
        let rows = statement
            .query_map([], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, Option<i64>>(2)?,
                    row.get::<_, Option<i64>>(3)?,
                ))
            })
            .unwrap();
        let rows: Vec<_> = rows.map(Result::unwrap).collect();
        let ids = |collection: &str| -> BTreeMap<i64, (String, Json)> {
            let objects = self.server.objects(collection).into_iter();
            objects.map(|(id, o)| (o["properties"]["original_id"].as_i64().unwrap(), (id, o))).collect()
        };
        let (lines, people) = (ids("Line"), ids("Person"));
        assert_eq!(lines.len(), rows.len());
        for (id, talk, author, answers) in rows {
            let properties = &lines[&id].1["properties"];
            let wanted = [
                ("inTalk", Some(format!("/Talk/{talk}"))),
                ("by", author.map(|author| format!("/Person/{}", people[&author].0))),
                ("answers", answers.map(|line| format!("/Line/{}", lines[&line].0))),
            ];
            for (name, wanted) in wanted {
                let none = Vec::new();
                let there = properties[name].as_array().unwrap_or(&none);
                let ends: Vec<&str> = there.iter().map(|one| one["beacon"].as_str().unwrap()).collect();
                assert_eq!(ends.len(), usize::from(wanted.is_some()), "{id} {name}: {ends:?}");
                if let Some(wanted) = wanted {
                    assert!(ends[0].ends_with(&wanted), "{id} {name}: {ends:?}, not {wanted}");
                }
            }
            assert_eq!(properties["talk"], talk.as_str(), "the foreign key stays");
        }
    }

    fn a_line(&self) -> String {
        let objects = self.server.objects("Line");
        let (id, _) = objects.iter().find(|(_, o)| o["properties"]["by"].is_array()).unwrap();
        id.clone()
    }
}

#[test]
fn references_lead_to_the_parents_objects() {
    let site = Site::mapped(SOURCE, MAPPING);
    let planned = run(&mut site.migrate(&["--dry-run"])).exits(0);
    assert!(planned.out.contains("reference    inTalk of (talk) to Talk"), "{planned}");
    let ran = run(&mut site.migrate(&["--batch-size", "50", "--validation-sample", "20"])).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    site.leads_right();
    let properties = site.server.properties("Line");
    assert_eq!(properties["inTalk"]["dataType"][0], "Talk");
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn a_reference_that_is_gone_doubled_or_astray_is_seen_and_mended() {
    let site = Site::mapped(SOURCE, MAPPING);
    run(&mut site.migrate(&[])).exits(0);
    let id = site.a_line();
    let path = format!("/v1/objects/Line/{id}/references/by");
    let other = site.server.objects("Person").keys().next().unwrap().clone();
    let beacon = format!(r#"{{"beacon":"weaviate://localhost/Person/{other}"}}"#);
    let object = site.server.rest("GET", &format!("/v1/objects/Line/{id}"), "").1;
    let own: Json = object["properties"]["by"][0].clone();
    let own = format!(r#"{{"beacon":{}}}"#, own["beacon"]);
    let changes: [(&str, &str); 3] = [("DELETE", &own), ("POST", &own), ("PUT", &format!("[{beacon}]"))];
    for (method, body) in changes {
        let (status, answer) = site.server.rest(method, &path, body);
        assert!(status < 300, "{answer}");
        let ran = run(&mut site.verb("verify")).exits(1);
        let said = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("author is ") && said.contains("its reference by leads to"), "{ran}");
        run(site.verb("verify").arg("--repair")).exits(0);
        site.leads_right();
    }
    // A parent that is gone leaves references behind that lead to nothing.
    let parent = site.server.objects("Line")[&id]["properties"]["by"][0]["beacon"].clone();
    let parent = parent.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Person/{parent}"), "").0, 204);
    let ran = run(&mut site.verb("verify")).exits(1);
    let said = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("its reference by leads to nothing"), "{ran}");
    run(site.verb("verify").arg("--repair")).exits(0);
    site.leads_right();
}

#[test]
fn what_cannot_be_a_reference_is_refused_with_its_line() {
    let site = Site::mapped(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, code TEXT UNIQUE, b INTEGER REFERENCES b(id));
         CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER REFERENCES a(id), code TEXT REFERENCES a(code), plain INTEGER, x INT, y INT,
            FOREIGN KEY (x, y) REFERENCES c(x, y));
         CREATE TABLE c(x INT, y INT, PRIMARY KEY (x, y));
         INSERT INTO a VALUES (1, 'one', NULL); INSERT INTO b VALUES (1, 1, 'one', 1, NULL, NULL);",
        "",
    );
    for (toml, said) in [
        (
            "[table.b.column]\nplain.reference = 'toPlain'",
            "line 2: table.b.column.plain.reference: the column is no foreign key",
        ),
        ("[table.b.column]\ncode.reference = 'ofCode'", "no unique key of a covers code"),
        ("[table.b.column]\nx.reference = 'ofC'", "the foreign key is of several columns (x, y)"),
        ("[table.b.column]\na.reference = 'plain'", "\"plain\" is a property of the same objects"),
        ("[table.b.column]\na.reference = 'Of A'", "\"Of A\" is no name there"),
        ("[table.b.column]\na.reference = ''", "the reference has no name"),
        (
            "[table.b.column]\na.reference = 'ofA'\n[table.a.column]\nb.reference = 'ofB'",
            "none of the two can come first",
        ),
        (
            "[table.b.column]\na = { reference = 'ofA', type = 'text' }",
            "types that the target does not compare",
        ),
    ] {
        site.maps(toml);
        let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
        let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(all.contains(said), "{said}: {ran}");
    }
}

/// As Python says it: `uuid.uuid5(uuid.NAMESPACE_DNS, "7")`, which is the official client's `generate_uuid5(7, "")`.
const SEVEN: &str = "a9f96b98-dd44-5216-ab0d-dbfc6b262edf";

/// With `ids` the foreign key is a property of kind uuid beside the reference, which is the other object's id; what the ids were stays
/// as a property, and in the map.
#[test]
fn a_foreign_key_can_be_kept_as_the_uuid_of_the_object_that_it_leads_to() {
    const IDS: &str = "
        [table.talks]
        to = 'Talk'
        object.keep_uuid = true
        [table.users]
        to = 'Person'
        [table.users.column]
        id = { to = 'person_id', ids = 'uuid5', ids_namespace = '6ba7b810-9dad-11d1-80b4-00c04fd430c8' }
        original_id.value = 'id'
        [table.lines]
        to = 'Line'
        [table.lines.column]
        author = { reference = 'by', filterable = true }";
    let site = Site::mapped(SOURCE, IDS);
    let ran = run(&mut site.migrate(&["--validation-sample", "20"])).exits(0);
    assert!(ran.out.contains("same"), "{ran}");
    assert_eq!(site.server.properties("Line")["author"]["dataType"][0], "uuid");
    let people = site.server.objects("Person");
    let legacy: BTreeMap<&str, i64> = (people.iter())
        .map(|(id, person)| (id.as_str(), person["properties"]["original_id"].as_i64().unwrap()))
        .collect();
    assert_eq!((legacy.len(), legacy[SEVEN]), (10, 7));
    assert!(people.iter().all(|(id, person)| person["properties"]["person_id"] == id.as_str()), "{people:?}");
    let source = site.source();
    let mut led = 0;
    for line in site.server.objects("Line").values() {
        let properties = &line["properties"];
        let id = properties["original_id"].as_i64().unwrap();
        let author: Option<i64> =
            source.query_row("SELECT author FROM lines WHERE id = ?", [id], |row| row.get(0)).unwrap();
        assert_eq!(properties["author"].as_str().map(|uuid| legacy[uuid]), author, "{line}");
        let beacon = properties["by"].as_array().map(|all| all[0]["beacon"].as_str().unwrap());
        let own = properties["author"].as_str().map(|uuid| format!("/Person/{uuid}"));
        assert!(beacon.zip(own).is_none_or(|(beacon, own)| beacon.ends_with(&own)), "{line}");
        led += usize::from(beacon.is_some());
    }
    assert_eq!(led, 600 - 600 / 7);
    assert_eq!(site.server.count("Users_id_map"), 10);
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn an_orphan_is_refused_or_put_aside() {
    let site = Site::mapped(SOURCE, MAPPING);
    let orphan = "PRAGMA foreign_keys = OFF; INSERT INTO lines VALUES (7000, '0188d9c2-af00-7fff-8102-000000000001', 99, NULL, 'x')";
    site.source().execute_batch(orphan).unwrap();
    let ran = run(&mut site.migrate(&[])).exits(1);
    assert!(ran.err.contains("no parent in users") || ran.out.contains("no parent in users"), "{ran}");
    run(&mut site.migrate(&["--policy", "quarantine"])).exits(0);
    let objects = site.server.objects("Line");
    let line = objects.values().find(|object| object["properties"]["original_id"] == 7000).unwrap();
    assert!(line["properties"]["author"].is_null() && line["properties"]["by"].is_null(), "{line}");
    run(&mut site.verb("verify")).exits(0);
}

#[test]
fn references_follow_what_the_application_writes() {
    let site = Site::mapped(SOURCE, MAPPING);
    let arguments = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
    let engine = crate::common::Running::start(&mut site.program(&arguments));
    site.until_same();
    let source = site.source();
    source.execute_batch("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON").unwrap();
    for i in 0..30 {
        let batch = format!(
            "BEGIN IMMEDIATE; INSERT INTO users VALUES ({0}, 'new'); INSERT INTO lines VALUES ({0}, '0188d9c2-af00-7fff-8102-000000000001', {0}, NULL, 'new');
             UPDATE lines SET author = {0}, answer_to = {0} WHERE id = {1}; UPDATE lines SET author = NULL WHERE id = {2}; COMMIT",
            1000 + i,
            1 + i * 3,
            300 + i
        );
        source.execute_batch(&batch).unwrap();
    }
    // A cutover waits until everything was taken and compared.
    run(&mut site.program(&["cutover", "--when-ready"])).exits(0);
    let begun = std::time::Instant::now();
    while site.server.count("Line") < 630 {
        assert!(begun.elapsed().as_secs() < 60, "not in time");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    run(&mut site.program(&["finish", "--yes"])).exits(0);
    engine.end().exits(0);
    site.leads_right();
}

#[cfg(feature = "failpoints")]
#[test]
fn a_chunk_that_is_written_again_refers_once() {
    for place in
        ["copy-before-commit=return", "copy-before-commit=3*off->return", "copy-after-commit=2*off->return"]
    {
        let site = Site::mapped(SOURCE, MAPPING);
        let mut killed = site.migrate(&[]);
        run(killed.env("SWITCHOVER_TEST_CHUNK_BYTES", "2048").env("FAILPOINTS", place)).was_killed();
        run(&mut site.verb("resume")).exits(0);
        site.leads_right();
    }
}

/// The row is read as it is now, and what it refers to now is behind the largest batch: a failpoint makes that small.
#[test]
fn a_live_run_takes_a_row_whose_parent_is_behind_the_largest_batch() {
    let site = Site::mapped(SOURCE, MAPPING);
    let mut start = site.program(&["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()]);
    start.env("FAILPOINTS", format!("{SOON_SETTLED};live-batch-entries-max=return(20)"));
    let engine = Running::start(&mut start);
    site.until_same();
    run(&mut site.program(&["pause"])).exits(0);
    site.source()
        .execute_batch(
            "UPDATE lines SET body = 'early' WHERE id = 3; UPDATE lines SET body = 'later' WHERE id BETWEEN 100 AND 300;
             INSERT INTO talks VALUES ('0188d9c2-af00-7fff-8102-999999999999', 'new');
             UPDATE lines SET talk = '0188d9c2-af00-7fff-8102-999999999999' WHERE id = 3",
        )
        .unwrap();
    run(&mut site.program(&["resume"])).exits(0);
    site.until(|live| live["rows_taken"].as_u64() >= Some(203) && live["lag_entries"] == 0);
    site.until_same();
    site.leads_right();
    // Without a later change of the row itself: its parent is written behind it, and the reference with the next comparison.
    run(&mut site.program(&["pause"])).exits(0);
    site.source()
        .execute_batch(
            "PRAGMA foreign_keys = OFF; UPDATE lines SET talk = '0188d9c2-af00-7fff-8102-888888888888' WHERE id = 5;
             UPDATE lines SET body = 'once more' WHERE id BETWEEN 100 AND 300;
             INSERT INTO talks VALUES ('0188d9c2-af00-7fff-8102-888888888888', 'newer')",
        )
        .unwrap();
    run(&mut site.program(&["resume"])).exits(0);
    site.until(|live| live["rows_taken"].as_u64() >= Some(406) && live["lag_entries"] == 0);
    run(&mut site.program(&["verify", "--live"])).exits(0);
    site.leads_right();
    // What never comes is named with its row.
    let orphan = "PRAGMA foreign_keys = OFF; UPDATE lines SET talk = 'nowhere' WHERE id = 7";
    site.source().execute_batch(orphan).unwrap();
    site.until(|live| live["verification"]["why"].as_str().is_some_and(|why| why.contains("id=7")));
    site.source()
        .execute_batch("UPDATE lines SET talk = (SELECT id FROM talks LIMIT 1) WHERE id = 7")
        .unwrap();
    site.until(|live| live["rows_taken"].as_u64() >= Some(407) && live["lag_entries"] == 0);
    run(&mut site.program(&["verify", "--live"])).exits(0);
    site.leads_right();
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
}

/// Members of talks, of which the talk is a part of the key and a reference.
const MEMBERS: &str = "
    CREATE TABLE talks(id INTEGER PRIMARY KEY, title TEXT);
    CREATE TABLE members(talk INTEGER NOT NULL REFERENCES talks(id) ON DELETE CASCADE, user INTEGER NOT NULL, role TEXT,
        PRIMARY KEY (talk, user));
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) INSERT INTO talks SELECT i, 'talk ' || i FROM n;
    INSERT INTO members SELECT one.id, other.id, 'reader' FROM talks AS one, talks AS other;";

const MEMBERS_MAPPING: &str = "[table.members.column]\ntalk.reference = 'ofTalk'";

#[test]
fn a_row_whose_key_is_a_reference_is_removed_with_what_it_refers_to() {
    let site = Site::mapped(MEMBERS, MEMBERS_MAPPING);
    run(&mut site.migrate(&[])).exits(0);
    site.source().execute_batch("PRAGMA foreign_keys = ON; DELETE FROM talks WHERE id = 2").unwrap();
    run(&mut site.verb("verify")).exits(1);
    run(site.verb("verify").arg("--repair")).exits(0);
    site.has_all(&[("talks", "Talks"), ("members", "Members")]);
    // What is in the source comes back with its parent.
    let talk = site.server.objects("Talks").into_keys().next().unwrap();
    assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Talks/{talk}"), "").0, 204);
    run(&mut site.verb("verify")).exits(1);
    run(site.verb("verify").arg("--repair")).exits(0);
    site.has_all(&[("talks", "Talks"), ("members", "Members")]);
    // An object under another id than its key's is nobody's that the run knows.
    let id = "00000000-0000-4000-8000-0000000000ff";
    let object = serde_json::json!({ "class": "Members", "id": id, "properties": { "talk": 2, "user": 1, "role": "mine" } });
    assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    let ran = run(site.verb("verify").arg("--repair")).exits(1);
    assert!(ran.out.contains(id), "{ran}");
    assert_eq!(site.server.count("Members"), 21);
}

#[test]
fn a_late_row_whose_key_is_a_reference_to_what_is_gone_is_removed_by_a_live_run() {
    let site = Site::mapped(&format!("PRAGMA journal_mode = WAL; {MEMBERS}"), MEMBERS_MAPPING);
    let arguments = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
    let engine = Running::start(&mut site.program(&arguments));
    site.until_same();
    let members = site.server.objects("Members");
    let mut late = members.values().find(|object| object["properties"]["talk"] == 2).unwrap().clone();
    let source = site.source();
    source
        .execute_batch(
            "PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; DELETE FROM talks WHERE id = 2",
        )
        .unwrap();
    run(&mut site.program(&["verify", "--live"])).exits(0);
    assert_eq!(site.server.count("Members"), 20);
    engine.signal("KILL");
    engine.end().was_killed();
    // As a request leaves it that the server carries out late: in a batch it takes no reference to what is gone.
    late["properties"].as_object_mut().unwrap().remove("ofTalk");
    assert_eq!(site.server.rest("POST", "/v1/objects", &late.to_string()).0, 200);
    assert_eq!(site.server.count("Members"), 21);
    let engine = Running::start(&mut site.program(&["resume"]));
    let id = engine.id();
    site.until(|live| live["pid"] == id && live["verification"].to_string().contains("same"));
    assert_eq!(site.server.count("Members"), 20);
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
}

#[test]
fn a_row_whose_key_lost_its_orphan_is_left_out_of_a_sample() {
    let site = Site::mapped(MEMBERS, MEMBERS_MAPPING);
    site.source()
        .execute_batch("PRAGMA foreign_keys = OFF; INSERT INTO members VALUES (99, 1, 'orphan')")
        .unwrap();
    let ran = run(&mut site.migrate(&["--policy", "quarantine", "--validation-sample", "100"])).exits(0);
    assert!(ran.out.contains("30 rows were looked up again by key"), "{ran}");
    let looked = run(site.verb("verify").args(["--sample", "100"])).exits(2);
    assert!(looked.out.contains("cannot be looked up"), "{looked}");
    run(&mut site.verb("verify")).exits(0);
}
