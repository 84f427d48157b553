//! The time and the process's size: the two things the engine asks the system for.

use jiff::{Timestamp, Unit};

/// The present in RFC 3339, to the second.
pub(crate) fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}

/// Seconds since a time that [`now`] gave; `None` of a text that is none.
pub(crate) fn seconds_since(then: &str) -> Option<f64> {
    let then: Timestamp = then.parse().ok()?;
    Some(Timestamp::now().duration_since(then).as_secs_f64().max(0.0))
}

/// The present in letters and digits, to the millisecond, so that later ones sort later.
pub(crate) fn stamp() -> String {
    let now = Timestamp::now();
    format!("{}{:03}", now.strftime("%Y%m%dt%H%M%S"), now.subsec_millisecond())
}

/// The present in microseconds since 1970.
pub(crate) fn micros() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// The largest resident size of this process so far, where the system tells (Linux's `VmHWM`).
pub(crate) fn resident_bytes_max() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
