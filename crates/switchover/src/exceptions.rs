//! What the target cannot hold, named before anything is written: cells that do not fit, and rows that
//! find no parent there.
//!
//! A row that is left out takes its key with it, so its children find no parent either: the search goes
//! on from lost keys to the rows that name them until none is left. Invariant: for every foreign key of
//! the plan, what is written of a child is NULL in it or names a parent that is written.

use crate::evidence::{Look, planned_table};
use crate::orphans::{KEYS_MAX, compares_by_bytes};
use crate::scan::scan;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use switchover_core::Result;
use switchover_core::chunk::{KeyRange, LocatorValue};
use switchover_core::codec::Codec;
use switchover_core::digest;
use switchover_core::judge;
use switchover_core::limits::{LISTED_MAX, ORPHANS_MAX, one_of};
use switchover_core::native::Native;
use switchover_core::plan::{ColumnPlan, Fate, LogicalType, OrphanPlan, Plan, Refusal, TablePlan};
use switchover_core::schema::{Catalog, ForeignKey};
use switchover_core::value::{OwnedValue, Row, Rows, Value};

const HINT: &str =
    "mend the values on the source, use --policy quarantine, or give the column another type in the plan";
const STANDING_HINT: &str = "mend the values on the source, or use --policy quarantine";
const MOMENT_HINT: &str = "mend the values on the source, or use --policy quarantine; --naive-times utc takes times without a zone for UTC, --epoch UNIT says what numbers count, --fractions cut leaves out what the column does not keep of a second";
const SPAN_HINT: &str =
    "mend the values on the source, or use --policy quarantine; --epoch UNIT says what numbers count";
const LIST_HINT: &str = "mend the values on the source, or use --policy quarantine; --naive-times utc takes times without a zone for UTC";
const ORPHAN_HINT: &str = "delete or mend the rows on the source, or use --policy quarantine";

/// A foreign key of the plan, by position, with its fields on both sides.
pub(crate) struct Link {
    child: usize,
    pub(crate) parent: usize,
    child_fields: Vec<usize>,
    pub(crate) parent_fields: Vec<usize>,
    at: usize,
}

/// A row that loses fields; all of them when it is left out.
pub(crate) struct Loss {
    table: usize,
    fields: BTreeSet<usize>,
    /// The row's values that foreign keys refer to, by field. Not the others: many rows may be lost, and be large.
    keys: BTreeMap<usize, OwnedValue>,
}

impl Loss {
    pub(crate) fn new(
        table: usize,
        fields: BTreeSet<usize>,
        links: &[Link],
        value: impl Fn(usize) -> OwnedValue,
    ) -> Loss {
        let of_table = links.iter().filter(|link| link.parent == table);
        let referred = of_table.flat_map(|link| link.parent_fields.iter().copied());
        Loss { table, fields, keys: referred.map(|field| (field, value(field))).collect() }
    }
}

/// Keys that are on the source and will not be on the target, by link; those found last stand apart.
type Keys = BTreeMap<usize, HashSet<Vec<u8>>>;

impl Look<'_> {
    /// Finds them: refusals by policy `refuse`, counts and lists by policy `quarantine`.
    pub(crate) async fn exceptions(
        &self,
        plan: &mut Plan,
        catalog: &Catalog,
        suspects: &BTreeSet<(String, usize)>,
    ) -> Result<()> {
        for table in &mut plan.tables {
            table.orphans.clear();
        }
        let links = links(plan);
        let mut losses = Vec::new();
        for index in 0..plan.tables.len() {
            losses.extend(self.misfits(plan, index, &links).await?);
        }
        for index in 0..plan.tables.len() {
            if keep_generated_values(plan, index) {
                losses.extend(self.misfits(plan, index, &links).await?);
            }
        }
        let mut repeated = self.repeated(plan, catalog, &links).await?;
        losses.append(&mut repeated.losses);
        let marks = self.orphans(plan, catalog, suspects, &links).await?;
        if plan.refusals.is_empty() {
            self.spread(plan, &links, losses, marks).await?;
        }
        repeated.mark(plan);
        for index in 0..plan.tables.len() {
            if keep_generated_values(plan, index) && !self.misfits(plan, index, &links).await?.is_empty() {
                let table = plan.tables[index].source.clone();
                let why = "a generated column's values do not fit, and other rows refer to their rows";
                plan.refusals.push(whole_table(&table, "", why.into(), HINT));
            }
        }
        Ok(())
    }

    /// Judges a table's values. Gives the rows that lose a field which a foreign key refers to.
    async fn misfits(&self, plan: &mut Plan, index: usize, links: &[Link]) -> Result<Vec<Loss>> {
        let table = &plan.tables[index];
        let mut losses = Vec::new();
        if table.columns.iter().all(judge::surely_fits) {
            return Ok(losses);
        }
        let referred: BTreeSet<usize> = (links.iter().filter(|link| link.parent == index))
            .flat_map(|link| link.parent_fields.iter().copied())
            .collect();
        let (mut refusals, mut locators) = (Vec::new(), Vec::new());
        let mut scratch = Vec::new();
        let mut counts = vec![0u64; table.columns.len()];
        scan(self.snapshot, &planned_table(table), KeyRange::default(), self.shutdown, |rows| {
            for row in rows.iter() {
                let (cells, whole) = match judge::values(row, &table.columns, &mut scratch) {
                    judge::Fate::Clean => continue,
                    judge::Fate::CellsOut(cells) => (cells, false),
                    judge::Fate::RowOut(field, why) => (vec![(field, why)], true),
                };
                let lost = |field: &usize| whole || cells.iter().any(|(cell, _)| cell == field);
                let fields: BTreeSet<usize> = referred.iter().copied().filter(lost).collect();
                if !fields.is_empty() && losses.len() <= ORPHANS_MAX {
                    losses.push(Loss::new(index, fields, links, |field| row.value(field).to_owned_value()));
                }
                // What refuses is named in full; of a row that goes as a whole one reason is enough.
                let refuses = |field: usize| !table.columns[field].policy.quarantines();
                let cells = if whole && cells.iter().any(|(field, _)| refuses(*field)) {
                    let mut all = judge::misfits(row, &table.columns, &mut scratch);
                    all.retain(|(field, _)| refuses(*field));
                    all
                } else {
                    cells
                };
                for (field, why) in cells {
                    counts[field] += 1;
                    let column = &table.columns[field];
                    if !column.policy.quarantines() && refusals.len() < LISTED_MAX {
                        refusals.push(refusal(table, column, row, field, why));
                        locators.push(row.locator());
                    }
                }
            }
        })
        .await?;
        for (refusal, locator) in refusals.iter_mut().zip(&locators) {
            refusal.key = self.shown_row(table, locator).await?;
        }
        let table = &mut plan.tables[index];
        let standing = table.standing.is_some();
        let name = table.source.clone();
        for (column, count) in table.columns.iter_mut().zip(counts) {
            column.exceptions = count;
            if !column.policy.quarantines() && count > LISTED_MAX as u64 {
                let why = format!("{count} values do not fit; the first are listed");
                refusals.push(whole_table(&name, &column.source, why, hint(column, standing)));
            }
        }
        if losses.len() > ORPHANS_MAX {
            let why = format!("more than {ORPHANS_MAX} rows that others refer to do not fit");
            refusals.push(whole_table(&name, "", why, HINT));
        }
        plan.refusals.extend(refusals);
        Ok(losses)
    }

    /// Rows without a parent on the source itself, by link.
    async fn orphans(
        &self,
        plan: &mut Plan,
        catalog: &Catalog,
        suspects: &BTreeSet<(String, usize)>,
        links: &[Link],
    ) -> Result<Vec<(usize, Vec<LocatorValue>)>> {
        let mut marks = Vec::new();
        for (number, link) in links.iter().enumerate() {
            let (table, parent) = (&plan.tables[link.child], &plan.tables[link.parent]);
            let Some(found) = catalog.table(&table.source) else { continue };
            let names = |table: &TablePlan, fields: &[usize]| -> Vec<String> {
                fields.iter().map(|field| table.columns[*field].source.clone()).collect()
            };
            let key = ForeignKey {
                name: None,
                columns: names(table, &link.child_fields),
                parent: parent.source.clone(),
                parent_columns: names(parent, &link.parent_fields),
                on_delete: String::new(),
                on_update: String::new(),
                deferrable: false,
                initially_deferred: false,
            };
            let declared = |candidate: &&ForeignKey| {
                (&candidate.columns, &candidate.parent, &candidate.parent_columns)
                    == (&key.columns, &key.parent, &key.parent_columns)
            };
            let at = found.foreign_keys.iter().position(|candidate| declared(&candidate));
            // A key that an edited plan has and the source has not was not watched: it is a suspect.
            if at.is_some_and(|at| !suspects.contains(&(table.source.clone(), at))) {
                plan.tables[link.child].foreign_keys[link.at].orphans = 0;
                continue;
            }
            let quarantined =
                link.child_fields.iter().all(|field| table.columns[*field].policy.quarantines());
            let limit = if quarantined { ORPHANS_MAX } else { LISTED_MAX };
            let mut orphans = self.snapshot.orphans(found, &key, limit).await?;
            if !compares_by_bytes(catalog, found, &key) && orphans.count <= limit as u64 {
                let unmet = self.unmet(plan, link).await?;
                let more: Vec<LocatorValue> =
                    unmet.into_iter().filter(|row| !orphans.first.contains(row)).collect();
                orphans.count += more.len() as u64;
                orphans.first.extend(more.into_iter().take(limit.saturating_sub(orphans.first.len())));
            }
            let mut refusals = Vec::new();
            if quarantined && orphans.count > limit as u64 {
                let why = format!("{} rows have no parent in {}", orphans.count, key.parent);
                refusals.push(whole_table(&table.source, &key.columns.join(", "), why, ORPHAN_HINT));
            } else if !quarantined {
                for locator in &orphans.first {
                    refusals.push(Refusal {
                        table: table.source.clone(),
                        key: self.shown_row(table, locator).await?,
                        column: key.columns.join(", "),
                        value: String::new(),
                        why: format!(
                            "it has no parent in {}; {}",
                            key.parent,
                            one_of(orphans.count, "orphan")
                        ),
                        hint: ORPHAN_HINT.into(),
                    });
                }
            } else if orphans.count > 0 {
                marks.push((number, orphans.first));
            }
            plan.tables[link.child].foreign_keys[link.at].orphans = orphans.count;
            plan.refusals.extend(refusals);
        }
        Ok(marks)
    }

    /// Rows that find a parent by the source's rules (`'1'` is 1 to a column of numbers) and none by the values that are
    /// written. Of a parent too large for its keys to be held, the target's own validation of the key tells.
    async fn unmet(&self, plan: &Plan, link: &Link) -> Result<Vec<LocatorValue>> {
        let (table, parent) = (&plan.tables[link.child], &plan.tables[link.parent]);
        let own = |field: &usize| matches!(table.columns[*field].codec, Codec::Any { .. } | Codec::Plain);
        if link.child_fields.iter().any(own) {
            // Between stores of one kind the target compares as the source does.
            return Ok(Vec::new());
        }
        let (mut keys, mut key) = (HashSet::new(), Vec::new());
        scan(self.snapshot, &planned_table(parent), KeyRange::default(), self.shutdown, |rows| {
            for row in rows.iter() {
                if keys.len() <= KEYS_MAX
                    && key_of(parent, &link.parent_fields, |field| row.value(field), &mut key)
                {
                    keys.insert(digest::of_bytes(&key));
                }
            }
        })
        .await?;
        let mut found = Vec::new();
        if keys.len() > KEYS_MAX {
            return Ok(found);
        }
        scan(self.snapshot, &planned_table(table), KeyRange::default(), self.shutdown, |rows| {
            for row in rows.iter() {
                if found.len() <= ORPHANS_MAX
                    && key_of(table, &link.child_fields, |field| row.value(field), &mut key)
                    && !keys.contains(&digest::of_bytes(&key))
                {
                    found.push(row.locator());
                }
            }
        })
        .await?;
        Ok(found)
    }

    /// From lost keys to the rows that name them, until no more are lost.
    async fn spread(
        &self,
        plan: &mut Plan,
        links: &[Link],
        losses: Vec<Loss>,
        marks: Vec<(usize, Vec<LocatorValue>)>,
    ) -> Result<()> {
        let mut found = Found {
            tables: plan.tables.clone(),
            links,
            keys: Keys::new(),
            again: BTreeSet::new(),
            marked: BTreeMap::new(),
        };
        for loss in losses {
            found.lose(&loss);
        }
        for (number, locators) in marks {
            let read = planned_table(&plan.tables[links[number].child]);
            for locator in locators {
                if let Some(values) = self.snapshot.fetch(&read, &locator).await? {
                    found.mark(number, locator, &values);
                }
            }
        }
        while let Some((number, keys)) = found.keys.pop_first() {
            let link = &links[number];
            let table = &plan.tables[link.child];
            let mut keys = keys;
            let mut key = Vec::new();
            scan(self.snapshot, &planned_table(table), KeyRange::default(), self.shutdown, |rows| {
                for row in rows.iter() {
                    if key_of(table, &link.child_fields, |field| row.value(field), &mut key)
                        && keys.contains(&key)
                    {
                        let values: Vec<OwnedValue> = row.values().map(|v| v.to_owned_value()).collect();
                        found.mark(number, row.locator(), &values);
                        // A row that refers to its own table may have lost its children's key just now.
                        if let Some(more) = found.keys.remove(&number) {
                            keys.extend(more);
                            found.again.insert(number);
                        }
                    }
                }
            })
            .await?;
            if found.again.remove(&number) {
                found.keys.entry(number).or_default().extend(keys);
            }
        }
        let total: usize = found.marked.values().map(|marked| marked.orphans.len()).sum();
        if total > ORPHANS_MAX {
            let why = format!("{total} rows would be left without a parent by what does not fit");
            plan.refusals.push(whole_table("", "", why, ORPHAN_HINT));
        }
        for (table, marked) in found.marked {
            plan.tables[table].orphans = marked.orphans;
        }
        Ok(())
    }
}

/// The rows of one table that were found, in the order in which they were.
#[derive(Default)]
struct Marked {
    orphans: Vec<OrphanPlan>,
    places: HashMap<LocatorValue, usize>,
}

/// The search's state.
struct Found<'a> {
    tables: Vec<TablePlan>,
    links: &'a [Link],
    keys: Keys,
    /// Links whose table lost keys that its own earlier rows may name.
    again: BTreeSet<usize>,
    marked: BTreeMap<usize, Marked>,
}

impl Found<'_> {
    /// Takes the keys that a row loses.
    fn lose(&mut self, loss: &Loss) {
        for (number, link) in self.links.iter().enumerate() {
            if link.parent == loss.table && link.parent_fields.iter().any(|field| loss.fields.contains(field))
            {
                let mut key = Vec::new();
                let value = |field: usize| loss.keys.get(&field).map_or(Value::Null, OwnedValue::borrow);
                if key_of(&self.tables[link.parent], &link.parent_fields, value, &mut key) {
                    self.keys.entry(number).or_default().insert(key);
                }
            }
        }
    }

    /// Marks a row whose foreign key finds no parent, unless NULL will stand in the key anyway.
    fn mark(&mut self, number: usize, locator: LocatorValue, values: &[OwnedValue]) {
        let link = &self.links[number];
        let table = &self.tables[link.child];
        let mut rows = Rows::new(0, values.len());
        values.iter().for_each(|value| rows.push(value.borrow()));
        match judge::values(rows.row(0), &table.columns, &mut Vec::new()) {
            judge::Fate::RowOut(..) => return,
            judge::Fate::CellsOut(cells)
                if cells.iter().any(|(field, _)| link.child_fields.contains(field)) =>
            {
                return;
            }
            judge::Fate::Clean | judge::Fate::CellsOut(_) => {}
        }
        let name = |field: &usize| table.columns[*field].source.clone();
        let marked = self.marked.entry(link.child).or_default();
        let place = marked.places.get(&locator).copied();
        let before = place.map(|at| &marked.orphans[at]);
        let covered = |orphan: &OrphanPlan| {
            orphan.columns.is_empty() || link.child_fields.iter().any(|f| orphan.columns.contains(&name(f)))
        };
        if before.is_some_and(covered) || link.child_fields.iter().any(|f| values[*f] == OwnedValue::Null) {
            return;
        }
        let fixed = |field: &usize| {
            let column = &table.columns[*field];
            column.not_null || column.whole_row || column.generated.is_some()
        };
        let whole = link.child_fields.iter().any(fixed);
        let mut columns: Vec<String> = before.map(|orphan| orphan.columns.clone()).unwrap_or_default();
        columns.extend(link.child_fields.iter().map(name));
        if whole {
            columns.clear();
        }
        let why = format!("it has no parent in {}", self.tables[link.parent].source);
        let orphan = OrphanPlan { locator: locator.clone(), columns, why };
        match place {
            Some(at) => marked.orphans[at] = orphan,
            None => {
                marked.places.insert(locator, marked.orphans.len());
                marked.orphans.push(orphan);
            }
        }
        let fields =
            if whole { (0..values.len()).collect() } else { link.child_fields.iter().copied().collect() };
        self.lose(&Loss::new(link.child, fields, self.links, |field| values[field].clone()));
    }
}

/// A key's bytes, by value; false when a part is NULL, which refers to nothing.
fn key_of<'v>(
    table: &TablePlan,
    fields: &[usize],
    value: impl Fn(usize) -> Value<'v>,
    out: &mut Vec<u8>,
) -> bool {
    out.clear();
    for field in fields {
        let value = value(*field);
        if value == Value::Null {
            return false;
        }
        // Only JSON has values without a canonical form, and a column of JSON is no key.
        if table.columns[*field].codec.canonical_source(value, out).is_err() {
            return false;
        }
    }
    true
}

/// The foreign keys of the plan.
fn links(plan: &Plan) -> Vec<Link> {
    let fields = |table: &TablePlan, names: &[String]| -> Option<Vec<usize>> {
        names.iter().map(|name| table.columns.iter().position(|column| column.target == *name)).collect()
    };
    let mut links = Vec::new();
    for (child, table) in plan.tables.iter().enumerate() {
        for (at, key) in table.foreign_keys.iter().enumerate() {
            let Some(parent) = plan.tables.iter().position(|parent| parent.target == key.parent) else {
                continue;
            };
            let both = (fields(table, &key.columns), fields(&plan.tables[parent], &key.parent_columns));
            if let (Some(child_fields), Some(parent_fields)) = both {
                links.push(Link { child, parent, child_fields, parent_fields, at });
            }
        }
    }
    links
}

/// Turns generated columns into plain ones where a value that they are computed from is in quarantine: the
/// target would compute them from NULL. Says whether there was one.
fn keep_generated_values(plan: &mut Plan, index: usize) -> bool {
    let table = &mut plan.tables[index];
    let out = |column: &ColumnPlan| {
        let orphan = || table.orphans.iter().any(|orphan| orphan.columns.contains(&column.source));
        column.exceptions > 0 || orphan()
    };
    let quoted = |column: &ColumnPlan| column.target.replace('"', "\"\"");
    let names: Vec<String> = table.columns.iter().filter(|c| out(c)).map(quoted).collect();
    let mut kept = Vec::new();
    for column in &mut table.columns {
        let sql = column.generated.as_deref().unwrap_or_default();
        if names.iter().any(|name| sql.contains(name.as_str())) {
            column.generated = None;
            kept.push(format!("{}.{}", table.source, column.source));
        }
    }
    for outcome in &mut plan.outcomes {
        if outcome.kind == "generated column" && kept.contains(&outcome.name) {
            outcome.fate = Fate::Changed;
            outcome.why =
                "its values are kept in a plain column, because a value that it is computed from is in quarantine"
                    .into();
        }
    }
    !kept.is_empty()
}

pub(crate) fn whole_table(table: &str, column: &str, why: String, hint: &str) -> Refusal {
    Refusal {
        table: table.into(),
        key: String::new(),
        column: column.into(),
        value: String::new(),
        why,
        hint: hint.into(),
    }
}

/// The refusal of a value. Its row is named by whoever reads the source.
fn refusal(table: &TablePlan, column: &ColumnPlan, row: Row<'_>, field: usize, why: String) -> Refusal {
    Refusal {
        table: table.source.clone(),
        key: String::new(),
        column: column.source.clone(),
        value: row.value(field).shown(),
        why,
        hint: hint(column, table.standing.is_some()).into(),
    }
}

/// What to do about values that do not fit a column.
fn hint(column: &ColumnPlan, standing: bool) -> &'static str {
    match &column.codec {
        Codec::Native(Native::Moment { .. }) => MOMENT_HINT,
        Codec::Native(Native::Interval { .. }) => SPAN_HINT,
        Codec::Native(Native::List { of: LogicalType::Timestamp | LogicalType::TimestampTz, .. }) => {
            LIST_HINT
        }
        _ if standing => STANDING_HINT,
        _ => HINT,
    }
}
