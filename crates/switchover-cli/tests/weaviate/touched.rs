//! What the application adds to a run's objects, beside all that the plan knows of, is not thrown away by a rollback that was
//! not told to.

use crate::common::run;
use crate::server::Site;
use serde_json::{Value as Json, json};

const SOURCE: &str = "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
    INSERT INTO items SELECT i, 'item ' || i FROM n;";

/// An object that was there.
const OTHER: &str = "00000000-0000-4000-8000-00000000000a";

impl Site {
    fn asks(&self, method: &str, path: &str, body: &Json) {
        let (status, said) = self.server.rest(method, path, &body.to_string());
        assert!(status < 300, "{status}: {said}");
    }

    fn adds(&self, to: &str, property: &Json) {
        self.asks("POST", &format!("/v1/schema/{to}/properties"), property);
    }

    /// The id of the object of a row.
    fn id_of(&self, row: u64) -> String {
        let objects = self.server.objects("Items");
        let of = objects.iter().find(|(_, object)| object["properties"]["original_id"] == row);
        of.unwrap().0.clone()
    }

    fn sets(&self, id: &str, fields: Json) {
        let mut object = json!({ "class": "Items" });
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.asks("PATCH", &format!("/v1/objects/Items/{id}"), &object);
    }

    /// That a rollback is refused with these words, and changes nothing.
    #[track_caller]
    fn keeps(&self, said: &str) {
        let before = self.server.objects("Items");
        run(self.verb("rollback").arg("--dry-run")).exits(1).says(said);
        run(&mut self.verb("rollback")).exits(1).says(said).says("--discard-target-changes");
        assert!(self.server.objects("Items") == before);
    }
}

#[test]
fn what_was_added_to_new_collections_is_not_thrown_away() {
    let site = Site::new(SOURCE);
    type Adds = fn(&Site);
    let cases: [(Adds, &str); 4] = [
        (
            |site| site.sets(&site.id_of(1499), json!({ "vector": [0.5, 0.25] })),
            "of Items has a vector, which the run did not write",
        ),
        (
            |site| {
                site.adds("Items", &json!({ "name": "note", "dataType": ["text"] }));
                site.sets(&site.id_of(1), json!({ "properties": { "note": "of the application" } }));
            },
            "the collection Items has the property note, which the run did not make",
        ),
        (|site| site.adds("Items", &json!({ "name": "of", "dataType": ["Items"] })), "has the property of,"),
        (
            |site| {
                let mut class = site.server.rest("GET", "/v1/schema/Items", "").1;
                class["vectorConfig"]["own"] =
                    json!({ "vectorizer": { "none": {} }, "vectorIndexType": "hnsw" });
                site.asks("PUT", "/v1/schema/Items", &class);
            },
            "has the vector own,",
        ),
    ];
    for (adds, said) in cases {
        println!("{said}");
        run(&mut site.migrate(&[])).exits(0);
        adds(&site);
        run(&mut site.verb("verify")).exits(0);
        site.keeps(said);
        run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
        assert_eq!(site.server.collections(), Vec::<String>::new());
    }
}

#[test]
fn what_was_added_to_the_runs_objects_in_a_collection_that_was_there_is_not_thrown_away() {
    let site = Site::new(SOURCE);
    let property = |name: &str, kind: &str| json!({ "name": name, "dataType": [kind] });
    let inner =
        json!({ "name": "extra", "dataType": ["object"], "nestedProperties": [property("a", "number")] });
    let class = json!({ "class": "Items", "vectorizer": "none", "properties": [
        property("original_id", "int"), property("name", "text"), property("note", "text"),
        property("place", "geoCoordinates"), inner] });
    site.asks("POST", "/v1/schema", &class);
    site.adds("Items", &property("of", "Items"));
    let full = json!({ "note": "mine", "place": { "latitude": 1.5, "longitude": 2.5 } });
    let other = json!({ "class": "Items", "id": OTHER, "properties": full, "vector": [0.5, 0.25] });
    site.asks("POST", "/v1/objects", &other);
    let before = site.server.objects("Items");
    let link = json!([{ "beacon": format!("weaviate://localhost/Items/{OTHER}") }]);
    for (fields, said) in [
        (
            json!({ "properties": { "note": "of the application" } }),
            "has a value of the property note, which the run did not write",
        ),
        (
            json!({ "properties": { "place": { "latitude": 0.0, "longitude": 0.0 } } }),
            "has a value of the property place,",
        ),
        (json!({ "properties": { "extra": { "a": 1.5 } } }), "has a value of the property extra,"),
        (json!({ "properties": { "of": link } }), "has the reference of,"),
        (json!({ "vector": [0.5, 0.25] }), "of Items has a vector, which"),
    ] {
        println!("{said}");
        run(&mut site.migrate(&["--into", "existing", "--on-conflict", "replace"])).exits(0);
        // What stays may hold what it likes.
        site.sets(OTHER, json!({ "properties": { "note": "changed" } }));
        let id = site.id_of(1234);
        site.sets(&id, fields);
        run(&mut site.verb("verify")).exits(0);
        site.keeps(&format!("the object {id} of Items"));
        site.keeps(said);
        run(site.verb("rollback").arg("--discard-target-changes")).exits(0);
        let left = site.server.objects("Items");
        assert_eq!((left.len(), &left[OTHER]["properties"]["note"]), (1, &json!("changed")));
        assert_eq!(left[OTHER]["vector"], before[OTHER]["vector"]);
    }
    // Without anything of the application's there is nothing to refuse.
    run(&mut site.migrate(&["--into", "existing", "--on-conflict", "replace"])).exits(0);
    run(&mut site.verb("rollback")).exits(0);
}
