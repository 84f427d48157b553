//! Mending what a verification found to differ: rows that are extra go, rows that are missing come, all
//! tables in one transaction.
//!
//! A row that must be replaced may be the parent of rows that are right: an ON DELETE CASCADE would take
//! them along. The foreign keys of the mended tables are therefore dropped first and made again at the
//! end, which also proves that they hold; the owner of the tables may do that.

use super::connect::Connection;
use super::copy_encode::{self, Field, HEADER};
use super::{keys, ledger, quote, steps};
use bytes::BytesMut;
use switchover_core::connector::{Mend, Quarantined};
use switchover_core::plan::{ForeignKeyPlan, LogicalType, Plan, TablePlan};
use switchover_core::value::Rows;
use switchover_core::{Error, Kind, Result};
use tokio_postgres::Transaction;

const OPERATION: &str = "repair rows of the target";

/// The name of the session's own table that holds the rows to go.
const EXTRA: &str = "_switchover_repair_extra";

fn fail(table: &TablePlan) -> impl Fn(tokio_postgres::Error) -> Error {
    let name = table.source.clone();
    move |error| super::error::classify(&error, OPERATION).table(name.clone()).because(error)
}

/// Mends them all, or none.
pub(super) async fn repair(connection: &mut Connection, plan: &Plan, mends: &[Mend]) -> Result<()> {
    if plan.options.existing.is_some() {
        return Err(Error::new(Kind::Unsupported, OPERATION)
            .store(connection.label())
            .detail("the target's tables were there before the run, with definitions of their own")
            .hint("roll the run back with `switchover rollback`, and migrate again"));
    }
    let schema = &plan.options.schema;
    let mended: Vec<&TablePlan> = mends.iter().map(|mend| &plan.tables[mend.table]).collect();
    let touched = |table: &TablePlan, key: &ForeignKeyPlan| {
        mended.iter().any(|other| other.target == table.target || other.target == key.parent)
    };
    let foreign: Vec<(&TablePlan, &ForeignKeyPlan)> = (plan.tables.iter())
        .flat_map(|table| table.foreign_keys.iter().map(move |key| (table, key)))
        .filter(|(table, key)| touched(table, key))
        .collect();
    let label = connection.label().to_owned();
    let whole = |error| super::error::classify(&error, OPERATION).store(label.clone()).because(error);
    let transaction = connection.client_mut().transaction().await.map_err(whole)?;
    for (table, key) in &foreign {
        let name = quote::qualified(schema, &table.target);
        let sql = format!("ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {}", quote::ident(&key.name));
        transaction.batch_execute(&sql).await.map_err(fail(table))?;
    }
    for mend in mends {
        remove(&transaction, plan, mend).await?;
        insert(&transaction, plan, mend).await?;
        sequences(&transaction, plan, mend).await?;
        if let Some(entries) = &mend.quarantine {
            quarantine(&transaction, plan, mend.table, entries).await?;
        }
    }
    for (table, key) in &foreign {
        let name = quote::qualified(schema, &table.target);
        let sql = format!("ALTER TABLE {name} {}", steps::add_foreign_key(schema, key));
        transaction.batch_execute(&sql).await.map_err(fail(table))?;
    }
    transaction.commit().await.map_err(whole)
}

/// Removes the extra rows: by the whole row, so that a table without a key is no exception, and so that
/// of several equal rows only as many go as are too many.
async fn remove(transaction: &Transaction<'_>, plan: &Plan, mend: &Mend) -> Result<()> {
    let table = &plan.tables[mend.table];
    if mend.extra.is_empty() {
        return Ok(());
    }
    let name = quote::qualified(&plan.options.schema, &table.target);
    let columns: Vec<String> = table.columns.iter().map(|column| quote::ident(&column.target)).collect();
    let columns = columns.join(", ");
    let sql =
        format!("CREATE TEMPORARY TABLE {EXTRA} ON COMMIT DROP AS SELECT {columns} FROM {name} LIMIT 0");
    transaction.batch_execute(&sql).await.map_err(fail(table))?;
    let mut out = BytesMut::from(HEADER);
    let types: Vec<LogicalType> = table.columns.iter().map(|column| column.r#type).collect();
    mend.extra.iter().for_each(|row| copy_encode::target_row(row, &types, &mut out));
    let sql = format!("COPY pg_temp.{EXTRA} FROM STDIN (FORMAT binary)");
    keys::send(transaction.client(), &sql, &table.source, out, OPERATION).await?;
    // As text two rows are equal exactly when all their fields are, 0 and -0 and NULL and '' apart.
    let sql = format!(
        "DELETE FROM {name} WHERE ctid IN (
            SELECT t.place FROM
                (SELECT place, body, row_number() OVER (PARTITION BY body) AS n
                    FROM (SELECT ctid AS place, ROW({columns})::text COLLATE \"C\" AS body FROM {name}) a) t
            JOIN
                (SELECT body, row_number() OVER (PARTITION BY body) AS n
                    FROM (SELECT ROW({columns})::text COLLATE \"C\" AS body FROM pg_temp.{EXTRA}) b) k
            ON t.body = k.body AND t.n = k.n);
         DROP TABLE pg_temp.{EXTRA}"
    );
    transaction.batch_execute(&sql).await.map_err(fail(table))
}

async fn insert(transaction: &Transaction<'_>, plan: &Plan, mend: &Mend) -> Result<()> {
    let table = &plan.tables[mend.table];
    if mend.missing.is_empty() {
        return Ok(());
    }
    let name = quote::qualified(&plan.options.schema, &table.target);
    let mut fields = copy_encode::fields(table);
    // What the census proved is past: the source may hold something else by now.
    fields.iter_mut().for_each(|field| field.proven = false);
    let columns: Vec<String> =
        fields.iter().map(|field| quote::ident(&table.columns[field.index].target)).collect();
    let sql = format!("COPY {name} ({}) FROM STDIN (FORMAT binary)", columns.join(", "));
    copy(transaction, &sql, table, &fields, &mend.missing).await
}

/// Has the numbers that the target gives go on behind those of the rows that came. They never go back: the application may have taken
/// some of them already.
async fn sequences(transaction: &Transaction<'_>, plan: &Plan, mend: &Mend) -> Result<()> {
    let table = &plan.tables[mend.table];
    let name = quote::qualified(&plan.options.schema, &table.target);
    for column in &table.columns {
        let Some(next) = column.identity_next else { continue };
        let sql = format!(
            "SELECT pg_catalog.setval(s.name, m.most)
             FROM (SELECT pg_catalog.pg_get_serial_sequence({}, {})::pg_catalog.regclass AS name) s,
                  (SELECT pg_catalog.max({})::pg_catalog.int8 AS most FROM {name}) m
             WHERE m.most >= {next} AND m.most > COALESCE(pg_catalog.pg_sequence_last_value(s.name), {next} - 1)",
            quote::literal(&name),
            quote::literal(&column.target),
            quote::ident(&column.target)
        );
        transaction.batch_execute(&sql).await.map_err(fail(table))?;
    }
    Ok(())
}

/// Puts the table's entries in place of what the quarantine holds of it.
async fn quarantine(
    transaction: &Transaction<'_>,
    plan: &Plan,
    index: usize,
    entries: &[Quarantined],
) -> Result<()> {
    let table = &plan.tables[index];
    let name = ledger::table(&plan.options.schema, ledger::QUARANTINE);
    let runs = ledger::table(&plan.options.schema, ledger::RUN);
    let sql = format!("DELETE FROM {name} WHERE table_name = $1");
    transaction.execute(&sql, &[&table.source]).await.map_err(fail(table))?;
    let sql = format!("SELECT run FROM {runs} LIMIT 1");
    let run: String = transaction.query_one(&sql, &[]).await.map_err(fail(table))?.get(0);
    let of = (&*run, &*table.source);
    ledger::put_aside(transaction, &plan.options.schema, of, entries, &fail(table)).await
}

async fn copy(
    transaction: &tokio_postgres::Transaction<'_>,
    sql: &str,
    table: &TablePlan,
    fields: &[Field],
    rows: &Rows,
) -> Result<()> {
    let (mut out, mut scratch) = (BytesMut::from(HEADER), Vec::new());
    for row in rows.iter() {
        if let Err(misfit) = copy_encode::row(row, fields, &mut scratch, |_| false, &mut out) {
            return Err(Error::new(Kind::Refused, OPERATION)
                .table(table.source.clone())
                .column(table.columns[misfit.field].source.clone())
                .detail(format!("{}: {}", row.value(misfit.field).shown(), misfit.unfit.0))
                .hint("the source changed since the plan was made: migrate again"));
        }
    }
    keys::send(transaction.client(), sql, &table.source, out, OPERATION).await
}
