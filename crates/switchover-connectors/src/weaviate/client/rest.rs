//! REST to Weaviate: one request, to the first of the places that answers.
//!
//! Invariants: a request that changes something is sent to another place only where it did not leave for the first;
//! answers are bounded in size and time; redirects are not followed, for the key would go with them.
//! Absent on purpose: objects that are moved, which go over gRPC; the texts of those that a run replaces, and its checkpoints'
//! records, do not.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::Value as Json;
use switchover_core::{Kind, Result};
use ureq::http::{Method, Request};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use super::grpc::REPLY_BYTES_MAX;
use super::places::{self, Places};
use super::roots;
use crate::blocking::blocking;
use crate::weaviate::config::WeaviateConfig;
use crate::weaviate::error;

/// How long one answer may take: making a collection with many properties waits for the cluster's agreement.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a question may take where another place can be asked: a schema is told in milliseconds.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer: a schema of thousands of properties is some megabytes, and an object's text with all that it holds may be somewhat
/// larger than the largest message.
const BODY_BYTES_MAX: u64 = REPLY_BYTES_MAX as u64;

/// A question that only a cluster with a leader answers; that there is no such collection is an answer.
const SOME_COLLECTION: &str = "/v1/schema/Switchover_record";

#[derive(Debug)]
pub(super) struct Rest {
    agent: ureq::Agent,
    places: Arc<Places>,
    config: WeaviateConfig,
}

impl Rest {
    pub(super) fn new(config: &WeaviateConfig, places: &Arc<Places>) -> Result<Rest> {
        let mut builder = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent("switchover");
        if config.tls {
            let roots = roots::read(config.tls_root_cert.as_deref())?;
            let roots = roots.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned());
            builder = builder.tls_config(
                TlsConfig::builder()
                    .provider(TlsProvider::Rustls)
                    .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
                    .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
                    .build(),
            );
        }
        Ok(Rest { agent: builder.build().new_agent(), places: Arc::clone(places), config: config.clone() })
    }

    /// The answer's JSON; `None` where it is 404.
    pub(super) fn find(&self, path: &str, operation: &str) -> Result<Option<Json>> {
        match self.send(Method::GET, path, None, operation)? {
            (404, _) => Ok(None),
            (status, said) => self.json(status, &said, operation).map(Some),
        }
    }

    /// The answer's JSON; null for an empty one.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        operation: &str,
    ) -> Result<Json> {
        let body = body.map(Json::to_string);
        let (status, said) = self.send(method, path, body.as_deref(), operation)?;
        self.json(status, &said, operation)
    }

    /// The answer to what changes the schema, and may be asked twice.
    ///
    /// # Errors
    /// `Unavailable` where the cluster has no leader: it answers so by the codes of a definite no (400, 422, 500), which only
    /// a question tells apart. With a leader the change is asked for once more, for it may have come back in between.
    pub(super) fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        operation: &str,
    ) -> Result<Json> {
        let text = body.map(Json::to_string);
        let (status, said) = self.send(method.clone(), path, text.as_deref(), operation)?;
        if !matches!(status, 400 | 422 | 500) {
            return self.json(status, &said, operation);
        }
        match self.find(SOME_COLLECTION, operation) {
            Err(error) if error.kind() == Kind::Unavailable => return Err(error),
            _ => {}
        }
        self.call(method, path, body, operation)
    }

    /// The answer as the text that it is; `None` where it is 404.
    pub(super) fn text(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
        operation: &str,
    ) -> Result<Option<String>> {
        match self.send(method, path, body, operation)? {
            (404, _) => Ok(None),
            (status, said) if (200..300).contains(&status) => Ok(Some(said)),
            (status, said) => Err(error::of_http(status, &said, &self.config, operation)),
        }
    }

    fn json(&self, status: u16, said: &str, operation: &str) -> Result<Json> {
        if !(200..300).contains(&status) {
            return Err(error::of_http(status, said, &self.config, operation));
        }
        if said.trim().is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_str(said).map_err(|cause| {
            error::malformed(&self.config, operation, "its answer is not JSON").because(cause)
        })
    }

    /// The status and the body, from the first place that answers at all.
    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
        operation: &str,
    ) -> Result<(u16, String)> {
        let mut last = None;
        for at in self.places.order(0) {
            let place = &self.config.http[at];
            let scheme = if self.config.tls { "https" } else { "http" };
            match blocking(|| self.once(&method, &format!("{scheme}://{place}{path}"), body)) {
                // So answers a node of a cluster that has no leader for a moment; asking again does no harm.
                Ok((500, said)) if method == Method::GET => {
                    last = Some(error::of_no_leader(&said, &self.config, operation));
                }
                Ok(answer) => {
                    self.places.answered(at);
                    return Ok(answer);
                }
                Err(cause) => {
                    let failed = error::of_transport(&cause, &self.config, operation);
                    // A place that cannot prove who it is is no place that is away.
                    if failed.kind() == Kind::Config {
                        return Err(failed);
                    }
                    self.places.missed(at);
                    // What left may be carried out, so whether to ask again is the caller's to say.
                    if method != Method::GET && !error::is_unsent(&cause) {
                        return Err(failed);
                    }
                    last = Some(failed);
                }
            }
        }
        Err(last.unwrap_or_else(|| error::malformed(&self.config, operation, "the URL names no host")))
    }

    fn once(&self, method: &Method, url: &str, body: Option<&str>) -> Result<(u16, String), ureq::Error> {
        let mut request = Request::builder().method(method).uri(url).header("accept", "application/json");
        if let Some(key) = &self.config.api_key {
            request = request.header("authorization", format!("Bearer {}", key.expose_secret()));
        }
        for (name, value) in &self.config.headers {
            request = request.header(name, value.expose_secret());
        }
        let several = self.config.http.len() > 1;
        let timeout = if several && method == Method::GET { READ_TIMEOUT } else { TIMEOUT };
        let timeout = places::patience(self.config.http.len(), timeout);
        let within = Some(timeout);
        let mut answer = match body {
            None => {
                let request = self.agent.configure_request(request.body(())?);
                self.agent.run(request.timeout_global(within).build())?
            }
            Some(json) => {
                let request = request.header("content-type", "application/json").body(json.to_owned())?;
                self.agent.run(self.agent.configure_request(request).timeout_global(within).build())?
            }
        };
        let status = answer.status().as_u16();
        Ok((status, answer.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string()?))
    }
}
