//! Collections that were there before the run: what they held, and how it comes back.
//!
//! In a collection of records of its own, because they may be many:
//!
//! | record | written | a crash after it means |
//! |---|---|---|
//! | `stays` | by `prepare`: ids of objects that were there and stay | nothing yet |
//! | `image` | by `prepare`: an object that gives way, as the server's own text of it | nothing yet |
//! | `standing` (in the ledger) | behind these | the collection may be written |
//! | `wrote` | before a chunk's objects: their ids | these objects may be there |
//!
//! They go page by page, when `standing` is gone for certain: what is left of them then restores nothing. A rollback that went by a
//! `wrote` whose images are gone already would delete what it has just put back.
//!
//! A rollback deletes the objects that `wrote` names and no image has, and puts every image back that is not as it was. So
//! invariant: an id is in `wrote` before its object is sent, and an object that was there and has no image is never
//! written: who made one meanwhile that the plan does not know is refused. Nothing else of the collection is touched.
//! Memory is that of the ids of what was there (16 bytes each), and of a page of records.

use super::client::{Client, Listing, same_object};
use super::ledger::{self, Of, Record, Records};
use super::live::SOON;
use super::rows::Table;
use super::value::{base64_decode, base64_encode};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use switchover_core::plan::Plan;
use switchover_core::value::{OwnedValue, Value};
use switchover_core::{Error, Kind, Result, failpoint};
use uuid::{Uuid, uuid};

/// The collection of these records.
pub(super) const BEFORE: &str = "Switchover_before";

/// Ids that one record holds: a text of 21 kB.
const IDS_PER_RECORD: usize = 1_000;

/// Bytes of images that are gathered before they are written.
const IMAGES_BYTES: usize = 1 << 20;

/// Records that one request reads: an image is as large as its object.
const PAGE: u32 = 100;

/// In which names of records of ids are made.
const IDS: Uuid = uuid!("5f3c7f0a-6a3b-4c0e-9d63-2f1f1d3f7a51");

type Id = [u8; 16];

/// Notes all that the plan's collections hold, but for those that are noted.
pub(super) async fn note(client: &Client, plan: &Arc<Plan>, run: &str, noted: &BTreeSet<&str>) -> Result<()> {
    ledger::make_within(client, BEFORE)?;
    // What a rollback that was stopped left of them is of what was there then.
    forget(client, run, |record| !record.key.split_once('/').is_some_and(|(name, _)| noted.contains(name)))
        .await?;
    for at in 0..plan.tables.len() {
        let name = &plan.tables[at].target;
        if noted.contains(&**name) {
            continue;
        }
        failpoint::hit("existing-before-notes");
        let replaced = replaced(plan, at);
        images(client, run, name, &replaced).await?;
        failpoint::hit("existing-images-noted");
        let stays: Vec<Id> =
            ids_there(client, name).await?.into_iter().filter(|id| !replaced.contains(id)).collect();
        for ids in stays.chunks(IDS_PER_RECORD) {
            add_ids(client, run, Of::Stays, name, ids).await?;
        }
        let mut done = Records::new(client);
        done.add(run, Of::Standing, name, &())?;
        done.put(client).await?;
        failpoint::hit("existing-noted");
    }
    Ok(())
}

/// The ids of the objects that give way.
fn replaced(plan: &Arc<Plan>, at: usize) -> HashSet<Id> {
    let table = Table::new(plan, at);
    let keys = plan.tables[at].standing.iter().flat_map(|standing| &standing.replaced);
    let id = |key: &Vec<OwnedValue>| {
        let key: Vec<Value<'_>> = key.iter().map(OwnedValue::borrow).collect();
        table.id_of_key(&key)
    };
    keys.filter_map(id).collect()
}

async fn images(client: &Client, run: &str, name: &str, replaced: &HashSet<Id>) -> Result<()> {
    let mut records = Records::within(client, BEFORE);
    for id in replaced {
        let Some(text) = client.object_text(name, id)? else { continue };
        records.add(run, Of::Image, &key(name, id), &text)?;
        if records.bytes() > IMAGES_BYTES {
            std::mem::replace(&mut records, Records::within(client, BEFORE)).put(client).await?;
        }
    }
    records.put(client).await
}

async fn ids_there(client: &Client, name: &str) -> Result<Vec<Id>> {
    let listing = Listing { collection: name.to_owned(), ..Listing::default() };
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = client.list(0, &listing, after, super::client::PAGE_OBJECTS_MAX).await?;
        let Some(last) = page.last() else { return Ok(ids) };
        after = Some(last);
        for found in client.objects(&page) {
            ids.push(found?.uuid);
        }
    }
}

/// The key of a record: the collection, and what it is about in it.
fn key(name: &str, id: &Id) -> String {
    format!("{name}/{}", Uuid::from_bytes(*id))
}

fn is_of(record: &Record, name: &str) -> bool {
    record.key.split_once('/').is_some_and(|(own, _)| own == name)
}

fn packed(ids: &[Id]) -> String {
    let mut text = Vec::new();
    base64_encode(ids.as_flattened(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The ids of a record of ids.
pub(super) fn unpacked(record: &Record) -> Result<Vec<Id>> {
    let bytes = base64_decode(&record.read::<String>()?).unwrap_or_default();
    let (ids, rest) = bytes.as_chunks::<16>();
    match rest.is_empty() && !ids.is_empty() {
        true => Ok(ids.to_vec()),
        false => {
            Err(Error::new(Kind::Corrupt, "read the run's records").detail("a list of ids is no such list"))
        }
    }
}

/// What a record of ids is called: made of them, so that writing it twice is writing it once.
fn key_of_ids(name: &str, ids: &[Id]) -> String {
    key(name, Uuid::new_v5(&IDS, ids.as_flattened()).as_bytes())
}

async fn add_ids(client: &Client, run: &str, of: Of, name: &str, ids: &[Id]) -> Result<()> {
    let mut records = Records::within(client, BEFORE);
    records.add(run, of, &key_of_ids(name, ids), &packed(ids))?;
    records.put(client).await
}

/// A run's records of one kind of a collection, page by page.
pub(super) struct Noted<'a> {
    client: &'a Client,
    run: &'a str,
    of: Of,
    name: &'a str,
    after: Option<Id>,
}

impl<'a> Noted<'a> {
    pub(super) fn new(client: &'a Client, run: &'a str, of: Of, name: &'a str) -> Noted<'a> {
        Noted { client, run, of, name, after: None }
    }

    /// The next of them; `None` at the end, and where nothing was noted.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Record>>> {
        if self.after.is_none() && self.client.collection(BEFORE)?.is_none() {
            return Ok(None);
        }
        let mut page = ledger::page(self.client, BEFORE, &mut self.after, PAGE).await?;
        if let Some(records) = &mut page {
            records.retain(|record| record.run == self.run && record.is(self.of) && is_of(record, self.name));
        }
        Ok(page)
    }
}

/// That it is on record which objects of a table's collection were there before the run and stay, if some do.
///
/// # Errors
/// `NotFound` when nobody knows them any more.
pub(super) async fn knows_what_stays(client: &Client, plan: &Plan, at: usize) -> Result<()> {
    let table = &plan.tables[at];
    if table.standing.as_ref().is_none_or(|standing| standing.rows_staying == 0)
        || ledger::run_of(client, plan).await?.is_some()
    {
        return Ok(());
    }
    Err(Error::new(Kind::NotFound, "compare the objects that were there before the run")
        .store(client.config().redacted())
        .table(table.source.clone())
        .detail("which they are is no longer on record: the run was cleaned up or rolled back")
        .hint("whether the others are equal cannot be told from them; `switchover verify` proves that before `switchover cleanup`, not after it"))
}

/// Ids of objects of a table's collection that were there before the run and stay; none before a run is on record.
pub(super) async fn stays(client: &Client, plan: &Plan, at: usize) -> Result<HashSet<Id>> {
    if plan.options.existing.is_none() {
        return Ok(HashSet::new());
    }
    let Some(run) = ledger::run_of(client, plan).await? else { return Ok(HashSet::new()) };
    let name = &plan.tables[at].target;
    let (mut ids, mut noted) = (HashSet::new(), Noted::new(client, &run, Of::Stays, name));
    while let Some(page) = noted.next().await? {
        for record in &page {
            ids.extend(unpacked(record)?);
        }
    }
    Ok(ids)
}

/// How many of these are there now.
pub(super) async fn staying(client: &Client, plan: &Plan, at: usize) -> Result<u64> {
    let ids: Vec<Id> = stays(client, plan, at).await?.into_iter().collect();
    let listing = Listing { collection: plan.tables[at].target.clone(), ..Listing::default() };
    Ok(client.by_ids(0, &listing, &ids).await?.iter().map(|page| page.len() as u64).sum())
}

/// Ids of objects that are kept aside.
async fn kept_aside(client: &Client, run: &str, name: &str) -> Result<HashSet<Id>> {
    let (mut ids, mut noted) = (HashSet::new(), Noted::new(client, run, Of::Image, name));
    while let Some(page) = noted.next().await? {
        ids.extend(page.iter().filter_map(id_of));
    }
    Ok(ids)
}

fn id_of(record: &Record) -> Option<Id> {
    let (_, id) = record.key.split_once('/')?;
    Uuid::parse_str(id).ok().map(Uuid::into_bytes)
}

/// What a stream knows of a collection that was there.
#[derive(Debug, Default)]
pub(super) struct Aside(Option<HashSet<Id>>);

impl Aside {
    /// Notes that these objects are about to be written, where that is allowed.
    ///
    /// # Errors
    /// `Refused` when an object is there that the plan does not replace.
    pub(super) async fn note(&mut self, client: &Client, run: &str, name: &str, ids: &[Id]) -> Result<()> {
        for ids in ids.chunks(IDS_PER_RECORD) {
            self.part(client, run, name, ids).await?;
        }
        Ok(())
    }

    async fn part(&mut self, client: &Client, run: &str, name: &str, ids: &[Id]) -> Result<()> {
        if ledger::is_there(client, BEFORE, run, Of::Wrote, &key_of_ids(name, ids)).await? {
            return Ok(());
        }
        let listing = Listing { collection: name.to_owned(), ..Listing::default() };
        let mut there = HashSet::new();
        for page in client.by_ids(0, &listing, ids).await? {
            for found in client.objects(&page) {
                there.insert(found?.uuid);
            }
        }
        if !there.is_empty() {
            if self.0.is_none() {
                self.0 = Some(kept_aside(client, run, name).await?);
            }
            there.retain(|id| self.0.as_ref().is_none_or(|aside| !aside.contains(id)));
        }
        if !there.is_empty() {
            // An attempt that was killed may have written them, in chunks of another size.
            let mut noted = Noted::new(client, run, Of::Wrote, name);
            while let Some(page) = noted.next().await? {
                for record in &page {
                    there = &there - &unpacked(record)?.into_iter().collect();
                }
            }
        }
        if let Some(id) = there.iter().min() {
            return Err(Error::new(Kind::Refused, "write objects")
                .store(client.config().redacted())
                .table(name)
                .key(Uuid::from_bytes(*id).to_string())
                .detail("an object of that id is there, and the plan does not replace it: it holds another key, or came after the plan")
                .hint("remove that object, or migrate again with another `namespace` of [table.NAME.object]"));
        }
        add_ids(client, run, Of::Wrote, name, ids).await
    }
}

/// Removes what was noted for a run, where another's stays. What is noted of a collection goes only when that it is complete is no longer
/// on record.
pub(super) async fn forget(client: &Client, run: &str, which: impl Fn(&Record) -> bool) -> Result<()> {
    if client.collection(BEFORE)?.is_none() {
        return Ok(());
    }
    let mut after = None;
    while let Some(page) = ledger::page(client, BEFORE, &mut after, PAGE).await? {
        let own = page.iter().filter(|record| record.run == run && which(record));
        let ids: Vec<Id> = own.map(|record| record.id).collect();
        client.delete_proven(BEFORE, &ids).await?;
        failpoint::hit("existing-page-forgotten");
    }
    Ok(())
}

/// Gives collections back what they held.
///
/// A request of a process that was killed, or whose answer was lost, may be at work on the server still, and nothing orders it behind
/// what is done here: it would put objects of the run's into the collection when nobody knows any more that they are the run's.
/// So where the run is not at rest it is waited for, and what came in between all the same is taken back by a second look.
pub(super) async fn restore(client: &Client, run: &str, names: &[&str], at_rest: bool) -> Result<()> {
    if !at_rest && !names.is_empty() {
        let soon = failpoint::number("discard-soon-ms", SOON.as_millis() as u64);
        tokio::time::sleep(Duration::from_millis(soon)).await;
    }
    for _ in 0..if at_rest { 1 } else { 2 } {
        for name in names {
            restore_one(client, run, name).await?;
        }
        failpoint::hit("existing-put-back");
    }
    Ok(())
}

/// Gives a collection back what it held: the run's objects go, and what gave way comes back.
async fn restore_one(client: &Client, run: &str, name: &str) -> Result<()> {
    let aside = kept_aside(client, run, name).await?;
    if client.collection(name)?.is_none() {
        if aside.is_empty() {
            return Ok(());
        }
        return Err(Error::new(Kind::Changed, "put objects back")
            .store(client.config().redacted())
            .table(name)
            .detail(format!(
                "the collection is gone, and {} of its objects gave way to the run's: they are kept in {BEFORE}",
                aside.len()
            ))
            .hint(format!("make the collection again, as it was, and try again; or remove the collection {BEFORE}, and with it those objects")));
    }
    let mut noted = Noted::new(client, run, Of::Wrote, name);
    while let Some(page) = noted.next().await? {
        for record in &page {
            let gone: Vec<Id> = unpacked(record)?.into_iter().filter(|id| !aside.contains(id)).collect();
            client.delete_proven(name, &gone).await?;
        }
    }
    failpoint::hit("existing-deleted");
    let mut noted = Noted::new(client, run, Of::Image, name);
    while let Some(page) = noted.next().await? {
        for record in &page {
            if let Some(id) = id_of(record) {
                put_back(client, name, &id, &record.read::<String>()?)?;
            }
        }
    }
    Ok(())
}

/// Puts an object back, unless it is as it was.
fn put_back(client: &Client, name: &str, id: &Id, image: &str) -> Result<()> {
    let same = |text: Option<String>| text.is_some_and(|text| same_object(&text, image));
    if same(client.object_text(name, id)?) {
        return Ok(());
    }
    client.put_object_text(name, image)?;
    failpoint::hit("existing-restored");
    match same(client.object_text(name, id)?) {
        true => Ok(()),
        false => Err(Error::new(Kind::Different, "put an object back")
            .store(client.config().redacted())
            .table(name)
            .key(Uuid::from_bytes(*id).to_string())
            .detail("it does not read back as it was before the run")
            .hint(format!("its text is kept in the collection {BEFORE}; try again"))),
    }
}
