//! gRPC to Weaviate: channels, headers, and one call.
//!
//! Messages go in and out as bytes, so that a large one is written and read once, by `batch` and `page`.
//!
//! Invariants: every call has a deadline; the key and the other headers go with each and are marked as sensitive, so
//! that no layer logs them; an answer above [`REPLY_BYTES_MAX`] is an error and not memory.
//! Absent on purpose: retries (the caller's, by the error's remedy) and compression (the server is the bottleneck).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use secrecy::ExposeSecret;
use switchover_core::{Error, Kind, Result};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::places::Places;
use super::roots;
use crate::weaviate::config::{Place, WeaviateConfig};
use crate::weaviate::error;

/// How long opening a connection may take; as in the other connectors.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an open connection is asked whether it lives: a peer that vanished is noticed within two of them.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// What the server may send ahead. A page is megabytes, and each window costs a round trip.
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Largest answer. Pages are asked for by number, and a page that is larger is asked for again in halves.
pub(super) const REPLY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How much tonic's buffers grow at a time: its 8 KiB would copy a message of megabytes often.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Connections to each of the places, and what goes with each call.
#[derive(Debug)]
pub(super) struct Grpc {
    /// By place, one for each lane; a connection opens with its first call.
    channels: Vec<Vec<Channel>>,
    metadata: MetadataMap,
    places: Arc<Places>,
    lanes: usize,
    config: WeaviateConfig,
}

impl Grpc {
    /// So many lanes, over the places in turns.
    pub(super) fn new(config: &WeaviateConfig, places: &Arc<Places>, lanes: usize) -> Result<Grpc> {
        let tls = config.tls.then(|| tls(config)).transpose()?;
        let lanes = lanes.max(config.grpc.len());
        let of_place = |place| (0..lanes).map(|_| channel(place, tls.as_ref())).collect::<Result<Vec<_>>>();
        let channels = config.grpc.iter().map(of_place).collect::<Result<Vec<_>>>()?;
        let mut metadata = MetadataMap::new();
        let key = config.api_key.as_ref().map(|key| format!("Bearer {}", key.expose_secret()));
        let headers =
            config.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        for (name, value) in key.map(|key| ("authorization".to_owned(), key)).into_iter().chain(headers) {
            let (Ok(name), Ok(mut value)) =
                (AsciiMetadataKey::from_bytes(name.as_bytes()), AsciiMetadataValue::try_from(value))
            else {
                return Err(Error::new(Kind::Config, "prepare the headers")
                    .store(config.redacted())
                    .detail(format!("the header {name} cannot be sent"))
                    .hint("a header is printable ASCII"));
            };
            value.set_sensitive(true);
            metadata.insert(name, value);
        }
        Ok(Grpc { channels, metadata, places: Arc::clone(places), lanes, config: config.clone() })
    }

    /// The number of lanes.
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// One call with a message of prost's.
    pub(super) async fn call<R: Message + Default>(
        &self,
        lane: usize,
        path: &'static str,
        request: &impl Message,
        deadline: Duration,
        operation: &str,
    ) -> Result<R> {
        let sent = Sent { head: Bytes::from(request.encode_to_vec()), tail: Bytes::new() };
        let reply = self.bytes(lane, path, sent, deadline).await;
        let reply = reply.map_err(|status| error::of_status(&status, &self.config, operation))?;
        self.decoded(reply, operation)
    }

    /// One small question to each of the places, by its number; of each what it said.
    pub(super) async fn each<R: Message + Default>(
        &self,
        path: &'static str,
        request: &impl Message,
        deadline: Duration,
        operation: &str,
    ) -> Vec<Result<R>> {
        let ask = |at: usize| async move {
            let sent = Sent { head: Bytes::from(request.encode_to_vec()), tail: Bytes::new() };
            let reply = self.at(at, 0, path, sent, deadline).await;
            let reply = reply.map_err(|status| error::of_status(&status, &self.config, operation))?;
            self.decoded(reply, operation)
        };
        futures_util::future::join_all((0..self.channels.len()).map(ask)).await
    }

    fn decoded<R: Message + Default>(&self, reply: Bytes, operation: &str) -> Result<R> {
        R::decode(reply).map_err(|cause| {
            error::malformed(&self.config, operation, "its answer is no message").because(cause)
        })
    }

    /// As if the place of this lane had not answered.
    pub(super) fn pass_over(&self, lane: usize) {
        self.places.missed(self.places.of_lane(lane));
    }

    /// One call with bytes, and its status as it is.
    pub(super) async fn bytes(
        &self,
        lane: usize,
        path: &'static str,
        sent: Sent,
        deadline: Duration,
    ) -> Result<Bytes, Status> {
        self.at(self.places.of_lane(lane), lane % self.lanes, path, sent, deadline).await
    }

    async fn at(
        &self,
        place: usize,
        lane: usize,
        path: &'static str,
        sent: Sent,
        deadline: Duration,
    ) -> Result<Bytes, Status> {
        let channel = self.channels[place][lane].clone();
        let mut client = tonic::client::Grpc::new(channel)
            .max_decoding_message_size(REPLY_BYTES_MAX)
            .max_encoding_message_size(usize::MAX);
        let mut request = Request::new(sent);
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(deadline);
        let called = async {
            client.ready().await.map_err(|cause| Status::from_error(cause.into()))?;
            client.unary(request, PathAndQuery::from_static(path), Raw).await
        };
        // The deadline above runs on the server and while it answers; this one while the connection is being opened.
        let answer = tokio::time::timeout(deadline + CONNECT_TIMEOUT, called)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer within the deadline")));
        match &answer {
            Err(status) if error::is_missed(status) => self.places.missed(place),
            _ => self.places.answered(place),
        }
        answer.map(tonic::Response::into_inner)
    }
}

fn channel(place: &Place, tls: Option<&ClientTlsConfig>) -> Result<Channel> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let failed = |cause: tonic::transport::Error| {
        Error::new(Kind::Config, "prepare the gRPC connection")
            .store(place.to_string())
            .detail("the host, or the TLS configuration, cannot be used")
            .hint("check the host's name and tls_root_cert")
            .because(cause)
    };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{place}"))
        .map_err(failed)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls.clone()).map_err(failed)?;
    }
    Ok(endpoint.connect_lazy())
}

fn tls(config: &WeaviateConfig) -> Result<ClientTlsConfig> {
    let certificates = roots::read(config.tls_root_cert.as_deref())?;
    // Of the system's own roots some may be of a kind that is not known here: they sign nothing then.
    let anchors =
        certificates.iter().filter_map(|der| roots::anchors(std::slice::from_ref(der)).ok()).flatten();
    Ok(ClientTlsConfig::new().trust_anchors(anchors))
}

/// A message in two parts, sent one behind the other.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) head: Bytes,
    pub(super) tail: Bytes,
}

/// Bytes in, bytes out.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Sent;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Sent;
    type Error = Status;

    fn encode(&mut self, sent: Sent, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(sent.head.len() + sent.tail.len());
        out.put(sent.head);
        out.put(sent.tail);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, BUFFER_BYTES)
    }
}
