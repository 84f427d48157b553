//! What a connector must be: the traits, and their contract, which is longer than they are.
//!
//! All calls are pulled: nobody pushes, so the call itself is the back-pressure. All traits are
//! object-safe and per batch, so that dynamic dispatch costs nothing measurable.
//!
//! **Batches.** A batch belongs to whoever holds it. `read` takes an empty one and gives it back
//! filled, so that its memory is used again.
//!
//! **Durable.** When [`Writer::write`] returns `Ok`, its rows and its checkpoint are in one committed
//! transaction (or, in a store without transactions, the rows can be read back and the checkpoint
//! was written after them). The store may lose the newest commits in a crash of its own, but never
//! a row without its checkpoint, nor a checkpoint without its rows.
//!
//! **Repetition.** `write` of a checkpoint that is already there returns [`Written::Already`] and
//! changes nothing. [`Target::prepare`], [`Target::build`] and [`Target::discard`] may be called again at any
//! time; what was done stays done. After a lost acknowledgement the engine asks
//! [`Target::checkpoints`] before it writes again.
//!
//! **Order.** `claim` → `prepare` → `write`* → `build`* → reads; `discard` at any time.
//!
//! **Other stores.** What live migration needs is [`crate::live`]; a store without transactions keeps its
//! checkpoints in a side collection and says so by [`Target::transactional`].

use crate::census::ColumnCensus;
use crate::chunk::{Checkpoint, KeyRange, LocatorValue};
use crate::codec::Codec;
use crate::error::{Error, Kind, Result};
use crate::existing::TargetSchema;
use crate::finding::{Finding, Needs};
use crate::live::{LiveRun, LiveStore, LiveTarget, Side};
use crate::mapping::ColumnMap;
use crate::plan::{ColumnPlan, LogicalType, Plan, TablePlan};
use crate::query::{Queries, not_asked};
use crate::relation::Relations;
use crate::schema::{Catalog, Column, ForeignKey, Generated, Index, StoreInfo, Table, Trigger, View};
use crate::value::{OwnedValue, Rows};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
}

impl ReadRequest {
    /// As [`ReadRequest::rows_max`]: only the bytes bound a batch.
    pub const ANY_ROWS: usize = usize::MAX;

    /// Whether a batch that holds these rows is to end with them.
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
    /// As [`Target::identity`].
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

/// The refusal of a store that takes no part in live runs.
fn not_live(label: String) -> Error {
    Error::new(Kind::Unsupported, "move the data while the application writes")
        .store(label)
        .detail("this kind of store takes no part in a live migration")
        .hint("stop the application and use `switchover migrate`")
}

/// How a column should be carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The target's type.
    pub r#type: LogicalType,
    /// How values are carried over.
    pub codec: Codec,
    /// Why.
    pub why: String,
}

/// A column as the target's expressions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeColumn {
    /// Its name on the source.
    pub source: String,
    /// Its name on the target.
    pub target: String,
    /// Its type on the target.
    pub r#type: LogicalType,
    /// Its collation on the source.
    pub collation: String,
    /// What its declared type prefers on the source.
    pub affinity: crate::expr::Affinity,
    /// What every value is on the source, where its store sees to it: then its language is another one too.
    pub kind: Option<LogicalType>,
    /// Whether the target's cells are the source's own values (not booleans from text, for example).
    pub exact: bool,
}

/// What bears a name on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A table, or what is one there.
    Table,
    /// A column.
    Column,
}

/// What a target's language can say. Pure: no call touches the store.
///
/// Every `translate_*` gives the target's SQL when the meaning is the same for every row, or the
/// reason why it is left out. It never approximates.
pub trait Dialect: Send + Sync {
    /// Bytes of the longest name.
    fn identifier_bytes_max(&self) -> usize;
    /// Columns of the widest table.
    fn columns_max(&self) -> usize;
    /// Whether every table has a column of that name, so that no other may have it.
    fn is_system_column(&self, name: &str) -> bool {
        let _ = name;
        false
    }
    /// Whether that source is of the target's own kind: then declarations are kept as they are written,
    /// values of every class move as they are, and [`Dialect::choose`] is not asked.
    fn speaks(&self, source: &StoreInfo) -> bool {
        let _ = source;
        false
    }
    /// Whether its columns can be of that type, filled by that codec: an edited plan may name another
    /// target's.
    fn takes(&self, ty: LogicalType, codec: &Codec) -> bool {
        let _ = codec;
        !matches!(ty, LogicalType::Declared | LogicalType::Any | LogicalType::Vector)
    }
    /// Where the tables go, as messages name it, and what to do where something is there already.
    fn place(&self, schema: &str) -> (String, &'static str) {
        let place = format!("the target's schema \"{schema}\"");
        (place, "name an empty or new schema with --schema, or empty this one")
    }
    /// What is wrong with the name of a schema there.
    fn schema_fault(&self, schema: &str) -> Option<String> {
        let _ = schema;
        None
    }
    /// The form in which it compares names: two names of one form are one name.
    fn folded(&self, name: &str) -> String {
        name.to_owned()
    }
    /// The name of a table or column there, where the mapping gives it none.
    fn named(&self, what: Named, name: &str) -> String {
        let _ = what;
        name.to_owned()
    }
    /// What is wrong with a name there, other than its length.
    fn name_fault(&self, what: Named, name: &str) -> Option<String> {
        let _ = (what, name);
        None
    }
    /// Whether it keeps names like that for itself.
    fn is_reserved_name(&self, name: &str) -> bool {
        let _ = name;
        false
    }
    /// Whether a constraint must have a name.
    fn names_constraints(&self) -> bool {
        true
    }
    /// Bytes at which an index entry ends, where it does.
    fn index_entry_bytes_max(&self) -> Option<u64> {
        None
    }
    /// Bytes at which a row ends that has all its long values elsewhere, where it does.
    fn row_bytes_max(&self) -> Option<u64> {
        None
    }
    /// Why no rule is kept there (keys, constraints, NOT NULL, numbering), where the store knows none: rows
    /// are told apart by the source's primary key all the same.
    fn keeps_no_rules(&self) -> Option<&'static str> {
        None
    }
    /// Settings of a source of its own kind that are carried over with the data.
    fn settings_kept(&self) -> &'static [&'static str] {
        &[]
    }
    /// The type and codec of a column, from its declaration and what it holds.
    fn choose(&self, column: &Column, census: &ColumnCensus) -> Choice;
    /// What becomes of a choice there: a store of few types has others for some of them.
    fn adapt(&self, choice: Choice, census: &ColumnCensus) -> Choice {
        let _ = census;
        choice
    }
    /// A default.
    fn translate_default(&self, column: &Column, ty: LogicalType) -> Result<String, String>;
    /// A generated column's expression.
    fn translate_generated(
        &self,
        generated: &Generated,
        ty: LogicalType,
        scope: &[ScopeColumn],
    ) -> Result<String, String>;
    /// A CHECK condition.
    fn translate_check(&self, check: &crate::expr::Expr, scope: &[ScopeColumn]) -> Result<String, String>;
    /// An index: its parts and its predicate.
    fn translate_index(
        &self,
        index: &Index,
        scope: &[ScopeColumn],
    ) -> Result<(Vec<String>, Option<String>), String>;
    /// The parts of an index that finds what is within values, which a mapping asks for.
    fn special_index(
        &self,
        index: &crate::mapping::IndexMap,
        columns: &[&ColumnPlan],
    ) -> Result<Vec<String>, String> {
        let _ = (index, columns);
        Err("this kind of target has no indexes of what is within values".into())
    }
    /// What it makes of a mapping's keys about objects, where it keeps such.
    fn objects(&self) -> Option<&dyn Objects> {
        None
    }
    /// A view's query, given all tables that are moved.
    fn translate_view(&self, view: &View, tables: &[TablePlan], schema: &str) -> Result<String, String>;
    /// A trigger's statement, given all tables that are moved.
    fn translate_trigger(&self, trigger: &Trigger, tables: &[TablePlan]) -> Result<String, String> {
        let _ = (trigger, tables);
        Err("a trigger's program is not translated: write it for the target".into())
    }
}

/// The part of a dialect that only stores of objects have. Pure, as all of it.
pub trait Objects: Send + Sync {
    /// The parts of an index that a column's mapping asks for; else the key that asks too much, and why.
    fn parts(&self, column: &ColumnPlan, map: &ColumnMap) -> Result<Vec<String>, (&'static str, String)>;
    /// Whether a part of an index stays, as far as this column's mapping goes.
    fn keeps(&self, part: &str, column: &ColumnPlan, map: &ColumnMap) -> bool;
    /// The type of a property that holds a column of that type, as the target writes it.
    fn type_name(&self, ty: LogicalType) -> &'static str;
    /// What a part of an index of this column costs, in words; `None` for other columns' and where it is little.
    fn cost(&self, part: &str, column: &ColumnPlan) -> Option<String>;
}

/// What a target holds before the run.
#[derive(Debug, Clone, Default)]
pub struct TargetState {
    /// The store.
    pub store: StoreInfo,
    /// Whether the schema exists.
    pub schema_exists: bool,
    /// Tables, views, sequences, types in it, as `kind name`, other than a run's own.
    pub objects: Vec<String>,
    /// Tables of others, beside which the run's may stand under other names, in the form in which the target
    /// compares names.
    pub taken: Vec<String>,
    /// Other names of tables, and where each leads; `None` where the target has no such names.
    pub aliases: Option<Vec<(String, String)>>,
    /// Parts of the target that work on what it stores, by name.
    pub modules: Vec<String>,
    /// The runs whose records are there: of what is there they made what they have on record.
    pub runs: Vec<String>,
    /// Who owns the data, where a run there is a live one that is not over.
    pub owner: Option<Side>,
    /// Bytes free on the target's disk, where it can be known.
    pub free_bytes: Option<u64>,
    /// What the role lacks, in words; empty when it lacks nothing.
    pub missing_rights: Vec<String>,
}

/// Whether a chunk was written now or had been before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Now.
    Now,
    /// It was there already: nothing was changed.
    Already,
}

/// A value or row that went to the quarantine table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The row's locator on the source.
    pub locator: LocatorValue,
    /// The column on the source; every column of the row is listed when the row is left out.
    pub column: String,
    /// The value, exactly.
    pub value: OwnedValue,
    /// Whether the whole row was left out.
    pub whole_row: bool,
    /// Why.
    pub why: String,
}

/// What [`Target::repair`] mends of one table.
#[derive(Debug, Default)]
pub struct Mend {
    /// The table, by index in the plan.
    pub table: usize,
    /// Rows that are to be there: the source's values, NULL where a value is in quarantine.
    pub missing: Rows,
    /// Rows that are to go, with the target's own values, as often as they are to go.
    pub extra: Rows,
    /// What the quarantine is to hold of the table, where it holds something else.
    pub quarantine: Option<Vec<Quarantined>>,
}

/// A step that follows the copy: an index, a key, a sequence. In one transaction with its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStep {
    /// Its identity within the plan.
    pub id: String,
    /// The table, by index in the plan; views have none.
    pub table: Option<usize>,
    /// Steps of a stage run side by side; a stage begins when the one before is done.
    pub stage: BuildStage,
    /// What it makes, for people.
    pub what: String,
    /// The statement.
    pub sql: String,
}

/// The stages after the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuildStage {
    /// Indexes, those of keys among them: several of one table side by side.
    Indexes,
    /// Primary keys and unique constraints over their indexes.
    Keys,
    /// Foreign keys, which need the parents' keys.
    ForeignKeys,
    /// The proof that the rows keep the foreign keys, where a store does that apart.
    Validation,
    /// Sequences, views.
    Finish,
    /// What the store's planner wants to know. It changes no row, so the verification may run beside it.
    Statistics,
}

/// The side that data goes to.
#[async_trait]
pub trait Target: Send + Sync {
    /// The store without secrets.
    fn label(&self) -> String;
    /// What its language can say.
    fn dialect(&self) -> &dyn Dialect;
    /// Whether rows and checkpoint commit together.
    fn transactional(&self) -> bool;
    /// Whether it may say of rows that they are stored which are not: then a checkpoint proves nothing, and what the
    /// verification at the end of a run misses is written again, and verified again, before there is a verdict.
    fn may_lose(&self) -> bool {
        false
    }
    /// What tells this store from every other, whatever it is called, where it can be told: a source of the
    /// same identity is this very store.
    fn identity(&self) -> Option<String> {
        None
    }
    /// Streams that it takes side by side, and steps after the copy.
    fn streams_max(&self) -> usize {
        usize::MAX
    }
    /// What is there.
    async fn inspect(&self, schema: &str) -> Result<TargetState>;
    /// What matters about the store for a migration into it. Reads only; an obstacle is a finding.
    async fn examine(&self, schema: &str, needs: &Needs) -> Vec<Finding> {
        let _ = (schema, needs);
        Vec::new()
    }
    /// The tables that an application's migrations made there, with all that matters for filling them.
    async fn tables(&self, schema: &str) -> Result<TargetSchema> {
        let _ = schema;
        Err(Error::new(Kind::Unsupported, "fill tables that are there already")
            .store(self.label())
            .detail("this kind of target takes new tables only")
            .hint("leave --into existing out, and name a target that is not there yet"))
    }
    /// Readers of the rows that were in a table before the run and stay in it, as they were.
    async fn read_before(&self, plan: &Plan, table: usize) -> Result<Vec<Box<dyn Reader>>> {
        let _ = (plan, table);
        Ok(Vec::new())
    }
    /// Rows held against what a table refuses rows for ([`crate::existing::Standing::rules`]), by the target itself; `which`
    /// are places in that list. Where a rule keeps rows apart they are held against each other, or, where `stay`, against its
    /// rows that stay alone. Nothing of it is left when it is dropped.
    async fn trial(&self, plan: &Plan, table: usize, which: &[usize], stay: bool) -> Result<Box<dyn Trial>> {
        let _ = (which, stay);
        Err(Error::new(Kind::Unsupported, "hold rows against the target's own rules")
            .store(self.label())
            .table(plan.tables[table].source.clone()))
    }
    /// Takes the target for a run, against every other process, until dropped. `Busy` when taken.
    async fn claim(&self, schema: &str, run: &str) -> Result<Box<dyn Claim>>;
    /// Makes the schema, the tables and the run's own records, all or nothing.
    async fn prepare(&self, plan: &Plan, run: &str) -> Result<()>;
    /// A stream of its own into the target.
    async fn writer(&self, plan: Arc<Plan>, run: &str) -> Result<Box<dyn Writer>>;
    /// Everything that was copied.
    async fn checkpoints(&self, plan: &Plan, run: &str) -> Result<Vec<Checkpoint>>;
    /// The steps after the copy.
    fn build_steps(&self, plan: &Plan) -> Vec<BuildStep>;
    /// Carries out one of them, once.
    async fn build(&self, plan: &Plan, run: &str, step: &BuildStep) -> Result<()>;
    /// Readers that together see every row of the table once, at one point in time.
    async fn read(&self, plan: &Plan, table: usize, parts: usize) -> Result<Vec<Box<dyn Reader>>>;
    /// The rows with these keys (target values, in the order of the key's fields), in any order; a key
    /// that is not there has none. For tables with a primary key only.
    async fn fetch(&self, plan: &Plan, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        let _ = keys;
        Err(Error::new(Kind::Unsupported, "look up single rows")
            .store(self.label())
            .table(plan.tables[table].source.clone())
            .hint("compare all rows instead"))
    }
    /// The quarantine's entries for a table.
    async fn quarantined(&self, plan: &Plan, table: usize) -> Result<Vec<Quarantined>>;
    /// What the store itself says: row counts, and constraints that are not there or not valid.
    async fn audit(&self, plan: &Plan) -> Result<Audit>;
    /// What others did since the run to what it filled, where a comparison with the source cannot see it, and a
    /// rollback would undo it, in words.
    async fn touched(&self, plan: &Plan) -> Result<Vec<String>> {
        let _ = plan;
        Ok(Vec::new())
    }
    /// Mends rows and quarantine of several tables in one transaction, for `--repair`. Actions of foreign
    /// keys do not fire.
    async fn repair(&self, plan: &Plan, mends: &[Mend]) -> Result<()>;
    /// Has readers find what was moved, where the mapping gives them a name for it: after the verdict. May be called again;
    /// [`Target::discard`] takes it back.
    async fn publish(&self, plan: &Plan, run: &str) -> Result<()> {
        let _ = (plan, run);
        Ok(())
    }
    /// Removes exactly what the run made. `false` when there was nothing of it.
    async fn discard(&self, schema: &str, run: &str) -> Result<bool>;
    /// Removes a run's own records and leaves what was moved. Where a place takes one run only, whatever records it holds.
    async fn forget(&self, schema: &str, run: &str) -> Result<()>;
    /// The attempt that [`Target::prepare`] gave this process; 0 before it.
    fn attempt(&self) -> i64 {
        0
    }
    /// The store as the target of a live run.
    fn live(&self, run: &LiveRun) -> Result<Arc<dyn LiveTarget>> {
        let _ = run;
        Err(not_live(self.label()))
    }
    /// A client that asks the store questions about the plan's tables.
    async fn queries(&self, plan: &Arc<Plan>) -> Result<Box<dyn Queries>> {
        let _ = plan;
        Err(not_asked(self.label()))
    }
}

/// Rows on trial: the target's own words decide, on a copy of what they look at.
#[async_trait]
pub trait Trial: Send {
    /// What could not be asked, by place in the table's list, and why: only the load tells there.
    fn unasked(&self) -> &[(usize, String)];
    /// Holds rows against those before them, or those that stay: the source's, fields in the plan's order. Rows named in
    /// `left_out` (by index) are none, cells in `as_null` NULL, as in [`ChunkWrite`]. A row that is refused is none for
    /// those that follow.
    async fn hold(
        &mut self,
        rows: &Rows,
        as_null: &std::collections::BTreeSet<(usize, usize)>,
        left_out: &std::collections::BTreeSet<usize>,
    ) -> Result<Vec<Met>>;
}

/// A row that something of the target's would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The row, by index.
    pub row: usize,
    /// Place in the table's list of rules.
    pub which: usize,
    /// Where it is no other row that is in the way: what the target says of the row.
    pub fault: Option<String>,
}

/// Holds a target for a run. Dropping it releases.
#[async_trait]
pub trait Claim: Send + Sync {
    /// Whether it still holds.
    async fn check(&self) -> Result<()>;
}

/// One stream into the target.
#[async_trait]
pub trait Writer: Send {
    /// Writes a chunk and its checkpoint in one transaction. Rows are the source's; the plan's
    /// codecs turn them into the target's. Rows named in `left_out` (by index) are not written,
    /// and cells in `as_null` are written as NULL; both are in `quarantine`.
    async fn write(&mut self, chunk: &ChunkWrite<'_>) -> Result<Written>;
}

/// What [`Writer::write`] writes.
#[derive(Debug)]
pub struct ChunkWrite<'a> {
    /// The rows as the source holds them, fields in the order of the plan's copied columns.
    pub rows: &'a Rows,
    /// The record of it.
    pub checkpoint: &'a Checkpoint,
    /// Values and rows that go to quarantine.
    pub quarantine: &'a [Quarantined],
    /// Cells, by row and field, that are NULL on the target because they are in quarantine.
    pub as_null: &'a std::collections::BTreeSet<(usize, usize)>,
    /// Rows that are in quarantine.
    pub left_out: &'a std::collections::BTreeSet<usize>,
}

/// Reads a part of a target's table.
#[async_trait]
pub trait Reader: Send {
    /// The next rows with the target's own values; `None` at the end.
    async fn next(&mut self, rows: Rows) -> Result<Option<Rows>>;
}

/// What the store itself says about the tables of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Rows by table, in the plan's order.
    pub rows: Vec<u64>,
    /// Constraints and indexes that are missing or not valid, in words.
    pub faults: Vec<String>,
    /// Foreign keys and unique constraints that the store holds as valid.
    pub constraints_valid: u64,
}
