//! The collections that a run makes. Each says so itself, in its description: that a name is on record proves nothing, since
//! anybody may make a collection of that name before the run does, or in the place of the run's.
//!
//! Invariant: no collection is filled or dropped by its name alone. What the description says stays true when the run is accepted,
//! so nothing takes it away. Collections are looked for among all, because an alias answers to a question by name as well.

use super::client::{Client, Collection};
use super::ledger::{self, Label, Of};
use super::schema;
use serde_json::json;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::{Error, Kind, Result};

/// What a collection says that a run made.
fn says(run: &str) -> String {
    format!("Made by Switchover's run {run}.")
}

/// Whether the run made it.
pub(super) fn is_of(collection: &Collection, run: &str) -> bool {
    collection.definition["description"] == says(run)
}

/// The collection that stands under a name, or under one that the server takes for it.
pub(super) fn under<'c>(there: &'c [Collection], name: &str) -> Option<&'c Collection> {
    there.iter().find(|collection| collection.name.eq_ignore_ascii_case(name))
}

/// Makes a table's collection, with the URL's tenant in it, as far as an attempt that was killed did not.
///
/// # Errors
/// `AlreadyExists` where somebody else was quicker; the name is no longer on record then.
pub(super) async fn make(
    client: &Client,
    there: &[Collection],
    plan: &Plan,
    table: &TablePlan,
    run: &str,
) -> Result<()> {
    let name = &table.target;
    if !under(there, name).is_some_and(|found| is_of(found, run)) {
        let mut definition = schema::collection(plan, table);
        definition["description"] = json!(says(run));
        if let Err(error) = client.create_own(&definition) {
            match under(&client.schema()?, name) {
                None => return Err(error),
                // The answer was lost.
                Some(found) if is_of(found, run) => {}
                Some(_) => {
                    // The run has nothing there, and is not to be asked for it when it is taken back.
                    let named = |record: &Label| record.is(Of::Collection) && record.key == *name;
                    ledger::remove(client, run, named).await?;
                    return Err(taken(client, table));
                }
            }
        }
    }
    client.create_own_tenant(name)
}

/// Whether a collection is there, with the URL's tenant in it.
pub(super) fn is_there(client: &Client, there: &[Collection], name: &str) -> Result<bool> {
    match (under(there, name), &client.config().tenant) {
        (None, _) => Ok(false),
        (Some(_), None) => Ok(true),
        (Some(_), Some(tenant)) => Ok(client.tenants(name)?.iter().any(|own| own == tenant)),
    }
}

/// That a table's collection is not the run's.
pub(super) fn taken(client: &Client, table: &TablePlan) -> Error {
    Error::new(Kind::AlreadyExists, "prepare the target")
        .store(client.config().redacted())
        .table(table.source.clone())
        .detail(format!("the collection {} is there, and the run did not make it", table.target))
        .hint(
            "give the table another name in the mapping (`to`), fill the collection with --into existing, or remove it",
        )
}

/// Those of the collections on record as the run's that are there. What is not the run's by its own words is in the way of all of them:
/// whether it is, a person must say.
///
/// # Errors
/// `Changed` where a collection is there that does not say that the run made it.
pub(super) fn own<'r>(
    client: &Client,
    run: &str,
    names: impl Iterator<Item = &'r str>,
) -> Result<Vec<&'r str>> {
    let there = client.schema()?;
    let mut own = Vec::new();
    for name in names {
        match there.iter().find(|found| found.name == name) {
            None => {}
            Some(found) if is_of(found, run) => own.push(name),
            Some(_) => return Err(strange(client, run, name)),
        }
    }
    Ok(own)
}

fn strange(client: &Client, run: &str, name: &str) -> Error {
    let record = uuid::Uuid::from_bytes(ledger::id(run, Of::Collection, name));
    Error::new(Kind::Changed, "drop the run's collections")
        .store(client.config().redacted())
        .detail(format!(
            "the collection {name} is on record as the run's, and its description is not \"{}\": somebody else made it, or changed that, or \
             the server made it by itself for a request that came late (auto-schema)",
            says(run)
        ))
        .hint(format!(
            "if it is the run's, drop it; if it is to stay, remove the object {record} of the collection {}; then try again",
            ledger::RECORDS
        ))
}
