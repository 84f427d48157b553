//! Every kind of value with its extremes, written and read back.

use std::borrow::Cow;

use serde_json::json;
use switchover_connectors::weaviate::client::{Asked, Listing, VectorsAsked};
use switchover_connectors::weaviate::value::{INT_MAX, Wire, instant};

use crate::support::{collection, connect, listing, uuid};

/// What is written and what must come back, where the server's form differs: `None` for the same.
struct Case(&'static str, Wire<'static>, Option<Wire<'static>>);

fn same(property: &'static str, value: Wire<'static>) -> Case {
    Case(property, value, None)
}

fn cases() -> Vec<Case> {
    let long: &'static str = Box::leak("ф€𝄞\u{0}z".repeat(20_000).into_boxed_str());
    let mut cases: Vec<Case> = Vec::new();
    for text in
        ["", "a", "\u{0}", "a\u{0}b", "line\r\n", "\u{feff}\u{200b}", "\u{7fffe}\u{10ffff}", "\"\\", long]
    {
        cases.push(same("text", Wire::Text(text)));
    }
    for int in [0, 1, -1, INT_MAX, -INT_MAX, INT_MAX - 1, i64::from(i32::MIN)] {
        cases.push(same("int", Wire::Int(int)));
    }
    for number in
        [0.0, -0.0, 0.1, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e300, 9_007_199_254_740_993.0]
    {
        cases.push(same("number", Wire::Number(number)));
    }
    cases.extend([same("boolean", Wire::Bool(true)), same("boolean", Wire::Bool(false))]);
    for date in [
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00.123456789Z",
        "2024-05-01T12:00:00.120Z",
        "1969-12-31T23:59:59.999999999Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "2024-05-01T12:00:00+02:00",
        "2024-02-29T23:59:59.5-11:30",
    ] {
        cases.push(same("date", Wire::Date(date)));
    }
    for bytes in [[0u8; 16], [0xff; 16], uuid(7)] {
        cases.push(same("uuid", Wire::Uuid(bytes)));
    }
    let all: Vec<u8> = (0..=255).collect();
    for blob in [vec![0], vec![0, 255], all] {
        cases.push(same("blob", Wire::Blob(Cow::Owned(blob))));
    }
    cases.extend([
        same("texts", Wire::Texts(vec!["", "a\u{0}", "ä"])),
        same("ints", Wire::Ints(vec![INT_MAX, -INT_MAX, 0])),
        same("numbers", Wire::Numbers(vec![-0.0, 5e-324, f64::MAX])),
        same("booleans", Wire::Bools(vec![true, false, true])),
        same("dates", Wire::Dates(vec!["2024-05-01T12:00:00.5Z", "1970-01-01T00:00:00Z"])),
        same("uuids", Wire::Uuids(vec![[0xff; 16], [0; 16]])),
        Case("texts", Wire::EmptyList, Some(Wire::Texts(vec![]))),
        Case("ints", Wire::Ints(vec![]), Some(Wire::Ints(vec![]))),
        Case("numbers", Wire::Numbers(vec![]), Some(Wire::Numbers(vec![]))),
        Case("booleans", Wire::EmptyList, Some(Wire::Bools(vec![]))),
        Case("dates", Wire::EmptyList, Some(Wire::Dates(vec![]))),
        Case("uuids", Wire::EmptyList, Some(Wire::Uuids(vec![]))),
    ]);
    cases
}

const PROPERTIES: [(&str, &str); 13] = [
    ("text", "text"),
    ("int", "int"),
    ("number", "number"),
    ("boolean", "boolean"),
    ("date", "date"),
    ("uuid", "uuid"),
    ("blob", "blob"),
    ("texts", "text[]"),
    ("ints", "int[]"),
    ("numbers", "number[]"),
    ("booleans", "boolean[]"),
    ("dates", "date[]"),
    ("uuids", "uuid[]"),
];

fn bits_and_instants(value: &Wire<'_>) -> String {
    let date = |text: &str| format!("{:?}", instant(text).unwrap_or_else(|| panic!("{text} is no instant")));
    match value {
        Wire::Number(number) => format!("number {:x}", number.to_bits()),
        Wire::Numbers(list) => format!("numbers {:x?}", list.iter().map(|n| n.to_bits()).collect::<Vec<_>>()),
        Wire::Date(text) => format!("date {}", date(text)),
        Wire::Dates(list) => format!("dates {:?}", list.iter().map(|text| date(text)).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_it_was() {
    let (client, name) = collection("Values", &PROPERTIES).await;
    let names: Vec<&str> = PROPERTIES.iter().map(|(name, _)| *name).collect();
    let cases = cases();
    let mut writer = client.writer(&name);
    for (at, Case(property, value, _)) in cases.iter().enumerate() {
        let mut object = writer.object(uuid(at as u64));
        object.property(property, value).unwrap_or_else(|unfit| panic!("{property}: {unfit}"));
        object.finish();
    }
    // One object without any property, and one with all kinds at once.
    writer.object(uuid(1_000)).finish();
    let mut object = writer.object(uuid(1_001));
    for (property, _) in PROPERTIES {
        let Some(Case(_, value, _)) = cases.iter().rev().find(|case| case.0 == property) else { continue };
        object.property(property, value).expect("fits");
    }
    object.finish();
    assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);

    let page = client.list(0, &listing(&name, &names), None, 10_000).await.expect("a page");
    let found: Vec<_> = client.objects(&page).map(|found| found.expect("an object")).collect();
    assert_eq!(found.len(), cases.len() + 2);
    for (at, Case(property, value, other)) in cases.iter().enumerate() {
        assert_eq!(found[at].uuid, uuid(at as u64), "in the order of the UUIDs");
        for (place, name) in names.iter().enumerate() {
            let got = found[at].properties[place].as_ref().map(bits_and_instants);
            let want = (name == property).then(|| bits_and_instants(other.as_ref().unwrap_or(value)));
            assert_eq!(got, want, "case {at}, {property}: {name}");
        }
    }
    assert!(found[cases.len()].properties.iter().all(Option::is_none));
    assert!(found[cases.len() + 1].properties.iter().all(Option::is_some));
}

#[tokio::test]
async fn what_the_server_would_change_is_not_sent() {
    let (client, name) = collection("Unfit", &PROPERTIES).await;
    let mut writer = client.writer(&name);
    for (property, value) in [
        ("int", Wire::Int(INT_MAX + 1)),
        ("ints", Wire::Ints(vec![0, i64::MIN])),
        ("number", Wire::Number(f64::NAN)),
        ("numbers", Wire::Numbers(vec![0.0, f64::INFINITY])),
        ("blob", Wire::Blob(Cow::Borrowed(b""))),
    ] {
        let mut object = writer.object(uuid(1));
        assert!(object.property(property, &value).is_err(), "{property} {value:?}");
    }
    assert!(writer.is_empty(), "an object that is not finished is not in the batch");
}

#[tokio::test]
async fn vectors_keep_their_bits_with_and_without_names() {
    let address = switchover_testkit::Weaviate::shared().expect("a server");
    let client = connect(address).await;
    let (plain, named) = (address.fresh_collection("Plain"), address.fresh_collection("Named"));
    client.create_collection(&json!({ "class": plain, "vectorizer": "none" })).expect("a collection");
    let vector = json!({ "vectorizer": { "none": {} }, "vectorIndexType": "hnsw" });
    let two = json!({ "class": named, "vectorConfig": { "a": vector, "b": vector } });
    assert_eq!(client.create_collection(&two).expect("a collection").vectors, ["a", "b"]);
    let numbers = [0.1f32, -0.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, 1.0];
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();

    let mut writer = client.writer(&plain);
    let mut object = writer.object(uuid(1));
    object.vector(&bytes);
    object.finish();
    writer.object(uuid(2)).finish();
    assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);
    let wanted = Listing { vectors: VectorsAsked::Unnamed, ..listing(&plain, &[]) };
    let page = client.list(0, &wanted, None, 10).await.expect("a page");
    let found: Vec<_> = client.objects(&page).map(|found| found.expect("an object")).collect();
    assert_eq!((found[0].vector, found[1].vector), (Some(&bytes[..]), None));

    let mut writer = client.writer(&named);
    let mut object = writer.object(uuid(1));
    object.named_vector("b", &bytes);
    object.finish();
    assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);
    let both = VectorsAsked::Named(vec!["a".into(), "b".into()]);
    let page =
        client.list(0, &Listing { vectors: both, ..listing(&named, &[]) }, None, 10).await.expect("a page");
    let found: Vec<_> = client.objects(&page).map(|found| found.expect("an object")).collect();
    assert_eq!(found[0].vectors, [("b", &bytes[..])]);
}

#[tokio::test]
async fn objects_inside_objects_come_back() {
    let address = switchover_testkit::Weaviate::shared().expect("a server");
    let client = connect(address).await;
    let name = address.fresh_collection("Nested");
    let inner = |kind: &str, name: &str| json!({ "name": name, "dataType": [kind] });
    let nested = json!([
        inner("text", "s"), inner("int", "i"), inner("number", "n"), inner("boolean", "b"), inner("date", "d"),
        inner("text[]", "ss"), inner("int[]", "is"), inner("number[]", "ns"), inner("boolean[]", "bs"),
        { "name": "o", "dataType": ["object"], "nestedProperties": [inner("text", "t")] },
        { "name": "os", "dataType": ["object[]"], "nestedProperties": [inner("int", "k")] },
    ]);
    let properties = json!([
        { "name": "one", "dataType": ["object"], "nestedProperties": nested },
        { "name": "many", "dataType": ["object[]"], "nestedProperties": nested },
    ]);
    let made =
        client.create_collection(&json!({ "class": name, "vectorizer": "none", "properties": properties }));
    let made = made.expect("a collection");
    fn asked(property: &switchover_connectors::weaviate::client::Property) -> Asked {
        Asked { name: property.name.clone(), nested: property.nested.iter().map(asked).collect() }
    }
    let wanted = Listing {
        collection: name.clone(),
        properties: made.properties.iter().map(asked).collect(),
        ..Listing::default()
    };
    let full = json!({
        "s": "a\u{0}ä", "i": INT_MAX, "n": 0.5, "b": false, "d": "2024-05-01T12:00:00Z",
        "ss": ["", "x"], "is": [1, -2], "ns": [0.5, 2.0], "bs": [true], "o": { "t": "" }, "os": [{ "k": 1 }, { "k": 2 }],
    });
    let mut writer = client.writer(&name);
    let mut object = writer.object(uuid(1));
    object.property("one", &Wire::Object(full.clone())).expect("fits");
    object.property("many", &Wire::Objects(vec![full.clone(), json!({ "s": "only" })])).expect("fits");
    object.finish();
    for bad in
        [json!({ "s": null }), json!({ "i": u64::MAX }), json!({ "ss": ["a", 1] }), json!({ "is": [[1]] })]
    {
        assert!(writer.object(uuid(2)).property("one", &Wire::Object(bad.clone())).is_err(), "{bad}");
    }
    assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);
    let page = client.list(0, &wanted, None, 10).await.expect("a page");
    let found: Vec<_> = client.objects(&page).map(|found| found.expect("an object")).collect();
    assert_eq!(found[0].properties[0], Some(Wire::Object(full.clone())));
    assert_eq!(found[0].properties[1], Some(Wire::Objects(vec![full, json!({ "s": "only" })])));
}

#[tokio::test]
async fn references_come_back_in_their_order() {
    let address = switchover_testkit::Weaviate::shared().expect("a server");
    let client = connect(address).await;
    let (parent, child) = (address.fresh_collection("Parent"), address.fresh_collection("Child"));
    client.create_collection(&json!({ "class": parent })).expect("a collection");
    let reference = json!([{ "name": "of", "dataType": [parent] }]);
    let made =
        client.create_collection(&json!({ "class": child, "properties": reference })).expect("a collection");
    assert!(made.properties[0].is_reference());
    let mut parents = client.writer(&parent);
    for number in 1..4 {
        parents.object(uuid(number)).finish();
    }
    assert_eq!(client.batch(0, &parents.take()).await.expect("parents"), []);
    let mut children = client.writer(&child);
    for (number, of) in [(1, vec![uuid(3), uuid(1)]), (2, vec![])] {
        let mut object = children.object(uuid(number));
        if !of.is_empty() {
            object.references("of", &of);
        }
        object.finish();
    }
    assert_eq!(client.batch(0, &children.take()).await.expect("children"), []);
    let wanted = Listing { references: vec!["of".into()], ..listing(&child, &[]) };
    let page = client.list(0, &wanted, None, 10).await.expect("a page");
    let found: Vec<_> = client.objects(&page).map(|found| found.expect("an object")).collect();
    assert_eq!(found[0].references, [("of", vec![uuid(3), uuid(1)])]);
    assert!(found[1].references.iter().all(|(_, uuids)| uuids.is_empty()), "{:?}", found[1]);
}
