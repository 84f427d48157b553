//! The one stream of chunks into a SQLite file, since SQLite has one writer.
//!
//! A chunk is one transaction: its checkpoint first, whose key tells at once whether the chunk is there
//! already, then its rows by one prepared INSERT, then its quarantined values. Values go from the batch
//! straight into the statement; nothing is allocated for a cell or a row.
//!
//! A commit here is safe from the end of this process, not of the machine: what follows the copy makes it
//! durable (`ledger::checkpoints`). A table whose rows have only the hidden rowid keeps it: it costs nothing,
//! and an application may have used it.

use super::connect::{self, Commits, blocking};
use super::error::classify;
use super::ledger;
use super::live::layout::is_place;
use super::quote::{ident, qualified};
use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchover_core::codec::Codec;
use switchover_core::connector::{ChunkWrite, Writer, Written};
use switchover_core::failpoint;
use switchover_core::judge;
use switchover_core::plan::{LogicalType, Plan, TablePlan};
use switchover_core::planner::layout::shown_locator;
use switchover_core::value::{OwnedValue, Row, Rows, Value};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "copy rows to the target";

/// A value as a parameter.
pub(super) struct Bound<'a>(pub(super) Value<'a>);

impl ToSql for Bound<'_> {
    #[inline]
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(i) => ValueRef::Integer(i),
            Value::Bool(b) => ValueRef::Integer(i64::from(b)),
            Value::Float(f) => ValueRef::Real(f),
            Value::Text(t) | Value::Json(t) => ValueRef::Text(t),
            Value::Bytes(b) => ValueRef::Blob(b),
            // The dialect takes no codec that makes one of these.
            Value::Decimal(_)
            | Value::Uuid(_)
            | Value::Date(_)
            | Value::Time(_)
            | Value::Timestamp(_)
            | Value::TimestampTz(_) => {
                let why = format!("{} is no value of SQLite", self.0.class());
                return Err(rusqlite::Error::ToSqlConversionFailure(why.into()));
            }
        }))
    }
}

/// How a table's rows are inserted.
pub(super) struct Insert {
    sql: String,
    /// Whether the row's number goes first.
    rowid: bool,
    fields: Vec<Field>,
}

struct Field {
    index: usize,
    codec: Codec,
    proven: bool,
}

/// The name by which a table's hidden rowid is reached, where it has one of its own.
pub(super) fn rowid_name(table: &TablePlan) -> Option<&'static str> {
    if table.clauses.iter().any(|clause| clause == "WITHOUT ROWID") {
        return None;
    }
    let taken = |name: &str| table.columns.iter().any(|column| column.target.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(|name| !taken(name))
}

/// Whether the source's locator is a number that the row has of its own there too, and no column shows.
fn has_hidden_rowid(table: &TablePlan) -> bool {
    let typed = table.columns.iter().any(|column| column.r#type == LogicalType::Declared);
    typed && is_place(&table.locator)
}

/// What of a batch is in quarantine: rows that are not written, and cells that are NULL.
#[derive(Default)]
pub(super) struct Except<'a> {
    pub(super) left_out: Option<&'a BTreeSet<usize>>,
    pub(super) as_null: Option<&'a BTreeSet<(usize, usize)>>,
}

impl<'a> Except<'a> {
    fn of(chunk: &ChunkWrite<'a>) -> Except<'a> {
        Except {
            left_out: (!chunk.left_out.is_empty()).then_some(chunk.left_out),
            as_null: (!chunk.as_null.is_empty()).then_some(chunk.as_null),
        }
    }
}

impl Insert {
    /// `proven` trusts the census, where it proved that every value fits.
    pub(super) fn of(table: &TablePlan, proven: bool) -> Insert {
        let copied = table.columns.iter().enumerate().filter(|(_, column)| column.generated.is_none());
        let fields: Vec<Field> = copied
            .map(|(index, column)| Field {
                index,
                codec: column.codec.clone(),
                proven: proven && judge::surely_fits(column),
            })
            .collect();
        let rowid = rowid_name(table).filter(|_| has_hidden_rowid(table));
        let columns = fields.iter().map(|field| ident(&table.columns[field.index].target));
        let names: Vec<String> = rowid.map(str::to_owned).into_iter().chain(columns).collect();
        let marks: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
        let name = qualified("main", &table.target);
        let sql = match names.is_empty() {
            // Every column is computed.
            true => format!("INSERT INTO {name} DEFAULT VALUES"),
            false => format!("INSERT INTO {name} ({}) VALUES ({})", names.join(", "), marks.join(", ")),
        };
        Insert { sql, rowid: rowid.is_some(), fields }
    }

    /// The same, where a row that has a value which the new one needs makes room for it.
    pub(super) fn replacing(self) -> Insert {
        Insert { sql: self.sql.replacen("INSERT", "INSERT OR REPLACE", 1), ..self }
    }

    /// Inserts the rows, but for what is in quarantine.
    pub(super) fn run(
        &self,
        connection: &Connection,
        path: &Path,
        table: &TablePlan,
        rows: &Rows,
        operation: &str,
        except: &Except<'_>,
    ) -> Result<()> {
        let fail = |error| classify(error, operation, path).table(table.source.clone());
        let mut statement = connection.prepare_cached(&self.sql).map_err(fail)?;
        let mut scratch = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            if except.left_out.is_some_and(|rows| rows.contains(&at)) {
                continue;
            }
            let mut parameter = 1;
            if self.rowid {
                // A row that is mended comes without its number, and gets the next one.
                let number = match row.locator().first() {
                    Some(OwnedValue::Int(number)) => Value::Int(*number),
                    _ => Value::Null,
                };
                statement.raw_bind_parameter(parameter, Bound(number)).map_err(fail)?;
                parameter += 1;
            }
            for field in &self.fields {
                let is_null = except.as_null.is_some_and(|cells| cells.contains(&(at, field.index)));
                let value = if is_null { Value::Null } else { row.value(field.index) };
                let encoded = match field.proven {
                    true => field.codec.encode_proven(value, &mut scratch),
                    false => field.codec.encode(value, &mut scratch),
                };
                let value = encoded.map_err(|unfit| {
                    Error::new(Kind::Refused, operation)
                        .table(table.source.clone())
                        .key(shown(table, row))
                        .column(table.columns[field.index].source.clone())
                        .detail(format!("{}: {}", value.shown(), unfit.0))
                        .hint("the source changed after the plan was made: plan again")
                })?;
                statement.raw_bind_parameter(parameter, Bound(value)).map_err(fail)?;
                parameter += 1;
            }
            statement.raw_execute().map_err(|error| rejected(error, path, table, row, operation))?;
        }
        Ok(())
    }
}

/// Where a row is, as people read it: of one that was not read by its place, its key.
fn shown(table: &TablePlan, row: Row<'_>) -> String {
    let locator = row.locator();
    if !locator.is_empty() {
        return shown_locator(table, &locator);
    }
    let fields = table.key_fields();
    let cells = fields.iter().map(|at| format!("{}={}", table.columns[*at].source, row.value(*at).shown()));
    cells.collect::<Vec<_>>().join(", ")
}

fn rejected(error: rusqlite::Error, path: &Path, table: &TablePlan, row: Row<'_>, operation: &str) -> Error {
    let failed = classify(error, operation, path).table(table.source.clone());
    match failed.kind() {
        Kind::Rejected => failed.key(shown(table, row)),
        _ => failed,
    }
}

/// The stream.
pub(super) struct SqliteWriter {
    path: PathBuf,
    plan: Arc<Plan>,
    run: String,
    attempt: i64,
    inserts: Vec<Option<Insert>>,
    /// Whether the rows come from a store whose application writes meanwhile. Each chunk then shows another
    /// moment, and a row read before may still have a value that a row read later has got from it. The earlier
    /// one has changed since, so its key is in the log: it makes room, and comes back with its change.
    passing: bool,
    connection: Option<Connection>,
}

impl SqliteWriter {
    pub(super) fn new(
        path: PathBuf,
        plan: Arc<Plan>,
        run: String,
        attempt: i64,
        passing: bool,
    ) -> SqliteWriter {
        let inserts = plan.tables.iter().map(|_| None).collect();
        SqliteWriter { path, plan, run, attempt, inserts, passing, connection: None }
    }

    fn chunk(&mut self, connection: &Connection, chunk: &ChunkWrite<'_>) -> Result<Written> {
        let fail = |error| classify(error, OPERATION, &self.path);
        connection.execute_batch("BEGIN IMMEDIATE").map_err(fail)?;
        let written = self.within(connection, chunk);
        let ended = match &written {
            Ok(Written::Now) => {
                failpoint::hit("copy-before-commit");
                let fail = |error| classify(error, OPERATION, &self.path);
                connection.execute_batch("COMMIT").map_err(fail)
            }
            // What was begun is given up; the error that there was is the one that counts.
            Ok(Written::Already) | Err(_) => {
                let _ = connection.execute_batch("ROLLBACK");
                Ok(())
            }
        };
        let written = written?;
        ended?;
        failpoint::hit("copy-after-commit");
        Ok(written)
    }

    fn within(&mut self, connection: &Connection, chunk: &ChunkWrite<'_>) -> Result<Written> {
        let fail = |error| classify(error, OPERATION, &self.path);
        let checkpoint = chunk.checkpoint;
        let (after, upto) =
            (ledger::key_text(&checkpoint.range.after)?, ledger::key_text(&checkpoint.range.upto)?);
        let sql = format!(
            "INSERT INTO {} (run, table_no, after_key, upto_key, rows, bytes, digest)
             SELECT run, ?3, ?4, ?5, ?6, ?7, ?8 FROM {} WHERE run = ?1 AND attempt = ?2
             ON CONFLICT DO NOTHING",
            ledger::CHECKPOINT,
            ledger::RUN
        );
        let record = (
            &self.run,
            self.attempt,
            // Counts and indexes of one plan fit the ledger's types by far.
            checkpoint.table as i64,
            after,
            upto,
            checkpoint.rows as i64,
            checkpoint.bytes as i64,
            checkpoint.digest.to_string(),
        );
        let inserted =
            connection.prepare_cached(&sql).and_then(|mut sql| sql.execute(record)).map_err(fail)?;
        if inserted == 0 {
            return self.already(connection);
        }
        failpoint::hit("copy-before-rows");
        let table = &self.plan.tables[checkpoint.table];
        let passing = self.passing;
        let insert = self.inserts[checkpoint.table].get_or_insert_with(|| {
            // What the census proved was true when it was taken.
            if passing { Insert::of(table, false).replacing() } else { Insert::of(table, true) }
        });
        insert.run(connection, &self.path, table, chunk.rows, OPERATION, &Except::of(chunk))?;
        if !chunk.quarantine.is_empty() {
            ledger::quarantine(connection, &self.path, &self.run, &table.source, chunk.quarantine)?;
            failpoint::hit("quarantine-before-commit");
        }
        Ok(Written::Now)
    }

    /// No checkpoint was made: either it is there, or this process no longer owns the run.
    fn already(&self, connection: &Connection) -> Result<Written> {
        let sql = format!("SELECT count(*) FROM {} WHERE run = ?1 AND attempt = ?2", ledger::RUN);
        let ours: bool = connection
            .query_row(&sql, (&self.run, self.attempt), |row| row.get(0))
            .map_err(|error| classify(error, OPERATION, &self.path))?;
        if ours { Ok(Written::Already) } else { Err(ledger::taken_over(&self.path, OPERATION)) }
    }
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn write(&mut self, chunk: &ChunkWrite<'_>) -> Result<Written> {
        blocking(|| {
            let connection = match self.connection.take() {
                Some(connection) => connection,
                None => connect::open(&self.path, Commits::Soon)?,
            };
            let written = self.chunk(&connection, chunk);
            // After an error its state is unknown: the next write opens another.
            self.connection = written.is_ok().then_some(connection);
            written
        })
    }
}
