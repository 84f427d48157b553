//! The side that data comes from.

use super::not_live;
use crate::chunk::{KeyRange, LocatorValue};
use crate::error::{Error, Kind, Result};
use crate::finding::{Finding, Needs};
use crate::live::{LiveRun, LiveStore};
use crate::plan::Plan;
use crate::query::{Queries, not_asked};
use crate::relation::Relations;
use crate::schema::{Catalog, ForeignKey, Table};
use crate::value::{OwnedValue, Rows};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// An opaque resume token of a store's history. The engine stores and compares it, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(pub String);

/// What to read of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTable {
    /// The table.
    pub name: String,
    /// Its columns, in the order wanted.
    pub columns: Vec<String>,
    /// How its rows are found.
    pub locator: crate::schema::Locator,
}

/// One call of [`Snapshot::read`].
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// The table.
    pub table: Arc<ReadTable>,
    /// Which rows.
    pub range: KeyRange,
    /// Stop after the row that fills so many bytes.
    pub budget_bytes: usize,
    /// Stop after so many rows, however few bytes they are; [`ReadRequest::ANY_ROWS`] bounds nothing.
    pub rows_max: usize,
    /// Stop after the row at which so much time is over; [`ReadRequest::ANY_TIME`] bounds nothing. For stores whose readers keep
    /// others waiting; one that has none of these may read on.
    pub time_max: Duration,
}

impl ReadRequest {
    /// As [`ReadRequest::time_max`]: a batch takes what it takes.
    pub const ANY_TIME: Duration = Duration::MAX;

    /// As [`ReadRequest::rows_max`]: only the bytes bound a batch.
    pub const ANY_ROWS: usize = usize::MAX;

    /// Whether a batch that holds these rows is to end with them, however long it took.
    pub fn is_filled(&self, rows: &Rows) -> bool {
        rows.bytes() >= self.budget_bytes || rows.len() >= self.rows_max
    }
}

/// What [`Snapshot::read`] gives back.
#[derive(Debug)]
pub struct Batch {
    /// The rows, in the order of their locators.
    pub rows: Rows,
    /// The last row's locator; `None` when there was no row.
    pub last: Option<LocatorValue>,
    /// Whether the range is exhausted.
    pub done: bool,
}

/// Rows that break a rule.
#[derive(Debug, Clone, Default)]
pub struct Offenders {
    /// How many there are.
    pub count: u64,
    /// The first of them, by locator.
    pub first: Vec<LocatorValue>,
}

/// How much a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its rows.
    pub rows: u64,
    /// Its smallest and largest locator, where that is one integer and there are rows.
    pub span: Option<(i64, i64)>,
}

/// The side that data comes from.
#[async_trait]
pub trait Source: Send + Sync {
    /// The store without secrets.
    fn label(&self) -> String;
    /// As [`Target::identity`](super::Target::identity).
    fn identity(&self) -> Option<String> {
        None
    }
    /// One consistent read point, held until dropped.
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>>;
    /// Copies the store aside into a folder, checks the copy, and only then gives it its name. The
    /// name is the caller's alone: a finished backup of that name is checked and given back as it is.
    async fn backup(&self, directory: &std::path::Path, name: &str) -> Result<BackupRecord> {
        let _ = (directory, name);
        Err(Error::new(Kind::Unsupported, "back the source up").store(self.label()).hint("use --no-backup"))
    }
    /// Bytes free where a backup would go, where that can be known. The folder need not exist yet.
    fn backup_room(&self, directory: &std::path::Path) -> Option<u64> {
        let _ = directory;
        None
    }
    /// What matters about the store for a migration from it. Reads only; an obstacle is a finding.
    async fn examine(&self, needs: &Needs) -> Vec<Finding> {
        let _ = needs;
        Vec::new()
    }
    /// As [`Source::snapshot`], but every call reads at a point of its own, and none is held between calls: for
    /// live runs, whose application writes meanwhile.
    async fn passing(&self) -> Result<Arc<dyn Snapshot>> {
        Err(not_live(self.label()))
    }
    /// The store as one side of a live run.
    fn live(&self, run: &LiveRun) -> Result<Arc<dyn LiveStore>> {
        let _ = run;
        Err(not_live(self.label()))
    }
    /// A client that asks the store questions about the plan's tables, in which these names mean these relations.
    async fn queries(&self, plan: &Arc<Plan>, relations: &Arc<Relations>) -> Result<Box<dyn Queries>> {
        let _ = (plan, relations);
        Err(not_asked(self.label()))
    }
}

/// A backup that was made and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// Its file.
    pub path: std::path::PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The BLAKE3 digest of the file, in hexadecimal.
    pub blake3: String,
}

/// One consistent read point of a store.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// Its position.
    fn position(&self) -> Position;
    /// What the store holds at this point. Reads the schema, not the rows.
    async fn catalog(&self) -> Result<Catalog>;
    /// The same read point, in which these names mean these relations, whatever is asked of it but its
    /// catalog, which stays the store's own. Every expression is looked at now: one that is no single,
    /// repeatable expression of this store's is an error that says where it stands.
    async fn mapped(&self, relations: Arc<Relations>) -> Result<Arc<dyn Snapshot>> {
        let first = relations.values().flat_map(|relation| &relation.parts).find_map(|part| part.fragment());
        let error = Error::new(Kind::Unsupported, "use the mapping")
            .detail("this kind of source computes nothing: it has no `where`, `value` or `from`")
            .hint("move the data to SQLite first, and map it on the way from there");
        Err(match first {
            Some(fragment) => error.store(fragment.place.clone()),
            None => error,
        })
    }
    /// The next rows of a range, into `rows`.
    async fn read(&self, request: ReadRequest, rows: Rows) -> Result<Batch>;
    /// How many rows a table has, by the store's own count: it shares nothing with `read`, so a reader
    /// that left rows out is found.
    async fn count(&self, table: &str) -> Result<u64>;
    /// Rows of `table` whose foreign key has no parent, at most `limit` of them listed.
    async fn orphans(&self, table: &Table, key: &ForeignKey, limit: usize) -> Result<Offenders>;
    /// Rows of `table` that are equal in `columns` under the collations given here to another row.
    async fn duplicates(
        &self,
        table: &Table,
        columns: &[(String, String)],
        limit: usize,
    ) -> Result<Offenders>;
    /// Whether the store itself keeps its primary keys free of duplicates and NULL. Where it does not, the
    /// engine looks for duplicates.
    fn enforces_keys(&self) -> bool {
        true
    }
    /// Where a row stands in a file, in words for messages; `None` where rows have no such place.
    async fn place(&self, table: &str, locator: &LocatorValue) -> Result<Option<String>> {
        let _ = (table, locator);
        Ok(None)
    }
    /// How much a table holds at this point; `None` where telling would mean reading all of it.
    async fn extent(&self, table: &ReadTable) -> Result<Option<Extent>> {
        let _ = table;
        Ok(None)
    }
    /// The columns of the named rows, in their order; a row that is gone is `None`.
    async fn fetch(&self, table: &ReadTable, locator: &LocatorValue) -> Result<Option<Vec<OwnedValue>>>;
}
