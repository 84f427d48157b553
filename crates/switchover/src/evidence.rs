//! The plan phase: catalog, census, rules, exceptions. It reads, and decides nothing itself.
//!
//! One pass over all rows gives the census and the content's digest. Only tables of which the census
//! leaves a doubt are read a second time, to name the rows that the target cannot hold.

use crate::clock;
use crate::orphans::Keys;
use crate::progress::{Event, Phase, Progress};
use crate::scan::{Looked, scan_shared};
use crate::shutdown::Shutdown;
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use switchover_core::census::{ColumnCensus, Interest, TableCensus};
use switchover_core::codec::Codec;
use switchover_core::connector::{ReadTable, Snapshot, Target, TargetState};
use switchover_core::digest::{self, Hex, RowDigester, Side, TableDigest};
use switchover_core::existing::TargetSchema;
use switchover_core::judge;
use switchover_core::plan::{LogicalType, Plan, PlanOptions, Refusal, TablePlan};
use switchover_core::planner::{self, Evidence};
use switchover_core::schema::{Catalog, Column, Skipped, Table};
use switchover_core::{Error, Kind, Result};

/// What reading needs to know of a table of the catalog.
pub(crate) fn read_table(table: &Table) -> Arc<ReadTable> {
    Arc::new(ReadTable {
        name: table.name.clone(),
        columns: table.columns.iter().map(|column| column.name.clone()).collect(),
        locator: table.locator.clone(),
    })
}

/// What reading needs to know of a table of the plan.
pub(crate) fn planned_table(table: &TablePlan) -> Arc<ReadTable> {
    Arc::new(ReadTable {
        name: table.source.clone(),
        columns: table.columns.iter().map(|column| column.source.clone()).collect(),
        locator: table.locator.clone(),
    })
}

fn globs(patterns: &[String], option: &str) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| {
            Error::new(Kind::Config, "read the table patterns")
                .detail(format!("{option} {pattern:?}: {}", error.kind()))
                .hint("patterns are globs: `chat_*`, `{users,orders}`")
        })?);
    }
    set.build().map_err(|error| Error::new(Kind::Config, "read the table patterns").because(error))
}

const NOT_TAKEN: &str = "no pattern of --tables takes it";
const LEFT_OUT: &str = "a pattern of --exclude leaves it out";

/// Batches that wait to be digested after the census has seen them: as many as may lie between the two without either
/// waiting for the other (`scan::AHEAD`).
const DIGESTS_WAITING: usize = 4;

/// Leaves in the catalog what the options take, with a line for everything else.
pub(crate) fn select(catalog: &mut Catalog, options: &PlanOptions) -> Result<()> {
    let (take, leave) = (globs(&options.tables, "--tables")?, globs(&options.exclude, "--exclude")?);
    for (pattern, option) in
        options.tables.iter().map(|p| (p, "--tables")).chain(options.exclude.iter().map(|p| (p, "--exclude")))
    {
        let one = globs(std::slice::from_ref(pattern), option)?;
        let unreadable = catalog.unreadable.iter().map(|table| table.name.as_str());
        let names: Vec<&str> =
            catalog.tables.iter().map(|table| table.name.as_str()).chain(unreadable).collect();
        if !names.iter().any(|name| one.is_match(name)) {
            return Err(Error::new(Kind::Config, "select the tables")
                .detail(format!("{option} {pattern:?} matches no table"))
                .hint(format!("the source has {}", names.join(", "))));
        }
    }
    let is_left = |name: &str| match (options.tables.is_empty() || take.is_match(name), leave.is_match(name))
    {
        (true, false) => None,
        (false, _) => Some(NOT_TAKEN),
        (true, true) => Some(LEFT_OUT),
    };
    let mut wanted = catalog.unreadable.iter().filter(|table| is_left(&table.name).is_none());
    if let Some(table) = wanted.next() {
        let others: Vec<&str> = wanted.map(|table| table.name.as_str()).collect();
        let others = match others.len() {
            0 => String::new(),
            _ => format!("; nor can be read as rows: {}", others.join(", ")),
        };
        return Err(Error::new(Kind::Refused, "read the source's tables")
            .store(catalog.store.label.clone())
            .table(table.name.clone())
            .detail(format!("{}{others}", table.why))
            .hint(format!("{}, or leave it with --exclude", table.hint)));
    }
    for table in &catalog.unreadable {
        let Some(why) = is_left(&table.name) else { continue };
        catalog.skipped.push(Skipped { kind: "table".into(), name: table.name.clone(), why: why.into() });
    }
    let tables = std::mem::take(&mut catalog.tables);
    let any = !tables.is_empty();
    for table in tables {
        // A map goes with the table whose ids it keeps.
        let of = table.id_map.as_ref().map_or(&table.name, |map| &map.table);
        let taken = options.tables.is_empty() || take.is_match(&table.name) || take.is_match(of);
        let why = match (taken, leave.is_match(&table.name) || leave.is_match(of)) {
            (true, false) => {
                catalog.tables.push(table);
                continue;
            }
            (false, _) => NOT_TAKEN,
            (true, true) => LEFT_OUT,
        };
        catalog.skipped.push(Skipped { kind: "table".into(), name: table.name, why: why.into() });
    }
    if any && catalog.tables.is_empty() {
        return Err(Error::new(Kind::Config, "select the tables")
            .detail("the patterns of --tables and --exclude leave no table to move")
            .hint("a run that moves nothing would be \"the same\": take a pattern away"));
    }
    Ok(())
}

/// An edited plan names each table and each column once, on both sides.
fn named_once(plan: &Plan) -> Result<()> {
    fn twice<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let mut seen = BTreeSet::new();
        names.find(|name| !seen.insert(*name))
    }
    let error = |name: &str| {
        Error::new(Kind::Config, "use the given plan")
            .detail(format!("it names \"{name}\" twice"))
            .hint("the plan was edited so that two things have one name: change one of them")
    };
    let tables = || plan.tables.iter();
    let found =
        twice(tables().map(|table| &*table.source)).or_else(|| twice(tables().map(|table| &*table.target)));
    if let Some(name) = found {
        return Err(error(name));
    }
    for table in tables() {
        let columns = || table.columns.iter();
        let found = twice(columns().map(|column| &*column.source))
            .or_else(|| twice(columns().map(|column| &*column.target)));
        if let Some(name) = found {
            return Err(error(name).table(table.source.clone()));
        }
    }
    Ok(())
}

/// What the source holds, as the plan's scan saw it.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) tables: BTreeMap<String, TableContent>,
}

/// One table's part of it.
#[derive(Debug)]
pub(crate) struct TableContent {
    /// The codecs by whose canonical bytes the digest was made.
    pub(crate) codecs: Vec<Codec>,
    /// The columns, in the order in which a row's digest has them.
    pub(crate) columns: Vec<String>,
    /// Those whose values choose a row's bucket.
    pub(crate) key: Vec<usize>,
    pub(crate) bytes: u64,
    pub(crate) digest: TableDigest,
}

impl TableContent {
    /// Whether the digest is what the plan's own codecs would give.
    pub(crate) fn serves(&self, table: &TablePlan) -> bool {
        !table.has_exceptions()
            && self.columns.iter().eq(table.columns.iter().map(|column| &column.source))
            && self.key == table.key_fields()
            && (self.codecs.iter().zip(&table.columns))
                .all(|(codec, column)| column.codec.same_canonical(codec, &column.census))
    }
}

/// What one pass over the source gives.
#[derive(Debug, Default)]
struct Scan {
    census: BTreeMap<String, TableCensus>,
    content: Content,
    content_hash: String,
    /// Foreign keys that may have orphans.
    suspects: BTreeSet<(String, usize)>,
}

/// The primary key's fields by index.
fn key_fields(table: &Table) -> Vec<usize> {
    let Some(key) = &table.primary_key else { return Vec::new() };
    let find = |name: &String| table.columns.iter().position(|column| column.name == *name);
    key.columns.iter().map(find).collect::<Option<Vec<usize>>>().unwrap_or_default()
}

/// The digests of all batches, beside the census.
fn digest_all(mut digester: RowDigester, waiting: &Receiver<Arc<Looked>>) -> (RowDigester, TableDigest) {
    let mut sum = TableDigest::default();
    while let Ok(rows) = waiting.recv() {
        rows.iter().for_each(|row| sum.add(digester.digest(row, |_| false)));
    }
    (digester, sum)
}

/// What the plan phase works with.
pub(crate) struct Look<'a> {
    /// The source as the mapping shows it.
    pub(crate) snapshot: &'a Arc<dyn Snapshot>,
    /// Its catalog, mapped.
    pub(crate) catalog: &'a Catalog,
    /// The same read point without the mapping.
    pub(crate) plain: &'a Arc<dyn Snapshot>,
    pub(crate) target: &'a dyn Target,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) shutdown: &'a Shutdown,
}

impl Look<'_> {
    /// Makes the plan, and gives what the source holds on the way.
    pub(crate) async fn plan(&self, options: &PlanOptions) -> Result<(Plan, Content)> {
        self.timed(self.planned(options)).await
    }

    /// Checks a plan that was made earlier, and perhaps edited, against the stores as they are.
    pub(crate) async fn recheck(&self, plan: Plan) -> Result<(Plan, Content)> {
        self.timed(self.rechecked(plan)).await
    }

    /// The phase as it is told: all of it, not the first of several looks at the rows alone.
    async fn timed<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = std::time::Instant::now();
        let bytes = self.catalog.store.size_bytes;
        self.progress.event(Event::PhaseStarted { phase: Phase::Plan, rows: 0, bytes });
        let done = work.await?;
        let seconds = started.elapsed().as_secs_f64();
        self.progress.event(Event::PhaseFinished { phase: Phase::Plan, seconds });
        Ok(done)
    }

    async fn planned(&self, options: &PlanOptions) -> Result<(Plan, Content)> {
        let state = self.target.inspect(&options.schema).await?;
        let mut catalog = self.catalog.clone();
        select(&mut catalog, options)?;
        let standing = self.standing(&mut catalog, options).await?;
        let existing = standing.as_ref().map(|(schema, _)| schema);
        let Scan { census, content, content_hash, suspects } =
            self.census(&catalog, existing, options).await?;
        let evidence = Evidence {
            catalog: &catalog,
            census: &census,
            content_hash,
            target: &state,
            existing,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: clock::now(),
        };
        let mut plan = planner::plan(&evidence, self.target.dialect(), options);
        self.mapping(&mut plan).await?;
        plan.refusals.extend(standing.into_iter().flat_map(|(_, refusals)| refusals));
        self.same_ids(&mut plan, &catalog).await?;
        self.stray_ids(&mut plan, &catalog).await?;
        self.vectors(&mut plan).await?;
        self.exceptions(&mut plan, &catalog, &suspects).await?;
        self.seeded(&mut plan).await?;
        Ok((plan, content))
    }

    async fn rechecked(&self, mut plan: Plan) -> Result<(Plan, Content)> {
        let operation = "use the given plan";
        if plan.format != switchover_core::plan::PLAN_FORMAT {
            return Err(Error::new(Kind::Unsupported, operation)
                .detail(format!(
                    "it has format {}, this version reads {}",
                    plan.format,
                    switchover_core::plan::PLAN_FORMAT
                ))
                .hint("plan again with this version"));
        }
        named_once(&plan)?;
        let mut catalog = self.catalog.clone();
        let changed = |what: &str| {
            Error::new(Kind::Changed, operation)
                .store(catalog.store.label.clone())
                .detail(format!("the source's {what} changed since the plan was made"))
                .hint("plan again, and edit the new plan")
        };
        if catalog.schema_hash != plan.source.schema_hash {
            return Err(changed("schema"));
        }
        let error = changed("content");
        select(&mut catalog, &plan.options)?;
        let standing = self.standing(&mut catalog, &plan.options).await?;
        let existing = standing.as_ref().map(|(schema, _)| schema);
        let Scan { census, content, content_hash, suspects } =
            self.census(&catalog, existing, &plan.options).await?;
        if content_hash != plan.source.content_hash {
            return Err(error);
        }
        let state: TargetState = self.target.inspect(&plan.options.schema).await?;
        plan.refusals.clear();
        plan.disk.target_free_bytes = state.free_bytes;
        let live = plan.options.existing.as_ref().is_some_and(|existing| existing.live);
        for table in &mut plan.tables {
            let (Some(found), Some(real)) = (catalog.table(&table.source), census.get(&table.source)) else {
                return Err(Error::new(Kind::Config, operation)
                    .table(table.source.clone())
                    .detail("the source has no such table"));
            };
            // A live run's plan has locators of its own, and is refused as such below.
            if table.locator != found.locator && !live {
                return Err(Error::new(Kind::Config, operation)
                    .table(table.source.clone())
                    .detail("its locator is not the one by which the source finds a row: rows would be passed over or read twice")
                    .hint("it is not for editing, and that of a live run is not for a migration: take it from a new plan"));
            }
            for column in &mut table.columns {
                let at = found.columns.iter().position(|candidate| candidate.name == column.source);
                let Some(own) = at.and_then(|at| real.columns.get(at)) else {
                    return Err(Error::new(Kind::Config, operation)
                        .table(table.source.clone())
                        .column(column.source.clone())
                        .detail("the source has no such column"));
                };
                if !judge::makes(&column.codec, column.r#type) {
                    return Err(Error::new(Kind::Config, operation)
                        .table(table.source.clone())
                        .column(column.source.clone())
                        .detail(format!(
                            "its codec gives {}, its type is {}",
                            column.codec.expects(),
                            column.r#type
                        ))
                        .hint(
                            "edit the type and the codec together (docs/reference/plan.md lists the pairs)",
                        ));
                }
                if !self.target.dialect().takes(column.r#type, &column.codec) {
                    return Err(Error::new(Kind::Config, operation)
                        .table(table.source.clone())
                        .column(column.source.clone())
                        .detail(format!("the target has no columns of the type {}", column.r#type))
                        .hint("plan again for this target, and edit that plan"));
                }
                // The census is evidence, not opinion: an edited one is replaced.
                column.census = own.clone();
                column.exceptions = 0;
            }
        }
        if let Some((schema, refusals)) = standing {
            plan.refusals.extend(refusals);
            match self.target.dialect().objects() {
                Some(objects) => planner::existing::objects::recheck(&mut plan, &schema, objects),
                None => planner::existing::recheck(&mut plan, &schema),
            }
        } else {
            let right =
                state.missing_rights.first().map(|why| (why.clone(), planner::MISSING_RIGHT.to_owned()));
            let held = || planner::occupied(&state, self.target.dialect(), &plan.options.schema);
            plan.refusals.extend(right.or_else(held).map(|(why, hint)| Refusal {
                table: String::new(),
                key: String::new(),
                column: String::new(),
                value: String::new(),
                why,
                hint,
            }));
        }
        if plan.options.existing.is_none() {
            // Names and keys of tables that are there are the target's own.
            let faults = planner::given::faults(&plan, &census, self.target.dialect());
            plan.refusals.extend(faults);
        }
        plan.refusals.extend(planner::alias::faults(&plan, &state, self.target.dialect()));
        plan.refusals.extend(planner::vectorizer::faults(&plan, &state, self.target.dialect()));
        planner::given::leavings(&mut plan, &catalog);
        self.mapping(&mut plan).await?;
        self.same_ids(&mut plan, &catalog).await?;
        self.stray_ids(&mut plan, &catalog).await?;
        self.vectors(&mut plan).await?;
        self.exceptions(&mut plan, &catalog, &suspects).await?;
        self.seeded(&mut plan).await?;
        Ok((plan, content))
    }

    async fn census(
        &self,
        catalog: &Catalog,
        existing: Option<&TargetSchema>,
        options: &PlanOptions,
    ) -> Result<Scan> {
        let dialect = self.target.dialect();
        let native = dialect.speaks(&catalog.store);
        let reads_json = dialect.takes(LogicalType::Jsonb, &Codec::Json)
            || dialect.takes(LogicalType::Json, &Codec::JsonText);
        let mut found = Scan::default();
        let mut keys = Keys::of(catalog);
        let mut hashed = BTreeMap::new();
        for table in keys.parents_first(catalog) {
            // Collections of objects take what new ones would.
            let standing = existing.filter(|_| dialect.objects().is_none());
            let interests: Vec<Interest> = match standing {
                Some(schema) => planner::existing::interests(table, schema, options),
                None => {
                    let asked = |column: &Column| options.mapping.column(&table.name, &column.name)?.r#type;
                    let interest = |column: &Column| match asked(column) {
                        Some(ty) => Interest::from(ty),
                        // Between stores of one kind, and where the store says what its values are, no
                        // declaration is interpreted.
                        None if native || column.kind.is_some() => Interest::Plain,
                        None => Interest::of_declared(&column.declared),
                    };
                    table.columns.iter().map(interest).collect()
                }
            };
            let mut census = TableCensus::new(table.columns.len());
            let predicted = |(column, interest): (&Column, &Interest)| match column.kind {
                Some(kind) => ColumnCensus::predicted_of_kind(kind),
                // A target that keeps JSON as the text that it is asks for no more than for a text.
                None if *interest == Interest::Json && !reads_json => {
                    ColumnCensus::predicted(Interest::Plain)
                }
                None => ColumnCensus::predicted(*interest),
            };
            let codecs: Vec<Codec> = table.columns.iter().zip(&interests).map(predicted).collect();
            let digester = RowDigester::new(codecs.clone(), key_fields(table), Side::Source);
            let (digests, waiting) = std::sync::mpsc::sync_channel::<Arc<Looked>>(DIGESTS_WAITING);
            let digesting = tokio::task::spawn_blocking(move || digest_all(digester, &waiting));
            let mut watch = keys.watch(table);
            scan_shared(self.snapshot, &read_table(table), self.shutdown, |rows| {
                // Half of the work is the digest's. Where it ended early, it says why when it is waited for.
                let _ = digests.send(Arc::clone(rows));
                let before = census.bytes;
                census.observe(rows, &interests);
                watch.observe(rows);
                self.progress.event(Event::Advanced {
                    phase: Phase::Plan,
                    table: table.name.clone(),
                    rows: rows.len() as u64,
                    bytes: census.bytes - before,
                });
            })
            .await?;
            drop(digests);
            let (digester, sum) = digesting
                .await
                .map_err(|error| Error::new(Kind::Internal, "digest the source").because(error))?;
            let kept = watch.end();
            keys.keep(table, kept, &mut found.suspects);
            for (column, tally) in census.columns.iter_mut().zip(digester.json()) {
                column.note_json(tally);
            }
            hashed.insert(&table.name, (sum.rows(), sum.total()));
            found.content.tables.insert(
                table.name.clone(),
                TableContent {
                    codecs,
                    columns: table.columns.iter().map(|column| column.name.clone()).collect(),
                    key: key_fields(table),
                    bytes: census.bytes,
                    digest: sum,
                },
            );
            found.census.insert(table.name.clone(), census);
        }
        let mut content = Vec::new();
        for (name, (rows, total)) in hashed {
            content.extend_from_slice(name.as_bytes());
            content.extend_from_slice(&rows.to_le_bytes());
            content.extend_from_slice(&total.to_le_bytes());
        }
        found.content_hash = Hex(digest::of_bytes(&content)).to_string();
        Ok(found)
    }
}
