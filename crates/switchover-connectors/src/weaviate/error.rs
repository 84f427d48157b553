//! Weaviate's errors in the project's terms: by gRPC status and by HTTP status, never by text.
//!
//! Invariants: the server's message is the detail, cut, for it says what the code cannot; the key is in no message.
//! Absent: retries, which are the caller's, by the kind's remedy; the errors of single objects of a batch, which have
//! no code and are the writer's.

use switchover_core::{Error, Kind};
use tonic::{Code, Status};

use super::config::WeaviateConfig;
use crate::handshake::{Handshake, cause_of};

/// A server's message longer than this is cut: it may quote a whole object.
const MESSAGE_CHARS_MAX: usize = 600;

/// What to do about a key that the server does not take. A file is read once, when the program begins.
const KEY_HINT: &str = "set WEAVIATE_API_KEY, or api_key_file=FILE in the URL, to a key of this server; a key that was changed meanwhile \
    is read by the next start: stop an engine at work, and `switchover resume`";

/// What to do about an error for which the server has no code.
const ANY_HINT: &str = "see the server's log; where it speaks of a tenant, name one in the URL (tenant=NAME) that is there and active, \
    or none where the collection has none";

/// What a gRPC status means.
pub(super) fn of_status(status: &Status, config: &WeaviateConfig, operation: &str) -> Error {
    if let Some(tls) = cause_of::<rustls::Error>(status) {
        return of_tls(tls, "gRPC", config, operation);
    }
    let (kind, hint) = meaning(if is_away(status) { Code::Unavailable } else { status.code() });
    let mut error = Error::new(kind, operation)
        .store(config.redacted())
        .detail(format!("{} ({:?})", shown(status.message()), status.code()))
        .hint(hint);
    // Without a server there is no message that says why; the transport's error does.
    if let Some(cause) = std::error::Error::source(status) {
        error = error.because(chain(cause));
    }
    error
}

/// Whether the status says that the place does not answer.
pub(super) fn is_away(status: &Status) -> bool {
    // A connection that ends under a request has no code of its own: but only the transport's statuses have a cause.
    let lost = status.code() == Code::Unknown && std::error::Error::source(status).is_some();
    lost || status.code() == Code::Unavailable
}

/// Whether the status says that the place did not answer, or not in time.
pub(super) fn is_missed(status: &Status) -> bool {
    // What runs out on this side has the code by which a server says that a request was cancelled, and tonic's own cause.
    let ran_out = cause_of::<tonic::TimeoutExpired>(status).is_some();
    ran_out || status.code() == Code::DeadlineExceeded || is_away(status)
}

fn meaning(code: Code) -> (Kind, &'static str) {
    match code {
        Code::Unavailable => (
            Kind::Unavailable,
            "the server cannot be reached, or is starting: see that it runs, and that grpc= in the URL is its gRPC port",
        ),
        Code::DeadlineExceeded | Code::Cancelled => {
            (Kind::Unavailable, "the server took too long: it may be overloaded; smaller batches may help")
        }
        Code::ResourceExhausted => (
            Kind::Unavailable,
            "the server is out of memory or disk for now, or the message is too large for it",
        ),
        Code::Aborted => (Kind::Unavailable, "another request was in the way: the same one may succeed now"),
        Code::Unauthenticated => (Kind::Permission, KEY_HINT),
        Code::PermissionDenied => {
            (Kind::Permission, "give the key's user the rights to read and write the collection")
        }
        Code::NotFound => (Kind::NotFound, "something removed it, or the plan is not for this server"),
        Code::AlreadyExists => (Kind::AlreadyExists, "choose another collection, or remove what is there"),
        Code::Unimplemented => (Kind::Unsupported, "the server's version does not have it"),
        Code::OutOfRange | Code::InvalidArgument | Code::FailedPrecondition => {
            (Kind::Rejected, "the server does not accept the request: this may be a defect of this program")
        }
        Code::DataLoss => {
            (Kind::Corrupt, "the server found its own data damaged: see its log before anything else")
        }
        // Most of the server's own errors have no code.
        Code::Ok | Code::Unknown | Code::Internal => (Kind::Rejected, ANY_HINT),
    }
}

/// What an answer over HTTP that is not a success means; `said` is its body.
pub(super) fn of_http(status: u16, said: &str, config: &WeaviateConfig, operation: &str) -> Error {
    let (kind, hint) = match status {
        401 => (Kind::Permission, KEY_HINT),
        403 => (Kind::Permission, "give the key's user the rights to read and change the schema"),
        404 => (Kind::NotFound, "something removed it, or the plan is not for this server"),
        408 | 429 | 502 | 503 | 504 => {
            (Kind::Unavailable, "the server is starting or overloaded: try again soon")
        }
        507 => (Kind::Exhausted, "the server is out of memory or disk"),
        _ => (Kind::Rejected, ANY_HINT),
    };
    answered(status, said, config, operation, kind).hint(hint)
}

/// What status 500 means as the answer to a question: nothing was asked to be done, so it can be asked again.
pub(super) fn of_no_leader(said: &str, config: &WeaviateConfig, operation: &str) -> Error {
    answered(500, said, config, operation, Kind::Unavailable).hint(
        "a cluster that has just lost its leader answers so for some seconds; otherwise see the server's log",
    )
}

fn answered(status: u16, said: &str, config: &WeaviateConfig, operation: &str, kind: Kind) -> Error {
    Error::new(kind, operation)
        .store(config.redacted())
        .detail(format!("the server answered with status {status}: {}", shown(&message(said))))
}

/// Whether a request over HTTP did not leave: no connection was opened for it.
pub(super) fn is_unsent(error: &ureq::Error) -> bool {
    use ureq::Timeout::{Connect, Resolve};
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Timeout(Connect | Resolve) => true,
        ureq::Error::Io(cause) => cause.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

/// A request over HTTP that got no answer.
pub(super) fn of_transport(error: &ureq::Error, config: &WeaviateConfig, operation: &str) -> Error {
    let tls = match error {
        // It does not tell what is in it as its cause.
        ureq::Error::Io(io) => cause_of(io),
        other => cause_of(other),
    };
    if let Some(tls) = tls {
        return of_tls(tls, "REST", config, operation);
    }
    let (kind, why, hint) = match error {
        ureq::Error::Timeout(_) => {
            (Kind::Unavailable, "it gave no answer in time".to_owned(), "see the server's log")
        }
        ureq::Error::HostNotFound => (
            Kind::NotFound,
            "its host was not found".to_owned(),
            "check the host's name; in a container, it is the service's",
        ),
        ureq::Error::ConnectionFailed => (
            Kind::Unavailable,
            "it cannot be reached".to_owned(),
            "start the server, or check the host and the port",
        ),
        ureq::Error::Io(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused => (
            Kind::Unavailable,
            "nothing listens there".to_owned(),
            "start the server, or check the host and the port",
        ),
        ureq::Error::Io(cause) => {
            (Kind::Unavailable, cause.to_string(), "the server may be restarting: see its log")
        }
        ureq::Error::BodyExceedsLimit(most) => {
            (Kind::Unsupported, format!("its answer is longer than {most} bytes"), "is this a Weaviate?")
        }
        ureq::Error::Protocol(cause) => {
            (Kind::Config, cause.to_string(), "is this the port of REST, and is http or https right?")
        }
        other => (Kind::Unavailable, other.to_string(), "see the server's log"),
    };
    Error::new(kind, operation).store(config.redacted()).detail(why).hint(hint)
}

/// A server that could not prove who it is, or that speaks no TLS. It has been told nothing: no key, no row.
fn of_tls(error: &rustls::Error, port: &str, config: &WeaviateConfig, operation: &str) -> Error {
    use rustls::CertificateError::NotValidForNameContext;
    let broken = Handshake::of(error);
    let hint = match broken {
        Handshake::Issuer => "name the root that did with tls_root_cert=FILE in the URL",
        Handshake::Name => {
            "use the name that is in the certificate's subjectAltName (its common name alone does not count); grpc=host:port names gRPC's own"
        }
        Handshake::Expired => "renew it on the server, or on the proxy before it",
        Handshake::Early => "check this machine's clock",
        Handshake::Unusable => "it must be X.509 version 3 and made for a server, not a root's own",
        Handshake::Protocol => "what ends TLS before gRPC must speak HTTP/2 and say so (ALPN h2)",
        Handshake::Ended => {
            "the server may ask for another TLS version or a client's certificate; see its log"
        }
        Handshake::Other => "where the server speaks plain http, write weaviate:// instead of weaviates://",
    };
    let host = match error {
        rustls::Error::InvalidCertificate(NotValidForNameContext { expected, .. }) => {
            expected.to_str().into_owned()
        }
        _ => "the URL's".to_owned(),
    };
    let said = Error::new(Kind::Config, operation)
        .store(config.redacted())
        .detail(format!("{} ({port})", broken.detail(&host)))
        .hint(hint);
    match broken {
        Handshake::Issuer | Handshake::Expired | Handshake::Early => said,
        // These have more to tell: the names that it has, what was answered.
        _ => said.because(error.to_string()),
    }
}

/// An answer that is not what this server's version answers.
pub(super) fn malformed(config: &WeaviateConfig, operation: &str, why: impl Into<String>) -> Error {
    Error::new(Kind::Unsupported, operation)
        .store(config.redacted())
        .detail(why)
        .hint("the server's version, or something between it and here, answers in a form that is not known")
}

/// `{"error":[{"message":"…"}]}` and `{"message":"…"}`, else the text itself.
fn message(said: &str) -> String {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(said) else { return said.to_owned() };
    let texts: Vec<&str> = match &json["error"] {
        serde_json::Value::Array(errors) => {
            errors.iter().filter_map(|error| error["message"].as_str()).collect()
        }
        _ => json["message"].as_str().into_iter().collect(),
    };
    if texts.is_empty() { said.to_owned() } else { texts.join("; ") }
}

/// A text of the server's as one line, cut.
pub(super) fn shown(text: &str) -> String {
    let mut line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS_MAX).collect();
    if text.chars().nth(MESSAGE_CHARS_MAX).is_some() {
        line.push('…');
    }
    if line.trim().is_empty() { "no message".to_owned() } else { line }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide() {
        for (code, kind) in [
            (Code::Unavailable, Kind::Unavailable),
            (Code::DeadlineExceeded, Kind::Unavailable),
            (Code::ResourceExhausted, Kind::Unavailable),
            (Code::Aborted, Kind::Unavailable),
            (Code::Unauthenticated, Kind::Permission),
            (Code::PermissionDenied, Kind::Permission),
            (Code::NotFound, Kind::NotFound),
            (Code::Unimplemented, Kind::Unsupported),
            (Code::Unknown, Kind::Rejected),
            (Code::InvalidArgument, Kind::Rejected),
        ] {
            assert_eq!(meaning(code).0, kind, "{code:?}");
        }
    }

    #[test]
    fn messages_of_both_forms_are_read_and_cut() {
        assert_eq!(message(r#"{"error":[{"message":"a"},{"message":"b"}]}"#), "a; b");
        assert_eq!(message(r#"{"code":401,"message":"anonymous"}"#), "anonymous");
        assert_eq!(message("<html>"), "<html>");
        assert_eq!(shown(&"x".repeat(700)).chars().count(), MESSAGE_CHARS_MAX + 1);
        assert_eq!(shown("a\nb"), "a b");
    }
}
