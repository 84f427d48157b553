//! The roots that sign servers' certificates, the same for REST and for gRPC.
//!
//! Invariants: a file that is named is the only source of roots; one that holds none, or something else, is an error and not
//! fewer roots. Absent on purpose: a way to go without: a key is only sent over TLS to a server that has proved its name.

use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "read the root certificates";

/// The certificates of the file, else the system's.
pub(super) fn read(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>> {
    let Some(path) = file else { return system() };
    let bad = |why: &str| {
        Error::new(Kind::Config, OPERATION)
            .store(path.display().to_string())
            .detail(why)
            .hint("it must be PEM, beginning with -----BEGIN CERTIFICATE-----")
    };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|cause| match cause {
        PemError::Io(cause) => crate::sidecar::io_error(OPERATION, path, cause),
        other => bad("it does not hold certificates in PEM").because(other),
    })?;
    if certificates.is_empty() {
        return Err(bad("it holds no certificate"));
    }
    anchors(&certificates).map_err(|cause| bad("a certificate in it cannot be used").because(cause))?;
    Ok(certificates)
}

fn system() -> Result<Vec<CertificateDer<'static>>> {
    let certificates = rustls_native_certs::load_native_certs().certs;
    if certificates.is_empty() {
        return Err(Error::new(Kind::Config, OPERATION)
            .detail("the operating system's store of root certificates is empty or missing")
            .hint("install it (Debian: ca-certificates), or name a file with tls_root_cert=FILE"));
    }
    Ok(certificates)
}

/// What is trusted of these certificates.
pub(super) fn anchors(
    certificates: &[CertificateDer<'_>],
) -> Result<Vec<TrustAnchor<'static>>, webpki::Error> {
    certificates.iter().map(|der| Ok(webpki::anchor_from_trusted_cert(der)?.to_owned())).collect()
}
