//! What a cluster shall be like: the options of a new one.
//!
//! Invariant: the defaults are right for tests (no fsync, the socket only, a folder that goes with the process).
//! Absent on purpose: acting on them, which is [`Cluster`](crate::Cluster)'s.

use std::path::{Path, PathBuf};

use crate::Binaries;

/// What a cluster shall be like.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    pub(crate) fsync: bool,
    pub(crate) tcp: bool,
    pub(crate) password: Option<String>,
    pub(crate) tls: Option<(String, String)>,
    pub(crate) require_tls: bool,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) persistent: Option<PathBuf>,
    pub(crate) binaries: Option<Binaries>,
}

impl Builder {
    /// Whether commits reach the disk (default: no, which is right for tests and wrong for a benchmark).
    #[must_use]
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// Also listen on 127.0.0.1, on a free port; see [`Cluster::tcp`](crate::Cluster::tcp).
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Ask for this password (SCRAM) on loopback. The socket stays open to the starting user.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.tcp()
    }

    /// Offer TLS on loopback with this certificate and key, in PEM.
    #[must_use]
    pub fn tls(mut self, certificate_pem: &str, key_pem: &str) -> Self {
        self.tls = Some((certificate_pem.to_owned(), key_pem.to_owned()));
        self.tcp()
    }

    /// Refuse loopback connections without TLS.
    #[must_use]
    pub fn require_tls(mut self) -> Self {
        self.require_tls = true;
        self
    }

    /// One more line of `postgresql.conf`; it wins over the kit's own.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// These programs, in place of those found.
    #[must_use]
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Keep the cluster in `folder`, across processes. Where the server's user cannot reach the folder, the
    /// data is in the system's temporary folder, in a place that follows from `folder`.
    #[must_use]
    pub fn persistent(mut self, folder: &Path) -> Self {
        self.persistent = Some(folder.to_owned());
        self
    }
}
