//! Ports for servers that are stopped and started again.
//!
//! Invariant: they are none of those that the system gives to connections and to whoever asks for any port, so that no other process
//! has got a server's port while it was down. Two that choose at the same instant may choose alike: whoever starts a server tries again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, Result};

/// Above those that services have by their names, and below those that Linux (32768) and macOS (49152) give by themselves.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_000;

/// Tries until a port is free: of so many, nearly all are.
const TRIES: u32 = 1000;

/// A port of the loopback address on which nobody listens.
pub(crate) fn free_port() -> Result<u16> {
    (0..TRIES)
        .map(|_| FIRST + u16::try_from(random() % u64::from(COUNT)).unwrap_or(0))
        .find(|port| is_free(*port))
        .ok_or_else(|| Error::new("no free port", format!("of {TRIES} that were tried")))
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A number that the system makes of its own chance.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
