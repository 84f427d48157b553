//! How things look: plans, progress, errors, runs. Text in, text out; nothing here decides.
//!
//! Invariants: text fits 80 columns; a name or value from a store is shown with its control
//! characters escaped, so that no database can steer a terminal; no text holds a password.

pub(crate) mod error;
pub(crate) mod layout;
pub(crate) mod live;
pub(crate) mod output;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod queries;
pub(crate) mod rehearse;
pub(crate) mod report;
pub(crate) mod route;
pub(crate) mod search;
pub(crate) mod status;
