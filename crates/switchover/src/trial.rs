//! Rows that the target's own indexes and constraints would refuse, where only the target can tell: by an expression, a
//! predicate, letters without their case, NULLs that count as equal, values that are equal there and differ here.
//!
//! The target decides ([`switchover_core::connector::Trial`]); here stands which of its definitions need asking, what of the
//! source's rows is held against them, and what becomes of those that are refused. Keys of plain columns are looked
//! for on the source (`duplicates`).

use crate::duplicates::{HINT, Repeated};
use crate::evidence::{Look, planned_table};
use crate::exceptions::{Link, whole_table};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use switchover_core::Result;
use switchover_core::chunk::{KeyRange, LocatorValue};
use switchover_core::codec::Codec;
use switchover_core::connector::{Batch, Met, ReadRequest};
use switchover_core::existing::UniqueIndex;
use switchover_core::judge::{self, Fate, Judge};
use switchover_core::limits::{LISTED_MAX, ORPHANS_MAX};
use switchover_core::plan::{self, OrphanPlan, Outcome, Plan, Refusal, TablePlan};
use switchover_core::value::{Row, Rows};

/// Bytes of rows that are held at a time.
const BATCH_BYTES: usize = 1 << 20;

/// Rows that one index would refuse.
#[derive(Default)]
struct Refused {
    count: u64,
    first: Vec<RefusedRow>,
    fault: Option<(RefusedRow, String)>,
}

struct RefusedRow {
    locator: LocatorValue,
    shown: String,
}

/// What a trial gives, by place in the table's list.
#[derive(Default)]
struct Verdicts {
    refused: BTreeMap<usize, Refused>,
    unasked: Vec<(usize, String)>,
}

fn apart(table: &TablePlan) -> &[UniqueIndex] {
    table.standing.as_ref().map_or(&[], |standing| &standing.apart)
}

/// The fields of the plan's table that an index looks at.
fn fields(table: &TablePlan, index: &UniqueIndex) -> Vec<usize> {
    let field = |name: &String| table.columns.iter().position(|column| column.target == *name);
    index.apart.columns.iter().filter_map(field).collect()
}

/// Whether the source finds the rows that meet in an index: it compares plain columns, and equal values are equal on both
/// sides. An id is never that of another, see `same_ids`.
pub(crate) fn is_plain(table: &TablePlan, index: &UniqueIndex) -> bool {
    let fields = fields(table, index);
    let same = |field: &usize| {
        let column = &table.columns[*field];
        column.generated.is_none() && (column.codec.is_exact() || matches!(column.codec, Codec::Uuid5 { .. }))
    };
    index.apart.plain && fields.len() == index.apart.columns.len() && fields.iter().all(same)
}

/// Places of those that only the target can tell of.
fn to_ask(table: &TablePlan) -> Vec<usize> {
    let numbered = |name: &String| {
        let numbers = table.standing.iter().flat_map(|standing| &standing.sequences);
        table.columns.iter().all(|column| column.target != *name)
            && numbers.into_iter().any(|sequence| sequence.column == *name)
    };
    let asked = |index: &UniqueIndex| {
        // What the target numbers by itself is another in each row.
        let distinct = index.apart.plain && index.apart.columns.iter().any(numbered);
        !distinct && !is_plain(table, index)
    };
    apart(table).iter().enumerate().filter(|(_, index)| asked(index)).map(|(at, _)| at).collect()
}

impl Look<'_> {
    /// Finds rows that an earlier row keeps out: refusals by policy `refuse`, lists by policy `quarantine`.
    pub(crate) async fn kept_out(
        &self,
        plan: &mut Plan,
        index: usize,
        links: &[Link],
        found: &mut Repeated,
        rows: &mut Vec<OrphanPlan>,
    ) -> Result<Vec<Refusal>> {
        let table = &plan.tables[index];
        let asked = to_ask(table);
        let mut refusals = Vec::new();
        if asked.is_empty() || table.rows < 2 {
            return Ok(refusals);
        }
        // What one index has put aside, the next one does not see.
        let at_once = if plan.options.policy.quarantines() { 1 } else { asked.len() };
        let mut unasked = Vec::new();
        for asked in asked.chunks(at_once) {
            let out: HashSet<LocatorValue> = rows.iter().map(|row| row.locator.clone()).collect();
            let verdicts = self.verdicts(plan, index, asked, false, &out).await?;
            unasked.extend(verdicts.unasked);
            refusals.extend(self.sentence(index, table, verdicts.refused, links, found, rows).await?);
        }
        let lines: Vec<Outcome> = unasked
            .into_iter()
            .map(|(which, why)| Outcome {
                kind: "check".into(),
                name: format!("{} of {}", apart(table)[which].name, table.target),
                fate: plan::Fate::LeftOut,
                why: format!(
                    "rows are held against this index only as they are loaded ({why}): one that it refuses ends the run, which is taken back"
                ),
            })
            .collect();
        for line in lines {
            plan.outcomes.retain(|other| (&other.kind, &other.name) != (&line.kind, &line.name));
            plan.outcomes.push(line);
        }
        Ok(refusals)
    }

    /// What becomes of the rows that are refused.
    async fn sentence(
        &self,
        index: usize,
        table: &TablePlan,
        refused: BTreeMap<usize, Refused>,
        links: &[Link],
        found: &mut Repeated,
        rows: &mut Vec<OrphanPlan>,
    ) -> Result<Vec<Refusal>> {
        let mut refusals = Vec::new();
        for (which, refused) in refused {
            let own = &apart(table)[which];
            let fields = fields(table, own);
            let columns = named(table, &fields);
            let quarantined =
                !fields.is_empty() && fields.iter().all(|field| table.columns[*field].policy.quarantines());
            if let Some((row, why)) = refused.fault {
                let why = format!(
                    "the target's \"{}\" ({}) does not take it: {why}; rows after it were not looked at",
                    own.name, own.definition
                );
                refusals.push(self.kept_out_refusal(table, &columns, &row, why, FAULT_HINT).await?);
            }
            let limit = if quarantined { ORPHANS_MAX } else { LISTED_MAX };
            if quarantined && refused.count > limit as u64 {
                let why = format!(
                    "{} rows are kept out of the target's \"{}\" by earlier ones",
                    refused.count, own.name
                );
                refusals.push(whole_table(&table.source, &columns, why, HINT));
                continue;
            }
            for row in &refused.first {
                if quarantined {
                    if rows.iter().all(|other| other.locator != row.locator) {
                        self.losses(index, table, &[], &row.locator, links, &mut found.losses).await?;
                        let why = format!("an earlier row keeps it out of the target's \"{}\"", own.name);
                        rows.push(OrphanPlan { locator: row.locator.clone(), columns: Vec::new(), why });
                    }
                    continue;
                }
                let why = format!(
                    "an earlier row keeps it out of the target's \"{}\" ({}); {} rows are such",
                    own.name, own.definition, refused.count
                );
                refusals.push(self.kept_out_refusal(table, &columns, row, why, HINT).await?);
            }
        }
        Ok(refusals)
    }

    /// Refusals of rows that one of the target's own rows keeps out, and stays.
    pub(crate) async fn kept_out_by_seeds(
        &self,
        plan: &Plan,
        index: usize,
        hint: &str,
    ) -> Result<Vec<Refusal>> {
        let table = &plan.tables[index];
        let asked = to_ask(table);
        let mut refusals = Vec::new();
        if asked.is_empty() {
            return Ok(refusals);
        }
        let Verdicts { refused, .. } = self.verdicts(plan, index, &asked, true, &HashSet::new()).await?;
        for (which, refused) in refused {
            let own = &apart(table)[which];
            let columns = named(table, &fields(table, own));
            for row in &refused.first[..refused.first.len().min(LISTED_MAX)] {
                let why = format!(
                    "a row of the target's own that stays keeps it out of \"{}\" ({}); {} rows are such",
                    own.name, own.definition, refused.count
                );
                refusals.push(self.kept_out_refusal(table, &columns, row, why, hint).await?);
            }
        }
        Ok(refusals)
    }

    async fn kept_out_refusal(
        &self,
        table: &TablePlan,
        columns: &str,
        row: &RefusedRow,
        why: String,
        hint: &str,
    ) -> Result<Refusal> {
        Ok(Refusal {
            table: table.source.clone(),
            key: self.shown_row(table, &row.locator).await?,
            column: columns.to_owned(),
            value: row.shown.clone(),
            why,
            hint: hint.into(),
        })
    }

    /// Holds all rows of a table, but those that are `out`, against the target's definitions.
    async fn verdicts(
        &self,
        plan: &Plan,
        index: usize,
        asked: &[usize],
        stay: bool,
        out: &HashSet<LocatorValue>,
    ) -> Result<Verdicts> {
        let table = &plan.tables[index];
        let mut trial = self.target.trial(plan, index, asked, stay).await?;
        let mut verdicts = Verdicts { unasked: trial.unasked().to_vec(), ..Verdicts::default() };
        if verdicts.unasked.len() == asked.len() {
            return Ok(verdicts);
        }
        let judge = Judge::new(table);
        let clean = table.columns.iter().all(judge::surely_fits);
        let read = planned_table(table);
        let (mut range, mut spare, mut scratch) = (KeyRange::default(), Rows::default(), Vec::new());
        loop {
            self.shutdown.check("plan")?;
            let request = ReadRequest {
                table: read.clone(),
                range: range.clone(),
                budget_bytes: BATCH_BYTES,
                rows_max: ReadRequest::ANY_ROWS,
            };
            let Batch { rows, last, done } = self.snapshot.read(request, spare).await?;
            let (mut as_null, mut left_out) = (BTreeSet::new(), BTreeSet::new());
            for (at, row) in rows.iter().enumerate() {
                if !out.is_empty() && out.contains(&row.locator()) {
                    left_out.insert(at);
                    continue;
                }
                if clean && table.orphans.is_empty() {
                    continue;
                }
                match judge.row(row, &table.columns, &mut scratch) {
                    Fate::Clean => {}
                    Fate::CellsOut(cells) => as_null.extend(cells.into_iter().map(|(field, _)| (at, field))),
                    Fate::RowOut(..) => {
                        left_out.insert(at);
                    }
                }
            }
            let met = trial.hold(&rows, &as_null, &left_out).await?;
            verdicts.add(table, &rows, met);
            if done {
                return Ok(verdicts);
            }
            range.after = last;
            spare = rows;
        }
    }
}

const FAULT_HINT: &str =
    "mend the value on the source, or have the tables' owner drop the index for the migration";

fn named(table: &TablePlan, fields: &[usize]) -> String {
    fields.iter().map(|field| &*table.columns[*field].source).collect::<Vec<_>>().join(", ")
}

impl Verdicts {
    fn add(&mut self, table: &TablePlan, rows: &Rows, met: Vec<Met>) {
        let mut met = met.into_iter().peekable();
        for (at, row) in rows.iter().enumerate() {
            while let Some(met) = met.next_if(|met| met.row == at) {
                let own = self.refused.entry(met.which).or_default();
                let refused = || RefusedRow {
                    locator: row.locator(),
                    shown: shown(row, &fields(table, &apart(table)[met.which])),
                };
                match met.fault {
                    Some(why) => own.fault = Some((refused(), why)),
                    None => {
                        own.count += 1;
                        if own.first.len() < ORPHANS_MAX {
                            own.first.push(refused());
                        }
                    }
                }
            }
        }
    }
}

fn shown(row: Row<'_>, fields: &[usize]) -> String {
    fields.iter().map(|field| row.value(*field).shown()).collect::<Vec<_>>().join(", ")
}
