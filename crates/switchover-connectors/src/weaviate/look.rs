//! A first look that the data can be searched: one question to one collection, with times.
//!
//! Reads only. What a collection cannot answer (words where no property is searchable, words into a vector where the
//! server makes none) is said before the server is asked, with what to write into the mapping.

use super::WeaviateConfig;
use super::client::{Asked, Client, Collection, Listing, PAGE_OBJECTS_MAX, Property, Search, Words};
use super::value::{Wire, uuid_text};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "search";

/// How much the vector counts in a hybrid search: half and half is what nobody has to explain.
const ALPHA: f32 = 0.5;

/// How is searched.
#[derive(Debug, Clone, PartialEq)]
pub enum By {
    /// By words.
    Words(String),
    /// By words and a vector; without one the server makes it of the words.
    Both(String, Option<Vec<f32>>),
    /// By a vector.
    Vector(Vec<f32>),
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The collection, or an alias of it.
    pub collection: String,
    /// How.
    pub by: By,
    /// Which vector is compared, where there are several.
    pub vector: Option<String>,
    /// At most so many objects.
    pub limit: u32,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The collection.
    pub collection: String,
    /// The properties whose words were looked through; empty for a vector alone.
    pub searched: Vec<String>,
    /// Until the server was reached and had told its schema.
    pub connect: Duration,
    /// The first answer.
    pub first: Duration,
    /// The same once more: the server has read its files by then.
    pub again: Duration,
    /// The best first.
    pub hits: Vec<Hit>,
}

/// An object that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its id.
    pub id: String,
    /// How well it fits, where words count.
    pub score: Option<f32>,
    /// How far it is, where only the vector counts.
    pub distance: Option<f32>,
    /// Its properties, but for blobs and references.
    pub properties: Vec<(String, Json)>,
}

/// Asks.
///
/// # Errors
/// `NotFound` without such a collection, `Config` when it cannot answer that question.
pub async fn look(config: &WeaviateConfig, question: &Question) -> Result<Answer> {
    let begun = Instant::now();
    let client = Client::connect(config, 1).await?;
    let collection = find(&client, &question.collection)?;
    let connect = begun.elapsed();
    let error = |detail: String| {
        Error::new(Kind::Config, OPERATION).store(config.redacted()).table(&*collection.name).detail(detail)
    };
    let searched = match &question.by {
        By::Vector(_) => Vec::new(),
        By::Words(_) | By::Both(..) => searchable(&collection),
    };
    if searched.is_empty() && !matches!(question.by, By::Vector(_)) {
        let hint = "write `searchable = true` for a column of texts in [table.NAME.column] of switchover.toml, and \
                    migrate again; or search by a vector with --near-vector FILE";
        return Err(error("none of its properties is searchable".into()).hint(hint));
    }
    if matches!(&question.by, By::Both(_, None)) && !makes_vectors(&collection) {
        let hint = "give the vector with --near-vector FILE, or leave --hybrid out";
        return Err(error("the server makes no vectors of words for it".into()).hint(hint));
    }
    let target = match (&question.by, &question.vector, collection.vectors.as_slice()) {
        (By::Words(_), Some(_), _) => {
            return Err(error("a search by words compares no vector".into()).hint("leave --vector out"));
        }
        (_, Some(name), names) if !names.contains(name) => {
            let hint = format!(
                "its vectors are {}",
                if names.is_empty() { "without a name".into() } else { names.join(", ") }
            );
            return Err(error(format!("it has no vector '{name}'")).hint(hint));
        }
        (By::Vector(_) | By::Both(..), None, [_, _, ..]) => {
            let hint = format!("name one with --vector: {}", collection.vectors.join(", "));
            return Err(error("it has several vectors".into()).hint(hint));
        }
        (_, Some(name), _) => Some(name.clone()),
        (By::Vector(_) | By::Both(..), None, [one]) => Some(one.clone()),
        _ => None,
    };
    let listing = Listing {
        collection: collection.name.clone(),
        properties: collection.properties.iter().filter(|property| is_shown(property)).map(asked).collect(),
        ..Listing::default()
    };
    let words = match question.by.clone() {
        By::Words(query) => Words::Bm25 { query, properties: Vec::new() },
        By::Both(query, vector) => Words::Hybrid { query, properties: Vec::new(), vector, alpha: ALPHA },
        By::Vector(vector) => Words::NearVector(vector),
    };
    let search = Search { listing, words, target, limit: question.limit.clamp(1, PAGE_OBJECTS_MAX) };
    let begun = Instant::now();
    client.search(&search).await?;
    let first = begun.elapsed();
    let begun = Instant::now();
    let page = client.search(&search).await?;
    let again = begun.elapsed();
    let mut hits = Vec::with_capacity(page.len());
    for found in client.objects(&page) {
        let found = found?;
        let pairs = page.asked().iter().zip(&found.properties);
        hits.push(Hit {
            id: id_text(&found.uuid),
            score: found.score,
            distance: found.distance,
            properties: pairs
                .filter_map(|(name, value)| Some((name.clone(), shown(value.as_ref()?))))
                .collect(),
        });
    }
    Ok(Answer { collection: collection.name, searched, connect, first, again, hits })
}

/// The collection of that name, or that an alias of that name points at.
fn find(client: &Client, name: &str) -> Result<Collection> {
    let all = client.schema()?;
    let by = |name: &str| all.iter().find(|collection| collection.name == name).cloned();
    if let Some(found) = by(name) {
        return Ok(found);
    }
    let alias = match client.has_aliases() {
        true => client.alias(name)?,
        false => None,
    };
    if let Some(found) = alias.as_deref().and_then(by) {
        return Ok(found);
    }
    let names: Vec<&str> = all.iter().map(|collection| collection.name.as_str()).collect();
    let hint = match all.iter().find(|collection| collection.name.eq_ignore_ascii_case(name)) {
        Some(near) => format!("did you mean '{}'?", near.name),
        None if names.is_empty() => "it has none: `switchover migrate` makes them".to_owned(),
        None => format!("it has {}", names.join(", ")),
    };
    Err(Error::new(Kind::NotFound, OPERATION)
        .store(client.config().redacted())
        .detail(format!("the server has no collection '{name}'"))
        .hint(hint))
}

/// The properties whose words can be found.
fn searchable(collection: &Collection) -> Vec<String> {
    let none = Vec::new();
    let properties = collection.definition["properties"].as_array().unwrap_or(&none);
    let texts = |property: &&Json| {
        property["dataType"][0].as_str().is_some_and(|kind| kind.starts_with("text"))
            && property["indexSearchable"].as_bool().unwrap_or(true)
    };
    properties
        .iter()
        .filter(texts)
        .filter_map(|property| property["name"].as_str().map(str::to_owned))
        .collect()
}

/// Whether the server makes vectors for a collection's texts.
fn makes_vectors(collection: &Collection) -> bool {
    let definition = &collection.definition;
    let named = definition["vectorConfig"].as_object().into_iter().flatten();
    let own =
        |vectorizer: &Json| vectorizer.as_object().is_some_and(|map| map.keys().any(|name| name != "none"));
    definition["vectorizer"].as_str().is_some_and(|name| !name.is_empty() && name != "none")
        || named.into_iter().any(|(_, config)| own(&config["vectorizer"]))
}

fn is_shown(property: &Property) -> bool {
    !property.is_reference() && !property.kinds.iter().any(|kind| kind == "blob")
}

fn asked(property: &Property) -> Asked {
    let nested = property.nested.iter().filter(|inner| is_shown(inner)).map(asked);
    Asked { name: property.name.clone(), nested: nested.collect() }
}

fn id_text(uuid: &[u8; 16]) -> String {
    String::from_utf8_lossy(&uuid_text(uuid)).into_owned()
}

/// A value as JSON, for people and their programs.
fn shown(value: &Wire<'_>) -> Json {
    match value {
        Wire::Text(text) | Wire::Date(text) => json!(text),
        Wire::Int(number) => json!(number),
        Wire::Number(number) => json!(number),
        Wire::Bool(truth) => json!(truth),
        Wire::Uuid(uuid) => json!(id_text(uuid)),
        Wire::Blob(bytes) => json!(format!("{} bytes", bytes.len())),
        Wire::Texts(list) | Wire::Dates(list) => json!(list),
        Wire::Ints(list) => json!(list),
        Wire::Numbers(list) => json!(list),
        Wire::Bools(list) => json!(list),
        Wire::Uuids(list) => json!(list.iter().map(id_text).collect::<Vec<_>>()),
        Wire::Object(object) => object.clone(),
        Wire::Objects(objects) => json!(objects),
        Wire::Geo(latitude, longitude) => json!({ "latitude": latitude, "longitude": longitude }),
        Wire::EmptyList => json!([]),
        Wire::Other => Json::Null,
    }
}
