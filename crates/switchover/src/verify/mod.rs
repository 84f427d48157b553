//! The verify phase: every field of every row, by an answer that does not trust the copy.
//!
//! The source is read apart from the copy (in a migration, by the plan's scan of the same snapshot);
//! the target is read back in full, and what it holds is decoded by the
//! plan's codecs into what the source should hold. Both sides are summed into digests by bucket
//! ([`switchover_core::digest`]); buckets that differ are drilled down to rows and fields. Values in
//! quarantine count as what they are: their place in the table must be NULL, and the quarantine must
//! hold them exactly. Three answers: same, different, unproven (the reason is the error).

mod aside;
mod drill;
mod mend;
pub(crate) mod sample;

pub(crate) use aside::Aside;
pub(crate) use drill::shown_on_target;

use aside::quarantine_digest;

use crate::evidence::{Content, planned_table};
use crate::progress::{Event, Phase, Progress};
use crate::report::{TableReport, Verdict};
use crate::scan::scan;
use crate::shutdown::Shutdown;
use std::sync::Arc;
use std::time::Instant;
use switchover_core::chunk::KeyRange;
use switchover_core::codec::Codec;
use switchover_core::connector::{Mend, Reader, Snapshot, Target};
use switchover_core::digest::{Hex, RowDigest, RowDigester, Side, TableDigest};
use switchover_core::judge::{self, Judge};
use switchover_core::limits::LISTED_MAX;
use switchover_core::plan::{Plan, TablePlan};
use switchover_core::value::{Row, Rows};
use switchover_core::{Error, Kind, Result};

/// Why a table is unproven whose rows were equal when they were looked at one by one.
const CHANGED: &str = "the stores differed when they were compared, and no more when the rows were looked for: somebody writes to one of \
                       them; verify again when nobody does";

/// Whether a table differed when it was compared, and no more when its rows were looked for.
pub(crate) fn is_passed(report: &TableReport) -> bool {
    report.verdict == Verdict::Unproven && report.reason == CHANGED
}

/// What is done about rows that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mending {
    /// Nothing.
    Nothing,
    /// Rows that are missing are written again; what the run did not write is left alone. Only where a write can be repeated.
    Missing,
    /// The target gets exactly the source's rows.
    All,
}

/// What the verification works with.
#[derive(Clone)]
pub(crate) struct Verify {
    pub(crate) plan: Arc<Plan>,
    pub(crate) snapshot: Arc<dyn Snapshot>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) shutdown: Shutdown,
    /// Readers side by side on the target.
    pub(crate) parts: usize,
    /// What is done about rows that differ.
    pub(crate) mending: Mending,
    /// What the plan's own scan of the same snapshot saw; the source is then not read a third time.
    pub(crate) content: Option<Arc<Content>>,
}

/// A digester for one side of a table.
pub(crate) fn digester(table: &TablePlan, side: Side) -> RowDigester {
    let codecs: Vec<Codec> = table.columns.iter().map(|column| column.codec.clone()).collect();
    RowDigester::new(codecs, table.key_fields(), side)
}

/// What the source says a table must hold.
#[derive(Default)]
struct Expected {
    table: TableDigest,
    bytes: u64,
    rows: u64,
    /// The sum of what must be in quarantine, and how many entries.
    quarantine: (u128, u64),
}

/// Digests source rows as the target should show them.
pub(crate) struct SourceSide<'a> {
    table: &'a TablePlan,
    digester: RowDigester,
    scratch: Vec<u8>,
    judge: Option<Judge>,
}

impl<'a> SourceSide<'a> {
    pub(crate) fn new(table: &'a TablePlan) -> SourceSide<'a> {
        SourceSide {
            table,
            digester: digester(table, Side::Source),
            scratch: Vec::new(),
            judge: table.has_exceptions().then(|| Judge::new(table)),
        }
    }

    /// The row's digest, or `None` when it is in quarantine as a whole; `out` is told of its cells there.
    pub(crate) fn digest(
        &mut self,
        row: Row<'_>,
        mut out: impl FnMut(usize, bool),
    ) -> Option<switchover_core::digest::RowDigest> {
        let Some(judge) = &self.judge else { return Some(self.digester.digest(row, |_| false)) };
        match judge.row(row, &self.table.columns, &mut self.scratch) {
            judge::Fate::Clean => Some(self.digester.digest(row, |_| false)),
            judge::Fate::CellsOut(cells) => {
                cells.iter().for_each(|(field, _)| out(*field, false));
                Some(self.digester.digest(row, |field| cells.iter().any(|(cell, _)| *cell == field)))
            }
            judge::Fate::RowOut(..) => {
                (0..row.width()).for_each(|field| out(field, true));
                None
            }
        }
    }
}

impl Verify {
    /// Compares one table, and mends it where a write can be repeated; elsewhere gives what is to be mended.
    pub(crate) async fn table(&self, index: usize) -> Result<(TableReport, Option<Mend>)> {
        let started = Instant::now();
        let table = &self.plan.tables[index];
        self.progress.event(Event::TableStarted {
            phase: Phase::Verify,
            table: table.source.clone(),
            rows: table.rows,
            bytes: table.bytes,
        });
        let (mut expected, counted, found, aside, before) = tokio::try_join!(
            self.source_digest(index),
            self.snapshot.count(&table.source),
            self.target_digest(index),
            Aside::of(&*self.target, &self.plan, index),
            self.before(index)
        )?;
        expected.table.merge(&before);
        let differing = found.differing(&expected.table);
        let mut report = TableReport {
            source: table.source.clone(),
            target: format!("{}.{}", self.plan.options.schema, table.target),
            source_rows: expected.rows,
            target_rows: found.rows(),
            bytes: expected.bytes,
            copy_seconds: 0.0,
            verify_seconds: 0.0,
            source_digest: Some(Hex(expected.table.total())),
            target_digest: Some(Hex(found.total())),
            verdict: Verdict::Same,
            reason: String::new(),
            sampled: None,
            differences: Vec::new(),
            differences_total: 0,
            quarantined: aside.listed,
            quarantined_rows: aside.rows,
            exceptions: aside.exceptions(table),
        };
        let mut mend = None;
        if !differing.is_empty() {
            let drilled = self.drill(index, &expected.table, &found, &differing).await?;
            report.verdict = Verdict::Different;
            if drilled.total == 0 {
                report.verdict = Verdict::Unproven;
                report.reason = CHANGED.to_owned();
            }
            report.differences = drilled.differences;
            report.differences_total = drilled.total;
            mend = drilled.mend;
        }
        if aside.content != expected.quarantine {
            // Only here are all of them in memory.
            let (mut entries, wanted) = (Vec::new(), self.expected_quarantine(index).await?);
            self.target.quarantined(&self.plan, index, &mut |entry| entries.push(entry)).await?;
            let differences = drill::quarantine_differences(table, &wanted, &entries);
            report.verdict = Verdict::Different;
            report.differences_total += differences.len().max(1) as u64;
            report.differences.extend(differences);
            report.differences.truncate(LISTED_MAX);
            if self.mending != Mending::Nothing {
                mend.get_or_insert_with(|| Mend { table: index, ..Mend::default() }).quarantine =
                    Some(wanted);
            }
        }
        if counted != expected.rows && report.verdict == Verdict::Same {
            // Both sides may lack the same rows, if the reading that they share left them out.
            report.verdict = Verdict::Unproven;
            report.reason = format!("the source counts {counted} rows and {} were read", expected.rows);
        }
        report.verify_seconds = started.elapsed().as_secs_f64();
        self.progress.event(Event::TableFinished { phase: Phase::Verify, table: table.source.clone() });
        Ok((report, mend))
    }

    async fn source_digest(&self, index: usize) -> Result<Expected> {
        let seen =
            self.content.as_ref().and_then(|content| content.tables.get(&self.plan.tables[index].source));
        if let Some(seen) = seen.filter(|seen| seen.serves(&self.plan.tables[index])) {
            let (table, rows) = (seen.digest.clone(), seen.digest.rows());
            return Ok(Expected { table, bytes: seen.bytes, rows, quarantine: (0, 0) });
        }
        let this = self.clone();
        let work = async move {
            let table = &this.plan.tables[index];
            let mut side = SourceSide::new(table);
            let mut expected = Expected::default();
            scan(&this.snapshot, &planned_table(table), KeyRange::default(), &this.shutdown, |rows| {
                for row in rows.iter() {
                    expected.rows += 1;
                    expected.bytes += row.values().map(|value| value.payload_bytes() as u64).sum::<u64>();
                    let quarantine = &mut expected.quarantine;
                    let digest = side.digest(row, |field, whole| {
                        let column = &table.columns[field].source;
                        let entry = quarantine_digest(&row.locator(), column, row.value(field), whole);
                        quarantine.0 = quarantine.0.wrapping_add(entry);
                        quarantine.1 += 1;
                    });
                    if let Some(digest) = digest {
                        expected.table.add(digest);
                    }
                }
            })
            .await?;
            Ok(expected)
        };
        join(tokio::spawn(work)).await
    }

    /// The rows that were there before the run and stay.
    async fn before(&self, index: usize) -> Result<TableDigest> {
        let mut digest = TableDigest::default();
        self.rows_before(index, |row| digest.add(row)).await?;
        Ok(digest)
    }

    async fn rows_before(&self, index: usize, mut observe: impl FnMut(RowDigest)) -> Result<()> {
        for reader in self.target.read_before(&self.plan, index).await? {
            let mut side = digester(&self.plan.tables[index], Side::Target);
            each(reader, &self.shutdown, |rows| {
                for row in rows.iter() {
                    observe(side.digest(row, |_| false));
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn target_digest(&self, index: usize) -> Result<TableDigest> {
        let readers = self.target.read(&self.plan, index, self.parts).await?;
        let mut tasks = tokio::task::JoinSet::new();
        for reader in readers {
            let (plan, progress, shutdown) =
                (Arc::clone(&self.plan), Arc::clone(&self.progress), self.shutdown.clone());
            tasks.spawn(async move {
                let table = &plan.tables[index];
                let mut digest = TableDigest::default();
                let mut side = digester(table, Side::Target);
                each(reader, &shutdown, |rows| {
                    rows.iter().for_each(|row| digest.add(side.digest(row, |_| false)));
                    progress.event(Event::Advanced {
                        phase: Phase::Verify,
                        table: table.source.clone(),
                        rows: rows.len() as u64,
                        bytes: rows.bytes() as u64,
                    });
                })
                .await?;
                Ok(digest)
            });
        }
        let mut whole = TableDigest::default();
        while let Some(part) = tasks.join_next().await {
            whole.merge(&part.map_err(lost).and_then(|result: Result<TableDigest>| result)?);
        }
        Ok(whole)
    }
}

/// Reads a part to its end.
async fn each(
    mut reader: Box<dyn Reader>,
    shutdown: &Shutdown,
    mut observe: impl FnMut(&Rows),
) -> Result<()> {
    let mut spare = Rows::default();
    while let Some(rows) = reader.next(spare).await? {
        shutdown.check("verify")?;
        observe(&rows);
        spare = rows;
    }
    Ok(())
}

fn lost(error: tokio::task::JoinError) -> Error {
    Error::new(Kind::Internal, "verify").because(error)
}

async fn join<T>(task: tokio::task::JoinHandle<Result<T>>) -> Result<T> {
    task.await.map_err(lost)?
}
