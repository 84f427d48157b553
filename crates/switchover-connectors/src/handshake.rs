//! Why a TLS handshake failed, in words, for every connector that speaks it.
//!
//! Invariant: told by rustls's own error, never by a text. Absent on purpose: what to do about it, which is each
//! connector's, because the settings have other names in each.

use rustls::CertificateError as Bad;

/// What was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// No trusted root signed the certificate.
    Issuer,
    /// The certificate is for other names.
    Name,
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    Early,
    /// The certificate is none for this use.
    Unusable,
    /// The server speaks no protocol over TLS that is asked for.
    Protocol,
    /// The server ended it.
    Ended,
    /// Anything else, such as a server that speaks no TLS.
    Other,
}

impl Handshake {
    /// What rustls found.
    pub(crate) fn of(error: &rustls::Error) -> Handshake {
        match error {
            rustls::Error::InvalidCertificate(bad) => match bad {
                Bad::UnknownIssuer | Bad::BadSignature => Handshake::Issuer,
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Handshake::Name,
                Bad::Expired | Bad::ExpiredContext { .. } => Handshake::Expired,
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => Handshake::Early,
                _ => Handshake::Unusable,
            },
            rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)
            | rustls::Error::NoApplicationProtocol => Handshake::Protocol,
            rustls::Error::AlertReceived(_) => Handshake::Ended,
            _ => Handshake::Other,
        }
    }

    /// In words; `host` is the name that was asked for.
    pub(crate) fn detail(self, host: &str) -> String {
        let fixed = match self {
            Handshake::Name => return format!("the server's certificate is not for the host '{host}'"),
            Handshake::Issuer => "no trusted root signed the server's certificate",
            Handshake::Expired => "the server's certificate has expired",
            Handshake::Early => "the server's certificate is not valid yet",
            Handshake::Unusable => "the server's certificate cannot be used",
            Handshake::Protocol => "the server offers no protocol over TLS that this program speaks",
            Handshake::Ended => "the server ended the TLS handshake",
            Handshake::Other => "the TLS handshake failed",
        };
        fixed.to_owned()
    }
}

/// An error of this type among the causes of another one; transports wrap it in an `io::Error`, which hides it from `source`.
pub(crate) fn cause_of<'e, T: std::error::Error + 'static>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        next = match current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}
