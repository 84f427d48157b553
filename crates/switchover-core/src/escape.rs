//! Escapes for texts that the target's text cannot hold: exact, and readable.
//!
//! U+241B (`␛`, the picture of the escape character) begins an escape: `␛00` is the NUL character,
//! `␛` and two lower-case hexadecimal digits from `80` up are a byte that is not part of valid
//! UTF-8 where it stands, and `␛␛` is U+241B itself. Every other text stays as it is, so a column
//! reads as before but for the few texts that could not be held at all. A backslash would have been
//! the usual choice; paths and JSON are full of it, and nearly every text would have changed.
//!
//! Invariant: [`decode`] takes back exactly what [`encode`] made, and nothing else.

/// The character that begins an escape, in UTF-8.
const MARK: &[u8] = "\u{241b}".as_bytes();

/// Escapes a text into `out`; `false` when it needs no escape, and `out` then holds nothing of use.
pub fn encode(text: &[u8], out: &mut Vec<u8>) -> bool {
    let valid = crate::value::utf8(text).is_some();
    if valid && memchr::memchr(0, text).is_none() && memchr::memmem::find(text, MARK).is_none() {
        return false;
    }
    out.clear();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\0' => byte(0, out),
                '\u{241b}' => {
                    out.extend_from_slice(MARK);
                    out.extend_from_slice(MARK);
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        chunk.invalid().iter().for_each(|invalid| byte(*invalid, out));
    }
    true
}

fn byte(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(MARK);
    out.extend_from_slice(format!("{byte:02x}").as_bytes());
}

/// Takes escapes back: `Some(true)` with the text in `out`, `Some(false)` when there are none, `None`
/// when no text is written so.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<bool> {
    if memchr::memmem::find(text, MARK).is_none() {
        return Some(false);
    }
    out.clear();
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, MARK) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + MARK.len()..];
        if let Some(after) = rest.strip_prefix(MARK) {
            out.extend_from_slice(MARK);
            rest = after;
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    out.extend_from_slice(rest);
    // Another way to write the same text is not what was written: it is a change.
    let mut again = Vec::with_capacity(text.len());
    (encode(out, &mut again) && again == text).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms() {
        for (text, escaped) in [
            (&b"a\0b"[..], "a␛00b"),
            (b"\xff", "␛ff"),
            ("caf\u{e9}".as_bytes(), "café"),
            ("␛".as_bytes(), "␛␛"),
            ("␛00".as_bytes(), "␛␛00"),
            (b"\xed\xa0\x80", "␛ed␛a0␛80"),
            (b"C:\\dir", "C:\\dir"),
        ] {
            let mut out = Vec::new();
            let changed = encode(text, &mut out);
            assert_eq!(if changed { &out } else { text }, escaped.as_bytes());
            let mut back = Vec::new();
            assert_eq!(decode(escaped.as_bytes(), &mut back), Some(changed));
            assert_eq!(if changed { &back } else { text }, text);
        }
    }

    #[test]
    fn what_was_never_written_is_not_read() {
        for bad in ["␛", "␛0", "␛41", "␛FF", "␛+f", "␛c3␛a9", "␛zz", "␛\u{e9}"] {
            assert_eq!(decode(bad.as_bytes(), &mut Vec::new()), None, "{bad}");
        }
    }
}
