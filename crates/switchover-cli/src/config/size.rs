//! Amounts of memory: `100MB`, `1.5GiB`, or plain bytes.
//!
//! `kB`, `MB`, `GB` are powers of ten and `KiB`, `MiB`, `GiB` powers of two; case does not matter.
//! A bare `M` is refused, since half of all programs read it the one way and half the other.

/// The least that a run can work with: one chunk in hand and one in flight a stream, the catalog,
/// and what the program itself and its TLS and SQLite caches take.
pub(crate) const MEMORY_BYTES_MIN: u64 = 48_000_000;

/// The bytes that a text means, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "k" | "m" | "g" => return Err(format!("'{text}' can mean two amounts; write MB or MiB, GB or GiB")),
        _ => return Err(format!("'{text}' is no amount of memory, such as 100MB, 1GiB or 104857600")),
    };
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        // A fraction of a limit needs no more digits than binary64 has; `as` saturates.
        Err(_) => number.parse::<f64>().ok().map(|fraction| (fraction * factor as f64) as u64),
    };
    bytes.ok_or_else(|| format!("'{text}' is no amount of memory, such as 100MB, 1GiB or 104857600"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("100MB", 100_000_000),
            ("1GiB", 1 << 30),
            ("1.5 gb", 1_500_000_000),
            ("104857600", 104_857_600),
            ("64mib", 64 << 20),
            ("7 B", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MB", "1M", "ten MB", "-5MB", "1..5MB", "99999999999999GB", "1 TB", "0x10"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
