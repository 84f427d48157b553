//! One plain HTTP request to a server on loopback.
//!
//! Invariant: HTTP/1.0, so that the answer is not in chunks and ends with the connection.
//! Absent on purpose: TLS, redirects, kept connections; nothing here is for more than a test's look.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::{Error, Result};

/// How long an answer may take: as long as the server's own limit would be far too long for a test.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends it; returns the status and the body.
pub(super) fn send(
    port: u16,
    key: Option<&str>,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String)> {
    let failed = |e: std::io::Error| Error::new(format!("{method} {path} failed on port {port}"), e);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{key}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Error::new(format!("{method} {path} gave no HTTP"), head))?;
    Ok((status, body.to_owned()))
}
