//! The target side of Weaviate: one collection a table, and one for the run's records.
//!
//! A store without transactions, whose acknowledgements are no proof: it says so ([`Target::may_lose`]), and the
//! engine writes again what the verification misses before there is a verdict.

use super::alias;
use super::before::{self, Aside};
use super::claim::WeaviateClaim;
use super::client::{Client, Collection};
use super::config::WeaviateConfig;
use super::dialect::WeaviateDialect;
use super::ledger::{self, Of, PlanMark, Records, RunRecord};
use super::live::WeaviateLive;
use super::queries::WeaviateQueries;
use super::rows::Table;
use super::store::Sending;
use super::writer::WeaviateWriter;
use super::written::Notes;
use super::{discard, made, quarantine, reader, schema, touched};
use async_trait::async_trait;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use switchover_core::chunk::Checkpoint;
use switchover_core::connector::{
    Audit, BuildStep, Claim, Dialect, Mend, Quarantined, Reader, Remains, Target, TargetState, Writer,
};
use switchover_core::existing::TargetSchema;
use switchover_core::failpoint;
use switchover_core::finding::{Finding, Needs};
use switchover_core::live::{LiveRun, LiveTarget, Side};
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::query::Queries;
use switchover_core::schema::StoreInfo;
use switchover_core::value::{OwnedValue, Rows};
use switchover_core::{Error, Kind, Result};
use tokio::sync::OnceCell;

/// The one name that stands where other stores have schemas.
pub const SCHEMA: &str = "collections";

/// The kind of store, as plans and reports name it.
const STORE: &str = "weaviate";

/// Connections for objects: one would have a large answer wait behind another.
const LANES: usize = 4;

/// Requests that are under way at once: the server takes prepared ones fastest with four of them, and building one costs this
/// side next to nothing (docs/benchmarks.md).
const STREAMS_BEST: usize = 4;

/// A chunk as rows, as objects, as the request, and in what the connection holds of it.
const CHUNK_COPIES: u64 = 5;

/// Bytes of a request of a repair.
const MEND_BYTES: usize = 4 << 20;

/// A server to move data to.
#[derive(Debug)]
pub struct WeaviateTarget {
    config: WeaviateConfig,
    dialect: WeaviateDialect,
    client: OnceCell<Arc<Client>>,
    lanes: AtomicUsize,
    attempt: AtomicI64,
    /// By collection, what was there before the run that fills it, as it was read first: it changes with the run's records only.
    stays: Mutex<HashMap<String, Stays>>,
    /// What this attempt notes of what it writes.
    notes: Mutex<Arc<Notes>>,
}

/// Ids of objects that are not the run's.
type Stays = Arc<HashSet<[u8; 16]>>;

impl WeaviateTarget {
    /// The server of that configuration; nothing is opened yet.
    #[must_use]
    pub fn new(config: WeaviateConfig) -> WeaviateTarget {
        WeaviateTarget {
            config,
            dialect: WeaviateDialect,
            client: OnceCell::new(),
            lanes: AtomicUsize::new(0),
            attempt: AtomicI64::new(0),
            stays: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    fn known_stays(&self) -> MutexGuard<'_, HashMap<String, Stays>> {
        self.stays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notes(&self) -> MutexGuard<'_, Arc<Notes>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ids of objects of a table's collection that were there before the run and stay; none before a run is on record.
    async fn stays(&self, plan: &Plan, at: usize) -> Result<Stays> {
        let name = &plan.tables[at].target;
        if plan.options.existing.is_none() {
            return Ok(Stays::default());
        }
        if let Some(known) = self.known_stays().get(name) {
            return Ok(Arc::clone(known));
        }
        let client = self.client().await?;
        let Some(run) = ledger::run_of(client, plan).await? else { return Ok(Stays::default()) };
        let stays = Arc::new(before::stays(client, &run, name).await?);
        self.known_stays().insert(name.clone(), Arc::clone(&stays));
        Ok(stays)
    }

    async fn client(&self) -> Result<&Arc<Client>> {
        let connect = async || Client::connect(&self.config, LANES).await.map(Arc::new);
        self.client.get_or_try_init(connect).await
    }

    fn check_schema(&self, schema: &str) -> Result<()> {
        if schema == SCHEMA {
            return Ok(());
        }
        Err(Error::new(Kind::Config, "find the target's schema")
            .store(self.config.redacted())
            .detail(format!("this server has no schemas, so none is called \"{schema}\""))
            .hint("leave --schema out"))
    }

    /// Whether this is the one process that wrote for its run, with an answer to each request: nobody knows what an earlier one had
    /// under way.
    fn has_all_answers(&self, client: &Client) -> bool {
        self.attempt() == 1 && client.lost_at().is_none()
    }

    /// The run that fills the plan's collections.
    async fn run_of(&self, plan: &Plan) -> Result<String> {
        let run = ledger::run_of(self.client().await?, plan).await?;
        run.ok_or_else(|| {
            Error::new(Kind::NotFound, "find the run's records")
                .store(self.label())
                .detail("the run of this plan is no longer on record")
                .hint("after `cleanup` nothing can be mended any more: migrate again, under other names")
        })
    }
}

#[async_trait]
impl Target for WeaviateTarget {
    fn label(&self) -> String {
        self.config.redacted()
    }

    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn transactional(&self) -> bool {
        false
    }

    fn may_lose(&self) -> bool {
        true
    }

    fn streams_best(&self) -> Option<usize> {
        Some(STREAMS_BEST)
    }

    fn chunk_copies(&self) -> u64 {
        CHUNK_COPIES
    }

    async fn inspect(&self, schema: &str) -> Result<TargetState> {
        self.check_schema(schema)?;
        let client = self.client().await?;
        let there = client.schema()?;
        let aliases = match client.has_aliases() {
            true => Some(client.aliases()?),
            false => None,
        };
        // Aliases and collections share their names.
        let others = aliases.iter().flatten().map(|(name, _)| name);
        let names = there.iter().map(|collection| &collection.name);
        let taken = names.filter(|name| !name.starts_with(ledger::PREFIX)).chain(others);
        let runs = ledger::all(client).await?.into_iter().filter(|record| record.is(Of::Run));
        Ok(TargetState {
            store: StoreInfo {
                kind: STORE.into(),
                label: self.label(),
                version: client.meta().version.clone(),
                encoding: "UTF-8".into(),
                ..StoreInfo::default()
            },
            schema_exists: true,
            objects: Vec::new(),
            taken: taken.map(|name| self.dialect.folded(name)).collect(),
            aliases,
            modules: client
                .meta()
                .modules
                .as_object()
                .into_iter()
                .flat_map(|all| all.keys().cloned())
                .collect(),
            runs: runs.map(|record| record.run).collect(),
            // Several runs can be there: who owns the data is asked of each.
            owner: None,
            free_bytes: None,
            // What could not be found out is told by the first write.
            missing_rights: client.missing_rights().unwrap_or_default(),
        })
    }

    fn may_be(&self, label: &str) -> bool {
        self.config.may_be(label)
    }

    /// An engine of a live run leaves a record before the source has anything of it, and the source owns the data until the run is
    /// over, whoever reads here.
    async fn owner_of(&self, schema: &str, run: &str) -> Result<Option<Side>> {
        self.check_schema(schema)?;
        let client = self.client().await?;
        if !ledger::of_run(client, run).await?.iter().any(|record| record.is(Of::Live)) {
            return Ok(None);
        }
        ledger::of_this_tenant(client, run)?;
        Ok(Some(Side::Source))
    }

    async fn live_run(&self, plan: &Plan) -> Result<Option<String>> {
        ledger::live_of(self.client().await?, plan).await
    }

    async fn remains(&self, schema: &str, run: &str) -> Result<Remains> {
        self.check_schema(schema)?;
        discard::remains(self.client().await?, run).await
    }

    async fn examine(&self, schema: &str, _: &Needs) -> Vec<Finding> {
        super::examine::findings(self.check_schema(schema), self.client().await.map(|client| &**client))
    }

    async fn tables(&self, schema: &str) -> Result<TargetSchema> {
        self.check_schema(schema)?;
        let client = self.client().await?;
        let records = ledger::all(client).await?;
        let mut tables = Vec::new();
        for collection in client.schema()?.iter().filter(|found| !found.name.starts_with(ledger::PREFIX)) {
            let tenant = client.config().tenant.as_deref();
            // One that cannot be asked so is refused only if a table is meant for it.
            let mut obstacle = None;
            let lacks = |tenant: &str| {
                format!(
                    "the collection {0} has no tenant \"{tenant}\"; make it first: POST [{{\"name\": \"{tenant}\"}}] to \
                     /v1/schema/{0}/tenants of the server",
                    collection.name
                )
            };
            let rows = match tenant {
                Some(tenant)
                    if collection.tenants
                        && !client.tenants(&collection.name)?.iter().any(|own| own == tenant) =>
                {
                    obstacle = Some(lacks(tenant));
                    0
                }
                _ if tenant.is_some() != collection.tenants => 0,
                _ => match client.count(&collection.name).await {
                    // As a tenant that is not active does.
                    Err(error) if error.kind() == Kind::Rejected => {
                        obstacle =
                            Some(format!("the collection {} cannot be asked: {error}", collection.name));
                        0
                    }
                    counted => counted?,
                },
            };
            let mut table = schema::standing(collection, rows, tenant.is_some());
            table.obstacles.extend(obstacle);
            let of_run = |record: &&ledger::Label| {
                (record.is(Of::Collection) || record.is(Of::Standing)) && record.key == collection.name
            };
            table.obstacles.extend(records.iter().find(of_run).map(|record| {
                format!(
                    "the run {} has the collection {} on record as made or filled by it: roll it back, or accept it with `cleanup`, where \
                     its state folder is",
                    record.run, collection.name
                )
            }));
            tables.push(table);
        }
        Ok(TargetSchema { tables, others: Vec::new() })
    }

    async fn claim(&self, schema: &str, run: &str) -> Result<Box<dyn Claim>> {
        self.check_schema(schema)?;
        Ok(Box::new(WeaviateClaim::take(self.client().await?, run).await?))
    }

    async fn prepare(&self, plan: &Plan, run: &str) -> Result<()> {
        self.check_schema(&plan.options.schema)?;
        let client = self.client().await?;
        ledger::make(client)?;
        let (records, others): (Vec<_>, Vec<_>) =
            ledger::all(client).await?.into_iter().partition(|record| record.run == run);
        let there = client.schema()?;
        let planned = plan.tables.iter().map(|table| table.target.clone());
        ledger::lists_all_known(client, &there, run, &records, planned)?;
        let before = discard::run_record(client, &records).await?;
        let left = before.as_ref().is_some_and(|record| record.left);
        // What was taken back is missing until it is copied again.
        let going = before.as_ref().is_some_and(|record| record.going);
        let attempt = before.map_or(1, |record| record.attempt + 1);
        let standing = plan.options.existing.is_some();
        let is_there = |table: &TablePlan| there.iter().any(|found| found.name == table.target);
        if let Some(gone) = plan.tables.iter().find(|table| standing && !is_there(table)) {
            return Err(Error::new(Kind::Changed, "prepare the target")
                .store(self.label())
                .table(gone.source.clone())
                .detail(format!(
                    "the collection {} was there when the plan was made, and is gone",
                    gone.target
                ))
                .hint("plan again"));
        }
        // It was there before the run, or came from somebody else.
        let strange = |table: &&TablePlan| {
            !standing && made::under(&there, &table.target).is_some_and(|found| !made::is_of(found, run))
        };
        if let Some(table) = plan.tables.iter().find(strange) {
            return Err(made::taken(client, table));
        }
        // A run that was killed may have no more than the name, and makes it yet; and what one fills, no other restores.
        let folded = |name: &String| self.dialect.folded(name);
        let promised = |table: &TablePlan| {
            let named = |record: &&ledger::Label| {
                let own = record.is(Of::Collection) || record.is(Of::Standing);
                own && folded(&record.key) == folded(&table.target)
            };
            others.iter().find(named).map(|record| record.run.clone())
        };
        if let Some((table, other)) =
            plan.tables.iter().find_map(|table| promised(table).map(|other| (table, other)))
        {
            return Err(Error::new(Kind::AlreadyExists, "prepare the target")
                .store(self.label())
                .table(table.source.clone())
                .detail(format!("the run {other} has the collection {} on record as made or filled by it", table.target))
                .hint("roll that run back or accept it with `cleanup`, where its state folder is; or give the table another name (`to`)"));
        }
        failpoint::hit("prepare-before-commit");
        self.known_stays().clear();
        let mut put = Records::new(client);
        let tool = plan.made_by.clone();
        let mark = Some(PlanMark::of(plan));
        let tenant = Some(client.config().tenant.clone().unwrap_or_default());
        let record = RunRecord { attempt, tool, at_rest: false, left, plan: mark, tenant, going };
        put.add(run, Of::Run, "", &record)?;
        // A collection that was there is none of the run's own, and is never dropped.
        for table in plan.tables.iter().filter(|_| !standing) {
            put.add(run, Of::Collection, &table.target, &())?;
        }
        put.put(client).await?;
        failpoint::hit("collections-recorded");
        if standing {
            let noted = records.iter().filter(|record| record.is(Of::Standing));
            let noted = noted.map(|record| &*record.key).collect();
            before::note(client, &Arc::new(plan.clone()), run, &noted).await?;
        } else {
            copied_no_more(client, &there, plan, &records).await?;
            for table in &plan.tables {
                let made = made::make(client, &there, plan, table, run).await;
                made.map_err(|error| error.table(table.source.clone()))?;
            }
        }
        self.attempt.store(attempt, Ordering::Relaxed);
        *self.notes() = Arc::new(Notes::of(attempt));
        failpoint::hit("prepare-after-commit");
        Ok(())
    }

    async fn writer(&self, plan: Arc<Plan>, run: &str) -> Result<Box<dyn Writer>> {
        let client = self.client().await?;
        let lane = self.lanes.fetch_add(1, Ordering::Relaxed) % LANES;
        Ok(Box::new(WeaviateWriter::new(client, lane, plan, run, Arc::clone(&self.notes()))))
    }

    async fn checkpoints(&self, _: &Plan, run: &str) -> Result<Vec<Checkpoint>> {
        let records = ledger::of_kind(self.client().await?, run, Of::Checkpoint, |_| true).await?;
        records.iter().map(ledger::Record::read).collect()
    }

    /// Indexes come with their collections.
    fn build_steps(&self, _: &Plan) -> Vec<BuildStep> {
        Vec::new()
    }

    async fn build(&self, _: &Plan, _: &str, step: &BuildStep) -> Result<()> {
        Err(Error::new(Kind::Internal, "build the target").detail(format!("there is no step {}", step.id)))
    }

    async fn read(&self, plan: &Plan, table: usize, parts: usize) -> Result<Vec<Box<dyn Reader>>> {
        let stays = self.stays(plan, table).await?;
        reader::parts(self.client().await?, &Arc::new(plan.clone()), table, parts, stays).await
    }

    /// What stays is none of what is read, so there is nothing to set against it; but which that is must be known.
    async fn read_before(&self, plan: &Plan, table: usize) -> Result<Vec<Box<dyn Reader>>> {
        before::knows_what_stays(self.client().await?, plan, table).await?;
        Ok(Vec::new())
    }

    fn shows_what_stays(&self) -> bool {
        false
    }

    async fn fetch(&self, plan: &Plan, table: usize, keys: &[Vec<OwnedValue>]) -> Result<Rows> {
        let stays = self.stays(plan, table).await?;
        reader::by_keys(self.client().await?, &Arc::new(plan.clone()), table, keys, &stays).await
    }

    async fn quarantined(
        &self,
        plan: &Plan,
        table: usize,
        observe: &mut (dyn FnMut(Quarantined) + Send),
    ) -> Result<()> {
        quarantine::of_plan(self.client().await?, plan, table, observe).await
    }

    async fn audit(&self, plan: &Plan) -> Result<Audit> {
        let client = self.client().await?;
        let mut audit = Audit::default();
        for (at, table) in plan.tables.iter().enumerate() {
            match client.collection(&table.target)? {
                None => {
                    audit.rows.push(0);
                    audit.faults.push(format!("the collection {} is not there", table.target));
                }
                Some(found) => {
                    let rows = client.count(&table.target).await?;
                    let stays = self.stays(plan, at).await?;
                    audit
                        .rows
                        .push(rows.saturating_sub(before::staying(client, &table.target, &stays).await?));
                    audit.faults.extend(schema::faults(plan, table, &found.definition));
                }
            }
        }
        Ok(audit)
    }

    async fn touched(&self, plan: &Plan) -> Result<Vec<String>> {
        touched::of_plan(self.client().await?, plan).await
    }

    async fn repair(&self, plan: &Plan, mends: &[Mend]) -> Result<()> {
        let client = self.client().await?;
        // Who only writes rows needs no record, and finds them gone after a cleanup.
        let recorded = plan.options.existing.is_some() || mends.iter().any(|mend| mend.quarantine.is_some());
        let run = if recorded { self.run_of(plan).await? } else { String::new() };
        // Who only mends comes behind one that may have said that nothing is under way.
        if self.attempt() == 0
            && let Some(run) = ledger::run_of(client, plan).await?
        {
            ledger::not_at_rest(client, &run).await?;
        }
        let plan = Arc::new(plan.clone());
        for mend in mends {
            let planned = &plan.tables[mend.table];
            let mut table = Table::new(&plan, mend.table);
            let sending = Sending {
                client,
                lane: 0,
                request_bytes: MEND_BYTES,
                may_wait: true,
                operation: "mend rows of the target",
            };
            if plan.options.existing.is_some() {
                let id = |row| table.id_of_source(row, |_| false);
                let ids: Vec<[u8; 16]> = mend.missing.iter().filter_map(id).collect();
                let notes = Arc::clone(&self.notes());
                Aside::default().note(client, &run, &notes, &planned.target, &ids).await?;
            }
            let places = (0..mend.missing.len()).map(|at| (at, None));
            let written = sending.rows(&mut table, &mend.missing, places, &|_, _| false).await?;
            let written: HashSet<[u8; 16]> = written.into_iter().collect();
            let mut gone = reader::of_their_keys(client, &table, &mend.extra).await?;
            gone.retain(|id| !written.contains(id));
            client.delete_ids(0, &planned.target, &gone).await?;
            if let Some(entries) = &mend.quarantine {
                mend_quarantine(client, &run, planned, entries).await?;
            }
        }
        Ok(())
    }

    async fn publish(&self, plan: &Plan, run: &str) -> Result<()> {
        let client = self.client().await?;
        ledger::whole(client, run, self.has_all_answers(client)).await?;
        alias::lead(client, plan, run).await
    }

    async fn discard(&self, schema: &str, run: &str) -> Result<bool> {
        self.check_schema(schema)?;
        self.known_stays().clear();
        discard::discard(self.client().await?, run, self.attempt()).await
    }

    async fn forget(&self, schema: &str, run: &str) -> Result<()> {
        self.check_schema(schema)?;
        self.known_stays().clear();
        discard::forget(self.client().await?, run).await
    }

    fn attempt(&self) -> i64 {
        self.attempt.load(Ordering::Relaxed)
    }

    async fn queries(&self, plan: &Arc<Plan>) -> Result<Box<dyn Queries>> {
        Ok(Box::new(WeaviateQueries::open(&self.config, plan).await?))
    }

    fn live(&self, run: &LiveRun) -> Result<Arc<dyn LiveTarget>> {
        let Some(client) = self.client.get() else {
            return Err(Error::new(Kind::Internal, "follow the source")
                .store(self.label())
                .detail("it was never reached"));
        };
        Ok(Arc::new(WeaviateLive::new(Arc::clone(client), run)))
    }
}

/// Takes the chunks of tables off the record whose objects are gone with their collection, or with the URL's tenant of it: what is
/// made anew is to be filled by the copy, and not row by row by the comparison behind it.
async fn copied_no_more(
    client: &Client,
    there: &[Collection],
    plan: &Plan,
    own: &[ledger::Label],
) -> Result<()> {
    let mut gone = Vec::new();
    for (at, table) in plan.tables.iter().enumerate() {
        if !own.iter().any(|record| WeaviateWriter::is_of_table(record, at)) {
            continue;
        }
        if !made::is_there(client, there, &table.target)? {
            let chunks = own.iter().filter(|record| WeaviateWriter::is_of_table(record, at));
            gone.extend(chunks.map(|record| record.id));
        }
    }
    client.delete_proven(ledger::RECORDS, &gone).await
}

/// Has the run's quarantine hold exactly these entries of a table.
async fn mend_quarantine(
    client: &Client,
    run: &str,
    table: &TablePlan,
    entries: &[Quarantined],
) -> Result<()> {
    let found = quarantine::of_table(client, run, &table.source).await?;
    let mut records = Records::new(client);
    for entry in entries {
        quarantine::add(&mut records, run, table, entry)?;
    }
    let kept: BTreeSet<[u8; 16]> = records.ids().collect();
    records.put(client).await?;
    let gone: Vec<[u8; 16]> = found.into_iter().map(|(id, _)| id).filter(|id| !kept.contains(id)).collect();
    client.delete_ids(0, ledger::RECORDS, &gone).await.map(drop)
}
