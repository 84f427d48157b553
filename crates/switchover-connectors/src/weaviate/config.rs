//! Which Weaviate is meant, and how to reach it.
//!
//! `weaviate://host:8080?grpc=50051`; several hosts of one cluster with commas; `weaviates://` or `tls=true` for
//! https and gRPC with TLS. The API key comes from `WEAVIATE_API_KEY`, or from the file that `api_key_file=` or
//! `WEAVIATE_API_KEY_FILE` names, never from the URL; other headers (`X-…`, for the server's modules) from the file
//! that `headers_file=` or `WEAVIATE_HEADERS_FILE` names, a `Name: value` a line.
//!
//! Invariants: secrets are in [`SecretString`]s and nowhere else; `Debug`, [`WeaviateConfig::redacted`] and every
//! error are free of them; an unknown parameter is an error; over plain http a key is only sent because it was given.
//! Absent on purpose: OIDC, whose tokens end within minutes of a migration of hours.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use switchover_core::{Error, Kind, Result};

use crate::uri;

/// Weaviate's port for REST.
pub const HTTP_PORT: u16 = 8080;
/// The port for REST with TLS, where the URL names none.
pub const HTTPS_PORT: u16 = 443;
/// Weaviate's port for gRPC.
pub const GRPC_PORT: u16 = 50051;

/// A key or header longer than this is not one: somebody named the wrong file.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

const OPERATION: &str = "read the Weaviate URL";

const KNOWN: [&str; 8] =
    ["grpc", "tls", "tls_root_cert", "consistency", "replication", "tenant", "api_key_file", "headers_file"];

/// How many replicas must have a write, or answer a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// One of them.
    One,
    /// More than half.
    Quorum,
    /// Each.
    All,
}

impl Consistency {
    const NAMES: [(&'static str, Consistency); 3] =
        [("one", Consistency::One), ("quorum", Consistency::Quorum), ("all", Consistency::All)];

    /// The name in the URL.
    pub fn name(self) -> &'static str {
        match self {
            Consistency::One => "one",
            Consistency::Quorum => "quorum",
            Consistency::All => "all",
        }
    }
}

/// One place that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// What [`parse`](WeaviateConfig::parse) understood. Printing it never shows a secret.
#[derive(Clone)]
pub struct WeaviateConfig {
    /// Where REST is answered; at least one.
    pub http: Vec<Place>,
    /// Where gRPC is answered: one for each of `http`.
    pub grpc: Vec<Place>,
    /// Whether both are over TLS.
    pub tls: bool,
    /// A PEM file of the roots to trust, in place of the system's.
    pub tls_root_cert: Option<PathBuf>,
    /// The consistency level, where it is not the server's default.
    pub consistency: Option<Consistency>,
    /// On how many nodes each object of the collections that are made is kept, where it is not the server's default.
    pub replication: Option<u16>,
    /// The tenant, for collections that have them.
    pub tenant: Option<String>,
    /// The API key.
    pub(super) api_key: Option<SecretString>,
    /// Other headers.
    pub(super) headers: Vec<(String, SecretString)>,
    /// What the text named by file, to be repeated by [`redacted`](Self::redacted).
    files: Vec<(&'static str, String)>,
    grpc_text: Option<String>,
}

impl fmt::Debug for WeaviateConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeaviateConfig")
            .field("url", &self.redacted())
            .field("api_key", &self.api_key.is_some())
            .field("headers", &self.headers.len())
            .finish()
    }
}

impl WeaviateConfig {
    /// Whether `text` is a URL of Weaviate.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("weaviate://") || text.starts_with("weaviates://")
    }

    /// Reads a URL; `env` answers for the environment.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<WeaviateConfig> {
        let text = text.trim();
        let (secure, rest) = match text.split_once("://") {
            Some(("weaviate", rest)) => (false, rest),
            Some(("weaviates", rest)) => (true, rest),
            _ => {
                return Err(bad("its scheme is not weaviate or weaviates")
                    .hint("write weaviate://host:8080?grpc=50051"));
            }
        };
        if rest.contains('@') {
            return Err(bad("an '@' stands in it").hint(
                "an API key goes into WEAVIATE_API_KEY or a file (api_key_file=FILE), not into the URL",
            ));
        }
        if rest.contains('#') {
            return Err(bad("a '#' stands in it").hint("write a '#' in a value as %23"));
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let hosts = before.strip_suffix('/').unwrap_or(before);
        if hosts.contains('/') {
            return Err(bad("a path stands behind the host")
                .hint("write weaviate://host:port; collections are named by the mapping"));
        }
        let pairs = uri::query_pairs(query, false).map_err(|why| bad(why.why()))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            check_name(name)?;
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(bad(format!("the parameter '{name}' stands there twice")).hint("leave one out"));
            }
        }
        let given = |name: &str| {
            pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.clone())
        };
        if pairs.iter().any(|(name, value)| name == "tenant" && value.is_empty()) {
            return Err(bad("tenant= names no tenant, and without one a collection's rows are another's")
                .hint("give it a name, as tenant=NAME (was a variable not set?), or leave it out for collections without tenants"));
        }
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let tls = match given("tls").as_deref() {
            None => secure,
            Some("true" | "1") => true,
            Some("false" | "0") if secure => {
                return Err(bad("weaviates:// is with TLS, and tls=false without")
                    .hint("write weaviate://… for http"));
            }
            Some("false" | "0") => false,
            Some(_) => return Err(bad("tls is neither true nor false").hint("write tls=true")),
        };
        let http = hosts
            .split(',')
            .map(|text| place(text, None, if tls { HTTPS_PORT } else { HTTP_PORT }))
            .collect::<Result<Vec<_>>>()?;
        let grpc_text = given("grpc");
        let grpc = grpc_places(grpc_text.as_deref(), &http)?;
        let mut files = Vec::new();
        let mut file = |name: &'static str, variable: &str| {
            given(name).inspect(|path| files.push((name, path.clone()))).or_else(|| env(variable))
        };
        let key_file = file("api_key_file", "WEAVIATE_API_KEY_FILE");
        let headers_file = file("headers_file", "WEAVIATE_HEADERS_FILE");
        let api_key = match (key_file, env("WEAVIATE_API_KEY")) {
            (Some(path), _) => Some(key_of(Path::new(&path))?),
            (None, key) => key.map(|key| secret(&key)).transpose()?,
        };
        let headers = match headers_file {
            Some(path) => headers_of(Path::new(&path))?,
            None => Vec::new(),
        };
        Ok(WeaviateConfig {
            http,
            grpc,
            tls,
            tls_root_cert: given("tls_root_cert").map(PathBuf::from),
            consistency: given("consistency").map(|text| consistency(&text)).transpose()?,
            replication: given("replication").map(|text| replication(&text)).transpose()?,
            tenant: given("tenant"),
            api_key,
            headers,
            files,
            grpc_text,
        })
    }

    /// Whether the URL of a run says of its data what this one says: the tenant, and on how many nodes an object is kept. The hosts, the
    /// level and the files of keys only say how it is reached, and change when a node is replaced or a file is moved.
    pub(super) fn may_be(&self, url: &str) -> bool {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let Ok(pairs) = uri::query_pairs(query, false) else { return false };
        let given = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        WeaviateConfig::is_meant(url)
            && given("tenant") == self.tenant
            && given("replication") == self.replication.map(|factor| factor.to_string())
    }

    /// The URL, with all that was said and no secret.
    pub fn redacted(&self) -> String {
        let hosts: Vec<String> = self.http.iter().map(Place::to_string).collect();
        let mut query: Vec<(&str, String)> = Vec::new();
        query.extend(self.grpc_text.clone().map(|text| ("grpc", text)));
        let root = self.tls_root_cert.as_ref().map(|path| path.display().to_string());
        query.extend(root.map(|path| ("tls_root_cert", path)));
        query.extend(self.consistency.map(|level| ("consistency", level.name().to_owned())));
        query.extend(self.replication.map(|factor| ("replication", factor.to_string())));
        query.extend(self.tenant.clone().map(|tenant| ("tenant", tenant)));
        query.extend(self.files.iter().cloned());
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| {
                let value =
                    uri::percent_encode(value).replace("%2F", "/").replace("%3A", ":").replace("%2C", ",");
                format!("{name}={value}")
            })
            .collect();
        let scheme = if self.tls { "weaviates" } else { "weaviate" };
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{scheme}://{}{mark}{}", hosts.join(","), query.join("&"))
    }
}

/// An error about the text as a whole.
fn bad(why: impl Into<String>) -> Error {
    Error::new(Kind::Config, OPERATION).store("weaviate").detail(why)
}

fn check_name(name: &str) -> Result<()> {
    if KNOWN.contains(&name) {
        return Ok(());
    }
    if ["api_key", "apikey", "key", "token", "password"].contains(&name.to_ascii_lowercase().as_str()) {
        return Err(bad("an API key stands in it, and URLs are shown and kept")
            .hint("set WEAVIATE_API_KEY, or name a file with api_key_file=FILE"));
    }
    let error = bad(format!("there is no parameter '{}'", uri::shown_name(name).unwrap_or("…")));
    Err(match uri::near_match(name, KNOWN) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error.hint(format!("the parameters are {}", KNOWN.join(", "))),
    })
}

/// `host`, `host:port`, `[::1]:port`; without a host the one of `beside`.
fn place(text: &str, beside: Option<&Place>, port: u16) -> Result<Place> {
    let (host, after) = match text.strip_prefix('[') {
        Some(inner) => {
            inner.split_once(']').ok_or_else(|| bad("an IPv6 address has no ']'").hint("write [::1]:8080"))?
        }
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match (after.strip_prefix(':'), after.is_empty()) {
        (None, true) => port,
        (Some(digits), _) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                bad("a port is not from 1 to 65535").hint("Weaviate's ports are usually 8080 and 50051")
            })?
        }
        _ => {
            return Err(
                bad("a port is not a number").hint("write host:8080, and the other port as grpc=50051")
            );
        }
    };
    let host = uri::percent_decode(host, false).map_err(|why| bad(why.why()))?;
    let shaped = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte) || byte >= 0x80;
    match (host.is_empty(), beside) {
        (true, Some(beside)) => Ok(Place { host: beside.host.clone(), port }),
        (true, None) => Err(bad("it names no host").hint("write weaviate://host:8080?grpc=50051")),
        (false, _) if !host.bytes().all(shaped) => {
            Err(bad("a host's name holds a character that no name has")
                .hint("write weaviate://host:8080?grpc=50051"))
        }
        (false, _) => Ok(Place { host, port }),
    }
}

/// `50051` for every host, or a list of ports or places, one for each.
fn grpc_places(text: Option<&str>, http: &[Place]) -> Result<Vec<Place>> {
    let parts: Vec<&str> = text.map(|text| text.split(',').map(str::trim).collect()).unwrap_or_default();
    if parts.len() > 1 && parts.len() != http.len() {
        return Err(bad("grpc lists another number of places than there are hosts")
            .hint("list one port, or one port or host:port for each host"));
    }
    http.iter()
        .enumerate()
        .map(|(at, beside)| match parts.get(at).or(parts.first()) {
            None => Ok(Place { host: beside.host.clone(), port: GRPC_PORT }),
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                place(&format!(":{port}"), Some(beside), GRPC_PORT)
            }
            Some(named) => place(named, None, GRPC_PORT),
        })
        .collect()
}

fn consistency(text: &str) -> Result<Consistency> {
    let lower = text.to_ascii_lowercase();
    let found = Consistency::NAMES.iter().find(|(name, _)| *name == lower);
    found.map(|(_, level)| *level).ok_or_else(|| {
        bad("consistency is none of one, quorum, all").hint("leave it out for the server's default, quorum")
    })
}

fn replication(text: &str) -> Result<u16> {
    text.parse().ok().filter(|factor| *factor > 0).ok_or_else(|| {
        bad("replication is no number of nodes").hint(
            "write replication=3 for a cluster of three nodes or more; leave it out for the server's default",
        )
    })
}

/// A secret that can stand in a header.
fn secret(text: &str) -> Result<SecretString> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(Error::new(Kind::Config, "read the API key")
            .store("weaviate")
            .detail("it is empty, or holds a character that cannot stand in a header")
            .hint("it must be one line of printable ASCII"));
    }
    Ok(SecretString::from(text))
}

fn read_secret(path: &Path) -> Result<String> {
    let failed = |cause: std::io::Error| crate::sidecar::io_error("read a file of secrets", path, cause);
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > SECRET_FILE_BYTES_MAX {
        return Err(Error::new(Kind::Config, "read a file of secrets")
            .store(path.display().to_string())
            .detail(format!("it is larger than {SECRET_FILE_BYTES_MAX} bytes"))
            .hint("name the file that holds the key alone"));
    }
    std::fs::read_to_string(path).map_err(failed)
}

fn key_of(path: &Path) -> Result<SecretString> {
    secret(&read_secret(path)?)
}

/// `X-Name: value`, a line each; empty lines and lines that begin with `#` are skipped.
fn headers_of(path: &Path) -> Result<Vec<(String, SecretString)>> {
    let bad = |at: usize, why: &str| {
        Error::new(Kind::Config, "read the file of headers")
            .store(path.display().to_string())
            .detail(format!("line {}: {why}", at + 1))
            .hint("write a header a line, as X-OpenAI-Api-Key: value")
    };
    let text = read_secret(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    lines
        .map(|(at, line)| {
            let (name, value) = line.split_once(':').ok_or_else(|| bad(at, "it has no ':'"))?;
            let name = name.trim().to_ascii_lowercase();
            let shaped = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !name.starts_with("x-") || !shaped {
                return Err(bad(at, "its name does not begin with X-, or is none"));
            }
            Ok((name, secret(value).map_err(|_| bad(at, "its value is empty or not printable ASCII"))?))
        })
        .collect()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
