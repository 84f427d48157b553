//! The limit of a Weaviate, for the benchmark: the objects of a collection are read raw, made into requests, and sent to
//! the same collection made anew, by nothing but the bare client.
//!
//!     weaviate_limit URL COLLECTION OBJECTS_PER_REQUEST IN_FLIGHT [DEFINITION]
//!
//! A definition (the text of a collection in the server's JSON) takes the place of the one that is there.
//!
//! Prints one line of JSON: objects, and the seconds of the raw reading, and of making the collection and sending. No loader
//! can be quicker by much: it reads no source, converts nothing and checks nothing.

#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::try_join_all;
use serde_json::json;
use switchover_connectors::weaviate::WeaviateConfig;
use switchover_connectors::weaviate::client::{
    Asked, Batch, Client, Collection, Listing, PAGE_OBJECTS_MAX, Page, VectorsAsked,
};

/// Connections; more than the server's processors bring nothing.
const LANES: usize = 4;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (args, definition) = args.split_at(args.len().min(4));
    let ([url, collection, per_request, in_flight], [] | [_]) = (args, definition) else {
        return Err("usage: weaviate_limit URL COLLECTION OBJECTS_PER_REQUEST IN_FLIGHT [DEFINITION]".into());
    };
    let definition = definition.first().map(|text| serde_json::from_str(text)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(url, collection, per_request.parse()?, in_flight.parse()?, definition))
}

async fn run(
    url: &str,
    collection: &str,
    per_request: usize,
    in_flight: usize,
    definition: Option<serde_json::Value>,
) -> Result<(), Failed> {
    let config = WeaviateConfig::parse(url, &|name| std::env::var(name).ok())?;
    let client = Client::connect(&config, LANES).await?;
    let there = client.collection(collection)?.ok_or("there is no such collection")?;
    let listing = listing(&there);

    let begun = Instant::now();
    let (mut pages, mut after) = (Vec::<Page>::new(), None);
    loop {
        let page = client.list(0, &listing, after, PAGE_OBJECTS_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(last);
        pages.push(page);
    }
    let read_seconds = begun.elapsed().as_secs_f64();
    let objects: usize = pages.iter().map(Page::len).sum();
    let read_bytes: usize = pages.iter().map(Page::bytes).sum();
    let batches = batches(&client, &there, &pages, per_request)?;
    drop(pages);

    client.delete_collection(collection)?;
    let begun = Instant::now();
    client.create_collection(definition.as_ref().unwrap_or(&there.definition))?;
    let next = AtomicUsize::new(0);
    let refused = try_join_all((0..in_flight).map(async |stream| {
        let mut refused = 0;
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            refused += client.batch(stream % LANES, batch).await?.len();
        }
        Ok::<usize, Failed>(refused)
    }))
    .await?;
    let load_seconds = begun.elapsed().as_secs_f64();
    let count = client.count(collection).await?;
    if refused.iter().sum::<usize>() > 0 || count != objects as u64 {
        return Err(
            format!("{objects} objects were sent, {} refused, {count} are there", refused.len()).into()
        );
    }
    let sent: usize = batches.iter().map(Batch::bytes).sum();
    println!(
        "{}",
        json!({
            "objects": objects, "read_seconds": read_seconds, "read_bytes": read_bytes,
            "load_seconds": load_seconds, "sent_bytes": sent,
        })
    );
    Ok(())
}

fn listing(collection: &Collection) -> Listing {
    Listing {
        collection: collection.name.clone(),
        properties: collection.properties.iter().map(|property| Asked::plain(&*property.name)).collect(),
        references: Vec::new(),
        vectors: match collection.vectors.as_slice() {
            [] => VectorsAsked::Unnamed,
            names => VectorsAsked::Named(names.to_vec()),
        },
    }
}

/// Each request has objects from all over, as those of a source in no order of its ids: sorted ones would be easier for
/// the server.
fn batches(
    client: &Client,
    collection: &Collection,
    pages: &[Page],
    per_request: usize,
) -> Result<Vec<Batch>, Failed> {
    let objects: usize = pages.iter().map(Page::len).sum();
    let count = objects.div_ceil(per_request);
    let mut writers: Vec<_> = (0..count).map(|_| client.writer(&collection.name)).collect();
    let found = pages.iter().flat_map(|page| client.objects(page));
    for (at, found) in found.enumerate() {
        let found = found?;
        let mut object = writers[at % count].object(found.uuid);
        for (property, value) in collection.properties.iter().zip(&found.properties) {
            if let Some(value) = value {
                object.property(&property.name, value).map_err(|unfit| unfit.to_string())?;
            }
        }
        if let Some(vector) = found.vector {
            object.vector(vector);
        }
        for (name, vector) in &found.vectors {
            object.named_vector(name, vector);
        }
        object.finish();
    }
    Ok(writers.iter_mut().map(|writer| writer.take()).collect())
}
