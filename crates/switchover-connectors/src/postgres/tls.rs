//! TLS to PostgreSQL: rustls with ring, checked as far as `sslmode` says.
//!
//! Invariants: chains and names are checked by rustls's own webpki functions, signatures of the handshake always,
//! in every mode; what a mode leaves out is left out by not calling a function, never by an own check.
//! One addition: a self-signed server certificate that is itself the root file (OpenSSL's `req -x509` marks it a CA,
//! which webpki refuses as a server's) is accepted if it is byte for byte in the root file and in its period.
//! Absent: revocation lists, which `config` refuses; the server's side.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use switchover_core::{Error, Kind, Result};

use super::config::{PgConfig, RootCert, SslMode};

const OPERATION: &str = "prepare TLS to PostgreSQL";

/// What to check of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// The client's side of TLS for `config`, with roots and client certificate read from their files.
pub(super) fn client_config(config: &PgConfig) -> Result<ClientConfig> {
    let check = match (config.sslmode, &config.sslrootcert) {
        (SslMode::VerifyFull, _) => Check::ChainAndName,
        (SslMode::VerifyCa, _) | (SslMode::Require, Some(_)) => Check::Chain,
        (SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require, _) => Check::Nothing,
    };
    let (roots, pinned) = match (check, &config.sslrootcert) {
        (Check::Nothing, _) => (RootCertStore::empty(), Vec::new()),
        (_, Some(RootCert::File(file))) => roots_of_file(file)?,
        (_, Some(RootCert::System)) => (system_roots()?, Vec::new()),
        (_, None) => {
            return Err(Error::new(Kind::Config, OPERATION)
                .store(config.redacted())
                .detail("sslmode asks to verify the server's certificate, but no root certificate is at hand")
                .hint("name one with sslrootcert=FILE (or sslrootcert=system), or put it at ~/.postgresql/root.crt"));
        }
    };
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Verifier { check, roots, pinned, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::new(Kind::Internal, OPERATION).because(cause))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut client = match &config.client_cert {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = read_certificates(certificate)?;
            let secret =
                PrivateKeyDer::from_pem_file(key).map_err(|cause| bad_pem(key, "a private key", cause))?;
            builder.with_client_auth_cert(chain, secret).map_err(|cause| {
                Error::new(Kind::Config, OPERATION)
                    .store(key.display().to_string())
                    .detail("the client's key does not fit its certificate, or has an unknown type")
                    .hint("check that sslcert and sslkey belong together")
                    .because(cause)
            })?
        }
    };
    // PostgreSQL 17 asks for it when TLS begins at once; older servers ignore it.
    client.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(client)
}

fn roots_of_file(file: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>)> {
    let certificates = read_certificates(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|cause| {
            Error::new(Kind::Config, OPERATION)
                .store(file.display().to_string())
                .detail("a root certificate in it cannot be used")
                .hint("it must be an X.509 version 3 certificate")
                .because(cause)
        })?;
    }
    Ok((roots, certificates))
}

fn system_roots() -> Result<RootCertStore> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        return Err(Error::new(Kind::Config, OPERATION)
            .detail("the operating system's store of root certificates is empty or missing")
            .hint("install it (Debian: ca-certificates), or name a file with sslrootcert=FILE"));
    }
    Ok(roots)
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|cause| bad_pem(file, "certificates", cause))?;
    if certificates.is_empty() {
        return Err(Error::new(Kind::Config, OPERATION)
            .store(file.display().to_string())
            .detail("it holds no certificate")
            .hint("it must be PEM, beginning with -----BEGIN CERTIFICATE-----"));
    }
    Ok(certificates)
}

fn bad_pem(file: &Path, what: &str, cause: rustls::pki_types::pem::Error) -> Error {
    match cause {
        rustls::pki_types::pem::Error::Io(cause) => crate::sidecar::io_error(OPERATION, file, cause),
        other => Error::new(Kind::Config, OPERATION)
            .store(file.display().to_string())
            .detail(format!("it does not hold {what} in PEM"))
            .hint("convert it with openssl (x509 or pkey, -outform PEM), without a pass phrase")
            .because(other),
    }
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: RootCertStore,
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn chain(
        &self,
        certificate: &ParsedCertificate<'_>,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> std::result::Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(
            certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        ) {
            // webpki checks the period before this, so an expired certificate never comes here.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
                    && self.pinned.iter().any(|root| root == der) =>
            {
                Ok(())
            }
            verdict => verdict,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if self.check != Check::Nothing {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            self.chain(&certificate, end_entity, intermediates, now)?;
            if self.check == Check::ChainAndName {
                verify_server_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
