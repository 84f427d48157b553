//! Framing: where a value ends, in bounded memory.
//!
//! A [`Scanner`] reads a file forward and finds the end of the value at hand by brackets and quotes alone,
//! so that whoever knows JSON is given one row at a time as one slice. It knows no numbers, no
//! escapes and no UTF-8: what it frames is read in full by `serde_json`, which says what is wrong inside.
//! What would let a value run on to the end of the file is caught here, at its place: brackets that do not
//! match, and a line break in a string.
//!
//! Invariants: at most [`ROW_BYTES_MAX`] bytes and one buffer are held; line and column are those of the byte at
//! hand.

use super::place::{OPERATION, Place, malformed, refused};
use std::io::Read;
use switchover_core::{Error, Kind, Result};

/// Bytes of the longest row's text. Three copies of it (text, batch, the writer's buffer) fit in the default memory
/// limit of 100 MiB.
pub(super) const ROW_BYTES_MAX: usize = 28 << 20;

/// Levels of a row's nesting, its own braces counted: one more than the canonical form of JSON reads of a value
/// (127), and as many as a 128-bit word remembers the brackets of.
pub(super) const DEPTH_MAX: u32 = 128;

/// Bytes that are read at a time: large enough that the system call is noise, and four readers stay below 1 MiB.
const BUFFER_BYTES: usize = 256 << 10;

/// What a byte outside of strings means to framing.
const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const QUOTE: u8 = 3;

static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    class[b'{' as usize] = OPEN;
    class[b'[' as usize] = OPEN;
    class[b'}' as usize] = CLOSE;
    class[b']' as usize] = CLOSE;
    class[b'"' as usize] = QUOTE;
    class
};

/// Reads a file forward, value by value.
pub(super) struct Scanner<R> {
    input: R,
    buffer: Vec<u8>,
    /// The byte at hand.
    start: usize,
    /// Behind the last byte read.
    end: usize,
    /// The file's offset of the byte at hand.
    offset: u64,
    line: u64,
    column: u64,
    /// Where the byte at hand stands in the document, for messages.
    pub(super) path: String,
}

impl<R: Read> Scanner<R> {
    /// A scanner of what begins at `offset` of a file, which is at `place`.
    pub(super) fn new(input: R, offset: u64, place: Place, path: String) -> Scanner<R> {
        let Place { line, column } = place;
        Scanner { input, buffer: Vec::new(), start: 0, end: 0, offset, line, column, path }
    }

    /// What it reads.
    pub(super) fn into_input(self) -> R {
        self.input
    }

    /// Where the byte at hand stands.
    pub(super) fn place(&self) -> Place {
        Place { line: self.line, column: self.column }
    }

    /// The file's offset of the byte at hand.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `length` bytes, which [`Scanner::value`] found to be a value.
    pub(super) fn text(&self, length: usize) -> &[u8] {
        &self.buffer[self.start..self.start + length]
    }

    fn held(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads more behind what is held; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > 4 * BUFFER_BYTES {
                // A long row was here: its memory is given back.
                self.buffer = Vec::new();
            }
        }
        if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if self.end == self.buffer.len() {
                let wanted = (self.buffer.len() * 2).clamp(BUFFER_BYTES, ROW_BYTES_MAX + BUFFER_BYTES);
                self.buffer.reserve_exact(wanted.saturating_sub(self.buffer.len()));
                self.buffer.resize(wanted.max(self.end + 1), 0);
            }
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count > 0);
                }
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    return Err(Error::new(Kind::Io, OPERATION)
                        .detail(format!("the file cannot be read at {}", self.place()))
                        .hint("see the cause above; nothing was changed on the target")
                        .because(cause));
                }
            }
        }
    }

    /// Passes over white space. Gives the byte at hand, or `None` at the end of the file.
    pub(super) fn skip_space(&mut self) -> Result<Option<u8>> {
        loop {
            for at in self.start..self.end {
                match self.buffer[at] {
                    b'\n' => {
                        self.line += 1;
                        self.column = 1;
                    }
                    b' ' | b'\t' | b'\r' => self.column += 1,
                    other => {
                        self.offset += (at - self.start) as u64;
                        self.start = at;
                        return Ok(Some(other));
                    }
                }
            }
            self.offset += (self.end - self.start) as u64;
            self.start = self.end;
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The byte at hand, or `None` at the end of the file.
    pub(super) fn peek(&mut self) -> Result<Option<u8>> {
        if self.start == self.end && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(self.buffer[self.start]))
    }

    /// Takes the next `length` bytes, which are held.
    pub(super) fn consume(&mut self, length: usize) {
        let taken = &self.buffer[self.start..self.start + length];
        let place = self.place().behind(taken, length);
        (self.line, self.column) = (place.line, place.column);
        self.start += length;
        self.offset += length as u64;
    }

    /// Whether the file goes on with these bytes, which are then taken.
    pub(super) fn takes(&mut self, bytes: &[u8]) -> Result<bool> {
        while self.end - self.start < bytes.len() {
            if !self.fill()? {
                break;
            }
        }
        let found = self.held().starts_with(bytes);
        if found {
            self.start += bytes.len();
            self.offset += bytes.len() as u64;
        }
        Ok(found)
    }

    /// How long the value at hand is. All of it is then held.
    pub(super) fn value(&mut self) -> Result<usize> {
        let length = match self.peek()? {
            Some(b'{' | b'[') => self.nested()?,
            Some(b'"') => self.string_end(1)?,
            Some(_) => self.scalar()?,
            None => return Err(self.ends(0)),
        };
        if length > ROW_BYTES_MAX { Err(self.too_long()) } else { Ok(length) }
    }

    /// Has more held behind `at` bytes, or says why there is no more.
    fn more(&mut self, at: usize) -> Result<()> {
        if at > ROW_BYTES_MAX {
            return Err(self.too_long());
        }
        if self.fill()? { Ok(()) } else { Err(self.ends(at)) }
    }

    /// Behind the quote that ends the string which goes on at `at`.
    fn string_end(&mut self, mut at: usize) -> Result<usize> {
        loop {
            let window = &self.held()[at..];
            match memchr::memchr3(b'"', b'\\', b'\n', window) {
                None => {
                    at += window.len();
                    self.more(at)?;
                }
                Some(found) => match (window[found], window.len() - found) {
                    (b'"', _) => return Ok(at + found + 1),
                    (b'\\', 1) => {
                        at += found;
                        self.more(at)?;
                    }
                    (b'\\', _) => at += found + 2,
                    _ => {
                        return Err(self.malformed(
                            at + found,
                            "a line break stands in a string, or its closing quote is missing",
                        ));
                    }
                },
            }
        }
    }

    fn nested(&mut self) -> Result<usize> {
        let (mut at, mut levels, mut objects) = (0usize, 0u32, 0u128);
        loop {
            let window = &self.held()[at..];
            let Some(found) = window.iter().position(|byte| CLASS[usize::from(*byte)] != 0) else {
                at += window.len();
                self.more(at)?;
                continue;
            };
            let byte = window[found];
            at += found;
            match CLASS[usize::from(byte)] {
                QUOTE => at = self.string_end(at + 1)?,
                OPEN => {
                    if levels == DEPTH_MAX {
                        return Err(refused(
                            self.place().behind(self.held(), at),
                            &self.path,
                            format!("the row is nested deeper than {DEPTH_MAX} levels"),
                            "make the value flatter, or store the inner part as a text",
                        ));
                    }
                    objects = objects << 1 | u128::from(byte == b'{');
                    levels += 1;
                    at += 1;
                }
                _ => {
                    if (objects & 1 == 1) != (byte == b'}') {
                        return Err(
                            self.malformed(at, format!("'{}' does not close what is open", byte as char))
                        );
                    }
                    objects >>= 1;
                    levels -= 1;
                    at += 1;
                    if levels == 0 {
                        return Ok(at);
                    }
                }
            }
        }
    }

    /// A number or a word ends where something else begins, and at the end of the file.
    fn scalar(&mut self) -> Result<usize> {
        let mut at = 0;
        loop {
            let window = &self.held()[at..];
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\r' | b'\n');
            match window.iter().position(ends) {
                Some(found) => return Ok(at + found),
                None => {
                    at += window.len();
                    if at > ROW_BYTES_MAX {
                        return Err(self.too_long());
                    }
                    if !self.fill()? {
                        return Ok(at);
                    }
                }
            }
        }
    }

    fn too_long(&self) -> Error {
        refused(
            self.place(),
            &self.path,
            format!("the row is longer than {ROW_BYTES_MAX} bytes"),
            "keep large contents in files of their own, and their names in the dump",
        )
    }

    /// What is wrong `at` bytes behind the byte at hand.
    pub(super) fn malformed(&self, at: usize, why: impl std::fmt::Display) -> Error {
        malformed(self.place().behind(self.held(), at), &self.path, why)
    }

    /// The file ends where it must go on.
    pub(super) fn ends(&self, at: usize) -> Error {
        self.malformed(at, "the file ends in the middle of a value: it was cut off")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, so that every boundary is met.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            out[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn scanner(text: &[u8]) -> Scanner<Slow<'_>> {
        Scanner::new(Slow(text), 0, Place { line: 1, column: 1 }, "$".into())
    }

    #[test]
    fn values_end_where_they_end() {
        for (text, length) in
            [(r#"{"a":"}\"]","b":[{}]} x"#, 21), (r#""a\\" x"#, 5), ("-1.5e3,", 6), ("true", 4), ("[]]", 2)]
        {
            assert_eq!(scanner(text.as_bytes()).value().ok(), Some(length), "{text}");
        }
    }

    #[test]
    fn what_never_ends_is_named_at_its_place() {
        let deep = "[".repeat(200);
        for (text, want) in [
            ("{\"a\":\n[}", "line 2, column 2, $: '}' does not close what is open"),
            (
                "{\"a\n\":1}",
                "line 1, column 4, $: a line break stands in a string, or its closing quote is missing",
            ),
            ("{\"a\":1", "line 1, column 7, $: the file ends in the middle of a value: it was cut off"),
            ("\"a\\", "line 1, column 3, $: the file ends in the middle of a value: it was cut off"),
            (&deep, "line 1, column 129, $: the row is nested deeper than 128 levels"),
        ] {
            let error = scanner(text.as_bytes()).value().expect_err(text);
            assert_eq!(error.why(), want);
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_refused_in_bounded_memory() {
        let endless = std::io::Read::chain(&b"{\"a\":\""[..], std::io::repeat(b'x'));
        let mut scanner = Scanner::new(endless, 0, Place { line: 1, column: 1 }, "$".into());
        let error = scanner.value().expect_err("endless");
        assert_eq!(error.kind(), Kind::Refused);
        assert!(scanner.buffer.capacity() <= ROW_BYTES_MAX + BUFFER_BYTES);
    }
}
