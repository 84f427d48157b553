//! The side that data goes to.

use super::{Dialect, not_live};
use crate::chunk::{Checkpoint, LocatorValue};
use crate::error::{Error, Kind, Result};
use crate::existing::TargetSchema;
use crate::finding::{Finding, Needs};
use crate::live::{LiveRun, LiveTarget, Side};
use crate::plan::Plan;
use crate::query::{Queries, not_asked};
use crate::schema::StoreInfo;
use crate::value::{OwnedValue, Row, Rows};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// Who owns the data, where the only run that can be there is a live one that is not over.
    pub owner: Option<Side>,
    /// Bytes free on the target's disk, where it can be known.
    pub free_bytes: Option<u64>,
    /// What the role lacks, in words; empty when it lacks nothing.
    pub missing_rights: Vec<String>,
}

/// What a target holds of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// Nothing: it was never there, or was taken back.
    Nothing,
    /// All that it wrote.
    All,
    /// A part of it, as a [`Target::discard`] that was stopped leaves it.
    Part,
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
    /// Rows that are to be there: the source's values, NULL where a value is in quarantine. With their locators where the
    /// target may lose rows ([`Target::may_lose`]), as the copy gave them.
    pub missing: Rows,
    /// Rows that are to go, with the target's own values, as often as they are to go. With their locators where the target may lose
    /// rows, as its reader gave them ([`Mend::removes`]).
    pub extra: Rows,
    /// What the quarantine is to hold of the table, where it holds something else.
    pub quarantine: Option<Vec<Quarantined>>,
}

impl Mend {
    /// Adds a row that is to go, with its locator; all of one mend have locators of one width.
    pub fn removes(&mut self, row: &Row<'_>) {
        let locator = row.locator();
        if self.extra.is_empty() {
            self.extra.reset(locator.len(), row.width());
        }
        locator.iter().for_each(|cell| self.extra.push(cell.borrow()));
        row.values().for_each(|value| self.extra.push(value));
    }
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
    /// Streams that serve it best, where that is not a matter of this machine's processors.
    fn streams_best(&self) -> Option<usize> {
        None
    }
    /// How often a chunk's bytes are in memory at once on their way into it, where a memory limit is to be kept: as rows, and in
    /// what is sent.
    fn chunk_copies(&self) -> u64 {
        2
    }
    /// What is there.
    async fn inspect(&self, schema: &str) -> Result<TargetState>;
    /// What matters about the store for a migration into it. Reads only; an obstacle is a finding.
    async fn examine(&self, schema: &str, needs: &Needs) -> Vec<Finding> {
        let _ = (schema, needs);
        Vec::new()
    }
    /// Whether a label that is not this one's may be the same store's, reached in another way: by other nodes of a cluster, with another
    /// file of keys. It proves nothing: that the run's records are there does.
    fn may_be(&self, label: &str) -> bool {
        let _ = label;
        false
    }
    /// Who owns the data of that run; `None` where none of that name is there, or it is no live one, or is over. `Config` where what it
    /// wrote is beside what this target is configured for.
    async fn owner_of(&self, schema: &str, run: &str) -> Result<Option<Side>> {
        let found = self.inspect(schema).await?;
        Ok(found.owner.filter(|_| found.runs.iter().any(|own| own == run)))
    }
    /// The live run, not over, whose tables are those of a plan: nobody but its engine writes to them.
    async fn live_run(&self, plan: &Plan) -> Result<Option<String>> {
        let found = self.inspect(&plan.options.schema).await?;
        Ok(found.runs.into_iter().next().filter(|_| found.owner.is_some()))
    }
    /// What is there of a run. A store without transactions must tell whether something was taken back yet: until then whoever takes
    /// the run back asks whether it is as it was moved, however often that was tried.
    async fn remains(&self, schema: &str, run: &str) -> Result<Remains> {
        let found = self.inspect(schema).await?;
        Ok(match found.runs.iter().any(|own| own == run) {
            true => Remains::All,
            false => Remains::Nothing,
        })
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
    /// Whether rows that stay are among those that [`Target::read`] gives and [`Target::audit`] counts.
    fn shows_what_stays(&self) -> bool {
        true
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
    /// Gives the quarantine's entries for a table, one at a time, since there may be as many as rows; those of one row follow
    /// each other.
    async fn quarantined(
        &self,
        plan: &Plan,
        table: usize,
        observe: &mut (dyn FnMut(Quarantined) + Send),
    ) -> Result<()>;
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
    /// The next rows with the target's own values; `None` at the end. A row's locator, where it has one, says which row of the
    /// store it is, for people to find it.
    async fn next(&mut self, rows: Rows) -> Result<Option<Rows>>;
}

/// What the store itself says about the tables of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Rows by table, in the plan's order; see [`Target::shows_what_stays`].
    pub rows: Vec<u64>,
    /// Constraints and indexes that are missing, not valid or defined otherwise, in words.
    pub faults: Vec<String>,
    /// Foreign keys and unique constraints that the store holds as valid.
    pub constraints_valid: u64,
}
