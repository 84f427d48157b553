//! What lies outside both stores: where the application is told to read and write, and who watches it.

use super::status::LiveStatus;
use async_trait::async_trait;
use switchover_core::Result;
use switchover_core::live::{Ownership, Side};

/// Tells the application which store is the owner.
#[async_trait]
pub trait Routing: Send + Sync {
    /// Before anything is fenced. An error gives the switch up: nothing has changed.
    async fn before(&self, to: Side) -> Result<()> {
        let _ = to;
        Ok(())
    }
    /// It is decided. May be called again for the same epoch, by another process. An error is told and tried
    /// again when the run is taken up: the decision stands.
    async fn decided(&self, ownership: &Ownership) -> Result<()> {
        let _ = ownership;
        Ok(())
    }
    /// The switch was given up: the owner is who it was.
    async fn withdrawn(&self, ownership: &Ownership) -> Result<()> {
        let _ = ownership;
        Ok(())
    }
}

/// Watches the application in the reverse window.
#[async_trait]
pub trait Watch: Send + Sync {
    /// Why to go back now, if there is a reason. Called often: who measures keeps the time itself.
    async fn look(&self, status: &LiveStatus) -> Option<String>;
}

/// Tells nobody, and watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

#[async_trait]
impl Routing for Nobody {}

#[async_trait]
impl Watch for Nobody {
    async fn look(&self, _status: &LiveStatus) -> Option<String> {
        None
    }
}
