//! A request to stop cleanly, shared by everything that works.
//!
//! Invariants: a request is never taken back, every clone sees it, and asking costs one atomic load,
//! so that loops may ask once a chunk. Absent on purpose: signals. Who asks (Ctrl-C, a service
//! manager, a library's user) is the caller's business.

use switchover_core::{Error, Kind, Result};
use tokio::sync::watch;

/// Whether somebody asked to stop. Clones share the answer.
#[derive(Debug, Clone)]
pub struct Shutdown {
    asked: watch::Sender<bool>,
    /// A request there is one here.
    parent: Option<Box<Shutdown>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { asked: watch::Sender::new(false), parent: None }
    }
}

impl Shutdown {
    /// Asks to stop; returns whether this was the first time.
    pub fn request(&self) -> bool {
        !self.asked.send_replace(true)
    }

    /// A request of a part's own: asked there, only the part stops; asked here, the part stops too.
    #[must_use]
    pub fn child(&self) -> Shutdown {
        Shutdown { asked: watch::Sender::new(false), parent: Some(Box::new(self.clone())) }
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        *self.asked.borrow() || self.parent.as_ref().is_some_and(|parent| parent.is_requested())
    }

    /// Returns when somebody asks; at once when that was earlier. Safe to drop in a `select!`.
    pub async fn requested(&self) {
        let mut asked = self.asked.subscribe();
        let above = async {
            match &self.parent {
                Some(parent) => Box::pin(parent.requested()).await,
                None => std::future::pending().await,
            }
        };
        // The sender lives as long as `self`, so waiting cannot fail.
        tokio::select! {
            biased;
            _ = asked.wait_for(|asked| *asked) => {}
            () = above => {}
        }
    }

    /// An error of kind `Interrupted` once somebody asked: for the `?` between two chunks.
    pub fn check(&self, operation: &str) -> Result<()> {
        if self.is_requested() {
            return Err(asked(operation));
        }
        Ok(())
    }
}

/// The error of an operation that was asked to stop.
pub fn asked(operation: &str) -> Error {
    Error::new(Kind::Interrupted, operation).detail("it was asked to stop")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn every_clone_sees_the_request() {
        let shutdown = Shutdown::default();
        let clone = shutdown.clone();
        assert!(shutdown.check("copy").is_ok());
        let waiting = tokio::spawn(async move { clone.requested().await });
        assert!(shutdown.request());
        assert!(!shutdown.request());
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
        shutdown.requested().await;
        assert_eq!(shutdown.check("copy").unwrap_err().kind(), Kind::Interrupted);
    }
}
