//! Questions as an application asks them: each is one prepared statement on a connection that only reads.
//!
//! The same for a source, whose tables may be relations of a mapping, and for a target's file.

use super::config::SqliteConfig;
use super::connect::{self, blocking};
use super::error::classify;
use super::open;
use super::quote::{ident, qualified};
use super::read::{Bound, Encoding, column, placeholder, push};
use super::relation::whole;
use async_trait::async_trait;
use rusqlite::{Connection, params_from_iter};
use std::path::PathBuf;
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::plan::Plan;
use switchover_core::query::{Queries, Query, encoded};
use switchover_core::relation::Relations;
use switchover_core::value::{OwnedValue, Rows};

const OPERATION: &str = "ask the store a question";

/// One client.
pub(super) struct SqliteQueries {
    connection: Connection,
    encoding: Encoding,
    path: PathBuf,
    plan: Arc<Plan>,
    /// The source's relations; `None` for a target.
    relations: Option<Arc<Relations>>,
}

impl SqliteQueries {
    pub(super) fn open(
        config: &SqliteConfig,
        plan: &Arc<Plan>,
        relations: Option<&Arc<Relations>>,
    ) -> Result<SqliteQueries> {
        let connection = open::open_for(config, OPERATION)?;
        let encoding = connect::text(&connection, config.path(), "PRAGMA encoding")?;
        Ok(SqliteQueries {
            connection,
            encoding: Encoding::of_name(&encoding),
            path: config.path().to_owned(),
            plan: Arc::clone(plan),
            relations: relations.cloned(),
        })
    }

    fn column(&self, table: usize, field: usize) -> &str {
        let column = &self.plan.tables[table].columns[field];
        if self.relations.is_some() { &column.source } else { &column.target }
    }

    fn value(&self, table: usize, field: usize, value: &OwnedValue) -> Result<OwnedValue> {
        match self.relations {
            Some(_) => Ok(value.clone()),
            None => encoded(&self.plan, table, field, value),
        }
    }

    /// The statement's end behind WHERE, and its parameters.
    fn condition(&self, query: &Query) -> Result<(String, Vec<OwnedValue>)> {
        let equal = |number: usize, table, field, value: &OwnedValue| -> Result<(String, OwnedValue)> {
            let value = self.value(table, field, value)?;
            let mark = placeholder(number, &value, self.encoding);
            Ok((format!("{} = {mark}", ident(self.column(table, field))), value))
        };
        match query {
            Query::ById { table, key } => {
                let fields = self.plan.tables[*table].key_fields();
                let terms = (1..).zip(fields.iter().zip(key));
                let terms = terms.map(|(number, (field, value))| equal(number, *table, *field, value));
                let (terms, values): (Vec<String>, Vec<OwnedValue>) =
                    terms.collect::<Result<Vec<_>>>()?.into_iter().unzip();
                Ok((terms.join(" AND "), values))
            }
            Query::Latest { table, by, value, order, limit } => {
                let (term, value) = equal(1, *table, *by, value)?;
                let order: Vec<String> = order
                    .iter()
                    .map(|field| format!("{} DESC", ident(self.column(*table, *field))))
                    .collect();
                Ok((format!("{term} ORDER BY {} LIMIT {limit}", order.join(", ")), vec![value]))
            }
            Query::Words { table, column, word, limit } => {
                let pattern = OwnedValue::Text(format!("%{word}%"));
                let mark = placeholder(1, &pattern, self.encoding);
                let name = ident(self.column(*table, *column));
                Ok((format!("{name} LIKE {mark} LIMIT {limit}"), vec![pattern]))
            }
        }
    }

    fn rows(&self, query: &Query) -> Result<Rows> {
        let table = &self.plan.tables[query.table()];
        let columns: Vec<String> = (0..table.columns.len())
            .map(|field| column(self.column(query.table(), field), self.encoding))
            .collect();
        let from = match &self.relations {
            Some(relations) => whole(relations, &table.source),
            None => qualified("main", &table.target),
        };
        let (condition, values) = self.condition(query)?;
        let sql = format!("SELECT {} FROM {from} WHERE {condition}", columns.join(", "));
        let fail = |error| classify(error, OPERATION, &self.path).table(table.source.clone());
        let mut statement = self.connection.prepare_cached(&sql).map_err(fail)?;
        let parameters = params_from_iter(values.iter().map(|value| Bound(value, self.encoding)));
        let mut found = statement.query(parameters).map_err(fail)?;
        let marked = self.encoding.is_wide().then_some(self.encoding);
        let mut rows = Rows::new(0, table.columns.len());
        while let Some(row) = found.next().map_err(fail)? {
            push(row, 0, table.columns.len(), marked, &mut rows).map_err(fail)?;
        }
        Ok(rows)
    }
}

#[async_trait]
impl Queries for SqliteQueries {
    async fn ask(&mut self, query: &Query) -> Result<Rows> {
        blocking(|| self.rows(query))
    }
}
