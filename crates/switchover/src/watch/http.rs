//! Asking an endpoint: one GET, with limits on time and size.
//!
//! Absent on purpose: redirects, cookies, credentials other than those in the URL: an endpoint for numbers needs none.

use std::sync::Arc;
use std::time::Duration;
use switchover_core::{Error, Kind, Result};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// How long an answer may take: less than any window.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Largest answer: a large program's metrics are some hundred kilobytes.
const BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Asks endpoints over HTTP and HTTPS.
#[derive(Debug, Clone)]
pub struct HttpFetch {
    agent: ureq::Agent,
}

impl HttpFetch {
    /// With the certificates that this machine trusts.
    pub fn new() -> Result<HttpFetch> {
        let found = rustls_native_certs::load_native_certs();
        let certificates = found.certs.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::Specific(Arc::new(certificates.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .user_agent("switchover")
            .build();
        Ok(HttpFetch { agent: config.new_agent() })
    }

    /// The body of an endpoint's answer; any status but success is an error.
    pub async fn http(&self, url: &str) -> Result<String> {
        let (agent, asked, label) = (self.agent.clone(), url.to_owned(), label(url));
        let fail = move |kind, why: String| Error::new(kind, "ask an endpoint").store(&label).detail(why);
        let get = move || {
            let mut answer = agent.get(&asked).call()?;
            if !answer.status().is_success() {
                return Err(ureq::Error::StatusCode(answer.status().as_u16()));
            }
            answer.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string()
        };
        match tokio::task::spawn_blocking(get).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(fail(Kind::Unavailable, described(&error))),
            Err(error) => Err(fail(Kind::Internal, "the thread that asks ended".into()).because(error)),
        }
    }
}

/// The URL as messages show it: without what is before `@` and behind `?`.
fn label(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, behind)| behind))
        }
        None => "***".into(),
    }
}

/// What went wrong, without the URL, which the library's own words may hold.
fn described(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => format!("it answered with status {status}"),
        ureq::Error::Timeout(_) => format!("it gave no answer within {} s", TIMEOUT.as_secs()),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "its host is not known".into(),
        ureq::Error::ConnectionFailed => "it cannot be reached".into(),
        ureq::Error::BodyExceedsLimit(most) => format!("its answer is longer than {most} bytes"),
        ureq::Error::BadUri(_) => "the URL is not valid".into(),
        ureq::Error::Rustls(error) => error.to_string(),
        _ => "the request failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_label_has_no_secret() {
        for (url, shown) in [
            ("http://h:1/m?token=s3cret", "http://h:1/m"),
            ("https://u:s3cret@h/m#x", "https://h/m"),
            ("s3cret", "***"),
        ] {
            assert_eq!(label(url), shown);
        }
    }
}
