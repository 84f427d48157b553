//! Reading the reverse log: which rows changed behind a position, and what they are now, at one read point.

use super::PostgresLive;
use super::objects::{self, CHANGES, WATCH};
use super::session::{Failure, Session, arrays, begin_ours, rows, rows_up_to};
use super::shape::{base, meet};
use super::token::{self, Token};
use super::watch::{self, FORGOTTEN, MARK, MARKS, Watch};
use crate::live_words::{FOLLOWER_SET_BACK, FOLLOWER_SET_BACK_HINT, SET_BACK, SET_BACK_HINT};
use crate::postgres::error::sqlstate;
use crate::postgres::{ledger, quote};
use std::sync::atomic::Ordering;
use switchover_core::chunk::LocatorValue;
use switchover_core::connector::{Batch, Position, ReadRequest};
use switchover_core::failpoint;
use switchover_core::live::{Beside, Changes, Limit, Pressure, Seen, TableChanges};
use switchover_core::plan::LogicalType;
use switchover_core::schema::Locator;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio_postgres::types::ToSql;

const OPERATION: &str = "read the target's changes";

/// One read point. Rows that a policy hides are an error and not left out.
const BEGIN: &str =
    "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off";

/// Entries behind a batch are counted so far and no further: to count all of a long log for each batch of it
/// would cost more than the batches.
const BEHIND_MAX: i64 = 100_000;

/// Entries of the log are counted so far and no further, for the same reason.
const PRESSURE_MAX: i64 = 1_000_000;

/// Bytes of rows beyond which a batch takes fewer entries: what the engine holds in memory of one, as it reads from a SQLite file.
const BATCH_BYTES: usize = 8 << 20;

/// Bytes of rows that a table without a key may have, which comes as a whole however few entries are taken: it had 2 MiB at the
/// start, and this is what the engine's memory bears of some such tables at once.
const WHOLE_BYTES_MAX: usize = 64 << 20;

/// Rows that are asked for at a time where a budget of bytes decides how many are taken: few at first, then as
/// many as fit by what the first ones took.
const PAGE_ROWS_MIN: i64 = 16;
const PAGE_ROWS_MAX: i64 = 8_192;

/// The log was dropped. The way out is in what is told, for people read it in the status of a run that is held.
fn no_log(label: &str) -> Error {
    Error::new(Kind::Changed, OPERATION)
        .store(label)
        .detail(format!(
            "the log {CHANGES} is not there: the application cannot write, and what the log held is in this store alone, \
             which `switchover finish --abandon-source` ends the run with"
        ))
        .hint("stop the engine first; the target keeps every row, and the source lacks what the log held")
}

/// The mark that the store has, or that of what it forgot, as an expression; 0 where there is none.
pub(super) fn mark_there(schema: &str, part: &str) -> String {
    let marks = quote::qualified(schema, WATCH);
    format!("coalesce((SELECT print::pg_catalog.int8 FROM {marks} WHERE t = {MARKS} AND part = '{part}'), 0)")
}

/// The statement that ends a reverse window: a source that is set back to it has nothing that the log still knows in the next one.
pub(super) fn window_over(schema: &str) -> String {
    let marks = quote::qualified(schema, WATCH);
    let next = format!("{} + 1", mark_there(schema, MARK));
    format!(
        "INSERT INTO {marks} AS w (t, part, print) SELECT {MARKS}, part, ({next})::text FROM (VALUES ('{MARK}'), ('{FORGOTTEN}')) AS v (part)
         ON CONFLICT (t, part) DO UPDATE SET print = EXCLUDED.print;"
    )
}

/// The store is an older one than the other store's records know. The way out is in what is told, for people read it in the status of a
/// run that is held.
fn set_back(label: &str, operation: &str) -> Error {
    Error::new(Kind::Changed, operation).store(label).detail(SET_BACK).hint(SET_BACK_HINT)
}

/// A table without a key has more rows than a batch can carry. The way out is in what is told, for people read it in the status of a run
/// that is held.
fn too_large(label: &str, table: &str) -> Error {
    Error::new(Kind::Refused, OPERATION)
        .store(label)
        .table(table)
        .detail(format!(
            "it has no primary key, so each change carries all of its rows, and they are more than {WHOLE_BYTES_MAX} bytes by now: delete rows \
             of it, and the run goes on by itself; or `switchover finish --abandon-source` ends the run with this store, which has every row"
        ))
        .hint("until then the target's changes wait in its log")
}

/// The entries that a batch takes of a table.
struct Taken {
    table: usize,
    entries: i64,
    /// Whether one of them names no key: the table has none, or was emptied as a whole.
    whole: bool,
    last: i64,
}

impl PostgresLive {
    pub(super) async fn changes_with(
        &self,
        session: &mut Session,
        after: &Position,
        limit: Limit,
        beside: Option<&Beside>,
    ) -> Result<Changes> {
        let token = Token::parse(after)?;
        let begun = session.client().batch_execute(BEGIN).await;
        begun.map_err(|error| session.connection.classify(error, OPERATION))?;
        let read = self.read(session, after, &token, limit, beside).await;
        let mut changes = read.map_err(|failure| match failure {
            Failure::Server(error) if sqlstate(&error) == Some("42P01") => {
                Error::new(Kind::Changed, OPERATION)
                    .store(session.connection.label())
                    .detail("a table of the plan, or the log of its changes, is not there")
                    .hint("the tables have to be copied again; leave them as they are while the run lasts")
                    .because(error)
            }
            other => other.of(&session.connection, OPERATION),
        })?;
        let ended = session.end().await;
        ended.map_err(|error| session.connection.classify(error, OPERATION))?;
        if changes.entries > 0 {
            let mark = self.mark_with(session, Token::parse(&changes.upto)?.mark).await?;
            changes.upto = Token { mark, ..Token::parse(&changes.upto)? }.position();
        }
        Ok(changes)
    }

    /// Makes the next mark and waits for the disk: behind it, all that was read stays, and no number of a transaction that the reading's
    /// snapshot knew is given again. Before the other store has any of it, so that a store without the mark is one that was set back.
    async fn mark_with(&self, session: &mut Session, read: i64) -> Result<i64> {
        let operation = "mark what was read";
        begin_ours(session, &self.run, operation).await?;
        let marks = quote::qualified(self.schema(), WATCH);
        let sql = format!(
            "INSERT INTO {marks} AS w (t, part, print) VALUES ({MARKS}, '{MARK}', ($1::pg_catalog.int8 + 1)::text)
             ON CONFLICT (t, part) DO UPDATE SET print = EXCLUDED.print WHERE w.print::pg_catalog.int8 = $1
             RETURNING print::pg_catalog.int8"
        );
        let marked = async {
            let statement = session.prepared(&sql).await?;
            session.client().query_opt(&statement, &[&read]).await
        };
        let row = marked.await.map_err(|error| session.connection.classify(error, operation))?;
        // The mark is not the one that the reading saw.
        let Some(row) = row else { return Err(set_back(session.connection.label(), operation)) };
        failpoint::hit("live-mark-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-mark-after-commit");
        Ok(row.get(0))
    }

    async fn read(
        &self,
        session: &mut Session,
        after: &Position,
        token: &Token,
        limit: Limit,
        beside: Option<&Beside>,
    ) -> Result<Changes, Failure> {
        let (plan, schema) = (&*self.run.plan, self.schema());
        let label = session.connection.label().to_owned();
        let sql = format!(
            "SELECT attempt, pg_catalog.pg_current_snapshot()::text, {}, {} FROM {} WHERE run = $1",
            mark_there(schema, MARK),
            mark_there(schema, FORGOTTEN),
            ledger::table(schema, ledger::RUN)
        );
        let statement = session.prepared(&sql).await?;
        let row = session.client().query_opt(&statement, &[&self.run.run]).await?;
        super::session::ours(row.as_ref(), &self.run, &label, OPERATION)?;
        let (snapshot, mark, forgotten): (String, i64, i64) =
            row.map(|row| (row.get(1), row.get(2), row.get(3))).unwrap_or_default();
        if mark < token.mark {
            return Err(set_back(&label, OPERATION).into());
        }
        if token.mark < forgotten {
            return Err(Error::new(Kind::Changed, OPERATION)
                .store(label)
                .detail(FOLLOWER_SET_BACK)
                .hint(FOLLOWER_SET_BACK_HINT)
                .into());
        }
        let digest = watch::digest(session, plan).await?;
        let known = self.whole(|whole| whole.as_ref() == Some(&digest));
        if !known {
            if !super::gate::is_there(session.client(), schema, CHANGES).await? {
                return Err(no_log(&label).into());
            }
            Watch::read(session, plan).await?.check(plan, &label, OPERATION)?;
            self.whole(|whole| *whole = Some(digest));
        }
        let asked = i64::try_from(limit.entries.max(1)).unwrap_or(i64::MAX);
        let (limit, taken, tables) = self.within_bytes(session, token, asked).await?;
        let entries: i64 = taken.iter().map(|taken| taken.entries).sum();
        let complete = entries < limit;
        let last = taken.iter().map(|taken| taken.last).max().unwrap_or(0);
        let upto = match (entries, complete) {
            (0, _) => after.clone(),
            // Everything that this snapshot sees.
            (_, true) => Token { snapshot, last: i64::MAX, mark }.position(),
            (_, false) => Token { snapshot, last, mark }.position(),
        };
        let mut behind = 0;
        if !complete {
            let sql = format!(
                "SELECT count(*) FROM (SELECT FROM {} c WHERE c.id > $1 LIMIT {BEHIND_MAX}) AS counted",
                quote::qualified(schema, CHANGES)
            );
            let statement = session.prepared(&sql).await?;
            behind = session.client().query_one(&statement, &[&last]).await?.get(0);
        }
        let beside = match beside {
            None => None,
            Some(Beside::Count(table)) => Some(Seen::Count(self.count_of(session, *table).await?)),
            Some(Beside::Rows(request)) => Some(Seen::Rows(self.range(session, request).await?)),
        };
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(Changes {
            upto,
            // A batch of exactly the limit may have been the last: then nothing is behind it.
            complete: complete || behind == 0,
            entries: number(entries),
            behind: number(behind),
            tables,
            beside,
        })
    }

    /// The entries that a batch takes and their rows, at most as many entries as are asked for, and fewer where their rows are large; with
    /// how many it would have taken. Within the reading's one moment, so that a second try sees what the first saw.
    async fn within_bytes(
        &self,
        session: &mut Session,
        token: &Token,
        asked: i64,
    ) -> Result<(i64, Vec<Taken>, Vec<TableChanges>), Failure> {
        // Rows are as large as those before them were, most of the time.
        let mut limit = asked.min(self.fitting.load(Ordering::Relaxed));
        loop {
            let taken = self.taken(session, token, limit).await?;
            let last = taken.iter().map(|taken| taken.last).max().unwrap_or(0);
            // One entry is taken however large its row is.
            let bytes_max = if limit > 1 { BATCH_BYTES } else { usize::MAX };
            let mut tables = Vec::with_capacity(taken.len());
            let (mut rows, mut bytes, mut fits) = (0, 0, true);
            for taken in &taken {
                let room = bytes_max.saturating_sub(bytes);
                let (table, all) = self.table(session, token, last, taken, room).await?;
                rows += table.keys.len();
                // A table without a key comes as a whole, however few entries are taken.
                bytes += if table.keys.is_empty() { 0 } else { table.rows.bytes() };
                tables.push(table);
                fits = all;
                if !fits {
                    break;
                }
            }
            // The token covers all that was taken, so a batch has every row of it or is read again with fewer.
            if fits {
                // It grows again where they are small.
                let more = if bytes < BATCH_BYTES / 4 { limit.saturating_mul(4) } else { limit };
                self.fitting.store(more, Ordering::Relaxed);
                return Ok((limit, taken, tables));
            }
            limit = i64::try_from(rows / 2).unwrap_or(limit).clamp(1, limit / 2);
            self.fitting.store(limit, Ordering::Relaxed);
        }
    }

    /// Which entries the batch takes.
    async fn taken(&self, session: &mut Session, token: &Token, limit: i64) -> Result<Vec<Taken>, Failure> {
        let sql = format!(
            "WITH taken AS MATERIALIZED (SELECT c.id, c.t, c.k IS NULL AS whole FROM {} c WHERE {}
                ORDER BY c.id LIMIT $3)
             SELECT t, count(*), pg_catalog.bool_or(whole), max(id) FROM taken GROUP BY t ORDER BY t",
            quote::qualified(self.schema(), CHANGES),
            token::behind(1, 2)
        );
        let statement = session.prepared(&sql).await?;
        let found = session.client().query(&statement, &[&token.snapshot, &token.last, &limit]).await?;
        let mut taken = Vec::with_capacity(found.len());
        for row in found {
            let table = usize::try_from(row.get::<_, i32>(0)).unwrap_or(usize::MAX);
            self.shape(table)?;
            taken.push(Taken { table, entries: row.get(1), whole: row.get(2), last: row.get(3) });
        }
        Ok(taken)
    }

    /// The rows of one table, and whether they are all of them: with their keys they may be no more than so many bytes.
    async fn table(
        &self,
        session: &mut Session,
        token: &Token,
        last: i64,
        taken: &Taken,
        bytes_max: usize,
    ) -> Result<(TableChanges, bool), Failure> {
        let shape = self.shape(taken.table)?;
        let table = self.planned(taken.table);
        let mut found = Rows::new(0, table.columns.len());
        if shape.key.is_empty() {
            let statement = session.prepared(&shape.all).await?;
            let bound = WHOLE_BYTES_MAX;
            if !rows_up_to(session.client(), &statement, &[], &shape.types, &mut found, bound).await? {
                return Err(too_large(session.connection.label(), &table.target).into());
            }
            let whole = TableChanges { table: taken.table, keys: Vec::new(), rows: found, whole: true };
            return Ok((whole, true));
        }
        let width = shape.key.len();
        let sql = format!(
            "SELECT k.*, t.{} IS NOT NULL, {} FROM (SELECT DISTINCT {} FROM {} c
                WHERE c.t = $4 AND c.id <= $3 AND c.k IS NOT NULL AND {}) AS k LEFT JOIN {} AS t ON {}",
            quote::ident(&table.columns[shape.key[0]].target),
            shape.columns,
            objects::typed(&shape.key_types),
            quote::qualified(self.schema(), CHANGES),
            token::behind(1, 2),
            shape.name,
            meet(table, &shape.key)
        );
        let statement = session.prepared(&sql).await?;
        let types: Vec<LogicalType> = shape
            .key_types
            .iter()
            .copied()
            .chain([LogicalType::Bool])
            .chain(shape.types.iter().copied())
            .collect();
        // The plan's tables are few: their numbers fit.
        let number = taken.table as i32;
        let parameters: [&(dyn ToSql + Sync); 4] = [&token.snapshot, &token.last, &last, &number];
        let mut joined = Rows::new(0, types.len());
        let all =
            rows_up_to(session.client(), &statement, &parameters, &types, &mut joined, bytes_max).await?;
        let mut keys = Vec::with_capacity(joined.len());
        for row in joined.iter() {
            keys.push(row.values().take(width).map(|value| value.to_owned_value()).collect());
            if row.value(width) == switchover_core::value::Value::Bool(true) {
                row.values().skip(width + 1).for_each(|value| found.push(value));
            }
        }
        Ok((TableChanges { table: taken.table, keys, rows: found, whole: taken.whole }, all))
    }

    /// The next rows of a range, by the key's order on the target.
    async fn range(&self, session: &mut Session, request: &ReadRequest) -> Result<Batch, Failure> {
        let wanted = &*request.table;
        let unknown = |what: &str| {
            Error::new(Kind::Changed, OPERATION)
                .table(wanted.name.clone())
                .detail(format!("the plan has no {what} of that name on the target"))
        };
        let table = self.run.plan.tables.iter().find(|table| table.target == wanted.name);
        let table = table.ok_or_else(|| unknown("table"))?;
        let column = |name: &String| {
            table
                .columns
                .iter()
                .find(|column| column.target == *name)
                .ok_or_else(|| unknown(&format!("column {name}")))
        };
        let key = match &wanted.locator {
            Locator::Key(names) => names.iter().map(column).collect::<Result<Vec<_>>>()?,
            Locator::RowId(name) => vec![column(name)?],
            Locator::Ordinal => Vec::new(),
        };
        let fields = wanted.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let types: Vec<LogicalType> = key.iter().chain(&fields).map(|column| column.r#type).collect();
        let items: Vec<String> =
            key.iter().chain(&fields).map(|column| format!("t.{}", quote::ident(&column.target))).collect();
        let order = items[..key.len()].join(", ");
        let (width, key_types) = (key.len(), &types[..key.len()]);
        let select = |after: bool, upto: bool| {
            let mut sql = format!(
                "SELECT {} FROM {} AS t",
                items.join(", "),
                quote::qualified(self.schema(), &table.target)
            );
            let bounds = [(after, ">"), (upto, "<=")].into_iter().filter(|(there, _)| *there);
            for (number, (_, operator)) in bounds.enumerate() {
                let one = |(at, ty): (usize, &LogicalType)| {
                    format!("(${}::{}[])[1]", number * width + at + 1, base(*ty))
                };
                let values: Vec<String> = key_types.iter().enumerate().map(one).collect();
                let word = if number == 0 { "WHERE" } else { "AND" };
                sql.push_str(&format!(" {word} ({order}) {operator} ({})", values.join(", ")));
            }
            sql
        };
        let mut found = Rows::new(width, fields.len());
        if key.is_empty() {
            // Without a key there is no place to go on from.
            let statement = session.prepared(&select(false, false)).await?;
            rows(session.client(), &statement, &[], &types, &mut found).await?;
            return Ok(Batch { rows: found, last: None, done: true });
        }
        let mut after = request.range.after.clone();
        let mut page = PAGE_ROWS_MIN;
        let done = loop {
            let bounds: Vec<&LocatorValue> = after.iter().chain(&request.range.upto).collect();
            let sql = select(after.is_some(), request.range.upto.is_some());
            let sql = format!("{sql} ORDER BY {order} LIMIT ${}", bounds.len() * width + 1);
            let statement = session.prepared(&sql).await?;
            let mut keys = Vec::new();
            for (number, cells) in bounds.iter().enumerate() {
                let own = &statement.params()[number * width..];
                keys.extend(arrays(std::slice::from_ref(*cells), key_types, own, OPERATION)?);
            }
            let mut parameters: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|wire| wire as _).collect();
            parameters.push(&page);
            let before = found.len();
            rows(session.client(), &statement, &parameters, &types, &mut found).await?;
            let came = found.len() - before;
            if i64::try_from(came).unwrap_or(0) < page {
                break true;
            }
            if request.is_filled(&found) {
                break false;
            }
            after = Some(found.row(found.len() - 1).locator());
            let each = (found.bytes() / found.len()).max(1);
            let wanted = (request.budget_bytes - found.bytes()) / each;
            page = i64::try_from(wanted).unwrap_or(PAGE_ROWS_MAX).clamp(PAGE_ROWS_MIN, PAGE_ROWS_MAX);
        };
        let last = (!found.is_empty()).then(|| found.row(found.len() - 1).locator());
        Ok(Batch { rows: found, last, done })
    }

    pub(super) async fn count_of(&self, session: &mut Session, table: usize) -> Result<u64, Failure> {
        let sql = format!("SELECT count(*) FROM {}", self.shape(table)?.name);
        let statement = session.prepared(&sql).await?;
        let count: i64 = session.client().query_one(&statement, &[]).await?.get(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn fetch_with(
        &self,
        session: &mut Session,
        table: usize,
        keys: &[Vec<OwnedValue>],
    ) -> Result<Rows, Failure> {
        let shape = self.shape(table)?;
        let mut found = Rows::new(0, shape.types.len());
        if shape.key.is_empty() {
            return Err(Failure::from(
                Error::new(Kind::Unsupported, "look up rows of the target")
                    .table(self.planned(table).source.clone())
                    .detail("the table has no primary key to find rows by"),
            ));
        }
        if keys.is_empty() {
            return Ok(found);
        }
        let statement = session.prepared(&shape.fetch).await?;
        let keys = arrays(keys, &shape.key_types, statement.params(), "look up rows of the target")?;
        let keys: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|key| key as _).collect();
        rows(session.client(), &statement, &keys, &shape.types, &mut found).await?;
        Ok(found)
    }

    pub(super) async fn settle_with(&self, session: &mut Session, upto: &Position) -> Result<()> {
        let operation = "forget changes of the target that the source has";
        let token = Token::parse(upto)?;
        begin_ours(session, &self.run, operation).await?;
        let sql =
            format!("DELETE FROM {} c WHERE {}", quote::qualified(self.schema(), CHANGES), token::held(1, 2));
        let mark = format!("SELECT {}", mark_there(self.schema(), MARK));
        // With the entries goes the word of it: a source that is set back asks for them.
        let forgotten = format!(
            "INSERT INTO {} AS w (t, part, print) VALUES ({MARKS}, '{FORGOTTEN}', $1::pg_catalog.int8::text)
             ON CONFLICT (t, part) DO UPDATE SET print = EXCLUDED.print
                WHERE w.print::pg_catalog.int8 < EXCLUDED.print::pg_catalog.int8",
            quote::qualified(self.schema(), WATCH)
        );
        let settled = async {
            let mark = session.prepared(&mark).await?;
            if session.client().query_one(&mark, &[]).await?.get::<_, i64>(0) < token.mark {
                return Ok(false);
            }
            let statement = session.prepared(&sql).await?;
            let noted = session.prepared(&forgotten).await?;
            let client = session.client();
            let upto: [&(dyn ToSql + Sync); 2] = [&token.snapshot, &token.last];
            let of: [&(dyn ToSql + Sync); 1] = [&token.mark];
            let (noted, removed) = tokio::join!(
                biased;
                client.execute(&noted, &of),
                client.execute(&statement, &upto)
            );
            noted?;
            removed.map(|_| true)
        };
        let settled: std::result::Result<_, tokio_postgres::Error> = settled.await;
        if !settled.map_err(|error| session.connection.classify(error, operation))? {
            // By this position, entries would be forgotten that were never read.
            return Err(set_back(session.connection.label(), operation));
        }
        failpoint::hit("live-settle-before-commit");
        self.commit(session, operation).await?;
        failpoint::hit("live-settle-after-commit");
        Ok(())
    }

    pub(super) async fn pressure_with(&self, session: &mut Session) -> Result<Pressure, Failure> {
        let schema = self.schema();
        if !super::gate::is_there(session.client(), schema, CHANGES).await? {
            return Ok(Pressure::default());
        }
        let sql = format!(
            "SELECT count(*) FROM (SELECT FROM {} LIMIT {PRESSURE_MAX}) AS counted",
            quote::qualified(schema, CHANGES)
        );
        let count: i64 = session.client().query_one(&sql, &[]).await?.get(0);
        Ok(Pressure { wal_bytes: 0, log_entries: u64::try_from(count).unwrap_or(0) })
    }
}
