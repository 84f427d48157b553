//! What each index costs: the same prepared requests, sent to collections that differ in one index.
//!
//! Invariants: nothing but the definition differs between two loads; all take turns within each round; each is compared with
//! the median of the collection without any index. What the plan says of costs are these figures (the connector's `dialect`).
//! Absent on purpose: disk and memory, which the server uses long after a load.

use serde_json::{Value, json};

use super::{COLLECTION, Field, program};
use crate::Result;
use crate::bench::measure::median;

/// Requests under way: with two the server has no pause.
const IN_FLIGHT: u32 = 2;

/// A collection: what it is called in the table, and what of each of its properties is indexed.
struct Variant {
    name: &'static str,
    indexed: &'static [(&'static str, &'static str)],
    vectors: Option<Value>,
}

/// The collections; the first has no index.
fn variants(vectors: bool) -> Vec<Variant> {
    if vectors {
        let of = |name, kind: &str, settings| Variant {
            name,
            indexed: &[],
            vectors: Some(json!({ "vectorIndexType": kind, "vectorIndexConfig": settings })),
        };
        return vec![
            of("vectors kept, not indexed", "hnsw", json!({ "skip": true })),
            of("flat", "flat", json!({})),
            of("hnsw", "hnsw", json!({})),
        ];
    }
    const WORDS: &str = "indexSearchable";
    const EQUAL: &str = "indexFilterable";
    const RANGE: &str = "indexRangeFilters";
    let of = |name, indexed| Variant { name, indexed, vectors: None };
    vec![
        of("no index", &[][..]),
        of("words of a long text", &[("content", WORDS)]),
        of("a long text as a whole", &[("content", EQUAL)]),
        of("a long text, both", &[("content", WORDS), ("content", EQUAL)]),
        of("words of a short text", &[("conversation_id", WORDS)]),
        of("a short text as a whole", &[("conversation_id", EQUAL)]),
        of("a time as a whole", &[("timestamp", EQUAL)]),
        of("ranges of a time", &[("timestamp", RANGE)]),
        of("a time, both", &[("timestamp", EQUAL), ("timestamp", RANGE)]),
    ]
}

fn definition(variant: &Variant) -> Value {
    let is = |name: &str, what: &str| variant.indexed.contains(&(name, what));
    let property = |(name, kind): &(&str, &str)| {
        let mut property = json!({
            "name": name, "dataType": [kind], "indexFilterable": is(name, "indexFilterable"),
            "indexSearchable": is(name, "indexSearchable"), "indexRangeFilters": is(name, "indexRangeFilters"),
        });
        if *kind == "text" {
            let words = is(name, "indexSearchable");
            property["tokenization"] = json!(if words { "word" } else { "field" });
        }
        property
    };
    let properties = [
        ("original_id", "text"),
        ("conversation_id", "text"),
        ("sender_id", "text"),
        ("content", "text"),
        ("timestamp", "date"),
        ("metadata", "text"),
    ];
    let mut class = json!({
        "class": COLLECTION, "vectorizer": "none", "properties": properties.iter().map(property).collect::<Vec<_>>(),
    });
    for (name, value) in variant.vectors.iter().filter_map(Value::as_object).flatten() {
        class[name] = value.clone();
    }
    class
}

/// Measures and prints.
pub(super) fn run(field: &Field, rounds: usize) -> Result {
    program::fill(field)?;
    let variants = variants(field.vectors);
    let mut seconds: Vec<Vec<f64>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (variant, seconds) in variants.iter().zip(&mut seconds) {
            let load = program::sent_again(field, IN_FLIGHT, Some(&definition(variant)))?;
            println!("round {round}: {}", load.run.line(variant.name));
            seconds.extend(load.run.load_seconds);
        }
    }
    let base = seconds.first().and_then(|of| median(of.iter().copied())).ok_or("nothing was measured")?;
    println!("\n{} messages, medians of {rounds}\n", field.messages);
    println!("| index | load s | objects/s | load / load without |\n|---|---|---|---|");
    for (variant, of) in variants.iter().zip(&seconds) {
        let load = median(of.iter().copied()).ok_or("a load was not measured")?;
        let speed = field.messages as f64 / load;
        println!("| {} | {load:.2} | {speed:.0} | {:.2} |", variant.name, load / base);
    }
    Ok(())
}
