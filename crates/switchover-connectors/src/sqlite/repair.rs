//! Mending what a verification found to differ: rows that are extra go, rows that are missing come, all
//! tables in one transaction. Neither triggers nor foreign keys act on it (`connect`).

use super::connect::{self, Commits};
use super::error::classify;
use super::ledger;
use super::quote::{ident, qualified};
use super::writer::{Bound, Except, Insert, rowid_name};
use rusqlite::{Connection, TransactionBehavior, params_from_iter};
use std::path::Path;
use switchover_core::Result;
use switchover_core::connector::Mend;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::Value;

const OPERATION: &str = "repair rows of the target";

/// Mends them all, or none.
pub(super) fn repair(path: &Path, plan: &Plan, mends: &[Mend]) -> Result<()> {
    let fail = |error| classify(error, OPERATION, path);
    let mut connection = connect::open(path, Commits::Durable)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    for mend in mends {
        let table = &plan.tables[mend.table];
        remove(&transaction, path, table, mend)?;
        let insert = Insert::of(table, false);
        insert.run(&transaction, path, table, &mend.missing, OPERATION, &Except::default())?;
        if let Some(entries) = &mend.quarantine {
            let sql = format!("DELETE FROM {} WHERE table_name = ?1", ledger::QUARANTINE);
            transaction.execute(&sql, [&table.source]).map_err(fail)?;
            let run = ledger::run_of(&transaction).map_err(fail)?.unwrap_or_default();
            ledger::quarantine(&transaction, path, &run, &table.source, entries)?;
        }
    }
    transaction.commit().map_err(fail)
}

/// Removes the extra rows: by the whole row, so that a table without a key is no exception, and so that of
/// several equal rows only as many go as are too many.
fn remove(connection: &Connection, path: &Path, table: &TablePlan, mend: &Mend) -> Result<()> {
    let fail = |error| classify(error, OPERATION, path).table(table.source.clone());
    let name = qualified("main", &table.target);
    // `IS` alone lets the key's index find the row; the rest tells 1 from 1.0, and text by its bytes.
    let same: Vec<String> = (table.columns.iter().zip(1..))
        .map(|(column, number)| {
            let column = ident(&column.target);
            format!(
                "{column} IS ?{number} AND {column} COLLATE BINARY IS ?{number} AND typeof({column}) = typeof(?{number})"
            )
        })
        .collect();
    let same = same.join(" AND ");
    let sql = match rowid_name(table) {
        Some(rowid) => {
            format!("DELETE FROM {name} WHERE {rowid} = (SELECT {rowid} FROM {name} WHERE {same} LIMIT 1)")
        }
        // Without a rowid no two rows are equal.
        None => format!("DELETE FROM {name} WHERE {same}"),
    };
    let mut statement = connection.prepare(&sql).map_err(fail)?;
    for row in mend.extra.iter() {
        let values: Vec<Value<'_>> = row.values().collect();
        statement.execute(params_from_iter(values.into_iter().map(Bound))).map_err(fail)?;
    }
    Ok(())
}
