//! The run's own records, in the target's schema: the run, its objects, its checkpoints and steps,
//! and the quarantine.
//!
//! | table | row | set by | a crash after it means |
//! |---|---|---|---|
//! | `_switchover_run` | one a run, with the attempt that may write | `prepare` | tables exist, nothing is copied |
//! | `_switchover_object` | a table or schema that the run made | `prepare` | `discard` drops exactly these |
//! | `_switchover_checkpoint` | a chunk | `write`, with its rows | the chunk is copied |
//! | `_switchover_step` | an index, key or other step | `build`, with its DDL | the step is done |
//! | `_switchover_quarantine` | a value or row that the tables cannot hold | `write`, with its chunk | it is kept |
//!
//! Two processes cannot write for one run: an advisory lock keeps the second away, and should the
//! first one's lock be lost with its connection, the attempt number stops its late writes: every
//! chunk reads the run's row `FOR SHARE` and finds another attempt there.

use super::config::PgConfig;
use super::connect::{Connection, connect};
use super::{live, quote, standing, steps};
pub(super) use crate::records::key_text;
use crate::records::{parse_key, unreadable};
use async_trait::async_trait;
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use switchover_core::chunk::{Checkpoint, KeyRange, LocatorValue};
use switchover_core::connector::{Claim, Quarantined};
use switchover_core::digest::Hex;
use switchover_core::failpoint;
use switchover_core::plan::Plan;
use switchover_core::value::OwnedValue;
use switchover_core::{Error, Kind, Result};
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Transaction};

pub(super) const RUN: &str = "_switchover_run";
pub(super) const OBJECT: &str = "_switchover_object";
pub(super) const CHECKPOINT: &str = "_switchover_checkpoint";
pub(super) const STEP: &str = "_switchover_step";
pub(super) const QUARANTINE: &str = "_switchover_quarantine";

/// The record tables, in the order in which they are made.
pub(super) const TABLES: [&str; 5] = [RUN, OBJECT, CHECKPOINT, STEP, QUARANTINE];

/// Marks this tool's advisory locks among all others in a database ("swit").
const LOCK_CLASS: i32 = 0x7377_6974;

/// How long to wait for the lock: a server needs a moment to see that a killed process is gone.
const LOCK_WAIT: &str = "3s";

/// Values and reasons that go to the quarantine in one statement: enough that its round trip does not count.
const ASIDE_BYTES: usize = 256 << 10;

/// A record table's qualified name.
pub(super) fn table(schema: &str, name: &str) -> String {
    quote::qualified(schema, name)
}

fn create(schema: &str) -> String {
    let [run, object, checkpoint, step, quarantine] = TABLES.map(|name| table(schema, name));
    format!(
        "CREATE TABLE {run} (run text PRIMARY KEY, attempt bigint NOT NULL, made_schema boolean NOT NULL,
            tool text NOT NULL, started_at timestamptz NOT NULL DEFAULT now());
         CREATE TABLE {object} (run text NOT NULL, ordinal int NOT NULL, kind text NOT NULL, name text NOT NULL,
            PRIMARY KEY (run, ordinal));
         CREATE TABLE {checkpoint} (run text NOT NULL, table_no int NOT NULL, after_key text NOT NULL,
            upto_key text NOT NULL, rows bigint NOT NULL, bytes bigint NOT NULL, digest text NOT NULL,
            PRIMARY KEY (run, table_no, after_key));
         CREATE TABLE {step} (run text NOT NULL, step text NOT NULL, done_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (run, step));
         CREATE TABLE {quarantine} (run text NOT NULL, table_name text NOT NULL, locator text NOT NULL,
            column_name text NOT NULL, value text NOT NULL, whole_row boolean NOT NULL, why text NOT NULL,
            PRIMARY KEY (run, table_name, locator, column_name));"
    )
}

/// The lock on a target's schema. It lives as long as its session.
#[derive(Debug)]
pub(super) struct PostgresClaim {
    config: PgConfig,
    schema: String,
    run: String,
    attempt: Arc<AtomicI64>,
    connection: Mutex<Connection>,
}

#[async_trait]
impl Claim for PostgresClaim {
    async fn check(&self) -> Result<()> {
        let operation = "check the lock on the target";
        let mut held = self.connection.lock().await;
        if held.client().simple_query("SELECT 1").await.is_ok() {
            return Ok(());
        }
        // The lock went with its connection, as when the server is restarted: it is taken again, and is worth
        // nothing if another process had the run in the meantime.
        let connection = connect(&self.config).await?;
        lock(&connection, &self.schema, &self.run).await?;
        let ours = self.attempt.load(Ordering::SeqCst);
        let sql = format!("SELECT attempt FROM {} WHERE run = $1", table(&self.schema, RUN));
        let row = connection.client().query_opt(&sql, &[&self.run]).await;
        let row = row.map_err(|error| connection.classify(error, operation))?;
        if row.is_none_or(|row| row.get::<_, i64>(0) != ours) {
            return Err(taken_over(connection.label(), operation));
        }
        *held = connection;
        Ok(())
    }
}

/// Another process has the run.
pub(super) fn taken_over(label: &str, operation: &str) -> Error {
    Error::new(Kind::Busy, operation)
        .store(label)
        .detail("another process has taken this run over, or rolled it back")
        .hint("let the other process end; `switchover status` shows the run")
}

/// Takes the schema for a run, whose attempt will be `attempt`.
pub(super) async fn claim(
    config: &PgConfig,
    schema: &str,
    run: &str,
    attempt: Arc<AtomicI64>,
) -> Result<PostgresClaim> {
    let connection = connect(config).await?;
    lock(&connection, schema, run).await?;
    Ok(PostgresClaim {
        config: config.clone(),
        schema: schema.to_owned(),
        run: run.to_owned(),
        attempt,
        connection: Mutex::new(connection),
    })
}

async fn lock(connection: &Connection, schema: &str, run: &str) -> Result<()> {
    let operation = "lock the target";
    // The same schema has the same number on every version and machine.
    let number = switchover_core::digest::of_bytes(schema.as_bytes()) as i32;
    let client = connection.client();
    let waited = async {
        client.batch_execute(&format!("SET lock_timeout = {}", quote::literal(LOCK_WAIT))).await?;
        client.execute("SELECT pg_catalog.pg_advisory_lock($1, $2)", &[&LOCK_CLASS, &number]).await
    };
    match waited.await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Err(Error::new(Kind::Busy, operation)
                .store(connection.label())
                .detail(format!("another run is at work in the schema \"{schema}\" (this one is {run})"))
                .hint("wait until it ends; `switchover status` shows it"))
        }
        Err(error) => Err(connection.classify(error, operation)),
    }
}

/// Makes the schema, the records and the tables in one transaction, or takes an earlier attempt over.
/// Gives the number of the attempt.
pub(super) async fn prepare(connection: &mut Connection, plan: &Plan, run: &str) -> Result<i64> {
    let operation = "make the target's schema";
    let label = connection.label().to_owned();
    let schema = &plan.options.schema;
    let transaction = connection.client_mut().transaction().await.map_err(|e| fail(e, operation, &label))?;
    if let Some(attempt) =
        take_over(&transaction, schema, run).await.map_err(|e| fail(e, operation, &label))?
    {
        failpoint::hit("prepare-before-commit");
        transaction.commit().await.map_err(|e| fail(e, operation, &label))?;
        failpoint::hit("prepare-after-commit");
        return Ok(attempt);
    }
    if plan.options.existing.is_some() {
        transaction.batch_execute(&create(schema)).await.map_err(|e| fail(e, operation, &label))?;
        record(&transaction, plan, run, false).await.map_err(|e| fail(e, operation, &label))?;
        standing::prepare(&transaction, plan, run, &label).await?;
        failpoint::hit("prepare-before-commit");
        transaction.commit().await.map_err(|e| fail(e, operation, &label))?;
        failpoint::hit("prepare-after-commit");
        return Ok(1);
    }
    let exists = transaction
        .query_opt("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", &[schema])
        .await
        .map_err(|e| fail(e, operation, &label))?
        .is_some();
    if !exists {
        let sql = format!("CREATE SCHEMA {}", quote::ident(schema));
        transaction.batch_execute(&sql).await.map_err(|e| fail(e, operation, &label))?;
    }
    let present =
        super::inspect::objects(&transaction, schema).await.map_err(|e| fail(e, operation, &label))?;
    if !present.is_empty() {
        return Err(Error::new(Kind::Refused, operation)
            .store(label)
            .detail(format!("the schema \"{schema}\" holds {} already", present.join(", ")))
            .hint("name an empty or new schema with --schema"));
    }
    transaction.batch_execute(&create(schema)).await.map_err(|e| fail(e, operation, &label))?;
    for plan_table in &plan.tables {
        transaction
            .batch_execute(&steps::create_table(schema, plan_table))
            .await
            .map_err(|e| fail(e, operation, &label).table(plan_table.source.clone()))?;
    }
    record(&transaction, plan, run, !exists).await.map_err(|e| fail(e, operation, &label))?;
    failpoint::hit("prepare-before-commit");
    transaction.commit().await.map_err(|e| fail(e, operation, &label))?;
    failpoint::hit("prepare-after-commit");
    Ok(1)
}

fn fail(error: tokio_postgres::Error, operation: &str, label: &str) -> Error {
    super::error::classify(&error, operation).store(label).because(error)
}

async fn take_over(
    transaction: &Transaction<'_>,
    schema: &str,
    run: &str,
) -> std::result::Result<Option<i64>, tokio_postgres::Error> {
    if !has_records(transaction, schema).await? {
        return Ok(None);
    }
    let sql =
        format!("UPDATE {} SET attempt = attempt + 1 WHERE run = $1 RETURNING attempt", table(schema, RUN));
    Ok(transaction.query_opt(&sql, &[&run]).await?.map(|row| row.get(0)))
}

pub(super) async fn has_records(
    transaction: &Transaction<'_>,
    schema: &str,
) -> std::result::Result<bool, tokio_postgres::Error> {
    let sql = "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2";
    Ok(transaction.query_opt(sql, &[&schema, &RUN]).await?.is_some())
}

async fn record(
    transaction: &Transaction<'_>,
    plan: &Plan,
    run: &str,
    made_schema: bool,
) -> std::result::Result<(), tokio_postgres::Error> {
    let schema = &plan.options.schema;
    let sql = format!(
        "INSERT INTO {} (run, attempt, made_schema, tool) VALUES ($1, 1, $2, $3)",
        table(schema, RUN)
    );
    transaction.execute(&sql, &[&run, &made_schema, &plan.made_by]).await?;
    let sql =
        format!("INSERT INTO {} (run, ordinal, kind, name) VALUES ($1, $2, $3, $4)", table(schema, OBJECT));
    // What was there before is nothing that the run made.
    let made = if plan.options.existing.is_some() { &[][..] } else { &plan.tables };
    for (ordinal, plan_table) in (0i32..).zip(made) {
        transaction.execute(&sql, &[&run, &ordinal, &"table", &plan_table.target]).await?;
    }
    Ok(())
}

/// Has the transaction's commit wait for the disk, where the server or the role says otherwise.
const SYNCHRONOUS: &str = "SELECT pg_catalog.set_config('synchronous_commit', 'on', true)
    WHERE pg_catalog.current_setting('synchronous_commit') = 'off'";

/// Everything that was copied, and will still be after a crash of the server.
///
/// Chunks are committed without waiting for the disk, so a crash may take back the newest. The commit here does
/// wait, and the log keeps the order of commits: when it succeeds, no crash lies between what is read in its
/// transaction and the disk.
pub(super) async fn checkpoints(
    connection: &mut Connection,
    schema: &str,
    run: &str,
) -> Result<Vec<Checkpoint>> {
    let touch = format!("UPDATE {} SET attempt = attempt WHERE run = $1", table(schema, RUN));
    let sql = format!(
        "SELECT table_no, after_key, upto_key, rows, bytes, digest FROM {} WHERE run = $1",
        table(schema, CHECKPOINT)
    );
    let work = async {
        let transaction = connection.client_mut().transaction().await?;
        transaction.batch_execute(SYNCHRONOUS).await?;
        transaction.execute(&touch, &[&run]).await?;
        let rows = transaction.query(&sql, &[&run]).await?;
        transaction.commit().await?;
        Ok(rows)
    };
    let rows = work.await;
    let rows =
        rows.map_err(|error: tokio_postgres::Error| connection.classify(error, "read the checkpoints"))?;
    rows.iter()
        .map(|row| {
            let digest = u128::from_str_radix(row.get::<_, &str>(5), 16).map_err(unreadable)?;
            Ok(Checkpoint {
                table: usize::try_from(row.get::<_, i32>(0)).map_err(unreadable)?,
                range: KeyRange { after: parse_key(row.get(1))?, upto: parse_key(row.get(2))? },
                rows: u64::try_from(row.get::<_, i64>(3)).map_err(unreadable)?,
                bytes: u64::try_from(row.get::<_, i64>(4)).map_err(unreadable)?,
                digest: Hex(digest),
            })
        })
        .collect()
}

/// Adds entries of a run's table to the quarantine. All of a chunk's rows may be among them, so they go many at a time.
pub(super) async fn put_aside<C: GenericClient + Sync>(
    client: &C,
    schema: &str,
    (run, source): (&str, &str),
    mut entries: &[Quarantined],
    fail: &(dyn Fn(tokio_postgres::Error) -> Error + Sync),
) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} (run, table_name, locator, column_name, value, whole_row, why)
         SELECT $1, $2, e.* FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]),
            pg_catalog.unnest($5::pg_catalog.text[]), pg_catalog.unnest($6::pg_catalog.bool[]), pg_catalog.unnest($7::pg_catalog.text[])) e",
        table(schema, QUARANTINE)
    );
    let insert = client.prepare(&sql).await.map_err(fail)?;
    let json = |error| Error::new(Kind::Internal, "write to the quarantine").table(source).because(error);
    while !entries.is_empty() {
        let (mut bytes, mut locators, mut values) = (0, Vec::new(), Vec::new());
        while bytes < ASIDE_BYTES && values.len() < entries.len() {
            let entry = &entries[values.len()];
            locators.push(serde_json::to_string(&entry.locator).map_err(json)?);
            values.push(serde_json::to_string(&entry.value).map_err(json)?);
            bytes += entry.why.len() + values.last().map_or(0, String::len);
        }
        let (these, rest) = entries.split_at(values.len());
        let columns: Vec<&str> = these.iter().map(|entry| &*entry.column).collect();
        let whole: Vec<bool> = these.iter().map(|entry| entry.whole_row).collect();
        let why: Vec<&str> = these.iter().map(|entry| &*entry.why).collect();
        let given = &[&run as &(dyn ToSql + Sync), &source, &locators, &columns, &values, &whole, &why];
        client.execute(&insert, given).await.map_err(fail)?;
        entries = rest;
    }
    Ok(())
}

/// Gives the quarantine's entries for a table.
pub(super) async fn quarantined(
    connection: &Connection,
    plan: &Plan,
    index: usize,
    observe: &mut (dyn FnMut(Quarantined) + Send),
) -> Result<()> {
    let relation = table(&plan.options.schema, QUARANTINE);
    if !is_there(connection, &relation).await? {
        // A run that was cleaned up: what had no exceptions needs no list of them.
        if !plan.tables[index].has_exceptions() {
            return Ok(());
        }
        return Err(Error::new(Kind::NotFound, "read the quarantine")
            .store(connection.label())
            .table(plan.tables[index].source.clone())
            .detail("what did not fit is no longer on record: the run was cleaned up or rolled back")
            .hint(
                "`switchover verify` proves a run with exceptions before `switchover cleanup`, not after it",
            ));
    }
    let sql = format!(
        "SELECT locator, column_name, value, whole_row, why FROM {relation} WHERE table_name = $1 ORDER BY locator, column_name"
    );
    let fail = |error| connection.classify(error, "read the quarantine");
    let rows = connection.client().query_raw(&sql, [&plan.tables[index].source]).await.map_err(fail)?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.next().await {
        let row = row.map_err(fail)?;
        let locator: LocatorValue = serde_json::from_str(row.get(0)).map_err(unreadable)?;
        let value: OwnedValue = serde_json::from_str(row.get(2)).map_err(unreadable)?;
        observe(Quarantined { locator, column: row.get(1), value, whole_row: row.get(3), why: row.get(4) });
    }
    Ok(())
}

/// Whether one of the run's relations is there, given quoted.
pub(super) async fn is_there(connection: &Connection, relation: &str) -> Result<bool> {
    let row =
        connection.client().query_one("SELECT pg_catalog.to_regclass($1) IS NOT NULL", &[&relation]).await;
    Ok(row.map_err(|error| connection.classify(error, "look for the run's records"))?.get(0))
}

/// Drops exactly what the run made, in one transaction.
pub(super) async fn discard(connection: &mut Connection, schema: &str, run: &str) -> Result<bool> {
    let operation = "roll back what the run made";
    let label = connection.label().to_owned();
    let transaction = connection.client_mut().transaction().await.map_err(|e| fail(e, operation, &label))?;
    let done = drop_all(&transaction, schema, run).await.map_err(|e| {
        fail(e, operation, &label)
            .hint("what depends on the run's tables was made by somebody else: drop that first")
    })?;
    failpoint::hit("discard-before-commit");
    transaction.commit().await.map_err(|e| fail(e, operation, &label))?;
    Ok(done)
}

async fn drop_all(
    transaction: &Transaction<'_>,
    schema: &str,
    run: &str,
) -> std::result::Result<bool, tokio_postgres::Error> {
    if !has_records(transaction, schema).await? {
        return Ok(false);
    }
    let sql = format!(
        "UPDATE {} SET attempt = attempt + 1 WHERE run = $1 RETURNING made_schema",
        table(schema, RUN)
    );
    let Some(row) = transaction.query_opt(&sql, &[&run]).await? else { return Ok(false) };
    let made_schema: bool = row.get(0);
    // The gates of a live run keep everybody out who is not the run.
    live::remove(transaction, schema).await?;
    standing::restore(transaction, schema).await?;
    let sql =
        format!("SELECT kind, name FROM {} WHERE run = $1 ORDER BY ordinal DESC", table(schema, OBJECT));
    let objects = transaction.query(&sql, &[&run]).await?;
    let names = |kind: &str| -> Vec<String> {
        objects
            .iter()
            .filter(|row| row.get::<_, &str>(0) == kind)
            .map(|row| quote::qualified(schema, row.get(1)))
            .collect()
    };
    for (kind, word) in [("view", "VIEW"), ("table", "TABLE")] {
        let names = names(kind);
        if !names.is_empty() {
            // One statement: tables that refer to each other can only go together.
            transaction.batch_execute(&format!("DROP {word} IF EXISTS {}", names.join(", "))).await?;
        }
    }
    let records: Vec<String> = TABLES.iter().map(|name| table(schema, name)).collect();
    transaction.batch_execute(&format!("DROP TABLE {}", records.join(", "))).await?;
    if made_schema {
        transaction.batch_execute(&format!("DROP SCHEMA {}", quote::ident(schema))).await?;
    }
    Ok(true)
}

/// Removes the run's records and leaves what it moved: the end of a run that is accepted.
pub(super) async fn forget(connection: &Connection, schema: &str) -> Result<()> {
    let removed = live::remove(connection.client(), schema).await;
    removed.map_err(|error| connection.classify(error, "remove the run's gates and log"))?;
    let mut records: Vec<String> = TABLES.iter().map(|name| table(schema, name)).collect();
    let own = "SELECT c.relname::text FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind = 'r'
            AND (c.relname = $2 OR pg_catalog.left(c.relname::text, 19) = '_switchover_before_')";
    let found = connection.client().query(own, &[&schema, &standing::UNDO]).await;
    let found = found.map_err(|error| connection.classify(error, "remove the run's records"))?;
    records.extend(found.iter().map(|row| table(schema, row.get(0))));
    connection
        .client()
        .batch_execute(&format!("DROP TABLE IF EXISTS {}", records.join(", ")))
        .await
        .map_err(|error| connection.classify(error, "remove the run's records"))
}
