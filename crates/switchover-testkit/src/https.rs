//! An endpoint over HTTPS whose certificate an authority of its own has signed, which no machine trusts by itself.
//!
//! Absent on purpose: everything of HTTP but one answer a connection.

use crate::{Error, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// No client of a test takes longer to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// An endpoint that answers until the process ends.
#[derive(Debug)]
pub struct Https {
    address: SocketAddr,
    /// The authority's certificate, as PEM.
    pub root: String,
}

impl Https {
    /// Starts it, with a certificate for `localhost` alone; each request gets the body that `answer` gives.
    pub fn start(answer: impl Fn() -> String + Send + Sync + 'static) -> Result<Https> {
        let made = |error: rcgen::Error| Error::new("no certificate", error);
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().map_err(made)?).map_err(made)?;
        let key = KeyPair::generate().map_err(made)?;
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).map_err(made)?;
        let leaf = leaf.signed_by(&key, &root).map_err(made)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let refused = |error: rustls::Error| Error::new("no TLS", error);
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .map_err(refused)?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| Error::new("no port", error))?;
        let address = listener.local_addr().map_err(|error| Error::new("no port", error))?;
        let (config, answer) = (Arc::new(config), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
                // A client that does not like the certificate ends it: nobody else waits for that.
                thread::spawn(move || drop(one(config, stream, &*answer)));
            }
        });
        Ok(Https { address, root: root.pem() })
    }

    /// Its URL by a name; the certificate is for `localhost`.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.address.port())
    }
}

fn one(config: Arc<ServerConfig>, stream: TcpStream, answer: &dyn Fn() -> String) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&part[..read]),
        }
    }
    let body = answer();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}
