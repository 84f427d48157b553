//! Single objects as the texts that the server gives of them, over REST: to keep one as it was, and to put it back.
//!
//! A text is never read as numbers here and written again: what comes back is what the server wrote, of every kind that it
//! knows. Absent: objects that are moved, which go over gRPC.

use super::Client;
use crate::uri::percent_encode;
use crate::weaviate::error;
use serde_json::value::RawValue;
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
            self.beside('&')
        );
        self.rest.text(Method::GET, &path, None, "read an object").map_err(|error| error.table(collection))
    }

    /// Stores an object as such a text says it, in the place of the one that is there.
    pub fn put_object_text(&self, collection: &str, text: &str) -> Result<()> {
        const OPERATION: &str = "put an object back";
        let body = format!(r#"{{"objects":[{text}]}}"#);
        let path = format!("/v1/batch/objects{}", self.level('?'));
        let reply = self.rest.text(Method::POST, &path, Some(&body), OPERATION);
        let reply = reply.map_err(|error| error.table(collection))?.unwrap_or_default();
        let said: Json = serde_json::from_str(&reply).map_err(|cause| {
            error::malformed(&self.config, OPERATION, "its answer is not JSON").because(cause)
        })?;
        let result = &said[0]["result"];
        if result["status"] == "SUCCESS" {
            return Ok(());
        }
        Err(Error::new(Kind::Rejected, OPERATION)
            .store(self.config.redacted())
            .table(collection)
            .detail(format!("the server refuses it: {}", error::shown(&result["errors"].to_string())))
            .hint("see whether a shard is read-only, and whether objects that it refers to are gone"))
    }

    /// Stores an object of a collection without tenants that is not there yet, past whatever batches the server is at work on;
    /// false where it does not take it, which it says too of one that is there.
    pub fn add_object(&self, collection: &str, id: &[u8; 16], properties: &Json) -> Result<bool> {
        let path = format!("/v1/objects{}", self.level('?'));
        let body =
            json!({ "class": collection, "id": Uuid::from_bytes(*id).to_string(), "properties": properties });
        let said = self.rest.send(Method::POST, &path, Some(&body.to_string()), "store an object");
        said.map(|(status, _)| (200..300).contains(&status)).map_err(|error| error.table(collection))
    }

    /// The tenant and the level, behind other parts of a query.
    fn beside(&self, first: char) -> String {
        let tenant =
            self.config.tenant.as_deref().map(|tenant| format!("{first}tenant={}", percent_encode(tenant)));
        format!("{}{}", tenant.unwrap_or_default(), self.level('&'))
    }

    fn level(&self, first: char) -> String {
        let level = self.config.consistency.map(|level| level.name().to_ascii_uppercase());
        level.map(|level| format!("{first}consistency_level={level}")).unwrap_or_default()
    }
}

/// Whether two texts say one object, whenever it was written.
pub fn same_object(one: &str, other: &str) -> bool {
    let parts = |text| -> Option<BTreeMap<String, String>> {
        let parts: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
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
