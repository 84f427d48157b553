//! What the server itself says about the tables of a plan: an answer that shares nothing with the
//! comparison of values.
//!
//! Rows are counted by the server; of keys, unique and foreign keys it says whether they are there and
//! valid. A valid constraint is the server's own proof that no row breaks it.

use super::connect::Connection;
use super::{quote, standing};
use std::collections::BTreeMap;
use switchover_core::Result;
use switchover_core::connector::Audit;
use switchover_core::plan::Plan;

const OPERATION: &str = "audit the target";

/// Counts and constraints.
pub(super) async fn audit(connection: &mut Connection, plan: &Plan) -> Result<Audit> {
    let mut audit = Audit::default();
    if plan.options.existing.is_some() {
        let label = connection.label().to_owned();
        let found = async {
            let transaction = connection.client_mut().transaction().await?;
            let faults = standing::faults(&transaction, plan).await?;
            transaction.rollback().await?;
            Ok(faults)
        };
        audit.faults = found.await.map_err(|error: tokio_postgres::Error| {
            super::error::classify(&error, OPERATION).store(label).because(error)
        })?;
    }
    let fail = |error| connection.classify(error, OPERATION);
    let client = connection.client();
    let schema = &plan.options.schema;
    for table in &plan.tables {
        let sql = format!("SELECT count(*) FROM {}", quote::qualified(schema, &table.target));
        let rows: i64 =
            client.query_one(&sql, &[]).await.map_err(|e| fail(e).table(table.source.clone()))?.get(0);
        audit.rows.push(u64::try_from(rows).unwrap_or(0));
    }
    let sql = "SELECT r.relname, c.conname, c.convalidated FROM pg_catalog.pg_constraint c
        JOIN pg_catalog.pg_class r ON r.oid = c.conrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE n.nspname = $1";
    let mut constraints: BTreeMap<(String, String), bool> = BTreeMap::new();
    for row in client.query(sql, &[schema]).await.map_err(fail)? {
        constraints.insert((row.get(0), row.get(1)), row.get(2));
    }
    let sql = "SELECT r.relname, x.relname, i.indisvalid FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class r ON r.oid = i.indrelid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE n.nspname = $1";
    let mut indexes: BTreeMap<(String, String), bool> = BTreeMap::new();
    for row in client.query(sql, &[schema]).await.map_err(fail)? {
        indexes.insert((row.get(0), row.get(1)), row.get(2));
    }
    for table in &plan.tables {
        let keys = table.primary_key.iter().chain(&table.uniques).map(|key| &key.name);
        let named = keys
            .chain(table.foreign_keys.iter().map(|key| &key.name))
            .chain(table.checks.iter().map(|c| &c.name));
        for name in named {
            audit.expect(&constraints, &table.target, name, "constraint");
        }
        for index in &table.indexes {
            audit.expect(&indexes, &table.target, &index.name, "index");
        }
    }
    Ok(audit)
}

trait Expect {
    fn expect(&mut self, found: &BTreeMap<(String, String), bool>, table: &str, name: &str, what: &str);
}

impl Expect for Audit {
    fn expect(&mut self, found: &BTreeMap<(String, String), bool>, table: &str, name: &str, what: &str) {
        match found.get(&(table.to_owned(), name.to_owned())) {
            Some(true) => self.constraints_valid += 1,
            Some(false) => self.faults.push(format!("the {what} \"{name}\" of \"{table}\" is not valid")),
            None => self.faults.push(format!("the {what} \"{name}\" of \"{table}\" is not there")),
        }
    }
}
