//! Reading the runs' records: first what they are of, and what they say only of those that are wanted.
//!
//! A record may say as much as a value of the source or an object has, and there may be as many as chunks or as values in
//! quarantine; so nobody reads them all. Invariant: whoever goes by records gets all of them or an error.

use super::{BODIES, Of, PROPERTIES, PlanMark, RECORDS, known};
use crate::weaviate::client::{Asked, Client, Found, Listing, PAGE_OBJECTS_MAX};
use crate::weaviate::value::Wire;
use serde::de::DeserializeOwned;
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};

/// Records are asked for by one lane.
const LANE: usize = 0;

/// What a record is of: all of it but what it says.
#[derive(Debug)]
pub(in crate::weaviate) struct Label {
    pub(in crate::weaviate) id: [u8; 16],
    pub(in crate::weaviate) run: String,
    kind: String,
    pub(in crate::weaviate) key: String,
}

impl Label {
    pub(in crate::weaviate) fn is(&self, of: Of) -> bool {
        self.kind == of.word()
    }
}

/// A record as it was read.
#[derive(Debug)]
pub(in crate::weaviate) struct Record {
    pub(in crate::weaviate) label: Label,
    body: String,
}

impl Record {
    pub(in crate::weaviate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body).map_err(crate::records::unreadable)
    }
}

/// What is read of records.
pub(super) fn listing(collection: &str, properties: &[&str]) -> Listing {
    Listing {
        collection: collection.to_owned(),
        properties: properties.iter().map(|name| Asked::plain(*name)).collect(),
        ..Listing::default()
    }
}

pub(super) fn text(found: &Found<'_>, at: usize) -> String {
    match found.properties.get(at) {
        Some(Some(Wire::Text(text))) => (*text).to_owned(),
        _ => String::new(),
    }
}

fn label(found: &Found<'_>) -> Label {
    Label { id: found.uuid, run: text(found, 0), kind: text(found, 1), key: text(found, 2) }
}

/// Shows what each record of a collection is of, in the order of their ids, and gives their number; `None` where there is no such
/// collection. Others may write meanwhile.
pub(in crate::weaviate) async fn labels(
    client: &Client,
    collection: &str,
    mut show: impl FnMut(Label),
) -> Result<Option<u64>> {
    if client.collection(collection)?.is_none() {
        return Ok(None);
    }
    let (mut listed, mut after) = (0, None);
    loop {
        let page = client.list(LANE, &listing(collection, &PROPERTIES[..3]), after, PAGE_OBJECTS_MAX).await?;
        let Some(last) = page.last() else { return Ok(Some(listed)) };
        after = Some(last);
        listed += page.len() as u64;
        for found in client.objects(&page) {
            show(label(&found?));
        }
    }
}

/// The same where nobody writes: whoever goes by them must not overlook one, for a rollback would leave what it does not know of.
///
/// # Errors
/// `Unavailable` where the server counts others than it lists.
pub(in crate::weaviate) async fn all_labels(
    client: &Client,
    collection: &str,
    show: impl FnMut(Label),
) -> Result<()> {
    let Some(listed) = labels(client, collection, show).await? else { return Ok(()) };
    let counted = client.count(collection).await?;
    if counted == listed {
        return Ok(());
    }
    Err(missing(client, format!("the server counts {counted} objects of {collection}, and lists {listed}")))
}

/// That not all records are shown which are there; the next try asks another node.
pub(in crate::weaviate) fn missing(client: &Client, why: String) -> Error {
    client.pass_over(LANE);
    Error::new(Kind::Unavailable, "read the run's records").store(client.config().redacted()).detail(why).hint(
        "a node that was away may not have them again yet, or another process may be at work there: try again; otherwise see the \
         server's log",
    )
}

/// What all records of all runs are of.
pub(in crate::weaviate) async fn all(client: &Client) -> Result<Vec<Label>> {
    let mut all = Vec::new();
    all_labels(client, RECORDS, |label| all.push(label)).await?;
    Ok(all)
}

/// Records of these ids, in the order of their ids.
///
/// # Errors
/// `Unavailable` where one of them is not shown.
pub(in crate::weaviate) async fn bodies(
    client: &Client,
    collection: &str,
    ids: &[[u8; 16]],
) -> Result<Vec<Record>> {
    let mut records = Vec::with_capacity(ids.len());
    for ids in ids.chunks(BODIES) {
        for page in client.by_ids(LANE, &listing(collection, &PROPERTIES), ids).await? {
            for found in client.objects(&page) {
                records.push(record(&found?));
            }
        }
    }
    if records.len() != ids.len() {
        let why = format!("the server shows {} of {} objects of {collection}", records.len(), ids.len());
        return Err(missing(client, why));
    }
    records.sort_unstable_by_key(|record| record.label.id);
    Ok(records)
}

pub(super) fn record(found: &Found<'_>) -> Record {
    Record { label: label(found), body: text(found, 3) }
}

/// A run's records of one kind, of those whose keys are wanted.
pub(in crate::weaviate) async fn of_kind(
    client: &Client,
    run: &str,
    of: Of,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Record>> {
    let mut ids = Vec::new();
    all_labels(client, RECORDS, |label| {
        if label.run == run && label.is(of) && is_wanted(&label.key) {
            ids.push(label.id);
        }
    })
    .await?;
    bodies(client, RECORDS, &ids).await
}

/// The run of a plan, by its collections: a collection is of one run at a time, as made by it or as filled by it. Behind a cleanup it
/// may be another's, whose records say nothing of this one's: so the run must be of the very plan. A plan of what is to be made may be
/// a later one, too: that of now, for stores of which no journal is there.
pub(in crate::weaviate) async fn run_of(client: &Client, plan: &Plan) -> Result<Option<String>> {
    let fills = plan.options.existing.is_some();
    let own = if fills { Of::Standing } else { Of::Collection };
    let about = |record: &Label| record.is(own) && plan.tables.iter().any(|table| table.target == record.key);
    let Some(found) = all(client).await?.into_iter().find(about) else { return Ok(None) };
    // By its id: a listing may lack it.
    let record = known(client, &found.run)?;
    let is_of = |of: &PlanMark| *of == PlanMark::of(plan) || (!fills && plan.made_at >= of.made_at);
    let is_its = record.is_some_and(|record| record.plan.as_ref().is_none_or(is_of));
    Ok(is_its.then_some(found.run))
}

/// The live run, not over, that has one of a plan's collections on record as made by it: its engines left records. It may be of another
/// plan than this one.
pub(in crate::weaviate) async fn live_of(client: &Client, plan: &Plan) -> Result<Option<String>> {
    let all = all(client).await?;
    let is_live = |run: &str| all.iter().any(|record| record.is(Of::Live) && record.run == run);
    let about = |record: &&Label| {
        record.is(Of::Collection) && plan.tables.iter().any(|table| table.target == record.key)
    };
    Ok(all.iter().filter(about).find(|record| is_live(&record.run)).map(|record| record.run.clone()))
}

/// What the records of one run are of.
pub(in crate::weaviate) async fn of_run(client: &Client, run: &str) -> Result<Vec<Label>> {
    let mut records = all(client).await?;
    records.retain(|record| record.run == run);
    Ok(records)
}
