//! The end of TLS before a server that speaks plainly, as a proxy in front of a real one is.
//!
//! Invariants: what passes is passed unchanged; a connection counts as opened only once the client has verified the
//! certificate and said so, and nothing of what a client says before that is passed on.
//! Absent on purpose: an understanding of what passes; certificates of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Signed;
use crate::listening::Listening;
use crate::{Error, Result};

/// The protocols that a proxy before Weaviate offers: gRPC is spoken over the first, REST over the second.
pub const BOTH: &[&str] = &["h2", "http/1.1"];

/// A listener with TLS on 127.0.0.1; it ends when it is dropped.
#[derive(Debug)]
pub struct TlsEnd {
    listening: Listening,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    refused: AtomicU64,
    heard: AtomicU64,
}

impl TlsEnd {
    /// Before the server at this port of 127.0.0.1, with this certificate and these protocols.
    pub fn start(server: u16, signed: &Signed, protocols: &[&str]) -> Result<TlsEnd> {
        let failed = |e: std::io::Error| Error::new("cannot make an end of TLS", e);
        let unusable = |e: rustls::pki_types::pem::Error| Error::new("the certificate is no PEM", e);
        let chain = CertificateDer::pem_slice_iter(signed.certificate.as_bytes());
        let chain = chain.collect::<std::result::Result<Vec<_>, _>>().map_err(unusable)?;
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).map_err(unusable)?;
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
                .map_err(|e| Error::new("the certificate cannot be used", e))?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let counts = Arc::new(Counts::default());
        let counting = Arc::clone(&counts);
        let listening =
            Listening::start(move |client| pass(client, acceptor.clone(), server, Arc::clone(&counting)))
                .map_err(failed)?;
        Ok(TlsEnd { listening, counts })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.listening.port
    }

    /// Connections whose client took the certificate.
    pub fn opened(&self) -> u64 {
        self.counts.opened.load(Ordering::SeqCst)
    }

    /// Connections that ended before: by a client that did not take it, or that spoke no TLS.
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::SeqCst)
    }

    /// Bytes that clients said over opened connections.
    pub fn heard(&self) -> u64 {
        self.counts.heard.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, acceptor: TlsAcceptor, server: u16, counts: Arc<Counts>) {
    let Ok(client) = acceptor.accept(client).await else {
        counts.refused.fetch_add(1, Ordering::SeqCst);
        return;
    };
    // In TLS 1.3 the server is ready a step before the client has said that it took the certificate; what it says
    // first of all shows which it was.
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let mut first = vec![0; 16 << 10];
    let Ok(length @ 1..) = from_client.read(&mut first).await else {
        counts.refused.fetch_add(1, Ordering::SeqCst);
        return;
    };
    counts.opened.fetch_add(1, Ordering::SeqCst);
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    drop(server.set_nodelay(true));
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        // However one direction ends, the connection is over.
        drop(tokio::io::copy(&mut from_server, &mut to_client).await);
        drop(to_client.shutdown().await);
    });
    let mut said = &first[..length];
    loop {
        counts.heard.fetch_add(said.len() as u64, Ordering::SeqCst);
        if to_server.write_all(said).await.is_err() {
            break;
        }
        match from_client.read(&mut first).await {
            Ok(length @ 1..) => said = &first[..length],
            _ => break,
        }
    }
    drop(to_server.shutdown().await);
    drop(answers.await);
}
