//! Reading pages, counting, finding and deleting.

use std::collections::HashSet;

use switchover_connectors::weaviate::client::{Search, Words};

use crate::support::{collection, listing, read_texts, spread, store_texts, uuid};

const MANY: u64 = 12_345;

#[tokio::test]
async fn a_listing_goes_by_uuid_and_may_begin_behind_one_that_does_not_exist() {
    let (client, name) = collection("Listing", &[("t", "text")]).await;
    let mut objects: Vec<([u8; 16], &str)> = (0..MANY).map(|number| (spread(number), "x")).collect();
    store_texts(&client, &name, &objects).await;
    objects.sort();
    let wanted: Vec<[u8; 16]> = objects.iter().map(|(uuid, _)| *uuid).collect();
    for limit in [1_000, 10_000, 50_000] {
        let read: Vec<[u8; 16]> =
            read_texts(&client, &name, limit).await.iter().map(|(uuid, _)| *uuid).collect();
        assert_eq!(read, wanted, "in pages of {limit}");
    }
    assert_eq!(client.count(&name).await.expect("a count"), MANY);
    // Sixteen parts, each from a border that no object has: together they are all, once.
    let mut parts = Vec::new();
    for part in 0..16u8 {
        let border = |part: u8| [part << 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let (mut after, wanted) = ((part > 0).then(|| border(part)), listing(&name, &["t"]));
        'pages: loop {
            let page = client.list(1, &wanted, after, 500).await.expect("a page");
            let Some(last) = page.last() else { break };
            for found in client.objects(&page) {
                let uuid = found.expect("an object").uuid;
                if part < 15 && uuid > border(part + 1) {
                    break 'pages;
                }
                parts.push(uuid);
            }
            after = Some(last);
        }
    }
    assert_eq!(parts, wanted);
}

#[tokio::test]
async fn objects_are_found_and_deleted_by_their_uuids_beyond_ten_thousand() {
    let (client, name) = collection("Deleting", &[("t", "text")]).await;
    let objects: Vec<([u8; 16], &str)> = (0..MANY).map(|number| (spread(number), "x")).collect();
    store_texts(&client, &name, &objects).await;
    let mut asked: Vec<[u8; 16]> = (0..MANY).filter(|number| number % 5 != 0).map(spread).collect();
    asked.push(uuid(999_999_999));
    let pages = client.by_ids(0, &listing(&name, &["t"]), &asked).await.expect("pages");
    let mut found = HashSet::new();
    for page in &pages {
        for object in client.objects(page) {
            assert!(found.insert(object.expect("an object").uuid), "each once");
        }
    }
    let there = asked.len() as u64 - 1;
    assert_eq!(found.len() as u64, there);
    assert_eq!(client.delete_ids(0, &name, &asked).await.expect("deleted"), there);
    assert_eq!(client.count(&name).await.expect("a count"), MANY - there);
    let mut left: Vec<[u8; 16]> = (0..MANY).filter(|number| number % 5 == 0).map(spread).collect();
    left.sort();
    let read: Vec<[u8; 16]> =
        read_texts(&client, &name, 10_000).await.iter().map(|(uuid, _)| *uuid).collect();
    assert_eq!(read, left);
    assert_eq!(client.delete_ids(0, &name, &asked).await.expect("again"), 0, "nothing is left of them");
}

#[tokio::test]
async fn of_two_objects_with_one_uuid_the_last_is_stored_and_both_are_called_a_success() {
    let (client, name) = collection("Twice", &[("t", "text")]).await;
    store_texts(&client, &name, &[(uuid(1), "first"), (uuid(2), "other"), (uuid(1), "last")]).await;
    let read = read_texts(&client, &name, 10).await;
    assert_eq!(read, [(uuid(1), "last".to_owned()), (uuid(2), "other".to_owned())]);
    // A write replaces the object whole.
    let mut writer = client.writer(&name);
    writer.object(uuid(2)).finish();
    assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);
    let page = client.list(0, &listing(&name, &["t"]), Some(uuid(1)), 10).await.expect("a page");
    let found = client.objects(&page).next().expect("it is there").expect("an object");
    assert_eq!(found.properties, [None]);
}

#[tokio::test]
async fn words_and_vectors_find_objects() {
    let (client, name) = collection("Finding", &[("t", "text")]).await;
    let mut writer = client.writer(&name);
    for (number, text, vector) in [(1, "the quick brown fox", [1.0f32, 0.0]), (2, "a lazy dog", [0.0, 1.0])] {
        let mut object = writer.object(uuid(number));
        object.property("t", &switchover_connectors::weaviate::value::Wire::Text(text)).expect("fits");
        object.vector(&vector.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>());
        object.finish();
    }
    assert_eq!(client.batch(0, &writer.take()).await.expect("a batch"), []);
    let words = |query: &str| (query.to_owned(), vec!["t".to_owned()]);
    let bm25 = words("fox");
    let hybrid = words("dog");
    for (words, first) in [
        (Words::Bm25 { query: bm25.0, properties: bm25.1 }, 1),
        (Words::NearVector(vec![0.1, 0.9]), 2),
        (
            Words::Hybrid { query: hybrid.0, properties: hybrid.1, vector: Some(vec![0.0, 1.0]), alpha: 0.5 },
            2,
        ),
    ] {
        let search = Search { listing: listing(&name, &["t"]), words, target: None, limit: 5 };
        let page = client.search(&search).await.expect("an answer");
        let found = client.objects(&page).next().expect("something").expect("an object");
        assert_eq!(found.uuid, uuid(first), "{:?}", search.words);
        assert!(found.score.is_some() || found.distance.is_some(), "{found:?}");
    }
}
