//! Numbers, names and columns as people read them, within [`WIDTH`] columns.

use unicode_width::UnicodeWidthStr;

/// The width that everything fits.
pub(crate) const WIDTH: usize = 80;

/// A name or value from a store, with its control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    // Besides controls: the marks that reorder text on a terminal.
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return text.to_owned();
    }
    text.chars().map(|c| if steers(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The same over several lines: line breaks stay.
pub(crate) fn shown_lines(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// `1,022,500`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `2 rows`.
pub(crate) fn plural(number: u64, one: &str) -> String {
    let (stem, ending) = match one.strip_suffix('y') {
        _ if number == 1 => (one, ""),
        Some(stem) if one.ends_with("ey") => (stem, "ys"),
        Some(stem) => (stem, "ies"),
        None if one.ends_with('x') => (one, "es"),
        None => (one, "s"),
    };
    format!("{} {stem}{ending}", count(number))
}

/// `612.3 MB`, in powers of ten.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let (mut amount, mut unit) = (number as f64 / 1000.0, 0);
    // 999.95 would be printed as 1000.0.
    while amount >= 999.95 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// `0.4 s`, `12 s`, `3 min 05 s`, `2 h 03 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    let whole = if seconds.is_finite() && seconds > 0.0 { seconds.round() as u64 } else { 0 };
    match whole {
        _ if seconds < 9.95 => format!("{:.1} s", seconds.max(0.0)),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Columns on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text filled up with blanks.
pub(crate) fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// The text, or its beginning and `~`.
pub(crate) fn fit(text: &str, to: usize) -> String {
    if width(text) <= to {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        if width(&out) + width(c.encode_utf8(&mut [0; 4])) + 1 > to {
            break;
        }
        out.push(c);
    }
    out + "~"
}

/// The longest beginning that fits; at least one character, so that a caller gets on.
fn prefix(text: &str, to: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += width(c.encode_utf8(&mut [0; 4]));
        if used > to && at > 0 {
            return &text[..at];
        }
    }
    text
}

/// Words over lines of at most `to` columns; a longer word is cut into pieces.
pub(crate) fn wrap(text: &str, to: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        while let Some(line) = lines.last_mut() {
            let used = width(line);
            if used + usize::from(used > 0) + width(&word) <= to {
                if used > 0 {
                    line.push(' ');
                }
                line.push_str(&word);
                break;
            }
            if used > 0 {
                lines.push(String::new());
                continue;
            }
            let head = prefix(&word, to).to_owned();
            if head.len() >= word.len() {
                line.push_str(&word);
                break;
            }
            word.drain(..head.len());
            line.push_str(&head);
        }
    }
    lines
}

/// Rows under one another: every column but the last as wide as its widest cell (up to `most`),
/// the last one wrapped. `indent` blanks stand before each line.
pub(crate) fn columns<const N: usize>(indent: usize, most: [usize; N], rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            widths[at] = widths[at].max(width(cell)).min(most[at]);
        }
    }
    let before = indent + widths.iter().take(N - 1).map(|width| width + 2).sum::<usize>();
    let last = WIDTH.saturating_sub(before).max(16);
    let mut out = String::new();
    for row in rows {
        let parts: Vec<Vec<String>> = row
            .iter()
            .enumerate()
            .map(|(at, cell)| wrap(cell, if at + 1 == N { last } else { widths[at].max(1) }))
            .collect();
        for line in 0..parts.iter().map(Vec::len).max().unwrap_or(0) {
            let mut text = " ".repeat(indent);
            for (at, part) in parts.iter().enumerate() {
                let cell = part.get(line).map_or("", String::as_str);
                text.push_str(&if at + 1 == N { cell.to_owned() } else { pad(cell, widths[at] + 2) });
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(
            ["1,022,500", "999", "1,000"],
            [count(1_022_500), count(999), count(1000)].map(|s| s).each_ref().map(String::as_str)
        );
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(612_300_000), "612.3 MB");
        assert_eq!(seconds(0.44), "0.4 s");
        assert_eq!(seconds(9.97), "10 s");
        assert_eq!(seconds(185.2), "3 min 05 s");
        assert_eq!(seconds(7380.0), "2 h 03 min");
        assert_eq!(seconds(f64::NAN), "0 s");
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(2, "index"), "2 indexes");
        assert_eq!(plural(0, "foreign key"), "0 foreign keys");
    }

    #[test]
    fn nothing_steers_the_terminal_or_leaves_the_page() {
        assert_eq!(shown("a\u{1b}[2J\u{202e}b"), "a\\u{1b}[2J\\u{202e}b");
        assert_eq!(wrap("aa bb 漢字漢字 ccccccc", 5), ["aa bb", "漢字", "漢字", "ccccc", "cc"]);
        assert_eq!(wrap("ab cdefghi", 6), ["ab", "cdefgh", "i"]);
        assert_eq!(fit("漢字漢字", 5), "漢字~");
        let long = "x".repeat(300);
        let rows = [[long.clone(), "text".into(), long.clone()], ["a".into(), "b".into(), "c d".repeat(50)]];
        assert!(columns(4, [20, 20, 0], &rows).lines().all(|line| width(line) <= WIDTH));
    }
}
