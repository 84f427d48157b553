//! Lengths of time: `250ms`, `3s`, `1.5s`, `2m`, `1h`. A bare number is refused: nobody knows what it counts.

use std::time::Duration;

/// Longer than any limit that makes sense here; a typing error beyond it is caught.
const MILLIS_MAX: f64 = 24.0 * 3_600_000.0;

/// The time that a text means, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no length of time, such as 250ms, 3s or 2m");
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = trimmed.split_at(split);
    let factor = match unit.trim() {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return Err(wrong()),
    };
    let millis = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if !(1.0..=MILLIS_MAX).contains(&millis) {
        return Err(format!("'{text}' must be from 1ms to 24h"));
    }
    Ok(Duration::from_secs_f64(millis / 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn spans() {
        for (text, millis) in
            [("250ms", 250), ("3s", 3_000), ("1.5 s", 1_500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse(text).map(|span| span.as_millis()), Ok(millis), "{text}");
        }
        for bad in ["", "3", "s", "3 days", "-1s", "0s", "25h", "1..5s", "NaNs"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
