//! Rows whose key an earlier row has, where the source does not keep that key.
//!
//! A database enforces its keys; a file does not, and no source knows the keys that a mapping declares, computes,
//! or has over several tables, or that a target's own table has beside the source's. The target would reject such
//! rows one by one during the load, so they are named before anything is written; what only the target can compare,
//! it compares (`trial`). Rows are refused, or kept whole in quarantine, the first of them staying. Invariant: by
//! policy `quarantine`, what is written of a table has each key once.

use crate::evidence::Look;
use crate::exceptions::{Link, Loss, whole_table};
use crate::mapped::by_name;
use crate::trial::is_plain;
use std::collections::{BTreeSet, HashSet};
use switchover_core::Result;
use switchover_core::chunk::LocatorValue;
use switchover_core::expr::Expr;
use switchover_core::limits::{LISTED_MAX, ORPHANS_MAX, one_of};
use switchover_core::plan::{OrphanPlan, Plan, Refusal, TablePlan};
use switchover_core::planner::layout;
use switchover_core::schema::{Catalog, Index, IndexPart, Table};
use switchover_core::value::OwnedValue;

pub(crate) const HINT: &str = "give each row a key of its own on the source, or use --policy quarantine";

/// What the search gives.
#[derive(Default)]
pub(crate) struct Repeated {
    /// Rows that go to quarantine, by table.
    rows: Vec<(usize, Vec<OrphanPlan>)>,
    /// What they take with them, beside the key that the first row keeps.
    pub(crate) losses: Vec<Loss>,
}

impl Repeated {
    /// Adds the rows to the plan's. A row that was to lose some columns is now out as a whole.
    pub(crate) fn mark(self, plan: &mut Plan) {
        for (table, rows) in self.rows {
            let out: HashSet<&LocatorValue> = rows.iter().map(|row| &row.locator).collect();
            let orphans = &mut plan.tables[table].orphans;
            orphans.retain(|orphan| !out.contains(&orphan.locator));
            orphans.extend(rows);
        }
    }
}

impl Look<'_> {
    /// Finds them: refusals by policy `refuse`, lists by policy `quarantine`.
    pub(crate) async fn repeated(
        &self,
        plan: &mut Plan,
        catalog: &Catalog,
        links: &[Link],
    ) -> Result<Repeated> {
        let mut found = Repeated::default();
        let enforced = self.snapshot.enforces_keys();
        let plain = self.plain.catalog().await?;
        for index in 0..plan.tables.len() {
            let table = &plan.tables[index];
            let Some(source) = catalog.table(&table.source) else { continue };
            let mut refusals = Vec::new();
            let mut rows: Vec<OrphanPlan> = Vec::new();
            let mut unproven =
                if enforced { unkept(plan, source, &plain) } else { unenforced(table, source) };
            unproven.extend(of_target(table, source, &unproven));
            for columns in unproven {
                let field =
                    |(name, _): &(String, String)| table.columns.iter().position(|c| c.source == *name);
                let Some(fields) = columns.iter().map(field).collect::<Option<Vec<usize>>>() else {
                    continue;
                };
                let shown: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
                let shown = shown.join(", ");
                let quarantined = fields.iter().all(|field| table.columns[*field].policy.quarantines());
                let limit = if quarantined { ORPHANS_MAX } else { LISTED_MAX };
                let broken = self.snapshot.duplicates(source, &columns, limit).await?;
                if broken.count == 0 {
                    continue;
                }
                if quarantined && broken.count > limit as u64 {
                    let why = format!("{} rows have a key that occurs before", broken.count);
                    refusals.push(whole_table(&table.source, &shown, why, HINT));
                } else if quarantined {
                    let out = |locator: LocatorValue| OrphanPlan {
                        locator,
                        columns: Vec::new(),
                        why: format!("its {shown} occurs in an earlier row"),
                    };
                    for locator in broken.first {
                        self.losses(index, table, &fields, &locator, links, &mut found.losses).await?;
                        rows.push(out(locator));
                    }
                } else {
                    for locator in &broken.first {
                        let why =
                            format!("its {shown} occurs in an earlier row; {}", one_of(broken.count, "row"));
                        refusals.push(self.refusal(table, &fields, &shown, locator, why).await?);
                    }
                }
            }
            refusals.extend(self.kept_out(plan, index, links, &mut found, &mut rows).await?);
            plan.refusals.extend(refusals);
            found.rows.push((index, rows));
        }
        Ok(found)
    }

    async fn refusal(
        &self,
        table: &TablePlan,
        fields: &[usize],
        column: &str,
        locator: &LocatorValue,
        why: String,
    ) -> Result<Refusal> {
        let read = crate::evidence::planned_table(table);
        let values = self.snapshot.fetch(&read, locator).await?.unwrap_or_default();
        let shown: Vec<String> = fields
            .iter()
            .filter_map(|field| values.get(*field))
            .map(|value| value.borrow().shown())
            .collect();
        Ok(Refusal {
            table: table.source.clone(),
            key: self.shown_row(table, locator).await?,
            column: column.to_owned(),
            value: shown.join(", "),
            why,
            hint: HINT.into(),
        })
    }

    /// A row as messages name it, with its place where it has one.
    pub(crate) async fn shown_row(&self, table: &TablePlan, locator: &LocatorValue) -> Result<String> {
        let shown = layout::shown_locator(table, locator);
        Ok(match self.snapshot.place(&table.source, locator).await? {
            Some(place) => format!("{shown} ({place})"),
            None => shown,
        })
    }

    /// What a row that is left out takes with it: other rows may refer to columns that are not of its key.
    pub(crate) async fn losses(
        &self,
        index: usize,
        table: &TablePlan,
        key: &[usize],
        locator: &LocatorValue,
        links: &[Link],
        losses: &mut Vec<Loss>,
    ) -> Result<()> {
        let referred = |link: &&Link| link.parent == index && link.parent_fields != key;
        let fields: BTreeSet<usize> =
            links.iter().filter(referred).flat_map(|link| link.parent_fields.clone()).collect();
        let fields: BTreeSet<usize> = fields.into_iter().filter(|field| !key.contains(field)).collect();
        if fields.is_empty() {
            return Ok(());
        }
        let read = crate::evidence::planned_table(table);
        if let Some(values) = self.snapshot.fetch(&read, locator).await? {
            losses.push(Loss::new(index, fields, links, |field| {
                values.get(field).cloned().unwrap_or(OwnedValue::Null)
            }));
        }
        Ok(())
    }
}

/// The collation by which keys of a target's own are compared.
const BINARY: &str = "BINARY";

/// Columns that no two rows may be equal in, each with the collation that compares it.
type Key = Vec<(String, String)>;

/// All keys of a table that the target will enforce.
fn unenforced(table: &TablePlan, source: &Table) -> Vec<Key> {
    let binary = |name: &String| {
        let column = table.columns.iter().find(|column| column.target == *name)?;
        Some((column.source.clone(), "BINARY".to_owned()))
    };
    let keys = table.primary_key.iter().chain(&table.uniques);
    let mut all: Vec<Key> =
        keys.filter_map(|key| key.columns.iter().map(binary).collect::<Option<Key>>()).collect();
    for key in keys_of(source) {
        if !all.contains(&key) {
            all.push(key);
        }
    }
    all
}

/// The keys of a mapped table that its tables on the source do not keep: those over several, those of columns
/// that are computed, and those that the mapping alone declares.
fn unkept(plan: &Plan, table: &Table, plain: &Catalog) -> Vec<Key> {
    let Some(map) = plan.options.mapping.table(&table.name) else { return Vec::new() };
    let own = vec![table.name.clone()];
    let from = if map.from.is_empty() { &own } else { &map.from };
    let parts: Vec<&Table> = from.iter().filter_map(|part| by_name(plain, part)).collect();
    let changed = |name: &str| parts.iter().any(|part| part.column(name) != table.column(name));
    let kept = |key: &Key| {
        let in_part = |part: &&Table| keys_of(part).any(|own| own == *key);
        parts.len() == 1 && parts.iter().all(in_part) && !key.iter().any(|(name, _)| changed(name))
    };
    keys_of(table).filter(|key| !kept(key)).collect()
}

/// The keys of which the source knows nothing, beside those that are `known`: of the target's own table, and of a plan that was edited.
fn of_target(table: &TablePlan, source: &Table, known: &[Key]) -> Vec<Key> {
    let part = |target: &String| {
        let column = table.columns.iter().find(|column| column.target == *target)?;
        Some((column.source.clone(), BINARY.to_owned()))
    };
    let kept: Vec<Key> = keys_of(source).chain(known.iter().cloned()).collect();
    // What is unique in fewer columns, or by a looser comparison, is so in more, and by bytes.
    let implied = |key: &Key| {
        let within = |(name, _): &(String, String)| key.iter().any(|(own, _)| own == name);
        kept.iter().any(|own| own.iter().all(within))
    };
    let rules = table.standing.iter().flat_map(|standing| &standing.rules);
    let rules = rules.filter(|index| is_plain(table, index)).map(|index| &index.columns);
    let planned = table.primary_key.iter().chain(&table.uniques).map(|key| &key.columns);
    let mut found: Vec<Key> = Vec::new();
    for columns in rules.chain(planned).filter(|columns| !columns.is_empty()) {
        let Some(key) = columns.iter().map(part).collect::<Option<Key>>() else { continue };
        if !implied(&key) && !found.contains(&key) {
            found.push(key);
        }
    }
    found
}

/// What the catalog says of a table: its primary key, its unique constraints and indexes.
fn keys_of(table: &Table) -> impl Iterator<Item = Key> + '_ {
    let collation = |name: &String| {
        let own = table.column(name).map(|column| column.collation.clone());
        (name.clone(), own.unwrap_or_else(|| "BINARY".into()))
    };
    let primary = table.primary_key.iter().map(move |key| key.columns.iter().map(collation).collect());
    let uniques = table.uniques.iter().map(|unique| unique.columns.clone());
    let whole = |index: &&Index| index.unique && index.predicate.is_none();
    // An expression's equality is not that of columns: such an index is the target's to prove.
    let plain = |index: &Index| {
        let part = |part: &IndexPart| match &part.expr {
            Expr::Column(name) => Some((name.clone(), part.collation.clone())),
            _ => None,
        };
        index.parts.iter().map(part).collect::<Option<Vec<_>>>()
    };
    primary.chain(uniques).chain(table.indexes.iter().filter(whole).filter_map(plain))
}
