//! Aliases: readers find a collection by one when all of it is verified, or by the cutover of a live run, and what they found
//! before when the run is taken back, wherever the program is killed.

use crate::common::{Running, run};
use crate::server::Site;
use serde_json::json;

const SOURCE: &str = "PRAGMA journal_mode = WAL; CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO items SELECT i, 'item ' || i FROM n;";

impl Site {
    /// The alias `Item` leads there.
    fn leads(&self) -> Option<String> {
        let (status, said) = self.server.rest("GET", "/v1/aliases/Item", "");
        (status == 200).then(|| said["class"].as_str().unwrap().to_owned())
    }

    fn says(&self, object: &str) {
        let toml = format!("[table.items]\nto = 'Items_new'\nobject = {{ {object} }}");
        std::fs::write(self.folder.path().join("switchover.toml"), toml).unwrap();
    }

    /// A collection of yesterday, to which the alias leads, with another row than the source's.
    fn with_old() -> Site {
        let site = Site::new(SOURCE);
        site.server.create("Items_old", &["name"]);
        let alias = json!({ "alias": "Item", "class": "Items_old" }).to_string();
        assert_eq!(site.server.rest("POST", "/v1/aliases", &alias).0, 200);
        site.says("alias = 'Item', move_alias = true");
        site
    }

    /// The server without the alias, which outlives collections.
    fn no_alias(self) -> Site {
        self.server.rest("DELETE", "/v1/aliases/Item", "");
        self
    }
}

/// Takes the alias away when a test ends: it is none of the collections that the next test removes.
struct Tidy(Site);

impl std::ops::Deref for Tidy {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.0
    }
}

impl Drop for Tidy {
    fn drop(&mut self) {
        self.0.server.rest("DELETE", "/v1/aliases/Item", "");
    }
}

#[test]
fn readers_find_the_new_collection_when_it_is_verified_and_the_old_one_after_a_rollback() {
    let site = Tidy(Site::with_old());
    let planned = run(&mut site.migrate(&["--dry-run"])).exits(0);
    let said = planned.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("leads to Items_new when all is verified; it leads to Items_old now"), "{planned}");
    run(&mut site.migrate(&[])).exits(0);
    assert_eq!(site.leads().as_deref(), Some("Items_new"));
    let (_, page) = site.server.rest("GET", "/v1/objects?class=Item&limit=200", "");
    assert_eq!(page["objects"].as_array().unwrap().len(), 100, "by the alias");
    run(&mut site.verb("verify")).exits(0);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.leads().as_deref(), Some("Items_old"));
    assert_eq!(site.server.collections(), ["Items_old"]);
    // Accepted, it stays.
    run(&mut site.migrate(&[])).exits(0);
    run(site.verb("cleanup").arg("--yes")).exits(0);
    assert_eq!(site.leads().as_deref(), Some("Items_new"));
}

#[test]
fn without_a_name_of_its_own_the_collection_bears_the_day() {
    let site = Tidy(Site::new(SOURCE).no_alias());
    std::fs::write(site.folder.path().join("switchover.toml"), "[table.items.object]\nalias = 'Item'")
        .unwrap();
    run(&mut site.migrate(&[])).exits(0);
    let collections = site.server.collections();
    let own = collections.iter().find(|name| name.starts_with("Item")).unwrap();
    let day = own.strip_prefix("Item_").unwrap();
    assert!(day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit()), "{own}");
    assert_eq!(site.leads().as_ref(), Some(own));
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.leads(), None);
    assert_eq!(site.server.collections(), Vec::<String>::new());
}

#[test]
fn an_alias_that_cannot_be_is_refused_before_anything_is_written() {
    let site = Tidy(Site::with_old());
    site.server.create("Taken", &["name"]);
    for (object, said) in [
        (
            "alias = 'Item'",
            "line 3: table.items.object.alias: the alias Item is there, leads to Items_old, and is not of this run",
        ),
        ("alias = 'Taken'", "a collection is called Taken already"),
        ("alias = 'Items_new'", "is a collection or another alias of this plan"),
        ("alias = 'no name'", "\"no name\" is no name there"),
        ("alias = ''", "the alias has 0 bytes"),
        ("alias = 'Switchover_x'", "kept for the tool's own records"),
        ("move_alias = true", "no alias is asked for"),
    ] {
        site.says(object);
        let ran = run(&mut site.migrate(&["--dry-run"])).exits(1);
        let all = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(all.contains(said), "{said}: {ran}");
    }
    assert_eq!(site.leads().as_deref(), Some("Items_old"));
    // A collection cannot have an alias's name either.
    std::fs::write(site.folder.path().join("switchover.toml"), "[table.items]\nto = 'Item'").unwrap();
    let ran = run(&mut site.migrate(&[])).exits(1);
    assert!(ran.err.contains("\"Item\" already"), "{ran}");
}

#[test]
fn an_alias_that_somebody_moved_meanwhile_is_left_alone() {
    let site = Tidy(Site::with_old());
    run(&mut site.migrate(&[])).exits(0);
    site.server.create("Third", &["name"]);
    assert_eq!(site.server.rest("PUT", "/v1/aliases/Item", r#"{"class":"Third"}"#).0, 200);
    run(&mut site.verb("rollback")).exits(0);
    assert_eq!(site.leads().as_deref(), Some("Third"));
}

#[test]
fn an_alias_that_another_tenants_run_has_set_outlives_the_rollback_of_the_next() {
    let site = Tidy(Site::new(SOURCE).no_alias());
    site.says("alias = 'Item'");
    let of = |tenant: &str, arguments: &[&str]| {
        let url = format!("{}&tenant={tenant}", site.server.0.url());
        let mut command = site.program(arguments);
        command.args(["--from", "sqlite:app.db", "--to", &url]);
        command
    };
    run(&mut of("ada", &["migrate"])).exits(0);
    run(&mut of("ada", &["cleanup", "--yes"])).exits(0);
    assert_eq!(site.server.rest("POST", "/v1/schema/Items_new/tenants", r#"[{"name":"bob"}]"#).0, 200);
    let into = ["migrate", "--into", "existing"];
    run(&mut of("bob", &into)).exits(0);
    run(&mut of("bob", &["rollback"])).exits(0);
    assert_eq!(site.leads().as_deref(), Some("Items_new"));
    // By the alias, ada's readers find what they found.
    let (_, page) = site.server.rest("GET", "/v1/objects?class=Item&limit=200&tenant=ada", "");
    assert_eq!(page["objects"].as_array().unwrap().len(), 100);
    // Killed beside it, the next run still knows that.
    #[cfg(feature = "failpoints")]
    for place in ["alias-noted=return", "alias-set=return"] {
        run(of("bob", &into).env("FAILPOINTS", place)).was_killed();
        run(&mut of("bob", &["resume"])).exits(0);
        run(&mut of("bob", &["rollback"])).exits(0);
        assert_eq!(site.leads().as_deref(), Some("Items_new"), "{place}");
    }
}

#[test]
fn a_live_run_leads_its_readers_with_the_cutover_and_back() {
    let site = Tidy(Site::with_old());
    let arguments = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
    let engine = Running::start(&mut site.program(&arguments));
    site.until_same();
    assert_eq!(site.leads().as_deref(), Some("Items_old"));
    run(&mut site.program(&["cutover", "--dry-run"])).exits(0);
    assert_eq!(site.leads().as_deref(), Some("Items_old"));
    for _ in 0..2 {
        run(&mut site.program(&["cutover"])).exits(0);
        assert_eq!(site.leads().as_deref(), Some("Items_new"));
        run(&mut site.program(&["rollback"])).exits(0);
        assert_eq!(site.leads().as_deref(), Some("Items_old"));
    }
    run(&mut site.program(&["cutover"])).exits(0);
    run(&mut site.program(&["rollback"])).exits(0);
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
    assert_eq!(site.server.collections(), ["Items_old"]);
}

#[cfg(feature = "failpoints")]
#[test]
fn whoever_is_killed_beside_an_alias_goes_on_or_is_taken_back() {
    for place in ["alias-noted=return", "alias-set=return"] {
        for verb in ["resume", "rollback"] {
            println!("{place}, {verb}");
            let site = Tidy(Site::with_old());
            run(site.migrate(&[]).env("FAILPOINTS", place)).was_killed();
            if verb == "resume" {
                run(&mut site.verb("resume")).exits(0);
                assert_eq!(site.leads().as_deref(), Some("Items_new"));
            }
            let back = run(site.verb("rollback").env("FAILPOINTS", "alias-back=return"));
            back.was_killed();
            run(&mut site.verb("rollback")).exits(0);
            assert_eq!(site.leads().as_deref(), Some("Items_old"));
            assert_eq!(site.server.collections(), ["Items_old"]);
        }
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn an_engine_that_is_killed_at_its_cutover_can_be_cut_over_again_or_taken_back() {
    for (place, verb) in
        [("alias-noted=return", "cutover"), ("alias-set=return", "cutover"), ("alias-set=return", "rollback")]
    {
        println!("{place}, {verb}");
        let site = Tidy(Site::with_old());
        let arguments = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
        let engine = Running::start(site.program(&arguments).env("FAILPOINTS", place));
        site.until_same();
        assert_ne!(run(&mut site.program(&["cutover"])).code, Some(0));
        engine.end().was_killed();
        let engine = Running::start(&mut site.program(&["resume"]));
        let id = engine.id();
        site.until(|live| live["pid"] == id && live["verification"]["verdict"] == "same");
        run(&mut site.program(&[verb])).exits(0);
        if verb == "cutover" {
            assert_eq!(site.leads().as_deref(), Some("Items_new"));
            run(&mut site.program(&["rollback"])).exits(0);
            assert_eq!(site.leads().as_deref(), Some("Items_old"));
        }
        // Its readers were led back by the first, and not with all that they could read; the second takes the run back.
        assert_eq!((site.leads().as_deref(), site.server.count("Items_new")), (Some("Items_old"), 100));
        run(&mut site.program(&["rollback"])).exits(0);
        engine.end().exits(0);
        assert_eq!(site.leads().as_deref(), Some("Items_old"));
        assert_eq!(site.server.collections(), ["Items_old"]);
    }
}

/// An engine that begins, or is behind, is asked as one that follows.
#[cfg(feature = "failpoints")]
#[test]
fn readers_are_led_back_by_an_engine_that_is_not_up_to_date() {
    let site = Tidy(Site::with_old());
    let arguments = ["start", "--from", "sqlite:app.db", "--to", &site.server.0.url()];
    let engine = Running::start(&mut site.program(&arguments));
    site.until_same();
    run(&mut site.program(&["cutover"])).exits(0);
    engine.signal("KILL");
    engine.end().was_killed();
    assert_eq!(site.leads().as_deref(), Some("Items_new"));
    let engine =
        Running::start(site.program(&["resume"]).env("FAILPOINTS", "live-entered-source=sleep(3000)"));
    let id = engine.id();
    site.until(|live| live["pid"] == id);
    let ran = run(&mut site.program(&["rollback"])).exits(0);
    assert!(ran.out.contains("0% of reads go to the target"), "{ran}");
    assert_eq!((site.leads().as_deref(), site.server.count("Items_new")), (Some("Items_old"), 100));
    run(&mut site.program(&["rollback"])).exits(0);
    engine.end().exits(0);
    assert_eq!(site.server.collections(), ["Items_old"]);
}

#[test]
fn a_rollback_that_was_refused_asks_again_whether_the_application_wrote_since() {
    let site = Tidy(Site::with_old());
    run(&mut site.migrate(&[])).exits(0);
    assert_eq!(site.server.rest("DELETE", "/v1/schema/Items_old", "").0, 200);
    run(&mut site.verb("rollback")).exits(1).says("led to Items_old, which is gone");
    let objects = site.server.objects("Items_new");
    site.server.patch("Items_new", objects.keys().next().unwrap(), r#"{"name":"written since"}"#);
    site.server.create("Items_old", &["name"]);
    for more in [&["--dry-run"][..], &[]] {
        run(site.verb("rollback").args(more)).exits(1).says("the stores differ now in 1 row");
    }
    assert_eq!(site.server.count("Items_new"), 100);
    run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
    assert_eq!(site.leads().as_deref(), Some("Items_old"));
    assert_eq!(site.server.collections(), ["Items_old"]);
}
