//! What the server does in hard cases: a read-only shard, a kill, a wrong key, wrong objects.

use serde_json::json;
use switchover_connectors::weaviate::WeaviateConfig;
use switchover_connectors::weaviate::client::Client;
use switchover_connectors::weaviate::value::Wire;
use switchover_core::Kind;
use switchover_testkit::Weaviate;

use crate::support::{collection, connect, definition, read_texts, spread, store_texts, uuid};

#[tokio::test]
async fn a_read_only_shard_calls_objects_stored_that_it_did_not_store() {
    let (client, name) = collection("Trap", &[("t", "text")]).await;
    let shard = client.shards(&name).expect("shards").remove(0);
    assert_eq!(shard.status, "READY");
    let address = Weaviate::shared().expect("a server");
    let path = format!("/v1/schema/{name}/shards/{}", shard.name);
    let (status, said) = address.rest("PUT", &path, r#"{"status":"READONLY"}"#).expect("an answer");
    assert_eq!(status, 200, "{said}");
    assert_eq!(client.shards(&name).expect("shards")[0].status, "READONLY");
    let mut writer = client.writer(&name);
    for number in 0..10 {
        let mut object = writer.object(uuid(number));
        object.property("t", &Wire::Text("lost")).expect("fits");
        object.finish();
    }
    // This is why a reply proves nothing: fewer objects are refused than are missing.
    let refused = client.batch(0, &writer.take()).await.expect("a reply");
    assert!(!refused.is_empty() && refused.len() < 10, "the trap is gone: {refused:?}");
    assert!(refused[0].why.contains("read-only"), "{refused:?}");
    assert_eq!(read_texts(&client, &name, 100).await, []);
    assert_eq!(client.count(&name).await.expect("a count"), 0);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let mut server = Weaviate::start().expect("a server");
    let client = connect(&server).await;
    let name = server.fresh_collection("Killed");
    client.create_collection(&definition(&name, &[("t", "text")])).expect("a collection");
    let objects: Vec<([u8; 16], &str)> = (0..3_000).map(|number| (spread(number), "kept")).collect();
    store_texts(&client, &name, &objects).await;
    server.kill().expect("killed");
    let mut writer = client.writer(&name);
    writer.object(uuid(1)).finish();
    let error = client.batch(0, &writer.take()).await.expect_err("there is no server");
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    let error = client.schema().expect_err("there is no server");
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    server.restart().expect("started again");
    // The same client reaches the server again.
    assert_eq!(read_texts(&client, &name, 10_000).await.len(), 3_000);
}

#[tokio::test]
async fn a_wrong_key_and_a_wrong_port_say_what_to_do() {
    let server = Weaviate::builder().api_key("right-key").start().expect("a server");
    let client = connect(&server).await;
    assert!(client.ready().expect("an answer"));
    for key in [None, Some("wrong-key")] {
        let env = |name: &str| key.filter(|_| name == "WEAVIATE_API_KEY").map(str::to_owned);
        let config = WeaviateConfig::parse(&server.url(), &env).expect("a URL");
        let error = Client::connect(&config, 1).await.expect_err("nobody is let in");
        assert_eq!(error.kind(), Kind::Permission, "{error:?}");
        assert!(error.what_to_do().contains("WEAVIATE_API_KEY"), "{error:?}");
        assert!(error.what_to_do().contains("`switchover resume`"), "{error:?}");
        assert!(!format!("{error:?}").contains("wrong-key"), "{error:?}");
    }
    let grpc = format!("weaviate://127.0.0.1:{}?grpc=1", server.http_port());
    let swapped = format!("weaviate://127.0.0.1:{}?grpc={}", server.grpc_port(), server.http_port());
    for url in [grpc, swapped] {
        let env = |name: &str| (name == "WEAVIATE_API_KEY").then(|| "right-key".to_owned());
        let config = WeaviateConfig::parse(&url, &env).expect("a URL");
        let error = Client::connect(&config, 1).await.expect_err("the port is wrong");
        assert!(!error.what_to_do().is_empty(), "{error:?}");
    }
}

#[tokio::test]
async fn an_object_that_is_wrong_is_named_by_its_place() {
    let (client, name) = collection("Wrong", &[("t", "text"), ("i", "int")]).await;
    let mut writer = client.writer(&name);
    for number in 0..5 {
        let mut object = writer.object(uuid(number));
        object.property("t", &Wire::Text("x")).expect("fits");
        if number == 3 {
            object.property("i", &Wire::Text("no number")).expect("the wire can have it");
        }
        object.finish();
    }
    let batch = writer.take();
    let refused = client.batch(0, &batch).await.expect("a reply");
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [3]);
    assert!(refused[0].why.contains("integer"), "{refused:?}");
    assert_eq!(read_texts(&client, &name, 10).await.len(), 4);
    // A part of a batch is the same objects under other numbers.
    let refused = client.batch(1, &batch.part(2..5)).await.expect("a reply");
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [1]);
    assert_eq!((batch.part(0..0).len(), batch.part(2..5).len()), (0, 3));
}

#[tokio::test]
async fn an_object_is_added_once() {
    let (client, name) = collection("Once", &[("t", "text")]).await;
    for (text, added) in [("first", true), ("second", false)] {
        let said = client.add_object(&name, &uuid(7), &json!({ "t": text })).expect("an answer");
        assert_eq!(said, added, "{text}");
    }
    assert_eq!(read_texts(&client, &name, 10).await, [(uuid(7), "first".to_owned())]);
    assert!(!client.add_object(&name, &uuid(8), &json!({ "t": 1 })).expect("an answer"), "no text");
    assert_eq!(client.lost_at(), None, "each was answered");
}

#[tokio::test]
async fn collections_properties_and_aliases_are_made_and_removed() {
    let (client, name) = collection("Schema", &[("t", "text")]).await;
    client.add_property(&name, &json!({ "name": "More", "dataType": ["int"] })).expect("a property");
    let there = client.collection(&name).expect("an answer").expect("it is there");
    let names: Vec<&str> = there.properties.iter().map(|property| property.name.as_str()).collect();
    assert_eq!(names, ["t", "more"], "the server changes the first letter's case");
    assert!(client.schema().expect("a schema").iter().any(|one| one.name == name));
    assert_eq!(client.collection("NoSuchThing").expect("an answer"), None);
    let alias = format!("{name}_alias");
    assert_eq!(client.alias(&alias).expect("an answer"), None);
    for _ in 0..2 {
        client.set_alias(&alias, &name).expect("set");
        assert_eq!(client.alias(&alias).expect("an answer").as_deref(), Some(name.as_str()));
    }
    let error = client.create_collection(&definition(&name, &[])).expect_err("it is there");
    assert_eq!(error.kind(), Kind::Rejected, "{error:?}");
    client.delete_alias(&alias).expect("removed");
    client.delete_collection(&name).expect("dropped");
    assert_eq!(client.collection(&name).expect("an answer"), None);
    let error = client.count(&name).await.expect_err("it is gone");
    assert!(error.to_string().contains(&name), "{error:?}");
}
