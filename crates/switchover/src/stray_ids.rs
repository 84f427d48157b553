//! Ids that become UUIDs because a foreign key joins them to others, and are none of those: no map would keep what they were.
//!
//! A foreign key that the target gets is looked after as such ([`crate::exceptions`]): its orphans are refused or put aside.
//! One that it does not get, or one of several columns, of which one may be NULL, lets a row have an id without a parent.
//! The UUID of that id could not be led back.

use crate::evidence::Look;
use std::collections::BTreeSet;
use switchover_core::Result;
use switchover_core::limits::{LISTED_MAX, one_of};
use switchover_core::plan::{Plan, Refusal, TablePlan};
use switchover_core::schema::{Catalog, Column, ForeignKey, Table};

const HINT: &str =
    "mend the rows on the source, or leave them out by a `where` of the mapping, or write no `ids`";

/// The column's own part of the first foreign key over it.
fn followed(table: &Table, column: &Column) -> Option<ForeignKey> {
    table.foreign_keys.iter().find_map(|key| {
        let own = |name: &String| name.eq_ignore_ascii_case(&column.name);
        let at = key.columns.iter().position(own)?;
        Some(ForeignKey {
            columns: vec![column.name.clone()],
            parent_columns: vec![key.parent_columns.get(at)?.clone()],
            ..key.clone()
        })
    })
}

/// Whether the target gets a foreign key over the column alone.
fn is_held(table: &TablePlan, column: &Column) -> bool {
    let Some(planned) = table.columns.iter().find(|planned| planned.source == column.name) else {
        // It is not moved.
        return true;
    };
    table.foreign_keys.iter().any(|key| key.columns == [planned.target.as_str()])
}

impl Look<'_> {
    /// Refuses them, with their rows.
    pub(crate) async fn stray_ids(&self, plan: &mut Plan, catalog: &Catalog) -> Result<()> {
        let maps = catalog.tables.iter().filter_map(|table| table.id_map.as_ref());
        let kept: BTreeSet<(&str, &str)> = maps.map(|map| (&*map.table, &*map.column)).collect();
        let mut refusals = Vec::new();
        for table in &plan.tables {
            let Some(found) = catalog.table(&table.source).filter(|table| table.id_map.is_none()) else {
                continue;
            };
            for column in found.columns.iter().filter(|column| column.ids.is_some()) {
                if kept.contains(&(&*found.name, &*column.name)) || is_held(table, column) {
                    continue;
                }
                let Some(key) = followed(found, column) else { continue };
                let strays = self.snapshot.orphans(found, &key, LISTED_MAX).await?;
                for locator in &strays.first {
                    refusals.push(Refusal {
                        table: table.source.clone(),
                        key: self.shown_row(table, locator).await?,
                        column: column.name.clone(),
                        value: String::new(),
                        why: format!(
                            "its id becomes a UUID, and is none of {}.{}, so that no map keeps what it was; {}",
                            key.parent,
                            key.parent_columns[0],
                            one_of(strays.count, "row")
                        ),
                        hint: HINT.into(),
                    });
                }
            }
        }
        plan.refusals.extend(refusals);
        Ok(())
    }
}
