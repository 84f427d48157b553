//! The survey: one pass over the whole dump, before anything is asked of it.
//!
//! It proves that the text is JSON of the shape that a dump has, finds tables and columns with the kinds of their
//! values, the rows whose `id` occurs before, and marks along each table from which reading can begin. What it
//! keeps grows with the number of columns and one mark for each [`MARK_BYTES`], not with the rows.

use super::frames::{Frames, Next};
use super::input::{Data, Holds, Part, open};
use super::kind::{Evidence, Kind as ColumnKind};
use super::place::{OPERATION, Place, member, refused};
use super::row::{self, At, entries, string, tagged, twice};
use super::sorted::{Broken, Sorter, repeated};
use super::walk::{Begins, Fault, Framed, Shape};
use crate::json::config::JsonConfig;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use switchover_core::codec::Codec;
use switchover_core::limits::ORPHANS_MAX;
use switchover_core::schema::{Skipped, Unreadable};
use switchover_core::value::Value;
use switchover_core::{Error, Kind, Result, digest};

/// Bytes of a table between two marks: going to a row reads at most so much before it, and 2 GiB have 32,768 marks.
const MARK_BYTES: u64 = 64 << 10;

/// Columns of one table: far more than any target has. An object of values by key, taken for a row, ends here.
pub(super) const COLUMNS_MAX: usize = 10_000;

/// The name of the key that rows in an object have.
pub(super) const ID: &str = "id";

/// A place from which reading can begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// Rows before it.
    pub(super) rows: u64,
    pub(super) offset: u64,
    pub(super) place: Place,
}

/// A column that was found.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) evidence: Evidence,
    pub(super) kind: ColumnKind,
    /// The row that had it last.
    last: u64,
}

/// A table that was found.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) begins: Begins,
    pub(super) holds: Holds,
    pub(super) path: std::path::PathBuf,
    pub(super) data: Arc<Data>,
    pub(super) rows: u64,
    pub(super) columns: Vec<Column>,
    places: HashMap<String, usize>,
    pub(super) marks: Vec<Mark>,
    /// Rows whose `id` occurs before; `None` where not every row has one that identifies.
    pub(super) repeated: Option<Broken>,
}

impl Surveyed {
    /// The column of that name. `guess` is where it would stand if the row had its keys in their usual order.
    pub(super) fn column(&self, name: &str, guess: usize) -> Option<usize> {
        match self.columns.get(guess) {
            Some(column) if column.name == name => Some(guess),
            _ => self.places.get(name).copied(),
        }
    }

    /// Where tagged values would become something else.
    fn lost_tags(&self) -> Option<Unreadable> {
        let (column, lost) = self.columns.iter().find_map(|column| match column.evidence.lost_tags() {
            0 => None,
            lost => Some((&column.name, lost)),
        })?;
        Some(Unreadable {
            name: self.begins.name.clone(),
            why: format!(
                "{lost} values of {column} are tagged blobs or numbers among values that have no one type but JSON, where they would be objects"
            ),
            hint: "give the column values of one kind".into(),
        })
    }

    /// Rows that have no such key.
    pub(super) fn absent(&self, column: &Column) -> u64 {
        self.rows - column.evidence.nulls - column.evidence.present()
    }
}

/// A dump that was surveyed.
#[derive(Debug)]
pub(super) struct Dump {
    pub(super) tables: Vec<Arc<Surveyed>>,
    /// Tables without rows.
    pub(super) bare: Vec<Arc<Surveyed>>,
    /// Tables with something that is no row.
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) bytes: u64,
    /// The digest of its files: BLAKE3 of the one file, or of all their names and digests.
    pub(super) blake3: String,
    /// Files, to see whether they change.
    pub(super) parts: Vec<Arc<Data>>,
}

/// Surveys a dump. Blocking; `stop` ends it early.
pub(super) fn survey(config: &JsonConfig, stop: &AtomicBool) -> Result<Dump> {
    let (parts, mut skipped) = open(config)?;
    let (mut tables, mut unreadable) = (Vec::new(), Vec::new());
    let mut hashes = Vec::new();
    for part in &parts {
        let hash = file(part, stop, &mut tables, &mut unreadable)
            .map_err(|error| error.store(format!("json:{}", part.path.display())))?;
        hashes.push(hash);
    }
    let blake3 = match hashes.as_slice() {
        [one] => *one,
        many => {
            let mut all = blake3::Hasher::new();
            for (part, hash) in parts.iter().zip(many) {
                all.update(part.path.file_name().unwrap_or_default().as_encoded_bytes());
                all.update(&[0]);
                all.update(hash.as_bytes());
            }
            all.finalize()
        }
    };
    let empty = |table: &Surveyed| table.rows == 0 || table.columns.is_empty();
    for table in tables.iter().filter(|table| empty(table)) {
        if table.rows > 0 {
            unreadable.push(Unreadable {
                name: table.begins.name.clone(),
                why: format!("its {} rows hold no key, so nothing tells its columns", table.rows),
                hint: "give its rows their keys, or take the table out of the dump".into(),
            });
            continue;
        }
        let why = "it holds no row with a key, so nothing tells its columns";
        skipped.push(Skipped { kind: "table".into(), name: table.begins.name.clone(), why: why.into() });
    }
    let (mut bare, tables): (Vec<Surveyed>, Vec<Surveyed>) = tables.into_iter().partition(empty);
    bare.retain(|table| table.rows == 0);
    if tables.is_empty() && bare.is_empty() && unreadable.is_empty() {
        return Err(Error::new(Kind::Refused, OPERATION)
            .store(config.label())
            .detail("the dump holds no table")
            .hint("check that it is the file that you mean"));
    }
    Ok(Dump {
        tables: tables.into_iter().map(Arc::new).collect(),
        bare: bare.into_iter().map(Arc::new).collect(),
        unreadable,
        skipped,
        bytes: parts.iter().map(|part| part.data.bytes()).sum(),
        blake3: blake3.to_hex().to_string(),
        parts: parts.iter().map(|part| Arc::clone(&part.data)).collect(),
    })
}

fn file(
    part: &Part,
    stop: &AtomicBool,
    tables: &mut Vec<Surveyed>,
    unreadable: &mut Vec<Unreadable>,
) -> Result<blake3::Hash> {
    let hash = std::thread::scope(|scope| read(part, &Frames::of(scope, part), stop, tables, unreadable))?;
    part.data.unchanged()?;
    Ok(part.data.blake3.unwrap_or(hash))
}

fn read(
    part: &Part,
    frames: &Frames,
    stop: &AtomicBool,
    tables: &mut Vec<Surveyed>,
    unreadable: &mut Vec<Unreadable>,
) -> Result<blake3::Hash> {
    let mut table: Option<Survey> = None;
    let mut wrong: Option<Error> = None;
    while let Some(next) = frames.next() {
        match next {
            Next::Begins(begins) => table = Some(Survey::new(begins, part)),
            Next::Rows(block) => {
                let Some(table) = &mut table else { break };
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::new(Kind::Interrupted, OPERATION).detail("it was asked to stop"));
                }
                for (row, text, path) in block.rows() {
                    match table.row(row, text, path) {
                        Ok(()) => {}
                        // It may be a table that the plan leaves out; what is no JSON ends all of it.
                        Err(error) if error.kind() == Kind::Refused => {
                            wrong.get_or_insert(error);
                        }
                        Err(error) => return Err(error.table(table.table.begins.name.clone())),
                    }
                }
                frames.give_back(block);
            }
            Next::Ends => {
                let Some(table) = table.take() else { break };
                match wrong.take() {
                    None => {
                        let table = table.end()?;
                        match table.lost_tags() {
                            None => tables.push(table),
                            Some(lost) => unreadable.push(lost),
                        }
                    }
                    Some(error) => unreadable.push(Unreadable {
                        name: table.table.begins.name,
                        why: error.why().to_owned(),
                        hint: error.what_to_do().to_owned(),
                    }),
                }
            }
            Next::Over(hash) => return Ok(hash),
            Next::Broken(error) => return Err(error),
        }
    }
    Err(Error::new(Kind::Internal, OPERATION).detail("what finds the rows of the file ended early"))
}

/// A table on its way.
struct Survey {
    table: Surveyed,
    ids: Option<Sorter>,
    scratch: Vec<u8>,
    cells: Vec<u8>,
}

impl Survey {
    fn new(begins: Begins, part: &Part) -> Survey {
        let mut table = Surveyed {
            holds: part.holds.clone(),
            path: part.path.clone(),
            data: Arc::clone(&part.data),
            rows: 0,
            columns: Vec::new(),
            places: HashMap::new(),
            marks: Vec::new(),
            repeated: None,
            begins,
        };
        if table.begins.shape == Shape::Keyed {
            add(&mut table, ID);
        }
        Survey { table, ids: Some(Sorter::default()), scratch: Vec::new(), cells: Vec::new() }
    }

    fn row(&mut self, framed: &Framed, text: &[u8], path: &str) -> Result<()> {
        let Survey { table, ids, scratch, cells } = self;
        if table.marks.last().is_none_or(|mark| framed.offset - mark.offset >= MARK_BYTES) {
            table.marks.push(Mark { rows: table.rows, offset: framed.offset, place: framed.begins });
        }
        table.rows += 1;
        let number = table.rows;
        if let Some(Fault { why, hint }) = &framed.fault {
            return Err(refused(framed.place, path, why, hint));
        }
        let at = At { place: framed.place, path };
        let text = row::text(text, &at)?;
        let mut guess = 0;
        let mut identified = false;
        let keyed = framed.key.as_deref();
        if keyed.is_some() {
            guess = 1;
        }
        entries(text, &at, |key, raw, offset| {
            let column = match table.column(key, guess) {
                Some(column) => column,
                None if table.columns.len() == COLUMNS_MAX => {
                    return Err(refused(
                        at.place.behind(text.as_bytes(), offset),
                        &member(path, key),
                        format!("the rows of the table have more than {COLUMNS_MAX} different keys"),
                        "an object of values by key is no row: put it into a member of a row",
                    ));
                }
                None => add(table, key),
            };
            guess = column + 1;
            let found = &mut table.columns[column];
            if found.last == number {
                return Err(twice(text, &at, key, offset));
            }
            found.last = number;
            found.evidence.observe(raw, scratch);
            if key == ID {
                identified = identify(raw, number, ids, scratch, cells)?;
                if let Some(outer) = keyed {
                    same_id(outer, raw, at.place.behind(text.as_bytes(), offset), path, scratch)?;
                }
            }
            Ok(())
        })?;
        if let (Some(key), Some(column)) = (keyed, table.columns.first_mut())
            && column.last != number
        {
            column.last = number;
            column.evidence.observe_text(key.as_bytes());
            identified = push_id(Value::Text(key.as_bytes()), number, ids, cells)?;
        }
        if !identified {
            *ids = None;
        }
        Ok(())
    }

    fn end(self) -> Result<Surveyed> {
        let Survey { mut table, ids, .. } = self;
        for column in &mut table.columns {
            column.kind = column.evidence.kind();
        }
        table.repeated = ids.map(|ids| repeated(ids.sorted()?, ORPHANS_MAX)).transpose()?;
        Ok(table)
    }
}

fn add(table: &mut Surveyed, name: &str) -> usize {
    let at = table.columns.len();
    table.places.insert(name.to_owned(), at);
    table.columns.push(Column {
        name: name.to_owned(),
        evidence: Evidence::default(),
        kind: ColumnKind::Text,
        last: 0,
    });
    at
}

/// Takes an `id` into account; false when it identifies nothing.
fn identify(
    raw: &str,
    number: u64,
    ids: &mut Option<Sorter>,
    scratch: &mut Vec<u8>,
    cells: &mut Vec<u8>,
) -> Result<bool> {
    if ids.is_none() {
        return Ok(false);
    }
    match (raw.parse(), string(raw, scratch)) {
        (Ok(id), _) => push_id(Value::Int(id), number, ids, cells),
        (_, Some(id)) => push_id(Value::Text(id), number, ids, cells),
        _ => match tagged(raw, scratch) {
            Some(id @ Value::Int(_)) => push_id(id, number, ids, cells),
            _ => Ok(false),
        },
    }
}

fn push_id(id: Value<'_>, number: u64, ids: &mut Option<Sorter>, cells: &mut Vec<u8>) -> Result<bool> {
    let Some(ids) = ids else { return Ok(false) };
    ids.push(key_hash([id], cells), number)?;
    Ok(true)
}

/// The hash of a key's cells.
pub(super) fn key_hash<'v>(cells: impl IntoIterator<Item = Value<'v>>, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    for cell in cells {
        // The codec of plain values always gives bytes.
        let _ = Codec::Int.canonical_source(cell, scratch);
    }
    digest::of_bytes(scratch)
}

/// A row in an object may repeat its key, as a text or as an integer, and nothing else.
fn same_id(outer: &str, raw: &str, place: Place, path: &str, scratch: &mut Vec<u8>) -> Result<()> {
    if (raw == outer && raw.parse::<i64>().is_ok()) || string(raw, scratch) == Some(outer.as_bytes()) {
        return Ok(());
    }
    let shown: String = raw.chars().take(switchover_core::limits::SHOWN_BYTES).collect();
    Err(refused(
        place,
        &member(path, ID),
        format!("the row's key is {outer:?}, its id is {shown}: one of them is wrong"),
        "mend the file, or take the ids out of the rows: the key is then the id",
    ))
}
