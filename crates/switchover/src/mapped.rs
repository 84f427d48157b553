//! What a mapping does to rows: how many it takes, and how the first rows look before and after.
//!
//! The source answers, through the mapping and without it, at one read point. Absent: what values
//! become, which is the planner's.

use crate::evidence::{Look, planned_table};
use std::sync::Arc;
use switchover_core::Result;
use switchover_core::chunk::KeyRange;
use switchover_core::codec::Codec;
use switchover_core::connector::{ReadRequest, ReadTable};
use switchover_core::plan::{Fate, Outcome, Plan, PreviewCell, PreviewRow, TablePlan};
use switchover_core::planner::layout::shown_locator;
use switchover_core::schema::{Catalog, Locator, Table};
use switchover_core::value::{OwnedValue, Rows, Value};

/// Rows of each table that a plan shows before and after.
const PREVIEW_ROWS: usize = 3;

/// Kind of the lines that say how many rows a mapping takes.
const ROWS: &str = "rows";

impl Look<'_> {
    /// Adds to the plan what its mapping does to rows.
    pub(crate) async fn mapping(&self, plan: &mut Plan) -> Result<()> {
        plan.outcomes.retain(|outcome| outcome.kind != ROWS);
        if plan.options.mapping.is_empty() {
            return Ok(());
        }
        let plain = self.plain.catalog().await?;
        for index in 0..plan.tables.len() {
            let Some(map) = plan.options.mapping.table(&plan.tables[index].source).cloned() else { continue };
            let name = plan.tables[index].source.clone();
            let from = if map.from.is_empty() { vec![name.clone()] } else { map.from.clone() };
            let parts: Vec<&Table> = from.iter().filter_map(|part| by_name(&plain, part)).collect();
            let mut all = 0;
            for part in &parts {
                all += self.plain.count(&part.name).await?;
            }
            let taken = plan.tables[index].rows;
            if taken < all {
                plan.outcomes.push(Outcome {
                    kind: ROWS.into(),
                    name: name.clone(),
                    fate: Fate::LeftOut,
                    why: format!(
                        "{} of {all} rows of {}: `where` does not take them",
                        all - taken,
                        from.join(" and ")
                    ),
                });
            }
            plan.tables[index].preview = self.preview(plan, index, &parts).await?;
        }
        Ok(())
    }

    async fn preview(&self, plan: &Plan, index: usize, parts: &[&Table]) -> Result<Vec<PreviewRow>> {
        let table = &plan.tables[index];
        let mapped = planned_table(table);
        // Where rows are found by their order alone, those that are left out would move the rest.
        if table.locator == Locator::Ordinal {
            return Ok(Vec::new());
        }
        let mut shown = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let read = Arc::new(ReadTable {
                name: part.name.clone(),
                columns: part.columns.iter().map(|column| column.name.clone()).collect(),
                locator: part.locator.clone(),
            });
            let mut after = None;
            // Each part shows something, and all of them together not much more than one.
            for _ in 0..PREVIEW_ROWS.div_ceil(parts.len()) {
                let range = KeyRange { after: after.take(), upto: None };
                let request = ReadRequest {
                    table: Arc::clone(&read),
                    range,
                    budget_bytes: 1,
                    rows_max: ReadRequest::ANY_ROWS,
                    time_max: ReadRequest::ANY_TIME,
                };
                let batch = self.plain.read(request, Rows::default()).await?;
                let Some(locator) = batch.last else { break };
                let row = batch.rows.row(batch.rows.len() - 1);
                let mut found = locator.clone();
                if parts.len() > 1 {
                    found.insert(0, OwnedValue::Int(i64::try_from(number).unwrap_or(i64::MAX)));
                }
                let cells = self.snapshot.fetch(&mapped, &found).await?;
                let before = |name: &str| {
                    let at = part.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
                    at.map(|at| row.value(at))
                };
                shown.push(PreviewRow {
                    row: shown_locator(table, &found),
                    taken: cells.is_some(),
                    cells: cells.map(|cells| changes(plan, table, part, &before, &cells)).unwrap_or_default(),
                });
                after = Some(locator);
                if batch.done {
                    break;
                }
            }
        }
        Ok(shown)
    }
}

pub(crate) fn by_name<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a Table> {
    let found = catalog.table(name);
    found.or_else(|| catalog.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name)))
}

/// What becomes of the values of one row in the columns that the mapping is about.
fn changes<'v>(
    plan: &Plan,
    table: &TablePlan,
    part: &Table,
    before: &dyn Fn(&str) -> Option<Value<'v>>,
    cells: &[OwnedValue],
) -> Vec<PreviewCell> {
    let mapping = &plan.options.mapping;
    let mut changes = Vec::new();
    for (column, cell) in table.columns.iter().zip(cells) {
        let own = before(&column.source);
        let changed = own.is_none_or(|value| value.to_owned_value() != *cell);
        let ids = matches!(column.codec, Codec::Uuid5 { .. });
        if mapping.column(&table.source, &column.source).is_none() && !changed && !ids {
            continue;
        }
        let mut scratch = Vec::new();
        let after = match column.codec.encode(cell.borrow(), &mut scratch) {
            Ok(value) => value.shown(),
            Err(unfit) => format!("{} ({})", cell.borrow().shown(), unfit.0),
        };
        changes.push(PreviewCell {
            from: own.map(|_| column.source.clone()).unwrap_or_default(),
            before: own.map(|value| value.shown()).unwrap_or_default(),
            to: column.target.clone(),
            after,
        });
    }
    for column in &part.columns {
        if let (true, Some(value)) =
            (mapping.column(&table.source, &column.name).is_some_and(|map| map.drop), before(&column.name))
        {
            changes.push(PreviewCell {
                from: column.name.clone(),
                before: value.shown(),
                to: String::new(),
                after: String::new(),
            });
        }
    }
    changes
}
