//! Reading rows of one range, in the order of their locators, straight into a batch.
//!
//! Text is taken as the bytes that lie in the file. A UTF-16 database is read through a cast to
//! blob, because SQLite's own conversion replaces what is not valid; the bytes become WTF-8 here, so
//! that an unpaired surrogate is invalid UTF-8 and meets the same policies as in any other database.

use super::error::classify;
use super::quote::ident;
use super::relation::{Reading, readings, within};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql, params_from_iter};
use std::path::Path;
use std::time::Instant;
use switchover_core::chunk::KeyRange;
use switchover_core::connector::{Batch, ReadRequest};
use switchover_core::relation::{CellFrom, Relations};
use switchover_core::schema::Locator;
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Result};

/// A locator's cell as a parameter, to stand where [`placeholder`] says.
pub(super) struct Bound<'a>(pub(super) &'a OwnedValue, pub(super) Encoding);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0.borrow() {
            Value::Text(t) if self.1.is_wide() => {
                return Ok(ToSqlOutput::Owned(rusqlite::types::Value::Blob(self.1.stored(t))));
            }
            Value::Int(i) => ValueRef::Integer(i),
            Value::Float(f) => ValueRef::Real(f),
            Value::Text(t) => ValueRef::Text(t),
            Value::Bytes(b) => ValueRef::Blob(b),
            // Locators come from this module, which makes no other kinds.
            _ => ValueRef::Null,
        }))
    }
}

/// Where a locator's cell stands in a statement. In a UTF-16 database text goes in as the bytes that lie
/// in the file: SQLite's own conversion would make another key of one with an unpaired surrogate, and the
/// rows behind it would be passed over.
pub(super) fn placeholder(number: usize, value: &OwnedValue, encoding: Encoding) -> String {
    match value {
        OwnedValue::Text(_) | OwnedValue::TextBytes(_) if encoding.is_wide() => {
            format!("CAST(?{number} AS TEXT)")
        }
        _ => format!("?{number}"),
    }
}

/// The SELECT list for one column: in a UTF-16 database with a second cell that tells text from blob.
pub(super) fn column(name: &str, encoding: Encoding) -> String {
    cast(&ident(name), encoding)
}

/// The same for a column of a table with an alias.
pub(super) fn qualified_column(alias: &str, name: &str, encoding: Encoding) -> String {
    cast(&format!("{alias}.{}", ident(name)), encoding)
}

fn cast(name: &str, encoding: Encoding) -> String {
    if encoding.is_wide() {
        format!(
            "CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END, typeof({name}) = 'text'"
        )
    } else {
        name.to_owned()
    }
}

/// Collations that every connection has, besides `BINARY`.
const BUILT_IN: [&str; 2] = ["NOCASE", "RTRIM"];

/// Whether the order of a key's columns is one of its rows by itself: they compare as bytes, or as the key's own index
/// does, which then holds no two of them for one.
fn orders_rows(
    connection: &Connection,
    relations: &Relations,
    table: &str,
    key: &[String],
) -> rusqlite::Result<bool> {
    for name in key {
        let (table, column) = match relations.get(table).map(|relation| relation.parts.as_slice()) {
            None => (table, name),
            Some([part]) => match part.cells.iter().find(|cell| cell.name == *name).map(|cell| &cell.from) {
                Some(CellFrom::Column(column)) => (part.table.as_str(), column),
                _ => return Ok(false),
            },
            Some(_) => return Ok(false),
        };
        let (_, collation, ..) = connection.column_metadata(Some("main"), table, column.as_str())?;
        let collation = collation.map(|name| name.to_string_lossy().to_ascii_uppercase()).unwrap_or_default();
        let of_index = || -> rusqlite::Result<bool> {
            let sql = "SELECT EXISTS (SELECT 1 FROM pragma_index_list(?1) l, pragma_index_xinfo(l.name) x
                WHERE l.origin = 'pk' AND x.key AND x.name = ?2 COLLATE NOCASE AND x.coll = ?3 COLLATE NOCASE)";
            connection.prepare_cached(sql)?.query_row((table, column, &collation), |row| row.get(0))
        };
        if collation != "BINARY" && !(BUILT_IN.contains(&collation.as_str()) && of_index()?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `ordered`: the key's columns order its rows by themselves. Only so does SQLite find a key of several columns by its
/// index: where a collation is named, it reads from the first row on.
fn statement_text(
    columns: &[String],
    reading: &Reading,
    range: &KeyRange,
    encoding: Encoding,
    ordered: bool,
) -> String {
    let columns: Vec<String> = columns.iter().map(|name| column(name, encoding)).collect();
    let table = &reading.from;
    let (key, order): (Vec<String>, Vec<String>) = match &reading.locator {
        Locator::RowId(name) => (vec![name.clone()], vec![name.clone()]),
        Locator::Key(names) => {
            // A key's own collation may hold two keys for one that differ in bytes; BINARY never does.
            let collate = if ordered { "" } else { " COLLATE BINARY" };
            let order = names.iter().map(|name| format!("{}{collate}", ident(name))).collect();
            (names.iter().map(|name| column(name, encoding)).collect(), order)
        }
        Locator::Ordinal => {
            return format!("SELECT {} FROM {table} LIMIT -1 OFFSET ?1", columns.join(", "));
        }
    };
    let mut sql = format!("SELECT {}, {} FROM {table}", key.join(", "), columns.join(", "));
    let tuple = |from: usize, cells: &[OwnedValue]| {
        (from..).zip(cells).map(|(n, cell)| placeholder(n, cell, encoding)).collect::<Vec<_>>().join(", ")
    };
    let mut parameter = 1;
    let mut word = " WHERE ";
    for (bound, operator) in [(&range.after, ">"), (&range.upto, "<=")] {
        if let Some(cells) = bound {
            sql.push_str(&format!("{word}({}) {operator} ({})", order.join(", "), tuple(parameter, cells)));
            parameter += cells.len();
            word = " AND ";
        }
    }
    sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
    sql
}

/// The next rows of the request's range.
pub(super) fn batch(
    connection: &Connection,
    path: &Path,
    encoding: Encoding,
    relations: &Relations,
    request: &ReadRequest,
    operation: &str,
    mut rows: Rows,
) -> Result<Batch> {
    let fail = |error| classify(error, operation, path).table(request.table.name.clone());
    rows.reset(request.table.locator.width(), request.table.columns.len());
    // A time that no clock reaches is no bound.
    let until = Instant::now().checked_add(request.time_max);
    let mut done = true;
    for reading in readings(relations, &request.table) {
        let Some(range) = within(reading.part, &request.range) else { continue };
        let ordered = match &reading.locator {
            Locator::Key(key) => {
                orders_rows(connection, relations, &request.table.name, key).map_err(fail)?
            }
            Locator::RowId(_) | Locator::Ordinal => false,
        };
        let sql = statement_text(&request.table.columns, &reading, &range, encoding, ordered);
        let mut statement = connection.prepare_cached(&sql).map_err(fail)?;
        let fill = Fill { reading: &reading, range: &range, encoding, request, until };
        done = match reading.locator {
            Locator::Ordinal => fill.by_ordinal(&mut statement, &mut rows),
            Locator::RowId(_) | Locator::Key(_) => fill.by_locator(&mut statement, &mut rows),
        }
        .map_err(fail)?;
        if !done {
            break;
        }
    }
    let last = (!rows.is_empty()).then(|| rows.row(rows.len() - 1).locator());
    if last.as_deref() == Some(&[OwnedValue::Null]) {
        return Err(Error::new(Kind::Corrupt, operation)
            .table(request.table.name.clone())
            .detail("a row has no rowid")
            .hint("run PRAGMA integrity_check on the source"));
    }
    Ok(Batch { rows, last, done })
}

/// Rows of one reading into a batch; both ways say whether the range is exhausted.
struct Fill<'a> {
    reading: &'a Reading,
    range: &'a KeyRange,
    encoding: Encoding,
    request: &'a ReadRequest,
    until: Option<Instant>,
}

impl Fill<'_> {
    /// Whether the batch is to end with these rows.
    fn is_over(&self, rows: &Rows) -> bool {
        self.request.is_filled(rows) || self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn by_locator(&self, statement: &mut Statement<'_>, rows: &mut Rows) -> rusqlite::Result<bool> {
        let (encoding, fields) = (self.encoding, self.request.table.columns.len());
        let bounds = [&self.range.after, &self.range.upto];
        let parameters = bounds.into_iter().flatten().flatten().map(|cell| Bound(cell, encoding));
        let mut found = statement.query(params_from_iter(parameters))?;
        let width = self.reading.locator.width();
        let text_marks = encoding.is_wide() && matches!(self.reading.locator, Locator::Key(_));
        let key_cells = if text_marks { width * 2 } else { width };
        while let Some(row) = found.next()? {
            self.reading.part.iter().for_each(|part| rows.push(Value::Int(*part)));
            push(row, 0, width, text_marks.then_some(encoding), rows)?;
            push(row, key_cells, fields, encoding.is_wide().then_some(encoding), rows)?;
            if self.is_over(rows) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A table with neither rowid nor key is read by ordinal: the order of one snapshot is stable.
    fn by_ordinal(&self, statement: &mut Statement<'_>, rows: &mut Rows) -> rusqlite::Result<bool> {
        let ordinal = |bound: &Option<Vec<OwnedValue>>| match bound.as_deref() {
            Some([OwnedValue::Int(n)]) => Some(*n),
            _ => None,
        };
        let mut at = ordinal(&self.range.after).unwrap_or(0);
        let end = ordinal(&self.range.upto);
        let mut found = statement.query([at])?;
        let marked = self.encoding.is_wide().then_some(self.encoding);
        while let Some(row) = found.next()? {
            if end == Some(at) {
                break;
            }
            at += 1;
            rows.push(Value::Int(at));
            push(row, 0, self.request.table.columns.len(), marked, rows)?;
            if self.is_over(rows) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[inline]
pub(super) fn push(
    row: &rusqlite::Row<'_>,
    from: usize,
    count: usize,
    marked: Option<Encoding>,
    rows: &mut Rows,
) -> rusqlite::Result<()> {
    for at in 0..count {
        if let Some(encoding) = marked {
            let value = row.get_ref(from + 2 * at)?;
            let is_text = matches!(row.get_ref(from + 2 * at + 1)?, ValueRef::Integer(1));
            match value {
                ValueRef::Blob(bytes) if is_text => rows.push(Value::Text(&encoding.wtf8(bytes))),
                other => rows.push(value_of(other)),
            }
        } else {
            rows.push(value_of(row.get_ref(from + at)?));
        }
    }
    Ok(())
}

#[inline]
pub(super) fn value_of(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Int(i),
        ValueRef::Real(f) => Value::Float(f),
        ValueRef::Text(t) => Value::Text(t),
        ValueRef::Blob(b) => Value::Bytes(b),
    }
}

/// How the database's text lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As UTF-8.
    Utf8,
    /// As UTF-16, low byte first.
    Utf16Le,
    /// As UTF-16, high byte first.
    Utf16Be,
}

impl Encoding {
    /// The encoding by the name that `PRAGMA encoding` gives.
    pub(super) fn of_name(name: &str) -> Encoding {
        match name {
            "UTF-16le" => Encoding::Utf16Le,
            "UTF-16be" => Encoding::Utf16Be,
            _ => Encoding::Utf8,
        }
    }

    /// Whether text has to be read through a cast.
    pub(super) fn is_wide(self) -> bool {
        self != Encoding::Utf8
    }

    /// WTF-8 to stored text: the way back of [`Encoding::wtf8`].
    pub(super) fn stored(self, wtf8: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(wtf8.len() * 2);
        let mut unit = |unit: u16| {
            out.extend(if self == Encoding::Utf16Be { unit.to_be_bytes() } else { unit.to_le_bytes() });
        };
        let mut rest = wtf8;
        while !rest.is_empty() {
            let valid = match std::str::from_utf8(rest) {
                Ok(valid) => valid,
                Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(),
            };
            valid.encode_utf16().for_each(&mut unit);
            rest = &rest[valid.len()..];
            // What is not valid in WTF-8 of a UTF-16 text is an unpaired surrogate, in three bytes.
            if let [a, b, c, after @ ..] = rest {
                unit(u16::from(*a & 0x0f) << 12 | u16::from(*b & 0x3f) << 6 | u16::from(*c & 0x3f));
                rest = after;
            } else {
                rest = &[];
            }
        }
        out
    }

    /// Stored text to WTF-8: UTF-8 in which an unpaired surrogate stays what it is.
    pub(super) fn wtf8(self, bytes: &[u8]) -> Vec<u8> {
        let units = bytes.chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            if self == Encoding::Utf16Be { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        });
        let mut out = Vec::with_capacity(bytes.len());
        for unit in char::decode_utf16(units) {
            match unit {
                Ok(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(lone) => {
                    let code = lone.unpaired_surrogate();
                    out.extend([
                        0xe0 | (code >> 12) as u8,
                        0x80 | (code >> 6 & 0x3f) as u8,
                        0x80 | (code & 0x3f) as u8,
                    ]);
                }
            }
        }
        // Half a unit is no text in any encoding: it becomes a byte that UTF-8 never has.
        out.extend((bytes.len() % 2 == 1).then_some(0xff));
        out
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// How SQLite would find the rows behind a bound, by its own word.
    fn steps(ddl: &str, key: &[&str]) -> Vec<String> {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(ddl).unwrap();
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        let ordered = orders_rows(&db, &Relations::new(), "t", &key).unwrap();
        let bound = key.iter().map(|_| OwnedValue::Int(1)).collect();
        let reading = Reading { from: "\"main\".\"t\"".into(), locator: Locator::Key(key), part: None };
        let range = KeyRange { after: Some(bound), upto: None };
        let sql = statement_text(&["v".into()], &reading, &range, Encoding::Utf8, ordered);
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        statement.query_map([1, 1], |row| row.get(3)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn rows_behind_a_key_are_found_by_its_index() {
        for columns in [
            "a INTEGER, b TEXT, v TEXT, PRIMARY KEY (a, b)",
            "a INTEGER, b TEXT COLLATE NOCASE, v TEXT, PRIMARY KEY (a, b)",
            "a TEXT COLLATE RTRIM, b TEXT COLLATE NOCASE, v TEXT, PRIMARY KEY (a, b)",
        ] {
            let found = steps(&format!("CREATE TABLE t ({columns}) WITHOUT ROWID"), &["a", "b"]);
            let by_index = |step: &str| step.starts_with("SEARCH main.t USING PRIMARY KEY ((a,b)>(?,?))");
            assert!(matches!(found.as_slice(), [only] if by_index(only)), "{columns}: {found:?}");
        }
        // Its index holds keys apart that the column's collation takes for one: the order of bytes is asked for.
        let other = "CREATE TABLE t (a INTEGER, b TEXT COLLATE NOCASE, v TEXT, PRIMARY KEY (a, b COLLATE BINARY)) WITHOUT ROWID";
        assert_eq!(steps(other, &["a", "b"]), ["SCAN main.t"]);
    }
}
