//! Rows that the target's own rules would refuse, where only the target can tell: a unique index by an expression, a
//! predicate, letters without their case, NULLs that count as equal, values that are equal there and differ here; a check, a
//! domain's check, partitions, a parent in a table that the run does not fill.
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
use switchover_core::existing::{Rule, RuleKind};
use switchover_core::judge::{self, Fate, Judge};
use switchover_core::limits::{LISTED_MAX, ORPHANS_MAX, one_of};
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

fn rules(table: &TablePlan) -> &[Rule] {
    table.standing.as_ref().map_or(&[], |standing| &standing.rules)
}

/// The fields of the plan's table that a rule looks at.
fn fields(table: &TablePlan, rule: &Rule) -> Vec<usize> {
    let field = |name: &String| table.columns.iter().position(|column| column.target == *name);
    rule.columns.iter().filter_map(field).collect()
}

/// Whether the source finds the rows that meet in an index: it compares plain columns, and equal values are equal on both
/// sides. An id is never that of another, see `same_ids`.
pub(crate) fn is_plain(table: &TablePlan, rule: &Rule) -> bool {
    let fields = fields(table, rule);
    let same = |field: &usize| {
        let column = &table.columns[*field];
        column.generated.is_none() && (column.codec.is_exact() || matches!(column.codec, Codec::Uuid5 { .. }))
    };
    rule.is_plain() && fields.len() == rule.columns.len() && fields.iter().all(same)
}

/// Places of those that only the target can tell of.
fn to_ask(table: &TablePlan) -> Vec<usize> {
    let brought = |name: &String| {
        table.columns.iter().any(|column| column.target == *name && column.generated.is_none())
    };
    let numbered = |name: &String| {
        let numbers = table.standing.iter().flat_map(|standing| &standing.sequences);
        table.columns.iter().all(|column| column.target != *name)
            && numbers.into_iter().any(|sequence| sequence.column == *name)
    };
    let asked = |rule: &Rule| match rule.kind {
        // What the target numbers by itself is another in each row.
        RuleKind::Apart { plain } => {
            let distinct = plain && rule.columns.iter().any(numbered);
            !distinct && !is_plain(table, rule)
        }
        RuleKind::Domain { .. } => rule.columns.iter().all(brought),
        RuleKind::Check | RuleKind::Partitions | RuleKind::Parent => true,
    };
    rules(table).iter().enumerate().filter(|(_, rule)| asked(rule)).map(|(at, _)| at).collect()
}

impl Look<'_> {
    /// Finds rows that an earlier row or a rule keeps out: refusals by policy `refuse`, lists by policy `quarantine`.
    pub(crate) async fn kept_out(
        &self,
        plan: &mut Plan,
        index: usize,
        links: &[Link],
        found: &mut Repeated,
        rows: &mut Vec<OrphanPlan>,
    ) -> Result<Vec<Refusal>> {
        let table = &plan.tables[index];
        let mut asked = to_ask(table);
        // One row is in nobody's way.
        asked.retain(|at| table.rows > u64::from(rules(table)[*at].is_apart()));
        let mut refusals = Vec::new();
        if asked.is_empty() {
            return Ok(refusals);
        }
        // What one rule has put aside, the next one does not see; those that look at a row by itself see all.
        let (apart, alone): (Vec<usize>, Vec<usize>) =
            asked.into_iter().partition(|at| rules(table)[*at].is_apart());
        let turns: Vec<Vec<usize>> = match plan.options.policy.quarantines() {
            true => std::iter::once(alone).chain(apart.into_iter().map(|at| vec![at])).collect(),
            false => vec![[alone, apart].concat()],
        };
        let mut unasked = Vec::new();
        for asked in turns.iter().filter(|asked| !asked.is_empty()) {
            let out: HashSet<LocatorValue> = rows.iter().map(|row| row.locator.clone()).collect();
            let verdicts = self.verdicts(plan, index, asked, false, &out).await?;
            unasked.extend(verdicts.unasked);
            refusals.extend(self.sentence(plan, index, verdicts.refused, links, found, rows).await?);
        }
        let lines: Vec<Outcome> = unasked
            .into_iter()
            .map(|(which, why)| Outcome {
                kind: "check".into(),
                name: format!("{} of {}", rules(table)[which].name, table.target),
                fate: plan::Fate::LeftOut,
                why: format!(
                    "rows are held against it only as they are loaded ({why}): one that it refuses ends the run, which is taken back"
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
        plan: &Plan,
        index: usize,
        refused: BTreeMap<usize, Refused>,
        links: &[Link],
        found: &mut Repeated,
        rows: &mut Vec<OrphanPlan>,
    ) -> Result<Vec<Refusal>> {
        let table = &plan.tables[index];
        let mut refusals = Vec::new();
        for (which, refused) in refused {
            let own = &rules(table)[which];
            let fields = fields(table, own);
            let columns = named(table, own, &fields);
            // Of columns that the target computes the source has none, and no policy of their own.
            let quarantined = match fields.is_empty() {
                true => !own.is_apart() && plan.options.policy.quarantines(),
                false => fields.iter().all(|field| table.columns[*field].policy.quarantines()),
            };
            if let Some((row, why)) = refused.fault {
                let why = format!(
                    "the target's \"{}\" ({}) does not take it: {why}; rows after it were not looked at",
                    own.name, own.definition
                );
                let hint = if own.is_apart() { FAULT_HINT } else { RULE_HINT };
                refusals.push(self.kept_out_refusal(table, &columns, &row, why, hint).await?);
            }
            let limit = if quarantined { ORPHANS_MAX } else { LISTED_MAX };
            if quarantined && refused.count > limit as u64 {
                let why = format!("{}; {} of its rows are such", against(own), refused.count);
                refusals.push(whole_table(&table.source, &columns, why, hint(own)));
                continue;
            }
            for row in &refused.first {
                if quarantined {
                    if rows.iter().all(|other| other.locator != row.locator) {
                        self.losses(index, table, &[], &row.locator, links, &mut found.losses).await?;
                        let why = against(own);
                        rows.push(OrphanPlan { locator: row.locator.clone(), columns: Vec::new(), why });
                    }
                    continue;
                }
                let such = one_of(refused.count, "row");
                let why = format!("{} ({}); {such}", against(own), own.definition);
                refusals.push(self.kept_out_refusal(table, &columns, row, why, hint(own)).await?);
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
        let mut asked = to_ask(table);
        asked.retain(|at| rules(table)[*at].is_apart());
        let mut refusals = Vec::new();
        if asked.is_empty() {
            return Ok(refusals);
        }
        let Verdicts { refused, .. } = self.verdicts(plan, index, &asked, true, &HashSet::new()).await?;
        for (which, refused) in refused {
            let own = &rules(table)[which];
            let columns = named(table, own, &fields(table, own));
            for row in &refused.first[..refused.first.len().min(LISTED_MAX)] {
                let why = format!(
                    "a row of the target's own that stays keeps it out of \"{}\" ({}); {}",
                    own.name,
                    own.definition,
                    one_of(refused.count, "row")
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
                time_max: ReadRequest::ANY_TIME,
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

const RULE_HINT: &str = "mend the row on the source, leave it out with a `where`, or use --policy quarantine; the rule itself is the target's owner's";

/// What a rule has against a row.
fn against(rule: &Rule) -> String {
    let name = &rule.name;
    match &rule.kind {
        RuleKind::Apart { .. } => format!("an earlier row keeps it out of the target's \"{name}\""),
        RuleKind::Check => format!("the target's check \"{name}\" does not allow it"),
        RuleKind::Domain { domain } => {
            format!("the check \"{name}\" of the target's domain {domain} does not allow it")
        }
        RuleKind::Partitions => format!("no partition of the target's \"{name}\" takes it"),
        RuleKind::Parent => {
            format!("its parent by the target's \"{name}\" is not there, and the run does not bring it")
        }
    }
}

fn hint(rule: &Rule) -> &'static str {
    if rule.is_apart() { HINT } else { RULE_HINT }
}

/// The columns that a rule looks at, by the source's names where it has them.
fn named(table: &TablePlan, rule: &Rule, fields: &[usize]) -> String {
    if fields.is_empty() {
        return rule.columns.join(", ");
    }
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
                    shown: shown(row, &fields(table, &rules(table)[met.which])),
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
