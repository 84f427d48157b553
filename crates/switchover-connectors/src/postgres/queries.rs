//! Questions as an application asks them: each is one prepared statement with its values as parameters.

use super::config::PgConfig;
use super::connect::{Connection, connect};
use super::live::session::{Failure, Wire, rows};
use super::{copy_encode, quote};
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use std::collections::HashMap;
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::plan::{LogicalType, Plan};
use switchover_core::query::{Queries, Query, encoded};
use switchover_core::value::{OwnedValue, Rows};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

const OPERATION: &str = "ask the store a question";

/// Nothing can be written by it, whatever is asked.
const SET_UP: &str = "SET default_transaction_read_only = on";

/// One client.
pub(super) struct PostgresQueries {
    connection: Connection,
    plan: Arc<Plan>,
    statements: HashMap<String, Statement>,
}

impl PostgresQueries {
    pub(super) async fn open(config: &PgConfig, plan: &Arc<Plan>) -> Result<PostgresQueries> {
        let connection = connect(config).await?;
        let set = connection.client().batch_execute(SET_UP).await;
        set.map_err(|error| connection.classify(error, OPERATION))?;
        Ok(PostgresQueries { connection, plan: Arc::clone(plan), statements: HashMap::new() })
    }

    fn wire(&self, table: usize, field: usize, value: &OwnedValue) -> Result<Wire> {
        let value = encoded(&self.plan, table, field, value)?;
        let mut out = BytesMut::new();
        copy_encode::cell(value.borrow(), self.plan.tables[table].columns[field].r#type, &mut out);
        // A parameter's length is sent by the driver.
        out.advance(out.len().min(size_of::<i32>()));
        Ok(Wire(out))
    }

    /// The statement's end behind WHERE, and its parameters.
    fn condition(&self, query: &Query) -> Result<(String, Vec<Wire>)> {
        let name = |table: usize, field: usize| quote::ident(&self.plan.tables[table].columns[field].target);
        match query {
            Query::ById { table, key } => {
                let fields = self.plan.tables[*table].key_fields();
                let terms: Vec<String> = (fields.iter().zip(1..))
                    .map(|(field, number)| format!("{} = ${number}", name(*table, *field)))
                    .collect();
                let values = fields.iter().zip(key).map(|(field, value)| self.wire(*table, *field, value));
                Ok((terms.join(" AND "), values.collect::<Result<_>>()?))
            }
            Query::Latest { table, by, value, order, limit } => {
                let nullable = |field: usize| !self.plan.tables[*table].columns[field].not_null;
                let last = |field: usize| if nullable(field) { " NULLS LAST" } else { "" };
                let order: Vec<String> = order
                    .iter()
                    .map(|field| format!("{} DESC{}", name(*table, *field), last(*field)))
                    .collect();
                let condition =
                    format!("{} = $1 ORDER BY {} LIMIT {limit}", name(*table, *by), order.join(", "));
                Ok((condition, vec![self.wire(*table, *by, value)?]))
            }
            Query::Words { table, column, word, limit } => {
                let pattern = Wire(BytesMut::from(format!("%{word}%").as_bytes()));
                Ok((format!("{} ILIKE $1 LIMIT {limit}", name(*table, *column)), vec![pattern]))
            }
        }
    }

    async fn rows(&mut self, query: &Query) -> Result<Rows, Failure> {
        let table = &self.plan.tables[query.table()];
        let columns: Vec<String> = table.columns.iter().map(|column| quote::ident(&column.target)).collect();
        let (condition, values) = self.condition(query)?;
        let sql = format!(
            "SELECT {} FROM {} WHERE {condition}",
            columns.join(", "),
            quote::qualified(&self.plan.options.schema, &table.target)
        );
        let client = self.connection.client();
        let statement = match self.statements.get(&sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = client.prepare(&sql).await?;
                self.statements.insert(sql, statement.clone());
                statement
            }
        };
        let types: Vec<LogicalType> = table.columns.iter().map(|column| column.r#type).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let mut out = Rows::new(0, table.columns.len());
        rows(client, &statement, &parameters, &types, &mut out).await?;
        Ok(out)
    }
}

#[async_trait]
impl Queries for PostgresQueries {
    async fn ask(&mut self, query: &Query) -> Result<Rows> {
        let table = self.plan.tables[query.table()].source.clone();
        let answered = self.rows(query).await;
        answered.map_err(|failure| failure.of(&self.connection, OPERATION).table(table))
    }
}
