//! The second count of a dump's rows: by brackets, quotes and commas alone.
//!
//! It shares nothing with the walker, so that a reading which left rows out is found. It takes the text to be
//! JSON, which the survey has proven.

use super::input::{Data, Holds};
use super::place::OPERATION;
use super::survey::Dump;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use switchover_core::{Error, Kind, Result};

/// Bytes that are read at a time.
const READ_BYTES: usize = 256 << 10;

/// The rows of all tables, by name. Blocking.
pub(super) fn count(dump: &Dump) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let mut before: Option<&Arc<Data>> = None;
    for table in &dump.tables {
        // The tables of one dump are in one file, which is counted once.
        if before.is_none_or(|before| !Arc::ptr_eq(before, &table.data)) {
            file(&table.data, &table.holds, &mut counts)?;
        }
        before = Some(&table.data);
    }
    Ok(counts)
}

/// Adds the rows of a file's tables. Blocking.
pub(super) fn file(data: &Arc<Data>, holds: &Holds, counts: &mut BTreeMap<String, u64>) -> Result<()> {
    let mut counter = Counter::new(holds, counts);
    let mut input = data.reader(0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => counter.take(&buffer[..count]),
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(Error::new(Kind::Io, OPERATION).because(cause)),
        }
    }
    counter.end();
    data.unchanged()
}

struct Counter<'a> {
    counts: &'a mut BTreeMap<String, u64>,
    /// The level within which rows stand: 0 for lines, 1 for a list, 2 for a dump.
    level: u32,
    depth: u32,
    in_string: bool,
    escaped: bool,
    name: Vec<u8>,
    commas: u64,
    any: bool,
}

impl<'a> Counter<'a> {
    fn new(holds: &Holds, counts: &'a mut BTreeMap<String, u64>) -> Counter<'a> {
        let (level, name) = match holds {
            Holds::Dump => (2, Vec::new()),
            Holds::Table(name) => (1, name.clone().into_bytes()),
            Holds::Lines(name) => (0, name.clone().into_bytes()),
        };
        Counter { counts, level, depth: 0, in_string: false, escaped: false, name, commas: 0, any: false }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.in_string {
                bytes = self.string(bytes);
                continue;
            }
            bytes = rest;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b']' | b'}' => {
                    if self.depth == self.level {
                        self.flush();
                    }
                    self.depth = self.depth.saturating_sub(1);
                    continue;
                }
                b',' if self.depth == self.level => self.commas += 1,
                b'{' if self.level == 0 && self.depth == 0 => self.commas += 1,
                b'"' => {
                    self.in_string = true;
                    if self.level == 2 && self.depth == 1 {
                        self.name.clear();
                    }
                }
                _ => {}
            }
            self.any |= self.depth == self.level;
            if matches!(byte, b'[' | b'{') {
                self.depth += 1;
            }
        }
    }

    /// Passes over a string, and keeps it where it is a table's name.
    fn string<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut at = 0;
        if self.escaped {
            (self.escaped, at) = (false, 1);
        }
        let mut end = bytes.len();
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
            at += found;
            if bytes[at] == b'"' {
                (self.in_string, end) = (false, at + 1);
                break;
            }
            self.escaped = at + 1 == bytes.len();
            at += 2;
        }
        if self.level == 2 && self.depth == 1 {
            self.name.extend_from_slice(&bytes[..end - usize::from(!self.in_string)]);
        }
        &bytes[end..]
    }

    fn flush(&mut self) {
        let rows = self.commas + u64::from(self.any);
        let quoted = [b"\"", self.name.as_slice(), b"\""].concat();
        let name = match self.level {
            2 => serde_json::from_slice(&quoted).ok(),
            _ => None,
        };
        let name = name.unwrap_or_else(|| String::from_utf8_lossy(&self.name).into_owned());
        self.counts.insert(name, rows);
        (self.commas, self.any) = (0, false);
    }

    fn end(&mut self) {
        if self.level == 0 {
            self.any = false;
            self.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_however_the_text_is_cut() {
        let dump = r#"{"a": [], "b,\"\\": [{"x":[1,2,"]"]}, {} ,{"y":","}], "c":{ }, "d" : {"k":{"z":[]}}}"#;
        let one = r#"[{"a":[1,2]},{}]"#;
        let lines = "{\"a\":[{},{}]}\n\n{}\n{\"b\":\"{\\\"\"}\n";
        for (text, holds, want) in [
            (dump, Holds::Dump, vec![("a", 0), ("b,\"\\", 3), ("c", 0), ("d", 1)]),
            (one, Holds::Table("t".into()), vec![("t", 2)]),
            (lines, Holds::Lines("t".into()), vec![("t", 3)]),
        ] {
            for step in 1..text.len() {
                let mut counts = BTreeMap::new();
                let mut counter = Counter::new(&holds, &mut counts);
                text.as_bytes().chunks(step).for_each(|chunk| counter.take(chunk));
                counter.end();
                let found: Vec<(&str, u64)> =
                    counts.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
                assert_eq!(found, want, "{step}");
            }
        }
    }
}
