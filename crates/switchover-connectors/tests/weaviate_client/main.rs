//! The client against a real Weaviate: what goes over the wire comes back, and what the server does in hard cases.

mod errors;
mod listing;
mod support;
mod values;
