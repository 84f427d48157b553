//! Tables that the application's migrations made: migrations that differ, and rows that are there already.
//!
//! Which rows of the two stores have one key is found by reading the target's few and looking for their
//! keys on the source. Invariant: every row that was there either stays as it is, or its key is in the
//! plan's list of replaced ones; the plan decides, nothing is found out while rows are written.

use crate::evidence::{Look, planned_table, read_table};
use crate::scan::scan;
use crate::trial::is_plain;
use std::collections::{BTreeSet, HashMap, HashSet};
use switchover_core::chunk::{KeyRange, LocatorValue};
use switchover_core::existing::{HISTORY_ROWS_MAX, OnConflict, ROWS_BEFORE_MAX, TargetSchema, TextRow};
use switchover_core::judge::{self, Judge};
use switchover_core::limits::LISTED_MAX;
use switchover_core::plan::{Fate, OrphanPlan, Outcome, Plan, Refusal, TablePlan};
use switchover_core::planner::existing;
use switchover_core::planner::layout::shown_locator;
use switchover_core::schema::{Catalog, Table};
use switchover_core::value::{OwnedValue, Row, Rows, Value};
use switchover_core::{Error, Kind, Result};

const CLASH_HINT: &str = "give one of the two rows another value, or both one key, or take the row out of the target; rows that only migrations wrote can be emptied there before the run, for the source has its own";

/// What to do about rows that a live run finds.
const LIVE_HINT: &str = "empty the table on the target; or, where the source has a row of each of these keys, say --on-conflict replace: they give way to the source's";

const NAMELESS_HINT: &str = "mend the key on the source, leave the row out (`where` of the table's mapping), or move the table into a new collection";

/// Keys that a message shows.
const KEYS_SHOWN: usize = 5;

/// The rows of a target's table, by their keys, in the order of reading.
#[derive(Default)]
struct Seeds {
    rows: Vec<Seed>,
    /// Places by the canonical bytes of the key.
    places: HashMap<Vec<u8>, usize>,
    /// The same for each of the table's other unique columns.
    others: Vec<HashMap<Vec<u8>, usize>>,
}

/// A row of the target, by its key.
struct Seed {
    key: Vec<OwnedValue>,
    shown: String,
}

/// A row of the source that has the key of the target's row at that place.
struct Conflict {
    locator: LocatorValue,
    seed: usize,
}

impl Look<'_> {
    /// The target's tables, and the refusals of migrations that differ. What is set aside stays untouched.
    pub(crate) async fn standing(
        &self,
        catalog: &mut Catalog,
        options: &switchover_core::plan::PlanOptions,
    ) -> Result<Option<(TargetSchema, Vec<Refusal>)>> {
        if options.existing.is_none() {
            return Ok(None);
        }
        let schema = self.target.tables(&options.schema).await?;
        let mut refusals = Vec::new();
        for table in existing::set_aside(catalog, options) {
            let history = self.history(&table).await?;
            refusals.extend(existing::drift(&table, &history, &schema));
        }
        if catalog.tables.is_empty() {
            return Err(Error::new(Kind::Config, "select the tables")
                .detail("nothing but migration histories is left to move")
                .hint("a run that moves nothing would be \"the same\": take a pattern away"));
        }
        Ok(Some((schema, refusals)))
    }

    /// The rows of a history table as text.
    async fn history(&self, table: &Table) -> Result<Vec<TextRow>> {
        let mut rows = Vec::new();
        scan(self.snapshot, &read_table(table), KeyRange::default(), self.shutdown, |batch| {
            for row in batch.iter().take(HISTORY_ROWS_MAX.saturating_sub(rows.len())) {
                let text = |value: Value<'_>| match value {
                    Value::Null => None,
                    Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    other => Some(other.shown()),
                };
                let names = table.columns.iter().map(|column| column.name.clone());
                rows.push(names.zip(row.values().map(text)).collect());
            }
        })
        .await?;
        Ok(rows)
    }

    /// Decides on the rows that the target's tables hold already.
    pub(crate) async fn seeded(&self, plan: &mut Plan) -> Result<()> {
        let Some(asked) = plan.options.existing.clone() else { return Ok(()) };
        let whole = self.target.dialect().objects().is_some();
        if whole && !plan.refusals.is_empty() {
            // Properties that do not match cannot be read.
            return Ok(());
        }
        for index in 0..plan.tables.len() {
            let table = &plan.tables[index];
            if whole {
                let nameless = self.nameless(table).await?;
                if !nameless.is_empty() {
                    plan.refusals.extend(nameless);
                    continue;
                }
            }
            let before = table.standing.as_ref().map_or(0, |standing| standing.rows_before);
            if before == 0 {
                continue;
            }
            if let Some(why) = unfit(table, before) {
                let hint = "empty the table on the target, or leave it with --exclude";
                plan.refusals.push(refusal(table, "", why, hint));
                continue;
            }
            let seeds = self.seeds(plan, index).await?;
            let table = &plan.tables[index];
            if asked.on_conflict == OnConflict::Refuse {
                let keys: Vec<&str> = seeds.rows.iter().map(|seed| &*seed.shown).take(KEYS_SHOWN).collect();
                let more = if seeds.rows.len() > keys.len() { " and more" } else { "" };
                let why =
                    format!("the target's table holds {before} rows already: {}{more}", keys.join("; "));
                let hint = match asked.live {
                    true => LIVE_HINT,
                    false => {
                        "empty the table on the target, or say with --on-conflict whether the source's row (replace) or the target's (keep) stands where both have one key"
                    }
                };
                plan.refusals.push(refusal(table, "", why, hint));
                continue;
            }
            let conflicts = self.conflicts(table, &seeds).await?;
            let lines = decided(&mut plan.tables[index], asked.on_conflict, whole, &seeds, &conflicts);
            plan.outcomes.extend(lines);
            let met: HashSet<usize> = conflicts.iter().map(|conflict| conflict.seed).collect();
            let stays = |seed: &usize| asked.on_conflict == OnConflict::Keep || !met.contains(seed);
            let clashes = self.clashes(&plan.tables[index], &seeds, &stays).await?;
            plan.refusals.extend(clashes);
            let kept_out = self.kept_out_by_seeds(plan, index, CLASH_HINT).await?;
            plan.refusals.extend(kept_out);
        }
        Ok(())
    }

    /// Refusals of the source's rows with a key that will not be there as it is, in whole or in part: where objects of others may be, an
    /// object whose key does not tell its id is not the run's.
    async fn nameless(&self, table: &TablePlan) -> Result<Vec<Refusal>> {
        let fields = table.key_fields();
        let in_doubt = |field: &usize| {
            let column = &table.columns[*field];
            let lost = |row: &OrphanPlan| row.columns.contains(&column.source);
            column.census.nulls > 0 || column.exceptions > 0 || table.orphans.iter().any(lost)
        };
        let (mut found, mut total) = (Vec::new(), 0_u64);
        if !fields.iter().any(in_doubt) {
            return Ok(found);
        }
        let (judge, mut scratch) = (Judge::new(table), Vec::new());
        scan(self.snapshot, &planned_table(table), KeyRange::default(), self.shutdown, |rows| {
            for row in rows.iter() {
                let out = match judge.row(row, &table.columns, &mut scratch) {
                    judge::Fate::Clean => Vec::new(),
                    judge::Fate::CellsOut(cells) => cells,
                    judge::Fate::RowOut(..) => continue,
                };
                let lost = fields.iter().find_map(|field| {
                    let why = out.iter().find(|(cell, _)| cell == field).map(|(_, why)| why.as_str());
                    let is_null = row.value(*field) == Value::Null;
                    (is_null || why.is_some()).then_some((*field, why))
                });
                let Some((field, why)) = lost else { continue };
                total += 1;
                if found.len() < LISTED_MAX {
                    let what = why.map_or("is NULL".into(), |why| format!("goes to quarantine ({why})"));
                    found.push(Refusal {
                        key: shown_locator(table, &row.locator()),
                        value: row.value(field).shown(),
                        ..refusal(
                            table,
                            &table.columns[field].source,
                            format!("a column of its key {what}, and without a key nobody tells its object from others of a collection that is there"),
                            NAMELESS_HINT,
                        )
                    });
                }
            }
        })
        .await?;
        if total > found.len() as u64 {
            let why = format!("{total} rows in all have no key of their own");
            found.push(refusal(table, "", why, NAMELESS_HINT));
        }
        Ok(found)
    }

    /// The target's rows by their keys.
    async fn seeds(&self, plan: &Plan, index: usize) -> Result<Seeds> {
        let table = &plan.tables[index];
        let fields = table.key_fields();
        let others = unique_fields(table);
        let mut seeds = Seeds { others: vec![HashMap::new(); others.len()], ..Seeds::default() };
        for mut reader in self.target.read(plan, index, 1).await? {
            let mut spare = Rows::default();
            while let Some(rows) = reader.next(spare).await? {
                self.shutdown.check("plan")?;
                for row in rows.iter() {
                    let key: Vec<OwnedValue> =
                        fields.iter().map(|field| row.value(*field).to_owned_value()).collect();
                    let shown: Vec<String> = fields
                        .iter()
                        .map(|field| {
                            format!("{}={}", table.columns[*field].target, row.value(*field).shown())
                        })
                        .collect();
                    seeds.places.insert(target_key(table, &fields, row), seeds.rows.len());
                    for (places, (_, fields)) in seeds.others.iter_mut().zip(&others) {
                        if fields.iter().all(|field| row.value(*field) != Value::Null) {
                            places.insert(target_key(table, fields, row), seeds.rows.len());
                        }
                    }
                    seeds.rows.push(Seed { key, shown: shown.join(", ") });
                }
                spare = rows;
            }
        }
        Ok(seeds)
    }

    /// Rows of the source whose key is one of these.
    async fn conflicts(&self, table: &TablePlan, seeds: &Seeds) -> Result<Vec<Conflict>> {
        let fields = table.key_fields();
        let mut found = Vec::new();
        let mut bytes = Vec::new();
        scan(self.snapshot, &planned_table(table), KeyRange::default(), self.shutdown, |rows| {
            for row in rows.iter() {
                if source_key(table, &fields, row, &mut bytes)
                    && let Some(seed) = seeds.places.get(&bytes)
                {
                    found.push(Conflict { locator: row.locator(), seed: *seed });
                }
            }
        })
        .await?;
        Ok(found)
    }

    /// Refusals of the source's rows that have something unique in common with a row that stays, but not its
    /// key: the server would take only one of the two, and neither is the other.
    async fn clashes(
        &self,
        table: &TablePlan,
        seeds: &Seeds,
        stays: &(dyn Fn(&usize) -> bool + Sync),
    ) -> Result<Vec<Refusal>> {
        let others = unique_fields(table);
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let out: HashSet<&LocatorValue> =
            table.orphans.iter().filter(|row| row.columns.is_empty()).map(|row| &row.locator).collect();
        let (mut found, mut total) = (Vec::new(), 0_u64);
        let mut bytes = Vec::new();
        scan(self.snapshot, &planned_table(table), KeyRange::default(), self.shutdown, |rows| {
            for row in rows.iter().filter(|row| !out.contains(&row.locator())) {
                for (places, (name, fields)) in seeds.others.iter().zip(&others) {
                    let there = fields.iter().all(|field| row.value(*field) != Value::Null)
                        && source_key(table, fields, row, &mut bytes);
                    let Some(seed) = places.get(&bytes).filter(|seed| there && stays(seed)) else { continue };
                    total += 1;
                    if found.len() < LISTED_MAX {
                        found.push(clash(table, row, (name, fields), &seeds.rows[*seed].shown));
                    }
                }
            }
        })
        .await?;
        if total > found.len() as u64 {
            let why = format!("{total} rows in all meet another row of the target in something unique");
            found.push(refusal(table, "", why, CLASH_HINT));
        }
        Ok(found)
    }
}

/// The refusal of one such row.
fn clash(table: &TablePlan, row: Row<'_>, unique: (&str, &[usize]), seed: &str) -> Refusal {
    let (name, fields) = unique;
    let columns: Vec<&str> = fields.iter().map(|field| &*table.columns[*field].source).collect();
    let values: Vec<String> = fields.iter().map(|field| row.value(*field).shown()).collect();
    Refusal {
        table: table.source.clone(),
        key: shown_locator(table, &row.locator()),
        column: columns.join(", "),
        value: values.join(", "),
        why: format!("the target's own row {seed} has the same, and \"{name}\" lets only one row have it"),
        hint: CLASH_HINT.into(),
    }
}

/// The target's other unique columns: their index's name, and their fields.
fn unique_fields(table: &TablePlan) -> Vec<(String, Vec<usize>)> {
    let field = |name: &String| table.columns.iter().position(|column| column.target == *name);
    let others = table.standing.iter().flat_map(|standing| &standing.rules).filter(|index| {
        let primary = table.primary_key.as_ref().is_some_and(|key| key.name == index.name);
        !primary && is_plain(table, index)
    });
    others
        .filter_map(|index| {
            Some((index.name.clone(), index.columns.iter().map(field).collect::<Option<Vec<usize>>>()?))
        })
        .collect()
}

/// The canonical bytes of some fields of a target's row.
fn target_key(table: &TablePlan, fields: &[usize], row: Row<'_>) -> Vec<u8> {
    let (mut scratch, mut bytes) = (Vec::new(), Vec::new());
    for field in fields {
        table.columns[*field].codec.canonical_target(row.value(*field), &mut scratch, &mut bytes);
    }
    bytes
}

/// The canonical bytes of a source row's key; false when a part of it has none.
fn source_key(table: &TablePlan, fields: &[usize], row: Row<'_>, out: &mut Vec<u8>) -> bool {
    out.clear();
    fields.iter().all(|field| table.columns[*field].codec.canonical_source(row.value(*field), out).is_ok())
}

/// Why rows that are there cannot be told from those that come.
fn unfit(table: &TablePlan, before: u64) -> Option<String> {
    if before > ROWS_BEFORE_MAX {
        return Some(format!("the target's table holds more than {ROWS_BEFORE_MAX} rows already"));
    }
    let key = table.primary_key.as_ref();
    if key.is_none() || table.key_fields().is_empty() {
        return Some(format!(
            "the target's table holds {before} rows already, and no key by which rows could meet"
        ));
    }
    None
}

/// Writes the decision into the plan; gives its lines. `whole`: a row that is written replaces all of the one that was there.
fn decided(
    table: &mut TablePlan,
    on_conflict: OnConflict,
    whole: bool,
    seeds: &Seeds,
    conflicts: &[Conflict],
) -> Vec<Outcome> {
    let Some(standing) = &mut table.standing else { return Vec::new() };
    let met: BTreeSet<usize> = conflicts.iter().map(|conflict| conflict.seed).collect();
    let others: BTreeSet<usize> = (0..seeds.rows.len()).filter(|at| !met.contains(at)).collect();
    let line = |fate, what: &str, places: &BTreeSet<usize>| {
        let keys: Vec<&str> = places.iter().take(KEYS_SHOWN).map(|at| &*seeds.rows[*at].shown).collect();
        let more = if places.len() > keys.len() { " and more" } else { "" };
        let why = format!("{} {what}: {}{more}", places.len(), keys.join("; "));
        (!places.is_empty()).then(|| Outcome {
            kind: "rows on the target".into(),
            name: table.target.clone(),
            fate,
            why,
        })
    };
    let what = match on_conflict {
        OnConflict::Replace if whole => {
            "objects give way to the source's, with all that they hold: properties that only they have, and vectors, are kept aside until a rollback"
        }
        OnConflict::Replace => {
            "rows give way to the source's, with the values that they have in columns of the target's own"
        }
        OnConflict::Keep | OnConflict::Refuse => {
            "rows stand in place of the source's, which go to quarantine"
        }
    };
    let lines = line(Fate::Changed, what, &met).into_iter().chain(line(
        Fate::Moved,
        "rows that only the target has stay as they are",
        &others,
    ));
    let lines = lines.collect();
    if on_conflict == OnConflict::Replace {
        standing.rows_staying = others.len() as u64;
        standing.replaced = met.iter().map(|at| seeds.rows[*at].key.clone()).collect();
        return lines;
    }
    standing.rows_staying = seeds.rows.len() as u64;
    let out: HashSet<LocatorValue> = conflicts.iter().map(|conflict| conflict.locator.clone()).collect();
    // A row that would lose a cell goes as a whole.
    table.orphans.retain(|orphan| !out.contains(&orphan.locator));
    table.orphans.extend(conflicts.iter().map(|conflict| OrphanPlan {
        locator: conflict.locator.clone(),
        columns: Vec::new(),
        why: format!("the target keeps its own row {}", seeds.rows[conflict.seed].shown),
    }));
    lines
}

fn refusal(table: &TablePlan, column: &str, why: String, hint: &str) -> Refusal {
    Refusal {
        table: table.source.clone(),
        key: String::new(),
        column: column.into(),
        value: String::new(),
        why,
        hint: hint.into(),
    }
}
