//! The client against a real Weaviate: what goes over the wire comes back, and what the server does in hard cases.

#![expect(clippy::panic, reason = "a test's way to say what it found")]

mod errors;
mod facts;
mod listing;
mod lock;
mod places;
mod support;
mod values;
