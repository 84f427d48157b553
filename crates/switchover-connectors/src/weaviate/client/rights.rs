//! What the key's user may do, found out without doing it.
//!
//! The server has no question for that which every kind of its authorization answers. But it looks at the rights before it looks
//! at anything else, so each of these requests is refused for a right that lacks, and else for what it asks, which is nothing
//! that could be done: a definition that no server takes, and changes of what is not there. Checked on 1.39 with the admin list, with
//! roles, and with auto-schema on. All are about a collection of the runs' own, because what the rights are by other names only their
//! patterns tell.
//! Absent on purpose: reading, of which the first question tells; rights to aliases and tenants, which few runs need.

use serde_json::{Value as Json, json};
use switchover_core::Result;
use ureq::http::Method;

use super::{Client, OWN};

/// The status of a right that lacks; each other one means that the rights were not it.
const FORBIDDEN: u16 = 403;

/// An object that is not there.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// The right of which only a role's own list tells: the request for it could be carried out where auto-schema is on.
const CREATE_DATA: &str = "create_data";

impl Client {
    /// The rights to write that the key's user lacks, in words; none where all are there, or where there is no authorization.
    pub fn missing_rights(&self) -> Result<Vec<String>> {
        const OPERATION: &str = "ask what the key may do";
        let name = format!("{OWN}rights");
        let nobody = json!({ "path": ["id"], "operator": "Equal", "valueText": NOBODY });
        let delete = json!({ "dryRun": true, "match": { "class": name, "where": nobody } });
        let impossible = json!({ "class": name, "properties": [{ "name": "id", "dataType": [] }] });
        let change = json!({ "class": name, "id": NOBODY, "properties": {} });
        let asked = [
            (Method::POST, "/v1/schema".to_owned(), Some(impossible), "make collections"),
            (Method::DELETE, format!("/v1/schema/{name}"), None, "drop collections"),
            (Method::PATCH, format!("/v1/objects/{name}/{NOBODY}"), Some(change), "change objects"),
            (Method::DELETE, "/v1/batch/objects".to_owned(), Some(delete), "delete objects"),
        ];
        let mut missing = Vec::new();
        for (method, path, body, what) in asked {
            let body = body.map(|body| body.to_string());
            if self.rest.send(method, &path, body.as_deref(), OPERATION)?.0 == FORBIDDEN {
                missing.push(format!("the key's user may not {what}"));
            }
        }
        if self.lacks(CREATE_DATA, OPERATION)? {
            missing.push("the key's user may not make objects".into());
        }
        Ok(missing)
    }

    /// Whether the user's roles are known and none has the right.
    fn lacks(&self, action: &str, operation: &str) -> Result<bool> {
        // Nobody in particular has no roles, and is not told of any.
        if self.config.api_key.is_none() {
            return Ok(false);
        }
        let own = self.rest.find("/v1/users/own-info", operation)?.unwrap_or(Json::Null);
        let Some(roles) = own["roles"].as_array() else { return Ok(false) };
        let mut rights = roles.iter().filter_map(|role| role["permissions"].as_array()).flatten();
        Ok(!roles.is_empty() && !rights.any(|right| right["action"] == action))
    }
}
