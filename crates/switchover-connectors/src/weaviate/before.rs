//! Collections that were there before the run: what they held, and how it comes back.
//!
//! In a collection of records of its own, because they may be many:
//!
//! | record | written | a crash after it means |
//! |---|---|---|
//! | `stays` | by `prepare`: ids of objects that were there and stay | nothing yet |
//! | `image` | by `prepare`: an object that gives way, as the server's own text of it | nothing yet |
//! | `standing` (in the ledger) | behind these, with their number | the collection may be written |
//! | `note` | before a `wrote`: its id, by a number | nothing yet |
//! | `wrote` | before a chunk's objects: their ids | these objects may be there |
//!
//! They go page by page, when `standing` is gone for certain: what is left of them then restores nothing. A rollback that went by a
//! `wrote` whose images are gone already would delete what it has just put back.
//!
//! Invariants: an id is in `wrote` before its object is sent, and an object that was there and has no image is never
//! written: who made one meanwhile that the plan does not know is refused; an object that no rollback could put back has no image, and the
//! run is refused. Whoever goes by images or by what stays has as many as `standing` says, or an error: a listing may lack some (a node
//! that was away), and would have the run's objects and the application's mistaken for each other.
//! Memory is that of the ids of what was there (16 bytes each), and of a page of records. How it all comes back is `restore`'s to say.

use super::client::{Client, Collection, Listing};
use super::ledger::{self, About, Label, Of, Record, Records};
use super::restore;
use super::rows::Table;
use super::value::{base64_decode, base64_encode};
use super::written::Notes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
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

/// Records that are read or removed at once: an image is as large as its object.
pub(super) const PAGE: usize = 100;

/// In which names of records of ids are made.
const IDS: Uuid = uuid!("5f3c7f0a-6a3b-4c0e-9d63-2f1f1d3f7a51");

pub(super) type Id = [u8; 16];

/// How much was noted of a collection, by its `standing`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Objects that are kept aside.
    images: u64,
    /// Ids of objects that stay.
    stays: u64,
}

impl Standing {
    /// What a record says; `None` where an earlier program wrote it, which did not count.
    pub(super) fn of(record: &Record) -> Result<Option<Standing>> {
        record.read()
    }

    /// That so many images are all of them.
    pub(super) fn has_images(self, client: &Client, run: &str, name: &str, found: usize) -> Result<()> {
        complete(client, run, name, "objects that gave way", self.images, found)
    }
}

fn complete(client: &Client, run: &str, name: &str, what: &str, noted: u64, found: usize) -> Result<()> {
    if noted == found as u64 {
        return Ok(());
    }
    if client.collection(BEFORE)?.is_none() {
        return Err(restore::unknown(client, Kind::NotFound, "read the run's records", run, name));
    }
    let why = format!("the run noted {noted} {what} of {name}, and the server lists {found} in {BEFORE}");
    Err(ledger::missing(client, why))
}

/// Notes all that the plan's collections hold, but for those that are noted.
pub(super) async fn note(client: &Client, plan: &Arc<Plan>, run: &str, noted: &BTreeSet<&str>) -> Result<()> {
    ledger::make_within(client, BEFORE)?;
    // What a rollback that was stopped left of them is of what was there then.
    forget(client, run, |label| !place(label).is_some_and(|(name, _)| noted.contains(name))).await?;
    for at in 0..plan.tables.len() {
        let name = &plan.tables[at].target;
        if noted.contains(&**name) {
            continue;
        }
        failpoint::hit("existing-before-notes");
        let replaced = replaced(plan, at);
        let images = images(client, run, name, &replaced).await?;
        failpoint::hit("existing-images-noted");
        let stays: Vec<Id> =
            ids_there(client, name).await?.into_iter().filter(|id| !replaced.contains(id)).collect();
        for ids in stays.chunks(IDS_PER_RECORD) {
            add_ids(client, run, Of::Stays, name, ids).await?;
        }
        let mut done = Records::new(client);
        done.add(run, Of::Standing, name, &Standing { images, stays: stays.len() as u64 })?;
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

/// Keeps objects aside, and gives their number.
///
/// # Errors
/// `Refused` where the server would not take one back.
async fn images(client: &Client, run: &str, name: &str, replaced: &HashSet<Id>) -> Result<u64> {
    let (mut records, mut count) = (Records::within(client, BEFORE), 0);
    let mut lost = restore::Lost::look(client, name)?;
    for id in replaced {
        let Some(text) = client.object_text(name, id)? else { continue };
        lost.see(client, id, &text)?;
        let about =
            About { table: name.to_owned(), key: Uuid::from_bytes(*id).to_string(), ..About::default() };
        records.add_about(about, run, Of::Image, &key(name, id), &text)?;
        count += 1;
        if records.bytes() > IMAGES_BYTES {
            std::mem::replace(&mut records, Records::within(client, BEFORE)).put(client).await?;
        }
    }
    lost.none(client)?;
    records.put(client).await?;
    Ok(count)
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

/// The collection that a record is of, and what it is about in it.
pub(super) fn place(label: &Label) -> Option<(&str, &str)> {
    label.key.split_once('/')
}

/// The collections of which a run noted something.
pub(super) async fn names(client: &Client, run: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    ledger::all_labels(client, BEFORE, |label| {
        names.extend(place(&label).filter(|_| label.run == run).map(|(name, _)| name.to_owned()));
    })
    .await?;
    Ok(names)
}

/// The ids of a run's records of one kind of a collection, of those that are listed.
async fn listed(client: &Client, run: &str, of: Of, name: &str) -> Result<Vec<Label>> {
    let mut own = Vec::new();
    let is_own =
        |label: &Label| label.run == run && label.is(of) && place(label).is_some_and(|(own, _)| own == name);
    ledger::labels(client, BEFORE, |label| own.extend(Some(label).filter(is_own))).await?;
    Ok(own)
}

pub(super) fn packed(ids: &[Id]) -> String {
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

/// The ids that records of ids hold.
async fn ids_of(client: &Client, records: &[Label]) -> Result<HashSet<Id>> {
    let mut ids = HashSet::new();
    for part in records.chunks(PAGE) {
        let part: Vec<Id> = part.iter().map(|label| label.id).collect();
        for record in ledger::bodies(client, BEFORE, &part).await? {
            ids.extend(unpacked(&record)?);
        }
    }
    Ok(ids)
}

/// The records of what a run wrote into a collection that was there, all of them; nobody writes for it meanwhile.
pub(super) async fn wrote(client: &Client, run: &str, name: &str) -> Result<Vec<Id>> {
    let mut ids = Vec::new();
    ledger::all_labels(client, BEFORE, |label| {
        let is_of = place(&label).is_some_and(|(own, _)| own == name);
        if label.run == run && label.is(Of::Wrote) && is_of {
            ids.push(label.id);
        }
    })
    .await?;
    Ok(ids)
}

/// How much was noted of a collection; nothing of one that the run made, or that it has not noted yet.
async fn standing(client: &Client, run: &str, name: &str) -> Result<Option<Standing>> {
    let records = ledger::of_kind(client, run, Of::Standing, |of| of == name).await?;
    Ok(records.first().map(Standing::of).transpose()?.flatten())
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

/// Ids of objects of a collection that were there before the run and stay.
pub(super) async fn stays(client: &Client, run: &str, name: &str) -> Result<HashSet<Id>> {
    let noted = standing(client, run, name).await?;
    let ids = ids_of(client, &listed(client, run, Of::Stays, name).await?).await?;
    if let Some(noted) = noted {
        complete(client, run, name, "objects that stay", noted.stays, ids.len())?;
    }
    Ok(ids)
}

/// How many of these are there now.
pub(super) async fn staying(client: &Client, name: &str, stays: &HashSet<Id>) -> Result<u64> {
    let ids: Vec<Id> = stays.iter().copied().collect();
    let listing = Listing { collection: name.to_owned(), ..Listing::default() };
    Ok(client.by_ids(0, &listing, &ids).await?.iter().map(|page| page.len() as u64).sum())
}

/// Ids of objects that are kept aside.
async fn kept_aside(client: &Client, run: &str, name: &str) -> Result<HashSet<Id>> {
    let noted = standing(client, run, name).await?;
    let ids: HashSet<Id> = listed(client, run, Of::Image, name).await?.iter().filter_map(id_of).collect();
    if let Some(noted) = noted {
        noted.has_images(client, run, name, ids.len())?;
    }
    Ok(ids)
}

/// The object that an image is of.
pub(super) fn id_of(label: &Label) -> Option<Id> {
    let (_, id) = place(label)?;
    Uuid::parse_str(id).ok().map(Uuid::into_bytes)
}

/// What a stream knows of a collection that was there.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Ids of objects that are kept aside, once they were asked for.
    kept: Option<HashSet<Id>>,
    /// Whether its objects are on several nodes, of which one may lack some, once that was asked for.
    on_several: Option<bool>,
}

impl Aside {
    /// Notes that these objects are about to be written, where that is allowed.
    ///
    /// # Errors
    /// `Refused` when an object is there that the plan does not replace.
    pub(super) async fn note(
        &mut self,
        client: &Client,
        run: &str,
        notes: &Notes,
        name: &str,
        ids: &[Id],
    ) -> Result<()> {
        for ids in ids.chunks(IDS_PER_RECORD) {
            self.part(client, run, notes, name, ids).await?;
        }
        Ok(())
    }

    /// Where the URL says from how many nodes answers are to come, or the collection says that it is on several.
    fn is_on_several(&mut self, client: &Client, name: &str) -> Result<bool> {
        if let Some(known) = self.on_several {
            return Ok(known);
        }
        let replicas = |found: Collection| found.definition["replicationConfig"]["factor"].as_u64();
        let several = client.config().consistency.is_some()
            || client.collection(name)?.and_then(replicas).is_some_and(|replicas| replicas > 1);
        Ok(*self.on_several.insert(several))
    }

    async fn part(
        &mut self,
        client: &Client,
        run: &str,
        notes: &Notes,
        name: &str,
        ids: &[Id],
    ) -> Result<()> {
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
        if self.is_on_several(client, name)? {
            // One node answered that, and it may have been away when the application wrote.
            for id in ids {
                if !there.contains(id) && client.object_text(name, id)?.is_some() {
                    there.insert(*id);
                }
            }
        }
        if !there.is_empty() {
            if self.kept.is_none() {
                self.kept = Some(kept_aside(client, run, name).await?);
            }
            there.retain(|id| self.kept.as_ref().is_none_or(|aside| !aside.contains(id)));
        }
        if !there.is_empty() {
            // An attempt that was killed may have written them, in chunks of another size.
            let wrote = listed(client, run, Of::Wrote, name).await?;
            there = &there - &ids_of(client, &wrote).await?;
        }
        if let Some(id) = there.iter().min() {
            return Err(Error::new(Kind::Refused, "write objects")
                .store(client.config().redacted())
                .table(name)
                .key(Uuid::from_bytes(*id).to_string())
                .detail(
                    "an object of that id is there, and the plan does not replace it: it holds another key, or a reference that is part of the key leads \
                     elsewhere, or it came after the plan",
                )
                .hint(
                    "plan again; where it is refused again, remove that object, or migrate with another `namespace` of [table.NAME.object]",
                ));
        }
        notes.note(client, run, name, ledger::id(run, Of::Wrote, &key_of_ids(name, ids))).await?;
        add_ids(client, run, Of::Wrote, name, ids).await
    }
}

/// Removes what was noted for a run, where another's stays. What is noted of a collection goes only when that it is complete is no longer
/// on record.
pub(super) async fn forget(client: &Client, run: &str, which: impl Fn(&Label) -> bool) -> Result<()> {
    let mut ids = Vec::new();
    ledger::all_labels(client, BEFORE, |label| {
        if label.run == run && which(&label) {
            ids.push(label.id);
        }
    })
    .await?;
    for ids in ids.chunks(PAGE) {
        client.delete_proven(BEFORE, ids).await?;
        failpoint::hit("existing-page-forgotten");
    }
    Ok(())
}
