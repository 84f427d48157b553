//! Reading, counting, finding and deleting objects, over gRPC.
//!
//! Invariants: a listing goes by UUID, and a page says where the next begins; a page that is too large for one answer
//! is asked for again in halves, so that large objects do not stop a read; a page is looked through before it is used.
//! A listing is no snapshot: what is written meanwhile may be in it or not.
//! Absent on purpose: offsets, which skip and repeat objects while others are written.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use switchover_core::{Error, Kind, Result};
use tonic::Code;

use super::grpc::Sent;
use super::page::{Found, Page};
use super::{Client, UnderWay, proto};
use crate::weaviate::error;
use crate::weaviate::value::{Wire, uuid_text};

/// The most objects that the server gives in one answer (`QUERY_MAXIMUM_RESULTS`, unless it was changed).
pub const PAGE_OBJECTS_MAX: u32 = 10_000;
/// A page that a server refuses to give for its length alone is asked for again down to this: below, the reason is
/// another one.
const PAGE_OBJECTS_MIN: u32 = 50;
/// How many UUIDs one filter names: a filter of 10,000 is some 400 kB, and the server looks each up.
const IDS_MAX: usize = 10_000;
/// How long a page may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(300);

const SEARCH: &str = "/weaviate.v1.Weaviate/Search";
const AGGREGATE: &str = "/weaviate.v1.Weaviate/Aggregate";
const BATCH_DELETE: &str = "/weaviate.v1.Weaviate/BatchDelete";

/// The name by which a filter means an object's own UUID.
const ID: &str = "_id";

/// A property to be read. Blobs, objects and references come only if named, and so everything is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its name, as the server keeps it.
    pub name: String,
    /// What is asked of an object inside it; empty for a property that is no object.
    pub nested: Vec<Asked>,
}

impl Asked {
    /// A property that is no object.
    pub fn plain(name: impl Into<String>) -> Asked {
        Asked { name: name.into(), nested: Vec::new() }
    }
}

/// Which vectors are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VectorsAsked {
    /// None.
    #[default]
    None,
    /// The one without a name.
    Unnamed,
    /// These.
    Named(Vec<String>),
}

/// What is read of a collection's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The collection.
    pub collection: String,
    /// The properties, in the order in which they are wanted.
    pub properties: Vec<Asked>,
    /// The references, by name.
    pub references: Vec<String>,
    /// The vectors.
    pub vectors: VectorsAsked,
}

/// Which objects a search is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Words {
    /// By words, in these properties (none: in all that are searchable).
    Bm25 {
        /// The words.
        query: String,
        /// The properties.
        properties: Vec<String>,
    },
    /// By words and by vector.
    Hybrid {
        /// The words.
        query: String,
        /// The properties.
        properties: Vec<String>,
        /// The vector; without one the server makes it of the words, if it has a module for that.
        vector: Option<Vec<f32>>,
        /// 0 for words alone, 1 for the vector alone.
        alpha: f32,
    },
    /// By vector.
    NearVector(Vec<f32>),
}

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// What is read of what is found.
    pub listing: Listing,
    /// What is looked for.
    pub words: Words,
    /// Which vector is compared, where they have names.
    pub target: Option<String>,
    /// At most so many.
    pub limit: u32,
}

impl Client {
    /// Up to `limit` objects with UUIDs behind `after` (from the first, without), in the order of their UUIDs. `after`
    /// need not exist. Fewer than `limit`, even none, do not mean the end unless the page is empty.
    pub async fn list(
        &self,
        lane: usize,
        listing: &Listing,
        after: Option<[u8; 16]>,
        limit: u32,
    ) -> Result<Page> {
        const OPERATION: &str = "read a page of objects";
        let page_max = self.page_max.load(Ordering::Relaxed);
        let mut request = self.request(listing, limit.min(page_max));
        request.after = after.map(|uuid| text_of(&uuid)).unwrap_or_default();
        let mut first = None;
        loop {
            let failed = match self.page(lane, &request, listing, OPERATION).await {
                Ok(page) => {
                    page.ascends(after).map_err(|wrong| {
                        error::malformed(&self.config, OPERATION, wrong.to_string())
                            .table(&*listing.collection)
                    })?;
                    if first.is_some() {
                        self.page_max.fetch_min(request.limit, Ordering::Relaxed);
                    }
                    return Ok(page);
                }
                Err(failed) => failed,
            };
            // A server may be set to give less than is usual, and says so without a code of its own.
            let shorter = failed.error.kind() == Kind::Rejected && request.limit / 2 >= PAGE_OBJECTS_MIN;
            if !(shorter || failed.too_large && request.limit > 1) {
                return Err(first.unwrap_or(failed.error).table(&*listing.collection));
            }
            if !failed.too_large && first.is_none() {
                first = Some(failed.error);
            }
            request.limit /= 2;
        }
    }

    /// The objects of these UUIDs that exist, in no order.
    pub async fn by_ids(&self, lane: usize, listing: &Listing, uuids: &[[u8; 16]]) -> Result<Vec<Page>> {
        const OPERATION: &str = "read objects by their UUIDs";
        let mut pages = Vec::new();
        let page_max = self.page_max.load(Ordering::Relaxed) as usize;
        let mut parts: Vec<&[[u8; 16]]> = uuids.chunks(IDS_MAX.min(page_max)).collect();
        while let Some(part) = parts.pop() {
            let limit = u32::try_from(part.len()).unwrap_or(PAGE_OBJECTS_MAX);
            let mut request = self.request(listing, limit);
            request.filters = Some(ids(part));
            match self.page(lane, &request, listing, OPERATION).await {
                Ok(page) => {
                    let asked: HashSet<&[u8; 16]> = part.iter().collect();
                    page.is_of(&asked).map_err(|wrong| {
                        error::malformed(&self.config, OPERATION, wrong.to_string())
                            .table(&*listing.collection)
                    })?;
                    pages.push(page);
                }
                Err(failed)
                    if part.len() > 1
                        && (failed.too_large
                            || (failed.error.kind() == Kind::Rejected
                                && part.len() / 2 >= PAGE_OBJECTS_MIN as usize)) =>
                {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([left, right]);
                }
                Err(failed) => return Err(failed.error.table(&*listing.collection)),
            }
        }
        Ok(pages)
    }

    /// The objects of which a property has a value, in the descending order of these properties.
    pub async fn newest(
        &self,
        listing: &Listing,
        property: &str,
        value: &Wire<'_>,
        order: &[String],
        limit: u32,
    ) -> Result<Page> {
        const OPERATION: &str = "read the newest objects";
        let mut request = self.request(listing, limit.min(PAGE_OBJECTS_MAX));
        let value = match value {
            Wire::Text(text) | Wire::Date(text) => proto::TestValue::Text((*text).to_owned()),
            Wire::Uuid(uuid) => proto::TestValue::Text(text_of(uuid)),
            Wire::Int(number) => proto::TestValue::Int(*number),
            Wire::Number(number) => proto::TestValue::Number(*number),
            Wire::Bool(truth) => proto::TestValue::Boolean(*truth),
            other => {
                return Err(Error::new(Kind::Unsupported, OPERATION)
                    .table(&*listing.collection)
                    .detail(format!("objects are not found by a {}", other.kind()))
                    .hint("name a column of numbers, texts, times or UUIDs"));
            }
        };
        request.filters = Some(proto::Filters {
            operator: proto::Operator::Equal.into(),
            filters: Vec::new(),
            test_value: Some(value),
            target: Some(proto::FilterTarget { property: Some(property.to_owned()) }),
        });
        let by = |name: &String| proto::SortBy { ascending: false, path: vec![name.clone()] };
        request.sort_by = order.iter().map(by).collect();
        let page = self.page(0, &request, listing, OPERATION).await;
        page.map_err(|failed| failed.error.table(&*listing.collection))
    }

    /// The objects that a search finds, the best first.
    pub async fn search(&self, search: &Search) -> Result<Page> {
        const OPERATION: &str = "search";
        let mut request = self.request(&search.listing, search.limit.min(PAGE_OBJECTS_MAX));
        let metadata = request.metadata.get_or_insert_default();
        let targets = || search.target.clone().map(|name| proto::Targets { target_vectors: vec![name] });
        match &search.words {
            Words::Bm25 { query, properties } => {
                metadata.score = true;
                request.bm25_search =
                    Some(proto::Bm25 { query: query.clone(), properties: properties.clone() });
            }
            Words::Hybrid { query, properties, vector, alpha } => {
                metadata.score = true;
                request.hybrid_search = Some(proto::Hybrid {
                    query: query.clone(),
                    properties: properties.clone(),
                    alpha: *alpha,
                    fusion_type: 2,
                    targets: targets(),
                    vectors: vector.as_deref().map(vector_of).into_iter().collect(),
                });
            }
            Words::NearVector(vector) => {
                metadata.distance = true;
                request.near_vector =
                    Some(proto::NearVector { targets: targets(), vectors: vec![vector_of(vector)] });
            }
        }
        let page = self.page(0, &request, &search.listing, OPERATION).await;
        page.map_err(|failed| failed.error.table(&*search.listing.collection))
    }

    /// The number of objects of a collection, as the server counts them.
    pub async fn count(&self, collection: &str) -> Result<u64> {
        const OPERATION: &str = "count the objects of a collection";
        let request = proto::AggregateRequest {
            collection: collection.to_owned(),
            tenant: self.tenant(collection).unwrap_or_default().to_owned(),
            objects_count: true,
            filters: None,
        };
        let reply: proto::AggregateReply = self
            .grpc
            .call(0, AGGREGATE, &request, self.patience(PAGE_DEADLINE), OPERATION)
            .await
            .map_err(|e| e.table(collection))?;
        let count = reply.single_result.and_then(|single| single.objects_count);
        count.and_then(|count| u64::try_from(count).ok()).ok_or_else(|| {
            error::malformed(&self.config, OPERATION, "its answer holds no number").table(collection)
        })
    }

    /// Deletes the objects of these UUIDs, and returns how many there were. What the server refuses to delete is an
    /// error; that the others are gone is proven by reading alone.
    pub async fn delete_ids(&self, lane: usize, collection: &str, uuids: &[[u8; 16]]) -> Result<u64> {
        const OPERATION: &str = "delete objects";
        let mut deleted = 0;
        for part in uuids.chunks(IDS_MAX) {
            loop {
                let request = proto::BatchDeleteRequest {
                    collection: collection.to_owned(),
                    filters: Some(ids(part)),
                    verbose: false,
                    consistency_level: self.consistency(),
                    tenant: self.tenant(collection).map(str::to_owned),
                };
                let under_way = UnderWay::of(self);
                let reply: proto::BatchDeleteReply = self
                    .grpc
                    .call(lane, BATCH_DELETE, &request, self.write_deadline(), OPERATION)
                    .await
                    .map_err(|e| e.table(collection))?;
                under_way.answered();
                if reply.failed > 0 || reply.matches > 0 && reply.successful <= 0 {
                    return Err(Error::new(Kind::Rejected, OPERATION)
                        .store(self.config.redacted())
                        .table(collection)
                        .detail(format!(
                            "the server did not delete {} of {} objects",
                            reply.failed.max(reply.matches.saturating_sub(reply.successful)),
                            reply.matches
                        ))
                        .hint("see the server's log; a shard may be read-only"));
                }
                deleted += u64::try_from(reply.successful).unwrap_or(0);
                // The server handles a limited number of matches at a time, and counts those that it saw.
                if reply.matches <= reply.successful {
                    break;
                }
            }
        }
        Ok(deleted)
    }

    /// Deletes the objects of these UUIDs, and reads back that none of them is left.
    pub async fn delete_proven(&self, collection: &str, uuids: &[[u8; 16]]) -> Result<()> {
        self.delete_ids(0, collection, uuids).await?;
        let listing = Listing { collection: collection.to_owned(), ..Listing::default() };
        match self.by_ids(0, &listing, uuids).await?.iter().map(Page::len).sum() {
            0_usize => Ok(()),
            left => Err(Error::new(Kind::Unavailable, "delete objects")
                .store(self.config.redacted())
                .table(collection)
                .detail(format!(
                    "the server acknowledged that {} objects were deleted, and still shows {left} of them",
                    uuids.len()
                ))
                .hint("see the server's log; a shard may be read-only")),
        }
    }

    /// The objects of a page, each looked at for what was asked.
    pub fn objects<'p>(&self, page: &'p Page) -> impl Iterator<Item = Result<Found<'p>>> + use<'p, '_> {
        page.objects().map(|found| {
            found.map_err(|wrong| error::malformed(&self.config, "read found objects", wrong.to_string()))
        })
    }

    fn consistency(&self) -> Option<i32> {
        let level = self.config.consistency.map(super::batch::level_number);
        level.and_then(|level| i32::try_from(level).ok())
    }

    fn request(&self, listing: &Listing, limit: u32) -> proto::SearchRequest {
        let (plain, objects): (Vec<&Asked>, Vec<&Asked>) =
            listing.properties.iter().partition(|asked| asked.nested.is_empty());
        let reference = |name: &String| proto::RefPropertiesRequest {
            reference_property: name.clone(),
            metadata: Some(proto::MetadataRequest { uuid: true, ..Default::default() }),
        };
        proto::SearchRequest {
            collection: listing.collection.clone(),
            tenant: self.tenant(&listing.collection).unwrap_or_default().to_owned(),
            consistency_level: self.consistency(),
            properties: Some(proto::PropertiesRequest {
                non_ref_properties: plain.iter().map(|asked| asked.name.clone()).collect(),
                ref_properties: listing.references.iter().map(reference).collect(),
                object_properties: objects.iter().map(|asked| nested(asked)).collect(),
            }),
            metadata: Some(proto::MetadataRequest {
                uuid: true,
                vector: listing.vectors == VectorsAsked::Unnamed,
                vectors: match &listing.vectors {
                    VectorsAsked::Named(names) => names.clone(),
                    VectorsAsked::None | VectorsAsked::Unnamed => Vec::new(),
                },
                ..Default::default()
            }),
            limit,
            uses_127_api: true,
            ..Default::default()
        }
    }

    async fn page(
        &self,
        lane: usize,
        request: &proto::SearchRequest,
        listing: &Listing,
        operation: &str,
    ) -> Result<Page, Failed> {
        let sent = Sent { head: prost::Message::encode_to_vec(request).into(), tail: bytes::Bytes::new() };
        let reply =
            self.grpc.bytes(lane, SEARCH, sent, self.patience(PAGE_DEADLINE)).await.map_err(|status| {
                Failed {
                    // tonic's own word for an answer above the limit of this side, which the server has no other use for; and the
                    // server's for one above its own, which it also has for want of memory: less is then right as well.
                    too_large: matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
                    error: error::of_status(&status, &self.config, operation),
                }
            })?;
        let asked = listing.properties.iter().map(|asked| asked.name.clone()).collect();
        let page = Page::read(reply, asked).map_err(|wrong| Failed {
            too_large: false,
            error: error::malformed(&self.config, operation, wrong.to_string()),
        })?;
        if page.len() as u64 > u64::from(request.limit) {
            let why = format!("it gave {} objects, and {} were asked for", page.len(), request.limit);
            return Err(Failed { too_large: false, error: error::malformed(&self.config, operation, why) });
        }
        Ok(page)
    }
}

/// Why there is no page.
struct Failed {
    too_large: bool,
    error: Error,
}

fn nested(asked: &Asked) -> proto::ObjectPropertiesRequest {
    let (plain, objects): (Vec<&Asked>, Vec<&Asked>) =
        asked.nested.iter().partition(|asked| asked.nested.is_empty());
    proto::ObjectPropertiesRequest {
        prop_name: asked.name.clone(),
        primitive_properties: plain.iter().map(|asked| asked.name.clone()).collect(),
        object_properties: objects.iter().map(|asked| nested(asked)).collect(),
    }
}

fn ids(uuids: &[[u8; 16]]) -> proto::Filters {
    proto::Filters {
        operator: proto::Operator::ContainsAny.into(),
        filters: Vec::new(),
        test_value: Some(proto::TestValue::Texts(proto::TextArray {
            values: uuids.iter().map(text_of).collect(),
        })),
        target: Some(proto::FilterTarget { property: Some(ID.to_owned()) }),
    }
}

fn text_of(uuid: &[u8; 16]) -> String {
    String::from_utf8_lossy(&uuid_text(uuid)).into_owned()
}

fn vector_of(vector: &[f32]) -> proto::Vectors {
    proto::Vectors {
        name: String::new(),
        vector_bytes: vector.iter().flat_map(|number| number.to_le_bytes()).collect(),
        kind: 1,
    }
}
