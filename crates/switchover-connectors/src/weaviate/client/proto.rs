//! The messages of Weaviate's gRPC that are small: requests for reading, counting and deleting, and short replies.
//!
//! Field numbers are those of Weaviate 1.39's `grpc/proto/v1/*.proto`, named above each message; fields that nobody
//! here sets or reads are left out, which the encoding allows. The two large messages, objects to store and found
//! objects, are written and read by hand in `batch` and `page`, without a map for each object.

use prost::{Enumeration, Message, Oneof};

/// search_get.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SearchRequest {
    #[prost(string, tag = "1")]
    pub collection: String,
    #[prost(string, tag = "10")]
    pub tenant: String,
    #[prost(enumeration = "ConsistencyLevel", optional, tag = "11")]
    pub consistency_level: Option<i32>,
    #[prost(message, optional, tag = "20")]
    pub properties: Option<PropertiesRequest>,
    #[prost(message, optional, tag = "21")]
    pub metadata: Option<MetadataRequest>,
    #[prost(uint32, tag = "30")]
    pub limit: u32,
    #[prost(string, tag = "33")]
    pub after: String,
    #[prost(message, repeated, tag = "34")]
    pub sort_by: Vec<SortBy>,
    #[prost(message, optional, tag = "40")]
    pub filters: Option<Filters>,
    #[prost(message, optional, tag = "41")]
    pub hybrid_search: Option<Hybrid>,
    #[prost(message, optional, tag = "42")]
    pub bm25_search: Option<Bm25>,
    #[prost(message, optional, tag = "43")]
    pub near_vector: Option<NearVector>,
    #[prost(bool, tag = "102")]
    pub uses_127_api: bool,
}

/// search_get.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SortBy {
    #[prost(bool, tag = "1")]
    pub ascending: bool,
    #[prost(string, repeated, tag = "2")]
    pub path: Vec<String>,
}

/// search_get.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PropertiesRequest {
    #[prost(string, repeated, tag = "1")]
    pub non_ref_properties: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub ref_properties: Vec<RefPropertiesRequest>,
    #[prost(message, repeated, tag = "3")]
    pub object_properties: Vec<ObjectPropertiesRequest>,
}

/// search_get.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ObjectPropertiesRequest {
    #[prost(string, tag = "1")]
    pub prop_name: String,
    #[prost(string, repeated, tag = "2")]
    pub primitive_properties: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub object_properties: Vec<ObjectPropertiesRequest>,
}

/// search_get.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RefPropertiesRequest {
    #[prost(string, tag = "1")]
    pub reference_property: String,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<MetadataRequest>,
}

/// search_get.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetadataRequest {
    #[prost(bool, tag = "1")]
    pub uuid: bool,
    #[prost(bool, tag = "2")]
    pub vector: bool,
    #[prost(bool, tag = "5")]
    pub distance: bool,
    #[prost(bool, tag = "7")]
    pub score: bool,
    #[prost(string, repeated, tag = "10")]
    pub vectors: Vec<String>,
}

/// base.proto
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum ConsistencyLevel {
    Unspecified = 0,
    One = 1,
    Quorum = 2,
    All = 3,
}

/// base.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Filters {
    #[prost(enumeration = "Operator", tag = "1")]
    pub operator: i32,
    #[prost(message, repeated, tag = "3")]
    pub filters: Vec<Filters>,
    #[prost(oneof = "TestValue", tags = "4, 5, 6, 7, 9")]
    pub test_value: Option<TestValue>,
    #[prost(message, optional, tag = "20")]
    pub target: Option<FilterTarget>,
}

/// base.proto, `Filters.Operator`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(crate) enum Operator {
    Unspecified = 0,
    Equal = 1,
    LessThan = 5,
    Like = 10,
    ContainsAny = 12,
}

/// base.proto, `Filters.test_value`
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum TestValue {
    #[prost(string, tag = "4")]
    Text(String),
    #[prost(int64, tag = "5")]
    Int(i64),
    #[prost(bool, tag = "6")]
    Boolean(bool),
    #[prost(double, tag = "7")]
    Number(f64),
    #[prost(message, tag = "9")]
    Texts(TextArray),
}

/// base.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TextArray {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

/// base.proto; a property of the collection's own
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FilterTarget {
    #[prost(string, optional, tag = "1")]
    pub property: Option<String>,
}

/// base.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Vectors {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", tag = "3")]
    pub vector_bytes: Vec<u8>,
    #[prost(int32, tag = "4")]
    pub kind: i32,
}

/// base_search.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Targets {
    #[prost(string, repeated, tag = "1")]
    pub target_vectors: Vec<String>,
}

/// base_search.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Hybrid {
    #[prost(string, tag = "1")]
    pub query: String,
    #[prost(string, repeated, tag = "2")]
    pub properties: Vec<String>,
    #[prost(float, tag = "4")]
    pub alpha: f32,
    #[prost(int32, tag = "5")]
    pub fusion_type: i32,
    #[prost(message, optional, tag = "10")]
    pub targets: Option<Targets>,
    #[prost(message, repeated, tag = "21")]
    pub vectors: Vec<Vectors>,
}

/// base_search.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NearVector {
    #[prost(message, optional, tag = "6")]
    pub targets: Option<Targets>,
    #[prost(message, repeated, tag = "9")]
    pub vectors: Vec<Vectors>,
}

/// base_search.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bm25 {
    #[prost(string, tag = "1")]
    pub query: String,
    #[prost(string, repeated, tag = "2")]
    pub properties: Vec<String>,
}

/// aggregate.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregateRequest {
    #[prost(string, tag = "1")]
    pub collection: String,
    #[prost(string, tag = "10")]
    pub tenant: String,
    #[prost(bool, tag = "20")]
    pub objects_count: bool,
    #[prost(message, optional, tag = "40")]
    pub filters: Option<Filters>,
}

/// aggregate.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregateReply {
    #[prost(message, optional, tag = "2")]
    pub single_result: Option<AggregateSingle>,
}

/// aggregate.proto, `AggregateReply.Single`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AggregateSingle {
    #[prost(int64, optional, tag = "1")]
    pub objects_count: Option<i64>,
}

/// batch_delete.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchDeleteRequest {
    #[prost(string, tag = "1")]
    pub collection: String,
    #[prost(message, optional, tag = "2")]
    pub filters: Option<Filters>,
    #[prost(bool, tag = "3")]
    pub verbose: bool,
    #[prost(enumeration = "ConsistencyLevel", optional, tag = "5")]
    pub consistency_level: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub tenant: Option<String>,
}

/// batch_delete.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchDeleteReply {
    #[prost(int64, tag = "2")]
    pub failed: i64,
    #[prost(int64, tag = "3")]
    pub matches: i64,
    #[prost(int64, tag = "4")]
    pub successful: i64,
    #[prost(message, repeated, tag = "5")]
    pub objects: Vec<BatchDeleteObject>,
}

/// batch_delete.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchDeleteObject {
    #[prost(bytes = "vec", tag = "1")]
    pub uuid: Vec<u8>,
    #[prost(bool, tag = "2")]
    pub successful: bool,
    #[prost(string, optional, tag = "3")]
    pub error: Option<String>,
}

/// batch.proto
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchObjectsReply {
    #[prost(message, repeated, tag = "2")]
    pub errors: Vec<BatchError>,
}

/// batch.proto, `BatchObjectsReply.BatchError`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BatchError {
    #[prost(int32, tag = "1")]
    pub index: i32,
    #[prost(string, tag = "2")]
    pub error: String,
}

/// grpc.health.v1, `HealthCheckRequest`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HealthRequest {
    #[prost(string, tag = "1")]
    pub service: String,
}

/// grpc.health.v1, `HealthCheckResponse`; 1 is SERVING
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HealthReply {
    #[prost(int32, tag = "1")]
    pub status: i32,
}
