//! The shell of a dump: which tables there are, and their rows one after another.
//!
//! A [`Walker`] goes through a file by its outer structure and frames each row; [`super::row`] reads it.
//! Invariants: a document is walked to its last byte, so trailing text is found; a table comes once; a
//! row is an object; every error names its place. A survey alone goes on behind what is no row: it may be left out.

use super::input::Holds;
use super::place::{Place, malformed, member, refused};
use super::scan::Scanner;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::Read;
use switchover_core::Result;

/// How the rows of a table stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `[{…}, {…}]`.
    List,
    /// `{"key": {…}}`.
    Keyed,
    /// One after another, each on a line of its own.
    Lines,
    /// No rows: a plain value, which stands for the only one.
    Plain,
}

/// How a file begins that is packed with gzip (RFC 1952).
const GZIP: &[u8] = b"\x1f\x8b";

/// Between which two things the walker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The first row, or the table's end.
    First,
    /// A row.
    Row,
    /// What parts rows, or the table's end.
    Next,
}

/// A table that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begins {
    pub(super) name: String,
    pub(super) shape: Shape,
}

/// A row that was framed. Its text is held until the walker goes on.
#[derive(Debug)]
pub(super) struct Framed {
    /// Its key, in an object of rows.
    pub(super) key: Option<String>,
    /// Where it begins (its key, where it has one), to come back to.
    pub(super) offset: u64,
    pub(super) begins: Place,
    /// Where its object begins.
    pub(super) place: Place,
    /// Why it is none, where the walker goes on nevertheless.
    pub(super) fault: Option<Fault>,
}

/// What is no row: why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) why: String,
    pub(super) hint: &'static str,
}

/// Walks through a file.
pub(super) struct Walker<R> {
    scanner: Scanner<R>,
    holds: Holds,
    shape: Shape,
    before: Before,
    /// The table's path.
    path: String,
    /// The row's number in its table, from 0.
    number: u64,
    pending: usize,
    /// Whether the first table was asked for.
    started: bool,
    /// Tables that came.
    seen: BTreeSet<String>,
    /// Whether what is no row is handed on as such.
    surveys: bool,
}

impl<R: Read> Walker<R> {
    /// A walker at the beginning of a file.
    pub(super) fn new(input: R, holds: Holds) -> Walker<R> {
        let scanner = Scanner::new(input, 0, Place { line: 1, column: 1 }, "$".into());
        Walker {
            scanner,
            holds,
            shape: Shape::List,
            before: Before::First,
            path: "$".into(),
            number: 0,
            pending: 0,
            started: false,
            seen: BTreeSet::new(),
            surveys: false,
        }
    }

    /// The same, which goes on behind what is no row.
    pub(super) fn surveying(self) -> Walker<R> {
        Walker { surveys: true, ..self }
    }

    /// A walker before a row of a table: its offset, place and number (from 0).
    pub(super) fn at(
        input: R,
        holds: Holds,
        table: &Begins,
        offset: u64,
        place: Place,
        number: u64,
    ) -> Walker<R> {
        let path = if holds == Holds::Dump { member("$", &table.name) } else { "$".into() };
        let scanner = Scanner::new(input, offset, place, path.clone());
        let (shape, before) = (table.shape, Before::Row);
        Walker {
            scanner,
            holds,
            shape,
            before,
            path,
            number,
            pending: 0,
            started: true,
            seen: BTreeSet::new(),
            surveys: false,
        }
    }

    /// The table that comes next; `None` when the document ended as it should. The table before must have
    /// been walked to its end.
    pub(super) fn table(&mut self) -> Result<Option<Begins>> {
        let first = !std::mem::replace(&mut self.started, true);
        if first {
            self.opens()?;
        }
        match self.holds.clone() {
            Holds::Dump => self.member(first),
            Holds::Table(name) if first => self.rows(name).map(Some),
            Holds::Lines(name) if first => {
                self.begin(Shape::Lines);
                Ok(Some(Begins { name, shape: Shape::Lines }))
            }
            Holds::Table(_) => self.trailing().map(|()| None),
            Holds::Lines(_) => Ok(None),
        }
    }

    /// The file's first bytes.
    fn opens(&mut self) -> Result<()> {
        if self.scanner.takes(b"\xff\xfe")? || self.scanner.takes(b"\xfe\xff")? {
            let why = "the file is UTF-16; JSON is read as UTF-8 (RFC 8259): convert it, as by iconv";
            return Err(self.scanner.malformed(0, why));
        }
        if self.scanner.takes(GZIP)? {
            let place = Place { line: 1, column: 1 };
            let why = "the file is packed with gzip, and its name does not end in .gz";
            return Err(refused(place, "$", why, "rename it, so that its name ends in .gz"));
        }
        // A byte order mark of UTF-8 says nothing, and RFC 8259 lets readers pass over it.
        self.scanner.takes(b"\xef\xbb\xbf")?;
        match (self.scanner.skip_space()?, &self.holds) {
            // No line is a table without rows.
            (None, Holds::Lines(_)) => Ok(()),
            (None, _) => Err(self.scanner.malformed(0, "the file is empty")),
            _ => Ok(()),
        }
    }

    /// A member of the dump's object.
    fn member(&mut self, first: bool) -> Result<Option<Begins>> {
        self.scanner.path = "$".into();
        let mut at_hand = self.scanner.skip_space()?;
        if first {
            if at_hand != Some(b'{') {
                let found = shown(at_hand);
                let why = format!(
                    "a dump is an object whose members are the tables, and this is {found}; rows one after another belong in a file TABLE.jsonl, a list of rows in a folder as TABLE.json"
                );
                return Err(self.misshapen(at_hand, why, "say by the file's name and place what it holds"));
            }
            self.scanner.consume(1);
            at_hand = self.scanner.skip_space()?;
        }
        match at_hand {
            Some(b'}') if first || !self.seen.is_empty() => {
                self.scanner.consume(1);
                return self.trailing().map(|()| None);
            }
            Some(b',') if !first => {
                self.scanner.consume(1);
                at_hand = self.scanner.skip_space()?;
            }
            Some(_) if first => {}
            other => return Err(self.expected("',' or '}'", other)),
        }
        if at_hand != Some(b'"') {
            return Err(self.expected("a table's name in quotes", at_hand));
        }
        let place = self.scanner.place();
        let name = self.name()?;
        if !self.seen.insert(name.clone()) {
            let path = member("$", &name);
            let why = "the member occurs twice, and a reader of JSON would keep one of them only";
            return Err(refused(place, &path, why, "give the second one another name, or join them"));
        }
        self.scanner.path = member("$", &name);
        self.rows(name).map(Some)
    }

    /// A name and the colon behind it.
    fn name(&mut self) -> Result<String> {
        let length = self.scanner.value()?;
        let place = self.scanner.place();
        let name = serde_json::from_slice::<String>(self.scanner.text(length)).map_err(|error| {
            malformed(place.relative(error.line(), error.column()), &self.scanner.path, reason(&error))
        })?;
        self.scanner.consume(length);
        match self.scanner.skip_space()? {
            Some(b':') => self.scanner.consume(1),
            other => return Err(self.expected("':'", other)),
        }
        Ok(name)
    }

    /// The opening of a table's rows.
    fn rows(&mut self, name: String) -> Result<Begins> {
        let shape = match self.scanner.skip_space()? {
            Some(b'[') => Shape::List,
            Some(b'{') => Shape::Keyed,
            other if self.surveys && begins_value(other) => Shape::Plain,
            other => {
                let Fault { why, hint } = no_table(other);
                return Err(self.misshapen(other, why, hint));
            }
        };
        if shape != Shape::Plain {
            self.scanner.consume(1);
        }
        self.begin(shape);
        Ok(Begins { name, shape })
    }

    fn begin(&mut self, shape: Shape) {
        self.path.clone_from(&self.scanner.path);
        (self.shape, self.before, self.number, self.pending) = (shape, Before::First, 0, 0);
    }

    /// The document is over, and so must be the file.
    fn trailing(&mut self) -> Result<()> {
        self.scanner.path = "$".into();
        match self.scanner.skip_space()? {
            None => Ok(()),
            Some(b'{' | b'[') => {
                Err(self.scanner.malformed(0, "a second value follows the end of the document"))
            }
            Some(_) => Err(self.scanner.malformed(0, "text follows the end of the document")),
        }
    }

    /// The next row of the table at hand; `None` behind the last, whose table is then closed.
    pub(super) fn row(&mut self) -> Result<Option<Framed>> {
        if self.pending > 0 {
            self.scanner.consume(self.pending);
            self.pending = 0;
            self.scanner.path.truncate(self.path.len());
        }
        let line = self.scanner.place().line;
        let mut at_hand = self.scanner.skip_space()?;
        let close = if self.shape == Shape::List { b']' } else { b'}' };
        match (self.shape, self.before, at_hand) {
            (Shape::Lines, _, None) | (Shape::Plain, Before::Next, _) => return Ok(None),
            (Shape::Lines, Before::Next, Some(_)) if self.scanner.place().line == line => {
                return Err(self
                    .scanner
                    .malformed(0, "a second value stands on the line: each row has a line of its own"));
            }
            (Shape::Lines | Shape::Plain, ..) => {}
            (_, Before::First | Before::Next, Some(byte)) if byte == close => {
                self.scanner.consume(1);
                return Ok(None);
            }
            (_, Before::Next, Some(b',')) => {
                self.scanner.consume(1);
                at_hand = self.scanner.skip_space()?;
            }
            (_, Before::Next, other) => {
                return Err(
                    self.expected(if self.shape == Shape::List { "',' or ']'" } else { "',' or '}'" }, other)
                );
            }
            (_, Before::First | Before::Row, _) => {}
        }
        let (offset, begins) = (self.scanner.offset(), self.scanner.place());
        let key = match (self.shape, at_hand) {
            (Shape::Keyed, Some(b'"')) => Some(self.name()?),
            (Shape::Keyed, other) => return Err(self.expected("a row's key in quotes", other)),
            _ => None,
        };
        if key.is_some() {
            at_hand = self.scanner.skip_space()?;
        }
        self.name_row(key.as_deref());
        let fault = match at_hand {
            _ if self.shape == Shape::Plain => Some(no_table(at_hand)),
            Some(b'{') => None,
            _ => Some(no_row(at_hand)),
        };
        if let Some(Fault { why, hint }) = &fault
            && !(self.surveys && begins_value(at_hand))
        {
            return Err(self.misshapen(at_hand, why.clone(), hint));
        }
        let place = self.scanner.place();
        let length = self.scanner.value()?;
        self.number += 1;
        (self.before, self.pending) = (Before::Next, length);
        Ok(Some(Framed { key, offset, begins, place, fault }))
    }

    /// The text of the row that was framed last.
    pub(super) fn text(&self) -> &[u8] {
        self.scanner.text(self.pending)
    }

    /// The path of the row that was framed last.
    pub(super) fn path(&self) -> &str {
        &self.scanner.path
    }

    /// The file's reader, when all was walked.
    pub(super) fn into_input(self) -> R {
        self.scanner.into_input()
    }

    /// Has messages name the row at hand. There are many rows: their numbers are written where the last one's was.
    fn name_row(&mut self, key: Option<&str>) {
        let path = &mut self.scanner.path;
        path.truncate(self.path.len());
        match (self.shape, key) {
            (Shape::Lines | Shape::Plain, _) => {}
            (Shape::Keyed, Some(key)) => *path = member(&self.path, key),
            // A String takes whatever is written to it.
            _ => drop(write!(path, "[{}]", self.number)),
        }
    }

    /// A value of another kind than must stand here, or no value at all.
    fn misshapen(&self, found: Option<u8>, why: String, hint: &str) -> switchover_core::Error {
        match begins_value(found) {
            true => refused(self.scanner.place(), &self.scanner.path, why, hint),
            false => self.scanner.malformed(0, why),
        }
    }

    fn expected(&self, what: &str, found: Option<u8>) -> switchover_core::Error {
        match found {
            None => {
                self.scanner.malformed(0, format!("the file ends where {what} must stand: it was cut off"))
            }
            Some(_) => {
                self.scanner.malformed(0, format!("{what} must stand here, and this is {}", shown(found)))
            }
        }
    }
}

/// What a JSON parser says, without the place that it counts from the row's beginning.
pub(super) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or_else(|| text.clone(), |(reason, _)| reason.to_owned())
}

/// Whether a value begins with a byte.
fn begins_value(byte: Option<u8>) -> bool {
    matches!(byte, Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'))
}

fn no_table(found: Option<u8>) -> Fault {
    let why =
        format!("a table is a list of objects, or an object of objects by key, and this is {}", shown(found));
    Fault { why, hint: "take the member out of the dump, or make it a table of its own" }
}

fn no_row(found: Option<u8>) -> Fault {
    let why = format!("a row is an object, and this is {}", shown(found));
    Fault { why, hint: "make an object of it, or take it out of the dump" }
}

/// What begins with a byte, as messages name it.
fn shown(byte: Option<u8>) -> String {
    match byte {
        None => "the end of the file".into(),
        Some(b'{') => "an object".into(),
        Some(b'[') => "a list".into(),
        Some(b'"') => "a text".into(),
        Some(b'-' | b'0'..=b'9') => "a number".into(),
        Some(b't' | b'f') => "true or false".into(),
        Some(b'n') => "null".into(),
        Some(byte) if byte.is_ascii_graphic() => format!("'{}'", byte as char),
        Some(byte) => format!("the byte 0x{byte:02x}"),
    }
}
