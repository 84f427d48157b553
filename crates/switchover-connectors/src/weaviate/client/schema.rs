//! Collections as the server tells of them, and changing them, over REST.
//!
//! Invariants: a name is percent-encoded wherever it stands in a path; what the server says of a collection is kept
//! whole beside what is read of it, so that a definition can be given back as it was.
//! Absent on purpose: what a collection should be like, which is the dialect's.

use serde_json::{Value as Json, json};
use switchover_core::{Error, Kind, Result};
use ureq::http::Method;

use super::Client;
use crate::uri::percent_encode;
use crate::weaviate::error;

/// A collection ("class").
#[derive(Debug, Clone, PartialEq)]
pub struct Collection {
    /// Its name, as the server keeps it.
    pub name: String,
    /// Its properties, in the server's order.
    pub properties: Vec<Property>,
    /// The names of its vectors; empty for one vector without a name.
    pub vectors: Vec<String>,
    /// Whether it has tenants.
    pub tenants: bool,
    /// All that the server says of it.
    pub definition: Json,
}

/// A property, or one inside an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// Its name, as the server keeps it.
    pub name: String,
    /// Its kind (`text`, `int[]`), or the collections that a reference may point at.
    pub kinds: Vec<String>,
    /// The properties inside an object.
    pub nested: Vec<Property>,
}

impl Property {
    /// Whether it points at objects of other collections: their names begin with a capital letter, kinds do not.
    pub fn is_reference(&self) -> bool {
        self.kinds.first().is_some_and(|kind| kind.starts_with(|first: char| first.is_ascii_uppercase()))
    }
}

/// A shard, and whether it takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// `READY`, or why not.
    pub status: String,
}

impl Client {
    /// All collections.
    pub fn schema(&self) -> Result<Vec<Collection>> {
        const OPERATION: &str = "read the schema";
        let said = self.rest.call(Method::GET, "/v1/schema", None, OPERATION)?;
        let classes = said["classes"].as_array().map(Vec::as_slice).unwrap_or_default();
        classes.iter().map(|class| self.collection_of(class, OPERATION)).collect()
    }

    /// One collection, if there is one of this name.
    pub fn collection(&self, name: &str) -> Result<Option<Collection>> {
        const OPERATION: &str = "read a collection's definition";
        let found = self.rest.find(&class_path(name), OPERATION)?;
        found.map(|class| self.collection_of(&class, OPERATION)).transpose()
    }

    /// Makes a collection, on as many nodes as the URL says; `definition` is the body of `POST /v1/schema`.
    pub fn create_collection(&self, definition: &Json) -> Result<Collection> {
        const OPERATION: &str = "make a collection";
        let mut definition = definition.clone();
        if let Some(factor) = self.config.replication {
            definition["replicationConfig"] = json!({ "factor": factor });
        }
        let made = self.rest.change(Method::POST, "/v1/schema", Some(&definition), OPERATION)?;
        self.collection_of(&made, OPERATION)
    }

    /// Drops a collection with all its objects; it need not exist.
    pub fn delete_collection(&self, name: &str) -> Result<()> {
        self.rest.change(Method::DELETE, &class_path(name), None, "drop a collection").map(drop)
    }

    /// Drops what the URL's tenant has of a collection, and the collection too unless others have their objects in it. It need
    /// not exist.
    ///
    /// # Errors
    /// `Config` where it has tenants and the URL names none: all of their objects would go.
    pub fn delete_own(&self, name: &str) -> Result<()> {
        if self.collection(name)?.is_none_or(|found| !found.tenants) {
            return self.delete_collection(name);
        }
        let Some(tenant) = &self.config.tenant else {
            return Err(Error::new(Kind::Config, "drop a collection")
                .store(self.config.redacted())
                .detail(format!("the collection {name} has tenants, and the URL names none (tenant=NAME)"))
                .hint("name the tenant whose objects are to go"));
        };
        if self.tenants(name)?.iter().all(|own| own == tenant) {
            return self.delete_collection(name);
        }
        let path = format!("{}/tenants", class_path(name));
        self.rest.change(Method::DELETE, &path, Some(&json!([tenant])), "drop a tenant").map(drop)
    }

    /// The tenants of a collection that has them.
    pub fn tenants(&self, name: &str) -> Result<Vec<String>> {
        const OPERATION: &str = "read a collection's tenants";
        let path = format!("{}/tenants", class_path(name));
        let said = self.rest.call(Method::GET, &path, None, OPERATION)?;
        let list = said.as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |tenant: &Json| tenant["name"].as_str().map(str::to_owned);
        list.iter()
            .map(|tenant| {
                name(tenant).ok_or_else(|| error::malformed(&self.config, OPERATION, "a tenant has no name"))
            })
            .collect()
    }

    /// Makes a collection for an application's objects: with tenants, where the URL names one.
    pub fn create_own(&self, definition: &Json) -> Result<()> {
        let mut definition = definition.clone();
        if self.config.tenant.is_some() {
            definition["multiTenancyConfig"] = json!({ "enabled": true });
        }
        self.create_collection(&definition).map(drop)
    }

    /// Makes the URL's tenant of a collection, where the URL names one; one that is there stays.
    pub fn create_own_tenant(&self, name: &str) -> Result<()> {
        let Some(tenant) = &self.config.tenant else { return Ok(()) };
        let path = format!("{}/tenants", class_path(name));
        let body = json!([{ "name": tenant }]);
        self.rest.change(Method::POST, &path, Some(&body), "make a tenant").map(drop)
    }

    /// Adds a property; `definition` is the body of `POST /v1/schema/NAME/properties`.
    pub fn add_property(&self, collection: &str, definition: &Json) -> Result<()> {
        let path = format!("{}/properties", class_path(collection));
        self.rest.call(Method::POST, &path, Some(definition), "add a property").map(drop)
    }

    /// The shards of a collection.
    pub fn shards(&self, collection: &str) -> Result<Vec<Shard>> {
        const OPERATION: &str = "read the state of a collection's shards";
        let path = match &self.config.tenant {
            Some(tenant) => format!("{}/shards?tenant={}", class_path(collection), percent_encode(tenant)),
            None => format!("{}/shards", class_path(collection)),
        };
        let said = self.rest.call(Method::GET, &path, None, OPERATION)?;
        let text = |value: &Json| {
            let found = value.as_str().map(str::to_owned);
            found.ok_or_else(|| error::malformed(&self.config, OPERATION, "a shard has no name or no status"))
        };
        let shards = said.as_array().map(Vec::as_slice).unwrap_or_default();
        shards
            .iter()
            .map(|shard| Ok(Shard { name: text(&shard["name"])?, status: text(&shard["status"])? }))
            .collect()
    }

    /// What an alias points at, if there is one of this name. Servers before 1.32 have none.
    pub fn alias(&self, name: &str) -> Result<Option<String>> {
        let found = self.rest.find(&format!("/v1/aliases/{}", percent_encode(name)), "read an alias")?;
        Ok(found.and_then(|alias| alias["class"].as_str().map(str::to_owned)))
    }

    /// All aliases, each with the collection that it points at.
    pub fn aliases(&self) -> Result<Vec<(String, String)>> {
        const OPERATION: &str = "read the aliases";
        let said = self.rest.call(Method::GET, "/v1/aliases", None, OPERATION)?;
        let list = said["aliases"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of = |alias: &Json| {
            let text = |name: &str| alias[name].as_str().map(str::to_owned);
            let found = text("alias").zip(text("class"));
            found.ok_or_else(|| {
                error::malformed(&self.config, OPERATION, "an alias has no name or no collection")
            })
        };
        list.iter().map(of).collect()
    }

    /// Makes an alias, or has it point at another collection.
    pub fn set_alias(&self, name: &str, collection: &str) -> Result<()> {
        const OPERATION: &str = "set an alias";
        match self.alias(name)? {
            Some(now) if now == collection => Ok(()),
            Some(_) => {
                let path = format!("/v1/aliases/{}", percent_encode(name));
                let body = json!({ "class": collection });
                self.rest.change(Method::PUT, &path, Some(&body), OPERATION).map(drop)
            }
            None => {
                let body = json!({ "alias": name, "class": collection });
                self.rest.change(Method::POST, "/v1/aliases", Some(&body), OPERATION).map(drop)
            }
        }
    }

    /// Removes an alias; the collection stays.
    pub fn delete_alias(&self, name: &str) -> Result<()> {
        let path = format!("/v1/aliases/{}", percent_encode(name));
        self.rest.change(Method::DELETE, &path, None, "remove an alias").map(drop)
    }

    fn collection_of(&self, class: &Json, operation: &str) -> Result<Collection> {
        let name = class["class"]
            .as_str()
            .ok_or_else(|| error::malformed(&self.config, operation, "a collection has no name"))?;
        Ok(Collection {
            name: name.to_owned(),
            properties: properties_of(&class["properties"]),
            vectors: class["vectorConfig"]
                .as_object()
                .map(|map| map.keys().cloned().collect())
                .unwrap_or_default(),
            tenants: class["multiTenancyConfig"]["enabled"].as_bool().unwrap_or(false),
            definition: class.clone(),
        })
    }
}

fn properties_of(list: &Json) -> Vec<Property> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|property| Property {
            name: property["name"].as_str().unwrap_or_default().to_owned(),
            kinds: property["dataType"]
                .as_array()
                .map(|kinds| kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect())
                .unwrap_or_default(),
            nested: properties_of(&property["nestedProperties"]),
        })
        .collect()
}

fn class_path(name: &str) -> String {
    format!("/v1/schema/{}", percent_encode(name))
}
