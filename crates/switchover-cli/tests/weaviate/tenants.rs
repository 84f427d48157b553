//! Tenants and a consistency level, as the URL names them: the run's objects are that tenant's, and no other's are touched.

use crate::common::{Running, run};
use crate::server::Site;
use serde_json::{Value as Json, json};
use std::process::Command;

const SOURCE: &str = "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120) INSERT INTO items SELECT i, 'item ' || i FROM n;";

/// As Python says it: `uuid.uuid5(uuid.NAMESPACE_DNS, "Items1")`.
const FIRST: &str = "341be3ce-13e9-5fe1-ad42-7ac54ff8d0b4";

fn verb(site: &Site, arguments: &[&str]) -> Command {
    let url = format!("{}&tenant=ada&consistency=all", site.server.0.url());
    let mut command = site.program(arguments);
    command.args(["--from", "sqlite:app.db", "--to", &url]);
    command
}

fn of(site: &Site, tenant: &str) -> Vec<Json> {
    let path = format!("/v1/objects?class=Items&limit=1000&tenant={tenant}");
    site.server.rest("GET", &path, "").1["objects"].as_array().unwrap().clone()
}

#[test]
fn a_new_collection_has_the_tenant_of_the_url() {
    let site = Site::new(SOURCE);
    run(&mut verb(&site, &["migrate", "--batch-size", "20", "--validation-sample", "10"])).exits(0);
    assert_eq!(of(&site, "ada").len(), 120);
    run(&mut verb(&site, &["verify"])).exits(0);
    run(&mut verb(&site, &["rollback"])).exits(0);
    assert_eq!(site.server.collections(), Vec::<String>::new());
    // What came to another tenant of the run's own collection is not the run's.
    run(&mut verb(&site, &["migrate"])).exits(0);
    assert_eq!(site.server.rest("POST", "/v1/schema/Items/tenants", r#"[{"name":"bob"}]"#).0, 200);
    let object = json!({ "class": "Items", "tenant": "bob", "properties": { "name": "of bob" } });
    assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    run(&mut verb(&site, &["rollback"])).exits(0);
    let (_, tenants) = site.server.rest("GET", "/v1/schema/Items/tenants", "");
    assert_eq!(
        tenants.as_array().unwrap().iter().map(|own| own["name"].clone()).collect::<Vec<_>>(),
        ["bob"]
    );
    assert_eq!(of(&site, "bob").len(), 1);
    assert_eq!(site.server.collections(), ["Items"]);
}

#[test]
fn another_tenants_objects_are_never_touched() {
    let site = Site::new(SOURCE);
    let class = json!({ "class": "Items", "vectorizer": "none", "multiTenancyConfig": { "enabled": true }, "properties": [
        { "name": "original_id", "dataType": ["int"] }, { "name": "name", "dataType": ["text"] }] });
    assert_eq!(site.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
    let ran = run(&mut verb(&site, &["migrate", "--into", "existing"])).exits(1);
    assert!(ran.err.contains("the collection Items has no tenant \"ada\"; make it first: POST"), "{ran}");
    // One that has not that tenant is in the way of no other.
    let class = class.to_string().replace("\"Items\"", "\"Beside\"");
    assert_eq!(site.server.rest("POST", "/v1/schema", &class).0, 200);
    let tenants = json!([{ "name": "ada" }, { "name": "bob" }]).to_string();
    assert_eq!(site.server.rest("POST", "/v1/schema/Items/tenants", &tenants).0, 200);
    for tenant in ["ada", "bob"] {
        let properties = json!({ "original_id": 1, "name": format!("of {tenant}") });
        let object = json!({ "class": "Items", "id": FIRST, "tenant": tenant, "properties": properties, "vector": [0.5, 0.1] });
        assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    }
    let bobs = of(&site, "bob");
    let into = ["migrate", "--into", "existing", "--on-conflict", "replace"];
    let ran = run(&mut site.migrate(&into[1..])).exits(1);
    assert!(ran.err.contains("has tenants, and the URL names none"), "{ran}");
    run(&mut verb(&site, &into)).exits(0);
    assert_eq!(of(&site, "ada").len(), 120);
    run(&mut verb(&site, &["verify"])).exits(0);
    run(&mut verb(&site, &["rollback"])).exits(0);
    let adas = of(&site, "ada");
    assert_eq!((adas.len(), &adas[0]["properties"]["name"]), (1, &json!("of ada")));
    assert_eq!(of(&site, "bob"), bobs);
}

#[test]
fn an_object_of_a_tenant_that_refers_to_what_is_gone_is_refused() {
    let site = Site::new(SOURCE);
    site.server.create("Thing", &["name"]);
    let class = json!({ "class": "Items", "vectorizer": "none", "multiTenancyConfig": { "enabled": true }, "properties": [
        { "name": "original_id", "dataType": ["int"] }, { "name": "name", "dataType": ["text"] },
        { "name": "of", "dataType": ["Thing"] }] });
    assert_eq!(site.server.rest("POST", "/v1/schema", &class.to_string()).0, 200);
    assert_eq!(site.server.rest("POST", "/v1/schema/Items/tenants", r#"[{"name":"ada"}]"#).0, 200);
    let thing = json!({ "class": "Thing", "id": FIRST, "properties": { "name": "a thing" } });
    let to = format!("weaviate://localhost/Thing/{FIRST}");
    let properties = json!({ "original_id": 1, "of": [{ "beacon": to }] });
    let object = json!({ "class": "Items", "id": FIRST, "tenant": "ada", "properties": properties });
    for object in [&thing, &object] {
        assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    }
    let before = of(&site, "ada");
    let into = ["migrate", "--into", "existing", "--on-conflict", "replace"];
    assert_eq!(site.server.rest("DELETE", &format!("/v1/objects/Thing/{FIRST}"), "").0, 204);
    let ran = run(&mut verb(&site, &into)).exits(1);
    assert!(ran.err.contains(&to), "{ran}");
    assert_eq!(of(&site, "ada"), before);
    assert_eq!(site.server.collections(), ["Items", "Thing"]);
    // What is there holds nobody up.
    assert_eq!(site.server.rest("POST", "/v1/objects", &thing.to_string()).0, 200);
    run(&mut verb(&site, &into)).exits(0);
    run(&mut verb(&site, &["rollback"])).exits(0);
    assert_eq!(of(&site, "ada")[0]["properties"], before[0]["properties"]);
}

/// A run's record is all that says whose objects it wrote: its collection and its name are every tenant's.
#[test]
fn a_live_run_whose_folder_is_lost_is_taken_back_by_the_url_of_its_tenant_alone() {
    let site = Site::new(&format!("PRAGMA journal_mode = WAL; {SOURCE}"));
    let engine = Running::start(&mut verb(&site, &["start"]));
    site.until_same();
    engine.signal("KILL");
    engine.end().was_killed();
    let of_run = std::fs::read_dir(site.folder.path().join(".switchover/runs")).unwrap().next().unwrap();
    let name = of_run.unwrap().file_name().into_string().unwrap();
    std::fs::remove_dir_all(site.folder.path().join(".switchover")).unwrap();
    assert_eq!(site.server.rest("POST", "/v1/schema/Items/tenants", r#"[{"name":"bob"}]"#).0, 200);
    let object = json!({ "class": "Items", "tenant": "bob", "properties": { "name": "of bob" } });
    assert_eq!(site.server.rest("POST", "/v1/objects", &object.to_string()).0, 200);
    let triggers = || {
        let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'";
        site.source().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = triggers();
    assert!(before > 0);
    let url = site.server.0.url();
    for (tenant, meant) in [("", "names none"), ("&tenant=bob", "names the tenant \"bob\"")] {
        let to = format!("{url}{tenant}");
        let stores = ["--from", "sqlite:app.db", "--to", &to];
        for dry in [&["--dry-run"][..], &[]] {
            let mut rollback = site.program(&["rollback", "--run", &name]);
            run(rollback.args(stores).args(dry)).exits(2).says("objects of the tenant \"ada\"").says(meant);
        }
        assert_eq!((of(&site, "ada").len(), of(&site, "bob").len(), triggers()), (120, 1, before), "{to}");
    }
    run(&mut verb(&site, &["rollback", "--run", &name])).exits(0);
    assert_eq!((of(&site, "bob").len(), triggers()), (1, 0));
    assert_eq!(site.server.collections(), ["Items"]);
}
