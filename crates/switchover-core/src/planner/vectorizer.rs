//! Vectors that a module of the target's makes of the objects: asked for in the mapping, made by the server, never compared.
//!
//! Invariant: what the plan asks for is a module that the server has, and no vector of the source is in its way. Absent: the module's
//! own settings, which only the server knows; a secret among them is refused, because plans are kept.

use super::Draft;
use super::object::at;
use crate::connector::{Dialect, TargetState};
use crate::mapping::ObjectMap;
use crate::plan::{Fate, LogicalType, Plan, PlanOptions, Refusal, TablePlan};
use serde_json::{Map, Value};

/// The name of the vector, as the official clients call the only one.
pub const VECTOR: &str = "default";

/// Parts of names of settings that are secrets.
const SECRETS: [&str; 5] = ["apikey", "api_key", "secret", "password", "credential"];

/// What is wrong with the vectorizers of a plan.
pub fn faults(plan: &Plan, target: &TargetState, dialect: &dyn Dialect) -> Vec<Refusal> {
    let mut draft = Draft::default();
    check(target, &plan.tables, dialect, &plan.options, &mut draft);
    draft.refusals
}

/// Looks at all of them, and says what becomes of each.
pub(super) fn check(
    target: &TargetState,
    tables: &[TablePlan],
    dialect: &dyn Dialect,
    options: &PlanOptions,
    draft: &mut Draft,
) {
    if dialect.objects().is_none() {
        // Refused with the other keys about objects.
        return;
    }
    for table in tables {
        let map = options.mapping.object(&table.source);
        match fault(&map, table, target, options.existing.is_some()) {
            Err((key, why, hint)) => {
                let key = at(&options.mapping, &table.source, &["object", key]);
                draft.refuse(&table.source, "", format!("{key}: {why}"), hint);
            }
            Ok(()) => {
                let Some(module) = map.vectorizer else { continue };
                let why =
                    format!("made by the server's module {module} of what it stores; it is not compared");
                draft.outcome("vector", format!("{VECTOR} of {}", table.target), Fate::Changed, why);
            }
        }
    }
}

type Fault = (&'static str, String, &'static str);

fn fault(map: &ObjectMap, table: &TablePlan, target: &TargetState, existing: bool) -> Result<(), Fault> {
    let Some(module) = &map.vectorizer else {
        return match &map.vectorizer_config {
            None => Ok(()),
            Some(_) => Err((
                "vectorizer_config",
                "no vectorizer is asked for".into(),
                "say `vectorizer = \"MODULE\"` as well, or leave it out",
            )),
        };
    };
    let fail = |why: String, hint| Err(("vectorizer", why, hint));
    if existing {
        return fail("a collection that is there has the vectorizer that it has".into(), "leave the key out");
    }
    if !target.modules.contains(module) {
        let vectorizers: Vec<&str> =
            target.modules.iter().map(String::as_str).filter(|name| name.contains("2vec")).collect();
        let why = format!("the server has no module \"{module}\"; it has {}", vectorizers.join(", "));
        return fail(why, "name one of them, or have the server started with it (ENABLE_MODULES)");
    }
    if let Some(column) = table.columns.iter().find(|column| column.r#type == LogicalType::Vector) {
        let why = format!("the column {} is the vector of the same objects", column.source);
        return fail(why, "leave one of the two out");
    }
    match map.vectorizer_config.as_ref().and_then(secret) {
        None => Ok(()),
        Some(name) => Err((
            "vectorizer_config",
            format!("\"{name}\" looks like a secret, and plans are kept"),
            "give it as a header of the module's (X-OpenAI-Api-Key) in the file that `headers_file` of the URL names",
        )),
    }
}

/// The first setting that looks like a secret.
fn secret(config: &Map<String, Value>) -> Option<&str> {
    config.iter().find_map(|(name, value)| {
        let lower = name.to_ascii_lowercase();
        match value {
            _ if SECRETS.iter().any(|part| lower.contains(part)) => Some(name.as_str()),
            Value::Object(inner) => secret(inner),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_however_deep() {
        let config = |text: &str| serde_json::from_str::<Map<String, Value>>(text).expect("an object");
        assert_eq!(secret(&config(r#"{"model":"a","x":{"openaiApiKey":"k"}}"#)), Some("openaiApiKey"));
        assert_eq!(secret(&config(r#"{"model":"a","dimensions":3,"baseURL":"http://x"}"#)), None);
    }
}
