//! Addresses of the Internet Protocol as text, with the bits of a network where not all count.
//!
//! Invariant: only the one spelling is read that is written, so a text that is read comes back as it was: no zeros
//! before a number, letters in lower case, zeros of version 6 shortened as RFC 5952 says, no `/32` or `/128`.
//! Absent: names, zones (`%eth0`) and networks that must have no bits of a host.

use std::net::IpAddr;

/// An address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inet {
    /// The address.
    pub address: IpAddr,
    /// Its first bits that count; all of them for a host.
    pub bits: u8,
}

/// Bits of an address.
fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl Inet {
    /// Reads the spelling that [`Inet::text`] writes.
    pub fn parse(text: &[u8]) -> Option<Inet> {
        let text = std::str::from_utf8(text).ok()?;
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, bits)| (a, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let bits = bits.map_or(Some(bits_of(address)), |bits| bits.parse().ok())?;
        let read = Inet { address, bits };
        (bits <= bits_of(address) && read.text() == text).then_some(read)
    }

    /// The one spelling.
    pub fn text(&self) -> String {
        match self.bits == bits_of(self.address) {
            true => self.address.to_string(),
            false => format!("{}/{}", self.address, self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_is_read() {
        for text in [
            "10.0.0.1",
            "10.0.0.1/8",
            "0.0.0.0/0",
            "::",
            "::1",
            "2001:db8::1/64",
            "::ffff:1.2.3.4",
            "1:2:3:4:5:6:7:8",
        ] {
            assert_eq!(Inet::parse(text.as_bytes()).map(|inet| inet.text()).as_deref(), Some(text));
        }
        for text in [
            "",
            "10.0.0",
            "10.0.0.01",
            "10.0.0.1/32",
            "10.0.0.1/33",
            "10.0.0.1/08",
            "::1/128",
            "2001:DB8::1",
            "0:0:0:0:0:0:0:1",
            "fe80::1%eth0",
            "a.example",
            "1.2.3.4 ",
        ] {
            assert_eq!(Inet::parse(text.as_bytes()), None, "{text}");
        }
    }
}
