//! How collections that were there before the run get back what they held.
//!
//! A rollback deletes the objects that `wrote` names and no image has, and puts every image back that is not as it was. Nothing else of
//! a collection is touched.
//!
//! Invariants: nothing is deleted before all that was noted is known to be there; one image that the server does not take holds no other
//! up, and is named.

use super::before::{BEFORE, Id, PAGE, Standing, id_of, place, unpacked};
use super::client::{Client, Collection, same_object};
use super::ledger::{self, Of};
use super::written;
use std::collections::{BTreeMap, HashMap, HashSet};
use switchover_core::{Error, Kind, Result, failpoint};
use uuid::Uuid;

const OPERATION: &str = "put objects back";

/// Objects that an error names; all of a collection are too many to read.
const NAMED_MAX: usize = 10;

/// What a run noted of a collection that was there.
#[derive(Debug, Default)]
struct Noted {
    /// The objects that gave way.
    aside: HashSet<Id>,
    /// The records of them.
    images: Vec<Id>,
    /// The records of what was written.
    wrote: Vec<Id>,
    /// The notes of these records.
    notes: Vec<Id>,
}

/// An object that the server did not take back, and why.
struct Refused {
    id: Id,
    error: Error,
}

/// Gives collections back what they held.
///
/// A request of a process that was killed, or whose answer was lost, may be at work on the server still, and nothing orders it behind
/// what is done here: it would put objects of the run's into the collection when nobody knows any more that they are the run's.
/// So where the run is not at rest, and it was waited for, what came in between all the same is taken back by a second look.
pub(super) async fn restore(
    client: &Client,
    run: &str,
    names: &[&str],
    attempts: i64,
    at_rest: bool,
) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let (mut images, mut refused) = (0, Vec::new());
    let mut going = Going { client, run, said: false };
    for _ in 0..if at_rest { 1 } else { 2 } {
        refused.clear();
        let all = noted(client, run, names, attempts).await?;
        ledger::not_at_rest(client, run).await?;
        failpoint::hit("discard-going");
        images = all.iter().map(|(_, noted)| noted.images.len()).sum();
        for (collection, noted) in &all {
            restore_one(client, collection, noted, &mut going, &mut refused).await?;
        }
        failpoint::hit("existing-put-back");
    }
    match refused.first() {
        None => Ok(()),
        Some(first) => Err(Error::new(first.error.kind(), OPERATION)
            .store(client.config().redacted())
            .detail(format!("{} of {images} objects did not come back as they were: {}", refused.len(), said(&refused)))
            .hint(format!(
                "their texts are kept in the collection {BEFORE}, and all others are back; see whether a shard is read-only, and whether a \
                 collection that they refer to is gone, and try again"
            ))),
    }
}

fn said(refused: &[Refused]) -> String {
    let named = refused.iter().take(NAMED_MAX).map(|refused| {
        let subject = refused.error.subject();
        format!("{} of {} ({})", Uuid::from_bytes(refused.id), subject.table, refused.error.why())
    });
    let more = match refused.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    named.collect::<Vec<_>>().join("; ") + &more
}

/// All that is noted of these collections, but for those that are gone and of which nothing is missed.
///
/// # Errors
/// `Changed` where what was noted or the collection is gone, `Unavailable` where not all of it is shown.
async fn noted(
    client: &Client,
    run: &str,
    names: &[&str],
    attempts: i64,
) -> Result<Vec<(Collection, Noted)>> {
    let mut all: HashMap<String, Noted> = HashMap::new();
    ledger::all_labels(client, BEFORE, |label| {
        let Some((name, _)) = place(&label).filter(|_| label.run == run) else { return };
        let noted = all.entry(name.to_owned()).or_default();
        if label.is(Of::Image) {
            noted.images.push(label.id);
            noted.aside.extend(id_of(&label));
        } else if label.is(Of::Wrote) {
            noted.wrote.push(label.id);
        } else if label.is(Of::Note) {
            noted.notes.push(label.id);
        }
    })
    .await?;
    let has_notes = client.collection(BEFORE)?.is_some();
    let standing: Vec<Id> = names.iter().map(|name| ledger::id(run, Of::Standing, name)).collect();
    let mut found = Vec::new();
    for record in ledger::bodies(client, ledger::RECORDS, &standing).await? {
        let name = &*record.label.key;
        let noted = all.remove(name).unwrap_or_default();
        let Some(collection) = client.collection(name)? else {
            if noted.aside.is_empty() {
                continue;
            }
            return Err(gone(client, name, noted.aside.len()));
        };
        if !has_notes {
            return Err(unknown(client, Kind::Changed, OPERATION, run, name));
        }
        if let Some(standing) = Standing::of(&record)? {
            standing.has_images(client, run, name, noted.aside.len())?;
        }
        written::lists_all(client, run, name, attempts, &noted.notes, &noted.wrote).await?;
        found.push((collection, noted));
    }
    Ok(found)
}

fn gone(client: &Client, name: &str, aside: usize) -> Error {
    Error::new(Kind::Changed, OPERATION)
        .store(client.config().redacted())
        .table(name)
        .detail(format!(
            "the collection is gone, and {aside} of its objects gave way to the run's: they are kept in {BEFORE}"
        ))
        .hint(format!("make the collection again, as it was, and try again; or remove the collection {BEFORE}, and with it those objects"))
}

/// That all which was noted of a collection is gone.
pub(super) fn unknown(client: &Client, kind: Kind, operation: &'static str, run: &str, name: &str) -> Error {
    let standing = Uuid::from_bytes(ledger::id(run, Of::Standing, name));
    Error::new(kind, operation)
        .store(client.config().redacted())
        .table(name)
        .detail(format!(
            "the collection {BEFORE} is gone, so that nobody knows which of its objects are the run's, nor what gave way to them"
        ))
        .hint(format!(
            "restore {BEFORE} from a backup of the server, and try again; or, for {name} to stay as it is now, remove the object {standing} \
             of the collection {}, and take the run back with `rollback --discard-target-changes`",
            ledger::RECORDS
        ))
}

/// Gives a collection back what it held: the run's objects go, and what gave way comes back.
async fn restore_one(
    client: &Client,
    collection: &Collection,
    noted: &Noted,
    going: &mut Going<'_>,
    refused: &mut Vec<Refused>,
) -> Result<()> {
    let name = &*collection.name;
    for ids in noted.wrote.chunks(PAGE) {
        for record in ledger::bodies(client, BEFORE, ids).await? {
            let gone: Vec<Id> =
                unpacked(&record)?.into_iter().filter(|id| !noted.aside.contains(id)).collect();
            client.delete_proven(name, &gone).await?;
            going.say().await?;
        }
    }
    failpoint::hit("existing-deleted");
    for ids in noted.images.chunks(PAGE) {
        for record in ledger::bodies(client, BEFORE, ids).await? {
            let Some(id) = id_of(&record.label) else { continue };
            match put_back(client, collection, &id, &record.read::<String>()?) {
                Err(error) if matches!(error.kind(), Kind::Rejected | Kind::Different) => {
                    refused.push(Refused { id, error });
                }
                done => done?,
            }
            going.say().await?;
        }
    }
    Ok(())
}

/// Says once of a run, when the first of it is gone, that it is being taken back.
struct Going<'a> {
    client: &'a Client,
    run: &'a str,
    said: bool,
}

impl Going<'_> {
    async fn say(&mut self) -> Result<()> {
        if !self.said {
            ledger::going(self.client, self.run).await?;
            self.said = true;
        }
        Ok(())
    }
}

/// Puts an object back, unless it is as it was.
fn put_back(client: &Client, collection: &Collection, id: &Id, image: &str) -> Result<()> {
    let name = &*collection.name;
    let same = |text: Option<String>| text.is_some_and(|text| same_object(&text, image));
    if same(client.object_text(name, id)?) {
        return Ok(());
    }
    client.put_object_text(collection, id, image)?;
    failpoint::hit("existing-restored");
    match same(client.object_text(name, id)?) {
        true => Ok(()),
        false => Err(Error::new(Kind::Different, OPERATION)
            .store(client.config().redacted())
            .table(name)
            .detail("it does not read back as it was before the run")),
    }
}

/// Objects that no rollback could put back, of those that are to give way. The server takes a reference to an object that is gone, but
/// not where that one's collection is gone, too, nor where the objects are a tenant's.
#[derive(Debug)]
pub(super) struct Lost {
    collection: Collection,
    /// All collections, by name.
    others: BTreeMap<String, Collection>,
    /// What was asked for, and whether it is there.
    asked: HashMap<(String, String), bool>,
    /// The object, and what it refers to.
    found: Vec<(Id, String)>,
}

impl Lost {
    /// Begins to look through a collection's objects.
    pub(super) fn look(client: &Client, name: &str) -> Result<Lost> {
        let others: BTreeMap<_, _> =
            client.schema()?.into_iter().map(|collection| (collection.name.clone(), collection)).collect();
        let collection = others.get(name).cloned().ok_or_else(|| {
            Error::new(Kind::Changed, "note what is there")
                .store(client.config().redacted())
                .table(name)
                .detail("the collection is gone")
                .hint("plan again")
        })?;
        Ok(Lost { collection, others, asked: HashMap::new(), found: Vec::new() })
    }

    /// Looks at an object's text.
    pub(super) fn see(&mut self, client: &Client, id: &Id, text: &str) -> Result<()> {
        for (_, beacon) in self.collection.references_in(text) {
            // One of an old form names no collection, and is always taken.
            let Some((name, other)) = beacon
                .rsplit_once('/')
                .and_then(|(before, other)| Some((before.strip_prefix("weaviate://localhost/")?, other)))
            else {
                continue;
            };
            let is_taken = match self.others.get(name) {
                None => false,
                Some(_) if !self.collection.tenants => true,
                Some(to) => match self.asked.get(&(name.to_owned(), other.to_owned())) {
                    Some(known) => *known,
                    None => {
                        let is_there = client.holds(to, other)?;
                        self.asked.insert((name.to_owned(), other.to_owned()), is_there);
                        is_there
                    }
                },
            };
            if !is_taken {
                self.found.push((*id, beacon));
                break;
            }
        }
        Ok(())
    }

    /// That there is none.
    ///
    /// # Errors
    /// `Refused` where there are some, with the first of them.
    pub(super) fn none(&self, client: &Client) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let named = self.found.iter().take(NAMED_MAX);
        let named: Vec<String> = named.map(|(id, to)| format!("{} to {to}", Uuid::from_bytes(*id))).collect();
        Err(Error::new(Kind::Refused, "keep aside what gives way")
            .store(client.config().redacted())
            .table(&*self.collection.name)
            .detail(format!(
                "{} of its objects refer to what is gone, so that the server would not take them back at a rollback: {}{}",
                self.found.len(),
                named.join(", "),
                if self.found.len() > NAMED_MAX { " and others" } else { "" }
            ))
            .hint("take those references out of them, or leave these objects as they are (`--on-conflict keep`)"))
    }
}
