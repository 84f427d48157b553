//! Questions as an application asks them, one at a time: for measuring how fast two stores answer the same.
//!
//! A question names tables and columns by their places in the plan, and holds the source's values: the target encodes
//! them by the plan's codecs. An answer is rows of the store's own values with every column of the plan in its order,
//! so that the answers of two stores can be compared.
//!
//! Invariant: nothing here writes. Absent on purpose: questions over several tables, which no two stores say alike.

use crate::codec::Codec;
use crate::error::{Error, Kind, Result};
use crate::native::Native;
use crate::plan::{LogicalType, Plan, TablePlan};
use crate::value::{OwnedValue, Rows};
use async_trait::async_trait;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The row of a key.
    ById {
        /// The table, by index in the plan.
        table: usize,
        /// The key, in the order of the key's fields.
        key: Vec<OwnedValue>,
    },
    /// The newest rows with a value, the newest first: the last messages of a conversation.
    Latest {
        /// The table, by index in the plan.
        table: usize,
        /// The column that holds the value.
        by: usize,
        /// The value.
        value: OwnedValue,
        /// The columns that order them, all descending, NULL last.
        order: Vec<usize>,
        /// At most so many rows.
        limit: u32,
    },
    /// Rows whose text holds a word, in any order and any case of ASCII letters.
    Words {
        /// The table, by index in the plan.
        table: usize,
        /// The column of texts.
        column: usize,
        /// The word: ASCII letters and digits.
        word: String,
        /// At most so many rows.
        limit: u32,
    },
}

impl Query {
    /// The table that is asked, by index in the plan.
    pub fn table(&self) -> usize {
        match self {
            Query::ById { table, .. } | Query::Latest { table, .. } | Query::Words { table, .. } => *table,
        }
    }
}

/// One client of a store, with a connection of its own.
#[async_trait]
pub trait Queries: Send {
    /// Why a question of this form cannot be asked here, with what to do; `None` where it can.
    async fn obstacle(&mut self, query: &Query) -> Result<Option<String>> {
        let _ = query;
        Ok(None)
    }
    /// Whether a word is found only where it stands as a whole: otherwise within other words too.
    fn whole_words(&self) -> bool {
        false
    }
    /// The rows, without locators.
    async fn ask(&mut self, query: &Query) -> Result<Rows>;
}

/// The refusal of a store that cannot be asked.
pub fn not_asked(label: String) -> Error {
    Error::new(Kind::Unsupported, "ask the store questions")
        .store(label)
        .detail(
            "questions are asked of SQLite and PostgreSQL and Weaviate stores; PostgreSQL as a target only",
        )
        .hint("name a SQLite file with --from, and any of the three with --to")
}

/// The columns that put a table's rows in the order of their making: its first column of times without NULL, and its
/// key behind it, so that no two rows are equal. `None` where the two stores would order them differently.
pub fn newest_first(table: &TablePlan) -> Option<Vec<usize>> {
    let is_time = |ty| matches!(ty, LogicalType::Timestamp | LogicalType::TimestampTz | LogicalType::Date);
    let time = table.columns.iter().position(|column| is_time(column.r#type) && column.census.nulls == 0);
    let key = table.key_fields();
    let keeps_order = |field: &usize| match &table.columns[*field].codec {
        Codec::Int | Codec::Text { .. } | Codec::Plain | Codec::Any { .. } => true,
        Codec::UuidBytes | Codec::UuidText { .. } => true,
        Codec::Native(native) => matches!(native, Native::Int { .. } | Native::Safe | Native::Unicode),
        _ => false,
    };
    if key.is_empty() || !key.iter().all(keeps_order) {
        return None;
    }
    Some(time.into_iter().chain(key).collect())
}

/// A value of a column as the target holds it.
///
/// # Errors
/// `Refused` for one that the target cannot hold.
pub fn encoded(plan: &Plan, table: usize, field: usize, value: &OwnedValue) -> Result<OwnedValue> {
    let (table, mut scratch) = (&plan.tables[table], Vec::new());
    let column = &table.columns[field];
    let encoded = column.codec.encode(value.borrow(), &mut scratch).map(|value| value.to_owned_value());
    encoded.map_err(|unfit| {
        Error::new(Kind::Refused, "carry a value to the other store")
            .table(table.source.clone())
            .column(column.source.clone())
            .detail(format!("{}: {}", value.borrow().shown(), unfit.0))
            .hint("its row is not on the target: leave the table out with --table")
    })
}
