//! A collection of a test's own in a server, and short ways to fill and read it.

use serde_json::{Value as Json, json};
use switchover_connectors::weaviate::WeaviateConfig;
use switchover_connectors::weaviate::client::{Asked, Client, Listing};
use switchover_connectors::weaviate::value::Wire;
use switchover_testkit::Weaviate;
use switchover_testkit::weaviate::Address;

/// A client of this server, with its key if it has one.
pub(crate) async fn connect(address: &Address) -> Client {
    Client::connect(&config(address), 2).await.expect("the server answers")
}

pub(crate) fn config(address: &Address) -> WeaviateConfig {
    let key = address.api_key().map(str::to_owned);
    WeaviateConfig::parse(&address.url(), &|name| key.clone().filter(|_| name == "WEAVIATE_API_KEY"))
        .expect("the kit's URL")
}

/// A client, and an empty collection in the shared server with these properties: `(name, kind)`.
pub(crate) async fn collection(prefix: &str, properties: &[(&str, &str)]) -> (Client, String) {
    let address = Weaviate::shared().expect("a server");
    let client = connect(address).await;
    let name = address.fresh_collection(prefix);
    client.create_collection(&definition(&name, properties)).expect("a collection");
    (client, name)
}

pub(crate) fn definition(name: &str, properties: &[(&str, &str)]) -> Json {
    let properties: Vec<Json> =
        properties.iter().map(|(name, kind)| json!({ "name": name, "dataType": [kind] })).collect();
    json!({ "class": name, "vectorizer": "none", "properties": properties })
}

pub(crate) fn listing(collection: &str, names: &[&str]) -> Listing {
    Listing {
        collection: collection.to_owned(),
        properties: names.iter().map(|name| Asked::plain(*name)).collect(),
        ..Listing::default()
    }
}

/// The UUID that ends with this number.
pub(crate) fn uuid(number: u64) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid[8..].copy_from_slice(&number.to_be_bytes());
    uuid
}

/// A UUID spread over the whole space, different for each number.
pub(crate) fn spread(number: u64) -> [u8; 16] {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut uuid = uuid(number);
    uuid[..8].copy_from_slice(&mixed.to_be_bytes());
    uuid
}

/// Stores objects with one text property `t`; none may be refused.
pub(crate) async fn store_texts(client: &Client, collection: &str, objects: &[([u8; 16], &str)]) {
    for part in objects.chunks(5_000) {
        let mut writer = client.writer(collection);
        for (uuid, text) in part {
            let mut object = writer.object(*uuid);
            object.property("t", &Wire::Text(text)).expect("a text");
            object.finish();
        }
        assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);
    }
}

/// Every object's UUID and text `t`, by listing to the end in pages of `limit`.
pub(crate) async fn read_texts(client: &Client, collection: &str, limit: u32) -> Vec<([u8; 16], String)> {
    let listing = listing(collection, &["t"]);
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = client.list(0, &listing, after, limit).await.expect("a page");
        let Some(last) = page.last() else { return all };
        for found in client.objects(&page) {
            let found = found.expect("an object");
            let Some(Wire::Text(text)) = found.properties[0] else { panic!("{found:?} has no text") };
            all.push((found.uuid, text.to_owned()));
        }
        after = Some(last);
    }
}
