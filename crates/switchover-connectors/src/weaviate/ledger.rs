//! The run's own records, in a collection beside the run's: the run, its collections, its checkpoints and
//! steps, and the quarantine.
//!
//! | kind | a record is | written | a crash after it means |
//! |---|---|---|---|
//! | `run` | the run, with its attempt, its plan's mark, its tenant, and whether it is at rest | by `prepare`, first; at rest behind the verdict | the run may have made its collections |
//! | the same, `going` | that what it wrote is being taken back | by `discard`, when the first of it is gone; no more behind the next verdict | a part is gone |
//! | `collection` | a collection that the run makes | before it is made | `discard` drops it, if it is there |
//! | `checkpoint` | a chunk | after all of its objects were acknowledged | it need not be sent again |
//! | `live` | a live run's engine, by its number: how far the server was in the log when it wrote last | after the objects of a batch | the batch is written again |
//! | `standing` | a collection that was there before | when all of `before` is noted of it | it may be written |
//! | `alias` | where an alias led before | before it is moved | it may lead to the run's collection |
//! | `quarantine` | a value or row that the collections cannot hold | before its chunk's checkpoint | it is kept |
//!
//! There are no transactions: every record has an id made of what it says, so writing it twice is writing it once. A
//! checkpoint says that objects were acknowledged, not that they are stored; that is the verification's to say.

mod known;
mod label;

pub(super) use known::{known, lists_all_known, of_this_tenant};
pub(super) use label::{
    Label, Record, all, all_labels, bodies, labels, live_of, missing, of_kind, of_run, run_of,
};

use super::client::{BatchWriter, Client};
use super::store::{TOO_LARGE, Unsent, fitting};
use super::value::Wire;
use label::{listing, record, text};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use switchover_core::digest::{self, Hex};
use switchover_core::plan::Plan;
use switchover_core::{Error, Kind, Result};
use uuid::Uuid;

/// Names of collections that begin so are the runs' own.
pub(super) const PREFIX: &str = super::client::OWN;

/// The collection of records.
pub(super) const RECORDS: &str = "Switchover_record";

/// Its properties: none is indexed, since records are always read from the first to the last.
const PROPERTIES: [&str; 4] = ["run", "kind", "key", BODY];

/// The one that says something, which may be as large as a value of the source.
const BODY: &str = "body";

/// Records whose bodies one request asks for: one may be as large as an object.
const BODIES: usize = 100;

const OPERATION: &str = "write the run's records";

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Run,
    Collection,
    Checkpoint,
    Quarantine,
    Live,
    /// A collection that was there, of which all that was is noted.
    Standing,
    /// An alias that the run leads to a collection, and where it led before.
    Alias,
    /// Ids of objects that were there and stay as they are.
    Stays,
    /// An object that gives way, as it was.
    Image,
    /// Ids of objects that the run is about to write.
    Wrote,
    /// That there is a record of such ids, by its number.
    Note,
}

impl Of {
    fn word(self) -> &'static str {
        match self {
            Of::Run => "run",
            Of::Collection => "collection",
            Of::Checkpoint => "checkpoint",
            Of::Quarantine => "quarantine",
            Of::Live => "live",
            Of::Standing => "standing",
            Of::Alias => "alias",
            Of::Stays => "stays",
            Of::Image => "image",
            Of::Wrote => "wrote",
            Of::Note => "note",
        }
    }
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    pub(super) attempt: i64,
    pub(super) tool: String,
    /// Whether the one process that wrote for it had an answer to each of its requests, so that none can be under way still.
    #[serde(default)]
    pub(super) at_rest: bool,
    /// Whether a live run is being finished.
    #[serde(default)]
    pub(super) left: bool,
    /// The plan that it carries out; none where an earlier program wrote the record.
    #[serde(default)]
    pub(super) plan: Option<PlanMark>,
    /// The tenant whose objects it writes, empty where it writes no tenant's; none where an earlier program wrote the record.
    #[serde(default)]
    pub(super) tenant: Option<String>,
    /// Whether what it wrote since its last verdict is being taken back.
    #[serde(default)]
    pub(super) going: bool,
}

/// What tells a plan from another of the same collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlanMark {
    made_at: String,
    digest: String,
}

impl PlanMark {
    /// Of what neither a journal nor who edits a plan changes.
    pub(super) fn of(plan: &Plan) -> PlanMark {
        let tables: Vec<_> = plan.tables.iter().map(|table| (&table.source, &table.target)).collect();
        let said = json!([
            plan.made_at,
            plan.source.store.label,
            plan.source.content_hash,
            plan.target.label,
            plan.options.existing.is_some(),
            tables,
        ]);
        let digest = Hex(digest::of_bytes(said.to_string().as_bytes())).to_string();
        PlanMark { made_at: plan.made_at.clone(), digest }
    }
}

/// The id of a record, made of what it is of.
pub(super) fn id(run: &str, of: Of, key: &str) -> [u8; 16] {
    let name = format!("{RECORDS}{}", json!([run, of.word(), key]));
    *Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes()).as_bytes()
}

/// What a record is kept of, for messages.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) table: String,
    pub(super) key: String,
    pub(super) column: String,
}

/// Records to write.
#[derive(Debug)]
pub(super) struct Records {
    batch: BatchWriter,
    collection: &'static str,
    /// What is written, by the records' ids.
    bodies: BTreeMap<[u8; 16], String>,
    /// In the order of the batch.
    about: Vec<About>,
}

impl Records {
    pub(super) fn new(client: &Client) -> Records {
        Records::within(client, RECORDS)
    }

    /// In another collection than that of records.
    pub(super) fn within(client: &Client, collection: &'static str) -> Records {
        Records { batch: client.writer(collection), collection, bodies: BTreeMap::new(), about: Vec::new() }
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// Adds one.
    pub(super) fn add(&mut self, run: &str, of: Of, key: &str, body: &impl Serialize) -> Result<()> {
        self.add_about(About::default(), run, of, key, body)
    }

    /// Adds one that may be as large as a value or an object.
    pub(super) fn add_about(
        &mut self,
        about: About,
        run: &str,
        of: Of,
        key: &str,
        body: &impl Serialize,
    ) -> Result<()> {
        let body = text_of(body)?;
        let id = id(run, of, key);
        let mut object = self.batch.object(id);
        for (name, text) in PROPERTIES.iter().zip([run, of.word(), key, &body]) {
            object.property(name, &Wire::Text(text)).map_err(|unfit| unwritten(unfit.to_string()))?;
        }
        object.finish();
        self.bodies.insert(id, body);
        self.about.push(about);
        Ok(())
    }

    /// Their ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = [u8; 16]> {
        self.bodies.keys().copied()
    }

    /// Writes them, in as many requests as that takes; they are there once this returns.
    ///
    /// # Errors
    /// `Refused` where one alone is larger than a message may be.
    pub(super) async fn put(mut self, client: &Client) -> Result<()> {
        if self.bodies.is_empty() {
            return Ok(());
        }
        let refused = match fitting(client, 0, &self.batch.take()).await {
            Ok(refused) => refused,
            Err(Unsent::Failed(error)) => return Err(error),
            Err(Unsent::TooLarge { index, bytes, most }) => {
                let about = self.about.into_iter().nth(index).unwrap_or_default();
                return Err(Error::new(Kind::Refused, OPERATION)
                    .store(client.config().redacted())
                    .table(about.table)
                    .key(about.key)
                    .column(about.column)
                    .detail(format!(
                        "what is to be kept aside has {bytes} bytes as a message, and the server takes {most} at most"
                    ))
                    .hint(TOO_LARGE));
            }
        };
        if let Some(refused) = refused.into_iter().next() {
            return Err(lost(client, format!("the server refuses a record: {}", refused.why)));
        }
        prove(client, self.collection, &self.bodies).await
    }
}

/// Writes one record past the batches that are under way; it is there once this returns.
///
/// The server has one queue for the objects of all batches, so a record in a batch of its own comes behind every object that
/// other streams have sent: each stream would wait for the slowest, and in the end the server for all of them.
pub(super) async fn put_past_batches(
    client: &Client,
    collection: &'static str,
    run: &str,
    of: Of,
    key: &str,
    body: &impl Serialize,
) -> Result<()> {
    let (id, text) = (id(run, of, key), text_of(body)?);
    let properties = PROPERTIES.iter().zip([run, of.word(), key, &text]);
    let properties = properties.map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
    if client.add_object(collection, &id, &Json::Object(properties))? {
        return prove(client, collection, &BTreeMap::from([(id, text)])).await;
    }
    // It is there from before, or refused: a batch replaces it, or says why.
    let mut record = Records::within(client, collection);
    record.add(run, of, key, body)?;
    record.put(client).await
}

/// Reads records back: an acknowledgement is no proof, and nor is one of the same id, which may be what was to be replaced.
async fn prove(client: &Client, collection: &str, written: &BTreeMap<[u8; 16], String>) -> Result<()> {
    let ids: Vec<[u8; 16]> = written.keys().copied().collect();
    let mut proven = 0;
    for ids in ids.chunks(BODIES) {
        for page in client.by_ids(0, &listing(collection, &[BODY]), ids).await? {
            for found in client.objects(&page) {
                let found = found?;
                let is_it = written.get(&found.uuid).is_some_and(|body| *body == text(&found, 0));
                proven += usize::from(is_it);
            }
        }
    }
    match proven == written.len() {
        true => Ok(()),
        false => Err(lost(client, "the server acknowledged a record, and does not hold it".into())),
    }
}

fn text_of(body: &impl Serialize) -> Result<String> {
    serde_json::to_string(body).map_err(|error| unwritten(error.to_string()))
}

fn unwritten(why: String) -> Error {
    Error::new(Kind::Internal, OPERATION).detail(why)
}

fn lost(client: &Client, why: String) -> Error {
    Error::new(Kind::Unavailable, OPERATION)
        .store(client.config().redacted())
        .detail(why)
        .hint("see whether a shard of the server is read-only, and its log")
}

/// Makes the collection of records, where it is not there.
pub(super) fn make(client: &Client) -> Result<()> {
    make_within(client, RECORDS)
}

/// Makes another collection of the same form.
pub(super) fn make_within(client: &Client, collection: &str) -> Result<()> {
    if client.collection(collection)?.is_some() {
        return Ok(());
    }
    let property = |name: &&str| {
        json!({ "name": name, "dataType": ["text"], "tokenization": "field",
                "indexFilterable": false, "indexSearchable": false })
    };
    let properties: Vec<_> = PROPERTIES.iter().map(property).collect();
    let class = json!({ "class": collection, "vectorizer": "none", "properties": properties,
        "description": "Records of Switchover's runs: rollback and cleanup remove them." });
    client.create_collection(&class).map(drop)
}

/// Records of a run by their keys.
pub(super) async fn by_keys<T: DeserializeOwned>(
    client: &Client,
    run: &str,
    of: Of,
    keys: &[String],
) -> Result<Vec<T>> {
    let ids: Vec<[u8; 16]> = keys.iter().map(|key| id(run, of, key)).collect();
    let mut records = Vec::new();
    for page in client.by_ids(0, &listing(RECORDS, &PROPERTIES), &ids).await? {
        for found in client.objects(&page) {
            records.push(record(&found?).read()?);
        }
    }
    Ok(records)
}

/// One record of a run.
pub(super) async fn one<T: DeserializeOwned>(
    client: &Client,
    run: &str,
    of: Of,
    key: &str,
) -> Result<Option<T>> {
    Ok(by_keys(client, run, of, &[key.to_owned()]).await?.pop())
}

/// Whether a record is there, in that collection.
pub(super) async fn is_there(
    client: &Client,
    collection: &str,
    run: &str,
    of: Of,
    key: &str,
) -> Result<bool> {
    let pages = client.by_ids(0, &listing(collection, &[]), &[id(run, of, key)]).await?;
    Ok(pages.iter().any(|page| !page.is_empty()))
}

/// Says something else of a run, where it is on record.
async fn revise(client: &Client, run: &str, change: impl FnOnce(&mut RunRecord)) -> Result<()> {
    let Some(before) = known(client, run)? else { return Ok(()) };
    let mut record = before.clone();
    change(&mut record);
    if record == before {
        return Ok(());
    }
    let mut put = Records::new(client);
    put.add(run, Of::Run, "", &record)?;
    put.put(client).await
}

/// Says of a run that a request of it can be under way again.
pub(super) async fn not_at_rest(client: &Client, run: &str) -> Result<()> {
    revise(client, run, |record| record.at_rest = false).await
}

/// Says of a run that it was found to be whole, and whether no request of it can be under way still.
pub(super) async fn whole(client: &Client, run: &str, at_rest: bool) -> Result<()> {
    revise(client, run, |record| {
        record.at_rest |= at_rest;
        record.going = false;
    })
    .await
}

/// Says of a run that the first of what it wrote was taken back. Whoever goes on with that cannot know what this process had under way.
pub(super) async fn going(client: &Client, run: &str) -> Result<()> {
    revise(client, run, |record| {
        record.at_rest = false;
        record.going = true;
    })
    .await
}

/// Says of a live run that it is being finished.
pub(super) async fn leave(client: &Client, run: &str) -> Result<()> {
    revise(client, run, |record| record.left = true).await
}

/// Removes records of a run.
pub(super) async fn remove(client: &Client, run: &str, which: impl Fn(&Label) -> bool) -> Result<()> {
    let mut records = of_run(client, run).await?;
    records.retain(which);
    let ids: Vec<[u8; 16]> = records.iter().map(|record| record.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    client.delete_ids(0, RECORDS, &ids).await.map(drop)
}

#[cfg(test)]
mod tests {
    //! With a server of its own, because others empty the shared one: what is written past the batches takes the place of what is there.

    use super::*;
    use crate::weaviate::config::WeaviateConfig;
    use switchover_testkit::Weaviate;
    use switchover_testkit::weaviate::{Liar, Lie};

    /// Batches behind each other, of which a quarter is not passed on.
    const TRIES: u32 = 80;

    #[test]
    fn a_record_is_not_proven_by_the_one_that_it_replaces() {
        let server = Weaviate::start().expect("a server");
        let line = Liar::start(server.grpc_port(), 1).expect("a line");
        let url = format!("weaviate://127.0.0.1:{}?grpc={}", server.http_port(), line.port());
        let config = WeaviateConfig::parse(&url, &|_| None).expect("the URL");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let client = Client::connect(&config, 1).await.expect("the server answers");
            make(&client).expect("the collection of records");
            put_past_batches(&client, RECORDS, "run", Of::Live, "1", &0_u32).await.expect("written");
            line.tell(&[Lie::Dropped]);
            let held = async || one::<u32>(&client, "run", Of::Live, "1").await.expect("read");
            for number in (2..=TRIES).step_by(2) {
                let mut record = Records::new(&client);
                record.add("run", Of::Live, "1", &number).expect("added");
                let written = record.put(&client).await;
                assert!(written.is_err() || held().await == Some(number), "{number}");
                let written = put_past_batches(&client, RECORDS, "run", Of::Live, "1", &(number + 1)).await;
                assert!(written.is_err() || held().await == Some(number + 1), "{number}");
            }
        });
        assert!(line.told()[&Lie::Dropped] > 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_past_the_batches_takes_the_place_of_the_one_before() {
        let server = Weaviate::start().expect("a server");
        let config = WeaviateConfig::parse(&server.url(), &|_| None);
        let client = Client::connect(&config.expect("the kit's URL"), 1).await.expect("the server answers");
        make(&client).expect("the collection of records");
        let run = "run".to_owned();
        for body in ["first", "\u{0} \" äß second"] {
            put_past_batches(&client, RECORDS, &run, Of::Checkpoint, "a \"key\"", &body)
                .await
                .expect("written");
            let found: Option<String> = one(&client, &run, Of::Checkpoint, "a \"key\"").await.expect("read");
            assert_eq!(found.as_deref(), Some(body));
        }
        remove(&client, &run, |_| true).await.expect("removed");
    }
}
