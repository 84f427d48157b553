//! Single objects as the texts that the server gives of them, over REST: to keep one as it was, and to put it back.
//!
//! A text is never read as numbers here and written again: what comes back is what the server wrote, of every kind that it
//! knows. Absent: objects that are moved, which go over gRPC.

use super::{Client, Collection, UnderWay};
use crate::uri::percent_encode;
use crate::weaviate::error;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use switchover_core::{Error, Kind, Result};
use ureq::http::Method;
use uuid::Uuid;

/// What the server says of an object itself, anew with each write.
const TIMES: [&str; 2] = ["creationTimeUnix", "lastUpdateTimeUnix"];

impl Client {
    /// An object with all that it holds, vectors too; `None` where it is not there.
    pub fn object_text(&self, collection: &str, id: &[u8; 16]) -> Result<Option<String>> {
        let path = format!(
            "/v1/objects/{}/{}?include=vector{}",
            percent_encode(collection),
            Uuid::from_bytes(*id),
            self.beside(collection)
        );
        self.rest.text(Method::GET, &path, None, "read an object").map_err(|error| error.table(collection))
    }

    /// Whether an object is there, of the URL's tenant where the collection has some.
    pub fn holds(&self, collection: &Collection, id: &str) -> Result<bool> {
        let tenant = self.config.tenant.as_deref().filter(|_| collection.tenants);
        let tenant = tenant.map(|tenant| format!("?tenant={}", percent_encode(tenant))).unwrap_or_default();
        let path = format!("/v1/objects/{}/{}{tenant}", percent_encode(&collection.name), percent_encode(id));
        let found = self.rest.text(Method::GET, &path, None, "read an object");
        found.map(|text| text.is_some()).map_err(|error| error.table(&*collection.name))
    }

    /// Stores an object as such a text says it, in the place of the one that is there. One that is refused for a reference to what is
    /// gone is stored without its references, which are added then: the server does not look there whether they lead to anything.
    pub fn put_object_text(&self, collection: &Collection, id: &[u8; 16], text: &str) -> Result<()> {
        let Err(refused) = self.put_text(&collection.name, text) else { return Ok(()) };
        let references = collection.references_in(text);
        match collection.without_references(text) {
            Some(bare) if refused.kind() == Kind::Rejected && !references.is_empty() => {
                self.put_text(&collection.name, &bare).map_err(|_| refused)?;
                self.add_references(&collection.name, id, &references)
            }
            _ => Err(refused),
        }
    }

    fn put_text(&self, collection: &str, text: &str) -> Result<()> {
        let body = format!(r#"{{"objects":[{text}]}}"#);
        let path = format!("/v1/batch/objects{}", self.level('?'));
        self.all_taken(collection, &path, &body)
    }

    /// Adds references to an object that has none, in their order.
    fn add_references(&self, collection: &str, id: &[u8; 16], references: &[(String, String)]) -> Result<()> {
        let from = format!("weaviate://localhost/{collection}/{}", Uuid::from_bytes(*id));
        let added: Vec<Json> = references
            .iter()
            .map(|(property, to)| {
                let mut reference = json!({ "from": format!("{from}/{property}"), "to": to });
                if let Some(tenant) = self.tenant(collection) {
                    reference["tenant"] = json!(tenant);
                }
                reference
            })
            .collect();
        let path = format!("/v1/batch/references{}", self.level('?'));
        self.all_taken(collection, &path, &Json::Array(added).to_string())
    }

    /// Sends a batch, of which the answer tells what was not taken.
    fn all_taken(&self, collection: &str, path: &str, body: &str) -> Result<()> {
        const OPERATION: &str = "put an object back";
        let (status, reply) = self.write(collection, path, body, OPERATION)?;
        if !(200..300).contains(&status) {
            return Err(error::of_http(status, &reply, &self.config, OPERATION).table(collection));
        }
        let said: Json = serde_json::from_str(&reply).map_err(|cause| {
            error::malformed(&self.config, OPERATION, "its answer is not JSON").because(cause)
        })?;
        let results = said.as_array().map(Vec::as_slice).unwrap_or_default();
        let refused = results.iter().map(|one| &one["result"]).find(|result| result["status"] != "SUCCESS");
        if refused.is_none() && !results.is_empty() {
            return Ok(());
        }
        let why = refused.map_or_else(String::new, |result| error::shown(&result["errors"].to_string()));
        Err(Error::new(Kind::Rejected, OPERATION)
            .store(self.config.redacted())
            .table(collection)
            .detail(format!("the server refuses it: {why}"))
            .hint("see whether a shard is read-only, and whether objects that it refers to are gone"))
    }

    /// Stores an object of a collection without tenants that is not there yet, past whatever batches the server is at work on;
    /// false where it does not take it, which it says too of one that is there.
    pub fn add_object(&self, collection: &str, id: &[u8; 16], properties: &Json) -> Result<bool> {
        let path = format!("/v1/objects{}", self.level('?'));
        let body =
            json!({ "class": collection, "id": Uuid::from_bytes(*id).to_string(), "properties": properties });
        let (status, _) = self.write(collection, &path, &body.to_string(), "store an object")?;
        Ok((200..300).contains(&status))
    }

    /// Sends what writes objects. Without an answer, or with one of a server that failed, it may be carried out later.
    fn write(
        &self,
        collection: &str,
        path: &str,
        body: &str,
        operation: &'static str,
    ) -> Result<(u16, String)> {
        let under_way = UnderWay::of(self);
        let said = self.rest.send(Method::POST, path, Some(body), operation);
        let (status, said) = said.map_err(|error| error.table(collection))?;
        if status < 500 {
            under_way.answered();
        }
        Ok((status, said))
    }

    /// A collection's tenant and the level, behind other parts of a query.
    fn beside(&self, collection: &str) -> String {
        let tenant = self.tenant(collection).map(|tenant| format!("&tenant={}", percent_encode(tenant)));
        format!("{}{}", tenant.unwrap_or_default(), self.level('&'))
    }

    fn level(&self, first: char) -> String {
        let level = self.config.consistency.map(|level| level.name().to_ascii_uppercase());
        level.map(|level| format!("{first}consistency_level={level}")).unwrap_or_default()
    }
}

type Parts<'t> = BTreeMap<String, &'t RawValue>;

impl Collection {
    /// The references that an object's text holds, in their order: the property, and where it leads.
    pub fn references_in(&self, text: &str) -> Vec<(String, String)> {
        #[derive(Deserialize)]
        struct Reference {
            beacon: String,
        }
        let Some((_, properties)) = parts_of(text) else { return Vec::new() };
        let mut all = Vec::new();
        for (name, value) in properties.iter().filter(|(name, _)| self.refers_by(name)) {
            let references: Vec<Reference> = serde_json::from_str(value.get()).unwrap_or_default();
            all.extend(references.into_iter().map(|reference| (name.clone(), reference.beacon)));
        }
        all
    }

    /// An object's text without its references.
    fn without_references(&self, text: &str) -> Option<String> {
        let (mut parts, mut properties) = parts_of(text)?;
        properties.retain(|name, _| !self.refers_by(name));
        let properties = to_raw_value(&properties).ok()?;
        parts.insert("properties".to_owned(), &properties);
        serde_json::to_string(&parts).ok()
    }

    fn refers_by(&self, property: &str) -> bool {
        self.properties.iter().any(|own| own.name == property && own.is_reference())
    }
}

/// The parts of an object's text, and of its properties.
fn parts_of(text: &str) -> Option<(Parts<'_>, Parts<'_>)> {
    let parts: Parts<'_> = serde_json::from_str(text).ok()?;
    let properties = parts.get("properties").map_or(Ok(Parts::new()), |own| serde_json::from_str(own.get()));
    Some((parts, properties.ok()?))
}

/// Whether two texts say one object, whenever it was written.
pub fn same_object(one: &str, other: &str) -> bool {
    let parts = |text| -> Option<BTreeMap<String, String>> {
        let parts: Parts<'_> = serde_json::from_str(text).ok()?;
        let kept = parts.into_iter().filter(|(name, _)| !TIMES.contains(&name.as_str()));
        Some(kept.map(|(name, value)| (name, value.get().to_owned())).collect())
    };
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_do_not_count_and_every_digit_does() {
        let text = |time: u8, number: &str| {
            format!(
                r#"{{"class":"C","creationTimeUnix":{time},"lastUpdateTimeUnix":{time},"properties":{{"n":{number}}}}}"#
            )
        };
        assert!(same_object(&text(1, "0.1"), &text(2, "0.1")));
        assert!(!same_object(&text(1, "-0"), &text(1, "0")));
        assert!(!same_object(&text(1, "0.1"), "x"));
        assert!(!same_object("x", "x"));
    }
}
