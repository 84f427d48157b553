//! Records whose ids anybody can tell: that the run is known, and which collections it made or found there. Everything else is counted
//! by them, so they are asked for one by one, which the server answers from as many replicas as the URL's level says; a listing, and the
//! count beside it, come from one replica, and that one may have been away.

use super::{BODY, Of, PREFIX, RECORDS, RunRecord, id, missing};
use crate::weaviate::before::BEFORE;
use crate::weaviate::client::{Client, Collection};
use crate::weaviate::ledger::Label;
use crate::weaviate::made;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use switchover_core::{Error, Kind, Result};

/// What is known of a run, by whatever a listing says.
pub(in crate::weaviate) fn known(client: &Client, run: &str) -> Result<Option<RunRecord>> {
    if client.collection(RECORDS)?.is_none() {
        return Ok(None);
    }
    let Some(text) = client.object_text(RECORDS, &id(run, Of::Run, ""))? else { return Ok(None) };
    let read = serde_json::from_str(&text).and_then(|object: Json| {
        serde_json::from_str(object["properties"][BODY].as_str().unwrap_or_default())
    });
    read.map(Some).map_err(crate::records::unreadable)
}

/// That a run writes the objects of the URL's tenant, where its record says whose. A collection's name says nothing of that, and another
/// tenant's objects have no record.
///
/// # Errors
/// `Config` where it is another's.
pub(in crate::weaviate) fn of_this_tenant(client: &Client, run: &str) -> Result<()> {
    let Some(tenant) = known(client, run)?.and_then(|record| record.tenant) else { return Ok(()) };
    let meant = client.config().tenant.as_deref().unwrap_or_default();
    if tenant == meant {
        return Ok(());
    }
    let named = |tenant: &str, none: &str| match tenant {
        "" => none.to_owned(),
        tenant => format!("the tenant \"{tenant}\""),
    };
    let hint = match &*tenant {
        "" => "leave the tenant out of the URL".to_owned(),
        tenant => format!("name that tenant in the URL (tenant={tenant})"),
    };
    Err(Error::new(Kind::Config, "find the run's objects")
        .store(client.config().redacted())
        .detail(format!(
            "the run {run} writes objects of {}, and the URL names {}",
            named(&tenant, "no tenant"),
            named(meant, "none")
        ))
        .hint(hint))
}

/// That of the run's records those are listed which say that there is a run, and which of the server's collections, and of these others,
/// are on record as made or filled by it.
///
/// # Errors
/// `Unavailable` where one of them is there and not listed.
pub(in crate::weaviate) fn lists_all_known(
    client: &Client,
    there: &[Collection],
    run: &str,
    listed: &[Label],
    others: impl IntoIterator<Item = String>,
) -> Result<()> {
    if !there.iter().any(|collection| collection.name == RECORDS) {
        return Ok(());
    }
    let made: BTreeSet<String> =
        there.iter().filter(|found| made::is_of(found, run)).map(|found| found.name.clone()).collect();
    // Without what was noted of collections nothing stands on record that a rollback could go by.
    let mut found = BTreeSet::new();
    if there.iter().any(|collection| collection.name == BEFORE) {
        found.extend(there.iter().map(|found| found.name.clone()).chain(others));
        found.retain(|name| !name.starts_with(PREFIX));
    }
    let known = std::iter::once((Of::Run, String::new()))
        .chain(found.difference(&made).map(|name| (Of::Standing, name.clone())))
        .chain(made.iter().map(|name| (Of::Collection, name.clone())));
    for (of, key) in known {
        let id = id(run, of, &key);
        if !listed.iter().any(|label| label.id == id) && client.object_text(RECORDS, &id)?.is_some() {
            let why = match of {
                Of::Run => format!("the server has the run's own record in {RECORDS}, and does not list it"),
                _ => format!("the server has the record of {key} in {RECORDS}, and does not list it"),
            };
            return Err(missing(client, why));
        }
    }
    Ok(())
}
