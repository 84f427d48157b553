//! Talking to a Weaviate: the schema over REST, objects over gRPC.
//!
//! Invariants: one unary call for each batch, page, count and deletion, so that an answer belongs to its question;
//! the reply to a batch says which objects were refused and proves nothing about the others (a read-back does);
//! nothing is tried again here, because the caller knows what is safe to repeat.
//! Absent on purpose: BatchStream, GraphQL, and objects that are moved over REST, which loses −0 and has no binary vectors.

mod batch;
mod fields;
mod grpc;
mod page;
mod places;
mod proto;
mod rest;
mod rights;
mod roots;
mod schema;
mod search;
mod texts;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use switchover_core::{Error, Kind, Result};
use ureq::http::Method;

pub use batch::{Batch, BatchWriter, MESSAGE_BYTES_MAX, ObjectWriter};
pub use page::{Found, Page};
pub use schema::{Collection, Property, Shard};
pub use search::{Asked, Listing, PAGE_OBJECTS_MAX, Search, VectorsAsked, Words};
pub use texts::same_object;

use self::grpc::{Grpc, Sent};
use self::places::Places;
use super::config::WeaviateConfig;
use super::error;

/// Names of collections that begin so are the runs' own: none of them has tenants.
pub const OWN: &str = "Switchover_";

/// The oldest server that is known to have all that is used: counting over gRPC came with 1.29, and 1.30 is the
/// first whose reads over gRPC give back what this client compares.
pub const OLDEST: (u32, u32) = (1, 30);

/// How long a request that writes may take: the server may be merging segments or building a graph of vectors.
const WRITE_DEADLINE: Duration = Duration::from_secs(300);
/// How long the greeting may take.
const HELLO_DEADLINE: Duration = Duration::from_secs(30);

const BATCH_OBJECTS: &str = "/weaviate.v1.Weaviate/BatchObjects";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Meta {
    /// Its version, such as 1.39.0.
    pub version: String,
    /// Its major and minor version.
    pub release: (u32, u32),
    /// The modules that it has, by name, with what it says of each.
    pub modules: Json,
    /// Its limit on a message over gRPC, in bytes; no more than what is read back in one.
    pub message_bytes_max: usize,
}

/// An object that the server refused: its place in the batch, and the server's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The place in the batch, from zero.
    pub index: usize,
    /// Why, in the server's words, as one line.
    pub why: String,
}

/// A server that answered.
#[derive(Debug)]
pub struct Client {
    config: WeaviateConfig,
    rest: rest::Rest,
    grpc: Grpc,
    meta: Meta,
    /// The longest page that this server gives, as far as it is known.
    page_max: AtomicU32,
    /// How long a request that writes may take, in milliseconds.
    write_deadline_ms: AtomicU64,
    /// When the answer to a request that writes was last lost: it may be at work still.
    lost: Mutex<Option<Instant>>,
}

impl Client {
    /// Greets the server on both ports, with so many connections for gRPC. A server that is too old is refused.
    pub async fn connect(config: &WeaviateConfig, lanes: usize) -> Result<Client> {
        const OPERATION: &str = "connect to Weaviate";
        let places = Arc::new(Places::new(config.http.len()));
        let rest = rest::Rest::new(config, &places)?;
        let grpc = Grpc::new(config, &places, lanes)?;
        let said = rest.call(Method::GET, "/v1/meta", None, OPERATION)?;
        let meta = meta_of(&said).ok_or_else(|| {
            error::malformed(config, OPERATION, "its /v1/meta tells no version: is this a Weaviate?")
        })?;
        if meta.release < OLDEST {
            return Err(Error::new(Kind::Unsupported, OPERATION)
                .store(config.redacted())
                .detail(format!(
                    "the server is Weaviate {}, and the oldest known is {}.{}",
                    meta.version, OLDEST.0, OLDEST.1
                ))
                .hint("update the server"));
        }
        // A wrong port for gRPC is told here and not by the first batch.
        let request = proto::HealthRequest::default();
        let said = grpc.each::<proto::HealthReply>(HEALTH, &request, HELLO_DEADLINE, OPERATION).await;
        serves(config, said, OPERATION)?;
        Ok(Client {
            config: config.clone(),
            rest,
            grpc,
            meta,
            page_max: AtomicU32::new(PAGE_OBJECTS_MAX),
            write_deadline_ms: AtomicU64::new(WRITE_DEADLINE.as_millis() as u64),
            lost: Mutex::default(),
        })
    }

    /// Has another place asked for a while, where there are several, for the one of this lane shows less than there is.
    pub fn pass_over(&self, lane: usize) {
        self.grpc.pass_over(lane);
    }

    /// Has requests that write end within this time, on the server too.
    pub fn write_within(&self, deadline: Duration) {
        let ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.write_deadline_ms.store(ms, Ordering::Relaxed);
    }

    fn write_deadline(&self) -> Duration {
        self.patience(Duration::from_millis(self.write_deadline_ms.load(Ordering::Relaxed)))
    }

    fn patience(&self, at_most: Duration) -> Duration {
        places::patience(self.config.http.len(), at_most)
    }

    /// When the answer to a request that writes was last lost; it may still be carried out.
    pub fn lost_at(&self) -> Option<Instant> {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// What the server said of itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How it was reached.
    pub fn config(&self) -> &WeaviateConfig {
        &self.config
    }

    /// The connections for gRPC; what goes by one lane keeps its order only if each call is awaited.
    pub fn lanes(&self) -> usize {
        self.grpc.lanes()
    }

    /// Whether the server is ready to answer.
    pub fn ready(&self) -> Result<bool> {
        let (status, _) =
            self.rest.send(Method::GET, "/v1/.well-known/ready", None, "ask whether it is ready")?;
        Ok(status == 200)
    }

    /// Whether collections can have aliases.
    pub fn has_aliases(&self) -> bool {
        self.meta.release >= (1, 32)
    }

    /// A writer of batches for this collection, with the tenant and the consistency of the URL.
    pub fn writer(&self, collection: &str) -> BatchWriter {
        BatchWriter::new(collection, self.tenant(collection), self.config.consistency)
    }

    /// The tenant of the URL, in a collection that is the application's.
    pub fn tenant(&self, collection: &str) -> Option<&str> {
        self.config.tenant.as_deref().filter(|_| !collection.starts_with(OWN))
    }

    /// Stores a batch, replacing whole objects of the same UUIDs. Returns the objects that the server refused; that the
    /// others are stored is not proven by it. An error means that any part may be stored.
    pub async fn batch(&self, lane: usize, batch: &Batch) -> Result<Vec<Refused>> {
        const OPERATION: &str = "store a batch of objects";
        let sent = Sent { head: batch.objects.clone(), tail: batch.trailer.clone() };
        let under_way = UnderWay::of(self);
        let reply = self.grpc.bytes(lane, BATCH_OBJECTS, sent, self.write_deadline()).await;
        let reply = reply.map_err(|status| error::of_status(&status, &self.config, OPERATION))?;
        under_way.answered();
        let reply = <proto::BatchObjectsReply as prost::Message>::decode(reply).map_err(|cause| {
            error::malformed(&self.config, OPERATION, "its answer is no message").because(cause)
        })?;
        let refused = reply.errors.into_iter().map(|refused| {
            let index = usize::try_from(refused.index).ok().filter(|index| *index < batch.len());
            let index = index.ok_or_else(|| {
                error::malformed(&self.config, OPERATION, "it refused an object that is not in the batch")
            })?;
            Ok(Refused { index, why: error::shown(&refused.error) })
        });
        refused.collect()
    }
}

/// That one of the places serves gRPC, and that none says something other than that it is away.
fn serves(config: &WeaviateConfig, said: Vec<Result<proto::HealthReply>>, operation: &str) -> Result<()> {
    let mut away = None;
    let mut serving = false;
    for health in said {
        match health {
            Ok(health) if health.status == 1 => serving = true,
            Ok(health) => {
                away = Some(
                    Error::new(Kind::Unavailable, operation)
                        .store(config.redacted())
                        .detail(format!("its gRPC does not serve (status {})", health.status))
                        .hint("the server may be starting: see its log"),
                );
            }
            Err(error) if error.kind() == Kind::Unavailable => away = Some(error),
            Err(error) => return Err(error),
        }
    }
    match away {
        Some(error) if !serving => Err(error),
        _ => Ok(()),
    }
}

/// A request that writes. One that fails, or that nobody waits for to its end, may be carried out later.
struct UnderWay<'c> {
    client: &'c Client,
    answered: bool,
}

impl UnderWay<'_> {
    fn of(client: &Client) -> UnderWay<'_> {
        UnderWay { client, answered: false }
    }

    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.client.lose();
        }
    }
}

fn meta_of(said: &Json) -> Option<Meta> {
    let version = said["version"].as_str()?.to_owned();
    let mut parts = version.split('.');
    let mut number = || parts.next()?.parse().ok();
    let release = (number()?, number()?);
    let message_bytes_max = said["grpcMaxMessageSize"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    Some(Meta {
        release,
        modules: said["modules"].clone(),
        message_bytes_max: message_bytes_max.unwrap_or(MESSAGE_BYTES_MAX).min(grpc::REPLY_BYTES_MAX),
        version,
    })
}

#[cfg(test)]
mod tests {
    //! Versions; the rest is tested against the real server.

    use super::*;

    #[test]
    fn versions_are_read_from_every_known_form() {
        for (version, release) in [
            ("1.39.0", Some((1, 39))),
            ("1.40.0-rc.0", Some((1, 40))),
            ("2.0", Some((2, 0))),
            ("x", None),
            ("1", None),
        ] {
            let meta = meta_of(&serde_json::json!({ "version": version }));
            assert_eq!(meta.map(|meta| meta.release), release, "{version}");
        }
        assert_eq!(meta_of(&Json::Null), None);
    }
}
