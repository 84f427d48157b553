//! Addresses of the Internet Protocol as text, with the bits of a network where not all count.
//!
//! Invariant: only the one spelling is read that is written, so a text that is read comes back as it was: no zeros
//! before a number, letters in lower case, zeros of version 6 shortened as RFC 5952 says, no `/32` or `/128`.
//! Absent: names and zones (`%eth0`).

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

    /// Reads a network in the spelling that [`Inet::network_text`] writes: no bit of a host is set.
    pub fn parse_network(text: &[u8]) -> Option<Inet> {
        let text = std::str::from_utf8(text).ok()?;
        let (address, bits) = text.split_once('/')?;
        let read = Inet { address: address.parse().ok()?, bits: bits.parse().ok()? };
        let width = u32::from(bits_of(read.address));
        let hosts = width.checked_sub(u32::from(read.bits))?;
        let bare = match read.address {
            IpAddr::V4(address) => hosts == 0 || u64::from(u32::from(address)) % (1 << hosts) == 0,
            IpAddr::V6(address) => {
                hosts == 0 || address.to_bits().trailing_zeros() >= hosts || address.to_bits() == 0
            }
        };
        (bare && read.network_text() == text).then_some(read)
    }

    /// The one spelling of a network: its bits are always said.
    pub fn network_text(&self) -> String {
        format!("{}/{}", self.address, self.bits)
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
    fn a_network_has_no_bits_of_a_host() {
        for text in [
            "10.0.0.0/8",
            "10.0.0.1/32",
            "0.0.0.0/0",
            "255.255.255.254/31",
            "::/0",
            "2001:db8::/32",
            "::1/128",
        ] {
            let read = Inet::parse_network(text.as_bytes());
            assert_eq!(read.map(|inet| inet.network_text()).as_deref(), Some(text));
        }
        for text in [
            "10.0.0.1/8",
            "10.0.0.1",
            "10.0.0.0/33",
            "0.0.0.1/0",
            "::1/0",
            "2001:db8::1/32",
            "::/129",
            "10.0.0.0/08",
            "",
        ] {
            assert_eq!(Inet::parse_network(text.as_bytes()), None, "{text}");
        }
    }

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
