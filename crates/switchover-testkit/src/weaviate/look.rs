//! Looking at a server's objects by plain HTTP, as a test's own look that shares nothing with what it tests.
//!
//! Invariant: values stay the JSON texts that the server sent, so that no number is rounded on the way.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::Address;
use crate::{Error, Result};

/// Objects that one request reads.
const PAGE: usize = 1_000;

/// An object, its values as the texts of JSON that they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its UUID.
    pub id: String,
    /// Its properties, without those that are null.
    pub properties: BTreeMap<String, String>,
    /// Its vector without a name, a JSON array.
    pub vector: Option<String>,
}

impl Address {
    /// The names of all collections, in their order.
    pub fn collections(&self) -> Result<Vec<String>> {
        let (status, schema) = self.rest("GET", "/v1/schema", "")?;
        let schema: serde_json::Value = parsed(status, &schema)?;
        let names = schema["classes"].as_array().into_iter().flatten();
        let mut names: Vec<String> =
            names.filter_map(|class| class["class"].as_str().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// Removes all collections.
    pub fn clear(&self) -> Result<()> {
        for name in self.collections()? {
            let (status, said) = self.rest("DELETE", &format!("/v1/schema/{name}"), "")?;
            if status != 200 {
                return Err(Error::new(format!("cannot remove the collection {name}"), said));
            }
        }
        Ok(())
    }

    /// All objects of a collection, in the order of their UUIDs.
    pub fn objects(&self, collection: &str) -> Result<Vec<Object>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/objects?class={collection}&limit={PAGE}&after={after}&include=vector");
            let (status, page) = self.rest("GET", &path, "")?;
            let page: HashMap<String, Box<RawValue>> = parsed(status, &page)?;
            let found: Vec<HashMap<String, Box<RawValue>>> = match page.get("objects") {
                Some(objects) => parsed(status, objects.get())?,
                None => Vec::new(),
            };
            if found.is_empty() {
                return Ok(all);
            }
            for object in &found {
                all.push(read(object)?);
            }
            after = all.last().map(|object: &Object| object.id.clone()).unwrap_or_default();
        }
    }
}

fn read(object: &HashMap<String, Box<RawValue>>) -> Result<Object> {
    let text = |name: &str| object.get(name).map(|raw| raw.get());
    let properties: BTreeMap<String, Box<RawValue>> = match text("properties") {
        Some(text) => parsed(200, text)?,
        None => BTreeMap::new(),
    };
    let properties = properties.into_iter().map(|(name, raw)| (name, raw.get().to_owned()));
    Ok(Object {
        id: parsed(200, text("id").unwrap_or("\"\""))?,
        properties: properties.filter(|(_, text)| text != "null").collect(),
        vector: text("vector").filter(|text| *text != "null").map(str::to_owned),
    })
}

fn parsed<'a, T: serde::Deserialize<'a>>(status: u16, text: &'a str) -> Result<T> {
    if status != 200 {
        return Err(Error::new("the server does not tell its objects", text));
    }
    serde_json::from_str(text).map_err(|error| Error::new("the server's answer is no JSON", error))
}
