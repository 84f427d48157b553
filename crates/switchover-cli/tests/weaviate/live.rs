//! Live: the server follows a source that is written, its readers are switched to it and back, and nothing is lost when
//! the engine or the server dies meanwhile.

use crate::common::{Running, run};
use crate::server::Site;
use serde_json::Value as Json;
use std::time::{Duration, Instant};
use switchover_testkit::Weaviate;

const SOURCE: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE notes(id TEXT PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, body TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO users SELECT i, 'user ' || i FROM n;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    INSERT INTO notes SELECT 'note-' || i, 1 + i % 200, 'body ' || i FROM n;";

/// No run takes so long, unless it hangs; one that is taken over waits a minute for requests that could be late.
const PATIENCE: Duration = Duration::from_secs(120);

const TABLES: [(&str, &str); 2] = [("users", "Users"), ("notes", "Notes")];

impl Site {
    fn start(&self) -> Running {
        self.start_with(&[])
    }

    fn start_with(&self, arguments: &[&str]) -> Running {
        let to = self.server.0.url();
        Running::start(self.program(&["start", "--from", "sqlite:app.db", "--to", &to]).args(arguments))
    }

    pub(crate) fn status(&self) -> Option<Json> {
        let ran = run(&mut self.program(&["status", "--json"]));
        serde_json::from_str::<Json>(&ran.out).ok()
    }

    /// Waits until the status is as wanted; a status changes by itself only.
    #[track_caller]
    pub(crate) fn until(&self, mut wanted: impl FnMut(&Json) -> bool) {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if status.as_ref().is_some_and(|status| wanted(&status[0]["live"])) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "not in time: {status:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the engine has taken everything and found all rows equal.
    #[track_caller]
    pub(crate) fn until_same(&self) {
        self.until(|live| {
            live["verification"]["verdict"] == "same" || live["verification"].get("same").is_some()
        });
    }

    /// That each object is its row, by a look at both that shares nothing with the product.
    #[track_caller]
    fn is_equal(&self) {
        self.are_equal(&TABLES);
    }

    #[track_caller]
    fn are_equal(&self, tables: &[(&str, &str)]) {
        let begun = Instant::now();
        loop {
            let differences = self.differences(tables);
            if differences.is_empty() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{differences:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The same for a table `items` alone.
    #[track_caller]
    pub(crate) fn holds_items(&self) {
        self.are_equal(&[("items", "Items")]);
    }

    pub(crate) fn differences(&self, tables: &[(&str, &str)]) -> Vec<String> {
        let source = self.source();
        let mut found = Vec::new();
        for (table, collection) in tables {
            let column = if *table == "notes" { "body" } else { "name" };
            let mut statement =
                source.prepare(&format!("SELECT CAST(id AS TEXT), {column} FROM {table}")).unwrap();
            let rows = statement
                .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))
                .unwrap();
            let mut rows: std::collections::BTreeMap<String, Option<String>> =
                rows.map(Result::unwrap).collect();
            for object in self.server.objects(collection).values() {
                let properties = &object["properties"];
                let id = match &properties["original_id"] {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                };
                match rows.remove(&id) {
                    Some(wanted) if wanted.as_deref() == properties[column].as_str() => {}
                    other => found.push(format!("{collection} {id}: {other:?} is {properties}")),
                }
            }
            found.extend(rows.into_keys().map(|id| format!("{collection} lacks {id}")));
        }
        found
    }
}

fn work(site: &Site, from: i64) {
    let source = site.source();
    source.execute_batch("PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000").unwrap();
    for i in from..from + 40 {
        source
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; INSERT INTO users VALUES ({0}, 'user {0}'); INSERT INTO notes VALUES ('fresh-{0}', {0}, 'new');
                 UPDATE notes SET body = 'changed {0}' WHERE id = 'note-{1}'; UPDATE notes SET id = 'moved-{0}' WHERE id = 'note-{2}';
                 DELETE FROM users WHERE id = {3}; COMMIT;
                 INSERT OR REPLACE INTO users VALUES ({4}, 'user {0}');",
                10_000 + i,
                500 + i % 100,
                600 + i % 300,
                100 + i % 90,
                50_000 + i
            ))
            .unwrap();
    }
}

fn reads(site: &Site) -> u64 {
    reads_by(site, ".switchover/route.json")
}

/// The share of reads at the target, by this file.
fn reads_by(site: &Site, route: &str) -> u64 {
    let ran = run(&mut site.program(&["route", "--json", "--route", route])).exits(0);
    serde_json::from_str::<Json>(&ran.out).unwrap()["reads_at_target"].as_u64().unwrap()
}

#[test]
fn readers_are_switched_and_go_back() {
    let site = Site::new(SOURCE);
    let engine = site.start();
    work(&site, 0);
    site.until_same();
    site.is_equal();
    assert_eq!(reads(&site), 0);
    run(&mut site.program(&["cutover", "--dry-run"])).exits(0);
    assert_eq!(reads(&site), 0);
    let ran = run(&mut site.program(&["cutover"])).exits(0);
    assert!(ran.out.contains("100% of reads go to the target"), "{ran}");
    assert_eq!(reads(&site), 100);
    // The source is written as before, and the server follows.
    work(&site, 100);
    site.is_equal();
    run(&mut site.program(&["reads", "10%"])).exits(0);
    run(&mut site.program(&["rollback"])).exits(0);
    assert_eq!(reads(&site), 0);
    work(&site, 200);
    site.is_equal();
    // Nothing goes there any more: the next one takes the run back.
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    assert_eq!(left_in_the_source(&site), 0);
}

/// Who asks without an engine meets the same two steps, and no readers are left with what nobody follows.
#[test]
fn readers_go_back_without_an_engine_and_are_not_sent_there() {
    let site = Site::new(SOURCE);
    // The run knows where its route is, whoever asks later.
    let engine = site.start_with(&["--route", "apps.json"]);
    let reads = |site: &Site| reads_by(site, "apps.json");
    site.until_same();
    run(&mut site.program(&["cutover"])).exits(0);
    engine.signal("KILL");
    engine.end().was_killed();
    assert_eq!(reads(&site), 100);
    run(&mut site.program(&["rollback", "--dry-run"])).exits(0);
    assert_eq!(reads(&site), 100);
    let ran = run(&mut site.program(&["rollback"])).exits(0);
    assert!(ran.out.contains("0% of reads go to the target"), "{ran}");
    assert_eq!((reads(&site), site.server.count("Notes")), (0, 1000));
    for words in [&["cutover"][..], &["cutover", "--when-ready"], &["cutover", "--dry-run"]] {
        run(&mut site.program(words)).exits(1).says("no engine is at work on the run");
    }
    assert_eq!(reads(&site), 0);
    run(&mut site.program(&["rollback"])).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    assert_eq!(left_in_the_source(&site), 0);
    let route = std::fs::read_to_string(site.folder.path().join("apps.json")).unwrap();
    assert!(route.contains("\"follower\": \"lost\""), "{route}");
    assert!(!site.folder.path().join(".switchover/route.json").exists());
}

/// Its readers would go where they were not sent, and those of the run would not move.
#[test]
fn reads_are_not_moved_by_the_route_of_another_run() {
    let site = Site::new(SOURCE);
    let engine = site.start();
    site.until_same();
    engine.signal("INT");
    engine.end().exits(0);
    let path = site.folder.path().join(".switchover/route.json");
    let own = std::fs::read_to_string(&path).unwrap();
    let others = own.replace(&name_of(&site), "99990101t000000000-00000000");
    std::fs::write(&path, &others).unwrap();
    let engine = Running::start(&mut site.program(&["resume"]));
    site.until(|live| live["pid"] == engine.id() && live["untold"].is_string());
    site.until_same();
    for words in [&["cutover", "--dry-run"][..], &["cutover"]] {
        run(&mut site.program(words)).exits(2).says("it is the route of the run 99990101t000000000-00000000");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), others);
    std::fs::write(&path, &own).unwrap();
    run(&mut site.program(&["resume"])).exits(0);
    site.until(|live| live["untold"].is_null());
    run(&mut site.program(&["cutover"])).exits(0);
    assert_eq!(reads(&site), 100);
    run(&mut site.program(&["rollback"])).exits(0);
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
}

/// The name of a site's only run.
fn name_of(site: &Site) -> String {
    let mut runs = std::fs::read_dir(site.folder.path().join(".switchover/runs")).unwrap();
    runs.next().unwrap().unwrap().file_name().into_string().unwrap()
}

#[test]
fn a_live_run_whose_folder_is_lost_is_taken_back_by_what_the_stores_say() {
    let site = Site::new(SOURCE);
    // An offline run of another folder, of which nothing is to be taken back by the name alone.
    let sql = "CREATE TABLE others(id INTEGER PRIMARY KEY); INSERT INTO others VALUES (1)";
    let beside = Site::at(site.server.0.clone(), |source| source.execute_batch(sql).unwrap());
    run(&mut beside.migrate(&[])).exits(0);
    let to = site.server.0.url();
    let lost = |verb: &[&str]| {
        let mut command = site.program(verb);
        command.args(["--state-dir", "lost", "--from", "sqlite:app.db", "--to", &to]);
        command
    };
    for cut_over in [false, true] {
        let engine = site.start();
        site.until_same();
        let name = name_of(&site);
        if cut_over {
            run(&mut site.program(&["cutover"])).exits(0);
        }
        run(&mut lost(&["rollback", "--run", &name])).exits(2).says("is at work on this server");
        engine.signal("KILL");
        engine.end().was_killed();
        std::fs::remove_dir_all(site.folder.path().join(".switchover")).unwrap();
        // The source has its triggers still, which only that run's end removes.
        run(&mut site.program(&["start", "--from", "sqlite:app.db", "--to", &to])).exits(1).says(&name);
        for other in [name_of(&beside), "20200101t000000000-000000".to_owned()] {
            run(&mut lost(&["rollback", "--run", &other])).exits(2).says("no records of a live run");
        }
        run(&mut lost(&["rollback", "--run", &name, "--dry-run"])).exits(0);
        assert_eq!(site.server.count("Notes"), 1000);
        run(&mut lost(&["rollback", "--run", &name])).exits(0);
        assert_eq!(left_in_the_source(&site), 0);
        run(&mut lost(&["rollback", "--run", &name])).exits(2).says("no records of a live run");
        assert_eq!(site.server.collections(), ["Others", "Switchover_record"]);
    }
    // What is over is nobody's to take back.
    let engine = site.start();
    site.until_same();
    let name = name_of(&site);
    run(&mut site.program(&["cutover"])).exits(0);
    run(&mut site.program(&["finish", "--yes"])).exits(0);
    engine.end().exits(0);
    run(&mut lost(&["rollback", "--run", &name])).exits(2).says("no records of a live run");
    assert_eq!(site.server.count("Notes"), 1000);
    run(&mut beside.verb("rollback")).exits(0);
}

/// What Switchover has in the source.
fn left_in_the_source(site: &Site) -> i64 {
    let count = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_switchover%' ESCAPE '\\'";
    site.source().query_row(count, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_a_live_run_cannot_follow_is_refused_before_anything_is_made() {
    let site = Site::new(
        "PRAGMA journal_mode = WAL; CREATE TABLE bare(a TEXT); INSERT INTO bare VALUES ('x');
         CREATE TABLE odd(id INTEGER PRIMARY KEY, v REAL); INSERT INTO odd VALUES (1, 1e999);",
    );
    let url = site.server.0.url();
    let arguments = ["start", "--from", "sqlite:app.db", "--to", &url, "--policy", "quarantine", "--dry-run"];
    let ran = run(&mut site.program(&arguments)).exits(1);
    let said = format!("{} {}", ran.out, ran.err).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("has no primary key") && said.contains("would go to quarantine"), "{ran}");
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

/// It is not the run's to remove, since nothing tells whose it is; and nothing is proven while it is there.
#[test]
fn an_object_without_a_key_is_named_until_it_is_gone() {
    let site = Site::new(SOURCE);
    let engine = site.start();
    site.until_same();
    engine.signal("INT");
    engine.end();
    let id = "00000000-0000-4000-8000-0000000000ff";
    let object = serde_json::json!({ "class": "Users", "id": id, "properties": { "name": "strange" } });
    assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    let engine = Running::start(&mut site.program(&["resume"]));
    site.until(|live| live["verification"]["verdict"] == "different");
    let status = site.status().unwrap()[0]["live"].to_string();
    assert!(status.contains(id) && status.contains("a row that the source does not"), "{status}");
    assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Users/{id}"), "").0, 204);
    run(&mut site.program(&["verify", "--live"])).exits(0);
    site.is_equal();
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
}

#[test]
fn finish_leaves_the_data_and_nothing_else() {
    let site = Site::new(SOURCE);
    let engine = site.start();
    site.until_same();
    run(&mut site.program(&["cutover"])).exits(0);
    work(&site, 0);
    let said = run(&mut site.program(&["finish", "--yes"])).exits(0).out;
    engine.end().exits(0);
    assert_eq!(site.differences(&TABLES), Vec::<String>::new());
    assert_eq!(site.server.collections(), ["Notes", "Users"]);
    // Nothing follows there any more.
    assert_eq!(reads(&site), 0);
    // The report is where it is said to be, and says that the source owns the data.
    let path = said.lines().find_map(|line| line.strip_prefix("report: ")).unwrap();
    let people = std::fs::read_to_string(site.folder.path().join(path)).unwrap();
    assert!(people.starts_with("# finish: same: "), "{people}");
    for part in [
        "| compared | 1,200 rows by ",
        "None: the source owns the data",
        "app.db: all tables; it is the application",
    ] {
        assert!(people.contains(part), "{part}: {people}");
    }
}

/// What it held is on the server alone then.
#[test]
fn a_run_whose_source_is_lost_is_ended_by_giving_that_up() {
    let site = Site::new(SOURCE);
    let engine = site.start();
    site.until_same();
    run(&mut site.program(&["cutover"])).exits(0);
    engine.signal("KILL");
    engine.end().was_killed();
    let give_up = || run(&mut site.program(&["finish", "--abandon-source", "--yes"]));
    // Not while it is there: it would bear the run's log for good.
    give_up().exits(1).says("the source, which is the application's store, can be reached");
    let (file, aside) = (site.folder.path().join("app.db"), site.folder.path().join("aside"));
    for end in ["", "-wal", "-shm"] {
        let name = |path: &std::path::Path| std::path::PathBuf::from(format!("{}{end}", path.display()));
        let _ = std::fs::rename(name(&file), name(&aside));
    }
    let asked = run(&mut site.program(&["finish", "--abandon-source"])).exits(2);
    assert!(asked.err.contains("is nowhere else"), "{asked}");
    let said = give_up().exits(0).out;
    assert_eq!(site.server.collections(), ["Notes", "Users"]);
    assert_eq!(site.server.count("Notes"), 1000);
    let path = said.lines().find_map(|line| line.strip_prefix("report: ")).unwrap();
    let people = std::fs::read_to_string(site.folder.path().join(path)).unwrap();
    assert!(people.contains("app.db: it was given up and not opened"), "{people}");
    assert!(!file.exists());
    give_up().exits(2);
}

/// What was lost on the way and not mended yet would be lost for good.
#[test]
fn finish_waits_for_a_proof_and_is_refused_without_one() {
    let site = Site::new(SOURCE);
    let engine = site.start();
    site.until_same();
    engine.signal("KILL");
    engine.end().was_killed();
    // What the dead engine sent may be late for so long.
    let late = |words: &[&str]| {
        let mut command = site.program(words);
        command.env("FAILPOINTS", "live-target-late-ms=return(8000)");
        command
    };
    let engine = Running::start(&mut late(&["resume"]));
    site.until(|live| live["pid"] == engine.id() && live["phase"] == "following");
    run(&mut site.program(&["finish", "--yes"]))
        .exits(1)
        .says("it is not proven yet that the stores are equal");
    engine.signal("INT");
    engine.end().exits(0);
    site.source().execute_batch("UPDATE notes SET body = 'meanwhile' WHERE user_id = 7").unwrap();
    // Without an engine it drives the run until then.
    run(&mut site.program(&["finish"])).exits(2).says("which stays the application's store");
    let said = run(&mut late(&["finish", "--yes"])).exits(0).out;
    assert!(said.contains("report: "), "{said}");
    assert_eq!(site.differences(&TABLES), Vec::<String>::new());
    assert_eq!(left_in_the_source(&site), 0);
}

#[test]
fn an_engine_and_a_server_that_are_killed_lose_nothing() {
    let mut server = Weaviate::start().unwrap();
    let site = Site::at((*server).clone(), |source| source.execute_batch(SOURCE).unwrap());
    let mut engine = site.start();
    site.until(|live| live["phase"].is_string());
    for round in 0..3 {
        work(&site, round * 50);
        engine.signal("KILL");
        engine.end().was_killed();
        work(&site, 2000 + round * 50);
        engine = Running::start(&mut site.program(&["resume"]));
    }
    site.until_same();
    server.kill().unwrap();
    work(&site, 4000);
    server.restart().unwrap();
    site.is_equal();
    site.until_same();
    engine.signal("INT");
    engine.end();
    run(&mut site.program(&["rollback"])).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

/// What only goes there needs no way back: columns that are left behind, values that the source computes, rows that it leaves out.
const MAPPING: &str = r#"
[table.notes]
where = "body NOT LIKE 'secret%'"
[table.notes.column.body]
value = "upper(body)"
[table.users.column.name]
drop = true
"#;

impl Site {
    /// What the mapping makes of the source, and what is there.
    fn is_mapped(&self) -> bool {
        let source = self.source();
        let mut statement =
            source.prepare("SELECT id, upper(body) FROM notes WHERE body NOT LIKE 'secret%'").unwrap();
        let notes = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let mut notes: Vec<(String, String)> = notes.map(Result::unwrap).collect();
        let text =
            |object: &Json, name: &str| object["properties"][name].as_str().unwrap_or_default().to_owned();
        let found = self.server.objects("Notes");
        let mut found: Vec<(String, String)> =
            found.values().map(|object| (text(object, "original_id"), text(object, "body"))).collect();
        notes.sort();
        found.sort();
        let users: i64 = source.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap();
        notes == found && self.server.objects("Users").len() as i64 == users
    }
}

#[test]
fn a_mapping_that_needs_no_way_back_holds_for_every_change() {
    let site = Site::new(SOURCE);
    site.source().execute_batch("UPDATE notes SET body = 'secret ' || id WHERE id LIKE 'note-1%'").unwrap();
    std::fs::write(site.folder.path().join("switchover.toml"), MAPPING).unwrap();
    let engine = site.start();
    work(&site, 0);
    site.until_same();
    site.source()
        .execute_batch(
            "UPDATE notes SET body = 'open now' WHERE id = 'note-10'; UPDATE notes SET body = 'secret now' WHERE id = 'note-20';
             INSERT INTO notes VALUES ('new', 1, 'seen'), ('hidden', 1, 'secret'); UPDATE users SET name = 'x' WHERE id = 1",
        )
        .unwrap();
    let begun = Instant::now();
    while !site.is_mapped() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", site.status());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!site.server.properties("Users").contains_key("name"));
    site.until_same();
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
}
