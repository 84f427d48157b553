//! The text of an environment file: which lines assign what, and the same text with other values.
//!
//! Invariants: every byte that is not part of a value that is set stays as it is: comments, order, blanks, `export`, line
//! ends, other people's lines, bytes that are not UTF-8. Reading a value after it was set gives that value, unless a quote
//! before it is opened and never closed: whoever sets one asks afterwards. Absent on purpose: expanding `${NAME}`.

use std::borrow::Cow;
use std::ops::Range;

/// One assignment of the text.
struct Assignment {
    name: Range<usize>,
    /// With its quotes.
    value: Range<usize>,
    exported: bool,
    /// Whether programs differ in where it ends, and so in what the lines behind it mean.
    open: bool,
}

/// Whether a name may stand before `=`.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// All assignments, in order. A quoted value may go over several lines.
fn assignments(text: &[u8]) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut at = if text.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    while at < text.len() {
        let end = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |found| at + found);
        let assignment = assignment(text, at, end);
        at = assignment.as_ref().map_or(end, |assignment| assignment.value.end.max(end));
        // Behind a value of several lines the rest of its last line is skipped.
        at = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |found| at + found + 1);
        found.extend(assignment);
    }
    found
}

fn blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn assignment(text: &[u8], start: usize, end: usize) -> Option<Assignment> {
    let skip = |mut at: usize| {
        while at < end && blank(text[at]) {
            at += 1;
        }
        at
    };
    let mut at = skip(start);
    let exported = text[at..end].starts_with(b"export") && text.get(at + 6).is_some_and(|byte| blank(*byte));
    if exported {
        at = skip(at + 6);
    }
    let name_start = at;
    while at < end && (text[at].is_ascii_alphanumeric() || text[at] == b'_') {
        at += 1;
    }
    let name = name_start..at;
    at = skip(at);
    if name.is_empty() || text.get(at) != Some(&b'=') || at >= end {
        return None;
    }
    let from = skip(at + 1);
    let (value, open) = match text.get(from).filter(|_| from < end) {
        Some(quote @ (b'"' | b'\'')) => match quoted(text, from, *quote) {
            Some(value) => {
                let open = value.end > end && !is_done(text, value.end);
                (value, open)
            }
            None => (plain(text, from, end), true),
        },
        _ => (plain(text, from, end), false),
    };
    Some(Assignment { name, value, exported, open })
}

/// Whether nothing but a comment stands behind a value of several lines: else it was ended by a quote that begins another value.
fn is_done(text: &[u8], from: usize) -> bool {
    let rest = text[from..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first = rest.iter().position(|byte| !blank(*byte) && *byte != b'\r');
    first.is_none_or(|at| rest[at] == b'#')
}

/// From a quote to its partner, over as many lines as it takes; `None` when there is none.
fn quoted(text: &[u8], from: usize, quote: u8) -> Option<Range<usize>> {
    let mut at = from + 1;
    while at < text.len() {
        match text[at] {
            b'\\' if quote == b'"' => at += 1,
            byte if byte == quote => return Some(from..at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Up to a comment or the end of the line, without the blanks before that.
fn plain(text: &[u8], from: usize, end: usize) -> Range<usize> {
    let line = &text[from..end];
    let comment = (0..line.len()).find(|at| line[*at] == b'#' && (*at == 0 || blank(line[*at - 1])));
    let mut upto = comment.unwrap_or(line.len());
    while upto > 0 && (blank(line[upto - 1]) || line[upto - 1] == b'\r') {
        upto -= 1;
    }
    from..from + upto
}

/// What a value means, without its quotes.
fn meaning(value: &[u8]) -> Cow<'_, [u8]> {
    match value {
        [b'\'', inner @ .., b'\''] => Cow::Borrowed(inner),
        [b'"', inner @ .., b'"'] => {
            let mut out = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter().copied().peekable();
            while let Some(byte) = bytes.next() {
                match (byte, bytes.peek()) {
                    (b'\\', Some(b'"' | b'\\' | b'$' | b'`')) => out.extend(bytes.next()),
                    _ => out.push(byte),
                }
            }
            Cow::Owned(out)
        }
        plain => Cow::Borrowed(plain),
    }
}

/// The value of a name; the last line of a name wins.
pub(super) fn value(text: &[u8], name: &str) -> Option<Vec<u8>> {
    let all = assignments(text);
    let last = all.iter().rfind(|found| &text[found.name.clone()] == name.as_bytes())?;
    Some(meaning(&text[last.value.clone()]).into_owned())
}

/// Whether a quote is opened before what a name means, and not closed, or by the quote of another value: programs differ in what
/// stands behind it.
pub(super) fn is_behind_open_quote(text: &[u8], name: &str) -> bool {
    let all = assignments(text);
    let last = all.iter().rposition(|found| &text[found.name.clone()] == name.as_bytes());
    all[..last.unwrap_or(0)].iter().any(|found| found.open)
}

/// The text with a name's value set, or with its lines removed. Every line of the name is treated alike.
pub(super) fn set(text: &[u8], name: &str, value: Option<&[u8]>) -> Vec<u8> {
    let all = assignments(text);
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut kept = 0;
    let mut there = false;
    for found in all.iter().filter(|found| &text[found.name.clone()] == name.as_bytes()) {
        there = true;
        let Some(value) = value else {
            let start =
                text[..found.name.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let end = text[found.value.end..].iter().position(|byte| *byte == b'\n');
            out.extend(&text[kept..start]);
            kept = end.map_or(text.len(), |at| found.value.end + at + 1);
            continue;
        };
        let old = &text[found.value.clone()];
        out.extend(&text[kept..found.value.start]);
        // A value that is right stays as it is written.
        if meaning(old) == value {
            out.extend(old);
        } else {
            out.extend(written(value, old.first().copied(), found.exported));
            // Behind an empty value a comment may follow at once, and would become a part of it.
            if text.get(found.value.end) == Some(&b'#') {
                out.push(b' ');
            }
        }
        kept = found.value.end;
    }
    out.extend(&text[kept..]);
    if let (false, Some(value)) = (there, value) {
        let end: &[u8] = if text.windows(2).any(|pair| pair == b"\r\n") { b"\r\n" } else { b"\n" };
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.extend(end);
        }
        let exported = !all.is_empty() && all.iter().all(|found| found.exported);
        out.extend(if exported { "export " } else { "" }.as_bytes());
        out.extend(name.as_bytes());
        out.push(b'=');
        out.extend(written(value, None, exported));
        out.extend(end);
    }
    out
}

/// A value with the quotes that it needs, those of the old value where they hold it. A file without `export` may be read by
/// programs that know no quotes, so a plain value stays plain where no reader takes it for something else.
fn written(value: &[u8], old: Option<u8>, exported: bool) -> Vec<u8> {
    let special = |byte: &u8| match byte {
        b' ' | b'\t' | b'#' | b'\'' | b'"' | b'\\' | b'$' | b'`' => true,
        // To a shell these part commands and name files.
        b'&' | b';' | b'|' | b'<' | b'>' | b'(' | b')' | b'*' | b'?' | b'[' | b']' | b'{' | b'}' | b'~'
        | b'!' => exported,
        _ => false,
    };
    let single = !value.contains(&b'\'');
    let quote = match old {
        Some(b'\'') if single => b'\'',
        Some(b'"' | b'\'') => b'"',
        _ if !value.iter().any(special) => return value.to_vec(),
        _ if single => b'\'',
        _ => b'"',
    };
    let mut out = vec![quote];
    out.extend(if quote == b'"' { in_double_quotes(value) } else { value.to_vec() });
    out.push(quote);
    out
}

/// A value as it stands between double quotes.
pub(super) fn in_double_quotes(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        if matches!(byte, b'"' | b'\\' | b'$' | b'`') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    fn put(text: &str, value: &str) -> String {
        String::from_utf8(set(text.as_bytes(), "A", Some(value.as_bytes()))).unwrap()
    }

    #[test]
    fn only_the_value_changes() {
        for (before, value, after) in [
            ("A=1\n", "2", "A=2\n"),
            ("# A=0\nB=x\n  export A = 1 # why\nC=3", "2", "# A=0\nB=x\n  export A = 2 # why\nC=3"),
            ("A='old # x' # c\r\nB=2\r\n", "new", "A='new' # c\r\nB=2\r\n"),
            ("A=\"old\"\n", "n$w", "A=\"n\\$w\"\n"),
            ("A='x'\n", "it's", "A=\"it's\"\n"),
            ("A=x\n", "two words", "A='two words'\n"),
            ("A=\n", "postgres://u:p@h/d?a=1&b=2", "A=postgres://u:p@h/d?a=1&b=2\n"),
            ("export A=x\n", "postgres://h/d?a=1&b=2", "export A='postgres://h/d?a=1&b=2'\n"),
            ("AA=1\nBA=1\n", "2", "AA=1\nBA=1\nA=2\n"),
            ("B=1", "2", "B=1\nA=2\n"),
            ("B=1\r\n", "2", "B=1\r\nA=2\r\n"),
            ("export B=1\n", "2", "export B=1\nexport A=2\n"),
            ("A=1\nA=5\n", "2", "A=2\nA=2\n"),
            ("KEY=\"first\nA=inside\nlast\"\nA=1\n", "2", "KEY=\"first\nA=inside\nlast\"\nA=2\n"),
            ("A=\"first\nlast\" # c\nB=1\n", "2", "A=\"2\" # c\nB=1\n"),
            ("\u{feff}A=1\n", "2", "\u{feff}A=2\n"),
            ("A= # c\n", "2", "A= 2 # c\n"),
            ("A='1' # same\n", "1", "A='1' # same\n"),
            ("", "2", "A=2\n"),
            ("A='open\nB=1\n", "2", "A='2'\nB=1\n"),
        ] {
            assert_eq!(put(before, value), after, "{before:?}");
            assert_eq!(put(after, value), after, "again {before:?}");
            assert_eq!(super::value(after.as_bytes(), "A").as_deref(), Some(value.as_bytes()));
        }
    }

    #[test]
    fn a_line_is_removed_whole() {
        for (before, after) in
            [("B=1\nA=2 # x\nC=3\n", "B=1\nC=3\n"), ("A=1", ""), ("A=\"1\n2\"\nB=1", "B=1")]
        {
            assert_eq!(String::from_utf8(set(before.as_bytes(), "A", None)).unwrap(), after, "{before:?}");
        }
    }

    #[test]
    fn bytes_of_other_lines_are_kept() {
        let text = b"# caf\xe9\nA=1\nB=\xff\n";
        assert_eq!(set(text, "A", Some(b"2")), b"# caf\xe9\nA=2\nB=\xff\n");
    }

    proptest! {
        /// Whatever the text is, the value is read back, saying it again changes nothing, and other values stay.
        #[test]
        fn what_is_set_is_read_back(
            lines in prop::collection::vec("(export )?[ABC] ?= ?['\"]?[a-z$#\\\\' ]{0,6}['\"]?( #c)?\r?", 0..6),
            value in "[ -~]{0,12}",
        ) {
            let text = lines.join("\n");
            let once = set(text.as_bytes(), "A", Some(value.as_bytes()));
            // A quote that is opened and not closed before leaves open what a line means: the caller asks, and refuses.
            let open = text.contains(['\'', '"']);
            if open && super::value(&once, "A") != Some(value.clone().into_bytes()) {
                return Ok(());
            }
            prop_assert_eq!(super::value(&once, "A"), Some(value.clone().into_bytes()));
            prop_assert_eq!(&set(&once, "A", Some(value.as_bytes())), &once);
            if !open {
                prop_assert_eq!(super::value(&once, "B"), super::value(text.as_bytes(), "B"));
            }
        }
    }
}
