//! What the server does that its users do not expect, and this client is built around. A version that does better
//! fails here, and `docs/reference/weaviate.md` is to be corrected then.

use serde_json::{Value as Json, json};
use switchover_connectors::weaviate::client::{Asked, Listing, VectorsAsked};
use switchover_connectors::weaviate::value::Wire;
use switchover_core::Kind;
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::Address;

use crate::support::{collection, connect, definition, listing, read_texts, spread, store_texts, uuid};

fn insert(address: &Address, object: &Json) -> (u16, Json) {
    let (status, said) = address.rest("POST", "/v1/objects", &object.to_string()).expect("an answer");
    (status, serde_json::from_str(&said).expect("JSON"))
}

#[tokio::test]
async fn one_object_of_latitude_and_longitude_makes_its_page_unreadable() {
    let address = Weaviate::shared().expect("a server");
    let client = connect(address).await;
    let name = address.fresh_collection("Point");
    let inner = [("latitude", "number"), ("longitude", "number"), ("more", "text")]
        .map(|(name, kind)| json!({ "name": name, "dataType": [kind] }));
    let properties = json!([{ "name": "o", "dataType": ["object"], "nestedProperties": inner }]);
    client.create_collection(&json!({ "class": name, "properties": properties })).expect("a collection");
    let point = json!({ "latitude": 1.5, "longitude": 2.5 });
    let mut writer = client.writer(&name);
    assert!(
        writer.object(uuid(1)).property("o", &Wire::Object(point.clone())).is_err(),
        "so it is not written"
    );
    let mut object = writer.object(uuid(2));
    let fine = json!({ "latitude": 1.5, "longitude": 2.5, "more": "" });
    object.property("o", &Wire::Object(fine.clone())).expect("fits");
    object.finish();
    assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);
    let nested = ["latitude", "longitude", "more"].map(Asked::plain).to_vec();
    let wanted = Listing {
        collection: name.clone(),
        properties: vec![Asked { name: "o".into(), nested }],
        ..Listing::default()
    };
    let page = client.list(0, &wanted, None, 10).await.expect("a page");
    assert_eq!(
        client.objects(&page).next().expect("one").expect("it").properties[0],
        Some(Wire::Object(fine))
    );
    let stored = insert(address, &json!({ "class": name, "id": text(3), "properties": { "o": point } }));
    assert_eq!(stored.0, 200, "{}", stored.1);
    let error = client.list(0, &wanted, None, 10).await.expect_err("the page is lost");
    assert!(error.to_string().contains("GeoCoordinates"), "{error:?}");
}

#[tokio::test]
async fn integers_are_doubles_and_are_changed_in_silence() {
    let (client, name) = collection("Doubles", &[("i", "int"), ("is", "int[]")]).await;
    let address = Weaviate::shared().expect("a server");
    for (number, sent) in [
        (1, json!({ "i": (1i64 << 53) + 1 })),
        (2, json!({ "is": [i64::MAX] })),
        (3, json!({ "i": i64::MAX })),
    ] {
        let (status, said) =
            insert(address, &json!({ "class": name, "id": text(number), "properties": sent }));
        assert_eq!(status, 200, "{said}");
    }
    let page = client.list(0, &listing(&name, &["i", "is"]), None, 10).await.expect("a page");
    let found: Vec<_> = client.objects(&page).map(|found| found.expect("an object").properties).collect();
    assert_eq!(found[0][0], Some(Wire::Int(1 << 53)));
    let (list, one) = (found[1][1].clone(), found[2][0].clone());
    assert_ne!(list, Some(Wire::Ints(vec![i64::MAX])), "it turned into {list:?}");
    assert_ne!(one, Some(Wire::Int(i64::MAX)), "it turned into {one:?}");
}

#[tokio::test]
async fn a_vector_without_a_name_comes_twice_and_a_named_one_once() {
    let address = Weaviate::shared().expect("a server");
    let client = connect(address).await;
    let (plain, named) = (address.fresh_collection("PlainSize"), address.fresh_collection("NamedSize"));
    client.create_collection(&json!({ "class": plain, "vectorizer": "none" })).expect("a collection");
    let config = json!({ "default": { "vectorizer": { "none": {} }, "vectorIndexType": "hnsw" } });
    client.create_collection(&json!({ "class": named, "vectorConfig": config })).expect("a collection");
    let bytes: Vec<u8> = (1..=1_000u16).flat_map(|n| f32::from(n).to_le_bytes()).collect();
    let mut sizes = Vec::new();
    for (name, vectors) in
        [(plain, VectorsAsked::Unnamed), (named, VectorsAsked::Named(vec!["default".into()]))]
    {
        let mut writer = client.writer(&name);
        let mut object = writer.object(uuid(1));
        match vectors {
            VectorsAsked::Unnamed => object.vector(&bytes),
            _ => object.named_vector("default", &bytes),
        }
        object.finish();
        assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);
        let wanted = Listing { vectors, ..listing(&name, &[]) };
        let page = client.list(0, &wanted, None, 10).await.expect("a page");
        let found = client.objects(&page).next().expect("one").expect("it");
        assert_eq!(found.vector.or(found.vectors.first().map(|(_, vector)| *vector)), Some(&bytes[..]));
        sizes.push(page.bytes());
    }
    assert!(sizes[0] > 2 * bytes.len() && sizes[1] < bytes.len() + 200, "{sizes:?}");
}

#[tokio::test]
async fn an_alias_outlives_its_collection() {
    let (client, name) = collection("Aliased", &[("t", "text")]).await;
    let alias = format!("{name}_now");
    client.set_alias(&alias, &name).expect("set");
    store_texts(&client, &alias, &[(uuid(1), "by way of the alias")]).await;
    assert_eq!(client.count(&name).await.expect("a count"), 1);
    let error = client.create_collection(&definition(&alias, &[])).expect_err("the name is taken");
    assert_eq!(error.kind(), Kind::Rejected, "{error:?}");
    client.delete_collection(&name).expect("dropped");
    assert_eq!(client.alias(&alias).expect("an answer").as_deref(), Some(name.as_str()));
    client.delete_alias(&alias).expect("removed");
    assert_eq!(client.alias(&alias).expect("an answer"), None);
}

#[tokio::test]
async fn a_server_that_gives_shorter_pages_is_read_and_deleted_from_all_the_same() {
    let server = Weaviate::builder().setting("QUERY_MAXIMUM_RESULTS", "300").start().expect("a server");
    let client = connect(&server).await;
    let name = server.fresh_collection("Short");
    client.create_collection(&definition(&name, &[("t", "text")])).expect("a collection");
    let objects: Vec<([u8; 16], &str)> = (0..1_000).map(|number| (spread(number), "x")).collect();
    store_texts(&client, &name, &objects).await;
    let all: Vec<[u8; 16]> = objects.iter().map(|(uuid, _)| *uuid).collect();
    let pages = client.by_ids(0, &listing(&name, &["t"]), &all).await.expect("pages");
    assert_eq!(pages.iter().map(|page| page.len()).sum::<usize>(), 1_000);
    assert_eq!(read_texts(&client, &name, 10_000).await.len(), 1_000);
    assert_eq!(client.delete_ids(0, &name, &all).await.expect("deleted"), 1_000);
    assert_eq!(client.count(&name).await.expect("a count"), 0);
}

fn text(number: u64) -> String {
    let text = switchover_connectors::weaviate::value::uuid_text(&uuid(number));
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_reference_needs_its_object_to_be_there_before_the_batch() {
    let address = Weaviate::shared().expect("a server");
    let client = connect(address).await;
    let name = address.fresh_collection("Tree");
    client.create_collection(&json!({ "class": name })).expect("a collection");
    client.add_property(&name, &json!({ "name": "of", "dataType": [name] })).expect("a reference to itself");
    for (attempt, refused) in [(1, vec![1]), (2, vec![])] {
        let mut writer = client.writer(&name);
        writer.object(uuid(1)).finish();
        let mut child = writer.object(uuid(2));
        child.references("of", &[uuid(1)]);
        child.finish();
        let reply = client.batch(0, &writer.take()).await.expect("a reply");
        let places: Vec<usize> = reply.iter().map(|refused| refused.index).collect();
        assert_eq!(places, refused, "attempt {attempt}: {reply:?}");
    }
}
