//! Certificates for servers of tests: a root, and what it signed.
//!
//! Invariants: each root is a new one, so a certificate of one root is never trusted by way of another; keys are for
//! tests alone and are written nowhere by the kit.
//! Absent on purpose: intermediates and certificates of clients, which no test needs yet.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};

use crate::{Error, Result};

/// A certificate that a [`Root`] signed, and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// A root that clients may trust.
#[derive(Debug)]
pub struct Root {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Root {
    /// A new one.
    pub fn new() -> Result<Root> {
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Roots of one name would be tried for each other's certificates: then only the signature tells.
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, format!("a root of tests {}", crate::server::unique()));
        params.distinguished_name = name;
        let key = KeyPair::generate().map_err(failed)?;
        Ok(Root { issuer: CertifiedIssuer::self_signed(params, key).map_err(failed)? })
    }

    /// The root itself, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these names and addresses, valid now.
    pub fn sign(&self, names: &[&str]) -> Result<Signed> {
        self.signed(names, |_| ())
    }

    /// One whose time is over.
    pub fn expired(&self, names: &[&str]) -> Result<Signed> {
        self.signed(names, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    fn signed(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Result<Signed> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        change(&mut params);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Signed { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn failed(error: rcgen::Error) -> Error {
    Error::new("cannot make a certificate", error)
}
