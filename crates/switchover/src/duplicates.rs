//! Rows whose key an earlier row has, on a source that does not keep its own keys.
//!
//! A database enforces its primary keys; a file does not. The target would reject such rows one by one during the
//! load, so they are named before anything is written: refused, or kept whole in quarantine, the first of them
//! staying. Invariant: by policy `quarantine`, what is written of a table has each key once.

use crate::evidence::Look;
use crate::exceptions::{Link, Loss, whole_table};
use std::collections::{BTreeSet, HashSet};
use switchover_core::Result;
use switchover_core::chunk::LocatorValue;
use switchover_core::limits::{LISTED_MAX, ORPHANS_MAX};
use switchover_core::plan::{OrphanPlan, Plan, Refusal, TablePlan};
use switchover_core::planner::layout;
use switchover_core::schema::Catalog;

const HINT: &str = "give each row a key of its own on the source, or use --policy quarantine";

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
        if self.snapshot.enforces_keys() {
            return Ok(found);
        }
        for index in 0..plan.tables.len() {
            let table = &plan.tables[index];
            let Some(source) = catalog.table(&table.source) else { continue };
            let mut refusals = Vec::new();
            let mut rows: Vec<OrphanPlan> = Vec::new();
            for fields in keys(table) {
                let columns: Vec<(String, String)> = (fields.iter())
                    .map(|field| (table.columns[*field].source.clone(), "BINARY".to_owned()))
                    .collect();
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
                            format!("its {shown} occurs in an earlier row; {} rows are such", broken.count);
                        refusals.push(self.refusal(table, &fields, &shown, locator, why).await?);
                    }
                }
            }
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
    async fn losses(
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
            losses.push(Loss { table: index, fields, values });
        }
        Ok(())
    }
}

/// The fields of each key of a table that the target will enforce.
fn keys(table: &TablePlan) -> Vec<Vec<usize>> {
    let find = |name: &String| table.columns.iter().position(|column| column.target == *name);
    let all = table.primary_key.iter().chain(&table.uniques);
    all.filter_map(|key| key.columns.iter().map(find).collect::<Option<Vec<usize>>>()).collect()
}
