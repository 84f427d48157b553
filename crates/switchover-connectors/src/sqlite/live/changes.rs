//! Reading what changed: the keys behind a position and their rows as they are, in one short read transaction.
//!
//! Entries have no gaps: SQLite numbers them in the order of commits, because it has one writer, and takes a
//! number back with the change that is rolled back. The newest entry is never removed, so no number is given twice.
//! So the count of the entries between two positions says whether one is missing.

use super::super::error::classify;
use super::super::quote::ident;
use super::super::read::{self, Bound, Encoding, column, placeholder, push};
use super::super::relation::{whole, whole_in_order};
use super::super::rules;
use super::check;
use super::lookup::Added;
use super::records::{self, CHANGES};
use super::{Known, LATER, SURE, SqliteLive, View, refused};
use crate::live_words::{FOLLOWER_SET_BACK, FOLLOWER_SET_BACK_HINT, SET_BACK, SET_BACK_HINT};
use rusqlite::{Connection, params_from_iter};
use std::collections::{BTreeMap, HashSet};
use std::time::Instant;
use switchover_core::connector::Position;
use switchover_core::failpoint;
use switchover_core::live::{Beside, Changes, Limit, Seen, Side, TableChanges, decode_keys, encode_keys};
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "read changes";

/// Bytes of rows after which a reading ends early: what one application of changes holds in memory, and a read
/// transaction that stays short.
const BATCH_BYTES: usize = 8 << 20;

/// Bytes of a table without a key, which is carried as a whole with each batch that touches it.
pub(super) const WHOLE_BYTES_MAX: usize = 4 << 20;

/// Entries that one transaction removes from the log: a few milliseconds for which the application waits.
const PRUNED_AT_ONCE: i64 = 10_000;

/// The one number that an affinity leaves in two storage classes, -2^63: its integer and its real are one key. A store that holds
/// one of them alone has no row of the other.
const TWINS: [OwnedValue; 2] =
    [OwnedValue::Int(i64::MIN), OwnedValue::FloatBits((-9_223_372_036_854_775_808.0_f64).to_bits())];

/// How often changes are read at once where the file is another each time before they can be marked: a migration changes the schema
/// some times, and is over.
const READ_AGAIN: u32 = 8;

/// What a file was when it was read.
#[derive(Debug, Clone, Copy)]
struct ReadPoint {
    version: i64,
    mark: i64,
    newest: i64,
}

/// What is gathered of a table.
#[derive(Default)]
struct Gathered {
    seen: HashSet<Vec<OwnedValue>>,
    changes: TableChanges,
}

impl SqliteLive {
    pub(super) fn read_changes(
        &self,
        after: &Position,
        limit: Limit,
        beside: Option<&Beside>,
    ) -> Result<Changes> {
        for _ in 0..READ_AGAIN {
            let (changes, read) = self.read_once(after, limit, beside)?;
            if let Some(upto) = self.marked(&changes, read)? {
                return Ok(Changes { upto, ..changes });
            }
        }
        let why = "its definitions were changed each time that it was read";
        Err(refused(Kind::Busy, OPERATION, self.path(), why).hint("leave the schema as it is for a moment"))
    }

    /// The changes at one read point, and what the file was there.
    fn read_once(
        &self,
        after: &Position,
        limit: Limit,
        beside: Option<&Beside>,
    ) -> Result<(Changes, ReadPoint)> {
        self.read(OPERATION, |connection, encoding, known| {
            let (record, _) = records::of_run(connection, self.path(), &self.run, OPERATION)?;
            self.is_as_marked(connection, after, OPERATION)?;
            if records::mark_of(after) < records::forgotten(connection).map_err(|error| self.failed(error))? {
                return Err(refused(Kind::Changed, OPERATION, self.path(), FOLLOWER_SET_BACK)
                    .hint(FOLLOWER_SET_BACK_HINT));
            }
            known.doubts.none(self.path(), OPERATION)?;
            let token = record.token.unwrap_or_default();
            let Some(from) = records::seq_of(&token, after) else {
                return Err(self.torn(format!("the position {} is of another log", after.0)));
            };
            let newest = records::newest(connection).map_err(|error| self.failed(error))?;
            if newest < from {
                return Err(self.torn(format!("it ends at {newest}, and {from} was read from it before")));
            }
            let upto =
                from.saturating_add(i64::try_from(limit.entries.max(1)).unwrap_or(i64::MAX)).min(newest);
            let until = Instant::now().checked_add(limit.time_max);
            let (tables, upto) = self.gather(connection, encoding, known, (from, upto), until)?;
            // Of rows that are not at the log's end nothing can be said.
            let complete = upto == newest;
            let beside = match beside.filter(|_| complete) {
                None => None,
                Some(beside) => Some(self.beside(connection, encoding, known, beside)?),
            };
            let version = check::schema_version(connection).map_err(|error| self.failed(error))?;
            let mark = records::mark(connection).map_err(|error| self.failed(error))?;
            // Differences of positions of one log are never negative here.
            let changes = Changes {
                upto: if upto == from { after.clone() } else { records::position(&token, upto) },
                complete,
                entries: u64::try_from(upto - from).unwrap_or(0),
                behind: u64::try_from(newest - upto).unwrap_or(0),
                tables,
                beside,
            };
            Ok((changes, ReadPoint { version, mark, newest }))
        })
    }

    /// Marks what was read of a target, and gives its position then; nothing where another state of the file may stand there by now, which is
    /// to be read anew: what SQLite's backup interface puts into a file in use waits for readers no more than for the mark, and moves the
    /// schema's version.
    ///
    /// Not on the source: the application would bear a commit that waits for the disk, and what is lost there is found by the comparison that
    /// every engine begins with, before the owner can change.
    fn marked(&self, changes: &Changes, read: ReadPoint) -> Result<Option<Position>> {
        if self.side == Side::Source || changes.entries == 0 {
            return Ok(Some(changes.upto.clone()));
        }
        failpoint::hit("live-target-read");
        self.write("mark what was read", "mark", SURE, |connection| {
            let fail = |error| self.failed(error);
            records::own(connection, self.path(), &self.run, OPERATION)?;
            let is_it = check::schema_version(connection).map_err(fail)? == read.version
                && records::mark(connection).map_err(fail)? == read.mark
                && records::newest(connection).map_err(fail)? >= read.newest;
            if !is_it {
                return Ok(None);
            }
            let mark = records::make_mark(connection).map_err(fail)?;
            Ok(Some(records::marked(&changes.upto, mark)))
        })
    }

    /// That the file is none from before what was read of it up to this position.
    fn is_as_marked(&self, connection: &Connection, after: &Position, operation: &str) -> Result<()> {
        let mark = records::mark_of(after);
        if mark == 0 || records::mark(connection).map_err(|error| self.failed(error))? >= mark {
            return Ok(());
        }
        Err(self.set_back(operation))
    }

    fn set_back(&self, operation: &str) -> Error {
        refused(Kind::Changed, operation, self.path(), SET_BACK).hint(SET_BACK_HINT)
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        classify(error, OPERATION, self.path())
    }

    fn torn(&self, why: String) -> Error {
        let (way_out, hint) = match self.side {
            Side::Source => {
                ("", "the tables are copied again; find out what wrote to the log, or replaced the file")
            }
            // Nothing can be copied anew there; people read it in the status of a run that is held.
            Side::Target => (
                "; the target keeps every row, but which of them the source lacks cannot be told: stop the engine, and `switchover finish \
                 --abandon-source` ends the run",
                "find out what wrote to the log, or replaced the file",
            ),
        };
        let why = format!("the log of changes is not whole: {why}{way_out}");
        refused(Kind::Changed, OPERATION, self.path(), why).hint(hint)
    }

    /// The tables' changes of (from, upto], or of less when that is too much or takes too long; and where it ended.
    fn gather(
        &self,
        connection: &Connection,
        encoding: Encoding,
        known: &Known,
        (from, upto): (i64, i64),
        until: Option<Instant>,
    ) -> Result<(Vec<TableChanges>, i64)> {
        let views = self.views();
        let cells = views.iter().map(|view| view.key.len()).max().unwrap_or(0);
        let names: String =
            (1..=cells).map(|at| format!(", {}", column(&format!("k{at}"), encoding))).collect();
        let sql = format!("SELECT seq, t{names} FROM {CHANGES} WHERE seq > ?1 AND seq <= ?2 ORDER BY seq");
        let mut statement = connection.prepare_cached(&sql).map_err(|error| self.failed(error))?;
        let mut entries = statement.query([from, upto]).map_err(|error| self.failed(error))?;
        let mut gathered: BTreeMap<usize, Gathered> = BTreeMap::new();
        let (mut reached, mut bytes, mut over) = (from, 0, false);
        while let Some(entry) = entries.next().map_err(|error| self.failed(error))? {
            let seq: i64 = entry.get(0).map_err(|error| self.failed(error))?;
            if seq != reached + 1 {
                return Err(self.torn(format!("the entries {} to {} are missing", reached + 1, seq - 1)));
            }
            reached = seq;
            let table: i64 = entry.get(1).map_err(|error| self.failed(error))?;
            let number = usize::try_from(table).ok().filter(|number| *number < views.len());
            let Some(number) = number else {
                return Err(self.torn(format!("the entry {seq} names a table {table}")));
            };
            let view = &views[number];
            let own = gathered.entry(number).or_insert_with(|| Gathered {
                changes: TableChanges {
                    table: number,
                    rows: Rows::new(0, view.columns.len()),
                    ..TableChanges::default()
                },
                ..Gathered::default()
            });
            if view.key.is_empty() {
                if !own.changes.whole {
                    own.changes.whole = true;
                    own.changes.rows = self.whole(connection, encoding, known, view)?;
                    bytes += own.changes.rows.bytes();
                }
            } else {
                let key = self.key(entry, encoding, view)?;
                if key.contains(&OwnedValue::Null) {
                    self.without_row(connection, encoding, known, view, &key, (number, seq))?;
                }
                bytes += self.take(connection, encoding, known, view, own, key)?;
            }
            over = bytes >= BATCH_BYTES || until.is_some_and(|until| Instant::now() >= until);
            if over {
                break;
            }
        }
        if reached < upto && !over {
            return Err(self.torn(format!("the entries {} to {upto} are missing", reached + 1)));
        }
        Ok((gathered.into_values().map(|gathered| gathered.changes).collect(), reached))
    }

    fn key(&self, entry: &rusqlite::Row<'_>, encoding: Encoding, view: &View<'_>) -> Result<Vec<OwnedValue>> {
        let mut cells = Rows::new(0, view.key.len());
        let marked = encoding.is_wide().then_some(encoding);
        push(entry, 2, view.key.len(), marked, &mut cells).map_err(|error| self.failed(error))?;
        Ok(cells.row(0).values().map(|value| value.to_owned_value()).collect())
    }

    /// That no row has this key, in which there is NULL: several rows may have it, so such a row cannot be followed. A key whose rows are
    /// gone is taken like any other: what the follower holds of it goes there, too.
    fn without_row(
        &self,
        connection: &Connection,
        encoding: Encoding,
        known: &Known,
        view: &View<'_>,
        key: &[OwnedValue],
        (table, seq): (usize, i64),
    ) -> Result<()> {
        let fail = |error| self.failed(error).table(view.name);
        let shape = self.shape(known, table, OPERATION)?;
        let terms: Vec<String> = (1..)
            .zip(shape.key.iter().zip(key))
            .map(|(at, (column, cell))| {
                // IS finds NULL by the key's index.
                let cell = placeholder(at, cell, encoding);
                format!("{} COLLATE {} IS {cell}", ident(&column.name), ident(&column.collation))
            })
            .collect();
        let from = whole(self.relations(connection, known)?, view.name);
        let sql = format!("SELECT count(*) FROM {from} WHERE {}", terms.join(" AND "));
        let mut statement = connection.prepare_cached(&sql).map_err(fail)?;
        let cells = params_from_iter(key.iter().map(|cell| Bound(cell, encoding)));
        match statement.query_row(cells, |row| row.get::<_, i64>(0)).map_err(fail)? {
            0 => Ok(()),
            rows => Err(self.unfollowed(view, key, rows, seq)),
        }
    }

    /// The ways out are in what is told, for people read it in the status of a run that is held.
    fn unfollowed(&self, view: &View<'_>, key: &[OwnedValue], rows: i64, seq: i64) -> Error {
        let names = view.key_names().into_iter().zip(key);
        let nulls: Vec<&str> =
            names.filter(|(_, cell)| **cell == OwnedValue::Null).map(|(name, _)| name).collect();
        let way_out = match self.side {
            Side::Source => "or `switchover rollback` takes the run back",
            Side::Target => {
                "where they must stay as they are, stop the engine, and `switchover finish --abandon-source` ends the run, without a way back"
            }
        };
        let why = format!(
            "a row with NULL in its key is found by no key, and the table holds {rows} such (entry {seq} of the log): delete them or give them \
             a key, and the run goes on by itself; {way_out}"
        );
        let shown: Vec<String> = nulls.iter().map(|name| format!("{} IS NULL", ident(name))).collect();
        let hint = format!(
            "on the {}, SELECT * FROM {} WHERE {} shows them",
            self.side,
            ident(view.name),
            shown.join(" AND ")
        );
        refused(Kind::Refused, OPERATION, self.path(), why)
            .table(view.name)
            .column(nulls.join(", "))
            .hint(hint)
    }

    /// Takes a key and its row, unless they are there; gives the bytes of it.
    fn take(
        &self,
        connection: &Connection,
        encoding: Encoding,
        known: &Known,
        view: &View<'_>,
        own: &mut Gathered,
        key: Vec<OwnedValue>,
    ) -> Result<usize> {
        if own.seen.contains(&key) {
            return Ok(0);
        }
        let shape = self.shape(known, own.changes.table, OPERATION)?;
        let mut found = Rows::new(0, view.columns.len());
        let from = whole(self.relations(connection, known)?, view.name);
        Self::look_up(connection, encoding, (view, &from, Added::Computed), shape, &key, &mut found)
            .map_err(|error| self.unread(connection, encoding, (view, &from), shape, (&key, error)))?;
        let mut keys = vec![key];
        for row in found.iter() {
            // The key's index may hold another value for the same one: then both are meant, and the row once.
            let present: Vec<OwnedValue> =
                view.key.iter().map(|at| row.value(*at).to_owned_value()).collect();
            if own.seen.contains(&present) {
                break;
            }
            row.values().for_each(|value| own.changes.rows.push(value));
            if !keys.contains(&present) {
                keys.push(present);
            }
        }
        let bytes = found.bytes() + size_of_val(keys[0].as_slice());
        for at in 0..keys[0].len() {
            if let Some(twin) = TWINS.iter().position(|twin| *twin == keys[0][at]) {
                let mut other = keys[0].clone();
                other[at] = TWINS[1 - twin].clone();
                if self.can_be_there(view, &other) {
                    keys.push(other);
                }
            }
        }
        for key in keys {
            if own.seen.insert(key.clone()) {
                own.changes.keys.push(key);
            }
        }
        Ok(bytes)
    }

    /// Whether the other store can hold a row of a key.
    fn can_be_there(&self, view: &View<'_>, key: &[OwnedValue]) -> bool {
        let key = [key.to_vec()];
        match self.side {
            Side::Source => encode_keys(view.plan, &key).is_ok(),
            Side::Target => decode_keys(view.plan, &key).is_ok(),
        }
    }

    /// All rows of a table without a key.
    fn whole(
        &self,
        connection: &Connection,
        encoding: Encoding,
        known: &Known,
        view: &View<'_>,
    ) -> Result<Rows> {
        let fail = |error| self.failed(error).table(view.name);
        let columns: Vec<String> = view.columns.iter().map(|name| column(name, encoding)).collect();
        let from = whole_in_order(self.relations(connection, known)?, view.name, "t");
        let sql = format!("SELECT {} FROM {from}", columns.join(", "));
        let mut statement = connection.prepare_cached(&sql).map_err(fail)?;
        let mut found = statement.query([]).map_err(fail)?;
        let mut rows = Rows::new(0, view.columns.len());
        while let Some(row) = found.next().map_err(fail)? {
            push(row, 0, view.columns.len(), encoding.is_wide().then_some(encoding), &mut rows)
                .map_err(fail)?;
            if rows.bytes() > WHOLE_BYTES_MAX {
                let why = format!(
                    "it has no primary key, so each change carries all of its rows, and they are more than {WHOLE_BYTES_MAX} bytes by now"
                );
                return Err(refused(Kind::Refused, OPERATION, self.path(), why)
                    .table(view.name)
                    .hint("give it a primary key, or leave it out with --exclude; then start again"));
            }
        }
        Ok(rows)
    }

    fn beside(
        &self,
        connection: &Connection,
        encoding: Encoding,
        known: &Known,
        beside: &Beside,
    ) -> Result<Seen> {
        let relations = self.relations(connection, known)?;
        match beside {
            Beside::Rows(request) => {
                read::batch(connection, self.path(), encoding, relations, request, OPERATION, Rows::default())
                    .map(Seen::Rows)
            }
            Beside::Count(table) => {
                let view = self.view(&self.run.plan.tables[*table]);
                rules::count(connection, self.path(), relations, view.name).map(Seen::Count)
            }
        }
    }

    pub(super) fn settle_upto(&self, upto: &Position) -> Result<()> {
        let operation = "forget changes that were taken";
        loop {
            let removed = self.write(operation, "settle", LATER, |connection| {
                let record = records::own(connection, self.path(), &self.run, operation)?;
                self.is_as_marked(connection, upto, operation)?;
                let token = record.token.unwrap_or_default();
                let mark = records::mark_of(upto);
                let Some(upto) = records::seq_of(&token, upto) else {
                    return Err(self.torn(format!("the position {} is of another log", upto.0)));
                };
                // The newest entry stays, so that its number is not given again.
                let sql = format!(
                    "DELETE FROM {CHANGES} WHERE seq <= min(?1, (SELECT max(seq) FROM {CHANGES}) - 1,
                        (SELECT min(seq) FROM {CHANGES}) + {PRUNED_AT_ONCE} - 1)"
                );
                // With the entries goes the word of it: a source that is set back asks for them.
                records::forget_upto(connection, mark)
                    .and_then(|()| connection.prepare_cached(&sql))
                    .and_then(|mut statement| statement.execute([upto]))
                    .map_err(|error| classify(error, operation, self.path()))
            })?;
            if i64::try_from(removed).unwrap_or(i64::MAX) < PRUNED_AT_ONCE {
                return Ok(());
            }
        }
    }
}
