//! Questions as an application asks them, over gRPC: by the object's id, by a filter with an order, by words.

use super::WeaviateConfig;
use super::cells;
use super::client::{Client, Page, Search, Words};
use super::reader::listing;
use super::rows::Table;
use async_trait::async_trait;
use serde_json::Value as Json;
use std::sync::Arc;
use switchover_core::plan::Plan;
use switchover_core::query::{Queries, Query, encoded};
use switchover_core::value::{OwnedValue, Rows, Value};
use switchover_core::{Error, Kind, Result};

const OPERATION: &str = "ask the store a question";

/// Words that the server leaves out of every search by its own choice (its stop words of English), as far as they
/// are long enough to be asked for.
const STOP_WORDS: [&str; 3] = ["their", "there", "these"];

/// One client.
pub(super) struct WeaviateQueries {
    client: Client,
    plan: Arc<Plan>,
    tables: Vec<Table>,
}

impl WeaviateQueries {
    pub(super) async fn open(config: &WeaviateConfig, plan: &Arc<Plan>) -> Result<WeaviateQueries> {
        let client = Client::connect(config, 1).await?;
        let tables = (0..plan.tables.len()).map(|at| Table::new(plan, at)).collect();
        Ok(WeaviateQueries { client, plan: Arc::clone(plan), tables })
    }

    fn name(&self, table: usize, field: usize) -> String {
        self.plan.tables[table].columns[field].target.clone()
    }

    /// What the server says of a column's property.
    fn property(&self, table: usize, field: usize) -> Result<Json> {
        let (collection, name) = (&self.plan.tables[table].target, self.name(table, field));
        let gone = || {
            Error::new(Kind::NotFound, OPERATION)
                .store(self.client.config().redacted())
                .table(collection.clone())
                .column(name.clone())
                .detail("the server does not have it")
                .hint("`switchover migrate` makes it")
        };
        let found = self.client.collection(collection)?.ok_or_else(gone)?;
        let all = found.definition["properties"].as_array();
        let one = all.and_then(|all| all.iter().find(|property| property["name"] == *name));
        one.cloned().ok_or_else(gone)
    }

    fn rows(&mut self, table: usize, pages: &[Page]) -> Result<Rows> {
        let mut rows = Rows::new(1, self.plan.tables[table].columns.len());
        for page in pages {
            for found in self.client.objects(page) {
                self.tables[table].push(&found?, &mut rows);
            }
        }
        Ok(rows)
    }
}

/// A property is found by a value only where it has the index for it, and a text as a whole only where it is one token.
fn not_filterable(property: &Json, column: &str) -> Option<String> {
    if property["indexFilterable"] != true {
        return Some(format!("{column} is not filterable there: write `{column}.filterable = true`"));
    }
    let texts = property["dataType"][0] == "text";
    (texts && property["tokenization"] != "field")
        .then(|| format!("{column} is found by its words there, not as a whole"))
}

#[async_trait]
impl Queries for WeaviateQueries {
    async fn obstacle(&mut self, query: &Query) -> Result<Option<String>> {
        Ok(match query {
            Query::ById { .. } => None,
            Query::Latest { table, by, .. } => {
                not_filterable(&self.property(*table, *by)?, &self.plan.tables[*table].columns[*by].source)
            }
            Query::Words { table, column, word, .. } => {
                let property = self.property(*table, *column)?;
                let name = &self.plan.tables[*table].columns[*column].source;
                if property["indexSearchable"] != true {
                    Some(format!("{name} is not searchable there: write `{name}.searchable = true`"))
                } else if property["tokenization"] != "word" {
                    Some(format!(
                        "the words of {name} are cut by '{}' there, not as words",
                        property["tokenization"].as_str().unwrap_or_default()
                    ))
                } else {
                    STOP_WORDS
                        .contains(&word.to_ascii_lowercase().as_str())
                        .then(|| format!("the server looks for no '{word}'"))
                }
            }
        })
    }

    fn whole_words(&self) -> bool {
        true
    }

    async fn ask(&mut self, query: &Query) -> Result<Rows> {
        let at = query.table();
        let listing = listing(&self.tables[at]);
        let encode = |field: usize, value: &OwnedValue| encoded(&self.plan, at, field, value);
        let pages = match query {
            Query::ById { key, .. } => {
                let fields = self.plan.tables[at].key_fields();
                let key: Vec<OwnedValue> = fields
                    .iter()
                    .zip(key)
                    .map(|(field, value)| encode(*field, value))
                    .collect::<Result<_>>()?;
                let key: Vec<Value<'_>> = key.iter().map(OwnedValue::borrow).collect();
                let id = self.tables[at].id_of_key(&key);
                self.client.by_ids(0, &listing, id.as_slice()).await?
            }
            Query::Latest { by, value, order, limit, .. } => {
                let (value, mut scratch) = (encode(*by, value)?, Vec::new());
                let wire = cells::to_wire(value.borrow(), &mut scratch).ok_or_else(|| {
                    Error::new(Kind::Unsupported, OPERATION)
                        .table(self.plan.tables[at].source.clone())
                        .column(self.plan.tables[at].columns[*by].source.clone())
                        .detail("the server has no form for such a value")
                        .hint("name another column with --by")
                })?;
                let order: Vec<String> = order.iter().map(|field| self.name(at, *field)).collect();
                vec![self.client.newest(&listing, &self.name(at, *by), &wire, &order, *limit).await?]
            }
            Query::Words { column, word, limit, .. } => {
                let words = Words::Bm25 { query: word.clone(), properties: vec![self.name(at, *column)] };
                let search = Search { listing, words, target: None, limit: *limit };
                vec![self.client.search(&search).await?]
            }
        };
        self.rows(at, &pages)
    }
}
