//! What others added to what a run made or filled, where a comparison with the source does not see it: that asks for the plan's
//! properties alone.
//!
//! A rollback drops a collection that the run made, so all counts there that the plan does not have: properties, references and
//! vectors. Of a collection that was there the run's objects go, so what counts is what they hold beside what the run wrote.
//! Absent on purpose: vectors that a module of the server makes, which are nobody's work; a collection's settings.

use super::before::{self, BEFORE, unpacked};
use super::client::{Asked, Client, Collection, Found, Listing, Property, VectorsAsked};
use super::ledger;
use super::schema;
use serde_json::Value as Json;
use switchover_core::Result;
use switchover_core::plan::{Plan, TablePlan};
use uuid::Uuid;

/// Objects of a page that is looked through for vectors: with long ones it is some megabytes.
const PAGE: u32 = 1_000;

/// What was added, in words: of each collection the first that is found.
pub(super) async fn of_plan(client: &Client, plan: &Plan) -> Result<Vec<String>> {
    let mut said = Vec::new();
    let filled_by = match plan.options.existing {
        Some(_) => ledger::run_of(client, plan).await?,
        None => None,
    };
    for table in &plan.tables {
        let Some(found) = client.collection(&table.target)? else { continue };
        said.extend(match &filled_by {
            Some(run) => in_objects(client, run, table, &found).await?,
            None => match added(&found.definition, &schema::collection(plan, table)) {
                Some(what) => {
                    Some(format!("the collection {} has {what}, which the run did not make", table.target))
                }
                None => first_vector(client, plan, table, &found).await?,
            },
        });
    }
    Ok(said)
}

/// What a collection has that is not wanted.
fn added(there: &Json, wanted: &Json) -> Option<String> {
    let none = serde_json::Map::new();
    let (vectors, own) = (&there["vectorConfig"], &wanted["vectorConfig"]);
    let strange = vectors.as_object().unwrap_or(&none).keys().find(|name| own[&**name].is_null());
    let property = added_property(&there["properties"], &wanted["properties"]);
    property
        .map(|name| format!("the property {name}"))
        .or_else(|| strange.map(|name| format!("the vector {name}")))
}

/// The first property that is not wanted, with those that it is in.
fn added_property(there: &Json, wanted: &Json) -> Option<String> {
    let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
    let own = list(wanted);
    list(there).iter().find_map(|property| {
        let name = property["name"].as_str().unwrap_or_default();
        let Some(known) = own.iter().find(|known| known["name"] == property["name"]) else {
            return Some(name.to_owned());
        };
        let inner = added_property(&property["nestedProperties"], &known["nestedProperties"]);
        inner.map(|inner| format!("{name}.{inner}"))
    })
}

/// An object with a vector, in a collection whose objects the run wrote without one.
async fn first_vector(
    client: &Client,
    plan: &Plan,
    table: &TablePlan,
    found: &Collection,
) -> Result<Option<String>> {
    let made = plan.options.mapping.object(&table.source).vectorizer.is_some();
    if made || !found.vectors.is_empty() || table.columns.iter().any(schema::is_vector) {
        return Ok(None);
    }
    let collection = table.target.clone();
    let listing = Listing { collection, vectors: VectorsAsked::Unnamed, ..Listing::default() };
    let mut after = None;
    loop {
        let page = client.list(0, &listing, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        after = Some(last);
        for found in client.objects(&page) {
            let found = found?;
            if let Some(what) = held(&found, &[]) {
                return Ok(Some(of_object(table, &found, &what)));
            }
        }
    }
}

/// An object of the run's in a collection that was there, with something that the run did not write.
async fn in_objects(
    client: &Client,
    run: &str,
    table: &TablePlan,
    found: &Collection,
) -> Result<Option<String>> {
    let listing = beside(table, found);
    if listing.properties.is_empty() && listing.references.is_empty() && listing.vectors == VectorsAsked::None
    {
        return Ok(None);
    }
    for ids in before::wrote(client, run, &table.target).await?.chunks(before::PAGE) {
        for record in ledger::bodies(client, BEFORE, ids).await? {
            for page in client.by_ids(0, &listing, &unpacked(&record)?).await? {
                for found in client.objects(&page) {
                    let found = found?;
                    if let Some(what) = held(&found, page.asked()) {
                        return Ok(Some(of_object(table, &found, &what)));
                    }
                }
            }
        }
    }
    Ok(None)
}

/// What a collection that was there has beside the plan.
fn beside(table: &TablePlan, found: &Collection) -> Listing {
    let planned = |name: &str| {
        table.columns.iter().any(|column| column.target == name)
            || table.foreign_keys.iter().any(|key| key.name == name)
    };
    let others = || found.properties.iter().filter(|property| !planned(&property.name));
    let vectors = table.columns.iter().filter(|column| schema::is_vector(column));
    let vectors: Vec<&str> = vectors.map(|column| schema::vector_name(table, column)).collect();
    let others_vector = |name: &str| !vectors.contains(&name) && !is_made(&found.definition, name);
    let named: Vec<String> = found.vectors.iter().filter(|name| others_vector(name)).cloned().collect();
    Listing {
        collection: table.target.clone(),
        properties: others().filter(|property| !is_reference(property)).map(asked).collect(),
        references: others().filter(|property| is_reference(property)).map(|own| own.name.clone()).collect(),
        vectors: match (found.vectors.is_empty(), named.is_empty()) {
            (true, _) if others_vector("") => VectorsAsked::Unnamed,
            (false, false) => VectorsAsked::Named(named),
            _ => VectorsAsked::None,
        },
    }
}

fn asked(property: &Property) -> Asked {
    Asked { name: property.name.clone(), nested: property.nested.iter().map(asked).collect() }
}

/// Whether a property leads to objects of collections: their names begin with a capital, and kinds of values do not.
fn is_reference(property: &Property) -> bool {
    property.kinds.iter().any(|kind| kind.starts_with(|first: char| first.is_ascii_uppercase()))
}

/// Whether a module of the server makes that vector.
fn is_made(definition: &Json, vector: &str) -> bool {
    if vector.is_empty() {
        return definition["vectorizer"].as_str().is_some_and(|module| module != "none");
    }
    let module = definition["vectorConfig"][vector]["vectorizer"].as_object();
    module.is_some_and(|module| module.keys().any(|name| name != "none"))
}

/// The first that an object holds of what was asked for.
fn held(found: &Found<'_>, asked: &[String]) -> Option<String> {
    let property = found.properties.iter().zip(asked).find(|(value, _)| value.is_some());
    let reference = found.references.iter().find(|(_, uuids)| !uuids.is_empty());
    let vector = found.vectors.iter().find(|(_, numbers)| !numbers.is_empty());
    property
        .map(|(_, name)| format!("a value of the property {name}"))
        .or_else(|| reference.map(|(name, _)| format!("the reference {name}")))
        .or_else(|| vector.map(|(name, _)| format!("the vector {name}")))
        .or_else(|| found.vector.map(|_| "a vector".to_owned()))
}

fn of_object(table: &TablePlan, found: &Found<'_>, what: &str) -> String {
    let id = Uuid::from_bytes(found.uuid);
    format!("the object {id} of {} has {what}, which the run did not write", table.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_wanted_is_named_with_what_it_is_in() {
        let nested = |inner: &[&str]| {
            let inner: Vec<Json> = inner.iter().map(|name| json!({ "name": name })).collect();
            json!({ "properties": [{ "name": "facts", "nestedProperties": inner }, { "name": "text" }] })
        };
        let wanted = nested(&["a"]);
        assert_eq!(added(&wanted, &wanted), None);
        assert_eq!(added(&nested(&["a", "b"]), &wanted).as_deref(), Some("the property facts.b"));
        let mut there = wanted.clone();
        there["vectorConfig"] = json!({ "own": {} });
        assert_eq!(added(&there, &wanted).as_deref(), Some("the vector own"));
        assert_eq!(added(&there, &there), None);
    }

    #[test]
    fn what_a_module_makes_is_known() {
        let named = json!({ "vectorConfig": { "a": { "vectorizer": { "none": {} } }, "b": { "vectorizer": { "text2vec-x": {} } } } });
        assert_eq!((is_made(&named, "a"), is_made(&named, "b")), (false, true));
        for (module, made) in [("none", false), ("text2vec-x", true)] {
            assert_eq!(is_made(&json!({ "vectorizer": module }), ""), made);
        }
    }
}
